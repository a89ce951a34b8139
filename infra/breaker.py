"""A circuit breaker around the payment provider: who does not answer is left alone for a while, then asked once."""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from emporium.application.ports import Outcome, Provider, ProviderDown, ProviderPaused, SavedMethod
from emporium.domain.base import Money

__all__ = ["Breaker"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

FAILURES: Final = 8
"""So many calls without an answer in a row, none with one among them, and the provider counts as down."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds for which it is left alone, doubled each time that the one call afterwards is not answered."""


class Breaker:
    """Implements `ports.Provider` on another one; for one event loop.

    Args:
        now: seconds of a clock that never goes back.
    """

    def __init__(self, provider: Provider, now: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._now = now
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._closed_until = 0.0
        self._why = ""
        self._probing = False

    async def charge(self, key: str, order: UUID, amount: Money, method: str, at: datetime) -> Outcome:
        """See `ports.Provider`. Raises ProviderPaused, as all calls do."""
        return await self._through(lambda: self._provider.charge(key, order, amount, method, at))

    async def capture(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """See `ports.Provider`."""
        return await self._through(lambda: self._provider.capture(key, reference, amount, at))

    async def void(self, key: str, reference: str, at: datetime) -> Outcome:
        """See `ports.Provider`."""
        return await self._through(lambda: self._provider.void(key, reference, at))

    async def refund(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """See `ports.Provider`."""
        return await self._through(lambda: self._provider.refund(key, reference, amount, at))

    async def find_charge(self, key: str, order: UUID) -> Outcome:
        """See `ports.Provider`."""
        return await self._through(lambda: self._provider.find_charge(key, order))

    async def find_refund(self, key: str, reference: str) -> Outcome:
        """See `ports.Provider`."""
        return await self._through(lambda: self._provider.find_refund(key, reference))

    async def save_method(self, key: str, customer: UUID, method: str) -> SavedMethod:
        """See `ports.Provider`."""
        return await self._through(lambda: self._provider.save_method(key, customer, method))

    async def forget_method(self, token: str) -> None:
        """See `ports.Provider`."""
        await self._through(lambda: self._provider.forget_method(token))

    async def _through(self, call: Callable[[], Awaitable[T]]) -> T:
        down = self._failures >= FAILURES
        if down:
            left = self._closed_until - self._now()
            if left > 0 or self._probing:
                after = max(left, FIRST_PAUSE)
                raise ProviderPaused(
                    f"the payment provider is down and asked again in {after:.0f} s: {self._why}", after
                )
            self._probing = True
        try:
            answer = await call()
        except ProviderDown as error:
            self._failed(error, down)
            raise
        finally:
            if down:
                self._probing = False
        if down:
            _log.warning("the payment provider answers again")
        self._failures, self._pause = 0, FIRST_PAUSE
        return answer

    def _failed(self, error: ProviderDown, down: bool) -> None:
        self._failures += 1
        self._why = str(error)
        if down:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif self._failures == FAILURES:
            _log.warning("the payment provider is down, orders wait for it: %s", error)
        if self._failures >= FAILURES:
            self._closed_until = self._now() + self._pause
