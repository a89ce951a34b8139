"""What a product does."""

from typing import Any

import msgspec
import pytest

from emporium.domain.base import AMOUNT_OUT_OF_RANGE, MAX_AMOUNT, Command, Event, Money
from emporium.domain.product import (
    ARCHIVED,
    DESCRIPTION_MOST,
    DRAFT,
    DUPLICATE_OPTION,
    LAST_VARIANT,
    MAX_ATTRIBUTES,
    MAX_IMAGES,
    MAX_NUMBER,
    MAX_OPTIONS,
    MAX_VARIANTS,
    NO_SUCH_PRODUCT,
    NO_SUCH_VARIANT,
    NOTHING_TO_SELL,
    NUMBER_OUT_OF_RANGE,
    OPTIONS_IN_USE,
    PRODUCT_ARCHIVED,
    PRODUCT_EXISTS,
    PUBLISHED,
    TITLE_MOST,
    TOO_MANY,
    VARIANT_EXISTS,
    WRONG_OPTIONS,
    AddVariant,
    ArchiveProduct,
    ChangePrice,
    CreateProduct,
    Image,
    PriceChanged,
    ProductArchived,
    ProductCreated,
    ProductPublished,
    ProductUpdated,
    PublishProduct,
    RemoveVariant,
    UpdateProduct,
    VariantAdded,
    VariantRemoved,
    product_id_of,
)
from emporium.domain.text import TEXT_LENGTH, TEXT_NOT_PLAIN, WRONG_SHAPE
from tests.domain.spec import gbp, given, uid

ID, CATEGORY = uid(1), uid(2)
PICTURE = Image(url="/images/mug.png", alt="A red mug", width=640, height=480)


def create(**changes: Any) -> CreateProduct:
    fields: dict[str, Any] = {"product_id": ID, "title": "Mug", "slug": "mug"}
    return CreateProduct(**(fields | changes))


def update(**changes: Any) -> UpdateProduct:
    return UpdateProduct(product_id=ID, **changes)


def add(sku: str, **options: str) -> AddVariant:
    return AddVariant(product_id=ID, sku=sku, options=options)


def added(sku: str, **options: str) -> VariantAdded:
    return VariantAdded(product_id=ID, sku=sku, options=options)


def price(sku: str, amount: int, currency: str = "GBP") -> ChangePrice:
    return ChangePrice(product_id=ID, sku=sku, price=Money(amount, currency))


def priced(sku: str, pence: int, before: int | None = None) -> PriceChanged:
    previous = None if before is None else gbp(before)
    return PriceChanged(product_id=ID, sku=sku, price=gbp(pence), previous=previous)


CREATED = ProductCreated(product_id=ID, title="Mug", slug="mug")
COLOURED = ProductCreated(product_id=ID, title="Mug", slug="mug", options=("colour",))
ONE = added("MUG-1")
PRICE = priced("MUG-1", 250)
PUBLISH, ARCHIVE = PublishProduct(product_id=ID), ArchiveProduct(product_id=ID)
SHOWN, HIDDEN = ProductPublished(product_id=ID), ProductArchived(product_id=ID)

STATES: dict[str, tuple[Event, ...]] = {
    DRAFT: (CREATED, ONE, PRICE),
    PUBLISHED: (CREATED, ONE, PRICE, SHOWN),
    ARCHIVED: (CREATED, ONE, PRICE, SHOWN, HIDDEN),
}


@pytest.mark.parametrize("status", STATES)
def test_every_status_is_reached_by_its_story(status: str) -> None:
    assert given(*STATES[status]).state.status == status


# --- description -----------------------------------------------------------------------------------


def test_a_product_is_created_as_a_draft() -> None:
    given().when(create()).then(CREATED).leads_to(status=DRAFT, variants={})
    given(CREATED).when(create()).rejected(PRODUCT_EXISTS, title="Mug")


def test_everything_that_can_be_told_of_it() -> None:
    told = create(
        title="  Mug ",
        description="Holds tea.\n\nAlso coffee.",
        brand="Potter",
        category_id=CATEGORY,
        tax_class="reduced",
        options=("colour", "size"),
        attributes={"material": "clay", "weight_g": 310, "volume_l": 0.3, "dishwasher": True},
        images=(PICTURE,),
    )
    given().when(told).then(
        ProductCreated(
            product_id=ID,
            title="Mug",
            slug="mug",
            description="Holds tea.\n\nAlso coffee.",
            brand="Potter",
            category_id=CATEGORY,
            tax_class="reduced",
            options=("colour", "size"),
            attributes={"material": "clay", "weight_g": 310, "volume_l": 0.3, "dishwasher": True},
            images=(PICTURE,),
        )
    )


def test_an_attribute_keeps_its_type_in_the_log() -> None:
    values = {"text": "1", "whole": 1, "part": 1.5, "yes": True}
    event = ProductCreated(product_id=ID, title="Mug", slug="mug", attributes=values)
    stored = msgspec.json.decode(msgspec.json.encode(event), type=ProductCreated).attributes
    assert {name: type(value) for name, value in stored.items()} == {
        "text": str,
        "whole": int,
        "part": float,
        "yes": bool,
    }


def test_an_update_carries_only_what_changes() -> None:
    updated = ProductUpdated(product_id=ID, title="Cup")
    given(CREATED).when(update(title="Cup", slug="mug", brand=None)).then(updated).leads_to(title="Cup", slug="mug")
    assert set(msgspec.json.decode(msgspec.json.encode(updated))) == {"product_id", "title"}
    given(CREATED).when(update(title="Mug")).then()
    given(CREATED).when(update()).then()


def test_what_is_optional_can_be_taken_away() -> None:
    branded = ProductUpdated(product_id=ID, brand="Potter", category_id=CATEGORY)
    bare = ProductUpdated(product_id=ID, brand=None, category_id=None)
    given(CREATED, branded).when(update(brand=None, category_id=None)).then(bare).leads_to(brand=None)


BAD: list[tuple[dict[str, Any], Any]] = [
    ({"title": "  "}, TEXT_LENGTH),
    ({"title": "x" * (TITLE_MOST + 1)}, TEXT_LENGTH),
    ({"title": "Mu\x00g"}, TEXT_NOT_PLAIN),
    ({"title": "Two\nlines"}, TEXT_NOT_PLAIN),
    ({"title": "\ud800"}, TEXT_NOT_PLAIN),
    ({"slug": "Mug"}, WRONG_SHAPE),
    ({"slug": "-mug"}, WRONG_SHAPE),
    ({"slug": ""}, WRONG_SHAPE),
    ({"description": "x" * (DESCRIPTION_MOST + 1)}, TEXT_LENGTH),
    ({"description": "bell\x07"}, TEXT_NOT_PLAIN),
    ({"brand": ""}, TEXT_LENGTH),
    ({"tax_class": "zero rated"}, WRONG_SHAPE),
    ({"options": ("colour", "colour ")}, DUPLICATE_OPTION),
    ({"options": tuple(f"o{n}" for n in range(MAX_OPTIONS + 1))}, TOO_MANY),
    ({"attributes": {f"a{n}": 1 for n in range(MAX_ATTRIBUTES + 1)}}, TOO_MANY),
    ({"attributes": {"": "x"}}, TEXT_LENGTH),
    ({"attributes": {"a": ""}}, TEXT_LENGTH),
    ({"attributes": {"a": float("nan")}}, NUMBER_OUT_OF_RANGE),
    ({"attributes": {"a": float("-inf")}}, NUMBER_OUT_OF_RANGE),
    ({"attributes": {"a": MAX_NUMBER + 1}}, NUMBER_OUT_OF_RANGE),
    ({"attributes": {"a": 10**400}}, NUMBER_OUT_OF_RANGE),
    ({"images": (PICTURE,) * (MAX_IMAGES + 1)}, TOO_MANY),
    ({"images": (msgspec.structs.replace(PICTURE, url="javascript:alert(1)"),)}, WRONG_SHAPE),
    ({"images": (msgspec.structs.replace(PICTURE, url="/a b.png"),)}, WRONG_SHAPE),
    ({"images": (msgspec.structs.replace(PICTURE, alt="\x00"),)}, TEXT_NOT_PLAIN),
    ({"images": (msgspec.structs.replace(PICTURE, width=0),)}, NUMBER_OUT_OF_RANGE),
    ({"images": (msgspec.structs.replace(PICTURE, height=20_001),)}, NUMBER_OUT_OF_RANGE),
]


@pytest.mark.parametrize(("fields", "reason"), BAD, ids=[f"{n}-{next(iter(f))}" for n, (f, _) in enumerate(BAD)])
def test_what_cannot_be_told(fields: dict[str, Any], reason: Any) -> None:
    given().when(create(**fields)).rejected(reason)
    given(CREATED).when(update(**fields)).rejected(reason)


# --- variants --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sku", ["85123A", "15056BL", "gift_0001_20", "DCGS0076", "POST", "m", "a.b-c_d", "x" * 64])
def test_skus_are_real_stock_codes(sku: str) -> None:
    given(CREATED).when(add(sku)).then(added(sku))


@pytest.mark.parametrize("sku", ["", "BANK CHARGES", "x" * 65, "-1", ".", "..", "a/b", "ä", "a\x00", "a\n"])
def test_nothing_else_is_a_sku(sku: str) -> None:
    given(CREATED).when(add(sku)).rejected(WRONG_SHAPE, field="sku")


def test_variants_differ_by_the_products_options() -> None:
    given(COLOURED).when(add("MUG-R", colour=" red ")).then(added("MUG-R", colour="red"))
    given(COLOURED).when(add("MUG-R")).rejected(WRONG_OPTIONS, needed=["colour"], given=[])
    given(COLOURED).when(add("MUG-R", colour="red", size="L")).rejected(WRONG_OPTIONS)
    given(COLOURED).when(add("MUG-R", colour="")).rejected(TEXT_LENGTH, field="colour")
    given(COLOURED, added("MUG-R", colour="red")).when(add("MUG-X", colour="red")).rejected(VARIANT_EXISTS, sku="MUG-R")
    given(CREATED, ONE).when(add("MUG-2")).rejected(VARIANT_EXISTS, sku="MUG-1")


def test_adding_a_variant_again_changes_nothing_unless_it_is_another() -> None:
    given(CREATED, ONE).when(add("MUG-1")).then()
    given(COLOURED, added("MUG-R", colour="red")).when(add("MUG-R", colour="blue")).rejected(VARIANT_EXISTS)


def test_a_product_has_only_so_many_variants() -> None:
    many = [added(f"MUG-{n}", colour=f"c{n}") for n in range(MAX_VARIANTS)]
    given(COLOURED, *many).when(add("MUG-X", colour="x")).rejected(TOO_MANY, what="variants", most=MAX_VARIANTS)


def test_options_are_fixed_while_there_are_variants() -> None:
    given(COLOURED).when(update(options=("shade",))).then(ProductUpdated(product_id=ID, options=("shade",)))
    given(COLOURED, added("MUG-R", colour="red")).when(update(options=("shade",))).rejected(OPTIONS_IN_USE, variants=1)
    given(COLOURED, added("MUG-R", colour="red")).when(update(options=("colour",))).then()


def test_a_variant_can_be_removed_but_not_the_last_that_sells() -> None:
    gone = VariantRemoved(product_id=ID, sku="MUG-1")
    remove = RemoveVariant(product_id=ID, sku="MUG-1")
    given(*STATES[DRAFT]).when(remove).then(gone).leads_to(variants={})
    given(*STATES[PUBLISHED]).when(remove).rejected(LAST_VARIANT, sku="MUG-1")
    given(CREATED).when(remove).rejected(NO_SUCH_VARIANT, sku="MUG-1")
    red, blue = added("MUG-1", colour="red"), added("MUG-2", colour="blue")
    given(COLOURED, red, PRICE, blue, SHOWN).when(remove).rejected(LAST_VARIANT)
    given(COLOURED, red, PRICE, blue, SHOWN).when(RemoveVariant(product_id=ID, sku="MUG-2")).leads_to(status=PUBLISHED)
    given(COLOURED, red, PRICE, blue, priced("MUG-2", 300), SHOWN).when(remove).then(gone)


# --- prices ----------------------------------------------------------------------------------------


def test_a_price_change_knows_the_price_before() -> None:
    given(CREATED, ONE).when(price("MUG-1", 250)).then(PRICE)
    given(CREATED, ONE, PRICE).when(price("MUG-1", 300)).then(priced("MUG-1", 300, before=250))
    given(CREATED, ONE, PRICE).when(price("MUG-1", 250)).then()


def test_each_currency_has_a_price_of_its_own() -> None:
    euros = PriceChanged(product_id=ID, sku="MUG-1", price=Money(290, "EUR"))
    outcome = given(CREATED, ONE, PRICE).when(price("MUG-1", 290, "EUR")).then(euros)
    assert outcome.state.variants["MUG-1"].prices == {"GBP": gbp(250), "EUR": Money(290, "EUR")}


def test_what_is_no_price() -> None:
    for amount in (0, -1, MAX_AMOUNT + 1):
        given(CREATED, ONE).when(price("MUG-1", amount)).rejected(AMOUNT_OUT_OF_RANGE, amount=amount)
    for currency in ("gbp", "GB", "", "POUND"):
        given(CREATED, ONE).when(price("MUG-1", 250, currency)).rejected(WRONG_SHAPE, field="currency")
    given(CREATED).when(price("MUG-1", 250)).rejected(NO_SUCH_VARIANT, sku="MUG-1")


# --- for sale or not -------------------------------------------------------------------------------


def test_a_product_is_published_when_it_has_something_to_sell() -> None:
    given(*STATES[DRAFT]).when(PUBLISH).then(SHOWN).leads_to(status=PUBLISHED)
    given(CREATED).when(PUBLISH).rejected(NOTHING_TO_SELL)
    given(CREATED, ONE).when(PUBLISH).rejected(NOTHING_TO_SELL)
    given(*STATES[PUBLISHED]).when(PUBLISH).then()


def test_a_product_is_archived_and_comes_back() -> None:
    given(CREATED).when(ARCHIVE).then(HIDDEN)
    given(*STATES[PUBLISHED]).when(ARCHIVE).then(HIDDEN).leads_to(status=ARCHIVED)
    given(*STATES[ARCHIVED]).when(ARCHIVE).then()
    given(*STATES[ARCHIVED]).when(PUBLISH).then(SHOWN).leads_to(status=PUBLISHED)


CHANGES: list[Command] = [
    update(title="Cup"),
    add("MUG-2"),
    RemoveVariant(product_id=ID, sku="MUG-1"),
    price("MUG-1", 300),
]


@pytest.mark.parametrize("command", CHANGES, ids=lambda command: type(command).__name__)
def test_an_archived_product_rests(command: Command) -> None:
    given(*STATES[ARCHIVED]).when(command).rejected(PRODUCT_ARCHIVED)


@pytest.mark.parametrize("command", [*CHANGES, PUBLISH, ARCHIVE], ids=lambda command: type(command).__name__)
def test_nothing_happens_to_a_product_that_does_not_exist(command: Command) -> None:
    given().when(command).rejected(NO_SUCH_PRODUCT)


def test_a_stock_code_is_one_product() -> None:
    assert product_id_of("85123A") == product_id_of("85123A") != product_id_of("85123B")
