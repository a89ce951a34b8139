"""How far a log has grown: woken by local commits, by NOTIFY, and by a poll in case both are missed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

from emporium.application.ports import Unavailable

__all__ = ["Listener", "Notifier", "Tail"]

_logger = logging.getLogger(__name__)
_POLL: Final = 0.5
_SOON: Final = 0.1
_MOST_TOLD: Final = 4_000  # PostgreSQL takes less than 8,000 bytes
_LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError, OSError)

Connect = Callable[[], Awaitable[psycopg.AsyncConnection[tuple[Any, ...]]]]

There = Callable[[int, Collection[str]], tuple[bool, int]]
"""(position, topics) → whether an event of them is known after it, and where to go on looking."""


class _Waiting:
    """Somebody who waits: beyond which position, and for which topics (None: any; none: any, without haste)."""

    __slots__ = ("after", "topics")

    def __init__(self, after: int, topics: frozenset[str] | None) -> None:
        self.after = after
        self.topics = topics


class Tail:
    """The last known position of a log, and who waits for the next.

    Args:
        look: reads how far the log has grown; raises Unavailable while the database is away, which only delays.
        there: tells events of some topics from others.
    """

    def __init__(self, look: Callable[[], Awaitable[int]], there: There) -> None:
        self._look = look
        self._there = there
        self._waiting: dict[asyncio.Future[None], _Waiting] = {}
        self._later: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()
        self._nudged = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.head = 0

    def advance(self, head: int) -> None:
        """The log is known to hold something at `head`."""
        self.head = max(head, self.head)
        for future, one in list(self._waiting.items()):
            if not future.done() and self._matters(one):
                future.set_result(None)

    def _matters(self, one: _Waiting) -> bool:
        if one.after >= self.head:
            return False
        if not one.topics:
            return True
        there, one.after = self._there(one.after, one.topics)
        return there

    def hint(self, topics: Collection[str]) -> None:
        """The log has grown by events of these topics: look now where somebody waits for them, else soon."""
        if any(one.topics is None or not one.topics.isdisjoint(topics) for one in self._waiting.values()):
            self.nudge()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(_SOON, self.nudge)

    def nudge(self) -> None:
        """The log may have grown: look now, not at the next poll."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._nudged.set()

    async def wait(self, after: int, timeout: float, topics: frozenset[str] | None = None) -> bool:
        """Whether the log has grown beyond `after`, by events of the topics, within `timeout` seconds.

        Without topics (empty) anything counts, but is not hurried for.
        """
        one = _Waiting(after, topics)
        if self._matters(one):
            return True
        if timeout <= 0:
            return False
        if self._watch is None:
            self._watch = asyncio.create_task(self._watching())
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = one
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout):  # wait_for of Python 3.11 may swallow a cancellation
                await future
        except TimeoutError:
            return False
        finally:
            del self._waiting[future]
        return True

    async def close(self) -> None:
        """Stops watching."""
        if self._later is not None:
            self._later.cancel()
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def _watching(self) -> None:
        while True:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._nudged.wait()
            self._nudged.clear()
            try:
                self.advance(await self._look())
            except Unavailable as error:
                _logger.info("looking for new events was interrupted: %s", error)
            except Exception as error:
                for future in list(self._waiting):
                    if not future.done():
                        future.set_exception(error)


class Listener:
    """Hears NOTIFY on one database, over a connection of its own that it renews for ever.

    Args:
        connect: makes an autocommit connection that is no transaction pooler's.
        channels: channel → what to tell that its log has grown to a position by events of some topics; None and
            no topics where that is not known.
    """

    def __init__(self, connect: Connect, channels: Mapping[str, Callable[[int | None, list[str]], None]]) -> None:
        self._connect = connect
        self._channels = dict(channels)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stops listening."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                async with await self._connect() as connection:
                    for channel in self._channels:
                        await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                    # What was committed before LISTEN has notified nobody.
                    for heard in self._channels.values():
                        heard(None, [])
                    pause = 0.05
                    async for notification in connection.notifies():
                        # The eventsourcing library notifies without a position.
                        position, *topics = notification.payload.split(" ")
                        known = int(position) if position.isdecimal() else None
                        self._channels[notification.channel](known, topics)
            except _LOST as error:
                _logger.info("listening was interrupted, trying again in %.2f s: %s", pause, error)
            except Exception:
                _logger.exception("listening failed")
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)


class Notifier:
    """NOTIFY after commits, with the log's last position and the events' topics, coalesced, on a connection
    of its own: inside the commit it would serialise the commits of the whole cluster.

    Args:
        connect: makes an autocommit connection.
        gap: seconds between two notifications of a busy log; the first of a quiet one goes at once.
    """

    def __init__(self, connect: Connect, gap: float = 0.005) -> None:
        self._connect = connect
        self._gap = gap
        self._pending: dict[str, tuple[int, set[str]]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def notify(self, channel: str, position: int, topics: Collection[str]) -> None:
        """Who listens to `channel` shall learn that its log has grown to a position by events of these topics."""
        before, others = self._pending.setdefault(channel, (0, set()))
        others.update(topics)
        self._pending[channel] = max(position, before), others
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stops. What is pending is found by the listeners' poll."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                async with await self._connect() as connection:
                    # A notification that a crash of the database loses is of no use after it.
                    await connection.execute("SET synchronous_commit = off")
                    while True:
                        await self._wake.wait()
                        self._wake.clear()
                        pending, self._pending = self._pending, {}
                        await connection.execute(
                            "SELECT pg_notify(x.channel, x.told)"
                            " FROM unnest(%s::text[], %s::text[]) AS x (channel, told)",
                            [list(pending), [_told(*one) for one in pending.values()]],
                        )
                        await asyncio.sleep(self._gap)
            except _LOST as error:
                # Listeners poll as well: a lost notification costs them half a second.
                _logger.info("notifying was interrupted: %s", error)
            except Exception:
                _logger.exception("notifying failed")
            await asyncio.sleep(0.2)


def _told(position: int, topics: Collection[str]) -> str:
    """A payload: the position and the topics; without these where they are too many for a notification."""
    told = " ".join((str(position), *topics))
    return told if len(told) < _MOST_TOLD else str(position)
