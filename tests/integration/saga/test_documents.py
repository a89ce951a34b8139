"""Invoices and credit notes: one per order and refund, under numbers without a gap, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from emporium.application.audit import audit
from emporium.application.commands import IssueDocuments
from emporium.application.policies import ORDERING
from emporium.application.ports import Conflict, EventLog, Meta, NewEvent, Unavailable, Unit
from emporium.application.runner import Follower
from emporium.domain import order
from emporium.domain.base import Command, Money
from emporium.domain.invoice import NUMBERS, CreditNoteIssued, InvoiceIssued, numbers_id
from emporium.domain.payment import RequestRefund
from emporium.domain.reservation import Allocation
from emporium.domain.shipment import OrderShipped, PackParcel, ShipParcel, shipment_id_of
from emporium.domain.shop_settings import BusinessAddress, Changes, ChangeShopSettings
from emporium.infra.clock import SetClock
from tests.support.saga import PRICE, Saga, running, until

CLOCK = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.fixture
async def still(database: str, folder: Path) -> AsyncIterator[tuple[Saga, SetClock]]:
    """A shop without process managers, a second before the year ends."""
    clock = SetClock(CLOCK)
    async with running(database, folder, clock=clock, roles=[]) as one:
        yield one, clock


async def bought(saga: Saga, *, price: Money = PRICE, left: bool = True) -> UUID:
    """An order that is paid and reserved and, unless that is not wanted, whose parcel has left."""
    order_id = uuid4()
    at = saga.shop.clock.now()
    line = order.OrderLine(line=1, sku="MUG", title="Mug", quantity=1, unit_price=price, total=price)
    commands: list[Command] = [
        order.PlaceOrder(
            order_id=order_id, number=order_id.hex[:12], subject=order_id, lines=(line,), shipping=Money(0, "GBP"),
            country="GB", payment_method="pm_ok", at=at,
        ),
        order.RecordPayment(order_id=order_id, amount=price),
        order.RecordReservation(order_id=order_id),
    ]  # fmt: skip
    if left:
        commands.append(
            order.RecordDispatch(order_id=order_id, parcel=1, of=1, carrier="c", tracking_number="t", tracking_url="u")
        )
    await saga.together("ordering", Meta(str(order_id), "request:test", "customer:1"), *commands)
    return order_id


async def documents(saga: Saga, *order_ids: UUID) -> list[str]:
    """The numbers of the orders' documents."""
    return [one.number for order_id in order_ids for one in (await saga.state(order_id)).documents]


async def insist(saga: Saga, order_id: UUID) -> None:
    while True:
        try:
            await saga.execute(IssueDocuments(order_id=order_id))
        except Conflict:
            continue
        return


async def test_fifty_invoices_at_once_leave_no_gap(still: tuple[Saga, SetClock]) -> None:
    saga, clock = still
    ids = [await bought(saga) for _ in range(50)]
    await asyncio.gather(*(insist(saga, order_id) for order_id in ids))
    await asyncio.gather(*(insist(saga, order_id) for order_id in ids))
    numbers = await documents(saga, *ids)
    assert sorted(numbers) == [f"INV-2025-{n:06}" for n in range(1, 51)]
    taken = await saga.shop.logs["ordering"].stream(numbers_id("INV", 2025))
    assert [one.event.count for one in taken] == list(range(1, 51))  # type: ignore[attr-defined]
    for one in taken:
        [number] = await documents(saga, one.event.order_id)  # type: ignore[attr-defined]
        assert number == f"INV-2025-{one.event.count:06}"  # type: ignore[attr-defined]
    # The next year begins anew, at midnight in UTC; a second command for an order still makes nothing.
    clock.set(datetime(2026, 1, 1, tzinfo=UTC))
    late = await bought(saga)
    await insist(saga, late)
    await insist(saga, ids[0])
    assert await documents(saga, late, ids[0]) == ["INV-2026-000001", numbers[0]]


class _Faulty:
    """A log whose appends fail: before they commit, or after it with the answer lost."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.faults: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, unit: Unit) -> int:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise Unavailable
        position = await self._log.append(unit)
        if fault == "after":
            raise Unavailable
        return position


async def test_a_crash_between_loses_no_number_and_gives_none_twice(still: tuple[Saga, SetClock]) -> None:
    saga, _ = still
    shop = saga.shop
    ids = [await bought(saga, left=False) for _ in range(30)]
    free = await bought(saga, price=Money(0, "GBP"), left=False)
    log, faulty = shop.logs["shipping"], _Faulty(shop.logs["ordering"])

    def follower() -> Follower:
        return Follower(ORDERING, faulty, log, shop.logs["ordering"], shop.clock, shop.schedule, 10)  # type: ignore[arg-type]

    async def ship(parcel: int) -> None:
        for order_id in (*ids, free):
            shipped = OrderShipped(
                order_id=order_id, parcel=parcel, of=2, items=(Allocation("MUG", "LON", 1),), carrier="c",
                tracking_number="t", tracking_url="u",
            )  # fmt: skip
            meta = Meta(str(order_id), "request:test", "system:test")
            new = NewEvent(uuid4(), shipment_id_of(order_id), parcel, shipped, shop.clock.now(), meta)
            await log.append(Unit(events=[new]))

    epoch = await shop.leases["ordering"].acquire("ordering", "test", 60.0)
    assert epoch is not None
    await ship(1)
    for fault in ("before", "after", "after", "before", ""):
        faulty.faults = [fault]
        one = follower()
        await one.resume()
        try:
            while (await one.step(epoch))[0]:
                pass
        except Unavailable:
            continue
    assert await documents(saga, *ids) == [f"INV-2025-{n:06}" for n in range(1, 31)]
    assert await documents(saga, free) == []
    # Two orders can lose the number to somebody else's commit and decide again: nothing is lost.
    await ship(2)
    goodwill = [
        order.GrantGoodwill(order_id=order_id, refund_id=uuid4(), amount=Money(5, "GBP"), reason="late")
        for order_id in ids[:2]
    ]
    for one in goodwill:
        await saga.execute(one)
        refund = order.RecordOrderRefund(order_id=one.order_id, refund_id=one.refund_id, amount=one.amount)
        await saga.execute(refund)
    late = follower()
    await late.resume()
    more = [await bought(saga) for _ in range(3)]
    await asyncio.gather(late.step(epoch), *(insist(saga, order_id) for order_id in more), insist(saga, ids[0]))
    while (await late.step(epoch))[0]:
        pass
    assert sorted(await documents(saga, *more)) == [f"INV-2025-{n:06}" for n in range(31, 34)]
    notes = [await documents(saga, order_id) for order_id in ids[:2]]
    assert sorted(note[1] for note in notes) == ["CN-2025-000001", "CN-2025-000002"]
    numbers, version = await shop.logs["ordering"].load(NUMBERS, numbers_id("CN", 2025), fresh=True)
    assert numbers is not None
    assert (numbers.count, version) == (2, 2)


async def test_what_is_sold_is_invoiced_and_what_goes_back_is_credited(database: str, folder: Path) -> None:
    async with running(database, folder, settings={"fulfilment": "manual"}) as saga:
        at = BusinessAddress(name="Mugs & Co", lines=("1 Quay",), city="London", postcode="E1 1AA", country="GB")
        await saga.execute(
            ChangeShopSettings(
                changes=Changes(legal_name="Mugs & Co Ltd", vat_id="GB123456789", sender_address=at),
                at=saga.shop.clock.now(),
            )
        )
        await saga.stock(LON={"MUG": 9})
        early, stopped = await saga.order(MUG=2), await saga.order(MUG=1)
        for order_id in (early, stopped):
            await saga.becomes(order_id, "confirmed")
            sorry = order.GrantGoodwill(order_id=order_id, refund_id=uuid4(), amount=Money(100, "GBP"), reason="late")
            await saga.execute(sorry)
            await saga.happens("ordering", "OrderRefunded", order_id)
        await saga.execute(order.RequestCancellation(order_id=stopped, reason="changed my mind"))
        await saga.becomes(stopped, "cancelled")
        failed = await saga.order("pm_declined", MUG=1)
        await saga.becomes(failed, "failed")

        await saga.happens("shipping", "ParcelLabelled", early)
        await saga.execute(PackParcel(order_id=early, parcel=1))
        await saga.execute(ShipParcel(order_id=early, parcel=1))
        await saga.becomes(early, "shipped")
        await saga.happens("ordering", "CreditNoteIssued", early)
        lost = order.WriteOffParcel(
            order_id=early, return_id=uuid4(), items={"MUG": 1}, restock=False, reason="parcel_lost"
        )
        await saga.execute(lost)

        async def two() -> bool:
            return len((await saga.state(early)).documents) == 3

        await until(two, saga.shop.logs["ordering"], 20)
        # Staff give back at the payment: what corrects the price is credited, what was paid in error is not.
        for amount, reason in ((60, "paid_twice"), (40, "damaged")):
            await saga.execute(
                RequestRefund(order_id=early, refund_id=uuid4(), amount=Money(amount, "GBP"), reason=reason)
            )

        async def all_back() -> bool:
            state = await saga.state(early)
            return len([one for one in state.refunds.values() if one < 0]) == 4

        await until(all_back, saga.shop.logs["ordering"], 20)
        year = saga.shop.clock.now().year
        invoice, first, second, third = (await saga.state(early)).documents
        assert [one.number for one in (invoice, first, second, third)] == [
            f"INV-{year}-000001", f"CN-{year}-000001", f"CN-{year}-000002", f"CN-{year}-000003",
        ]  # fmt: skip
        assert [one.amount.amount for one in (invoice, first, second, third)] == [1_000, 100, 500, 40]
        assert (first.corrects, second.corrects) == (invoice.number, invoice.number)
        assert second.refund_id == lost.return_id
        assert invoice.seller.address == ("Mugs & Co", "1 Quay", "E1 1AA London", "GB")
        assert (invoice.seller.legal_name, invoice.seller.vat_id) == ("Mugs & Co Ltd", "GB123456789")
        for order_id in (stopped, failed):
            assert await documents(saga, order_id) == []
        story = await audit(saga.shop.logs, early)
        assert story.findings == ()
        kinds = [type(step.recorded.event) for step in story.steps]
        assert kinds.count(InvoiceIssued) == 1
        assert kinds.count(CreditNoteIssued) == 3
