"""Stock as the warehouse books it: units come in, counts are put right, in a warehouse that there is."""

from collections.abc import Callable

from emporium.application.ports import Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Reason
from emporium.domain.stock import STOCK, SetLowStockMark, StockState, stock_id_of
from emporium.domain.warehouse import WAREHOUSES, warehouses_id

__all__ = ["book"]

NO_SUCH_WAREHOUSE = Reason("unknown_warehouse", "There is no open warehouse {warehouse}.", "missing")

Keep = Callable[[StockState], Idempotency | None]


async def book(
    shop: Shop, command: Command, sku: str, warehouse: str, cause: Meta, keep: Keep = lambda _: None
) -> tuple[StockState, Committed]:
    """Carries out a command for one stock and tells what lies there then. Raises `Rejected` (unknown_warehouse …).

    A stock whose mark nobody has set follows the mark of the shop's settings.
    """
    stream = stock_id_of(sku, warehouse)
    mark = (await shop.terms.now(shop.logs["ordering"])).low_stock_mark

    async def handler(work: Work) -> StockState:
        directory = await work.load(WAREHOUSES, warehouses_id())
        if directory is None or warehouse not in directory.in_order:
            raise NO_SUCH_WAREHOUSE(warehouse=warehouse)
        await work.load(STOCK, stream)
        work.decide(STOCK, stream, command)
        there = work.state(STOCK, stream)
        assert there is not None, "something was booked"
        if mark is not None and there.mark != mark and (there.mark is None or there.mark_by_default):
            default = SetLowStockMark(sku=sku, warehouse=warehouse, mark=mark, by_default=True)
            work.decide(STOCK, stream, default)
        after = work.state(STOCK, stream)
        assert after is not None, "something was booked"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("inventory", cause, handler)
