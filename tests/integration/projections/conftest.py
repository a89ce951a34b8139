"""A fresh database with all logs and the read models' tables, and an open event store on it."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from emporium.domain.registry import LOGS
from emporium.infra.eventstore import EventStore
from emporium.projections.model import Connection
from tests.integration.projections.shop import REGISTRY, Shop, logs_of


@pytest.fixture
def dsn(database: str) -> str:
    """The URL of a fresh migrated database."""
    return database


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    """For looking at tables."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as opened:
        yield opened


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[EventStore]:
    """The open event store."""
    dsns = dict.fromkeys(LOGS, dsn)
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as opened:
        yield opened


@pytest.fixture
async def shop(dsn: str, store: EventStore) -> AsyncIterator[Shop]:
    """Everything that projects, in one process; starts nothing by itself."""
    async with Shop(dsn, logs_of(store)) as opened:
        yield opened
