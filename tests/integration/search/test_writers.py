"""The embedded index: one process at a time writes it, others look at it meanwhile, and nothing odd breaks it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from emporium.application.search import Document, EngineDown, Price, Query, Rules
from emporium.infra.search import embedded
from emporium.infra.search.embedded import EmbeddedSearch


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedSearch]:
    engine = EmbeddedSearch(tmp_path)
    yield engine
    await engine.aclose()


def thing(title: str, key: UUID | None = None, **more: Any) -> Document:
    return Document(
        product_id=key or uuid4(),
        slug="thing",
        title=title,
        prices={"GBP": Price(lowest=100, highest=100)},
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
        **more,
    )


async def titles(engine: EmbeddedSearch, **query: Any) -> list[str]:
    answer = await engine.search(Query(currency="GBP", **query), Rules())
    return sorted(hit.title for hit in answer.hits)


async def made(engine: EmbeddedSearch, *documents: Document) -> str:
    making = await engine.rebuild(["GBP"])
    assert await making.add(documents, 1) == {}
    return await making.finish()


NAMES = ("a b", "a.b", "a:b", 'a"b', "a\\b", "*", "[x]", "OR", "-x", "ä", "日本", "a/b", "vol. (l)", "1.5", "\0x", "🙂")


async def test_numbers_are_found_whatever_they_are_called(engine: EmbeddedSearch) -> None:
    things = [thing(f"Thing {n}", numbers=dict.fromkeys(NAMES, float(n))) for n in range(4)]
    await made(engine, *things)
    for name in NAMES:
        # Counted by us, and by the library.
        for words in ("thing", ""):
            found = await titles(engine, words=words, ranges={name: (1.0, 2.0)})
            assert [one.removeprefix("<mark>Thing</mark> ").removeprefix("Thing ") for one in found] == ["1", "2"], name
    for ends in ((-1e300, 1e300), (None, None), (-1e-300, None), (-1e-5, 3.00001)):
        assert len(await titles(engine, ranges={"a.b": ends})) == 4
    assert await titles(engine, ranges={"a.b": (3.0, 1.0)}) == []


async def test_a_swap_in_the_middle_of_a_question_is_not_seen(
    engine: EmbeddedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(engine, thing("Old"))
    fresh = await made_beside(engine, thing("New"))
    look = embedded._Index.view

    def view(index: Any) -> Any:
        if index.identity != fresh:
            engine.adopt(fresh)
        return look(index)

    monkeypatch.setattr(embedded._Index, "view", view)
    assert await titles(engine) == ["New"]
    fresh = await made_beside(engine, thing("Newest"))
    assert [one.text for one in await engine.suggest("newe", "GBP", 5)] == ["Newest"]


async def made_beside(engine: EmbeddedSearch, *documents: Document) -> str:
    """An index that is finished but for the swap."""
    making: Any = await engine.rebuild(["GBP"])
    await making.add(documents, 1)
    making._writer.commit()
    making._writer.wait_merging_threads()
    name: str = making._path.name
    return name


async def test_a_panic_ends_one_question_and_no_other(engine: EmbeddedSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As the library's are."""

    await made(engine, thing("Mug"))
    ask = EmbeddedSearch._search

    def search(self: EmbeddedSearch, query: Query, rules: Rules) -> Any:
        if query.words == "panic":
            raise Panic("assertion failed")
        return ask(self, query, rules)

    monkeypatch.setattr(EmbeddedSearch, "_search", search)
    asked = [titles(engine, words=words) for words in ("mug", "panic", "mug")]
    async with asyncio.timeout(5):
        first, second, third = await asyncio.gather(*asked, return_exceptions=True)
    assert first == third == ["<mark>Mug</mark>"] and isinstance(second, EngineDown)


async def test_what_cannot_be_held_is_refused_and_the_rest_is_kept(engine: EmbeddedSearch) -> None:
    odd = msgspec.structs.replace(thing("Odd"), prices={"GBP": Price(lowest=2**70, highest=2**70)})
    await made(engine, thing("Mug"))
    refused = await engine.index([odd, thing("Tea")], [], 2)
    assert list(refused) == [odd.product_id] and await titles(engine) == ["Mug", "Tea"]
    making = await engine.rebuild(["GBP"])
    assert list(await making.add([odd, thing("Pot")], 3)) == [odd.product_id]
    await making.finish()
    assert await titles(engine) == ["Pot"]


async def test_who_was_overtaken_by_a_new_index_writes_nothing_into_it(engine: EmbeddedSearch, tmp_path: Path) -> None:
    mug, operator = thing("Mug"), EmbeddedSearch(tmp_path)
    try:
        await made(engine, mug)
        await engine.index([mug], [], 1)
        await made(operator, thing("Newer mug", mug.product_id))
        with pytest.raises(EngineDown):
            await engine.index([mug], [], 2)
        assert await titles(engine) == ["Newer mug"]
        # Whoever looks again, and reads again, may write.
        await engine.index([thing("Newest mug", mug.product_id)], [], 3)
        assert await titles(operator) == ["Newest mug"]
    finally:
        await operator.aclose()


async def test_who_rests_lets_another_process_write(tmp_path: Path) -> None:
    mug = Document(
        product_id=uuid4(),
        slug="mug",
        title="Mug",
        prices={"GBP": Price(lowest=100, highest=100)},
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    one, other = EmbeddedSearch(tmp_path), EmbeddedSearch(tmp_path)
    try:
        await (await one.rebuild(["GBP"])).finish()
        await one.index([mug], [], 1)
        with pytest.raises(EngineDown):
            await other.index([mug], [], 2)
        await one.rest()
        await other.index([mug], [], 2)
        assert (await one.search(Query(words="mug", currency="GBP"), Rules())).total == 1
    finally:
        await one.aclose()
        await other.aclose()
