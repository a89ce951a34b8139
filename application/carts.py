"""Carts: add what can be had, change, merge at log-in, and show every item with its price and stock of now."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta
from emporium.application.shop import Offer, Offers, Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Money, Reason, Rejected
from emporium.domain.cart import (
    CART,
    MERGED,
    AddCartItem,
    CartState,
    ChangeCartItem,
    MergeCart,
    TakeOverItems,
    cart_id_of,
)
from emporium.domain.stock import OUT_OF_STOCK

__all__ = ["Added", "CartLine", "CartView", "RecentOffers", "add", "change", "execute", "merge", "view"]

NOT_FOR_SALE = Reason("not_for_sale", "{sku} is not for sale in {currency}.", "missing")

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
        total: quantity times the current price, else the price when it was added.
    """

    sku: str
    title: str | None
    product_id: UUID | None
    quantity: int
    unit_price: Money
    current_price: Money | None
    available: int
    total: Money


class CartView(msgspec.Struct, frozen=True, kw_only=True):
    """A cart with prices and stock of now; `last_order` is the number of its latest order."""

    cart_id: UUID | None
    currency: str
    items: tuple[CartLine, ...]
    units: int
    total: Money
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
        offer = (await recent.offers((sku,), currency)).get(sku)
        if offer is None or offer.price is None or wanted > offer.available:
            # A refusal is believed only when it was asked for now.
            offer = (await shop.offers.offers((sku,), currency)).get(sku)
        if offer is None or offer.price is None:
            raise NOT_FOR_SALE(sku=sku, currency=currency)
        if wanted > offer.available:
            raise OUT_OF_STOCK(sku=sku, available=offer.available, wanted=wanted)
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


async def change(shop: Shop, *, cart_id: UUID, sku: str, quantity: int, cause: Meta) -> tuple[None, Committed]:
    """Sets the units of an item. Raises `Rejected` (not_in_cart, out_of_stock …)."""

    async def handler(work: Work) -> None:
        before = await work.load(CART, cart_id)
        if before is not None and sku in before.items and quantity > before.items[sku].quantity:
            offer = (await shop.offers.offers((sku,), before.currency)).get(sku)
            available = 0 if offer is None else offer.available
            if quantity > available:
                raise OUT_OF_STOCK(sku=sku, available=available, wanted=quantity)
        work.decide(CART, cart_id, ChangeCartItem(cart_id=cart_id, sku=sku, quantity=quantity, at=work.now))

    return await shop.run("ordering", cause, handler)


async def execute(shop: Shop, command: Command, cause: Meta, keep: Keep = lambda: None) -> tuple[None, Committed]:
    """Carries out a command that needs no offer, with the record of its answer. Raises `Rejected`."""

    async def handler(work: Work) -> None:
        await handle(work, command, cause)
        work.unit.idempotency = keep()

    return await shop.run("ordering", cause, handler)


async def merge(shop: Shop, *, source: UUID, customer_id: UUID, cause: Meta) -> tuple[bool, Committed | None]:
    """Moves an anonymous cart's items into the customer's at log-in: of each SKU the larger quantity stays.

    False where there was nothing to take over, or where it does not fit (another currency, too many items):
    then the anonymous cart stays as it is.
    """
    into = cart_id_of(customer_id)
    if source == into:
        return False, None

    async def handler(work: Work) -> bool:
        anonymous = await work.load(CART, source)
        if anonymous is None or anonymous.status == MERGED or anonymous.customer_id is not None:
            return False
        if not anonymous.items:
            return False
        await work.load(CART, into)
        take_over = TakeOverItems(
            cart_id=into,
            customer_id=customer_id,
            source=source,
            items=tuple(anonymous.items.values()),
            currency=anonymous.currency,
            at=work.now,
        )
        work.decide(CART, into, take_over, replace(cause, correlation=str(into)))
        work.decide(CART, source, MergeCart(cart_id=source, into=into, at=work.now))
        return True

    try:
        return await shop.run("ordering", cause, handler)
    except Rejected:
        return False, None


async def view(shop: Shop, cart_id: UUID | None, currency: str) -> CartView:
    """The cart as its log knows it now; empty where there is none."""
    state: CartState | None = None
    if cart_id is not None:
        state, _ = await shop.logs["ordering"].load(CART, cart_id, fresh=True)
    if state is None:
        return CartView(
            cart_id=cart_id, currency=currency, items=(), units=0, total=Money(0, currency), last_order=None
        )
    known = await shop.offers.offers(list(state.items), state.currency) if state.items else {}
    lines = []
    total = Money(0, state.currency)
    for item in state.items.values():
        offer = known.get(item.sku)
        current = None if offer is None else offer.price
        line = CartLine(
            sku=item.sku,
            title=None if offer is None else offer.title,
            product_id=None if offer is None else offer.product_id,
            quantity=item.quantity,
            unit_price=item.unit_price,
            current_price=current,
            available=0 if offer is None else offer.available,
            total=(current or item.unit_price) * item.quantity,
        )
        lines.append(line)
        total += line.total
    return CartView(
        cart_id=cart_id,
        currency=state.currency,
        items=tuple(lines),
        units=sum(line.quantity for line in lines),
        total=total,
        last_order=state.last_order,
    )
