"""What a payment does: charges, late money, refunds."""

import pytest

from emporium.domain.base import CURRENCY_MISMATCH, Command, Event, Money
from emporium.domain.payment import (
    AMOUNT_NOT_POSITIVE,
    CANCELLED,
    FAILED,
    NO_SUCH_PAYMENT,
    NO_SUCH_REFUND,
    NOT_AUTHORISED,
    PAYMENT_NOT_PROCESSED,
    PROCESSED,
    REFUND_TOO_HIGH,
    REQUESTED,
    CancelPayment,
    CaptureRequested,
    DisputeClosed,
    DisputeOpened,
    LatePaymentReceived,
    PaymentActionRequired,
    PaymentCancelled,
    PaymentCaptured,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
    PaymentRequested,
    PaymentVoided,
    RecordCapture,
    RecordCharge,
    RecordDecline,
    RecordDispute,
    RecordRefund,
    RecordRefundFailure,
    RecordVoid,
    RefundFailed,
    RefundRequested,
    RequestCapture,
    RequestPayment,
    RequestRefund,
    RequireAction,
    TimeOutPayment,
    VoidRequested,
    closing_refund_id_of,
    payment_id_of,
)
from tests.domain.spec import NOW, gbp, given, uid

ORDER, REFUND = uid(1), uid(2)
PAYMENT, CLOSING = payment_id_of(ORDER), closing_refund_id_of(ORDER)

REQUEST = RequestPayment(order_id=ORDER, amount=gbp(1_500), method="card")
CHARGE = RecordCharge(order_id=ORDER, reference="ch_1")
CANCEL = CancelPayment(order_id=ORDER, reason="out_of_stock")
CAPTURE, VOID = RecordCapture(order_id=ORDER), RecordVoid(order_id=ORDER)

ASKED = PaymentRequested(payment_id=PAYMENT, order_id=ORDER, amount=gbp(1_500), method="card", key=f"charge-{PAYMENT}")
PAID = PaymentProcessed(payment_id=PAYMENT, order_id=ORDER, amount=gbp(1_500), reference="ch_1")
HELD = PaymentProcessed(payment_id=PAYMENT, order_id=ORDER, amount=gbp(1_500), reference="ch_1", captured=False)
DECLINED = PaymentFailed(payment_id=PAYMENT, order_id=ORDER, code="card_declined")
STOPPED = PaymentCancelled(payment_id=PAYMENT, order_id=ORDER, reason="out_of_stock")
LATE = LatePaymentReceived(payment_id=PAYMENT, order_id=ORDER, amount=gbp(1_500), reference="ch_1")
CAPTURED = PaymentCaptured(payment_id=PAYMENT, order_id=ORDER, amount=gbp(1_500))
VOIDED = PaymentVoided(payment_id=PAYMENT, order_id=ORDER)


def refund_requested(pence: int, number: int = 2, reason: str = "returned") -> RefundRequested:
    return RefundRequested(payment_id=PAYMENT, order_id=ORDER, refund_id=uid(number), amount=gbp(pence), reason=reason)


def refunded(pence: int, number: int = 2) -> PaymentRefunded:
    return PaymentRefunded(
        payment_id=PAYMENT,
        order_id=ORDER,
        refund_id=uid(number),
        amount=gbp(pence),
        reason="returned",
        reference=f"re_{number}",
    )


def refund_failed(pence: int, number: int = 2) -> RefundFailed:
    return RefundFailed(payment_id=PAYMENT, order_id=ORDER, refund_id=uid(number), amount=gbp(pence), code="no")


def ask_refund(pence: int, number: int = 2) -> RequestRefund:
    return RequestRefund(order_id=ORDER, refund_id=uid(number), amount=gbp(pence), reason="returned")


CLOSING_REFUND = RefundRequested(
    payment_id=PAYMENT, order_id=ORDER, refund_id=CLOSING, amount=gbp(1_500), reason="out_of_stock"
)
LATE_REFUND = RefundRequested(
    payment_id=PAYMENT, order_id=ORDER, refund_id=CLOSING, amount=gbp(1_500), reason="late_payment"
)
DONE = RecordRefund(order_id=ORDER, refund_id=REFUND, reference="re_2")
REFUSED = RecordRefundFailure(order_id=ORDER, refund_id=REFUND, code="no")

STATES: dict[str, tuple[Event, ...]] = {
    REQUESTED: (ASKED,),
    PROCESSED: (ASKED, PAID),
    FAILED: (ASKED, DECLINED),
    CANCELLED: (ASKED, STOPPED),
}


@pytest.mark.parametrize("status", STATES)
def test_every_status_is_reached_by_its_story(status: str) -> None:
    assert given(*STATES[status]).state.status == status


# --- the charge ------------------------------------------------------------------------------------


def test_a_payment_is_requested_once() -> None:
    given().when(REQUEST).then(ASKED).leads_to(status=REQUESTED, left=0)
    for story in STATES.values():
        given(*story).when(REQUEST).then()
    given(STOPPED).when(REQUEST).then()


def test_a_payment_is_not_negative() -> None:
    command = RequestPayment(order_id=ORDER, amount=gbp(-1), method="card")
    given().when(command).rejected(AMOUNT_NOT_POSITIVE, amount=-1)


def test_where_nothing_is_due_the_payment_is_processed_without_a_provider() -> None:
    command = RequestPayment(order_id=ORDER, amount=gbp(0), method="card")
    requested, processed = given().when(command).events
    assert isinstance(requested, PaymentRequested)
    assert isinstance(processed, PaymentProcessed)
    assert processed.amount == gbp(0)


@pytest.mark.parametrize(
    "command",
    [
        *(CHARGE, RecordDecline(order_id=ORDER, code="x"), TimeOutPayment(order_id=ORDER), CAPTURE, VOID),
        *(ask_refund(1), DONE, REFUSED),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_happens_to_a_payment_that_was_never_requested(command: Command) -> None:
    given().when(command).rejected(NO_SUCH_PAYMENT)


def test_the_provider_has_the_money() -> None:
    given(ASKED).when(CHARGE).then(PAID).leads_to(status=PROCESSED, left=1_500)
    given(ASKED, PAID).when(CHARGE).then()


def test_the_provider_declines() -> None:
    given(ASKED).when(RecordDecline(order_id=ORDER, code="card_declined")).then(DECLINED).leads_to(status=FAILED)


def test_the_provider_does_not_answer() -> None:
    timed_out = PaymentFailed(payment_id=PAYMENT, order_id=ORDER, code="timed_out")
    given(ASKED).when(TimeOutPayment(order_id=ORDER)).then(timed_out).leads_to(status=FAILED)


@pytest.mark.parametrize("status", [PROCESSED, FAILED, CANCELLED])
def test_a_decline_or_time_out_after_the_end_changes_nothing(status: str) -> None:
    given(*STATES[status]).when(RecordDecline(order_id=ORDER, code="x")).then()
    given(*STATES[status]).when(TimeOutPayment(order_id=ORDER)).then()


@pytest.mark.parametrize("status", [FAILED, CANCELLED])
def test_late_money_goes_back(status: str) -> None:
    given(*STATES[status]).when(CHARGE).then(LATE, LATE_REFUND).leads_to(status=status, left=0)
    given(*STATES[status], LATE, LATE_REFUND).when(CHARGE).then()


def test_a_tombstone_knows_no_money() -> None:
    given(STOPPED).when(CHARGE).then()
    given(STOPPED).when(ask_refund(1)).rejected(PAYMENT_NOT_PROCESSED, status=CANCELLED)


# --- cancellation ----------------------------------------------------------------------------------


def test_a_cancellation_before_the_request_forbids_it() -> None:
    given().when(CANCEL).then(STOPPED).leads_to(status=CANCELLED)
    given(STOPPED).when(CANCEL).then()


def test_a_cancellation_stops_a_payment_on_its_way() -> None:
    given(ASKED).when(CANCEL).then(STOPPED).leads_to(status=CANCELLED)


def test_a_cancellation_gives_everything_back_once() -> None:
    given(ASKED, PAID).when(CANCEL).then(CLOSING_REFUND).leads_to(left=0)
    given(ASKED, PAID, CLOSING_REFUND).when(CANCEL).then()


def test_a_cancellation_gives_back_what_is_left() -> None:
    rest = RefundRequested(
        payment_id=PAYMENT, order_id=ORDER, refund_id=CLOSING, amount=gbp(1_100), reason="out_of_stock"
    )
    given(ASKED, PAID, refund_requested(400)).when(CANCEL).then(rest)


@pytest.mark.parametrize("status", [FAILED, CANCELLED])
def test_where_no_money_came_a_cancellation_owes_nothing(status: str) -> None:
    given(*STATES[status]).when(CANCEL).then()


# --- capture and void ------------------------------------------------------------------------------


def test_held_funds_are_captured_or_let_go() -> None:
    given(ASKED, HELD).when(CAPTURE).then(CAPTURED).leads_to(captured=True, left=1_500)
    given(ASKED, HELD).when(VOID).then(VOIDED).leads_to(voided=True, left=0)
    given(ASKED, HELD, CAPTURED).when(CAPTURE).then()
    given(ASKED, HELD, VOIDED).when(VOID).then()


def test_what_was_captured_cannot_be_let_go() -> None:
    given(ASKED, PAID).when(VOID).rejected(NOT_AUTHORISED)
    given(ASKED, HELD, CAPTURED).when(VOID).rejected(NOT_AUTHORISED)
    for status in (REQUESTED, FAILED, CANCELLED):
        given(*STATES[status]).when(VOID).rejected(NOT_AUTHORISED)
        given(*STATES[status]).when(CAPTURE).rejected(NOT_AUTHORISED)


def test_funds_that_are_let_go_pay_no_refund_any_more() -> None:
    impossible = RefundFailed(
        payment_id=PAYMENT, order_id=ORDER, refund_id=REFUND, amount=gbp(400), code="payment_voided"
    )
    given(ASKED, HELD, refund_requested(400)).when(VOID).then(impossible, VOIDED).leads_to(left=0)
    given(ASKED, HELD, refund_requested(400), refund_failed(400)).when(VOID).then(VOIDED)


def test_funds_let_go_cannot_be_refunded() -> None:
    given(ASKED, HELD, VOIDED).when(ask_refund(1)).rejected(PAYMENT_NOT_PROCESSED)
    given(ASKED, HELD, VOIDED).when(CANCEL).then()


def test_a_payment_of_nothing_that_is_not_wanted_any_more_is_voided_once() -> None:
    command = RequestPayment(order_id=ORDER, amount=gbp(0), method="card")
    free = given().when(command).events
    voided = PaymentVoided(payment_id=PAYMENT, order_id=ORDER, reason=CANCEL.reason)
    given(*free).when(CANCEL).then(voided)
    given(*free, voided).when(CANCEL).then()


TAKE = CaptureRequested(payment_id=PAYMENT, order_id=ORDER)
LET_GO = VoidRequested(payment_id=PAYMENT, order_id=ORDER, reason="out_of_stock")


def test_held_funds_are_taken_once_the_order_is_certain() -> None:
    ask = RequestCapture(order_id=ORDER)
    given(ASKED, HELD).when(ask).then(TAKE).leads_to(capturing=True)
    given(ASKED, HELD, TAKE).when(ask).then()
    given(ASKED, HELD, TAKE).when(CAPTURE).then(CAPTURED).leads_to(captured=True, capturing=False)
    for nothing_to_take in ((PAID,), (HELD, VOIDED), (HELD, LET_GO), (HELD, CAPTURED)):
        given(ASKED, *nothing_to_take).when(ask).then()
    given(ASKED).when(ask).rejected(NOT_AUTHORISED)


def test_held_funds_of_an_order_that_came_to_nothing_are_let_go_instead_of_refunded() -> None:
    given(ASKED, HELD).when(CANCEL).then(LET_GO).leads_to(voiding="out_of_stock", left=1_500)
    given(ASKED, HELD, LET_GO).when(CANCEL).then()
    given(ASKED, HELD, TAKE).when(CANCEL).then(LET_GO)
    let_go = PaymentVoided(payment_id=PAYMENT, order_id=ORDER, reason="out_of_stock")
    given(ASKED, HELD, LET_GO).when(VOID).then(let_go).leads_to(voided=True, voiding=None, left=0)


def test_funds_that_were_taken_before_they_could_be_let_go_go_back() -> None:
    given(ASKED, HELD, TAKE, LET_GO).when(CAPTURE).then(CAPTURED, CLOSING_REFUND).leads_to(captured=True, left=0)


def test_funds_that_were_taken_although_they_were_said_to_be_let_go_go_back() -> None:
    given(ASKED, HELD, VOIDED).when(CAPTURE).then(CAPTURED, LATE_REFUND).leads_to(captured=True, left=0)
    given(ASKED, HELD, VOIDED, CAPTURED, LATE_REFUND).when(CAPTURE).then()


def test_funds_held_too_late_are_let_go() -> None:
    held = RecordCharge(order_id=ORDER, reference="ch_1", captured=False)
    late = LatePaymentReceived(payment_id=PAYMENT, order_id=ORDER, amount=gbp(1_500), reference="ch_1", captured=False)
    let_go = VoidRequested(payment_id=PAYMENT, order_id=ORDER, reason="late_payment")
    given(ASKED, DECLINED).when(held).then(late, let_go)
    gone = PaymentVoided(payment_id=PAYMENT, order_id=ORDER, reason="late_payment")
    given(ASKED, DECLINED, late, let_go).when(VOID).then(gone).leads_to(status=FAILED, left=0)


def test_news_that_held_funds_were_taken_may_come_from_anywhere_and_twice() -> None:
    given(ASKED, HELD).when(CHARGE).then(CAPTURED)
    given(ASKED, HELD, CAPTURED).when(CHARGE).then()
    given(ASKED, HELD, VOIDED).when(CHARGE).then(CAPTURED, LATE_REFUND)
    other = RecordCharge(order_id=ORDER, reference="ch_2")
    given(ASKED, HELD).when(other).then()
    given(ASKED, PAID).when(RecordCharge(order_id=ORDER, reference="ch_1", captured=False)).then()


# --- what the customer must do ---------------------------------------------------------------------

WISH = RequireAction(order_id=ORDER, kind="redirect", until=NOW)
WISHED = PaymentActionRequired(payment_id=PAYMENT, order_id=ORDER, kind="redirect", until=NOW)


def test_the_provider_waits_for_the_customer() -> None:
    given(ASKED).when(WISH).then(WISHED).leads_to(status=REQUESTED, action="redirect", action_until=NOW)
    given(ASKED, WISHED).when(WISH).then()
    given(ASKED, WISHED).when(CHARGE).then(PAID).leads_to(status=PROCESSED, action=None)
    given(ASKED, WISHED).when(TimeOutPayment(order_id=ORDER)).leads_to(status=FAILED, action=None)
    given(*STATES[PROCESSED]).when(WISH).then()
    given(STOPPED).when(WISH).then()


def test_a_provider_that_waits_for_a_customer_who_shall_not_pay_any_more_is_remembered() -> None:
    for status in (FAILED, CANCELLED):
        given(*STATES[status]).when(WISH).then(WISHED).leads_to(status=status, action=None, action_until=NOW)
        given(*STATES[status], WISHED).when(WISH).then()


# --- disputes --------------------------------------------------------------------------------------


def dispute(status: str) -> RecordDispute:
    return RecordDispute(order_id=ORDER, dispute_id="dp_1", amount=gbp(1_500), reason="fraudulent", status=status)


OPENED = DisputeOpened(payment_id=PAYMENT, order_id=ORDER, dispute_id="dp_1", amount=gbp(1_500), reason="fraudulent")
WON = DisputeClosed(payment_id=PAYMENT, order_id=ORDER, dispute_id="dp_1", amount=gbp(1_500), won=True)
LOST = DisputeClosed(payment_id=PAYMENT, order_id=ORDER, dispute_id="dp_1", amount=gbp(1_500), won=False)


def test_a_dispute_is_recorded_in_whatever_order_it_is_told() -> None:
    given(ASKED, PAID).when(dispute("open")).then(OPENED).leads_to(left=0)
    given(ASKED, PAID, OPENED).when(dispute("open")).then()
    given(ASKED, PAID, OPENED).when(dispute("won")).then(WON).leads_to(left=1_500)
    given(ASKED, PAID).when(dispute("lost")).then(OPENED, LOST).leads_to(left=0)
    given(ASKED, PAID, OPENED, LOST).when(dispute("open")).then()
    given(ASKED, PAID, OPENED, LOST).when(dispute("won")).then()


def test_disputed_money_is_not_refunded_as_well() -> None:
    given(ASKED, PAID, OPENED).when(ask_refund(1)).rejected(REFUND_TOO_HIGH, left=0, amount=1)
    given(ASKED, PAID, OPENED).when(CANCEL).then()


# --- refunds ---------------------------------------------------------------------------------------


def test_a_refund_is_requested_once() -> None:
    given(ASKED, PAID).when(ask_refund(400)).then(refund_requested(400)).leads_to(left=1_100)
    given(ASKED, PAID, refund_requested(400)).when(ask_refund(400)).then()


def test_a_refund_is_at_most_what_is_left() -> None:
    given(ASKED, PAID).when(ask_refund(1_501)).rejected(REFUND_TOO_HIGH, left=1_500, amount=1_501)
    given(ASKED, PAID, refund_requested(400)).when(ask_refund(1_101, 3)).rejected(REFUND_TOO_HIGH, left=1_100)
    given(ASKED, PAID, refund_requested(400)).when(ask_refund(1_100, 3)).leads_to(left=0)
    given(ASKED, PAID).when(ask_refund(0)).rejected(AMOUNT_NOT_POSITIVE, amount=0)
    euro = RequestRefund(order_id=ORDER, refund_id=REFUND, amount=Money(1, "EUR"), reason="returned")
    given(ASKED, PAID).when(euro).rejected(CURRENCY_MISMATCH)


@pytest.mark.parametrize("status", [REQUESTED, FAILED, CANCELLED])
def test_without_money_there_is_nothing_to_refund(status: str) -> None:
    given(*STATES[status]).when(ask_refund(1)).rejected(PAYMENT_NOT_PROCESSED, status=status)


def test_the_provider_gave_money_back() -> None:
    asked = (ASKED, PAID, refund_requested(400))
    given(*asked).when(DONE).then(refunded(400)).leads_to(left=1_100)
    given(*asked, refunded(400)).when(DONE).then()
    given(*asked, refunded(400)).when(REFUSED).then()
    given(ASKED, PAID).when(DONE).rejected(NO_SUCH_REFUND)


def test_the_provider_refuses_to_give_money_back() -> None:
    asked = (ASKED, PAID, refund_requested(400))
    given(*asked).when(REFUSED).then(refund_failed(400)).leads_to(left=1_500)
    given(*asked, refund_failed(400)).when(REFUSED).then()
    given(ASKED, PAID).when(REFUSED).rejected(NO_SUCH_REFUND)


def test_a_refused_refund_that_comes_through_after_all_never_makes_money() -> None:
    failed = (ASKED, PAID, refund_requested(1_000), refund_failed(1_000))
    given(*failed).when(DONE).then(refunded(1_000)).leads_to(left=500)
    given(*failed, refund_requested(1_000, 3)).when(DONE).rejected(REFUND_TOO_HIGH, left=500, amount=1_000)
