"""Plays history back: the process managers of this process alone, each event at the time of what it follows from."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from emporium.application.ports import Superseded, Task
from emporium.application.runner import IDLE, LogFollower, ProcessManager, TaskRunner
from emporium.application.shop import Shop
from emporium.application.together import end, until_one_ends

__all__ = ["HistoryClock", "Playback", "Stalled"]

TTL: Final = 120.0
"""Seconds for which the leases outlast a playback that was killed, so that it can be run again before a worker,
whose clock is another one, takes its open orders for late ones."""

STEP_DOWN: Final = 5.0
"""Seconds in which a worker notices that its lease was taken: the time to live of its leases."""

PATIENCE: Final = 60.0
"""Seconds for which a task that fails is tried again before the playback is given up."""

_PACE: Final = 0.005
_LOOK: Final = 0.01
_SOME: Final = 256

_log = logging.getLogger(__name__)


class Stalled(Exception):  # noqa: N818
    """Something outside does not answer, so that the playback cannot go on; it can be run again."""


class HistoryClock:
    """What follows from an event happens at the event's own time; tasks are due up to a horizon.

    Args:
        horizon: an aware time.
    """

    def __init__(self, horizon: datetime) -> None:
        self.horizon = horizon

    def now(self) -> datetime:
        return self.horizon

    def following(self, at: datetime) -> datetime:
        return at


class Playback:
    """Runs the process managers until nothing is left to do, as often as it is asked to.

    What a row of history makes necessary at once (charges, parcels, refunds) is done by `rest`, whatever the
    horizon; what waits for its time (deadlines, expiries) is done by `drain`, up to a time. So no deadline of
    a row overtakes what the row still has to do.

    Args:
        managers: of a shop whose clock is a HistoryClock, not running.
        owner: this process in the leases.
    """

    def __init__(self, shop: Shop, managers: Sequence[ProcessManager], owner: str) -> None:
        self._shop = shop
        self._managers = managers
        self._owner = owner
        self._leases = {manager.name: manager.leases for manager in managers}
        self._followers = [follower for manager in managers for follower in manager.followers]
        self._logs = {follower.upstream.name: follower.upstream for follower in self._followers}
        self._prompt = {manager.name: manager.tasks.part(lambda kind: not _waits(kind)) for manager in managers}
        self._timers = [manager.tasks.part(_waits) for manager in managers]
        self._pumps: list[asyncio.Task[None]] = []
        self._nudge = asyncio.Event()

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Leads all process managers for the block, instead of whoever led them.

        Raises Superseded from `rest` and `drain` where another playback has taken over.
        """
        epochs: dict[str, int] = {}
        try:
            deposed = False
            for manager in self._managers:
                leases = manager.leases
                epoch = await leases.acquire(manager.name, self._owner, TTL)
                if epoch is None:
                    epoch = await leases.acquire(manager.name, self._owner, TTL, force=True)
                    deposed = True
                assert epoch is not None
                epochs[manager.name] = epoch
            if deposed:
                await asyncio.sleep(STEP_DOWN)
            self._pumps = [asyncio.create_task(self._renew(epochs))]
            for manager in self._managers:
                tasks, turn = self._prompt[manager.name], asyncio.Lock()
                self._pumps.append(asyncio.create_task(tasks.run()))
                for follower in manager.followers:
                    self._pumps.append(
                        asyncio.create_task(_pump(follower, tasks, epochs[manager.name], turn, self._nudge))
                    )
            yield
        finally:
            await end(self._pumps)
            for runner in (*self._prompt.values(), *self._timers):
                await runner.stop()
            for name, epoch in epochs.items():
                await self._leases[name].release(name, self._owner, epoch)

    async def rest(self) -> None:
        """Returns when every event was handled and no prompt task is open. Raises Superseded, Stalled."""
        loop = asyncio.get_running_loop()
        seen: dict[str, int] = {}
        since = loop.time()
        while True:
            self._check()
            if all(runner.idle for runner in self._prompt.values()):
                heads = {name: await log.head() for name, log in self._logs.items()}
                still = heads == seen
                if not still:
                    seen, since = heads, loop.time()
                if self._handled(heads):
                    left = await self._left()
                    if left is None:
                        return
                    if loop.time() - since > PATIENCE:
                        raise Stalled(f"{left.kind} of {left.stream}: {left.error or 'no outcome'}")
                elif still:
                    # Nothing wakes a follower for events that do not matter to it.
                    self._nudge.set()
                    self._nudge.clear()
            await asyncio.sleep(_LOOK)

    async def drain(self, upto: datetime) -> None:
        """Does what fell due by then, and all that follows from it. Raises as `rest`."""
        loop = asyncio.get_running_loop()
        for runner in self._timers:
            since = loop.time()
            while due := await runner.log.due_tasks(upto, _SOME, kinds=runner.kinds):
                if any(task.attempts == 0 for task in due):
                    since = loop.time()
                elif loop.time() - since > PATIENCE:
                    raise Stalled(f"{due[0].kind} of {due[0].stream}: {due[0].error}")
                else:
                    await asyncio.sleep(IDLE)
                runner.offer(due)
                while not runner.idle:
                    self._check()
                    if not await runner.step():
                        await asyncio.sleep(0.001)
        await self.rest()

    def _handled(self, heads: dict[str, int]) -> bool:
        return all(follower.position >= heads[follower.upstream.name] for follower in self._followers) and all(
            runner.idle for runner in self._prompt.values()
        )

    async def _left(self) -> Task | None:
        """A prompt task that is still open."""
        for runner in self._prompt.values():
            found = await runner.log.due_tasks(self._shop.clock.now(), 1, kinds=runner.kinds)
            if found:
                return found[0]
        return None

    def _check(self) -> None:
        for pump in self._pumps:
            if pump.done():
                pump.result()

    async def _renew(self, epochs: dict[str, int]) -> None:
        while True:
            await asyncio.sleep(TTL / 4)
            for name, epoch in epochs.items():
                if not await self._leases[name].renew(name, self._owner, epoch, TTL):
                    raise Superseded(f"the lease of {name} is lost")


async def _pump(follower: LogFollower, tasks: TaskRunner, epoch: int, turn: asyncio.Lock, nudge: asyncio.Event) -> None:
    """Followers of one log take turns: with so much at once, most of their commits would conflict."""
    await follower.resume()
    while True:
        async with turn:
            moved, made = await follower.step(epoch)
        tasks.offer(made)
        if moved:
            await asyncio.sleep(_PACE)
        else:
            await until_one_ends(follower.upstream.wait(follower.position, IDLE, topics=follower.topics), nudge.wait())


def _waits(kind: str) -> bool:
    return kind.startswith("timer.") or kind == "effect.payment_deadline"
