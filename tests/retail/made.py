"""Small made-up files of invoice lines, in the columns of the real one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emporium.scripts.retail.file import COLUMNS, Year, read
from emporium.scripts.retail.sorting import Deed, Plan, sort_out

__all__ = ["Line", "columns", "deeds_of", "line", "plan_of", "small_year", "written", "year_of"]

Line = dict[str, Any]


def line(
    invoice: Any = "536365",
    code: Any = "85123A",
    quantity: Any = 1,
    price: Any = 2.5,
    *,
    at: Any = "2023-01-10 09:00:00",
    customer: Any = 17850.0,
    description: Any = "WHITE T-LIGHT HOLDER",
    country: Any = "United Kingdom",
) -> Line:
    """One line; a real one unless told otherwise."""
    values = (invoice, code, description, quantity, at, price, customer, country)
    return dict(zip(COLUMNS, values, strict=True))


def columns(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """The lines as columns."""
    return {name: [one[name] for one in lines] for name in COLUMNS}


def written(path: Path, lines: Sequence[Line]) -> Path:
    """The lines in a Parquet file."""
    pq.write_table(pa.table(columns(lines)), path)
    return path


def year_of(folder: Path, lines: Sequence[Line]) -> Year:
    """The lines, written and read."""
    return read(written(folder / "year.parquet", lines))


def plan_of(folder: Path, lines: Sequence[Line]) -> Plan:
    """The lines sorted out."""
    return sort_out(year_of(folder, lines))


def deeds_of(folder: Path, lines: Sequence[Line]) -> list[Deed]:
    """What the lines' invoices were."""
    return list(plan_of(folder, lines).deeds())


def small_year() -> list[Line]:
    """Four months with everything that occurs: guests, returns over several orders, goodwill, write-offs, dirt."""
    lines: list[Line] = []
    for month in range(1, 5):
        for day in range(1, 13):
            number = 536000 + 100 * month + day
            at = f"2023-{month:02}-{day:02} 09:{day:02}:00"
            customer = None if day % 4 == 0 else 17000.0 + day % 3
            for place in range(1 + day % 5):
                code = f"2200{place}"
                price = 1.25 + place if day % 5 else 0.95 + place + month / 10
                lines.append(
                    line(str(number), code, 1 + (day * place) % 7, price, at=at, customer=customer,
                         description=f"ARTICLE {place}", country="EIRE" if day == 3 else "United Kingdom")
                )  # fmt: skip
            if day == 5:
                lines.append(line(str(number), "POST", 1, 18.0, at=at, customer=customer, description="POSTAGE"))
            if day == 7:
                lines.append(line(str(number), "PADS", 2, 0.001, at=at, customer=customer, description="PADS TO MATCH"))
            if day == 8:
                lines.append(line(str(number), "22000", 1, 0.0, at=at, customer=None, description="found"))
        late = f"2023-{month:02}-20 15:00:00"
        lines += [
            line(f"C5369{month}1", "22001", -5, 2.25, at=late, customer=17001.0),
            line(f"C5369{month}1", "D", -1, 3.33, at=late, customer=17001.0, description="Discount"),
            line(f"C5369{month}2", "22004", -1, 5.25, at=late, customer=None),
            line(f"5369{month}3", "22000", -3, 0.0, at=late, customer=None, description="damaged"),
            line(f"5369{month}4", "AMAZONFEE", 1, 13.0, at=late, customer=None, description="AMAZON FEE"),
        ]
    lines.append(line("A536999", "B", 1, -11.5, at="2023-04-21 10:00:00", customer=None, description="Adjust bad debt"))
    return lines
