"""A provider that does not answer is left alone, then asked once, and goes on when it answers."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from emporium.application.ports import ProviderDown, ProviderPaused
from emporium.domain.base import Money
from emporium.infra.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker
from tests.support.memory import MemoryProvider

AT = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    def __init__(self) -> None:
        self.down = True
        self.calls = 0
        self.now = 1_000.0
        self.breaker = Breaker(MemoryProvider(self.trouble), lambda: self.now)

    def trouble(self) -> None:
        self.calls += 1
        if self.down:
            raise ProviderDown("no answer")

    async def ask(self) -> str:
        return (await self.breaker.charge(f"k{self.calls}", uuid4(), Money(1, "GBP"), "pm_ok", AT)).status

    async def fails(self) -> ProviderDown:
        with pytest.raises(ProviderDown) as raised:
            await self.ask()
        return raised.value


async def test_it_opens_after_failures_in_a_row_and_asks_once_after_a_pause() -> None:
    world = World()
    for _ in range(FAILURES):
        assert not isinstance(await world.fails(), ProviderPaused)
    assert world.calls == FAILURES
    paused = await world.fails()
    assert isinstance(paused, ProviderPaused)
    assert 0 < paused.after <= FIRST_PAUSE
    assert "no answer" in str(paused)
    assert world.calls == FAILURES
    world.now += FIRST_PAUSE
    assert not isinstance(await world.fails(), ProviderPaused)
    assert world.calls == FAILURES + 1
    world.now += FIRST_PAUSE
    assert isinstance(await world.fails(), ProviderPaused), "the pause doubles"
    for _ in range(20):
        world.now += LONGEST_PAUSE
        assert not isinstance(await world.fails(), ProviderPaused), "the pause has a limit"


async def test_one_answer_closes_it() -> None:
    world = World()
    for _ in range(FAILURES):
        await world.fails()
    world.now += FIRST_PAUSE
    world.down = False
    assert await world.ask() == "succeeded"
    assert await world.ask() == "succeeded"
    world.down = True
    for _ in range(FAILURES):
        assert not isinstance(await world.fails(), ProviderPaused)


async def test_failures_among_answers_do_not_open_it() -> None:
    world = World()
    for number in range(4 * FAILURES):
        world.down = number % 2 == 0
        if world.down:
            assert not isinstance(await world.fails(), ProviderPaused)
        else:
            assert await world.ask() == "succeeded"
