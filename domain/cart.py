"""A cart: what somebody means to buy. It outlives its orders: a checkout empties it, a failed order fills it again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, State, check_quantity, stream_id

MAX_ITEMS: Final = 200
MAX_UNITS: Final = 10_000

OPEN, MERGED = "open", "merged"


def cart_id_of(customer_id: UUID) -> UUID:
    """The id of the customer's cart. An anonymous cart has an id of its own, carried in a signed token."""
    return stream_id("cart", customer_id)


class CartItem(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU, and its price when it was added."""

    sku: str
    quantity: int
    unit_price: Money


# --- events ----------------------------------------------------------------------------------------


class CartOpened(Event, frozen=True, kw_only=True):
    """A cart begins; `customer_id` is None for an anonymous one."""

    cart_id: UUID
    customer_id: UUID | None = None
    currency: str
    at: datetime


class CartItemAdded(Event, frozen=True, kw_only=True):
    """Units were added; `quantity` is what was added, not what is there now."""

    cart_id: UUID
    sku: str
    quantity: int
    unit_price: Money
    at: datetime


class CartItemQuantityChanged(Event, frozen=True, kw_only=True):
    """The item now has `quantity` units."""

    cart_id: UUID
    sku: str
    quantity: int
    at: datetime


class CartItemRemoved(Event, frozen=True, kw_only=True):
    """The item is gone."""

    cart_id: UUID
    sku: str
    at: datetime


class CartCleared(Event, frozen=True, kw_only=True):
    """All items are gone by the owner's wish."""

    cart_id: UUID
    at: datetime


class CartCheckedOut(Event, frozen=True, kw_only=True):
    """The items became the order; the cart is empty. Appended together with OrderCreated."""

    cart_id: UUID
    order_id: UUID
    order_number: str
    attempt: int
    at: datetime


class CartReopened(Event, frozen=True, kw_only=True):
    """The order failed and its items are back. Appended together with OrderFailed."""

    cart_id: UUID
    order_id: UUID
    items: tuple[CartItem, ...]


class CartExpired(Event, frozen=True, kw_only=True):
    """Nobody touched the cart for the stated time; its items are gone."""

    cart_id: UUID
    at: datetime


class CartMerged(Event, frozen=True, kw_only=True):
    """An anonymous cart's items went into a customer's cart."""

    cart_id: UUID
    into: UUID
    at: datetime


class CartItemsTakenOver(Event, frozen=True, kw_only=True):
    """The items of an anonymous cart came in at log-in: of each SKU the larger quantity stays."""

    cart_id: UUID
    source: UUID
    items: tuple[CartItem, ...]
    at: datetime


# --- state -----------------------------------------------------------------------------------------


class CartState(State, frozen=True, kw_only=True):
    """What a cart remembers.

    Attributes:
        currency: of its items; an empty cart takes on the currency of what comes in next.
        attempts: how many checkouts it has seen.
        last_order: the number of the order that emptied it, None once it has been filled again.
        failed: the orders whose items came back.
        into: the customer's cart that took the items over, where it was merged.
    """

    cart_id: UUID
    customer_id: UUID | None
    currency: str
    touched_at: datetime
    status: str = OPEN
    items: dict[str, CartItem] = {}
    attempts: int = 0
    last_order: str | None = None
    failed: frozenset[UUID] = frozenset()
    into: UUID | None = None


# --- commands --------------------------------------------------------------------------------------


class AddCartItem(Command, frozen=True, kw_only=True):
    """Opens the cart where it does not exist. `unit_price` is the current price."""

    cart_id: UUID
    customer_id: UUID | None = None
    sku: str
    quantity: int
    unit_price: Money
    at: datetime


class ChangeCartItem(Command, frozen=True, kw_only=True):
    cart_id: UUID
    sku: str
    quantity: int
    at: datetime


class RemoveCartItem(Command, frozen=True, kw_only=True):
    cart_id: UUID
    sku: str
    at: datetime


class ClearCart(Command, frozen=True, kw_only=True):
    cart_id: UUID
    at: datetime


class CheckOutCart(Command, frozen=True, kw_only=True):
    """`attempt` must be the next one."""

    cart_id: UUID
    order_id: UUID
    order_number: str
    attempt: int
    at: datetime


class ReopenCart(Command, frozen=True, kw_only=True):
    """The order failed. Of a merged cart the handler gives the items to the cart it went `into`."""

    cart_id: UUID
    order_id: UUID
    items: tuple[CartItem, ...]


class ExpireCart(Command, frozen=True, kw_only=True):
    """Expires the cart unless it was touched after `untouched_since`."""

    cart_id: UUID
    untouched_since: datetime
    at: datetime


class MergeCart(Command, frozen=True, kw_only=True):
    """The anonymous side of a log-in."""

    cart_id: UUID
    into: UUID
    at: datetime


class TakeOverItems(Command, frozen=True, kw_only=True):
    """The customer's side of a log-in."""

    cart_id: UUID
    customer_id: UUID
    source: UUID
    items: tuple[CartItem, ...]
    currency: str
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_CART = Reason("no_such_cart", "There is no such cart.", "missing")
NOT_IN_CART = Reason("not_in_cart", "{sku} is not in the cart.", "missing")
CART_EMPTY = Reason("cart_empty", "The cart is empty.")
CART_CHECKED_OUT = Reason("cart_checked_out", "The cart was checked out already, as order {order}.")
CART_MERGED = Reason("cart_merged", "The cart's items are in the customer's cart now.")
CART_FULL = Reason("cart_full", "A cart holds at most {most} different items.")
WRONG_ATTEMPT = Reason("wrong_attempt", "The cart's next checkout is attempt {next}, not {attempt}.")
CART_NOT_ANONYMOUS = Reason("cart_not_anonymous", "A customer's cart cannot go into another one.")
TOO_MANY_UNITS = Reason("too_many_units", "A cart holds at most {most} units of {sku}, not {quantity}.", "invalid")
CART_CURRENCY = Reason("cart_currency", "The cart is in {cart}, the price in {price}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, cart: CartState | None) -> Sequence[Event]:
    """The events that the command makes of this cart. Raises Rejected."""
    match command:
        case AddCartItem():
            return _add(command, cart)
        case TakeOverItems():
            return _take_over(command, cart)
    if cart is None:
        raise NO_SUCH_CART()
    match command:
        case ReopenCart():
            if command.order_id in cart.failed or cart.status == MERGED:
                return []
            fits = all(item.unit_price.currency == cart.currency for item in command.items) or not cart.items
            items = command.items if fits else ()
            return [CartReopened(cart_id=cart.cart_id, order_id=command.order_id, items=items)]
        case ExpireCart():
            if not cart.items or cart.status == MERGED or cart.touched_at > command.untouched_since:
                return []
            return [CartExpired(cart_id=cart.cart_id, at=command.at)]
        case MergeCart():
            if cart.status == MERGED:
                return []
            if cart.customer_id is not None:
                raise CART_NOT_ANONYMOUS()
            return [CartMerged(cart_id=cart.cart_id, into=command.into, at=command.at)]
    if cart.status == MERGED:
        raise CART_MERGED()
    match command:
        case ChangeCartItem():
            if command.sku not in cart.items:
                raise NOT_IN_CART(sku=command.sku)
            _check_units(command.sku, check_quantity(command.quantity))
            if cart.items[command.sku].quantity == command.quantity:
                return []
            return [
                CartItemQuantityChanged(cart_id=cart.cart_id, sku=command.sku, quantity=command.quantity, at=command.at)
            ]
        case RemoveCartItem():
            if command.sku not in cart.items:
                raise NOT_IN_CART(sku=command.sku)
            return [CartItemRemoved(cart_id=cart.cart_id, sku=command.sku, at=command.at)]
        case ClearCart():
            return [CartCleared(cart_id=cart.cart_id, at=command.at)] if cart.items else []
        case CheckOutCart():
            if not cart.items:
                raise CART_CHECKED_OUT(order=cart.last_order) if cart.last_order else CART_EMPTY()
            if command.attempt != cart.attempts + 1:
                raise WRONG_ATTEMPT(next=cart.attempts + 1, attempt=command.attempt)
            return [
                CartCheckedOut(
                    cart_id=cart.cart_id,
                    order_id=command.order_id,
                    order_number=command.order_number,
                    attempt=command.attempt,
                    at=command.at,
                )
            ]
        case _:
            raise TypeError(f"a cart does not know {type(command).__name__}")


def _add(command: AddCartItem, cart: CartState | None) -> Sequence[Event]:
    check_quantity(command.quantity)
    there = 0
    opened: list[Event] = []
    if cart is None:
        opened = [
            CartOpened(
                cart_id=command.cart_id,
                customer_id=command.customer_id,
                currency=command.unit_price.currency,
                at=command.at,
            )
        ]
    else:
        if cart.status == MERGED:
            raise CART_MERGED()
        if cart.items and cart.currency != command.unit_price.currency:
            raise CART_CURRENCY(cart=cart.currency, price=command.unit_price.currency)
        if command.sku not in cart.items and len(cart.items) >= MAX_ITEMS:
            raise CART_FULL(most=MAX_ITEMS)
        there = cart.items[command.sku].quantity if command.sku in cart.items else 0
    _check_units(command.sku, there + command.quantity)
    added = CartItemAdded(
        cart_id=command.cart_id,
        sku=command.sku,
        quantity=command.quantity,
        unit_price=command.unit_price,
        at=command.at,
    )
    return [*opened, added]


def _take_over(command: TakeOverItems, cart: CartState | None) -> Sequence[Event]:
    if not command.items:
        return []
    taken = CartItemsTakenOver(cart_id=command.cart_id, source=command.source, items=command.items, at=command.at)
    if cart is None:
        opened = CartOpened(
            cart_id=command.cart_id, customer_id=command.customer_id, currency=command.currency, at=command.at
        )
        return [opened, taken]
    if cart.status == MERGED:
        raise CART_MERGED()
    if cart.items and cart.currency != command.currency:
        raise CART_CURRENCY(cart=cart.currency, price=command.currency)
    if len(cart.items.keys() | {i.sku for i in command.items}) > MAX_ITEMS:
        raise CART_FULL(most=MAX_ITEMS)
    return [taken]


def _check_units(sku: str, quantity: int) -> None:
    if quantity > MAX_UNITS:
        raise TOO_MANY_UNITS(sku=sku, most=MAX_UNITS, quantity=quantity)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(cart: CartState | None, event: Event) -> CartState:
    """The cart after the event."""
    if isinstance(event, CartOpened):
        return CartState(
            cart_id=event.cart_id, customer_id=event.customer_id, currency=event.currency, touched_at=event.at
        )
    if cart is None:
        raise ValueError("a cart begins with CartOpened")
    match event:
        case CartItemAdded():
            there = cart.items[event.sku].quantity if event.sku in cart.items else 0
            item = CartItem(sku=event.sku, quantity=there + event.quantity, unit_price=event.unit_price)
            return _filled(replace(cart, touched_at=event.at), {**cart.items, event.sku: item})
        case CartItemQuantityChanged():
            item = replace(cart.items[event.sku], quantity=event.quantity)
            return replace(cart, items={**cart.items, event.sku: item}, touched_at=event.at)
        case CartItemRemoved():
            rest = {sku: item for sku, item in cart.items.items() if sku != event.sku}
            return replace(cart, items=rest, touched_at=event.at)
        case CartCleared() | CartExpired():
            return replace(cart, items={}, touched_at=event.at)
        case CartCheckedOut():
            return replace(cart, items={}, attempts=event.attempt, last_order=event.order_number, touched_at=event.at)
        case CartReopened():
            return _filled(replace(cart, failed=cart.failed | {event.order_id}), _larger(cart.items, event.items))
        case CartMerged():
            return replace(cart, items={}, status=MERGED, into=event.into, touched_at=event.at)
        case CartItemsTakenOver():
            return _filled(replace(cart, touched_at=event.at), _larger(cart.items, event.items))
        case _:
            raise TypeError(f"a cart does not know {type(event).__name__}")


def _filled(cart: CartState, items: dict[str, CartItem]) -> CartState:
    """The cart with these items: they name its currency, and the order that emptied it is history."""
    for item in items.values():
        return replace(cart, items=items, currency=item.unit_price.currency, last_order=None)
    return replace(cart, last_order=None)


def _larger(there: dict[str, CartItem], more: tuple[CartItem, ...]) -> dict[str, CartItem]:
    items = dict(there)
    for item in more:
        if item.sku not in items or items[item.sku].quantity < item.quantity:
            items[item.sku] = item
    return items


CART: Final = Aggregate(
    name="Cart",
    log="ordering",
    state=CartState,
    events=(
        CartOpened,
        CartItemAdded,
        CartItemQuantityChanged,
        CartItemRemoved,
        CartCleared,
        CartCheckedOut,
        CartReopened,
        CartExpired,
        CartMerged,
        CartItemsTakenOver,
    ),
    decide=decide,
    evolve=evolve,
)
