"""What staff may lay down for the search."""

from datetime import timedelta
from uuid import UUID

import pytest

from emporium.application.search_rules import rules_of
from emporium.domain.search_rules import (
    MAX_PINS,
    NO_SUCH_PLACEMENT,
    NO_SUCH_SYNONYMS,
    RULE_WRONG,
    Placement,
    PlacementRemoved,
    PlacementSet,
    RemovePlacement,
    RemoveSynonyms,
    SetPlacement,
    SetSynonyms,
    SynonymsRemoved,
    SynonymsSet,
    query_of,
)
from emporium.domain.text import WRONG_SHAPE
from tests.domain.spec import LATER, NOW, given, uid

SOFAS = SynonymsSet(group="sofas", words=("sofa", "couch"), at=NOW)


def placement(query: str = "cup", *pins: UUID, **more: object) -> Placement:
    return Placement(query=query, pins=pins or (uid(1),), **more)  # type: ignore[arg-type]


def test_a_query_is_the_same_however_it_is_typed() -> None:
    assert query_of("  Café   CUP ") == query_of("cafe cup") == "cafe cup"


def test_synonyms_come_change_and_go() -> None:
    given().when(SetSynonyms(group="sofas", words=(" Sofa", "Couch"), at=NOW)).then(SOFAS)
    given(SOFAS).when(SetSynonyms(group="sofas", words=("sofa", "couch"), at=LATER)).then()
    changed = SynonymsSet(group="sofas", words=("sofa", "settee"), at=LATER)
    given(SOFAS).when(SetSynonyms(group="sofas", words=("sofa", "settee"), at=LATER)).then(changed)
    gone = SynonymsRemoved(group="sofas", at=LATER)
    given(SOFAS).when(RemoveSynonyms(group="sofas", at=LATER)).then(gone)
    given(SOFAS, gone).when(RemoveSynonyms(group="sofas", at=LATER)).rejected(NO_SUCH_SYNONYMS)


@pytest.mark.parametrize("words", [("sofa",), ("sofa", "SOFA"), tuple(f"word {n}" for n in range(31))])
def test_a_group_has_some_different_words(words: tuple[str, ...]) -> None:
    given().when(SetSynonyms(group="sofas", words=words, at=NOW)).rejected(RULE_WRONG)


def test_placements_come_change_and_go() -> None:
    placed = PlacementSet(code="cups", placement=placement("cup"), at=NOW)
    given().when(SetPlacement(code="cups", placement=placement(" CUP "), at=NOW)).then(placed)
    given(placed).when(SetPlacement(code="cups", placement=placement("cup"), at=LATER)).then()
    gone = PlacementRemoved(code="cups", at=LATER)
    given(placed).when(RemovePlacement(code="cups", at=LATER)).then(gone)
    given(placed, gone).when(RemovePlacement(code="cups", at=LATER)).rejected(NO_SUCH_PLACEMENT)
    given().when(SetPlacement(code="a b", placement=placement(), at=NOW)).rejected(WRONG_SHAPE)


@pytest.mark.parametrize(
    "wrong",
    [
        Placement(query="cup"),
        placement("\u0301"),
        placement("cup", uid(1), uid(1)),
        placement("cup", *(uid(n) for n in range(MAX_PINS + 1))),
        placement("cup", boosts={uid(2): 0.0}),
        placement("cup", boosts={uid(2): float("nan")}),
        placement("cup", starts_at=NOW, ends_at=NOW),
    ],
)
def test_a_placement_says_something_possible(wrong: Placement) -> None:
    given().when(SetPlacement(code="cups", placement=wrong, at=NOW)).rejected(RULE_WRONG)


def test_rules_hold_for_their_query_and_their_time() -> None:
    one = placement("cup", uid(2), boosts={uid(9): 3.0}, ends_at=LATER)
    other = placement("cup", uid(1), uid(2), boosts={uid(9): 2.0})
    events = [SOFAS, PlacementSet(code="b", placement=other, at=NOW), PlacementSet(code="a", placement=one, at=NOW)]
    state = given(*events).state
    now = rules_of(state, "CUP", NOW)
    assert (now.pins, now.boosts, now.synonyms) == ((uid(2), uid(1)), {uid(9): 3.0}, (("sofa", "couch"),))
    later = rules_of(state, "cup", LATER)
    assert (later.pins, later.boosts) == ((uid(1), uid(2)), {uid(9): 2.0})
    assert rules_of(state, "cups", NOW).pins == ()
    assert not placement(starts_at=NOW + timedelta(seconds=1)).holds(NOW)
