"""Several coroutines as one piece of work that ends with the first of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["until_one_ends"]


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
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
