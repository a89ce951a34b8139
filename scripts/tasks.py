"""`emporium tasks`: what process managers set aside for a person, and its second chance."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click

from emporium.application import bootstrap
from emporium.domain.registry import LOGS
from emporium.infra.eventstore import EventStore
from emporium.infra.settings import Settings
from emporium.scripts.output import print_json

__all__ = ["list_parked", "retry"]

_MOST = 1_000


def list_parked(settings: Settings, *, as_json: bool) -> int:
    """Prints the tasks that wait for a person; 1 where there are any."""

    async def main() -> list[dict[str, Any]]:
        async with await EventStore.open(bootstrap.log_dsns(settings), bootstrap.registry()) as store:
            return [
                {
                    "log": log, "id": task.id, "kind": task.kind, "stream": task.stream, "attempts": task.attempts,
                    "correlation": task.cause.correlation, "error": task.error,
                }
                for log in LOGS for task in await store[log].parked(_MOST)
            ]  # fmt: skip

    found = asyncio.run(main())
    if as_json:
        print_json(found)
    elif not found:
        click.echo("Nothing waits for a person.")
    for task in () if as_json else found:
        click.echo(f"{task['id']}  {task['log']}  {task['kind']}  of {task['correlation']}, {task['attempts']} tries")
        click.echo(f"  {task['error']}")
    return 1 if found else 0


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
