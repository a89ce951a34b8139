"""The payment of one order: requested, processed or failed, cancelled, captured, voided, refunded, disputed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, Sealed, State, stream_id

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
    `token` is what is charged instead of `method`, as the order has sealed it.
    """

    payment_id: UUID
    order_id: UUID
    amount: Money
    method: str
    key: str
    time_limit: float | None = None
    token: Sealed | None = None


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


class PaymentActionRequired(Event, frozen=True, kw_only=True):
    """The customer must do something (3-D Secure) before the provider decides, and has until `until`.

    What to do is asked from the provider when it is shown: it may hold a secret that opens the payment.
    """

    payment_id: UUID
    order_id: UUID
    kind: str
    until: datetime


class LatePaymentReceived(Event, frozen=True, kw_only=True):
    """Money came (or was secured) after the payment had failed or was cancelled; it goes back."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    reference: str
    captured: bool = True


class CaptureRequested(Event, frozen=True, kw_only=True):
    """The provider shall take the secured funds."""

    payment_id: UUID
    order_id: UUID


class CaptureReduced(Event, frozen=True, kw_only=True):
    """Less of the secured funds will be taken, instead of giving the rest back afterwards."""

    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


class VoidRequested(Event, frozen=True, kw_only=True):
    """The provider shall let the secured funds go."""

    payment_id: UUID
    order_id: UUID
    reason: str


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


class DisputeOpened(Event, frozen=True, kw_only=True):
    """The cardholder wants money back through the bank, which takes it until the dispute is closed."""

    payment_id: UUID
    order_id: UUID
    dispute_id: str
    amount: Money
    reason: str


class DisputeClosed(Event, frozen=True, kw_only=True):
    """The bank has decided: where it was `won` the money came back, else the cardholder keeps it."""

    payment_id: UUID
    order_id: UUID
    dispute_id: str
    amount: Money
    won: bool


# --- state -----------------------------------------------------------------------------------------


class Refund(msgspec.Struct, frozen=True):
    """A refund and how it stands: requested, done or failed."""

    amount: int
    reason: str
    status: str


class Dispute(msgspec.Struct, frozen=True):
    """A dispute and how it stands: open, won or lost."""

    amount: int
    reason: str
    status: str


class PaymentState(State, frozen=True, kw_only=True):
    """What a payment remembers.

    Attributes:
        received: what came in and is not let go, in minor units.
        untaken: by how much less is taken than was secured, in minor units by refund id.
        action: what the customer must do, until `action_until`; None where nothing is waited for.
        capturing: secured funds shall be taken; voiding: why they shall be let go.
    """

    payment_id: UUID
    order_id: UUID
    status: str
    amount: Money | None = None
    method: str = ""
    token: Sealed | None = None
    key: str = ""
    reference: str | None = None
    code: str | None = None
    received: int = 0
    captured: bool = False
    voided: bool = False
    refunds: dict[UUID, Refund] = {}
    action: str | None = None
    action_until: datetime | None = None
    capturing: bool = False
    voiding: str | None = None
    disputes: dict[str, Dispute] = {}
    untaken: dict[UUID, int] = {}

    @property
    def to_take(self) -> Money | None:
        """What is taken of the secured funds."""
        if self.amount is None:
            return None
        return Money(self.amount.amount - sum(self.untaken.values()), self.amount.currency)

    @property
    def left(self) -> int:
        """What can still be given back, in minor units: received less refunds requested or done, and disputes
        unless they were won."""
        return self.received - self.refunded - sum(d.amount for d in self.disputes.values() if d.status != "won")

    @property
    def refunded(self) -> int:
        """What was given back or is about to be, in minor units."""
        return sum(r.amount for r in self.refunds.values() if r.status != "failed")

    @property
    def held(self) -> bool:
        """Whether money is secured that was not taken (nor, so it must have been, given back in part)."""
        untouched = not any(r.status == "done" for r in self.refunds.values())
        return self.received > 0 and not self.captured and untouched


# --- commands --------------------------------------------------------------------------------------


class RequestPayment(Command, frozen=True, kw_only=True):
    order_id: UUID
    amount: Money
    method: str
    time_limit: float | None = None
    token: Sealed | None = None


class RecordCharge(Command, frozen=True, kw_only=True):
    order_id: UUID
    reference: str
    captured: bool = True


class RecordDecline(Command, frozen=True, kw_only=True):
    order_id: UUID
    code: str


class RequireAction(Command, frozen=True, kw_only=True):
    """The provider waits for the customer, who has until `until`."""

    order_id: UUID
    kind: str
    until: datetime


class TimeOutPayment(Command, frozen=True, kw_only=True):
    order_id: UUID


class CancelPayment(Command, frozen=True, kw_only=True):
    """The order came to nothing: stop the payment, or give back what came in."""

    order_id: UUID
    reason: str


class RequestCapture(Command, frozen=True, kw_only=True):
    """What the money is for is certain: take what is only secured."""

    order_id: UUID


class RecordCapture(Command, frozen=True, kw_only=True):
    order_id: UUID


class RecordVoid(Command, frozen=True, kw_only=True):
    """The secured funds are let go; `reason` where nobody here asked for it."""

    order_id: UUID
    reason: str = ""


class RequestRefund(Command, frozen=True, kw_only=True):
    """With `from_secured` less is taken, where nothing is taken yet."""

    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str
    from_secured: bool = False


class RecordRefund(Command, frozen=True, kw_only=True):
    order_id: UUID
    refund_id: UUID
    reference: str


class RecordRefundFailure(Command, frozen=True, kw_only=True):
    order_id: UUID
    refund_id: UUID
    code: str


class RecordDispute(Command, frozen=True, kw_only=True):
    """What the provider says of a dispute: `status` is open, won or lost."""

    order_id: UUID
    dispute_id: str
    amount: Money
    reason: str
    status: str


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
        case RequireAction():
            if payment.reference is not None or payment.action_until is not None or payment.amount is None:
                return []
            # Also where the payment is not wanted any more: the customer must be kept from paying.
            return [
                PaymentActionRequired(
                    payment_id=payment.payment_id, order_id=payment.order_id, kind=command.kind, until=command.until
                )
            ]
        case RequestCapture():
            if payment.captured or payment.voided or payment.capturing or payment.voiding is not None:
                return []
            if payment.status != PROCESSED:
                raise NOT_AUTHORISED()
            return [CaptureRequested(payment_id=payment.payment_id, order_id=payment.order_id)]
        case RecordCapture():
            return _captured(payment)
        case RecordVoid():
            return _voided(payment, command.reason)
        case RecordDispute():
            return _dispute(command, payment)
        case RequestRefund():
            if command.refund_id in payment.untaken:
                return []
            back = _refund(payment, command.refund_id, command.amount, command.reason)
            return _take_less(payment, command) if back and command.from_secured else back
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
        token=command.token,
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
    if payment.held:
        return _let_go(payment, command.reason)
    if payment.left <= 0:
        return []
    return _refund(
        payment, closing_refund_id_of(payment.order_id), Money(payment.left, _currency(payment)), command.reason
    )


def _void(payment: PaymentState, reason: str) -> PaymentVoided:
    return PaymentVoided(payment_id=payment.payment_id, order_id=payment.order_id, reason=reason)


def _let_go(payment: PaymentState, reason: str) -> Sequence[Event]:
    if payment.voiding is not None:
        return []
    return [VoidRequested(payment_id=payment.payment_id, order_id=payment.order_id, reason=reason)]


def _captured(payment: PaymentState) -> Sequence[Event]:
    if payment.captured:
        return []
    reason = payment.voiding or "late_payment"
    if payment.amount is None or (payment.received == 0 and not payment.voided) or payment.amount.amount == 0:
        raise NOT_AUTHORISED()
    taken = payment.to_take or payment.amount
    captured = PaymentCaptured(payment_id=payment.payment_id, order_id=payment.order_id, amount=taken)
    if not payment.voided and payment.voiding is None:
        return [captured]
    # They were to be let go, or said to be, but had been taken: then they go back.
    return [captured, *_cancel(CancelPayment(order_id=payment.order_id, reason=reason), evolve(payment, captured))]


def _voided(payment: PaymentState, reason: str) -> Sequence[Event]:
    if payment.voided:
        return []
    if not payment.held:
        raise NOT_AUTHORISED()
    # What was promised from these funds cannot come from them any more.
    unpaid = [
        RefundFailed(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            refund_id=refund_id,
            amount=Money(refund.amount, _currency(payment)),
            code="payment_voided",
        )
        for refund_id, refund in payment.refunds.items()
        if refund.status == "requested"
    ]
    return [*unpaid, _void(payment, payment.voiding or reason)]


def _dispute(command: RecordDispute, payment: PaymentState) -> Sequence[Event]:
    known = payment.disputes.get(command.dispute_id)
    events: list[Event] = []
    if known is None:
        events.append(
            DisputeOpened(
                payment_id=payment.payment_id,
                order_id=payment.order_id,
                dispute_id=command.dispute_id,
                amount=command.amount,
                reason=command.reason,
            )
        )
    if command.status != "open" and (known is None or known.status == "open"):
        events.append(
            DisputeClosed(
                payment_id=payment.payment_id,
                order_id=payment.order_id,
                dispute_id=command.dispute_id,
                amount=command.amount,
                won=command.status == "won",
            )
        )
    return events


def _charged(command: RecordCharge, payment: PaymentState) -> Sequence[Event]:
    if payment.amount is None:
        return []
    if payment.reference is not None:
        held = command.captured and command.reference == payment.reference and not payment.captured
        return _captured(payment) if held else []
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
    late = LatePaymentReceived(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        amount=payment.amount,
        reference=command.reference,
        captured=command.captured,
    )
    if not command.captured:
        return [late, *_let_go(payment, "late_payment")]
    back = RefundRequested(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        refund_id=closing_refund_id_of(payment.order_id),
        amount=payment.amount,
        reason="late_payment",
    )
    return [late, back]


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


def _take_less(payment: PaymentState, command: RequestRefund) -> Sequence[Event]:
    """Less is taken, unless the provider may be taking it at this moment; no provider takes nothing at all."""
    untouched = payment.held and not payment.capturing and payment.voiding is None and not payment.refunds
    kind = CaptureReduced if untouched and command.amount.amount < payment.received else RefundRequested
    return [
        kind(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            refund_id=command.refund_id,
            amount=command.amount,
            reason=command.reason,
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
                token=event.token,
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
            return replace(payment, status=CANCELLED, code=event.reason, action=None)
        case PaymentProcessed():
            return replace(
                payment,
                status=PROCESSED,
                reference=event.reference,
                received=event.amount.amount,
                captured=event.captured,
                action=None,
            )
        case PaymentFailed():
            return replace(payment, status=FAILED, code=event.code, action=None)
        case PaymentActionRequired():
            kind = event.kind if payment.status == REQUESTED else None
            return replace(payment, action=kind, action_until=event.until)
        case LatePaymentReceived():
            return replace(payment, reference=event.reference, received=event.amount.amount, captured=event.captured)
        case CaptureRequested():
            return replace(payment, capturing=True)
        case CaptureReduced():
            untaken = {**payment.untaken, event.refund_id: event.amount.amount}
            return replace(payment, untaken=untaken, received=payment.received - event.amount.amount)
        case VoidRequested():
            return replace(payment, voiding=event.reason)
        case PaymentCaptured():
            return replace(
                payment, captured=True, capturing=False, voiding=None, voided=False, received=event.amount.amount
            )
        case PaymentVoided():
            return replace(payment, voided=True, received=0, capturing=False, voiding=None)
        case DisputeOpened():
            return _set_dispute(payment, event.dispute_id, Dispute(event.amount.amount, event.reason, "open"))
        case DisputeClosed():
            reason = payment.disputes[event.dispute_id].reason
            status = "won" if event.won else "lost"
            return _set_dispute(payment, event.dispute_id, Dispute(event.amount.amount, reason, status))
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


def _set_dispute(payment: PaymentState, dispute_id: str, dispute: Dispute) -> PaymentState:
    return replace(payment, disputes={**payment.disputes, dispute_id: dispute})


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
        PaymentActionRequired,
        CaptureRequested,
        CaptureReduced,
        VoidRequested,
        DisputeOpened,
        DisputeClosed,
    ),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
