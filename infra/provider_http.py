"""The payment provider over HTTP: every unusable answer is ProviderDown, every refusal a declined Outcome."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from emporium.application.ports import Booked, MethodRefused, NextAction, Outcome, ProviderDown, SavedMethod
from emporium.domain.base import Money

from .http_client import HttpClient

__all__ = ["HttpProvider", "Known", "MonthTotals", "order_named"]

_OK: Final = 200
_DECLINED: Final = 402
_REFUSED: Final = 422
_LIVE: Final = ("succeeded", "authorised", "pending", "requires_action")


class MonthTotals(msgspec.Struct, frozen=True):
    """What the provider holds for one month (UTC, by business time) and currency; amounts in minor units."""

    month: str
    currency: str
    charges: int
    charged: int
    refunds: int
    refunded: int


class Known(msgspec.Struct):
    """A charge or refund as the sandbox shows it."""

    id: str
    key: str
    amount: int
    currency: str
    status: Literal["succeeded", "authorised", "declined", "pending", "requires_action", "voided"]
    code: str | None
    at: datetime | None = None
    order: str | None = None
    taken_at: datetime | None = None
    action: str | None = None
    taken: int | None = None


class _Refusal(msgspec.Struct):
    code: str
    text: str = ""


class _Found(msgspec.Struct):
    data: list[Known]
    next: str | None = None


_T = TypeVar("_T")

_encode: Final = msgspec.json.Encoder().encode
_known: Final = msgspec.json.Decoder(Known)
_refusal: Final = msgspec.json.Decoder(_Refusal)
_saved: Final = msgspec.json.Decoder(SavedMethod)
_found: Final = msgspec.json.Decoder(_Found)
_totals: Final = msgspec.json.Decoder(list[MonthTotals])


class HttpProvider:
    """Implements `ports.Provider` and `ports.ProviderRecord`; for one event loop. Connections open when first needed.

    Args:
        base_url: `http://host:port`.
        capture: whether a charge takes the money at once; else it only secures it.
        timeout: seconds to connect, and again to answer.
        connections: the most calls at once; more wait for their turn.
    """

    def __init__(self, base_url: str, *, capture: bool = True, timeout: float = 5.0, connections: int = 64) -> None:
        self._base_url = base_url.rstrip("/")
        self._capture = capture
        self._client = HttpClient(base_url, timeout, connections)

    async def charge(self, key: str, order: UUID, amount: Money, method: str, at: datetime) -> Outcome:
        """Takes `amount` for the order by a payment method. Raises ProviderDown."""
        return await self._move(
            "/v1/charges",
            key,
            amount,
            {
                "amount": amount.amount,
                "currency": amount.currency,
                "method": method,
                "metadata": {"order": str(order), "at": at},
                "capture": self._capture,
            },
        )

    async def capture(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """Takes `amount` of what was secured. Raises ProviderDown."""
        return await self._step("capture", key, reference, {"metadata": {"at": at}, "amount": amount.amount})

    async def void(self, key: str, reference: str, at: datetime) -> Outcome:
        """Lets go what was secured or waits. Raises ProviderDown."""
        return await self._step("void", key, reference, {"metadata": {"at": at}})

    async def save_method(self, key: str, customer: UUID, method: str) -> SavedMethod:
        """Keeps a method for the customer. Raises MethodRefused, ProviderDown."""
        wish = {"customer": str(customer), "method": method}
        status, body = await self._client.call("POST", "/v1/methods", key, _encode(wish))
        if status == _REFUSED:
            raise MethodRefused(_decode(_refusal, body).code)
        if status != _OK:
            raise _unusable(status, body)
        return _decode(_saved, body)

    async def forget_method(self, token: str) -> None:
        """Nothing: the sandbox keeps no methods, a token says all that there is."""

    async def refund(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """Gives `amount` of a charge back. Raises ProviderDown, also while the charge is pending."""
        return await self._move(
            "/v1/refunds",
            key,
            amount,
            {"charge": reference, "amount": amount.amount, "currency": amount.currency, "metadata": {"at": at}},
        )

    async def find_charge(self, key: str, order: UUID) -> Outcome:
        """The charge with this key; else one of the order that took or may yet take money. Raises ProviderDown."""
        found = await self._find(f"/v1/charges?key={quote(key)}&order={order}")
        # A decline under another key says nothing of this one: it may still be on its way.
        candidates = [charge for charge in found if charge.key == key] or [
            charge for status in _LIVE for charge in found if charge.status == status
        ]
        return self.outcome_of(candidates[0]) if candidates else Outcome("unknown")

    async def find_refund(self, key: str, reference: str) -> Outcome:
        """The refund with this key. Raises ProviderDown."""
        found = await self._find(f"/v1/refunds?key={quote(key)}&charge={quote(reference)}")
        return next((self.outcome_of(refund) for refund in found if refund.key == key), Outcome("unknown"))

    async def summary(self) -> list[MonthTotals]:
        """The provider's own totals, by month and currency. Raises ProviderDown."""
        status, body = await self._client.call("GET", "/v1/summary")
        if status != _OK:
            raise _unusable(status, body)
        return _decode(_totals, body)

    async def booked(self, since: datetime | None = None, until: datetime | None = None) -> AsyncIterator[Booked]:
        """Charges whose money was taken, then refunds, of [since, until). Raises ProviderDown."""
        times = {name: at.isoformat() for name, at in (("since", since), ("until", until)) if at is not None}
        for target, sign in (("/v1/charges", 1), ("/v1/refunds", -1)):
            after: str | None = ""
            while after is not None:
                query = urlencode(times | ({"after": after} if after else {}))
                found = await self._page(f"{target}?{query}" if query else target)
                for known in found.data:
                    at = known.taken_at or known.at
                    if known.status == "succeeded" and at is not None:
                        yield Booked(
                            known.key,
                            order_named(known.order),
                            Money(sign * (known.amount if known.taken is None else known.taken), known.currency),
                            at,
                            known.id,
                        )
                after = found.next

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _move(self, target: str, key: str, amount: Money, wish: dict[str, Any]) -> Outcome:
        status, body = await self._client.call("POST", target, key, _encode(wish))
        if status in (_OK, _DECLINED):
            known = _decode(_known, body)
            # An answer to another call must never pass for the answer to this one.
            if (known.key, known.amount, known.currency) != (key, amount.amount, amount.currency):
                raise ProviderDown(f"the provider answered for {known.key!r} when asked for {key!r}")
            return self.outcome_of(known)
        if status == _REFUSED:
            refusal = _decode(_refusal, body)
            # The key stands for another call: only asking the provider tells what has happened.
            if refusal.code == "idempotency_conflict":
                raise ProviderDown(f"the provider knows the key {key!r} for something else")
            return Outcome("declined", code=refusal.code)
        raise _unusable(status, body)

    async def _step(self, step: str, key: str, reference: str, wish: dict[str, Any]) -> Outcome:
        target = f"/v1/charges/{quote(reference, safe='')}/{step}"
        status, body = await self._client.call("POST", target, key, _encode(wish))
        if status == _REFUSED:
            return Outcome("declined", reference, _decode(_refusal, body).code, captured=False)
        if status != _OK:
            raise _unusable(status, body)
        known = _decode(_known, body)
        if known.id != reference:
            raise ProviderDown(f"the provider answered for {known.id!r} when asked for {reference!r}")
        return self.outcome_of(known)

    def outcome_of(self, known: Known) -> Outcome:
        """What a charge or refund means, as the sandbox shows it."""
        status = "succeeded" if known.status == "authorised" else known.status
        action = None
        if known.status == "requires_action":
            action = NextAction("redirect", None if known.action is None else self._base_url + known.action)
        return Outcome(status, known.id, known.code, captured=known.status == "succeeded", action=action)

    async def _find(self, target: str) -> list[Known]:
        return (await self._page(target)).data

    async def _page(self, target: str) -> _Found:
        status, body = await self._client.call("GET", target)
        if status != _OK:
            raise _unusable(status, body)
        return _decode(_found, body)


def order_named(order: str | None) -> UUID | None:
    """The order of a charge; None where it is somebody else's."""
    try:
        return None if order is None else UUID(order)
    except ValueError:
        return None  # a charge of somebody else


def _decode(decoder: "msgspec.json.Decoder[_T]", body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderDown(f"the provider's answer makes no sense: {error}") from error


def _unusable(status: int, body: bytes) -> ProviderDown:
    return ProviderDown(f"the provider answered {status}: {body[:200].decode(errors='replace')}")
