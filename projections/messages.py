"""Messages to people, one row each, for staff: what became of them, and what waits for somebody."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import notification as n
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["MESSAGES", "MessageRow", "messages"]

DDL: Final = """
CREATE TABLE messages (
    notification_id uuid PRIMARY KEY,
    status text NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL,
    order_id uuid,
    customer_id uuid,
    via text,
    language text,
    attempts bigint NOT NULL,
    error text,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 90);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS messages_created ON messages (created_at DESC, notification_id DESC);
CREATE INDEX IF NOT EXISTS messages_open ON messages (status, created_at DESC, notification_id DESC)
    WHERE status IN ('waiting', 'failed', 'set_aside', 'suppressed');
CREATE INDEX IF NOT EXISTS messages_order ON messages (order_id) WHERE order_id IS NOT NULL;
"""


class _Message(msgspec.Struct):
    notification_id: UUID
    status: str
    kind: str
    channel: str
    order_id: UUID | None
    customer_id: UUID | None
    via: str | None
    language: str | None
    attempts: int
    error: str | None
    created_at: datetime
    changed_at: datetime


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of the messages' events: each says all that its row does but when the message began."""
    rows: dict[UUID, _Message] = {}
    for one in events:
        event: Any = one.event
        about: n.About = event.about
        state = n.evolve(None, event)
        before = rows.get(one.stream)
        rows[one.stream] = _Message(
            one.stream,
            state.status,
            about.kind,
            about.channel,
            about.order_id,
            about.customer_id,
            state.via,
            state.language,
            state.attempts,
            state.error,
            one.at if before is None else before.created_at,
            one.at,
        )
    await tables.write(
        "INSERT INTO messages SELECT * FROM json_populate_recordset(NULL::messages, %s)"
        " ON CONFLICT (notification_id) DO UPDATE SET status = excluded.status, via = excluded.via,"
        " language = excluded.language, attempts = excluded.attempts, error = excluded.error,"
        " changed_at = excluded.changed_at",
        list(rows.values()),
    )


MESSAGES: Final = ReadModel(
    name="messages",
    version=1,
    logs={"notifications": n.NOTIFICATION.events},
    ddl=DDL,
    indexes=INDEXES,
    key=lambda one: one.stream,
    pace=0.5,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message and what became of it: `waiting`, `sent`, `failed` (is tried again), `set_aside` or `suppressed`.

    Attributes:
        via: `smtp`, `apprise`, or `outbox` where the shop has no such channel and only staff see it.
        attempts: tries so far; error: why the last one failed, or why nothing is sent.
    """

    notification_id: UUID
    status: str
    kind: str
    channel: str
    order_id: UUID | None
    customer_id: UUID | None
    via: str | None
    language: str | None
    attempts: int
    error: str | None
    created_at: datetime
    changed_at: datetime


async def messages(
    connection: Connection,
    *,
    status: str | None = None,
    kind: str | None = None,
    order_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[MessageRow]:
    """Messages, the newest first. Raises BadCursor."""
    conditions = ["true"]
    values: dict[str, Any] = {"limit": limit + 1}
    for name, value in (("status", status), ("kind", kind), ("order_id", order_id)):
        if value is not None:
            conditions.append(f"{name} = %({name})s")
            values[name] = value
    if cursor is not None:
        conditions.append("(created_at, notification_id) < (%(at)s, %(id)s)")
        values["at"], values["id"] = decode_cursor(cursor, tuple[datetime, UUID])
    async with connection.cursor(row_factory=class_row(MessageRow)) as found:
        await found.execute(
            "SELECT notification_id, status, kind, channel, order_id, customer_id, via, language, attempts, error,"
            " created_at, changed_at FROM rm_messages.messages"
            f" WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, notification_id DESC LIMIT %(limit)s",
            values,
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.created_at, row.notification_id))
