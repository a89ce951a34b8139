"""Seeding: whole, once, after whatever interruption, and never among somebody's own goods."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emporium.application.ports import Meta
from emporium.domain.category import (
    CATEGORIES,
    COMMON,
    CategoryCreated,
    CreateCategory,
    categories_id,
    category_id_of,
    check_attributes,
)
from emporium.domain.product import PRODUCT, PriceChanged, ProductCreated, ProductState
from emporium.domain.stock import STOCK, ReceiveUnits, StockLevelLow, UnitsReceived, stock_id_of
from emporium.domain.warehouse import WAREHOUSES, warehouses_id
from emporium.infra.media import MediaFolder
from emporium.scripts.demo import catalogue as demo
from emporium.scripts.demo.year import DAYS
from emporium.scripts.seed import BATCH, begun, demo_id_of, seed
from tests.support.shops import MemoryShop

COMMITS = 2 + 2 * -(-len(demo.PRODUCTS) // BATCH)
"""Categories, warehouses, then stock and products of each batch."""

OWN = Meta("own", "request:1", "staff:1")


@pytest.fixture
def media(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path)


def contents(one: MemoryShop) -> Counter[Any]:
    return Counter((e.stream, e.version, repr(e.event)) for log in one.logs.values() for e in log.events)


async def test_a_first_start_fills_the_shelves(media: MediaFolder, tmp_path: Path) -> None:
    one = MemoryShop()
    assert await seed(one.shop, media) == len(demo.PRODUCTS)
    catalog, inventory = one.logs["catalog"], one.logs["inventory"]
    tree, _ = await catalog.load(CATEGORIES, categories_id())
    assert tree is not None
    for article in demo.PRODUCTS:
        product, _ = await catalog.load(PRODUCT, demo_id_of(article.code))
        assert product is not None
        assert product.status == "published"
        assert len(tree.path(product.category_id)) == 2
        assert set(product.variants) == {variant.sku for variant in article.variants}
        check_attributes(tree, product.category_id, product.attributes)
        assert tree.attributes(product.category_id).keys() >= article.attributes.keys() - set(COMMON)
        [image] = product.images
        assert (tmp_path / image.url.lstrip("/")).is_file()
    directory, _ = await inventory.load(WAREHOUSES, warehouses_id())
    assert directory is not None
    assert [(w.code, w.country) for w in directory.warehouses] == [("GB-LEEDS", "GB"), ("DE-HAMBURG", "DE")]
    low = {e.event.sku for e in inventory.events if isinstance(e.event, StockLevelLow)}
    assert low == demo.LOW | demo.SOLD_OUT


async def test_it_has_been_there_for_a_year_but_for_what_came_later(media: MediaFolder) -> None:
    one = MemoryShop()
    await seed(one.shop, media)
    begins = await begun(one.shop)
    assert begins == one.clock.now().replace(microsecond=0) - timedelta(days=DAYS)
    made = {e.event.product_id: e.at for e in one.logs["catalog"].events if isinstance(e.event, ProductCreated)}
    assert min(made.values()) == begins == made[demo_id_of("mug")]
    assert 20 < sum(at > begins for at in made.values()) < 80
    assert max(made.values()) < one.clock.now()
    costs = [e.event.unit_cost for e in one.logs["inventory"].events if isinstance(e.event, UnitsReceived)]
    assert all(costs)


async def test_the_demo_of_an_earlier_program_stays_as_it_is(media: MediaFolder) -> None:
    one = MemoryShop()
    earlier = Meta("demo", "import:demo", "import")
    await one.shop.execute(CreateCategory(category_id=category_id_of("demo"), name="Demo", slug="demo"), earlier)
    assert await seed(one.shop, media) == 0
    assert await begun(one.shop) is None


async def test_everything_leads_back_to_the_demo(media: MediaFolder) -> None:
    one = MemoryShop()
    await seed(one.shop, media)
    events = one.logs["catalog"].events + one.logs["inventory"].events
    assert {e.meta.causation.split("/")[0] for e in events} == {"import:demo"}
    assert {e.meta.actor for e in events} == {"import"}
    mug = demo_id_of("mug")
    assert {type(e.event).__name__ for e in events if e.meta.correlation == str(mug)} >= {
        "ProductCreated",
        "UnitsReceived",
    }


async def test_a_second_start_changes_nothing(media: MediaFolder) -> None:
    one = MemoryShop()
    await seed(one.shop, media)
    before = contents(one)
    assert await seed(one.shop, media) == 0
    assert contents(one) == before


@pytest.mark.parametrize("commits", [0, 1, 2, 3, COMMITS // 2, COMMITS - 1])
async def test_a_run_that_was_ended_after_any_commit_is_completed_by_the_next(media: MediaFolder, commits: int) -> None:
    whole, one = MemoryShop(), MemoryShop()
    await seed(whole.shop, media)
    _fail_after(one, commits)
    with pytest.raises(ConnectionError):
        await seed(one.shop, media)
    assert contents(one) != contents(whole)
    assert await seed(one.shop, media) > 0
    assert contents(one) == contents(whole)


def _fail_after(one: MemoryShop, commits: int) -> None:
    """The commit after so many fails, once."""
    done = 0
    for log in (one.logs["catalog"], one.logs["inventory"]):

        async def append(unit: Any, log: Any = log) -> int:
            nonlocal done
            done += 1
            if done == commits + 1:
                raise ConnectionError("killed")
            position: int = await type(log).append(log, unit)
            return position

        log.append = append  # type: ignore[method-assign]


async def test_what_was_sold_or_changed_since_stays_so(media: MediaFolder) -> None:
    one = MemoryShop()
    _fail_after(one, COMMITS - 1)
    with pytest.raises(ConnectionError):
        await seed(one.shop, media)
    sku, place = "DEMO-MUG-SAND", "GB-LEEDS"
    await one.shop.execute(ReceiveUnits(sku=sku, warehouse=place, quantity=7), OWN)
    await seed(one.shop, media)
    stock, _ = await one.logs["inventory"].load(STOCK, stock_id_of(sku, place))
    assert stock is not None
    assert stock.on_hand == demo.units_of(sku, place) + 7


async def test_nothing_is_put_among_a_merchants_own_goods(media: MediaFolder) -> None:
    one = MemoryShop()
    own = CreateCategory(category_id=category_id_of("own"), name="Own", slug="own")
    await one.shop.execute(own, OWN)
    assert await seed(one.shop, media) == 0
    assert [type(e.event) for e in one.logs["catalog"].events] == [CategoryCreated]
    assert one.logs["inventory"].events == []


async def test_addresses_and_skus_are_claimed(media: MediaFolder) -> None:
    one = MemoryShop()
    await seed(one.shop, media)
    catalog = one.logs["catalog"]
    mug = demo_id_of("mug")
    product, _ = await catalog.load(PRODUCT, mug)
    assert isinstance(product, ProductState)
    assert await catalog.claimed("slug", product.slug.encode()) == mug
    for sku in product.variants:
        assert await catalog.claimed("sku", sku.encode()) == mug


async def test_every_variant_has_its_price_in_both_currencies(media: MediaFolder) -> None:
    one = MemoryShop()
    await seed(one.shop, media)
    prices = Counter(e.event.sku for e in one.logs["catalog"].events if isinstance(e.event, PriceChanged))
    assert set(prices.values()) == {2}
    assert len(prices) == sum(len(article.variants) for article in demo.PRODUCTS)
