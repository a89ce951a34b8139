"""Who is calling: bearer tokens of customers that can be revoked, and signed tokens of anonymous carts.

A session's token is 256 random bits, of which the database knows only the SHA-256. A known session is
resolved without a query; a revocation is obeyed at once by the process that does it, and by every
other one within `revocable.TRUST` (one second).
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.ports import Unavailable
from emporium.infra.eventstore.database import Database
from emporium.infra.revocable import RevocableCache, connected, repeated

__all__ = ["MIGRATIONS", "CartTokens", "Session", "Sessions", "open_sessions"]

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE emporium_sessions (
        token_hash bytea PRIMARY KEY,
        customer uuid NOT NULL,
        roles text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_seen_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revocation bigint UNIQUE,
        CHECK ((revoked_at IS NULL) = (revocation IS NULL))
    );
    CREATE INDEX emporium_sessions_by_customer ON emporium_sessions (customer);
    CREATE INDEX emporium_sessions_by_expiry ON emporium_sessions (expires_at);
    CREATE SEQUENCE emporium_revocations OWNED BY emporium_sessions.revocation;

    -- Revokes one session of a customer, or all (which is null). The lock makes the numbers grow in
    -- the order of the commits.
    CREATE FUNCTION emporium_revoke(whose uuid, which bytea) RETURNS SETOF bytea LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('emporium_revocations', 0));
        RETURN QUERY UPDATE emporium_sessions
            SET revoked_at = now(), revocation = nextval('emporium_revocations')
            WHERE customer = whose AND (which IS NULL OR token_hash = which) AND revoked_at IS NULL
            RETURNING token_hash;
    END $$;
    """,
)

_SESSION: Final = "token_hash, customer, roles, created_at, last_seen_at, expires_at"
_LEFT: Final = "extract(epoch FROM expires_at - now())::float8"
_ALIVE: Final = "revoked_at IS NULL AND expires_at > now()"

_CREATE: Final = """
INSERT INTO emporium_sessions (token_hash, customer, roles, expires_at)
VALUES (%s, %s, %s, now() + least(%s::interval, %s::interval)) ON CONFLICT DO NOTHING RETURNING 1
"""
_FIND: Final = f"SELECT {_SESSION}, {_LEFT} FROM emporium_sessions WHERE token_hash = ANY(%s) AND {_ALIVE}"
_LIST: Final = f"SELECT {_SESSION} FROM emporium_sessions WHERE customer = %s AND {_ALIVE} ORDER BY last_seen_at DESC"
_REVOKE: Final = "SELECT emporium_revoke(%s, %s)"
_TOUCH: Final = f"""
UPDATE emporium_sessions
SET last_seen_at = now(), expires_at = least(now() + %s::interval, created_at + %s::interval)
WHERE token_hash = ANY(%s) AND {_ALIVE} RETURNING token_hash, {_LEFT}
"""
_PURGE: Final = "DELETE FROM emporium_sessions WHERE expires_at < now() - interval '30 days' RETURNING 1"
_REVOCATIONS: Final = "SELECT revocation, token_hash FROM emporium_sessions WHERE revocation > %s ORDER BY revocation"
_NEWEST_REVOCATION: Final = "SELECT coalesce(max(revocation), 0) FROM emporium_sessions"

_SECRET_BYTES: Final = 32
_CAPACITY: Final = 50_000
_TOUCH_EVERY: Final = 300.0
_CART_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{64}", re.ASCII)


class Session(msgspec.Struct, frozen=True):
    """A customer's session.

    Attributes:
        id: names the session without giving access to it: the hash of its token, in hex.
        roles: what the customer may be: `customer`, `admin` ….
        last_seen_at: within five minutes.
        expires_at: when it ends if it is not used until then.
    """

    id: str
    customer: UUID
    roles: tuple[str, ...]
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class _Known(msgspec.Struct):
    session: Session | None
    deadline: float
    touch_at: float


_REVOKED: Final = _Known(None, float("-inf"), float("inf"))


class Sessions:
    """Creates, resolves and revokes sessions. Made by `open_sessions`.

    Args:
        database: where the sessions lie.
        apart: the same by another connection, for revocations.
        idle: a session ends when it was not used for so long.
        longest: a session ends in any case so long after its beginning.
    """

    def __init__(
        self,
        database: Database,
        apart: Database,
        *,
        idle: timedelta = timedelta(days=14),
        longest: timedelta = timedelta(days=90),
        capacity: int = _CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._apart = apart
        self._idle = idle
        self._longest = longest
        self._touch_every = min(_TOUCH_EVERY, idle.total_seconds() / 10)
        self._clock = clock
        self._cache: RevocableCache[bytes, _Known] = RevocableCache(
            self._revocations, self._newest_revocation, revoked=_REVOKED, capacity=capacity, clock=clock
        )
        self._touched: set[bytes] = set()

    async def start(self) -> None:
        """To be called once, before all else."""
        await self._cache.start()

    async def catch_up(self) -> None:
        """Obeys the revocations of other processes once."""
        await self._cache.catch_up()

    async def create(self, customer: UUID, roles: Sequence[str]) -> str:
        """The token of a new session, 43 characters; it is stored nowhere. Raises Unavailable."""
        token = secrets.token_urlsafe(_SECRET_BYTES)
        await self._database.query(_CREATE, [_hash(token), customer, list(roles), self._idle, self._longest])
        return token

    async def resolve(self, token: str) -> Session | None:
        """The session of a token; None for a token that is unknown, revoked or expired. Raises Unavailable."""
        key = _hash(token)
        known = self._cache.get(key)
        if known is None:
            await self._cache.fetch((key,), self._find)
            known = self._cache.get(key)
        now = self._clock()
        if known is None or now >= known.deadline:
            return None
        if now >= known.touch_at:
            known.touch_at = now + self._touch_every
            self._touched.add(key)
        return known.session

    async def list(self, customer: UUID) -> list[Session]:
        """The customer's living sessions, the last used first. Raises Unavailable."""
        return [_session(*row) for row in await self._database.query(_LIST, [customer])]

    async def revoke(self, customer: UUID, session_id: str) -> None:
        """Ends one session, if it is the customer's. Raises Unavailable."""
        with suppress(ValueError):
            await self._revoke(customer, bytes.fromhex(session_id))

    async def revoke_all(self, customer: UUID) -> None:
        """Ends all sessions of the customer. Raises Unavailable."""
        await self._revoke(customer, None)

    async def purge(self) -> int:
        """Forgets the sessions that ended more than 30 days ago; how many. Raises Unavailable."""
        return len(await self._database.query(_PURGE, []))

    async def note_use(self) -> None:
        """Writes down which sessions were used, which puts off their end. Raises Unavailable."""
        touched, self._touched = self._touched, set()
        if not touched:
            return
        began = self._clock()
        try:
            rows = await self._database.query(_TOUCH, [self._idle, self._longest, list(touched)])
        except BaseException:
            self._touched |= touched
            raise
        for key, left in rows:
            known = self._cache.get(key)
            if known is not None and known is not _REVOKED:
                known.deadline = began + left

    async def _revoke(self, customer: UUID, key: bytes | None) -> None:
        for (revoked,) in await self._database.query(_REVOKE, [customer, key]):
            self._cache.revoke(revoked)

    async def _find(self, keys: Sequence[bytes]) -> Mapping[bytes, _Known]:
        began = self._clock()
        rows = await self._database.query(_FIND, [list(keys)])
        return {row[0]: _Known(_session(*row[:-1]), began + row[-1], began) for row in rows}

    async def _revocations(self, after: int) -> Sequence[tuple[int, bytes]]:
        return [(number, key) for number, key in await self._apart.query(_REVOCATIONS, [after])]

    async def _newest_revocation(self) -> int:
        [[newest]] = await self._apart.query(_NEWEST_REVOCATION, [])
        return int(newest)


@asynccontextmanager
async def open_sessions(dsn: str, idle: timedelta, longest: timedelta) -> AsyncIterator[Sessions]:
    """The sessions in a migrated database; the other arguments are those of `Sessions`. Raises Unavailable."""
    async with connected(dsn) as (database, apart):
        sessions = Sessions(database, apart, idle=idle, longest=longest)
        await sessions.start()
        async with repeated(sessions.catch_up, sessions.note_use):
            yield sessions
        with suppress(Unavailable):
            await sessions.note_use()


class CartTokens:
    """Tokens that name an anonymous cart and that nobody else can make; nothing of them is stored.

    Args:
        secret: at least 32 bytes that all gateways share, such as `vault.fingerprint("secret", "cart tokens")`.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ValueError(f"a secret has at least {_SECRET_BYTES} bytes")
        self._secret = secret

    def sign_cart(self, cart: UUID) -> str:
        """The cart's token, 64 characters that need no quoting in a URL or header."""
        return base64.urlsafe_b64encode(cart.bytes + self._signature(cart)).decode()

    def read_cart(self, token: str) -> UUID | None:
        """The cart that the token names; None for a token that `sign_cart` did not make."""
        if not _CART_TOKEN.fullmatch(token):
            return None
        content = base64.urlsafe_b64decode(token)
        cart = UUID(bytes=content[:16])
        return cart if hmac.compare_digest(content[16:], self._signature(cart)) else None

    def _signature(self, cart: UUID) -> bytes:
        return hmac.digest(self._secret, b"emporium cart" + cart.bytes, "sha256")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _session(
    key: bytes, customer: UUID, roles: Sequence[str], created_at: datetime, last_seen_at: datetime, expires_at: datetime
) -> Session:
    return Session(key.hex(), customer, tuple(roles), created_at, last_seen_at, expires_at)
