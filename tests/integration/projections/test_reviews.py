"""The reviews' rows say what the events say, counted anew from the beginning; and the search hears of every change."""

from collections import Counter, defaultdict
from fractions import Fraction
from uuid import UUID, uuid5

from emporium.domain import review as r
from emporium.domain.base import Sealed
from emporium.domain.review import ReviewState, review_id_of
from emporium.projections import reviews, search_source
from emporium.projections.catalog_pages import CATALOG_PAGES
from emporium.projections.reviews import REVIEWS
from emporium.projections.search_source import Standing
from tests.integration.projections.shop import Shop
from tests.support.stories import SPACE, START, Happening, recorded, year

MODELS = (CATALOG_PAGES, REVIEWS)
LAMPS = [uuid5(SPACE, f"product {n}") for n in range(10)]


def written(product: UUID, author: str, rating: int) -> Happening:
    who = uuid5(SPACE, author)
    key = review_id_of(product, who)
    event = r.ReviewWritten(
        review_id=key,
        product_id=product,
        customer_id=who,
        order_id=uuid5(SPACE, "order 1"),
        rating=rating,
        words=Sealed(who, "ReviewWritten", b"words"),
        status=r.PUBLISHED,
    )
    return "reviews", key, event, START, str(who)


async def test_ratings_are_those_of_the_published_reviews(shop: Shop) -> None:
    told = year(160)
    await shop.write(told)
    await shop.project([REVIEWS])
    states: dict[UUID, ReviewState] = {}
    for one in recorded(told)["reviews"]:
        if isinstance(one.event, r.REVIEW.events):
            states[one.stream] = r.evolve(states.get(one.stream), one.event)
    stars: dict[UUID, Counter[int]] = defaultdict(Counter)
    for state in states.values():
        if state.status == r.PUBLISHED:
            stars[state.product_id][state.rating] += 1
    shown = await reviews.ratings(shop.connection, LAMPS)
    assert {key: one.histogram for key, one in shown.items()} == {
        key: tuple(counts[n] for n in range(1, 6)) for key, counts in stars.items()
    }
    assert any(state.status == r.WITHDRAWN for state in states.values())
    found = await shop.connection.execute("SELECT votes, stars, prior FROM rm_reviews.shop")
    [(votes, total, prior)] = await found.fetchall()
    assert (votes, total) == (
        sum(counts.total() for counts in stars.values()),
        sum(rating * n for counts in stars.values() for rating, n in counts.items()),
    )
    assert abs(prior - Fraction(3_000 + 100 * total, 10 + votes)) <= Fraction(21, 2)
    for key, one in shown.items():
        n = stars[key].total()
        exact = Fraction(5 * prior + 100 * sum(k * v for k, v in stars[key].items()), 5 + n)
        assert one.rating is not None and abs(round(100 * one.rating) - exact) <= Fraction(1, 2)


async def test_the_search_hears_of_a_rating_and_of_all_where_the_prior_moved(shop: Shop) -> None:
    await shop.write(year(8))
    await shop.project(MODELS)
    before = await search_source.standing(shop.connection)
    assert {"catalog", "inventory", "reviews"} <= before.positions.keys()
    rated = set(await reviews.ratings(shop.connection, LAMPS))
    assert rated

    async def changed(since: Standing) -> set[UUID]:
        changes = await search_source.changes(shop.connection, since, 500)
        await search_source.spread(shop.connection, "shelf", since, changes.upto, changes.version)
        due = await shop.connection.execute("DELETE FROM emporium_search_due RETURNING product_id")
        return {*changes.changed, *(product_id for (product_id,) in await due.fetchall())}

    assert await changed(before) == set()
    # An index from before there were reviews has seen none.
    without = {log: one for log, one in before.positions.items() if log != "reviews"}
    assert await changed(Standing(without)) >= rated
    found = await shop.connection.execute("SELECT votes, stars, prior FROM rm_reviews.shop")
    [(votes, stars, prior)] = await found.fetchall()
    near = round((3_000 + 100 * stars) / (10 + votes) / 100)
    await shop.write([written(LAMPS[3], "somebody else", near)])
    await shop.project(MODELS)
    [document] = await search_source.documents(shop.connection, [LAMPS[3]])
    assert document.reviews == (await reviews.ratings(shop.connection, LAMPS))[LAMPS[3]].reviews > 0
    assert document.rating == (await reviews.ratings(shop.connection, LAMPS))[LAMPS[3]].rating
    moved = await shop.connection.execute("SELECT prior <> %s FROM rm_reviews.shop", [prior])
    assert await moved.fetchall() == [(False,)], "a vote like the others moves nothing"
    assert await changed(before) == {LAMPS[3]}
    now = await search_source.standing(shop.connection)
    await shop.write([written(LAMPS[5], f"enthusiast {n}", 5) for n in range(20)])
    await shop.project(MODELS)
    assert await changed(now) >= rated | {LAMPS[3], LAMPS[5]}
    assert now.follows(before) and not before.follows(now)


async def test_documents_of_a_shop_without_reviews_are_whole(shop: Shop) -> None:
    told = [one for one in year(4) if one[0] in ("catalog", "inventory")]
    await shop.write(told)
    await shop.install(MODELS)
    assert (await search_source.standing(shop.connection)).positions.keys() >= {"catalog", "reviews"}
    await shop.project(MODELS)
    documents = await search_source.documents(shop.connection)
    assert len(documents) > 5
    assert {(one.rating, one.reviews) for one in documents} == {(None, 0)}
