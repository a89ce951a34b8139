"""`emporium restored`: a shop that was put back to an earlier time works again, and nothing of the old life counts."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from emporium.application import accounts, bootstrap
from emporium.application.ports import Meta
from emporium.domain.registry import LOGS
from emporium.infra.eventstore import WrongIncarnation
from emporium.infra.settings import Settings, StartupProblem, environment
from emporium.scripts import restored
from emporium.scripts.cli import command


async def _logged_in(settings: Settings) -> dict[str, Any]:
    """The lives of the logs of a shop in which somebody has just logged in."""
    async with bootstrap.open_shop(settings) as opened, bootstrap.open_doors(opened) as doors:
        cause = Meta("", "request:1", "")
        await accounts.register(
            opened.shop, email=f"{uuid4()}@shop.example", password="long enough", name=None, cause=cause
        )
        await doors.sessions.create(uuid4(), ["customer"])
        return {log: opened.store[log].incarnation for log in LOGS}


def call(settings: Settings, *arguments: str, typed: str = "") -> Any:
    return CliRunner().invoke(
        command, ["restored", *arguments], env=dict(environment(settings)), input=typed, standalone_mode=False
    )


def test_all_logs_begin_another_life_and_log_ins_end(settings: Settings) -> None:
    before = asyncio.run(_logged_in(settings))
    done = call(settings, "--yes", "--json")
    assert done.return_value == 0, done.output
    assert json.loads(done.stdout) == {"logs": list(LOGS), "overtaken": [], "sessions": 1}
    after = asyncio.run(_logged_in(settings))
    assert all(after[log] != before[log] for log in LOGS)


def test_one_log_may_be_named(settings: Settings) -> None:
    before = asyncio.run(_logged_in(settings))
    assert call(settings, "--log", "payments", "--yes").return_value == 0
    after = asyncio.run(_logged_in(settings))
    assert [log for log in LOGS if after[log] != before[log]] == ["payments"]


def test_it_asks_first_and_no_changes_nothing(settings: Settings) -> None:
    before = asyncio.run(_logged_in(settings))
    done = call(settings, typed="n\n")
    assert done.return_value == 1
    assert "everybody must log in again" in done.stderr
    assert "Nothing was changed." in done.stderr
    assert asyncio.run(_logged_in(settings)) == before
    assert call(settings, typed="y\n").return_value == 0
    assert asyncio.run(_logged_in(settings)) != before


def test_a_shop_that_runs_is_left_alone(settings: Settings) -> None:
    async def main() -> None:
        async with bootstrap.open_shop(settings) as opened:
            life = opened.store["ordering"].incarnation
            with pytest.raises(StartupProblem, match="still runs"):
                await asyncio.to_thread(restored.run, settings, (), sure=True, as_json=False)
            await opened.store["ordering"].head()
            assert opened.store["ordering"].incarnation == life

    asyncio.run(main())


def test_process_managers_work_in_the_new_life(settings: Settings) -> None:
    """Without the command's second half they would refuse for ever."""

    async def followed() -> None:
        async with bootstrap.open_shop(settings) as opened:
            managers = bootstrap.process_managers(opened.shop, automatic=True, name="test")
            for manager in managers:
                epoch = await manager.leases.acquire(manager.name, "test", 30.0)
                assert epoch is not None
                for follower in manager.followers:
                    await follower.resume()
                    await follower._react([], follower._tracking(follower.position, epoch))
                await manager.leases.release(manager.name, "test", epoch)

    asyncio.run(followed())
    assert call(settings, "--yes").return_value == 0
    try:
        asyncio.run(followed())
    except WrongIncarnation as refused:
        pytest.fail(str(refused))
