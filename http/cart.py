"""/api/v1/cart: the caller's cart, be it a customer's or an anonymous one that a signed token names."""

from functools import lru_cache
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType

from emporium.application import carts
from emporium.application.carts import CartView
from emporium.application.ports import Meta as Cause
from emporium.application.work import Committed
from emporium.domain.base import Money
from emporium.domain.cart import CART_EMPTY, NOTE_MOST, ClearCart, RemoveCartCoupon, RemoveCartItem, cart_id_of
from emporium.domain.promotion import code_of
from emporium.http.bodies import Body, CartQuantity, Currency, Language, Sku
from emporium.http.caching import tagged
from emporium.http.consistency import includes, token_after
from emporium.http.idempotency import Answer, once
from emporium.http.reply import Headers, Reply
from emporium.http.request import Request, actor_of, cart_of_header

__all__ = ["CartController", "Owner", "owner_of"]


ItemSku = Annotated[str, PathParameter(max_length=64, description="A SKU in the cart.")]


class AddItem(Body, frozen=True, kw_only=True):
    """Units to put into the cart, beside those that are there."""

    sku: Sku
    quantity: CartQuantity = 1
    currency: Currency | None = None


class ChangeItem(Body, frozen=True, kw_only=True):
    """The units that the item shall have."""

    quantity: CartQuantity


CouponCode = Annotated[str, PathParameter(max_length=64, description="A coupon code in the cart.")]


class UseCoupon(Body, frozen=True, kw_only=True):
    """A coupon code; upper and lower case are the same."""

    code: Annotated[str, Meta(pattern=r"^ *[A-Za-z0-9][A-Za-z0-9_-]{0,31} *$", examples=["WELCOME"])]


class ChangeCart(Body, frozen=True, kw_only=True):
    """What the buyer wants to tell the shop (null: nothing), and in which language to be written to."""

    note: Annotated[str, Meta(min_length=1, max_length=NOTE_MOST)] | UnsetType | None = UNSET
    language: Language | UnsetType = UNSET


class ItemAdded(msgspec.Struct, frozen=True, omit_defaults=True):
    """The item as it is now, and how many items the cart holds. `cart_token` names an anonymous cart: keep it."""

    cart_id: UUID
    sku: str
    quantity: int
    unit_price: Money
    items: int
    cart_token: str | None = None


class CouponInCart(msgspec.Struct, frozen=True, kw_only=True):
    """A code that is in the cart now."""

    cart_id: UUID
    code: str


class Owner(msgspec.Struct, frozen=True):
    """Whose cart a request means; `cart` is None where an anonymous caller has none yet."""

    cart: UUID | None
    customer: UUID | None
    actor: str


_cart_id_of = lru_cache(10_000)(cart_id_of)


async def owner_of(request: Request) -> Owner:
    """The caller as the owner of a cart. Raises Problem."""
    session = await request.caller()
    if session is not None:
        return Owner(_cart_id_of(session.customer), session.customer, actor_of(session))
    cart = cart_of_header(request)
    return Owner(cart, None, "anonymous" if cart is None else f"guest:{cart}")


def _cause(request: Request, owner: Owner, cart: UUID) -> Cause:
    return request.cause(owner.actor if owner.cart is not None else f"guest:{cart}", cart)


def _written(request: Request, committed: Committed) -> Headers:
    if not committed.position:
        return []
    return [(b"consistency-token", token_after(request, "ordering", committed.position))]


class CartController(Controller):
    """The cart."""

    path = "/cart"
    tags = ["cart"]

    @get("/", opt={"tagged": True, "cart": True})
    async def show(self, request: Request) -> Reply[CartView]:
        """The cart, each item with what changed since it was added and how many can be had; what the codes take off."""
        await includes(request)
        owner = await owner_of(request)
        view = await carts.view(request.services.shop, owner.cart, request.services.shop.currency)
        return tagged(request, view)

    @post("/items", status_code=201, opt={"idempotent": True, "cart": True})
    async def add(self, request: Request, data: JSONBody[AddItem]) -> Reply[ItemAdded]:
        """Puts units into the cart; an anonymous caller without a cart gets one, named by `Cart-Token`."""
        owner = await owner_of(request)
        services = request.services
        cart_id = owner.cart or uuid4()
        anonymous = cart_id if owner.customer is None else None

        return await once(
            request,
            "ordering",
            owner.actor,
            lambda added: Answer.of(added, location=f"/api/v1/cart/items/{data.sku}", cart=anonymous),
            lambda keep: carts.add(
                services.shop,
                services.recent,
                cart_id=cart_id,
                customer_id=owner.customer,
                sku=data.sku,
                quantity=data.quantity,
                currency=data.currency or services.shop.currency,
                cause=_cause(request, owner, cart_id),
                keep=keep,
                new=owner.cart is None,
            ),
        )

    @patch("/items/{sku:str}", opt={"cart": True})
    async def change(self, request: Request, sku: ItemSku, data: JSONBody[ChangeItem]) -> Reply[CartView]:
        """Sets the units of an item."""
        owner, cart = await self._cart(request)
        services = request.services
        _, committed = await carts.change(
            services.shop,
            cart_id=cart,
            sku=sku,
            quantity=data.quantity,
            cause=_cause(request, owner, cart),
        )
        view = await carts.view(services.shop, cart, services.shop.currency)
        return Reply.of(view, 200, _written(request, committed))

    @delete("/items/{sku:str}", status_code=200, opt={"cart": True})
    async def remove(self, request: Request, sku: ItemSku) -> Reply[CartView]:
        """Takes an item out."""
        owner, cart = await self._cart(request)
        shop = request.services.shop
        command = RemoveCartItem(cart_id=cart, sku=sku, at=shop.clock.now())
        committed = await shop.execute(command, _cause(request, owner, cart))
        return Reply.of(await carts.view(shop, cart, shop.currency), 200, _written(request, committed))

    @patch("/", opt={"cart": True})
    async def choose(self, request: Request, data: JSONBody[ChangeCart]) -> Reply[CartView]:
        """Sets the note to the shop, or the language in which the buyer wants to be written to."""
        owner, cart = await self._cart(request)
        shop = request.services.shop
        cause = _cause(request, owner, cart)
        _, committed = await carts.choose(shop, cart_id=cart, note=data.note, language=data.language, cause=cause)
        return Reply.of(await carts.view(shop, cart, shop.currency), 200, _written(request, committed))

    @post("/coupons", status_code=201, opt={"idempotent": True, "cart": True})
    async def use_coupon(self, request: Request, data: JSONBody[UseCoupon]) -> Reply[CouponInCart]:
        """Puts a coupon code into the cart. What it takes off is shown with the cart and in quotes."""
        owner, cart = await self._cart(request)
        shop, code = request.services.shop, code_of(data.code)
        return await once(
            request,
            "ordering",
            owner.actor,
            lambda _: Answer.of(CouponInCart(cart_id=cart, code=code), location="/api/v1/cart"),
            lambda keep: carts.add_coupon(
                shop, cart_id=cart, code=code, cause=_cause(request, owner, cart), keep=lambda: keep(None)
            ),
        )

    @delete("/coupons/{code:str}", status_code=200, opt={"cart": True})
    async def leave_coupon(self, request: Request, code: CouponCode) -> Reply[CartView]:
        """Takes a coupon code out."""
        owner, cart = await self._cart(request)
        shop = request.services.shop
        command = RemoveCartCoupon(cart_id=cart, code=code_of(code), at=shop.clock.now())
        committed = await shop.execute(command, _cause(request, owner, cart))
        return Reply.of(await carts.view(shop, cart, shop.currency), 200, _written(request, committed))

    @delete("/", status_code=200, opt={"cart": True})
    async def clear(self, request: Request) -> Reply[CartView]:
        """Takes everything out."""
        owner, cart = await self._cart(request)
        shop = request.services.shop
        committed = await shop.execute(ClearCart(cart_id=cart, at=shop.clock.now()), _cause(request, owner, cart))
        return Reply.of(await carts.view(shop, cart, shop.currency), 200, _written(request, committed))

    @staticmethod
    async def _cart(request: Request) -> tuple[Owner, UUID]:
        owner = await owner_of(request)
        if owner.cart is None:
            raise CART_EMPTY()
        return owner, owner.cart
