"""What customers see of the catalogue: lists with filters and facets, pages in languages, of the past, and moved."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from emporium.application import bootstrap
from emporium.application.together import end
from emporium.infra.settings import Settings
from tests.http.client import API, STAFF, Caller, House
from tests.http.conftest import running
from tests.http.test_authorization import edge_of
from tests.integration.search.test_indexer import review_of


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[House]:
    """A shop whose scheduled prices come at their time."""
    async with running(settings) as house:
        keeper = asyncio.create_task(bootstrap.catalog_keeper(house.opened, name="test").run())
        try:
            yield house
        finally:
            await end([keeper])


async def put(staff: Caller, title: str, sku: str, pence: int, **more: Any) -> dict[str, Any]:
    body = {
        "title": title,
        "variants": [{"sku": sku, "prices": [{"amount": pence, "currency": "GBP"}]}],
        "publish": True,
        **more,
    }
    answer = await staff.post("/admin/products", body)
    assert answer.status_code == 201, answer.text
    record: dict[str, Any] = answer.json()
    return record


async def change(staff: Caller, record: dict[str, Any], **fields: Any) -> None:
    path = f"{API}/admin/products/{record['product_id']}"
    answer = await staff.call("PATCH", path, fields, if_match="*")
    assert answer.status_code == 200, answer.text


async def seen(staff: Caller, guest: Caller, path: str, **headers: str) -> Any:
    """What a guest sees of what staff have written."""
    guest.headers["consistency-token"] = staff.headers["consistency-token"]
    answer = await guest.get(path, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_lists_narrow_and_facets_say_how_far(house: House) -> None:
    staff, guest = await house.staff("catalog_manager"), house.guest()
    lamps = (await staff.post("/admin/categories", {"name": "Lamps"})).json()["category_id"]
    desk = (await staff.post("/admin/categories", {"name": "Desk lamps", "parent": lamps})).json()["category_id"]
    ids: dict[str, str] = {}
    for title, sku, pence, brand, category, colour, watts in (
        ("Arc", "ARC", 9_000, "Lux", lamps, "black", 60),
        ("Bow", "BOW", 4_000, "Lux", desk, "white", 20),
        ("Cup", "CUP", 3_000, "Zeta", desk, "black", 10),
    ):
        said = {"colour": colour, "watts": watts}
        record = await put(staff, title, sku, pence, brand=brand, category_id=category, attributes=said)
        ids[sku] = record["product_id"]
    await house.receive("BOW", 3)

    async def titles(query: str) -> list[str]:
        body = await seen(staff, guest, f"/products?category=lamps&{query}")
        return [one["title"] for one in body["items"]]

    assert await titles("") == ["Arc", "Bow", "Cup"]
    assert await titles("sort=price_desc") == ["Arc", "Bow", "Cup"]
    assert await titles("attribute=colour:black&price_to=5000") == ["Cup"]
    assert await titles("attribute=colour:black&attribute=colour:white&between=watts:15..") == ["Arc", "Bow"]
    assert await titles("available=true") == ["Bow"]
    assert await titles("brand=Zeta&brand=Nobody") == ["Cup"]
    first = await seen(staff, guest, "/products?category=lamps&sort=price_desc&limit=2")
    assert [one["title"] for one in (await guest.get(first["next"].removeprefix(API))).json()["items"]] == ["Cup"]
    body = await seen(staff, guest, "/products?category=lamps&attribute=colour:black&brand=Lux&facets=true")
    facets = {one["name"]: {each["value"]: each["count"] for each in one["buckets"]} for one in body["facets"]}
    # Each facet counts what it would give, whatever is chosen of itself.
    assert facets["brand"] == {"Lux": 1, "Zeta": 1}
    assert facets["attribute.colour"] == {"black": 1, "white": 1}
    assert facets["available"] == {"false": 1} and facets["category"] == {lamps: 1}
    assert facets["price"] == {"9000": 1} and facets["number.watts"] == {"60": 1}
    for _ in range(4):
        await house.shop.execute(review_of(UUID(ids["BOW"])), STAFF)
    await house.shop.execute(review_of(UUID(ids["ARC"]), 1), STAFF)
    await house.shows("reviews", await house.shop.logs["reviews"].head(), "reviews")
    assert await titles("rating_from=3.5") == ["Bow"]
    assert await titles("rating_from=0.5") == ["Arc", "Bow"]
    query = "rating_from=3&between=watts:15..&price_to=8000&available=true&facets=true"
    body = await seen(staff, guest, f"/products?category=lamps&{query}")
    facets = {one["name"]: [(each["value"], each["count"]) for each in one["buckets"]] for one in body["facets"]}
    assert facets["rating"] == [("4", 1), ("3", 1), ("2", 1), ("1", 1)]
    assert facets["number.watts"] == [("20", 1), ("20", 1)]
    assert facets["price"] == [("4000", 1), ("4000", 1)]
    body = await seen(staff, guest, "/products?category=lamps&between=watts:15..&price_from=8000&facets=true")
    facets = {one["name"]: [(each["value"], each["count"]) for each in one["buckets"]] for one in body["facets"]}
    # Of a number, and of the price, too, others can still be chosen.
    assert facets["number.watts"] == [("60", 1), ("60", 1)]
    assert facets["price"] == [("4000", 2), ("9000", 2)]
    assert (await guest.get("/products?rating_from=6")).status_code == 400
    brands = await seen(staff, guest, "/products/brands")
    assert brands["items"] == [{"value": "Lux", "count": 2}, {"value": "Zeta", "count": 1}]
    wrong = await guest.get("/products?attribute=black")
    assert wrong.status_code == 400


async def test_old_addresses_lead_to_the_new_ones(house: House) -> None:
    staff, guest = await house.staff("catalog_manager"), house.guest()
    lamps = (await staff.post("/admin/categories", {"name": "Lamps"})).json()["category_id"]
    record = await put(staff, "Arc", "ARC", 9_000, category_id=lamps)
    await change(staff, record, slug="great-arc")
    await staff.call("PATCH", f"{API}/admin/categories/{lamps}", {"name": "Lights", "slug": "lights"})
    rule = {"kind": "number", "unit": "W"}
    await staff.call("PUT", f"{API}/admin/categories/{lamps}/attributes/watts", rule)
    assert (await seen(staff, guest, "/products/great-arc"))["path"][0]["slug"] == "lights"
    moved = await guest.get("/products/arc?currency=GBP")
    assert (moved.status_code, moved.headers["location"]) == (301, f"{API}/products/great-arc?currency=GBP")
    moved = await guest.get("/products/categories/lamps")
    assert (moved.status_code, moved.headers["location"]) == (301, f"{API}/products/categories/lights")
    shown = await seen(staff, guest, "/products/categories/lights")
    assert shown["attributes"] == [{"name": "watts", "kind": "number", "unit": "W", "choices": []}]
    assert [one["title"] for one in (await guest.get("/products?category=lamps")).json()["items"]] == ["Arc"]
    await change(staff, record, slug="arc")
    assert (await seen(staff, guest, "/products/arc"))["title"] == "Arc"
    assert (await guest.get("/products/nowhere")).status_code == 404


async def test_a_page_is_told_in_the_readers_language_and_safely(house: House) -> None:
    staff, guest = await house.staff("catalog_manager"), house.guest()
    other = await put(staff, "Bulb", "BULB", 300)
    text = "**Bright** [shop](javascript:alert(1)) <script>alert(1)</script>\n\n- one\n- [two](https://example.org)"
    german = {"de": {"title": "Lampe", "description": "*Hell*"}}
    await put(staff, "Lamp", "LAMP", 900, description=text, related=[other["product_id"]], translations=german)
    await house.receive("LAMP", 3)
    page = await seen(staff, guest, "/products/lamp")
    assert "<strong>Bright</strong>" in page["description_html"] and "<li>one</li>" in page["description_html"]
    assert "<script" not in page["description_html"] and 'href="javascript' not in page["description_html"]
    assert 'rel="nofollow noopener noreferrer"' in page["description_html"]
    assert [one["title"] for one in page["related"]] == ["Bulb"]
    assert (page["variants"][0]["note"], page["variants"][0]["stock"]) == ("3 left", "few")
    assert (await seen(staff, guest, "/products/bulb"))["variants"][0]["note"] == "Sold out"
    page = await seen(staff, guest, "/products/lamp", accept_language="fr, de-AT;q=0.9, en;q=0.1")
    assert (page["title"], page["language"], page["description_html"]) == ("Lampe", "de", "<p><em>Hell</em></p>\n")
    assert (await seen(staff, guest, "/products/lamp?language=fr"))["title"] == "Lamp"
    bad = await staff.post("/admin/products", {"title": "X", "translations": {"de": {"title": " "}}})
    assert bad.status_code == 422 and bad.json()["errors"][0]["pointer"] == "/translations/de/title"
    bad = await staff.post("/admin/products", {"title": "X", "related": ["6f1d3f0e-5b0a-5c55-9d0e-7f6e7a3f2c11"]})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/related")


async def test_a_page_is_shown_as_it_was(house: House) -> None:
    staff, guest = await house.staff("catalog_manager"), house.guest()
    before = datetime.now(UTC)
    record = await put(staff, "Lamp", "LAMP", 900)
    then = datetime.now(UTC)
    await change(staff, record, title="Great lamp", slug="great-lamp")
    path = f"{API}/admin/products/{record['product_id']}"
    await staff.call("PUT", f"{path}/variants/LAMP/prices/GBP", {"amount": 1_200})
    now = await seen(staff, guest, "/products/great-lamp")
    assert (now["title"], now["variants"][0]["price"]["amount"], now["as_of"]) == ("Great lamp", 1_200, None)
    moment = then.isoformat().replace("+00:00", "Z")
    past = await seen(staff, guest, f"/products/great-lamp?as_of={moment}")
    assert (past["title"], past["slug"], past["variants"][0]["price"]["amount"]) == ("Lamp", "lamp", 900)
    assert past["variants"][0]["note"] is None
    early = before.isoformat().replace("+00:00", "Z")
    assert (await guest.get(f"/products/great-lamp?as_of={early}")).status_code == 404
    zoneless = await guest.get("/products/great-lamp?as_of=2026-01-01T00:00:00")
    assert (zoneless.status_code, zoneless.json()["errors"][0]["parameter"]) == (400, "as_of")
    prices = await seen(staff, guest, "/products/great-lamp/prices")
    assert [(one["amount"], one["previous"]) for one in prices["items"]] == [(1_200, 900), (900, None)]


async def test_pages_are_kept_while_nothing_moves_and_never_longer(house: House) -> None:
    staff, guest, other = await house.staff("catalog_manager"), house.guest(), house.guest()
    record = await put(staff, "Lamp", "LAMP", 900)
    first = await seen(staff, guest, "/products/lamp")
    answers = edge_of(house.client)._kept
    key = (f"{API}/products/lamp", b"", None)
    kept = answers.get(key, house.services)
    assert kept is not None and msgspec.json.decode(kept.body) == first
    tag = kept.tag.decode()
    assert (await guest.get("/products/lamp", if_none_match=tag)).status_code == 304
    # What is kept is what is given: at the edge, and to who goes the whole way for another reason.
    answers.put(key, msgspec.structs.replace(kept, body=b'{"kept":true}'))
    for asked in ({}, {"origin": "https://elsewhere.example"}):
        answer = await other.get("/products/lamp", **asked)
        assert answer.json() == {"kept": True}
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-request-id"]
    head = await other.call("HEAD", f"{API}/products/lamp")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "13")
    assert answers.get((f"{API}/products/lamp", b"", b"de"), house.services) is None
    # Not beyond the day, nor under other settings than it was made with.
    assert kept.settings is not None and kept.holds(house.services)
    for other_time in (
        msgspec.structs.replace(kept, today=kept.today - timedelta(days=1)),
        msgspec.structs.replace(kept, settings=msgspec.structs.replace(kept.settings)),
    ):
        answers.put(key, other_time)
        assert answers.get(key, house.services) is None
    path = f"{API}/admin/products/{record['product_id']}/variants/LAMP/prices/GBP"
    for pence in (800, 700, 600):
        await staff.call("PUT", path, {"amount": pence})
        assert (await seen(staff, guest, "/products/lamp"))["variants"][0]["price"]["amount"] == pence
    await staff.call("PUT", path, {"amount": 500})
    # By itself, for there is no other reader who brings a token.
    await house.until(other, "/products/lamp", lambda page: page["variants"][0]["price"]["amount"] == 500)


async def test_a_sale_comes_and_goes_at_its_time(shop: House) -> None:
    staff, guest = await shop.staff("catalog_manager"), shop.guest()
    record = await put(staff, "Lamp", "LAMP", 900)
    path = f"/admin/products/{record['product_id']}"
    now = datetime.now(UTC)
    body = {
        "sku": "LAMP",
        "price": {"amount": 700, "currency": "GBP"},
        "starts_at": now.isoformat(),
        "ends_at": (now + timedelta(seconds=2.5)).isoformat(),
    }
    made = await staff.post(f"{path}/price-schedules", body, idempotency_key="sale")
    assert made.status_code == 201, made.text
    assert (await staff.post(f"{path}/price-schedules", body, idempotency_key="sale")).json() == made.json()

    def costs(amount: int) -> Any:
        return lambda page: page["variants"][0]["price"]["amount"] == amount

    page = await shop.until(guest, "/products/lamp", costs(700))
    assert page["variants"][0]["regular"]["amount"] == 900
    # Changed meanwhile: the sale's price stays, the new one comes after it.
    put_price = await staff.call("PUT", f"{API}{path}/variants/LAMP/prices/GBP", {"amount": 950})
    assert put_price.json()["variants"][0]["prices"] == [{"amount": 700, "currency": "GBP"}]
    await shop.until(guest, "/products/lamp", costs(950))
    later = {
        **body,
        "starts_at": (now + timedelta(days=1)).isoformat(),
        "ends_at": (now + timedelta(days=2)).isoformat(),
    }
    to_come = (await staff.post(f"{path}/price-schedules", later)).json()["schedule_id"]
    gone = await staff.call("DELETE", f"{API}{path}/price-schedules/{to_come}")
    assert gone.status_code == 200 and gone.json()["schedules"] == []
    actors = {one["actor"] for one in (await staff.get(f"{path}/history?limit=100")).json()["items"]}
    assert "system:timer.price_begins" in actors
