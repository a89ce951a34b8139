"""How a follower reads one log: in batches of bounded count and size, unreadable events included."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

import msgspec

from emporium.application.ports import EventLog, Recorded, Unreadable

__all__ = ["BATCH", "Item", "LogSource", "Source"]

Item = Recorded | Unreadable
"""What stands at a position of a log: an event, or one that cannot be decoded."""

BATCH: Final = 2_000
"""The most events in a batch."""

BATCH_BYTES: Final = 8 * 2**20
"""About the most memory for a batch: large events make it smaller."""

_SAMPLE: Final = 16
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


class LogSource:
    """The events of some topics of a log.

    Args:
        ahead: fetches the next batch while one is folded, for a rebuild. (The tail needs no such thing: the
            store keeps it in memory for all followers of the process.)
    """

    def __init__(self, log: EventLog, topics: Sequence[str], *, ahead: bool = False) -> None:
        self._log = log
        self._topics = frozenset(topics)
        self._ahead = ahead
        self._limit = BATCH
        self._next: tuple[int, asyncio.Task[tuple[list[Item], int]]] | None = None

    @property
    def incarnation(self) -> UUID:
        """That of the log, now."""
        return self._log.incarnation

    async def read(self, after: int) -> tuple[Sequence[Item], int]:
        """See `Source`."""
        items, upto = await self._fetched(after)
        if upto <= after:
            # What was read ahead may have been read before the log grew.
            items, upto = await self._read(after)
        if items and self._ahead:
            self._next = (upto, asyncio.create_task(self._read(upto)))
        return items, upto

    async def wait(self, after: int, timeout: float, *, any_topic: bool = False) -> bool:
        """Whether there may be something of its topics, or of any, after a position within `timeout` seconds."""
        return await self._log.wait(after, timeout, topics=frozenset() if any_topic else self._topics)

    async def close(self) -> None:
        """Ends the reading ahead."""
        if self._next is not None:
            task = self._next[1]
            self._next = None
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _fetched(self, after: int) -> tuple[list[Item], int]:
        if self._next is None or self._next[0] != after:
            await self.close()
            return [], after
        task = self._next[1]
        self._next = None
        return await task

    async def _read(self, after: int) -> tuple[list[Item], int]:
        try:
            events, upto = await self._log.read(after, self._limit, topics=self._topics)
        except Unreadable as bad:
            # What stood before it was given earlier: the log raises only when it comes first.
            return [bad], bad.position
        self._adapt(events)
        return list[Item](events), upto

    def _adapt(self, events: Sequence[Recorded]) -> None:
        sample = events[::_SAMPLE]
        if len(sample) >= _SAMPLE:
            average = sum(len(_ENCODER.encode(one.event)) for one in sample) / len(sample)
            self._limit = int(min(BATCH, max(_SAMPLE * _SAMPLE, BATCH_BYTES / max(average, 1))))
