"""Many customers at once on two gateways and two workers: the last units, one cart, one address."""

import asyncio
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from tests.faults.buyers import Buyer, wish
from tests.faults.conftest import Run

pytestmark = pytest.mark.xdist_group("fleet")


async def test_thirty_buyers_at_once_for_ten_units(run: Run) -> None:
    await run.stock(LAST=10)
    buyers = [run.buyer() for _ in range(30)]
    await asyncio.gather(*(buyer.fill({"LAST": 1}) for buyer in buyers))
    answers = await asyncio.gather(*(buyer.check_out() for buyer in buyers))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() <= {202, 409}
    for answer in answers:
        if answer.status_code == httpx.codes.CONFLICT:
            assert answer.json()["type"].endswith("/not_available")
            assert answer.json()["values"]["items"] == [{"sku": "LAST", "wanted": 1, "available": 0}]
    assert statuses[202] == 10, "who comes too late learns it at checkout"
    await run.ledger.settled(60)
    ends = {name: run.ledger.count(name, sku="LAST") for name in ("OrderConfirmed", "OrderCompleted", "OrderFailed")}
    assert ends == {"OrderConfirmed": 10, "OrderCompleted": 10, "OrderFailed": 0}
    assert run.ledger.count("PaymentRefunded", sku="LAST") == 0
    rows = await run.ledger.query("SELECT on_hand, reserved FROM rm_stock_levels.levels WHERE sku = 'LAST'")
    assert rows == [(0, 0)]


async def test_ten_submits_with_one_key_are_one_order_and_ten_equal_answers(run: Run) -> None:
    await run.stock(KEY=50)
    seen: set[str] = set()
    orders = 0
    while len(seen) < 2:
        buyer = run.buyer()
        await buyer.fill({"KEY": 1})
        key = uuid4().hex
        answers = await asyncio.gather(
            *(buyer.once("POST", "/checkout", wish(), idempotency_key=key) for _ in range(10))
        )
        assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers]
        assert len({(answer.content, answer.headers["location"]) for answer in answers}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
        seen |= buyer.gateways
        orders += 1
        assert orders < 10, "one gateway answers everything"
    await run.ledger.settled(60)
    created = [entry for entry in run.ledger.named("OrderCreated") if entry.data["lines"][0]["sku"] == "KEY"]
    assert len(created) == orders
    known = run.fleet.sandbox.state()["orders"]
    assert all(known[entry.order]["charges"] == 1 for entry in created)


async def test_ten_submits_without_a_key_are_one_order(run: Run) -> None:
    await run.stock(BARE=50)
    buyer = run.buyer()
    await buyer.fill({"BARE": 1})
    answers = await asyncio.gather(*(buyer.once("POST", "/checkout", wish()) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    assert {answer.json()["type"] for answer in answers if answer.status_code == httpx.codes.CONFLICT} == {
        "/problems/cart_checked_out"
    }
    await run.ledger.settled(60)
    [created] = [entry for entry in run.ledger.named("OrderCreated") if entry.data["lines"][0]["sku"] == "BARE"]
    assert run.fleet.sandbox.state()["orders"][created.order]["charges"] == 1


async def test_registrations_of_one_address_at_once_are_one_account(run: Run) -> None:
    seen: set[str] = set()
    tries = 0
    while len(seen) < 2:
        tries += 1
        assert tries < 10, "one gateway answers everything"
        email = f"twin{tries}@example.org"
        twins = [run.buyer(), run.buyer()]

        async def register(twin: Buyer, name: str, email: str = email) -> httpx.Response:
            body = {"email": email, "password": f"the password of {name}", "name": name}
            return await twin.once("POST", "/account/register", body)

        first, second = await asyncio.gather(register(twins[0], "Castor"), register(twins[1], "Pollux"))
        # Who was second is not told, but the account is the first one's alone.
        assert [first.status_code, second.status_code] == [201, 201]
        answers = [
            await twins[0].once("POST", "/account/login", {"email": email, "password": f"the password of {name}"})
            for name in ("Castor", "Pollux")
        ]
        assert sorted(answer.status_code for answer in answers) == [200, 401]
        seen |= twins[0].gateways | twins[1].gateways
    await run.ledger.read()
    accounts = [entry for entry in run.ledger.named("CustomerRegistered") if "customer" in entry.data["roles"]]
    assert len(accounts) == tries
