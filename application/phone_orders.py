"""Orders that staff place for somebody on the phone: a customer or a guest, at list prices or agreed ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from emporium.application import admission, guest_orders, payment_methods
from emporium.application.accounts import check_email
from emporium.application.addresses import check_address
from emporium.application.checkout import EMAIL_NEEDED, LANGUAGE_UNKNOWN, NOT_AVAILABLE, Placed, sold_out
from emporium.application.orders import email_mark
from emporium.application.ports import Address, Claim, Idempotency, LimitReached, Meta, Taken
from emporium.application.shop import Offer, Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import stream_id
from emporium.domain.cart import NOTE_MOST
from emporium.domain.customer import ACTIVE, CUSTOMER, NO_SUCH_CUSTOMER
from emporium.domain.order import ORDER, PlaceOrder
from emporium.domain.order_number import order_number
from emporium.domain.pricing import Goods, Item, chosen, price, price_goods, rounded
from emporium.domain.text import check_text

__all__ = ["CHANNEL", "PhoneLine", "PhoneOrder", "place"]

CHANNEL: Final = "phone"

_NUMBERS: Final = 4


class PhoneLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU; `agreed_price` of one is decimal text with up to four places, None for the list price."""

    sku: str
    quantity: int
    agreed_price: str | None = None


class PhoneOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody orders on the phone.

    Attributes:
        customer_id: None for a guest, who needs an `email`; a customer's own is taken where none is given.
        payment_method: a token of the provider; saved_method: one that the customer keeps, instead of it.
        shipping_method: its code; None takes the shop's first. language: None takes the shop's first.
        note: the buyer's to the shop.
    """

    customer_id: UUID | None
    email: str | None
    lines: Sequence[PhoneLine]
    ship_to: Address
    currency: str
    payment_method: str
    saved_method: UUID | None = None
    shipping_method: str | None = None
    language: str | None = None
    note: str | None = None


Keep = Callable[[Placed], Idempotency | None]


async def place(shop: Shop, wanted: PhoneOrder, cause: Meta, keep: Keep = lambda _: None) -> tuple[Placed, Committed]:
    """Places the order at once; the saga does the rest, as for any other. The actor is who took the call.

    Raises `Rejected` (no_such_customer, email_needed, not_available, no_such_shipping_method, address_invalid …).
    """
    address = await check_address(wanted.ship_to, "shipping_address")
    email = await _email(shop, wanted)
    method, token = wanted.payment_method, None
    if wanted.saved_method is not None:
        if wanted.customer_id is None:
            raise NO_SUCH_CUSTOMER()
        method = payment_methods.SAVED
        token = await payment_methods.token_of(shop, wanted.customer_id, wanted.saved_method)
    note = None if wanted.note is None else check_text("note", wanted.note, NOTE_MOST, lines=True)
    order_id = uuid4()
    subject = wanted.customer_id or order_id
    meta = replace(cause, correlation=str(order_id))
    units: dict[str, int] = {}
    for line in wanted.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    supplied: dict[str, int | None] = {}

    async def attempt(clashes: int) -> tuple[Placed, Committed]:
        async def handler(work: Work) -> Placed:
            nonlocal supplied
            settings = await shop.terms.in_unit(work)
            if wanted.language not in (None, *settings.languages):
                raise LANGUAGE_UNKNOWN(field="language", language=wanted.language)
            work.begin(ORDER, order_id)
            await work.load(ORDER, order_id)
            offers = await shop.offers.offers(list(units), wanted.currency)
            supplied = {sku: offer.supplied for sku, offer in offers.items()}
            goods = _goods(offers, wanted)
            admission.admit(work, units, supplied)
            by = chosen(settings, address.country, goods, wanted.shipping_method)
            priced = price(goods, by, address.country, settings)
            number = order_number(order_id if clashes == 0 else stream_id("order number", order_id, clashes))
            await shop.vault.key_for(subject)

            seal = shop.vault.seal
            work.decide(
                ORDER,
                order_id,
                PlaceOrder(
                    order_id=order_id,
                    number=number,
                    customer_id=wanted.customer_id,
                    subject=subject,
                    lines=priced.lines,
                    shipping=priced.shipping,
                    country=address.country,
                    email=seal(subject, "OrderCreated", order_id, "email", email),
                    ship_to=seal(subject, "OrderCreated", order_id, "ship_to", msgspec.to_builtins(address)),
                    payment_method=method,
                    payment_token=None
                    if token is None
                    else seal(subject, "OrderCreated", order_id, "payment_token", {"token": token}),
                    channel=CHANNEL,
                    at=work.now,
                    agreement=replace(
                        priced.agreement((), settings, wanted.language or settings.languages[0]),
                        payment_seconds=settings.payment_seconds,
                    ),
                    note=None if note is None else seal(subject, "OrderCreated", order_id, "note", note),
                    email_mark=email_mark(shop.vault, email),
                    admitted=True,
                ),
                meta,
            )
            work.unit.claims.append(Claim("order_number", number.encode(), order_id))
            if wanted.customer_id is None:
                work.unit.claims.append(guest_orders.note(shop.vault, email, order_id))
            placed = Placed(order_id=order_id, number=number, priced=priced)
            work.unit.idempotency = keep(placed)
            return placed

        return await shop.run("ordering", meta, handler)

    for clashes in range(_NUMBERS):
        try:
            return await attempt(clashes)
        except Taken as taken:
            if taken.scope != "order_number" or clashes == _NUMBERS - 1:
                raise
        except LimitReached as reached:
            raise await sold_out(shop, reached.name, units, supplied) or reached from None
    raise AssertionError


async def _email(shop: Shop, wanted: PhoneOrder) -> str:
    email = None if wanted.email is None else check_email("email", wanted.email)
    if wanted.customer_id is None:
        if email is None:
            raise EMAIL_NEEDED(field="email")
        return email
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, wanted.customer_id, fresh=True)
    if customer is None or customer.status != ACTIVE or customer.email is None:
        raise NO_SUCH_CUSTOMER()
    if email is not None:
        return email
    await shop.vault.load_keys([wanted.customer_id])
    own: str = shop.vault.unseal(customer.email, wanted.customer_id, "email")
    return own


def _goods(offers: Mapping[str, Offer], wanted: PhoneOrder) -> Goods:
    """The lines at the prices of now, or agreed ones. Raises `Rejected` (not_available)."""
    units: dict[str, int] = {}
    items, short = [], {}
    for line in wanted.lines:
        offer = offers.get(line.sku)
        units[line.sku] = units.get(line.sku, 0) + line.quantity
        there = None if offer is None else offer.price
        unit_price = there if line.agreed_price is None else rounded(line.agreed_price, wanted.currency)
        available = 0 if offer is None or unit_price is None else offer.obtainable
        if offer is None or unit_price is None or available < units[line.sku]:
            short[line.sku] = {"sku": line.sku, "wanted": units[line.sku], "available": available}
            continue
        items.append(
            Item(
                sku=line.sku,
                title=offer.title,
                quantity=line.quantity,
                unit_price=unit_price,
                tax_class=offer.tax_class,
                weight=offer.weight,
                agreed_price=line.agreed_price,
            )
        )
    if short:
        raise NOT_AVAILABLE(items=list(short.values()))
    return price_goods(items, wanted.currency, {})
