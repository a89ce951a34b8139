"""/api/v1/admin/reports: for staff, what was sold by day or by product, as JSON pages or as one CSV file."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, get
from litestar.params import FromQuery, QueryParameter

from emporium.http.auth import staff
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.paging import Cursor, Limit, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request
from emporium.projections import sales
from emporium.projections.catalog_pages import CATALOG_PAGES
from emporium.projections.model import Connection
from emporium.projections.paging import Page
from emporium.projections.sales import SALES, DaySales, ProductSales

__all__ = ["ReportController"]

_CSV = b"text/csv; charset=utf-8"
_LONGEST = timedelta(days=3 * 366)
_NAME = (b"content-disposition", b'attachment; filename="sales.csv"')

DayFrom = Annotated[date, QueryParameter(description="The first day (UTC).")]
DayTo = Annotated[date, QueryParameter(description="The last day (UTC), at most three years later.")]


class SalesReport(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a report: `days` or `products`, as it was asked for; `next` is the path of the next page."""

    days: Sequence[DaySales] | None = None
    products: Sequence[ProductSales] | None = None
    next: str | None


class ReportController(Controller):
    """Reports."""

    path = "/admin/reports"
    tags = ["admin"]
    guards = [staff("analyst")]

    @get("/sales", opt={"tagged": True, "models": (SALES.name, CATALOG_PAGES.name)})
    async def sales(
        self,
        request: Request,
        day_from: DayFrom,
        day_to: DayTo,
        by: FromQuery[Literal["day", "product"]] = "day",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Reply[SalesReport]:
        """Orders, units and revenue by day (the first one first), or by product (the most revenue first)."""
        _check(day_from, day_to)
        await includes(request, SALES.name, CATALOG_PAGES.name)

        async def read(connection: Connection) -> Page[Any]:
            query = sales.by_day if by == "day" else sales.by_product
            return await query(connection, day_from, day_to, limit=limit, cursor=cursor)

        page = listing(request, await request.services.reads.run(read), lambda row: row)
        report = SalesReport(
            days=page.items if by == "day" else None, products=page.items if by == "product" else None, next=page.next
        )
        return tagged(request, report)

    @get("/sales.csv", media_type="text/csv", opt={"models": (SALES.name, CATALOG_PAGES.name)})
    async def sales_csv(
        self,
        request: Request,
        day_from: DayFrom,
        day_to: DayTo,
        by: FromQuery[Literal["day", "product"]] = "day",
    ) -> Reply[bytes]:
        """The whole report as a file for a spreadsheet."""
        _check(day_from, day_to)
        await includes(request, SALES.name, CATALOG_PAGES.name)
        if by == "day":
            days = await request.services.reads.run(lambda connection: sales.by_day(connection, day_from, day_to))
            return _file(DaySales.__struct_fields__, days.items)
        products = await request.services.reads.run(lambda connection: sales.by_product(connection, day_from, day_to))
        return _file(ProductSales.__struct_fields__, products.items)


def _check(first: date, last: date) -> None:
    if not timedelta(0) <= last - first <= _LONGEST:
        raise KINDS.invalid_parameter("day_to: not before day_from, and at most three years later")


def _file(names: Sequence[str], rows: Iterable[msgspec.Struct]) -> Reply[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow(_cell(value) for value in msgspec.structs.astuple(row))
    return Reply(text.getvalue().encode(), headers=[_NAME], media_type=_CSV)


def _cell(value: Any) -> Any:
    """A title that begins like a formula must not become one in a spreadsheet."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value
