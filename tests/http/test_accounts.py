"""Accounts: registration, log-in, log-out, and what an onlooker learns (nothing)."""

import asyncio

from emporium.domain.customer import (
    CustomerRegistered,
    EmailVerificationRequested,
    PasswordResetRequested,
    RegistrationRepeated,
)
from tests.http.client import API, PASSWORD, Caller, House


async def test_two_registrations_of_one_address_at_once_are_one_account(house: House) -> None:
    spellings = ("Ada@Example.org", "ada@example.org ", "ADA@EXAMPLE.ORG", "ada@example.org")
    answers = await asyncio.gather(
        *(house.guest().post("/account/register", {"email": one, "password": PASSWORD}) for one in spellings)
    )
    assert [answer.status_code for answer in answers] == [201] * 4
    events, _ = await house.shop.logs["accounts"].read(0, 100)
    [made] = [one for one in events if isinstance(one.event, CustomerRegistered)]
    ids = [answer.json()["customer_id"] for answer in answers]
    assert ids.count(str(made.stream)) == 1
    assert len(set(ids)) == 4


async def test_registering_with_a_known_address_looks_the_same_and_its_owner_is_told(house: House) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}
    first, again = [await house.guest().post("/account/register", body, idempotency_key=key) for key in ("a", "b")]
    for answer in (first, again):
        answer.headers.pop("x-request-id"), answer.headers.pop("consistency-token")
    assert first.headers == again.headers
    assert first.json().keys() == again.json().keys()
    repeated = await house.guest().post("/account/register", body, idempotency_key="b")
    assert repeated.json() == again.json()
    assert repeated.headers["idempotency-replayed"] == "true"
    told = await house.events("accounts", RegistrationRepeated)
    assert [one.email is not None for one in told] == [True]
    await house.guest().post("/account/register", body)
    told = await house.events("accounts", RegistrationRepeated)
    assert [one.email is not None for one in told] == [True, False], "the owner is told once an hour"


async def test_an_address_is_proved_by_the_link_that_was_sent_to_it_once(house: House) -> None:
    customer = await house.register("ada@example.org")
    assert (await customer.get("/account/me")).json()["verified"] is False
    token = await house.link(EmailVerificationRequested)
    answer = await house.guest().post("/account/verification", {"token": token})
    assert (answer.status_code, answer.json()["orders_claimed"]) == (200, 0)
    assert (await customer.get("/account/me")).json()["verified"] is True
    again = await house.guest().post("/account/verification", {"token": token})
    assert (again.status_code, again.json()["type"]) == (422, "/problems/link_used")
    made_up = await house.guest().post("/account/verification", {"token": "A" * 96})
    assert (made_up.status_code, made_up.json()["type"]) == (422, "/problems/link_invalid")
    assert (await customer.post("/account/verification/request")).status_code == 202
    assert len(await house.events("accounts", EmailVerificationRequested)) == 1, "there is nothing to prove any more"


async def test_another_link_is_not_sent_at_once(house: House) -> None:
    customer = await house.register("ada@example.org")
    for _ in range(3):
        assert (await customer.post("/account/verification/request")).status_code == 202
    assert len(await house.events("accounts", EmailVerificationRequested)) == 1


async def test_nothing_personal_is_in_clear_in_an_event(house: House) -> None:
    await house.register("ada@example.org")
    text = repr(await house.shop.logs["accounts"].stream(await _only_account(house)))
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
        "verified": False,
        "phone": None,
        "language": "en",
        "two_factor": False,
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
        ("ada@example.org", "Password123", "/password"),
        ("ada@example.org", "qwertyuiop", "/password"),
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


async def test_the_profile_is_changed_as_a_whole(house: House) -> None:
    customer = await house.register()
    body = {"name": "Ada King", "phone": "+44 20 7946 0000", "language": "de"}
    answer = await customer.call("PUT", f"{API}/account/profile", body)
    assert answer.status_code == 200, answer.text
    assert {name: answer.json()[name] for name in body} == body
    assert (await customer.call("PUT", f"{API}/account/profile", {"name": "Ada"})).json()["phone"] is None
    wrong = await customer.call("PUT", f"{API}/account/profile", {"phone": "call me maybe"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/phone")


async def test_failing_again_and_again_makes_waiting_longer_but_never_keeps_the_customer_out(house: House) -> None:
    customer = await house.register("ada@example.org")
    statuses = []
    for _ in range(8):
        answer = await house.guest().post("/account/login", {"email": "ada@example.org", "password": "wrong"})
        statuses.append(answer.status_code)
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert (await customer.get("/account/me")).status_code == 200, "who is logged in stays so"
    unknown = [
        (await house.guest().post("/account/login", {"email": "eve@example.org", "password": "wrong"})).status_code
        for _ in range(8)
    ]
    assert unknown == statuses, "an unknown address answers the same"
    await house.guest().post("/account/password/reset/request", {"email": "ada@example.org"})
    token = await house.link(PasswordResetRequested)
    reset = await house.guest().post("/account/password/reset", {"token": token, "password": "a better one"})
    assert reset.status_code == 204, reset.text
    back = await house.guest().post("/account/login", {"email": "ada@example.org", "password": "a better one"})
    assert back.status_code == 200, "the link lets the customer in at once"
