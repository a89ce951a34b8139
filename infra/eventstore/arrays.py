"""PostgreSQL's binary arrays, built without a call per element: the writer's parameters."""

from collections.abc import Sequence
from struct import Struct, pack
from typing import ClassVar, Final
from uuid import UUID

from psycopg import pq
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper

__all__ = ["blobs", "bytea_item", "integers", "register", "text_item", "texts", "uuid_item", "uuids"]

_LENGTH: Final = Struct("!i").pack
_HEADER: Final = Struct("!iiIii").pack
_UUID_LENGTH: Final = _LENGTH(16)


class _Array(bytes):
    """A whole parameter in wire format."""

    element: ClassVar[int]
    array: ClassVar[int]


class _Uuids(_Array):
    element, array = 2950, 2951


class _Texts(_Array):
    element, array = 25, 1009


class _Blobs(_Array):
    element, array = 17, 1001


class _Integers(_Array):
    element, array = 20, 1016


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


def _array(kind: type[_Array], items: Sequence[bytes]) -> _Array:
    if not items:
        return kind(pack("!iiI", 0, 0, kind.element))
    return kind(_HEADER(1, 0, kind.element, len(items), 1) + b"".join(items))


def uuids(items: Sequence[bytes]) -> bytes:
    """uuid[] of `uuid_item`s."""
    return _array(_Uuids, items)


def texts(items: Sequence[bytes]) -> bytes:
    """text[] of `text_item`s."""
    return _array(_Texts, items)


def blobs(items: Sequence[bytes]) -> bytes:
    """bytea[] of `bytea_item`s."""
    return _array(_Blobs, items)


def integers(values: Sequence[int]) -> bytes:
    """bigint[]. Raises struct.error outside 64 bits."""
    count = len(values)
    if not count:
        return _array(_Integers, ())
    flat = [8] * (2 * count)
    flat[1::2] = values
    return _Integers(_HEADER(1, 0, _Integers.element, count, 1) + pack("!" + "iq" * count, *flat))


class _ArrayDumper(Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        return obj


def register(context: AdaptContext) -> None:
    """Teaches a connection to send these arrays as they are."""
    for kind in (_Uuids, _Texts, _Blobs, _Integers):
        dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.array})
        context.adapters.register_dumper(kind, dumper)
