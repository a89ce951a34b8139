"""States of streams: from the cache, else from the newest snapshot and the events after it."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec

from emporium.application.ports import Unavailable
from emporium.domain.base import Aggregate, State
from emporium.infra.eventstore.cache import Cached, StateCache
from emporium.infra.eventstore.database import Database
from emporium.infra.eventstore.registry import Registry

__all__ = ["Loader"]

_logger = logging.getLogger(__name__)
S = TypeVar("S", bound=State)

_LOAD: Final = """
WITH asked AS (SELECT * FROM unnest(%b::uuid[], %b::bigint[]) AS a (id, after)),
snapshot AS (
    SELECT a.id, s.originator_version AS version, s.state
    FROM asked a CROSS JOIN LATERAL (
        SELECT originator_version, state FROM public.{log}_snapshots
        WHERE originator_id = a.id AND topic = %b ORDER BY originator_version DESC LIMIT 1
    ) s WHERE a.after < 0
)
SELECT id, version, NULL AS topic, state, 0::bigint AS position FROM snapshot
UNION ALL
SELECT a.id, e.originator_version, e.topic, e.state, e.notification_id
FROM asked a LEFT JOIN snapshot s ON s.id = a.id
CROSS JOIN LATERAL (
    SELECT * FROM public.{log}_events
    WHERE originator_id = a.id AND originator_version > coalesce(s.version, a.after) OFFSET 0
) e
ORDER BY 1, 2
"""

_SNAPSHOT: Final = """
WITH new AS (
    SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[]) AS n (id, version, topic, state)
), stored AS (
    INSERT INTO public.{log}_snapshots AS s (originator_id, originator_version, topic, state) SELECT * FROM new
    ON CONFLICT (originator_id, originator_version) DO UPDATE SET topic = excluded.topic, state = excluded.state
)
DELETE FROM public.{log}_snapshots s USING new
WHERE s.originator_id = new.id AND s.originator_version < new.version RETURNING 1
"""


class Loader:
    """Loads the aggregates of one log, and writes their snapshots in the background.

    Args:
        cached: how many streams are remembered.
        interval: versions of a stream between two snapshots.
    """

    def __init__(self, log: str, database: Database, registry: Registry, *, cached: int, interval: int) -> None:
        self.cache = StateCache(cached, interval, self._want_snapshot, lambda event: registry.aggregate_of(log, event))
        self._log = log
        self._database = database
        self._registry = registry
        self._interval = interval
        self._load = _LOAD.format(log=log)
        self._snapshot = _SNAPSHOT.format(log=log)
        self._wanted: dict[UUID, Cached] = {}
        self._writing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Finishes the snapshots that are wanted."""
        if self._writing is not None:
            with contextlib.suppress(Unavailable):
                await self._writing

    async def load_many(
        self,
        aggregate: Aggregate[S],
        streams: Sequence[UUID],
        *,
        fresh: bool,
        presumed_new: Collection[UUID] = (),
    ) -> dict[UUID, tuple[S | None, int]]:
        """See the port."""
        answer: dict[UUID, tuple[S | None, int]] = {}
        asked: dict[UUID, Cached] = {}
        for stream in streams:
            known = self.cache.get(aggregate, stream)
            if known is not None and not fresh:
                answer[stream] = cast("S | None", known.state), known.version
            elif not fresh and stream in presumed_new:
                answer[stream] = None, 0
            else:
                asked[stream] = known or Cached(aggregate, None, -1)
        if asked:
            for stream, entry in (await self._catch_up(aggregate, asked)).items():
                answer[stream] = cast("S | None", entry.state), entry.version
        return answer

    async def _catch_up(self, aggregate: Aggregate[Any], asked: dict[UUID, Cached]) -> dict[UUID, Cached]:
        rows = await self._database.query(
            self._load, [list(asked), [entry.version for entry in asked.values()], _topic(aggregate)]
        )
        states = {stream: (entry.state, max(entry.version, 0)) for stream, entry in asked.items()}
        begun = {stream: version for stream, (_, version) in states.items()}
        for stream, version, topic, state, position in rows:
            if topic is None:
                states[stream] = msgspec.json.decode(state, type=aggregate.state), version
                begun[stream] = version
            else:
                event = self._registry.decode(self._log, position, stream, version, topic, state).event
                states[stream] = aggregate.evolve(states[stream][0], event), version
        found: dict[UUID, Cached] = {}
        for stream, (folded, version) in states.items():
            entry = found[stream] = Cached(aggregate, folded, version)
            self.cache.put(stream, entry)
            if version - begun[stream] >= self._interval:
                self._want_snapshot(stream, entry)
        return found

    def _want_snapshot(self, stream: UUID, entry: Cached) -> None:
        self._wanted[stream] = entry
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_snapshots())

    async def _write_snapshots(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                await self._database.query(
                    self._snapshot,
                    [
                        list(wanted),
                        [entry.version for entry in wanted.values()],
                        [_topic(entry.aggregate) for entry in wanted.values()],
                        [msgspec.json.encode(entry.state) for entry in wanted.values()],
                    ],
                )
            except Unavailable as error:
                # A snapshot only saves time: the next one is as good.
                _logger.warning("snapshots of the log %s were not written: %s", self._log, error)
            except Exception:
                _logger.exception("snapshots of the log %s cannot be written", self._log)


def _topic(aggregate: Aggregate[Any]) -> str:
    return f"{aggregate.name}@{aggregate.state_version}"
