"""Rate limits: who may ask how often, by class of route, with the allowances that all processes share."""

import math
import time
from collections import OrderedDict
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, Protocol

import msgspec

from emporium.application.ports import Unavailable
from emporium.http.problems import KINDS, Problem

__all__ = ["Limit", "Limiter", "Limits", "Networks", "Rates", "class_of", "client_of"]

_HANDS: Final = 10
"""All processes together hold at most a tenth of a limit that is not spent: so exact is it."""

_KEPT: Final = 50_000


class Limit(msgspec.Struct, frozen=True):
    """So many requests within so many seconds; the whole amount may come at once."""

    amount: int
    seconds: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed to one address by class of route, and to one account or API key.

    Attributes:
        auth: log-in, registration and all that guesses a secret or sends a mail.
        checkout: quotes and orders.
        write: everything else that changes something.
        read: the rest.
        account: everything that one account does, whatever its addresses.
    """

    auth: Limit = Limit(30, 60)
    checkout: Limit = Limit(120, 60)
    write: Limit = Limit(1_200, 60)
    read: Limit = Limit(6_000, 60)
    account: Limit = Limit(30_000, 60)


class Drawn(Protocol):
    @property
    def granted(self) -> int: ...

    @property
    def remaining(self) -> int: ...

    @property
    def wait(self) -> float: ...


class Rates(Protocol):
    """Where the allowances are."""

    async def draw(self, key: bytes, want: int, amount: int, seconds: float) -> Drawn:
        """Up to `want` tokens of a key. Raises Unavailable."""
        ...


class _Purse:
    """The tokens of one key that this process holds, or until when there are none."""

    __slots__ = ("closed_until", "drawn_at", "left", "remaining")

    def __init__(self) -> None:
        self.left = 0
        self.remaining = 0
        self.drawn_at = 0.0
        self.closed_until = 0.0


class Limiter:
    """Admits requests or raises Problem (too_many_requests).

    While the allowances cannot be asked for, everybody is admitted: what needs the database fails by itself.

    Args:
        secret: keys the digests under which addresses and accounts are counted.
        processes: how many gateways share the allowances.
    """

    def __init__(self, rates: Rates, limits: Limits, secret: bytes, processes: int = 1) -> None:
        self._rates = rates
        self._parts = _HANDS * processes
        self._limits = limits
        self._secret = secret[:64]
        self._purses: OrderedDict[str, _Purse] = OrderedDict()
        self._policies = {
            name: f'"{name}";q={limit.amount};w={limit.seconds}'.encode()
            for name, limit in msgspec.structs.asdict(limits).items()
        }

    async def admit(self, name: str, who: str) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Counts one request of a class; the headers that tell what is left."""
        limit: Limit = getattr(self._limits, name)
        key = f"{name} {who}"
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = _Purse()
            if len(self._purses) > _KEPT:
                self._purses.popitem(last=False)
        now = time.monotonic()
        if purse.left and now - purse.drawn_at > limit.seconds:
            purse.left = 0
        while not purse.left:
            if now < purse.closed_until:
                raise self._refusal(name, limit, purse.closed_until - now)
            await self._draw(key, limit, purse)
        purse.left -= 1
        left = purse.left + purse.remaining
        refill = math.ceil((limit.amount - left) * limit.seconds / limit.amount)
        return (b"ratelimit-policy", self._policies[name]), (
            b"ratelimit",
            b'"%b";r=%d;t=%d' % (name.encode(), left, refill),
        )

    async def _draw(self, key: str, limit: Limit, purse: _Purse) -> None:
        digest = blake2b(key.encode(), key=self._secret, digest_size=16).digest()
        want = max(1, limit.amount // self._parts)
        try:
            drawn = await self._rates.draw(digest, want, limit.amount, float(limit.seconds))
        except Unavailable:
            purse.left += 1
            return
        purse.drawn_at = time.monotonic()
        purse.left += drawn.granted
        purse.remaining = drawn.remaining
        purse.closed_until = purse.drawn_at + drawn.wait

    def _refusal(self, name: str, limit: Limit, wait: float) -> Problem:
        seconds = max(1, math.ceil(wait))
        return KINDS.too_many_requests(
            f"More than {limit.amount} requests within {limit.seconds} seconds: try again in {seconds}.",
            headers={
                "Retry-After": str(seconds),
                "RateLimit-Policy": self._policies[name].decode(),
                "RateLimit": f'"{name}";r=0;t={seconds}',
            },
        )


_GUESSING: Final = (
    "/api/v1/account/register",
    "/api/v1/account/login",
    "/api/v1/account/password",
    "/api/v1/account/verif",
    "/api/v1/account/email",
    "/api/v1/account/two-factor",
    "/api/v1/account/invitations",
    "/api/v1/account/erasure",
)
_UNLIMITED: Final = ("/health/", "/metrics", "/api/v1/payments/webhooks/", "/api/v1/shipments/webhooks/")


def class_of(method: str, path: str) -> str | None:
    """The class of a request; None for what is never limited (probes, signed messages of our counterparts)."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return None if path.startswith(_UNLIMITED) else "read"
    if path.startswith(_GUESSING):
        return "auth"
    if path.startswith("/api/v1/checkout"):
        return "checkout"
    return None if path.startswith(_UNLIMITED) else "write"


Networks = tuple[IPv4Network | IPv6Network, ...]


def client_of(scope: dict[str, Any], forwarded: bytes | None, trusted: Networks) -> IPv4Address | IPv6Address | None:
    """Who really asks: the last address in X-Forwarded-For that is no trusted proxy's; None where nobody can tell.

    What an untrusted peer says of others is not believed.
    """
    peer = scope.get("client")
    try:
        address = ip_address(peer[0]) if peer else None
    except ValueError:
        return None
    if address is None or forwarded is None or not _within(address, trusted):
        return address
    for text in reversed(forwarded.decode("latin-1").split(",")):
        try:
            address = ip_address(text.strip())
        except ValueError:
            return address
        if not _within(address, trusted):
            return address
    return address


def _within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)
