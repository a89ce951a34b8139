"""Prices that come at their time: sales and what comes back after them, two at once, and changes in between."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

from emporium.domain.base import Event, Money
from emporium.domain.product import (
    NO_SUCH_SCHEDULE,
    NOTHING_TO_REDUCE,
    SCHEDULE_EXISTS,
    SCHEDULE_TIMES,
    AddVariant,
    ArchiveProduct,
    BeginPriceSchedule,
    CancelPriceSchedule,
    ChangePrice,
    CreateProduct,
    EndPriceSchedule,
    PriceChanged,
    PriceScheduleBegan,
    PriceScheduled,
    PriceScheduleEnded,
    ProductState,
    RegularPriceChanged,
    RemoveVariant,
    SchedulePrice,
    decide,
    evolve,
)
from tests.domain.spec import gbp, given, uid

ID, SPRING, SUMMER, FOR_GOOD = uid(1), uid(2), uid(3), uid(4)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def schedule(which: object = SPRING, price: int = 800, starts: int = 1, ends: int | None = 3) -> SchedulePrice:
    ends_at = None if ends is None else NOW + ends * DAY
    return SchedulePrice(
        product_id=ID, schedule_id=which, sku="MUG", price=gbp(price), starts_at=NOW + starts * DAY, ends_at=ends_at,
        now=NOW,
    )  # type: ignore[arg-type]  # fmt: skip


def begin(which: object = SPRING, day: int = 1) -> BeginPriceSchedule:
    return BeginPriceSchedule(product_id=ID, schedule_id=which, at=NOW + day * DAY)  # type: ignore[arg-type]


def end(which: object = SPRING) -> EndPriceSchedule:
    return EndPriceSchedule(product_id=ID, schedule_id=which)  # type: ignore[arg-type]


def price(amount: int) -> ChangePrice:
    return ChangePrice(product_id=ID, sku="MUG", price=gbp(amount))


def after(*commands: object) -> list[Event]:
    """The events of a mug at ten pounds to which these happened."""
    events: list[Event] = []
    state: ProductState | None = None
    first = (CreateProduct(product_id=ID, title="Mug", slug="mug"), AddVariant(product_id=ID, sku="MUG"), price(1_000))
    for command in (*first, *commands):
        for event in decide(command, state):  # type: ignore[arg-type]
            events.append(event)
            state = evolve(state, event)
    return events


def costs(*commands: object) -> tuple[int, int]:
    """What the mug costs now, and without sales."""
    variant = given(*after(*commands)).state.variants["MUG"]
    return variant.prices["GBP"].amount, variant.regular["GBP"].amount


def changed(amount: int, previous: int) -> PriceChanged:
    return PriceChanged(product_id=ID, sku="MUG", price=gbp(amount), previous=gbp(previous))


def test_a_sale_begins_and_the_old_price_comes_back() -> None:
    begun = PriceScheduleBegan(product_id=ID, schedule_id=SPRING)
    given(*after(schedule())).when(begin()).then(begun, changed(800, 1_000))
    over = PriceScheduleEnded(product_id=ID, schedule_id=SPRING)
    given(*after(schedule(), begin())).when(end()).then(over, changed(1_000, 800))
    assert costs(schedule(), begin(), end()) == (1_000, 1_000)


def test_a_price_without_an_end_stays() -> None:
    assert costs(schedule(FOR_GOOD, 1_200, ends=None), begin(FOR_GOOD)) == (1_200, 1_200)
    # While a sale runs it is what comes back.
    assert costs(schedule(), schedule(FOR_GOOD, 1_200, ends=None), begin(), begin(FOR_GOOD)) == (800, 1_200)


def test_a_regular_price_changed_during_a_sale_comes_after_it() -> None:
    events = after(schedule(), begin())
    later = RegularPriceChanged(product_id=ID, sku="MUG", price=gbp(1_100), previous=gbp(1_000))
    given(*events).when(price(1_100)).then(later)
    assert costs(schedule(), begin(), price(1_100)) == (800, 1_100)
    assert costs(schedule(), begin(), price(1_100), end()) == (1_100, 1_100)


def test_of_two_sales_the_one_that_began_last_holds_however_they_end() -> None:
    both = (schedule(), schedule(SUMMER, 900, starts=2, ends=4), begin(), begin(SUMMER, 2))
    assert costs(*both) == (900, 1_000)
    assert costs(*both, end(SPRING)) == (900, 1_000)
    assert costs(*both, end(SUMMER)) == (800, 1_000)
    for order in permutations((end(SPRING), end(SUMMER), price(1_050))):
        assert costs(*both, *order) == (1_050, 1_050)


def test_timers_may_come_twice_late_or_out_of_order() -> None:
    assert costs(schedule(), begin(), begin()) == (800, 1_000)
    assert costs(schedule(), begin(), end(), end(), begin()) == (1_000, 1_000)
    assert costs(schedule(), end(), begin()) == (1_000, 1_000)
    given(*after(schedule())).when(begin(day=3)).then(PriceScheduleEnded(product_id=ID, schedule_id=SPRING))
    given(*after(schedule(), RemoveVariant(product_id=ID, sku="MUG"))).when(begin()).then()
    # An archived product's sale ends all the same.
    assert costs(schedule(), begin(), ArchiveProduct(product_id=ID), end()) == (1_000, 1_000)


def test_staff_cancel_what_is_to_come_and_what_runs() -> None:
    cancel = CancelPriceSchedule(product_id=ID, schedule_id=SPRING)
    over = PriceScheduleEnded(product_id=ID, schedule_id=SPRING, cancelled=True)
    given(*after(schedule())).when(cancel).then(over)
    given(*after(schedule(), begin())).when(cancel).then(over, changed(1_000, 800))
    given(*after()).when(cancel).rejected(NO_SUCH_SCHEDULE)


def test_a_schedule_is_sound_and_made_once() -> None:
    given(*after(schedule())).when(schedule()).then()
    given(*after(schedule())).when(schedule(price=700)).rejected(SCHEDULE_EXISTS)
    given(*after()).when(schedule(starts=3, ends=3)).rejected(SCHEDULE_TIMES, field="ends_at")
    given(*after()).when(schedule(starts=-3, ends=-1)).rejected(SCHEDULE_TIMES)
    euro = SchedulePrice(
        product_id=ID, schedule_id=SPRING, sku="MUG", price=Money(5, "EUR"), starts_at=NOW, ends_at=NOW + DAY, now=NOW
    )
    given(*after()).when(euro).rejected(NOTHING_TO_REDUCE, currency="EUR")
    made = given(*after()).when(schedule()).events
    assert [type(event) for event in made] == [PriceScheduled]
