"""What the demo's customers say of what they bought: put together of parts, so that no two say quite the same."""

import random
from typing import Final

from emporium.scripts.demo.catalogue import Article, label_of

__all__ = ["ANSWERS", "said"]

_TITLES: Final = {
    1: ("Sent back", "Not for me", "Disappointed", "Expected more"),
    2: ("Looks better than it is", "So-so", "Half happy", "Needs work"),
    3: ("Does the job", "Fine, not more", "Average", "It is all right"),
    4: ("Good buy", "Nearly perfect", "Well made", "Would buy again", "Solid"),
    5: ("Love it", "Just right", "Worth every penny", "A little joy", "Better than the picture", "Five stars"),
}

_OPENINGS: Final = {
    1: ("{thing}: lasted a week here.", "{thing}: arrived scratched.", "{thing}: I had hoped for more."),
    2: ("{thing}: lighter than the picture promised.", "{thing}: fine on good days.", "{thing}: I am not sure."),
    3: ("{thing}: as described and nothing beside.", "{thing}: decent for the price.", "{thing}: no complaints."),
    4: ("{thing}: in daily use for {weeks} weeks.", "{thing}: very pleased.", "{thing}: came well packed."),
    5: ("{thing}: the best buy of the year.", "{thing}: after {weeks} weeks still a reason to smile.",
        "{thing}: gave it to my sister and ordered a second time.", "{thing}: everything is thought through."),
}  # fmt: skip

_MIDDLES: Final = {
    1: ("The finish came off where my thumb goes.", "It does not fit what it was bought for.", "The size is wrong."),
    2: ("The idea is good, the execution is not.", "It wobbles unless you fold a card under it.",
        "The colour is duller than on the screen."),
    3: ("Delivery took {days} days, which was fine.", "I would choose another size next time.",
        "It does its work and takes up little room."),
    4: ("The {fact} is exactly as described.", "Delivered in {days} days.", "One small flaw in the seam, nothing more.",
        "It cleans easily, which matters in this house."),
    5: ("The {fact} makes all the difference.", "Here after {days} days, wrapped like a present.",
        "You can tell that somebody cared.", "Even my neighbour asked where it came from."),
}  # fmt: skip

_CLOSINGS: Final = {
    1: ("Would not order it again.", "The refund was quick, at least."),
    2: ("Perhaps the next edition will be better.", "Keeping it, but only just."),
    3: ("Three stars, honestly meant.", "Good enough for the {room}."),
    4: ("Recommended for the {room}.", "Would give it four and a half.", ""),
    5: ("Buy it.", "It lives in the {room} now.", "Already looking at the other colours.", ""),
}

_ROOMS: Final = ("kitchen", "hallway", "office", "cottage", "balcony", "children's room", "van", "studio")

ANSWERS: Final = (
    "Thank you for telling us. Please write to us with your order's number: we will put it right.",
    "We are sorry that it did not live up to the picture. A replacement is on its way if you want one.",
    "Thank you. We have passed this on to the workshop, and the next batch will be checked for it.",
)
"""What the shop says to those who were not happy."""


def said(chance: random.Random, article: Article, rating: int) -> tuple[str, str]:
    """A title and a text for a rating from 1 to 5; the text is sometimes empty."""
    title = chance.choice(_TITLES[rating])
    if chance.random() < 0.2:
        return title, ""
    facts = [label_of(name)[0] for name in article.attributes if name != "demo"]
    words = {
        "thing": chance.choice((article.title, article.title.split(",")[0])),
        "weeks": str(chance.randint(2, 9)),
        "days": str(chance.randint(2, 6)),
        "fact": chance.choice(facts),
        "room": chance.choice(_ROOMS),
    }
    middles = chance.sample(_MIDDLES[rating], k=chance.choice((1, 1, 2)))
    parts = [chance.choice(_OPENINGS[rating]), *middles, chance.choice(_CLOSINGS[rating])]
    return title, " ".join(part.format(**words) for part in parts if part)
