"""A database with the tables of the vault and the sessions, and a clock for what a cache may believe."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from emporium.infra import sessions, vault
from emporium.infra.eventstore.migrations import Migration, apply_migrations


@pytest.fixture
async def dsn(database: str) -> str:
    steps = [Migration("vault", number, sql) for number, sql in enumerate(vault.MIGRATIONS, 1)]
    steps += [Migration("sessions", number, sql) for number, sql in enumerate(sessions.MIGRATIONS, 1)]
    await apply_migrations(database, steps)
    return database


@pytest.fixture
async def sql(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        yield connection


class Seconds:
    """A monotonic clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()
