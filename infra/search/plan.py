"""What the words of a query ask of an index, and how much each way of being found counts: the same for every engine.

An engine only says in its own language what stands here, so that two engines find the same in the same order.
"""

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from emporium.application.search import Query, Rules
from emporium.infra.search.words import MOST_WORDS, alternatives, folded, spoken, stems, typos

__all__ = [
    "BM25",
    "PIN",
    "Begin",
    "Best",
    "Care",
    "Every",
    "Everything",
    "Near",
    "Node",
    "Sku",
    "Some",
    "Term",
    "asked_for",
    "cares",
    "closest",
    "wanted",
]

BM25: Final = 2.2
"""tantivy multiplies by k1 + 1, Lucene does not: its scores are to be multiplied by this."""

PIN: Final = 1e6
"""The score of the first pin; the next ones stand just below."""

# How much a word counts by where it stands and how well it matches.
_TITLE, _NAMES, _TEXT, _TYPO, _BEGIN, _SYNONYM, _SKU = 3.0, 1.5, 0.6, 0.5, 0.7, 0.8, 1e4


_LIKE: Final = 0.7
"""How like a word must be to be what was meant; those that are nearly as like are told apart by how common they are."""
_ALIKE: Final = 0.05


class Term(msgspec.Struct, frozen=True):
    """The word as it stands in a field: by how rare it is there and how short the field."""

    field: str
    word: str
    weight: float


class Near(msgspec.Struct, frozen=True):
    """A word of which so many letters are wrong."""

    word: str
    letters: int
    weight: float


class Begin(msgspec.Struct, frozen=True):
    """A word that begins like this."""

    word: str
    weight: float


class Sku(msgspec.Struct, frozen=True):
    """Just this SKU."""

    sku: str
    weight: float


class Best(msgspec.Struct, frozen=True):
    """The best of several ways; the others count `tie` of what they are worth."""

    ways: "tuple[Node, ...]"
    tie: float


class Every(msgspec.Struct, frozen=True):
    """All of these, each as much as `weight`."""

    parts: "tuple[Node, ...]"
    weight: float


class Some(msgspec.Struct, frozen=True):
    """At least so many of these."""

    parts: "tuple[Node, ...]"
    least: int


class Everything(msgspec.Struct, frozen=True):
    """What has no words is found by all."""


Node = Term | Near | Begin | Sku | Best | Every | Some | Everything


class Care(msgspec.Struct, frozen=True):
    """How exactly words are taken.

    Attributes:
        near: letters may be wrong.
        most: all words but one are enough.
    """

    near: bool = False
    most: bool = False


def cares(words: Sequence[str]) -> Sequence[Care]:
    """With what care to look for words, one after the other until something is found."""
    near = [Care(near=True)] if any(map(typos, words)) else []
    return [Care(), *near, *([Care(near=True, most=True)] if len(words) > 1 else [])]


def wanted(query: Query, rules: Rules, care: Care) -> Node:
    """What the query's words ask for."""
    words = folded(query.words)[:MOST_WORDS]
    if not words:
        return Everything()
    same = alternatives(words, rules)
    groups: list[Node] = []
    for at, word in enumerate(words):
        ways: list[Node] = [_word(word, care, query.language, last=at == len(words) - 1)]
        for other in same.get(at, ()):
            ways.append(Every(tuple(_word(one, care, query.language, last=False) for one in other), _SYNONYM))
        groups.append(Best(tuple(ways), 0.1) if len(ways) > 1 else ways[0])
    least = len(groups) - 1 if care.most else len(groups)
    sku = Sku(query.words.strip().casefold(), _SKU)
    return Best((Some(tuple(groups), least), sku), 0.0)


@lru_cache(10_000)
def _word(word: str, care: Care, language: str | None, *, last: bool) -> Node:
    # An index has the words of a translation by the stems of its language, and those by ours like all else.
    texts = (word,) if language is None else (word, spoken(word, language))
    ways: list[Node] = [
        Term(field, stem, weight)
        for stem in dict.fromkeys(stem for text in texts for stem in stems(text))
        for field, weight in (("title", _TITLE), ("names", _NAMES), ("text", _TEXT))
    ]
    letters = typos(word) if care.near else 0
    if letters:
        ways.append(Near(word, letters, _TYPO))
    if last and len(word) > 1:
        ways.append(Begin(word, _BEGIN))
    return Best(tuple(ways), 0.2)


def asked_for(query: Query, rules: Rules) -> Sequence[str]:
    """All words whose finding is to be shown: the query's own, and what means the same."""
    words = folded(query.words)[:MOST_WORDS]
    return [*words, *(one for others in alternatives(words, rules).values() for other in others for one in other)]


def closest(word: str, known: Sequence[tuple[str, int]]) -> str:
    """Of words with how often they occur, the one that was meant; the word itself where none is like it."""
    likeness = {one: difflib.SequenceMatcher(None, word, one).ratio() for one, _ in known}
    best = max(likeness.values(), default=0.0)
    if best < _LIKE:
        return word
    return max((count, one) for one, count in known if likeness[one] > best - _ALIKE)[1]
