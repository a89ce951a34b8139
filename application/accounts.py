"""Accounts: register, log in, who am I, and staff; what is personal is sealed before it becomes an event."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Claim, Idempotency, Meta, Taken
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Reason, Sealed
from emporium.domain.customer import ACTIVE, CUSTOMER, ChangePassword, CustomerState, RegisterCustomer
from emporium.domain.text import check_text

__all__ = [
    "EMAIL_MALFORMED",
    "EMAIL_TAKEN",
    "PASSWORD_LENGTH",
    "Profile",
    "check_email",
    "create_staff",
    "find",
    "log_in",
    "profile",
    "register",
    "set_password",
]

EMAIL_MOST: Final = 254
NAME_MOST: Final = 200
PASSWORD_LEAST: Final = 8
PASSWORD_MOST: Final = 256

EMAIL_MALFORMED = Reason("email_malformed", "{field} is not an e-mail address.", "invalid")
EMAIL_TAKEN = Reason("email_taken", "There is an account with this e-mail address already.")
PASSWORD_LENGTH = Reason("password_length", "A password has {least} to {most} characters.", "invalid")
NO_SUCH_ACCOUNT = Reason("no_such_account", "There is no account with this e-mail address.", "missing")

_EMAIL: Final = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}@(?=.{1,253}\Z)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_]{2,63}")

Keep = Callable[[UUID], Idempotency | None]
"""The record of the answer about a customer, to commit with the events."""


class Profile(msgspec.Struct, frozen=True):
    """An account as its owner sees it, in clear; `[erased]` where it was."""

    customer_id: UUID
    email: str
    name: str | None
    roles: tuple[str, ...]


def check_email(field: str, text: str) -> str:
    """The address without blanks around it. Raises `Rejected` (email_malformed), without the address."""
    address = text.strip()
    if len(address) > EMAIL_MOST or not address.isprintable() or _EMAIL.fullmatch(address) is None:
        raise EMAIL_MALFORMED(field=field)
    return address


def _claim(shop: Shop, address: str) -> bytes:
    """The keyed hash under which an address is taken: upper and lower case are one address."""
    return shop.vault.fingerprint("email", address.casefold())


async def register(
    shop: Shop,
    *,
    email: str,
    password: str,
    name: str | None,
    cause: Meta,
    roles: Sequence[str] = ("customer",),
    keep: Keep = lambda _: None,
) -> tuple[UUID, Committed]:
    """A new account's id. Raises `Rejected` (email_taken, email_malformed, password_length, text_length)."""
    address = check_email("email", email)
    _check_password(password)
    shown = None if name is None else check_text("name", name, NAME_MOST)
    value = _claim(shop, address)
    if await shop.logs["accounts"].claimed("email", value) is not None:
        raise EMAIL_TAKEN()
    hashed = await shop.passwords.hash(password)
    customer_id = uuid4()
    await shop.vault.key_for(customer_id)

    def seal(field: str, text: str) -> Sealed:
        return shop.vault.seal(customer_id, "CustomerRegistered", customer_id, field, text)

    command = RegisterCustomer(
        customer_id=customer_id,
        email=seal("email", address),
        name=None if shown is None else seal("name", shown),
        password=seal("password", hashed),
        roles=tuple(roles),
        at=shop.clock.now(),
    )
    meta = replace(cause, correlation=str(customer_id), actor=cause.actor or f"customer:{customer_id}")

    async def handler(work: Work) -> None:
        await handle(work, command, meta)
        work.unit.claims.append(Claim("email", value, customer_id))
        work.unit.idempotency = keep(customer_id)

    try:
        _, committed = await shop.run("accounts", meta, handler)
    except Taken:
        raise EMAIL_TAKEN() from None
    return customer_id, committed


async def log_in(shop: Shop, *, email: str, password: str) -> CustomerState | None:
    """The account of an address and its password; None, after the same time, for any other. Raises Overloaded."""
    customer = await find(shop, email)
    stored = None if customer is None or customer.password is None else await _unsealed(shop, customer, "password")
    if customer is None or stored is None or not stored.startswith("$"):  # an erased one is no hash
        await shop.passwords.dummy_verify(password)
        return None
    return customer if await shop.passwords.verify(stored, password) else None


async def find(shop: Shop, email: str) -> CustomerState | None:
    """The living account of an address, as its log knows it now."""
    log = shop.logs["accounts"]
    customer_id = await log.claimed("email", _claim(shop, email.strip()))
    if customer_id is None:
        return None
    customer, _ = await log.load(CUSTOMER, customer_id, fresh=True)
    return customer if customer is not None and customer.status == ACTIVE else None


async def profile(shop: Shop, customer_id: UUID) -> Profile | None:
    """The account in clear; None where there is none."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        return None
    email = await _unsealed(shop, customer, "email")
    name = await _unsealed(shop, customer, "name")
    return Profile(customer_id, email or "[erased]", name, tuple(sorted(customer.roles)))


async def create_staff(shop: Shop, *, email: str, password: str, roles: Sequence[str], cause: Meta) -> UUID:
    """The account of a member of staff, which is a customer's with other roles. Raises as `register`."""
    return (await register(shop, email=email, password=password, name=None, cause=cause, roles=roles))[0]


async def set_password(shop: Shop, *, email: str, password: str, cause: Meta) -> UUID:
    """Gives an account another password; the caller ends its sessions. Raises `Rejected` (no_such_account …)."""
    _check_password(password)
    customer = await find(shop, email)
    if customer is None:
        raise NO_SUCH_ACCOUNT()
    hashed = await shop.passwords.hash(password)
    await shop.vault.key_for(customer.customer_id)
    sealed = shop.vault.seal(customer.customer_id, "PasswordChanged", customer.customer_id, "password", hashed)
    change = ChangePassword(customer_id=customer.customer_id, password=sealed, at=shop.clock.now())
    await shop.execute(change, replace(cause, correlation=str(customer.customer_id)))
    return customer.customer_id


def _check_password(password: str) -> None:
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise PASSWORD_LENGTH(least=PASSWORD_LEAST, most=PASSWORD_MOST, field="password")


async def _unsealed(shop: Shop, customer: CustomerState, field: str) -> Any:
    sealed: Sealed | None = getattr(customer, field)
    if sealed is None:
        return None
    await shop.vault.load_keys([sealed.subject])
    return shop.vault.unseal(sealed, customer.customer_id, field)
