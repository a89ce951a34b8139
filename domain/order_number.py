"""The number by which people call an order: twelve characters, the last of which catches slips of the hand.

The alphabet is Crockford's base32 (no I, L, O, U). Eleven characters carry 55 bits of the order's id.
The check character makes the characters x₁ … x₁₂, read as elements of the finite field GF(32), satisfy
Σ αⁱ·x₁₂₋ᵢ = 0 (i = 0 … 11), with the field polynomial x⁵ + x³ + 1 and α = x: the single parity symbol of
a shortened Reed-Solomon code (Reed and Solomon, "Polynomial Codes over Certain Finite Fields", 1960).
All weights differ from zero and from each other, as α has order 31. So every wrong character and every
exchange of two different characters, neighbours or not, is caught. ISO 7064's MOD 37,36 promises less
(not every exchange) and needs characters outside the alphabet.
"""

from typing import Final
from uuid import UUID

from emporium.domain.base import Reason

__all__ = ["ORDER_NUMBER_MALFORMED", "order_number", "parse_order_number"]

ORDER_NUMBER_MALFORMED = Reason(
    "order_number_malformed",
    "“{number}” is not an order number: a character is wrong, missing or misplaced.",
    "invalid",
)

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BITS: Final = 5
_DATA: Final = 11
_FIELD: Final = 0b101001
_MOST_TEXT: Final = 64
_SEPARATORS: Final = frozenset(" \t\r\n\u00a0\u202f-\u2010\u2011\u2012\u2013\u2014\u2212")
_VALUES: Final = {
    **{letter: value for value, letter in enumerate(_ALPHABET)},
    **{letter.lower(): value for value, letter in enumerate(_ALPHABET)},
    **dict.fromkeys("Oo", 0),
    **dict.fromkeys("IiLl", 1),
}


def order_number(order_id: UUID) -> str:
    """The order's number, as `XXXX-XXXX-XXXX`.

    It is made of the id's lowest 55 bits, which lie behind a UUID's version and variant. Among a
    million orders two share a number with a chance of 1 in 70,000, so a look-up must expect it.
    """
    values = [order_id.int >> _BITS * place & 31 for place in reversed(range(_DATA))]
    return _written([*values, _check(values)])


def parse_order_number(text: str) -> str:
    """The number as `order_number` writes it, from however a person typed it.

    Case, spaces and dashes do not matter; O is read as 0, I and L as 1. Raises `Rejected`
    (order_number_malformed) where the number cannot be right.
    """
    values = [_VALUES.get(letter, -1) for letter in text[:_MOST_TEXT] if letter not in _SEPARATORS]
    wrong = len(text) > _MOST_TEXT or len(values) != _DATA + 1 or -1 in values
    if wrong or _check(values[:_DATA]) != values[_DATA]:
        raise ORDER_NUMBER_MALFORMED(number=text[:_MOST_TEXT])
    return _written(values)


def _check(values: list[int]) -> int:
    check = 0
    for value in values:
        check = (check ^ value) << 1
        if check > 31:
            check ^= _FIELD
    return check


def _written(values: list[int]) -> str:
    letters = "".join(_ALPHABET[value] for value in values)
    return f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"
