"""/api/v1/checkout: an order number at once; what happens to the order is told at /api/v1/orders/{number}."""

from typing import Annotated

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import Meta

from emporium.application import checkout
from emporium.application.checkout import Details, Placed
from emporium.application.ports import Address
from emporium.domain.base import Money
from emporium.domain.cart import CART_EMPTY
from emporium.domain.order import PENDING
from emporium.http.bodies import Body, Code, Currency, Line
from emporium.http.cart import owner_of
from emporium.http.idempotency import Answer, once
from emporium.http.reply import Reply
from emporium.http.request import Request

__all__ = ["CheckoutController"]


class ShippingAddress(Body, frozen=True, kw_only=True):
    """Where the parcels go; `country` is ISO 3166 alpha-2."""

    name: Line
    lines: Annotated[list[Line], Meta(min_length=1, max_length=4)]
    city: Line
    postcode: Annotated[str, Meta(min_length=1, max_length=20)]
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$", examples=["GB"])]


class CheckOut(Body, frozen=True, kw_only=True):
    """What is still needed to make an order of the cart.

    Attributes:
        email: where the shop writes to; an account's own where it is left out.
        payment_method: a payment method of the provider; the sandbox knows `pm_ok`, `pm_declined` …
        accept_prices: take the prices of now also where they differ from those in the cart.
        currency: only a check: the cart's own.
    """

    shipping_address: ShippingAddress
    email: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    payment_method: Code = "pm_ok"
    accept_prices: bool = False
    currency: Currency | None = None


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The order that was placed. `order_token` (header Order-Token) lets a guest see it: keep it."""

    order_number: str
    status: str
    goods: Money
    shipping: Money
    total: Money
    order_token: str | None = None


class CheckoutController(Controller):
    """Checkout."""

    path = "/checkout"
    tags = ["checkout"]

    @post("/", status_code=202, opt={"idempotent": True, "cart": True})
    async def check_out(self, request: Request, data: JSONBody[CheckOut]) -> Reply[Accepted]:
        """Makes an order of the cart: all of its items, at the prices of now."""
        owner = await owner_of(request)
        if owner.cart is None:
            raise CART_EMPTY()
        cart_id, services, to = owner.cart, request.services, data.shipping_address
        details = Details(
            email=data.email,
            ship_to=Address(to.name, tuple(to.lines), to.city, to.postcode, to.country),
            payment_method=data.payment_method,
            accept_prices=data.accept_prices,
            currency=data.currency,
        )

        def answer(placed: Placed) -> Answer:
            content = Accepted(placed.number, PENDING, placed.goods, placed.shipping, placed.total)
            guest = placed.order_id if owner.customer is None else None
            return Answer.of(content, 202, location=f"/api/v1/orders/{placed.number}", order=guest)

        return await once(
            request,
            "ordering",
            owner.actor,
            answer,
            lambda keep: checkout.place(
                services.shop,
                cart_id=cart_id,
                customer_id=owner.customer,
                details=details,
                shipping=services.shipping,
                cause=request.cause(owner.actor, cart_id),
                keep=keep,
            ),
        )
