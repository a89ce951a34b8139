"""Saved payment methods: the provider keeps them, the shop knows their tokens, and a card number never comes here."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from emporium.application import bootstrap, payment_methods
from emporium.application.together import end
from emporium.domain.payment import PaymentFailed
from emporium.infra.settings import Settings
from tests.http.client import API, House
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[SandboxProcess]:
    with SandboxProcess(folder / "sandbox.sqlite") as process:
        yield process


@pytest.fixture
async def house(settings: Settings, sandbox: SandboxProcess) -> AsyncIterator[House]:
    """A gateway with the sandbox behind it."""
    async with running(msgspec.structs.replace(settings, provider_url=sandbox.url)) as house:
        yield house


async def test_a_method_is_kept_once_and_shown_without_its_token(house: House) -> None:
    customer = await house.register()
    customer_id = await house.customer_id(customer)
    made = await customer.post("/account/payment-methods", {"method": "pm_ok"})
    assert made.status_code == 201, made.text
    assert (await customer.post("/account/payment-methods", {"method": "pm_ok"})).json() == made.json()
    other = (await customer.post("/account/payment-methods", {"method": "pm_slow"})).json()["method_id"]
    answer = await customer.get("/account/payment-methods")
    items = answer.json()["items"]
    assert [(one["last_four"], one["expires"], one["default"]) for one in items] == [
        ("4242", "2099-12", True), ("4242", "2099-12", False),
    ]  # fmt: skip
    assert "pm_" not in answer.text
    assert (await payment_methods.token_of(house.shop, customer_id)).startswith("pm_ok")
    assert (await customer.call("PUT", f"{API}/account/payment-methods/{other}/default")).status_code == 204
    assert (await payment_methods.token_of(house.shop, customer_id)).startswith("pm_slow")
    path = f"{API}/account/payment-methods/{made.json()['method_id']}"
    assert (await customer.call("DELETE", path)).status_code == 204
    assert (await customer.call("DELETE", path)).status_code == 404
    [left] = (await customer.get("/account/payment-methods")).json()["items"]
    assert (left["method_id"], left["default"]) == (other, True)
    unknown = await customer.call("PUT", f"{API}/account/payment-methods/{uuid4()}/default")
    assert unknown.status_code == 404
    held = await customer.get("/account/export")
    assert [one["last_four"] for one in held.json()["payment_methods"]] == ["4242"]
    text = repr(await house.shop.logs["accounts"].stream(customer_id))
    assert "pm_" not in text


@pytest.mark.parametrize("number", ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242"])
async def test_a_card_number_is_refused_and_nowhere_kept(house: House, number: str) -> None:
    customer = await house.register()
    answer = await customer.post("/account/payment-methods", {"method": number})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/card_number")
    assert number not in answer.text
    assert (await customer.get("/account/payment-methods")).json()["items"] == []


async def test_what_the_provider_refuses_to_keep_is_not_saved(house: House) -> None:
    customer = await house.register()
    answer = await customer.post("/account/payment-methods", {"method": "pm_declined"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/method_refused")
    assert answer.json()["errors"][0]["pointer"] == "/method"


async def test_while_the_provider_is_down_nothing_is_saved(house: House, sandbox: SandboxProcess) -> None:
    customer = await house.register()
    sandbox.stop()
    answer = await customer.post("/account/payment-methods", {"method": "pm_ok"})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert (await customer.get("/account/payment-methods")).json()["items"] == []


async def test_an_order_is_paid_by_a_saved_method_of_the_callers_own(
    settings: Settings, sandbox: SandboxProcess
) -> None:
    async with running(msgspec.structs.replace(settings, provider_url=sandbox.url), saga=True) as house:
        customer, stranger = await house.register(), await house.register()
        method = (await customer.post("/account/payment-methods", {"method": "pm_ok"})).json()["method_id"]
        for caller, status in ((stranger, 404), (house.guest(), 401)):
            await caller.add()
            refused = await caller.check_out(saved_payment_method=method)
            assert refused.status_code == status, refused.text
        await customer.add()
        placed = await customer.check_out(saved_payment_method=method, payment_method="pm_declined")
        number = placed.json()["order_number"]
        order = await house.order_is(customer, number, "confirmed")
        assert order["payment_method"] == "saved"
        events = [one for log in ("ordering", "payments") for one in (await house.shop.logs[log].read(0, 1_000))[0]]
        told = {type(one.event).__name__: repr(one.event) for one in events}
        assert {"OrderCreated", "PaymentRequested"} <= told.keys()
        assert not [name for name, text in told.items() if "pm_" in text], "a method that can be charged again"
        assert "pm_" not in (await customer.get("/account/export")).text


async def test_a_saved_method_is_not_charged_once_its_owner_was_erased(house: House, sandbox: SandboxProcess) -> None:
    customer = await house.register()
    method = (await customer.post("/account/payment-methods", {"method": "pm_ok"})).json()["method_id"]
    await customer.add()
    number = (await customer.check_out(saved_payment_method=method)).json()["order_number"]
    await house.shop.vault.erase(await house.customer_id(customer))
    managers = [
        asyncio.create_task(manager.run())
        for manager in bootstrap.process_managers(house.shop, automatic=False, name="test")
    ]
    try:
        await house.order_is(customer, number, "failed")
    finally:
        await end(managers)
    events, _ = await house.shop.logs["payments"].read(0, 100)
    assert [one.event.code for one in events if isinstance(one.event, PaymentFailed)] == ["method_erased"]
