"""`emporium up` with stand-ins for gateway, worker and sandbox: starting, watching, stopping, taking over."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from emporium.infra import datafolder, postgres
from emporium.scripts.processes import free_port

STANDINS = Path(__file__).parent / "standins"
SOURCES = Path(__file__).parents[2] / "src"


class Shop:
    """A running `emporium up` and what it said."""

    def __init__(self, process: subprocess.Popen[str], facts: dict[str, Any]) -> None:
        self.process = process
        self.facts = facts

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.facts["address"] + "/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Seconds that the stop took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - began


def environ(folder: Path, **settings: str) -> dict[str, str]:
    named = {f"EMPORIUM_{name.upper()}": value for name, value in settings.items()}
    paths = os.pathsep.join([str(STANDINS), str(SOURCES)])
    return {**os.environ, "PYTHONPATH": paths, "EMPORIUM_DATA_DIR": str(folder / "var"), **named}


def start(folder: Path, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "emporium.scripts.cli", "up", "--json"],
        env=environ(folder, **{"port": "0", **settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def opened(folder: Path, **settings: str) -> Iterator[Shop]:
    process = start(folder, **settings)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield Shop(process, json.loads(line))
    finally:
        process.kill()
        process.communicate()


def refused(folder: Path, **settings: str) -> str:
    """What a start that must fail says; without a traceback, with exit status 1."""
    process = start(folder, **settings)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1, err
    assert not out
    assert "Traceback" not in err
    return err


def soon(condition: Callable[[], bool], patience: float = 15.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_second_start_finds_everything_as_it_was(folder: Path) -> None:
    with opened(folder) as shop:
        assert shop.answers()
        assert shop.facts["first_password"] == "first-password"
        assert shop.facts["demo_products"] == 60
        pids = shop.facts["processes"].values()
        assert set(shop.facts["processes"]) == {"gateway", "worker", "sandbox", "postgres"}
        assert shop.stop() < 5
        assert shop.process.returncode == 0
        assert not any(lives(pid) for pid in pids)
    with opened(folder) as shop:
        assert shop.facts["first_password"] is None
        assert shop.facts["demo_products"] == 0
        assert shop.stop(signal.SIGTERM) < 5


def test_the_demos_year_is_filled_once_beside_the_open_shop(folder: Path) -> None:
    year = folder / "var" / "year"
    with opened(folder) as shop:
        soon(year.exists)
        assert shop.answers()
        assert shop.stop() < 5
    with opened(folder) as shop:
        assert shop.stop() < 5
    assert year.read_text() == "filled ", "once, after it had failed at first"


def test_a_provider_that_is_not_ours_hears_of_no_demo(folder: Path) -> None:
    with opened(folder, provider_url="http://127.0.0.1:9") as shop:
        soon(shop.answers)
        assert shop.stop() < 5
    assert not (folder / "var" / "tried").exists()


def test_an_empty_shop_gets_no_goods(folder: Path) -> None:
    with opened(folder, empty="true") as shop:
        assert shop.facts["demo_products"] == 0
        assert shop.stop() < 5
    assert not (folder / "var" / "tried").exists()


def test_what_dies_is_started_again(folder: Path) -> None:
    with opened(folder, workers="2") as shop:
        processes = shop.facts["processes"]
        assert {"worker 1", "worker 2"} < set(processes)
        worker = folder / "var" / "worker.pid"
        soon(worker.exists)
        first = worker.read_text()
        os.kill(int(first), signal.SIGKILL)
        os.kill(processes["gateway"], signal.SIGKILL)
        soon(lambda: worker.read_text() not in ("", first))
        soon(shop.answers)
        os.kill(processes["postgres"], signal.SIGKILL)
        soon(lambda: not shop.answers())
        soon(shop.answers)


def test_a_worker_that_does_not_listen_is_killed_in_time(folder: Path) -> None:
    with opened(folder) as shop:
        worker = folder / "var" / "worker.pid"
        soon(worker.exists)
        (folder / "var" / "stubborn").touch()
        first = worker.read_text()
        os.kill(int(first), signal.SIGKILL)
        soon(lambda: worker.read_text() not in ("", first))
        assert shop.stop() < 5
        assert not lives(int(worker.read_text()))


def test_after_a_hard_stop_nothing_is_left_and_the_next_start_takes_over(folder: Path) -> None:
    with opened(folder) as shop:
        with psycopg.connect(str(postgres.running(folder / "var"))) as connection:
            connection.execute("INSERT INTO known VALUES ('kept')")
        pids = shop.facts["processes"].values()
        shop.process.kill()
        soon(lambda: not any(lives(pid) for pid in pids))
    with opened(folder) as shop, psycopg.connect(str(postgres.running(folder / "var"))) as connection:
        assert connection.execute("SELECT FROM known WHERE name = 'kept'").rowcount == 1


def test_a_stop_in_the_middle_of_the_first_start_spoils_nothing(folder: Path) -> None:
    for moment in (0.3, 0.6, 0.9):
        process = start(folder)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
    with opened(folder) as shop:
        assert shop.answers()


def test_two_on_one_folder_do_not_collide(folder: Path) -> None:
    with opened(folder) as shop:
        said = refused(folder)
        assert f"is in use by emporium up (process {shop.process.pid})" in said
        assert shop.answers()


def test_a_taken_port_is_told(folder: Path) -> None:
    port = free_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", port)):
        assert f"Port {port} on 127.0.0.1 is taken" in refused(folder, port=str(port))


def test_a_gateway_that_gives_up_at_once_ends_the_start(folder: Path) -> None:
    with datafolder.locked(folder / "var", "a test"):
        (folder / "var" / "broken").touch()
    assert "The gateway ended with status 1." in refused(folder)


def test_a_database_that_does_not_answer_is_told_without_its_password(folder: Path) -> None:
    url = f"postgresql://shop:hidden@127.0.0.1:{free_port('127.0.0.1')}/shop"
    said = refused(folder, database_url=url)
    assert "cannot be reached" in said
    assert "hidden" not in said


def test_a_server_of_ones_own_is_used(folder: Path, server: str) -> None:
    from tests import servers

    with servers.made(server, "of_ones_own") as url, opened(folder, database_url=url) as shop:
        assert shop.facts["database"] == "server"
        assert "postgres" not in shop.facts["processes"]
        assert shop.answers()
        shop.stop()
