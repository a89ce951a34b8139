"""A cache of values that a database may revoke: served without a query, stale for one second at most.

The database lists what it revokes under numbers that grow in the order of the commits. The cache
reads that list again and again. A value may be used at a moment t if, within the second before t,
either the value itself or the list was read: in both cases every revocation older than that reading
has been seen. Where the database does not answer or the event loop was held up, nothing is trusted
any more and values have to be fetched again; so no failure makes the bound longer.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Generic, TypeVar

from emporium.application.ports import Unavailable
from emporium.infra.eventstore.database import Database

__all__ = ["TRUST", "RevocableCache", "connected", "repeated"]

K = TypeVar("K")
V = TypeVar("V")

TRUST: Final = 1.0
"""Seconds for which a reading of the database vouches for a value."""

_INTERVAL: Final = 0.4
"""Seconds between two readings of the list of revocations: a late one and a slow one still make one in time."""

_OLDEST: Final = 60.0
"""Seconds after which a value is fetched again in any case, so that a change by hand shows too."""

_PATIENCE: Final = 5.0
_TRIES: Final = 3

_log = logging.getLogger(__name__)


class RevocableCache(Generic[K, V]):
    """Values by key, the least recently used of which give way.

    Args:
        read: `(after) -> [(number, key), …]`: the revocations with higher numbers, in their order.
        newest: the number of the newest revocation (0 where there is none).
        revoked: the value that takes a revoked one's place, for good.
        capacity: the most values held.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        read: Callable[[int], Awaitable[Sequence[tuple[int, K]]]],
        newest: Callable[[], Awaitable[int]],
        *,
        revoked: V,
        capacity: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self._read = read
        self._newest = newest
        self._revoked = revoked
        self._clock = clock
        self._values: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._position = 0
        self._seen = float("-inf")
        self._under_way: dict[object, set[K]] = {}

    def get(self, key: K) -> V | None:
        """The value, if it can be trusted now."""
        found = self._values.get(key)
        if found is None:
            return None
        value, fetched = found
        if value is not self._revoked:
            now = self._clock()
            if now - max(fetched, self._seen) > TRUST or now - fetched > _OLDEST:
                return None
        self._values.move_to_end(key)
        return value

    async def fetch(self, keys: Iterable[K], query: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        """Fetches those that `get` would not give: `query(keys)` reads them from the database.

        Afterwards, until the caller next awaits, `get` gives every key that has a value. Raises ValueError
        for more keys than the cache holds, Unavailable where answers are stale by the time they come.
        """
        wanted = set(keys)
        if len(wanted) > self.capacity:
            raise ValueError(f"{len(wanted)} keys are more than the {self.capacity} that can be held at a time")
        for _ in range(_TRIES):
            missing = [key for key in wanted if self.get(key) is None]
            if not missing:
                return
            # What has no value is asked for once.
            wanted.difference_update(set(missing) - await self._fetch(missing, query))
        if any(self.get(key) is None for key in wanted):
            raise Unavailable("the database takes too long to answer")

    async def _fetch(self, keys: Sequence[K], query: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> set[K]:
        fetched = self._clock()
        # A revocation that comes in while the query is under way may be newer than its answer.
        this = object()
        revoked = self._under_way[this] = set()
        try:
            answer = await query(keys)
        finally:
            del self._under_way[this]
        for key, value in answer.items():
            self._put(key, self._revoked if key in revoked else value, fetched)
        return set(answer)

    def revoke(self, key: K) -> None:
        """The value is revoked from now on, in this process."""
        for revoked in self._under_way.values():
            revoked.add(key)
        if key in self._values:
            self._put(key, self._revoked, self._clock())

    async def start(self) -> None:
        """Begins with the revocations to come. To be called once, before the first `fetch`."""
        self._position = await self._newest()

    async def catch_up(self) -> None:
        """Reads the revocations since the last time; raises what `read` does."""
        began = self._clock()
        for number, key in await self._read(self._position):
            self.revoke(key)
            self._position = number
        self._seen = began

    def _put(self, key: K, value: V, fetched: float) -> None:
        self._values[key] = (value, fetched)
        self._values.move_to_end(key)
        if len(self._values) > self.capacity:
            self._values.popitem(last=False)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[tuple[Database, Database]]:
    """A database for the values, and the same by another connection for the revocations.

    So these are heard of however many wait for values. Raises Unavailable.
    """
    async with AsyncExitStack() as stack:
        both = Database(dsn, pool=3, patience=_PATIENCE), Database(dsn, pool=1, patience=_PATIENCE)
        for database in both:
            await database.open()
            stack.push_async_callback(database.close)
        yield both


@asynccontextmanager
async def repeated(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Does each of the works again and again beside the body, whatever they raise."""
    tasks = [asyncio.create_task(_again_and_again(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    failing = False
    while True:
        try:
            await work()
            failing = False
        except Exception:
            if not failing:
                _log.warning("a cache cannot be kept up to date; until it can, more is read anew", exc_info=True)
            failing = True
        await asyncio.sleep(_INTERVAL)
