"""The vault: seals each person's data with a key of their own, which can be destroyed.

A box is the format's number (1 byte), the tag that tells which key made it (4), the nonce (12) and the
AES-256-GCM ciphertext of the value's JSON; subject, event type, stream and field are associated data.

When a key is destroyed, the process that does it uses the key no more at once, every other one within
`revocable.TRUST` (one second). A box that was sealed in that second holds nothing that anybody can read.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from emporium.application.ports import Erased, Unavailable
from emporium.domain.base import Sealed
from emporium.infra.eventstore.database import Database
from emporium.infra.revocable import RevocableCache, connected, repeated
from emporium.infra.vault.erasures import ErasureList
from emporium.infra.vault.master import MasterKey, MasterKeyError, Masters

__all__ = ["ERASED_TEXT", "MISSING_TEXT", "KeyNotAtHand", "KeyVault", "open_vault"]

ERASED_TEXT: Final = "[erased]"
MISSING_TEXT: Final = "[key missing]"

_FORMAT: Final = b"\x01"
_HEAD: Final = 5
_NONCE: Final = 12
_KEY: Final = 32
_CAPACITY: Final = 50_000
_BATCH: Final = 500
_OWN: Final = UUID(int=0)
"""The subject under which the vault keeps its own secret, the root of all fingerprints."""

_GET_OR_CREATE: Final = """
WITH durable AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'
), offered AS (
    SELECT o.* FROM unnest(%s::uuid[], %s::bytea[]) AS o (subject, wrapped) LEFT JOIN durable ON true
), made AS (
    INSERT INTO emporium_keys (subject, wrapped, master) SELECT subject, wrapped, %s FROM offered ORDER BY subject
    ON CONFLICT (subject) DO NOTHING RETURNING subject, wrapped, master
)
SELECT subject, wrapped, master FROM made
UNION ALL
SELECT subject, k.wrapped, k.master FROM emporium_keys k JOIN offered USING (subject)
"""
_LOAD: Final = "SELECT subject, wrapped, master FROM emporium_keys WHERE subject = ANY(%s)"
_ERASE: Final = "SELECT emporium_erase(%s)"
_ERASURES: Final = "SELECT n, subject FROM emporium_erasures WHERE n > %s ORDER BY n"
_REVIVED: Final = """
SELECT subject FROM unnest(%s::uuid[]) AS listed (subject)
EXCEPT SELECT subject FROM emporium_erasures ORDER BY subject
"""
_NEWEST_ERASURE: Final = "SELECT coalesce(max(n), 0) FROM emporium_erasures"
_WRAPPED_BY: Final = """
SELECT subject, wrapped FROM emporium_keys WHERE master = %s ORDER BY subject LIMIT %s
"""
_REWRAP: Final = """
UPDATE emporium_keys k SET wrapped = n.wrapped, master = %s
FROM unnest(%s::uuid[], %s::bytea[]) AS n (subject, wrapped) WHERE k.subject = n.subject AND master = %s RETURNING 1
"""

_log = logging.getLogger(__name__)


class KeyNotAtHand(Unavailable):
    """The key was not fetched, or so long ago that it may have been destroyed since: fetch it again."""

    def __init__(self, subject: UUID) -> None:
        super().__init__(f"the key of {subject} is not at hand: key_for or load_keys comes right before its use")


class _Key(msgspec.Struct, frozen=True):
    raw: bytes
    head: bytes

    def __repr__(self) -> str:
        return "_Key(…)"


class _Destroyed(msgspec.Struct, frozen=True):
    pass


_DESTROYED: Final = _Destroyed()

_Entry: TypeAlias = _Key | _Destroyed


class KeyVault:
    """`ports.Vault` over Postgres. Made by `open_vault`.

    Args:
        database: where the keys lie.
        apart: the same by another connection, for erasures.
        masters: what wraps the keys.
        outside: the list of erasures that is no part of the database; None where there is none.
        capacity: the most keys that are held, and that can be asked for at a time.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        database: Database,
        apart: Database,
        masters: Masters,
        *,
        outside: ErasureList | None = None,
        capacity: int = _CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._apart = apart
        self._masters = masters
        self._outside = outside
        self._cache: RevocableCache[UUID, _Entry] = RevocableCache(
            self._erasures, self._newest_erasure, revoked=_DESTROYED, capacity=capacity, clock=clock
        )
        self._missing: set[UUID] = set()
        self._secret = b""
        self._scopes: dict[str, bytes] = {}

    async def start(self) -> None:
        """To be called once, before all else; destroys first what a restored backup has brought back.

        Raises MasterKeyError where the master key is not the database's, StartupProblem.
        """
        if self._outside is not None:
            listed = await asyncio.to_thread(self._outside.read)
            for (subject,) in await self._database.query(_REVIVED, [listed]) if listed else ():
                _log.warning("the key of %s was destroyed before this database was restored: destroyed again", subject)
                await self._database.query(_ERASE, [subject])
        await self._cache.start()
        own = (await self._get_or_create([_OWN])).get(_OWN)
        if not isinstance(own, _Key):
            raise MasterKeyError(
                "The vault's own secret was altered.", "Restore the table emporium_keys from its backup."
            )
        self._secret = own.raw

    async def catch_up(self) -> None:
        """Follows the erasures of other processes once."""
        await self._cache.catch_up()

    async def key_for(self, subject: UUID) -> None:
        await self.key_for_many((subject,))

    async def key_for_many(self, subjects: Sequence[UUID]) -> None:
        if _OWN in subjects:
            raise ValueError("the nil UUID is the vault's own subject")
        await self._cache.fetch(subjects, self._get_or_create)
        for subject in subjects:
            self._usable(subject)

    async def load_keys(self, subjects: Sequence[UUID]) -> None:
        await self._cache.fetch(subjects, self._load)

    def seal(self, subject: UUID, event: str, stream: UUID, field: str, value: Any) -> Sealed:
        key = self._usable(subject)
        nonce = os.urandom(_NONCE)
        bound = _bound(key.head, subject, event, stream, field)
        return Sealed(subject, event, key.head + nonce + AESGCM(key.raw).encrypt(nonce, _encode(value), bound))

    def unseal(self, sealed: Sealed, stream: UUID, field: str) -> Any:
        key = self._cache.get(sealed.subject)
        if key is None:
            if sealed.subject in self._missing:
                return MISSING_TEXT
            raise KeyNotAtHand(sealed.subject)
        if isinstance(key, _Destroyed):
            return ERASED_TEXT
        box = sealed.box
        head, nonce = box[:_HEAD], box[_HEAD : _HEAD + _NONCE]
        if len(nonce) < _NONCE or head[:1] != _FORMAT:
            raise ValueError(f"a box of {sealed.event} in {stream}, field {field}, has an unknown format")
        if head != key.head:
            _log.warning("a box of %s, %s, in %s was sealed with another key of %s than the present one",
                         sealed.event, field, stream, sealed.subject)  # fmt: skip
            return MISSING_TEXT
        bound = _bound(head, sealed.subject, sealed.event, stream, field)
        try:
            return msgspec.json.decode(AESGCM(key.raw).decrypt(nonce, box[_HEAD + _NONCE :], bound))
        except InvalidTag:
            raise ValueError(f"a box of {sealed.event} in {stream}, field {field}, was moved or altered") from None

    def fingerprint(self, scope: str, value: str) -> bytes:
        key = self._scopes.get(scope)
        if key is None:
            info = b"emporium fingerprint " + scope.encode()
            key = self._scopes[scope] = HKDF(SHA256(), length=32, salt=None, info=info).derive(self._secret)
        return hmac.digest(key, value.encode(), "sha256")

    async def erase(self, subject: UUID) -> None:
        if subject == _OWN:
            raise ValueError("the nil UUID is the vault's own subject")
        if self._outside is not None:
            await asyncio.to_thread(self._outside.add, subject)
        await self._database.query(_ERASE, [subject])
        self._cache.revoke(subject)

    async def erasures(self, after: int) -> list[tuple[int, UUID]]:
        return [(number, subject) for number, subject in await self._database.query(_ERASURES, [after])]

    async def rotate(self, old: MasterKey, new: MasterKey) -> int:
        """Wraps anew, in batches, every key that `old` has wrapped; the number of keys.

        Both are accepted meanwhile; every other process must have been started with both, `new` first.
        May be interrupted and called again.
        """
        self._masters = Masters(new, old, *self._masters.all)

        total = 0
        while rows := await self._database.query(_WRAPPED_BY, [old.id, _BATCH]):
            anew = [new.wrap(subject, old.unwrap(subject, wrapped)) for subject, wrapped in rows]
            # Of these, what was erased in the meantime is not of the old master key any more, and stays erased.
            done = await self._database.query(_REWRAP, [new.id, [subject for subject, _ in rows], anew, old.id])
            total += len(done)
        return total

    def _usable(self, subject: UUID) -> _Key:
        key = self._cache.get(subject)
        if key is None:
            raise KeyNotAtHand(subject)
        if isinstance(key, _Destroyed):
            raise Erased(subject)
        return key

    async def _get_or_create(self, subjects: Sequence[UUID]) -> Mapping[UUID, _Entry]:
        found: dict[UUID, _Entry] = {}
        # A row that another process commits during the statement is not in its answer: the second time it is.
        for _ in range(2):
            # One order for all writers, or two of them could wait for each other.
            lacking = sorted(subject for subject in subjects if subject not in found)
            if not lacking:
                break
            offered = [self._masters.current.wrap(subject, os.urandom(_KEY)) for subject in lacking]
            found.update(
                self._opened(await self._database.query(_GET_OR_CREATE, [lacking, offered, self._masters.current.id]))
            )
        self._missing.difference_update(found)
        return found

    async def _load(self, subjects: Sequence[UUID]) -> Mapping[UUID, _Entry]:
        found = self._opened(await self._database.query(_LOAD, [list(subjects)]))
        self._missing.difference_update(found)
        missing = [subject for subject in subjects if subject not in found]
        if missing:
            _log.warning("no key for %d subjects, among them %s", len(missing), missing[0])
            if len(self._missing) > self._cache.capacity:
                self._missing.clear()
            self._missing.update(missing)
        return found

    def _opened(self, rows: Iterable[tuple[Any, ...]]) -> dict[UUID, _Entry]:
        opened: dict[UUID, _Entry] = {}
        for subject, wrapped, master in rows:
            if wrapped is None or master is None:
                opened[subject] = _DESTROYED
                continue
            try:
                raw = self._masters.unwrap(subject, master, wrapped)
            except ValueError as error:
                _log.error("%s", error)
            else:
                opened[subject] = _Key(raw, _FORMAT + hashlib.sha256(b"emporium key tag" + raw).digest()[: _HEAD - 1])
        return opened

    async def _erasures(self, after: int) -> list[tuple[int, UUID]]:
        return [(number, subject) for number, subject in await self._apart.query(_ERASURES, [after])]

    async def _newest_erasure(self) -> int:
        [[newest]] = await self._apart.query(_NEWEST_ERASURE, [])
        return int(newest)


@asynccontextmanager
async def open_vault(dsn: str, masters: Masters, erasures: Path | None = None) -> AsyncIterator[KeyVault]:
    """A vault over the key table of a database.

    Args:
        dsn: the database of the keys, migrated.
        masters: what wraps the keys.
        erasures: the file of the erasures, outside the database and its backups.

    Raises MasterKeyError where the keys are wrapped by another master key, StartupProblem, Unavailable.
    """
    outside = None if erasures is None else ErasureList(erasures)
    async with connected(dsn) as (database, apart):
        vault = KeyVault(database, apart, masters, outside=outside)
        await vault.start()
        async with repeated(vault.catch_up):
            yield vault


_encode = msgspec.json.Encoder().encode


def _bound(head: bytes, subject: UUID, event: str, stream: UUID, field: str) -> bytes:
    named = event.encode()
    return b"".join((head, subject.bytes, stream.bytes, len(named).to_bytes(2, "big"), named, field.encode()))
