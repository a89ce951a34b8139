"""An order number is read back from however it was typed, and a slip of the hand is noticed."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emporium.domain.base import Rejected
from emporium.domain.order_number import order_number, parse_order_number

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SEEN_AS = {"0": "0Oo", "1": "1IiLl"}

ids = st.uuids()


def bare(number: str) -> str:
    return number.replace("-", "")


def refused(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_order_number(text)
    assert caught.value.code == "order_number_malformed"


def test_a_known_id_keeps_its_number_for_ever() -> None:
    assert order_number(UUID("00000000-0000-0000-0000-000000000000")) == "0000-0000-0000"
    assert order_number(UUID("6f1d3f0e-5b0a-5c55-9d0e-7f6e7a3f2c11")) == "3KZD-SX3Y-B0H3"


@given(ids)
def test_a_number_is_three_groups_of_the_alphabet_and_reads_as_itself(order_id: UUID) -> None:
    number = order_number(order_id)
    groups = number.split("-")
    assert [len(group) for group in groups] == [4, 4, 4]
    assert set(bare(number)) <= set(ALPHABET)
    assert parse_order_number(number) == number


@given(ids, ids)
def test_ids_that_differ_in_their_last_55_bits_have_different_numbers(one: UUID, other: UUID) -> None:
    same_bits = one.int % 2**55 == other.int % 2**55
    assert (order_number(one) == order_number(other)) == same_bits


@given(ids, st.data())
def test_however_it_is_typed_it_is_the_same_number(order_id: UUID, data: st.DataObject) -> None:
    number = order_number(order_id)
    typed = ""
    for letter in bare(number):
        typed += data.draw(st.sampled_from(["", " ", "-", " – ", "\u00a0"]))
        typed += data.draw(st.sampled_from(SEEN_AS.get(letter, letter + letter.lower())))
    assert parse_order_number(typed) == number


@given(ids, st.integers(0, 11), st.sampled_from(ALPHABET))
def test_every_wrong_character_is_caught(order_id: UUID, place: int, letter: str) -> None:
    number = bare(order_number(order_id))
    if number[place] != letter:
        refused(number[:place] + letter + number[place + 1 :])


@given(ids, st.integers(0, 11), st.integers(0, 11))
def test_every_exchange_of_two_characters_is_caught(order_id: UUID, one: int, other: int) -> None:
    letters = list(bare(order_number(order_id)))
    if letters[one] != letters[other]:
        letters[one], letters[other] = letters[other], letters[one]
        refused("".join(letters))


@given(ids, st.integers(0, 11), st.sampled_from(ALPHABET))
def test_a_missing_or_additional_character_is_caught(order_id: UUID, place: int, letter: str) -> None:
    number = bare(order_number(order_id))
    refused(number[:place] + number[place + 1 :])
    refused(number[:place] + letter + number[place:])


@given(st.text(max_size=100))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = parse_order_number(text)
    except Rejected as rejected:
        assert rejected.code == "order_number_malformed"
    else:
        assert parse_order_number(number) == number


@pytest.mark.parametrize("text", ["", "-", "3KZD-SX3Y-B0HU", "3KZD-SX3Y-B0Hı", "0" * 11, "0" * 10_000_000, "٠" * 12])
def test_what_is_no_number_is_refused(text: str) -> None:
    refused(text)
