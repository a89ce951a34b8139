"""/api/v1/account: passwords, the change of address, sessions and two-factor log-in."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import JSONBody, PathParameter

from emporium.application import accounts, guest_orders, staff, two_factor
from emporium.http import browsers
from emporium.http.account import Code, Email, GivenPassword, LinkToken, Password, UseLink
from emporium.http.auth import person
from emporium.http.bodies import Body, Line
from emporium.http.caching import tagged
from emporium.http.problems import KINDS
from emporium.http.reply import Nothing, Reply
from emporium.http.request import Request, actor_of
from emporium.http.trials import Trial, evenly

__all__ = ["SecurityController"]

SessionId = Annotated[str, PathParameter(min_length=64, max_length=64, description="A session of the list.")]


class AskForReset(Body, frozen=True, kw_only=True):
    """Whose password is forgotten."""

    email: Email


class ResetPassword(Body, frozen=True, kw_only=True):
    """Another password, by the link that was sent."""

    token: LinkToken
    password: Password


class NewPassword(Body, frozen=True, kw_only=True):
    """Another password, for who knows the present one."""

    password: GivenPassword
    new_password: Password


class OwnPassword(Body, frozen=True, kw_only=True):
    """The account's password."""

    password: GivenPassword


class NewEmail(Body, frozen=True, kw_only=True):
    """Another address; `password` is the account's."""

    email: Email
    password: GivenPassword


class EmailConfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """One end has confirmed; `changed` once both have."""

    customer_id: UUID
    changed: bool


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is logged in; `current` is the caller's own."""

    session_id: str
    device: str | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """All devices that are logged in."""

    items: list[SessionView]


class CurrentSession(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's session. `csrf_token` is for browsers, whose session is in a cookie."""

    customer_id: UUID
    roles: list[str]
    expires_at: datetime
    csrf_token: str


class GivenCode(Body, frozen=True, kw_only=True):
    """A code."""

    code: Code


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Codes that each replace the authenticator once: shown only now."""

    recovery_codes: list[str]


class AcceptInvitation(Body, frozen=True, kw_only=True):
    """By the link that was sent; the password is for a new account."""

    token: LinkToken
    password: Password
    name: Line | None = None


class InvitationAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The account that is staff now."""

    customer_id: UUID


class SecurityController(Controller):
    """How accounts are kept safe."""

    path = "/account"
    tags = ["account"]

    @post("/password/reset/request", status_code=202)
    async def ask_for_reset(self, request: Request, data: JSONBody[AskForReset]) -> Reply[Nothing]:
        """Sends a link by which another password can be set. The answer tells nothing about the address."""
        cause = request.cause("anonymous", "")
        await evenly(accounts.request_password_reset(request.services.shop, email=data.email, cause=cause))
        return Reply.of(Nothing(), 202)

    @post("/password/reset", status_code=204)
    async def reset(self, request: Request, data: JSONBody[ResetPassword]) -> Reply[None]:
        """Sets the password by the link. All sessions end; the address is proved by it."""
        services = request.services
        customer_id = await accounts.reset_password(
            services.shop, token=data.token, password=data.password, cause=request.cause("", "")
        )
        await services.sessions.revoke_all(customer_id)
        profile = await accounts.profile(services.shop, customer_id)
        if profile is not None:
            # Whoever failed in the customer's name delays the customer no more.
            await Trial(request, profile.email).succeeded()
        await guest_orders.claim(services.shop, customer_id, request.cause(f"customer:{customer_id}", ""))
        return Reply(b"", 204)

    @post("/password", status_code=204, guards=[person])
    async def change_password(self, request: Request, data: JSONBody[NewPassword]) -> Reply[None]:
        """Another password. All other sessions end."""
        session = await request.customer()
        services = request.services
        trial = await Trial.begin(request, str(session.customer))
        await accounts.change_password(
            services.shop,
            customer_id=session.customer,
            old=data.password,
            new=data.new_password,
            cause=request.cause(actor_of(session), ""),
        )
        await trial.succeeded()
        await services.sessions.revoke_others(session.customer, session.id)
        return Reply(b"", 204)

    @post("/email", status_code=202, guards=[person])
    async def change_email(self, request: Request, data: JSONBody[NewEmail]) -> Reply[Nothing]:
        """Sends a link to the new address and one to the old: both have to be used."""
        session = await request.customer()
        shop = request.services.shop
        await prove(request, data.password)
        cause = request.cause(actor_of(session), "")
        await accounts.request_email_change(shop, customer_id=session.customer, email=data.email, cause=cause)
        return Reply.of(Nothing(), 202)

    @post("/email/confirm", status_code=200)
    async def confirm_email(self, request: Request, data: JSONBody[UseLink]) -> Reply[EmailConfirmed]:
        """One end of a change of address confirms it, by the link that was sent there."""
        shop = request.services.shop
        customer_id, changed = await accounts.confirm_email_change(shop, token=data.token, cause=request.cause("", ""))
        if changed:
            await guest_orders.claim(shop, customer_id, request.cause(f"customer:{customer_id}", ""))
        return Reply.of(EmailConfirmed(customer_id=customer_id, changed=changed))

    @get("/session", guards=[person])
    async def session(self, request: Request) -> Reply[CurrentSession]:
        """The caller's session, with the token that a browser's changes need."""
        session = await request.customer()
        content = CurrentSession(
            customer_id=session.customer,
            roles=list(session.roles),
            expires_at=session.expires_at,
            csrf_token=browsers.csrf_token(request.services.secret, session.id),
        )
        return Reply.of(content, 200, [(b"cache-control", b"no-store")])

    @get("/sessions", guards=[person], opt={"tagged": True})
    async def list_sessions(self, request: Request) -> Reply[SessionList]:
        """All devices that are logged in, the last used first."""
        session = await request.customer()
        items = [
            SessionView(
                session_id=one.id,
                device=one.device,
                created_at=one.created_at,
                last_seen_at=one.last_seen_at,
                expires_at=one.expires_at,
                current=one.id == session.id,
            )
            for one in await request.services.sessions.list(session.customer)
        ]
        return tagged(request, SessionList(items=items))

    @delete("/sessions/{session_id:str}", status_code=204, guards=[person])
    async def end_session(self, request: Request, session_id: SessionId) -> Reply[None]:
        """Logs a device out."""
        session = await request.customer()
        known = {one.id for one in await request.services.sessions.list(session.customer)}
        if session_id not in known:
            raise KINDS.not_found("There is no such session.")
        await request.services.sessions.revoke(session.customer, session_id)
        return Reply(b"", 204)

    @post("/two-factor", status_code=200, guards=[person])
    async def prepare(self, request: Request, data: JSONBody[OwnPassword]) -> Reply[two_factor.Prepared]:
        """A secret for an authenticator, which counts once `/two-factor/enable` has seen a code of it."""
        session = await request.customer()
        await prove(request, data.password)
        cause = request.cause(actor_of(session), "")
        prepared = await two_factor.prepare(request.services.shop, customer_id=session.customer, cause=cause)
        return Reply.of(prepared, 200, [(b"cache-control", b"no-store")])

    @post("/two-factor/enable", status_code=200, guards=[person])
    async def enable(self, request: Request, data: JSONBody[GivenCode]) -> Reply[RecoveryCodes]:
        """Turns two-factor log-in on. All other sessions end."""
        session = await request.customer()
        trial = await Trial.begin(request, str(session.customer))
        cause = request.cause(actor_of(session), "")
        codes = await two_factor.enable(
            request.services.shop, customer_id=session.customer, code=data.code, cause=cause
        )
        await trial.succeeded()
        await request.services.sessions.revoke_others(session.customer, session.id)
        return Reply.of(RecoveryCodes(recovery_codes=codes), 200, [(b"cache-control", b"no-store")])

    @post("/two-factor/recovery-codes", status_code=200, guards=[person])
    async def renew_codes(self, request: Request, data: JSONBody[GivenCode]) -> Reply[RecoveryCodes]:
        """Other recovery codes instead of those that are left."""
        session = await request.customer()
        trial = await Trial.begin(request, str(session.customer))
        cause = request.cause(actor_of(session), "")
        codes = await two_factor.renew_codes(
            request.services.shop, customer_id=session.customer, code=data.code, cause=cause
        )
        await trial.succeeded()
        return Reply.of(RecoveryCodes(recovery_codes=codes), 200, [(b"cache-control", b"no-store")])

    @post("/two-factor/disable", status_code=204, guards=[person])
    async def disable(self, request: Request, data: JSONBody[GivenCode]) -> Reply[None]:
        """Turns two-factor log-in off."""
        session = await request.customer()
        trial = await Trial.begin(request, str(session.customer))
        cause = request.cause(actor_of(session), "")
        await two_factor.disable(request.services.shop, customer_id=session.customer, code=data.code, cause=cause)
        await trial.succeeded()
        return Reply(b"", 204)

    @post("/invitations/accept", status_code=200)
    async def accept(self, request: Request, data: JSONBody[AcceptInvitation]) -> Reply[InvitationAccepted]:
        """Makes an account of staff by the link of an invitation; an account of its address keeps its password."""
        services = request.services
        customer_id, _ = await staff.accept(
            services.shop, token=data.token, password=data.password, name=data.name, cause=request.cause("", "")
        )
        # Sessions that began before hold the roles of before.
        await services.sessions.revoke_all(customer_id)
        return Reply.of(InvitationAccepted(customer_id=customer_id))


async def prove(request: Request, password: str) -> None:
    """Raises Problem (too_many_attempts), Rejected (wrong_password) unless it is the caller's password."""
    session = await request.customer()
    trial = await Trial.begin(request, str(session.customer))
    if not await accounts.has_password(request.services.shop, session.customer, password):
        raise accounts.WRONG_PASSWORD(field="password")
    await trial.succeeded()
