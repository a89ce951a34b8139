"""A day of each who uses the shop: guest, customer, support, warehouse, administrator; over HTTP alone.

What stands in a mail is read where an administrator reads it without a mail server: in the outbox.
"""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pyotp
import pytest
import pytest_asyncio

from emporium.application import bootstrap
from emporium.application.together import end
from emporium.http import consistency
from emporium.infra.settings import Settings
from tests import servers
from tests.http.client import ADDRESS, API, PASSWORD, Caller, House
from tests.http.conftest import running
from tests.support.counterparts import HttpTarget
from tests.support.pdf import text
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE: Final = {**ADDRESS, "lines": ["5 Dorset Street"], "postcode": "W1U 6QJ"}

_numbers = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(server: str, template: str) -> AsyncIterator[House]:
    """One shop for everybody: its saga runs, it writes mails and calls webhooks, parcels wait for people."""
    folder = Path(tempfile.mkdtemp(prefix="emporium-"))
    name = f"journeys_{os.getpid()}_{next(_numbers)}"
    with (
        servers.made(server, name, template=template) as url,
        SandboxProcess(folder / "sandbox.sqlite") as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        # A machine that is busy with other tests is no reason to answer 503.
        patch.setattr(consistency, "PATIENCE", 20.0)
        there = msgspec.structs.replace(
            Settings(), database_url=url, data_dir=folder, provider_url=sandbox.url, carrier_url=sandbox.url,
            private_webhooks=True,
        )  # fmt: skip
        async with (
            running(there, saga=True, search=True) as house,
            bootstrap.notifier(house.opened, name="test") as notifier,
            bootstrap.webhook_caller(house.opened, name="test") as webhooks,
        ):
            tasks = [asyncio.create_task(notifier.run()), asyncio.create_task(webhooks.run())]
            try:
                yield house
            finally:
                await end(tasks)
    shutil.rmtree(folder, ignore_errors=True)


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """What the answer says, if it is the expected one."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


class Desk:
    """What the shop does meanwhile: its administrator's outbox, and its warehouse."""

    def __init__(self, house: House, staff: Caller) -> None:
        self.house = house
        self.staff = staff

    @classmethod
    async def of(cls, house: House) -> "Desk":
        return cls(house, await house.staff())

    async def mail(self, kind: str, to: str, order: str | None = None) -> str:
        """The text of the newest mail of a kind to somebody, once it is there."""
        query = f"/notifications?kind={kind}" + ("" if order is None else f"&order={order}")
        seen: dict[str, str] = {}

        async def found() -> str | None:
            for row in (ok(await self.staff.get(query)))["items"]:
                if row["notification_id"] not in seen:
                    one = ok(await self.staff.get(f"/notifications/{row['notification_id']}"))
                    seen[row["notification_id"]] = (
                        one["rendered"]["text"] if (one["rendered"] or {}).get("to") == to else ""
                    )
                if seen[row["notification_id"]]:
                    return seen[row["notification_id"]]
            return None

        async with asyncio.timeout(20):
            while (body := await found()) is None:
                log = self.house.shop.logs["notifications"]
                await log.wait(await log.head(), 0.05)
        return body

    async def link(self, kind: str, to: str) -> str:
        """The token of the link in the newest mail of a kind."""
        match = re.search(r"[?&]token=([^\s&]+)", await self.mail(kind, to))
        assert match is not None, kind
        return match[1]

    async def send(self, number: str) -> None:
        """Packs and ships every parcel of an order, and lets it arrive."""
        shipment = await self.house.labelled(self.staff, number)
        for parcel in shipment["parcels"]:
            way = f"/shipments/{number}/parcels/{parcel['parcel']}"
            async with asyncio.timeout(20):
                # Where the address has just changed, the label is about to be replaced.
                while (packed := await self.staff.post(f"{way}/pack", {})).status_code == 409:
                    await asyncio.sleep(0.05)
            ok(packed)
            for step in ("ship", "deliver"):
                ok(await self.staff.post(f"{way}/{step}", {}))


async def follow(caller: Caller, number: str, last: str | None = None) -> tuple[list[str], str]:
    """What has happened to an ended order, by server-sent events after `last`; and the last event's id."""
    headers = {} if last is None else {"last_event_id": last}
    answer = await caller.get(f"/orders/{number}/events", **headers)
    if answer.status_code == 204:
        return [], last or ""
    assert answer.headers["content-type"].startswith("text/event-stream")
    return re.findall(r'"happened":"(\w+)"', answer.text), re.findall(r"^id: (\S+)$", answer.text, re.M)[-1]


async def pdf(house: House, caller: Caller, number: str, kind: str) -> str:
    """The words on an order's document, once there is one of that kind."""

    def there(body: Any) -> bool:
        return any(one["kind"] == kind for one in body["items"])

    body = await house.until(caller, f"/orders/{number}/documents", there)
    [href] = [one["href"] for one in body["items"] if one["kind"] == kind]
    answer = await caller.call("GET", href)
    assert answer.headers["content-type"] == "application/pdf"
    return text(answer.content)


async def test_a_guest_buys_follows_cancels_and_becomes_a_customer(town: House) -> None:
    desk, guest, email = await Desk.of(town), town.guest(), "gwen@example.org"
    found = ok(await guest.get("/search?q=mug"))
    assert [one["slug"] for one in found["items"]] == ["mug"]
    product = ok(await guest.get("/products/mug"))
    sku = product["variants"][0]["sku"]
    ok(await guest.add(sku, 2), 201)
    quote = ok(await guest.post("/checkout/quotes", {"country": "GB"}), 201)
    method = quote["methods"][0]
    wrong = await guest.check_out(email=email, shipping_address={**ADDRESS, "postcode": "nowhere"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/shipping_address/postcode")
    placed = ok(await guest.check_out(email=email, quote_id=quote["quote_id"], shipping_method=method["code"]), 202)
    number = placed["order_number"]
    assert (placed["status"], placed["total"]) == ("pending", method["total"])
    stranger = await town.guest().get(f"/orders/{number}")
    assert stranger.status_code == 404
    await town.order_is(guest, number, "confirmed")
    assert "2 × Mug" in await desk.mail("order_created", email, number)
    await desk.send(number)
    await town.order_is(guest, number, "fulfilled")
    told, last = await follow(guest, number)
    assert (told[0], told[-1]) == ("OrderCreated", "OrderCompleted")
    assert await follow(guest, number, last) == ([], last)
    course = ok(await guest.get(f"/orders/{number}/timeline"))
    assert [one["text"] for one in course["entries"]] != []
    # A second order is not wanted any more.
    token = guest.headers["order-token"]
    await guest.add("TEA")
    second = (ok(await guest.check_out(email=email), 202))["order_number"]
    await town.order_is(guest, second, "confirmed")
    cancelled = ok(await guest.post(f"/orders/{second}/cancel", {"reason": "changed_mind"}), 202)
    assert cancelled["order_number"] == second
    await town.order_is(guest, second, "cancelled")
    await town.until(guest, f"/payments/{second}", lambda body: body["refunded"] == body["amount"] or body["voided"])
    guest.headers["order-token"] = token
    assert (await guest.get(f"/orders/{number}")).status_code == 200
    # With an account of the same address the orders are there, once the address is proved.
    account = await town.register(email)
    assert (ok(await account.get("/orders")))["items"] == []
    proved = ok(await account.post("/account/verification", {"token": await desk.link("email_verification", email)}))
    assert proved["orders_claimed"] == 2
    own = await town.until(account, "/orders", lambda body: len(body["items"]) == 2)
    assert [one["order_number"] for one in own["items"]] == [second, number]


async def test_a_customer_from_registration_to_erasure(town: House) -> None:
    desk, email = await Desk.of(town), "carla@example.org"
    customer = await town.register(email)
    ok(await customer.post("/account/verification", {"token": await desk.link("email_verification", email)}))
    # Two factors.
    secret = (ok(await customer.post("/account/two-factor", {"password": PASSWORD})))["secret"]
    code = pyotp.TOTP(secret).now()
    recovery = (ok(await customer.post("/account/two-factor/enable", {"code": code})))["recovery_codes"]
    login = {"email": email, "password": PASSWORD}
    refused = await town.guest().post("/account/login", login)
    assert refused.json()["type"] == "/problems/two_factor_required"
    begun = ok(await town.guest().post("/account/login", {**login, "code": recovery[0]}))
    customer = Caller(town.client, begun["token"])
    assert len((ok(await customer.get("/account/sessions")))["items"]) == 2
    # What the account keeps.
    profile = {"name": "Carla King", "phone": "+44 20 7946 0000", "language": "en"}
    assert (ok(await customer.call("PUT", f"{API}/account/profile", profile)))["name"] == "Carla King"
    home = ok(await customer.post("/account/addresses", {**ADDRESS, "default_for": ["shipping"]}), 201)
    assert [one["address_id"] for one in (ok(await customer.get("/account/addresses")))["items"]] == [
        home["address_id"]
    ]
    saved = (ok(await customer.post("/account/payment-methods", {"method": "pm_3ds"}), 201))["method_id"]
    wishes = {"email": ["orders"], "sms": [], "push": []}
    ok(await customer.call("PUT", f"{API}/account/preferences", wishes))
    # A coupon, and 3-D Secure with the saved method.
    offer = {"code": "CARLA", "promotion": {"name": "A tenth", "kind": "percentage", "percent": "10"}}
    ok(await desk.staff.post("/admin/promotions", offer), 201)
    await customer.add("POT", 2)
    ok(await customer.post("/cart/coupons", {"code": "carla"}), 201)
    assert (ok(await customer.get("/cart")))["total"]["amount"] > 0
    placed = ok(await customer.check_out(email=None, saved_payment_method=saved), 202)
    number = placed["order_number"]
    assert placed["discount"]["amount"] == 400
    payment = await town.until(customer, f"/payments/{number}", lambda body: body["next_action"] is not None)
    async with httpx.AsyncClient() as bank:
        assert (await bank.post(payment["next_action"]["url"], json={"success": True})).status_code == 200
    await town.order_is(customer, number, "confirmed")
    # Another address, then it leaves for that one.
    moved = ok(await customer.call("PUT", f"{API}/orders/{number}/shipping-address", ELSEWHERE))
    assert moved["revision"] == 1
    await town.until(customer, f"/orders/{number}", lambda body: body["shipping_address"]["postcode"] == "W1U 6QJ")
    await desk.send(number)
    order = await town.order_is(customer, number, "fulfilled")
    assert order["coupons"] == ["CARLA"]
    assert "Dorset" in await pdf(town, customer, number, "invoice")
    # One pot comes back.
    wanted = {"lines": [{"line": 1, "quantity": 1, "reason": "too small"}]}
    back = (ok(await customer.post(f"/orders/{number}/return-requests", wanted), 201))["return_id"]
    refused = await customer.post("/account/erasure", {"password": PASSWORD})
    assert refused.json()["type"] == "/problems/returns_open"
    for step, body in (("decision", {"approved": True}), ("receipt", {})):
        ok(await desk.staff.post(f"/orders/{number}/return-requests/{back}/{step}", body))
    refunded = await town.until(customer, f"/payments/{number}", lambda body: body["refunded"]["amount"] > 0)
    assert refunded["refunded"]["amount"] == 1_800
    assert "18.00" in await pdf(town, customer, number, "credit_note")
    again = ok(await customer.post(f"/orders/{number}/reorder"), 201)
    assert again["taken"] == {"POT": 2}
    # Everything that is held, and then nothing.
    held = ok(await customer.get("/account/export"))
    assert held["profile"]["email"] == email
    assert [one["order_number"] for one in held["orders"]] == [number]
    ok(await customer.post("/account/erasure", {"password": PASSWORD}), 204)
    assert (await customer.get("/account/me")).status_code == 401
    assert (ok(await desk.staff.get(f"/orders/{number}")))["email"] == "[erased]"


async def test_support_finds_helps_and_pays_back(town: House) -> None:
    desk, email = await Desk.of(town), "sue@example.org"
    guest, support = town.guest(), await town.staff("support")
    await guest.add("MUG", 2)
    number = (ok(await guest.check_out(email=email), 202))["order_number"]
    await town.order_is(guest, number, "confirmed")
    assert (await guest.post("/admin/orders/search", {"email": email})).status_code == 401
    await town.until(support, f"/admin/orders/{number}", lambda body: body["order"]["status"] == "confirmed")
    found = ok(await support.post("/admin/orders/search", {"email": email.upper()}))
    assert [one["order_number"] for one in found["items"]] == [number]
    desk_path = f"/admin/orders/{number}"
    ok(await support.post(f"{desk_path}/notes", {"text": "Called about the colour."}), 201)
    ok(await support.post(f"{desk_path}/hold", {"reason": "Rings back."}))
    held = await town.until(support, desk_path, lambda body: body["held_because"] is not None and body["notes"])
    assert [one["text"] for one in held["notes"]] == ["Called about the colour."]
    shipment = await town.labelled(desk.staff, number)
    packing = await desk.staff.post(f"/shipments/{number}/parcels/{shipment['parcels'][0]['parcel']}/pack", {})
    assert packing.status_code == 409, packing.text
    assert (ok(await guest.get(f"/orders/{number}")))["held"] is None, "not for customers"
    assert (ok(await support.post(f"{desk_path}/release")))["held_because"] is None
    told = ok(await support.post(f"{desk_path}/messages", {"message": "order_created"}), 202)
    assert told["channel"] == "email"
    await town.until(
        support,
        f"/notifications?order={number}&kind=order_created",
        lambda body: [one["status"] for one in body["items"]] == ["sent", "sent"],
    )
    # A part of the money, never more than there is.
    part = {"amount": 300, "reason": "goodwill"}
    first = ok(await support.post(f"/payments/{number}/refunds", part, idempotency_key="sue"), 201)
    assert ok(await support.post(f"/payments/{number}/refunds", part, idempotency_key="sue"), 201) == first
    await town.until(guest, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 300)
    too_much = await support.post(f"/payments/{number}/refunds", {"amount": 999_999, "reason": "goodwill"})
    assert too_much.status_code in (409, 422), too_much.text
    # An order on the phone.
    call = {
        "email": email, "shipping_address": ADDRESS, "note": "On the phone",
        "lines": [{"sku": "TEA", "quantity": 10, "agreed_price": "2.995"}],
    }  # fmt: skip
    taken = ok(await support.post("/admin/orders", call), 202)
    assert taken["goods"]["amount"] == 2_995
    phone = taken["order_number"]
    await town.order_is(support, phone, "confirmed")
    course = ok(await support.get(f"/orders/{phone}/timeline"))
    actor = f"staff:{await town.customer_id(support)}"
    assert any(one.get("actor") == actor for one in course["entries"]), course
    # The first order arrives, and half of it shall go back.
    await desk.send(number)
    await town.order_is(guest, number, "fulfilled")
    wanted = {"lines": [{"line": 1, "quantity": 1, "reason": "chipped"}]}
    back = (ok(await guest.post(f"/orders/{number}/return-requests", wanted), 201))["return_id"]
    queue = "/admin/orders?queue=return_open"
    waiting = await town.until(support, queue, lambda body: body["items"])
    assert [one["order_number"] for one in waiting["items"]] == [number]
    decided = ok(
        await support.post(f"/orders/{number}/return-requests/{back}/decision", {"approved": False, "reason": "worn"})
    )
    assert decided["status"] == "refused"
    await town.until(support, queue, lambda body: not body["items"])


async def test_a_day_in_the_warehouse(town: House) -> None:
    guest, warehouse = town.guest(), await town.staff("warehouse")
    before = (ok(await warehouse.get("/inventory/levels?sku=TEA&warehouse=LON")))["items"][0]["on_hand"]
    came = {"sku": "TEA", "warehouse": "LON", "quantity": 24, "reference": "PO-7"}
    for _ in range(2):
        booked = ok(await warehouse.post("/inventory/receive", came, idempotency_key="PO-7"), 201)
    assert booked["on_hand"] == before + 24
    counted = {"sku": "TEA", "warehouse": "LON", "change": -1, "reason": "torn"}
    assert (ok(await warehouse.post("/inventory/adjust", counted), 201))["on_hand"] == before + 23
    await guest.add("TEA", 3)
    number = (ok(await guest.check_out(email="wendy@example.org"), 202))["order_number"]
    await town.order_is(guest, number, "confirmed")
    await town.labelled(warehouse, number)
    picking = ok(await warehouse.get("/shipments/picking?warehouse=LON"))
    assert next(one for one in picking["items"] if one["sku"] == "TEA")["quantity"] >= 3
    packing = ok(await warehouse.get("/shipments/packing?warehouse=LON"))
    [line] = [one for one in packing["items"] if one["order_number"] == number]
    way = f"/shipments/{number}/parcels/{line['parcel']}"
    slip = await warehouse.get(f"{way}/packing-slip")
    assert "Tea" in text(slip.content)
    assert (ok(await warehouse.get(f"{way}/label")))["label_url"] == line["label_url"]
    for step in ("pack", "ship"):
        ok(await warehouse.post(f"{way}/{step}", {}, idempotency_key=f"{number}-{step}"))
    shown = await town.order_is(guest, number, "shipped")
    assert shown["parcels"][0]["tracking_url"]
    ok(await warehouse.post(f"{way}/deliver", {}))
    await town.order_is(guest, number, "fulfilled")
    # Somebody brings one back to the counter; it is broken.
    back = {"lines": [{"line": 1, "quantity": 1}], "reason": "broken", "restock": False}
    taken = ok(await warehouse.post(f"/orders/{number}/returns", back), 201)
    assert taken["amount"]["amount"] == 350
    await town.until(guest, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 350)
    # An address that nobody can deliver to: the customer puts it right.
    other = town.guest()
    await other.add("MUG")
    lost = (ok(await other.check_out(email="rita@example.org", shipping_address={**ADDRESS, "name": "REFUSED"}), 202))[
        "order_number"
    ]

    def waits(body: Any) -> bool:
        return any(one["order_number"] == lost for one in body["items"])

    refused = await town.until(warehouse, "/shipments/refused", waits)
    assert "REFUSED" not in [one["reason"] for one in refused["items"]], "no address in reasons"
    ok(await warehouse.post(f"/shipments/{lost}/parcels/1/retry"))
    await town.until(warehouse, "/shipments/refused", waits)
    ok(await other.call("PUT", f"{API}/orders/{lost}/shipping-address", ELSEWHERE))
    await town.labelled(warehouse, lost)
    await town.until(warehouse, "/shipments/refused", lambda body: not waits(body))
    # None of this is the warehouse's.
    assert (await warehouse.get("/admin/settings")).status_code == 403
    assert (await warehouse.post(f"/payments/{number}/refunds", {"amount": 1, "reason": "goodwill"})).status_code == 403


async def test_an_administrator_sets_the_shop_up(town: House) -> None:
    desk = await Desk.of(town)
    admin = desk.staff
    # Staff by invitation.
    ok(await admin.post("/admin/invitations", {"email": "ivy@example.org", "roles": ["support"]}), 201)
    token = await desk.link("staff_invitation", "ivy@example.org")
    accept = {"token": token, "password": PASSWORD, "name": "Ivy"}
    ok(await town.guest().post("/account/invitations/accept", accept))
    ivy = await town.log_in("ivy@example.org")
    assert (await ivy.get("/admin/orders")).status_code == 200
    assert (await ivy.get("/admin/settings")).status_code == 403
    assert "Ivy" in [one["name"] for one in (await town.until(admin, "/admin/staff", _has("name", "Ivy")))["items"]]
    # Taxes and shipping hold from the next request on.
    before = ok(await admin.get("/admin/settings"))
    zone = {
        "code": "nordics", "name": "Nordics", "countries": ["NO"],
        "methods": [{
            "code": "boat", "name": "By boat", "min_days": 5, "max_days": 9,
            "rates": [{"currency": "GBP", "price": 1_234}],
        }],
    }  # fmt: skip
    changed = ok(
        await admin.call(
            "PATCH",
            f"{API}/admin/settings",
            {
                "zones": [*before["zones"], zone],
                "taxes": [*before["taxes"], {"country": "NO", "category": "standard", "rate": "25"}],
            },
        )
    )
    assert changed["changes"] == before["changes"] + 1
    guest = town.guest()
    await guest.add("POT")
    quote = ok(await guest.post("/checkout/quotes", {"country": "NO"}), 201)
    assert [(one["code"], one["shipping"]["amount"]) for one in quote["methods"]] == [("boat", 1_234)]
    assert quote["lines"][0]["tax_rate"] == "25"
    history = ok(await admin.get("/admin/settings/history"))
    assert history["items"][0]["actor"] == f"staff:{await town.customer_id(admin)}"
    # A code that one order may use.
    offer = {"name": "Once", "kind": "fixed", "amounts": [{"amount": 500, "currency": "GBP"}], "limit": 1}
    ok(await admin.post("/admin/promotions", {"code": "ONCE", "promotion": offer}), 201)
    # Another program is told of the order that uses it.
    with HttpTarget().serving() as target:
        hook = {"url": f"http://127.0.0.1:{target.port}/hook", "topics": ["ordering.OrderCreated"]}
        endpoint = (ok(await admin.post("/webhooks", hook), 201))["endpoint_id"]
        ok(await guest.post("/cart/coupons", {"code": "ONCE"}), 201)
        oslo = {
            "name": "Nora Dahl",
            "lines": ["Karl Johans gate 1"],
            "city": "Oslo",
            "postcode": "0154",
            "country": "NO",
        }
        placed = ok(await guest.check_out(shipping_address=oslo), 202)
        assert (placed["discount"]["amount"], placed["shipping_method"]) == (500, "boat")
        deliveries = f"/webhooks/{endpoint}/deliveries"
        told = await town.until(
            admin, deliveries, lambda body: body["items"] and body["items"][0]["status"] == "delivered"
        )
        assert len(told["items"]) == 1
        assert placed["order_number"] in target.requests[0][2].decode()
        ok(await admin.call("DELETE", f"{API}/webhooks/{endpoint}"), 204)
    late = town.guest()
    await late.add("POT")
    refused = await late.post("/cart/coupons", {"code": "ONCE"})
    if refused.status_code == 201:
        refused = await late.check_out()
    assert refused.status_code == 409, refused.text
    # How it does.
    assert (await town.client.get("/health/live")).json()["status"] == "ok"
    assert "emporium_http_request_seconds" in (await town.client.get("/metrics")).text
    assert (ok(await admin.get("/admin/orders/queues")))["queues"]["pending"] >= 0
    # Who is no staff any more is out at once.
    ivy_id = await town.customer_id(ivy)
    ok(await admin.call("PUT", f"{API}/admin/staff/{ivy_id}/roles", {"roles": ["customer"]}), 204)
    assert (await ivy.get("/admin/orders")).status_code == 401


def _has(name: str, value: str) -> Callable[[Any], bool]:
    return lambda body: any(one[name] == value for one in body["items"])
