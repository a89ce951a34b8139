"""What staff lay down for the search: words that mean the same, and products put first or counted more for a query.

All of it is one stream, as there is little and staff want to see it together; it holds from the next search on.
"""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.text import check_shape, check_text

MAX_GROUPS: Final = 1_000
MAX_WORDS: Final = 30
MAX_PLACEMENTS: Final = 2_000
MAX_PINS: Final = 20
MAX_BOOSTS: Final = 50
WORDS_MOST: Final = 100
LEAST_FACTOR: Final = 0.01
MOST_FACTOR: Final = 100.0


def search_rules_id() -> UUID:
    """The id of the only stream of search rules."""
    return stream_id("search rules")


def query_of(text: str) -> str:
    """A query however it was typed: case, accents, and how many blanks stand in it do not matter."""
    plain = unicodedata.normalize("NFKD", text)
    return " ".join("".join(one for one in plain if not unicodedata.combining(one)).casefold().split())


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What is different for a query.

    Attributes:
        query: as `query_of` makes it.
        pins: products that come first, in this order, where the filters let them.
        boosts: product → factor by which it counts more (above 1) or less.
        starts_at, ends_at: from when, and until when (exclusive); None: no bound.
    """

    query: str
    pins: tuple[UUID, ...] = ()
    boosts: dict[UUID, float] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is in force."""
        begun = self.starts_at is None or self.starts_at <= now
        return begun and (self.ends_at is None or now < self.ends_at)


# --- events ----------------------------------------------------------------------------------------


class SynonymsSet(Event, frozen=True, kw_only=True):
    """These words mean the same from now on."""

    group: str
    words: tuple[str, ...]
    at: datetime


class SynonymsRemoved(Event, frozen=True, kw_only=True):
    """The words of the group are different words again."""

    group: str
    at: datetime


class PlacementSet(Event, frozen=True, kw_only=True):
    """A query is answered in a special way."""

    code: str
    placement: Placement
    at: datetime


class PlacementRemoved(Event, frozen=True, kw_only=True):
    """The query is answered like any other again."""

    code: str
    at: datetime


# --- state -----------------------------------------------------------------------------------------


class SearchRulesState(State, frozen=True, kw_only=True):
    """All rules: group → words, code → placement."""

    synonyms: dict[str, tuple[str, ...]] = {}
    placements: dict[str, Placement] = {}


# --- commands --------------------------------------------------------------------------------------


class SetSynonyms(Command, frozen=True, kw_only=True):
    group: str
    words: tuple[str, ...]
    at: datetime


class RemoveSynonyms(Command, frozen=True, kw_only=True):
    group: str
    at: datetime


class SetPlacement(Command, frozen=True, kw_only=True):
    code: str
    placement: Placement
    at: datetime


class RemovePlacement(Command, frozen=True, kw_only=True):
    code: str
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_SYNONYMS = Reason("no_such_synonyms", "There is no group of synonyms {group}.", "missing")
NO_SUCH_PLACEMENT = Reason("no_such_placement", "There is no placement {code}.", "missing")
TOO_MANY_RULES = Reason("too_many_rules", "There can be at most {most} {what}.")
RULE_WRONG = Reason("rule_wrong", "{field}: {why}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, state: SearchRulesState | None) -> Sequence[Event]:
    """The event that the command makes of the rules. Raises Rejected."""
    state = state or SearchRulesState()
    match command:
        case SetSynonyms():
            group = check_shape("group", command.group, "code")
            words = _words(command.words)
            if state.synonyms.get(group) == words:
                return []
            if group not in state.synonyms and len(state.synonyms) >= MAX_GROUPS:
                raise TOO_MANY_RULES(most=MAX_GROUPS, what="groups of synonyms")
            return [SynonymsSet(group=group, words=words, at=command.at)]
        case RemoveSynonyms():
            if command.group not in state.synonyms:
                raise NO_SUCH_SYNONYMS(group=command.group)
            return [SynonymsRemoved(group=command.group, at=command.at)]
        case SetPlacement():
            code = check_shape("code", command.code, "code")
            placement = _checked(command.placement)
            if state.placements.get(code) == placement:
                return []
            if code not in state.placements and len(state.placements) >= MAX_PLACEMENTS:
                raise TOO_MANY_RULES(most=MAX_PLACEMENTS, what="placements")
            return [PlacementSet(code=code, placement=placement, at=command.at)]
        case RemovePlacement():
            if command.code not in state.placements:
                raise NO_SUCH_PLACEMENT(code=command.code)
            return [PlacementRemoved(code=command.code, at=command.at)]
        case _:
            raise TypeError(f"the search rules do not know {type(command).__name__}")


def _words(given: Sequence[str]) -> tuple[str, ...]:
    words = tuple(query_of(check_text(f"words.{n}", word, WORDS_MOST)) for n, word in enumerate(given))
    if not 2 <= len(words) <= MAX_WORDS:
        raise RULE_WRONG(field="words", why=f"2 to {MAX_WORDS}, not {len(words)}")
    for n, word in enumerate(words):
        if not word or word in words[:n]:
            raise RULE_WRONG(field=f"words.{n}", why="it is empty, or stands there twice")
    return words


def _checked(placement: Placement) -> Placement:
    query = query_of(check_text("query", placement.query, WORDS_MOST))
    if not query:
        raise RULE_WRONG(field="query", why="it has no letters")
    if not placement.pins and not placement.boosts:
        raise RULE_WRONG(field="pins", why="neither pins nor boosts are there")
    for field, there, most in (("pins", placement.pins, MAX_PINS), ("boosts", placement.boosts, MAX_BOOSTS)):
        if len(there) > most:
            raise RULE_WRONG(field=field, why=f"{most} at most, not {len(there)}")
    if len(set(placement.pins)) < len(placement.pins):
        raise RULE_WRONG(field="pins", why="a product stands there twice")
    for product_id, factor in placement.boosts.items():
        if not LEAST_FACTOR <= factor <= MOST_FACTOR:
            raise RULE_WRONG(field=f"boosts.{product_id}", why=f"from {LEAST_FACTOR} to {MOST_FACTOR}, not {factor}")
    if placement.starts_at is not None and placement.ends_at is not None and placement.ends_at <= placement.starts_at:
        raise RULE_WRONG(field="ends_at", why="it ends before it begins")
    return replace(placement, query=query)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(state: SearchRulesState | None, event: Event) -> SearchRulesState:
    """The rules after the event."""
    state = state or SearchRulesState()
    match event:
        case SynonymsSet():
            return replace(state, synonyms={**state.synonyms, event.group: event.words})
        case SynonymsRemoved():
            return replace(state, synonyms={key: one for key, one in state.synonyms.items() if key != event.group})
        case PlacementSet():
            return replace(state, placements={**state.placements, event.code: event.placement})
        case PlacementRemoved():
            left = {key: one for key, one in state.placements.items() if key != event.code}
            return replace(state, placements=left)
        case _:
            raise TypeError(f"the search rules do not know {type(event).__name__}")


SEARCH_RULES: Final = Aggregate(
    name="SearchRules",
    log="catalog",
    state=SearchRulesState,
    events=(SynonymsSet, SynonymsRemoved, PlacementSet, PlacementRemoved),
    decide=decide,
    evolve=evolve,
)
