"""ETags: the hash of the very bytes of an answer, so that an unchanged one need not be sent again."""

import hashlib
from typing import Any, Final

from emporium.http.reply import ENCODER, Headers, Reply
from emporium.http.request import Request

__all__ = ["PRIVATE", "PUBLIC", "tagged"]

PRIVATE: Final = b"private, no-cache"
PUBLIC: Final = b"public, no-cache"
"""A cache may keep the answer, but asks each time whether it still holds."""


def tagged(request: Request, content: Any, *, cache: bytes = PRIVATE, headers: Headers | None = None) -> Reply[Any]:
    """The content with its ETag; 304 without a body where If-None-Match names it."""
    body = ENCODER.encode(content)
    tag = b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'
    more = [(b"etag", tag), (b"cache-control", cache), *(headers or ())]
    known = request.header(b"if-none-match")
    if known is not None and _names(known, tag):
        return Reply(b"", 304, more)
    return Reply(body, 200, more)


def _names(given: bytes, tag: bytes) -> bool:
    if given.strip() == b"*":
        return True
    # Weak comparison, as RFC 9110 asks of If-None-Match.
    return any(one.strip().removeprefix(b"W/") == tag for one in given.split(b","))
