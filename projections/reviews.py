"""Reviews by product, by customer and for staff; and how each product is rated.

The rating that is shown is fair to few votes: a product is taken to have `WEIGHT` votes of the shop's mean beside its
own. (The weighted rating of IMDb's charts, which is the posterior mean of a normal likelihood with a normal prior;
see Gelman et al., Bayesian Data Analysis, section 2.5.) All of it is whole hundredths of a star, so that the same
events give the same rows.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec

from emporium.application.ports import Recorded
from emporium.domain import review as r
from emporium.domain.base import Event, Sealed
from emporium.domain.helpful_vote import HelpfulVoteCast
from emporium.domain.review import ReviewState
from emporium.projections.model import Connection, ReadModel, Tables, canonical
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = [
    "NOTHING",
    "RATED",
    "REVIEWS",
    "Rating",
    "ReportRow",
    "ReviewRow",
    "ReviewSort",
    "by_id",
    "estimate",
    "of_customer",
    "of_product",
    "queue",
    "ratings",
    "reports",
    "reviewed",
]

# --- tables ----------------------------------------------------------------------------------------

DDL: Final = """
CREATE TABLE reviews (
    review_id uuid PRIMARY KEY,
    product_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    status text NOT NULL,
    rating bigint NOT NULL,
    helpful bigint NOT NULL,
    unhelpful bigint NOT NULL,
    open_reports bigint NOT NULL,
    written_at timestamptz NOT NULL,
    edited_at timestamptz,
    answered_at timestamptz,
    changed_at timestamptz NOT NULL,
    state jsonb NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE reports (
    review_id uuid NOT NULL,
    position bigint NOT NULL,
    edition bigint NOT NULL,
    reporter uuid NOT NULL,
    reason text NOT NULL,
    note jsonb,
    at timestamptz NOT NULL
);
-- Votes of published reviews by their stars. `position` is of the last event that changed the row.
CREATE TABLE ratings (
    product_id uuid PRIMARY KEY,
    stars_1 bigint NOT NULL,
    stars_2 bigint NOT NULL,
    stars_3 bigint NOT NULL,
    stars_4 bigint NOT NULL,
    stars_5 bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 70);
-- Of all products together. `prior` is what an unknown product is taken to be rated, in hundredths.
CREATE TABLE shop (
    place bigint PRIMARY KEY,
    votes bigint NOT NULL,
    stars bigint NOT NULL,
    prior bigint NOT NULL,
    position bigint NOT NULL
);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS reviews_newest ON reviews (product_id, written_at DESC, review_id DESC)
    WHERE status = 'published';
CREATE INDEX IF NOT EXISTS reviews_helpful ON reviews
    (product_id, (helpful - unhelpful) DESC, written_at DESC, review_id DESC) WHERE status = 'published';
CREATE INDEX IF NOT EXISTS reviews_rating ON reviews (product_id, rating DESC, written_at DESC, review_id DESC)
    WHERE status = 'published';
CREATE INDEX IF NOT EXISTS reviews_customer ON reviews (customer_id, written_at DESC, review_id DESC);
CREATE INDEX IF NOT EXISTS reviews_open ON reviews (changed_at, review_id) WHERE status = 'waiting' OR open_reports > 0;
CREATE UNIQUE INDEX IF NOT EXISTS reports_review ON reports (review_id, position);
CREATE INDEX IF NOT EXISTS ratings_position ON ratings (position);
"""

# --- the estimator ---------------------------------------------------------------------------------

WEIGHT: Final = 5
"""How many votes of the shop's mean stand beside a product's own."""

_MIDDLE: Final = 300
_MIDDLE_WEIGHT: Final = 10
"""The shop's own mean begins in the middle of the scale, as if ten had voted so."""

_STEP: Final = 10
"""The prior follows the shop's mean in steps, for each of them changes every product's rating a little."""


def estimate(votes: int, stars: int, prior: int) -> int:
    """The rating in hundredths, rounded half up.

    Args:
        votes: how many; stars: their sum.
        prior: hundredths, that of `WEIGHT` votes more.
    """
    weight = WEIGHT + votes
    return (2 * (WEIGHT * prior + 100 * stars) + weight) // (2 * weight)


def _mean(votes: int, stars: int) -> int:
    weight = _MIDDLE_WEIGHT + votes
    return (2 * (_MIDDLE_WEIGHT * _MIDDLE + 100 * stars) + weight) // (2 * weight)


# --- fold ------------------------------------------------------------------------------------------


class _Review(msgspec.Struct):
    review_id: UUID
    product_id: UUID
    customer_id: UUID
    status: str
    rating: int
    helpful: int
    unhelpful: int
    open_reports: int
    written_at: datetime
    edited_at: datetime | None
    answered_at: datetime | None
    changed_at: datetime
    state: msgspec.Raw


class _Known(msgspec.Struct):
    """A review while a batch is folded."""

    state: ReviewState
    helpful: int
    unhelpful: int
    written_at: datetime
    edited_at: datetime | None
    answered_at: datetime | None
    changed_at: datetime

    @property
    def vote(self) -> int | None:
        """The stars that count; None while it is not shown."""
        return self.state.rating if self.state.status == r.PUBLISHED else None


class _Report(msgspec.Struct):
    review_id: UUID
    position: int
    edition: int
    reporter: UUID
    reason: str
    note: Sealed | None
    at: datetime


class _Shop(msgspec.Struct):
    place: int = 1
    votes: int = 0
    stars: int = 0
    prior: int = _MIDDLE
    position: int = 0


async def fold(tables: Tables, _: str, events: Sequence[Recorded]) -> None:
    """The rows of the reviews' events."""
    known = await _known(tables, events)
    touched: dict[UUID, None] = {}
    reported: list[_Report] = []
    counted: dict[UUID, dict[str, int]] = {}
    [shop] = [_Shop(*row) for row in await tables.fetch(_SHOP, [1])] or [_Shop()]
    for one in events:
        event: Any = one.event
        key: UUID = event.review_id
        before = known[key].vote if key in known else None
        _follow(known, one)
        touched[key] = None
        there = known[key]
        if isinstance(event, r.ReviewReported):
            reported.append(
                _Report(key, one.position, there.state.edition, event.reporter, event.reason, event.note, one.at)
            )
        if there.vote != before:
            _count(counted.setdefault(there.state.product_id, {}), before, there.vote, one.position)
            shop = _moved(shop, before, there.vote, one.position)
    await tables.write(
        "INSERT INTO reviews SELECT * FROM json_populate_recordset(NULL::reviews, %s)"
        " ON CONFLICT (review_id) DO UPDATE SET status = excluded.status, rating = excluded.rating,"
        " helpful = excluded.helpful, unhelpful = excluded.unhelpful, open_reports = excluded.open_reports,"
        " written_at = excluded.written_at, edited_at = excluded.edited_at, answered_at = excluded.answered_at,"
        " changed_at = excluded.changed_at, state = excluded.state",
        [_row(known[key]) for key in touched],
    )
    await tables.write("INSERT INTO reports SELECT * FROM json_populate_recordset(NULL::reports, %s)", reported)
    await tables.write(
        "INSERT INTO ratings AS t SELECT product_id, coalesce(stars_1, 0), coalesce(stars_2, 0), coalesce(stars_3, 0),"
        " coalesce(stars_4, 0), coalesce(stars_5, 0), position FROM json_populate_recordset(NULL::ratings, %s)"
        " ON CONFLICT (product_id) DO UPDATE SET stars_1 = t.stars_1 + excluded.stars_1,"
        " stars_2 = t.stars_2 + excluded.stars_2, stars_3 = t.stars_3 + excluded.stars_3,"
        " stars_4 = t.stars_4 + excluded.stars_4, stars_5 = t.stars_5 + excluded.stars_5,"
        " position = excluded.position",
        [{"product_id": product_id, **row} for product_id, row in counted.items()],
    )
    if counted:
        await tables.write(
            "INSERT INTO shop SELECT * FROM json_populate_recordset(NULL::shop, %s) ON CONFLICT (place) DO UPDATE"
            " SET votes = excluded.votes, stars = excluded.stars, prior = excluded.prior, position = excluded.position",
            [shop],
        )


_SHOP: Final = "SELECT place, votes, stars, prior, position FROM shop WHERE place = ANY(%s)"


async def _known(tables: Tables, events: Sequence[Recorded]) -> dict[UUID, _Known]:
    keys = list(dict.fromkeys(_key(one) for one in events))
    return {
        state.review_id: _Known(state, *rest)
        for text, *rest in await tables.fetch(
            "SELECT state::text, helpful, unhelpful, written_at, edited_at, answered_at, changed_at FROM reviews"
            " WHERE review_id = ANY(%s)",
            keys,
        )
        for state in [msgspec.json.decode(text, type=ReviewState)]
    }


def _follow(known: dict[UUID, _Known], one: Recorded) -> None:
    event: Any = one.event
    if isinstance(event, r.ReviewWritten):
        before = known.get(event.review_id)
        state = r.evolve(None if before is None else before.state, event)
        helpful, unhelpful = (0, 0) if before is None else (before.helpful, before.unhelpful)
        known[event.review_id] = _Known(state, helpful, unhelpful, one.at, None, None, one.at)
        return
    row = known[event.review_id]
    if isinstance(event, HelpfulVoteCast):
        row.helpful += (event.helpful is True) - (event.previous is True)
        row.unhelpful += (event.helpful is False) - (event.previous is False)
        return
    row.state = r.evolve(row.state, event)
    row.changed_at = one.at
    if isinstance(event, r.ReviewEdited):
        row.edited_at = one.at
    elif isinstance(event, r.ReviewAnswered | r.ReviewAnswerRemoved):
        row.answered_at = one.at if isinstance(event, r.ReviewAnswered) else None


def _count(row: dict[str, int], before: int | None, after: int | None, position: int) -> None:
    for stars, change in ((before, -1), (after, 1)):
        if stars is not None:
            row[f"stars_{stars}"] = row.get(f"stars_{stars}", 0) + change
    row["position"] = position


def _moved(shop: _Shop, before: int | None, after: int | None, position: int) -> _Shop:
    votes = shop.votes + (after is not None) - (before is not None)
    stars = shop.stars + (after or 0) - (before or 0)
    mean = _mean(votes, stars)
    if abs(mean - shop.prior) < _STEP:
        return _Shop(1, votes, stars, shop.prior, shop.position)
    return _Shop(1, votes, stars, mean, position)


def _row(known: _Known) -> _Review:
    state = known.state
    return _Review(
        state.review_id,
        state.product_id,
        state.customer_id,
        state.status,
        state.rating,
        known.helpful,
        known.unhelpful,
        state.open_reports,
        known.written_at,
        known.edited_at,
        known.answered_at,
        known.changed_at,
        canonical(state),
    )


def _key(one: Recorded) -> UUID:
    event: Any = one.event
    return event.review_id  # type: ignore[no-any-return]


_EVENTS: Final[tuple[type[Event], ...]] = (*r.REVIEW.events, HelpfulVoteCast)

REVIEWS: Final = ReadModel(
    name="reviews",
    version=1,
    logs={"reviews": _EVENTS},
    ddl=DDL,
    indexes=INDEXES,
    key=_key,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------

ReviewSort = Literal["newest", "helpful", "highest", "lowest"]


class ReviewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A review and what became of it; its `state.words` are sealed with the review's id as stream."""

    state: ReviewState
    helpful: int
    unhelpful: int
    written_at: datetime
    edited_at: datetime | None
    answered_at: datetime | None
    changed_at: datetime


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader said to staff; `note` is sealed with the review's id as stream. `edition` is what was read."""

    edition: int
    reason: str
    note: Sealed | None
    at: datetime


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """How a product is rated.

    Attributes:
        rating: 1 to 5 in hundredths, fair to few votes; None without any.
        mean: of the votes alone.
        reviews: how many votes.
        histogram: votes of 1, 2, 3, 4 and 5 stars.
    """

    rating: float | None
    mean: float | None
    reviews: int
    histogram: tuple[int, ...]


RATED: Final = f"""(
    SELECT product_id, (2 * ({WEIGHT} * prior + 100 * stars) + {WEIGHT} + votes) / (2 * ({WEIGHT} + votes)) AS rating
    FROM (
        SELECT product_id, stars_1 + stars_2 + stars_3 + stars_4 + stars_5 AS votes,
            stars_1 + 2 * stars_2 + 3 * stars_3 + 4 * stars_4 + 5 * stars_5 AS stars,
            coalesce((SELECT prior FROM rm_reviews.shop), {_MIDDLE}) AS prior
        FROM rm_reviews.ratings
    ) counted WHERE votes > 0
)"""
"""The products that have votes, with `estimate` of them, for queries over many products."""

NOTHING: Final = Rating(rating=None, mean=None, reviews=0, histogram=(0, 0, 0, 0, 0))
"""Of a product that nobody has reviewed."""


async def ratings(connection: Connection, products: Sequence[UUID]) -> dict[UUID, Rating]:
    """How these products are rated; those without a review are left out."""
    found = await connection.execute(
        "SELECT product_id, stars_1, stars_2, stars_3, stars_4, stars_5,"
        " coalesce((SELECT prior FROM rm_reviews.shop), %s) FROM rm_reviews.ratings WHERE product_id = ANY(%s)",
        [_MIDDLE, list(products)],
    )
    rated = {}
    for product_id, one, two, three, four, five, prior in await found.fetchall():
        votes = one + two + three + four + five
        stars = one + 2 * two + 3 * three + 4 * four + 5 * five
        if votes:
            rated[product_id] = Rating(
                rating=estimate(votes, stars, prior) / 100,
                mean=(200 * stars + votes) // (2 * votes) / 100,
                reviews=votes,
                histogram=(one, two, three, four, five),
            )
    return rated


_COLUMNS: Final = "state::text, helpful, unhelpful, written_at, edited_at, answered_at, changed_at"


def _shown(row: Sequence[Any]) -> ReviewRow:
    text, helpful, unhelpful, written_at, edited_at, answered_at, changed_at = row
    return ReviewRow(
        state=msgspec.json.decode(text, type=ReviewState),
        helpful=helpful,
        unhelpful=unhelpful,
        written_at=written_at,
        edited_at=edited_at,
        answered_at=answered_at,
        changed_at=changed_at,
    )


_ORDERS: Final[dict[ReviewSort, tuple[LiteralString, LiteralString]]] = {
    "newest": ("", "written_at DESC, review_id DESC"),
    "helpful": (
        "(helpful - unhelpful, written_at, review_id) < (%(score)s, %(at)s, %(id)s)",
        "helpful - unhelpful DESC, written_at DESC, review_id DESC",
    ),
    "highest": (
        "(rating, written_at, review_id) < (%(score)s, %(at)s, %(id)s)",
        "rating DESC, written_at DESC, review_id DESC",
    ),
    "lowest": (
        "(rating > %(score)s OR rating = %(score)s AND (written_at, review_id) < (%(at)s, %(id)s))",
        "rating, written_at DESC, review_id DESC",
    ),
}


async def of_product(
    connection: Connection,
    product_id: UUID,
    *,
    sort: ReviewSort = "newest",
    rating: int | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> Page[ReviewRow]:
    """The reviews that are shown of a product, with so many stars where that is asked for. Raises BadCursor."""
    after, order = _ORDERS[sort]
    conditions = ["product_id = %(product)s", "status = 'published'"]
    values: dict[str, Any] = {"product": product_id, "limit": limit + 1}
    if rating is not None:
        conditions.append("rating = %(rating)s")
        values["rating"] = rating
    if cursor is not None:
        conditions.append(after or "(written_at, review_id) < (%(at)s, %(id)s)")
        values["score"], values["at"], values["id"] = decode_cursor(cursor, tuple[int, datetime, UUID])
    found = await connection.execute(
        f"SELECT {_COLUMNS} FROM rm_reviews.reviews WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT %(limit)s",
        values,
    )
    rows = [_shown(row) for row in await found.fetchall()]

    def key(row: ReviewRow) -> tuple[int, datetime, UUID]:
        score = row.helpful - row.unhelpful if sort == "helpful" else row.state.rating
        return score, row.written_at, row.state.review_id

    return page_of(rows, limit, key)


async def of_customer(
    connection: Connection, customer_id: UUID, *, limit: int = 20, cursor: str | None = None
) -> Page[ReviewRow]:
    """What the customer has written and not withdrawn, the newest first. Raises BadCursor."""
    at, last = (None, None) if cursor is None else decode_cursor(cursor, tuple[datetime, UUID])
    found = await connection.execute(
        f"SELECT {_COLUMNS} FROM rm_reviews.reviews WHERE customer_id = %(customer)s AND status <> 'withdrawn'"
        " AND (%(at)s::timestamptz IS NULL OR (written_at, review_id) < (%(at)s, %(last)s::uuid))"
        " ORDER BY written_at DESC, review_id DESC LIMIT %(limit)s",
        {"customer": customer_id, "at": at, "last": last, "limit": limit + 1},
    )
    rows = [_shown(row) for row in await found.fetchall()]
    return page_of(rows, limit, lambda row: (row.written_at, row.state.review_id))


async def reviewed(connection: Connection, customer_id: UUID, products: Sequence[UUID]) -> set[UUID]:
    """Those of the products that the customer has reviewed."""
    found = await connection.execute(
        "SELECT product_id FROM rm_reviews.reviews WHERE customer_id = %s AND product_id = ANY(%s)"
        " AND status <> 'withdrawn'",
        [customer_id, list(products)],
    )
    return {product_id for (product_id,) in await found.fetchall()}


async def queue(connection: Connection, *, limit: int = 50, cursor: str | None = None) -> Page[ReviewRow]:
    """What waits for staff: not shown yet, or reported; the longest first. Raises BadCursor."""
    at, last = (None, None) if cursor is None else decode_cursor(cursor, tuple[datetime, UUID])
    found = await connection.execute(
        f"SELECT {_COLUMNS} FROM rm_reviews.reviews WHERE (status = 'waiting' OR open_reports > 0)"
        " AND (%(at)s::timestamptz IS NULL OR (changed_at, review_id) > (%(at)s, %(last)s::uuid))"
        " ORDER BY changed_at, review_id LIMIT %(limit)s",
        {"at": at, "last": last, "limit": limit + 1},
    )
    rows = [_shown(row) for row in await found.fetchall()]
    return page_of(rows, limit, lambda row: (row.changed_at, row.state.review_id))


async def by_id(connection: Connection, review_id: UUID) -> ReviewRow | None:
    """The review, whatever its status; None where there never was one."""
    found = await connection.execute(f"SELECT {_COLUMNS} FROM rm_reviews.reviews WHERE review_id = %s", [review_id])
    row = await found.fetchone()
    return None if row is None else _shown(row)


async def reports(connection: Connection, ids: Sequence[UUID], most: int = 20) -> dict[UUID, list[ReportRow]]:
    """What readers said of these reviews, the newest first, up to so many of each."""
    found = await connection.execute(
        "SELECT r.review_id, t.edition, t.reason, t.note::text, t.at FROM unnest(%s::uuid[]) AS r (review_id),"
        " LATERAL (SELECT edition, reason, note, at, position FROM rm_reviews.reports x"
        " WHERE x.review_id = r.review_id ORDER BY position DESC LIMIT %s) t ORDER BY t.position DESC",
        [list(ids), most],
    )
    said: dict[UUID, list[ReportRow]] = {}
    for review_id, edition, reason, note, at in await found.fetchall():
        sealed = None if note is None else msgspec.json.decode(note, type=Sealed)
        said.setdefault(review_id, []).append(ReportRow(edition=edition, reason=reason, note=sealed, at=at))
    return said
