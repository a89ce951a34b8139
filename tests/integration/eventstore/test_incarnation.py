"""Positions belong to one life of a log: after a restore those of the old life are refused."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from emporium.application.ports import Superseded
from emporium.infra.eventstore import EventStore, LogShortened, Overtaken, WrongIncarnation, new_incarnation, restored
from tests.integration.eventstore.things import LOGS, REGISTRY, tracking, unit


async def test_a_restored_log_refuses_the_tracking_of_its_old_life(store: EventStore, dsn: str) -> None:
    log, upstream = store["alpha"], store["beta"]
    old = upstream.incarnation
    epoch = await log.leases.acquire("policy", "me", 30)
    assert epoch is not None
    await log.append(unit(uuid4(), 1, tracking=tracking("policy", 0, 500, epoch, old)))
    await new_incarnation(dsn, "beta")
    dsns = dict.fromkeys(LOGS, dsn)
    async with await EventStore.open(dsns, REGISTRY) as after:
        new = after["beta"].incarnation
        assert new != old
        assert after["alpha"].incarnation == log.incarnation
        with pytest.raises(WrongIncarnation) as raised:
            await after["alpha"].tracking("policy", "beta")
        assert (raised.value.log, raised.value.current, raised.value.given) == ("beta", new, old)
        with pytest.raises(Superseded):
            await after["alpha"].append(unit(uuid4(), 1, tracking=tracking("policy", 500, 501, epoch, new)))


async def test_a_token_of_another_life_is_refused(store: EventStore) -> None:
    store.check("alpha", store["alpha"].incarnation)
    with pytest.raises(WrongIncarnation):
        store.check("alpha", uuid4())
    with pytest.raises(WrongIncarnation):
        store.check("alpha", store["beta"].incarnation)


async def test_a_process_that_lived_through_a_restore_writes_nothing_and_waits_for_nothing(
    store: EventStore, dsn: str
) -> None:
    log = store["alpha"]
    await log.append(unit(uuid4(), 1))
    await new_incarnation(dsn, "alpha")
    with pytest.raises(WrongIncarnation):
        await log.append(unit(uuid4(), 1))
    with pytest.raises(WrongIncarnation):
        await log.wait(1, 10)
    with pytest.raises(WrongIncarnation):
        await log.head()
    await store["beta"].append(unit(uuid4(), 1))
    async with await EventStore.open(dict.fromkeys(LOGS, dsn), REGISTRY) as after:
        assert await after["alpha"].append(unit(uuid4(), 1)) > 1


async def test_who_watches_hears_of_another_life(store: EventStore, dsn: str) -> None:
    watching = asyncio.create_task(store.watch(0.01))
    await store["beta"].append(unit(uuid4(), 1))
    await new_incarnation(dsn, "beta")
    with pytest.raises(WrongIncarnation):
        await asyncio.wait_for(watching, 10)


async def test_who_watches_hears_of_a_log_that_was_put_back_without_a_word(store: EventStore, dsn: str) -> None:
    for _ in range(3):
        last = await store["beta"].append(unit(uuid4(), 1))
    watching = asyncio.create_task(store.watch(0.01))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("DELETE FROM beta_events WHERE notification_id >= %s", [last])
    with pytest.raises(LogShortened):
        await asyncio.wait_for(watching, 10)


async def test_after_a_restore_followers_go_on_where_they_stood_or_where_the_log_ends(
    store: EventStore, dsn: str
) -> None:
    log, upstream = store["alpha"], store["beta"]
    positions = [await upstream.append(unit(uuid4(), 1)) for _ in range(3)]
    for name, position in (("behind", positions[0]), ("ahead", positions[2])):
        epoch = await log.leases.acquire(name, "me", 30)
        assert epoch is not None
        await log.append(unit(uuid4(), 1, tracking=tracking(name, 0, position, epoch, upstream.incarnation)))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("DELETE FROM beta_events WHERE notification_id > %s", [positions[1]])
    dsns = dict.fromkeys(LOGS, dsn)
    # Killed after the new life has begun: followers refuse, and the same call again brings it to its end.
    await new_incarnation(dsn, "beta")
    assert await restored(dsns, ["beta"]) == [
        Overtaken(log="alpha", name="ahead", upstream="beta", position=positions[2], head=positions[1])
    ]
    assert await restored(dsns, ["beta"]) == []
    async with await EventStore.open(dsns, REGISTRY) as after:
        log, upstream = after["alpha"], after["beta"]
        assert await log.tracking("behind", "beta") == positions[0]
        assert await log.tracking("ahead", "beta") == positions[1]
        later = await upstream.append(unit(uuid4(), 1))
        epoch = await log.leases.acquire("ahead", "me", 30)
        assert epoch is not None
        moved = tracking("ahead", positions[1], later, epoch, upstream.incarnation)
        await log.append(unit(uuid4(), 1, tracking=moved))
        assert await log.tracking("ahead", "beta") == later
        assert log.incarnation == store["alpha"].incarnation
