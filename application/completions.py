"""What may be meant by what is being typed: queries that others found something with, categories, products."""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.search import Search, Suggestion
from emporium.domain.search_rules import query_of

__all__ = ["Completions", "Known"]

_log = logging.getLogger(__name__)

FRESH: Final = 30.0
"""Seconds for which past queries and categories are not looked up again."""

MOST_QUERIES: Final = 3
MOST_CATEGORIES: Final = 2


class Known(msgspec.Struct, frozen=True):
    """What can be completed beside products: queries, the most frequent first; categories by name."""

    queries: Sequence[str] = ()
    categories: Sequence[tuple[UUID, str]] = ()


class Completions:
    """Completes what is being typed; for one process.

    Args:
        search: finds the products.
        known: looks the rest up; nobody who types waits for it.
    """

    def __init__(
        self, search: Search, known: Callable[[], Awaitable[Known]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._search = search
        self._look = known
        self._clock = clock
        self._at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._queries: list[tuple[str, int]] = []
        self._categories: list[tuple[UUID, str, str]] = []

    async def complete(self, typed: str, currency: str, limit: int) -> list[Suggestion]:
        """At most `limit`, of which at least half are kept for products. Raises EngineDown."""
        if self._clock() - self._at > FRESH and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self.refresh())
        products = await self._search.suggest(typed, currency, limit)
        begin = query_of(typed)
        if not begin:
            return list(products)
        beside = [*self._of_queries(begin), *self._of_categories(begin)][: max(limit // 2, limit - len(products))]
        return [*beside, *products][:limit]

    async def refresh(self) -> None:
        """Looks up what others have searched for, and the categories."""
        self._at = self._clock()
        try:
            known = await self._look()
        except Exception as error:
            _log.warning("queries and categories are not suggested anew: %s", error)
            return
        self._queries = sorted((words, rank) for rank, words in enumerate(known.queries))
        self._categories = [(key, name, f" {query_of(name)}") for key, name in known.categories]

    def _of_queries(self, begin: str) -> list[Suggestion]:
        found = []
        for n in range(bisect_left(self._queries, (begin, -1)), len(self._queries)):
            words, rank = self._queries[n]
            if not words.startswith(begin):
                break
            if words != begin:
                found.append((rank, words))
        return [Suggestion(kind="query", text=words) for _, words in sorted(found)[:MOST_QUERIES]]

    def _of_categories(self, begin: str) -> list[Suggestion]:
        found = (one for one in self._categories if f" {begin}" in one[2])
        named = [Suggestion(kind="category", text=name, target=str(key)) for key, name, _ in found]
        return named[:MOST_CATEGORIES]
