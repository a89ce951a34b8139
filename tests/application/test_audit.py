"""The audit of an order: causes before effects, states as the domain makes them, and whatever is amiss found."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from emporium.application.audit import Audit, audit, causal_order
from emporium.application.ports import Meta, NewEvent, Recorded, Unit
from emporium.domain.base import Event, Money, Sealed
from emporium.domain.order import OrderCreated, OrderLine, OrderPaid
from emporium.domain.payment import PaymentProcessed, PaymentRequested, payment_id_of
from emporium.domain.registry import AGGREGATES
from emporium.domain.stock import UnitsReceived, UnitsReserved, stock_id_of
from tests.support.memory import MemoryLog

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = uuid5(UUID(int=0), "order")
PAYMENT = payment_id_of(ORDER)
STOCK = stock_id_of("MUG", "LON")
TOTAL = Money(500, "GBP")

CREATED = OrderCreated(
    order_id=ORDER,
    number="K7QM",
    subject=ORDER,
    lines=(OrderLine(line=1, sku="MUG", title="Mug", quantity=1, unit_price=TOTAL, total=TOTAL),),
    goods=TOTAL,
    shipping=Money(0, "GBP"),
    total=TOTAL,
    country="GB",
    email=Sealed(ORDER, "OrderCreated", b"box"),
    payment_method="card",
    placed_at=START,
)
REQUESTED = PaymentRequested(payment_id=PAYMENT, order_id=ORDER, amount=TOTAL, method="card", key="k")
PROCESSED = PaymentProcessed(payment_id=PAYMENT, order_id=ORDER, amount=TOTAL, reference="ch_1")
PAID = OrderPaid(order_id=ORDER, amount=TOTAL)
RESERVED = UnitsReserved(sku="MUG", warehouse="LON", order_id=ORDER, quantity=1)


class Story:
    """Events of several logs, one after the other."""

    def __init__(self) -> None:
        self.logs = {log: MemoryLog(log) for log in ("inventory", "ordering", "payments", "shipping")}
        self.seconds = 0

    async def add(
        self,
        log: str,
        stream: UUID,
        event: Event,
        cause: UUID | str,
        *,
        correlation: object = ORDER,
        seconds: int | None = None,
        id: UUID | None = None,
    ) -> UUID:
        """Appends it, a second after the last, and gives its id."""
        self.seconds = self.seconds + 1 if seconds is None else seconds
        new = NewEvent(
            id=id or uuid4(),
            stream=stream,
            version=len(self.logs[log].streams.get(stream, [])) + 1,
            event=event,
            at=START + timedelta(seconds=self.seconds),
            meta=Meta(str(correlation), f"event:{cause}" if isinstance(cause, UUID) else cause, "system:test"),
        )
        await self.logs[log].append(Unit(events=[new]))
        return new.id

    async def happy(self) -> None:
        created = await self.add("ordering", ORDER, CREATED, "request:1")
        requested = await self.add("payments", PAYMENT, REQUESTED, created)
        processed = await self.add("payments", PAYMENT, PROCESSED, requested)
        await self.add("ordering", ORDER, PAID, processed)

    async def audit(self, as_of: datetime | None = None) -> Audit:
        return await audit(self.logs, ORDER, as_of=as_of)


@pytest.fixture
def story() -> Story:
    return Story()


def names(events: Sequence[Recorded]) -> list[str]:
    return [type(one.event).__name__ for one in events]


async def test_an_order_is_replayed_with_causes_and_states(story: Story) -> None:
    await story.happy()
    found = await story.audit()
    assert [(type(s.recorded.event).__name__, s.aggregate, s.cause, s.status) for s in found.steps] == [
        ("OrderCreated", "Order", None, "pending"),
        ("PaymentRequested", "Payment", 1, "requested"),
        ("PaymentProcessed", "Payment", 2, "processed"),
        ("OrderPaid", "Order", 3, "paid"),
    ]
    assert found.steps[-1].changes == {"status": "paid", "paid": True}
    assert found.steps[0].changes["total"] == TOTAL
    assert "refunds" not in found.steps[0].changes, "what begins empty is no change"
    assert found.findings == ()


async def test_no_events_no_story(story: Story) -> None:
    assert (await story.audit()).steps == ()


async def test_the_past_is_told_as_it_was(story: Story) -> None:
    await story.happy()
    found = await story.audit(as_of=START + timedelta(seconds=2))
    assert [s.status for s in found.steps] == ["pending", "requested"]
    assert found.findings == ()


async def test_a_stream_is_folded_from_its_beginning_over_events_of_others(story: Story) -> None:
    received = UnitsReceived(sku="MUG", warehouse="LON", quantity=5)
    await story.add("inventory", STOCK, received, "request:0", correlation="supplies")
    created = await story.add("ordering", ORDER, CREATED, "request:1")
    await story.add("inventory", STOCK, RESERVED, created)
    found = await story.audit()
    assert [s.aggregate for s in found.steps] == ["Order", "Stock"]
    assert found.steps[1].changes == {"reserved": 1}
    assert found.findings == ()


async def test_changes_name_what_changed_within_a_structure(story: Story) -> None:
    from emporium.domain.cart import CartItemAdded, CartItemRemoved, CartOpened

    cart = uuid4()
    opened = CartOpened(cart_id=cart, currency="GBP", at=START)
    added = CartItemAdded(cart_id=cart, sku="MUG", quantity=2, unit_price=TOTAL, at=START)
    await story.add("ordering", cart, opened, "request:1")
    await story.add("ordering", cart, added, "request:1")
    await story.add("ordering", cart, CartItemRemoved(cart_id=cart, sku="MUG", at=START), "request:1")
    steps = (await story.audit()).steps
    assert steps[1].changes == {
        "items.MUG.sku": "MUG",
        "items.MUG.quantity": 2,
        "items.MUG.unit_price": TOTAL,
        "fillings": 1,
    }
    assert steps[2].changes == {"items.MUG": None}


async def test_a_cause_comes_before_its_effect_whatever_the_clocks_say(story: Story) -> None:
    created = await story.add("ordering", ORDER, CREATED, "request:1", seconds=100)
    requested = await story.add("payments", PAYMENT, REQUESTED, created, seconds=50)
    processed = await story.add("payments", PAYMENT, PROCESSED, requested, seconds=60)
    await story.add("ordering", ORDER, PAID, processed, seconds=40)
    found = await story.audit()
    assert names([s.recorded for s in found.steps]) == [
        "OrderCreated",
        "PaymentRequested",
        "PaymentProcessed",
        "OrderPaid",
    ]
    assert found.findings == ()


async def test_without_causes_time_decides_between_logs_and_position_within_one(story: Story) -> None:
    a = await story.add("payments", uuid4(), REQUESTED, "request:1", seconds=20)
    b = await story.add("payments", uuid4(), REQUESTED, "request:1", seconds=10)
    c = await story.add("inventory", uuid4(), RESERVED, "request:1", seconds=15)
    d = await story.add("shipping", uuid4(), RESERVED, "request:1", seconds=20)
    events = [one for log in story.logs.values() for one in log.events]
    assert [one.id for one in causal_order(events)] == [c, a, b, d]
    assert causal_order(reversed(events)) == causal_order(events)


@pytest.mark.parametrize("origin", ["request:1", "timer:2", "import:row 3"])
async def test_a_chain_may_begin_with(story: Story, origin: str) -> None:
    await story.add("ordering", ORDER, CREATED, origin)
    assert (await story.audit()).findings == ()


@pytest.mark.parametrize("origin", ["", "effect:1", "event:what", "system", "requests:1"])
async def test_a_chain_may_not_begin_with(story: Story, origin: str) -> None:
    at = await story.add("ordering", ORDER, CREATED, origin)
    [finding] = (await story.audit()).findings
    assert (finding.code, finding.event) == ("no_origin", at)


async def test_a_cause_that_no_log_holds_is_found(story: Story) -> None:
    await story.add("ordering", ORDER, CREATED, "request:1")
    at = await story.add("payments", PAYMENT, REQUESTED, uuid4())
    [finding] = (await story.audit()).findings
    assert (finding.code, finding.event) == ("cause_missing", at)


async def test_a_circle_of_causes_is_found(story: Story) -> None:
    later = uuid4()
    at = await story.add("ordering", ORDER, CREATED, later)
    await story.add("payments", PAYMENT, REQUESTED, at, id=later)
    found = await story.audit()
    assert len(found.steps) == 2
    assert [(f.code, f.event) for f in found.findings] == [("cause_later", at)]


async def test_an_event_that_was_taken_out_is_found(story: Story) -> None:
    await story.happy()
    _edit(story.logs["ordering"], ORDER, lambda events: events[1:])
    found = await story.audit()
    assert {f.code for f in found.findings} == {"version_gap", "cause_missing"}
    assert len(found.steps) == 3


async def test_an_event_that_cannot_have_happened_is_found(story: Story) -> None:
    at = await story.add("ordering", ORDER, PAID, "request:1")
    [finding] = (await story.audit()).findings
    assert (finding.code, finding.event) == ("impossible", at)


async def test_a_stream_that_ends_early_is_found(story: Story) -> None:
    await story.happy()
    log = story.logs["payments"]
    log.streams[PAYMENT] = log.streams[PAYMENT][:1]
    assert [f.code for f in (await story.audit()).findings] == ["version_gap"]


def _edit(log: MemoryLog, stream: UUID, change: Any) -> None:
    log.streams[stream] = change(log.streams[stream])
    kept = {one.id for one in log.streams[stream]}
    log.events = [one for one in log.events if one.stream != stream or one.id in kept]


def test_every_event_type_belongs_to_one_aggregate() -> None:
    owners = [(aggregate.log, event) for aggregate in AGGREGATES for event in aggregate.events]
    assert len(owners) == len(set(owners))
