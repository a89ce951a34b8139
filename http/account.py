"""/api/v1/account: register, log in, log out, who am I."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody
from msgspec import Meta

from emporium.application import accounts, carts
from emporium.http.auth import signed_in
from emporium.http.bodies import Body, Line
from emporium.http.caching import tagged
from emporium.http.consistency import token_after
from emporium.http.idempotency import Answer, once
from emporium.http.problems import KINDS
from emporium.http.reply import Headers, Reply
from emporium.http.request import Request, cart_of_header

__all__ = ["AccountController"]

_EMAIL = Annotated[str, Meta(min_length=3, max_length=254, description="E-mail address.", examples=["ada@example.org"])]
_PASSWORD = Annotated[str, Meta(min_length=8, max_length=256, description="8 to 256 characters.")]


class Register(Body, frozen=True, kw_only=True):
    """A new account."""

    email: _EMAIL
    password: _PASSWORD
    name: Line | None = None


class LogIn(Body, frozen=True, kw_only=True):
    """Who wants to log in."""

    email: _EMAIL
    password: Annotated[str, Meta(max_length=1024)]


class Registered(msgspec.Struct, frozen=True):
    """The account that was made."""

    customer_id: UUID


class LoggedIn(msgspec.Struct, frozen=True):
    """A session. `token` goes into `Authorization: Bearer …`; `cart_merged`: the anonymous cart was taken over."""

    token: str
    token_type: str
    customer_id: UUID
    roles: list[str]
    cart_merged: bool


class AccountController(Controller):
    """Accounts."""

    path = "/account"
    tags = ["account"]

    @post("/register", status_code=201, opt={"idempotent": True})
    async def register(self, request: Request, data: JSONBody[Register]) -> Reply[Registered]:
        """Makes an account."""
        return await once(
            request,
            "accounts",
            "anonymous",
            lambda customer_id: Answer.of(Registered(customer_id), location="/api/v1/account/me"),
            lambda keep: accounts.register(
                request.services.shop,
                email=data.email,
                password=data.password,
                name=data.name,
                cause=request.cause("", ""),
                keep=keep,
            ),
        )

    @post("/login", status_code=200)
    async def log_in(self, request: Request, data: JSONBody[LogIn]) -> Reply[LoggedIn]:
        """Begins a session. An anonymous cart (header Cart-Token) moves into the account's cart."""
        services = request.services
        source = cart_of_header(request)
        customer = await accounts.log_in(services.shop, email=data.email, password=data.password)
        if customer is None:
            raise KINDS.invalid_credentials()
        roles = sorted(customer.roles)
        token = await services.sessions.create(customer.customer_id, roles)
        merged, headers = False, Headers()
        if source is not None:
            merged, committed = await carts.merge(
                services.shop,
                source=source,
                customer_id=customer.customer_id,
                cause=request.cause(f"customer:{customer.customer_id}", source),
            )
            if committed is not None and committed.position:
                headers.append((b"consistency-token", token_after(request, "ordering", committed.position)))
        headers.append((b"cache-control", b"no-store"))
        return Reply.of(LoggedIn(token, "Bearer", customer.customer_id, roles, merged), 200, headers)

    @post("/logout", status_code=204, guards=[signed_in])
    async def log_out(self, request: Request) -> Reply[None]:
        """Ends the session."""
        session = await request.customer()
        await request.services.sessions.revoke(session.customer, session.id)
        return Reply(b"", 204)

    @get("/me", guards=[signed_in], opt={"tagged": True})
    async def me(self, request: Request) -> Reply[accounts.Profile]:
        """The caller's own account."""
        session = await request.customer()
        profile = await accounts.profile(request.services.shop, session.customer)
        if profile is None:
            raise KINDS.not_found()
        return tagged(request, profile)
