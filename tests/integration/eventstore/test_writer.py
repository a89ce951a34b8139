"""The writer survives: cancelled callers, full queues, strange violations, lost connections, restarts."""

import asyncio
import os
import random
import socket
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from emporium.application.ports import (
    Claim,
    Conflict,
    Counter,
    Idempotency,
    NewEvent,
    Overloaded,
    Unavailable,
    Unit,
)
from emporium.infra.eventstore import EventStore, Limits, migrate
from emporium.infra.postgres import EmbeddedPostgres
from tests.integration.eventstore.things import AT, META, REGISTRY, Opened, new, unit, waiting


class Lock:
    """Holds the lock of the log alpha, so that its writer waits in the database."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def __aenter__(self) -> "Lock":
        self._connection = await psycopg.AsyncConnection.connect(self._dsn)
        await self._connection.execute("SELECT pg_advisory_xact_lock(lock) FROM emporium_logs WHERE name = 'alpha'")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


async def test_a_cancelled_caller_harms_nobody(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    await log.append(unit(uuid4(), 1))
    first, second, third, queued = (uuid4() for _ in range(4))
    async with Lock(dsn):
        sent = [asyncio.create_task(log.append(unit(stream, 1))) for stream in (first, second, third)]
        await waiting(dsn, 1)
        later = asyncio.create_task(log.append(unit(queued, 1)))
        await asyncio.sleep(0)
        sent[1].cancel()
        later.cancel()
        await asyncio.wait([sent[1], later])
    async with asyncio.timeout(10):
        assert isinstance(await sent[0], int)
        assert isinstance(await sent[2], int)
        # What was under way was not undone, and the writer goes on.
        assert len(await log.stream(second)) == 1
        await log.append(unit(uuid4(), 1))


async def test_a_full_queue_refuses(dsn: str) -> None:
    limits = Limits(queue=5)
    async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=limits) as store:
        log, stream = store["alpha"], uuid4()
        await log.append(unit(stream, 1))
        async with Lock(dsn):
            tasks = [asyncio.create_task(log.append(unit(stream, 2)))]
            await waiting(dsn, 1)
            # It is under way; those for the same stream wait behind it.
            tasks += [asyncio.create_task(log.append(unit(stream, version))) for version in range(3, 8)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await log.append(unit(uuid4(), 1))
        assert len(await asyncio.gather(*tasks)) == 6
        await log.append(unit(uuid4(), 1))


async def test_a_strange_violation_is_raised_to_its_caller_alone(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(
            "ALTER TABLE alpha_events ADD CHECK (position('forbidden' IN encode(state, 'escape')) = 0)"
        )
    bad = new(uuid4(), 1, Opened(name="forbidden"))
    answers = await asyncio.gather(
        *(log.append(unit(uuid4(), 1)) for _ in range(5)),
        log.append(Unit(events=[bad])),
        log.append(Unit(claims=[Claim("".join(uuid4().hex for _ in range(400)), b"", uuid4())])),
        *(log.append(unit(uuid4(), 1)) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, int) for answer in answers) == 10
    assert isinstance(answers[5], psycopg.errors.CheckViolation)
    assert isinstance(answers[6], psycopg.Error)
    assert await log.append(unit(uuid4(), 1)) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        Unit(events=[NewEvent(uuid4(), uuid4(), 0, Opened(name="x"), AT, META)]),
        Unit(events=[NewEvent(uuid4(), uuid4(), 2**63, Opened(name="x"), AT, META)]),
        Unit(events=[new(stream := uuid4(), 1), new(stream, 3)]),
        Unit(events=[new(uuid4(), 1, Opened(name="a\0b"))]),
        Unit(events=[new(uuid4(), 1, Opened(name="\ud800"))]),
        Unit(idempotency=Idempotency("s", "\0", b"", b"")),
        Unit(counters=[Counter("same", 1, 9), Counter("same", 1, 9)]),
    ],
    ids=["version 0", "huge version", "gap", "NUL", "surrogate", "NUL key", "counter twice"],
)
async def test_what_is_wrong_in_itself_never_reaches_the_database(store: EventStore, wrong: Unit) -> None:
    with pytest.raises(ValueError):
        await store["alpha"].append(wrong)
    assert await store["alpha"].head() == 0


async def test_a_backslash_before_u0000_is_no_nul(store: EventStore) -> None:
    stream = uuid4()
    await store["alpha"].append(Unit(events=[new(stream, 1, Opened(name="\\u0000"))]))
    assert [r.event for r in await store["alpha"].stream(stream)] == [Opened(name="\\u0000")]


async def test_what_is_acknowledged_is_on_the_disk_whatever_the_databases_default(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$"
        )
        await connection.execute("CREATE TABLE committed_with (setting text)")
        await connection.execute(
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO committed_with VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$"
        )
        # Deferred: it looks when the transaction commits, after the writing function is over.
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER look AFTER INSERT ON alpha_events DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION look()"
        )
        async with await EventStore.open({"alpha": dsn}, REGISTRY) as store:
            await store["alpha"].append(unit(uuid4(), 1))
        cursor = await connection.execute("SELECT setting FROM committed_with")
        assert await cursor.fetchall() == [("on",)]


def kill_socket(store: EventStore) -> None:
    """Loses the client's end of the writing connection; the server does not know yet."""
    connection = store["alpha"]._writer._lanes[0].connection
    assert connection is not None
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


async def test_a_commit_whose_answer_was_lost_is_neither_repeated_nor_reported_as_a_conflict(
    store: EventStore, dsn: str
) -> None:
    log, stream, blocker = store["alpha"], uuid4(), uuid4()
    await log.append(unit(blocker, 1))
    async with Lock(dsn):
        units = [unit(stream, 1, 2, counters=[Counter("uses", 1, 100)]), unit(blocker, 1), unit(uuid4(), 1)]
        appends = [asyncio.create_task(log.append(each)) for each in units]
        await waiting(dsn, 1)
        kill_socket(store)
        # The old backend holds the first place in the queue for the lock; the new connection comes second.
        await waiting(dsn, 2)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*appends, return_exceptions=True)
    recorded, _ = await log.read(0, 100)
    assert answers[0] == next(r.position for r in recorded if r.stream == stream and r.version == 2)
    assert isinstance(answers[1], Conflict)
    assert answers[2] == recorded[-1].position
    assert len(recorded) == 4
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT value FROM alpha_counters")
        assert await cursor.fetchall() == [(1,)]


async def test_a_connection_that_was_replaced_can_commit_nothing_more(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    await log.append(unit(uuid4(), 1))
    lane = log._writer._lanes[0]
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as other:
        # The replacement comes first; then the old one's call arrives after all.
        await other.execute("SELECT emporium_enter_alpha(%s)", [lane.id])
        lost = log.append(unit(stream := uuid4(), 1))
        async with asyncio.timeout(10):
            assert await lost == (await log.stream(stream))[0].position
        assert lane.generation == 3


async def test_killed_connections_lose_and_double_nothing(store: EventStore, dsn: str) -> None:
    log, chance = store["alpha"], random.Random(7)
    streams = [uuid4() for _ in range(16)]
    answers: dict[object, int] = {}
    done = asyncio.Event()

    async def write(stream: object) -> None:
        version = 0
        while not done.is_set():
            version += 1
            events = [new(stream, version)]  # type: ignore[arg-type]
            answers[events[0].id] = await log.append(Unit(events=events, counters=[Counter(str(stream), 1, 10**9)]))

    async def kill() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            for _ in range(25):
                await asyncio.sleep(chance.uniform(0.0, 0.06))
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        done.set()

    async with asyncio.timeout(60):
        await asyncio.gather(kill(), *(write(stream) for stream in streams))
    stored: dict[object, int] = {}
    for stream in streams:
        recorded = await log.stream(stream)
        assert [r.version for r in recorded] == list(range(1, len(recorded) + 1))
        stored |= {r.id: r.position for r in recorded}
    assert answers == stored
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT sum(value)::bigint FROM alpha_counters")
        assert await cursor.fetchone() == (len(answers),)


async def test_a_restart_of_the_server_only_delays(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    dsn = await asyncio.to_thread(server.start)
    try:
        await migrate({"alpha": dsn}, REGISTRY)
        async with await EventStore.open({"alpha": dsn}, REGISTRY, listen={"alpha": dsn}) as store:
            log = store["alpha"]
            seen: list[int] = []
            first = await log.append(unit(uuid4(), 1))

            async def follow(until: int) -> None:
                async for page in log.follow(0, 10):
                    seen.extend(event.position for event in page)
                    if seen[-1] >= until:
                        return

            following = asyncio.create_task(follow(first + 2))
            waiting = asyncio.create_task(log.wait(first + 1, 60))
            await asyncio.to_thread(server.stop, immediate=True)
            during = [asyncio.create_task(log.append(unit(uuid4(), 1))) for _ in range(2)]
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(20):
                positions = await asyncio.gather(*during)
                assert await waiting
                if max(positions) < first + 2:
                    await log.append(unit(uuid4(), 1))
                await following
            assert seen[0] == first
            assert seen == sorted(set(seen))
    finally:
        await asyncio.to_thread(server.stop, immediate=True)


async def test_a_database_that_stays_away_is_unavailable(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    dsn = await asyncio.to_thread(server.start)
    try:
        await migrate({"alpha": dsn}, REGISTRY)
        async with await EventStore.open({"alpha": dsn}, REGISTRY, limits=Limits(patience=0.5)) as store:
            log, stream = store["alpha"], uuid4()
            await log.append(unit(stream, 1))
            await asyncio.to_thread(server.stop, immediate=True)
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await log.append(unit(stream, 2))
            with pytest.raises(Unavailable):
                await log.stream(stream)
            assert time.monotonic() - began < 10
            await asyncio.to_thread(server.start)
            assert await log.append(unit(stream, 2)) > 1
    finally:
        await asyncio.to_thread(server.stop, immediate=True)
    with pytest.raises(Unavailable):
        await EventStore.open({"alpha": dsn}, REGISTRY, limits=Limits(patience=0.5))


async def test_who_opens_while_the_database_starts_again_waits_for_it(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    dsn = await asyncio.to_thread(server.start)
    try:
        await migrate({"alpha": dsn}, REGISTRY)
        await asyncio.to_thread(server.stop, immediate=True)
        opening = asyncio.create_task(EventStore.open({"alpha": dsn}, REGISTRY))
        await asyncio.to_thread(server.start)
        async with await opening as store:
            assert await store["alpha"].append(unit(uuid4(), 1)) == 1
    finally:
        await asyncio.to_thread(server.stop, immediate=True)
