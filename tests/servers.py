"""PostgreSQL for tests: which servers there are, and databases on them that go away again."""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psycopg
import pytest

from emporium.infra.postgres import EmbeddedPostgres
from emporium.infra.settings import Settings, load
from emporium.scripts.cli import implementation

RUN: Settings = load()
"""The settings of this test run itself: `require_real`, `test_database_url`."""

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
"""Most tests ask whether commits are right, not whether a disk keeps them; the others start servers of their own."""


def lack(reason: str) -> None:
    """Where something real is missing: skips, or fails with EMPORIUM_REQUIRE_REAL=1."""
    if RUN.require_real:
        pytest.fail(f"{reason} (and EMPORIUM_REQUIRE_REAL is set)", pytrace=False)
    pytest.skip(reason)


@contextmanager
def started(kind: str) -> Iterator[str]:
    """The URL of a server: `18` (embedded), `15` (Debian's), or `url` (that of EMPORIUM_TEST_DATABASE_URL)."""
    if kind == "url":
        if RUN.test_database_url is None:
            lack("EMPORIUM_TEST_DATABASE_URL is not set")
        yield str(RUN.test_database_url)
        return
    if kind == "15" and not DEBIAN_15.is_dir():
        lack(f"there is no PostgreSQL 15 in {DEBIAN_15}: apt-get install postgresql-15")
    folder = Path(tempfile.mkdtemp(prefix="emporium-pg-"))
    server = EmbeddedPostgres(folder, binaries=DEBIAN_15 if kind == "15" else None, options=HASTY)
    try:
        yield server.start()
    finally:
        server.stop(immediate=True)
        shutil.rmtree(folder, ignore_errors=True)


class Servers:
    """The servers of one test process, each started when first asked for, with its migrated template database.

    They stay until the end: tests come in an order in which the servers alternate.
    """

    def __init__(self) -> None:
        self._started: dict[str, str] = {}
        self._templates: dict[str, str] = {}
        self._filled: dict[tuple[str, str], str] = {}
        self._until_the_end = ExitStack()

    def server(self, kind: str) -> str:
        """The URL of a server (see `started`)."""
        if kind not in self._started:
            self._started[kind] = self._until_the_end.enter_context(started(kind))
        return self._started[kind]

    def template(self, server: str) -> str:
        """The name of the migrated, empty database on a server."""
        if server not in self._templates:
            name = f"emporium_template_{os.getpid()}"
            migrate(self._until_the_end.enter_context(made(server, name)))
            self._templates[server] = name
        return self._templates[server]

    def filled(self, server: str, what: str, fill: Callable[[str], None]) -> str:
        """The name of a database on a server that `fill` was given once, to be copied by whoever needs the same."""
        if (server, what) not in self._filled:
            name = f"emporium_{what}_{os.getpid()}"
            fill(self._until_the_end.enter_context(made(server, name, template=self.template(server))))
            self._filled[server, what] = name
        return self._filled[server, what]

    def close(self) -> None:
        """Stops all of them."""
        self._until_the_end.close()


@contextmanager
def made(server: str, name: str, *, template: str = "template0") -> Iterator[str]:
    """The URL of a new database on a server, dropped at the end."""
    with psycopg.connect(server, autocommit=True) as connection:
        # A copy of files is made in two thirds of the time that a logged one takes.
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'.encode())
    try:
        yield named(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def named(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def migrate(url: str) -> None:
    """Makes the whole schema in an empty database, as `emporium migrate` does."""
    if importlib.util.find_spec("emporium.scripts.migrate") is not None:
        implementation("migrate", "run")(
            msgspec.structs.replace(Settings(), database_url=url), as_json=False, quiet=True
        )
