"""One answer to each Idempotency-Key, whoever is faster, and nothing done twice."""

import asyncio

from emporium.domain.cart import CART, cart_id_of
from emporium.domain.order import OrderCreated
from tests.http.client import ADDRESS, PASSWORD, House


async def _orders(house: House) -> list[OrderCreated]:
    events, _ = await house.shop.logs["ordering"].read(0, 10_000, topics=["ordering.OrderCreated"])
    return [one.event for one in events if isinstance(one.event, OrderCreated)]


async def test_the_same_request_gets_the_same_answer_and_is_done_once(house: House) -> None:
    customer = await house.register()
    first = await customer.post("/cart/items", {"sku": "MUG", "quantity": 2}, idempotency_key="k1")
    again = await customer.post("/cart/items", {"quantity": 2, "sku": "MUG"}, idempotency_key="k2")
    assert again.json()["quantity"] == 4
    replayed = await customer.post("/cart/items", {"sku": "MUG", "quantity": 2}, idempotency_key="k1")
    assert (replayed.status_code, replayed.content) == (first.status_code, first.content)
    assert replayed.headers["location"] == first.headers["location"]
    assert replayed.headers["idempotency-replayed"] == "true"
    assert (await customer.get("/cart")).json()["units"] == 4


async def test_another_request_under_a_used_key_is_refused(house: House) -> None:
    customer = await house.register()
    await customer.post("/cart/items", {"sku": "MUG"}, idempotency_key="k")
    other = await customer.post("/cart/items", {"sku": "TEA"}, idempotency_key="k")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency_key_reused")
    assert (await customer.get("/cart")).json()["units"] == 1


async def test_keys_belong_to_their_caller_and_route(house: House) -> None:
    one, two = await house.register(), await house.register()
    assert (await one.post("/cart/items", {"sku": "MUG"}, idempotency_key="k")).status_code == 201
    answer = await two.post("/cart/items", {"sku": "MUG"}, idempotency_key="k")
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (201, False)
    placed = await one.check_out(idempotency_key="k")
    assert placed.status_code == 202


async def test_ten_submits_of_one_checkout_with_one_key_are_one_order(house: House) -> None:
    guest = house.guest()
    await guest.add()
    answers = await asyncio.gather(*(guest.check_out(idempotency_key="once") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(await _orders(house)) == 1


async def test_ten_submits_of_one_checkout_without_a_key_are_one_order(house: House) -> None:
    guest = house.guest()
    await guest.add()
    answers = await asyncio.gather(*(guest.check_out() for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    [order] = await _orders(house)
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {one["type"] for one in refused} == {"/problems/cart_checked_out"}
    assert {one["values"]["order"] for one in refused} == {order.number}


async def test_a_key_that_another_process_used_is_found_although_the_cart_is_empty_now(house: House) -> None:
    guest = house.guest()
    await guest.add()
    first = await guest.check_out(idempotency_key="k")
    # As another process would see it: nothing under way here, the cart checked out.
    again = await guest.check_out(idempotency_key="k")
    assert (again.status_code, again.content) == (202, first.content)
    await guest.add()
    late = await guest.check_out(idempotency_key="k")
    assert late.content == first.content
    assert len(await _orders(house)) == 1
    assert (await guest.get("/cart")).json()["units"] == 1


async def test_a_refusal_is_not_kept(house: House) -> None:
    guest = house.guest()
    refused = await guest.post("/cart/items", {"sku": "MUG", "quantity": 1_000}, idempotency_key="k")
    assert refused.status_code == 409
    await house.receive("MUG", 1_000)
    taken = await guest.post("/cart/items", {"sku": "MUG", "quantity": 1_000}, idempotency_key="k")
    assert taken.status_code == 201


async def test_an_anonymous_cart_is_not_lost_with_its_first_answer(house: House) -> None:
    first = await house.guest().post("/cart/items", {"sku": "MUG"}, idempotency_key="unique-1")
    again = await house.guest().post("/cart/items", {"sku": "MUG"}, idempotency_key="unique-1")
    assert again.content == first.content
    assert again.headers["cart-token"] == first.headers["cart-token"]


async def test_registration_under_one_key_is_one_account_and_keeps_no_password(house: House) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}
    answers = await asyncio.gather(
        *(house.guest().post("/account/register", body, idempotency_key="r") for _ in range(3))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    record = await house.shop.logs["accounts"].answered("anonymous POST /api/v1/account/register", "r")
    assert record is not None
    assert b"ada@" not in record.answer


async def test_a_duplicate_in_flight_is_told_to_come_back(house: House, monkeypatch: object) -> None:
    from emporium.http import idempotency

    assert isinstance(idempotency.PATIENCE, float)
    customer = await house.register()
    await customer.add()
    release = asyncio.Event()
    offers = house.shop.offers
    original = type(offers).offers

    async def slow(self: object, skus: object, currency: object) -> object:
        await release.wait()
        return await original(self, skus, currency)  # type: ignore[arg-type]

    patch = monkeypatch
    patch.setattr(type(offers), "offers", slow)  # type: ignore[attr-defined]
    patch.setattr(idempotency, "PATIENCE", 0.05)  # type: ignore[attr-defined]
    first = asyncio.create_task(customer.check_out(idempotency_key="k"))
    await asyncio.sleep(0)
    second = await customer.check_out(idempotency_key="k")
    assert (second.status_code, second.json()["type"]) == (409, "/problems/in_flight")
    assert second.headers["retry-after"] == "1"
    release.set()
    assert (await first).status_code == 202


async def test_nothing_personal_is_kept_with_a_key(house: House) -> None:
    guest = house.guest()
    added = await guest.post("/cart/items", {"sku": "MUG"}, idempotency_key="a")
    actor = f"guest:{added.json()['cart_id']}"
    await guest.post("/checkout", {"email": "ada@example.org", "shipping_address": ADDRESS}, idempotency_key="b")
    log = house.shop.logs["ordering"]
    for scope, key in (("anonymous POST /api/v1/cart/items", "a"), (f"{actor} POST /api/v1/checkout", "b")):
        record = await log.answered(scope, key)
        assert record is not None, scope
        for secret in (b"ada@", b"token", ADDRESS["postcode"].encode()):  # type: ignore[attr-defined]
            assert secret not in record.answer


async def test_the_cart_agrees_with_its_log(house: House) -> None:
    customer = await house.register()
    await asyncio.gather(*(customer.post("/cart/items", {"sku": "MUG"}, idempotency_key=f"{n % 3}") for n in range(9)))
    cart, _ = await house.shop.logs["ordering"].load(CART, cart_id_of(await house.customer_id(customer)), fresh=True)
    assert cart is not None
    assert cart.items["MUG"].quantity == 3
