"""Returns give back exactly what was paid: shares add up to the penny, and never to more than the order."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emporium.domain.base import Rejected
from emporium.domain.order import (
    ORDER,
    CompleteOrder,
    GrantGoodwill,
    OrderLine,
    OrderReturned,
    OrderState,
    PlaceOrder,
    ReturnLines,
)
from tests.domain.spec import NOW, gbp, uid

LINES = st.lists(
    st.tuples(st.integers(min_value=1, max_value=12), st.integers(min_value=0, max_value=999)), min_size=1, max_size=4
)


def delivered(lines: list[tuple[int, int]]) -> OrderState:
    """A delivered order whose lines have these units and totals; shipping is a pound."""
    placed = PlaceOrder(
        order_id=uid(1),
        number="A-1",
        subject=uid(2),
        lines=tuple(
            OrderLine(line=n, sku=f"S{n}", title="", quantity=units, unit_price=gbp(pence // units), total=gbp(pence))
            for n, (units, pence) in enumerate(lines, start=1)
        ),
        shipping=gbp(100),
        country="GB",
        payment_method="card",
        at=NOW,
    )
    state = None
    for command in (placed, CompleteOrder(order_id=uid(1))):
        for event in ORDER.decide(command, state):
            state = ORDER.evolve(state, event)
    assert isinstance(state, OrderState)
    return state


@given(
    units=st.integers(min_value=1, max_value=100_000),
    pence=st.integers(min_value=0, max_value=10**12),
    cuts=st.lists(st.floats(min_value=0, max_value=1), max_size=6),
)
def test_the_shares_of_a_line_add_up_to_its_total(units: int, pence: int, cuts: list[float]) -> None:
    edges = sorted({0, units, *(int(cut * units) for cut in cuts)})
    state = delivered([(units, pence)])
    parts = []
    for number, (start, end) in enumerate(pairwise(edges)):
        back = ReturnLines(order_id=uid(1), return_id=uid(100 + number), lines=((1, end - start),), reason="x")
        (event,) = ORDER.decide(back, state)
        assert isinstance(event, OrderReturned)
        assert abs(event.amount.amount * units - pence * (end - start)) <= units
        parts.append(event.amount.amount)
        state = ORDER.evolve(state, event)
    assert sum(parts) == pence and min(parts) >= 0


class ReturnsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.order = delivered([(3, 1_000), (1, 0), (7, 99)])
        self.given_back = 0
        self.refunds: list[object] = []

    @rule(number=st.integers(min_value=1, max_value=6), line=st.integers(1, 4), units=st.integers(0, 8))
    def send_back(self, number: int, line: int, units: int) -> None:
        self.do(ReturnLines(order_id=uid(1), return_id=uid(number), lines=((line, units),), reason="x"))

    @rule(number=st.integers(min_value=4, max_value=9), pence=st.integers(min_value=-5, max_value=600))
    def be_generous(self, number: int, pence: int) -> None:
        self.do(GrantGoodwill(order_id=uid(1), refund_id=uid(number), amount=gbp(pence), reason="x"))

    def do(self, command: ReturnLines | GrantGoodwill) -> None:
        try:
            events = ORDER.decide(command, self.order)
        except Rejected:
            return
        for event in events:
            self.order = ORDER.evolve(self.order, event)
            self.refunds.append(command.return_id if isinstance(command, ReturnLines) else command.refund_id)
            self.given_back += event.amount.amount  # type: ignore[attr-defined]

    @invariant()
    def no_more_goes_back_than_was_paid(self) -> None:
        assert self.given_back == self.order.given_back <= self.order.total.amount

    @invariant()
    def no_more_comes_back_than_was_bought(self) -> None:
        for line in self.order.lines:
            assert 0 <= self.order.returned.get(line.line, 0) <= line.quantity

    @invariant()
    def each_refund_is_owed_once(self) -> None:
        assert len(self.refunds) == len(set(self.refunds))


TestReturns = ReturnsMachine.TestCase
