"""Following a log: filters, wake-ups, what is shared between followers, and what cannot be decoded."""

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from emporium.infra.eventstore import EventStore, Limits, Registry, UnreadableEvent
from tests.integration.eventstore.test_order import everything
from tests.integration.eventstore.things import LOGS, REGISTRY, TALLY, Tally, unit


async def test_a_filter_moves_on_over_what_does_not_matter(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    await log.append(unit(uuid4(), *range(1, 21)))
    async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=Limits(recent=5)) as other:
        # From the process that wrote, from the recent events of another, and from history.
        for each, after in ((log, 0), (other["alpha"], 15), (other["alpha"], 0)):
            assert await each.read(max(after, 1), 10, topics=["alpha.Opened"]) == ([], 20)
            events, upto = await each.read(after, 3, topics=["alpha.Counted"])
            assert [event.position for event in events] == [max(after, 1) + n for n in (1, 2, 3)]
            assert upto == events[-1].position
    assert await log.read(20, 10) == ([], 20)
    assert await log.read(20, 10, topics=["alpha.Opened"]) == ([], 20)


async def test_small_steps_and_big_ones_read_the_same(dsn: str) -> None:
    dsns = {"alpha": dsn}
    async with await EventStore.open(dsns, REGISTRY) as writer:
        for _ in range(30):
            await writer["alpha"].append(unit(uuid4(), 1, 2, 3))
        async with await EventStore.open(dsns, REGISTRY, limits=Limits(recent=20)) as reader:
            log = reader["alpha"]
            for limit in (1, 7, 1000):
                after, positions = 0, list[int]()
                while True:
                    events, upto = await log.read(after, limit)
                    positions += [event.position for event in events]
                    if upto == after:
                        break
                    after = upto
                assert positions == list(range(1, 91))


async def test_recent_events_are_fetched_and_decoded_once_per_process(
    store: EventStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = store["alpha"]
    for _ in range(5):
        await log.append(unit(uuid4(), 1, 2))
    async with await EventStore.open({"alpha": dsn}, registry := Registry([TALLY])) as reader:
        decoded: list[int] = []
        decode = registry.decode

        def counting(log: str, position: int, *others: object) -> object:
            decoded.append(position)
            return decode(log, position, *others)  # type: ignore[arg-type]

        monkeypatch.setattr(registry, "decode", counting)
        first, *others = [await reader["alpha"].read(0, 100) for _ in range(3)]
        assert [event.position for event in first[0]] == decoded == list(range(1, 11))
        assert all(a is b for other in others for a, b in zip(first[0], other[0], strict=True))
    # The process that wrote them need not even fetch them.
    await log.read(0, 100)
    new = await log.append(unit(uuid4(), 1))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("LOCK TABLE alpha_events IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(5):
            events, upto = await log.read(10, 100)
    assert ([event.position for event in events], upto) == ([new], new)
    assert events == (await log.stream(events[0].stream))


async def test_a_local_commit_wakes_at_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emporium.infra.eventstore.tail._POLL", 60.0)
    async with await EventStore.open({"alpha": dsn}, REGISTRY) as store:
        log = store["alpha"]
        assert not await log.wait(0, 0.01)
        waiting = asyncio.create_task(log.wait(0, 30))
        await asyncio.sleep(0)
        await log.append(unit(uuid4(), 1))
        assert await asyncio.wait_for(waiting, 20)
        assert await log.wait(0, 30)
        assert not await log.wait(1, 0.01)


async def test_a_notification_wakes_without_the_poll(
    store: EventStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emporium.infra.eventstore.tail._POLL", 60.0)
    dsns = dict.fromkeys(LOGS, dsn)
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as other:
        for position in range(10):
            waiting = asyncio.create_task(other["alpha"].wait(position, 30))
            await asyncio.sleep(0.05)
            await store["alpha"].append(unit(uuid4(), 1))
            assert await asyncio.wait_for(waiting, 20)


async def test_who_waits_for_a_topic_is_woken_by_no_other(
    store: EventStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emporium.infra.eventstore.tail._POLL", 60.0)
    dsns = dict.fromkeys(LOGS, dsn)
    stream = uuid4()
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as other:
        log = other["alpha"]
        await log.read(0, 10)  # from here on it knows what comes
        counted = asyncio.create_task(log.wait(0, 30, topics=["alpha.Counted"]))
        unhurried = asyncio.create_task(log.wait(0, 30, topics=[]))
        anything = asyncio.create_task(log.wait(0, 30))
        await asyncio.sleep(0.1)
        await store["alpha"].append(unit(stream, 1))
        assert await anything and await unhurried
        await asyncio.sleep(0.2)
        assert not counted.done()
        assert not await log.wait(0, 0.0, topics=["alpha.Counted"])
        await store["alpha"].append(unit(stream, 2))
        assert await counted
        # What it knows already it says at once; also what this process writes itself.
        assert await log.wait(1, 0.0, topics=["alpha.Counted"]) and await log.wait(0, 0.0, topics=["alpha.Opened"])
        assert not await log.wait(2, 0.0)
        own = asyncio.create_task(log.wait(2, 30, topics=["alpha.Counted"]))
        await log.append(unit(stream, 3))
        assert await own


async def test_who_needs_no_haste_is_told_soon_without_anybody_else_waiting(
    store: EventStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emporium.infra.eventstore.tail._POLL", 60.0)
    dsns = dict.fromkeys(LOGS, dsn)
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as other:
        await other["alpha"].read(0, 10)
        unhurried = asyncio.create_task(other["alpha"].wait(0, 30, topics=[]))
        await asyncio.sleep(0.1)
        await store["alpha"].append(unit(uuid4(), 1))
        assert await unhurried


async def test_without_listen_the_poll_wakes(store: EventStore, dsn: str) -> None:
    async with await EventStore.open({"alpha": dsn}, REGISTRY) as other:
        waiting = asyncio.create_task(other["alpha"].wait(0, 30))
        await asyncio.sleep(0)
        await store["alpha"].append(unit(uuid4(), 1))
        assert await asyncio.wait_for(waiting, 5)


async def test_a_lost_listening_connection_is_renewed(store: EventStore, dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:

        async def listening() -> list[int]:
            cursor = await connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
            return [pid for (pid,) in await cursor.fetchall()]

        async with asyncio.timeout(10):
            while not (before := await listening()):
                pass
            await connection.execute("SELECT pg_terminate_backend(%s)", before)
            while not (after := await listening()) or after == before:
                pass


async def test_an_event_that_cannot_be_decoded_is_named_and_does_not_hide_those_before_it(
    store: EventStore, dsn: str
) -> None:
    log, streams = store["alpha"], [uuid4() for _ in range(3)]
    for stream in streams:
        await log.append(unit(stream, 1))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("UPDATE alpha_events SET state = 'no JSON' WHERE notification_id = 2")
        await connection.execute("UPDATE alpha_events SET topic = 'alpha.Unheard' WHERE notification_id = 3")
    for limits in (Limits(), Limits(recent=0)):
        async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=limits) as other:
            events, upto = await other["alpha"].read(0, 10)
            assert ([event.position for event in events], upto) == ([1], 1)
            for position, stream in ((2, streams[1]), (3, streams[2])):
                with pytest.raises(UnreadableEvent) as raised:
                    await other["alpha"].read(position - 1, 10)
                assert (raised.value.log, raised.value.position, raised.value.stream) == ("alpha", position, stream)
            # Whoever does not want its type is not bothered.
            events, upto = await other["alpha"].read(2, 10, topics=["alpha.Opened", "alpha.Counted"])
            assert (events, upto) == ([], 3)
            assert await other["alpha"].load(TALLY, streams[0]) == (Tally(name="x"), 1)
            with pytest.raises(UnreadableEvent):
                await other["alpha"].load(TALLY, streams[1])


async def test_the_ends_of_following(store: EventStore) -> None:
    log = store["alpha"]
    assert await log.read(0, 10) == ([], 0)
    assert await log.head() == 0
    await log.append(unit(UUID(int=1), 1))
    async for page in log.follow(0, 10):
        assert [event.stream for event in page] == [UUID(int=1)]
        break
    assert await everything(log) == [1]
