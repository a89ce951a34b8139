"""What each process manager does for every event in every state: the tables, written down a second time by hand."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from emporium.application.commands import HANDLERS, ROUTES
from emporium.application.policies import INVENTORY, ORDERING, PAYMENTS, POLICIES, SHIPPING, Ignore, Later, Policy
from emporium.domain import cancellations, order, payment, reservation, shipment
from emporium.domain.base import Event, Money, Rejected, Sealed
from emporium.domain.cancellations import CancelledLine, UnwantedLine
from emporium.domain.order import OrderLine, OrderState, ReturnedLine, Short
from emporium.domain.registry import AGGREGATES
from emporium.domain.reservation import Allocation

ID = UUID(int=1)
OTHER = UUID(int=2)
GBP = Money(500, "GBP")
MUG = Allocation("MUG", "LON", 2)

# One row an event, one word a state, in the order of the policy's statuses:
# a command's name, `-` for nothing owed, `later` for something that must be seen first.
EXPECTED: dict[str, str] = {
    # payments:                    new             requested       processed       failed  cancelled
    "payments OrderCreated": "RequestPayment - - - -",
    "payments OrderCancelled": "CancelPayment CancelPayment CancelPayment - -",
    "payments OrderFailed": "CancelPayment CancelPayment CancelPayment - -",
    "payments StockReservationFailed": "later later CancelPayment - -",
    "payments StockBackordered": "later later RequestCapture - -",
    "payments StockReserved": "later later RequestCapture - -",
    "payments OrderReturned": "later later RequestRefund - -",
    "payments GoodwillGranted": "later later RequestRefund - -",
    "payments OrderLinesCancelled": "later later RequestRefund+RequestCapture - -",
    # inventory:                   new    waiting    reserved    failed  cancelled  released
    "inventory PaymentProcessed": "ReserveOrder - - - - -",
    "inventory OrderCancelled": "ReleaseReservation ReleaseReservation ReleaseReservation - - -",
    "inventory OrderFailed": "ReleaseReservation ReleaseReservation ReleaseReservation - - -",
    "inventory OrderShipped": "later later ShipReservation later later later",
    "inventory ParcelGivenUp": "later later ReleaseParcel later later later",
    "inventory ShipmentReduced": "later later ReduceReservation later later -",
    "inventory OrderReturned": "later later ReturnUnits later later later",
    # shipping:                    new    awaited   prepared   shipped   fulfilled   cancelled
    "shipping PaymentProcessed": "- - - - - -",
    "shipping StockReserved": "PrepareShipment PrepareShipment - - - -",
    "shipping OrderCancellationRequested": "CancelShipment " * 5 + "-",
    "shipping OrderFailed": "CancelShipment CancelShipment CancelShipment - - -",
    "shipping OrderHeld": "HoldShipment HoldShipment HoldShipment HoldShipment - -",
    "shipping OrderReleased": "- ReleaseShipment ReleaseShipment ReleaseShipment - -",
    "shipping OrderAddressChanged": "ReaddressShipment " * 5 + "-",
    "shipping LinesCancellationRequested": "ReduceShipment " * 5 + "-",
    # ordering: new, pending, paid, backordered, confirmed, partly_shipped, shipped, fulfilled,
    #           refunding, cancelling, failed, cancelled
    "ordering PaymentProcessed": "later RecordPayment RecordPayment RecordPayment RecordPayment "
    + "RecordPayment+IssueDocuments " * 3
    + "RecordPayment " * 4,
    "ordering PaymentFailed": "later FailAndReopen later later later later later later later FailAndReopen - -",
    "ordering PaymentCancelled": "- " * 12,
    "ordering LatePaymentReceived": "- " * 12,
    "ordering PaymentRefunded": "later RecordOrderRefund+FailAndReopen RecordOrderRefund+FailAndReopen "
    "RecordOrderRefund RecordOrderRefund "
    + "RecordOrderRefund+IssueDocuments " * 3
    + "RecordOrderRefund+FailAndReopen RecordOrderRefund RecordOrderRefund RecordOrderRefund",
    "ordering RefundFailed": "- FailAndReopen FailAndReopen - - - - - FailAndReopen - - -",
    "ordering PaymentVoided": "later " + "RequestCancellation " * 4 + "- - - FailAndReopen - - -",
    "ordering StockBackordered": "later RecordBackorder RecordBackorder - - - - - later RecordBackorder - -",
    "ordering StockReserved": "later " + "RecordReservation " * 7 + "later RecordReservation - -",
    "ordering StockReservationFailed": "later RecordShortage RecordShortage later later later later later - "
    "RecordShortage - -",
    "ordering OrderShipped": "later "
    + "RecordDispatch+IssueDocuments " * 7
    + "later RecordDispatch+IssueDocuments later later",
    "ordering OrderFulfilled": "later " + "CompleteOrder " * 6 + "- later CompleteOrder later later",
    "ordering ParcelLost": "later " * 5 + "WriteOffParcel " * 3 + "later later later later",
    "ordering ParcelGivenUp": "later " * 5 + "WriteOffParcel " * 3 + "later later later later",
    "ordering ParcelReturned": "later " * 5 + "WriteOffParcel " * 3 + "later later later later",
    "ordering ShipmentCancelled": "later later later later later later later later later ConfirmCancellation - -",
    "ordering CaptureReduced": "later " + "RecordOrderRefund " * 11,
    "ordering ShipmentReduced": "later " + "ConfirmLinesCancellation " * 7 + "later ConfirmLinesCancellation - -",
    "ordering ShipmentReductionRefused": "later "
    + "RefuseLinesCancellation " * 7
    + "later RefuseLinesCancellation - -",
    "ordering ShipmentReaddressRefused": "later " + "RestoreAddress " * 11,
    "ordering ShipmentCancellationRefused": "later later later later later RefuseCancellation RefuseCancellation "
    "RefuseCancellation later RefuseCancellation later later",
}

PAYMENT = {"payment_id": OTHER, "order_id": ID}
EVENTS: tuple[Event, ...] = (
    order.OrderCancelled(order_id=ID, reason="changed"),
    order.OrderFailed(order_id=ID, reason="out_of_stock"),
    order.OrderCancellationRequested(order_id=ID, reason="changed"),
    order.OrderReturned(
        order_id=ID, return_id=OTHER, amount=GBP, restock=True, reason="broken",
        lines=(ReturnedLine(line=1, sku="MUG", quantity=1, amount=GBP),),
    ),
    cancellations.LinesCancellationRequested(
        order_id=ID, cancellation_id=OTHER, lines=(UnwantedLine(line=1, sku="MUG", quantity=1),), reason="changed"
    ),
    cancellations.OrderLinesCancelled(
        order_id=ID, cancellation_id=OTHER, amount=GBP,
        lines=(
            CancelledLine(
                line=1, sku="MUG", quantity=1, total=GBP, discount=Money(0, "GBP"), tax=Money(0, "GBP"), amount=GBP
            ),
        ),
    ),
    order.GoodwillGranted(order_id=ID, refund_id=OTHER, amount=GBP, reason="sorry"),
    order.OrderHeld(order_id=ID, reason="suspicious"),
    order.OrderReleased(order_id=ID),
    order.OrderAddressChanged(order_id=ID, ship_to=Sealed(ID, "OrderAddressChanged", b"box")),
    payment.PaymentProcessed(**PAYMENT, amount=GBP, reference="r"),
    payment.PaymentFailed(**PAYMENT, code="card_declined"),
    payment.PaymentCancelled(**PAYMENT, reason="changed"),
    payment.LatePaymentReceived(**PAYMENT, amount=GBP, reference="r"),
    payment.PaymentRefunded(**PAYMENT, refund_id=OTHER, amount=GBP, reason="out_of_stock", reference="r"),
    payment.RefundFailed(**PAYMENT, refund_id=payment.closing_refund_id_of(ID), amount=GBP, code="no"),
    payment.CaptureReduced(**PAYMENT, refund_id=OTHER, amount=GBP, reason="cancelled_in_part"),
    payment.PaymentVoided(**PAYMENT, reason="let_go"),
    reservation.StockReserved(order_id=ID, payment_id=OTHER, allocations=(MUG,)),
    reservation.StockBackordered(
        order_id=ID, payment_id=OTHER, allocations=(),
        waiting=(order.Backordered(sku="MUG", quantity=2, kind="backorder", expected=date(2026, 5, 4)),),
    ),
    reservation.StockReservationFailed(
        order_id=ID, payment_id=OTHER, short=(Short(sku="MUG", wanted=2, available=1),)
    ),
    shipment.OrderShipped(
        order_id=ID, parcel=1, of=1, items=(MUG,), carrier="c", tracking_number="t", tracking_url="u"
    ),
    shipment.ParcelLost(order_id=ID, parcel=1, items=(MUG,)),
    shipment.ParcelReturned(order_id=ID, parcel=1, items=(MUG,)),
    shipment.ParcelGivenUp(order_id=ID, parcel=1, items=(MUG,), reason="undeliverable"),
    shipment.OrderFulfilled(order_id=ID),
    shipment.ShipmentReaddressRefused(order_id=ID, address=0),
    shipment.ShipmentReduced(order_id=ID, cancellation_id=OTHER, items=(MUG,)),
    shipment.ShipmentReductionRefused(order_id=ID, cancellation_id=OTHER, reason="already_packed"),
    shipment.ShipmentCancelled(order_id=ID, reason="changed"),
    shipment.ShipmentCancellationRefused(order_id=ID, reason="already_packed"),
)  # fmt: skip

ORDER = OrderState(
    order_id=ID, number="N", status=order.PENDING, cart_id=OTHER, customer_id=None, subject=ID,
    lines=(
        OrderLine(line=1, sku="MUG", title="Mug", quantity=2, unit_price=GBP, total=GBP * 2),
        OrderLine(line=2, sku="MUG", title="Mug", quantity=1, unit_price=GBP, total=GBP),
    ),
    shipping=Money(0, "GBP"), total=GBP * 3, country="GB", payment_method="pm_ok",
)  # fmt: skip
CREATED = order.decide(
    order.PlaceOrder(
        order_id=ID, number="N", subject=ID, lines=ORDER.lines, shipping=ORDER.shipping, country="GB",
        payment_method="pm_ok", at=datetime(2026, 1, 1, tzinfo=UTC),
    ),
    None,
)[0]  # fmt: skip
EXAMPLES: dict[type[Event], Event] = {type(event): event for event in (*EVENTS, CREATED)}


def cells() -> list[tuple[Policy, type[Event], str, str]]:
    found = []
    for policy in POLICIES:
        for event in policy.table:
            words = EXPECTED[f"{policy.name} {event.__name__}"].split()
            assert len(words) == len(policy.statuses), f"{policy.name} {event.__name__}"
            found += [(policy, event, status, word) for status, word in zip(policy.statuses, words, strict=True)]
    return found


@pytest.mark.parametrize(
    ("policy", "event", "status", "word"),
    cells(),
    ids=[f"{policy.name}-{event.__name__}-{status}" for policy, event, status, _ in cells()],
)
def test_every_cell_does_what_the_table_says(policy: Policy, event: type[Event], status: str, word: str) -> None:
    example = EXAMPLES[event]
    state = None if status == "new" else state_of(policy, status)
    reaction = policy.reaction(example, state)
    if isinstance(reaction, Ignore):
        assert word == "-"
        assert len(reaction.reason) > 10
    elif isinstance(reaction, Later):
        assert word == "later"
        assert len(reaction.reason) > 10
    else:
        commands = reaction(example, state, ORDER)
        assert "+".join(type(command).__name__ for command in commands) == word
        assert all(command.order_id == ID for command in commands)  # type: ignore[attr-defined]
        assert all(type(command) in ROUTES or type(command) in HANDLERS for command in commands)


def state_of(policy: Policy, status: str) -> Any:
    if policy is ORDERING:
        return msgspec.structs.replace(ORDER, status=status)
    if policy is PAYMENTS:
        return payment.PaymentState(payment_id=OTHER, order_id=ID, status=status, amount=GBP, received=500)
    if policy is INVENTORY:
        return reservation.ReservationState(order_id=ID, status=status, held=(MUG,))
    return shipment.ShipmentState(order_id=ID, status=status)


def test_nothing_expected_is_missing_from_the_tables() -> None:
    there = {f"{policy.name} {event.__name__}" for policy in POLICIES for event in policy.table}
    assert there == set(EXPECTED)


def test_every_event_of_the_mission_reaches_who_listens_for_it() -> None:
    assert order.OrderCreated in PAYMENTS.table
    assert payment.PaymentProcessed in INVENTORY.table
    assert payment.PaymentProcessed in SHIPPING.table
    assert payment.PaymentFailed in ORDERING.table
    assert reservation.StockReserved in SHIPPING.table
    assert reservation.StockReservationFailed in PAYMENTS.table
    assert shipment.OrderShipped in ORDERING.table


def test_no_policy_follows_its_own_log() -> None:
    log_of = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}
    for policy in POLICIES:
        assert policy.name not in {log_of[event] for event in policy.table}


def test_the_units_of_one_sku_on_several_lines_are_reserved_together() -> None:
    reaction = INVENTORY.reaction(EXAMPLES[payment.PaymentProcessed], None)
    assert callable(reaction)
    (command,) = reaction(EXAMPLES[payment.PaymentProcessed], None, ORDER)
    assert command.wanted == {"MUG": 3}  # type: ignore[attr-defined]


def test_units_that_are_not_wanted_any_more_are_not_reserved_and_their_price_is_not_taken() -> None:
    wish = cancellations.CancelLines(order_id=ID, cancellation_id=OTHER, lines=((1, 2),), reason="changed")
    [asked] = order.decide(wish, ORDER)
    less = order.evolve(ORDER, asked)
    reserve = INVENTORY.reaction(EXAMPLES[payment.PaymentProcessed], None)
    assert callable(reserve)
    (command,) = reserve(EXAMPLES[payment.PaymentProcessed], None, less)
    assert (command.wanted, command.without) == ({"MUG": 1}, (OTHER,))  # type: ignore[attr-defined]
    secured = payment.PaymentState(
        payment_id=OTHER, order_id=ID, status=payment.PROCESSED, amount=GBP * 3, received=1_500
    )
    reserved: Any = msgspec.structs.replace(EXAMPLES[reservation.StockReserved], without=(OTHER,))
    capture = PAYMENTS.reaction(reserved, secured)
    assert callable(capture)
    assert capture(reserved, secured, less) == [], "the capture waits for what it is to be"
    cut = EXAMPLES[cancellations.OrderLinesCancelled]
    settle = PAYMENTS.reaction(cut, secured)
    assert callable(settle)
    for command in settle(cut, secured, less):
        for event in payment.decide(command, secured):
            secured = payment.evolve(secured, event)
    assert (secured.to_take, secured.capturing, secured.refunds) == (GBP * 2, True, {})
    # Where it is taken already, or is being taken, it goes back.
    taken = msgspec.structs.replace(secured, captured=True, untaken={}, received=1_500)
    assert [type(one).__name__ for one in settle(cut, taken, less)] == ["RequestRefund"]
    [back] = payment.decide(settle(cut, taken, less)[0], taken)
    assert isinstance(back, payment.RefundRequested)


def test_a_return_that_is_worth_nothing_asks_for_no_refund() -> None:
    free = msgspec.structs.replace(EXAMPLES[order.OrderReturned], amount=Money(0, "GBP"))
    paid = state_of(PAYMENTS, payment.PROCESSED)
    reaction = PAYMENTS.reaction(free, paid)
    assert callable(reaction)
    assert reaction(free, paid, ORDER) == []


@pytest.mark.parametrize("event", [order.OrderReturned, order.GoodwillGranted])
def test_what_staff_gave_back_at_the_payment_in_the_same_moment_is_not_given_back_again(event: type[Event]) -> None:
    """The order hears of it a moment later: a wish for more than came in would wait for a person for ever."""
    example, paid = EXAMPLES[event], state_of(PAYMENTS, payment.PROCESSED)
    reaction = PAYMENTS.reaction(example, paid)
    assert callable(reaction)
    for given_back, status, wished in (
        (0, "done", [500]),
        (400, "done", [100]),
        (500, "requested", []),
        (500, "failed", [500]),
    ):
        refunds = {UUID(int=9): payment.Refund(given_back, "damaged", status)}
        state = msgspec.structs.replace(paid, refunds=refunds)
        assert [one.amount.amount for one in reaction(example, state, ORDER)] == wished  # type: ignore[attr-defined]
    # What a dispute holds may still be won: a person decides.
    disputed = msgspec.structs.replace(paid, disputes={"d": payment.Dispute(500, "fraud", "open")})
    [wish] = reaction(example, disputed, ORDER)
    with pytest.raises(Rejected, match="refunded"):
        payment.decide(wish, disputed)


def test_a_refund_after_delivery_does_not_fail_the_order() -> None:
    returned = msgspec.structs.replace(EXAMPLES[payment.PaymentRefunded], reason="returned")
    for status in (order.PENDING, order.FULFILLED):
        reaction = ORDERING.reaction(returned, state_of(ORDERING, status))
        assert callable(reaction)
        names = [type(command).__name__ for command in reaction(returned, state_of(ORDERING, status), ORDER)]
        assert names == ["RecordOrderRefund"] + ["IssueDocuments"] * (status == order.FULFILLED)


def test_a_refund_corrects_the_invoice_unless_the_money_was_never_owed() -> None:
    event = EXAMPLES[payment.PaymentRefunded]
    closing = payment.closing_refund_id_of(ID)
    for changes, corrects in (
        ({"reason": "damaged"}, True),
        ({"reason": "returned"}, True),
        ({"reason": "paid_twice"}, False),
        ({"reason": "let_go_by_provider", "refund_id": closing}, False),
    ):
        refunded = msgspec.structs.replace(event, **changes)  # type: ignore[type-var]
        reaction = ORDERING.reaction(refunded, state_of(ORDERING, order.SHIPPED))
        assert callable(reaction)
        record = reaction(refunded, state_of(ORDERING, order.SHIPPED), ORDER)[0]
        assert isinstance(record, order.RecordOrderRefund)
        assert record.corrects is corrects, changes


def test_a_refund_that_is_not_the_closing_one_says_nothing_of_the_order() -> None:
    event = payment.RefundFailed(**PAYMENT, refund_id=OTHER, amount=GBP, code="no")
    reaction = ORDERING.reaction(event, state_of(ORDERING, order.PAID))
    assert not isinstance(reaction, Ignore | Later)
    assert reaction(event, None, ORDER) == []


def test_a_payment_given_up_for_a_shortage_fails_the_order_that_has_not_heard_of_it() -> None:
    event = payment.PaymentVoided(**PAYMENT, reason="out_of_stock")
    for status in (order.PENDING, order.PAID):
        reaction = ORDERING.reaction(event, state_of(ORDERING, status))
        assert not isinstance(reaction, Ignore | Later)
        [command] = reaction(event, None, ORDER)
        assert type(command).__name__ == "FailAndReopen"
