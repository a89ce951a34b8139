"""Accounts: register, prove an address, log in, change password or address; what is personal is sealed first.

Who asks learns nothing about which addresses have accounts: the answers are the same, and what differs is told in a
mail to the address.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from emporium.application import mail_tokens
from emporium.application.commands import handle
from emporium.application.mail_tokens import Ticket
from emporium.application.ports import Claim, Idempotency, Meta, Taken
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Reason, Sealed
from emporium.domain.customer import (
    ACTIVE,
    CHANGE,
    CUSTOMER,
    NEW,
    OLD,
    RESET,
    VERIFY,
    ChangePassword,
    ChangeProfile,
    ConfirmEmailChange,
    CustomerState,
    NoteNewDevice,
    NoteRegistration,
    RegisterCustomer,
    RequestEmailChange,
    RequestEmailVerification,
    RequestPasswordReset,
    VerifyEmail,
)
from emporium.domain.text import check_text

__all__ = [
    "EMAIL_MALFORMED",
    "EMAIL_TAKEN",
    "LINK_INVALID",
    "PASSWORD_COMMON",
    "PASSWORD_LENGTH",
    "WRONG_PASSWORD",
    "Profile",
    "change_password",
    "change_profile",
    "check_email",
    "check_password",
    "confirm_email_change",
    "create_staff",
    "find",
    "has_password",
    "link",
    "log_in",
    "make",
    "note_new_device",
    "profile",
    "register",
    "remembers_views",
    "request_email_change",
    "request_password_reset",
    "request_verification",
    "reset_password",
    "set_password",
    "unsealed",
    "verify_email",
]

EMAIL_MOST: Final = 254
NAME_MOST: Final = 200
DEVICE_MOST: Final = 200
PASSWORD_LEAST: Final = 8
PASSWORD_MOST: Final = 256

VERIFICATION_LASTS: Final = timedelta(days=3)
RESET_LASTS: Final = timedelta(hours=1)
CHANGE_LASTS: Final = timedelta(days=1)
PAUSE: Final = timedelta(minutes=1)
"""How long after a link was asked for another one of its kind is not sent."""

EMAIL_MALFORMED = Reason("email_malformed", "{field} is not an e-mail address.", "invalid")
EMAIL_TAKEN = Reason("email_taken", "There is an account with this e-mail address already.")
PASSWORD_LENGTH = Reason("password_length", "A password has {least} to {most} characters.", "invalid")
PASSWORD_COMMON = Reason(
    "password_common", "This password is one of the first that anybody would try: choose another.", "invalid"
)
WRONG_PASSWORD = Reason("wrong_password", "The password is wrong.", "invalid")
LINK_INVALID = Reason("link_invalid", "The link is not one that this shop sent, or has expired.", "invalid")
PHONE_MALFORMED = Reason(
    "phone_malformed", "A phone number begins with + and the country, such as +44 20 7946 0000.", "invalid"
)
LANGUAGE_MALFORMED = Reason("language_malformed", "{language} is not the code of a language, such as en.", "invalid")
NO_SUCH_ACCOUNT = Reason("no_such_account", "There is no account with this e-mail address.", "missing")

_EMAIL: Final = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}@(?=.{1,253}\Z)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_]{2,63}")
_PHONE: Final = re.compile(r"\+[1-9](?:[ ().-]{0,2}\d){6,14}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")

Keep = Callable[[UUID], Idempotency | None]
"""The record of the answer about a customer, to commit with the events."""


class Profile(msgspec.Struct, frozen=True):
    """An account as its owner sees it, in clear; `[erased]` where it was.

    Attributes:
        verified: the e-mail address was proved.
        two_factor: a log-in needs a code as well.
    """

    customer_id: UUID
    email: str
    name: str | None
    roles: tuple[str, ...]
    verified: bool
    phone: str | None
    language: str
    two_factor: bool


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
    language: str = "en",
    keep: Keep = lambda _: None,
) -> tuple[UUID, Committed]:
    """A new account's id, to which a link is sent that proves its address.

    Where the address has an account, the same is answered with an id that nobody has, and its owner is told.
    Raises `Rejected` (email_malformed, password_length, password_common, text_length …).
    """
    address = check_email("email", email)
    check_password(shop, password)
    hashed = await shop.passwords.hash(password)
    owner = await shop.logs["accounts"].claimed("email", _claim(shop, address))
    for _ in range(2):
        known = None if owner is None else (await shop.logs["accounts"].load(CUSTOMER, owner, fresh=True))[0]
        if known is not None and known.status == ACTIVE:
            return await _note_registration(shop, known.customer_id, cause, keep)
        try:
            return await make(
                shop,
                address=address,
                name=name,
                hashed=hashed,
                roles=("customer",),
                language=_language(language),
                cause=cause,
                proved=False,
                former=owner,
                keep=keep,
            )
        except Taken as taken:
            owner = taken.owner
    raise EMAIL_TAKEN()


async def _note_registration(shop: Shop, owner: UUID, cause: Meta, keep: Keep) -> tuple[UUID, Committed]:
    meta = replace(cause, correlation=str(owner), actor=cause.actor or "anonymous")
    nobody = uuid4()

    async def handler(work: Work) -> None:
        await handle(work, NoteRegistration(customer_id=owner, at=shop.clock.now()), meta)
        work.unit.idempotency = keep(nobody)

    _, committed = await shop.run("accounts", meta, handler)
    return nobody, committed


async def make(
    shop: Shop,
    *,
    address: str,
    name: str | None,
    hashed: str,
    roles: Sequence[str],
    language: str,
    cause: Meta,
    proved: bool,
    former: UUID | None = None,
    keep: Keep = lambda _: None,
    also: Callable[[Work, UUID], Awaitable[None]] | None = None,
) -> tuple[UUID, Committed]:
    """Makes an account. Raises Taken, `Rejected`.

    Args:
        proved: the address needs no link.
        former: an erased account that still holds the address.
        also: what else is decided in the same unit.
    """
    shown = None if name is None else check_text("name", name, NAME_MOST)
    customer_id = uuid4()
    await shop.vault.key_for(customer_id)

    def seal(field: str, text: str) -> Sealed:
        return shop.vault.seal(customer_id, "CustomerRegistered", customer_id, field, text)

    now = shop.clock.now()
    value = _claim(shop, address)
    register = RegisterCustomer(
        customer_id=customer_id,
        email=seal("email", address),
        name=None if shown is None else seal("name", shown),
        password=seal("password", hashed),
        roles=tuple(roles),
        at=now,
        language=language,
    )
    prove: Command = (
        VerifyEmail(customer_id=customer_id, at=now)
        if proved
        else RequestEmailVerification(
            customer_id=customer_id, request_id=uuid4(), expires_at=_until(now, VERIFICATION_LASTS)
        )
    )
    meta = replace(cause, correlation=str(customer_id), actor=cause.actor or f"customer:{customer_id}")

    async def handler(work: Work) -> None:
        await handle(work, register, meta)
        await handle(work, prove, meta)
        if also is not None:
            await also(work, customer_id)
        if former is not None:
            work.unit.claims.append(Claim("email", value, former, release=True))
        work.unit.claims.append(Claim("email", value, customer_id))
        work.unit.idempotency = keep(customer_id)

    _, committed = await shop.run("accounts", meta, handler)
    return customer_id, committed


def _until(now: datetime, lasts: timedelta) -> datetime:
    """Whole seconds, which is what a token tells."""
    return (now + lasts).replace(microsecond=0)


async def log_in(shop: Shop, *, email: str, password: str) -> CustomerState | None:
    """The account of an address and its password; None, after the same time, for any other. Raises Overloaded."""
    customer = await find(shop, email)
    stored = None if customer is None or customer.password is None else await unsealed(shop, customer, "password")
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


async def has_password(shop: Shop, customer_id: UUID, password: str) -> bool:
    """Whether the password is the account's. Raises Overloaded."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    stored = None if customer is None else await unsealed(shop, customer, "password")
    if stored is None or not stored.startswith("$"):
        return await shop.passwords.dummy_verify(password)
    return await shop.passwords.verify(stored, password)


async def profile(shop: Shop, customer_id: UUID) -> Profile | None:
    """The account in clear; None where there is none."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        return None
    return Profile(
        customer_id,
        await unsealed(shop, customer, "email") or "[erased]",
        await unsealed(shop, customer, "name"),
        tuple(sorted(customer.roles)),
        customer.verified,
        await unsealed(shop, customer, "phone"),
        customer.language,
        customer.two_factor is not None and customer.two_factor.enabled,
    )


async def change_profile(
    shop: Shop,
    *,
    customer_id: UUID,
    name: str | UnsetType | None = UNSET,
    phone: str | UnsetType | None = UNSET,
    language: str | UnsetType = UNSET,
    cause: Meta,
) -> Committed:
    """Changes what is given. Raises `Rejected` (text_length, phone_malformed, language_malformed …)."""
    if isinstance(name, str):
        name = check_text("name", name, NAME_MOST)
    if isinstance(phone, str):
        phone = phone.strip()
        if _PHONE.fullmatch(phone) is None:
            raise PHONE_MALFORMED(field="phone")
    await shop.vault.key_for(customer_id)

    def seal(field: str, value: str | UnsetType | None) -> Sealed | UnsetType | None:
        if not isinstance(value, str):
            return value
        return shop.vault.seal(customer_id, "ProfileChanged", customer_id, field, value)

    command = ChangeProfile(
        customer_id=customer_id,
        name=seal("name", name),
        phone=seal("phone", phone),
        language=_language(language) if isinstance(language, str) else UNSET,
    )
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


def _language(code: str) -> str:
    if _LANGUAGE.fullmatch(code) is None:
        raise LANGUAGE_MALFORMED(language=code[:20], field="language")
    return code


async def create_staff(shop: Shop, *, email: str, password: str, roles: Sequence[str], cause: Meta) -> UUID:
    """The account of a member of staff, whose address the operator vouches for.

    Raises `Rejected` (email_taken, email_malformed, password_length, password_common …).
    """
    address = check_email("email", email)
    check_password(shop, password)
    hashed = await shop.passwords.hash(password)
    try:
        customer_id, _ = await make(
            shop, address=address, name=None, hashed=hashed, roles=roles, language="en", cause=cause, proved=True
        )
    except Taken:
        raise EMAIL_TAKEN() from None
    return customer_id


# --- links in mails --------------------------------------------------------------------------------


def link(shop: Shop, purpose: str, token: str) -> Ticket:
    """What the token of a link is about. Raises `Rejected` (link_invalid)."""
    ticket = mail_tokens.read(mail_tokens.secret_of(shop.vault), purpose, token, shop.clock.now())
    if ticket is None:
        raise LINK_INVALID(field="token")
    return ticket


async def request_verification(shop: Shop, *, customer_id: UUID, cause: Meta) -> Committed | None:
    """Sends another link that proves the address, unless one was just sent or none is needed."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    now = shop.clock.now()
    if customer is None or customer.verified or _just_sent(customer, VERIFY, VERIFICATION_LASTS, now):
        return None
    command = RequestEmailVerification(
        customer_id=customer_id, request_id=uuid4(), expires_at=_until(now, VERIFICATION_LASTS)
    )
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def verify_email(shop: Shop, *, token: str, cause: Meta) -> UUID:
    """The account whose address is proved by the link. Raises `Rejected` (link_invalid, link_used …)."""
    ticket = link(shop, mail_tokens.VERIFY_EMAIL, token)
    command = VerifyEmail(customer_id=ticket.subject, request_id=ticket.request, at=shop.clock.now())
    await shop.execute(command, _by_link(cause, ticket.subject))
    return ticket.subject


async def request_password_reset(shop: Shop, *, email: str, cause: Meta) -> None:
    """Sends a link to the address, if it has an account and none was just sent."""
    customer = await find(shop, email)
    now = shop.clock.now()
    if customer is None or _just_sent(customer, RESET, RESET_LASTS, now):
        return
    command = RequestPasswordReset(
        customer_id=customer.customer_id, request_id=uuid4(), expires_at=_until(now, RESET_LASTS)
    )
    await shop.execute(command, replace(cause, correlation=str(customer.customer_id)))


async def reset_password(shop: Shop, *, token: str, password: str, cause: Meta) -> UUID:
    """Sets the password by a link; the caller ends the account's sessions.

    Raises `Rejected` (link_invalid, link_used, password_length, password_common …).
    """
    ticket = link(shop, mail_tokens.RESET_PASSWORD, token)
    await _set_password(shop, ticket.subject, password, _by_link(cause, ticket.subject), ticket.request)
    return ticket.subject


async def request_email_change(shop: Shop, *, customer_id: UUID, email: str, cause: Meta) -> Committed | None:
    """Sends a link to the new address and one to the old, which both have to be used, unless they were just sent.

    Whether the new address has an account shows only when both were. Raises `Rejected` (email_malformed …).
    """
    address = check_email("email", email)
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    now = shop.clock.now()
    if customer is not None and _just_sent(customer, CHANGE, CHANGE_LASTS, now):
        return None
    await shop.vault.key_for(customer_id)
    command = RequestEmailChange(
        customer_id=customer_id,
        request_id=uuid4(),
        email=shop.vault.seal(customer_id, "EmailChangeRequested", customer_id, "email", address),
        expires_at=_until(now, CHANGE_LASTS),
    )
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def confirm_email_change(shop: Shop, *, token: str, cause: Meta) -> tuple[UUID, bool]:
    """One end confirms; the account, and whether it has the new address now.

    Raises `Rejected` (link_invalid, link_used; email_taken where the new address has got an account).
    """
    secret, now = mail_tokens.secret_of(shop.vault), shop.clock.now()
    ticket = mail_tokens.read(secret, mail_tokens.CONFIRM_NEW_EMAIL, token, now)
    end = NEW
    if ticket is None:
        ticket, end = link(shop, mail_tokens.CONFIRM_OLD_EMAIL, token), OLD
    customer_id = ticket.subject
    command = ConfirmEmailChange(customer_id=customer_id, request_id=ticket.request, end=end, at=now)
    meta = _by_link(cause, customer_id)

    async def handler(work: Work) -> bool:
        before = await work.load(CUSTOMER, customer_id)
        await handle(work, command, meta)
        after = work.state(CUSTOMER, customer_id)
        assert before is not None and after is not None, "a missing account was rejected"
        if before.email == after.email or before.email is None or after.email is None:
            return False
        await shop.vault.load_keys([customer_id])
        old, new = (shop.vault.unseal(sealed, customer_id, "email") for sealed in (before.email, after.email))
        if _claim(shop, old) != _claim(shop, new):
            work.unit.claims.append(Claim("email", _claim(shop, old), customer_id, release=True))
            work.unit.claims.append(Claim("email", _claim(shop, new), customer_id))
        return True

    try:
        changed, _ = await shop.run("accounts", meta, handler)
    except Taken:
        raise EMAIL_TAKEN() from None
    return customer_id, changed


def _by_link(cause: Meta, customer_id: UUID) -> Meta:
    """Who has the link is the customer."""
    return replace(cause, correlation=str(customer_id), actor=f"customer:{customer_id}")


def _just_sent(customer: CustomerState, kind: str, lasts: timedelta, now: datetime) -> bool:
    pending = customer.pending.get(kind)
    return pending is not None and now < pending.expires_at - lasts + PAUSE


# --- passwords and devices -------------------------------------------------------------------------


async def change_password(shop: Shop, *, customer_id: UUID, old: str, new: str, cause: Meta) -> None:
    """Another password for who knows the old one; the caller ends the other sessions.

    Raises `Rejected` (wrong_password, password_length, password_common).
    """
    check_password(shop, new, "new_password")
    if not await has_password(shop, customer_id, old):
        raise WRONG_PASSWORD(field="password")
    await _set_password(shop, customer_id, new, replace(cause, correlation=str(customer_id)))


async def set_password(shop: Shop, *, email: str, password: str, cause: Meta) -> UUID:
    """Gives an account another password; the caller ends its sessions. Raises `Rejected` (no_such_account …)."""
    customer = await find(shop, email)
    if customer is None:
        raise NO_SUCH_ACCOUNT()
    await _set_password(shop, customer.customer_id, password, replace(cause, correlation=str(customer.customer_id)))
    return customer.customer_id


async def _set_password(
    shop: Shop, customer_id: UUID, password: str, cause: Meta, request_id: UUID | None = None
) -> None:
    check_password(shop, password)
    hashed = await shop.passwords.hash(password)
    await shop.vault.key_for(customer_id)
    sealed = shop.vault.seal(customer_id, "PasswordChanged", customer_id, "password", hashed)
    change = ChangePassword(customer_id=customer_id, password=sealed, at=shop.clock.now(), request_id=request_id)
    await shop.execute(change, cause)


def check_password(shop: Shop, password: str, field: str = "password") -> None:
    """Raises `Rejected` (password_length, password_common) for a password that will not do."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise PASSWORD_LENGTH(least=PASSWORD_LEAST, most=PASSWORD_MOST, field=field)
    if shop.passwords.is_common(password):
        raise PASSWORD_COMMON(field=field)


async def note_new_device(shop: Shop, *, customer_id: UUID, device: str | None, cause: Meta) -> None:
    """Tells the owner that somebody logged in with a device that was not seen before."""
    await shop.vault.key_for(customer_id)
    sealed = None
    if device is not None:
        sealed = shop.vault.seal(customer_id, "NewDeviceSeen", customer_id, "device", device)
    command = NoteNewDevice(customer_id=customer_id, device=sealed, at=shop.clock.now())
    await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def remembers_views(shop: Shop, customer_id: UUID | None) -> bool:
    """Whether what somebody looks at may be remembered: what the customer said, and where nothing was, or of somebody
    without an account, what the shop does. Raises Unavailable."""
    if customer_id is not None:
        customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
        if customer is None or customer.status != ACTIVE:
            return False
        if customer.views_consent is not None:
            return customer.views_consent
    return not (await shop.terms.now(shop.logs["ordering"])).views_need_consent


async def unsealed(shop: Shop, customer: CustomerState, field: str) -> Any:
    """A sealed value of the account in clear; None where there is none."""
    sealed: Sealed | None = getattr(customer, field)
    if sealed is None:
        return None
    await shop.vault.load_keys([sealed.subject])
    return shop.vault.unseal(sealed, customer.customer_id, field)
