"""What a database must hold before a program works on it, and how events of older schemas are read."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from emporium.application.ports import Unit
from emporium.domain.base import Aggregate, Event, State
from emporium.infra.eventstore import (
    EventStore,
    Limits,
    Migration,
    Registry,
    SchemaMismatch,
    apply_migrations,
    migrate,
)
from tests.integration.eventstore.things import AT, META, REGISTRY, TALLY, Counted, Opened, new


class Renamed(Event, frozen=True):
    title: str
    size: int


class _Any(State, frozen=True):
    pass


def upcast_registry(schema: int, upcasters: dict[tuple[str, int], Any]) -> Registry:
    """A later program: what was Opened(name) is now Opened(title, size)."""
    later = type("Opened", (Renamed,), {}, frozen=True)
    aggregate: Aggregate[Any] = Aggregate(
        name="Tally",
        log="alpha",
        state=_Any,
        events=(later, Counted),
        decide=lambda c, s: [],
        evolve=lambda s, e: _Any(),
    )
    return Registry([aggregate], {later: schema}, upcasters)


STEPS: dict[tuple[str, int], Any] = {
    ("alpha.Opened", 1): lambda data: {"title": data["name"]},
    ("alpha.Opened", 2): lambda data: {**data, "size": len(data["title"])},
}


async def test_events_of_old_schemas_are_brought_up_step_by_step(store: EventStore, dsn: str) -> None:
    stream = uuid4()
    await store["alpha"].append(Unit(events=[new(stream, 1, Opened(name="four")), new(stream, 2)]))
    registry = upcast_registry(3, STEPS)
    await migrate({"alpha": dsn}, registry)
    async with await EventStore.open({"alpha": dsn}, registry) as later:
        opened, counted = await later["alpha"].stream(stream)
        assert opened.event.title == "four"  # type: ignore[attr-defined]
        assert opened.event.size == 4  # type: ignore[attr-defined]
        assert (opened.schema, counted.schema) == (1, 1)
        added = new(uuid4(), 1, type(opened.event)(title="t", size=1))  # type: ignore[call-arg]
        await later["alpha"].append(Unit(events=[added]))
        assert [(r.schema, r.event) for r in await later["alpha"].stream(added.stream)] == [(3, added.event)]
    with pytest.raises(SchemaMismatch, match=r"alpha\.Opened of schema 3, this program knows 1"):
        await EventStore.open({"alpha": dsn}, REGISTRY)
    with pytest.raises(SchemaMismatch, match=r"alpha\.Opened"):
        await migrate({"alpha": dsn}, REGISTRY)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_gap_in_the_chain_of_upcasters_refuses(missing: int) -> None:
    steps = {key: step for key, step in STEPS.items() if key[1] != missing}
    with pytest.raises(SchemaMismatch, match=rf"alpha\.Opened has schema 3, but nothing turns {missing}"):
        upcast_registry(3, steps)


def test_an_upcaster_that_belongs_to_nothing_refuses() -> None:
    with pytest.raises(SchemaMismatch, match=r"alpha\.Opened from schema 2"):
        upcast_registry(2, STEPS)
    with pytest.raises(SchemaMismatch, match=r"alpha\.Unknown"):
        Registry([TALLY], {}, {("alpha.Unknown", 1): dict})


def test_two_types_of_one_name_refuse() -> None:
    other = type("Opened", (Event,), {}, frozen=True)
    twin: Aggregate[Any] = Aggregate(
        name="Twin", log="alpha", state=_Any, events=(other,), decide=lambda c, s: [], evolve=lambda s, e: _Any()
    )
    with pytest.raises(SchemaMismatch, match=r"alpha\.Opened"):
        Registry([TALLY, twin])


async def test_an_event_type_that_the_program_no_longer_knows_refuses(dsn: str) -> None:
    fewer: Aggregate[Any] = Aggregate(
        name="Tally", log="alpha", state=_Any, events=(Opened,), decide=lambda c, s: [], evolve=lambda s, e: _Any()
    )
    with pytest.raises(SchemaMismatch, match=r"alpha\.Counted of schema 1, this program knows none"):
        await EventStore.open({"alpha": dsn}, Registry([fewer]))


async def test_migrating_twice_changes_nothing(empty: str) -> None:
    assert await migrate({"alpha": empty}, REGISTRY)
    assert await migrate({"alpha": empty}, REGISTRY) == []
    assert [step.component for step in await migrate({"alpha": empty, "beta": empty}, REGISTRY)] == [
        "log beta",
        "log beta",
    ]


async def test_many_may_migrate_at_once(empty: str) -> None:
    dsns = {"alpha": empty, "beta": empty}
    applied = await asyncio.gather(*(migrate(dsns, REGISTRY) for _ in range(5)))
    assert sorted(len(steps) for steps in applied) == [0, 0, 0, 0, 5]


async def test_a_database_that_was_not_migrated_is_refused(empty: str) -> None:
    with pytest.raises(SchemaMismatch, match="There is no shop in this database yet"):
        await EventStore.open({"alpha": empty}, REGISTRY)
    await migrate({"alpha": empty}, REGISTRY)
    with pytest.raises(SchemaMismatch, match="log beta"):
        await EventStore.open({"alpha": empty, "beta": empty}, REGISTRY)


async def test_a_newer_database_is_refused(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("UPDATE emporium_schema SET version = 99 WHERE component = 'log alpha'")
    for attempt in (migrate({"alpha": dsn}, REGISTRY), EventStore.open({"alpha": dsn}, REGISTRY)):
        with pytest.raises(SchemaMismatch, match="log alpha have version 99"):
            await attempt


async def test_others_bring_migrations_of_their_own(empty: str) -> None:
    first = Migration("vault", 1, "CREATE TABLE one (a int); CREATE TABLE two (b int)")
    broken = Migration("vault", 2, "CREATE TABLE three (c int); SELECT 1/0")
    assert await apply_migrations(empty, [first]) == [first]
    with pytest.raises(psycopg.errors.DivisionByZero):
        await apply_migrations(empty, [first, broken])
    fixed = Migration("vault", 2, "CREATE TABLE three (c int)")
    assert await apply_migrations(empty, [first, fixed]) == [fixed]
    with pytest.raises(ValueError, match="numbered"):
        await apply_migrations(empty, [fixed])


async def test_anybody_can_read_events_in_sql(store: EventStore, dsn: str) -> None:
    stream = uuid4()
    events = [new(stream, 1, Opened(name="größer")), new(stream, 2, Counted(by=3))]
    await store["alpha"].append(Unit(events=events))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(
            "SELECT position, stream, version, topic, at, schema, id, correlation, causation, actor, request,"
            " data ->> 'by', payload -> 'data' ->> 'name' FROM alpha_log ORDER BY position"
        )
        rows = await cursor.fetchall()
    meta = (META.correlation, META.causation, META.actor, META.request)
    assert rows == [
        (1, stream, 1, "alpha.Opened", AT, 1, events[0].id, *meta, None, "größer"),
        (2, stream, 2, "alpha.Counted", AT, 1, events[1].id, *meta, "3", None),
    ]


async def test_logs_may_lie_in_different_databases(dsn: str, empty: str) -> None:
    await migrate({"beta": empty}, REGISTRY)
    async with await EventStore.open({"alpha": dsn, "beta": empty}, REGISTRY, limits=Limits(pool=1)) as store:
        assert [await store[log].append(Unit(events=[new(uuid4(), 1)])) for log in ("alpha", "beta")] == [1, 1]
    async with await psycopg.AsyncConnection.connect(empty) as connection:
        cursor = await connection.execute("SELECT count(*) FROM beta_events")
        assert await cursor.fetchone() == (1,)
