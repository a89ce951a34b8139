"""The settings of a process: asked for once a second, relied on by commits, and followed by its time limits."""

import asyncio
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from emporium.application.effects import Effects, Park
from emporium.application.policies import PAYMENTS
from emporium.application.ports import Meta, Task
from emporium.application.runner import Finished, Retry, TaskRunner
from emporium.application.schedules import TimeLimits, scheduler
from emporium.application.terms import Terms, fresh_shop
from emporium.application.work import Work, execute
from emporium.domain.base import Command, Money
from emporium.domain.cart import CART, AddCartItem, CartExpired, ClearCart
from emporium.domain.order import Agreement, OrderCreated, OrderLine
from emporium.domain.payment import PAYMENT, RequestPayment, payment_id_of
from emporium.domain.pricing import Item, offered, price_goods
from emporium.domain.shop_settings import SHOP_SETTINGS, Changes, ChangeShopSettings, shop_settings_id
from tests.support.memory import ManualClock, MemoryLog

CAUSE = Meta("test", "request:test", "staff:test")
GBP = Money(500, "GBP")


class Asked(MemoryLog):
    """Counts the questions."""

    def __init__(self) -> None:
        super().__init__("ordering")
        self.loads = 0

    async def load(self, *arguments: Any, **more: Any) -> Any:
        self.loads += 1
        await asyncio.sleep(0)
        return await super().load(*arguments, **more)


async def change(log: MemoryLog, clock: ManualClock, **settings: Any) -> None:
    async def handler(work: Work) -> None:
        await work.load(SHOP_SETTINGS, shop_settings_id())
        command = ChangeShopSettings(changes=Changes(**settings), at=work.now)
        work.decide(SHOP_SETTINGS, shop_settings_id(), command)

    await execute(cast(Any, log), clock, CAUSE, scheduler(TimeLimits()), handler)


async def test_many_callers_ask_the_log_once_a_second() -> None:
    log, clock, now = Asked(), ManualClock(), [0.0]
    terms = Terms(clock=lambda: now[0])
    await asyncio.gather(*(terms.recent(cast(Any, log)) for _ in range(50)))
    assert log.loads == 1
    await change(log, clock, max_units=3)
    before = log.loads
    assert (await terms.recent(cast(Any, log))).max_units == 10_000
    now[0] = 1.1
    assert (await terms.recent(cast(Any, log))).max_units == 3
    assert log.loads == before + 1
    assert terms.seen.max_units == 3


async def test_a_cart_expires_by_the_settings_of_now() -> None:
    clock = ManualClock()
    logs = {name: MemoryLog(name) for name in ("ordering", "payments", "shipping")}
    terms, absent = Terms(), cast(Any, None)
    schedule = scheduler(TimeLimits(), lambda: timedelta(days=terms.seen.cart_days))
    effects = Effects(cast(Any, logs), absent, absent, absent, clock, TimeLimits(), automatic=True, terms=terms)
    cart = uuid4()

    async def add(work: Work) -> None:
        await work.load(CART, cart)
        work.decide(CART, cart, AddCartItem(cart_id=cart, sku="MUG", quantity=1, unit_price=GBP, at=work.now))

    await change(logs["ordering"], clock, cart_days=10.0)
    await terms.now(cast(Any, logs["ordering"]))
    await execute(cast(Any, logs["ordering"]), clock, CAUSE, schedule, add)
    [task] = logs["ordering"].tasks.values()
    assert task.due == clock.now() + timedelta(days=10)
    clock.advance(timedelta(days=10))
    await change(logs["ordering"], clock, cart_days=12.0)
    assert await effects.cart_expiry(task) == Retry(timedelta(days=2), failed=False)
    await change(logs["ordering"], clock, cart_days=9.0)
    assert isinstance(await effects.cart_expiry(task), Finished)


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_cart_that_is_filled_while_its_timer_ends_keeps_one(emptied: bool) -> None:
    clock = ManualClock()
    logs = {name: MemoryLog(name) for name in ("ordering", "payments", "shipping")}
    terms, absent, log = Terms(), cast(Any, None), cast(Any, logs["ordering"])
    schedule = scheduler(TimeLimits(), lambda: timedelta(days=terms.seen.cart_days))
    effects = Effects(cast(Any, logs), absent, absent, absent, clock, TimeLimits(), automatic=True, terms=terms)
    cart, races = uuid4(), True

    async def tell(*commands: Command) -> None:
        async def work(work: Work) -> None:
            await work.load(CART, cart)
            for command in commands:
                work.decide(CART, cart, command)

        await execute(log, clock, CAUSE, schedule, work)

    def add() -> AddCartItem:
        return AddCartItem(cart_id=cart, sku="MUG", quantity=1, unit_price=GBP, at=clock.now())

    async def perform(task: Task) -> Finished | Retry | Park:
        outcome = await effects.cart_expiry(task)
        if races:
            await tell(add())
        return outcome

    await change(log, clock, cart_days=10.0)
    await terms.now(log)
    await tell(add(), *([ClearCart(cart_id=cart, at=clock.now())] if emptied else []))
    runner = TaskRunner(log, {"timer.cart_expiry": perform}, clock, schedule)

    async def until_settled() -> None:
        await runner.poll(clock.now())
        while not runner.idle:
            await runner.step()
            await asyncio.sleep(0)

    clock.advance(timedelta(days=10))
    await until_settled()
    races = False
    [timer] = logs["ordering"].tasks.values()
    assert not timer.parked
    for _ in range(2):
        clock.advance(timedelta(days=10))
        await until_settled()
    assert isinstance(logs["ordering"].events[-1].event, CartExpired)
    assert logs["ordering"].tasks == {}


async def test_an_order_is_paid_for_within_the_time_that_held_when_it_was_placed() -> None:
    order_id, clock, log = uuid4(), ManualClock(), MemoryLog("payments")
    line = OrderLine(line=1, sku="MUG", title="Mug", quantity=1, unit_price=GBP, total=GBP)
    nothing = Money(0, "GBP")
    created = OrderCreated(
        order_id=order_id, number="A-1", subject=order_id, lines=(line,), goods=GBP, shipping=nothing, total=GBP,
        country="GB", payment_method="pm_ok", placed_at=clock.now(),
        agreement=Agreement(discount=nothing, shipping_discount=nothing, tax=nothing, payment_seconds=90.0),
    )  # fmt: skip
    reaction: Any = PAYMENTS.reaction(created, None)
    [command] = reaction(created, None, None)
    assert isinstance(command, RequestPayment)

    async def request(work: Work) -> None:
        await work.load(PAYMENT, payment_id_of(order_id))
        work.decide(PAYMENT, payment_id_of(order_id), command)

    await execute(cast(Any, log), clock, CAUSE, scheduler(TimeLimits()), request)
    due = {task.kind: task.due - clock.now() for task in log.tasks.values()}
    assert due == {"effect.charge": timedelta(0), "effect.payment_deadline": timedelta(seconds=90)}


def test_a_fresh_shop_sends_everything_everywhere() -> None:
    shop = fresh_shop(fee=495, free_from=5_000)

    def fees(pence: int, currency: str = "GBP") -> list[int]:
        item = Item(
            sku="A", title="A", quantity=1, unit_price=Money(pence, currency), tax_class="standard", weight=99_999
        )
        return [one.rate.price for one in offered(shop, "NZ", price_goods([item], currency, {}))]

    assert (fees(4_999), fees(5_000), fees(1, "EUR")) == ([495, 1_195], [0, 1_195], [495, 1_195])
    never = fresh_shop(fee=100, free_from=0)
    assert [rate.price for rate in never.zones[0].methods[0].rates] == [100, 100]
