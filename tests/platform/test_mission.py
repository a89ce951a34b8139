"""docs/mission.md points only at what exists, and leaves nothing of the mission out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "mission.md").read_text()

SERVICES = ("catalog", "search", "inventory", "reviews", "user management", "cart", "checkout", "order management",
            "payment", "shipping", "notification", "recommendation", "gateway")  # fmt: skip
PREFIXES = ("products", "search", "cart", "account", "orders", "checkout", "payments", "reviews", "recommendations")
EVENTS = ("ProductUpdated", "PriceChanged", "StockReserved", "StockReservationFailed", "StockLevelLow", "OrderCreated",
          "PaymentProcessed", "PaymentFailed", "PaymentRefunded", "OrderShipped", "OrderFulfilled")  # fmt: skip


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table."""
    text = PAGE.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in text.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


ROWS = [row for section in re.findall(r"^## (.+)$", PAGE, re.M) for row in rows(section)]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_points_at_something_or_says_where_it_is_open(row: list[str]) -> None:
    asked, module, shown, still_open = row
    assert asked
    if not module:
        assert re.match(r"issue \d+", still_open)
        return
    assert (ROOT / module.strip("`")).is_file()
    path, _, test = shown.strip("`").partition("::")
    assert (ROOT / path).exists()
    if test:
        names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
        assert test in names


def test_nothing_of_the_mission_is_left_out() -> None:
    services = " ".join(row[0].lower() for row in rows("Services"))
    assert [name for name in SERVICES if name not in services] == []
    prefixes = {row[0] for row in rows("Route prefixes")}
    assert prefixes == {f"`/api/v1/{name}`" for name in PREFIXES}
    assert {row[0] for row in rows("Events")} == {f"`{name}`" for name in EVENTS}
    assert len(rows("Interactions")) == 20
    assert [row[0][:2] for row in rows("The asynchronous checkout")] == [f"{n}." for n in range(1, 8)]
