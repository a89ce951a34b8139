"""The units of one SKU in one warehouse: what came, moved, is set aside, left and came back, and what a unit costs."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import (
    AMOUNT_OUT_OF_RANGE,
    MAX_AMOUNT,
    MAX_QUANTITY,
    Aggregate,
    Command,
    Event,
    Money,
    Reason,
    State,
    check_quantity,
    stream_id,
)
from emporium.domain.text import check_shape, check_text

TEXT_MOST: Final = 500

PARTS: Final = 10_000
"""Parts of a minor unit in which the average cost of a unit is kept: so an average loses nothing that can be seen."""

CORRECTION, COUNTED, DAMAGED, EXPIRED, LOST, FOUND, TO_SUPPLIER, OWN_USE = KINDS = (
    "correction",
    "counted",
    "damaged",
    "expired",
    "lost",
    "found",
    "returned_to_supplier",
    "own_use",
)
"""Why the units on hand can become others than what was received, moved and shipped."""


class Cost(msgspec.Struct, frozen=True):
    """What one unit costs on average: ten-thousandths of a minor unit of a currency."""

    parts: int
    currency: str


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
    unit_cost: Money | None = None


class StockAdjusted(Event, frozen=True, kw_only=True):
    """The count was wrong, or units were written off: `change` is signed, `kind` one of KINDS.

    `count_id` is the count that found the difference, `reference` the supplier's or one's own.
    """

    sku: str
    warehouse: str
    change: int
    reason: str
    kind: str = CORRECTION
    reference: str = ""
    count_id: UUID | None = None


class UnitsSentAway(Event, frozen=True, kw_only=True):
    """Units left for another warehouse; `cost` is what each of them costs."""

    sku: str
    warehouse: str
    transfer_id: UUID
    quantity: int
    cost: Cost | None = None


class UnitsArrived(Event, frozen=True, kw_only=True):
    """Units came in from another warehouse."""

    sku: str
    warehouse: str
    transfer_id: UUID
    quantity: int
    cost: Cost | None = None


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
    """Units on hand and, of these, reserved. Always 0 ≤ reserved ≤ on_hand.

    Attributes:
        shipped: how many have left for customers, ever.
        cost: the moving average of what a unit cost; None until a receipt says it.
    """

    sku: str
    warehouse: str
    on_hand: int = 0
    reserved: int = 0
    mark: int | None = None
    low: bool = False
    mark_by_default: bool = False
    shipped: int = 0
    cost: Cost | None = None

    @property
    def available(self) -> int:
        """Units that can still be promised."""
        return self.on_hand - self.reserved

    @property
    def value(self) -> Money | None:
        """What the units on hand are worth at their average cost; None where nobody has said what they cost."""
        return None if self.cost is None else value_of(self.on_hand, self.cost)


def value_of(quantity: int, cost: Cost) -> Money:
    """What so many units cost, rounded half up to a minor unit."""
    return Money((quantity * cost.parts * 2 + PARTS) // (PARTS * 2), cost.currency)


def averaged(on_hand: int, cost: Cost | None, quantity: int, other: Cost | None) -> Cost | None:
    """The average once `quantity` units that cost `other` have come to those on hand.

    Units of unknown cost are taken to cost what the others do; so are those of another currency.
    """
    if cost is None or other is None or cost.currency != other.currency:
        return cost or other
    units = on_hand + quantity
    return Cost(((on_hand * cost.parts + quantity * other.parts) * 2 + units) // (units * 2), cost.currency)


# --- commands --------------------------------------------------------------------------------------


class ReceiveUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    quantity: int
    reference: str = ""
    unit_cost: Money | None = None


class AdjustStock(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    change: int
    reason: str
    kind: str = CORRECTION
    reference: str = ""
    count_id: UUID | None = None


class SendUnitsAway(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    transfer_id: UUID
    quantity: int


class TakeInUnits(Command, frozen=True, kw_only=True):
    sku: str
    warehouse: str
    transfer_id: UUID
    quantity: int
    cost: Cost | None = None


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
COST_CURRENCY = Reason(
    "cost_currency", "What {sku} in {warehouse} costs is known in {there}; it cannot be told in {currency}.", "invalid"
)
UNKNOWN_KIND = Reason("unknown_kind", "{kind} is no kind of adjustment: they are {known}.", "invalid")
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
    if stock is None and isinstance(command, ReceiveUnits | AdjustStock | SetLowStockMark | TakeInUnits):
        check_shape("sku", command.sku, "sku")
        check_shape("warehouse", command.warehouse, "code")
    match command:
        case ReceiveUnits():
            if command.unit_cost is not None:
                _check_cost(command.unit_cost, stock)
            return UnitsReceived(
                sku=command.sku,
                warehouse=command.warehouse,
                quantity=check_quantity(command.quantity),
                reference=check_text("reference", command.reference, TEXT_MOST, least=0),
                unit_cost=command.unit_cost,
            )
        case AdjustStock():
            if command.change == 0 or abs(command.change) > MAX_QUANTITY:
                raise CHANGE_OUT_OF_RANGE(change=command.change, most=MAX_QUANTITY)
            if on_hand - reserved + command.change < 0:
                raise ADJUSTMENT_TOO_LARGE(
                    sku=command.sku, warehouse=command.warehouse, available=on_hand - reserved, change=command.change
                )
            if command.kind not in KINDS:
                raise UNKNOWN_KIND(field="kind", kind=command.kind, known=", ".join(KINDS))
            return StockAdjusted(
                sku=command.sku,
                warehouse=command.warehouse,
                change=command.change,
                reason=check_text("reason", command.reason, TEXT_MOST),
                kind=command.kind,
                reference=check_text("reference", command.reference, TEXT_MOST, least=0),
                count_id=command.count_id,
            )
        case SendUnitsAway():
            quantity = check_quantity(command.quantity)
            if on_hand - reserved < quantity:
                raise OUT_OF_STOCK(sku=command.sku, available=on_hand - reserved, wanted=quantity)
            return UnitsSentAway(
                sku=command.sku,
                warehouse=command.warehouse,
                transfer_id=command.transfer_id,
                quantity=quantity,
                cost=None if stock is None else stock.cost,
            )
        case TakeInUnits():
            return UnitsArrived(
                sku=command.sku,
                warehouse=command.warehouse,
                transfer_id=command.transfer_id,
                quantity=check_quantity(command.quantity),
                cost=command.cost,
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


def _check_cost(cost: Money, stock: StockState | None) -> None:
    check_shape("unit_cost", cost.currency, "currency")
    if not 0 <= cost.amount <= MAX_AMOUNT:
        raise AMOUNT_OUT_OF_RANGE(amount=cost.amount)
    there = None if stock is None else stock.cost
    if stock is not None and there is not None and there.currency != cost.currency:
        raise COST_CURRENCY(
            field="unit_cost", sku=stock.sku, warehouse=stock.warehouse, there=there.currency, currency=cost.currency
        )


def _check_reserved(sku: str, warehouse: str, quantity: int, reserved: int) -> int:
    check_quantity(quantity)
    if quantity > reserved:
        raise NOT_RESERVED(sku=sku, warehouse=warehouse, reserved=reserved, quantity=quantity)
    return quantity


# --- evolve ----------------------------------------------------------------------------------------

_Move = (
    UnitsReceived
    | UnitsArrived
    | UnitsReturned
    | StockAdjusted
    | UnitsSentAway
    | UnitsReserved
    | UnitsReleased
    | UnitsShipped
)


def evolve(stock: StockState | None, event: Event) -> StockState:
    """The stock after the event."""
    match event:
        case UnitsReceived():
            cost = event.unit_cost
            return _moved(
                stock, event, event.quantity, cost=None if cost is None else Cost(cost.amount * PARTS, cost.currency)
            )
        case UnitsArrived():
            return _moved(stock, event, event.quantity, cost=event.cost)
        case UnitsReturned():
            return _moved(stock, event, event.quantity)
        case StockAdjusted():
            return _moved(stock, event, event.change)
        case UnitsSentAway():
            return _moved(stock, event, -event.quantity)
        case UnitsReserved():
            return _moved(stock, event, 0, event.quantity)
        case UnitsReleased():
            return _moved(stock, event, 0, -event.quantity)
        case UnitsShipped():
            return _moved(stock, event, -event.quantity, -event.quantity, event.quantity)
        case LowStockMarkSet():
            before = stock or StockState(sku=event.sku, warehouse=event.warehouse)
            low = before.low and before.available <= event.mark
            return replace(before, mark=event.mark, mark_by_default=event.by_default, low=low)
        case StockLevelLow():
            return replace(stock or StockState(sku=event.sku, warehouse=event.warehouse), low=True)
        case _:
            raise TypeError(f"stock does not know {type(event).__name__}")


def _moved(
    stock: StockState | None, event: _Move, on_hand: int, reserved: int = 0, shipped: int = 0, cost: Cost | None = None
) -> StockState:
    before = stock or StockState(sku=event.sku, warehouse=event.warehouse)
    available = before.available + on_hand - reserved
    return StockState(
        sku=event.sku,
        warehouse=event.warehouse,
        on_hand=before.on_hand + on_hand,
        reserved=before.reserved + reserved,
        mark=before.mark,
        mark_by_default=before.mark_by_default,
        low=before.low and before.mark is not None and available <= before.mark,
        shipped=before.shipped + shipped,
        cost=before.cost if cost is None else averaged(before.on_hand, before.cost, on_hand, cost),
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
        UnitsSentAway,
        UnitsArrived,
    ),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
