"""`emporium status`: on one screen what runs, how far behind it is, and what needs a person."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from emporium import __version__
from emporium.application import bootstrap
from emporium.application.bootstrap import ModelState, Picture
from emporium.application.policies import POLICIES
from emporium.domain.registry import AGGREGATES, LOGS
from emporium.infra.settings import Settings
from emporium.projections.generations import LIVE
from emporium.projections.registry import MODELS
from emporium.projections.saga_monitor import OpenSagas
from emporium.scripts.output import moment, print_json

__all__ = ["HELD_UP", "LAG", "SILENCE", "Status", "judge", "run", "told"]

LAG: Final = 10_000
"""Events that a follower or a read model may be behind before that is a problem: seconds of work."""

SILENCE: Final = 15.0
"""Seconds without a sign of life after which a leader counts as dead; another takes over before that."""

HELD_UP: Final = timedelta(days=1)
"""After so long somebody must look at what goes on by itself: a provider's outage is over by then."""

_START: Final = "start a worker with `emporium up` or `emporium work`."

_LOG_OF: Final = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}
_FOLLOWS: Final = tuple(dict.fromkeys((policy.name, _LOG_OF[event]) for policy in POLICIES for event in policy.table))
"""Every process manager, which is named like its log, with each log that it follows."""


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """A follower as it is shown: `leader` None where nobody leads it."""

    name: str
    follows: str
    position: int
    lag: int
    leader: str | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown; `ok` where nothing is wrong."""

    version: str
    at: datetime
    ok: bool
    problems: tuple[str, ...]
    picture: Picture
    followers: tuple[Behind, ...]
    lags: Mapping[str, Mapping[str, int]]
    open_sagas: OpenSagas | None


def run(settings: Settings, *, as_json: bool) -> int:
    """Prints how the shop is; 1 where something is wrong."""
    status = asyncio.run(_look(settings))
    if as_json:
        print_json(_document(status))
    else:
        print("\n".join(told(status)))
    return 0 if status.ok else 1


async def _look(settings: Settings) -> Status:
    seen = await bootstrap.observe(settings)
    return judge(seen.picture, seen.sagas, seen.mismatch, datetime.now(UTC), at_work=seen.at_work)


def judge(
    picture: Picture, sagas: OpenSagas | None, mismatch: str | None, at: datetime, *, at_work: bool = True
) -> Status:
    """Says what is wrong: unreachable, of another schema, without a leader, silent, too far behind, parked."""
    problems = [f"The database {one.url} cannot be reached: {one.error}." for one in picture.databases if one.error]
    if mismatch is not None:
        problems.append(f"{mismatch[:1].upper()}{mismatch[1:].removesuffix('.')}.")
    if picture.logs and not at_work:
        # Leases and signs of life stay for some seconds after whoever left them has ended.
        problems.append("Nothing runs: start the shop with `emporium up`.")
    heads = {log.log: log.head for log in picture.logs}
    followers = _behind(picture, heads)
    lags = {
        f"{model.model}/{model.generation}": {log: heads[log] - n for log, n in model.positions.items() if log in heads}
        for model in picture.models
    }
    problems += _of_followers(picture, followers)
    for log in picture.logs:
        if log.parked:
            problems.append(f"{_count(log.parked, 'task')} of {log.log} must be seen to by a person.")
        if log.held_up_since is not None and at - log.held_up_since >= HELD_UP:
            problems.append(
                f"{log.log} has waited for {_since(log.held_up_since, at)} to go on: {log.held_up_by};"
                " `emporium tasks list` tells more."
            )
    there = {model.model for model in picture.models}
    missing = [model.name for model in MODELS if model.name not in there]
    if missing and picture.logs:
        problems.append(f"Read models that do not exist yet: {', '.join(missing)}; {_START}")
    for model in picture.models:
        problems += _of_model(model, lags[f"{model.model}/{model.generation}"])
    for one in picture.refused:
        problems.append(
            f"The search engine {one.engine} refuses {_count(one.products, 'product')}: {one.error}; "
            "`emporium search status` lists them."
        )
    if sagas is not None and sagas.refunds_refused:
        problems.append(f"The provider refuses {_count(sagas.refunds_refused, 'refund')}: settle them by hand.")
    if sagas is not None and sagas.parcels_refused:
        problems.append(f"The carrier refuses {_count(sagas.parcels_refused, 'parcel')}: correct the addresses.")
    return Status(
        version=__version__,
        at=at,
        ok=not problems,
        problems=tuple(problems),
        picture=picture,
        followers=tuple(followers),
        lags=lags,
        open_sagas=sagas,
    )


def _behind(picture: Picture, heads: Mapping[str, int]) -> list[Behind]:
    """All that should follow; who has not moved yet stands at 0."""
    leaders = {(lease.log, lease.name): lease.owner for lease in picture.leases if lease.held}
    positions = {(one.name, one.upstream): one.position for one in picture.followers}
    followers = []
    for name, upstream in _FOLLOWS:
        if name in heads and upstream in heads:
            position = positions.get((name, upstream), 0)
            behind = heads[upstream] - position
            leader = leaders.get((name, name))
            followers.append(Behind(name=name, follows=upstream, position=position, lag=behind, leader=leader))
    return followers


def _of_followers(picture: Picture, followers: Sequence[Behind]) -> Iterable[str]:
    """Process managers that nobody leads, or that are far behind. A lease that just ended is being taken over."""
    alive = {lease.name for lease in picture.leases if lease.held or lease.age < SILENCE}
    logs = {log.log for log in picture.logs}
    silent = [policy.name for policy in POLICIES if policy.name in logs and policy.name not in alive]
    if silent:
        yield f"Nobody leads {', '.join(silent)}: {_START}"
    for one in followers:
        if one.lag > LAG:
            yield f"The process manager {one.name} is {one.lag} events of {one.follows} behind."


def _of_model(model: ModelState, lags: Mapping[str, int]) -> Iterable[str]:
    name = model.model if model.generation == LIVE else f"{model.model} ({model.generation})"
    if model.parked:
        yield f"The read model {name} has set {_count(model.parked, 'event')} aside: {model.parked_error}."
    if model.generation != LIVE:
        return
    if model.state == "stopped":
        yield f"The read model {name} has stopped: {model.error}."
    elif model.state != "outdated" and (model.heartbeat_age is None or model.heartbeat_age > SILENCE):
        silent = "was never led" if model.heartbeat_age is None else f"is silent for {model.heartbeat_age:.0f} s"
        yield f"The read model {name} {silent}: {_START}"
    if not model.paused and max(lags.values(), default=0) > LAG:
        yield f"The read model {name} is {max(lags.values())} events behind."


def told(status: Status) -> list[str]:
    """The status for people, on one screen."""
    picture = status.picture
    lines = [f"Emporium {status.version}, {moment(status.at)} UTC", ""]
    for database in picture.databases:
        holds = "all logs" if len(database.logs) == len(LOGS) else ", ".join(database.logs) or "no logs"
        lines.append(f"{database.url}: {database.server or database.error}; {holds}")
    if picture.logs:
        rows: list[tuple[object, ...]] = [
            (log.log, log.head, log.waiting, log.due, log.parked, _since(log.oldest_due, status.at))
            for log in picture.logs
        ]
        lines += ["", *_table(("log", "position", "tasks later", "due", "parked", "oldest due"), rows)]
    if status.followers:
        rows = [(one.name, one.follows, one.position, one.lag, one.leader or "nobody") for one in status.followers]
        lines += ["", *_table(("process manager", "follows", "position", "lag", "leader"), rows)]
    if picture.models:
        rows = [
            (
                model.model if model.generation == LIVE else f"{model.model} ({model.generation})",
                f"{model.state}, paused" if model.paused else model.state,
                model.version,
                " ".join(f"{log} {at}" for log, at in sorted(model.positions.items())),
                max(status.lags[f"{model.model}/{model.generation}"].values(), default=0),
                "never" if model.heartbeat_age is None else f"{model.heartbeat_age:.1f} s ago",
                model.parked,
            )
            for model in picture.models
        ]
        lines += ["", *_table(("read model", "state", "version", "positions", "lag", "heartbeat", "parked"), rows)]
    for log in picture.logs:
        if log.held_up:
            lines.append(
                f"  held up in {log.log}: {_count(log.held_up, 'task')}, the oldest for"
                f" {_since(log.held_up_since, status.at)}, tried again by themselves: {log.held_up_by}"
            )
    for task in picture.parked_tasks:
        lines.append(f"  parked in {task.log}: {task.kind} {task.id} of {task.correlation}: {task.error}")
    if status.open_sagas is not None:
        lines += ["", _open(status.open_sagas, status.at)]
    lines += ["", *(status.problems or ("All is well.",))]
    return lines


def _open(sagas: OpenSagas, at: datetime) -> str:
    where = ", ".join(f"{count} {status}" for status, count in sagas.by_status.items())
    oldest = f" ({where}; the oldest waits for {_since(sagas.oldest, at)})" if sagas.open else ""
    return f"{_count(sagas.open, 'open order')}{oldest}, {_count(sagas.refunds_owed, 'refund')} owed."


def _since(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "-"
    seconds = max(0.0, (now - then).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Columns as wide as needed, numbers to the right."""
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    right = [all(isinstance(row[column], int) for row in rows) for column in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def _document(status: Status) -> dict[str, Any]:
    """The status for programs: what was seen, flat."""
    fields = msgspec.structs.asdict(status)
    picture = msgspec.structs.asdict(fields.pop("picture"))
    del picture["followers"]
    return {**fields, **picture}
