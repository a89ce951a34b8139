"""Any sequence of cart commands keeps the cart's invariants."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emporium.domain.base import Command, Event, Money, Rejected
from emporium.domain.cart import (
    CART,
    MAX_UNITS,
    MERGED,
    AddCartItem,
    CartCheckedOut,
    CartItem,
    CartReopened,
    CartState,
    ChangeCartItem,
    CheckOutCart,
    ClearCart,
    ExpireCart,
    MergeCart,
    RemoveCartItem,
    ReopenCart,
    TakeOverItems,
)
from emporium.domain.order import order_id_of
from tests.domain.spec import NOW, fold, uid

ID = uid(1)
SKUS = st.sampled_from(["MUG", "PEN", "CUP"])
CURRENCIES = st.sampled_from(["GBP", "GBP", "EUR"])
QUANTITIES = st.sampled_from([1, 2, 3, MAX_UNITS - 1, MAX_UNITS, MAX_UNITS + 1, 0, -1])


class CartMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cart: CartState | None = None
        self.story: list[Event] = []
        self.orders: dict[int, tuple[CartItem, ...]] = {}
        self.now = NOW

    def do(self, command: Command) -> bool:
        """Whether the cart accepted the command."""
        try:
            events = CART.decide(command, self.cart)
        except Rejected:
            return False
        for event in events:
            self.cart = CART.evolve(self.cart, event)
            self.story.append(event)
        return True

    @initialize(owned=st.booleans(), ordered=st.booleans(), since=st.sampled_from([None, "GBP", "EUR"]))
    def start(self, owned: bool, ordered: bool, since: str | None) -> None:
        self.add("MUG", 2, "GBP", owned)
        if ordered:
            self.check_out(1)
        if since is not None:
            self.add("PEN", 1, since, owned)

    @rule(days=st.integers(min_value=0, max_value=40))
    def time_goes_by(self, days: int) -> None:
        self.now += timedelta(days=days)

    @rule(sku=SKUS, quantity=QUANTITIES, currency=CURRENCIES, owned=st.booleans())
    def add(self, sku: str, quantity: int, currency: str, owned: bool) -> None:
        before = self.units(sku)
        customer = uid(2) if owned else None
        price = Money(250, currency)
        added = self.do(
            AddCartItem(cart_id=ID, customer_id=customer, sku=sku, quantity=quantity, unit_price=price, at=self.now)
        )
        assert self.units(sku) == before + (quantity if added else 0)

    @rule(sku=SKUS, quantity=QUANTITIES)
    def change(self, sku: str, quantity: int) -> None:
        if self.do(ChangeCartItem(cart_id=ID, sku=sku, quantity=quantity, at=self.now)):
            assert self.units(sku) == quantity

    @rule(sku=SKUS)
    def remove(self, sku: str) -> None:
        self.do(RemoveCartItem(cart_id=ID, sku=sku, at=self.now))
        assert self.cart is None or self.units(sku) == 0

    @rule()
    def clear(self) -> None:
        self.do(ClearCart(cart_id=ID, at=self.now))
        assert self.cart is None or not self.cart.items

    @rule(attempt=st.integers(min_value=1, max_value=3))
    def check_out(self, attempt: int) -> None:
        items = tuple(self.cart.items.values()) if self.cart is not None else ()
        if self.do(
            CheckOutCart(
                cart_id=ID,
                order_id=order_id_of(ID, attempt),
                order_number=f"A-{attempt}",
                attempt=attempt,
                at=self.now,
            )
        ):
            assert items and attempt not in self.orders
            self.orders[attempt] = items

    @rule(pick=st.integers(min_value=0))
    def an_order_fails(self, pick: int) -> None:
        if self.orders:
            attempt = pick % len(self.orders) + 1
            self.do(ReopenCart(cart_id=ID, order_id=order_id_of(ID, attempt), items=self.orders[attempt]))

    @rule(days=st.sampled_from([1, 30]))
    def expire(self, days: int) -> None:
        touched = self.cart.touched_at if self.cart is not None else self.now
        before = self.cart
        self.do(ExpireCart(cart_id=ID, untouched_since=self.now - timedelta(days=days), at=self.now))
        if touched > self.now - timedelta(days=days):
            assert self.cart == before

    @rule()
    def merge(self) -> None:
        self.do(MergeCart(cart_id=ID, into=uid(7), at=self.now))

    @rule(quantities=st.dictionaries(SKUS, st.integers(min_value=1, max_value=MAX_UNITS)), currency=CURRENCIES)
    def take_over(self, quantities: dict[str, int], currency: str) -> None:
        items = tuple(CartItem(sku=sku, quantity=n, unit_price=Money(240, currency)) for sku, n in quantities.items())
        before = {sku: self.units(sku) for sku in quantities}
        if self.do(
            TakeOverItems(cart_id=ID, customer_id=uid(2), source=uid(8), items=items, currency=currency, at=self.now)
        ):
            assert all(self.units(sku) == max(before[sku], n) for sku, n in quantities.items())

    def units(self, sku: str) -> int:
        """Units of the SKU in the cart."""
        there = self.cart.items.get(sku) if self.cart is not None else None
        return there.quantity if there is not None else 0

    @invariant()
    def items_are_sound(self) -> None:
        if self.cart is not None:
            for sku, item in self.cart.items.items():
                assert item.sku == sku
                assert 1 <= item.quantity <= MAX_UNITS
                assert item.unit_price.currency == self.cart.currency

    @invariant()
    def a_merged_cart_is_empty_for_ever(self) -> None:
        if self.cart is not None and self.cart.status == MERGED:
            assert not self.cart.items and self.cart.into is not None

    @invariant()
    def each_attempt_is_one_order_and_comes_back_at_most_once(self) -> None:
        attempts = [event.attempt for event in self.story if isinstance(event, CartCheckedOut)]
        assert attempts == list(range(1, len(attempts) + 1))
        assert (self.cart.attempts if self.cart is not None else 0) == len(attempts)
        back = [event.order_id for event in self.story if isinstance(event, CartReopened)]
        assert len(back) == len(set(back))

    @invariant()
    def only_an_empty_cart_points_at_the_order_that_emptied_it(self) -> None:
        if self.cart is not None and self.cart.last_order is not None:
            assert not self.cart.items

    def teardown(self) -> None:
        again: Any = fold(CART, self.story)
        assert again == self.cart


TestCart = CartMachine.TestCase
