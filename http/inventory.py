"""/api/v1/inventory: for staff, what lies where; goods coming in, counts put right."""

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from emporium.application import inventory
from emporium.domain.base import MAX_QUANTITY, Command
from emporium.domain.stock import AdjustStock, ReceiveUnits, StockState, stock_id_of
from emporium.http.auth import staff
from emporium.http.bodies import Body, Code, Quantity, Reference, Sku, Text
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import stock_levels
from emporium.projections.stock_levels import STOCK_LEVELS, Level

__all__ = ["InventoryController"]


class Receive(Body, frozen=True, kw_only=True):
    """Units that came in; `reference` is the supplier's or one's own."""

    sku: Sku
    warehouse: Code
    quantity: Quantity
    reference: Reference = ""


class Adjust(Body, frozen=True, kw_only=True):
    """A count that was wrong, or units written off: `change` is signed."""

    sku: Sku
    warehouse: Code
    change: Annotated[int, Meta(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
    reason: Text


class StockView(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU in a warehouse; `available` can still be promised."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    available: int


class InventoryController(Controller):
    """Stock."""

    path = "/inventory"
    tags = ["inventory"]
    guards = [staff("warehouse")]

    @get("/levels", opt={"tagged": True, "models": ("stock_levels",)})
    async def levels(
        self,
        request: Request,
        sku: Annotated[str | None, QueryParameter(max_length=64)] = None,
        warehouse: Annotated[str | None, QueryParameter(max_length=32)] = None,
        low: Annotated[bool, QueryParameter(description="Only what is at its mark or below.")] = False,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[Level]]:
        """What lies where, by SKU and warehouse."""
        await includes(request, STOCK_LEVELS.name)
        page = await request.services.reads.run(
            lambda connection: (
                stock_levels.low_levels(connection, limit=limit, cursor=cursor)
                if low
                else stock_levels.levels(connection, sku=sku, warehouse=warehouse, limit=limit, cursor=cursor)
            )
        )
        return tagged(request, listing(request, page, lambda level: level))

    @post("/receive", status_code=201, opt={"idempotent": True})
    async def receive(self, request: Request, data: JSONBody[Receive]) -> Reply[StockView]:
        """Books units that came in."""
        command = ReceiveUnits(sku=data.sku, warehouse=data.warehouse, quantity=data.quantity, reference=data.reference)
        return await _book(request, command, data.sku, data.warehouse)

    @post("/adjust", status_code=201, opt={"idempotent": True})
    async def adjust(self, request: Request, data: JSONBody[Adjust]) -> Reply[StockView]:
        """Puts a count right. What is reserved cannot be taken away."""
        command = AdjustStock(sku=data.sku, warehouse=data.warehouse, change=data.change, reason=data.reason)
        return await _book(request, command, data.sku, data.warehouse)


async def _book(request: Request, command: Command, sku: str, warehouse: str) -> Reply[StockView]:
    session = await request.customer()

    def answer(after: StockState) -> Answer:
        content = StockView(
            sku=after.sku,
            warehouse=after.warehouse,
            on_hand=after.on_hand,
            reserved=after.reserved,
            available=after.available,
        )
        return Answer.of(content)

    cause = request.cause(actor_of(session), stock_id_of(sku, warehouse))
    return await once(
        request,
        "inventory",
        actor_of(session),
        answer,
        lambda keep: inventory.book(request.services.shop, command, sku, warehouse, cause, keep),
    )
