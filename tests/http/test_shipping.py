"""Shipping over HTTP: what warehouses pick and pack, parcels that no carrier takes, and carriers' signed webhooks."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from emporium.application import orders
from emporium.application.ports import Address
from emporium.domain.order import ORDER, ChangeAddress
from emporium.domain.order_number import parse_order_number
from emporium.domain.reservation import ParcelReleased
from emporium.domain.shipment import SHIPMENT, OrderShipped, ShipmentState, shipment_id_of
from emporium.domain.stock import ReceiveUnits
from emporium.domain.warehouse import OpenWarehouse
from emporium.http.examples import EXAMPLES
from emporium.infra.settings import Settings
from tests.http.client import ADDRESS, API, STAFF, Caller, House
from tests.http.conftest import running
from tests.support.easypost import KEY, SECRET, EasyPost
from tests.support.sandbox import SandboxProcess

WEBHOOK = f"{API}/shipments/webhooks/easypost"
SENDER = {"name": "Emporium", "lines": ["2 Low Road"], "city": "Leeds", "postcode": "LS1 1UR", "country": "GB"}


@pytest.fixture
def sandbox(folder: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(folder / "sandbox.sqlite") as process:
        yield process


@pytest.fixture
def post() -> Iterator[EasyPost]:
    with EasyPost().serving() as server:
        yield server


def posted(settings: Settings, sandbox: SandboxProcess, post: EasyPost) -> Settings:
    # Nobody asks the carrier within this time: what happens, happens because it tells.
    return msgspec.structs.replace(
        settings, provider_url=sandbox.url, carrier="easypost", easypost_api_key=KEY, easypost_api_base=post.url,
        carrier_webhook_secret=SECRET, tracking_interval_s=3_600.0,
    )  # fmt: skip


@pytest.fixture
async def house(settings: Settings, sandbox: SandboxProcess, post: EasyPost) -> AsyncIterator[House]:
    """A gateway with its whole saga, on EasyPost's stand-in; parcels wait for people, in two warehouses."""
    async with running(posted(settings, sandbox, post), saga=True) as house:
        await two_warehouses(house)
        yield house


async def two_warehouses(house: House) -> None:
    admin = await house.staff()
    settings = await admin.call("PATCH", f"{API}/admin/settings", {"sender_address": SENDER})
    assert settings.status_code == 200, settings.text
    await house.shop.execute(OpenWarehouse(code="YRK", name="York", country="GB", priority=1), STAFF)
    received = await house.shop.execute(ReceiveUnits(sku="TEA", warehouse="YRK", quantity=9), STAFF)
    await house.adjust("TEA", -100)
    await house.shows("inventory", received.position, "catalog_pages", "stock_levels")


async def ordered(house: House, caller: Caller, *skus: str, **address: Any) -> str:
    for sku in skus:
        await caller.add(sku)
    placed = await caller.check_out(shipping_address={**ADDRESS, **address})
    assert placed.status_code == 202, placed.text
    number = str(placed.json()["order_number"])
    await house.order_is(caller, number, "confirmed")
    return number


async def id_of(house: House, number: str) -> UUID:
    order_id = await house.shop.logs["ordering"].claimed("order_number", parse_order_number(number).encode())
    assert order_id is not None
    return order_id


async def shipment(house: House, number: str) -> ShipmentState:
    """The shipment as its log knows it."""
    stream = shipment_id_of(await id_of(house, number))
    state, _ = await house.shop.logs["shipping"].load(SHIPMENT, stream, fresh=True)
    assert state is not None
    return state


async def tell(house: House, body: bytes, signature: str | None = None, path: str = WEBHOOK) -> httpx.Response:
    headers = {"x-hmac-signature": (signature or EasyPost.signed(body)).encode()}
    return await house.client.post(path, content=body, headers=headers)


async def items(caller: Caller, path: str) -> list[dict[str, Any]]:
    answer = await caller.get(path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


# --- what people do --------------------------------------------------------------------------------


async def test_labels_are_of_the_service_that_the_shop_names_for_the_chosen_way(house: House) -> None:
    customer, admin = await house.register(), await house.staff()
    zones = (await admin.get("/admin/settings")).json()["zones"]

    async def served_by(service: str | None) -> None:
        for zone in zones:
            for method in zone["methods"]:
                method["service"] = service
        changed = await admin.call("PATCH", f"{API}/admin/settings", {"zones": zones})
        assert changed.status_code == 200, changed.text

    await served_by("Swift/Never")
    number = await ordered(house, customer, "MUG")
    waiting = await house.until(admin, "/shipments/refused", lambda body: body["items"])
    assert waiting["items"][0]["reason"] == "no carrier offers Swift/Never for it"
    await served_by("Swift/Next")
    again = f"/shipments/{number}/parcels/1/retry"
    async with asyncio.timeout(20):
        # What the settings are is looked up once a second.
        while (shown := await shipment(house, number)).parcels[1].carrier != "Swift":
            await admin.post(again)
            await house.shop.logs["shipping"].wait(await house.shop.logs["shipping"].head(), 0.2)
    assert shown.parcels[1].labelled


async def test_a_warehouse_picks_packs_and_hands_over_what_is_its_own(house: House, post: EasyPost) -> None:
    customer, staff = await house.register(), await house.staff("warehouse")
    first = await ordered(house, customer, "MUG", "TEA", "POT")
    second = await ordered(house, customer, "MUG")
    for number in (first, second):
        await house.labelled(staff, number)
    assert await items(staff, "/shipments/picking?warehouse=LON") == [
        {"sku": "MUG", "title": "Mug", "quantity": 2, "parcels": 2},
        {"sku": "POT", "title": "Pot", "quantity": 1, "parcels": 1},
    ]
    page = (await staff.get("/shipments/picking?warehouse=LON&limit=1")).json()
    rest = (await staff.get(page["next"].removeprefix(API))).json()
    assert [one["sku"] for one in page["items"] + rest["items"]] == ["MUG", "POT"]
    assert [one["quantity"] for one in await items(staff, "/shipments/picking?warehouse=YRK")] == [1]
    assert await items(staff, "/shipments/picking?warehouse=MARS") == []
    page = (await staff.get("/shipments/packing?warehouse=LON&limit=1")).json()
    rest = (await staff.get(page["next"].removeprefix(API))).json()
    assert [one["order_number"] for one in page["items"] + rest["items"]] == [first, second]
    [parcel] = page["items"]
    assert [(one["sku"], one["title"], one["quantity"]) for one in parcel["items"]] == [
        ("MUG", "Mug", 1), ("POT", "Pot", 1),
    ]  # fmt: skip
    assert (parcel["of"], parcel["carrier"], parcel["held"]) == (2, "RoyalMail", False)
    way = f"/shipments/{first}/parcels/{parcel['parcel']}"
    label = (await staff.get(f"{way}/label")).json()
    assert (
        label["label_url"] == parcel["label_url"] == f"https://labels.easypost.example/{label['tracking_number']}.pdf"
    )
    assert (await staff.get(f"/shipments/{first}/parcels/7/label")).status_code == 404
    packed = await staff.post(f"{way}/pack", idempotency_key="p")
    assert (packed.status_code, packed.json()["status"]) == (200, "prepared")
    assert (await staff.post(f"{way}/pack", idempotency_key="p")).content == packed.content
    assert [one["order_number"] for one in await items(staff, "/shipments/packing?warehouse=LON")] == [second]
    [ready] = await items(staff, "/shipments/packing?warehouse=LON&step=packed")
    assert (ready["order_number"], ready["parcel"]) == (first, parcel["parcel"])
    assert (await staff.post(f"{way}/lose")).json()["type"] == "/problems/parcel_not_shipped"
    assert (await staff.post(f"{way}/ship")).json()["status"] == "shipped"
    assert await items(staff, "/shipments/packing?warehouse=LON&step=packed") == []
    order = await house.order_is(customer, first, "partly_shipped")
    shown = next(one for one in order["parcels"] if one["parcel"] == parcel["parcel"])
    assert shown["tracking_url"] == f"https://track.easypost.example/{label['tracking_number']}"
    assert len(post.bought) == 3
    # The second order's parcel is lost, so its goods are refunded; the first one's comes back.
    assert (await staff.post(f"/shipments/{second}/parcels/1/ship")).status_code == 200
    assert (await staff.post(f"/shipments/{second}/parcels/1/lose")).json()["status"] == "fulfilled"
    await house.until(customer, f"/payments/{second}", lambda body: body["refunded"]["amount"] == 500)
    assert (await staff.post(f"{way}/return")).json()["status"] == "shipped"
    await house.until(customer, f"/payments/{first}", lambda body: body["refunded"]["amount"] == 2_500)


async def test_an_impossible_address_waits_for_people_and_a_corrected_one_goes_on(house: House, post: EasyPost) -> None:
    customer, staff = await house.register(), await house.staff("support")
    number = await ordered(house, customer, "MUG", name="REFUSED")
    path = "/shipments/refused"
    queue = await house.until(staff, path, lambda body: body["items"])
    [waiting] = queue["items"]
    assert (waiting["order_number"], waiting["warehouse"]) == (number, "LON")
    assert waiting["reason"] == "E.ADDRESS.NOT_FOUND, E.HOUSE_NUMBER.INVALID"
    assert await items(staff, f"{path}?warehouse=YRK") == []
    warehouse = await house.staff("warehouse")
    way = f"/shipments/{number}/parcels/1"
    assert (await warehouse.get(f"{way}/label")).json()["type"] == "/problems/parcel_not_labelled"
    assert (await staff.post(f"{way}/give-up", {})).json()["type"] == "/problems/nothing_left_yet"
    # The same address once more: nothing is better.
    assert (await staff.post(f"{way}/retry", idempotency_key="r")).status_code == 200
    attempt = 0
    while attempt < 1 or (await shipment(house, number)).parcels[1].refused is None:
        attempt = (await shipment(house, number)).parcels[1].attempt
    assert not post.bought
    order_id, vault = await id_of(house, number), house.shop.vault
    order, _ = await house.shop.logs["ordering"].load(ORDER, order_id)
    assert order is not None
    await vault.key_for(order.subject)
    there = vault.seal(order.subject, "OrderAddressChanged", order_id, "ship_to", ADDRESS)
    change = ChangeAddress(order_id=order_id, ship_to=there, country="GB")
    await orders.act(house.shop, change, order_id=order_id, cause=STAFF)
    await house.labelled(warehouse, number)
    assert await items(staff, path) == []
    assert [one["to_address"]["name"] for one in post.bought] == ["Ada King"]
    assert (await staff.post(f"{way}/retry")).json()["type"] == "/problems/parcel_not_refused"
    # The label is bought, but the customer wants nothing any more: its money is asked back.
    assert (await customer.post(f"/orders/{number}/cancel", {})).status_code == 202
    await house.order_is(customer, number, "cancelled")
    while not post.bought[0]["refund_status"]:
        await house.shop.logs["shipping"].wait(await house.shop.logs["shipping"].head(), 0.02)


async def test_a_refused_parcel_does_not_keep_the_order_open_for_ever(house: House, post: EasyPost) -> None:
    customer, staff = await house.register(), await house.staff("warehouse")
    post.faults.append(("buy", "refused"))
    number = await ordered(house, customer, "MUG", "TEA")
    queue = await house.until(staff, "/shipments/refused", lambda body: body["items"])
    [waiting] = queue["items"]
    other = 3 - waiting["parcel"]
    await house.until(staff, f"/shipments/{number}", lambda body: body["parcels"][other - 1]["labelled_at"])
    assert (await staff.post(f"/shipments/{number}/parcels/{other}/ship")).status_code == 200
    await house.order_is(customer, number, "partly_shipped")
    way = f"/shipments/{number}/parcels/{waiting['parcel']}"
    example = EXAMPLES["shipments_give_up"]
    given_up = await staff.post(f"{way}/give-up", example, idempotency_key="g")
    assert (given_up.status_code, given_up.json()["status"]) == (200, "shipped")
    assert (await staff.post(f"{way}/give-up", example, idempotency_key="g")).content == given_up.content
    assert (await staff.post(f"{way}/retry")).json()["type"] == "/problems/parcel_not_refused"
    price = {"MUG": 500, "TEA": 350}[waiting["items"][0]["sku"]]
    await house.until(customer, f"/payments/{number}", lambda body: body["refunded"]["amount"] == price)
    tracking = (await shipment(house, number)).parcels[other].tracking_number
    assert (await tell(house, post.event(tracking, "delivered"))).json() == {"changed": True}
    order = await house.order_is(customer, number, "fulfilled")
    assert [one["given_up_at"] is not None for one in order["parcels"]] == [other == 2, other == 1]
    assert await items(staff, "/shipments/refused") == []
    # Its units never left: they are free again, once.
    assert [one.parcel for one in await house.events("inventory", ParcelReleased)] == [waiting["parcel"]]
    sku, place = waiting["items"][0]["sku"], waiting["warehouse"]
    levels = await items(await house.staff(), f"/inventory/levels?sku={sku}")
    level = next(one for one in levels if one["warehouse"] == place)
    assert (level["reserved"], level["available"]) == (0, level["on_hand"])
    assert level["on_hand"] == {"MUG": 100, "TEA": 9}[sku]


# --- what carriers tell ----------------------------------------------------------------------------


async def test_webhooks_count_once_and_in_any_order(house: House, post: EasyPost) -> None:
    customer, staff = await house.register(), await house.staff("warehouse")
    number = await ordered(house, customer, "MUG")
    await house.labelled(staff, number)
    tracking = (await shipment(house, number)).parcels[1].tracking_number
    for body in (
        post.event(tracking, "pre_transit", description="tracker.created"),
        post.event(tracking, "in_transit", description="batch.updated"),
        post.event(tracking, "unheard_of"),
    ):
        told = await tell(house, body)
        assert (told.status_code, told.json()) == (200, {"changed": False})
    delivered = post.event(tracking, "delivered")
    assert (await tell(house, delivered)).json() == {"changed": True}
    for late in (delivered, post.event(tracking, "in_transit"), post.event(tracking, "return_to_sender")):
        assert (await tell(house, late)).json() == {"changed": False}
    state = await shipment(house, number)
    assert (state.status, state.parcels[1].delivered, state.parcels[1].returned) == ("fulfilled", True, False)
    assert len(await house.events("shipping", OrderShipped)) == 1
    order = await house.order_is(customer, number, "fulfilled")
    assert order["parcels"][0]["shipped_at"] is not None


async def test_webhooks_that_are_not_right_change_nothing(house: House, post: EasyPost) -> None:
    customer, staff = await house.register(), await house.staff("warehouse")
    number = await ordered(house, customer, "MUG")
    await house.labelled(staff, number)
    tracking = (await shipment(house, number)).parcels[1].tracking_number
    good, now = post.event(tracking, "delivered"), datetime.now(UTC)
    old = post.event(tracking, "delivered", at=now - timedelta(days=4))
    ahead = post.event(tracking, "delivered", at=now + timedelta(hours=1))
    for body, signature in (
        (good, EasyPost.signed(good, "another secret")),
        (good, EasyPost.signed(good + b" ")),
        (good, EasyPost.signed(good).removeprefix("hmac-sha256-hex=")),
        (good, "hmac-sha256-hex=é"),
        (old, None),
        (ahead, None),
        (b"{}", None),
        (b"[[[[", None),
        (b"\xff", None),
        (good.replace(b'"tracking_code"', b'"other"'), None),
    ):
        refused = await tell(house, body, signature)
        assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid_header"), body
    no_header = await house.client.post(WEBHOOK, content=good)
    assert no_header.status_code == 400
    assert (await tell(house, good, path=f"{API}/shipments/webhooks/sandbox")).status_code in (400, 404)
    # A parcel of somebody else's, and one of ours whose label is not used.
    foreign = post.event(tracking, "delivered").replace(
        post.shipments[next(iter(post.shipments))]["id"].encode(), b"shp_somebody"
    )
    unused = good.replace(tracking.encode(), b"EZ0000000000")
    for body in (foreign, unused):
        told = await tell(house, body)
        assert (told.status_code, told.json()) == (200, {"changed": False})
    assert (await shipment(house, number)).status == "prepared"
    post.faults.append(("find", "error"))
    down = await tell(house, good)
    assert (down.status_code, down.headers["retry-after"]) == (503, "60")
    assert (await tell(house, good)).json() == {"changed": True}


async def test_a_webhook_before_our_own_answer_does_no_harm(
    settings: Settings, sandbox: SandboxProcess, post: EasyPost
) -> None:
    """The label is bought, but its answer is lost: what is told of it meanwhile is found by asking later."""
    there = msgspec.structs.replace(posted(settings, sandbox, post), tracking_interval_s=0.05)
    async with running(there, saga=True, automatic=True) as house:
        await two_warehouses(house)
        customer = await house.register()
        post.faults += [("buy", "garbage"), ("find", "error")]
        number = await ordered(house, customer, "MUG")
        while not post.bought:
            await house.shop.logs["shipping"].wait(await house.shop.logs["shipping"].head(), 0.02)
        tracking = post.bought[0]["tracking_code"]
        early = await tell(house, post.event(tracking, "in_transit"))
        assert early.status_code in (200, 503)
        order = await house.until(customer, f"/orders/{number}", lambda body: body["parcels"][0]["packed_at"])
        assert order["status"] in ("confirmed", "shipped")
        post.scan(tracking, "in_transit")
        await house.order_is(customer, number, "shipped")
        post.scan(tracking, "return_to_sender", "return")
        order = await house.order_is(customer, number, "fulfilled")
        assert order["parcels"][0]["returned_at"] is not None
        assert len(post.bought) == 1
        await house.until(customer, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 500)


async def test_the_sandbox_tells_in_its_own_form(settings: Settings, sandbox: SandboxProcess) -> None:
    there = msgspec.structs.replace(
        settings, provider_url=sandbox.url, carrier_url=sandbox.url, carrier_webhook_secret=SECRET,
        tracking_interval_s=3_600.0,
    )  # fmt: skip

    def signed(body: bytes, at: datetime) -> str:
        when = str(int(at.timestamp()))
        digest = hmac.new(SECRET.encode(), when.encode() + b"." + body, hashlib.sha256).hexdigest()
        return f"t={when},v1={digest}"

    async with running(there, saga=True) as house:
        customer, staff = await house.register(), await house.staff("warehouse")
        number = await ordered(house, customer, "MUG")
        await house.labelled(staff, number)
        one = (await shipment(house, number)).parcels[1]
        assert one.label_url
        now = datetime.now(UTC)

        async def send(status: str, at: datetime = now, **other: str) -> httpx.Response:
            told = {"id": str(uuid4()), "tracking_number": one.tracking_number, "status": status, **other}
            body = json.dumps(told).encode()
            headers = {"sandbox-signature": signed(body, at)}
            return await house.client.post(f"{API}/shipments/webhooks/sandbox", content=body, headers=headers)

        assert (await send("delivered", now - timedelta(minutes=6))).status_code == 400
        assert (await send("delivered", now + timedelta(minutes=6))).status_code == 400
        assert (await send("sneezed")).json() == {"changed": False}
        assert (await send("delivered", tracking_number="SBX9")).json() == {"changed": False}
        await house.shop.carrier.book("parcel-of-mine", uuid4(), 1, Address("A", (), "", "", "GB"), {"MUG": 1})
        assert (await send("delivered", tracking_number="SBX0000000002")).json() == {"changed": False}
        assert (await send("lost", id="same")).json() == {"changed": True}
        assert (await send("lost", id="same")).json() == {"changed": False}
        order = await house.order_is(customer, number, "fulfilled")
        assert order["parcels"][0]["lost_at"] is not None
        assert (await tell(house, b"{}")).status_code == 404
