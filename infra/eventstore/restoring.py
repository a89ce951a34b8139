"""After a restore: another life of a log, and its followers led over into it."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from emporium.infra.eventstore.migrations import logs_by_dsn

__all__ = ["Connected", "Overtaken", "connected", "new_incarnation", "restored"]

_OTHERS: Final = """
SELECT coalesce(nullif(application_name, ''), 'without a name'), count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND application_name <> 'psql'
GROUP BY 1 ORDER BY 1
"""


class Connected(msgspec.Struct, frozen=True):
    """Programs of one name that are connected to a database."""

    dsn: str
    program: str
    count: int


class Overtaken(msgspec.Struct, frozen=True, kw_only=True):
    """A follower that had read events which the restored log no longer has: it goes on behind `head`.

    Attributes:
        log, name: where it writes, and what it is called.
        upstream: the log that it follows.
        position: how far it had read.
        head: where the restored log ends.
    """

    log: str
    name: str
    upstream: str
    position: int
    head: int


async def connected(dsns: Collection[str]) -> list[Connected]:
    """Who else is connected to the databases, as far as they tell; somebody's `psql` is no part of the shop.

    Raises:
        psycopg.Error: a database cannot be reached.
    """
    found = []
    for dsn in dict.fromkeys(dsns):
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            cursor = await connection.execute(_OTHERS)
            found += [Connected(dsn, program, count) for program, count in await cursor.fetchall()]
    return found


async def new_incarnation(dsn: str, log: str) -> UUID:
    """Begins another life of a log, after a restore: positions of the old one are refused from here on.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(
            "UPDATE emporium_logs SET incarnation = gen_random_uuid() WHERE name = %s RETURNING incarnation", [log]
        )
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"there is no log {log} in this database")
        # Whoever writes now must enter anew, and is refused there.
        await connection.execute("UPDATE emporium_writers SET generation = generation + 1 WHERE log = %s", [log])
    return UUID(str(row[0]))


async def restored(dsn_by_log: Mapping[str, str], logs: Collection[str]) -> list[Overtaken]:
    """Begins another life of these logs and leads all that follows them over; those that had read too far.

    What a restored log holds is what it held before, up to where it ends now. So a follower that had read less
    goes on where it stood, and one that had read more goes on at the end. Read models are left to be made anew.
    May be interrupted and called again; until it has ended, followers refuse to work.

    Args:
        dsn_by_log: every log of the shop and where it is stored.
        logs: those that were restored.

    Raises:
        psycopg.Error: a database cannot be reached.
    """
    lives = {log: await new_incarnation(dsn_by_log[log], log) for log in logs}
    heads: dict[str, int] = {}
    for log in logs:
        async with await psycopg.AsyncConnection.connect(dsn_by_log[log]) as connection:
            cursor = await connection.execute(
                sql.SQL("SELECT coalesce(max(notification_id), 0) FROM {}").format(sql.Identifier(f"{log}_events"))
            )
            [(heads[log],)] = await cursor.fetchall()
    overtaken = []
    for dsn, downstreams in logs_by_dsn(dsn_by_log).items():
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            for downstream in downstreams:
                overtaken += await _lead_over(connection, downstream, lives, heads)
    return overtaken


async def _lead_over(
    connection: psycopg.AsyncConnection[tuple[object, ...]],
    log: str,
    lives: Mapping[str, UUID],
    heads: Mapping[str, int],
) -> list[Overtaken]:
    """Its followers' rows; the library's own have no colon."""
    table = sql.Identifier(f"{log}_tracking")
    cursor = await connection.execute(
        sql.SQL(
            "SELECT split_part(application_name, ':', 1), split_part(application_name, ':', 2), notification_id"
            " FROM {} WHERE split_part(application_name, ':', 2) = ANY(%s) ORDER BY application_name FOR UPDATE"
        ).format(table),
        [list(lives)],
    )
    overtaken = []
    for name, upstream, position in await cursor.fetchall():
        head = heads[str(upstream)]
        if int(str(position)) > head:
            overtaken.append(
                Overtaken(log=log, name=str(name), upstream=str(upstream), position=int(str(position)), head=head)
            )
        await connection.execute(
            sql.SQL(
                "UPDATE {} SET incarnation = %s, notification_id = least(notification_id, %s)"
                " WHERE application_name = %s"
            ).format(table),
            [lives[str(upstream)], head, f"{name}:{upstream}"],
        )
    return overtaken
