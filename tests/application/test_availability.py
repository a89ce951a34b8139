"""How units stand, in the words of a page's language."""

from datetime import date

import pytest

from emporium.application.availability import note, standing
from emporium.domain.days import day

TODAY, MAY = date(2026, 3, 1), date(2026, 5, 4)


@pytest.mark.parametrize(
    ("available", "later", "kind", "word", "english", "german"),
    [
        (6, 3, "backorder", "in_stock", "In stock", "Auf Lager"),
        (5, 0, None, "few", "5 left", "Noch 5 auf Lager"),
        (0, 3, "backorder", "backorder", "Back on 4 May", "Wieder da am 4. Mai"),
        (0, 3, "preorder", "preorder", "Released on 4 May", "Erscheint am 4. Mai"),
        (0, 0, "backorder", "sold_out", "Sold out", "Ausverkauft"),
        (0, 0, None, "sold_out", "Sold out", "Ausverkauft"),
    ],
)
def test_it_is_said_in_a_word_and_for_people(
    available: int, later: int, kind: str | None, word: str, english: str, german: str
) -> None:
    found = standing(available, later, kind)
    assert found == word
    expected = None if kind is None else MAY
    assert note(found, available, expected, TODAY, "en") == note(found, available, expected, TODAY, "fr") == english
    assert note(found, available, expected, TODAY, "de") == german


def test_a_day_that_has_passed_is_not_promised_and_another_year_is_named() -> None:
    assert note("backorder", 0, date(2026, 2, 28), TODAY, "en") == "On order"
    assert note("preorder", 0, date(2026, 2, 28), TODAY, "de") == "Nachbestellt"
    assert note("backorder", 0, TODAY, TODAY, "en") == "Back on 1 March"
    assert note("preorder", 0, date(2027, 1, 2), TODAY, "en") == "Released on 2 January 2027"
    assert (day(MAY, "en"), day(MAY, "de"), day(MAY, "fr")) == ("4 May 2026", "4. Mai 2026", "4 May 2026")
