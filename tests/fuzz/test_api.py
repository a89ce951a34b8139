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
import pyotp
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

from emporium.domain.customer import (
    EmailChangeAnnounced,
    EmailChangeRequested,
    EmailVerificationRequested,
    PasswordResetRequested,
)
from emporium.domain.invitation import StaffInvited
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


MUG: Final = str(product_id_of("MUG"))

# Made-up requests hardly ever make sense, so each of these does once: caller, operation, what its body has otherwise
# than the example in the API's document (None: no body), and as what the made thing's id is known afterwards.
# `{name=value}` is this value whatever else is known.
SENSIBLE: Final[tuple[tuple[str, str, Any, str | None], ...]] = (
    ("customer", "PUT /api/v1/account/profile", {}, None),
    ("customer", "PUT /api/v1/account/preferences", {}, None),
    ("customer", "POST /api/v1/account/addresses", {}, "address_id"),
    ("customer", "GET /api/v1/account/addresses/{address_id}", None, None),
    ("customer", "PUT /api/v1/account/addresses/{address_id}", {}, None),
    ("customer", "DELETE /api/v1/account/addresses/{address_id}", None, None),
    ("customer", "POST /api/v1/account/addresses", {}, "address_id"),
    ("customer", "POST /api/v1/account/watches", {}, None),
    ("customer", "DELETE /api/v1/account/watches/{sku}/{watch}", None, None),
    ("customer", "POST /api/v1/account/payment-methods", {}, "method_id"),
    ("customer", "PUT /api/v1/account/payment-methods/{method_id}/default", None, None),
    ("customer", "DELETE /api/v1/account/payment-methods/{method_id}", None, None),
    ("admin", "POST /api/v1/admin/api-keys", {}, "key_id"),
    ("admin", "DELETE /api/v1/admin/api-keys/{key_id}", None, None),
    ("admin", "POST /api/v1/admin/invitations", {}, "invitation_id"),
    ("admin", "DELETE /api/v1/admin/invitations/{invitation_id}", None, None),
    ("admin", "PATCH /api/v1/admin/settings", {}, None),
    ("admin", "PUT /api/v1/admin/search/synonyms/{group}", {}, None),
    ("admin", "POST /api/v1/admin/promotions", {}, "code"),
    ("admin", "PUT /api/v1/admin/promotions/{code}", {}, None),
    ("admin", "PUT /api/v1/admin/search/placements/{code}", {"pins": [MUG]}, None),
    ("admin", "DELETE /api/v1/admin/search/placements/{code}", None, None),
    ("nobody", "POST /api/v1/search/outcomes", {"product_id": MUG}, None),
    ("customer", "POST /api/v1/cart/coupons", {}, None),
    ("customer", "DELETE /api/v1/cart/coupons/{code}", None, None),
    ("admin", "DELETE /api/v1/admin/promotions/{code}", None, None),
    ("admin", "POST /api/v1/admin/promotions", {"code": "TENMORE"}, "code"),
    ("customer", "POST /api/v1/checkout/quotes", {}, "quote_id"),
    ("warehouse", "POST /api/v1/inventory/receive", {}, None),
    ("warehouse", "POST /api/v1/inventory/adjust", {}, None),
    ("admin", "POST /api/v1/inventory/warehouses", {}, "code"),
    ("admin", "PATCH /api/v1/inventory/warehouses/{code}", {}, None),
    ("admin", "PUT /api/v1/inventory/levels/{warehouse}/{sku}/mark", {}, None),
    ("catalog_manager", "PUT /api/v1/inventory/backorders/{sku}", {}, None),
    ("warehouse", "GET /api/v1/inventory/backorders/{sku}", None, None),
    ("warehouse", "DELETE /api/v1/inventory/backorders/{sku}", None, None),
    ("admin", "POST /api/v1/inventory/counts", {}, "count_id"),
    ("admin", "GET /api/v1/inventory/counts/{count_id}", None, None),
    ("admin", "POST /api/v1/inventory/transfers", {}, "transfer_id"),
    ("admin", "GET /api/v1/inventory/transfers/{transfer_id}", None, None),
    ("admin", "POST /api/v1/inventory/transfers/{transfer_id}/arrive", {}, None),
    ("admin", "POST /api/v1/inventory/transfers/{transfer_id}/lose", {}, None),
    ("admin", "DELETE /api/v1/inventory/warehouses/{code}", None, None),
    ("admin", "POST /api/v1/webhooks", {}, "endpoint"),
    ("admin", "GET /api/v1/webhooks/{endpoint}", None, None),
    ("admin", "PATCH /api/v1/webhooks/{endpoint}", {}, None),
    ("admin", "POST /api/v1/webhooks/{endpoint}/rotate", {}, None),
    ("admin", "POST /api/v1/webhooks/{endpoint}/replay", {}, None),
    ("admin", "GET /api/v1/notifications/templates/{kind}", None, None),
    ("admin", "GET /api/v1/notifications/templates/{kind}/page", None, None),
    ("admin", "PUT /api/v1/admin/staff/{customer_id}/roles", {}, None),
    ("admin", "POST /api/v1/admin/categories", {}, "category_id"),
    ("admin", "GET /api/v1/admin/categories/{category_id}", None, None),
    ("admin", "PATCH /api/v1/admin/categories/{category_id}", {}, None),
    ("admin", "PUT /api/v1/admin/categories/{category_id}/parent", {}, None),
    ("admin", "PUT /api/v1/admin/categories/{category_id}/attributes/{name=volume}", {}, None),
    ("admin", "DELETE /api/v1/admin/categories/{category_id}/attributes/{name=volume}", None, None),
    ("nobody", "GET /api/v1/products/{product=mug}/prices", None, None),
    ("admin", "POST /api/v1/admin/products", {}, "product_id"),
    ("admin", "GET /api/v1/admin/products/{product_id}", None, None),
    ("admin", "GET /api/v1/admin/products/{product_id}/history", None, None),
    ("admin", "PATCH /api/v1/admin/products/{product_id}", {}, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/variants", {}, None),
    ("admin", "PUT /api/v1/admin/products/{product_id}/variants/{sku=ENAMEL}/prices/{currency=GBP}", {}, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/price-schedules", {}, "schedule_id"),
    ("admin", "DELETE /api/v1/admin/products/{product_id}/price-schedules/{schedule_id}", None, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/publish", None, None),
    ("admin", "POST /api/v1/admin/products/{product_id}/archive", None, None),
    ("admin", "POST /api/v1/admin/products", {"title": "Tin mug"}, "product_id"),
    ("admin", "POST /api/v1/admin/products/{product_id}/variants", {"sku": "TIN"}, None),
    ("admin", "DELETE /api/v1/admin/products/{product_id}/variants/{sku=TIN}", None, None),
    ("customer", "POST /api/v1/checkout", {"shipping_address": ADDRESS}, None),
    ("customer", "POST /api/v1/cart/items", {"sku": "MUG"}, None),
    ("customer", "PATCH /api/v1/cart", {}, None),
    ("admin", "PUT /api/v1/orders/{number}/shipping-address", {}, None),
    ("admin", "POST /api/v1/orders/{number}/reorder", {}, None),
    ("admin", "GET /api/v1/orders/{number}/events", None, None),
    ("admin", "GET /api/v1/admin/orders/{number}", None, None),
    ("admin", "POST /api/v1/admin/orders/{number}/notes", {}, None),
    ("admin", "POST /api/v1/admin/orders/{number}/messages", {}, None),
    ("admin", "POST /api/v1/admin/orders/{number}/hold", {}, None),
    ("admin", "POST /api/v1/admin/orders/{number}/release", {}, None),
    ("admin", "POST /api/v1/admin/orders/search", {}, None),
    ("admin", "POST /api/v1/admin/orders", {}, None),
    ("customer", "POST /api/v1/cart/items", {}, None),
    ("customer", "PATCH /api/v1/cart/items/{sku}", {}, None),
    ("warehouse", "GET /api/v1/shipments/{number}/parcels/{parcel}/label", None, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/pack", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/ship", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/deliver", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/lose", {}, None),
    ("warehouse", "POST /api/v1/shipments/{number}/parcels/{parcel}/return", {}, None),
    ("customer", "POST /api/v1/reviews", {"product": "mug"}, "review_id"),
    ("customer", "PATCH /api/v1/reviews/{review_id}", {}, None),
    ("admin", "POST /api/v1/reviews/{review_id}/helpful", {}, None),
    ("admin", "POST /api/v1/reviews/{review_id}/reports", {}, None),
    ("admin", "POST /api/v1/reviews/{review_id}/decision", {}, None),
    ("admin", "PUT /api/v1/reviews/{review_id}/answer", {}, None),
    ("customer", "GET /api/v1/reviews/{review_id}/history", None, None),
    ("admin", "GET /api/v1/admin/orders", None, None),
    ("admin", "GET /api/v1/webhooks/{endpoint}/deliveries", None, None),
    ("admin", "PUT /api/v1/notifications/subscriptions", {}, None),
    ("customer", "PUT /api/v1/recommendations/viewed/{product}", None, None),
)

ELSEWHERE: Final = {"POST /api/v1/shipments/{number}/parcels/{parcel}/give-up": "tests/http/test_shipping.py"}
"""Where an example is carried out that needs more than a sandbox: one of two parcels must be refused."""
OWN: Final = {"token", "code", "product_id", "pins"}
"""What no example can know."""


TOLD = "/api/v1/shipments/webhooks/sandbox"


class Fuzz:
    """One shop, its callers, and what came of the calls."""

    def __init__(self, house: House, callers: dict[str, Caller], known: dict[str, list[Any]]) -> None:
        self.house = house
        self.callers = callers
        self.known = known
        self.people: dict[str, UUID] = {}
        self.examples: dict[str, Any] = {}
        self.carried_out: set[str] = set()
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
            answer = await self.surely(self.callers[who], operation, body)
            if made is not None:
                self.known.setdefault(made, []).append(answer[made] if made in answer else answer[f"{made}_id"])

    async def surely(self, caller: Caller, operation: str, changes: Any = None, **parts: Any) -> Any:
        """One call that must succeed; its body is the example in the document, but for these changes."""
        method, path = re.sub(r"\{\w+=([^}]*)\}", r"\1", operation).split(" ")
        operation = re.sub(r"=[^}]*", "", operation)
        for name, values in self.known.items():
            path = path.replace(f"{{{name}}}", str(parts.get(name, values[-1])))
        path = path.format(**parts)
        example = self.examples.get(operation)
        body = changes if example is None or changes is None else {**example, **changes}
        answer = await caller.call(method, path, body)
        if answer.status_code == 428:
            seen = await caller.call("GET", path)
            answer = await caller.call(method, path, body, if_match=seen.headers["etag"])
        assert answer.status_code < 300, f"{operation}: {answer.text}"
        self.statuses[operation][answer.status_code] += 1
        if example is not None and body is not None and _same(body, example):
            self.carried_out.add(operation)
        return answer.json() if answer.headers.get("content-type") == "application/json" else {}

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


def _same(body: dict[str, Any], example: dict[str, Any]) -> bool:
    return {name for name in body.keys() | example.keys() if body.get(name) != example.get(name)} <= OWN


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
    await house.stock_demo()
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
        "number": numbers, "order_number": numbers, "sku": ["MUG", "TEA", "POT", "DEMO-MUG-SAND"],
        "warehouse": ["LON", "GB-LEEDS"],
        "product": ["mug", "tea"], "parcel": [1], "country": ["GB", "DE"], "currency": ["GBP"], "line": [1],
        "email": ["fuzz@example.org", "new@example.org"], "password": [PASSWORD], "shipping_address": [ADDRESS],
        "quantity": [1, 2], "payment_method": ["pm_ok"], "postcode": ["SW1Y 4JH"], "role": ["support"],
        "watch": ["price_drop"],
        "group": ["sofas"],
    }  # fmt: skip
    shop = Fuzz(house, callers, known)
    document = (await house.client.get("/api/v1/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                shop.examples[f"{method.upper()} {path}"] = content["examples"]["usual"]["value"]
    for name, caller in callers.items():
        if name != "nobody":
            shop.people[name] = await house.customer_id(caller)
    await house.labelled(callers["admin"], numbers[1])
    shop.known |= {"number": [*numbers, numbers[1]], "kind": ["order_created"]}
    shop.known["customer_id"] = [str(shop.people["support"])]
    await shop.make_sense()
    await _more_of_shipping(shop)
    await _more_of_orders(shop)
    await _more_of_accounts(shop)
    listed = f"/orders/{numbers[1]}/documents"
    papers = (await house.until(callers["customer"], listed, lambda body: body["items"]))["items"]
    shop.known["document"] = [one["number"] for one in papers]
    return shop


async def _more_of_shipping(shop: Fuzz) -> None:
    """What needs more than one call: a parcel that no carrier takes, one that comes back, and a carrier's word."""
    guest, warehouse, customer = shop.house.guest(), shop.callers["warehouse"], shop.callers["customer"]
    await guest.add()
    await guest.check_out(shipping_address={**ADDRESS, "name": "REFUSED"})
    queue = await shop.house.until(warehouse, "/shipments/refused", lambda body: body["items"])
    refused = queue["items"][0]["order_number"]
    await shop.surely(warehouse, "POST /api/v1/shipments/{number}/parcels/{parcel}/retry", number=refused)
    delivered = shop.known["number"][-1]
    await shop.house.order_is(customer, delivered, "fulfilled")
    await shop.surely(warehouse, "POST /api/v1/orders/{number}/returns", {})
    body, at = b'{"id": "1", "tracking_number": "SBX9", "status": "delivered"}', str(int(time.time()))
    digest = hmac.new(b"secret", at.encode() + b"." + body, hashlib.sha256).hexdigest()
    told = await shop.house.client.post(TOLD, content=body, headers={"sandbox-signature": f"t={at},v1={digest}"})
    assert (told.status_code, told.json()) == (200, {"changed": False}), told.text
    shop.statuses[f"POST {TOLD}"][told.status_code] += 1


async def _more_of_orders(shop: Fuzz) -> None:
    """An order that is cancelled; and one that is delivered, comes back, and is refunded in part."""
    buyer, staff = await shop.house.register(), shop.callers["admin"]
    numbers = []
    for _ in range(2):
        await shop.surely(buyer, "POST /api/v1/cart/items", {})
        numbers.append((await shop.surely(buyer, "POST /api/v1/checkout", {}))["order_number"])
        if len(numbers) == 1:
            await shop.surely(buyer, "POST /api/v1/orders/{number}/cancel", {}, number=numbers[0])
    number = numbers[1]
    await shop.house.labelled(staff, number)
    for step in ("pack", "ship", "deliver"):
        await shop.surely(staff, f"POST /api/v1/shipments/{{number}}/parcels/{{parcel}}/{step}", {}, number=number)
    await shop.house.order_is(buyer, number, "fulfilled")
    await shop.surely(buyer, "POST /api/v1/reviews", {})
    asked = await shop.surely(buyer, "POST /api/v1/orders/{number}/return-requests", {}, number=number)
    parts = {"number": number, "return_id": asked["return_id"]}
    path = "POST /api/v1/orders/{number}/return-requests/{return_id}"
    await shop.surely(staff, f"{path}/decision", {}, **parts)
    await shop.surely(staff, f"{path}/receipt", {}, **parts)
    await shop.surely(staff, "POST /api/v1/payments/{number}/refunds", {}, number=number)


async def _more_of_accounts(shop: Fuzz) -> None:
    """An account from its registration to its erasure, and one of staff by invitation."""
    house, ada = shop.house, shop.house.guest()

    async def log_in(caller: Caller, **changes: str) -> None:
        answer = await shop.surely(caller, "POST /api/v1/account/login", changes)
        caller.headers["authorization"] = f"Bearer {answer['token']}"

    way = "POST /api/v1/account"
    await shop.surely(ada, f"{way}/register", {})
    await shop.surely(ada, f"{way}/verification", {"token": await house.link(EmailVerificationRequested)})
    await log_in(ada)
    secret = (await shop.surely(ada, f"{way}/two-factor", {}))["secret"]
    code = pyotp.TOTP(secret).now()
    codes = (await shop.surely(ada, f"{way}/two-factor/enable", {"code": code}))["recovery_codes"]
    codes = (await shop.surely(ada, f"{way}/two-factor/recovery-codes", {"code": codes[0]}))["recovery_codes"]
    await shop.surely(ada, f"{way}/two-factor/disable", {"code": codes[0]})
    await shop.surely(ada, f"{way}/email", {})
    for kind in (EmailChangeRequested, EmailChangeAnnounced):
        await shop.surely(ada, f"{way}/email/confirm", {"token": await house.link(kind)})
    await shop.surely(ada, f"{way}/password", {})
    # The old address is free again.
    await shop.surely(ada, f"{way}/register", {})
    await shop.surely(ada, f"{way}/password/reset/request", {})
    await shop.surely(ada, f"{way}/password/reset", {"token": await house.link(PasswordResetRequested)})
    await shop.surely(shop.callers["admin"], "POST /api/v1/admin/invitations", {"email": "pat@example.org"})
    await shop.surely(house.guest(), f"{way}/invitations/accept", {"token": await house.link(StaffInvited)})
    eve = house.guest()
    await shop.surely(eve, f"{way}/register", {"email": "eve@example.org"})
    await log_in(eve, email="eve@example.org")
    await shop.surely(eve, f"{way}/erasure", {})


@pytest.mark.timeout(900)
def test_the_api_keeps_its_promises_whatever_is_asked(fuzz: tuple[asyncio.Runner, Fuzz]) -> None:
    runner, shop = fuzz
    assert sorted(shop.examples.keys() - shop.carried_out - ELSEWHERE.keys()) == [], "examples that nobody carries out"
    document = runner.run(shop.house.client.get("/api/v1/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [one.ok() for one in schema.get_all_operations()]
    operations = [one for one in operations if f"{one.method.upper()} {one.path}" not in UNTOUCHED]
    # Four calls for each, less what can be made up in a few ways only.
    each = load().fuzz_calls // (3 * len(operations)) + 1
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
    assert total >= load().fuzz_calls, f"only {total} calls"
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
    @hypothesis.given(
        case=cases, callers=strategies.tuples(strategies.sampled_from(_OFTEN), strategies.sampled_from(_OFTEN))
    )
    def ask(case: Any, callers: tuple[str, str]) -> None:
        if mode is GenerationMode.POSITIVE:
            shop.better(chance, case)
        # To make a request up takes longer than to answer it: two callers share it.
        for caller in callers:
            answer = runner.run(shop.call(case, caller))
            case.validate_response(answer, checks=CHECKS)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        return
