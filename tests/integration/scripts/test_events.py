"""`emporium events` on a real log: show once, and follow until told to stop."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any
from uuid import UUID

import click
import pytest

from emporium.application import bootstrap
from emporium.application.ports import Meta
from emporium.domain.stock import ReceiveUnits
from emporium.infra.settings import Settings, environment
from emporium.scripts import events


def receive(settings: Settings, *quantities: int) -> None:
    async def main() -> None:
        async with bootstrap.open_shop(settings) as opened:
            for quantity in quantities:
                command = ReceiveUnits(sku="MUG", warehouse="LON", quantity=quantity)
                await opened.shop.execute(command, Meta("supplies", "request:1", "staff:1"))

    asyncio.run(main())


def tail(settings: Settings, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "emporium.scripts.cli", "events", "tail", *arguments],
        env={**os.environ, **environment(settings), "EMPORIUM_LOG_LEVEL": "error"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_events_are_shown_for_programs_and_people(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    receive(settings, 1, 2, 3)
    assert events.show(settings, "inventory", after=1, limit=1, as_json=True) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert (one["position"], one["event"], one["data"]["quantity"]) == (2, "UnitsReceived", 2)
    assert events.show(settings, "inventory", stream=UUID(one["stream"]), type_="UnitsReceived", as_json=False) == 0
    text = capsys.readouterr().out
    assert text.count("UnitsReceived") == 3
    assert events.show(settings, "inventory", after=3, as_json=False) == 0
    assert capsys.readouterr() == ("", "No event of inventory is as asked for.\n")
    assert "by staff:1, because of request:1, correlation supplies" in text


def test_a_type_that_the_log_does_not_know_is_wrong_usage(settings: Settings) -> None:
    with pytest.raises(click.UsageError, match=r"inventory has no events OrderCreated, but .*UnitsReceived") as raised:
        events.show(settings, "inventory", type_="OrderCreated", as_json=True)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_log_is_followed_until_the_end_is_asked_for(settings: Settings, end: signal.Signals) -> None:
    receive(settings, 1, 2)
    with tail(settings, "inventory", "--after", "0", "--json") as process:
        assert process.stdout is not None
        assert [_quantity(process.stdout.readline()) for _ in range(2)] == [1, 2]
        receive(settings, 3)
        assert _quantity(process.stdout.readline()) == 3
        process.send_signal(end)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_whoever_reads_may_stop_reading(settings: Settings) -> None:
    with tail(settings, "inventory", "--after", "0") as process:
        assert process.stdout is not None
        receive(settings, 1)
        assert "inventory/1" in process.stdout.readline()
        process.stdout.close()
        receive(settings, 2, 3)
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def _quantity(line: str) -> Any:
    return json.loads(line)["data"]["quantity"]
