"""`emporium work`: one worker process, with process managers, their tasks, and projections."""

import asyncio
import gc
import signal
import sys

import uvloop

from emporium.application.bootstrap import (
    catalog_keeper,
    housekeeping,
    indexers,
    notifier,
    open_shop,
    owner,
    process_managers,
    projections,
    teacher,
    watcher,
    webhook_caller,
)
from emporium.application.ports import Restored
from emporium.application.together import until_one_ends
from emporium.infra.settings import Settings, StartupProblem

__all__ = ["run"]


def run(settings: Settings) -> int:
    """Works until SIGTERM or SIGINT; 0. Raises StartupProblem where a log was restored under it."""
    # What was imported stays; the rest are events and states, which live for one batch and form no cycles.
    gc.freeze()
    gc.set_threshold(50_000)
    # The event loop waits at most so long for a thread that computes, a recommendation model's training above all.
    sys.setswitchinterval(0.0005)
    try:
        uvloop.run(_work(settings))
    except Restored as restored:
        raise StartupProblem(
            f"The worker ends: {restored}.", "Where it ends again at once, the databases do not fit each other."
        ) from restored
    return 0


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        open_shop(settings) as opened,
        notifier(opened, name=owner()) as telling,
        webhook_caller(opened, name=owner()) as calling,
    ):
        managers = process_managers(opened.shop, automatic=settings.fulfilment == "auto", name=owner())
        # Half a worker would look like a whole one: it ends with any part, and whoever watches starts it again.
        await until_one_ends(
            stop.wait(),
            opened.store.watch(),
            housekeeping(opened, name=owner()).run(),
            projections(opened, name=owner()).run(),
            *(one.run() for one in indexers(opened, name=owner())),
            teacher(opened, name=owner()).run(),
            telling.run(),
            catalog_keeper(opened, name=owner()).run(),
            calling.run(),
            watcher(opened.shop, name=owner()).run(),
            *(manager.run() for manager in managers),
        )
