"""`emporium audit order` on orders that really went through the saga, and on logs that somebody has touched."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click
import psycopg
import pytest

from emporium.application.ports import Claim, Unit
from emporium.domain.order_number import order_number
from emporium.infra.settings import Settings
from emporium.scripts import audit
from tests.support.saga import running


def bought(settings: Settings, status: str, method: str = "pm_ok") -> UUID:
    """The id of an order that came to this end; its number is claimed as the checkout does."""

    async def main() -> UUID:
        async with running(str(settings.database_url), settings.data_dir) as saga:
            await saga.stock(LON={"MUG": 3}, BER={"TEA": 1})
            order_id = await saga.order(method, MUG=2, TEA=1)
            claim = Claim("order_number", order_number(order_id).encode(), order_id)
            await saga.shop.logs["ordering"].append(Unit(claims=[claim]))
            await saga.becomes(order_id, status)
            return order_id

    return asyncio.run(main())


def document(settings: Settings, capsys: pytest.CaptureFixture[str], number: str, status: int = 0) -> dict[str, object]:
    assert audit.order(settings, number, as_json=True) == status
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_an_orders_whole_story_is_told(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    order_id = bought(settings, "fulfilled")
    number = order_number(order_id)
    found = document(settings, capsys, number.lower().replace("-", " "))
    events = found["events"]
    assert isinstance(events, list)
    assert found["ok"] is True
    assert {one["log"] for one in events} == {"ordering", "payments", "inventory", "shipping"}
    aggregates = {"Cart", "Order", "DocumentNumbers", "Payment", "Reservation", "Stock", "Shipment"}
    assert {one["aggregate"] for one in events} == aggregates
    ends = {one["aggregate"]: one["status"] for one in events}
    assert (ends["Order"], ends["Payment"], ends["Shipment"]) == ("fulfilled", "processed", "fulfilled")
    numbers = [one["number"] for one in events]
    assert numbers == list(range(1, len(events) + 1))
    assert all(one["cause"] is None or one["cause"] < one["number"] for one in events)
    assert [one["event"] for one in events if one["cause"] is None][-1] == "OrderCreated"
    assert audit.order(settings, str(order_id), as_json=False) == 0
    text = capsys.readouterr().out
    assert "Every chain of causes begins with a request" in text
    assert "OrderFulfilled" in text and "→ fulfilled: " in text


def test_a_failed_order_and_its_past(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    order_id = bought(settings, "failed", "pm_declined")
    found = document(settings, capsys, str(order_id))
    events = found["events"]
    assert isinstance(events, list)
    assert {"PaymentFailed", "OrderFailed", "CartReopened"} <= {one["event"] for one in events}
    created = next(one["at"] for one in events if one["event"] == "OrderCreated")
    at = datetime.fromisoformat(created)
    assert audit.order(settings, str(order_id), as_of=at.replace(tzinfo=None), as_json=False) == 0
    assert "Order pending" in capsys.readouterr().out
    with pytest.raises(click.ClickException, match="did not exist yet"):
        audit.order(settings, str(order_id), as_of=at - timedelta(days=1), as_json=False)


@pytest.mark.parametrize(
    ("tampering", "code"),
    [
        (
            "UPDATE payments_events SET state = convert_to(replace(convert_from(state, 'UTF8'), '\"event:', '\"magic:')"
            ", 'UTF8') WHERE topic = 'payments.PaymentProcessed'",
            "no_origin",
        ),
        ("DELETE FROM payments_events WHERE topic = 'payments.PaymentRequested'", "version_gap"),
        ("DELETE FROM ordering_events WHERE topic = 'ordering.OrderPaid'", "version_gap"),
        (
            "UPDATE inventory_events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'event:',"
            " 'event:00000000-0000-4000-8000-000000000000/'), 'UTF8') WHERE topic = 'inventory.StockReserved'",
            "no_origin",
        ),
        (
            "UPDATE shipping_events SET notification_id = 100000 WHERE topic = 'shipping.ShipmentPrepared'",
            "version_gap",
        ),
    ],
)
def test_what_was_changed_afterwards_is_found(
    settings: Settings, capsys: pytest.CaptureFixture[str], tampering: str, code: str
) -> None:
    order_id = bought(settings, "fulfilled")
    with psycopg.connect(str(settings.database_url)) as connection:
        assert connection.execute(tampering.encode()).rowcount == 1
    found = document(settings, capsys, str(order_id), status=1)
    assert found["ok"] is False
    assert code in {finding["code"] for finding in found["findings"]}  # type: ignore[attr-defined]
    assert audit.order(settings, str(order_id), as_json=False) == 1
    assert "things are wrong:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (order_number(UUID(int=77)), "There is no order with the number"),
        ("K7QM", "is not an order number"),
        (str(UUID(int=77)), "There is no order with the id"),
    ],
)
def test_an_unknown_number_is_a_sentence(settings: Settings, number: str, says: str) -> None:
    with pytest.raises(click.ClickException, match=says) as raised:
        audit.order(settings, number, as_json=False)
    assert raised.value.exit_code == 1


def test_something_else_than_an_order_has_no_audit(settings: Settings, folder: Path) -> None:
    async def main() -> UUID:
        async with running(str(settings.database_url), folder, roles=()) as saga:
            await saga.stock(LON={"MUG": 1})
            order_id = await saga.order(MUG=1)
            events = await saga.shop.logs["ordering"].by_correlation(str(order_id))
            return next(one.stream for one in events if one.stream != order_id)

    with pytest.raises(click.ClickException, match="There is no order"):
        audit.order(settings, str(asyncio.run(main())), as_of=datetime.now(UTC), as_json=False)
