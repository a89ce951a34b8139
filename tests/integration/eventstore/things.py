"""A small aggregate for the store's tests: a tally of counted things, and short ways to write units."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg

from emporium.application.ports import Meta, NewEvent, Tracking, Unit
from emporium.domain.base import Aggregate, Command, Event, State
from emporium.infra.eventstore import Registry

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
META = Meta(correlation="a-correlation", causation="request:1", actor="staff:1", request="req-1")


class Opened(Event):
    name: str


class Counted(Event):
    by: int


class Tally(State):
    name: str
    total: int = 0


class Count(Command):
    by: int


def decide(command: Count, tally: Tally | None) -> Sequence[Event]:
    return [Counted(by=command.by)]


def evolve(tally: Tally | None, event: Opened | Counted) -> Tally:
    if isinstance(event, Opened):
        return Tally(name=event.name)
    assert tally is not None
    return Tally(name=tally.name, total=tally.total + event.by)


TALLY = Aggregate(name="Tally", log="alpha", state=Tally, events=(Opened, Counted), decide=decide, evolve=evolve)
OTHER = Aggregate(name="Tally", log="beta", state=Tally, events=(Opened, Counted), decide=decide, evolve=evolve)
REGISTRY = Registry([TALLY, OTHER])
LOGS = ("alpha", "beta")


def new(stream: UUID, version: int, event: Event | None = None, *, meta: Meta = META) -> NewEvent:
    """The event that stands at a version of a tally: Opened first, then Counted."""
    event = event or (Opened(name="x") if version == 1 else Counted(by=1))
    return NewEvent(uuid4(), stream, version, event, AT, meta)


def unit(stream: UUID, *versions: int, **others: object) -> Unit:
    """A unit with the events at these versions of one stream, and whatever else."""
    return Unit(events=[new(stream, version) for version in versions], **others)  # type: ignore[arg-type]


def tracking(name: str, old: int, to: int, epoch: int, incarnation: UUID) -> Tracking:
    """A step of a follower of the log beta."""
    return Tracking(name, "beta", old, to, epoch, incarnation)


async def waiting(dsn: str, count: int) -> None:
    """Returns once so many connections wait for a lock in the database."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection, asyncio.timeout(10):
        while True:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if (await cursor.fetchone()) == (count,):
                return
