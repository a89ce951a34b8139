"""Reading a log from a position: recent events are fetched and decoded once for all followers of a process."""

import asyncio
from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from emporium.application.ports import Recorded
from emporium.infra.eventstore.database import Database
from emporium.infra.eventstore.errors import UnreadableEvent
from emporium.infra.eventstore.registry import Registry
from emporium.infra.eventstore.writer import Committed

__all__ = ["Feed"]

_WINDOW: Final = 100_000  # positions that one filtered read of the history looks through at most
_PAGE: Final = 1000

# One statement, one snapshot: the position read up to and the events cannot contradict each other.
_READ: Final = """
SELECT least(h.head, %b::bigint), e.*
FROM (SELECT coalesce(max(notification_id), 0) AS head FROM public.{log}_events) h
LEFT JOIN LATERAL (
    SELECT notification_id, originator_id, originator_version, topic, state FROM public.{log}_events
    WHERE notification_id > %b AND notification_id <= %b AND (%b::text[] IS NULL OR topic = ANY (%b))
    ORDER BY notification_id LIMIT %b
) e ON true
ORDER BY e.notification_id
"""

_Row = tuple[int, UUID, int, str, bytes]


class Feed:
    """The newest events of a log, without a gap, as rows until somebody wants them decoded.

    Args:
        size: how many events are kept.
    """

    def __init__(self, log: str, database: Database, registry: Registry, size: int) -> None:
        self._log = log
        self._database = database
        self._registry = registry
        self._size = size
        self._read = _READ.format(log=log)
        # Everything after `low` up to `high` is here.
        self._low = self._high = -1
        self._positions: list[int] = []
        self._kept: list[Recorded | _Row] = []
        self._extending = asyncio.Lock()

    async def read(
        self, after: int, limit: int, topics: Collection[str] | None, head: int
    ) -> tuple[list[Recorded], int]:
        """As the port's read; `head` is about where the log ends."""
        if after < self._low or after < head - self._size:
            return await self._history(after, limit, topics)
        if after >= self._high:
            async with self._extending:
                if after >= self._high:
                    await self._extend(after)
        if after < self._low:
            return await self._history(after, limit, topics)
        return self._recent(after, limit, topics)

    def took(self, units: Sequence[Committed]) -> None:
        """Events that this process has just committed, in order: the next need not be fetched."""
        if self._high < 0:
            return
        for done in units:
            for position, new in enumerate(done.unit.events, done.first):
                # Positions are handed out one by one: the next number is the next event. Other numbers left out
                # may be rolled back, or another process's: those are fetched.
                if position != self._high + 1:
                    return
                schema = self._registry.schema_of(self._log, new.event)
                self._keep(
                    Recorded(self._log, position, new.stream, new.version, new.id, new.at, new.event, new.meta, schema),
                    position,
                )
        self._trim()

    async def _extend(self, after: int) -> None:
        if after > self._high:
            self._low = self._high = after
            self._positions, self._kept = [], []
        begun = self._high
        rows = await self._database.query(self._read, [begun + _WINDOW, begun, begun + _WINDOW, None, None, _PAGE])
        for _, *row in rows:
            # A commit of this process may have been taken in meanwhile.
            if row[0] is not None and row[0] > self._high:
                self._keep((row[0], row[1], row[2], row[3], row[4]), row[0])
        if len(rows) < _PAGE:
            self._high = max(self._high, rows[0][0])
        self._trim()

    def _keep(self, event: Recorded | _Row, position: int) -> None:
        self._positions.append(position)
        self._kept.append(event)
        self._high = position

    def _trim(self) -> None:
        if len(self._kept) > 2 * self._size:
            self._low = self._positions[-self._size - 1]
            del self._positions[: -self._size]
            del self._kept[: -self._size]

    def _recent(self, after: int, limit: int, topics: Collection[str] | None) -> tuple[list[Recorded], int]:
        events: list[Recorded] = []
        for index in range(bisect_right(self._positions, after), len(self._kept)):
            kept = self._kept[index]
            if not isinstance(kept, Recorded):
                if topics is not None and kept[3] not in topics:
                    continue
                try:
                    self._kept[index] = kept = self._registry.decode(self._log, *kept)
                except UnreadableEvent:
                    if not events:
                        raise
                    return events, events[-1].position
            elif topics is not None and kept.topic not in topics:
                continue
            events.append(kept)
            if len(events) == limit:
                return events, kept.position
        return events, max(after, self._high)

    async def _history(self, after: int, limit: int, topics: Collection[str] | None) -> tuple[list[Recorded], int]:
        wanted = None if topics is None else list(topics)
        rows: list[tuple[Any, ...]] = await self._database.query(
            self._read, [after + _WINDOW, after, after + _WINDOW, wanted, wanted, limit]
        )
        upto = max(after, rows[0][0])
        if rows[0][1] is None:
            return [], upto
        events: list[Recorded] = []
        for _, *row in rows:
            try:
                events.append(self._registry.decode(self._log, *row))
            except UnreadableEvent:
                if not events:
                    raise
                return events, events[-1].position
        return events, events[-1].position if len(events) == limit else upto
