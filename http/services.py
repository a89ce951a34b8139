"""What the gateway needs from the outside; the composition root fills it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from emporium.application.completions import Completions
from emporium.application.erasure import Traces
from emporium.application.gathered import Gathered
from emporium.application.live import Live
from emporium.application.notifications import Composer
from emporium.application.ports import Files, Media, Papers, Pictures, Webhooks
from emporium.application.search import Search
from emporium.application.search_notes import Notes
from emporium.application.search_rules import CurrentRules
from emporium.application.shop import Offers, Shop
from emporium.http.limits import Limiter, Networks
from emporium.projections.adviser import Adviser
from emporium.projections.consistency import Waiter
from emporium.projections.model import Connection
from emporium.projections.search_log import Noted
from emporium.projections.whole_pages import Asked, WholePage

__all__ = ["Attempts", "Cares", "Reads", "Services", "Session", "Sessions", "Tokens"]

T = TypeVar("T")


class Session(Protocol):
    """A logged-in account, or a machine (`kind` is `key`). `id` names the session without giving access to it."""

    @property
    def id(self) -> str: ...

    @property
    def customer(self) -> UUID: ...

    @property
    def roles(self) -> tuple[str, ...]: ...

    @property
    def kind(self) -> str: ...

    @property
    def device(self) -> str | None: ...

    @property
    def created_at(self) -> datetime: ...

    @property
    def last_seen_at(self) -> datetime: ...

    @property
    def expires_at(self) -> datetime: ...


class Sessions(Protocol):
    """Bearer tokens of accounts; a revocation is obeyed by every process within a second. All raise Unavailable."""

    async def create(self, customer: UUID, roles: Sequence[str], device: str | None = None) -> str:
        """The token of a new session; `device` is what the device calls itself."""
        ...

    async def is_new_device(self, customer: UUID, device: str | None) -> bool:
        """Whether the customer has had sessions, but none with such a device."""
        ...

    async def admit(self, key: UUID, scopes: Sequence[str], digest: bytes, expires_at: datetime) -> None:
        """Lets a machine in with the key of this SHA-256."""
        ...

    async def list(self, customer: UUID) -> Sequence[Session]:
        """The living sessions, the last used first."""
        ...

    async def resolve(self, token: str) -> Session | None:
        """The session of a token that is known, not revoked and not expired."""
        ...

    async def revoke(self, customer: UUID, session_id: str) -> None:
        """Ends a session of the customer."""
        ...

    async def revoke_all(self, customer: UUID) -> None:
        """Ends all sessions of the customer, or a machine's key."""
        ...

    async def revoke_others(self, customer: UUID, session_id: str) -> None:
        """Ends all sessions of the customer but this one."""
        ...

    async def forget(self, customer: UUID) -> None:
        """Ends all sessions, and forgets with what devices they were."""
        ...


class Attempts(Protocol):
    """Attempts to log in, counted by keyed hashes of the address, the source and both. All raise Unavailable."""

    async def begin(self, address: bytes, source: bytes, pair: bytes) -> float:
        """Counts an attempt as failed until `succeeded` says otherwise; or the seconds to wait."""
        ...

    async def succeeded(self, address: bytes, source: bytes, pair: bytes) -> None: ...


class Tokens(Protocol):
    """Signed tokens that name one thing and that nobody else can make."""

    def sign_cart(self, cart: UUID) -> str: ...

    def read_cart(self, token: str) -> UUID | None: ...


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work`, which only reads, returns. Raises Unavailable."""
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
        reads: the read models; waiter: knows how far they are; pages: products' pages among them.
        recent: offers up to three seconds old, for putting something into a cart.
        cart_tokens: name anonymous carts; order_tokens: guests' orders. Each with a secret of its own.
        secret: at least 32 bytes that all gateways share; keys the hashes of idempotent requests.
        limiter: admits callers, or refuses them for a while.
        staff_two_factor: whether staff are no more than customers without a second factor.
        adviser: suggests products.
        search: finds products, by `rules` of staff; completions: of what is being typed; notes: of searches.
        live: tells who waits for an order that it moved.
        traces: throws away what an erased customer has left beside events.
        media: keeps what pages show, files: what nobody else sees; pictures: looks at those from people.
        composer: puts messages into words; papers: documents on pages; webhooks: knows which addresses may be called.
        ready: what stands in the way of being ready, by name; empty where nothing does.
    """

    shop: Shop
    reads: Reads
    waiter: Waiter
    pages: Gathered[Asked, WholePage]
    recent: Offers
    sessions: Sessions
    attempts: Attempts
    cart_tokens: Tokens
    order_tokens: Tokens
    secret: bytes
    media: Media
    traces: Traces
    files: Files
    pictures: Pictures
    search: Search
    adviser: Adviser
    live: Live
    rules: CurrentRules
    completions: Completions
    notes: Notes[Noted]
    composer: Composer
    papers: Papers
    webhooks: Webhooks
    limiter: Limiter
    cares: Cares = Cares()
    staff_two_factor: bool = False
    ready: Callable[[], Awaitable[Mapping[str, str]]]
