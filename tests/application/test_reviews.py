"""The first look at a review's words, and the rating that is fair to few votes."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emporium.application.reviews import Words, first_look
from emporium.domain.base import Rejected
from emporium.projections.reviews import WEIGHT, estimate

SENSIBLE = (
    "",
    "Great!",
    "Very very very good mug.",
    "I have had it for 2.5 years now (no. 3 of them is my sister's), and it still holds.Nothing to complain about.",
    "Für 9.99 nicht zu schlagen. Passt z.B. auch in die Spülmaschine.",
    "It is what it is: a lamp. We put it on the desk in the room of our son, and he likes it and we like it, for it is"
    " bright and it is not too bright. The cable is long, the foot is heavy, the switch is where the hand is. What we"
    " do not like: the shade is hot after an hour, and the box was larger than the lamp and the box of the box was"
    " larger still. But it is a good lamp, and if it breaks we will buy it again, or the one in red if there is one.",
)
LINKS = (
    "see https://example.com/x",
    "see HTTP : //example.com",
    "www.example.org has it for less",
    "cheaper at example.shop",
    "write to me@example.com",
    "hxxps://example",
)
MONOTONOUS = ("buy " * 20, "best best best shop best best best shop best best", "Gooooooooooooood", "So good. " * 9)


@pytest.mark.parametrize("text", SENSIBLE)
def test_sensible_words_need_nobody(text: str) -> None:
    assert first_look(Words(text=text)) == ()


@pytest.mark.parametrize("text", LINKS)
def test_addresses_are_seen_wherever_they_stand(text: str) -> None:
    for words in (Words(text=text), Words(title=text), Words(name=text)):
        assert first_look(words) == ("link",)


@pytest.mark.parametrize("text", MONOTONOUS)
def test_the_same_again_and_again_is_seen(text: str) -> None:
    assert "monotonous" in first_look(Words(text=text))
    dull = Words(text=SENSIBLE[-1] + " " + text * 3)
    assert "monotonous" in first_look(dull)


def test_words_are_bounded_and_plain() -> None:
    assert Words(name=" Ada ", text=" a\nb ").checked() == Words(name="Ada", text="a\nb")
    for wrong, field in (
        (Words(name="x" * 61), "name"),
        (Words(title="a\nb"), "title"),
        (Words(text="x" * 5_001), "text"),
    ):
        with pytest.raises(Rejected) as refused:
            wrong.checked()
        assert refused.value.values["field"] == field


VOTES = st.lists(st.integers(1, 5), max_size=400)


@given(VOTES, st.integers(100, 500))
def test_the_estimate_is_the_weighted_mean_to_the_hundredth(votes: list[int], prior: int) -> None:
    exact = Fraction(WEIGHT * prior + 100 * sum(votes), WEIGHT + len(votes))
    shown = estimate(len(votes), sum(votes), prior)
    assert abs(shown - exact) <= Fraction(1, 2)
    assert 100 <= shown <= 500
    if votes:
        assert min(prior, 100 * min(votes)) <= shown <= max(prior, 100 * max(votes))


def test_one_enthusiast_does_not_beat_many_content_buyers() -> None:
    assert estimate(1, 5, 420) < estimate(200, 200 * 4 + 160, 420)
    assert estimate(0, 0, 420) == 420
