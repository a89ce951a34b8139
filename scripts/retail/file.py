"""Reads a file of invoice lines, Parquet or CSV, into compact columns, whatever types its columns have."""

import hashlib
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from emporium.infra.settings import StartupProblem

__all__ = ["COLUMNS", "Document", "FileProblem", "Stray", "Year", "read"]

COLUMNS: Final = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip

_BATCH: Final = 32_768
_MOST_DIGITS: Final = 15
_AMERICAN: Final = "%m/%d/%Y %H:%M"
"""Beside ISO 8601: how the published spreadsheet writes its dates as CSV."""

_T = TypeVar("_T")


class FileProblem(StartupProblem):
    """The file is not what it must be: a sentence, and what to do about it."""


class Document(msgspec.Struct):
    """All lines of one invoice number.

    Attributes:
        at: its first line's time, taken as UTC: the file names no zone.
        customer: the CustomerID; None for a guest.
        rows: its lines' places in the columns of the Year.
    """

    invoice: str
    at: datetime
    customer: str | None
    country: str
    rows: "array[int]"


class Stray(msgspec.Struct, frozen=True):
    """A line that belongs to no invoice, as its number or its date is missing or makes no sense."""

    row: int
    invoice: str
    code: str
    at: datetime | None
    value: Decimal


class Year(msgspec.Struct):
    """The lines of a file in columns, by row (from 0).

    Attributes:
        identity: a digest of the file: the same for the same contents.
        documents: the invoices by time, those of one time as in the file.
        strays: lines outside of them.
        codes, descriptions, prices: the different values; `code`, `description` and `price` hold their places,
            -1 where there is none or none that makes sense.
        quantity: units; 0 where there are none or they make no sense.
    """

    identity: str
    lines: int
    documents: list[Document]
    strays: list[Stray]
    codes: list[str]
    descriptions: list[str]
    prices: list[Decimal]
    code: "array[int]"
    description: "array[int]"
    price: "array[int]"
    quantity: "array[int]"

    def value(self, row: int) -> Decimal:
        """Quantity times price, exactly; 0 where either is missing."""
        price = self.price[row]
        return self.quantity[row] * self.prices[price] if price >= 0 else Decimal(0)


def read(path: Path, progress: Callable[[float], None] = lambda _: None) -> Year:
    """The file's lines. Raises FileProblem where it cannot be read, lacks columns or has no lines.

    Args:
        progress: told the part that was read, 0 to 1.
    """
    with path.open("rb") as file:
        identity = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    builder = _Builder()
    total, batches = _csv(path) if path.suffix.lower() == ".csv" else _parquet(path)
    for batch in batches:
        builder.add(*batch)
        progress(builder.row / total if total else 1.0)
    if builder.row == 0:
        raise FileProblem(f"{path} has no lines.", "Name a file of invoice lines.")
    return builder.year(identity)


_Column = Sequence[Any]
_Batches = Iterator[list[list[Any]]]


def _parquet(path: Path) -> tuple[int, _Batches]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "Parquet", error) from None
    _check_columns(path, file.schema_arrow.names)

    def batches() -> _Batches:
        try:
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(COLUMNS)):
                yield [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in COLUMNS]
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, "Parquet", error) from None

    return file.metadata.num_rows, batches()


def _csv(path: Path) -> tuple[int, _Batches]:
    import csv

    def rows() -> Iterator[list[str]]:
        try:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                yield from csv.reader(file)
        except (OSError, csv.Error) as error:
            raise _unreadable(path, "CSV", error) from None

    lines = rows()
    header = next(lines, [])
    _check_columns(path, header)
    places = [header.index(name) for name in COLUMNS]

    def batches() -> _Batches:
        batch: list[list[Any]] = [[] for _ in COLUMNS]
        for line in lines:
            if not line:
                continue
            for values, place in zip(batch, places, strict=True):
                values.append(line[place] if place < len(line) else None)
            if len(batch[0]) == _BATCH:
                yield batch
                batch = [[] for _ in COLUMNS]
        yield batch

    return 0, batches()


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        there = ", ".join(names) or "none"
        raise FileProblem(
            f"{path} has no column {', '.join(missing)}.",
            f"It needs {', '.join(COLUMNS)}; it has {there}.",
        )


def _unreadable(path: Path, kind: str, error: Exception) -> FileProblem:
    reason = str(error).strip().split("\n", 1)[0].rstrip(".")
    return FileProblem(
        f"{path} cannot be read as {kind}: {reason}.", "Name a Parquet file, or a CSV file whose name ends in .csv."
    )


class _Builder:
    """Takes lines as they come, column by column: each different value of a batch is looked at once."""

    def __init__(self) -> None:
        self.row = 0
        self._documents: dict[str, Document] = {}
        self._strays: list[Stray] = []
        self._codes = _Values[str]()
        self._descriptions = _Values[str]()
        self._prices = _Values[Decimal]()
        self._code_column = array("i")
        self._description_column = array("i")
        self._price_column = array("i")
        self._quantity_column = array("q")

    def add(
        self, invoices: _Column, codes: _Column, descriptions: _Column, quantities: _Column, times: _Column,
        prices: _Column, customers: _Column, countries: _Column,
    ) -> None:  # fmt: skip
        self._code_column.extend(_each(codes, lambda value: self._codes.place(_text(value))))
        self._description_column.extend(_each(descriptions, lambda value: self._descriptions.place(_text(value))))
        self._price_column.extend(_each(prices, lambda value: self._prices.place(_price(value))))
        self._quantity_column.extend(_each(quantities, _quantity))
        heads = zip(
            _each(invoices, _text), _each(times, _time), _each(customers, _customer), _each(countries, _text),
            strict=True,
        )  # fmt: skip
        for number, at, customer, country in heads:
            document = None if number is None else self._documents.get(number)
            if document is None and number is not None and at is not None:
                document = self._documents[number] = Document(number, at, customer, country or "", array("i"))
            if document is None:
                self._stray(number, at)
            else:
                document.rows.append(self.row)
            self.row += 1

    def _stray(self, number: str | None, at: datetime | None) -> None:
        price, code = self._price_column[self.row], self._code_column[self.row]
        value = self._quantity_column[self.row] * self._prices.all[price] if price >= 0 else Decimal(0)
        self._strays.append(Stray(self.row, number or "", self._codes.all[code] if code >= 0 else "", at, value))

    def year(self, identity: str) -> Year:
        documents = sorted(self._documents.values(), key=lambda document: document.at)
        return Year(
            identity, self.row, documents, self._strays, self._codes.all, self._descriptions.all, self._prices.all,
            self._code_column, self._description_column, self._price_column, self._quantity_column,
        )  # fmt: skip


class _Values(dict[_T, int]):
    """The different values of a column, each with its place."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[_T] = []

    def place(self, value: _T | None) -> int:
        if value is None:
            return -1
        place = self.get(value)
        if place is None:
            place = self[value] = len(self.all)
            self.all.append(value)
        return place


def _each(values: _Column, make: Callable[[Any], _T]) -> list[_T]:
    """`make` of every value, computed once for equal ones."""
    made = {value: make(value) for value in set(values)}
    return [made[value] for value in values]


def _text(value: Any) -> str | None:
    """The text without blanks around and control characters; numbers as whole as they are."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, float | Decimal) and value == int(value):
        value = int(value)
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return text or None


def _customer(value: Any) -> str | None:
    """A customer's number: 17850 for 17850.0 too, which is what a column with gaps makes of it."""
    text = _text(value)
    if text is not None and text.endswith(".0") and text[:-2].isdigit():
        text = text[:-2]
    return None if text is None or text.lower() == "nan" else text


def _price(value: Any) -> Decimal | None:
    """The exact price: a float stands for the shortest decimal that reads as it."""
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return price.normalize() + 0 if price.is_finite() and price.adjusted() < _MOST_DIGITS else None


def _quantity(value: Any) -> int:
    if isinstance(value, int):
        whole = value
    else:
        number = _price(value)
        whole = int(number) if number is not None and number == int(number) else 0
    return whole if abs(whole) < 10**_MOST_DIGITS else 0


def _time(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    text = _text(value)
    if text is None:
        return None
    try:
        return _time(datetime.fromisoformat(text))
    except ValueError:
        try:
            return datetime.strptime(text, _AMERICAN).replace(tzinfo=UTC)
        except ValueError:
            return None
