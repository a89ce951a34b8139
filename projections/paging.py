"""Keyset paging: a cursor is the sort key of the last row, so that page 1,000 costs what page 1 costs."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

__all__ = ["BadCursor", "Page", "decode_cursor", "encode_cursor", "page_of"]

_LONGEST: Final = 1_000

T = TypeVar("T")


class BadCursor(ValueError):  # noqa: N818
    """The cursor was not made by this query."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Rows, and the cursor of the next page; None on the last one."""

    items: list[T]
    next: str | None


def encode_cursor(*key: Any) -> str:
    """The sort key of a row as text, safe in addresses."""
    return urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def decode_cursor(text: str, shape: type[T]) -> T:
    """The sort key, converted to `shape` (a tuple type). Raises BadCursor."""
    if len(text) > _LONGEST:
        raise BadCursor("the cursor is too long")
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if b"\\u0000" in key:
            raise BadCursor("no key holds NUL")
        return msgspec.json.decode(key, type=shape)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadCursor("this is no cursor of this list") from error


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], Sequence[Any]]) -> Page[T]:
    """A page of up to `limit` rows out of a query for one row more."""
    items = list(rows[:limit])
    return Page(items, encode_cursor(*key(items[-1])) if len(rows) > limit else None)
