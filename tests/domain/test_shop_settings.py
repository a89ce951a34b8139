"""What staff can set, and what the shop makes of it."""

import pytest
from msgspec.structs import replace

from emporium.domain.shop_settings import (
    SETTING_WRONG,
    Changes,
    ChangeShopSettings,
    ShippingMethod,
    ShippingRate,
    ShippingZone,
    ShopSettings,
    ShopSettingsChanged,
    TaxRate,
    in_force,
)
from emporium.domain.text import WRONG_SHAPE
from tests.domain.spec import LATER, NOW, given

RATE = ShippingRate(currency="GBP", price=495, below_value=5_000)
POST = ShippingMethod(code="post", name="Post", min_days=2, max_days=4, rates=(RATE,))
HOME = ShippingZone(code="home", name="Home", countries=("GB",), methods=(POST,))
AWAY = ShippingZone(code="away", name="Away", countries=("*",), methods=(POST,))


def change(**values: object) -> ChangeShopSettings:
    return ChangeShopSettings(changes=Changes(**values), at=NOW)  # type: ignore[arg-type]


def changed(**values: object) -> ShopSettingsChanged:
    return ShopSettingsChanged(changes=Changes(**values), at=NOW)  # type: ignore[arg-type]


def test_only_what_changes_is_told() -> None:
    given().when(change(legal_name=" Emporium Ltd ", max_units=5)).then(changed(legal_name="Emporium Ltd", max_units=5))
    given(changed(max_units=5)).when(change(max_units=5, max_items=7)).then(changed(max_items=7))
    given(changed(max_units=5)).when(change(max_units=5)).then()


def test_what_nobody_touched_follows_the_defaults() -> None:
    defaults = ShopSettings(legal_name="Default", max_units=9)
    assert in_force(None, defaults) is defaults
    state = given(changed(max_units=5), changed(vat_id="GB1"), changed(vat_id=None)).state
    assert in_force(state, defaults) == replace(defaults, max_units=5, vat_id=None)
    assert in_force(state, replace(defaults, legal_name="New")).legal_name == "New"
    assert state.changes == 3


def test_a_rate_is_found_from_the_nearest_to_the_farthest() -> None:
    shop = ShopSettings(
        taxes=(
            TaxRate(country="GB", rate="20"),
            TaxRate(country="GB", category="books", rate="0"),
            TaxRate(country="*", category="books", rate="7"),
            TaxRate(country="*", rate="1.5"),
        )
    )
    asked = [("GB", "books"), ("GB", "toys"), ("FR", "books"), ("FR", "toys")]
    assert [shop.tax_rate(*one) for one in asked] == ["0", "20", "7", "1.5"]
    assert ShopSettings().tax_rate("GB", "books") == "0"


def test_a_country_s_own_zone_goes_before_the_rest_of_the_world() -> None:
    shop = ShopSettings(zones=(AWAY, HOME))
    assert (shop.zone("GB"), shop.zone("FR")) == (HOME, AWAY)
    assert ShopSettings(zones=(HOME,)).zone("FR") is None


@pytest.mark.parametrize(
    ("value", "weight", "fits"),
    [(99, 0, False), (100, 0, True), (199, 9, True), (200, 0, False), (150, 10, False)],
)
def test_a_rate_holds_from_one_bound_to_the_other(value: int, weight: int, fits: bool) -> None:
    rate = ShippingRate(currency="GBP", price=1, from_value=100, below_value=200, below_weight=10)
    assert rate.fits("GBP", value, weight) is fits
    assert not rate.fits("EUR", 150, 0)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("max_units", {"max_units": 0}),
        ("cart_days", {"cart_days": 0.0}),
        ("currencies", {"currencies": ()}),
        ("languages", {"languages": ("en", "en")}),
        ("taxes.0.rate", {"taxes": (TaxRate(country="GB", rate="100.1"),)}),
        ("taxes.0.rate", {"taxes": (TaxRate(country="GB", rate="1.23456"),)}),
        ("taxes.0.rate", {"taxes": (TaxRate(country="GB", rate="x"),)}),
        ("taxes.0.rate", {"taxes": (TaxRate(country="GB", rate="NaN"),)}),
        ("taxes.1", {"taxes": (TaxRate(country="GB", rate="1"), TaxRate(country="GB", rate="2"))}),
        ("zones.1.countries.0", {"zones": (HOME, replace(HOME, code="other"))}),
        ("zones", {"zones": (HOME, replace(AWAY, code="home"))}),
        ("zones.0.methods", {"zones": (replace(HOME, methods=()),)}),
        ("zones.0.methods.0.max_days", {"zones": (replace(HOME, methods=(replace(POST, max_days=1),)),)}),
        ("zones.0.methods.0.rates", {"zones": (replace(HOME, methods=(replace(POST, rates=()),)),)}),
        (
            "zones.0.methods.0.rates.0.below_value",
            {"zones": (replace(HOME, methods=(replace(POST, rates=(replace(RATE, from_value=5_000),)),)),)},
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_names_its_place(field: str, wrong: dict[str, object]) -> None:
    given().when(change(**wrong)).rejected(SETTING_WRONG, field=field)


def test_countries_currencies_and_languages_have_their_shape() -> None:
    given().when(change(currencies=("GBP", "pounds"))).rejected(WRONG_SHAPE, field="currencies.1")
    given().when(change(languages=("english",))).rejected(WRONG_SHAPE, field="languages.0")
    given().when(change(zones=(replace(HOME, countries=("UK?",)),))).rejected(WRONG_SHAPE, field="zones.0.countries.0")


def test_a_later_change_is_the_one_that_holds() -> None:
    later = ShopSettingsChanged(changes=Changes(max_units=6), at=LATER)
    state = given(changed(max_units=5), later).state
    assert (state.chosen.max_units, state.at) == (6, LATER)
