"""From the append of an event to its being visible in the order history, under 2,000 events a second."""

import asyncio
import random
import time
from uuid import uuid4

from emporium.application.bootstrap import main_dsn
from emporium.infra.settings import Settings
from emporium.projections.consistency import Waiter, token_of
from emporium.projections.registry import MODELS
from emporium.scripts.bench.checkout import percentile
from emporium.scripts.bench.fleet import fleet, opened, stocked
from emporium.scripts.bench.result import Result, at_most
from emporium.scripts.bench.saga import orders

__all__ = ["results"]

_RATE = 100
"""Orders a second; each makes about twenty events on its way to the customer."""

_SECONDS = 12


async def results(settings: Settings) -> list[Result]:
    """The 99th percentile in milliseconds, seen by another process than the one that projects."""
    latencies: list[float] = []
    chance = random.Random(1)
    with fleet(settings) as running:
        async with opened(running) as shop:
            await stocked(shop)
            waiter = Waiter(main_dsn(running.settings), MODELS, shop.shop.logs)

            async def one() -> None:
                position = await orders(shop, [uuid4()], chance)
                began = time.perf_counter()
                token = token_of(shop.shop.logs["ordering"], position)
                if not await waiter.wait(["order_history"], token, 10.0):
                    raise RuntimeError("the order history did not show an order within ten seconds")
                latencies.append(time.perf_counter() - began)

            async with waiter.running():
                began = time.perf_counter()
                running_ones = []
                for number in range(_RATE * _SECONDS):
                    await asyncio.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
                    running_ones.append(asyncio.create_task(one()))
                await asyncio.gather(*running_ones)
    steady = latencies[_RATE * 2 :]
    return [
        at_most("lag p50", percentile(steady, 0.5) * 1000, "ms", 50),
        at_most("lag p99", percentile(steady, 0.99) * 1000, "ms", 50),
    ]
