"""What customers watch: kept with their accounts, found by SKU through claims, and met by what other logs tell."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from emporium.application.commands import handle, watch_scope
from emporium.application.effects import Finished, Park, Perform, Retry
from emporium.application.ports import Clock, Conflict, EventLog, Idempotency, Meta, Recorded, Task, Tracking
from emporium.application.runner import LogFollower
from emporium.application.schedules import LOOK
from emporium.application.shop import Shop
from emporium.application.work import Committed, Schedule, Work
from emporium.domain import product, stock
from emporium.domain.backorder import BACKORDERS, BackorderReleased, backorder_id_of
from emporium.domain.base import Event, Money, Reason
from emporium.domain.product import PRODUCT
from emporium.domain.stock import STOCK, stock_id_of
from emporium.domain.warehouse import WAREHOUSES, warehouses_id
from emporium.domain.watch import (
    BACK_IN_STOCK,
    PRICE_DROP,
    WATCHES,
    AddWatch,
    MeetWatch,
    RemoveWatch,
    Watch,
    watches_id,
)

__all__ = ["NAME", "UPSTREAMS", "WatchFollower", "add", "end_all", "listed", "performers", "remove"]

NAME: Final = "watches"

UNKNOWN_SKU = Reason("nothing_to_watch", "There is no {sku} to watch.", "missing")

Keep = Callable[[Watch], Idempotency | None]


async def listed(shop: Shop, customer_id: UUID) -> tuple[Watch, ...]:
    """What the customer watches, the oldest first."""
    state, _ = await shop.logs["accounts"].load(WATCHES, watches_id(customer_id), fresh=True)
    return () if state is None else state.watches


async def add(
    shop: Shop, *, customer_id: UUID, sku: str, kind: str, currency: str, cause: Meta, keep: Keep = lambda _: None
) -> tuple[Watch, Committed]:
    """Watches a SKU from now on. Raises `Rejected` (nothing_to_watch, can_be_had, too_many_watches …)."""
    offer = (await shop.offers.offers([sku], currency)).get(sku)
    if offer is None:
        raise UNKNOWN_SKU(sku=sku)
    # The ends of the logs first: what comes in while we look counts as news.
    after = await shop.logs["inventory" if kind == BACK_IN_STOCK else "catalog"].head()
    available = await _available(shop.logs["inventory"], sku) if kind == BACK_IN_STOCK else 0
    price = await _price(shop.logs["catalog"], offer.product_id, sku, currency) if kind == PRICE_DROP else None
    meta = replace(cause, correlation=str(customer_id))
    command = AddWatch(
        customer_id=customer_id,
        product_id=offer.product_id,
        sku=sku,
        kind=kind,
        price=price,
        available=available,
        after=after,
        at=shop.clock.now(),
    )

    async def handler(work: Work) -> Watch:
        await handle(work, command, meta)
        state = work.state(WATCHES, watches_id(customer_id))
        found = None if state is None else state.find(sku, kind)
        assert found is not None, "it was watched already, or is now"
        work.unit.idempotency = keep(found)
        return found

    return await shop.run("accounts", meta, handler)


async def _available(log: EventLog, sku: str) -> int:
    """Units that nobody waits for already."""
    directory, _ = await log.load(WAREHOUSES, warehouses_id(), fresh=True)
    streams = [stock_id_of(sku, code) for code in (directory.in_order if directory is not None else ())]
    found = await log.load_many(STOCK, streams, fresh=True)
    queue, _ = await log.load(BACKORDERS, backorder_id_of(sku), fresh=True)
    waiting = 0 if queue is None else queue.backordered
    return sum(state.available for state, _ in found.values() if state is not None) - waiting


async def _price(log: EventLog, product_id: UUID, sku: str, currency: str) -> Money | None:
    state, _ = await log.load(PRODUCT, product_id, fresh=True)
    variant = None if state is None else state.variants.get(sku)
    return None if variant is None else variant.prices.get(currency)


async def remove(shop: Shop, *, customer_id: UUID, sku: str, kind: str, cause: Meta) -> Committed:
    """Watches it no more. Raises `Rejected` (no_such_watch)."""
    command = RemoveWatch(customer_id=customer_id, sku=sku, kind=kind)
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def end_all(work: Work, customer_id: UUID, cause: Meta) -> None:
    """Ends all watches of a customer, with the unit's commit."""
    state = await work.load(WATCHES, watches_id(customer_id))
    for one in () if state is None else state.watches:
        await handle(work, RemoveWatch(customer_id=customer_id, sku=one.sku, kind=one.kind), cause)


# --- what is watched -------------------------------------------------------------------------------

_COMES: Final[Mapping[str, tuple[type[Event], ...]]] = {
    "inventory": (
        stock.UnitsReceived,
        stock.UnitsReturned,
        stock.UnitsReleased,
        stock.StockAdjusted,
        BackorderReleased,
    ),
    "catalog": (product.PriceChanged,),
}

UPSTREAMS: Final = tuple(_COMES)
"""The logs that watches follow."""

BATCH: Final = 1_000
PACE: Final = 0.1
"""Seconds between two batches: nobody reads his mail sooner."""


def _watched(event: Any) -> tuple[str, str, Money | None] | None:
    """SKU, kind and new price of what somebody may watch for; None for other events."""
    match event:
        case product.PriceChanged():
            return event.sku, PRICE_DROP, event.price
        case stock.StockAdjusted() if event.change < 0:
            return None
        case _:
            return event.sku, BACK_IN_STOCK, None


class WatchFollower(LogFollower):
    """Meets the watches of all customers with the events of one log.

    Args:
        upstream: the name of the log that it follows.
        silent: passes over all events, as an import of history wants it.
    """

    def __init__(
        self,
        logs: Mapping[str, EventLog],
        upstream: str,
        clock: Clock,
        schedule: Schedule,
        *,
        silent: bool = False,
        pace: float = PACE,
    ) -> None:
        super().__init__(NAME, logs["accounts"], logs[upstream], frozenset(_COMES[upstream]), clock, BATCH)
        self._schedule = schedule
        self._silent = silent
        self._pace = pace
        self._next = 0.0

    async def step(self, epoch: int) -> tuple[bool, list[Task]]:
        """See `LogFollower`."""
        if self._silent:
            head = await self.upstream.head()
            moved, self.position = head > self.position, head
            if moved:
                await self.rest(epoch)
            return moved, []
        loop = asyncio.get_running_loop()
        if (wait := self._next - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._next = loop.time() + self._pace
        return await super().step(epoch)

    async def _react(self, events: Sequence[Recorded], tracking: Tracking, aside: Sequence[Task] = ()) -> list[Task]:
        while True:
            # Who watches is asked anew after a conflict: somebody may have begun or ended it. No cache is believed,
            # for it never conflicts on "nobody watches this".
            met = await self._met(events)
            work = Work(self.log, self._clock.now(), _NOBODY, self._schedule, None)
            work.unit.tasks.extend(aside)
            await work.load_many(WATCHES, [watches_id(command.customer_id) for _, command in met])
            for recorded, command in met:
                work.now = self._clock.following(recorded.at)
                await handle(work, command, replace(self._cause_of(recorded), correlation=str(command.customer_id)))
            work.unit.tracking = tracking
            try:
                await work.commit()
            except Conflict:
                continue
            return work.unit.tasks

    async def _met(self, events: Sequence[Recorded]) -> list[tuple[Recorded, MeetWatch]]:
        """Whom the events may concern."""
        watchers: dict[tuple[str, str], list[UUID]] = {}
        met = []
        watched = [(recorded, found) for recorded in events if (found := _watched(recorded.event)) is not None]
        # That a SKU is back ends its watches: of many times, the last one meets all that any of them would.
        back = {sku: recorded.position for recorded, (sku, kind, _) in watched if kind == BACK_IN_STOCK}
        for recorded, (sku, kind, price) in watched:
            if kind == BACK_IN_STOCK and back[sku] != recorded.position:
                continue
            if (sku, kind) not in watchers:
                watchers[sku, kind] = sorted(await self.log.claims(watch_scope(sku, kind)))
                if kind == BACK_IN_STOCK and watchers[sku, kind] and await self._all_waited_for(sku):
                    watchers[sku, kind] = []
            for customer_id in watchers[sku, kind]:
                command = MeetWatch(
                    customer_id=customer_id, sku=sku, kind=kind, price=price, position=recorded.position,
                    at=recorded.at,
                )  # fmt: skip
                met.append((recorded, command))
        return met

    async def _all_waited_for(self, sku: str) -> bool:
        """Whether what came goes to orders that have waited for it."""
        queue, _ = await self.upstream.load(BACKORDERS, backorder_id_of(sku), fresh=True)
        return queue is not None and await _available(self.upstream, sku) <= 0

    async def again(self, task: Task) -> Finished | Retry | Park:
        """See `LogFollower`: an event that could not be read before."""
        [recorded], _ = await self.upstream.read(int(task.data["position"]) - 1, 1)
        if type(recorded.event) not in self._types:
            return Finished()
        return Finished([command for _, command in await self._met([recorded])])


def performers(shop: Shop) -> dict[str, Perform]:
    """What looks once more after a watch was set, by the kind of task."""

    async def look(task: Task) -> Finished | Retry | Park:
        """What came in just before the watch was there was passed over: it shows in what is there now."""
        customer_id, sku, kind = UUID(task.data["customer_id"]), task.data["sku"], task.data["watched"]
        found = next((one for one in await listed(shop, customer_id) if (one.sku, one.kind) == (sku, kind)), None)
        if found is None:
            return Finished()
        log = shop.logs["inventory" if kind == BACK_IN_STOCK else "catalog"]
        position, price = await log.head(), None
        if kind == BACK_IN_STOCK:
            happened = await _available(log, sku) > 0
        else:
            assert found.price is not None, "a price is watched"
            price = await _price(log, UUID(task.data["product_id"]), sku, found.price.currency)
            happened = price is not None
        if not happened or position <= found.after:
            return Finished()
        at = shop.clock.now()
        meet = MeetWatch(customer_id=customer_id, sku=sku, kind=kind, price=price, position=position, at=at)
        return Finished([meet])

    return {LOOK: look}


_NOBODY: Final = Meta("", "", "system")
"""The cause of a batch as a whole; each of its commands brings its own."""
