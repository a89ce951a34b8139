"""`emporium search`: the search indexes as they are, and their making anew."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from emporium.application import bootstrap
from emporium.application.search import EngineDown
from emporium.infra.settings import Settings
from emporium.projections.search_index import Indexer, IndexStatus, Progress
from emporium.scripts.output import print_json, print_json_line

__all__ = ["rebuild", "status"]


def status(settings: Settings, *, as_json: bool) -> int:
    """Prints every index: whose, how far behind, what is set aside; 1 where one needs a person."""

    async def main() -> list[IndexStatus]:
        async with _indexers(settings) as indexers:
            return [await one.status() for one in indexers]

    found = asyncio.run(main())
    if as_json:
        print_json(found)
    else:
        print("\n".join(line for one in found for line in _lines(one)))
    return 0 if all(one.ok for one in found) else 1


def _lines(one: IndexStatus) -> list[str]:
    if one.error is not None:
        state = f"away: {one.error}"
    elif one.lag is None:
        state = "no index yet: a worker makes it (`emporium up`, `emporium work`), or `emporium search rebuild`"
    else:
        behind = [f"{one.lag} events behind"] if one.lag else []
        behind += [f"{one.waiting} products to take again"] if one.waiting else []
        state = ", ".join(behind) or "up to date"
    refused = [f"  refuses {product_id}: {why}" for product_id, why in one.refused.items()]
    return [f"{one.engine:<14} {state}", *refused]


def rebuild(settings: Settings, engines: Sequence[str], *, as_json: bool) -> int:
    """Makes the indexes of these engines (all where none is named) anew beside those that answer; 0, or 1 where one
    was not made. Raises click.UsageError for an engine that this shop does not have."""
    try:
        return asyncio.run(_rebuild(settings, engines, as_json))
    except KeyboardInterrupt:
        print("Interrupted: the index that answers is untouched.", file=sys.stderr)
        return 1


async def _rebuild(settings: Settings, engines: Sequence[str], as_json: bool) -> int:
    failed = 0
    async with _indexers(settings) as indexers:
        there = {one.engine: one for one in indexers}
        for name in engines or there:
            if name not in there:
                raise click.UsageError(f"This shop has no engine {name}; it has {', '.join(there)}.")
            last = Progress(0, 0)

            def tell(progress: Progress, name: str = name) -> None:
                nonlocal last
                last = progress
                show(progress)

            with _shown(name, as_json) as show:
                try:
                    error = None if await there[name].take_over(tell) else "another process has taken it over"
                except EngineDown as down:
                    error = str(down)
            failed |= error is not None
            if as_json:
                print_json_line({"engine": name, "done": last.done, "error": error})
            else:
                print(f"{name}: {error or f'{last.done} products'}", flush=True)
    return int(failed)


@asynccontextmanager
async def _indexers(settings: Settings) -> AsyncIterator[list[Indexer]]:
    async with bootstrap.open_shop(settings, follows=False) as opened:
        yield bootstrap.indexers(opened, name=f"search:{bootstrap.owner()}")


def _shown(name: str, as_json: bool) -> AbstractContextManager[Callable[[Progress], None]]:
    return nullcontext(print_json_line) if as_json else _bar(name)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[Progress], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.total)
