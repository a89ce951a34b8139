"""Who is let to the till: no more units are ordered than were ever put on the shelves, however many want them at once.

Stock is reserved after the payment, so what is available says too late that a SKU is sold out. Each order therefore
counts its units with the commit that places it, against all units that were ever supplied, on hand or sent to
customers, and those that may be sold before they are there. That sum is the same before and after a sale, so it may
come from a read model; the counter is exact over all gateways. An order that comes to nothing gives its units back
with the commit that says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from emporium.application.ports import EventLog
from emporium.application.work import Work
from emporium.domain.order import OrderState

__all__ = ["SoldOut", "Till", "Visit", "admit", "give_back", "give_back_units", "left"]

_UNLIMITED: Final = 2**62

_FEW: Final = 1_000
"""Available units from which on those who want them queue."""

_AT_ONCE: Final = 8
"""Orders of one SKU that are tried at once in a process."""

_SCARCE: Final = 60.0
"""Seconds for which a SKU is taken to be scarce after it was looked at."""

_MOST: Final = 10_000
"""Scarce SKUs that are remembered."""

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


class SoldOut(Exception):  # noqa: N818
    """Others were refused these units a moment ago: SKU → how many can still be ordered."""

    def __init__(self, left: Mapping[str, int]) -> None:
        super().__init__(f"of {', '.join(left)} no more can be ordered")
        self.left = left


class Till:
    """Where those wait, within one process, who want a SKU that is nearly sold out.

    What counts at one counter commits one after the other. So only a few try at once, and while others wait behind
    them, whoever comes to the front after a refusal is told so without trying: a crowd would else do all of its work
    for nothing. Where nobody waits, everybody tries.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._left: dict[str, tuple[float, int]] = {}
        self._few: dict[str, float] = {}

    def seen(self, sku: str, available: int) -> None:
        """So many units of the SKU are available: whoever wants some of the last ones shall queue."""
        if available > _FEW:
            self._few.pop(sku, None)
            return
        now = self._clock()
        if len(self._few) >= _MOST:
            self._few = {known: until for known, until in self._few.items() if until > now}
        if len(self._few) < _MOST:
            self._few[sku] = now + _SCARCE

    def scarce(self, sku: str) -> bool:
        """Whether few units of the SKU were available when it was last looked at."""
        return self._few.get(sku, 0.0) > self._clock()

    @property
    def crowded(self) -> bool:
        """Whether anybody waits."""
        return any(gate.locked() for gate in self._gates.values())

    def note(self, sku: str, left: int) -> None:
        """An order was refused: so many units of the SKU can still be ordered."""
        now = self._clock()
        self._left = {known: seen for known, seen in self._left.items() if seen[0] > now}
        self._left[sku] = (now + _REMEMBERED, left)

    def short(self, units: Mapping[str, int]) -> dict[str, int]:
        """What is left of those SKUs for which others wait and of which fewer were left a moment ago."""
        found = {}
        for sku, quantity in units.items():
            gate = self._gates.get(sku)
            until, left = self._left.get(sku, (0.0, 0))
            if gate is not None and gate.locked() and left < quantity and until > self._clock():
                found[sku] = left
        return found

    @asynccontextmanager
    async def visit(self) -> AsyncIterator["Visit"]:
        """One order's way through the till."""
        async with AsyncExitStack() as leaving:
            yield Visit(self, self._gates, leaving)


class Visit:
    """One order at the till."""

    def __init__(
        self, till: Till, gates: "WeakValueDictionary[str, asyncio.Semaphore]", leaving: AsyncExitStack
    ) -> None:
        self._till = till
        self._gates = gates
        self._leaving = leaving
        self._passed: set[str] = set()

    async def join(self, units: Mapping[str, int]) -> None:
        """Waits for one's turn where few units are known to be available. Raises SoldOut."""
        await self._pass([sku for sku in units if self._till.scarce(sku)], units)

    async def queue(self, units: Mapping[str, int], available: Mapping[str, int]) -> bool:
        """Waits for one's turn with each SKU of which few are available; whether there was any. Raises SoldOut."""
        for sku, units_there in available.items():
            self._till.seen(sku, units_there)
        return await self._pass([sku for sku in units if self._till.scarce(sku)], units)

    async def _pass(self, skus: list[str], units: Mapping[str, int]) -> bool:
        # In one order for all, so that no two wait for each other.
        ahead = sorted(sku for sku in skus if sku not in self._passed)
        if any(sku < passed for sku in ahead for passed in self._passed):
            return False
        for sku in ahead:
            gate = self._gates.get(sku)
            if gate is None:
                gate = self._gates[sku] = asyncio.Semaphore(_AT_ONCE)
            await self._leaving.enter_async_context(gate)
            self._passed.add(sku)
            if short := self._till.short(units):
                raise SoldOut(short)
        return bool(ahead)
