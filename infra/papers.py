"""Papers on pages: invoices, credit notes and packing slips as PDF, made by a few threads beside the event loop."""

import asyncio
import logging
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emporium.application.ports import Overloaded, Paper, PaperLine
from emporium.domain.amounts import money
from emporium.domain.base import Money
from emporium.infra.letters import LANGUAGES

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = ["PdfPapers", "open_papers"]

_FONTS: Final = Path(__file__).parent / "fonts"
_FONT: Final = "DejaVu"

_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "invoice": "Invoice", "credit_note": "Credit note", "packing_slip": "Packing slip",
        "invoice_number": "Invoice number", "credit_note_number": "Credit note number", "date": "Date",
        "order_number": "Order", "ordered_at": "Ordered on", "supplied_at": "Date of supply", "vat_id": "VAT ID",
        "corrects": "Corrects invoice", "of": "of", "parcel": "Parcel", "warehouse": "Warehouse", "carrier": "Carrier",
        "tracking_number": "Tracking number", "line": "No.", "sku": "Article", "title": "Description",
        "quantity": "Quantity", "unit_price": "Price", "rate": "Tax", "total": "Total", "goods": "Goods",
        "discount": "Discount", "shipping": "Shipping", "shipping_discount": "Shipping discount", "tax": "Tax",
        "to_pay": "Total", "credited": "Total credited", "tax_rate": "Tax rate", "net": "Net", "gross": "Gross",
        "no_rate": "–", "paid": "This invoice is paid. Nothing is due.", "page": "Page",
        "refunded": "The amount was paid back the way it was paid.", "tax_contained": "All prices contain the tax.",
        "returned": "For goods that came back.", "goodwill": "For a price reduction.",
        "parcel_lost": "For goods that were lost on their way.",
        "parcel_returned": "For goods that could not be delivered.",
        "parcel_given_up": "For goods that could not be sent.",
        "cancelled_in_part": "For goods that were cancelled.",
    },
    "de": {
        "invoice": "Rechnung", "credit_note": "Rechnungskorrektur", "packing_slip": "Lieferschein",
        "invoice_number": "Rechnungsnummer", "credit_note_number": "Korrekturnummer", "date": "Datum",
        "order_number": "Bestellung", "ordered_at": "Bestellt am", "supplied_at": "Lieferdatum", "vat_id": "USt-IdNr.",
        "corrects": "Korrigiert Rechnung", "of": "vom", "parcel": "Paket", "warehouse": "Lager",
        "carrier": "Versand durch", "tracking_number": "Sendungsnummer", "line": "Pos.", "sku": "Artikel",
        "title": "Bezeichnung", "quantity": "Menge", "unit_price": "Preis", "rate": "USt.", "total": "Betrag",
        "goods": "Waren", "discount": "Rabatt", "shipping": "Versand", "shipping_discount": "Rabatt auf den Versand",
        "tax": "Umsatzsteuer", "to_pay": "Gesamtbetrag", "credited": "Erstatteter Betrag", "tax_rate": "Steuersatz",
        "net": "Netto", "gross": "Brutto", "no_rate": "–", "page": "Seite",
        "paid": "Diese Rechnung ist bezahlt. Es ist nichts mehr zu zahlen.",
        "refunded": "Der Betrag wurde auf dem Weg der Zahlung erstattet.",
        "tax_contained": "Alle Preise enthalten die Umsatzsteuer.", "returned": "Für zurückgegebene Waren.",
        "goodwill": "Für einen Preisnachlass.", "parcel_lost": "Für Waren, die auf dem Weg verloren gingen.",
        "parcel_returned": "Für Waren, die nicht zugestellt werden konnten.",
        "parcel_given_up": "Für Waren, die nicht versandt werden konnten.",
        "cancelled_in_part": "Für stornierte Waren.",
    },
}  # fmt: skip

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_LEFT, _WIDE, _ROW, _SMALL, _PLAIN, _TITLE = 20.0, 170.0, 5.0, 8.0, 9.0, 15.0
"""Millimetres: the left margin, the width between the margins, the height of a row. Points: the sizes of letters."""

UNKNOWN: Final = "\N{WHITE SQUARE}"
"""Stands for a character that the fonts do not have."""


class _Column(NamedTuple):
    word: str
    width: float
    align: str
    text: Callable[[PaperLine], str]
    wraps: bool = False


class Busy(Overloaded):
    """Too many papers wait to be made; try again later."""

    def __init__(self) -> None:
        super().__init__("too many documents wait to be made")


class PdfPapers:
    """`ports.Papers` by fpdf2: about 40 ms for a page, some tenths of a second for 2,000 lines.

    Args:
        threads: how many at a time.
        waiting: how many more may wait before `Busy` is raised.
    """

    def __init__(self, threads: int = 2, waiting: int = 30) -> None:
        self._places = threading.BoundedSemaphore(threads + waiting)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="papers")

    async def pdf(self, paper: Paper) -> bytes:
        """See the port."""
        if not self._places.acquire(blocking=False):
            raise Busy
        work = self._pool.submit(_pdf, paper)
        work.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(work)

    def close(self) -> None:
        """Lets go of what is not begun; what is begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_papers() -> AsyncIterator[PdfPapers]:
    """Papers that are closed at the end."""
    papers = PdfPapers()
    try:
        yield papers
    finally:
        papers.close()


# --- pages -----------------------------------------------------------------------------------------


def _pdf(paper: Paper) -> bytes:
    language = paper.language.partition("-")[0].lower()
    page = _Page(paper, language if language in LANGUAGES else LANGUAGES[0])
    return page.made()


class _Page:
    """One paper while it is drawn."""

    def __init__(self, paper: Paper, language: str) -> None:
        # Only who looks at a document pays for the library, and for dozens of lines about its fonts nobody.
        from fpdf import FPDF

        logging.getLogger("fontTools").setLevel(logging.WARNING)

        self._paper = paper
        self._language = language
        self._words = words = _WORDS[language]
        self._pdf = pdf = FPDF(format="A4")
        pdf.add_font(_FONT, "", _FONTS / "DejaVuSans.ttf")
        pdf.add_font(_FONT, "B", _FONTS / "DejaVuSans-Bold.ttf")
        self._known: frozenset[int] = frozenset(_font(pdf).cmap)
        pdf.set_margins(_LEFT, 18, _LEFT)
        pdf.set_auto_page_break(True, 22)
        pdf.set_title(self._clean(f"{words[paper.kind]} {paper.number}"))
        pdf.set_author(self._clean(paper.seller.legal_name))
        pdf.set_lang(language)
        pdf.set_creation_date(paper.made_at)
        pdf.footer = self._footer  # type: ignore[method-assign]

    def made(self) -> bytes:
        """The bytes of the whole."""
        paper, words = self._paper, self._words
        self._pdf.add_page()
        self._head()
        self._table(self._columns(), paper.lines)
        if paper.total is not None:
            self._sums(paper.total)
            self._taxes()
            self._write(words["paid" if paper.kind == "invoice" else "refunded"])
        return bytes(self._pdf.output())

    def _clean(self, text: str) -> str:
        composed = unicodedata.normalize("NFC", " ".join(text.split()))
        return "".join(one if ord(one) in self._known else UNKNOWN for one in composed)

    def _day(self, at: datetime) -> str:
        if self._language == "de":
            return f"{at:%d.%m.%Y}"
        return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"

    def _letters(self, size: float = _PLAIN, *, bold: bool = False) -> None:
        self._pdf.set_font(_FONT, "B" if bold else "", size)

    def _cell(self, text: str, width: float, align: str = "L", *, last: bool = False, height: float = _ROW) -> None:
        """A text on one line; one that is too long is drawn narrower."""
        text = self._clean(text)
        needs = self._pdf.get_string_width(text) + 2 * self._pdf.c_margin
        narrow = needs > width
        if narrow:
            self._pdf.set_stretching(100 * width / needs)
        if last:
            self._pdf.cell(width, height, text, align=align, new_x="LMARGIN", new_y="NEXT")
        else:
            self._pdf.cell(width, height, text, align=align)
        if narrow:
            self._pdf.set_stretching(100)

    def _write(self, text: str) -> None:
        self._letters()
        self._pdf.ln(2)
        self._pdf.multi_cell(_WIDE, _ROW, self._clean(text), new_x="LMARGIN", new_y="NEXT")

    def _footer(self) -> None:
        seller, words = self._paper.seller, self._words
        known = [seller.legal_name, *([f"{words['vat_id']} {seller.vat_id}"] if seller.vat_id else [])]
        self._pdf.set_y(-15)
        self._letters(_SMALL)
        self._cell(" · ".join(known), _WIDE - 40)
        self._pdf.cell(40, _ROW, f"{words['page']} {self._pdf.page_no()} / {{nb}}", align="R")

    def _head(self) -> None:
        paper, words, pdf = self._paper, self._words, self._pdf
        seller = paper.seller
        self._letters(12, bold=True)
        self._cell(seller.legal_name, _WIDE, last=True, height=7)
        self._letters(_SMALL)
        for text in (*seller.address, *([f"{words['vat_id']}: {seller.vat_id}"] if seller.vat_id else [])):
            self._cell(text, _WIDE, last=True, height=4)
        pdf.ln(10)
        top = pdf.get_y()
        self._letters()
        for text in paper.recipient:
            self._cell(text, 85, last=True)
        below = pdf.get_y()
        pdf.set_y(top)
        for word, text in self._facts():
            pdf.set_x(_LEFT + 90)
            self._cell(words[word], 38)
            self._cell(text, 42, "R", last=True)
        pdf.set_y(max(below, pdf.get_y()) + 10)
        self._letters(_TITLE, bold=True)
        self._cell(f"{words[paper.kind]} {paper.number}", _WIDE, last=True, height=9)
        self._letters()
        if paper.corrects is not None:
            of = "" if paper.corrects_at is None else f" {words['of']} {self._day(paper.corrects_at)}"
            self._cell(f"{words['corrects']} {paper.corrects}{of}", _WIDE, last=True)
        if paper.reason is not None:
            self._cell(words[paper.reason], _WIDE, last=True)
        pdf.ln(4)

    def _facts(self) -> list[tuple[str, str]]:
        paper = self._paper
        facts = []
        if paper.kind != "packing_slip":
            facts += [(f"{paper.kind}_number", paper.number), ("date", self._day(paper.made_at))]
        facts += [("order_number", paper.order_number), ("ordered_at", self._day(paper.ordered_at))]
        if paper.supplied_at is not None:
            facts.append(("supplied_at", self._day(paper.supplied_at)))
        return [*facts, *paper.facts]

    def _columns(self) -> Sequence[_Column]:
        shown = self._money
        if self._paper.kind == "packing_slip":
            return (
                _Column("line", 12, "L", lambda one: str(one.line)),
                _Column("sku", 40, "L", lambda one: one.sku, True),
                _Column("title", 94, "L", lambda one: one.title, True),
                _Column("quantity", 24, "R", lambda one: str(one.quantity)),
            )
        return (
            _Column("line", 10, "L", lambda one: str(one.line)),
            _Column("sku", 27, "L", lambda one: one.sku, True),
            _Column("title", 58, "L", lambda one: one.title, True),
            _Column("quantity", 17, "R", lambda one: str(one.quantity)),
            _Column("unit_price", 21, "R", lambda one: "" if one.unit_price is None else shown(one.unit_price)),
            _Column("rate", 14, "R", lambda one: self._rate(one.rate)),
            _Column("total", 23, "R", lambda one: "" if one.total is None else shown(one.total)),
        )

    def _money(self, amount: Money) -> str:
        return money(amount, self._language)

    def _rate(self, rate: str | None) -> str:
        if rate is None:
            return self._words["no_rate"]
        return f"{rate.replace('.', ',')} %" if self._language == "de" else f"{rate}%"

    def _table(self, columns: Sequence[_Column], lines: Sequence[PaperLine]) -> None:
        if not lines:
            return
        pdf = self._pdf
        self._headline(columns)
        for line in lines:
            texts = [self._clean(column.text(line)) for column in columns]
            wrapped = [
                self._wrapped(text, column.width) if column.wraps else [text]
                for text, column in zip(texts, columns, strict=True)
            ]
            height = _ROW * max(map(len, wrapped))
            if pdf.will_page_break(height):
                pdf.add_page()
                self._headline(columns)
            top = pdf.get_y()
            left = _LEFT
            for column, parts in zip(columns, wrapped, strict=True):
                for number, part in enumerate(parts):
                    pdf.set_xy(left, top + number * _ROW)
                    self._cell(part, column.width, column.align)
                left += column.width
            pdf.set_xy(_LEFT, top + height)
        self._rule()

    def _headline(self, columns: Sequence[_Column]) -> None:
        self._letters(_SMALL, bold=True)
        for column in columns:
            self._cell(self._words[column.word], column.width, column.align)
        self._pdf.ln(_ROW)
        self._rule()
        self._letters()

    def _rule(self) -> None:
        y = self._pdf.get_y()
        self._pdf.line(_LEFT, y, _LEFT + _WIDE, y)
        self._pdf.ln(1)

    def _wrapped(self, text: str, width: float) -> list[str]:
        if self._pdf.get_string_width(text) <= width - 2 * self._pdf.c_margin:
            return [text]
        found: Any = self._pdf.multi_cell(width, _ROW, text, dry_run=True, output="LINES")
        return [str(part) for part in found]

    def _sums(self, total: Money) -> None:
        words, pdf = self._words, self._pdf
        self._keep((len(self._paper.sums) + 1) * _ROW)
        self._letters()
        for word, amount in self._paper.sums:
            pdf.set_x(_LEFT + 80)
            self._cell(words[word], 60)
            self._cell(self._money(amount), 30, "R", last=True)
        self._letters(bold=True)
        pdf.set_x(_LEFT + 80)
        self._cell(words["to_pay" if self._paper.kind == "invoice" else "credited"], 60)
        self._cell(self._money(total), 30, "R", last=True)

    def _taxes(self) -> None:
        words, pdf, taxes = self._words, self._pdf, self._paper.taxes
        if not any(part.rate is not None for part in taxes):
            return
        widths = (30.0, 30.0, 30.0, 30.0)
        self._keep((len(taxes) + 3) * _ROW)
        pdf.ln(4)
        self._letters(_SMALL, bold=True)
        for word, width in zip(("tax_rate", "net", "tax", "gross"), widths, strict=True):
            self._cell(words[word], width, "L" if word == "tax_rate" else "R")
        pdf.ln(_ROW)
        self._letters(_SMALL)
        for part in taxes:
            texts = (self._rate(part.rate), *(self._money(one) for one in (part.net, part.tax, part.gross)))
            for number, (text, width) in enumerate(zip(texts, widths, strict=True)):
                self._cell(text, width, "R" if number else "L")
            pdf.ln(_ROW)
        if self._paper.kind == "invoice" and self._paper.tax_inclusive:
            self._cell(words["tax_contained"], _WIDE, last=True)

    def _keep(self, height: float) -> None:
        """What follows stays together on a page."""
        if self._pdf.will_page_break(height):
            self._pdf.add_page()


def _font(pdf: "FPDF") -> Any:
    return pdf.fonts[_FONT.lower()]
