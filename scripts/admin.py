"""`emporium admin`: accounts of administrators, whose passwords are shown once and stored only hashed."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import uuid4

import click

from emporium.application import accounts, bootstrap
from emporium.application.bootstrap import Opened
from emporium.application.ports import EventLog, Meta
from emporium.domain.base import Rejected
from emporium.domain.customer import CustomerRegistered, RoleGranted
from emporium.infra.settings import Settings
from emporium.scripts.output import print_json

__all__ = ["create", "first", "reset_password", "rewrap_keys"]

T = TypeVar("T")

ADMIN: Final = "admin"

_CHANCE: Final = 15
"""Bytes of chance in a password, which makes 20 characters."""

_PAGE: Final = 1_000


def first(settings: Settings) -> tuple[str, str] | None:
    """Makes the administrator of the settings where there never was one: e-mail and password; else None."""

    async def work(opened: Opened) -> str | None:
        if await _had_administrator(opened.shop.logs["accounts"]):
            return None
        try:
            return await _make(opened, settings.admin_email, ADMIN)
        except Rejected as rejected:
            if rejected.code == accounts.EMAIL_TAKEN.code:
                return None
            raise

    password = _run(settings, work)
    return None if password is None else (settings.admin_email, password)


def create(settings: Settings, email: str, *, role: str = ADMIN, as_json: bool) -> int:
    """Makes an account with this role and prints its password; 0.

    Raises click.ClickException with the reason where it is refused.
    """
    return _tell(email, _run(settings, lambda opened: _make(opened, email, role)), as_json)


def rewrap_keys(settings: Settings, *, as_json: bool) -> int:
    """Wraps the keys of personal data anew with the first configured master key, and tells how many; 0."""
    count = asyncio.run(bootstrap.rewrap_keys(settings))
    if as_json:
        print_json({"rewrapped": count})
    else:
        print(f"{count} keys are wrapped anew.")
    return 0


def reset_password(settings: Settings, email: str, *, as_json: bool) -> int:
    """Gives the account another password, prints it, and ends the account's sessions; 0.

    Raises click.ClickException with the reason where it is refused.
    """

    async def work(opened: Opened) -> str:
        password = secrets.token_urlsafe(_CHANCE)
        customer_id = await accounts.set_password(opened.shop, email=email, password=password, cause=_cause())
        async with bootstrap.open_doors(opened) as doors:
            await doors.sessions.revoke_all(customer_id)
        return password

    return _tell(email, _run(settings, work), as_json)


def _run(settings: Settings, work: Callable[[Opened], Awaitable[T]]) -> T:
    async def main() -> T:
        async with bootstrap.open_shop(settings) as opened:
            return await work(opened)

    try:
        return asyncio.run(main())
    except Rejected as rejected:
        raise click.ClickException(rejected.text) from None


async def _make(opened: Opened, email: str, role: str) -> str:
    password = secrets.token_urlsafe(_CHANCE)
    await accounts.create_staff(opened.shop, email=email, password=password, roles=(role,), cause=_cause())
    return password


async def _had_administrator(log: EventLog) -> bool:
    """Whether there is or was one. On most shops it is the first account of all."""
    topics = [f"{log.name}.{event.__name__}" for event in (CustomerRegistered, RoleGranted)]
    after = -1
    upto = 0
    while upto > after:
        after = upto
        events, upto = await log.read(after, _PAGE, topics=topics)
        for one in events:
            event = one.event
            roles = event.roles if isinstance(event, CustomerRegistered) else (getattr(event, "role", None),)
            if ADMIN in roles:
                return True
    return False


def _cause() -> Meta:
    """Whoever may run commands on the shop's machine; the correlation becomes the account's id."""
    request = f"cli-{uuid4()}"
    return Meta("", f"request:{request}", "staff:command-line", request)


def _tell(email: str, password: str, as_json: bool) -> int:
    if as_json:
        print_json({"email": email, "password": password})
    else:
        print(f"{email} can log in with the password {password} (shown only now).")
    return 0
