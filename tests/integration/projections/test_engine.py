"""The engine: exactly once, one leader, patience with the database, and events that nobody can fold."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from emporium.application.ports import Leases, Recorded, Superseded, Unavailable
from emporium.domain import order
from emporium.projections import control, generations
from emporium.projections.engine import Engine
from emporium.projections.follower import Follower, Moved
from emporium.projections.generations import LIVE
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.order_history import ORDER_HISTORY
from emporium.projections.registry import MODELS
from emporium.projections.source import LogSource
from tests.integration.projections.shop import Shop, until
from tests.support.stories import ENDINGS, Order, year

NAMES = [model.name for model in MODELS]

Fold = Callable[[Tables, str, Sequence[Recorded]], Any]


def folding(model: ReadModel, fold: Fold) -> ReadModel:
    """The model with another fold."""
    return replace(model, fold=fold)


async def expected(shop: Shop, model: ReadModel = ORDER_HISTORY) -> dict[str, list[str]]:
    """The rows that a rebuild by the right fold gives."""
    await shop.rebuild(model, fresh=True)
    return await shop.rows(model)


# --- exactly once ----------------------------------------------------------------------------------


async def test_a_connection_that_dies_between_fold_and_commit_loses_and_doubles_nothing(shop: Shop) -> None:
    deaths = 0

    async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
        nonlocal deaths
        await ORDER_HISTORY.fold(tables, log, events)
        if deaths < 3 and log == "shipping":
            deaths += 1
            (backend,) = (await tables.fetch("SELECT pg_backend_pid() WHERE 1 = ANY(%s)", [1]))[0]
            await shop.connection.execute("SELECT pg_terminate_backend(%s)", [backend])

    model = folding(ORDER_HISTORY, fold)
    await shop.write(year(30))
    await shop.project([model])
    assert deaths == 3
    rows = await shop.rows(ORDER_HISTORY)
    assert rows == await expected(shop)
    assert await control.parked(shop.connection) == []


async def test_a_database_that_drops_every_connection_only_delays(shop: Shop) -> None:
    told = year(60)
    async with shop.engine(), shop.waiter() as waiter:
        for start in range(0, len(told), 150):
            await shop.connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'emporium %%' AND pid <> %s",
                [shop.connection.info.backend_pid],
            )
            token = await shop.write(told[start : start + 150])
        assert await waiter.wait(NAMES, token, 30)
    for model in MODELS:
        live = await shop.rows(model)
        assert live == await expected(shop, model)


async def test_positions_move_over_events_that_do_not_matter(shop: Shop) -> None:
    """A token of a cart's event is satisfied although no read model folds it."""
    await shop.write([one for one in year(8) if one[0] == "ordering" and type(one[2]) not in order.ORDER.events])
    async with shop.engine(), shop.waiter() as waiter:
        assert shop.heads["ordering"] > 0
        assert await waiter.wait(NAMES, shop.token(), 10)


# --- leadership ------------------------------------------------------------------------------------


class Mortal:
    """Leases of a process that may die: it renews and gives back nothing any more."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.dead = False

    async def acquire(self, name: str, owner: str, ttl: float) -> int | None:
        return await self._leases.acquire(name, owner, ttl)

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> bool:
        if self.dead:
            raise Unavailable
        return await self._leases.renew(name, owner, epoch, ttl)

    async def release(self, name: str, owner: str, epoch: int) -> None:
        if not self.dead:
            await self._leases.release(name, owner, epoch)


async def owner_of(shop: Shop, model: str) -> str | None:
    row = await generations.generation(shop.connection, model, LIVE)
    return None if row is None else row.owner


async def test_of_two_processes_one_leads_and_the_other_takes_over_when_it_dies(shop: Shop) -> None:
    ttl = 2.0
    told = year(40)
    leases = Mortal(shop.leases)
    first = asyncio.create_task(Engine(shop.dsn, MODELS, shop.logs, leases, owner="the first", ttl=ttl).run())
    async with shop.waiter() as waiter:
        assert await waiter.wait(NAMES, await shop.write(told[:400]), 20)
        async with shop.engine(ttl=ttl):
            assert await waiter.wait(NAMES, await shop.write(told[400:600]), 20)
            assert {await owner_of(shop, name) for name in NAMES} == {"the first"}
            leases.dead = True
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            token = await shop.write(told[600:])
            died = time.monotonic()
            assert await waiter.wait(NAMES, token, 20)
            assert time.monotonic() - died <= 2 * ttl + 1
    for model in MODELS:
        live = await shop.rows(model)
        assert live == await expected(shop, model)


async def test_a_leader_that_stands_still_within_a_transaction_holds_its_successor_up_no_longer_than_its_lease(
    shop: Shop,
) -> None:
    ttl = 2.0
    still, never = asyncio.Event(), asyncio.Event()

    async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
        await ORDER_HISTORY.fold(tables, log, events)
        still.set()
        await never.wait()

    leases = Mortal(shop.leases)
    stuck = folding(ORDER_HISTORY, fold)
    first = asyncio.create_task(Engine(shop.dsn, [stuck], shop.logs, leases, owner="the first", ttl=ttl).run())
    token = await shop.write(year(10))
    await still.wait()
    leases.dead = True
    stopped = time.monotonic()
    async with shop.engine([ORDER_HISTORY], ttl=ttl), shop.waiter([ORDER_HISTORY]) as waiter:
        assert await waiter.wait([ORDER_HISTORY.name], token, 20)
        assert time.monotonic() - stopped <= 2 * ttl
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    rows = await shop.rows(ORDER_HISTORY)
    assert rows == await expected(shop)


async def test_a_leader_that_was_superseded_writes_nothing(shop: Shop, connection: Connection) -> None:
    await shop.install([ORDER_HISTORY])
    await shop.write(year(5))

    def follower(opened: Connection, epoch: int) -> Follower:
        sources = {log: LogSource(shop.logs[log], ORDER_HISTORY.topics(log)) for log in ORDER_HISTORY.logs}
        return Follower(ORDER_HISTORY, LIVE, opened, sources, epoch)

    async with await psycopg.AsyncConnection.connect(shop.dsn, autocommit=True) as other:
        stale, fresh = follower(connection, 1), follower(other, 2)
        await stale.claim()
        await fresh.claim()
        with pytest.raises(Moved):
            await stale.advance()
        with pytest.raises(Superseded):
            await stale.load()
        assert (await shop.rows(ORDER_HISTORY))["timeline"] == []
        assert await fresh.advance() > 0
        with pytest.raises(Superseded):
            await stale.claim()


async def test_an_older_program_leaves_newer_tables_alone(shop: Shop) -> None:
    newer = replace(ORDER_HISTORY, version=ORDER_HISTORY.version + 1)
    await shop.install([newer])
    await shop.write(year(3))
    async with shop.engine([ORDER_HISTORY], ttl=0.5):

        async def gave_way_twice() -> bool:
            found = await shop.connection.execute("SELECT max(epoch) FROM emporium_leases")
            (epoch,) = await found.fetchone() or (None,)
            return (epoch or 0) > 2

        await until(gave_way_twice)
        assert (await shop.rows(ORDER_HISTORY))["orders"] == []
    await shop.project([newer])
    assert len((await shop.rows(ORDER_HISTORY))["orders"]) == 3


# --- pause -----------------------------------------------------------------------------------------


async def test_a_paused_model_includes_nothing_new_until_it_is_resumed(shop: Shop) -> None:
    told = year(20)
    async with shop.engine(), shop.waiter() as waiter:
        assert await waiter.wait(NAMES, await shop.write(told[:200]), 20)
        await control.pause(shop.connection, "order_history")
        before = await shop.rows(ORDER_HISTORY)
        token = await shop.write(told[200:])
        assert await waiter.wait([name for name in NAMES if name != "order_history"], token, 20)
        assert not await waiter.wait(["order_history"], token, 0.2)
        assert await shop.rows(ORDER_HISTORY) == before
        await control.resume(shop.connection, "order_history")
        assert await waiter.wait(["order_history"], token, 20)


# --- poison ----------------------------------------------------------------------------------------


class Choosy:
    """A fold that cannot bear some orders' payments, until it is cured."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.ids = {one.id for one in orders}
        self.cured = False

    async def fold(self, tables: Tables, log: str, events: Sequence[Recorded]) -> None:
        await ORDER_HISTORY.fold(tables, log, events)
        for one in events:
            if type(one.event) is order.OrderPaid and one.event.order_id in self.ids and not self.cured:
                raise ValueError("this payment cannot be borne")


async def test_a_poison_event_waits_aside_with_all_later_ones_of_its_order(shop: Shop) -> None:
    told = year(44)
    whole = [n for n in range(44) if ENDINGS[n % len(ENDINGS)] == "fulfilled"]
    bad = [Order(n, "fulfilled") for n in whole[2:4]]
    keys = {str(one.id) for one in bad}
    choosy = Choosy(bad)
    model = folding(ORDER_HISTORY, choosy.fold)
    async with shop.engine([model]), shop.waiter([model]) as waiter:
        for start in range(0, len(told), 211):
            assert await waiter.wait([model.name], await shop.write(told[start : start + 211]), 20)
        aside = await control.parked(shop.connection, limit=1_000)
        culprits = [one for one in aside if one.error is not None]
        assert {one.key for one in aside} == {one.key for one in culprits} == keys
        assert [(one.topic, one.error) for one in culprits] == [
            ("ordering.OrderPaid", "ValueError: this payment cannot be borne")
        ] * 2
        assert {one.log for one in aside} > {"ordering"}
        found = await control.status(shop.connection, [model], shop.logs)
        assert (found[0].parked, found[0].waiting, found[0].ok) == (2, len(aside) - 2, False)
        # What concerns other orders is all there.
        entries = await shop.connection.execute("SELECT count(*) FROM rm_order_history.timeline")
        total = sum(1 for one in told if type(one[2]) in {t for types in model.logs.values() for t in types})
        assert await entries.fetchone() == (total - len(aside),)

        # An attempt that fails again changes nothing, one that succeeds puts all of it right.
        assert await control.retry_parked(shop.connection, model.name, str(bad[0].id)) > 0
        await until(lambda: nothing_to_retry(shop))
        assert len(await control.parked(shop.connection, limit=1_000)) == len(aside)
        choosy.cured = True
        await control.retry_parked(shop.connection, model.name)
        await until(lambda: nothing_parked(shop))
        assert (await control.status(shop.connection, [model], shop.logs))[0].ok
    rows = await shop.rows(ORDER_HISTORY)
    assert rows == await expected(shop)


async def nothing_to_retry(shop: Shop) -> bool:
    found = await shop.connection.execute("SELECT count(*) FROM emporium_parked WHERE retry")
    return await found.fetchone() == (0,)


async def nothing_parked(shop: Shop) -> bool:
    return await control.parked(shop.connection) == []


async def test_what_was_set_aside_is_remembered_by_the_next_leader(shop: Shop) -> None:
    told = year(24)
    choosy = Choosy([Order(11, "fulfilled")])
    model = folding(ORDER_HISTORY, choosy.fold)
    for start in (0, 250, 500):
        await shop.write(told[start : start + 250] if start < 500 else told[start:])
        await shop.project([model])
    aside = await control.parked(shop.connection, limit=1_000)
    assert [one.error is not None for one in aside].count(True) == 1
    about = {one.position for one in aside if one.log == "ordering"}
    events, _ = await shop.logs["ordering"].read(0, 10_000, topics=model.topics("ordering"))
    of_order = [one.position for one in events if model.key(one) == Order(11, "fulfilled").id]
    assert about == set(of_order[1:])  # all but OrderCreated


async def test_an_event_that_cannot_be_decoded_waits_aside_and_the_model_goes_on(shop: Shop) -> None:
    told = year(24)
    await shop.write(told)
    broken = Order(11, "fulfilled")
    found = await shop.connection.execute(
        "SELECT notification_id, state FROM ordering_events WHERE originator_id = %s AND originator_version = 2",
        [broken.id],
    )
    position, state = await found.fetchone() or (0, b"")
    await shop.connection.execute(
        "UPDATE ordering_events SET state = convert_to('garbage', 'UTF8') WHERE notification_id = %s", [position]
    )
    async with shop.reopened() as reader:
        await reader.project_up_to(shop.token())
    aside = await control.parked(shop.connection, "order_history")
    assert [(one.position, one.key) for one in aside if one.error is not None] == [(position, str(broken.id))]
    assert len(aside) > 1
    # A program that can decode it is another process.
    await shop.connection.execute("UPDATE ordering_events SET state = %s WHERE notification_id = %s", [state, position])
    async with shop.reopened() as reader, reader.engine():
        for name in NAMES:
            await control.retry_parked(shop.connection, name)
        await until(lambda: nothing_parked(shop))
    for model in MODELS:
        rows = await shop.rows(model)
        assert rows == await expected(shop, model)


async def test_a_fold_that_does_not_fit_its_tables_stops_and_sets_nothing_aside(shop: Shop) -> None:
    async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
        await tables.write("INSERT INTO no_such_table SELECT %s", [1])

    model = folding(ORDER_HISTORY, fold)
    await shop.write(year(3))
    async with shop.engine([model]):

        async def stopped() -> bool:
            return (await control.status(shop.connection, [model], shop.logs))[0].state == "stopped"

        await until(stopped)
    (found,) = await control.status(shop.connection, [model], shop.logs)
    assert "no_such_table" in (found.error or "")
    assert not found.ok
    assert await control.parked(shop.connection) == []


async def test_an_engine_ends_when_it_is_cancelled_whatever_it_is_doing(shop: Shop) -> None:
    """Also in the moment in which it steps down, as it does here all the time."""
    await shop.install([replace(ORDER_HISTORY, version=ORDER_HISTORY.version + 1)])
    for delay in range(30):
        engine = Engine(shop.dsn, [ORDER_HISTORY], shop.logs, shop.leases, owner="one", ttl=0.01)
        task = asyncio.create_task(engine.run())
        await asyncio.sleep(delay / 500)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done
