"""What a cache may believe does not depend on luck: only on what was read, and when."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from emporium.infra import revocable
from emporium.infra.revocable import TRUST, RevocableCache, repeated


class Listed:
    """A list of revocations that remembers how it was read."""

    def __init__(self) -> None:
        self.revocations: list[tuple[int, str]] = []
        self.asked: list[int] = []

    async def read(self, after: int) -> list[tuple[int, str]]:
        self.asked.append(after)
        return [revocation for revocation in self.revocations if revocation[0] > after]

    async def newest(self) -> int:
        return max((number for number, _ in self.revocations), default=0)


async def answer(keys: Sequence[str]) -> Mapping[str, str]:
    return {key: key.upper() for key in keys if key != "unknown"}


@pytest.fixture
def listed() -> Listed:
    return Listed()


@pytest.fixture
def cache(listed: Listed, seconds: Any) -> RevocableCache[str, str]:
    return RevocableCache(listed.read, listed.newest, revoked="revoked", capacity=10, clock=seconds)


async def test_every_revocation_is_read_once(cache: RevocableCache[str, str], listed: Listed) -> None:
    listed.revocations = [(3, "old")]
    await cache.start()
    await cache.fetch(["a", "b"], answer)
    listed.revocations += [(5, "a"), (9, "elsewhere")]
    await cache.catch_up()
    await cache.catch_up()
    assert listed.asked == [3, 9]
    assert (cache.get("a"), cache.get("b")) == ("revoked", "B")


async def test_a_revocation_during_one_of_two_queries_reaches_both(cache: RevocableCache[str, str]) -> None:
    begun, gate = [asyncio.Event(), asyncio.Event()], asyncio.Event()

    async def held(number: int, keys: Sequence[str]) -> Mapping[str, str]:
        begun[number].set()
        await gate.wait()
        return await answer(keys)

    fetches = [
        asyncio.ensure_future(cache.fetch(keys, lambda keys, number=number: held(number, keys)))  # type: ignore[misc]
        for number, keys in enumerate((["a", "b"], ["a", "c"]))
    ]
    for event in begun:
        await event.wait()
    cache.revoke("a")
    gate.set()
    await asyncio.gather(*fetches)
    assert [cache.get(key) for key in "abc"] == ["revoked", "B", "C"]


async def test_a_query_that_fails_leaves_nothing_behind(cache: RevocableCache[str, str]) -> None:
    async def failing(_: Sequence[str]) -> Mapping[str, str]:
        raise OSError

    with pytest.raises(OSError):
        await cache.fetch(["a"], failing)
    assert not cache._under_way
    await cache.fetch(["a", "unknown"], answer)
    assert (cache.get("a"), cache.get("unknown")) == ("A", None)


async def test_what_was_at_hand_before_the_query_is_at_hand_after_it(
    cache: RevocableCache[str, str], seconds: Any
) -> None:
    async def slow(keys: Sequence[str]) -> Mapping[str, str]:
        seconds.now += TRUST * 0.4
        return await answer(keys)

    await cache.fetch(["a"], slow)
    seconds.now += TRUST * 0.5
    await cache.fetch(["a", "b"], slow)
    assert (cache.get("a"), cache.get("b")) == ("A", "B")


async def test_repeated_work_survives_its_failures_and_ends_with_the_body(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(revocable, "_INTERVAL", 0)
    times, enough = 0, asyncio.Event()

    async def work() -> None:
        nonlocal times
        times += 1
        if times == 10:
            enough.set()
        if times % 5:
            raise RuntimeError("not now")

    async with repeated(work):
        await asyncio.wait_for(enough.wait(), 10)
    ended = times
    await asyncio.sleep(0)
    assert times == ended
    assert 2 <= sum("cannot be kept up to date" in record.message for record in caplog.records) <= 3
