"""Parcels as staff move them: handed to the carrier, arrived."""

from collections.abc import Callable
from uuid import UUID

from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.shipment import SHIPMENT, RecordDelivery, ShipmentState, ShipParcel, shipment_id_of

__all__ = ["move"]

Keep = Callable[[ShipmentState], Idempotency | None]


async def move(
    shop: Shop, command: ShipParcel | RecordDelivery, cause: Meta, keep: Keep = lambda _: None
) -> tuple[ShipmentState, Committed]:
    """Records a step of one parcel; the shipment after it. Raises `Rejected` (no_such_shipment, no_such_parcel …)."""
    order_id: UUID = command.order_id
    meta = replace(cause, correlation=str(order_id))

    async def handler(work: Work) -> ShipmentState:
        await handle(work, command, meta)
        after = work.state(SHIPMENT, shipment_id_of(order_id))
        assert after is not None, "a missing shipment was rejected"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("shipping", meta, handler)
