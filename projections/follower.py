"""Folds one generation of one read model: rows and position in one transaction, poison set aside with its key."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from emporium.application.ports import Recorded, Superseded, Unavailable, Unreadable
from emporium.projections import generations
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.source import Item, Source

__all__ = ["TRANSIENT", "Follower", "Foreign", "Moved", "Paused", "Stopped", "name_of"]

MAX_POISON: Final = 1_000
"""So many keys may wait aside; more of them mean that not the events are wrong but the fold."""

TRANSIENT: Final = (psycopg.OperationalError, psycopg.InterfaceError, Unavailable, OSError, TimeoutError)
"""What waiting cures: it says nothing about an event."""

_log = logging.getLogger(__name__)


class Moved(Exception):  # noqa: N818
    """The tracking rows are not where this follower left them: the generation was swapped."""


class Paused(Exception):  # noqa: N818
    """Somebody paused the model."""


class Foreign(Exception):  # noqa: N818
    """The log was restored: positions of its former life mean nothing, the model must be rebuilt."""


class Stopped(Exception):  # noqa: N818
    """The model cannot go on until a person has acted."""


def name_of(model: ReadModel) -> str:
    """The name of a leader's connection, by which its successor finds it."""
    return f"emporium {model.name}"


class _Step(msgspec.Struct, frozen=True):
    """What a transaction moves: one log's batch."""

    log: str
    old: int
    new: int
    items: Sequence[Item]


class _Parked(msgspec.Struct, frozen=True):
    """One event to set aside; without an error it waits behind another of its key."""

    model: str
    generation: str
    log: str
    position: int
    key: str
    topic: str
    error: str | None


class Follower:
    """One generation of one read model, folded by whoever holds the epoch.

    Args:
        connection: this follower's own, in autocommit mode; it is set up here.
        sources: where each log of the model is read.
        epoch: the lease's; a newer one in the tracking rows means Superseded.
        idle: seconds after which the database ends a transaction in which nothing happens: a process that
            was stopped in the middle of one must not hold its successor up.
    """

    def __init__(
        self,
        model: ReadModel,
        generation: str,
        connection: Connection,
        sources: Mapping[str, Source],
        epoch: int,
        *,
        idle: float = 8.0,
    ) -> None:
        self.model = model
        self.generation = generation
        self.connection = connection
        self.folded = 0
        self.positions: dict[str, int] = {}
        self._sources = sources
        self._epoch = epoch
        self._idle = idle
        self._tables = Tables(connection)
        self._incarnations: dict[str, UUID | None] = {}
        self._parked: set[str] = set()
        self._suspicious = False

    async def claim(self) -> None:
        """Takes the tracking rows over and stands where they say. Raises Superseded, Foreign."""
        schema = generations.schema_of(self.model.name, self.generation)
        # Folds look rows up by key, always: a plan made while the tables were empty must not scan them later.
        # What a crash of the database undoes, position and rows together, is folded again: commits need not wait.
        await self.connection.execute(
            sql.SQL(
                "SET search_path = {}, public; SET enable_seqscan = off; SET enable_hashjoin = off;"
                " SET enable_mergejoin = off; SET jit = off; SET synchronous_commit = off;"
                " SET plan_cache_mode = force_generic_plan; SET idle_in_transaction_session_timeout = {}"
            ).format(sql.Identifier(schema), sql.Literal(f"{self._idle * 1_000:.0f}ms"))
        )
        await self._take_over()
        await self.load()

    async def _take_over(self) -> None:
        """Sets the epoch. A predecessor that stands still within a transaction is cut off after the idle time:
        while a pipeline is open no timeout of the database sees that nothing comes any more."""
        while True:
            try:
                async with self.connection.transaction():
                    await self.connection.execute(
                        sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{self._idle * 250:.0f}ms"))
                    )
                    await self.connection.execute(
                        "UPDATE emporium_projection_tracking SET epoch = %s"
                        " WHERE model = %s AND generation = %s AND epoch < %s",
                        [self._epoch, self.model.name, self.generation, self._epoch],
                    )
                return
            except psycopg.errors.LockNotAvailable:
                await self.connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = %s AND pid <> pg_backend_pid() AND datname = current_database()"
                    " AND xact_start < clock_timestamp() - make_interval(secs => %s)",
                    [name_of(self.model), self._idle],
                )

    async def load(self) -> None:
        """Reads positions and parked keys anew. Raises Superseded, Foreign."""
        rows = await generations.positions(self.connection, self.model.name, self.generation)
        if any(row.epoch != self._epoch for row in rows.values()) or rows.keys() != self.model.logs.keys():
            raise Superseded
        self.positions = {log: row.position for log, row in rows.items()}
        self._incarnations = {log: row.incarnation for log, row in rows.items()}
        cursor = await self.connection.execute(
            "SELECT DISTINCT key FROM emporium_parked WHERE model = %s AND generation = %s",
            [self.model.name, self.generation],
        )
        self._parked = {key for (key,) in await cursor.fetchall()}

    async def advance(self) -> int:
        """Folds the next batch of every log in one transaction; how many events there were.

        Returns -1 where there was nothing to read. Raises Moved, Paused, Foreign, Stopped, and what is TRANSIENT.
        """
        steps = []
        for log, source in self._sources.items():
            old = self.positions[log]
            items, new = await source.read(old)
            if new > old:
                steps.append(_Step(log, old, new, items))
        if not steps:
            return -1
        await self._commit(steps)
        self.positions.update({step.log: step.new for step in steps})
        count = sum(len(step.items) for step in steps)
        self.folded += count
        return count

    async def catch_up(self, targets: Mapping[str, int]) -> None:
        """Folds within the caller's transaction until no log is behind its target."""
        for log, target in targets.items():
            while self.positions[log] < target:
                old = self.positions[log]
                items, new = await self._sources[log].read(old)
                if new <= old:
                    raise LookupError(f"the log {log} ends at {old}, before {target}")
                with _named():
                    await self._move([_Step(log, old, new, items)])
                await self._sift_step(_Step(log, old, new, items))
                self.positions[log] = new

    # --- the transaction ---------------------------------------------------------------------------

    async def _commit(self, steps: Sequence[_Step]) -> None:
        batches = [self._clean(step.items) for step in steps]
        if self._suspicious or None in batches:
            await self._commit_sifted(steps)
            return
        try:
            with _named():
                # In a pipeline only what is read is waited for, and the end.
                async with self.connection.pipeline(), self.connection.transaction():
                    await self._move(steps)
                    for step, events in zip(steps, batches, strict=True):
                        if events:
                            await self.model.fold(self._tables, step.log, events)
                    await self._tell()
        except (*TRANSIENT, Moved, Paused, Foreign):
            raise
        except Exception as error:
            _log.warning("%s: a batch cannot be folded, looking for the culprit: %s", self.model.name, error)
            await self._commit_sifted(steps)

    def _clean(self, items: Sequence[Item]) -> Sequence[Recorded] | None:
        """The events, or None where some must be set aside."""
        events = [item for item in items if isinstance(item, Recorded)]
        if len(events) < len(items):
            return None
        if self._parked and not all(self._parked.isdisjoint(self._keys(event)) for event in events):
            return None
        return events

    async def _move(self, steps: Sequence[_Step]) -> None:
        """The compare-and-swap of the positions. It comes first in the transaction: whoever swaps the
        generation waits for it, or it finds another generation's rows and nothing was written."""
        incarnations = []
        for step in steps:
            current = self._sources[step.log].incarnation
            if self._incarnations[step.log] not in (None, current):
                raise Foreign(f"the log {step.log} was restored")
            incarnations.append(current)
        await self.connection.execute(
            "SELECT emporium_projection_move(%s, %s, %s, %s, %s, %s, %s)",
            [
                self.model.name,
                self.generation,
                self._epoch,
                [step.log for step in steps],
                [step.old for step in steps],
                [step.new for step in steps],
                incarnations,
            ],
        )
        for step, incarnation in zip(steps, incarnations, strict=True):
            self._incarnations[step.log] = incarnation

    async def _tell(self) -> None:
        """Wakes the readers at the commit, which waits for no disk and so holds nobody up."""
        if self.generation == generations.LIVE:
            await generations.notify(self.connection, self.model.name)

    # --- poison ------------------------------------------------------------------------------------

    def _keys(self, item: Item) -> tuple[str, str]:
        """What the item is about, and its stream: of an event that cannot be read only this is known."""
        if isinstance(item, Unreadable):
            return str(item.stream), str(item.stream)
        try:
            return str(self.model.key(item)), str(item.stream)
        except Exception:
            return str(item.stream), str(item.stream)

    async def _commit_sifted(self, steps: Sequence[_Step]) -> None:
        before = set(self._parked)
        try:
            with _named():
                async with self.connection.transaction():
                    await self._move(steps)
                    for step in steps:
                        await self._sift_step(step)
                    await self._tell()
        except BaseException:
            self._parked = before
            raise
        # The next batch may be as bad: fold it the careful way at once, until one is clean.
        self._suspicious = self._parked != before

    async def _sift_step(self, step: _Step) -> None:
        parked: list[_Parked] = []
        await self._sift(step.items, parked)
        if len(self._parked) > MAX_POISON:
            raise Stopped(f"more than {MAX_POISON} keys cannot be folded; the last: {parked[-1].error}")
        await self._tables.write(
            "INSERT INTO emporium_parked (model, generation, log, position, key, topic, error)"
            " SELECT model, generation, log, position, key, topic, error"
            " FROM json_populate_recordset(NULL::emporium_parked, %s)",
            parked,
        )

    async def _sift(self, items: Sequence[Item], parked: list[_Parked]) -> None:
        """Folds what can be folded: halves a batch that fails until the culprit stands alone."""
        good: list[Recorded] = []
        for item in items:
            key, stream = self._keys(item)
            if key in self._parked or stream in self._parked:
                parked.append(self._aside(item, key if key in self._parked else stream, None))
            elif isinstance(item, Unreadable):
                self._park(item, item, parked)
            else:
                good.append(item)
        if not good:
            return
        try:
            async with self.connection.transaction():
                await self.model.fold(self._tables, good[0].log, good)
        except TRANSIENT:
            raise
        except psycopg.ProgrammingError as error:
            raise Stopped(f"its tables and its fold do not fit: {error}") from error
        except Exception as error:
            if len(good) == 1:
                self._park(good[0], error, parked)
                return
            middle = len(good) // 2
            await self._sift(good[:middle], parked)
            await self._sift(good[middle:], parked)

    def _park(self, item: Item, error: Exception, parked: list[_Parked]) -> None:
        key = self._keys(item)[0]
        self._parked.add(key)
        text = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
        parked.append(self._aside(item, key, text.split("\n", 1)[0][:500]))
        _log.error("%s sets %s at %s of %s aside: %s", self.model.name, item.topic, item.position, item.log, text)

    def _aside(self, item: Item, key: str, error: str | None) -> _Parked:
        return _Parked(self.model.name, self.generation, item.log, item.position, key, item.topic, error)

    async def retry_parked(self) -> int:
        """Folds what was marked for another attempt, key by key; how many keys are free again."""
        cursor = await self.connection.execute(
            "SELECT key, array_agg(log ORDER BY log, position), array_agg(position ORDER BY log, position)"
            " FROM emporium_parked WHERE model = %s AND generation = %s"
            " GROUP BY key HAVING bool_or(retry) ORDER BY key",
            [self.model.name, self.generation],
        )
        freed = 0
        for key, logs, places in await cursor.fetchall():
            freed += await self._retry_key(key, list(zip(logs, places, strict=True)))
        if freed:
            await self._tell()
        return freed

    async def _retry_key(self, key: str, places: list[tuple[str, int]]) -> bool:
        where: list[Any] = [self.model.name, self.generation, key]
        failed: tuple[str, int] | None = None
        try:
            async with self.connection.transaction():
                await self._hold()
                async for item in self._events_at(places):
                    failed = (item.log, item.position)
                    if isinstance(item, Unreadable):
                        raise item
                    await self.model.fold(self._tables, item.log, [item])
                await self.connection.execute(
                    "DELETE FROM emporium_parked WHERE model = %s AND generation = %s AND key = %s", where
                )
        except (*TRANSIENT, Moved, Paused):
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}".split("\n", 1)[0][:500]
            _log.warning("%s still cannot fold %s: %s", self.model.name, key, text)
            await self.connection.execute(
                "UPDATE emporium_parked SET retry = false, error = CASE WHEN (log, position) = (%s, %s) THEN %s END"
                " WHERE model = %s AND generation = %s AND key = %s",
                [*(failed or places[0]), text, *where],
            )
            return False
        self._parked.discard(key)
        return True

    async def _hold(self) -> None:
        cursor = await self.connection.execute(
            "UPDATE emporium_projection_tracking SET epoch = epoch WHERE model = %s AND generation = %s AND epoch = %s",
            [self.model.name, self.generation, self._epoch],
        )
        if cursor.rowcount != len(self.positions):
            raise Moved

    async def _events_at(self, places: Sequence[tuple[str, int]]) -> AsyncIterator[Item]:
        """What stands at these places (sorted), read in batches."""
        batch: dict[tuple[str, int], Item] = {}
        for log, position in places:
            if (log, position) not in batch:
                items, _ = await self._sources[log].read(position - 1)
                batch = {(item.log, item.position): item for item in items}
            yield batch[log, position]


@contextmanager
def _named() -> Iterator[None]:
    """Gives the refusals of `emporium_projection_move` their names. Raises Moved, Paused."""
    try:
        yield
    except psycopg.DatabaseError as error:
        if error.sqlstate == generations.MOVED:
            raise Moved from error
        if error.sqlstate == generations.PAUSED:
            raise Paused from error
        raise
