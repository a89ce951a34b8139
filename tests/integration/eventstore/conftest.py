"""Fresh databases with two logs, alpha and beta, for every test of the store."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from emporium.infra.eventstore import EventStore, migrate
from tests import servers
from tests.integration.eventstore.things import LOGS, REGISTRY

_numbers = count(1)


@pytest.fixture
def empty(server: str) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    with servers.made(server, _name()) as url:
        yield url


@pytest.fixture(scope="session")
def store_template(server: str) -> Iterator[str]:
    """The name of a database with both logs, from which others are copied."""
    with servers.made(server, name := _name()) as url:
        asyncio.run(migrate(dict.fromkeys(LOGS, url), REGISTRY))
        yield name


@pytest.fixture
def dsn(server: str, store_template: str) -> Iterator[str]:
    """The URL of a fresh database with the logs alpha and beta."""
    with servers.made(server, _name(), template=store_template) as url:
        yield url


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[EventStore]:
    """An open store with the logs alpha and beta, listening."""
    dsns = dict.fromkeys(LOGS, dsn)
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as opened:
        yield opened


def _name() -> str:
    return f"store_{os.getpid()}_{next(_numbers)}"
