"""`emporium bench`: measures the goals, each against a floor of the same run, through what `emporium up` starts."""

import asyncio
import importlib
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import click
import msgspec

from emporium.infra.settings import Settings
from emporium.scripts.bench.result import Result

__all__ = ["NAMES", "run"]

NAMES: Final = (
    "append",
    "command",
    "saga",
    "checkout",
    "lag",
    "import",
    "start",
    "flash",
    "product-page",
    "listing",
    "search",
    "suggest",
    "index",
    "relevance",
    "recommend",
    "memory",
)
"""Every measurement, in the order of the table of goals."""

_MODULES: Final = {"import": "year", "product-page": "product_page"}
"""Where the module cannot have the measurement's name."""

Measure = Callable[[Settings], Coroutine[Any, Any, list[Result]]]


def run(settings: Settings, names: Sequence[str], *, strict: bool, as_json: bool) -> int:
    """Runs the named measurements (all where none is named); 1 where `strict` and a goal is missed, else 0.

    Raises click.UsageError for a name that does not exist.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise click.UsageError(f"There is no measurement {unknown[0]}; there are {', '.join(NAMES)}.")
    results: list[Result] = []
    for name in names or NAMES:
        if not as_json:
            click.echo(f"measuring {name} …", err=True)
        for result in asyncio.run(_measurement(name)(settings)):
            results.append(result)
            if not as_json:
                click.echo(result.line())
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(results)).decode() + "\n")
    return 1 if strict and not all(result.ok for result in results) else 0


def _measurement(name: str) -> Measure:
    """The function that measures; imported late, for each brings its own libraries."""
    module = importlib.import_module(f"emporium.scripts.bench.{_MODULES.get(name, name)}")
    measure: Measure = module.results
    return measure
