"""Positions follow the order of the commits, and the writer's lock is in nobody's way."""

import asyncio
import time
from uuid import uuid4

import psycopg

from emporium.application.ports import EventLog
from emporium.infra.eventstore import EventStore
from tests.integration.eventstore.things import REGISTRY, unit, waiting


async def everything(log: EventLog) -> list[int]:
    """All positions of a log, read page by page."""
    after, positions = 0, list[int]()
    while True:
        events, upto = await log.read(after, 500)
        if upto == after:
            return positions
        positions += [event.position for event in events]
        after = upto


async def test_the_writer_waits_for_the_logs_advisory_lock(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    await log.append(unit(uuid4(), 1))
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("SELECT pg_advisory_xact_lock(lock) FROM emporium_logs WHERE name = 'alpha'")
        append = asyncio.create_task(log.append(unit(uuid4(), 1)))
        await waiting(dsn, 1)
        # The other log has a lock of its own.
        await store["beta"].append(unit(uuid4(), 1))
        assert not append.done()
        await other.rollback()
        assert await append == 2


async def test_the_writer_and_autovacuum_do_not_exclude_each_other(store: EventStore, dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as vacuum:
        # What a vacuum holds; LOCK TABLE … IN EXCLUSIVE MODE would wait for it.
        await vacuum.execute("LOCK TABLE alpha_events IN SHARE UPDATE EXCLUSIVE MODE")
        async with asyncio.timeout(10):
            await store["alpha"].append(unit(uuid4(), 1))


async def test_a_reader_beside_two_writing_processes_misses_nothing(store: EventStore, dsn: str) -> None:
    finish = time.monotonic() + 1.5
    appended: list[int] = []

    async def write(log: EventLog) -> None:
        while time.monotonic() < finish:
            appended.append(await log.append(unit(uuid4(), 1)))

    async with (
        await EventStore.open({"alpha": dsn}, REGISTRY) as second,
        await EventStore.open({"alpha": dsn}, REGISTRY) as reader,
    ):
        seen: list[int] = []

        async def read() -> None:
            async for page in reader["alpha"].follow(0, 50):
                seen.extend(event.position for event in page)

        reading = asyncio.create_task(read())
        await asyncio.gather(*(write(each["alpha"]) for each in (store, second) for _ in range(8)))
        async with asyncio.timeout(20):
            while len(seen) < len(appended):
                await asyncio.sleep(0.01)
        reading.cancel()
    assert seen == sorted(appended)


async def test_positions_that_were_rolled_back_hold_nobody_up(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    await log.append(unit(uuid4(), 1))
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        # Wider than the window of one read.
        await other.execute("SELECT setval('alpha_events_notification_id_seq', 250000)")
    last = await log.append(unit(uuid4(), 1))
    assert last > 250_000
    assert await everything(log) == [1, last]
    async with await EventStore.open({"alpha": dsn}, REGISTRY) as other_store:
        assert await everything(other_store["alpha"]) == [1, last]
