"""What a search index is made of: the documents of published products, and which of them have changed since."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.application.search import Document, Price
from emporium.domain import product as p
from emporium.domain.category import MAX_DEPTH
from emporium.projections import reviews
from emporium.projections.generations import LIVE
from emporium.projections.model import Connection
from emporium.projections.reviews import NOTHING, REVIEWS, Rating

__all__ = ["FIRST", "Changes", "Standing", "changes", "count", "currencies", "documents", "standing"]

MODEL: Final = "catalog_pages"

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
            log in self.positions and self.positions[log][1] == life and self.positions[log][0] >= position
            for log, (position, life) in before.positions.items()
        )


class Changes(msgspec.Struct, frozen=True):
    """Which products have changed up to a moment; of those whose stock alone has, whether there is any.

    Attributes:
        upto: what these changes bring an index to; version: of the documents that can be read now.
    """

    changed: Sequence[UUID]
    stocked: Mapping[UUID, bool]
    upto: Standing
    version: int


_CHANGED: Final = """
WITH RECURSIVE moved AS (
    SELECT category_id FROM rm_catalog_pages.categories WHERE position > %(catalog)s AND position <= %(upto)s
    UNION
    SELECT t.category_id FROM rm_catalog_pages.categories t JOIN moved m ON t.parent = m.category_id
)
SELECT product_id FROM rm_catalog_pages.products WHERE position > %(catalog)s AND position <= %(upto)s
UNION
SELECT product_id FROM rm_catalog_pages.listing WHERE category_id IN (SELECT category_id FROM moved)
"""

# Every rating leans on the prior: where that has moved, all have.
_RATED: Final = """
SELECT product_id FROM rm_reviews.ratings WHERE position > %(reviews)s
    OR EXISTS (SELECT FROM rm_reviews.shop WHERE position > %(reviews)s)
"""

_STOCKED: Final = """
WITH touched AS (
    SELECT DISTINCT v.product_id FROM rm_catalog_pages.stock s JOIN rm_catalog_pages.variants v USING (sku)
    WHERE s.position > %(inventory)s AND v.published
)
SELECT t.product_id, bool_or(coalesce(s.available, 0) > 0) FROM touched t
JOIN rm_catalog_pages.variants v USING (product_id) LEFT JOIN rm_catalog_pages.stock s USING (sku)
GROUP BY 1
"""

_DOCUMENTS: Final = """
SELECT t.published_at, t.state::text,
    EXISTS (SELECT FROM rm_catalog_pages.variants v JOIN rm_catalog_pages.stock s USING (sku)
            WHERE v.product_id = t.product_id AND s.available > 0)
FROM rm_catalog_pages.products t WHERE t.status = 'published' AND """


async def standing(connection: Connection) -> Standing:
    """How far the documents are that can be read now. Empty before the read models first ran."""
    found = await connection.execute(
        "SELECT log, position, incarnation FROM emporium_projection_tracking WHERE model = ANY(%s) AND generation = %s",
        [[MODEL, REVIEWS.name], LIVE],
    )
    positions = {log: (position, life) for log, position, life in await found.fetchall()}
    return Standing(positions if {"catalog", "reviews"} <= positions.keys() else {})


async def changes(connection: Connection, since: Standing, most: int) -> Changes:
    """What has changed since a standing that the present one follows. All of it at one moment where `connection` is
    in a transaction that reads repeatably.

    Args:
        most: products for which the catalog's events alone may ask; what is over waits for the next call.
    """
    now = await standing(connection)
    catalog, inventory = since.positions["catalog"][0], since.positions["inventory"][0]
    last, life = now.positions["catalog"]
    found = await connection.execute(
        "SELECT position FROM rm_catalog_pages.products WHERE position > %s ORDER BY position OFFSET %s LIMIT 1",
        [catalog, most - 1],
    )
    over = await found.fetchone()
    upto = last if over is None else min(last, over[0])
    found = await connection.execute(_CHANGED, {"catalog": catalog, "upto": upto})
    changed = [product_id for (product_id,) in await found.fetchall()]
    # An index that was made before there were reviews has seen none of them.
    rated = since.positions.get("reviews", (0, None))[0]
    if now.positions["reviews"][0] > rated:
        found = await connection.execute(_RATED, {"reviews": rated})
        changed = list(dict.fromkeys([*changed, *(product_id for (product_id,) in await found.fetchall())]))
    stocked: dict[UUID, bool] = {}
    if now.positions["inventory"][0] > inventory:
        found = await connection.execute(_STOCKED, {"inventory": inventory})
        stocked = dict(await found.fetchall())
        for product_id in changed:
            stocked.pop(product_id, None)
    return Changes(changed, stocked, Standing({**now.positions, "catalog": (upto, life)}), now.version)


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
