"""What every test may ask for: the settings of the run, a PostgreSQL server, a fresh database."""

import asyncio
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from emporium.infra.postgres import EmbeddedPostgres
from emporium.infra.settings import Settings, load

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

# Tests ask whether commits are right, not whether this machine's disk keeps them: those start servers of their own.
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=["18", "15", "url"],
        action="append",
        help="run tests/integration on this server only (may be given twice): the embedded 18, Debian's 15, "
        "or that of EMPORIUM_TEST_DATABASE_URL",
    )


@pytest.fixture(scope="session")
def run_settings() -> Settings:
    """The settings of this test run itself (`require_real`, `test_database_url`, …)."""
    return load()


@pytest.fixture(scope="session")
def lack(run_settings: Settings) -> Callable[[str], None]:
    """Call it with a reason where something real is missing: a skip, or a failure with EMPORIUM_REQUIRE_REAL=1."""

    def report(reason: str) -> None:
        if run_settings.require_real:
            pytest.fail(f"{reason} (EMPORIUM_REQUIRE_REAL is set)", pytrace=False)
        pytest.skip(reason)

    return report


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for variable in [name for name in os.environ if name.startswith("EMPORIUM_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder with a path short enough for sockets, which also a server's own user may reach."""
    folder = Path(tempfile.mkdtemp(prefix="emporium-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a running server; tests/integration runs on several in turn."""
    with started(None) as url:
        yield url


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a migrated, empty database on the server."""
    yield from _new_database(server, "emporium_template_" + str(os.getpid()), migrated)


@pytest.fixture
def make_database(server: str, template: str) -> Iterator[Callable[[], str]]:
    """Makes fresh migrated databases; each call gives the URL of another one. They go when the test ends."""
    made: list[Iterator[str]] = []

    def make() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        made.append(_new_database(server, name, template=template))
        return next(made[-1])

    yield make
    for database in made:
        next(database, None)


@pytest.fixture
def database(make_database: Callable[[], str]) -> str:
    """The URL of a fresh migrated database."""
    return make_database()


_numbers = count(1)


class started:
    """A server for tests in a folder of its own, for the time of a `with`; gives its URL.

    Args:
        binaries: folder of the server's programs; None: the embedded ones.
    """

    def __init__(self, binaries: Path | None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="emporium-pg-"))
        self._server = EmbeddedPostgres(self._folder, binaries=binaries, options=HASTY)

    def __enter__(self) -> str:
        return self._server.start()

    def __exit__(self, *_: object) -> None:
        self._server.stop(immediate=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def named(url: str, name: str) -> str:
    """The same server's URL for another database, as a libpq connection string."""
    from urllib.parse import urlsplit, urlunsplit

    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
