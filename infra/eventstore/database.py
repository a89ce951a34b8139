"""One database of the store: its pool for reading, and connections of their own for those who need one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from emporium.application.ports import Unavailable

__all__ = ["Connection", "Database", "is_lost"]

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# A server that vanished without a word is noticed within about ten seconds.
_KEEPALIVE: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 5,
}


def is_lost(error: BaseException) -> bool:
    """Whether an error means that the connection is gone, and with it the answer: nobody knows what happened."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        # 57P…: the server is going down; a PoolTimeout is an OperationalError too.
        return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
    return isinstance(error, OSError)


class Database:
    """Where some logs are stored.

    Args:
        dsn: libpq's connection string or URL.
        pool: the most connections for reading.
        patience: seconds for which a lost database is waited for before Unavailable is raised.
    """

    def __init__(self, dsn: str, *, pool: int, patience: float) -> None:
        self._dsn = dsn
        self._patience = patience
        self._pool = AsyncConnectionPool(
            dsn,
            connection_class=psycopg.AsyncConnection[tuple[Any, ...]],
            kwargs={
                **_KEEPALIVE,
                "autocommit": True,
                "prepare_threshold": 0,
                "options": "-c plan_cache_mode=force_generic_plan",
            },
            min_size=1,
            max_size=pool,
            open=False,
        )

    async def open(self) -> None:
        """Opens the pool. Raises Unavailable where the database does not answer."""
        try:
            await self._pool.open(wait=True, timeout=self._patience)
        except PoolTimeout as error:
            await self._pool.close()
            raise Unavailable(f"the database cannot be reached: {error}") from error

    async def close(self) -> None:
        """Closes the pool."""
        await self._pool.close()

    async def connect(self) -> Connection:
        """An autocommit connection for the caller alone."""
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            prepare_threshold=0,
            options="-c plan_cache_mode=force_generic_plan",
            **_KEEPALIVE,  # type: ignore[arg-type]
        )

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Does `work`, which may be repeated, on a connection of the pool, across lost connections.

        Raises:
            Unavailable: the database stays away for longer than the patience.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause = 0.02
        while True:
            try:
                async with self._pool.connection(timeout=max(0.1, deadline - loop.time())) as connection:
                    return await work(connection)
            except (psycopg.Error, OSError) as error:
                if not is_lost(error):
                    raise
                if loop.time() > deadline:
                    raise Unavailable(f"the database cannot be reached: {error}") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.5)

    async def query(self, sql: str, values: list[object]) -> list[tuple[Any, ...]]:
        """The rows of a statement that only reads or may be repeated. Raises Unavailable."""

        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = connection.cursor(binary=True)
            await cursor.execute(sql.encode(), values)
            return await cursor.fetchall()

        return await self.run(work)
