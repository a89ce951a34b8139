"""Checkout: what a cart comes to, told as a quote, and made an order in one unit; the saga does the rest."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from emporium.application import admission, coupons, guest_orders
from emporium.application.accounts import check_email
from emporium.application.addresses import check_address, check_country
from emporium.application.orders import email_mark
from emporium.application.ports import Address, Claim, Conflict, Idempotency, LimitReached, Meta, Taken
from emporium.application.shop import Offer, Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Money, Reason, Rejected, stream_id
from emporium.domain.cart import (
    CART,
    CART_CHECKED_OUT,
    CART_CURRENCY,
    CART_EMPTY,
    CART_FULL,
    CART_MERGED,
    MERGED,
    TOO_MANY_UNITS,
    CartItem,
    CartState,
    CheckOutCart,
)
from emporium.domain.customer import CUSTOMER
from emporium.domain.order import ORDER, Backordered, OrderLine, PlaceOrder, order_id_of
from emporium.domain.order_number import order_number
from emporium.domain.pricing import (
    Goods,
    Item,
    Priced,
    arrival,
    chosen,
    offered,
    price,
    price_goods,
    why_not,
)
from emporium.domain.promotion import Promotion
from emporium.domain.quote import (
    QUOTE,
    QUOTE_CHANGED,
    MakeQuote,
    Quoted,
    QuotedCoupon,
    QuotedMethod,
    QuoteState,
    standing,
)
from emporium.domain.shop_settings import ShopSettings

__all__ = ["CURRENCY_NOT_SOLD", "LANGUAGE_UNKNOWN", "Details", "Placed", "place", "quote", "sold_out"]

EMAIL_NEEDED = Reason("email_needed", "A guest's order needs an e-mail address.", "invalid")
NOT_AVAILABLE = Reason("not_available", "Not everything in the cart is available.")
PRICE_CHANGED = Reason("price_changed", "Prices have changed since the items were put into the cart.")
TERMS_CHANGED = Reason("terms_changed", "The terms are version {now} now, not {given}: read them again.")
COUPON_NOT_APPLICABLE = Reason("coupon_not_applicable", "The code {code} takes nothing off this cart: {why}.")
CURRENCY_NOT_SOLD = Reason("currency_not_sold", "The shop does not sell in {currency}.", "invalid")
LANGUAGE_UNKNOWN = Reason("language_unknown", "The shop does not write in {language}.", "invalid")

_NUMBERS: Final = 4
"""How many numbers an order may try before a clash is a failure; two share one once in 70,000 million pairs."""


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer tells at checkout.

    Attributes:
        email: may be None for an account, whose own is taken.
        bill_to: to whom it is invoiced, where not to `ship_to`.
        payment_method: the provider's; payment_token: that of a saved method, which is charged instead.
        accept_prices: whatever it costs now.
        shipping_method: its code; None takes the shop's first.
        quote_id: what was quoted is what shall hold.
        terms_version: the terms that were read; None: those of now.
        language: None: the cart's, else the shop's first.
    """

    email: str | None
    ship_to: Address
    payment_method: str
    payment_token: str | None = None
    accept_prices: bool = False
    currency: str | None = None
    shipping_method: str | None = None
    quote_id: UUID | None = None
    terms_version: str | None = None
    language: str | None = None
    bill_to: Address | None = None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The order that was placed."""

    order_id: UUID
    number: str
    priced: Priced


Keep = Callable[[Placed], Idempotency | None]
QuoteKeep = Callable[[QuoteState], Idempotency | None]


async def quote(
    shop: Shop, *, cart_id: UUID, country: str, cause: Meta, keep: QuoteKeep = lambda _: None
) -> tuple[QuoteState, Committed]:
    """What the cart would come to, sent to this country, by each method.

    Raises `Rejected` (cart_empty, not_available, coupon_not_applicable, no_shipping_there …).
    """
    await check_country(country, "country")
    quote_id = uuid4()

    async def handler(work: Work) -> QuoteState:
        cart = _ready(await work.load(CART, cart_id), None)
        settings = await shop.terms.in_unit(work)
        promotions = await coupons.in_unit(work, cart.coupons)
        work.begin(QUOTE, quote_id)
        await work.load(QUOTE, quote_id)
        offers = await shop.offers.offers(list(cart.items), cart.currency)
        goods = _goods(cart, offers, promotions, settings, accept_prices=True)
        command = MakeQuote(
            quote_id=quote_id,
            cart_id=cart_id,
            quoted=_quoted(goods, country, settings, promotions, work, _waiting(cart, offers)),
            at=work.now,
            expires_at=work.now + timedelta(minutes=settings.quote_minutes),
        )
        work.decide(QUOTE, quote_id, command)
        made = work.state(QUOTE, quote_id)
        assert made is not None, "a quote was made"
        work.unit.idempotency = keep(made)
        return made

    return await shop.run("ordering", cause, handler)


async def place(
    shop: Shop,
    *,
    cart_id: UUID,
    customer_id: UUID | None,
    details: Details,
    cause: Meta,
    keep: Keep = lambda _: None,
) -> tuple[Placed, Committed]:
    """Turns the cart into an order: CartCheckedOut and OrderCreated commit together, once for each filling.

    Raises `Rejected` (cart_empty, cart_checked_out, not_available, price_changed, quote_changed, coupon_used_up …).
    """
    email = None if details.email is None else check_email("email", details.email)
    address = await check_address(details.ship_to, "shipping_address")
    payer = None if details.bill_to is None else await check_address(details.bill_to, "billing_address")
    if email is None:
        if customer_id is None:
            raise EMAIL_NEEDED(field="email")
        email = await _own_email(shop, customer_id)
    codes: tuple[str, ...] = ()
    wanted: dict[str, int] = {}
    supplied: dict[str, int | None] = {}

    async def attempt(clashes: int, visit: admission.Visit) -> tuple[Placed, Committed]:
        async def handler(work: Work) -> Placed:
            nonlocal codes, wanted, supplied
            cart = _ready(await work.load(CART, cart_id), details.currency)
            settings = await shop.terms.in_unit(work)
            promotions = await coupons.in_unit(work, cart.coupons)
            codes = cart.coupons
            holder = await coupons.holder_of(work, shop.vault, customer_id, email) if promotions else None
            quoted = None
            if details.quote_id is not None:
                quoted = standing(await work.load(QUOTE, details.quote_id), cart_id, work.now).quoted
            order_id = order_id_of(cart_id, cart.attempts + 1)
            subject = customer_id or order_id
            work.begin(ORDER, order_id)
            await work.load(ORDER, order_id)
            # The keys are at hand only until something else is awaited.
            subjects = [subject] if cart.note is None else list({subject, cart.subject})
            offers, _ = await asyncio.gather(
                shop.offers.offers(list(cart.items), cart.currency), shop.vault.key_for_many(subjects)
            )
            wanted = {item.sku: item.quantity for item in cart.items.values()}
            supplied = {sku: offer.supplied for sku, offer in offers.items()}
            if await visit.queue(wanted, {sku: offer.obtainable for sku, offer in offers.items()}):
                await shop.vault.key_for_many(subjects)
            accepted = details.accept_prices or quoted is not None
            goods = _goods(cart, offers, promotions, settings, accept_prices=accepted)
            by = chosen(settings, address.country, goods, details.shipping_method)
            priced = price(goods, by, address.country, settings)
            if quoted is not None and not details.accept_prices:
                _check_quote(quoted, priced, address.country, settings, _waiting(cart, offers))
            if details.terms_version not in (None, settings.terms_version):
                raise TERMS_CHANGED(given=details.terms_version, now=settings.terms_version)
            number = order_number(order_id if clashes == 0 else stream_id("order number", order_id, clashes))
            agreement = priced.agreement(cart.coupons, settings, _language(details.language, cart, settings))
            if holder is not None:
                agreement = replace(agreement, coupon_holder=holder)
                coupons.use(work, promotions, holder)
            agreement = replace(agreement, quote_id=details.quote_id, payment_seconds=settings.payment_seconds)
            seal, note, token = shop.vault.seal, None, None
            if details.payment_token is not None:
                token = seal(subject, "OrderCreated", order_id, "payment_token", {"token": details.payment_token})
            if cart.note is not None:
                words = shop.vault.unseal(cart.note, cart_id, "note")
                note = seal(subject, "OrderCreated", order_id, "note", words)
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
                lines=priced.lines,
                shipping=priced.shipping,
                country=address.country,
                email=seal(subject, "OrderCreated", order_id, "email", email),
                ship_to=seal(subject, "OrderCreated", order_id, "ship_to", msgspec.to_builtins(address)),
                bill_to=None
                if payer is None
                else seal(subject, "OrderCreated", order_id, "bill_to", msgspec.to_builtins(payer)),
                payment_method=details.payment_method,
                payment_token=token,
                at=work.now,
                agreement=agreement,
                note=note,
                email_mark=email_mark(shop.vault, email),
                admitted=True,
            )
            admission.admit(work, wanted, supplied)
            work.decide(CART, cart_id, check_out, meta)
            work.decide(ORDER, order_id, place_order, meta)
            work.unit.claims.append(Claim("order_number", number.encode(), order_id))
            if customer_id is None:
                work.unit.claims.append(guest_orders.note(shop.vault, email, order_id))
            placed = Placed(order_id=order_id, number=number, priced=priced)
            work.unit.idempotency = keep(placed)
            return placed

        return await shop.run("ordering", cause, handler)

    for clashes in range(_NUMBERS):
        crowded = shop.till.crowded
        try:
            async with shop.till.visit() as visit:
                now = await _units(shop, cart_id, fresh=crowded)
                await visit.join(now)
                return await attempt(clashes, visit)
        except Taken:
            if clashes == _NUMBERS - 1:
                raise
        except Rejected as rejected:
            if rejected.code == NOT_AVAILABLE.code:
                for item in rejected.values["items"]:
                    shop.till.note(item["sku"], item["available"])
            raise
        except admission.SoldOut as sold:
            if not crowded:
                now = await _units(shop, cart_id, fresh=True)
            items = [
                {"sku": sku, "wanted": now[sku], "available": left}
                for sku, left in sold.left.items()
                if left < now.get(sku, 0)
            ]
            # Otherwise the cart is another one than this process believed.
            if items:
                raise NOT_AVAILABLE(items=items) from None
        except LimitReached as reached:
            short = await sold_out(shop, reached.name, wanted, supplied)
            raise short or coupons.used_up(reached.name, codes) or reached from None
    raise Conflict(frozenset({cart_id}))


async def _units(shop: Shop, cart_id: UUID, *, fresh: bool) -> dict[str, int]:
    """What is in the cart, by SKU. Raises `Rejected` (cart_empty, cart_checked_out …), where fresh."""
    cart, _ = await shop.logs["ordering"].load(CART, cart_id, fresh=fresh)
    items = _ready(cart, None).items if fresh else {} if cart is None else cart.items
    return {item.sku: item.quantity for item in items.values()}


async def sold_out(
    shop: Shop, counter: str, wanted: Mapping[str, int], supplied: Mapping[str, int | None]
) -> Rejected | None:
    """What it means that this counter is at its limit; None where it counts something else."""
    found = await admission.left(shop.logs["ordering"], counter, supplied)
    if found is None:
        return None
    sku, left = found
    shop.till.note(sku, left)
    return NOT_AVAILABLE(items=[{"sku": sku, "wanted": wanted[sku], "available": left}])


def _ready(cart: CartState | None, currency: str | None) -> CartState:
    if cart is not None and cart.status == MERGED:
        raise CART_MERGED()
    if cart is None or not cart.items:
        raise CART_CHECKED_OUT(order=cart.last_order) if cart is not None and cart.last_order else CART_EMPTY()
    if currency is not None and currency != cart.currency:
        raise CART_CURRENCY(cart=cart.currency, price=currency)
    return cart


def _goods(
    cart: CartState,
    offers: Mapping[str, Offer],
    promotions: Mapping[str, Promotion],
    settings: ShopSettings,
    *,
    accept_prices: bool,
) -> Goods:
    """The cart's items, less what its codes take off, by the settings of now. Raises `Rejected`."""
    if cart.currency not in settings.currencies:
        raise CURRENCY_NOT_SOLD(currency=cart.currency)
    if len(cart.items) > settings.max_items:
        raise CART_FULL(most=settings.max_items)
    for item in cart.items.values():
        if item.quantity > settings.max_units:
            raise TOO_MANY_UNITS(sku=item.sku, most=settings.max_units, quantity=item.quantity)
    items = _items(list(cart.items.values()), offers.get, accept_prices=accept_prices)
    for code, promotion in promotions.items():
        why = why_not(promotion, items, cart.currency, len(promotions))
        if why is not None:
            raise COUPON_NOT_APPLICABLE(code=code, why=why)
    return price_goods(items, cart.currency, promotions)


def _items(items: Sequence[CartItem], offer_of: Callable[[str], Offer | None], *, accept_prices: bool) -> list[Item]:
    """One item each, at the price of now. Raises `Rejected` where stock or price are not what the cart showed."""
    priced, short, changed = [], [], []
    for item in items:
        offer = offer_of(item.sku)
        if offer is None or offer.price is None or offer.obtainable < item.quantity:
            available = offer.obtainable if offer is not None and offer.price is not None else 0
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
        priced.append(
            Item(
                sku=item.sku,
                title=offer.title,
                quantity=item.quantity,
                unit_price=offer.price,
                tax_class=offer.tax_class,
                weight=offer.weight,
            )
        )
    if short:
        raise NOT_AVAILABLE(items=short)
    if changed and not accept_prices:
        raise PRICE_CHANGED(items=changed)
    return priced


def _language(wanted: str | None, cart: CartState, settings: ShopSettings) -> str:
    if wanted is not None and wanted not in settings.languages:
        raise LANGUAGE_UNKNOWN(field="language", language=wanted)
    language = wanted or cart.language
    return language if language in settings.languages else settings.languages[0]


# --- quotes ----------------------------------------------------------------------------------------


def _quoted(
    goods: Goods,
    country: str,
    settings: ShopSettings,
    promotions: Mapping[str, Promotion],
    work: Work,
    waiting: tuple[Backordered, ...],
) -> Quoted:
    methods = []
    # All leaves together, once the last of it is there.
    leaves = max((work.now.date(), *(one.expected for one in waiting)))
    for one in offered(settings, country, goods):
        priced = price(goods, one, country, settings)
        methods.append(
            QuotedMethod(
                code=one.method.code,
                name=one.method.name,
                earliest=arrival(leaves, one.method.min_days),
                latest=arrival(leaves, one.method.max_days),
                shipping=priced.shipping,
                shipping_discount=priced.shipping_discount,
                tax=priced.tax,
                total=priced.total,
            )
        )
    return Quoted(
        country=country,
        currency=goods.currency,
        lines=priced.lines,
        goods=priced.goods,
        discount=priced.discount,
        tax_inclusive=priced.tax_inclusive,
        coupons=tuple(
            QuotedCoupon(code=code, name=one.name, discount=Money(goods.by_code[code], goods.currency))
            for code, one in promotions.items()
        ),
        methods=tuple(methods),
        terms_version=settings.terms_version,
        waiting=waiting,
    )


def _waiting(cart: CartState, offers: Mapping[str, Offer]) -> tuple[Backordered, ...]:
    """The units of the cart that are not there yet."""
    found = []
    for item in cart.items.values():
        offer = offers[item.sku]
        units = item.quantity - offer.available
        if units > 0 and offer.kind is not None and offer.expected is not None:
            found.append(Backordered(sku=item.sku, quantity=units, kind=offer.kind, expected=offer.expected))
    return tuple(found)


def _check_quote(
    quoted: Quoted, priced: Priced, country: str, settings: ShopSettings, waiting: Sequence[Backordered]
) -> None:
    """Raises `Rejected` (quote_changed) with every figure that is not what was quoted."""
    method = next((one for one in quoted.methods if one.code == priced.method), None)
    was: dict[str, Any] = {"country": quoted.country, "terms_version": quoted.terms_version}
    now: dict[str, Any] = {"country": country, "terms_version": settings.terms_version}
    was |= _figures(quoted.lines) | {f"{one.sku} expected": one.expected.isoformat() for one in quoted.waiting}
    now |= _figures(priced.lines) | {f"{one.sku} expected": one.expected.isoformat() for one in waiting}
    for name in ("shipping", "shipping_discount", "tax", "total"):
        was[name] = None if method is None else getattr(method, name).amount
        now[name] = getattr(priced, name).amount
    differences = [
        {"what": name, "was": was.get(name), "now": now.get(name)}
        for name in dict.fromkeys((*was, *now))
        if was.get(name) != now.get(name)
    ]
    if differences:
        raise QUOTE_CHANGED(currency=quoted.currency, differences=differences)


def _figures(lines: Sequence[OrderLine]) -> dict[str, int]:
    found = {}
    for line in lines:
        found[f"{line.sku} quantity"] = line.quantity
        found[f"{line.sku} unit_price"] = line.unit_price.amount
        found[f"{line.sku} discount"] = line.discount.amount if line.discount is not None else 0
        found[f"{line.sku} tax"] = line.tax.amount if line.tax is not None else 0
    return found


# --- the buyer -------------------------------------------------------------------------------------


async def _own_email(shop: Shop, customer_id: UUID) -> str:
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id)
    if customer is None or customer.email is None:
        raise EMAIL_NEEDED(field="email")
    await shop.vault.load_keys([customer_id])
    email: str = shop.vault.unseal(customer.email, customer_id, "email")
    return email
