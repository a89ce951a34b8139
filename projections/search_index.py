"""Keeps a search index true: what has changed since its position is indexed, and only then the position moves."""

import asyncio
import logging
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
        lag: events of the read model that are not in it yet; None where the index is to be made anew.
        refused: products that the engine will not take, and why.
    """

    engine: str
    index: str | None
    lag: int | None
    refused: Mapping[UUID, str]
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether nothing needs a person."""
        return self.error is None and self.lag is not None and not self.refused


class _Row(msgspec.Struct, frozen=True):
    identity: str
    standing: Standing


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
        if now.positions == row.standing.positions:
            return False
        try:
            await self._catch_up(row)
        except Misfit:
            await self.rebuild()
        return True

    async def _catch_up(self, row: _Row) -> None:
        async def read(
            connection: Connection,
        ) -> tuple[search_source.Changes, list[UUID], list[Document]]:
            async with connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                changes = await search_source.changes(connection, row.standing, PAGE)
                wanted = [
                    *changes.changed,
                    *(key for key, there in changes.stocked.items() if self._stocked.get(key) is not there),
                ]
                return changes, wanted, await search_source.documents(connection, wanted)

        changes, wanted, documents = await self._reads.run(read)
        found = {document.product_id for document in documents}
        if wanted:
            gone = [key for key in wanted if key not in found]
            refused = await self._engine.index(documents, gone, changes.version)
            await self._set_aside(wanted, refused)
        self._stocked.update((document.product_id, document.available) for document in documents)
        await self._remember(row.identity, changes.upto)

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

        known = row is not None and identity is not None and row.identity == identity
        return IndexStatus(
            engine=self._engine.name,
            index=identity,
            lag=now.version - row.standing.version if known and row is not None else None,
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
        await self._remember(identity, upto)

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
                "SELECT identity, positions::text FROM emporium_search WHERE engine = %s", [self._engine.name]
            )
            row = await found.fetchone()
            return None if row is None else _Row(row[0], Standing(msgspec.json.decode(row[1], type=_Positions)))

        return await self._reads.run(read)

    async def _remember(self, identity: str, standing: Standing) -> None:
        text = msgspec.json.encode(standing.positions).decode()

        async def write(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO emporium_search (engine, identity, positions) VALUES (%s, %s, %s) ON CONFLICT (engine)"
                " DO UPDATE SET identity = excluded.identity, positions = excluded.positions, changed_at = now()",
                [self._engine.name, identity, text],
            )

        await self._reads.run(write)


_Positions = Mapping[str, tuple[int, UUID | None]]
