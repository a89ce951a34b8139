"""Versioned changes of the databases' tables, applied under a lock; a newer database is refused."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import psycopg

from emporium.infra.eventstore.errors import NoShop, SchemaMismatch
from emporium.infra.eventstore.registry import Registry
from emporium.infra.eventstore.tables import log_migrations, shared_migrations

__all__ = ["Migration", "apply_migrations", "check", "logs_by_dsn", "migrate"]

_LOCK: Final = 0x456D706F7269756D  # one number for all migrations of a database


class Migration(msgspec.Struct, frozen=True):
    """Step `number` (1, 2, …) of a component's tables, as SQL statements without parameters."""

    component: str
    number: int
    sql: str


def _by_component(migrations: Iterable[Migration]) -> dict[str, list[Migration]]:
    steps: defaultdict[str, list[Migration]] = defaultdict(list)
    for step in migrations:
        steps[step.component].append(step)
        if step.number != len(steps[step.component]):
            raise ValueError(f"the migrations of {step.component} are not numbered 1, 2, 3, …")
    return dict(steps)


async def _versions(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, int]:
    cursor = await connection.execute("SELECT to_regclass('public.emporium_schema') IS NOT NULL")
    if (await cursor.fetchone()) != (True,):
        return {}
    cursor = await connection.execute("SELECT component, version FROM emporium_schema")
    return {str(component): int(str(version)) for component, version in await cursor.fetchall()}


def _refuse_newer(steps: Mapping[str, Sequence[Migration]], recorded: Mapping[str, int]) -> None:
    for component, known in steps.items():
        if recorded.get(component, 0) > len(known):
            raise SchemaMismatch(
                f"the database's tables of {component} have version {recorded[component]}, this program knows "
                f"{len(known)}: use the newer program"
            )


async def apply_migrations(dsn: str, migrations: Iterable[Migration]) -> list[Migration]:
    """Brings one database up to date, all or nothing, one process at a time; returns what was applied.

    Raises:
        SchemaMismatch: the database is newer than the program.
        psycopg.Error: the database cannot be reached or changed.
    """
    steps = _by_component(migrations)
    applied: list[Migration] = []
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=False) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS emporium_schema"
            " (component text PRIMARY KEY, version bigint NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        recorded = await _versions(connection)
        _refuse_newer(steps, recorded)
        for component, known in steps.items():
            for step in known[recorded.get(component, 0) :]:
                await connection.execute(step.sql.encode())
                applied.append(step)
            await connection.execute(
                "INSERT INTO emporium_schema (component, version) VALUES (%s, %s) ON CONFLICT (component) DO UPDATE"
                " SET version = excluded.version, applied_at = now() WHERE emporium_schema.version < excluded.version",
                [component, len(known)],
            )
    return applied


def store_migrations(logs: Iterable[str]) -> list[Migration]:
    """The steps of the event store for one database that holds these logs."""
    steps = [Migration("store", number, sql) for number, sql in enumerate(shared_migrations(), 1)]
    for log in logs:
        steps += [Migration(f"log {log}", number, sql) for number, sql in enumerate(log_migrations(log), 1)]
    return steps


async def migrate(dsn_by_log: Mapping[str, str], registry: Registry) -> list[Migration]:
    """Creates or updates the tables of all logs and records the event schemas that this program writes.

    Raises:
        SchemaMismatch: a database is newer than the program, in its tables or in its events.
    """
    applied: list[Migration] = []
    for dsn, logs in logs_by_dsn(dsn_by_log).items():
        applied += await apply_migrations(dsn, store_migrations(logs))
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await _check_events(connection, logs, registry)
            known = [item for log in logs for item in registry.schemas(log).items()]
            await connection.execute(
                "INSERT INTO emporium_event_schemas (topic, version) SELECT * FROM unnest(%s::text[], %s::bigint[])"
                " ON CONFLICT (topic) DO UPDATE SET version = greatest(emporium_event_schemas.version,"
                " excluded.version)",
                [[topic for topic, _ in known], [version for _, version in known]],
            )
    return applied


async def check(dsn_by_log: Mapping[str, str], registry: Registry) -> None:
    """Refuses to work on databases that do not fit this program.

    Raises:
        SchemaMismatch: tables older or newer, or events of a schema that the program does not know.
    """
    for dsn, logs in logs_by_dsn(dsn_by_log).items():
        steps = _by_component(store_migrations(logs))
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            recorded = await _versions(connection)
            _refuse_newer(steps, recorded)
            if not recorded:
                raise NoShop
            for component, known in steps.items():
                if recorded.get(component, 0) < len(known):
                    raise SchemaMismatch(
                        f"the database's tables of {component} have version {recorded.get(component, 0)}, this"
                        f" program needs {len(known)}"
                    )
            await _check_events(connection, logs, registry)


async def _check_events(
    connection: psycopg.AsyncConnection[tuple[object, ...]], logs: Sequence[str], registry: Registry
) -> None:
    cursor = await connection.execute(
        "SELECT topic, version FROM emporium_event_schemas WHERE split_part(topic, '.', 1) = ANY(%s)", [list(logs)]
    )
    known = {topic: version for log in logs for topic, version in registry.schemas(log).items()}
    for topic, version in await cursor.fetchall():
        if int(str(version)) > known.get(str(topic), 0):
            raise SchemaMismatch(
                f"the log holds {topic} of schema {version}, this program knows"
                f" {known.get(str(topic), 'none')}: use the newer program"
            )


def logs_by_dsn(dsn_by_log: Mapping[str, str]) -> dict[str, list[str]]:
    """Which logs share a database, in the order of the settings."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for log, dsn in dsn_by_log.items():
        grouped[dsn].append(log)
    return dict(grouped)
