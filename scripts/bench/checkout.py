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
            for seconds in (2, _SECONDS):
                latencies = await _run(shop, running.address, await _filled(running.address, _RATE * seconds))
    return [
        at_most("checkout p50", percentile(latencies, 0.5) * 1000, "ms", 50),
        at_most("checkout p99", percentile(latencies, 0.99) * 1000, "ms", 250),
    ]


async def _run(shop: Opened, address: str, carts: list[str]) -> list[float]:
    log = shop.shop.logs["ordering"]
    sent: dict[str, float] = {}
    confirmed: dict[str, float] = {}
    numbers: dict[object, str] = {}
    count = len(carts)
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
    connections = await _connections(address)

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
    _close(connections)
    return [confirmed[number] - at for number, at in sent.items()]


async def _filled(address: str, count: int) -> list[str]:
    """The tokens of new carts with three lines each."""
    connections = await _connections(address)
    chance = random.Random(count)

    async def one(skus: list[str]) -> str:
        token = ""
        for sku in skus:
            held = {"Cart_Token": token} if token else {}
            message = request("POST", "/api/v1/cart/items", {"sku": sku, "quantity": 1}, **held)
            added = await _exchange(connections, message, 201)
            token = token or added.headers[b"cart-token"].decode()
        return token

    carts = await asyncio.gather(*(one(chance.sample(SKUS, 3)) for _ in range(count)))
    _close(connections)
    return carts


async def _connections(address: str) -> "asyncio.Queue[Connection]":
    connections = asyncio.Queue[Connection]()
    for _ in range(_CONNECTIONS):
        connections.put_nowait(await Connection.open(address))
    return connections


def _close(connections: "asyncio.Queue[Connection]") -> None:
    while not connections.empty():
        connections.get_nowait().close()


async def _exchange(connections: "asyncio.Queue[Connection]", message: bytes, status: int) -> Answer:
    connection = await connections.get()
    try:
        answer = await connection.exchange(message)
    finally:
        connections.put_nowait(connection)
    if answer.status != status:
        raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")
    return answer
