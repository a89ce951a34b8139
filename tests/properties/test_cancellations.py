"""Whatever is cancelled before and comes back after: the order adds up at every step, and never gives back too much."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emporium.domain.base import Command, Event, Rejected
from emporium.domain.cancellations import (
    CancelLines,
    ConfirmLinesCancellation,
    OrderLinesCancelled,
    RefuseLinesCancellation,
)
from emporium.domain.invoice import CreditNoteIssued, InvoiceIssued, Seller
from emporium.domain.order import (
    ORDER,
    Agreement,
    CompleteOrder,
    GoodwillGranted,
    GrantGoodwill,
    IssueCreditNote,
    IssueInvoice,
    OrderCancellationRequested,
    OrderLine,
    OrderReturned,
    OrderState,
    PlaceOrder,
    RecordDispatch,
    RecordOrderRefund,
    RecordPayment,
    RecordReservation,
    ReturnLines,
    paid_for,
    taxes_of,
)
from tests.domain.spec import NOW, gbp, uid

ID = uid(1)
LINES = st.lists(
    st.tuples(st.integers(1, 7), st.integers(0, 999), st.integers(0, 100), st.integers(0, 99)), min_size=1, max_size=4
)


def placed(lines: list[tuple[int, int, int, int]], *, inclusive: bool) -> OrderState:
    """An order of lines of (units, pence, percent off, pence of tax); its shipping is a pound."""
    made = []
    for n, (units, pence, off, tax) in enumerate(lines, start=1):
        discount = pence * off // 100
        made.append(
            OrderLine(
                line=n, sku=f"S{n}", title="", quantity=units, unit_price=gbp(pence // units), total=gbp(pence),
                discount=gbp(discount) if off else None, tax=gbp(min(tax, pence - discount)), tax_rate=str(n % 3),
            )
        )  # fmt: skip
    agreed = Agreement(
        discount=gbp(sum(one.discount.amount for one in made if one.discount is not None)),
        shipping_discount=gbp(0),
        tax=gbp(sum(one.tax.amount for one in made if one.tax is not None)),
        tax_inclusive=inclusive,
    )
    place = PlaceOrder(
        order_id=ID, number="A-1", subject=uid(2), lines=tuple(made), shipping=gbp(100), country="GB",
        payment_method="card", at=NOW, agreement=agreed,
    )  # fmt: skip
    [created] = ORDER.decide(place, None)
    return ORDER.evolve(None, created)


def adds_up(state: OrderState) -> None:
    agreed = state.agreement
    assert agreed is not None
    assert sum(paid_for(line, agreed).amount for line in state.lines) + 100 == state.total.amount
    assert agreed.discount.amount == sum(one.discount.amount for one in state.lines if one.discount is not None)
    assert agreed.tax.amount == sum(one.tax.amount for one in state.lines if one.tax is not None)
    assert sum(part.gross.amount for part in taxes_of(state.lines, state.shipping, agreed)) == state.total.amount
    for line in state.lines:
        assert 0 <= (gbp(0) if line.discount is None else line.discount).amount <= line.total.amount
        assert line.tax is not None and line.tax.amount >= 0
        assert line.quantity > 0 or (line.total.amount, line.tax.amount) == (0, 0)


@given(LINES, st.booleans(), st.data())
def test_what_is_cancelled_unit_by_unit_comes_to_what_it_cost(
    lines: list[tuple[int, int, int, int]], inclusive: bool, data: st.DataObject
) -> None:
    state = placed([*lines, (1, 50, 0, 5)], inclusive=inclusive)
    whole = state.total.amount
    units = data.draw(st.permutations([n for n, (count, *_) in enumerate(lines, 1) for _ in range(count)]))
    gone = 0
    for number, line in enumerate(units):
        for command in (
            CancelLines(order_id=ID, cancellation_id=uid(number), lines=((line, 1),), reason="x"),
            ConfirmLinesCancellation(order_id=ID, cancellation_id=uid(number)),
        ):
            for event in ORDER.decide(command, state):
                state = ORDER.evolve(state, event)
                if isinstance(event, OrderLinesCancelled):
                    assert 0 <= event.amount.amount == sum(one.amount.amount for one in event.lines)
                    gone += event.amount.amount
        adds_up(state)
    assert gone == whole - state.total.amount
    assert state.total.amount == 150 + (0 if inclusive else 5)


class CancellationsMachine(RuleBasedStateMachine):
    """One order that everybody is at: cancelled in part, shipped, given back out of goodwill, returned, invoiced."""

    def __init__(self) -> None:
        super().__init__()
        self.order: OrderState | None = None
        self.paid = self.back = 0
        self.seen = 0

    @initialize(lines=LINES, inclusive=st.booleans())
    def place(self, lines: list[tuple[int, int, int, int]], inclusive: bool) -> None:
        self.order = placed(lines, inclusive=inclusive)
        self.paid = self.order.total.amount
        self.do(RecordPayment(order_id=ID, amount=self.order.total), RecordReservation(order_id=ID))

    def do(self, *commands: Command) -> list[Event]:
        made: list[Event] = []
        assert self.order is not None
        for command in commands:
            try:
                events = ORDER.decide(command, self.order)
            except Rejected:
                continue
            for event in events:
                if isinstance(event, OrderCancellationRequested):
                    return made  # all of it: another story
                self.order = ORDER.evolve(self.order, event)
                made.append(event)
                if isinstance(event, OrderLinesCancelled | OrderReturned | GoodwillGranted):
                    self.back += event.amount.amount
        return made

    @rule(number=st.integers(1, 6), line=st.integers(1, 4), units=st.integers(1, 7))
    def ask(self, number: int, line: int, units: int) -> None:
        wish = CancelLines(order_id=ID, cancellation_id=uid(number), lines=((line, units),), reason="x", by_staff=True)
        self.do(wish)

    @rule(number=st.integers(1, 6), refused=st.booleans())
    def answer(self, number: int, refused: bool) -> None:
        if refused:
            self.do(RefuseLinesCancellation(order_id=ID, cancellation_id=uid(number), reason="x"))
        else:
            self.do(ConfirmLinesCancellation(order_id=ID, cancellation_id=uid(number)))

    @rule(parcel=st.integers(1, 2))
    def ship(self, parcel: int) -> None:
        self.do(
            RecordDispatch(order_id=ID, parcel=parcel, of=2, carrier="c", tracking_number="t", tracking_url="u"),
        )
        self.books()

    @rule()
    def deliver(self) -> None:
        self.do(CompleteOrder(order_id=ID))

    @rule(number=st.integers(20, 24), line=st.integers(1, 4), units=st.integers(1, 7))
    def send_back(self, number: int, line: int, units: int) -> None:
        self.do(ReturnLines(order_id=ID, return_id=uid(number), lines=((line, units),), reason="x"))

    @rule(number=st.integers(30, 32), pence=st.integers(1, 600))
    def be_generous(self, number: int, pence: int) -> None:
        self.do(GrantGoodwill(order_id=ID, refund_id=uid(number), amount=gbp(pence), reason="x"))

    @rule()
    def books(self) -> None:
        """The money goes back, and what is due is issued."""
        assert self.order is not None
        for refund_id, amount in list(self.order.refunds.items()):
            if amount > 0:
                self.do(RecordOrderRefund(order_id=ID, refund_id=refund_id, amount=gbp(amount), corrects=True))
        seller = Seller(legal_name="Shop")
        for series, refund_id in self.order.documents_due():
            self.seen += 1
            about: dict[str, Any] = {"order_id": ID, "number": f"{series}-{self.seen}", "seller": seller, "at": NOW}
            issue = IssueInvoice(**about) if refund_id is None else IssueCreditNote(**about, refund_id=refund_id)
            [event] = self.do(issue)
            assert isinstance(event, InvoiceIssued | CreditNoteIssued)
            assert event.amount.amount == sum(part.gross.amount for part in event.taxes) > 0
        assert self.order.documents_due() == []

    @invariant()
    def the_order_adds_up(self) -> None:
        if self.order is not None:
            adds_up(self.order)

    @invariant()
    def no_more_goes_back_than_was_paid(self) -> None:
        assert 0 <= self.back <= self.paid

    @invariant()
    def no_more_is_cancelled_or_comes_back_than_there_is(self) -> None:
        for line in () if self.order is None else self.order.lines:
            assert self.order is not None
            assert 0 <= self.order.returned.get(line.line, 0) <= self.order.wanted[line.line] <= line.quantity

    @invariant()
    def credit_notes_take_back_no_more_than_the_invoice(self) -> None:
        if self.order is not None and self.order.invoice is not None:
            assert self.order.creditable >= 0
            for part in self.order.invoice.taxes:
                notes = [one for note in self.order.documents[1:] for one in note.taxes if one.rate == part.rate]
                assert 0 <= sum(one.gross.amount for one in notes) <= part.gross.amount


TestCancellations = CancellationsMachine.TestCase
