"""Product pages and listings, as they are kept and as they are made anew, against bare answers of the same size; and
what memory a gateway needs that has shown all of them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from emporium.application.ports import Meta
from emporium.domain.base import Money
from emporium.domain.product import ChangePrice
from emporium.infra.settings import Settings
from emporium.projections.consistency import token_of
from emporium.scripts.bench.bare import bare
from emporium.scripts.bench.load import Connection, request, throughput
from emporium.scripts.bench.result import Result, against, at_most
from emporium.scripts.bench.shelves import SIZES, Shelves, indexed, shelves
from emporium.scripts.bench.year import family, resident

__all__ = ["listing_results", "memory_results", "page_results"]

_CLIENTS: Final = 32
_SECONDS: Final = 5.0
_HOT: Final = 2_000
"""So many answers are asked for again and again."""

_SORTS: Final = ("title", "price", "price_desc", "newest")
_FILTERS: Final = ("", "&available=true", "&attribute=washable:yes", "&attribute=washable:no", "&price_to=20000")
_MEMORY: Final = 300
_MANY: Final = 100_000
_STAFF: Final = Meta("bench", "request:bench", "staff:bench")


async def page_results(settings: Settings) -> list[Result]:
    """Product pages a second."""
    async with shelves(settings) as shop:
        asks = [f"/api/v1/products/{one.slug}" for one in shop.documents]
        return await _against_bare(shop, "product-page", asks, warm=0.6, cold=0.15)


async def listing_results(settings: Settings) -> list[Result]:
    """Listings a second, each of 24 products with facets."""
    async with shelves(settings) as shop:
        return await _against_bare(shop, "listing", _listings(shop), warm=0.4, cold=0.08)


async def memory_results(settings: Settings) -> list[Result]:
    """MB of the largest gateway process, which has shown and found everything, not counting what is shared."""
    async with shelves(msgspec.structs.replace(settings, bench_products=max(_MANY, settings.bench_products))) as shop:
        await indexed(shop)
        running = shop.running
        asks = [f"/api/v1/products/{one.slug}" for one in shop.documents]
        asks += _listings(shop)
        asks += [f"/api/v1/search?q={'+'.join(one.title.split()[1:])}" for one in shop.documents[:5_000]]
        asks += [f"/api/v1/recommendations/products/{one.slug}" for one in shop.documents[:5_000]]
        await _once(running.address, [request("GET", ask) for ask in asks])
        most = max(resident(pid) for pid in family(running.processes["gateway"]))
    return [at_most("gateway memory", most, "MB", _MEMORY)]


def _listings(shop: Shelves) -> list[str]:
    """The first pages of all categories that have 24 products, in every order, with and without filters."""
    sizes: dict[str, int] = {}
    for one in shop.documents:
        for name in one.category_names:
            slug = name.replace(" ", "-")
            sizes[slug] = sizes.get(slug, 0) + 1
    asks = [
        f"/api/v1/products?category={slug}&facets=true&sort={sort}{chosen}"
        for slug, size in sizes.items()
        if size >= 40
        for sort in _SORTS
        for chosen in _FILTERS
    ]
    random.Random(1).shuffle(asks)
    return asks


async def _against_bare(shop: Shelves, name: str, asks: Sequence[str], *, warm: float, cold: float) -> list[Result]:
    address, gateway = shop.running.address, shop.running.processes["gateway"]
    messages = [request("GET", ask) for ask in asks]
    connection = await Connection.open(address)
    size = len((await connection.exchange(messages[0])).body)
    connection.close()
    with bare(size) as (floor_address, pid):
        await throughput(floor_address, _CLIENTS, 1.0, lambda *_: _BARE, 200)
        async with _cpu(pid) as floor_cpu:
            floor = await throughput(floor_address, _CLIENTS, _SECONDS, lambda *_: _BARE, 200)
    hot = messages[:_HOT]
    await _once(address, hot)
    async with _cpu(gateway) as kept_cpu:
        kept = await throughput(
            address, _CLIENTS, _SECONDS, lambda which, number: hot[(which * 7 + number) % len(hot)], 200
        )
    rounds, anew_cpu = 0, [0.0, 0.0]
    while anew_cpu[1] < _SECONDS:
        await _change(shop, rounds)
        async with _cpu(gateway) as cpu:
            await _once(address, hot)
        rounds += 1
        anew_cpu = [a + b for a, b in zip(anew_cpu, cpu, strict=True)]
    anew = rounds * len(hot) / anew_cpu[1]
    return [
        against(f"{name} kept", kept, "/s", floor, warm),
        against(f"{name} anew", anew, "/s", floor, cold),
        Result(name=f"{name} size", value=size, unit="bytes", goal="to compare"),
        *(
            Result(name=f"{name} {what} cpu", value=1e6 * cpu[0] / (rate * cpu[1]), unit="µs", goal="to compare")
            for what, rate, cpu in (("bare", floor, floor_cpu), ("kept", kept, kept_cpu), ("anew", anew, anew_cpu))
        ),
    ]


_BARE: Final = request("GET", "/page")


async def _once(address: str, messages: Iterable[bytes]) -> None:
    """Makes every request once."""
    waiting = iter(messages)

    async def client() -> None:
        connection = await Connection.open(address)
        try:
            for message in waiting:
                answer = await connection.exchange(message)
                if answer.status != 200:
                    raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")
        finally:
            connection.close()

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))


async def _change(shop: Shelves, number: int) -> None:
    """Changes a price, and looks at the page until it shows it: nothing is kept from before then."""
    document = shop.documents[0]
    sku, price = f"{document.skus[0]}-{SIZES[0]}", Money(1_000_000 + number, "GBP")
    committed = await shop.shop.shop.execute(ChangePrice(product_id=document.product_id, sku=sku, price=price), _STAFF)
    token = token_of(shop.shop.shop.logs["catalog"], committed.position).encode()
    connection = await Connection.open(shop.running.address)
    answer = await connection.exchange(request("GET", f"/api/v1/products/{document.slug}", consistency_token=token))
    connection.close()
    if b'"amount":%d' % price.amount not in answer.body:
        raise RuntimeError("a page is older than its token")


@asynccontextmanager
async def _cpu(pid: int) -> AsyncIterator[list[float]]:
    """Seconds of processor time that the process and its children take while the context is open, and of the clock."""
    taken = [0.0, time.perf_counter()]
    before = sum(map(_seconds, family(pid)))
    yield taken
    taken[:] = sum(map(_seconds, family(pid))) - before, time.perf_counter() - taken[1]


def _seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
