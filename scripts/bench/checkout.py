"""From `POST /checkout` to confirmed (stock reserved) at 100 orders a second, over HTTP."""

import asyncio
import random
import time
from uuid import uuid4

import msgspec

from emporium.application.bootstrap import Opened
from emporium.domain.order import OrderConfirmed, OrderCreated
from emporium.infra.settings import Settings
from emporium.scripts.bench.fleet import SKUS, fleet, opened, stocked
from emporium.scripts.bench.load import Connection, request
from emporium.scripts.bench.result import Result, at_most

__all__ = ["percentile", "results"]

_RATE = 100
_SECONDS = 15
_ADDRESS = {"name": "Bench", "lines": ["1 High Street"], "city": "London", "postcode": "N1 1AA", "country": "GB"}


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def results(settings: Settings) -> list[Result]:
    """The median and the 99th percentile in milliseconds."""
    with fleet(settings) as running:
        async with opened(running) as shop:
            await stocked(shop)
            await _run(shop, running.address, 2)
            latencies = await _run(shop, running.address, _SECONDS)
    return [
        at_most("checkout p50", percentile(latencies, 0.5) * 1000, "ms", 50),
        at_most("checkout p99", percentile(latencies, 0.99) * 1000, "ms", 250),
    ]


async def _run(shop: Opened, address: str, seconds: int) -> list[float]:
    log = shop.shop.logs["ordering"]
    sent: dict[str, float] = {}
    confirmed: dict[str, float] = {}
    numbers: dict[object, str] = {}
    count = _RATE * seconds
    position = await log.head()

    async def watch() -> None:
        nonlocal position
        while len(confirmed) < count:
            events, upto = await log.read(position, 1_000, topics=["ordering.OrderCreated", "ordering.OrderConfirmed"])
            now = time.perf_counter()
            for recorded in events:
                if isinstance(recorded.event, OrderCreated):
                    numbers[recorded.stream] = recorded.event.number
                elif isinstance(recorded.event, OrderConfirmed) and recorded.stream in numbers:
                    confirmed[numbers[recorded.stream]] = now
            if upto == position:
                await log.wait(position, 0.5)
            position = upto

    watching = asyncio.create_task(watch())
    idle: list[Connection] = []
    chance = random.Random(seconds)

    async def buy() -> None:
        connection = idle.pop() if idle else await Connection.open(address)
        token = ""
        for sku in chance.sample(SKUS, 3):
            held = {"Cart_Token": token} if token else {}
            added = await connection.exchange(
                request("POST", "/api/v1/cart/items", {"sku": sku, "quantity": 1}, **held)
            )
            _expect(added.status, 201, added.body)
            token = token or added.headers[b"cart-token"].decode()
        body = {"email": "bench@emporium.example", "shipping_address": _ADDRESS, "payment_method": "pm_ok"}
        message = request("POST", "/api/v1/checkout", body, Cart_Token=token, Idempotency_Key=uuid4().hex)
        began = time.perf_counter()
        placed = await connection.exchange(message)
        _expect(placed.status, 202, placed.body)
        sent[msgspec.json.decode(placed.body)["order_number"]] = began
        idle.append(connection)

    began = time.perf_counter()
    buying = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
        buying.append(asyncio.create_task(buy()))
    await asyncio.gather(*buying)
    async with asyncio.timeout(60):
        await watching
    for connection in idle:
        connection.close()
    return [confirmed[number] - at for number, at in sent.items()]


def _expect(status: int, wanted: int, body: bytes) -> None:
    if status != wanted:
        raise RuntimeError(f"the gateway answered {status}: {body[:500]!r}")
