"""A cart: what somebody means to buy. It outlives its orders: a checkout empties it, a failed order fills it again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, Sealed, State, check_quantity, stream_id
from emporium.domain.text import check_shape

MAX_ITEMS: Final = 200
MAX_UNITS: Final = 10_000
MAX_COUPONS: Final = 5
NOTE_MOST: Final = 500

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
    """The items became the order, with the codes and the note; the cart is empty. Appended with OrderCreated."""

    cart_id: UUID
    order_id: UUID
    order_number: str
    attempt: int
    at: datetime


class CartReopened(Event, frozen=True, kw_only=True):
    """The order failed; its items, codes and note are back. Appended together with OrderFailed."""

    cart_id: UUID
    order_id: UUID
    items: tuple[CartItem, ...]
    coupons: tuple[str, ...] = ()


class CartExpired(Event, frozen=True, kw_only=True):
    """Nobody touched the cart for the stated time; its items are gone."""

    cart_id: UUID
    at: datetime


class CartAbandoned(Event, frozen=True, kw_only=True):
    """A customer left the cart with items in it for the stated time; they stay."""

    cart_id: UUID
    customer_id: UUID
    at: datetime


class CartMerged(Event, frozen=True, kw_only=True):
    """An anonymous cart's items went into a customer's cart."""

    cart_id: UUID
    into: UUID
    at: datetime


class CartItemsTakenOver(Event, frozen=True, kw_only=True):
    """The items of an anonymous cart came in at log-in: of each SKU the larger quantity stays.

    Its codes come in beside those that are there; its note and language where there was none.
    """

    cart_id: UUID
    source: UUID
    items: tuple[CartItem, ...]
    at: datetime
    coupons: tuple[str, ...] = ()
    note: Sealed | None = None
    language: str | None = None


class CartCouponAdded(Event, frozen=True, kw_only=True):
    """A coupon code is to be used at checkout."""

    cart_id: UUID
    code: str
    at: datetime


class CartCouponRemoved(Event, frozen=True, kw_only=True):
    """The code is not to be used after all."""

    cart_id: UUID
    code: str
    at: datetime


class CartNoteChanged(Event, frozen=True, kw_only=True):
    """The buyer's words to the shop are these now; None: there are none."""

    cart_id: UUID
    note: Sealed | None
    at: datetime


class CartLanguageChosen(Event, frozen=True, kw_only=True):
    """In which language the buyer wants to be written to."""

    cart_id: UUID
    language: str
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
        coupons: the codes to use, in the order in which they came.
        note: sealed for the customer, for an anonymous cart for the cart itself.
        ordered_note: the note that went with the last order, which comes back if that fails.
        fillings: how often something came into the empty cart; tells the timers of one stay from those of the next.
        abandoned: the customer left it, and has neither put anything in nor changed a quantity since.
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
    coupons: tuple[str, ...] = ()
    note: Sealed | None = None
    ordered_note: Sealed | None = None
    language: str | None = None
    fillings: int = 0
    abandoned: bool = False

    @property
    def subject(self) -> UUID:
        """Whose key seals the note."""
        return self.customer_id or self.cart_id


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
    coupons: tuple[str, ...] = ()


class AbandonCart(Command, frozen=True, kw_only=True):
    """Note that the customer left the cart, where it was not touched after `untouched_since`."""

    cart_id: UUID
    untouched_since: datetime
    at: datetime


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
    coupons: tuple[str, ...] = ()
    note: Sealed | None = None
    language: str | None = None


class AddCartCoupon(Command, frozen=True, kw_only=True):
    """The handler has seen that the code can be used."""

    cart_id: UUID
    code: str
    at: datetime


class RemoveCartCoupon(Command, frozen=True, kw_only=True):
    cart_id: UUID
    code: str
    at: datetime


class ChangeCartNote(Command, frozen=True, kw_only=True):
    cart_id: UUID
    note: Sealed | None
    at: datetime


class ChooseCartLanguage(Command, frozen=True, kw_only=True):
    cart_id: UUID
    language: str
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_CART = Reason("no_such_cart", "There is no such cart.", "missing")
NOT_IN_CART = Reason("not_in_cart", "{sku} is not in the cart.", "missing")
CART_EMPTY = Reason("cart_empty", "The cart is empty.")
CART_CHECKED_OUT = Reason("cart_checked_out", "The cart was checked out already, as order {order}.")
CART_MERGED = Reason("cart_merged", "The cart's items are in the customer's cart now.")
CART_TOUCHED = Reason("cart_touched", "The cart was touched after {since}.")
CART_FULL = Reason("cart_full", "A cart holds at most {most} different items.")
WRONG_ATTEMPT = Reason("wrong_attempt", "The cart's next checkout is attempt {next}, not {attempt}.")
CART_NOT_ANONYMOUS = Reason("cart_not_anonymous", "A customer's cart cannot go into another one.")
TOO_MANY_UNITS = Reason("too_many_units", "A cart holds at most {most} units of {sku}, not {quantity}.", "invalid")
COUPON_NOT_IN_CART = Reason("coupon_not_in_cart", "The code {code} is not in the cart.", "missing")
TOO_MANY_COUPONS = Reason("too_many_coupons", "A cart takes at most {most} codes.")
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
            coupons = tuple(code for code in command.coupons if code not in cart.coupons) if items else ()
            return [
                CartReopened(
                    cart_id=cart.cart_id,
                    order_id=command.order_id,
                    items=items,
                    coupons=coupons[: MAX_COUPONS - len(cart.coupons)],
                )
            ]
        case ExpireCart():
            if not cart.items or cart.status == MERGED:
                return []
            _check_untouched(cart, command.untouched_since)
            return [CartExpired(cart_id=cart.cart_id, at=command.at)]
        case AbandonCart():
            if not cart.items or cart.abandoned or cart.customer_id is None or cart.status == MERGED:
                return []
            _check_untouched(cart, command.untouched_since)
            return [CartAbandoned(cart_id=cart.cart_id, customer_id=cart.customer_id, at=command.at)]
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
        case AddCartCoupon():
            if command.code in cart.coupons:
                return []
            if len(cart.coupons) >= MAX_COUPONS:
                raise TOO_MANY_COUPONS(most=MAX_COUPONS)
            code = check_shape("code", command.code, "code")
            return [CartCouponAdded(cart_id=cart.cart_id, code=code, at=command.at)]
        case RemoveCartCoupon():
            if command.code not in cart.coupons:
                raise COUPON_NOT_IN_CART(code=command.code)
            return [CartCouponRemoved(cart_id=cart.cart_id, code=command.code, at=command.at)]
        case ChangeCartNote():
            if command.note is None and cart.note is None:
                return []
            return [CartNoteChanged(cart_id=cart.cart_id, note=command.note, at=command.at)]
        case ChooseCartLanguage():
            if command.language == cart.language:
                return []
            language = check_shape("language", command.language, "language")
            return [CartLanguageChosen(cart_id=cart.cart_id, language=language, at=command.at)]
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
    there = cart.coupons if cart is not None else ()
    coupons = tuple(code for code in command.coupons if code not in there)[: MAX_COUPONS - len(there)]
    taken = CartItemsTakenOver(
        cart_id=command.cart_id,
        source=command.source,
        items=command.items,
        at=command.at,
        coupons=coupons,
        note=command.note if cart is None or cart.note is None else None,
        language=command.language if cart is None or cart.language is None else None,
    )
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


def _check_untouched(cart: CartState, since: datetime) -> None:
    if cart.touched_at > since:
        raise CART_TOUCHED(since=since)


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
            return replace(cart, items={**cart.items, event.sku: item}, touched_at=event.at, abandoned=False)
        case CartItemRemoved():
            rest = {sku: item for sku, item in cart.items.items() if sku != event.sku}
            return replace(cart, items=rest, touched_at=event.at)
        case CartCleared() | CartExpired():
            return replace(cart, items={}, coupons=(), note=None, touched_at=event.at)
        case CartAbandoned():
            return replace(cart, abandoned=True)
        case CartCheckedOut():
            return replace(
                cart,
                items={},
                coupons=(),
                note=None,
                ordered_note=cart.note,
                attempts=event.attempt,
                last_order=event.order_number,
                touched_at=event.at,
            )
        case CartReopened():
            back = replace(
                cart,
                failed=cart.failed | {event.order_id},
                coupons=cart.coupons + event.coupons,
                note=cart.note or (cart.ordered_note if event.items else None),
            )
            return _filled(back, _larger(cart.items, event.items))
        case CartMerged():
            return replace(cart, items={}, coupons=(), note=None, status=MERGED, into=event.into, touched_at=event.at)
        case CartItemsTakenOver():
            more = replace(
                cart,
                coupons=cart.coupons + event.coupons,
                note=cart.note or event.note,
                language=cart.language or event.language,
                touched_at=event.at,
            )
            return _filled(more, _larger(cart.items, event.items))
        case CartCouponAdded():
            return replace(cart, coupons=(*cart.coupons, event.code), touched_at=event.at)
        case CartCouponRemoved():
            return replace(
                cart, coupons=tuple(code for code in cart.coupons if code != event.code), touched_at=event.at
            )
        case CartNoteChanged():
            return replace(cart, note=event.note, touched_at=event.at)
        case CartLanguageChosen():
            return replace(cart, language=event.language, touched_at=event.at)
        case _:
            raise TypeError(f"a cart does not know {type(event).__name__}")


def _filled(cart: CartState, items: dict[str, CartItem]) -> CartState:
    """The cart with these items: they name its currency, and the order that emptied it is history."""
    fillings = cart.fillings if cart.items else cart.fillings + 1
    for item in items.values():
        return replace(
            cart,
            items=items,
            currency=item.unit_price.currency,
            last_order=None,
            fillings=fillings,
            abandoned=False,
        )
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
        CartAbandoned,
        CartMerged,
        CartItemsTakenOver,
        CartCouponAdded,
        CartCouponRemoved,
        CartNoteChanged,
        CartLanguageChosen,
    ),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
