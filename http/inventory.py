"""/api/v1/inventory: for staff, what lies where, now and then, and what it is worth; goods in, counts, transfers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from emporium.application import inventory
from emporium.domain.base import MAX_AMOUNT, MAX_QUANTITY, Command, Money
from emporium.domain.stock import (
    KINDS,
    STOCK,
    AdjustStock,
    LowStockMarkSet,
    ReceiveUnits,
    SetLowStockMark,
    StockAdjusted,
    StockLevelLow,
    StockState,
    UnitsArrived,
    UnitsReceived,
    UnitsReleased,
    UnitsReserved,
    UnitsReturned,
    UnitsSentAway,
    UnitsShipped,
    evolve,
    stock_id_of,
)
from emporium.domain.stock_count import MAX_LINES, NO_SUCH_COUNT, STOCK_COUNT, StockCountState
from emporium.domain.transfer import (
    NO_SUCH_TRANSFER,
    TRANSFER,
    LoseTransfer,
    ReceiveTransfer,
    TransferState,
)
from emporium.domain.warehouse import (
    MAX_PRIORITY,
    WAREHOUSES,
    ChangeWarehouse,
    CloseWarehouse,
    OpenWarehouse,
    Warehouse,
    warehouses_id,
)
from emporium.http.auth import staff
from emporium.http.bodies import Body, Code, Country, Currency, Quantity, Reference, Sku, Text
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.moments import AsOf, Moment, as_it_was_at
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS as PROBLEMS
from emporium.http.problems import Wrong
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import stock_levels
from emporium.projections.paging import Page, decode_cursor, encode_cursor, page_of
from emporium.projections.stock_levels import STOCK_LEVELS, Level, Transfer, Worth

__all__ = ["InventoryController"]

OneSku = Annotated[str | None, QueryParameter(max_length=64, description="Only this SKU.")]
OneWarehouse = Annotated[str | None, QueryParameter(max_length=32, description="Only this warehouse.")]
WarehouseCode = Annotated[str, PathParameter(max_length=32, description="The warehouse's code.")]
SkuInPath = Annotated[str, PathParameter(max_length=64, description="The SKU.")]
TransferId = Annotated[UUID, PathParameter(description="The transfer's id.")]
CountId = Annotated[UUID, PathParameter(description="The count's id.")]
Top = Annotated[int, Meta(ge=0, le=2**31)]
Priority = Annotated[int, Meta(ge=0, le=MAX_PRIORITY, description="The smaller, the more it is preferred.")]
WarehouseName = Annotated[str, Meta(min_length=1, max_length=100)]
Why = Literal[
    "correction", "counted", "damaged", "expired", "lost", "found", "returned_to_supplier", "own_use"
]  # fmt: skip
assert Why.__args__ == KINDS  # type: ignore[attr-defined]


class NewWarehouse(Body, frozen=True, kw_only=True):
    """A place that fills orders."""

    code: Code
    name: WarehouseName
    country: Country
    priority: Priority = 0


class WarehousePatch(Body, frozen=True, kw_only=True):
    """What shall be another; left out: as it is."""

    name: WarehouseName | None = None
    priority: Priority | None = None


class UnitCost(Body, frozen=True, kw_only=True):
    """What one unit cost the shop, in minor units of a currency."""

    amount: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
    currency: Currency


class Receive(Body, frozen=True, kw_only=True):
    """Units that came in; `reference` is the supplier's or one's own; with `unit_cost` they count in the valuation."""

    sku: Sku
    warehouse: Code
    quantity: Quantity
    reference: Reference = ""
    unit_cost: UnitCost | None = None


class Adjust(Body, frozen=True, kw_only=True):
    """A count that was wrong, units written off or sent back to the supplier: `change` is signed."""

    sku: Sku
    warehouse: Code
    change: Annotated[int, Meta(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
    reason: Text
    kind: Why = "correction"
    reference: Reference = ""


class Mark(Body, frozen=True, kw_only=True):
    """From so many available units down, the stock is low."""

    mark: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]


class SkuUnits(Body, frozen=True, kw_only=True):
    """Units of a SKU."""

    sku: Sku
    quantity: Quantity


class NewTransfer(Body, frozen=True, kw_only=True):
    """Units that leave `source` for `target`; each SKU once."""

    source: Code
    target: Code
    lines: Annotated[list[SkuUnits], Meta(min_length=1, max_length=MAX_LINES)]
    reference: Reference = ""


class Arrival(Body, frozen=True, kw_only=True):
    """What came; all that is on the way where it is left out."""

    lines: Annotated[list[SkuUnits], Meta(min_length=1, max_length=MAX_LINES)] | None = None


class Loss(Body, frozen=True, kw_only=True):
    """What will never come, and why; all that is on the way where `lines` are left out."""

    reason: Text
    lines: Annotated[list[SkuUnits], Meta(min_length=1, max_length=MAX_LINES)] | None = None


class CountedSku(Body, frozen=True, kw_only=True):
    """How many units of a SKU lay there, and when they were counted: now where it is left out."""

    sku: Sku
    counted: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
    at: Moment | None = None


class NewCount(Body, frozen=True, kw_only=True):
    """What was counted in a warehouse; each SKU once."""

    warehouse: Code
    lines: Annotated[list[CountedSku], Meta(min_length=1, max_length=MAX_LINES)]
    note: Reference = ""


class StockView(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU in a warehouse; `available` can still be promised."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    available: int


class TransferLineView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a SKU's units; sent = arrived + lost + on_the_way."""

    sku: str
    sent: int
    arrived: int
    lost: int
    on_the_way: int


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer; `on_the_way` until all of it has arrived or is lost, then `ended`."""

    transfer_id: UUID
    status: Literal["on_the_way", "ended"]
    source: str
    target: str
    reference: str
    lines: list[TransferLineView]


class TransferRow(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer in the list: units of all its SKUs together."""

    transfer_id: UUID
    source: str
    target: str
    sent_at: datetime
    reference: str
    sent: int
    on_the_way: int


class CountLineView(msgspec.Struct, frozen=True, kw_only=True):
    """`difference` is what was booked: counted less what the book had at that moment."""

    sku: str
    counted: int
    booked: int
    difference: int
    at: datetime


class CountView(msgspec.Struct, frozen=True, kw_only=True):
    """A count."""

    count_id: UUID
    warehouse: str
    note: str
    lines: list[CountLineView]


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a stock.

    Attributes:
        version: its number within the stock of this SKU in this warehouse.
        on_hand, reserved: by how many units these changed.
        actor: who; cause: what brought it about, such as a request or an event.
        why: the kind of an adjustment; reference, reason: as they were told.
        about: the order, transfer or count that it belongs to.
    """

    at: datetime
    warehouse: str
    version: int
    what: str
    on_hand: int
    reserved: int
    actor: str
    cause: str
    why: str | None
    reference: str
    reason: str
    about: UUID | None
    unit_cost: Money | None


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what the units on hand are worth at their moving average cost.

    `totals` is what all of them are worth, in each currency; null for a moment of the past, where the pages add up.
    """

    items: list[Worth]
    next: str | None
    totals: list[Money] | None


_WHAT: Final[Mapping[type, str]] = {
    UnitsReceived: "received",
    StockAdjusted: "adjusted",
    UnitsReserved: "reserved",
    UnitsReleased: "released",
    UnitsShipped: "shipped",
    UnitsReturned: "returned",
    UnitsSentAway: "sent_away",
    UnitsArrived: "arrived",
    LowStockMarkSet: "mark_set",
    StockLevelLow: "level_low",
}


class InventoryController(Controller):
    """Stock."""

    path = "/inventory"
    tags = ["inventory"]
    guards = [staff("warehouse")]

    # --- warehouses --------------------------------------------------------------------------------

    @get("/warehouses", opt={"tagged": True})
    async def warehouses(self, request: Request, limit: Limit = 50, cursor: Cursor = None) -> Reply[Listing[Warehouse]]:
        """The open warehouses, the most preferred first."""
        after = (-1, "") if cursor is None else decode_cursor(cursor, tuple[int, str])
        directory, _ = await request.services.shop.logs["inventory"].load(WAREHOUSES, warehouses_id(), fresh=True)
        there = () if directory is None else directory.warehouses
        found = [one for one in there if (one.priority, one.code) > after][: limit + 1]
        page = page_of(found, limit, lambda one: (one.priority, one.code))
        return tagged(request, listing(request, page, lambda one: one))

    @post("/warehouses", status_code=201, opt={"idempotent": True})
    async def open_warehouse(self, request: Request, data: JSONBody[NewWarehouse]) -> Reply[Warehouse]:
        """Opens a warehouse: orders can be filled from it."""
        session = await request.customer()
        command = OpenWarehouse(code=data.code, name=data.name, country=data.country, priority=data.priority)
        return await once(
            request,
            "inventory",
            actor_of(session),
            Answer.of,
            lambda keep: inventory.direct(
                request.services.shop, command, data.code, request.cause(actor_of(session), warehouses_id()), keep
            ),
        )

    @patch("/warehouses/{code:str}")
    async def change_warehouse(
        self, request: Request, code: WarehouseCode, data: JSONBody[WarehousePatch]
    ) -> Reply[Warehouse]:
        """Gives a warehouse another name, or another place in the order of preference."""
        command = ChangeWarehouse(code=code, name=data.name, priority=data.priority)
        session = await request.customer()
        cause = request.cause(actor_of(session), warehouses_id())
        after, _ = await inventory.direct(request.services.shop, command, code, cause)
        assert after is not None, "it was changed, so it is there"
        return Reply.of(after)

    @delete("/warehouses/{code:str}", status_code=204)
    async def close_warehouse(self, request: Request, code: WarehouseCode) -> Reply[None]:
        """Closes a warehouse: nothing new is promised from it, what is reserved there still leaves."""
        session = await request.customer()
        cause = request.cause(actor_of(session), warehouses_id())
        await inventory.direct(request.services.shop, CloseWarehouse(code=code), code, cause)
        return Reply(b"", 204)

    # --- what lies where ---------------------------------------------------------------------------

    @get("/levels", opt={"tagged": True, "models": ("stock_levels",)})
    async def levels(
        self,
        request: Request,
        sku: OneSku = None,
        warehouse: OneWarehouse = None,
        low: Annotated[bool, QueryParameter(description="Only what is at its mark or below.")] = False,
        as_of: AsOf = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[Level]]:
        """What lies where, by SKU and warehouse."""
        moment = as_it_was_at(as_of)
        if moment is not None and low:
            raise PROBLEMS.invalid_parameter(
                errors=[Wrong("What is low is known for now only: leave as_of out.", parameter="low")]
            )
        await includes(request, STOCK_LEVELS.name)
        page = await request.services.reads.run(
            lambda connection: stock_levels.levels(
                connection, sku=sku, warehouse=warehouse, low=low, limit=limit, cursor=cursor
            )
        )
        if moment is not None:
            past = await _past(request, page, moment)
            page = Page([_level(one) for one in past], page.next)
        return tagged(request, listing(request, page, lambda level: level))

    @put("/levels/{warehouse:str}/{sku:str}/mark")
    async def set_mark(
        self, request: Request, warehouse: WarehouseCode, sku: SkuInPath, data: JSONBody[Mark]
    ) -> Reply[StockView]:
        """Says from how many available units down the stock is low; the shop's own mark does not change it any more."""
        session = await request.customer()
        cause = request.cause(actor_of(session), stock_id_of(sku, warehouse))
        command = SetLowStockMark(sku=sku, warehouse=warehouse, mark=data.mark)
        after, _ = await inventory.book(request.services.shop, command, sku, warehouse, cause)
        return Reply.of(_stock(after))

    @get("/movements", opt={"tagged": True, "models": ("stock_levels",)})
    async def movements(
        self,
        request: Request,
        sku: Annotated[str, QueryParameter(min_length=1, max_length=64, description="The SKU.")],
        warehouse: OneWarehouse = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[Movement]]:
        """All that ever happened to a SKU's units, with who did it and why, the newest first."""
        await includes(request, STOCK_LEVELS.name)
        log = request.services.shop.logs["inventory"]
        if cursor is not None:
            tops = decode_cursor(cursor, tuple[dict[str, Top]])[0]
        else:
            places = await request.services.reads.run(lambda connection: stock_levels.warehouses_of(connection, sku))
            streams = {place: stock_id_of(sku, place) for place in places if warehouse in (None, place)}
            loaded = await log.load_many(STOCK, list(streams.values()), fresh=True)
            tops = {place: loaded[stream][1] for place, stream in streams.items()}
        found, left = await inventory.movements(log, sku, tops, limit)
        rows = [_movement(place, one) for place, one in found]
        more = encode_cursor({place: top for place, top in left.items() if top}) if any(left.values()) else None
        return tagged(request, listing(request, Page(rows, more), lambda row: row))

    @get("/valuation", opt={"tagged": True, "models": ("stock_levels",)})
    async def valuation(
        self,
        request: Request,
        sku: OneSku = None,
        warehouse: OneWarehouse = None,
        as_of: AsOf = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Valuation]:
        """What the units on hand are worth at their moving average cost, by SKU and warehouse."""
        moment = as_it_was_at(as_of)
        await includes(request, STOCK_LEVELS.name)
        reads = request.services.reads
        page = await reads.run(
            lambda connection: stock_levels.worth(connection, sku=sku, warehouse=warehouse, limit=limit, cursor=cursor)
        )
        totals = None
        if moment is None:
            totals = await reads.run(
                lambda connection: stock_levels.total_worth(connection, sku=sku, warehouse=warehouse)
            )
        else:
            page = Page([_worth(one) for one in await _past(request, page, moment)], page.next)
        shown = listing(request, page, lambda row: row)
        return tagged(request, Valuation(items=shown.items, next=shown.next, totals=totals))

    # --- goods in, counts --------------------------------------------------------------------------

    @post("/receive", status_code=201, opt={"idempotent": True})
    async def receive(self, request: Request, data: JSONBody[Receive]) -> Reply[StockView]:
        """Books units that came in."""
        cost = data.unit_cost
        command = ReceiveUnits(
            sku=data.sku,
            warehouse=data.warehouse,
            quantity=data.quantity,
            reference=data.reference,
            unit_cost=None if cost is None else Money(cost.amount, cost.currency),
        )
        return await _book(request, command, data.sku, data.warehouse)

    @post("/adjust", status_code=201, opt={"idempotent": True})
    async def adjust(self, request: Request, data: JSONBody[Adjust]) -> Reply[StockView]:
        """Puts a count right, writes units off, or sends them back to the supplier. What is reserved stays."""
        command = AdjustStock(
            sku=data.sku,
            warehouse=data.warehouse,
            change=data.change,
            reason=data.reason,
            kind=data.kind,
            reference=data.reference,
        )
        return await _book(request, command, data.sku, data.warehouse)

    @post("/counts", status_code=201, opt={"idempotent": True})
    async def count(self, request: Request, data: JSONBody[NewCount]) -> Reply[CountView]:
        """Books what was counted: each SKU against what the book had at that moment, all differences or none."""
        session = await request.customer()
        count_id, now = uuid4(), request.services.shop.clock.now()
        return await once(
            request,
            "inventory",
            actor_of(session),
            lambda made: Answer.of(_count(made), location=f"/api/v1/inventory/counts/{made.count_id}"),
            lambda keep: inventory.count(
                request.services.shop,
                count_id=count_id,
                warehouse=data.warehouse,
                counted=[(one.sku, one.counted, one.at or now) for one in data.lines],
                note=data.note,
                cause=request.cause(actor_of(session), count_id),
                keep=keep,
            ),
        )

    @get("/counts/{count_id:uuid}", opt={"tagged": True})
    async def show_count(self, request: Request, count_id: CountId) -> Reply[CountView]:
        """A count and its differences."""
        made, _ = await request.services.shop.logs["inventory"].load(STOCK_COUNT, count_id, fresh=True)
        if made is None:
            raise NO_SUCH_COUNT()
        return tagged(request, _count(made))

    # --- transfers ---------------------------------------------------------------------------------

    @post("/transfers", status_code=201, opt={"idempotent": True})
    async def send(self, request: Request, data: JSONBody[NewTransfer]) -> Reply[TransferView]:
        """Lets units leave one warehouse for another: all of them, or none."""
        session = await request.customer()
        transfer_id = uuid4()
        units = _units(data.lines)
        return await once(
            request,
            "inventory",
            actor_of(session),
            lambda made: Answer.of(_transfer(made), location=f"/api/v1/inventory/transfers/{made.transfer_id}"),
            lambda keep: inventory.send(
                request.services.shop,
                transfer_id=transfer_id,
                source=data.source,
                target=data.target,
                units=units,
                reference=data.reference,
                cause=request.cause(actor_of(session), transfer_id),
                keep=keep,
            ),
        )

    @get("/transfers", opt={"tagged": True, "models": ("stock_levels",)})
    async def list_transfers(
        self,
        request: Request,
        on_the_way: Annotated[bool, QueryParameter(description="Only what is still on the way.")] = False,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[TransferRow]]:
        """Transfers, the newest first."""
        await includes(request, STOCK_LEVELS.name)
        page = await request.services.reads.run(
            lambda connection: stock_levels.transfers(connection, open_only=on_the_way, limit=limit, cursor=cursor)
        )
        return tagged(request, listing(request, page, _row))

    @get("/transfers/{transfer_id:uuid}", opt={"tagged": True})
    async def show_transfer(self, request: Request, transfer_id: TransferId) -> Reply[TransferView]:
        """A transfer and what became of it."""
        there, _ = await request.services.shop.logs["inventory"].load(TRANSFER, transfer_id, fresh=True)
        if there is None:
            raise NO_SUCH_TRANSFER()
        return tagged(request, _transfer(there))

    @post("/transfers/{transfer_id:uuid}/arrive", status_code=201, opt={"idempotent": True})
    async def arrive(self, request: Request, transfer_id: TransferId, data: JSONBody[Arrival]) -> Reply[TransferView]:
        """Books what came into the target, in part where need be."""
        units = None if data.lines is None else _units(data.lines)
        return await _move(request, ReceiveTransfer(transfer_id=transfer_id, units=units))

    @post("/transfers/{transfer_id:uuid}/lose", status_code=201, opt={"idempotent": True})
    async def lose(self, request: Request, transfer_id: TransferId, data: JSONBody[Loss]) -> Reply[TransferView]:
        """Writes off what will never come."""
        units = None if data.lines is None else _units(data.lines)
        return await _move(request, LoseTransfer(transfer_id=transfer_id, reason=data.reason, units=units))


async def _book(request: Request, command: Command, sku: str, warehouse: str) -> Reply[StockView]:
    session = await request.customer()
    cause = request.cause(actor_of(session), stock_id_of(sku, warehouse))
    return await once(
        request,
        "inventory",
        actor_of(session),
        lambda after: Answer.of(_stock(after)),
        lambda keep: inventory.book(request.services.shop, command, sku, warehouse, cause, keep),
    )


async def _move(request: Request, command: ReceiveTransfer | LoseTransfer) -> Reply[TransferView]:
    session = await request.customer()
    cause = request.cause(actor_of(session), command.transfer_id)
    return await once(
        request,
        "inventory",
        actor_of(session),
        lambda after: Answer.of(_transfer(after)),
        lambda keep: inventory.move(request.services.shop, command, cause, keep),
    )


def _units(lines: list[SkuUnits]) -> dict[str, int]:
    """Units by SKU. Raises Problem where a SKU is named twice."""
    units: dict[str, int] = {}
    for place, one in enumerate(lines):
        if one.sku in units:
            raise PROBLEMS.invalid_body(errors=[Wrong("This SKU is named twice.", pointer=f"/lines/{place}/sku")])
        units[one.sku] = one.quantity
    return units


async def _past(request: Request, page: "Page[Level] | Page[Worth]", moment: datetime) -> list[StockState]:
    """What lay there then, in the places of a page; places without anything booked are left out."""
    places = [(one.sku, one.warehouse) for one in page.items]
    found = await inventory.at(request.services.shop.logs["inventory"], places, moment)
    return [one for one in found if one is not None]


def _stock(after: StockState) -> StockView:
    return StockView(
        sku=after.sku,
        warehouse=after.warehouse,
        on_hand=after.on_hand,
        reserved=after.reserved,
        available=after.available,
    )


def _level(one: StockState) -> Level:
    return Level(
        sku=one.sku,
        warehouse=one.warehouse,
        on_hand=one.on_hand,
        reserved=one.reserved,
        available=one.available,
        mark=one.mark,
        low=one.mark is not None and one.available <= one.mark,
    )


def _worth(one: StockState) -> Worth:
    value = one.value
    return Worth(
        sku=one.sku,
        warehouse=one.warehouse,
        on_hand=one.on_hand,
        value=None if value is None else value.amount,
        currency=None if value is None else value.currency,
    )


def _movement(warehouse: str, one: Any) -> Movement:
    event, after = one.event, evolve(None, one.event)
    about = next(
        (found for name in ("order_id", "transfer_id", "count_id") if (found := getattr(event, name, None))), None
    )
    return Movement(
        at=one.at,
        warehouse=warehouse,
        version=one.version,
        what=_WHAT[type(event)],
        on_hand=after.on_hand,
        reserved=after.reserved,
        actor=one.meta.actor,
        cause=one.meta.causation,
        why=getattr(event, "kind", None),
        reference=getattr(event, "reference", ""),
        reason=getattr(event, "reason", ""),
        about=about,
        unit_cost=getattr(event, "unit_cost", None),
    )


def _transfer(one: TransferState) -> TransferView:
    left = one.on_the_way
    return TransferView(
        transfer_id=one.transfer_id,
        status="on_the_way" if left else "ended",
        source=one.source,
        target=one.target,
        reference=one.reference,
        lines=[
            TransferLineView(
                sku=line.sku,
                sent=line.quantity,
                arrived=one.arrived.get(line.sku, 0),
                lost=one.lost.get(line.sku, 0),
                on_the_way=left.get(line.sku, 0),
            )
            for line in one.sent
        ],
    )


def _row(one: Transfer) -> TransferRow:
    return TransferRow(
        transfer_id=one.transfer_id,
        source=one.source,
        target=one.target,
        sent_at=one.sent_at,
        reference=one.reference,
        sent=one.sent,
        on_the_way=one.on_the_way,
    )


def _count(one: StockCountState) -> CountView:
    return CountView(
        count_id=one.count_id,
        warehouse=one.warehouse,
        note=one.note,
        lines=[
            CountLineView(
                sku=line.sku, counted=line.counted, booked=line.booked, difference=line.difference, at=line.at
            )
            for line in one.lines
        ],
    )
