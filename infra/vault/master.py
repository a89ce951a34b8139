"""The master key: wraps every subject's key, and lives outside the database."""

import base64
import binascii
import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emporium.infra.settings import StartupProblem

__all__ = ["MasterKey", "MasterKeyError", "Masters", "masters_from_file", "masters_from_text", "masters_in_folder"]

_FILE: Final = "master.key"
_NONCE: Final = 12
_KEY: Final = 32
_MOST_TEXT: Final = 10_000
_HEXADECIMAL: Final = re.compile("[0-9A-Fa-f]{64}")
_MAKE_ONE: Final = "Make one with `head -c 32 /dev/urandom | base64`."


class MasterKeyError(StartupProblem):
    """The master key is missing, malformed, badly guarded or not the right one."""


class MasterKey:
    """One AES-256 key that wraps others (AES-GCM, bound to the subject). Its `id` tells nothing of it."""

    __slots__ = ("_cipher", "id")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _KEY:
            raise ValueError("a master key has 32 bytes")
        self.id = hashlib.sha256(b"emporium master key" + raw).hexdigest()[:16]
        self._cipher = AESGCM(raw)

    def wrap(self, subject: UUID, key: bytes) -> bytes:
        """The subject's key, readable with this master key only, and only for this subject."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, key, subject.bytes)

    def unwrap(self, subject: UUID, wrapped: bytes) -> bytes:
        """What was wrapped. Raises ValueError where it was altered or belongs to another subject."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], subject.bytes)
        except (InvalidTag, ValueError):
            raise ValueError(f"the wrapped key of {subject} was altered or moved") from None


class Masters:
    """The master key that wraps new keys, and those that are still accepted while keys are re-wrapped."""

    def __init__(self, current: MasterKey, *others: MasterKey) -> None:
        self.current = current
        self.all = (current, *(other for other in others if other.id != current.id))
        self._by_id = {master.id: master for master in self.all}

    def unwrap(self, subject: UUID, master: str, wrapped: bytes) -> bytes:
        """Raises MasterKeyError where the named master key is not among these, ValueError as MasterKey does."""
        found = self._by_id.get(master)
        if found is None:
            raise MasterKeyError(
                f"The keys in this database are wrapped by master key {master}, but only {', '.join(self._by_id)} "
                "is configured.",
                "Put the right master key (file or setting) back, or restore it from its backup.",
            )
        return found.unwrap(subject, wrapped)


def masters_from_text(text: str, origin: str) -> Masters:
    """Reads master keys, apart by spaces, commas or lines: the first wraps, the others are accepted.

    Args:
        text: the value of a setting or the content of a file, each key in base64 or hexadecimal.
        origin: what to call it in an error.

    Raises MasterKeyError, whose text never shows the key.
    """
    written = re.split(r"[\s,]+", text.strip()) if len(text) <= _MOST_TEXT else []
    if not any(written):
        raise MasterKeyError(f"{origin} holds no master key (32 bytes in base64 or hexadecimal).", _MAKE_ONE)
    masters = []
    for place, key in enumerate(written, start=1):
        raw = _decoded(key)
        if raw is None:
            raise MasterKeyError(
                f"{origin} is malformed: key {place} of {len(written)} is not 32 bytes in base64 or hexadecimal.",
                _MAKE_ONE,
            )
        masters.append(MasterKey(raw))
    return Masters(*masters)


def _decoded(key: str) -> bytes | None:
    if _HEXADECIMAL.fullmatch(key):
        return bytes.fromhex(key)
    try:
        raw = base64.b64decode(key.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _KEY else None


def masters_from_file(path: Path) -> Masters:
    """The master keys of a file that nobody but its owner may read. Raises MasterKeyError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise MasterKeyError(
                    f"The master key file {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}).",
                    f"Consider whether it is still secret, then run `chmod 600 {path}`.",
                )
            content = file.read(_MOST_TEXT + 1)
    except OSError as error:
        raise MasterKeyError(
            f"The master key file {path} cannot be read: {error.strerror}.", "Put it there, or set EMPORIUM_MASTER_KEY."
        ) from error
    return masters_from_text(content.decode("ascii", "replace"), f"The master key file {path}")


def masters_in_folder(folder: Path) -> Masters:
    """The master keys of the data folder; at the first start one is made, durably and by one process only."""
    path = folder / _FILE
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise MasterKeyError(
                f"The master key file {path} cannot be made: {error.strerror}.",
                "Make its folder writable, or set EMPORIUM_MASTER_KEY.",
            ) from error
    return masters_from_file(path)


def _make(path: Path) -> None:
    # The file gets its name when it is complete, and only if the name is still free: a crash leaves
    # no half a key behind, and of two first starts at once one wins and both use its key.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(_KEY)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
