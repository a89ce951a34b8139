"""`emporium events`: events as they stand in the logs, personal data sealed."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import click
from msgspec import UNSET

from emporium.application import bootstrap
from emporium.application.ports import EventLog, Recorded
from emporium.domain.registry import AGGREGATES, LOGS
from emporium.infra.settings import Settings
from emporium.scripts.output import brief, moment, plain, print_json, print_json_line

__all__ = ["facts", "line", "show", "tail"]

_BATCH: Final = 250


def show(
    settings: Settings,
    log: str,
    *,
    after: int = 0,
    limit: int = 100,
    stream: UUID | None = None,
    correlation: str | None = None,
    type_: str | None = None,
    as_json: bool,
) -> int:
    """Prints up to `limit` events after a position, of one stream, one correlation or one type where asked; 0.

    Raises click.UsageError for a type that the log does not know.
    """
    if type_ is not None and type_ not in _types(log):
        raise click.UsageError(f"{log} has no events {type_}, but {', '.join(sorted(_types(log)))}.")

    async def main() -> list[Recorded]:
        async with bootstrap.open_shop(settings) as opened:
            return await select(opened.shop.logs[log], after, limit, stream, correlation, type_)

    found = asyncio.run(main())
    if as_json:
        print_json([facts(recorded) for recorded in found])
    else:
        for recorded in found:
            print(line(recorded))
        if not found:
            click.echo(f"No event of {log} is as asked for.", err=True)
    return 0


def tail(settings: Settings, logs: Sequence[str], *, after: int | None = None, as_json: bool) -> int:
    """Prints what comes into the logs (all where none is named) until SIGINT or SIGTERM; 0.

    Args:
        after: begins after this position; None: with what comes from now on.
    """
    try:
        asyncio.run(_tail(settings, logs or LOGS, after, as_json))
    except* BrokenPipeError:
        # Whoever read has enough; nor can anything be said to them at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _tail(settings: Settings, logs: Sequence[str], after: int | None, as_json: bool) -> None:
    async with bootstrap.open_shop(settings) as opened, asyncio.TaskGroup() as group:
        starts = {log: await opened.shop.logs[log].head() if after is None else after for log in logs}
        followers = [group.create_task(_follow(opened.shop.logs[log], starts[log], as_json)) for log in logs]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: [follower.cancel() for follower in followers])


async def _follow(log: EventLog, after: int, as_json: bool) -> None:
    async for batch in log.follow(after, _BATCH):
        for recorded in batch:
            if as_json:
                print_json_line(facts(recorded))
            else:
                print(line(recorded), flush=True)


async def select(
    log: EventLog, after: int, limit: int, stream: UUID | None, correlation: str | None, type_: str | None
) -> list[Recorded]:
    """The first events after a position that are all that was asked for."""
    if stream is not None or correlation is not None:
        found = await log.stream(stream) if stream is not None else await log.by_correlation(str(correlation))
        return [
            one
            for one in found
            if one.position > after
            and correlation in (None, one.meta.correlation)
            and type_ in (None, type(one.event).__name__)
        ][:limit]
    topics = [f"{log.name}.{type_}"] if type_ is not None else None
    chosen: list[Recorded] = []
    while len(chosen) < limit:
        batch, upto = await log.read(after, limit - len(chosen), topics=topics)
        chosen += batch
        if upto == after:
            break
        after = upto
    return chosen


def facts(recorded: Recorded) -> dict[str, Any]:
    """An event for programs."""
    return {
        "log": recorded.log,
        "position": recorded.position,
        "stream": recorded.stream,
        "version": recorded.version,
        "event": type(recorded.event).__name__,
        "id": recorded.id,
        "at": recorded.at,
        "actor": recorded.meta.actor,
        "causation": recorded.meta.causation,
        "correlation": recorded.meta.correlation,
        "request": recorded.meta.request,
        "schema": recorded.schema,
        "data": plain(recorded.event),
    }


def line(recorded: Recorded) -> str:
    """An event for people: where and what, then by whom and why, then its data."""
    meta = recorded.meta
    fields = ((name, getattr(recorded.event, name)) for name in recorded.event.__struct_fields__)
    data = ", ".join(f"{name}={brief(value)}" for name, value in fields if value is not UNSET)
    return (
        f"{recorded.log}/{recorded.position}  {moment(recorded.at)}  {type(recorded.event).__name__}  "
        f"{recorded.stream} v{recorded.version}\n"
        f"    by {meta.actor}, because of {meta.causation}, correlation {meta.correlation}"
        + (f", request {meta.request}" if meta.request else "")
        + f"\n    {data}"
    )


def _types(log: str) -> set[str]:
    return {event.__name__ for aggregate in AGGREGATES if aggregate.log == log for event in aggregate.events}
