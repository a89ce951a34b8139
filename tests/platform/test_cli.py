"""The command line: fast help with examples, exit statuses, and implementations that exist as they are called."""

import importlib.util
import inspect
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner

from emporium.scripts.cli import command, implementation
from tests import servers

PROGRAM = [sys.executable, "-m", "emporium.scripts.cli"]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, found in sorted(group.commands.items()):
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


ALL = list(commands(command))
SILENT = {
    ("serve",),
    ("work",),
    ("tasks", "retry"),
    *(("projections", act) for act in ("pause", "resume", "retry", "rollback")),
}
"""The commands that act and print no facts."""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


def test_every_command_of_the_shop_is_there() -> None:
    assert {" ".join(path) for path, _ in ALL} >= {
        "admin create",
        "admin reset-password",
        "audit order",
        "bench",
        "events show",
        "events tail",
        "import online-retail",
        "migrate",
        "projections list",
        "projections rebuild",
        "restored",
        "serve",
        "settings",
        "status",
        "up",
        "work",
    }


@pytest.mark.parametrize(("path", "found"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_explains_itself_by_examples(path: tuple[str, ...], found: click.Command) -> None:
    done = CliRunner().invoke(command, [*path, "--help"], prog_name="emporium")
    assert done.exit_code == 0
    assert f"\n    emporium {' '.join(path)}" in done.output.replace("\n    EMPORIUM_PORT=8080 ", "\n    ")
    assert ("--json" in done.output) == (path not in SILENT)


def test_help_is_fast() -> None:
    def seconds() -> float:
        """Of processor time: the clock on the wall would measure this machine's other work."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (0, ["--version"]),
        (0, ["settings"]),
        (2, ["nonsense"]),
        (2, ["up", "--port", "many"]),
        (2, ["events", "tail", "--after", "3"]),
        (2, ["projections", "rebuild"]),
        (2, ["import", "online-retail", "/no/such/file"]),
    ],
)
def test_exit_statuses(status: int, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["events", "show", "catalog"], ["projections", "list"], ["audit", "order", "X"], ["tasks", "list"],
     ["restored", "--yes"], ["admin", "create", "a@shop.example"]],
    ids=" ".join,
)  # fmt: skip
def test_where_no_shop_is_none_is_made(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "var"
    monkeypatch.setenv("EMPORIUM_DATA_DIR", str(folder))
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"There is no shop in the folder {folder}.\n`emporium up` makes one;")
    assert not folder.exists()


def test_the_roles_are_told() -> None:
    assert "warehouse" in run("admin", "create", "--help").stdout
    done = run("admin", "create", "a@shop.example", "--role", "king")
    assert done.returncode == 2
    assert "'king' is not one of 'support', 'catalog_manager', 'warehouse'" in done.stderr


def test_a_wrong_variable_ends_any_command_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPORIUM_PRT", "1")
    done = run("status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("EMPORIUM_PRT is not a setting; did you mean EMPORIUM_PORT?\n")


def test_settings_are_printed_for_people_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPORIUM_DATABASE_URL", "postgresql://shop:hidden@db/shop")
    assert "postgresql://shop:***@db/shop" in run("settings").stdout
    facts = {fact["name"]: fact for fact in json.loads(run("settings", "--json").stdout)}
    assert facts["database_url"]["value"] == "postgresql://shop:***@db/shop"
    assert facts["database_url"]["source"] == "environment"
    assert facts["port"] == {
        "name": "port",
        "variable": "EMPORIUM_PORT",
        "value": 8000,
        "source": "default",
        "description": "TCP port of the gateway; 0 takes a free one.",
    }


SETTINGS, FILE = object(), Path("file")
CALLS = [
    ("admin", "create", (SETTINGS, "a@b.example"), {"role": "admin", "as_json": True}),
    ("admin", "first", (SETTINGS,), {}),
    ("admin", "reset_password", (SETTINGS, "a@b.example"), {"as_json": True}),
    ("admin", "rewrap_keys", (SETTINGS,), {"as_json": True}),
    ("audit", "order", (SETTINGS, "K7QM-3XWD-9D0Z"), {"as_of": None, "as_json": True}),
    ("bench", "run", (SETTINGS, ("append",)), {"strict": True, "as_json": True}),
    ("events", "show", (SETTINGS, "ordering"), {"after": 0, "limit": 9, "as_json": True}),
    ("events", "tail", (SETTINGS, ("ordering",)), {"after": 0, "as_json": True}),
    ("import_online_retail", "run", (SETTINGS, FILE), {"limit": 1, "set_aside": True, "as_json": True}),
    ("migrate", "run", (SETTINGS,), {"as_json": True, "quiet": True}),
    ("projections", "list_all", (SETTINGS,), {"as_json": True}),
    ("projections", "rebuild", (SETTINGS, ("order_history",)), {"as_json": True}),
    ("seed", "run", (SETTINGS,), {}),
    ("serve", "run", (SETTINGS,), {}),
    ("status", "run", (SETTINGS,), {"as_json": True}),
    ("up", "run", (SETTINGS,), {"as_json": True}),
    ("work", "run", (SETTINGS,), {}),
]


@pytest.mark.parametrize(("module", "function", "arguments", "options"), CALLS, ids=[f"{c[0]}.{c[1]}" for c in CALLS])
def test_what_a_command_calls_exists_and_takes_what_it_is_given(
    module: str, function: str, arguments: tuple[object, ...], options: dict[str, object]
) -> None:
    if importlib.util.find_spec(f"emporium.scripts.{module}") is None:
        pytest.skip(f"emporium.scripts.{module} is not written yet")
    inspect.signature(implementation(module, function)).bind(*arguments, **options)


def test_migrating_twice_changes_nothing_and_a_newer_database_is_refused(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.made(server, "to_be_migrated") as url:
        monkeypatch.setenv("EMPORIUM_DATABASE_URL", url)
        applied = json.loads(run("migrate", "--json").stdout)
        assert {"component": "store", "number": 1} in applied
        assert json.loads(run("migrate", "--json").stdout) == []
        assert run("migrate").stdout == "Everything is up to date.\n"
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE emporium_schema SET version = 999 WHERE component = 'store'")
        done = run("migrate")
    assert done.returncode == 1
    assert done.stderr.startswith("The database does not fit this program: ")
    assert "have version 999" in done.stderr
    assert "Traceback" not in done.stderr
