"""A migrated database with settings that lead to it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from emporium.infra.settings import Settings


@pytest.fixture
def settings(database: str, folder: Path) -> Settings:
    """What a command is given: a database, a data folder, and nobody outside."""
    return replace(Settings(), database_url=database, data_dir=folder)
