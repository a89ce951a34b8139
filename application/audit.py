"""The audit of an order: its events of all logs in causal order, replayed, each traced to its origin."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.application.ports import EventLog, Recorded
from emporium.domain.base import Aggregate, Event, Money, Sealed, State
from emporium.domain.registry import AGGREGATES

__all__ = ["ORIGINS", "Audit", "Finding", "Step", "audit", "causal_order", "untraceable"]

ORIGINS: Final = ("request:", "timer:", "import:")
"""What a chain of causes may begin with."""

_LEAVES: Final = (Money, Sealed)
"""Structures that are one value."""

_PAGE: Final = 1_000

_AGGREGATES: Final[dict[tuple[str, type[Event]], Aggregate[Any]]] = {
    (aggregate.log, event): aggregate for aggregate in AGGREGATES for event in aggregate.events
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event and what it made of its aggregate.

    Attributes:
        cause: the number of the step that caused it, from 1; None where something else did.
        status: the aggregate's afterwards, None where it has none.
        changes: what is different in the aggregate's state afterwards: path, such as `parcels.1.carrier`, to
            new value (None where it is gone).
    """

    recorded: Recorded
    aggregate: str
    cause: int | None
    status: str | None
    changes: Mapping[str, Any]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not be; `event` is where it shows."""

    code: str
    text: str
    event: UUID


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """An order's story; without steps where there is no such order (or was not yet)."""

    order_id: UUID
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]


async def audit(logs: Mapping[str, EventLog], order_id: UUID, *, as_of: datetime | None = None) -> Audit:
    """Replays the order.

    Args:
        as_of: leaves out what happened later; what is checked is the whole story all the same.
    """
    events = [recorded for log in logs.values() for recorded in await log.by_correlation(str(order_id))]
    ordered = causal_order(events)
    findings = untraceable(ordered)
    made: dict[UUID, tuple[State | None, State | None]] = {}
    streams: dict[tuple[str, UUID], list[Recorded]] = {}
    for recorded in ordered:
        streams.setdefault((recorded.log, recorded.stream), []).append(recorded)
    for (log, _), wanted in streams.items():
        findings += await _replay(logs[log], wanted, made)
    shown = [recorded for recorded in ordered if as_of is None or recorded.at <= as_of]
    numbers = {recorded.id: number for number, recorded in enumerate(shown, start=1)}
    steps = tuple(_step(recorded, numbers, *made.get(recorded.id, (None, None))) for recorded in shown)
    return Audit(order_id=order_id, steps=steps, findings=tuple(findings))


def causal_order(events: Iterable[Recorded]) -> list[Recorded]:
    """The events of several logs as one story.

    Within a log the positions decide, for they are the order of the commits; between logs a cause comes
    before its effect, then what has the earlier time, then the log's name.
    """
    queues: dict[str, deque[Recorded]] = {}
    for recorded in sorted(events, key=lambda one: one.position):
        queues.setdefault(recorded.log, deque()).append(recorded)
    waiting = {recorded.id for queue in queues.values() for recorded in queue}
    ordered = []
    while queues:
        heads = [queue[0] for queue in queues.values()]
        # Where every head waits for another, somebody has tampered: the times decide, and the check will tell.
        ready = [one for one in heads if _cause_of(one) not in waiting] or heads
        first = min(ready, key=lambda one: (one.at, one.log))
        queues[first.log].popleft()
        if not queues[first.log]:
            del queues[first.log]
        waiting.discard(first.id)
        ordered.append(first)
    return ordered


def untraceable(ordered: Sequence[Recorded]) -> list[Finding]:
    """Where the chains of causes are broken: nothing else than a request, a timer or an import begins one."""
    findings = []
    known = {recorded.id for recorded in ordered}
    seen = set()
    for recorded in ordered:
        cause = _cause_of(recorded)
        if cause is None:
            if not recorded.meta.causation.startswith(ORIGINS):
                why = f"was caused by “{recorded.meta.causation}”, which is no request, timer or import"
                findings.append(_finding("no_origin", recorded, why))
        elif cause not in known:
            findings.append(_finding("cause_missing", recorded, f"was caused by the event {cause}, which no log holds"))
        elif cause not in seen:
            findings.append(_finding("cause_later", recorded, f"was caused by the event {cause}, which came later"))
        seen.add(recorded.id)
    return findings


def _cause_of(recorded: Recorded) -> UUID | None:
    """The event that caused it, None where something else did."""
    kind, _, name = recorded.meta.causation.partition(":")
    if kind != "event":
        return None
    try:
        return UUID(name)
    except ValueError:
        return None


def _finding(code: str, recorded: Recorded, why: str) -> Finding:
    where = f"{type(recorded.event).__name__} at {recorded.position} of {recorded.log}"
    return Finding(code=code, text=f"{where} {why}.", event=recorded.id)


async def _replay(
    log: EventLog, wanted: Sequence[Recorded], made: dict[UUID, tuple[State | None, State | None]]
) -> list[Finding]:
    """Folds one stream from its beginning, also over events of other orders, and notes what the wanted ones made."""
    aggregate = _AGGREGATES[log.name, type(wanted[0].event)]
    missing = {recorded.version: recorded for recorded in wanted}
    last = max(missing)
    state: State | None = None
    version, position = 0, 0
    while version < last:
        page = await log.stream(wanted[0].stream, after=version, limit=min(_PAGE, last - version))
        for recorded in page:
            if recorded.version != version + 1 or recorded.position <= position:
                why = f"is version {recorded.version} of its stream and follows version {version} at {position}"
                return [_finding("version_gap", recorded, why)]
            version, position = recorded.version, recorded.position
            before = state
            try:
                state = aggregate.evolve(before, recorded.event)
            except Exception as error:
                # Evolving accepts all that was ever decided: whatever it raises, this was not.
                return [_finding("impossible", recorded, f"cannot have happened then: {error!r}")]
            if missing.pop(version, None) is not None:
                made[recorded.id] = before, state
        if not page:
            return [_finding("version_gap", missing[last], f"has version {last}, but its stream ends at {version}")]
    return []


def _compare(path: str, before: Any, after: Any, changes: dict[str, Any]) -> None:
    """Notes the differences, as deep as structures go. What begins empty is no change."""
    if before == after or (before is None and not after):
        return
    if isinstance(after, _LEAVES) or not isinstance(after, msgspec.Struct | dict):
        changes[path] = after
        return
    old, new = _fields(before), _fields(after)
    for name in dict.fromkeys((*old, *new)):
        _compare(f"{path}.{name}" if path else str(name), old.get(name), new.get(name), changes)


def _fields(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return value if isinstance(value, dict) else {}


def _step(recorded: Recorded, numbers: Mapping[UUID, int], before: State | None, after: State | None) -> Step:
    changes: dict[str, Any] = {}
    _compare("", before, after, changes)
    cause = _cause_of(recorded)
    return Step(
        recorded=recorded,
        aggregate=_AGGREGATES[recorded.log, type(recorded.event)].name,
        cause=numbers.get(cause) if cause is not None else None,
        status=getattr(after, "status", None),
        changes=changes,
    )
