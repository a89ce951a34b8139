"""Messages in words: jinja2 templates, one per kind and language, from which both the HTML and the plain text come."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emporium.application.ports import Letter
from emporium.domain.amounts import money
from emporium.domain.base import Money
from emporium.domain.days import day

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["LANGUAGES", "TemplateLetters", "money"]

LANGUAGES: Final = ("en", "de")
"""The first is that of people whose own is not here."""

_FOLDER: Final = Path(__file__).parent / "templates"

_WORDS: Final = {
    "en": {
        "discount": "Discount", "shipping": "Shipping", "tax": "Tax", "tax_included": "Tax included",
        "total": "Total", "ship_to": "To", "unsubscribe": "Unsubscribe",
        "access": "Your order can be looked at with its number and this code",
    },
    "de": {
        "discount": "Rabatt", "shipping": "Versand", "tax": "Steuer", "tax_included": "Enthaltene Steuer",
        "total": "Summe", "ship_to": "An", "unsubscribe": "Abbestellen",
        "access": "Ihre Bestellung lässt sich mit ihrer Nummer und diesem Code ansehen",
    },
}  # fmt: skip
"""What the layouts and macros say."""


class TemplateLetters:
    """`ports.Letters` from the templates of a folder: `<language>/<kind>.j2` and the layouts beside them."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._folder = folder

    @property
    def languages(self) -> Sequence[str]:
        """See the port."""
        return LANGUAGES

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that there are templates of."""
        return tuple(sorted(path.stem for path in (self._folder / LANGUAGES[0]).glob("*.j2")))

    def write(self, kind: str, language: str, values: Mapping[str, Any]) -> Letter:
        """See the port."""
        if kind not in self.kinds:
            raise KeyError(kind)
        language = language.partition("-")[0].lower()
        if language not in LANGUAGES:
            language = LANGUAGES[0]
        name, common = f"{language}/{kind}.j2", {**values, "language": language, "words": _WORDS[language]}
        page = {**common, "layout": "layout.html", "macros": "macros.html"}
        plain = {**common, "layout": "layout.txt", "macros": "macros.txt"}
        template = self._text.get_template(name)

        def block(name: str) -> str:
            return " ".join("".join(template.blocks[name](template.new_context(plain))).split())

        subject = block("subject")
        short = block("short") if "short" in template.blocks else subject
        html = self._html.get_template(name).render(page)
        return Letter(subject, _airy(template.render(plain)), html, short)

    @cached_property
    def _html(self) -> "Environment":
        return self._environment(autoescape=True)

    @cached_property
    def _text(self) -> "Environment":
        return self._environment(autoescape=False)

    def _environment(self, *, autoescape: bool) -> "Environment":
        # Only processes that write letters pay for the library.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
        from jinja2.runtime import Context

        environment = Environment(
            loader=FileSystemLoader(self._folder),
            autoescape=autoescape,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

        @pass_context
        def shown(context: Context, amount: Money) -> str:
            return money(amount, context["language"])

        @pass_context
        def told(context: Context, one: date) -> str:
            return day(one, context["language"])

        environment.filters["money"] = shown
        environment.filters["day"] = told
        return environment


_BLANKS: Final = re.compile(r"\n{3,}")


def _airy(text: str) -> str:
    """Without blanks at line ends, and with one empty line at most between two others."""
    lines = "\n".join(line.strip() for line in text.splitlines())
    return _BLANKS.sub("\n\n", lines).strip() + "\n"
