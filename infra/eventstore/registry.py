"""Which event types there are, and how each is written to and read from a row."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from emporium.application.ports import Meta, NewEvent, Recorded
from emporium.domain.base import Aggregate, Event
from emporium.infra.eventstore.errors import SchemaMismatch, UnreadableEvent

__all__ = ["CORRELATION_OFFSET", "Envelope", "Registry", "Upcaster", "reject_nul"]

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
D = TypeVar("D")

_ENCODER: Final = msgspec.json.Encoder()
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Envelope(msgspec.Struct, Generic[D], frozen=True):
    """The JSON of the state column. `correlation` stays first: an index reads it at a fixed offset."""

    correlation: str
    id: UUID
    at: datetime
    schema: int
    causation: str
    actor: str
    request: str | None
    data: D


CORRELATION_OFFSET: Final = len(b'{"correlation":"')
"""Bytes before the correlation's first character in every state."""

_ENVELOPE: Final = msgspec.json.Decoder(Envelope[msgspec.Raw])


def reject_nul(encoded: bytes) -> bytes:
    """The JSON itself; ValueError where a string holds NUL, which PostgreSQL's jsonb cannot show."""
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise ValueError("a NUL character cannot be stored")
    return encoded


class _Kind:
    """One event type: its topic, its present schema and the way from the older ones."""

    __slots__ = ("decoder", "event", "schema", "steps", "topic")

    def __init__(self, topic: str, event: type[Event], schema: int, steps: list[Upcaster]) -> None:
        self.topic = topic
        self.event = event
        self.schema = schema
        self.steps = steps
        self.decoder = msgspec.json.Decoder(event)

    def decode(self, data: msgspec.Raw, schema: int) -> Event:
        if schema == self.schema:
            return self.decoder.decode(data)
        if not 1 <= schema < self.schema:
            raise ValueError(f"it has schema {schema}, this program knows {self.schema}")
        payload: dict[str, Any] = msgspec.json.decode(data)
        for step in self.steps[schema - 1 :]:
            payload = step(payload)
        return msgspec.convert(payload, self.event)


class Registry:
    """The event types of all logs, by topic (`log.ClassName`) and by class.

    Args:
        aggregates: whose events are known.
        schemas: the present schema version of the types that have more than version 1.
        upcasters: `(topic, n)` → the step that turns the payload of schema n into that of n + 1.

    Raises:
        SchemaMismatch: an upcaster chain has a gap, or belongs to nothing.
    """

    def __init__(
        self,
        aggregates: Iterable[Aggregate[Any]],
        schemas: Mapping[type[Event], int] | None = None,
        upcasters: Mapping[tuple[str, int], Upcaster] | None = None,
    ) -> None:
        schemas, steps = schemas or {}, dict(upcasters or {})
        self._by_topic: dict[str, _Kind] = {}
        self._by_class: dict[tuple[str, type[Event]], _Kind] = {}
        self._owners: dict[tuple[str, type[Event]], Aggregate[Any] | None] = {}
        for aggregate in aggregates:
            for event in aggregate.events:
                topic = f"{aggregate.log}.{event.__name__}"
                known = self._by_topic.get(topic)
                if known is not None and known.event is not event:
                    raise SchemaMismatch(f"two event types are called {topic}")
                if known is None:
                    kind = _Kind(topic, event, schemas.get(event, 1), [])
                    for version in range(1, kind.schema):
                        step = steps.pop((topic, version), None)
                        if step is None:
                            raise SchemaMismatch(
                                f"{topic} has schema {kind.schema}, but nothing turns {version} into {version + 1}"
                            )
                        kind.steps.append(step)
                    self._by_topic[topic] = self._by_class[aggregate.log, event] = kind
                owner = self._owners.setdefault((aggregate.log, event), aggregate)
                if owner is not aggregate:
                    self._owners[aggregate.log, event] = None
        if steps:
            topic, version = next(iter(steps))
            raise SchemaMismatch(f"the upcaster of {topic} from schema {version} belongs to no event type's chain")

    def schemas(self, log: str) -> dict[str, int]:
        """Topic → present schema version of one log's event types."""
        return {topic: kind.schema for topic, kind in self._by_topic.items() if topic.startswith(f"{log}.")}

    def encode(self, log: str, new: NewEvent) -> tuple[str, bytes]:
        """Topic and state of an event. Raises ValueError for a type the log does not know, or a NUL."""
        kind = self._by_class.get((log, type(new.event)))
        if kind is None:
            raise ValueError(f"{type(new.event).__name__} is no event of the log {log}")
        meta = new.meta
        envelope = Envelope(
            meta.correlation, new.id, new.at, kind.schema, meta.causation, meta.actor, meta.request, new.event
        )
        return kind.topic, reject_nul(_ENCODER.encode(envelope))

    def aggregate_of(self, log: str, event: Event) -> Aggregate[Any] | None:
        """The aggregate that an event belongs to; None where several share its type."""
        return self._owners[log, type(event)]

    def written_as(self, log: str, event: Event) -> tuple[str, int]:
        """The topic and the schema version under which an event is written now."""
        kind = self._by_class[log, type(event)]
        return kind.topic, kind.schema

    def decode(self, log: str, position: int, stream: UUID, version: int, topic: str, state: bytes) -> Recorded:
        """The event of a row, upcast to the present schema. Raises UnreadableEvent."""
        try:
            kind = self._by_topic[topic]
            envelope = _ENVELOPE.decode(state)
            event = kind.decode(envelope.data, envelope.schema)
        except KeyError as error:
            why = "its type is not known to this program" if error.args == (topic,) else f"upcasting failed: {error!r}"
            raise UnreadableEvent(log, position, stream, version, topic, why) from error
        except Exception as error:
            # An upcaster is free code: whatever it raises, the event is named.
            raise UnreadableEvent(log, position, stream, version, topic, str(error)) from error
        meta = Meta(envelope.correlation, envelope.causation, envelope.actor, envelope.request)
        return Recorded(log, position, stream, version, envelope.id, envelope.at, event, meta, envelope.schema)
