"""Checkout: from a cart to an order number in one unit; the saga does the rest."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application.accounts import check_email
from emporium.application.ports import Address, Claim, Idempotency, Meta, Taken
from emporium.application.shop import Offer, Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Money, Reason, stream_id
from emporium.domain.cart import (
    CART,
    CART_CHECKED_OUT,
    CART_CURRENCY,
    CART_EMPTY,
    CART_MERGED,
    MERGED,
    CartItem,
    CartState,
    CheckOutCart,
)
from emporium.domain.customer import CUSTOMER
from emporium.domain.order import ORDER, OrderLine, PlaceOrder, order_id_of
from emporium.domain.order_number import order_number
from emporium.domain.text import check_shape, check_text

__all__ = ["Details", "Placed", "ShippingRule", "place"]

EMAIL_NEEDED = Reason("email_needed", "A guest's order needs an e-mail address.", "invalid")
NOT_AVAILABLE = Reason("not_available", "Not everything in the cart is available.")
PRICE_CHANGED = Reason("price_changed", "Prices have changed since the items were put into the cart.")

_NUMBERS: Final = 4
"""How many numbers an order may try before a clash is a failure; two share one once in 70,000 million pairs."""


class ShippingRule(msgspec.Struct, frozen=True, kw_only=True):
    """What shipping costs, in minor units: `fee` an order, nothing from `free_from` on (0: never free)."""

    fee: int = 495
    free_from: int = 5000

    def cost(self, goods: Money) -> Money:
        """What the shipping of these goods costs."""
        free = 0 < self.free_from <= goods.amount
        return Money(0 if free else self.fee, goods.currency)


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer tells at checkout; `email` may be None for an account, whose own is taken."""

    email: str | None
    ship_to: Address
    payment_method: str
    accept_prices: bool = False
    currency: str | None = None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The order that was placed."""

    order_id: UUID
    number: str
    goods: Money
    shipping: Money
    total: Money


Keep = Callable[[Placed], Idempotency | None]


async def place(
    shop: Shop,
    *,
    cart_id: UUID,
    customer_id: UUID | None,
    details: Details,
    shipping: ShippingRule,
    cause: Meta,
    keep: Keep = lambda _: None,
) -> tuple[Placed, Committed]:
    """Turns the cart into an order: CartCheckedOut and OrderCreated commit together, once for each filling.

    Raises `Rejected` (cart_empty, cart_checked_out, not_available, price_changed, email_needed …).
    """
    email = None if details.email is None else check_email("email", details.email)
    address = _checked(details.ship_to)
    if email is None:
        if customer_id is None:
            raise EMAIL_NEEDED(field="email")
        email = await _own_email(shop, customer_id)

    async def attempt(clashes: int) -> tuple[Placed, Committed]:
        async def handler(work: Work) -> Placed:
            cart = _ready(await work.load(CART, cart_id), details.currency)
            order_id = order_id_of(cart_id, cart.attempts + 1)
            subject = customer_id or order_id
            work.begin(ORDER, order_id)
            await work.load(ORDER, order_id)
            # The key is at hand only until something else is awaited.
            offers, _ = await asyncio.gather(
                shop.offers.offers(list(cart.items), cart.currency), shop.vault.key_for(subject)
            )
            lines = _lines(list(cart.items.values()), offers.get, accept_prices=details.accept_prices)
            number = order_number(order_id if clashes == 0 else stream_id("order number", order_id, clashes))
            goods = Money(sum(line.total.amount for line in lines), cart.currency)
            fee = shipping.cost(goods)
            meta = replace(cause, correlation=str(order_id))
            check_out = CheckOutCart(
                cart_id=cart_id, order_id=order_id, order_number=number, attempt=cart.attempts + 1, at=work.now
            )
            place_order = PlaceOrder(
                order_id=order_id,
                number=number,
                cart_id=cart_id,
                attempt=cart.attempts + 1,
                customer_id=customer_id,
                subject=subject,
                lines=tuple(lines),
                shipping=fee,
                country=address.country,
                email=shop.vault.seal(subject, "OrderCreated", order_id, "email", email),
                ship_to=shop.vault.seal(subject, "OrderCreated", order_id, "ship_to", msgspec.to_builtins(address)),
                payment_method=details.payment_method,
                at=work.now,
            )
            work.decide(CART, cart_id, check_out, meta)
            work.decide(ORDER, order_id, place_order, meta)
            work.unit.claims.append(Claim("order_number", number.encode(), order_id))
            placed = Placed(order_id=order_id, number=number, goods=goods, shipping=fee, total=goods + fee)
            work.unit.idempotency = keep(placed)
            return placed

        return await shop.run("ordering", cause, handler)

    for clashes in range(_NUMBERS):
        try:
            return await attempt(clashes)
        except Taken:
            if clashes == _NUMBERS - 1:
                raise
    raise AssertionError


def _ready(cart: CartState | None, currency: str | None) -> CartState:
    if cart is not None and cart.status == MERGED:
        raise CART_MERGED()
    if cart is None or not cart.items:
        raise CART_CHECKED_OUT(order=cart.last_order) if cart is not None and cart.last_order else CART_EMPTY()
    if currency is not None and currency != cart.currency:
        raise CART_CURRENCY(cart=cart.currency, price=currency)
    return cart


def _lines(
    items: Sequence[CartItem], offer_of: Callable[[str], Offer | None], *, accept_prices: bool
) -> list[OrderLine]:
    """One line an item, at the price of now. Raises `Rejected` where stock or price are not what the cart showed."""
    lines, short, changed = [], [], []
    for number, item in enumerate(items, 1):
        offer = offer_of(item.sku)
        if offer is None or offer.price is None or offer.available < item.quantity:
            available = offer.available if offer is not None and offer.price is not None else 0
            short.append({"sku": item.sku, "wanted": item.quantity, "available": available})
            continue
        if offer.price != item.unit_price:
            changed.append(
                {
                    "sku": item.sku,
                    "currency": offer.price.currency,
                    "was": item.unit_price.amount,
                    "now": offer.price.amount,
                }
            )
        lines.append(
            OrderLine(
                line=number,
                sku=item.sku,
                title=offer.title,
                quantity=item.quantity,
                unit_price=offer.price,
                total=offer.price * item.quantity,
            )
        )
    if short:
        raise NOT_AVAILABLE(items=short)
    if changed and not accept_prices:
        raise PRICE_CHANGED(items=changed)
    return lines


def _checked(address: Address) -> Address:
    """The address, tidied. Raises `Rejected` (text_length, text_not_plain, wrong_shape), naming the field."""
    place = "shipping_address"
    return Address(
        name=check_text(f"{place}.name", address.name, 200),
        lines=tuple(check_text(f"{place}.lines.{n}", line, 200) for n, line in enumerate(address.lines)),
        city=check_text(f"{place}.city", address.city, 100),
        postcode=check_text(f"{place}.postcode", address.postcode, 20),
        country=check_shape(f"{place}.country", address.country, "country"),
    )


async def _own_email(shop: Shop, customer_id: UUID) -> str:
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id)
    if customer is None or customer.email is None:
        raise EMAIL_NEEDED(field="email")
    await shop.vault.load_keys([customer_id])
    email: str = shop.vault.unseal(customer.email, customer_id, "email")
    return email
