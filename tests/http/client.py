"""The words in which tests of the gateway speak: a house with a catalogue, and callers of its gateway."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import httpx

from emporium.application import accounts
from emporium.application.bootstrap import Doors, Opened
from emporium.application.catalog import write
from emporium.application.mail_tokens import make, secret_of, ticket_of
from emporium.application.ports import Meta
from emporium.domain.base import Event, Money
from emporium.domain.customer import EmailVerificationRequested
from emporium.domain.product import AddVariant, ChangePrice, CreateProduct, PublishProduct, product_id_of
from emporium.domain.stock import AdjustStock, ReceiveUnits
from emporium.domain.warehouse import OpenWarehouse
from emporium.http.app import create_app
from emporium.http.main import open_services
from emporium.http.services import Services
from emporium.projections.consistency import token_of

__all__ = ["ADDRESS", "API", "PASSWORD", "Caller", "House"]

API = "/api/v1"
PASSWORD = "correct horse battery"
ADDRESS = {
    "name": "Ada King",
    "lines": ["12 St James's Square"],
    "city": "London",
    "postcode": "SW1Y 4JH",
    "country": "GB",
}
STAFF = Meta("test", "request:test", "staff:test")
GOODS = {"MUG": 500, "TEA": 350, "POT": 2_000}

_numbers = itertools.count(1)

E = TypeVar("E", bound=Event)


class Caller:
    """Somebody with an HTTP client: remembers the tokens that the gateway gives."""

    def __init__(self, client: httpx.AsyncClient, token: str | None = None) -> None:
        self.client = client
        self.headers: dict[str, str] = {} if token is None else {"authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One request; keyword `idempotency_key` becomes the header `idempotency-key`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.request(method, path, json=body, headers={**self.headers, **more})
        for name in ("cart-token", "order-token", "consistency-token"):
            if name in response.headers:
                self.headers[name] = response.headers[name]
        return response

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.call("GET", API + path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.call("POST", API + path, body, **headers)

    async def add(self, sku: str = "MUG", quantity: int = 1) -> httpx.Response:
        """Puts something into the cart."""
        return await self.post("/cart/items", {"sku": sku, "quantity": quantity})

    async def check_out(self, *, idempotency_key: str | None = None, **more: Any) -> httpx.Response:
        """Checks the cart out; `more` goes into the body."""
        headers = {} if idempotency_key is None else {"idempotency_key": idempotency_key}
        body = {"email": "ada@example.org", "shipping_address": ADDRESS, **more}
        return await self.post("/checkout", body, **headers)


class House:
    """A shop and its gateway."""

    def __init__(self, opened: Opened, services: Services, client: httpx.AsyncClient) -> None:
        self.opened = opened
        self.shop = opened.shop
        self.services = services
        self.client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, opened: Opened, doors: Doors) -> AsyncIterator["House"]:
        """The gateway on an open shop."""
        async with open_services(opened, doors) as services:
            edge = create_app(services)
            transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)  # type: ignore[arg-type]
            async with edge.running(), httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                yield cls(opened, services, client)

    async def stock_up(self, units: int = 100) -> None:
        """Opens a warehouse, puts the goods on sale, and waits until they show."""
        await self.shop.execute(OpenWarehouse(code="LON", name="London", country="GB", priority=0), STAFF)
        position = inventory = 0
        for sku, pence in GOODS.items():
            position, inventory = await self._sell(sku, pence, units, "LON")
        await self.shows("catalog", position, "catalog_pages")
        await self.shows("inventory", inventory, "catalog_pages", "stock_levels")

    async def stock_demo(self) -> None:
        """Puts on sale what the docs and the examples in the API's document name, where they say that it lies."""
        await self.shop.execute(OpenWarehouse(code="GB-LEEDS", name="Leeds", country="GB", priority=1), STAFF)
        await self._sell("DEMO-CHARGER-UK", 2_400, 1_000, "GB-LEEDS")
        catalog, inventory = await self._sell("DEMO-MUG-SAND", 1_250, 1_000, "GB-LEEDS", "demo-tideline-stoneware-mug")
        await self.shows("catalog", catalog, "catalog_pages")
        await self.shows("inventory", inventory, "catalog_pages", "stock_levels")

    async def _sell(self, sku: str, pence: int, units: int, warehouse: str, slug: str | None = None) -> tuple[int, int]:
        product = product_id_of(sku)
        commands = (
            CreateProduct(product_id=product, title=sku.title(), slug=slug or sku.lower()),
            AddVariant(product_id=product, sku=sku),
            ChangePrice(product_id=product, sku=sku, price=Money(pence, "GBP")),
            PublishProduct(product_id=product),
        )
        catalog = (await write(self.shop, product, commands, STAFF))[1].position
        received = ReceiveUnits(sku=sku, warehouse=warehouse, quantity=units)
        return catalog, (await self.shop.execute(received, STAFF)).position

    async def receive(self, sku: str, units: int) -> None:
        """Books units in, and waits until they show."""
        receive = ReceiveUnits(sku=sku, warehouse="LON", quantity=units)
        await self.shows("inventory", (await self.shop.execute(receive, STAFF)).position, "catalog_pages")

    async def adjust(self, sku: str, change: int) -> None:
        """Books units out (or in), and waits until it shows."""
        adjust = AdjustStock(sku=sku, warehouse="LON", change=change, reason="counted")
        await self.shows("inventory", (await self.shop.execute(adjust, STAFF)).position, "catalog_pages")

    async def pause(self, model: str, *, paused: bool = True) -> None:
        """Stops a read model from moving on, or lets it."""
        await self.opened.reads.query(
            "UPDATE emporium_projection_status SET paused = %b WHERE model = %b RETURNING model", [paused, model]
        )

    async def until(self, caller: Caller, path: str, good: Callable[[Any], bool]) -> Any:
        """What a path tells, once it is good."""
        async with asyncio.timeout(20):
            while True:
                answer = await caller.get(path)
                if answer.status_code == 200 and good(answer.json()):
                    return answer.json()
                await self.shop.logs["ordering"].wait(await self.shop.logs["ordering"].head(), 0.05)

    async def order_is(self, caller: Caller, number: str, status: str) -> Any:
        """The order, once it has a status."""
        return await self.until(caller, f"/orders/{number}", lambda body: body["status"] == status)

    async def labelled(self, caller: Caller, number: str) -> Any:
        """The shipment, once every parcel has its label."""
        return await self.until(
            caller, f"/shipments/{number}", lambda body: all(one["labelled_at"] for one in body["parcels"])
        )

    async def shows(self, log: str, position: int, *models: str) -> None:
        """Waits until the read models include a position."""
        token = token_of(self.shop.logs[log], position)
        assert await self.services.waiter.wait(models, token, 10.0)

    async def register(self, email: str | None = None) -> Caller:
        """A customer who has logged in."""
        email = email or f"somebody{next(_numbers)}@example.org"
        caller = Caller(self.client)
        made = await caller.post("/account/register", {"email": email, "password": PASSWORD})
        assert made.status_code == 201, made.text
        return await self.log_in(email)

    async def staff(self, *roles: str) -> Caller:
        """A member of staff who has logged in."""
        email = f"staff{next(_numbers)}@example.org"
        await accounts.create_staff(self.shop, email=email, password=PASSWORD, roles=roles or ("admin",), cause=STAFF)
        return await self.log_in(email)

    async def log_in(self, email: str) -> Caller:
        caller = Caller(self.client)
        answer = await caller.post("/account/login", {"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return Caller(self.client, answer.json()["token"])

    async def events(self, log: str, kind: type[E]) -> list[E]:
        """All events of a kind, in their order."""
        events, _ = await self.shop.logs[log].read(0, 10_000, topics=[f"{log}.{kind.__name__}"])
        return [one.event for one in events if isinstance(one.event, kind)]

    async def link(self, kind: type[Event]) -> str:
        """The token of the link in the message about the newest event of a kind."""
        ticket = ticket_of((await self.events("accounts", kind))[-1])
        assert ticket is not None
        return make(secret_of(self.shop.vault), ticket)

    async def verified(self, email: str | None = None) -> Caller:
        """A customer who has logged in and proved to own the address."""
        caller = await self.register(email)
        answer = await caller.post("/account/verification", {"token": await self.link(EmailVerificationRequested)})
        assert answer.status_code == 200, answer.text
        return caller

    def guest(self) -> Caller:
        """Somebody without an account."""
        return Caller(self.client)

    async def customer_id(self, caller: Caller) -> UUID:
        return UUID((await caller.get("/account/me")).json()["customer_id"])
