"""Which language a page is told in: the one that is asked for, else what the browser would like best."""

from collections.abc import Collection
from typing import Annotated

from litestar.params import QueryParameter

from emporium.http.request import Request

__all__ = ["LanguageParameter", "language_of"]

LanguageParameter = Annotated[
    str | None,
    QueryParameter(pattern="^[a-z]{2}(-[A-Z]{2})?$", description="ISO 639-1; else as Accept-Language says."),
]


def language_of(request: Request, asked: str | None, known: Collection[str], default: str) -> str:
    """One of `known`, or `default`, in which everything is there."""
    for wish in (asked,) if asked is not None else _wishes(request):
        for one in (wish, wish.partition("-")[0]):
            if one in known or one == default:
                return one
    return default


def _wishes(request: Request) -> list[str]:
    """The languages of Accept-Language, the best first."""
    header = request.header(b"accept-language")
    if header is None:
        return []
    found = []
    for part in header[:1_000].decode("latin-1").split(","):
        tag, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        language, dash, country = tag.strip().partition("-")
        if weight > 0:
            found.append((weight, language.lower() + dash + country.upper()))
    return [tag for _, tag in sorted(found, key=lambda one: -one[0])]
