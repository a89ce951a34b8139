"""How fast is found, counted and completed what 32 customers ask for at once, over HTTP, by the embedded engine; beside
it what the engine alone reaches, in this process."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlencode

import msgspec

from emporium.application.search import Query, Rules
from emporium.infra.settings import Settings
from emporium.scripts.bench.goods import SEED, asked, made
from emporium.scripts.bench.load import Connection, request
from emporium.scripts.bench.relevance import engines
from emporium.scripts.bench.result import Result, at_least, at_most
from emporium.scripts.bench.shelves import Shelves, indexed, shelves

__all__ = ["results", "suggestions"]

CLIENTS: Final = 32
SECONDS: Final = 5.0
_WARM: Final = 1.0


async def results(settings: Settings) -> list[Result]:
    """Searches a second, and the slowest of a hundred."""
    own = msgspec.structs.replace(settings, elasticsearch_url=None)
    chance = random.Random(SEED)
    async with shelves(own) as shop:
        rate, slowest = await _over_http(shop, lambda: _path(asked(shop.documents, chance)))
    documents = made(settings.bench_products)
    async with engines(own, documents) as (engine,):
        alone, longest = await _load(lambda _: engine.search(asked(documents, chance), Rules()))
    return [
        at_least("search", rate, "/s", 2_000),
        at_most("search p99", slowest, "ms", 30),
        Result(name="  engine alone", value=alone, unit="/s", goal="to compare"),
        Result(name="  engine alone p99", value=longest, unit="ms", goal="to compare"),
    ]


async def suggestions(settings: Settings) -> list[Result]:
    """The slowest of a hundred completions, keystroke by keystroke."""
    chance = random.Random(SEED)
    async with shelves(msgspec.structs.replace(settings, elasticsearch_url=None)) as shop:

        def typed() -> str:
            title = chance.choice(shop.documents).title
            return "/api/v1/search/suggest?" + urlencode({"q": title[: chance.randrange(2, len(title))]})

        rate, slowest = await _over_http(shop, typed)
    return [
        Result(name="suggest", value=rate, unit="/s", goal="to compare"),
        at_most("suggest p99", slowest, "ms", 10),
    ]


def _path(query: Query) -> str:
    chosen: dict[str, object] = {"q": query.words}
    if query.attributes:
        chosen |= {"attribute": [f"{name}:{one}" for name, several in query.attributes.items() for one in several]}
    if query.price_to is not None:
        chosen["price_to"] = query.price_to
    if query.available:
        chosen["available"] = "true"
    return "/api/v1/search?" + urlencode(chosen, doseq=True)


async def _over_http(shop: Shelves, make: Callable[[], str]) -> tuple[float, float]:
    await indexed(shop)
    connections = [await Connection.open(shop.running.address) for _ in range(CLIENTS)]

    async def ask(client: int) -> None:
        answer = await connections[client].exchange(request("GET", make()))
        if answer.status != 200:
            raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")

    try:
        await _load(ask, _WARM)
        return await _load(ask)
    finally:
        for one in connections:
            one.close()


async def _load(ask: Callable[[int], Awaitable[object]], seconds: float = SECONDS) -> tuple[float, float]:
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client(which: int) -> None:
        while (began := time.perf_counter()) < end:
            await ask(which)
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(client(which) for which in range(CLIENTS)))
    return len(times) / seconds, sorted(times)[int(len(times) * 0.99)] * 1_000
