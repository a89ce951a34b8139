"""The demo's year in a real shop: killed anywhere it is completed, its money adds up, and it tells nobody outside."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from emporium.application import bootstrap
from emporium.application.reconcile import reconcile
from emporium.infra.settings import Settings, environment
from emporium.scripts import audit, seed
from emporium.scripts.demo import filling
from emporium.scripts.demo.year import CANCELLED, DECLINED, Year, plan
from tests.support.sandbox import SandboxProcess

ORDERS = 60
LOGS = ("catalog", "inventory", "ordering", "payments", "shipping", "accounts", "reviews", "notifications")


@pytest.fixture
def sandbox(folder: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(folder / "sandbox.sqlite") as process:
        yield process


@pytest.fixture
def shop(settings: Settings, sandbox: SandboxProcess) -> Settings:
    """A shop with the demo's catalogue, in which every message would be sent by mail."""
    nowhere = "smtp://127.0.0.1:9"
    return replace(
        settings,
        provider_url=sandbox.url,
        carrier_url=sandbox.url,
        demo_orders=ORDERS,
        smtp_url=nowhere,
        log_level="error",
    )


def rows(shop: Settings, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(str(shop.database_url), autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def counts(shop: Settings) -> Counter[str]:
    return Counter(
        {topic: n for log in LOGS for topic, n in rows(shop, f"SELECT topic, count(*) FROM {log}_log GROUP BY 1")}
    )


def killed(shop: Settings, orders: int) -> None:
    """Fills until so many orders stand, and is killed there."""
    environ = {**os.environ, **environment(shop)}
    process = subprocess.Popen([sys.executable, "-m", "emporium.scripts.demo.filling"], env=environ)
    deadline = time.monotonic() + 60
    placed = "SELECT count(*) FROM ordering_log WHERE topic = 'ordering.OrderCreated'"
    with psycopg.connect(str(shop.database_url), autocommit=True) as connection:
        while process.poll() is None and time.monotonic() < deadline:
            row = connection.execute(placed.encode()).fetchone()
            if row is not None and row[0] >= orders:
                break
    process.kill()
    assert process.wait() == -9, "it was not done before"


def test_a_year_is_filled_once_however_often_it_is_killed(
    shop: Settings, sandbox: SandboxProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seed.run(shop).year
    for orders in (1, 30):
        killed(shop, orders)
    assert filling.run(replace(shop, demo_orders=5)) == 0, "the first run said how many orders there are"
    [(begins,)] = rows(shop, "SELECT min(at) FROM catalog_log")
    year = plan(begins, ORDERS)

    found = counts(shop)
    _as_planned(shop, year, found)
    _paid_once(shop, sandbox, found)
    assert [rows(shop, f"SELECT count(*) FROM {log}_tasks WHERE parked") for log in LOGS] == [[(0,)]] * len(LOGS)
    assert not any(topic.startswith("notifications.") for topic in found)
    assert rows(shop, "SELECT count(*) FROM notifications_tasks") == [(0,)]

    # Nothing waits but what is of today, and nobody can log in as one of these customers.
    [(late,)] = rows(shop, "SELECT count(*) FROM ordering_tasks WHERE due < now() - interval '1 hour'")
    assert late == 0
    assert rows(shop, "SELECT count(*) FROM accounts_log WHERE data->>'password' IS NOT NULL") == [(0,)]

    assert seed.run(shop) == seed.Seeded(0, False)
    assert filling.run(shop) == 0
    assert counts(shop) == found

    _reconciles(shop, year)
    capsys.readouterr()
    [(number,)] = rows(
        shop,
        "SELECT data->>'number' FROM ordering_log WHERE topic = 'ordering.OrderCreated'"
        " AND stream IN (SELECT stream FROM ordering_log WHERE topic = 'ordering.OrderCompleted') LIMIT 1",
    )
    assert audit.order(shop, number, as_json=False) == 0


def _as_planned(shop: Settings, year: Year, found: Counter[str]) -> None:
    purchases = year.purchases
    assert found["ordering.OrderCreated"] == found["ordering.CartCheckedOut"] == sum(one.attempts for one in purchases)
    assert found["ordering.OrderFailed"] == sum(one.fate == DECLINED for one in purchases)
    assert found["ordering.OrderCancelled"] <= sum(one.fate == CANCELLED for one in purchases)
    sayings = [one for fortnight in year.fortnights for one in fortnight.sayings]
    assert found["reviews.ReviewWritten"] == len(sayings)
    assert found["reviews.HelpfulVoteCast"] <= sum(len(one.votes) for one in sayings)
    assert found["ordering.OrderReturned"] == sum(len(one.returns) for one in year.fortnights)
    units = sum((fortnight.units() for fortnight in year.fortnights), Counter[str]())
    received = rows(
        shop,
        "SELECT data->>'sku', sum((data->>'quantity')::int) FROM inventory_log"
        " WHERE topic = 'inventory.UnitsReceived' AND data->>'reference' LIKE 'demo %' GROUP BY 1",
    )
    assert {sku: int(count) for sku, count in received} == dict(units)
    times = rows(shop, "SELECT stream, array_agg(at ORDER BY version) FROM ordering_log GROUP BY 1")
    placed = rows(shop, "SELECT at FROM ordering_log WHERE topic = 'ordering.OrderCreated' ORDER BY at")
    assert min(placed)[0] < year.begins + timedelta(days=30)
    assert max(placed)[0] < year.ends
    assert len(times) > len(purchases)
    arrived = rows(shop, "SELECT min(at), max(at) FROM shipping_log WHERE topic = 'shipping.ParcelDelivered'")
    assert arrived[0][1] <= rows(shop, "SELECT now()")[0][0]


def _paid_once(shop: Settings, sandbox: SandboxProcess, found: Counter[str]) -> None:
    known = sandbox.state()
    assert not known["charged_twice"]
    [(paid,)] = rows(
        shop,
        "SELECT sum((data->'amount'->>'amount')::int) FROM payments_log WHERE topic IN"
        " ('payments.PaymentProcessed', 'payments.LatePaymentReceived')",
    )
    assert paid == known["charged"]
    assert found["payments.PaymentRefunded"] == found["payments.RefundRequested"] == known["refunds"]


def _reconciles(shop: Settings, year: Year) -> None:
    async def main() -> None:
        async with bootstrap.open_shop(shop, follows=False) as opened, bootstrap.provider_record(shop) as record:
            for one in year.purchases[:: len(year.purchases) // 5]:
                outcome = await reconcile(opened.shop.logs["payments"], record, one.at.date())
                assert outcome.compared
                assert not outcome.differences

    asyncio.run(main())
