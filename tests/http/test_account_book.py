"""The address book, saved payment methods and preferences, by the routes alone."""

import asyncio
from typing import Any

import pytest

from tests.http.client import API, Caller, House

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOME = {
    "name": "Ada King",
    "lines": ["12 St James's Square"],
    "city": "London",
    "postcode": "sw1y 4jh",
    "country": "GB",
}
WORK = {
    "name": "Ada King",
    "lines": ["1600 Amphitheatre Pkwy"],
    "city": "Mountain View",
    "region": "California",
    "postcode": "94043",
    "country": "US",
}


async def put(caller: Caller, path: str, body: Any = None) -> Any:
    return await caller.call("PUT", f"{API}{path}", body)


async def delete(caller: Caller, path: str) -> Any:
    return await caller.call("DELETE", f"{API}{path}")


async def test_addresses_come_and_go_with_their_defaults(shared: House) -> None:
    customer = await shared.register()
    first, again = [await customer.post("/account/addresses", HOME, idempotency_key="1") for _ in range(2)]
    assert first.status_code == 201, first.text
    assert first.json() == again.json()
    home = first.json()["address_id"]
    shown = await customer.get(f"/account/addresses/{home}")
    assert shown.json() == {
        **HOME,
        "postcode": "SW1Y 4JH",
        "address_id": home,
        "default_for": ["shipping", "billing"],
    }
    assert first.headers["location"].endswith(f"/account/addresses/{home}")
    work = (await customer.post("/account/addresses", {**WORK, "default_for": ["billing"]})).json()["address_id"]
    items = {one["address_id"]: one for one in (await customer.get("/account/addresses")).json()["items"]}
    assert items[work]["region"] == "CA", "as the country writes it"
    assert (items[home]["default_for"], items[work]["default_for"]) == (["shipping"], ["billing"])
    changed = await put(customer, f"/account/addresses/{home}", {**HOME, "lines": ["13 St James's Square"]})
    assert changed.status_code == 200, changed.text
    assert (await customer.get(f"/account/addresses/{home}")).json()["lines"] == ["13 St James's Square"]
    assert (await delete(customer, f"/account/addresses/{work}")).status_code == 204
    assert (await delete(customer, f"/account/addresses/{work}")).status_code == 404
    [left] = (await customer.get("/account/addresses")).json()["items"]
    assert left["default_for"] == ["shipping"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"postcode": ""}, "/postcode"),
        ({"postcode": "12345"}, "/postcode"),
        ({"city": ""}, "/city"),
        ({"country": "XX"}, "/country"),
        ({"name": "A\x00"}, "/name"),
        ({**WORK, "region": ""}, "/region"),
        ({**WORK, "region": "Nowhere"}, "/region"),
        ({**WORK, "postcode": "SW1Y 4JH"}, "/postcode"),
        ({"lines": ["x"] * 5}, "/lines"),
        ({"planet": "Earth"}, "/planet"),
    ],
)
async def test_what_the_country_needs_must_be_there(shared: House, change: dict[str, Any], pointer: str) -> None:
    customer = await shared.register()
    answer = await customer.post("/account/addresses", {**HOME, **change})
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    "address",
    [
        {"lines": ["Unter den Linden 1"], "city": "Berlin", "postcode": "10117", "country": "DE"},
        {"lines": ["1 Grafton Street"], "city": "Dublin", "country": "IE"},
        {"lines": ["1-1 Chiyoda"], "city": "Chiyoda", "region": "Tokyo", "postcode": "100-0001", "country": "JP"},
        {"lines": ["1 Queen's Road Central"], "region": "Hong Kong Island", "country": "HK"},
    ],
)
async def test_addresses_of_other_countries_pass(shared: House, address: dict[str, Any]) -> None:
    customer = await shared.register()
    answer = await customer.post("/account/addresses", {"name": "Ada King", **address})
    assert answer.status_code == 201, answer.text


async def test_the_book_is_full_at_twenty_also_when_many_come_at_once(shared: House) -> None:
    customer = await shared.register()
    answers = await asyncio.gather(*(customer.post("/account/addresses", HOME) for _ in range(22)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 2


async def test_another_customers_address_is_none(shared: House) -> None:
    customer, stranger = await shared.register(), await shared.register()
    home = (await customer.post("/account/addresses", HOME)).json()["address_id"]
    assert (await stranger.get(f"/account/addresses/{home}")).status_code == 404
    assert (await put(stranger, f"/account/addresses/{home}", HOME)).status_code == 404
    assert (await delete(stranger, f"/account/addresses/{home}")).status_code == 404
    assert (await customer.get(f"/account/addresses/{home}")).status_code == 200


async def test_preferences_are_kept_by_channel(shared: House) -> None:
    customer = await shared.register()
    first = (await customer.get("/account/preferences")).json()
    assert "offers" not in first["email"], "offers go to those who asked for them"
    wanted = {"email": ["orders", "offers"], "sms": ["orders"], "push": []}
    assert (await put(customer, "/account/preferences", wanted)).json() == wanted
    assert (await customer.get("/account/preferences")).json() == wanted
    wrong = await put(customer, "/account/preferences", {**wanted, "sms": ["gossip"]})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"].startswith("/sms")
