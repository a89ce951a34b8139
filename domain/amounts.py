"""Amounts of money as people of a language write them."""

from typing import Final

from emporium.domain.base import Money

__all__ = ["minor_units", "money"]

_SYMBOLS: Final = {"GBP": "£", "EUR": "€", "USD": "$"}

_EXPONENTS: Final = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
         "XPF"),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}  # fmt: skip
"""ISO 4217: currencies whose minor unit is not a hundredth."""


def minor_units(currency: str) -> int:
    """How many of them are one of the currency: 100, but 1 yen and 1,000 fils."""
    return int(10 ** _EXPONENTS.get(currency, 2))


def money(amount: Money, language: str) -> str:
    """The amount as people of the language write it: `£1,234.50`, `1.234,50 €`."""
    digits = _EXPONENTS.get(amount.currency, 2)
    text = f"{abs(amount.amount) / 10**digits:,.{digits}f}"
    sign = "-" if amount.amount < 0 else ""
    symbol = _SYMBOLS.get(amount.currency, amount.currency)
    if language == "de":
        text = text.translate(str.maketrans(",.", ".,"))
        return f"{sign}{text}\N{NO-BREAK SPACE}{symbol}"
    gap = "" if len(symbol) == 1 else "\N{NO-BREAK SPACE}"
    return f"{sign}{symbol}{gap}{text}"
