"""The process managers of the order saga: for every event they follow and every state they may meet, what they do.

Logs have no order between them, so each table answers for every state: commands, a reason why nothing
is owed, or that something must be seen first. A missing cell is an error at import.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.application.commands import FailAndReopen, IssueDocuments, ReserveOrder
from emporium.domain import cancellations, order, payment, reservation, shipment
from emporium.domain.base import Aggregate, Command, Event, Money, State, stream_id
from emporium.domain.order import ORDER, OrderState
from emporium.domain.payment import PAYMENT, closing_refund_id_of, payment_id_of
from emporium.domain.reservation import RESERVATION, reservation_id_of
from emporium.domain.shipment import SHIPMENT, shipment_id_of

__all__ = ["POLICIES", "Ignore", "Later", "Policy", "Reaction"]


class Ignore(msgspec.Struct, frozen=True):
    """Nothing is owed, and why."""

    reason: str


class Later(msgspec.Struct, frozen=True):
    """Something that this reaction builds on has not arrived yet: the event is kept and tried again."""

    reason: str


React = Callable[[Any, Any, OrderState], Sequence[Command]]
"""(event, the policy's own state or None, the order) → commands."""

Reaction = React | Ignore | Later

NEW: Final = "new"
"""The status of a stream that has no events yet."""


class Policy(msgspec.Struct, frozen=True):
    """One process manager.

    Attributes:
        name: of the context in whose log it writes; also its log.
        aggregate: the kind of stream whose status selects the reaction.
        stream_of: order id → that stream.
        statuses: every status the stream can have, NEW first.
        table: event type → status → reaction.
        reads_order: the event types whose reactions need the order itself.
    """

    name: str
    aggregate: Aggregate[Any]
    stream_of: Callable[[UUID], UUID]
    statuses: tuple[str, ...]
    table: Mapping[type[Event], Mapping[str, Reaction]]
    reads_order: frozenset[type[Event]] = frozenset()

    def __post_init__(self) -> None:
        for event, row in self.table.items():
            if set(row) != set(self.statuses):
                odd = set(row) ^ set(self.statuses)
                raise TypeError(f"the policy {self.name} has no single answer to {event.__name__} in {sorted(odd)}")

    def reaction(self, event: Event, state: State | None) -> Reaction:
        """The cell for this event in this state."""
        status: str = NEW if state is None else state.status  # type: ignore[attr-defined]
        return self.table[type(event)][status]


def _row(statuses: tuple[str, ...], otherwise: Reaction | None = None, **cells: Reaction) -> dict[str, Reaction]:
    row: dict[str, Reaction] = {} if otherwise is None else dict.fromkeys(statuses, otherwise)
    return row | cells


# --- payments --------------------------------------------------------------------------------------


def _request_payment(event: order.OrderCreated, state: None, _: OrderState) -> Sequence[Command]:
    time_limit = None if event.agreement is None else event.agreement.payment_seconds
    return [
        payment.RequestPayment(
            order_id=event.order_id,
            amount=event.total,
            method=event.payment_method,
            time_limit=time_limit,
            token=event.payment_token,
        )
    ]


def _cancel_payment(event: order.OrderCancelled | order.OrderFailed, *_: object) -> Sequence[Command]:
    return [payment.CancelPayment(order_id=event.order_id, reason=event.reason)]


def _capture(event: reservation.StockReserved, state: payment.PaymentState, _: OrderState) -> Sequence[Command]:
    # Where units were left out, their price is not even taken: OrderLinesCancelled says what it is.
    return [] if state.captured or event.without else [payment.RequestCapture(order_id=event.order_id)]


def _cancelled_in_part(
    event: cancellations.OrderLinesCancelled, state: payment.PaymentState, _: OrderState
) -> Sequence[Command]:
    if state.voided:
        return []
    owed = min(event.amount.amount, state.received - state.refunded)
    wish = payment.RequestRefund(
        order_id=event.order_id,
        refund_id=event.cancellation_id,
        amount=Money(owed, event.amount.currency),
        reason="cancelled_in_part",
        from_secured=True,
    )
    take = [] if state.captured else [payment.RequestCapture(order_id=event.order_id)]
    return [*([wish] if owed > 0 else []), *take]


def _capture_now(event: reservation.StockBackordered, state: payment.PaymentState, _: OrderState) -> Sequence[Command]:
    # What is only secured lapses long before the goods may come.
    return [] if state.captured else [payment.RequestCapture(order_id=event.order_id)]


def _refund_shortage(event: reservation.StockReservationFailed, *_: object) -> Sequence[Command]:
    return [payment.CancelPayment(order_id=event.order_id, reason="out_of_stock")]


def _refund_return(event: order.OrderReturned, state: payment.PaymentState, _: OrderState) -> Sequence[Command]:
    return _refund(state, event.return_id, event.amount, "returned")


def _refund_goodwill(event: order.GoodwillGranted, state: payment.PaymentState, _: OrderState) -> Sequence[Command]:
    return _refund(state, event.refund_id, event.amount, "goodwill")


def _refund(state: payment.PaymentState, refund_id: UUID, amount: Money, reason: str) -> Sequence[Command]:
    # Staff may have given money back at the payment before the order heard of it: no more than came in goes back.
    # What a dispute holds is refused instead, and waits for a person: it may still be won.
    owed = min(amount.amount, state.received - state.refunded) if state.received else amount.amount
    if owed <= 0:
        return []
    wish = Money(owed, amount.currency)
    return [payment.RequestRefund(order_id=state.order_id, refund_id=refund_id, amount=wish, reason=reason)]


_PAYMENT: Final = (NEW, payment.REQUESTED, payment.PROCESSED, payment.FAILED, payment.CANCELLED)
_NOT_PAID_YET: Final = Later("the order was delivered, so its payment was processed, but is not seen here yet")
_NO_MONEY: Final = Ignore("the payment failed or was cancelled: no money came, and late money is refunded by itself")

PAYMENTS: Final = Policy(
    name="payments",
    aggregate=PAYMENT,
    stream_of=payment_id_of,
    statuses=_PAYMENT,
    table={
        order.OrderCreated: _row(
            _PAYMENT,
            Ignore("the payment was requested already"),
            new=_request_payment,
            cancelled=Ignore("the order was cancelled before its payment was requested: nothing is charged"),
        ),
        order.OrderCancelled: _row(
            _PAYMENT,
            _NO_MONEY,
            new=_cancel_payment,
            requested=_cancel_payment,
            processed=_cancel_payment,
        ),
        order.OrderFailed: _row(
            _PAYMENT,
            _NO_MONEY,
            new=_cancel_payment,
            requested=_cancel_payment,
            processed=_cancel_payment,
        ),
        reservation.StockReservationFailed: _row(
            _PAYMENT,
            _NO_MONEY,
            new=Later("the reservation was tried for a processed payment that is not seen here yet"),
            requested=Later("the reservation was tried for a processed payment that is not seen here yet"),
            processed=_refund_shortage,
        ),
        reservation.StockBackordered: _row(
            _PAYMENT,
            _NO_MONEY,
            new=Later("the order waits for goods that a processed payment is for, which is not seen here yet"),
            requested=Later("the order waits for goods that a processed payment is for, which is not seen here yet"),
            processed=_capture_now,
        ),
        reservation.StockReserved: _row(
            _PAYMENT,
            _NO_MONEY,
            new=Later("the stock was reserved for a processed payment that is not seen here yet"),
            requested=Later("the stock was reserved for a processed payment that is not seen here yet"),
            processed=_capture,
        ),
        order.OrderReturned: _row(
            _PAYMENT, _NO_MONEY, new=_NOT_PAID_YET, requested=_NOT_PAID_YET, processed=_refund_return
        ),
        order.GoodwillGranted: _row(
            _PAYMENT, _NO_MONEY, new=_NOT_PAID_YET, requested=_NOT_PAID_YET, processed=_refund_goodwill
        ),
        cancellations.OrderLinesCancelled: _row(
            _PAYMENT, _NO_MONEY, new=_NOT_PAID_YET, requested=_NOT_PAID_YET, processed=_cancelled_in_part
        ),
    },
)


# --- inventory -------------------------------------------------------------------------------------


def _reserve(event: payment.PaymentProcessed, state: None, state_of_order: OrderState) -> Sequence[Command]:
    wanted: Counter[str] = Counter()
    kept = state_of_order.wanted
    for line in state_of_order.lines:
        wanted[line.sku] += kept[line.line]
    return [
        ReserveOrder(
            order_id=event.order_id,
            payment_id=event.payment_id,
            wanted={sku: units for sku, units in wanted.items() if units},
            country=state_of_order.country,
            without=state_of_order.unwanted,
        )
    ]


def _release(event: order.OrderCancelled | order.OrderFailed, *_: object) -> Sequence[Command]:
    return [reservation.ReleaseReservation(order_id=event.order_id, reason=event.reason)]


def _ship(event: shipment.OrderShipped, *_: object) -> Sequence[Command]:
    return [reservation.ShipReservation(order_id=event.order_id, parcel=event.parcel, allocations=event.items)]


def _free_parcel(event: shipment.ParcelGivenUp, *_: object) -> Sequence[Command]:
    return [reservation.ReleaseParcel(order_id=event.order_id, parcel=event.parcel, allocations=event.items)]


def _free_units(event: shipment.ShipmentReduced, *_: object) -> Sequence[Command]:
    return [
        reservation.ReduceReservation(
            order_id=event.order_id, cancellation_id=event.cancellation_id, allocations=event.items
        )
    ]


def _take_back(event: order.OrderReturned, state: reservation.ReservationState, _: OrderState) -> Sequence[Command]:
    units: Counter[str] = Counter()
    for line in event.lines:
        units[line.sku] += line.quantity
    return [
        reservation.ReturnUnits(
            order_id=event.order_id, return_id=event.return_id, units=dict(units), restock=event.restock
        )
    ]


_RESERVATION: Final = (
    NEW,
    reservation.WAITING,
    reservation.RESERVED,
    reservation.FAILED,
    reservation.CANCELLED,
    reservation.RELEASED,
)
_NOTHING_HELD: Final = Ignore("the order holds no stock")
_NOT_SEEN: Final = Later("there was a shipment, so its stock was reserved, but that is not seen here yet")

INVENTORY: Final = Policy(
    name="inventory",
    aggregate=RESERVATION,
    stream_of=reservation_id_of,
    statuses=_RESERVATION,
    table={
        payment.PaymentProcessed: _row(
            _RESERVATION,
            Ignore("the stock was reserved already, or found short"),
            new=_reserve,
            cancelled=Ignore("the order was cancelled first: payments refunds it"),
            released=Ignore("the order was cancelled: payments refunds it"),
        ),
        order.OrderCancelled: _row(_RESERVATION, _NOTHING_HELD, new=_release, waiting=_release, reserved=_release),
        order.OrderFailed: _row(_RESERVATION, _NOTHING_HELD, new=_release, waiting=_release, reserved=_release),
        shipment.OrderShipped: _row(_RESERVATION, _NOT_SEEN, reserved=_ship),
        shipment.ParcelGivenUp: _row(_RESERVATION, _NOT_SEEN, reserved=_free_parcel),
        shipment.ShipmentReduced: _row(
            _RESERVATION,
            _NOT_SEEN,
            released=Ignore("the order came to nothing: whatever it held is free already"),
            reserved=_free_units,
        ),
        order.OrderReturned: _row(_RESERVATION, _NOT_SEEN, reserved=_take_back),
    },
    reads_order=frozenset({payment.PaymentProcessed}),
)


# --- shipping --------------------------------------------------------------------------------------


def _prepare(event: reservation.StockReserved, *_: object) -> Sequence[Command]:
    return [shipment.PrepareShipment(order_id=event.order_id, allocations=event.allocations, without=event.without)]


def _reduce(event: cancellations.LinesCancellationRequested, *_: object) -> Sequence[Command]:
    units: Counter[str] = Counter()
    for line in event.lines:
        units[line.sku] += line.quantity
    return [shipment.ReduceShipment(order_id=event.order_id, cancellation_id=event.cancellation_id, units=dict(units))]


def _stop(event: order.OrderCancellationRequested | order.OrderFailed, *_: object) -> Sequence[Command]:
    return [shipment.CancelShipment(order_id=event.order_id, reason=event.reason)]


def _hold(event: order.OrderHeld, *_: object) -> Sequence[Command]:
    return [shipment.HoldShipment(order_id=event.order_id, reason=event.reason)]


def _release_shipment(event: order.OrderReleased, *_: object) -> Sequence[Command]:
    return [shipment.ReleaseShipment(order_id=event.order_id)]


def _readdress(event: order.OrderAddressChanged, *_: object) -> Sequence[Command]:
    return [shipment.ReaddressShipment(order_id=event.order_id, address=event.revision)]


_NOTHING_LEFT: Final = Ignore("every parcel has left, or none ever will")
_NOT_HELD: Final = Ignore("the shipment was not held")

_SHIPMENT: Final = (NEW, shipment.AWAITED, shipment.PREPARED, shipment.SHIPPED, shipment.FULFILLED, shipment.CANCELLED)

SHIPPING: Final = Policy(
    name="shipping",
    aggregate=SHIPMENT,
    stream_of=shipment_id_of,
    statuses=_SHIPMENT,
    table={
        payment.PaymentProcessed: _row(
            _SHIPMENT, Ignore("the payment is secured; the shipment starts at StockReserved, which follows it")
        ),
        reservation.StockReserved: _row(
            _SHIPMENT,
            Ignore("the shipment was prepared already"),
            new=_prepare,
            awaited=_prepare,
            cancelled=Ignore("the order was stopped first: its cancellation releases the stock"),
        ),
        order.OrderCancellationRequested: _row(
            _SHIPMENT, _stop, cancelled=Ignore("the shipment was cancelled already")
        ),
        order.OrderFailed: _row(
            _SHIPMENT,
            Ignore("an order that shipped cannot fail"),
            new=_stop,
            awaited=_stop,
            prepared=_stop,
            cancelled=Ignore("the shipment was cancelled already"),
        ),
        order.OrderHeld: _row(_SHIPMENT, _hold, fulfilled=_NOTHING_LEFT, cancelled=_NOTHING_LEFT),
        order.OrderReleased: _row(
            _SHIPMENT, _release_shipment, new=_NOT_HELD, fulfilled=_NOTHING_LEFT, cancelled=_NOTHING_LEFT
        ),
        order.OrderAddressChanged: _row(_SHIPMENT, _readdress, cancelled=_NOTHING_LEFT),
        cancellations.LinesCancellationRequested: _row(
            _SHIPMENT, _reduce, cancelled=Ignore("nothing of the order is sent: its whole money and stock go back")
        ),
    },
)


# --- ordering --------------------------------------------------------------------------------------


def _paid(event: payment.PaymentProcessed, state: OrderState, _: OrderState) -> Sequence[Command]:
    return [order.RecordPayment(order_id=event.order_id, amount=event.amount)]


def _paid_at_last(event: payment.PaymentProcessed, *_: object) -> Sequence[Command]:
    return [
        order.RecordPayment(order_id=event.order_id, amount=event.amount),
        IssueDocuments(order_id=event.order_id),
    ]


def _payment_failed(event: payment.PaymentFailed, *_: object) -> Sequence[Command]:
    reason = "payment_timed_out" if event.code == "timed_out" else "payment_declined"
    return [FailAndReopen(order_id=event.order_id, reason=reason, detail=event.code)]


def _record_refund(event: payment.PaymentRefunded) -> Command:
    # What goes back with the whole payment, or was paid in error, was never owed for this order.
    closing = event.refund_id == closing_refund_id_of(event.order_id)
    return order.RecordOrderRefund(
        order_id=event.order_id,
        refund_id=event.refund_id,
        amount=event.amount,
        corrects=not closing and event.reason != "paid_twice",
    )


def _record_untaken(event: payment.CaptureReduced, *_: object) -> Sequence[Command]:
    return [
        order.RecordOrderRefund(order_id=event.order_id, refund_id=event.refund_id, amount=event.amount, untaken=True)
    ]


def _refunded(event: payment.PaymentRefunded, state: OrderState, _: OrderState) -> Sequence[Command]:
    record = _record_refund(event)
    if event.reason == "out_of_stock" and state.status in (order.PENDING, order.PAID, order.REFUNDING):
        return [record, FailAndReopen(order_id=event.order_id, reason="out_of_stock")]
    return [record]


def _corrected(event: payment.PaymentRefunded, *_: object) -> Sequence[Command]:
    return [_record_refund(event), IssueDocuments(order_id=event.order_id)]


def _refund_failed(event: payment.RefundFailed, *_: object) -> Sequence[Command]:
    if event.refund_id != closing_refund_id_of(event.order_id):
        return []
    return [FailAndReopen(order_id=event.order_id, reason="out_of_stock", detail=f"refund_failed:{event.code}")]


def _voided(event: payment.PaymentVoided, *_: object) -> Sequence[Command]:
    if event.reason == "out_of_stock":
        return [FailAndReopen(order_id=event.order_id, reason="out_of_stock")]
    # Its stock may be reserved or on its way out: shipping says whether the order can still be stopped.
    return [order.RequestCancellation(order_id=event.order_id, reason="payment_voided")]


def _voided_and_short(event: payment.PaymentVoided, *_: object) -> Sequence[Command]:
    return [FailAndReopen(order_id=event.order_id, reason="out_of_stock")]


def _waits(event: reservation.StockBackordered, *_: object) -> Sequence[Command]:
    return [order.RecordBackorder(order_id=event.order_id, waiting=event.waiting)]


def _confirmed(event: reservation.StockReserved, *_: object) -> Sequence[Command]:
    return [order.RecordReservation(order_id=event.order_id)]


def _short(event: reservation.StockReservationFailed, *_: object) -> Sequence[Command]:
    return [order.RecordShortage(order_id=event.order_id, short=event.short)]


def _dispatched(event: shipment.OrderShipped, *_: object) -> Sequence[Command]:
    return [
        order.RecordDispatch(
            order_id=event.order_id,
            parcel=event.parcel,
            of=event.of,
            carrier=event.carrier,
            tracking_number=event.tracking_number,
            tracking_url=event.tracking_url,
        ),
        IssueDocuments(order_id=event.order_id),
    ]


def _write_off(event: shipment.ParcelLost | shipment.ParcelReturned, *_: object) -> Sequence[Command]:
    units: Counter[str] = Counter()
    for one in event.items:
        units[one.sku] += one.quantity
    back = isinstance(event, shipment.ParcelReturned)
    return [
        order.WriteOffParcel(
            order_id=event.order_id,
            return_id=stream_id("return", event.order_id, "parcel", event.parcel),
            items=dict(units),
            restock=back,
            reason="parcel_returned" if back else "parcel_lost",
        )
    ]


def _given_up(event: shipment.ParcelGivenUp, *_: object) -> Sequence[Command]:
    units: Counter[str] = Counter()
    for one in event.items:
        units[one.sku] += one.quantity
    # Its units never left: they are free again with the parcel, not by what is taken back.
    return [
        order.WriteOffParcel(
            order_id=event.order_id,
            return_id=stream_id("return", event.order_id, "parcel", event.parcel),
            items=dict(units),
            restock=False,
            reason=order.GIVEN_UP,
        )
    ]


def _completed(event: shipment.OrderFulfilled, *_: object) -> Sequence[Command]:
    return [order.CompleteOrder(order_id=event.order_id)]


def _cancelled(event: shipment.ShipmentCancelled, *_: object) -> Sequence[Command]:
    return [order.ConfirmCancellation(order_id=event.order_id)]


def _not_cancelled(event: shipment.ShipmentCancellationRefused, *_: object) -> Sequence[Command]:
    return [order.RefuseCancellation(order_id=event.order_id, reason=event.reason)]


def _lines_cancelled(event: shipment.ShipmentReduced, *_: object) -> Sequence[Command]:
    return [
        cancellations.ConfirmLinesCancellation(
            order_id=event.order_id, cancellation_id=event.cancellation_id, left_out=len(event.emptied)
        )
    ]


def _lines_not_cancelled(event: shipment.ShipmentReductionRefused, *_: object) -> Sequence[Command]:
    return [
        cancellations.RefuseLinesCancellation(
            order_id=event.order_id, cancellation_id=event.cancellation_id, reason=event.reason
        )
    ]


def _not_readdressed(event: shipment.ShipmentReaddressRefused, *_: object) -> Sequence[Command]:
    return [order.RestoreAddress(order_id=event.order_id, revision=event.address)]


_ORDER: Final = (
    NEW,
    order.PENDING,
    order.PAID,
    order.BACKORDERED,
    order.CONFIRMED,
    order.PARTLY_SHIPPED,
    order.SHIPPED,
    order.FULFILLED,
    order.REFUNDING,
    order.CANCELLING,
    order.FAILED,
    order.CANCELLED,
)
_ODD: Final = Later("it contradicts what is known of the order; a person must look if it stays so")
_CLOSED: Final = Ignore("the order is closed, and the sender of this event settles what is owed")

_GOODS_LEFT: Final = Ignore("the goods have left: the order goes on, and staff claim the money")

ORDERING: Final = Policy(
    name="ordering",
    aggregate=ORDER,
    stream_of=lambda order_id: order_id,
    statuses=_ORDER,
    table={
        payment.PaymentProcessed: _row(
            _ORDER, _paid, new=_ODD, partly_shipped=_paid_at_last, shipped=_paid_at_last, fulfilled=_paid_at_last
        ),
        payment.PaymentFailed: _row(
            _ORDER,
            _ODD,
            pending=_payment_failed,
            cancelling=_payment_failed,
            failed=Ignore("the order failed already"),
            cancelled=Ignore("the order was cancelled already; no money came"),
        ),
        payment.PaymentCancelled: _row(
            _ORDER, Ignore("payments stopped because the order was closed: it says nothing new")
        ),
        payment.LatePaymentReceived: _row(
            _ORDER, Ignore("payments refunds late money by itself; PaymentRefunded will be recorded")
        ),
        payment.PaymentRefunded: _row(
            _ORDER, _refunded, new=_ODD, partly_shipped=_corrected, shipped=_corrected, fulfilled=_corrected
        ),
        payment.CaptureReduced: _row(_ORDER, _record_untaken, new=_ODD),
        payment.RefundFailed: _row(
            _ORDER,
            Ignore("staff settle a refused refund; the order's status does not depend on it"),
            # Before the shortage is seen here only a closing refund can fail, and only for the shortage.
            pending=_refund_failed,
            paid=_refund_failed,
            refunding=_refund_failed,
        ),
        payment.PaymentVoided: _row(
            _ORDER,
            Ignore("the order is closed or about to be; no money was taken, so none goes back"),
            new=_ODD,
            pending=_voided,
            paid=_voided,
            backordered=_voided,
            confirmed=_voided,
            partly_shipped=_GOODS_LEFT,
            shipped=_GOODS_LEFT,
            fulfilled=_GOODS_LEFT,
            refunding=_voided_and_short,
        ),
        reservation.StockBackordered: _row(
            _ORDER,
            Ignore("it waits no more: its goods have come since"),
            new=_ODD,
            pending=_waits,
            paid=_waits,
            backordered=Ignore("that it waits is recorded already"),
            refunding=_ODD,
            cancelling=_waits,
            failed=_CLOSED,
            cancelled=_CLOSED,
        ),
        reservation.StockReserved: _row(
            _ORDER, _confirmed, new=_ODD, refunding=_ODD, failed=_CLOSED, cancelled=_CLOSED
        ),
        reservation.StockReservationFailed: _row(
            _ORDER,
            _ODD,
            pending=_short,
            paid=_short,
            cancelling=_short,
            refunding=Ignore("the shortage is recorded already"),
            failed=Ignore("the refund for the shortage was seen first and the order failed with it"),
            cancelled=Ignore("the order was cancelled already; payments refunds it"),
        ),
        shipment.OrderShipped: _row(_ORDER, _dispatched, new=_ODD, refunding=_ODD, failed=_ODD, cancelled=_ODD),
        shipment.ParcelLost: _row(_ORDER, _ODD, partly_shipped=_write_off, shipped=_write_off, fulfilled=_write_off),
        shipment.ParcelReturned: _row(
            _ORDER, _ODD, partly_shipped=_write_off, shipped=_write_off, fulfilled=_write_off
        ),
        shipment.ParcelGivenUp: _row(_ORDER, _ODD, partly_shipped=_given_up, shipped=_given_up, fulfilled=_given_up),
        shipment.OrderFulfilled: _row(
            _ORDER,
            _completed,
            new=_ODD,
            refunding=_ODD,
            failed=_ODD,
            cancelled=_ODD,
            fulfilled=Ignore("the order is fulfilled already"),
        ),
        shipment.ShipmentCancelled: _row(
            _ORDER,
            _ODD,
            cancelling=_cancelled,
            cancelled=Ignore("the order is cancelled already"),
            failed=Ignore("the order failed before its cancellation came through; nothing shipped either way"),
        ),
        shipment.ShipmentCancellationRefused: _row(
            _ORDER,
            _ODD,
            cancelling=_not_cancelled,
            partly_shipped=_not_cancelled,
            shipped=_not_cancelled,
            fulfilled=_not_cancelled,
        ),
        shipment.ShipmentReaddressRefused: _row(_ORDER, _not_readdressed, new=_ODD),
        shipment.ShipmentReduced: _row(
            _ORDER, _lines_cancelled, new=_ODD, refunding=_ODD, failed=_CLOSED, cancelled=_CLOSED
        ),
        shipment.ShipmentReductionRefused: _row(
            _ORDER, _lines_not_cancelled, new=_ODD, refunding=_ODD, failed=_CLOSED, cancelled=_CLOSED
        ),
    },
)

POLICIES: Final = (PAYMENTS, INVENTORY, SHIPPING, ORDERING)
"""All process managers."""
