"""/api/v1/shipments: for staff, parcels on their way; hand a parcel to the carrier, record its arrival."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import PathParameter, QueryParameter

from emporium.application import orders, shipments
from emporium.domain.order_number import parse_order_number
from emporium.domain.shipment import RecordDelivery, ShipmentState, ShipParcel
from emporium.http.auth import staff
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.orders import Number
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import order_history
from emporium.projections.order_history import ORDER_HISTORY, OrderRow, ParcelView

__all__ = ["ShipmentController"]

ParcelNumber = Annotated[int, PathParameter(ge=1, le=500, description="The parcel's number within its order.")]


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

    @post("/{number:str}/parcels/{parcel:int}/ship", status_code=200, opt={"idempotent": True})
    async def ship(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The carrier has the parcel."""
        order = await orders.find(request.services.shop, number)
        if order is None:
            raise KINDS.not_found("There is no such order.")
        return await _move(request, order.number, parcel, ShipParcel(order_id=order.order_id, parcel=parcel))

    @post("/{number:str}/parcels/{parcel:int}/deliver", status_code=200, opt={"idempotent": True})
    async def deliver(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[ParcelMoved]:
        """The parcel has arrived."""
        order = await orders.find(request.services.shop, number)
        if order is None:
            raise KINDS.not_found("There is no such order.")
        return await _move(request, order.number, parcel, RecordDelivery(order_id=order.order_id, parcel=parcel))


async def _move(request: Request, number: str, parcel: int, command: ShipParcel | RecordDelivery) -> Reply[ParcelMoved]:
    session = await request.customer()

    def answer(after: ShipmentState) -> Answer:
        return Answer.of(ParcelMoved(order_number=number, parcel=parcel, status=after.status), 200)

    return await once(
        request,
        "shipping",
        actor_of(session),
        answer,
        lambda keep: shipments.move(request.services.shop, command, request.cause(actor_of(session), ""), keep),
    )


def _summary(row: OrderRow) -> ShipmentSummary:
    return ShipmentSummary(
        order_number=row.number, status=row.status, placed_at=row.placed_at, country=row.country, units=row.units
    )
