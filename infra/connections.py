"""A few connections to one database, for statements that may be repeated after a lost connection."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from emporium.application.ports import Unavailable

__all__ = ["Connection", "Connections"]

T = TypeVar("T")

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]

_DURABLE: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""


class Connections:
    """An asynchronous context manager that holds 1 to `size` connections in autocommit mode.

    What a statement commits is on the disk when it returns, whatever the database's default is.

    Args:
        dsn: the connection string of the database.
        size: the most connections that are opened.
        patience: seconds that a caller waits for a free connection.
    """

    def __init__(self, dsn: str, size: int = 4, patience: float = 5.0) -> None:
        self._size = size
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            timeout=patience,
            open=False,
            kwargs={"autocommit": True},
            configure=_make_durable,
        )

    async def __aenter__(self) -> "Connections":
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns; it is called again where its connection was lost, so it must bear repeating.

        Raises Unavailable where the database cannot be reached.
        """
        # After a restart of the server every pooled connection is dead, and each is found out by use.
        for _ in range(self._size + 1):
            try:
                async with self._pool.connection() as connection:
                    return await work(connection)
            except PoolTimeout as error:
                raise Unavailable("no connection to the database in time") from error
            except OperationalError as error:
                lost = error
        raise Unavailable("the connection to the database is lost") from lost


async def _make_durable(connection: Connection) -> None:
    await connection.execute(_DURABLE)
