"""Invoices and credit notes: when they are due, what they say of each tax rate, and the numbers they bear."""

from typing import Any

import pytest
from msgspec.structs import replace

from emporium.domain.base import Event, Money
from emporium.domain.invoice import (
    CREDIT_NOTES,
    INVOICES,
    CreditNoteIssued,
    DocumentNumberTaken,
    InvoiceIssued,
    Seller,
    TakeNumber,
    TaxPart,
    credited,
    document_number,
    numbers_id,
    seller_of,
)
from emporium.domain.order import (
    NOT_INVOICED,
    NOT_REFUNDED,
    Agreement,
    GoodwillGranted,
    IssueCreditNote,
    IssueInvoice,
    OrderRefunded,
    OrderReturned,
    ReturnedLine,
)
from emporium.domain.shop_settings import BusinessAddress, ShopSettings
from tests.domain.spec import LATER, NOW, gbp, given, uid
from tests.domain.test_order import (
    COMPLETED,
    CONFIRMED_IT,
    CREATED,
    MUGS,
    ORDER,
    PAID_UP,
    PENS,
    REQUESTED,
    STOPPED,
    dispatched,
)

SHOP = Seller(legal_name="Kontor GmbH", vat_id="DE123456789", address=("Hafen 1", "20457 Hamburg", "DE"))
REFUND = uid(20)
# The mugs at 20 %, the pens at 0 %, the shipping at 20 %, all prices with their tax; 100 off the mugs.
TAXED = replace(
    CREATED,
    lines=(
        replace(MUGS, discount=gbp(100), tax=gbp(150), tax_rate="20"),
        replace(PENS, tax=gbp(0), tax_rate="0"),
    ),
    total=gbp(1_400),
    agreement=Agreement(
        discount=gbp(100), shipping_discount=gbp(0), tax=gbp(218), shipping_tax=gbp(68), shipping_tax_rate="20"
    ),
)
BY_RATE = (
    TaxPart(rate="20", gross=gbp(1_310), tax=gbp(218)),
    TaxPart(rate="0", gross=gbp(90), tax=gbp(0)),
)
ISSUE = IssueInvoice(order_id=ORDER, number="INV-2024-000001", seller=SHOP, at=NOW)
INVOICE = InvoiceIssued(
    order_id=ORDER, number="INV-2024-000001", amount=gbp(1_400), issued_at=NOW, seller=SHOP, taxes=BY_RATE
)
CREDIT = IssueCreditNote(order_id=ORDER, number="CN-2024-000001", refund_id=REFUND, seller=SHOP, at=LATER)
LEFT = (TAXED, PAID_UP, CONFIRMED_IT, dispatched(1, 2))


def goodwill(pence: int, refund: Any = REFUND) -> tuple[Event, Event]:
    return (
        GoodwillGranted(order_id=ORDER, refund_id=refund, amount=gbp(pence), reason="late"),
        OrderRefunded(order_id=ORDER, refund_id=refund, amount=gbp(pence)),
    )


def test_the_invoice_is_due_with_the_first_parcel_and_says_the_tax_of_each_rate() -> None:
    assert given(*LEFT).state.documents_due() == [(INVOICES, None)]
    given(*LEFT).when(ISSUE).then(INVOICE)
    given(*LEFT, dispatched(2, 2), COMPLETED).when(ISSUE).then(INVOICE)


def test_an_order_has_one_invoice() -> None:
    assert given(*LEFT, INVOICE, dispatched(2, 2)).state.documents_due() == []
    given(*LEFT, INVOICE).when(ISSUE).then()


@pytest.mark.parametrize(
    "history",
    [
        pytest.param((TAXED,), id="not paid"),
        pytest.param((TAXED, PAID_UP, CONFIRMED_IT), id="paid, nothing has left"),
        pytest.param((TAXED, CONFIRMED_IT, dispatched(1, 1)), id="left, the payment is not seen yet"),
        pytest.param((TAXED, PAID_UP, CONFIRMED_IT, REQUESTED, STOPPED), id="cancelled"),
        pytest.param((replace(TAXED, total=gbp(0)), PAID_UP, CONFIRMED_IT, dispatched(1, 1)), id="free"),
        pytest.param((replace(TAXED, channel="import"), *LEFT[1:]), id="of the past"),
    ],
)
def test_there_is_no_invoice_for_what_is_not_sold(history: tuple[Event, ...]) -> None:
    assert given(*history).state.documents_due() == []
    given(*history).when(ISSUE).rejected(NOT_INVOICED)


def test_a_payment_that_is_seen_after_the_parcel_makes_the_invoice_due() -> None:
    assert given(TAXED, CONFIRMED_IT, dispatched(1, 1), PAID_UP).state.documents_due() == [(INVOICES, None)]


def test_what_came_back_is_credited_at_its_own_rate() -> None:
    back = OrderReturned(
        order_id=ORDER, return_id=REFUND, amount=gbp(390), restock=True, reason="chipped",
        lines=(
            ReturnedLine(line=1, sku="MUG", quantity=1, amount=gbp(300)),
            ReturnedLine(line=2, sku="PEN", quantity=1, amount=gbp(90)),
        ),
    )  # fmt: skip
    before = given(*LEFT, INVOICE, COMPLETED, back)
    assert before.state.documents_due() == []
    before.when(CREDIT).rejected(NOT_REFUNDED)
    refunded = OrderRefunded(order_id=ORDER, refund_id=REFUND, amount=gbp(390))
    after = given(*LEFT, INVOICE, COMPLETED, back, refunded)
    assert after.state.documents_due() == [(CREDIT_NOTES, REFUND)]
    note = CreditNoteIssued(
        order_id=ORDER, number="CN-2024-000001", refund_id=REFUND, amount=gbp(390), issued_at=LATER, seller=SHOP,
        corrects="INV-2024-000001",
        taxes=(TaxPart(rate="20", gross=gbp(300), tax=gbp(50)), TaxPart(rate="0", gross=gbp(90), tax=gbp(0))),
    )  # fmt: skip
    after.when(CREDIT).then(note).leads_to(invoice=after.when(CREDIT).state.documents[0])
    given(*LEFT, INVOICE, COMPLETED, back, refunded, note).when(CREDIT).then()


def test_goodwill_is_credited_over_all_rates() -> None:
    [note] = given(*LEFT, INVOICE, *goodwill(700)).when(CREDIT).events
    assert isinstance(note, CreditNoteIssued)
    assert note.taxes == (
        TaxPart(rate="20", gross=gbp(655), tax=gbp(109)),
        TaxPart(rate="0", gross=gbp(45), tax=gbp(0)),
    )


def test_goodwill_before_the_goods_leave_is_credited_once_there_is_an_invoice() -> None:
    early = (TAXED, PAID_UP, CONFIRMED_IT, *goodwill(100))
    assert given(*early).state.documents_due() == []
    given(*early).when(CREDIT).rejected(NOT_INVOICED)
    shipped = given(*early, dispatched(1, 1))
    assert shipped.state.documents_due() == [(INVOICES, None), (CREDIT_NOTES, REFUND)]
    given(*early, dispatched(1, 1), INVOICE).when(CREDIT).leads_to(corrections={REFUND: ()})
    assert given(*early, REQUESTED, STOPPED).state.documents_due() == []


def test_money_that_was_never_owed_for_the_goods_is_no_credit() -> None:
    """A payment that came twice goes back without touching the invoice."""
    twice = given(*LEFT, INVOICE, OrderRefunded(order_id=ORDER, refund_id=REFUND, amount=gbp(1_400)))
    assert twice.state.documents_due() == []
    twice.when(CREDIT).rejected(NOT_REFUNDED)


def test_a_refund_that_staff_made_at_the_payment_is_credited() -> None:
    refunded = OrderRefunded(order_id=ORDER, refund_id=REFUND, amount=gbp(70), corrects=True)
    later = given(*LEFT, INVOICE, refunded)
    assert later.state.documents_due() == [(CREDIT_NOTES, REFUND)]
    [note] = later.when(CREDIT).events
    assert isinstance(note, CreditNoteIssued)
    assert sum(part.gross.amount for part in note.taxes) == note.amount.amount == 70
    # What is known of goods that came back stays known.
    back = OrderReturned(
        order_id=ORDER, return_id=REFUND, amount=gbp(90), restock=True, reason="chipped",
        lines=(ReturnedLine(line=2, sku="PEN", quantity=1, amount=gbp(90)),),
    )  # fmt: skip
    assert given(*LEFT, INVOICE, COMPLETED, back, replace(refunded, amount=gbp(90))).state.corrections == {
        REFUND: ((2, 90),)
    }


def test_tax_that_is_added_is_part_of_what_is_credited() -> None:
    exclusive = replace(
        TAXED,
        total=gbp(1_140),
        agreement=Agreement(
            discount=gbp(100), shipping_discount=gbp(410), tax=gbp(150), tax_inclusive=False, shipping_tax=gbp(0),
            shipping_tax_rate="20",
        ),
    )  # fmt: skip
    [invoice] = given(exclusive, *LEFT[1:]).when(ISSUE).events
    assert isinstance(invoice, InvoiceIssued)
    assert invoice.taxes == (
        TaxPart(rate="20", gross=gbp(1_050), tax=gbp(150)),
        TaxPart(rate="0", gross=gbp(90), tax=gbp(0)),
    )


def test_goods_whose_price_was_given_back_as_goodwill_are_credited_where_something_is_left() -> None:
    invoiced = (TaxPart(rate="20", gross=gbp(120), tax=gbp(20)), TaxPart(rate="0", gross=gbp(120), tax=gbp(0)))
    first = credited(invoiced, (), gbp(120), ())
    assert [part.gross for part in first] == [gbp(60), gbp(60)]
    assert credited(invoiced, first, gbp(120), [("20", 120)]) == first


def test_numbers_of_a_series_and_year_follow_each_other() -> None:
    def taken(count: int) -> DocumentNumberTaken:
        return DocumentNumberTaken(series=INVOICES, year=2024, count=count, order_id=ORDER)

    take = TakeNumber(series=INVOICES, year=2024, order_id=ORDER)
    given().when(take).then(taken(1))
    given(taken(1), taken(2)).when(take).then(taken(3))
    assert document_number(INVOICES, 2024, 17) == "INV-2024-000017"
    assert len({numbers_id(series, year) for series in (INVOICES, CREDIT_NOTES) for year in (2024, 2025)}) == 4


def test_the_seller_is_as_the_shop_s_settings_say() -> None:
    at = BusinessAddress(name="Kontor GmbH", lines=("Hafen 1",), city="Hamburg", postcode="20457", country="DE")
    assert seller_of(ShopSettings(legal_name="Kontor GmbH", vat_id="DE123456789", sender_address=at)) == SHOP
    assert seller_of(ShopSettings()) == Seller(legal_name="Emporium")


def test_a_rate_without_tax_is_said_too() -> None:
    [invoice] = given(CREATED, *LEFT[1:]).when(ISSUE).events
    assert isinstance(invoice, InvoiceIssued)
    assert invoice.taxes == (TaxPart(rate=None, gross=Money(1_500, "GBP"), tax=gbp(0)),)
    assert invoice.taxes[0].net == gbp(1_500)
