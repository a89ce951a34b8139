"""What a search index is made of: the documents of published products, and which of them have changed since."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.application.search import Document, Price, Text
from emporium.domain import product as p
from emporium.domain.category import MAX_DEPTH
from emporium.projections import reviews, sales
from emporium.projections.generations import LIVE
from emporium.projections.model import Connection
from emporium.projections.reviews import NOTHING, REVIEWS, Rating
from emporium.projections.sales import SALES

__all__ = ["FIRST", "Changes", "Standing", "changes", "count", "currencies", "documents", "spread", "standing"]

MODEL: Final = "catalog_pages"

SOLD: Final = "ordering"
"""The log that tells of sales."""

ORDERS: Final = 5_000
"""Orders of which the products are looked up at once."""

FIRST: Final = UUID(int=0)
"""Before all products, for the first page of `documents`."""


class Standing(msgspec.Struct, frozen=True):
    """How far the read model is: log → position and the log's incarnation."""

    positions: Mapping[str, tuple[int, UUID | None]]

    @property
    def version(self) -> int:
        """A number that grows with every step of any log."""
        return sum(position for position, _ in self.positions.values())

    def follows(self, before: "Standing") -> bool:
        """Whether this is a later moment of the same logs: after a restore it is not."""
        return all(
            # A log that nobody had read yet has no life that could be another one.
            log in self.positions and life in (None, self.positions[log][1]) and self.positions[log][0] >= position
            for log, (position, life) in before.positions.items()
        )

    def position(self, log: str) -> int:
        """How far it is in a log; 0 in one that was not followed yet."""
        return self.positions[log][0] if log in self.positions else 0

    def unsold(self, before: "Standing") -> "Standing":
        """The same, but of the sales no further than before."""
        others = {log: one for log, one in self.positions.items() if log != SOLD}
        return Standing(others | ({SOLD: before.positions[SOLD]} if SOLD in before.positions else {}))


class Changes(msgspec.Struct, frozen=True):
    """Which products have changed up to a moment; of those whose stock alone has, whether there is any.

    Attributes:
        upto: what these changes, and those that `spread` finds, bring an index to.
        version: of the documents that can be read now.
    """

    changed: Sequence[UUID]
    stocked: Mapping[UUID, bool]
    upto: Standing
    version: int


_STOCKED: Final = """
WITH touched AS (
    SELECT v.product_id, s.position FROM rm_catalog_pages.stock s JOIN rm_catalog_pages.variants v USING (sku)
    WHERE s.position > %(inventory)s AND v.published ORDER BY s.position LIMIT %(most)s
), upto AS (SELECT CASE WHEN count(*) = %(most)s THEN max(position) END AS position FROM touched)
SELECT t.product_id, bool_or(coalesce(s.available, 0) > 0), (SELECT position FROM upto)
FROM (SELECT DISTINCT product_id FROM touched) t
JOIN rm_catalog_pages.variants v USING (product_id) LEFT JOIN rm_catalog_pages.stock s USING (sku)
GROUP BY 1
"""

# A category tells of itself in every product below it; and every rating leans on the prior: where that has moved, all
# have.
_SPREAD: Final = """
WITH RECURSIVE moved AS (
    SELECT category_id FROM rm_catalog_pages.categories WHERE position > %(catalog)s AND position <= %(catalog_upto)s
    UNION
    SELECT t.category_id FROM rm_catalog_pages.categories t JOIN moved m ON t.parent = m.category_id
)
SELECT product_id FROM rm_catalog_pages.listing WHERE category_id IN (SELECT category_id FROM moved)
UNION
SELECT product_id FROM rm_reviews.ratings
WHERE EXISTS (SELECT FROM rm_reviews.shop WHERE position > %(reviews)s AND position <= %(reviews_upto)s)
"""

_WIDELY: Final = """
SELECT EXISTS (SELECT FROM rm_catalog_pages.categories WHERE position > %(catalog)s AND position <= %(catalog_upto)s)
    OR EXISTS (SELECT FROM rm_reviews.shop WHERE position > %(reviews)s AND position <= %(reviews_upto)s)
"""

_BOUGHT: Final = """
SELECT DISTINCT v.product_id FROM rm_sales.orders o CROSS JOIN jsonb_object_keys(o.kept) k (sku)
JOIN rm_catalog_pages.variants v USING (sku) WHERE o.position > %(ordering)s AND o.position <= %(ordering_upto)s
"""

_DOCUMENTS: Final = """
SELECT t.published_at, t.state::text,
    EXISTS (SELECT FROM rm_catalog_pages.variants v JOIN rm_catalog_pages.stock s USING (sku)
            WHERE v.product_id = t.product_id AND s.available > 0)
FROM rm_catalog_pages.products t WHERE t.status = 'published' AND """


async def standing(connection: Connection) -> Standing:
    """How far the documents are that can be read now, and the sales. Empty before the read models of the catalogue and
    of reviews first ran."""
    found = await connection.execute(
        "SELECT log, position, incarnation FROM emporium_projection_tracking WHERE model = ANY(%s) AND generation = %s",
        [[MODEL, REVIEWS.name, SALES.name], LIVE],
    )
    positions = {log: (position, life) for log, position, life in await found.fetchall()}
    return Standing(positions if {"catalog", "reviews"} <= positions.keys() else {})


async def changes(connection: Connection, since: Standing, most: int, *, sales: bool = False) -> Changes:
    """What has changed of products themselves since a standing that the present one follows. All of it at one moment
    where `connection` is in a transaction that reads repeatably.

    Args:
        most: products for which each of catalog, reviews and stock may ask; what is over waits for the next call.
        sales: whether the sales are followed, too; else `upto` stays where it was in them.
    """
    there = await standing(connection)
    now = there if sales else there.unsold(since)
    upto = {log: position for log, (position, _) in now.positions.items()}
    changed: dict[UUID, None] = {}
    for log, rows in (("catalog", "rm_catalog_pages.products"), ("reviews", "rm_reviews.ratings")):
        if now.position(log) > since.position(log):
            found = await connection.execute(
                f"SELECT product_id, position FROM {rows} WHERE position > %s ORDER BY position LIMIT %s",
                [since.position(log), most],
            )
            some = await found.fetchall()
            if len(some) == most:
                upto[log] = some[-1][1]
            changed |= dict.fromkeys(product_id for product_id, _ in some)
    stocked: dict[UUID, bool] = {}
    if now.position("inventory") > since.position("inventory"):
        found = await connection.execute(_STOCKED, {"inventory": since.position("inventory"), "most": most})
        for product_id, available, last in await found.fetchall():
            upto["inventory"] = last or upto["inventory"]
            if product_id not in changed:
                stocked[product_id] = available
    if now.position(SOLD) > since.position(SOLD):
        found = await connection.execute(
            "SELECT position FROM rm_sales.orders WHERE position > %s ORDER BY position OFFSET %s LIMIT 1",
            [since.position(SOLD), ORDERS - 1],
        )
        over = await found.fetchone()
        upto[SOLD] = upto[SOLD] if over is None else over[0]
    lives = {log: life for log, (_, life) in now.positions.items()}
    reached = Standing({log: (position, lives[log]) for log, position in upto.items()})
    return Changes(list(changed), stocked, reached, there.version)


async def spread(connection: Connection, engine: str, since: Standing, upto: Standing, version: int) -> None:
    """Notes for an engine the products of which something else has changed, however many: of their categories, of the
    prior of all ratings, of their sales."""
    logs = ("catalog", "reviews", SOLD)
    values: dict[str, Any] = {log: since.position(log) for log in logs}
    values |= {f"{log}_upto": upto.position(log) for log in logs} | {"engine": engine, "version": version}
    found = await connection.execute(_WIDELY, values)
    widely = await found.fetchone()
    which = [_SPREAD] if widely is not None and widely[0] else []
    if upto.position(SOLD) > since.position(SOLD):
        which.append(_BOUGHT)
    for touched in which:
        await connection.execute(
            "INSERT INTO emporium_search_due (engine, product_id, version)"
            f" SELECT %(engine)s, product_id, %(version)s FROM ({touched}) t"
            " ON CONFLICT (engine, product_id) DO UPDATE SET version = excluded.version",
            values,
        )


async def count(connection: Connection) -> int:
    """How many documents there are."""
    found = await connection.execute("SELECT count(*) FROM rm_catalog_pages.products WHERE status = 'published'")
    row = await found.fetchone()
    return 0 if row is None else int(row[0])


async def currencies(connection: Connection) -> list[str]:
    """Those in which anything has a price."""
    found = await connection.execute("SELECT DISTINCT currency FROM rm_catalog_pages.listing ORDER BY 1")
    return [currency for (currency,) in await found.fetchall()]


async def documents(
    connection: Connection, ids: Sequence[UUID] | None = None, *, after: UUID = FIRST, limit: int = 500
) -> list[Document]:
    """The documents of these products, of those that are published; or a page of all by id."""
    found = await _unsold(connection, ids, after, limit)
    sold = await sales.popularity(connection, [one.product_id for one in found])
    return [msgspec.structs.replace(one, popularity=sold.get(one.product_id, 0.0)) for one in found]


async def _unsold(connection: Connection, ids: Sequence[UUID] | None, after: UUID, limit: int) -> list[Document]:
    """They without what the sales tell."""
    which = "t.product_id = ANY(%s)" if ids is not None else "t.product_id > %s ORDER BY t.product_id LIMIT %s"
    found = await connection.execute(_DOCUMENTS + which, [list(ids)] if ids is not None else [after, limit])
    rows = await found.fetchall()
    states = [(at, msgspec.json.decode(text, type=p.ProductState), available) for at, text, available in rows]
    paths = await _paths(connection, {state.category_id for _, state, _ in states if state.category_id is not None})
    rated = await reviews.ratings(connection, [state.product_id for _, state, _ in states])
    return [
        _document(state, at, available, paths.get(state.category_id, ()), rated.get(state.product_id, NOTHING))
        for at, state, available in states
    ]


async def _paths(connection: Connection, ids: set[UUID]) -> dict[UUID | None, tuple[tuple[UUID, str], ...]]:
    """Of each category, it and all above it, from the top down."""
    if not ids:
        return {}
    found = await connection.execute(
        "WITH RECURSIVE above AS ("
        " SELECT category_id AS below, category_id, name, parent, 0 AS height FROM rm_catalog_pages.categories"
        " WHERE category_id = ANY(%s) UNION ALL"
        " SELECT a.below, t.category_id, t.name, t.parent, a.height + 1 FROM rm_catalog_pages.categories t"
        " JOIN above a ON t.category_id = a.parent WHERE a.height < %s)"
        " SELECT below, category_id, name FROM above ORDER BY height DESC",
        [list(ids), MAX_DEPTH],
    )
    paths: dict[UUID | None, tuple[tuple[UUID, str], ...]] = {}
    for below, category_id, name in await found.fetchall():
        paths[below] = (*paths.get(below, ()), (category_id, name))
    return paths


def _document(
    state: p.ProductState, at: Any, available: bool, path: tuple[tuple[UUID, str], ...], rating: Rating
) -> Document:
    amounts: dict[str, list[int]] = {}
    for variant in state.variants.values():
        for currency, price in variant.prices.items():
            amounts.setdefault(currency, []).append(price.amount)
    options: dict[str, dict[str, None]] = {}
    for variant in state.variants.values():
        for name, value in variant.options.items():
            options.setdefault(name, {})[value] = None
    told = {name: (_text(value),) for name, value in state.attributes.items() if name != p.WEIGHT}
    return Document(
        product_id=state.product_id,
        slug=state.slug,
        title=state.title,
        description=state.description,
        brand=state.brand,
        categories=tuple(category_id for category_id, _ in path),
        category_names=tuple(name for _, name in path),
        skus=tuple(state.variants),
        attributes=told | {name: tuple(values) for name, values in options.items()},
        numbers={
            name: float(value)
            for name, value in state.attributes.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        translations={
            language: Text(title=one.title, description=one.description) for language, one in state.translations.items()
        },
        prices={currency: Price(lowest=min(these), highest=max(these)) for currency, these in amounts.items()},
        available=available,
        rating=rating.rating,
        reviews=rating.reviews,
        published_at=at,
    )


def _text(value: p.AttributeValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"
