"""Who is calling: tokens of accounts and machines that can be revoked, and signed tokens of anonymous carts.

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
import psycopg

from emporium.application.ports import Unavailable
from emporium.infra.eventstore.database import Database
from emporium.infra.revocable import RevocableCache, connected, repeated

__all__ = ["MIGRATIONS", "CartTokens", "Session", "Sessions", "end_sessions", "open_sessions"]

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
    """
    -- A key is a machine's: its customer is the key's id, its roles are scopes, and use does not put off its end.
    ALTER TABLE emporium_sessions
        ADD COLUMN kind text NOT NULL DEFAULT 'account' CHECK (kind IN ('account', 'key')),
        ADD COLUMN device text,
        ADD COLUMN model text;

    -- Failed attempts by keyed hashes of what they were made on and from. A trusted one has succeeded before.
    CREATE TABLE emporium_attempts (
        key bytea PRIMARY KEY,
        failures bigint NOT NULL,
        failed_at timestamptz NOT NULL,
        until timestamptz NOT NULL,
        trusted_until timestamptz
    );
    CREATE INDEX emporium_attempts_by_time ON emporium_attempts (failed_at);

    -- Counts an attempt as failed before it is made, so that many at once do not pass together; or tells how many
    -- seconds to wait, and then counts nothing. Of a pair of address and source that has succeeded before only its
    -- own failures matter.
    CREATE FUNCTION emporium_attempt(address bytea, source bytea, pair bytea) RETURNS float8 LANGUAGE plpgsql AS $$
    DECLARE
        counted bytea[] := ARRAY[address, source, pair];
        free bigint[] := ARRAY[5, 20, 5];
        present timestamptz;
        waits float8;
    BEGIN
        PERFORM pg_advisory_xact_lock(n) FROM (
            SELECT DISTINCT hashtextextended('emporium attempt ' || encode(k, 'hex'), 0) AS n
            FROM unnest(ARRAY[address, source]) k ORDER BY n
        ) AS locks;
        present := clock_timestamp();
        SELECT extract(epoch FROM max(a.until) - present) INTO waits FROM emporium_attempts a
        WHERE a.key = pair OR a.key IN (address, source) AND NOT EXISTS (
            SELECT FROM emporium_attempts t WHERE t.key = pair AND t.trusted_until > present);
        IF waits > 0 THEN
            RETURN waits;
        END IF;
        FOR i IN 1..3 LOOP
            INSERT INTO emporium_attempts AS a (key, failures, failed_at, until)
            VALUES (counted[i], 1, present, present)
            ON CONFLICT (key) DO UPDATE SET
                failures = CASE WHEN a.failed_at < present - interval '1 day' THEN 1 ELSE a.failures + 1 END,
                failed_at = present,
                until = CASE WHEN a.failed_at >= present - interval '1 day' AND a.failures >= free[i]
                    THEN present + least(power(2, least(a.failures - free[i], 20)), 60) * interval '1 second'
                    ELSE present END;
        END LOOP;
        RETURN 0;
    END $$;
    """,
)

_SESSION: Final = "token_hash, customer, roles, created_at, last_seen_at, expires_at, kind, device"
_LEFT: Final = "extract(epoch FROM expires_at - now())::float8"
_ALIVE: Final = "revoked_at IS NULL AND expires_at > now()"

_CREATE: Final = """
INSERT INTO emporium_sessions (token_hash, customer, roles, expires_at, device, model)
VALUES (%s, %s, %s, now() + least(%s::interval, %s::interval), %s, %s) ON CONFLICT DO NOTHING RETURNING 1
"""
_ADMIT: Final = """
INSERT INTO emporium_sessions (token_hash, customer, roles, expires_at, kind)
VALUES (%s, %s, %s, %s, 'key') ON CONFLICT DO NOTHING RETURNING 1
"""
_UNKNOWN: Final = """
SELECT count(*) > 0 AND NOT coalesce(bool_or(model = %s), false) FROM emporium_sessions WHERE customer = %s
"""
_FIND: Final = f"SELECT {_SESSION}, {_LEFT} FROM emporium_sessions WHERE token_hash = ANY(%s) AND {_ALIVE}"
_LIST: Final = f"SELECT {_SESSION} FROM emporium_sessions WHERE customer = %s AND {_ALIVE} ORDER BY last_seen_at DESC"
_FADE: Final = "UPDATE emporium_sessions SET device = NULL, model = NULL WHERE customer = %s RETURNING 1"
_REVOKE: Final = "SELECT emporium_revoke(%s, %s)"
_TOUCH: Final = f"""
UPDATE emporium_sessions
SET last_seen_at = now(), expires_at = least(now() + %s::interval, created_at + %s::interval)
WHERE token_hash = ANY(%s) AND kind = 'account' AND {_ALIVE} RETURNING token_hash, {_LEFT}
"""
_PURGE: Final = "DELETE FROM emporium_sessions WHERE expires_at < now() - interval '30 days' RETURNING 1"
_REVOCATIONS: Final = "SELECT revocation, token_hash FROM emporium_sessions WHERE revocation > %s ORDER BY revocation"
_NEWEST_REVOCATION: Final = "SELECT coalesce(max(revocation), 0) FROM emporium_sessions"

_SECRET_BYTES: Final = 32
_CAPACITY: Final = 50_000
_TOUCH_EVERY: Final = 300.0
_VERSION: Final = re.compile(r"[\d._]+")
_CART_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{64}", re.ASCII)


class Session(msgspec.Struct, frozen=True):
    """A customer's session.

    Attributes:
        id: names the session without giving access to it: the hash of its token, in hex.
        roles: what the customer may be: `customer`, `admin` ….
        last_seen_at: within five minutes.
        expires_at: when it ends if it is not used until then.
        kind: `account`, or `key` for a machine's: its customer is the key's id, its roles are scopes.
        device: what the device calls itself.
    """

    id: str
    customer: UUID
    roles: tuple[str, ...]
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    kind: str = "account"
    device: str | None = None


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

    async def create(self, customer: UUID, roles: Sequence[str], device: str | None = None) -> str:
        """The token of a new session, 43 characters; it is stored nowhere. Raises Unavailable."""
        token = secrets.token_urlsafe(_SECRET_BYTES)
        values = [_hash(token), customer, list(roles), self._idle, self._longest, device, _model(device)]
        await self._database.query(_CREATE, values)
        return token

    async def is_new_device(self, customer: UUID, device: str | None) -> bool:
        """Whether the customer has had sessions, but none with such a device. Raises Unavailable."""
        [[unknown]] = await self._database.query(_UNKNOWN, [_model(device), customer])
        return bool(unknown)

    async def admit(self, key: UUID, scopes: Sequence[str], digest: bytes, expires_at: datetime) -> None:
        """Lets a machine in with the key of this SHA-256. Raises Unavailable."""
        await self._database.query(_ADMIT, [digest, key, list(scopes), expires_at])

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

    async def revoke_others(self, customer: UUID, session_id: str) -> None:
        """Ends all sessions of the customer but this one. Raises Unavailable."""
        for session in await self.list(customer):
            if session.id != session_id:
                await self.revoke(customer, session.id)

    async def forget(self, customer: UUID) -> None:
        """Ends all sessions of the customer, and forgets with what devices they were. Raises Unavailable."""
        await self.revoke_all(customer)
        await self._database.query(_FADE, [customer])

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


async def end_sessions(dsn: str) -> int:
    """Ends every log-in while no gateway runs; how many. Keys of machines stay.

    A restored database holds as open what was ended since it was backed up.
    """
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        ended = await connection.execute("DELETE FROM emporium_sessions WHERE kind = 'account' AND revoked_at IS NULL")
    return ended.rowcount


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


def _model(device: str | None) -> str | None:
    """The device without its versions, so that an update does not make it another one; `-` where it has no name."""
    return "-" if device is None else _VERSION.sub("", device)


def _session(
    key: bytes,
    customer: UUID,
    roles: Sequence[str],
    created_at: datetime,
    last_seen_at: datetime,
    expires_at: datetime,
    kind: str,
    device: str | None,
) -> Session:
    return Session(key.hex(), customer, tuple(roles), created_at, last_seen_at, expires_at, kind, device)
