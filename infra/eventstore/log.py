"""One context's log: the port `EventLog` over PostgreSQL."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec

from emporium.application.ports import IdempotencyReplay, Meta, Recorded, Task, Unavailable, Unit
from emporium.domain.base import Aggregate, State
from emporium.infra.eventstore.cache import Cached, StateCache
from emporium.infra.eventstore.database import Database
from emporium.infra.eventstore.errors import UnreadableEvent, WrongIncarnation
from emporium.infra.eventstore.leases import Leases
from emporium.infra.eventstore.registry import CORRELATION_OFFSET, Registry
from emporium.infra.eventstore.tail import Notifier, Tail
from emporium.infra.eventstore.units import Packed, tracking_name
from emporium.infra.eventstore.writer import Committed, Writer

__all__ = ["Limits", "PgEventLog"]

_logger = logging.getLogger(__name__)
S = TypeVar("S", bound=State)

_WINDOW: Final = 100_000  # positions that one filtered read looks through at most
_INDEXED: Final = 15  # bytes of the correlation that the index holds


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything one process takes.

    Attributes:
        queue: units that wait for a log before Overloaded is raised.
        cached: streams of a log whose states are remembered.
        snapshot_every: versions of a stream between two snapshots.
        pool: connections for reading, per database.
        patience: seconds for which a lost database is waited for before Unavailable is raised.
        lanes: writing connections per log.
    """

    queue: int = 4096
    cached: int = 20_000
    snapshot_every: int = 200
    pool: int = 4
    patience: float = 10.0
    lanes: int = 2


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
        self.tail = Tail(self._read_head)
        self._incarnation = incarnation
        self._database = database
        self._registry = registry
        self._notifier = notifier
        self._incarnation_of = incarnation_of
        self._snapshot_every = limits.snapshot_every
        self._cache = StateCache(limits.cached, limits.snapshot_every, self._want_snapshot)
        self._snapshots: dict[UUID, Cached] = {}
        self._snapshotting: asyncio.Task[None] | None = None
        self._writer = Writer(
            name,
            incarnation,
            database.connect,
            self._on_commit,
            queue=limits.queue,
            patience=limits.patience,
            lanes=limits.lanes,
        )
        self._events = f"public.{name}_events"

    @property
    def incarnation(self) -> UUID:
        """Made with the log, changed by a restore."""
        return self._incarnation

    async def close(self) -> None:
        """Commits what waits and stops."""
        await self._writer.close()
        if self._snapshotting is not None:
            with contextlib.suppress(Unavailable):
                await self._snapshotting
        await self.tail.close()

    # --- writing -----------------------------------------------------------------------------------

    async def append(self, unit: Unit) -> int:
        """See the port. Raises ValueError for a unit that is wrong in itself, WrongIncarnation after a restore."""
        return await self._writer.append(Packed(self.name, unit, self._registry))

    def _on_commit(self, units: Sequence[Committed], previous: int | None) -> None:
        last = 0
        for done in units:
            if done.unit.events:
                self._cache.advance(done.unit.events)
                last = max(last, done.last)
        if last:
            self.tail.advance(last)
            self._notifier.notify(f"{self.name}_events")

    async def answered(self, scope: str, key: str) -> IdempotencyReplay | None:
        """See the port."""
        rows = await self._database.query(
            f"SELECT body_hash, answer, position FROM public.{self.name}_idempotency WHERE scope = %b AND key = %b",
            [scope, key],
        )
        return IdempotencyReplay(*rows[0]) if rows else None

    async def claimed(self, scope: str, value: bytes) -> UUID | None:
        """See the port."""
        rows = await self._database.query(
            f"SELECT owner FROM public.{self.name}_claims WHERE scope = %b AND value = %b", [scope, value]
        )
        return rows[0][0] if rows else None

    # --- loading -----------------------------------------------------------------------------------

    async def load(self, aggregate: Aggregate[S], stream: UUID, *, fresh: bool = False) -> tuple[S | None, int]:
        """See the port."""
        if not fresh:
            known = self._cache.get(aggregate, stream)
            if known is not None:
                return cast("S | None", known.state), known.version
        return (await self.load_many(aggregate, [stream], fresh=fresh))[stream]

    async def load_many(
        self, aggregate: Aggregate[S], streams: Sequence[UUID], *, fresh: bool = False
    ) -> dict[UUID, tuple[S | None, int]]:
        """See the port."""
        answer: dict[UUID, tuple[S | None, int]] = {}
        asked: dict[UUID, Cached | None] = {}
        for stream in streams:
            known = self._cache.get(aggregate, stream)
            if known is not None and not fresh:
                answer[stream] = cast("S | None", known.state), known.version
            else:
                asked[stream] = known
        if asked:
            for stream, entry in (await self._catch_up(aggregate, asked)).items():
                answer[stream] = cast("S | None", entry.state), entry.version
        return answer

    async def _catch_up(self, aggregate: Aggregate[Any], asked: dict[UUID, Cached | None]) -> dict[UUID, Cached]:
        rows = await self._database.query(
            f"""
            WITH asked AS (SELECT * FROM unnest(%b::uuid[], %b::bigint[]) AS a (id, after)),
            snapshot AS (
                SELECT a.id, s.originator_version AS version, s.state
                FROM asked a CROSS JOIN LATERAL (
                    SELECT originator_version, state FROM public.{self.name}_snapshots
                    WHERE originator_id = a.id AND topic = %b ORDER BY originator_version DESC LIMIT 1
                ) s WHERE a.after < 0
            )
            SELECT id, version, NULL AS topic, state, 0::bigint AS position FROM snapshot
            UNION ALL
            SELECT a.id, e.originator_version, e.topic, e.state, e.notification_id
            FROM asked a LEFT JOIN snapshot s ON s.id = a.id
            CROSS JOIN LATERAL (
                SELECT * FROM {self._events}
                WHERE originator_id = a.id AND originator_version > coalesce(s.version, a.after) OFFSET 0
            ) e
            ORDER BY 1, 2
            """,
            [
                list(asked),
                [-1 if known is None else known.version for known in asked.values()],
                _snapshot_topic(aggregate),
            ],
        )
        found = {stream: known or Cached(aggregate, None, 0) for stream, known in asked.items()}
        states: dict[UUID, tuple[State | None, int]] = {
            stream: (entry.state, entry.version) for stream, entry in found.items()
        }
        begun = {stream: entry.version for stream, entry in found.items()}
        for stream, version, topic, state, position in rows:
            if topic is None:
                states[stream] = msgspec.json.decode(state, type=aggregate.state), version
                begun[stream] = version
            else:
                event = self._registry.decode(self.name, position, stream, version, topic, state).event
                states[stream] = aggregate.evolve(states[stream][0], event), version
        for stream, (folded, version) in states.items():
            entry = found[stream] = Cached(aggregate, folded, version)
            self._cache.put(stream, entry)
            if version - begun[stream] >= self._snapshot_every:
                self._want_snapshot(stream, entry)
        return found

    def _want_snapshot(self, stream: UUID, entry: Cached) -> None:
        self._snapshots[stream] = entry
        if self._snapshotting is None or self._snapshotting.done():
            self._snapshotting = asyncio.create_task(self._write_snapshots())

    async def _write_snapshots(self) -> None:
        while self._snapshots:
            wanted, self._snapshots = self._snapshots, {}
            try:
                await self._database.query(
                    f"""
                    WITH new AS (
                        SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])
                            AS n (id, version, topic, state)
                    ), stored AS (
                        INSERT INTO public.{self.name}_snapshots AS s (originator_id, originator_version, topic, state)
                        SELECT * FROM new
                        ON CONFLICT (originator_id, originator_version)
                            DO UPDATE SET topic = excluded.topic, state = excluded.state
                    )
                    DELETE FROM public.{self.name}_snapshots s USING new
                    WHERE s.originator_id = new.id AND s.originator_version < new.version RETURNING 1
                    """,
                    [
                        list(wanted),
                        [entry.version for entry in wanted.values()],
                        [_snapshot_topic(entry.aggregate) for entry in wanted.values()],
                        [msgspec.json.encode(entry.state) for entry in wanted.values()],
                    ],
                )
            except Unavailable as error:
                # A snapshot only saves time: the next one is as good.
                _logger.warning("snapshots of the log %s were not written: %s", self.name, error)
            except Exception:
                _logger.exception("snapshots of the log %s cannot be written", self.name)

    # --- reading -----------------------------------------------------------------------------------

    async def stream(self, stream: UUID, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """See the port. Raises UnreadableEvent."""
        rows = await self._database.query(
            f"SELECT notification_id, originator_id, originator_version, topic, state FROM {self._events}"
            f" WHERE originator_id = %b AND originator_version > %b ORDER BY originator_version LIMIT %b",
            [stream, after, limit],
        )
        return [self._registry.decode(self.name, *row) for row in rows]

    async def read(self, after: int, limit: int, *, topics: Sequence[str] | None = None) -> tuple[list[Recorded], int]:
        """See the port. Events before one that cannot be decoded are given; it itself raises UnreadableEvent."""
        # One statement, one snapshot: the position read up to and the events cannot contradict each other.
        rows = await self._database.query(
            f"""
            SELECT least(h.head, %b::bigint), e.*
            FROM (SELECT coalesce(max(notification_id), 0) AS head FROM {self._events}) h
            LEFT JOIN LATERAL (
                SELECT notification_id, originator_id, originator_version, topic, state FROM {self._events}
                WHERE notification_id > %b AND notification_id <= %b AND (%b::text[] IS NULL OR topic = ANY (%b))
                ORDER BY notification_id LIMIT %b
            ) e ON true
            ORDER BY e.notification_id
            """,
            [after + _WINDOW, after, after + _WINDOW, topics and list(topics), topics and list(topics), limit],
        )
        upto = max(after, rows[0][0])
        if rows[0][1] is None:
            return [], upto
        events: list[Recorded] = []
        for row in rows:
            try:
                events.append(self._registry.decode(self.name, *row[1:]))
            except UnreadableEvent:
                if not events:
                    raise
                return events, events[-1].position
        return events, events[-1].position if len(events) == limit else upto

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
        rows = await self._database.query(
            f"SELECT coalesce(max(notification_id), 0), (SELECT incarnation FROM emporium_logs WHERE name = %b)"
            f" FROM {self._events}",
            [self.name],
        )
        head, incarnation = rows[0]
        if incarnation != self._incarnation:
            raise WrongIncarnation(self.name, incarnation, self._incarnation)
        return int(head)

    async def wait(self, after: int, timeout: float) -> bool:
        """See the port. Raises WrongIncarnation after a restore."""
        return await self.tail.wait(after, timeout)

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

    async def due_tasks(self, now: datetime, limit: int, *, kinds: Sequence[str] | None = None) -> list[Task]:
        """See the port."""
        rows = await self._database.query(
            "SELECT id, kind, due, stream, data::text, cause::text, attempts, error, parked"
            f" FROM public.{self.name}_tasks WHERE NOT parked AND due <= %b AND (%b::text[] IS NULL OR kind = ANY (%b))"
            " ORDER BY due LIMIT %b",
            [now, kinds and list(kinds), kinds and list(kinds), limit],
        )
        return [
            Task(id, kind, due, stream, msgspec.json.decode(data), msgspec.json.decode(cause, type=Meta), *rest)
            for id, kind, due, stream, data, cause, *rest in rows
        ]

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


def _snapshot_topic(aggregate: Aggregate[Any]) -> str:
    return f"{aggregate.name}@{aggregate.state_version}"
