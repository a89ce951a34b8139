"""/search over the embedded engine: words, facets, pages, and that it follows the catalogue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch

from emporium.application.ports import Meta
from emporium.domain.base import Command, Money
from emporium.domain.category import CreateCategory, MoveCategory, RenameCategory, category_id_of
from emporium.domain.product import (
    AddVariant,
    ArchiveProduct,
    ChangePrice,
    CreateProduct,
    PublishProduct,
    Translation,
    UpdateProduct,
    product_id_of,
)
from emporium.domain.stock import AdjustStock, ReceiveUnits
from emporium.infra.settings import Settings
from emporium.projections import search_index, search_log
from emporium.projections.model import Connection
from emporium.projections.search_log import Noted
from tests.http.client import API, House
from tests.http.conftest import elsewhere, running
from tests.http.test_recommendations import buy
from tests.integration.search.test_indexer import review_of
from tests.support.proxy import proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAFF = Meta("test", "request:test", "staff:test")
HOME, KITCHEN, GARDEN = category_id_of("home"), category_id_of("kitchen"), category_id_of("garden")


async def say(house: House, *commands: Command) -> None:
    for command in commands:
        await house.shop.execute(command, STAFF)


async def put(house: House, sku: str, title: str, pence: int, units: int = 5, **more: Any) -> UUID:
    """A published product of one variant."""
    product = product_id_of(sku)
    await say(
        house,
        CreateProduct(product_id=product, title=title, slug=sku.lower(), **more),
        AddVariant(product_id=product, sku=sku),
        ChangePrice(product_id=product, sku=sku, price=Money(pence, "GBP")),
        PublishProduct(product_id=product),
    )
    if units:
        await say(house, ReceiveUnits(sku=sku, warehouse="LON", quantity=units))
    return product


async def found(house: House, query: str) -> dict[str, Any]:
    answer = await house.guest().get(f"/search?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def slugs(house: House, query: str) -> list[str]:
    return [item["slug"] for item in (await found(house, query))["items"]]


async def finds(house: House, query: str, wanted: list[str]) -> None:
    """Waits until the search gives exactly these."""
    last: list[str] | None = None
    try:
        async with asyncio.timeout(15):
            while True:
                answer = await house.guest().get(f"/search?{query}")
                if answer.status_code == 200:
                    last = [item["slug"] for item in answer.json()["items"]]
                    if sorted(last) == sorted(wanted):
                        return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{query} finds {last}, not {wanted}") from None


async def until(house: House, query: str, good: Callable[[dict[str, Any]], bool]) -> None:
    """Waits until an answer is good."""
    async with asyncio.timeout(20):
        while True:
            answer = await house.guest().get(f"/search?{query}")
            if answer.status_code == 200 and good(answer.json()):
                return
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module", params=["embedded", "elasticsearch"])
def engine(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What makes the settings those of a shop that searches with one of the engines."""
    return {} if request.param == "embedded" else {"elasticsearch_url": request.getfixturevalue("elasticsearch")}


def of_its_own(settings: Settings, engine: dict[str, Any]) -> Settings:
    """Settings of a shop that shares no index with another one."""
    return msgspec.structs.replace(settings, **engine, elasticsearch_index=f"test-{uuid4().hex}")


async def stock_up(house: House) -> None:
    """A catalogue of a few things, indexed."""
    await say(
        house,
        CreateCategory(category_id=HOME, name="Home", slug="home"),
        CreateCategory(category_id=KITCHEN, name="Kitchen", slug="kitchen", parent=HOME),
        CreateCategory(category_id=GARDEN, name="Garden", slug="garden"),
    )
    await put(house, "CAFE-1", "Café Cup, Red", 500, brand="Acme", category_id=KITCHEN,
              attributes={"colour": "red", "volume": 250, "dishwasher": True})  # fmt: skip
    await put(house, "CAFE-2", "Café Cup, Blue", 900, brand="Acme", category_id=KITCHEN,
              attributes={"colour": "blue", "volume": 400})  # fmt: skip
    await put(house, "KETTLE", "Kettle & co", 1500, description="Whistles.", translations={
        "de": Translation(title="Grüner Teekessel & Co", description="Pfeift, wenn die Bläschen steigen."),
    })  # fmt: skip
    await put(house, "SPADE", "Garden Spade", 2500, units=0, brand="Zeta", category_id=GARDEN,
              description="Digs deep. Not a cup.")  # fmt: skip
    name = house.opened.engines[0].name
    await until(house, "q=spade", lambda answer: answer["engine"] == name and answer["total"] == 1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(engine: dict[str, Any], server: str, template: str) -> AsyncIterator[House]:
    """For tests that only look."""
    with elsewhere(server, template) as there:
        async with running(of_its_own(there, engine), search=True) as house:
            await stock_up(house)
            yield house


async def test_words_are_found_however_they_are_written(shop: House) -> None:
    for words in ("cafe cup", "CUPS café", "caffe cup", "cup caf"):
        assert sorted(await slugs(shop, f"q={words}"))[:2] == ["cafe-1", "cafe-2"], words
    assert await slugs(shop, "q=CAFE-2") == ["cafe-2"]
    marked = await found(shop, "q=cups red")
    assert marked["items"][0]["title_html"] == "Café <mark>Cup</mark>, <mark>Red</mark>"
    mended = await found(shop, "q=gardne spade")
    assert [item["slug"] for item in mended["items"]] == ["spade"]
    assert mended["meant"] == "garden spade"


async def test_words_of_a_translation_are_found_and_shown(shop: House) -> None:
    for query in ("q=Teekessel", "q=grüner+teekesel", "q=Teekes", "q=grüne+Teekessel&language=de",
                  "q=Bläschen&language=de", "q=Blaschens&language=de", "q=pfeift&language=de"):  # fmt: skip
        assert await slugs(shop, query) == ["kettle"], query
    [german] = (await found(shop, "q=Teekessel&language=de"))["items"]
    assert german["title_html"] == "Grüner <mark>Teekessel</mark> &amp; Co"
    [english] = (await found(shop, "q=Teekessel"))["items"]
    assert english["title_html"] == "Kettle &amp; co"
    for language in ("fr", "de"):
        [one] = (await found(shop, f"q=spade&language={language}"))["items"]
        assert one["title_html"] == "Garden <mark>Spade</mark>", "it has no translation"
    typed = (await shop.guest().get("/search/suggest?q=teek")).json()["items"]
    assert [one["target"] for one in typed if one["kind"] == "product"] == ["kettle"]


async def test_a_title_stands_before_a_description(shop: House) -> None:
    assert (await slugs(shop, "q=cup"))[-1] == "spade"


async def test_filters_narrow_and_facets_say_how_far(shop: House) -> None:
    assert await slugs(shop, "q=cup&attribute=colour:red") == ["cafe-1"]
    assert await slugs(shop, "q=cup&attribute=colour:red&attribute=colour:blue&sort=price") == ["cafe-1", "cafe-2"]
    assert await slugs(shop, "between=volume:300..") == ["cafe-2"]
    assert await slugs(shop, "q=&brand=Zeta") == ["spade"]
    assert await slugs(shop, "brand=Acme&price_from=600") == ["cafe-2"]
    assert await slugs(shop, "brand=Acme&sort=price_desc") == ["cafe-2", "cafe-1"]
    assert sorted(await slugs(shop, "category=home")) == ["cafe-1", "cafe-2"]
    assert await slugs(shop, "brand=Zeta&available=true") == []
    answer = await found(shop, "q=cup&attribute=colour:red")
    facets = {facet["name"]: {one["value"]: one["count"] for one in facet["buckets"]} for facet in answer["facets"]}
    # Of what is chosen the others can still be chosen; all else counts what is left.
    assert facets["attribute.colour"] == {"red": 1, "blue": 1}
    assert facets["brand"] == {"Acme": 1}
    assert facets["available"] == {"true": 1}
    assert facets["attribute.dishwasher"] == {"yes": 1}
    # Found by words, which one engine counts by itself; and without.
    for query in ("q=cup&category=home", "brand=Acme"):
        for chosen, volumes in (
            ("", ("250", "400")),
            ("&between=volume:300..", ("250", "400")),
            ("&attribute=colour:blue&between=volume:..300&price_from=100", ("400", "400")),
        ):
            answer = await found(shop, query + chosen)
            ends = {one["name"]: [each["value"] for each in one["buckets"]] for one in answer["facets"]}
            # Of a range, too, others can still be chosen.
            assert tuple(ends["number.volume"]) == volumes, (query, chosen)


async def test_pages_follow_each_other_without_gap(shop: House) -> None:
    everything = await found(shop, "sort=price&limit=100")
    seen, offset = [], 0
    while offset is not None:
        page = await found(shop, f"sort=price&limit=2&offset={offset}")
        assert page["total"] == everything["total"]
        seen += [item["slug"] for item in page["items"]]
        offset = page["next"]
    assert seen == [item["slug"] for item in everything["items"]]


async def test_where_nothing_is_found_something_is_offered(shop: House) -> None:
    nothing = await found(shop, "q=xylophone")
    assert nothing["items"] == [] and nothing["total"] == 0
    assert len(nothing["instead"]) > 0


async def test_it_follows_the_catalogue_the_sales_and_the_reviews(
    settings: Settings, engine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "SALES_PACE", 0.1)
    async with running(of_its_own(settings, engine), search=True) as shop:
        await stock_up(shop)
        name = shop.opened.engines[0].name
        for times, slug in enumerate(("cafe-2", "spade", "cafe-1"), 1):
            for _ in range(times):
                await buy(shop, slug.upper())
            await until(shop, "sort=popularity", lambda answer, slug=slug: answer["items"][0]["slug"] == slug)  # type: ignore[misc]
        for _ in range(5):
            await say(shop, review_of(product_id_of("CAFE-1")))
        await until(shop, "rating_from=3.5", lambda answer: [one["slug"] for one in answer["items"]] == ["cafe-1"])
        assert (await found(shop, "sort=rating"))["items"][0]["slug"] == "cafe-1"
        assert (await found(shop, "sort=rating"))["engine"] == name
        await _followed(shop)


async def _followed(shop: House) -> None:
    cup, spade = product_id_of("CAFE-1"), product_id_of("SPADE")
    await say(shop, UpdateProduct(product_id=cup, title="Teapot"))
    await finds(shop, "q=teapot", ["cafe-1"])
    await say(shop, ArchiveProduct(product_id=cup))
    await finds(shop, "q=teapot", [])
    await say(shop, RenameCategory(category_id=KITCHEN, name="Scullery", slug="scullery"))
    await finds(shop, "q=scullery", ["cafe-2"])
    await say(shop, MoveCategory(category_id=KITCHEN, parent=GARDEN))
    await finds(shop, "category=garden", ["cafe-2", "spade"])
    await say(shop, ReceiveUnits(sku="SPADE", warehouse="LON", quantity=1))
    await finds(shop, "brand=Zeta&available=true", ["spade"])
    await say(shop, AdjustStock(sku="SPADE", warehouse="LON", change=-1, reason="broken"))
    await finds(shop, "brand=Zeta&available=true", [])
    await say(shop, ChangePrice(product_id=spade, sku="SPADE", price=Money(1900, "EUR")))
    # A currency that no product had yet: the whole index is made anew.
    await finds(shop, "q=spade&currency=EUR", ["spade"])


async def test_what_is_being_typed_is_completed(shop: House) -> None:
    answer = (await shop.guest().get("/search/suggest?q=caf")).json()
    assert {one["text"] for one in answer["items"]} == {"Café Cup, Red", "Café Cup, Blue"}
    assert (await shop.guest().get("/search/suggest?q=zz")).json() == {"items": []}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("attribute=red", "attribute"), ("between=volume:a..b", "between"), ("sort=odd", "sort"), ("offset=-1", "offset")],
)
async def test_a_wrong_parameter_is_named(shop: House, query: str, parameter: str) -> None:
    answer = await shop.guest().get(f"/search?{query}")
    assert answer.status_code in (400, 422)
    assert parameter in answer.text


async def test_before_there_is_an_index_the_answer_says_so(settings: Settings) -> None:
    async with running(settings) as house:
        answer = await house.guest().get("/search?q=cup")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"


async def test_it_catches_up_with_what_it_missed(settings: Settings, elasticsearch: str) -> None:
    async with proxy(elasticsearch) as door:
        there = of_its_own(settings, {"elasticsearch_url": door.url})
        async with running(there, search=True) as shop:
            await stock_up(shop)
            door.away = True
            await say(shop, UpdateProduct(product_id=product_id_of("SPADE"), title="Trowel"))
            # The shop goes on, on its own index.
            await finds(shop, "q=trowel", ["spade"])
            assert (await found(shop, "q=trowel"))["engine"] == "embedded"
            door.away = False
            await until(shop, "q=trowel", lambda answer: answer["engine"] == "elasticsearch" and answer["total"] == 1)
            # Whoever loses the index gets it back, without a word to us.
            async with AsyncElasticsearch(elasticsearch) as client:
                lost = await client.indices.get(index=f"{there.elasticsearch_index}-*")
                await client.indices.delete(index=next(iter(lost)))
            await until(shop, "q=trowel", lambda answer: answer["engine"] == "embedded")
            await until(shop, "q=trowel", lambda answer: answer["engine"] == "elasticsearch" and answer["total"] == 1)


async def test_staff_steer_it_without_a_restart(shop: House) -> None:
    staff = await shop.staff("catalog_manager")
    assert (await shop.guest().get("/search?q=beaker")).json()["total"] == 0
    set_ = await staff.call("PUT", f"{API}/admin/search/synonyms/cups", {"words": ["Beaker", "café cup"]})
    assert set_.json() == {"group": "cups", "words": ["beaker", "cafe cup"]}
    await until(shop, "q=beaker", lambda answer: {one["slug"] for one in answer["items"]} == {"cafe-1", "cafe-2"})
    last = (await slugs(shop, "q=cafe+cup"))[-1]
    pin = {"query": "Cafe  Cup", "pins": [str(product_id_of("SPADE")), str(product_id_of(last.upper()))]}
    placed = await staff.call("PUT", f"{API}/admin/search/placements/front", pin)
    assert placed.json()["active"] is True
    await until(shop, "q=café+CUP", lambda answer: [one["slug"] for one in answer["items"]][:2] == ["spade", last])
    # A pin does not get past a filter, and is no match for other sorts.
    assert "spade" not in await slugs(shop, "q=cafe+cup&brand=Acme")
    boost = {"query": "cup", "boosts": [{"product_id": str(product_id_of("SPADE")), "factor": 100}]}
    assert (await staff.call("PUT", f"{API}/admin/search/placements/deep", boost)).status_code == 200
    await until(shop, "q=cup", lambda answer: answer["items"][0]["slug"] == "spade")
    over = boost | {"ends_at": "2020-01-01T00:00:00Z"}
    assert (await staff.call("PUT", f"{API}/admin/search/placements/deep", over)).json()["active"] is False
    await until(shop, "q=cup", lambda answer: answer["items"][-1]["slug"] == "spade")
    listed = (await staff.get("/admin/search/placements?limit=1")).json()
    assert [one["code"] for one in listed["items"]] == ["deep"] and listed["next"]
    for path in ("synonyms/cups", "placements/front", "placements/deep"):
        assert (await staff.call("DELETE", f"{API}/admin/search/{path}")).status_code == 204
    await until(shop, "q=beaker", lambda answer: answer["total"] == 0)
    assert (await staff.get("/admin/search/synonyms")).json()["items"] == []
    wrong = await staff.call("PUT", f"{API}/admin/search/synonyms/cups", {"words": ["one", "ONE"]})
    assert wrong.status_code == 422 and "words.1" in wrong.text


async def test_what_was_searched_is_counted_without_the_person(shop: House) -> None:
    guest, staff = shop.guest(), await shop.staff("catalog_manager")
    for words in ("Blue  CUP", "blue cup", "blué cup", "red cup", "ada@example.org", "+44 20 7946 0958", "zzzz"):
        assert (await guest.get(f"/search?q={quote(words)}")).is_success
    product = str(product_id_of("CAFE-2"))
    for kind in ("click", "order"):
        noted = await guest.post("/search/outcomes", {"q": "BLUE cup", "kind": kind, "product_id": product})
        assert noted.status_code == 204
    await shop.services.notes.flush()
    report = (await staff.get("/admin/search/report")).json()
    top = {one["words"]: one for one in report["top"]}
    blue = {"words": "blue cup", "searches": 3, "empty": 0, "clicks": 1, "orders": 1}
    assert top["blue cup"] == blue
    assert not any("@" in words or "7946" in words for words in top)
    assert "zzzz" in {one["words"] for one in report["no_result"]}
    assert "red cup" in {one["words"] for one in report["no_click"]}
    assert "blue cup" not in {one["words"] for one in report["no_click"]}
    await shop.services.completions.refresh()
    offered = (await guest.get("/search/suggest?q=Blu")).json()["items"]
    assert offered[0] == {"kind": "query", "text": "blue cup", "target": None}
    assert {one["kind"] for one in offered} == {"query", "product"} or len(offered) == 1
    named = (await guest.get("/search/suggest?q=kit")).json()["items"]
    assert named == [{"kind": "category", "text": "Kitchen", "target": str(KITCHEN)}]


async def test_counts_go_by_the_month(shop: House) -> None:
    async def work(connection: Connection) -> list[int]:
        long_ago = datetime(2020, 1, 31, 23, tzinfo=UTC)
        await search_log.record(connection, {Noted(long_ago, "old", "search"): 5})
        # The month itself ended after this moment.
        kept = await search_log.forget(connection, datetime(2020, 1, 31, tzinfo=UTC))
        return [kept, await search_log.forget(connection, datetime(2020, 2, 1, tzinfo=UTC))]

    assert await shop.opened.reads.run(work) == [0, 1]
