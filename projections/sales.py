"""What was sold: units, orders and revenue by day, SKU and currency, and what each order's buyer has kept."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import order as o
from emporium.domain.cancellations import OrderLinesCancelled
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["SALES", "DaySales", "ProductSales", "by_day", "by_product", "popularity"]

DDL: Final = """
-- `kept` is SKU → units bought and not cancelled, amount, units returned. `position` is of the last event that
-- changed the row.
CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    customer_id uuid,
    currency text NOT NULL,
    placed_at timestamptz NOT NULL,
    confirmed boolean NOT NULL,
    void boolean NOT NULL,
    position bigint NOT NULL,
    kept jsonb NOT NULL
) WITH (fillfactor = 70);
-- Sales on the day of the order, returns on the day of the return, in UTC.
CREATE TABLE days (
    day date NOT NULL,
    sku text NOT NULL,
    currency text NOT NULL,
    orders bigint NOT NULL,
    units bigint NOT NULL,
    revenue bigint NOT NULL,
    returned bigint NOT NULL,
    refunded bigint NOT NULL,
    PRIMARY KEY (day, sku, currency)
) WITH (fillfactor = 70);
-- The same of all SKUs together: an order of several counts once.
CREATE TABLE totals (
    day date NOT NULL,
    currency text NOT NULL,
    orders bigint NOT NULL,
    units bigint NOT NULL,
    revenue bigint NOT NULL,
    returned bigint NOT NULL,
    refunded bigint NOT NULL,
    PRIMARY KEY (day, currency)
) WITH (fillfactor = 70);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS orders_position ON orders (position);
CREATE INDEX IF NOT EXISTS days_sku ON days (sku, day);
CREATE INDEX IF NOT EXISTS orders_customer ON orders (customer_id, placed_at DESC) WHERE customer_id IS NOT NULL;
"""

# --- fold ------------------------------------------------------------------------------------------

EVENTS: Final = (
    o.OrderCreated, o.OrderConfirmed, o.OrderFailed, o.OrderCancelled, OrderLinesCancelled, o.OrderReturned,
    o.OrderClaimed,
)  # fmt: skip


class _Kept(msgspec.Struct, array_like=True):
    units: int = 0
    amount: int = 0
    returned: int = 0


class _Order(msgspec.Struct):
    """A row of `orders`. An order counts from its confirmation on, unless it came to nothing."""

    order_id: UUID
    customer_id: UUID | None
    currency: str
    placed_at: datetime
    confirmed: bool
    void: bool
    position: int
    kept: dict[str, _Kept]

    @property
    def counts(self) -> bool:
        return self.confirmed and not self.void


class _Sum(msgspec.Struct):
    """What a batch adds to a row of `days`, or of `totals` (without a SKU)."""

    day: date
    currency: str
    sku: str = ""
    orders: int = 0
    units: int = 0
    revenue: int = 0
    returned: int = 0
    refunded: int = 0


class _Sums:
    """The additions of a batch. One of nothing makes its row too: rows must not depend on batches."""

    def __init__(self) -> None:
        self._sums: dict[tuple[date, str, str], _Sum] = {}

    def at(self, day: date, currency: str, sku: str = "") -> _Sum:
        key = (day, currency, sku)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum(*key)
        return found

    def count(self, row: _Order, sign: int) -> None:
        """All of an order, or all of it away again."""
        day = row.placed_at.date()
        total = self.at(day, row.currency)
        total.orders += sign
        for sku, kept in row.kept.items():
            one = self.at(day, row.currency, sku)
            one.orders += sign
            for each in (one, total):
                each.units += sign * kept.units
                each.revenue += sign * kept.amount

    def rows(self, *, totals: bool) -> list[_Sum]:
        return [one for one in self._sums.values() if (not one.sku) is totals]


async def fold(tables: Tables, _: str, events: Sequence[Recorded]) -> None:
    """The rows of the ordering log's events."""
    rows = await _before(tables, events)
    sums = _Sums()
    for one in events:
        event: Any = one.event
        if isinstance(event, o.OrderCreated):
            rows[event.order_id] = _Order(
                event.order_id, event.customer_id, event.total.currency, event.placed_at, False, False, 0, _kept(event)
            )
        row = rows[event.order_id]
        row.position = one.position
        counted = row.counts
        if isinstance(event, o.OrderConfirmed):
            row.confirmed = True
        elif isinstance(event, o.OrderFailed | o.OrderCancelled):
            row.void = True
        elif isinstance(event, o.OrderClaimed):
            row.customer_id = event.customer_id
        elif isinstance(event, OrderLinesCancelled):
            _leave_out(row, event, sums)
        elif isinstance(event, o.OrderReturned):
            _take_back(row, event, one.at.date(), sums)
        if row.counts is not counted:
            sums.count(row, 1 if row.counts else -1)
    await tables.write(
        "INSERT INTO orders SELECT * FROM json_populate_recordset(NULL::orders, %s)"
        " ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id, confirmed = excluded.confirmed,"
        " void = excluded.void, position = excluded.position, kept = excluded.kept",
        list(rows.values()),
    )
    await tables.write(
        "INSERT INTO days AS t SELECT * FROM json_populate_recordset(NULL::days, %s)"
        " ON CONFLICT (day, sku, currency) DO UPDATE SET orders = t.orders + excluded.orders,"
        " units = t.units + excluded.units, revenue = t.revenue + excluded.revenue,"
        " returned = t.returned + excluded.returned, refunded = t.refunded + excluded.refunded",
        sums.rows(totals=False),
    )
    await tables.write(
        "INSERT INTO totals AS t SELECT * FROM json_populate_recordset(NULL::totals, %s)"
        " ON CONFLICT (day, currency) DO UPDATE SET orders = t.orders + excluded.orders,"
        " units = t.units + excluded.units, revenue = t.revenue + excluded.revenue,"
        " returned = t.returned + excluded.returned, refunded = t.refunded + excluded.refunded",
        sums.rows(totals=True),
    )


_KEPT: Final = msgspec.json.Decoder(dict[str, _Kept])


async def _before(tables: Tables, events: Sequence[Recorded]) -> dict[UUID, _Order]:
    """What earlier batches left of the orders of this one."""
    known: set[UUID] = {one.event.order_id for one in events}  # type: ignore[attr-defined]
    known -= {one.event.order_id for one in events if isinstance(one.event, o.OrderCreated)}
    found = await tables.fetch(
        "SELECT order_id, customer_id, currency, placed_at, confirmed, void, position, kept::text FROM orders"
        " WHERE order_id = ANY(%s)",
        list(known),
    )
    return {
        order_id: _Order(order_id, customer, currency, at, confirmed, void, position, _KEPT.decode(kept))
        for order_id, customer, currency, at, confirmed, void, position, kept in found
    }


def _kept(event: o.OrderCreated) -> dict[str, _Kept]:
    kept: dict[str, _Kept] = {}
    for line in event.lines:
        one = kept.setdefault(line.sku, _Kept())
        one.units += line.quantity
        one.amount += line.total.amount - (line.discount.amount if line.discount is not None else 0)
    return kept


def _leave_out(row: _Order, event: OrderLinesCancelled, sums: _Sums) -> None:
    """What is cancelled was never sold: it is taken off the day of the order."""
    if row.counts:
        sums.count(row, -1)
    for line in event.lines:
        kept = row.kept[line.sku]
        kept.units -= line.quantity
        kept.amount -= line.total.amount - line.discount.amount
        if not kept.units:
            del row.kept[line.sku]
    if row.counts:
        sums.count(row, 1)


def _take_back(row: _Order, event: o.OrderReturned, day: date, sums: _Sums) -> None:
    for line in event.lines:
        row.kept[line.sku].returned += line.quantity
        for one in (sums.at(day, row.currency, line.sku), sums.at(day, row.currency)):
            one.returned += line.quantity
            one.refunded += line.amount.amount


def _key(one: Recorded) -> UUID:
    return one.event.order_id  # type: ignore[attr-defined,no-any-return]  # every event folded here has it


SALES: Final = ReadModel(
    name="sales",
    version=1,
    logs={"ordering": EVENTS},
    ddl=DDL,
    indexes=INDEXES,
    key=_key,
    # Nobody waits for it, and in larger batches most rows of a day are the same ones.
    pace=0.25,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------


class DaySales(msgspec.Struct, frozen=True, kw_only=True):
    """The sales of a day in a currency. Amounts are minor units; `revenue` is for goods, less their discounts.

    `returned` units and what was `refunded` for them are of this day's returns, whenever the goods were sold.
    """

    day: date
    currency: str
    orders: int
    units: int
    revenue: int
    returned: int
    refunded: int


class ProductSales(msgspec.Struct, frozen=True, kw_only=True):
    """The sales of a product in a currency; `product_id` is None for SKUs that no product has any more.

    `orders` counts an order once per SKU of the product.
    """

    product_id: UUID | None
    title: str
    currency: str
    orders: int
    units: int
    revenue: int
    returned: int
    refunded: int


async def by_day(
    connection: Connection, first: date, last: date, *, limit: int | None = None, cursor: str | None = None
) -> Page[DaySales]:
    """The days from `first` to `last` on which anything happened; all where there is no limit. Raises BadCursor."""
    values: dict[str, Any] = {"first": first, "last": last, "limit": None if limit is None else limit + 1}
    where: LiteralString = "day BETWEEN %(first)s AND %(last)s"
    if cursor is not None:
        where += " AND (day, currency) > (%(day)s, %(currency)s)"
        values["day"], values["currency"] = decode_cursor(cursor, tuple[date, str])
    async with connection.cursor(row_factory=class_row(DaySales)) as found:
        await found.execute(
            "SELECT day, currency, orders, units, revenue, returned, refunded FROM rm_sales.totals"
            f" WHERE {where} ORDER BY day, currency LIMIT %(limit)s",
            values,
        )
        return _page(await found.fetchall(), limit, lambda row: (row.day, row.currency))


_BY_PRODUCT: Final = """
SELECT * FROM (
    SELECT v.product_id, coalesce(max(v.title), '') AS title, d.currency, sum(d.orders)::bigint AS orders,
        sum(d.units)::bigint AS units, sum(d.revenue)::bigint AS revenue, sum(d.returned)::bigint AS returned,
        sum(d.refunded)::bigint AS refunded
    FROM rm_sales.days d LEFT JOIN rm_catalog_pages.variants v USING (sku)
    WHERE d.day BETWEEN %(first)s AND %(last)s GROUP BY v.product_id, d.currency
) t"""


async def by_product(
    connection: Connection, first: date, last: date, *, limit: int | None = None, cursor: str | None = None
) -> Page[ProductSales]:
    """The products that were sold or came back from `first` to `last`, those with the most revenue first.

    Raises BadCursor.
    """
    values: dict[str, Any] = {"first": first, "last": last, "limit": None if limit is None else limit + 1}
    where: LiteralString = ""
    if cursor is not None:
        where = (
            " WHERE (-revenue, currency, coalesce(product_id, %(none)s)) > (%(revenue)s, %(currency)s, %(product_id)s)"
        )
        key = decode_cursor(cursor, tuple[int, str, UUID])
        values |= dict(zip(("revenue", "currency", "product_id"), key, strict=True))
    async with connection.cursor(row_factory=class_row(ProductSales)) as found:
        await found.execute(
            f"{_BY_PRODUCT}{where} ORDER BY -revenue, currency, coalesce(product_id, %(none)s) LIMIT %(limit)s",
            {**values, "none": _NONE},
        )
        return _page(await found.fetchall(), limit, lambda row: (-row.revenue, row.currency, row.product_id or _NONE))


_NONE: Final = UUID(int=0)


def _page(rows: list[Any], limit: int | None, key: Any) -> Page[Any]:
    return Page(rows, None) if limit is None else page_of(rows, limit, key)


async def popularity(connection: Connection, products: Sequence[UUID]) -> dict[UUID, float]:
    """How popular products are: the logarithm of their units sold, those of a week later counting double.

    Of two values the greater is the more popular product, whenever they were computed. Empty before the read model
    first ran.
    """
    found = await connection.execute("SELECT to_regclass('rm_sales.days') IS NOT NULL")
    row = await found.fetchone()
    if row is None or not row[0]:
        return {}
    found = await connection.execute(
        "WITH sold AS (SELECT v.product_id, d.day, d.units, max(d.day) OVER (PARTITION BY v.product_id) AS last"
        " FROM rm_catalog_pages.variants v JOIN rm_sales.days d USING (sku)"
        " WHERE v.product_id = ANY(%s) AND d.units > 0)"
        " SELECT product_id, (last - DATE '2000-01-01') / 7.0 + log(2, sum(units * power(2.0, (day - last) / 7.0)))"
        " FROM sold WHERE last - day < 365 GROUP BY product_id, last",
        [list(products)],
    )
    return {product_id: float(value) for product_id, value in await found.fetchall()}
