"""The parcel carrier over HTTP: every unusable answer is ProviderDown, an address it does not serve AddressRefused."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, TypeVar, get_args
from urllib.parse import quote
from uuid import UUID

import msgspec

from emporium.application.ports import Address, AddressRefused, BadNotice, Label, ParcelNotice, ProviderDown

from .http_client import HttpClient

__all__ = ["HttpCarrier", "SandboxNotices"]

TOLERANCE: Final = 300
"""Seconds that a webhook's signature may be old (or ahead of our clock)."""

_OK: Final = 200
_NOT_FOUND: Final = 404
_REFUSED: Final = 422


class _Booked(msgspec.Struct):
    key: str
    carrier: str
    tracking_number: str
    tracking_url: str
    label_url: str = ""


class _Refusal(msgspec.Struct):
    code: str
    text: str = ""


_Status = Literal["labelled", "in_transit", "delivered", "lost", "returned"]


class _Tracked(msgspec.Struct):
    tracking_number: str
    status: _Status
    key: str = ""


class _Told(msgspec.Struct):
    id: str
    tracking_number: str
    status: str


_T = TypeVar("_T")

_encode: Final = msgspec.json.Encoder().encode
_booked: Final = msgspec.json.Decoder(_Booked)
_refusal: Final = msgspec.json.Decoder(_Refusal)
_tracked: Final = msgspec.json.Decoder(_Tracked)
_told: Final = msgspec.json.Decoder(_Told)


class HttpCarrier:
    """Implements `ports.Carrier`; for one event loop. Connections open when first needed.

    Args:
        base_url: `http://host:port`.
        timeout: seconds to connect, and again to answer.
        connections: the most calls at once; more wait for their turn.
    """

    def __init__(self, base_url: str, *, timeout: float = 5.0, connections: int = 64) -> None:
        self._client = HttpClient(base_url, timeout, connections)

    async def book(
        self,
        key: str,
        order: UUID,
        parcel: int,
        address: Address,
        items: Mapping[str, int],
        service: str | None = None,
    ) -> Label:
        """A label for the parcel; the sandbox has one service. Raises AddressRefused, ProviderDown."""
        wish = {"order": order, "parcel": parcel, "address": address, "items": dict(sorted(items.items()))}
        status, body = await self._client.call("POST", "/v1/parcels", key, _encode(wish))
        if status == _OK:
            booked = _decode(_booked, body)
            # An answer to another call must never pass for the answer to this one.
            if booked.key != key:
                raise ProviderDown(f"the carrier answered for {booked.key!r} when asked for {key!r}")
            return Label(booked.carrier, booked.tracking_number, booked.tracking_url, booked.label_url)
        if status == _REFUSED:
            refusal = _decode(_refusal, body)
            if refusal.code == "address_refused":
                raise AddressRefused(refusal.text)
        raise _unusable(status, body)

    async def status(self, tracking_number: str, at: datetime) -> str:
        """`labelled`, `in_transit`, `delivered`, `lost`, `returned` or `unknown`. Raises ProviderDown."""
        tracked = await self._track(tracking_number, f"?at={quote(at.isoformat())}")
        return "unknown" if tracked is None else tracked.status

    async def key_of(self, tracking_number: str) -> str | None:
        """With which key a parcel was booked; None where it is not known. Raises ProviderDown."""
        tracked = await self._track(tracking_number, "")
        return None if tracked is None else tracked.key

    async def _track(self, tracking_number: str, query: str) -> _Tracked | None:
        status, body = await self._client.call("GET", f"/v1/parcels/{quote(tracking_number, safe='')}{query}")
        if status == _NOT_FOUND:
            return None
        if status != _OK:
            raise _unusable(status, body)
        tracked = _decode(_tracked, body)
        if tracked.tracking_number != tracking_number:
            raise ProviderDown(f"the carrier answered for {tracked.tracking_number!r}, not {tracking_number!r}")
        return tracked

    async def void(self, key: str) -> None:
        """Nothing: a label of the sandbox costs nothing."""

    async def hand_over(self, key: str, tracking_number: str, at: datetime) -> bool:
        """The carrier has the parcel; the first time stands. Raises ProviderDown."""
        target = f"/v1/parcels/{quote(tracking_number, safe='')}/handover"
        status, body = await self._client.call("POST", target, key, _encode({"at": at}))
        if status != _OK:
            raise _unusable(status, body)
        return True

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


class SandboxNotices:
    """Implements `ports.ParcelNotices` for the sandbox: signed as `t=<seconds>,v1=<hex HMAC-SHA-256 of t.body>`.

    Args:
        secret: what both sides know.
    """

    carrier = "sandbox"

    def __init__(self, sandbox: HttpCarrier, secret: str) -> None:
        self._sandbox = sandbox
        self._secret = secret.encode()

    def read(self, body: bytes, signature: str, now: datetime) -> ParcelNotice | None:
        """The notice; None for one that says nothing which matters here. Raises BadNotice."""
        parts = dict(part.strip().partition("=")[::2] for part in signature.split(","))
        at, given = parts.get("t", ""), parts.get("v1", "")
        right = hmac.new(self._secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not at.isascii() or not at.isdigit() or not hmac.compare_digest(right.encode(), given.encode()):
            raise BadNotice("the signature is not right")
        if abs(now.timestamp() - int(at)) > TOLERANCE:
            raise BadNotice(f"it was signed more than {TOLERANCE} s away from now")
        try:
            told = _told.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadNotice("it makes no sense") from error
        if told.status not in get_args(_Status):
            return None
        return ParcelNotice(id=told.id, tracking_number=told.tracking_number, status=told.status)

    async def key_of(self, notice: ParcelNotice) -> str | None:
        """With which key the parcel was booked; None where the sandbox does not know it. Raises ProviderDown."""
        return await self._sandbox.key_of(notice.tracking_number)


def _decode(decoder: "msgspec.json.Decoder[_T]", body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderDown(f"the carrier's answer makes no sense: {error}") from error


def _unusable(status: int, body: bytes) -> ProviderDown:
    return ProviderDown(f"the carrier answered {status}: {body[:200].decode(errors='replace')}")
