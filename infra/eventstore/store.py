"""The logs of one process: opened together, closed together."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final
from uuid import UUID

import psycopg

from emporium.application.ports import Unavailable
from emporium.infra.eventstore.database import Database, is_lost
from emporium.infra.eventstore.errors import WrongIncarnation
from emporium.infra.eventstore.log import Limits, PgEventLog
from emporium.infra.eventstore.migrations import check, logs_by_dsn
from emporium.infra.eventstore.registry import Registry
from emporium.infra.eventstore.tail import Listener, Notifier

__all__ = ["EventStore"]

WATCH: Final = 2.0
"""Seconds for which a process may go on after a log was restored under it."""


class EventStore:
    """`store["ordering"]` is a log. Logs with the same DSN share their connections for reading."""

    def __init__(self, logs: Mapping[str, PgEventLog], resources: AsyncExitStack) -> None:
        self._logs = dict(logs)
        self._resources = resources

    @classmethod
    async def open(
        cls,
        dsns: Mapping[str, str],
        registry: Registry,
        *,
        listen: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> "EventStore":
        """Opens the logs.

        Args:
            dsns: log → where it is stored.
            registry: the event types of all logs.
            listen: log → a direct connection to the same database (not through a transaction pooler) for
                LISTEN; without it the logs are polled.
            limits: see `Limits`.

        Raises:
            SchemaMismatch: a database does not fit this program.
            Unavailable: a database cannot be reached within the patience.
        """
        limits = limits or Limits()
        await _check_patiently(dsns, registry, limits.patience)
        logs: dict[str, PgEventLog] = {}
        async with AsyncExitStack() as stack:
            for dsn, names in logs_by_dsn(dsns).items():
                database = Database(dsn, pool=limits.pool, patience=limits.patience)
                await database.open()
                stack.push_async_callback(database.close)
                notifier = Notifier(database.connect)
                stack.push_async_callback(notifier.close)
                rows = await database.query("SELECT name, incarnation FROM emporium_logs", [])
                incarnations: dict[str, UUID] = dict(rows)
                for name in names:
                    logs[name] = log = PgEventLog(
                        name,
                        incarnations[name],
                        database,
                        registry,
                        notifier,
                        lambda upstream: logs[upstream].incarnation if upstream in logs else None,
                        limits,
                    )
                    stack.push_async_callback(log.close)
            for dsn, names in logs_by_dsn({log: dsn for log, dsn in (listen or {}).items() if log in logs}).items():
                direct = Database(dsn, pool=1, patience=limits.patience)
                listener = Listener(direct.connect, {f"{name}_events": logs[name].heard for name in names})
                stack.push_async_callback(listener.close)
            return cls(logs, stack.pop_all())
        raise AssertionError

    def __getitem__(self, log: str) -> PgEventLog:
        return self._logs[log]

    def check(self, log: str, incarnation: UUID) -> None:
        """Refuses a position from outside (a consistency token's). Raises WrongIncarnation."""
        if self._logs[log].incarnation != incarnation:
            raise WrongIncarnation(log, self._logs[log].incarnation, incarnation)

    async def watch(self, pause: float = WATCH) -> None:
        """Looks for ever whether the logs are still those that were opened; a database in trouble is waited for.

        Raises:
            Restored: one is not; what this process remembers of it is wrong.
        """
        while True:
            for log in self._logs.values():
                with suppress(Unavailable, psycopg.Error):
                    await log.head()
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Commits what waits and closes every connection."""
        await self._resources.aclose()

    async def __aenter__(self) -> "EventStore":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _check_patiently(dsns: Mapping[str, str], registry: Registry, patience: float) -> None:
    """As check, across a restart of the database: whoever starts meanwhile waits instead of failing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            await check(dsns, registry)
            return
        except psycopg.OperationalError as error:
            if not is_lost(error) or loop.time() > deadline:
                raise Unavailable(f"the database cannot be reached: {error}") from error
        await asyncio.sleep(0.1)
