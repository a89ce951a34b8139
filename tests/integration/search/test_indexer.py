"""What keeps an index true: positions after acknowledgements, refusals, a rebuild in the place of whoever leads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from emporium.application import bootstrap
from emporium.application.catalog import write
from emporium.application.search import Answer, Document, EngineDown, Query, Rebuild, Rules, Suggestion
from emporium.application.together import end
from emporium.domain.base import Money, Sealed
from emporium.domain.category import CreateCategory, RenameCategory, category_id_of
from emporium.domain.order import ConfirmCancellation, RequestCancellation
from emporium.domain.product import (
    AddVariant,
    ChangePrice,
    CreateProduct,
    PublishProduct,
    UpdateProduct,
    product_id_of,
)
from emporium.domain.review import WriteReview, review_id_of
from emporium.infra.settings import Settings
from emporium.projections import search_index, search_source
from emporium.projections.search_index import Indexer, Progress
from emporium.scripts import search as command
from tests.http.client import STAFF, House
from tests.http.conftest import running
from tests.http.test_recommendations import buy

MUG = product_id_of("MUG")


class Shelf:
    """An engine in memory that does what it is told to.

    Attributes:
        refuses: products that it will not take.
        forgets: whether it dies right after the next acknowledgement.
        meanwhile: what happens before the next writing.
    """

    name = "shelf"

    def __init__(self) -> None:
        self.documents: dict[UUID, Document] = {}
        self.made = 0
        self.written = 0
        self.batches: list[list[UUID]] = []
        self.refuses: set[UUID] = set()
        self.forgets = False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def identity(self) -> str | None:
        return f"index {self.made}" if self.made else None

    async def index(self, documents: Sequence[Document], gone: Sequence[UUID], version: int) -> Mapping[UUID, str]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self.written += 1
        self.batches.append([one.product_id for one in documents])
        refused = self.put(documents)
        for one in gone:
            self.documents.pop(one, None)
        if self.forgets:
            self.forgets = False
            raise EngineDown("the line broke after it was written")
        return refused

    def put(self, documents: Sequence[Document]) -> dict[UUID, str]:
        self.documents.update((one.product_id, one) for one in documents if one.product_id not in self.refuses)
        return {one.product_id: "too odd" for one in documents if one.product_id in self.refuses}

    async def rebuild(self, currencies: Sequence[str]) -> Rebuild:
        return _Making(self)

    async def search(self, query: Query, rules: Rules) -> Answer:
        raise EngineDown("it only keeps")

    async def suggest(self, typed: str, currency: str, limit: int) -> Sequence[Suggestion]:
        raise EngineDown("it only keeps")


class _Making:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        shelf.documents = {}

    async def add(self, documents: Sequence[Document], version: int) -> Mapping[UUID, str]:
        await asyncio.sleep(0)
        return self._shelf.put(documents)

    async def finish(self) -> str:
        self._shelf.made += 1
        return f"index {self._shelf.made}"

    async def abandon(self) -> None:
        self._shelf.documents = {}


@pytest.fixture
def settings(database: str, folder: Any) -> Settings:
    return msgspec.structs.replace(Settings(), database_url=database, data_dir=folder)


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with running(settings) as house:
        # All that documents are made of is there.
        async with asyncio.timeout(60):
            while search_source.SOLD not in (await house.opened.reads.run(search_source.standing)).positions:
                await asyncio.sleep(0.02)
        yield house


def indexer(house: House, shelf: Shelf, name: str = "one") -> Indexer:
    return Indexer(house.opened.reads, shelf, house.shop.leases["catalog"], name)


async def rename(house: House, title: str) -> None:
    """Another title of the mug, as the pages show it."""
    done = await house.shop.execute(UpdateProduct(product_id=MUG, title=title), STAFF)
    await house.shows("catalog", done.position, "catalog_pages")


def review_of(product: UUID, rating: int = 5) -> WriteReview:
    """Of somebody, with nothing to look at."""
    who = uuid4()
    return WriteReview(
        review_id=review_id_of(product, who),
        product_id=product,
        customer_id=who,
        order_id=uuid4(),
        rating=rating,
        words=Sealed(who, "ReviewWritten", b"words"),
        flags=(),
    )


async def test_the_position_moves_after_the_acknowledgement_only(house: House) -> None:
    shelf = Shelf()
    keeper = indexer(house, shelf)
    assert await keeper.step()
    assert {one.title for one in shelf.documents.values()} == {"Mug", "Tea", "Pot"}
    assert not await keeper.step()
    await rename(house, "Beaker")
    shelf.forgets = True
    with pytest.raises(EngineDown):
        await keeper.step()
    # Whoever comes after does it again, for he cannot know.
    assert await indexer(house, shelf, "other").step()
    assert (shelf.written, shelf.documents[MUG].title) == (2, "Beaker")
    assert not await keeper.step()
    # Another index than the one whose position is known is made anew.
    shelf.made = 7
    shelf.documents = {}
    assert await keeper.step()
    assert (shelf.made, len(shelf.documents)) == (8, 3)


async def test_a_category_of_many_is_taken_in_pages_and_gone_on_with_by_whoever_comes_after(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "PAGE", 2)
    root, leaf = category_id_of("root"), category_id_of("leaf")
    await house.shop.execute(CreateCategory(category_id=root, name="Root", slug="root"), STAFF)
    await house.shop.execute(CreateCategory(category_id=leaf, name="Leaf", slug="leaf", parent=root), STAFF)
    below = {product_id_of(f"LEAF-{n}") for n in range(6)}
    position = 0
    for n in range(6):
        key = product_id_of(f"LEAF-{n}")
        sale = (
            CreateProduct(product_id=key, title=f"Leaf {n}", slug=f"leaf-{n}", category_id=leaf),
            AddVariant(product_id=key, sku=f"LEAF-{n}"),
            ChangePrice(product_id=key, sku=f"LEAF-{n}", price=Money(100, "GBP")),
            PublishProduct(product_id=key),
        )
        position = (await write(house.shop, key, sale, STAFF))[1].position
    await house.shows("catalog", position, "catalog_pages")
    shelf = Shelf()
    keeper = indexer(house, shelf)
    while await keeper.step():
        pass
    done = await house.shop.execute(RenameCategory(category_id=root, name="Crown", slug="crown"), STAFF)
    await house.shows("catalog", done.position, "catalog_pages")
    shelf.batches.clear()
    assert await keeper.step()
    assert (await keeper.status()).waiting == 6
    assert await keeper.step()
    # What has changed itself does not wait for them.
    await rename(house, "Beaker")
    assert await keeper.step()
    assert shelf.documents[MUG].title == "Beaker"
    left = (await keeper.status()).waiting
    assert 0 < left < 6
    shelf.forgets = True
    with pytest.raises(EngineDown):
        await keeper.step()
    other = indexer(house, shelf, "other")
    while await other.step():
        pass
    assert (await other.status()).waiting == 0
    assert {shelf.documents[one].category_names for one in below} == {("Crown", "Leaf")}
    taken = [one for batch in shelf.batches for one in batch if one != MUG]
    assert max(map(len, shelf.batches)) <= 2
    assert len(taken) <= len(below) + 2, "only what was not acknowledged was taken twice"


async def test_what_is_noted_again_while_it_is_taken_is_taken_again(house: House) -> None:
    shelf = Shelf()
    keeper = indexer(house, shelf)
    while await keeper.step():
        pass

    async def note(version: int) -> None:
        statement = (
            "INSERT INTO emporium_search_due VALUES (%b, %b, %b) ON CONFLICT (engine, product_id)"
            " DO UPDATE SET version = excluded.version RETURNING version"
        )
        await house.opened.reads.query(statement, [shelf.name, MUG, version])

    await note(7)
    shelf.batches.clear()
    shelf.meanwhile = lambda: note(8)
    for waiting in (1, 0):
        assert await keeper.step()
        assert (await keeper.status()).waiting == waiting
    assert shelf.batches == [[MUG], [MUG]]
    assert not await keeper.step()


async def test_what_is_sold_and_rated_is_followed_at_a_pace_of_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    keeper = indexer(house, shelf)
    while await keeper.step():
        pass
    before = shelf.documents[MUG]
    order = await buy(house, "MUG")
    # It has just looked: a shop that sells all the time does not index all the time.
    assert not await keeper.step()
    status = await keeper.status()
    assert (status.lag, status.waiting) == (0, 0)
    monkeypatch.setattr(search_index, "SALES_PACE", 0.0)
    later = indexer(house, shelf, "other")
    while await later.step():
        pass
    sold = shelf.documents[MUG]
    assert sold.popularity > before.popularity == shelf.documents[product_id_of("TEA")].popularity
    for _ in range(3):
        await buy(house, "MUG", "POT")
    while await later.step():
        pass
    assert shelf.documents[MUG].popularity > shelf.documents[product_id_of("POT")].popularity > sold.popularity
    popular = shelf.documents[MUG].popularity
    # What was cancelled is no sale any more.
    await house.shop.execute(RequestCancellation(order_id=order, reason="changed my mind"), STAFF)
    done = await house.shop.execute(ConfirmCancellation(order_id=order), STAFF)
    await house.shows("ordering", done.position, "sales")
    while await later.step():
        pass
    assert shelf.documents[MUG].popularity < popular
    await house.shop.execute(review_of(MUG), STAFF)
    await house.shows("reviews", await house.shop.logs["reviews"].head(), "reviews")
    while await later.step():
        pass
    assert shelf.documents[MUG].reviews == 1


async def test_whoever_was_overtaken_by_a_new_index_does_not_say_how_far_it_is(house: House) -> None:
    shelf = Shelf()
    late, operator = indexer(house, shelf), indexer(house, shelf, "operator")
    await late.step()
    await rename(house, "Beaker")
    shelf.meanwhile = operator.rebuild
    assert await late.step()
    assert shelf.made == 2
    while await operator.step():
        pass
    status = await operator.status()
    assert (shelf.made, status.index, status.lag) == (2, "index 2", 0), "nobody makes a third one"
    assert shelf.documents[MUG].title == "Beaker"


async def test_what_is_refused_is_told_until_it_is_taken(house: House) -> None:
    shelf = Shelf()
    shelf.refuses = {MUG}
    keeper = indexer(house, shelf)
    await keeper.step()
    seen = await keeper.status()
    assert (seen.refused, seen.lag, seen.ok) == ({MUG: "too odd"}, 0, False)
    (told,) = (await bootstrap.observe(house.opened.settings)).picture.refused
    assert (told.engine, told.products, told.error) == ("shelf", 1, "too odd")
    shelf.refuses = set()
    await rename(house, "Cup")
    assert (await keeper.status()).lag == 1
    await indexer(house, shelf, "other").step()
    assert (await keeper.status()).ok
    assert shelf.documents[MUG].title == "Cup"


async def test_a_rebuild_takes_the_place_of_whoever_leads(house: House) -> None:
    shelf = Shelf()
    leading = asyncio.create_task(indexer(house, shelf, "leader").run())
    try:
        async with asyncio.timeout(10):
            while not shelf.made:
                await asyncio.sleep(0.02)
        steps: list[Progress] = []
        assert await indexer(house, shelf, "operator").take_over(steps.append)
        assert steps[-1] == Progress(3, 3)
        made = shelf.made
        await rename(house, "Beaker")
        # The leader goes on with the new index, and does not make another one.
        async with asyncio.timeout(20):
            while shelf.documents[MUG].title != "Beaker":
                await asyncio.sleep(0.02)
        assert shelf.made == made
    finally:
        await end([leading])


def test_the_command_tells_that_there_is_nothing_yet(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.status(settings, as_json=False) == 1
    assert "no index yet" in capsys.readouterr().out
    assert command.rebuild(settings, ["embedded"], as_json=True) == 1
    assert "no pages of the catalogue" in capsys.readouterr().out


async def test_the_command_rebuilds(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    settings = house.opened.settings
    assert await asyncio.to_thread(command.rebuild, settings, [], as_json=False) == 0
    assert capsys.readouterr().out == "embedded: 3 products\n"
    assert await asyncio.to_thread(command.status, settings, as_json=False) == 0
    assert capsys.readouterr().out == "embedded       up to date\n"
    found = await house.guest().get("/search?q=mug")
    assert [one["slug"] for one in found.json()["items"]] == ["mug"]
