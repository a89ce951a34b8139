"""What customers browse: products by category with price and availability, product pages, categories, price history."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.application.search import Bucket, Facet
from emporium.domain import backorder as b
from emporium.domain import category as c
from emporium.domain import product as p
from emporium.domain import stock
from emporium.domain.base import Event, Money
from emporium.domain.picture import PictureRendered, Rendition
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of
from emporium.projections.reviews import RATED

__all__ = [
    "CATALOG_PAGES",
    "CategoryRow",
    "CategoryTree",
    "Filter",
    "Listed",
    "OfferRow",
    "PriceChange",
    "ProductPage",
    "ProductRow",
    "Supply",
    "VariantView",
    "brands",
    "categories",
    "category_page",
    "facets",
    "listed",
    "listing",
    "offers",
    "page_of_state",
    "price_history",
    "product_page",
    "product_pages",
    "products_for_admin",
    "states",
    "titles",
    "weights",
]

# --- tables ----------------------------------------------------------------------------------------

DDL: Final = """
-- `position` is of the last event that changed the row: it tells who follows these tables what is new.
-- From the catalog log. `state` is the domain's, as json: it keeps the order of variants and attributes.
CREATE TABLE products (
    product_id uuid PRIMARY KEY,
    slug text NOT NULL,
    title text NOT NULL,
    title_key text COLLATE "C" NOT NULL,
    status text NOT NULL,
    published_at timestamptz,
    changed_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    state json NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE variants (
    sku text PRIMARY KEY,
    product_id uuid NOT NULL,
    title text NOT NULL,
    published boolean NOT NULL,
    prices jsonb NOT NULL,
    tax_class text NOT NULL,
    weight bigint NOT NULL
) WITH (fillfactor = 70);
-- A row for each currency in which a published product has a price.
CREATE TABLE listing (
    product_id uuid NOT NULL,
    currency text NOT NULL,
    category_id uuid,
    slug text NOT NULL,
    title text NOT NULL,
    title_key text COLLATE "C" NOT NULL,
    brand text,
    lowest bigint NOT NULL,
    highest bigint NOT NULL,
    published_at timestamptz NOT NULL,
    image jsonb,
    skus text[] NOT NULL,
    traits text[] NOT NULL, -- `name:value`
    numbers jsonb NOT NULL,
    PRIMARY KEY (product_id, currency)
) WITH (fillfactor = 70);
CREATE TABLE price_history (
    sku text NOT NULL,
    position bigint NOT NULL,
    product_id uuid NOT NULL,
    at timestamptz NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    previous bigint
);
CREATE TABLE categories (
    category_id uuid PRIMARY KEY,
    name text NOT NULL,
    slug text NOT NULL,
    parent uuid,
    position bigint NOT NULL,
    former text[] NOT NULL, -- slugs that it had before
    attributes json NOT NULL
);

-- The smaller forms of uploaded pictures.
CREATE TABLE pictures (url text PRIMARY KEY, renditions json NOT NULL);

-- From the inventory log. `available` is less than nothing while orders wait for more than there is; `beyond` units
-- may be sold before they are there, and are expected (`kind`) on a day. `kind` is empty where that has ended.
CREATE TABLE stock (
    sku text PRIMARY KEY,
    available bigint NOT NULL,
    supplied bigint NOT NULL,
    position bigint NOT NULL,
    kind text,
    beyond bigint,
    expected date
) WITH (fillfactor = 50);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS products_slug ON products (slug);
CREATE INDEX IF NOT EXISTS products_position ON products (position);
CREATE INDEX IF NOT EXISTS products_title ON products (title_key, product_id);
CREATE INDEX IF NOT EXISTS variants_product ON variants (product_id);
CREATE UNIQUE INDEX IF NOT EXISTS price_history_changes ON price_history (sku, position);
CREATE INDEX IF NOT EXISTS listing_title ON listing (currency, title_key, product_id);
CREATE INDEX IF NOT EXISTS listing_price ON listing (currency, lowest, product_id);
CREATE INDEX IF NOT EXISTS listing_newest ON listing (currency, published_at DESC, product_id DESC);
CREATE INDEX IF NOT EXISTS listing_category ON listing (category_id, currency, title_key, product_id);
CREATE INDEX IF NOT EXISTS listing_traits ON listing USING gin (traits);
CREATE INDEX IF NOT EXISTS listing_brand ON listing (brand, currency);
"""

_HEAVIEST: Final = 10**9

# --- fold ------------------------------------------------------------------------------------------

_STATE: Final = msgspec.json.Encoder()


class _Product(msgspec.Struct):
    product_id: UUID
    slug: str
    title: str
    title_key: str
    status: str
    published_at: datetime | str | None
    changed_at: datetime
    version: int
    position: int
    state: msgspec.Raw


class _Variant(msgspec.Struct):
    sku: str
    product_id: UUID
    title: str
    published: bool
    prices: Mapping[str, Money]
    tax_class: str
    weight: int


class _Listed(msgspec.Struct):
    product_id: UUID
    currency: str
    category_id: UUID | None
    slug: str
    title: str
    title_key: str
    brand: str | None
    lowest: int
    highest: int
    published_at: datetime | str
    image: p.Image | None
    skus: list[str]
    traits: list[str]
    numbers: Mapping[str, float]


class _Price(msgspec.Struct):
    sku: str
    position: int
    product_id: UUID
    at: datetime
    currency: str
    amount: int
    previous: int | None


class _Category(msgspec.Struct):
    category_id: UUID
    name: str
    slug: str
    parent: UUID | None
    position: int
    former: list[str]
    attributes: dict[str, c.AttributeKind]


class _Stock(msgspec.Struct):
    """What a batch does to a row; `kind`, `beyond` and `expected` where they were set."""

    sku: str
    available: int = 0
    supplied: int = 0
    position: int = 0
    kind: str | None = None
    beyond: int | None = None
    expected: date | None = None


_CATEGORY_EVENTS: Final = c.CATEGORIES.events


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of one log's events."""
    if log == "inventory":
        await _fold_stock(tables, events)
        return
    await tables.write(
        "INSERT INTO pictures SELECT * FROM json_populate_recordset(NULL::pictures, %s)"
        " ON CONFLICT (url) DO UPDATE SET renditions = excluded.renditions",
        [
            {"url": one.event.url, "renditions": one.event.renditions}
            for one in events
            if isinstance(one.event, PictureRendered)
        ],
    )
    events = [one for one in events if not isinstance(one.event, PictureRendered)]
    await _fold_categories(tables, [one for one in events if isinstance(one.event, _CATEGORY_EVENTS)])
    await _fold_products(tables, [one for one in events if not isinstance(one.event, _CATEGORY_EVENTS)])


async def _fold_stock(tables: Tables, events: Sequence[Recorded]) -> None:
    changes: dict[str, _Stock] = {}
    for one in events:
        event: Any = one.event
        row = changes.get(event.sku)
        if row is None:
            row = changes[event.sku] = _Stock(event.sku)
        row.position = one.position
        match event:
            case b.BackorderAllowed():
                row.kind, row.beyond, row.expected = event.kind, event.limit, event.expected
            case b.BackorderEnded():
                row.kind, row.beyond, row.expected = "", 0, None
            case b.UnitsBackordered():
                row.available -= event.quantity
            case b.BackorderFilled() | b.BackorderReleased():
                row.available += event.quantity
            case _:
                # The domain's own arithmetic from an empty stock is the change: it is linear.
                after = stock.evolve(None, event)
                row.available += after.available
                # What was ever on the shelves: the same before and after a sale.
                row.supplied += after.on_hand + after.shipped
    await tables.write(
        "INSERT INTO stock AS t SELECT * FROM json_populate_recordset(NULL::stock, %s)"
        " ON CONFLICT (sku) DO UPDATE SET available = t.available + excluded.available,"
        " supplied = t.supplied + excluded.supplied, position = excluded.position,"
        " kind = coalesce(excluded.kind, t.kind), beyond = coalesce(excluded.beyond, t.beyond),"
        " expected = CASE WHEN excluded.kind IS NULL THEN t.expected ELSE excluded.expected END",
        list(changes.values()),
    )


async def _fold_categories(tables: Tables, events: Sequence[Recorded]) -> None:
    begun = {one.event.category_id for one in events if isinstance(one.event, c.CategoryCreated)}
    asked = {_key(one) for one in events}
    found = await tables.fetch(
        "SELECT category_id, name, slug, parent, position, former, attributes FROM categories"
        " WHERE category_id = ANY(%s)",
        list(asked - begun),
    )
    rows = {row[0]: _Category(*row) for row in found}
    for row in rows.values():
        row.attributes = msgspec.convert(row.attributes, dict[str, c.AttributeKind])
    for one in events:
        event: Any = one.event
        match event:
            case c.CategoryCreated(category_id=key, name=name, slug=slug, parent=parent):
                rows[key] = _Category(key, name, slug, parent, 0, [], {})
            case c.CategoryRenamed(category_id=key, name=name, slug=slug):
                row = rows[key]
                row.former = [one for one in (*row.former, row.slug) if one != slug]
                row.name, row.slug = name, slug
            case c.CategoryMoved(category_id=key, parent=parent):
                rows[key].parent = parent
            case c.AttributeDefined(category_id=key, attribute=kind):
                rows[key].attributes[kind.name] = kind
            case c.AttributeRemoved(category_id=key, name=name):
                rows[key].attributes.pop(name, None)
        rows[event.category_id].position = one.position
    await tables.write(
        "INSERT INTO categories SELECT * FROM json_populate_recordset(NULL::categories, %s)"
        " ON CONFLICT (category_id) DO UPDATE SET name = excluded.name, slug = excluded.slug, parent = excluded.parent,"
        " position = excluded.position, former = excluded.former, attributes = excluded.attributes",
        list(rows.values()),
    )


async def _fold_products(tables: Tables, events: Sequence[Recorded]) -> None:
    begun = {_key(one) for one in events if isinstance(one.event, p.ProductCreated)}
    found = await tables.fetch(
        "SELECT product_id, published_at, state::text FROM products WHERE product_id = ANY(%s)",
        list({_key(one) for one in events} - begun),
    )
    before = {key: msgspec.json.decode(state, type=p.ProductState) for key, _, state in found}
    published: dict[UUID, datetime] = {key: at for key, at, _ in found if at is not None}
    states = dict(before)
    last: dict[UUID, Recorded] = {}
    prices = []
    for one in events:
        event: Any = one.event
        key = event.product_id
        states[key] = p.evolve(None if isinstance(event, p.ProductCreated) else states[key], event)
        last[key] = one
        if isinstance(event, p.ProductPublished):
            published.setdefault(key, one.at)
        elif isinstance(event, p.PriceChanged):
            previous = None if event.previous is None else event.previous.amount
            prices.append(
                _Price(event.sku, one.position, key, one.at, event.price.currency, event.price.amount, previous)
            )
    await tables.write(
        "INSERT INTO price_history SELECT * FROM json_populate_recordset(NULL::price_history, %s)", prices
    )
    await tables.write(
        "INSERT INTO products SELECT * FROM json_populate_recordset(NULL::products, %s)"
        " ON CONFLICT (product_id) DO UPDATE SET slug = excluded.slug, title = excluded.title,"
        " title_key = excluded.title_key, status = excluded.status, published_at = excluded.published_at,"
        " changed_at = excluded.changed_at, version = excluded.version,"
        " position = excluded.position, state = excluded.state",
        [_product(states[key], published.get(key), one) for key, one in last.items()],
    )
    await _write_variants(tables, before, [states[key] for key in last])
    await tables.write(
        "DELETE FROM listing t USING json_populate_recordset(NULL::listing, %s) x WHERE t.product_id = x.product_id",
        [{"product_id": key} for key in last if key in before],
    )
    await tables.write(
        "INSERT INTO listing SELECT * FROM json_populate_recordset(NULL::listing, %s)",
        [row for key in last for row in _listed(states[key], published.get(key))],
    )


async def _write_variants(
    tables: Tables, before: Mapping[UUID, p.ProductState], states: Sequence[p.ProductState]
) -> None:
    """A SKU belongs to one product at a time, but may leave one and join another within a batch."""
    rows = [
        _Variant(
            sku,
            state.product_id,
            state.title,
            state.status == p.PUBLISHED,
            variant.prices,
            state.tax_class,
            _weight(state),
        )
        for state in states
        for sku, variant in state.variants.items()
    ]
    kept = {row.sku for row in rows}
    await tables.write(
        "DELETE FROM variants t USING json_populate_recordset(NULL::variants, %s) x WHERE t.sku = x.sku",
        [{"sku": sku} for state in before.values() for sku in state.variants if sku not in kept],
    )
    await tables.write(
        "INSERT INTO variants SELECT * FROM json_populate_recordset(NULL::variants, %s)"
        " ON CONFLICT (sku) DO UPDATE SET product_id = excluded.product_id, title = excluded.title,"
        " published = excluded.published, prices = excluded.prices, tax_class = excluded.tax_class,"
        " weight = excluded.weight",
        rows,
    )


def _weight(state: p.ProductState) -> int:
    """One unit's, in grams; 0 where the attribute is no number that a weight can be."""
    given = state.attributes.get(p.WEIGHT)
    return round(given) if isinstance(given, int | float) and 0 <= given <= _HEAVIEST else 0


def _product(state: p.ProductState, published_at: datetime | None, one: Recorded) -> _Product:
    return _Product(
        state.product_id,
        state.slug,
        state.title,
        state.title.casefold(),
        state.status,
        published_at,
        one.at,
        one.version,
        one.position,
        msgspec.Raw(_STATE.encode(state)),
    )


def _listed(state: p.ProductState, published_at: datetime | None) -> list[_Listed]:
    if state.status != p.PUBLISHED or published_at is None:
        return []
    amounts: dict[str, list[int]] = {}
    for variant in state.variants.values():
        for currency, price in variant.prices.items():
            amounts.setdefault(currency, []).append(price.amount)
    traits = [f"{name}:{value}" for name, values in state.traits().items() for value in values]
    numbers = state.numbers()
    return [
        _Listed(
            product_id=state.product_id,
            currency=currency,
            category_id=state.category_id,
            slug=state.slug,
            title=state.title,
            title_key=state.title.casefold(),
            brand=state.brand,
            lowest=min(these),
            highest=max(these),
            published_at=published_at,
            image=state.images[0] if state.images else None,
            skus=[sku for sku, variant in state.variants.items() if currency in variant.prices],
            traits=traits,
            numbers=numbers,
        )
        for currency, these in amounts.items()
    ]


def _key(one: Recorded) -> UUID:
    event: Any = one.event
    if one.log == "inventory":
        return event.sku  # type: ignore[no-any-return]
    if isinstance(event, PictureRendered):
        return event.picture_id
    key: UUID = event.product_id if hasattr(event, "product_id") else event.category_id
    return key


_MOVES: Final[tuple[type[Event], ...]] = tuple(
    event
    for event in (*stock.STOCK.events, *b.BACKORDERS.events)
    if event not in (stock.LowStockMarkSet, stock.StockLevelLow)
)

CATALOG_PAGES: Final = ReadModel(
    name="catalog_pages",
    version=6,
    logs={"catalog": (*p.PRODUCT.events, *_CATEGORY_EVENTS, PictureRendered), "inventory": _MOVES},
    ddl=DDL,
    indexes=INDEXES,
    key=_key,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------

Sort = Literal["title", "price", "price_desc", "newest"]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What products of a listing must be like. Values of one name are alternatives; different names all hold.

    Attributes:
        category_id: of this category or one below it.
        attributes: name → wanted values; ranges: name of a number → least and most (None: open).
        price_from, price_to: the lowest price, in minor units.
        rating_from: the least rating, 0 to 5.
    """

    category_id: UUID | None = None
    brands: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = {}
    ranges: Mapping[str, tuple[float | None, float | None]] = {}
    price_from: int | None = None
    price_to: int | None = None
    rating_from: float | None = None
    available: bool | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A product in a listing. Prices are minor units; `available` units over its variants and all warehouses.

    `expected` is the first day on which units are there that can be ordered before.
    """

    product_id: UUID
    slug: str
    title: str
    brand: str | None
    category_id: UUID | None
    currency: str
    lowest: int
    highest: int
    image: dict[str, Any] | None
    published_at: datetime
    available: int
    expected: date | None = None


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """Units that can be had now, and those that can be ordered before they are there: on a day, `kind` says why."""

    available: int = 0
    later: int = 0
    kind: str | None = None
    expected: date | None = None


class VariantView(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU of a product, its options, its prices by currency and the units that can be had."""

    sku: str
    options: dict[str, str]
    prices: dict[str, Money]
    regular: dict[str, Money]
    supply: Supply


class CategoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A category; `parent` is None at the top."""

    category_id: UUID
    name: str
    slug: str
    parent: UUID | None


class CategoryTree(msgspec.Struct, frozen=True, kw_only=True):
    """A category with its way from the top, what hangs below it, and the attributes of its products."""

    path: tuple[CategoryRow, ...]
    below: tuple[CategoryRow, ...]
    attributes: tuple[c.AttributeKind, ...]


class ProductPage(msgspec.Struct, frozen=True, kw_only=True):
    """All that a product's page shows. `path` are its categories from the top down, `sizes` its pictures' smaller
    forms by their addresses."""

    product_id: UUID
    slug: str
    title: str
    status: str
    description: str
    brand: str | None
    tax_class: str
    path: tuple[CategoryRow, ...]
    options: tuple[str, ...]
    attributes: dict[str, p.AttributeValue]
    images: tuple[p.Image, ...]
    variants: tuple[VariantView, ...]
    published_at: datetime | None
    changed_at: datetime
    version: int
    related: tuple[UUID, ...] = ()
    translations: dict[str, p.Translation] = {}
    sizes: dict[str, tuple[Rendition, ...]] = {}


class ProductRow(msgspec.Struct, frozen=True, kw_only=True):
    """A product in the list of staff, whatever its status; `version` is the ETag of its record."""

    product_id: UUID
    slug: str
    title: str
    status: str
    published_at: datetime | None
    changed_at: datetime
    version: int


class PriceChange(msgspec.Struct, frozen=True, kw_only=True):
    """A price from `at` on, in minor units."""

    sku: str
    position: int
    at: datetime
    currency: str
    amount: int
    previous: int | None


class OfferRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a SKU can be had for: price in minor units (None without one in the currency asked for), units.

    `weight` is one unit's, in grams; `supplied` is how many units there are or ever were, or may be sold before they
    are there; of these `later` are left, which are expected (`kind`) on a day.
    """

    sku: str
    product_id: UUID
    title: str
    price: int | None
    available: int
    supplied: int
    later: int
    kind: str | None
    expected: date | None
    tax_class: str
    weight: int


_SORTS: Final[dict[str, tuple[str, str, str, type[tuple[Any, ...]]]]] = {
    "title": ("title_key", ">", "ASC", tuple[str, UUID]),
    "price": ("lowest", ">", "ASC", tuple[int, UUID]),
    "price_desc": ("lowest", "<", "DESC", tuple[int, UUID]),
    "newest": ("published_at", "<", "DESC", tuple[datetime, UUID]),
}


_LATER: Final = "greatest(coalesce(s.beyond, 0) + least(coalesce(s.available, 0), 0), 0)"
"""Units that can be ordered before they are there."""

_LISTED: Final = (
    "product_id, slug, title, brand, category_id, currency, lowest, highest, image, published_at,"
    " (SELECT coalesce(sum(greatest(s.available, 0)), 0)::bigint FROM rm_catalog_pages.stock s"
    " WHERE s.sku = ANY(l.skus)),"
    f" (SELECT min(s.expected) FROM rm_catalog_pages.stock s WHERE s.sku = ANY(l.skus) AND {_LATER} > 0)"
)


async def listing(
    connection: Connection,
    currency: str,
    *,
    category_id: UUID | None = None,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    sort: Sort = "title",
    limit: int = 24,
    cursor: str | None = None,
) -> Page[Listed]:
    """Published products that have a price in the currency, of a category and all below it. Raises BadCursor."""
    column, after, direction, shape = _SORTS[sort]
    if category_id is not None:
        chosen = msgspec.structs.replace(chosen, category_id=category_id)
    clauses, values = _where(currency, chosen)
    where = " AND ".join(clauses.values())
    values["limit"] = limit + 1
    if cursor is not None:
        where += f" AND (l.{column}, l.product_id) {after} (%(value)s, %(product_id)s)"
        values["value"], values["product_id"] = decode_cursor(cursor, shape)
    found = await connection.execute(
        f"SELECT {_LISTED}, l.{column} FROM rm_catalog_pages.listing l WHERE {where}"
        f" ORDER BY l.{column} {direction}, l.product_id {direction} LIMIT %(limit)s",
        values,
    )
    names = Listed.__struct_fields__
    rows = [(Listed(**dict(zip(names, row, strict=False))), row[-1]) for row in await found.fetchall()]
    page = page_of(rows, limit, lambda row: (row[1], row[0].product_id))
    return Page([row for row, _ in page.items], page.next)


_CATEGORY: Final = (
    "l.category_id IN (WITH RECURSIVE below AS (SELECT %(category_id)s::uuid AS category_id UNION"
    " SELECT t.category_id FROM rm_catalog_pages.categories t JOIN below b ON t.parent = b.category_id)"
    " SELECT category_id FROM below)"
)
_IN_STOCK: Final = "EXISTS (SELECT FROM rm_catalog_pages.stock s WHERE s.sku = ANY(l.skus) AND s.available > 0)"


def _where(currency: str, chosen: Filter) -> tuple[dict[str, str], dict[str, Any]]:
    """The conditions by the name of the facet that they belong to, and their values."""
    clauses = {"currency": "l.currency = %(currency)s"}
    values: dict[str, Any] = {"currency": currency}
    if chosen.category_id is not None:
        clauses["category"] = _CATEGORY
        values["category_id"] = chosen.category_id
    if chosen.brands:
        clauses["brand"] = "l.brand = ANY(%(brands)s)"
        values["brands"] = list(chosen.brands)
    for place, (name, wanted) in enumerate(chosen.attributes.items()):
        clauses[f"attribute.{name}"] = f"l.traits && %(traits{place})s"
        values[f"traits{place}"] = [f"{name}:{value}" for value in wanted]
    for place, (name, bounds) in enumerate(chosen.ranges.items()):
        values |= {f"number{place}": name, f"least{place}": bounds[0], f"most{place}": bounds[1]}
        least, most = (f"coalesce(%({word}{place})s::float8, '{end}')" for word, end in _OPEN)
        clauses[f"number.{name}"] = f"(l.numbers ->> %(number{place})s)::float8 BETWEEN {least} AND {most}"
    prices = (("price_from", ">=", chosen.price_from), ("price_to", "<=", chosen.price_to))
    bounded = [f"l.lowest {sign} %({word})s" for word, sign, amount in prices if amount is not None]
    if bounded:
        clauses["price"] = " AND ".join(bounded)
        values |= {word: amount for word, _, amount in prices}
    if chosen.rating_from is not None:
        clauses["rating"] = (
            f"EXISTS (SELECT FROM {RATED} r WHERE r.product_id = l.product_id AND r.rating >= %(rated)s)"
        )
        values["rated"] = round(chosen.rating_from * 100)
    if chosen.available is not None:
        clauses["available"] = _IN_STOCK if chosen.available else f"NOT {_IN_STOCK}"
    return clauses, values


_OPEN: Final = (("least", "-infinity"), ("most", "infinity"))
_LEAST_RATINGS: Final = (4, 3, 2, 1)

FACET_VALUES: Final = 30
"""The most values that are told of a facet."""


async def facets(connection: Connection, currency: str, chosen: Filter) -> list[Facet]:
    """By what the products of a listing could be narrowed: how many there would be with each value, whatever else of
    the same facet is chosen."""
    clauses, values = _where(currency, chosen)

    def without(name: str) -> str:
        return " AND ".join(clause for facet, clause in clauses.items() if facet != name)

    async def counted(name: str, select: str, where: str) -> Facet | None:
        found = await connection.execute(
            f"SELECT {select}, count(*) FROM rm_catalog_pages.listing l WHERE {where}"
            f" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {FACET_VALUES}",
            values,
        )
        buckets = tuple(Bucket(value=str(value), count=count) for value, count in await found.fetchall() if value)
        return Facet(name=name, buckets=buckets) if buckets else None

    async def rated() -> Facet | None:
        # "4 and more", "3 and more" …: who is in one is in all below it.
        counts = ", ".join(f"count(*) FILTER (WHERE r.rating >= {100 * least})" for least in _LEAST_RATINGS)
        found = await connection.execute(
            f"SELECT {counts} FROM rm_catalog_pages.listing l JOIN {RATED} r USING (product_id)"
            f" WHERE {without('rating')}",
            values,
        )
        row = await found.fetchone() or ()
        buckets = [Bucket(value=str(least), count=n) for least, n in zip(_LEAST_RATINGS, row, strict=False) if n]
        return Facet(name="rating", buckets=tuple(buckets)) if buckets else None

    async def ends(each: str, where: str) -> list[Facet]:
        """Of numbers, by name, the least and the greatest."""
        found = await connection.execute(
            "SELECT e.name, count(*), min(e.value), max(e.value) FROM rm_catalog_pages.listing l"
            f" CROSS JOIN LATERAL ({each}) e WHERE {where} GROUP BY 1 ORDER BY 1 LIMIT {FACET_VALUES}",
            values,
        )
        return [
            Facet(name=name, buckets=tuple(Bucket(value=_plain(end), count=count) for end in (least, most)))
            for name, count, least, most in await found.fetchall()
        ]

    made = [
        await counted(
            "category", "l.category_id::text", without("category") if not chosen.category_id else without("")
        ),
        await counted("brand", "l.brand", without("brand")),
        await counted("available", f"CASE WHEN {_IN_STOCK} THEN 'true' ELSE 'false' END", without("available")),
        await rated(),
        *await ends("SELECT 'price' AS name, l.lowest::float8 AS value", without("price")),
    ]
    found = await connection.execute(
        "SELECT t, count(*) FROM rm_catalog_pages.listing l, unnest(l.traits) t"
        f" WHERE {without('')} GROUP BY t ORDER BY 2 DESC, 1",
        values,
    )
    by_name: dict[str, list[Bucket]] = {}
    for trait, count in await found.fetchall():
        name, _, value = trait.partition(":")
        if f"attribute.{name}" not in clauses:
            by_name.setdefault(name, []).append(Bucket(value=value, count=count))
    for name in chosen.attributes:
        found = await connection.execute(
            "SELECT substr(t, %(start)s), count(*) FROM rm_catalog_pages.listing l, unnest(l.traits) t"
            f" WHERE {without(f'attribute.{name}')} AND starts_with(t, %(prefix)s) GROUP BY 1 ORDER BY 2 DESC, 1",
            {**values, "start": len(name) + 2, "prefix": f"{name}:"},
        )
        by_name[name] = [Bucket(value=value, count=count) for value, count in await found.fetchall()]
    made += [
        Facet(name=f"attribute.{name}", buckets=tuple(buckets[:FACET_VALUES]))
        for name, buckets in sorted(by_name.items())
    ]
    numbers = "SELECT 'number.' || n.key AS name, n.value::float8 FROM jsonb_each_text(l.numbers) n"
    told = {one.name: one for one in await ends(numbers, without(""))}
    for name in chosen.ranges:
        told |= {
            one.name: one for one in await ends(numbers, without(f"number.{name}")) if one.name == f"number.{name}"
        }
    return [*(one for one in made if one is not None), *(one for _, one in sorted(told.items()))]


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else str(number)


async def brands(connection: Connection, currency: str) -> list[Bucket]:
    """The brands of what is for sale, with how many products each has."""
    found = await connection.execute(
        "SELECT brand, count(*) FROM rm_catalog_pages.listing WHERE currency = %s AND brand IS NOT NULL"
        ' GROUP BY 1 ORDER BY brand COLLATE "C"',
        [currency],
    )
    return [Bucket(value=value, count=count) for value, count in await found.fetchall()]


async def listed(connection: Connection, ids: Sequence[UUID], currency: str) -> dict[UUID, Listed]:
    """Those of these products that are in listings, as they are there."""
    found = await connection.execute(
        f"SELECT {_LISTED} FROM rm_catalog_pages.listing l WHERE l.currency = %s AND l.product_id = ANY(%s)",
        [currency, list(ids)],
    )
    rows = [Listed(**dict(zip(Listed.__struct_fields__, row, strict=True))) for row in await found.fetchall()]
    return {row.product_id: row for row in rows}


async def products_for_admin(
    connection: Connection,
    *,
    status: str | None = None,
    words: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ProductRow]:
    """All products by title; `words` stand in a title, slug or SKU. Raises BadCursor."""
    where = "true"
    values: dict[str, Any] = {"limit": limit + 1}
    if status is not None:
        where = "status = %(status)s"
        values["status"] = status
    if words:
        where += (
            " AND (position(%(words)s in title_key) > 0 OR position(%(words)s in slug) > 0 OR product_id IN"
            " (SELECT product_id FROM rm_catalog_pages.variants WHERE position(%(words)s in lower(sku)) > 0))"
        )
        values["words"] = words.casefold()
    if cursor is not None:
        where += " AND (title_key, product_id) > (%(title_key)s, %(product_id)s)"
        values["title_key"], values["product_id"] = decode_cursor(cursor, tuple[str, UUID])
    async with connection.cursor(row_factory=class_row(ProductRow)) as found:
        await found.execute(
            "SELECT product_id, slug, title, status, published_at, changed_at, version FROM rm_catalog_pages.products"
            f" WHERE {where} ORDER BY title_key, product_id LIMIT %(limit)s",
            values,
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.title.casefold(), row.product_id))


async def product_page(
    connection: Connection, product: UUID | str, *, published_only: bool = True
) -> ProductPage | None:
    """The page of a product, by its id or slug; None where there is none (for customers: none published)."""
    return (await product_pages(connection, [product], published_only=published_only)).get(product)


async def product_pages(
    connection: Connection, products: Sequence[UUID | str], *, published_only: bool = True
) -> dict[UUID | str, ProductPage]:
    """The pages of those products, by their ids and slugs, that have one."""
    found = await connection.execute(
        "SELECT published_at, changed_at, version, state::text, ("
        "SELECT json_object_agg(s.sku, json_build_object('available', greatest(s.available, 0), 'later',"
        f" {_LATER}, 'kind', nullif(s.kind, ''), 'expected', s.expected)) FROM rm_catalog_pages.stock s"
        " WHERE s.sku IN (SELECT v.sku FROM rm_catalog_pages.variants v WHERE v.product_id = t.product_id))::text,"
        " (SELECT json_object_agg(p.url, p.renditions) FROM rm_catalog_pages.pictures p"
        " WHERE p.url IN (SELECT i ->> 'url' FROM json_array_elements(t.state -> 'images') i))::text"
        " FROM rm_catalog_pages.products t WHERE (product_id = ANY(%s::uuid[]) OR slug = ANY(%s::text[]))"
        " AND (status = 'published' OR NOT %s)",
        [
            [one for one in products if isinstance(one, UUID)],
            [one for one in products if isinstance(one, str)],
            published_only,
        ],
    )
    rows = [(_STATES.decode(row[3]), row) for row in await found.fetchall()]
    paths = await _paths(connection, {state.category_id for state, _ in rows if state.category_id is not None})
    pages: dict[UUID | str, ProductPage] = {}
    for state, (published_at, changed_at, version, _, supplies, sizes) in rows:
        supply = {} if supplies is None else _SUPPLIES.decode(supplies)
        path = () if state.category_id is None else paths.get(state.category_id, ())
        page = page_of_state(state, path, supply, published_at, changed_at, version)
        if sizes is not None:
            page = msgspec.structs.replace(page, sizes=_SIZES.decode(sizes))
        pages[page.product_id] = pages[page.slug] = page
    return pages


_STATES: Final = msgspec.json.Decoder(p.ProductState)
_SUPPLIES: Final = msgspec.json.Decoder(dict[str, Supply])
_SIZES: Final = msgspec.json.Decoder(dict[str, tuple[Rendition, ...]])


def page_of_state(
    state: p.ProductState,
    path: tuple[CategoryRow, ...],
    supply: Mapping[str, Supply],
    published_at: datetime | None,
    changed_at: datetime,
    version: int,
) -> ProductPage:
    """The page of a product in this state, with the units of its SKUs that can be had."""
    return ProductPage(
        product_id=state.product_id,
        slug=state.slug,
        title=state.title,
        status=state.status,
        description=state.description,
        brand=state.brand,
        tax_class=state.tax_class,
        path=path,
        options=state.options,
        attributes=state.attributes,
        images=state.images,
        variants=tuple(
            VariantView(
                sku=sku,
                options=variant.options,
                prices=variant.prices,
                regular=variant.regular,
                supply=supply.get(sku, _NONE),
            )
            for sku, variant in state.variants.items()
        ),
        published_at=published_at,
        changed_at=changed_at,
        version=version,
        related=state.related,
        translations=state.translations,
    )


_NONE: Final = Supply()


async def states(connection: Connection, *, after: UUID, limit: int) -> list[p.ProductState]:
    """A page of all products of every status, by id."""
    found = await connection.execute(
        "SELECT state::text FROM rm_catalog_pages.products WHERE product_id > %s ORDER BY product_id LIMIT %s",
        [after, limit],
    )
    return [msgspec.json.decode(text, type=p.ProductState) for (text,) in await found.fetchall()]


async def category_page(connection: Connection, category: UUID | str) -> CategoryTree | None:
    """A category by its id, its slug, or one that it had before; None where there is none."""
    where = "category_id = %(one)s" if isinstance(category, UUID) else "slug = %(one)s OR %(one)s = ANY(former)"
    found = await connection.execute(
        f"SELECT category_id FROM rm_catalog_pages.categories WHERE {where}"
        " ORDER BY slug = %(text)s DESC, category_id LIMIT 1",
        {"one": category, "text": str(category)},
    )
    row = await found.fetchone()
    if row is None:
        return None
    path = (await _paths(connection, [row[0]]))[row[0]]
    kinds: dict[str, c.AttributeKind] = {}
    found = await connection.execute(
        "SELECT category_id, attributes FROM rm_catalog_pages.categories WHERE category_id = ANY(%s)",
        [[one.category_id for one in path]],
    )
    own = dict(await found.fetchall())
    for one in path:
        kinds |= msgspec.convert(own[one.category_id], dict[str, c.AttributeKind])
    async with connection.cursor(row_factory=class_row(CategoryRow)) as below:
        await below.execute(
            "SELECT category_id, name, slug, parent FROM rm_catalog_pages.categories WHERE parent = %s"
            ' ORDER BY name COLLATE "C", slug',
            [row[0]],
        )
        return CategoryTree(path=path, below=tuple(await below.fetchall()), attributes=tuple(kinds.values()))


async def _paths(connection: Connection, ids: Collection[UUID]) -> dict[UUID, tuple[CategoryRow, ...]]:
    """Of each of these categories that there is, it and all above it, from the top down."""
    if not ids:
        return {}
    found = await connection.execute(
        "WITH RECURSIVE above AS (SELECT category_id AS below, category_id, name, slug, parent, 0 AS height"
        " FROM rm_catalog_pages.categories WHERE category_id = ANY(%s)"
        " UNION SELECT a.below, t.category_id, t.name, t.slug, t.parent, a.height + 1"
        " FROM rm_catalog_pages.categories t JOIN above a"
        " ON t.category_id = a.parent WHERE a.height < %s)"
        " SELECT below, category_id, name, slug, parent FROM above ORDER BY height DESC",
        [list(ids), c.MAX_DEPTH],
    )
    paths: dict[UUID, tuple[CategoryRow, ...]] = {}
    for below, category_id, name, slug, parent in await found.fetchall():
        row = CategoryRow(category_id=category_id, name=name, slug=slug, parent=parent)
        paths[below] = (*paths.get(below, ()), row)
    return paths


async def categories(connection: Connection) -> list[CategoryRow]:
    """The whole tree, by name."""
    async with connection.cursor(row_factory=class_row(CategoryRow)) as found:
        await found.execute(
            'SELECT category_id, name, slug, parent FROM rm_catalog_pages.categories ORDER BY name COLLATE "C", slug'
        )
        return await found.fetchall()


async def price_history(
    connection: Connection, *skus: str, limit: int = 50, cursor: str | None = None
) -> Page[PriceChange]:
    """The prices that SKUs have had, newest first. Raises BadCursor."""
    before = None if cursor is None else decode_cursor(cursor, tuple[int])[0]
    async with connection.cursor(row_factory=class_row(PriceChange)) as found:
        await found.execute(
            "SELECT sku, position, at, currency, amount, previous FROM rm_catalog_pages.price_history"
            " WHERE sku = ANY(%s) AND position < coalesce(%s, 9223372036854775807) ORDER BY position DESC LIMIT %s",
            [list(skus), before, limit + 1],
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.position,))


async def weights(connection: Connection, skus: Sequence[str]) -> dict[str, int]:
    """Grams of a unit of each of these SKUs that is known, published or not; 0 where nobody has said."""
    found = await connection.execute(
        "SELECT sku, weight FROM rm_catalog_pages.variants WHERE sku = ANY(%s)", [list(skus)]
    )
    return {str(sku): int(weight) for sku, weight in await found.fetchall()}


async def titles(connection: Connection, skus: Sequence[str]) -> dict[str, str]:
    """What each of these SKUs that is known is called, published or not."""
    found = await connection.execute(
        "SELECT sku, title FROM rm_catalog_pages.variants WHERE sku = ANY(%s)", [list(skus)]
    )
    return {str(sku): str(title) for sku, title in await found.fetchall()}


async def offers(connection: Connection, skus: Sequence[str], currency: str) -> dict[str, OfferRow]:
    """What the published ones among these SKUs can be had for, with one query."""
    async with connection.cursor(row_factory=class_row(OfferRow)) as found:
        await found.execute(
            "SELECT v.sku, v.product_id, v.title, (v.prices -> %s ->> 'amount')::bigint AS price,"
            " greatest(coalesce(s.available, 0), 0) AS available,"
            " coalesce(s.supplied, 0) + coalesce(s.beyond, 0) AS supplied,"
            f" {_LATER} AS later, nullif(s.kind, '') AS kind, s.expected, v.tax_class, v.weight"
            " FROM rm_catalog_pages.variants v"
            " LEFT JOIN rm_catalog_pages.stock s USING (sku) WHERE v.sku = ANY(%s) AND v.published",
            [currency, list(skus)],
        )
        return {row.sku: row for row in await found.fetchall()}
