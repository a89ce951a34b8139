"""A flash sale over HTTP: 2,000 buyers within a second for 100 units of one SKU, while others order other things."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid4

import msgspec

from emporium.application.bootstrap import Opened
from emporium.application.ports import Meta
from emporium.domain.order import OrderConfirmed, OrderCreated, OrderFailed
from emporium.domain.payment import PaymentProcessed, PaymentRefunded, PaymentVoided
from emporium.domain.stock import STOCK, AdjustStock, stock_id_of
from emporium.infra.settings import Settings
from emporium.scripts.bench.checkout import percentile
from emporium.scripts.bench.fleet import SKUS, fleet, opened, stocked
from emporium.scripts.bench.load import Connection, request
from emporium.scripts.bench.result import Result, at_most

__all__ = ["Sale", "results", "sale"]

_BUYERS: Final = 2_000
_UNITS: Final = 100
_OTHERS: Final = 10
"""Orders for other products a second."""

_CONNECTIONS: Final = 256
_STALE: Final = 4.0
"""Seconds after which every gateway knows how few units there are."""

_ADDRESS: Final = {"name": "Bench", "lines": ["1 High Street"], "city": "London", "postcode": "N1 1AA", "country": "GB"}
_STAFF: Final = Meta("bench", "request:bench", "staff:bench")
_FLASH, *_OTHER_SKUS = SKUS


class Sale(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        sold, charged, refunded: orders of the SKU that were confirmed, paid, and paid back.
        answers: HTTP statuses of the buyers' checkouts.
        definite: seconds until each buyer knew: refused, or the order confirmed or failed.
        refunds: seconds from the last answer to the last refund; 0 where there was none.
        before, during: seconds until orders for other products were confirmed.
        left: units on hand and not set aside at the end.
    """

    sold: int
    charged: int
    refunded: int
    answers: dict[int, int]
    definite: list[float]
    refunds: float
    before: list[float]
    during: list[float]
    left: int


async def results(settings: Settings) -> list[Result]:
    """The sale's figures against their goals."""
    two = msgspec.structs.replace(settings, gateways=2, workers=2)
    with fleet(two) as running:
        async with opened(running) as shop:
            await stocked(shop)
            found = await sale(shop, running.address, _BUYERS, _UNITS)
    usual, crowded = percentile(found.before, 0.5), percentile(found.during, 0.5)
    return [
        Result(name="flash sold", value=found.sold, unit="orders", goal=f"= {_UNITS}", ok=found.sold == _UNITS),
        at_most("flash charged", found.charged, "orders", 4 * _UNITS),
        at_most("flash refunded", found.refunds, "s after the last answer", 10),
        at_most("flash definite p99", percentile(found.definite, 0.99), "s", 4),
        at_most("flash others", crowded / usual, f"× {usual * 1000:.0f} ms", 1.5),
    ]


async def sale(shop: Opened, address: str, buyers: int, units: int) -> Sale:
    """Lets so many buyers check out within a second, for so many units."""
    connections = asyncio.Queue[Connection]()
    for _ in range(_CONNECTIONS):
        connections.put_nowait(await Connection.open(address))
    apart = asyncio.Queue[Connection]()
    for _ in range(_OTHERS):
        apart.put_nowait(await Connection.open(address))
    chance = random.Random(buyers)
    stock, _ = await shop.shop.logs["inventory"].load(STOCK, stock_id_of(_FLASH, "LON"), fresh=True)
    assert stock is not None, "it was stocked"
    take = AdjustStock(sku=_FLASH, warehouse="LON", change=units - stock.available, reason="a flash sale")
    await shop.shop.execute(take, _STAFF)
    # Until carts take no offer for good any more that is older.
    await asyncio.sleep(_STALE)
    carts = await asyncio.gather(*(_cart(connections, _FLASH) for _ in range(buyers)))
    seconds = 5
    count = _OTHERS * seconds
    others = await asyncio.gather(*(_cart(connections, chance.choice(_OTHER_SKUS)) for _ in range(2 * count)))
    watch = _Watch(shop)
    await watch.begin()
    watching = [asyncio.create_task(watch.ordering()), asyncio.create_task(watch.payments())]
    before = await _paced(apart, others[:count], _OTHERS)
    await watch.ended(before)
    during, crowd = await asyncio.gather(_paced(apart, others[count:], _OTHERS), _paced(connections, carts, buyers))
    last = time.perf_counter()
    await watch.ended(during)
    await watch.ended(crowd)
    ours = {one.order for one in crowd if one.order}
    refused = [one.answered - one.began for one in crowd if not one.order]
    definite = refused + [watch.ends[one.order][1] - one.began for one in crowd if one.order]
    failed = {one for one in ours if watch.ends[one][0] == "failed"}
    await watch.until(lambda: all(one in watch.back for one in failed & watch.paid))
    for task in watching:
        task.cancel()
    stock, _ = await shop.shop.logs["inventory"].load(STOCK, stock_id_of(_FLASH, "LON"), fresh=True)
    for queue in (connections, apart):
        while not queue.empty():
            queue.get_nowait().close()
    back = [at for one, at in watch.back.items() if one in ours]
    return Sale(
        sold=sum(watch.ends[one][0] == "confirmed" for one in ours),
        charged=len(ours & watch.paid),
        refunded=len(back),
        answers=dict(Counter(one.status for one in crowd)),
        definite=definite,
        refunds=max(0.0, max(back, default=last) - last),
        before=[watch.ends[one.order][1] - one.began for one in before if one.order],
        during=[watch.ends[one.order][1] - one.began for one in during if one.order],
        left=-1 if stock is None else stock.available,
    )


class _Bought(msgspec.Struct):
    """One checkout: when it was wanted, when it was answered, and the order's number where there is one."""

    began: float
    answered: float
    status: int
    order: str | None


class _Watch:
    """What the logs say of orders, by number."""

    def __init__(self, shop: Opened) -> None:
        self._ordering = shop.shop.logs["ordering"]
        self._payments = shop.shop.logs["payments"]
        self._positions = (0, 0)
        self._numbers: dict[UUID, str] = {}
        self._moved = asyncio.Event()
        self.ends: dict[str, tuple[str, float]] = {}
        self.paid: set[str] = set()
        self.back: dict[str, float] = {}

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def begin(self) -> None:
        """Looks at nothing that is older."""
        self._positions = (await self._ordering.head(), await self._payments.head())

    async def ordering(self) -> None:
        """Follows the orders."""
        position = self._positions[0]
        kinds = ("OrderCreated", "OrderConfirmed", "OrderFailed")
        while True:
            events, upto = await self._ordering.read(
                position,
                1_000,
                topics=[f"ordering.{kind}" for kind in kinds],
            )
            now = time.perf_counter()
            for recorded in events:
                event = recorded.event
                if isinstance(event, OrderCreated):
                    self._numbers[event.order_id] = event.number
                elif isinstance(event, OrderConfirmed | OrderFailed) and event.order_id in self._numbers:
                    end = "confirmed" if isinstance(event, OrderConfirmed) else "failed"
                    self.ends[self._numbers[event.order_id]] = end, now
            self._tell()
            if upto == position:
                await self._ordering.wait(position, 0.5)
            position = upto

    async def payments(self) -> None:
        """Follows the payments."""
        position = self._positions[1]
        while True:
            kinds = ("PaymentProcessed", "PaymentRefunded", "PaymentVoided")
            events, upto = await self._payments.read(position, 1_000, topics=[f"payments.{kind}" for kind in kinds])
            now = time.perf_counter()
            for recorded in events:
                event = recorded.event
                if not isinstance(event, PaymentProcessed | PaymentRefunded | PaymentVoided):
                    continue
                number = await self._number(event.order_id)
                if isinstance(event, PaymentProcessed):
                    self.paid.add(number)
                else:
                    self.back[number] = now
            self._tell()
            if upto == position:
                await self._payments.wait(position, 0.5)
            position = upto

    async def _number(self, order_id: UUID) -> str:
        await self.until(lambda: order_id in self._numbers)
        return self._numbers[order_id]

    async def ended(self, bought: list[_Bought]) -> None:
        """Waits until all of these orders are confirmed or have failed."""
        await self.until(lambda: all(one.order is None or one.order in self.ends for one in bought))

    async def until(self, done: Callable[[], bool]) -> None:
        """Looks again after everything that the logs tell."""
        async with asyncio.timeout(60):
            while not done():
                await self._moved.wait()


async def _cart(connections: "asyncio.Queue[Connection]", sku: str) -> str:
    """The token of a new cart with one unit."""
    connection = await connections.get()
    try:
        added = await connection.exchange(request("POST", "/api/v1/cart/items", {"sku": sku, "quantity": 1}))
    finally:
        connections.put_nowait(connection)
    if added.status != 201:
        raise RuntimeError(f"the gateway answered {added.status}: {added.body[:500]!r}")
    return added.headers[b"cart-token"].decode()


async def _paced(connections: "asyncio.Queue[Connection]", carts: list[str], rate: int) -> list[_Bought]:
    """Checks the carts out, so many a second, whoever has been answered by then."""
    began = time.perf_counter()

    async def buy(number: int, cart: str) -> _Bought:
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        wanted = time.perf_counter()
        body = {"email": "bench@emporium.example", "shipping_address": _ADDRESS, "payment_method": "pm_ok"}
        message = request("POST", "/api/v1/checkout", body, Cart_Token=cart, Idempotency_Key=uuid4().hex)
        connection = await connections.get()
        try:
            answer = await connection.exchange(message)
        finally:
            connections.put_nowait(connection)
        if answer.status not in (202, 409):
            raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")
        order = msgspec.json.decode(answer.body)["order_number"] if answer.status == 202 else None
        return _Bought(wanted, time.perf_counter(), answer.status, order)

    return list(await asyncio.gather(*(buy(number, cart) for number, cart in enumerate(carts))))
