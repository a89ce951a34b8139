"""Stock by SKU and warehouse: on hand, reserved, available, and whether that is low."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import stock
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["STOCK_LEVELS", "Level", "levels", "low_levels"]

DDL: Final = """
CREATE TABLE levels (
    sku text NOT NULL,
    warehouse text NOT NULL,
    on_hand bigint NOT NULL,
    reserved bigint NOT NULL,
    mark bigint,
    available bigint NOT NULL GENERATED ALWAYS AS (on_hand - reserved) STORED,
    low boolean NOT NULL GENERATED ALWAYS AS (coalesce(on_hand - reserved <= mark, false)) STORED,
    PRIMARY KEY (sku, warehouse)
) WITH (fillfactor = 70);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS levels_low ON levels (sku, warehouse) WHERE low;
"""


class _Change(msgspec.Struct):
    """What a batch does to one row: units more or fewer, and the mark where it was set."""

    sku: str
    warehouse: str
    on_hand: int = 0
    reserved: int = 0
    mark: int | None = None


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of the inventory's events."""
    changes: dict[tuple[str, str], _Change] = {}
    for one in events:
        # The domain's own arithmetic from an empty stock is the change: it is linear.
        after = stock.evolve(None, one.event)
        key = (after.sku, after.warehouse)
        row = changes.get(key)
        if row is None:
            row = changes[key] = _Change(*key)
        row.on_hand += after.on_hand
        row.reserved += after.reserved
        if after.mark is not None:
            row.mark = after.mark
    await tables.write(
        "INSERT INTO levels AS t (sku, warehouse, on_hand, reserved, mark)"
        " SELECT sku, warehouse, on_hand, reserved, mark FROM json_populate_recordset(NULL::levels, %s)"
        " ON CONFLICT (sku, warehouse) DO UPDATE SET on_hand = t.on_hand + excluded.on_hand,"
        " reserved = t.reserved + excluded.reserved, mark = coalesce(excluded.mark, t.mark)",
        list(changes.values()),
    )


def _key(one: Recorded) -> str:
    event: Any = one.event
    return f"{event.sku}\x1f{event.warehouse}"


STOCK_LEVELS: Final = ReadModel(
    name="stock_levels",
    version=1,
    # StockLevelLow follows from the others: the row says at any time whether it is low.
    logs={"inventory": tuple(event for event in stock.STOCK.events if event is not stock.StockLevelLow)},
    ddl=DDL,
    indexes=INDEXES,
    key=_key,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU in a warehouse; `low` where the available ones are at the mark or below."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    available: int
    mark: int | None
    low: bool


async def levels(
    connection: Connection,
    *,
    sku: str | None = None,
    warehouse: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Level]:
    """Levels by SKU and warehouse. Raises BadCursor."""
    conditions = ["true"]
    values: dict[str, Any] = {}
    if sku is not None:
        conditions.append("sku = %(sku)s")
        values["sku"] = sku
    if warehouse is not None:
        conditions.append("warehouse = %(warehouse)s")
        values["warehouse"] = warehouse
    return await _levels(connection, conditions, values, limit, cursor)


async def low_levels(connection: Connection, *, limit: int = 50, cursor: str | None = None) -> Page[Level]:
    """What is low, by SKU and warehouse. Raises BadCursor."""
    return await _levels(connection, ["low"], {}, limit, cursor)


async def _levels(
    connection: Connection, conditions: list[str], values: dict[str, Any], limit: int, cursor: str | None
) -> Page[Level]:
    if cursor is not None:
        conditions.append("(sku, warehouse) > (%(after_sku)s, %(after_warehouse)s)")
        values["after_sku"], values["after_warehouse"] = decode_cursor(cursor, tuple[str, str])
    async with connection.cursor(row_factory=class_row(Level)) as found:
        await found.execute(
            "SELECT sku, warehouse, on_hand, reserved, available, mark, low FROM rm_stock_levels.levels"
            f" WHERE {' AND '.join(conditions)} ORDER BY sku, warehouse LIMIT %(limit)s",
            {**values, "limit": limit + 1},
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.sku, row.warehouse))
