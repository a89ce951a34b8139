"""What is searched, clicked and ordered, noted off the path of requests: counted in memory, written in batches."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, Generic, TypeVar

__all__ = ["Notes", "hour_of", "worth_noting"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY: Final = 1.0
"""Seconds between two writes."""

MOST: Final = 10_000
"""Different notes that wait; what is over is not noted, rather than that anybody waits."""

_PERSONAL: Final = re.compile(r"@|\d[\d\s().-]{6,}\d")


def worth_noting(words: str) -> bool:
    """Whether a query may be kept: not where somebody pasted an address, a telephone or a card number."""
    return bool(words) and _PERSONAL.search(words) is None


def hour_of(at: datetime) -> datetime:
    """The hour of a moment: finer than that, nobody needs to know."""
    return at.replace(minute=0, second=0, microsecond=0)


class Notes(Generic[T]):
    """Counts notes that are alike and writes the counts.

    Args:
        write: writes counts; what it cannot write is lost, but for what comes after.
    """

    def __init__(self, write: Callable[[Mapping[T, int]], Awaitable[None]], *, every: float = EVERY) -> None:
        self._write = write
        self._every = every
        self._counts: Counter[T] = Counter()

    def note(self, one: T) -> None:
        """Counts it; never waits."""
        if one in self._counts or len(self._counts) < MOST:
            self._counts[one] += 1

    async def run(self) -> None:
        """Writes for ever; a last time when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(self._every)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Writes what is there now."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._write(counts)
        except Exception as error:
            _log.warning("%d notes about searches are lost: %s", len(counts), error)
