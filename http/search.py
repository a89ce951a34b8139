"""/api/v1/search: finds products by words, narrows by facets, completes what is being typed."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from emporium.application.search import (
    MOST_HITS,
    Answer,
    EngineDown,
    Facet,
    Hit,
    Query,
    SearchSort,
    Suggestion,
)
from emporium.application.search_notes import hour_of, worth_noting
from emporium.application.search_rules import rules_of
from emporium.domain.search_rules import query_of
from emporium.http.bodies import Body
from emporium.http.caching import PUBLIC, tagged
from emporium.http.problems import KINDS, Problem
from emporium.http.products import (
    AttributeFilter,
    CurrencyParameter,
    PriceBound,
    ProductSummary,
    RangeFilter,
    RatingBound,
    attributes_of,
    category_of,
    few,
    ranges_of,
    summary,
)
from emporium.http.reply import Reply
from emporium.http.request import Request
from emporium.projections import catalog_pages, reviews, search_log
from emporium.projections.search_log import Noted

__all__ = ["SearchController"]

_INSTEAD = 8

Words = Annotated[str, QueryParameter(max_length=200, description="What is looked for, as it was typed.")]


Tongue = Annotated[
    str | None,
    QueryParameter(
        pattern="^[a-z]{2}(-[A-Z]{2})?$",
        description="ISO 639-1, of the words and of the titles that are shown; the shop's own where it is left out.",
    ),
]


class FoundProduct(ProductSummary, frozen=True, kw_only=True):
    """A product that was found; `title_html` is its title in the wanted language, if there is one, with the words that
    matched between `<mark>` tags, all else escaped."""

    title_html: str


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    `meant` are the words with their spelling mended, where no product has one of them. `instead` is what sells best,
    where nothing was found. `engine` says which engine answered.
    """

    items: list[FoundProduct]
    total: int
    facets: tuple[Facet, ...]
    meant: str | None
    instead: list[FoundProduct]
    engine: str
    next: int | None


class Suggestions(msgspec.Struct, frozen=True):
    """Completions of what is being typed, the most popular first."""

    items: Sequence[Suggestion]


class Outcome(Body, frozen=True, kw_only=True):
    """What followed a search: somebody looked at a product that was found, or ordered it."""

    q: Annotated[str, Meta(min_length=1, max_length=200, description="The words, as they were typed.")]
    kind: Literal["click", "order"]
    product_id: UUID


class SearchController(Controller):
    """The search."""

    path = "/search"
    tags = ["search"]

    @get("/", opt={"tagged": True})
    async def search(
        self,
        request: Request,
        q: Words = "",
        brand: FromQuery[list[str] | None] = None,
        category: Annotated[str | None, QueryParameter(max_length=120, description="Id or slug of a category.")] = None,
        attribute: AttributeFilter = None,
        between: RangeFilter = None,
        price_from: PriceBound = None,
        price_to: PriceBound = None,
        rating_from: RatingBound = None,
        available: FromQuery[bool | None] = None,
        sort: FromQuery[SearchSort] = "relevance",
        currency: CurrencyParameter = None,
        language: Tongue = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="The most items of a page.")] = 24,
        offset: Annotated[int, QueryParameter(ge=0, le=MOST_HITS, description="Where to go on: `next` of a page.")] = 0,
    ) -> Reply[SearchAnswer]:
        """Products by words (typing errors are forgiven), with the facets that would narrow the answer."""
        few("brand", brand or ())
        query = Query(
            words=q,
            language=language,
            currency=currency or request.services.shop.currency,
            brands=tuple(brand or ()),
            category=None if category is None else await category_of(request, category),
            price_from=price_from,
            price_to=price_to,
            attributes=attributes_of(attribute or ()),
            ranges=ranges_of(between or ()),
            rating_from=rating_from,
            available=available,
            sort=sort,
            offset=offset,
            limit=limit,
        )
        answer = await _ask(request, query)
        if not offset:
            _note(request, "search", q, empty=not answer.total)
        following = offset + limit
        instead = answer.hits
        if not answer.total:
            popular = Query(language=language, currency=query.currency, sort="popularity", limit=_INSTEAD, facets=False)
            instead = (await _ask(request, popular)).hits
        shown = await _shown(request, (*answer.hits, *instead), query.currency)
        content = SearchAnswer(
            items=[shown[hit.product_id] for hit in answer.hits if hit.product_id in shown],
            total=answer.total,
            facets=answer.facets,
            meant=answer.meant,
            instead=[] if answer.total else [shown[hit.product_id] for hit in instead if hit.product_id in shown],
            engine=answer.engine,
            next=following if following < min(answer.total, MOST_HITS) else None,
        )
        return tagged(request, content, cache=PUBLIC)

    @get("/suggest", opt={"tagged": True})
    async def suggest(
        self,
        request: Request,
        q: Words,
        currency: CurrencyParameter = None,
        limit: Annotated[int, QueryParameter(ge=1, le=20, description="The most suggestions.")] = 8,
    ) -> Reply[Suggestions]:
        """Completes what is being typed."""
        try:
            found = await request.services.completions.complete(q, currency or request.services.shop.currency, limit)
        except EngineDown as down:
            raise _away() from down
        return tagged(request, Suggestions(found), cache=PUBLIC)

    @post("/outcomes", status_code=204)
    async def note_outcome(self, request: Request, data: JSONBody[Outcome]) -> None:
        """Notes that somebody looked at, or ordered, a product that a search had found; not who."""
        _note(request, data.kind, data.q, product_id=data.product_id)


def _note(
    request: Request, kind: search_log.Kind, typed: str, *, product_id: UUID | None = None, empty: bool = False
) -> None:
    words = query_of(typed)
    if worth_noting(words):
        hour = hour_of(request.services.shop.clock.now())
        request.services.notes.note(Noted(hour, words, kind, product_id, empty))


async def _ask(request: Request, query: Query) -> Answer:
    try:
        state = await request.services.rules.recent()
        rules = rules_of(state, query.words, request.services.shop.clock.now())
        return await request.services.search.search(query, rules)
    except EngineDown as down:
        raise _away() from down


def _away() -> Problem:
    return KINDS.unavailable("The search cannot answer at present.", headers={"Retry-After": "2"})


async def _shown(request: Request, hits: Sequence[Hit], currency: str) -> Mapping[UUID, FoundProduct]:
    """The products as they are now: an index may be a moment behind."""
    titles = {hit.product_id: hit.title for hit in hits}
    reads = request.services.reads
    rows = await reads.run(lambda connection: catalog_pages.listed(connection, list(titles), currency))
    rated = await reads.run(lambda connection: reviews.ratings(connection, list(titles)))
    return {
        key: FoundProduct(
            **msgspec.structs.asdict(summary(row, rated.get(key, reviews.NOTHING))), title_html=titles[key]
        )
        for key, row in rows.items()
    }
