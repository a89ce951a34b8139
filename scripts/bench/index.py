"""From a change in the catalogue to its being found through the gateway, by the engine that this shop has."""

import asyncio
import time
from typing import Final

from emporium.application.ports import Meta
from emporium.domain.product import UpdateProduct
from emporium.infra.settings import Settings
from emporium.scripts.bench.checkout import percentile
from emporium.scripts.bench.load import Connection, request
from emporium.scripts.bench.result import Result, at_most
from emporium.scripts.bench.shelves import indexed, shelves

__all__ = ["results"]

_CHANGES: Final = 200
_STAFF: Final = Meta("bench", "request:bench", "staff:bench")


async def results(settings: Settings) -> list[Result]:
    """The 99th percentile in milliseconds, of single changes one after the other."""
    latencies: list[float] = []
    async with shelves(settings) as filled:
        await indexed(filled)
        connection = await Connection.open(filled.running.address)
        try:
            for number in range(_CHANGES):
                word = f"zyx{number}q"
                change = UpdateProduct(product_id=filled.documents[number].product_id, title=f"Thing {word}")
                await filled.shop.shop.execute(change, _STAFF)
                began = time.perf_counter()
                while not await _found(connection, word):
                    if time.perf_counter() - began > 60:
                        raise RuntimeError("a change was not found within a minute")
                    await asyncio.sleep(0.005)
                latencies.append(time.perf_counter() - began)
        finally:
            connection.close()
    return [
        at_most("index p50", percentile(latencies, 0.5) * 1000, "ms", 1_000),
        at_most("index p99", percentile(latencies, 0.99) * 1000, "ms", 1_000),
    ]


async def _found(connection: Connection, word: str) -> bool:
    answer = await connection.exchange(request("GET", f"/api/v1/search?q={word}&limit=1"))
    return answer.status == 200 and b'"total":1' in answer.body
