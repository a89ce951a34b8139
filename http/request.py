"""A request as the controllers see it: who asks, by which id, with a body of the declared type."""

import asyncio
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from litestar import Request as LitestarRequest
from litestar.datastructures import State

from emporium.application.ports import Meta
from emporium.http import browsers
from emporium.http.bodies import decode
from emporium.http.limits import client_of
from emporium.http.problems import KINDS, Wrong
from emporium.http.services import Services, Session

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

__all__ = ["Request", "actor_of", "cart_of_header", "refuse_unknown_parameters"]

_JSON: Final = (b"application/json", b"application/json; charset=utf-8")
_BEARER: Final = b"bearer "
_LONGEST_TOKEN: Final = 512

LONGEST_BODY: Final = 1_000_000
"""Bytes that a body may have, where its route's `longest_body` says nothing else."""

_DRAIN_BYTES: Final = 32_000_000
_DRAIN_SECONDS: Final = 5.0


_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine with a key, as a session: of its scopes the roles count that allow this method."""

    id: str
    customer: UUID
    roles: tuple[str, ...]
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    kind: str = "key"
    device: str | None = None

    @classmethod
    def of(cls, session: Session, method: str) -> "Machine":
        """The session of a key, for a request of this method. Raises Problem (forbidden)."""
        scopes = [scope.partition(":") for scope in session.roles]
        roles = {role for role, _, access in scopes if access == "write" or method in _SAFE}
        if not roles:
            raise KINDS.forbidden("This key has no scope that may change anything.")
        return cls(
            id=session.id,
            customer=session.customer,
            roles=tuple(sorted(roles)),
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            expires_at=session.expires_at,
        )


class Request(LitestarRequest[Any, Any, State]):
    """See the module. Headers are read from the scope's bytes: most requests need two of them."""

    @property
    def services(self) -> Services:
        """What the controllers work with."""
        services: Services = self.scope["services"]  # type: ignore[typeddict-item]
        return services

    @property
    def id(self) -> str:
        """The request's id."""
        request_id: str = self.scope["request_id"]  # type: ignore[typeddict-item]
        return request_id

    def header(self, name: bytes) -> bytes | None:
        """The (last) header of a lower-case name."""
        heads: dict[bytes, bytes] = self.scope["heads"]  # type: ignore[typeddict-item]
        return heads.get(name)

    async def body(self) -> bytes:
        """The whole body; that of nothing, where a route may be called without. Raises Problem (body_too_large)."""
        known = self._body
        if isinstance(known, bytes):
            return known
        announced = self.header(b"content-length")
        if announced is not None and (not announced.isdigit() or len(announced) > 9):
            raise KINDS.body_too_large()
        longest = self.route_handler.opt.get("longest_body", LONGEST_BODY)
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message: Any = await self.receive()
            if message["type"] == "http.disconnect":
                raise KINDS.malformed_body("The body ended early.")
            chunk: bytes = message["body"]
            size += len(chunk)
            if size > longest:
                await self._drain(size)
                raise KINDS.body_too_large()
            chunks.append(chunk)
            more = message["more_body"]
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if not body and "bodiless" in self.route_handler.opt:
            body = b"{}"
        self._body = body
        return body

    async def _drain(self, size: int) -> None:
        """Reads on, bounded, what is too large: who is cut off while sending may never see the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                more = True
                while more and size < _DRAIN_BYTES:
                    message: Any = await self.receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)

    async def json(self) -> Any:
        """The body, strictly of the type that the handler's `data` declares; for Litestar's own extractor."""
        content_type = self.header(b"content-type")
        if content_type is not None and content_type not in _JSON and not _is_json(content_type):
            raise KINDS.unsupported_media_type()
        if self.header(b"content-encoding") not in (None, b"identity"):
            raise KINDS.unsupported_media_type()
        return decode(await self.body(), _declared(self.route_handler))

    async def caller(self) -> Session | None:
        """The caller's session; None for an anonymous caller. Raises Problem for a token that is not valid."""
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        if "session" in scope:
            known: Session | None = scope["session"]
            return known
        given = self.header(b"authorization")
        session = None
        if given is not None:
            token = given[len(_BEARER) :] if given[: len(_BEARER)].lower() == _BEARER else b""
            if not 0 < len(token) <= _LONGEST_TOKEN:
                raise KINDS.not_authenticated()
            session = await self.services.sessions.resolve(token.decode("latin-1"))
            if session is None:
                raise KINDS.not_authenticated("The token is not valid any more: log in again.")
            if session.kind == "key":
                session = Machine.of(session, self.method)
        elif (cookies := self.header(b"cookie")) is not None:
            session = await self._of_browser(cookies)
        if session is not None:
            scope["more_headers"] += await self.services.limiter.admit("account", str(session.customer))
        scope["session"] = session
        return session

    async def _of_browser(self, cookies: bytes) -> Session | None:
        """The session of the cookie, which a browser sends by itself: changes need its token as well.

        One that has ended is none at all, for the browser goes on sending it.
        """
        token = browsers.token_of(cookies)
        session = None if token is None else await self.services.sessions.resolve(token)
        if session is None or session.kind == "key":
            return None
        if self.method not in _SAFE:
            browsers.check(self.services.secret, session.id, self.header(b"x-csrf-token"))
        return session

    @property
    def source(self) -> str:
        """The address that the request comes from; empty where it is not known, or this machine's own."""
        forwarded = self.header(b"x-forwarded-for")
        address = client_of(self.scope, forwarded, self.services.cares.trusted)  # type: ignore[arg-type]
        return "" if address is None or address.is_loopback else str(address)

    async def customer(self) -> Session:
        """The caller's session. Raises Problem (not_authenticated)."""
        session = await self.caller()
        if session is None:
            raise KINDS.not_authenticated()
        return session

    def cause(self, actor: str, correlation: object) -> Meta:
        """The Meta of what this request causes."""
        return Meta(str(correlation), f"request:{self.id}", actor, self.id)


async def refuse_unknown_parameters(request: LitestarRequest[Any, Any, State]) -> None:
    """For the application's `before_request`: a misspelt parameter must not pass for one that was left out."""
    if not request.scope["query_string"]:
        return
    known = _parameters(request.route_handler)
    wrong = [
        Wrong("This parameter is not known.", parameter=name) for name in request.query_params if name not in known
    ]
    if wrong:
        raise KINDS.invalid_parameter(errors=wrong)


@cache
def _parameters(handler: "HTTPRouteHandler") -> frozenset[str]:
    return frozenset(handler.parsed_fn_signature.parameters) - {"self", "request", "data"}


def actor_of(session: Session) -> str:
    """Who acts, for `Meta`."""
    if session.kind == "key":
        return f"key:{session.customer}"
    kind = "customer" if session.roles == ("customer",) else "staff"
    return f"{kind}:{session.customer}"


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.strip()
    return kind.strip() == b"application/json" and charset in (b"", b"charset=utf-8", b'charset="utf-8"')


@cache
def _declared(handler: "HTTPRouteHandler") -> type:
    return handler.parsed_fn_signature.parameters["data"].annotation  # type: ignore[no-any-return]


def cart_of_header(request: Request) -> UUID | None:
    """The anonymous cart that the header Cart-Token names. Raises Problem (invalid_header)."""
    given = request.header(b"cart-token")
    if given is None:
        return None
    cart = request.services.cart_tokens.read_cart(given.decode("latin-1"))
    if cart is None:
        raise KINDS.invalid_header("The Cart-Token is not one that this shop signed.")
    return cart
