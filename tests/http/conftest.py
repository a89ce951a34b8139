"""Gateways on real databases with a small catalogue, and their read models' engine beside them in this process."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

import msgspec
import psycopg
import pytest
import pytest_asyncio

from emporium.application import bootstrap
from emporium.application.together import end
from emporium.infra.passwords import Passwords
from emporium.infra.settings import Settings
from emporium.projections import generations
from emporium.projections.registry import MODELS
from tests import servers
from tests.http.client import House

_numbers = count(1)


@asynccontextmanager
async def running(
    settings: Settings, *, saga: bool = False, automatic: bool = False, search: bool = False, teach: bool = False
) -> AsyncIterator[House]:
    """A gateway with a catalogue in this process; its read models run beside it, saga and search where wanted.

    With `automatic` parcels wait for nobody.
    """
    async with (
        bootstrap.open_shop(settings) as shop,
        bootstrap.open_doors(shop) as doors,
        House.open(shop, doors) as house,
    ):
        runners = [bootstrap.projections(shop, name="test").run()]
        if saga:
            managers = bootstrap.process_managers(shop.shop, automatic=automatic, name="test")
            runners += [manager.run() for manager in managers]
        if search:
            runners += [one.run() for one in bootstrap.indexers(shop, name="test")]
        if teach:
            runners.append(bootstrap.teacher(shop, name="test").run())
        tasks = [asyncio.create_task(runner) for runner in runners]
        try:
            await house.stock_up()
            async with asyncio.timeout(20):
                while search and await shop.engines[0].identity() is None:
                    await asyncio.sleep(0.02)
            yield house
        finally:
            await end(tasks)


@pytest.fixture(autouse=True, scope="session")
def quick_passwords() -> Iterator[None]:
    """A hash takes no time here: how well it is made is another test's matter."""
    with patch.object(bootstrap, "Passwords", partial(Passwords, memory=64, passes=1)):
        yield


def with_read_models(all_servers: servers.Servers, server: str) -> str:
    """The name of a migrated database to copy, in which the read models have their empty tables already."""

    async def install(url: str) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await generations.install(connection, MODELS)

    return all_servers.filled(server, "shop", lambda url: asyncio.run(install(url)))


@pytest.fixture
def database(all_servers: servers.Servers, server: str) -> Iterator[str]:
    """The URL of a fresh database of a shop."""
    template = with_read_models(all_servers, server)
    with servers.made(server, f"shop_{os.getpid()}_{next(_numbers)}", template=template) as url:
        yield url


@pytest.fixture
def settings(database: str, folder: Path) -> Settings:
    """Of a shop in a fresh database."""
    return msgspec.structs.replace(Settings(), database_url=database, data_dir=folder)


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """A gateway of the test's own; its read models run, its saga does not."""
    async with running(settings) as house:
        yield house


@pytest.fixture(scope="module")
def template(all_servers: servers.Servers, server: str) -> str:
    """A migrated database to copy; made outside of any event loop, for migrations bring their own."""
    return with_read_models(all_servers, server)


@contextmanager
def elsewhere(server: str, template: str) -> Iterator[Settings]:
    """Settings of a shop in a fresh database that outlives a test."""
    folder = Path(tempfile.mkdtemp(prefix="emporium-"))
    with servers.made(server, f"shared_{os.getpid()}_{next(_numbers)}", template=template) as url:
        yield msgspec.structs.replace(Settings(), database_url=url, data_dir=folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(server: str, template: str) -> AsyncIterator[House]:
    """One gateway for all tests of a module that only look, or only touch what is their own."""
    with elsewhere(server, template) as there:
        async with running(there, search=True) as house:
            yield house
