"""What the tests of the read models work with: logs, leases, engines, a waiter, and ways to compare tables."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Any, Self

import psycopg
from psycopg import sql

from emporium.application.ports import EventLog
from emporium.application.together import end
from emporium.domain.registry import AGGREGATES, LOGS, SCHEMAS, UPCASTERS
from emporium.infra.eventstore import EventStore, PgEventLog, Registry
from emporium.projections import generations
from emporium.projections.consistency import Token, Waiter, token_of
from emporium.projections.engine import Engine
from emporium.projections.generations import LIVE
from emporium.projections.model import Connection, ReadModel
from emporium.projections.rebuild import Rebuild, Rebuilt
from emporium.projections.registry import MODELS
from tests.support.stories import Happening, Writer

PATIENCE = 30.0
REGISTRY = Registry(AGGREGATES, SCHEMAS, UPCASTERS)


def logs_of(store: EventStore) -> dict[str, PgEventLog]:
    """All of them by name."""
    return {log: store[log] for log in LOGS}


class Shop:
    """One process's worth of projecting."""

    def __init__(self, dsn: str, logs: Mapping[str, PgEventLog]) -> None:
        self.dsn = dsn
        self.logs: dict[str, EventLog] = dict(logs)
        self.leases = logs["ordering"].leases
        self.writer = Writer(self.logs)
        self.heads: dict[str, int] = {}
        self._stack = AsyncExitStack()
        self._owners = count(1)

    async def __aenter__(self) -> Self:
        self.connection: Connection = await self._stack.enter_async_context(
            await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def write(self, happenings: Sequence[Happening]) -> Token:
        """Appends; the token of all that has been appended so far."""
        self.heads.update(await self.writer.write(happenings))
        return self.token()

    def token(self) -> Token:
        """What includes everything that was written."""
        token = Token()
        for log, position in self.heads.items():
            token = token.merge(token_of(self.logs[log], position))
        return token

    @asynccontextmanager
    async def engine(self, models: Sequence[ReadModel] = MODELS, *, ttl: float = 2.0) -> Any:
        """An engine that runs while the context is open; stops as a process does that ends in peace."""
        engine = Engine(self.dsn, models, self.logs, self.leases, owner=f"process {next(self._owners)}", ttl=ttl)
        task = asyncio.create_task(engine.run())
        try:
            yield task
        finally:
            await end((task,))
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def waiter(self, models: Sequence[ReadModel] = MODELS) -> Any:
        """A waiter that listens while the context is open."""
        async with Waiter(self.dsn, models, self.logs).running() as waiter:
            yield waiter

    async def project(self, models: Sequence[ReadModel] = MODELS) -> None:
        """Runs an engine until the models include everything that was written."""
        await self.project_up_to(self.token(), models)

    async def project_up_to(self, token: Token, models: Sequence[ReadModel] = MODELS) -> None:
        """Runs an engine until the models include what the token asks for."""
        async with self.engine(models), self.waiter(models) as waiter:
            assert await waiter.wait([model.name for model in models], token, PATIENCE)

    @asynccontextmanager
    async def reopened(self) -> Any:
        """The same as another process that starts now would see it."""
        async with (
            await EventStore.open(dict.fromkeys(self.logs, self.dsn), REGISTRY) as store,
            Shop(self.dsn, {log: store[log] for log in self.logs}) as shop,
        ):
            yield shop

    async def rebuild(self, model: ReadModel, **options: Any) -> Rebuilt:
        owner = f"process {next(self._owners)}"
        return await Rebuild(self.dsn, model, self.logs, self.leases, owner=owner, **options).run()

    async def install(self, models: Sequence[ReadModel] = MODELS) -> None:
        await generations.install(self.connection, models)

    async def rows(self, model: ReadModel, which: str = LIVE) -> dict[str, list[str]]:
        """Every row of every table, as text, sorted."""
        return await rows(self.connection, generations.schema_of(model.name, which))


async def rows(connection: Connection, schema: str) -> dict[str, list[str]]:
    """Every row of every table of a schema, as text, sorted."""
    found = await connection.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = %s", [schema])
    tables = {}
    for (table,) in await found.fetchall():
        cursor = await connection.execute(
            sql.SQL('SELECT t::text AS row FROM {} t ORDER BY t::text COLLATE "C"').format(
                sql.Identifier(schema, table)
            )
        )
        tables[table] = [row for (row,) in await cursor.fetchall()]
    return tables


async def until(condition: Any, timeout: float = PATIENCE) -> None:
    """Waits until an asynchronous condition holds."""
    async with asyncio.timeout(timeout):
        while not await condition():
            await asyncio.sleep(0.01)
