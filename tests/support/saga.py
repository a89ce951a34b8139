"""A shop on real databases with its process managers running, and the words in which saga tests speak."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from emporium.application.bootstrap import Opened, open_shop, process_managers
from emporium.application.commands import handle
from emporium.application.ports import Clock, Meta, Recorded
from emporium.application.together import end
from emporium.application.work import Work
from emporium.domain.base import Command, Money
from emporium.domain.cart import AddCartItem, CheckOutCart
from emporium.domain.order import ORDER, OrderLine, OrderState, PlaceOrder, order_id_of
from emporium.domain.stock import STOCK, ReceiveUnits, StockState, stock_id_of
from emporium.domain.warehouse import OpenWarehouse
from emporium.infra.settings import Settings
from tests.support.sandbox import SandboxProcess

__all__ = ["Saga", "running"]

CUSTOMER = Meta("test", "request:test", "customer:1")
PRICE = Money(500, "GBP")


class Saga:
    """Drives one shop.

    Attributes:
        opened: the process.
        sandbox: its provider and carrier.
    """

    def __init__(self, opened: Opened, sandbox: SandboxProcess) -> None:
        self.opened = opened
        self.shop = opened.shop
        self.sandbox = sandbox

    async def stock(self, **units: dict[str, int]) -> None:
        """`await saga.stock(LON={"MUG": 3}, BER={"TEA": 1})`"""
        for number, (warehouse, levels) in enumerate(units.items()):
            await self.shop.execute(
                OpenWarehouse(code=warehouse, name=warehouse, country="GB", priority=number), CUSTOMER
            )
            for sku, quantity in levels.items():
                await self.shop.execute(ReceiveUnits(sku=sku, warehouse=warehouse, quantity=quantity), CUSTOMER)

    async def order(
        self,
        method: str = "pm_ok",
        cart: UUID | None = None,
        attempt: int = 1,
        ship_to: dict[str, Any] | None = None,
        **wanted: int,
    ) -> UUID:
        """Fills a cart, checks it out, and gives the order's id."""
        cart_id = cart or uuid4()
        order_id = order_id_of(cart_id, attempt)
        now = self.shop.clock.now()
        adds: list[Command] = [
            AddCartItem(cart_id=cart_id, sku=sku, quantity=units, unit_price=PRICE, at=now)
            for sku, units in wanted.items()
        ]
        lines = tuple(
            OrderLine(line=n, sku=sku, title=sku, quantity=units, unit_price=PRICE, total=PRICE * units)
            for n, (sku, units) in enumerate(wanted.items(), start=1)
        )
        number = order_id.hex[:12]
        there = None
        if ship_to is not None:
            await self.shop.vault.key_for(order_id)
            there = self.shop.vault.seal(order_id, "OrderCreated", order_id, "ship_to", ship_to)
        out = CheckOutCart(cart_id=cart_id, order_id=order_id, order_number=number, attempt=attempt, at=now)
        place = PlaceOrder(
            order_id=order_id, number=number, cart_id=cart_id, attempt=attempt, subject=order_id, lines=lines,
            shipping=Money(0, "GBP"), country="GB", payment_method=method, at=now, ship_to=there,
        )  # fmt: skip
        await self.together("ordering", Meta(str(order_id), "request:test", "customer:1"), *adds, out, place)
        return order_id

    async def together(self, log: str, cause: Meta, *commands: Command) -> None:
        """Several commands as one unit."""

        async def handler(work: Work) -> None:
            for command in commands:
                await handle(work, command)

        await self.shop.run(log, cause, handler)

    async def execute(self, command: Command) -> None:
        """One command of a person."""
        correlation = str(getattr(command, "order_id", "test"))
        await self.shop.execute(command, Meta(correlation, "request:test", "staff:1"))

    async def state(self, order_id: UUID) -> OrderState:
        """The order as it stands in its log."""
        state, _ = await self.shop.logs["ordering"].load(ORDER, order_id, fresh=True)
        assert state is not None
        return state

    async def level(self, sku: str, warehouse: str) -> StockState:
        """The stock as it stands in its log."""
        state, _ = await self.shop.logs["inventory"].load(STOCK, stock_id_of(sku, warehouse), fresh=True)
        assert state is not None
        return state

    async def becomes(self, order_id: UUID, *statuses: str, within: float = 20.0) -> OrderState:
        """Waits until the order has one of the statuses."""

        async def reached() -> OrderState | None:
            state = await self.state(order_id)
            return state if state.status in statuses else None

        return await until(reached, self.shop.logs["ordering"], within)

    async def happens(self, log: str, topic: str, order_id: UUID, within: float = 20.0) -> Recorded:
        """Waits until the log holds such an event of the order."""

        async def found() -> Recorded | None:
            events = await self.shop.logs[log].by_correlation(str(order_id))
            return next((r for r in events if type(r.event).__name__ == topic), None)

        return await until(found, self.shop.logs[log], within)

    async def story(self, order_id: UUID) -> dict[str, list[str]]:
        """Log → the names of the order's events there."""
        logs = ("ordering", "payments", "inventory", "shipping")
        return {
            log: [type(r.event).__name__ for r in await self.shop.logs[log].by_correlation(str(order_id))]
            for log in logs
        }


async def until(look: Callable[[], Awaitable[Any]], log: Any, within: float) -> Any:
    """The first true answer of `look`, which is asked again whenever the log grows (or the poll comes round)."""
    async with asyncio.timeout(within):
        while True:
            head = await log.head()
            found = await look()
            if found:
                return found
            await log.wait(head, 0.2)


@asynccontextmanager
async def running(
    database: str,
    folder: Path,
    *,
    clock: Clock | None = None,
    roles: Sequence[str] | None = None,
    settings: dict[str, Any] | None = None,
    **sandbox: float,
) -> AsyncIterator[Saga]:
    """A shop on a migrated database, with process managers and a sandbox.

    Args:
        roles: the process managers that run; None for all.
        settings: other settings.
        sandbox: options of the sandbox.
    """
    with SandboxProcess(folder / "sandbox.sqlite", **{"delivery_seconds": 0, **sandbox}) as counterpart:
        urls = {"provider_url": counterpart.url, "carrier_url": counterpart.url}
        own = {"tracking_interval_s": 0.05, **urls, **(settings or {})}
        chosen = msgspec.structs.replace(Settings(), database_url=database, data_dir=folder, **own)
        async with open_shop(chosen, clock=clock) as opened:
            managers = process_managers(opened.shop, automatic=chosen.fulfilment == "auto", name="test", ttl=2.0)
            tasks = [
                asyncio.create_task(manager.run()) for manager in managers if roles is None or manager.name in roles
            ]
            try:
                yield Saga(opened, counterpart)
            finally:
                await end(tasks)
