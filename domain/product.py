"""A product: what is told and shown of it, its variants (each a SKU), their prices, and whether it is for sale."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
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
MAX_RELATED: Final = 50
MAX_LANGUAGES: Final = 50
MAX_SCHEDULES: Final = 100
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


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """What the product is called in another language, and told of in it (Markdown, as the description)."""

    title: str
    description: str = ""


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
    related: tuple[UUID, ...] = ()
    translations: dict[str, Translation] = {}


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
    related: tuple[UUID, ...] | UnsetType = UNSET
    translations: dict[str, Translation] | UnsetType = UNSET


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


class RegularPriceChanged(Event, frozen=True, kw_only=True):
    """While a sale runs, the price that comes back after it is another one; what a unit costs now stays."""

    product_id: UUID
    sku: str
    price: Money
    previous: Money | None = None


class PriceScheduled(Event, frozen=True, kw_only=True):
    """From `starts_at` on the SKU shall cost `price`: until `ends_at` as a sale, without it as its regular price."""

    product_id: UUID
    schedule_id: UUID
    sku: str
    price: Money
    starts_at: datetime
    ends_at: datetime | None = None


class PriceScheduleBegan(Event, frozen=True, kw_only=True):
    """The time of a scheduled price has come."""

    product_id: UUID
    schedule_id: UUID


class PriceScheduleEnded(Event, frozen=True, kw_only=True):
    """A scheduled price is over, or was `cancelled` by staff before that."""

    product_id: UUID
    schedule_id: UUID
    cancelled: bool = False


class ProductPublished(Event, frozen=True, kw_only=True):
    """The product is for sale."""

    product_id: UUID


class ProductArchived(Event, frozen=True, kw_only=True):
    """The product is no longer for sale."""

    product_id: UUID


# --- state -----------------------------------------------------------------------------------------


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU of a product: its option values, its price by currency; `regular` is what it costs without sales."""

    sku: str
    options: dict[str, str] = {}
    prices: dict[str, Money] = {}
    regular: dict[str, Money] = {}


class PriceSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A price that is to come, or a sale that `runs`; see `PriceScheduled`."""

    schedule_id: UUID
    sku: str
    price: Money
    starts_at: datetime
    ends_at: datetime | None = None
    runs: bool = False


class ProductState(State, frozen=True, kw_only=True):
    """What a product remembers; `variants` by SKU, in the order in which they were added; of `schedules` those
    that run are last, in the order in which they began."""

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
    related: tuple[UUID, ...] = ()
    translations: dict[str, Translation] = {}
    schedules: dict[UUID, PriceSchedule] = {}

    def traits(self) -> dict[str, tuple[str, ...]]:
        """What the product can be chosen by: texts, choices and yes/no among its attributes, and its options."""
        found: dict[str, dict[str, None]] = {}
        for name, value in self.attributes.items():
            if isinstance(value, bool):
                found[name] = {"yes" if value else "no": None}
            elif isinstance(value, str):
                found[name] = {value: None}
        for variant in self.variants.values():
            for name, value in variant.options.items():
                found.setdefault(name, {})[value] = None
        return {name: tuple(values) for name, values in found.items()}

    def numbers(self) -> dict[str, float]:
        """Those of its attributes that are numbers."""
        return {
            name: value
            for name, value in self.attributes.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    def sale(self, sku: str, currency: str) -> PriceSchedule | None:
        """The sale whose price holds: of those that run, the one that began last."""
        running = [s for s in self.schedules.values() if s.runs and (s.sku, s.price.currency) == (sku, currency)]
        return running[-1] if running else None


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
    related: tuple[UUID, ...] = ()
    translations: Mapping[str, Translation] = {}


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
    related: tuple[UUID, ...] | UnsetType = UNSET
    translations: Mapping[str, Translation] | UnsetType = UNSET


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


class SchedulePrice(Command, frozen=True, kw_only=True):
    """`now` is when it is asked for; times are aware."""

    product_id: UUID
    schedule_id: UUID
    sku: str
    price: Money
    starts_at: datetime
    ends_at: datetime | None = None
    now: datetime


class CancelPriceSchedule(Command, frozen=True, kw_only=True):
    """Also ends a sale that runs."""

    product_id: UUID
    schedule_id: UUID


class BeginPriceSchedule(Command, frozen=True, kw_only=True):
    """Of a timer: its time has come; `at` is now, which may be late."""

    product_id: UUID
    schedule_id: UUID
    at: datetime


class EndPriceSchedule(Command, frozen=True, kw_only=True):
    """Of a timer."""

    product_id: UUID
    schedule_id: UUID


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
DUPLICATE_RELATED = Reason("duplicate_related", "A product is related to others, to each once.", "invalid")
NO_SUCH_SCHEDULE = Reason("no_such_schedule", "The product has no such scheduled price.", "missing")
SCHEDULE_EXISTS = Reason("schedule_exists", "There is another scheduled price of this id.")
SCHEDULE_TIMES = Reason("schedule_times", "A sale ends after it begins, and not in the past.", "invalid")
NOTHING_TO_REDUCE = Reason("nothing_to_reduce", "{sku} has no price in {currency} that could come back after a sale.")
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
        case BeginPriceSchedule():
            return _begin(command, product)
        case EndPriceSchedule():
            known = product.schedules.get(command.schedule_id)
            return [] if known is None else _end(product, known, cancelled=False)
        case CancelPriceSchedule():
            known = product.schedules.get(command.schedule_id)
            if known is None:
                raise NO_SUCH_SCHEDULE()
            return _end(product, known, cancelled=True)
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
        case SchedulePrice():
            return _schedule(command, product)
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


def _check_related(related: tuple[UUID, ...]) -> tuple[UUID, ...]:
    _check_count("related products", len(related), MAX_RELATED)
    if len(set(related)) < len(related):
        raise DUPLICATE_RELATED(field="related")
    return related


def _check_translations(translations: Mapping[str, Translation]) -> dict[str, Translation]:
    _check_count("languages", len(translations), MAX_LANGUAGES)
    return {
        check_shape("translations", language, "language"): Translation(
            title=check_text(f"translations.{language}.title", one.title, TITLE_MOST),
            description=check_text(
                f"translations.{language}.description", one.description, DESCRIPTION_MOST, least=0, lines=True
            ),
        )
        for language, one in translations.items()
    }


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
    "related": _check_related,
    "translations": _check_translations,
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
    _check_price(command.price)
    return _regular(product, command.sku, command.price)


def _check_price(price: Money) -> None:
    check_shape("currency", price.currency, "currency")
    if not 0 < price.amount <= MAX_AMOUNT:
        raise AMOUNT_OUT_OF_RANGE(amount=price.amount)


def _regular(product: ProductState, sku: str, price: Money) -> Sequence[Event]:
    """Another regular price: at once what a unit costs, unless a sale runs."""
    previous = _variant(product, sku).regular.get(price.currency)
    if previous == price:
        return []
    kind = PriceChanged if product.sale(sku, price.currency) is None else RegularPriceChanged
    return [kind(product_id=product.product_id, sku=sku, price=price, previous=previous)]


def _schedule(command: SchedulePrice, product: ProductState) -> Sequence[Event]:
    _check_price(command.price)
    variant = _variant(product, command.sku)
    wanted = PriceSchedule(
        schedule_id=command.schedule_id,
        sku=command.sku,
        price=command.price,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
    )
    there = product.schedules.get(command.schedule_id)
    if there is not None:
        if replace(there, runs=False) == wanted:
            return []
        raise SCHEDULE_EXISTS()
    if command.ends_at is not None:
        if command.ends_at <= max(command.starts_at, command.now):
            raise SCHEDULE_TIMES(field="ends_at")
        if command.price.currency not in variant.regular:
            raise NOTHING_TO_REDUCE(sku=command.sku, currency=command.price.currency)
    _check_count("scheduled prices", len(product.schedules) + 1, MAX_SCHEDULES)
    return [
        PriceScheduled(
            product_id=product.product_id,
            schedule_id=command.schedule_id,
            sku=command.sku,
            price=command.price,
            starts_at=command.starts_at,
            ends_at=command.ends_at,
        )
    ]


def _begin(command: BeginPriceSchedule, product: ProductState) -> Sequence[Event]:
    known = product.schedules.get(command.schedule_id)
    if known is None or known.runs:
        return []
    if known.ends_at is not None and command.at >= known.ends_at:
        return _end(product, known, cancelled=False)
    began = PriceScheduleBegan(product_id=product.product_id, schedule_id=known.schedule_id)
    after = evolve(product, began)
    if known.ends_at is None:
        return [began, *_regular(after, known.sku, known.price)]
    return [began, *_as_it_should_be(after, known)]


def _end(product: ProductState, known: PriceSchedule, *, cancelled: bool) -> Sequence[Event]:
    ended = PriceScheduleEnded(product_id=product.product_id, schedule_id=known.schedule_id, cancelled=cancelled)
    return [ended, *_as_it_should_be(evolve(product, ended), known)]


def _as_it_should_be(product: ProductState, changed: PriceSchedule) -> Sequence[Event]:
    """What a unit costs is the price of the sale that began last, else the regular one."""
    currency, variant = changed.price.currency, product.variants[changed.sku]
    sale = product.sale(changed.sku, currency)
    price = variant.regular.get(currency) if sale is None else sale.price
    previous = variant.prices.get(currency)
    if price is None or price == previous:
        return []
    return [PriceChanged(product_id=product.product_id, sku=changed.sku, price=price, previous=previous)]


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
            related=event.related,
            translations=event.translations,
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
            left = {key: one for key, one in product.schedules.items() if one.sku != event.sku}
            variants = {s: v for s, v in product.variants.items() if s != event.sku}
            return replace(product, variants=variants, schedules=left)
        case PriceChanged():
            before = product.variants[event.sku]
            currency = event.price.currency
            after = replace(before, prices={**before.prices, currency: event.price})
            if product.sale(event.sku, currency) is None:
                after = replace(after, regular={**before.regular, currency: event.price})
            return replace(product, variants={**product.variants, event.sku: after})
        case RegularPriceChanged():
            before = product.variants[event.sku]
            after = replace(before, regular={**before.regular, event.price.currency: event.price})
            return replace(product, variants={**product.variants, event.sku: after})
        case PriceScheduled():
            fields = {name: getattr(event, name) for name in PriceSchedule.__struct_fields__ if name != "runs"}
            return replace(product, schedules={event.schedule_id: PriceSchedule(**fields), **product.schedules})
        case PriceScheduleBegan():
            begun = product.schedules[event.schedule_id]
            others = {key: one for key, one in product.schedules.items() if key != event.schedule_id}
            if begun.ends_at is None:
                return replace(product, schedules=others)
            return replace(product, schedules={**others, event.schedule_id: replace(begun, runs=True)})
        case PriceScheduleEnded():
            left = {key: one for key, one in product.schedules.items() if key != event.schedule_id}
            return replace(product, schedules=left)
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
        RegularPriceChanged,
        PriceScheduled,
        PriceScheduleBegan,
        PriceScheduleEnded,
        ProductPublished,
        ProductArchived,
    ),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
