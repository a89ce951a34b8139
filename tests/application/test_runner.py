"""What becomes of leaders: one who loses the lease comes back, and forgets nothing that is still to be done."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from emporium.application.effects import Finished, Park, Retry
from emporium.application.policies import PAYMENTS
from emporium.application.ports import Meta, Restored, Task, Tracking, Unit
from emporium.application.runner import Follower, ProcessManager, TaskRunner
from tests.support.memory import ManualClock, MemoryLog

CAUSE = Meta("test", "request:test", "system:test")


def runner(log: MemoryLog, performer: "Performer") -> TaskRunner:
    return TaskRunner(log, {"effect.call": performer}, ManualClock(), lambda event, before: ())


class Performer:
    """Calls the outside: a call hangs until it is let go."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.called = asyncio.Event()
        self.answer = asyncio.Event()

    async def __call__(self, task: Task) -> Finished | Retry | Park:
        self.begun.append(task.id)
        self.called.set()
        await self.answer.wait()
        return Finished()


async def test_a_call_that_was_given_up_is_made_again_by_the_same_process() -> None:
    log, performer = MemoryLog("payments"), Performer()
    task = Task(uuid4(), "effect.call", datetime(2026, 1, 1, tzinfo=UTC), uuid4(), {}, CAUSE)
    await log.append(Unit(tasks=[task]))
    tasks = runner(log, performer)
    async with asyncio.timeout(10):
        leading = asyncio.create_task(tasks.run())
        await performer.called.wait()
        leading.cancel()
        await tasks.stop()
        assert tasks.idle
        performer.answer.set()
        leading = asyncio.create_task(tasks.run())
        while log.tasks:
            await asyncio.sleep(0)
        leading.cancel()
    assert performer.begun == [task.id, task.id]


class LosingLeases:
    """Each lease is lost at its first renewal; giving one back is never answered."""

    def __init__(self) -> None:
        self.epochs = 0
        self.third = asyncio.Event()

    async def acquire(self, name: str, owner: str, ttl: float) -> int | None:
        self.epochs += 1
        if self.epochs == 3:
            self.third.set()
        return self.epochs

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> bool:
        return False

    async def release(self, name: str, owner: str, epoch: int) -> None:
        await asyncio.Event().wait()


async def test_a_leader_that_cannot_give_its_lease_back_leads_again() -> None:
    leases = LosingLeases()
    tasks = runner(MemoryLog("payments"), Performer())
    manager = ProcessManager("payments", [], tasks, leases, "test", ttl=0.03)
    running = asyncio.create_task(manager.run())
    async with asyncio.timeout(10):
        await asyncio.wait([running, asyncio.create_task(leases.third.wait())], return_when=asyncio.FIRST_COMPLETED)
    assert not running.done()
    running.cancel()


async def test_a_leader_whose_upstream_ends_before_its_position_ends_the_process() -> None:
    log, upstream = MemoryLog("payments"), MemoryLog("ordering")
    await log.append(Unit(tracking=Tracking("payments", "ordering", 0, 5, 1, upstream.incarnation)))
    clock = ManualClock()
    follower = Follower(PAYMENTS, log, upstream, upstream, clock, lambda event, before: ())
    leases = LosingLeases()
    manager = ProcessManager("payments", [follower], runner(log, Performer()), leases, "test", ttl=30)
    with pytest.raises(Restored):
        async with asyncio.timeout(10):
            await manager.run()
