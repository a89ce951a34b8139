"""Orders that are not at their end: their status, since when, and what they wait for; and what staff must see to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import order as o
from emporium.domain import payment as p
from emporium.domain import shipment as s
from emporium.projections.model import Connection, ReadModel, Tables, canonical
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["SAGA_MONITOR", "WAITS_FOR", "OpenOrder", "OpenSagas", "Trouble", "open_orders", "summary", "troubles"]

DDL: Final = """
-- From the ordering log: a row while the order's status is not terminal.
CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    number text NOT NULL,
    status text NOT NULL,
    since timestamptz NOT NULL,
    placed_at timestamptz NOT NULL,
    state jsonb NOT NULL
) WITH (fillfactor = 70);

-- From the payments log: a row while a refund is owed; `code` where the provider refused it.
CREATE TABLE refunds (
    order_id uuid NOT NULL,
    refund_id uuid NOT NULL,
    since timestamptz NOT NULL,
    code text,
    PRIMARY KEY (order_id, refund_id)
);

-- From the shipping log: a row while the carrier refuses a parcel.
CREATE TABLE parcels (
    order_id uuid NOT NULL,
    parcel bigint NOT NULL,
    since timestamptz NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (order_id, parcel)
);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS orders_since ON orders (since, order_id);
"""

WAITS_FOR: Final = {
    o.PENDING: "the payment",
    o.PAID: "the stock's reservation",
    o.BACKORDERED: "goods that are not there yet",
    o.CONFIRMED: "its parcels to be packed and handed over",
    o.PARTLY_SHIPPED: "its other parcels",
    o.SHIPPED: "delivery",
    o.REFUNDING: "the refund",
    o.CANCELLING: "shipping to say whether it can be stopped",
}
"""What an order waits for, by its status."""


class _Order(msgspec.Struct):
    order_id: UUID
    number: str
    status: str
    since: datetime
    placed_at: datetime
    state: msgspec.Raw = msgspec.Raw()


class _Refund(msgspec.Struct):
    order_id: UUID
    refund_id: UUID
    since: datetime
    code: str | None


class _Parcel(msgspec.Struct):
    order_id: UUID
    parcel: int
    since: datetime
    reason: str


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of one log's events."""
    if log == "ordering":
        await _fold_orders(tables, events)
    elif log == "payments":
        await _fold_refunds(tables, events)
    else:
        await _fold_parcels(tables, events)


def _order_id(one: Recorded) -> UUID:
    return one.event.order_id  # type: ignore[attr-defined,no-any-return]  # every event folded here has it


async def _fold_orders(tables: Tables, events: Sequence[Recorded]) -> None:
    asked = {_order_id(one).int: _order_id(one) for one in events}
    begun = {_order_id(one).int for one in events if type(one.event) is o.OrderCreated}
    found = await tables.fetch(
        "SELECT order_id, number, status, since, placed_at, state::text FROM orders WHERE order_id = ANY(%s)",
        [order_id for key, order_id in asked.items() if key not in begun],
    )
    rows: dict[int, _Order] = {}
    states: dict[int, o.OrderState] = {}
    for order_id, number, status, since, placed_at, text in found:
        rows[order_id.int] = _Order(order_id, number, status, since, placed_at)
        states[order_id.int] = _STATE.decode(text)
    for one in events:
        event: Any = one.event
        key = event.order_id.int
        if type(event) is o.OrderCreated:
            states[key] = replace(o.evolve(None, event), lines=(), email=None, ship_to=None)
            rows[key] = _Order(event.order_id, event.number, states[key].status, one.at, event.placed_at)
        elif (row := rows.get(key)) is not None:
            state = states[key] = o.evolve(states[key], event)
            if state.status != row.status:
                row.status, row.since = state.status, one.at
        # Else it has ended, and no event takes an order back from its end.
    still_open = [row for key, row in rows.items() if not states[key].is_closed]
    for row in still_open:
        row.state = canonical(states[row.order_id.int])
    await tables.write(
        "INSERT INTO orders SELECT * FROM json_populate_recordset(NULL::orders, %s)"
        " ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, since = excluded.since,"
        " state = excluded.state",
        still_open,
    )
    await tables.write(
        "DELETE FROM orders t USING json_populate_recordset(NULL::orders, %s) x WHERE t.order_id = x.order_id",
        [{"order_id": rows[key].order_id} for key, state in states.items() if state.is_closed and key not in begun],
    )


_STATE: Final = msgspec.json.Decoder(o.OrderState)


async def _fold_refunds(tables: Tables, events: Sequence[Recorded]) -> None:
    rows: dict[tuple[UUID, UUID], _Refund | None] = {}
    for one in events:
        match one.event:
            case p.RefundRequested(order_id=order_id, refund_id=refund_id):
                rows[order_id, refund_id] = _Refund(order_id, refund_id, one.at, None)
            case p.RefundFailed(order_id=order_id, refund_id=refund_id, code=code):
                rows[order_id, refund_id] = _Refund(order_id, refund_id, one.at, code)
            case p.PaymentRefunded(order_id=order_id, refund_id=refund_id):
                rows[order_id, refund_id] = None
    await tables.write(
        "INSERT INTO refunds SELECT * FROM json_populate_recordset(NULL::refunds, %s)"
        " ON CONFLICT (order_id, refund_id) DO UPDATE SET since = excluded.since, code = excluded.code",
        [row for row in rows.values() if row is not None],
    )
    await tables.write(
        "DELETE FROM refunds t USING json_populate_recordset(NULL::refunds, %s) x"
        " WHERE t.order_id = x.order_id AND t.refund_id = x.refund_id",
        [{"order_id": key[0], "refund_id": key[1]} for key, row in rows.items() if row is None],
    )


async def _fold_parcels(tables: Tables, events: Sequence[Recorded]) -> None:
    refused: dict[tuple[UUID, int], _Parcel | None] = {}
    cancelled: list[dict[str, UUID]] = []
    for one in events:
        match one.event:
            case s.ParcelRefused(order_id=order_id, parcel=parcel, reason=reason):
                refused[order_id, parcel] = _Parcel(order_id, parcel, one.at, reason)
            case s.ParcelLabelled(order_id=order_id, parcel=parcel) | s.ParcelGivenUp(order_id=order_id, parcel=parcel):
                refused[order_id, parcel] = None
            case s.ShipmentReduced(order_id=order_id, emptied=emptied):
                for parcel in emptied:
                    refused[order_id, parcel] = None
            case s.ShipmentCancelled(order_id=order_id):
                cancelled.append({"order_id": order_id})
                for key in [key for key in refused if key[0] == order_id]:
                    refused[key] = None
    await tables.write(
        "INSERT INTO parcels SELECT * FROM json_populate_recordset(NULL::parcels, %s)"
        " ON CONFLICT (order_id, parcel) DO UPDATE SET since = excluded.since, reason = excluded.reason",
        [row for row in refused.values() if row is not None],
    )
    await tables.write(
        "DELETE FROM parcels t USING json_populate_recordset(NULL::parcels, %s) x"
        " WHERE t.order_id = x.order_id AND t.parcel = x.parcel",
        [{"order_id": key[0], "parcel": key[1]} for key, row in refused.items() if row is None],
    )
    await tables.write(
        "DELETE FROM parcels t USING json_populate_recordset(NULL::parcels, %s) x WHERE t.order_id = x.order_id",
        cancelled,
    )


SAGA_MONITOR: Final = ReadModel(
    name="saga_monitor",
    version=3,
    logs={
        "ordering": o.ORDER.events,
        "payments": (p.RefundRequested, p.RefundFailed, p.PaymentRefunded),
        "shipping": (s.ParcelRefused, s.ParcelLabelled, s.ParcelGivenUp, s.ShipmentReduced, s.ShipmentCancelled),
    },
    ddl=DDL,
    indexes=INDEXES,
    key=_order_id,
    pace=0.2,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is not at its end, in this status since `since`."""

    order_id: UUID
    number: str
    status: str
    waits_for: str
    since: datetime
    placed_at: datetime


class OpenSagas(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders are open and where.

    Attributes:
        by_status: open orders by status.
        oldest: since when the one that has waited longest is in its status.
        refunds_owed: refunds that the provider has not paid yet, `refunds_refused` those it will not.
        parcels_refused: parcels for whose address there is no carrier.
    """

    open: int
    by_status: dict[str, int]
    oldest: datetime | None
    refunds_owed: int
    refunds_refused: int
    parcels_refused: int


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only staff can solve: `kind` is `refund_refused` or `parcel_refused`."""

    kind: str
    order_id: UUID
    what: str
    reason: str
    since: datetime


async def open_orders(
    connection: Connection, *, status: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[OpenOrder]:
    """Open orders, those that have waited longest first. Raises BadCursor."""
    where = "true"
    values: dict[str, Any] = {"limit": limit + 1}
    if status is not None:
        where = "status = %(status)s"
        values["status"] = status
    if cursor is not None:
        where += " AND (since, order_id) > (%(since)s, %(order_id)s)"
        values["since"], values["order_id"] = decode_cursor(cursor, tuple[datetime, UUID])
    found = await connection.execute(
        "SELECT order_id, number, status, since, placed_at FROM rm_saga_monitor.orders"
        f" WHERE {where} ORDER BY since, order_id LIMIT %(limit)s",
        values,
    )
    rows = [
        OpenOrder(
            order_id=order_id,
            number=number,
            status=status,
            waits_for=WAITS_FOR[status],
            since=since,
            placed_at=placed_at,
        )
        for order_id, number, status, since, placed_at in await found.fetchall()
    ]
    return page_of(rows, limit, lambda row: (row.since, row.order_id))


async def summary(connection: Connection) -> OpenSagas:
    """Counts over all that is open."""
    found = await connection.execute("SELECT status, count(*), min(since) FROM rm_saga_monitor.orders GROUP BY status")
    rows = await found.fetchall()
    found = await connection.execute(
        "SELECT count(*) FILTER (WHERE code IS NULL), count(*) FILTER (WHERE code IS NOT NULL),"
        " (SELECT count(*) FROM rm_saga_monitor.parcels) FROM rm_saga_monitor.refunds"
    )
    owed, refused, parcels = await found.fetchone() or (0, 0, 0)
    return OpenSagas(
        open=sum(count for _, count, _ in rows),
        by_status={status: count for status, count, _ in sorted(rows)},
        oldest=min((since for _, _, since in rows), default=None),
        refunds_owed=owed,
        refunds_refused=refused,
        parcels_refused=parcels,
    )


async def troubles(connection: Connection, limit: int = 100) -> list[Trouble]:
    """What staff must see to, the oldest first."""
    async with connection.cursor(row_factory=class_row(Trouble)) as found:
        await found.execute(
            "SELECT 'refund_refused' AS kind, order_id, refund_id::text AS what, code AS reason, since"
            " FROM rm_saga_monitor.refunds WHERE code IS NOT NULL UNION ALL"
            " SELECT 'parcel_refused', order_id, parcel::text, reason, since FROM rm_saga_monitor.parcels"
            " ORDER BY since LIMIT %s",
            [limit],
        )
        return await found.fetchall()
