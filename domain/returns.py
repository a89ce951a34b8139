"""A return, as a part of its order: requested by the customer, approved or refused by staff, received."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Command, Event, Reason, Sealed, check_quantity
from emporium.domain.text import check_text

__all__ = [
    "APPROVED",
    "RECEIVED",
    "REFUSED",
    "REQUESTED",
    "ApproveReturn",
    "ReceiveReturn",
    "ReceivedLine",
    "RefuseReturn",
    "RequestReturn",
    "ReturnApproved",
    "ReturnReceived",
    "ReturnRefused",
    "ReturnRequested",
    "ReturnState",
    "WantedLine",
    "evolve",
    "judge",
    "received",
    "request",
]

REQUESTED, APPROVED, REFUSED, RECEIVED = "requested", "approved", "refused", "received"

MAX_RETURNS: Final = 100
"""The most returns that one order may have."""

TEXT_MOST: Final = 500


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that the customer wants to send back, and why."""

    line: int
    quantity: int
    reason: str


class ReceivedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that came back; with `restock` they can be sold again, else they are written off."""

    line: int
    quantity: int
    restock: bool = True


# --- events ----------------------------------------------------------------------------------------


class ReturnRequested(Event, frozen=True, kw_only=True):
    """The customer wants to send units back; `words` are why, line by line, where that is more than a word of ours."""

    order_id: UUID
    return_id: UUID
    lines: tuple[WantedLine, ...]
    requested_at: datetime
    words: Sealed | None = None


class ReturnApproved(Event, frozen=True, kw_only=True):
    """The customer may send the units back; `note` tells how."""

    order_id: UUID
    return_id: UUID
    note: str | None = None


class ReturnRefused(Event, frozen=True, kw_only=True):
    """The units are not taken back, or never came; `words` are why, where that is more than a word of ours."""

    order_id: UUID
    return_id: UUID
    reason: str
    words: Sealed | None = None


class ReturnReceived(Event, frozen=True, kw_only=True):
    """The units are here; OrderReturned follows with the money."""

    order_id: UUID
    return_id: UUID
    lines: tuple[ReceivedLine, ...]


# --- state -----------------------------------------------------------------------------------------


class ReturnState(msgspec.Struct, frozen=True, kw_only=True):
    """What an order remembers of a return; `note` is what staff said last.

    `words` and `note_words` are people's own: why line by line, and what staff said.
    """

    status: str
    lines: tuple[WantedLine, ...]
    requested_at: datetime
    note: str | None = None
    received: tuple[ReceivedLine, ...] = ()
    words: Sealed | None = None
    note_words: Sealed | None = None

    @property
    def is_open(self) -> bool:
        """Its units are spoken for."""
        return self.status in (REQUESTED, APPROVED)


# --- commands --------------------------------------------------------------------------------------


class RequestReturn(Command, frozen=True, kw_only=True):
    """`delivered_at` is when the order was; it can be returned for `window` after that."""

    order_id: UUID
    return_id: UUID
    lines: tuple[WantedLine, ...]
    delivered_at: datetime
    window: timedelta
    at: datetime
    words: Sealed | None = None


class ApproveReturn(Command, frozen=True, kw_only=True):
    order_id: UUID
    return_id: UUID
    note: str | None = None


class RefuseReturn(Command, frozen=True, kw_only=True):
    order_id: UUID
    return_id: UUID
    reason: str
    words: Sealed | None = None


class ReceiveReturn(Command, frozen=True, kw_only=True):
    """What came: all that was wanted unless `lines` name something else."""

    order_id: UUID
    return_id: UUID
    lines: tuple[ReceivedLine, ...] = ()


# --- reasons ---------------------------------------------------------------------------------------

RETURN_EMPTY = Reason("return_empty", "A return needs at least one line.", "invalid")
NO_SUCH_LINE = Reason("no_such_line", "The order has no line {line}.", "invalid")
MORE_THAN_BOUGHT = Reason(
    "more_than_bought", "Of line {line} at most {left} units can still come back, not {quantity}."
)
RETURN_TOO_LATE = Reason("return_too_late", "The order could be returned until {until}.")
TOO_MANY_RETURNS = Reason("too_many_returns", "An order can be returned in at most {most} parts.")
NO_SUCH_RETURN = Reason("no_such_return", "The order has no such return.", "missing")
RETURN_NOT_OPEN = Reason("return_not_open", "The return is {status}.")
RETURN_NOT_APPROVED = Reason("return_not_approved", "The return is {status}: it has to be approved first.")
MORE_THAN_ANNOUNCED = Reason(
    "more_than_announced", "The return speaks of {announced} units of line {line}, not of {quantity}."
)


# --- decide ----------------------------------------------------------------------------------------


def request(
    command: RequestReturn,
    bought: Mapping[int, int],
    returned: Mapping[int, int],
    returns: Mapping[UUID, ReturnState],
) -> Sequence[Event]:
    """The request, where the units can still come back; `bought` and `returned` are units by line number."""
    if command.return_id in returns:
        return []
    until = command.delivered_at + command.window
    if command.at > until:
        raise RETURN_TOO_LATE(until=until.isoformat())
    if not command.lines:
        raise RETURN_EMPTY()
    if len(returns) >= MAX_RETURNS:
        raise TOO_MANY_RETURNS(most=MAX_RETURNS)
    spoken_for = _units(line for one in returns.values() if one.is_open for line in one.lines)
    lines = []
    for number, wanted in enumerate(command.lines):
        check_quantity(wanted.quantity)
        if wanted.line not in bought:
            raise NO_SUCH_LINE(line=wanted.line)
        before = returned.get(wanted.line, 0) + spoken_for.get(wanted.line, 0)
        if before + wanted.quantity > bought[wanted.line]:
            raise MORE_THAN_BOUGHT(line=wanted.line, left=bought[wanted.line] - before, quantity=wanted.quantity)
        spoken_for[wanted.line] = spoken_for.get(wanted.line, 0) + wanted.quantity
        lines.append(replace(wanted, reason=check_text(f"lines.{number}.reason", wanted.reason, TEXT_MOST)))
    return [
        ReturnRequested(
            order_id=command.order_id,
            return_id=command.return_id,
            lines=tuple(lines),
            requested_at=command.at,
            words=command.words,
        )
    ]


def judge(command: ApproveReturn | RefuseReturn, returns: Mapping[UUID, ReturnState]) -> Sequence[Event]:
    """What staff say of a request; what was approved can still be refused until it has come."""
    state = _of(command.return_id, returns)
    if isinstance(command, ApproveReturn):
        if state.status == APPROVED:
            return []
        if state.status != REQUESTED:
            raise RETURN_NOT_OPEN(status=state.status)
        note = None if command.note is None else check_text("note", command.note, TEXT_MOST)
        return [ReturnApproved(order_id=command.order_id, return_id=command.return_id, note=note)]
    if state.status == REFUSED:
        return []
    if not state.is_open:
        raise RETURN_NOT_OPEN(status=state.status)
    reason = check_text("reason", command.reason, TEXT_MOST)
    return [ReturnRefused(order_id=command.order_id, return_id=command.return_id, reason=reason, words=command.words)]


def received(command: ReceiveReturn, returns: Mapping[UUID, ReturnState]) -> ReturnReceived | None:
    """That the goods came, and what is done with them; None where that is known already."""
    state = _of(command.return_id, returns)
    if state.status == RECEIVED:
        return None
    if state.status != APPROVED:
        raise RETURN_NOT_APPROVED(status=state.status)
    announced = _units(state.lines)
    lines = command.lines or tuple(ReceivedLine(line=n, quantity=units) for n, units in announced.items())
    for number, units in _units(lines).items():
        check_quantity(units)
        if units > announced.get(number, 0):
            raise MORE_THAN_ANNOUNCED(line=number, announced=announced.get(number, 0), quantity=units)
    return ReturnReceived(order_id=command.order_id, return_id=command.return_id, lines=lines)


def _of(return_id: UUID, returns: Mapping[UUID, ReturnState]) -> ReturnState:
    state = returns.get(return_id)
    if state is None:
        raise NO_SUCH_RETURN()
    return state


def _units(lines: Iterable[WantedLine | ReceivedLine]) -> dict[int, int]:
    """Units by line number."""
    units: dict[int, int] = {}
    for one in lines:
        units[one.line] = units.get(one.line, 0) + one.quantity
    return units


# --- evolve ----------------------------------------------------------------------------------------


def evolve(
    returns: Mapping[UUID, ReturnState],
    event: ReturnRequested | ReturnApproved | ReturnRefused | ReturnReceived,
) -> dict[UUID, ReturnState]:
    """The returns of the order after the event."""
    if isinstance(event, ReturnRequested):
        state = ReturnState(status=REQUESTED, lines=event.lines, requested_at=event.requested_at, words=event.words)
        return {**returns, event.return_id: state}
    before = returns[event.return_id]
    match event:
        case ReturnApproved():
            after = replace(before, status=APPROVED, note=event.note)
        case ReturnRefused():
            after = replace(before, status=REFUSED, note=event.reason, note_words=event.words)
        case ReturnReceived():
            after = replace(before, status=RECEIVED, received=event.lines)
    return {**returns, event.return_id: after}
