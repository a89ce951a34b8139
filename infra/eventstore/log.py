"""One context's log: the port `EventLog` over PostgreSQL."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar, cast
from uuid import UUID

import msgspec

from emporium.application.ports import IdempotencyReplay, Meta, Recorded, Task, Unavailable, Unit
from emporium.domain.base import Aggregate, State
from emporium.infra.eventstore.database import Database
from emporium.infra.eventstore.errors import LogShortened, WrongIncarnation
from emporium.infra.eventstore.feed import Feed
from emporium.infra.eventstore.leases import Leases
from emporium.infra.eventstore.loading import Loader
from emporium.infra.eventstore.registry import CORRELATION_OFFSET, Registry
from emporium.infra.eventstore.tail import Notifier, Tail
from emporium.infra.eventstore.units import Packed, idempotency_id, tracking_name
from emporium.infra.eventstore.writer import Committed, Writer

__all__ = ["Limits", "PgEventLog"]

_logger = logging.getLogger(__name__)
S = TypeVar("S", bound=State)

_INDEXED: Final = 15  # bytes of the correlation that the index holds


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything one process takes.

    Attributes:
        queue: units that wait for a log before Overloaded is raised.
        cached: streams of a log whose states are remembered.
        recent: events of a log that are kept for its followers.
        snapshot_every: versions of a stream between two snapshots.
        pool: connections for reading, per database.
        patience: seconds for which a lost database is waited for before Unavailable is raised.
        lanes: writing connections per log.
        pace: seconds between two batches of a log while few units wait: fewer, larger commits. A process with
            many callers wants some; one whose work goes step by step wants none.
    """

    queue: int = 4096
    cached: int = 20_000
    recent: int = 4096
    snapshot_every: int = 200
    pool: int = 4
    patience: float = 10.0
    lanes: int = 2
    pace: float = 0.0


class PgEventLog:
    """See `emporium.application.ports.EventLog`. Made by `EventStore`.

    Attributes:
        name: the log's.
        leases: of the followers that write to this log.
    """

    def __init__(
        self,
        name: str,
        incarnation: UUID,
        database: Database,
        registry: Registry,
        notifier: Notifier,
        incarnation_of: Callable[[str], UUID | None],
        limits: Limits,
    ) -> None:
        self.name = name
        self.leases = Leases(database, name)
        self._incarnation = incarnation
        self._database = database
        self._registry = registry
        self._notifier = notifier
        self._incarnation_of = incarnation_of
        self._loader = Loader(name, database, registry, cached=limits.cached, interval=limits.snapshot_every)
        self._feed = Feed(name, incarnation, database, registry, limits.recent, self._loader.cache)
        self.tail = Tail(self._look, self._feed.there)
        self._writer = Writer(
            name,
            incarnation,
            database.connect,
            self._on_commit,
            queue=limits.queue,
            patience=limits.patience,
            lanes=limits.lanes,
            pace=limits.pace,
        )
        self._events = f"public.{name}_events"

    @property
    def incarnation(self) -> UUID:
        """Made with the log, changed by a restore."""
        return self._incarnation

    async def close(self) -> None:
        """Commits what waits and stops."""
        await self._writer.close()
        await self._loader.close()
        await self.tail.close()

    # --- writing -----------------------------------------------------------------------------------

    async def append(self, unit: Unit) -> int:
        """See the port. Raises ValueError for a unit that is wrong in itself, WrongIncarnation after a restore."""
        return await self._writer.append(Packed(self.name, unit, self._registry))

    def _on_commit(self, units: Sequence[Committed]) -> None:
        last = 0
        topics: set[bytes] = set()
        for done in units:
            if done.unit.events:
                self._loader.cache.advance(done.unit.events, done.unit.begins)
                last = max(last, done.last)
                topics.update(done.unit.topics)
        self._feed.took(units)
        if last:
            self.tail.advance(last)
            if 0 <= self._feed.high < last:
                # Others have written in between: only the database can tell what.
                self.tail.nudge()
            self._notifier.notify(f"{self.name}_events", last, [topic[4:].decode() for topic in topics])

    def heard(self, position: int | None, topics: Collection[str]) -> None:
        """Another process says that the log has grown; what this one wrote itself it knows."""
        if position is not None and position <= (self.tail.head if self._feed.high < 0 else self._feed.high):
            return
        if topics:
            self.tail.hint(topics)
        else:
            self.tail.nudge()

    async def answered(self, scope: str, key: str) -> IdempotencyReplay | None:
        """See the port."""
        rows = await self._database.query(
            "SELECT i.body_hash, i.answer, coalesce(e.notification_id, 0)"
            f" FROM public.{self.name}_idempotency i LEFT JOIN public.{self.name}_events e"
            " ON e.originator_id = i.stream AND e.originator_version = i.version WHERE i.id = %b",
            [idempotency_id(scope, key)],
        )
        return IdempotencyReplay(*rows[0]) if rows else None

    async def forget_answers(self, age: timedelta) -> int:
        """Removes the records of answers that are older; how many."""
        rows = await self._database.query(
            f"WITH gone AS (DELETE FROM public.{self.name}_idempotency WHERE created_at < now() - %b::interval"
            " RETURNING 1) SELECT count(*) FROM gone",
            [age],
        )
        return int(rows[0][0])

    async def claimed(self, scope: str, value: bytes) -> UUID | None:
        """See the port."""
        rows = await self._database.query(
            f"SELECT owner FROM public.{self.name}_claims WHERE scope = %b AND value = %b", [scope, value]
        )
        return rows[0][0] if rows else None

    async def claim_owners(self, scope: str, values: Sequence[bytes]) -> dict[bytes, UUID]:
        """See the port."""
        rows = await self._database.query(
            f"SELECT value, owner FROM public.{self.name}_claims WHERE scope = %b AND value = ANY(%b)",
            [scope, list(values)],
        )
        return {bytes(value): owner for value, owner in rows}

    async def claims(self, scope: str) -> list[UUID]:
        """See the port."""
        rows = await self._database.query(f"SELECT owner FROM public.{self.name}_claims WHERE scope = %b", [scope])
        return [owner for (owner,) in rows]

    async def counted(self, names: Sequence[str]) -> dict[str, int]:
        """See the port."""
        rows = await self._database.query(
            f"SELECT name, value FROM public.{self.name}_counters WHERE name = ANY(%b)", [list(names)]
        )
        return dict.fromkeys(names, 0) | dict(rows)

    # --- loading -----------------------------------------------------------------------------------

    async def load(self, aggregate: Aggregate[S], stream: UUID, *, fresh: bool = False) -> tuple[S | None, int]:
        """See the port."""
        if not fresh:
            known = self._loader.cache.get(aggregate, stream)
            if known is not None:
                return cast("S | None", known.state), known.version
        return (await self._loader.load_many(aggregate, [stream], fresh=fresh))[stream]

    async def load_many(
        self,
        aggregate: Aggregate[S],
        streams: Sequence[UUID],
        *,
        fresh: bool = False,
        presumed_new: Collection[UUID] = (),
    ) -> dict[UUID, tuple[S | None, int]]:
        """See the port."""
        return await self._loader.load_many(aggregate, streams, fresh=fresh, presumed_new=presumed_new)

    # --- reading -----------------------------------------------------------------------------------

    async def stream(self, stream: UUID, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """See the port. Raises UnreadableEvent."""
        rows = await self._database.query(
            f"SELECT notification_id, originator_id, originator_version, topic, state FROM {self._events}"
            f" WHERE originator_id = %b AND originator_version > %b ORDER BY originator_version LIMIT %b",
            [stream, after, limit],
        )
        return [self._registry.decode(self.name, *row) for row in rows]

    async def read(
        self, after: int, limit: int, *, topics: Collection[str] | None = None
    ) -> tuple[list[Recorded], int]:
        """See the port. Events before one that cannot be decoded are given; it itself raises UnreadableEvent."""
        if self.tail.head == 0:
            await self.head()
        return await self._feed.read(after, limit, None if topics is None else frozenset(topics), self.tail.head)

    async def by_correlation(self, correlation: str) -> list[Recorded]:
        """See the port."""
        # The index holds the first bytes after the opening quote; for a short correlation the closing quote too.
        prefix = (msgspec.json.encode(correlation)[1:])[:_INDEXED]
        rows = await self._database.query(
            f"SELECT notification_id, originator_id, originator_version, topic, state FROM {self._events}"
            f" WHERE substring(state, {CORRELATION_OFFSET + 1}, {_INDEXED}) >= %b"
            f" AND substring(state, {CORRELATION_OFFSET + 1}, {_INDEXED}) < %b ORDER BY notification_id",
            [prefix, prefix + b"\xff"],
        )
        events = [self._registry.decode(self.name, *row) for row in rows]
        return [event for event in events if event.meta.correlation == correlation]

    async def head(self) -> int:
        """See the port."""
        head = await self._read_head()
        self.tail.advance(head)
        return head

    async def _read_head(self) -> int:
        known = self.tail.head
        rows = await self._database.query(
            f"SELECT coalesce(max(notification_id), 0), (SELECT incarnation FROM emporium_logs WHERE name = %b)"
            f" FROM {self._events}",
            [self.name],
        )
        head, incarnation = rows[0]
        if incarnation != self._incarnation:
            raise WrongIncarnation(self.name, incarnation, self._incarnation)
        if head < known:
            raise LogShortened(self.name, head, known)
        return int(head)

    async def _look(self) -> int:
        if self._feed.high < 0:
            return await self._read_head()
        await self._feed.refresh(self.tail.head)
        return self._feed.high

    async def wait(self, after: int, timeout: float, *, topics: Collection[str] | None = None) -> bool:
        """See the port. Raises WrongIncarnation or LogShortened after a restore."""
        return await self.tail.wait(after, timeout, None if topics is None else frozenset(topics))

    async def follow(self, after: int, batch: int) -> AsyncIterator[list[Recorded]]:
        """See the port."""
        while True:
            try:
                events, after = await self.read(after, batch)
                if events:
                    yield events
                else:
                    await self.wait(after, 60.0)
            except Unavailable as error:
                _logger.info("following the log %s was interrupted: %s", self.name, error)

    # --- tasks and tracking ------------------------------------------------------------------------

    async def due_tasks(
        self, now: datetime, limit: int, *, kinds: Sequence[str] | None = None, exclude: Sequence[UUID] = ()
    ) -> list[Task]:
        """See the port."""
        return await self._tasks(
            "NOT parked AND due <= %b AND (%b::text[] IS NULL OR kind = ANY (%b))"
            " AND id <> ALL (%b::uuid[]) ORDER BY due LIMIT %b",
            [now, kinds and list(kinds), kinds and list(kinds), list(exclude), limit],
        )

    async def _tasks(self, which: str, values: list[object]) -> list[Task]:
        rows = await self._database.query(
            "SELECT id, kind, due, stream, data::text, cause::text, attempts, error, parked"
            f" FROM public.{self.name}_tasks WHERE {which}",
            values,
        )
        return [
            Task(id, kind, due, stream, msgspec.json.decode(data), msgspec.json.decode(cause, type=Meta), *rest)
            for id, kind, due, stream, data, cause, *rest in rows
        ]

    async def parked(self, limit: int) -> list[Task]:
        """Tasks that wait for a person, the oldest first."""
        return await self._tasks("parked ORDER BY due, id LIMIT %b", [limit])

    async def held_up(self, since: datetime, limit: int) -> list[tuple[datetime, Task]]:
        """Tasks that go on by themselves, but have been tried in vain since a time before `since`; the oldest first."""
        rows = await self._database.query(
            f"SELECT id, held_since FROM public.{self.name}_tasks WHERE NOT parked AND held_since <= %b"
            " ORDER BY held_since, id LIMIT %b",
            [since, limit],
        )
        times: dict[UUID, datetime] = dict(rows)
        tasks = await self._tasks("NOT parked AND id = ANY (%b)", [list(times)]) if times else []
        return sorted(((times[task.id], task) for task in tasks), key=lambda one: (one[0], one[1].id))

    async def unpark(self, ids: Collection[UUID] | None = None) -> int:
        """Lets parked tasks (None: all) be tried again at once, as often as new ones; how many there were."""
        rows = await self._database.query(
            f"UPDATE public.{self.name}_tasks SET parked = false, attempts = 0, due = now()"
            " WHERE parked AND (%b::uuid[] IS NULL OR id = ANY (%b)) RETURNING id",
            [ids and list(ids), ids and list(ids)],
        )
        return len(rows)

    async def next_due(self) -> datetime | None:
        """See the port."""
        rows = await self._database.query(f"SELECT min(due) FROM public.{self.name}_tasks WHERE NOT parked", [])
        due: datetime | None = rows[0][0]
        return due

    async def tracking(self, name: str, upstream: str) -> int:
        """See the port. Raises WrongIncarnation for a position in an earlier life of the upstream log."""
        rows = await self._database.query(
            f"SELECT notification_id, incarnation FROM public.{self.name}_tracking WHERE application_name = %b",
            [tracking_name(name, upstream)],
        )
        if not rows:
            return 0
        position, incarnation = rows[0]
        current = self._incarnation_of(upstream)
        if incarnation is not None and current is not None and incarnation != current:
            raise WrongIncarnation(upstream, current, incarnation)
        return int(position)
