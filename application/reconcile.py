"""Compares the money in our payment events with the payment provider's own record, for one day."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.ports import Booked, EventLog, ProviderRecord, Recorded
from emporium.domain import payment as p
from emporium.domain.base import Money

__all__ = ["Difference", "Reconciliation", "Totals", "reconcile"]

_PAGE: Final = 5_000

_MARGIN: Final = timedelta(days=1)
"""What the provider did before midnight may be recorded here after it, later still after an outage."""

_TOPICS: Final = frozenset(
    f"payments.{event.__name__}"
    for event in (
        p.PaymentProcessed,
        p.LatePaymentReceived,
        p.PaymentCaptured,
        p.PaymentRefunded,
        p.DisputeOpened,
        p.DisputeClosed,
    )
)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which the two sides are not the same.

    Attributes:
        kind: `unknown_here` (the provider moved money of which we know nothing), `unknown_there` (we recorded money
            of which the provider knows nothing) or `amount`.
        reference: the provider's id of the payment, refund or dispute; `/won` behind it: what came back of that.
        ours, theirs: negative where it went back.
    """

    kind: str
    reference: str
    order_id: UUID | None
    ours: Money | None
    theirs: Money | None
    at: datetime


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """One currency's sums in minor units, of what was moved on the day by each side's own time."""

    currency: str
    our_payments: int = 0
    our_refunds: int = 0
    our_disputes: int = 0
    their_payments: int = 0
    their_refunds: int = 0
    their_disputes: int = 0


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one day (UTC). The totals may differ around midnight without a difference."""

    day: date
    compared: int
    totals: tuple[Totals, ...]
    differences: tuple[Difference, ...]


class _Ours(msgspec.Struct, frozen=True):
    order_id: UUID
    amount: Money
    at: datetime
    dispute: bool = False


_WON: Final = "/won"


async def reconcile(payments: EventLog, record: ProviderRecord, day: date) -> Reconciliation:
    """Compares one day in both directions, by the provider's ids.

    Args:
        payments: the log of the payments.

    Raises ProviderDown, Unavailable.
    """
    since = datetime.combine(day, time.min, UTC)
    until = since + timedelta(days=1)
    ours = await _ours(payments)
    theirs = {_reference(one): one async for one in record.booked(since - _MARGIN, until + _MARGIN)}
    for won in [reference for reference in ours if reference.endswith(_WON)]:
        if won not in theirs and won.removesuffix(_WON) not in theirs:
            # A question of the bank that moved no money, or all of it so long ago that the record is not asked.
            del ours[won]
            ours.pop(won.removesuffix(_WON), None)
    here = {reference: one for reference, one in ours.items() if since <= one.at < until}
    there = {reference: one for reference, one in theirs.items() if since <= one.at < until}
    found = []
    for reference in sorted(here.keys() | there.keys()):
        own, other = ours.get(reference), theirs.get(reference)
        if own is None or other is None or own.amount != other.amount:
            found.append(_difference(reference, own, other))
    return Reconciliation(
        day=day,
        compared=len(here.keys() | there.keys()),
        totals=_totals(here, there),
        differences=tuple(sorted(found, key=lambda one: (one.at, one.reference))),
    )


def _reference(one: Booked) -> str:
    return one.reference + _WON if one.dispute and one.amount.amount > 0 else one.reference


async def _ours(payments: EventLog) -> dict[str, _Ours]:
    """All money that we have recorded as moved, by the provider's id."""
    found: dict[str, _Ours] = {}
    references: dict[UUID, str] = {}
    position = 0
    while True:
        events, upto = await payments.read(position, _PAGE, topics=_TOPICS)
        for one in events:
            _note(one, found, references)
        if upto == position:
            return found
        position = upto


def _note(one: Recorded, found: dict[str, _Ours], references: dict[UUID, str]) -> None:
    match one.event:
        case p.PaymentProcessed() | p.LatePaymentReceived() as event:
            references[event.order_id] = event.reference
            if event.captured and event.amount.amount > 0:
                found[event.reference] = _Ours(event.order_id, event.amount, one.at)
        case p.PaymentCaptured() as event:
            found[references[event.order_id]] = _Ours(event.order_id, event.amount, one.at)
        case p.PaymentRefunded() as event:
            found[event.reference] = _Ours(event.order_id, event.amount * -1, one.at)
        case p.DisputeOpened() as event:
            found[event.dispute_id] = _Ours(event.order_id, event.amount * -1, one.at, dispute=True)
        case p.DisputeClosed(won=True) as event:
            found[event.dispute_id + _WON] = _Ours(event.order_id, event.amount, one.at, dispute=True)


def _difference(reference: str, own: _Ours | None, other: Booked | None) -> Difference:
    kind = "unknown_here" if own is None else "unknown_there" if other is None else "amount"
    order_id = own.order_id if own is not None else other.order if other is not None else None
    at = other.at if other is not None else own.at if own is not None else datetime.min.replace(tzinfo=UTC)
    return Difference(
        kind=kind,
        reference=reference,
        order_id=order_id,
        ours=None if own is None else own.amount,
        theirs=None if other is None else other.amount,
        at=at,
    )


def _totals(here: Mapping[str, _Ours], there: Mapping[str, Booked]) -> tuple[Totals, ...]:
    sums: dict[str, dict[str, int]] = {}
    for side, moved in (("our", [*here.values()]), ("their", [*there.values()])):
        for one in moved:
            of = sums.setdefault(one.amount.currency, {})
            name = f"{side}_{'disputes' if one.dispute else 'payments' if one.amount.amount > 0 else 'refunds'}"
            of[name] = of.get(name, 0) + one.amount.amount
    return tuple(Totals(currency=currency, **of) for currency, of in sorted(sums.items()))
