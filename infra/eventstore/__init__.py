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
from emporium.infra.eventstore.migrations import Migration, apply_migrations, check, migrate
from emporium.infra.eventstore.registry import Registry, Upcaster
from emporium.infra.eventstore.restoring import Connected, Overtaken, connected, new_incarnation, restored
from emporium.infra.eventstore.store import EventStore

__all__ = [
    "Connected",
    "Overtaken",
    "connected",
    "restored",
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
