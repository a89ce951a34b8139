"""Stock by SKU and warehouse: on hand, reserved, available, its average cost, whether it is low; transfers; and by
SKU what may be sold before it is there, and how many units orders wait for."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import backorder, stock, transfer
from emporium.domain.base import Money
from emporium.domain.stock import PARTS, Cost, averaged
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = [
    "STOCK_LEVELS",
    "Backordering",
    "Level",
    "Transfer",
    "Worth",
    "backorders",
    "levels",
    "total_worth",
    "transfers",
    "warehouses_of",
    "worth",
]

DDL: Final = """
CREATE TABLE levels (
    sku text NOT NULL,
    warehouse text NOT NULL,
    on_hand bigint NOT NULL,
    reserved bigint NOT NULL,
    mark bigint,
    cost bigint,
    currency text,
    available bigint NOT NULL GENERATED ALWAYS AS (on_hand - reserved) STORED,
    low boolean NOT NULL GENERATED ALWAYS AS (coalesce(on_hand - reserved <= mark, false)) STORED,
    PRIMARY KEY (sku, warehouse)
) WITH (fillfactor = 70);
CREATE TABLE transfers (
    transfer_id uuid PRIMARY KEY,
    position bigint NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    sent_at timestamptz NOT NULL,
    reference text NOT NULL,
    sent bigint NOT NULL,
    on_the_way bigint NOT NULL
);
-- `kind` is empty where nothing may be sold any more before it is there.
CREATE TABLE backorders (
    sku text PRIMARY KEY,
    kind text,
    most bigint,
    expected date,
    backordered bigint NOT NULL
);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS transfers_position ON transfers (position);
CREATE INDEX IF NOT EXISTS transfers_open ON transfers (position) WHERE on_the_way > 0;
CREATE INDEX IF NOT EXISTS levels_low ON levels (sku, warehouse) WHERE low;
"""


class _Change(msgspec.Struct):
    """What a batch does to one row: units more or fewer, and the mark and the cost where they were set."""

    sku: str
    warehouse: str
    on_hand: int = 0
    reserved: int = 0
    mark: int | None = None
    cost: int | None = None
    currency: str | None = None


class _Transfer(msgspec.Struct):
    """A transfer that began."""

    transfer_id: UUID
    position: int
    source: str
    target: str
    sent_at: datetime
    reference: str
    sent: int
    on_the_way: int


class _Came(msgspec.Struct):
    """Units of a transfer that are not on the way any more."""

    transfer_id: UUID
    on_the_way: int


class _Backorder(msgspec.Struct):
    """What a batch does to one row: units more or fewer, and the setting where it was set."""

    sku: str
    kind: str | None = None
    most: int | None = None
    expected: date | None = None
    backordered: int = 0


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of the inventory's events."""
    await _fold_transfers(tables, [one for one in events if isinstance(one.event, _OF_TRANSFERS)])
    await _fold_backorders(tables, [one.event for one in events if isinstance(one.event, _OF_BACKORDERS)])
    others: tuple[type[Any], ...] = (*_OF_TRANSFERS, *_OF_BACKORDERS)
    found = [stock.evolve(None, one.event) for one in events if not isinstance(one.event, others)]
    priced = dict.fromkeys(after.sku for after in found if after.cost is not None)
    there = {
        (sku, warehouse): (on_hand, None if cost is None else Cost(cost, currency))
        for sku, warehouse, on_hand, cost, currency in await tables.fetch(
            "SELECT sku, warehouse, on_hand, cost, currency FROM levels WHERE sku = ANY(%s)", list(priced)
        )
    }
    changes: dict[tuple[str, str], _Change] = {}
    for after in found:
        # The domain's own arithmetic from an empty stock is the change: units are linear, the average is not.
        key = (after.sku, after.warehouse)
        row = changes.get(key)
        if row is None:
            row = changes[key] = _Change(*key)
        if after.cost is not None:
            on_hand, cost = there.get(key, (0, None))
            cost = cost if row.cost is None or row.currency is None else Cost(row.cost, row.currency)
            now = averaged(on_hand + row.on_hand, cost, after.on_hand, after.cost)
            assert now is not None, "one of them is known"
            row.cost, row.currency = now.parts, now.currency
        row.on_hand += after.on_hand
        row.reserved += after.reserved
        if after.mark is not None:
            row.mark = after.mark
    await tables.write(
        "INSERT INTO levels AS t (sku, warehouse, on_hand, reserved, mark, cost, currency)"
        " SELECT sku, warehouse, on_hand, reserved, mark, cost, currency FROM json_populate_recordset(NULL::levels, %s)"
        " ON CONFLICT (sku, warehouse) DO UPDATE SET on_hand = t.on_hand + excluded.on_hand,"
        " reserved = t.reserved + excluded.reserved, mark = coalesce(excluded.mark, t.mark),"
        " cost = coalesce(excluded.cost, t.cost), currency = coalesce(excluded.currency, t.currency)",
        list(changes.values()),
    )


_OF_TRANSFERS: Final = (transfer.TransferSent, transfer.TransferArrived, transfer.TransferLost)


_OF_BACKORDERS: Final[tuple[type[Any], ...]] = backorder.BACKORDERS.events


async def _fold_backorders(tables: Tables, events: Sequence[Any]) -> None:
    rows: dict[str, _Backorder] = {}
    for event in events:
        row = rows.get(event.sku)
        if row is None:
            row = rows[event.sku] = _Backorder(event.sku)
        match event:
            case backorder.BackorderAllowed():
                row.kind, row.most, row.expected = event.kind, event.limit, event.expected
            case backorder.BackorderEnded():
                row.kind, row.most, row.expected = "", 0, None
            case backorder.UnitsBackordered():
                row.backordered += event.quantity
            case _:
                row.backordered -= event.quantity
    await tables.write(
        "INSERT INTO backorders AS t SELECT * FROM json_populate_recordset(NULL::backorders, %s)"
        " ON CONFLICT (sku) DO UPDATE SET backordered = t.backordered + excluded.backordered,"
        " kind = coalesce(excluded.kind, t.kind), most = coalesce(excluded.most, t.most),"
        " expected = CASE WHEN excluded.kind IS NULL THEN t.expected ELSE excluded.expected END",
        list(rows.values()),
    )


async def _fold_transfers(tables: Tables, events: Sequence[Recorded]) -> None:
    begun: list[_Transfer] = []
    came: dict[UUID, int] = {}
    for one in events:
        event: Any = one.event
        units = sum(line.quantity for line in event.lines)
        if isinstance(event, transfer.TransferSent):
            begun.append(
                _Transfer(
                    transfer_id=event.transfer_id,
                    position=one.position,
                    source=event.source,
                    target=event.target,
                    sent_at=one.at,
                    reference=event.reference,
                    sent=units,
                    on_the_way=units,
                )
            )
        else:
            came[event.transfer_id] = came.get(event.transfer_id, 0) + units
    await tables.write(
        "INSERT INTO transfers SELECT * FROM json_populate_recordset(NULL::transfers, %s)"
        " ON CONFLICT (transfer_id) DO NOTHING",
        begun,
    )
    await tables.write(
        "UPDATE transfers AS t SET on_the_way = t.on_the_way - c.on_the_way"
        " FROM json_populate_recordset(NULL::transfers, %s) AS c WHERE t.transfer_id = c.transfer_id",
        [_Came(known, units) for known, units in came.items()],
    )


def _key(one: Recorded) -> str:
    event: Any = one.event
    if isinstance(event, _OF_BACKORDERS):
        return str(one.event.sku)  # type: ignore[attr-defined]
    return str(one.stream) if isinstance(event, _OF_TRANSFERS) else f"{event.sku}\x1f{event.warehouse}"


STOCK_LEVELS: Final = ReadModel(
    name="stock_levels",
    version=3,
    # StockLevelLow follows from the others: the row says at any time whether it is low.
    logs={
        "inventory": (
            *(event for event in stock.STOCK.events if event is not stock.StockLevelLow),
            *_OF_TRANSFERS,
            *_OF_BACKORDERS,
        )
    },
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


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """What the units of a SKU in a warehouse are worth, in minor units; nulls where nobody has said what they cost."""

    sku: str
    warehouse: str
    on_hand: int
    value: int | None
    currency: str | None


class Backordering(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `limit` units of a SKU may be sold before they are there, which are `expected` on a day, or nothing (`kind`
    is null); orders wait for `backordered` units."""

    sku: str
    kind: str | None
    limit: int
    expected: date | None
    backordered: int


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Units that left a warehouse for another, and how many of them are still on the way."""

    transfer_id: UUID
    position: int
    source: str
    target: str
    sent_at: datetime
    reference: str
    sent: int
    on_the_way: int


_VALUE: Final = f"floor((on_hand::numeric * cost * 2 + {PARTS}) / {PARTS * 2})::bigint"
"""As `domain.stock.value_of`."""


async def levels(
    connection: Connection,
    *,
    sku: str | None = None,
    warehouse: str | None = None,
    low: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Level]:
    """Levels by SKU and warehouse. Raises BadCursor."""
    columns = "sku, warehouse, on_hand, reserved, available, mark, low"
    return await _some(connection, Level, columns, sku, warehouse, "low" if low else "true", limit, cursor)


async def worth(
    connection: Connection,
    *,
    sku: str | None = None,
    warehouse: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Worth]:
    """What lies where is worth, by SKU and warehouse. Raises BadCursor."""
    columns = f"sku, warehouse, on_hand, {_VALUE} AS value, currency"
    return await _some(connection, Worth, columns, sku, warehouse, "true", limit, cursor)


async def total_worth(connection: Connection, *, sku: str | None = None, warehouse: str | None = None) -> list[Money]:
    """What all of it is worth, in each currency."""
    where, values = _where(sku, warehouse)
    found = await connection.execute(
        f"SELECT sum({_VALUE})::bigint, currency FROM rm_stock_levels.levels"
        f" WHERE {where} AND currency IS NOT NULL GROUP BY currency ORDER BY currency",
        values,
    )
    return [Money(int(amount), str(currency)) for amount, currency in await found.fetchall()]


async def warehouses_of(connection: Connection, sku: str) -> list[str]:
    """Where the SKU lies or has lain."""
    found = await connection.execute(
        "SELECT warehouse FROM rm_stock_levels.levels WHERE sku = %s ORDER BY warehouse", [sku]
    )
    return [str(warehouse) for (warehouse,) in await found.fetchall()]


async def backorders(connection: Connection, *, limit: int = 50, cursor: str | None = None) -> Page[Backordering]:
    """What may be sold before it is there or is waited for, by SKU. Raises BadCursor."""
    after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
    async with connection.cursor(row_factory=class_row(Backordering)) as found:
        await found.execute(
            "SELECT sku, nullif(kind, '') AS kind, most AS limit, expected, backordered"
            " FROM rm_stock_levels.backorders WHERE sku > %s AND (kind <> '' OR backordered > 0)"
            " ORDER BY sku LIMIT %s",
            [after, limit + 1],
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.sku,))


async def transfers(
    connection: Connection, *, open_only: bool = False, limit: int = 50, cursor: str | None = None
) -> Page[Transfer]:
    """Transfers, the newest first. Raises BadCursor."""
    before = 2**62 if cursor is None else decode_cursor(cursor, tuple[int])[0]
    async with connection.cursor(row_factory=class_row(Transfer)) as found:
        await found.execute(
            "SELECT transfer_id, position, source, target, sent_at, reference, sent, on_the_way"
            " FROM rm_stock_levels.transfers WHERE position < %s AND (on_the_way > 0 OR NOT %s)"
            " ORDER BY position DESC LIMIT %s",
            [before, open_only, limit + 1],
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.position,))


R = TypeVar("R", Level, Worth)


def _where(sku: str | None, warehouse: str | None) -> tuple[str, dict[str, Any]]:
    conditions = ["true"]
    values: dict[str, Any] = {}
    if sku is not None:
        conditions.append("sku = %(sku)s")
        values["sku"] = sku
    if warehouse is not None:
        conditions.append("warehouse = %(warehouse)s")
        values["warehouse"] = warehouse
    return " AND ".join(conditions), values


async def _some(
    connection: Connection,
    kind: type[R],
    columns: str,
    sku: str | None,
    warehouse: str | None,
    condition: str,
    limit: int,
    cursor: str | None,
) -> Page[R]:
    where, values = _where(sku, warehouse)
    if cursor is not None:
        where += " AND (sku, warehouse) > (%(after_sku)s, %(after_warehouse)s)"
        values["after_sku"], values["after_warehouse"] = decode_cursor(cursor, tuple[str, str])
    async with connection.cursor(row_factory=class_row(kind)) as found:
        await found.execute(
            f"SELECT {columns} FROM rm_stock_levels.levels"
            f" WHERE {where} AND {condition} ORDER BY sku, warehouse LIMIT %(limit)s",
            {**values, "limit": limit + 1},
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.sku, row.warehouse))
