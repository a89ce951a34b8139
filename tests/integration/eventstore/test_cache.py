"""The cache shows what is committed, never what is about to be."""

import asyncio
import random
import time
from uuid import UUID, uuid4

import psycopg
import pytest

from emporium.application.ports import Conflict, Unit
from emporium.domain.base import Aggregate
from emporium.infra.eventstore import EventStore, Limits
from emporium.infra.eventstore.cache import Cached, StateCache
from tests.integration.eventstore.test_writer import Lock
from tests.integration.eventstore.things import (
    META,
    REGISTRY,
    TALLY,
    Counted,
    Opened,
    Tally,
    evolve,
    new,
    unit,
    waiting,
)


async def test_nothing_is_seen_before_its_commit(store: EventStore, dsn: str) -> None:
    log, stream = store["alpha"], uuid4()
    await log.append(unit(stream, 1))
    assert await log.load(TALLY, stream) == (Tally(name="x"), 1)
    async with Lock(dsn):
        append = asyncio.create_task(log.append(unit(stream, 2)))
        await waiting(dsn, 1)
        assert await log.load(TALLY, stream) == (Tally(name="x"), 1)
    await append
    assert await log.load(TALLY, stream) == (Tally(name="x", total=1), 2)


async def test_what_was_refused_is_never_seen(store: EventStore, dsn: str) -> None:
    log, stream, moved = store["alpha"], uuid4(), uuid4()
    await log.append(unit(stream, 1))
    await log.append(unit(moved, 1))
    await log.load_many(TALLY, [stream, moved])
    with pytest.raises(Conflict):
        await log.append(Unit(events=[new(stream, 2), new(moved, 3)]))
    assert await log.load(TALLY, stream) == (Tally(name="x"), 1)


async def test_a_fresh_load_sees_what_others_wrote(store: EventStore, dsn: str) -> None:
    log, stream = store["alpha"], uuid4()
    await log.append(unit(stream, 1))
    await log.load(TALLY, stream)
    async with await EventStore.open({"alpha": dsn}, REGISTRY) as other:
        await other["alpha"].append(unit(stream, 2, 3))
    assert await log.load(TALLY, stream) == (Tally(name="x"), 1)
    assert await log.load(TALLY, stream, fresh=True) == (Tally(name="x", total=2), 3)
    assert await log.load(TALLY, stream) == (Tally(name="x", total=2), 3)


async def test_every_decision_was_taken_on_a_state_that_existed(store: EventStore, dsn: str) -> None:
    """Two processes count the same few streams; each event says what total it was decided on."""
    streams = [uuid4() for _ in range(3)]
    for stream in streams:
        await store["alpha"].append(unit(stream, 1))
    finish = time.monotonic() + 1.5

    async def count(process: EventStore, chance: random.Random) -> None:
        log = process["alpha"]
        while time.monotonic() < finish:
            stream, fresh = chance.choice(streams), False
            while True:
                state, version = await log.load(TALLY, stream, fresh=fresh)
                assert state is not None
                event = Counted(by=state.total + 1)
                meta = META.__class__("c", "request:1", f"saw {state.total}")
                try:
                    await log.append(Unit(events=[new(stream, version + 1, event, meta=meta)]))
                    break
                except Conflict:
                    fresh = True

    async with await EventStore.open({"alpha": dsn}, REGISTRY) as other:
        await asyncio.gather(*(count(process, random.Random(n)) for n, process in enumerate([store, other] * 8)))
    for stream in streams:
        state: Tally | None = None
        for recorded in await store["alpha"].stream(stream):
            if isinstance(recorded.event, Counted):
                assert state is not None
                assert recorded.meta.actor == f"saw {state.total}"
            assert isinstance(recorded.event, Opened | Counted)
            state = evolve(state, recorded.event)
        assert await store["alpha"].load(TALLY, stream, fresh=True) == (state, recorded.version)


async def test_the_cache_is_bounded_and_many_are_loaded_at_once(dsn: str) -> None:
    async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=Limits(cached=5)) as store:
        log, streams = store["alpha"], [uuid4() for _ in range(12)]
        for number, stream in enumerate(streams):
            await log.append(unit(stream, *range(1, number + 2)))
        loaded = await log.load_many(TALLY, [*streams, nobody := uuid4()])
        assert {stream: version for stream, (_, version) in loaded.items()} == {
            **{stream: number + 1 for number, stream in enumerate(streams)},
            nobody: 0,
        }
        assert len(log._loader.cache._entries) == 5


def test_an_old_load_does_not_turn_the_cache_back() -> None:
    cache, stream = StateCache(10, 100, lambda stream, entry: None, lambda event: None), uuid4()
    cache.put(stream, Cached(TALLY, Tally(name="x"), 1))
    cache.advance([new(stream, 2)])
    cache.put(stream, Cached(TALLY, Tally(name="x"), 1))
    assert cache.get(TALLY, stream) == Cached(TALLY, Tally(name="x", total=1), 2)


def test_an_event_that_does_not_follow_what_is_known_is_left_to_the_next_load() -> None:
    cache, stream = StateCache(10, 100, lambda stream, entry: None, lambda event: None), uuid4()
    cache.put(stream, Cached(TALLY, Tally(name="x"), 1))
    cache.advance([new(stream, 3), new(uuid4(), 1)])
    assert cache.get(TALLY, stream) == Cached(TALLY, Tally(name="x"), 1)


async def test_another_aggregates_evolve_is_not_served_from_the_cache(store: EventStore) -> None:
    log, stream = store["alpha"], uuid4()
    await log.append(unit(stream, 1, 2))
    await log.load(TALLY, stream)
    doubling: Aggregate[Tally] = Aggregate(
        name="Doubled",
        log="alpha",
        state=Tally,
        events=TALLY.events,
        decide=TALLY.decide,
        evolve=lambda state, event: Tally(name="d", total=100),
    )
    assert await log.load(doubling, stream) == (Tally(name="d", total=100), 2)


# --- snapshots -------------------------------------------------------------------------------------


async def append_many(store: EventStore, stream: UUID, count: int) -> None:
    """A stream of so many events, in big units."""
    for first in range(1, count + 1, 500):
        await store["alpha"].append(unit(stream, *range(first, min(first + 500, count + 1))))


async def test_a_long_stream_loads_fast_warm_and_cold(store: EventStore, dsn: str) -> None:
    stream = uuid4()
    await store["alpha"].load(TALLY, stream)
    await append_many(store, stream, 10_000)
    await store["alpha"]._loader.close()
    assert await best(store, stream, fresh=False) < 0.002
    assert await best(store, stream, fresh=True) < 0.010
    cold = []
    for _ in range(5):
        async with await EventStore.open({"alpha": dsn}, REGISTRY) as other:
            await other["alpha"].head()
            began = time.perf_counter()
            assert await other["alpha"].load(TALLY, stream) == (Tally(name="x", total=9999), 10_000)
            cold.append(time.perf_counter() - began)
    assert min(cold) < 0.05


async def best(store: EventStore, stream: UUID, *, fresh: bool) -> float:
    """The shortest of some loads, in seconds."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        await store["alpha"].load(TALLY, stream, fresh=fresh)
        times.append(time.perf_counter() - began)
    return min(times)


async def test_snapshots_bound_what_a_cold_load_reads(dsn: str) -> None:
    stream = uuid4()
    async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=Limits(snapshot_every=10)) as store:
        await store["alpha"].load(TALLY, stream)
        for version in range(1, 38):
            await store["alpha"].append(unit(stream, version))
    assert await snapshots(dsn) == [(30, "Tally@1")]
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        # Whoever read the events before the snapshot would notice.
        await connection.execute("UPDATE alpha_events SET state = 'x' WHERE originator_version <= 30")
    async with await EventStore.open({"alpha": dsn}, REGISTRY) as store:
        assert await store["alpha"].load(TALLY, stream) == (Tally(name="x", total=36), 37)


async def test_a_snapshot_of_another_state_version_is_not_used(dsn: str) -> None:
    stream = uuid4()
    changed: Aggregate[Tally] = Aggregate(
        name="Tally",
        log="alpha",
        state=Tally,
        events=TALLY.events,
        decide=TALLY.decide,
        evolve=lambda state, event: evolve(state, event) if state is None else Tally(name="two", total=state.total + 2),
        state_version=2,
    )
    async with await EventStore.open({"alpha": dsn}, REGISTRY) as other:
        await append_many(other, stream, 25)
    async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=Limits(snapshot_every=10)) as store:
        await store["alpha"].load(TALLY, stream)
        await store["alpha"]._loader.close()
        assert await snapshots(dsn) == [(25, "Tally@1")]
        assert await store["alpha"].load(changed, stream) == (Tally(name="two", total=48), 25)
    assert await snapshots(dsn) == [(25, "Tally@2")]


async def snapshots(dsn: str) -> list[tuple[object, ...]]:
    """What snapshots there are."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT originator_version, topic FROM alpha_snapshots ORDER BY 1")
        return await cursor.fetchall()
