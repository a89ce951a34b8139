"""/api/v1/unsubscribe: ends messages of one kind with one click, logged in or not, by the link in each of them."""

from html import escape
from typing import Annotated, Final

import msgspec
from litestar import Controller, get, post
from litestar.enums import MediaType
from litestar.params import PathParameter

from emporium.application import notifications
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request

__all__ = ["UnsubscribeController"]

Token = Annotated[str, PathParameter(max_length=200, description="From the link in the message.")]

_HEADERS: Final = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Unsubscribe</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{{max-width:36rem;margin:3rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}}</style></head>
<body><main><h1>Unsubscribe</h1><p>Do you want no more messages about {topic} by {channel}?<br>
Möchten Sie keine Nachrichten dieser Art mehr?</p>
<form method="post"><button name="List-Unsubscribe" value="One-Click">Unsubscribe · Abbestellen</button></form>
</main></body></html>"""


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """By this channel no messages about this topic are sent any more."""

    channel: str
    topic: str


class UnsubscribeController(Controller):
    """The way out of messages."""

    path = "/unsubscribe"
    tags = ["notifications"]

    @get("/{token:str}", media_type=MediaType.HTML)
    async def ask(self, request: Request, token: Token) -> Reply[str]:
        """A page with one button. It changes nothing by itself: programs that look at links must end no messages."""
        _, channel, topic = _read(request, token)
        page = _PAGE.format(topic=escape(topic), channel=escape(channel))
        return Reply(page.encode(), headers=list(_HEADERS), media_type=b"text/html; charset=utf-8")

    @post("/{token:str}", status_code=200)
    async def unsubscribe(self, request: Request, token: Token) -> Reply[Unsubscribed]:
        """Ends such messages (RFC 8058); once more changes nothing. Whatever the body says is not needed."""
        customer, channel, topic = _read(request, token)
        cause = request.cause(f"customer:{customer}", customer)
        await notifications.unsubscribe(request.services.shop, customer, channel, topic, cause)
        return Reply.of(Unsubscribed(channel=channel, topic=topic))


def _read(request: Request, token: str) -> tuple[notifications.CustomerId, str, str]:
    read = request.services.composer.unsubscribe.read(token)
    if read is None:
        raise KINDS.not_found("This link is not one that this shop sent.")
    return read
