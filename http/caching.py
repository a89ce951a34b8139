"""ETags: the hash of the very bytes of an answer, so that an unchanged one need not be sent again; and answers that
are kept while the read model behind them stands still."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from emporium.http.reply import ENCODER, Headers, Reply
from emporium.http.request import Request

__all__ = ["PRIVATE", "PUBLIC", "is_known", "tag_of", "tagged"]

PRIVATE: Final = b"private, no-cache"
PUBLIC: Final = b"public, no-cache"
"""A cache may keep the answer, but asks each time whether it still holds."""


class Kept:
    """Answers of one process, the last used ones, bounded in number and bytes."""

    MOST: Final = 4_096
    BYTES: Final = 32 * 2**20
    LONGEST: Final = 256 * 2**10

    def __init__(self) -> None:
        self._answers: OrderedDict[object, tuple[object, bytes, Headers]] = OrderedDict()
        self._bytes = 0

    def get(self, key: object, position: object) -> tuple[bytes, Headers] | None:
        """The answer, if it was made at this position."""
        known = self._answers.get(key)
        if known is None or known[0] != position:
            return None
        self._answers.move_to_end(key)
        return known[1], known[2]

    def put(self, key: object, position: object, body: bytes, headers: Headers) -> None:
        """Keeps an answer in the place of an older one."""
        old = self._answers.pop(key, None)
        if old is not None:
            self._bytes -= len(old[1])
        if len(body) > self.LONGEST:
            return
        self._answers[key] = (position, body, headers)
        self._bytes += len(body)
        while len(self._answers) > self.MOST or self._bytes > self.BYTES:
            _, (_, gone, _) = self._answers.popitem(last=False)
            self._bytes -= len(gone)


async def kept(
    request: Request, models: Sequence[str], make: Callable[[], Awaitable[Reply[Any]]], also: object = None
) -> Reply[Any]:
    """The answer that was made for the same request while the models have not moved, else a new one.

    For answers that are the same for everybody and depend on the models, the address, the language and `also` alone.
    The position is read before the answer is made: it may be newer than its position says, never older.
    """
    positions = tuple(request.services.waiter.position(model) for model in models)
    position = None if None in positions else positions
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    answers: Kept = scope["kept"]
    key = (scope["path"], scope["query_string"], request.header(b"accept-language"), also)
    known = None if position is None else answers.get(key, position)
    if known is None:
        reply = await make()
        if reply.status_code == 200 and position is not None:
            answers.put(key, position, reply.body, list(reply.raw_headers))
        return reply
    body, headers = known
    tag = next(value for name, value in headers if name == b"etag")
    wanted = request.header(b"if-none-match")
    if wanted is not None and _names(wanted, tag):
        return Reply(b"", 304, list(headers))
    return Reply(body, 200, list(headers))


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
