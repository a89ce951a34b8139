"""A real cluster behind the port: aliases, versions from outside, refusals, and what it is when it has no time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from elasticsearch import AsyncElasticsearch

from emporium.application.search import Document, EngineDown, Price, Query, Rules, SearchEngine
from emporium.infra.search.either import Either
from emporium.infra.search.elastic import ElasticSearch
from emporium.infra.search.embedded import EmbeddedSearch
from tests.support.proxy import Proxy, proxy

# One server for all of these, whatever database is asked for.
pytestmark = pytest.mark.parametrize("engine_name", ["elasticsearch"])

SPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
WHEN = datetime(2026, 1, 30, tzinfo=UTC)


def document(title: str, key: str | None = None, **more: Any) -> Document:
    """A product in pounds."""
    product_id = uuid5(SPACE, key or title)
    prices = {"GBP": Price(lowest=500, highest=500)}
    return Document(product_id=product_id, slug=key or "x", title=title, prices=prices, published_at=WHEN, **more)


async def titles(engine: SearchEngine, words: str = "") -> list[str]:
    answer = await engine.search(Query(words=words, currency="GBP"), Rules())
    return sorted(hit.title.replace("<mark>", "").replace("</mark>", "") for hit in answer.hits)


@pytest.fixture
async def door(engine_name: str, elasticsearch: str) -> AsyncIterator[Proxy]:
    async with proxy(elasticsearch) as door:
        yield door


@pytest.fixture
async def engine(door: Proxy) -> AsyncIterator[ElasticSearch]:
    alias = f"test-{uuid4().hex}"
    engine = ElasticSearch(door.url, alias)
    yield engine
    await engine.aclose()
    door.away = False
    async with AsyncElasticsearch(door.url) as client:
        for name in await client.indices.get(index=f"{alias}-*"):
            await client.indices.delete(index=name)


async def made(engine: SearchEngine, *documents: Document, version: int = 1) -> str:
    """An index of these."""
    making = await engine.rebuild(["GBP"])
    assert await making.add(documents, version) == {}
    return await making.finish()


async def test_a_new_index_answers_in_place_of_the_old_one_at_once(engine: ElasticSearch) -> None:
    assert await engine.identity() is None
    with pytest.raises(EngineDown):
        await engine.search(Query(currency="GBP"), Rules())
    first = await made(engine, document("Old cup"))
    assert await engine.identity() == first
    making = await engine.rebuild(["GBP"])
    await making.add([document("New cup")], 1)
    assert await titles(engine) == ["Old cup"]
    swapping = asyncio.create_task(making.finish())
    seen = set()
    while not swapping.done():
        seen.add(tuple(await titles(engine, "cup")))
    assert seen <= {("Old cup",), ("New cup",)}
    assert await titles(engine) == ["New cup"]
    assert await engine.identity() == swapping.result() != first


async def test_what_is_older_overwrites_nothing(engine: ElasticSearch) -> None:
    cup, pot = document("Cup", "a"), document("Pot", "b")
    await made(engine, cup, pot)
    await engine.index([document("Better cup", "a")], [pot.product_id], 9)
    # A leader who was superseded wakes up with what it read long ago.
    assert await engine.index([cup, pot], [], 5) == {}
    assert await titles(engine) == ["Better cup"]
    assert await engine.index([cup], [], 9) == {}
    assert await titles(engine) == ["Cup"]


async def test_what_does_not_fit_is_set_aside_and_the_rest_is_kept(engine: ElasticSearch) -> None:
    await made(engine)
    odd = document("Odd", attributes={"colour": ("x" * 40_000,)})
    refused = await engine.index([document("Fine"), odd], [], 2)
    assert list(refused) == [odd.product_id]
    assert "immense term" in refused[odd.product_id]
    assert await titles(engine) == ["Fine"]


async def test_a_cluster_without_time_is_asked_again(engine: ElasticSearch, door: Proxy) -> None:
    await made(engine)
    door.busy["/_bulk"] = 2
    await engine.index([document("Patience")], [], 2)
    assert await titles(engine) == ["Patience"]
    door.busy["/_bulk"] = 100
    with pytest.raises(EngineDown):
        await engine.index([document("Never")], [], 3)


async def test_while_it_is_away_the_embedded_index_answers(engine: ElasticSearch, door: Proxy, folder: Any) -> None:
    embedded = EmbeddedSearch(folder)
    either = Either(engine, embedded)
    await made(engine, document("Cup"))
    try:
        assert (await either.search(Query(currency="GBP"), Rules())).engine == "elasticsearch"
        door.away = True
        with pytest.raises(EngineDown):
            await either.search(Query(currency="GBP"), Rules())
        await made(embedded, document("Cup"))
        assert (await either.search(Query(currency="GBP"), Rules())).engine == "embedded"
        asked = len(door.seen)
        await either.suggest("cu", "GBP", 5)
        # It is left alone for a moment, so that nobody else waits for it.
        assert len(door.seen) == asked
        door.away, engine._silent_until = False, 0.0
        assert (await either.search(Query(currency="GBP"), Rules())).engine == "elasticsearch"
    finally:
        await embedded.aclose()
