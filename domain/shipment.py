"""The shipment of one order: its parcels, one per warehouse, packed, handed to the carrier, delivered, or cancelled."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.reservation import Allocation, subtract
from emporium.domain.text import check_text

AWAITED, PREPARED, SHIPPED = "awaited", "prepared", "shipped"
FULFILLED, CANCELLED = "fulfilled", "cancelled"
"""`awaited`: held, sent elsewhere or reduced before there was anything to ship."""

REASON_MOST: Final = 200


def shipment_id_of(order_id: UUID) -> UUID:
    """The id of the order's only shipment."""
    return stream_id("shipment", order_id)


class Parcel(msgspec.Struct, frozen=True):
    """A parcel and what is in it; `number` from 1."""

    number: int
    warehouse: str
    items: tuple[Allocation, ...]


# --- events ----------------------------------------------------------------------------------------


class ShipmentPrepared(Event, frozen=True, kw_only=True):
    """The reserved units are divided into parcels and wait to be labelled and packed.

    Those of the cancellations `without` were not even reserved.
    """

    order_id: UUID
    parcels: tuple[Parcel, ...]
    without: tuple[UUID, ...] = ()


class ParcelLabelled(Event, frozen=True, kw_only=True):
    """The carrier gave a label, to which of the order's addresses `address` says."""

    order_id: UUID
    parcel: int
    carrier: str
    tracking_number: str
    tracking_url: str
    label_url: str = ""
    address: int = 0


class ParcelLabelVoided(Event, frozen=True, kw_only=True):
    """Whatever label the parcel has or is getting is not used: it goes to another address. `attempt` is the next."""

    order_id: UUID
    parcel: int
    attempt: int


class ParcelRefused(Event, frozen=True, kw_only=True):
    """The carrier does not deliver there; staff must act."""

    order_id: UUID
    parcel: int
    reason: str


class ParcelGivenUp(Event, frozen=True, kw_only=True):
    """The parcel never leaves, while others of its order have; what was to be in it is refunded and free again."""

    order_id: UUID
    parcel: int
    items: tuple[Allocation, ...]
    reason: str


class ParcelPacked(Event, frozen=True, kw_only=True):
    """The parcel is closed and waits for the carrier: from here on the order cannot be stopped."""

    order_id: UUID
    parcel: int


class OrderShipped(Event, frozen=True, kw_only=True):
    """The carrier has parcel `parcel` of `of`."""

    order_id: UUID
    parcel: int
    of: int
    items: tuple[Allocation, ...]
    carrier: str
    tracking_number: str
    tracking_url: str


class ParcelDelivered(Event, frozen=True, kw_only=True):
    """The parcel has arrived."""

    order_id: UUID
    parcel: int


class ParcelLost(Event, frozen=True, kw_only=True):
    """The carrier has lost the parcel; what was in it is refunded."""

    order_id: UUID
    parcel: int
    items: tuple[Allocation, ...]


class ParcelReturned(Event, frozen=True, kw_only=True):
    """The parcel could not be delivered and came back; what is in it is refunded and restocked."""

    order_id: UUID
    parcel: int
    items: tuple[Allocation, ...]


class OrderFulfilled(Event, frozen=True, kw_only=True):
    """The last parcel of the order has arrived, or is known never to arrive."""

    order_id: UUID


class ShipmentHeld(Event, frozen=True, kw_only=True):
    """Nothing more is packed for this order until it is released; may be the first event of the stream."""

    order_id: UUID
    reason: str


class ShipmentReaddressed(Event, frozen=True, kw_only=True):
    """The order has another address before there is anything to label; may be the first event of the stream."""

    order_id: UUID
    address: int


class ShipmentReaddressRefused(Event, frozen=True, kw_only=True):
    """Everything was packed before the order's address changed, and goes to the address `address`."""

    order_id: UUID
    address: int


class ShipmentReductionAwaited(Event, frozen=True, kw_only=True):
    """Units (by SKU) are not wanted before there is anything to leave out; may be the first event of the stream."""

    order_id: UUID
    cancellation_id: UUID
    units: dict[str, int]


class ShipmentReduced(Event, frozen=True, kw_only=True):
    """These units are left out of the parcels that are not packed; in the parcels `emptied` nothing is left."""

    order_id: UUID
    cancellation_id: UUID
    items: tuple[Allocation, ...]
    emptied: tuple[int, ...] = ()


class ShipmentReductionRefused(Event, frozen=True, kw_only=True):
    """It is too late to leave the units out: they are packed or on their way."""

    order_id: UUID
    cancellation_id: UUID
    reason: str


class ShipmentReleased(Event, frozen=True, kw_only=True):
    """What was held is packed."""

    order_id: UUID


class ShipmentCancelled(Event, frozen=True, kw_only=True):
    """Nothing leaves for this order; as the first event of the stream a tombstone that forbids a shipment."""

    order_id: UUID
    reason: str


class ShipmentCancellationRefused(Event, frozen=True, kw_only=True):
    """It is too late: a parcel is packed or on its way."""

    order_id: UUID
    reason: str


# --- state -----------------------------------------------------------------------------------------


class ParcelState(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel and how far it is; `attempt` counts the labels that were not used, `address` is that of the label."""

    parcel: Parcel
    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    label_url: str = ""
    attempt: int = 0
    address: int = 0
    labelled: bool = False
    packed: bool = False
    shipped: bool = False
    delivered: bool = False
    lost: bool = False
    returned: bool = False
    given_up: bool = False
    refused: str | None = None

    @property
    def ended(self) -> bool:
        """Its way is over, wherever that led."""
        return self.delivered or self.lost or self.returned or self.given_up


class ShipmentState(State, frozen=True, kw_only=True):
    """What a shipment remembers.

    Attributes:
        address: the latest of the order's addresses that it knows of.
        awaited: units by SKU that are to be left out once there is something to ship, by cancellation.
        without: the cancellations whose units were not even reserved.
        reductions: the cancellations that have their answer.
    """

    order_id: UUID
    status: str
    parcels: dict[int, ParcelState] = {}
    held: bool = False
    address: int = 0
    awaited: dict[UUID, dict[str, int]] = {}
    without: frozenset[UUID] = frozenset()
    reductions: frozenset[UUID] = frozenset()

    @property
    def stoppable(self) -> bool:
        """No parcel is packed yet."""
        return self.status in (AWAITED, PREPARED) and not any(p.packed or p.shipped for p in self.parcels.values())


# --- commands --------------------------------------------------------------------------------------


class PrepareShipment(Command, frozen=True, kw_only=True):
    order_id: UUID
    allocations: tuple[Allocation, ...]
    without: tuple[UUID, ...] = ()


class RecordLabel(Command, frozen=True, kw_only=True):
    """With `pack` the parcel is packed at once (automatic fulfilment), unless it is held.

    `attempt` is the parcel's when the label was asked for: a label for a former address is not used.
    """

    order_id: UUID
    parcel: int
    carrier: str
    tracking_number: str
    tracking_url: str
    label_url: str = ""
    pack: bool = False
    attempt: int = 0
    address: int = 0


class RecordParcelRefusal(Command, frozen=True, kw_only=True):
    order_id: UUID
    parcel: int
    reason: str
    attempt: int = 0


class RetryParcel(Command, frozen=True, kw_only=True):
    """The carrier is asked once more for a label that it refused."""

    order_id: UUID
    parcel: int


class GiveUpParcel(Command, frozen=True, kw_only=True):
    """What no carrier takes is not sent, though other parcels of the order were."""

    order_id: UUID
    parcel: int
    reason: str


class PackParcel(Command, frozen=True, kw_only=True):
    """With `if_due` (automatic fulfilment, not a person's wish) nothing comes of it where something came between."""

    order_id: UUID
    parcel: int
    if_due: bool = False


class ShipParcel(Command, frozen=True, kw_only=True):
    """The carrier has taken the parcel over (packs it first where that was not recorded)."""

    order_id: UUID
    parcel: int


class RecordDelivery(Command, frozen=True, kw_only=True):
    order_id: UUID
    parcel: int


class RecordLoss(Command, frozen=True, kw_only=True):
    order_id: UUID
    parcel: int


class RecordReturnToSender(Command, frozen=True, kw_only=True):
    order_id: UUID
    parcel: int


class HoldShipment(Command, frozen=True, kw_only=True):
    order_id: UUID
    reason: str


class ReleaseShipment(Command, frozen=True, kw_only=True):
    order_id: UUID


class ReaddressShipment(Command, frozen=True, kw_only=True):
    """The order has another address, `address`: what is not packed needs a label for it."""

    order_id: UUID
    address: int


class ReduceShipment(Command, frozen=True, kw_only=True):
    """The order does not want these units (by SKU) any more."""

    order_id: UUID
    cancellation_id: UUID
    units: dict[str, int]


class CancelShipment(Command, frozen=True, kw_only=True):
    order_id: UUID
    reason: str


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_SHIPMENT = Reason("no_such_shipment", "There is no shipment for this order.", "missing")
NO_SUCH_PARCEL = Reason("no_such_parcel", "The shipment has no parcel {parcel}.", "missing")
SHIPMENT_CANCELLED = Reason("shipment_cancelled", "The shipment was cancelled.")
PARCEL_NOT_LABELLED = Reason("parcel_not_labelled", "Parcel {parcel} has no label yet.")
SHIPMENT_HELD = Reason("shipment_held", "The order is held: release it before parcel {parcel} is packed.")
PARCEL_NOT_REFUSED = Reason("parcel_not_refused", "No carrier has refused parcel {parcel}.")
PARCEL_GIVEN_UP = Reason("parcel_given_up", "Parcel {parcel} was given up.")
PARCEL_PACKED = Reason("parcel_packed", "Parcel {parcel} is packed: say what became of it.")
NOTHING_LEFT_YET = Reason(
    "nothing_left_yet", "No other parcel of the order has left yet: cancel the order, or wait until one has."
)
PARCEL_NOT_SHIPPED = Reason("parcel_not_shipped", "The carrier does not have parcel {parcel} yet.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, shipment: ShipmentState | None) -> Sequence[Event]:
    """The events that the command makes of this shipment. Raises Rejected."""
    match command:
        case PrepareShipment():
            if shipment is not None and shipment.status != AWAITED:
                return []
            return _prepare(command, shipment)
        case CancelShipment():
            return _cancel(command, shipment)
        case HoldShipment():
            if shipment is not None and (shipment.held or shipment.status in (FULFILLED, CANCELLED)):
                return []
            return [ShipmentHeld(order_id=command.order_id, reason=command.reason)]
        case ReaddressShipment():
            return _readdress(command, shipment)
        case ReduceShipment():
            return _reduce(command, shipment)
    if shipment is None:
        raise NO_SUCH_SHIPMENT()
    match command:
        case ReleaseShipment():
            return [ShipmentReleased(order_id=shipment.order_id)] if shipment.held else []
    parcel = _parcel_of(command, shipment)
    number = parcel.parcel.number
    match command:
        case RecordLabel():
            if parcel.labelled or parcel.given_up or shipment.status == CANCELLED or parcel.attempt != command.attempt:
                return []
            labelled = ParcelLabelled(
                order_id=shipment.order_id,
                parcel=number,
                carrier=command.carrier,
                tracking_number=command.tracking_number,
                tracking_url=command.tracking_url,
                label_url=command.label_url,
                address=command.address,
            )
            pack = command.pack and not shipment.held
            packed = [ParcelPacked(order_id=shipment.order_id, parcel=number)] if pack else []
            return [labelled, *packed]
        case RecordParcelRefusal():
            known = parcel.labelled or parcel.refused or parcel.given_up or parcel.attempt != command.attempt
            if known or shipment.status == CANCELLED:
                return []
            return [ParcelRefused(order_id=shipment.order_id, parcel=number, reason=command.reason)]
        case RetryParcel():
            if parcel.refused is None or shipment.status == CANCELLED:
                raise PARCEL_NOT_REFUSED(parcel=number)
            return [ParcelLabelVoided(order_id=shipment.order_id, parcel=number, attempt=parcel.attempt + 1)]
        case GiveUpParcel():
            return _give_up(command, shipment, parcel)
        case PackParcel():
            # A release, another label or an end makes what is to follow by itself.
            blocked = shipment.held or shipment.status == CANCELLED or parcel.given_up or not parcel.labelled
            return [] if parcel.packed or (command.if_due and blocked) else _pack(shipment, parcel)
        case ShipParcel():
            if parcel.shipped:
                return []
            packed_now = [] if parcel.packed else _pack(shipment, parcel)
            return [
                *packed_now,
                OrderShipped(
                    order_id=shipment.order_id,
                    parcel=number,
                    of=len(shipment.parcels),
                    items=parcel.parcel.items,
                    carrier=parcel.carrier,
                    tracking_number=parcel.tracking_number,
                    tracking_url=parcel.tracking_url,
                ),
            ]
        case RecordDelivery():
            return _end(shipment, parcel, ParcelDelivered(order_id=shipment.order_id, parcel=number))
        case RecordLoss():
            return _end(
                shipment, parcel, ParcelLost(order_id=shipment.order_id, parcel=number, items=parcel.parcel.items)
            )
        case RecordReturnToSender():
            return _end(
                shipment, parcel, ParcelReturned(order_id=shipment.order_id, parcel=number, items=parcel.parcel.items)
            )
        case _:
            raise TypeError(f"a shipment does not know {type(command).__name__}")


def _prepare(command: PrepareShipment, shipment: ShipmentState | None) -> Sequence[Event]:
    prepared = ShipmentPrepared(
        order_id=command.order_id, parcels=_divide(command.allocations), without=command.without
    )
    events: list[Event] = [prepared]
    state = evolve(shipment, prepared)
    for cancellation_id, units in state.awaited.items():
        # Nobody asked for a label yet, so none is for what is left out.
        answer = _leave_out(state, cancellation_id, units)
        events.append(answer)
        state = evolve(state, answer)
    return events


def _reduce(command: ReduceShipment, shipment: ShipmentState | None) -> Sequence[Event]:
    known = command.cancellation_id
    if shipment is None or shipment.status == AWAITED:
        if shipment is not None and known in shipment.awaited:
            return []
        return [ShipmentReductionAwaited(order_id=command.order_id, cancellation_id=known, units=command.units)]
    if known in shipment.reductions or shipment.status == CANCELLED:
        return []
    answer = _leave_out(shipment, known, command.units)
    if isinstance(answer, ShipmentReductionRefused) or not answer.items:
        return [answer]
    after = evolve(shipment, answer)
    touched = {one.warehouse for one in answer.items}
    # Whatever label these parcels have or are getting is for what was in them.
    voided = [
        ParcelLabelVoided(order_id=shipment.order_id, parcel=number, attempt=one.attempt + 1)
        for number, one in sorted(after.parcels.items())
        if one.parcel.warehouse in touched and not one.given_up
    ]
    ended = all(one.ended for one in after.parcels.values())
    return [answer, *voided, *([OrderFulfilled(order_id=shipment.order_id)] if ended else [])]


def _leave_out(
    shipment: ShipmentState, cancellation_id: UUID, units: Mapping[str, int]
) -> ShipmentReduced | ShipmentReductionRefused:
    """The units are taken from the smallest parcels first, so that one may become needless."""
    still = {} if cancellation_id in shipment.without else dict(units)
    items: list[Allocation] = []
    emptied: list[int] = []
    waiting = [one.parcel for one in shipment.parcels.values() if not (one.packed or one.given_up)]
    for parcel in sorted(waiting, key=lambda one: (sum(item.quantity for item in one.items), one.number)):
        out = [
            Allocation(item.sku, item.warehouse, part)
            for item in parcel.items
            if (part := min(item.quantity, still.get(item.sku, 0)))
        ]
        for one in out:
            still[one.sku] -= one.quantity
        items += out
        if out and sum(one.quantity for one in out) == sum(item.quantity for item in parcel.items):
            emptied.append(parcel.number)
    if any(still.values()):
        return ShipmentReductionRefused(
            order_id=shipment.order_id, cancellation_id=cancellation_id, reason="already_packed"
        )
    return ShipmentReduced(
        order_id=shipment.order_id,
        cancellation_id=cancellation_id,
        items=tuple(items),
        emptied=tuple(sorted(emptied)),
    )


def _readdress(command: ReaddressShipment, shipment: ShipmentState | None) -> Sequence[Event]:
    if shipment is None or shipment.status == AWAITED:
        return [ShipmentReaddressed(order_id=command.order_id, address=command.address)]
    if shipment.status == CANCELLED:
        return []
    if all(one.packed or one.given_up for one in shipment.parcels.values()):
        packed = max((one.address for one in shipment.parcels.values() if one.packed), default=command.address)
        if packed >= command.address:
            return []
        return [ShipmentReaddressRefused(order_id=command.order_id, address=packed)]
    # What has no label yet may be getting one for the former address.
    return [
        ParcelLabelVoided(order_id=shipment.order_id, parcel=number, attempt=one.attempt + 1)
        for number, one in sorted(shipment.parcels.items())
        if not (one.packed or one.given_up or (one.labelled and one.address >= command.address))
    ]


def _end(
    shipment: ShipmentState, parcel: ParcelState, end: ParcelDelivered | ParcelLost | ParcelReturned
) -> Sequence[Event]:
    if parcel.ended:
        return []
    if not parcel.shipped:
        raise PARCEL_NOT_SHIPPED(parcel=end.parcel)
    return _last(shipment, end)


def _last(
    shipment: ShipmentState, end: ParcelDelivered | ParcelLost | ParcelReturned | ParcelGivenUp
) -> Sequence[Event]:
    """The end of a parcel's way, and of the order's where no other is still to come."""
    others = (p.ended for n, p in shipment.parcels.items() if n != end.parcel)
    return [end, OrderFulfilled(order_id=shipment.order_id)] if all(others) else [end]


def _give_up(command: GiveUpParcel, shipment: ShipmentState, parcel: ParcelState) -> Sequence[Event]:
    if parcel.given_up:
        return []
    if shipment.status == CANCELLED:
        raise SHIPMENT_CANCELLED()
    if parcel.packed:
        raise PARCEL_PACKED(parcel=command.parcel)
    if not any(one.shipped for one in shipment.parcels.values()):
        raise NOTHING_LEFT_YET()
    reason = check_text("reason", command.reason, REASON_MOST)
    items = parcel.parcel.items
    return _last(shipment, ParcelGivenUp(order_id=shipment.order_id, parcel=command.parcel, items=items, reason=reason))


def _divide(allocations: tuple[Allocation, ...]) -> tuple[Parcel, ...]:
    by_warehouse: dict[str, list[Allocation]] = {}
    for one in allocations:
        by_warehouse.setdefault(one.warehouse, []).append(one)
    return tuple(Parcel(n, w, tuple(items)) for n, (w, items) in enumerate(by_warehouse.items(), start=1))


def _cancel(command: CancelShipment, shipment: ShipmentState | None) -> Sequence[Event]:
    if shipment is None or shipment.stoppable:
        return [ShipmentCancelled(order_id=command.order_id, reason=command.reason)]
    if shipment.status == CANCELLED:
        return []
    return [ShipmentCancellationRefused(order_id=command.order_id, reason="already_packed")]


def _parcel_of(command: Command, shipment: ShipmentState) -> ParcelState:
    number = getattr(command, "parcel", None)
    parcel = shipment.parcels.get(number) if isinstance(number, int) else None
    if parcel is None:
        raise SHIPMENT_CANCELLED() if shipment.status == CANCELLED else NO_SUCH_PARCEL(parcel=number)
    return parcel


def _pack(shipment: ShipmentState, parcel: ParcelState) -> list[Event]:
    if shipment.status == CANCELLED:
        raise SHIPMENT_CANCELLED()
    if parcel.given_up:
        raise PARCEL_GIVEN_UP(parcel=parcel.parcel.number)
    if shipment.held:
        raise SHIPMENT_HELD(parcel=parcel.parcel.number)
    if not parcel.labelled:
        raise PARCEL_NOT_LABELLED(parcel=parcel.parcel.number)
    return [ParcelPacked(order_id=shipment.order_id, parcel=parcel.parcel.number)]


# --- evolve ----------------------------------------------------------------------------------------


def evolve(shipment: ShipmentState | None, event: Event) -> ShipmentState:
    """The shipment after the event."""
    match event:
        case ShipmentPrepared():
            parcels = {p.number: ParcelState(parcel=p) for p in event.parcels}
            before = shipment or ShipmentState(order_id=event.order_id, status=AWAITED)
            return replace(before, status=PREPARED, parcels=parcels, without=frozenset(event.without))
        case ShipmentHeld() if shipment is None:
            return ShipmentState(order_id=event.order_id, status=AWAITED, held=True)
        case ShipmentReaddressed() if shipment is None:
            return ShipmentState(order_id=event.order_id, status=AWAITED, address=event.address)
        case ShipmentReductionAwaited() if shipment is None:
            awaited = {event.cancellation_id: event.units}
            return ShipmentState(order_id=event.order_id, status=AWAITED, awaited=awaited)
        case ShipmentCancelled() if shipment is None:
            return ShipmentState(order_id=event.order_id, status=CANCELLED)
    if shipment is None:
        raise ValueError("a shipment begins by being prepared, held, readdressed, reduced or cancelled")
    match event:
        case ShipmentCancelled():
            return replace(shipment, status=CANCELLED)
        case ShipmentCancellationRefused() | ShipmentReaddressRefused():
            return shipment
        case ShipmentReaddressed():
            return replace(shipment, address=event.address)
        case ShipmentReductionAwaited():
            return replace(shipment, awaited={**shipment.awaited, event.cancellation_id: event.units})
        case ShipmentReduced() | ShipmentReductionRefused():
            return _answered(shipment, event)
        case ShipmentHeld():
            return replace(shipment, held=True)
        case ShipmentReleased():
            return replace(shipment, held=False)
        case OrderFulfilled():
            return replace(shipment, status=FULFILLED)
        case ParcelLabelled():
            return _set(
                shipment,
                event.parcel,
                carrier=event.carrier,
                tracking_number=event.tracking_number,
                tracking_url=event.tracking_url,
                label_url=event.label_url,
                address=event.address,
                labelled=True,
                refused=None,
            )
        case ParcelLabelVoided():
            return _set(
                shipment,
                event.parcel,
                carrier="",
                tracking_number="",
                tracking_url="",
                label_url="",
                labelled=False,
                refused=None,
                attempt=event.attempt,
            )
        case ParcelRefused():
            return _set(shipment, event.parcel, refused=event.reason)
        case ParcelGivenUp():
            return _set(shipment, event.parcel, given_up=True, refused=None)
        case ParcelPacked():
            return _set(shipment, event.parcel, packed=True)
        case OrderShipped():
            return replace(_set(shipment, event.parcel, shipped=True), status=SHIPPED)
        case ParcelDelivered():
            return _set(shipment, event.parcel, delivered=True)
        case ParcelLost():
            return _set(shipment, event.parcel, lost=True)
        case ParcelReturned():
            return _set(shipment, event.parcel, returned=True)
        case _:
            raise TypeError(f"a shipment does not know {type(event).__name__}")


def _answered(shipment: ShipmentState, event: ShipmentReduced | ShipmentReductionRefused) -> ShipmentState:
    awaited = {known: units for known, units in shipment.awaited.items() if known != event.cancellation_id}
    answered = replace(shipment, awaited=awaited, reductions=shipment.reductions | {event.cancellation_id})
    if isinstance(event, ShipmentReductionRefused):
        return answered
    parcels = dict(shipment.parcels)
    for number, one in shipment.parcels.items():
        out = tuple(item for item in event.items if item.warehouse == one.parcel.warehouse)
        if out:
            left = Parcel(number, one.parcel.warehouse, subtract(one.parcel.items, out) or ())
            parcels[number] = replace(one, parcel=left)
    for number in event.emptied:
        parcels[number] = replace(parcels[number], given_up=True, refused=None)
    return replace(answered, parcels=parcels)


def _set(shipment: ShipmentState, number: int, **changes: object) -> ShipmentState:
    parcel = replace(shipment.parcels[number], **changes)
    return replace(shipment, parcels={**shipment.parcels, number: parcel})


SHIPMENT: Final = Aggregate(
    name="Shipment",
    log="shipping",
    state=ShipmentState,
    events=(
        ShipmentPrepared,
        ParcelLabelled,
        ParcelLabelVoided,
        ParcelRefused,
        ParcelGivenUp,
        ParcelPacked,
        OrderShipped,
        ParcelDelivered,
        ParcelLost,
        ParcelReturned,
        OrderFulfilled,
        ShipmentHeld,
        ShipmentReleased,
        ShipmentReaddressed,
        ShipmentReaddressRefused,
        ShipmentReductionAwaited,
        ShipmentReduced,
        ShipmentReductionRefused,
        ShipmentCancelled,
        ShipmentCancellationRefused,
    ),
    decide=decide,
    evolve=evolve,
    state_version=3,
)
