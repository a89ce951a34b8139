"""What a customer's account does."""

import msgspec
import pytest

from emporium.domain.base import Command
from emporium.domain.customer import (
    ACTIVE,
    CUSTOMER_ERASED,
    CUSTOMER_EXISTS,
    ERASED,
    NO_SUCH_CUSTOMER,
    ROLES,
    UNKNOWN_ROLE,
    ChangePassword,
    ChangeProfile,
    CustomerErased,
    CustomerRegistered,
    EraseCustomer,
    GrantRole,
    PasswordChanged,
    ProfileChanged,
    RegisterCustomer,
    RevokeRole,
    RoleGranted,
    RoleRevoked,
)
from emporium.domain.text import TEXT_LENGTH
from tests.domain.spec import LATER, NOW, given, sealed, uid

ID = uid(1)
EMAIL, NAME, PASSWORD = sealed("ann@example.org"), sealed("Ann"), sealed("$argon2id$")

REGISTER = RegisterCustomer(customer_id=ID, email=EMAIL, name=NAME, password=PASSWORD, at=NOW)
REGISTERED = CustomerRegistered(customer_id=ID, email=EMAIL, name=NAME, password=PASSWORD, roles=("customer",), at=NOW)
GONE = CustomerErased(customer_id=ID, reason="asked for it")
ERASE = EraseCustomer(customer_id=ID, reason="asked for it")
NEW_PASSWORD = sealed("$argon2id$2", "PasswordChanged")
CHANGES: list[Command] = [
    ChangePassword(customer_id=ID, password=NEW_PASSWORD, at=LATER),
    ChangeProfile(customer_id=ID, name=None),
    GrantRole(customer_id=ID, role="admin"),
    RevokeRole(customer_id=ID, role="customer"),
]


def test_somebody_registers_once() -> None:
    given().when(REGISTER).then(REGISTERED).leads_to(
        status=ACTIVE, email=EMAIL, name=NAME, password=PASSWORD, password_at=NOW, roles=frozenset({"customer"})
    )
    given(REGISTERED).when(REGISTER).rejected(CUSTOMER_EXISTS)
    given(REGISTERED, GONE).when(REGISTER).rejected(CUSTOMER_ERASED)


def test_an_imported_customer_has_no_password_and_a_member_of_staff_has_roles() -> None:
    staff = RegisterCustomer(customer_id=ID, email=EMAIL, roles=("admin", "support", "admin"), at=NOW)
    given().when(staff).then(
        CustomerRegistered(customer_id=ID, email=EMAIL, roles=("support", "admin"), at=NOW)
    ).leads_to(password=None)
    wrong = RegisterCustomer(customer_id=ID, email=EMAIL, roles=("root",), at=NOW)
    given().when(wrong).rejected(UNKNOWN_ROLE, role="root")


def test_the_password_changes() -> None:
    changed = PasswordChanged(customer_id=ID, password=NEW_PASSWORD, at=LATER)
    given(REGISTERED).when(CHANGES[0]).then(changed).leads_to(password=NEW_PASSWORD, password_at=LATER)


def test_the_profile_changes_and_the_event_carries_only_what_changed() -> None:
    phone = sealed("+44 20 7946 0000", "ProfileChanged")
    changed = ProfileChanged(customer_id=ID, phone=phone)
    given(REGISTERED).when(ChangeProfile(customer_id=ID, phone=phone, name=NAME, language="en")).then(changed).leads_to(
        phone=phone, name=NAME
    )
    assert set(msgspec.json.decode(msgspec.json.encode(changed))) == {"customer_id", "phone"}
    given(REGISTERED).when(ChangeProfile(customer_id=ID, name=None)).then(
        ProfileChanged(customer_id=ID, name=None)
    ).leads_to(name=None, email=EMAIL)
    given(REGISTERED).when(ChangeProfile(customer_id=ID)).then()


@pytest.mark.parametrize("role", ROLES[1:])
def test_roles_come_and_go(role: str) -> None:
    granted, revoked = RoleGranted(customer_id=ID, role=role), RoleRevoked(customer_id=ID, role=role)
    grant, revoke = GrantRole(customer_id=ID, role=role), RevokeRole(customer_id=ID, role=role)
    given(REGISTERED).when(grant).then(granted).leads_to(roles=frozenset({"customer", role}))
    given(REGISTERED, granted).when(grant).then()
    given(REGISTERED, granted).when(revoke).then(revoked).leads_to(roles=frozenset({"customer"}))
    given(REGISTERED).when(revoke).then()


def test_only_known_roles() -> None:
    given(REGISTERED).when(GrantRole(customer_id=ID, role="root")).rejected(UNKNOWN_ROLE, role="root")
    given(REGISTERED).when(RevokeRole(customer_id=ID, role="root")).rejected(UNKNOWN_ROLE, role="root")


def test_a_customer_is_erased_for_good() -> None:
    given(REGISTERED).when(ERASE).then(GONE).leads_to(
        status=ERASED, email=None, name=None, password=None, roles=frozenset()
    )
    given(REGISTERED, GONE).when(ERASE).then()
    given(REGISTERED).when(EraseCustomer(customer_id=ID, reason="")).rejected(TEXT_LENGTH, field="reason")


@pytest.mark.parametrize("command", CHANGES, ids=lambda command: type(command).__name__)
def test_what_was_erased_or_never_was_does_not_change(command: Command) -> None:
    given(REGISTERED, GONE).when(command).rejected(CUSTOMER_ERASED)
    given().when(command).rejected(NO_SUCH_CUSTOMER)


def test_who_never_was_cannot_be_erased() -> None:
    given().when(ERASE).rejected(NO_SUCH_CUSTOMER)
