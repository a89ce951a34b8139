"""Reads a file of invoice lines, Parquet or CSV, into compact columns, whatever types its columns have."""

import hashlib
import math
from array import array
from collections.abc import Callable, Iterator
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
        for values in zip(*batch, strict=True):
            builder.add(*values)
        progress(builder.row / total if total else 1.0)
    if builder.row == 0:
        raise FileProblem(f"{path} has no lines.", "Name a file of invoice lines.")
    return builder.year(identity)


Batches = Iterator[list[list[Any]]]


def _parquet(path: Path) -> tuple[int, Batches]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "Parquet", error) from None
    _check_columns(path, file.schema_arrow.names)

    def batches() -> Batches:
        try:
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(COLUMNS)):
                yield [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in COLUMNS]
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, "Parquet", error) from None

    return file.metadata.num_rows, batches()


def _csv(path: Path) -> tuple[int, Batches]:
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

    def batches() -> Batches:
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
    """Takes lines as they come and puts each value into its column."""

    def __init__(self) -> None:
        self.row = 0
        self._documents: dict[str, Document] = {}
        self._strays: list[Stray] = []
        self._codes = _Values[str]()
        self._descriptions = _Values[str]()
        self._prices = _Values[Decimal]()
        self._text = _Remembered(_text)
        self._price = _Remembered(_price)
        self._time = _Remembered(_time)
        self._customer = _Remembered(_customer)
        self._code_column = array("i")
        self._description_column = array("i")
        self._price_column = array("i")
        self._quantity_column = array("q")

    def add(
        self, invoice: Any, code: Any, description: Any, quantity: Any, at: Any, price: Any, customer: Any, country: Any
    ) -> None:
        self._code_column.append(self._codes.place(self._text(code)))
        self._description_column.append(self._descriptions.place(self._text(description)))
        self._price_column.append(self._prices.place(self._price(price)))
        self._quantity_column.append(_quantity(quantity))
        number = self._text(invoice)
        document = None if number is None else self._documents.get(number)
        if document is None:
            time = self._time(at)
            if number is None or time is None:
                self._stray(number, time)
                return
            document = self._documents[number] = Document(
                number, time, self._customer(customer), self._text(country) or "", array("i")
            )
        document.rows.append(self.row)
        self.row += 1

    def _stray(self, number: str | None, at: datetime | None) -> None:
        price, code = self._price_column[-1], self._code_column[-1]
        value = self._quantity_column[-1] * self._prices.all[price] if price >= 0 else Decimal(0)
        self._strays.append(Stray(self.row, number or "", self._codes.all[code] if code >= 0 else "", at, value))
        self.row += 1

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


class _Remembered(dict[Any, Any]):
    """A function of one column's values, computed once for each."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __call__(self, value: Any) -> Any:
        if value is None or value != value:  # a NaN is no value, and none equals another
            return None
        if value not in self:
            self[value] = self._make(value)
        return self[value]


def _text(value: Any) -> str | None:
    """The text without blanks around and control characters; numbers as whole as they are."""
    if isinstance(value, float) and not math.isfinite(value):
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
