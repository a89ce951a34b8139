"""The read models in a process of their own beside an import, so that both processors work and neither holds all."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvloop

from emporium.application.bootstrap import Limits, open_shop, owner, projections
from emporium.infra.settings import Settings, load
from emporium.scripts.processes import Child, stop_all

__all__ = ["beside"]

_PATIENCE: Final = 3.0

_LIMITS: Final = Limits(cached=100, recent=1_000)
"""It decides nothing, and a merchant's orders are long: what it remembers is what it needs."""

_NICE: Final = 10
"""The import goes first: what the read models fold later, they fold in larger and so cheaper batches."""


@contextmanager
def beside(settings: Settings) -> Iterator[Child]:
    """The process, for the block; whoever waits for the read models tends to it."""
    child = Child("projector", ["-m", "emporium.scripts.retail.projector"], settings)
    child.tend()
    try:
        yield child
    finally:
        stop_all([child], _PATIENCE)


async def _project(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_shop(settings, limits=_LIMITS) as opened:
        engine = asyncio.create_task(projections(opened, name=owner()).run())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((engine, stopped), return_when=asyncio.FIRST_COMPLETED)
        engine.cancel()
        with suppress(asyncio.CancelledError):
            await engine


if __name__ == "__main__":
    os.nice(_NICE)
    uvloop.run(_project(load()))
