"""The payment of one order: requested, processed or failed, cancelled, captured, voided, refunded."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, State, stream_id

REQUESTED, PROCESSED, FAILED, CANCELLED = "requested", "processed", "failed", "cancelled"


def payment_id_of(order_id: UUID) -> UUID:
    """The id of the order's only payment."""
    return stream_id("payment", order_id)


def closing_refund_id_of(order_id: UUID) -> UUID:
    """The id of the refund that gives back all that is left when an order comes to nothing."""
    return stream_id("refund", order_id, "closing")


# --- events ----------------------------------------------------------------------------------------


class PaymentRequested(Event, frozen=True, kw_only=True):
    """The provider shall be asked for the money. `key` is the idempotency key of the charge.

    `time_limit` is how many seconds an answer is waited for; None: as long as the program's settings say.
    """

    payment_id: UUID
    order_id: UUID
    amount: Money
    method: str
    key: str
    time_limit: float | None = None


class PaymentProcessed(Event, frozen=True, kw_only=True):
    """The funds are secured; `captured` says whether they were taken already."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    reference: str
    captured: bool = True


class PaymentFailed(Event, frozen=True, kw_only=True):
    """No money came: declined by the provider (`code`) or `timed_out`."""

    payment_id: UUID
    order_id: UUID
    code: str


class PaymentCancelled(Event, frozen=True, kw_only=True):
    """No payment is wanted any more; as the first event of the stream a tombstone that forbids a request."""

    payment_id: UUID
    order_id: UUID
    reason: str


class LatePaymentReceived(Event, frozen=True, kw_only=True):
    """Money came after the payment had failed or was cancelled; it is refunded."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    reference: str


class PaymentCaptured(Event, frozen=True, kw_only=True):
    """Secured funds were taken."""

    payment_id: UUID
    order_id: UUID
    amount: Money


class PaymentVoided(Event, frozen=True, kw_only=True):
    """Secured funds were let go without having been taken, or nothing was due: nothing has to go back."""

    payment_id: UUID
    order_id: UUID
    reason: str = ""


class RefundRequested(Event, frozen=True, kw_only=True):
    """The provider shall give money back. `refund_id` is also the idempotency key."""

    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


class PaymentRefunded(Event, frozen=True, kw_only=True):
    """Money went back."""

    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str
    reference: str


class RefundFailed(Event, frozen=True, kw_only=True):
    """The provider refused to give money back; staff must act."""

    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount: Money
    code: str


# --- state -----------------------------------------------------------------------------------------


class Refund(msgspec.Struct, frozen=True):
    """A refund and how it stands: requested, done or failed."""

    amount: int
    reason: str
    status: str


class PaymentState(State, frozen=True, kw_only=True):
    """What a payment remembers. `received` is what came in, in minor units."""

    payment_id: UUID
    order_id: UUID
    status: str
    amount: Money | None = None
    method: str = ""
    key: str = ""
    reference: str | None = None
    code: str | None = None
    received: int = 0
    captured: bool = False
    voided: bool = False
    refunds: dict[UUID, Refund] = {}

    @property
    def left(self) -> int:
        """What can still be given back, in minor units: received less refunds requested or done."""
        return self.received - sum(r.amount for r in self.refunds.values() if r.status != "failed")


# --- commands --------------------------------------------------------------------------------------


class RequestPayment(Command, frozen=True, kw_only=True):
    order_id: UUID
    amount: Money
    method: str
    time_limit: float | None = None


class RecordCharge(Command, frozen=True, kw_only=True):
    order_id: UUID
    reference: str
    captured: bool = True


class RecordDecline(Command, frozen=True, kw_only=True):
    order_id: UUID
    code: str


class TimeOutPayment(Command, frozen=True, kw_only=True):
    order_id: UUID


class CancelPayment(Command, frozen=True, kw_only=True):
    """The order came to nothing: stop the payment, or give back what came in."""

    order_id: UUID
    reason: str


class RecordCapture(Command, frozen=True, kw_only=True):
    order_id: UUID


class RecordVoid(Command, frozen=True, kw_only=True):
    order_id: UUID
    reason: str = ""


class RequestRefund(Command, frozen=True, kw_only=True):
    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


class RecordRefund(Command, frozen=True, kw_only=True):
    order_id: UUID
    refund_id: UUID
    reference: str


class RecordRefundFailure(Command, frozen=True, kw_only=True):
    order_id: UUID
    refund_id: UUID
    code: str


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_PAYMENT = Reason("no_such_payment", "There is no payment for this order.", "missing")
PAYMENT_NOT_PROCESSED = Reason("payment_not_processed", "The payment is {status}; there is nothing to give back.")
REFUND_TOO_HIGH = Reason("refund_too_high", "At most {left} can still be refunded, not {amount}.")
NO_SUCH_REFUND = Reason("no_such_refund", "There is no such refund.", "missing")
AMOUNT_NOT_POSITIVE = Reason("amount_not_positive", "An amount to pay or refund is positive, not {amount}.", "invalid")
NOT_AUTHORISED = Reason("not_authorised", "The payment is not waiting to be captured.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, payment: PaymentState | None) -> Sequence[Event]:
    """The events that the command makes of this payment. Raises Rejected."""
    if isinstance(command, RequestPayment):
        return _request(command, payment)
    if isinstance(command, CancelPayment):
        return _cancel(command, payment)
    if payment is None:
        raise NO_SUCH_PAYMENT()
    match command:
        case RecordCharge():
            return _charged(command, payment)
        case RecordDecline():
            return _fail(payment, command.code)
        case TimeOutPayment():
            return _fail(payment, "timed_out")
        case RecordCapture():
            if payment.captured:
                return []
            if payment.status != PROCESSED or payment.voided or payment.amount is None:
                raise NOT_AUTHORISED()
            return [PaymentCaptured(payment_id=payment.payment_id, order_id=payment.order_id, amount=payment.amount)]
        case RecordVoid():
            if payment.voided:
                return []
            if payment.status != PROCESSED or payment.captured or payment.left != payment.received:
                raise NOT_AUTHORISED()
            return [_void(payment, command.reason)]
        case RequestRefund():
            return _refund(payment, command.refund_id, command.amount, command.reason)
        case RecordRefund():
            refund = _refund_of(payment, command.refund_id)
            if refund.status == "done":
                return []
            if refund.status == "failed" and payment.left < refund.amount:
                raise REFUND_TOO_HIGH(left=payment.left, amount=refund.amount)
            return [
                PaymentRefunded(
                    payment_id=payment.payment_id,
                    order_id=payment.order_id,
                    refund_id=command.refund_id,
                    amount=Money(refund.amount, _currency(payment)),
                    reason=refund.reason,
                    reference=command.reference,
                )
            ]
        case RecordRefundFailure():
            refund = _refund_of(payment, command.refund_id)
            if refund.status != "requested":
                return []
            return [
                RefundFailed(
                    payment_id=payment.payment_id,
                    order_id=payment.order_id,
                    refund_id=command.refund_id,
                    amount=Money(refund.amount, _currency(payment)),
                    code=command.code,
                )
            ]
        case _:
            raise TypeError(f"a payment does not know {type(command).__name__}")


def _request(command: RequestPayment, payment: PaymentState | None) -> Sequence[Event]:
    if payment is not None:
        return []
    if command.amount.amount < 0:
        raise AMOUNT_NOT_POSITIVE(amount=command.amount.amount)
    payment_id = payment_id_of(command.order_id)
    requested = PaymentRequested(
        payment_id=payment_id,
        order_id=command.order_id,
        amount=command.amount,
        method=command.method,
        key=f"charge-{payment_id}",
        time_limit=command.time_limit,
    )
    if command.amount.amount > 0:
        return [requested]
    # Nothing is due: no provider takes a charge of zero.
    free = PaymentProcessed(
        payment_id=payment_id, order_id=command.order_id, amount=command.amount, reference="nothing-due"
    )
    return [requested, free]


def _cancel(command: CancelPayment, payment: PaymentState | None) -> Sequence[Event]:
    if payment is None or payment.status == REQUESTED:
        return [
            PaymentCancelled(
                payment_id=payment_id_of(command.order_id), order_id=command.order_id, reason=command.reason
            )
        ]
    if payment.status == PROCESSED and payment.received == 0 and not payment.voided:
        # Nothing was due, so no refund will tell that the payment has ended.
        return [_void(payment, command.reason)]
    if payment.left <= 0:
        return []
    return _refund(
        payment, closing_refund_id_of(payment.order_id), Money(payment.left, _currency(payment)), command.reason
    )


def _void(payment: PaymentState, reason: str) -> PaymentVoided:
    return PaymentVoided(payment_id=payment.payment_id, order_id=payment.order_id, reason=reason)


def _charged(command: RecordCharge, payment: PaymentState) -> Sequence[Event]:
    if payment.reference is not None or payment.amount is None:
        return []
    if payment.status == REQUESTED:
        return [
            PaymentProcessed(
                payment_id=payment.payment_id,
                order_id=payment.order_id,
                amount=payment.amount,
                reference=command.reference,
                captured=command.captured,
            )
        ]
    return [
        LatePaymentReceived(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            amount=payment.amount,
            reference=command.reference,
        ),
        RefundRequested(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            refund_id=closing_refund_id_of(payment.order_id),
            amount=payment.amount,
            reason="late_payment",
        ),
    ]


def _fail(payment: PaymentState, code: str) -> Sequence[Event]:
    if payment.status != REQUESTED:
        return []
    return [PaymentFailed(payment_id=payment.payment_id, order_id=payment.order_id, code=code)]


def _refund(payment: PaymentState, refund_id: UUID, amount: Money, reason: str) -> Sequence[Event]:
    if refund_id in payment.refunds:
        return []
    if amount.amount <= 0:
        raise AMOUNT_NOT_POSITIVE(amount=amount.amount)
    if payment.received == 0:
        raise PAYMENT_NOT_PROCESSED(status=payment.status)
    left = Money(payment.left, _currency(payment))
    if left < amount:
        raise REFUND_TOO_HIGH(left=left.amount, amount=amount.amount)
    return [
        RefundRequested(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            refund_id=refund_id,
            amount=amount,
            reason=reason,
        )
    ]


def _refund_of(payment: PaymentState, refund_id: UUID) -> Refund:
    refund = payment.refunds.get(refund_id)
    if refund is None:
        raise NO_SUCH_REFUND()
    return refund


def _currency(payment: PaymentState) -> str:
    if payment.amount is None:
        raise PAYMENT_NOT_PROCESSED(status=payment.status)
    return payment.amount.currency


# --- evolve ----------------------------------------------------------------------------------------


def evolve(payment: PaymentState | None, event: Event) -> PaymentState:
    """The payment after the event."""
    match event:
        case PaymentRequested():
            return PaymentState(
                payment_id=event.payment_id,
                order_id=event.order_id,
                status=REQUESTED,
                amount=event.amount,
                method=event.method,
                key=event.key,
            )
        case PaymentCancelled() if payment is None:
            return PaymentState(
                payment_id=event.payment_id, order_id=event.order_id, status=CANCELLED, code=event.reason
            )
    if payment is None:
        raise ValueError("a payment begins with PaymentRequested or PaymentCancelled")
    match event:
        case PaymentCancelled():
            return replace(payment, status=CANCELLED, code=event.reason)
        case PaymentProcessed():
            return replace(
                payment,
                status=PROCESSED,
                reference=event.reference,
                received=event.amount.amount,
                captured=event.captured,
            )
        case PaymentFailed():
            return replace(payment, status=FAILED, code=event.code)
        case LatePaymentReceived():
            return replace(payment, reference=event.reference, received=event.amount.amount, captured=True)
        case PaymentCaptured():
            return replace(payment, captured=True)
        case PaymentVoided():
            return replace(payment, voided=True, received=0)
        case RefundRequested():
            return _set_refund(payment, event.refund_id, Refund(event.amount.amount, event.reason, "requested"))
        case PaymentRefunded():
            return _set_refund(payment, event.refund_id, Refund(event.amount.amount, event.reason, "done"))
        case RefundFailed():
            reason = payment.refunds[event.refund_id].reason
            return _set_refund(payment, event.refund_id, Refund(event.amount.amount, reason, "failed"))
        case _:
            raise TypeError(f"a payment does not know {type(event).__name__}")


def _set_refund(payment: PaymentState, refund_id: UUID, refund: Refund) -> PaymentState:
    return replace(payment, refunds={**payment.refunds, refund_id: refund})


PAYMENT: Final = Aggregate(
    name="Payment",
    log="payments",
    state=PaymentState,
    events=(
        PaymentRequested,
        PaymentProcessed,
        PaymentFailed,
        PaymentCancelled,
        LatePaymentReceived,
        PaymentCaptured,
        PaymentVoided,
        RefundRequested,
        PaymentRefunded,
        RefundFailed,
    ),
    decide=decide,
    evolve=evolve,
)
