"""A running sandbox, and the shop's own adapters speaking to it."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emporium.infra.carrier_http import HttpCarrier
from emporium.infra.provider_http import HttpProvider
from tests.support.sandbox import SandboxProcess


class ManualClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self._now = datetime(2011, 5, 31, 23, 59, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox with a file of its own and an answer after a millisecond."""
    with SandboxProcess(tmp_path / "sandbox.sqlite") as process:
        yield process


@pytest.fixture
async def provider(sandbox: SandboxProcess) -> AsyncIterator[HttpProvider]:
    """The adapter with a patience of half a second."""
    adapter = HttpProvider(sandbox.url, timeout=0.5)
    yield adapter
    await adapter.aclose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def carrier(sandbox: SandboxProcess) -> AsyncIterator[HttpCarrier]:
    """The adapter with a patience of half a second."""
    adapter = HttpCarrier(sandbox.url, timeout=0.5)
    yield adapter
    await adapter.aclose()
