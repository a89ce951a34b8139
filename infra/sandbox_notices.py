"""Reads the sandbox's webhooks: signed over the raw body, in time, like those of a real provider."""

import hmac
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.ports import BadNotice, Notice
from emporium.domain.base import Money
from emporium.infra.provider_http import HttpProvider, Known, order_named
from emporium.infra.sandbox.telling import signature_of

__all__ = ["SandboxNotices"]

TOLERANCE: Final = 300
"""Seconds by which the time of a signature may differ from now."""


class _Event(msgspec.Struct):
    id: str
    type: str
    data: Known


class SandboxNotices:
    """Implements `ports.Notices`.

    Args:
        secret: what the sandbox signs with.
    """

    name = "sandbox"

    def __init__(self, provider: HttpProvider, secret: str) -> None:
        self._provider = provider
        self._secret = secret

    def read(self, body: bytes, signature: str, now: datetime) -> Notice | None:
        """The notice; None for one that says nothing which matters here. Raises BadNotice."""
        stated = signature.partition(",")[0].removeprefix("t=")
        seconds = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 12 else 0
        if not hmac.compare_digest(signature.encode(), signature_of(self._secret, seconds, body).encode()):
            raise BadNotice("the signature is not right")
        if abs(now.timestamp() - seconds) > TOLERANCE:
            raise BadNotice(f"it was signed more than {TOLERANCE} s away from now")
        try:
            event = msgspec.json.decode(body, type=_Event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadNotice(f"it makes no sense: {error}") from error
        if event.type != "charge":
            return None
        known = event.data
        return Notice(
            id=event.id,
            kind="charge",
            outcome=self._provider.outcome_of(known),
            amount=Money(known.amount, known.currency),
            order=order_named(known.order),
            charge=known.id,
        )

    async def order_of(self, charge: str) -> UUID | None:
        """None: the sandbox names the order in every notice."""
        return None
