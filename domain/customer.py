"""A customer's account, and a member of staff's: who they are (sealed), their password, their roles, their erasure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, Sealed, State
from emporium.domain.text import check_text

REASON_MOST: Final = 500

ACTIVE, ERASED = "active", "erased"

ROLES: Final = ("customer", "support", "catalog_manager", "warehouse", "analyst", "auditor", "admin")
"""What an account may be allowed to do; an account can have several roles."""


# --- events ----------------------------------------------------------------------------------------


class CustomerRegistered(Event, frozen=True, kw_only=True):
    """An account exists. `password` is the sealed argon2 hash, None where nobody can log in (an imported customer)."""

    customer_id: UUID
    email: Sealed
    name: Sealed | None = None
    password: Sealed | None = None
    roles: tuple[str, ...]
    at: datetime


class PasswordChanged(Event, frozen=True, kw_only=True):
    """From now on this sealed argon2 hash is the password's; older sessions end."""

    customer_id: UUID
    password: Sealed
    at: datetime


class ProfileChanged(Event, frozen=True, kw_only=True):
    """The customer has another address or name; carries only what changed."""

    customer_id: UUID
    email: Sealed | UnsetType = UNSET
    name: Sealed | UnsetType | None = UNSET


class RoleGranted(Event, frozen=True, kw_only=True):
    """The account has one more role."""

    customer_id: UUID
    role: str


class RoleRevoked(Event, frozen=True, kw_only=True):
    """The account has lost a role."""

    customer_id: UUID
    role: str


class CustomerErased(Event, frozen=True, kw_only=True):
    """The customer's key is destroyed, or will be at once: nothing sealed with it can be read again."""

    customer_id: UUID
    reason: str


# --- state -----------------------------------------------------------------------------------------


class CustomerState(State, frozen=True, kw_only=True):
    """What an account remembers; `password_at` is when the password was last set: older sessions do not count."""

    customer_id: UUID
    status: str
    email: Sealed | None
    name: Sealed | None
    password: Sealed | None
    password_at: datetime
    roles: frozenset[str]


# --- commands --------------------------------------------------------------------------------------


class RegisterCustomer(Command, frozen=True, kw_only=True):
    """The handler claims the address by its keyed hash."""

    customer_id: UUID
    email: Sealed
    name: Sealed | None = None
    password: Sealed | None = None
    roles: tuple[str, ...] = ("customer",)
    at: datetime


class ChangePassword(Command, frozen=True, kw_only=True):
    customer_id: UUID
    password: Sealed
    at: datetime


class ChangeProfile(Command, frozen=True, kw_only=True):
    """Fields that are not given stay as they are. With another address the handler moves the claim."""

    customer_id: UUID
    email: Sealed | UnsetType = UNSET
    name: Sealed | UnsetType | None = UNSET


class GrantRole(Command, frozen=True, kw_only=True):
    customer_id: UUID
    role: str


class RevokeRole(Command, frozen=True, kw_only=True):
    customer_id: UUID
    role: str


class EraseCustomer(Command, frozen=True, kw_only=True):
    """The handler destroys the key afterwards and gives the address's claim back."""

    customer_id: UUID
    reason: str


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_CUSTOMER = Reason("no_such_customer", "There is no such account.", "missing")
CUSTOMER_EXISTS = Reason("customer_exists", "The account exists already.")
CUSTOMER_ERASED = Reason("customer_erased", "The account was erased.")
UNKNOWN_ROLE = Reason("unknown_role", "There is no role {role}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, customer: CustomerState | None) -> Sequence[Event]:
    """The events that the command makes of this account. Raises Rejected."""
    if isinstance(command, RegisterCustomer):
        return _register(command, customer)
    if customer is None:
        raise NO_SUCH_CUSTOMER()
    if customer.status == ERASED:
        if isinstance(command, EraseCustomer):
            return []
        raise CUSTOMER_ERASED()
    match command:
        case ChangePassword():
            return [PasswordChanged(customer_id=customer.customer_id, password=command.password, at=command.at)]
        case ChangeProfile():
            changed = _changed(command, customer)
            return [ProfileChanged(customer_id=customer.customer_id, **changed)] if changed else []
        case GrantRole():
            _check_role(command.role)
            if command.role in customer.roles:
                return []
            return [RoleGranted(customer_id=customer.customer_id, role=command.role)]
        case RevokeRole():
            _check_role(command.role)
            if command.role not in customer.roles:
                return []
            return [RoleRevoked(customer_id=customer.customer_id, role=command.role)]
        case EraseCustomer():
            reason = check_text("reason", command.reason, REASON_MOST)
            return [CustomerErased(customer_id=customer.customer_id, reason=reason)]
        case _:
            raise TypeError(f"a customer does not know {type(command).__name__}")


def _register(command: RegisterCustomer, customer: CustomerState | None) -> Sequence[Event]:
    if customer is not None:
        raise CUSTOMER_ERASED() if customer.status == ERASED else CUSTOMER_EXISTS()
    for role in command.roles:
        _check_role(role)
    return [
        CustomerRegistered(
            customer_id=command.customer_id,
            email=command.email,
            name=command.name,
            password=command.password,
            roles=tuple(role for role in ROLES if role in command.roles),
            at=command.at,
        )
    ]


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UNKNOWN_ROLE(role=role)


def _changed(command: ChangeProfile | ProfileChanged, customer: CustomerState) -> dict[str, Any]:
    given = {"email": command.email, "name": command.name}
    return {field: value for field, value in given.items() if value is not UNSET and value != getattr(customer, field)}


# --- evolve ----------------------------------------------------------------------------------------


def evolve(customer: CustomerState | None, event: Event) -> CustomerState:
    """The account after the event."""
    if isinstance(event, CustomerRegistered):
        return CustomerState(
            customer_id=event.customer_id,
            status=ACTIVE,
            email=event.email,
            name=event.name,
            password=event.password,
            password_at=event.at,
            roles=frozenset(event.roles),
        )
    if customer is None:
        raise ValueError("an account begins with CustomerRegistered")
    match event:
        case PasswordChanged():
            return replace(customer, password=event.password, password_at=event.at)
        case ProfileChanged():
            return replace(customer, **_changed(event, customer))
        case RoleGranted():
            return replace(customer, roles=customer.roles | {event.role})
        case RoleRevoked():
            return replace(customer, roles=customer.roles - {event.role})
        case CustomerErased():
            return replace(customer, status=ERASED, email=None, name=None, password=None, roles=frozenset())
        case _:
            raise TypeError(f"a customer does not know {type(event).__name__}")


CUSTOMER: Final = Aggregate(
    name="Customer",
    log="accounts",
    state=CustomerState,
    events=(CustomerRegistered, PasswordChanged, ProfileChanged, RoleGranted, RoleRevoked, CustomerErased),
    decide=decide,
    evolve=evolve,
)
