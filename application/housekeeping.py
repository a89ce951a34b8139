"""What is thrown away in time, by one process a day: answers that nobody asks for again, sessions that have ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

import msgspec

from emporium.application.ports import Leases

__all__ = ["Chore", "Housekeeping"]

_log = logging.getLogger(__name__)

DAY: Final = 86_400.0
"""Seconds between two rounds of a chore."""

LOOK: Final = 600.0
"""Seconds between two looks whether a chore is due."""


class Chore(msgspec.Struct, frozen=True):
    """Something that is done once a day: `do` says how many things it threw away. `leases` keep the day."""

    name: str
    leases: Leases
    do: Callable[[], Awaitable[int]]


class Housekeeping:
    """Does the chores that no other process has done for a day.

    Args:
        owner: this process in the leases.
        every: seconds from one round of a chore to the next.
    """

    def __init__(self, chores: Sequence[Chore], owner: str, *, every: float = DAY) -> None:
        self._chores = chores
        self._owner = owner
        self._every = every

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Does what is due; a chore that fails is tried again at the next look."""
        for chore in self._chores:
            try:
                await self._round(chore)
            except Exception:
                _log.warning("the chore %s waits", chore.name, exc_info=True)

    async def _round(self, chore: Chore) -> None:
        # An owner of its own for each round: the lease runs out a day later, also for this process.
        owner = f"{self._owner}/{uuid4()}"
        epoch = await chore.leases.acquire(chore.name, owner, self._every)
        if epoch is None:
            return
        try:
            count = await chore.do()
        except BaseException:
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    await chore.leases.release(chore.name, owner, epoch)
            raise
        # Most rounds find nothing: a terminal need not tell of each.
        _log.log(logging.INFO if count else logging.DEBUG, "the chore %s threw %d away", chore.name, count)
