"""What other programs were told, one row for each event and endpoint: what became of it, for administrators."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import webhook_delivery as d
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["DELIVERIES", "DeliveryRow", "deliveries"]

DDL: Final = """
CREATE TABLE deliveries (
    delivery_id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    log text NOT NULL,
    position bigint NOT NULL,
    status text NOT NULL,
    attempts bigint NOT NULL,
    code bigint,
    error text,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 90);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS deliveries_created ON deliveries (endpoint_id, created_at DESC, delivery_id DESC);
CREATE INDEX IF NOT EXISTS deliveries_open ON deliveries (endpoint_id, status, created_at DESC, delivery_id DESC)
    WHERE status <> 'delivered';
"""


class _Row(msgspec.Struct):
    delivery_id: UUID
    endpoint_id: UUID
    event_id: UUID
    topic: str
    log: str
    position: int
    status: str
    attempts: int
    code: int | None
    error: str | None
    created_at: datetime
    changed_at: datetime


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of the deliveries' events: each says all that its row does but when the delivery began."""
    rows: dict[UUID, _Row] = {}
    for one in events:
        event: Any = one.event
        told: d.Delivery = event.delivery
        state = d.evolve(None, event)
        before = rows.get(one.stream)
        rows[one.stream] = _Row(
            one.stream,
            told.endpoint_id,
            told.event_id,
            told.topic,
            told.log,
            told.position,
            state.status,
            state.attempts,
            state.code,
            state.error,
            one.at if before is None else before.created_at,
            one.at,
        )
    await tables.write(
        "INSERT INTO deliveries SELECT * FROM json_populate_recordset(NULL::deliveries, %s)"
        " ON CONFLICT (delivery_id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts,"
        " code = excluded.code, error = excluded.error, changed_at = excluded.changed_at",
        list(rows.values()),
    )


DELIVERIES: Final = ReadModel(
    name="deliveries",
    version=1,
    logs={"notifications": d.DELIVERY.events},
    ddl=DDL,
    indexes=INDEXES,
    key=lambda one: one.stream,
    pace=0.5,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery and what became of it: `waiting`, `delivered`, `failed` (is tried again) or `set_aside`.

    Attributes:
        attempts: tries since it was last wanted; code: the last HTTP status; error: why the last try failed.
    """

    delivery_id: UUID
    event_id: UUID
    topic: str
    log: str
    position: int
    status: str
    attempts: int
    code: int | None
    error: str | None
    created_at: datetime
    changed_at: datetime


async def deliveries(
    connection: Connection,
    endpoint_id: UUID,
    *,
    status: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DeliveryRow]:
    """What an endpoint was told, or was to be told and has been tried, the newest first. Raises BadCursor."""
    conditions = ["endpoint_id = %(endpoint)s"]
    values: dict[str, Any] = {"endpoint": endpoint_id, "limit": limit + 1}
    if status is not None:
        conditions.append("status = %(status)s")
        values["status"] = status
    if cursor is not None:
        conditions.append("(created_at, delivery_id) < (%(at)s, %(id)s)")
        values["at"], values["id"] = decode_cursor(cursor, tuple[datetime, UUID])
    async with connection.cursor(row_factory=class_row(DeliveryRow)) as found:
        await found.execute(
            "SELECT delivery_id, event_id, topic, log, position, status, attempts, code, error, created_at, changed_at"
            " FROM rm_deliveries.deliveries"
            f" WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, delivery_id DESC LIMIT %(limit)s",
            values,
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.created_at, row.delivery_id))
