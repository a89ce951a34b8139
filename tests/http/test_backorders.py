"""What may be sold before it is there: set by staff, told to customers, sold up to its limit, and filled in turn."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emporium.domain.backorder import BackorderAllowed, BackorderFilled, UnitsBackordered
from emporium.domain.order import OrderCreated
from emporium.domain.payment import PaymentRefunded
from emporium.domain.reservation import StockReserved
from emporium.infra.settings import Settings
from tests.http.client import ADDRESS, Caller, House
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess

PATH = "/api/v1/inventory/backorders"
MAY = "2099-05-04"


@pytest.fixture
async def selling(settings: Settings, folder: Path) -> AsyncIterator[House]:
    """A gateway with its whole saga; parcels wait for people."""
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        there = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
        async with running(there, saga=True) as house:
            yield house


async def allow(house: House, staff: Caller, limit: int, kind: str = "backorder", sku: str = "MUG") -> Any:
    answer = await staff.call("PUT", f"{PATH}/{sku}", {"kind": kind, "limit": limit, "expected": MAY})
    assert answer.status_code == 200, answer.text
    await house.shows("inventory", await house.shop.logs["inventory"].head(), "catalog_pages", "stock_levels")
    return answer.json()


async def bought(house: House, count: int, quantity: int = 1) -> list[tuple[Caller, str]]:
    """Guests one after the other, each of whose orders has got what there is for it."""
    found = []
    for _ in range(count):
        guest = house.guest()
        assert (await guest.add("MUG", quantity)).status_code == 201
        number = (await guest.check_out()).json()["order_number"]
        await house.until(guest, f"/orders/{number}", lambda body: body["status"] in ("backordered", "confirmed"))
        await house.shows("inventory", await house.shop.logs["inventory"].head(), "catalog_pages")
        found.append((guest, number))
    return found


async def test_staff_say_what_may_be_sold_before_it_is_there_and_customers_are_told_when_it_comes(
    house: House,
) -> None:
    staff, guest = await house.staff("catalog_manager"), house.guest()
    page = "/products/mug"
    assert (await guest.get(page)).json()["variants"][0]["note"] == "In stock"
    put = {"kind": "backorder", "limit": 3, "expected": MAY}
    for wrong, pointer in (
        ({**put, "expected": "2001-01-01"}, "/expected"),
        ({**put, "limit": 0}, "/limit"),
        ({**put, "kind": "someday"}, "/kind"),
        ({**put, "more": 1}, "/more"),
    ):
        refused = await staff.call("PUT", f"{PATH}/MUG", wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), refused.text
    assert (await staff.call("PUT", f"{PATH}/no sku", put)).status_code == 422
    assert (await staff.call("GET", f"{PATH}/MUG")).status_code == 404
    assert (await staff.call("DELETE", f"{PATH}/MUG")).json()["type"] == "/problems/no_backorder"
    early = house.guest()
    await early.add("MUG", 1)
    accepted = (await early.post("/checkout/quotes", {"country": "GB"})).json()["quote_id"]
    await house.adjust("MUG", -100)
    made = await allow(house, staff, 3)
    assert (made["limit"], made["backordered"], made["orders"]) == (3, 0, 0)
    event = await last(house)
    assert event.meta.actor == f"staff:{await house.customer_id(staff)}"
    variant = (await guest.get(page)).json()["variants"][0]
    assert (variant["stock"], variant["note"]) == ("backorder", "Back on 4 May 2099")
    assert (variant["available"], variant["later"], variant["expected"]) == (0, 3, MAY)
    assert date.fromisoformat(variant["delivery"]["earliest"]) > date.fromisoformat(MAY)
    tea = (await guest.get("/products/tea")).json()["variants"][0]
    today = house.shop.clock.now().date()
    assert today < date.fromisoformat(tea["delivery"]["earliest"]) < today + timedelta(days=30)
    assert (await guest.get(f"{page}?country=ZZ")).status_code == 200
    listed = {one["slug"]: one for one in (await guest.get("/products")).json()["items"]}
    assert (listed["mug"]["available"], listed["mug"]["expected"], listed["tea"]["expected"]) == (0, MAY, None)
    assert (await guest.add("MUG", 101)).json()["values"]["available"] == 3
    assert (await guest.add("MUG", 2)).status_code == 201
    [line] = (await guest.get("/cart")).json()["items"]
    assert (line["obtainable"], line["later"], line["expected"], line["note"]) == (2, 2, MAY, "Back on 4 May 2099")
    assert line["changes"] == []
    quote = (await guest.post("/checkout/quotes", {"country": "GB"})).json()
    assert (quote["lines"][0]["later"], quote["lines"][0]["expected"]) == (2, MAY)
    assert quote["methods"][0]["earliest"] == variant["delivery"]["earliest"]
    # Who was told that it is there is not let wait without a word.
    refused = await early.check_out(quote_id=accepted)
    assert refused.json()["type"] == "/problems/quote_changed", refused.text
    assert {"what": "MUG expected", "was": None, "now": MAY} in refused.json()["values"]["differences"]
    await allow(house, staff, 5, "preorder")
    variant = (await guest.get(page)).json()["variants"][0]
    assert (variant["stock"], variant["note"]) == ("preorder", "Released on 4 May 2099")
    [row] = (await staff.call("GET", f"{PATH}?limit=1")).json()["items"]
    assert row == {"sku": "MUG", "kind": "preorder", "limit": 5, "expected": MAY, "backordered": 0}
    assert (await staff.call("DELETE", f"{PATH}/MUG")).json()["kind"] is None
    await house.shows("inventory", await house.shop.logs["inventory"].head(), "catalog_pages", "stock_levels")
    assert (await guest.get(page)).json()["variants"][0]["note"] == "Sold out"
    refused = await guest.check_out()
    assert refused.json()["values"]["items"] == [{"sku": "MUG", "wanted": 2, "available": 0}]
    assert (await staff.call("GET", PATH)).json()["items"] == []
    [first, *_] = await house.events("inventory", BackorderAllowed)
    assert (first.kind, first.limit, first.expected) == ("backorder", 3, date.fromisoformat(MAY))


async def last(house: House) -> Any:
    log = house.shop.logs["inventory"]
    events, _ = await log.read(await log.head() - 1, 1)
    return events[0]


async def test_twenty_at_once_for_the_last_units_that_may_be_waited_for(selling: House) -> None:
    """One is there and three may be waited for: four are sold, the others learn it at checkout, nobody is refunded."""
    staff = await selling.staff("warehouse")
    await allow(selling, staff, 3)
    await selling.adjust("MUG", -99)
    guests = [selling.guest() for _ in range(20)]
    for answer in await asyncio.gather(*(guest.add("MUG") for guest in guests)):
        assert answer.status_code == 201, answer.text
    answers = await asyncio.gather(*(guest.check_out() for guest in guests))
    assert Counter(answer.status_code for answer in answers) == {202: 4, 409: 16}
    sold = [
        (guest, answer.json()["order_number"])
        for guest, answer in zip(guests, answers, strict=True)
        if answer.status_code == 202
    ]
    seen = [
        await selling.until(
            guest, f"/orders/{number}", lambda body: body["status"] in ("backordered", "confirmed", "failed")
        )
        for guest, number in sold
    ]
    assert Counter(one["status"] for one in seen) == {"confirmed": 1, "backordered": 3}
    assert await selling.events("payments", PaymentRefunded) == []
    waiting = (await staff.call("GET", f"{PATH}/MUG")).json()
    assert (waiting["backordered"], waiting["orders"]) == (3, 3)
    [level] = (await staff.get("/inventory/levels?sku=MUG")).json()["items"]
    assert (level["on_hand"], level["reserved"], level["available"]) == (1, 1, 0)
    support = await selling.staff("support")
    body = {"email": "eve@example.org", "lines": [{"sku": "MUG", "quantity": 1}], "shipping_address": ADDRESS}
    refused = await support.post("/admin/orders", body)
    assert refused.json()["values"]["items"] == [{"sku": "MUG", "wanted": 1, "available": 0}]


async def test_who_waits_gets_it_in_his_turn_and_who_gives_up_makes_room(selling: House) -> None:
    staff = await selling.staff("warehouse")
    await allow(selling, staff, 9)
    await selling.adjust("MUG", -99)
    orders = await bought(selling, 4, 2)
    guest, number = orders[0]
    first = (await guest.get(f"/orders/{number}")).json()
    assert first["waits_for"] == [{"sku": "MUG", "quantity": 1, "kind": "backorder", "expected": MAY}]
    assert first["payment"]["captured"] is True
    story = (await guest.get(f"/orders/{number}/timeline")).json()["entries"]
    told = next(one for one in story if one["name"] == "OrderBackordered")
    assert told["text"].startswith("Not all of your goods are here yet: we expect them on 4 May 2099")
    support = await selling.staff("support")
    assert len((await support.get("/orders?status=backordered")).json()["items"]) == 4
    before = selling.shop.clock.now().isoformat().replace("+00:00", "Z")
    queue = (await staff.call("GET", f"{PATH}/MUG")).json()
    assert [one["quantity"] for one in queue["waiting"]] == [1, 2, 2, 2]
    placed = [one.order_id for one in await selling.events("ordering", OrderCreated)]
    assert [one["order_id"] for one in queue["waiting"]] == [str(one) for one in placed]

    # Two come: the first order is complete, the second has one of its two; a newcomer waits behind all.
    receive = {"sku": "MUG", "warehouse": "LON", "quantity": 2}
    assert (await staff.post("/inventory/receive", receive)).status_code == 201
    confirmed = await selling.order_is(guest, number, "confirmed")
    assert confirmed["waits_for"] == []
    assert {one.order_id for one in await selling.events("inventory", StockReserved)} == {placed[0]}
    queue = (await staff.call("GET", f"{PATH}/MUG")).json()
    assert [one["quantity"] for one in queue["waiting"]] == [1, 2, 2]
    past = (await staff.call("GET", f"{PATH}/MUG?as_of={before}")).json()
    assert (past["backordered"], past["orders"]) == (7, 4)

    # One comes, while the second order is given up: whatever is first, the third gets what that held.
    receive["quantity"] = 3
    second, cancelled = orders[1]
    answers = await asyncio.gather(
        staff.post("/inventory/receive", receive), second.post(f"/orders/{cancelled}/cancel")
    )
    assert [one.status_code for one in answers] == [201, 202], [one.text for one in answers]
    await selling.order_is(second, cancelled, "cancelled")
    for other, waited in orders[2:]:
        await selling.order_is(other, waited, "confirmed")
    queue = (await staff.call("GET", f"{PATH}/MUG")).json()
    assert (queue["backordered"], queue["waiting"]) == (0, [])
    await selling.until(second, f"/orders/{cancelled}", lambda body: body["refunds"][0]["status"] == "done")
    [level] = (await staff.get("/inventory/levels?sku=MUG")).json()["items"]
    assert (level["on_hand"], level["reserved"], level["available"]) == (6, 6, 0)
    waits = sum(one.quantity for one in await selling.events("inventory", UnitsBackordered))
    filled = Counter[Any]()
    for one in await selling.events("inventory", BackorderFilled):
        filled[one.order_id] += one.quantity
    assert (waits, filled[placed[0]], filled[placed[2]], filled[placed[3]]) == (7, 1, 2, 2)
    assert (await selling.shop.logs["ordering"].counted(["ordered/MUG"]))["ordered/MUG"] == 6
    number = orders[2][1]
    await selling.labelled(staff, number)
    assert (await staff.post(f"/shipments/{number}/parcels/1/pack")).status_code == 200
    assert not [one for one in (await selling.events("payments", PaymentRefunded)) if one.order_id != placed[1]]
