"""The last units at checkout: nobody is let in who would have to be refunded, and what is given back can be ordered."""

import asyncio
from collections import Counter
from typing import Any

from emporium.application.commands import FailAndReopen
from emporium.domain.order import (
    GIVEN_UP,
    OrderCreated,
    RecordDispatch,
    RecordPayment,
    RecordReservation,
    WriteOffParcel,
)
from tests.http.client import ADDRESS, STAFF, Caller, House


async def buyers(house: House, count: int, sku: str = "MUG", quantity: int = 1) -> list[Caller]:
    """Guests who have it in their carts."""
    guests = [house.guest() for _ in range(count)]
    for answer in await asyncio.gather(*(guest.add(sku, quantity) for guest in guests)):
        assert answer.status_code == 201, answer.text
    return guests


def short(answer: Any) -> Any:
    assert answer.json()["type"] == "/problems/not_available", answer.text
    return answer.json()["values"]["items"]


async def ordered(house: House, sku: str) -> int:
    return (await house.shop.logs["ordering"].counted([f"ordered/{sku}"]))[f"ordered/{sku}"]


async def test_no_more_orders_than_units_while_nothing_is_paid_yet(house: House) -> None:
    crowd = await buyers(house, 200)
    await house.adjust("MUG", -90)
    answers = await asyncio.gather(*(guest.check_out(idempotency_key="mine") for guest in crowd))
    assert Counter(answer.status_code for answer in answers) == {202: 10, 409: 190}
    assert all(
        short(answer) == [{"sku": "MUG", "wanted": 1, "available": 0}]
        for answer in answers
        if answer.status_code == 409
    )
    again = await asyncio.gather(*(guest.check_out(idempotency_key="mine") for guest in crowd[:20]))
    assert [one.status_code for one in again] == [one.status_code for one in answers[:20]]
    assert await ordered(house, "MUG") == 10
    [other] = await buyers(house, 1, "TEA")
    assert (await other.check_out()).status_code == 202


async def test_who_wants_more_than_are_left_is_told_how_many(house: House) -> None:
    [first, second, third] = await buyers(house, 3, "POT", 2)
    await house.adjust("POT", -97)
    assert (await first.check_out()).status_code == 202
    assert short(await second.check_out()) == [{"sku": "POT", "wanted": 2, "available": 1}]
    await house.receive("POT", 1)
    assert (await third.check_out()).status_code == 202


async def test_what_comes_to_nothing_can_be_ordered_by_others(house: House) -> None:
    crowd = await buyers(house, 6)
    await house.adjust("MUG", -98)
    one, two = [(await guest.check_out()) for guest in crowd[:2]]
    assert (one.status_code, two.status_code) == (202, 202)
    short(await crowd[2].check_out())
    orders = [created.order_id for created in await house.events("ordering", OrderCreated)]
    for _ in range(2):
        await house.shop.execute(FailAndReopen(order_id=orders[0], reason="payment_declined"), STAFF)
    assert await ordered(house, "MUG") == 1, "given back once"
    assert (await crowd[3].check_out()).status_code == 202
    # A parcel that never leaves gives its units back as well.
    total = (await house.events("ordering", OrderCreated))[1].total
    dispatch = RecordDispatch(
        order_id=orders[1], parcel=1, of=2, carrier="sandbox", tracking_number="T1", tracking_url="https://t.example/1"
    )
    given_up = WriteOffParcel(order_id=orders[1], return_id=orders[1], items={"MUG": 1}, restock=False, reason=GIVEN_UP)
    for command in (
        RecordPayment(order_id=orders[1], amount=total),
        RecordReservation(order_id=orders[1]),
        dispatch,
        given_up,
        given_up,
    ):
        await house.shop.execute(command, STAFF)
    assert await ordered(house, "MUG") == 1


async def test_an_order_on_the_phone_counts_as_any_other(house: House) -> None:
    [guest] = await buyers(house, 1)
    await house.adjust("MUG", -99)
    assert (await guest.check_out()).status_code == 202
    support = await house.staff("support")
    body = {"email": "eve@example.org", "lines": [{"sku": "MUG", "quantity": 1}], "shipping_address": ADDRESS}
    short(await support.post("/admin/orders", body))
