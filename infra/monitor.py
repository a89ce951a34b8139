"""How the databases, logs, followers, tasks and read models are at this moment, read from their tables alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import class_row

from emporium.infra.eventstore.migrations import logs_by_dsn
from emporium.infra.settings import masked

__all__ = [
    "Database",
    "FollowerState",
    "Lease",
    "LogState",
    "ModelState",
    "ParkedTask",
    "Picture",
    "RefusedProducts",
    "look",
]

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]

_PATIENCE: Final = 5
"""Seconds until a database that does not answer counts as unreachable."""

_PARKED_SHOWN: Final = 20


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """One database: where (without its password), and what is in it; `error` where it cannot be asked.

    Attributes:
        schema: component → version of its tables.
    """

    url: str
    logs: tuple[str, ...]
    server: str | None = None
    schema: Mapping[str, int] = {}
    error: str | None = None


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """A log and its tasks.

    Attributes:
        head: its last position.
        waiting: tasks that fall due later; due: that should be done now; parked: that wait for a person.
        oldest_due: since when the one has waited that was due first.
        held_up: tasks that were tried and wait to be tried again; held_up_by: what kept the latest of them;
            held_up_since: since when the one has been tried in vain that waits longest.
    """

    log: str
    head: int
    incarnation: UUID
    waiting: int
    due: int
    parked: int
    oldest_due: datetime | None
    held_up: int = 0
    held_up_by: str | None = None
    held_up_since: datetime | None = None


class FollowerState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a process manager, which writes to `log`, is in the log that it follows."""

    log: str
    name: str
    upstream: str
    position: int


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads. A lease that was given back or has run out is not held.

    Attributes:
        age: seconds since it ran out or was given back; negative while it runs.
    """

    log: str
    name: str
    owner: str | None
    held: bool
    age: float


class ParkedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits for a person."""

    log: str
    id: UUID
    kind: str
    stream: UUID
    correlation: str
    attempts: int
    error: str | None


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a read model.

    Attributes:
        heartbeat_age: seconds since its leader last wrote; None where none ever did.
        parked: events that were set aside or wait behind such a one.
        parked_error: of the first of them.
        positions: log → position.
    """

    model: str
    generation: str
    version: int
    state: str
    paused: bool
    error: str | None
    owner: str | None
    heartbeat_age: float | None
    parked: int
    parked_error: str | None
    positions: Mapping[str, int]


class RefusedProducts(msgspec.Struct, frozen=True, kw_only=True):
    """What a search engine will not take: how many products, and why the first of them."""

    engine: str
    products: int
    error: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; of databases that cannot be reached only that."""

    databases: tuple[Database, ...]
    logs: tuple[LogState, ...]
    followers: tuple[FollowerState, ...]
    leases: tuple[Lease, ...]
    parked_tasks: tuple[ParkedTask, ...]
    models: tuple[ModelState, ...]
    refused: tuple[RefusedProducts, ...] = ()


async def look(dsns: Mapping[str, str], main: str) -> Picture:
    """Reads the present state; changes nothing.

    Args:
        dsns: log → its database.
        main: the database of the read models.
    """
    databases: list[Database] = []
    logs: list[LogState] = []
    followers: list[FollowerState] = []
    leases: list[Lease] = []
    parked: list[ParkedTask] = []
    models: list[ModelState] = []
    refused: list[RefusedProducts] = []
    for dsn, names in _databases(dsns, main).items():
        url = masked(dsn)
        try:
            async with await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, connect_timeout=_PATIENCE, options=f"-c statement_timeout={_PATIENCE}s"
            ) as connection:
                schema = await _schema(connection)
                server = f"PostgreSQL {connection.info.parameter_status('server_version')}"
                databases.append(Database(url=url, logs=tuple(names), server=server, schema=schema))
                for name in names:
                    if f"log {name}" in schema:
                        logs += await _rows(connection, LogState, _LOG, name)
                        followers += await _rows(connection, FollowerState, _FOLLOWERS, name)
                        leases += await _rows(connection, Lease, _LEASES, name)
                        parked += await _rows(connection, ParkedTask, _PARKED, name)
                if dsn == main and await _exists(connection, "emporium_projection_status"):
                    models = await _rows(connection, ModelState, _MODELS, "")
                if dsn == main and await _exists(connection, "emporium_search_refused"):
                    refused = await _rows(connection, RefusedProducts, _REFUSED, "")
        except psycopg.Error as error:
            why = str(error).strip().split("\n", 1)[0]
            databases.append(Database(url=url, logs=tuple(names), error=why))
    order = list(dsns)
    return Picture(
        databases=tuple(databases),
        logs=tuple(sorted(logs, key=lambda one: order.index(one.log))),
        followers=tuple(sorted(followers, key=lambda one: order.index(one.log))),
        leases=tuple(leases),
        parked_tasks=tuple(parked),
        models=tuple(models),
        refused=tuple(refused),
    )


def _databases(dsns: Mapping[str, str], main: str) -> dict[str, list[str]]:
    """Database → its logs, the main one first."""
    databases: dict[str, list[str]] = {main: []}
    return databases | logs_by_dsn(dsns)


async def _schema(connection: Connection) -> dict[str, int]:
    if not await _exists(connection, "emporium_schema"):
        return {}
    cursor = await connection.execute("SELECT component, version FROM emporium_schema ORDER BY component")
    return {component: version for component, version in await cursor.fetchall()}


async def _exists(connection: Connection, table: str) -> bool:
    cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"public.{table}"])
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def _rows(connection: Connection, kind: type[T], query: str, log: str) -> list[T]:
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        names = {part: sql.Identifier(f"{log}_{part}") for part in ("events", "tracking", "tasks")}
        await cursor.execute(sql.SQL(query).format(**names), {"log": log})
        return await cursor.fetchall()


_LOG: Final = """
SELECT l.name AS log, l.incarnation, (SELECT coalesce(max(notification_id), 0) FROM {events}) AS head,
    t.waiting, t.due, t.parked, t.oldest_due, t.held_up, t.held_up_by, t.held_up_since
FROM emporium_logs l, (
    SELECT count(*) FILTER (WHERE NOT parked AND due > now()) AS waiting,
        count(*) FILTER (WHERE NOT parked AND due <= now()) AS due,
        count(*) FILTER (WHERE parked) AS parked,
        min(due) FILTER (WHERE NOT parked AND due <= now()) AS oldest_due,
        count(*) FILTER (WHERE NOT parked AND error IS NOT NULL) AS held_up,
        (array_agg(error ORDER BY due DESC) FILTER (WHERE NOT parked AND error IS NOT NULL))[1] AS held_up_by,
        min(held_since) FILTER (WHERE NOT parked) AS held_up_since
    FROM {tasks}
) t WHERE l.name = %(log)s
"""
_FOLLOWERS: Final = """
SELECT %(log)s AS log, split_part(application_name, ':', 1) AS name, split_part(application_name, ':', 2) AS upstream,
    notification_id AS position
FROM {tracking} WHERE application_name LIKE '%%:%%' ORDER BY name, upstream
"""
_LEASES: Final = """
SELECT %(log)s AS log, substr(name, length(%(log)s) + 2) AS name, owner,
    owner IS NOT NULL AND expires_at > clock_timestamp() AS held,
    extract(epoch FROM clock_timestamp() - expires_at)::float8 AS age
FROM emporium_leases WHERE starts_with(name, %(log)s || '/') ORDER BY name
"""
_PARKED: Final = f"""
SELECT %(log)s AS log, id, kind, stream, cause ->> 'correlation' AS correlation, attempts, error
FROM {{tasks}} WHERE parked ORDER BY due LIMIT {_PARKED_SHOWN}
"""
_REFUSED: Final = """
SELECT engine, count(*)::int AS products, (array_agg(error ORDER BY refused_at, product_id))[1] AS error
FROM emporium_search_refused GROUP BY engine ORDER BY engine
"""
_MODELS: Final = """
SELECT s.model, s.generation, s.version, s.state, s.paused, s.error, s.owner,
    extract(epoch FROM clock_timestamp() - s.heartbeat)::float8 AS heartbeat_age,
    (SELECT count(*) FROM emporium_parked p WHERE (p.model, p.generation) = (s.model, s.generation)) AS parked,
    (SELECT p.error FROM emporium_parked p WHERE (p.model, p.generation) = (s.model, s.generation)
        AND p.error IS NOT NULL ORDER BY p.parked_at, p.log, p.position LIMIT 1) AS parked_error,
    (SELECT coalesce(jsonb_object_agg(t.log, t.position), '{{}}') FROM emporium_projection_tracking t
        WHERE (t.model, t.generation) = (s.model, s.generation)) AS positions
FROM emporium_projection_status s WHERE s.generation <> 'prev' ORDER BY s.model, s.generation
"""
