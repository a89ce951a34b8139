"""`emporium projections`: what it prints, what it returns, what it leaves."""

import asyncio
from typing import Any

import click
import msgspec
import pytest

from emporium.infra.settings import Settings
from emporium.projections import control
from emporium.projections.generations import NEXT
from emporium.projections.registry import MODELS
from emporium.scripts import projections
from tests.integration.projections.shop import Shop
from tests.support.stories import year

Captured = pytest.CaptureFixture[str]


def settings(shop: Shop) -> Settings:
    return msgspec.structs.replace(Settings(), database_url=shop.dsn)


async def lines(capsys: Captured) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]


async def test_all_models_are_rebuilt_with_progress_as_json_lines(shop: Shop, capsys: Captured) -> None:
    await shop.write(year(30))
    await shop.project()
    before = {model.name: await shop.rows(model) for model in MODELS}
    assert await asyncio.to_thread(projections.rebuild, settings(shop), [], as_json=True) == 0
    told = await lines(capsys)
    assert [one["model"] for one in told if one["event"] == "rebuilt"] == [model.name for model in MODELS]
    assert all(one["position"] <= one["head"] for one in told if one["event"] == "progress")
    assert all(table["equal"] for one in told if one["event"] == "rebuilt" for table in one["compared"])
    assert {model.name: await shop.rows(model) for model in MODELS} == before


async def test_a_rebuild_that_another_process_does_already_is_refused(shop: Shop, capsys: Captured) -> None:
    await shop.install()
    await shop.leases.acquire(f"projection.stock_levels.{NEXT}", "another process", 60)
    assert await asyncio.to_thread(projections.rebuild, settings(shop), ["stock_levels"], as_json=True) == 1
    (told,) = await lines(capsys)
    assert (told["event"], told["model"]) == ("failed", "stock_levels")


async def test_the_list_tells_lag_and_what_is_set_aside(shop: Shop, capsys: Captured) -> None:
    await shop.write(year(20))
    await shop.project()
    # The engine that just ended gave its sign of life.
    assert await asyncio.to_thread(projections.list_all, settings(shop), as_json=True) == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    assert {one["model"]: one["lag"] for one in found} == {model.name: 0.0 for model in MODELS}
    await control.pause(shop.connection, "order_history")
    await shop.connection.execute(
        "INSERT INTO emporium_parked (model, generation, log, position, key, topic, error)"
        " VALUES ('saga_monitor', 'live', 'ordering', 1, 'k', 't', 'broken')"
    )
    assert await asyncio.to_thread(projections.list_all, settings(shop), as_json=False) == 1
    text = capsys.readouterr().out
    assert "paused" in text
    assert "1 set aside" in text


async def test_a_model_is_paused_resumed_and_rolled_back(shop: Shop, capsys: Captured) -> None:
    await shop.install()
    for act, paused in ((projections.pause, True), (projections.resume, False)):
        assert await asyncio.to_thread(act, settings(shop), "stock_levels") == 0
        (found,) = [
            one for one in await control.status(shop.connection, MODELS, shop.logs) if one.model == "stock_levels"
        ]
        assert (found.state == "paused") is paused
    with pytest.raises(click.ClickException, match="No earlier generation"):
        await asyncio.to_thread(projections.roll_back, settings(shop), "stock_levels")
    await shop.rebuild(MODELS[2])
    assert await asyncio.to_thread(projections.roll_back, settings(shop), "stock_levels") == 0
    assert await asyncio.to_thread(projections.retry, settings(shop), "stock_levels", key=None) == 0
    assert "Nothing is set aside" in capsys.readouterr().out


def test_a_model_that_does_not_exist_is_a_wrong_call() -> None:
    with pytest.raises(click.UsageError, match="order_history"):
        projections.rebuild(Settings(), ["orders"], as_json=False)
