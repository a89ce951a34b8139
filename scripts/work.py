"""`emporium work`: one worker process, with process managers, their tasks, and projections."""

import asyncio
import logging
import signal

import uvloop

from emporium.application.bootstrap import open_shop, owner, process_managers, projections
from emporium.infra.settings import Settings

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Works until SIGTERM or SIGINT; 0."""
    uvloop.run(_work(settings))
    return 0


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_shop(settings) as opened:
        managers = process_managers(opened.shop, automatic=settings.fulfilment == "auto", name=owner())
        running = [asyncio.create_task(manager.run(), name=manager.name) for manager in managers]
        running.append(asyncio.create_task(projections(opened, name=owner()).run(), name="projections"))
        asked = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait([asked, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for task in ended - {asked}:
            # Half a worker would look like a whole one: whoever watches over it starts it again.
            task.result()
