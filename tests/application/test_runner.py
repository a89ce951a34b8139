"""What becomes of leaders: one who loses the lease comes back, and forgets nothing that is still to be done."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from emporium.application.commands import handle
from emporium.application.effects import Finished, Park, Retry
from emporium.application.policies import INVENTORY, PAYMENTS
from emporium.application.ports import Meta, NewEvent, Recorded, Restored, Task, Tracking, Unit, Unreadable
from emporium.application.runner import Follower, ProcessManager, TaskRunner
from emporium.application.work import Work
from emporium.domain import payment
from emporium.domain.base import Event, Money
from emporium.domain.order import OrderCreated, OrderLine, OrderReturned, ReturnedLine
from emporium.domain.payment import PAYMENT, payment_id_of
from emporium.domain.reservation import Allocation, StockReserved, reservation_id_of
from emporium.domain.shipment import OrderShipped
from emporium.domain.stock import STOCK, UnitsReceived, UnitsReserved, stock_id_of
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


# --- poison: what cannot be handled is set aside, and all else goes on -----------------------------

GBP = Money(500, "GBP")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def created(order_id: UUID) -> OrderCreated:
    line = OrderLine(line=1, sku="MUG", title="Mug", quantity=1, unit_price=GBP, total=GBP)
    return OrderCreated(
        order_id=order_id, number="N", subject=order_id, lines=(line,), goods=GBP, shipping=Money(0, "GBP"), total=GBP,
        country="GB", payment_method="pm_ok", placed_at=NOW,
    )  # fmt: skip


async def put(log: MemoryLog, stream: UUID, event: Event, version: int = 1) -> None:
    await log.append(Unit(events=[NewEvent(uuid4(), stream, version, event, NOW, CAUSE)]))


class Torn(MemoryLog):
    """A log in which some things cannot be read: events by position, streams by id."""

    def __init__(self, name: str, positions: Sequence[int] = (), streams: Sequence[UUID] = ()) -> None:
        super().__init__(name)
        self.positions_torn = set(positions)
        self.streams_torn = set(streams)

    async def read(self, after: int, limit: int, *, topics: Sequence[str] | None = None) -> tuple[list[Recorded], int]:
        events, upto = await super().read(after, limit, topics=topics)
        for number, one in enumerate(events):
            if one.position in self.positions_torn:
                if number:
                    return events[:number], events[number - 1].position
                raise Unreadable(self.name, one.position, one.stream, one.version, one.topic, "torn")
        return events, upto

    async def load_many(self, aggregate, streams, *, fresh=False, presumed_new=()):  # type: ignore[no-untyped-def]
        looked_for = set(streams) if fresh else set(streams).difference(presumed_new)
        if self.streams_torn & looked_for:
            raise ValueError("torn")
        found = await super().load_many(aggregate, streams, fresh=fresh)
        return {stream: found[stream] if stream in looked_for else (None, 0) for stream in streams}

    async def append(self, unit: Unit) -> int:
        if any("\0" in repr(new.event) or "\\x00" in repr(new.event) for new in unit.events):
            raise ValueError("a NUL character cannot be stored")
        if any("\0" in (update.error or "") for update in unit.task_updates):
            raise ValueError("a NUL character cannot be stored")
        return await super().append(unit)


async def requested(log: MemoryLog, orders: Sequence[UUID]) -> list[bool]:
    """Which of the orders' payments were requested."""
    return [
        (await MemoryLog.load_many(log, PAYMENT, [payment_id_of(one)]))[payment_id_of(one)][1] > 0 for one in orders
    ]


async def drained(follower: Follower) -> None:
    while (await follower.step(1))[0]:
        pass


async def test_an_event_that_cannot_be_read_holds_up_no_other_order() -> None:
    orders = [uuid4() for _ in range(3)]
    log, upstream = MemoryLog("payments"), Torn("ordering", positions=[2])
    for one in orders:
        await put(upstream, one, created(one))
    clock = ManualClock()
    follower = Follower(PAYMENTS, log, upstream, upstream, clock, lambda event, before: ())
    await drained(follower)
    assert await requested(log, orders) == [True, False, True]
    [task] = log.tasks.values()
    upstream.positions_torn.clear()
    outcome = await follower.again(task)
    assert isinstance(outcome, Finished)
    assert len(outcome.commands) == 1


async def test_a_stream_that_cannot_be_loaded_holds_up_no_other_order() -> None:
    orders = [uuid4() for _ in range(3)]
    log, upstream = Torn("payments", streams=[payment_id_of(orders[1])]), MemoryLog("ordering")
    there = payment.PaymentCancelled(payment_id=payment_id_of(orders[1]), order_id=orders[1], reason="no")
    await put(log, payment_id_of(orders[1]), there)
    for one in orders:
        await put(upstream, one, created(one))
    follower = Follower(PAYMENTS, log, upstream, upstream, ManualClock(), lambda event, before: ())
    await drained(follower)
    assert await requested(log, [orders[0], orders[2]]) == [True, True]
    assert [task.kind for task in log.tasks.values()] == ["later.payments.ordering"]


async def test_a_reaction_that_fails_holds_up_no_other_order(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [uuid4() for _ in range(3)]
    log, upstream = MemoryLog("payments"), MemoryLog("ordering")
    for one in orders:
        await put(upstream, one, created(one))

    async def failing(work: Work, command: payment.RequestPayment, cause: Meta) -> None:
        if command.order_id == orders[1]:
            raise KeyError("a bug")
        await handle(work, command, cause)

    monkeypatch.setattr("emporium.application.runner.handle", failing)
    follower = Follower(PAYMENTS, log, upstream, upstream, ManualClock(), lambda event, before: ())
    await drained(follower)
    assert await requested(log, orders) == [True, False, True]
    assert len(log.tasks) == 1


async def test_an_outcome_that_cannot_be_stored_parks_its_task_and_no_other() -> None:
    orders = [uuid4() for _ in range(3)]
    log = Torn("payments")
    for one in orders:
        asked = payment.PaymentRequested(
            payment_id=payment_id_of(one), order_id=one, amount=GBP, method="pm_ok", key="k"
        )
        await put(log, payment_id_of(one), asked)
    tasks = [Task(uuid4(), "effect.charge", NOW, payment_id_of(one), {"order_id": str(one)}, CAUSE) for one in orders]
    await log.append(Unit(tasks=tasks))

    async def charge(task: Task) -> Finished | Retry | Park:
        one = UUID(task.data["order_id"])
        code = "bad\0word" if one == orders[1] else "no"
        return Finished([payment.RecordDecline(order_id=one, code=code)])

    clock = ManualClock()
    runner = TaskRunner(log, {"effect.charge": charge}, clock, lambda event, before: ())
    for _ in range(10):
        clock.advance(timedelta(minutes=10))
        await runner.poll(clock.now())
        await runner.step()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await runner.step()
    [left] = log.tasks.values()
    assert left.id == tasks[1].id
    assert left.parked


async def test_what_another_says_is_stored_without_what_no_database_holds() -> None:
    log = Torn("payments")
    task = Task(uuid4(), "effect.call", NOW, uuid4(), {}, CAUSE)
    await log.append(Unit(tasks=[task]))

    async def call(task: Task) -> Finished | Retry | Park:
        return Retry(timedelta(hours=1), "the provider answered 500: \0")

    runner = TaskRunner(log, {"effect.call": call}, ManualClock(), lambda event, before: ())
    await runner.poll(NOW + timedelta(minutes=1))
    await runner.step()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await runner.step()
    assert log.tasks[task.id].attempts == 1


async def test_an_event_that_is_still_too_early_is_tried_again() -> None:
    one, part = uuid4(), Allocation("MUG", "LON", 1)
    ordering, shipping, inventory = MemoryLog("ordering"), MemoryLog("shipping"), MemoryLog("inventory")
    reserved = StockReserved(order_id=one, payment_id=uuid4(), allocations=(part,))
    await put(inventory, reservation_id_of(one), reserved)
    for version, event in enumerate(
        (
            UnitsReceived(sku="MUG", warehouse="LON", quantity=1),
            UnitsReserved(sku="MUG", warehouse="LON", order_id=one, quantity=1),
        ),
        start=1,
    ):
        await put(inventory, stock_id_of("MUG", "LON"), event, version)
    back = ReturnedLine(line=1, sku="MUG", quantity=1, amount=GBP)
    await put(
        ordering, one,
        OrderReturned(order_id=one, return_id=uuid4(), lines=(back,), amount=GBP, restock=True, reason="broken"),
    )  # fmt: skip
    clock = ManualClock()
    following = [
        Follower(INVENTORY, inventory, upstream, ordering, clock, lambda event, before: ())
        for upstream in (ordering, shipping)
    ]
    runner = TaskRunner(inventory, {one.later_kind: one.again for one in following}, clock, lambda event, before: ())

    async def tried() -> None:
        clock.advance(timedelta(minutes=10))
        await runner.poll(clock.now())
        await runner.step()
        for running in list(runner._running):
            await running
        await runner.step()

    await drained(following[0])
    await tried()
    [task] = inventory.tasks.values()
    assert (task.attempts, task.parked) == (1, False)
    left = OrderShipped(order_id=one, parcel=1, of=1, items=(part,), carrier="c", tracking_number="t", tracking_url="u")
    await put(shipping, one, left)
    await drained(following[1])
    await tried()
    assert not inventory.tasks
    state, _ = await inventory.load(STOCK, stock_id_of("MUG", "LON"))
    assert state is not None
    assert (state.on_hand, state.reserved) == (1, 0)
