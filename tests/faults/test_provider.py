"""A provider and a carrier that fail in every way at every call: one charge at most, nothing left open."""

import asyncio

import pytest

from tests.faults.conftest import Run

pytestmark = pytest.mark.xdist_group("fleet")

CALLS = ("charge", "charges", "refund", "refunds", "book", "hand_over", "track")
"""Everything that a worker asks of the outside; the plural ones ask what is known before a call is repeated."""

TIMES = {"timeout_before": 1, "timeout_after": 1, "error": 3, "garbage": 3, "down": 3}
"""What goes wrong, and how often: an answer that does not come costs five seconds."""


async def buy_while_failing(run: Run, name: str, faults: dict[str, str]) -> None:
    """Orders that complete and orders that are refunded, while each call goes wrong in its way."""
    plenty, scarce = f"plenty-{name}", f"scarce-{name}"
    await run.stock(**{plenty: 100, scarce: 6})
    buyers = [(run.buyer(), plenty, "pm_ok") for _ in range(8)]
    # Slow charges keep the scarce units free until most of them break: their orders are refunded.
    buyers += [(run.buyer(), scarce, "pm_slow") for _ in range(6)]
    await asyncio.gather(*(buyer.fill({sku: 1}) for buyer, sku, _ in buyers))
    for call, fault in faults.items():
        run.fleet.sandbox.faults(fault, TIMES[fault], call)
    answers = await asyncio.gather(*(buyer.check_out(method) for buyer, _, method in buyers))
    assert {answer.status_code for answer in answers} == {202}
    await run.lose(scarce, 4)
    await run.ledger.settled(90)
    assert run.ledger.count("OrderCompleted", sku=plenty) == 8
    assert run.ledger.count("OrderCompleted", sku=scarce) == 2
    assert run.ledger.count("PaymentRefunded", sku=scarce) == 4
    _, left = run.fleet.sandbox.ask("POST", "/debug/faults", {"fault": "down", "count": 0, "operation": "summary"})
    assert left == [], "these calls were not made"


async def test_every_call_failing_in_another_way_charges_nobody_twice_and_leaves_nothing_open(run: Run) -> None:
    ways = ("timeout_after", "garbage", "timeout_after", "error", "timeout_before", "down", "garbage")
    await buy_while_failing(run, "mixed", dict(zip(CALLS, ways, strict=True)))


@pytest.mark.soak
@pytest.mark.parametrize("fault", TIMES)
async def test_every_call_failing_in_one_way_charges_nobody_twice_and_leaves_nothing_open(run: Run, fault: str) -> None:
    await buy_while_failing(run, fault.replace("_", "-"), dict.fromkeys(CALLS, fault))
