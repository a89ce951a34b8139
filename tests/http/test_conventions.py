"""What holds on every route: problems, pointers, request ids, strict bodies, methods, ETags, pages."""

from typing import Any

import pytest

from tests.http.client import ADDRESS, API, PASSWORD, House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_problem_says_what_where_and_which_request(shared: House) -> None:
    answer = await shared.guest().post("/cart/items", {"sku": "NOPE"}, x_request_id="my-id.1")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "my-id.1"
    assert answer.json() == {
        "type": "/problems/not_for_sale",
        "title": "Not for sale",
        "status": 404,
        "detail": "NOPE is not for sale in GBP.",
        "instance": "/api/v1/cart/items",
        "request_id": "my-id.1",
        "values": {"sku": "NOPE", "currency": "GBP"},
    }


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "ä"])
async def test_a_request_id_that_is_not_sane_is_replaced(shared: House, given: str) -> None:
    answer = await shared.client.get("/health/live", headers={"x-request-id": given.encode()})
    assert answer.headers["x-request-id"] not in ("", given)


async def test_requests_without_an_id_get_different_ones(shared: House) -> None:
    ids = {(await shared.client.get("/health/live")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_every_wrong_field_has_its_pointer(shared: House) -> None:
    body = {
        "email": 7,
        "shipping_address": {**ADDRESS, "lines": ["ok", 5, ""], "country": "gb", "planet": "Earth"},
        "accept_prices": "yes",
        "coup/on": 1,
    }
    del body["shipping_address"]["city"]  # type: ignore[attr-defined]
    guest = shared.guest()
    await guest.add()
    answer = await guest.post("/checkout", body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid_body")
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/email",
        "/shipping_address/lines/1",
        "/shipping_address/lines/2",
        "/shipping_address/country",
        "/shipping_address/planet",
        "/shipping_address/city",
        "/accept_prices",
        "/coup~1on",
    }


async def test_what_the_domain_refuses_has_a_pointer_too(shared: House) -> None:
    guest = shared.guest()
    await guest.add()
    address = {**ADDRESS, "name": " ", "lines": ["x"]}
    answer = await guest.post("/checkout", {"email": "ada@example.org", "shipping_address": address})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/shipping_address/name"]
    address = {**ADDRESS, "country": "US"}
    answer = await guest.post("/checkout", {"email": "ada@example.org", "shipping_address": address})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/address_invalid")
    assert {error["pointer"]: error["detail"] for error in answer.json()["errors"]} == {
        "/shipping_address/postcode": "Postcode is none of an address in US.",
        "/shipping_address/region": "An address in US needs a region.",
    }
    assert "SW1Y" not in answer.text
    answer = await guest.post("/checkout/quotes", {"country": "XX"})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/country"]
    answer = await guest.post("/checkout", {"email": "ada@nowhere", "shipping_address": ADDRESS})
    assert answer.json()["type"] == "/problems/email_malformed"
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/email"]
    assert "ada@nowhere" not in answer.text


async def test_parameters_are_checked_and_unknown_ones_refused(shared: House) -> None:
    for query, name in (("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limt=5", "limt"),
                        ("sort=best", "sort"), ("currency=pounds", "currency")):  # fmt: skip
        answer = await shared.client.get(f"{API}/products?{query}")
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid_parameter"), query
        assert [error["parameter"] for error in answer.json()["errors"]] == [name]
    answer = await shared.client.get(f"{API}/products?cursor=%21%21")
    assert answer.json()["type"] == "/problems/invalid_cursor"


async def test_only_json_is_taken(shared: House) -> None:
    path = f"{API}/cart/items"
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ):
        answer = await shared.client.post(path, content=b'{"sku":"MUG"}', headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported_media_type")
    answer = await shared.client.post(
        path, content=b'{"sku":"MUG"}', headers={"content-type": "application/json; charset=UTF-8"}
    )
    assert answer.status_code == 201


async def test_methods_and_paths_that_are_not_there(shared: House) -> None:
    answer = await shared.client.put(f"{API}/cart/items")
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method_not_allowed")
    assert "POST" in answer.headers["allow"]
    answer = await shared.client.get("/api/v2/cart")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_found")


async def test_head_is_get_without_the_body(shared: House) -> None:
    get = await shared.client.get(f"{API}/products")
    head = await shared.client.head(f"{API}/products")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]


async def test_an_unchanged_answer_is_not_sent_again(shared: House) -> None:
    customer = await shared.register()
    await customer.add()
    for path in ("/products", "/products/mug", "/products/categories", "/cart", "/account/me", "/orders"):
        first = await customer.get(path)
        assert first.status_code == 200, first.text
        tag = first.headers["etag"]
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await customer.get(path, if_none_match=given)
            assert (again.status_code, again.content) == (304, b""), (path, given)
            assert again.headers["etag"] == tag
        assert (await customer.get(path, if_none_match='"other"')).status_code == 200
    tag = (await customer.get("/cart")).headers["etag"]
    await customer.add()
    assert (await customer.get("/cart", if_none_match=tag)).status_code == 200


async def test_what_is_private_is_not_for_shared_caches(shared: House) -> None:
    customer = await shared.register()
    assert (await customer.get("/products")).headers["cache-control"] == "public, no-cache"
    for path in ("/cart", "/account/me", "/orders"):
        assert (await customer.get(path)).headers["cache-control"] == "private, no-cache"
    login = await shared.guest().post("/account/login", {"email": "nobody@example.org", "password": PASSWORD})
    assert "etag" not in login.headers


async def test_pages_follow_each_other_without_gap_or_repetition(shared: House) -> None:
    seen: list[Any] = []
    path: str | None = f"{API}/products?limit=2&sort=price"
    while path is not None:
        page = (await shared.client.get(path)).json()
        assert len(page["items"]) <= 2
        seen += [item["slug"] for item in page["items"]]
        path = page["next"]
    assert seen == ["tea", "mug", "pot"]


async def test_a_word_that_is_not_one_of_those_allowed_is_told_which_are(shared: House) -> None:
    staff = await shared.staff("admin")
    answer = await staff.post("/payments/K7QM-3XWD-9D0Z/refunds", {"amount": 1, "reason": "scratched"})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["pointer"]) == (422, "/reason")
    assert error["detail"].startswith("Must be one of: goodwill, damaged, ")
