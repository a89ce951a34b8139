"""Invitations and machines' keys."""

from datetime import timedelta

from msgspec.structs import replace

from emporium.domain.api_key import (
    API_KEY_EXISTS,
    NO_SUCH_API_KEY,
    SCOPE_NEEDED,
    SCOPES,
    UNKNOWN_SCOPE,
    ApiKeyCreated,
    ApiKeyRevoked,
    CreateApiKey,
    RevokeApiKey,
)
from emporium.domain.customer import UNKNOWN_ROLE
from emporium.domain.invitation import (
    ACCEPTED,
    INVITATION_CLOSED,
    INVITATION_EXISTS,
    INVITATION_EXPIRED,
    NO_SUCH_INVITATION,
    STAFF_ROLE_NEEDED,
    WITHDRAWN,
    AcceptInvitation,
    InvitationAccepted,
    InvitationWithdrawn,
    InviteStaff,
    StaffInvited,
    WithdrawInvitation,
)
from emporium.domain.order import NOT_A_GUESTS, ClaimOrder, OrderClaimed
from emporium.domain.text import TEXT_LENGTH
from tests.domain.spec import NOW, given, sealed, uid
from tests.domain.test_order import CREATED

ID = uid(1)
WEEK = NOW + timedelta(days=7)
EMAIL = sealed("sam@example.org", "StaffInvited")


def invite(*roles: str) -> InviteStaff:
    return InviteStaff(invitation_id=ID, email=EMAIL, roles=roles, expires_at=WEEK)


INVITED = StaffInvited(invitation_id=ID, email=EMAIL, roles=("support", "admin"), expires_at=WEEK)
TAKEN = InvitationAccepted(invitation_id=ID, customer_id=uid(2), at=NOW)
BACK = InvitationWithdrawn(invitation_id=ID, at=NOW)
ACCEPT = AcceptInvitation(invitation_id=ID, customer_id=uid(2), at=NOW)
WITHDRAW = WithdrawInvitation(invitation_id=ID, at=NOW)


def test_somebody_is_invited_with_roles_of_staff() -> None:
    given().when(invite("admin", "support")).then(INVITED)
    given(INVITED).when(invite("admin")).rejected(INVITATION_EXISTS)
    given().when(invite("root")).rejected(UNKNOWN_ROLE, field="roles")
    given().when(invite("customer")).rejected(STAFF_ROLE_NEEDED, field="roles")
    given().when(invite()).rejected(STAFF_ROLE_NEEDED)


def test_an_invitation_is_accepted_once_and_in_time() -> None:
    given(INVITED).when(ACCEPT).then(TAKEN).leads_to(status=ACCEPTED)
    given(INVITED, TAKEN).when(ACCEPT).rejected(INVITATION_CLOSED, status=ACCEPTED)
    given(INVITED, BACK).when(ACCEPT).rejected(INVITATION_CLOSED, status=WITHDRAWN)
    late = AcceptInvitation(invitation_id=ID, customer_id=uid(2), at=WEEK)
    given(INVITED).when(late).rejected(INVITATION_EXPIRED)
    given().when(ACCEPT).rejected(NO_SUCH_INVITATION)


def test_an_invitation_is_withdrawn_unless_it_was_accepted() -> None:
    given(INVITED).when(WITHDRAW).then(BACK)
    given(INVITED, BACK).when(WITHDRAW).then()
    given(INVITED, TAKEN).when(WITHDRAW).rejected(INVITATION_CLOSED)


def create(name: str, *scopes: str) -> CreateApiKey:
    return CreateApiKey(key_id=ID, name=name, scopes=scopes, digest=b"hash", expires_at=WEEK)


def test_a_key_has_known_scopes_and_ends_when_it_is_revoked() -> None:
    made = ApiKeyCreated(
        key_id=ID, name="Scanner", scopes=("support:read", "warehouse:write"), digest=b"hash", expires_at=WEEK
    )
    given().when(create(" Scanner ", "warehouse:write", "support:read")).then(made)
    given(made).when(create("Scanner", "support:read")).rejected(API_KEY_EXISTS)
    given().when(create("Scanner", "warehouse")).rejected(UNKNOWN_SCOPE, scope="warehouse")
    given().when(create("Scanner")).rejected(SCOPE_NEEDED, field="scopes")
    given().when(create("", "support:read")).rejected(TEXT_LENGTH, field="name")
    revoke, revoked = RevokeApiKey(key_id=ID, at=NOW), ApiKeyRevoked(key_id=ID, at=NOW)
    given(made).when(revoke).then(revoked).leads_to(revoked=True)
    given(made, revoked).when(revoke).then()
    given().when(revoke).rejected(NO_SUCH_API_KEY)


def test_no_key_acts_as_a_customer_or_makes_accounts_and_keys() -> None:
    assert {scope.partition(":")[0] for scope in SCOPES}.isdisjoint({"customer", "admin"})


def test_a_guests_order_is_claimed_by_one_account() -> None:
    guests = replace(CREATED, customer_id=None)
    claim = ClaimOrder(order_id=guests.order_id, customer_id=uid(8))
    claimed = OrderClaimed(order_id=guests.order_id, customer_id=uid(8))
    given(guests).when(claim).then(claimed).leads_to(customer_id=uid(8), subject=guests.subject)
    given(guests, claimed).when(claim).then()
    other = ClaimOrder(order_id=guests.order_id, customer_id=uid(9))
    given(guests, claimed).when(other).rejected(NOT_A_GUESTS)
