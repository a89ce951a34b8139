"""From `POST /checkout` to confirmed (stock reserved) at 100 orders a second, over HTTP; carts are filled before."""

import asyncio
import random
import time
from uuid import uuid4

import msgspec

from emporium.application.bootstrap import Opened
from emporium.domain.order import OrderConfirmed, OrderCreated
from emporium.infra.settings import Settings
from emporium.scripts.bench.fleet import SKUS, fleet, opened, stocked
from emporium.scripts.bench.load import Answer, Connection, request
from emporium.scripts.bench.result import Result, at_most

__all__ = ["percentile", "results"]

_RATE = 100
_SECONDS = 15
_CONNECTIONS = 64
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
    connections = asyncio.Queue[Connection]()
    for _ in range(_CONNECTIONS):
        connections.put_nowait(await Connection.open(address))
    chance = random.Random(seconds)
    carts = await asyncio.gather(*(_fill(connections, chance.sample(SKUS, 3)) for _ in range(count)))

    async def buy(cart: str) -> None:
        body = {"email": "bench@emporium.example", "shipping_address": _ADDRESS, "payment_method": "pm_ok"}
        message = request("POST", "/api/v1/checkout", body, Cart_Token=cart, Idempotency_Key=uuid4().hex)
        began = time.perf_counter()
        placed = await _exchange(connections, message, 202)
        sent[msgspec.json.decode(placed.body)["order_number"]] = began

    began = time.perf_counter()
    buying = []
    for number, cart in enumerate(carts):
        await asyncio.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
        buying.append(asyncio.create_task(buy(cart)))
    await asyncio.gather(*buying)
    async with asyncio.timeout(60):
        await watching
    while not connections.empty():
        connections.get_nowait().close()
    return [confirmed[number] - at for number, at in sent.items()]


async def _fill(connections: "asyncio.Queue[Connection]", skus: list[str]) -> str:
    """The token of a new cart with one unit of each."""
    token = ""
    for sku in skus:
        held = {"Cart_Token": token} if token else {}
        message = request("POST", "/api/v1/cart/items", {"sku": sku, "quantity": 1}, **held)
        added = await _exchange(connections, message, 201)
        token = token or added.headers[b"cart-token"].decode()
    return token


async def _exchange(connections: "asyncio.Queue[Connection]", message: bytes, status: int) -> Answer:
    connection = await connections.get()
    try:
        answer = await connection.exchange(message)
    finally:
        connections.put_nowait(connection)
    if answer.status != status:
        raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")
    return answer
