"""/api/v1/admin/promotions: coupon codes, for staff who look after the catalogue."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from emporium.application import coupons, promotions
from emporium.domain.base import MAX_AMOUNT, Money
from emporium.domain.promotion import (
    MAX_SKUS,
    MAX_UNITS,
    MAX_USES,
    NO_SUCH_PROMOTION,
    PROMOTIONS,
    ChangePromotion,
    CreatePromotion,
    EndPromotion,
    Known,
    Promotion,
    PromotionsState,
    code_of,
    promotions_id,
)
from emporium.http.auth import staff
from emporium.http.bodies import Body, Code, Currency, Sku
from emporium.http.caching import tagged
from emporium.http.idempotency import Answer, once
from emporium.http.moments import Moment
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.http.shop_settings import Percent
from emporium.projections.paging import decode_cursor, page_of

__all__ = ["PromotionController"]

PromotionCode = Annotated[str, PathParameter(max_length=64, description="The code, in upper or lower case.")]
Units = Annotated[int, Meta(ge=1, le=MAX_UNITS)]
Uses = Annotated[int, Meta(ge=1, le=MAX_USES)]


class AmountOff(Body, frozen=True, kw_only=True):
    """Minor units of a currency."""

    amount: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    currency: Currency


class Offer(Body, frozen=True, kw_only=True):
    """What a code does.

    Attributes:
        name: what customers read.
        kind: `percentage` needs `percent`; `fixed` needs `amounts`, one per currency; `buy_x_get_y` needs `buy` and
            `get`: of every `buy` + `get` units the `get` cheapest are free; `free_shipping` needs nothing.
        skus: for which alone it holds; empty: for all.
        minimum: what the goods it holds for must cost before discounts, per currency.
        starts_at, ends_at: from when, and until when.
        limit, per_customer: how many orders may use it.
        combinable: whether other codes may be used with it.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    kind: Literal["percentage", "fixed", "free_shipping", "buy_x_get_y"]
    percent: Percent | None = None
    amounts: Annotated[list[AmountOff], Meta(max_length=50)] = []
    buy: Units | None = None
    get: Units | None = None
    skus: Annotated[list[Sku], Meta(max_length=MAX_SKUS)] = []
    minimum: Annotated[list[AmountOff], Meta(max_length=50)] = []
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    limit: Uses | None = None
    per_customer: Uses | None = None
    combinable: bool = True


class NewPromotion(Body, frozen=True, kw_only=True):
    """A code, and what it does."""

    code: Code
    promotion: Offer


class PromotionView(msgspec.Struct, frozen=True, kw_only=True):
    """A code, what it does, whether staff have ended it, and how many orders use it (failed ones do not count)."""

    code: str
    name: str
    kind: str
    percent: str | None
    amounts: tuple[Money, ...]
    buy: int | None
    get: int | None
    skus: tuple[str, ...]
    minimum: tuple[Money, ...]
    starts_at: datetime | None
    ends_at: datetime | None
    limit: int | None
    per_customer: int | None
    combinable: bool
    ended: bool
    uses: int
    created_at: datetime
    changed_at: datetime


class PromotionController(Controller):
    """Promotions."""

    path = "/admin/promotions"
    tags = ["promotions"]
    guards = [staff("catalog_manager")]

    @get("/", opt={"tagged": True})
    async def list_promotions(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[PromotionView]]:
        """All promotions by code, the ended ones as well."""
        after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
        known = await _all(request)
        found = sorted((code, one) for code, one in known.items() if code > after)[: limit + 1]
        page = page_of(found, limit, lambda row: (row[0],))
        uses = await coupons.uses(request.services.shop.logs["ordering"], [code for code, _ in page.items])
        return tagged(request, listing(request, page, lambda row: _view(*row, uses[row[0]])))

    @post("/", status_code=201, opt={"idempotent": True})
    async def create(self, request: Request, data: JSONBody[NewPromotion]) -> Reply[PromotionView]:
        """Makes a code."""
        session = await request.customer()
        shop, code = request.services.shop, code_of(data.code)
        command = CreatePromotion(code=code, promotion=_promotion(data.promotion), at=shop.clock.now())

        def answer(after: PromotionsState) -> Answer:
            return Answer.of(_view(code, after.by_code[code], 0), location=f"/api/v1/admin/promotions/{code}")

        return await once(
            request,
            "ordering",
            actor_of(session),
            answer,
            lambda keep: promotions.carry_out(shop, command, request.cause(actor_of(session), promotions_id()), keep),
        )

    @get("/{code:str}", opt={"tagged": True})
    async def show(self, request: Request, code: PromotionCode) -> Reply[PromotionView]:
        """One promotion."""
        exact = code_of(code)
        known = (await _all(request)).get(exact)
        if known is None:
            raise NO_SUCH_PROMOTION(code=exact)
        return tagged(request, await _with_uses(request, exact, known))

    @put("/{code:str}")
    async def change(self, request: Request, code: PromotionCode, data: JSONBody[Offer]) -> Reply[PromotionView]:
        """Lets a code do something else; one that was ended begins again."""
        exact = code_of(code)
        command = ChangePromotion(code=exact, promotion=_promotion(data), at=request.services.shop.clock.now())
        return await _carried_out(request, command, exact)

    @delete("/{code:str}", status_code=200)
    async def end(self, request: Request, code: PromotionCode) -> Reply[PromotionView]:
        """Ends a promotion: its code cannot be used any more."""
        exact = code_of(code)
        return await _carried_out(request, EndPromotion(code=exact, at=request.services.shop.clock.now()), exact)


async def _all(request: Request) -> dict[str, Known]:
    state, _ = await request.services.shop.logs["ordering"].load(PROMOTIONS, promotions_id(), fresh=True)
    return {} if state is None else state.by_code


async def _carried_out(request: Request, command: ChangePromotion | EndPromotion, code: str) -> Reply[PromotionView]:
    session = await request.customer()
    cause = request.cause(actor_of(session), promotions_id())
    after, _ = await promotions.carry_out(request.services.shop, command, cause)
    return Reply.of(await _with_uses(request, code, after.by_code[code]))


def _promotion(offer: Offer) -> Promotion:
    return msgspec.convert(msgspec.to_builtins(offer), Promotion)


async def _with_uses(request: Request, code: str, known: Known) -> PromotionView:
    return _view(code, known, (await coupons.uses(request.services.shop.logs["ordering"], [code]))[code])


def _view(code: str, known: Known, uses: int) -> PromotionView:
    fields = {name: getattr(known.promotion, name) for name in known.promotion.__struct_fields__}
    return PromotionView(
        code=code, ended=known.ended, uses=uses, created_at=known.created_at, changed_at=known.changed_at, **fields
    )
