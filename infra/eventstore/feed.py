"""Reading a log from a position: recent events are fetched and decoded once for all followers of a process.

It also tells who waits for events of some topics whether there are any, so that an event wakes nobody for nothing.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from emporium.application.ports import Recorded
from emporium.infra.eventstore.cache import StateCache
from emporium.infra.eventstore.database import Database
from emporium.infra.eventstore.errors import UnreadableEvent, WrongIncarnation
from emporium.infra.eventstore.registry import Registry
from emporium.infra.eventstore.writer import Committed

__all__ = ["Feed"]

_WINDOW: Final = 100_000  # positions that one filtered read of the history looks through at most
_PAGE: Final = 1000

# One statement, one snapshot: the position read up to and the events cannot contradict each other.
_READ: Final = """
SELECT least(h.head, %b::bigint), h.incarnation, e.*
FROM (
    SELECT coalesce(max(notification_id), 0) AS head,
           (SELECT incarnation FROM emporium_logs WHERE name = '{log}') AS incarnation
    FROM public.{log}_events
) h
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
        cache: learns from what is decoded.
    """

    def __init__(
        self, log: str, incarnation: UUID, database: Database, registry: Registry, size: int, cache: StateCache
    ) -> None:
        self._log = log
        self._incarnation = incarnation
        self._database = database
        self._registry = registry
        self._size = size
        self._cache = cache
        self._read = _READ.format(log=log)
        # Everything after `low` up to `high` is here.
        self._low = self._high = -1
        self._positions: list[int] = []
        self._topics: list[str] = []
        self._kept: list[Recorded | _Row] = []
        self._extending = asyncio.Lock()

    @property
    def high(self) -> int:
        """The position up to which it knows the log; -1 while nobody has read."""
        return self._high

    async def refresh(self, head: int) -> None:
        """Fetches what the log has grown by; `head` is about where it ends. Raises WrongIncarnation."""
        async with self._extending:
            await self._extend(self._high if self._high >= head - self._size else head)

    def there(self, after: int, topics: Collection[str]) -> tuple[bool, int]:
        """Whether an event of the topics is known after a position, or only a read can tell; where to go on."""
        if after < self._low or self._high < 0:
            return True, after
        for index in range(bisect_right(self._positions, after), len(self._positions)):
            if self._topics[index] in topics:
                return True, after
        return False, max(after, self._high)

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
                topic, schema = self._registry.written_as(self._log, new.event)
                self._keep(
                    Recorded(self._log, position, new.stream, new.version, new.id, new.at, new.event, new.meta, schema),
                    position,
                    topic,
                )
        self._trim()

    async def _extend(self, after: int) -> None:
        ahead = after > self._high
        if ahead:
            self._low = self._high = after
            self._positions, self._topics, self._kept = [], [], []
        begun = self._high
        rows = await self._rows([begun + _WINDOW, begun, begun + _WINDOW, None, None, _PAGE])
        for _, _, *row in rows:
            # A commit of this process may have been taken in meanwhile.
            if row[0] is not None and row[0] > self._high:
                self._keep((row[0], row[1], row[2], row[3], row[4]), row[0], row[3])
        if ahead and self._high == begun and rows[0][0] < begun:
            # Who asked believes the log longer than it is: nobody else shall.
            self._low = self._high = rows[0][0]
        elif len(rows) < _PAGE:
            self._high = max(self._high, rows[0][0])
        self._trim()

    async def _rows(self, values: list[object]) -> list[tuple[Any, ...]]:
        rows = await self._database.query(self._read, values)
        if rows[0][1] != self._incarnation:
            raise WrongIncarnation(self._log, rows[0][1], self._incarnation)
        return rows

    def _keep(self, event: Recorded | _Row, position: int, topic: str) -> None:
        self._positions.append(position)
        self._topics.append(topic)
        self._kept.append(event)
        self._high = position

    def _trim(self) -> None:
        if len(self._kept) > 2 * self._size:
            self._low = self._positions[-self._size - 1]
            del self._positions[: -self._size]
            del self._topics[: -self._size]
            del self._kept[: -self._size]

    def _recent(self, after: int, limit: int, topics: Collection[str] | None) -> tuple[list[Recorded], int]:
        events: list[Recorded] = []
        for index in range(bisect_right(self._positions, after), len(self._kept)):
            if topics is not None and self._topics[index] not in topics:
                continue
            kept = self._kept[index]
            if not isinstance(kept, Recorded):
                try:
                    self._kept[index] = kept = self._registry.decode(self._log, *kept)
                except UnreadableEvent:
                    if not events:
                        raise
                    return events, events[-1].position
                self._cache.advance((kept,))
            events.append(kept)
            if len(events) == limit:
                return events, kept.position
        return events, max(after, self._high)

    async def _history(self, after: int, limit: int, topics: Collection[str] | None) -> tuple[list[Recorded], int]:
        wanted = None if topics is None else list(topics)
        rows = await self._rows([after + _WINDOW, after, after + _WINDOW, wanted, wanted, limit])
        upto = max(after, rows[0][0])
        if rows[0][2] is None:
            return [], upto
        events: list[Recorded] = []
        for _, _, *row in rows:
            try:
                events.append(self._registry.decode(self._log, *row))
            except UnreadableEvent:
                if not events:
                    raise
                return events, events[-1].position
        return events, events[-1].position if len(events) == limit else upto
