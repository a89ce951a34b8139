"""Staff come by invitation, roles are given and taken, and machines have keys; by the routes alone."""

import pytest

from emporium.domain.invitation import StaffInvited
from tests.http.client import API, PASSWORD, Caller, House
from tests.http.test_account_security import two_factor


async def invite(house: House, admin: Caller, email: str, *roles: str) -> str:
    """The token of the link that was sent."""
    answer = await admin.post("/admin/invitations", {"email": email, "roles": list(roles)})
    assert answer.status_code == 201, answer.text
    return await house.link(StaffInvited)


async def test_who_is_invited_makes_an_account_by_the_link_once(house: House) -> None:
    admin = await house.staff("admin")
    token = await invite(house, admin, "sam@example.org", "support", "warehouse")
    weak = await house.guest().post("/account/invitations/accept", {"token": token, "password": "password123"})
    assert weak.json()["type"] == "/problems/password_common"
    body = {"token": token, "password": PASSWORD, "name": "Sam"}
    assert (await house.guest().post("/account/invitations/accept", body)).status_code == 200
    again = await house.guest().post("/account/invitations/accept", body)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/invitation_closed")
    sam = await house.log_in("sam@example.org")
    me = (await sam.get("/account/me")).json()
    assert (me["roles"], me["verified"], me["name"]) == (["support", "warehouse"], True, "Sam")
    assert (await sam.get("/inventory/levels")).status_code == 200
    await house.shows("accounts", await house.shop.logs["accounts"].head(), "accounts")
    [one] = (await admin.get("/admin/invitations")).json()["items"]
    assert (one["status"], one["email"]) == ("accepted", "[erased]")
    assert one["invited_by"] == f"staff:{await house.customer_id(admin)}"
    members = (await admin.get("/admin/staff")).json()["items"]
    assert [one["email"] for one in members if one["name"] == "Sam"] == ["sam@example.org"]
    stream = repr(await house.shop.logs["accounts"].read(0, 100))
    assert "sam@" not in stream


async def test_a_customer_who_is_invited_keeps_the_password_and_gets_the_roles(house: House) -> None:
    admin = await house.staff("admin")
    customer = await house.register("ada@example.org")
    token = await invite(house, admin, "Ada@example.org", "catalog_manager")
    body = {"token": token, "password": "something else"}
    assert (await house.guest().post("/account/invitations/accept", body)).status_code == 200
    assert (await customer.get("/account/me")).status_code == 401, "a session holds the roles of its beginning"
    ada = await house.log_in("ada@example.org")
    assert (await ada.get("/account/me")).json()["roles"] == ["catalog_manager", "customer"]


async def test_a_withdrawn_invitation_is_worth_nothing(house: House) -> None:
    admin = await house.staff("admin")
    token = await invite(house, admin, "sam@example.org", "support")
    await house.shows("accounts", await house.shop.logs["accounts"].head(), "accounts")
    [one] = (await admin.get("/admin/invitations")).json()["items"]
    assert (one["status"], one["email"]) == ("open", "sam@example.org")
    path = f"{API}/admin/invitations/{one['invitation_id']}"
    assert (await admin.call("DELETE", path)).status_code == 204
    accepted = await house.guest().post("/account/invitations/accept", {"token": token, "password": PASSWORD})
    assert accepted.json()["type"] == "/problems/invitation_closed"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "sam", "roles": ["support"]}, "/email"),
        ({"email": "sam@example.org", "roles": ["root"]}, "/roles"),
        ({"email": "sam@example.org", "roles": ["customer"]}, "/roles"),
        ({"email": "sam@example.org", "roles": []}, "/roles"),
    ],
)
async def test_invitations_that_will_not_do(house: House, body: dict[str, object], pointer: str) -> None:
    admin = await house.staff("admin")
    answer = await admin.post("/admin/invitations", body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_roles_are_given_and_taken_and_take_effect_at_once(house: House) -> None:
    admin, other = await house.staff("admin"), await house.staff("warehouse")
    other_id, own_id = await house.customer_id(other), await house.customer_id(admin)
    email = (await other.get("/account/me")).json()["email"]
    changed = await admin.call("PUT", f"{API}/admin/staff/{other_id}/roles", {"roles": ["analyst"]})
    assert changed.status_code == 204, changed.text
    assert (await other.get("/account/me")).status_code == 401
    other = await house.log_in(email)
    assert (await other.get("/inventory/levels")).status_code == 403
    assert (await other.call("PUT", f"{API}/admin/staff/{other_id}/roles", {"roles": ["admin"]})).status_code == 403
    own = await admin.call("PUT", f"{API}/admin/staff/{own_id}/roles", {"roles": ["support"]})
    assert (own.status_code, own.json()["type"]) == (409, "/problems/own_roles")
    [granted] = [
        one for one in await house.shop.logs["accounts"].stream(other_id) if type(one.event).__name__ == "RoleGranted"
    ]
    assert granted.meta.actor == f"staff:{own_id}"


async def test_a_machine_does_what_its_scopes_allow_until_the_key_is_revoked(house: House) -> None:
    admin = await house.staff("admin")
    body = {"name": "Scanner", "scopes": ["warehouse:write", "support:read"], "days": 30}
    made = await admin.post("/admin/api-keys", body, idempotency_key="k")
    assert made.status_code == 201, made.text
    again = await admin.post("/admin/api-keys", body, idempotency_key="k")
    assert again.json() == {"key_id": made.json()["key_id"]}, "it is shown once"
    key, key_id = made.json()["key"], made.json()["key_id"]
    machine = Caller(house.client, key)
    assert (await machine.get("/inventory/levels")).status_code == 200
    received = await machine.post("/inventory/receive", {"sku": "MUG", "warehouse": "LON", "quantity": 1})
    assert received.status_code == 201, received.text
    assert (await machine.get("/orders")).status_code == 200
    for path in ("/account/me", "/admin/staff", "/account/export"):
        assert (await machine.get(path)).status_code == 403, path
    events, _ = await house.shop.logs["inventory"].read(0, 100)
    assert events[-1].meta.actor == f"key:{key_id}"
    await house.shows("accounts", await house.shop.logs["accounts"].head(), "accounts")
    [row] = (await admin.get("/admin/api-keys")).json()["items"]
    assert (row["name"], row["scopes"], row["revoked"]) == ("Scanner", ["support:read", "warehouse:write"], False)
    assert key not in repr(await house.shop.logs["accounts"].read(0, 100))
    assert (await admin.call("DELETE", f"{API}/admin/api-keys/{key_id}")).status_code == 204
    assert (await machine.get("/inventory/levels")).status_code == 401


async def test_a_key_that_may_only_look_changes_nothing(house: House) -> None:
    admin = await house.staff("admin")
    made = await admin.post("/admin/api-keys", {"name": "Report", "scopes": ["warehouse:read"]})
    machine = Caller(house.client, made.json()["key"])
    assert (await machine.get("/inventory/levels")).status_code == 200
    refused = await machine.post("/inventory/receive", {"sku": "MUG", "warehouse": "LON", "quantity": 1})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    for scopes in (["admin:write"], ["customer:read"], ["warehouse"], []):
        answer = await admin.post("/admin/api-keys", {"name": "Root", "scopes": scopes})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"][:7]) == (422, "/scopes")


async def test_an_administrator_helps_who_has_lost_the_second_factor(house: House) -> None:
    admin, other = await house.staff("admin"), await house.staff("support")
    other_id = await house.customer_id(other)
    email = (await other.get("/account/me")).json()["email"]
    await two_factor(other)
    assert (await admin.call("DELETE", f"{API}/admin/staff/{other_id}/two-factor")).status_code == 204
    assert (await other.get("/account/me")).status_code == 401
    await house.log_in(email)
    assert (await admin.call("DELETE", f"{API}/admin/staff/{other_id}/sessions")).status_code == 204
