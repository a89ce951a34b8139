"""Passwords, devices, the change of address and two-factor log-in, by the routes alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyotp
import pytest

from emporium.domain.customer import (
    EmailChangeAnnounced,
    EmailChangeRequested,
    NewDeviceSeen,
    PasswordResetRequested,
)
from emporium.infra.settings import Settings
from tests.http.client import API, PASSWORD, Caller, House
from tests.http.conftest import running

NEW = "another horse battery"


async def two_factor(customer: Caller) -> tuple[pyotp.TOTP, list[str]]:
    """Turns it on; the authenticator and the recovery codes."""
    prepared = await customer.post("/account/two-factor", {"password": PASSWORD})
    assert prepared.status_code == 200, prepared.text
    totp = pyotp.TOTP(prepared.json()["secret"])
    assert pyotp.parse_uri(prepared.json()["uri"]).secret == totp.secret
    enabled = await customer.post("/account/two-factor/enable", {"code": totp.now()})
    assert enabled.status_code == 200, enabled.text
    return totp, enabled.json()["recovery_codes"]


def nearby(totp: pyotp.TOTP, steps: int) -> str:
    """The code of another half minute."""
    return totp.at(datetime.now(UTC) + timedelta(seconds=30 * steps))


async def log_in(house: House, email: str, password: str = PASSWORD, **more: Any) -> Any:
    return await house.guest().post("/account/login", {"email": email, "password": password, **more})


async def test_another_password_for_who_knows_the_old_one_ends_the_other_sessions(house: House) -> None:
    customer = await house.register("ada@example.org")
    other = await house.log_in("ada@example.org")
    wrong = await customer.post("/account/password", {"password": "wrong", "new_password": NEW})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/password")
    common = await customer.post("/account/password", {"password": PASSWORD, "new_password": "password1234"})
    assert (common.status_code, common.json()["errors"][0]["pointer"]) == (422, "/new_password")
    assert (await customer.post("/account/password", {"password": PASSWORD, "new_password": NEW})).status_code == 204
    assert (await customer.get("/account/me")).status_code == 200
    assert (await other.get("/account/me")).status_code == 401
    assert (await log_in(house, "ada@example.org")).status_code == 401
    assert (await log_in(house, "ada@example.org", NEW)).status_code == 200


async def test_a_forgotten_password_is_set_by_the_link_once_and_all_sessions_end(house: House) -> None:
    customer = await house.register("ada@example.org")
    ask = {"email": "Ada@Example.org"}
    known = await house.guest().post("/account/password/reset/request", ask)
    unknown = await house.guest().post("/account/password/reset/request", {"email": "eve@example.org"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"{}")
    assert len(await house.events("accounts", PasswordResetRequested)) == 1
    await house.guest().post("/account/password/reset/request", ask)
    assert len(await house.events("accounts", PasswordResetRequested)) == 1, "one was sent a moment ago"
    token = await house.link(PasswordResetRequested)
    weak = await house.guest().post("/account/password/reset", {"token": token, "password": "password1234"})
    assert weak.json()["type"] == "/problems/password_common"
    body = {"token": token, "password": NEW}
    answers = await asyncio.gather(*(house.guest().post("/account/password/reset", body) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422]
    assert (await customer.get("/account/me")).status_code == 401
    back = await log_in(house, "ada@example.org", NEW)
    me = await Caller(house.client, back.json()["token"]).get("/account/me")
    assert me.json()["verified"] is True, "who has the link reads the mail of the address"


async def test_known_and_unknown_addresses_take_the_same_time(house: House) -> None:
    await house.register("ada@example.org")
    loop = asyncio.get_running_loop()
    took = []
    for email in ("ada@example.org", "eve@example.org"):
        began = loop.time()
        await house.guest().post("/account/password/reset/request", {"email": email})
        took.append(loop.time() - began)
    assert min(took) >= 0.25
    assert abs(took[0] - took[1]) < 0.1


async def test_an_address_changes_when_both_ends_have_confirmed(house: House) -> None:
    customer = await house.register("ada@example.org")
    await house.register("eve@example.org")
    wrong = await customer.post("/account/email", {"email": "ada@king.example", "password": "wrong"})
    assert wrong.json()["type"] == "/problems/wrong_password"
    asked = await customer.post("/account/email", {"email": "ada@king.example", "password": PASSWORD})
    assert asked.status_code == 202, asked.text
    new, old = await house.link(EmailChangeRequested), await house.link(EmailChangeAnnounced)
    assert new != old
    first = await house.guest().post("/account/email/confirm", {"token": old})
    assert first.json()["changed"] is False
    assert (await house.guest().post("/account/email/confirm", {"token": old})).json()["type"] == "/problems/link_used"
    assert (await customer.get("/account/me")).json()["email"] == "ada@example.org"
    second = await house.guest().post("/account/email/confirm", {"token": new})
    assert second.json()["changed"] is True, second.text
    me = (await customer.get("/account/me")).json()
    assert (me["email"], me["verified"]) == ("ada@king.example", True)
    assert (await log_in(house, "ada@example.org")).status_code == 401
    assert (await log_in(house, "ada@king.example")).status_code == 200
    await house.register("ada@example.org")


async def test_an_address_that_has_an_account_cannot_be_taken_over(house: House) -> None:
    await house.register("eve@example.org")
    customer = await house.register("ada@example.org")
    asked = await customer.post("/account/email", {"email": "eve@example.org", "password": PASSWORD})
    assert asked.status_code == 202, "which addresses are known is not told"
    for kind, status in ((EmailChangeRequested, 200), (EmailChangeAnnounced, 409)):
        answer = await house.guest().post("/account/email/confirm", {"token": await house.link(kind)})
        assert answer.status_code == status, answer.text
    assert (await customer.get("/account/me")).json()["email"] == "ada@example.org"


async def test_devices_are_listed_and_logged_out_one_or_all(house: House) -> None:
    await house.register("ada@example.org")
    phone, desk = [
        Caller(
            house.client,
            (
                await house.guest().post(
                    "/account/login", {"email": "ada@example.org", "password": PASSWORD}, user_agent=name
                )
            ).json()["token"],
        )
        for name in ("Phone/1.0", "Desk/2.0")
    ]
    items = (await desk.get("/account/sessions")).json()["items"]
    assert {one["device"] for one in items} >= {"Phone/1.0", "Desk/2.0"}
    assert [one["device"] for one in items if one["current"]] == ["Desk/2.0"]
    [gone] = [one["session_id"] for one in items if one["device"] == "Phone/1.0"]
    stranger = await house.register("eve@example.org")
    path = f"{API}/account/sessions/{gone}"
    assert (await stranger.call("DELETE", path)).status_code == 404
    assert (await phone.get("/account/me")).status_code == 200
    assert (await desk.call("DELETE", path)).status_code == 204
    assert (await phone.get("/account/me")).status_code == 401
    assert (await desk.post("/account/logout-all")).status_code == 204
    assert (await desk.get("/account/me")).status_code == 401
    assert (await stranger.get("/account/me")).status_code == 200


async def test_a_new_device_is_told_of_and_an_update_of_a_known_one_is_not(house: House) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}
    await house.guest().post("/account/register", body)
    for device in ("Mozilla/5.0 Firefox/120.0", "Mozilla/5.0 Firefox/121.1"):
        await house.guest().post("/account/login", body, user_agent=device)
    assert await house.events("accounts", NewDeviceSeen) == []
    await house.guest().post("/account/login", body, user_agent="curl/8")
    [seen] = await house.events("accounts", NewDeviceSeen)
    assert "curl" not in repr(seen)


async def test_two_factor_log_in_needs_a_code_that_counts_once(house: House) -> None:
    customer = await house.verified("ada@example.org")
    other = await house.log_in("ada@example.org")
    totp, _ = await two_factor(customer)
    assert (await other.get("/account/me")).status_code == 401
    assert (await customer.get("/account/me")).json()["two_factor"] is True
    without = await log_in(house, "ada@example.org")
    assert (without.status_code, without.json()["type"]) == (401, "/problems/two_factor_required")
    assert (await log_in(house, "ada@example.org", "wrong")).json()["type"] == "/problems/invalid_credentials"
    used = await log_in(house, "ada@example.org", code=totp.now())
    assert (used.status_code, used.json()["type"]) == (401, "/problems/wrong_code"), "it enabled two-factor log-in"
    # The code of the next half minute counts already, for clocks that differ.
    ahead = nearby(totp, 1)
    answers = await asyncio.gather(*(log_in(house, "ada@example.org", code=ahead) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    text = "".join(map(repr, await house.shop.logs["accounts"].stream(await house.customer_id(customer))))
    assert totp.secret not in text


async def test_a_recovery_code_replaces_the_device_once_and_can_be_renewed(house: House) -> None:
    customer = await house.verified("ada@example.org")
    _, codes = await two_factor(customer)
    assert len(set(codes)) == 10
    spelt = codes[0].upper().replace("-", " ")
    assert (await log_in(house, "ada@example.org", code=spelt)).status_code == 200
    assert (await log_in(house, "ada@example.org", code=codes[0])).status_code == 401
    renewed = await customer.post("/account/two-factor/recovery-codes", {"code": codes[1]})
    assert renewed.status_code == 200, renewed.text
    assert (await log_in(house, "ada@example.org", code=codes[2])).status_code == 401
    fresh = renewed.json()["recovery_codes"]
    assert (await customer.post("/account/two-factor/disable", {"code": fresh[0]})).status_code == 204
    assert (await log_in(house, "ada@example.org")).status_code == 200
    text = "".join(map(repr, await house.shop.logs["accounts"].stream(await house.customer_id(customer))))
    assert all(code not in text for code in (*codes, *fresh))


async def test_two_factor_log_in_needs_a_proved_address_the_password_and_a_right_code(house: House) -> None:
    customer = await house.register()
    unproved = await customer.post("/account/two-factor", {"password": PASSWORD})
    assert (unproved.status_code, unproved.json()["type"]) == (409, "/problems/not_verified")
    customer = await house.verified()
    assert (await customer.post("/account/two-factor", {"password": "wrong"})).status_code == 422
    early = await customer.post("/account/two-factor/enable", {"code": "123456"})
    assert early.json()["type"] == "/problems/two_factor_not_prepared"
    secret = (await customer.post("/account/two-factor", {"password": PASSWORD})).json()["secret"]
    stale = nearby(pyotp.TOTP(secret), -5)
    wrong = await customer.post("/account/two-factor/enable", {"code": stale})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/problems/code_wrong")
    assert (await customer.get("/account/me")).json()["two_factor"] is False


@pytest.fixture
def strict(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, staff_two_factor=True)


async def test_where_it_is_a_must_staff_are_customers_until_they_have_it(strict: Settings) -> None:
    async with running(strict) as house:
        staff = await house.staff("warehouse")
        assert (await staff.get("/inventory/levels")).status_code == 403
        email = (await staff.get("/account/me")).json()["email"]
        answer = await log_in(house, email)
        assert (answer.json()["roles"], answer.json()["two_factor_needed"]) == (["customer"], True)
        totp, _ = await two_factor(staff)
        answer = await log_in(house, email, code=nearby(totp, 1))
        assert answer.json()["roles"] == ["warehouse"], answer.text
        full = Caller(house.client, answer.json()["token"])
        assert (await full.get("/inventory/levels")).status_code == 200
        customer = await house.register()
        assert (await customer.get("/account/me")).status_code == 200


async def test_a_browsers_session_is_a_cookie_and_changes_need_its_token(house: House) -> None:
    await house.register("ada@example.org")
    body = {"email": "ada@example.org", "password": PASSWORD, "browser": True}
    foreign = await house.guest().post("/account/login", body, sec_fetch_site="cross-site")
    assert (foreign.status_code, foreign.json()["type"]) == (403, "/problems/cross_site")
    answer = await house.guest().post("/account/login", body)
    assert "token" not in answer.json()
    header = answer.headers["set-cookie"]
    assert header.startswith("__Host-session=")
    for part in ("; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"):
        assert part in header
    assert "Domain" not in header
    cookie = header.partition(";")[0]
    browser = house.guest()
    house.client.cookies.clear()
    assert (await browser.get("/account/me", cookie=f"theme=dark; {cookie}")).status_code == 200
    bare = await browser.post("/account/logout-all", cookie=cookie)
    assert (bare.status_code, bare.json()["type"]) == (403, "/problems/cross_site")
    wrong = await browser.post("/account/logout", cookie=cookie, x_csrf_token="0" * 64)
    assert wrong.status_code == 403
    csrf = (await browser.get("/account/session", cookie=cookie)).json()["csrf_token"]
    assert csrf == answer.json()["csrf_token"]
    done = await browser.post("/account/logout", cookie=cookie, x_csrf_token=csrf)
    assert done.status_code == 204
    assert "Max-Age=0" in done.headers["set-cookie"]
    assert (await browser.get("/account/me", cookie=cookie)).status_code == 401
    assert (await browser.get("/cart", cookie=cookie)).status_code == 200, "an ended session is none, not an error"
