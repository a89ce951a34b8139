"""What the reservation of an order does."""

from collections import Counter
from datetime import date
from itertools import combinations

import pytest
from hypothesis import given as given_by
from hypothesis import strategies as st
from msgspec.structs import replace

from emporium.domain.base import Event
from emporium.domain.order import Backordered, Short
from emporium.domain.reservation import (
    CANCELLED,
    FAILED,
    NO_SUCH_RESERVATION,
    NOT_HELD,
    RELEASED,
    RESERVED,
    WAITING,
    Allocation,
    ParcelReleased,
    ReleaseParcel,
    ReleaseReservation,
    ReservationCancelled,
    ReservationReturned,
    ReservationShipped,
    ReserveStock,
    ReturnUnits,
    SetAside,
    ShipReservation,
    StockBackordered,
    StockReleased,
    StockReservationFailed,
    StockReserved,
    UnitsSetAside,
    allocate,
    reservation_id_of,
)
from tests.domain.spec import given, uid

ORDER, PAYMENT, RETURN = uid(1), uid(2), uid(3)

MUGS, PENS = Allocation("MUG", "NORTH", 3), Allocation("PEN", "SOUTH", 1)
HELD = StockReserved(order_id=ORDER, payment_id=PAYMENT, allocations=(MUGS, PENS))
SHORT = StockReservationFailed(order_id=ORDER, payment_id=PAYMENT, short=(Short(sku="MUG", wanted=3, available=2),))
LATER = Backordered(sku="MUG", quantity=5, kind="backorder", expected=date(2026, 5, 4))
WAITS = StockBackordered(
    order_id=ORDER,
    payment_id=PAYMENT,
    allocations=(Allocation("MUG", "NORTH", 1), PENS),
    waiting=(Backordered(sku="MUG", quantity=2, kind="backorder", expected=date(2026, 5, 4)),),
)
STOPPED = ReservationCancelled(order_id=ORDER, reason="cancelled")
RELEASED_ALL = StockReleased(order_id=ORDER, allocations=(MUGS, PENS), reason="cancelled")
GONE_1 = ReservationShipped(order_id=ORDER, parcel=1, allocations=(MUGS,))
GONE_2 = ReservationShipped(order_id=ORDER, parcel=2, allocations=(PENS,))

RELEASE = ReleaseReservation(order_id=ORDER, reason="cancelled")
SHIP_1 = ShipReservation(order_id=ORDER, parcel=1, allocations=(MUGS,))

STATES: dict[str, tuple[Event, ...]] = {
    WAITING: (WAITS,),
    RESERVED: (HELD,),
    FAILED: (SHORT,),
    CANCELLED: (STOPPED,),
    RELEASED: (HELD, RELEASED_ALL),
}


def reserve(available: dict[str, dict[str, int]]) -> ReserveStock:
    return ReserveStock(order_id=ORDER, payment_id=PAYMENT, wanted={"MUG": 3, "PEN": 1}, available=available)


PLENTY = reserve({"MUG": {"NORTH": 3}, "PEN": {"SOUTH": 1}})


@pytest.mark.parametrize("status", STATES)
def test_every_status_is_reached_by_its_story(status: str) -> None:
    assert given(*STATES[status]).state.status == status


def test_all_lines_are_reserved() -> None:
    given().when(PLENTY).then(HELD).leads_to(status=RESERVED, held=(MUGS, PENS))


def beyond(available: dict[str, dict[str, int]], **more: int) -> ReserveStock:
    return replace(reserve(available), beyond={sku: replace(LATER, sku=sku, quantity=n) for sku, n in more.items()})


def test_what_may_be_sold_before_it_is_there_is_waited_for() -> None:
    some = {"MUG": {"NORTH": 1}, "PEN": {"SOUTH": 1}}
    given().when(beyond(some, MUG=2)).then(WAITS).leads_to(status=WAITING, waiting={"MUG": 2})
    given().when(beyond(some, MUG=1)).then(replace(SHORT, short=(Short(sku="MUG", wanted=3, available=1),)))
    given().when(beyond({"MUG": {"NORTH": 3}, "PEN": {}}, MUG=9)).leads_to(status=FAILED, held=())
    given().when(beyond({"MUG": {"NORTH": 3}, "PEN": {"SOUTH": 1}}, MUG=9)).then(HELD)
    given().when(beyond({}, MUG=3, PEN=1)).leads_to(status=WAITING, held=(), waiting={"MUG": 3, "PEN": 1})


def test_when_all_has_come_all_is_reserved() -> None:
    def came(warehouse: str, units: int) -> SetAside:
        return SetAside(order_id=ORDER, allocations=(Allocation("MUG", warehouse, units),))

    first = UnitsSetAside(order_id=ORDER, allocations=(Allocation("MUG", "NORTH", 1),))
    given(WAITS).when(came("NORTH", 1)).then(first).leads_to(status=WAITING, waiting={"MUG": 1})
    rest = UnitsSetAside(order_id=ORDER, allocations=(Allocation("MUG", "SOUTH", 1),))
    everything = (Allocation("MUG", "NORTH", 2), PENS, Allocation("MUG", "SOUTH", 1))
    given(WAITS, first).when(came("SOUTH", 1)).then(rest, replace(HELD, allocations=everything)).leads_to(
        status=RESERVED, held=everything, waiting={}
    )
    given(WAITS, first).when(came("SOUTH", 2)).rejected(NOT_HELD)
    given(HELD).when(came("NORTH", 1)).rejected(NOT_HELD)
    freed = StockReleased(order_id=ORDER, allocations=WAITS.allocations, reason="cancelled")
    given(WAITS).when(RELEASE).then(freed).leads_to(status=RELEASED, held=(), waiting={})
    given(WAITS, freed).when(came("NORTH", 1)).rejected(NOT_HELD)
    given(WAITS, freed).when(RELEASE).then()


def test_or_none() -> None:
    given().when(reserve({"MUG": {"NORTH": 2}, "PEN": {"SOUTH": 1}})).then(SHORT).leads_to(status=FAILED, held=())
    given().when(reserve({})).then(
        StockReservationFailed(
            order_id=ORDER,
            payment_id=PAYMENT,
            short=(Short(sku="MUG", wanted=3, available=0), Short(sku="PEN", wanted=1, available=0)),
        )
    )


@pytest.mark.parametrize("status", STATES)
def test_an_order_is_reserved_once_and_never_after_its_end(status: str) -> None:
    given(*STATES[status]).when(PLENTY).then()


def test_a_release_frees_what_is_held() -> None:
    given(HELD).when(RELEASE).then(RELEASED_ALL).leads_to(status=RELEASED, held=())


def test_a_release_before_the_reservation_forbids_it() -> None:
    given().when(RELEASE).then(STOPPED).leads_to(status=CANCELLED)


@pytest.mark.parametrize("status", [FAILED, CANCELLED, RELEASED])
def test_where_nothing_is_held_a_release_owes_nothing(status: str) -> None:
    given(*STATES[status]).when(RELEASE).then()


def test_a_release_leaves_alone_what_has_left() -> None:
    rest = StockReleased(order_id=ORDER, allocations=(PENS,), reason="cancelled")
    given(HELD, GONE_1).when(RELEASE).then(rest)
    given(HELD, GONE_1, GONE_2).when(RELEASE).then()


def test_each_parcel_leaves_once() -> None:
    given(HELD).when(SHIP_1).then(GONE_1).leads_to(status=RESERVED, held=(PENS,), shipped=(MUGS,))
    given(HELD, GONE_1).when(SHIP_1).then()


def test_only_what_is_held_can_leave() -> None:
    too_many = ShipReservation(order_id=ORDER, parcel=1, allocations=(Allocation("MUG", "NORTH", 4),))
    elsewhere = ShipReservation(order_id=ORDER, parcel=1, allocations=(Allocation("MUG", "SOUTH", 1),))
    given(HELD).when(too_many).rejected(NOT_HELD)
    given(HELD).when(elsewhere).rejected(NOT_HELD)
    for status in (FAILED, CANCELLED, RELEASED):
        given(*STATES[status]).when(SHIP_1).rejected(NOT_HELD)
    given().when(SHIP_1).rejected(NO_SUCH_RESERVATION)


def test_a_parcel_that_never_leaves_frees_its_units_once() -> None:
    free = ReleaseParcel(order_id=ORDER, parcel=2, allocations=(PENS,))
    freed = ParcelReleased(order_id=ORDER, parcel=2, allocations=(PENS,))
    given(HELD, GONE_1).when(free).then(freed).leads_to(status=RESERVED, held=(), shipped=(MUGS,))
    # The other parcel's leaving may be heard of later.
    given(HELD).when(free).then(freed).leads_to(held=(MUGS,))
    given(HELD, freed).when(SHIP_1).then(GONE_1)
    given(HELD, freed).when(free).then()
    given(HELD, GONE_2).when(free).then()
    given(*STATES[RELEASED]).when(free).rejected(NOT_HELD)


def give_back(units: dict[str, int], *, restock: bool = True) -> ReturnUnits:
    return ReturnUnits(order_id=ORDER, return_id=RETURN, units=units, restock=restock)


def test_returned_units_go_where_they_came_from() -> None:
    back = ReservationReturned(order_id=ORDER, return_id=RETURN, allocations=(Allocation("MUG", "NORTH", 2),))
    given(HELD, GONE_1).when(give_back({"MUG": 2})).then(back)
    given(HELD, GONE_1, back).when(give_back({"MUG": 2})).then()


def test_or_nowhere_when_they_are_spoilt() -> None:
    spoilt = ReservationReturned(order_id=ORDER, return_id=RETURN, allocations=())
    given(HELD, GONE_1).when(give_back({"MUG": 2}, restock=False)).then(spoilt)


def test_what_has_not_left_cannot_come_back() -> None:
    given(HELD, GONE_1).when(give_back({"PEN": 1})).rejected(NOT_HELD)
    given().when(give_back({"MUG": 1})).rejected(NO_SUCH_RESERVATION)


# --- where to take the units from ------------------------------------------------------------------


def test_one_warehouse_that_has_everything_is_enough() -> None:
    available = {"MUG": {"NORTH": 2, "SOUTH": 3}, "PEN": {"NORTH": 9, "SOUTH": 1}}
    assert allocate({"MUG": 3, "PEN": 1}, available) == (
        (Allocation("MUG", "SOUTH", 3), Allocation("PEN", "SOUTH", 1)),
        (),
    )


def test_of_several_the_preferred_one() -> None:
    available = {"MUG": {"NORTH": 3, "SOUTH": 300}}
    assert allocate({"MUG": 3}, available) == ((Allocation("MUG", "NORTH", 3),), ())


def test_preference_decides_between_equals_also_where_a_warehouse_lacks_the_first_sku() -> None:
    available = {
        "MUG": {"NORTH": 0, "SOUTH": 1},
        "PEN": {"NORTH": 1, "SOUTH": 0},
        "CUP": {"NORTH": 1, "SOUTH": 1},
    }
    taken, _ = allocate({"MUG": 1, "PEN": 1, "CUP": 1}, available)
    assert Allocation("CUP", "NORTH", 1) in taken


def test_a_line_is_split_only_where_it_must_be() -> None:
    available = {"MUG": {"NORTH": 2, "SOUTH": 2}}
    assert allocate({"MUG": 3}, available) == ((Allocation("MUG", "NORTH", 2), Allocation("MUG", "SOUTH", 1)), ())


def best(wanted: dict[str, int], available: dict[str, dict[str, int]]) -> tuple[int, list[int]] | None:
    """How many warehouses are needed, and the ranks of the most preferred ones, by trying all."""
    ranked = list(dict.fromkeys(w for sku in wanted for w in available[sku]))
    ways = [
        (count, list(ranks))
        for count in range(1, len(ranked) + 1)
        for ranks in combinations(range(len(ranked)), count)
        if all(sum(available[sku].get(ranked[r], 0) for r in ranks) >= units for sku, units in wanted.items())
    ]
    return min(ways, default=None)


@given_by(
    wanted=st.dictionaries(st.sampled_from("MPC"), st.integers(1, 5), min_size=1),
    stock=st.fixed_dictionaries(
        {sku: st.fixed_dictionaries(dict.fromkeys("ABCDE", st.integers(0, 4))) for sku in "MPC"}
    ),
)
def test_as_few_parcels_as_can_be_from_the_nearest_that_can(
    wanted: dict[str, int], stock: dict[str, dict[str, int]]
) -> None:
    stock = {sku: {place: units[place] for place in "ABCDE"} for sku, units in stock.items()}
    taken, short = allocate(wanted, stock)
    expected = best(wanted, stock)
    if expected is None:
        assert {one.sku for one in short} == {sku for sku, units in wanted.items() if sum(stock[sku].values()) < units}
        assert not taken
        return
    assert not short
    used = sorted({"ABCDE".index(one.warehouse) for one in taken})
    assert (len(used), used) == expected
    assert all(one.quantity <= stock[one.sku][one.warehouse] for one in taken)
    assert Counter({sku: sum(one.quantity for one in taken if one.sku == sku) for sku in wanted}) == Counter(wanted)


def test_an_order_has_one_reservation() -> None:
    assert reservation_id_of(ORDER) == reservation_id_of(ORDER) != reservation_id_of(uid(99))
