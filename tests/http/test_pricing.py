"""What a cart comes to over HTTP: settings that hold at once in every gateway, quotes, coupons, and their limits."""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from emporium.application import bootstrap, carts
from emporium.application.erasure import erase
from emporium.domain import pricing
from emporium.domain.base import Money
from emporium.domain.order import OrderCreated
from emporium.domain.product import WEIGHT, ChangePrice, UpdateProduct, product_id_of
from emporium.domain.stock import STOCK, SetLowStockMark, stock_id_of
from emporium.infra.settings import Settings
from emporium.projections.paging import encode_cursor
from tests.http.client import ADDRESS, PASSWORD, STAFF, Caller, House
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pricing.md").read_text()
TENTH = {"name": "Ten off", "kind": "percentage", "percent": "10"}


@asynccontextmanager
async def another_gateway(settings: Settings) -> AsyncIterator[House]:
    """A second gateway with its own caches on the same databases."""
    async with (
        bootstrap.open_shop(settings) as shop,
        bootstrap.open_doors(shop) as doors,
        House.open(shop, doors) as house,
    ):
        yield house


async def promote(house: House, code: str, **promotion: Any) -> None:
    staff = await house.staff("catalog_manager")
    made = await staff.post("/admin/promotions", {"code": code, "promotion": {**TENTH, **promotion}})
    assert made.status_code == 201, made.text


async def patch(staff: Caller, **settings: Any) -> Any:
    answer = await staff.call("PATCH", "/api/v1/admin/settings", settings)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def quote(caller: Caller, country: str = "GB") -> Any:
    answer = await caller.post("/checkout/quotes", {"country": country})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def reprice(house: House, sku: str, pence: int) -> None:
    change = ChangePrice(product_id=product_id_of(sku), sku=sku, price=Money(pence, "GBP"))
    await house.shows("catalog", (await house.shop.execute(change, STAFF)).position, "catalog_pages")


async def created(house: House, number: str) -> OrderCreated:
    order_id = await house.shop.logs["ordering"].claimed("order_number", number.encode())
    assert order_id is not None
    [first, *_] = await house.shop.logs["ordering"].stream(order_id)
    assert isinstance(first.event, OrderCreated)
    return first.event


# --- settings --------------------------------------------------------------------------------------


async def test_a_fresh_shop_sells_at_once_and_says_what_is_tax(house: House) -> None:
    guest = house.guest()
    await guest.add("MUG", 2)
    placed = (await guest.check_out()).json()
    assert placed["goods"]["amount"] == 1_000
    assert (placed["shipping"]["amount"], placed["shipping_method"]) == (495, "standard")
    assert (placed["tax"]["amount"], placed["tax_inclusive"]) == (167 + 83, True)
    assert placed["total"]["amount"] == 1_495
    event = await created(house, placed["order_number"])
    assert event.agreement is not None and event.agreement.terms_version == "1"
    assert [line.tax_rate for line in event.lines] == ["20"]


async def test_settings_are_kept_with_who_changed_them(house: House) -> None:
    staff = await house.staff()
    before = (await staff.get("/admin/settings")).json()
    assert (before["changes"], before["zones"][0]["countries"]) == (0, ["*"])
    after = await patch(staff, legal_name="Emporium Ltd", vat_id="GB123456789", low_stock_mark=3)
    assert (after["legal_name"], after["vat_id"], after["low_stock_mark"]) == ("Emporium Ltd", "GB123456789", 3)
    assert (after["changes"], after["currencies"]) == (1, before["currencies"])
    await patch(staff, vat_id=None)
    history = (await staff.get("/admin/settings/history?limit=1")).json()
    rest = (await staff.get(history["next"].removeprefix("/api/v1"))).json()
    actor = f"staff:{await house.customer_id(staff)}"
    both = history["items"] + rest["items"]
    assert [one["actor"] for one in both] == [actor, actor]
    assert both[1]["changes"] == {"vat_id": None}
    assert rest["next"] is None


async def test_only_administrators_see_and_change_settings(house: House) -> None:
    for caller, status in ((house.guest(), 401), (await house.register(), 403), (await house.staff("support"), 403)):
        assert (await caller.get("/admin/settings")).status_code == status
        assert (await caller.call("PATCH", "/api/v1/admin/settings", {"max_units": 1})).status_code == status
        assert (await caller.get("/admin/settings/history")).status_code == status


async def test_settings_that_make_no_sense_are_refused_by_their_place(house: House) -> None:
    staff = await house.staff()
    twice = [{"country": "GB", "rate": "20"}, {"country": "GB", "rate": "19"}]
    for body, pointer in (
        ({"taxes": [{"country": "GB", "rate": "120"}]}, "/taxes/0/rate"),
        ({"taxes": twice}, "/taxes/1"),
        ({"currencies": []}, "/currencies"),
        ({"nonsense": 1}, "/nonsense"),
        ({"sender_address": {**ADDRESS, "country": "England"}}, "/sender_address/country"),
    ):
        refused = await staff.call("PATCH", "/api/v1/admin/settings", body)
        assert refused.status_code == 422, refused.text
        assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]


async def test_settings_hold_from_the_next_request_in_every_gateway(house: House, settings: Settings) -> None:
    async with another_gateway(settings) as other:
        # Both have sold before, and remember by which settings.
        for one in (house, other):
            guest = one.guest()
            await guest.add("MUG")
            assert (await guest.check_out()).json()["shipping"]["amount"] == 495
        staff = await house.staff()
        waiting = other.guest()
        await waiting.add("MUG")
        for fee in (100, 200, 300):
            rate = {"currency": "GBP", "price": fee}
            method = {"code": "post", "name": "Post", "min_days": 1, "max_days": 2, "rates": [rate]}
            await patch(staff, zones=[{"code": "all", "name": "All", "countries": ["*"], "methods": [method]}])
            assert (await quote(waiting))["methods"][0]["shipping"]["amount"] == fee
            guest = other.guest()
            await guest.add("MUG")
            assert (await guest.check_out()).json()["shipping"]["amount"] == fee
            shown = (
                await Caller(other.client, staff.headers["authorization"].split()[1]).get("/admin/settings")
            ).json()
            assert shown["zones"][0]["methods"][0]["rates"][0]["price"] == fee


async def test_a_limit_of_units_holds_in_the_cart_and_at_checkout(house: House) -> None:
    staff = await house.staff()
    guest = house.guest()
    await guest.add("MUG", 6)
    await patch(staff, max_units=5)
    refused = await guest.check_out()
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/too_many_units")
    await patch(staff, max_units=6)
    assert (await guest.check_out()).status_code == 202
    await patch(staff, max_units=5)
    house.shop.terms._at = float("-inf")  # a second later
    refused = await house.guest().add("MUG", 6)
    assert refused.json()["values"] == {"sku": "MUG", "most": 5, "quantity": 6}
    await patch(staff, max_units=7)
    assert (await house.guest().add("MUG", 6)).status_code == 201


async def test_where_nothing_is_sent_to_nothing_is_sold(house: House) -> None:
    staff = await house.staff()
    rates = [
        {"currency": "GBP", "price": 300, "below_weight": 1_000},
        {"currency": "GBP", "price": 900, "from_weight": 1_000, "below_weight": 5_000},
    ]
    method = {"code": "post", "name": "Post", "min_days": 1, "max_days": 2, "rates": rates}
    await patch(staff, zones=[{"code": "home", "name": "Home", "countries": ["GB"], "methods": [method]}])
    heavy = UpdateProduct(product_id=product_id_of("POT"), attributes={WEIGHT: 400})
    await house.shows("catalog", (await house.shop.execute(heavy, STAFF)).position, "catalog_pages")
    guest = house.guest()
    found = []
    for units in (2, 1, 10):
        await guest.add("POT", units)
        answer = await guest.post("/checkout/quotes", {"country": "GB"})
        found.append(answer.json()["methods"][0]["shipping"]["amount"] if answer.status_code == 201 else answer.json())
    assert found[:2] == [300, 900]
    assert found[2]["type"] == "/problems/no_shipping_there"
    refused = await guest.post("/checkout/quotes", {"country": "FR"})
    assert (refused.status_code, refused.json()["values"]) == (409, {"country": "FR", "currency": "GBP"})


# --- quotes ----------------------------------------------------------------------------------------


async def test_tax_is_added_where_prices_do_not_contain_it(house: House) -> None:
    staff = await house.staff()
    await patch(staff, prices_include_tax=False, taxes=[{"country": "GB", "rate": "20"}])
    guest = house.guest()
    await guest.add("TEA", 1)
    quoted = await quote(guest)
    assert quoted["lines"][0]["tax"]["amount"] == 70
    placed = (await guest.check_out(quote_id=quoted["quote_id"])).json()
    assert (placed["tax"]["amount"], placed["total"]["amount"]) == (70 + 99, 350 + 495 + 169)
    assert placed["total"] == quoted["methods"][0]["total"]
    event = await created(house, placed["order_number"])
    assert event.agreement is not None and str(event.agreement.quote_id) == quoted["quote_id"]
    assert event.total.amount == 1_014


async def test_a_quote_offers_every_method_with_its_days_and_the_chosen_one_is_charged(house: House) -> None:
    customer = await house.register()
    await customer.add("MUG", 2)
    quoted = await quote(customer)
    assert [(one["code"], one["shipping"]["amount"], one["total"]["amount"]) for one in quoted["methods"]] == [
        ("standard", 495, 1_495),
        ("express", 1_195, 2_195),
    ]
    assert all(one["earliest"] <= one["latest"] for one in quoted["methods"])
    shown = await customer.get(f"/checkout/quotes/{quoted['quote_id']}")
    assert shown.json() == quoted
    assert (await house.guest().get(f"/checkout/quotes/{quoted['quote_id']}")).status_code == 404
    placed = await customer.check_out(quote_id=quoted["quote_id"], shipping_method="express")
    assert placed.json()["total"] == quoted["methods"][1]["total"]
    unknown = await house.register()
    await unknown.add("MUG")
    refused = await unknown.check_out(shipping_method="balloon")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/no_such_shipping_method")


async def test_what_changed_since_the_quote_is_told_and_nothing_is_ordered(house: House) -> None:
    guest = house.guest()
    await guest.add("MUG", 2)
    quoted = await quote(guest)
    await reprice(house, "MUG", 650)
    refused = await guest.check_out(quote_id=quoted["quote_id"])
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/quote_changed")
    differences = {one["what"]: (one["was"], one["now"]) for one in refused.json()["values"]["differences"]}
    assert differences == {
        "MUG unit_price": (500, 650),
        "MUG tax": (167, 217),
        "tax": (250, 300),
        "total": (1_495, 1_795),
    }
    assert (await guest.get("/cart")).json()["units"] == 2
    again = await quote(guest)
    assert (await guest.check_out(quote_id=again["quote_id"])).json()["total"]["amount"] == 1_795


async def test_a_quote_is_for_its_cart_its_country_and_its_time(house: House) -> None:
    guest = house.guest()
    await guest.add("MUG", 2)
    quoted = (await quote(guest, "DE"))["quote_id"]
    refused = (await guest.check_out(quote_id=quoted)).json()
    assert {"what": "country", "was": "DE", "now": "GB"} in refused["values"]["differences"]
    stranger = house.guest()
    await stranger.add("MUG", 2)
    assert (await stranger.check_out(quote_id=quoted)).json()["type"] == "/problems/no_such_quote"
    await guest.add("MUG", 1)
    refused = (await guest.check_out(quote_id=quoted)).json()
    assert {"what": "MUG quantity", "was": 2, "now": 3} in refused["values"]["differences"]
    async with later(house, timedelta(minutes=31)):
        refused = (await guest.check_out(quote_id=quoted)).json()
    assert refused["type"] == "/problems/quote_expired"


@asynccontextmanager
async def later(house: House, by: timedelta) -> AsyncIterator[None]:
    """The shop's clock goes ahead."""
    clock = house.shop.clock
    real = type(clock).now
    try:
        type(clock).now = lambda self: real(self) + by  # type: ignore[method-assign]
        yield
    finally:
        type(clock).now = real  # type: ignore[method-assign]


async def test_terms_that_were_read_must_be_the_terms_of_now(house: House) -> None:
    staff = await house.staff()
    guest = house.guest()
    await guest.add("MUG")
    await patch(staff, terms_version="2")
    refused = await guest.check_out(terms_version="1")
    assert (refused.status_code, refused.json()["values"]) == (409, {"given": "1", "now": "2"})
    placed = await guest.check_out(terms_version="2", language="de")
    event = await created(house, placed.json()["order_number"])
    assert event.agreement is not None
    assert (event.agreement.terms_version, event.agreement.language) == ("2", "de")


# --- the cart --------------------------------------------------------------------------------------


async def test_the_cart_tells_what_changed_since_an_item_was_added(house: House) -> None:
    guest = house.guest()
    for sku, units in (("MUG", 5), ("TEA", 60), ("POT", 10)):
        await guest.add(sku, units)
    await reprice(house, "MUG", 400)
    await reprice(house, "POT", 2_500)
    await house.adjust("TEA", -70)
    await house.adjust("POT", -100)
    items = (await guest.get("/cart")).json()["items"]
    assert {one["sku"]: (one["changes"], one["obtainable"]) for one in items} == {
        "MUG": (["price_fell"], 5),
        "TEA": (["fewer_available"], 30),
        "POT": (["price_rose", "sold_out"], 0),
    }


async def test_note_and_language_go_with_the_cart_into_the_account_and_with_the_order(house: House) -> None:
    await house.register("ada@example.org")
    guest = house.guest()
    await guest.add("MUG")
    changed = await guest.call("PATCH", "/api/v1/cart", {"note": " Ring twice ", "language": "de"})
    assert (changed.json()["note"], changed.json()["language"]) == ("Ring twice", "de")
    await promote(house, "TENTH")
    await guest.post("/cart/coupons", {"code": "tenth"})
    answer = await guest.post("/account/login", {"email": "ada@example.org", "password": PASSWORD})
    customer = Caller(house.client, answer.json()["token"])
    cart = (await customer.get("/cart")).json()
    assert (cart["note"], cart["language"]) == ("Ring twice", "de")
    assert [one["code"] for one in cart["coupons"]] == ["TENTH"]
    event = await created(house, (await customer.check_out()).json()["order_number"])
    assert event.note is not None and b"Ring" not in msgspec.json.encode(event)
    await house.shop.vault.load_keys([event.subject])
    assert house.shop.vault.unseal(event.note, event.order_id, "note") == "Ring twice"
    assert event.agreement is not None and event.agreement.language == "de"
    after = (await customer.get("/cart")).json()
    assert (after["note"], after["coupons"]) == (None, [])
    cleared = await customer.call("PATCH", "/api/v1/cart", {"note": None, "language": "xx"})
    assert cleared.json()["type"] == "/problems/language_unknown"


async def test_a_guest_s_note_is_sealed_for_the_order(house: House) -> None:
    guest = house.guest()
    await guest.add("MUG")
    await guest.call("PATCH", "/api/v1/cart", {"note": "For Charles"})
    event = await created(house, (await guest.check_out()).json()["order_number"])
    assert event.note is not None and event.note.subject == event.order_id
    await house.shop.vault.load_keys([event.subject])
    assert house.shop.vault.unseal(event.note, event.order_id, "note") == "For Charles"


# --- coupons ---------------------------------------------------------------------------------------


async def test_promotions_are_made_changed_and_ended_by_staff(house: House) -> None:
    staff = await house.staff("catalog_manager")
    body = {"code": "welcome", "promotion": {**TENTH, "limit": 5, "minimum": [{"amount": 1, "currency": "GBP"}]}}
    made = await staff.post("/admin/promotions", body, idempotency_key="p")
    assert (made.status_code, made.headers["location"]) == (201, "/api/v1/admin/promotions/WELCOME")
    assert (await staff.post("/admin/promotions", body, idempotency_key="p")).content == made.content
    assert (await staff.post("/admin/promotions", body)).json()["type"] == "/problems/promotion_exists"
    path = "/api/v1/admin/promotions/welcome"
    changed = await staff.call("PUT", path, {**TENTH, "percent": "12.5"})
    assert (changed.json()["percent"], changed.json()["limit"]) == ("12.5", None)
    ended = await staff.call("DELETE", path)
    assert ended.json()["ended"] is True
    assert (await staff.get("/admin/promotions/WELCOME")).json() == ended.json()
    await staff.post("/admin/promotions", {"code": "AUTUMN", "promotion": TENTH})
    page = (await staff.get("/admin/promotions?limit=1")).json()
    rest = (await staff.get(page["next"].removeprefix("/api/v1"))).json()
    assert [one["code"] for one in page["items"] + rest["items"]] == ["AUTUMN", "WELCOME"]
    assert (await staff.get("/admin/promotions/NOPE")).status_code == 404
    assert (await (await house.register()).get("/admin/promotions")).status_code == 403
    wrong = await staff.post("/admin/promotions", {"code": "X", "promotion": {**TENTH, "kind": "fixed"}})
    assert wrong.json()["type"] == "/problems/promotion_wrong"


async def test_a_code_takes_off_what_it_says_and_says_when_it_does_not(house: House) -> None:
    await promote(house, "TENTH", minimum=[{"amount": 1_000, "currency": "GBP"}])
    await promote(house, "POST", name="Post for nothing", kind="free_shipping", percent=None)
    guest = house.guest()
    await guest.add("MUG", 1)
    unknown = await guest.post("/cart/coupons", {"code": "NOPE"})
    assert (unknown.status_code, unknown.json()["type"]) == (422, "/problems/coupon_unknown")
    for code in ("TENTH", "post"):
        assert (await guest.post("/cart/coupons", {"code": code})).status_code == 201
    cart = (await guest.get("/cart")).json()
    assert [(one["code"], one["applies"], one["why"]) for one in cart["coupons"]] == [
        ("TENTH", False, "minimum_not_reached"),
        ("POST", True, None),
    ]
    assert cart["free_shipping"] is True
    refused = await guest.check_out()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/coupon_not_applicable")
    await guest.add("MUG", 1)
    quoted = await quote(guest)
    assert (quoted["discount"]["amount"], quoted["methods"][0]["shipping_discount"]["amount"]) == (100, 495)
    placed = (await guest.check_out(quote_id=quoted["quote_id"])).json()
    assert (placed["goods"]["amount"], placed["discount"]["amount"], placed["total"]["amount"]) == (1_000, 100, 900)
    event = await created(house, placed["order_number"])
    assert event.agreement is not None and event.agreement.coupons == ("TENTH", "POST")
    assert b"ada@" not in msgspec.json.encode(event)


async def test_codes_that_stand_alone_cannot_be_combined(house: House) -> None:
    await promote(house, "ALONE", combinable=False)
    await promote(house, "TENTH")
    guest = house.guest()
    await guest.add("MUG")
    await guest.post("/cart/coupons", {"code": "ALONE"})
    refused = await guest.post("/cart/coupons", {"code": "TENTH"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/coupon_not_combinable")
    left = await guest.call("DELETE", "/api/v1/cart/coupons/alone")
    assert left.json()["coupons"] == []
    assert (await guest.post("/cart/coupons", {"code": "TENTH"})).status_code == 201
    assert (await guest.call("DELETE", "/api/v1/cart/coupons/ALONE")).status_code == 404


async def test_of_twenty_at_once_on_the_last_use_one_wins(house: House, settings: Settings) -> None:
    await promote(house, "LAST", limit=1)
    async with another_gateway(settings) as other:
        buyers = [one.guest() for one in (house, other) for _ in range(10)]
        for buyer in buyers:
            await buyer.add("TEA")
            await buyer.post("/cart/coupons", {"code": "LAST"})
        answers = await asyncio.gather(
            *(
                buyer.check_out(email=f"buyer{number}@example.org", idempotency_key=f"k{number}")
                for number, buyer in enumerate(buyers)
            )
        )
    assert sorted(one.status_code for one in answers) == [202] + [409] * 19
    assert {one.json()["type"] for one in answers if one.status_code == 409} == {"/problems/coupon_used_up"}
    loser = next(buyer for buyer, one in zip(buyers, answers, strict=True) if one.status_code == 409)
    if loser.client is not house.client:
        loser.client = house.client
    await loser.call("DELETE", "/api/v1/cart/coupons/LAST")
    assert (await loser.check_out()).status_code == 202


async def test_a_customer_uses_a_code_as_often_as_one_may(house: House) -> None:
    await promote(house, "ONCE", per_customer=1)
    customer = await house.register()
    for caller, email, wanted in (
        (customer, None, 202),
        (customer, None, 409),
        (house.guest(), "bob@example.org", 202),
        (house.guest(), "Bob@Example.org", 409),
        (house.guest(), "eve@example.org", 202),
    ):
        await caller.add("TEA")
        await caller.post("/cart/coupons", {"code": "ONCE"})
        answer = await caller.check_out(email=email)
        assert answer.status_code == wanted, answer.text
    assert answer.json()["discount"]["amount"] == 35
    await promote(house, "OTHER")
    staff = await house.staff("catalog_manager")
    listed = (await staff.get("/admin/promotions")).json()["items"]
    assert {one["code"]: one["uses"] for one in listed} == {"ONCE": 3, "OTHER": 0}
    assert (await staff.get("/admin/promotions/once")).json()["uses"] == 3
    # What an event says of a guest leads to nobody once the address is erased.
    agreed = [one.agreement for one in await house.events("ordering", OrderCreated)]
    [mine, bobs, eves] = [UUID(one.coupon_holder) for one in agreed if one is not None and one.coupon_holder]
    assert mine == await house.customer_id(customer)
    log, address = house.shop.logs["ordering"], house.shop.vault.fingerprint("coupon", "bob@example.org")
    assert await log.claimed("coupon holders", address) == bobs != eves
    assert bobs.version == 4 and bobs.bytes not in address
    bob = await house.verified("bob@example.org")
    services, who = house.services, await house.customer_id(bob)
    await erase(house.shop, services.sessions, services.traces, customer_id=who, reason="asked for", cause=STAFF)
    assert await log.claimed("coupon holders", address) is None


@pytest.fixture
async def selling(settings: Settings, folder: Path) -> AsyncIterator[House]:
    """A gateway with its whole saga; parcels wait for people."""
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        there = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
        async with running(there, saga=True) as house:
            yield house


async def test_an_order_that_fails_or_is_cancelled_gives_its_use_back(selling: House) -> None:
    house = selling
    await promote(house, "LAST", limit=1, per_customer=1)
    customer = await house.register()
    await customer.add("MUG")
    await customer.post("/cart/coupons", {"code": "LAST"})
    await customer.call("PATCH", "/api/v1/cart", {"note": "Ring twice"})
    failed = (await customer.check_out(payment_method="pm_declined")).json()["order_number"]
    await house.order_is(customer, failed, "failed")
    cart = (await customer.get("/cart")).json()
    assert ([one["code"] for one in cart["coupons"]], cart["note"], cart["units"]) == (["LAST"], "Ring twice", 1)
    second = await customer.check_out()
    assert second.status_code == 202, second.text
    number = second.json()["order_number"]
    await house.order_is(customer, number, "confirmed")
    other = await house.register()
    await other.add("MUG")
    await other.post("/cart/coupons", {"code": "LAST"})
    assert (await other.check_out()).json()["type"] == "/problems/coupon_used_up"
    staff = await house.staff("catalog_manager")
    assert (await staff.get("/admin/promotions/LAST")).json()["uses"] == 1
    await customer.post(f"/orders/{number}/cancel", {})
    await house.order_is(customer, number, "cancelled")
    assert (await staff.get("/admin/promotions/LAST")).json()["uses"] == 0
    assert (await other.check_out()).status_code == 202


async def test_the_order_shows_what_was_agreed(house: House) -> None:
    await promote(house, "TENTH")
    customer = await house.register()
    await customer.add("MUG", 2)
    await customer.post("/cart/coupons", {"code": "TENTH"})
    await customer.call("PATCH", "/api/v1/cart", {"note": "Ring twice"})
    number = (await customer.check_out()).json()["order_number"]
    order = (await customer.get(f"/orders/{number}")).json()
    assert [(one["total"]["amount"], one["discount"]["amount"], one["tax"]["amount"], one["tax_rate"])
            for one in order["lines"]] == [(1_000, 100, 150, "20")]  # fmt: skip
    amounts = {name: order[name]["amount"] for name in ("goods", "discount", "shipping", "tax", "total")}
    assert amounts == {"goods": 1_000, "discount": 100, "shipping": 495, "tax": 233, "total": 1_395}
    assert (order["coupons"], order["shipping_method"], order["note"]) == (["TENTH"], "standard", "Ring twice")
    [listed] = (await customer.get("/orders")).json()["items"]
    assert (listed["discount"]["amount"], listed["tax"]["amount"], listed["total"]["amount"]) == (100, 233, 1_395)


async def test_a_stock_without_a_mark_of_its_own_follows_the_shop_s(house: House) -> None:
    staff = await house.staff()

    async def mark_of(sku: str, received: int) -> int | None:
        got = await staff.post("/inventory/receive", {"sku": sku, "warehouse": "LON", "quantity": received})
        assert got.status_code == 201
        state, _ = await house.shop.logs["inventory"].load(STOCK, stock_id_of(sku, "LON"), fresh=True)
        assert state is not None
        return state.mark

    assert await mark_of("MUG", 1) is None
    await house.shop.execute(SetLowStockMark(sku="TEA", warehouse="LON", mark=7), STAFF)
    for mark in (5, 9):
        await patch(staff, low_stock_mark=mark)
        assert (await mark_of("MUG", 1), await mark_of("TEA", 1)) == (mark, 7)


async def test_an_order_that_costs_nothing_is_delivered_like_any_other(selling: House) -> None:
    await promote(selling, "GIFT", percent="100")
    await promote(selling, "POST", kind="free_shipping", percent=None)
    customer = await selling.register()
    await customer.add("MUG")
    for code in ("GIFT", "POST"):
        await customer.post("/cart/coupons", {"code": code})
    placed = (await customer.check_out()).json()
    assert (placed["total"]["amount"], placed["tax"]["amount"]) == (0, 0)
    await selling.order_is(customer, placed["order_number"], "confirmed")


async def test_a_cursor_of_another_list_is_refused(house: House) -> None:
    staff = await house.staff()
    for key in ((0,), (2**63,), ("x",)):
        for path in ("/admin/settings/history", "/admin/promotions"):
            answer = await staff.get(f"{path}?cursor={encode_cursor(*key)}")
            wanted = 200 if path.endswith("promotions") and key == ("x",) else 400
            assert answer.status_code == wanted, answer.text


async def test_what_the_page_on_prices_shows_can_be_done(house: House) -> None:
    shown = re.findall(r"curl -X (\w+) \$shop(/admin/\S+) .*? -d '(.*?)'", PAGE, re.DOTALL)
    assert len(shown) == 2
    staff = await house.staff()
    for method, path, body in shown:
        answer = await staff.call(method, f"/api/v1{path}", json.loads(body))
        assert answer.status_code in (200, 201), answer.text
    guest = house.guest()
    await guest.add("POT", 1)
    assert (await guest.post("/cart/coupons", {"code": "WELCOME"})).status_code == 201
    quoted = await quote(guest)
    assert (quoted["discount"]["amount"], quoted["methods"][0]["shipping"]["amount"]) == (200, 395)
    for why in re.findall(r"`(\w+)`", PAGE.split("takes\nnothing off:")[1].split("\n\n")[0]):
        assert why in " ".join(map(inspect.getsource, (pricing.why_not, carts)))
