"""What the saga relies on holds of every payment provider: the sandbox, and Stripe as localstripe plays it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import pytest

from emporium.application.ports import MethodRefused, Outcome, Provider, ProviderRecord
from emporium.domain.base import Money
from emporium.infra.provider_http import HttpProvider
from emporium.infra.provider_stripe import StripeProvider
from tests.support.sandbox import SandboxProcess
from tests.support.stripe import KEY, LocalStripe, local_stripe

PRICE = Money(1_999, "GBP")


class Real(Provider, ProviderRecord, Protocol):
    async def aclose(self) -> None: ...


class Counterpart(Protocol):
    """A provider's other side: the customer's browser and bank."""

    def provider(self, *, capture: bool) -> Real: ...

    def method(self, name: str) -> str:
        """A payment method: ok, declined, 3ds, 3ds_declined, refused_to_keep."""
        ...

    def authenticate(self, outcome: Outcome, *, success: bool) -> None: ...


class Sandboxed:
    METHODS = {
        "ok": "pm_ok", "declined": "pm_declined", "3ds": "pm_3ds", "3ds_declined": "pm_3ds_declined",
        "refused_to_keep": "pm_declined",
    }  # fmt: skip

    def __init__(self, process: SandboxProcess) -> None:
        self.process = process

    def provider(self, *, capture: bool) -> Real:
        return HttpProvider(self.process.url, capture=capture)

    def method(self, name: str) -> str:
        return self.METHODS[name]

    def authenticate(self, outcome: Outcome, *, success: bool) -> None:
        assert outcome.action is not None
        assert outcome.action.kind == "redirect"
        path = str(outcome.action.url).removeprefix(self.process.url)
        status, _ = self.process.ask("POST", path, {"success": success})
        assert status == 200


class Striped:
    def __init__(self, server: LocalStripe) -> None:
        self.server = server

    def provider(self, *, capture: bool) -> Real:
        return StripeProvider(KEY, base=self.server.url, capture=capture)

    def method(self, name: str) -> str:
        return self.server.card(name)

    def authenticate(self, outcome: Outcome, *, success: bool) -> None:
        assert outcome.action is not None
        assert outcome.action.kind == "sdk"
        self.server.authenticate(str(outcome.reference), str(outcome.action.client_secret), success=success)


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Counterpart]:
    if kind == "sandbox":
        with SandboxProcess(folder / "sandbox.sqlite") as process:
            yield Sandboxed(process)
    else:
        with local_stripe(folder) as server:
            yield Striped(server)


@pytest.fixture(scope="module", params=["sandbox", "stripe"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counterpart]:
    with started(request.param, tmp_path_factory.mktemp("provider")) as counterpart:
        yield counterpart


@pytest.fixture
async def taking(other: Counterpart) -> AsyncIterator[Real]:
    """A provider that takes the money at once."""
    provider = other.provider(capture=True)
    yield provider
    await provider.aclose()


@pytest.fixture
async def securing(other: Counterpart) -> AsyncIterator[Real]:
    """A provider that only secures it."""
    provider = other.provider(capture=False)
    yield provider
    await provider.aclose()


def now() -> datetime:
    return datetime.now(UTC)


async def charged(provider: Real, method: str, order: UUID | None = None) -> tuple[str, UUID, Outcome]:
    order = order or uuid4()
    key = f"charge-{order}"
    return key, order, await provider.charge(key, order, PRICE, method, now())


async def test_a_charge_takes_the_money_and_is_found_again(other: Counterpart, taking: Real) -> None:
    key, order, outcome = await charged(taking, other.method("ok"))
    assert (outcome.status, outcome.captured, outcome.code) == ("succeeded", True, None)
    assert outcome.reference
    assert await taking.find_charge(key, order) == outcome
    assert await taking.find_charge("another-key", order) == outcome
    assert (await taking.find_charge("no-such-key", uuid4())).status == "unknown"


async def test_a_decline_says_why(other: Counterpart, taking: Real) -> None:
    key, order, outcome = await charged(taking, other.method("declined"))
    assert (outcome.status, outcome.code) == ("declined", "card_declined")
    assert (await taking.find_charge(key, order)).status == "declined"


async def test_a_method_that_is_not_there_is_a_decline(taking: Real) -> None:
    _, _, outcome = await charged(taking, "pm_nowhere")
    assert outcome.status == "declined"
    assert outcome.code


async def test_what_is_secured_is_taken_later_and_once(other: Counterpart, securing: Real) -> None:
    key, order, outcome = await charged(securing, other.method("ok"))
    assert (outcome.status, outcome.captured) == ("succeeded", False)
    reference = str(outcome.reference)
    for _ in range(2):
        taken = await securing.capture("capture", reference, PRICE, now())
        assert (taken.status, taken.captured, taken.reference) == ("succeeded", True, reference)
    assert (await securing.find_charge(key, order)).captured
    too_late = await securing.void("void", reference, now())
    assert (too_late.status, too_late.captured) == ("succeeded", True)


async def test_of_what_is_secured_a_part_is_taken_and_the_rest_let_go(other: Counterpart, securing: Real) -> None:
    _, _, outcome = await charged(securing, other.method("ok"))
    reference, part = str(outcome.reference), Money(PRICE.amount - 300, PRICE.currency)
    before = [one.amount.amount async for one in securing.booked()]
    for _ in range(2):
        taken = await securing.capture("capture", reference, part, now())
        assert (taken.status, taken.captured) == ("succeeded", True)
    after = [one.amount.amount async for one in securing.booked()]
    assert sum(after) - sum(before) == part.amount
    assert (await securing.refund("all of it", reference, part, now())).status == "succeeded"


async def test_what_is_secured_is_let_go_and_cannot_be_taken_then(other: Counterpart, securing: Real) -> None:
    key, order, outcome = await charged(securing, other.method("ok"))
    reference = str(outcome.reference)
    for _ in range(2):
        assert (await securing.void("void", reference, now())).status == "voided"
    assert (await securing.find_charge(key, order)).status == "voided"


@pytest.mark.parametrize("capture", [True, False])
async def test_the_customer_authenticates(other: Counterpart, capture: bool) -> None:
    provider = other.provider(capture=capture)
    key, order, outcome = await charged(provider, other.method("3ds"))
    assert outcome.status == "requires_action"
    found = await provider.find_charge(key, order)
    assert found == outcome
    other.authenticate(found, success=True)
    done = await provider.find_charge(key, order)
    assert (done.status, done.captured, done.action) == ("succeeded", capture, None)
    await provider.aclose()


async def test_the_customer_does_not_authenticate(other: Counterpart, taking: Real) -> None:
    key, order, outcome = await charged(taking, other.method("3ds"))
    other.authenticate(outcome, success=False)
    assert (await taking.find_charge(key, order)).status == "declined"


async def test_the_bank_declines_after_the_authentication(other: Counterpart, taking: Real) -> None:
    key, order, outcome = await charged(taking, other.method("3ds_declined"))
    other.authenticate(outcome, success=True)
    declined = await taking.find_charge(key, order)
    assert (declined.status, declined.code) == ("declined", "card_declined")


async def test_a_payment_that_waits_for_the_customer_is_given_up(other: Counterpart, taking: Real) -> None:
    key, order, outcome = await charged(taking, other.method("3ds"))
    assert (await taking.void("void", str(outcome.reference), now())).status == "voided"
    assert (await taking.find_charge(key, order)).status == "voided"


async def test_refunds_in_parts_are_found_by_their_keys(other: Counterpart, taking: Real) -> None:
    _, _, outcome = await charged(taking, other.method("ok"))
    reference = str(outcome.reference)
    keys = [f"refund-{uuid4()}" for _ in range(2)]
    done = [await taking.refund(key, reference, Money(500, "GBP"), now()) for key in keys]
    assert [one.status for one in done] == ["succeeded", "succeeded"]
    assert done[0].reference != done[1].reference
    for key, one in zip(keys, done, strict=True):
        found = await taking.find_refund(key, reference)
        assert (found.status, found.reference) == ("succeeded", one.reference)
    assert (await taking.find_refund("refund-no", reference)).status == "unknown"


async def test_a_kept_method_pays_again_and_again_until_it_is_forgotten(other: Counterpart, taking: Real) -> None:
    customer = uuid4()
    kept = await taking.save_method(f"save-{customer}", customer, other.method("ok"))
    assert (kept.last_four, len(kept.expires or "")) == ("4242", 7)
    for _ in range(2):
        _, _, outcome = await charged(taking, kept.token)
        assert outcome.status == "succeeded"
    await taking.forget_method(kept.token)
    await taking.forget_method(kept.token)


async def test_a_method_that_is_declined_is_not_kept(other: Counterpart, taking: Real) -> None:
    customer = uuid4()
    with pytest.raises(MethodRefused) as refusal:
        await taking.save_method(f"save-{customer}", customer, other.method("refused_to_keep"))
    assert refusal.value.code == "card_declined"


async def test_the_record_holds_what_was_taken_and_given_back_and_nothing_else(
    other: Counterpart, taking: Real, securing: Real
) -> None:
    since = now() - timedelta(seconds=2)
    _, _, paid = await charged(taking, other.method("ok"))
    back = await taking.refund(f"refund-{uuid4()}", str(paid.reference), Money(500, "GBP"), now())
    _, _, held = await charged(securing, other.method("ok"))
    _, _, late = await charged(securing, other.method("ok"))
    await securing.capture("capture", str(late.reference), PRICE, now())
    _, _, no = await charged(taking, other.method("declined"))
    booked = [one async for one in taking.booked(since, now() + timedelta(seconds=2))]
    amounts = {one.reference: one.amount for one in booked}
    assert amounts[str(paid.reference)] == amounts[str(late.reference)] == PRICE
    assert amounts[str(back.reference)] == Money(-500, "GBP")
    assert str(held.reference) not in amounts
    assert no.reference is None or no.reference not in amounts
    signs = [one.amount.amount > 0 for one in booked]
    assert signs == sorted(signs, reverse=True)
    assert not [one async for one in taking.booked(since - timedelta(days=2), since - timedelta(days=1))]


async def test_many_calls_at_once(other: Counterpart, taking: Real) -> None:
    methods = [other.method("ok") for _ in range(20)]
    done = await asyncio.gather(*(charged(taking, method) for method in methods))
    assert len({outcome.reference for _, _, outcome in done}) == 20
    found = await asyncio.gather(*(taking.find_charge(key, order) for key, order, _ in done))
    assert [one.reference for one in found] == [outcome.reference for _, _, outcome in done]
