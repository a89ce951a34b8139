"""/api/v1/products: what is for sale, by category, brand and attributes, with price and availability; its past."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from math import isfinite
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromQuery, PathParameter, QueryParameter

from emporium.application import availability, catalog
from emporium.application.availability import Standing
from emporium.application.search import Bucket, Facet
from emporium.domain.base import Money
from emporium.domain.category import AttributeKind
from emporium.domain.picture import Rendition
from emporium.domain.pricing import arrival
from emporium.domain.product import PUBLISHED, AttributeValue, Image
from emporium.domain.shop_settings import ShopSettings
from emporium.http.caching import PUBLIC, kept, tagged
from emporium.http.consistency import includes
from emporium.http.languages import LanguageParameter, language_of
from emporium.http.moments import AsOf, as_it_was_at
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS, Problem
from emporium.http.reply import Reply
from emporium.http.request import Request
from emporium.http.richtext import rich
from emporium.projections import catalog_pages, reviews
from emporium.projections.catalog_pages import (
    CATALOG_PAGES,
    CategoryRow,
    Filter,
    Listed,
    PriceChange,
    ProductPage,
    Sort,
    VariantView,
)
from emporium.projections.reviews import NOTHING, REVIEWS, Rating
from emporium.projections.whole_pages import WholePage, around

__all__ = [
    "AttributeFilter",
    "CurrencyParameter",
    "PriceBound",
    "ProductController",
    "ProductSummary",
    "RangeFilter",
    "RatingBound",
    "attributes_of",
    "category_of",
    "few",
    "ranges_of",
    "summary",
]

CurrencyParameter = Annotated[
    str | None, QueryParameter(pattern="^[A-Z]{3}$", description="ISO 4217; the shop's own where it is left out.")
]
AttributeFilter = Annotated[
    list[str] | None,
    QueryParameter(description="`name:value`; several of one name are alternatives."),
]
RangeFilter = Annotated[
    list[str] | None,
    QueryParameter(description="`name:least..most` of an attribute that is a number."),
]
PriceBound = Annotated[int | None, QueryParameter(ge=0, le=10**12, description="Minor units.")]
RatingBound = Annotated[float | None, QueryParameter(ge=0, le=5, description="Least rating.")]
IdOrSlug = Annotated[str, PathParameter(max_length=120, description="Id or slug of a product.")]

_MOST_VALUES, _MOST_NAMES = 100, 10
_MODELS = (CATALOG_PAGES.name, REVIEWS.name)
"""What pages of products are made of."""


class ProductSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A product in a list; its variants cost `lowest` to `highest`; `available` units of all of them together.

    `expected` is the day on which the first of them are there, where none is but some can be ordered.
    `rating` is from 1 to 5, fair to few votes; null without `reviews`.
    """

    product_id: UUID
    slug: str
    title: str
    brand: str | None
    category_id: UUID | None
    lowest: Money
    highest: Money
    image: Image | None
    available: int
    expected: date | None
    rating: float | None
    reviews: int


class ShownPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with its smaller forms; `alt` is for those who cannot see it. Pixels."""

    url: str
    alt: str
    width: int
    height: int
    sizes: tuple[Rendition, ...]


class DeliveryDays(msgspec.Struct, frozen=True, kw_only=True):
    """The days from and to which a parcel arrives that is ordered today."""

    earliest: date
    latest: date


class VariantDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU; `price` is null where it is not for sale in this currency, `regular` what it costs without a sale.

    `available` units can be had now, and `later` more can be ordered that are `expected` on a day. `stock` says that in
    a word and `note` for people, in the page's language; both are null of the past. `delivery` is null where nothing
    can be said of it.
    """

    sku: str
    options: dict[str, str]
    price: Money | None
    regular: Money | None
    available: int
    later: int
    expected: date | None
    stock: Standing | None
    note: str | None
    delivery: DeliveryDays | None


class ProductDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A product's page; `path` are its categories from the top down, `as_of` the moment of which it tells."""

    product_id: UUID
    slug: str
    title: str
    language: str
    description: str
    description_html: str
    brand: str | None
    path: tuple[CategoryRow, ...]
    options: tuple[str, ...]
    attributes: dict[str, AttributeValue]
    images: list[ShownPicture]
    variants: list[VariantDetail]
    related: list[ProductSummary]
    published_at: datetime | None
    rating: Rating
    changed_at: datetime
    version: int
    as_of: datetime | None


class ProductListing(msgspec.Struct, frozen=True):
    """A page of products; `next` is the path of the next page, `facets` tell how the list could be narrowed."""

    items: list[ProductSummary]
    next: str | None
    facets: list[Facet] | None


class Brands(msgspec.Struct, frozen=True):
    """The brands, by name, with how many products each has."""

    items: list[Bucket]


class CategoryDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A category: its way from the top, what hangs below it, and what its products tell of themselves."""

    category_id: UUID
    name: str
    slug: str
    path: tuple[CategoryRow, ...]
    below: tuple[CategoryRow, ...]
    attributes: tuple[AttributeKind, ...]


class Categories(msgspec.Struct, frozen=True):
    """The tree of categories, by name."""

    items: list[CategoryRow]


class ProductController(Controller):
    """Products."""

    path = "/products"
    tags = ["products"]

    @get("/", opt={"tagged": True, "models": ("catalog_pages", "reviews")})
    async def list_products(
        self,
        request: Request,
        category: Annotated[str | None, QueryParameter(max_length=120, description="Id or slug of a category.")] = None,
        brand: FromQuery[list[str] | None] = None,
        attribute: AttributeFilter = None,
        between: RangeFilter = None,
        price_from: PriceBound = None,
        price_to: PriceBound = None,
        rating_from: RatingBound = None,
        available: FromQuery[bool | None] = None,
        facets: Annotated[bool, QueryParameter(description="Whether the facets are counted.")] = False,
        sort: FromQuery[Sort] = "title",
        currency: CurrencyParameter = None,
        limit: Limit = 24,
        cursor: Cursor = None,
    ) -> Reply[ProductListing]:
        """What is for sale, in a category and all below it, as the filters want it."""
        await includes(request, *_MODELS)

        async def make() -> Reply[ProductListing]:
            reads = request.services.reads
            money = currency or request.services.shop.currency
            chosen = Filter(
                category_id=None if category is None else await category_of(request, category),
                brands=tuple(brand or ()),
                attributes=attributes_of(attribute or ()),
                ranges=ranges_of(between or ()),
                price_from=price_from,
                price_to=price_to,
                rating_from=rating_from,
                available=available,
            )
            page = await reads.run(
                lambda connection: catalog_pages.listing(
                    connection, money, chosen=chosen, sort=sort, limit=limit, cursor=cursor
                )
            )
            counted = None
            if facets:
                counted = await reads.run(lambda connection: catalog_pages.facets(connection, money, chosen))
            ids = [row.product_id for row in page.items]
            rated = await reads.run(lambda connection: reviews.ratings(connection, ids))
            shown = listing(request, page, lambda row: summary(row, rated.get(row.product_id, NOTHING)))
            return tagged(request, ProductListing(shown.items, shown.next, counted), cache=PUBLIC)

        return await kept(request, _MODELS, make)

    @get("/brands", opt={"tagged": True, "models": ("catalog_pages",)})
    async def list_brands(self, request: Request, currency: CurrencyParameter = None) -> Reply[Brands]:
        """The brands of what is for sale."""
        await includes(request, CATALOG_PAGES.name)
        money = currency or request.services.shop.currency
        found = await request.services.reads.run(lambda connection: catalog_pages.brands(connection, money))
        return tagged(request, Brands(found), cache=PUBLIC)

    @get("/categories", opt={"tagged": True, "models": ("catalog_pages",)})
    async def list_categories(self, request: Request) -> Reply[Categories]:
        """All categories."""
        await includes(request, CATALOG_PAGES.name)
        return tagged(request, Categories(await request.services.reads.run(catalog_pages.categories)), cache=PUBLIC)

    @get("/categories/{category:str}", opt={"tagged": True, "moved": True, "models": ("catalog_pages",)})
    async def category_detail(
        self,
        request: Request,
        category: Annotated[str, PathParameter(max_length=120, description="Id or slug of a category.")],
    ) -> Reply[CategoryDetail]:
        """A category. A slug that it had before leads to the one that it has."""
        await includes(request, CATALOG_PAGES.name)
        wanted = _id_or_slug(category)
        found = await request.services.reads.run(lambda connection: catalog_pages.category_page(connection, wanted))
        if found is None:
            raise KINDS.not_found("There is no such category.")
        own = found.path[-1]
        if isinstance(wanted, str) and own.slug != wanted:
            return _moved(request, f"/api/v1/products/categories/{own.slug}")
        content = CategoryDetail(
            category_id=own.category_id,
            name=own.name,
            slug=own.slug,
            path=found.path,
            below=found.below,
            attributes=found.attributes,
        )
        return tagged(request, content, cache=PUBLIC)

    @get("/{product:str}", opt={"tagged": True, "moved": True, "models": ("catalog_pages", "reviews")})
    async def detail(
        self,
        request: Request,
        product: IdOrSlug,
        currency: CurrencyParameter = None,
        language: LanguageParameter = None,
        country: Annotated[
            str | None,
            QueryParameter(
                pattern="^[A-Z]{2}$", description="ISO 3166 alpha-2: where parcels go; else the shop's own."
            ),
        ] = None,
        as_of: AsOf = None,
    ) -> Reply[ProductDetail]:
        """A product with variants, prices, how many can be had, its rating. A former slug leads to the present one."""
        moment = as_it_was_at(as_of)
        await includes(request, *_MODELS)
        shop = request.services.shop
        settings = await shop.terms.recent(shop.logs["ordering"])
        told = _Told(settings.languages[0], shop.clock.now().date(), _delivery_days(settings, country))
        return await kept(
            request,
            _MODELS,
            lambda: _product(request, product, currency, language, moment, told),
            settings,
        )

    @get("/{product:str}/prices", opt={"tagged": True, "models": ("catalog_pages",)})
    async def price_history(
        self, request: Request, product: IdOrSlug, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[PriceChange]]:
        """The prices that the product's variants have had, the newest first."""
        await includes(request, CATALOG_PAGES.name)
        wanted = _id_or_slug(product)
        page = await request.services.reads.run(lambda connection: catalog_pages.product_page(connection, wanted))
        if page is None:
            raise _no_such_product()
        skus = [one.sku for one in page.variants]
        changes = await request.services.reads.run(
            lambda connection: catalog_pages.price_history(connection, *skus, limit=limit, cursor=cursor)
        )
        return tagged(request, listing(request, changes, lambda one: one), cache=PUBLIC)


class _Told(msgspec.Struct, frozen=True):
    """What a page depends on beside the models: the shop's language, today, and the days that a parcel takes."""

    language: str
    today: date
    days: tuple[int, int] | None


def _delivery_days(settings: ShopSettings, country: str | None) -> tuple[int, int] | None:
    """Working days by the method that is taken where nobody chooses; None where nothing is known to be sent."""
    if country is None and settings.sender_address is not None:
        country = settings.sender_address.country
    zone = settings.zone(country) if country is not None else next(iter(settings.zones), None)
    if zone is None or not zone.methods:
        return None
    return zone.methods[0].min_days, zone.methods[0].max_days


async def _product(
    request: Request, product: str, currency: str | None, language: str | None, as_of: datetime | None, told: _Told
) -> Reply[ProductDetail]:
    wanted, money = _id_or_slug(product), currency or request.services.shop.currency
    whole, asked = None, None
    if as_of is None:
        whole = await request.services.pages.get((wanted, money))
    if whole is None:
        if isinstance(wanted, str):
            owner = await catalog.owner_of_slug(request.services.shop, wanted)
            if owner is None:
                raise _no_such_product()
            wanted, slug = owner
            if slug != product:
                return _moved(request, f"/api/v1/products/{slug}")
        whole, asked = await _page_again(request, wanted, money, as_of), as_of
    if whole is None:
        raise _no_such_product()
    return _shown(request, whole, money, language, asked, told)


def _no_such_product() -> Problem:
    return KINDS.not_found("There is no such product.")


def _moved(request: Request, path: str) -> Reply[Any]:
    """Leads to where it is now, with the same parameters."""
    query = request.scope["query_string"]
    location = quote(path).encode() + (b"?" + query if query else b"")
    return Reply(b"", 301, [(b"location", location), (b"cache-control", PUBLIC)])


async def _page_again(request: Request, product_id: UUID, money: str, as_of: datetime | None) -> WholePage | None:
    """The page of a published product: of a past moment, or of now where its new slug is not in the pages yet."""
    if as_of is None:
        return await request.services.pages.get((product_id, money))
    past = await catalog.as_it_was(request.services.shop, product_id, as_of)
    if past is None or past.state.status != PUBLISHED:
        return None
    path = tuple(
        CategoryRow(category_id=one, name=found.name, slug=found.slug, parent=found.parent)
        for one, found in ((one, past.tree.categories[one]) for one in past.tree.path(past.state.category_id))
    )
    page = catalog_pages.page_of_state(past.state, path, {}, past.published_at, past.changed_at, past.version)
    return (await request.services.reads.run(lambda connection: around(connection, [page], money)))[0]


def _shown(
    request: Request, whole: WholePage, money: str, language: str | None, as_of: datetime | None, told: _Told
) -> Reply[ProductDetail]:
    page, related, rated = whole.page, whole.related, whole.rated
    spoken = language_of(request, language, page.translations, told.language)
    beside = [summary(related[one], rated.get(one, NOTHING)) for one in page.related if one in related]
    content = _detail(page, money, spoken, beside, rated.get(page.product_id, NOTHING), as_of, told)
    headers = [(b"content-language", spoken.encode()), (b"vary", b"accept-language")]
    return tagged(request, content, cache=PUBLIC, headers=headers)


def _id_or_slug(text: str) -> UUID | str:
    try:
        return UUID(text)
    except ValueError:
        return text


async def category_of(request: Request, text: str) -> UUID:
    """The category of an id or slug, also one that it had before. Raises Problem."""
    wanted = _id_or_slug(text)
    found = await request.services.reads.run(lambda connection: catalog_pages.category_page(connection, wanted))
    if found is None:
        raise KINDS.not_found("There is no such category.")
    return found.path[-1].category_id


def summary(row: Listed, rating: Rating = NOTHING) -> ProductSummary:
    """A product as lists show it."""
    return ProductSummary(
        product_id=row.product_id,
        slug=row.slug,
        title=row.title,
        brand=row.brand,
        category_id=row.category_id,
        lowest=Money(row.lowest, row.currency),
        highest=Money(row.highest, row.currency),
        image=None if row.image is None else msgspec.convert(row.image, Image),
        available=row.available,
        expected=row.expected if row.available < 1 else None,
        rating=rating.rating,
        reviews=rating.reviews,
    )


def attributes_of(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name → wanted values, of parameters `name:value`. Raises Problem."""
    few("attribute", given)
    wanted: dict[str, tuple[str, ...]] = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not (name and colon and value):
            raise KINDS.invalid_parameter(f"attribute: {one!r} is not name:value")
        wanted[name] = (*wanted.get(name, ()), value)
    few("attribute", wanted, _MOST_NAMES)
    return wanted


def ranges_of(given: Sequence[str]) -> dict[str, tuple[float | None, float | None]]:
    """Name → least and most, of parameters `name:least..most`. Raises Problem."""
    few("between", given, _MOST_NAMES)
    wanted = {}
    for one in given:
        name, colon, bounds = one.rpartition(":")
        least, dots, most = bounds.partition("..")
        try:
            if not (name and colon and dots):
                raise ValueError
            wanted[name] = (_number(least), _number(most))
        except ValueError:
            raise KINDS.invalid_parameter(f"between: {one!r} is not name:least..most") from None
    return wanted


def _number(text: str) -> float | None:
    """A bound of a range, None where it is left open. Raises ValueError for what is none."""
    number = float(text) if text else None
    if number is not None and not isfinite(number):
        raise ValueError
    return number


def few(parameter: str, given: Collection[str], most: int = _MOST_VALUES) -> None:
    """Raises Problem. Every filter costs whoever searches, and every attribute's name one more count of all."""
    if len(given) > most:
        raise KINDS.invalid_parameter(f"{parameter}: at most {most} of it, not {len(given)}")


def _detail(
    page: ProductPage,
    currency: str,
    language: str,
    related: Sequence[ProductSummary],
    rating: Rating,
    as_of: datetime | None,
    told: _Told,
) -> ProductDetail:
    translated = page.translations.get(language)
    description = page.description if translated is None or not translated.description else translated.description
    return ProductDetail(
        product_id=page.product_id,
        slug=page.slug,
        title=page.title if translated is None else translated.title,
        language=language,
        description=description,
        description_html=rich(description),
        brand=page.brand,
        path=page.path,
        options=page.options,
        attributes=page.attributes,
        images=[
            ShownPicture(
                url=one.url, alt=one.alt, width=one.width, height=one.height, sizes=page.sizes.get(one.url, ())
            )
            for one in page.images
        ],
        variants=[_variant(one, currency, language, None if as_of is not None else told) for one in page.variants],
        related=list(related),
        published_at=page.published_at,
        rating=rating,
        changed_at=page.changed_at,
        version=page.version,
        as_of=as_of,
    )


def _variant(one: VariantView, currency: str, language: str, told: _Told | None) -> VariantDetail:
    """`told` is None of the past."""
    supply, stock, note = one.supply, None, None
    expected = supply.expected if supply.later else None
    if told is not None:
        stock = availability.standing(supply.available, supply.later, supply.kind)
        note = availability.note(stock, supply.available, expected, told.today, language)
    return VariantDetail(
        sku=one.sku,
        options=one.options,
        price=one.prices.get(currency),
        regular=one.regular.get(currency),
        available=supply.available,
        later=supply.later,
        expected=expected,
        stock=stock,
        note=note,
        delivery=None if told is None else _delivery(supply.available, expected, told),
    )


def _delivery(available: int, expected: date | None, told: _Told) -> DeliveryDays | None:
    leaves = told.today if available > 0 else expected
    if told.days is None or leaves is None or leaves < told.today:
        return None
    return DeliveryDays(earliest=arrival(leaves, told.days[0]), latest=arrival(leaves, told.days[1]))
