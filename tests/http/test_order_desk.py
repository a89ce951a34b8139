"""What staff do with orders: find them, write notes, hold and release them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from emporium.domain.order import OrderCreated, OrderHeld, OrderNoteAdded
from emporium.infra.settings import Settings
from tests.domain.spec import uid
from tests.http.client import ADDRESS, Caller, House
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess


@pytest.fixture
async def open_house(settings: Settings, folder: Path) -> AsyncIterator[House]:
    """A gateway with its whole saga; parcels wait for people."""
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        there = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
        async with running(there, saga=True) as house:
            yield house


async def bought(caller: Caller, sku: str = "MUG", **more: str) -> str:
    await caller.add(sku)
    placed = await caller.check_out(**more)
    assert placed.status_code == 202, placed.text
    number: str = placed.json()["order_number"]
    return number


async def found(caller: Caller, body: dict[str, object]) -> list[str]:
    answer = await caller.post("/admin/orders/search", body)
    assert answer.status_code == 200, answer.text
    return [one["order_number"] for one in answer.json()["items"]]


async def test_orders_are_found_by_address_number_sku_and_day(house: House) -> None:
    ada, guest, staff = await house.register(), house.guest(), await house.staff("support")
    mug = await bought(ada, email="Ada.King@example.org")
    tea = await bought(guest, "TEA", email="ada.king@EXAMPLE.org")
    pot = await bought(ada, "POT", email="somebody.else@example.org")
    staff.headers["consistency-token"] = ada.headers["consistency-token"]
    assert await found(staff, {"email": " ADA.KING@example.org"}) == [tea, mug]
    assert await found(staff, {"email": "ada@example.org"}) == []
    assert await found(staff, {"email": "ada.king@example.org", "sku": "TEA"}) == [tea]
    await house.shop.vault.erase(await house.customer_id(ada))
    assert await found(staff, {"email": "ada.king@example.org"}) == [tea], "who was erased is not found by the address"
    assert await found(staff, {"sku": "POT"}) == [pot]
    assert await found(staff, {"sku": "PO"}) == []
    assert await found(staff, {"number": tea.lower().replace("-", "")}) == [tea]
    assert await found(staff, {"customer_id": str(await house.customer_id(ada))}) == [pot, mug]
    first = (await staff.post("/admin/orders/search", {"limit": 2})).json()
    assert [one["order_number"] for one in first["items"]] == [pot, tea]
    assert await found(staff, {"limit": 2, "cursor": first["next_cursor"]}) == [mug]
    wrong = await staff.post("/admin/orders/search", {"number": "K7QM-3XWD-9D0X"})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/problems/order_number_malformed")
    today = datetime.now(UTC).date()
    for caller, path in ((ada, "/orders?"), (staff, "/orders?"), (staff, "/admin/orders?sku=MUG&")):
        wanted = [pot, tea, mug] if path == "/orders?" and caller is staff else [pot, mug] if caller is ada else [mug]
        for query, there in (
            (f"placed_from={today - timedelta(days=1)}&placed_to={today + timedelta(days=1)}", wanted),
            (f"placed_from={today + timedelta(days=2)}", []),
            (f"placed_to={today - timedelta(days=2)}", []),
        ):
            items = (await caller.get(path + query)).json()["items"]
            assert [one["order_number"] for one in items] == there, (path, query)
    assert (await staff.get("/orders?placed_from=yesterday")).status_code == 400
    lengths = (await staff.get("/admin/orders/queues")).json()["queues"]
    assert (lengths["pending"], lengths["held"], lengths["address_refused"]) == (3, 0, 0)
    assert [one["order_number"] for one in (await staff.get("/admin/orders?queue=pending")).json()["items"]] == [
        pot, tea, mug,
    ]  # fmt: skip


async def test_notes_are_for_staff_and_gone_with_the_person(house: House) -> None:
    ada, staff = await house.verified("noted@example.org"), await house.staff("support")
    number = await bought(ada)
    path = f"/admin/orders/{number}"
    written = await staff.post(f"{path}/notes", {"text": "Called twice.\nRings back."}, idempotency_key="n")
    assert written.status_code == 201, written.text
    again = await staff.post(f"{path}/notes", {"text": "Called twice.\nRings back."}, idempotency_key="n")
    assert again.content == written.content
    await staff.post(f"{path}/notes", {"text": "Prefers mornings."})
    desk = (await staff.get(path)).json()
    actor = f"staff:{await house.customer_id(staff)}"
    assert [(one["text"], one["actor"]) for one in desk["notes"]] == [
        ("Called twice.\nRings back.", actor),
        ("Prefers mornings.", actor),
    ]
    for note in await house.events("ordering", OrderNoteAdded):
        assert b"Called" not in msgspec.json.encode(note)
    token = staff.headers["consistency-token"]
    assert "Called" not in (await ada.get(f"/orders/{number}/timeline", consistency_token=token)).text
    assert "Called" not in (await ada.get(f"/orders/{number}", consistency_token=token)).text
    assert (await staff.post(f"{path}/notes", {"text": "  "})).json()["errors"][0]["pointer"] == "/text"
    assert (await staff.post("/admin/orders/K7QM-3XWD-9D0Z/notes", {"text": "?"})).status_code in (404, 422)
    await house.shop.vault.erase(await house.customer_id(ada))
    late = await staff.post(f"{path}/notes", {"text": "Too late."})
    assert (late.status_code, late.json()["type"]) == (409, "/problems/customer_erased")
    assert {one["text"] for one in (await staff.get(path)).json()["notes"]} == {"[erased]"}


async def test_a_held_order_is_not_shipped_until_it_is_released(open_house: House) -> None:
    house = open_house
    ada, staff = await house.register(), await house.staff("support", "warehouse")
    number = await bought(ada)
    await house.order_is(ada, number, "confirmed")
    await house.labelled(staff, number)
    path = f"/admin/orders/{number}"
    first, second = await asyncio.gather(
        staff.post(f"{path}/hold", {"reason": "odd address"}), staff.post(f"{path}/hold", {"reason": "odd card"})
    )
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    [held] = await house.events("ordering", OrderHeld)
    assert held.reason == "own_words"
    # At once, though the shipment may not have heard of it.
    refused = await staff.post(f"/shipments/{number}/parcels/1/ship")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/shipment_held")
    desk = (await staff.get(path)).json()
    assert (desk["held_because"], desk["order"]["held"]) == (first.json()["held_because"], True)
    assert desk["held_because"] in ("odd address", "odd card")
    assert [one["order_number"] for one in (await staff.get("/admin/orders?queue=held")).json()["items"]] == [number]
    assert (await staff.get("/admin/orders/queues")).json()["queues"]["held"] == 1
    assert await found(staff, {"held": False}) == []
    released = await staff.post(f"{path}/release", {})
    assert released.json() == {"order_number": number, "status": "confirmed", "held_because": None}
    assert (await staff.post(f"{path}/release", {})).status_code == 200

    async with asyncio.timeout(10):
        while (shipped := await staff.post(f"/shipments/{number}/parcels/1/ship")).status_code != 200:
            await house.shop.logs["shipping"].wait(await house.shop.logs["shipping"].head(), 0.05)
    assert shipped.json()["status"] == "shipped"
    await house.order_is(ada, number, "shipped")
    late = await staff.post(f"{path}/hold", {"reason": "too late"})
    assert (late.status_code, late.json()["type"]) == (409, "/problems/wrong_status")
    # Of 9.95, two parts of 4.00 can be given back, however many ask at once.
    part = {"amount": 400, "reason": "goodwill"}
    answers = await asyncio.gather(*(staff.post(f"/payments/{number}/refunds", part) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
    await house.until(ada, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 800)


async def test_staff_place_an_order_for_somebody_on_the_phone(house: House) -> None:
    ada, staff = await house.register("phone@example.org"), await house.staff("support")
    me = await house.customer_id(ada)
    body = {
        "customer_id": str(me),
        "lines": [{"sku": "MUG", "quantity": 3, "agreed_price": "3.335"}, {"sku": "TEA"}],
        "shipping_address": ADDRESS,
        "note": "Ring twice.",
    }
    first, second = await asyncio.gather(*(staff.post("/admin/orders", body, idempotency_key="call") for _ in range(2)))
    assert (first.status_code, first.content) == (202, second.content), first.text
    taken = first.json()
    # Three at 3.335 are 10.005, rounded once; one tea is 3.50.
    assert taken["goods"] == {"amount": 1_001 + 350, "currency": "GBP"}
    [created] = await house.events("ordering", OrderCreated)
    assert (created.channel, created.customer_id, created.cart_id) == ("phone", me, None)
    assert [(one.agreed_price, one.unit_price.amount, one.total.amount) for one in created.lines] == [
        ("3.335", 334, 1_001), (None, 350, 350),
    ]  # fmt: skip
    [recorded] = await house.shop.logs["ordering"].stream(created.order_id)
    assert recorded.meta.actor == f"staff:{await house.customer_id(staff)}"
    token = first.headers["consistency-token"]
    seen = (await ada.get(f"/orders/{taken['order_number']}", consistency_token=token)).json()
    assert (seen["email"], seen["note"], seen["total"]) == ("phone@example.org", "Ring twice.", taken["total"])
    # For a guest an address is needed; what is not there is refused, line by line together.
    guest = {"lines": [{"sku": "MUG"}], "shipping_address": ADDRESS}
    assert (await staff.post("/admin/orders", guest)).json()["errors"][0]["pointer"] == "/email"
    placed = await staff.post("/admin/orders", {**guest, "email": "caller@example.org"})
    assert placed.status_code == 202
    assert await found(staff, {"email": "caller@example.org"}) == [placed.json()["order_number"]]
    for change, kind in (
        ({"lines": [{"sku": "MUG", "quantity": 60}, {"sku": "MUG", "quantity": 60}]}, "not_available"),
        ({"lines": [{"sku": "NOPE", "agreed_price": "1"}]}, "not_available"),
        ({"customer_id": str(uid(7))}, "no_such_customer"),
        ({"shipping_method": "pigeon"}, "no_such_shipping_method"),
        ({"shipping_address": {**ADDRESS, "postcode": "1"}}, "address_invalid"),
        ({"language": "xx"}, "language_unknown"),
        ({"lines": [{"sku": "MUG", "agreed_price": "1.00001"}]}, "invalid_body"),
        ({"lines": [{"sku": "MUG", "agreed_price": "-1"}]}, "invalid_body"),
    ):
        refused = await staff.post("/admin/orders", {**guest, "email": "caller@example.org", **change})
        assert refused.json()["type"] == f"/problems/{kind}", (change, refused.text)
    assert len(await house.events("ordering", OrderCreated)) == 2
    # Two guests who order on the phone are two callers, though neither had a cart.
    another = await staff.post("/admin/orders", {**guest, "email": "caller@example.org"})
    actors = set()
    for number in (placed.json()["order_number"], another.json()["order_number"]):
        order_id = await house.shop.logs["ordering"].claimed("order_number", number.encode())
        assert order_id is not None
        caller = house.guest()
        caller.headers["order-token"] = house.services.order_tokens.sign_cart(order_id)
        gone = await caller.post(f"/orders/{number}/cancel", idempotency_key="1")
        assert gone.status_code == 202, gone.text
        actors.add((await house.shop.logs["ordering"].stream(order_id))[-1].meta.actor)
    assert len(actors) == 2


async def test_an_earlier_order_fills_the_cart_as_far_as_it_can_still_be_had(house: House) -> None:
    ada, guest, other = await house.register(), house.guest(), await house.register()
    for sku, units in (("MUG", 4), ("TEA", 2), ("POT", 3)):
        await ada.add(sku, units)
    number = (await ada.check_out()).json()["order_number"]
    await house.adjust("POT", -98)
    await house.adjust("TEA", -100)
    await ada.add("MUG", 1)
    filled = await ada.post(f"/orders/{number}/reorder", {}, idempotency_key="again")
    assert filled.status_code == 201, filled.text
    assert filled.json()["taken"] == {"MUG": 4, "POT": 2}
    assert [(one["sku"], one["wanted"], one["taken"], one["why"]) for one in filled.json()["left_out"]] == [
        ("TEA", 2, 0, "sold_out"), ("POT", 3, 2, "fewer_available"),
    ]  # fmt: skip
    again = await ada.post(f"/orders/{number}/reorder", {}, idempotency_key="again")
    assert again.content == filled.content
    items = {one["sku"]: one["quantity"] for one in (await ada.get("/cart")).json()["items"]}
    assert items == {"MUG": 5, "POT": 2}
    assert (await other.post(f"/orders/{number}/reorder", {})).status_code == 404
    # A guest has the order's token, and gets a cart with one of its own.
    theirs = await bought(guest)
    del guest.headers["cart-token"]
    anew = await guest.post(f"/orders/{theirs}/reorder", {})
    assert (anew.status_code, anew.json()["taken"]) == (201, {"MUG": 1})
    assert (await guest.get("/cart")).json()["units"] == 1


async def test_an_address_is_changed_by_whose_order_it_is_until_it_is_packed(open_house: House) -> None:
    house = open_house
    ada, staff = await house.register(), await house.staff("support", "warehouse")
    number = await bought(ada)
    path, there = f"/orders/{number}/shipping-address", {**ADDRESS, "lines": ["1 High Street"], "postcode": "sw1y4jh"}
    await house.order_is(ada, number, "confirmed")
    await house.labelled(staff, number)
    moved = await ada.call("PUT", "/api/v1" + path, there)
    assert (moved.status_code, moved.json()["revision"]) == (200, 1), moved.text
    assert (await ada.get(f"/orders/{number}")).json()["shipping_address"]["lines"] == ["1 High Street"]
    # The same again is no other change.
    assert (await ada.call("PUT", "/api/v1" + path, there)).json()["revision"] == 1
    abroad = {**ADDRESS, "country": "DE", "postcode": "10117", "city": "Berlin"}
    assert (await ada.call("PUT", "/api/v1" + path, abroad)).json()["type"] == "/problems/country_fixed"
    wrong = await ada.call("PUT", "/api/v1" + path, {**ADDRESS, "postcode": "1"})
    assert wrong.json()["errors"][0]["pointer"] == "/postcode"
    async with asyncio.timeout(10):
        while (shipped := await staff.post(f"/shipments/{number}/parcels/1/ship")).status_code != 200:
            await house.shop.logs["shipping"].wait(await house.shop.logs["shipping"].head(), 0.05)
    assert shipped.json()["status"] == "shipped"
    late = await ada.call("PUT", "/api/v1" + path, ADDRESS)
    assert (late.status_code, late.json()["type"]) == (409, "/problems/too_late_to_readdress")
