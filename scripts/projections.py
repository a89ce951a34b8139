"""`emporium projections`: the read models as they are, and their rebuilding."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from emporium.application import bootstrap
from emporium.application.ports import Superseded
from emporium.domain.registry import LOGS
from emporium.infra.eventstore import EventStore
from emporium.infra.settings import Settings
from emporium.projections import control, generations
from emporium.projections.follower import Moved, Stopped
from emporium.projections.model import Connection, ReadModel
from emporium.projections.rebuild import Busy, Progress, Rebuild, Rebuilt
from emporium.projections.registry import MODELS
from emporium.scripts.output import print_json, print_json_line

__all__ = ["list_all", "pause", "rebuild", "resume", "retry", "roll_back"]

_GARBAGE: Final = 50_000
"""Objects between two collections: a rebuild makes millions that live for one batch and form no cycles."""


def list_all(settings: Settings, *, as_json: bool) -> int:
    """Prints every read model: version, state, lag, what is set aside; 1 where one needs a person."""

    async def main() -> list[control.Status]:
        async with _opened(settings) as (store, connection):
            return await control.status(connection, MODELS, {log: store[log] for log in LOGS})

    found = asyncio.run(main())
    if as_json:
        print_json(found)
    else:
        print("\n".join(_lines(found)))
    return 0 if all(one.ok for one in found) else 1


def _lines(found: Sequence[control.Status]) -> list[str]:
    lines = []
    for one in found:
        line = f"{one.model:<16} v{one.version}  {one.state:<11}"
        line += "  up to date" if not one.lag else f"  {one.lag:.1f} s behind"
        if one.rebuilding:
            line += ", rebuilding"
        if one.parked:
            line += f", {one.parked} set aside, {one.waiting} behind them"
        lines.append(line if one.error is None else f"{line}\n  {one.error}")
        lines += [f"  {log.log:<14} {log.position:>10} of {log.head}" for log in one.logs]
    return lines


def rebuild(settings: Settings, names: Sequence[str], *, as_json: bool) -> int:
    """Rebuilds the models (all where none is named) one after the other; 0, or 1 where one was not rebuilt.

    An interrupted rebuild goes on where it stood when it is asked for again. With `as_json` a line for each
    step, with `event` `progress`, `rebuilt` or `failed`. Raises click.UsageError for a name that does not exist.
    """
    models = _chosen(names) if names else MODELS
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    try:
        return asyncio.run(_rebuild(settings, models, as_json))
    except KeyboardInterrupt:
        print("Interrupted: the live rows are untouched. The same command goes on from here.", file=sys.stderr)
        return 1


async def _rebuild(settings: Settings, models: Sequence[ReadModel], as_json: bool) -> int:
    failed = 0
    async with _opened(settings) as (store, connection):
        await generations.install(connection, models)
        logs = {log: store[log] for log in LOGS}
        dsn = settings.listen_database_url or bootstrap.main_dsn(settings)
        leases, owner = store["ordering"].leases, f"rebuild:{bootstrap.owner()}"
        for model in models:
            with _shown(model, as_json) as show:
                try:
                    done = await Rebuild(dsn, model, logs, leases, owner=owner, progress=show).run()
                except (Busy, Moved, Stopped, Superseded) as error:
                    failed = 1
                    text = str(error) or "another process has taken it over"
                    _tell(as_json, {"event": "failed", "model": model.name, "error": text}, f"{model.name}: {text}")
                    continue
            _tell(as_json, done, _told(done))
    return failed


def _tell(as_json: bool, facts: Any, text: str) -> None:
    if as_json:
        print_json_line(facts)
    else:
        print(text, flush=True)


def _told(done: Rebuilt) -> str:
    text = f"{done.model}: {done.events} events in {done.seconds:.1f} s ({done.rate:.0f}/s)"
    if done.parked:
        text += f", {done.parked} set aside"
    if done.compared is not None:
        differing = [one.table for one in done.compared if not one.equal]
        text += (
            f"; differs from the rows before in {', '.join(differing)}" if differing else "; the same rows as before"
        )
    return text


def _shown(model: ReadModel, as_json: bool) -> AbstractContextManager[Callable[[Progress], None]]:
    if as_json:
        return nullcontext(print_json_line)
    return _Bar(model.name)


class _Bar(Bar):
    """A bar on standard error that follows a rebuild's progress."""

    def __init__(self, name: str) -> None:
        super().__init__(
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.0f} events/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self.add_task(name, total=None, rate=0.0)

    def __enter__(self) -> Callable[[Progress], None]:  # type: ignore[override]
        super().__enter__()
        return lambda now: self.update(self._task, completed=now.position, total=now.head, rate=now.rate)


def retry(settings: Settings, name: str, *, key: str | None) -> int:
    """Asks the model's leader to fold what was set aside (of one key, or all) once more; 0."""
    (model,) = _chosen([name])

    async def act(connection: Connection) -> str:
        count = await control.retry_parked(connection, model.name, key)
        return f"{count} events of {model.name} are tried again." if count else "Nothing is set aside."

    return _act(settings, act)


def pause(settings: Settings, name: str) -> int:
    """Stops the folding of a model; 0."""
    (model,) = _chosen([name])

    async def act(connection: Connection) -> str:
        await control.pause(connection, model.name)
        return f"{model.name} is paused: reads that need newer events are refused until it is resumed."

    return _act(settings, act)


def resume(settings: Settings, name: str) -> int:
    """Lets a paused model go on; 0."""
    (model,) = _chosen([name])

    async def act(connection: Connection) -> str:
        await control.resume(connection, model.name)
        return f"{model.name} goes on."

    return _act(settings, act)


def roll_back(settings: Settings, name: str) -> int:
    """Puts the generation from before the last rebuild back; 0, or 1 where there is none."""
    (model,) = _chosen([name])

    async def act(connection: Connection) -> str:
        if not await generations.roll_back(connection, model.name):
            raise click.ClickException(f"No earlier generation of {model.name} is kept.")
        return f"{model.name} is as it was before its last rebuild, and catches up."

    return _act(settings, act)


def _act(settings: Settings, act: Callable[[Connection], Any]) -> int:
    async def main() -> str:
        async with await psycopg.AsyncConnection.connect(bootstrap.main_dsn(settings), autocommit=True) as connection:
            return str(await act(connection))

    print(asyncio.run(main()))
    return 0


def _chosen(names: Sequence[str]) -> tuple[ReadModel, ...]:
    known = {model.name: model for model in MODELS}
    for name in names:
        if name not in known:
            raise click.UsageError(f"There is no read model {name}, but {', '.join(known)}.")
    return tuple(known[name] for name in dict.fromkeys(names))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[EventStore, Connection]]:
    """The logs and the read models' database. Nothing outside is opened, so nothing outside can be called."""
    dsns = bootstrap.log_dsns(settings)
    async with (
        await EventStore.open(dsns, bootstrap.registry()) as store,
        await psycopg.AsyncConnection.connect(bootstrap.main_dsn(settings), autocommit=True) as connection,
    ):
        yield store, connection
