"""Days as people of a language write them."""

from datetime import date
from typing import Final

__all__ = ["day"]

_MONTHS: Final = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "de": (
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
        "Dezember",
    ),
}  # fmt: skip


def day(one: date, language: str, today: date | None = None) -> str:
    """The day as people of the language write it: `4 May 2026`, `4. Mai 2026`; without the year where it is today's."""
    known = language if language in _MONTHS else "en"
    dot = "." if known == "de" else ""
    year = "" if today is not None and one.year == today.year else f" {one.year}"
    return f"{one.day}{dot} {_MONTHS[known][one.month - 1]}{year}"
