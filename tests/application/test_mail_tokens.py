"""A link's token counts for its purpose, its request and its time, and for nothing else."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from emporium.application.mail_tokens import PURPOSES, RESET_PASSWORD, VERIFY_EMAIL, Ticket, make, read, ticket_of
from emporium.domain.base import Sealed
from emporium.domain.customer import EmailVerified, PasswordResetRequested
from emporium.domain.invitation import StaffInvited

SECRET = b"s" * 32
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICKET = Ticket(purpose=VERIFY_EMAIL, subject=UUID(int=1), request=UUID(int=2), expires_at=NOW + timedelta(hours=1))


def test_a_token_tells_what_it_is_about_until_it_expires() -> None:
    token = make(SECRET, TICKET)
    assert len(token) == 96
    assert read(SECRET, VERIFY_EMAIL, token, NOW) == TICKET
    assert read(SECRET, VERIFY_EMAIL, token, TICKET.expires_at - timedelta(seconds=1)) == TICKET
    assert read(SECRET, VERIFY_EMAIL, token, TICKET.expires_at) is None


def test_one_of_another_purpose_or_shop_is_no_good() -> None:
    token = make(SECRET, TICKET)
    assert read(SECRET, RESET_PASSWORD, token, NOW) is None
    assert read(b"t" * 32, VERIFY_EMAIL, token, NOW) is None


@pytest.mark.parametrize("place", [0, 30, 50, 54, 95])
def test_one_character_changed_spoils_it(place: int) -> None:
    token = make(SECRET, TICKET)
    spoilt = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    assert read(SECRET, VERIFY_EMAIL, spoilt, NOW) is None


@pytest.mark.parametrize("text", ["", "A" * 95, "A" * 96, "A" * 97, "ä" * 96, "." * 96])
def test_what_is_no_token_names_nothing(text: str) -> None:
    assert read(SECRET, VERIFY_EMAIL, text, NOW) is None


def test_every_event_with_a_link_has_its_ticket() -> None:
    email = Sealed(UUID(int=1), "CustomerRegistered", b"box")
    asked = PasswordResetRequested(
        customer_id=UUID(int=1), request_id=UUID(int=2), email=email, expires_at=TICKET.expires_at
    )
    assert ticket_of(asked) == replace(TICKET, purpose=RESET_PASSWORD)
    invited = StaffInvited(invitation_id=UUID(int=3), email=email, roles=("support",), expires_at=TICKET.expires_at)
    ticket = ticket_of(invited)
    assert ticket is not None
    assert (ticket.subject, ticket.request) == (UUID(int=3), UUID(int=3))
    assert ticket_of(EmailVerified(customer_id=UUID(int=1), at=NOW)) is None
    assert len(set(PURPOSES.values())) == len(PURPOSES) == 5
