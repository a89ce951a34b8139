"""Invoices and credit notes: documents of an order under numbers that leave no gap within a series and year."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from emporium.domain.base import Aggregate, Command, Event, Money, State, stream_id

__all__ = [
    "CREDIT_NOTES",
    "INVOICES",
    "NUMBERS",
    "CreditNoteIssued",
    "Document",
    "DocumentNumberTaken",
    "InvoiceIssued",
    "Seller",
    "TakeNumber",
    "document_number",
    "document_of",
    "numbers_id",
]

INVOICES, CREDIT_NOTES = "INV", "CN"
"""The series."""


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells, as it stands on the document: the legal name, the VAT id, the address line by line."""

    legal_name: str
    vat_id: str | None = None
    address: tuple[str, ...] = ()


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What an order remembers of a document.

    Attributes:
        amount: what the customer owes by it, or gets back.
        refund_id: of a credit note: the refund that it is for.
        corrects: of a credit note: the number of the invoice.
    """

    number: str
    kind: str
    amount: Money
    issued_at: datetime
    seller: Seller
    refund_id: UUID | None = None
    corrects: str | None = None


# --- events of the order ---------------------------------------------------------------------------


class InvoiceIssued(Event, frozen=True, kw_only=True):
    """The order's invoice: what it says of goods, taxes and people stands in OrderCreated."""

    order_id: UUID
    number: str
    amount: Money
    issued_at: datetime
    seller: Seller


class CreditNoteIssued(Event, frozen=True, kw_only=True):
    """The document of one refund; `corrects` is the number of the order's invoice."""

    order_id: UUID
    number: str
    refund_id: UUID
    amount: Money
    issued_at: datetime
    seller: Seller
    corrects: str


def document_of(event: InvoiceIssued | CreditNoteIssued) -> Document:
    """What the order remembers of the event."""
    credit = isinstance(event, CreditNoteIssued)
    return Document(
        number=event.number,
        kind="credit_note" if credit else "invoice",
        amount=event.amount,
        issued_at=event.issued_at,
        seller=event.seller,
        refund_id=event.refund_id if isinstance(event, CreditNoteIssued) else None,
        corrects=event.corrects if isinstance(event, CreditNoteIssued) else None,
    )


# --- the numbers of one series and year --------------------------------------------------------------


def numbers_id(series: str, year: int) -> UUID:
    """The id of the stream in which the numbers of a series and year are taken one after the other."""
    return stream_id("document numbers", series, year)


def document_number(series: str, year: int, count: int) -> str:
    """Such as `INV-2024-000017`."""
    return f"{series}-{year}-{count:06d}"


class DocumentNumberTaken(Event, frozen=True, kw_only=True):
    """The next number of the series and year belongs to a document of the order; it commits with the document."""

    series: str
    year: int
    count: int
    order_id: UUID


class NumbersState(State, frozen=True, kw_only=True):
    """How many numbers were taken."""

    count: int = 0


class TakeNumber(Command, frozen=True, kw_only=True):
    series: str
    year: int
    order_id: UUID


def decide(command: Command, state: NumbersState | None) -> Sequence[Event]:
    """The next number."""
    if not isinstance(command, TakeNumber):
        raise TypeError(f"numbers do not know {type(command).__name__}")
    count = 1 if state is None else state.count + 1
    return [DocumentNumberTaken(series=command.series, year=command.year, count=count, order_id=command.order_id)]


def evolve(state: NumbersState | None, event: Event) -> NumbersState:
    """The numbers after the event."""
    if not isinstance(event, DocumentNumberTaken):
        raise TypeError(f"numbers do not know {type(event).__name__}")
    return NumbersState(count=event.count)


NUMBERS: Final = Aggregate(
    name="DocumentNumbers",
    log="ordering",
    state=NumbersState,
    events=(DocumentNumberTaken,),
    decide=decide,
    evolve=evolve,
)
