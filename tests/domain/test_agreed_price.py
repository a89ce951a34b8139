"""Prices agreed at order entry: decimal text of the currency itself, whatever its minor unit is."""

import pytest

from emporium.domain.amounts import money
from emporium.domain.base import Money
from emporium.domain.pricing import Item, rounded


@pytest.mark.parametrize(
    ("price", "currency", "one", "three", "written"),
    [
        ("3.335", "GBP", 334, 1_001, "£10.01"),
        ("500", "JPY", 500, 1_500, "JPY\N{NO-BREAK SPACE}1,500"),
        ("0.5", "JPY", 1, 2, "JPY\N{NO-BREAK SPACE}2"),
        ("1.2345", "KWD", 1_235, 3_704, "KWD\N{NO-BREAK SPACE}3.704"),
    ],
)
def test_an_agreed_price_is_in_the_currencys_own_units(
    price: str, currency: str, one: int, three: int, written: str
) -> None:
    shown = rounded(price, currency)
    item = Item(
        sku="MUG", title="Mug", quantity=3, unit_price=shown, tax_class="standard", weight=0, agreed_price=price
    )
    assert (shown, item.total) == (Money(one, currency), three)
    assert money(Money(item.total, currency), "en") == written
