"""The integration tests run on every server there is: the embedded 18, Debian's 15, and one named by setting."""

import pytest

from tests import servers

ONE_SERVER = frozenset({"payments", "notifications", "shipping", "search", "scripts", "vault", "test_same_rows.py"})
"""Folders and files that are about counterparts, words and folds, not about the database: one server is enough for the
time that a whole run may take, unless --postgres asks for others."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives each test that needs a server the servers of this run, all tests of one server in a row."""
    if "server" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--postgres") or ["18", "15"]
        if servers.RUN.test_database_url is not None and "url" not in kinds:
            kinds = [*kinds, "url"]
        path = metafunc.definition.path
        if ONE_SERVER & {path.parent.name, path.name} and not metafunc.config.getoption("--postgres"):
            kinds = kinds[:1]
        metafunc.parametrize("server", kinds, indirect=True, ids=[f"pg{kind}" for kind in kinds], scope="session")


@pytest.fixture(scope="session")
def server(all_servers: servers.Servers, request: pytest.FixtureRequest) -> str:
    """The URL of a running server."""
    return all_servers.server(request.param)
