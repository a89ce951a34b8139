"""A count of what lies on the shelves of a warehouse, against what the book said at that moment.

Sales go on while people count, so a line says *when* its SKU was counted. Compared is what the book had on hand at
that moment; the difference is booked now, whatever has been received or shipped since.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from emporium.domain.base import MAX_QUANTITY, Aggregate, Command, Event, Reason, State
from emporium.domain.stock import TEXT_MOST
from emporium.domain.text import check_text

MAX_LINES: Final = 200

OLDEST: Final = timedelta(days=7)
"""A count is booked no later than this."""


class CountLine(msgspec.Struct, frozen=True):
    """`counted` units lay there at `at`, when the book had `booked`."""

    sku: str
    counted: int
    booked: int
    at: datetime

    @property
    def difference(self) -> int:
        """What is booked: more than zero where more lay there than the book had."""
        return self.counted - self.booked


# --- events ----------------------------------------------------------------------------------------


class StockCounted(Event, frozen=True, kw_only=True):
    """A warehouse was counted, or some SKUs of it; every difference is a StockAdjusted of this `count_id`."""

    count_id: UUID
    warehouse: str
    lines: tuple[CountLine, ...]
    note: str = ""


# --- state -----------------------------------------------------------------------------------------


class StockCountState(State, frozen=True, kw_only=True):
    """The count, which never changes."""

    count_id: UUID
    warehouse: str
    lines: tuple[CountLine, ...]
    note: str = ""


# --- commands --------------------------------------------------------------------------------------


class RecordCount(Command, frozen=True, kw_only=True):
    count_id: UUID
    warehouse: str
    lines: tuple[CountLine, ...]
    now: datetime
    note: str = ""


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_COUNT = Reason("no_such_count", "There is no such count.", "missing")
COUNT_LINES = Reason(
    "count_lines", "A count has 1 to {most} lines, each SKU once, not {lines} with {skus} SKUs.", "invalid"
)
COUNT_OUT_OF_RANGE = Reason(
    "count_out_of_range", "Counted were 0 to {most} units of {sku}, not {counted}: look again.", "invalid"
)
COUNTED_WHEN = Reason(
    "counted_when", "{sku} was counted at {at}; it must be in the past, at most {days} days ago.", "invalid"
)


# --- decide and evolve -----------------------------------------------------------------------------


def decide(command: Command, count: StockCountState | None) -> Sequence[Event]:
    """The event that the command makes. Raises Rejected."""
    if not isinstance(command, RecordCount):
        raise TypeError(f"a count does not know {type(command).__name__}")
    if count is not None:
        return []
    skus = {one.sku for one in command.lines}
    if not 1 <= len(command.lines) <= MAX_LINES or len(skus) != len(command.lines):
        raise COUNT_LINES(field="lines", most=MAX_LINES, lines=len(command.lines), skus=len(skus))
    for one in command.lines:
        if not 0 <= one.counted <= MAX_QUANTITY:
            raise COUNT_OUT_OF_RANGE(most=MAX_QUANTITY, sku=one.sku, counted=one.counted)
        if not command.now - OLDEST <= one.at <= command.now:
            raise COUNTED_WHEN(sku=one.sku, at=one.at.isoformat(), days=OLDEST.days)
    note = check_text("note", command.note, TEXT_MOST, least=0)
    return [StockCounted(count_id=command.count_id, warehouse=command.warehouse, lines=command.lines, note=note)]


def evolve(count: StockCountState | None, event: Event) -> StockCountState:
    """The count after the event."""
    if not isinstance(event, StockCounted):
        raise TypeError(f"a count does not know {type(event).__name__}")
    return StockCountState(count_id=event.count_id, warehouse=event.warehouse, lines=event.lines, note=event.note)


STOCK_COUNT: Final = Aggregate(
    name="StockCount",
    log="inventory",
    state=StockCountState,
    events=(StockCounted,),
    decide=decide,
    evolve=evolve,
)
