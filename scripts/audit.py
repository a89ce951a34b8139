"""`emporium audit`: an order's whole story, replayed from the logs."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from emporium.application import bootstrap
from emporium.application.audit import Audit, Step, audit
from emporium.application.ports import EventLog
from emporium.domain.base import Rejected
from emporium.domain.order import OrderCreated
from emporium.domain.order_number import parse_order_number
from emporium.infra.settings import Settings
from emporium.scripts.events import facts
from emporium.scripts.output import brief, moment, plain, print_json

__all__ = ["order", "told"]


def order(settings: Settings, number: str, *, as_of: datetime | None = None, as_json: bool) -> int:
    """Prints the story of the order with this number (or id); 1 where something in it should not be.

    Args:
        as_of: tells it as it stood then; a time without a zone is UTC.

    Raises click.ClickException where there is no such order.
    """
    if as_of is not None and as_of.tzinfo is None:
        as_of = as_of.replace(tzinfo=UTC)
    story = asyncio.run(_audit(settings, number, as_of))
    if not story.steps:
        raise click.ClickException(f"The order {number} did not exist yet at {as_of}.")
    if as_json:
        print_json(_document(story, as_of))
    else:
        print("\n".join(told(story, as_of)))
    return 1 if story.findings else 0


async def _audit(settings: Settings, number: str, as_of: datetime | None) -> Audit:
    async with bootstrap.open_shop(settings) as opened:
        order_id = await _find(opened.shop.logs["ordering"], number)
        return await audit(opened.shop.logs, order_id, as_of=as_of)


async def _find(ordering: EventLog, number: str) -> UUID:
    try:
        order_id = UUID(number)
    except ValueError:
        try:
            found = await ordering.claimed("order_number", parse_order_number(number).encode())
        except Rejected as rejected:
            raise click.ClickException(rejected.text) from None
        if found is None:
            raise click.ClickException(f"There is no order with the number {number}.") from None
        return found
    first = await ordering.stream(order_id, limit=1)
    if not first or not isinstance(first[0].event, OrderCreated):
        raise click.ClickException(f"There is no order with the id {number}.")
    return order_id


def told(story: Audit, as_of: datetime | None = None) -> list[str]:
    """The story in lines for people."""
    lines = []
    for number, step in enumerate(story.steps, start=1):
        recorded = step.recorded
        lines += [
            f"{number:>3}  {moment(recorded.at)}  {recorded.log}/{recorded.position}  "
            f"{step.aggregate} {recorded.stream} v{recorded.version}  {type(recorded.event).__name__}",
            f"     by {recorded.meta.actor}, because of {_because(step)}"
            + (f", request {recorded.meta.request}" if recorded.meta.request else ""),
        ]
        status = f"{step.status}: " if step.status is not None else ""
        changes = ", ".join(f"{name}={brief(v)}" for name, v in step.changes.items() if name not in _CLEAR)
        lines.append(f"     → {status}{changes or 'nothing else changed'}")
    latest = {step.recorded.stream: step for step in story.steps}
    ends = ", ".join(f"{step.aggregate} {step.status}" for step in latest.values() if step.status is not None)
    logs = len({step.recorded.log for step in story.steps})
    when = f"At {moment(as_of)}" if as_of is not None else "Now"
    lines += ["", f"{when}: {ends}. {len(story.steps)} events in {logs} logs."]
    if story.findings:
        lines.append(f"{len(story.findings)} things are wrong:")
        lines += [f"  {finding.text}" for finding in story.findings]
    else:
        lines.append("Every chain of causes begins with a request, a timer or an import; no version is missing.")
    return lines


_CLEAR = ("status", "order_id")
"""What the line says already."""


def _because(step: Step) -> str:
    return f"#{step.cause}" if step.cause is not None else step.recorded.meta.causation


def _document(story: Audit, as_of: datetime | None) -> dict[str, Any]:
    return {
        "order_id": story.order_id,
        "as_of": as_of,
        "ok": not story.findings,
        "events": [
            {"number": number, "aggregate": step.aggregate, "cause": step.cause, **facts(step.recorded)}
            | {"status": step.status, "changes": _fields(step.changes)}
            for number, step in enumerate(story.steps, start=1)
        ],
        "findings": story.findings,
    }


def _fields(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in changes.items()}
