"""The unit of work: load streams of one log, decide on them, and commit everything together."""

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from emporium.application.ports import Clock, Conflict, Counter, EventLog, Meta, NewEvent, Task, Unit
from emporium.domain.base import Aggregate, Command, Event, Rejected, State

__all__ = ["Committed", "Schedule", "Work", "execute"]

S = TypeVar("S", bound=State)
R = TypeVar("R")

Schedule = Callable[[NewEvent, State | None], Iterable[Task]]
"""(event, state before it) → the tasks that the event makes necessary."""

MAX_TRIES = 50


_CHANCE: Final = 4096
_chance: list[UUID] = []


def _event_id() -> UUID:
    """A random id. The kernel is asked for the chance of many at once: each call costs as much as a decision."""
    if not _chance:
        drawn = os.urandom(16 * _CHANCE)
        _chance.extend(UUID(bytes=drawn[at : at + 16], version=4) for at in range(0, len(drawn), 16))
    return _chance.pop()


os.register_at_fork(after_in_child=_chance.clear)


class _Entry:
    __slots__ = ("aggregate", "changed", "expected", "state", "version")

    def __init__(self, aggregate: Aggregate[Any], state: State | None, version: int) -> None:
        self.aggregate = aggregate
        self.state = state
        self.version = version
        self.changed = False
        self.expected = False


class Committed:
    """What a unit of work left behind: the log, the position of its last event, its events."""

    __slots__ = ("events", "log", "position")

    def __init__(self, log: str, position: int, events: list[NewEvent]) -> None:
        self.log = log
        self.position = position
        self.events = events


class Work:
    """One unit of work on one log. Loads see what earlier decisions of the same unit made.

    Args:
        log: where everything commits.
        now: the time that all events of the unit get.
        cause: the Meta of its events unless `decide` names another.
        schedule: which tasks an event makes necessary.
        stale: streams whose cached state is not to be believed (they lost a conflict), None for all.
    """

    def __init__(
        self,
        log: EventLog,
        now: datetime,
        cause: Meta,
        schedule: Schedule,
        stale: frozenset[UUID] | None = frozenset(),
    ) -> None:
        self.log = log
        self.now = now
        self.cause = cause
        self.unit = Unit(
            events=[], expect=[], claims=[], counters=[], tasks=[], done=[], task_updates=[], begins={}
        )  # fresh lists: the unit is filled in place
        self._schedule = schedule
        self._stale = stale
        self._entries: dict[UUID, _Entry] = {}

    def begin(self, aggregate: Aggregate[S], stream: UUID) -> None:
        """Takes a stream for new without looking, because its id was just made, or for a first guess: where
        it has events after all, the commit conflicts and the next attempt loads it."""
        if stream not in self._entries and self._stale is not None and stream not in self._stale:
            self._entries[stream] = _Entry(aggregate, None, 0)
            self.unit.begins[stream] = aggregate

    async def load(self, aggregate: Aggregate[S], stream: UUID) -> S | None:
        """The state of the stream as this unit sees it."""
        if stream not in self._entries:
            fresh = self._stale is None or stream in self._stale
            state, version = await self.log.load(aggregate, stream, fresh=fresh)
            self._entries[stream] = _Entry(aggregate, state, version)
        return cast("S | None", self._entries[stream].state)

    async def load_many(
        self, aggregate: Aggregate[S], streams: Iterable[UUID], presumed_new: Collection[UUID] = ()
    ) -> None:
        """Loads the streams that this unit has not seen yet, with one query for what is not cached.

        Args:
            presumed_new: those which the unit begins, if it is right: they need not be looked for.
        """
        missing = [s for s in dict.fromkeys(streams) if s not in self._entries]
        if not missing:
            return
        if not self._stale:
            stale = missing if self._stale is None else []
        else:
            stale = [s for s in missing if s in self._stale]
        trusted = [s for s in missing if s not in set(stale)] if stale else missing
        for part, fresh in ((stale, True), (trusted, False)):
            if part:
                found = await self.log.load_many(aggregate, part, fresh=fresh, presumed_new=presumed_new)
                for stream, (state, version) in found.items():
                    if version == 0 and stream in presumed_new:
                        self.unit.begins[stream] = aggregate
                    self._entries[stream] = _Entry(aggregate, state, version)

    async def refresh(self, aggregate: Aggregate[S], streams: Iterable[UUID]) -> None:
        """Catches up with the log for those of the streams that this unit has not changed."""
        again = [s for s in dict.fromkeys(streams) if s not in self._entries or not self._entries[s].changed]
        if again:
            for stream, (state, version) in (await self.log.load_many(aggregate, again, fresh=True)).items():
                self._entries[stream] = _Entry(aggregate, state, version)

    def state(self, aggregate: Aggregate[S], stream: UUID) -> S | None:
        """The state of a stream that was loaded before."""
        return cast("S | None", self._entries[stream].state)

    def version(self, stream: UUID) -> int:
        """The version of a stream that was loaded before, as this unit sees it."""
        return self._entries[stream].version

    @contextmanager
    def wholly(self, stream: UUID) -> Iterator[None]:
        """Of what the block decides for this one stream, which was loaded before, nothing stands where it is refused.

        Raises Rejected again.
        """
        entry, unit = self._entries[stream], self.unit
        state, version, changed = entry.state, entry.version, entry.changed
        events, tasks, claims = len(unit.events), len(unit.tasks), len(unit.claims)
        try:
            yield
        except Rejected:
            entry.state, entry.version, entry.changed = state, version, changed
            del unit.events[events:], unit.tasks[tasks:], unit.claims[claims:]
            raise

    def expect(self, stream: UUID) -> None:
        """The decision stands only while this stream, which was loaded, does not move."""
        self._entries[stream].expected = True

    def count(self, name: str, by: int, limit: int) -> None:
        """Adds to a counter with the commit, which raises LimitReached where that leaves 0..limit."""
        for place, one in enumerate(self.unit.counters):
            if one.name == name:
                self.unit.counters[place] = Counter(name, one.by + by, min(one.limit, limit))
                return
        self.unit.counters.append(Counter(name, by, limit))

    def decide(
        self, aggregate: Aggregate[S], stream: UUID, command: Command, cause: Meta | None = None
    ) -> Sequence[Event]:
        """Lets the aggregate decide and records its events. The stream was loaded before. Raises Rejected."""
        events = aggregate.decide(command, cast("S | None", self._entries[stream].state))
        for event in events:
            self._record(stream, event, cause or self.cause)
        return events

    def _record(self, stream: UUID, event: Event, cause: Meta) -> None:
        entry = self._entries[stream]
        before = entry.state
        entry.version += 1
        entry.changed = True
        entry.state = entry.aggregate.evolve(before, event)
        new = NewEvent(_event_id(), stream, entry.version, event, self.now, cause)
        self.unit.events.append(new)
        self.unit.tasks.extend(self._schedule(new, before))

    async def commit(self) -> Committed:
        """Appends all of it, or nothing. Raises what `EventLog.append` raises."""
        self.unit.expect = [(s, e.version) for s, e in self._entries.items() if e.expected and not e.changed]
        unit = self.unit
        if not (unit.events or unit.tracking or unit.done or unit.task_updates or unit.claims or unit.idempotency):
            return Committed(self.log.name, 0, [])
        return Committed(self.log.name, await self.log.append(unit), unit.events)


async def execute(
    log: EventLog,
    clock: Clock,
    cause: Meta,
    schedule: Schedule,
    handler: Callable[[Work], Awaitable[R]],
) -> tuple[R, Committed]:
    """Runs the handler in a unit of work and commits it; on a conflict reloads the losers and decides again.

    A rejection is believed only when it was decided on fresh state: a stale cache never conflicts on "no".
    """
    stale: frozenset[UUID] | None = frozenset()
    for _ in range(MAX_TRIES):
        work = Work(log, clock.now(), cause, schedule, stale)
        try:
            result = await handler(work)
        except Rejected:
            if stale is None:
                raise
            stale = None
            continue
        try:
            return result, await work.commit()
        except Conflict as conflict:
            stale = None if stale is None else stale | conflict.streams
    raise Conflict(stale or frozenset())
