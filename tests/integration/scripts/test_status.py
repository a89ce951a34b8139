"""`emporium status` on real databases: before, while and after a worker runs, and with everything that can be wrong."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from emporium.infra.settings import Settings, environment
from emporium.scripts import seed, status, tasks


def look(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = status.run(settings, as_json=True)
    return code, json.loads(capsys.readouterr().out)


@contextmanager
def worker(settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """`emporium work` on the settings."""
    environ = {**environment(settings), "EMPORIUM_LOG_LEVEL": "error", "PYTHONPATH": ":".join(sys.path)}
    chosen = {**environ, "EMPORIUM_PROVIDER_URL": "http://127.0.0.1:9", "EMPORIUM_CARRIER_URL": "http://127.0.0.1:9"}
    process = subprocess.Popen([sys.executable, "-m", "emporium.scripts.cli", "work"], env=chosen)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def change(settings: Settings, sql: str) -> None:
    with psycopg.connect(str(settings.database_url), autocommit=True) as connection:
        assert connection.execute(sql.encode()).rowcount >= 1


def until(settings: Settings, capsys: pytest.CaptureFixture[str], wanted: Callable[[Any], bool]) -> dict[str, Any]:
    """The first status that is as wanted; the test's time limit ends the wait."""
    while True:
        _, found = look(settings, capsys)
        if wanted(found):
            return found


def test_without_a_worker_something_is_wrong(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = look(settings, capsys)
    assert (code, found["ok"]) == (1, False)
    assert any("Nobody leads payments, inventory, shipping, ordering" in one for one in found["problems"])
    assert [one["head"] for one in found["logs"]] == [0] * 8
    [database] = found["databases"]
    assert database["server"].startswith("PostgreSQL 1")
    assert database["schema"]["log ordering"] >= 1


def test_a_worker_is_seen_with_what_it_follows(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    seed.run(settings)
    with worker(settings) as process:
        found = until(settings, capsys, lambda one: one["ok"] and not any(_lags(one)))
        leaders = {one["leader"] for one in found["followers"]}
        assert len(leaders) == 1
        assert str(process.pid) in str(leaders)
        assert {one["name"] for one in found["followers"]} == {"payments", "inventory", "shipping", "ordering"}
        assert {one["model"] for one in found["models"]} >= {"order_history", "saga_monitor", "stock_levels"}
        assert found["open_sagas"]["open"] == 0
        assert status.run(settings, as_json=False) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "All is well."
        assert len(lines) < 55
    _, found = look(settings, capsys)
    assert found["problems"][0] == "Nothing runs: start the shop with `emporium up`."


def _lags(found: dict[str, Any]) -> list[int]:
    return [lag for lags in found["lags"].values() for lag in lags.values()]


def test_what_is_set_aside_or_silent_is_told(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with worker(settings):
        until(settings, capsys, lambda one: one["ok"])
        change(
            settings,
            "INSERT INTO payments_tasks (id, kind, due, stream, data, cause, attempts, error, parked) VALUES"
            f" ('{uuid4()}', 'effect.charge', now(), '{uuid4()}', '{{}}', '{{\"correlation\": \"order-1\"}}', 5,"
            " 'no answer', true)",
        )
        change(
            settings,
            "INSERT INTO emporium_parked (model, generation, log, position, key, topic, error)"
            " VALUES ('order_history', 'live', 'ordering', 1, 'k', 'ordering.OrderCreated', 'KeyError: 1')",
        )
        code, found = look(settings, capsys)
    assert code == 1
    assert found["parked_tasks"][0]["correlation"] == "order-1"
    assert found["problems"] == [
        "1 task of payments must be seen to by a person.",
        "The read model order_history has set 1 event aside: KeyError: 1.",
    ]
    change(settings, "DELETE FROM payments_tasks WHERE parked")
    change(settings, "DELETE FROM emporium_parked")
    change(settings, "UPDATE emporium_leases SET expires_at = now() - interval '1 hour'")
    change(settings, "UPDATE emporium_projection_status SET heartbeat = now() - interval '1 hour'")
    code, found = look(settings, capsys)
    assert code == 1
    assert any(one.startswith("Nobody leads") for one in found["problems"])
    assert any("order_history is silent for 3600 s" in one for one in found["problems"])


def test_contexts_in_databases_of_their_own(
    settings: Settings, capsys: pytest.CaptureFixture[str], make_database: Callable[[], str]
) -> None:
    payments = make_database()
    apart = replace(settings, payments_database_url=payments)
    seed.run(apart)
    _, found = look(apart, capsys)
    assert [len(one["logs"]) for one in found["databases"]] == [7, 1]
    assert {one["log"] for one in found["logs"]} >= {"payments", "catalog"}
    heads = {one["log"]: one["head"] for one in found["logs"]}
    assert heads["catalog"] > 0 == heads["payments"]


def test_a_database_that_does_not_answer_is_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    apart = replace(settings, payments_database_url="postgresql://u:hidden@127.0.0.1:9/none")
    code, found = look(apart, capsys)
    assert code == 1
    assert any("postgresql://u:***@127.0.0.1:9/none cannot be reached" in one for one in found["problems"])
    assert "hidden" not in json.dumps(found)
    assert len(found["logs"]) == 7, "what can be reached is shown"


def test_a_database_that_was_never_migrated_is_told(
    settings: Settings, capsys: pytest.CaptureFixture[str], server: str
) -> None:
    code, found = look(replace(settings, database_url=server), capsys)
    assert code == 1
    [problem] = found["problems"]
    assert problem.startswith("There is no shop in this database yet. `emporium up` makes one; ")
    assert not problem.endswith("..")
    assert found["logs"] == []


def test_a_task_that_was_parked_is_listed_and_tried_again(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tasks.list_parked(settings, as_json=False) == 0
    assert capsys.readouterr().out == "Nothing waits for a person.\n"
    one, other = uuid4(), uuid4()
    for id in (one, other):
        change(
            settings,
            "INSERT INTO payments_tasks (id, kind, due, stream, data, cause, attempts, error, parked) VALUES"
            f" ('{id}', 'effect.charge', now(), '{uuid4()}', '{{}}', '{json.dumps(CAUSE)}', 7,"
            " 'card reader on fire', true)",
        )
    assert tasks.list_parked(settings, as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert {(task["id"], task["log"], task["error"]) for task in found} == {
        (str(one), "payments", "card reader on fire"),
        (str(other), "payments", "card reader on fire"),
    }
    assert tasks.retry(settings, [one, uuid4()], everything=False) == 1
    assert tasks.list_parked(settings, as_json=True) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 task will be tried again.\n") and str(other) in out and str(one) not in out
    assert tasks.retry(settings, [], everything=True) == 0
    assert tasks.list_parked(settings, as_json=True) == 0
    change(settings, "DELETE FROM payments_tasks WHERE attempts = 0 AND due <= now() AND NOT parked")


def test_what_goes_on_by_itself_is_told_with_its_age_once_it_takes_a_day(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        settings,
        "INSERT INTO payments_tasks (id, kind, due, stream, data, cause) VALUES"
        f" ('{uuid4()}', 'effect.refund', now(), '{uuid4()}', '{{}}', '{json.dumps(CAUSE)}')",
    )
    change(settings, "UPDATE payments_tasks SET error = 'no answer', attempts = 1")
    _, found = look(settings, capsys)
    assert not any("payments has waited" in one for one in found["problems"])
    assert tasks.list_parked(settings, as_json=False) == 0
    change(settings, "UPDATE payments_tasks SET held_since = held_since - interval '3 days'")
    change(settings, "UPDATE payments_tasks SET error = 'still no answer', attempts = 2, due = now()")
    capsys.readouterr()
    _, found = look(settings, capsys)
    assert (
        "payments has waited for 3 d to go on: still no answer; `emporium tasks list` tells more." in found["problems"]
    )
    assert status.run(settings, as_json=False) == 1
    out = capsys.readouterr().out
    assert "  held up in payments: 1 task, the oldest for 3 d, tried again by themselves: still no answer\n" in out
    assert tasks.list_parked(settings, as_json=False) == 1
    out = capsys.readouterr().out
    assert "effect.refund  of o, 2 tries\n  still no answer (since " in out
    change(settings, "UPDATE payments_tasks SET error = NULL, attempts = 0")
    assert tasks.list_parked(settings, as_json=False) == 0
    change(settings, "DELETE FROM payments_tasks")


CAUSE = {"correlation": "o", "causation": "request:r", "actor": "system", "request": None}
