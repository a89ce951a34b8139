"""Processes that stand still, die or fall behind in the middle of a run."""

import asyncio
import signal
from uuid import uuid4

import httpx
import psycopg
import pytest

from emporium.projections import control
from tests.faults.buyers import Buyer, wish
from tests.faults.conftest import Run
from tests.support.fleet import until

pytestmark = pytest.mark.xdist_group("fleet")

PAYMENTS = "payments/payments"
"""The lease of the process manager that charges."""


async def leader(run: Run, lease: str = PAYMENTS) -> int:
    """The worker that holds a lease."""
    rows = await run.ledger.query("SELECT owner FROM emporium_leases WHERE name = %s AND owner IS NOT NULL", [lease])
    return int(rows[0][0].rpartition(":")[2]) if rows else 0


async def led_by_other_than(run: Run, pid: int) -> None:
    """Waits until no lease is that process's."""

    async def over() -> bool:
        rows = await run.ledger.query("SELECT 1 FROM emporium_leases WHERE owner LIKE %s", [f"%:{pid}"])
        return not rows

    await until(over, 30.0, lambda: "its leases are not taken over")


async def test_a_worker_stopped_past_its_lease_and_woken_again_writes_nothing_twice(run: Run) -> None:
    await run.stock(SLEEP=100)
    # Long enough to be found at it.
    run.fleet.sandbox.faults("slow", 20, "charge")

    async def buy(count: int) -> list[httpx.Response]:
        buyers = [run.buyer() for _ in range(count)]
        await asyncio.gather(*(buyer.fill({"SLEEP": 1}) for buyer in buyers))
        return await asyncio.gather(*(buyer.check_out() for buyer in buyers))

    stopped = 0

    async def stop_it() -> None:
        """Stops whoever charges while it waits for answers of the provider."""
        nonlocal stopped

        async def charging() -> bool:
            await run.ledger.read()
            return run.ledger.waiting()["the provider is to charge"] >= 5

        await until(charging, 20.0, lambda: "nothing is being charged", pause=0.005)
        stopped = await leader(run)
        run.fleet.kill(stopped, signal.SIGSTOP)

    try:
        answers, _ = await asyncio.gather(buy(20), stop_it())
        assert {answer.status_code for answer in answers} == {202}
        await led_by_other_than(run, stopped)
        await run.ledger.settled(60)
        said = run.fleet.log.stat().st_size
    finally:
        run.fleet.kill(stopped, signal.SIGCONT)
        run.fleet.sandbox.faults("slow", 0, "charge")

    def said_since() -> str:
        return run.fleet.log.read_bytes()[said:].decode()

    await until(lambda: "payments steps down" in said_since(), 20.0, said_since)
    await run.ledger.settled(60)
    await run.ledger.check()
    # The one that slept is as good as any other.
    [other] = [pid for pid in run.fleet.pids("worker") if pid != stopped]
    run.fleet.kill(other)
    assert {answer.status_code for answer in await buy(10)} == {202}
    await led_by_other_than(run, other)
    await run.ledger.settled(60)


async def test_orders_go_on_by_themselves_when_the_sandbox_comes_back(run: Run) -> None:
    await run.stock(AWAY=100)
    buyers = [run.buyer() for _ in range(30)]
    await asyncio.gather(*(buyer.fill({"AWAY": 1}) for buyer in buyers))

    async def kill_it(after: str) -> None:
        async def reached() -> bool:
            await run.ledger.read()
            return run.ledger.waiting()[after] >= 3

        await until(reached, 20.0, lambda: f"it never came to it that {after}", pause=0.005)
        [pid] = run.fleet.pids("sandbox")
        run.fleet.kill(pid)
        await until(lambda: run.fleet.pids("sandbox") not in ([], [pid]), 20.0, lambda: "no sandbox comes back")

    async def kill_twice() -> None:
        await kill_it("the provider is to charge")
        await kill_it("the carrier is to label the parcel")

    answers, _ = await asyncio.gather(asyncio.gather(*(buyer.check_out() for buyer in buyers)), kill_twice())
    assert {answer.status_code for answer in answers} == {202}
    await run.ledger.settled(60)
    assert run.ledger.count("OrderCompleted", sku="AWAY") == 30


async def test_a_read_that_cannot_include_its_token_yet_is_refused(run: Run) -> None:
    await run.stock(LATER=10)
    buyer = run.buyer()
    await buyer.fill({"LATER": 1})
    async with await psycopg.AsyncConnection.connect(str(run.fleet.settings.database_url), autocommit=True) as database:
        await control.pause(database, "order_history")
        try:
            token, number = await refused_read(run, buyer)
        finally:
            await control.resume(database, "order_history")
    answer = await buyer.surely("GET", f"/orders/{number}", consistency_token=token)
    assert answer.status_code == httpx.codes.OK, answer.text


async def refused_read(run: Run, buyer: Buyer) -> tuple[str, str]:
    """Checks out and asks for the order while its read model is paused: the token and the number."""
    placed = await buyer.once("POST", "/checkout", wish(), idempotency_key=uuid4().hex)
    assert placed.status_code == httpx.codes.ACCEPTED, placed.text
    token = placed.headers["consistency-token"]
    number = placed.json()["order_number"]
    early = await buyer.once("GET", f"/orders/{number}", consistency_token=token)
    assert early.status_code == httpx.codes.SERVICE_UNAVAILABLE, early.text
    assert early.json()["type"] == "/problems/not_yet_visible"
    assert int(early.headers["retry-after"]) > 0
    # What the other models show does not depend on it, and without the token the old state is an answer.
    assert (await buyer.once("GET", "/products", consistency_token=token)).status_code == httpx.codes.OK
    assert (await buyer.once("GET", f"/orders/{number}")).status_code == httpx.codes.NOT_FOUND
    return token, number
