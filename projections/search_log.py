"""What is searched for, and clicked and ordered after it: counted by the hour and the words, without the person.

It is no read model: nothing of it is an event, and it is thrown away by the month.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec
from psycopg import sql

from emporium.projections.model import Connection

__all__ = ["Kind", "Noted", "Report", "Words", "forget", "oldest", "popular", "record", "report"]

Kind = Literal["search", "click", "order"]

MIGRATION: Final = """
CREATE TABLE emporium_search_log (
    hour timestamptz NOT NULL,
    words text NOT NULL,
    kind text NOT NULL,
    product_id uuid,
    times integer NOT NULL,
    empty integer NOT NULL
) PARTITION BY RANGE (hour);
"""

_LOCK: Final = 0x736561726368

_REPORT: Final = """
SELECT * FROM (
    SELECT words, coalesce(sum(times) FILTER (WHERE kind = 'search'), 0)::int AS searches,
        sum(empty)::int AS empty,
        coalesce(sum(times) FILTER (WHERE kind = 'click'), 0)::int AS clicks,
        coalesce(sum(times) FILTER (WHERE kind = 'order'), 0)::int AS orders
    FROM emporium_search_log WHERE hour >= %s GROUP BY words
) counted WHERE searches > 0 AND """


class Noted(msgspec.Struct, frozen=True):
    """Something that happened, which may be counted with its like. `empty`: nothing was found."""

    hour: datetime
    words: str
    kind: Kind
    product_id: UUID | None = None
    empty: bool = False


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A query, how often it was asked, how often in vain, and what followed."""

    words: str
    searches: int
    empty: int
    clicks: int
    orders: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent queries; of those that found nothing; of those that found something nobody wanted to see."""

    since: datetime
    top: Sequence[Words]
    no_result: Sequence[Words]
    no_click: Sequence[Words]


async def record(connection: Connection, counted: Mapping[Noted, int]) -> None:
    """Adds counts, with the partitions that they need."""
    async with connection.transaction():
        for month in sorted({one.hour.date().replace(day=1) for one in counted}):
            await _make(connection, month)
        notes = list(counted)
        await connection.execute(
            "INSERT INTO emporium_search_log (hour, words, kind, product_id, times, empty)"
            " SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::uuid[], %s::int[], %s::int[])",
            [
                [one.hour for one in notes],
                [one.words for one in notes],
                [one.kind for one in notes],
                [one.product_id for one in notes],
                list(counted.values()),
                [times if one.empty else 0 for one, times in counted.items()],
            ],
        )


async def _make(connection: Connection, month: date) -> None:
    name = f"emporium_search_log_{month:%Y%m}"
    found = await connection.execute("SELECT to_regclass(%s) IS NULL", [name])
    row = await found.fetchone()
    if row is not None and row[0]:
        # Two processes at once would both find it missing.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        after = (month + timedelta(days=32)).replace(day=1)
        await connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF emporium_search_log FOR VALUES FROM ({}) TO ({})"
            ).format(sql.Identifier(name), sql.Literal(f"{month} 00:00Z"), sql.Literal(f"{after} 00:00Z"))
        )


async def forget(connection: Connection, before: datetime) -> int:
    """Throws the months away that ended before a moment; how many."""
    found = await connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'emporium_search_log'::regclass"
    )
    old = [name for (name,) in await found.fetchall() if name < f"emporium_search_log_{before:%Y%m}"]
    for name in old:
        await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return len(old)


async def oldest(connection: Connection) -> datetime | None:
    """The first hour of which anything is known; None where nothing is."""
    found = await connection.execute("SELECT min(hour) FROM emporium_search_log")
    row = await found.fetchone()
    return None if row is None else row[0]


async def popular(connection: Connection, since: datetime, limit: int, least: int = 3) -> list[str]:
    """The queries that found something, the most frequent first; none that was asked less than `least` times."""
    found = await connection.execute(
        "SELECT words FROM emporium_search_log WHERE hour >= %s AND kind = 'search' GROUP BY words"
        " HAVING sum(times) >= %s AND 2 * sum(empty) < sum(times) ORDER BY sum(times) DESC, words LIMIT %s",
        [since, least, limit],
    )
    return [words for (words,) in await found.fetchall()]


async def report(connection: Connection, since: datetime, limit: int) -> Report:
    """What was searched for since a moment."""

    async def some(which: str) -> list[Words]:
        query = f"{_REPORT}{which} ORDER BY searches DESC, words LIMIT %s"
        found = await connection.execute(query.encode(), [since, limit])
        return [
            Words(words=words, searches=searches, empty=empty, clicks=clicks, orders=orders)
            for words, searches, empty, clicks, orders in await found.fetchall()
        ]

    return Report(
        since=since,
        top=await some("true"),
        no_result=await some("empty = searches"),
        no_click=await some("empty < searches AND clicks = 0"),
    )
