"""Orders: who sees which, read your own writes, pages, and a number that people can dictate."""

import asyncio

from emporium.projections.consistency import Token
from tests.http.client import House


async def test_an_order_is_seen_by_its_customer_and_staff_only(house: House) -> None:
    owner, other, support, warehouse = (
        await house.register(),
        await house.register(),
        await house.staff("support"),
        await house.staff("warehouse"),
    )
    await owner.add()
    placed = await owner.check_out()
    number, token = placed.json()["order_number"], placed.headers["consistency-token"]
    for path in (f"/orders/{number}", f"/orders/{number}/timeline"):
        assert (await owner.get(path)).status_code == 200
        assert (await support.get(path, consistency_token=token)).status_code == 200
        for stranger in (other, house.guest(), warehouse):
            answer = await stranger.get(path, consistency_token=token)
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_found")
    for stranger in (other, house.guest()):
        assert (await stranger.post(f"/orders/{number}/cancel", {})).status_code == 404
        bare = await stranger.post(f"/orders/{number}/cancel")
        assert bare.status_code == 404, "a body is not needed"
    assert (await other.get("/orders", consistency_token=token)).json()["items"] == []


async def test_a_guest_sees_the_order_by_its_token(house: House) -> None:
    guest = house.guest()
    await guest.add()
    placed = await guest.check_out()
    number = placed.json()["order_number"]
    assert placed.headers["order-token"] == placed.json()["order_token"]
    assert (await guest.get(f"/orders/{number}")).json()["email"] == "ada@example.org"
    await guest.add()
    other = (await guest.check_out()).json()["order_number"]
    guest.headers["order-token"] = placed.headers["order-token"]
    assert (await guest.get(f"/orders/{other}")).status_code == 404


async def test_a_number_may_be_typed_as_people_type(house: House) -> None:
    customer = await house.register()
    await customer.add()
    number = (await customer.check_out()).json()["order_number"]
    assert (await customer.get(f"/orders/{number.lower().replace('-', '')}")).json()["order_number"] == number
    wrong = await customer.get(f"/orders/{number[:-1]}{'0' if number[-1] != '0' else '1'}")
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/problems/order_number_malformed")


async def test_orders_come_newest_first_and_page_by_page(house: House) -> None:
    customer = await house.register()
    numbers = []
    for _ in range(5):
        await customer.add()
        numbers.append((await customer.check_out()).json()["order_number"])
    seen: list[str] = []
    path: str | None = "/orders?limit=2"
    while path is not None:
        page = (await customer.get(path)).json()
        seen += [one["order_number"] for one in page["items"]]
        path = page["next"] and page["next"].removeprefix("/api/v1")
    assert seen == numbers[::-1]
    only = (await customer.get("/orders?status=fulfilled")).json()
    assert only == {"items": [], "next": None}
    staff = await house.staff("support")
    found = (await staff.get(f"/orders?number={numbers[0].lower()}")).json()["items"]
    assert [one["order_number"] for one in found] == [numbers[0]]


async def test_a_read_with_a_token_includes_the_write(house: House) -> None:
    customer = await house.register()
    for _ in range(10):
        await customer.add()
        placed = await customer.check_out()
        order = await customer.get(f"/orders/{placed.json()['order_number']}")
        assert order.status_code == 200


async def test_while_the_projector_is_paused_a_newer_token_gets_503_and_no_stale_answer(house: House) -> None:
    customer = await house.register()
    await customer.add()
    placed = await customer.check_out()
    assert (await customer.get("/orders")).status_code == 200
    await house.pause("order_history")
    await customer.add()
    placed = await customer.check_out()
    late = await customer.get("/orders")
    assert (late.status_code, late.json()["type"]) == (503, "/problems/not_yet_visible")
    assert int(late.headers["retry-after"]) >= 1
    assert (await customer.get(f"/orders/{placed.json()['order_number']}")).status_code == 503
    del customer.headers["consistency-token"]
    assert len((await customer.get("/orders")).json()["items"]) == 1
    await house.pause("order_history", paused=False)
    token = placed.headers["consistency-token"]
    answers = await asyncio.gather(*(customer.get("/orders", consistency_token=token) for _ in range(5)))
    assert {len(answer.json()["items"]) for answer in answers} == {2}


async def test_a_token_of_another_life_of_the_log_is_refused(house: House) -> None:
    customer = await house.register()
    await customer.add()
    foreign = Token({"ordering": (1, "0123456789ab")}).encode()
    for path in ("/orders", "/cart", "/products"):
        answer = await customer.get(path, consistency_token=foreign)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/stale_token")


async def test_tokens_of_several_writes_are_one_token(house: House) -> None:
    customer = await house.register()
    admin = await house.staff()
    received = await admin.post("/inventory/receive", {"sku": "MUG", "warehouse": "LON", "quantity": 7})
    token = received.headers["consistency-token"]
    added = await customer.post("/cart/items", {"sku": "MUG"}, consistency_token=token)
    merged = Token.decode(added.headers["consistency-token"]).positions
    assert set(merged) == {"inventory", "ordering"}
    levels = await admin.get("/inventory/levels?sku=MUG", consistency_token=token)
    assert levels.json()["items"][0]["on_hand"] == 107
