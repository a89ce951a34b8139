"""/api/v1/admin: who is staff, invitations, and machines' keys; for administrators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from emporium.application import staff, two_factor
from emporium.application.ports import Vault
from emporium.domain.customer import CUSTOMER, NO_SUCH_CUSTOMER
from emporium.http.account import Email
from emporium.http.auth import Needs
from emporium.http.bodies import Body, Line
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import accounts as rows
from emporium.projections.accounts import ACCOUNTS, AccountRow, InvitationRow, KeyRow

__all__ = ["StaffController"]

Role = Annotated[str, Meta(pattern="^[a-z_]{1,30}$", examples=["support"])]
Scope = Annotated[str, Meta(pattern="^[a-z_]{1,30}:(read|write)$", examples=["warehouse:write"])]
AccountId = Annotated[UUID, PathParameter(description="A member of staff.")]
InvitationId = Annotated[UUID, PathParameter(description="An invitation.")]
KeyId = Annotated[UUID, PathParameter(description="A machine's key.")]


class Invite(Body, frozen=True, kw_only=True):
    """Who shall become a member of staff, and what they may do."""

    email: Email
    roles: Annotated[list[Role], Meta(min_length=1, max_length=7)]


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """The invitation that was sent."""

    invitation_id: UUID


class InvitationView(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation; `status` is open, accepted or withdrawn. The address of a closed one is forgotten."""

    invitation_id: UUID
    status: str
    email: str
    roles: tuple[str, ...]
    invited_by: str
    invited_at: datetime
    expires_at: datetime


class StaffView(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff."""

    customer_id: UUID
    email: str | None
    name: str | None
    roles: tuple[str, ...]
    verified: bool
    two_factor: bool
    registered_at: datetime


class Roles(Body, frozen=True, kw_only=True):
    """All roles that the account shall have; with `customer` alone it is no staff any more."""

    roles: Annotated[list[Role], Meta(min_length=1, max_length=7)]


class NewKey(Body, frozen=True, kw_only=True):
    """A key for a machine. A scope is `role:read` or `role:write`."""

    name: Line
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=20)]
    days: Annotated[int, Meta(ge=1, le=400, description="Days for which it counts.")] = 90


class KeyMade(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The key, in the first answer only: for `Authorization: Bearer …`."""

    key_id: UUID
    key: str | None = None


class StaffController(Controller):
    """Members of staff, and machines."""

    path = "/admin"
    tags = ["admin"]
    guards = [Needs("admin", person=True)]

    @get("/staff", opt={"tagged": True, "models": ("accounts",)})
    async def list_staff(self, request: Request, limit: Limit = 50, cursor: Cursor = None) -> Reply[Listing[StaffView]]:
        """All accounts that may do more than a customer, the newest first."""
        await includes(request, ACCOUNTS.name)
        page = await request.services.reads.run(lambda connection: rows.staff(connection, limit=limit, cursor=cursor))
        vault = request.services.shop.vault
        await vault.load_keys([row.customer_id for row in page.items])
        return tagged(request, listing(request, page, lambda row: _member(vault, row)))

    @put("/staff/{customer_id:uuid}/roles", status_code=204)
    async def set_roles(self, request: Request, customer_id: AccountId, data: JSONBody[Roles]) -> Reply[None]:
        """Gives an account exactly these roles; its sessions end."""
        session = await request.customer()
        await staff.set_roles(
            request.services.shop,
            request.services.sessions,
            customer_id=customer_id,
            roles=data.roles,
            by=session.customer,
            cause=request.cause(actor_of(session), ""),
        )
        return Reply(b"", 204)

    @delete("/staff/{customer_id:uuid}/sessions", status_code=204)
    async def end_sessions(self, request: Request, customer_id: AccountId) -> Reply[None]:
        """Logs an account out of all devices."""
        await _known(request, customer_id)
        await request.services.sessions.revoke_all(customer_id)
        return Reply(b"", 204)

    @delete("/staff/{customer_id:uuid}/two-factor", status_code=204)
    async def disable_two_factor(self, request: Request, customer_id: AccountId) -> Reply[None]:
        """Turns an account's two-factor log-in off, for whoever has lost both device and recovery codes."""
        session = await request.customer()
        cause = request.cause(actor_of(session), "")
        await two_factor.disable(request.services.shop, customer_id=customer_id, code=None, cause=cause)
        await request.services.sessions.revoke_all(customer_id)
        return Reply(b"", 204)

    @get("/invitations", opt={"tagged": True, "models": ("accounts",)})
    async def list_invitations(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[InvitationView]]:
        """All invitations, the newest first."""
        await includes(request, ACCOUNTS.name)
        page = await request.services.reads.run(
            lambda connection: rows.invitations(connection, limit=limit, cursor=cursor)
        )
        vault = request.services.shop.vault
        await vault.load_keys([row.invitation_id for row in page.items])
        return tagged(request, listing(request, page, lambda row: _invitation(vault, row)))

    @post("/invitations", status_code=201, opt={"idempotent": True})
    async def invite(self, request: Request, data: JSONBody[Invite]) -> Reply[Invited]:
        """Sends a link by which the owner of the address becomes a member of staff."""
        session = await request.customer()
        return await once(
            request,
            "accounts",
            actor_of(session),
            lambda made: Answer.of(Invited(invitation_id=made), location="/api/v1/admin/invitations"),
            lambda keep: staff.invite(
                request.services.shop,
                email=data.email,
                roles=data.roles,
                cause=request.cause(actor_of(session), ""),
                keep=keep,
            ),
        )

    @delete("/invitations/{invitation_id:uuid}", status_code=204)
    async def withdraw(self, request: Request, invitation_id: InvitationId) -> Reply[None]:
        """Makes the link worth nothing."""
        session = await request.customer()
        cause = request.cause(actor_of(session), "")
        await staff.withdraw(request.services.shop, invitation_id=invitation_id, cause=cause)
        return Reply(b"", 204)

    @get("/api-keys", opt={"tagged": True, "models": ("accounts",)})
    async def list_keys(self, request: Request, limit: Limit = 50, cursor: Cursor = None) -> Reply[Listing[KeyRow]]:
        """All machines' keys, the newest first; the keys themselves are not known any more."""
        await includes(request, ACCOUNTS.name)
        page = await request.services.reads.run(lambda connection: rows.keys(connection, limit=limit, cursor=cursor))
        return tagged(request, listing(request, page, lambda row: row))

    @post("/api-keys", status_code=201, opt={"idempotent": True})
    async def create_key(self, request: Request, data: JSONBody[NewKey]) -> Reply[KeyMade]:
        """Makes a key for a machine. It is shown in this answer only, not when the answer is repeated."""
        session = await request.customer()
        key = staff.new_key()
        reply = await once(
            request,
            "accounts",
            actor_of(session),
            lambda made: Answer.of(KeyMade(key_id=made), location="/api/v1/admin/api-keys"),
            lambda keep: staff.create_key(
                request.services.shop,
                request.services.sessions,
                key=key,
                name=data.name,
                scopes=data.scopes,
                days=data.days,
                cause=request.cause(actor_of(session), ""),
                keep=keep,
            ),
        )
        if all(name != b"idempotency-replayed" for name, _ in reply.raw_headers):
            reply.body = reply.body[:-1] + b',"key":"' + key.encode() + b'"}'
        reply.raw_headers.append((b"cache-control", b"no-store"))
        return reply

    @delete("/api-keys/{key_id:uuid}", status_code=204)
    async def revoke_key(self, request: Request, key_id: KeyId) -> Reply[None]:
        """Makes the key worth nothing, in every process within a second."""
        session = await request.customer()
        cause = request.cause(actor_of(session), "")
        await staff.revoke_key(request.services.shop, request.services.sessions, key_id=key_id, cause=cause)
        return Reply(b"", 204)


async def _known(request: Request, customer_id: UUID) -> None:
    customer, _ = await request.services.shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        raise NO_SUCH_CUSTOMER()


def _member(vault: Vault, row: AccountRow) -> StaffView:
    return StaffView(
        customer_id=row.customer_id,
        email=None if row.email is None else vault.unseal(row.email, row.customer_id, "email"),
        name=None if row.name is None else vault.unseal(row.name, row.customer_id, "name"),
        roles=row.roles,
        verified=row.verified,
        two_factor=row.two_factor,
        registered_at=row.registered_at,
    )


def _invitation(vault: Vault, row: InvitationRow) -> InvitationView:
    return InvitationView(
        invitation_id=row.invitation_id,
        status=row.status,
        email=vault.unseal(row.email, row.invitation_id, "email"),
        roles=row.roles,
        invited_by=row.invited_by,
        invited_at=row.invited_at,
        expires_at=row.expires_at,
    )
