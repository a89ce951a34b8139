"""Load, decide, append over HTTP with authentication: adding to a cart, against a bare POST."""

import random
from uuid import uuid4

import msgspec

from emporium.infra.settings import Settings
from emporium.scripts.bench.bare import bare
from emporium.scripts.bench.fleet import SKUS, fleet, opened, stocked
from emporium.scripts.bench.load import Connection, request, throughput
from emporium.scripts.bench.result import Result, against

__all__ = ["results"]

_CLIENTS = 32
_SECONDS = 5.0


async def results(settings: Settings) -> list[Result]:
    """The rate of one gateway process with 32 customers at once, and the floor's."""
    with bare() as (address, _):
        await throughput(address, _CLIENTS, 1.0, _bare, 201)
        floor = await throughput(address, _CLIENTS, _SECONDS, _bare, 201)
    with fleet(settings) as shop:
        async with opened(shop) as inside:
            await stocked(inside)
        tokens = await _customers(shop.address)
        chance = random.Random(1)

        def add(client: int, number: int) -> bytes:
            body = {"sku": SKUS[chance.randrange(100)], "quantity": 1}
            return request("POST", "/api/v1/cart/items", body, Authorization=f"Bearer {tokens[client]}")

        await throughput(shop.address, _CLIENTS, 1.0, add, 201)
        value = await throughput(shop.address, _CLIENTS, _SECONDS, add, 201)
    return [against("command", value, "requests/s", floor, 0.35)]


def _bare(client: int, number: int) -> bytes:
    return request("POST", "/items", {"sku": SKUS[number % 100], "quantity": 1})


async def _customers(address: str) -> list[str]:
    """As many logged-in customers as there are clients: their tokens."""
    connection = await Connection.open(address)
    tokens = []
    for number in range(_CLIENTS):
        person = {"email": f"bench-{number}-{uuid4().hex[:8]}@emporium.example", "password": "bench " + uuid4().hex}
        await _ok(connection, request("POST", "/api/v1/account/register", {**person, "name": "Bench"}))
        tokens.append((await _ok(connection, request("POST", "/api/v1/account/login", person)))["token"])
    connection.close()
    return tokens


async def _ok(connection: Connection, message: bytes) -> dict[str, str]:
    answer = await connection.exchange(message)
    if answer.status >= 300:
        raise RuntimeError(f"the gateway answered {answer.status}: {answer.body!r}")
    decoded: dict[str, str] = msgspec.json.decode(answer.body)
    return decoded
