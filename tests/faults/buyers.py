"""Customers of a fleet over HTTP, who do what good clients do: repeat with the same key until they have an answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from emporium.application.ports import Meta, Unavailable
from emporium.domain.base import Money, Rejected
from emporium.domain.product import AddVariant, ChangePrice, CreateProduct, PublishProduct, product_id_of
from emporium.domain.stock import AdjustStock, ReceiveUnits
from emporium.domain.warehouse import OpenWarehouse
from emporium.infra.settings import StartupProblem
from tests.support.fleet import Fleet, until

__all__ = ["ADDRESS", "API", "Buyer", "client_of", "lose", "stock"]

API = "/api/v1"
ADDRESS = {
    "name": "Ada King",
    "lines": ["12 St James's Square"],
    "city": "London",
    "postcode": "SW1Y 4JH",
    "country": "GB",
}
_STAFF = Meta("stocking", "request:stocking", "staff:test")
_AGAIN = frozenset({"in_flight", "conflict", "unavailable", "overloaded", "not_yet_visible"})


@asynccontextmanager
async def client_of(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    """A client that takes a new connection for every request, so that all gateways get some."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=fleet.address, limits=limits, timeout=20, verify=False) as client:
        yield client


class Buyer:
    """One guest.

    Attributes:
        headers: the tokens that the gateway gave.
        gateways: the gateway processes that have answered, each by the prefix of its request ids.
    """

    def __init__(self, client: httpx.AsyncClient, patience: float = 60.0) -> None:
        self._client = client
        self._patience = patience
        self.headers: dict[str, str] = {}
        self.gateways: set[str] = set()

    async def once(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One request, as it is."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self._client.request(method, API + path, json=body, headers={**self.headers, **more})
        for name in ("cart-token", "order-token"):
            if name in answer.headers:
                self.headers[name] = answer.headers[name]
        self.gateways.add(answer.headers.get("x-request-id", "").partition("-")[0])
        return answer

    async def surely(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """The request, repeated with one Idempotency-Key until there is an answer that stands.

        Raises AssertionError for a 500, and where no answer comes in time.
        """
        key = uuid4().hex
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                answer = await self.once(method, path, body, idempotency_key=key, **headers)
                assert answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR, answer.text
                if answer.is_success or answer.json()["type"].rpartition("/")[2] not in _AGAIN:
                    return answer
            except httpx.TransportError as error:
                assert asyncio.get_running_loop().time() < deadline, f"{method} {path}: {error!r}"
            assert asyncio.get_running_loop().time() < deadline, f"{method} {path}: no answer in time"
            await asyncio.sleep(0.1)

    async def fill(self, items: Mapping[str, int]) -> None:
        """Puts things into the cart."""
        for sku, quantity in items.items():
            added = await self.surely("POST", "/cart/items", {"sku": sku, "quantity": quantity})
            assert added.status_code == httpx.codes.CREATED, added.text

    async def check_out(self, method: str = "pm_ok") -> httpx.Response:
        """Makes an order of the cart."""
        return await self.surely("POST", "/checkout", wish(method))


def wish(method: str = "pm_ok") -> dict[str, Any]:
    """The body of a checkout."""
    return {"email": "ada@example.org", "shipping_address": ADDRESS, "payment_method": method}


async def stock(fleet: Fleet, units: Mapping[str, int], pence: int = 500) -> None:
    """Puts SKUs on sale and into the one warehouse, and waits until the gateway offers them."""
    async with fleet.opened() as opened:
        shop = opened.shop
        await shop.execute(OpenWarehouse(code="LON", name="London", country="GB", priority=0), _STAFF)
        for sku, count in units.items():
            product = product_id_of(sku)
            for command in (
                CreateProduct(product_id=product, title=sku.title(), slug=sku.lower()),
                AddVariant(product_id=product, sku=sku),
                ChangePrice(product_id=product, sku=sku, price=Money(pence, "GBP")),
                PublishProduct(product_id=product),
                ReceiveUnits(sku=sku, warehouse="LON", quantity=count),
            ):
                await shop.execute(command, _STAFF)

        async def offered() -> bool:
            found = await shop.offers.offers(list(units), "GBP")
            return all(sku in found and found[sku].available == count for sku, count in units.items())

        await until(offered, 30.0, lambda: f"{list(units)} are not offered")


async def lose(fleet: Fleet, sku: str, units: int) -> None:
    """Books units out that orders count on already; where orders have taken too many for that, none."""

    async def lost() -> bool:
        try:
            async with fleet.opened() as opened:
                command = AdjustStock(sku=sku, warehouse="LON", change=-units, reason="broken")
                await opened.shop.execute(command, _STAFF)
        except Rejected:
            return True  # also after an answer that was lost
        except (Unavailable, StartupProblem, psycopg.OperationalError):
            return False
        return True

    await until(lost, 30.0, lambda: f"{sku} cannot be booked out")
