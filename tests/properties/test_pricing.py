"""Whatever is sold, to whom and with which codes: the sums add up, and no more is taken off than there is."""

from decimal import ROUND_HALF_UP, Decimal
from uuid import uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from emporium.domain.base import Money
from emporium.domain.order import (
    FULFILLED,
    OrderReturned,
    PlaceOrder,
    ReturnLines,
    paid_for,
)
from emporium.domain.order import decide as decide_order
from emporium.domain.order import evolve as evolve_order
from emporium.domain.pricing import Goods, Item, Offered, Priced, half_up, price, price_goods
from emporium.domain.promotion import Promotion
from emporium.domain.shop_settings import ShippingMethod, ShippingRate, ShopSettings, TaxRate
from tests.domain.spec import NOW

SKUS = ("A", "B", "C", "D")
CLASSES = ("standard", "books")
PERCENTS = st.decimals(0, 100, places=4).map(lambda one: format(one.normalize(), "f"))
AMOUNTS = st.integers(0, 10**6)


@st.composite
def promotions(draw: st.DrawFn) -> Promotion:
    kind = draw(st.sampled_from(["percentage", "fixed", "free_shipping", "buy_x_get_y"]))
    skus = tuple(draw(st.lists(st.sampled_from(SKUS), unique=True, max_size=3)))
    return Promotion(
        name="Off",
        kind=kind,
        percent=draw(PERCENTS) if kind == "percentage" else None,
        amounts=(Money(draw(st.integers(1, 10**6)), "GBP"),) if kind == "fixed" else (),
        buy=draw(st.integers(1, 4)) if kind == "buy_x_get_y" else None,
        get=draw(st.integers(1, 4)) if kind == "buy_x_get_y" else None,
        skus=skus,
    )


@st.composite
def carts(draw: st.DrawFn) -> Goods:
    skus = draw(st.lists(st.sampled_from(SKUS), unique=True, min_size=1))
    items = [
        Item(
            sku=sku,
            title=sku,
            quantity=draw(st.integers(1, 20)),
            unit_price=Money(draw(AMOUNTS), "GBP"),
            tax_class=draw(st.sampled_from(CLASSES)),
            weight=0,
        )
        for sku in skus
    ]
    codes = draw(st.dictionaries(st.sampled_from(["ONE", "TWO", "THREE"]), promotions()))
    return price_goods(items, "GBP", codes)


@st.composite
def sums(draw: st.DrawFn) -> tuple[Goods, Priced]:
    goods = draw(carts())
    settings = ShopSettings(
        prices_include_tax=draw(st.booleans()),
        taxes=tuple(TaxRate(country="GB", category=name, rate=draw(PERCENTS)) for name in (*CLASSES, "shipping")),
    )
    rate = ShippingRate(currency="GBP", price=draw(st.integers(0, 10_000)))
    method = ShippingMethod(code="post", name="Post", min_days=1, max_days=2, rates=(rate,))
    return goods, price(goods, Offered(method=method, rate=rate), "GB", settings)


def place(priced: Priced) -> PlaceOrder:
    order_id = uuid4()
    return PlaceOrder(
        order_id=order_id,
        number="A-1",
        subject=order_id,
        lines=priced.lines,
        shipping=priced.shipping,
        country="GB",
        payment_method="pm_ok",
        at=NOW,
        agreement=priced.agreement((), ShopSettings(), "en"),
    )


@given(sums())
def test_every_total_is_the_sum_of_its_parts(case: tuple[Goods, Priced]) -> None:
    goods, priced = case
    nothing = Money(0, "GBP")
    assert sum(line.total.amount for line in priced.lines) == priced.goods.amount
    assert sum((line.discount or nothing).amount for line in priced.lines) == priced.discount.amount
    assert sum(goods.by_code.values()) == priced.discount.amount
    assert sum(line.tax.amount for line in priced.lines if line.tax) + priced.shipping_tax.amount == priced.tax.amount
    assert all(0 <= (line.discount or nothing).amount <= line.total.amount for line in priced.lines)
    assert 0 <= priced.shipping_discount.amount <= priced.shipping.amount
    paid = priced.goods.amount - priced.discount.amount + priced.shipping.amount - priced.shipping_discount.amount
    assert priced.total.amount == paid + (0 if priced.tax_inclusive else priced.tax.amount)
    if priced.tax_inclusive:
        assert priced.tax.amount <= priced.total.amount


@given(sums())
def test_a_line_s_tax_is_rounded_half_up_once(case: tuple[Goods, Priced]) -> None:
    _, priced = case
    for line in priced.lines:
        assert line.tax is not None and line.tax_rate is not None
        net = Decimal(line.total.amount - (line.discount.amount if line.discount else 0))
        rate = Decimal(line.tax_rate)
        exact = net * rate / (100 + rate if priced.tax_inclusive else 100)
        assert line.tax.amount == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(sums())
def test_the_order_accepts_the_sums_and_makes_the_same_total(case: tuple[Goods, Priced]) -> None:
    _, priced = case
    [created] = decide_order(place(priced), None)
    assert created.total == priced.total  # type: ignore[attr-defined]


@given(sums(), st.data())
def test_whatever_comes_back_in_parts_is_refunded_as_it_was_paid(
    case: tuple[Goods, Priced], data: st.DataObject
) -> None:
    _, priced = case
    command = place(priced)
    state = evolve_order(None, decide_order(command, None)[0])
    state = msgspec.structs.replace(state, status=FULFILLED)
    back = 0
    for line in priced.lines:
        left = line.quantity
        while left:
            units = data.draw(st.integers(1, left))
            left -= units
            take = ReturnLines(order_id=state.order_id, return_id=uuid4(), lines=((line.line, units),), reason="back")
            [returned] = decide_order(take, state)
            assert isinstance(returned, OrderReturned)
            assert returned.amount.amount >= 0
            back += returned.amount.amount
            state = evolve_order(state, returned)
    assert back == sum(paid_for(line, command.agreement).amount for line in priced.lines)
    shipping = priced.shipping.amount - priced.shipping_discount.amount
    assert back == priced.total.amount - shipping - (0 if priced.tax_inclusive else priced.shipping_tax.amount)


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_half_up_is_the_nearest_and_of_two_the_larger(numerator: int, denominator: int) -> None:
    exact = Decimal(numerator) / Decimal(denominator)
    assert abs(Decimal(half_up(numerator, denominator)) - exact) <= Decimal("0.5") + Decimal("1e-12")
    assert half_up(1, 2) == 1
    assert half_up(2 * numerator + 1, 2) == numerator + 1
