"""Payments over HTTP: what customers and staff see, refunds in part, 3-D Secure, and Stripe's signed webhooks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import msgspec
import pytest
import stripe

from emporium.application import bootstrap, effects, schedules
from emporium.application.ports import Meta
from emporium.application.together import end
from emporium.domain.order import ORDER
from emporium.domain.order_number import parse_order_number
from emporium.domain.payment import PAYMENT, PaymentState, RequestPayment, payment_id_of
from emporium.domain.stock import AdjustStock
from emporium.infra.sandbox.telling import signature_of
from emporium.infra.settings import Settings
from tests.http.client import API, STAFF, Caller, House
from tests.http.conftest import running
from tests.support.counterparts import HttpTarget
from tests.support.saga import until
from tests.support.sandbox import SandboxProcess
from tests.support.stripe import KEY, SECRET, LocalStripe, local_stripe

WEBHOOK = f"{API}/payments/webhooks/stripe"


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[SandboxProcess]:
    with SandboxProcess(folder / "sandbox.sqlite") as process:
        yield process


@pytest.fixture
async def open_house(settings: Settings, sandbox: SandboxProcess) -> AsyncIterator[House]:
    """A gateway with its whole saga, on the sandbox."""
    there = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
    async with running(there, saga=True) as house:
        yield house


@pytest.fixture
async def bank(folder: Path) -> AsyncIterator[LocalStripe]:
    with local_stripe(folder) as server:
        yield server


def striped(settings: Settings, sandbox: SandboxProcess, bank: LocalStripe, **more: Any) -> Settings:
    return msgspec.structs.replace(
        settings, carrier_url=sandbox.url, payment_provider="stripe", stripe_api_key=KEY, stripe_webhook_secret=SECRET,
        stripe_api_base=bank.url, **more,
    )  # fmt: skip


@pytest.fixture
async def stripe_house(settings: Settings, sandbox: SandboxProcess, bank: LocalStripe) -> AsyncIterator[House]:
    """A gateway with its whole saga, on Stripe's stand-in."""
    async with running(striped(settings, sandbox, bank), saga=True) as house:
        yield house


async def bought(house: House, caller: Caller, method: str = "pm_ok", status: str = "confirmed") -> str:
    await caller.add()
    placed = await caller.check_out(payment_method=method)
    assert placed.status_code == 202, placed.text
    number = str(placed.json()["order_number"])
    await house.order_is(caller, number, status)
    return number


async def paid(house: House, number: str) -> PaymentState:
    """The payment as its log knows it."""
    order_id = await house.shop.logs["ordering"].claimed("order_number", parse_order_number(number).encode())
    assert order_id is not None
    state, _ = await house.shop.logs["payments"].load(PAYMENT, payment_id_of(order_id), fresh=True)
    assert state is not None
    return state


# --- views and refunds -----------------------------------------------------------------------------


async def test_staff_give_money_back_in_parts_and_never_more_than_was_paid(open_house: House) -> None:
    house = open_house
    customer, support = await house.register(), await house.staff("support")
    number = await bought(house, customer)
    path = f"/payments/{number}/refunds"
    first = await support.post(path, {"amount": 300, "reason": "goodwill"}, idempotency_key="one")
    assert first.status_code == 201, first.text
    asked = first.json()
    assert (asked["amount"], asked["left"]["amount"]) == ({"amount": 300, "currency": "GBP"}, 695)
    again = await support.post(path, {"amount": 300, "reason": "goodwill"}, idempotency_key="one")
    assert again.content == first.content
    other = await support.post(path, {"amount": 301, "reason": "goodwill"}, idempotency_key="one")
    assert other.json()["type"] == "/problems/idempotency_key_reused"
    beyond = await support.post(path, {"amount": 696, "reason": "damaged"})
    assert (beyond.status_code, beyond.json()["type"]) == (409, "/problems/refund_too_high")
    for amount, reason in ((0, "goodwill"), (-5, "goodwill"), (5, "because")):
        wrong = await support.post(path, {"amount": amount, "reason": reason})
        assert (wrong.status_code, wrong.json()["type"]) == (422, "/problems/invalid_body")
    assert (await support.post(path, {"amount": 695, "reason": "other"})).status_code == 201
    detail = await house.until(customer, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 995)
    assert [(one["amount"]["amount"], one["status"], one["reason"]) for one in detail["refunds"]] == [
        (300, "done", "goodwill"), (695, "done", "other"),
    ]  # fmt: skip
    assert [(one["amount"]["amount"], one["captured"]) for one in detail["captures"]] == [(995, True)]
    assert (await house.order_is(customer, number, "confirmed"))["reason"] is None


async def test_who_may_see_and_refund_payments(open_house: House) -> None:
    house = open_house
    ann, ben, support = await house.register(), await house.register(), await house.staff("support")
    hers, his = await bought(house, ann), await bought(house, ben)
    assert [one["order_number"] for one in (await ann.get("/payments")).json()["items"]] == [hers]
    assert [one["order_number"] for one in (await ben.get("/payments")).json()["items"]] == [his]
    page = (await support.get("/payments?limit=1")).json()
    rest = (await support.get(page["next"].removeprefix(API))).json()
    assert [one["order_number"] for one in page["items"] + rest["items"]] == [his, hers]
    assert (await support.get("/payments?status=failed")).json()["items"] == []
    assert len((await support.get("/payments?status=processed")).json()["items"]) == 2
    assert (await support.get("/payments?status=lost")).status_code == 400
    assert (await ben.get(f"/payments/{hers}")).status_code == 404
    assert (await house.guest().get("/payments")).status_code == 401
    body = {"amount": 1, "reason": "goodwill"}
    assert (await ann.post(f"/payments/{hers}/refunds", body)).status_code == 403
    assert (await house.guest().post(f"/payments/{hers}/refunds", body)).status_code == 401
    warehouse = await house.staff("warehouse")
    assert (await warehouse.post(f"/payments/{hers}/refunds", body)).status_code == 403


@pytest.mark.parametrize("browser", [False, True])
async def test_a_customer_authenticates_and_the_order_goes_on(
    open_house: House, sandbox: SandboxProcess, browser: bool
) -> None:
    house, guest = open_house, open_house.guest()
    number = await bought(house, guest, "pm_3ds", "pending")
    detail = await house.until(guest, f"/payments/{number}", lambda body: body["status"] == "requires_action")
    assert detail["next_action"]["kind"] == "redirect"
    assert detail["action_until"] is not None
    assert (await guest.get(f"/orders/{number}")).json()["payment"]["status"] == "requires_action"
    if browser:
        async with httpx.AsyncClient() as client:
            page = await client.get(detail["next_action"]["url"])
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert '<form method="post"><button name="success" value="true">' in page.text
            done = await client.post(detail["next_action"]["url"], data={"success": "true"})
            assert "Go back to the shop" in done.text
    else:
        status, _ = sandbox.ask("POST", urlsplit(detail["next_action"]["url"]).path, {"success": True})
        assert status == 200
    await house.order_is(guest, number, "confirmed")
    detail = (await guest.get(f"/payments/{number}")).json()
    assert (detail["status"], detail["next_action"]) == ("processed", None)


async def test_without_stripe_there_is_no_webhook(house: House) -> None:
    answer = await house.client.post(WEBHOOK, content=b"{}", headers={"stripe-signature": "t=1,v1=x"})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("method", "end"), [("pm_3ds", "confirmed"), ("pm_3ds_declined", "failed"), ("pm_late", "confirmed")]
)
async def test_what_the_sandbox_tells_by_itself_moves_the_order_once(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, method: str, end: str
) -> None:
    """Nobody asks here: without the webhook nothing would go on."""
    monkeypatch.setattr(schedules, "ASKING", timedelta(hours=1))
    monkeypatch.setattr(effects, "backoff", lambda _: timedelta(hours=1))
    path = f"{API}/payments/webhooks/sandbox"
    with HttpTarget().serving() as target:
        # It is told once more after an answer that is not 2xx.
        target.statuses = [503]
        url = f"http://127.0.0.1:{target.port}{path}"
        with SandboxProcess(folder / "sandbox.sqlite", webhook_url=url, webhook_secret=SECRET) as sandbox:
            there = msgspec.structs.replace(
                settings, provider_url=sandbox.url, carrier_url=sandbox.url, sandbox_webhook_secret=SECRET
            )
            async with running(there, saga=True) as house:
                guest = house.guest()
                number = await bought(house, guest, method, "pending")
                if method != "pm_late":
                    detail = await house.until(
                        guest, f"/payments/{number}", lambda body: body["status"] == "requires_action"
                    )
                    sandbox.ask("POST", urlsplit(detail["next_action"]["url"]).path, {"success": True})

                async def told_again() -> bool:
                    return len(target.requests) == 2

                await until(told_again, house.shop.logs["payments"], 20)
                (where, _, body), (_, again, same) = target.requests
                assert (where, same) == (path, body)
                assert json.loads(body)["data"]["order"]
                assert (await guest.get(f"/orders/{number}")).json()["status"] == "pending"
                name, signature = "sandbox-signature", again["sandbox-signature"]
                forged = signature[:-1] + "x"
                for wrong, sent in ((forged, body), (signature, body + b" "), ("t=1,v1=00", body), ("x", body)):
                    refused = await house.client.post(path, content=sent, headers={name: wrong})
                    assert refused.status_code == 400, refused.text
                old = signature_of(SECRET, int(time.time()) - 600, body)
                assert (await house.client.post(path, content=body, headers={name: old})).status_code == 400
                answers = [await house.client.post(path, content=body, headers={name: signature}) for _ in range(2)]
                assert [one.json() for one in answers] == [{"changed": True}, {"changed": False}]
                await house.order_is(guest, number, end)
                stripes = await house.client.post(WEBHOOK, content=body, headers={"stripe-signature": signature})
                assert stripes.status_code == 404


# --- Stripe ----------------------------------------------------------------------------------------


def signed(event: Any, *, secret: str = SECRET, age: int = 0) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(event).encode()
    at = int(time.time()) - age
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at)
    return body, {"stripe-signature": header, "content-type": "application/json"}


def intent(state: PaymentState, status: str, reference: str | None = None, **more: Any) -> dict[str, Any]:
    assert state.amount is not None
    return {
        "id": reference or state.reference or "pi_1", "object": "payment_intent", "status": status,
        "amount": state.amount.amount, "currency": state.amount.currency.lower(),
        "metadata": {"order": str(state.order_id), "key": state.key}, **more,
    }  # fmt: skip


def event(kind: str, thing: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    return {"id": name or f"evt_{uuid4().hex}", "object": "event", "type": kind, "data": {"object": thing}}


async def told(house: House, one: dict[str, Any]) -> bool:
    """Whether the webhook was news."""
    body, headers = signed(one)
    answer = await house.client.post(WEBHOOK, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["changed"])


class Relay:
    """Takes localstripe's webhooks in and hands their very bytes and signatures on to the gateway."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.answers: list[tuple[str, int, Any]] = []
        self.bodies: list[tuple[bytes, dict[str, str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        kept = {name: headers[name] for name in ("stripe-signature", "content-type")}
        answer = await self._house.client.post(WEBHOOK, content=body, headers=kept)
        self.bodies.append((body, kept))
        self.answers.append((json.loads(body)["type"], answer.status_code, answer.json()))
        writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % answer.status_code)
        await writer.drain()
        writer.close()


async def test_an_order_is_paid_by_stripe_and_its_signed_webhooks_do_no_harm(
    stripe_house: House, bank: LocalStripe
) -> None:
    house, guest = stripe_house, stripe_house.guest()
    relay = Relay(house)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    bank.tell(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    number = await bought(house, guest, bank.card("3ds"), "pending")
    detail = await house.until(guest, f"/payments/{number}", lambda body: body["status"] == "requires_action")
    action = detail["next_action"]
    assert action["kind"] == "sdk"
    reference = action["client_secret"].partition("_secret_")[0]
    bank.authenticate(reference, action["client_secret"])
    await house.order_is(guest, number, "confirmed")
    async with asyncio.timeout(10):
        while not relay.answers:
            await asyncio.sleep(0.05)
    assert [(kind, status) for kind, status, _ in relay.answers] == [("payment_intent.succeeded", 200)]
    body, headers = relay.bodies[0]
    again = await house.client.post(WEBHOOK, content=body, headers=headers)
    assert (again.status_code, again.json()) == (200, {"changed": False})
    changed = body.replace(b"succeeded", b"canceled!")
    assert (await house.client.post(WEBHOOK, content=changed, headers=headers)).status_code == 400
    state = await paid(house, number)
    assert (state.reference, state.received, state.captured) == (reference, 995, True)
    secret = action["client_secret"].encode()
    for recorded in (await house.shop.logs["payments"].read(0, 1_000))[0]:
        assert secret not in msgspec.json.encode(recorded.event)
    server.close()


async def test_a_webhook_must_be_signed_now_and_by_stripe(stripe_house: House) -> None:
    house = stripe_house
    one = event("customer.created", {"id": "cus_1"})
    body, headers = signed(one)
    assert (await house.client.post(WEBHOOK, content=body, headers=headers)).json() == {"changed": False}
    assert (await house.client.post(WEBHOOK, content=body + b" ", headers=headers)).status_code == 400
    assert (await house.client.post(WEBHOOK, content=body)).status_code == 400
    for wrong in (signed(one, secret="whsec_other"), signed(one, age=400), signed(one, age=-400)):
        answer = await house.client.post(WEBHOOK, content=wrong[0], headers=wrong[1])
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid_header")
    for header in ("", "t=,v1=", "t=x,v1=y", "v1=00", "t=1", "\x7f"):
        answer = await house.client.post(WEBHOOK, content=body, headers={"stripe-signature": header.encode()})
        assert answer.status_code == 400, header
    for nonsense in (b"", b"[]", b"{}", b'{"id": 5}', b"\xff"):
        at = int(time.time())
        try:
            header = stripe.WebhookSignature.generate_signature_header(nonsense.decode(), SECRET, at)
        except UnicodeDecodeError:
            header = f"t={at},v1=00"
        answer = await house.client.post(WEBHOOK, content=nonsense, headers={"stripe-signature": header})
        assert answer.status_code == 400, nonsense


async def test_webhooks_count_once_in_any_order_and_only_where_they_fit(stripe_house: House, bank: LocalStripe) -> None:
    house, guest = stripe_house, stripe_house.guest()
    number = await bought(house, guest, bank.card())
    state = await paid(house, number)
    for stale in ("requires_action", "requires_payment_method", "processing", "succeeded"):
        assert not await told(house, event("payment_intent.requires_action", intent(state, stale)))
    stranger = msgspec.structs.replace(state, order_id=uuid4())
    assert not await told(house, event("payment_intent.succeeded", intent(stranger, "succeeded")))
    assert not await told(house, event("payment_intent.succeeded", {**intent(state, "succeeded"), "metadata": {}}))
    assert not await told(house, event("charge.dispute.created", {**DISPUTE, "payment_intent": "pi_nobody"}))
    closed = {**DISPUTE, "payment_intent": state.reference, "status": "lost"}
    lost = event("charge.dispute.closed", closed)
    assert await told(house, lost)
    assert not await told(house, lost)
    assert not await told(house, event("charge.dispute.created", {**closed, "status": "needs_response"}))
    detail = await house.until(guest, f"/payments/{number}", lambda body: bool(body["disputes"]))
    assert detail["disputes"] == [
        {"dispute_id": "dp_1", "status": "lost", "amount": {"amount": 400, "currency": "GBP"}, "reason": "fraudulent"}
    ]
    support = await house.staff("support")
    beyond = await support.post(f"/payments/{number}/refunds", {"amount": 596, "reason": "goodwill"})
    assert beyond.json()["type"] == "/problems/refund_too_high"
    assert (await support.post(f"/payments/{number}/refunds", {"amount": 595, "reason": "other"})).status_code == 201


DISPUTE = {
    "id": "dp_1", "object": "dispute", "amount": 400, "currency": "gbp", "reason": "fraudulent",
    "status": "needs_response",
}  # fmt: skip


async def test_a_webhook_before_our_own_call_pays_the_order_once(
    settings: Settings, sandbox: SandboxProcess, bank: LocalStripe
) -> None:
    async with running(striped(settings, sandbox, bank)) as house:
        guest = house.guest()
        await guest.add()
        number = str((await guest.check_out(payment_method=bank.card())).json()["order_number"])
        order_id = await house.shop.logs["ordering"].claimed("order_number", parse_order_number(number).encode())
        assert order_id is not None
        order, _ = await house.shop.logs["ordering"].load(ORDER, order_id, fresh=True)
        assert order is not None
        ghost = PaymentState(
            payment_id=payment_id_of(order_id), order_id=order_id, status="requested", amount=order.total, key="k"
        )
        paid_at_once = event("payment_intent.succeeded", intent(ghost, "succeeded", "pi_first"))
        assert not await told(house, paid_at_once), "no payment was requested yet"
        request = RequestPayment(order_id=order_id, amount=order.total, method="pm_1")
        await house.shop.execute(request, Meta(str(order_id), "request:test", "system:test"))
        dear = {**paid_at_once["data"]["object"], "amount": 1}
        assert not await told(house, event("payment_intent.succeeded", dear)), "another amount"
        assert await told(house, paid_at_once)
        assert not await told(house, paid_at_once)
        tasks = [
            asyncio.create_task(manager.run())
            for manager in bootstrap.process_managers(house.shop, automatic=False, name="test")
        ]
        try:
            await house.order_is(guest, number, "confirmed")
        finally:
            await end(tasks)
        assert (await paid(house, number)).reference == "pi_first"
        _, intents = bank.ask("GET", "/v1/payment_intents")
        assert intents["data"] == []


async def test_money_that_is_only_secured_is_taken_when_the_stock_is_reserved(
    settings: Settings, sandbox: SandboxProcess, bank: LocalStripe
) -> None:
    async with running(striped(settings, sandbox, bank, payment_capture="when_reserved"), saga=True) as house:
        guest, hasty = house.guest(), house.guest()
        number = await bought(house, guest, bank.card())
        detail = await house.until(guest, f"/payments/{number}", lambda body: body["captured"])
        assert [one["captured"] for one in detail["captures"]] == [False, True]
        await hasty.add("POT", 100)
        await house.pause("catalog_pages")
        await house.shop.execute(AdjustStock(sku="POT", warehouse="LON", change=-50, reason="counted"), STAFF)
        placed = await hasty.check_out(payment_method=bank.card())
        short = str(placed.json()["order_number"])
        await house.order_is(hasty, short, "failed")
        detail = (await hasty.get(f"/payments/{short}")).json()
        assert (detail["voided"], detail["refunds"], detail["captured"]) == (True, [], False)
