"""Watches: set over HTTP, met by what inventory and catalog tell, and told once, whatever happens at the same time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from emporium.application import bootstrap, watches
from emporium.application.commands import FillOrders, ReserveOrder
from emporium.application.together import end
from emporium.domain.backorder import AllowBackorder, BackorderFilled
from emporium.domain.base import Money
from emporium.domain.notification import NotificationSent, NotificationSuppressed
from emporium.domain.product import ChangePrice, product_id_of
from emporium.domain.reservation import ReleaseReservation
from emporium.domain.stock import STOCK, UnitsReceived, stock_id_of
from emporium.domain.watch import BACK_IN_STOCK, WatchAdded, WatchMet
from tests.http.client import API, PASSWORD, STAFF, Caller, House
from tests.support.saga import until


@asynccontextmanager
async def noticing(house: House, *, tell: bool = True) -> AsyncIterator[None]:
    """Watches are met, and told where wanted."""
    async with bootstrap.notifier(house.opened, name="test", ttl=2.0) as notifier:
        managers = [bootstrap.watcher(house.shop, name="test", ttl=2.0)] + ([notifier] if tell else [])
        tasks = [asyncio.create_task(manager.run()) for manager in managers]
        try:
            yield
        finally:
            await end(tasks)


async def watch(caller: Caller, kind: str, sku: str = "MUG") -> Any:
    return await caller.post("/account/watches", {"sku": sku, "kind": kind})


async def reprice(house: House, pence: int, sku: str = "MUG") -> None:
    change = ChangePrice(product_id=product_id_of(sku), sku=sku, price=Money(pence, "GBP"))
    await house.shows("catalog", (await house.shop.execute(change, STAFF)).position, "catalog_pages")


async def met(house: House, count: int) -> Sequence[WatchMet]:
    """The watches that were met, once there are so many."""

    async def look() -> Sequence[WatchMet]:
        found = await house.events("accounts", WatchMet)
        return found if len(found) >= count else []

    found: Sequence[WatchMet] = await until(look, house.shop.logs["accounts"], 20)
    assert len(found) == count
    return found


async def passed(house: House) -> None:
    """Waits until all that inventory and catalog have told so far was looked at."""
    for name in watches.UPSTREAMS:
        head = await house.shop.logs[name].head()

        async def seen(name: str = name, head: int = head) -> bool:
            return await house.shop.logs["accounts"].tracking(watches.NAME, name) >= head

        await until(seen, house.shop.logs["accounts"], 20)


async def told(house: House, kind: str, count: int = 1) -> list[UUID | None]:
    """Who was told, once so many were."""

    async def look() -> list[UUID | None]:
        found = [one.about for one in await house.events("notifications", NotificationSent) if one.about.kind == kind]
        return [about.customer_id for about in found] if len(found) >= count else []

    found: list[UUID | None] = await until(look, house.shop.logs["notifications"], 20)
    assert len(found) == count
    return found


async def test_watches_are_set_listed_and_ended(house: House) -> None:
    customer = await house.register()
    assert (await watch(customer, "back_in_stock")).json()["type"] == "/problems/can_be_had"
    assert (await watch(customer, "price_drop", "CUP")).json()["type"] == "/problems/nothing_to_watch"
    assert (await watch(customer, "colour")).json()["errors"][0]["pointer"] == "/kind"
    euros = await customer.post("/account/watches", {"sku": "MUG", "kind": "price_drop", "currency": "EUR"})
    assert (euros.status_code, euros.json()["type"]) == (422, "/problems/no_price_to_watch")
    made = [await watch(customer, "price_drop") for _ in range(2)]
    assert (made[0].status_code, made[0].json()) == (201, made[1].json())
    await house.adjust("TEA", -100)
    assert (await watch(customer, "back_in_stock", "TEA")).status_code == 201
    items = (await customer.get("/account/watches")).json()["items"]
    assert [(one["sku"], one["kind"], one["price"]) for one in items] == [
        ("MUG", "price_drop", {"amount": 500, "currency": "GBP"}), ("TEA", "back_in_stock", None),
    ]  # fmt: skip
    assert (await customer.get("/account/export")).json()["watches"] == items
    assert (await (await house.register()).get("/account/watches")).json() == {"items": []}
    path = f"{API}/account/watches/MUG/price_drop"
    assert (await customer.call("DELETE", path)).status_code == 204
    assert (await customer.call("DELETE", path)).json()["type"] == "/problems/no_such_watch"
    customer_id = await house.customer_id(customer)
    assert await house.shop.logs["accounts"].claims("watch back_in_stock TEA") == [customer_id]
    assert (await customer.post("/account/erasure", {"password": PASSWORD})).status_code == 204
    assert await house.shop.logs["accounts"].claims("watch back_in_stock TEA") == []


async def test_what_is_back_and_what_costs_less_is_told_once_to_those_who_wish(house: House) -> None:
    ada, quiet = await house.verified(), await house.verified()
    await quiet.call("PUT", f"{API}/account/preferences", {"email": ["orders"], "sms": [], "push": []})
    await house.adjust("MUG", -100)
    for caller in (ada, quiet):
        for kind in ("back_in_stock", "price_drop"):
            assert (await watch(caller, kind)).status_code == 201
    me, other = await house.customer_id(ada), await house.customer_id(quiet)
    async with noticing(house):
        await reprice(house, 600)
        await house.receive("MUG", 2)
        await house.receive("MUG", 3)
        await reprice(house, 550)
        await reprice(house, 450)
        await passed(house)
        found = await met(house, 4)
        assert {(one.customer_id, one.kind) for one in found} == {
            (who, kind) for who in (me, other) for kind in ("back_in_stock", "price_drop")
        }
        assert await told(house, "back_in_stock") == [me]
        assert await told(house, "price_drop") == [me]
        refused = await house.events("notifications", NotificationSuppressed)
        assert {(one.about.customer_id, one.reason) for one in refused} == {(other, "not_wanted")}
        [message] = [
            one for one in await house.events("notifications", NotificationSent) if one.about.kind == "price_drop"
        ]
        support = await house.staff("support")
        shown = (await support.get(f"/notifications/{message.notification_id}")).json()["rendered"]
        assert shown["subject"] == "Mug costs less now"
        assert "£4.50 instead of £5.00" in shown["text"]
        assert "/api/v1/unsubscribe/" in shown["text"]
        left = (await ada.get("/account/watches")).json()["items"]
        assert [(one["kind"], one["price"]["amount"]) for one in left] == [("price_drop", 450)]
        await reprice(house, 400)
        await told(house, "price_drop", 2)
    assert await house.shop.logs["accounts"].claims("watch back_in_stock MUG") == []


async def test_history_and_a_second_delivery_meet_no_watch(house: House) -> None:
    ada = await house.verified()
    await house.receive("MUG", 1)
    await house.adjust("MUG", -101)
    await watch(ada, "back_in_stock")
    async with noticing(house, tell=False):
        await passed(house)
        assert await house.events("accounts", WatchMet) == []
        await house.receive("MUG", 1)
        await met(house, 1)
    # The same events once more, for somebody who watches again by now.
    await house.adjust("MUG", -1)
    assert (await watch(ada, "back_in_stock")).status_code == 201
    await house.opened.reads.query(
        "UPDATE accounts_tracking SET notification_id = 1 WHERE application_name LIKE 'watches%%' RETURNING 1", []
    )
    async with noticing(house, tell=False):
        await passed(house)
    await met(house, 1)


async def test_what_comes_in_while_a_watch_is_set_is_not_missed(house: House) -> None:
    """The follower has passed the event before the watch was there: the second look finds it."""
    ada = await house.verified()
    await house.adjust("MUG", -100)
    async with noticing(house, tell=False):
        await house.receive("MUG", 1)
        await passed(house)
        me = await house.customer_id(ada)
        log = house.shop.logs["accounts"]
        # As if its look at the stock had come before the units.
        real = watches._available
        watches._available = nothing  # type: ignore[assignment]
        before = await house.shop.logs["inventory"].head()
        try:
            head = house.shop.logs["inventory"].head
            house.shop.logs["inventory"].head = earlier(before - 1)  # type: ignore[method-assign]
            assert (await watch(ada, "back_in_stock")).status_code == 201
        finally:
            house.shop.logs["inventory"].head = head  # type: ignore[method-assign]
            watches._available = real
        assert await log.claims("watch back_in_stock MUG") == [me]
        [one] = await met(house, 1)
        assert (one.customer_id, one.kind) == (me, BACK_IN_STOCK)
    assert len(await house.events("accounts", WatchAdded)) == 1


async def test_many_units_that_come_back_at_once_cost_one_look_for_each_who_waits(house: House) -> None:
    """A popular SKU has thousands who wait, and a batch hundreds of its events: never one look for every pair."""
    ada = await house.verified()
    await house.adjust("MUG", -100)
    await watch(ada, "back_in_stock")
    log = house.shop.logs["inventory"]
    after = await log.head()
    for _ in range(5):
        await house.receive("MUG", 1)
    events, _ = await log.read(after, 100)
    shop = house.shop
    follower = watches.WatchFollower(shop.logs, "inventory", shop.clock, shop.schedule)
    [(recorded, command)] = await follower._met(events)
    assert (
        recorded.position == command.position == max(one.position for one in events if type(one.event) is UnitsReceived)
    )


async def nothing(*_: Any) -> int:
    return 0


def earlier(position: int) -> Any:
    async def head() -> int:
        return position

    return head


async def test_what_goes_to_orders_that_wait_for_it_is_not_back(house: House) -> None:
    ada, today = await house.verified(), house.shop.clock.now().date()
    log = house.shop.logs["inventory"]
    await house.adjust("MUG", -100)
    await house.shop.execute(AllowBackorder(sku="MUG", kind="backorder", limit=9, expected=today, today=today), STAFF)
    for number in (1, 2):
        order = ReserveOrder(order_id=UUID(int=number), payment_id=UUID(int=9), wanted={"MUG": 2})
        await house.shop.execute(order, STAFF)
    assert (await watch(ada, "back_in_stock")).status_code == 201
    async with noticing(house, tell=False):
        # Nobody works at this moment: what is to be done with what came stands with it.
        await house.receive("MUG", 3)
        await passed(house)
        assert [one.data for one in await log.due_tasks(house.shop.clock.now(), 9)] == [{"sku": "MUG"}]
        await asyncio.gather(*(house.shop.execute(FillOrders(sku="MUG"), STAFF) for _ in range(3)))
        filled = await house.events("inventory", BackorderFilled)
        assert [(one.order_id.int, one.quantity) for one in filled] == [(1, 2), (2, 1)]
        await house.receive("MUG", 1)
        await passed(house)
        assert await house.events("accounts", WatchMet) == []
        await house.shop.execute(ReleaseReservation(order_id=UUID(int=2), reason="changed_mind"), STAFF)
        await met(house, 1)
    await house.shop.execute(FillOrders(sku="MUG"), STAFF)
    level, _ = await log.load(STOCK, stock_id_of("MUG", "LON"), fresh=True)
    assert level is not None and (level.on_hand, level.reserved) == (4, 2)
