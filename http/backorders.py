"""/api/v1/inventory/backorders: staff say what may be sold before it is there, and see which orders wait for it."""

from datetime import date
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from emporium.application import backorders
from emporium.domain.backorder import KINDS, MAX_LIMIT, AllowBackorder, BackorderState, EndBackorder, backorder_id_of
from emporium.http.auth import staff
from emporium.http.bodies import Body
from emporium.http.caching import tagged
from emporium.http.consistency import includes, token_after
from emporium.http.moments import AsOf, as_it_was_at
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import stock_levels
from emporium.projections.stock_levels import STOCK_LEVELS, Backordering

__all__ = ["BackorderController"]

BackorderedSku = Annotated[str, PathParameter(max_length=64, description="The SKU.")]
BackorderKind = Literal["backorder", "preorder"]
assert BackorderKind.__args__ == KINDS  # type: ignore[attr-defined]

SHOWN: Final = 100
"""Orders of a queue that are listed."""


class Allow(Body, frozen=True, kw_only=True):
    """How many units may be sold that are not there, and when they are: again (`backorder`), or for the first time."""

    kind: BackorderKind
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
    expected: date


class WaitingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order and the units that it waits for."""

    order_id: UUID
    quantity: int


class BackorderQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `limit` units may be sold before they are there, which are `expected` on a day; `kind` is null where
    nothing may be sold so any more.

    Attributes:
        backordered: units that orders wait for; orders: how many do.
        waiting: those that get their units first, the first one first; at most 100.
    """

    sku: str
    kind: str | None
    limit: int
    expected: date | None
    backordered: int
    orders: int
    waiting: list[WaitingOrder]


class BackorderController(Controller):
    """What may be sold before it is there."""

    path = "/inventory/backorders"
    tags = ["inventory"]
    guards = [staff("warehouse", "catalog_manager")]

    @get("/", opt={"tagged": True, "models": ("stock_levels",)})
    async def list_backorders(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[Backordering]]:
        """What may be sold before it is there, or is waited for, by SKU."""
        await includes(request, STOCK_LEVELS.name)
        page = await request.services.reads.run(
            lambda connection: stock_levels.backorders(connection, limit=limit, cursor=cursor)
        )
        return tagged(request, listing(request, page, lambda row: row))

    @get("/{sku:str}", opt={"tagged": True})
    async def show_backorder(
        self,
        request: Request,
        sku: BackorderedSku,
        as_of: AsOf = None,
    ) -> Reply[BackorderQueue]:
        """What may be sold of a SKU before it is there, and the orders that wait for it in their turn."""
        return tagged(request, _queue(await backorders.show(request.services.shop, sku, as_it_was_at(as_of))))

    @put("/{sku:str}")
    async def allow_backorder(
        self, request: Request, sku: BackorderedSku, data: JSONBody[Allow]
    ) -> Reply[BackorderQueue]:
        """Lets a SKU be sold before it is there, or changes how. Who waits already goes on waiting."""
        today = request.services.shop.clock.now().date()
        return await _settle(
            request,
            AllowBackorder(sku=sku, kind=data.kind, limit=data.limit, expected=data.expected, today=today),
        )

    @delete("/{sku:str}", status_code=200)
    async def end_backorder(self, request: Request, sku: BackorderedSku) -> Reply[BackorderQueue]:
        """Sells no more than what is there. Who waits already goes on waiting."""
        return await _settle(request, EndBackorder(sku=sku))


async def _settle(request: Request, command: AllowBackorder | EndBackorder) -> Reply[BackorderQueue]:
    session = await request.customer()
    cause = request.cause(actor_of(session), backorder_id_of(command.sku))
    after, committed = await backorders.settle(request.services.shop, command, cause)
    headers = []
    if committed.position:
        headers.append((b"consistency-token", token_after(request, "inventory", committed.position)))
    return Reply.of(_queue(after), 200, headers)


def _queue(state: BackorderState) -> BackorderQueue:
    first = list(state.waiting.items())[:SHOWN]
    return BackorderQueue(
        sku=state.sku,
        kind=state.kind,
        limit=state.limit,
        expected=state.expected,
        backordered=state.backordered,
        orders=len(state.waiting),
        waiting=[WaitingOrder(order_id=order_id, quantity=units) for order_id, units in first],
    )
