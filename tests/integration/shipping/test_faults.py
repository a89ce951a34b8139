"""A carrier that fails in every way at every call: one label for each parcel, everything arrives, nothing is stuck."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from emporium.application import bootstrap
from emporium.domain.order import FULFILLED
from emporium.domain.shop_settings import BusinessAddress, Changes, ChangeShopSettings
from emporium.infra import carrier_easypost
from emporium.infra.carrier_easypost import EasyPostCarrier
from emporium.infra.carrier_http import HttpCarrier
from tests.support.easypost import KEY, EasyPost
from tests.support.saga import Saga, running, until

ORDERS = 3
THERE = {"name": "Ann", "lines": ["1 High Street"], "city": "York", "postcode": "YO1 7HH", "country": "GB"}
LATE = ("timer.unshipped", "timer.cart_expiry", "effect.payment_deadline", "effect.void_label")


async def everything_arrives(saga: Saga) -> None:
    """Orders of two parcels each."""
    await saga.stock(LON={"MUG": 9}, BER={"TEA": 9})
    orders = [await saga.order(ship_to=THERE, MUG=1, TEA=1) for _ in range(ORDERS)]
    for order_id in orders:
        await saga.becomes(order_id, FULFILLED, within=60)
        story = (await saga.story(order_id))["shipping"]
        for step in ("ParcelLabelled", "ParcelPacked", "OrderShipped", "ParcelDelivered"):
            assert story.count(step) == 2, story
        assert "ParcelRefused" not in story

    async def settled() -> bool:
        soon = saga.shop.clock.now() + timedelta(days=400)
        tasks = [task for log in saga.shop.logs.values() for task in await log.due_tasks(soon, 1_000)]
        return all(task.kind in LATE for task in tasks)

    await until(settled, saga.shop.logs["shipping"], 20)
    picture = (await bootstrap.observe(saga.opened.settings)).picture
    assert not picture.parked_tasks


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "error", "garbage", "down"])
async def test_the_sandbox_goes_wrong_at_every_call(
    database: str, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(bootstrap, "HttpCarrier", partial(HttpCarrier, timeout=0.5))
    async with running(database, folder) as saga:
        for call in ("book", "hand_over", "track"):
            saga.sandbox.faults(fault, 2, call)
        await everything_arrives(saga)
        _, left = saga.sandbox.ask("POST", "/debug/faults", {"fault": fault, "count": 0, "operation": "summary"})
        assert left == []
        assert saga.sandbox.state()["parcels"] == 2 * ORDERS


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "error", "garbage", "limited", "drop"])
async def test_easypost_goes_wrong_at_every_call(
    database: str, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(carrier_easypost, "EasyPostCarrier", partial(EasyPostCarrier, timeout=1))
    with EasyPost().serving() as post:
        post.moving = True
        easypost: dict[str, Any] = {"carrier": "easypost", "easypost_api_key": KEY, "easypost_api_base": post.url}
        async with running(database, folder, settings=easypost) as saga:
            home = BusinessAddress(
                name="Emporium", lines=("2 Low Road",), city="Leeds", postcode="LS1 1UR", country="GB"
            )
            await saga.execute(ChangeShopSettings(changes=Changes(sender_address=home), at=saga.shop.clock.now()))
            post.faults += [(call, fault) for call in ("find", "address", "create", "buy", "track")]
            await everything_arrives(saga)
            assert post.faults == []
            assert len(post.bought) == 2 * ORDERS
            assert len({one["reference"] for one in post.bought}) == 2 * ORDERS
            assert {one["selected_rate"]["carrier"] for one in post.bought} == {"RoyalMail"}
