"""Any file with the columns can be read, whatever their types; one without them is refused in words."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emporium.scripts.retail.file import COLUMNS, FileProblem, Year, read
from tests.retail.made import columns, line, written, year_of

AT = datetime(2023, 1, 10, 9, 0, tzinfo=UTC)


def only(year: Year) -> tuple[str, datetime, str | None, str, str, int, Decimal]:
    """All that is known of a year of one line."""
    [document] = year.documents
    [row] = document.rows
    return (
        document.invoice, document.at, document.customer, year.codes[year.code[row]],
        year.descriptions[year.description[row]], year.quantity[row], year.prices[year.price[row]],
    )  # fmt: skip


@pytest.mark.parametrize(
    "types",
    [
        {},
        {"InvoiceNo": 536365, "CustomerID": 17850, "Quantity": 6.0, "UnitPrice": "2.55"},
        {
            "CustomerID": "17850.0",
            "Quantity": "6",
            "UnitPrice": Decimal("2.550"),
            "InvoiceDate": AT.replace(tzinfo=None),
        },
        {"InvoiceDate": AT, "Quantity": Decimal(6), "CustomerID": " 17850 "},
        {"InvoiceDate": "2023-01-10T09:00:00Z"},
        {"InvoiceDate": "1/10/2023 9:00"},
        {"StockCode": b"85123A", "Description": " WHITE  T-LIGHT\x00 HOLDER "},
    ],
)
def test_types_do_not_matter(tmp_path: Path, types: dict[str, Any]) -> None:
    one = {**line(quantity=6, price=2.55), **types}
    expected = ("536365", AT, "17850", "85123A", "WHITE T-LIGHT HOLDER", 6, Decimal("2.55"))
    assert only(year_of(tmp_path, [one])) == expected


def test_csv_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "year.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "Other"])
        writer.writeheader()
        writer.writerow({**line(quantity=6, price=2.55), "Other": "x"})
    expected = ("536365", AT, "17850", "85123A", "WHITE T-LIGHT HOLDER", 6, Decimal("2.55"))
    assert only(read(path)) == expected


def test_gaps_are_guests_and_unknown_values(tmp_path: Path) -> None:
    lines = [
        line("1", customer=float("nan")),
        line("2", customer=None, description=None),
        line("3", quantity=None),
        line("4", price=float("inf")),
        line("5", code=""),
    ]
    year = year_of(tmp_path, lines)
    assert [document.customer for document in year.documents] == [None, None, "17850", "17850", "17850"]
    assert (year.description[1], year.quantity[2], year.price[3], year.code[4]) == (-1, 0, -1, -1)
    assert [year.value(row) for row in range(5)] == [Decimal("2.5"), Decimal("2.5"), 0, 0, Decimal("2.5")]


def test_lines_without_number_or_date_are_strays(tmp_path: Path) -> None:
    lines = [line(None, price=2.5), line("2", at="yesterday", price=3.0, quantity=2), line("3"), line("3", at=None)]
    year = year_of(tmp_path, lines)
    assert [(stray.row, stray.invoice, stray.at, stray.value) for stray in year.strays] == [
        (0, "", AT, Decimal("2.5")),
        (1, "2", None, Decimal(6)),
    ]
    # A line whose invoice is known needs no date of its own.
    assert [list(document.rows) for document in year.documents] == [[2, 3]]


def test_invoices_come_by_time(tmp_path: Path) -> None:
    lines = [line("2", at="2023-02-01 10:00:00"), line("1", at="2023-01-01 10:00:00"), line("2", code="22000")]
    assert [(one.invoice, list(one.rows)) for one in year_of(tmp_path, lines).documents] == [("1", [1]), ("2", [0, 2])]


def test_the_same_contents_have_one_identity(tmp_path: Path) -> None:
    first = written(tmp_path / "a.parquet", [line()])
    second = tmp_path / "b.parquet"
    second.write_bytes(first.read_bytes())
    assert read(first).identity == read(second).identity
    assert read(written(first, [line(), line()])).identity != read(second).identity


def test_missing_columns_are_named(tmp_path: Path) -> None:
    table = pa.table(columns([line()])).drop_columns(["Quantity", "CustomerID"])
    pq.write_table(table, tmp_path / "year.parquet")
    with pytest.raises(FileProblem, match="has no column Quantity, CustomerID") as raised:
        read(tmp_path / "year.parquet")
    assert "InvoiceNo" in raised.value.remedy
    (tmp_path / "year.csv").write_text("InvoiceNo,StockCode\n")
    with pytest.raises(FileProblem, match="has no column Description, Quantity"):
        read(tmp_path / "year.csv")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "year.parquet"
    for content in (b"", b"PAR1 not really", written(tmp_path / "cut.parquet", [line()]).read_bytes()[:-20]):
        path.write_bytes(content)
        with pytest.raises(FileProblem, match="cannot be read as Parquet"):
            read(path)


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "year.parquet"
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in COLUMNS}), path)
    with pytest.raises(FileProblem, match="has no lines"):
        read(path)
