"""A shop like the demo's, but of ten or a hundred thousand products: for what customers browse."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from emporium.application.bootstrap import Opened, main_dsn
from emporium.application.search import Document
from emporium.domain.base import Command, Money
from emporium.domain.category import CreateCategory, category_id_of
from emporium.domain.product import AddVariant, ChangePrice, CreateProduct, Image, PublishProduct
from emporium.domain.stock import ReceiveUnits
from emporium.domain.warehouse import OpenWarehouse
from emporium.infra.settings import Settings
from emporium.projections.consistency import Waiter, token_of
from emporium.projections.registry import MODELS
from emporium.scripts.bench.fleet import Fleet, fleet, opened, together
from emporium.scripts.bench.goods import made
from emporium.scripts.bench.load import Connection, request

__all__ = ["SIZES", "Shelves", "describe", "indexed", "shelves"]

SIZES: Final = ("s", "l")
_BATCH: Final = 30
_PATIENCE: Final = 600.0


class Shelves(msgspec.Struct, frozen=True):
    """A running shop with its products."""

    running: Fleet
    shop: Opened
    documents: Sequence[Document]


@asynccontextmanager
async def shelves(settings: Settings) -> AsyncIterator[Shelves]:
    """Starts a shop and fills it; as many products as `bench_products` says."""
    documents = made(settings.bench_products)
    with fleet(settings) as running:
        async with opened(running) as shop:
            await _fill(shop, documents)
            yield Shelves(running, shop, documents)


async def _fill(shop: Opened, documents: Sequence[Document]) -> None:
    """Products with a brand, two levels of categories, typed attributes, a picture, two variants with prices in two
    currencies, and stock of nine of ten."""
    tree: dict[str, Command] = {}
    for one in documents:
        parent: str | None = None
        for name in one.category_names:
            slug = name.replace(" ", "-")
            if slug not in tree:
                above = None if parent is None else category_id_of(parent)
                tree[slug] = CreateCategory(
                    category_id=category_id_of(slug), name=name.title(), slug=slug, parent=above
                )
            parent = slug
    await together(shop, "catalog", list(tree.values()))
    await together(shop, "inventory", [OpenWarehouse(code="LON", name="London", country="GB", priority=0)])
    chance = random.Random(1)
    for start in range(0, len(documents), _BATCH):
        part = documents[start : start + _BATCH]
        await together(shop, "catalog", [command for one in part for command in describe(one)])
        await together(
            shop,
            "inventory",
            [
                ReceiveUnits(sku=f"{one.skus[0]}-{size}", warehouse="LON", quantity=chance.randrange(1, 50))
                for one in part
                if one.available
                for size in SIZES
            ],
        )
    waiter = Waiter(main_dsn(shop.settings), MODELS, shop.shop.logs)
    logs = [shop.shop.logs[log] for log in ("catalog", "inventory")]
    async with waiter.running():
        for log in logs:
            if not await waiter.wait(["catalog_pages"], token_of(log, await log.head()), _PATIENCE):
                raise RuntimeError("the catalogue's pages do not show the goods in time")


async def indexed(shop: Shelves) -> None:
    """Waits until a search finds all of them."""
    connection = await Connection.open(shop.running.address)
    began = time.perf_counter()
    everything = b'"total":%d,' % len(shop.documents)
    while everything not in (await connection.exchange(request("GET", "/api/v1/search?limit=1"))).body:
        if time.perf_counter() - began > _PATIENCE:
            raise RuntimeError("not everything is found after ten minutes")
        await asyncio.sleep(0.5)
    connection.close()


def describe(one: Document) -> list[Command]:
    """What makes a product of a document."""
    product_id = one.product_id
    told = {name: values[0] for name, values in one.attributes.items() if name != "size"}
    price = one.prices["GBP"].lowest
    return [
        CreateProduct(
            product_id=product_id,
            title=one.title,
            slug=one.slug,
            description=f"{one.description}\n\n* Made to **last**, and to be mended.\n* Comes in two sizes.\n\n"
            "Made up to measure the shop with; there is no such article.",
            brand=one.brand,
            category_id=category_id_of(one.category_names[-1].replace(" ", "-")),
            options=("size",),
            attributes={**told, "washable": told["washable"] == "yes", "weight": one.numbers["weight"]},
            images=(Image(url=f"/media/{one.slug}.svg", alt=f"{one.title}: a drawing", width=800, height=600),),
        ),
        *(
            command
            for size, more in zip(SIZES, (0, 300), strict=True)
            for command in (
                AddVariant(product_id=product_id, sku=f"{one.skus[0]}-{size}", options={"size": size}),
                ChangePrice(product_id=product_id, sku=f"{one.skus[0]}-{size}", price=Money(price + more, "GBP")),
                ChangePrice(product_id=product_id, sku=f"{one.skus[0]}-{size}", price=Money(price + more + 99, "EUR")),
            )
        ),
        PublishProduct(product_id=product_id),
    ]
