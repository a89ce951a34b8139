"""Orders a second from OrderCreated to shipped, every read model live, and the same at ten times the orders."""

import asyncio
import random
import time
from uuid import UUID, uuid4

import psycopg

from emporium.application.bootstrap import Opened, main_dsn
from emporium.application.commands import handle
from emporium.application.ports import Meta
from emporium.application.work import Work
from emporium.domain.base import Money
from emporium.domain.order import OrderLine, PlaceOrder
from emporium.infra.settings import Settings
from emporium.scripts.bench.fleet import PRICE, SKUS, fleet, opened, stocked
from emporium.scripts.bench.result import Result, at_least

__all__ = ["orders", "results"]

_FEW = 1_500
_TOGETHER = 25


async def results(settings: Settings) -> list[Result]:
    """The rate for few orders and for ten times as many, on one fresh shop."""
    with fleet(settings) as running:
        async with opened(running) as shop:
            await stocked(shop)
            await _rate(shop, 200)
            few = await _rate(shop, _FEW)
            many = await _rate(shop, 10 * _FEW)
    return [
        at_least("saga", few, "orders/s", 600),
        at_least("saga ×10", many, "orders/s", 600),
        at_least("saga ×10 / saga", many / few, "", 0.8),
    ]


async def _rate(shop: Opened, count: int) -> float:
    began = time.perf_counter()
    placing = asyncio.create_task(_place(shop, count))
    async with await psycopg.AsyncConnection.connect(main_dsn(shop.settings), autocommit=True) as connection:
        position = await shop.shop.logs["ordering"].head()
        shipped = 0
        while shipped < count:
            # Counted where they lie, for this process is a load and shall cost little.
            cursor = await connection.execute(
                "SELECT count(*) FILTER (WHERE topic = 'ordering.OrderDispatched'), coalesce(max(notification_id), %s)"
                " FROM ordering_events WHERE notification_id > %s",
                [position, position],
            )
            row = await cursor.fetchone()
            assert row is not None
            shipped += row[0]
            position = row[1]
            if placing.done():
                placing.result()
            await asyncio.sleep(0.05)
            if time.perf_counter() - began > 300:
                raise RuntimeError(f"only {shipped} of {count} orders were shipped in five minutes")
    return count / (time.perf_counter() - began)


async def _place(shop: Opened, count: int) -> None:
    chance = random.Random(count)
    gate = asyncio.Semaphore(4)

    async def some() -> None:
        async with gate:
            await orders(shop, [uuid4() for _ in range(_TOGETHER)], chance)

    await asyncio.gather(*(some() for _ in range(count // _TOGETHER)))


async def orders(shop: Opened, ids: list[UUID], chance: random.Random, customer: UUID | None = None) -> int:
    """Places orders of three lines as one unit, for guests unless a customer is named; the position after them."""
    now = shop.shop.clock.now()

    async def handler(work: Work) -> None:
        for order_id in ids:
            lines = tuple(
                OrderLine(line=number, sku=sku, title=sku, quantity=1, unit_price=PRICE, total=PRICE)
                for number, sku in enumerate(chance.sample(SKUS, 3), start=1)
            )
            place = PlaceOrder(
                order_id=order_id, number=order_id.hex[:12].upper(), customer_id=customer,
                subject=customer or order_id, lines=lines,
                shipping=Money(0, "GBP"), country="GB", payment_method="pm_ok", at=now,
            )  # fmt: skip
            await handle(work, place, Meta(str(order_id), f"request:{order_id.hex[:8]}", "customer:bench"))

    _, committed = await shop.shop.run("ordering", Meta("bench", "request:bench", "customer:bench"), handler)
    return committed.position
