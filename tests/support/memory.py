"""The event log, leases, provider and carrier in memory: for unit tests and the deterministic simulation only."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid5

from emporium.application.ports import (
    Address,
    Claim,
    Conflict,
    Label,
    LimitReached,
    NextAction,
    Outcome,
    ProviderDown,
    Recorded,
    SavedMethod,
    Superseded,
    Taken,
    Task,
    Unit,
)
from emporium.domain.base import Aggregate, Money, Sealed, State

S = TypeVar("S", bound=State)
_SPACE = UUID("00000000-0000-4000-8000-000000000001")


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def following(self, at: datetime) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class MemoryLog:
    """Keeps the contract of `EventLog`, without durability. Every append may be made to fail once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.incarnation = uuid5(_SPACE, name)
        self.events: list[Recorded] = []
        self.streams: dict[UUID, list[Recorded]] = {}
        self.tasks: dict[UUID, Task] = {}
        self.positions: dict[tuple[str, str], int] = {}
        self.held: dict[tuple[str, bytes], UUID] = {}
        self.counters: dict[str, int] = {}
        self.fail_next: Exception | None = None

    async def append(self, unit: Unit) -> int:
        if self.fail_next is not None:
            failure, self.fail_next = self.fail_next, None
            raise failure
        self._check(unit)
        for new in unit.events:
            recorded = Recorded(
                self.name, len(self.events) + 1, new.stream, new.version, new.id, new.at, new.event, new.meta
            )
            self.events.append(recorded)
            self.streams.setdefault(new.stream, []).append(recorded)
        for claim in unit.claims:
            self._claim(claim)
        for counter in unit.counters:
            self.counters[counter.name] = self.counters.get(counter.name, 0) + counter.by
        if unit.tracking is not None:
            self.positions[unit.tracking.name, unit.tracking.upstream] = unit.tracking.new
        for done in unit.done:
            del self.tasks[done.id]
        for update in unit.task_updates:
            old = self.tasks[update.id]
            self.tasks[update.id] = Task(
                old.id,
                old.kind,
                update.due,
                old.stream,
                old.data,
                old.cause,
                update.attempts,
                update.error,
                update.parked,
            )
        for task in unit.tasks:
            self.tasks.setdefault(task.id, task)
        return self.events[-1].position if unit.events else 0

    def _check(self, unit: Unit) -> None:
        versions: dict[UUID, int] = {}
        losers = set()
        for new in unit.events:
            expected = versions.get(new.stream, len(self.streams.get(new.stream, []))) + 1
            if new.version != expected:
                losers.add(new.stream)
            versions[new.stream] = new.version
        losers |= {stream for stream, version in unit.expect if len(self.streams.get(stream, [])) != version}
        if losers:
            raise Conflict(frozenset(losers))
        for claim in unit.claims:
            owner = self.held.get((claim.scope, claim.value))
            if not claim.release and owner not in (None, claim.owner):
                raise Taken(claim.scope, owner)
        for counter in unit.counters:
            if not 0 <= self.counters.get(counter.name, 0) + counter.by <= counter.limit:
                raise LimitReached(counter.name)
        tracking = unit.tracking
        if tracking is not None and self.positions.get((tracking.name, tracking.upstream), 0) != tracking.old:
            raise Superseded
        if any(one.id not in self.tasks for one in (*unit.done, *unit.task_updates)):
            raise Superseded

    def _claim(self, claim: Claim) -> None:
        if claim.release:
            self.held.pop((claim.scope, claim.value), None)
        else:
            self.held[claim.scope, claim.value] = claim.owner

    async def claimed(self, scope: str, value: bytes) -> UUID | None:
        return self.held.get((scope, value))

    async def claim_owners(self, scope: str, values: Sequence[bytes]) -> dict[bytes, UUID]:
        return {value: self.held[scope, value] for value in values if (scope, value) in self.held}

    async def claims(self, scope: str) -> list[UUID]:
        return [owner for (held, _), owner in self.held.items() if held == scope]

    async def counted(self, names: Sequence[str]) -> dict[str, int]:
        return {name: self.counters.get(name, 0) for name in names}

    async def load(self, aggregate: Aggregate[S], stream: UUID, *, fresh: bool = False) -> tuple[S | None, int]:
        state: S | None = None
        events = self.streams.get(stream, [])
        for recorded in events:
            state = aggregate.evolve(state, recorded.event)
        return state, len(events)

    async def load_many(
        self,
        aggregate: Aggregate[S],
        streams: Sequence[UUID],
        *,
        fresh: bool = False,
        presumed_new: Collection[UUID] = (),
    ) -> dict[UUID, tuple[S | None, int]]:
        presumed = () if fresh else presumed_new
        return {s: (None, 0) if s in presumed else await self.load(aggregate, s) for s in streams}

    async def stream(self, stream: UUID, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        found = [r for r in self.streams.get(stream, []) if r.version > after]
        return found[:limit]

    async def read(
        self, after: int, limit: int, *, topics: Collection[str] | None = None
    ) -> tuple[list[Recorded], int]:
        page = self.events[after : after + limit]
        upto = page[-1].position if page else after
        return [r for r in page if topics is None or r.topic in topics], upto

    async def by_correlation(self, correlation: str) -> list[Recorded]:
        return [r for r in self.events if r.meta.correlation == correlation]

    async def head(self) -> int:
        return len(self.events)

    async def wait(self, after: int, timeout: float, *, topics: Collection[str] | None = None) -> bool:
        await asyncio.sleep(0)
        return any(not topics or event.topic in topics for event in self.events[after:])

    async def due_tasks(
        self, now: datetime, limit: int, *, kinds: Sequence[str] | None = None, exclude: Sequence[UUID] = ()
    ) -> list[Task]:
        due = (
            t
            for t in self.tasks.values()
            if t.due <= now and not t.parked and (kinds is None or t.kind in kinds) and t.id not in exclude
        )
        return sorted(due, key=lambda t: t.due)[:limit]

    async def next_due(self) -> datetime | None:
        return min((t.due for t in self.tasks.values() if not t.parked), default=None)

    async def tracking(self, name: str, upstream: str) -> int:
        return self.positions.get((name, upstream), 0)

    async def follow(self, after: int, batch: int) -> AsyncIterator[list[Recorded]]:
        page, _ = await self.read(after, batch)
        if page:
            yield page


class OpenVault:
    """Seals nothing: for streams that hold no personal data."""

    async def key_for(self, subject: UUID) -> None: ...

    async def load_keys(self, subjects: Sequence[UUID]) -> None: ...

    def seal(self, subject: UUID, event: str, stream: UUID, field: str, value: Any) -> Sealed:
        raise NotImplementedError

    def unseal(self, sealed: Sealed, stream: UUID, field: str) -> Any:
        raise NotImplementedError

    def fingerprint(self, scope: str, value: str) -> bytes:
        return f"{scope}:{value}".encode()

    async def erase(self, subject: UUID) -> None: ...


class MemoryProvider:
    """Charges by key. `trouble()` is asked before and after each call and may raise ProviderDown."""

    def __init__(self, trouble: Any = None) -> None:
        self.charges: dict[str, tuple[UUID, Money, Outcome]] = {}
        self.refunds: dict[str, tuple[str, Money]] = {}
        self.captures = True
        self.refuses_captures = False
        self.refuses_refunds = False
        self._trouble = trouble or (lambda: None)

    async def charge(self, key: str, order: UUID, amount: Money, method: str, at: datetime) -> Outcome:
        self._trouble()
        if key not in self.charges:
            if method == "pm_never":
                raise ProviderDown("no answer")
            outcome = Outcome("succeeded", key, captured=self.captures)
            if method == "pm_3ds":
                outcome = Outcome("requires_action", key, captured=False, action=NextAction("redirect", "https://x"))
            if method == "pm_declined":
                outcome = Outcome("declined", code="card_declined")
            self.charges[key] = order, amount, outcome
        self._trouble()
        return self.charges[key][2]

    async def find_charge(self, key: str, order: UUID) -> Outcome:
        self._trouble()
        return self.charges[key][2] if key in self.charges else Outcome("unknown")

    def authenticate(self, key: str) -> None:
        """The customer does what the provider wants."""
        order, amount, outcome = self.charges[key]
        if outcome.status == "requires_action":
            self.charges[key] = order, amount, Outcome("succeeded", key, captured=self.captures)

    async def capture(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        self._trouble()
        order, secured, outcome = self.charges[reference]
        assert amount.amount <= secured.amount
        if outcome.status == "succeeded" and not outcome.captured:
            if self.refuses_captures:
                return Outcome("declined", reference, "expired")
            outcome = Outcome("succeeded", reference)
            self.charges[reference] = order, amount, outcome
        self._trouble()
        return outcome

    async def void(self, key: str, reference: str, at: datetime) -> Outcome:
        self._trouble()
        order, amount, outcome = self.charges[reference]
        if outcome.status == "requires_action" or (outcome.status == "succeeded" and not outcome.captured):
            outcome = Outcome("voided", reference, captured=False)
            self.charges[reference] = order, amount, outcome
        self._trouble()
        return outcome

    async def save_method(self, key: str, customer: UUID, method: str) -> SavedMethod:
        raise NotImplementedError

    async def forget_method(self, token: str) -> None:
        raise NotImplementedError

    async def refund(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        self._trouble()
        if self.refuses_refunds:
            return Outcome("declined", code="no")
        self.refunds.setdefault(key, (reference, amount))
        self._trouble()
        return Outcome("succeeded", key)

    async def find_refund(self, key: str, reference: str) -> Outcome:
        self._trouble()
        return Outcome("succeeded", key) if key in self.refunds else Outcome("unknown")


class MemoryCarrier:
    """Labels by key, delivers whatever was handed over."""

    def __init__(self, trouble: Any = None) -> None:
        self.labels: dict[str, UUID] = {}
        self.handed: set[str] = set()
        self.voided: set[str] = set()
        self.fate: Callable[[], str] | None = None
        self.fates: dict[str, str] = {}
        self._trouble = trouble or (lambda: None)

    async def book(
        self,
        key: str,
        order: UUID,
        parcel: int,
        address: Address,
        items: Mapping[str, int],
        service: str | None = None,
    ) -> Label:
        self._trouble()
        self.labels[key] = order
        self._trouble()
        return Label("sandbox", key, f"https://track.example/{key}")

    async def status(self, tracking_number: str, at: datetime) -> str:
        self._trouble()
        if tracking_number not in self.handed:
            return "labelled"
        return self.fates.get(tracking_number, "delivered")

    async def void(self, key: str) -> None:
        self._trouble()
        self.voided.add(key)
        self._trouble()

    async def hand_over(self, key: str, tracking_number: str, at: datetime) -> bool:
        self._trouble()
        self.handed.add(tracking_number)
        if self.fate is not None:
            self.fates.setdefault(tracking_number, self.fate())
        self._trouble()
        return True
