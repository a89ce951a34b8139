"""A product: what is told and shown of it, its variants (each a SKU), their prices, and whether it is for sale."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from emporium.domain.base import (
    AMOUNT_OUT_OF_RANGE,
    MAX_AMOUNT,
    Aggregate,
    Command,
    Event,
    Money,
    Reason,
    State,
    stream_id,
)
from emporium.domain.text import check_shape, check_text

MAX_VARIANTS: Final = 200
MAX_OPTIONS: Final = 5
MAX_ATTRIBUTES: Final = 100
MAX_IMAGES: Final = 50
MAX_PIXELS: Final = 20_000
MAX_NUMBER: Final = 10**12

TITLE_MOST: Final = 200
DESCRIPTION_MOST: Final = 20_000
BRAND_MOST: Final = 100
NAME_MOST: Final = 60
VALUE_MOST: Final = 500
ALT_MOST: Final = 500

WEIGHT: Final = "weight_g"
"""The attribute that says what a unit weighs, in grams."""

DRAFT, PUBLISHED, ARCHIVED = "draft", "published", "archived"

AttributeValue = str | int | float | bool
"""A text, a number or a yes/no."""


def product_id_of(code: str) -> UUID:
    """The id of a product that has a code of its own elsewhere (an imported stock code, a demo product)."""
    return stream_id("product", code)


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A picture: path or http(s) address, the text for those who cannot see it, size in pixels."""

    url: str
    alt: str
    width: int
    height: int


# --- events ----------------------------------------------------------------------------------------


class ProductCreated(Event, frozen=True, kw_only=True):
    """A product was described; status draft. `options` are the names by which its variants differ (colour, size)."""

    product_id: UUID
    title: str
    slug: str
    description: str = ""
    brand: str | None = None
    category_id: UUID | None = None
    tax_class: str = "standard"
    options: tuple[str, ...] = ()
    attributes: dict[str, AttributeValue] = {}
    images: tuple[Image, ...] = ()


class ProductUpdated(Event, frozen=True, kw_only=True):
    """The product is described otherwise; carries only the fields that changed, each with its whole new value."""

    product_id: UUID
    title: str | UnsetType = UNSET
    slug: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    brand: str | UnsetType | None = UNSET
    category_id: UUID | UnsetType | None = UNSET
    tax_class: str | UnsetType = UNSET
    options: tuple[str, ...] | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    images: tuple[Image, ...] | UnsetType = UNSET


class VariantAdded(Event, frozen=True, kw_only=True):
    """The product can be had as this SKU; `options` has a value for every option of the product."""

    product_id: UUID
    sku: str
    options: dict[str, str] = {}


class VariantRemoved(Event, frozen=True, kw_only=True):
    """The SKU is no longer part of the product."""

    product_id: UUID
    sku: str


class PriceChanged(Event, frozen=True, kw_only=True):
    """A unit of the SKU costs `price` from now on; `previous` is None for its first price in this currency."""

    product_id: UUID
    sku: str
    price: Money
    previous: Money | None = None


class ProductPublished(Event, frozen=True, kw_only=True):
    """The product is for sale."""

    product_id: UUID


class ProductArchived(Event, frozen=True, kw_only=True):
    """The product is no longer for sale."""

    product_id: UUID


# --- state -----------------------------------------------------------------------------------------


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU of a product: its option values, its price by currency."""

    sku: str
    options: dict[str, str] = {}
    prices: dict[str, Money] = {}


class ProductState(State, frozen=True, kw_only=True):
    """What a product remembers; `variants` by SKU, in the order in which they were added."""

    product_id: UUID
    status: str
    title: str
    slug: str
    description: str
    brand: str | None
    category_id: UUID | None
    tax_class: str
    options: tuple[str, ...]
    attributes: dict[str, AttributeValue]
    images: tuple[Image, ...]
    variants: dict[str, Variant] = {}


# --- commands --------------------------------------------------------------------------------------


class CreateProduct(Command, frozen=True, kw_only=True):
    """The handler claims the slug."""

    product_id: UUID
    title: str
    slug: str
    description: str = ""
    brand: str | None = None
    category_id: UUID | None = None
    tax_class: str = "standard"
    options: tuple[str, ...] = ()
    attributes: Mapping[str, AttributeValue] = {}
    images: tuple[Image, ...] = ()


class UpdateProduct(Command, frozen=True, kw_only=True):
    """Fields that are not given stay as they are."""

    product_id: UUID
    title: str | UnsetType = UNSET
    slug: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    brand: str | UnsetType | None = UNSET
    category_id: UUID | UnsetType | None = UNSET
    tax_class: str | UnsetType = UNSET
    options: tuple[str, ...] | UnsetType = UNSET
    attributes: Mapping[str, AttributeValue] | UnsetType = UNSET
    images: tuple[Image, ...] | UnsetType = UNSET


class AddVariant(Command, frozen=True, kw_only=True):
    """The handler claims the SKU: it belongs to one product."""

    product_id: UUID
    sku: str
    options: Mapping[str, str] = {}


class RemoveVariant(Command, frozen=True, kw_only=True):
    """The handler gives the SKU's claim back."""

    product_id: UUID
    sku: str


class ChangePrice(Command, frozen=True, kw_only=True):
    product_id: UUID
    sku: str
    price: Money


class PublishProduct(Command, frozen=True, kw_only=True):
    """Also brings an archived product back."""

    product_id: UUID


class ArchiveProduct(Command, frozen=True, kw_only=True):
    product_id: UUID


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_PRODUCT = Reason("no_such_product", "There is no such product.", "missing")
NO_SUCH_VARIANT = Reason("no_such_variant", "The product has no variant {sku}.", "missing")
PRODUCT_EXISTS = Reason("product_exists", "The product exists already, as {title}.")
PRODUCT_ARCHIVED = Reason("product_archived", "The product is archived; publish it again before changing it.")
VARIANT_EXISTS = Reason("variant_exists", "The product has these options already, as {sku}.")
LAST_VARIANT = Reason("last_variant", "{sku} is the last variant with a price; archive the product instead.")
NOTHING_TO_SELL = Reason("nothing_to_sell", "A product needs a variant with a price before it can be published.")
OPTIONS_IN_USE = Reason("options_in_use", "The options cannot change while the product has {variants} variants.")
WRONG_OPTIONS = Reason("wrong_options", "A variant of this product needs values for {needed}, not {given}.", "invalid")
TOO_MANY = Reason("too_many", "A product has at most {most} {what}, not {count}.", "invalid")
DUPLICATE_OPTION = Reason("duplicate_option", "The options name {option} twice.", "invalid")
NUMBER_OUT_OF_RANGE = Reason("number_out_of_range", "{field} must be a number from {least} to {most}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, product: ProductState | None) -> Sequence[Event]:
    """The events that the command makes of this product. Raises Rejected."""
    if isinstance(command, CreateProduct):
        return _create(command, product)
    if product is None:
        raise NO_SUCH_PRODUCT()
    match command:
        case PublishProduct():
            if product.status == PUBLISHED:
                return []
            if not any(v.prices for v in product.variants.values()):
                raise NOTHING_TO_SELL()
            return [ProductPublished(product_id=product.product_id)]
        case ArchiveProduct():
            return [] if product.status == ARCHIVED else [ProductArchived(product_id=product.product_id)]
    if product.status == ARCHIVED:
        raise PRODUCT_ARCHIVED()
    match command:
        case UpdateProduct():
            return _update(command, product)
        case AddVariant():
            return _add_variant(command, product)
        case RemoveVariant():
            _variant(product, command.sku)
            others = (v for v in product.variants.values() if v.sku != command.sku)
            if product.status == PUBLISHED and not any(v.prices for v in others):
                raise LAST_VARIANT(sku=command.sku)
            return [VariantRemoved(product_id=product.product_id, sku=command.sku)]
        case ChangePrice():
            return _change_price(command, product)
        case _:
            raise TypeError(f"a product does not know {type(command).__name__}")


def _create(command: CreateProduct, product: ProductState | None) -> Sequence[Event]:
    if product is not None:
        raise PRODUCT_EXISTS(title=product.title)
    return [ProductCreated(product_id=command.product_id, **_checked(command))]


def _update(command: UpdateProduct, product: ProductState) -> Sequence[Event]:
    changed = {name: value for name, value in _checked(command).items() if getattr(product, name) != value}
    if not changed:
        return []
    if "options" in changed and product.variants:
        raise OPTIONS_IN_USE(variants=len(product.variants))
    return [ProductUpdated(product_id=product.product_id, **changed)]


def _checked(command: CreateProduct | UpdateProduct) -> dict[str, Any]:
    """The fields that the command gives, each checked and tidied."""
    given: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        value = getattr(command, name)
        if value is not UNSET:
            given[name] = check(value)
    return given


def _check_options(options: tuple[str, ...]) -> tuple[str, ...]:
    _check_count("options", len(options), MAX_OPTIONS)
    names = tuple(check_text("options", option, NAME_MOST) for option in options)
    for option in names:
        if names.count(option) > 1:
            raise DUPLICATE_OPTION(option=option)
    return names


def _check_attributes(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    _check_count("attributes", len(attributes), MAX_ATTRIBUTES)
    return {check_text("attributes", k, NAME_MOST): _check_value(k, v) for k, v in attributes.items()}


def _check_value(name: str, value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return check_text(name, value, VALUE_MOST)
    if abs(value) > MAX_NUMBER or not math.isfinite(value):
        raise NUMBER_OUT_OF_RANGE(field=name, least=-MAX_NUMBER, most=MAX_NUMBER)
    return value


def _check_images(images: tuple[Image, ...]) -> tuple[Image, ...]:
    _check_count("images", len(images), MAX_IMAGES)
    for image in images:
        check_shape("url", image.url, "image_url")
        for field, pixels in (("width", image.width), ("height", image.height)):
            if not 1 <= pixels <= MAX_PIXELS:
                raise NUMBER_OUT_OF_RANGE(field=field, least=1, most=MAX_PIXELS)
    return tuple(replace(image, alt=check_text("alt", image.alt, ALT_MOST, least=0)) for image in images)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise TOO_MANY(what=what, most=most, count=count)


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "title": lambda v: check_text("title", v, TITLE_MOST),
    "slug": lambda v: check_shape("slug", v, "slug"),
    "description": lambda v: check_text("description", v, DESCRIPTION_MOST, least=0, lines=True),
    "brand": lambda v: None if v is None else check_text("brand", v, BRAND_MOST),
    "category_id": lambda v: v,
    "tax_class": lambda v: check_shape("tax_class", v, "code"),
    "options": _check_options,
    "attributes": _check_attributes,
    "images": _check_images,
}


def _add_variant(command: AddVariant, product: ProductState) -> Sequence[Event]:
    check_shape("sku", command.sku, "sku")
    if command.options.keys() != set(product.options):
        raise WRONG_OPTIONS(needed=list(product.options), given=sorted(command.options))
    options = {name: check_text(name, command.options[name], VALUE_MOST) for name in product.options}
    if command.sku in product.variants:
        if product.variants[command.sku].options == options:
            return []
        raise VARIANT_EXISTS(sku=command.sku)
    for variant in product.variants.values():
        if variant.options == options:
            raise VARIANT_EXISTS(sku=variant.sku)
    _check_count("variants", len(product.variants) + 1, MAX_VARIANTS)
    return [VariantAdded(product_id=product.product_id, sku=command.sku, options=options)]


def _change_price(command: ChangePrice, product: ProductState) -> Sequence[Event]:
    previous = _variant(product, command.sku).prices.get(command.price.currency)
    if previous == command.price:
        return []
    check_shape("currency", command.price.currency, "currency")
    if not 0 < command.price.amount <= MAX_AMOUNT:
        raise AMOUNT_OUT_OF_RANGE(amount=command.price.amount)
    return [PriceChanged(product_id=product.product_id, sku=command.sku, price=command.price, previous=previous)]


def _variant(product: ProductState, sku: str) -> Variant:
    variant = product.variants.get(sku)
    if variant is None:
        raise NO_SUCH_VARIANT(sku=sku)
    return variant


# --- evolve ----------------------------------------------------------------------------------------


def evolve(product: ProductState | None, event: Event) -> ProductState:
    """The product after the event."""
    if isinstance(event, ProductCreated):
        return ProductState(
            product_id=event.product_id,
            status=DRAFT,
            title=event.title,
            slug=event.slug,
            description=event.description,
            brand=event.brand,
            category_id=event.category_id,
            tax_class=event.tax_class,
            options=event.options,
            attributes=event.attributes,
            images=event.images,
        )
    if product is None:
        raise ValueError("a product begins with ProductCreated")
    match event:
        case ProductUpdated():
            given = {name: getattr(event, name) for name in _CHECKS}
            return replace(product, **{name: value for name, value in given.items() if value is not UNSET})
        case VariantAdded():
            variant = Variant(sku=event.sku, options=event.options)
            return replace(product, variants={**product.variants, event.sku: variant})
        case VariantRemoved():
            return replace(product, variants={s: v for s, v in product.variants.items() if s != event.sku})
        case PriceChanged():
            before = product.variants[event.sku]
            after = replace(before, prices={**before.prices, event.price.currency: event.price})
            return replace(product, variants={**product.variants, event.sku: after})
        case ProductPublished():
            return replace(product, status=PUBLISHED)
        case ProductArchived():
            return replace(product, status=ARCHIVED)
        case _:
            raise TypeError(f"a product does not know {type(event).__name__}")


PRODUCT: Final = Aggregate(
    name="Product",
    log="catalog",
    state=ProductState,
    events=(
        ProductCreated,
        ProductUpdated,
        VariantAdded,
        VariantRemoved,
        PriceChanged,
        ProductPublished,
        ProductArchived,
    ),
    decide=decide,
    evolve=evolve,
)
