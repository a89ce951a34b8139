"""A shop of several processes for the tests of this folder, which follow one another in it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.faults.buyers import Buyer, client_of, lose, stock
from tests.faults.ledger import Ledger
from tests.support.fleet import Fleet

_open: list[tuple[Fleet, ExitStack]] = []


@pytest.fixture
def fleet() -> Fleet:
    """Two gateways, two workers, Postgres and a sandbox that takes 50 ms."""
    if not _open:
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="emporium-", ignore_cleanup_errors=True))
            fleet = stack.enter_context(Fleet.up(Path(folder), sandbox_latency_ms=50))
            _open.append((fleet, stack.pop_all()))
    return _open[0][0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A fleet that nobody asks for any more takes no time from the tests of other folders."""
    if _open and (nextitem is None or nextitem.path.parent != item.path.parent):
        _open.pop()[1].close()


class Run:
    """One test's customers, and what the tables say of them."""

    def __init__(self, fleet: Fleet, client: httpx.AsyncClient, ledger: Ledger) -> None:
        self.fleet = fleet
        self.client = client
        self.ledger = ledger

    def buyer(self) -> Buyer:
        """Another guest."""
        return Buyer(self.client)

    async def stock(self, **units: int) -> None:
        """`await run.stock(MUG=10)`"""
        await stock(self.fleet, units)

    async def lose(self, sku: str, units: int) -> None:
        """Books units out, so that orders which were accepted find none."""
        await lose(self.fleet, sku, units)


@asynccontextmanager
async def run_of(fleet: Fleet) -> AsyncIterator[Run]:
    """A run in a fleet that is whole; at its end all orders settle, and everything that must hold does."""
    await fleet.whole()
    async with client_of(fleet) as client, Ledger(fleet) as ledger:
        yield Run(fleet, client, ledger)
        await ledger.settled(60)
        await ledger.check()


@pytest.fixture
async def run(fleet: Fleet) -> AsyncIterator[Run]:
    async with run_of(fleet) as run:
        yield run
