"""/api/v1/account: everything that is held about the caller, and its erasure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from emporium.application import accounts, addresses, erasure, guest_orders, payment_methods, watches
from emporium.application.ports import Recorded, Vault
from emporium.domain.base import Sealed
from emporium.domain.cart import cart_id_of
from emporium.domain.customer import CUSTOMER
from emporium.domain.order import ORDER, TERMINAL
from emporium.domain.payment import payment_id_of
from emporium.domain.shipment import shipment_id_of
from emporium.domain.watch import watches_id
from emporium.http import browsers
from emporium.http.account import GivenPassword
from emporium.http.account_security import prove
from emporium.http.auth import person
from emporium.http.bodies import Body
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.http.watches import WatchView, watch_view
from emporium.projections import order_history, picture_owners
from emporium.projections.consistency import token_of
from emporium.projections.order_history import ORDER_HISTORY

__all__ = ["DataController"]

_PAGE = 100
PATIENCE = 5.0
"""Seconds for which the list of orders may take to be complete."""


class HeldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the account or to an order, in clear."""

    at: datetime
    name: str
    actor: str
    facts: dict[str, Any]


class HeldOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order with its history, that of its payment and its parcels too."""

    order_number: str
    status: str
    history: list[HeldEvent]


class HeldSession(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is logged in."""

    device: str | None
    created_at: datetime
    last_seen_at: datetime


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """A product that the customer looked at."""

    product_id: UUID
    at: datetime


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is held about a customer."""

    made_at: datetime
    profile: accounts.Profile
    preferences: dict[str, list[str]]
    addresses: list[addresses.SavedAddress]
    payment_methods: list[payment_methods.MethodView]
    watches: list[WatchView]
    sessions: list[HeldSession]
    history: list[HeldEvent]
    cart: list[HeldEvent]
    orders: list[HeldOrder]
    notifications: list[HeldEvent]
    reviews: list[HeldEvent]
    views: list[HeldView]
    pictures: list[str]


class Erase(Body, frozen=True, kw_only=True):
    """The account's password, as there is no way back."""

    password: GivenPassword


class DataController(Controller):
    """What is held about a person."""

    path = "/account"
    tags = ["account"]
    guards = [person]

    @get("/export")
    async def export(self, request: Request) -> Reply[Held]:
        """Everything that is held about the caller, as one JSON document."""
        session = await request.customer()
        shop, customer_id = request.services.shop, session.customer
        profile = await accounts.profile(shop, customer_id)
        customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
        if profile is None or customer is None:
            raise KINDS.not_found()
        orders = await _orders(request, customer_id)
        held = Held(
            made_at=shop.clock.now(),
            profile=profile,
            preferences={channel: list(topics) for channel, topics in customer.preferences.items()},
            addresses=await addresses.book(shop, customer_id),
            payment_methods=await payment_methods.methods(shop, customer_id),
            watches=[watch_view(one) for one in await watches.listed(shop, customer_id)],
            sessions=[
                HeldSession(device=one.device, created_at=one.created_at, last_seen_at=one.last_seen_at)
                for one in await request.services.sessions.list(customer_id)
            ],
            history=await _events(
                request, "accounts", customer_id, watches_id(customer_id), *await erasure.invitations(shop, customer_id)
            ),
            cart=await _events(request, "ordering", cart_id_of(customer_id)),
            orders=[
                HeldOrder(order_number=number, status=status, history=await _story(request, order_id))
                for order_id, number, status in orders
            ],
            notifications=await _about(
                request, "notifications", [customer_id, *(order_id for order_id, _, _ in orders)]
            ),
            reviews=await _about(request, "reviews", [customer_id]),
            views=[
                HeldView(product_id=product_id, at=at)
                for product_id, at in await request.services.adviser.held(cart_id_of(customer_id))
            ],
            pictures=await request.services.reads.run(lambda connection: picture_owners.held(connection, customer_id)),
        )
        headers = [
            (b"cache-control", b"no-store"),
            (b"content-disposition", b'attachment; filename="emporium-account.json"'),
        ]
        return Reply.of(held, 200, headers)

    @post("/erasure", status_code=204)
    async def erase(self, request: Request, data: JSONBody[Erase]) -> Reply[None]:
        """Erases the caller for good, unless orders or returns are open. Orders stay, without the person."""
        session = await request.customer()
        services, customer_id = request.services, session.customer
        await prove(request, data.password)
        cause = request.cause(actor_of(session), "")
        # What was ordered without logging in belongs to the person too.
        await guest_orders.claim(services.shop, customer_id, cause)
        orders, returns = [], []
        for order_id, number, _ in await _orders(request, customer_id):
            order, _ = await services.shop.logs["ordering"].load(ORDER, order_id, fresh=True)
            if order is not None and order.status not in TERMINAL:
                orders.append(number)
            if order is not None and any(one.is_open for one in order.returns.values()):
                returns.append(number)
        if orders or returns:
            raise (KINDS.orders_open if orders else KINDS.returns_open)(values={"orders": orders, "returns": returns})
        await erasure.erase(
            services.shop,
            services.sessions,
            services.traces,
            customer_id=customer_id,
            reason="asked for by the customer",
            cause=cause,
        )
        return Reply(b"", 204, [(b"set-cookie", browsers.clearing())])


async def _orders(request: Request, customer_id: UUID) -> list[tuple[UUID, str, str]]:
    """Id, number and status of all orders of the account, up to this moment. Raises Problem (not_yet_visible)."""
    services = request.services
    log = services.shop.logs["ordering"]
    if not await services.waiter.wait([ORDER_HISTORY.name], token_of(log, await log.head()), PATIENCE):
        raise KINDS.not_yet_visible(headers={"Retry-After": "1"})
    found = []
    cursor: str | None = None
    while True:
        after = cursor
        page = await services.reads.run(
            lambda connection, after=after: order_history.orders_of_customer(  # type: ignore[misc]
                connection, customer_id, limit=_PAGE, cursor=after
            )
        )
        found += [(row.order_id, row.number, row.status) for row in page.items]
        if page.next is None:
            return found
        cursor = page.next


async def _about(request: Request, log: str, subjects: Sequence[UUID]) -> list[HeldEvent]:
    """What a context keeps under the account or the order that it is about: messages that were sent; reviews, votes."""
    events, vault = request.services.shop.logs[log], request.services.shop.vault
    return [await _clear(vault, one) for subject in subjects for one in await events.by_correlation(str(subject))]


async def _story(request: Request, order_id: UUID) -> list[HeldEvent]:
    """What happened to an order, the oldest first."""
    found = await _events(request, "ordering", order_id)
    found += await _events(request, "payments", payment_id_of(order_id))
    found += await _events(request, "shipping", shipment_id_of(order_id))
    return sorted(found, key=lambda one: one.at)


async def _events(request: Request, log: str, *streams: UUID) -> list[HeldEvent]:
    vault, events = request.services.shop.vault, request.services.shop.logs[log]
    return [await _clear(vault, one) for stream in streams for one in await events.stream(stream)]


_SECRETS = ("password", "secret", "recovery", "code", "token", "payment_token")


async def _clear(vault: Vault, one: Recorded) -> HeldEvent:
    """The event with its sealed values in clear; what proves who somebody is stays out."""
    facts: dict[str, Any] = {}
    for field in one.event.__struct_fields__:
        value = getattr(one.event, field)
        if value is msgspec.UNSET or field in _SECRETS:
            continue
        if isinstance(value, Sealed):
            await vault.load_keys([value.subject])
            value = vault.unseal(value, one.stream, field)
            if isinstance(value, dict):
                value = {name: part for name, part in value.items() if name not in _SECRETS}
        facts[field] = value
    return HeldEvent(at=one.at, name=type(one.event).__name__, actor=one.meta.actor, facts=facts)
