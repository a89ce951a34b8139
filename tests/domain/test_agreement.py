"""What was agreed on must add up, and what comes back is refunded as it was paid."""

from msgspec.structs import replace

from emporium.domain.base import AMOUNT_OUT_OF_RANGE
from emporium.domain.order import (
    AGREEMENT_WRONG,
    Agreement,
    OrderCompleted,
    OrderLine,
    PlaceOrder,
    ReturnLines,
    decide,
)
from tests.domain.spec import NOW, gbp, given, uid

LINE = OrderLine(
    line=1, sku="MUG", title="Mug", quantity=3, unit_price=gbp(500), total=gbp(1_500),
    discount=gbp(500), tax=gbp(200), tax_rate="20",
)  # fmt: skip
AGREED = Agreement(
    discount=gbp(500), shipping_discount=gbp(100), tax=gbp(280), shipping_tax=gbp(80), tax_inclusive=False
)


def place(agreement: Agreement = AGREED, line: OrderLine = LINE) -> PlaceOrder:
    return PlaceOrder(
        order_id=uid(1), number="A-1", subject=uid(1), lines=(line,), shipping=gbp(500), country="GB",
        payment_method="pm_ok", at=NOW, agreement=agreement,
    )  # fmt: skip


def test_exclusive_tax_is_added_and_inclusive_tax_is_not() -> None:
    given().when(place()).leads_to(total=gbp(1_500 - 500 + 500 - 100 + 280))
    given().when(place(replace(AGREED, tax_inclusive=True))).leads_to(total=gbp(1_400))


def test_sums_that_do_not_add_up_are_refused() -> None:
    given().when(place(replace(AGREED, discount=gbp(499)))).rejected(AGREEMENT_WRONG, what="discount", found=500)
    given().when(place(replace(AGREED, tax=gbp(281)))).rejected(AGREEMENT_WRONG, what="tax", agreed=281)
    given().when(place(replace(AGREED, shipping_discount=gbp(501)))).rejected(AMOUNT_OUT_OF_RANGE)
    more = replace(LINE, discount=gbp(1_501))
    given().when(place(replace(AGREED, discount=gbp(1_501)), more)).rejected(AMOUNT_OUT_OF_RANGE, amount=1_501)


def test_a_return_refunds_what_was_paid_for_the_line() -> None:
    for inclusive, parts in ((False, (400, 800)), (True, (333, 667))):
        [created] = decide(place(replace(AGREED, tax_inclusive=inclusive)), None)
        delivered = given(created, OrderCompleted(order_id=uid(1)))
        first = ReturnLines(order_id=uid(1), return_id=uid(7), lines=((1, 1),), reason="x")
        events = delivered.when(first).events
        assert events[0].amount == gbp(parts[0])  # type: ignore[attr-defined]
        rest = ReturnLines(order_id=uid(1), return_id=uid(8), lines=((1, 2),), reason="x")
        [returned] = given(created, OrderCompleted(order_id=uid(1)), *events).when(rest).events
        assert returned.amount == gbp(parts[1])  # type: ignore[attr-defined]
