"""The whole saga under a seeded scheduler: any order of followers, tasks, faults and cancellations ends right."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from emporium.application import commands
from emporium.application.commands import handle
from emporium.application.effects import Effects
from emporium.application.policies import POLICIES
from emporium.application.ports import Meta, ProviderDown
from emporium.application.runner import Follower, TaskRunner
from emporium.application.schedules import TimeLimits, scheduler
from emporium.application.work import Work, execute
from emporium.domain import order, payment
from emporium.domain.backorder import BACKORDERS, AllowBackorder, BackorderFilled, BackorderState
from emporium.domain.base import Money, Rejected
from emporium.domain.cancellations import CancelLines
from emporium.domain.cart import CART, AddCartItem, CheckOutCart
from emporium.domain.order import ORDER, OrderLine, PlaceOrder, RequestCancellation, order_id_of
from emporium.domain.payment import PAYMENT, payment_id_of
from emporium.domain.registry import AGGREGATES
from emporium.domain.reservation import StockBackordered, StockReserved
from emporium.domain.shipment import SHIPMENT, shipment_id_of
from emporium.domain.stock import STOCK, ReceiveUnits, stock_id_of
from emporium.domain.warehouse import OpenWarehouse
from tests.support.memory import ManualClock, MemoryCarrier, MemoryLog, MemoryProvider, OpenVault

SPACE = UUID("00000000-0000-4000-8000-000000000002")
SKUS = ("MUG", "TEA", "CUP")
WAREHOUSES = ("LON", "BER")
METHODS = ("pm_ok", "pm_ok", "pm_ok", "pm_ok", "pm_declined", "pm_never", "pm_3ds")


class Simulation:
    """One process in memory with a clock that only the scheduler moves."""

    def __init__(self, seed: int, faults: float) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.clock = ManualClock()
        self.limits = TimeLimits(tracking=timedelta(seconds=1))
        self.schedule = scheduler(self.limits)
        self.logs = {name: MemoryLog(name) for name in ("ordering", "payments", "inventory", "shipping")}
        self.provider = MemoryProvider(self.trouble)
        self.carrier = MemoryCarrier(self.trouble)
        effects = Effects(self.logs, self.provider, self.carrier, OpenVault(), self.clock, self.limits, automatic=True)
        log_of = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}
        self.followers = []
        self.runners = {}
        for policy in POLICIES:
            log = self.logs[policy.name]
            performers = dict(effects.performers.get(policy.name, {}))
            for upstream in dict.fromkeys(log_of[event] for event in policy.table):
                follower = Follower(
                    policy, log, self.logs[upstream], self.logs["ordering"], self.clock, self.schedule,
                    batch=self.random.choice((1, 3, 250)),
                )  # fmt: skip
                self.followers.append(follower)
                performers[follower.later_kind] = follower.again
            self.runners[policy.name] = TaskRunner(log, performers, self.clock, self.schedule)
        self.orders: list[UUID] = []

    def trouble(self) -> None:
        if self.random.random() < self.faults:
            raise ProviderDown("a fault of the simulation")

    async def run(self, log: str, *commands: object, request: str = "1") -> None:
        async def handler(work: Work) -> None:
            for command in commands:
                await handle(work, command)  # type: ignore[arg-type]

        correlation = str(getattr(commands[-1], "order_id", log))
        cause = Meta(correlation, f"request:{request}", "customer:1")
        await execute(self.logs[log], self.clock, cause, self.schedule, handler)

    async def stock(self, units: int = 6) -> None:
        for number, warehouse in enumerate(WAREHOUSES):
            opened = OpenWarehouse(code=warehouse, name=warehouse, country="GB", priority=number)
            await self.run("inventory", opened)
            for sku in SKUS:
                await self.run("inventory", ReceiveUnits(sku=sku, warehouse=warehouse, quantity=units))

    async def place(self, number: int) -> None:
        cart_id = uuid5(SPACE, f"cart {number}")
        order_id = order_id_of(cart_id, 1)
        lines = []
        now = self.clock.now()
        free = number % 4 == 3
        adds = []
        for line, sku in enumerate(self.random.sample(SKUS, self.random.randint(1, 3)), start=1):
            quantity = self.random.randint(1, 4)
            price = Money(0 if free else 250 * line, "GBP")
            adds.append(AddCartItem(cart_id=cart_id, sku=sku, quantity=quantity, unit_price=price, at=now))
            lines.append(
                OrderLine(line=line, sku=sku, title=sku, quantity=quantity, unit_price=price, total=price * quantity)
            )
        out = CheckOutCart(cart_id=cart_id, order_id=order_id, order_number=f"N{number}", attempt=1, at=now)
        place = PlaceOrder(
            order_id=order_id, number=f"N{number}", cart_id=cart_id, subject=order_id, lines=tuple(lines),
            shipping=Money(0 if free else 300, "GBP"), country="GB", payment_method=self.random.choice(METHODS), at=now,
        )  # fmt: skip
        await self.run("ordering", *adds, out, place)
        self.orders.append(order_id)

    async def cancel_one(self) -> None:
        try:
            wish = RequestCancellation(order_id=self.random.choice(self.orders), reason="changed my mind")
            await self.run("ordering", wish)
        except Rejected as rejected:
            assert rejected.code == "too_late_to_cancel"

    async def cut_one(self) -> None:
        """Somebody cancels some units of a line, whatever the order has come to."""
        order_id = self.random.choice(self.orders)
        state, _ = await self.logs["ordering"].load(ORDER, order_id)
        assert state is not None
        line = self.random.choice(state.lines)
        wish = CancelLines(
            order_id=order_id,
            cancellation_id=uuid5(order_id, f"cut {self.random.random()}"),
            lines=((line.line, self.random.randint(1, 2)),),
            reason="too many",
            by_staff=True,
        )
        try:
            await self.run("ordering", wish)
        except Rejected as rejected:
            assert rejected.code in ("too_late_to_cancel", "more_than_left")

    def authenticate_one(self) -> None:
        """A customer may do what the provider wants, whether or not it still matters."""
        if self.provider.charges:
            self.provider.authenticate(self.random.choice(list(self.provider.charges)))

    async def void_one(self) -> None:
        try:
            await self.run("payments", payment.RecordVoid(order_id=self.random.choice(self.orders), reason="let_go"))
        except Rejected as rejected:
            assert rejected.code in ("not_authorised", "no_such_payment")

    async def step(self) -> None:
        if self.random.random() < 0.5:
            await self.random.choice(self.followers).step(epoch=1)
            return
        runner = self.random.choice(list(self.runners.values()))
        if self.random.random() < 0.3:
            await runner.poll(self.clock.now())
        await runner.step()
        for running in list(runner._running):
            await running
        if self.random.random() < 0.2:
            self.authenticate_one()
        self.clock.advance(timedelta(milliseconds=self.random.randint(0, 300)))

    async def crash_one(self) -> None:
        """Whoever leads a context dies: calls under way are lost, and events come that were handled before."""
        name = self.random.choice(list(self.runners))
        await self.runners[name].stop()
        for follower in self.followers:
            if follower.log.name == name and self.random.random() < 0.3:
                follower.log.positions.pop((follower.name, follower.upstream.name), None)  # type: ignore[attr-defined]
            if follower.log.name == name:
                await follower.resume()

    async def storm(self, *, cancelling: float = 0.0, voiding: float = 0.0, cutting: float = 0.0) -> None:
        """Twelve orders with as many steps between them as chance wants, then the time that it takes to rest.

        Args:
            cancelling: how often a customer cancels after an order; voiding: the provider lets go after a step;
            cutting: somebody cancels some units after a step.
        """
        await self.stock()
        for number in range(12):
            await self.place(number)
            for _ in range(self.random.randint(0, 30)):
                await self.step()
                if voiding and self.random.random() < voiding:
                    await self.void_one()
                if cutting and self.random.random() < cutting:
                    await self.cut_one()
            if cancelling and self.random.random() < cancelling:
                await self.cancel_one()
        await self.settle()
        self.clock.advance(timedelta(hours=1))
        await self.settle()

    async def settle(self, *, rest: bool = False) -> None:
        """Runs on without faults until every order is at its end; with `rest` until nothing moves any more."""
        self.faults = 0.0
        for _ in range(400):
            moved = False
            for follower in self.followers:
                while (await follower.step(epoch=1))[0]:
                    moved = True
            for runner in self.runners.values():
                await runner.poll(self.clock.now())
                await runner.step()
                for running in list(runner._running):
                    await running
                moved |= await runner.step()
            if not moved:
                if rest or await self.closed():
                    return
                self.clock.advance(timedelta(seconds=60))
        raise AssertionError("the saga does not come to rest")

    async def closed(self) -> bool:
        states = [await self.logs["ordering"].load(ORDER, order_id) for order_id in self.orders]
        return all(state is not None and state.is_closed for state, _ in states)


@pytest.mark.parametrize("seed", range(60))
async def test_every_order_ends_and_nothing_is_lost_or_doubled(seed: int) -> None:
    simulation = Simulation(seed, faults=0.2)
    await simulation.storm(cancelling=0.4)
    await check(simulation)


async def check_documents(simulation: Simulation) -> int:
    """Every order that was sold has its one invoice, every refund of it its credit note, and no number is missing."""
    numbers: dict[str, list[int]] = {"INV": [], "CN": []}
    for order_id in simulation.orders:
        state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
        assert state is not None
        assert state.documents_due() == []
        invoices = [one for one in state.documents if one.kind == "invoice"]
        assert [one.amount for one in invoices] == [state.total] * (
            state.status == order.FULFILLED and state.total.amount > 0
        )
        credit = {one.refund_id: one.amount.amount for one in state.documents if one.kind == "credit_note"}
        assert credit == {known: -state.refunds[known] for known in state.corrections if state.refunds[known]}
        for one in state.documents:
            assert one.amount.amount == sum(part.gross.amount for part in one.taxes)
            series, _, count = one.number.split("-")
            numbers[series].append(int(count))
    for taken in numbers.values():
        assert sorted(taken) == list(range(1, len(taken) + 1))
    return len(numbers["CN"])


async def check(simulation: Simulation) -> None:
    await check_documents(simulation)
    sold: dict[str, int] = dict.fromkeys(SKUS, 0)
    for order_id in simulation.orders:
        state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
        paid, _ = await simulation.logs["payments"].load(PAYMENT, payment_id_of(order_id))
        assert state is not None
        assert paid is not None
        charged = sum(
            amount.amount
            for one, amount, outcome in simulation.provider.charges.values()
            if one == order_id and outcome.status == "succeeded"
        )
        back = sum(
            amount.amount for reference, amount in simulation.provider.refunds.values() if reference == paid.reference
        )
        assert charged in (0, state.total.amount)
        assert paid.received == charged
        if state.status == order.FULFILLED:
            assert charged == state.total.amount
            assert back == 0
            for line in state.lines:
                sold[line.sku] += line.quantity
        else:
            assert state.status in (order.FAILED, order.CANCELLED)
            assert back == charged, (state.status, paid)
        cart_state, _ = await simulation.logs["ordering"].load(CART, state.cart_id)  # type: ignore[arg-type]
        assert cart_state is not None
        assert bool(cart_state.items) == (state.status == order.FAILED)
        assert paid.status != payment.REQUESTED
    for sku in SKUS:
        states = [
            (await simulation.logs["inventory"].load(STOCK, stock_id_of(sku, warehouse)))[0] for warehouse in WAREHOUSES
        ]
        assert all(s is not None and s.reserved == 0 and s.on_hand >= 0 for s in states)
        assert sum(s.on_hand for s in states if s is not None) == 12 - sold[sku]
    for log in simulation.logs.values():
        assert not [task for task in log.tasks.values() if task.parked]
        known = {str(r.id) for other in simulation.logs.values() for r in other.events}
        for recorded in log.events:
            kind, _, cause = recorded.meta.causation.partition(":")
            assert kind in ("request", "timer", "event")
            assert kind != "event" or cause in known


@pytest.mark.parametrize("seed", range(30))
async def test_where_money_is_only_secured_it_is_taken_for_what_is_shipped_and_let_go_else(seed: int) -> None:
    simulation = Simulation(seed, faults=0.2)
    simulation.provider.captures = False
    await simulation.storm(cancelling=0.4)
    for order_id in simulation.orders:
        state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
        paid, _ = await simulation.logs["payments"].load(PAYMENT, payment_id_of(order_id))
        assert state is not None and paid is not None
        outcomes = [outcome for one, _, outcome in simulation.provider.charges.values() if one == order_id]
        taken = any(outcome.status == "succeeded" and outcome.captured for outcome in outcomes)
        held = any(outcome.status == "succeeded" and not outcome.captured for outcome in outcomes)
        back = [amount for reference, amount in simulation.provider.refunds.values() if reference == paid.reference]
        assert not held, "the customer's money stays blocked"
        if state.status == order.FULFILLED:
            assert taken or state.total.amount == 0
            assert not back
        else:
            assert not taken or [amount.amount for amount in back] == [state.total.amount]
            assert paid.left == 0
        assert paid.status != payment.REQUESTED
    for log in simulation.logs.values():
        assert not [task for task in log.tasks.values() if task.parked]


@pytest.mark.parametrize("captures", [True, False])
async def test_units_that_are_cancelled_are_paid_for_by_nobody_and_sent_to_nobody(captures: bool) -> None:
    cut = untaken = whole = 0
    for seed in range(20):
        simulation = Simulation(seed, faults=0.2)
        simulation.provider.captures = captures
        await simulation.storm(cancelling=0.1, cutting=0.4)
        sold = dict.fromkeys(SKUS, 0)
        for order_id in simulation.orders:
            state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
            paid, _ = await simulation.logs["payments"].load(PAYMENT, payment_id_of(order_id))
            assert state is not None and paid is not None
            charged = sum(
                amount.amount
                for one, amount, outcome in simulation.provider.charges.values()
                if one == order_id and outcome.status == "succeeded" and outcome.captured
            )
            mine = [money for known, money in simulation.provider.refunds.values() if known == paid.reference]
            back = sum(money.amount for money in mine)
            if state.status == order.FULFILLED:
                assert charged - back == state.total.amount
                assert not state.unwanted, "everybody has his answer"
                for line in state.lines:
                    sold[line.sku] += line.quantity
                cut += sum(one.status == "cancelled" for one in state.cancellations.values())
                untaken += len(paid.untaken)
            else:
                assert state.status in (order.FAILED, order.CANCELLED)
                assert back == charged
                whole += bool(state.cancellations)
        for sku in SKUS:
            states = [(await simulation.logs["inventory"].load(STOCK, stock_id_of(sku, w)))[0] for w in WAREHOUSES]
            assert all(s is not None and s.reserved == 0 for s in states)
            assert sum(s.on_hand for s in states if s is not None) == 12 - sold[sku]
        for log in simulation.logs.values():
            assert not [task for task in log.tasks.values() if task.parked]
    assert min(cut, whole) > 50
    assert untaken > 20 or captures


async def test_an_order_whose_secured_money_cannot_be_taken_is_stopped_before_its_goods_leave() -> None:
    stopped = refused = 0
    for seed in range(20):
        simulation = Simulation(seed, faults=0.1)
        simulation.provider.captures = False
        simulation.provider.refuses_captures = True
        await simulation.storm()
        for order_id in simulation.orders:
            state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
            paid, _ = await simulation.logs["payments"].load(PAYMENT, payment_id_of(order_id))
            assert state is not None and paid is not None
            assert paid.left == 0
            # What nobody pays for does not leave the house.
            assert state.status != order.FULFILLED or state.total.amount == 0
            stopped += state.status == order.CANCELLED and paid.voided
            refused += paid.voided
        assert not [task for log in simulation.logs.values() for task in log.tasks.values() if task.parked]
    assert stopped > 20
    assert refused >= stopped


async def test_an_order_whose_payment_is_let_go_still_ends() -> None:
    voided = 0
    for seed in range(20):
        simulation = Simulation(seed, faults=0.1)
        simulation.provider.captures = False
        await simulation.storm(voiding=0.4)
        voided += sum(isinstance(r.event, payment.PaymentVoided) for r in simulation.logs["payments"].events)
        for sku in SKUS:
            for warehouse in WAREHOUSES:
                level, _ = await simulation.logs["inventory"].load(STOCK, stock_id_of(sku, warehouse))
                assert level is not None
                assert level.reserved == 0
        assert not [task for log in simulation.logs.values() for task in log.tasks.values() if task.parked]
    assert voided > 20


async def test_a_refused_refund_leaves_no_order_open() -> None:
    refused = 0
    for seed in range(20):
        simulation = Simulation(seed, faults=0.1)
        simulation.provider.refuses_refunds = True
        await simulation.storm()
        refused += sum(isinstance(r.event, payment.RefundFailed) for r in simulation.logs["payments"].events)
    assert refused > 20


async def test_parcels_that_never_arrive_are_paid_back_and_their_orders_end() -> None:
    ends = {"lost": 0, "returned": 0}
    notes = 0
    for seed in range(20):
        simulation = Simulation(seed, faults=0.1)
        simulation.carrier.fate = lambda s=simulation: s.random.choice(("delivered", "lost", "returned"))
        await simulation.storm()
        gone = dict.fromkeys(SKUS, 0)
        for order_id in simulation.orders:
            state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
            paid, _ = await simulation.logs["payments"].load(PAYMENT, payment_id_of(order_id))
            parcels, _ = await simulation.logs["shipping"].load(SHIPMENT, shipment_id_of(order_id))
            assert state is not None
            assert paid is not None
            if state.status != order.FULFILLED:
                continue
            assert parcels is not None
            kept = {"delivered": 0, "lost": 0, "returned": 0}
            price = {line.sku: line.unit_price.amount for line in state.lines}
            for parcel in parcels.parcels.values():
                fate = simulation.carrier.fates[parcel.tracking_number]
                for item in parcel.parcel.items:
                    kept[fate] += item.quantity * price[item.sku]
                    gone[item.sku] += 0 if fate == "returned" else item.quantity
                if fate in ends:
                    ends[fate] += 1
            back = sum(refund.amount for refund in paid.refunds.values() if refund.status == "done")
            assert back == kept["lost"] + kept["returned"]
        for sku in SKUS:
            states = [(await simulation.logs["inventory"].load(STOCK, stock_id_of(sku, w)))[0] for w in WAREHOUSES]
            assert all(s is not None and s.reserved == 0 for s in states)
            assert sum(s.on_hand for s in states if s is not None) == 12 - gone[sku]
        assert not [task for log in simulation.logs.values() for task in log.tasks.values() if task.parked]
        notes += await check_documents(simulation)
    assert min(ends.values()) > 20
    assert notes > 20


async def test_orders_wait_for_what_may_be_sold_before_it_is_there_and_get_it_in_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "_FILLED_AT_ONCE", 1)
    assert sum([await waiting_storm(seed) for seed in range(25)]) > 25


async def waiting_storm(seed: int) -> int:
    """Orders, receipts and cancellations as chance wants, of more than there is; how many orders waited."""
    simulation = Simulation(seed, faults=0.2)
    simulation.provider.captures = bool(seed % 2)
    today = simulation.clock.now().date()
    for sku in SKUS:
        allow = AllowBackorder(sku=sku, kind="backorder", limit=8, expected=today, today=today)
        await simulation.run("inventory", allow)
    await simulation.stock(2)
    came = dict.fromkeys(SKUS, 4)
    for number in range(14):
        await simulation.place(number)
        for _ in range(simulation.random.randint(0, 40)):
            await simulation.step()
            if simulation.random.random() < 0.03:
                await simulation.crash_one()
        if simulation.random.random() < 0.3:
            await simulation.cancel_one()
        if simulation.random.random() < 0.5:
            sku, warehouse = simulation.random.choice(SKUS), simulation.random.choice(WAREHOUSES)
            units = simulation.random.randint(1, 3)
            came[sku] += units
            await simulation.run("inventory", ReceiveUnits(sku=sku, warehouse=warehouse, quantity=units))
    # What still waits gets its goods, or staff give it up.
    for sku in SKUS[:2]:
        came[sku] += 6
        await simulation.run("inventory", ReceiveUnits(sku=sku, warehouse="BER", quantity=6))
    for turn in range(100):
        await simulation.settle(rest=True)
        if not turn:
            free, queues = await check_turns(simulation)
            assert not [sku for sku, queue in queues.items() if queue.waiting and free[sku]], (
                "what is there is given out"
            )
        for order_id in simulation.orders:
            state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
            if state is not None and state.status == order.BACKORDERED:
                await simulation.run("ordering", RequestCancellation(order_id=order_id, reason="it does not come"))
        simulation.clock.advance(timedelta(seconds=60))
    await simulation.settle()
    await check_turns(simulation)
    waited = 0
    for order_id in simulation.orders:
        state, _ = await simulation.logs["ordering"].load(ORDER, order_id)
        paid, _ = await simulation.logs["payments"].load(PAYMENT, payment_id_of(order_id))
        assert state is not None and paid is not None and state.is_closed
        waited += bool(state.backordered)
        assert paid.left == (state.total.amount if state.status == order.FULFILLED else 0)
        if state.status == order.FULFILLED:
            for line in state.lines:
                came[line.sku] -= line.quantity
    for sku in SKUS:
        states = [
            (await simulation.logs["inventory"].load(STOCK, stock_id_of(sku, warehouse)))[0] for warehouse in WAREHOUSES
        ]
        assert all(s is not None and s.reserved == 0 and s.on_hand >= 0 for s in states)
        assert sum(s.on_hand for s in states if s is not None) == came[sku]
    assert not [task for log in simulation.logs.values() for task in log.tasks.values() if task.parked]
    assert not simulation.logs["inventory"].tasks
    return waited


async def check_turns(simulation: Simulation) -> tuple[Counter[str], dict[str, BackorderState]]:
    """Nobody was passed over, and no more waited than may; what is free at the end, and who waits."""
    queues: dict[str, BackorderState] = {}
    free: Counter[str] = Counter()
    for recorded in simulation.logs["inventory"].events:
        event: Any = recorded.event
        if isinstance(event, BackorderFilled):
            assert next(iter(queues[event.sku].waiting)) == event.order_id, "the first in the queue gets it"
        if isinstance(event, BACKORDERS.events):
            queues[event.sku] = BACKORDERS.evolve(queues.get(event.sku), event)
            assert queues[event.sku].backordered <= 8
        elif isinstance(event, STOCK.events):
            free[event.sku] += STOCK.evolve(None, event).available
        elif isinstance(event, StockReserved | StockBackordered) and recorded.version == 1:
            taken: Counter[str] = Counter()
            for one in event.allocations:
                taken[one.sku] += one.quantity
            for sku, units in taken.items():
                assert units <= free[sku] - queues[sku].backordered, "a newcomer takes what nobody waits for"
    return free, queues
