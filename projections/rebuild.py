"""Fills a new generation of a read model from history beside the live one, then puts it in its place."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from emporium.application.ports import EventLog, Leases, Superseded
from emporium.application.together import end
from emporium.projections import generations
from emporium.projections.follower import TRANSIENT, Follower
from emporium.projections.generations import LIVE, NEXT, PREVIOUS
from emporium.projections.model import Connection, ReadModel
from emporium.projections.source import LogSource

__all__ = ["Busy", "Difference", "Progress", "Rebuild", "Rebuilt", "cancel", "compare"]

_TTL: Final = 15.0
_TELL: Final = 0.25
_NEAR: Final = 2_000
"""Positions that may be left for the moment of the swap."""


class Busy(Exception):  # noqa: N818
    """Another process is rebuilding the model."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rebuild is.

    Attributes:
        events: folded by this run.
        position, head: summed over the model's logs.
        rate: events per second of this run.
        eta: seconds that are left at this pace; None before it can be told.
    """

    model: str
    events: int
    position: int
    head: int
    rate: float
    eta: float | None
    event: str = "progress"


class Difference(msgspec.Struct, frozen=True):
    """A table of two generations: rows and a sum over their contents (equal contents, equal sums)."""

    table: str
    live_rows: int
    next_rows: int
    equal: bool


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a rebuild.

    Attributes:
        seconds: from the start of this run to the swap.
        parked: events that were set aside.
        compared: live and new tables; None unless both stood at the same positions.
    """

    model: str
    events: int
    seconds: float
    rate: float
    parked: int
    compared: tuple[Difference, ...] | None
    event: str = "rebuilt"


class Rebuild:
    """One rebuild. A run that ended early (cancelled, killed) is taken up where it stood.

    Args:
        progress: told about four times a second.
        fresh: begins anew even where an unfinished run could be taken up.
    """

    def __init__(
        self,
        dsn: str,
        model: ReadModel,
        logs: Mapping[str, EventLog],
        leases: Leases,
        *,
        owner: str,
        progress: Callable[[Progress], None] = lambda _: None,
        fresh: bool = False,
    ) -> None:
        self._dsn = dsn
        self._model = model
        self._logs = {log: logs[log] for log in model.logs}
        self._leases = leases
        self._owner = owner
        self._lease = f"projection.{model.name}.{NEXT}"
        self._progress = progress
        self._fresh = fresh
        self._told = 0.0

    async def run(self) -> Rebuilt:
        """Fills, compares and swaps. Raises Busy, Superseded, Stopped, and what psycopg raises."""
        epoch = await self._leases.acquire(self._lease, self._owner, _TTL)
        if epoch is None:
            raise Busy(f"another process is rebuilding {self._model.name}")
        work = asyncio.create_task(self._work(epoch))
        keep = asyncio.create_task(self._keep(epoch))
        try:
            await asyncio.wait((work, keep), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                keep.result()
            return await work
        finally:
            await end((work, keep))
            with suppress(*TRANSIENT):
                async with asyncio.timeout(1.0):
                    await self._leases.release(self._lease, self._owner, epoch)

    async def _keep(self, epoch: int) -> None:
        while True:
            await asyncio.sleep(_TTL / 4)
            try:
                held = await self._leases.renew(self._lease, self._owner, epoch, _TTL)
            except TRANSIENT:
                continue
            if not held:
                raise Superseded

    async def _work(self, epoch: int) -> Rebuilt:
        began = time.monotonic()
        model = self._model
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, application_name=f"emporium rebuild {model.name}"
        ) as connection:
            await self._prepare(connection)
            sources = {log: LogSource(self._logs[log], model.topics(log), ahead=True) for log in model.logs}
            follower = Follower(model, NEXT, connection, sources, epoch)
            try:
                await follower.claim()
                await self._fill(follower, began)
                async with connection.transaction():
                    await generations.make_indexes(connection, model, NEXT)
                await self._analyze(connection)
                await self._fill(follower, began)
                compared = await compare(connection, model.name)
                await self._swap(follower)
            finally:
                for source in sources.values():
                    await source.close()
            cursor = await connection.execute(
                "SELECT count(*) FROM emporium_parked WHERE model = %s AND generation = %s", [model.name, LIVE]
            )
            (parked,) = await cursor.fetchone() or (0,)
        seconds = time.monotonic() - began
        return Rebuilt(
            model=model.name,
            events=follower.folded,
            seconds=round(seconds, 3),
            rate=round(follower.folded / seconds, 1),
            parked=parked,
            compared=compared,
        )

    async def _prepare(self, connection: Connection) -> None:
        """An unfinished generation of the same making is taken up, any other is dropped."""
        model = self._model
        async with connection.transaction():
            stored = await generations.generation(connection, model.name, NEXT)
            places = await generations.positions(connection, model.name, NEXT)
            usable = (
                stored is not None
                and stored.signature == model.signature
                and not self._fresh
                and all(row.incarnation in (None, self._logs[log].incarnation) for log, row in places.items())
            )
            if not usable:
                await generations.drop(connection, model.name, NEXT)
                await generations.create(connection, model, NEXT)
            await generations.drop(connection, model.name, PREVIOUS)

    async def _fill(self, follower: Follower, began: float) -> None:
        """Folds up to the heads of all logs, again until little has been appended meanwhile."""
        start = sum(follower.positions.values())
        behind = _NEAR + 1
        while behind > _NEAR:
            heads = {log: await source.head() for log, source in self._logs.items()}
            behind = sum(max(0, head - follower.positions[log]) for log, head in heads.items())
            while any(follower.positions[log] < head for log, head in heads.items()):
                await follower.advance()
                self._tell(follower, heads, began, start)
        self._tell(follower, heads, began, start, now=True)

    def _tell(self, follower: Follower, heads: Mapping[str, int], began: float, start: int, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and moment - self._told < _TELL:
            return
        self._told = moment
        position = sum(follower.positions.values())
        head = max(position, sum(heads.values()))
        seconds = max(moment - began, 1e-6)
        pace = (position - start) / seconds
        eta = (head - position) / pace if pace > 0 else None
        self._progress(
            Progress(
                model=self._model.name,
                events=follower.folded,
                position=position,
                head=head,
                rate=round(follower.folded / seconds, 1),
                eta=None if eta is None else round(eta, 1),
            )
        )

    async def _analyze(self, connection: Connection) -> None:
        for table in await _tables(connection, generations.schema_of(self._model.name, NEXT)):
            await connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))

    async def _swap(self, follower: Follower) -> None:
        """While no generation moves: folds what the live one has and the new one has not, then renames."""
        name = self._model.name
        async with follower.connection.transaction():
            await follower.connection.execute("SET LOCAL synchronous_commit = on")
            await generations.freeze(follower.connection)
            live = await generations.positions(follower.connection, name, LIVE)
            await follower.catch_up(
                {
                    log: row.position
                    for log, row in live.items()
                    if log in follower.positions and row.incarnation == self._logs[log].incarnation
                }
            )
            await generations.swap(follower.connection, name)
        await generations.notify(follower.connection, name)


async def cancel(connection: Connection, model: str) -> bool:
    """Drops an unfinished generation; False where there is none."""
    async with connection.transaction():
        there = await generations.generation(connection, model, NEXT) is not None
        await generations.drop(connection, model, NEXT)
    return there


async def compare(connection: Connection, model: str) -> tuple[Difference, ...] | None:
    """Compares the contents of the live and the next generation; None unless they stand at the same positions."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        there = {
            log: (row.position, row.incarnation)
            for log, row in (await generations.positions(connection, model, LIVE)).items()
        }
        here = {
            log: (row.position, row.incarnation)
            for log, row in (await generations.positions(connection, model, NEXT)).items()
        }
        if there != here:
            return None
        live, new = generations.schema_of(model, LIVE), generations.schema_of(model, NEXT)
        tables = await _tables(connection, new)
        if tables != await _tables(connection, live):
            return None
        found = []
        for table in tables:
            before, after = await _content(connection, live, table), await _content(connection, new, table)
            found.append(Difference(table, before[0], after[0], before == after))
        return tuple(found)


async def _tables(connection: Connection, schema: str) -> list[str]:
    cursor = await connection.execute(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [schema]
    )
    return [table for (table,) in await cursor.fetchall()]


async def _content(connection: Connection, schema: str, table: str) -> tuple[Any, ...]:
    """The number of rows and the sum of a hash of each."""
    cursor = await connection.execute(
        sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {} t").format(
            sql.Identifier(schema, table)
        )
    )
    return await cursor.fetchone() or (0, 0)
