"""Parcels as staff move them, and as the carrier tells by itself that they moved."""

import re
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Idempotency, IdempotencyReplay, Meta, ParcelNotice
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain import shipment
from emporium.domain.base import Command
from emporium.domain.order import ORDER
from emporium.domain.shipment import SHIPMENT, SHIPMENT_HELD, ShipmentState, shipment_id_of

__all__ = ["Move", "move", "receive"]

Keep = Callable[[ShipmentState], Idempotency | None]

Move = (
    shipment.PackParcel
    | shipment.ShipParcel
    | shipment.RecordDelivery
    | shipment.RecordLoss
    | shipment.RecordReturnToSender
    | shipment.RetryParcel
    | shipment.GiveUpParcel
)
"""What staff do with one parcel."""

_NOTICES: Final = "parcel notices"
"""The scope of the records by which a notice is known again."""

_KEY: Final = re.compile(r"parcel-([0-9a-f-]{36})-([1-9][0-9]{0,5})(?:-[1-9][0-9]{0,5})?")
"""With what `effects` books a parcel: its shipment's stream, its number, and which try it is."""

_ENDS: Final = {
    "delivered": shipment.RecordDelivery,
    "lost": shipment.RecordLoss,
    "returned": shipment.RecordReturnToSender,
}


async def move(shop: Shop, command: Move, cause: Meta, keep: Keep = lambda _: None) -> tuple[ShipmentState, Committed]:
    """Records a step of one parcel; the shipment after it. Raises `Rejected` (no_such_shipment, no_such_parcel …)."""
    order_id: UUID = command.order_id
    meta = replace(cause, correlation=str(order_id))

    if isinstance(command, shipment.PackParcel | shipment.ShipParcel):
        # The shipment hears of a hold a moment after the order.
        order, _ = await shop.logs["ordering"].load(ORDER, order_id, fresh=True)
        if order is not None and order.held is not None:
            raise SHIPMENT_HELD(parcel=command.parcel)

    async def handler(work: Work) -> ShipmentState:
        await handle(work, command, meta)
        after = work.state(SHIPMENT, shipment_id_of(order_id))
        assert after is not None, "a missing shipment was rejected"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("shipping", meta, handler)


async def receive(shop: Shop, notice: ParcelNotice, cause: Meta) -> bool:
    """Records what the carrier tells, once for each notice, in whatever order they come.

    A notice that does not fit (another shop's parcel, a label that is not used, an older story, one that comes before
    our own label is known) changes nothing: whatever was missed is found by asking.

    Returns whether it changed anything. Raises ProviderDown, where the carrier must be asked whose it is.
    """
    log = shop.logs["shipping"]
    if shop.parcel_notices is None or await log.answered(_NOTICES, notice.id) is not None:
        return False
    booked = _KEY.fullmatch(await shop.parcel_notices.key_of(notice) or "")
    if booked is None:
        return False
    stream, number = UUID(booked[1]), int(booked[2])
    known, _ = await log.load(SHIPMENT, stream, fresh=True)
    if known is None:
        return False
    meta = replace(cause, correlation=str(known.order_id), actor="system:carrier")

    async def handler(work: Work) -> bool:
        state = await work.load(SHIPMENT, stream)
        changed = False
        for command in () if state is None else _told(state, number, notice):
            changed |= bool(work.decide(SHIPMENT, stream, command, meta))
        if changed:
            work.unit.idempotency = Idempotency(_NOTICES, notice.id, b"", b"")
        return changed

    try:
        return (await shop.run("shipping", meta, handler))[0]
    except IdempotencyReplay:
        return False


def _told(state: ShipmentState, number: int, notice: ParcelNotice) -> Sequence[Command]:
    parcel = state.parcels.get(number)
    if parcel is None or not parcel.labelled or parcel.given_up or parcel.tracking_number != notice.tracking_number:
        return []
    if notice.status not in ("in_transit", *_ENDS) or state.status == shipment.CANCELLED:
        return []
    commands: list[Command] = []
    if not parcel.shipped:
        if state.held and not parcel.packed:
            return []  # it is told again once the order is released
        commands.append(shipment.ShipParcel(order_id=state.order_id, parcel=number))
    if notice.status in _ENDS:
        commands.append(_ENDS[notice.status](order_id=state.order_id, parcel=number))
    return commands
