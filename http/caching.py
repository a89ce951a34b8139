"""ETags: the hash of the very bytes of an answer, so that an unchanged one need not be sent again."""

import hashlib
from typing import Any, Final

from emporium.http.reply import ENCODER, Headers, Reply
from emporium.http.request import Request

__all__ = ["PRIVATE", "PUBLIC", "is_known", "tag_of", "tagged"]

PRIVATE: Final = b"private, no-cache"
PUBLIC: Final = b"public, no-cache"
"""A cache may keep the answer, but asks each time whether it still holds."""


def tagged(request: Request, content: Any, *, cache: bytes = PRIVATE, headers: Headers | None = None) -> Reply[Any]:
    """The content with its ETag; 304 without a body where If-None-Match names it."""
    body = ENCODER.encode(content)
    tag = tag_of(body)
    more = [(b"etag", tag), (b"cache-control", cache), *(headers or ())]
    return Reply(b"", 304, more) if is_known(request, tag) else Reply(body, 200, more)


def tag_of(body: bytes) -> bytes:
    """The ETag of an answer, or of all that makes it."""
    return b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'


def is_known(request: Request, tag: bytes) -> bool:
    """Whether If-None-Match names the ETag."""
    known = request.header(b"if-none-match")
    return known is not None and _names(known, tag)


def _names(given: bytes, tag: bytes) -> bool:
    if given.strip() == b"*":
        return True
    # Weak comparison, as RFC 9110 asks of If-None-Match.
    return any(one.strip().removeprefix(b"W/") == tag for one in given.split(b","))
