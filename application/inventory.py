"""Stock as the warehouse books it: goods in, counts put right, transfers, in warehouses that there are."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from emporium.application.commands import handle
from emporium.application.ports import EventLog, Idempotency, Meta, Recorded
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Reason
from emporium.domain.stock import (
    COUNTED,
    STOCK,
    AdjustStock,
    SendUnitsAway,
    SetLowStockMark,
    StockState,
    TakeInUnits,
    evolve,
    stock_id_of,
)
from emporium.domain.stock_count import STOCK_COUNT, CountLine, RecordCount, StockCountState
from emporium.domain.transfer import (
    TRANSFER,
    LoseTransfer,
    ReceiveTransfer,
    SendTransfer,
    TransferArrived,
    TransferLine,
    TransferState,
)
from emporium.domain.warehouse import WAREHOUSES, Warehouse, warehouses_id

__all__ = ["Counted", "Place", "at", "book", "count", "direct", "move", "movements", "send"]

NO_SUCH_WAREHOUSE = Reason("unknown_warehouse", "There is no open warehouse {warehouse}.", "missing")

T = TypeVar("T")

Keep = Callable[[T], Idempotency | None]

Counted = tuple[str, int, datetime]
"""SKU, units that lay there, and when."""

Place = tuple[str, str]
"""A SKU and a warehouse."""

_STRETCH: Final = 250
"""Events of a stock that are read at once."""


async def direct(
    shop: Shop, command: Command, code: str, cause: Meta, keep: Keep[Warehouse | None] = lambda _: None
) -> tuple[Warehouse | None, Committed]:
    """Opens, changes or closes a warehouse: what it is then, None where it is closed. Raises `Rejected`."""

    async def handler(work: Work) -> Warehouse | None:
        await work.load(WAREHOUSES, warehouses_id())
        work.decide(WAREHOUSES, warehouses_id(), command)
        directory = work.state(WAREHOUSES, warehouses_id())
        after = None if directory is None else directory.find(code)
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("inventory", cause, handler)


async def book(
    shop: Shop, command: Command, sku: str, warehouse: str, cause: Meta, keep: Keep[StockState] = lambda _: None
) -> tuple[StockState, Committed]:
    """Carries out a command for one stock and tells what lies there then. Raises `Rejected` (unknown_warehouse …).

    A stock whose mark nobody has set follows the mark of the shop's settings.
    """
    stream = stock_id_of(sku, warehouse)
    mark = (await shop.terms.now(shop.logs["ordering"])).low_stock_mark

    async def handler(work: Work) -> StockState:
        await _open(work, warehouse)
        await handle(work, command)
        there = _there(work, stream)
        if mark is not None and there.mark != mark and (there.mark is None or there.mark_by_default):
            default = SetLowStockMark(sku=sku, warehouse=warehouse, mark=mark, by_default=True)
            work.decide(STOCK, stream, default)
        after = _there(work, stream)
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("inventory", cause, handler)


# --- transfers -------------------------------------------------------------------------------------


async def send(
    shop: Shop,
    *,
    transfer_id: UUID,
    source: str,
    target: str,
    units: Mapping[str, int],
    reference: str,
    cause: Meta,
    keep: Keep[TransferState] = lambda _: None,
) -> tuple[TransferState, Committed]:
    """Lets units leave for another warehouse, all or none. Raises `Rejected` (out_of_stock, unknown_warehouse …)."""

    async def handler(work: Work) -> TransferState:
        # What is closed may still be emptied; nothing is sent where nobody unpacks it.
        await _open(work, target)
        streams = {sku: stock_id_of(sku, source) for sku in units}
        await work.load_many(STOCK, streams.values())
        lines = []
        for sku, quantity in units.items():
            stock = work.state(STOCK, streams[sku])
            lines.append(TransferLine(sku, quantity, None if stock is None else stock.cost))
        work.begin(TRANSFER, transfer_id)
        await work.load(TRANSFER, transfer_id)
        command = SendTransfer(
            transfer_id=transfer_id, source=source, target=target, lines=tuple(lines), reference=reference
        )
        if work.decide(TRANSFER, transfer_id, command):
            for one in lines:
                away = SendUnitsAway(sku=one.sku, warehouse=source, transfer_id=transfer_id, quantity=one.quantity)
                work.decide(STOCK, streams[one.sku], away)
        return await _moved(work, transfer_id, keep)

    return await shop.run("inventory", cause, handler)


async def move(
    shop: Shop,
    command: ReceiveTransfer | LoseTransfer,
    cause: Meta,
    keep: Keep[TransferState] = lambda _: None,
) -> tuple[TransferState, Committed]:
    """Books what came of a transfer, into its target where it arrived. Raises `Rejected` (not_on_the_way …)."""

    async def handler(work: Work) -> TransferState:
        before = await work.load(TRANSFER, command.transfer_id)
        for event in work.decide(TRANSFER, command.transfer_id, command):
            if isinstance(event, TransferArrived) and before is not None:
                await _take_in(work, before, event)
        return await _moved(work, command.transfer_id, keep)

    return await shop.run("inventory", cause, handler)


async def _take_in(work: Work, transfer: TransferState, arrived: TransferArrived) -> None:
    await work.load_many(STOCK, [stock_id_of(one.sku, transfer.target) for one in arrived.lines])
    for one in arrived.lines:
        take_in = TakeInUnits(
            sku=one.sku,
            warehouse=transfer.target,
            transfer_id=transfer.transfer_id,
            quantity=one.quantity,
            cost=one.cost,
        )
        await handle(work, take_in)


async def _moved(work: Work, transfer_id: UUID, keep: Keep[TransferState]) -> TransferState:
    after = work.state(TRANSFER, transfer_id)
    assert after is not None, "a transfer that was decided on is there"
    work.unit.idempotency = keep(after)
    return after


# --- counts ----------------------------------------------------------------------------------------


async def count(
    shop: Shop,
    *,
    count_id: UUID,
    warehouse: str,
    counted: Sequence[Counted],
    note: str,
    cause: Meta,
    keep: Keep[StockCountState] = lambda _: None,
) -> tuple[StockCountState, Committed]:
    """Books the differences of a count, all or none. Raises `Rejected` (adjustment_too_large …).

    Each SKU is compared with what the book had on hand when it was counted, so that people may go on selling.
    """
    log = shop.logs["inventory"]

    async def handler(work: Work) -> StockCountState:
        await _open(work, warehouse)
        streams = {sku: stock_id_of(sku, warehouse) for sku, _, _ in counted}
        await work.load_many(STOCK, streams.values())
        lines = []
        for sku, units, at in counted:
            stock = work.state(STOCK, streams[sku])
            booked = (
                0 if stock is None else stock.on_hand - await _since(log, streams[sku], work.version(streams[sku]), at)
            )
            lines.append(CountLine(sku, units, booked, at))
            work.expect(streams[sku])
        work.begin(STOCK_COUNT, count_id)
        await work.load(STOCK_COUNT, count_id)
        command = RecordCount(count_id=count_id, warehouse=warehouse, lines=tuple(lines), now=work.now, note=note)
        if work.decide(STOCK_COUNT, count_id, command):
            for one in lines:
                if one.difference:
                    adjust = AdjustStock(
                        sku=one.sku,
                        warehouse=warehouse,
                        change=one.difference,
                        reason=f"counted {one.counted}, booked {one.booked}",
                        kind=COUNTED,
                        count_id=count_id,
                    )
                    await handle(work, adjust)
        after = work.state(STOCK_COUNT, count_id)
        assert after is not None, "the count was recorded"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("inventory", cause, handler)


async def _since(log: EventLog, stream: UUID, version: int, at: datetime) -> int:
    """By how many units what is on hand has grown after `at`, up to this version of the stock."""
    grown = 0
    while version > 0:
        after = max(0, version - _STRETCH)
        events = await log.stream(stream, after=after, limit=version - after)
        later = [one for one in events if one.at > at]
        # The domain's own arithmetic from an empty stock is the change.
        grown += sum(evolve(None, one.event).on_hand for one in later)
        if len(later) < len(events):
            return grown
        version = after
    return grown


# --- the past --------------------------------------------------------------------------------------


async def at(log: EventLog, places: Sequence[Place], moment: datetime) -> list[StockState | None]:
    """What lay in these places at a moment, from the events; None where nothing had ever been booked."""
    return [await _at(log, stock_id_of(*place), moment) for place in places]


async def _at(log: EventLog, stream: UUID, moment: datetime) -> StockState | None:
    state, version = None, 0
    while events := await log.stream(stream, after=version, limit=_STRETCH):
        for one in events:
            if one.at <= moment:
                state = evolve(state, one.event)
        if len(events) < _STRETCH or events[-1].at > moment:
            break
        version = events[-1].version
    return state


async def movements(
    log: EventLog, sku: str, tops: Mapping[str, int], limit: int
) -> tuple[list[tuple[str, Recorded]], dict[str, int]]:
    """The last `limit` events of a SKU, the newest first, and where each warehouse's next page begins.

    Args:
        tops: the last version to look at, by warehouse; none is left where it is 0.
    """
    found: list[tuple[str, Recorded]] = []
    for warehouse, top in tops.items():
        after = max(0, top - limit)
        if top:
            events = await log.stream(stock_id_of(sku, warehouse), after=after, limit=top - after)
            found += [(warehouse, one) for one in events]
    found.sort(key=lambda row: row[1].position, reverse=True)
    next_tops = dict(tops)
    for warehouse, one in found[:limit]:
        next_tops[warehouse] = one.version - 1
    return found[:limit], next_tops


async def _open(work: Work, warehouse: str) -> None:
    directory = await work.load(WAREHOUSES, warehouses_id())
    if directory is None or warehouse not in directory.in_order:
        raise NO_SUCH_WAREHOUSE(warehouse=warehouse)


def _there(work: Work, stream: UUID) -> StockState:
    there = work.state(STOCK, stream)
    assert there is not None, "something was booked"
    return there
