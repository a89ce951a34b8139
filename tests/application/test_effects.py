"""What is done for a parcel when its turn comes, by a process that may remember too little of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from emporium.application.effects import Effects, Finished, Park, Retry
from emporium.application.ports import Meta, NewEvent, Task
from emporium.application.schedules import TimeLimits, scheduler
from emporium.domain.base import Event, Money, Sealed
from emporium.domain.order import OrderState
from emporium.domain.payment import PAYMENT, PROCESSED, PaymentState
from emporium.domain.reservation import Allocation
from emporium.domain.shipment import (
    SHIPMENT,
    OrderShipped,
    Parcel,
    ParcelGivenUp,
    ParcelLabelled,
    ParcelLabelVoided,
    ParcelLost,
    ParcelPacked,
    RecordDelivery,
    RecordLabel,
    RecordParcelRefusal,
    ShipmentCancelled,
    ShipmentHeld,
    ShipmentPrepared,
    ShipmentState,
    ShipParcel,
)
from tests.support.memory import ManualClock, MemoryCarrier

ORDER = uuid4()
MUG = Allocation("MUG", "LON", 1)
LABEL = {"order_id": ORDER, "parcel": 1, "carrier": "post", "tracking_number": "T1", "tracking_url": "/t"}
STORY = (
    ShipmentPrepared(order_id=ORDER, parcels=(Parcel(1, "LON", (MUG,)),)),
    ParcelLabelled(**LABEL),
    ParcelPacked(order_id=ORDER, parcel=1),
    OrderShipped(**LABEL, of=1, items=(MUG,)),
)


def after(events: int, story: Sequence[Event] = STORY) -> ShipmentState | None:
    state = None
    for event in story[:events]:
        state = SHIPMENT.evolve(state, event)
    return state


class Forgetful:
    """A log of which the process remembers only the first `seen` events, while another one wrote the others."""

    def __init__(self, seen: int, written: int | None = None, story: Sequence[Event] = STORY) -> None:
        self.seen, self.written, self.story = seen, len(story) if written is None else written, story

    async def load(self, aggregate: Any, stream: UUID, *, fresh: bool = False) -> tuple[ShipmentState | None, int]:
        if fresh:
            self.seen = self.written
        return after(self.seen, self.story), self.seen


class Post(MemoryCarrier):
    """Knows T1, and takes it where `takes`."""

    takes = True

    async def status(self, tracking_number: str, at: datetime) -> str:
        return await super().status(tracking_number, at) if tracking_number == "T1" else "unknown"

    async def hand_over(self, key: str, tracking_number: str, at: datetime) -> bool:
        return self.takes and await super().hand_over(key, tracking_number, at)


class Paid:
    """A log of a captured payment and of an order that goes to `ship_to`, or no particular address."""

    def __init__(self, ship_to: Sealed | None = None) -> None:
        self.ship_to = ship_to

    async def load(self, aggregate: Any, stream: UUID, *, fresh: bool = False) -> tuple[Any, int]:
        if aggregate is PAYMENT:
            return PaymentState(payment_id=stream, order_id=ORDER, status=PROCESSED, captured=True), 1
        nothing = Money(0, "GBP")
        state = OrderState(
            order_id=ORDER, number="N", status="confirmed", cart_id=None, customer_id=None, subject=ORDER, lines=(),
            shipping=nothing, total=nothing, country="GB", payment_method="pm_ok", ship_to=self.ship_to,
        )  # fmt: skip
        return state, 1


def effects(
    log: Forgetful, carrier: Post, *, automatic: bool = True, ship_to: Sealed | None = None, vault: Any = None
) -> tuple[Effects, Any]:
    clock = ManualClock()
    logs = cast(Any, {"ordering": Paid(ship_to), "payments": Paid(), "shipping": log})
    absent = cast(Any, None)
    limits = TimeLimits(tracking=timedelta(seconds=7))
    return Effects(logs, absent, carrier, vault, clock, limits, automatic=automatic), clock


def task(kind: str, attempts: int = 0) -> Task:
    data = {"parcel": 1, "order_id": str(ORDER)}
    return Task(uuid4(), kind, datetime(2026, 1, 1, tzinfo=UTC), uuid4(), data, Meta("", "", ""), attempts)


async def test_a_parcel_on_its_way_is_followed_whatever_this_process_remembers_of_it() -> None:
    """Asked without its tracking number, the carrier does not know it, and the order would wait for a person."""
    carrier = Post()
    carrier.handed.add("T1")
    for seen in range(len(STORY)):
        performing, _ = effects(Forgetful(seen), carrier)
        assert await performing.track(task("effect.track")) == Finished([RecordDelivery(order_id=ORDER, parcel=1)])


async def test_a_packed_parcel_is_handed_over_whatever_this_process_remembers_of_it() -> None:
    for seen in range(len(STORY)):
        carrier = Post()
        performing, _ = effects(Forgetful(seen, 3), carrier)
        assert await performing.hand_over(task("effect.hand_over")) == Finished([ShipParcel(order_id=ORDER, parcel=1)])
        assert carrier.handed == {"T1"}


async def test_what_is_not_there_yet_is_tried_again() -> None:
    for name, written in (("hand_over", 2), ("track", 3)):
        performing, _ = effects(Forgetful(0, written), Post())
        again = await getattr(performing, name)(task(f"effect.{name}"))
        assert isinstance(again, Retry) and again.failed


async def test_a_carrier_to_whom_people_give_parcels_is_asked_until_it_has_them() -> None:
    carrier = Post()
    carrier.takes = False
    performing, _ = effects(Forgetful(3, 3), carrier)
    waits = Retry(timedelta(seconds=7), failed=False)
    assert await performing.hand_over(task("effect.hand_over")) == waits
    carrier.takes = True
    assert await performing.hand_over(task("effect.hand_over")) == Finished([ShipParcel(order_id=ORDER, parcel=1)])


async def test_people_say_themselves_when_a_parcel_leaves_and_then_the_carrier_hears_of_it() -> None:
    carrier = Post()
    performing, _ = effects(Forgetful(3, 3), carrier, automatic=False)
    assert await performing.hand_over(task("effect.hand_over")) == Finished()
    assert carrier.handed == set()
    performing, _ = effects(Forgetful(4), carrier, automatic=False)
    assert await performing.track(task("effect.track")) == Retry(timedelta(seconds=7), failed=False)
    assert carrier.handed == {"T1"}


async def test_a_parcel_that_the_carrier_does_not_know_waits_for_a_person() -> None:
    class Other(Post):
        async def status(self, tracking_number: str, at: datetime) -> str:
            return "unknown"

    performing, _ = effects(Forgetful(4), Other())
    assert await performing.track(task("effect.track")) == Park("the carrier says unknown")


async def test_a_parcel_gets_its_label_whatever_this_process_remembers_of_it() -> None:
    """A hold that came before the shipment may be all that it knows: then there seemed to be no such parcel."""
    story = (ShipmentHeld(order_id=ORDER, reason="suspicious"), *STORY[:1])
    for seen in range(len(story)):
        performing, _ = effects(Forgetful(seen, story=story), Post())
        outcome = await performing.book(task("effect.book"))
        assert isinstance(outcome, Finished) and isinstance(outcome.commands[0], RecordLabel), seen


async def test_no_label_is_bought_in_a_later_try_for_what_was_cancelled_elsewhere() -> None:
    story = (*STORY[:1], ShipmentCancelled(order_id=ORDER, reason="changed"))
    carrier = Post()
    performing, _ = effects(Forgetful(1, story=story), carrier)
    assert await performing.book(task("effect.book", attempts=1)) == Finished()
    assert carrier.labels == {}


def test_a_label_that_is_being_bought_when_it_is_no_longer_wanted_is_given_back_too() -> None:
    """Its answer may come after the cancellation, or be lost with the process that asked."""
    schedule = scheduler(TimeLimits())
    stream, at = uuid4(), datetime(2026, 1, 1, tzinfo=UTC)

    def voids(event: Event, before: int) -> list[tuple[Any, timedelta]]:
        new = NewEvent(uuid4(), stream, before + 1, event, at, Meta("", "", ""))
        made = [one for one in schedule(new, after(before)) if one.kind == "effect.void_label"]
        return [(one.data["attempt"], one.due - at) for one in made]

    for event in (
        ShipmentCancelled(order_id=ORDER, reason="changed"),
        ParcelLabelVoided(order_id=ORDER, parcel=1, attempt=1),
        ParcelGivenUp(order_id=ORDER, parcel=1, items=(MUG,), reason="undeliverable"),
    ):
        assert voids(event, 1) == [(0, timedelta(minutes=10))]
        assert voids(event, 2) == [(0, timedelta(0))]


async def test_a_parcel_whose_address_was_erased_waits_where_staff_look() -> None:
    """It was ordered in the moment in which the account was erased."""

    class Erased:
        async def load_keys(self, subjects: Sequence[UUID]) -> None:
            pass

        def unseal(self, sealed: Sealed, stream: UUID, field: str) -> Any:
            return "[erased]"

    carrier = Post()
    performing, _ = effects(Forgetful(1), carrier, ship_to=Sealed(ORDER, "OrderCreated", b"box"), vault=Erased())
    refusal = RecordParcelRefusal(order_id=ORDER, parcel=1, reason="the address was erased")
    assert await performing.book(task("effect.book")) == Finished([refusal])
    assert carrier.labels == {}


async def test_nobody_asks_on_for_a_parcel_whose_way_has_ended_at_a_gateway() -> None:
    lost = (*STORY, ParcelLost(order_id=ORDER, parcel=1, items=(MUG,)))
    carrier = Post()
    carrier.handed.add("T1")
    carrier.fates["T1"] = "in_transit"
    performing, _ = effects(Forgetful(4, 4), carrier)
    assert await performing.track(task("effect.track")) == Retry(timedelta(seconds=7), failed=False)
    performing, _ = effects(Forgetful(4, story=lost), carrier)
    assert await performing.track(task("effect.track")) == Finished()
    carrier.takes = False
    performing, _ = effects(Forgetful(3), carrier)
    assert await performing.hand_over(task("effect.hand_over")) == Finished([ShipParcel(order_id=ORDER, parcel=1)])
