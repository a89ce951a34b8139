"""The `emporium` command line: what each command takes; what it does is imported when it is called."""

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec

from emporium import __version__
from emporium.domain.customer import ROLES
from emporium.infra import settings as configuration
from emporium.infra.settings import Settings, SettingsProblem, StartupProblem

__all__ = ["command", "implementation", "main"]

_STAFF = [role for role in ROLES if role != "customer"]

as_json = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")


def main() -> None:
    """Runs the command line. Exit status 0: done; 1: it failed or found something wrong; 2: wrongly called."""
    try:
        sys.exit(command(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(1)
    except SettingsProblem as problem:
        _complain(problem)
        sys.exit(2)
    except StartupProblem as problem:
        _complain(problem)
        sys.exit(1)


def implementation(module: str, function: str) -> Callable[..., Any]:
    """A function of a module beside this one."""
    found: Callable[..., Any] = getattr(importlib.import_module(f"emporium.scripts.{module}"), function)
    return found


def _complain(problem: StartupProblem) -> None:
    click.echo(f"{problem.text}\n{problem.remedy}", err=True)


def _load(**changes: Any) -> Settings:
    """The settings of the environment, changed by what the command line says; logging set up."""
    settings = configuration.load()
    settings = msgspec.structs.replace(
        settings, **{name: value for name, value in changes.items() if value is not None}
    )
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    return settings


def _time(text: str) -> datetime:
    """A time as ISO 8601 writes it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-03-01T12:00:00Z.") from None


@contextmanager
def _database(*, make: bool = False) -> Iterator[Settings]:
    """Settings with a database that answers, started for the block where none runs; made only where asked to."""
    from emporium.infra.postgres import database

    with database(_load(), _name(), make=make) as settings:
        yield settings


@contextmanager
def _everything() -> Iterator[Settings]:
    """Settings with a database, a provider and a carrier that answer, started for the block where none run."""
    from emporium.scripts.processes import outfit

    with outfit(_load(), _name()) as settings:
        yield settings


def _name() -> str:
    return click.get_current_context().command_path


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Settings are environment variables, EMPORIUM_PORT for one: `emporium settings` lists them.",
)
@click.version_option(__version__, prog_name="emporium")
def command() -> None:
    """Emporium: an event-sourced commerce backend.

    \b
    Examples:
      emporium up                       start a shop here; Ctrl-C stops it
      emporium status                   what runs, how far behind, what is stuck
      emporium audit order K7QM-3XWD-9D0Z   an order's whole story
    """


@command.command()
@click.option("--host", help="Address to listen on.  [EMPORIUM_HOST]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: a free one.  [EMPORIUM_PORT]")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False, resolve_path=True), help="[EMPORIUM_DATA_DIR]"
)
@click.option("--empty", is_flag=True, default=None, help="Leave the demo shop out.  [EMPORIUM_EMPTY]")
@as_json
def up(as_json: bool, **changes: Any) -> int:
    """Start the shop: database, sandbox, gateway and workers.

    The first start makes the schema, an administrator (its password is printed once) and a demo shop: its catalogue at
    once, and beside the open shop the orders of a year that never was (EMPORIUM_DEMO_ORDERS, 0: none).
    What ends is started again. Ctrl-C stops everything within five seconds and loses nothing.

    \b
    Examples:
      emporium up
      emporium up --port 8080 --data-dir ~/shop
      EMPORIUM_DATABASE_URL=postgresql://shop@db/shop emporium up
    """
    return _status(implementation("up", "run")(_load(**changes), as_json=as_json))


@command.command()
def serve() -> int:
    """Run the gateway processes (EMPORIUM_GATEWAYS) until SIGTERM.

    \b
    Examples:
      emporium serve
      EMPORIUM_GATEWAYS=4 EMPORIUM_HOST=0.0.0.0 emporium serve
    """
    with _everything() as settings:
        return _status(implementation("serve", "run")(settings))


@command.command()
def work() -> int:
    """Run one worker: process managers, projections, effects, timers, until SIGTERM.

    Any number may run; each follower and timer has one leader among them, and another takes over when it ends.

    \b
    Examples:
      emporium work
      EMPORIUM_LOG_LEVEL=debug emporium work
    """
    with _everything() as settings:
        return _status(implementation("work", "run")(settings))


@command.command()
@as_json
def migrate(as_json: bool) -> int:
    """Bring the schema of every database to this program's version.

    \b
    Examples:
      emporium migrate
      EMPORIUM_DATABASE_URL=postgresql://shop@db/shop emporium migrate --json
    """
    with _database(make=True) as settings:
        return _status(implementation("migrate", "run")(settings, as_json=as_json, quiet=False))


@command.command()
@click.option(
    "--log", "logs", type=click.Choice(configuration.CONTEXTS), multiple=True, help="Only this log was restored."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def restored(logs: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """After a database was restored from a backup, and before the shop starts: begin another life of its logs.

    Positions that others remember of the old life are refused from then on, process managers are led over, the
    read models are made anew at the next start, and everybody must log in again. docs/operations.md tells how
    to back up and how to restore.

    \b
    Examples:
      emporium restored
      emporium restored --log payments --yes
    """
    with _database() as settings:
        return _status(implementation("restored", "run")(settings, logs, sure=yes, as_json=as_json))


@command.group("import")
def import_() -> None:
    """Bring in a merchant's history through the real commands and process managers."""


@import_.command("online-retail")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--limit", type=click.IntRange(1), help="Only the first so many invoices.")
@click.option("--set-aside", is_flag=True, help="List the lines that were set aside, with their numbers and reasons.")
@as_json
def import_online_retail(file: Path, limit: int | None, set_aside: bool, as_json: bool) -> int:
    """Drive a year of invoices through the shop, with each invoice's time as the clock.

    It may be interrupted and run again; nothing is doubled. The report reconciles to the penny.

    \b
    Examples:
      emporium import online-retail online-retail.parquet
      emporium import online-retail online-retail.parquet --limit 1000 --json
    """
    with _everything() as settings:
        run = implementation("import_online_retail", "run")
        return _status(run(settings, file, limit=limit, set_aside=set_aside, as_json=as_json))


@command.command()
@click.argument("names", nargs=-1)
@click.option("--strict", is_flag=True, help="Exit with 1 when a goal is missed.")
@as_json
def bench(names: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Measure against the goals, through the processes that `emporium up` starts, in folders of its own.

    \b
    Examples:
      emporium bench
      emporium bench append saga --json --strict
    """
    return _status(implementation("bench", "run")(_load(), names, strict=strict, as_json=as_json))


@command.group()
def events() -> None:
    """Read events as they stand in the logs."""


@events.command("show")
@click.argument("log", type=click.Choice(configuration.CONTEXTS))
@click.option("--after", type=click.IntRange(0), default=0, help="Begin after this position.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many events.")
@click.option("--stream", type=click.UUID, help="Only this stream, such as a product's.")
@click.option("--correlation", help="Only what belongs to this, such as an order's id.")
@click.option("--type", "type_", help="Only events of this type, such as OrderCreated.")
@as_json
def events_show(log: str, as_json: bool, **which: Any) -> int:
    """Show the events of a log as they stand in it; personal data stays sealed.

    \b
    Examples:
      emporium events show catalog
      emporium events show ordering --type OrderCreated --after 2000 --limit 10
      emporium events show payments --correlation 5b0a5c55-9d0e-4f6e-8a3f-2c116f1d3f0e --json
    """
    with _database() as settings:
        return _status(implementation("events", "show")(settings, log, **which, as_json=as_json))


@events.command("tail")
@click.argument("logs", type=click.Choice(configuration.CONTEXTS), nargs=-1)
@click.option("--after", type=click.IntRange(0), help="Begin after this position of the log; default: at its end.")
@as_json
def events_tail(logs: tuple[str, ...], after: int | None, as_json: bool) -> int:
    """Follow logs (default: all of them) until Ctrl-C; --json prints one document a line.

    \b
    Examples:
      emporium events tail
      emporium events tail ordering payments
      emporium events tail ordering --after 0 --json
    """
    if after is not None and len(logs) != 1:
        raise click.UsageError("--after counts positions of one log: name one.")
    with _database() as settings:
        return _status(implementation("events", "tail")(settings, logs, after=after, as_json=as_json))


@command.group()
def projections() -> None:
    """See and rebuild the read models."""


@projections.command("list")
@as_json
def projections_list(as_json: bool) -> int:
    """List the read models: version, position, lag, state.

    \b
    Examples:
      emporium projections list --json
    """
    with _database() as settings:
        return _status(implementation("projections", "list_all")(settings, as_json=as_json))


@projections.command("rebuild")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every read model.")
@as_json
def projections_rebuild(names: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Rebuild read models from history beside the live ones, then swap. Nothing outside is called.

    \b
    Examples:
      emporium projections rebuild order_history
      emporium projections rebuild --all
    """
    if bool(names) == everything:
        raise click.UsageError("Name read models, or say --all.")
    with _database() as settings:
        return _status(implementation("projections", "rebuild")(settings, names, as_json=as_json))


@projections.command("retry")
@click.argument("name")
@click.option("--key", help="Only what concerns this order, product or SKU.")
def projections_retry(name: str, key: str | None) -> int:
    """Fold once more what was set aside, after its cause is cured.

    \b
    Examples:
      emporium projections retry order_history
    """
    with _database() as settings:
        return _status(implementation("projections", "retry")(settings, name, key=key))


@projections.command("pause")
@click.argument("name")
def projections_pause(name: str) -> int:
    """Stop the folding of a read model until it is resumed.

    \b
    Examples:
      emporium projections pause order_history
    """
    with _database() as settings:
        return _status(implementation("projections", "pause")(settings, name))


@projections.command("resume")
@click.argument("name")
def projections_resume(name: str) -> int:
    """Let a paused read model go on.

    \b
    Examples:
      emporium projections resume order_history
    """
    with _database() as settings:
        return _status(implementation("projections", "resume")(settings, name))


@projections.command("rollback")
@click.argument("name")
def projections_rollback(name: str) -> int:
    """Put the rows from before the last rebuild back.

    \b
    Examples:
      emporium projections rollback order_history
    """
    with _database() as settings:
        return _status(implementation("projections", "roll_back")(settings, name))


@command.group()
def search() -> None:
    """See and rebuild the search indexes."""


@search.command("status")
@as_json
def search_status(as_json: bool) -> int:
    """Show each engine's index: how far behind it is, and which products it refuses.

    \b
    Examples:
      emporium search status --json
    """
    with _database() as settings:
        return _status(implementation("search", "status")(settings, as_json=as_json))


@search.command("rebuild")
@click.argument("engines", nargs=-1, type=click.Choice(["embedded", "elasticsearch"]))
@as_json
def search_rebuild(engines: tuple[str, ...], as_json: bool) -> int:
    """Make indexes anew beside those that answer, then swap. Searches go on meanwhile.

    \b
    Examples:
      emporium search rebuild
      emporium search rebuild elasticsearch
    """
    with _database() as settings:
        return _status(implementation("search", "rebuild")(settings, engines, as_json=as_json))


@command.group()
def audit() -> None:
    """Replay what happened."""


@audit.command("order")
@click.argument("number")
@click.option(
    "--as-of", type=_time, metavar="TIME", help="Tell it as it stood at this time (UTC unless it names a zone)."
)
@as_json
def audit_order(number: str, as_of: datetime | None, as_json: bool) -> int:
    """Replay an order's events of all logs in causal order, with actor, cause and resulting state.

    NUMBER is the order's number or its id. Exit status 1 where something in the story should not be.

    \b
    Examples:
      emporium audit order K7QM-3XWD-9D0Z
      emporium audit order K7QM-3XWD-9D0Z --as-of 2026-03-01T12:00
      emporium audit order K7QM-3XWD-9D0Z --json
    """
    with _database() as settings:
        return _status(implementation("audit", "order")(settings, number, as_of=as_of, as_json=as_json))


@command.command()
@click.argument("day", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]))
@as_json
def reconcile(day: datetime, as_json: bool) -> int:
    """Compare the money in our payment events with the provider's own record, for one day (UTC).

    Lists every difference; exit status 1 where there is one. What is just under way shows as a difference too:
    take a day that is over.

    \b
    Examples:
      emporium reconcile 2026-05-31
      emporium reconcile 2026-05-31 --json
    """
    with _everything() as settings:
        return _status(implementation("reconcile", "run")(settings, day.date(), as_json=as_json))


@command.command()
@as_json
def status(as_json: bool) -> int:
    """What runs, how far each follower is behind, what is stuck. Exit status 1 where something is wrong.

    \b
    Examples:
      emporium status
      emporium status --json
    """
    with _database() as settings:
        return _status(implementation("status", "run")(settings, as_json=as_json))


@command.group()
def admin() -> None:
    """Administrators of the shop."""


@admin.command("create")
@click.argument("email")
@click.option(
    "--role",
    type=click.Choice(_STAFF),
    default="admin",
    show_default=True,
    help="What the account may do.",
)
@as_json
def admin_create(email: str, role: str, as_json: bool) -> int:
    """Make an account for staff; the first password is printed once and stored only hashed.

    \b
    Examples:
      emporium admin create anna@shop.example
      emporium admin create ben@shop.example --role warehouse
    """
    with _database() as settings:
        return _status(implementation("admin", "create")(settings, email, role=role, as_json=as_json))


@admin.command("reset-password")
@click.argument("email")
@as_json
def admin_reset_password(email: str, as_json: bool) -> int:
    """Give an administrator a new password, printed once, and end the open sessions.

    \b
    Examples:
      emporium admin reset-password anna@shop.example
    """
    with _database() as settings:
        return _status(implementation("admin", "reset_password")(settings, email, as_json=as_json))


@admin.command("rewrap-keys")
@as_json
def admin_rewrap_keys(as_json: bool) -> int:
    """Change the master key: wrap the keys of personal data anew with the first one that is configured.

    Put a new key before the old one into the master key file (or EMPORIUM_MASTER_KEY), apart by a space or a
    line, and start the shop again; run this; then take the old one away. It may be interrupted and run again.

    \b
    Examples:
      emporium admin rewrap-keys
    """
    with _database() as settings:
        return _status(implementation("admin", "rewrap_keys")(settings, as_json=as_json))


@command.command()
@click.option("--markdown", is_flag=True, help="Print the page docs/settings.md instead.")
@as_json
def settings(markdown: bool, as_json: bool) -> None:
    """Print every setting, its value (secrets masked) and where it came from.

    \b
    Examples:
      emporium settings
      EMPORIUM_PORT=8080 emporium settings --json
    """
    if markdown:
        click.echo(configuration.markdown(), nl=False)
        return
    facts = configuration.facts(configuration.load())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(facts)))
        return
    width = max(len(fact.variable) for fact in facts)
    for fact in facts:
        shown = "" if fact.value is None else fact.value
        click.echo(f"{fact.variable:<{width}}  {fact.source:<11}  {shown}")


@command.group()
def tasks() -> None:
    """What process managers could not do: left for a person, or tried in vain for a day and longer."""


@tasks.command("list")
@as_json
def tasks_list(as_json: bool) -> int:
    """List the tasks that are parked, with the error of each, and those that have been tried in vain for a day.

    Exits with 1 where there are any. The latter go on by themselves once the provider or carrier answers again.

    \b
    Examples:
      emporium tasks list
    """
    with _database() as settings:
        return _status(implementation("tasks", "list_parked")(settings, as_json=as_json))


@tasks.command("retry")
@click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Every task that is parked.")
def tasks_retry(ids: tuple[UUID, ...], everything: bool) -> int:
    """Try parked tasks again, after the cause is cured.

    \b
    Examples:
      emporium tasks retry --all
    """
    if bool(ids) == everything:
        raise click.UsageError("Name tasks by their ids, or say --all.")
    with _database() as settings:
        return _status(implementation("tasks", "retry")(settings, ids, everything=everything))


def _status(returned: Any) -> int:
    """The exit status that an implementation gave; None counts as 0."""
    return int(returned or 0)


if __name__ == "__main__":
    main()
