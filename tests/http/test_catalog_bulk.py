"""Files of products: ten thousand at once, bad rows listed, taken up again after an end, and put back."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from emporium.application import bootstrap, catalog_bulk
from emporium.application.together import end
from emporium.domain.catalog_import import ImportAdvanced
from tests.http.client import API, Caller, House
from tests.http.test_product_pages import change, shop

__all__ = ["shop"]


async def send(
    caller: Caller, content: str | bytes, kind: str = "application/x-ndjson", **headers: str
) -> httpx.Response:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return await caller.client.post(
        f"{API}/admin/products/imports", content=content, headers={**caller.headers, "content-type": kind, **more}
    )


async def done(house: House, caller: Caller, answer: httpx.Response, status: str = "finished") -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    path = f"/admin/products/imports/{answer.json()['import_id']}"
    log = house.shop.logs["catalog"]
    async with asyncio.timeout(60):
        while (found := (await caller.get(path)).json())["status"] not in (status, "failed"):
            await log.wait(await log.head(), 0.1)
    assert found["status"] == status, found
    return found


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def lamp(number: int, pence: int = 900, **more: Any) -> dict[str, Any]:
    sku = f"LAMP-{number}"
    return {
        "slug": f"lamp-{number}",
        "title": f"Lamp {number}",
        "status": "published",
        "attributes": {"watts": number % 50, "colour": "green"},
        "variants": [{"sku": sku, "prices": {"GBP": pence}}],
        **more,
    }


async def test_good_rows_are_kept_bad_ones_listed_and_all_of_it_put_back(shop: House) -> None:
    staff = await shop.staff("catalog_manager")
    me = f"staff:{await shop.customer_id(staff)}"
    await staff.post("/admin/categories", {"name": "Lamps"})
    before = await staff.post(
        "/admin/products",
        {"title": "Lamp 1", "slug": "lamp-1", "brand": "Lux", "variants": [{"sku": "LAMP-1", "prices": []}]},
    )
    one = before.json()
    await staff.call("PUT", f"{API}/admin/products/{one['product_id']}/variants/LAMP-1/prices/GBP", {"amount": 800})
    rows = [
        *(lamp(number, category="lamps") for number in range(1, 6)),
        lamp(6, title=""),
        lamp(7, category="nowhere"),
        lamp(8, pence=-1),
        {"slug": "lamp-9"},
        lamp(10, variants=[{"sku": "MUG", "prices": {"GBP": 1}}]),
        lamp(11, colour="green"),
    ]
    content = lines(*rows) + b"{not json\n"
    first = await send(staff, content, idempotency_key="lamps")
    assert (await send(staff, content, idempotency_key="lamps")).json() == first.json()
    found = await done(shop, staff, first)
    assert (found["rows"], found["made"], found["changed"], found["refused"]) == (12, 4, 1, 7)
    path = f"/admin/products/imports/{found['import_id']}"
    refused = (await staff.get(f"{path}/refused?limit=4")).json()
    rest = (await staff.get(refused["next"].removeprefix(API))).json()["items"]
    told = {row["line"]: row["field"] for row in refused["items"] + rest}
    assert told.keys() == {6, 7, 8, 9, 10, 11, 12}
    assert (told[6], told[7], told[9], told[10]) == ("title", "category", "title", "sku"), refused
    assert (await staff.get(f"{path}/refused?limit=1")).json()["items"][0]["reason"].startswith("title has 0")
    assert {row["line"]: row["reason"] for row in rest}[11].startswith("Object contains unknown field")
    history = (await staff.get(f"/admin/products/{one['product_id']}/history")).json()["items"]
    assert history[0]["actor"] == me
    # The same file again changes nothing.
    again = await done(shop, staff, await send(staff, content))
    assert (again["made"], again["changed"], again["same"], again["refused"]) == (0, 0, 5, 7)
    three = (await staff.get("/admin/products?q=lamp-3")).json()["items"][0]
    await change(staff, three, title="Mine now")
    undone = await done(shop, staff, await staff.post(f"{path}/undo"), "undone")
    assert (undone["undone"], undone["left"]) == (5, 1)
    [left] = (await staff.get(f"{path}/left")).json()["items"]
    assert left == {"product_id": three["product_id"], "reason": "it was changed since"}
    after = (await staff.get(f"/admin/products/{one['product_id']}")).json()
    wanted = ("title", "slug", "brand", "category_id", "attributes", "options")
    assert {name: after[name] for name in wanted} == {name: one[name] for name in wanted}
    assert after["variants"][0]["prices"] == [{"amount": 800, "currency": "GBP"}]
    await shop.shows("catalog", await shop.shop.logs["catalog"].head(), "catalog_pages")
    shown = (await staff.get("/admin/products?q=lamp-")).json()["items"]
    assert {row["slug"]: row["status"] for row in shown} == {
        "lamp-1": "archived", "lamp-2": "archived", "lamp-3": "published", "lamp-4": "archived", "lamp-5": "archived",
    }  # fmt: skip
    assert (await staff.post(f"{path}/undo")).json()["status"] == "undone"


async def test_what_is_exported_can_be_imported_again(shop: House) -> None:
    staff = await shop.staff("catalog_manager")
    lamps = (await staff.post("/admin/categories", {"name": "Lamps"})).json()["category_id"]
    for name, rule in (("watts", {"kind": "number"}), ("dim", {"kind": "yes_no"}), ("note", {"kind": "text"})):
        await staff.call("PUT", f"{API}/admin/categories/{lamps}/attributes/{name}", rule)
    made = await staff.post(
        "/admin/products",
        {
            "title": "Lämp, “two\nlines”".replace("\n", " "),
            "slug": "lamp",
            "description": "First\n\n*second*",
            "category_id": lamps,
            "options": ["size", "colour"],
            "attributes": {"watts": 7.5, "dim": False, "note": "12"},
            "variants": [
                {
                    "sku": f"L-{size}",
                    "options": {"size": size, "colour": "red"},
                    "prices": [{"amount": 5, "currency": "EUR"}],
                }
                for size in ("s", "m")
            ],
            "publish": True,
        },
    )
    assert made.status_code == 201, made.text
    for kind, media in (("csv", "text/csv"), ("ndjson", "application/x-ndjson")):
        file = await staff.get(f"/admin/products/export?format={kind}")
        assert file.headers["content-type"].startswith(media)
        found = await done(shop, staff, await send(staff, file.content, media))
        # MUG, TEA and POT are there too.
        assert (found["rows"], found["same"], found["refused"]) == (4, 4, 0), (kind, found)
    table = list(csv.DictReader(io.StringIO((await staff.get("/admin/products/export?format=csv")).text, newline="")))
    row = next(row for row in table if row["sku"] == "L-m")
    assert (row["category"], row["attribute.dim"], row["option.size"], row["price.EUR"]) == ("lamps", "no", "m", "5")
    cheaper = "slug,sku,price.EUR,attribute.watts\nlamp,L-s,4,bright\nlamp,L-s,4,9\n"
    wrong = await done(shop, staff, await send(staff, cheaper, "text/csv"))
    assert wrong["rows"] == 1
    headless = await send(staff, "title,price\nLamp,4\n", "text/csv")
    assert (await done(shop, staff, headless, "failed"))["reason"].startswith("its first line")
    assert (await send(staff, b"{}", "application/json")).status_code == 415


@asynccontextmanager
async def keeping(house: House, name: str) -> AsyncIterator[None]:
    keeper = asyncio.create_task(bootstrap.catalog_keeper(house.opened, name=name).run())
    try:
        yield
    finally:
        await end([keeper])


async def test_an_import_that_was_ended_anywhere_is_completed_once(house: House) -> None:
    staff = await house.staff("catalog_manager")
    answer = await send(staff, lines(*(lamp(number) for number in range(450))))
    path = f"/admin/products/imports/{answer.json()['import_id']}"
    for part in range(1, 4):
        async with keeping(house, f"keeper {part}"):
            await house.until(staff, path, lambda body, part=part: body["done"] >= 100 * part)
    # Two at once: what one has written the other leaves.
    performers = catalog_bulk.performers(house.shop, house.opened.media)
    [task] = await house.shop.logs["catalog"].due_tasks(house.shop.clock.now(), 5, kinds=["effect.import"])
    await asyncio.gather(*(performers[task.kind](task) for _ in range(2)))
    async with keeping(house, "the last"):
        found = await done(house, staff, answer)
    assert (found["made"], found["changed"], found["same"], found["refused"]) == (450, 0, 0, 0)
    events = await house.events("catalog", ImportAdvanced)
    assert [event.upto for event in events] == [100, 200, 300, 400, 450]
    assert len({one.product_id for event in events for one in event.changes}) == 450


async def test_thousands_of_products_take_seconds(shop: House) -> None:
    staff = await shop.staff("catalog_manager")
    content = lines(*(lamp(number) for number in range(3_000)))
    began = time.monotonic()
    answer = await send(staff, content)
    found = await done(shop, staff, answer)
    assert found["made"] == 3_000
    # Ten thousand may take thirty seconds, and this machine may be busy with other tests.
    assert time.monotonic() - began < 25
