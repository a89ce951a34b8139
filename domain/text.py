"""What text may be: bounded, readable, storable; and the shapes of SKUs, codes, slugs, countries and currencies."""

import re
import unicodedata
from typing import Final

from emporium.domain.base import Reason

SKU_MOST: Final = 64
SLUG_MOST: Final = 120

_SHAPES: Final = {
    "sku": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
    "code": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"),
    "slug": re.compile(r"(?=.{1,120}\Z)[a-z0-9]+(?:-[a-z0-9]+)*"),
    "country": re.compile(r"[A-Z]{2}"),
    "currency": re.compile(r"[A-Z]{3}"),
    "language": re.compile(r"[a-z]{2}(?:-[A-Z]{2})?"),
    "image_url": re.compile(r"(?:https?://|/)[!-~]{0,1999}"),
}

TEXT_LENGTH = Reason(
    "text_length",
    "{field} has {length} characters; it may have {least} to {most}, not counting blanks around.",
    "invalid",
)
TEXT_NOT_PLAIN = Reason(
    "text_not_plain", "{field} holds a character at {position} that cannot be written or stored.", "invalid"
)
WRONG_SHAPE = Reason("wrong_shape", "{field} is not a valid {shape}.", "invalid")


def check_text(field: str, value: str, most: int, *, least: int = 1, lines: bool = False) -> str:
    """The text without blanks around it.

    Args:
        field: its name, for the reason.
        most: the most characters (code points); least: the fewest.
        lines: whether line breaks and tabs may stand in it.

    Raises `Rejected` (text_length; text_not_plain for control characters, such as NUL, and lone surrogates).
    """
    text = value.strip()
    if not least <= len(text) <= most:
        raise TEXT_LENGTH(field=field, length=len(text), least=least, most=most)
    if not text.isprintable():
        allowed = "\n\r\t" if lines else ""
        for position, character in enumerate(text):
            if unicodedata.category(character) in ("Cc", "Cs") and character not in allowed:
                raise TEXT_NOT_PLAIN(field=field, position=position)
    return text


def check_shape(field: str, value: str, shape: str) -> str:
    """The value itself, where it has the shape; raises `Rejected` (wrong_shape) otherwise.

    Shapes: `sku` (1 to 64 letters, digits, `.`, `_`, `-`, beginning with a letter or digit; case
    matters), `code` (1 to 32, as a SKU but without dots), `slug` (1 to 120 lower-case letters and
    digits in groups joined by `-`), `country` (ISO 3166 alpha-2), `currency` (ISO 4217), `language`
    (ISO 639-1, with a country where it matters: `en`, `de-AT`), `image_url` (an absolute path or an
    http(s) address of printable ASCII, up to 2,000 characters).
    """
    if _SHAPES[shape].fullmatch(value) is None:
        raise WRONG_SHAPE(field=field, shape=shape)
    return value


def slug_of(text: str) -> str:
    """A slug made of a title: accents dropped, everything else that is no letter or digit a hyphen.

    Empty where nothing is left (a title in another script): the caller adds something of its own.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_MOST].rstrip("-")
