"""/recommendations and the sales report: from orders to suggestions with reasons, and what takes them back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from emporium.application import erasure
from emporium.application.recommend import Trainer
from emporium.domain.base import Money
from emporium.domain.cart import cart_id_of
from emporium.domain.order import (
    FailOrder,
    OrderLine,
    PlaceOrder,
    RecordPayment,
    RecordReservation,
)
from emporium.domain.product import ArchiveProduct, ChangePrice, product_id_of
from emporium.infra.settings import Settings
from emporium.projections import recommendations, views
from emporium.projections.model import Connection
from tests.http.client import API, PASSWORD, STAFF, Caller, House
from tests.http.conftest import running

pytestmark = pytest.mark.parametrize("server", ["pg18"], indirect=True)

Items = list[dict[str, Any]]


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[House]:
    async with running(settings, teach=True) as house:
        yield house


async def buy(house: House, *skus: str, customer: UUID | None = None, confirmed: bool = True) -> UUID:
    """An order as the saga leaves it."""
    order = uuid4()
    lines = tuple(
        OrderLine(line=n, sku=sku, title=sku, quantity=2, unit_price=Money(500, "GBP"), total=Money(1_000, "GBP"))
        for n, sku in enumerate(skus, 1)
    )
    total = Money(1_000 * len(skus), "GBP")
    commands = [
        PlaceOrder(
            order_id=order,
            number=f"T-{order.hex[:12]}",
            customer_id=customer,
            subject=customer or order,
            lines=lines,
            shipping=Money(0, "GBP"),
            country="GB",
            payment_method="tok_ok",
            at=datetime.now(UTC),
        ),
        *([RecordPayment(order_id=order, amount=total), RecordReservation(order_id=order)] if confirmed else []),
    ]
    for command in commands:
        position = (await house.shop.execute(command, STAFF)).position
    await house.shows("ordering", position, "sales")
    return order


async def comes(caller: Caller, path: str, wanted: list[tuple[str, str]]) -> Items:
    """Waits until the suggestions are these, by slug and reason."""
    found: list[tuple[str, str]] = []
    try:
        async with asyncio.timeout(15):
            while True:
                answer = await caller.get(path)
                assert answer.status_code == 200, answer.text
                items: Items = answer.json()["items"]
                found = [(one["slug"], one["reason"]["code"]) for one in items]
                if found == wanted:
                    return items
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{path} gives {found}, not {wanted}") from None


async def test_from_orders_to_suggestions(shop: House) -> None:
    guest = shop.guest()
    assert (await guest.get("/recommendations/popular")).json() == {"items": []}
    assert (await guest.get("/recommendations/me")).json() == {"items": []}
    for _ in range(3):
        await buy(shop, "MUG", "TEA")
    await buy(shop, "MUG", "TEA", "POT", confirmed=False)
    failed = await buy(shop, "POT", confirmed=False)
    await shop.shop.execute(FailOrder(order_id=failed, reason="payment_declined"), STAFF)

    [tea] = await comes(guest, "/recommendations/products/mug", [("tea", "bought_together")])
    assert tea["reason"]["text"] == "Often bought together with Mug"
    assert tea["lowest"] == {"amount": 350, "currency": "GBP"}
    [tea] = await comes(guest, "/recommendations/products/mug?language=de", [("tea", "bought_together")])
    assert tea["reason"]["text"] == "Oft zusammen gekauft mit Mug"
    # What was never paid is not popular.
    popular = await guest.get("/recommendations/popular")
    assert {one["slug"] for one in popular.json()["items"]} == {"mug", "tea"}
    assert (await guest.get("/recommendations/products/nothing")).status_code == 404
    assert (await guest.get("/recommendations/popular?currency=EUR")).json() == {"items": []}

    # A newcomer gets what is popular, then what goes with the cart.
    newcomer = shop.guest()
    await comes(newcomer, "/recommendations/me", [(one["slug"], "popular") for one in popular.json()["items"]])
    assert (await newcomer.add("MUG")).status_code == 201
    await comes(newcomer, "/recommendations/cart", [("tea", "bought_together")])
    await comes(newcomer, "/recommendations/me", [("tea", "like_cart")])

    # Of what was bought before only what customers buy again.
    customer = await shop.register()
    me = await shop.customer_id(customer)
    await buy(shop, "MUG", customer=me)
    await comes(customer, "/recommendations/me", [("tea", "like_bought")])
    await buy(shop, "MUG", customer=me)
    await comes(customer, "/recommendations/me", [("mug", "bought_before"), ("tea", "like_bought")])
    await comes(customer, "/recommendations/me?again=false", [("tea", "like_bought")])

    # The published model, kept from event to event, is that of the whole history.
    async def both(connection: Connection) -> tuple[bytes, bytes]:
        trainer = Trainer()
        told, _ = await recommendations.baskets(connection, 0)
        trainer.update(reversed(told))
        published = await recommendations.published(connection, 0)
        assert published is not None
        return trainer.model().encode(), published[1]

    whole, kept = await shop.services.reads.run(both)
    assert whole == kept


async def test_nothing_sold_out_or_archived_and_prices_as_they_are(shop: House) -> None:
    guest = shop.guest()
    for _ in range(2):
        await buy(shop, "MUG", "TEA", "POT")
    await buy(shop, "MUG", "POT")
    await comes(guest, "/recommendations/products/mug", [("pot", "bought_together"), ("tea", "bought_together")])
    price = ChangePrice(product_id=product_id_of("TEA"), sku="TEA", price=Money(399, "GBP"))
    await shop.shows("catalog", (await shop.shop.execute(price, STAFF)).position, "catalog_pages")
    async with asyncio.timeout(10):
        while True:
            items = (await guest.get("/recommendations/products/mug")).json()["items"]
            if items[-1]["lowest"]["amount"] == 399:
                break
            await asyncio.sleep(0.02)
    await shop.adjust("POT", -100)
    await comes(guest, "/recommendations/products/mug", [("tea", "bought_together")])
    await shop.receive("POT", 5)
    await comes(guest, "/recommendations/products/mug", [("pot", "bought_together"), ("tea", "bought_together")])
    await shop.shop.execute(ArchiveProduct(product_id=product_id_of("TEA")), STAFF)
    await comes(guest, "/recommendations/products/mug", [("pot", "bought_together")])


async def test_views_are_kept_for_the_cart_and_forgotten(shop: House) -> None:
    for _ in range(2):
        await buy(shop, "MUG", "TEA")
    viewer, other = shop.guest(), shop.guest()
    # Without a cart there is nobody to keep it for.
    assert (await viewer.call("PUT", "/api/v1/recommendations/viewed/pot")).status_code == 200
    assert (await viewer.get("/recommendations/viewed")).json() == {"items": []}
    for caller in (viewer, other):
        assert (await caller.add("POT")).status_code == 201
    for slug in ("mug", "pot", "mug"):
        assert (await viewer.call("PUT", f"/api/v1/recommendations/viewed/{slug}")).status_code == 200
    assert (await viewer.call("PUT", "/api/v1/recommendations/viewed/nothing")).status_code == 404
    await comes(viewer, "/recommendations/viewed", [("mug", "viewed"), ("pot", "viewed")])
    await comes(other, "/recommendations/viewed", [])
    [first, *_] = (await viewer.get("/recommendations/me")).json()["items"]
    assert (first["slug"], first["reason"]["text"]) == ("tea", "Because you looked at Mug")
    # Whole days of them go in the end.
    reads = shop.services.reads
    today = datetime.now(UTC).date()
    assert await reads.run(lambda connection: views.expire(connection, today + timedelta(views.KEPT_DAYS))) == 0
    assert (await viewer.call("DELETE", "/api/v1/recommendations/viewed")).status_code == 200
    await comes(viewer, "/recommendations/viewed", [])
    gone = await reads.run(lambda connection: views.expire(connection, today + timedelta(views.KEPT_DAYS + 2)))
    assert gone >= 1


async def test_views_are_remembered_by_consent_alone_where_the_shop_demands_it(shop: House) -> None:
    admin, customer, guest = await shop.staff("admin"), await shop.register(), shop.guest()
    assert (await guest.add("POT")).status_code == 201
    await looks(guest, "pot")
    for caller in (customer, guest):
        await looks(caller, "mug")
    await comes(customer, "/recommendations/viewed", [("mug", "viewed")])
    needed = await admin.call("PATCH", f"{API}/admin/settings", {"views_need_consent": True})
    assert needed.json()["views_need_consent"] is True
    # Nothing was said; and who has no account cannot say anything.
    for caller in (customer, guest):
        await looks(caller, "tea")
    await comes(customer, "/recommendations/viewed", [("mug", "viewed")])
    await comes(guest, "/recommendations/viewed", [("mug", "viewed"), ("pot", "viewed")])
    wishes = {"email": [], "sms": [], "push": []}
    agreed = await customer.call("PUT", f"{API}/account/preferences", {**wishes, "views": True})
    assert agreed.json() == (await customer.get("/account/preferences")).json() == {**wishes, "views": True}
    await looks(customer, "tea")
    await comes(customer, "/recommendations/viewed", [("tea", "viewed"), ("mug", "viewed")])
    held = (await customer.get("/account/export")).json()["views"]
    assert [one["product_id"] for one in held] == [str(product_id_of("MUG")), str(product_id_of("TEA"))]
    # Other wishes leave it as it is; who takes it back is forgotten.
    assert (await customer.call("PUT", f"{API}/account/preferences", wishes)).json()["views"] is True
    await customer.call("PUT", f"{API}/account/preferences", {**wishes, "views": False})
    await comes(customer, "/recommendations/viewed", [])
    await admin.call("PATCH", f"{API}/admin/settings", {"views_need_consent": False})
    await looks(customer, "tea")
    await comes(customer, "/recommendations/viewed", [])
    assert (await customer.get("/account/export")).json()["views"] == []
    # Who has refused takes no views of before the log-in over; who has not, does, and nobody else has them any more.
    for email, consent, viewed in (("no@example.org", False, []), ("yes@example.org", True, ["mug"])):
        account, before = await shop.register(email), shop.guest()
        await account.call("PUT", f"{API}/account/preferences", {**wishes, "views": consent})
        assert (await before.add("POT")).status_code == 201
        await looks(before, "mug")
        answer = await before.post("/account/login", {"email": email, "password": PASSWORD})
        assert answer.json()["cart_merged"] is True
        await comes(account, "/recommendations/viewed", [(one, "viewed") for one in viewed])
        await comes(before, "/recommendations/viewed", [])


async def test_of_who_is_erased_no_view_stays_not_even_a_late_one(shop: House) -> None:
    customer = await shop.register()
    me = await shop.customer_id(customer)
    await looks(customer, "mug")
    assert len((await customer.get("/account/export")).json()["views"]) == 1
    assert (await customer.post("/account/erasure", {"password": PASSWORD})).status_code == 204
    reads, visitor = shop.services.reads, cart_id_of(me)
    assert await reads.run(lambda connection: views.held(connection, visitor)) == []
    # Another gateway was just writing one down.
    shop.services.adviser.saw(visitor, product_id_of("TEA"))
    await shop.services.adviser.viewed(me, visitor, "GBP", 1)
    assert len(await reads.run(lambda connection: views.held(connection, visitor))) == 1
    assert await erasure.complete(shop.shop, shop.services.sessions, shop.services.traces) == 0
    assert await reads.run(lambda connection: views.held(connection, visitor)) == []


async def looks(caller: Caller, slug: str) -> None:
    """Tells that the caller looks at a product."""
    answer = await caller.call("PUT", f"{API}/recommendations/viewed/{slug}")
    assert answer.status_code == 200, answer.text


async def test_the_report_tells_what_was_sold(shop: House) -> None:
    staff = await shop.staff("analyst")
    await buy(shop, "MUG", "TEA")
    await buy(shop, "MUG")
    await buy(shop, "POT", confirmed=False)
    today = datetime.now(UTC).date().isoformat()
    ask = f"/admin/reports/sales?day_from={today}&day_to={today}"
    answer = await staff.get(ask)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "days": [
            {"day": today, "currency": "GBP", "orders": 2, "units": 6, "revenue": 3_000, "returned": 0, "refunded": 0}
        ],
        "products": None,
        "next": None,
    }
    first = (await staff.get(f"{ask}&by=product&limit=1")).json()
    assert [(one["title"], one["revenue"], one["orders"]) for one in first["products"]] == [("Mug", 2_000, 2)]
    second = (await staff.call("GET", first["next"])).json()
    assert [(one["title"], one["revenue"]) for one in second["products"]] == [("Tea", 1_000)]
    assert second["next"] is None
    sheet = await staff.get(f"/admin/reports/sales.csv?day_from={today}&day_to={today}&by=product")
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.text.splitlines()[1].endswith(",Mug,GBP,2,4,2000,0,0")
    assert (await staff.get(f"/admin/reports/sales?day_from={today}&day_to=2020-01-01")).status_code == 400
    assert (await shop.guest().get(ask)).status_code == 401
