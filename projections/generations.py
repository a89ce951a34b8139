"""Generations of a read model: each has a schema and tracking rows; to swap them is one transaction of renames."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import class_row

from emporium.projections.model import Connection, ReadModel
from emporium.projections.picture_owners import MIGRATION as PICTURE_OWNERS
from emporium.projections.search_log import MIGRATION as SEARCH_LOG

__all__ = [
    "CHANNEL",
    "LIVE",
    "MIGRATIONS",
    "MOVED",
    "NEXT",
    "PAUSED",
    "PREVIOUS",
    "Generation",
    "Position",
    "create",
    "drop",
    "generation",
    "generations",
    "install",
    "notify",
    "positions",
    "roll_back",
    "schema_of",
    "swap",
]

LIVE, NEXT, PREVIOUS = "live", "next", "prev"

CHANNEL: Final = "emporium_projections"
"""Notified with the model's name after every commit of its live generation."""

MOVED, PAUSED = "EM003", "EM004"
"""SQLSTATEs of `emporium_projection_move`, which swaps positions or raises."""

MIGRATIONS: Final = (
    """
CREATE TABLE emporium_projection_status (
    model text NOT NULL,
    generation text NOT NULL,
    version bigint NOT NULL,
    signature text NOT NULL,
    layout text NOT NULL,
    state text NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    error text,
    owner text,
    heartbeat timestamptz,
    PRIMARY KEY (model, generation)
) WITH (fillfactor = 50);
CREATE TABLE emporium_projection_tracking (
    model text NOT NULL,
    generation text NOT NULL,
    log text NOT NULL,
    position bigint NOT NULL,
    epoch bigint NOT NULL,
    incarnation uuid,
    PRIMARY KEY (model, generation, log)
) WITH (fillfactor = 20);
CREATE TABLE emporium_parked (
    model text NOT NULL,
    generation text NOT NULL,
    log text NOT NULL,
    position bigint NOT NULL,
    key text NOT NULL,
    topic text NOT NULL,
    error text,
    retry boolean NOT NULL DEFAULT false,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, generation, log, position)
);
CREATE INDEX emporium_parked_keys ON emporium_parked (model, generation, key);
""",
    f"""
CREATE FUNCTION emporium_projection_move(
    p_model text, p_generation text, p_epoch bigint,
    p_logs text[], p_olds bigint[], p_news bigint[], p_incarnations uuid[]
) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    moved bigint;
BEGIN
    UPDATE emporium_projection_tracking t SET position = x.new, incarnation = x.incarnation
    FROM unnest(p_logs, p_olds, p_news, p_incarnations) AS x (log, old, new, incarnation)
    WHERE t.model = p_model AND t.generation = p_generation AND t.log = x.log AND t.position = x.old
        AND t.epoch = p_epoch AND coalesce(t.incarnation, x.incarnation) = x.incarnation AND NOT EXISTS (
            SELECT FROM emporium_projection_status s
            WHERE s.model = t.model AND s.generation = t.generation AND s.paused);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(p_logs) THEN
        IF EXISTS (SELECT FROM emporium_projection_status s
                   WHERE s.model = p_model AND s.generation = p_generation AND s.paused) THEN
            RAISE EXCEPTION 'the read model is paused' USING ERRCODE = '{PAUSED}';
        END IF;
        RAISE EXCEPTION 'the read model was moved' USING ERRCODE = '{MOVED}';
    END IF;
END $body$;
""",
    """
CREATE TABLE emporium_search (
    engine text PRIMARY KEY,
    identity text NOT NULL,
    positions jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
""",
    """
CREATE TABLE emporium_search_refused (
    engine text NOT NULL,
    product_id uuid NOT NULL,
    error text NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (engine, product_id)
);
""",
    SEARCH_LOG,
    """
CREATE TABLE emporium_recommendations (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    number bigint NOT NULL DEFAULT 1,
    model bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
-- Plain behaviour, no events: what a cart's holder looked at. Days are whole partitions, so that they can be dropped.
CREATE TABLE emporium_views (
    visitor uuid NOT NULL,
    product_id uuid NOT NULL,
    at timestamptz NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX emporium_views_visitor ON emporium_views (visitor, at DESC);
""",
    """
-- Products that an index is to take again for the sake of something else; `version` grows when one is noted again.
CREATE TABLE emporium_search_due (
    engine text NOT NULL,
    product_id uuid NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (engine, product_id)
);
""",
    PICTURE_OWNERS,
)
"""The engine's own tables, step by step. A parked row without an error waits behind one that has it."""

_INSTALL_LOCK: Final = 0x70726F6A656374


class Generation(msgspec.Struct, frozen=True):
    """One generation of a read model as its row tells it.

    Attributes:
        state: `filling` (before its first catching up), `running`, `retrying`, `stopped` (see error),
            `outdated` (belongs to another program), `kept` (for a rollback).
        owner, heartbeat: who folded it last, and when by the database's clock.
    """

    model: str
    generation: str
    version: int
    signature: str
    layout: str
    state: str
    paused: bool
    error: str | None
    owner: str | None
    heartbeat: datetime | None


class Position(msgspec.Struct, frozen=True):
    """How far a generation is in one log. The incarnation is None until it was first read."""

    log: str
    position: int
    epoch: int
    incarnation: UUID | None


def schema_of(model: str, generation: str) -> str:
    """The schema of a generation's tables."""
    return f"rm_{model}" if generation == LIVE else f"rm_{model}_{generation}"


async def install(connection: Connection, models: Iterable[ReadModel]) -> list[str]:
    """Creates the live generation of every model that has none, one process at a time; the names of these."""
    made = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_INSTALL_LOCK])
        for model in models:
            if await generation(connection, model.name, LIVE) is None:
                await create(connection, model, LIVE)
                await _execute(connection, model.indexes, schema_of(model.name, LIVE))
                made.append(model.name)
    return made


async def create(connection: Connection, model: ReadModel, which: str, epoch: int = 0) -> None:
    """Makes an empty generation at position 0, without indexes; to be called in a transaction."""
    schema = schema_of(model.name, which)
    await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    await _execute(connection, model.ddl, schema)
    await connection.execute(
        "INSERT INTO emporium_projection_status (model, generation, version, signature, layout, state)"
        " VALUES (%s, %s, %s, %s, %s, 'filling')",
        [model.name, which, model.version, model.signature, model.layout],
    )
    await connection.execute(
        "INSERT INTO emporium_projection_tracking (model, generation, log, position, epoch)"
        " SELECT %s, %s, unnest(%s::text[]), 0, %s",
        [model.name, which, list(model.logs), epoch],
    )


async def make_indexes(connection: Connection, model: ReadModel, which: str) -> None:
    """What queries need, and statistics for the planner; to be called in a transaction."""
    await _execute(connection, model.indexes, schema_of(model.name, which))


async def _execute(connection: Connection, script: Any, schema: str) -> None:
    if not script:
        return
    cursor = await connection.execute("SELECT current_setting('search_path')")
    before = await cursor.fetchone()
    await connection.execute("SELECT set_config('search_path', %s, true)", [schema])
    await connection.execute(script)
    await connection.execute("SELECT set_config('search_path', %s, true)", before)


async def drop(connection: Connection, model: str, which: str) -> None:
    """Forgets a generation, its tables and what was parked for it; to be called in a transaction."""
    schema = sql.Identifier(schema_of(model, which))
    await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
    for table in _TABLES:
        await connection.execute(
            sql.SQL("DELETE FROM {} WHERE model = %s AND generation = %s").format(sql.Identifier(table)), [model, which]
        )


_TABLES: Final = ("emporium_projection_status", "emporium_projection_tracking", "emporium_parked")


async def generation(connection: Connection, model: str, which: str) -> Generation | None:
    """One generation, None where it does not exist."""
    found = await generations(connection, [model])
    return found.get((model, which))


async def generations(connection: Connection, models: Sequence[str]) -> dict[tuple[str, str], Generation]:
    """All generations of the models, by (model, generation)."""
    async with connection.cursor(row_factory=class_row(Generation)) as cursor:
        await cursor.execute(
            "SELECT model, generation, version, signature, layout, state, paused, error, owner, heartbeat"
            " FROM emporium_projection_status WHERE model = ANY(%s)",
            [list(models)],
        )
        return {(one.model, one.generation): one for one in await cursor.fetchall()}


async def positions(connection: Connection, model: str, which: str) -> dict[str, Position]:
    """How far a generation is, by log."""
    async with connection.cursor(row_factory=class_row(Position)) as cursor:
        await cursor.execute(
            "SELECT log, position, epoch, incarnation FROM emporium_projection_tracking"
            " WHERE model = %s AND generation = %s ORDER BY log",
            [model, which],
        )
        return {one.log: one for one in await cursor.fetchall()}


async def freeze(connection: Connection) -> None:
    """Until the end of the transaction no generation of any model moves."""
    await connection.execute("LOCK TABLE emporium_projection_tracking IN SHARE ROW EXCLUSIVE MODE")


async def swap(connection: Connection, model: str) -> None:
    """Makes the next generation live and keeps the live one as the previous; in a transaction after `freeze`.

    The live leader's epoch stays valid: it goes on with the new generation where that one stands.
    """
    live = await positions(connection, model, LIVE)
    await drop(connection, model, PREVIOUS)
    await _rename(connection, model, {LIVE: PREVIOUS, NEXT: LIVE})
    await _hand_over(connection, model, max(one.epoch for one in live.values()))


async def roll_back(connection: Connection, model: str) -> bool:
    """Makes the previous generation live again, as it was when it was replaced; False where there is none."""
    async with connection.transaction():
        await freeze(connection)
        if await generation(connection, model, PREVIOUS) is None:
            return False
        live = await positions(connection, model, LIVE)
        await drop(connection, model, NEXT)
        await _rename(connection, model, {LIVE: NEXT, PREVIOUS: LIVE})
        await _rename(connection, model, {NEXT: PREVIOUS})
        await _hand_over(connection, model, max(one.epoch for one in live.values()))
    await notify(connection, model)
    return True


async def _rename(connection: Connection, model: str, names: Mapping[str, str]) -> None:
    for old, new in names.items():
        await connection.execute(
            sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(
                sql.Identifier(schema_of(model, old)), sql.Identifier(schema_of(model, new))
            )
        )
        for table in _TABLES:
            await connection.execute(
                sql.SQL("UPDATE {} SET generation = %s WHERE model = %s AND generation = %s").format(
                    sql.Identifier(table)
                ),
                [new, model, old],
            )


async def _hand_over(connection: Connection, model: str, epoch: int) -> None:
    await connection.execute(
        "UPDATE emporium_projection_tracking SET epoch = %s WHERE model = %s AND generation = %s", [epoch, model, LIVE]
    )
    await connection.execute(
        "UPDATE emporium_projection_status SET state = CASE generation WHEN %s THEN 'running' ELSE 'kept' END,"
        " paused = false, owner = NULL, heartbeat = NULL, error = NULL"
        " WHERE model = %s AND generation IN (%s, %s)",
        [LIVE, model, LIVE, PREVIOUS],
    )


async def notify(connection: Connection, model: str) -> None:
    """Wakes whoever waits for the model, at the commit."""
    await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, model])
