"""/api/v1/admin/search: synonyms, pins and boosts, and what customers searched for; for who keeps the catalogue."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from emporium.domain.search_rules import (
    LEAST_FACTOR,
    MAX_BOOSTS,
    MAX_PINS,
    MAX_WORDS,
    MOST_FACTOR,
    SEARCH_RULES,
    WORDS_MOST,
    Placement,
    RemovePlacement,
    RemoveSynonyms,
    SearchRulesState,
    SetPlacement,
    SetSynonyms,
    search_rules_id,
)
from emporium.http.auth import staff
from emporium.http.bodies import Body
from emporium.http.caching import tagged
from emporium.http.moments import Moment
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import search_log
from emporium.projections.paging import decode_cursor, page_of
from emporium.projections.search_log import Report

__all__ = ["SearchRulesController"]

Name = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", description="A name of staff's own.")]
Wording = Annotated[str, Meta(min_length=1, max_length=WORDS_MOST, pattern=r"^[^\x00-\x1f\x7f]*$")]
Factor = Annotated[float, Meta(ge=LEAST_FACTOR, le=MOST_FACTOR)]


class SynonymsBody(Body, frozen=True, kw_only=True):
    """Words, or several in a row, that mean the same."""

    words: Annotated[list[Wording], Meta(min_length=2, max_length=MAX_WORDS, examples=[["sofa", "couch", "settee"]])]


class Boost(Body, frozen=True, kw_only=True):
    """A product that counts more (above 1) or less."""

    product_id: UUID
    factor: Factor


class PlacementBody(Body, frozen=True, kw_only=True):
    """What is different for a query: products that come first, in this order, and products that count more or less;
    from when and until when."""

    query: Wording
    pins: Annotated[list[UUID], Meta(max_length=MAX_PINS)] = []
    boosts: Annotated[list[Boost], Meta(max_length=MAX_BOOSTS)] = []
    starts_at: Moment | None = None
    ends_at: Moment | None = None


class SynonymsView(msgspec.Struct, frozen=True, kw_only=True):
    """A group of words that mean the same."""

    group: str
    words: tuple[str, ...]


class PlacementView(msgspec.Struct, frozen=True, kw_only=True):
    """A placement; `active` says whether it holds now."""

    code: str
    query: str
    pins: tuple[UUID, ...]
    boosts: list[Boost]
    starts_at: datetime | None
    ends_at: datetime | None
    active: bool


class SearchRulesController(Controller):
    """How the search is steered."""

    path = "/admin/search"
    tags = ["search"]
    guards = [staff("catalog_manager")]

    @get("/synonyms", opt={"tagged": True})
    async def list_synonyms(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[SynonymsView]]:
        """All groups of synonyms by name."""
        after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
        there = (await _rules(request)).synonyms
        found = sorted((group, words) for group, words in there.items() if group > after)[: limit + 1]
        page = page_of(found, limit, lambda row: (row[0],))
        return tagged(request, listing(request, page, lambda row: SynonymsView(group=row[0], words=row[1])))

    @put("/synonyms/{group:str}")
    async def set_synonyms(self, request: Request, group: Name, data: JSONBody[SynonymsBody]) -> Reply[SynonymsView]:
        """Lets words mean the same, from the next search on (within a second in every process)."""
        now = request.services.shop.clock.now()
        state = await _carried_out(request, SetSynonyms(group=group, words=tuple(data.words), at=now))
        return Reply.of(SynonymsView(group=group, words=state.synonyms[group]))

    @delete("/synonyms/{group:str}", status_code=204)
    async def remove_synonyms(self, request: Request, group: Name) -> None:
        """Lets them be different words again."""
        await _carried_out(request, RemoveSynonyms(group=group, at=request.services.shop.clock.now()))

    @get("/placements", opt={"tagged": True})
    async def list_placements(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[PlacementView]]:
        """All placements by name, those that are over as well."""
        after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
        there, now = (await _rules(request)).placements, request.services.shop.clock.now()
        found = sorted((one for one in there.items() if one[0] > after), key=lambda one: one[0])[: limit + 1]
        page = page_of(found, limit, lambda row: (row[0],))
        return tagged(request, listing(request, page, lambda row: _view(*row, now)))

    @put("/placements/{code:str}")
    async def set_placement(self, request: Request, code: Name, data: JSONBody[PlacementBody]) -> Reply[PlacementView]:
        """Puts products first for a query, or lets them count more or less."""
        now = request.services.shop.clock.now()
        placement = Placement(
            query=data.query,
            pins=tuple(data.pins),
            boosts={one.product_id: one.factor for one in data.boosts},
            starts_at=data.starts_at,
            ends_at=data.ends_at,
        )
        state = await _carried_out(request, SetPlacement(code=code, placement=placement, at=now))
        return Reply.of(_view(code, state.placements[code], now))

    @delete("/placements/{code:str}", status_code=204)
    async def remove_placement(self, request: Request, code: Name) -> None:
        """Lets the query be answered like any other again."""
        await _carried_out(request, RemovePlacement(code=code, at=request.services.shop.clock.now()))

    @get("/report", opt={"tagged": True})
    async def report(
        self,
        request: Request,
        days: Annotated[int, QueryParameter(ge=1, le=3_650, description="How far back.")] = 30,
        limit: Annotated[int, QueryParameter(ge=1, le=200, description="The most queries of each list.")] = 50,
    ) -> Reply[Report]:
        """What customers searched for: most often, without finding anything, without wanting to see any of it."""
        since = request.services.shop.clock.now() - timedelta(days=days)
        since = since.replace(minute=0, second=0, microsecond=0)
        found = await request.services.reads.run(lambda connection: search_log.report(connection, since, limit))
        return tagged(request, found)


async def _rules(request: Request) -> SearchRulesState:
    log = request.services.shop.logs["catalog"]
    return (await log.load(SEARCH_RULES, search_rules_id(), fresh=True))[0] or SearchRulesState()


async def _carried_out(
    request: Request, command: SetSynonyms | RemoveSynonyms | SetPlacement | RemovePlacement
) -> SearchRulesState:
    session = await request.customer()
    await request.services.shop.execute(command, request.cause(actor_of(session), search_rules_id()))
    return await _rules(request)


def _view(code: str, one: Placement, now: datetime) -> PlacementView:
    return PlacementView(
        code=code,
        query=one.query,
        pins=one.pins,
        boosts=[Boost(product_id=product_id, factor=factor) for product_id, factor in one.boosts.items()],
        starts_at=one.starts_at,
        ends_at=one.ends_at,
        active=one.holds(now),
    )
