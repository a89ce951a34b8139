"""Consistency tokens: short text that survives headers, merges, and refuses what is none."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emporium.domain.registry import LOGS
from emporium.projections.consistency import Token, TokenRefused, token_of
from emporium.projections.paging import BadCursor, decode_cursor, encode_cursor
from tests.support.memory import MemoryLog

LIVES = st.binary(min_size=6, max_size=6).map(bytes.hex)
TOKENS = st.dictionaries(st.sampled_from(LOGS), st.tuples(st.integers(0, 2**63 - 1), LIVES)).map(Token)


@given(TOKENS)
def test_a_token_is_read_as_it_was_written(token: Token) -> None:
    assert Token.decode(token.encode()) == token


@given(TOKENS, TOKENS)
def test_a_merged_token_asks_for_no_less_than_either(one: Token, other: Token) -> None:
    merged = one.merge(other)
    for token in (one, other):
        for log, (at, life) in token.positions.items():
            if merged.positions[log][1] == life:
                assert merged.positions[log][0] >= at
    assert all(merged.positions[log][1] == life for log, (_, life) in other.positions.items())


@given(st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    try:
        token = Token.decode(text)
    except TokenRefused:
        return
    assert Token.decode(token.encode()) == token


@pytest.mark.parametrize(
    "text", ["ordering", "ordering.1", "ordering.1.xyz", "-", "ordering.1.000000000000-", "ä" * 2_000]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        Token.decode(text)


def test_a_token_names_the_life_of_its_log() -> None:
    log = MemoryLog("ordering")
    before = token_of(log, 5)
    log.incarnation = uuid4()
    assert token_of(log, 5) != before
    assert token_of(log, 4).merge(token_of(log, 7)) == token_of(log, 7)


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        key = decode_cursor(text, tuple[str, int])
    except BadCursor:
        return
    assert decode_cursor(encode_cursor(*key), tuple[str, int]) == key
