"""The writer of one log: group commit of whatever waits, safe against conflicts, lost connections and restarts."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from struct import Struct
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg import errors as pg

from emporium.application.ports import (
    Conflict,
    IdempotencyReplay,
    LimitReached,
    Overloaded,
    Superseded,
    Taken,
    Unavailable,
)
from emporium.infra.eventstore.database import Connection, is_lost
from emporium.infra.eventstore.errors import WrongIncarnation
from emporium.infra.eventstore.prepared import Prepared
from emporium.infra.eventstore.tables import FENCED
from emporium.infra.eventstore.units import PARAMETER_TYPES, Packed, parameters

__all__ = ["Committed", "Writer"]

_logger = logging.getLogger(__name__)
_MOST_UNITS: Final = 256
_CROWD: Final = 16
_MOST_EVENTS: Final = 1024
_MOST_SKIPPED: Final = 1024

_BIGINT: Final = Struct("!q").pack
# The writer's identity before `parameters`: a uuid and two bigints.
_TYPES: Final = (2950, 20, 20, *PARAMETER_TYPES)

# Position of the batch's first event, and the outcome of each unit where one was refused.
_Outcome = tuple[int | None, list[Any] | None]
Connect = Callable[[], Awaitable[Connection]]


class Committed:
    """A unit that is in the log. `first` is the position of its first event (0 where it has none)."""

    __slots__ = ("first", "unit")

    def __init__(self, unit: Packed, first: int) -> None:
        self.unit = unit
        self.first = first

    @property
    def last(self) -> int:
        """The position of its last event (0 where it has none)."""
        return self.first + len(self.unit.events) - 1 if self.unit.events else 0


class _Entry:
    __slots__ = ("future", "unit")

    def __init__(self, unit: Packed, future: "asyncio.Future[int]") -> None:
        self.unit = unit
        self.future = future


class _Lane:
    """One connection of a writer, its identity in the database, and the batch that is under way on it."""

    def __init__(self) -> None:
        self.id = uuid4()
        self.connection: Connection | None = None
        self.append: Prepared | None = None
        self.generation = 0
        self.number = 0
        self.busy = False
        self.writes: set[object] = set()
        self.reads: set[object] = set()


class Writer:
    """Appends units to one log. Lives in one event loop.

    Args:
        log: its name.
        incarnation: the one whose positions this process holds.
        connect: makes an autocommit connection that nobody else uses.
        committed: told of every batch after its commit and before its callers: the units in order of position.
        queue: how many units may wait.
        patience: seconds for which a lost database is waited for.
        lanes: batches that may be under way at once; more than one hides the round trip.
        pace: seconds between the beginnings of two batches while no crowd waits.
    """

    def __init__(
        self,
        log: str,
        incarnation: UUID,
        connect: Connect,
        committed: Callable[[Sequence[Committed]], None],
        *,
        queue: int,
        patience: float,
        lanes: int,
        pace: float = 0.0,
    ) -> None:
        self._log = log
        self._incarnation = incarnation
        self._connect = connect
        self._committed = committed
        self._limit = queue
        self._patience = patience
        self._pace = pace
        self._began = 0.0
        self._queue: deque[_Entry] = deque()
        self._lanes = [_Lane() for _ in range(lanes)]
        self._wake = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        marks = ", ".join(f"${number}" for number in range(1, len(_TYPES) + 1))
        self._append: Final = f"SELECT first, outcomes FROM public.emporium_append_{log}({marks})".encode()
        self._find: Final = (
            f"SELECT notification_id FROM public.{log}_events"
            " WHERE originator_id = %s AND originator_version = %s".encode()
        )
        self._enter: Final = f"SELECT * FROM public.emporium_enter_{log}(%s)".encode()

    async def append(self, unit: Packed) -> int:
        """See the port. A caller that is cancelled leaves the unit to its fate: not yet sent, it is dropped."""
        if len(self._queue) >= self._limit:
            raise Overloaded(f"{self._limit} commands wait for the log {self._log}")
        if self._closing:
            raise Unavailable(f"the log {self._log} is being closed")
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._run(lane)) for lane in self._lanes]
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(_Entry(unit, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Commits what waits, then lets the connections go."""
        self._closing = True
        self._wake.set()
        await asyncio.gather(*self._tasks)
        for lane in self._lanes:
            await self._drop(lane)

    async def _run(self, lane: _Lane) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._queue and len(self._queue) < _CROWD and not self._closing:
                early = self._began + self._pace - loop.time()
                if early > 0:
                    await asyncio.sleep(early)
            batch = self._take(lane)
            if not batch:
                if self._closing and not self._queue:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            lane.busy = True
            self._began = loop.time()
            try:
                await self._commit(lane, batch)
            except Exception as error:
                _logger.exception("a batch of the log %s failed", self._log)
                _fail(batch, error)
                await self._drop(lane)
            finally:
                lane.busy = False
                lane.writes, lane.reads = set(), set()
                # The other lanes may have left units that touched what this batch touched.
                self._wake.set()

    def _take(self, lane: _Lane) -> list[_Entry]:
        """The next batch: units in order of arrival that touch nothing in common with each other,
        with what is under way, or with an earlier unit that must itself wait."""
        writes: set[object] = set().union(*(other.writes for other in self._lanes))
        reads: set[object] = set().union(*(other.reads for other in self._lanes))
        most = self._share(lane)
        batch: list[_Entry] = []
        waiting: list[_Entry] = []
        events = 0
        queue = self._queue
        while queue and len(batch) < most and events < _MOST_EVENTS and len(waiting) < _MOST_SKIPPED:
            entry = queue.popleft()
            if entry.future.done():
                continue
            unit = entry.unit
            if unit.writes.isdisjoint(writes) and unit.writes.isdisjoint(reads) and unit.reads.isdisjoint(writes):
                batch.append(entry)
                events += len(unit.events)
                lane.writes |= unit.writes
                lane.reads |= unit.reads
            else:
                waiting.append(entry)
            writes |= unit.writes
            reads |= unit.reads
        queue.extendleft(reversed(waiting))
        return batch

    def _share(self, lane: _Lane) -> int:
        """How many units the next batch of a lane takes.

        Lanes that are idle together share a crowd, else all callers would march in step and the database
        idle while they think. What is no crowd is left to the first lane, so that a quiet log has one connection.
        """
        if lane is not self._lanes[0] and len(self._queue) < _CROWD:
            return 0
        idle = sum(not other.busy for other in self._lanes)
        return min(_MOST_UNITS, max(_CROWD, -(-len(self._queue) // idle)))

    async def _commit(self, lane: _Lane, batch: list[_Entry]) -> None:
        try:
            row = await self._send(lane, [entry.unit for entry in batch])
        except (Unavailable, WrongIncarnation) as error:
            _fail(batch, error)
            return
        except psycopg.Error as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # Something that no unit may do befell one of them: alone, only that one fails.
            for entry in batch:
                await self._commit(lane, [entry])
            return
        self._settle(batch, *row)

    async def _send(self, lane: _Lane, units: list[Packed]) -> _Outcome:
        """Commits exactly once, across lost connections. Raises Unavailable after the patience is over."""
        deadline = asyncio.get_running_loop().time() + self._patience
        lane.number += 1
        values = parameters(units)
        pause = 0.02
        while True:
            try:
                if lane.connection is None:
                    row = await self._open(lane, units)
                    if row is not None:
                        return row
                assert lane.append is not None
                head = lane.id.bytes, _BIGINT(lane.generation), _BIGINT(lane.number)
                return _row(await lane.append.call([*head, *values]))
            except (psycopg.Error, OSError) as error:
                await self._survive(lane, error, deadline)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async def _survive(self, lane: _Lane, error: psycopg.Error | OSError, deadline: float) -> None:
        """Returns where the batch may be sent again, raises where it may not."""
        state = getattr(error, "sqlstate", None)
        if isinstance(error, pg.DeadlockDetected | pg.SerializationFailure):
            return
        if state is not None and state.startswith("53"):
            raise Unavailable(f"the database cannot write: {error}") from error
        if not is_lost(error) and state != FENCED and not isinstance(error, pg.ReadOnlySqlTransaction):
            raise error
        await self._drop(lane)
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"the database of the log {self._log} cannot be reached: {error}") from error

    async def _open(self, lane: _Lane, units: list[Packed]) -> _Outcome | None:
        """A new connection, fenced against the lane's earlier one; the outcome of the batch that is under
        way where the earlier one committed it."""
        connection = await self._connect()
        try:
            append = Prepared(connection, _TYPES)
            await append.prepare(self._append)
            cursor = await connection.execute(self._enter, [lane.id], binary=True)
            (row,) = await cursor.fetchall()
            generation, number, outcomes, incarnation = row
            if incarnation != self._incarnation:
                raise WrongIncarnation(self._log, incarnation, self._incarnation)
            committed = number == lane.number
            first = await self._position_of(connection, units) if committed else None
        except BaseException:
            await connection.close()
            raise
        lane.connection, lane.append, lane.generation = connection, append, generation
        return (first, outcomes) if committed else None

    async def _position_of(self, connection: Connection, units: list[Packed]) -> int | None:
        """Where the first event of a batch is, if it is in the log."""
        first = next((unit.events[0] for unit in units if unit.events), None)
        if first is None:
            return None
        cursor = await connection.execute(self._find, [first.stream, first.version])
        row = await cursor.fetchone()
        return None if row is None else int(row[0])

    async def _drop(self, lane: _Lane) -> None:
        connection, lane.connection = lane.connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

    def _settle(self, batch: list[_Entry], first: int | None, outcomes: list[Any] | None) -> None:
        committed: list[Committed] = []
        position = first or 0
        for number, entry in enumerate(batch):
            if outcomes is None:
                done = Committed(entry.unit, position if entry.unit.events else 0)
                position += len(entry.unit.events)
            elif "ok" in outcomes[number]:
                last: int = outcomes[number]["ok"]
                done = Committed(entry.unit, last - len(entry.unit.events) + 1 if entry.unit.events else 0)
            else:
                if not entry.future.done():
                    entry.future.set_exception(_refusal(outcomes[number]))
                continue
            committed.append(done)
        self._committed(committed)
        answers = {id(done.unit): done.last for done in committed}
        for entry in batch:
            if not entry.future.done():
                entry.future.set_result(answers[id(entry.unit)])


def _row(columns: list[bytes | None]) -> _Outcome:
    first, outcomes = columns
    return (
        None if first is None else int.from_bytes(first, signed=True),
        None if outcomes is None else msgspec.json.decode(outcomes[1:]),
    )


def _fail(batch: Iterable[_Entry], error: BaseException) -> None:
    for entry in batch:
        if not entry.future.done():
            entry.future.set_exception(error)


def _refusal(outcome: dict[str, Any]) -> Exception:
    match outcome:
        case {"replay": [body_hash, answer, position]}:
            return IdempotencyReplay(bytes.fromhex(body_hash), bytes.fromhex(answer), position)
        case {"conflict": streams}:
            return Conflict(frozenset(map(UUID, streams)))
        case {"taken": [scope, owner]}:
            return Taken(scope, UUID(owner))
        case {"limit": name}:
            return LimitReached(name)
        case {"superseded": _}:
            return Superseded("another leader has taken over, or the task has its outcome")
        case {"error": [state, message]}:
            return pg.lookup(state)(message)
    raise AssertionError(outcome)
