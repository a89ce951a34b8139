"""What commits together does, and only that: conflicts, claims, limits, replays, supersession."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from emporium.application.ports import (
    Claim,
    Conflict,
    Counter,
    Done,
    Idempotency,
    IdempotencyReplay,
    LimitReached,
    Superseded,
    Taken,
    Task,
    TaskUpdate,
    Unit,
)
from emporium.infra.eventstore import EventStore
from tests.integration.eventstore.things import AT, META, REGISTRY, TALLY, Counted, Opened, Tally, new, tracking, unit


async def test_events_come_back_as_they_went_in(store: EventStore) -> None:
    log, stream = store["alpha"], uuid4()
    events = [new(stream, 1, Opened(name="größer")), new(stream, 2, Counted(by=7))]
    position = await log.append(Unit(events=events))
    recorded = await log.stream(stream)
    assert [(r.id, r.version, r.at, r.event, r.meta, r.stream) for r in recorded] == [
        (e.id, e.version, e.at, e.event, e.meta, e.stream) for e in events
    ]
    assert recorded[-1].position == position == await log.head()
    assert recorded[0].topic == "alpha.Opened"
    assert await log.read(0, 10) == (recorded, position)
    assert await log.load(TALLY, stream) == (Tally(name="größer", total=7), 2)


async def test_an_empty_stream_is_version_0(store: EventStore) -> None:
    assert await store["alpha"].load(TALLY, uuid4()) == (None, 0)


async def test_one_conflict_in_a_batch_hurts_nobody_else(store: EventStore) -> None:
    log = store["alpha"]
    taken, good = uuid4(), [uuid4() for _ in range(20)]
    await log.append(unit(taken, 1, 2))
    units = [unit(stream, 1) for stream in good]
    units[7:7] = [unit(taken, 2)]
    units[13:13] = [Unit(events=[new(fresh := uuid4(), 1), new(taken, 5)])]
    answers = await asyncio.gather(*(log.append(each) for each in units), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(answer) for answer in refused] == [Conflict, Conflict]
    assert [answer.streams for answer in refused if isinstance(answer, Conflict)] == [{taken}, {taken}]
    assert await log.load(TALLY, fresh, fresh=True) == (None, 0)
    positions = [answer for answer in answers if isinstance(answer, int)]
    assert positions == sorted(set(positions))
    recorded = {r.stream: r.position for r in (await log.read(2, 100))[0]}
    assert [recorded[stream] for stream in good] == positions


async def test_a_gap_in_a_stream_is_a_conflict(store: EventStore) -> None:
    stream = uuid4()
    await store["alpha"].append(unit(stream, 1))
    with pytest.raises(Conflict) as raised:
        await store["alpha"].append(unit(stream, 3))
    assert raised.value.streams == {stream}


async def test_several_streams_are_written_all_or_none(store: EventStore) -> None:
    log, one, two = store["alpha"], uuid4(), uuid4()
    await log.append(Unit(events=[new(one, 1), new(two, 1), new(one, 2)]))
    with pytest.raises(Conflict) as raised:
        await log.append(Unit(events=[new(one, 3), new(two, 1)]))
    assert raised.value.streams == {two}
    assert [r.version for r in await log.stream(one)] == [1, 2]


async def test_a_stream_that_was_only_read_must_not_have_moved(store: EventStore) -> None:
    log, read, written = store["alpha"], uuid4(), uuid4()
    await log.append(unit(read, 1))
    await log.append(unit(written, 1, expect=[(read, 1)]))
    await log.append(unit(read, 2))
    for version in (0, 1, 3):
        with pytest.raises(Conflict) as raised:
            await log.append(unit(written, 2, expect=[(read, version)]))
        assert raised.value.streams == {read}
    await log.append(unit(written, 2, expect=[(read, 2), (uuid4(), 0)]))


async def test_units_for_one_stream_commit_in_order_of_arrival(store: EventStore) -> None:
    log, stream = store["alpha"], uuid4()
    positions = await asyncio.gather(*(log.append(unit(stream, version)) for version in range(1, 30)))
    assert positions == sorted(positions)
    assert await log.load(TALLY, stream) == (Tally(name="x", total=28), 29)


async def test_a_claim_has_one_owner(store: EventStore) -> None:
    log, first, second = store["alpha"], uuid4(), uuid4()
    value = b"\x00\xffhash"
    await log.append(unit(first, 1, claims=[Claim("email", value, first)]))
    await log.append(unit(first, 2, claims=[Claim("email", value, first)]))
    with pytest.raises(Taken) as raised:
        await log.append(unit(second, 1, claims=[Claim("email", value, second)]))
    assert (raised.value.scope, raised.value.owner) == ("email", first)
    assert await log.stream(second) == []
    await log.append(unit(first, 3, claims=[Claim("email", value, first, release=True)]))
    await log.append(unit(second, 1, claims=[Claim("email", value, second)]))


async def test_two_registrations_at_once_make_one(store: EventStore) -> None:
    log, owners = store["alpha"], [uuid4() for _ in range(20)]
    answers = await asyncio.gather(
        *(log.append(unit(owner, 1, claims=[Claim("email", b"same", owner)])) for owner in owners),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert sum(isinstance(answer, Taken) for answer in answers) == 19
    assert len((await log.read(0, 100))[0]) == 1


async def test_a_counter_stays_within_its_limit(store: EventStore) -> None:
    log = store["alpha"]
    answers = await asyncio.gather(
        *(log.append(unit(uuid4(), 1, counters=[Counter("coupon", 1, 3)])) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, int) for answer in answers) == 3
    assert [answer.name for answer in answers if isinstance(answer, LimitReached)] == ["coupon"] * 5
    await log.append(Unit(counters=[Counter("coupon", -3, 3)]))
    with pytest.raises(LimitReached):
        await log.append(Unit(counters=[Counter("coupon", -1, 3)]))


async def test_a_repeated_key_gets_the_first_answer(store: EventStore) -> None:
    log, stream = store["alpha"], uuid4()
    record = Idempotency("customer/route", "k1", b"hash", b'{"a": 1}')
    position = await log.append(unit(stream, 1, 2, idempotency=record))
    for again in (unit(stream, 3, idempotency=record), unit(stream, 1, idempotency=record), Unit(idempotency=record)):
        with pytest.raises(IdempotencyReplay) as raised:
            await log.append(again)
        assert (raised.value.body_hash, raised.value.answer) == (b"hash", b'{"a": 1}')
        assert raised.value.position == position
    assert len(await log.stream(stream)) == 2
    found = await log.answered("customer/route", "k1")
    assert found is not None
    assert found.position == position
    assert await log.answered("customer/route", "k2") is None


async def test_the_position_of_a_record_is_right_in_the_middle_of_a_batch(store: EventStore) -> None:
    log, blocker = store["alpha"], uuid4()
    await log.append(unit(blocker, 1))
    units = [unit(uuid4(), 1, 2, idempotency=Idempotency("s", str(n), b"", b"")) for n in range(12)]
    units.insert(5, unit(blocker, 1))
    positions = await asyncio.gather(*(log.append(each) for each in units), return_exceptions=True)
    del positions[5]
    found = [await log.answered("s", str(n)) for n in range(12)]
    assert [record.position for record in found if record] == positions


async def test_ten_at_once_with_one_key_are_one(store: EventStore) -> None:
    log = store["alpha"]
    record = Idempotency("s", "k", b"h", b"first")
    answers = await asyncio.gather(
        *(log.append(unit(uuid4(), 1, idempotency=record)) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert sum(isinstance(answer, IdempotencyReplay) for answer in answers) == 9


async def test_tasks_are_kept_with_their_cause_and_done_once(store: EventStore) -> None:
    log, stream = store["alpha"], uuid4()
    task = Task(uuid4(), "timer.expire", AT, stream, {"cart": "c", "n": 2**60}, META)
    later = Task(uuid4(), "effect.charge", AT + timedelta(hours=1), stream, {}, META)
    await log.append(unit(stream, 1, tasks=[task, later]))
    await log.append(Unit(tasks=[task]))
    assert await log.due_tasks(AT - timedelta(microseconds=1), 10) == []
    assert await log.due_tasks(AT, 10) == [task]
    assert await log.due_tasks(AT + timedelta(hours=2), 10) == [task, later]
    assert await log.due_tasks(AT + timedelta(hours=2), 10, kinds=["effect.charge"]) == [later]
    assert await log.next_due() == AT
    await log.append(unit(stream, 2, done=[Done(task.id)]))
    with pytest.raises(Superseded):
        await log.append(unit(stream, 3, done=[Done(task.id)]))
    assert await log.next_due() == AT + timedelta(hours=1)
    await log.append(Unit(task_updates=[TaskUpdate(later.id, AT, 3, "no answer", parked=True)]))
    assert await log.next_due() is None
    assert await log.due_tasks(AT + timedelta(hours=2), 10) == []
    with pytest.raises(Superseded):
        await log.append(Unit(task_updates=[TaskUpdate(task.id, AT, 1)]))
    assert len(await log.stream(stream)) == 2


async def test_tracking_moves_with_the_events(store: EventStore) -> None:
    log, stream = store["alpha"], uuid4()
    incarnation = store["beta"].incarnation
    assert await log.tracking("policy", "beta") == 0
    with pytest.raises(Superseded):
        await log.append(unit(stream, 1, tracking=tracking("policy", 0, 5, 1, incarnation)))
    epoch = await log.leases.acquire("policy", "me", 30)
    assert epoch is not None
    await log.append(unit(stream, 1, tracking=tracking("policy", 0, 5, epoch, incarnation)))
    assert await log.tracking("policy", "beta") == 5
    for stale in (
        tracking("policy", 0, 6, epoch, incarnation),
        tracking("policy", 5, 6, epoch - 1, incarnation),
        tracking("policy", 5, 6, epoch, uuid4()),
    ):
        with pytest.raises(Superseded):
            await log.append(unit(stream, 2, tracking=stale))
    assert [r.version for r in await log.stream(stream)] == [1]


async def test_a_correlation_is_found_whole(store: EventStore) -> None:
    log = store["alpha"]
    names = ["order-1", "order-11", 'ordér "1"', "x" * 60, "x" * 61, str(uuid4())]
    for name in names:
        await log.append(Unit(events=[new(uuid4(), 1, meta=META.__class__(name, "c", "a"))]))
    for name in names:
        assert [r.meta.correlation for r in await log.by_correlation(name)] == [name]
    assert await log.by_correlation("order") == []


async def test_two_processes_with_the_same_keys_and_streams_answer_each_command_once(
    store: EventStore, dsn: str
) -> None:
    """Replays, conflicts and good units in the same batches of two processes, which must not wait in a circle."""
    chance = random.Random(3)
    streams = [uuid4() for _ in range(4)]
    for stream in streams:
        await store["alpha"].append(unit(stream, 1))

    async def submit(process: EventStore, key: str) -> str:
        log, fresh = process["alpha"], False
        stream = chance.choice([*streams, uuid4()])
        while True:
            _, version = await log.load(TALLY, stream, fresh=fresh)
            try:
                await log.append(unit(stream, version + 1, idempotency=Idempotency("s", key, b"", key.encode())))
            except Conflict:
                fresh = True
            except IdempotencyReplay as replay:
                assert replay.answer == key.encode()
                return "replayed"
            else:
                return "done"

    async with await EventStore.open({"alpha": dsn}, REGISTRY) as other, asyncio.timeout(20):
        keys = [str(number) for number in range(400)] * 2
        chance.shuffle(keys)
        answers = await asyncio.gather(*(submit(chance.choice([store, other]), key) for key in keys))
    assert sorted(answers) == ["done"] * 400 + ["replayed"] * 400
    recorded: set[tuple[UUID, int]] = set()
    for number in range(400):
        record = await store["alpha"].answered("s", str(number))
        assert record is not None
        ((event, *_), _) = await store["alpha"].read(record.position - 1, 1)
        recorded.add((event.stream, event.version))
    assert len(recorded) == 400
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert await cursor.fetchone() == (0,)
