"""/api/v1/account/watches: what the caller wants to be told of: a SKU can be had again, or costs less."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import JSONBody, PathParameter

from emporium.application import watches
from emporium.domain.base import Money
from emporium.domain.watch import Watch
from emporium.http.auth import person
from emporium.http.bodies import Body, Currency, Sku
from emporium.http.caching import tagged
from emporium.http.consistency import token_after
from emporium.http.idempotency import Answer, once
from emporium.http.reply import Headers, Reply
from emporium.http.request import Request, actor_of

__all__ = ["WatchController", "WatchView", "watch_view"]

Kind = Literal["back_in_stock", "price_drop"]
WatchedSku = Annotated[str, PathParameter(max_length=64, description="The SKU.")]
WatchKind = Annotated[Kind, PathParameter(description="For what it is watched.")]


class AddWatchBody(Body, frozen=True, kw_only=True):
    """What to watch a SKU for: `back_in_stock` while it cannot be had, `price_drop` at its price of now.

    `currency` is that of the price; the shop's own where it is left out.
    """

    sku: Sku
    kind: Kind
    currency: Currency | None = None


class WatchView(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched; `price` is the one below which the next message comes."""

    sku: str
    kind: str
    price: Money | None
    since: datetime


class WatchList(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the caller watches, the oldest first; at most 200."""

    items: list[WatchView]


class WatchController(Controller):
    """Watches."""

    path = "/account/watches"
    tags = ["account"]
    guards = [person]

    @get("/", opt={"tagged": True})
    async def list_watches(self, request: Request) -> Reply[WatchList]:
        """Everything that the caller watches."""
        session = await request.customer()
        found = await watches.listed(request.services.shop, session.customer)
        return tagged(request, WatchList(items=[watch_view(one) for one in found]))

    @post("/", status_code=201, opt={"idempotent": True})
    async def add_watch(self, request: Request, data: JSONBody[AddWatchBody]) -> Reply[WatchView]:
        """Watches a SKU. Back in stock is told once, then the watch has ended; price drops are told each time."""
        session = await request.customer()
        return await once(
            request,
            "accounts",
            actor_of(session),
            lambda found: Answer.of(watch_view(found), location="/api/v1/account/watches"),
            lambda keep: watches.add(
                request.services.shop,
                customer_id=session.customer,
                sku=data.sku,
                kind=data.kind,
                currency=data.currency or request.services.shop.currency,
                cause=request.cause(actor_of(session), ""),
                keep=keep,
            ),
        )

    @delete("/{sku:str}/{watch:str}", status_code=204)
    async def remove_watch(self, request: Request, sku: WatchedSku, watch: WatchKind) -> Reply[None]:
        """Watches it no more."""
        session = await request.customer()
        committed = await watches.remove(
            request.services.shop,
            customer_id=session.customer,
            sku=sku,
            kind=watch,
            cause=request.cause(actor_of(session), ""),
        )
        headers: Headers = [(b"consistency-token", token_after(request, "accounts", committed.position))]
        return Reply(b"", 204, headers)


def watch_view(one: Watch) -> WatchView:
    """A watch as its owner sees it."""
    return WatchView(sku=one.sku, kind=one.kind, price=one.price, since=one.at)
