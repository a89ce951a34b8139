"""`emporium import online-retail`: a year of invoices through the shop, and a report that reconciles to the penny."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from emporium.application.bootstrap import (
    Limits,
    Opened,
    migrate_all,
    open_shop,
    process_managers,
    provider_record,
    silent_managers,
)
from emporium.application.history import HistoryClock, Playback, Stalled
from emporium.application.ports import IdempotencyReplay, ProviderDown, Superseded, Taken, Unavailable
from emporium.infra.settings import Settings, StartupProblem
from emporium.projections.generations import LIVE, positions
from emporium.projections.model import Connection
from emporium.projections.registry import MODELS
from emporium.scripts.processes import Child
from emporium.scripts.retail.file import FileProblem, read
from emporium.scripts.retail.projector import beside
from emporium.scripts.retail.report import Report, Tally, report
from emporium.scripts.retail.shop import Importer
from emporium.scripts.retail.sorting import Plan, sort_out

__all__ = ["run"]

BATCH: Final = 100
"""Events that a follower handles in one commit: an order has many lines, and smaller commits overlap better."""

LIMITS: Final = Limits(cached=6_000, recent=1_000)
"""Fewer states are remembered than a shop does, for these orders are long; more than two weeks of them."""

OWNER: Final = "import"
"""Every import's name in the leases: one that is run again goes on at once, and of two the later one leads."""

PATIENCE: Final = 60.0
"""Seconds without progress of the read models after which they are given up."""

_AGAIN: Final = "Run it again: it goes on where it stopped."

Step = Callable[[str, float, float], None]
"""(what is being done, how much of it is done, how much there is)"""


def run(settings: Settings, file: Path, *, limit: int | None, set_aside: bool, as_json: bool) -> int:
    """Imports the file and prints the report; 1 where that does not reconcile, 2 where the file is unusable.

    Args:
        limit: only the first so many invoices.
        set_aside: list the lines that were set aside.

    Raises StartupProblem where something outside stopped it.
    """
    with _progress() as step:
        try:
            year = read(file, lambda part: step("reading", part, 1.0))
        except FileProblem as problem:
            print(f"{problem.text}\n{problem.remedy}", file=sys.stderr)
            return 2
        try:
            done = uvloop.run(_import(settings, sort_out(year), file.name, limit, set_aside, step))
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise StartupProblem("The import was stopped.", _AGAIN) from None
        except Taken as taken:
            raise StartupProblem(
                f"The import needs a {taken.scope} that something else in this shop has.", "Import into another shop."
            ) from None
        except (Superseded, IdempotencyReplay):
            raise StartupProblem("Another import works in this shop.", "Wait until it has ended.") from None
        except (Stalled, ProviderDown, Unavailable) as stop:
            raise StartupProblem(f"The import stopped: {stop}.", _AGAIN) from None
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(done)).decode())
    else:
        print(_text(done))
    return 0 if done.reconciled else 1


async def _import(settings: Settings, plan: Plan, name: str, limit: int | None, list_lines: bool, step: Step) -> Report:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await migrate_all(settings)
    # A parcel is looked for when it can have arrived: history has no reason to look more often.
    travel = max(settings.tracking_interval_s, settings.sandbox_delivery_s)
    settings = msgspec.structs.replace(settings, tracking_interval_s=travel)
    total = len(plan.year.documents)
    count = total if limit is None else min(limit, total)
    tally = Tally(plan, whole=count == total)
    clock = HistoryClock(datetime.now(UTC))
    with beside(settings) as projector:
        async with open_shop(settings, clock=clock, limits=LIMITS) as opened:
            managers = process_managers(opened.shop, automatic=True, name=OWNER, batch=BATCH)
            managers += silent_managers(opened.shop, name=OWNER)
            playback = Playback(opened.shop, managers, OWNER)
            importer = Importer(opened.shop, clock, playback, plan, lambda done: step("invoices", done, count))
            async with playback.leading():
                await importer.run(tally.watch(islice(plan.deeds(), count)))
            await _catch_up(opened, projector, step)

            async def compare(connection: Connection) -> Report:
                async with provider_record(settings) as record:
                    return await report(name, tally, connection, record, list_lines=list_lines)

            return await opened.reads.run(compare)


async def _catch_up(opened: Opened, projector: Child, step: Step) -> None:
    """Returns when every read model has seen all; the projector runs them unless another process does."""
    logs = {log for model in MODELS for log in model.logs}
    heads = {log: await opened.shop.logs[log].head() for log in logs}
    whole = sum(heads[log] for model in MODELS for log in model.logs)
    loop = asyncio.get_running_loop()
    seen, since = -1, loop.time()
    while True:

        async def look(connection: Connection) -> list[dict[str, int]]:
            found = [await positions(connection, model.name, LIVE) for model in MODELS]
            return [{log: one.position for log, one in model.items()} for model in found]

        places = await opened.reads.run(look)
        position = sum(sum(place.values()) for place in places)
        step("read models", min(position, whole), whole)
        pairs = zip(MODELS, places, strict=True)
        if all(place.get(log, -1) >= heads[log] for model, place in pairs for log in model.logs):
            return
        if position != seen:
            seen, since = position, loop.time()
        if loop.time() - since > PATIENCE:
            raise StartupProblem("The read models do not keep up.", f"`emporium status` says why. {_AGAIN}")
        projector.tend()
        await asyncio.sleep(0.2)


@contextmanager
def _progress() -> Iterator[Step]:
    """A bar with rate and time left for each step, on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if not speed or (task.total or 0) <= 1 else f"{speed:,.0f}/s")

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), Rate(),
               TimeRemainingColumn(compact=True, elapsed_when_finished=True))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=20) as bars:
        known = {}

        def step(what: str, done: float, whole: float) -> None:
            if what not in known:
                # What an earlier run did is no speed of this one.
                known[what] = bars.add_task(what, total=whole, completed=done)  # type: ignore[arg-type]  # a part is fine
            bars.update(known[what], completed=done, total=whole)

        yield step


_HEADS: Final = (
    ("month", "month"), ("file", "file"), ("orders", "orders"), ("refunds", "refunds"), ("set_aside", "set aside"),
    ("written_off", "written off"), ("rounding", "rounding"), ("price_differences", "price diff."),
    ("difference", "difference"), ("charged", "charged"), ("refunded", "refunded"),
    ("provider_difference", "difference"),
)  # fmt: skip


def _text(done: Report) -> str:
    """The report for people; amounts in pounds."""
    rows = [[head for _, head in _HEADS]]
    rows += [[_cell(getattr(balance, field)) for field, _ in _HEADS] for balance in (*done.months, done.total)]
    lines = [f"{done.file}: {done.invoices:,} invoices, {done.file_lines:,} lines, {done.orders:,} orders", ""]
    lines += _columns(rows)
    lines += ["", "file = orders - refunds + set aside + written off + rounding + price differences + difference"]
    lines += ["orders and refunds: the read models; charged and refunded: the provider's record", ""]
    table = [["set aside", "lines", "value", "meaning"]]
    table += [[one.reason, f"{one.lines:,}", _cell(one.value), one.meaning] for one in done.reasons]
    lines += _columns(table)
    lines.append(
        f"{done.set_aside_lines:,} lines ({done.set_aside_lines_percent:.2f} %), {_cell(done.set_aside_value)}"
        f" ({done.set_aside_value_percent:.2f} % of the absolute value)"
    )
    if done.lines is not None:
        listed = [["line", "invoice", "code", "units", "value", "reason"]]
        listed += [
            [str(one.row), one.invoice, one.code, str(one.quantity), _cell(one.value), one.reason] for one in done.lines
        ]
        lines += ["", *_columns(listed)]
    verdict = "It reconciles to the penny." if done.reconciled else "IT DOES NOT RECONCILE."
    if done.unfinished:
        verdict += f" {done.unfinished:,} orders are not fulfilled."
    return "\n".join([*lines, "", verdict])


def _cell(value: Decimal | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if value == value.quantize(Decimal("0.01")) else f"{value:,}"


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    cells = [[row[place] for row in rows[1:]] for place in range(len(widths))]
    numeric = [all(not cell or cell[0] in "-0123456789" for cell in column) for column in cells]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    ]
