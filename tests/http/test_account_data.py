"""What is held about a person: told, taken over from a guest, and erased for good, also after a restore."""

from typing import Any
from uuid import UUID

from emporium.application import bootstrap, erasure
from emporium.application.ports import Meta
from emporium.domain.customer import CUSTOMER, CustomerErased, EmailVerificationRequested, EraseCustomer
from emporium.domain.invitation import StaffInvited
from emporium.domain.order import OrderClaimed
from emporium.infra.settings import Settings
from tests.http.client import API, PASSWORD, Caller, House
from tests.http.conftest import running
from tests.http.test_account_book import HOME


async def order(caller: Caller, **more: Any) -> str:
    """An order's number."""
    assert (await caller.add()).status_code == 201
    placed = await caller.check_out(**more)
    assert placed.status_code == 202, placed.text
    number: str = placed.json()["order_number"]
    return number


async def cancelled(house: House, caller: Caller, number: str) -> None:
    assert (await caller.post(f"/orders/{number}/cancel", {"reason": "changed my mind"})).status_code == 202
    await house.order_is(caller, number, "cancelled")


async def test_a_guests_orders_are_the_accounts_once_it_has_proved_the_address(house: House) -> None:
    guest, stranger = house.guest(), house.guest()
    number = await order(guest, email="Ada@Example.org")
    foreign = await order(stranger, email="eve@example.org")
    customer = await house.register("ada@example.org")
    assert (await customer.get(f"/orders/{number}")).status_code == 404, "anybody can register with any address"
    answer = await house.guest().post("/account/verification", {"token": await house.link(EmailVerificationRequested)})
    assert answer.json()["orders_claimed"] == 1
    assert len(await house.events("ordering", OrderClaimed)) == 1
    await house.shows("ordering", await house.shop.logs["ordering"].head(), "order_history")
    shown = await customer.get(f"/orders/{number}")
    assert shown.json()["shipping_address"]["city"] == "London"
    assert [one["order_number"] for one in (await customer.get("/orders")).json()["items"]] == [number]
    assert (await customer.get(f"/orders/{foreign}")).status_code == 404
    assert (await guest.get(f"/orders/{number}")).status_code == 200, "the guest's token still works"
    later = await order(house.guest(), email="ada@example.org")
    customer = await house.log_in("ada@example.org")
    await house.shows("ordering", await house.shop.logs["ordering"].head(), "order_history")
    assert (await customer.get(f"/orders/{later}")).status_code == 200, "a log-in looks again"


async def test_the_export_holds_everything_in_clear_but_no_secret(house: House) -> None:
    customer = await house.verified("ada@example.org")
    await customer.post("/account/addresses", HOME)
    await customer.add()
    await customer.call("PATCH", f"{API}/cart", {"note": "The blue door"})
    number = await order(customer)
    answer = await customer.get("/account/export")
    assert answer.status_code == 200, answer.text
    held = answer.json()
    assert held["profile"]["email"] == "ada@example.org"
    assert [one["city"] for one in held["addresses"]] == ["London"]
    assert [one["order_number"] for one in held["orders"]] == [number]
    assert held["orders"][0]["history"][0]["facts"]["ship_to"]["city"] == "London"
    assert held["orders"][0]["history"][0]["facts"]["note"] == "The blue door"
    assert {one["name"] for one in held["cart"]} >= {"CartItemAdded", "CartCheckedOut"}
    assert held["history"][0]["name"] == "CustomerRegistered"
    assert len(held["sessions"]) == 1
    for secret in ("argon2", customer.headers["authorization"].split()[1], '"box"'):
        assert secret not in answer.text


async def test_erasure_is_refused_while_an_order_is_open_and_then_final(settings: Settings) -> None:
    async with running(settings, saga=True) as house:
        guest = house.guest()
        old = await order(guest, email="ada@example.org")
        customer = await house.verified("ada@example.org")
        other = await house.log_in("ada@example.org")
        number = await order(customer)
        # Without logging in, but it is the same person.
        third = await order(house.guest(), email="Ada@example.org")
        refused = await customer.post("/account/erasure", {"password": PASSWORD})
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/orders_open")
        assert set(refused.json()["values"]["orders"]) == {number, old, third}
        for one in (number, old, third):
            await cancelled(house, customer, one)
        wrong = await customer.post("/account/erasure", {"password": "wrong"})
        assert wrong.json()["type"] == "/problems/wrong_password"
        customer_id = await house.customer_id(customer)
        done = await customer.post("/account/erasure", {"password": PASSWORD})
        assert done.status_code == 204, done.text
        for caller in (customer, other):
            assert (await caller.get("/account/me")).status_code == 401
        support = await house.staff("support")
        for one in (number, old, third):
            shown = (await support.get(f"/orders/{one}")).json()
            assert (shown["email"], shown["shipping_address"]) == ("[erased]", "[erased]")
            assert shown["total"]["amount"] > 0, "the order stays in the books"
        unknown = await house.guest().post("/account/login", {"email": "ada@example.org", "password": PASSWORD})
        assert unknown.json()["type"] == "/problems/invalid_credentials"
        again = await house.register("ada@example.org")
        assert await house.customer_id(again) != customer_id, "the address is free again"
        erased = await house.events("accounts", CustomerErased)
        assert [one.customer_id for one in erased] == [customer_id]


async def test_of_staff_who_are_erased_the_invitation_cannot_be_read_either(house: House) -> None:
    admin = await house.staff("admin")
    await admin.post("/admin/invitations", {"email": "sam@example.org", "roles": ["support"]})
    body = {"token": await house.link(StaffInvited), "password": PASSWORD, "name": "Sam"}
    # A crash between the account and the end of the invitation's key.
    house.shop.vault.erase, erase = nothing, house.shop.vault.erase  # type: ignore[method-assign]
    assert (await house.guest().post("/account/invitations/accept", body)).status_code == 200
    house.shop.vault.erase = erase  # type: ignore[method-assign]
    staff = await house.log_in("sam@example.org")
    held = (await staff.get("/account/export")).json()
    assert [one["facts"]["email"] for one in held["history"] if one["name"] == "StaffInvited"] == ["sam@example.org"]
    assert (await staff.post("/account/erasure", {"password": PASSWORD})).status_code == 204
    [invited] = await house.events("accounts", StaffInvited)
    assert house.shop.vault.unseal(invited.email, invited.invitation_id, "email") == "[erased]"


async def nothing(_: UUID) -> None:
    """Keeps the key."""


async def test_a_restored_backup_does_not_bring_an_erased_person_back(settings: Settings) -> None:
    async with running(settings) as house:
        customer = await house.register("ada@example.org")
        customer_id = await house.customer_id(customer)
        # The backup: the wrapped key, and the log up to here.
        [backup] = await house.opened.reads.query(
            "SELECT wrapped, master FROM emporium_keys WHERE subject = %b", [customer_id]
        )
        assert (await customer.post("/account/erasure", {"password": PASSWORD})).status_code == 204
        listed = (settings.data_dir / "erasures.txt").read_text()
        assert listed.split() == [str(customer_id)]
        for statement in (
            "ALTER TABLE emporium_erasures DISABLE TRIGGER only_grow",
            "DELETE FROM emporium_erasures",
            "DELETE FROM emporium_keys WHERE subject = %(who)s",
            "INSERT INTO emporium_keys (subject, wrapped, master) VALUES (%(who)s, %(wrapped)s, %(master)s)",
            "DELETE FROM accounts_events WHERE originator_id = %(who)s AND topic = 'accounts.CustomerErased'",
        ):
            await execute(house, statement, who=customer_id, wrapped=backup[0], master=backup[1])
    async with bootstrap.open_shop(settings) as opened, bootstrap.open_doors(opened) as doors:
        await opened.shop.vault.load_keys([customer_id])
        state, _ = await opened.shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
        assert state is not None and state.email is not None
        assert opened.shop.vault.unseal(state.email, customer_id, "email") == "[erased]"
        assert await erasure.complete(opened.shop, doors.sessions, doors.traces) == 1
        events = await opened.shop.logs["accounts"].stream(customer_id)
        assert isinstance(events[-1].event, CustomerErased)
        assert await erasure.complete(opened.shop, doors.sessions, doors.traces) == 0


async def execute(house: House, statement: str, **values: Any) -> None:
    async def work(connection: Any) -> None:
        await connection.execute(statement.encode(), values)

    await house.opened.reads.run(work)


async def test_an_erasure_that_a_crash_cut_off_is_finished(house: House) -> None:
    customer = await house.register("ada@example.org")
    customer_id = await house.customer_id(customer)
    command = EraseCustomer(customer_id=customer_id, reason="asked for it")
    await house.shop.execute(command, Meta(str(customer_id), "request:test", "customer:test"))
    assert await house.shop.vault.erasures(0) == []
    assert await erasure.complete(house.shop, house.services.sessions, house.services.traces) == 1
    assert [subject for _, subject in await house.shop.vault.erasures(0)] == [customer_id]
    assert (await customer.get("/account/me")).status_code == 401
