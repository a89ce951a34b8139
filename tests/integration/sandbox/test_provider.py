"""The payment provider of the sandbox, spoken to by the shop's adapter: each documented test value, each promise."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from emporium.application.ports import Outcome, ProviderDown
from emporium.domain.base import Money
from emporium.infra.provider_http import HttpProvider, MonthTotals
from tests.support.sandbox import SandboxProcess

AT = datetime(2011, 5, 31, 23, 59, tzinfo=UTC)


def pounds(amount: int) -> Money:
    return Money(amount * 100, "GBP")


async def charged(provider: HttpProvider, order: UUID, amount: int = 10, method: str = "pm_ok", key: str = "") -> str:
    outcome = await provider.charge(key or f"charge:{order}", order, pounds(amount), method, AT)
    assert outcome.status == "succeeded"
    assert outcome.reference is not None
    return outcome.reference


async def eventually(ask: Callable[[], Awaitable[Outcome]], status: str) -> Outcome:
    async with asyncio.timeout(10):
        while True:
            outcome = await ask()
            if outcome.status == status:
                return outcome


async def test_a_key_has_one_answer(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    order = uuid4()
    outcomes = [await provider.charge("one", order, pounds(10), "pm_ok", AT) for _ in range(3)]
    assert len(set(outcomes)) == 1
    assert sandbox.state()["charges"] == 1


async def test_ten_calls_with_one_key_at_once_are_one_charge(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    order = uuid4()
    outcomes = await asyncio.gather(*(provider.charge("one", order, pounds(10), "pm_ok", AT) for _ in range(10)))
    assert len(set(outcomes)) == 1
    assert sandbox.state()["charges"] == 1


async def test_two_keys_for_one_order_show_as_a_double_charge(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    order = uuid4()
    first = await charged(provider, order, key="first")
    second = await charged(provider, order, key="second")
    assert first != second
    state = sandbox.state()
    assert state["charged_twice"] == [str(order)]
    assert state["orders"][str(order)]["charges"] == 2


@pytest.mark.parametrize(
    "change", [{"order": uuid4()}, {"amount": pounds(11)}, {"amount": Money(1000, "EUR")}, {"method": "pm_late"}]
)
async def test_a_key_for_another_charge_is_refused(provider: HttpProvider, change: dict[str, object]) -> None:
    call: dict[str, object] = {"order": uuid4(), "amount": pounds(10), "method": "pm_ok", "at": AT}
    await provider.charge("one", **call)  # type: ignore[arg-type]
    with pytest.raises(ProviderDown, match="something else"):
        await provider.charge("one", **(call | change))  # type: ignore[arg-type]


async def test_a_conflict_of_keys_is_a_422_with_a_code(sandbox: SandboxProcess) -> None:
    wish = {"amount": 1, "currency": "GBP", "method": "pm_ok", "metadata": {"order": "o"}}
    assert sandbox.ask("POST", "/v1/charges", wish, "one")[0] == 200
    status, answer = sandbox.ask("POST", "/v1/charges", wish | {"amount": 2}, "one")
    assert (status, answer["code"]) == (422, "idempotency_conflict")


async def test_the_first_business_time_stands(provider: HttpProvider) -> None:
    order = uuid4()
    await provider.charge("one", order, pounds(10), "pm_ok", AT)
    await provider.charge("one", order, pounds(10), "pm_ok", datetime(2012, 1, 1, tzinfo=UTC))
    assert [total.month for total in await provider.summary()] == ["2011-05"]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_declined", "card_declined"),
        ("pm_insufficient_funds", "insufficient_funds"),
        ("pm_unheard_of", "method_unknown"),
    ],
)
async def test_declines(provider: HttpProvider, sandbox: SandboxProcess, method: str, code: str) -> None:
    order = uuid4()
    outcomes = [await provider.charge("one", order, pounds(10), method, AT) for _ in range(2)]
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [("declined", code)] * 2
    assert sandbox.state()["charges"] == 0


async def test_a_decline_is_found_by_its_key_only(provider: HttpProvider) -> None:
    order = uuid4()
    await provider.charge("one", order, pounds(10), "pm_declined", AT)
    assert (await provider.find_charge("one", order)).status == "declined"
    assert (await provider.find_charge("two", order)).status == "unknown"


async def test_timeout_before_charges_nothing_until_the_third_try(provider: HttpProvider) -> None:
    order = uuid4()
    for _ in range(2):
        with pytest.raises(ProviderDown, match="no answer"):
            await provider.charge("one", order, pounds(10), "pm_timeout_before", AT)
        assert (await provider.find_charge("one", order)).status == "unknown"
    assert (await provider.charge("one", order, pounds(10), "pm_timeout_before", AT)).status == "succeeded"


@pytest.mark.parametrize(("method", "text"), [("pm_timeout_after", "no answer"), ("pm_garbage_once", "no sense")])
async def test_charged_but_not_told(provider: HttpProvider, sandbox: SandboxProcess, method: str, text: str) -> None:
    order = uuid4()
    with pytest.raises(ProviderDown, match=text):
        await provider.charge("one", order, pounds(10), method, AT)
    found = await provider.find_charge("another key", order)
    assert found.status == "succeeded"
    assert await provider.charge("one", order, pounds(10), method, AT) == found
    assert sandbox.state()["charges"] == 1


async def test_fail_once(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    order = uuid4()
    with pytest.raises(ProviderDown, match="500"):
        await provider.charge("one", order, pounds(10), "pm_fail_once", AT)
    assert sandbox.state()["orders"] == {}
    assert (await provider.charge("one", order, pounds(10), "pm_fail_once", AT)).status == "succeeded"


async def test_never(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    order = uuid4()
    for _ in range(3):
        with pytest.raises(ProviderDown, match="no answer"):
            await provider.charge("one", order, pounds(10), "pm_never", AT)
    assert sandbox.state()["orders"] == {}


async def test_an_answer_that_comes_twice_is_one_charge_and_disturbs_nobody(
    provider: HttpProvider, sandbox: SandboxProcess
) -> None:
    order, other = uuid4(), uuid4()
    twice = await charged(provider, order, method="pm_answer_twice")
    assert await charged(provider, other) != twice
    assert (await provider.find_charge("another key", order)).reference == twice
    _, found = sandbox.ask("GET", f"/v1/charges?order={order}")
    assert [charge["id"] for charge in found["data"]] == [twice, twice]
    assert sandbox.state()["orders"][str(order)]["charges"] == 1


async def test_slow_answers_after_two_seconds_and_holds_nobody_up(sandbox: SandboxProcess) -> None:
    patient = HttpProvider(sandbox.url, timeout=10)
    started = time.monotonic()
    slow = asyncio.create_task(charged(patient, uuid4(), method="pm_slow"))
    await charged(patient, uuid4())
    assert not slow.done()
    await slow
    assert time.monotonic() - started >= 2.0
    await patient.aclose()


async def test_late_is_pending_first_then_succeeds(provider: HttpProvider) -> None:
    order = uuid4()
    outcome = await provider.charge("one", order, pounds(10), "pm_late", AT)
    assert (outcome.status, outcome.captured) == ("pending", False)
    assert outcome.reference is not None
    with pytest.raises(ProviderDown, match="charge_pending"):
        await provider.refund("back", outcome.reference, pounds(10), AT)
    settled = await eventually(lambda: provider.find_charge("one", order), "succeeded")
    assert settled.reference == outcome.reference
    assert settled.captured
    assert (await provider.refund("back", outcome.reference, pounds(10), AT)).status == "succeeded"


async def test_pending_forever_takes_no_money(provider: HttpProvider) -> None:
    order = uuid4()
    assert (await provider.charge("one", order, pounds(10), "pm_pending_forever", AT)).status == "pending"
    assert (await provider.find_charge("one", order)).status == "pending"
    assert await provider.summary() == []


async def test_refunds_in_parts_up_to_what_was_charged(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    order = uuid4()
    reference = await charged(provider, order, 10)
    first = await provider.refund("first", reference, pounds(4), AT)
    assert first.status == "succeeded"
    assert await provider.refund("first", reference, pounds(4), AT) == first
    beyond = await provider.refund("beyond", reference, pounds(7), AT)
    assert (beyond.status, beyond.code) == ("declined", "refund_exceeds_charge")
    assert (await provider.refund("rest", reference, pounds(6), AT)).status == "succeeded"
    assert sandbox.state()["orders"][str(order)] == {
        "charges": 1, "charged": 1000, "declined": 0, "pending": 0, "held": 0,
        "refunds": 2, "refunded": 1000, "parcels": 0,
    }  # fmt: skip


async def test_refunds_at_once_never_exceed_the_charge(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    reference = await charged(provider, uuid4(), 10)
    outcomes = await asyncio.gather(*(provider.refund(f"r{n}", reference, pounds(3), AT) for n in range(10)))
    assert sum(outcome.status == "succeeded" for outcome in outcomes) == 3
    assert sandbox.state()["refunded"] == 900


async def test_refunds_that_cannot_be(provider: HttpProvider) -> None:
    order = uuid4()
    reference = await charged(provider, order)
    declined = await provider.charge("declined", order, pounds(1), "pm_declined", AT)
    assert declined.reference is not None
    for target, amount, code in (
        ("ch_0000000999", pounds(1), "charge_unknown"),
        ("nonsense", pounds(1), "charge_unknown"),
        (reference, Money(1, "EUR"), "currency_mismatch"),
        (declined.reference, pounds(1), "charge_not_refundable"),
    ):
        outcome = await provider.refund(f"refund:{code}:{target}", target, amount, AT)
        assert (outcome.status, outcome.code) == ("declined", code)


async def test_refunds_are_found_by_key(provider: HttpProvider) -> None:
    reference = await charged(provider, uuid4())
    refund = await provider.refund("a key & more", reference, pounds(1), AT)
    assert await provider.find_refund("a key & more", reference) == refund
    assert (await provider.find_refund("other", reference)).status == "unknown"


async def test_a_refund_key_for_another_refund_is_refused(provider: HttpProvider) -> None:
    reference = await charged(provider, uuid4())
    await provider.refund("one", reference, pounds(1), AT)
    with pytest.raises(ProviderDown, match="something else"):
        await provider.refund("one", reference, pounds(2), AT)


async def test_what_nobody_heard_of_is_unknown(provider: HttpProvider) -> None:
    assert await provider.find_charge("none", uuid4()) == Outcome("unknown")
    assert await provider.find_refund("none", "ch_0000000001") == Outcome("unknown")


async def test_the_record_adds_up_by_month_and_currency(provider: HttpProvider) -> None:
    june = datetime(2011, 6, 1, tzinfo=UTC)
    reference = await charged(provider, uuid4(), 10)
    await provider.charge("june", uuid4(), pounds(7), "pm_ok", june)
    await provider.charge("euros", uuid4(), Money(5, "EUR"), "pm_ok", june)
    await provider.charge("declined", uuid4(), pounds(99), "pm_declined", june)
    await provider.refund("back", reference, pounds(3), june)
    assert await provider.summary() == [
        MonthTotals("2011-05", "GBP", 1, 1000, 0, 0),
        MonthTotals("2011-06", "EUR", 1, 5, 0, 0),
        MonthTotals("2011-06", "GBP", 1, 700, 1, 300),
    ]


async def test_the_record_is_listed_in_pages_and_by_day(provider: HttpProvider, sandbox: SandboxProcess) -> None:
    june = datetime(2011, 6, 1, tzinfo=UTC)
    times = [AT] * 1100 + [june] * 100
    orders = [uuid4() for _ in times]
    outcomes: list[Outcome] = []
    for start in range(0, len(orders), 50):  # no more at once than the client's time-out allows on a busy machine
        some = zip(orders[start : start + 50], times[start : start + 50], strict=True)
        outcomes += await asyncio.gather(
            *(provider.charge(f"c:{order}", order, pounds(1), "pm_ok", at) for order, at in some)
        )
    await provider.refund("back", str(outcomes[0].reference), pounds(1), june)

    def listed(path: str) -> tuple[list[str], str | None]:
        _, page = sandbox.ask("GET", path)
        return [item["id"] for item in page["data"]], page["next"]

    first, following = listed("/v1/charges")
    second, end = listed(f"/v1/charges?after={following}")
    assert len(first) == 1000
    assert end is None
    assert sorted(first + second) == sorted(str(outcome.reference) for outcome in outcomes)
    assert len(listed("/v1/charges?day=2011-06-01")[0]) == 100
    assert listed("/v1/refunds?day=2011-05-31") == ([], None)
    assert len(listed("/v1/refunds")[0]) == 1
