"""The embedded PostgreSQL and its folder: starting, taking over, and saying clearly why not."""

import errno
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from emporium.infra import datafolder, postgres
from emporium.infra.postgres import EmbeddedPostgres
from emporium.infra.settings import Settings, StartupProblem


@pytest.fixture(scope="session")
def pristine() -> Iterator[Path]:
    """A data folder with a cluster that was shut down, to be copied: making one takes half a second."""
    with tempfile.TemporaryDirectory(prefix="emporium-") as folder:
        with EmbeddedPostgres(Path(folder)):
            pass
        yield Path(folder)


@pytest.fixture
def data(folder: Path, pristine: Path) -> Path:
    """A data folder of our own with a cluster in it."""
    subprocess.run(["cp", "-a", f"{pristine}/.", str(folder)], check=True)
    return folder


def write(dsn: str, value: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value integer)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def kept(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


def test_what_was_committed_survives_an_immediate_stop(data: Path) -> None:
    server = EmbeddedPostgres(data)
    write(server.start(), 1)
    server.stop(immediate=True)
    with EmbeddedPostgres(data) as again:
        assert kept(again.dsn) == [1]


def test_commits_are_durable_and_only_a_socket_listens(data: Path) -> None:
    with EmbeddedPostgres(data) as server, psycopg.connect(server.dsn) as connection:
        names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "data_checksums", "timezone")
        shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    assert shown == [("on",), ("on",), ("on",), ("",), ("on",), ("UTC",)]
    assert (data / "postgres").stat().st_mode & 0o077 == 0


def test_a_server_that_an_earlier_start_left_is_ended_and_taken_over(data: Path) -> None:
    left = EmbeddedPostgres(data)
    write(left.start(), 1)
    with EmbeddedPostgres(data) as server:
        assert kept(server.dsn) == [1]
        assert server.pid != left.pid
        assert not left.alive()


def test_what_a_killed_server_leaves_behind_is_waited_for(data: Path) -> None:
    with EmbeddedPostgres(data) as server:
        first = server.pid
        orphan = psycopg.connect(server.dsn)
        try:
            os.kill(orphan.info.backend_pid, signal.SIGSTOP)
            os.kill(first, signal.SIGKILL)
            deadline = time.monotonic() + 20
            while server.alive():
                assert time.monotonic() < deadline
            server.launch()
            second = server.pid
            while server.pid == second:
                assert not server.ready()
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.kill(orphan.info.backend_pid, signal.SIGCONT)
            orphan.close()
        while not server.ready():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        write(server.dsn, 1)


def test_a_stale_pid_file_whose_number_belongs_to_a_stranger_is_no_obstacle(data: Path) -> None:
    with subprocess.Popen(
        ["sleep", "100"], user=pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    ) as stranger:
        try:
            for pid in (stranger.pid, os.getpid(), 4_000_000):
                server = EmbeddedPostgres(data)
                server.start()
                text = (data / "postgres" / "postmaster.pid").read_text()
                server.stop()
                (data / "postgres" / "postmaster.pid").write_text(text.replace(text.split()[0], str(pid), 1))
                (data / "postgres" / ".s.PGSQL.5432.lock").write_text(f"{pid}\n")
                assert postgres.running(data) is None
            with EmbeddedPostgres(data) as server:
                write(server.dsn, 1)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_first_start_that_was_killed_leaves_nothing_in_the_way(folder: Path) -> None:
    (folder / "postgres.new-x" / "base").mkdir(parents=True)
    with EmbeddedPostgres(folder) as server:
        write(server.dsn, 1)
    assert not list(folder.glob("postgres.new*"))


def test_a_path_too_long_for_a_socket_is_no_obstacle(folder: Path) -> None:
    with EmbeddedPostgres(folder / ("long" * 30)) as server:
        write(server.dsn, 1)
        assert postgres.running(server.data_dir) == server.dsn


def test_what_people_configure_wins(data: Path) -> None:
    with (data / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("work_mem = '7MB'\n")
    with EmbeddedPostgres(data) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_a_broken_configuration_is_told(data: Path) -> None:
    with (data / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = 'plenty'\n")
    with pytest.raises(StartupProblem, match=r"did not start: .*configuration file.*contains errors") as caught:
        EmbeddedPostgres(data).start()
    assert str(data / "log" / "postgres.log") in caught.value.remedy


def test_a_cluster_of_another_major_version_is_told(data: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StartupProblem, match=r"was written by PostgreSQL 16, and this program brings 18\."):
        EmbeddedPostgres(data).start()


def test_an_ordinary_user_can_run_it(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("this run is an ordinary user's; every other test shows it")
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    program = (
        "import os, sys, pathlib; from emporium.infra.postgres import EmbeddedPostgres\n"
        f"os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})\n"
        "with EmbeddedPostgres(pathlib.Path(sys.argv[1]) / 'var') as server: print(server.dsn)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("postgresql://")


def test_a_single_command_uses_the_running_server_and_starts_one_where_there_is_none(data: Path) -> None:
    (data / "emporium-format").write_text("1\n")
    settings = Settings(data_dir=data)
    with postgres.database(settings, "a test") as outer:
        write(str(outer.database_url), 1)
        with postgres.database(settings, "another test") as inner:
            assert inner.database_url == outer.database_url
        with pytest.raises(StartupProblem, match="in use by a test"), datafolder.locked(data, "a third"):
            pass
    assert postgres.running(data) is None


def test_a_server_older_than_needed_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_OLDEST", 99)
    with pytest.raises(StartupProblem, match="is PostgreSQL 18"):
        postgres.check_server(server)


def test_a_full_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafolder, "SPACE_NEEDED", 2**60)
    with pytest.raises(StartupProblem, match=r"is full: .* MB are free"), datafolder.locked(folder, "a test"):
        pass


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EACCES, "Permission denied"), (errno.ENOSPC, "is full"), (errno.EROFS, "Read-only")]
)
def test_what_the_system_says_becomes_a_sentence(folder: Path, number: int, said: str) -> None:
    with pytest.raises(StartupProblem, match=said), datafolder.writable(folder):
        raise OSError(number, os.strerror(number), str(folder / "x"))


def test_a_data_folder_that_is_a_file_is_told(folder: Path) -> None:
    (folder / "file").touch()
    for path in (folder / "file", folder / "file" / "below"):
        with pytest.raises(StartupProblem, match="cannot be used"), datafolder.locked(path, "a test"):
            pass


def test_a_folder_of_somebody_else_is_left_alone(folder: Path) -> None:
    (folder / "thesis.tex").touch()
    with (
        pytest.raises(StartupProblem, match=r"holds something else \(thesis.tex\)"),
        datafolder.locked(folder, "a test"),
    ):
        pass
    assert sorted(os.listdir(folder)) == ["thesis.tex"]


@pytest.mark.parametrize("format_", ["2", "99", "scribble"])
def test_a_folder_of_another_version_is_refused(folder: Path, format_: str) -> None:
    (folder / "emporium-format").write_text(f"{format_}\n")
    with pytest.raises(StartupProblem, match="belongs to another version"), datafolder.locked(folder, "a test"):
        pass


def test_a_server_that_does_not_answer_is_told_with_its_reason_instead_of_a_question() -> None:
    with pytest.raises(StartupProblem, match=r"cannot be reached: .*Connection refused\.") as told:
        postgres.check_server("postgresql://127.0.0.1:9/none")
    assert "?" not in told.value.text
