"""What an order does: its life, its cancellation, its returns."""

from datetime import date
from typing import Any

import pytest

from emporium.domain.base import (
    AMOUNT_OUT_OF_RANGE,
    CURRENCY_MISMATCH,
    MAX_AMOUNT,
    MAX_QUANTITY,
    QUANTITY_OUT_OF_RANGE,
    Command,
    Event,
    Money,
)
from emporium.domain.order import (
    BACKORDERED,
    CANCELLED,
    CANCELLING,
    CONFIRMED,
    FAILED,
    FULFILLED,
    LINE_TWICE,
    MAX_LINES,
    MORE_THAN_BOUGHT,
    NO_REFUND_NOW,
    NO_SUCH_LINE,
    NO_SUCH_ORDER,
    NOT_CANCELLING,
    NOT_DELIVERED,
    ORDER_EMPTY,
    ORDER_EXISTS,
    PAID,
    PARTLY_SHIPPED,
    PENDING,
    REFUND_ABOVE_PAID,
    REFUNDING,
    RETURN_EMPTY,
    SHIPPED,
    TERMINAL,
    TOO_LATE_TO_CANCEL,
    TOO_MANY_LINES,
    WRONG_STATUS,
    Backordered,
    CompleteOrder,
    ConfirmCancellation,
    FailOrder,
    GoodwillGranted,
    GrantGoodwill,
    OrderBackordered,
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderDispatched,
    OrderFailed,
    OrderLine,
    OrderPaid,
    OrderRefunded,
    OrderReturned,
    OrderStockShort,
    PlaceOrder,
    RecordBackorder,
    RecordDispatch,
    RecordOrderRefund,
    RecordPayment,
    RecordReservation,
    RecordShortage,
    RefuseCancellation,
    RequestCancellation,
    ReturnedLine,
    ReturnLines,
    Short,
    WriteOffParcel,
    order_id_of,
)
from emporium.domain.text import TEXT_LENGTH, TEXT_NOT_PLAIN
from tests.domain.spec import NOW, Given, gbp, given, sealed, uid

ORDER, CART, CUSTOMER, RETURN, GOODWILL = uid(1), uid(2), uid(3), uid(4), uid(5)


def line(number: int, sku: str, quantity: int, pence: int, *, currency: str = "GBP") -> OrderLine:
    unit = Money(pence // quantity if quantity > 0 else pence, currency)
    return OrderLine(
        line=number, sku=sku, title=sku.title(), quantity=quantity, unit_price=unit, total=Money(pence, currency)
    )


MUGS, PENS = line(1, "MUG", 3, 1_000), line(2, "PEN", 1, 90)


def place(*lines: OrderLine, **changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {
        "order_id": ORDER,
        "number": "A-1",
        "cart_id": CART,
        "customer_id": CUSTOMER,
        "subject": CUSTOMER,
        "lines": lines,
        "shipping": gbp(410),
        "country": "GB",
        "email": sealed("e-mail", "OrderCreated"),
        "ship_to": sealed("address", "OrderCreated"),
        "payment_method": "card",
        "at": NOW,
    }
    return PlaceOrder(**(fields | changes))


CREATED = OrderCreated(
    order_id=ORDER,
    number="A-1",
    cart_id=CART,
    customer_id=CUSTOMER,
    subject=CUSTOMER,
    lines=(MUGS, PENS),
    goods=gbp(1_090),
    shipping=gbp(410),
    total=gbp(1_500),
    country="GB",
    email=sealed("e-mail", "OrderCreated"),
    ship_to=sealed("address", "OrderCreated"),
    payment_method="card",
    placed_at=NOW,
)
PAID_UP = OrderPaid(order_id=ORDER, amount=gbp(1_500))
CONFIRMED_IT = OrderConfirmed(order_id=ORDER)
WAITS = OrderBackordered(
    order_id=ORDER,
    waiting=(Backordered(sku="MUG", quantity=1, kind="backorder", expected=date(2026, 5, 4)),),
)
SHORT = OrderStockShort(order_id=ORDER, short=(Short(sku="MUG", wanted=3, available=1),))
REQUESTED = OrderCancellationRequested(order_id=ORDER, reason="changed my mind")
REFUSED = OrderCancellationRefused(order_id=ORDER, reason="already_packed")
STOPPED = OrderCancelled(order_id=ORDER, reason="changed my mind")
COMPLETED = OrderCompleted(order_id=ORDER)
FAILURE = OrderFailed(order_id=ORDER, reason="payment_declined", detail="card_declined")


def dispatched(parcel: int, of: int) -> OrderDispatched:
    return OrderDispatched(
        order_id=ORDER, parcel=parcel, of=of, carrier="Post", tracking_number=f"T{parcel}", tracking_url="/t"
    )


def dispatch(parcel: int, of: int) -> RecordDispatch:
    return RecordDispatch(
        order_id=ORDER, parcel=parcel, of=of, carrier="Post", tracking_number=f"T{parcel}", tracking_url="/t"
    )


GO_PAID = RecordPayment(order_id=ORDER, amount=gbp(1_500))
GO_CONFIRMED = RecordReservation(order_id=ORDER)
GO_WAIT = RecordBackorder(order_id=ORDER, waiting=WAITS.waiting)
GO_SHORT = RecordShortage(order_id=ORDER, short=SHORT.short)
GO_COMPLETE = CompleteOrder(order_id=ORDER)
GO_FAIL = FailOrder(order_id=ORDER, reason="payment_declined", detail="card_declined")
CANCEL = RequestCancellation(order_id=ORDER, reason="changed my mind")
CONFIRM_CANCEL = ConfirmCancellation(order_id=ORDER)
REFUSE_CANCEL = RefuseCancellation(order_id=ORDER, reason="already_packed")
SEND_BACK = ReturnLines(order_id=ORDER, return_id=RETURN, lines=((1, 1),), reason="chipped")
GRANT = GrantGoodwill(order_id=ORDER, refund_id=GOODWILL, amount=gbp(200), reason="late")

STATES: dict[str, tuple[Event, ...]] = {
    PENDING: (CREATED,),
    PAID: (CREATED, PAID_UP),
    BACKORDERED: (CREATED, PAID_UP, WAITS),
    CONFIRMED: (CREATED, PAID_UP, WAITS, CONFIRMED_IT),
    PARTLY_SHIPPED: (CREATED, PAID_UP, CONFIRMED_IT, dispatched(1, 2)),
    SHIPPED: (CREATED, PAID_UP, CONFIRMED_IT, dispatched(1, 2), dispatched(2, 2)),
    FULFILLED: (CREATED, PAID_UP, CONFIRMED_IT, dispatched(1, 1), COMPLETED),
    REFUNDING: (CREATED, PAID_UP, SHORT),
    CANCELLING: (CREATED, PAID_UP, CONFIRMED_IT, REQUESTED),
    FAILED: (CREATED, FAILURE),
    CANCELLED: (CREATED, PAID_UP, CONFIRMED_IT, REQUESTED, STOPPED),
}
DELIVERED = given(*STATES[FULFILLED])


def in_state(status: str) -> Given:
    return given(*STATES[status])


@pytest.mark.parametrize("status", STATES)
def test_every_status_is_reached_by_its_story(status: str) -> None:
    state = in_state(status).state
    assert state.status == status
    assert state.is_closed == (status in TERMINAL)


# --- placing ---------------------------------------------------------------------------------------


def test_an_order_adds_up_its_lines_and_shipping() -> None:
    given().when(place(MUGS, PENS)).then(CREATED).leads_to(status=PENDING, total=gbp(1_500))


def test_an_order_is_placed_once() -> None:
    in_state(PENDING).when(place(MUGS)).rejected(ORDER_EXISTS, number="A-1")


def test_an_order_has_lines_but_not_too_many() -> None:
    given().when(place()).rejected(ORDER_EMPTY)
    lines = tuple(line(n, f"S{n}", 1, 1) for n in range(1, MAX_LINES + 2))
    given().when(place(*lines)).rejected(TOO_MANY_LINES, lines=MAX_LINES + 1)
    assert len(given().when(place(*lines[:-1])).events) == 1


def test_the_lines_of_an_order_are_sound() -> None:
    given().when(place(MUGS, line(1, "PEN", 1, 90))).rejected(LINE_TWICE, line=1)
    given().when(place(line(1, "MUG", 0, 0))).rejected(QUANTITY_OUT_OF_RANGE, quantity=0)
    given().when(place(line(1, "MUG", 1, -1))).rejected(AMOUNT_OUT_OF_RANGE, amount=-1)
    given().when(place(line(1, "MUG", 1, MAX_AMOUNT + 1))).rejected(AMOUNT_OUT_OF_RANGE)
    given().when(place(line(1, "MUG", 1, 90, currency="EUR"))).rejected(CURRENCY_MISMATCH)
    given().when(place(MUGS, shipping=gbp(-1))).rejected(AMOUNT_OUT_OF_RANGE, amount=-1)


def test_the_units_of_one_sku_are_bounded_over_all_lines() -> None:
    lines = line(1, "MUG", MAX_QUANTITY, 1_000), line(2, "MUG", 1, 1)
    given().when(place(*lines)).rejected(QUANTITY_OUT_OF_RANGE, quantity=MAX_QUANTITY + 1)


def test_an_order_may_cost_nothing() -> None:
    [created] = given().when(place(line(1, "MUG", 1, 0), shipping=gbp(0))).events
    assert created.total == gbp(0)


def test_texts_are_plain() -> None:
    given().when(place(MUGS, payment_method="ca\x00rd")).rejected(TEXT_NOT_PLAIN, field="payment_method")
    given().when(place(MUGS, country="")).rejected(TEXT_LENGTH, field="country")
    in_state(PAID).when(RequestCancellation(order_id=ORDER, reason="\x00no")).rejected(TEXT_NOT_PLAIN)
    DELIVERED.when(ReturnLines(order_id=ORDER, return_id=RETURN, lines=((1, 1),), reason="x" * 501)).rejected(
        TEXT_LENGTH
    )
    DELIVERED.when(GrantGoodwill(order_id=ORDER, refund_id=GOODWILL, amount=gbp(1), reason="\ud800")).rejected(
        TEXT_NOT_PLAIN
    )


@pytest.mark.parametrize(
    "command",
    [
        *(GO_PAID, GO_WAIT, GO_CONFIRMED, GO_SHORT, dispatch(1, 1), GO_COMPLETE, GO_FAIL, CANCEL, CONFIRM_CANCEL),
        *(REFUSE_CANCEL, SEND_BACK, GRANT, RecordOrderRefund(order_id=ORDER, refund_id=RETURN, amount=gbp(1))),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_happens_to_an_order_that_does_not_exist(command: Command) -> None:
    given().when(command).rejected(NO_SUCH_ORDER)


# --- on the way ------------------------------------------------------------------------------------


def test_the_straight_way() -> None:
    in_state(PENDING).when(GO_PAID).then(PAID_UP).leads_to(status=PAID)
    in_state(PAID).when(GO_CONFIRMED).then(CONFIRMED_IT).leads_to(status=CONFIRMED)
    in_state(CONFIRMED).when(dispatch(1, 2)).then(dispatched(1, 2)).leads_to(status=PARTLY_SHIPPED)
    in_state(PARTLY_SHIPPED).when(dispatch(2, 2)).then(dispatched(2, 2)).leads_to(status=SHIPPED)
    in_state(SHIPPED).when(GO_COMPLETE).then(COMPLETED).leads_to(status=FULFILLED)


def test_an_order_waits_for_what_is_not_there_and_goes_on_when_it_has_come() -> None:
    for status in (PENDING, PAID):
        in_state(status).when(GO_WAIT).then(WAITS).leads_to(status=BACKORDERED, backordered=WAITS.waiting)
    given(CREATED, WAITS).when(GO_PAID).then(PAID_UP).leads_to(status=BACKORDERED, paid=True)
    in_state(BACKORDERED).when(GO_CONFIRMED).then(CONFIRMED_IT).leads_to(status=CONFIRMED)
    in_state(BACKORDERED).when(CANCEL).then(REQUESTED).leads_to(status=CANCELLING)
    given(CREATED, REQUESTED).when(GO_WAIT).then(WAITS).leads_to(status=CANCELLING)
    for status in (BACKORDERED, CONFIRMED):
        in_state(status).when(GO_WAIT).then()
    in_state(REFUNDING).when(GO_WAIT).rejected(WRONG_STATUS)
    in_state(BACKORDERED).when(GO_SHORT).rejected(WRONG_STATUS)


def test_news_may_come_in_any_order() -> None:
    in_state(PENDING).when(GO_CONFIRMED).leads_to(status=CONFIRMED, paid=False)
    given(CREATED, CONFIRMED_IT).when(GO_PAID).leads_to(status=CONFIRMED, paid=True)
    in_state(PENDING).when(dispatch(1, 1)).leads_to(status=SHIPPED)
    given(CREATED, dispatched(1, 1)).when(GO_PAID).leads_to(status=SHIPPED, paid=True)
    in_state(PENDING).when(GO_COMPLETE).leads_to(status=FULFILLED)
    given(CREATED, COMPLETED).when(dispatch(1, 1)).leads_to(status=FULFILLED)


@pytest.mark.parametrize("status", [PAID, CONFIRMED, PARTLY_SHIPPED, SHIPPED, FULFILLED, CANCELLING, CANCELLED])
def test_what_is_known_already_changes_nothing(status: str) -> None:
    in_state(status).when(GO_PAID).then()
    if status != PAID:
        in_state(status).when(GO_CONFIRMED).then()


def test_repeated_news_change_nothing() -> None:
    in_state(SHIPPED).when(dispatch(1, 2)).then()
    in_state(FULFILLED).when(GO_COMPLETE).then()
    in_state(REFUNDING).when(GO_SHORT).then()
    in_state(FAILED).when(GO_FAIL).then()


# --- coming to nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [PENDING, PAID, BACKORDERED, CONFIRMED, REFUNDING, CANCELLING])
def test_an_order_can_fail_until_it_ships(status: str) -> None:
    in_state(status).when(GO_FAIL).then(FAILURE).leads_to(status=FAILED)


@pytest.mark.parametrize("status", [PARTLY_SHIPPED, SHIPPED, FULFILLED, CANCELLED])
def test_an_order_that_shipped_or_was_cancelled_cannot_fail(status: str) -> None:
    in_state(status).when(GO_FAIL).rejected(WRONG_STATUS, status=status)


@pytest.mark.parametrize("status", [PENDING, PAID])
def test_stock_that_is_short_sends_the_money_back(status: str) -> None:
    in_state(status).when(GO_SHORT).then(SHORT).leads_to(status=REFUNDING)


def test_stock_that_is_short_does_not_stop_a_cancellation() -> None:
    given(CREATED, REQUESTED).when(GO_SHORT).then(SHORT).leads_to(status=CANCELLING)


@pytest.mark.parametrize("status", [CONFIRMED, PARTLY_SHIPPED, SHIPPED, FULFILLED, FAILED, CANCELLED])
def test_stock_cannot_be_short_elsewhere(status: str) -> None:
    in_state(status).when(GO_SHORT).rejected(WRONG_STATUS, status=status)


@pytest.mark.parametrize("status", [FAILED, REFUNDING, CANCELLED])
def test_a_parcel_of_a_closed_order_is_a_contradiction(status: str) -> None:
    in_state(status).when(dispatch(3, 3)).rejected(WRONG_STATUS, status=status)
    in_state(status).when(GO_COMPLETE).rejected(WRONG_STATUS, status=status)


def test_a_refund_is_recorded_in_every_status_once() -> None:
    refund = RecordOrderRefund(order_id=ORDER, refund_id=RETURN, amount=gbp(1_500))
    refunded = OrderRefunded(order_id=ORDER, refund_id=RETURN, amount=gbp(1_500))
    for status, story in STATES.items():
        given(*story).when(refund).then(refunded).leads_to(status=status, refunds={RETURN: -1_500})
        given(*story, refunded).when(refund).then()


# --- cancellation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [PENDING, PAID, BACKORDERED, CONFIRMED])
def test_an_order_can_be_cancelled_until_it_ships(status: str) -> None:
    in_state(status).when(CANCEL).then(REQUESTED).leads_to(status=CANCELLING)


@pytest.mark.parametrize("status", [PARTLY_SHIPPED, SHIPPED, FULFILLED, REFUNDING, FAILED])
def test_then_it_is_too_late(status: str) -> None:
    in_state(status).when(CANCEL).rejected(TOO_LATE_TO_CANCEL, status=status)


@pytest.mark.parametrize("status", [CANCELLING, CANCELLED])
def test_asking_twice_to_cancel_is_asking_once(status: str) -> None:
    in_state(status).when(CANCEL).then()


def test_shipping_agrees_to_the_cancellation() -> None:
    in_state(CANCELLING).when(CONFIRM_CANCEL).then(STOPPED).leads_to(status=CANCELLED)
    in_state(CANCELLED).when(CONFIRM_CANCEL).then()
    for status in STATES.keys() - {CANCELLING, CANCELLED}:
        in_state(status).when(CONFIRM_CANCEL).rejected(NOT_CANCELLING, status=status)


def test_shipping_refuses_the_cancellation_and_the_order_goes_on_where_it_was() -> None:
    for story, status in (
        ((CREATED,), PENDING),
        ((CREATED, PAID_UP), PAID),
        (STATES[BACKORDERED], BACKORDERED),
        ((CREATED, PAID_UP, CONFIRMED_IT), CONFIRMED),
    ):
        given(*story, REQUESTED).when(REFUSE_CANCEL).then(REFUSED).leads_to(status=status, cancel_reason=None)
    for status in STATES.keys() - {CANCELLING, CANCELLED}:
        in_state(status).when(REFUSE_CANCEL).then()
    in_state(CANCELLED).when(REFUSE_CANCEL).rejected(WRONG_STATUS, status=CANCELLED)


def test_the_parcel_may_be_seen_before_the_refusal() -> None:
    gone = (*STATES[CANCELLING], dispatched(1, 1))
    assert given(*gone).state.status == SHIPPED
    given(*gone).when(REFUSE_CANCEL).then(REFUSED).leads_to(status=SHIPPED)
    given(*gone, COMPLETED).when(REFUSE_CANCEL).then(REFUSED).leads_to(status=FULFILLED)


def test_news_reach_an_order_that_is_being_cancelled() -> None:
    given(CREATED, REQUESTED).when(GO_PAID).then(PAID_UP).leads_to(status=CANCELLING, paid=True)
    given(CREATED, REQUESTED).when(GO_CONFIRMED).then(CONFIRMED_IT).leads_to(status=CANCELLING, confirmed=True)


# --- returns and goodwill --------------------------------------------------------------------------


def returned(*lines: tuple[int, str, int, int]) -> OrderReturned:
    parts = tuple(ReturnedLine(line=n, sku=sku, quantity=q, amount=gbp(pence)) for n, sku, q, pence in lines)
    amount = gbp(sum(pence for *_, pence in lines))
    return OrderReturned(order_id=ORDER, return_id=RETURN, lines=parts, amount=amount, restock=True, reason="chipped")


def send_back(*lines: tuple[int, int], return_id: int = 4) -> ReturnLines:
    return ReturnLines(order_id=ORDER, return_id=uid(return_id), lines=lines, reason="chipped")


def test_units_come_back_at_their_share_of_the_line() -> None:
    DELIVERED.when(send_back((1, 1))).then(returned((1, "MUG", 1, 333)))
    DELIVERED.when(send_back((1, 2), (2, 1))).then(returned((1, "MUG", 2, 667), (2, "PEN", 1, 90)))


def test_the_shares_of_a_line_add_up_to_its_total() -> None:
    one = returned((1, "MUG", 1, 333))
    second = given(*STATES[FULFILLED], one).when(send_back((1, 1), return_id=41)).events[0]
    third = given(*STATES[FULFILLED], one, second).when(send_back((1, 1), return_id=42)).events[0]
    assert [e.amount for e in (one, second, third) if isinstance(e, OrderReturned)] == [gbp(333), gbp(334), gbp(333)]


def test_a_line_can_be_named_twice_in_one_return() -> None:
    DELIVERED.when(send_back((1, 1), (1, 2))).then(returned((1, "MUG", 1, 333), (1, "MUG", 2, 667)))
    DELIVERED.when(send_back((1, 2), (1, 2))).rejected(MORE_THAN_BOUGHT, line=1, left=1, quantity=2)


def test_no_more_comes_back_than_was_bought() -> None:
    DELIVERED.when(send_back((1, 4))).rejected(MORE_THAN_BOUGHT, line=1, left=3, quantity=4)
    DELIVERED.when(send_back((7, 1))).rejected(NO_SUCH_LINE, line=7)
    DELIVERED.when(send_back((1, 0))).rejected(QUANTITY_OUT_OF_RANGE)
    DELIVERED.when(send_back()).rejected(RETURN_EMPTY)


def test_a_return_happens_once() -> None:
    given(*STATES[FULFILLED], returned((1, "MUG", 1, 333))).when(send_back((1, 1))).then()


def test_money_is_given_back_out_of_goodwill() -> None:
    granted = GoodwillGranted(order_id=ORDER, refund_id=GOODWILL, amount=gbp(200), reason="late")
    DELIVERED.when(GRANT).then(granted).leads_to(given_back=200)
    given(*STATES[FULFILLED], granted).when(GRANT).then()


def test_never_more_is_given_back_than_was_paid() -> None:
    def grant(pence: int, currency: str = "GBP") -> GrantGoodwill:
        return GrantGoodwill(order_id=ORDER, refund_id=GOODWILL, amount=Money(pence, currency), reason="late")

    DELIVERED.when(grant(1_501)).rejected(REFUND_ABOVE_PAID, left=1_500, amount=1_501)
    DELIVERED.when(grant(0)).rejected(AMOUNT_OUT_OF_RANGE, amount=0)
    DELIVERED.when(grant(1, "EUR")).rejected(CURRENCY_MISMATCH)
    at_payment = OrderRefunded(order_id=ORDER, refund_id=uid(78), amount=gbp(1_400), corrects=True)
    given(*STATES[FULFILLED], at_payment).when(grant(101)).rejected(REFUND_ABOVE_PAID, left=100, amount=101)
    in_error = OrderRefunded(order_id=ORDER, refund_id=uid(78), amount=gbp(1_400))
    given(*STATES[FULFILLED], in_error).when(grant(1_500)).leads_to(given_back=1_500)
    granted = GoodwillGranted(order_id=ORDER, refund_id=GOODWILL, amount=gbp(1_400), reason="late")
    paid_out = OrderRefunded(order_id=ORDER, refund_id=GOODWILL, amount=gbp(1_400), corrects=True)
    given(*STATES[FULFILLED], granted, paid_out).when(
        GrantGoodwill(order_id=ORDER, refund_id=uid(79), amount=gbp(100), reason="late")
    ).leads_to(given_back=1_500)


def test_goods_whose_price_was_given_back_before_come_back_for_what_is_left() -> None:
    """Refused, a parcel that is lost after a present to the customer would never be settled."""
    granted = GoodwillGranted(order_id=ORDER, refund_id=GOODWILL, amount=gbp(1_400), reason="late")
    given(*STATES[FULFILLED], granted).when(send_back((1, 1))).then(returned((1, "MUG", 1, 100)))
    given(*STATES[SHIPPED], granted).when(write_off(MUG=3, PEN=1)).leads_to(given_back=1_500, returned={1: 3, 2: 1})
    at_payment = OrderRefunded(order_id=ORDER, refund_id=uid(78), amount=gbp(1_500), corrects=True)
    [back] = given(*STATES[SHIPPED], at_payment).when(write_off(MUG=3)).events
    assert back.amount == gbp(0) and [one.amount for one in back.lines] == [gbp(0)]


@pytest.mark.parametrize("status", [status for status in STATES if status != FULFILLED])
def test_only_what_was_delivered_can_come_back(status: str) -> None:
    in_state(status).when(SEND_BACK).rejected(NOT_DELIVERED, status=status)


@pytest.mark.parametrize("status", STATES)
def test_money_is_given_back_from_confirmation_on(status: str) -> None:
    if status in (BACKORDERED, CONFIRMED, PARTLY_SHIPPED, SHIPPED, FULFILLED):
        in_state(status).when(GRANT).leads_to(status=status, given_back=GRANT.amount.amount)
    else:
        in_state(status).when(GRANT).rejected(NO_REFUND_NOW, status=status)


def test_one_checkout_attempt_of_a_cart_is_one_order() -> None:
    assert order_id_of(CART, 1) == order_id_of(CART, 1) != order_id_of(CART, 2)


# --- parcels that never arrive ---------------------------------------------------------------------


def write_off(restock: bool = False, **items: int) -> WriteOffParcel:
    return WriteOffParcel(order_id=ORDER, return_id=uid(77), items=items, restock=restock, reason="parcel_lost")


def test_what_never_arrives_is_given_back_line_by_line() -> None:
    lines = line(1, "MUG", 3, 1_000), line(2, "MUG", 2, 300), line(3, "PEN", 1, 90)
    [created] = given().when(place(*lines)).events
    gone = OrderDispatched(order_id=ORDER, parcel=1, of=2, carrier="Post", tracking_number="T", tracking_url="/t")
    on_its_way = given(created, OrderPaid(order_id=ORDER, amount=created.total), gone)
    [returned] = on_its_way.when(write_off(MUG=4, PEN=1)).events
    assert [(one.line, one.quantity, one.amount.amount) for one in returned.lines] == [
        (1, 3, 1_000), (2, 1, 150), (3, 1, 90),
    ]  # fmt: skip
    given(created, gone, returned).when(write_off(MUG=4, PEN=1)).then()


def test_what_came_back_already_is_not_given_back_again() -> None:
    [back] = DELIVERED.when(ReturnLines(order_id=ORDER, return_id=RETURN, lines=((1, 3),), reason="chipped")).events
    given(*STATES[FULFILLED], back).when(write_off(MUG=3)).then()
    given(*STATES[FULFILLED], back).when(write_off(MUG=3, PEN=1)).leads_to(returned={1: 3, 2: 1})


@pytest.mark.parametrize("status", [PENDING, PAID, BACKORDERED, CONFIRMED, REFUNDING, FAILED, CANCELLED])
def test_what_never_left_cannot_be_lost(status: str) -> None:
    in_state(status).when(write_off(MUG=1)).rejected(WRONG_STATUS)
