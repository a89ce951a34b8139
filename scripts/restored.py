"""`emporium restored`: the shop's logs after a restore, led into another life before anything runs."""

import asyncio
from collections.abc import Sequence

import click
import psycopg

from emporium.application import bootstrap
from emporium.application.bootstrap import Revived
from emporium.domain.registry import LOGS
from emporium.infra.settings import Settings, StartupProblem, masked
from emporium.scripts.output import print_json

__all__ = ["run"]


def run(settings: Settings, logs: Sequence[str], *, sure: bool, as_json: bool) -> int:
    """Does what a restore asks for, after a question unless `sure`; 0, or 1 where the answer is no.

    Args:
        logs: those that were restored; none: all.

    Raises StartupProblem where the shop runs or a database cannot be changed.
    """
    chosen = [log for log in LOGS if not logs or log in logs]
    try:
        _refuse_a_running_shop(settings)
        if not sure:
            click.echo(_will(chosen), err=True)
            if not click.confirm("Do so now?", err=True):
                click.echo("Nothing was changed.", err=True)
                return 1
            _refuse_a_running_shop(settings)
        done = asyncio.run(bootstrap.restored(settings, chosen))
    except psycopg.Error as error:
        raise StartupProblem(
            f"A database refused: {str(error).strip().splitlines()[0]}.", "Say the same again when that is cured."
        ) from None
    if as_json:
        print_json(done)
    else:
        click.echo("\n".join(_did(done)))
    return 0


def _refuse_a_running_shop(settings: Settings) -> None:
    for one in asyncio.run(bootstrap.programs_at_work(settings)):
        raise StartupProblem(
            f"The shop still runs, or another program is connected to {masked(one.dsn)} ({one.program}, {one.count}).",
            "Stop all gateways and workers and whatever else works there, then say the same again.",
        )


def _will(logs: Sequence[str]) -> str:
    return "\n".join(
        [
            f"After a restore of {', '.join(logs)}:",
            "- the logs begin another life: consistency tokens and positions of the old one are refused;",
            "- process managers go on where they stood, or where a log ends that they had followed further;",
            "- the read models of these logs are made anew at the next start; until then reads answer with 503;",
            "- everybody must log in again.",
        ]
    )


def _did(done: Revived) -> list[str]:
    lines = [f"Another life has begun: {', '.join(done.logs)}. Log-ins that were ended: {done.sessions}."]
    for one in done.overtaken:
        lines.append(
            f"{one.name} had followed {one.upstream} to {one.position}, which ends at {one.head} now:"
            f" what it made of the events that are lost still stands in {one.log}."
        )
    if done.overtaken:
        lines.append("Compare the books: `emporium reconcile DATE` for every day since the backup.")
    lines.append("Start the shop; `emporium status` shows when the read models are there.")
    return lines
