"""The sandbox's record, whatever is asked of it: no money is made, a key has one answer, a failed group is undone."""

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emporium.infra.sandbox.book import Answer, Book, Call


def charge(key: str, amount: int, method: str = "pm_ok") -> Call:
    body = {"amount": amount, "currency": "GBP", "method": method, "metadata": {"order": "o"}}
    return Call("charge", "", "", key, json.dumps(body).encode())


def refund(key: str, number: int, amount: int) -> Call:
    body = {"charge": f"ch_{number:010}", "amount": amount, "currency": "GBP"}
    return Call("refund", "", "", key, json.dumps(body).encode())


calls = st.one_of(
    st.builds(charge, st.sampled_from("abc"), st.integers(1, 5), st.sampled_from(["pm_ok", "pm_declined"])),
    st.builds(refund, st.sampled_from("defgh"), st.integers(1, 4), st.integers(1, 4)),
)


@given(st.lists(calls, max_size=30), st.integers(1, 30))
def test_no_sequence_gives_more_back_than_it_took(sequence: list[Call], group: int) -> None:
    book = Book(Path(":memory:"), 0)
    answers: list[Answer] = []
    for start in range(0, len(sequence), group):
        answers += book.answer(sequence[start : start + group])
    (state,) = book.answer([Call("state", "", "", "", b"")])
    (total,) = book.answer([Call("summary", "", "", "", b"")])
    again = book.answer(sequence)
    book.close()
    counts = json.loads(state.body)
    assert 0 <= counts["refunded"] <= counts["charged"]
    assert sum(month["charged"] - month["refunded"] for month in json.loads(total.body)) == (
        counts["charged"] - counts["refunded"]
    )
    # A key's first answer stands (a refund of a charge that did not exist yet did nothing, and may be tried again).
    for first, second in zip(answers, again, strict=True):
        assert second == first or b"charge_unknown" in first.body


def test_a_group_that_cannot_be_written_is_undone(tmp_path: Path) -> None:
    book = Book(tmp_path / "small.sqlite", 0)
    book.answer([charge("first", 1)])
    full = [charge(f"{n:0250}", 1) for n in range(1000)]
    book._run("PRAGMA max_page_count = 20")
    with pytest.raises(sqlite3.Error, match="full"):
        book.answer(full)
    book._run("PRAGMA max_page_count = 1000000")
    (state,) = book.answer([Call("state", "", "", "", b"")])
    book.close()
    assert json.loads(state.body)["charges"] == 1


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    book = Book(tmp_path / "durable.sqlite", 0)
    full = 2
    assert book._run("PRAGMA synchronous").fetchone() == (full,)
    assert book._run("PRAGMA journal_mode").fetchone() == ("wal",)
    book.close()
