"""Every request that the Stripe adapter makes is one that Stripe's own schema allows."""

from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
import stripe

from emporium.application.ports import ProviderDown
from emporium.domain.base import Money
from emporium.infra.provider_stripe import StripeProvider
from tests.support.stripe import KEY, stripe_mock

pytestmark = pytest.mark.timeout(600)
"""The first one fetches and builds stripe-mock where it was never built."""

AT = datetime(2026, 5, 31, tzinfo=UTC)
T = TypeVar("T")
PRICE = Money(1_999, "GBP")


class Watched(StripeProvider):
    """Remembers the requests that were not valid, for the adapter takes some refusals for answers."""

    refused: list[stripe.InvalidRequestError]

    async def _called(self, call: Awaitable[T]) -> T:
        try:
            return await super()._called(call)
        except stripe.InvalidRequestError as error:
            self.refused.append(error)
            raise


@pytest.fixture(params=[True, False], ids=["at once", "when reserved"])
async def provider(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Watched]:
    with stripe_mock(folder) as url:
        adapter = Watched(KEY, base=url, capture=request.param)
        adapter.refused = []
        yield adapter
        await adapter.aclose()


async def test_every_call_is_valid(provider: Watched) -> None:
    order = uuid4()
    # What stripe-mock answers is made up; what counts is that it refuses no request.
    charge = await provider.charge("charge", order, PRICE, "pm_card_visa", AT)
    assert charge.status == "declined"
    assert charge.code == "declined", "stripe-mock's example is an intent without a payment method"
    assert (await provider.charge("kept", order, PRICE, "cus_1/pm_card_visa", AT)).code == "declined"
    reference = charge.reference or "pi_1"
    assert (await provider.capture("capture", reference, PRICE, AT)).reference
    assert (await provider.void("void", reference, AT)).reference
    assert (await provider.refund("refund", reference, PRICE, AT)).status in ("succeeded", "pending")
    assert (await provider.find_charge("charge", order)).status == "unknown"
    assert (await provider.find_refund("refund", reference)).status == "unknown"
    kept = await provider.save_method("save", uuid4(), "pm_card_visa")
    assert "/" in kept.token
    await provider.forget_method(kept.token)
    assert await provider.order_of(reference) is None
    [booked async for booked in provider.booked(AT)]
    assert provider.refused == []


async def test_a_request_that_is_not_valid_is_noticed(folder: Path) -> None:
    with stripe_mock(folder) as url:
        adapter = Watched(KEY, base=url)
        adapter.refused = []
        bad = await adapter.charge("charge", uuid4(), Money("many", "GBP"), "pm_card_visa", AT)  # type: ignore[arg-type]
        assert bad.status == "declined"
        assert len(adapter.refused) == 1
        await adapter.aclose()


async def test_a_wrong_key_is_no_decline(folder: Path) -> None:
    with stripe_mock(folder) as url:
        adapter = StripeProvider("nonsense", base=url)
        with pytest.raises(ProviderDown):
            await adapter.charge("charge", uuid4(), PRICE, "pm_card_visa", AT)
        await adapter.aclose()
