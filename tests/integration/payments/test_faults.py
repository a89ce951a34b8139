"""A provider that fails in every way at every call: one charge at most, money equal on both sides, nothing open."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from emporium.application import bootstrap, payments
from emporium.application.ports import Meta, Notice, Outcome, ProviderDown
from emporium.application.reconcile import reconcile
from emporium.domain.base import Money
from emporium.domain.order import FAILED, FULFILLED, RequestCancellation
from emporium.domain.payment import PAYMENT, PaymentState, payment_id_of
from emporium.infra.provider_http import HttpProvider
from tests.support.saga import Saga, running, until

IMPATIENT = 1.5
"""Seconds until a call without an answer counts as lost; a slow answer of the sandbox takes one."""

CALLS = {
    "at_once": ("charge", "charges", "refund", "refunds"),
    "when_reserved": ("charge", "charges", "capture", "void", "refund", "refunds"),
}
"""The saga's calls; the plural ones ask what is known before a call is repeated."""

FAULTS = {"timeout_before": 1, "timeout_after": 1, "error": 2, "garbage": 2, "down": 2, "slow": 2}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "HttpProvider", partial(HttpProvider, timeout=IMPATIENT))


async def state_of(saga: Saga, order_id: UUID) -> PaymentState:
    state, _ = await saga.shop.logs["payments"].load(PAYMENT, payment_id_of(order_id), fresh=True)
    assert state is not None
    return state


async def nothing_is_left_open(saga: Saga) -> None:
    """No task of any log waits but those that only look again much later."""
    late = ("effect.payment_deadline", "timer.unshipped", "timer.cart_expiry", "timer.cart_left", "effect.void_label")

    async def settled() -> bool:
        soon = saga.shop.clock.now() + timedelta(days=400)
        for log in saga.shop.logs.values():
            if any(task.kind not in late for task in await log.due_tasks(soon, 1_000)):
                return False
        return True

    await until(settled, saga.shop.logs["payments"], 40)
    picture = (await bootstrap.observe(saga.opened.settings)).picture
    assert [log.parked for log in picture.logs if log.parked] == [], picture.parked_tasks


async def money_is_equal(saga: Saga, orders: list[UUID]) -> None:
    """Each order was charged once at most, what is not delivered went back, and both books agree."""
    known = saga.sandbox.state()
    assert known["charged_twice"] == []
    assert known["held"] == 0
    for order_id in orders:
        one = known["orders"].get(str(order_id), {"charges": 0, "charged": 0, "refunded": 0})
        state, paid = await saga.state(order_id), await state_of(saga, order_id)
        assert one["charges"] <= 1
        assert paid.received == one["charged"]
        back = sum(refund.amount for refund in paid.refunds.values() if refund.status == "done")
        assert back == one["refunded"]
        if state.status != FULFILLED:
            assert one["charged"] == one["refunded"]
    async with bootstrap.provider_record(saga.opened.settings) as record:
        days = {datetime.now(UTC).date(), (datetime.now(UTC) - timedelta(minutes=5)).date()}
        for day in days:
            outcome = await reconcile(saga.shop.logs["payments"], record, day)
            assert outcome.differences == ()


async def a_day_in_the_shop(saga: Saga) -> list[UUID]:
    """Orders that are delivered (one of them refunded in part), short of stock and declined."""
    await saga.stock(LON={"MUG": 50, "TEA": 1})
    good = [await saga.order(MUG=1) for _ in range(3)]
    short = [await saga.order(TEA=2) for _ in range(2)]
    declined = await saga.order("pm_declined", MUG=1)
    for order_id in good:
        await saga.becomes(order_id, FULFILLED, within=60)
    for order_id in (*short, declined):
        await saga.becomes(order_id, FAILED, within=60)
    await payments.refund(
        saga.shop, order_id=good[0], refund_id=uuid4(), amount=100, reason="goodwill",
        cause=Meta(str(good[0]), "request:test", "staff:1"),
    )  # fmt: skip
    await saga.happens("ordering", "OrderRefunded", good[0], within=60)
    return [*good, *short, declined]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("capture", CALLS)
async def test_every_call_goes_wrong(database: str, folder: Path, capture: str, fault: str) -> None:
    async with running(database, folder, settings={"payment_capture": capture}) as saga:
        for call in CALLS[capture]:
            saga.sandbox.faults(fault, FAULTS[fault], call)
        orders = await a_day_in_the_shop(saga)
        _, left = saga.sandbox.ask("POST", "/debug/faults", {"fault": fault, "count": 0, "operation": "summary"})
        spared = {one["operation"] for one in left if one["count"] == FAULTS[fault]}
        # A slow answer is an answer: nobody has to ask what is known.
        assert spared == ({"charges", "refunds"} if fault == "slow" else set())
        for call in CALLS[capture]:
            saga.sandbox.faults(fault, 0, call)
        await nothing_is_left_open(saga)
        await money_is_equal(saga, orders)


# --- webhooks --------------------------------------------------------------------------------------


class Telling(HttpProvider):
    """The sandbox with webhooks: tells what a call has done before the call is answered."""

    shop: Any = None
    times = 1
    answers = True
    told = 0

    async def _tell(self, kind: str, outcome: Outcome, amount: Money, **whose: UUID) -> Outcome:
        name = f"evt_{outcome.reference}_{outcome.status}_{outcome.captured}"
        notice = Notice(id=name, kind=kind, outcome=outcome, amount=amount, charge=outcome.reference, **whose)
        for number in range(self.times):
            changed = await payments.receive(self.shop, notice, Meta("", f"request:{name}", "system:provider"))
            assert not (changed and number), "a notice counted twice"
            Telling.told += changed
        if not self.answers:
            raise ProviderDown("the webhook is all that there is")
        return outcome

    async def charge(self, key: str, order: UUID, amount: Money, method: str, at: datetime) -> Outcome:
        outcome = await super().charge(key, order, amount, method, at)
        self.orders[str(outcome.reference)] = order
        return await self._tell("charge", outcome, amount, order=order)

    async def capture(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        outcome = await super().capture(key, reference, amount, at)
        return await self._tell("charge", outcome, amount, order=self.orders[reference])

    async def void(self, key: str, reference: str, at: datetime) -> Outcome:
        outcome = await super().void(key, reference, at)
        paid, _ = await self.shop.logs["payments"].load(PAYMENT, payment_id_of(self.orders[reference]))
        return await self._tell("charge", outcome, paid.amount, order=self.orders[reference])

    async def refund(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        outcome = await super().refund(key, reference, amount, at)
        refund = UUID(key.removeprefix("refund-"))
        return await self._tell("refund", outcome, amount, order=self.orders[reference], refund=refund)

    orders: dict[str, UUID] = {}


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Telling]]:
    monkeypatch.setattr(bootstrap, "HttpProvider", Telling)
    Telling.told = 0
    yield Telling
    Telling.shop, Telling.times, Telling.answers = None, 1, True
    Telling.orders.clear()


@pytest.mark.parametrize(("times", "answers"), [(1, True), (3, True), (1, False), (3, False)])
@pytest.mark.parametrize("capture", CALLS)
async def test_webhooks_come_first_twice_or_alone(
    database: str, folder: Path, telling: type[Telling], capture: str, times: int, answers: bool
) -> None:
    async with running(database, folder, settings={"payment_capture": capture}) as saga:
        telling.shop, telling.times, telling.answers = saga.shop, times, answers
        orders = await a_day_in_the_shop(saga)
        await nothing_is_left_open(saga)
        await money_is_equal(saga, orders)
        assert telling.told >= 9, "the webhooks were news"


# --- too late --------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", CALLS)
@pytest.mark.parametrize("end", ["timed out", "cancelled"])
async def test_money_that_comes_too_late_goes_back(database: str, folder: Path, capture: str, end: str) -> None:
    settings = {"payment_capture": capture, "payment_timeout_s": 0.3 if end == "timed out" else 60}
    async with running(database, folder, settings=settings) as saga:
        await saga.stock(LON={"MUG": 5})
        order_id = await saga.order("pm_late", MUG=1)
        if end == "cancelled":
            await saga.happens("payments", "PaymentRequested", order_id)
            await saga.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
        await saga.becomes(order_id, "failed", "cancelled")
        await saga.happens("payments", "LatePaymentReceived", order_id)
        back = "PaymentRefunded" if capture == "at_once" else "PaymentVoided"
        await saga.happens("payments", back, order_id)
        await nothing_is_left_open(saga)
        await money_is_equal(saga, [order_id])


@pytest.mark.parametrize("end", ["timed out", "cancelled"])
async def test_a_customer_who_is_too_late_cannot_pay_any_more(database: str, folder: Path, end: str) -> None:
    settings = {"payment_action_timeout_s": 0.5 if end == "timed out" else 60}
    async with running(database, folder, settings=settings) as saga:
        await saga.stock(LON={"MUG": 5})
        order_id = await saga.order("pm_3ds", MUG=1)
        await saga.happens("payments", "PaymentActionRequired", order_id)
        if end == "cancelled":
            await saga.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
        await saga.becomes(order_id, "failed", "cancelled")
        await nothing_is_left_open(saga)
        status, charge = saga.sandbox.ask("POST", "/v1/charges/ch_0000000001/authenticate", {"success": True})
        assert (status, charge["status"]) == (200, "voided")
        await money_is_equal(saga, [order_id])


async def test_a_refused_capture_stops_the_order(database: str, folder: Path) -> None:
    settings = {"payment_capture": "when_reserved", "fulfilment": "manual"}
    async with running(database, folder, settings=settings) as saga:
        await saga.stock(LON={"MUG": 5})
        order_id = await saga.order("pm_capture_refused", MUG=2)
        await saga.becomes(order_id, "cancelled")
        await saga.happens("inventory", "UnitsReleased", order_id)
        assert (await saga.level("MUG", "LON")).available == 5
        await nothing_is_left_open(saga)
        await money_is_equal(saga, [order_id])


# --- an outage -------------------------------------------------------------------------------------


async def test_orders_wait_for_a_provider_that_is_down_and_go_on_by_themselves(database: str, folder: Path) -> None:
    async with running(database, folder) as saga:
        await saga.stock(LON={"MUG": 50})
        saga.sandbox.kill()
        orders = [await saga.order(MUG=1) for _ in range(12)]
        since: set[datetime] = set()

        async def held_up() -> bool:
            picture = (await bootstrap.observe(saga.opened.settings)).picture
            [log] = [log for log in picture.logs if log.log == "payments"]
            if log.held_up_since is not None:
                since.add(log.held_up_since)
            return log.held_up == 12 and "the payment provider is down" in (log.held_up_by or "")

        await until(held_up, saga.shop.logs["payments"], 20)
        assert {(await saga.state(order_id)).status for order_id in orders} == {"pending"}
        assert len(since) == 1, "each try in vain leaves the age of the outage as it is"
        saga.sandbox.start()
        await asyncio.gather(*(saga.becomes(order_id, FULFILLED, within=60) for order_id in orders))
        await nothing_is_left_open(saga)
        await money_is_equal(saga, orders)
