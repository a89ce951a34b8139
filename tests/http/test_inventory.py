"""Staff move, count and value stock over HTTP, at the same time as others sell it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from emporium.domain.stock import ReceiveUnits, StockAdjusted, UnitsSentAway
from emporium.domain.warehouse import OpenWarehouse
from tests.http.client import STAFF, Caller, House


@pytest.fixture
async def clerk(house: House) -> Caller:
    """Somebody of the warehouse, and a second warehouse."""
    await house.shop.execute(OpenWarehouse(code="EDI", name="Edinburgh", country="GB", priority=5), STAFF)
    return await house.staff("warehouse")


async def level(clerk: Caller, sku: str, warehouse: str, **more: Any) -> Any:
    query = "&".join(f"{name}={value}" for name, value in {"sku": sku, "warehouse": warehouse, **more}.items())
    answer = await clerk.get(f"/inventory/levels?{query}")
    assert answer.status_code == 200, answer.text
    found = answer.json()["items"]
    return found[0] if found else None


async def transfer(clerk: Caller, quantity: int, sku: str = "MUG", **headers: str) -> Any:
    body = {"source": "LON", "target": "EDI", "lines": [{"sku": sku, "quantity": quantity}], "reference": "van 7"}
    return await clerk.call("POST", "/api/v1/inventory/transfers", body, **headers)


async def test_warehouses_are_opened_renamed_preferred_and_closed(house: House, clerk: Caller) -> None:
    new = {"code": "YRK", "name": "York", "country": "GB", "priority": 3}
    assert (await clerk.post("/inventory/warehouses", new)).json() == new
    assert (await clerk.post("/inventory/warehouses", {**new, "name": "Jorvik"})).status_code == 409
    changed = await clerk.call("PATCH", "/api/v1/inventory/warehouses/YRK", {"name": "Jorvik", "priority": 9})
    assert changed.json() == {**new, "name": "Jorvik", "priority": 9}
    first = (await clerk.get("/inventory/warehouses?limit=2")).json()
    assert [one["code"] for one in first["items"]] == ["LON", "EDI"]
    rest = (await clerk.call("GET", first["next"])).json()
    assert ([one["code"] for one in rest["items"]], rest["next"]) == (["YRK"], None)
    assert (await clerk.call("DELETE", "/api/v1/inventory/warehouses/YRK")).status_code == 204
    assert (await clerk.call("DELETE", "/api/v1/inventory/warehouses/YRK")).status_code == 404
    receive = {"sku": "MUG", "warehouse": "YRK", "quantity": 1}
    assert (await clerk.post("/inventory/receive", receive)).json()["type"] == "/problems/unknown_warehouse"


async def test_a_transfer_leaves_is_on_the_way_and_arrives_or_is_lost(house: House, clerk: Caller) -> None:
    sent = await transfer(clerk, 10, idempotency_key="one")
    assert sent.status_code == 201, sent.text
    assert (await transfer(clerk, 10, idempotency_key="one")).json() == sent.json()
    here = sent.headers["location"].removeprefix("/api/v1")
    assert (await level(clerk, "MUG", "LON"))["on_hand"] == 90
    assert await level(clerk, "MUG", "EDI") is None
    part = await clerk.post(f"{here}/arrive", {"lines": [{"sku": "MUG", "quantity": 4}]})
    assert part.json()["lines"] == [{"sku": "MUG", "sent": 10, "arrived": 4, "lost": 0, "on_the_way": 6}]
    assert (await level(clerk, "MUG", "EDI"))["available"] == 4
    [row] = (await clerk.get("/inventory/transfers?on_the_way=true")).json()["items"]
    assert (row["on_the_way"], row["reference"]) == (6, "van 7")
    too_many = await clerk.post(f"{here}/arrive", {"lines": [{"sku": "MUG", "quantity": 7}]})
    assert too_many.json()["type"] == "/problems/not_on_the_way"
    twice = await clerk.post(f"{here}/arrive", {"lines": [{"sku": "MUG", "quantity": 1}] * 2})
    assert twice.json()["errors"][0]["pointer"] == "/lines/1/sku"
    # Two at once tell what became of the same six units: one of them is right.
    ends = await asyncio.gather(
        clerk.post(f"{here}/arrive", {}), clerk.post(f"{here}/lose", {"reason": "fell off the lorry"})
    )
    assert sorted(one.status_code for one in ends) == [201, 409]
    assert (await clerk.get(here)).json()["status"] == "ended"
    assert (await clerk.get("/inventory/transfers?on_the_way=true")).json()["items"] == []
    everywhere = [await level(clerk, "MUG", place) for place in ("LON", "EDI")]
    assert sum(one["on_hand"] for one in everywhere) == (100 if ends[0].status_code == 201 else 94)


async def test_units_leave_once_however_many_want_them(house: House, clerk: Caller) -> None:
    answers = await asyncio.gather(*(transfer(clerk, 30) for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [201] * 3 + [409] * 5
    assert sum(one.quantity for one in await house.events("inventory", UnitsSentAway)) == 90
    both = {"source": "LON", "target": "EDI", "lines": [{"sku": "TEA", "quantity": 1}, {"sku": "MUG", "quantity": 11}]}
    assert (await clerk.post("/inventory/transfers", both)).json()["type"] == "/problems/out_of_stock"
    assert (await level(clerk, "TEA", "LON"))["on_hand"] == 100, "all of it, or none"


async def test_a_count_is_compared_with_the_book_of_its_moment(house: House, clerk: Caller) -> None:
    before = house.shop.clock.now()
    await house.receive("MUG", 20)
    counted = [{"sku": "MUG", "counted": 97, "at": before.isoformat()}, {"sku": "TEA", "counted": 100}]
    answer = await clerk.post("/inventory/counts", {"warehouse": "LON", "lines": counted, "note": "shelf 4"})
    assert answer.status_code == 201, answer.text
    mugs, tea = answer.json()["lines"]
    assert (mugs["booked"], mugs["difference"], tea["difference"]) == (100, -3, 0)
    assert (await level(clerk, "MUG", "LON"))["on_hand"] == 117
    [adjusted] = await house.events("inventory", StockAdjusted)
    assert (adjusted.kind, str(adjusted.count_id)) == ("counted", answer.json()["count_id"])
    assert (await clerk.get(answer.headers["location"].removeprefix("/api/v1"))).json() == answer.json()
    future = (before + timedelta(hours=1)).isoformat()
    wrong = {"warehouse": "LON", "lines": [{"sku": "MUG", "counted": 1, "at": future}]}
    assert (await clerk.post("/inventory/counts", wrong)).json()["type"] == "/problems/counted_when"


async def test_the_past_the_movements_and_the_value(house: House, clerk: Caller) -> None:
    begin = house.shop.clock.now()
    receive = {"sku": "POT", "warehouse": "LON", "quantity": 50, "unit_cost": {"amount": 310, "currency": "GBP"}}
    assert (await clerk.post("/inventory/receive", receive)).status_code == 201
    then = house.shop.clock.now()
    receive |= {"unit_cost": {"amount": 160, "currency": "GBP"}, "reference": "PO 12"}
    await clerk.post("/inventory/receive", receive)
    gone = {"sku": "POT", "warehouse": "LON", "change": -10, "reason": "rust", "kind": "returned_to_supplier"}
    await clerk.post("/inventory/adjust", gone)
    marked = await clerk.call("PUT", "/api/v1/inventory/levels/LON/POT/mark", {"mark": 190})
    assert marked.json()["available"] == 190
    [low] = (await clerk.get("/inventory/levels?low=true")).json()["items"]
    assert (low["sku"], low["mark"]) == ("POT", 190)
    # 150 at 310 and 50 at 160 are 272.50 each.
    valued = (await clerk.get("/inventory/valuation?sku=POT")).json()
    assert (valued["items"][0]["value"], valued["totals"]) == (51_775, [{"amount": 51_775, "currency": "GBP"}])
    moment = then.isoformat().replace("+00:00", "Z")
    past = (await clerk.get(f"/inventory/valuation?sku=POT&as_of={moment}")).json()
    assert (past["items"][0]["on_hand"], past["items"][0]["value"], past["totals"]) == (150, 46_500, None)
    was = await level(clerk, "POT", "LON", as_of=begin.isoformat().replace("+00:00", "Z"))
    assert (was["on_hand"], was["mark"]) == (100, None)
    assert await level(clerk, "POT", "LON", as_of="2001-01-01T00:00:00Z") is None
    zoneless = await clerk.get("/inventory/levels?as_of=2001-01-01T00:00:00")
    assert (zoneless.status_code, zoneless.json()["errors"][0]["parameter"]) == (400, "as_of")
    await house.shop.execute(ReceiveUnits(sku="POT", warehouse="EDI", quantity=1), STAFF)
    assert (await transfer(clerk, 2, "POT")).status_code == 201
    seen: list[Any] = []
    path = "/api/v1/inventory/movements?sku=POT&limit=3"
    while path:
        page = (await clerk.call("GET", path)).json()
        seen, path = [*seen, *page["items"]], page["next"]
    assert [(one["what"], one["warehouse"], one["on_hand"]) for one in seen] == [
        ("sent_away", "LON", -2),
        ("received", "EDI", 1),
        ("level_low", "LON", 0),
        ("mark_set", "LON", 0),
        ("adjusted", "LON", -10),
        ("received", "LON", 50),
        ("received", "LON", 50),
        ("received", "LON", 100),
    ]
    assert (seen[4]["why"], seen[4]["reason"], seen[5]["reference"]) == ("returned_to_supplier", "rust", "PO 12")
    assert seen[4]["actor"] == f"staff:{await house.customer_id(clerk)}"
    assert seen[4]["cause"].startswith("request:")
