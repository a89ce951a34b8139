"""How many one-event commands a second one process commits, against pgbench's plain INSERT on the same server."""

import asyncio
import random
import re
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import psycopg
import uvloop
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from emporium.application.ports import EventLog, Idempotency, Meta, NewEvent, Unit
from emporium.domain.base import Aggregate, Command, Event, State
from emporium.infra.eventstore import EventStore, Registry, migrate
from emporium.infra.postgres import EmbeddedPostgres, programs
from emporium.infra.settings import Settings
from emporium.scripts.bench.result import Result, against

__all__ = ["measure", "results"]

_LOG: Final = "bench"
_CALLERS: Final = 64
_CLIENTS: Final = 16


class Noted(Event, frozen=True, kw_only=True):
    """About the size of a cart's or an order's usual event."""

    sku: str
    quantity: int
    unit_price: int
    currency: str
    note: str


class _Notes(State, frozen=True, kw_only=True):
    count: int = 0


def _decide(command: Command, state: _Notes | None) -> Sequence[Event]:
    return []


def _evolve(state: _Notes | None, event: Noted) -> _Notes:
    return _Notes(count=1 if state is None else state.count + 1)


_NOTES: Final = Aggregate(name="Notes", log=_LOG, state=_Notes, events=(Noted,), decide=_decide, evolve=_evolve)


async def results(settings: Settings) -> list[Result]:
    """The rate of the event store against that of plain inserts, on an embedded server with its defaults."""
    with tempfile.TemporaryDirectory(prefix="emporium-bench-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            dsn = server.start()
            # On the event loop that the shop's processes use.
            value, floor = await asyncio.to_thread(lambda: uvloop.run(measure(dsn, programs() / "pgbench", 5.0)))
        finally:
            server.stop()
    return [against("append", value, "commands/s", floor, 2.0)]


async def measure(dsn: str, pgbench: Path, seconds: float = 3.0) -> tuple[float, float]:
    """Commands per second and the floor, in a database of their own that is dropped afterwards.

    64 callers each append one event to a new stream, with an idempotency record, and wait for its commit. The
    floor is `pgbench` with 16 clients, one plain one-row INSERT of the same size per transaction.

    Args:
        dsn: of a database whose user may create others.
        pgbench: the program.
        seconds: how long each of the two runs.

    Raises:
        RuntimeError: pgbench failed.
    """
    name = f"emporium_bench_{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            own = make_conninfo(dsn, dbname=name)
            registry = Registry([_NOTES])
            await migrate({_LOG: own}, registry)
            async with await EventStore.open({_LOG: own}, registry) as store:
                await _commands(store[_LOG], seconds / 6)
                value = await _commands(store[_LOG], seconds)
            floor = await _inserts(own, pgbench, seconds)
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    return value, floor


async def _commands(log: EventLog, seconds: float) -> float:
    finish = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < finish:
            request = f"{random.getrandbits(128):032x}"
            meta = Meta(request, f"request:{request}", "customer:bench", request)
            event = Noted(sku="SKU-12345-XL", quantity=2, unit_price=1999, currency="EUR", note="x" * 60)
            new = NewEvent(_uuid(), _uuid(), 1, event, datetime.now(UTC), meta)
            record = Idempotency("customer:bench POST /cart/items", request, bytes(32), b'{"status":201}')
            await log.append(Unit(events=[new], idempotency=record))
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return done / (time.perf_counter() - began)


def _uuid() -> UUID:
    # uuid4() asks the kernel for its chance every time, which is the caller's affair, not the store's.
    return UUID(int=random.getrandbits(128))


async def _inserts(dsn: str, pgbench: Path, seconds: float) -> float:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("CREATE TABLE plain (id uuid PRIMARY KEY, position bigserial, state bytea NOT NULL)")
    settings = conninfo_to_dict(dsn)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("INSERT INTO plain (id, state) VALUES (gen_random_uuid(), decode(repeat('ab', 400), 'hex'));\n")
        script.flush()
        options = ["-n", "-M", "prepared", "-c", str(_CLIENTS), "-j", "2", "-T", str(max(1, round(seconds)))]
        process = await asyncio.create_subprocess_exec(
            pgbench,
            *options,
            *("-h", str(settings.get("host") or ""), "-p", str(settings.get("port") or "5432")),
            *("-U", str(settings.get("user") or ""), "-f", script.name, str(settings["dbname"])),
            env={"PGPASSWORD": str(settings.get("password") or "")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    found = re.search(rb"tps = ([0-9.]+)", output)
    if process.returncode or not found:
        raise RuntimeError(f"pgbench failed: {output.decode(errors='replace')}")
    return float(found[1])
