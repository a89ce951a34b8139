"""However orders come and go: a code is in use as often as there are orders that live by it, and never too often."""

import asyncio
import contextlib
from typing import Any, cast
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from emporium.application import coupons
from emporium.application.commands import FailAndReopen, handle
from emporium.application.ports import LimitReached, Meta
from emporium.application.schedules import TimeLimits, scheduler
from emporium.application.work import Work, execute
from emporium.domain.base import Command, Money, Rejected
from emporium.domain.order import (
    CANCELLED,
    FAILED,
    ORDER,
    Agreement,
    ConfirmCancellation,
    OrderLine,
    PlaceOrder,
    RequestCancellation,
)
from emporium.domain.promotion import Promotion
from tests.support.memory import ManualClock, MemoryLog

CAUSE = Meta("test", "request:test", "system:test")
NOTHING = Money(0, "GBP")
LINE = OrderLine(line=1, sku="MUG", title="Mug", quantity=1, unit_price=NOTHING, total=NOTHING)
CODES = {
    "ALL": Promotion(name="A", kind="free_shipping", limit=3),
    "ONE": Promotion(name="B", kind="free_shipping", per_customer=1),
    "ANY": Promotion(name="C", kind="free_shipping"),
}


class House:
    """Orders with codes, in memory."""

    def __init__(self) -> None:
        self.log = MemoryLog("ordering")
        self.orders: list[tuple[Any, tuple[str, ...], str]] = []

    async def run(self, handler: Any) -> None:
        await execute(cast(Any, self.log), ManualClock(), CAUSE, scheduler(TimeLimits()), handler)

    async def place(self, codes: tuple[str, ...], holder: str) -> None:
        order_id = uuid4()

        async def handler(work: Work) -> None:
            await work.load(ORDER, order_id)
            agreement = Agreement(
                discount=NOTHING, shipping_discount=NOTHING, tax=NOTHING, coupons=codes, coupon_holder=holder
            )
            command = PlaceOrder(
                order_id=order_id, number=str(order_id), subject=order_id, lines=(LINE,), shipping=NOTHING,
                country="GB", payment_method="pm_ok", at=work.now, agreement=agreement,
            )  # fmt: skip
            work.decide(ORDER, order_id, command)
            coupons.use(work, {code: CODES[code] for code in codes}, holder)

        before = self.living()
        try:
            await self.run(handler)
        except LimitReached as reached:
            assert coupons.used_up(reached.name, codes) is not None
            full = sum("ALL" in used for used, _ in before) == 3 and "ALL" in codes
            assert full or ("ONE" in codes and any("ONE" in used and who == holder for used, who in before))
            return
        self.orders.append((order_id, codes, holder))

    async def end(self, pick: int, *commands: type[Command]) -> None:
        if not self.orders:
            return
        order_id = self.orders[pick % len(self.orders)][0]

        async def handler(work: Work) -> None:
            for command in commands:
                reason = {} if command is ConfirmCancellation else {"reason": "x"}
                await handle(work, command(order_id=order_id, **reason), CAUSE)

        with contextlib.suppress(Rejected):
            await self.run(handler)

    def living(self) -> list[tuple[tuple[str, ...], str]]:
        found = []
        for order_id, codes, holder in self.orders:
            state = None
            for recorded in self.log.streams[order_id]:
                state = ORDER.evolve(state, recorded.event)
            if state is not None and state.status not in (FAILED, CANCELLED):
                found.append((codes, holder))
        return found

    def check(self) -> None:
        living = self.living()
        for code in CODES:
            uses = [holder for codes, holder in living if code in codes]
            assert self.log.counters.get(f"coupon/{code}", 0) == len(uses)
            for holder in "xy":
                assert self.log.counters.get(f"coupon/{code}/{holder}", 0) == uses.count(holder)
                assert code != "ONE" or uses.count(holder) <= 1
            assert code != "ALL" or len(uses) <= 3


PLACES = st.tuples(st.lists(st.sampled_from(sorted(CODES)), unique=True).map(tuple), st.sampled_from("xy"))
ENDS = st.tuples(st.integers(0, 9), st.sampled_from(["fail", "cancel", "both"]))


@given(st.lists(st.one_of(PLACES, ENDS), max_size=25))
def test_uses_are_the_orders_that_live(steps: list[Any]) -> None:
    async def story() -> None:
        house = House()
        for first, second in steps:
            if isinstance(first, tuple):
                await house.place(first, second)
            elif second == "fail":
                await house.end(first, FailAndReopen)
            elif second == "cancel":
                await house.end(first, RequestCancellation, ConfirmCancellation)
            else:
                await house.end(first, FailAndReopen, FailAndReopen)
            house.check()

    asyncio.run(story())


async def test_one_unit_may_give_back_for_many_orders() -> None:
    house = House()
    for _ in range(3):
        await house.place(("ALL",), "x")

    async def handler(work: Work) -> None:
        for order_id, _, _ in house.orders:
            await handle(work, FailAndReopen(order_id=order_id, reason="x"), CAUSE)
        assert len(work.unit.counters) == 2

    await house.run(handler)
    assert house.log.counters == {"coupon/ALL": 0, "coupon/ALL/x": 0}
