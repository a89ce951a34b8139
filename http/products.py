"""/api/v1/products: what is for sale, by category, with price and availability."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromQuery, PathParameter, QueryParameter

from emporium.domain.base import Money
from emporium.domain.product import AttributeValue, Image
from emporium.http.caching import PUBLIC, tagged
from emporium.http.consistency import includes
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request
from emporium.projections import catalog_pages, reviews
from emporium.projections.catalog_pages import CATALOG_PAGES, CategoryRow, Listed, ProductPage, Sort
from emporium.projections.reviews import NOTHING, REVIEWS, Rating

__all__ = ["CurrencyParameter", "ProductController", "ProductSummary", "category_of", "summary"]

CurrencyParameter = Annotated[
    str | None, QueryParameter(pattern="^[A-Z]{3}$", description="ISO 4217; the shop's own where it is left out.")
]


class ProductSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A product in a list; its variants cost `lowest` to `highest`; `available` units of all of them together.

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
    rating: float | None
    reviews: int


class VariantDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU; `price` is None where it is not for sale in this currency."""

    sku: str
    options: dict[str, str]
    price: Money | None
    available: int


class ProductDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A product's page; `path` are its categories from the top down."""

    product_id: UUID
    slug: str
    title: str
    description: str
    brand: str | None
    path: tuple[CategoryRow, ...]
    options: tuple[str, ...]
    attributes: dict[str, AttributeValue]
    images: tuple[Image, ...]
    variants: list[VariantDetail]
    published_at: datetime | None
    rating: Rating


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
        sort: FromQuery[Sort] = "title",
        currency: CurrencyParameter = None,
        limit: Limit = 24,
        cursor: Cursor = None,
    ) -> Reply[Listing[ProductSummary]]:
        """What is for sale, in a category and all below it."""
        await includes(request, CATALOG_PAGES.name, REVIEWS.name)
        reads = request.services.reads
        category_id = None if category is None else await category_of(request, category)
        page = await reads.run(
            lambda connection: catalog_pages.listing(
                connection,
                currency or request.services.shop.currency,
                category_id=category_id,
                sort=sort,
                limit=limit,
                cursor=cursor,
            )
        )
        rated = await reads.run(lambda connection: reviews.ratings(connection, [row.product_id for row in page.items]))
        return tagged(
            request, listing(request, page, lambda row: summary(row, rated.get(row.product_id, NOTHING))), cache=PUBLIC
        )

    @get("/categories", opt={"tagged": True, "models": ("catalog_pages",)})
    async def list_categories(self, request: Request) -> Reply[Categories]:
        """All categories."""
        await includes(request, CATALOG_PAGES.name)
        return tagged(request, Categories(await request.services.reads.run(catalog_pages.categories)), cache=PUBLIC)

    @get("/{product:str}", opt={"tagged": True, "models": ("catalog_pages", "reviews")})
    async def detail(
        self,
        request: Request,
        product: Annotated[str, PathParameter(max_length=120, description="Id or slug of a product.")],
        currency: CurrencyParameter = None,
    ) -> Reply[ProductDetail]:
        """A product with its variants, their prices, how many can be had, and how it is rated."""
        await includes(request, CATALOG_PAGES.name, REVIEWS.name)
        page = await request.services.reads.run(
            lambda connection: catalog_pages.product_page(connection, _id_or_slug(product))
        )
        if page is None:
            raise KINDS.not_found("There is no such product.")
        product_id = page.product_id
        rated = await request.services.reads.run(lambda connection: reviews.ratings(connection, [product_id]))
        content = _detail(page, currency or request.services.shop.currency, rated.get(product_id, NOTHING))
        return tagged(request, content, cache=PUBLIC)


def _id_or_slug(text: str) -> UUID | str:
    try:
        return UUID(text)
    except ValueError:
        return text


async def category_of(request: Request, text: str) -> UUID:
    """The category of an id or slug. Raises Problem."""
    wanted = _id_or_slug(text)
    for row in await request.services.reads.run(catalog_pages.categories):
        if wanted in (row.category_id, row.slug):
            return row.category_id
    raise KINDS.not_found("There is no such category.")


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
        rating=rating.rating,
        reviews=rating.reviews,
    )


def _detail(page: ProductPage, currency: str, rating: Rating) -> ProductDetail:
    return ProductDetail(
        product_id=page.product_id,
        slug=page.slug,
        title=page.title,
        description=page.description,
        brand=page.brand,
        path=page.path,
        options=page.options,
        attributes=page.attributes,
        images=page.images,
        variants=[
            VariantDetail(sku=one.sku, options=one.options, price=one.prices.get(currency), available=one.available)
            for one in page.variants
        ],
        published_at=page.published_at,
        rating=rating,
    )
