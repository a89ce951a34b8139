"""A unit in the form in which it is sent, and what it touches: two that touch the same never share a batch."""

from collections.abc import Sequence
from hashlib import blake2b
from struct import pack
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.application.ports import NewEvent, Unit
from emporium.infra.eventstore import arrays
from emporium.infra.eventstore.registry import Registry, reject_nul

__all__ = ["PARAMETER_TYPES", "Packed", "idempotency_id", "parameters", "tracking_name"]

_ENCODE: Final = msgspec.json.Encoder().encode
_MOST: Final = 2**63 - 1


# oids of bigint, uuid[], bigint[], text[], bytea[] and jsonb, as `parameters` gives them.
_BIGINT, _UUIDS, _BIGINTS, _TEXTS, _BLOBS, _JSONB = 20, 2951, 1016, 1009, 1001, 3802
PARAMETER_TYPES: Final = (
    *(_BIGINT, _BIGINTS, _UUIDS, _BIGINTS, _TEXTS, _BLOBS),
    *(_BIGINTS, _UUIDS, _BIGINTS),
    *(_BIGINTS, _UUIDS, _TEXTS, _TEXTS, _BLOBS, _BLOBS),
    _JSONB,
)


def tracking_name(name: str, upstream: str) -> str:
    """The key of a follower's row in the tracking table. Raises ValueError for a name with a colon."""
    if ":" in name:
        raise ValueError(f"a follower cannot be called {name!r}")
    return f"{name}:{upstream}"


def idempotency_id(scope: str, key: str) -> UUID:
    """Under what the record of a scope and a key is stored."""
    text = f"{len(scope)}:{scope}{key}".encode(errors="surrogatepass")
    return UUID(bytes=blake2b(text, digest_size=16).digest())


class Packed:
    """One unit, checked and encoded.

    Attributes:
        writes, reads: what it changes and what it only relies on.
        before: the version that each written stream must have, where it is not empty.
        idempotency: its record as array elements (id, scope, key, hash, answer).
        rest: everything else by kind, as JSON objects.

    Raises:
        ValueError: versions that are not contiguous, the same claim or counter twice, or text that
            PostgreSQL cannot hold.
    """

    __slots__ = (
        "before",
        "begins",
        "events",
        "idempotency",
        "reads",
        "rest",
        "states",
        "streams",
        "topics",
        "versions",
        "writes",
    )

    def __init__(self, log: str, unit: Unit, registry: Registry) -> None:
        self.events: list[NewEvent] = unit.events
        self.begins = unit.begins
        self.streams: list[bytes] = []
        self.versions: list[int] = []
        self.topics: list[bytes] = []
        self.states: list[bytes] = []
        self.before: list[tuple[bytes, int]] = []
        self.idempotency: tuple[bytes, bytes, bytes, bytes, bytes] | None = None
        self.rest: dict[str, list[bytes]] = {}
        self.writes: set[object] = set()
        self.reads: set[object] = set()
        starts = self._pack_events(log, unit.events, registry)
        record = unit.idempotency
        if record is not None:
            id = idempotency_id(record.scope, record.key)
            self.writes.add(id)
            self.idempotency = (
                arrays.uuid_item(id),
                arrays.text_item(record.scope),
                arrays.text_item(record.key),
                arrays.bytea_item(record.body_hash),
                arrays.bytea_item(record.answer),
            )
        for stream, version in unit.expect:
            if stream.int not in starts:
                self.reads.add(stream.int)
                self._rest("expect", {"stream": stream, "version": version})
            elif starts[stream.int] != version + 1:
                raise ValueError(f"stream {stream} is expected at {version} and written at {starts[stream.int]}")
        if unit.claims or unit.counters:
            self._pack_claims(unit)
        if unit.tracking is not None:
            row = msgspec.structs.asdict(unit.tracking)
            row["name"] = tracking_name(unit.tracking.name, unit.tracking.upstream)
            self._rest("tracking", row, ("tracking", row["name"]))
        for task in unit.tasks:
            self._rest("tasks", msgspec.structs.asdict(task))
            self.writes.add(("task", task.id.int))
        for update in unit.task_updates:
            self._rest("updates", msgspec.structs.asdict(update))
            self.writes.add(("task", update.id.int))
        for done in unit.done:
            self._rest("done", {"id": done.id})
            self.writes.add(("task", done.id.int))

    def _pack_events(self, log: str, events: Sequence[NewEvent], registry: Registry) -> dict[int, int]:
        starts: dict[int, int] = {}
        last: dict[int, int] = {}
        for event in events:
            stream, version = event.stream.int, event.version
            item = arrays.uuid_item(event.stream)
            if stream not in starts:
                if not 1 <= version <= _MOST:
                    raise ValueError(f"{version} is no version")
                starts[stream] = version
                if version > 1:
                    self.before.append((item, version - 1))
            elif version != last[stream] + 1:
                raise ValueError(f"version {version} of stream {event.stream} follows {last[stream]}")
            last[stream] = version
            topic, state = registry.encode(log, event)
            self.streams.append(item)
            self.versions.append(version)
            self.topics.append(arrays.text_item(topic))
            self.states.append(arrays.bytea_item(state))
        self.writes.update(starts)
        return starts

    def _pack_claims(self, unit: Unit) -> None:
        for claim in unit.claims:
            row = {"scope": claim.scope, "value": claim.value.hex(), "owner": claim.owner, "release": claim.release}
            self._rest("claims", row, ("claim", claim.scope, claim.value))
        for counter in unit.counters:
            self._rest("counters", msgspec.structs.asdict(counter), ("counter", counter.name))

    def _rest(self, kind: str, row: dict[str, Any], once: object = None) -> None:
        if once is not None:
            if once in self.writes:
                raise ValueError(f"a unit names {once} twice")
            self.writes.add(once)
        self.rest.setdefault(kind, []).append(reject_nul(_ENCODE(row)))


def parameters(batch: Sequence[Packed]) -> list[bytes | None]:
    """The parameters `units` … `rest` of a log's append function, in binary format."""
    starts = [1]
    streams: list[bytes] = []
    versions: list[int] = []
    topics: list[bytes] = []
    states: list[bytes] = []
    after: list[tuple[int, bytes, int]] = []
    records: list[tuple[int, tuple[bytes, bytes, bytes, bytes, bytes]]] = []
    rest: dict[str, list[bytes]] = {}
    for number, unit in enumerate(batch, 1):
        streams += unit.streams
        versions += unit.versions
        topics += unit.topics
        states += unit.states
        starts.append(len(streams) + 1)
        for stream, version in unit.before:
            after.append((number, stream, version))
        if unit.idempotency is not None:
            records.append((number, unit.idempotency))
        for kind, rows in unit.rest.items():
            head = b'{"unit":%d,' % number
            rest.setdefault(kind, []).extend(head + row[1:] for row in rows)
    return [
        pack("!q", len(batch)),
        arrays.integers(starts),
        arrays.uuids(streams),
        arrays.integers(versions),
        arrays.texts(topics),
        arrays.blobs(states),
        arrays.integers([number for number, _, _ in after]),
        arrays.uuids([stream for _, stream, _ in after]),
        arrays.integers([version for _, _, version in after]),
        arrays.integers([number for number, _ in records]),
        arrays.uuids([record[0] for _, record in records]),
        arrays.texts([record[1] for _, record in records]),
        arrays.texts([record[2] for _, record in records]),
        arrays.blobs([record[3] for _, record in records]),
        arrays.blobs([record[4] for _, record in records]),
        _jsonb(rest),
    ]


def _jsonb(rest: dict[str, list[bytes]]) -> bytes | None:
    if not rest:
        return None
    kinds = (b'"%b":[%b]' % (kind.encode(), b",".join(rows)) for kind, rows in rest.items())
    return b"\x01{" + b",".join(kinds) + b"}"
