"""The tokens of links in mails: made when a message is sent, read when the link is used, stored nowhere.

A token is what it is about (16 bytes of the account's or invitation's id, 16 of the request's, 8 of the expiry)
and an HMAC over these and its purpose, in 96 characters that need no quoting in a URL. That it is used once
is the aggregate's care: it remembers the newest request of each kind until it is used.
"""

import base64
import hmac
import re
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.ports import Vault
from emporium.domain.base import Event
from emporium.domain.customer import (
    EmailChangeAnnounced,
    EmailChangeRequested,
    EmailVerificationRequested,
    PasswordResetRequested,
)
from emporium.domain.invitation import StaffInvited

__all__ = [
    "ACCEPT_INVITATION",
    "CONFIRM_NEW_EMAIL",
    "CONFIRM_OLD_EMAIL",
    "PURPOSES",
    "RESET_PASSWORD",
    "UNSUBSCRIBE",
    "VERIFY_EMAIL",
    "Ticket",
    "make",
    "read",
    "secret_of",
    "ticket_of",
]

VERIFY_EMAIL: Final = "verify_email"
RESET_PASSWORD: Final = "reset_password"
CONFIRM_NEW_EMAIL: Final = "confirm_new_email"
CONFIRM_OLD_EMAIL: Final = "confirm_old_email"
ACCEPT_INVITATION: Final = "accept_invitation"
UNSUBSCRIBE: Final = "unsubscribe"
"""What a token is good for; one of a purpose is no good for another."""

PURPOSES: Final[dict[type[Event], str]] = {
    EmailVerificationRequested: VERIFY_EMAIL,
    PasswordResetRequested: RESET_PASSWORD,
    EmailChangeRequested: CONFIRM_NEW_EMAIL,
    EmailChangeAnnounced: CONFIRM_OLD_EMAIL,
    StaffInvited: ACCEPT_INVITATION,
}
"""The events whose message holds a link, and what the link is good for."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{96}", re.ASCII)
_HEAD: Final = 40


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is about.

    Attributes:
        purpose: one of the above, or the sender's own.
        subject: the account or the invitation.
        request: which of several requests of the subject; the subject itself where there is only one.
        expires_at: until when it counts, to the second.
    """

    purpose: str
    subject: UUID
    request: UUID
    expires_at: datetime


def secret_of(vault: Vault) -> bytes:
    """The secret that all processes share and no database holds in clear."""
    return vault.fingerprint("secret", "mail tokens")


def ticket_of(event: Event) -> Ticket | None:
    """What the link in the event's message is about; None for an event whose message holds no link."""
    match event:
        case EmailVerificationRequested() | PasswordResetRequested() | EmailChangeRequested() | EmailChangeAnnounced():
            subject, request = event.customer_id, event.request_id
        case StaffInvited():
            subject = request = event.invitation_id
        case _:
            return None
    return Ticket(purpose=PURPOSES[type(event)], subject=subject, request=request, expires_at=event.expires_at)


def make(secret: bytes, ticket: Ticket) -> str:
    """The token: the same for the same ticket, however often the message is sent."""
    head = ticket.subject.bytes + ticket.request.bytes + int(ticket.expires_at.timestamp()).to_bytes(8, "big")
    return base64.urlsafe_b64encode(head + _signature(secret, ticket.purpose, head)).decode()


def read(secret: bytes, purpose: str, token: str, now: datetime) -> Ticket | None:
    """What a token is about; None where it is not one that `make` made for this purpose, or has expired."""
    if not _TOKEN.fullmatch(token):
        return None
    content = base64.urlsafe_b64decode(token)
    head = content[:_HEAD]
    if not hmac.compare_digest(content[_HEAD:], _signature(secret, purpose, head)):
        return None
    expires_at = datetime.fromtimestamp(int.from_bytes(head[32:], "big"), UTC)
    if expires_at <= now:
        return None
    return Ticket(
        purpose=purpose, subject=UUID(bytes=head[:16]), request=UUID(bytes=head[16:32]), expires_at=expires_at
    )


def _signature(secret: bytes, purpose: str, head: bytes) -> bytes:
    return hmac.digest(secret, b"emporium mail " + purpose.encode() + b"\0" + head, "sha256")
