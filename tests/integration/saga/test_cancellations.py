"""Units that are cancelled while others pack, cancel or die: one answer each, and everything back exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from emporium.application.bootstrap import process_managers
from emporium.application.together import end
from emporium.domain.cancellations import CancelLines
from emporium.domain.order import OrderState, RequestCancellation
from emporium.domain.payment import PAYMENT, PaymentState, payment_id_of
from emporium.domain.shipment import SHIPMENT, PackParcel, ShipmentState, shipment_id_of
from tests.support.saga import Saga, running, until


def less(order_id: UUID, units: int = 1, known: UUID | None = None) -> CancelLines:
    return CancelLines(
        order_id=order_id, cancellation_id=known or uuid4(), lines=((1, units),), reason="changed_mind", by_staff=True
    )


async def parcels(saga: Saga, order_id: UUID) -> ShipmentState:
    state, _ = await saga.shop.logs["shipping"].load(SHIPMENT, shipment_id_of(order_id), fresh=True)
    assert state is not None
    return state


async def paid(saga: Saga, order_id: UUID) -> PaymentState:
    state, _ = await saga.shop.logs["payments"].load(PAYMENT, payment_id_of(order_id), fresh=True)
    assert state is not None
    return state


async def settled(saga: Saga, order_id: UUID) -> OrderState:
    """The order, once every wish has its answer and all money that is owed went back."""

    async def look() -> OrderState | None:
        state = await saga.state(order_id)
        back = sum(one.amount for one in (await paid(saga, order_id)).refunds.values() if one.status == "done")
        owed = sum(one.amount for one in state.cancellations.values())
        return state if not state.unwanted and (state.status == "cancelled" or back == owed) else None

    found: OrderState = await until(look, saga.shop.logs["payments"], 20)
    return found


async def test_a_cancellation_that_comes_with_the_packing_or_with_another_has_one_end(
    database: str, folder: Path
) -> None:
    async with running(database, folder, settings={"fulfilment": "manual"}) as saga:
        await saga.stock(LON={"MUG": 60})
        held = 0
        for turn in range(6):
            order_id = await saga.order(MUG=4)
            await saga.happens("shipping", "ParcelLabelled", order_id)
            pack = PackParcel(order_id=order_id, parcel=1)
            race = [(less(order_id), pack), (pack, less(order_id)), (less(order_id, 3), less(order_id, 2))][turn % 3]
            done = await asyncio.gather(*(saga.execute(one) for one in race), return_exceptions=True)
            if turn % 3 == 2:
                # Of four, three and two cannot both be cancelled.
                assert [isinstance(one, Exception) for one in done].count(True) == 1
            state = await settled(saga, order_id)
            sent = sum(item.quantity for item in (await parcels(saga, order_id)).parcels[1].parcel.items)
            held += sent
            assert state.lines[0].quantity == sent
            assert state.total.amount == 500 * sent
            payment = await paid(saga, order_id)
            assert payment.received - sum(one.amount for one in payment.refunds.values()) == state.total.amount
        # A part, and then the whole of it, before anybody answers.
        order_id = await saga.order(MUG=2)
        await saga.becomes(order_id, "confirmed")
        both = less(order_id), RequestCancellation(order_id=order_id, reason="changed_mind")
        for one in both:
            await saga.execute(one)
        await saga.becomes(order_id, "cancelled")

        async def all_back() -> bool:
            return (await paid(saga, order_id)).left == 0 and (await saga.level("MUG", "LON")).reserved == held

        await until(all_back, saga.shop.logs["inventory"], 20)
        assert (await saga.level("MUG", "LON")).on_hand == 60


@asynccontextmanager
async def only(saga: Saga, name: str) -> AsyncIterator[None]:
    """One process manager, which dies at the end of the context."""
    managers = process_managers(saga.shop, automatic=False, name=f"test-{uuid4()}", ttl=0.5)
    tasks = [asyncio.create_task(manager.run()) for manager in managers if manager.name == name]
    assert tasks
    try:
        yield
    finally:
        await end(tasks)


async def test_whoever_dies_between_the_steps_what_is_cancelled_goes_back_once(database: str, folder: Path) -> None:
    async with running(database, folder, roles=(), settings={"fulfilment": "manual"}) as saga:
        await saga.stock(LON={"MUG": 5})
        order_id = await saga.order(MUG=3)
        steps = [
            ("payments", "payments", "PaymentProcessed"),
            ("ordering", "ordering", "OrderPaid"),
            ("inventory", "inventory", "StockReserved"),
            ("shipping", "shipping", "ShipmentPrepared"),
            ("ordering", "ordering", "OrderConfirmed"),
        ]
        for name, log, topic in steps:
            async with only(saga, name):
                await saga.happens(log, topic, order_id)
        await saga.execute(less(order_id))
        for name, log, topic in (
            ("shipping", "shipping", "ShipmentReduced"),
            ("inventory", "inventory", "ReservationReduced"),
            ("ordering", "ordering", "OrderLinesCancelled"),
            ("payments", "payments", "RefundRequested"),
            ("payments", "payments", "PaymentRefunded"),
            ("ordering", "ordering", "OrderRefunded"),
        ):
            # Each comes back twice: what is done is not done again.
            for _ in range(2):
                async with only(saga, name):
                    await saga.happens(log, topic, order_id)
        story = await saga.story(order_id)
        for log, topic in (
            ("shipping", "ShipmentReduced"), ("inventory", "UnitsReleased"), ("ordering", "OrderLinesCancelled"),
            ("payments", "PaymentRefunded"), ("ordering", "OrderRefunded"),
        ):  # fmt: skip
            assert story[log].count(topic) == 1, (log, topic)
        level = await saga.level("MUG", "LON")
        assert (level.on_hand, level.reserved) == (5, 2)
        assert (await saga.state(order_id)).total.amount == (await paid(saga, order_id)).left == 1_000
