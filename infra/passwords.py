"""Passwords are hashed and checked with argon2id in a few threads, with a bounded queue before them.

Beside this module lies a list of common ones, which are no good.
"""

import base64
import os
import threading
import unicodedata
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

from emporium.application.ports import Overloaded

__all__ = ["MOST_BYTES", "Busy", "Passwords"]

T = TypeVar("T")

MOST_BYTES: Final = 1024
"""The longest password, in bytes of UTF-8."""

_MEMORY: Final = 46 * 1024
_PASSES: Final = 2


class Busy(Overloaded):
    """Too many passwords wait to be hashed or checked; try again later."""

    def __init__(self) -> None:
        super().__init__("too many passwords wait to be checked")


class Passwords:
    """Hashes and checks passwords beside the event loop (46 MiB and 50 to 100 ms of one core each).

    Args:
        threads: how many at a time.
        waiting: how many more may wait before `Busy` is raised.
        memory: KiB that one hash takes; passes: how often it goes over them. Both are stored with
            the hash.
    """

    def __init__(self, threads: int = 2, waiting: int = 30, memory: int = _MEMORY, passes: int = _PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1, type=Type.ID)
        # Nobody knows its password, as it is the hash of none; checking against it takes as long as any.
        self._nobody = f"$argon2id$v=19$m={memory},t={passes},p=1${_unpadded(16)}${_unpadded(32)}"
        self._places = threading.BoundedSemaphore(threads + waiting)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")

    async def hash(self, password: str) -> str:
        """The hash to store. Raises ValueError unless the password has 1 to MOST_BYTES bytes, Busy."""
        secret = _secret(password)
        if secret is None:
            raise ValueError(f"a password has 1 to {MOST_BYTES} bytes")
        return await self._beside(partial(self._hasher.hash, secret))

    async def verify(self, stored: str, password: str) -> bool:
        """Whether the password is the one of a hash that `hash` made. Raises Busy."""
        secret = _secret(password)
        return secret is not None and await self._beside(partial(self._matches, stored, secret))

    async def dummy_verify(self, password: str) -> bool:
        """False, after as long as `verify` takes: for an address that has no account. Raises Busy."""
        return await self.verify(self._nobody, password)

    def is_common(self, password: str) -> bool:
        """Whether it is one of those that are tried first, whatever its case."""
        return unicodedata.normalize("NFC", password).casefold().strip() in _common()

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's: hash again at the next log-in."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Lets what is under way end, and forgets what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _matches(self, stored: str, secret: bytes) -> bool:
        try:
            return self._hasher.verify(stored, secret)
        except VerifyMismatchError:
            return False

    async def _beside(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Busy
        # The place is free when the thread is, not when the caller has gone away.
        try:
            task = self._pool.submit(work)
        except BaseException:
            self._places.release()
            raise
        task.add_done_callback(lambda _: self._places.release())
        return await wrap_future(task)


def _secret(password: str) -> bytes | None:
    # The same characters reach us composed or not, depending on the keyboard's maker.
    try:
        if not 1 <= len(password.encode()) <= MOST_BYTES:
            return None
    except UnicodeEncodeError:
        return None
    return unicodedata.normalize("NFC", password).encode()


@cache
def _common() -> frozenset[str]:
    return frozenset((Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").split())


def _unpadded(length: int) -> str:
    return base64.b64encode(os.urandom(length)).decode().rstrip("=")
