"""Whatever comes back in whatever order: credit notes add up, and no rate gives back more than was invoiced at it."""

from hypothesis import given
from hypothesis import strategies as st

from emporium.domain.base import Money
from emporium.domain.invoice import TaxPart, by_rate, credited

RATES = ("20", "5.5", "0", None)


def gbp(pence: int) -> Money:
    return Money(pence, "GBP")


@st.composite
def invoices(draw: st.DrawFn) -> tuple[TaxPart, ...]:
    lines = draw(st.lists(st.tuples(st.sampled_from(RATES), st.integers(0, 500), st.integers(0, 500)), min_size=1))
    return by_rate((rate, gbp(gross), gbp(min(gross, tax))) for rate, gross, tax in lines)


@given(invoices(), st.data())
def test_credit_notes_take_back_the_invoice_and_not_more(invoice: tuple[TaxPart, ...], data: st.DataObject) -> None:
    left = sum(part.gross.amount for part in invoice)
    said: list[TaxPart] = []
    while left:
        amount = data.draw(st.integers(1, left))
        came = data.draw(st.lists(st.tuples(st.sampled_from(RATES), st.integers(0, amount)), max_size=3))
        note = credited(invoice, said, gbp(amount), came)
        assert sum(part.gross.amount for part in note) == amount
        said += note
        left -= amount
        for part in invoice:
            gross = sum(one.gross.amount for one in said if one.rate == part.rate)
            tax = sum(one.tax.amount for one in said if one.rate == part.rate)
            assert 0 <= gross <= part.gross.amount
            assert 0 <= tax <= part.tax.amount
    assert set(by_rate((one.rate, one.gross, one.tax) for one in said)) == set(invoice)
