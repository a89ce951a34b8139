"""/api/v1/admin/products/imports and /export: many products as a file, in and out, and an import put back."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, get, post
from litestar.params import FromQuery, PathParameter
from litestar.types import Receive, Scope, Send

from emporium.application import catalog, catalog_bulk, catalog_files
from emporium.application.catalog_files import ProductRow
from emporium.domain.catalog_import import ImportState, LeftProduct, RefusedRow
from emporium.domain.category import CategoriesState
from emporium.http.auth import staff
from emporium.http.caching import PRIVATE, tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Headers, Reply
from emporium.http.request import Request, actor_of
from emporium.projections import catalog_pages
from emporium.projections.catalog_pages import CATALOG_PAGES
from emporium.projections.paging import decode_cursor, page_of

__all__ = ["BulkController"]

LONGEST_FILE: Final = 50_000_000
"""Bytes that a file of products may have."""

_KINDS: Final = {b"text/csv": "csv", b"application/x-ndjson": "ndjson"}
_PAGE: Final = 500

ImportId = Annotated[UUID, PathParameter(description="The id of an import.")]


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is; `rows` is null until the file was read.

    Rows are products: those that were `made`, `changed` or the `same` already, and `refused` ones. While it is
    undone, `undone` counts the products that were looked at again, of which `left` could not be put back.
    """

    import_id: UUID
    status: str
    reason: str | None
    rows: int | None
    done: int
    made: int
    changed: int
    same: int
    refused: int
    undone: int
    left: int


class BulkController(Controller):
    """Files of products."""

    path = "/admin/products"
    tags = ["catalog"]
    guards = [staff("catalog_manager")]

    @post(
        "/imports",
        status_code=202,
        opt={"idempotent": True, "upload": "text/csv application/x-ndjson", "longest_body": LONGEST_FILE},
    )
    async def import_products(self, request: Request) -> Reply[ImportProgress]:
        """Takes a file of products (CSV or NDJSON, by its Content-Type) and writes it; ask its Location how far it is.

        Good rows are kept whatever the others are; each refused one is listed with line, field and reason.
        """
        session = await request.customer()
        given = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if given not in _KINDS:
            raise KINDS.unsupported_media_type("The body is text/csv or application/x-ndjson.")
        content = await request.body()
        import_id = uuid4()
        cause = request.cause(actor_of(session), import_id)
        shop, files = request.services.shop, request.services.files
        return await once(
            request,
            catalog.LOG,
            actor_of(session),
            _accepted,
            lambda keep: catalog_bulk.request(shop, files, import_id, content, _KINDS[given], cause, keep),
        )

    @get("/imports/{import_id:uuid}", opt={"tagged": True})
    async def show_import(self, request: Request, import_id: ImportId) -> Reply[ImportProgress]:
        """How far an import is."""
        return tagged(request, _progress(await catalog_bulk.find(request.services.shop, import_id)))

    @get("/imports/{import_id:uuid}/refused", opt={"tagged": True})
    async def refused_rows(
        self, request: Request, import_id: ImportId, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[RefusedRow]]:
        """The rows that were not taken, by line."""
        await catalog_bulk.find(request.services.shop, import_id)
        after = -1 if cursor is None else decode_cursor(cursor, tuple[int])[0]
        found = await catalog_bulk.refused(request.services.shop, import_id)
        page = page_of([row for row in found if row.line > after][: limit + 1], limit, lambda row: (row.line,))
        return tagged(request, listing(request, page, lambda row: row))

    @post("/imports/{import_id:uuid}/undo", status_code=202, opt={"idempotent": True})
    async def undo_import(self, request: Request, import_id: ImportId) -> Reply[ImportProgress]:
        """Puts back what an import changed; products that somebody changed since stay as they are."""
        session = await request.customer()
        cause = request.cause(actor_of(session), import_id)
        return await once(
            request,
            catalog.LOG,
            actor_of(session),
            _accepted,
            lambda keep: catalog_bulk.undo(request.services.shop, import_id, cause, keep),
        )

    @get("/imports/{import_id:uuid}/left", opt={"tagged": True})
    async def left_products(
        self, request: Request, import_id: ImportId, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[LeftProduct]]:
        """The products that could not be put back, and why."""
        await catalog_bulk.find(request.services.shop, import_id)
        start = 0 if cursor is None else decode_cursor(cursor, tuple[int])[0]
        if start < 0:
            raise KINDS.invalid_cursor()
        found = list(enumerate(await catalog_bulk.left(request.services.shop, import_id), start=1))[start:]
        page = page_of(found[: limit + 1], limit, lambda row: (row[0],))
        return tagged(request, listing(request, page, lambda row: row[1]))

    @get("/export", opt={"models": ("catalog_pages",), "file": "text/csv application/x-ndjson"})
    async def export_products(
        self, request: Request, format: FromQuery[Literal["csv", "ndjson"]] = "ndjson"
    ) -> Reply[Any]:
        """All products of every status as a file that can be imported again, as it is sent page by page."""
        await includes(request, CATALOG_PAGES.name)
        tree = await catalog.tree(request.services.shop)
        if format == "ndjson":
            return Streamed(_pages(request, tree, catalog_files.ndjson), b"application/x-ndjson", "products.ndjson")
        # Once through for the columns, once for the rows: never all at once.
        needed: set[str] = set()
        async for rows in _rows(request, tree):
            needed |= catalog_files.columns(rows)
        names = catalog_files.header(needed)
        head = (",".join(names) + "\r\n").encode()
        body = _pages(request, tree, lambda rows: catalog_files.csv_rows(rows, names), head)
        return Streamed(body, b"text/csv; charset=utf-8", "products.csv")


class Streamed(Reply[Any]):
    """An answer that is made while it is sent, so that it may be longer than memory."""

    def __init__(self, parts: AsyncIterator[bytes], kind: bytes, name: str) -> None:
        headers: Headers = [
            (b"content-type", kind),
            (b"cache-control", PRIVATE),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        ]
        super().__init__(b"", 200, headers)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _rows(request: Request, tree: CategoriesState) -> AsyncIterator[list[ProductRow]]:
    after = UUID(int=0)
    while True:
        states = await request.services.reads.run(partial(catalog_pages.states, after=after, limit=_PAGE))
        if not states:
            return
        yield [catalog_files.row_of(state, tree) for state in states]
        after = states[-1].product_id


async def _pages(
    request: Request, tree: CategoriesState, encode: Callable[[list[ProductRow]], bytes], head: bytes = b""
) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for rows in _rows(request, tree):
        yield encode(rows)


def _accepted(state: ImportState) -> Answer:
    return Answer.of(_progress(state), 202, location=f"/api/v1/admin/products/imports/{state.import_id}")


def _progress(state: ImportState) -> ImportProgress:
    return ImportProgress(
        import_id=state.import_id,
        status=state.status,
        reason=state.reason,
        rows=state.rows,
        done=state.upto,
        made=state.made,
        changed=state.changed,
        same=state.same,
        refused=state.refused,
        undone=state.undone,
        left=state.left,
    )
