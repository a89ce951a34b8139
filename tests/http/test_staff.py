"""Staff: stock, shipments and returns, with the saga and a sandbox behind the gateway; cancellation too."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from emporium.infra.settings import Settings
from tests.http.client import PASSWORD, House
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess


@pytest.fixture
async def open_house(settings: Settings, folder: Path) -> AsyncIterator[House]:
    """A gateway with its whole saga; parcels wait for people."""
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        there = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
        async with running(there, saga=True) as house:
            yield house


async def test_stock_is_received_adjusted_and_shown(house: House) -> None:
    staff = await house.staff("warehouse")
    received = await staff.post("/inventory/receive", {"sku": "MUG", "warehouse": "LON", "quantity": 5})
    assert (received.status_code, received.json()["on_hand"]) == (201, 105)
    adjusted = await staff.post("/inventory/adjust", {"sku": "MUG", "warehouse": "LON", "change": -3, "reason": "lost"})
    assert adjusted.json() == {"sku": "MUG", "warehouse": "LON", "on_hand": 102, "reserved": 0, "available": 102}
    levels = (await staff.get("/inventory/levels?sku=MUG")).json()["items"]
    assert [(one["warehouse"], one["available"]) for one in levels] == [("LON", 102)]
    first = (await staff.get("/inventory/levels?limit=2")).json()
    rest = (await staff.get(first["next"].removeprefix("/api/v1"))).json()
    assert [one["sku"] for one in first["items"] + rest["items"]] == ["MUG", "POT", "TEA"]


async def test_stock_cannot_be_booked_where_there_is_no_warehouse_or_no_stock(house: House) -> None:
    staff = await house.staff("warehouse")
    nowhere = await staff.post("/inventory/receive", {"sku": "MUG", "warehouse": "MARS", "quantity": 5})
    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "/problems/unknown_warehouse")
    below = await staff.post("/inventory/adjust", {"sku": "MUG", "warehouse": "LON", "change": -101, "reason": "x"})
    assert (below.status_code, below.json()["type"]) == (409, "/problems/adjustment_too_large")


async def test_an_order_is_shipped_delivered_and_partly_returned_by_staff(open_house: House) -> None:
    house = open_house
    customer, warehouse = await house.register(), await house.staff("warehouse", "support")
    await customer.add("MUG", 3)
    await customer.add("TEA", 1)
    number = (await customer.check_out()).json()["order_number"]
    early = await warehouse.post(f"/orders/{number}/returns", {"lines": [{"line": 1, "quantity": 1}], "reason": "x"})
    assert early.json()["type"] == "/problems/not_delivered"
    await house.order_is(customer, number, "confirmed")
    await house.labelled(warehouse, number)
    waiting = (await warehouse.get("/shipments")).json()["items"]
    assert [one["order_number"] for one in waiting] == [number]
    parcel = f"/shipments/{number}/parcels/1"
    shipped = await warehouse.post(f"{parcel}/ship", idempotency_key="s")
    assert (shipped.status_code, shipped.json()["status"]) == (200, "shipped")
    assert (await warehouse.post(f"{parcel}/ship", idempotency_key="s")).content == shipped.content
    late = await customer.post(f"/orders/{number}/cancel", {"reason": "changed my mind"})
    if late.status_code == 202:
        await house.order_is(customer, number, "shipped")
    delivered = await warehouse.post(f"{parcel}/deliver")
    assert delivered.json()["status"] == "fulfilled"
    await house.order_is(customer, number, "fulfilled")
    late = await customer.post(f"/orders/{number}/cancel", {"reason": "changed my mind"})
    assert (late.status_code, late.json()["type"]) == (409, "/problems/too_late_to_cancel")
    returned = await warehouse.post(
        f"/orders/{number}/returns", {"lines": [{"line": 1, "quantity": 2}], "reason": "broken"}, idempotency_key="r"
    )
    assert (returned.status_code, returned.json()["amount"]["amount"]) == (201, 1_000)
    again = await warehouse.post(
        f"/orders/{number}/returns", {"lines": [{"line": 1, "quantity": 2}], "reason": "broken"}, idempotency_key="r"
    )
    assert again.content == returned.content
    payment = await house.until(customer, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 1_000)
    assert payment["received"]["amount"] == 2_345
    order = (await customer.get(f"/orders/{number}")).json()
    assert [line["returned"] for line in order["lines"]] == [2, 0]
    assert (await warehouse.post(f"/shipments/{number}/parcels/9/ship")).json()["type"] == "/problems/no_such_parcel"


async def test_an_order_is_cancelled_before_it_is_packed(open_house: House) -> None:
    house = open_house
    guest = house.guest()
    await guest.add()
    number = (await guest.check_out()).json()["order_number"]
    await house.order_is(guest, number, "confirmed")
    asked = await guest.post(f"/orders/{number}/cancel", {}, idempotency_key="c")
    assert (asked.status_code, asked.json()) == (
        202,
        {"order_number": number, "status": "cancelling", "cancellation_id": None},
    )
    order = await house.order_is(guest, number, "cancelled")
    assert order["reason"] == "changed_mind"
    payment = await house.until(guest, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 995)
    assert payment["refund_failed"]["amount"] == 0
    assert (await guest.post(f"/orders/{number}/cancel", {}, idempotency_key="c")).content == asked.content
    names = [entry["name"] for entry in (await guest.get(f"/orders/{number}/timeline")).json()["entries"]]
    assert names[0] == "OrderCreated" and names[-1] == "OrderRefunded"
    assert {"OrderPaid", "OrderConfirmed", "OrderCancellationRequested", "OrderCancelled"} <= set(names)
    assert not {"PaymentProcessed", "StockReserved", "ShipmentCancelled"} & set(names)


async def test_a_declined_payment_fails_the_order_and_gives_the_cart_back(open_house: House) -> None:
    house = open_house
    customer = await house.register()
    await customer.add("MUG", 2)
    number = (await customer.check_out(payment_method="pm_declined")).json()["order_number"]
    order = await house.order_is(customer, number, "failed")
    assert order["reason"] == "payment_declined"
    assert (await customer.get("/cart")).json()["units"] == 2
    second = (await customer.check_out()).json()["order_number"]
    assert second != number
    await house.order_is(customer, second, "confirmed")


async def test_a_return_is_asked_for_approved_received_and_refunded(open_house: House) -> None:
    house = open_house
    customer, staff = await house.register(), await house.staff("warehouse", "support")
    await customer.add("MUG", 3)
    number = (await customer.check_out()).json()["order_number"]
    path, wish = f"/orders/{number}/return-requests", {"lines": [{"line": 1, "quantity": 2, "reason": "chipped"}]}
    assert (await customer.post(path, wish)).json()["type"] == "/problems/not_delivered"
    await house.order_is(customer, number, "confirmed")
    await house.labelled(staff, number)
    await staff.post(f"/shipments/{number}/parcels/1/ship")
    await staff.post(f"/shipments/{number}/parcels/1/deliver")
    await house.order_is(customer, number, "fulfilled")
    asked = await customer.post(path, wish)
    assert (asked.status_code, asked.json()["status"]) == (201, "requested")
    kept = await customer.post("/account/erasure", {"password": PASSWORD})
    assert (kept.status_code, kept.json()["type"]) == (409, "/problems/returns_open")
    assert kept.json()["values"] == {"orders": [], "returns": [number]}
    assert (await customer.post(path, wish)).json()["type"] == "/problems/more_than_bought"
    one = f"{path}/{asked.json()['return_id']}"
    assert (await customer.post(f"{one}/decision", {"approved": True})).status_code == 403
    assert (await staff.post(f"{one}/receipt", {})).json()["type"] == "/problems/return_not_approved"
    assert (await staff.post(f"{one}/decision", {"approved": True})).json()["status"] == "approved"
    came = {"lines": [{"line": 1, "quantity": 1}, {"line": 1, "quantity": 1, "restock": False}]}
    assert (await staff.post(f"{one}/receipt", came)).json()["status"] == "received"
    await house.until(customer, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 1_000)
