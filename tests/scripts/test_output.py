"""What is shown holds nothing personal, is JSON for programs, and fits a line for people."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import UNSET

from emporium.domain.base import Money, Sealed
from emporium.domain.product import ProductUpdated
from emporium.scripts.output import brief, moment, plain

BOX = Sealed(UUID(int=1), "OrderCreated", b"secret")


class Letter(msgspec.Struct):
    to: Sealed
    copies: tuple[Sealed, ...] = ()
    more: dict[str, object] = {}
    tags: frozenset[str] = frozenset()


def test_sealed_values_are_named_as_such_however_deep_they_lie() -> None:
    letter = Letter(BOX, (BOX,), {"x": [BOX], "n": 1}, frozenset({"b", "a"}))
    assert plain(letter) == {
        "to": "[sealed]",
        "copies": ["[sealed]"],
        "more": {"x": ["[sealed]"], "n": 1},
        "tags": ["a", "b"],
    }
    assert brief(BOX) == "[sealed]"


def test_fields_that_were_not_given_are_left_out() -> None:
    event = ProductUpdated(product_id=UUID(int=2), title="Mug", brand=None)
    assert event.slug is UNSET
    assert plain(event) == {"product_id": str(UUID(int=2)), "title": "Mug", "brand": None}


def test_a_line_holds_money_and_structures_and_is_cut() -> None:
    assert brief(Money(1250, "GBP")) == "1250 GBP"
    assert brief({"a": 1}) == '{"a":1}'
    assert brief("x" * 200) == "x" * 119 + "…"


def test_times_are_utc_to_the_millisecond() -> None:
    assert moment(datetime(2026, 3, 1, 12, 0, 0, 123999, tzinfo=UTC)) == "2026-03-01 12:00:00.123"
