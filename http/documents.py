"""An order's documents: /api/v1/orders/{number}/documents, and the packing slips of its parcels for staff."""

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import PathParameter

from emporium.application import documents
from emporium.application.ports import Paper
from emporium.domain.base import Money
from emporium.domain.invoice import Document
from emporium.domain.order_number import parse_order_number
from emporium.http.auth import staff
from emporium.http.caching import PRIVATE, is_known, tag_of, tagged
from emporium.http.consistency import includes
from emporium.http.orders import Number, reachable
from emporium.http.problems import KINDS
from emporium.http.reply import ENCODER, Reply
from emporium.http.request import Request
from emporium.http.shipments import ParcelNumber
from emporium.projections import order_history
from emporium.projections.order_history import ORDER_HISTORY

__all__ = ["DocumentController", "DocumentView", "SlipController", "document_views"]

_PDF = b"application/pdf"
_LAYOUT = b"1"
"""Changes with what the pages look like, so that nobody keeps an older one."""

DocumentNumber = Annotated[
    str, PathParameter(max_length=40, description="The document's number, such as INV-2026-000017.")
]


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice or a credit note. `refund_id` and `corrects` (the invoice's number) are of credit notes."""

    number: str
    kind: Literal["invoice", "credit_note"]
    issued_at: datetime
    amount: Money
    refund_id: UUID | None
    corrects: str | None
    href: str


class DocumentList(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of an order, the invoice first."""

    order_number: str
    items: list[DocumentView]


def document_views(order_number: str, known: tuple[Document, ...]) -> list[DocumentView]:
    """Documents as they are shown."""
    return [
        DocumentView(
            number=one.number,
            kind="invoice" if one.kind == "invoice" else "credit_note",
            issued_at=one.issued_at,
            amount=one.amount,
            refund_id=one.refund_id,
            corrects=one.corrects,
            href=f"/api/v1/orders/{order_number}/documents/{one.number}",
        )
        for one in known
    ]


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
