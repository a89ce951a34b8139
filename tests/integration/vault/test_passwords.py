"""A password is checked beside the event loop, in equal time for known and unknown addresses."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest
from argon2 import PasswordHasher

from emporium.application.ports import Overloaded
from emporium.infra.passwords import Busy, Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(threads=1, waiting=2, memory=1024, passes=1)
    yield made
    made.close()


async def test_only_the_password_matches_its_hash(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert "horse" not in stored
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horse ")
    assert await passwords.hash("correct horse") != stored


async def test_the_same_characters_match_however_they_are_composed(passwords: Passwords) -> None:
    assert await passwords.verify(await passwords.hash("caf\u00e9"), "cafe\u0301")


async def test_a_password_has_1_to_1024_bytes(passwords: Passwords) -> None:
    for wrong in ("", "x" * 1025, "é" * 513, "\ud800", "x" * 10_000_000):
        with pytest.raises(ValueError, match="1 to 1024 bytes"):
            await passwords.hash(wrong)
        assert not await passwords.verify(await passwords.hash("x"), wrong)
    for right in ("x", "x" * 1024, "é" * 512, "\x00"):
        assert await passwords.verify(await passwords.hash(right), right)


async def test_an_unknown_address_takes_as_long_as_a_known_one() -> None:
    passwords = Passwords(threads=1, memory=16 * 1024, passes=2)
    stored = await passwords.hash("secret")
    known, unknown = [], []
    for _ in range(7):
        began = time.process_time()
        assert not await passwords.verify(stored, "guess")
        between = time.process_time()
        assert not await passwords.dummy_verify("guess")
        known.append(between - began)
        unknown.append(time.process_time() - between)
    passwords.close()
    assert 0.5 < min(unknown) / min(known) < 2


async def test_a_hash_with_other_parameters_is_to_be_renewed(passwords: Passwords) -> None:
    stored = await passwords.hash("secret")
    stronger = Passwords(memory=2048, passes=1)
    assert not passwords.needs_rehash(stored)
    assert stronger.needs_rehash(stored)
    assert await stronger.verify(stored, "secret")
    stronger.close()


class Gate(threading.Event):
    """Holds threads up; `reached` says that one has come to it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()


class TestQueue:
    """More than a few at a time are turned away, and the event loop goes on."""

    async def test_over_the_bound_is_busy(self, passwords: Passwords, gate: Gate) -> None:
        waiting = [asyncio.ensure_future(passwords.hash("x")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await passwords.hash("x")
        with pytest.raises(Overloaded):
            await passwords.dummy_verify("x")
        gate.set()
        assert len(await asyncio.gather(*waiting)) == 3
        await passwords.hash("x")

    async def test_a_caller_who_goes_away_frees_the_place_when_the_thread_is_free(
        self, passwords: Passwords, gate: Gate
    ) -> None:
        waiting = [asyncio.ensure_future(passwords.hash("x")) for _ in range(3)]
        await asyncio.to_thread(gate.reached.wait)
        for task in waiting:
            task.cancel()
        assert all(
            isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*waiting, return_exceptions=True)
        )
        # The two that only waited have left the queue, the one under way has not.
        others = [asyncio.ensure_future(passwords.hash("x")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await passwords.hash("x")
        gate.set()
        await asyncio.gather(*others)

    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
        gate = Gate()
        real = PasswordHasher.hash

        def held(hasher: PasswordHasher, secret: bytes) -> str:
            gate.reached.set()
            gate.wait(10)
            return real(hasher, secret)

        monkeypatch.setattr(PasswordHasher, "hash", held)
        yield gate
        gate.set()


async def test_closing_turns_away_what_waits(passwords: Passwords) -> None:
    passwords.close()
    with pytest.raises((RuntimeError, CancelledError)):
        await passwords.hash("x")


def test_the_common_ones_are_known_whatever_their_case(passwords: Passwords) -> None:
    for password in ("password1", "PASSWORD1", " Password123 ", "qwertyuiop", "letmein123", "12345678"):
        assert passwords.is_common(password), password
    for password in ("correct horse battery", "Tr0ub4dor&3x", "a", ""):
        assert not passwords.is_common(password), password
