"""A gateway on a real database with a small catalogue, and its worker beside it in the same process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from emporium.application import bootstrap
from emporium.infra.settings import Settings
from tests.http.client import House


@pytest.fixture
def settings(database: str, folder: Path) -> Settings:
    """Of a shop in a fresh database."""
    return msgspec.structs.replace(Settings(), database_url=database, data_dir=folder)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[House]:
    """The gateway in this process, with the read models' engine and the saga beside it."""
    async with (
        bootstrap.open_shop(settings) as shop,
        bootstrap.open_doors(shop) as doors,
        House.open(shop, doors) as house,
    ):
        yield house


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """A gateway with a catalogue; its read models run, its saga does not."""
    async with opened(settings) as house:
        engine = asyncio.create_task(bootstrap.projections(house.opened, name="test").run())
        try:
            await house.stock_up()
            yield house
        finally:
            engine.cancel()
            with suppress(asyncio.CancelledError):
                await engine
