"""What staff have laid down for the search, as a process sees it: at most a second old, at no cost to a request."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from emporium.application.ports import EventLog
from emporium.application.search import Rules
from emporium.domain.search_rules import SEARCH_RULES, SearchRulesState, query_of, search_rules_id

__all__ = ["CurrentRules", "rules_of"]

RECENT: Final = 1.0
"""Seconds for which rules are good enough."""


def rules_of(state: SearchRulesState, words: str, now: datetime) -> Rules:
    """What holds for a query at a moment. Of several placements the first by code comes first."""
    query = query_of(words)
    there = [one for _, one in sorted(state.placements.items()) if one.query == query and one.holds(now)]
    return Rules(
        synonyms=tuple(state.synonyms.values()),
        pins=tuple(dict.fromkeys(pin for one in there for pin in one.pins)),
        boosts={product_id: factor for one in reversed(there) for product_id, factor in one.boosts.items()},
    )


class CurrentRules:
    """The rules of one process.

    Args:
        log: the catalog's.
    """

    def __init__(self, log: EventLog, *, ttl: float = RECENT, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._ttl = ttl
        self._clock = clock
        self._state = SearchRulesState()
        self._at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def recent(self) -> SearchRulesState:
        """The rules, not older than a second: one question a second for all requests. Raises Unavailable."""
        if self._clock() - self._at > self._ttl:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        return self._state

    async def _ask(self) -> None:
        at = self._clock()
        state, _ = await self._log.load(SEARCH_RULES, search_rules_id(), fresh=True)
        self._state, self._at = state or SearchRulesState(), at
