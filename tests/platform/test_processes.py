"""A single command finds what it needs running, or starts it and takes it along when it ends."""

import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from emporium.infra import postgres
from emporium.infra.settings import Settings
from emporium.scripts.processes import Child, answers, outfit


def test_a_single_command_has_all_it_needs_and_leaves_nothing_behind(folder: Path) -> None:
    settings = Settings(data_dir=folder / "var", sandbox_latency_ms=0)
    with outfit(settings, "a test") as ready:
        assert ready.provider_url == ready.carrier_url
        assert answers(str(ready.provider_url))
        with psycopg.connect(str(ready.database_url)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with outfit(settings, "another test") as second:
            assert second == ready
        assert answers(str(ready.provider_url)), "the second must not stop what the first started"
    assert not answers(str(ready.provider_url))
    assert postgres.running(folder / "var") is None


def test_what_the_settings_name_is_not_started(folder: Path, server: str) -> None:
    settings = Settings(
        data_dir=folder / "var",
        database_url=server,
        provider_url="http://provider.example",
        carrier_url="http://carrier.example",
    )
    with outfit(settings, "a test") as ready:
        assert ready == settings
    assert not (folder / "var").exists()


def test_a_child_that_cannot_be_started_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child("child", ["-c", "pass"], Settings(data_dir=folder))
    started = subprocess.Popen

    def none(*_: object, **__: object) -> None:
        raise BlockingIOError("no process to be had")

    monkeypatch.setattr("emporium.scripts.processes.subprocess.Popen", none)
    child.tend()
    assert child.pid is None
    monkeypatch.setattr("emporium.scripts.processes.subprocess.Popen", started)
    deadline = time.monotonic() + 10
    while child.pid is None:
        assert time.monotonic() < deadline
        child.tend()
    child.wait(deadline)
