"""PostgreSQL's binary arrays, built without a call per element: the writer's parameters."""

from collections.abc import Sequence
from struct import Struct, pack
from typing import Final
from uuid import UUID

__all__ = ["blobs", "bytea_item", "integers", "text_item", "texts", "uuid_item", "uuids"]

_LENGTH: Final = Struct("!i").pack
_HEADER: Final = Struct("!iiIii").pack
_EMPTY: Final = Struct("!iiI").pack
_UUID_LENGTH: Final = _LENGTH(16)
_BYTEA, _BIGINT, _TEXT, _UUID = 17, 20, 25, 2950


def uuid_item(value: UUID) -> bytes:
    """One element of `uuids`."""
    return _UUID_LENGTH + value.bytes


def bytea_item(value: bytes) -> bytes:
    """One element of `blobs`."""
    return _LENGTH(len(value)) + value


def text_item(value: str) -> bytes:
    """One element of `texts`. Raises ValueError for what a text column cannot hold (NUL, lone surrogates)."""
    encoded = value.encode()
    if b"\0" in encoded:
        raise ValueError("a NUL character cannot be stored")
    return _LENGTH(len(encoded)) + encoded


def _array(element: int, items: Sequence[bytes]) -> bytes:
    if not items:
        return _EMPTY(0, 0, element)
    return _HEADER(1, 0, element, len(items), 1) + b"".join(items)


def uuids(items: Sequence[bytes]) -> bytes:
    """uuid[] of `uuid_item`s."""
    return _array(_UUID, items)


def texts(items: Sequence[bytes]) -> bytes:
    """text[] of `text_item`s."""
    return _array(_TEXT, items)


def blobs(items: Sequence[bytes]) -> bytes:
    """bytea[] of `bytea_item`s."""
    return _array(_BYTEA, items)


def integers(values: Sequence[int]) -> bytes:
    """bigint[]. Raises struct.error outside 64 bits."""
    count = len(values)
    if not count:
        return _EMPTY(0, 0, _BIGINT)
    flat = [8] * (2 * count)
    flat[1::2] = values
    return _HEADER(1, 0, _BIGINT, count, 1) + pack("!" + "iq" * count, *flat)
