"""The whole API under made-up requests, as every kind of caller: no 5xx, no status and no answer that the OpenAPI
document does not know, and most operations are seen to succeed.

The short form makes EMPORIUM_FUZZ_CALLS requests; `make fuzz` makes a hundred thousand.
"""

import asyncio
import hashlib
import hmac
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import hypothesis
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, strategies
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from emporium.domain.product import product_id_of
from emporium.infra.settings import Settings, load
from tests.http.client import ADDRESS, PASSWORD, Caller, House
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess

CALLERS: Final = ("customer", "admin", "nobody", "support", "warehouse", "catalog_manager", "analyst", "auditor")
_OFTEN: Final = ("customer", "admin", *CALLERS)
"""Those who may do most ask most."""

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_REACHED: Final = 0.8
UNTOUCHED: Final = frozenset({"POST /api/v1/account/erasure"})
"""What would end a caller for good."""


HOME: Final = {"name": "Ada King", "lines": ["12 St James's Square"], "city": "London", "postcode": "SW1Y 4JH",
               "country": "GB"}  # fmt: skip
MUG: Final = str(product_id_of("MUG"))
OFFER: Final = {"name": "Ten off", "kind": "percentage", "percent": "10"}

# Made-up requests hardly ever make sense, so each of these does once: caller, operation, body, and as what the made
# thing's id is known afterwards. `{name=value}` is this value whatever else is known.
SENSIBLE: Final[tuple[tuple[str, str, Any, str | None], ...]] = (
    ("customer", "POST /api/v1/account/addresses", HOME, "address_id"),
    ("customer", "GET /api/v1/account/addresses/{address_id}", None, None),
    ("customer", "PUT /api/v1/account/addresses/{address_id}", HOME, None),
    ("customer", "DELETE /api/v1/account/addresses/{address_id}", None, None),
    ("customer", "POST /api/v1/account/addresses", HOME, "address_id"),
    ("customer", "POST /api/v1/account/watches", {"sku": "POT", "kind": "price_drop"}, None),
    ("customer", "DELETE /api/v1/account/watches/{sku}/{watch}", None, None),
    ("customer", "POST /api/v1/account/payment-methods", {"method": "pm_ok"}, "method_id"),
    ("customer", "PUT /api/v1/account/payment-methods/{method_id}/default", None, None),
    ("customer", "DELETE /api/v1/account/payment-methods/{method_id}", None, None),
    ("admin", "POST /api/v1/admin/api-keys", {"name": "Scanner", "scopes": ["warehouse:read"]}, "key_id"),
    ("admin", "DELETE /api/v1/admin/api-keys/{key_id}", None, None),
    ("admin", "POST /api/v1/admin/invitations", {"email": "sam@example.org", "roles": ["support"]}, "invitation_id"),
    ("admin", "DELETE /api/v1/admin/invitations/{invitation_id}", None, None),
    ("admin", "PATCH /api/v1/admin/settings", {"legal_name": "Emporium Ltd"}, None),
    ("admin", "PUT /api/v1/admin/search/synonyms/{group}", {"words": ["sofa", "couch"]}, None),
    ("admin", "POST /api/v1/admin/promotions", {"code": "TEN", "promotion": OFFER}, "code"),
    ("admin", "PUT /api/v1/admin/promotions/{code}", OFFER, None),
    ("admin", "PUT /api/v1/admin/search/placements/{code}", {"query": "mug", "pins": [MUG]}, None),
    ("admin", "DELETE /api/v1/admin/search/placements/{code}", None, None),
    ("nobody", "POST /api/v1/search/outcomes", {"q": "mug", "kind": "click", "product_id": MUG}, None),
    ("customer", "POST /api/v1/cart/coupons", {"code": "TEN"}, None),
    ("customer", "DELETE /api/v1/cart/coupons/{code}", None, None),
    ("admin", "DELETE /api/v1/admin/promotions/{code}", None, None),
    ("admin", "POST /api/v1/admin/promotions", {"code": "TENMORE", "promotion": OFFER}, "code"),
    ("customer", "POST /api/v1/checkout/quotes", {"country": "GB"}, "quote_id"),
    ("admin", "POST /api/v1/inventory/receive", {"sku": "MUG", "warehouse": "LON", "quantity": 50}, None),
    ("admin", "POST /api/v1/inventory/adjust",
     {"sku": "MUG", "warehouse": "LON", "change": -1, "reason": "broken"}, None),
    ("admin", "POST /api/v1/inventory/warehouses",
     {"code": "EDI", "name": "Edinburgh", "country": "GB", "priority": 2}, "code"),
    ("admin", "PATCH /api/v1/inventory/warehouses/{code}", {"name": "Leith"}, None),
    ("admin", "PUT /api/v1/inventory/levels/{warehouse}/{sku}/mark", {"mark": 3}, None),
    ("admin", "POST /api/v1/inventory/counts", {"warehouse": "LON", "lines": [{"sku": "MUG", "counted": 60}]},
     "count_id"),
    ("admin", "GET /api/v1/inventory/counts/{count_id}", None, None),
    ("admin", "POST /api/v1/inventory/transfers",
     {"source": "LON", "target": "EDI", "lines": [{"sku": "MUG", "quantity": 3}]}, "transfer_id"),
    ("admin", "GET /api/v1/inventory/transfers/{transfer_id}", None, None),
    ("admin", "POST /api/v1/inventory/transfers/{transfer_id}/arrive",
     {"lines": [{"sku": "MUG", "quantity": 1}]}, None),
    ("admin", "POST /api/v1/inventory/transfers/{transfer_id}/lose", {"reason": "gone"}, None),
    ("admin", "DELETE /api/v1/inventory/warehouses/{code}", None, None),
    ("admin", "POST /api/v1/webhooks", {"url": "http://127.0.0.1:9/hook", "topics": ["ordering.OrderCreated"]},
     "endpoint"),
    ("admin", "GET /api/v1/webhooks/{endpoint}", None, None),
    ("admin", "PATCH /api/v1/webhooks/{endpoint}", {"topics": ["shipping.OrderShipped"]}, None),
    ("admin", "POST /api/v1/webhooks/{endpoint}/rotate", {}, None),
    ("admin", "GET /api/v1/notifications/templates/{kind}", None, None),
    ("admin", "GET /api/v1/notifications/templates/{kind}/page", None, None),
    ("admin", "PUT /api/v1/admin/staff/{customer_id}/roles", {"roles": ["support"]}, None),
    ("admin", "POST /api/v1/admin/categories", {"name": "Mugs"}, "category_id"),
    ("admin", "GET /api/v1/admin/categories/{category_id}", None, None),
    ("admin", "PATCH /api/v1/admin/categories/{category_id}", {"name": "Cups", "slug": "cups"}, None),
    ("admin", "PUT /api/v1/admin/categories/{category_id}/parent", {"parent": None}, None),
    ("admin", "PUT /api/v1/admin/categories/{category_id}/attributes/{name=volume}", {"kind": "number"}, None),
    ("admin", "DELETE /api/v1/admin/categories/{category_id}/attributes/{name=volume}", None, None),
    ("admin", "GET /api/v1/products/categories/{category=cups}", None, None),
    ("nobody", "GET /api/v1/products/{product=mug}/prices", None, None),
    ("admin", "POST /api/v1/admin/products", {"title": "Enamel mug"}, "product_id"),
    ("admin", "GET /api/v1/admin/products/{product_id}", None, None),
    ("admin", "GET /api/v1/admin/products/{product_id}/history", None, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/variants", {"sku": "ENAMEL"}, None),
    ("admin", "PUT /api/v1/admin/products/{product_id}/variants/{sku=ENAMEL}/prices/{currency=GBP}", {"amount": 950},
     None),
    ("admin", "POST /api/v1/admin/products/{product_id}/price-schedules",
     {"sku": "ENAMEL", "price": {"amount": 900, "currency": "GBP"}, "starts_at": "2100-01-01T00:00:00Z"},
     "schedule_id"),
    ("admin", "DELETE /api/v1/admin/products/{product_id}/price-schedules/{schedule_id}", None, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/publish", None, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/archive", None, None),
    ("admin", "POST /api/v1/admin/products", {"title": "Tin mug"}, "product_id"),
    ("admin", "POST /api/v1/admin/products/{product_id}/variants", {"sku": "TIN"}, None),
    ("admin", "DELETE /api/v1/admin/products/{product_id}/variants/{sku=TIN}", None, None),
    ("customer", "POST /api/v1/checkout", {"shipping_address": ADDRESS}, None),
    ("customer", "POST /api/v1/cart/items", {"sku": "MUG"}, None),
    ("admin", "PUT /api/v1/orders/{number}/shipping-address", ADDRESS, None),
    ("admin", "POST /api/v1/orders/{number}/reorder", {}, None),
    ("admin", "GET /api/v1/orders/{number}/events", None, None),
    ("admin", "GET /api/v1/admin/orders/{number}", None, None),
    ("admin", "POST /api/v1/admin/orders/{number}/notes", {"text": "Called."}, None),
    ("admin", "POST /api/v1/admin/orders/{number}/messages", {"message": "order_created"}, None),
    ("admin", "POST /api/v1/admin/orders/{number}/release", {}, None),
    ("admin", "POST /api/v1/admin/orders/search", {"email": "fuzz@example.org"}, None),
    ("admin", "POST /api/v1/admin/orders",
     {"email": "fuzz@example.org", "lines": [{"sku": "MUG"}], "shipping_address": ADDRESS}, None),
    ("customer", "POST /api/v1/cart/items", {"sku": "POT"}, None),
    ("customer", "PATCH /api/v1/cart/items/{sku}", {"quantity": 2}, None),
    ("warehouse", "GET /api/v1/shipments/{number}/parcels/{parcel}/label", None, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/pack", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/ship", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/deliver", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/lose", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/return", {}, None),
    ("customer", "POST /api/v1/reviews", {"product": "mug", "rating": 4, "text": "Keeps warm."}, "review_id"),
    ("customer", "PATCH /api/v1/reviews/{review_id}", {"rating": 5}, None),
    ("admin", "POST /api/v1/reviews/{review_id}/helpful", {"helpful": True}, None),
    ("admin", "POST /api/v1/reviews/{review_id}/reports", {"reason": "spam"}, None),
    ("admin", "POST /api/v1/reviews/{review_id}/decision", {"edition": 2, "publish": True}, None),
    ("admin", "PUT /api/v1/reviews/{review_id}/answer", {"answer": "Thank you!"}, None),
    ("customer", "GET /api/v1/reviews/{review_id}/history", None, None),
    ("support", "GET /api/v1/admin/orders", None, None),
    ("admin", "GET /api/v1/webhooks/{endpoint}/deliveries", None, None),
    ("admin", "PUT /api/v1/notifications/subscriptions", {"channels": ["email"]}, None),
    ("customer", "PUT /api/v1/recommendations/viewed/{product}", None, None),
    ("customer", "POST /api/v1/account/password/reset/request", {"email": "fuzz@example.org"}, None),
)  # fmt: skip


TOLD = "/api/v1/shipments/webhooks/sandbox"


class Fuzz:
    """One shop, its callers, and what came of the calls."""

    def __init__(self, house: House, callers: dict[str, Caller], known: dict[str, list[Any]]) -> None:
        self.house = house
        self.callers = callers
        self.known = known
        self.people: dict[str, UUID] = {}
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)

    def better(self, chance: random.Random, case: Any) -> None:
        """Puts what exists in the place of what was made up, now and then: else hardly anything would be found."""
        for name, value in dict(case.path_parameters or {}).items():
            if name in self.known and chance.random() < 0.7:
                case.path_parameters[name] = chance.choice(self.known[name])
            elif not str(value):
                case.path_parameters[name] = "x"
        for name in dict(case.query or {}):
            if name in self.known and chance.random() < 0.7:
                case.query[name] = chance.choice(self.known[name])
        if isinstance(case.body, dict):
            self._fill(chance, case.body)

    def _fill(self, chance: random.Random, body: dict[str, Any]) -> None:
        for name, value in body.items():
            if name in self.known and chance.random() < 0.7:
                body[name] = chance.choice(self.known[name])
            elif isinstance(value, dict):
                self._fill(chance, value)

    async def make_sense(self) -> None:
        """Carries out SENSIBLE."""
        for who, operation, body, made in SENSIBLE:
            method, path = re.sub(r"\{\w+=([^}]*)\}", r"\1", operation).split(" ")
            for name, values in self.known.items():
                path = path.replace(f"{{{name}}}", str(values[-1]))
            answer = await self.callers[who].call(method, path, body)
            assert answer.status_code < 300, f"{operation}: {answer.text}"
            self.statuses[re.sub(r"=[^}]*", "", operation)][answer.status_code] += 1
            if made is not None:
                self.known.setdefault(made, []).append(answer.json().get(made) or answer.json()[f"{made}_id"])

    async def call(self, case: Any, caller: str) -> httpx.Response:
        kwargs = case.as_transport_kwargs(base_url="http://shop")
        made_up = {name.lower(): value for name, value in (kwargs.get("headers") or {}).items() if _sane(value)}
        headers = {**made_up, **self.callers[caller].headers}
        headers.pop("consistency-token", None)
        request = httpx.Request(
            kwargs["method"], kwargs["url"], params=kwargs.get("params"), headers=headers, json=kwargs.get("json"),
            content=kwargs.get("data"),
        )  # fmt: skip
        answer = await self.house.client.send(request)
        if answer.status_code == 401 and caller != "nobody":
            # Some operations end sessions, which is their use: who was thrown out comes back.
            token = await self.house.services.sessions.create(self.people[caller], [caller])
            self.callers[caller].headers["authorization"] = f"Bearer {token}"
        self.statuses[f"{case.method.upper()} {case.operation.path}"][answer.status_code] += 1
        return answer


def _sane(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


@pytest.fixture
def fuzz(settings: Settings, folder: Path) -> Iterator[tuple[asyncio.Runner, Fuzz]]:
    """A shop with its saga, and callers of every role who have bought something."""
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox, asyncio.Runner() as runner:
        there = msgspec.structs.replace(
            settings,
            provider_url=sandbox.url,
            carrier_url=sandbox.url,
            limit_account="9999999/1",
            stream_seconds=0.01,
            private_webhooks=True,
            carrier_webhook_secret="secret",
        )
        opened = running(there, saga=True, search=True)
        house = runner.run(opened.__aenter__())
        try:
            yield runner, runner.run(_furnish(house))
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def _furnish(house: House) -> Fuzz:
    callers = {"nobody": house.guest(), "customer": await house.register("fuzz@example.org")}
    for role in set(CALLERS) - set(callers):
        callers[role] = await house.staff(role)
    numbers = []
    for caller in callers.values():
        await caller.add()
        placed = await caller.check_out()
        assert placed.status_code == 202, placed.text
        numbers.append(placed.json()["order_number"])
    await house.order_is(callers["customer"], numbers[1], "confirmed")
    for caller in callers.values():
        await caller.add()
    known: dict[str, list[Any]] = {
        "number": numbers, "order_number": numbers, "sku": ["MUG", "TEA", "POT"], "warehouse": ["LON"],
        "product": ["mug", "tea"], "parcel": [1], "country": ["GB", "DE"], "currency": ["GBP"], "line": [1],
        "email": ["fuzz@example.org", "new@example.org"], "password": [PASSWORD], "shipping_address": [ADDRESS],
        "quantity": [1, 2], "payment_method": ["pm_ok"], "postcode": ["SW1Y 4JH"], "role": ["support"],
        "watch": ["price_drop"],
        "group": ["sofas"],
    }  # fmt: skip
    shop = Fuzz(house, callers, known)
    for name, caller in callers.items():
        if name != "nobody":
            shop.people[name] = await house.customer_id(caller)
    await house.labelled(callers["admin"], numbers[1])
    shop.known |= {"number": [*numbers, numbers[1]], "kind": ["order_created"]}
    shop.known["customer_id"] = [str(shop.people["support"])]
    await shop.make_sense()
    await _more_of_shipping(shop)
    listed = f"/orders/{numbers[1]}/documents"
    [invoice] = (await house.until(callers["customer"], listed, lambda body: body["items"]))["items"]
    shop.known["document"] = [invoice["number"]]
    return shop


async def _more_of_shipping(shop: Fuzz) -> None:
    """What needs more than one call: a parcel that no carrier takes, one that comes back, and a carrier's word."""
    guest, warehouse, customer = shop.house.guest(), shop.callers["warehouse"], shop.callers["customer"]

    async def surely(operation: str, body: Any, **parts: Any) -> None:
        answer = await warehouse.call("POST", operation.format(**parts), body)
        assert answer.status_code < 300, answer.text
        shop.statuses[f"POST {operation}"][answer.status_code] += 1

    await guest.add()
    await guest.check_out(shipping_address={**ADDRESS, "name": "REFUSED"})
    queue = await shop.house.until(warehouse, "/shipments/refused", lambda body: body["items"])
    refused = queue["items"][0]["order_number"]
    await surely("/api/v1/shipments/{number}/parcels/{parcel}/retry", None, number=refused, parcel=1)
    delivered = shop.known["number"][-1]
    await shop.house.order_is(customer, delivered, "fulfilled")
    back = {"lines": [{"line": 1, "quantity": 1}], "reason": "broken"}
    await surely("/api/v1/orders/{number}/returns", back, number=delivered)
    body, at = b'{"id": "1", "tracking_number": "SBX9", "status": "delivered"}', str(int(time.time()))
    digest = hmac.new(b"secret", at.encode() + b"." + body, hashlib.sha256).hexdigest()
    told = await shop.house.client.post(TOLD, content=body, headers={"sandbox-signature": f"t={at},v1={digest}"})
    assert (told.status_code, told.json()) == (200, {"changed": False}), told.text
    shop.statuses[f"POST {TOLD}"][told.status_code] += 1


@pytest.mark.timeout(900)
def test_the_api_keeps_its_promises_whatever_is_asked(fuzz: tuple[asyncio.Runner, Fuzz]) -> None:
    runner, shop = fuzz
    document = runner.run(shop.house.client.get("/api/v1/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [one.ok() for one in schema.get_all_operations()]
    operations = [one for one in operations if f"{one.method.upper()} {one.path}" not in UNTOUCHED]
    each = max(1, load().fuzz_calls // len(operations) // 2)
    chance = random.Random(1)
    broken: list[str] = []
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _examine(runner, shop, operation, mode, each, chance)
            except FailureGroup as failures:
                broken += [f"{operation.method.upper()} {operation.path}: {one}" for one in failures.exceptions]
    assert not broken, "\n\n".join(broken)
    total = sum(sum(one.values()) for one in shop.statuses.values())
    succeeded = {name for name, seen in shop.statuses.items() if any(status < 300 for status in seen)}
    missed = {name: dict(seen) for name, seen in sorted(shop.statuses.items()) if name not in succeeded}
    assert total >= load().fuzz_calls * 0.9, f"only {total} calls"
    assert len(succeeded) >= _REACHED * len(operations), f"never seen to succeed: {missed}"


def _examine(
    runner: asyncio.Runner, shop: Fuzz, operation: Any, mode: GenerationMode, count: int, chance: random.Random
) -> None:
    try:
        cases = operation.as_strategy(generation_mode=mode)
    except Exception:  # nothing about this operation can be wrong
        return

    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], derandomize=True,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @hypothesis.given(case=cases, caller=strategies.sampled_from(_OFTEN))
    def ask(case: Any, caller: str) -> None:
        if mode is GenerationMode.POSITIVE:
            shop.better(chance, case)
        answer = runner.run(shop.call(case, caller))
        case.validate_response(answer, checks=CHECKS)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        return
