"""The parcel carriers behind EasyPost, by its own SDK: checked addresses, labels at the best price, tracking, webhooks.

The SDK blocks: its calls run in a few threads of their own, with a client each.
"""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from easypost.easypost_client import EasyPostClient
from easypost.errors.api.api_error import ApiError
from easypost.errors.general.easypost_error import EasyPostError
from easypost.util import validate_webhook

from emporium.application.ports import Address, AddressRefused, BadNotice, Label, ParcelNotice, ProviderDown

__all__ = ["EasyPostCarrier", "EasyPostNotices"]

OLDEST: Final = timedelta(days=3)
"""Webhooks about older events are refused: who was not answered tries again for hours, not for days."""

AHEAD: Final = timedelta(minutes=5)
"""So far may EasyPost's clock be ahead of ours."""

ASSUMED_WEIGHT: Final = 500
"""Grams of a unit whose product does not say."""

_OUNCE: Final = Decimal("28.349523125")
_LIGHTEST: Final = Decimal("0.1")

_IMPOSSIBLE: Final = frozenset({
    "E.ADDRESS.NOT_FOUND", "E.ADDRESS.INVALID", "E.ADDRESS.INSUFFICIENT", "E.ADDRESS.DELIVERY.INVALID",
    "E.HOUSE_NUMBER.INVALID", "E.HOUSE_NUMBER.MISSING", "E.STREET.INVALID", "E.STREET.MISSING",
    "E.ZIP.INVALID", "E.ZIP.NOT_FOUND", "E.CITY_STATE.INVALID", "E.STATE.INVALID",
})  # fmt: skip
"""What the check of an address may find that no carrier gets over; all else may be a gap in EasyPost's knowledge."""

_STATUSES: Final = {
    "unknown": "labelled",
    "pre_transit": "labelled",
    "error": "labelled",
    "in_transit": "in_transit",
    "out_for_delivery": "in_transit",
    "available_for_pickup": "in_transit",
    "failure": "in_transit",
    "delivered": "delivered",
    "return_to_sender": "returned",
    "cancelled": "unknown",
}
"""EasyPost's words for how far a parcel is, in ours; a failed attempt is tried again by the carrier."""

_SHIPMENT_ID: Final = re.compile("shp_[0-9A-Za-z_]{1,100}")
_NOT_FOUND: Final = 404
_REFUSALS: Final = (400, 422)

_UNREADABLE: Final = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What the SDK fails with when it is answered something odd, or (OSError) nothing in time."""

_T = TypeVar("_T")


class _Rate(msgspec.Struct):
    id: str
    rate: str
    carrier: str
    service: str = ""

    @property
    def name(self) -> str:
        """Such as `RoyalMail/24`."""
        return f"{self.carrier}/{self.service}"


class _Printed(msgspec.Struct):
    label_url: str | None = None
    label_pdf_url: str | None = None


class _Tracker(msgspec.Struct):
    tracking_code: str
    status: str
    status_detail: str | None = None
    public_url: str | None = None
    shipment_id: str | None = None


class _Message(msgspec.Struct):
    carrier: str | None = None
    type: str | None = None


class _Shipment(msgspec.Struct):
    id: str
    reference: str | None = None
    rates: list[_Rate] = []
    messages: list[_Message] | None = None
    selected_rate: _Rate | None = None
    postage_label: _Printed | None = None
    tracking_code: str | None = None
    tracker: _Tracker | None = None


class _Finding(msgspec.Struct):
    code: str = ""


class _Delivery(msgspec.Struct):
    success: bool
    errors: list[_Finding] = []


class _Verifications(msgspec.Struct):
    delivery: _Delivery | None = None


class _Checked(msgspec.Struct):
    id: str
    verifications: _Verifications | None = None


class _Trackers(msgspec.Struct):
    trackers: list[_Tracker]


class _Happened(msgspec.Struct):
    id: str
    description: str
    created_at: datetime
    result: msgspec.Raw


class _Refused(Exception):  # noqa: N818
    """EasyPost understood and says no; `code` is its reason, which holds nothing personal."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Missing(Exception):  # noqa: N818
    """EasyPost has nothing of that name."""


class EasyPostCarrier:
    """Implements `ports.Carrier`; for one event loop. Connections open when first needed.

    Our key is the shipment's reference at EasyPost: a label is only bought for what is found, or not found, by it.

    Args:
        key: the secret API key.
        sender: from where parcels are sent, None while nobody has said.
        weigh: grams of a unit by SKU; what it leaves out or gives as 0 is not known.
        base: another address than EasyPost's own, for stand-ins in tests.
        timeout: seconds for each call.
        calls: the most calls at once; more wait for their turn.
    """

    def __init__(
        self,
        key: str,
        *,
        sender: Callable[[], Awaitable[Address | None]],
        weigh: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]],
        base: str | None = None,
        timeout: int = 15,
        calls: int = 8,
    ) -> None:
        self._key = key
        self._sender = sender
        self._weigh = weigh
        self._base: dict[str, Any] = {} if base is None else {"api_base": f"{base.rstrip('/')}/v2"}
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(calls, "easypost")
        self._own = threading.local()

    async def book(
        self,
        key: str,
        order: UUID,
        parcel: int,
        address: Address,
        items: Mapping[str, int],
        service: str | None = None,
    ) -> Label:
        """The cheapest label for the parcel, of `service` where one is named. Raises AddressRefused, ProviderDown."""
        try:
            known = await self._find(key) or await self._make(key, address, items)
            return _label(known if known.postage_label is not None else await self._buy(known, service))
        except _Refused as refused:
            # EasyPost's sentences may repeat the address: only its codes are kept.
            raise AddressRefused(refused.code) from None
        except _Missing:
            raise ProviderDown("EasyPost does not know what it has just made") from None

    async def status(self, tracking_number: str, at: datetime) -> str:
        """`labelled`, `in_transit`, `delivered`, `lost`, `returned` or `unknown`. Raises ProviderDown."""
        try:
            found = await self._ask(
                lambda client: client.tracker.all(tracking_code=tracking_number, page_size=5), _Trackers
            )
        except (_Refused, _Missing):
            return "unknown"
        one = next((one for one in found.trackers if one.tracking_code == tracking_number), None)
        return "unknown" if one is None else _status(one)

    async def void(self, key: str) -> None:
        """Asks for the money of a label back. Raises ProviderDown."""
        try:
            known = await self._find(key)
            if known is not None and known.postage_label is not None:
                await self._ask(lambda client: client.shipment.refund(known.id), _Shipment)
        except (_Refused, _Missing):
            return  # asked for before, or too late

    async def hand_over(self, key: str, tracking_number: str, at: datetime) -> bool:
        """Whether a carrier has scanned the parcel: people hand it over. Raises ProviderDown."""
        return await self.status(tracking_number, at) not in ("labelled", "unknown")

    async def key_of(self, shipment: str) -> str | None:
        """Our key of a shipment at EasyPost; None where it is not there. Raises ProviderDown."""
        if not _SHIPMENT_ID.fullmatch(shipment):
            return None
        try:
            found = await self._ask(lambda client: client.shipment.retrieve(shipment), _Shipment)
        except (_Refused, _Missing):
            return None
        return found.reference

    async def aclose(self) -> None:
        """Lets go of the threads; calls under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _find(self, key: str) -> _Shipment | None:
        try:
            found = await self._ask(lambda client: client.shipment.retrieve(key), _Shipment)
        except _Missing:
            return None
        if found.reference != key:
            raise ProviderDown("EasyPost answered for another parcel than was asked for")
        return found

    async def _make(self, key: str, address: Address, items: Mapping[str, int]) -> _Shipment:
        sender = await self._sender()
        if sender is None:
            raise ProviderDown("the shop's settings name no sender_address, which a label needs")
        weights = await self._weigh(list(items))
        grams = sum((weights.get(sku) or ASSUMED_WEIGHT) * units for sku, units in items.items())
        checked = await self._ask(lambda client: client.address.create(verify=True, **_form(address)), _Checked)
        delivery = checked.verifications.delivery if checked.verifications is not None else None
        if delivery is not None and not delivery.success:
            impossible = sorted({one.code for one in delivery.errors} & _IMPOSSIBLE)
            if impossible:
                raise _Refused(", ".join(impossible))
        return await self._ask(
            lambda client: client.shipment.create(
                reference=key,
                to_address={"id": checked.id},
                from_address=_form(sender),
                parcel={"weight": float(max(round(Decimal(grams) / _OUNCE, 1), _LIGHTEST))},
                options={"label_format": "PDF"},
            ),
            _Shipment,
        )

    async def _buy(self, shipment: _Shipment, service: str | None) -> _Shipment:
        if not shipment.rates:
            why = sorted({f"{one.carrier}: {one.type}" for one in shipment.messages or []})
            raise _Refused(", ".join(["no carrier takes it", *why])[:200])
        wanted = None if service is None else service.casefold()
        rates = [one for one in shipment.rates if wanted in (None, one.carrier.casefold(), one.name.casefold())]
        if not rates:
            raise _Refused(f"no carrier offers {service} for it")
        try:
            rate = min(rates, key=lambda one: Decimal(one.rate))
        except InvalidOperation as error:
            raise ProviderDown("EasyPost's prices make no sense") from error
        try:
            return await self._ask(lambda client: client.shipment.buy(shipment.id, rate={"id": rate.id}), _Shipment)
        except _Refused:
            # It may be refused because it was bought before, by a call whose answer was lost.
            after = await self._ask(lambda client: client.shipment.retrieve(shipment.id), _Shipment)
            if after.postage_label is None:
                raise
            return after

    def _client(self) -> EasyPostClient:
        client: EasyPostClient | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = EasyPostClient(self._key, timeout=self._timeout, **self._base)
        return client

    async def _ask(self, call: Callable[[Any], Any], kind: type[_T]) -> _T:
        """The answer to one call. Raises _Refused, _Missing, ProviderDown for whatever else."""

        def run() -> Any:
            return call(self._client()).to_dict()

        try:
            # Requests waits so long for each piece of an answer; a whole one takes no more than twice that.
            async with asyncio.timeout(2 * self._timeout):
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except (EasyPostError, *_UNREADABLE) as error:
            status, code = (error.http_status, error.code) if isinstance(error, ApiError) else (None, None)
            # Without a code it is not EasyPost's own word: a 404 of somebody between must not pass for it.
            if code and status == _NOT_FOUND:
                raise _Missing from None
            if code and status in _REFUSALS:
                raise _Refused(str(code)) from None
            # Its text may hold the whole answer, and that an address.
            known = ", ".join(str(one) for one in (type(error).__name__, status, code) if one)
            raise ProviderDown(f"EasyPost gave no usable answer: {known}") from None
        try:
            return msgspec.convert(answer, kind, strict=False)
        except msgspec.ValidationError as error:
            raise ProviderDown("EasyPost's answer makes no sense") from error


class EasyPostNotices:
    """Implements `ports.ParcelNotices`.

    Args:
        secret: the `webhook_secret` with which the webhook was registered.
    """

    carrier = "easypost"

    def __init__(self, carrier: EasyPostCarrier, secret: str) -> None:
        self._carrier = carrier
        self._secret = secret

    def read(self, body: bytes, signature: str, now: datetime) -> ParcelNotice | None:
        """The notice; None for one that says nothing which matters here. Raises BadNotice."""
        try:
            validate_webhook(body, {"X-Hmac-Signature": signature}, self._secret)
            happened = msgspec.json.decode(body, type=_Happened)
        except (EasyPostError, TypeError) as error:
            raise BadNotice("the signature is not right") from error
        except (ValueError, RecursionError) as error:
            raise BadNotice("it makes no sense") from error
        if happened.created_at.tzinfo is None or not now - OLDEST <= happened.created_at <= now + AHEAD:
            raise BadNotice(f"it is about something of more than {OLDEST.days} days ago, or of the future")
        if happened.description not in ("tracker.created", "tracker.updated"):
            return None
        try:
            tracker = msgspec.json.decode(happened.result, type=_Tracker)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadNotice("it makes no sense") from error
        return ParcelNotice(
            id=happened.id, tracking_number=tracker.tracking_code, status=_status(tracker), shipment=tracker.shipment_id
        )

    async def key_of(self, notice: ParcelNotice) -> str | None:
        """Our key of the parcel; None where it is not ours. Raises ProviderDown."""
        return None if notice.shipment is None else await self._carrier.key_of(notice.shipment)


def _status(tracker: _Tracker) -> str:
    if tracker.status == "failure" and tracker.status_detail == "lost":
        return "lost"
    return _STATUSES.get(tracker.status, "labelled")


def _form(address: Address) -> dict[str, str]:
    street, rest = address.lines[:1], address.lines[1:]
    form = {
        "name": address.name,
        "street1": street[0] if street else "",
        "street2": ", ".join(rest),
        "city": address.city,
        "state": address.region,
        "zip": address.postcode,
        "country": address.country,
    }
    return {name: value for name, value in form.items() if value}


def _label(bought: _Shipment) -> Label:
    printed, tracker, rate = bought.postage_label, bought.tracker, bought.selected_rate
    url = printed and (printed.label_pdf_url or printed.label_url)
    if not url or not bought.tracking_code or rate is None:
        raise ProviderDown("EasyPost's label is not a whole one")
    link = tracker.public_url if tracker is not None else None
    return Label(rate.carrier, bought.tracking_code, link or "", url)
