"""/api/v1/checkout: quotes, and an order number at once; the rest is told at /api/v1/orders/{number}."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from emporium.application import checkout, payment_methods
from emporium.application.checkout import Details, Placed
from emporium.application.ports import Address
from emporium.domain.base import Money
from emporium.domain.cart import CART_EMPTY
from emporium.domain.order import PENDING
from emporium.domain.quote import NO_SUCH_QUOTE, QUOTE, QuoteState
from emporium.http.bodies import Body, Code, Country, Currency, Language, Line
from emporium.http.caching import tagged
from emporium.http.cart import owner_of
from emporium.http.idempotency import Answer, once
from emporium.http.reply import Reply
from emporium.http.request import Request

__all__ = ["CheckoutController"]


class ShippingAddress(Body, frozen=True, kw_only=True):
    """Where the parcels go, or the invoice, as its country writes addresses; `country` is ISO 3166 alpha-2."""

    name: Line
    lines: Annotated[list[Line], Meta(min_length=1, max_length=4)]
    city: Annotated[str, Meta(max_length=100, description="Empty where the country knows none.")]
    postcode: Annotated[str, Meta(max_length=20, description="Empty where the country knows none.")] = ""
    country: Country
    region: Annotated[str, Meta(max_length=100, description="State, province or the like.")] = ""


class AskQuote(Body, frozen=True, kw_only=True):
    """Where the parcels would go."""

    country: Country


class CheckOut(Body, frozen=True, kw_only=True):
    """What is still needed to make an order of the cart.

    Attributes:
        email: where the shop writes to; an account's own where it is left out.
        payment_method: a payment method of the provider; the sandbox knows `pm_ok`, `pm_declined` …
        saved_payment_method: one of the account's own instead of it.
        quote_id: a quote that was accepted: the order is placed only if all is still as it says.
        shipping_method: the code of one of the quote's methods; the first where it is left out.
        accept_prices: take the prices of now also where they differ from those in the cart, or in the quote.
        currency: only a check: the cart's own.
        terms_version: the version of the terms that was read; refused where there is a newer one.
        language: in which to write to the buyer; the cart's, else the shop's first where it is left out.
        billing_address: to whom the order is invoiced, where that is not the shipping address.
    """

    shipping_address: ShippingAddress
    billing_address: ShippingAddress | None = None
    email: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    payment_method: Code = "pm_ok"
    saved_payment_method: UUID | None = None
    quote_id: UUID | None = None
    shipping_method: Code | None = None
    accept_prices: bool = False
    currency: Currency | None = None
    terms_version: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    language: Language | None = None


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The order that was placed.

    Attributes:
        goods: the lines before any discount.
        tax: of everything; contained in the prices where `tax_inclusive`, else added to them.
        total: goods − discount + shipping − shipping_discount, and + tax where the prices do not contain it.
        order_token: (header Order-Token) lets a guest see the order: keep it.
    """

    order_number: str
    status: str
    goods: Money
    discount: Money
    shipping: Money
    shipping_discount: Money
    tax: Money
    tax_inclusive: bool
    total: Money
    shipping_method: str
    order_token: str | None = None


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a quote; its tax is that of the total less the discount, `tax_rate` in percent.

    `later` units of it are there only from `expected` on: again, or for the first time (`kind`).
    """

    sku: str
    title: str
    quantity: int
    unit_price: Money
    total: Money
    discount: Money
    tax: Money
    tax_rate: str
    later: int
    kind: str | None
    expected: date | None


class QuoteCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """A code and what it takes off the goods (nothing, where it pays the shipping)."""

    code: str
    name: str
    discount: Money


class QuoteMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to send the goods: its price, the days on which they arrive, and what everything comes to with it."""

    code: str
    name: str
    earliest: date
    latest: date
    shipping: Money
    shipping_discount: Money
    tax: Money
    total: Money


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """What the cart would come to, for as long as the quote stands."""

    quote_id: UUID
    expires_at: datetime
    country: str
    lines: list[QuoteLine]
    goods: Money
    discount: Money
    coupons: list[QuoteCoupon]
    tax_inclusive: bool
    methods: list[QuoteMethod]
    terms_version: str


def _address(given: ShippingAddress) -> Address:
    return Address(given.name, tuple(given.lines), given.city, given.postcode, given.country, given.region)


class CheckoutController(Controller):
    """Checkout."""

    path = "/checkout"
    tags = ["checkout"]

    @post("/quotes", status_code=201, opt={"idempotent": True, "cart": True})
    async def ask(self, request: Request, data: JSONBody[AskQuote]) -> Reply[QuoteView]:
        """Tells what the cart would come to, with taxes and discounts, by each way in which it can be sent."""
        owner = await owner_of(request)
        if owner.cart is None:
            raise CART_EMPTY()
        cart_id = owner.cart
        return await once(
            request,
            "ordering",
            owner.actor,
            lambda made: Answer.of(_quote(made), 201, location=f"/api/v1/checkout/quotes/{made.quote_id}"),
            lambda keep: checkout.quote(
                request.services.shop,
                cart_id=cart_id,
                country=data.country,
                cause=request.cause(owner.actor, cart_id),
                keep=keep,
            ),
        )

    @get("/quotes/{quote_id:uuid}", opt={"tagged": True, "cart": True})
    async def show(
        self, request: Request, quote_id: Annotated[UUID, PathParameter(description="The quote's id.")]
    ) -> Reply[QuoteView]:
        """A quote that was made for the caller's cart."""
        owner = await owner_of(request)
        quote, _ = await request.services.shop.logs["ordering"].load(QUOTE, quote_id, fresh=True)
        if quote is None or quote.cart_id != owner.cart:
            raise NO_SUCH_QUOTE()
        return tagged(request, _quote(quote))

    @post("/", status_code=202, opt={"idempotent": True, "cart": True})
    async def check_out(self, request: Request, data: JSONBody[CheckOut]) -> Reply[Accepted]:
        """Makes an order of the cart: all of its items, at the prices of now, or as a quote has them."""
        owner = await owner_of(request)
        if owner.cart is None:
            raise CART_EMPTY()
        cart_id, services = owner.cart, request.services
        method, token = data.payment_method, None
        if data.saved_payment_method is not None:
            session = await request.customer()
            method = payment_methods.SAVED
            token = await payment_methods.token_of(services.shop, session.customer, data.saved_payment_method)
        details = Details(
            email=data.email,
            ship_to=_address(data.shipping_address),
            bill_to=None if data.billing_address is None else _address(data.billing_address),
            payment_method=method,
            payment_token=token,
            accept_prices=data.accept_prices,
            currency=data.currency,
            shipping_method=data.shipping_method,
            quote_id=data.quote_id,
            terms_version=data.terms_version,
            language=data.language,
        )

        def answer(placed: Placed) -> Answer:
            guest = placed.order_id if owner.customer is None else None
            return Answer.of(_accepted(placed), 202, location=f"/api/v1/orders/{placed.number}", order=guest)

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
                cause=request.cause(owner.actor, cart_id),
                keep=keep,
            ),
        )


def _accepted(placed: Placed) -> Accepted:
    priced = placed.priced
    return Accepted(
        placed.number,
        PENDING,
        priced.goods,
        priced.discount,
        priced.shipping,
        priced.shipping_discount,
        priced.tax,
        priced.tax_inclusive,
        priced.total,
        priced.method,
    )


def _quote(made: QuoteState) -> QuoteView:
    quoted = made.quoted
    nothing = Money(0, quoted.currency)
    waits = {one.sku: one for one in quoted.waiting}
    return QuoteView(
        quote_id=made.quote_id,
        expires_at=made.expires_at,
        country=quoted.country,
        lines=[
            QuoteLine(
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                unit_price=line.unit_price,
                total=line.total,
                discount=line.discount or nothing,
                tax=line.tax or nothing,
                tax_rate=line.tax_rate or "0",
                later=0 if line.sku not in waits else waits[line.sku].quantity,
                kind=None if line.sku not in waits else waits[line.sku].kind,
                expected=None if line.sku not in waits else waits[line.sku].expected,
            )
            for line in quoted.lines
        ],
        goods=quoted.goods,
        discount=quoted.discount,
        coupons=[QuoteCoupon(code=one.code, name=one.name, discount=one.discount) for one in quoted.coupons],
        tax_inclusive=quoted.tax_inclusive,
        methods=[msgspec.convert(one, QuoteMethod, from_attributes=True) for one in quoted.methods],
        terms_version=quoted.terms_version,
    )
