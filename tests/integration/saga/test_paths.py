"""Every way that an order can go, end to end on a real database, provider and carrier."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from emporium.domain.base import Money, Rejected
from emporium.domain.cart import CART, AddCartItem
from emporium.domain.order import RequestCancellation, ReturnLines
from emporium.domain.shipment import PackParcel, RecordDelivery, ShipParcel
from emporium.infra.clock import SetClock, SystemClock
from tests.support.saga import Saga, running, until


@pytest.fixture
async def saga(database: str, folder: Path) -> AsyncIterator[Saga]:
    async with running(database, folder) as one:
        yield one


@pytest.fixture
async def by_hand(database: str, folder: Path) -> AsyncIterator[Saga]:
    """A shop in which people pack, ship and deliver."""
    async with running(database, folder, settings={"fulfilment": "manual"}) as one:
        yield one


async def test_an_order_goes_from_cart_to_doorstep(saga: Saga) -> None:
    await saga.stock(LON={"MUG": 5, "TEA": 5})
    order_id = await saga.order(MUG=2, TEA=1)
    await saga.becomes(order_id, "fulfilled")
    story = await saga.story(order_id)
    assert story["ordering"][-8:-6] == ["CartCheckedOut", "OrderCreated"]
    assert set(story["ordering"][-6:]) == {
        "OrderPaid", "OrderConfirmed", "OrderDispatched", "DocumentNumberTaken", "InvoiceIssued", "OrderCompleted",
    }  # fmt: skip
    assert story["payments"] == ["PaymentRequested", "PaymentProcessed"]
    assert story["inventory"] == [
        "StockReserved", "UnitsReserved", "UnitsReserved", "ReservationShipped", "UnitsShipped", "UnitsShipped",
    ]  # fmt: skip
    assert story["shipping"] == [
        "ShipmentPrepared", "ParcelLabelled", "ParcelPacked", "OrderShipped", "ParcelDelivered", "OrderFulfilled",
    ]  # fmt: skip
    level = await saga.level("MUG", "LON")
    assert (level.on_hand, level.reserved) == (3, 0)


async def test_a_declined_payment_fails_the_order_and_reopens_the_cart(saga: Saga) -> None:
    await saga.stock(LON={"MUG": 5})
    cart = uuid4()
    order_id = await saga.order("pm_declined", cart, MUG=2)
    await saga.becomes(order_id, "failed")
    state, _ = await saga.shop.logs["ordering"].load(CART, cart, fresh=True)
    assert state is not None
    assert state.items["MUG"].quantity == 2
    again = await saga.order("pm_ok", cart, attempt=2, MUG=1)
    assert again != order_id
    await saga.becomes(again, "fulfilled")


async def test_a_payment_without_an_answer_times_out(database: str, folder: Path) -> None:
    async with running(database, folder, settings={"payment_timeout_s": 1.0}) as saga:
        await saga.stock(LON={"MUG": 5})
        order_id = await saga.order("pm_never", MUG=1)
        state = await saga.becomes(order_id, "failed", within=30)
        failed = await saga.happens("ordering", "OrderFailed", order_id)
        assert failed.event.reason == "payment_timed_out"  # type: ignore[attr-defined]
        assert state.paid is False


async def test_a_lost_answer_is_found_again_and_charged_once(saga: Saga) -> None:
    await saga.stock(LON={"MUG": 5})
    order_id = await saga.order("pm_timeout_after", MUG=1)
    await saga.becomes(order_id, "fulfilled", within=30)
    assert saga.sandbox.state()["orders"][str(order_id)]["charges"] == 1


async def test_short_stock_refunds_and_fails(saga: Saga) -> None:
    await saga.stock(LON={"MUG": 1, "TEA": 9})
    order_id = await saga.order(MUG=2, TEA=1)
    await saga.becomes(order_id, "failed")
    story = await saga.story(order_id)
    assert "StockReservationFailed" in story["inventory"]
    assert story["payments"][-2:] == ["RefundRequested", "PaymentRefunded"]
    assert (await saga.level("TEA", "LON")).reserved == 0
    assert (await saga.level("MUG", "LON")).on_hand == 1


async def test_a_cancelled_order_gives_stock_and_money_back(by_hand: Saga) -> None:
    await by_hand.stock(LON={"MUG": 5})
    order_id = await by_hand.order(MUG=2)
    await by_hand.becomes(order_id, "confirmed")
    await by_hand.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
    await by_hand.becomes(order_id, "cancelled")
    await by_hand.happens("payments", "PaymentRefunded", order_id)
    await by_hand.happens("inventory", "UnitsReleased", order_id)
    assert (await by_hand.level("MUG", "LON")).available == 5


async def test_a_cancellation_before_the_payment_charges_nothing(database: str, folder: Path) -> None:
    async with running(database, folder, roles=["ordering", "shipping"]) as saga:
        await saga.stock(LON={"MUG": 5})
        order_id = await saga.order(MUG=2)
        await saga.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
        await saga.becomes(order_id, "cancelled")
    async with running(database, folder) as saga:
        await saga.happens("payments", "PaymentCancelled", order_id)
        assert (await saga.story(order_id))["inventory"][:1] in ([], ["ReservationCancelled"])
        assert str(order_id) not in saga.sandbox.state()["orders"]


async def test_a_packed_order_cannot_be_cancelled(by_hand: Saga) -> None:
    await by_hand.stock(LON={"MUG": 5})
    order_id = await by_hand.order(MUG=2)
    await by_hand.happens("shipping", "ParcelLabelled", order_id)
    await by_hand.becomes(order_id, "confirmed")
    await by_hand.execute(PackParcel(order_id=order_id, parcel=1))
    await by_hand.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
    await by_hand.happens("ordering", "OrderCancellationRefused", order_id)
    assert (await by_hand.state(order_id)).status == "confirmed"
    await by_hand.execute(ShipParcel(order_id=order_id, parcel=1))
    await by_hand.becomes(order_id, "shipped")
    with pytest.raises(Rejected) as refusal:
        await by_hand.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
    assert refusal.value.code == "too_late_to_cancel"
    await by_hand.execute(RecordDelivery(order_id=order_id, parcel=1))
    await by_hand.becomes(order_id, "fulfilled")


async def test_parcels_of_several_warehouses_ship_one_by_one(by_hand: Saga) -> None:
    await by_hand.stock(LON={"MUG": 2}, BER={"MUG": 1, "TEA": 4})
    order_id = await by_hand.order(MUG=3, TEA=1)
    await by_hand.becomes(order_id, "confirmed")
    for parcel, status in ((1, "partly_shipped"), (2, "shipped")):
        await by_hand.happens("shipping", "ParcelLabelled", order_id)
        await until(_labelled(by_hand, order_id, parcel), by_hand.shop.logs["shipping"], 10)
        await by_hand.execute(ShipParcel(order_id=order_id, parcel=parcel))
        await by_hand.becomes(order_id, status)
    for parcel in (2, 1):
        assert (await by_hand.state(order_id)).status == "shipped"
        await by_hand.execute(RecordDelivery(order_id=order_id, parcel=parcel))
    await by_hand.becomes(order_id, "fulfilled")
    assert (await by_hand.level("MUG", "LON")).on_hand == 0


def _labelled(saga: Saga, order_id: object, parcel: int) -> Callable[[], object]:
    async def look() -> bool:
        events = await saga.shop.logs["shipping"].by_correlation(str(order_id))
        return any(type(r.event).__name__ == "ParcelLabelled" and r.event.parcel == parcel for r in events)  # type: ignore[attr-defined]

    return look


async def test_returned_lines_are_refunded_in_part_and_restocked(saga: Saga) -> None:
    await saga.stock(LON={"MUG": 5, "TEA": 5})
    order_id = await saga.order(MUG=3, TEA=1)
    await saga.becomes(order_id, "fulfilled")
    wish = ReturnLines(order_id=order_id, return_id=uuid4(), lines=((1, 2),), reason="too small")
    await saga.execute(wish)
    await saga.execute(wish)
    refunded = await saga.happens("ordering", "OrderRefunded", order_id)
    assert refunded.event.amount == Money(1000, "GBP")  # type: ignore[attr-defined]
    await saga.happens("inventory", "UnitsReturned", order_id)
    assert (await saga.level("MUG", "LON")).on_hand == 4
    assert (await saga.story(order_id))["payments"].count("PaymentRefunded") == 1


async def test_a_cart_left_alone_expires(database: str, folder: Path) -> None:
    clock = SetClock(SystemClock().now())
    async with running(database, folder, clock=clock, settings={"cart_expiry_days": 2.0}) as saga:
        await saga.stock(LON={"MUG": 5})
        cart = uuid4()
        add = AddCartItem(cart_id=cart, sku="MUG", quantity=1, unit_price=Money(1, "GBP"), at=clock.now())
        await saga.execute(add)
        clock.set(clock.now() + timedelta(days=3))

        async def expired() -> bool:
            state, _ = await saga.shop.logs["ordering"].load(CART, cart, fresh=True)
            return state is not None and not state.items

        await until(expired, saga.shop.logs["ordering"], 10)


async def test_the_saga_runs_over_three_databases(
    database: str, make_database: Callable[[], str], folder: Path
) -> None:
    others = {"payments_database_url": make_database(), "inventory_database_url": make_database()}
    async with running(database, folder, settings=others) as saga:
        await saga.stock(LON={"MUG": 2})
        good, short = await saga.order(MUG=1), await saga.order(MUG=9)
        await saga.becomes(good, "fulfilled")
        await saga.becomes(short, "failed")
        assert "PaymentRefunded" in (await saga.story(short))["payments"]
