"""Money, quantities, ids, reasons, texts: what every aggregate relies on; and the registry of all of them."""

import inspect
import sys
from uuid import UUID, uuid5

import msgspec
import pytest

from emporium.domain.base import (
    CURRENCY_MISMATCH,
    MAX_QUANTITY,
    Aggregate,
    Command,
    Event,
    Money,
    Reason,
    Rejected,
    check_quantity,
    stream_id,
)
from emporium.domain.registry import AGGREGATES, LOGS, SCHEMAS, UPCASTERS
from emporium.domain.text import SLUG_MOST, TEXT_LENGTH, check_shape, check_text, slug_of
from tests.domain.spec import gbp

ALL = pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda aggregate: aggregate.name)


def test_money_of_one_currency_adds_up() -> None:
    assert gbp(250) + gbp(90) - gbp(40) == gbp(300)
    assert gbp(250) * 3 == gbp(750)
    assert gbp(1) < gbp(2) <= gbp(2)
    assert gbp(3) > gbp(2) >= gbp(2)


def test_two_currencies_are_an_error() -> None:
    euro = Money(1, "EUR")
    for operation in (Money.__add__, Money.__sub__, Money.__lt__, Money.__le__):
        with pytest.raises(Rejected) as refused:
            operation(gbp(1), euro)
        assert (refused.value.code, refused.value.values) == (
            CURRENCY_MISMATCH.code,
            {"left": "GBP", "right": "EUR"},
        )


def test_quantities_are_positive_and_bounded() -> None:
    assert check_quantity(1) == 1
    assert check_quantity(MAX_QUANTITY) == MAX_QUANTITY
    for quantity in (0, -1, MAX_QUANTITY + 1):
        with pytest.raises(Rejected):
            check_quantity(quantity)


def test_the_parts_of_an_id_do_not_run_into_each_other() -> None:
    assert stream_id("a", "b", "c") != stream_id("a", "bc") != stream_id("ab", "c")
    namespace = UUID("6f1d3f0e-5b0a-5c55-9d0e-7f6e7a3f2c11")
    for number in range(200):
        assert stream_id("a", number) == uuid5(namespace, f"a\x1f{number}")


def test_a_reason_has_one_name() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        Reason(TEXT_LENGTH.code, "")
    assert {reason.kind for reason in Reason.known.values()} <= {"conflict", "invalid", "missing"}


# --- texts -----------------------------------------------------------------------------------------


def test_text_is_tidied_and_bounded() -> None:
    assert check_text("x", "  Crème brûlée 🍮 ", 20) == "Crème brûlée 🍮"
    assert check_text("x", " ", 5, least=0) == ""
    assert check_text("x", "a\r\n\tb", 5, lines=True) == "a\r\n\tb"


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x1fb", "a\x7fb", "a\x9fb", "a\ud800b"])
def test_text_that_cannot_be_stored_or_read(text: str) -> None:
    with pytest.raises(Rejected) as refused:
        check_text("x", text, 5)
    assert refused.value.values == {"field": "x", "position": 1}


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("White Hanging T-Light Holder", "white-hanging-t-light-holder"),
        ("  Crème brûlée — SET/3 ", "creme-brulee-set-3"),
        ("日本", ""),
        ("a" * 119 + " b", "a" * 119),
    ],
)
def test_a_slug_is_made_of_a_title(title: str, slug: str) -> None:
    assert slug_of(title) == slug
    if slug:
        assert check_shape("slug", slug, "slug") == slug
        assert len(slug) <= SLUG_MOST


# --- the registry ----------------------------------------------------------------------------------


def test_every_event_stands_in_one_aggregate_under_one_topic() -> None:
    topics = [f"{aggregate.log}.{event.__name__}" for aggregate in AGGREGATES for event in aggregate.events]
    assert len(topics) == len(set(topics))
    assert {aggregate.log for aggregate in AGGREGATES} <= set(LOGS)
    assert len({aggregate.name for aggregate in AGGREGATES}) == len(AGGREGATES)


@ALL
def test_every_event_of_the_module_is_registered_and_says_what_it_means(aggregate: Aggregate[object]) -> None:  # type: ignore[type-var]
    module = sys.modules[aggregate.decide.__module__]
    here = {c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__}
    own = {c for c in here if issubclass(c, Event)}
    others = {event for other in AGGREGATES if other is not aggregate for event in other.events}
    # A part of an aggregate may have a module of its own.
    assert own - others <= set(aggregate.events)
    assert not others & set(aggregate.events)
    for event in aggregate.events:
        assert event.__dict__.get("__doc__"), event
        assert event.__struct_config__.frozen and event.__struct_config__.forbid_unknown_fields
    for command in (c for c in here if issubclass(c, Command)):
        assert command.__struct_config__.frozen


def test_no_event_of_the_domain_is_left_out_of_the_registry() -> None:
    known = {event for aggregate in AGGREGATES for event in aggregate.events}
    for name in [name for name in sys.modules if name.startswith("emporium.domain.")]:
        for _, kind in inspect.getmembers(sys.modules[name], inspect.isclass):
            assert kind is Event or not issubclass(kind, Event) or kind in known


@ALL
def test_what_an_aggregate_does_not_know_is_an_error(aggregate: Aggregate[object]) -> None:  # type: ignore[type-var]
    class Unknown(Event, frozen=True, kw_only=True):
        pass

    with pytest.raises((TypeError, ValueError)):
        aggregate.evolve(None, Unknown())


def test_every_changed_event_has_its_chain_of_upcasters() -> None:
    names = {event: f"{a.log}.{event.__name__}" for a in AGGREGATES for event in a.events}
    needed = {(names[event], version) for event, schema in SCHEMAS.items() for version in range(1, schema)}
    assert needed == set(UPCASTERS)


def test_an_event_refuses_fields_it_does_not_know() -> None:
    for aggregate in AGGREGATES:
        for event in aggregate.events:
            with pytest.raises(msgspec.ValidationError, match="unknown field"):
                msgspec.json.decode(b'{"surprise":1}', type=event)
