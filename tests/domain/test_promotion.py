"""What a coupon code may say, and what it takes off."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from emporium.domain.base import AMOUNT_OUT_OF_RANGE, Money
from emporium.domain.pricing import Item, price_goods, why_not
from emporium.domain.promotion import (
    NO_SUCH_PROMOTION,
    PROMOTION_EXISTS,
    PROMOTION_WRONG,
    ChangePromotion,
    CreatePromotion,
    EndPromotion,
    Promotion,
    PromotionChanged,
    PromotionCreated,
    PromotionEnded,
    code_of,
)
from emporium.domain.shop_settings import SETTING_WRONG
from emporium.domain.text import WRONG_SHAPE
from tests.domain.spec import LATER, NOW, gbp, given

TENTH = Promotion(name="Ten off", kind="percentage", percent="10")
FIVER = Promotion(name="A fiver off", kind="fixed", amounts=(gbp(500),))
POST = Promotion(name="Post for nothing", kind="free_shipping")
THREE = Promotion(name="Three for two", kind="buy_x_get_y", buy=2, get=1)
CREATED = PromotionCreated(code="TENTH", promotion=TENTH, at=NOW)
ENDED = PromotionEnded(code="TENTH", at=NOW)


def item(sku: str, quantity: int, pence: int) -> Item:
    return Item(sku=sku, title=sku, quantity=quantity, unit_price=gbp(pence), tax_class="standard", weight=0)


def off(*items: Item, **codes: Promotion) -> list[int]:
    return list(price_goods(items, "GBP", codes).discounts)


def test_a_code_is_the_same_however_it_is_typed() -> None:
    assert code_of(" summer-24 ") == "SUMMER-24"
    given().when(CreatePromotion(code="tenth", promotion=TENTH, at=NOW)).then(CREATED)
    given(CREATED).when(CreatePromotion(code="Tenth", promotion=FIVER, at=NOW)).rejected(PROMOTION_EXISTS)
    given().when(CreatePromotion(code="a b", promotion=TENTH, at=NOW)).rejected(WRONG_SHAPE)


def test_change_end_and_begin_again() -> None:
    changed = PromotionChanged(code="TENTH", promotion=FIVER, at=LATER)
    given(CREATED).when(ChangePromotion(code="TENTH", promotion=FIVER, at=LATER)).then(changed)
    given(CREATED).when(ChangePromotion(code="TENTH", promotion=TENTH, at=LATER)).then()
    given(CREATED).when(EndPromotion(code="TENTH", at=NOW)).then(ENDED)
    given(CREATED, ENDED).when(EndPromotion(code="TENTH", at=NOW)).then()
    given(CREATED, ENDED).when(ChangePromotion(code="TENTH", promotion=TENTH, at=NOW)).then(
        PromotionChanged(code="TENTH", promotion=TENTH, at=NOW)
    )
    given().when(EndPromotion(code="TENTH", at=NOW)).rejected(NO_SUCH_PROMOTION)
    assert given(CREATED, ENDED).state.active("TENTH", NOW) is None
    assert given(CREATED, ENDED, changed).state.active("TENTH", NOW) == FIVER


def test_a_promotion_holds_from_its_beginning_to_its_end() -> None:
    day = timedelta(days=1)
    state = given(
        PromotionCreated(code="NOW", promotion=replace(TENTH, starts_at=NOW, ends_at=NOW + day), at=NOW)
    ).state
    moments = (NOW - day, NOW, NOW + day)
    assert [state.active("NOW", at) is not None for at in moments] == [False, True, False]
    assert state.active("OTHER", NOW) is None


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kind", replace(POST, kind="gift")),
        ("percent", replace(TENTH, percent=None)),
        ("amounts", replace(TENTH, amounts=(gbp(1),))),
        ("amounts", replace(FIVER, amounts=())),
        ("get", replace(THREE, get=None)),
        ("buy", replace(THREE, buy=0)),
        ("limit", replace(TENTH, limit=0)),
        ("per_customer", replace(TENTH, per_customer=0)),
        ("ends_at", replace(TENTH, starts_at=LATER, ends_at=NOW)),
        ("minimum.1", replace(TENTH, minimum=(gbp(1), gbp(2)))),
    ],
)
def test_what_makes_no_sense_is_named(field: str, wrong: Promotion) -> None:
    given().when(CreatePromotion(code="X", promotion=wrong, at=NOW)).rejected(PROMOTION_WRONG, field=field)


def test_amounts_and_percentages_have_bounds() -> None:
    nothing = CreatePromotion(code="X", promotion=replace(FIVER, amounts=(gbp(0),)), at=NOW)
    given().when(nothing).rejected(AMOUNT_OUT_OF_RANGE)
    all_of_it = CreatePromotion(code="X", promotion=replace(TENTH, percent="101"), at=NOW)
    given().when(all_of_it).rejected(SETTING_WRONG, field="percent")


def test_a_percentage_is_rounded_once_and_shared_out() -> None:
    assert off(item("A", 1, 333), item("B", 1, 333), item("C", 1, 339), X=TENTH) == [33, 34, 34]
    assert off(item("A", 1, 5), X=TENTH) == [1]
    assert off(item("A", 1, 999), item("B", 1, 1_000), X=replace(TENTH, skus=("B",))) == [0, 100]


def test_a_fixed_amount_takes_off_no_more_than_there_is() -> None:
    assert off(item("A", 1, 300), item("B", 1, 100), X=FIVER) == [300, 100]
    assert off(item("A", 3, 300), item("B", 1, 600), X=FIVER) == [300, 200]


def test_of_every_three_the_cheapest_is_free() -> None:
    assert off(item("A", 1, 900), item("B", 2, 500), X=THREE) == [0, 500]
    assert off(item("A", 3, 900), item("B", 3, 500), X=THREE) == [0, 1_000]
    assert off(item("A", 2, 900), X=THREE) == [0]


def test_several_codes_go_one_after_the_other_whatever_their_order() -> None:
    goods = price_goods((item("A", 3, 1_000),), "GBP", {"FIVER": FIVER, "POST": POST, "TENTH": TENTH, "THREE": THREE})
    assert goods.by_code == {"THREE": 1_000, "TENTH": 200, "FIVER": 500, "POST": 0}
    assert (goods.value, goods.free_shipping) == (1_300, "POST")


def test_why_a_code_takes_nothing_off() -> None:
    cart = (item("A", 2, 1_000),)
    assert why_not(TENTH, cart, "GBP", 1) is None
    assert why_not(replace(TENTH, combinable=False), cart, "GBP", 1) is None
    assert why_not(replace(TENTH, combinable=False), cart, "GBP", 2) == "not_combinable"
    assert why_not(replace(TENTH, skus=("B",)), cart, "GBP", 1) == "nothing_it_is_for"
    assert why_not(replace(TENTH, minimum=(gbp(2_000),)), cart, "GBP", 1) is None
    assert why_not(replace(TENTH, minimum=(gbp(2_001),)), cart, "GBP", 1) == "minimum_not_reached"
    assert why_not(replace(TENTH, minimum=(Money(1, "EUR"),)), cart, "GBP", 1) == "not_in_this_currency"
    assert why_not(FIVER, cart, "EUR", 1) == "not_in_this_currency"
    assert why_not(THREE, cart, "GBP", 1) == "too_few_units"
