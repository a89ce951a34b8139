"""Words as both engines see them: lower case, without accents, by their stem; and which of a title's words matched."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from html import escape
from re import compile as regex
from typing import Final

import tantivy

from emporium.application.search import Rules

__all__ = ["LONGEST", "MOST_WORDS", "alternatives", "analyzer", "folded", "highlighter", "spoken", "stems", "typos"]

LONGEST: Final = 40
"""Characters of a word that can be found."""

MOST_WORDS: Final = 12
"""Words of a query that are looked at."""

_WORD: Final = regex(r"\w+")
_DIGIT: Final = regex(r"\d")


def analyzer(*, stemmed: bool) -> tantivy.TextAnalyzer:
    """Takes text apart at what is neither letter nor digit."""
    builder = _plain()
    return (builder.filter(tantivy.Filter.stemmer("English")) if stemmed else builder).build()


def _plain() -> tantivy.TextAnalyzerBuilder:
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(LONGEST))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
    )


@cache
def _analyzers() -> tuple[tantivy.TextAnalyzer, tantivy.TextAnalyzer]:
    return analyzer(stemmed=False), analyzer(stemmed=True)


def folded(text: str) -> list[str]:
    """The words of a text in lower case and without accents."""
    return list(_folded(text))


@lru_cache(10_000)
def _folded(text: str) -> tuple[str, ...]:
    return tuple(_analyzers()[0].analyze(text))


def stems(text: str) -> list[str]:
    """The words of a text by their stems."""
    return list(_stems(text))


@lru_cache(10_000)
def _stems(text: str) -> tuple[str, ...]:
    return tuple(_analyzers()[1].analyze(text))


def spoken(text: str, language: str) -> str:
    """The words of a text by their stems in its own language; as they are where it has no stemmer."""
    name = _STEMMERS.get(language[:2])
    return text if name is None else " ".join(_speaker(name).analyze(text))


_STEMMERS: Final = {
    "ar": "Arabic", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "hu": "Hungarian", "it": "Italian", "nl": "Dutch", "no": "Norwegian", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "ta": "Tamil", "tr": "Turkish",
}  # fmt: skip


@cache
def _speaker(name: str) -> tantivy.TextAnalyzer:
    return _plain().filter(tantivy.Filter.stemmer(name)).build()


def typos(word: str) -> int:
    """How many letters of a word may be wrong: none of a short one, nor of what has digits."""
    if len(word) < 4 or _DIGIT.search(word) is not None:
        return 0
    return 1 if len(word) < 8 else 2


def alternatives(words: Sequence[str], rules: Rules) -> dict[int, list[list[str]]]:
    """Position in the query → what means the same, each as its words (a group that names several words of the
    query in a row counts for its first)."""
    found: dict[int, list[list[str]]] = {}
    same = _by_first(rules.synonyms) if rules.synonyms else {}
    for at, word in enumerate(words):
        for member, others in same.get(word, ()):
            if list(words[at : at + len(member)]) == member:
                found.setdefault(at, []).extend(others)
    return found


@lru_cache(8)
def _by_first(groups: tuple[tuple[str, ...], ...]) -> dict[str, list[tuple[list[str], list[list[str]]]]]:
    """First word → what begins with it, and what means the same."""
    found: dict[str, list[tuple[list[str], list[list[str]]]]] = {}
    for group in groups:
        members = [member for member in map(folded, group) if member]
        for member in members:
            found.setdefault(member[0], []).append((member, [other for other in members if other != member]))
    return found


def highlighter(words: Iterable[str], *, near: bool) -> Callable[[str], str]:
    """Makes HTML of titles, with the words that were asked for between `<mark>` tags; `near`: letters may be wrong."""
    asked = [(word, stem, typos(word) if near else 0) for word in words for stem in stems(word)]
    known: dict[str, str] = {}

    def mark(title: str) -> str:
        parts: list[str] = []
        for between, word in _parts(title):
            shown = known.get(word)
            if shown is None:
                shown = known[word] = f"<mark>{word}</mark>" if word and _matches(word, asked) else word
            parts += between, shown
        return "".join(parts)

    return mark


@lru_cache(20_000)
def _parts(title: str) -> list[tuple[str, str]]:
    """The title's words, each with the HTML of what stands before it; the last one is empty."""
    found, end = [], 0
    for match in _WORD.finditer(title):
        found.append((escape(title[end : match.start()]), match.group()))
        end = match.end()
    return [*found, (escape(title[end:]), "")]


def _matches(word: str, asked: Sequence[tuple[str, str, int]]) -> bool:
    of_word, one = _seen(word)
    for other, stem, letters in asked:
        if stem == of_word or (len(other) > 1 and one.startswith(other)) or (letters and _near(one, other, letters)):
            return True
    return False


@lru_cache(50_000)
def _seen(word: str) -> tuple[str, str]:
    """A word's stem, and the word folded; empty where it is too long to be found."""
    return "".join(stems(word)), "".join(folded(word))


def _near(one: str, other: str, most: int) -> bool:
    """Whether one becomes the other by at most so many changes (of a letter, or of two neighbours' places)."""
    if abs(len(one) - len(other)) > most or one[:1] != other[:1]:
        return False
    before, row = list[int](), list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, target in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1] <= most
