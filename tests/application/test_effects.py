"""What is done for a parcel when its turn comes, by a process that may remember too little of it."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from emporium.application.effects import Effects, Finished, Park, Retry
from emporium.application.ports import Meta, Task
from emporium.application.schedules import TimeLimits
from emporium.domain.reservation import Allocation
from emporium.domain.shipment import (
    SHIPMENT,
    OrderShipped,
    Parcel,
    ParcelLabelled,
    ParcelPacked,
    RecordDelivery,
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


def after(events: int) -> ShipmentState | None:
    state = None
    for event in STORY[:events]:
        state = SHIPMENT.evolve(state, event)
    return state


class Forgetful:
    """A log of which the process remembers only the first `seen` events, while another one wrote the others."""

    def __init__(self, seen: int, written: int = len(STORY)) -> None:
        self.seen, self.written = seen, written

    async def load(self, aggregate: Any, stream: UUID, *, fresh: bool = False) -> tuple[ShipmentState | None, int]:
        if fresh:
            self.seen = self.written
        return after(self.seen), self.seen


class Post(MemoryCarrier):
    """Knows T1, and takes it where `takes`."""

    takes = True

    async def status(self, tracking_number: str, at: datetime) -> str:
        return await super().status(tracking_number, at) if tracking_number == "T1" else "unknown"

    async def hand_over(self, key: str, tracking_number: str, at: datetime) -> bool:
        return self.takes and await super().hand_over(key, tracking_number, at)


def effects(log: Forgetful, carrier: Post, *, automatic: bool = True) -> tuple[Effects, Any]:
    clock = ManualClock()
    logs = cast(Any, dict.fromkeys(("ordering", "payments", "shipping"), log))
    absent = cast(Any, None)
    limits = TimeLimits(tracking=timedelta(seconds=7))
    return Effects(logs, absent, carrier, absent, clock, limits, automatic=automatic), clock


def task(kind: str) -> Task:
    return Task(uuid4(), kind, datetime(2026, 1, 1, tzinfo=UTC), uuid4(), {"parcel": 1}, Meta("", "", ""))


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
