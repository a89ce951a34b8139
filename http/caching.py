"""ETags: the hash of the very bytes of an answer, so that an unchanged one need not be sent again; and answers that
are kept while the read model behind them stands still."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec

from emporium.domain.shop_settings import ShopSettings
from emporium.http.reply import ENCODER, Headers, Reply
from emporium.http.request import Request
from emporium.http.services import Services

__all__ = ["PRIVATE", "PUBLIC", "Kept", "is_known", "kept", "tag_of", "tagged"]

PRIVATE: Final = b"private, no-cache"
PUBLIC: Final = b"public, no-cache"
"""A cache may keep the answer, but asks each time whether it still holds."""


class _Answer(msgspec.Struct, frozen=True):
    """An answer, and as of when it is right: `settings` are the shop's, where they and the day matter."""

    positions: tuple[tuple[str, object], ...]
    settings: ShopSettings | None
    today: date
    route: str
    body: bytes
    headers: Headers
    tag: bytes

    def holds(self, services: Services) -> bool:
        """Whether it would be made the same now."""
        shop = services.shop
        if self.settings is not None and (
            shop.terms.known() is not self.settings or shop.clock.now().date() != self.today
        ):
            return False
        position = services.waiter.position
        return all(position(model) == where for model, where in self.positions)

    def reply(self, wanted: bytes | None) -> Reply[Any]:
        """The answer to who has what If-None-Match names."""
        if wanted is not None and _names(wanted, self.tag):
            return Reply(b"", 304, list(self.headers))
        return Reply(self.body, 200, list(self.headers))


class Kept:
    """Answers of one process, the last used ones, bounded in number and bytes."""

    MOST: Final = 4_096
    BYTES: Final = 32 * 2**20
    LONGEST: Final = 256 * 2**10

    def __init__(self) -> None:
        self._answers: OrderedDict[object, _Answer] = OrderedDict()
        self._bytes = 0

    def at_once(
        self, scope: Mapping[str, Any], heads: Mapping[bytes, bytes], services: Services
    ) -> tuple[str, Reply[Any]] | None:
        """The kept answer to a request, with its route; None for what must go the whole way: where nothing is kept or
        it may have changed, the request asks to wait for something, or comes from another origin's page."""
        if scope["method"] != "GET" or b"consistency-token" in heads or b"origin" in heads:
            return None
        known = self.get((scope["path"], scope["query_string"], heads.get(b"accept-language")), services)
        return None if known is None else (known.route, known.reply(heads.get(b"if-none-match")))

    def get(self, key: object, services: Services) -> _Answer | None:
        """The answer, if nothing that it is made of has moved."""
        known = self._answers.get(key)
        if known is None or not known.holds(services):
            return None
        self._answers.move_to_end(key)
        return known

    def put(self, key: object, answer: _Answer) -> None:
        """Keeps an answer in the place of an older one."""
        old = self._answers.pop(key, None)
        if old is not None:
            self._bytes -= len(old.body)
        if len(answer.body) > self.LONGEST:
            return
        self._answers[key] = answer
        self._bytes += len(answer.body)
        while len(self._answers) > self.MOST or self._bytes > self.BYTES:
            _, gone = self._answers.popitem(last=False)
            self._bytes -= len(gone.body)


async def kept(
    request: Request,
    models: Sequence[str],
    make: Callable[[], Awaitable[Reply[Any]]],
    settings: ShopSettings | None = None,
) -> Reply[Any]:
    """The answer that was made for the same request while the models have not moved, else a new one.

    For answers that are the same for everybody and depend on the models, the address and Accept-Language alone; with
    `settings` on them and the day as well. The position is read before the answer is made: it may be newer than its
    position says, never older.
    """
    services = request.services
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    positions = tuple((model, services.waiter.position(model)) for model in models)
    answers: Kept = scope["kept"]
    key = (scope["path"], scope["query_string"], request.header(b"accept-language"))
    today = services.shop.clock.now().date()
    known = answers.get(key, services)
    if known is not None:
        return known.reply(request.header(b"if-none-match"))
    reply = await make()
    if reply.status_code == 200 and all(where is not None for _, where in positions):
        headers = list(reply.raw_headers)
        tag = next(value for name, value in headers if name == b"etag")
        answers.put(key, _Answer(positions, settings, today, scope["path_template"], reply.body, headers, tag))
    return reply


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
