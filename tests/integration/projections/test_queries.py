"""What the read models answer: lists, pages, details, totals, by keyset and without personal data in clear."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast
from uuid import uuid5

import pytest

from emporium.domain import category
from emporium.domain.base import Money
from emporium.domain.registry import LOGS
from emporium.infra.eventstore import EventStore
from emporium.projections import catalog_pages, order_history, saga_monitor, stock_levels
from emporium.projections.paging import BadCursor, Page, encode_cursor
from tests import servers
from tests.integration.projections.shop import REGISTRY, Shop, logs_of
from tests.support.stories import ENDINGS, EXPECTED, SKUS, SPACE, Order, year

ORDERS = 78
CUSTOMER = uuid5(SPACE, "customer 1")


@pytest.fixture
def database(all_servers: servers.Servers, server: str) -> Iterator[str]:
    """Told of once, copied for each test."""
    template = all_servers.filled(server, "told", lambda url: asyncio.run(_tell(url)))
    with servers.made(server, f"told_{os.getpid()}", template=template) as url:
        yield url


async def _tell(url: str) -> None:
    dsns = dict.fromkeys(LOGS, url)
    async with await EventStore.open(dsns, REGISTRY, listen=dsns) as store, Shop(url, logs_of(store)) as shop:
        await shop.write(year(ORDERS))
        await shop.project()


@pytest.fixture
def full(shop: Shop) -> Shop:
    """A shop with six orders of each ending."""
    return shop


async def all_pages(query: Callable[..., Awaitable[Page[Any]]], *values: Any, **options: Any) -> list[Any]:
    """The items of all pages, each but the last as long as was asked."""
    items: list[Any] = []
    cursor = None
    while True:
        page = await query(*values, **options, limit=7, cursor=cursor)
        items += page.items
        cursor = page.next
        if cursor is None:
            return items
        assert len(page.items) == 7


def number_of(ending: str) -> int:
    return ENDINGS.index(ending)


# --- order history ---------------------------------------------------------------------------------


async def test_a_customer_sees_their_own_orders_newest_first(full: Shop) -> None:
    found = await all_pages(order_history.orders_of_customer, full.connection, CUSTOMER)
    mine = [n for n in range(ORDERS) if n % 4 and n % 5 == 1]
    assert [one.number for one in found] == [f"O-{n:06}" for n in reversed(mine)]
    failed = await all_pages(order_history.orders_of_customer, full.connection, CUSTOMER, status="failed")
    assert failed == [one for one in found if one.status == "failed"] != []


async def test_staff_see_all_orders_and_find_one_by_its_number(full: Shop) -> None:
    found = await all_pages(order_history.orders_for_admin, full.connection)
    assert [one.number for one in found] == [f"O-{n:06}" for n in reversed(range(ORDERS))]
    (one,) = (await order_history.orders_for_admin(full.connection, number="O-000007")).items
    assert one.order_id == Order(7, "").id
    for cursor in ("x", "WzFd", "💥"):
        with pytest.raises(BadCursor):
            await order_history.orders_for_admin(full.connection, cursor=cursor)


@pytest.mark.parametrize(
    ("ending", "status", "payment", "refunded", "reason"),
    [
        ("fulfilled", "fulfilled", "processed", 0, None),
        ("returned", "fulfilled", "processed", 250, None),
        ("declined", "failed", "failed", 0, "payment_declined"),
        ("short", "failed", "processed", 1_050, "out_of_stock"),
        ("refund_refused", "refunding", "processed", 0, None),
        ("cancelled", "cancelled", "processed", 1_050, "changed_my_mind"),
        ("forestalled", "cancelled", "cancelled", 0, "changed_my_mind"),
        ("address_refused", "partly_shipped", "processed", 0, None),
        ("given_up", "fulfilled", "processed", 0, None),
        ("pending", "pending", "requested", 0, None),
        ("held", "confirmed", "processed", 0, None),
        ("asked_back", "fulfilled", "processed", 0, None),
    ],
)
async def test_every_ending_is_shown_as_it_is(
    full: Shop, ending: str, status: str, payment: str, refunded: int, reason: str | None
) -> None:
    order = Order(number_of(ending), ending)
    detail = await order_history.order_by_number(full.connection, order.number)
    assert detail == await order_history.order_by_id(full.connection, order.id)
    assert detail is not None and detail.payment is not None
    assert (detail.order.status, detail.order.reason) == (status, reason)
    assert (detail.payment.status, detail.payment.refunded) == (payment, refunded)
    assert detail.lines == order.kept[0]
    assert detail.email is not None and detail.email.box == b"\x00sealed\xff"
    if ending == "refund_refused":
        assert detail.payment.refund_failed == 1_050
    if ending == "returned":
        assert detail.returned == {2: 1}
    if ending in ("fulfilled", "returned"):
        first, second = detail.parcels
        assert (first.of, first.warehouse, first.tracking_number) == (2, "south", f"{order.number}-1")
        assert first.labelled_at and first.packed_at and first.shipped_at and first.delivered_at
        assert first.labelled_at < first.packed_at < first.shipped_at < first.delivered_at
        assert second.delivered_at is not None and detail.shipment == "fulfilled"
    if ending == "address_refused":
        assert detail.parcels[0].refused == "no_such_street"
    if ending == "given_up":
        assert detail.parcels[0].given_up_at is not None and detail.parcels[0].refused is None


async def test_a_timeline_tells_an_order_in_the_order_of_its_events(full: Shop) -> None:
    order = Order(number_of("returned"), "returned")
    entries = await order_history.timeline(full.connection, order.id)
    told = [
        (type(event).__name__, at)
        for log, _, event, at, _ in order.happenings()
        if type(event) in order_history.ORDER_HISTORY.logs.get(log, ())
    ]
    assert [(one.name, one.at) for one in entries] == told
    paid = next(one for one in entries if one.name == "PaymentProcessed")
    assert paid.facts == {"amount": {"amount": order.total.amount, "currency": "GBP"}, "captured": True}
    assert await order_history.timeline(full.connection, CUSTOMER) == []


def of_ending(*endings: str) -> list[str]:
    """The numbers of the orders that went one of these ways, newest first."""
    return [f"O-{n:06}" for n in reversed(range(ORDERS)) if ENDINGS[n % len(ENDINGS)] in endings]


async def test_orders_are_found_by_what_they_are_looked_for(full: Shop) -> None:
    async def found(**wanted: Any) -> list[str]:
        items = await all_pages(order_history.search_orders, full.connection, order_history.Search(**wanted))
        return [one.number for one in items]

    everything = [f"O-{n:06}" for n in reversed(range(ORDERS))]
    assert await found() == everything
    mine = [f"O-{n:06}" for n in reversed(range(ORDERS)) if n % 4 and n % 5 == 1]
    assert await found(email_mark=f"mark-{CUSTOMER}") == await found(customer_id=CUSTOMER) == mine
    assert await found(email_mark="nobody's") == []
    # Line 1 is of the SKU after the order's number, line 2 of the next one.
    assert await found(sku=SKUS[5]) == [
        f"O-{n:06}" for n in reversed(range(ORDERS)) if 5 in ((n + 1) % len(SKUS), (n + 2) % len(SKUS))
    ]
    assert await found(sku="SKU-00") == []
    noon = Order(10, "").at
    assert await found(placed_from=noon, placed_to=Order(13, "").at) == everything[-13:-10]
    assert await found(status="pending") == of_ending("pending")
    assert await found(held=True) == of_ending("held")
    assert await found(held=True, status="pending") == []
    assert await found(return_open=True) == of_ending("asked_back")
    assert await found(return_open=False, status="fulfilled") == of_ending("fulfilled", "given_up", "returned")
    assert await found(address_refused=True) == of_ending("address_refused")
    with pytest.raises(BadCursor):
        await order_history.search_orders(full.connection, order_history.Search(), cursor="x")


async def test_queues_count_what_waits(full: Shop) -> None:
    each = ORDERS // len(ENDINGS)
    assert await order_history.queues(full.connection) == {
        "pending": each,
        "confirmed": each,
        "partly_shipped": each,
        "refunding": each,
        "held": each,
        "return_open": each,
        "address_refused": each,
    }


async def test_notes_are_kept_sealed_and_in_their_order_and_the_former_address_is_back(full: Shop) -> None:
    order = Order(number_of("held"), "held")
    rows = await order_history.notes(full.connection, order.id)
    assert [row.note.box for row in rows] == [b"note", b"note"]
    assert [row.actor for row in rows] == ["system:story"] * 2
    assert rows[0].at < rows[1].at
    assert await order_history.notes(full.connection, Order(0, "").id) == []
    detail = await order_history.order_by_id(full.connection, order.id)
    assert detail is not None
    assert (detail.held, detail.order.held, detail.ship_to) == ("odd", True, None)


async def test_totals_add_up_to_what_was_ordered_and_refunded(full: Shop) -> None:
    orders = [Order(n, ENDINGS[n % len(ENDINGS)]) for n in range(ORDERS)]
    totals = await order_history.order_totals(full.connection)
    assert sum(one.orders for one in totals) == ORDERS
    assert sum(one.total for one in totals) == sum(one.kept[1].amount for one in orders)
    assert all(one.total == one.goods + one.shipping for one in totals)
    assert {one.month for one in totals} == {"2026-01"}
    refunds = await order_history.refund_totals(full.connection)
    back = {"short": 1_050, "cancelled": 1_050, "returned": 250}
    assert sum(one.amount for one in refunds) == sum(back.get(one.ending, 0) for one in orders)
    assert {one.reason for one in refunds} == {"order_failed", "order_cancelled", "returned"}


async def test_there_is_no_such_order(full: Shop) -> None:
    assert await order_history.order_by_number(full.connection, "nothing") is None
    assert await order_history.order_by_id(full.connection, CUSTOMER) is None


# --- catalog ---------------------------------------------------------------------------------------


async def test_a_listing_is_sorted_paged_and_published_only(full: Shop) -> None:
    by_title = await all_pages(catalog_pages.listing, full.connection, "GBP")
    assert [one.title for one in by_title] == [f"Lamp {c} De Luxe" for c in "ABCDEGHIJ"]  # F is archived
    by_price = await all_pages(catalog_pages.listing, full.connection, "GBP", sort="price")
    assert [one.lowest for one in by_price] == sorted(one.lowest for one in by_title)
    newest = await all_pages(catalog_pages.listing, full.connection, "GBP", sort="newest")
    assert [one.published_at for one in newest] == sorted((one.published_at for one in by_title), reverse=True)
    assert {one.lowest for one in await all_pages(catalog_pages.listing, full.connection, "EUR")} == {900}
    assert await all_pages(catalog_pages.listing, full.connection, "JPY") == []
    with pytest.raises(BadCursor):
        await catalog_pages.listing(full.connection, "GBP", sort="price", cursor="WyJ4IiwxXQ")


async def test_a_category_lists_its_own_products_and_those_below(full: Shop) -> None:
    garden, tools = category.category_id_of("garden"), category.category_id_of("tools")
    within = await all_pages(catalog_pages.listing, full.connection, "GBP", category_id=garden)
    below = await all_pages(catalog_pages.listing, full.connection, "GBP", category_id=tools)
    assert {one.category_id for one in below} == {tools}
    assert {one.category_id for one in within} == {garden, tools}
    assert {(one.name, one.slug) for one in await catalog_pages.categories(full.connection)} == {
        ("Home", "home"),
        ("Garden", "garden"),
        ("Tools", "tools"),
    }


async def test_a_product_page_shows_variants_prices_units_and_the_way_to_it(full: Shop) -> None:
    page = await catalog_pages.product_page(full.connection, "lamp-2")
    assert page is not None
    assert page == await catalog_pages.product_page(full.connection, page.product_id)
    assert [one.slug for one in page.path] == ["garden", "tools"]
    assert [(one.sku, one.options) for one in page.variants] == [
        (sku, {"size": size}) for sku, size in zip(SKUS[6:9], "sml", strict=True)
    ]
    assert page.variants[0].prices == {"GBP": Money(900, "GBP"), "EUR": Money(900, "EUR")}
    assert list(page.attributes.items()) == [("watts", 42), ("colour", "green"), ("dimmable", True)]
    levels = {
        sku: sum(one.available for one in (await stock_levels.levels(full.connection, sku=sku)).items)
        for sku in SKUS[6:9]
    }
    assert {one.sku: one.supply.available for one in page.variants} == levels
    assert [(one.supply.later, one.supply.kind, one.supply.expected) for one in page.variants] == [
        (0, None, None), (12, "preorder", EXPECTED), (13, "backorder", EXPECTED),
    ]  # fmt: skip
    [ahead] = (await stock_levels.backorders(full.connection, limit=1, cursor=encode_cursor(SKUS[6]))).items
    assert (ahead.sku, ahead.kind, ahead.limit, ahead.expected, ahead.backordered) == (
        SKUS[7], "preorder", 12, EXPECTED, 0,
    )  # fmt: skip
    assert all(0 < units < 2_000 for units in levels.values())
    (listed,) = [one for one in (await catalog_pages.listing(full.connection, "GBP")).items if one.slug == "lamp-2"]
    assert listed.available == sum(levels.values())


async def test_an_archived_product_is_staffs_to_see(full: Shop) -> None:
    assert await catalog_pages.product_page(full.connection, "lamp-4") is None
    page = await catalog_pages.product_page(full.connection, "lamp-4", published_only=False)
    assert page is not None and page.status == "archived"
    everything = await all_pages(catalog_pages.products_for_admin, full.connection)
    assert len(everything) == 10
    assert [one.slug for one in everything if one.status == "archived"] == ["lamp-4"]


async def test_offers_are_of_published_skus_only(full: Shop) -> None:
    wanted = [SKUS[0], SKUS[1], SKUS[12], SKUS[17], "no such"]
    found = await catalog_pages.offers(full.connection, wanted, "GBP")
    assert set(found) == {SKUS[0], SKUS[1], SKUS[17]}  # SKU 12 is archived
    assert (found[SKUS[0]].price, found[SKUS[1]].price) == (1_000, 777)
    # Moved from one product to another, where it has no price yet.
    assert found[SKUS[17]].product_id == uuid5(SPACE, "product 6") and found[SKUS[17]].price is None
    assert (await catalog_pages.offers(full.connection, [SKUS[1]], "EUR"))[SKUS[1]].price is None


async def test_the_price_history_tells_every_change_newest_first(full: Shop) -> None:
    found = await catalog_pages.price_history(full.connection, SKUS[1], limit=1)
    assert [(one.amount, one.previous) for one in found.items] == [(777, 1_001)]
    rest = await catalog_pages.price_history(full.connection, SKUS[1], limit=1, cursor=found.next)
    assert [(one.amount, one.previous) for one in rest.items] == [(1_001, None)]
    assert rest.next is None


# --- stock, open sagas -----------------------------------------------------------------------------


async def test_levels_follow_every_movement(full: Shop) -> None:
    found = await all_pages(stock_levels.levels, full.connection)
    assert [(one.sku, one.warehouse) for one in found] == [(sku, place) for sku in SKUS for place in ("north", "south")]
    assert all(one.available == one.on_hand - one.reserved >= 0 for one in found)
    # Cancelled orders gave nothing back in these stories, and refused parcels are still reserved.
    assert sum(one.reserved for one in found) > 0
    north = await all_pages(stock_levels.levels, full.connection, warehouse="north", sku=SKUS[3])
    assert north == [one for one in found if (one.sku, one.warehouse) == (SKUS[3], "north")]
    low = await all_pages(stock_levels.levels, full.connection, low=True)
    assert low == [one for one in found if one.low]
    assert {one.sku for one in low} == set(SKUS[::7])


async def test_open_orders_wait_for_what_comes_next(full: Shop) -> None:
    found = await all_pages(saga_monitor.open_orders, full.connection)
    each = ORDERS // len(ENDINGS)
    assert [one.since for one in found] == sorted(one.since for one in found)
    summary = await saga_monitor.summary(full.connection)
    assert summary.by_status == {"partly_shipped": each, "pending": each, "refunding": each, "confirmed": each}
    assert summary.open == len(found) == 4 * each
    assert summary.oldest == found[0].since
    assert (summary.refunds_owed, summary.refunds_refused, summary.parcels_refused) == (0, each, each)
    pending = await all_pages(saga_monitor.open_orders, full.connection, status="pending")
    assert {one.waits_for for one in pending} == {"the payment"}
    kinds = [one.kind for one in await saga_monitor.troubles(full.connection)]
    assert sorted(kinds) == ["parcel_refused"] * each + ["refund_refused"] * each


async def more_closed(full: Shop) -> None:
    """Three hundred times as many orders, all of them closed."""
    await full.connection.execute(
        "INSERT INTO rm_order_history.orders SELECT gen_random_uuid(), number || '-' || n, customer_id, subject,"
        " cart_id, (ARRAY['fulfilled', 'failed', 'cancelled'])[n % 3 + 1], reason, reason_internal,"
        " placed_at - n * interval '1 minute', changed_at, version, currency, goods, shipping,"
        " total, discount, tax, units, country, channel, payment_method, false,"
        " false, state FROM rm_order_history.orders,"
        " generate_series(1, 300) n"
    )
    await full.connection.execute("ANALYZE rm_order_history.orders")


async def test_page_1000_costs_what_page_1_costs(full: Shop) -> None:
    """Both are index scans that read about as many rows as they give."""
    await more_closed(full)
    at = await full.connection.execute(
        "SELECT placed_at, order_id FROM rm_order_history.orders ORDER BY 1 DESC, 2 DESC OFFSET 19000 LIMIT 1"
    )
    last = await at.fetchone()
    plan = await full.connection.execute(
        "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM rm_order_history.orders"
        " WHERE (placed_at, order_id) < (%s, %s) ORDER BY placed_at DESC, order_id DESC LIMIT 21",
        last,
    )
    ((found,),) = await plan.fetchall()
    scan = found[0]["Plan"]["Plans"][0]
    assert scan["Node Type"] == "Index Scan"
    assert scan["Actual Rows"] <= 21


async def test_the_queues_are_counted_without_looking_at_what_is_closed(full: Shop) -> None:
    await more_closed(full)
    execute, plans = full.connection.execute, []

    class Explained:
        async def execute(self, query: str, values: Any = None) -> Any:
            plan = await execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values)
            ((found,),) = await plan.fetchall()
            plans.append(found[0]["Plan"])
            return await execute(query, values)

    found = await order_history.queues(cast(Any, Explained()))
    assert set(found) == {
        "pending",
        "confirmed",
        "partly_shipped",
        "refunding",
        "held",
        "return_open",
        "address_refused",
    }
    scans = [one for one in nodes(plans[0]) if one.get("Relation Name") == "orders"]
    seen = sum(one["Actual Rows"] * one["Actual Loops"] + one.get("Rows Removed by Filter", 0) for one in scans)
    assert scans and seen < 1_000


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan with all that is below it."""
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)
