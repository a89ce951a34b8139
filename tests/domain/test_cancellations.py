"""Units of an order that are cancelled before they leave: what the order, its parcels, its stock and its payment do."""

from datetime import date
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import Event, Money
from emporium.domain.cancellations import (
    CANCELLATION_EMPTY,
    MAX_CANCELLATIONS,
    MORE_THAN_LEFT,
    NO_SUCH_CANCELLATION,
    NO_SUCH_LINE_TO_CANCEL,
    TOO_MANY_CANCELLATIONS,
    CancelledLine,
    CancelLines,
    ConfirmLinesCancellation,
    LinesCancellationRefused,
    LinesCancellationRequested,
    OrderLinesCancelled,
    RefuseLinesCancellation,
    UnwantedLine,
)
from emporium.domain.invoice import InvoiceIssued, Seller, TaxPart
from emporium.domain.order import (
    BACKORDERED,
    CANCELLING,
    CONFIRMED,
    PARTLY_SHIPPED,
    SHIPPED,
    TOO_LATE_TO_CANCEL,
    WAITS_FOR_GOODS,
    Agreement,
    Backordered,
    GoodwillGranted,
    IssueCreditNote,
    OrderBackordered,
    OrderCancellationRequested,
    OrderCompleted,
    OrderDispatched,
    OrderLine,
    OrderPaid,
    OrderRefunded,
    OrderReturned,
    RecordOrderRefund,
    ReturnedLine,
    ReturnLines,
    WriteOffParcel,
)
from emporium.domain.payment import (
    CaptureReduced,
    CaptureRequested,
    PaymentCaptured,
    PaymentVoided,
    RefundRequested,
    RequestCapture,
    RequestRefund,
    VoidRequested,
)
from emporium.domain.reservation import (
    NOT_HELD,
    Allocation,
    ReduceReservation,
    ReleaseReservation,
    ReservationReduced,
    SetAside,
    StockReleased,
    StockReserved,
    UnitsSetAside,
)
from emporium.domain.returns import MORE_THAN_BOUGHT
from emporium.domain.shipment import (
    AWAITED,
    PREPARED,
    OrderFulfilled,
    ParcelLabelVoided,
    ReduceShipment,
    ShipmentReduced,
    ShipmentReductionAwaited,
    ShipmentReductionRefused,
)
from tests.domain import test_payment as paying
from tests.domain import test_reservation as reserving
from tests.domain import test_shipment as shipping
from tests.domain.spec import NOW, gbp, given, uid
from tests.domain.test_order import CONFIRMED_IT, CREATED, ORDER, PAID_UP

ID, OTHER = uid(40), uid(41)
NOTHING = gbp(0)
SELLER = Seller(legal_name="Shop")


# --- the order: three mugs for 10.00, a pen for 0.90, shipping 4.10 -------------------------------------


def cancel(*lines: tuple[int, int], known: UUID = ID, by_staff: bool = False) -> CancelLines:
    return CancelLines(order_id=ORDER, cancellation_id=known, lines=lines, reason="too many", by_staff=by_staff)


def asked(line: int, sku: str, units: int, known: UUID = ID) -> LinesCancellationRequested:
    wanted = (UnwantedLine(line=line, sku=sku, quantity=units),)
    return LinesCancellationRequested(order_id=ORDER, cancellation_id=known, lines=wanted, reason="too many")


def less(line: int, sku: str, units: int, pence: int, known: UUID = ID, *, left_out: int = 0) -> OrderLinesCancelled:
    one = CancelledLine(
        line=line, sku=sku, quantity=units, total=gbp(pence), discount=NOTHING, tax=NOTHING, amount=gbp(pence)
    )
    return OrderLinesCancelled(
        order_id=ORDER, cancellation_id=known, lines=(one,), amount=gbp(pence), left_out=left_out
    )


def dispatched(parcel: int, of: int) -> OrderDispatched:
    return OrderDispatched(order_id=ORDER, parcel=parcel, of=of, carrier="c", tracking_number="t", tracking_url="u")


ONE_MUG, MUG_LESS = asked(1, "MUG", 1), less(1, "MUG", 1, 333)
CONFIRM = ConfirmLinesCancellation(order_id=ORDER, cancellation_id=ID)
REFUSE = RefuseLinesCancellation(order_id=ORDER, cancellation_id=ID, reason="already_packed")
PLACED = (CREATED, PAID_UP, CONFIRMED_IT)


def test_a_unit_is_wanted_no_more_and_the_order_is_less_once_shipping_says_so() -> None:
    given(CREATED).when(cancel((1, 1))).then(ONE_MUG).leads_to(total=gbp(1_500), status="pending")
    given(*PLACED, ONE_MUG).when(cancel((1, 1))).then()
    given(*PLACED, ONE_MUG).when(CONFIRM).then(MUG_LESS).leads_to(total=gbp(1_167), status=CONFIRMED, given_back=0)
    state = given(*PLACED, ONE_MUG, MUG_LESS).state
    assert [(line.quantity, line.total.amount) for line in state.lines] == [(2, 667), (1, 90)]
    given(*PLACED, ONE_MUG, MUG_LESS).when(CONFIRM).then()
    given(*PLACED, ONE_MUG, MUG_LESS).when(REFUSE).then()
    refused = LinesCancellationRefused(order_id=ORDER, cancellation_id=ID, reason="already_packed")
    given(*PLACED, ONE_MUG).when(REFUSE).then(refused).leads_to(total=gbp(1_500), wanted={1: 3, 2: 1})
    given(*PLACED).when(CONFIRM).rejected(NO_SUCH_CANCELLATION)
    given(*PLACED).when(REFUSE).rejected(NO_SUCH_CANCELLATION)


def test_what_is_spoken_for_cannot_be_cancelled_twice_and_the_last_of_all_is_the_order() -> None:
    whole = OrderCancellationRequested(order_id=ORDER, reason="too many")
    given(*PLACED, ONE_MUG).when(cancel((1, 3), known=OTHER)).rejected(MORE_THAN_LEFT, left=2, quantity=3)
    given(*PLACED).when(cancel((1, 2), (1, 2))).rejected(MORE_THAN_LEFT, left=3, quantity=4)
    given(*PLACED, ONE_MUG, MUG_LESS).when(cancel((1, 3), known=OTHER)).rejected(MORE_THAN_LEFT, left=2)
    given(*PLACED, ONE_MUG).when(cancel((1, 2), (2, 1), known=OTHER)).then(whole).leads_to(status=CANCELLING)
    given(*PLACED, ONE_MUG, MUG_LESS).when(cancel((1, 2), (2, 1), known=OTHER)).then(whole)
    # What shipping had left out before it stopped the rest, or did not, is left out.
    given(*PLACED, ONE_MUG, whole).when(CONFIRM).then(MUG_LESS).leads_to(status=CANCELLING, total=gbp(1_167))
    given(*PLACED).when(cancel((3, 1))).rejected(NO_SUCH_LINE_TO_CANCEL, line=3)
    given(*PLACED).when(cancel()).rejected(CANCELLATION_EMPTY)
    given(*PLACED, whole).when(cancel((1, 1))).rejected(TOO_LATE_TO_CANCEL, status=CANCELLING)
    refusals: list[Event] = []
    for number in range(MAX_CANCELLATIONS):
        refusals += [
            asked(1, "MUG", 1, uid(number)),
            LinesCancellationRefused(order_id=ORDER, cancellation_id=uid(number), reason="already_packed"),
        ]
    given(*PLACED, *refusals).when(cancel((1, 1), known=uid(500))).rejected(TOO_MANY_CANCELLATIONS)


def test_once_parcels_have_left_only_staff_cancel_the_rest_and_it_may_be_all_that_was_to_come() -> None:
    begun = (*PLACED, dispatched(1, 2))
    given(*begun).when(cancel((2, 1))).rejected(TOO_LATE_TO_CANCEL, status=PARTLY_SHIPPED)
    wish = asked(2, "PEN", 1)
    given(*begun).when(cancel((2, 1), by_staff=True)).then(wish).leads_to(status=PARTLY_SHIPPED)
    # Nothing is left in the second parcel: the first was all of it.
    pen_less = less(2, "PEN", 1, 90, left_out=1)
    emptied = ConfirmLinesCancellation(order_id=ORDER, cancellation_id=ID, left_out=1)
    given(*begun, wish).when(emptied).then(pen_less).leads_to(status=SHIPPED, left_out=1)
    given(*PLACED, wish, pen_less).when(cancel((1, 1), known=OTHER)).then(asked(1, "MUG", 1, OTHER))
    assert given(*PLACED, wish, pen_less, dispatched(1, 2)).state.status == SHIPPED


def test_what_was_invoiced_is_credited_and_what_was_not_is_not_on_the_invoice() -> None:
    refund = RecordOrderRefund(order_id=ORDER, refund_id=ID, amount=gbp(333), corrects=True)
    before = (*PLACED, ONE_MUG, MUG_LESS)
    back = OrderRefunded(order_id=ORDER, refund_id=ID, amount=gbp(333), corrects=True)
    given(*before).when(refund).then(back).leads_to(given_back=0, corrections={})
    assert given(*before, back, dispatched(1, 1)).state.documents_due() == [("INV", None)]
    part = TaxPart(rate=None, gross=gbp(1_500), tax=NOTHING)
    invoiced = InvoiceIssued(
        order_id=ORDER, number="INV-1", amount=gbp(1_500), issued_at=NOW, seller=SELLER, taxes=(part,)
    )
    begun = (*PLACED, ONE_MUG, dispatched(1, 2), invoiced, MUG_LESS, back)
    assert given(*begun).state.documents_due() == [("CN", ID)]
    issue = IssueCreditNote(order_id=ORDER, number="CN-1", refund_id=ID, seller=SELLER, at=NOW)
    [note] = given(*begun).when(issue).events
    assert note.amount == gbp(333)  # type: ignore[attr-defined]


def test_money_given_back_before_is_not_given_back_again() -> None:
    nice = GoodwillGranted(order_id=ORDER, refund_id=OTHER, amount=gbp(1_300), reason="sorry")
    story = (*PLACED, nice, asked(1, "MUG", 2))
    [event] = given(*story).when(CONFIRM).events
    assert isinstance(event, OrderLinesCancelled)
    assert (event.lines[0].amount, event.amount) == (gbp(667), gbp(200))
    # The invoice is for 8.33, and no more than that of the 13.00 is credited.
    paid_back = OrderRefunded(order_id=ORDER, refund_id=OTHER, amount=gbp(1_300), corrects=True)
    state = given(*story, event, paid_back, dispatched(1, 1)).state
    assert (state.total, state.creditable) == (gbp(833), 833)
    assert state.documents_due() == [("INV", None), ("CN", OTHER)]


def test_what_is_cancelled_cannot_come_back_and_what_comes_back_adds_up_to_the_rest() -> None:
    delivered = (*PLACED, ONE_MUG, MUG_LESS, dispatched(1, 1), OrderCompleted(order_id=ORDER))

    def send_back(units: int, number: int = 50) -> ReturnLines:
        return ReturnLines(order_id=ORDER, return_id=uid(number), lines=((1, units),), reason="chipped")

    given(*delivered).when(send_back(3)).rejected(MORE_THAN_BOUGHT, left=2)
    [first] = given(*delivered).when(send_back(1)).events
    [second] = given(*delivered, first).when(send_back(1, 51)).events
    assert isinstance(first, OrderReturned) and isinstance(second, OrderReturned)
    assert first.amount.amount + second.amount.amount == 667
    # What shipping has not answered yet may never have been sent.
    early = (*PLACED, ONE_MUG, dispatched(1, 1), OrderCompleted(order_id=ORDER))
    given(*early).when(send_back(3)).rejected(MORE_THAN_BOUGHT, left=2)


def test_a_lost_parcel_takes_no_units_that_were_never_in_it() -> None:
    twins = tuple(
        OrderLine(line=n, sku="MUG", title="Mug", quantity=1, unit_price=gbp(pence), total=gbp(pence))
        for n, pence in ((1, 500), (2, 300))
    )
    created = replace(CREATED, lines=twins)
    lost = WriteOffParcel(order_id=ORDER, return_id=uid(50), items={"MUG": 1}, restock=False, reason="parcel_lost")
    [event] = given(created, PAID_UP, CONFIRMED_IT, asked(1, "MUG", 1), dispatched(1, 1)).when(lost).events
    assert isinstance(event, OrderReturned)
    assert event.lines == (ReturnedLine(line=2, sku="MUG", quantity=1, amount=gbp(300)),)


def test_a_line_s_discount_and_tax_go_with_its_units() -> None:
    line = OrderLine(
        line=1, sku="MUG", title="Mug", quantity=3, unit_price=gbp(1_000), total=gbp(3_000), discount=gbp(500),
        tax=gbp(50), tax_rate="2",
    )  # fmt: skip
    agreed = Agreement(discount=gbp(500), shipping_discount=NOTHING, tax=gbp(50), tax_inclusive=False)
    created = replace(CREATED, lines=(line,), agreement=agreed, total=gbp(2_960))
    [event] = given(created, OrderPaid(order_id=ORDER, amount=gbp(2_960)), ONE_MUG).when(CONFIRM).events
    assert isinstance(event, OrderLinesCancelled)
    assert event.lines == (
        CancelledLine(line=1, sku="MUG", quantity=1, total=gbp(1_000), discount=gbp(167), tax=gbp(17), amount=gbp(850)),
    )
    after = given(created, ONE_MUG, event).state
    assert (after.agreement.discount, after.agreement.tax, after.total) == (gbp(333), gbp(33), gbp(2_110))


# --- the shipment: three mugs and a cup in the first parcel, a pen in the second -------------------------


def reduce(known: UUID = ID, **units: int) -> ReduceShipment:
    return ReduceShipment(order_id=ORDER_SHIPPED, cancellation_id=known, units=units)


def reduced(*items: Allocation, emptied: tuple[int, ...] = (), known: UUID = ID) -> ShipmentReduced:
    return ShipmentReduced(order_id=ORDER_SHIPPED, cancellation_id=known, items=items, emptied=emptied)


ORDER_SHIPPED = shipping.ORDER
TOO_LATE = ShipmentReductionRefused(order_id=ORDER_SHIPPED, cancellation_id=ID, reason="already_packed")
A_MUG, A_PEN = Allocation("MUG", "NORTH", 1), Allocation("PEN", "SOUTH", 1)


def voided(parcel: int) -> ParcelLabelVoided:
    return ParcelLabelVoided(order_id=ORDER_SHIPPED, parcel=parcel, attempt=1)


def test_units_are_left_out_of_what_is_not_packed_and_its_label_is_not_used() -> None:
    both, labelled, packed = shipping.BOTH, shipping.labelled, shipping.packed
    outcome = given(both, labelled(1)).when(reduce(MUG=1)).then(reduced(A_MUG), voided(1))
    left = outcome.state.parcels[1].parcel.items
    assert left == (Allocation("MUG", "NORTH", 2), Allocation("CUP", "NORTH", 1))
    given(both, labelled(1), reduced(A_MUG), voided(1)).when(reduce(MUG=1)).then()
    given(both, labelled(1), packed(1)).when(reduce(MUG=1)).then(TOO_LATE).leads_to(reductions=frozenset({ID}))
    given(both, labelled(1), packed(1), TOO_LATE).when(reduce(MUG=1)).then()
    # All or nothing.
    given(both, labelled(1), packed(1)).when(reduce(MUG=1, PEN=1)).then(TOO_LATE)
    given(both, shipping.STOPPED).when(reduce(MUG=1)).then()


def test_a_parcel_in_which_nothing_is_left_is_not_sent_and_the_order_may_be_fulfilled_by_that() -> None:
    both, labelled, packed, shipped = shipping.BOTH, shipping.labelled, shipping.packed, shipping.shipped
    none_left = reduced(A_PEN, emptied=(2,))
    state = given(both).when(reduce(PEN=1)).then(none_left).state
    assert state.parcels[2].given_up and state.parcels[2].parcel.items == ()
    there = (both, labelled(1), packed(1), shipped(1), shipping.delivered(1))
    given(*there).when(reduce(PEN=1)).then(none_left, OrderFulfilled(order_id=ORDER_SHIPPED))
    given(*there[:-1]).when(reduce(PEN=1)).then(none_left)


def test_a_wish_may_come_before_there_is_anything_to_leave_out() -> None:
    awaited = ShipmentReductionAwaited(order_id=ORDER_SHIPPED, cancellation_id=ID, units={"MUG": 1})
    given().when(reduce(MUG=1)).then(awaited).leads_to(status=AWAITED)
    given(awaited).when(reduce(MUG=1)).then()
    held = shipping.HoldShipment(order_id=ORDER_SHIPPED, reason="odd")
    given(awaited).when(held).leads_to(status=AWAITED, held=True, awaited={ID: {"MUG": 1}})
    given(awaited).when(shipping.STOP).then(shipping.STOPPED)
    given(awaited).when(shipping.PREPARE).then(shipping.BOTH, reduced(A_MUG)).leads_to(status=PREPARED, awaited={})
    # What was not even reserved is in no parcel, whatever became of those.
    prepare = replace(shipping.PREPARE, without=(ID, OTHER))
    [prepared, answer] = given(awaited).when(prepare).events
    assert answer == reduced()
    packed = (shipping.labelled(1), shipping.packed(1), shipping.shipped(1))
    given(awaited, prepared, answer, *packed).when(reduce(OTHER, MUG=1)).then(reduced(known=OTHER))


# --- the reservation -------------------------------------------------------------------------------------


def test_units_that_are_not_sent_are_free_again_exactly_once() -> None:
    one = Allocation("MUG", "NORTH", 1)
    command = ReduceReservation(order_id=reserving.ORDER, cancellation_id=ID, allocations=(one,))
    freed = ReservationReduced(order_id=reserving.ORDER, cancellation_id=ID, allocations=(one,))
    rest = (Allocation("MUG", "NORTH", 2), reserving.PENS)
    given(reserving.HELD).when(command).then(freed).leads_to(held=rest)
    given(reserving.HELD, freed).when(command).then()
    given(reserving.HELD, freed).when(ReleaseReservation(order_id=reserving.ORDER, reason="cancelled")).then(
        StockReleased(order_id=reserving.ORDER, allocations=rest, reason="cancelled")
    )
    given(reserving.HELD, reserving.GONE_1).when(command).rejected(NOT_HELD)
    nothing = ReduceReservation(order_id=reserving.ORDER, cancellation_id=ID, allocations=())
    less_held = StockReserved(
        order_id=reserving.ORDER, payment_id=reserving.PAYMENT, allocations=(reserving.MUGS,), without=(ID,)
    )
    given(less_held).when(nothing).then()
    given(less_held).when(command).then()


# --- the payment: 15.00 ------------------------------------------------------------------------------------


def give_back(pence: int) -> RequestRefund:
    return RequestRefund(
        order_id=paying.ORDER, refund_id=ID, amount=gbp(pence), reason="cancelled_in_part", from_secured=True
    )


def test_less_is_taken_where_nothing_is_taken_yet_else_it_goes_back() -> None:
    about = {"payment_id": paying.PAYMENT, "order_id": paying.ORDER, "refund_id": ID, "reason": "cancelled_in_part"}
    reduced_ = CaptureReduced(**about, amount=gbp(333))
    held = (paying.ASKED, paying.HELD)
    given(*held).when(give_back(333)).then(reduced_).leads_to(to_take=gbp(1_167), received=1_167, refunds={})
    given(*held, reduced_).when(give_back(333)).then()
    wanted = CaptureRequested(payment_id=paying.PAYMENT, order_id=paying.ORDER)
    given(*held, reduced_).when(RequestCapture(order_id=paying.ORDER)).then(wanted)
    taken = PaymentCaptured(payment_id=paying.PAYMENT, order_id=paying.ORDER, amount=gbp(1_167))
    given(*held, reduced_, wanted).when(paying.CAPTURE).then(taken).leads_to(received=1_167, left=1_167)
    # The whole order comes to nothing afterwards: no more goes back than was taken.
    [closing] = given(*held, reduced_, wanted, taken).when(paying.CANCEL).events
    assert isinstance(closing, RefundRequested) and closing.amount == Money(1_167, "GBP")
    void = VoidRequested(payment_id=paying.PAYMENT, order_id=paying.ORDER, reason="out_of_stock")
    given(*held, reduced_).when(paying.CANCEL).then(void)
    gone = PaymentVoided(payment_id=paying.PAYMENT, order_id=paying.ORDER, reason="out_of_stock")
    given(*held, reduced_, void).when(paying.VOID).then(gone).leads_to(received=0)
    # The provider may be taking it at this moment, has taken it, or cannot take nothing at all.
    for story, pence in (((*held, wanted), 333), ((paying.ASKED, paying.PAID), 333), (held, 1_500)):
        given(*story).when(give_back(pence)).then(RefundRequested(**about, amount=gbp(pence)))


def test_what_waits_for_goods_is_cancelled_whole_or_once_they_are_there() -> None:
    soon = Backordered(sku="MUG", quantity=2, kind="backorder", expected=date(2026, 5, 4))
    waits = OrderBackordered(order_id=ORDER, waiting=(soon,))
    given(CREATED, PAID_UP, waits).when(cancel((1, 1))).rejected(WAITS_FOR_GOODS)
    whole = OrderCancellationRequested(order_id=ORDER, reason="too many")
    given(CREATED, PAID_UP, waits).when(cancel((1, 3), (2, 1))).then(whole)
    # What was not wanted before the order began to wait is left out when its goods have come.
    given(CREATED, PAID_UP, ONE_MUG, waits).when(CONFIRM).then(MUG_LESS).leads_to(status=BACKORDERED)
    began = replace(reserving.WAITS, without=(ID,))
    came = (Allocation("MUG", "SOUTH", 2),)
    [aside, reserved] = given(began).when(SetAside(order_id=ORDER, allocations=came)).events
    assert aside == UnitsSetAside(order_id=ORDER, allocations=came)
    assert isinstance(reserved, StockReserved)
    assert reserved.without == (ID,)
    beyond = replace(reserving.beyond({"MUG": {"NORTH": 1}, "PEN": {"SOUTH": 1}}, MUG=2), without=(ID,))
    given().when(beyond).then(began)
