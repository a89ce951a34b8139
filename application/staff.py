"""Members of staff: invited by mail, with roles that an administrator gives and takes; and keys for machines."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID, uuid4

from msgspec.structs import replace

from emporium.application import accounts, mail_tokens
from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta, Taken
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.api_key import CreateApiKey, RevokeApiKey
from emporium.domain.base import Reason
from emporium.domain.customer import ACTIVE, CUSTOMER, NO_SUCH_CUSTOMER, GrantRole, RevokeRole, VerifyEmail, check_role
from emporium.domain.invitation import (
    INVITATION,
    INVITATION_CLOSED,
    NO_SUCH_INVITATION,
    OPEN,
    AcceptInvitation,
    InviteStaff,
    WithdrawInvitation,
)

__all__ = ["Sessions", "accept", "create_key", "invite", "new_key", "revoke_key", "set_roles", "withdraw"]

INVITATION_LASTS: Final = timedelta(days=7)
KEY_MOST: Final = timedelta(days=400)
KEY_PREFIX: Final = "emk_"

OWN_ROLES = Reason("own_roles", "Nobody takes the role of administrator from themselves: ask another one.")
EXPIRY_OUT_OF_RANGE = Reason("expiry_out_of_range", "A key lasts from 1 to {most} days.", "invalid")

Keep = Callable[[UUID], Idempotency | None]


class Sessions(Protocol):
    """Who is let in."""

    async def admit(self, key: UUID, scopes: Sequence[str], digest: bytes, expires_at: datetime) -> None:
        """Lets a machine in with the key of this SHA-256."""
        ...

    async def revoke_all(self, customer: UUID) -> None:
        """Ends all sessions of the customer, or a machine's key."""
        ...


async def invite(
    shop: Shop, *, email: str, roles: Sequence[str], cause: Meta, keep: Keep = lambda _: None
) -> tuple[UUID, Committed]:
    """Sends a link by which the owner of the address becomes a member of staff. Raises `Rejected`."""
    address = accounts.check_email("email", email)
    invitation_id = uuid4()
    await shop.vault.key_for(invitation_id)
    command = InviteStaff(
        invitation_id=invitation_id,
        email=shop.vault.seal(invitation_id, "StaffInvited", invitation_id, "email", address),
        roles=tuple(roles),
        expires_at=(shop.clock.now() + INVITATION_LASTS).replace(microsecond=0),
    )
    meta = replace(cause, correlation=str(invitation_id))

    async def handler(work: Work) -> None:
        await handle(work, command, meta)
        work.unit.idempotency = keep(invitation_id)

    _, committed = await shop.run("accounts", meta, handler)
    return invitation_id, committed


async def withdraw(shop: Shop, *, invitation_id: UUID, cause: Meta) -> None:
    """The link is worth nothing any more, and its address is forgotten. Raises `Rejected`."""
    command = WithdrawInvitation(invitation_id=invitation_id, at=shop.clock.now())
    await shop.execute(command, replace(cause, correlation=str(invitation_id)))
    await shop.vault.erase(invitation_id)


async def accept(shop: Shop, *, token: str, password: str, name: str | None, cause: Meta) -> tuple[UUID, Committed]:
    """The account of the invited address, new with this password; one that there is gets the roles and keeps its own.

    Raises `Rejected` (link_invalid, invitation_closed, password_length …).
    """
    ticket = accounts.link(shop, mail_tokens.ACCEPT_INVITATION, token)
    invitation_id = ticket.subject
    invitation, _ = await shop.logs["accounts"].load(INVITATION, invitation_id, fresh=True)
    if invitation is None:
        raise NO_SUCH_INVITATION()
    if invitation.status != OPEN:
        raise INVITATION_CLOSED(status=invitation.status)
    accounts.check_password(shop, password)
    await shop.vault.load_keys([invitation_id])
    address = shop.vault.unseal(invitation.email, invitation_id, "email")
    now = shop.clock.now()

    async def accepted(work: Work, customer_id: UUID) -> None:
        command = AcceptInvitation(invitation_id=invitation_id, customer_id=customer_id, at=now)
        await handle(work, command, replace(cause, correlation=str(invitation_id), actor=f"staff:{customer_id}"))

    known = await accounts.find(shop, address)
    if known is None:
        hashed = await shop.passwords.hash(password)
        try:
            customer_id, committed = await accounts.make(
                shop,
                address=address,
                name=name,
                hashed=hashed,
                roles=invitation.roles,
                language="en",
                cause=replace(cause, actor=""),
                proved=True,
                also=accepted,
            )
        except Taken:
            raise accounts.EMAIL_TAKEN() from None
    else:
        customer_id = known.customer_id
        meta = replace(cause, correlation=str(customer_id), actor=f"customer:{customer_id}")

        async def handler(work: Work) -> None:
            await accepted(work, customer_id)
            for role in invitation.roles:
                await handle(work, GrantRole(customer_id=customer_id, role=role), meta)
            await handle(work, VerifyEmail(customer_id=customer_id, at=now), meta)

        _, committed = await shop.run("accounts", meta, handler)
    await shop.vault.erase(invitation_id)
    return customer_id, committed


async def set_roles(
    shop: Shop, sessions: Sessions, *, customer_id: UUID, roles: Sequence[str], by: UUID, cause: Meta
) -> None:
    """The account has exactly these roles; its sessions end, as they hold the old ones. Raises `Rejected`."""
    wanted = {check_role(role) for role in roles}
    meta = replace(cause, correlation=str(customer_id))

    async def handler(work: Work) -> bool:
        customer = await work.load(CUSTOMER, customer_id)
        if customer is None or customer.status != ACTIVE:
            raise NO_SUCH_CUSTOMER()
        if customer_id == by and "admin" in customer.roles and "admin" not in wanted:
            raise OWN_ROLES()
        for role in sorted(wanted - customer.roles):
            await handle(work, GrantRole(customer_id=customer_id, role=role), meta)
        for role in sorted(customer.roles - wanted):
            await handle(work, RevokeRole(customer_id=customer_id, role=role), meta)
        return wanted != customer.roles

    changed, _ = await shop.run("accounts", meta, handler)
    if changed:
        await sessions.revoke_all(customer_id)


def new_key() -> str:
    """A machine's key, 47 characters."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


async def create_key(
    shop: Shop,
    sessions: Sessions,
    *,
    key: str,
    name: str,
    scopes: Sequence[str],
    days: int,
    cause: Meta,
    keep: Keep = lambda _: None,
) -> tuple[UUID, Committed]:
    """Lets a machine in with the key, of which only a hash is kept. Raises `Rejected` (unknown_scope …)."""
    if not 1 <= days <= KEY_MOST.days:
        raise EXPIRY_OUT_OF_RANGE(most=KEY_MOST.days, field="days")
    key_id = uuid4()
    digest = hashlib.sha256(key.encode()).digest()
    expires_at = (shop.clock.now() + timedelta(days=days)).replace(microsecond=0)
    command = CreateApiKey(key_id=key_id, name=name, scopes=tuple(scopes), digest=digest, expires_at=expires_at)
    meta = replace(cause, correlation=str(key_id))

    async def handler(work: Work) -> None:
        await handle(work, command, meta)
        work.unit.idempotency = keep(key_id)

    _, committed = await shop.run("accounts", meta, handler)
    await sessions.admit(key_id, tuple(scopes), digest, expires_at)
    return key_id, committed


async def revoke_key(shop: Shop, sessions: Sessions, *, key_id: UUID, cause: Meta) -> None:
    """The key is worth nothing any more. Raises `Rejected` (no_such_api_key)."""
    command = RevokeApiKey(key_id=key_id, at=shop.clock.now())
    await shop.execute(command, replace(cause, correlation=str(key_id)))
    # Also where it was revoked before: a crash may have come between.
    await sessions.revoke_all(key_id)
