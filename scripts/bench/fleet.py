"""A shop of its own for a measurement: `emporium up` on an empty folder with its defaults, and 1,000 SKUs."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from emporium.application.bootstrap import Opened, main_dsn, open_shop
from emporium.application.commands import handle
from emporium.application.ports import Meta
from emporium.application.work import Work
from emporium.domain.base import Command, Money
from emporium.domain.category import CreateCategory, category_id_of
from emporium.domain.product import AddVariant, ChangePrice, CreateProduct, PublishProduct, product_id_of
from emporium.domain.stock import ReceiveUnits
from emporium.domain.warehouse import OpenWarehouse
from emporium.infra.postgres import EmbeddedPostgres
from emporium.infra.settings import Settings
from emporium.projections.consistency import Waiter, token_of
from emporium.projections.registry import MODELS
from emporium.scripts.processes import child_environment, cli

__all__ = ["Fleet", "fleet", "opened", "stocked", "together"]

SKUS: Final = tuple(f"BENCH-{number:04}" for number in range(1000))
PRICE: Final = Money(999, "GBP")
_STAFF: Final = Meta("bench", "request:bench", "staff:bench")


class Fleet(msgspec.Struct, frozen=True):
    """A running shop.

    Attributes:
        address: of the gateway.
        settings: with which another process can open the same shop.
        processes: name → process id.
        seconds: from the start to the first answer.
    """

    address: str
    settings: Settings
    processes: dict[str, int]
    seconds: float


@contextmanager
def fleet(settings: Settings, folder: Path | None = None) -> Iterator[Fleet]:
    """Starts `emporium up --empty` on a folder (a new one unless named), stops it at the end."""
    with tempfile.TemporaryDirectory(prefix="emporium-bench-", ignore_cleanup_errors=True) as temporary:
        data = folder or Path(temporary)
        wanted = msgspec.structs.replace(
            settings, data_dir=data, port=0, database_url=None, provider_url=None, carrier_url=None, empty=True
        )
        began = time.perf_counter()
        with tempfile.NamedTemporaryFile(prefix="emporium-bench-", suffix=".log") as log:
            process = subprocess.Popen(
                [sys.executable, *cli("up", "--json")],
                env=child_environment(wanted),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            try:
                assert process.stdout is not None
                facts = _facts(process.stdout, Path(log.name))
                seconds = time.perf_counter() - began
                own = msgspec.structs.replace(
                    wanted,
                    database_url=EmbeddedPostgres(data).dsn,
                    provider_url=facts["sandbox"],
                    carrier_url=facts["sandbox"],
                )
                yield Fleet(facts["address"], own, facts["processes"], seconds)
            finally:
                process.terminate()
                process.communicate(timeout=20)


def _facts(output: Any, log: Path) -> dict[str, Any]:
    for line in output:
        if line.startswith(b"{"):
            facts: dict[str, Any] = json.loads(line)
            return facts
    raise RuntimeError(f"the shop did not start: {log.read_text()[-2000:]}")


@asynccontextmanager
async def opened(running: Fleet) -> AsyncIterator[Opened]:
    """The shop, opened in this process too, as one more client of its databases."""
    async with open_shop(running.settings) as shop:
        yield shop


async def stocked(shop: Opened, units: int = 1_000_000) -> None:
    """1,000 published products with one SKU each, in stock."""
    category = category_id_of("bench")
    await together(shop, "catalog", [CreateCategory(category_id=category, name="Bench", slug="bench")])
    await together(shop, "inventory", [OpenWarehouse(code="LON", name="London", country="GB", priority=0)])
    for start in range(0, len(SKUS), 100):
        part = SKUS[start : start + 100]
        products: list[Command] = []
        for sku in part:
            product_id = product_id_of(sku)
            products += [
                CreateProduct(product_id=product_id, title=f"Thing {sku}", slug=sku.lower(), category_id=category),
                AddVariant(product_id=product_id, sku=sku),
                ChangePrice(product_id=product_id, sku=sku, price=PRICE),
                PublishProduct(product_id=product_id),
            ]
        await together(shop, "catalog", products)
        await together(shop, "inventory", [ReceiveUnits(sku=sku, warehouse="LON", quantity=units) for sku in part])

    waiter = Waiter(main_dsn(shop.settings), MODELS, shop.shop.logs)
    logs = [shop.shop.logs[log] for log in ("catalog", "inventory")]
    async with waiter.running():
        for log in logs:
            if not await waiter.wait(["catalog_pages"], token_of(log, await log.head()), 60.0):
                raise RuntimeError("the catalogue's pages do not show the goods within a minute")


async def together(shop: Opened, log: str, commands: list[Command]) -> None:
    """Carries out commands in one unit."""

    async def handler(work: Work) -> None:
        for command in commands:
            await handle(work, command)

    await shop.shop.run(log, _STAFF, handler)
