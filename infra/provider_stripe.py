"""The payment provider Stripe by its own SDK: payment intents, refunds, kept cards, webhooks, its record of money."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import aiohttp
import msgspec
import stripe

from emporium.application.ports import (
    BadNotice,
    Booked,
    MethodRefused,
    NextAction,
    Notice,
    Outcome,
    ProviderDown,
    SavedMethod,
)
from emporium.domain.base import Money

if TYPE_CHECKING:
    from stripe import StripeObject

__all__ = ["StripeNotices", "StripeProvider"]

TOLERANCE: Final = 300
"""Seconds that a webhook's signature may be old (or ahead of our clock)."""

_NEWEST: Final = 100
_PAGES: Final = 10

_T = TypeVar("_T")


class _Redirect(msgspec.Struct):
    url: str


class _Next(msgspec.Struct):
    redirect_to_url: _Redirect | None = None


class _Error(msgspec.Struct):
    code: str | None = None
    decline_code: str | None = None


class _Intent(msgspec.Struct):
    id: str
    status: str
    amount: int
    currency: str
    metadata: dict[str, str] = {}
    client_secret: str | None = None
    next_action: _Next | None = None
    last_payment_error: _Error | None = None


class _Refund(msgspec.Struct):
    id: str
    status: str | None
    amount: int
    currency: str
    metadata: dict[str, str] | None = None
    failure_reason: str | None = None
    payment_intent: str | None = None


class _Dispute(msgspec.Struct):
    id: str
    status: str
    amount: int
    currency: str
    reason: str = ""
    payment_intent: str | None = None


class _Source(msgspec.Struct):
    id: str
    object: str = ""
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None


class _Movement(msgspec.Struct):
    type: str
    amount: int
    currency: str
    created: int
    source: _Source | str | None = None


class _Card(msgspec.Struct):
    brand: str
    last4: str
    exp_month: int
    exp_year: int


class _Method(msgspec.Struct):
    id: str
    card: _Card | None = None


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Event(msgspec.Struct):
    id: str
    type: str
    data: _Data


class StripeProvider:
    """Implements `ports.Provider` and `ports.ProviderRecord`; for one event loop. Connections open when first needed.

    A kept method's token is `<Stripe customer>/<payment method>`: each has a customer at Stripe of its own, so that
    nothing about our customers has to be looked up there.

    Args:
        key: the secret API key.
        base: another address than Stripe's own, for stand-ins in tests.
        capture: whether a charge takes the money at once; else it only secures it.
        timeout: seconds for a whole call.
        connections: the most calls at once; more wait for their turn.
    """

    def __init__(
        self, key: str, *, base: str | None = None, capture: bool = True, timeout: float = 15.0, connections: int = 64
    ) -> None:
        self._key = key
        self._base = base
        self._capture = capture
        self._timeout = timeout
        self._connections = connections
        self._made: stripe.StripeClient | None = None
        self._session: aiohttp.ClientSession | None = None
        self._making = asyncio.Lock()

    async def charge(self, key: str, order: UUID, amount: Money, method: str, at: datetime) -> Outcome:
        """Makes and confirms a payment intent. Raises ProviderDown."""
        customer, _, kept = method.rpartition("/")
        wish: dict[str, Any] = {
            "amount": amount.amount,
            "currency": amount.currency.lower(),
            "payment_method": kept,
            "payment_method_types": ["card"],
            "capture_method": "automatic" if self._capture else "manual",
            "confirm": True,
            "metadata": {"order": str(order), "key": key, "at": at.isoformat()},
        }
        if customer:
            wish["customer"] = customer
        client = await self._client()
        try:
            made = await self._ask(client.v1.payment_intents.create_async(wish, {"idempotency_key": key}), _Intent)  # type: ignore[arg-type]
        except stripe.CardError as refused:
            return Outcome("declined", code=_code(refused), captured=False)
        except stripe.InvalidRequestError as refused:
            return Outcome("declined", code=_code(refused), captured=False)
        return _outcome(made)

    async def capture(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """Takes `amount` of what was secured; the rest is let go. Raises ProviderDown."""
        client = await self._client()
        try:
            wish: Any = {"amount_to_capture": amount.amount}
            call = client.v1.payment_intents.capture_async(reference, wish, {"idempotency_key": key})
            return _outcome(await self._ask(call, _Intent))
        except (stripe.InvalidRequestError, stripe.CardError) as refused:
            known = await self._intent(reference)
            if known.status == "requires_capture":
                return Outcome("declined", reference, _code(refused), captured=False)
            return _outcome(known)

    async def void(self, key: str, reference: str, at: datetime) -> Outcome:
        """Cancels the payment intent. Raises ProviderDown."""
        client = await self._client()
        try:
            call = client.v1.payment_intents.cancel_async(reference, {}, {"idempotency_key": key})
            return _outcome(await self._ask(call, _Intent))
        except stripe.InvalidRequestError:
            return _outcome(await self._intent(reference))

    async def refund(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """Gives `amount` of a payment back. Raises ProviderDown."""
        client = await self._client()
        wish: Any = {
            "payment_intent": reference,
            "amount": amount.amount,
            "metadata": {"key": key, "at": at.isoformat()},
        }
        try:
            made = await self._ask(client.v1.refunds.create_async(wish, {"idempotency_key": key}), _Refund)
        except (stripe.InvalidRequestError, stripe.CardError) as refused:
            return Outcome("declined", code=_code(refused))
        return _refund_outcome(made)

    async def find_charge(self, key: str, order: UUID) -> Outcome:
        """The payment intent with this key, else one of the order that took or may yet take money.

        The newest are listed, for Stripe's search lags behind by up to a minute; older ones are searched for, or
        listed as well where there is no search. Raises ProviderDown.
        """
        client = await self._client()
        found, more = await self._intents(client, None)
        if not _of(found, key, order) and more:
            try:
                wish: Any = {"query": f"metadata['order']:'{order}'", "limit": _NEWEST}
                page = await self._called(client.v1.payment_intents.search_async(wish))
                found = [_read(one, _Intent) for one in page.data]
            except stripe.InvalidRequestError:
                for _ in range(_PAGES):
                    if not more or _of(found, key, order):
                        break
                    found, more = await self._intents(client, found[-1].id)
        candidates = _of(found, key, order)
        return _outcome(candidates[0]) if candidates else Outcome("unknown", captured=False)

    async def find_refund(self, key: str, reference: str) -> Outcome:
        """The refund with this key. Raises ProviderDown."""
        client = await self._client()
        wish: Any = {"payment_intent": reference, "limit": _NEWEST}
        page = await self._called(client.v1.refunds.list_async(wish))
        found = [_read(one, _Refund) for one in page.data]
        return next(
            (_refund_outcome(one) for one in found if (one.metadata or {}).get("key") == key), Outcome("unknown")
        )

    async def save_method(self, key: str, customer: UUID, method: str) -> SavedMethod:
        """Attaches a payment method to a customer made for it. Raises MethodRefused, ProviderDown."""
        client = await self._client()
        metadata: Any = {"metadata": {"customer": str(customer)}}
        holder = await self._called(client.v1.customers.create_async(metadata, {"idempotency_key": f"{key}-customer"}))
        try:
            call = client.v1.payment_methods.attach_async(
                method, {"customer": holder.id}, {"idempotency_key": f"{key}-attach"}
            )
            kept = await self._ask(call, _Method)
        except (stripe.CardError, stripe.InvalidRequestError) as refused:
            raise MethodRefused(_code(refused)) from refused
        if kept.card is None:
            raise MethodRefused("not_a_card")
        expires = f"{kept.card.exp_year:04}-{kept.card.exp_month:02}"
        return SavedMethod(f"{holder.id}/{kept.id}", kept.card.brand, kept.card.last4, expires)

    async def forget_method(self, token: str) -> None:
        """Detaches a payment method. Raises ProviderDown."""
        client = await self._client()
        try:
            await self._called(client.v1.payment_methods.detach_async(token.rpartition("/")[2]))
        except stripe.InvalidRequestError:
            return  # not attached (any more)

    async def order_of(self, charge: str) -> UUID | None:
        """Whose payment intent it is; None where it is not ours. Raises ProviderDown."""
        try:
            return _order(await self._intent(charge))
        except stripe.InvalidRequestError:
            return None

    async def booked(self, since: datetime | None = None, until: datetime | None = None) -> AsyncIterator[Booked]:
        """Payments whose money was taken, then refunds, of [since, until), by Stripe's time. Raises ProviderDown."""
        client = await self._client()
        back: list[Booked] = []
        after: dict[str, str] = {}
        while True:
            wish: Any = {"limit": _NEWEST, "expand": ["data.source"], **after}
            page = await self._called(client.v1.balance_transactions.list_async(wish))
            found = [(one.id, _read(one, _Movement)) for one in page.data]
            for _, one in found:
                at = datetime.fromtimestamp(one.created, UTC)
                if (since is not None and at < since) or (until is not None and at >= until):
                    continue
                booked = _booked(one, at)
                if booked is not None and booked.amount.amount > 0:
                    yield booked
                elif booked is not None:
                    back.append(booked)
            oldest = datetime.fromtimestamp(found[-1][1].created, UTC) if found else None
            if not page.has_more or oldest is None or (since is not None and oldest < since):
                break
            after = {"starting_after": found[-1][0]}
        for booked in back:
            yield booked

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _client(self) -> stripe.StripeClient:
        async with self._making:
            if self._made is None:
                # Reading the certificates takes a while: not on the event loop.
                context = await asyncio.to_thread(ssl.create_default_context, cafile=stripe.ca_bundle_path)
                connector = aiohttp.TCPConnector(ssl=context, limit=self._connections)
                self._session = aiohttp.ClientSession(connector=connector)
                self._made = stripe.StripeClient(
                    self._key,
                    base_addresses={"api": self._base} if self._base else {},
                    http_client=stripe.AIOHTTPClient(
                        session=self._session, timeout=aiohttp.ClientTimeout(total=self._timeout)
                    ),
                    max_network_retries=0,
                )
            return self._made

    async def _intents(self, client: stripe.StripeClient, after: str | None) -> tuple[list[_Intent], bool]:
        wish: Any = {"limit": _NEWEST} | ({"starting_after": after} if after else {})
        page = await self._called(client.v1.payment_intents.list_async(wish))
        return [_read(one, _Intent) for one in page.data], bool(page.has_more and page.data)

    async def _intent(self, reference: str) -> _Intent:
        client = await self._client()
        return await self._ask(client.v1.payment_intents.retrieve_async(reference), _Intent)

    async def _ask(self, call: "Awaitable[StripeObject]", kind: type[_T]) -> _T:
        return _read(await self._called(call), kind)

    async def _called(self, call: Awaitable[_T]) -> _T:
        """The answer. Raises CardError and InvalidRequestError for a refusal, ProviderDown for anything else."""
        try:
            return await call
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except (stripe.StripeError, aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError) as error:
            raise ProviderDown(f"Stripe gave no usable answer: {type(error).__name__}: {_short(error)}") from error


class StripeNotices:
    """Implements `ports.Notices`.

    Args:
        secret: of the webhook endpoint, `whsec_…`.
    """

    name = "stripe"

    def __init__(self, provider: StripeProvider, secret: str) -> None:
        self._provider = provider
        self._secret = secret

    def read(self, body: bytes, signature: str, now: datetime) -> Notice | None:
        """The notice; None for one that says nothing which matters here. Raises BadNotice."""
        try:
            stripe.WebhookSignature.verify_header(body, signature, self._secret)
            signed_at = int(
                next(part for part in signature.split(",") if part.strip().startswith("t=")).partition("=")[2]
            )
        except (stripe.SignatureVerificationError, ValueError, StopIteration) as error:
            raise BadNotice("the signature is not right") from error
        if abs(now.timestamp() - signed_at) > TOLERANCE:
            raise BadNotice(f"it was signed more than {TOLERANCE} s away from now")
        try:
            return _notice(msgspec.json.decode(body, type=_Event))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadNotice(f"it makes no sense: {error}") from error

    async def order_of(self, charge: str) -> UUID | None:
        """Whose payment it is, by the provider's id; None where it is not ours. Raises ProviderDown."""
        return await self._provider.order_of(charge)


def _notice(event: _Event) -> Notice | None:
    family, _, step = event.type.rpartition(".")
    if family == "payment_intent" and step in _INTENT_STEPS:
        intent = msgspec.json.decode(event.data.object, type=_Intent)
        return Notice(
            id=event.id, kind="charge", outcome=_outcome(intent), amount=_money(intent), order=_order(intent),
            charge=intent.id,
        )  # fmt: skip
    if family in ("refund", "charge.refund"):
        refund = msgspec.json.decode(event.data.object, type=_Refund)
        key = (refund.metadata or {}).get("key", "")
        return Notice(
            id=event.id, kind="refund", outcome=_refund_outcome(refund), amount=_money(refund),
            refund=_uuid(key.removeprefix("refund-")), charge=refund.payment_intent,
        )  # fmt: skip
    if family == "charge.dispute":
        dispute = msgspec.json.decode(event.data.object, type=_Dispute)
        status = _DISPUTES.get(dispute.status, "open")
        return Notice(
            id=event.id, kind="dispute", outcome=Outcome(status, dispute.id, dispute.reason),
            amount=_money(dispute), charge=dispute.payment_intent,
        )  # fmt: skip
    return None


_INTENT_STEPS: Final = ("succeeded", "amount_capturable_updated", "payment_failed", "requires_action", "canceled")

_DISPUTES: Final = {"won": "won", "lost": "lost", "warning_closed": "won"}

_STATUSES: Final = {
    "succeeded": "succeeded",
    "requires_capture": "succeeded",
    "processing": "pending",
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "requires_payment_method": "declined",
    "canceled": "voided",
}

_REFUNDS: Final = {"succeeded": "succeeded", "failed": "declined", "canceled": "declined"}


def _outcome(intent: _Intent) -> Outcome:
    status = _STATUSES.get(intent.status)
    if status is None:
        raise ProviderDown(f"Stripe answered with a status that is not known: {intent.status}")
    code = action = None
    if status == "declined":
        error = intent.last_payment_error or _Error()
        code = error.decline_code or error.code or "declined"
    if status == "requires_action":
        redirect = intent.next_action.redirect_to_url if intent.next_action is not None else None
        if redirect is not None:
            action = NextAction("redirect", url=redirect.url)
        else:
            action = NextAction("sdk", client_secret=intent.client_secret)
    return Outcome(status, intent.id, code, captured=intent.status == "succeeded", action=action)


def _refund_outcome(refund: _Refund) -> Outcome:
    status = _REFUNDS.get(refund.status or "", "pending")
    return Outcome(status, refund.id, refund.failure_reason if status == "declined" else None)


def _of(found: list[_Intent], key: str, order: UUID) -> list[_Intent]:
    exact = [one for one in found if one.metadata.get("key") == key]
    live = [
        one
        for status in ("succeeded", "requires_capture", "processing", "requires_action")
        for one in found
        if one.status == status and one.metadata.get("order") == str(order)
    ]
    return exact or live


def _booked(one: _Movement, at: datetime) -> Booked | None:
    source = one.source
    if not isinstance(source, _Source):
        return None
    amount, metadata = Money(one.amount, one.currency.upper()), source.metadata or {}
    if one.type in ("charge", "payment"):
        return Booked(
            metadata.get("key", ""), _uuid(metadata.get("order", "")), amount, at, source.payment_intent or source.id
        )
    if one.type in ("refund", "payment_refund"):
        return Booked(metadata.get("key", ""), None, amount, at, source.id)
    if one.type == "adjustment" and source.object == "dispute":
        return Booked("", None, amount, at, source.id, dispute=True)
    return None


def _order(intent: _Intent) -> UUID | None:
    return _uuid(intent.metadata.get("order", ""))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _money(one: _Intent | _Refund | _Dispute) -> Money:
    return Money(one.amount, one.currency.upper())


def _code(refused: stripe.StripeError) -> str:
    body: Any = refused.json_body
    error = body.get("error") if isinstance(body, Mapping) else None
    given = error.get("decline_code") if isinstance(error, Mapping) else None
    return str(given or refused.code or "refused")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _read(answer: Any, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(answer.to_dict(), kind, strict=False)
    except (msgspec.ValidationError, AttributeError) as error:
        raise ProviderDown(f"Stripe's answer makes no sense: {error}") from error
