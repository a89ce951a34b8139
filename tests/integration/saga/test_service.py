"""Orders that staff hold and customers send elsewhere, while the saga moves them: on a real database and carrier."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from emporium.application import orders
from emporium.application.ports import Address, Meta
from emporium.domain.base import Rejected
from emporium.domain.order import ChangeAddress, HoldOrder, ReleaseOrder
from emporium.domain.shipment import SHIPMENT, PackParcel, ShipmentState, ShipParcel, shipment_id_of
from emporium.infra.clock import SetClock, SystemClock
from tests.support.saga import Saga, running, until

ADA = Meta("test", "request:test", "customer:ada")
HOME = Address("Ada King", ("12 St James's Square",), "London", "SW1Y 4JH", "GB")


def street(number: int) -> Address:
    return msgspec.structs.replace(HOME, lines=(f"{number} High Street",))


@pytest.fixture
async def saga(database: str, folder: Path) -> AsyncIterator[Saga]:
    async with running(database, folder) as one:
        yield one


@pytest.fixture
async def by_hand(database: str, folder: Path) -> AsyncIterator[Saga]:
    """A shop in which people pack, ship and deliver."""
    async with running(database, folder, settings={"fulfilment": "manual"}) as one:
        yield one


async def shipment(saga: Saga, order_id: UUID) -> ShipmentState:
    state, _ = await saga.shop.logs["shipping"].load(SHIPMENT, shipment_id_of(order_id), fresh=True)
    assert state is not None
    return state


async def lives_at(saga: Saga, order_id: UUID) -> str:
    """The street to which the order goes, as everybody is told."""
    state = await saga.state(order_id)
    assert state.ship_to is not None
    await saga.shop.vault.load_keys([state.subject])
    line: str = saga.shop.vault.unseal(state.ship_to, order_id, "ship_to")["lines"][0]
    return line


async def test_a_held_order_is_paid_but_not_packed_until_it_is_released(saga: Saga) -> None:
    await saga.stock(LON={"MUG": 5})
    order_id = await saga.order(MUG=2)
    await saga.execute(HoldOrder(order_id=order_id, reason="suspicious"))
    await saga.becomes(order_id, "confirmed")
    await saga.happens("shipping", "ParcelLabelled", order_id)
    names = (await saga.story(order_id))["shipping"]
    assert "ParcelPacked" not in names
    with pytest.raises(Rejected, match="held"):
        await saga.execute(ShipParcel(order_id=order_id, parcel=1))
    await saga.execute(ReleaseOrder(order_id=order_id))
    await saga.becomes(order_id, "fulfilled")
    again = await saga.order(MUG=1)
    await saga.becomes(again, "fulfilled")


async def test_the_timer_of_unshipped_orders_waits_for_held_ones(database: str, folder: Path) -> None:
    clock = SetClock(SystemClock().now())
    by_hand = {"fulfilment": "manual", "reservation_expiry_days": 30.0}
    async with running(database, folder, clock=clock, settings=by_hand) as saga:
        await saga.stock(LON={"MUG": 5})
        held, left = await saga.order(MUG=1), await saga.order(MUG=1)
        for order_id in (held, left):
            await saga.becomes(order_id, "confirmed")
        await saga.execute(HoldOrder(order_id=held, reason="waits for the customer"))
        clock.set(clock.now() + timedelta(days=31))
        await saga.becomes(left, "cancelled")
        await until(lambda: nothing_is_due(saga, clock), saga.shop.logs["ordering"], 10)
        assert (await saga.state(held)).status == "confirmed"
        # From its release on it has the whole time again.
        await saga.execute(ReleaseOrder(order_id=held))
        clock.set(clock.now() + timedelta(days=20))
        await until(lambda: nothing_is_due(saga, clock), saga.shop.logs["ordering"], 10)
        assert (await saga.state(held)).status == "confirmed"
        clock.set(clock.now() + timedelta(days=11))
        state = await saga.becomes(held, "cancelled")
        assert state.cancel_reason == "not_shipped_in_time"


async def nothing_is_due(saga: Saga, clock: SetClock) -> bool:
    return not await saga.shop.logs["ordering"].due_tasks(clock.now(), 10, kinds=["timer.unshipped"])


async def test_an_order_goes_where_it_was_sent_last(by_hand: Saga) -> None:
    saga = by_hand
    await saga.stock(LON={"MUG": 5})
    order_id = await saga.order(MUG=1)
    # Before anything is there to be labelled, or while it is: both at once, and one after them.
    await asyncio.gather(
        *(orders.change_address(saga.shop, order_id=order_id, address=street(n), cause=ADA) for n in (1, 2))
    )
    await saga.becomes(order_id, "confirmed")
    after, committed = await orders.change_address(saga.shop, order_id=order_id, address=street(3), cause=ADA)
    assert after.revision == 3 and committed is not None
    _, nothing = await orders.change_address(saga.shop, order_id=order_id, address=street(3), cause=ADA)
    assert nothing is None

    async def labelled_for_it() -> bool:
        parcel = (await shipment(saga, order_id)).parcels.get(1)
        return parcel is not None and parcel.labelled and parcel.address == 3

    await until(labelled_for_it, saga.shop.logs["shipping"], 20)
    await saga.execute(PackParcel(order_id=order_id, parcel=1))
    with pytest.raises(Rejected, match="cannot be changed any more"):
        await orders.change_address(saga.shop, order_id=order_id, address=street(4), cause=ADA)
    assert await lives_at(saga, order_id) == "3 High Street"
    with pytest.raises(Rejected, match="GB"):
        abroad = Address("Ada", ("Unter den Linden 1",), "Berlin", "10117", "DE")
        await orders.change_address(saga.shop, order_id=await saga.order(MUG=1), address=abroad, cause=ADA)


async def test_a_change_that_comes_with_the_packing_is_made_or_taken_back_but_never_both(by_hand: Saga) -> None:
    saga = by_hand
    await saga.stock(LON={"MUG": 20})
    ends = {}
    for turn in range(6):
        order_id = await saga.order(MUG=1)
        await saga.happens("shipping", "ParcelLabelled", order_id)
        await saga.shop.vault.key_for(order_id)
        clear = msgspec.to_builtins(street(turn + 1))
        sealed = saga.shop.vault.seal(order_id, "OrderAddressChanged", order_id, "ship_to", clear)
        change = ChangeAddress(order_id=order_id, ship_to=sealed, country="GB")
        pack = PackParcel(order_id=order_id, parcel=1)
        # The check before the change has passed: shipping alone decides.
        both = (change, pack) if turn % 2 else (pack, change)
        await asyncio.gather(*(saga.execute(one) for one in both), return_exceptions=True)

        async def settled(order_id: UUID = order_id) -> bool:
            order, parcel = await saga.state(order_id), (await shipment(saga, order_id)).parcels[1]
            if not parcel.labelled:
                return False
            if not parcel.packed:
                return parcel.address == order.revision
            former = order.revision == 2 and order.ship_to is None
            return parcel.address == order.revision or (former and parcel.address == 0)

        await until(settled, saga.shop.logs["ordering"], 20)
        ends[order_id] = (await shipment(saga, order_id)).parcels[1].packed
    assert ends
    # And where the packing is surely first, the change is taken back.
    order_id = await saga.order(MUG=1)
    await saga.happens("shipping", "ParcelLabelled", order_id)
    await saga.execute(PackParcel(order_id=order_id, parcel=1))
    await saga.shop.vault.key_for(order_id)
    sealed = saga.shop.vault.seal(order_id, "OrderAddressChanged", order_id, "ship_to", msgspec.to_builtins(HOME))
    await saga.execute(ChangeAddress(order_id=order_id, ship_to=sealed, country="GB"))
    refused = await saga.happens("ordering", "OrderAddressChangeRefused", order_id)
    assert refused.event.ship_to is None  # type: ignore[attr-defined]
