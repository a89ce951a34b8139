"""Carts: anonymous ones, their way into an account, and what is shown beside the price of then."""

from emporium.domain.base import Money
from emporium.domain.product import ChangePrice, product_id_of
from tests.http.client import PASSWORD, STAFF, Caller, House


async def _reprice(house: House, sku: str, pence: int) -> None:
    change = ChangePrice(product_id=product_id_of(sku), sku=sku, price=Money(pence, "GBP"))
    await house.shows("catalog", (await house.shop.execute(change, STAFF)).position, "catalog_pages")


async def test_an_anonymous_cart_is_named_by_its_token(house: House) -> None:
    guest = house.guest()
    assert (await guest.get("/cart")).json()["items"] == []
    added = await guest.add("MUG", 2)
    assert added.headers["cart-token"] == added.json()["cart_token"]
    assert added.headers["location"] == "/api/v1/cart/items/MUG"
    assert (await guest.get("/cart")).json()["units"] == 2
    assert (await house.guest().get("/cart")).json()["units"] == 0


async def test_change_remove_clear(house: House) -> None:
    customer = await house.register()
    await customer.add("MUG", 2)
    await customer.add("TEA", 1)
    changed = await customer.call("PATCH", "/api/v1/cart/items/MUG", {"quantity": 5})
    assert [(item["sku"], item["quantity"]) for item in changed.json()["items"]] == [("MUG", 5), ("TEA", 1)]
    assert "consistency-token" in changed.headers
    removed = await customer.call("DELETE", "/api/v1/cart/items/MUG")
    assert [item["sku"] for item in removed.json()["items"]] == ["TEA"]
    missing = await customer.call("DELETE", "/api/v1/cart/items/MUG")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not_in_cart")
    cleared = await customer.call("DELETE", "/api/v1/cart")
    assert cleared.json()["items"] == []


async def test_no_more_than_there_is(house: House) -> None:
    customer = await house.register()
    await customer.add("MUG", 60)
    refused = await customer.add("MUG", 60)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/out_of_stock")
    assert refused.json()["values"] == {"sku": "MUG", "available": 100, "wanted": 120}
    refused = await customer.call("PATCH", "/api/v1/cart/items/MUG", {"quantity": 101})
    assert refused.json()["type"] == "/problems/out_of_stock"


async def test_at_log_in_the_larger_quantity_stays(house: House) -> None:
    await house.register("ada@example.org")
    customer = await house.log_in("ada@example.org")
    await customer.add("MUG", 1)
    await customer.add("TEA", 5)
    guest = house.guest()
    await guest.add("MUG", 3)
    await guest.add("TEA", 2)
    await guest.add("POT", 1)
    answer = await guest.post("/account/login", {"email": "ada@example.org", "password": PASSWORD})
    assert answer.json()["cart_merged"] is True
    cart = (await Caller(house.client, answer.json()["token"]).get("/cart")).json()
    assert {item["sku"]: item["quantity"] for item in cart["items"]} == {"MUG": 3, "TEA": 5, "POT": 1}
    late = await guest.add("MUG")
    assert late.json()["type"] == "/problems/cart_merged"
    again = await guest.post("/account/login", {"email": "ada@example.org", "password": PASSWORD})
    assert again.json()["cart_merged"] is False


async def test_somebody_elses_token_cannot_be_made_up(house: House) -> None:
    guest = house.guest()
    await guest.add()
    token = guest.headers["cart-token"]
    guest.headers["cart-token"] = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert (await guest.get("/cart")).status_code == 400


async def test_the_price_of_now_is_shown_beside_that_of_then(house: House) -> None:
    customer = await house.register()
    await customer.add("MUG", 2)
    await _reprice(house, "MUG", 650)
    [item] = (await customer.get("/cart")).json()["items"]
    assert item["unit_price"]["amount"] == 500
    assert item["current_price"]["amount"] == 650
    assert item["total"]["amount"] == 1_300


async def test_a_changed_price_is_shown_before_it_is_charged(house: House) -> None:
    guest = house.guest()
    await guest.add("MUG", 2)
    await _reprice(house, "MUG", 650)
    refused = await guest.check_out()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/price_changed")
    assert refused.json()["values"]["items"] == [{"sku": "MUG", "currency": "GBP", "was": 500, "now": 650}]
    accepted = await guest.check_out(accept_prices=True)
    assert accepted.status_code == 202
    assert accepted.json()["goods"]["amount"] == 1_300


async def test_what_ran_out_is_named_at_checkout(house: House) -> None:
    guest = house.guest()
    await guest.add("MUG", 80)
    await house.adjust("MUG", -50)
    refused = await guest.check_out()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not_available")
    assert refused.json()["values"]["items"] == [{"sku": "MUG", "wanted": 80, "available": 50}]


async def test_shipping_is_free_from_the_stated_value_on(house: House) -> None:
    guest = house.guest()
    await guest.add("POT", 3)
    placed = (await guest.check_out()).json()
    assert (placed["shipping"]["amount"], placed["total"]["amount"]) == (0, 6_000)


async def test_a_guest_needs_an_address_to_write_to_and_a_customer_has_one(house: House) -> None:
    guest = house.guest()
    await guest.add()
    assert (await guest.check_out(email=None)).json()["type"] == "/problems/email_needed"
    customer = await house.register("ada@example.org")
    await customer.add()
    placed = await customer.check_out(email=None)
    assert "order_token" not in placed.json()
    order = await customer.get(f"/orders/{placed.json()['order_number']}")
    assert order.json()["email"] == "ada@example.org"


async def test_an_empty_cart_cannot_be_checked_out(house: House) -> None:
    customer = await house.register()
    for caller in (house.guest(), customer):
        refused = await caller.check_out()
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/cart_empty")
