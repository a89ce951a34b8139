"""The first start's demo catalogue, put there by the shop's own commands; run again it finds itself done."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from emporium.application import bootstrap
from emporium.application.commands import handle
from emporium.application.ports import Claim, Media, Meta
from emporium.application.shop import Shop
from emporium.application.work import Work
from emporium.domain import category, warehouse
from emporium.domain.backorder import BACKORDERS, AllowBackorder, backorder_id_of
from emporium.domain.base import Command, Money
from emporium.domain.product import (
    PRODUCT,
    AddVariant,
    ChangePrice,
    CreateProduct,
    Image,
    PublishProduct,
    Translation,
    product_id_of,
)
from emporium.domain.stock import STOCK, ReceiveUnits, SetLowStockMark, stock_id_of
from emporium.domain.text import slug_of
from emporium.infra.settings import Settings
from emporium.scripts.demo import catalogue as demo
from emporium.scripts.demo.catalogue import Article
from emporium.scripts.demo.year import DAYS, cost_of, launched
from emporium.scripts.pictures import HEIGHT, WIDTH, picture

__all__ = ["WHOLE", "YEAR", "Seeded", "begun", "demo_id_of", "run", "seed", "unfilled"]

YEAR: Final = "demo year"
"""The scope of the claims that say how far the year is filled."""

WHOLE: Final = b"whole"

BATCH: Final = 24
"""Products in a unit: about 250 events, as many as the shop's own batches hold."""

_ORIGIN: Final = "import:demo"
_FIRST: Final = f"{_ORIGIN}/shop"
_FLOORS: Final = {shelf.slug: shelf.parent or shelf.slug for shelf in demo.CATEGORIES}


def demo_id_of(code: str) -> UUID:
    """The id of a demo product."""
    return product_id_of(f"demo-{code}")


class Seeded(msgspec.Struct, frozen=True):
    """What a start did: how many products it made, and whether the demo's year is still to be filled."""

    products: int
    year: bool


def run(settings: Settings) -> Seeded:
    """Fills an empty shop with the demo catalogue."""

    async def main() -> Seeded:
        async with bootstrap.open_shop(settings) as opened:
            products = await seed(opened.shop, opened.media)
            return Seeded(products, settings.demo_orders > 0 and await unfilled(opened.shop))

    return asyncio.run(main())


async def unfilled(shop: Shop) -> bool:
    """Whether the shop has a demo whose year is not there, or not all of it."""
    return await begun(shop) is not None and await shop.logs["ordering"].claimed(YEAR, WHOLE) is None


async def seed(shop: Shop, media: Media) -> int:
    """Makes what is missing of the demo catalogue, as if it had been there for a year; how many products that were.

    A shop whose first category, product or warehouse somebody else made (or an earlier edition of this program) is
    theirs: nothing is added. A product stands in its log whole or not at all, and its stock before it, so that a run
    that was ended anywhere is completed by the next.
    """
    for log in ("catalog", "inventory"):
        first, _ = await shop.logs[log].read(0, 1)
        if first and not first[0].meta.causation.startswith(_FIRST):
            return 0
    begins = await begun(shop) or (shop.clock.now() - timedelta(days=DAYS)).replace(microsecond=0)
    there = await shop.logs["catalog"].load_many(PRODUCT, [demo_id_of(a.code) for a in demo.PRODUCTS])
    missing = [article for article in demo.PRODUCTS if there[demo_id_of(article.code)][0] is None]
    if not missing:
        return 0
    everything = Meta("demo", _FIRST, "import")

    async def grow(work: Work) -> None:
        work.now = begins
        await _grow_tree(work)

    async def open_up(work: Work) -> None:
        work.now = begins
        await _open_warehouses(work)

    await shop.run("catalog", everything, grow)
    await shop.run("inventory", everything, open_up)
    pictures = await asyncio.to_thread(_draw, missing, media)
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]

        async def stock(work: Work, batch: Sequence[Article] = batch) -> None:
            await _fill(work, batch, begins)

        async def products(work: Work, batch: Sequence[Article] = batch) -> None:
            await _describe(work, batch, pictures, begins)

        await shop.run("inventory", everything, stock)
        await shop.run("catalog", everything, products)
    return len(missing)


async def begun(shop: Shop) -> datetime | None:
    """When the demo's year begins: with the first event of all; None where this shop has no demo."""
    first, _ = await shop.logs["catalog"].read(0, 1)
    return first[0].at if first and first[0].meta.causation.startswith(_FIRST) else None


async def _grow_tree(work: Work) -> None:
    tree = await work.load(category.CATEGORIES, category.categories_id())
    known = tree.categories if tree is not None else {}
    for shelf in demo.CATEGORIES:
        shelf_id = category.category_id_of(shelf.slug)
        if shelf_id not in known:
            parent = category.category_id_of(shelf.parent) if shelf.parent is not None else None
            command = category.CreateCategory(category_id=shelf_id, name=shelf.name, slug=shelf.slug, parent=parent)
            await handle(work, command)
            for kind in _kinds(shelf):
                await handle(work, category.DefineAttribute(category_id=shelf_id, attribute=kind))


def _kinds(shelf: demo.Shelf) -> Iterator[category.AttributeKind]:
    """What its articles say of themselves."""
    said = {name: value for one in demo.PRODUCTS if one.shelf == shelf.slug for name, value in one.attributes.items()}
    for name, value in sorted(said.items()):
        if name in category.COMMON:
            continue
        kind, unit, choices = category.TEXT, None, demo.CHOICES.get(name, ())
        if choices:
            kind = category.CHOICE
        elif isinstance(value, bool):
            kind = category.YES_NO
        elif isinstance(value, int | float):
            kind, unit = category.NUMBER, demo.label_of(name)[1]
        yield category.AttributeKind(name=name, kind=kind, unit=unit, choices=choices)


async def _open_warehouses(work: Work) -> None:
    directory = await work.load(warehouse.WAREHOUSES, warehouse.warehouses_id())
    for code, name, country, priority in demo.WAREHOUSES:
        if directory is None or directory.find(code) is None:
            command = warehouse.OpenWarehouse(code=code, name=name, country=country, priority=priority)
            await handle(work, command)


async def _fill(work: Work, articles: Sequence[Article], begins: datetime) -> None:
    places = [
        (article, variant, code)
        for article in articles
        for variant in article.variants
        for code in demo.homes_of(article)
    ]
    await work.load_many(STOCK, [stock_id_of(variant.sku, code) for _, variant, code in places])
    today = work.now.date()
    for article in articles:
        for variant in article.variants:
            if variant.sku in demo.AHEAD and await work.load(BACKORDERS, backorder_id_of(variant.sku)) is None:
                kind, days = demo.AHEAD[variant.sku]
                expected = today + timedelta(days=days)
                allow = AllowBackorder(sku=variant.sku, kind=kind, limit=20, expected=expected, today=today)
                await handle(work, allow, _cause_of(article))
    for article, variant, code in places:
        sku = variant.sku
        if work.state(STOCK, stock_id_of(sku, code)) is not None:
            continue
        work.now = begins + launched(article)
        cause = _cause_of(article)
        units = demo.units_of(sku, code)
        if units:
            cost = Money(cost_of(sku, variant.prices["GBP"]), "GBP")
            receive = ReceiveUnits(sku=sku, warehouse=code, quantity=units, reference="demo", unit_cost=cost)
            await handle(work, receive, cause)
        await handle(work, SetLowStockMark(sku=sku, warehouse=code, mark=demo.MARK), cause)


async def _describe(work: Work, articles: Sequence[Article], pictures: Mapping[str, Image], begins: datetime) -> None:
    await work.load_many(PRODUCT, [demo_id_of(article.code) for article in articles])
    for article in articles:
        product_id = demo_id_of(article.code)
        if work.state(PRODUCT, product_id) is not None:
            continue
        work.now = begins + launched(article)
        slug = f"demo-{slug_of(article.title)}"
        work.unit.claims.append(Claim("slug", slug.encode(), product_id))
        commands: list[Command] = [
            CreateProduct(
                product_id=product_id,
                title=article.title,
                slug=slug,
                description=article.description,
                brand=article.brand,
                category_id=category.category_id_of(article.shelf),
                options=tuple(article.options),
                attributes=article.attributes,
                images=(pictures[article.code],),
                related=tuple(demo_id_of(code) for code in article.related),
                translations=_translations(article),
            )
        ]
        for variant in article.variants:
            work.unit.claims.append(Claim("sku", variant.sku.encode(), product_id))
            commands.append(AddVariant(product_id=product_id, sku=variant.sku, options=variant.options))
            for currency, amount in variant.prices.items():
                commands.append(ChangePrice(product_id=product_id, sku=variant.sku, price=Money(amount, currency)))
        commands.append(PublishProduct(product_id=product_id))
        for command in commands:
            await handle(work, command, _cause_of(article))


def _translations(article: Article) -> dict[str, Translation]:
    title, _ = article.german
    return {"de": Translation(title=title, description=article.german_description)} if title else {}


def _draw(articles: Sequence[Article], media: Media) -> dict[str, Image]:
    pictures = {}
    for article in articles:
        svg = picture(article.code, article.title, article.brand, _FLOORS[article.shelf])
        url = media.put(svg.encode(), "svg")
        pictures[article.code] = Image(url=url, alt=f"{article.title}: a drawing", width=WIDTH, height=HEIGHT)
    return pictures


def _cause_of(article: Article) -> Meta:
    return Meta(str(demo_id_of(article.code)), f"{_ORIGIN}/{article.code}", "import")
