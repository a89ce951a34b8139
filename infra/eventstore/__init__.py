"""The event store: asyncio group commit over the eventsourcing library's own tables in PostgreSQL."""

from emporium.infra.eventstore.errors import (
    LogShortened,
    SchemaMismatch,
    StoreError,
    UnreadableEvent,
    WrongIncarnation,
)
from emporium.infra.eventstore.leases import Leases
from emporium.infra.eventstore.log import Limits, PgEventLog
from emporium.infra.eventstore.migrations import Migration, apply_migrations, check, migrate, new_incarnation
from emporium.infra.eventstore.registry import Registry, Upcaster
from emporium.infra.eventstore.store import EventStore

__all__ = [
    "EventStore",
    "Leases",
    "Limits",
    "LogShortened",
    "Migration",
    "PgEventLog",
    "Registry",
    "SchemaMismatch",
    "StoreError",
    "UnreadableEvent",
    "Upcaster",
    "WrongIncarnation",
    "apply_migrations",
    "check",
    "migrate",
    "new_incarnation",
]
