"""Units of an order that are cancelled before they leave, as a part of its order: wanted, cancelled or refused.

What a cancelled unit is worth goes by the rule of returns: its share of what its line really costs, so that all
parts of a line add up to it. Discounts stay shared out as they were agreed, also where a coupon's minimum is no
longer reached, and shipping is owed as long as anything is sent. Whoever cancels all that is left cancels the
order, and its shipping goes back as well.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Command, Event, Money, Reason, Sealed, check_quantity
from emporium.domain.text import check_text

__all__ = [
    "CANCELLED",
    "REFUSED",
    "REQUESTED",
    "CancelLines",
    "CancelledLine",
    "Cancellation",
    "ConfirmLinesCancellation",
    "LinesCancellationRefused",
    "LinesCancellationRequested",
    "OrderLinesCancelled",
    "RefuseLinesCancellation",
    "UnwantedLine",
    "evolve",
    "request",
    "spoken_for",
]

REQUESTED, CANCELLED, REFUSED = "requested", "cancelled", "refused"

MAX_CANCELLATIONS: Final = 100
"""In so many parts units of one order can be cancelled."""

TEXT_MOST: Final = 500


class UnwantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that shall not be sent."""

    line: int
    sku: str
    quantity: int


class CancelledLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that will not be sent, and by how much the line is less for it.

    Attributes:
        total, discount, tax: what the line loses of each.
        amount: what they were worth: total less discount, with the tax where the prices do not contain it.
    """

    line: int
    sku: str
    quantity: int
    total: Money
    discount: Money
    tax: Money
    amount: Money


# --- events ----------------------------------------------------------------------------------------


class LinesCancellationRequested(Event, frozen=True, kw_only=True):
    """Somebody wants some units not to be sent; shipping says whether they can still be left out.

    `words` are why, where that is more than a word of ours.
    """

    order_id: UUID
    cancellation_id: UUID
    lines: tuple[UnwantedLine, ...]
    reason: str
    words: Sealed | None = None


class OrderLinesCancelled(Event, frozen=True, kw_only=True):
    """These units are not sent, and the order is less by them.

    Attributes:
        amount: what is given back: the units' worth, or what is left of it where money was given back before.
        left_out: parcels in which nothing is left.
    """

    order_id: UUID
    cancellation_id: UUID
    lines: tuple[CancelledLine, ...]
    amount: Money
    left_out: int = 0


class LinesCancellationRefused(Event, frozen=True, kw_only=True):
    """It was too late: the units are packed."""

    order_id: UUID
    cancellation_id: UUID
    reason: str


# --- state -----------------------------------------------------------------------------------------


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """What an order remembers of it; `amount` is what is given back, in minor units."""

    status: str
    lines: tuple[UnwantedLine, ...]
    amount: int = 0


# --- commands --------------------------------------------------------------------------------------


class CancelLines(Command, frozen=True, kw_only=True):
    """`lines` are (line number, units). Staff can also cancel what has not left yet of an order that has in part."""

    order_id: UUID
    cancellation_id: UUID
    lines: tuple[tuple[int, int], ...]
    reason: str
    words: Sealed | None = None
    by_staff: bool = False


class ConfirmLinesCancellation(Command, frozen=True, kw_only=True):
    order_id: UUID
    cancellation_id: UUID
    left_out: int = 0


class RefuseLinesCancellation(Command, frozen=True, kw_only=True):
    order_id: UUID
    cancellation_id: UUID
    reason: str


# --- reasons ---------------------------------------------------------------------------------------

CANCELLATION_EMPTY = Reason("cancellation_empty", "No line is named.", "invalid")
NO_SUCH_LINE_TO_CANCEL = Reason("no_such_line_to_cancel", "The order has no line {line}.", "invalid")
MORE_THAN_LEFT = Reason("more_than_left", "Of line {line} at most {left} units can still be cancelled, not {quantity}.")
TOO_MANY_CANCELLATIONS = Reason("too_many_cancellations", "An order can be cancelled in at most {most} parts.")
NO_SUCH_CANCELLATION = Reason("no_such_cancellation", "Nobody asked for this cancellation.", "missing")


# --- decide ----------------------------------------------------------------------------------------


def request(
    command: CancelLines,
    skus: Mapping[int, str],
    left: Mapping[int, int],
    known: Mapping[UUID, Cancellation],
) -> LinesCancellationRequested:
    """The wish, where so many units are left; `skus` and `left` (units that can be cancelled) are by line number."""
    if not command.lines:
        raise CANCELLATION_EMPTY()
    if len(known) >= MAX_CANCELLATIONS:
        raise TOO_MANY_CANCELLATIONS(most=MAX_CANCELLATIONS)
    wanted: dict[int, int] = {}
    for number, quantity in command.lines:
        if number not in skus:
            raise NO_SUCH_LINE_TO_CANCEL(line=number)
        wanted[number] = wanted.get(number, 0) + check_quantity(quantity)
        if wanted[number] > left[number]:
            raise MORE_THAN_LEFT(line=number, left=left[number], quantity=wanted[number])
    return LinesCancellationRequested(
        order_id=command.order_id,
        cancellation_id=command.cancellation_id,
        lines=tuple(UnwantedLine(line=n, sku=skus[n], quantity=units) for n, units in wanted.items()),
        reason=check_text("reason", command.reason, TEXT_MOST),
        words=command.words,
    )


def spoken_for(known: Mapping[UUID, Cancellation]) -> dict[int, int]:
    """Units by line that are to be cancelled, where shipping has not answered yet."""
    units: dict[int, int] = {}
    for one in known.values():
        for line in one.lines if one.status == REQUESTED else ():
            units[line.line] = units.get(line.line, 0) + line.quantity
    return units


# --- evolve ----------------------------------------------------------------------------------------


def evolve(
    known: Mapping[UUID, Cancellation],
    event: LinesCancellationRequested | OrderLinesCancelled | LinesCancellationRefused,
) -> dict[UUID, Cancellation]:
    """The cancellations of the order after the event."""
    match event:
        case LinesCancellationRequested():
            after = Cancellation(status=REQUESTED, lines=event.lines)
        case OrderLinesCancelled():
            after = replace(known[event.cancellation_id], status=CANCELLED, amount=event.amount.amount)
        case LinesCancellationRefused():
            after = replace(known[event.cancellation_id], status=REFUSED)
    return {**known, event.cancellation_id: after}
