"""The units of one SKU in one warehouse: received, adjusted, reserved, released, shipped, returned."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import MAX_QUANTITY, Aggregate, Command, Event, Reason, State, check_quantity, stream_id
from emporium.domain.text import check_shape, check_text

TEXT_MOST: Final = 500


def stock_id_of(sku: str, warehouse: str) -> UUID:
    """The id of the stream of this SKU in this warehouse."""
    return stream_id("stock", sku, warehouse)


# --- events ----------------------------------------------------------------------------------------


class UnitsReceived(Event, frozen=True, kw_only=True):
    """Units came in from a supplier."""

    sku: str
    warehouse: str
    quantity: int
    reference: str = ""


class StockAdjusted(Event, frozen=True, kw_only=True):
    """The count was wrong, or units were written off: `change` is signed."""

    sku: str
    warehouse: str
    change: int
    reason: str


class UnitsReserved(Event, frozen=True, kw_only=True):
    """Units are set aside for an order."""

    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class UnitsReleased(Event, frozen=True, kw_only=True):
    """Units that were set aside are free again."""

    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class UnitsShipped(Event, frozen=True, kw_only=True):
    """Units that were set aside have left."""

    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class UnitsReturned(Event, frozen=True, kw_only=True):
    """Units came back from a customer and can be sold again."""

    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class LowStockMarkSet(Event, frozen=True, kw_only=True):
    """From `mark` available units down, the level is low. `by_default`: the shop's settings say so, nobody else."""

    sku: str
    warehouse: str
    mark: int
    by_default: bool = False


class StockLevelLow(Event, frozen=True, kw_only=True):
    """The available units have fallen to the mark or below; once per crossing."""

    sku: str
    warehouse: str
    available: int
    mark: int


# --- state -----------------------------------------------------------------------------------------


class StockState(State, frozen=True, kw_only=True):
    """Units on hand and, of these, reserved. Always 0 ≤ reserved ≤ on_hand."""

    sku: str
    warehouse: str
    on_hand: int = 0
    reserved: int = 0
    mark: int | None = None
    low: bool = False
    mark_by_default: bool = False

    @property
    def available(self) -> int:
        """Units that can still be promised."""
        return self.on_hand - self.reserved


# --- commands --------------------------------------------------------------------------------------


class ReceiveUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    quantity: int
    reference: str = ""


class AdjustStock(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    change: int
    reason: str


class SetLowStockMark(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    mark: int
    by_default: bool = False


class ReserveUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class ReleaseUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class ShipUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


class TakeBackUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    order_id: UUID
    quantity: int


# --- reasons ---------------------------------------------------------------------------------------

OUT_OF_STOCK = Reason("out_of_stock", "Of {sku} {available} are available, {wanted} were wanted.")
ADJUSTMENT_TOO_LARGE = Reason(
    "adjustment_too_large", "Of {sku} in {warehouse} only {available} units are free; {change} cannot be booked."
)
CHANGE_OUT_OF_RANGE = Reason(
    "change_out_of_range",
    "A change is a whole number other than zero, at most {most} either way, not {change}.",
    "invalid",
)
NOT_RESERVED = Reason("not_reserved", "Of {sku} in {warehouse} only {reserved} units are reserved, not {quantity}.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, stock: StockState | None) -> Sequence[Event]:
    """The events that the command makes of this stock, StockLevelLow where the mark is crossed. Raises Rejected."""
    event = _decide(command, stock)
    after = evolve(stock, event)
    if after.mark is not None and after.available <= after.mark and not (stock is not None and stock.low):
        return [
            event,
            StockLevelLow(sku=after.sku, warehouse=after.warehouse, available=after.available, mark=after.mark),
        ]
    return [event]


def _decide(command: Command, stock: StockState | None) -> Event:
    on_hand, reserved = (stock.on_hand, stock.reserved) if stock is not None else (0, 0)
    if stock is None and isinstance(command, ReceiveUnits | AdjustStock | SetLowStockMark):
        check_shape("sku", command.sku, "sku")
        check_shape("warehouse", command.warehouse, "code")
    match command:
        case ReceiveUnits():
            return UnitsReceived(
                sku=command.sku,
                warehouse=command.warehouse,
                quantity=check_quantity(command.quantity),
                reference=check_text("reference", command.reference, TEXT_MOST, least=0),
            )
        case AdjustStock():
            if command.change == 0 or abs(command.change) > MAX_QUANTITY:
                raise CHANGE_OUT_OF_RANGE(change=command.change, most=MAX_QUANTITY)
            if on_hand - reserved + command.change < 0:
                raise ADJUSTMENT_TOO_LARGE(
                    sku=command.sku, warehouse=command.warehouse, available=on_hand - reserved, change=command.change
                )
            return StockAdjusted(
                sku=command.sku,
                warehouse=command.warehouse,
                change=command.change,
                reason=check_text("reason", command.reason, TEXT_MOST),
            )
        case SetLowStockMark():
            if not 0 <= command.mark <= MAX_QUANTITY:
                raise CHANGE_OUT_OF_RANGE(change=command.mark, most=MAX_QUANTITY)
            return LowStockMarkSet(
                sku=command.sku, warehouse=command.warehouse, mark=command.mark, by_default=command.by_default
            )
        case ReserveUnits():
            quantity = check_quantity(command.quantity)
            if on_hand - reserved < quantity:
                raise OUT_OF_STOCK(sku=command.sku, available=on_hand - reserved, wanted=quantity)
            return UnitsReserved(
                sku=command.sku, warehouse=command.warehouse, order_id=command.order_id, quantity=quantity
            )
        case ReleaseUnits():
            return UnitsReleased(
                sku=command.sku,
                warehouse=command.warehouse,
                order_id=command.order_id,
                quantity=_check_reserved(command.sku, command.warehouse, command.quantity, reserved),
            )
        case ShipUnits():
            return UnitsShipped(
                sku=command.sku,
                warehouse=command.warehouse,
                order_id=command.order_id,
                quantity=_check_reserved(command.sku, command.warehouse, command.quantity, reserved),
            )
        case TakeBackUnits():
            return UnitsReturned(
                sku=command.sku,
                warehouse=command.warehouse,
                order_id=command.order_id,
                quantity=check_quantity(command.quantity),
            )
        case _:
            raise TypeError(f"stock does not know {type(command).__name__}")


def _check_reserved(sku: str, warehouse: str, quantity: int, reserved: int) -> int:
    check_quantity(quantity)
    if quantity > reserved:
        raise NOT_RESERVED(sku=sku, warehouse=warehouse, reserved=reserved, quantity=quantity)
    return quantity


# --- evolve ----------------------------------------------------------------------------------------


def evolve(stock: StockState | None, event: Event) -> StockState:
    """The stock after the event."""
    match event:
        case UnitsReceived(quantity=quantity) | UnitsReturned(quantity=quantity):
            return _moved(stock, event.sku, event.warehouse, quantity, 0)
        case StockAdjusted():
            return _moved(stock, event.sku, event.warehouse, event.change, 0)
        case UnitsReserved():
            return _moved(stock, event.sku, event.warehouse, 0, event.quantity)
        case UnitsReleased():
            return _moved(stock, event.sku, event.warehouse, 0, -event.quantity)
        case UnitsShipped():
            return _moved(stock, event.sku, event.warehouse, -event.quantity, -event.quantity)
        case LowStockMarkSet():
            before = stock or StockState(sku=event.sku, warehouse=event.warehouse)
            low = before.low and before.available <= event.mark
            return replace(before, mark=event.mark, mark_by_default=event.by_default, low=low)
        case StockLevelLow():
            return replace(stock or StockState(sku=event.sku, warehouse=event.warehouse), low=True)
        case _:
            raise TypeError(f"stock does not know {type(event).__name__}")


def _moved(stock: StockState | None, sku: str, warehouse: str, on_hand: int, reserved: int) -> StockState:
    before = stock or StockState(sku=sku, warehouse=warehouse)
    available = before.available + on_hand - reserved
    return StockState(
        sku=sku,
        warehouse=warehouse,
        on_hand=before.on_hand + on_hand,
        reserved=before.reserved + reserved,
        mark=before.mark,
        mark_by_default=before.mark_by_default,
        low=before.low and before.mark is not None and available <= before.mark,
    )


STOCK: Final = Aggregate(
    name="Stock",
    log="inventory",
    state=StockState,
    events=(
        UnitsReceived,
        StockAdjusted,
        UnitsReserved,
        UnitsReleased,
        UnitsShipped,
        UnitsReturned,
        LowStockMarkSet,
        StockLevelLow,
    ),
    decide=decide,
    evolve=evolve,
)
