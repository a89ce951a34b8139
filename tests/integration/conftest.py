"""The integration tests run on every server there is: the embedded 18, Debian's 15, and one named by setting."""

import pytest

from tests import servers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives each test that needs a server the servers of this run, all tests of one server in a row."""
    if "server" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--postgres") or ["18", "15"]
        if servers.RUN.test_database_url is not None and "url" not in kinds:
            kinds = [*kinds, "url"]
        # A module may say that it is about something else than the database.
        kinds = [kind for kind in kinds if kind in getattr(metafunc.module, "SERVERS", kinds)]
        metafunc.parametrize("server", kinds, indirect=True, ids=[f"pg{kind}" for kind in kinds], scope="session")


@pytest.fixture(scope="session")
def server(all_servers: servers.Servers, request: pytest.FixtureRequest) -> str:
    """The URL of a running server."""
    return all_servers.server(request.param)
