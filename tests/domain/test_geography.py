"""How far countries are from each other."""

import pytest

from emporium.domain.geography import _MIDDLES, UNKNOWN, distance


@pytest.mark.parametrize(
    ("home", "near", "far"),
    [("GB", "FR", "PL"), ("DE", "AT", "ES"), ("US", "CA", "GB"), ("NZ", "AU", "JP"), ("PT", "ES", "FR")],
)
def test_neighbours_are_nearer_than_strangers(home: str, near: str, far: str) -> None:
    assert 0 < distance(home, near) < distance(home, far) < UNKNOWN


def test_a_country_is_nearest_to_itself_and_both_ways_are_as_long() -> None:
    codes = sorted(_MIDDLES)
    assert len(codes) > 240
    for one in codes:
        assert distance(one, one) == 0
        for other in codes[::17]:
            assert distance(one, other) == distance(other, one) <= 20_038
            assert distance(one, other) > 0 or one == other


def test_it_does_not_matter_on_which_side_of_the_date_line_they_are() -> None:
    assert distance("FJ", "WS") < 1_500


@pytest.mark.parametrize(("one", "other"), [("GB", "QQ"), ("QQ", "GB"), ("", "GB"), ("gb", "GB")])
def test_what_is_not_known_is_farther_than_anything_that_is(one: str, other: str) -> None:
    assert distance(one, other) == UNKNOWN > max(distance("GB", code) for code in _MIDDLES)
    assert distance("QQ", "QQ") == 0
