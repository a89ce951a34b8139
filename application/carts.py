"""Carts: add what can be had, change, merge at log-in, and show every item with what changed since it was added."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application import availability, coupons
from emporium.application.checkout import CURRENCY_NOT_SOLD, LANGUAGE_UNKNOWN
from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta, Unavailable
from emporium.application.shop import Offer, Offers, Shop
from emporium.application.timeline import LANGUAGES
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Money, Reason, Rejected, Sealed
from emporium.domain.cart import (
    CART,
    CART_FULL,
    CART_MERGED,
    MERGED,
    NO_SUCH_CART,
    NOTE_MOST,
    TOO_MANY_UNITS,
    AddCartCoupon,
    AddCartItem,
    CartItem,
    CartState,
    ChangeCartItem,
    ChangeCartNote,
    ChooseCartLanguage,
    MergeCart,
    TakeOverItems,
    cart_id_of,
)
from emporium.domain.order import OrderState
from emporium.domain.pricing import Item, price_goods, why_not
from emporium.domain.promotion import PROMOTIONS, Promotion, PromotionsState, code_of, promotions_id
from emporium.domain.shop_settings import ShopSettings
from emporium.domain.stock import OUT_OF_STOCK
from emporium.domain.text import check_text

__all__ = [
    "Added",
    "CartLine",
    "CartView",
    "CouponView",
    "LeftOut",
    "RecentOffers",
    "Refilled",
    "add",
    "add_coupon",
    "change",
    "choose",
    "execute",
    "merge",
    "refill",
    "view",
]

NOT_FOR_SALE = Reason("not_for_sale", "{sku} is not for sale in {currency}.", "missing")
NOT_COMBINABLE = Reason("coupon_not_combinable", "The code {code} cannot be used together with others.")

RECENT: Final = 3.0
"""Seconds for which an offer is good enough for putting something into a cart; a checkout asks anew."""

_CAPACITY: Final = 50_000


class Added(msgspec.Struct, frozen=True):
    """What an addition made: the item as it is now, and how many different items the cart holds."""

    cart_id: UUID
    sku: str
    quantity: int
    unit_price: Money
    items: int


class CartLine(msgspec.Struct, frozen=True, kw_only=True):
    """An item beside what it can be had for now.

    Attributes:
        unit_price: when it was added; current_price: now, None where it is no longer for sale.
        available: units that can be had now.
        obtainable: of the units in the cart, those that can be ordered.
        later: of these, those that are there only from `expected` on; note: what to tell of that.
        changes: what is otherwise than when it was added: price_rose, price_fell, not_sold_any_more, sold_out,
            fewer_available.
        total: quantity times the current price, else the price when it was added.
    """

    sku: str
    title: str | None
    product_id: UUID | None
    quantity: int
    unit_price: Money
    current_price: Money | None
    available: int
    obtainable: int
    later: int
    expected: date | None
    note: str | None
    changes: tuple[str, ...]
    total: Money


class CouponView(msgspec.Struct, frozen=True, kw_only=True):
    """A code in a cart.

    Attributes:
        name: what customers read; None where the code cannot be used any more.
        applies: it takes something off the goods, or off the shipping; else `why` says why not.
        discount: what it takes off the goods.
    """

    code: str
    name: str | None
    applies: bool
    why: str | None
    discount: Money


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Units of an earlier order that did not go into the cart, and why.

    `why` is not_sold_any_more, sold_out, fewer_available, too_many_units or cart_full.
    """

    sku: str
    title: str
    wanted: int
    taken: int
    why: str


class Refilled(msgspec.Struct, frozen=True, kw_only=True):
    """The units by SKU that went into the cart, beside what was there, and those that could not."""

    cart_id: UUID
    taken: dict[str, int]
    left_out: tuple[LeftOut, ...]


class CartView(msgspec.Struct, frozen=True, kw_only=True):
    """A cart with prices and stock of now.

    Attributes:
        total: of the items, before discount, tax and shipping.
        discount: what the codes that apply take off the items.
        free_shipping: a code pays the shipping.
        last_order: the number of its latest order.
    """

    cart_id: UUID | None
    currency: str
    items: tuple[CartLine, ...]
    units: int
    total: Money
    coupons: tuple[CouponView, ...]
    discount: Money
    free_shipping: bool
    note: str | None
    language: str | None
    last_order: str | None


AddKeep = Callable[[Added], Idempotency | None]
Keep = Callable[[], Idempotency | None]


class RecentOffers:
    """Offers not older than three seconds, many askers' SKUs in one query, for what a checkout decides again."""

    def __init__(self, offers: Offers, *, ttl: float = RECENT, clock: Callable[[], float] = time.monotonic) -> None:
        self._offers = offers
        self._ttl = ttl
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[float, Offer | None]] = OrderedDict()
        self._wanted: dict[str, dict[str, asyncio.Future[Offer | None]]] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def offers(self, skus: Sequence[str], currency: str) -> Mapping[str, Offer]:
        """See `Offers`."""
        found: dict[str, Offer | None] = {}
        now = self._clock()
        waiting: list[tuple[str, asyncio.Future[Offer | None]]] = []
        for sku in skus:
            known = self._known.get((currency, sku))
            if known is not None and now - known[0] <= self._ttl:
                found[sku] = known[1]
            else:
                waiting.append((sku, self._ask(sku, currency)))
        for sku, future in waiting:
            found[sku] = await asyncio.shield(future)
        return {sku: offer for sku, offer in found.items() if offer is not None}

    def _ask(self, sku: str, currency: str) -> asyncio.Future[Offer | None]:
        wanted = self._wanted.setdefault(currency, {})
        if sku not in wanted:
            wanted[sku] = asyncio.get_running_loop().create_future()
        if currency not in self._busy:
            self._busy[currency] = asyncio.create_task(self._answer(currency))
        return wanted[sku]

    async def _answer(self, currency: str) -> None:
        """While one query is under way the next ones gather."""
        try:
            while wanted := self._wanted.pop(currency, None):
                try:
                    answer = await self._offers.offers(list(wanted), currency)
                except Exception as error:
                    for future in wanted.values():
                        future.set_exception(error)
                        future.exception()  # an asker that has gone away will not look
                    continue
                now = self._clock()
                for sku, future in wanted.items():
                    offer = answer.get(sku)
                    self._known[currency, sku] = (now, offer)
                    self._known.move_to_end((currency, sku))
                    future.set_result(offer)
                while len(self._known) > _CAPACITY:
                    self._known.popitem(last=False)
        finally:
            del self._busy[currency]


async def add(
    shop: Shop,
    recent: Offers,
    *,
    cart_id: UUID,
    customer_id: UUID | None,
    sku: str,
    quantity: int,
    currency: str,
    cause: Meta,
    keep: AddKeep = lambda _: None,
    new: bool = False,
) -> tuple[Added, Committed]:
    """Puts units into the cart at the price of now. Raises `Rejected` (not_for_sale, out_of_stock, cart_…).

    Args:
        recent: offers that may be three seconds old.
        new: the cart's id was just made.
    """

    async def handler(work: Work) -> Added:
        if new:
            work.begin(CART, cart_id)
        before = await work.load(CART, cart_id)
        item = before.items.get(sku) if before is not None else None
        wanted = quantity + (item.quantity if item is not None else 0)
        await _allowed(shop, before, sku, wanted, currency)
        offer = (await recent.offers((sku,), currency)).get(sku)
        if offer is not None:
            shop.till.seen(sku, offer.obtainable)
        if offer is None or offer.price is None or wanted > offer.obtainable:
            # A refusal is believed only when it was asked for now.
            offer = (await shop.offers.offers((sku,), currency)).get(sku)
        if offer is None or offer.price is None:
            raise NOT_FOR_SALE(sku=sku, currency=currency)
        if wanted > offer.obtainable:
            raise OUT_OF_STOCK(sku=sku, available=offer.obtainable, wanted=wanted)
        command = AddCartItem(
            cart_id=cart_id,
            customer_id=customer_id,
            sku=sku,
            quantity=quantity,
            unit_price=offer.price,
            at=work.now,
        )
        work.decide(CART, cart_id, command)
        after = work.state(CART, cart_id)
        assert after is not None, "something was added"
        now = after.items[sku]
        added = Added(cart_id, sku, now.quantity, now.unit_price, len(after.items))
        work.unit.idempotency = keep(added)
        return added

    return await shop.run("ordering", cause, handler)


async def refill(
    shop: Shop,
    *,
    cart_id: UUID,
    customer_id: UUID | None,
    order: OrderState,
    cause: Meta,
    keep: Callable[[Refilled], Idempotency | None] = lambda _: None,
) -> tuple[Refilled, Committed]:
    """Puts what an earlier order had into the cart, at the prices of now, as far as it can still be had.

    Raises `Rejected` (currency_not_sold, cart_merged).
    """
    wanted: dict[str, int] = {}
    titles: dict[str, str] = {}
    for line in order.lines:
        if line.quantity:
            wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
            titles[line.sku] = line.title

    async def handler(work: Work) -> Refilled:
        cart = await work.load(CART, cart_id)
        if cart is not None and cart.status == MERGED:
            raise CART_MERGED()
        currency = cart.currency if cart is not None and cart.items else order.total.currency
        settings = await shop.terms.in_unit(work)
        if currency not in settings.currencies:
            raise CURRENCY_NOT_SOLD(currency=currency)
        offers = await shop.offers.offers(list(wanted), currency)
        taken: dict[str, int] = {}
        left_out = []
        for sku, units in wanted.items():
            cart = work.state(CART, cart_id)
            there = 0 if cart is None or sku not in cart.items else cart.items[sku].quantity
            offer = offers.get(sku)
            room, why = _room(settings, cart, sku, None if offer is None or offer.price is None else offer.obtainable)
            possible = max(0, min(units, room - there))
            if possible and offer is not None and offer.price is not None:
                add_item = AddCartItem(
                    cart_id=cart_id,
                    customer_id=customer_id,
                    sku=sku,
                    quantity=possible,
                    unit_price=offer.price,
                    at=work.now,
                )
                work.decide(CART, cart_id, add_item)
                taken[sku] = possible
            if possible < units:
                left_out.append(LeftOut(sku=sku, title=titles[sku], wanted=units, taken=possible, why=why))
        refilled = Refilled(cart_id=cart_id, taken=taken, left_out=tuple(left_out))
        work.unit.idempotency = keep(refilled)
        return refilled

    return await shop.run("ordering", cause, handler)


def _room(settings: ShopSettings, cart: CartState | None, sku: str, available: int | None) -> tuple[int, str]:
    """How many units of a SKU the cart may hold, and why no more; `available` is None where it is not sold."""
    if available is None:
        return 0, "not_sold_any_more"
    if cart is not None and sku not in cart.items and len(cart.items) >= settings.max_items:
        return 0, "cart_full"
    if settings.max_units < available:
        return settings.max_units, "too_many_units"
    return available, "sold_out" if available == 0 else "fewer_available"


async def change(shop: Shop, *, cart_id: UUID, sku: str, quantity: int, cause: Meta) -> tuple[None, Committed]:
    """Sets the units of an item. Raises `Rejected` (not_in_cart, out_of_stock …)."""

    async def handler(work: Work) -> None:
        before = await work.load(CART, cart_id)
        if before is not None and sku in before.items and quantity > before.items[sku].quantity:
            await _allowed(shop, before, sku, quantity, before.currency)
            offer = (await shop.offers.offers((sku,), before.currency)).get(sku)
            available = 0 if offer is None else offer.obtainable
            if quantity > available:
                raise OUT_OF_STOCK(sku=sku, available=available, wanted=quantity)
        work.decide(CART, cart_id, ChangeCartItem(cart_id=cart_id, sku=sku, quantity=quantity, at=work.now))

    return await shop.run("ordering", cause, handler)


async def _allowed(shop: Shop, cart: CartState | None, sku: str, units: int, currency: str) -> None:
    """Raises `Rejected` where the settings forbid so many units, so many items or the currency.

    The settings may be a second old, as a checkout decides again; a refusal is believed only when it was asked for now.
    """
    log = shop.logs["ordering"]
    if _refusal(await shop.terms.recent(log), cart, sku, units, currency) is not None:
        refusal = _refusal(await shop.terms.now(log), cart, sku, units, currency)
        if refusal is not None:
            raise refusal


def _refusal(settings: ShopSettings, cart: CartState | None, sku: str, units: int, currency: str) -> Rejected | None:
    if currency not in settings.currencies:
        return CURRENCY_NOT_SOLD(currency=currency)
    if units > settings.max_units:
        return TOO_MANY_UNITS(sku=sku, most=settings.max_units, quantity=units)
    if cart is not None and sku not in cart.items and len(cart.items) >= settings.max_items:
        return CART_FULL(most=settings.max_items)
    return None


async def add_coupon(
    shop: Shop, *, cart_id: UUID, code: str, cause: Meta, keep: Keep = lambda: None
) -> tuple[None, Committed]:
    """Puts a coupon code into the cart. Raises `Rejected` (coupon_unknown, coupon_not_combinable …)."""
    exact = code_of(code)

    async def handler(work: Work) -> None:
        before = await work.load(CART, cart_id)
        there = () if before is None else before.coupons
        state = await work.load(PROMOTIONS, promotions_id())
        promotion = coupons.active(state, exact, work)
        others = [one for other in there if other != exact and (one := _active(state, other, work)) is not None]
        if others and not all(one.combinable for one in (promotion, *others)):
            raise NOT_COMBINABLE(code=exact)
        work.decide(CART, cart_id, AddCartCoupon(cart_id=cart_id, code=exact, at=work.now))
        work.unit.idempotency = keep()

    return await shop.run("ordering", cause, handler)


def _active(state: PromotionsState | None, code: str, work: Work) -> Promotion | None:
    return None if state is None else state.active(code, work.now)


async def choose(
    shop: Shop,
    *,
    cart_id: UUID,
    note: str | msgspec.UnsetType | None,
    language: str | msgspec.UnsetType,
    cause: Meta,
) -> tuple[None, Committed]:
    """Sets the note (None: none) and the language, where they are given. Raises `Rejected` (language_unknown …)."""
    words = check_text("note", note, NOTE_MOST, lines=True) if isinstance(note, str) else None
    if isinstance(language, str) and language not in (await shop.terms.now(shop.logs["ordering"])).languages:
        raise LANGUAGE_UNKNOWN(field="language", language=language)

    async def handler(work: Work) -> None:
        cart = await work.load(CART, cart_id)
        if cart is None:
            raise NO_SUCH_CART()
        if isinstance(language, str):
            work.decide(CART, cart_id, ChooseCartLanguage(cart_id=cart_id, language=language, at=work.now))
        if note is not msgspec.UNSET:
            sealed = None
            if words is not None:
                await shop.vault.key_for(cart.subject)
                sealed = shop.vault.seal(cart.subject, "CartNoteChanged", cart_id, "note", words)
            work.decide(CART, cart_id, ChangeCartNote(cart_id=cart_id, note=sealed, at=work.now))

    return await shop.run("ordering", cause, handler)


async def execute(shop: Shop, command: Command, cause: Meta, keep: Keep = lambda: None) -> tuple[None, Committed]:
    """Carries out a command that needs no offer, with the record of its answer. Raises `Rejected`."""

    async def handler(work: Work) -> None:
        await handle(work, command, cause)
        work.unit.idempotency = keep()

    return await shop.run("ordering", cause, handler)


async def merge(shop: Shop, *, source: UUID, customer_id: UUID, cause: Meta) -> tuple[bool, Committed | None]:
    """Moves an anonymous cart's items into the customer's at log-in: of each SKU the larger quantity stays.

    Its coupon codes come along; its note and its language where the customer's cart has none.
    False where there was nothing to take over, or where it does not fit (another currency, too many items):
    then the anonymous cart stays as it is.
    """
    into = cart_id_of(customer_id)
    if source == into:
        return False, None
    noted = False

    async def handler(work: Work) -> bool:
        nonlocal noted
        anonymous = await work.load(CART, source)
        if anonymous is None or anonymous.status == MERGED or anonymous.customer_id is not None:
            return False
        if not anonymous.items:
            return False
        own = await work.load(CART, into)
        noted = anonymous.note is not None or anonymous.ordered_note is not None
        note = None
        if anonymous.note is not None and (own is None or own.note is None):
            await shop.vault.key_for_many([customer_id, anonymous.subject])
            words = shop.vault.unseal(anonymous.note, source, "note")
            note = shop.vault.seal(customer_id, "CartItemsTakenOver", into, "note", words)
        take_over = TakeOverItems(
            cart_id=into,
            customer_id=customer_id,
            source=source,
            items=tuple(anonymous.items.values()),
            currency=anonymous.currency,
            at=work.now,
            coupons=anonymous.coupons,
            note=note,
            language=anonymous.language,
        )
        work.decide(CART, into, take_over, replace(cause, correlation=str(into)))
        work.decide(CART, source, MergeCart(cart_id=source, into=into, at=work.now))
        return True

    try:
        merged, committed = await shop.run("ordering", cause, handler)
    except Rejected:
        return False, None
    if merged and noted:
        # The note has gone over to the customer, whose erasure must not leave a copy that can be read.
        with contextlib.suppress(Unavailable):
            await shop.vault.erase(source)
    return merged, committed


async def view(shop: Shop, cart_id: UUID | None, currency: str) -> CartView:
    """The cart as its log knows it now; empty where there is none."""
    state: CartState | None = None
    log = shop.logs["ordering"]
    if cart_id is not None:
        state, _ = await log.load(CART, cart_id, fresh=True)
    if state is None:
        nothing = Money(0, currency)
        return CartView(
            cart_id=cart_id,
            currency=currency,
            items=(),
            units=0,
            total=nothing,
            coupons=(),
            discount=nothing,
            free_shipping=False,
            note=None,
            language=None,
            last_order=None,
        )
    known = await shop.offers.offers(list(state.items), state.currency) if state.items else {}
    today = shop.clock.now().date()
    spoken = state.language or LANGUAGES[0]
    lines = tuple(_line(item, known.get(item.sku), today, spoken) for item in state.items.values())
    codes, off, free_shipping = await _codes(shop, state, known) if state.coupons else ((), 0, False)
    return CartView(
        cart_id=cart_id,
        currency=state.currency,
        items=lines,
        units=sum(line.quantity for line in lines),
        total=Money(sum(line.total.amount for line in lines), state.currency),
        coupons=codes,
        discount=Money(off, state.currency),
        free_shipping=free_shipping,
        note=None if state.note is None else await _read(shop, state.note, state),
        language=state.language,
        last_order=state.last_order,
    )


def _line(item: CartItem, offer: Offer | None, today: date, language: str) -> CartLine:
    current = None if offer is None else offer.price
    available, now = (0, 0) if offer is None or current is None else (offer.obtainable, offer.available)
    obtainable = min(item.quantity, available)
    expected = offer.expected if offer is not None and obtainable > now else None
    note = None
    if offer is not None and expected is not None:
        note = availability.note(availability.standing(0, offer.later, offer.kind), 0, expected, today, language)
    return CartLine(
        sku=item.sku,
        title=None if offer is None else offer.title,
        product_id=None if offer is None else offer.product_id,
        quantity=item.quantity,
        unit_price=item.unit_price,
        current_price=current,
        available=0 if offer is None else offer.available,
        obtainable=obtainable,
        later=max(0, obtainable - now),
        expected=expected,
        note=note,
        changes=tuple(_changes(item, current, available)),
        total=(current or item.unit_price) * item.quantity,
    )


def _changes(item: CartItem, price: Money | None, available: int) -> Iterator[str]:
    if price is None:
        yield "not_sold_any_more"
        return
    if price != item.unit_price:
        yield "price_rose" if item.unit_price < price else "price_fell"
    if available < item.quantity:
        yield "sold_out" if available == 0 else "fewer_available"


async def _codes(shop: Shop, cart: CartState, offers: Mapping[str, Offer]) -> tuple[tuple[CouponView, ...], int, bool]:
    """The codes, what they take off together, and whether one pays the shipping."""
    state, _ = await shop.logs["ordering"].load(PROMOTIONS, promotions_id(), fresh=True)
    now = shop.clock.now()
    items = [
        Item(
            sku=item.sku,
            title=offer.title,
            quantity=item.quantity,
            unit_price=offer.price,
            tax_class=offer.tax_class,
            weight=offer.weight,
        )
        for item in cart.items.values()
        if (offer := offers.get(item.sku)) is not None and offer.price is not None
    ]
    known = {code: None if state is None else state.active(code, now) for code in cart.coupons}
    together = sum(one is not None for one in known.values())
    why = {
        code: "cannot_be_used" if one is None else why_not(one, items, cart.currency, together)
        for code, one in known.items()
    }
    usable = {code: one for code, one in known.items() if one is not None and why[code] is None}
    goods = price_goods(items, cart.currency, usable)
    views = tuple(
        CouponView(
            code=code,
            name=None if one is None else one.name,
            applies=why[code] is None,
            why=why[code],
            discount=Money(goods.by_code.get(code, 0), cart.currency),
        )
        for code, one in known.items()
    )
    return views, goods.discount, goods.free_shipping is not None


async def _read(shop: Shop, note: Sealed, cart: CartState) -> str:
    await shop.vault.load_keys([note.subject])
    words: str = shop.vault.unseal(note, cart.cart_id, "note")
    return words
