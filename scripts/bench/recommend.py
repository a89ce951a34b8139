"""Suggestions on a year of a real shop's invoices: how often they name something of a customer's next basket."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import click
import msgspec
import numpy as np

from emporium.application.bootstrap import open_doors
from emporium.application.recommend import Basket, Model, Taste, Trainer
from emporium.infra.settings import Settings
from emporium.scripts.bench.fleet import fleet, opened, stocked
from emporium.scripts.bench.load import Connection, request, throughput
from emporium.scripts.bench.result import Result, against, at_least
from emporium.scripts.bench.saga import orders

__all__ = ["results"]

_LAST_DAYS: Final = 28
_FIRST: Final = 10
_REACH: Final = 1.2
_NAMES: Final = UUID("5f0c6a52-40f0-4c5c-9a0f-4f0b36d3a001")
_CUSTOMERS: Final = 200
_ORDERS: Final = 5
_CLIENTS: Final = 32
_PATIENCE: Final = 120
_QUIET: Final = 3.0


class _Shopper(msgspec.Struct):
    """A customer at the time of the split: the days on which places were bought, and what came next."""

    bought: dict[int, list[date]]
    following: frozenset[int]
    row: int


async def results(settings: Settings) -> list[Result]:
    """Hit rate in the first ten of each customer's next basket, with and without what was bought before, against the
    better of popularity and item-item cosine; all choose among all products sold before. Raises click.UsageError
    where the file is not there."""
    file = settings.bench_online_retail
    if not file.is_file():
        raise click.UsageError(f"There is no {file}: name the year's file with EMPORIUM_BENCH_ONLINE_RETAIL.")
    return [*await asyncio.to_thread(_measure, file), await _speed(settings)]


async def _speed(settings: Settings) -> Result:
    """Personal suggestions a second over HTTP, for many customers with orders of their own."""
    with fleet(settings) as running:
        async with opened(running) as shop, open_doors(shop) as doors:
            await stocked(shop)
            chance = random.Random(1)
            tokens = []
            for _ in range(_CUSTOMERS):
                customer = uuid4()
                await orders(shop, [uuid4() for _ in range(_ORDERS)], chance, customer)
                tokens.append(await doors.sessions.create(customer, ["customer"]))
            asks = [request("GET", "/api/v1/recommendations/me", authorization=f"Bearer {token}") for token in tokens]
            connection = await Connection.open(running.address)
            began = time.perf_counter()
            for ask in asks:
                while b'"like_bought"' not in (await connection.exchange(ask)).body:
                    if time.perf_counter() - began > _PATIENCE:
                        raise RuntimeError("no personal suggestions after two minutes")
                    await asyncio.sleep(0.05)
            connection.close()
            # What the saga makes of the orders is not what is measured.
            log = shop.shop.logs["ordering"]
            while await log.wait(await log.head(), _QUIET):
                pass
            rate = await throughput(
                running.address, _CLIENTS, 5.0, lambda which, number: asks[(which * 7 + number) % len(asks)], 200
            )
    return at_least("recommend", rate, "/s", 3_000)


def _measure(file: Any) -> list[Result]:
    import scipy.sparse as sp

    from emporium.scripts.retail.file import read
    from emporium.scripts.retail.sorting import sort_out

    sales = [
        (deed.sale.order_id, deed.customer, deed.at.date(), sorted({line.code for line in deed.sale.lines}))
        for deed in sort_out(read(file)).deeds()
        if deed.sale is not None
    ]
    split = sales[-1][2] - timedelta(_LAST_DAYS)
    past = [sale for sale in sales if sale[2] < split]
    ids = {code: uuid5(_NAMES, code) for _, _, _, codes in past for code in codes}
    trainer = Trainer()
    trainer.update(
        Basket(order, order if customer is None else uuid5(_NAMES, customer), day, tuple(ids[code] for code in codes))
        for order, customer, day, codes in past
    )
    began = time.perf_counter()
    model = trainer.model()
    trained = time.perf_counter() - began

    shoppers: dict[str, _Shopper] = {}
    for _, customer, day, codes in past:
        if customer is not None:
            one = shoppers.setdefault(customer, _Shopper({}, frozenset(), len(shoppers)))
            for code in codes:
                one.bought.setdefault(model.place[ids[code]], []).append(day)
    for _, customer, day, codes in sales:
        known = None if customer is None else shoppers.get(customer)
        if day >= split and known is not None and not known.following:
            known.following = frozenset(model.place[ids[code]] for code in codes if code in ids)
    tested = [one for one in shoppers.values() if one.following]

    pairs = [(one.row, place) for one in shoppers.values() for place in one.bought]
    table = sp.csr_matrix((np.ones(len(pairs)), tuple(zip(*pairs, strict=True))), shape=(len(shoppers), len(ids)))
    counts = np.zeros(len(ids))
    for _, _, _, codes in past:
        for code in codes:
            counts[model.place[ids[code]]] += 1
    norms = np.sqrt(np.maximum(np.asarray(table.sum(axis=0)).ravel(), 1))
    scaled = table.multiply(1 / norms).tocsr()
    cosine = (scaled.T @ scaled).tocsr()

    def best(scores: Any, without: Any) -> list[int]:
        scores[without] = -1.0
        return [int(place) for place in np.argsort(-scores, kind="stable")[:_FIRST]]

    made = []
    for repeats, name in ((True, "with repeats"), (False, "new to them")):
        hits: dict[str, int] = defaultdict(int)
        among = 0
        for one in tested:
            wanted = one.following if repeats else one.following - one.bought.keys()
            if not wanted:
                continue
            among += 1
            own = [] if repeats else list(one.bought)
            taste = Taste(bought={model.products[place]: days for place, days in one.bought.items()})
            for method, found in (
                ("popularity", best(counts.copy(), own)),
                ("cosine", best(np.asarray((table[one.row] @ cosine).todense()).ravel(), own)),
                ("recent popularity", best(model.trend.copy(), own)),
                ("ours", [model.place[it.product_id] for it in model.personal(taste, split, _FIRST, again=repeats)]),
            ):
                hits[method] += not wanted.isdisjoint(found)
        rate = {method: 100 * count / max(among, 1) for method, count in hits.items()}
        floor = max(rate["popularity"], rate["cosine"])
        made.append(against(f"hit rate {name}", rate["ours"], "%", floor, _REACH))
        made += [
            Result(name=f"  {method}", value=rate[method], unit="%", goal=f"to compare, {among} customers")
            for method in ("popularity", "cosine", "recent popularity")
        ]
    made.append(Result(name="training", value=trained, unit="s", goal="to compare"))
    made.append(Result(name="asked in memory", value=_rate(model, tested, split), unit="/s", goal="to compare"))
    return made


def _rate(model: Model, shoppers: Sequence[_Shopper], today: date) -> float:
    tastes = [
        Taste(bought={model.products[place]: days for place, days in one.bought.items()}) for one in shoppers[:500]
    ]
    began = time.perf_counter()
    for taste in tastes:
        model.personal(taste, today, _FIRST)
    return len(tastes) / (time.perf_counter() - began)
