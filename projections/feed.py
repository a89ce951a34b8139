"""One tail of each log, shared by all read models of the process: every event is read and decoded once."""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

import msgspec

from emporium.application.ports import EventLog, Recorded, Unreadable

__all__ = ["BATCH", "Direct", "Feed", "Item", "Source", "Tail"]

Item = Recorded | Unreadable
"""What stands at a position of a log: an event, or one that cannot be decoded."""

BATCH: Final = 2_000
"""The most events in a batch."""

BATCH_BYTES: Final = 8 * 2**20
"""About the most memory for a batch: large events make it smaller."""

_KEEP: Final = 4 * BATCH
_POLL: Final = 1.0
_RETRY: Final = 0.5
_SAMPLE: Final = 16

_log = logging.getLogger(__name__)
_ENCODER: Final = msgspec.json.Encoder()


class Source(Protocol):
    """Where a follower reads one log."""

    @property
    def incarnation(self) -> UUID:
        """That of the log, now."""
        ...

    async def read(self, after: int) -> tuple[Sequence[Item], int]:
        """A batch after a position, and the position up to which it tells all."""
        ...

    async def reread(self, after: int) -> Sequence[Item]:
        """A batch after a position from the log as it is now, not from memory."""
        ...


class _Reader:
    """Reads batches of bounded count and size from a log, unreadable events included."""

    def __init__(self, log: EventLog, topics: Sequence[str]) -> None:
        self._log = log
        self._topics = topics
        self._limit = BATCH

    async def read(self, after: int) -> tuple[list[Item], int]:
        try:
            events, upto = await self._log.read(after, self._limit, topics=self._topics)
        except Unreadable as bad:
            # What stood before it was given earlier: the log raises only when it comes first.
            return [bad], bad.position
        self._adapt(events)
        return list[Item](events), upto

    def _adapt(self, events: Sequence[Recorded]) -> None:
        sample = events[::_SAMPLE]
        if len(sample) < _SAMPLE:
            return
        average = sum(len(_ENCODER.encode(one.event)) for one in sample) / len(sample)
        self._limit = int(min(BATCH, max(_SAMPLE * _SAMPLE, BATCH_BYTES / max(average, 1))))


class Direct:
    """A follower's own reading of a log, with the next batch fetched while one is folded: for rebuilds."""

    def __init__(self, log: EventLog, topics: Sequence[str]) -> None:
        self._log = log
        self._reader = _Reader(log, topics)
        self._next: tuple[int, asyncio.Task[tuple[list[Item], int]]] | None = None

    @property
    def incarnation(self) -> UUID:
        return self._log.incarnation

    async def read(self, after: int) -> tuple[Sequence[Item], int]:
        items, upto = await self._ahead(after)
        if upto <= after:
            # What was read ahead may have been read before the log grew.
            items, upto = await self._reader.read(after)
        if items:
            self._next = (upto, asyncio.create_task(self._reader.read(upto)))
        return items, upto

    async def _ahead(self, after: int) -> tuple[Sequence[Item], int]:
        if self._next is None or self._next[0] != after:
            await self.close()
            return (), after
        task = self._next[1]
        self._next = None
        return await task

    async def reread(self, after: int) -> Sequence[Item]:
        return (await self._reader.read(after))[0]

    async def close(self) -> None:
        """Ends the reading ahead."""
        if self._next is not None:
            task = self._next[1]
            self._next = None
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


class Feed:
    """The tail of one log: the last batches in memory, and a task that reads on as soon as something is appended.

    A follower at the tail is served from memory; one that lies further back reads on its own. The task
    never reads further ahead than the fastest follower can use.
    """

    def __init__(self, log: EventLog, topics: Sequence[str]) -> None:
        self._log = log
        self._reader = _Reader(log, topics)
        self._items: list[Item] = []
        self._positions: list[int] = []
        self._floor = self._ceiling = -1
        self._asked = 0
        self._room = asyncio.Event()
        self._wakes: set[asyncio.Event] = set()

    @property
    def incarnation(self) -> UUID:
        """That of the log, now."""
        return self._log.incarnation

    def subscribe(self, wake: asyncio.Event) -> None:
        """Sets the event whenever there is more to read."""
        self._wakes.add(wake)

    def unsubscribe(self, wake: asyncio.Event) -> None:
        """The opposite of subscribe."""
        self._wakes.discard(wake)

    def since(self, after: int) -> tuple[Sequence[Item], int] | None:
        """A batch from memory; None where the position lies further back than memory goes."""
        if after > self._ceiling:
            # The first follower, or one that was moved ahead: the tail begins where it stands.
            self._items, self._positions = [], []
            self._floor = self._ceiling = self._asked = after
            self._room.set()
            return (), after
        if after < self._floor:
            return None
        if after > self._asked:
            self._asked = after
            self._room.set()
        start = bisect_right(self._positions, after)
        stop = start + BATCH
        if stop >= len(self._items):
            return self._items[start:], self._ceiling
        return self._items[start:stop], self._positions[stop - 1]

    async def run(self) -> None:
        """Reads on for ever; a log that cannot be read delays."""
        while True:
            try:
                await self._read_on()
            except Exception as error:
                _log.warning("the tail of %s waits: %s", self._log.name, error)
                await asyncio.sleep(_RETRY)

    async def _read_on(self) -> None:
        after = self._ceiling
        if after < 0 or len(self._positions) - bisect_right(self._positions, self._asked) >= _KEEP // 2:
            self._room.clear()
            await self._room.wait()
            return
        if not await self._log.wait(after, _POLL):
            return
        items, upto = await self._reader.read(after)
        if upto <= after or after != self._ceiling:
            return
        self._items += items
        self._positions += [one.position for one in items]
        self._ceiling = upto
        if (extra := len(self._items) - _KEEP) > 0:
            self._floor = self._positions[extra - 1]
            del self._items[:extra], self._positions[:extra]
        for wake in self._wakes:
            wake.set()


class Tail:
    """One follower's view of a feed: only the topics of its model."""

    def __init__(self, feed: Feed, log: EventLog, topics: Sequence[str]) -> None:
        self._feed = feed
        self._topics = frozenset(topics)
        self._own = Direct(log, topics)

    @property
    def incarnation(self) -> UUID:
        return self._feed.incarnation

    async def read(self, after: int) -> tuple[Sequence[Item], int]:
        batch = self._feed.since(after)
        if batch is None:
            return await self._own.read(after)
        items, upto = batch
        return [one for one in items if one.topic in self._topics], upto

    async def reread(self, after: int) -> Sequence[Item]:
        return await self._own.reread(after)

    async def close(self) -> None:
        """Ends the reading of its own."""
        await self._own.close()
