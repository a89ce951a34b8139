"""What operators see of the read models and tell them: status, lag, parked events, pause, retry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import EventLog
from emporium.projections import generations
from emporium.projections.generations import LIVE, NEXT
from emporium.projections.model import Connection, ReadModel

__all__ = ["Behind", "Parked", "Status", "parked", "pause", "resume", "retry_parked", "status"]

_STALE: Final = 10.0
"""Seconds without a heartbeat after which nobody seems to fold a model."""


class Behind(msgspec.Struct, frozen=True):
    """How far a model is in one log. `behind` counts positions: events, whether they matter to it or not."""

    log: str
    position: int
    head: int
    behind: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a read model is.

    Attributes:
        state: `missing`, `filling`, `running`, `retrying`, `stopped` (see `error`), `outdated` (waits
            for its rebuild), `paused`, or `unattended` where no process gave a sign lately.
        version: of the rows; `code` of this program.
        owner, heartbeat: the process that leads it, and its last sign.
        lag: seconds since the oldest event that is not included was appended, by the event's own time;
            0 where all are.
        parked, waiting: events set aside with an error, and those that wait behind them.
        rebuilding: a new generation is unfinished.
        ok: nothing that an operator must see to.
    """

    model: str
    state: str
    version: int
    code: int
    owner: str | None
    heartbeat: datetime | None
    error: str | None
    logs: tuple[Behind, ...]
    lag: float
    parked: int
    waiting: int
    rebuilding: bool
    ok: bool


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was set aside; without an error it waits behind an earlier one of its key."""

    model: str
    log: str
    position: int
    key: str
    topic: str
    error: str | None
    parked_at: datetime


async def status(connection: Connection, models: Sequence[ReadModel], logs: Mapping[str, EventLog]) -> list[Status]:
    """How each model is. Raises what reading the logs raises."""
    heads = {log: await logs[log].head() for log in sorted({log for model in models for log in model.logs})}
    names = [model.name for model in models]
    stored = await generations.generations(connection, names)
    cursor = await connection.execute(
        "SELECT model, count(error), count(*) - count(error) FROM emporium_parked"
        " WHERE generation = %s AND model = ANY(%s) GROUP BY model",
        [LIVE, names],
    )
    aside: dict[str, tuple[int, int]] = {model: (bad, waiting) for model, bad, waiting in await cursor.fetchall()}
    cursor = await connection.execute("SELECT now()")
    (now,) = await cursor.fetchone() or (None,)
    found = []
    for model in models:
        row = stored.get((model.name, LIVE))
        places = await generations.positions(connection, model.name, LIVE)
        behind = tuple(
            Behind(log, place.position, heads[log], max(0, heads[log] - place.position))
            for log, place in places.items()
            if log in heads
        )
        bad, waiting = aside.get(model.name, (0, 0))
        state = _state(row, now)
        found.append(
            Status(
                model=model.name,
                state=state,
                version=row.version if row is not None else 0,
                code=model.version,
                owner=row.owner if row is not None else None,
                heartbeat=row.heartbeat if row is not None else None,
                error=row.error if row is not None else None,
                logs=behind,
                lag=await _lag(behind, model, logs, now),
                parked=bad,
                waiting=waiting,
                rebuilding=(model.name, NEXT) in stored,
                ok=state in ("running", "filling") and not bad,
            )
        )
    return found


def _state(row: generations.Generation | None, now: Any) -> str:
    if row is None:
        return "missing"
    if row.paused:
        return "paused"
    if row.heartbeat is None or (now - row.heartbeat).total_seconds() > _STALE:
        return "unattended"
    return row.state


async def _lag(behind: Sequence[Behind], model: ReadModel, logs: Mapping[str, EventLog], now: Any) -> float:
    oldest = 0.0
    for one in behind:
        if one.behind:
            events, _ = await logs[one.log].read(one.position, 1, topics=model.topics(one.log))
            if events:
                oldest = max(oldest, (now - events[0].at).total_seconds())
    return oldest


async def parked(connection: Connection, model: str | None = None, limit: int = 100) -> list[Parked]:
    """Events that are set aside, by model, key, log and position."""
    async with connection.cursor(row_factory=class_row(Parked)) as cursor:
        await cursor.execute(
            "SELECT model, log, position, key, topic, error, parked_at FROM emporium_parked"
            " WHERE generation = %s AND model = coalesce(%s, model) ORDER BY model, key, log, position LIMIT %s",
            [LIVE, model, limit],
        )
        return await cursor.fetchall()


async def pause(connection: Connection, model: str) -> None:
    """Stops the model's folding; no batch that begins later is committed."""
    await _set_paused(connection, model, True)


async def resume(connection: Connection, model: str) -> None:
    """Lets a paused model go on."""
    await _set_paused(connection, model, False)


async def _set_paused(connection: Connection, model: str, paused: bool) -> None:
    await connection.execute(
        "UPDATE emporium_projection_status SET paused = %s WHERE model = %s AND generation = %s", [paused, model, LIVE]
    )


async def retry_parked(connection: Connection, model: str, key: str | None = None) -> int:
    """Asks the model's leader to fold again what is set aside (of one key, or all); how many events that are.

    The leader does so within about a second, each key all or nothing; what fails stays set aside.
    """
    cursor = await connection.execute(
        "UPDATE emporium_parked SET retry = true WHERE model = %s AND generation = %s AND key = coalesce(%s, key)",
        [model, LIVE, key],
    )
    return cursor.rowcount
