"""Stock as the warehouse books it: units come in, counts are put right, in a warehouse that there is."""

from collections.abc import Callable

from emporium.application.ports import Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Reason
from emporium.domain.stock import STOCK, StockState, stock_id_of
from emporium.domain.warehouse import WAREHOUSES, warehouses_id

__all__ = ["book"]

NO_SUCH_WAREHOUSE = Reason("unknown_warehouse", "There is no open warehouse {warehouse}.", "missing")

Keep = Callable[[StockState], Idempotency | None]


async def book(
    shop: Shop, command: Command, sku: str, warehouse: str, cause: Meta, keep: Keep = lambda _: None
) -> tuple[StockState, Committed]:
    """Carries out a command for one stock and tells what lies there then. Raises `Rejected` (unknown_warehouse …)."""
    stream = stock_id_of(sku, warehouse)

    async def handler(work: Work) -> StockState:
        directory = await work.load(WAREHOUSES, warehouses_id())
        if directory is None or warehouse not in directory.in_order:
            raise NO_SUCH_WAREHOUSE(warehouse=warehouse)
        await work.load(STOCK, stream)
        work.decide(STOCK, stream, command)
        after = work.state(STOCK, stream)
        assert after is not None, "something was booked"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("inventory", cause, handler)
