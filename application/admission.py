"""Who is let to the till: no more units are ordered than were ever put on the shelves, however many want them at once.

Stock is reserved after the payment, so what is available says too late that a SKU is sold out. Each order therefore
counts its units with the commit that places it, against all units that were ever supplied: on hand, or sent to
customers. That sum is the same before and after a sale, so it may come from a read model; the counter is exact over
all gateways. An order that comes to nothing gives its units back with the commit that says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from emporium.application.ports import EventLog
from emporium.application.work import Work
from emporium.domain.order import OrderState

__all__ = ["Till", "Visit", "admit", "give_back", "give_back_units", "left"]

_UNLIMITED: Final = 2**62

_FEW: Final = 1_000
"""Available units from which on those who want them queue."""

_AT_ONCE: Final = 8
"""Orders of one SKU that are tried at once in a process."""

_REMEMBERED: Final = 0.5
"""Seconds for which a refusal is believed."""


def admit(work: Work, units: Mapping[str, int], supplied: Mapping[str, int | None]) -> None:
    """Counts the units of an order that begins; the commit raises LimitReached where that is more than was supplied.

    Args:
        supplied: by SKU; None where nobody knows.
    """
    for sku, quantity in units.items():
        limit = supplied[sku]
        work.count(_name(sku), quantity, _UNLIMITED if limit is None else max(0, limit))


async def left(log: EventLog, name: str, supplied: Mapping[str, int | None]) -> tuple[str, int] | None:
    """The SKU whose counter has this name, and how many more of it can be ordered; None for another counter."""
    for sku, limit in supplied.items():
        if name == _name(sku) and limit is not None:
            return sku, max(0, limit - (await log.counted([name]))[name])
    return None


def give_back(work: Work, order: OrderState) -> None:
    """The order came to nothing: others can order its units, with the commit that says so."""
    units: dict[str, int] = {}
    for line in order.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    give_back_units(work, order, units)


def give_back_units(work: Work, order: OrderState, units: Mapping[str, int]) -> None:
    """These units of the order will never leave."""
    if order.admitted:
        for sku, quantity in units.items():
            work.count(_name(sku), -quantity, _UNLIMITED)


def _name(sku: str) -> str:
    return f"ordered/{sku}"


class Till:
    """Where those wait, within one process, who want a SKU that is nearly sold out.

    What counts at one counter commits one after the other. So only a few try at once; whoever comes to the front
    once others were refused is told so without trying. Without this a crowd would do all of its work for nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._left: dict[str, tuple[float, int]] = {}

    def note(self, sku: str, left: int) -> None:
        """An order was refused: so many units of the SKU can still be ordered."""
        now = self._clock()
        self._left = {known: seen for known, seen in self._left.items() if seen[0] > now}
        self._left[sku] = (now + _REMEMBERED, left)

    def left(self, sku: str) -> int | None:
        """How many units of the SKU could be ordered a moment ago; None where nobody was refused lately."""
        until, left = self._left.get(sku, (0.0, 0))
        return left if until > self._clock() else None

    @asynccontextmanager
    async def visit(self) -> AsyncIterator["Visit"]:
        """One order's way through the till."""
        async with AsyncExitStack() as leaving:
            yield Visit(self._gates, leaving)


class Visit:
    """One order at the till."""

    def __init__(self, gates: WeakValueDictionary[str, asyncio.Semaphore], leaving: AsyncExitStack) -> None:
        self._gates = gates
        self._leaving = leaving
        self._passed: set[str] = set()

    async def queue(self, offers: Iterable[tuple[str, int]]) -> bool:
        """Waits for one's turn with each SKU of which few units are available, until the visit ends.

        Args:
            offers: SKU and available units.

        Returns:
            Whether it had to pass any gate: others may have been refused meanwhile.
        """
        few = sorted(sku for sku, available in offers if available <= _FEW and sku not in self._passed)
        # In one order for all, so that no two wait for each other.
        for sku in few:
            gate = self._gates.get(sku)
            if gate is None:
                gate = self._gates[sku] = asyncio.Semaphore(_AT_ONCE)
            await self._leaving.enter_async_context(gate)
            self._passed.add(sku)
        return bool(few)
