"""The eventsourcing library on the same tables: its `Application` and `ProjectionRunner` read and write our events.

The only module that knows the library's classes; the tables' layout is its (9.5, schema of the PostgreSQL module).
"""

from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent
from eventsourcing.utils import register_topic
from psycopg.conninfo import conninfo_to_dict

from emporium.application.ports import NewEvent
from emporium.infra.eventstore.errors import UnreadableEvent
from emporium.infra.eventstore.registry import Registry

__all__ = ["LibraryEvent", "library_environment"]


class LibraryEvent(msgspec.Struct, frozen=True):
    """One of our events in the shape that the library stores and yields."""

    new: NewEvent

    @property
    def originator_id(self) -> UUID:
        """The stream."""
        return self.new.stream

    @property
    def originator_version(self) -> int:
        """The version in the stream."""
        return self.new.version


def library_environment(dsn: str, log: str, registry: Registry) -> dict[str, str]:
    """The environment for an `Application` whose `name` is the log's, so that it works on the log's tables.

    It must not create tables (`CREATE_TABLE` is off; `migrate` made them) and its database functions stay
    off: they lose the table lock that keeps positions in the order of the commits.
    """
    settings: dict[str, Any] = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "MAPPER_TOPIC": _mapper_topic(log, registry),
        "CREATE_TABLE": "no",
        "POSTGRES_DBNAME": str(settings["dbname"]),
        "POSTGRES_HOST": str(settings.get("host", "")),
        "POSTGRES_PORT": str(settings.get("port", "5432")),
        "POSTGRES_USER": str(settings.get("user", "")),
        "POSTGRES_PASSWORD": str(settings.get("password", "")),
        "POSTGRES_SCHEMA": "public",
    }


@cache
def _mapper_topic(log: str, registry: Registry) -> str:
    """The name under which the library finds the mapper of a log; it makes the mapper itself, without arguments."""

    class EnvelopeMapper(Mapper[UUID]):
        def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
            assert isinstance(domain_event, LibraryEvent)
            topic, state = registry.encode(log, domain_event.new)
            return StoredEvent(domain_event.originator_id, domain_event.originator_version, topic, state)

        def to_domain_event(self, stored_event: StoredEvent) -> LibraryEvent:
            stream = stored_event.originator_id
            assert isinstance(stream, UUID)
            position = getattr(stored_event, "id", 0)
            try:
                recorded = registry.decode(
                    log, position, stream, stored_event.originator_version, stored_event.topic, stored_event.state
                )
            except UnreadableEvent as error:
                raise MapperDeserialisationError(str(error)) from error
            return LibraryEvent(
                NewEvent(recorded.id, stream, recorded.version, recorded.event, recorded.at, recorded.meta)
            )

    topic = f"emporium.infra.eventstore.library:{log}_{id(registry)}"
    register_topic(topic, EnvelopeMapper)
    return topic
