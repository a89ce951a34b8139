"""A customer's way through the shop: register, log in, fill a cart, check out, look at the order."""

from tests.http.client import House


async def test_from_cart_to_order(house: House) -> None:
    customer = await house.register("ada@example.org")
    added = await customer.add("MUG", 2)
    assert added.status_code == 201, added.text
    assert added.json() | {"cart_id": ""} == {
        "cart_id": "",
        "sku": "MUG",
        "quantity": 2,
        "unit_price": {"amount": 500, "currency": "GBP"},
        "items": 1,
    }
    cart = await customer.get("/cart")
    assert cart.json()["total"] == {"amount": 1_000, "currency": "GBP"}
    placed = await customer.check_out()
    assert placed.status_code == 202, placed.text
    number = placed.json()["order_number"]
    assert placed.headers["location"] == f"/api/v1/orders/{number}"
    order = await customer.get(f"/orders/{number}")
    assert order.status_code == 200, order.text
    assert order.json()["status"] == "pending"
    assert order.json()["total"] == {"amount": 1_495, "currency": "GBP"}
    assert order.json()["email"] == "ada@example.org"
    orders = await customer.get("/orders")
    assert [one["order_number"] for one in orders.json()["items"]] == [number]
