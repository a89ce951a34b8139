"""Suggests from memory in a gateway: the model, what is known of customers, and the products as listings show them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from typing import Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from emporium.application.ports import Unavailable
from emporium.application.recommend import POPULAR, VIEWED, Model, Suggested, Taste
from emporium.projections import catalog_pages, recommendations, search_source, views
from emporium.projections.catalog_pages import Listed
from emporium.projections.model import Connection
from emporium.projections.search_source import Standing

__all__ = ["Adviser", "Offered"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

PACE: Final = 0.25
"""Seconds between two looks for what changed."""

MOST_ROWS: Final = 20_000
MOST_PEOPLE: Final = 10_000
MOST_ANSWERS: Final = 2_000
MOST_CHANGES: Final = 2_000
KNOWN_FOR: Final = 30.0
"""Seconds after which views that another gateway took in count here."""

_SPARE: Final = 5
_FIRST, _SECOND = 60, 600
"""How many are looked at, where too few of them can be had."""


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T: ...


class Offered(msgspec.Struct, frozen=True):
    """A suggestion with its product as it is shown now, and the title of the one because of which it is made."""

    suggested: Suggested
    row: Listed
    because: str | None


class _Person(msgspec.Struct):
    taste: Taste
    until: float
    made: dict[tuple[bool, tuple[UUID, ...], date, int], list[Suggested]]


class Adviser:
    """See the module. Nothing that is sold out or not published is suggested.

    Args:
        clock: the time, UTC; `ticks`: seconds that only go forward.
    """

    def __init__(
        self,
        reads: Reads,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reads = reads
        self._clock = clock
        self._ticks = ticks
        self._number = 0
        self._model = Model.empty()
        self._catalog: Standing | None = None
        self._sales: Standing | None = None
        self._after = 0
        self._turn = 0
        self._rows: dict[tuple[str, UUID], Listed | None] = {}
        self._products: dict[str, UUID] = {}
        self._people: dict[tuple[UUID | None, UUID | None], _Person] = {}
        self._answers: dict[tuple[Hashable, ...], tuple[tuple[int, int, date], float, bytes]] = {}
        self._looking = asyncio.Lock()
        self._seen = views.Writer(reads)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Adviser"]:
        """Follows what changes, and writes views down, while the context is open."""
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._seen.run())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            with suppress(Unavailable):
                await self._seen.flush()

    async def same(self, key: tuple[Hashable, ...], make: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `make` gives for the key, made anew once anything has changed. Raises what it raises."""
        moment = (self._turn, self._number, self._today())
        known = self._answers.get(key)
        if known is not None and known[0] == moment and known[1] > self._ticks():
            return known[2]
        answer = await make()
        if len(self._answers) > MOST_ANSWERS:
            self._answers.clear()
        # Of the moment before: what changed while it was made is asked for again.
        self._answers[key] = (moment, self._ticks() + KNOWN_FOR, answer)
        return answer

    # --- answers -----------------------------------------------------------------------------------

    async def together(self, products: Sequence[UUID], currency: str, limit: int) -> list[Offered]:
        """What is bought with these; then what customers who like these buy. Raises Unavailable."""
        model = self._model
        found = model.bought_with(products, _FIRST)
        known = {one.product_id for one in found} | set(products)
        like = model.personal(Taste(cart=products), self._today(), _FIRST)
        found += [one for one in like if one.product_id not in known and one.reason != POPULAR]
        return await self._offered(found, currency, limit)

    async def popular(self, currency: str, limit: int) -> list[Offered]:
        """What sells best now. Raises Unavailable."""
        for most in (_FIRST, _SECOND):
            offered = await self._offered(self._model.popular(most), currency, limit)
            if len(offered) >= limit:
                break
        return offered

    async def personal(
        self,
        customer: UUID | None,
        visitor: UUID | None,
        cart: Sequence[str],
        currency: str,
        limit: int,
        *,
        again: bool = True,
    ) -> list[Offered]:
        """For a customer, or for an anonymous visitor whom only a cart names. Raises Unavailable."""
        carted = tuple(await self.products_of(cart))
        person = await self._person(customer, visitor)
        offered: list[Offered] = []
        for most in (_FIRST, _SECOND):
            key = (again, carted, self._today(), most)
            found = person.made.get(key)
            if found is None:
                taste = msgspec.structs.replace(person.taste, cart=carted) if carted else person.taste
                found = self._model.personal(taste, self._today(), most, again=again)
                if not taste.bought:
                    found = await self._in_context(found, taste, currency)
                person.made[key] = found
            offered = await self._offered(found, currency, limit)
            if len(offered) >= limit or len(found) < most:
                break
        return offered

    async def viewed(self, customer: UUID | None, visitor: UUID | None, currency: str, limit: int) -> list[Offered]:
        """What was looked at lately, the last first. Raises Unavailable."""
        person = await self._person(customer, visitor)
        return await self._offered([Suggested(one, VIEWED) for one in person.taste.viewed], currency, limit)

    def saw(self, visitor: UUID, product: UUID) -> None:
        """Takes in that somebody looked at a product; it is written later."""
        self._seen.add(visitor, product, self._clock())
        self._turn += 1
        self._drop((visitor,))

    async def held(self, visitor: UUID) -> list[tuple[UUID, datetime]]:
        """All that is kept of what somebody looked at, and when; the oldest first. Raises Unavailable."""
        await self._seen.flush()
        return await self._reads.run(lambda connection: views.held(connection, visitor))

    async def forget(self, visitor: UUID) -> None:
        """Drops what somebody looked at. Raises Unavailable."""
        await self.join(visitor, None)

    async def join(self, visitor: UUID, into: UUID | None) -> None:
        """What somebody looked at was looked at by somebody who is known now; None: by nobody. Raises Unavailable."""
        if visitor == into:
            return
        await self._seen.flush()
        if into is None:
            await self._reads.run(lambda connection: views.forget(connection, [visitor]))
        else:
            await self._reads.run(lambda connection: views.join(connection, visitor, into))
        self._turn += 1
        self._drop([one for one in (visitor, into) if one is not None])

    def _today(self) -> date:
        return self._clock().date()

    async def _in_context(self, found: list[Suggested], taste: Taste, currency: str) -> list[Suggested]:
        """What is popular in the categories that a newcomer looks at comes before what is popular elsewhere."""
        near = await self._listed([*taste.viewed, *taste.cart], currency)
        categories = {row.category_id for row in near.values() if row.category_id is not None}
        if not categories:
            return found
        rows = await self._listed([one.product_id for one in found], currency)
        return sorted(
            found,
            key=lambda one: (
                one.reason == POPULAR
                and (one.product_id not in rows or rows[one.product_id].category_id not in categories)
            ),
        )

    async def _offered(self, found: Sequence[Suggested], currency: str, limit: int) -> list[Offered]:
        offered: list[Offered] = []
        # A few at a time: most often the first ones can be had.
        for start in range(0, len(found), limit + _SPARE):
            part = found[start : start + limit + _SPARE]
            rows = await self._listed([one.product_id for one in part], currency)
            for one in part:
                row = rows.get(one.product_id)
                if row is not None and row.available > 0 and len(offered) < limit:
                    offered.append(Offered(one, row, None))
            if len(offered) == limit:
                break
        causes = await self._listed([one.suggested.because for one in offered if one.suggested.because], currency)
        titles: dict[UUID | None, str] = {key: row.title for key, row in causes.items()}
        return [msgspec.structs.replace(one, because=titles.get(one.suggested.because)) for one in offered]

    async def _listed(self, ids: Iterable[UUID], currency: str) -> Mapping[UUID, Listed]:
        wanted = list(dict.fromkeys(ids))
        missing = [key for key in wanted if (currency, key) not in self._rows]
        read: Mapping[UUID, Listed] = {}
        if missing:
            turn = self._turn
            read = await self._reads.run(lambda connection: catalog_pages.listed(connection, missing, currency))
            # What changed while it was read must not stay.
            if turn == self._turn:
                if len(self._rows) > MOST_ROWS:
                    self._rows.clear()
                self._rows.update(((currency, key), read.get(key)) for key in missing)
        rows = {}
        for key in wanted:
            row = read.get(key) or self._rows.get((currency, key))
            if row is not None:
                rows[key] = row
        return rows

    async def products_of(self, cart: Sequence[str]) -> list[UUID]:
        """The products of SKUs. Raises Unavailable."""
        missing = [sku for sku in cart if sku not in self._products]
        if missing:
            self._products.update(await self._reads.run(lambda connection: recommendations.skus(connection, missing)))
        return list(dict.fromkeys(self._products[sku] for sku in cart if sku in self._products))

    async def _person(self, customer: UUID | None, visitor: UUID | None) -> _Person:
        key = (customer, visitor)
        if key == (None, None):
            return _Person(Taste(), 0.0, {})
        known = self._people.get(key)
        if known is not None and known.until > self._ticks():
            return known
        turn = self._turn
        await self._seen.flush()

        async def read(connection: Connection) -> Taste:
            return Taste(
                bought={} if customer is None else await recommendations.bought(connection, customer),
                viewed=[] if visitor is None else await views.of(connection, visitor),
            )

        person = _Person(await self._reads.run(read), self._ticks() + KNOWN_FOR, {})
        if turn == self._turn:
            if len(self._people) > MOST_PEOPLE:
                self._people.clear()
            self._people[key] = person
        return person

    def _drop(self, gone: Collection[UUID]) -> None:
        """Reads the customers, or visitors, anew."""
        for key in [key for key in self._people if key[0] in gone or key[1] in gone]:
            del self._people[key]

    # --- following ---------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                await self.refresh()
            except Unavailable as down:
                _log.warning("suggestions do not follow the shop: %s", down)
            except Exception:
                _log.exception("suggestions do not follow the shop")
            await asyncio.sleep(PACE)

    async def refresh(self) -> None:
        """Takes in what has changed until now. Raises Unavailable."""
        async with self._looking:
            await self._reads.run(self._refresh)

    async def _refresh(self, connection: Connection) -> None:
        model = await recommendations.published(connection, self._number)
        if model is not None:
            self._model = await asyncio.to_thread(Model.decode, model[1])
            self._number = model[0]
            for person in self._people.values():
                person.made.clear()
        sales = await recommendations.standing(connection)
        if sales.positions:
            await self._refresh_people(connection, sales)
        await self._refresh_rows(connection)

    async def _refresh_people(self, connection: Connection, sales: Standing) -> None:
        if self._sales is None or not sales.follows(self._sales):
            self._people.clear()
            self._after = 0
        if self._sales is None or sales.positions != self._sales.positions:
            buyers, self._after = await recommendations.buyers_since(connection, self._after)
            self._turn += 1
            self._drop(frozenset(buyers))
        self._sales = sales

    async def _refresh_rows(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            catalog = (await search_source.standing(connection)).unsold(Standing({}))
            if catalog.positions and self._catalog is not None and catalog.follows(self._catalog):
                if catalog.positions == self._catalog.positions:
                    return
                self._turn += 1
                gone: set[UUID] = set()
                while catalog.positions != self._catalog.positions:
                    changes = await search_source.changes(connection, self._catalog, MOST_CHANGES)
                    gone.update(changes.changed, changes.stocked)
                    if changes.changed:
                        self._products.clear()
                    self._catalog = changes.upto
                for key in [key for key in self._rows if key[1] in gone]:
                    del self._rows[key]
            elif catalog.positions:
                self._turn += 1
                self._rows.clear()
                self._products.clear()
                self._catalog = catalog
