"""Runs the process managers and the tasks: follow, react in batches, commit with the position, call the outside."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from emporium.application.commands import handle
from emporium.application.effects import Finished, Park, Perform, Retry, backoff
from emporium.application.policies import Ignore, Later, Policy
from emporium.application.ports import (
    Clock,
    Conflict,
    Done,
    EventLog,
    Leases,
    Meta,
    Overloaded,
    Recorded,
    Restored,
    Superseded,
    Task,
    TaskUpdate,
    Traces,
    Tracking,
    Unavailable,
    Unreadable,
    span_of,
)
from emporium.application.together import end, until_one_ends
from emporium.application.work import Schedule, Work
from emporium.domain.base import Event, Rejected, stream_id
from emporium.domain.order import ORDER, OrderState
from emporium.domain.registry import AGGREGATES

__all__ = ["BATCH", "Follower", "LogFollower", "ProcessManager", "TaskRunner"]

_log = logging.getLogger(__name__)

BATCH: Final = 250
"""Events that a follower handles in one commit; more would make a checkout wait behind an import."""

STRIDE: Final = 1_000
"""Positions over events that do not matter which a follower passes before it commits where it is, unless it rests."""

LATER_TRIES: Final = 25
"""How often an event that came too early is tried again before a person must look (about an hour)."""

CONCURRENCY: Final = 64
"""Calls to the outside that one log's tasks make at once."""

IDLE: Final = 0.5
"""Seconds between two looks when nothing wakes a loop."""


class LogFollower:
    """Follows one log in batches, each exactly once: what it makes of a batch commits with its position.

    Args:
        name: of the process manager, in its tracking.
        log: where its events and tasks go.
        upstream: the log that it follows.
        types: the event types of upstream that matter.
    """

    def __init__(
        self,
        name: str,
        log: EventLog,
        upstream: EventLog,
        types: frozenset[type[Event]],
        clock: Clock,
        batch: int = BATCH,
        traces: Traces | None = None,
    ) -> None:
        self.name = name
        self._traces = traces
        self.log = log
        self.upstream = upstream
        self._clock = clock
        self._batch = batch
        self.topics = frozenset(f"{upstream.name}.{event.__name__}" for event in types)
        self._types = types
        self.position = self._committed = 0

    async def resume(self) -> None:
        """Takes up where the last leader committed. Raises Restored where the log does not go so far."""
        self.position = self._committed = await self.log.tracking(self.name, self.upstream.name)
        if self.position > (head := await self.upstream.head()):
            # Events that come in its place would be passed over without a word.
            raise Restored(f"{self.name} has followed {self.upstream.name} to {self.position}, it ends at {head}")

    async def step(self, epoch: int) -> tuple[bool, list[Task]]:
        """Handles one batch: whether there was anything, and the tasks that it made.

        Raises Superseded when another leader has taken over.
        """
        aside: list[Task] = []
        events: list[Recorded] = []
        try:
            events, upto = await self.upstream.read(self.position, self._batch, topics=self.topics)
        except Unreadable as bad:
            # It comes alone: what stood before it was given earlier.
            upto = bad.position
            aside.append(self._unread(bad))
        if upto == self.position:
            return False, []
        mattering = [e for e in events if type(e.event) in self._types]
        tasks: list[Task] = []
        if mattering or aside or upto - self._committed >= STRIDE:
            began = time.time_ns()
            tasks = await self._react(mattering, self._tracking(upto, epoch), aside)
            if self._traces is not None:
                self._trace(self._traces, mattering, began)
            self._committed = upto
        self.position = upto
        return True, tasks

    def _trace(self, traces: Traces, events: Sequence[Recorded], began: int) -> None:
        ended = time.time_ns()
        for recorded in events:
            if recorded.meta.request is not None:
                traces.record(
                    f"{self.name} {type(recorded.event).__name__}",
                    request=recorded.meta.request,
                    key=span_of(self._cause_of(recorded)),
                    parent=span_of(recorded.meta),
                    began=began,
                    ended=ended,
                    attributes={
                        "emporium.position": recorded.position,
                        "emporium.correlation": recorded.meta.correlation,
                    },
                )

    async def rest(self, epoch: int) -> None:
        """Commits the position over events that did not matter. Raises Superseded."""
        if self._committed < self.position:
            await self._react([], self._tracking(self.position, epoch))
            self._committed = self.position

    async def again(self, task: Task) -> Finished | Retry | Park:
        """Performs a `later` task: reacts to the event as if it came now."""
        raise NotImplementedError

    async def _react(self, events: Sequence[Recorded], tracking: Tracking, aside: Sequence[Task] = ()) -> list[Task]:
        """Commits what follows from the events, with the position; the tasks that were made."""
        raise NotImplementedError

    def _tracking(self, upto: int, epoch: int) -> Tracking:
        return Tracking(
            name=self.name,
            upstream=self.upstream.name,
            old=self._committed,
            new=upto,
            epoch=epoch,
            incarnation=self.upstream.incarnation,
        )

    def _unread(self, bad: Unreadable) -> Task:
        """The task that reads an event again which cannot be read: others must not wait for it."""
        _log.error("%s sets aside what it cannot read: %s", self.name, bad)
        return Task(
            id=stream_id("task", "later", self.name, bad.log, bad.position),
            kind=self.later_kind,
            due=self._clock.now() + backoff(0),
            stream=bad.stream,
            data={"position": bad.position, "reason": _storable(str(bad))},
            cause=Meta(str(bad.stream), f"event:{bad.log}/{bad.position}", f"system:{self.name}"),
        )

    def _cause_of(self, recorded: Recorded) -> Meta:
        return Meta(recorded.meta.correlation, f"event:{recorded.id}", f"system:{self.name}", recorded.meta.request)

    @property
    def later_kind(self) -> str:
        """The kind of the tasks of this follower's events that wait."""
        return f"{_LATER}{self.name}.{self.upstream.name}"


class Follower(LogFollower):
    """One policy on one log that it follows.

    Args:
        policy: what to do.
        log: the policy's own log, where its events go.
        upstream: the log that it follows.
        ordering: where orders are read by id.
    """

    def __init__(
        self,
        policy: Policy,
        log: EventLog,
        upstream: EventLog,
        ordering: EventLog,
        clock: Clock,
        schedule: Schedule,
        batch: int = BATCH,
        traces: Traces | None = None,
    ) -> None:
        types = frozenset(event for event in policy.table if _LOGS[event] == upstream.name)
        super().__init__(policy.name, log, upstream, types, clock, batch, traces)
        self.policy = policy
        self._ordering = ordering
        self._schedule = schedule

    async def _react(self, events: Sequence[Recorded], tracking: Tracking, aside: Sequence[Task] = ()) -> list[Task]:
        stale: frozenset[UUID] | None = frozenset()
        refused: dict[UUID, str] = {}
        while True:
            work = Work(self.log, self._clock.now(), _NOBODY, self._schedule, stale)
            work.unit.tasks.extend(aside)
            try:
                orders = await self._prefetch(work, [e for e in events if e.id not in refused])
            except _NOT_ITS_FAULT:
                raise
            except Exception:
                culprits = await self._unloadable([e for e in events if e.id not in refused])
                if not culprits:
                    raise
                refused |= culprits
                continue
            failed: tuple[UUID, str] | None = None
            for recorded in events:
                if recorded.id in refused:
                    work.unit.tasks.append(self._later(recorded, refused[recorded.id]))
                    continue
                work.now = self._clock.following(recorded.at)
                try:
                    reason = await self._one(work, recorded, orders)
                except Rejected as rejected:
                    failed = recorded.id, rejected.code
                    break
                except _NOT_ITS_FAULT:
                    raise
                except Exception as bug:
                    _log.exception("%s cannot react to %s", self.policy.name, recorded.topic)
                    failed = recorded.id, _told(bug)
                    break
                if reason is not None:
                    work.unit.tasks.append(self._later(recorded, reason))
            if failed is not None:
                # First suspect the cache; a refusal by the fresh state sets the event aside as a task.
                if stale is None:
                    refused[failed[0]] = failed[1]
                stale = None
                continue
            work.unit.tracking = tracking
            try:
                await work.commit()
            except Conflict as conflict:
                stale = None if stale is None else stale | conflict.streams
                continue
            return work.unit.tasks

    async def _unloadable(self, events: Sequence[Recorded]) -> dict[UUID, str]:
        """Those of the events that need a stream which cannot be loaded, and why."""
        found: dict[UUID, str] = {}
        for recorded in events:
            try:
                await self._prefetch(Work(self.log, self._clock.now(), _NOBODY, self._schedule, None), [recorded])
            except _NOT_ITS_FAULT:
                raise
            except Exception as bug:
                _log.exception("%s cannot load what %s is about", self.policy.name, recorded.topic)
                found[recorded.id] = _told(bug)
        return found

    async def _prefetch(self, work: Work, events: Sequence[Recorded]) -> dict[UUID, OrderState]:
        own = [self.policy.stream_of(_order_of(e.event)) for e in events]
        # What begins a stream in most cases is tried as if it always did: a stream that is there conflicts.
        begins = {s for s, e in zip(own, events, strict=True) if callable(self.policy.reaction(e.event, None))}
        await work.load_many(self.policy.aggregate, own, begins)
        wanted = [_order_of(e.event) for e in events if type(e.event) in self.policy.reads_order]
        orders: dict[UUID, OrderState] = {}
        for fresh in (False, True):
            missing = [order_id for order_id in wanted if order_id not in orders]
            if missing:
                found = await self._ordering.load_many(ORDER, missing, fresh=fresh)
                orders |= {order_id: state for order_id, (state, _) in found.items() if state is not None}
        return orders

    async def _one(self, work: Work, recorded: Recorded, orders: Mapping[UUID, OrderState]) -> str | None:
        """Reacts to one event; the reason where that must happen later."""
        event = recorded.event
        order_id = _order_of(event)
        state = work.state(self.policy.aggregate, self.policy.stream_of(order_id))
        reaction = self.policy.reaction(event, state)
        if isinstance(reaction, Ignore):
            return None
        if isinstance(reaction, Later):
            return reaction.reason
        order_state = orders.get(order_id)
        if order_state is None and type(event) in self.policy.reads_order:
            return "the order itself is not seen yet"
        cause = self._cause_of(recorded)
        for command in reaction(event, state, order_state):  # type: ignore[arg-type]
            await handle(work, command, cause)
        return None

    def _later(self, recorded: Recorded, reason: str) -> Task:
        """The task that tries an event again which came too early or was refused."""
        return Task(
            id=stream_id("task", "later", self.policy.name, recorded.id),
            kind=self.later_kind,
            due=self._clock.following(recorded.at) + backoff(0),
            stream=recorded.stream,
            data={"position": recorded.position, "reason": _storable(reason)},
            cause=self._cause_of(recorded),
        )

    async def again(self, task: Task) -> Finished | Retry | Park:
        """Performs a `later` task: reacts to the event as if it came now."""
        events, _ = await self.upstream.read(int(task.data["position"]) - 1, 1)
        recorded = events[0]
        work = Work(self.log, self._clock.now(), _NOBODY, self._schedule, None)
        orders = await self._prefetch(work, events)
        state = work.state(self.policy.aggregate, self.policy.stream_of(_order_of(recorded.event)))
        reaction = self.policy.reaction(recorded.event, state)
        if isinstance(reaction, Ignore):
            return Finished()
        order_state = orders.get(_order_of(recorded.event))
        reason = reaction.reason if isinstance(reaction, Later) else None
        if order_state is None and type(recorded.event) in self.policy.reads_order:
            reason = "the order itself is not seen yet"
        if reason is not None or isinstance(reaction, Later):
            if task.attempts >= LATER_TRIES:
                return Park(reason or "")
            return Retry(backoff(task.attempts), reason)
        return Finished(reaction(recorded.event, state, order_state))  # type: ignore[arg-type]


class TaskRunner:
    """Performs the due tasks of one log, many at once, and commits their outcomes in batches."""

    def __init__(
        self,
        log: EventLog,
        performers: Mapping[str, Perform],
        clock: Clock,
        schedule: Schedule,
        traces: Traces | None = None,
    ) -> None:
        self.log = log
        self._traces = traces
        self._performers = performers
        self._clock = clock
        self._schedule = schedule
        self._waiting: deque[Task] = deque()
        self._known: set[UUID] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._outcomes: deque[tuple[Task, Finished | Retry | Park]] = deque()
        self._wake = asyncio.Event()

    def part(self, kinds: Callable[[str], bool]) -> "TaskRunner":
        """Another runner, for those of its kinds of tasks that `kinds` is true of."""
        chosen = {kind: perform for kind, perform in self._performers.items() if kinds(kind)}
        return TaskRunner(self.log, chosen, self._clock, self._schedule, self._traces)

    def offer(self, tasks: Iterable[Task]) -> None:
        """Tasks that were just committed by this process: those that are due need not be looked up."""
        now = self._clock.now()
        for task in tasks:
            if task.due <= now and task.id not in self._known and task.kind in self._performers:
                self._known.add(task.id)
                self._waiting.append(task)
        self._wake.set()

    @property
    def kinds(self) -> list[str]:
        """The kinds of tasks that it performs."""
        return list(self._performers)

    async def poll(self, now: datetime) -> None:
        """Looks up what is due."""
        if len(self._waiting) < CONCURRENCY:
            self.offer(await self.log.due_tasks(now, 2 * CONCURRENCY, kinds=self.kinds, exclude=list(self._known)))

    @property
    def idle(self) -> bool:
        """Nothing waits, runs or is to be committed in this process."""
        return not self._known

    async def step(self) -> bool:
        """Starts what may start and commits the outcomes that are there; whether anything happened."""
        while self._waiting and len(self._running) < CONCURRENCY:
            running = asyncio.create_task(self._perform(self._waiting.popleft()))
            self._running.add(running)
            running.add_done_callback(self._finished)
        if not self._outcomes:
            return False
        outcomes = [self._outcomes.popleft() for _ in range(min(len(self._outcomes), BATCH))]
        try:
            self.offer(await self._commit(outcomes))
        finally:
            # Whatever became of the commit, the table of tasks knows; forget them here.
            self._known.difference_update(task.id for task, _ in outcomes)
        return True

    async def run(self) -> None:
        """Performs tasks for ever."""
        next_poll = 0.0
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if loop.time() >= next_poll:
                await self.poll(self._clock.now())
                next_poll = loop.time() + IDLE
            if not await self.step():
                try:
                    async with asyncio.timeout(max(0.0, next_poll - loop.time())):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def stop(self) -> None:
        """Gives up what is under way and forgets everything: the table of tasks knows what is still to be done,
        and outcomes that are lost here are found again by key."""
        await end(self._running)
        self._waiting.clear()
        self._outcomes.clear()
        self._known.clear()

    def _finished(self, running: "asyncio.Task[None]") -> None:
        self._running.discard(running)
        self._wake.set()

    async def _perform(self, task: Task) -> None:
        began = time.time_ns()
        try:
            outcome = await self._performers[task.kind](task)
        except (Unavailable, Overloaded) as unavailable:
            outcome = Retry(backoff(task.attempts), str(unavailable))
        except Exception as bug:
            outcome = _failed(task, bug)
        except BaseException:
            # Whoever ended it, it must not pass for under way for ever.
            self._known.discard(task.id)
            raise
        if self._traces is not None and task.cause.request is not None:
            self._traces.record(
                task.kind,
                request=task.cause.request,
                key=span_of(_cause_of(task)),
                parent=f"request:{task.cause.request}",
                began=began,
                ended=time.time_ns(),
                attributes={"emporium.attempt": task.attempts, "emporium.correlation": task.cause.correlation},
                error=None if isinstance(outcome, Finished) else outcome.error,
            )
        self._outcomes.append((task, outcome))

    async def _commit(self, outcomes: Sequence[tuple[Task, Finished | Retry | Park]]) -> list[Task]:
        stale: frozenset[UUID] | None = frozenset()
        refused: dict[UUID, Retry | Park] = {}
        while True:
            work = Work(self.log, self._clock.now(), _NOBODY, self._schedule, stale)
            failed: tuple[UUID, Retry | Park] | None = None
            for task, outcome in outcomes:
                work.now = self._clock.following(task.due)
                try:
                    await self._settle(work, task, refused.get(task.id, outcome))
                except Rejected as rejected:
                    failed = task.id, _refused(task, rejected)
                    break
                except _NOT_ITS_FAULT:
                    raise
                except Exception as bug:
                    failed = task.id, _failed(task, bug)
                    break
            if failed is not None:
                if stale is None:
                    refused[failed[0]] = failed[1]
                stale = None
                continue
            try:
                await work.commit()
            except Conflict as conflict:
                stale = None if stale is None else stale | conflict.streams
            except Superseded:
                if len(outcomes) == 1:
                    return []  # another process has recorded this task's outcome
                return await self._commit_singly(outcomes)
            except _NOT_ITS_FAULT:
                raise
            except Exception as bug:
                if len(outcomes) > 1:
                    return await self._commit_singly(outcomes)
                [(task, outcome)] = outcomes
                if not isinstance(refused.get(task.id, outcome), Finished):
                    raise
                refused[task.id] = _failed(task, bug)
            else:
                return work.unit.tasks

    async def _commit_singly(self, outcomes: Sequence[tuple[Task, Finished | Retry | Park]]) -> list[Task]:
        return [made for one in outcomes for made in await self._commit([one])]

    async def _settle(self, work: Work, task: Task, outcome: Finished | Retry | Park) -> None:
        match outcome:
            case Finished(commands):
                for command in commands:
                    await handle(work, command, _cause_of(task))
                if commands and task.kind.startswith(_TIMER):
                    # Where nothing had to be done any more, that must still be so when the timer goes.
                    work.expect(task.stream)
                work.unit.done.append(Done(task.id))
            case Retry(after, error, failed):
                attempts = task.attempts + 1 if failed else task.attempts
                work.unit.task_updates.append(TaskUpdate(task.id, work.now + after, attempts, _storable(error)))
            case Park(error):
                work.unit.task_updates.append(
                    TaskUpdate(task.id, task.due, task.attempts + 1, _storable(error), parked=True)
                )


class ProcessManager:
    """A policy with all the logs that it follows and the tasks of its own log, under one lease."""

    def __init__(
        self,
        name: str,
        followers: Sequence[LogFollower],
        tasks: TaskRunner,
        leases: Leases,
        owner: str,
        ttl: float = 5.0,
    ) -> None:
        self.name = name
        self.followers = followers
        self.tasks = tasks
        self.leases = leases
        self._owner = owner
        self._ttl = ttl
        self.epoch: int | None = None

    async def run(self) -> None:
        """Waits for the lease, leads while it holds, begins again when it is lost. Ends when cancelled.

        Raises Restored.
        """
        while True:
            try:
                self.epoch = await self.leases.acquire(self.name, self._owner, self._ttl)
                if self.epoch is None:
                    await asyncio.sleep(self._ttl / 4)
                    continue
                await self._lead(self.epoch)
            except Restored:
                raise
            except (Superseded, Unavailable, Overloaded) as lost:
                _log.warning("%s steps down: %r", self.name, lost)
                await asyncio.sleep(IDLE)
            except Exception:
                _log.exception("%s failed and starts again", self.name)
                await asyncio.sleep(2 * IDLE)
            finally:
                epoch, self.epoch = self.epoch, None
                if epoch is not None:
                    try:
                        async with asyncio.timeout(1.0):
                            await self.leases.release(self.name, self._owner, epoch)
                    except (Unavailable, TimeoutError):
                        _log.info("%s could not give its lease back; it runs out by itself", self.name)

    async def _lead(self, epoch: int) -> None:
        try:
            following = (self._follow(follower, epoch) for follower in self.followers)
            await until_one_ends(self._renew(epoch), self.tasks.run(), *following)
        finally:
            await self.tasks.stop()

    async def _renew(self, epoch: int) -> None:
        while True:
            await asyncio.sleep(self._ttl / 3)
            if not await self.leases.renew(self.name, self._owner, epoch, self._ttl):
                raise Superseded(f"the lease of {self.name} is lost")

    async def _follow(self, follower: LogFollower, epoch: int) -> None:
        await follower.resume()
        while True:
            woken = await follower.upstream.wait(follower.position, IDLE, topics=follower.topics)
            # What does not matter to it is passed over too; a log that has not grown at all is not even read.
            if woken or await follower.upstream.wait(follower.position, 0.0, topics=()):
                moved, tasks = await follower.step(epoch)
                self.tasks.offer(tasks)
                if moved or woken:
                    continue
            await follower.rest(epoch)


_NOT_ITS_FAULT: Final = (Unavailable, Overloaded, Conflict, Superseded, Restored)
"""What says nothing of the event or task that was worked on just then."""

_LATER: Final = "later."
_TIMER: Final = "timer."

_BUG_TRIES: Final = 5
"""How often a task that ends in an error nobody foresaw is tried again before a person must look."""


def _told(bug: Exception) -> str:
    return f"{type(bug).__name__}: {bug}"


def _storable(error: str | None) -> str | None:
    """The text without NUL, which no database holds: it may be another's words."""
    return None if error is None else error.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _refused(task: Task, rejected: Rejected) -> Retry | Park:
    # What came too early once may still be too early; and a timer looks again at what has happened meanwhile.
    early = task.kind.startswith((_LATER, _TIMER)) and task.attempts < LATER_TRIES
    return Retry(backoff(task.attempts), rejected.text) if early else Park(rejected.text)


def _failed(task: Task, bug: Exception) -> Retry | Park:
    _log.error("the task %s %s failed", task.kind, task.id, exc_info=bug)
    return Park(_told(bug)) if task.attempts >= _BUG_TRIES else Retry(backoff(task.attempts), _told(bug))


_NOBODY: Final = Meta("", "", "system")
"""The cause of a batch as a whole; each of its commands brings its own."""


def _order_of(event: Event) -> UUID:
    return event.order_id  # type: ignore[attr-defined,no-any-return]


def _cause_of(task: Task) -> Meta:
    """Effects go on with the event that scheduled them; a timer is itself the cause."""
    if task.kind.startswith(_TIMER):
        return Meta(task.cause.correlation, f"timer:{task.id}", f"system:{task.kind}", task.cause.request)
    return task.cause


_LOGS: Final = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}
