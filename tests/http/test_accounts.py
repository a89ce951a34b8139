"""Accounts: registration, log-in, log-out, and what an onlooker learns (nothing)."""

import asyncio

from emporium.domain.customer import CustomerRegistered
from tests.http.client import API, PASSWORD, Caller, House


async def test_two_registrations_of_one_address_at_once_are_one_account(house: House) -> None:
    spellings = ("Ada@Example.org", "ada@example.org ", "ADA@EXAMPLE.ORG", "ada@example.org")
    answers = await asyncio.gather(
        *(house.guest().post("/account/register", {"email": one, "password": PASSWORD}) for one in spellings)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {a.json()["type"] for a in answers if a.status_code == 409} == {"/problems/email_taken"}
    events, _ = await house.shop.logs["accounts"].read(0, 100)
    assert len([one for one in events if isinstance(one.event, CustomerRegistered)]) == 1


async def test_nothing_personal_is_in_clear_in_an_event(house: House) -> None:
    await house.register("ada@example.org")
    [one] = await house.shop.logs["accounts"].stream(await _only_account(house))
    text = repr(one)
    for secret in ("ada@", PASSWORD, "argon2"):
        assert secret not in text


async def _only_account(house: House):  # type: ignore[no-untyped-def]
    events, _ = await house.shop.logs["accounts"].read(0, 10)
    return events[0].stream


async def test_an_unknown_address_and_a_wrong_password_look_the_same(house: House) -> None:
    await house.register("ada@example.org")
    answers = [
        await house.guest().post("/account/login", body)
        for body in (
            {"email": "ada@example.org", "password": "wrong password"},
            {"email": "eve@example.org", "password": PASSWORD},
        )
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    known, unknown = (answer.json() for answer in answers)
    known.pop("request_id"), unknown.pop("request_id")
    assert known == unknown
    assert answers[0].headers["www-authenticate"].startswith("Bearer")


async def test_the_address_may_be_written_in_capitals_at_log_in(house: House) -> None:
    await house.register("ada@example.org")
    answer = await house.guest().post("/account/login", {"email": " ADA@example.ORG", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["roles"] == ["customer"]
    assert answer.headers["cache-control"] == "no-store"


async def test_me_and_log_out(house: House) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD, "name": "Ada King"}
    made = await house.guest().post("/account/register", body)
    assert made.headers["location"] == f"{API}/account/me"
    customer = await house.log_in("ada@example.org")
    me = await customer.get("/account/me")
    assert me.json() == {
        "customer_id": made.json()["customer_id"],
        "email": "ada@example.org",
        "name": "Ada King",
        "roles": ["customer"],
    }
    other = await house.log_in("ada@example.org")
    assert (await customer.post("/account/logout")).status_code == 204
    assert (await customer.get("/account/me")).status_code == 401
    assert (await other.get("/account/me")).status_code == 200


async def test_without_a_token_or_with_a_wrong_one_nobody_is_let_in(house: House) -> None:
    for caller in (house.guest(), Caller(house.client, "x" * 43)):
        for path in ("/account/me", "/orders", "/inventory/levels", "/shipments"):
            answer = await caller.get(path)
            assert (answer.status_code, answer.json()["type"]) == (401, "/problems/not_authenticated")


async def test_customers_are_no_staff(house: House) -> None:
    customer = await house.register()
    for path in ("/inventory/levels", "/shipments"):
        answer = await customer.get(path)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    support = await house.staff("support")
    assert (await support.get("/inventory/levels")).status_code == 403
    warehouse = await house.staff("warehouse")
    assert (await warehouse.get("/inventory/levels")).status_code == 200


async def test_passwords_and_addresses_that_will_not_do(house: House) -> None:
    for email, password, pointer in (
        ("ada@example.org", "1234567", "/password"),
        ("ada@example.org", "x" * 257, "/password"),
        ("ada", PASSWORD, "/email"),
        ("ada@@example.org", PASSWORD, "/email"),
        ("ada@example", PASSWORD, "/email"),
        ("ada @example.org", PASSWORD, "/email"),
        ("x" * 65 + "@example.org", PASSWORD, "/email"),
    ):
        answer = await house.guest().post("/account/register", {"email": email, "password": password})
        assert answer.status_code == 422, email
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], answer.text
        assert email not in answer.text or email == "ada"
    for email in ("ada.king+tea@sub.example.co.uk", "žofie@příklad.cz"):
        answer = await house.guest().post("/account/register", {"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
