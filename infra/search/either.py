"""Two engines behind one search: the first answers, and while it is away the second."""

from collections.abc import Sequence

from emporium.application.search import Answer, EngineDown, Query, Rules, Search, Suggestion

__all__ = ["Either"]


class Either:
    """See `emporium.application.search.Search`. Raises EngineDown where both are away."""

    def __init__(self, first: Search, second: Search) -> None:
        self._first = first
        self._second = second

    async def search(self, query: Query, rules: Rules) -> Answer:
        """See the port."""
        try:
            return await self._first.search(query, rules)
        except EngineDown:
            return await self._second.search(query, rules)

    async def suggest(self, typed: str, currency: str, limit: int) -> Sequence[Suggestion]:
        """See the port."""
        try:
            return await self._first.suggest(typed, currency, limit)
        except EngineDown:
            return await self._second.suggest(typed, currency, limit)
