"""An invitation to become a member of staff: who (sealed), with which roles, until when, and what came of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, Sealed, State
from emporium.domain.customer import ROLES, check_role

OPEN, ACCEPTED, WITHDRAWN = "open", "accepted", "withdrawn"


class StaffInvited(Event, frozen=True, kw_only=True):
    """A link is to be sent by which the owner of the address becomes a member of staff.

    Attributes:
        email: sealed with the invitation's own key.
    """

    invitation_id: UUID
    email: Sealed
    roles: tuple[str, ...]
    expires_at: datetime


class InvitationAccepted(Event, frozen=True, kw_only=True):
    """The owner of the address has this account now."""

    invitation_id: UUID
    customer_id: UUID
    at: datetime


class InvitationWithdrawn(Event, frozen=True, kw_only=True):
    """The link is worth nothing any more."""

    invitation_id: UUID
    at: datetime


class InvitationState(State, frozen=True, kw_only=True):
    """What an invitation remembers."""

    invitation_id: UUID
    status: str
    email: Sealed
    roles: tuple[str, ...]
    expires_at: datetime


class InviteStaff(Command, frozen=True, kw_only=True):
    invitation_id: UUID
    email: Sealed
    roles: tuple[str, ...]
    expires_at: datetime


class AcceptInvitation(Command, frozen=True, kw_only=True):
    """The handler makes the account, or gives the roles to the one that there is, in the same unit."""

    invitation_id: UUID
    customer_id: UUID
    at: datetime


class WithdrawInvitation(Command, frozen=True, kw_only=True):
    invitation_id: UUID
    at: datetime


INVITATION_EXISTS = Reason("invitation_exists", "The invitation exists already.")
NO_SUCH_INVITATION = Reason("no_such_invitation", "There is no such invitation.", "missing")
INVITATION_CLOSED = Reason("invitation_closed", "The invitation was {status}.")
INVITATION_EXPIRED = Reason("invitation_expired", "The invitation has expired: ask for another.")
STAFF_ROLE_NEEDED = Reason("staff_role_needed", "A member of staff has one of the roles of staff.", "invalid")


def decide(command: Command, invitation: InvitationState | None) -> Sequence[Event]:
    """The events that the command makes of this invitation. Raises Rejected."""
    if isinstance(command, InviteStaff):
        if invitation is not None:
            raise INVITATION_EXISTS()
        for role in command.roles:
            check_role(role)
        if not set(command.roles) - {"customer"}:
            raise STAFF_ROLE_NEEDED(field="roles")
        return [
            StaffInvited(
                invitation_id=command.invitation_id,
                email=command.email,
                roles=tuple(role for role in ROLES if role in command.roles),
                expires_at=command.expires_at,
            )
        ]
    if invitation is None:
        raise NO_SUCH_INVITATION()
    match command:
        case AcceptInvitation():
            if invitation.status != OPEN:
                raise INVITATION_CLOSED(status=invitation.status)
            if invitation.expires_at <= command.at:
                raise INVITATION_EXPIRED()
            return [
                InvitationAccepted(
                    invitation_id=invitation.invitation_id, customer_id=command.customer_id, at=command.at
                )
            ]
        case WithdrawInvitation():
            if invitation.status == WITHDRAWN:
                return []
            if invitation.status == ACCEPTED:
                raise INVITATION_CLOSED(status=invitation.status)
            return [InvitationWithdrawn(invitation_id=invitation.invitation_id, at=command.at)]
        case _:
            raise TypeError(f"an invitation does not know {type(command).__name__}")


def evolve(invitation: InvitationState | None, event: Event) -> InvitationState:
    """The invitation after the event."""
    if isinstance(event, StaffInvited):
        return InvitationState(
            invitation_id=event.invitation_id,
            status=OPEN,
            email=event.email,
            roles=event.roles,
            expires_at=event.expires_at,
        )
    if invitation is None:
        raise ValueError("an invitation begins with StaffInvited")
    return replace(invitation, status=ACCEPTED if isinstance(event, InvitationAccepted) else WITHDRAWN)


INVITATION: Final = Aggregate(
    name="Invitation",
    log="accounts",
    state=InvitationState,
    events=(StaffInvited, InvitationAccepted, InvitationWithdrawn),
    decide=decide,
    evolve=evolve,
)
