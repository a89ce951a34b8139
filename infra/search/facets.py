"""Facets out of counts: the same names, order and bounds whichever engine counted."""

from collections.abc import Mapping
from typing import Final

import msgspec

from emporium.application.search import Bucket, Facet

__all__ = [
    "ATTRIBUTE",
    "MOST_BUCKETS",
    "MOST_NUMBERS",
    "NUMBER",
    "PLAIN",
    "RATINGS",
    "Counts",
    "attribute_key",
    "facets",
    "tie_of",
]

from uuid import UUID

PLAIN: Final = ("brand", "category", "rating", "available", "price")
"""The facets that every catalogue has, in the order of the answer."""

ATTRIBUTE: Final = "attribute."
NUMBER: Final = "number."
RATINGS: Final = (1, 2, 3, 4)
"""A rating's facet is "this and more"."""

MOST_BUCKETS: Final = 100
MOST_NUMBERS: Final = 30


class Counts(msgspec.Struct):
    """How many of what was found have what.

    Attributes:
        values: `brand`, `category`, `available` (`true`, `false`) → value → count; `rating` → least rating → count.
        attributes: name → value → count.
        numbers: name → how many have one, the least, the greatest.
        price: how many have one, the lowest, the highest.
    """

    values: dict[str, dict[str, int]] = {}
    attributes: dict[str, dict[str, int]] = {}
    numbers: dict[str, tuple[int, float, float]] = {}
    price: tuple[int, int, int] | None = None


def facets(counts: Counts) -> tuple[Facet, ...]:
    """The facets of an answer; those without a value are left out."""
    found: list[Facet] = []
    for name in PLAIN:
        if name == "price":
            if counts.price is not None and counts.price[0]:
                count, *ends = counts.price
                found.append(Facet(name=name, buckets=tuple(Bucket(value=str(end), count=count) for end in ends)))
            continue
        buckets = _buckets(counts.values.get(name, {}), by_value=name == "rating")
        if buckets:
            found.append(Facet(name=name, buckets=buckets))
    for attribute, values in sorted(counts.attributes.items()):
        buckets = _buckets(values)
        if buckets:
            found.append(Facet(name=f"{ATTRIBUTE}{attribute}", buckets=buckets))
    for name, (count, *bounds) in sorted(counts.numbers.items())[:MOST_NUMBERS]:
        if count:
            both = tuple(Bucket(value=str(int(end)) if end.is_integer() else str(end), count=count) for end in bounds)
            found.append(Facet(name=f"{NUMBER}{name}", buckets=both))
    return tuple(found)


def _buckets(values: Mapping[str, int], *, by_value: bool = False) -> tuple[Bucket, ...]:
    there = [Bucket(value=value, count=count) for value, count in values.items() if count]
    if by_value:
        there.sort(key=lambda one: one.value, reverse=True)
    else:
        there.sort(key=lambda one: (-one.count, one.value))
    return tuple(there[:MOST_BUCKETS])


def attribute_key(name: str, value: str) -> str:
    """An attribute and its value as one term of an index."""
    return f"{name}={value}"


def tie_of(product_id: UUID) -> int:
    """Orders products that are alike in everything: 0 to 2**53 - 1, which floats hold exactly."""
    return product_id.int >> 75
