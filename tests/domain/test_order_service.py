"""What staff and customers do with an order on its way: hold, readdress, note, ask for a message."""

from emporium.domain.order import (
    COUNTRY_FIXED,
    MAX_ADDRESSES,
    NO_SUCH_MESSAGE,
    NO_SUCH_ORDER,
    TOO_LATE_TO_READDRESS,
    TOO_MANY_ADDRESSES,
    WRONG_STATUS,
    AddNote,
    ChangeAddress,
    HoldOrder,
    OrderAddressChanged,
    OrderAddressChangeRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderDispatched,
    OrderFailed,
    OrderHeld,
    OrderMessageRequested,
    OrderNoteAdded,
    OrderPaid,
    OrderReleased,
    RecordDispatch,
    ReleaseOrder,
    RequestCancellation,
    RequestMessage,
    RestoreAddress,
)
from emporium.domain.text import TEXT_LENGTH
from tests.domain.spec import gbp, given, sealed, uid
from tests.domain.test_order import CREATED

ID = CREATED.order_id
PAID, CONFIRMED = OrderPaid(order_id=ID, amount=gbp(1_500)), OrderConfirmed(order_id=ID)
LEFT = OrderDispatched(order_id=ID, parcel=1, of=1, carrier="Post", tracking_number="T", tracking_url="/")
HELD, RELEASED = OrderHeld(order_id=ID, reason="odd"), OrderReleased(order_id=ID)
HOLD, RELEASE = HoldOrder(order_id=ID, reason=" odd "), ReleaseOrder(order_id=ID)
CANCELLED = (
    OrderCancellationRequested(order_id=ID, reason="changed my mind"),
    OrderCancelled(order_id=ID, reason="changed my mind"),
)


def there(number: int) -> OrderAddressChanged:
    return OrderAddressChanged(order_id=ID, ship_to=sealed(f"address {number}", "OrderAddressChanged"), revision=number)


def move(number: int, country: str = CREATED.country) -> ChangeAddress:
    return ChangeAddress(order_id=ID, ship_to=there(number).ship_to, country=country)


# --- hold and release ------------------------------------------------------------------------------


def test_an_order_is_held_for_a_reason_and_stays_where_it_is() -> None:
    given(CREATED, PAID).when(HOLD).then(HELD).leads_to(held="odd", status="paid")
    given(CREATED).when(HOLD).then(HELD)
    given(CREATED).when(HoldOrder(order_id=ID, reason="  ")).rejected(TEXT_LENGTH, field="reason")
    given().when(HOLD).rejected(NO_SUCH_ORDER)


def test_holding_twice_and_releasing_twice_change_nothing() -> None:
    given(CREATED, HELD).when(HoldOrder(order_id=ID, reason="another")).then().leads_to(held="odd")
    given(CREATED, HELD).when(RELEASE).then(RELEASED).leads_to(held=None)
    given(CREATED, HELD, RELEASED).when(RELEASE).then()
    given(CREATED, HELD, RELEASED).when(HOLD).then(HELD)


def test_what_has_left_or_ended_cannot_be_held_but_can_be_released() -> None:
    given(CREATED, PAID, CONFIRMED, LEFT).when(HOLD).rejected(WRONG_STATUS, status="shipped")
    given(CREATED, *CANCELLED).when(HOLD).rejected(WRONG_STATUS, status="cancelled")
    given(CREATED, HELD, OrderFailed(order_id=ID, reason="payment_declined")).when(RELEASE).then(RELEASED)


def test_a_held_order_goes_on_as_far_as_others_take_it() -> None:
    left = RecordDispatch(order_id=ID, parcel=1, of=1, carrier="Post", tracking_number="T", tracking_url="/")
    given(CREATED, PAID, CONFIRMED, HELD).when(left).then(LEFT).leads_to(status="shipped", held="odd")


def test_no_timer_cancels_a_held_order_but_people_do() -> None:
    late = RequestCancellation(order_id=ID, reason="not_shipped_in_time", unless_held=True)
    asked = OrderCancellationRequested(order_id=ID, reason="not_shipped_in_time")
    given(CREATED, PAID, CONFIRMED, HELD).when(late).then()
    given(CREATED, PAID, CONFIRMED, HELD, RELEASED).when(late).then(asked)
    person = RequestCancellation(order_id=ID, reason="changed my mind")
    given(CREATED, PAID, CONFIRMED, HELD).when(person).then(CANCELLED[0])


# --- another address -------------------------------------------------------------------------------


def test_an_address_is_changed_and_changed_again_until_the_order_has_left() -> None:
    given(CREATED).when(move(1)).then(there(1)).leads_to(ship_to=there(1).ship_to, addresses=(CREATED.ship_to,))
    given(CREATED, PAID, CONFIRMED, there(1)).when(move(2)).then(there(2)).leads_to(revision=2)
    given(CREATED, PAID, CONFIRMED, LEFT).when(move(1)).rejected(TOO_LATE_TO_READDRESS, status="shipped")
    given(CREATED, *CANCELLED).when(move(1)).rejected(TOO_LATE_TO_READDRESS, status="cancelled")


def test_prices_were_agreed_for_the_country() -> None:
    given(CREATED).when(move(1, "DE")).rejected(COUNTRY_FIXED, country="GB", other="DE")


def test_an_address_does_not_change_for_ever() -> None:
    changes = [there(number) for number in range(1, MAX_ADDRESSES + 1)]
    given(CREATED, *changes).when(move(MAX_ADDRESSES + 1)).rejected(TOO_MANY_ADDRESSES, most=MAX_ADDRESSES)


def test_what_was_packed_first_goes_where_it_went() -> None:
    back = OrderAddressChangeRefused(order_id=ID, ship_to=CREATED.ship_to, former=0, revision=2)
    restore = RestoreAddress(order_id=ID, revision=0)
    moved = given(CREATED, PAID, CONFIRMED, LEFT, there(1)).when(restore)
    moved.then(back).leads_to(ship_to=CREATED.ship_to, revision=2, status="shipped")
    # Told twice, or once for each of two changes: it is there already.
    given(CREATED, there(1), back).when(restore).then()
    given(CREATED, there(1), there(2)).when(restore).leads_to(ship_to=CREATED.ship_to, revision=3)
    given(CREATED, there(1), there(2)).when(RestoreAddress(order_id=ID, revision=1)).leads_to(ship_to=there(1).ship_to)
    given(CREATED, there(1)).when(RestoreAddress(order_id=ID, revision=1)).then()


# --- notes and messages ----------------------------------------------------------------------------


def test_notes_are_taken_in_every_status() -> None:
    note = sealed("note", "OrderNoteAdded")
    add, added = AddNote(order_id=ID, note_id=uid(8), note=note), OrderNoteAdded(order_id=ID, note_id=uid(8), note=note)
    for before in ((CREATED,), (CREATED, *CANCELLED), (CREATED, PAID, CONFIRMED, LEFT)):
        given(*before).when(add).then(added)
    given().when(add).rejected(NO_SUCH_ORDER)


def test_only_messages_about_orders_are_asked_for() -> None:
    ask = RequestMessage(order_id=ID, request_id=uid(8), message="order_shipped", channel="sms", facts={"parcel": "1"})
    given(CREATED).when(ask).then(
        OrderMessageRequested(
            order_id=ID, request_id=uid(8), message="order_shipped", channel="sms", facts={"parcel": "1"}
        )
    )
    odd = RequestMessage(order_id=ID, request_id=uid(8), message="password_reset")
    given(CREATED).when(odd).rejected(NO_SUCH_MESSAGE, message="password_reset")
