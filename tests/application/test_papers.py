"""Documents as PDF: what their reader copies out of them is what they say, in every language and over pages."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from emporium.application.ports import Overloaded, Paper, PaperLine
from emporium.domain.base import Money
from emporium.domain.invoice import Seller, TaxPart
from emporium.infra.letters import LANGUAGES
from emporium.infra.papers import _WORDS, UNKNOWN, PdfPapers
from tests.support.pdf import pages, text

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def eur(cents: int) -> Money:
    return Money(cents, "EUR")


INVOICE = Paper(
    kind="invoice",
    number="INV-2026-000001",
    made_at=AT,
    language="de",
    order_number="ABCD-EFGH-1234",
    ordered_at=AT,
    seller=Seller(legal_name="Kontor GmbH", vat_id="DE123456789", address=("Hafen 1", "20457 Hamburg")),
    recipient=("Łukasz Žižek", "Ελένη Παπαδοπούλου", "Дмитрий Щёголев", "Nguyễn Thị Ánh", "北京"),
    lines=tuple(
        PaperLine(
            line=number, sku=f"SKU-{number}", title=f"Ding (groß) \\ {number}", quantity=2, unit_price=eur(123_450),
            rate="5.5", total=eur(246_900),
        )
        for number in range(1, 71)
    ),
    sums=(("goods", eur(17_283_000)), ("discount", eur(-500)), ("shipping", eur(495))),
    total=eur(17_282_995),
    taxes=(TaxPart(rate="5.5", gross=eur(17_282_995), tax=eur(901_009)),),
    supplied_at=AT,
)  # fmt: skip


@pytest.fixture
def papers() -> Iterator[PdfPapers]:
    made = PdfPapers(threads=1, waiting=1)
    yield made
    made.close()


async def test_an_invoice_over_pages_in_german(papers: PdfPapers) -> None:
    first, *_, last = found = pages(await papers.pdf(INVOICE))
    assert len(found) == 2
    for words in (
        "Kontor GmbH", "USt-IdNr.: DE123456789", "20457 Hamburg", "Rechnung INV-2026-000001", "01.03.2026",
        "ABCD-EFGH-1234", "Łukasz Žižek", "Ελένη Παπαδοπούλου", "Дмитрий Щёголев", "Nguyễn Thị Ánh", UNKNOWN * 2,
        "Ding (groß) \\ 1", "1.234,50 €", "5,5 %", "Seite 1 / ",
    ):  # fmt: skip
        assert words in first
    # Each page names its columns; the sums stand once, at the end.
    assert "Bezeichnung" in first and "Bezeichnung" in last
    for words in (
        "-5,00 €",
        "172.829,95 €",
        "Diese Rechnung ist bezahlt",
        "Seite 2 / ",
    ):
        assert words in last and words not in first
    assert [f"SKU-{n}" in first + last for n in range(1, 71)] == [True] * 70


async def test_a_credit_note_names_its_invoice_and_the_tax(papers: PdfPapers) -> None:
    note = replace(
        INVOICE, kind="credit_note", number="CN-2026-000001", language="en", lines=(), sums=(), total=eur(1_200),
        taxes=(TaxPart(rate="20", gross=eur(1_200), tax=eur(200)),), corrects="INV-2026-000001", corrects_at=AT,
        reason="goodwill", supplied_at=None,
    )  # fmt: skip
    shown = text(await papers.pdf(note))
    for words in (
        "Credit note CN-2026-000001", "Corrects invoice INV-2026-000001 of 1 Mar 2026", "For a price reduction.",
        "20%", "€10.00", "€2.00", "€12.00",
    ):  # fmt: skip
        assert words in shown
    assert "Description" not in shown


async def test_a_packing_slip_has_no_prices(papers: PdfPapers) -> None:
    slip = replace(
        INVOICE, kind="packing_slip", number="ABCD-1", total=None, sums=(), taxes=(), language="fr",
        lines=(PaperLine(line=1, sku="MUG" * 20, title="Mug " * 60, quantity=7),), facts=(("parcel", "1 / 2"),),
    )  # fmt: skip
    shown = text(await papers.pdf(slip))
    # There is no French yet.
    assert "Packing slip ABCD-1" in shown and "1 / 2" in shown and "\n7\n" in shown
    assert "".join(shown.split()).count("MUG") == 20 and shown.count("Mug") == 60
    assert "€" not in shown and "Total" not in shown


async def test_the_same_paper_is_the_same_bytes_and_too_many_at_once_are_refused(papers: PdfPapers) -> None:
    outcomes = await asyncio.gather(*(papers.pdf(INVOICE) for _ in range(3)), return_exceptions=True)
    made = [one for one in outcomes if isinstance(one, bytes)]
    assert len(made) == 2 and made[0] == made[1]
    assert [type(one) for one in outcomes if not isinstance(one, bytes)] == [type(one) for one in outcomes[2:]]
    assert isinstance(outcomes[2], Overloaded)
    assert await papers.pdf(INVOICE) == made[0]


def test_every_language_of_mails_has_every_word() -> None:
    assert set(_WORDS) == set(LANGUAGES)
    assert len({frozenset(words) for words in _WORDS.values()}) == 1
