"""An order's documents: /api/v1/orders/{number}/documents, and the packing slips of its parcels for staff."""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Controller, get
from litestar.params import PathParameter

from emporium.application import documents
from emporium.application.ports import Paper
from emporium.domain.order_number import parse_order_number
from emporium.http.auth import staff
from emporium.http.caching import PRIVATE, is_known, tag_of, tagged
from emporium.http.consistency import includes
from emporium.http.orders import DocumentView, Number, document_views, reachable
from emporium.http.problems import KINDS
from emporium.http.reply import ENCODER, Reply
from emporium.http.request import Request
from emporium.http.shipments import ParcelNumber
from emporium.projections import order_history
from emporium.projections.order_history import ORDER_HISTORY

__all__ = ["DocumentController", "SlipController"]

_PDF = b"application/pdf"
_LAYOUT = b"1"
"""Changes with what the pages look like, so that nobody keeps an older one."""

DocumentNumber = Annotated[
    str, PathParameter(max_length=40, description="The document's number, such as INV-2026-000017.")
]


class DocumentList(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of an order, the invoice first."""

    order_number: str
    items: list[DocumentView]


class DocumentController(Controller):
    """Invoices and credit notes."""

    path = "/orders/{number:str}/documents"
    tags = ["orders"]

    @get("/", opt={"tagged": True, "order": True, "models": ("order_history",)})
    async def list_documents(self, request: Request, number: Number) -> Reply[DocumentList]:
        """The documents of an order: its invoice, once the first parcel has left, and a credit note per refund."""
        detail = await reachable(request, number)
        found = detail.order.number
        return tagged(request, DocumentList(order_number=found, items=document_views(found, detail.documents)))

    @get(
        "/{document:str}",
        media_type="application/pdf",
        opt={"tagged": True, "order": True, "models": ("order_history",)},
    )
    async def document(self, request: Request, number: Number, document: DocumentNumber) -> Reply[bytes]:
        """A document as PDF, in the order's language; the person is `[erased]` where the customer was erased."""
        detail = await reachable(request, number)
        paper = await documents.document(request.services.shop, detail.order.order_id, document)
        if paper is None:
            raise KINDS.not_found("The order has no such document.")
        return await _printed(request, paper)


class SlipController(Controller):
    """Packing slips."""

    path = "/shipments/{number:str}/parcels/{parcel:int}/packing-slip"
    tags = ["shipments"]
    guards = [staff("warehouse")]

    @get("/", media_type="application/pdf", opt={"tagged": True, "models": ("order_history",)})
    async def packing_slip(self, request: Request, number: Number, parcel: ParcelNumber) -> Reply[bytes]:
        """What goes into a parcel, and to whom, as PDF; without prices."""
        exact = parse_order_number(number)
        await includes(request, ORDER_HISTORY.name)
        detail = await request.services.reads.run(lambda connection: order_history.order_by_number(connection, exact))
        paper = None
        if detail is not None:
            paper = await documents.packing_slip(request.services.shop, detail.order.order_id, parcel)
        if paper is None:
            raise KINDS.not_found("There is no such parcel.")
        return await _printed(request, paper)


async def _printed(request: Request, paper: Paper) -> Reply[Any]:
    # The bytes follow from what is on the paper, so a reader who has them costs no drawing.
    tag = tag_of(_LAYOUT + ENCODER.encode(paper))
    name = f"{paper.kind.replace('_', '-')}-{paper.number}" if paper.kind == "packing_slip" else paper.number
    headers = [(b"etag", tag), (b"cache-control", PRIVATE)]
    if is_known(request, tag):
        return Reply(b"", 304, headers)
    headers.append((b"content-disposition", f'attachment; filename="{quote(name)}.pdf"'.encode()))
    return Reply(await request.services.papers.pdf(paper), 200, headers, media_type=_PDF)
