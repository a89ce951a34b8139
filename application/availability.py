"""How the units of a SKU stand for whoever wants some, in a word and in the words of his language."""

from datetime import date
from typing import Final, Literal

from emporium.application.timeline import LANGUAGES
from emporium.domain.backorder import PREORDER
from emporium.domain.days import day

__all__ = ["FEW", "Standing", "note", "standing"]

FEW: Final = 5
"""Units of which, and of fewer, it is said how many are left."""

Standing = Literal["in_stock", "few", "backorder", "preorder", "sold_out"]

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "in_stock": ("In stock", "Auf Lager"),
    "few": ("{units} left", "Noch {units} auf Lager"),
    "backorder": ("Back on {day}", "Wieder da am {day}"),
    "preorder": ("Released on {day}", "Erscheint am {day}"),
    "overdue": ("On order", "Nachbestellt"),
    "sold_out": ("Sold out", "Ausverkauft"),
}
"""English, German."""


def standing(available: int, later: int, kind: str | None) -> Standing:
    """The word: `later` units more can be had once they are there."""
    if available > 0:
        return "few" if available <= FEW else "in_stock"
    if later > 0:
        return "preorder" if kind == PREORDER else "backorder"
    return "sold_out"


def note(word: Standing, available: int, expected: date | None, today: date, language: str) -> str:
    """What people read. A day that has passed is not told any more."""
    place = LANGUAGES.index(language) if language in LANGUAGES else 0
    if word in ("backorder", "preorder") and (expected is None or expected < today):
        return _WORDS["overdue"][place]
    when = "" if expected is None else day(expected, LANGUAGES[place], today)
    return _WORDS[word][place].format(units=available, day=when)
