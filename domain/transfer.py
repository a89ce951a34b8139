"""Units on their way from one warehouse to another: they leave here, arrive there, perhaps in part, or are lost."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, check_quantity
from emporium.domain.stock import TEXT_MOST, Cost
from emporium.domain.text import check_shape, check_text

MAX_LINES: Final = 200

ON_THE_WAY, ENDED = "on_the_way", "ended"


class TransferLine(msgspec.Struct, frozen=True):
    """Units of a SKU, and what each of them costs where that is known."""

    sku: str
    quantity: int
    cost: Cost | None = None


# --- events ----------------------------------------------------------------------------------------


class TransferSent(Event, frozen=True, kw_only=True):
    """The units have left `source` and are expected in `target`."""

    transfer_id: UUID
    source: str
    target: str
    lines: tuple[TransferLine, ...]
    reference: str = ""


class TransferArrived(Event, frozen=True, kw_only=True):
    """Some or all of what is on the way has come."""

    transfer_id: UUID
    lines: tuple[TransferLine, ...]


class TransferLost(Event, frozen=True, kw_only=True):
    """Some or all of what is on the way will never come: it is written off."""

    transfer_id: UUID
    lines: tuple[TransferLine, ...]
    reason: str


# --- state -----------------------------------------------------------------------------------------


class TransferState(State, frozen=True, kw_only=True):
    """What was sent, and what became of it, in units by SKU; sent = arrived + lost + on the way."""

    transfer_id: UUID
    source: str
    target: str
    sent: tuple[TransferLine, ...]
    reference: str = ""
    arrived: dict[str, int] = {}
    lost: dict[str, int] = {}

    @property
    def on_the_way(self) -> dict[str, int]:
        """Units that are neither here nor there."""
        left = {one.sku: one.quantity - self.arrived.get(one.sku, 0) - self.lost.get(one.sku, 0) for one in self.sent}
        return {sku: units for sku, units in left.items() if units}

    @property
    def status(self) -> str:
        """`on_the_way` or `ended`."""
        return ON_THE_WAY if self.on_the_way else ENDED


# --- commands --------------------------------------------------------------------------------------


class SendTransfer(Command, frozen=True, kw_only=True):
    transfer_id: UUID
    source: str
    target: str
    lines: tuple[TransferLine, ...]
    reference: str = ""


class ReceiveTransfer(Command, frozen=True, kw_only=True):
    """`units` by SKU; None is all that is on the way."""

    transfer_id: UUID
    units: dict[str, int] | None = None


class LoseTransfer(Command, frozen=True, kw_only=True):
    """`units` by SKU; None is all that is on the way."""

    transfer_id: UUID
    reason: str
    units: dict[str, int] | None = None


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_TRANSFER = Reason("no_such_transfer", "There is no such transfer.", "missing")
TRANSFER_NOWHERE = Reason(
    "transfer_nowhere", "A transfer goes from one warehouse to another, not to itself.", "invalid"
)
TRANSFER_LINES = Reason(
    "transfer_lines", "A transfer has 1 to {most} lines, each SKU once, not {lines} with {skus} SKUs.", "invalid"
)
NOT_ON_THE_WAY = Reason("not_on_the_way", "Of {sku} {on_the_way} units are on the way, not {quantity}.")
TRANSFER_ENDED = Reason("transfer_ended", "Nothing of this transfer is on the way any more.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, transfer: TransferState | None) -> Sequence[Event]:
    """The events that the command makes of this transfer. Raises Rejected."""
    if isinstance(command, SendTransfer):
        return _send(command, transfer)
    if transfer is None:
        raise NO_SUCH_TRANSFER()
    match command:
        case ReceiveTransfer():
            return [TransferArrived(transfer_id=transfer.transfer_id, lines=_part(transfer, command.units))]
        case LoseTransfer():
            reason = check_text("reason", command.reason, TEXT_MOST)
            return [TransferLost(transfer_id=transfer.transfer_id, lines=_part(transfer, command.units), reason=reason)]
        case _:
            raise TypeError(f"a transfer does not know {type(command).__name__}")


def _send(command: SendTransfer, transfer: TransferState | None) -> Sequence[Event]:
    if transfer is not None:
        return []
    if command.source == command.target:
        raise TRANSFER_NOWHERE(field="target")
    skus = {check_shape("sku", one.sku, "sku") for one in command.lines}
    if not 1 <= len(command.lines) <= MAX_LINES or len(skus) != len(command.lines):
        raise TRANSFER_LINES(field="lines", most=MAX_LINES, lines=len(command.lines), skus=len(skus))
    for one in command.lines:
        check_quantity(one.quantity)
    return [
        TransferSent(
            transfer_id=command.transfer_id,
            source=command.source,
            target=command.target,
            lines=command.lines,
            reference=check_text("reference", command.reference, TEXT_MOST, least=0),
        )
    ]


def _part(transfer: TransferState, units: dict[str, int] | None) -> tuple[TransferLine, ...]:
    """These units of what is on the way, with their costs."""
    there = transfer.on_the_way
    if not there:
        raise TRANSFER_ENDED()
    wanted = there if units is None else units
    for sku, quantity in wanted.items():
        if not 1 <= quantity <= there.get(sku, 0):
            raise NOT_ON_THE_WAY(sku=sku, on_the_way=there.get(sku, 0), quantity=quantity)
    if not wanted:
        raise TRANSFER_LINES(field="lines", most=MAX_LINES, lines=0, skus=0)
    costs = {one.sku: one.cost for one in transfer.sent}
    return tuple(TransferLine(sku, quantity, costs[sku]) for sku, quantity in wanted.items())


# --- evolve ----------------------------------------------------------------------------------------


def evolve(transfer: TransferState | None, event: Event) -> TransferState:
    """The transfer after the event."""
    if isinstance(event, TransferSent):
        return TransferState(
            transfer_id=event.transfer_id,
            source=event.source,
            target=event.target,
            sent=event.lines,
            reference=event.reference,
        )
    if transfer is None:
        raise ValueError("a transfer begins when it is sent")
    match event:
        case TransferArrived():
            return replace(transfer, arrived=_added(transfer.arrived, event.lines))
        case TransferLost():
            return replace(transfer, lost=_added(transfer.lost, event.lines))
        case _:
            raise TypeError(f"a transfer does not know {type(event).__name__}")


def _added(units: dict[str, int], lines: tuple[TransferLine, ...]) -> dict[str, int]:
    return units | {one.sku: units.get(one.sku, 0) + one.quantity for one in lines}


TRANSFER: Final = Aggregate(
    name="Transfer",
    log="inventory",
    state=TransferState,
    events=(TransferSent, TransferArrived, TransferLost),
    decide=decide,
    evolve=evolve,
)
