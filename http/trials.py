"""Attempts to prove who one is: the longer to wait, the more have failed; and answers that take equal time."""

import asyncio
import math
from collections.abc import Awaitable
from typing import Final, TypeVar

from emporium.http.problems import KINDS
from emporium.http.request import Request

__all__ = ["Trial", "evenly"]

T = TypeVar("T")

EVEN: Final = 0.25
"""Seconds after which an answer comes that must not tell whether there was something to do."""


class Trial:
    """One attempt, which counts as failed until it has succeeded."""

    def __init__(self, request: Request, whose: str) -> None:
        fingerprint = request.services.shop.vault.fingerprint
        name, source = whose.strip().casefold(), request.source
        self._attempts = request.services.attempts
        pair = fingerprint("attempt pair", f"{name}\n{source}")
        # Where nobody can tell who asks, one failing caller must not delay all others.
        place = fingerprint("attempt source", source or f"unknown\n{name}")
        self._keys = fingerprint("attempt address", name), place, pair

    @classmethod
    async def begin(cls, request: Request, whose: str) -> "Trial":
        """Counts the attempt. Raises Problem (too_many_attempts).

        Args:
            whose: the e-mail address, known or not, or the account's id.
        """
        trial = cls(request, whose)
        waits = await trial._attempts.begin(*trial._keys)
        if waits > 0:
            seconds = max(1, math.ceil(waits))
            raise KINDS.too_many_attempts(
                f"Too many attempts have failed: try again in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )
        return trial

    async def succeeded(self) -> None:
        """Forgives the failures of the address, and trusts this place."""
        await self._attempts.succeeded(*self._keys)


async def evenly(work: Awaitable[T], seconds: float = EVEN) -> T:
    """What the work gives or raises, but not before the seconds are over."""
    end = asyncio.get_running_loop().time() + seconds
    try:
        return await work
    finally:
        await asyncio.sleep(end - asyncio.get_running_loop().time())
