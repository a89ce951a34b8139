"""A small year through the real shop: Postgres, process managers, provider and carrier."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from emporium.infra.settings import Settings
from emporium.scripts import import_online_retail
from emporium.scripts.processes import Child, child_environment, cli, stop_all
from tests import servers
from tests.retail.made import line, small_year, written
from tests.support.sandbox import SandboxProcess

LOGS = ("catalog", "inventory", "ordering", "payments", "shipping", "accounts")
REAL = servers.RUN.bench_online_retail


@pytest.fixture
def sandbox(folder: Path) -> Iterator[SandboxProcess]:
    """The provider and the carrier."""
    with SandboxProcess(folder / "sandbox.sqlite") as process:
        yield process


@pytest.fixture
def shop(database: str, folder: Path, sandbox: SandboxProcess) -> Settings:
    """Settings that lead to an empty shop."""
    return _settings(database, folder, sandbox)


def _settings(database: str, folder: Path, sandbox: SandboxProcess) -> Settings:
    return msgspec.structs.replace(
        Settings(), database_url=database, data_dir=folder, provider_url=sandbox.url, carrier_url=sandbox.url
    )


@pytest.fixture
def year(tmp_path: Path) -> Path:
    """The small year in a file."""
    return written(tmp_path / "year.parquet", small_year())


@pytest.fixture
def imported(
    shop: Settings, year: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs the import: its status and its report."""

    def run(file: Path = year, *, limit: int | None = None, set_aside: bool = False) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = import_online_retail.run(shop, file, limit=limit, set_aside=set_aside, as_json=True)
        return status, json.loads(capsys.readouterr().out)

    return run


def rows(shop: Settings, sql: str) -> list[tuple[Any, ...]]:
    """What the database says."""
    assert shop.database_url is not None
    with psycopg.connect(shop.database_url, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def events(shop: Settings) -> int:
    """How many events all logs have."""
    return sum(rows(shop, f"SELECT count(*) FROM {log}_events")[0][0] for log in LOGS)


def outcome(shop: Settings, sandbox: SandboxProcess) -> dict[str, Any]:
    """All that must not depend on how often the import was interrupted."""
    counts = {
        topic: count
        for log in LOGS
        for topic, count in rows(shop, f"SELECT topic, count(*) FROM {log}_events GROUP BY 1")
    }
    known = sandbox.state()
    return {
        "events": counts,
        "orders": rows(
            shop,
            "SELECT order_id, number, customer_id, status, placed_at, changed_at, total, country, state - 'dispatched'"
            " FROM rm_order_history.orders ORDER BY 1",
        ),
        "refunds": rows(
            shop, "SELECT order_id, refund_id, status, amount, reason, at FROM rm_order_history.refunds ORDER BY 1, 2"
        ),
        "stock": rows(shop, "SELECT sku, warehouse, on_hand, reserved FROM rm_stock_levels.levels ORDER BY 1"),
        "prices": rows(
            shop,
            "SELECT stream, version, at, data->'price'->'amount' FROM catalog_log WHERE topic = 'catalog.PriceChanged'"
            " ORDER BY 1, 2",
        ),
        "customers": rows(shop, "SELECT stream, at FROM accounts_log ORDER BY 1"),
        "tasks": [rows(shop, f"SELECT count(*) FROM {log}_tasks WHERE parked") for log in LOGS],
        "provider": {name: known[name] for name in ("charges", "charged", "refunds", "refunded", "parcels")},
        "twice": known["charged_twice"],
    }


def test_a_year_is_played_back_and_reconciles(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings, sandbox: SandboxProcess
) -> None:
    status, report = imported(set_aside=True)
    assert status == 0
    assert report["reconciled"] and report["unfinished"] == 0
    assert [month["month"] for month in report["months"]] == ["2023-01", "2023-02", "2023-03", "2023-04"]
    assert all(float(one["difference"]) == float(one["provider_difference"]) == 0 for one in report["months"])
    known = sandbox.state()
    assert round(float(report["total"]["charged"]) * 100) == known["charged"]
    assert round(float(report["total"]["refunded"]) * 100) == known["refunded"] > 0
    assert report["set_aside_lines"] == len({one["row"] for one in report["lines"]}) > 0

    # Every order went the whole way, at its invoice's time.
    assert rows(shop, "SELECT DISTINCT status, channel FROM rm_order_history.orders") == [("fulfilled", "import")]
    late = (
        "SELECT count(*) FROM ordering_log l JOIN rm_order_history.orders o ON o.order_id = l.stream"
        " WHERE topic = 'ordering.%s' AND at - placed_at > interval '%s'"
    )
    for topic, most in (("OrderCreated", "0"), ("OrderPaid", "0"), ("OrderCompleted", "1 hour")):
        assert rows(shop, late % (topic, most)) == [(0,)]
    months = "SELECT DISTINCT to_char(at, 'YYYY-MM') FROM payments_log WHERE topic = 'payments.PaymentRefunded'"
    assert sorted(rows(shop, months)) == [("2023-01",), ("2023-02",), ("2023-03",), ("2023-04",)]

    # What came back lies in the warehouse, and nothing else.
    returned = rows(
        shop,
        "SELECT sum((line->>'quantity')::int) FROM ordering_log, jsonb_array_elements(data->'lines') line"
        " WHERE topic = 'ordering.OrderReturned'",
    )
    assert rows(shop, "SELECT sum(on_hand), sum(reserved) FROM rm_stock_levels.levels") == [(returned[0][0], 0)]
    assert rows(shop, "SELECT sum(-(data->>'change')::int) FROM inventory_log WHERE topic LIKE '%Adjusted'") == [(12,)]

    # A line at the list price has no agreed one, all others have.
    lines = "SELECT count(*) FROM ordering_log, jsonb_array_elements(data->'lines') l WHERE topic LIKE '%OrderCreated'"
    assert rows(shop, f"{lines} AND l->>'agreed_price' IS NULL")[0][0] > 0
    assert rows(shop, f"{lines} AND l->>'agreed_price' = '0.001'") == [(4,)]
    assert rows(shop, f"{lines} AND (l->>'agreed_price')::numeric * 100 = (l->'unit_price'->>'amount')::int")[0][0] > 0

    # Where each event comes from can be followed back to an invoice or a month.
    causes = " UNION ALL ".join(f"SELECT id::text, causation, actor FROM {log}_log" for log in LOGS)
    chain = rows(shop, causes)
    ids = {one for one, _, _ in chain}
    assert all(
        causation.removeprefix("event:") in ids if causation.startswith("event:") else causation.startswith("import:")
        for _, causation, _ in chain
    )
    assert {actor.partition(":")[0] for _, _, actor in chain} == {"import", "system"}

    # Its invoices are those of then: none is issued anew.
    assert rows(shop, "SELECT count(*) FROM ordering_events WHERE topic ~ 'Invoice|CreditNote|Document'") == [(0,)]

    # No name stands in clear, the country does.
    everything = " UNION ALL ".join(f"SELECT convert_from(state, 'UTF8') AS text FROM {log}_events" for log in LOGS)
    assert rows(shop, f"SELECT count(*) FROM ({everything}) e WHERE text LIKE '%Customer 17%'") == [(0,)]
    assert sorted(rows(shop, "SELECT DISTINCT country FROM rm_order_history.orders")) == [("GB",), ("IE",)]


def test_a_second_run_changes_nothing(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings, sandbox: SandboxProcess
) -> None:
    first, before = imported(), outcome(shop, sandbox)
    assert imported() == first
    assert outcome(shop, sandbox) == before


def test_what_was_limited_goes_on_where_it_ended(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    status, part = imported(limit=17)
    assert (status, part["invoices"]) == (0, 17)
    assert rows(shop, "SELECT count(*) FROM rm_order_history.orders") == [(part["orders"],)]
    status, whole = imported()
    assert status == 0 and whole["reconciled"]
    # The first invoices alone still reconcile, whatever came later to their orders.
    assert imported(limit=17) == (0, part)

    # An edited file is another one: what stands already is left alone.
    stood = {topic: count for topic, count in outcome(shop, sandbox)["events"].items() if "Order" in topic}
    more = [*small_year(), line("537999", "22000", 2, 1.5, at="2023-04-25 10:00:00", customer=17001.0)]
    status, after = imported(written(tmp_path / "more.parquet", more))
    assert status == 0 and after["orders"] == whole["orders"] + 1
    now = {topic: count for topic, count in outcome(shop, sandbox)["events"].items() if "Order" in topic}
    assert {topic for topic in now if now[topic] != stood[topic]} == {
        "ordering.OrderCreated", "ordering.OrderPaid", "ordering.OrderConfirmed", "ordering.OrderDispatched",
        "ordering.OrderCompleted", "shipping.OrderShipped", "shipping.OrderFulfilled",
    }  # fmt: skip


def test_what_the_provider_lost_is_a_difference(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings, sandbox: SandboxProcess
) -> None:
    assert imported()[0] == 0
    sandbox.stop()
    sandbox.data.unlink()
    sandbox.start()
    status, report = imported()
    assert status == 1 and not report["reconciled"]
    assert float(report["total"]["difference"]) == 0 != float(report["total"]["provider_difference"])


def test_faults_of_the_outside_are_waited_for(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings, sandbox: SandboxProcess
) -> None:
    for operation in ("charge", "refund", "book", "hand_over", "track"):
        sandbox.faults("error", 3, operation)
    status, report = imported()
    assert status == 0 and report["reconciled"]
    assert sandbox.state()["charged_twice"] == []


def test_the_table_for_people(shop: Settings, year: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_online_retail.run(shop, year, limit=20, set_aside=True, as_json=False) == 0
    text = capsys.readouterr().out
    assert "It reconciles to the penny." in text
    assert "cancellation_without_order" in text
    listed = next(one for one in text.splitlines() if " C536912 " in one)
    assert listed.split() == [listed.split()[0], "C536912", "22004", "-1", "-5.25", "cancellation_without_order"]


def test_a_wrong_file_is_refused_before_anything_happens(
    shop: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "year.csv").write_text("InvoiceNo,StockCode\n1,2\n")
    assert import_online_retail.run(shop, tmp_path / "year.csv", limit=None, set_aside=False, as_json=True) == 2
    said = capsys.readouterr()
    assert said.out == "" and "has no column Description, Quantity, InvoiceDate" in said.err
    assert events(shop) == 0


def test_a_living_worker_stands_aside_and_comes_back(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings, sandbox: SandboxProcess
) -> None:
    worker = Child("worker", cli("work"), shop)
    worker.tend()
    try:
        _until(lambda: {"inventory", "ordering", "payments", "shipping"} <= set(_leaders(shop)))
        assert imported()[0] == 0
        # Nothing of it was done by the worker's clock.
        for log in ("ordering", "payments", "shipping"):
            assert rows(shop, f"SELECT count(*) FROM {log}_log WHERE at > '2024-01-01'") == [(0,)]
        _until(lambda: all(leader not in (None, import_online_retail.OWNER) for leader in _leaders(shop).values()))
        # The deadlines that were still to come are the worker's now, and past by its clock.
        _until(lambda: rows(shop, "SELECT count(*) FROM ordering_tasks") == [(0,)])
        assert rows(shop, "SELECT DISTINCT status FROM rm_order_history.orders") == [("fulfilled",)]
    finally:
        stop_all([worker], 5.0)


def _leaders(shop: Settings) -> dict[str, str | None]:
    found = rows(shop, "SELECT split_part(name, '/', 2), owner FROM emporium_leases WHERE name ~ '^([a-z]+)/\\1$'")
    return {name: owner for name, owner in found if owner is not None}


def _until(true: Callable[[], bool], within: float = 40.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(
    make_database: Callable[[], str], folder: Path, year: Path, tmp_path: Path
) -> None:
    chance = random.Random(3)
    (folder / "calm").mkdir()
    (folder / "wild").mkdir()
    with SandboxProcess(folder / "calm" / "sandbox.sqlite") as calm_sandbox:
        calm = _settings(make_database(), folder / "calm", calm_sandbox)
        report = json.loads(subprocess.run(_command(year), env=_environ(calm), check=True, capture_output=True).stdout)
        total = events(calm)
        expected = outcome(calm, calm_sandbox)
    with SandboxProcess(folder / "wild" / "sandbox.sqlite") as sandbox:
        wild = _settings(make_database(), folder / "wild", sandbox)
        kills = 0
        for moment in sorted(chance.randrange(total) for _ in range(7)):
            kills += _killed(wild, year, moment)
        assert kills >= 5
        done = subprocess.run(_command(year), env=_environ(wild), check=True, capture_output=True)
        assert json.loads(done.stdout) == report
        assert outcome(wild, sandbox) == expected
    assert report["reconciled"] and expected["twice"] == []


def _command(year: Path) -> list[str]:
    return [sys.executable, *cli("import", "online-retail", str(year), "--json")]


def _environ(settings: Settings) -> dict[str, str]:
    return {**child_environment(settings), "PYTHONPATH": os.pathsep.join(sys.path)}


def _killed(settings: Settings, year: Path, moment: int) -> bool:
    """Runs the import until there are so many events, then kills it; whether it was still at work."""
    process = subprocess.Popen(
        _command(year), env=_environ(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None and events(settings) <= moment:
            time.sleep(0.005)
    finally:
        working = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    return working


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_invoices_of_the_real_year(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Settings
) -> None:
    if not REAL.is_file():
        pytest.skip(f"there is no {REAL}")
    status, report = imported(REAL, limit=300)
    assert status == 0
    assert (report["invoices"], report["orders"]) == (300, 258)
    assert report["set_aside_lines_percent"] <= 1.6


def test_the_real_year_keeps_what_is_set_aside_small() -> None:
    if not REAL.is_file():
        pytest.skip(f"there is no {REAL}")
    from emporium.scripts.retail.file import read
    from emporium.scripts.retail.sorting import Sums, sort_out

    sums, asides = Sums(), []
    for deed in sort_out(read(REAL)).deeds():
        sums.add(deed.sums)
        asides += deed.aside
    assert sums.lines == 541_909
    assert len({one.row for one in asides}) <= 0.015 * sums.lines
    assert sum(abs(one.value) for one in asides) <= 4 * sums.absolute / 100
    assert str(sums.file) == "9747747.934"
