"""A rebuild fills beside the live tables, never disturbs a reader, and can be ended and taken up again."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from emporium.application.ports import Recorded
from emporium.infra.eventstore import new_incarnation
from emporium.projections import control, generations
from emporium.projections.consistency import TokenRefused
from emporium.projections.generations import LIVE, NEXT, PREVIOUS
from emporium.projections.model import Tables
from emporium.projections.order_history import ORDER_HISTORY, order_totals, orders_for_admin
from emporium.projections.rebuild import Busy, Progress, cancel
from emporium.projections.registry import MODELS
from tests.integration.projections.shop import Shop, until
from tests.support.stories import year

NAME = ORDER_HISTORY.name


async def test_readers_see_every_order_at_all_times_while_generations_are_swapped_under_writes(shop: Shop) -> None:
    told = year(120)
    chunks = [told[start : start + 60] for start in range(0, len(told), 60)]
    done = asyncio.Event()
    seen: list[int] = []

    async def read() -> None:
        async with await psycopg.AsyncConnection.connect(shop.dsn, autocommit=True) as connection:
            while not done.is_set():
                orders = sum(one.orders for one in await order_totals(connection))
                page = await orders_for_admin(connection, limit=1_000)
                assert len(page.items) >= orders
                seen.append(orders)

    async def rebuild() -> int:
        swaps = 0
        while not done.is_set():
            await shop.rebuild(ORDER_HISTORY)
            swaps += 1
        return swaps

    async with shop.engine([ORDER_HISTORY]), shop.waiter([ORDER_HISTORY]) as waiter:
        assert await waiter.wait([NAME], await shop.write(chunks[0]), 20)
        reader, rebuilder = asyncio.create_task(read()), asyncio.create_task(rebuild())
        try:
            for chunk in chunks[1:]:
                assert await waiter.wait([NAME], await shop.write(chunk), 20)
                # What a token promised is there, in whichever generation is live by now.
                assert sum(one.orders for one in await order_totals(shop.connection)) == created(shop, told)
        finally:
            done.set()
            await asyncio.wait((reader, rebuilder))
        reader.result()
        assert rebuilder.result() > 2
    assert seen == sorted(seen)
    live = await shop.rows(ORDER_HISTORY)
    await shop.rebuild(ORDER_HISTORY, fresh=True)
    assert await shop.rows(ORDER_HISTORY) == live


def created(shop: Shop, told: Sequence[Any]) -> int:
    """Orders among what has been written."""
    return sum(1 for one in told[: shop.writer.written] if type(one[2]).__name__ == "OrderCreated")


async def test_an_interrupted_rebuild_is_taken_up_where_it_stood(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emporium.projections.source.BATCH", 100)
    await shop.write(year(100))
    await shop.project([ORDER_HISTORY])
    live = await shop.rows(ORDER_HISTORY)
    batches = 0

    async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
        nonlocal batches
        batches += 1
        if batches == 5:
            raise asyncio.CancelledError
        await ORDER_HISTORY.fold(tables, log, events)

    with suppress(asyncio.CancelledError):
        await shop.rebuild(replace(ORDER_HISTORY, fold=fold))
    left = await generations.positions(shop.connection, NAME, NEXT)
    assert sum(place.position for place in left.values()) > 0
    assert await shop.rows(ORDER_HISTORY) == live

    told: list[Progress] = []
    done = await shop.rebuild(ORDER_HISTORY, progress=told.append)
    assert await shop.rows(ORDER_HISTORY) == live
    total = sum(1 for one in live["timeline"])
    assert 0 < done.events < total
    assert told[-1].position == told[-1].head > 0


async def test_a_cancelled_rebuild_leaves_nothing_behind(shop: Shop) -> None:
    await shop.install()
    async with shop.connection.transaction():
        await generations.create(shop.connection, ORDER_HISTORY, NEXT)
    assert await cancel(shop.connection, NAME)
    assert not await cancel(shop.connection, NAME)
    assert await shop.rows(ORDER_HISTORY, NEXT) == {}
    assert await generations.generation(shop.connection, NAME, NEXT) is None


async def test_two_rebuilds_of_one_model_do_not_meet(shop: Shop) -> None:
    await shop.install()
    assert await shop.leases.acquire(f"projection.{NAME}.{NEXT}", "another process", 60) is not None
    with pytest.raises(Busy):
        await shop.rebuild(ORDER_HISTORY)


async def test_the_previous_generation_can_be_made_live_again(shop: Shop) -> None:
    told = year(40)
    await shop.write(told[:300])
    await shop.project([ORDER_HISTORY])
    await shop.rebuild(ORDER_HISTORY)
    await shop.connection.execute("DELETE FROM rm_order_history.timeline")
    async with shop.engine([ORDER_HISTORY]), shop.waiter([ORDER_HISTORY]) as waiter:
        assert await generations.roll_back(shop.connection, NAME)
        assert await waiter.wait([NAME], await shop.write(told[300:]), 20)
    rows = await shop.rows(ORDER_HISTORY)
    await shop.rebuild(ORDER_HISTORY, fresh=True)
    assert await shop.rows(ORDER_HISTORY) == rows
    async with shop.connection.transaction():
        await generations.drop(shop.connection, NAME, PREVIOUS)
    assert not await generations.roll_back(shop.connection, NAME)


async def test_the_comparison_finds_a_row_that_differs(shop: Shop) -> None:
    await shop.write(year(10))
    await shop.project([ORDER_HISTORY])
    await shop.connection.execute("UPDATE rm_order_history.orders SET total = total + 1 WHERE number = 'O-000003'")
    done = await shop.rebuild(ORDER_HISTORY)
    assert done.compared is not None
    assert [one.table for one in done.compared if not one.equal] == ["orders"]


# --- another version -------------------------------------------------------------------------------


def holding(gate: asyncio.Event) -> Callable[[Tables, str, Sequence[Recorded]], Any]:
    async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
        cursor = await tables._connection.execute("SELECT current_schema()")
        if await cursor.fetchone() == ("rm_order_history_next",):
            await gate.wait()
        await ORDER_HISTORY.fold(tables, log, events)

    return fold


async def test_a_new_version_over_the_same_tables_is_rebuilt_while_the_old_rows_serve(shop: Shop) -> None:
    told = year(30)
    await shop.write(told[:300])
    await shop.project([ORDER_HISTORY])
    gate = asyncio.Event()
    newer = replace(ORDER_HISTORY, version=ORDER_HISTORY.version + 1, fold=holding(gate))
    async with shop.engine([newer]), shop.waiter([newer]) as waiter:
        assert await waiter.wait([NAME], await shop.write(told[300:]), 20)
        await until(lambda: exists(shop, NEXT))
        stored = await generations.generation(shop.connection, NAME, LIVE)
        assert stored is not None and stored.version == ORDER_HISTORY.version
        gate.set()
        await until(lambda: version_is(shop, newer.version))
        assert await waiter.wait([NAME], shop.token(), 20)
    rows = await shop.rows(ORDER_HISTORY)
    await shop.rebuild(newer, fresh=True)
    assert await shop.rows(ORDER_HISTORY) == rows


async def test_a_new_version_with_other_tables_is_not_served_until_it_is_rebuilt(shop: Shop) -> None:
    told = year(30)
    await shop.write(told[:300])
    await shop.project([ORDER_HISTORY])
    gate = asyncio.Event()
    newer = replace(
        ORDER_HISTORY,
        version=ORDER_HISTORY.version + 1,
        ddl=ORDER_HISTORY.ddl + "CREATE TABLE more (order_id uuid);",  # type: ignore[arg-type]
        fold=holding(gate),
    )
    before = await shop.rows(ORDER_HISTORY)
    async with shop.engine([newer]), shop.waiter([newer]) as waiter, shop.waiter([ORDER_HISTORY]) as older:
        assert await older.wait([NAME], None, 5)
        await until(lambda: exists(shop, NEXT))
        token = await shop.write(told[300:])
        assert not await waiter.wait([NAME], None, 0.1)
        assert not waiter.serves([NAME])
        assert await shop.rows(ORDER_HISTORY) == before
        gate.set()
        assert await waiter.wait([NAME], token, 20)
        assert not await older.wait([NAME], token, 0.6)
    assert (await generations.generations(shop.connection, [NAME]))[NAME, LIVE].version == newer.version


async def exists(shop: Shop, which: str) -> bool:
    return await generations.generation(shop.connection, NAME, which) is not None


async def version_is(shop: Shop, version: int) -> bool:
    stored = await generations.generation(shop.connection, NAME, LIVE)
    return stored is not None and stored.version == version


# --- a restored log --------------------------------------------------------------------------------


async def test_after_a_restore_old_tokens_are_refused_and_the_models_are_rebuilt(shop: Shop) -> None:
    told = year(30)
    await shop.write(told)
    await shop.project()
    token = shop.token()
    # The backup lacks the last events, and the restored log has a life of its own.
    last = shop.heads["payments"]
    await shop.connection.execute("DELETE FROM payments_events WHERE notification_id > %s", [last - 10])
    await new_incarnation(shop.dsn, "payments")
    async with shop.reopened() as restored, restored.waiter() as waiter:
        with pytest.raises(TokenRefused):
            await waiter.wait([NAME], token, 5)
        assert not await waiter.wait([NAME], None, 0.3)
        async with restored.engine():
            names = [model.name for model in MODELS]
            assert await waiter.wait(names, None, 20)
            found = await control.status(restored.connection, MODELS, restored.logs)
            assert [one.lag for one in found] == [0.0] * len(MODELS)
        rows = await shop.rows(ORDER_HISTORY)
        assert not any(one.startswith(f"(payments,{last}") for one in rows["timeline"])
        await restored.rebuild(ORDER_HISTORY, fresh=True)
        assert await shop.rows(ORDER_HISTORY) == rows
