"""The suggestions' model from the sales: a worker teaches it and publishes it, gateways read it."""

import asyncio
import importlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Final, Protocol, TypeVar
from uuid import UUID

from emporium.application.ports import Leases, Unavailable
from emporium.application.recommend import Basket, Trainer
from emporium.application.together import until_one_ends
from emporium.projections.generations import LIVE
from emporium.projections.model import Connection
from emporium.projections.sales import SALES
from emporium.projections.search_source import Standing

__all__ = ["LEASE", "PAGE", "Teacher", "baskets", "bought", "buyers_since", "published", "skus", "standing"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

LEASE: Final = "recommendations"
PAGE: Final = 5_000
"""Orders that are taken in at once."""

PACE: Final = 0.5
REST: Final = 50.0
"""After a second of training the next one waits so many."""

_TTL: Final = 5.0
_WAITS: Final = (0.5, 1.0, 2.0, 5.0)


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T: ...


async def standing(connection: Connection) -> Standing:
    """How far the sales are that can be read now. Empty before the read model first ran."""
    found = await connection.execute(
        "SELECT log, position, incarnation FROM emporium_projection_tracking WHERE model = %s AND generation = %s",
        [SALES.name, LIVE],
    )
    return Standing({log: (position, life) for log, position, life in await found.fetchall()})


_BASKETS: Final = """
SELECT o.order_id, coalesce(o.customer_id, o.order_id), (o.placed_at AT TIME ZONE 'UTC')::date, o.position,
    CASE WHEN o.confirmed AND NOT o.void THEN ARRAY(
        SELECT DISTINCT v.product_id FROM jsonb_each(o.kept) k JOIN rm_catalog_pages.variants v ON v.sku = k.key
        WHERE (k.value->>0)::bigint > (k.value->>2)::bigint) END
FROM rm_sales.orders o WHERE o.position > %s ORDER BY o.position LIMIT %s
"""


async def baskets(connection: Connection, after: int, limit: int = PAGE) -> tuple[list[Basket], int]:
    """The orders that changed after a position, as they are now, and how far they reach."""
    found = await connection.execute(_BASKETS, [after, limit])
    rows = await found.fetchall()
    made = [Basket(order_id, buyer, day, tuple(products or ())) for order_id, buyer, day, _, products in rows]
    return made, rows[-1][3] if rows else after


async def bought(connection: Connection, customer: UUID, most: int = 500) -> dict[UUID, list[date]]:
    """On which days a customer bought each product (and kept it), in the last orders."""
    found = await connection.execute(
        "SELECT DISTINCT v.product_id, o.order_id, (o.placed_at AT TIME ZONE 'UTC')::date FROM ("
        " SELECT * FROM rm_sales.orders WHERE customer_id = %s AND confirmed AND NOT void"
        " ORDER BY placed_at DESC LIMIT %s) o CROSS JOIN jsonb_each(o.kept) k"
        " JOIN rm_catalog_pages.variants v ON v.sku = k.key WHERE (k.value->>0)::bigint > (k.value->>2)::bigint",
        [customer, most],
    )
    days: dict[UUID, list[date]] = {}
    for product_id, _, day in await found.fetchall():
        days.setdefault(product_id, []).append(day)
    return days


async def buyers_since(connection: Connection, after: int) -> tuple[list[UUID], int]:
    """The customers whose orders changed after a position, and how far that reaches."""
    found = await connection.execute(
        "SELECT array_agg(DISTINCT customer_id) FILTER (WHERE customer_id IS NOT NULL), max(position)"
        " FROM rm_sales.orders WHERE position > %s",
        [after],
    )
    row = await found.fetchone()
    return ([], after) if row is None or row[1] is None else (row[0] or [], row[1])


async def skus(connection: Connection, wanted: Sequence[str]) -> dict[str, UUID]:
    """The products of SKUs."""
    found = await connection.execute(
        "SELECT sku, product_id FROM rm_catalog_pages.variants WHERE sku = ANY(%s)", [list(wanted)]
    )
    return dict(await found.fetchall())


async def published(connection: Connection, known: int) -> tuple[int, bytes] | None:
    """The model and its number, where there is another than the known one."""
    found = await connection.execute("SELECT number, model FROM emporium_recommendations WHERE number <> %s", [known])
    return await found.fetchone()


class Teacher:
    """Keeps the model true while it holds the lease: from the sales so far, then from what changes.

    Args:
        leases: of the ordering log.
        owner: names this process, uniquely.
    """

    def __init__(self, reads: Reads, leases: Leases, owner: str) -> None:
        self._reads = reads
        self._leases = leases
        self._owner = owner
        self._spent = 0.0
        self._forget()

    def _forget(self) -> None:
        self._trainer = Trainer()
        self._standing = Standing({})
        self._after = 0
        self._fresh = True

    async def run(self) -> None:
        """Waits for the lease, teaches while it holds, for ever."""
        failures = 0
        while True:
            try:
                epoch = await self._leases.acquire(LEASE, self._owner, _TTL)
                if epoch is None:
                    await asyncio.sleep(_TTL / 4)
                    continue
                try:
                    await until_one_ends(self._renew(epoch), self._follow())
                finally:
                    await self._leases.release(LEASE, self._owner, epoch)
                failures = 0
            except Unavailable as down:
                _log.warning("the recommendations wait: %s", down)
            except Exception:
                _log.exception("teaching the recommendations failed and starts again")
                self._forget()
            await asyncio.sleep(_WAITS[min(failures, len(_WAITS) - 1)])
            failures += 1

    async def _renew(self, epoch: int) -> None:
        while True:
            await asyncio.sleep(_TTL / 3)
            if not await self._leases.renew(LEASE, self._owner, epoch, _TTL):
                return

    async def _follow(self) -> None:
        # Somebody else may have published meanwhile.
        self._forget()
        # Takes its time, and shall not count as training.
        await asyncio.to_thread(importlib.import_module, "scipy.sparse")
        while True:
            self._spent = 0.0
            await self.step()
            await asyncio.sleep(max(PACE, self._spent * REST))

    async def step(self) -> bool:
        """Takes in what is new and publishes the model of it; whether there was anything. Raises Unavailable."""
        now = await self._reads.run(standing)
        if not now.positions:
            return False
        if not now.follows(self._standing):
            self._forget()
        elif now.positions == self._standing.positions:
            return False
        changed = self._fresh
        while True:
            page, upto = await self._reads.run(lambda connection: baskets(connection, self._after))
            if not page:
                break
            changed |= await asyncio.to_thread(self._trainer.update, page)
            self._after = upto
        self._standing = now
        if changed:
            model = await asyncio.to_thread(self._train)
            await self._publish(model)
            self._fresh = False
        return changed

    def _train(self) -> bytes:
        began = time.thread_time()
        model = self._trainer.model().encode()
        self._spent = time.thread_time() - began
        return model

    async def _publish(self, model: bytes) -> None:
        async def write(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO emporium_recommendations (model) VALUES (%s) ON CONFLICT (id) DO UPDATE"
                " SET number = emporium_recommendations.number + 1, model = excluded.model, made_at = now()"
                " WHERE emporium_recommendations.model <> excluded.model",
                [model],
            )

        await self._reads.run(write)
