"""The one kind of answer that handlers give: a body that is encoded already, a status, and headers as bytes."""

from typing import Any, Final, TypeVar

import msgspec
from litestar import Response
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

__all__ = ["ENCODER", "Headers", "Nothing", "Reply"]

T = TypeVar("T")

Headers = list[tuple[bytes, bytes]]

ENCODER: Final = msgspec.json.Encoder()
JSON: Final = b"application/json"


class Nothing(msgspec.Struct, frozen=True):
    """There is nothing to tell: an empty object."""


class Reply(Response[T]):
    """An answer whose body was made by `T`; itself the ASGI application that sends it.

    Litestar's own response renders, merges and encodes on every request what is known beforehand here.
    """

    def __init__(
        self, body: bytes, status_code: int = 200, headers: Headers | None = None, *, media_type: bytes = JSON
    ) -> None:
        # The base class would only copy what `to_asgi_response` below does not look at.
        self.body = body
        self.status_code = status_code
        self.raw_headers = headers if headers is not None else []
        self.type = media_type

    @classmethod
    def of(cls, content: T, status_code: int = 200, headers: Headers | None = None) -> "Reply[T]":
        """The content as JSON."""
        return cls(ENCODER.encode(content), status_code, headers)

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """See `Response`."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self.raw_headers
        if self.status_code not in (204, 304):
            headers += ((b"content-type", self.type), (b"content-length", b"%d" % len(self.body)))
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": self.status_code or 200,
            "headers": headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
