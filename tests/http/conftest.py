"""A gateway on a real database with a small catalogue, and its worker beside it in the same process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from emporium.application import bootstrap
from emporium.infra.settings import Settings
from tests.http.client import House


@pytest.fixture
def settings(database: str, folder: Path) -> Settings:
    """Of a shop in a fresh database."""
    return msgspec.structs.replace(Settings(), database_url=database, data_dir=folder)


@asynccontextmanager
async def running(settings: Settings, *, saga: bool = False) -> AsyncIterator[House]:
    """A gateway with a catalogue in this process; its read models run beside it, and the saga where wanted."""
    async with (
        bootstrap.open_shop(settings) as shop,
        bootstrap.open_doors(shop) as doors,
        House.open(shop, doors) as house,
    ):
        runners = [bootstrap.projections(shop, name="test").run()]
        if saga:
            managers = bootstrap.process_managers(shop.shop, automatic=False, name="test")
            runners += [manager.run() for manager in managers]
        tasks = [asyncio.create_task(runner) for runner in runners]
        try:
            await house.stock_up()
            yield house
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """A gateway with a catalogue; its read models run, its saga does not."""
    async with running(settings) as house:
        yield house
