"""/api/v1/admin/products: staff describe products, name their prices, and see who changed what."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from emporium.application import catalog
from emporium.application.catalog import OutOfDate, Written
from emporium.domain.base import MAX_AMOUNT, Command, Money
from emporium.domain.product import (
    MAX_IMAGES,
    MAX_LANGUAGES,
    MAX_OPTIONS,
    MAX_PIXELS,
    MAX_RELATED,
    MAX_VARIANTS,
    AddVariant,
    ArchiveProduct,
    AttributeValue,
    CancelPriceSchedule,
    ChangePrice,
    CreateProduct,
    Image,
    PriceSchedule,
    PublishProduct,
    RemoveVariant,
    SchedulePrice,
    Translation,
    UpdateProduct,
)
from emporium.domain.text import slug_of
from emporium.http.auth import staff
from emporium.http.bodies import Body, Code, Currency, Language, Sku
from emporium.http.caching import PRIVATE, tagged
from emporium.http.consistency import includes, token_after
from emporium.http.idempotency import Answer, once
from emporium.http.moments import Moment
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.http.versions import HistoryEntry, entry, etag, expected_version, late
from emporium.projections import catalog_pages
from emporium.projections.catalog_pages import CATALOG_PAGES, ProductRow
from emporium.projections.paging import decode_cursor, page_of

__all__ = ["CatalogController", "Slug"]

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=120, examples=["blue-mug"])]
Title = Annotated[str, Meta(min_length=1, max_length=200, examples=["Blue mug"])]
Description = Annotated[str, Meta(max_length=20_000)]
Brand = Annotated[str, Meta(min_length=1, max_length=100)]
Option = Annotated[str, Meta(min_length=1, max_length=60)]
Attributes = dict[Annotated[str, Meta(min_length=1, max_length=60)], AttributeValue]
Options = Annotated[list[Option], Meta(max_length=MAX_OPTIONS)]
Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT, examples=[1250])]
Related = Annotated[list[UUID], Meta(max_length=MAX_RELATED)]
Pixels = Annotated[int, Meta(ge=1, le=MAX_PIXELS)]
ProductId = Annotated[UUID, PathParameter(description="The id of a product.")]
SkuOfPath = Annotated[str, PathParameter(max_length=64, description="A SKU of the product.")]


class Picture(Body, frozen=True, kw_only=True):
    """A picture of the product: `url` as an upload gave it, `alt` the text for those who cannot see it."""

    url: Annotated[str, Meta(max_length=2_000, pattern="^(https?://|/)[!-~]*$")]
    alt: Annotated[str, Meta(max_length=500)]
    width: Pixels
    height: Pixels


class TranslatedText(Body, frozen=True, kw_only=True):
    """Title and description (Markdown) in another language."""

    title: Title
    description: Description = ""


Translations = Annotated[dict[Language, TranslatedText], Meta(max_length=MAX_LANGUAGES)]


class PriceTag(Body, frozen=True, kw_only=True):
    """Minor units of a currency."""

    amount: Amount
    currency: Currency


class NewPrice(Body, frozen=True, kw_only=True):
    """What a unit costs from now on, in minor units."""

    amount: Amount


class NewSchedule(Body, frozen=True, kw_only=True):
    """A price from `starts_at` on: until `ends_at` as a sale, without it as the regular price."""

    sku: Sku
    price: PriceTag
    starts_at: Moment
    ends_at: Moment | None = None


class NewVariant(Body, frozen=True, kw_only=True):
    """A SKU: a value for every option of the product, and its prices."""

    sku: Sku
    options: dict[str, Annotated[str, Meta(min_length=1, max_length=500)]] = {}
    prices: Annotated[list[PriceTag], Meta(max_length=50)] = []


class NewProduct(Body, frozen=True, kw_only=True):
    """A product, with its variants where they are known. The slug is made of the title where none is given.

    `description` is Markdown. `attributes` are as the category defines them; weight and size of a unit are
    `weight_g`, `length_mm`, `width_mm` and `height_mm`.
    """

    title: Title
    slug: Slug | None = None
    description: Description = ""
    brand: Brand | None = None
    category_id: UUID | None = None
    tax_class: Code = "standard"
    options: Options = []
    attributes: Attributes = {}
    images: Annotated[list[Picture], Meta(max_length=MAX_IMAGES)] = []
    related: Related = []
    translations: Translations = {}
    variants: Annotated[list[NewVariant], Meta(max_length=MAX_VARIANTS)] = []
    publish: bool = False


class ChangeProduct(Body, frozen=True, kw_only=True):
    """What is given is replaced as a whole; what is left out stays as it is."""

    title: Title | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    brand: Brand | UnsetType | None = UNSET
    category_id: UUID | UnsetType | None = UNSET
    tax_class: Code | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    images: Annotated[list[Picture], Meta(max_length=MAX_IMAGES)] | UnsetType = UNSET
    related: Related | UnsetType = UNSET
    translations: Translations | UnsetType = UNSET


class VariantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU with its options and its prices; `regular` is what it costs without sales."""

    sku: str
    options: dict[str, str]
    prices: list[Money]
    regular: list[Money]


class ProductRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A product as staff see it, whatever its status; `version` is its ETag."""

    product_id: UUID
    version: int
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
    related: tuple[UUID, ...]
    translations: dict[str, Translation]
    variants: list[VariantRecord]
    schedules: list[PriceSchedule]


class CatalogController(Controller):
    """The catalogue."""

    path = "/admin/products"
    tags = ["catalog"]
    guards = [staff("catalog_manager")]

    @get("/", opt={"tagged": True, "models": ("catalog_pages",)})
    async def list_catalog(
        self,
        request: Request,
        status: Annotated[Literal["draft", "published", "archived"] | None, QueryParameter()] = None,
        q: Annotated[str | None, QueryParameter(max_length=200, description="Part of a title, slug or SKU.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[ProductRow]]:
        """All products by title, of every status."""
        await includes(request, CATALOG_PAGES.name)
        page = await request.services.reads.run(
            lambda connection: catalog_pages.products_for_admin(
                connection, status=status, words=q, limit=limit, cursor=cursor
            )
        )
        return tagged(request, listing(request, page, lambda row: row))

    @post("/", status_code=201, opt={"idempotent": True})
    async def create_product(self, request: Request, data: JSONBody[NewProduct]) -> Reply[ProductRecord]:
        """Makes a product: a draft, or at once for sale."""
        session = await request.customer()
        product_id = uuid4()
        slug = data.slug or slug_of(data.title) or str(product_id)
        commands: list[Command] = [
            CreateProduct(
                product_id=product_id,
                title=data.title,
                slug=slug,
                description=data.description,
                brand=data.brand,
                category_id=data.category_id,
                tax_class=data.tax_class,
                options=tuple(data.options),
                attributes=data.attributes,
                images=_images(data.images),
                related=tuple(data.related),
                translations=_translations(data.translations),
            )
        ]
        for variant in data.variants:
            commands += _of_variant(product_id, variant)
        if data.publish:
            commands.append(PublishProduct(product_id=product_id))
        cause = request.cause(actor_of(session), product_id)

        def answer(written: Written) -> Answer:
            made = written.state.product_id
            return Answer.of(_record(written), location=f"/api/v1/admin/products/{made}")

        return await once(
            request,
            catalog.LOG,
            actor_of(session),
            answer,
            lambda keep: catalog.write(request.services.shop, product_id, commands, cause, keep=keep),
        )

    @get("/{product_id:uuid}", opt={"tagged": True})
    async def show_product(self, request: Request, product_id: ProductId) -> Reply[ProductRecord]:
        """A product as it is now."""
        written = await catalog.find(request.services.shop, product_id)
        tag = etag(written.version)
        headers = [(b"etag", tag), (b"cache-control", PRIVATE)]
        if request.header(b"if-none-match") == tag:
            return Reply(b"", 304, headers)
        return Reply.of(_record(written), 200, headers)

    @patch("/{product_id:uuid}", opt={"versioned": True})
    async def change_product(
        self, request: Request, product_id: ProductId, data: JSONBody[ChangeProduct]
    ) -> Reply[ProductRecord]:
        """Describes a product otherwise; needs If-Match. What changed since is told with the refusal."""
        expected = expected_version(request, needed=True)
        images = UNSET if data.images is UNSET else _images(data.images)
        options = UNSET if data.options is UNSET else tuple(data.options)
        command = UpdateProduct(
            product_id=product_id,
            title=data.title,
            slug=data.slug,
            description=data.description,
            brand=data.brand,
            category_id=data.category_id,
            tax_class=data.tax_class,
            options=options,
            attributes=data.attributes,
            images=images,
            related=UNSET if data.related is UNSET else tuple(data.related),
            translations=UNSET if data.translations is UNSET else _translations(data.translations),
        )
        return await _write(request, product_id, [command], expected)

    @post("/{product_id:uuid}/variants", status_code=201, opt={"versioned": True})
    async def add_variant(
        self, request: Request, product_id: ProductId, data: JSONBody[NewVariant]
    ) -> Reply[ProductRecord]:
        """Adds a SKU to a product. The same again changes nothing."""
        return await _write(request, product_id, _of_variant(product_id, data), _given(request), status=201)

    @delete("/{product_id:uuid}/variants/{sku:str}", status_code=200, opt={"versioned": True})
    async def remove_variant(self, request: Request, product_id: ProductId, sku: SkuOfPath) -> Reply[ProductRecord]:
        """Takes a SKU from a product; another may have it then."""
        return await _write(request, product_id, [RemoveVariant(product_id=product_id, sku=sku)], _given(request))

    @put("/{product_id:uuid}/variants/{sku:str}/prices/{currency:str}", opt={"versioned": True})
    async def change_price(
        self,
        request: Request,
        product_id: ProductId,
        sku: SkuOfPath,
        currency: Annotated[str, PathParameter(max_length=3, description="ISO 4217.")],
        data: JSONBody[NewPrice],
    ) -> Reply[ProductRecord]:
        """Names the price of a SKU from now on."""
        command = ChangePrice(product_id=product_id, sku=sku, price=Money(data.amount, currency))
        return await _write(request, product_id, [command], _given(request))

    @post("/{product_id:uuid}/price-schedules", status_code=201, opt={"idempotent": True})
    async def schedule_price(
        self, request: Request, product_id: ProductId, data: JSONBody[NewSchedule]
    ) -> Reply[PriceSchedule]:
        """Lets a price hold from a moment on: a sale until its end, else the regular price.

        Of two sales at once the one that began last holds; a regular price changed meanwhile comes after them.
        """
        session = await request.customer()
        shop = request.services.shop
        command = SchedulePrice(
            product_id=product_id,
            schedule_id=uuid4(),
            sku=data.sku,
            price=Money(data.price.amount, data.price.currency),
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            now=shop.clock.now(),
        )
        cause = request.cause(actor_of(session), product_id)
        return await once(
            request,
            catalog.LOG,
            actor_of(session),
            lambda written: Answer.of(written.state.schedules[command.schedule_id]),
            lambda keep: catalog.write(shop, product_id, [command], cause, keep=keep),
        )

    @delete("/{product_id:uuid}/price-schedules/{schedule_id:uuid}", status_code=200)
    async def cancel_schedule(
        self,
        request: Request,
        product_id: ProductId,
        schedule_id: Annotated[UUID, PathParameter(description="The id of a scheduled price.")],
    ) -> Reply[ProductRecord]:
        """Cancels a scheduled price, and ends it where it is a sale that runs."""
        command = CancelPriceSchedule(product_id=product_id, schedule_id=schedule_id)
        return await _write(request, product_id, [command], None)

    @post("/{product_id:uuid}/publish", status_code=200, opt={"versioned": True})
    async def publish_product(self, request: Request, product_id: ProductId) -> Reply[ProductRecord]:
        """Puts a product on sale, also one that was archived."""
        return await _write(request, product_id, [PublishProduct(product_id=product_id)], _given(request))

    @post("/{product_id:uuid}/archive", status_code=200, opt={"versioned": True})
    async def archive_product(self, request: Request, product_id: ProductId) -> Reply[ProductRecord]:
        """Takes a product off sale."""
        return await _write(request, product_id, [ArchiveProduct(product_id=product_id)], _given(request))

    @get("/{product_id:uuid}/history", opt={"tagged": True})
    async def product_history(
        self, request: Request, product_id: ProductId, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[HistoryEntry]]:
        """Who changed what of a product, and when; the newest first."""
        await catalog.find(request.services.shop, product_id)
        return await show_history(request, product_id, limit, cursor)


async def show_history(request: Request, stream: UUID, limit: int, cursor: str | None) -> Reply[Listing[HistoryEntry]]:
    """A page of a stream's history."""
    before = None if cursor is None else decode_cursor(cursor, tuple[int])[0]
    if before is not None and not 0 < before < 2**62:
        raise KINDS.invalid_cursor()
    found = await catalog.history(request.services.shop, stream, before, limit + 1)
    return tagged(request, listing(request, page_of(found, limit, lambda one: (one.version,)), entry))


def _given(request: Request) -> int | None:
    return expected_version(request, needed=False)


async def _write(
    request: Request, product_id: UUID, commands: Sequence[Command], expected: int | None, *, status: int = 200
) -> Reply[ProductRecord]:
    session = await request.customer()
    cause = request.cause(actor_of(session), product_id)
    try:
        written, committed = await catalog.write(request.services.shop, product_id, commands, cause, expected=expected)
    except OutOfDate as error:
        raise late(error) from None
    headers = [(b"etag", etag(written.version))]
    if committed.position:
        headers.append((b"consistency-token", token_after(request, catalog.LOG, committed.position)))
    return Reply.of(_record(written), status, headers)


def _of_variant(product_id: UUID, variant: NewVariant) -> list[Command]:
    add = AddVariant(product_id=product_id, sku=variant.sku, options=variant.options)
    return [
        add,
        *(
            ChangePrice(product_id=product_id, sku=variant.sku, price=Money(one.amount, one.currency))
            for one in variant.prices
        ),
    ]


def _images(pictures: Sequence[Picture]) -> tuple[Image, ...]:
    return tuple(Image(url=one.url, alt=one.alt, width=one.width, height=one.height) for one in pictures)


def _translations(given: dict[str, TranslatedText]) -> dict[str, Translation]:
    return {language: Translation(title=one.title, description=one.description) for language, one in given.items()}


def _record(written: Written) -> ProductRecord:
    state = written.state
    return ProductRecord(
        product_id=state.product_id,
        version=written.version,
        status=state.status,
        title=state.title,
        slug=state.slug,
        description=state.description,
        brand=state.brand,
        category_id=state.category_id,
        tax_class=state.tax_class,
        options=state.options,
        attributes=state.attributes,
        images=state.images,
        related=state.related,
        translations=state.translations,
        variants=[
            VariantRecord(
                sku=one.sku,
                options=one.options,
                prices=list(one.prices.values()),
                regular=list(one.regular.values()),
            )
            for one in state.variants.values()
        ],
        schedules=list(state.schedules.values()),
    )
