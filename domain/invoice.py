"""Invoices and credit notes: documents of an order under numbers that leave no gap within a series and year."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from emporium.domain.base import Aggregate, Command, Event, Money, State, stream_id
from emporium.domain.shop_settings import ShopSettings

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
    "TaxPart",
    "by_rate",
    "credited",
    "document_number",
    "document_of",
    "numbers_id",
    "seller_of",
]

INVOICES, CREDIT_NOTES = "INV", "CN"
"""The series."""


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells, as it stands on the document: the legal name, the VAT id, the address line by line."""

    legal_name: str
    vat_id: str | None = None
    address: tuple[str, ...] = ()


def seller_of(settings: ShopSettings) -> Seller:
    """The shop as its settings describe it."""
    at = settings.sender_address
    address = () if at is None else (at.name, *at.lines, f"{at.postcode} {at.city}".strip(), at.country)
    return Seller(
        legal_name=settings.legal_name,
        vat_id=settings.vat_id,
        address=tuple(line for line in address if line and line != settings.legal_name),
    )


class TaxPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says of one tax rate.

    Attributes:
        rate: in percent as decimal text; None where no tax was worked out.
        gross: what is paid, or given back, at this rate, the tax in it included.
    """

    rate: str | None
    gross: Money
    tax: Money

    @property
    def net(self) -> Money:
        """What is taxed."""
        return self.gross - self.tax


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What an order remembers of a document.

    Attributes:
        amount: what the customer owes by it, or gets back: the sum of what `taxes` says of each rate.
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
    taxes: tuple[TaxPart, ...] = ()


# --- events of the order ---------------------------------------------------------------------------


class InvoiceIssued(Event, frozen=True, kw_only=True):
    """The order's invoice: what it says of goods, taxes and people stands in OrderCreated."""

    order_id: UUID
    number: str
    amount: Money
    issued_at: datetime
    seller: Seller
    taxes: tuple[TaxPart, ...] = ()


class CreditNoteIssued(Event, frozen=True, kw_only=True):
    """The document of one refund; `corrects` is the number of the order's invoice."""

    order_id: UUID
    number: str
    refund_id: UUID
    amount: Money
    issued_at: datetime
    seller: Seller
    corrects: str
    taxes: tuple[TaxPart, ...] = ()


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
        taxes=event.taxes,
    )


# --- tax by rate -------------------------------------------------------------------------------------


def by_rate(amounts: Iterable[tuple[str | None, Money, Money]]) -> tuple[TaxPart, ...]:
    """(rate, gross, tax) of everything on an invoice, summed by rate in the order in which the rates come."""
    found: dict[str | None, TaxPart] = {}
    for rate, gross, tax in amounts:
        nothing = Money(0, gross.currency)
        known = found.get(rate) or TaxPart(rate=rate, gross=nothing, tax=nothing)
        found[rate] = TaxPart(rate=rate, gross=known.gross + gross, tax=known.tax + tax)
    return tuple(one for one in found.values() if one.gross.amount)


def credited(
    invoiced: Sequence[TaxPart], before: Iterable[TaxPart], amount: Money, came_back: Iterable[tuple[str | None, int]]
) -> tuple[TaxPart, ...]:
    """What a credit note of an amount says of each rate.

    What came back is credited at its own rate. The rest (goodwill, and goods whose price was given back as goodwill
    before) is shared out over what is left of each rate. So no rate is ever credited above what was invoiced at it,
    and credit notes for all of an invoice take back exactly its taxes.

    Args:
        invoiced: what the invoice says.
        before: what earlier credit notes said.
        came_back: (rate, amount in minor units) of goods that came back.
    """
    gross = {part.rate: part.gross.amount for part in invoiced}
    tax = {part.rate: part.tax.amount for part in invoiced}
    for part in before:
        gross[part.rate] -= part.gross.amount
        tax[part.rate] -= part.tax.amount
    back = dict.fromkeys(gross, 0)
    rest = amount.amount
    for rate, wanted in came_back:
        if rate in back:
            own = min(wanted, gross[rate] - back[rate], rest)
            back[rate] += own
            rest -= own
    room = {rate: left - back[rate] for rate, left in gross.items()}
    total, passed, given = sum(room.values()), 0, 0
    for rate, left in room.items() if rest and total else ():
        passed += left
        share = (2 * rest * passed + total) // (2 * total)
        back[rate] += share - given
        given = share
    return tuple(
        TaxPart(
            rate=rate,
            gross=Money(part, amount.currency),
            tax=Money((2 * tax[rate] * part + gross[rate]) // (2 * gross[rate]), amount.currency),
        )
        for rate, part in back.items()
        if part
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
