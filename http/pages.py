"""What is there beside the API: its document, the page about it, the kinds of problems, pictures, measures."""

import asyncio
from collections.abc import Sequence
from html import escape
from typing import Annotated, Any, Final

from litestar import Controller, get
from litestar.params import PathParameter

from emporium.domain.base import Reason
from emporium.http import openapi
from emporium.http.metrics import Metrics
from emporium.http.problems import KINDS, Kind, status_of, title_of
from emporium.http.reply import ENCODER, Reply
from emporium.http.request import Request

__all__ = ["Documents", "PageController"]

_HTML: Final = b"text/html; charset=utf-8"
_STRICT: Final = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
]
_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"


class PageController(Controller):
    """Everything outside the API."""

    path = "/"
    include_in_schema = False

    @get("/api/v1/openapi.json")
    async def document(self, request: Request) -> Reply[Any]:
        """The OpenAPI document."""
        return Reply((await _documents(request))[0])

    @get("/api/v1/docs")
    async def docs(self, request: Request) -> Reply[Any]:
        """The same as a page."""
        return Reply((await _documents(request))[1], headers=list(_STRICT), media_type=_HTML)

    @get("/")
    async def root(self, request: Request) -> Reply[Any]:
        """Leads whoever opens the bare address to the page about the API."""
        return Reply(b"", 307, [(b"location", b"/api/v1/docs")], media_type=_HTML)

    @get("/problems")
    async def problems(self, request: Request) -> Reply[Any]:
        """Every kind of problem."""
        rows = "".join(
            f'<tr><td><a href="/problems/{code}">{code}</a><td>{status}<td>{escape(text)}</tr>'
            for code, status, text in _kinds()
        )
        return _page("Problems", f"<table><tr><th>type<th>status<th>meaning</tr>{rows}</table>")

    @get("/problems/{code:str}")
    async def problem(self, request: Request, code: Annotated[str, PathParameter(max_length=64)]) -> Reply[Any]:
        """One kind of problem."""
        for known, status, text in _kinds():
            if known == code:
                return _page(title_of(code), f"<p>HTTP status {status}. {escape(text)}</p>")
        raise KINDS.not_found("There is no such kind of problem.")

    @get("/metrics")
    async def metrics(self, request: Request) -> Reply[Any]:
        """Measures in Prometheus' text format."""
        metrics: Metrics = request.scope["metrics"]  # type: ignore[typeddict-item]
        return Reply(metrics.exposition(), media_type=_TEXT)

    @get("/media/{name:str}")
    async def media(self, request: Request, name: Annotated[str, PathParameter(max_length=200)]) -> Reply[Any]:
        """A picture; its name is the hash of its content, so that it never changes."""
        file = await asyncio.to_thread(request.services.media.get, name)
        if file is None:
            raise KINDS.not_found()
        headers = {name.encode(): value.encode() for name, value in file.headers.items()}
        kind = headers.pop(b"content-type")
        if request.header(b"if-none-match") == headers.get(b"etag"):
            return Reply(b"", 304, list(headers.items()))
        return Reply(file.content, headers=list(headers.items()), media_type=kind)


def _kinds() -> Sequence[tuple[str, int, str]]:
    """Code, status and text of every kind of problem."""
    ours = [(kind.code, kind.status, kind.text) for kind in Kind.known.values()]
    domain = [(reason.code, status_of(reason.code), reason.text) for reason in Reason.known.values()]
    return sorted([*ours, *domain])


def _page(title: str, content: str) -> Reply[Any]:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
        "body{max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{text-align:left;padding:.1rem .8rem .1rem 0}</style>"
        f"</head><body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
    return Reply(html.encode(), headers=list(_STRICT), media_type=_HTML)


async def _documents(request: Request) -> tuple[bytes, bytes]:
    documents: Documents = request.app.state.documents
    return await documents.get()


class Documents:
    """The OpenAPI document and its page, made when somebody asks for the first time.

    Args:
        handlers: of the whole API.
    """

    def __init__(self, handlers: Sequence[Any]) -> None:
        self._handlers = list(handlers)
        self._made: asyncio.Task[tuple[bytes, bytes]] | None = None

    async def get(self) -> tuple[bytes, bytes]:
        """Both as bytes."""
        if self._made is None:
            self._made = asyncio.create_task(asyncio.to_thread(self._make))
        return await asyncio.shield(self._made)

    def _make(self) -> tuple[bytes, bytes]:
        schema = openapi.document(self._handlers)
        return ENCODER.encode(schema), openapi.page(schema)
