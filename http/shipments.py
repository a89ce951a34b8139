"""/api/v1/shipments: for staff, what to pick, pack and hand over, parcels on their way; what the carrier tells."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter

from emporium.application import orders, shipments
from emporium.domain import shipment as parcels
from emporium.domain.order_number import parse_order_number
from emporium.domain.reservation import Allocation
from emporium.domain.shipment import SHIPMENT, ShipmentState, shipment_id_of
from emporium.http.auth import staff
from emporium.http.bodies import Body, Text
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.notices import heard
from emporium.http.orders import Number
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import catalog_pages, order_history, packing
from emporium.projections.order_history import ORDER_HISTORY, OrderRow, ParcelView
from emporium.projections.packing import Step, WaitingParcel
from emporium.projections.paging import Page

__all__ = ["CarrierController", "RefusedController", "ShipmentController"]

ParcelNumber = Annotated[int, PathParameter(ge=1, le=500, description="The parcel's number within its order.")]


Warehouse = Annotated[str, QueryParameter(max_length=64, description="The warehouse's code.")]


class ShipmentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the list of those to be shipped."""

    order_number: str
    status: str
    placed_at: datetime
    country: str
    units: int


class ShipmentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The parcels of an order; `status` is prepared, shipped, fulfilled or cancelled."""

    order_number: str
    status: str
    parcels: tuple[ParcelView, ...]


class ParcelMoved(msgspec.Struct, frozen=True, kw_only=True):
    """The shipment after a parcel was shipped or delivered."""

    order_number: str
    parcel: int
    status: str


class PickLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU to be taken from the shelves, for so many parcels."""

    sku: str
    title: str
    quantity: int
    parcels: int


class PackedItem(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU that belong into a parcel."""

    sku: str
    title: str
    quantity: int


class PackLine(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel to be packed or handed over; `since` is when its turn came."""

    order_number: str
    parcel: int
    of: int
    warehouse: str
    placed_at: datetime
    since: datetime
    country: str
    held: bool
    shipping_method: str | None
    items: list[PackedItem]
    carrier: str
    tracking_number: str
    label_url: str


class RefusedParcel(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel that no carrier takes, and the carrier's reason."""

    order_number: str
    parcel: int
    of: int
    warehouse: str
    placed_at: datetime
    since: datetime
    country: str
    items: list[PackedItem]
    reason: str


class ParcelLabel(msgspec.Struct, frozen=True, kw_only=True):
    """Where the label of a parcel can be printed from, and where the parcel can be followed."""

    order_number: str
    parcel: int
    carrier: str
    tracking_number: str
    tracking_url: str
    label_url: str


class GiveUp(Body, frozen=True, kw_only=True):
    """Why the parcel is not sent."""

    reason: Text = "undeliverable"


class CarrierTold(msgspec.Struct, frozen=True, kw_only=True):
    """The carrier's notice was received; `changed` says whether it was news."""

    changed: bool


class ShipmentController(Controller):
    """Shipments."""

    path = "/shipments"
    tags = ["shipments"]
    guards = [staff("warehouse")]

    @get("/", opt={"tagged": True, "models": ("order_history",)})
    async def list_shipments(
        self,
        request: Request,
        status: Annotated[
            Literal["confirmed", "partly_shipped", "shipped", "fulfilled"],
            QueryParameter(description="The order's status."),
        ] = "confirmed",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[ShipmentSummary]]:
        """Orders by how far their parcels are; at first those that wait to be shipped."""
        await includes(request, ORDER_HISTORY.name)
        page = await request.services.reads.run(
            lambda connection: order_history.orders_for_admin(connection, status=status, limit=limit, cursor=cursor)
        )
        return tagged(request, listing(request, page, _summary))

    @get("/{number:str}", opt={"tagged": True, "models": ("order_history",)})
    async def detail(self, request: Request, number: Number) -> Reply[ShipmentDetail]:
        """The parcels of an order."""
        exact = parse_order_number(number)
        await includes(request, ORDER_HISTORY.name)
        detail = await request.services.reads.run(lambda connection: order_history.order_by_number(connection, exact))
        if detail is None or detail.shipment is None:
            raise KINDS.not_found("There is no shipment for this order yet.")
        return tagged(request, ShipmentDetail(order_number=exact, status=detail.shipment, parcels=detail.parcels))

    @get("/picking", opt={"tagged": True, "models": ("order_history",)})
    async def pick_list(
        self, request: Request, warehouse: Warehouse, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[PickLine]]:
        """What is to be taken from the shelves of a warehouse, by SKU, for all its parcels that have a label."""
        await includes(request, ORDER_HISTORY.name)
        reads = request.services.reads
        page = await reads.run(lambda connection: packing.picks(connection, warehouse, limit=limit, cursor=cursor))
        titles = await reads.run(lambda connection: catalog_pages.titles(connection, [row.sku for row in page.items]))

        def show(row: packing.PickRow) -> PickLine:
            title = titles.get(row.sku, row.sku)
            return PickLine(sku=row.sku, title=title, quantity=row.quantity, parcels=row.parcels)

        return tagged(request, listing(request, page, show))

    @get("/packing", opt={"tagged": True, "models": ("order_history",)})
    async def pack_list(
        self,
        request: Request,
        warehouse: Warehouse,
        step: Annotated[
            Literal["labelled", "packed"],
            QueryParameter(description="To be packed (labelled), or to be handed over (packed)."),
        ] = "labelled",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[PackLine]]:
        """The parcels of a warehouse with what belongs into each and its label, oldest order first."""
        page = await _waiting(request, step, warehouse, limit, cursor)
        return tagged(request, listing(request, page, _pack_line))

    @get("/{number:str}/parcels/{parcel:int}/label")
    async def label(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelLabel]:
        """Where the label of a parcel can be printed from."""
        order = await orders.find(request.services.shop, number)
        if order is None:
            raise KINDS.not_found("There is no such order.")
        log = request.services.shop.logs["shipping"]
        state, _ = await log.load(SHIPMENT, shipment_id_of(order.order_id), fresh=True)
        one = state.parcels.get(parcel) if state is not None else None
        if one is None:
            raise KINDS.not_found("There is no such parcel.")
        if not one.labelled:
            raise parcels.PARCEL_NOT_LABELLED(parcel=parcel)
        return Reply.of(
            ParcelLabel(
                order_number=order.number,
                parcel=parcel,
                carrier=one.carrier,
                tracking_number=one.tracking_number,
                tracking_url=one.tracking_url,
                label_url=one.label_url,
            )
        )

    @post("/{number:str}/parcels/{parcel:int}/pack", status_code=200, opt={"idempotent": True})
    async def pack(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The parcel is closed: from here on the order cannot be stopped."""
        return await _move(request, number, parcel, parcels.PackParcel)

    @post("/{number:str}/parcels/{parcel:int}/ship", status_code=200, opt={"idempotent": True})
    async def ship(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The carrier has the parcel."""
        return await _move(request, number, parcel, parcels.ShipParcel)

    @post("/{number:str}/parcels/{parcel:int}/deliver", status_code=200, opt={"idempotent": True})
    async def deliver(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The parcel has arrived."""
        return await _move(request, number, parcel, parcels.RecordDelivery)

    @post("/{number:str}/parcels/{parcel:int}/lose", status_code=200, opt={"idempotent": True})
    async def lose(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The carrier has lost the parcel: what was in it is refunded."""
        return await _move(request, number, parcel, parcels.RecordLoss)

    @post("/{number:str}/parcels/{parcel:int}/return", status_code=200, opt={"idempotent": True})
    async def send_back(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The parcel came back undelivered: what is in it is refunded and can be sold again."""
        return await _move(request, number, parcel, parcels.RecordReturnToSender)


class RefusedController(Controller):
    """Parcels that no carrier takes: their address is impossible, or nobody goes there."""

    path = "/shipments"
    tags = ["shipments"]
    guards = [staff("support", "warehouse")]

    @get("/refused", opt={"tagged": True, "models": ("order_history",)})
    async def refused(
        self,
        request: Request,
        warehouse: Annotated[str | None, QueryParameter(max_length=64, description="Only of this warehouse.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[RefusedParcel]]:
        """What no carrier takes, oldest order first. A corrected address of the order lets it go on by itself."""
        page = await _waiting(request, "refused", warehouse, limit, cursor)
        return tagged(request, listing(request, page, _refused_parcel))

    @post("/{number:str}/parcels/{parcel:int}/retry", status_code=200, opt={"idempotent": True})
    async def retry(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """Asks the carrier once more for a label that it refused."""
        return await _move(request, number, parcel, parcels.RetryParcel)

    @post("/{number:str}/parcels/{parcel:int}/give-up", status_code=200, opt={"idempotent": True})
    async def give_up(
        self, request: Request, number: Number, parcel: ParcelNumber, data: JSONBody[GiveUp]
    ) -> Reply[ParcelMoved]:
        """Does not send a parcel, though another of its order has left: what was to be in it is refunded."""

        def command(*, order_id: UUID, parcel: int) -> shipments.Move:
            return parcels.GiveUpParcel(order_id=order_id, parcel=parcel, reason=data.reason)

        return await _move(request, number, parcel, command)


class CarrierController(Controller):
    """What carriers tell by themselves. They prove themselves by their signatures."""

    path = "/shipments/webhooks"
    tags = ["shipments"]

    @post("/easypost", status_code=200)
    async def easypost(
        self, request: Request, signature: Annotated[str, HeaderParameter(name="X-Hmac-Signature", max_length=2_000)]
    ) -> Reply[CarrierTold]:
        """What EasyPost tells of parcels, signed over the raw body; each event counts once, in any order.

        Events of kinds that do not matter here are received and forgotten.
        """
        return await _receive(request, "easypost", signature)

    @post("/sandbox", status_code=200)
    async def sandbox(
        self, request: Request, signature: Annotated[str, HeaderParameter(name="Sandbox-Signature", max_length=2_000)]
    ) -> Reply[CarrierTold]:
        """What the sandbox's carrier tells of parcels, signed as `t=<seconds>,v1=<HMAC-SHA-256 of t.body>`."""
        return await _receive(request, "sandbox", signature)


async def _receive(request: Request, carrier: str, signature: str) -> Reply[CarrierTold]:
    shop = request.services.shop
    if shop.parcel_notices is None or shop.parcel_notices.carrier != carrier:
        raise KINDS.not_found("This shop does not hear from that carrier.")
    changed = await heard(request, signature, shop.parcel_notices.read, shipments.receive, "system:carrier")
    return Reply.of(CarrierTold(changed=changed))


async def _move(request: Request, number: str, parcel: int, make: Callable[..., shipments.Move]) -> Reply[ParcelMoved]:
    session = await request.customer()
    order = await orders.find(request.services.shop, number)
    if order is None:
        raise KINDS.not_found("There is no such order.")
    command, exact = make(order_id=order.order_id, parcel=parcel), order.number

    def answer(after: ShipmentState) -> Answer:
        return Answer.of(ParcelMoved(order_number=exact, parcel=parcel, status=after.status), 200)

    return await once(
        request,
        "shipping",
        actor_of(session),
        answer,
        lambda keep: shipments.move(request.services.shop, command, request.cause(actor_of(session), ""), keep),
    )


async def _waiting(
    request: Request, step: Step, warehouse: str | None, limit: int, cursor: str | None
) -> Page[WaitingParcel]:
    await includes(request, ORDER_HISTORY.name)
    return await request.services.reads.run(
        lambda connection: packing.parcels(connection, step, warehouse=warehouse, limit=limit, cursor=cursor)
    )


def _items(row: WaitingParcel) -> list[PackedItem]:
    def show(one: Allocation) -> PackedItem:
        return PackedItem(sku=one.sku, title=row.titles.get(one.sku, one.sku), quantity=one.quantity)

    return [show(one) for one in row.items]


def _pack_line(row: WaitingParcel) -> PackLine:
    return PackLine(
        order_number=row.order_number,
        parcel=row.parcel,
        of=row.of,
        warehouse=row.warehouse,
        placed_at=row.placed_at,
        since=row.since,
        country=row.country,
        held=row.held,
        shipping_method=row.shipping_method,
        items=_items(row),
        carrier=row.carrier,
        tracking_number=row.tracking_number,
        label_url=row.label_url,
    )


def _refused_parcel(row: WaitingParcel) -> RefusedParcel:
    return RefusedParcel(
        order_number=row.order_number,
        parcel=row.parcel,
        of=row.of,
        warehouse=row.warehouse,
        placed_at=row.placed_at,
        since=row.since,
        country=row.country,
        items=_items(row),
        reason=row.refused or "",
    )


def _summary(row: OrderRow) -> ShipmentSummary:
    return ShipmentSummary(
        order_number=row.number, status=row.status, placed_at=row.placed_at, country=row.country, units=row.units
    )
