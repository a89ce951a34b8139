"""The stock that one order holds: all lines or none, over all warehouses, until it ships, is released or comes back.

What may be sold beyond what is there is waited for: the order holds the rest until all of it has come.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.order import Backordered, Short

MOST_WAYS: Final = 500
"""Combinations of so many warehouses that are tried before the search becomes a greedy one."""

WAITING, RESERVED, FAILED = "waiting", "reserved", "failed"
CANCELLED, RELEASED = "cancelled", "released"


def reservation_id_of(order_id: UUID) -> UUID:
    """The id of the order's only reservation."""
    return stream_id("reservation", order_id)


class Allocation(msgspec.Struct, frozen=True):
    """Units of a SKU in a warehouse that are set aside for the order."""

    sku: str
    warehouse: str
    quantity: int


# --- events ----------------------------------------------------------------------------------------


class StockReserved(Event, frozen=True, kw_only=True):
    """All lines of the order are set aside, but for the units that are not wanted by the cancellations `without`."""

    order_id: UUID
    payment_id: UUID
    allocations: tuple[Allocation, ...]
    without: tuple[UUID, ...] = ()


class StockBackordered(Event, frozen=True, kw_only=True):
    """What is there is set aside; the order waits for the rest, and StockReserved follows once that has come."""

    order_id: UUID
    payment_id: UUID
    allocations: tuple[Allocation, ...]
    waiting: tuple[Backordered, ...]
    without: tuple[UUID, ...] = ()


class UnitsSetAside(Event, frozen=True, kw_only=True):
    """Units came for an order that waits."""

    order_id: UUID
    allocations: tuple[Allocation, ...]


class StockReservationFailed(Event, frozen=True, kw_only=True):
    """Not all lines could be set aside, so none is."""

    order_id: UUID
    payment_id: UUID
    short: tuple[Short, ...]


class ReservationCancelled(Event, frozen=True, kw_only=True):
    """The order came to nothing before anything was reserved: a tombstone that forbids it from now on."""

    order_id: UUID
    reason: str


class StockReleased(Event, frozen=True, kw_only=True):
    """What was set aside and has not left is free again."""

    order_id: UUID
    allocations: tuple[Allocation, ...]
    reason: str


class ReservationShipped(Event, frozen=True, kw_only=True):
    """The units of one parcel have left."""

    order_id: UUID
    parcel: int
    allocations: tuple[Allocation, ...]


class ParcelReleased(Event, frozen=True, kw_only=True):
    """The units of a parcel that never leaves are free again; the order keeps the others."""

    order_id: UUID
    parcel: int
    allocations: tuple[Allocation, ...]


class ReservationReduced(Event, frozen=True, kw_only=True):
    """Units that the order does not want any more are free again; it keeps the others."""

    order_id: UUID
    cancellation_id: UUID
    allocations: tuple[Allocation, ...]


class ReservationReturned(Event, frozen=True, kw_only=True):
    """Units of the order came back; `allocations` are where they were put, none where they were written off."""

    order_id: UUID
    return_id: UUID
    allocations: tuple[Allocation, ...]


# --- state -----------------------------------------------------------------------------------------


class ReservationState(State, frozen=True, kw_only=True):
    """What the order holds: `held` has not left yet; `parcels` have left, or never will; `waiting` is units by SKU.

    `cancellations` were left out, of what was set aside or before it was.
    """

    order_id: UUID
    status: str
    payment_id: UUID | None = None
    waiting: dict[str, int] = {}
    held: tuple[Allocation, ...] = ()
    shipped: tuple[Allocation, ...] = ()
    parcels: frozenset[int] = frozenset()
    returns: frozenset[UUID] = frozenset()
    cancellations: frozenset[UUID] = frozenset()


# --- commands --------------------------------------------------------------------------------------


class ReserveStock(Command, frozen=True, kw_only=True):
    """`wanted` is units by SKU, `available` units by SKU and then warehouse.

    Each SKU of `available` names the warehouses in the same order of preference, also those that
    have none of it: left out, a warehouse that has only other SKUs could lose its rank. `wanted` is without the
    units of the cancellations `without`. `beyond` is how many units of a SKU may still be waited for.
    """

    order_id: UUID
    payment_id: UUID
    wanted: Mapping[str, int]
    available: Mapping[str, Mapping[str, int]]
    without: tuple[UUID, ...] = ()
    beyond: Mapping[str, Backordered] = {}


class SetAside(Command, frozen=True, kw_only=True):
    """Units came for the order."""

    order_id: UUID
    allocations: tuple[Allocation, ...]


class ReleaseReservation(Command, frozen=True, kw_only=True):
    """The order came to nothing."""

    order_id: UUID
    reason: str


class ShipReservation(Command, frozen=True, kw_only=True):
    order_id: UUID
    parcel: int
    allocations: tuple[Allocation, ...]


class ReleaseParcel(Command, frozen=True, kw_only=True):
    """One parcel of the order never leaves."""

    order_id: UUID
    parcel: int
    allocations: tuple[Allocation, ...]


class ReduceReservation(Command, frozen=True, kw_only=True):
    """The order does not want these units any more, and shipping does not send them."""

    order_id: UUID
    cancellation_id: UUID
    allocations: tuple[Allocation, ...]


class ReturnUnits(Command, frozen=True, kw_only=True):
    """`units` by SKU; where `restock`, they go back to a warehouse that they came from."""

    order_id: UUID
    return_id: UUID
    units: Mapping[str, int]
    restock: bool


NO_SUCH_RESERVATION = Reason("no_such_reservation", "Nothing was reserved for this order.", "missing")
NOT_HELD = Reason("not_held", "The order does not hold these units any more.")


# --- decide ----------------------------------------------------------------------------------------


def allocate(
    wanted: Mapping[str, int], available: Mapping[str, Mapping[str, int]]
) -> tuple[tuple[Allocation, ...], tuple[Short, ...]]:
    """Where to take the units from, or the SKUs that are short: the fewest warehouses, of those the most preferred.

    Beyond MOST_WAYS combinations of warehouses the fewest are only looked for greedily: each round takes the
    warehouse that fills the most of what is still open.
    """
    short = tuple(
        Short(sku=sku, wanted=units, available=have)
        for sku, units in wanted.items()
        if (have := sum(available.get(sku, {}).values())) < units
    )
    if short:
        return (), short
    warehouses = list(dict.fromkeys(w for sku in wanted for w in available[sku]))
    for ways in range(1, len(warehouses)):
        if comb(len(warehouses), ways) > MOST_WAYS:
            break
        for some in combinations(warehouses, ways):
            if all(sum(available[sku].get(w, 0) for w in some) >= units for sku, units in wanted.items()):
                return _take(wanted, available, list(some)), ()
    return _take(wanted, available, warehouses), ()


def _take(
    wanted: Mapping[str, int], available: Mapping[str, Mapping[str, int]], warehouses: list[str]
) -> tuple[Allocation, ...]:
    """The units from these warehouses, which have enough."""
    still = dict(wanted)
    taken: list[Allocation] = []
    while still:
        best = max(
            warehouses,
            key=lambda w: (
                sum(available[sku].get(w, 0) >= units for sku, units in still.items()),
                sum(min(available[sku].get(w, 0), units) for sku, units in still.items()),
            ),
        )
        warehouses.remove(best)
        for sku, units in list(still.items()):
            take = min(units, available[sku].get(best, 0))
            if take:
                taken.append(Allocation(sku, best, take))
                if take == units:
                    del still[sku]
                else:
                    still[sku] = units - take
    return tuple(taken)


def decide(command: Command, reservation: ReservationState | None) -> Sequence[Event]:
    """The events that the command makes of this reservation. Raises Rejected."""
    match command:
        case ReserveStock():
            if reservation is not None:
                return []
            return _reserve(command)
        case ReleaseReservation():
            if reservation is None:
                return [ReservationCancelled(order_id=command.order_id, reason=command.reason)]
            if not reservation.held and not reservation.waiting:
                return []
            return [StockReleased(order_id=command.order_id, allocations=reservation.held, reason=command.reason)]
    if reservation is None:
        raise NO_SUCH_RESERVATION()
    match command:
        case SetAside():
            return _set_aside(command, reservation)
        case ShipReservation() | ReleaseParcel():
            if command.parcel in reservation.parcels:
                return []
            if subtract(reservation.held, command.allocations) is None:
                raise NOT_HELD()
            fact = ReservationShipped if isinstance(command, ShipReservation) else ParcelReleased
            return [fact(order_id=command.order_id, parcel=command.parcel, allocations=command.allocations)]
        case ReduceReservation():
            if command.cancellation_id in reservation.cancellations or not command.allocations:
                return []
            if subtract(reservation.held, command.allocations) is None:
                raise NOT_HELD()
            return [
                ReservationReduced(
                    order_id=command.order_id,
                    cancellation_id=command.cancellation_id,
                    allocations=command.allocations,
                )
            ]
        case ReturnUnits():
            if command.return_id in reservation.returns:
                return []
            back = _put_back(reservation, command.units) if command.restock else ()
            return [ReservationReturned(order_id=command.order_id, return_id=command.return_id, allocations=back)]
        case _:
            raise TypeError(f"a reservation does not know {type(command).__name__}")


def _reserve(command: ReserveStock) -> Sequence[Event]:
    both = {"order_id": command.order_id, "payment_id": command.payment_id}
    wanted, waiting = dict(command.wanted), []
    for sku, units in command.wanted.items():
        have = sum(command.available.get(sku, {}).values())
        more = command.beyond.get(sku)
        if more is not None and have < units <= have + more.quantity:
            waiting.append(replace(more, quantity=units - have))
            wanted[sku] = have
    allocations, short = allocate({sku: units for sku, units in wanted.items() if units}, command.available)
    if short:
        return [StockReservationFailed(**both, short=short)]
    if waiting:
        return [StockBackordered(**both, allocations=allocations, waiting=tuple(waiting), without=command.without)]
    return [StockReserved(**both, allocations=allocations, without=command.without)]


def _set_aside(command: SetAside, reservation: ReservationState) -> Sequence[Event]:
    came = UnitsSetAside(order_id=command.order_id, allocations=command.allocations)
    left = dict(reservation.waiting)
    for one in command.allocations:
        left[one.sku] = left.get(one.sku, 0) - one.quantity
        if left[one.sku] < 0:
            raise NOT_HELD()
    if any(left.values()):
        return [came]
    after = evolve(reservation, came)
    assert after.payment_id is not None, "who waits has paid"
    return [
        came,
        StockReserved(
            order_id=command.order_id,
            payment_id=after.payment_id,
            allocations=after.held,
            without=tuple(sorted(after.cancellations)),
        ),
    ]


def _put_back(reservation: ReservationState, units: Mapping[str, int]) -> tuple[Allocation, ...]:
    """Each SKU's units go to the first warehouse that shipped it."""
    home: dict[str, str] = {}
    for one in reservation.shipped:
        home.setdefault(one.sku, one.warehouse)
    for sku in units:
        if sku not in home:
            raise NOT_HELD()
    return tuple(Allocation(sku, home[sku], count) for sku, count in units.items())


def subtract(held: tuple[Allocation, ...], gone: tuple[Allocation, ...]) -> tuple[Allocation, ...] | None:
    """What is left of `held` without `gone`; None where `gone` was not held."""
    left = {(a.sku, a.warehouse): a.quantity for a in held}
    for one in gone:
        key = (one.sku, one.warehouse)
        rest = left.get(key, 0) - one.quantity
        if rest < 0:
            return None
        left[key] = rest
    return tuple(Allocation(sku, warehouse, n) for (sku, warehouse), n in left.items() if n)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(reservation: ReservationState | None, event: Event) -> ReservationState:
    """The reservation after the event."""
    match event:
        case StockReserved():
            left_out = frozenset(event.without)
            return ReservationState(
                order_id=event.order_id, status=RESERVED, held=event.allocations, cancellations=left_out
            )
        case StockBackordered():
            return ReservationState(
                order_id=event.order_id,
                status=WAITING,
                payment_id=event.payment_id,
                held=event.allocations,
                waiting={one.sku: one.quantity for one in event.waiting},
                cancellations=frozenset(event.without),
            )
        case StockReservationFailed():
            return ReservationState(order_id=event.order_id, status=FAILED)
        case ReservationCancelled():
            return ReservationState(order_id=event.order_id, status=CANCELLED)
    if reservation is None:
        raise ValueError("a reservation begins with its outcome")
    match event:
        case UnitsSetAside():
            held = {(one.sku, one.warehouse): one.quantity for one in reservation.held}
            waiting = dict(reservation.waiting)
            for one in event.allocations:
                held[one.sku, one.warehouse] = held.get((one.sku, one.warehouse), 0) + one.quantity
                waiting[one.sku] -= one.quantity
            return replace(
                reservation,
                held=tuple(Allocation(sku, warehouse, units) for (sku, warehouse), units in held.items()),
                waiting={sku: units for sku, units in waiting.items() if units},
            )
        case StockReleased():
            return replace(reservation, status=RELEASED, held=(), waiting={})
        case ReservationShipped():
            return replace(
                reservation,
                held=subtract(reservation.held, event.allocations) or (),
                shipped=(*reservation.shipped, *event.allocations),
                parcels=reservation.parcels | {event.parcel},
            )
        case ParcelReleased():
            return replace(
                reservation,
                held=subtract(reservation.held, event.allocations) or (),
                parcels=reservation.parcels | {event.parcel},
            )
        case ReservationReduced():
            return replace(
                reservation,
                held=subtract(reservation.held, event.allocations) or (),
                cancellations=reservation.cancellations | {event.cancellation_id},
            )
        case ReservationReturned():
            return replace(reservation, returns=reservation.returns | {event.return_id})
        case _:
            raise TypeError(f"a reservation does not know {type(event).__name__}")


RESERVATION: Final = Aggregate(
    name="Reservation",
    log="inventory",
    state=ReservationState,
    events=(
        StockReserved,
        StockBackordered,
        UnitsSetAside,
        StockReservationFailed,
        ReservationCancelled,
        StockReleased,
        ReservationShipped,
        ParcelReleased,
        ReservationReduced,
        ReservationReturned,
    ),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
