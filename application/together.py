"""Several coroutines as one piece of work that ends with the first of them."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Final

__all__ = ["end", "until_one_ends"]

_AGAIN: Final = 0.2
"""Seconds after which a task that still runs is cancelled once more."""


async def end(tasks: "Collection[asyncio.Task[Any]]") -> None:
    """Cancels the tasks until all of them have ended; what they raise is theirs to tell.

    Once is not enough on Python 3.11: `asyncio.wait_for`, with which psycopg's pool waits for a connection, forgets
    a cancellation that comes together with the connection.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=_AGAIN)
        for task in ended:
            if not task.cancelled():
                task.exception()


async def until_one_ends(*work: Coroutine[Any, Any, object]) -> None:
    """Runs all of it until one returns or raises, then cancels the rest and raises what that one raised.

    (Not a TaskGroup: on Python 3.11 it forgets that it was cancelled when one of its tasks fails just then.)
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)
