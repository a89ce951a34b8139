"""`emporium tasks`: what process managers set aside for a person, and its second chance."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from emporium.application import bootstrap
from emporium.application.ports import Task
from emporium.domain.registry import LOGS
from emporium.infra.eventstore import EventStore
from emporium.infra.settings import Settings
from emporium.scripts.output import moment, print_json
from emporium.scripts.status import HELD_UP

__all__ = ["list_parked", "retry"]

_MOST = 1_000


def list_parked(settings: Settings, *, as_json: bool) -> int:
    """Prints the tasks that wait for a person, or have waited for somebody else for too long; 1 where there are any."""
    now = datetime.now(UTC)

    async def main() -> list[dict[str, Any]]:
        async with await EventStore.open(bootstrap.log_dsns(settings), bootstrap.registry()) as store:
            return [
                _shown(log, task, since)
                for log in LOGS
                for since, task in [
                    *((None, task) for task in await store[log].parked(_MOST)),
                    *await store[log].held_up(now - HELD_UP, _MOST),
                ]
            ]

    found = asyncio.run(main())
    if as_json:
        print_json(found)
    elif not found:
        click.echo("Nothing waits for a person.")
    for task in () if as_json else found:
        click.echo(f"{task['id']}  {task['log']}  {task['kind']}  of {task['correlation']}, {task['attempts']} tries")
        waits = task["held_since"]
        goes_on = "" if waits is None else f" (since {moment(waits)} UTC; goes on by itself once that is over)"
        click.echo(f"  {task['error']}{goes_on}")
    return 1 if found else 0


def _shown(log: str, task: Task, since: datetime | None) -> dict[str, Any]:
    """`held_since` is None for a task that only a person lets go on."""
    return {
        "log": log, "id": task.id, "kind": task.kind, "stream": task.stream, "attempts": task.attempts,
        "correlation": task.cause.correlation, "error": task.error, "held_since": since,
    }  # fmt: skip


def retry(settings: Settings, ids: Sequence[UUID], *, everything: bool) -> int:
    """Lets tasks be tried again; 1 where one of those named is not parked."""

    async def main() -> int:
        async with await EventStore.open(bootstrap.log_dsns(settings), bootstrap.registry()) as store:
            return sum([await store[log].unpark(None if everything else ids) for log in LOGS])

    count = asyncio.run(main())
    click.echo(f"{count} {'task' if count == 1 else 'tasks'} will be tried again.")
    if not everything and count < len(set(ids)):
        click.echo("The others are not parked: `emporium tasks list` shows those that are.", err=True)
        return 1
    return 0
