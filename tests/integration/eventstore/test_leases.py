"""Leadership: one leader by the database's clock, and a deposed one that writes nothing."""

import asyncio
import os
import signal
import sys
from uuid import uuid4

import psycopg
import pytest

from emporium.application.ports import Leases, Superseded
from emporium.infra.eventstore import EventStore
from tests.integration.eventstore.things import tracking, unit, waiting


async def expire(dsn: str) -> None:
    """The lease's time is over, by the database's clock."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("UPDATE emporium_leases SET expires_at = clock_timestamp() - interval '1 second'")


async def test_a_lease_has_one_owner_until_it_ends(store: EventStore, dsn: str) -> None:
    leases: Leases = store["alpha"].leases
    first = await leases.acquire("policy", "a", 30)
    assert first is not None
    assert await leases.acquire("policy", "b", 30) is None
    assert await leases.acquire("another", "b", 30) is not None
    assert await store["beta"].leases.acquire("policy", "b", 30) is not None
    assert await leases.renew("policy", "a", first, 30)
    assert not await leases.renew("policy", "b", first, 30)
    await expire(dsn)
    second = await leases.acquire("policy", "b", 30)
    assert second is not None
    assert second > first
    assert not await leases.renew("policy", "a", first, 30)
    await leases.release("policy", "a", first)
    assert await leases.acquire("policy", "a", 30) is None
    await leases.release("policy", "b", second)
    third = await leases.acquire("policy", "a", 30)
    assert third is not None
    assert third > second


async def test_two_at_once_make_one_leader(store: EventStore) -> None:
    epochs = await asyncio.gather(*(store["alpha"].leases.acquire("policy", str(n), 30) for n in range(12)))
    assert sum(epoch is not None for epoch in epochs) == 1


async def test_a_deposed_leader_cannot_even_begin(store: EventStore, dsn: str) -> None:
    """Before the first step there is no row to guard: the lease itself decides."""
    log, incarnation = store["alpha"], store["beta"].incarnation
    old = await log.leases.acquire("policy", "a", 30)
    await expire(dsn)
    new = await log.leases.acquire("policy", "b", 30)
    assert old is not None and new is not None
    with pytest.raises(Superseded):
        await log.append(unit(uuid4(), 1, tracking=tracking("policy", 0, 10, old, incarnation)))
    assert await log.tracking("policy", "beta") == 0
    await log.append(unit(uuid4(), 1, tracking=tracking("policy", 0, 10, new, incarnation)))
    with pytest.raises(Superseded):
        await log.append(unit(uuid4(), 1, tracking=tracking("policy", 0, 10, new, incarnation)))
    assert await log.tracking("policy", "beta") == 10
    assert len((await log.read(0, 10))[0]) == 1


async def test_a_deposed_leader_writes_nothing(store: EventStore, dsn: str) -> None:
    log, incarnation = store["alpha"], store["beta"].incarnation
    old = await log.leases.acquire("policy", "a", 30)
    assert old is not None
    await log.append(unit(uuid4(), 1, tracking=tracking("policy", 0, 10, old, incarnation)))
    await expire(dsn)
    new = await log.leases.acquire("policy", "b", 30)
    assert new is not None
    # The same position, moving forwards: the library's rule (old < new) would let it pass.
    with pytest.raises(Superseded):
        await log.append(unit(uuid4(), 1, tracking=tracking("policy", 10, 20, old, incarnation)))
    await log.append(unit(uuid4(), 1, tracking=tracking("policy", 10, 20, new, incarnation)))
    assert len((await log.read(0, 10))[0]) == 2


async def test_taking_over_waits_for_what_the_old_leader_has_under_way(store: EventStore, dsn: str) -> None:
    log, incarnation = store["alpha"], store["beta"].incarnation
    old = await log.leases.acquire("policy", "a", 30)
    assert old is not None
    await log.append(unit(uuid4(), 1, tracking=tracking("policy", 0, 10, old, incarnation)))
    await expire(dsn)
    async with await psycopg.AsyncConnection.connect(dsn) as leader:
        # The old leader's append, as it stands before its commit.
        await leader.execute(
            "UPDATE alpha_tracking SET notification_id = 20 WHERE application_name = 'policy:beta' AND epoch = %s",
            [old],
        )
        acquire = asyncio.create_task(log.leases.acquire("policy", "b", 30))
        await waiting(dsn, 1)
        assert not acquire.done()
        await leader.commit()
    new = await acquire
    assert new is not None
    assert await log.tracking("policy", "beta") == 20
    await log.append(unit(uuid4(), 1, tracking=tracking("policy", 20, 30, new, incarnation)))


STOPPED = """
import asyncio, sys
from emporium.application.ports import Superseded
from emporium.infra.eventstore import EventStore
from tests.integration.eventstore.things import REGISTRY, LOGS, tracking, unit
from uuid import uuid4

async def main():
    async with await EventStore.open(dict.fromkeys(LOGS, sys.argv[1]), REGISTRY) as store:
        log, position = store["alpha"], 0
        epoch = await log.leases.acquire("policy", "stopped", 0.5)
        print("leads", flush=True)
        while True:
            try:
                await log.append(unit(uuid4(), 1, tracking=tracking("policy", position, position + 1, epoch,
                                                                    store["beta"].incarnation)))
            except Superseded:
                print("superseded", position, flush=True)
                return
            position += 1

asyncio.run(main())
"""


async def test_a_process_that_was_stopped_past_its_lease_writes_nothing_twice(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STOPPED,
        dsn,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"leads\n"
        async with asyncio.timeout(20):
            await log.wait(20, 20)
            process.send_signal(signal.SIGSTOP)
            epoch = None
            while epoch is None:
                epoch = await log.leases.acquire("policy", "next", 30)
            position = await log.tracking("policy", "beta")
            await log.append(
                unit(uuid4(), 1, tracking=tracking("policy", position, position + 1, epoch, store["beta"].incarnation))
            )
            process.send_signal(signal.SIGCONT)
            out = (await process.stdout.read()).decode()
        # Its last append may have reached the database before it was stopped, and then it counted.
        assert out.strip() in {f"superseded {position}", f"superseded {position - 1}"}
        assert await log.tracking("policy", "beta") == position + 1
        assert len((await log.read(0, 100_000))[0]) == position + 1
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
