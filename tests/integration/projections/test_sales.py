"""The sales agree with what the domain makes of the same orders: what counts, what was taken back."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any
from uuid import UUID

import psycopg

from emporium.domain import order as o
from emporium.projections.sales import SALES
from tests.integration.projections.test_same_rows import fold_in_drops
from tests.support.stories import recorded, year


async def test_sales_are_those_of_the_orders(dsn: str) -> None:
    told = recorded(year(120))
    await fold_in_drops(dsn, SALES, told, seed=5)
    states: dict[UUID, Any] = {}
    placed: dict[UUID, o.OrderCreated] = {}
    refunded: Counter[tuple[date, str]] = Counter()
    returned: Counter[tuple[date, str]] = Counter()
    for one in told["ordering"]:
        event: Any = one.event
        if not isinstance(event, o.ORDER.events):
            continue
        states[event.order_id] = o.evolve(states.get(event.order_id), event)
        if isinstance(event, o.OrderCreated):
            placed[event.order_id] = event
        if isinstance(event, o.OrderReturned):
            key = (one.at.date(), event.amount.currency)
            refunded[key] += sum(line.amount.amount for line in event.lines)
            returned[key] += sum(line.quantity for line in event.lines)
    orders: Counter[tuple[date, str]] = Counter()
    units: Counter[tuple[date, str]] = Counter()
    revenue: Counter[tuple[date, str]] = Counter()
    kept: dict[UUID, int] = defaultdict(int)
    for order_id, state in states.items():
        if state.confirmed and state.status not in (o.FAILED, o.CANCELLED):
            event = placed[order_id]
            key = (event.placed_at.date(), event.total.currency)
            orders[key] += 1
            # What was cancelled before it left was never sold.
            sold = sum(line.quantity for line in state.lines)
            units[key] += sold
            discounts = sum(line.discount.amount for line in state.lines if line.discount is not None)
            revenue[key] += sum(line.total.amount for line in state.lines) - discounts
            if sold:
                kept[order_id] = sold - sum(state.returned.values())

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        found = await connection.execute(
            "SELECT day, currency, orders, units, revenue, returned, refunded FROM rm_sales.totals"
        )
        rows = {(day, currency): tuple(rest) for day, currency, *rest in await found.fetchall()}
        keys = {*orders, *returned}
        assert sum(returned.values()) > 0 and len(states) > sum(orders.values()) > 20
        assert {key: row for key, row in rows.items() if any(row)} == {
            key: (orders[key], units[key], revenue[key], returned[key], refunded[key]) for key in keys
        }
        found = await connection.execute(
            "SELECT day, currency, sum(units), sum(revenue), sum(returned), sum(refunded) FROM rm_sales.days"
            " GROUP BY 1, 2"
        )
        assert {(day, currency): tuple(map(int, rest)) for day, currency, *rest in await found.fetchall()} == {
            key: row[1:] for key, row in rows.items()
        }
        found = await connection.execute(
            "SELECT o.order_id, sum((k.value->>0)::bigint - (k.value->>2)::bigint) FROM rm_sales.orders o,"
            " jsonb_each(o.kept) k WHERE o.confirmed AND NOT o.void GROUP BY 1"
        )
        assert {order_id: int(left) for order_id, left in await found.fetchall()} == dict(kept)
