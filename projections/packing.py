"""What a warehouse has to do next: parcels to pick, to pack and to hand over, and those that no carrier takes.

Queries over the read model of orders: whoever works in a warehouse sees few of them at a time, oldest first.
"""

from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec

from emporium.domain.order import OrderLine
from emporium.domain.reservation import Allocation
from emporium.domain.shipment import ParcelState
from emporium.projections.model import Connection
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["PickRow", "Step", "WaitingParcel", "parcels", "picks"]

Step = Literal["labelled", "packed", "refused"]

_STEPS: Final[dict[Step, LiteralString]] = {
    "labelled": "(p.value ->> 'labelled')::boolean AND NOT (p.value ->> 'packed')::boolean AND NOT o.held"
    " AND NOT (p.value ->> 'given_up')::boolean",
    "packed": "(p.value ->> 'packed')::boolean AND NOT (p.value ->> 'shipped')::boolean",
    "refused": "p.value ->> 'refused' IS NOT NULL",
}

_ORDERS: Final = (
    "rm_order_history.orders o JOIN rm_order_history.shipments s USING (order_id),"
    " LATERAL jsonb_each(s.state -> 'parcels') p"
)
_OPEN: Final = (
    "o.status IN ('confirmed', 'partly_shipped') AND s.state ->> 'status' <> 'cancelled'"
    " AND (%(warehouse)s::text IS NULL OR p.value -> 'parcel' ->> 'warehouse' = %(warehouse)s)"
)


class PickRow(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU to be taken from the shelves, for so many parcels."""

    sku: str
    quantity: int
    parcels: int


class WaitingParcel(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel that somebody must do something with.

    Attributes:
        since: when it came to be as it is.
        refused: the carrier's reason.
        shipping_method: what the customer chose, None where nothing was chosen.
    """

    order_id: UUID
    order_number: str
    placed_at: datetime
    country: str
    held: bool
    shipping_method: str | None
    parcel: int
    of: int
    warehouse: str
    items: tuple[Allocation, ...]
    titles: dict[str, str]
    carrier: str
    tracking_number: str
    label_url: str
    refused: str | None
    since: datetime


async def picks(connection: Connection, warehouse: str, *, limit: int = 50, cursor: str | None = None) -> Page[PickRow]:
    """What is to be taken from the shelves of a warehouse for all parcels with a label, by SKU. Raises BadCursor."""
    (after,) = decode_cursor(cursor, tuple[str]) if cursor is not None else ("",)
    found = await connection.execute(
        "SELECT (i ->> 'sku') COLLATE \"C\", sum((i ->> 'quantity')::bigint)::bigint,"
        " count(DISTINCT (o.order_id, p.key))"
        f" FROM {_ORDERS}, LATERAL jsonb_array_elements(p.value -> 'parcel' -> 'items') i"
        f" WHERE {_OPEN} AND {_STEPS['labelled']} AND (i ->> 'sku') COLLATE \"C\" > %(after)s"
        " GROUP BY 1 ORDER BY 1 LIMIT %(limit)s",
        {"warehouse": warehouse, "after": after, "limit": limit + 1},
    )
    rows = [PickRow(sku=sku, quantity=units, parcels=count) for sku, units, count in await found.fetchall()]
    return page_of(rows, limit, lambda row: (row.sku,))


async def parcels(
    connection: Connection, step: Step, *, warehouse: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[WaitingParcel]:
    """Parcels at a step (of one warehouse, or of all), oldest order first. Raises BadCursor."""
    values: dict[str, Any] = {"warehouse": warehouse, "limit": limit + 1}
    after = ""
    if cursor is not None:
        after = " AND (o.placed_at, o.order_id, p.key::int) > (%(at)s, %(order_id)s, %(parcel)s)"
        values["at"], values["order_id"], values["parcel"] = decode_cursor(cursor, tuple[datetime, UUID, int])
    found = await connection.execute(
        "SELECT o.order_id, o.number, o.placed_at, o.country, o.held, p.value::text, s.times, s.changed_at,"
        " (SELECT count(*) FROM jsonb_object_keys(s.state -> 'parcels')),"
        " c.agreement ->> 'shipping_method', c.lines::text"
        f" FROM {_ORDERS}, rm_order_history.contents c WHERE c.order_id = o.order_id AND {_OPEN}"
        f" AND {_STEPS[step]}{after} ORDER BY o.placed_at, o.order_id, p.key::int LIMIT %(limit)s",
        values,
    )
    rows = [_waiting(step, *row) for row in await found.fetchall()]
    return page_of(rows, limit, lambda row: (row.placed_at, row.order_id, row.parcel))


_PARCEL: Final = msgspec.json.Decoder(ParcelState)
_LINES: Final = msgspec.json.Decoder(tuple[OrderLine, ...])


def _waiting(
    step: Step, order_id: UUID, number: str, placed_at: datetime, country: str, held: bool, text: str,
    times: dict[str, str], changed_at: datetime, of: int, method: str | None, lines: str,
) -> WaitingParcel:  # fmt: skip
    one = _PARCEL.decode(text)
    at = times.get(f"{one.parcel.number}.{step}")
    skus = {item.sku for item in one.parcel.items}
    return WaitingParcel(
        order_id=order_id,
        order_number=number,
        placed_at=placed_at,
        country=country,
        held=held,
        shipping_method=method,
        parcel=one.parcel.number,
        of=of,
        warehouse=one.parcel.warehouse,
        items=one.parcel.items,
        titles={line.sku: line.title for line in _LINES.decode(lines) if line.sku in skus},
        carrier=one.carrier,
        tracking_number=one.tracking_number,
        label_url=one.label_url,
        refused=one.refused,
        since=changed_at if at is None else datetime.fromisoformat(at),
    )
