"""Who looked at what: plain behaviour, kept for a while, written in batches off the requests' path."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar
from uuid import UUID

from psycopg import sql

from emporium.application.ports import Unavailable
from emporium.projections.model import Connection

__all__ = ["KEPT_DAYS", "Writer", "expire", "forget", "held", "join", "of"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

KEPT_DAYS: Final = 30
"""Days until a view is forgotten; its whole partition goes at once."""

PACE: Final = 1.0
MOST: Final = 5_000
"""Views that wait to be written: what comes on top of them is dropped, for a shop that is so busy has enough."""

_LOCK: Final = 0x7669657773
_NEWEST: Final = 50


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T: ...


class Writer:
    """Collects views and writes them together. One that is lost with its process is no harm."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._waiting: list[tuple[UUID, UUID, datetime]] = []
        self._days: set[date] = set()
        self._writing = asyncio.Lock()

    def add(self, visitor: UUID, product: UUID, at: datetime) -> None:
        """Takes a view in."""
        if len(self._waiting) < MOST:
            self._waiting.append((visitor, product, at.astimezone(UTC)))

    async def run(self) -> None:
        """Writes what has come, for ever."""
        while True:
            await asyncio.sleep(PACE)
            try:
                await self.flush()
            except Unavailable as down:
                _log.warning("views are lost: %s", down)
            except Exception:
                _log.exception("views are lost")

    async def flush(self) -> None:
        """Writes what has come, also what is just being written. Raises Unavailable: what could not be written is lost
        then."""
        async with self._writing:
            if self._waiting:
                views, self._waiting = self._waiting, []
                await self._reads.run(partial(self._write, views=views))

    async def _write(self, connection: Connection, views: list[tuple[UUID, UUID, datetime]]) -> None:
        days = {at.date() for _, _, at in views}
        async with connection.transaction():
            for day in days - self._days:
                await _make(connection, day)
            visitors, products, times = (list(column) for column in zip(*views, strict=True))
            await connection.execute(
                "INSERT INTO emporium_views (visitor, product_id, at)"
                " SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[])",
                [visitors, products, times],
            )
        self._days = days


async def of(connection: Connection, visitor: UUID) -> list[UUID]:
    """The products that somebody looked at, the last first."""
    found = await connection.execute(
        "SELECT product_id FROM (SELECT product_id, max(at) AS at FROM emporium_views WHERE visitor = %s GROUP BY 1) t"
        " ORDER BY at DESC, product_id LIMIT %s",
        [visitor, _NEWEST],
    )
    return [product for (product,) in await found.fetchall()]


async def held(connection: Connection, visitor: UUID) -> list[tuple[UUID, datetime]]:
    """All that is kept of what somebody looked at, and when; the oldest first."""
    found = await connection.execute(
        "SELECT product_id, at FROM emporium_views WHERE visitor = %s ORDER BY at, product_id", [visitor]
    )
    return await found.fetchall()


async def join(connection: Connection, visitor: UUID, into: UUID) -> None:
    """Makes the views of one those of another."""
    await connection.execute("UPDATE emporium_views SET visitor = %s WHERE visitor = %s", [into, visitor])


async def forget(connection: Connection, visitors: Sequence[UUID]) -> int:
    """Drops the views of these; how many."""
    gone = await connection.execute("DELETE FROM emporium_views WHERE visitor = ANY(%s)", [list(visitors)])
    return gone.rowcount


async def expire(connection: Connection, today: date) -> int:
    """Drops the partitions of which every view is older than `KEPT_DAYS`; how many."""
    found = await connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'emporium_views'::regclass"
    )
    oldest = _name(today - timedelta(KEPT_DAYS))
    gone = [name for (name,) in await found.fetchall() if name < oldest]
    for name in gone:
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    return len(gone)


def _name(day: date) -> str:
    return f"emporium_views_{day:%Y%m%d}"


async def _make(connection: Connection, day: date) -> None:
    """The partition of a day, if it is not there yet."""
    begin = datetime.combine(day, time(), UTC)
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    await connection.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF emporium_views FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(_name(day)), sql.Literal(begin), sql.Literal(begin + timedelta(days=1))
        )
    )
