"""Orders as they move, for whoever looks on: one look at the ordering log a process wakes all who wait for an order."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from uuid import UUID

from emporium.application.ports import EventLog
from emporium.domain.base import Event
from emporium.domain.order import TRANSITIONS, OrderAddressChanged, OrderAddressChangeRefused, OrderCreated

__all__ = ["TOLD", "Live", "NoPlace"]

TOLD: Final[frozenset[type[Event]]] = frozenset(
    {
        OrderCreated,
        OrderAddressChanged,
        OrderAddressChangeRefused,
        *(event for row in TRANSITIONS.values() for event in row),
    }
)
"""The events that onlookers are told of: what moves the order or its money, but nothing of staff's own."""

_TOPICS: Final = tuple(sorted(f"ordering.{event.__name__}" for event in TOLD))
_BATCH: Final = 1_000
_POLL: Final = 5.0
_RETRY: Final = 0.5

_log = logging.getLogger(__name__)


class NoPlace(Exception):  # noqa: N818
    """Nobody more can be told at present: `own` because of the caller's own streams, else of everybody's."""

    def __init__(self, own: bool) -> None:
        super().__init__("the caller has too many streams" if own else "there are too many streams")
        self.own = own


class Live:
    """Who waits for which order.

    Args:
        log: the ordering log.
        places: the most streams of this process; each: of one caller.
        heartbeat: seconds between two signs of life; longest: those that a stream lasts at most.
    """

    def __init__(
        self, log: EventLog, *, places: int = 500, each: int = 10, heartbeat: float = 15.0, longest: float = 900.0
    ) -> None:
        self.log = log
        self.heartbeat = heartbeat
        self.longest = longest
        self._places = places
        self._each = each
        self._callers: Counter[str] = Counter()
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._wanted = asyncio.Event()
        self.closing = False

    @property
    def open(self) -> int:
        """The streams that are open."""
        return self._callers.total()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Live"]:
        """Looks at the log while the context is open and somebody waits; all streams end with it."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self.closing = True
            self._wake_all()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def listening(self, order_id: UUID, caller: str) -> Iterator[asyncio.Event]:
        """What is set whenever the order may have moved. Raises NoPlace."""
        if self._callers[caller] >= self._each:
            raise NoPlace(own=True)
        if self.open >= self._places:
            raise NoPlace(own=False)
        woken = asyncio.Event()
        self._callers[caller] += 1
        self._waiting[order_id].add(woken)
        self._wanted.set()
        try:
            yield woken
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]
            self._waiting[order_id].discard(woken)
            if not self._waiting[order_id]:
                del self._waiting[order_id]

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._look()
            except Exception as error:
                _log.warning("the ordering log could not be watched: %s", error)
                await asyncio.sleep(_RETRY)

    async def _look(self) -> None:
        """Wakes those whose orders move, until nobody waits any more."""
        at = await self.log.head()
        # Whoever looked before this moment may have missed what came since.
        self._wake_all()
        while self._waiting:
            if await self.log.wait(at, _POLL, topics=_TOPICS):
                events, at = await self.log.read(at, _BATCH, topics=_TOPICS)
                for stream in {one.stream for one in events}:
                    for woken in self._waiting.get(stream, ()):
                        woken.set()
        self._wanted.clear()

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for woken in waiting:
                woken.set()
