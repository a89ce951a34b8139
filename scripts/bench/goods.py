"""Made-up goods with the demo's richness, the same every time, and what customers look for among them."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec

from emporium.application.search import Document, Price, Query

__all__ = ["SEED", "asked", "made"]

SEED: Final = 7
_SPACE: Final = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

_LOOKS: Final = ("blue", "red", "green", "black", "white", "walnut", "oak", "steel", "glass", "linen", "wool", "velvet",
                 "vintage", "modern", "rustic", "classic")  # fmt: skip
_KINDS: Final = ("lamp", "chair", "table", "mug", "kettle", "rug", "shelf", "clock", "vase", "mirror", "candle",
                 "cushion", "blanket", "basket", "tray", "bowl")  # fmt: skip
_USES: Final = ("kitchen", "garden", "office", "bedroom", "travel", "winter", "summer", "kids", "outdoor", "hanging",
                "folding", "stackable", "wall")  # fmt: skip
_SOUNDS: Final = tuple(consonant + vowel for consonant in "bdklmnrstv" for vowel in "aeo")


def made(count: int) -> list[Document]:
    """Products with a brand, two levels of categories, four attributes, prices, ratings and a description."""
    chance, first = random.Random(SEED), datetime(2025, 1, 1, tzinfo=UTC)
    names = ["".join(chance.choices(_SOUNDS, k=3)) for _ in range(count // 20)]
    found = []
    for n in range(count):
        look, kind, use = chance.choice(_LOOKS), chance.choice(_KINDS), chance.choice(_USES)
        price = chance.randrange(300, 30_000)
        found.append(
            Document(
                product_id=uuid5(_SPACE, f"product {n}"),
                slug=f"product-{n}",
                title=f"{chance.choice(names)} {look} {use} {kind}".title(),
                description=f"A {look} {kind} for the {use}, made to last. Goes with {chance.choice(_KINDS)}.",
                brand=f"Brand {chance.randrange(40)}",
                categories=(uuid5(_SPACE, use), uuid5(_SPACE, f"{use} {kind}")),
                category_names=(use, f"{use} {kind}"),
                skus=(f"SKU-{n}",),
                attributes={
                    "colour": (look,),
                    "material": (chance.choice(_LOOKS),),
                    "size": tuple(chance.sample(("s", "m", "l", "xl"), 2)),
                    "washable": (chance.choice(("yes", "no")),),
                },
                numbers={"weight": float(chance.randrange(50, 5_000))},
                prices={"GBP": Price(lowest=price, highest=price)},
                available=chance.random() < 0.9,
                rating=chance.choice((None, 3.5, 4.0, 4.6)),
                popularity=float(int(chance.paretovariate(1.1))),
                published_at=first + timedelta(minutes=n),
            )
        )
    return found


def asked(documents: Sequence[Document], chance: random.Random) -> Query:
    """Three words of a title, two of three queries with a filter."""
    words = " ".join(chance.sample(chance.choice(documents).title.split(), 3))
    query = Query(words=words, currency="GBP")
    which = chance.randrange(3)
    if which == 1:
        return msgspec.structs.replace(query, attributes={"washable": ("yes",)}, price_to=20_000)
    return msgspec.structs.replace(query, available=True) if which == 2 else query
