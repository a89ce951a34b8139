"""What every test may ask for: a PostgreSQL server, fresh migrated databases, a folder for servers."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests import servers
from tests.support import elastic

_numbers = count(1)

# How long hypothesis may look: enough to find what is wrong, short enough to run every time. How long one example
# takes depends on what else the machine does.
settings.register_profile(
    "emporium", deadline=None, max_examples=100, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("emporium")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=["18", "15", "url"],
        action="append",
        help="run tests/integration on this server only (may be repeated): the embedded 18, Debian's 15, "
        "or that of EMPORIUM_TEST_DATABASE_URL",
    )


COUNTED: Final = frozenset(
    {"application", "domain", "integration/eventstore", "integration/vault", "projections", "properties", "scripts"}
)
"""Folders of tests whose covered lines are counted: the units, and the store. The others go over the same lines again
and again, with whole shops, where what matters is what comes of it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Counting covered lines costs half as much again as the tests themselves: it is done where it tells something,
    once, and not on the second server."""
    for item in items:
        folder = item.path.parent.relative_to(Path(__file__).parent).as_posix()
        if folder not in COUNTED or "[pg15" in item.name:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for variable in [name for name in os.environ if name.startswith("EMPORIUM_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path, which a server's own user may reach: a data folder for tests."""
    path = Path(tempfile.mkdtemp(prefix="emporium-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def all_servers() -> Iterator[servers.Servers]:
    """The servers of this test process."""
    kept = servers.Servers()
    yield kept
    kept.close()


@pytest.fixture(scope="session")
def server(all_servers: servers.Servers) -> str:
    """The URL of a running server: the embedded one (tests/integration runs on several in turn)."""
    return all_servers.server("18")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Starts beside the other tests what takes long and one of them needs."""
    # What was imported and collected stays: it need not be looked through again and again for what can go.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    if any("elasticsearch" in str(getattr(item, "callspec", "")) for item in session.items):
        _elastic(session.config).begin()


def _elastic(config: pytest.Config) -> elastic.Elastic:
    # Workers of one run share the server; it ends with the process that the run is.
    return elastic.Elastic(os.getppid() if hasattr(config, "workerinput") else os.getpid())


@pytest.fixture(scope="session")
def elasticsearch(pytestconfig: pytest.Config) -> str:
    """The URL of a real Elasticsearch."""
    try:
        return _elastic(pytestconfig).url()
    except elastic.Lacking as lacking:
        servers.lack(str(lacking))
        raise


@pytest.fixture
def make_database(all_servers: servers.Servers, server: str) -> Iterator[Callable[[], str]]:
    """Each call makes another fresh migrated database and gives its URL; all go when the test ends."""
    # Not a fixture of its own: one that outlives a test would be kept for the next test's other server.
    template = all_servers.template(server)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            servers.made(server, f"test_{os.getpid()}_{next(_numbers)}", template=template)
        )


@pytest.fixture
def database(make_database: Callable[[], str]) -> str:
    """The URL of a fresh migrated database."""
    return make_database()
