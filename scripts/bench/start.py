"""How long `emporium up` takes on an existing data folder until the first product page is answered."""

import tempfile
import time
from pathlib import Path

from emporium.infra.settings import Settings
from emporium.scripts.bench.fleet import fleet, opened, stocked
from emporium.scripts.bench.load import Connection, request
from emporium.scripts.bench.result import Result, at_most

__all__ = ["results"]


async def results(settings: Settings) -> list[Result]:
    """Seconds of the second start."""
    with tempfile.TemporaryDirectory(prefix="emporium-bench-", ignore_cleanup_errors=True) as folder:
        with fleet(settings, Path(folder)) as running:
            async with opened(running) as shop:
                await stocked(shop)
        began = time.perf_counter()
        with fleet(settings, Path(folder)) as running:
            connection = await Connection.open(running.address)
            while (await connection.exchange(request("GET", "/api/v1/products/bench-0001"))).status != 200:
                if time.perf_counter() - began > 60:
                    raise RuntimeError("no product page within a minute")
            seconds = time.perf_counter() - began
            connection.close()
    return [at_most("start", seconds, "s", 4)]
