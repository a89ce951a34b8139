"""Keeps a search index true: what has changed since its position is indexed, and only then the position moves."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from emporium.application.ports import Leases, Unavailable
from emporium.application.search import Document, EngineDown, Misfit, SearchEngine
from emporium.application.together import until_one_ends
from emporium.projections import search_source
from emporium.projections.model import Connection
from emporium.projections.search_source import Standing

__all__ = ["LEASE", "IndexStatus", "Indexer", "Progress"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

LEASE: Final = "search"
"""The lease of whoever indexes for an engine is called like this and the engine."""

PAGE: Final = 500
PACE: Final = 0.1
"""Seconds between two looks for changes."""

SALES_PACE: Final = 10.0
"""Seconds between two looks at the sales: what sells well changes all the time, and nobody waits for it."""

_WAITS: Final = (0.5, 1.0, 2.0, 5.0)
_TTL: Final = 5.0


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T: ...


class Progress(msgspec.Struct, frozen=True):
    """How far the making of a new index is."""

    done: int
    total: int


class IndexStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's index.

    Attributes:
        index: its identity; None where there is none, or it cannot be asked.
        lag: events of the read models that it has not followed yet, sales aside; None where the index is to be made
            anew.
        waiting: products that are to be taken again for the sake of something else.
        refused: products that the engine will not take, and why.
    """

    engine: str
    index: str | None
    lag: int | None
    waiting: int
    refused: Mapping[UUID, str]
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether nothing needs a person."""
        return self.error is None and self.lag is not None and not self.refused


class _Row(msgspec.Struct, frozen=True):
    identity: str
    standing: Standing
    waiting: int


class _Step(msgspec.Struct, frozen=True):
    """What a step writes: products that have changed themselves, and such as were noted before, with their versions."""

    changes: search_source.Changes
    wanted: Sequence[UUID]
    due: Sequence[tuple[UUID, int]]
    documents: Sequence[Document]


class Indexer:
    """Indexes for one engine, while it holds the lease.

    Args:
        leases: of the catalog's log.
        owner: names this process, uniquely.
    """

    def __init__(self, reads: Reads, engine: SearchEngine, leases: Leases, owner: str) -> None:
        self._reads = reads
        self._engine = engine
        self._leases = leases
        self._owner = owner
        self._lease = f"{LEASE}/{engine.name}"
        # What the index says of a product's stock: a sale that leaves some changes nothing.
        self._stocked: dict[UUID, bool] = {}
        self._epoch: int | None = None
        self._sales_at = float("-inf")
        # What was refused; None: not known, for another process led before.
        self._aside: set[UUID] | None = None

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._engine.name

    async def run(self) -> None:
        """Waits for the lease, indexes while it holds, for ever."""
        failures = 0
        while True:
            try:
                epoch = await self._leases.acquire(self._lease, self._owner, _TTL)
                if epoch is None:
                    await asyncio.sleep(_TTL / 4)
                    continue
                self._epoch = epoch
                try:
                    await until_one_ends(self._renew(epoch), self._follow())
                finally:
                    self._epoch = None
                    await self._engine.rest()
                    await self._leases.release(self._lease, self._owner, epoch)
                failures = 0
            except Misfit as misfit:
                # The catalogue grew while it was read: the next attempt knows the new currency.
                _log.info("the search index is made anew: %s", misfit)
            except (EngineDown, Unavailable) as down:
                _log.warning("indexing for %s waits: %s", self._engine.name, down)
            except Exception:
                _log.exception("indexing for %s failed and starts again", self._engine.name)
            await asyncio.sleep(_WAITS[min(failures, len(_WAITS) - 1)])
            failures += 1

    async def _renew(self, epoch: int) -> None:
        while True:
            await asyncio.sleep(_TTL / 3)
            if not await self._leases.renew(self._lease, self._owner, epoch, _TTL):
                return

    async def _follow(self) -> None:
        self._stocked.clear()
        self._aside = None
        while True:
            if not await self.step():
                await asyncio.sleep(PACE)

    async def step(self) -> bool:
        """Indexes what is new; whether there was anything. Raises EngineDown, Unavailable."""
        identity = await self._engine.identity()
        row = await self._row()
        now = await self._reads.run(search_source.standing)
        if not now.positions:
            return False
        if identity is None or row is None or row.identity != identity or not now.follows(row.standing):
            # Whoever took the lead over may be between a new index and its position.
            if self._epoch is not None and not await self._leases.renew(self._lease, self._owner, self._epoch, _TTL):
                return False
            await self.rebuild()
            return True
        sales = time.monotonic() >= self._sales_at
        heard = now if sales else now.unsold(row.standing)
        if heard.positions == row.standing.positions and not row.waiting:
            if sales:
                self._sales_at = time.monotonic() + SALES_PACE
            return False
        try:
            await self._catch_up(row, now.position(search_source.SOLD) if sales else None)
        except Misfit:
            await self.rebuild()
        return True

    async def _catch_up(self, row: _Row, sold: int | None) -> None:
        """Takes a page of changes; of what was noted as much as there is room beside them.

        Args:
            sold: a position to which the sales shall be followed, as far as a page goes; None: not now.
        """

        async def read(connection: Connection) -> _Step:
            async with connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                changes = await search_source.changes(connection, row.standing, PAGE, sales=sold is not None)
                wanted = [
                    *changes.changed,
                    *(key for key, there in changes.stocked.items() if self._stocked.get(key) is not there),
                ]
                found = await connection.execute(
                    "SELECT product_id, version FROM emporium_search_due WHERE engine = %s ORDER BY 1 LIMIT %s",
                    [self._engine.name, max(0, PAGE - len(wanted))],
                )
                due = await found.fetchall()
                wanted = list(dict.fromkeys([*wanted, *(key for key, _ in due)]))
                return _Step(changes, wanted, due, await search_source.documents(connection, wanted))

        step = await self._reads.run(read)
        changes, wanted = step.changes, step.wanted
        found = {document.product_id for document in step.documents}
        if wanted:
            gone = [key for key in wanted if key not in found]
            refused = await self._engine.index(step.documents, gone, changes.version)
            await self._set_aside(wanted, refused)
        self._stocked.update((document.product_id, document.available) for document in step.documents)

        async def write(connection: Connection) -> None:
            async with connection.transaction():
                if step.due:
                    await connection.execute(
                        "DELETE FROM emporium_search_due d"
                        " USING unnest(%s::uuid[], %s::bigint[]) x (product_id, version)"
                        " WHERE d.engine = %s AND (d.product_id, d.version) = (x.product_id, x.version)",
                        [*map(list, zip(*step.due, strict=True)), self._engine.name],
                    )
                await search_source.spread(connection, self._engine.name, row.standing, changes.upto, changes.version)
                await self._remember(connection, row.identity, changes.upto)

        await self._reads.run(write)
        if sold is not None and changes.upto.position(search_source.SOLD) >= sold:
            self._sales_at = time.monotonic() + SALES_PACE

    async def take_over(self, tell: Callable[[Progress], None]) -> bool:
        """Makes the whole index anew in the place of whoever leads, who steps down meanwhile; whether it was finished
        by us. Raises EngineDown, Unavailable."""
        epoch = await self._leases.acquire(self._lease, self._owner, _TTL, force=True)
        assert epoch is not None, "whoever forces it gets it"
        made = False

        async def make() -> None:
            nonlocal made
            await self.rebuild(tell)
            made = True

        try:
            await until_one_ends(self._renew(epoch), make())
        finally:
            await self._leases.release(self._lease, self._owner, epoch)
        return made

    async def status(self) -> "IndexStatus":
        """How the index is. Raises Unavailable."""
        error = identity = None
        try:
            identity = await self._engine.identity()
        except EngineDown as down:
            error = str(down)
        row, now = await self._row(), await self._reads.run(search_source.standing)

        async def read(connection: Connection) -> list[tuple[UUID, str]]:
            found = await connection.execute(
                "SELECT product_id, error FROM emporium_search_refused WHERE engine = %s ORDER BY 1",
                [self._engine.name],
            )
            return await found.fetchall()

        known = row if row is not None and row.identity == identity else None
        return IndexStatus(
            engine=self._engine.name,
            index=identity,
            lag=None if known is None else now.unsold(known.standing).version - known.standing.version,
            waiting=0 if known is None else known.waiting,
            refused=dict(await self._reads.run(read)),
            error=error,
        )

    async def rebuild(self, tell: Callable[[Progress], None] = lambda progress: None) -> None:
        """Makes the whole index anew beside the one that answers. Raises EngineDown, Unavailable."""
        # What changes meanwhile is found afterwards, from where the first document was read.
        upto = await self._reads.run(search_source.standing)
        if not upto.positions:
            raise EngineDown("there are no pages of the catalogue to index yet; a worker makes them")
        total = await self._reads.run(search_source.count)
        making = await self._engine.rebuild(await self._reads.run(search_source.currencies))
        try:
            done, after = 0, search_source.FIRST
            tell(Progress(done, total))
            refused: dict[UUID, str] = {}
            while True:
                page = await self._reads.run(partial(search_source.documents, after=after, limit=PAGE))
                if not page:
                    break
                # Older than whatever catching up brings, however new a page already is.
                refused.update(await making.add(page, upto.version))
                done, after = done + len(page), page[-1].product_id
                tell(Progress(done, max(total, done)))
        except BaseException:
            await making.abandon()
            raise
        self._stocked.clear()
        identity = await making.finish()
        await self._set_aside(None, refused)

        async def write(connection: Connection) -> None:
            async with connection.transaction():
                # They were all read after they were noted.
                await connection.execute("DELETE FROM emporium_search_due WHERE engine = %s", [self._engine.name])
                await self._remember(connection, identity, upto, new=True)

        await self._reads.run(write)

    async def _set_aside(self, tried: Sequence[UUID] | None, refused: Mapping[UUID, str]) -> None:
        """Remembers what the engine will not take, until it is tried again; None: all were tried."""
        if tried is not None and not refused and self._aside is not None and self._aside.isdisjoint(tried):
            return
        if refused:
            _log.warning("%s refuses %d products: %s", self._engine.name, len(refused), next(iter(refused.values())))

        async def write(connection: Connection) -> None:
            which, values = ("", []) if tried is None else (" AND product_id = ANY(%s)", [list(tried)])
            async with connection.transaction():
                await connection.execute(
                    f"DELETE FROM emporium_search_refused WHERE engine = %s{which}",
                    [self._engine.name, *values],
                )
                await connection.execute(
                    "INSERT INTO emporium_search_refused (engine, product_id, error)"
                    " SELECT %s, x.product_id, x.error FROM unnest(%s::uuid[], %s::text[]) AS x (product_id, error)",
                    [self._engine.name, list(refused), [error[:500] for error in refused.values()]],
                )

        await self._reads.run(write)
        if tried is None:
            self._aside = set(refused)
        elif self._aside is not None:
            self._aside = (self._aside - set(tried)) | set(refused)

    async def _row(self) -> _Row | None:
        async def read(connection: Connection) -> _Row | None:
            found = await connection.execute(
                "SELECT identity, positions::text,"
                " (SELECT count(*) FROM emporium_search_due d WHERE d.engine = t.engine)"
                " FROM emporium_search t WHERE engine = %s",
                [self._engine.name],
            )
            row = await found.fetchone()
            return None if row is None else _Row(row[0], Standing(msgspec.json.decode(row[1], type=_Positions)), row[2])

        return await self._reads.run(read)

    async def _remember(self, connection: Connection, identity: str, standing: Standing, *, new: bool = False) -> None:
        # Who went on with an index in whose place there is a `new` one has nothing to say of that.
        which = "" if new else " WHERE t.identity = excluded.identity"
        await connection.execute(
            "INSERT INTO emporium_search AS t (engine, identity, positions) VALUES (%s, %s, %s) ON CONFLICT (engine)"
            f" DO UPDATE SET identity = excluded.identity, positions = excluded.positions, changed_at = now(){which}",
            [self._engine.name, identity, msgspec.json.encode(standing.positions).decode()],
        )


_Positions = Mapping[str, tuple[int, UUID | None]]
