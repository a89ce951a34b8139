"""The directory of warehouses: one stream, read before every allocation, in the order in which they are preferred."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.text import check_shape, check_text

MAX_WAREHOUSES: Final = 500
MAX_PRIORITY: Final = 1_000
NAME_MOST: Final = 100


def warehouses_id() -> UUID:
    """The id of the only stream of warehouses."""
    return stream_id("warehouses")


# --- events ----------------------------------------------------------------------------------------


class WarehouseOpened(Event, frozen=True, kw_only=True):
    """Orders can be filled from this warehouse; of two, the one with the smaller `priority` is preferred."""

    code: str
    name: str
    country: str
    priority: int


class WarehouseChanged(Event, frozen=True, kw_only=True):
    """The warehouse has another name, or is preferred more or less than it was."""

    code: str
    name: str
    priority: int


class WarehouseClosed(Event, frozen=True, kw_only=True):
    """Nothing new is taken from the warehouse; what is reserved there may still leave."""

    code: str


# --- state -----------------------------------------------------------------------------------------


class Warehouse(msgspec.Struct, frozen=True, kw_only=True):
    """A place that fills orders; `country` is ISO 3166 alpha-2."""

    code: str
    name: str
    country: str
    priority: int


class WarehousesState(State, frozen=True, kw_only=True):
    """The open warehouses in order of preference: by priority, then by code."""

    warehouses: tuple[Warehouse, ...] = ()

    @property
    def in_order(self) -> tuple[str, ...]:
        """The codes of the open warehouses, the most preferred first."""
        return tuple(one.code for one in self.warehouses)

    def find(self, code: str) -> Warehouse | None:
        """The open warehouse with this code."""
        return next((one for one in self.warehouses if one.code == code), None)


# --- commands --------------------------------------------------------------------------------------


class OpenWarehouse(Command, frozen=True, kw_only=True):
    code: str
    name: str
    country: str
    priority: int


class ChangeWarehouse(Command, frozen=True, kw_only=True):
    """None: as it is."""

    code: str
    name: str | None = None
    priority: int | None = None


class CloseWarehouse(Command, frozen=True, kw_only=True):
    code: str


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_WAREHOUSE = Reason("no_such_warehouse", "There is no open warehouse {code}.", "missing")
WAREHOUSE_EXISTS = Reason("warehouse_exists", "The warehouse {code} is open already, as {name}.")
TOO_MANY_WAREHOUSES = Reason("too_many_warehouses", "There can be at most {most} open warehouses.")
PRIORITY_OUT_OF_RANGE = Reason(
    "priority_out_of_range", "A priority is a whole number from 0 to {most}, not {priority}.", "invalid"
)


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, directory: WarehousesState | None) -> Sequence[Event]:
    """The events that the command makes of the directory. Raises Rejected."""
    directory = directory or WarehousesState()
    match command:
        case OpenWarehouse():
            check_shape("code", command.code, "code")
            check_shape("country", command.country, "country")
            name = check_text("name", command.name, NAME_MOST)
            _check_priority(command.priority)
            opened = WarehouseOpened(code=command.code, name=name, country=command.country, priority=command.priority)
            there = directory.find(command.code)
            if there is not None:
                if there == _warehouse(opened):
                    return []
                raise WAREHOUSE_EXISTS(code=command.code, name=there.name)
            if len(directory.warehouses) >= MAX_WAREHOUSES:
                raise TOO_MANY_WAREHOUSES(most=MAX_WAREHOUSES)
            return [opened]
        case ChangeWarehouse():
            there = directory.find(command.code)
            if there is None:
                raise NO_SUCH_WAREHOUSE(code=command.code)
            changed = WarehouseChanged(
                code=command.code,
                name=there.name if command.name is None else check_text("name", command.name, NAME_MOST),
                priority=there.priority if command.priority is None else _check_priority(command.priority),
            )
            return [] if (changed.name, changed.priority) == (there.name, there.priority) else [changed]
        case CloseWarehouse():
            if directory.find(command.code) is None:
                raise NO_SUCH_WAREHOUSE(code=command.code)
            return [WarehouseClosed(code=command.code)]
        case _:
            raise TypeError(f"the warehouses do not know {type(command).__name__}")


def _check_priority(priority: int) -> int:
    if not 0 <= priority <= MAX_PRIORITY:
        raise PRIORITY_OUT_OF_RANGE(priority=priority, most=MAX_PRIORITY)
    return priority


def _warehouse(event: WarehouseOpened) -> Warehouse:
    return Warehouse(code=event.code, name=event.name, country=event.country, priority=event.priority)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(directory: WarehousesState | None, event: Event) -> WarehousesState:
    """The directory after the event."""
    there = directory.warehouses if directory is not None else ()
    match event:
        case WarehouseOpened():
            return _ordered((*there, _warehouse(event)))
        case WarehouseChanged():
            changed = (
                replace(one, name=event.name, priority=event.priority) if one.code == event.code else one
                for one in there
            )
            return _ordered(changed)
        case WarehouseClosed():
            return WarehousesState(warehouses=tuple(one for one in there if one.code != event.code))
        case _:
            raise TypeError(f"the warehouses do not know {type(event).__name__}")


def _ordered(warehouses: Iterable[Warehouse]) -> WarehousesState:
    return WarehousesState(warehouses=tuple(sorted(warehouses, key=lambda one: (one.priority, one.code))))


WAREHOUSES: Final = Aggregate(
    name="Warehouses",
    log="inventory",
    state=WarehousesState,
    events=(WarehouseOpened, WarehouseChanged, WarehouseClosed),
    decide=decide,
    evolve=evolve,
)
