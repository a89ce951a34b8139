"""Staff write the catalogue over HTTP: on what they looked at, within what categories say, and traceably."""

import asyncio
from typing import Any

from tests.http.client import API, Caller, House

MUG = {
    "title": "Enamel mug",
    "options": ["colour"],
    "variants": [
        {"sku": "EN-RED", "options": {"colour": "red"}, "prices": [{"amount": 900, "currency": "GBP"}]},
        {"sku": "EN-BLUE", "options": {"colour": "blue"}, "prices": [{"amount": 950, "currency": "GBP"}]},
    ],
    "publish": True,
}


async def made(caller: Caller, **more: Any) -> dict[str, Any]:
    """A product's record."""
    answer = await caller.post("/admin/products", {**MUG, **more})
    assert answer.status_code == 201, answer.text
    record: dict[str, Any] = answer.json()
    return record


async def change(caller: Caller, record: dict[str, Any], version: int | str, **fields: Any) -> Any:
    tag = version if isinstance(version, str) else f'"{version}"'
    return await caller.call("PATCH", f"{API}/admin/products/{record['product_id']}", fields, if_match=tag)


async def test_a_product_is_made_once_shown_changed_and_taken_off_sale(house: House) -> None:
    staff, guest = await house.staff("catalog_manager"), house.guest()
    first = await staff.post("/admin/products", MUG, idempotency_key="mug")
    again = await staff.post("/admin/products", MUG, idempotency_key="mug")
    assert again.json() == first.json() and again.headers["idempotency-replayed"] == "true"
    record = first.json()
    path = first.headers["location"].removeprefix(API)
    guest.headers["consistency-token"] = staff.headers["consistency-token"]
    page = (await guest.get("/products/enamel-mug")).json()
    assert [one["sku"] for one in page["variants"]] == ["EN-RED", "EN-BLUE"]
    shown = await staff.get(path)
    assert shown.json() == record and shown.headers["etag"] == f'"{record["version"]}"'
    assert (await staff.get(path, if_none_match=shown.headers["etag"])).status_code == 304
    blank = await staff.call("PATCH", API + path, {"title": "Mug"})
    assert (blank.status_code, blank.json()["type"]) == (428, "/problems/version_needed")
    changed = await change(staff, record, record["version"], title="Enamel cup", brand="Falcon")
    assert changed.status_code == 200 and changed.json()["title"] == "Enamel cup"
    price = await staff.call("PUT", f"{API}{path}/variants/EN-RED/prices/GBP", {"amount": 800})
    assert price.status_code == 200
    guest.headers["consistency-token"] = staff.headers["consistency-token"]
    page = (await guest.get("/products/enamel-mug")).json()
    assert (page["title"], page["variants"][0]["price"]["amount"]) == ("Enamel cup", 800)
    assert (await staff.call("DELETE", f"{API}{path}/variants/EN-RED")).status_code == 200
    assert (await staff.post(f"{path}/archive")).json()["status"] == "archived"
    guest.headers["consistency-token"] = staff.headers["consistency-token"]
    assert (await guest.get("/products/enamel-mug")).status_code == 404
    found = (await staff.get("/admin/products?q=enamel%20C&status=archived")).json()["items"]
    assert [one["slug"] for one in found] == ["enamel-mug"]
    assert (await staff.post(f"{path}/publish")).json()["status"] == "published"


async def test_a_lost_update_is_refused_with_what_changed_meanwhile(house: House) -> None:
    ann, bob = await house.staff("catalog_manager"), await house.staff("admin")
    record = await made(ann)
    seen = record["version"]
    both = await asyncio.gather(*(change(one, record, seen, title=f"Mug {n}") for n, one in enumerate((ann, bob))))
    assert sorted(one.status_code for one in both) == [200, 412]
    [won] = [n for n, one in enumerate(both) if one.status_code == 200]
    refused = both[1 - won]
    problem = refused.json()
    assert problem["type"] == "/problems/out_of_date" and problem["values"]["version"] == seen + 1
    [since] = problem["values"]["changes"]
    winner = (ann, bob)[won]
    assert since["actor"] == f"staff:{await house.customer_id(winner)}"
    assert since["event"] == "ProductUpdated" and since["data"]["title"] == f"Mug {won}"
    after = await change((ann, bob)[1 - won], record, refused.headers["etag"], brand="Falcon")
    assert after.status_code == 200 and after.json()["title"] == f"Mug {won}"
    history = (await ann.get(f"/admin/products/{record['product_id']}/history?limit=2")).json()
    assert [one["version"] for one in history["items"]] == [seen + 2, seen + 1]
    older = (await ann.get(history["next"].removeprefix(API))).json()["items"]
    assert older[0]["version"] == seen


async def test_slugs_and_skus_belong_to_one_product(house: House) -> None:
    staff = await house.staff("catalog_manager")
    first = await made(staff)
    twin = await staff.post("/admin/products", {"title": "Enamel mug"})
    assert (twin.status_code, twin.json()["type"]) == (409, "/problems/slug_in_use")
    assert twin.json()["errors"][0]["pointer"] == "/slug"
    other = (await staff.post("/admin/products", {"title": "Other"})).json()
    path = f"/admin/products/{other['product_id']}"
    taken = await staff.post(f"{path}/variants", {"sku": "EN-RED"})
    assert taken.json()["type"] == "/problems/sku_in_use"
    await staff.call("DELETE", f"{API}/admin/products/{first['product_id']}/variants/EN-RED")
    assert (await staff.post(f"{path}/variants", {"sku": "EN-RED"})).status_code == 201
    # Two at once: one of them has it.
    twins = await asyncio.gather(*(staff.post("/admin/products", {"title": "Race"}) for _ in range(2)))
    assert sorted(one.status_code for one in twins) == [201, 409]


async def test_categories_define_what_their_products_say(house: House) -> None:
    staff = await house.staff("catalog_manager")
    home = (await staff.post("/admin/categories", {"name": "Home"})).json()["category_id"]
    mugs = (await staff.post("/admin/categories", {"name": "Mugs", "parent": home})).json()["category_id"]
    for category, name, rule in (
        (home, "material", {"kind": "choice", "choices": ["steel", "clay"]}),
        (mugs, "volume", {"kind": "number", "unit": "ml"}),
        (mugs, "dishwasher", {"kind": "yes_no"}),
    ):
        answer = await staff.call("PUT", f"{API}/admin/categories/{category}/attributes/{name}", rule)
        assert answer.status_code == 200, answer.text
    shown = (await staff.get(f"/admin/categories/{mugs}")).json()
    assert [one["name"] for one in shown["attributes"]] == ["volume", "dishwasher"]
    assert [one["name"] for one in shown["inherited"]] == ["material"]
    for attributes, pointer in (
        ({"material": "gold"}, "/attributes/material"),
        ({"volume": "much"}, "/attributes/volume"),
        ({"dishwasher": 1}, "/attributes/dishwasher"),
        ({"smell": "none"}, "/attributes/smell"),
        ({"weight_g": -1}, "/attributes/weight_g"),
    ):
        wrong = await staff.post("/admin/products", {**MUG, "category_id": mugs, "attributes": attributes})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, pointer), wrong.text
    good = {"material": "steel", "volume": 300, "dishwasher": True, "weight_g": 120}
    record = await made(staff, category_id=mugs, attributes=good)
    # What a category says later holds a product when it is next written.
    rule = {"kind": "choice", "choices": ["clay"]}
    await staff.call("PUT", f"{API}/admin/categories/{home}/attributes/material", rule)
    assert (await change(staff, record, "*", title="Cup")).status_code == 200
    refused = await change(staff, record, "*", attributes=good)
    assert refused.json()["type"] == "/problems/wrong_attribute"
    nowhere = await change(staff, record, "*", category_id=record["product_id"])
    assert (nowhere.status_code, nowhere.json()["errors"][0]["pointer"]) == (422, "/category_id")
    closed = await staff.call("PUT", f"{API}/admin/categories/{home}/parent", {"parent": mugs})
    assert closed.json()["type"] == "/problems/category_under_itself"
    renamed = await staff.call("PATCH", f"{API}/admin/categories/{mugs}", {"name": "Cups", "slug": "cups"})
    assert renamed.json()["slug"] == "cups"
    history = (await staff.get("/admin/categories/history")).json()["items"]
    assert history[0]["event"] == "CategoryRenamed" and history[0]["actor"].startswith("staff:")
    reused = await staff.post("/admin/categories", {"name": "Mugs"})
    assert reused.json()["type"] == "/problems/slug_taken"
