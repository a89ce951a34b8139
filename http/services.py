"""What the gateway needs from the outside; the composition root fills it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from emporium.application.shop import Offers, Shop
from emporium.http.limits import Limiter, Networks
from emporium.projections.consistency import Waiter
from emporium.projections.model import Connection

__all__ = ["Cares", "Media", "MediaFile", "Reads", "Services", "Session", "Sessions", "Tokens"]

T = TypeVar("T")


class Session(Protocol):
    """A logged-in account. `id` names the session without giving access to it."""

    @property
    def id(self) -> str: ...

    @property
    def customer(self) -> UUID: ...

    @property
    def roles(self) -> tuple[str, ...]: ...

    @property
    def expires_at(self) -> datetime: ...


class Sessions(Protocol):
    """Bearer tokens of accounts; a revocation is obeyed by every process within a second. All raise Unavailable."""

    async def create(self, customer: UUID, roles: Sequence[str]) -> str:
        """The token of a new session."""
        ...

    async def resolve(self, token: str) -> Session | None:
        """The session of a token that is known, not revoked and not expired."""
        ...

    async def revoke(self, customer: UUID, session_id: str) -> None:
        """Ends a session of the customer."""
        ...


class Tokens(Protocol):
    """Signed tokens that name one thing and that nobody else can make."""

    def sign_cart(self, cart: UUID) -> str: ...

    def read_cart(self, token: str) -> UUID | None: ...


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work`, which only reads, returns. Raises Unavailable."""
        ...


class MediaFile(Protocol):
    """A file that pages show."""

    @property
    def content(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Media(Protocol):
    """The pictures; does file work, so not for the event loop."""

    def get(self, name: str) -> MediaFile | None:
        """The file of a name; None where there is none, whatever the name holds."""
        ...


class Cares(msgspec.Struct, frozen=True, kw_only=True):
    """How the edge treats its callers.

    Attributes:
        trusted: the proxies whose X-Forwarded-For is believed.
        origins: the web origins whose pages may call the API; `*` is every one.
        timeout: seconds that a request may take.
    """

    trusted: Networks = ()
    origins: tuple[str, ...] = ()
    timeout: float = 30.0


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """All that the controllers work with.

    Attributes:
        reads: the read models; waiter: knows how far they are.
        recent: offers up to three seconds old, for putting something into a cart.
        cart_tokens: name anonymous carts; order_tokens: guests' orders. Each with a secret of its own.
        secret: at least 32 bytes that all gateways share; keys the hashes of idempotent requests.
        limiter: admits callers, or refuses them for a while.
        ready: what stands in the way of being ready, by name; empty where nothing does.
    """

    shop: Shop
    reads: Reads
    waiter: Waiter
    recent: Offers
    sessions: Sessions
    cart_tokens: Tokens
    order_tokens: Tokens
    secret: bytes
    media: Media
    limiter: Limiter
    cares: Cares = Cares()
    ready: Callable[[], Awaitable[Mapping[str, str]]]
