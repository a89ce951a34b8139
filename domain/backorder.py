"""What of one SKU may be sold before it is there, over all warehouses, and the orders that wait for it in turn."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import (
    QUANTITY_OUT_OF_RANGE,
    Aggregate,
    Command,
    Event,
    Reason,
    State,
    check_quantity,
    stream_id,
)
from emporium.domain.text import check_shape

BACKORDER, PREORDER = KINDS = ("backorder", "preorder")
"""Whether it comes again or for the first time."""

MAX_LIMIT: Final = 100_000
"""The most units of a SKU that may be waited for: a queue is decided on as a whole."""


def backorder_id_of(sku: str) -> UUID:
    """The id of the stream of this SKU's orders that wait."""
    return stream_id("backorder", sku)


# --- events ----------------------------------------------------------------------------------------


class BackorderAllowed(Event, frozen=True, kw_only=True):
    """From now on up to `limit` units may be sold that are not there; they are expected, or released, on a day."""

    sku: str
    kind: str
    limit: int
    expected: date


class BackorderEnded(Event, frozen=True, kw_only=True):
    """No more is sold than is there. Who waits already goes on waiting."""

    sku: str


class UnitsBackordered(Event, frozen=True, kw_only=True):
    """An order waits for units that are not there yet."""

    sku: str
    order_id: UUID
    quantity: int


class BackorderFilled(Event, frozen=True, kw_only=True):
    """Units that came are set aside for the order that waited for them."""

    sku: str
    order_id: UUID
    quantity: int


class BackorderReleased(Event, frozen=True, kw_only=True):
    """The order does not wait for these units any more: it came to nothing."""

    sku: str
    order_id: UUID
    quantity: int


# --- state -----------------------------------------------------------------------------------------


class BackorderState(State, frozen=True, kw_only=True):
    """The setting (`kind` is None where nothing may be sold beyond what is there), and the queue.

    Attributes:
        waiting: units by order, the one that has waited longest first.
    """

    sku: str
    kind: str | None = None
    limit: int = 0
    expected: date | None = None
    waiting: dict[UUID, int] = {}

    @property
    def backordered(self) -> int:
        """Units that orders wait for."""
        return sum(self.waiting.values())

    @property
    def left(self) -> int:
        """How many more units may be sold that are not there."""
        return max(0, self.limit - self.backordered)


# --- commands --------------------------------------------------------------------------------------


class AllowBackorder(Command, frozen=True, kw_only=True):
    sku: str
    kind: str
    limit: int
    expected: date
    today: date


class EndBackorder(Command, frozen=True, kw_only=True):
    sku: str


class BackorderUnits(Command, frozen=True, kw_only=True):
    """Let an order wait for so many units."""

    sku: str
    order_id: UUID
    quantity: int


class FillBackorder(Command, frozen=True, kw_only=True):
    """Units came for an order that waits."""

    sku: str
    order_id: UUID
    quantity: int


class ReleaseBackorder(Command, frozen=True, kw_only=True):
    """The order came to nothing."""

    sku: str
    order_id: UUID


# --- reasons ---------------------------------------------------------------------------------------

UNKNOWN_BACKORDER = Reason("unknown_backorder", "{kind} is neither of {known}.", "invalid")
EXPECTED_IN_PAST = Reason("expected_in_past", "{expected} is over: say when the goods are expected.", "invalid")
NO_BACKORDER = Reason("no_backorder", "{sku} is not sold beyond what is there.", "missing")
BACKORDER_LIMIT = Reason("backorder_limit", "Of {sku} only {left} more units can be waited for, not {quantity}.")
NOT_WAITING = Reason("not_waiting", "The order waits for {waiting} units of {sku}, not {quantity}.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, backorder: BackorderState | None) -> Sequence[Event]:
    """The events that the command makes of this SKU's backorders. Raises Rejected."""
    match command:
        case AllowBackorder():
            return _allow(command, backorder)
        case EndBackorder():
            if backorder is None or backorder.kind is None:
                raise NO_BACKORDER(sku=command.sku)
            return [BackorderEnded(sku=command.sku)]
        case BackorderUnits():
            if backorder is not None and command.order_id in backorder.waiting:
                return []
            left = 0 if backorder is None else backorder.left
            if check_quantity(command.quantity) > left:
                raise BACKORDER_LIMIT(sku=command.sku, left=left, quantity=command.quantity)
            return [UnitsBackordered(sku=command.sku, order_id=command.order_id, quantity=command.quantity)]
        case FillBackorder():
            waiting = 0 if backorder is None else backorder.waiting.get(command.order_id, 0)
            if check_quantity(command.quantity) > waiting:
                raise NOT_WAITING(sku=command.sku, waiting=waiting, quantity=command.quantity)
            return [BackorderFilled(sku=command.sku, order_id=command.order_id, quantity=command.quantity)]
        case ReleaseBackorder():
            waiting = 0 if backorder is None else backorder.waiting.get(command.order_id, 0)
            if not waiting:
                return []
            return [BackorderReleased(sku=command.sku, order_id=command.order_id, quantity=waiting)]
        case _:
            raise TypeError(f"a backorder does not know {type(command).__name__}")


def _allow(command: AllowBackorder, backorder: BackorderState | None) -> Sequence[Event]:
    check_shape("sku", command.sku, "sku")
    if command.kind not in KINDS:
        raise UNKNOWN_BACKORDER(field="kind", kind=command.kind, known=", ".join(KINDS))
    if not 1 <= command.limit <= MAX_LIMIT:
        raise QUANTITY_OUT_OF_RANGE(field="limit", quantity=command.limit, most=MAX_LIMIT)
    if command.expected < command.today:
        raise EXPECTED_IN_PAST(field="expected", expected=command.expected.isoformat())
    wish = (command.kind, command.limit, command.expected)
    if backorder is not None and (backorder.kind, backorder.limit, backorder.expected) == wish:
        return []
    return [
        BackorderAllowed(sku=command.sku, kind=command.kind, limit=command.limit, expected=command.expected),
    ]


# --- evolve ----------------------------------------------------------------------------------------


def evolve(backorder: BackorderState | None, event: Event) -> BackorderState:
    """The backorders after the event."""
    match event:
        case BackorderAllowed():
            before = backorder or BackorderState(sku=event.sku)
            return replace(before, kind=event.kind, limit=event.limit, expected=event.expected)
        case _ if backorder is None:
            raise ValueError("backorders begin with BackorderAllowed")
        case BackorderEnded():
            return replace(backorder, kind=None, limit=0, expected=None)
        case UnitsBackordered():
            return replace(backorder, waiting={**backorder.waiting, event.order_id: event.quantity})
        case BackorderFilled() | BackorderReleased():
            left = dict(backorder.waiting)
            left[event.order_id] -= event.quantity
            if not left[event.order_id]:
                del left[event.order_id]
            return replace(backorder, waiting=left)
        case _:
            raise TypeError(f"a backorder does not know {type(event).__name__}")


BACKORDERS: Final = Aggregate(
    name="Backorder",
    log="inventory",
    state=BackorderState,
    events=(BackorderAllowed, BackorderEnded, UnitsBackordered, BackorderFilled, BackorderReleased),
    decide=decide,
    evolve=evolve,
)
