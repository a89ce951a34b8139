"""`emporium reconcile` on a shop that has sold something: equal books end in 0, any difference in 1."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from emporium.domain.order import FULFILLED
from emporium.scripts import reconcile
from tests.support.saga import running


async def test_the_books_of_a_day(database: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(database, folder) as saga:
        await saga.stock(LON={"MUG": 5})
        orders = [await saga.order(MUG=1) for _ in range(2)]
        for order_id in orders:
            await saga.becomes(order_id, FULFILLED)
        events = await saga.shop.logs["payments"].by_correlation(str(orders[0]))
        day = events[-1].at.date()

        async def run(*, as_json: bool = False) -> tuple[int, str]:
            # The command has an event loop of its own.
            status = await asyncio.to_thread(reconcile.run, saga.opened.settings, day, as_json=as_json)
            return status, capsys.readouterr().out

        status, said = await run()
        assert (status, "the same on both sides" in said) == (0, True)
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12)
        foreign = {
            "amount": 77, "currency": "GBP", "method": "pm_ok", "metadata": {"order": "not ours", "at": at.isoformat()},
        }  # fmt: skip
        assert saga.sandbox.ask("POST", "/v1/charges", foreign, "foreign")[0] == 200
        status, said = await run(as_json=True)
        assert status == 1
        [found] = json.loads(said)["differences"]
        assert (found["kind"], found["theirs"], found["ours"]) == (
            "unknown_here",
            {"amount": 77, "currency": "GBP"},
            None,
        )
        saga.sandbox.kill()
        with pytest.raises(click.ClickException, match="cannot be asked"):
            await run()
