"""What a cart does."""

from datetime import timedelta

from emporium.domain.base import QUANTITY_OUT_OF_RANGE, Money
from emporium.domain.cart import (
    CART_CHECKED_OUT,
    CART_CURRENCY,
    CART_EMPTY,
    CART_FULL,
    CART_MERGED,
    CART_NOT_ANONYMOUS,
    CART_TOUCHED,
    MAX_ITEMS,
    MAX_UNITS,
    MERGED,
    NO_SUCH_CART,
    NOT_IN_CART,
    OPEN,
    TOO_MANY_UNITS,
    WRONG_ATTEMPT,
    AbandonCart,
    AddCartItem,
    CartAbandoned,
    CartCheckedOut,
    CartCleared,
    CartExpired,
    CartItem,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartItemsTakenOver,
    CartMerged,
    CartOpened,
    CartReopened,
    ChangeCartItem,
    CheckOutCart,
    ClearCart,
    ExpireCart,
    MergeCart,
    RemoveCartItem,
    ReopenCart,
    TakeOverItems,
    cart_id_of,
)
from tests.domain.spec import LATER, NOW, gbp, given, uid

CART, CUSTOMER, ORDER, MINE = uid(1), uid(2), uid(3), uid(4)

OPENED = CartOpened(cart_id=CART, currency="GBP", at=NOW)
MUGS = CartItemAdded(cart_id=CART, sku="MUG", quantity=2, unit_price=gbp(250), at=NOW)
CHECKED_OUT = CartCheckedOut(cart_id=CART, order_id=ORDER, order_number="A-1", attempt=1, at=NOW)
MERGED_AWAY = CartMerged(cart_id=CART, into=MINE, at=NOW)
CLEARED = CartCleared(cart_id=CART, at=NOW)
ADD_MUGS = AddCartItem(cart_id=CART, sku="MUG", quantity=2, unit_price=gbp(250), at=NOW)
CHECK_OUT = CheckOutCart(cart_id=CART, order_id=ORDER, order_number="A-1", attempt=1, at=NOW)


def item(sku: str, quantity: int, pence: int = 250, currency: str = "GBP") -> CartItem:
    return CartItem(sku=sku, quantity=quantity, unit_price=Money(pence, currency))


REOPEN = ReopenCart(cart_id=CART, order_id=ORDER, items=(item("MUG", 2),))
REOPENED = CartReopened(cart_id=CART, order_id=ORDER, items=(item("MUG", 2),))


def test_the_first_item_opens_the_cart() -> None:
    given().when(ADD_MUGS).then(OPENED, MUGS).leads_to(items={"MUG": item("MUG", 2)}, status=OPEN)


def test_adding_again_adds_up_at_the_newer_price() -> None:
    more = CartItemAdded(cart_id=CART, sku="MUG", quantity=3, unit_price=gbp(200), at=NOW)
    add = AddCartItem(cart_id=CART, sku="MUG", quantity=3, unit_price=gbp(200), at=NOW)
    given(OPENED, MUGS).when(add).then(more).leads_to(items={"MUG": item("MUG", 5, 200)})


def test_a_quantity_is_from_one_up_to_the_most_units() -> None:
    def add(quantity: int) -> AddCartItem:
        return AddCartItem(cart_id=CART, sku="MUG", quantity=quantity, unit_price=gbp(250), at=NOW)

    def change(quantity: int) -> ChangeCartItem:
        return ChangeCartItem(cart_id=CART, sku="MUG", quantity=quantity, at=NOW)

    given().when(add(0)).rejected(QUANTITY_OUT_OF_RANGE, quantity=0)
    given().when(add(-1)).rejected(QUANTITY_OUT_OF_RANGE, quantity=-1)
    given().when(add(MAX_UNITS + 1)).rejected(TOO_MANY_UNITS, quantity=MAX_UNITS + 1)
    given(OPENED, MUGS).when(add(MAX_UNITS - 1)).rejected(TOO_MANY_UNITS, quantity=MAX_UNITS + 1)
    given(OPENED, MUGS).when(add(MAX_UNITS - 2)).leads_to(items={"MUG": item("MUG", MAX_UNITS)})
    given(OPENED, MUGS).when(change(0)).rejected(QUANTITY_OUT_OF_RANGE)
    given(OPENED, MUGS).when(change(MAX_UNITS + 1)).rejected(TOO_MANY_UNITS)


def test_a_full_cart_takes_more_of_what_it_has_but_nothing_else() -> None:
    many = tuple(item(f"S{n}", 1) for n in range(MAX_ITEMS))
    full = given(OPENED, CartItemsTakenOver(cart_id=CART, source=MINE, items=many, at=NOW))
    full.when(ADD_MUGS).rejected(CART_FULL, most=MAX_ITEMS)
    full.when(AddCartItem(cart_id=CART, sku="S0", quantity=1, unit_price=gbp(250), at=NOW)).leads_to(
        items={one.sku: item("S0", 2) if one.sku == "S0" else one for one in many}
    )


def test_all_items_have_one_currency_and_an_empty_cart_takes_on_the_next_one() -> None:
    euro = AddCartItem(cart_id=CART, sku="PEN", quantity=1, unit_price=Money(90, "EUR"), at=NOW)
    given(OPENED, MUGS).when(euro).rejected(CART_CURRENCY, cart="GBP", price="EUR")
    given(OPENED, MUGS, CLEARED).when(euro).leads_to(currency="EUR")


def test_the_quantity_of_an_item_can_be_changed() -> None:
    changed = CartItemQuantityChanged(cart_id=CART, sku="MUG", quantity=7, at=NOW)
    change = ChangeCartItem(cart_id=CART, sku="MUG", quantity=7, at=NOW)
    given(OPENED, MUGS).when(change).then(changed).leads_to(items={"MUG": item("MUG", 7)})
    given(OPENED, MUGS, changed).when(change).then()
    given(OPENED).when(change).rejected(NOT_IN_CART, sku="MUG")


def test_an_item_can_be_removed() -> None:
    remove = RemoveCartItem(cart_id=CART, sku="MUG", at=NOW)
    given(OPENED, MUGS).when(remove).then(CartItemRemoved(cart_id=CART, sku="MUG", at=NOW)).leads_to(items={})
    given(OPENED).when(remove).rejected(NOT_IN_CART, sku="MUG")


def test_a_cart_can_be_cleared() -> None:
    given(OPENED, MUGS).when(ClearCart(cart_id=CART, at=NOW)).then(CLEARED).leads_to(items={})
    given(OPENED).when(ClearCart(cart_id=CART, at=NOW)).then()


def test_what_does_not_exist_can_only_be_opened() -> None:
    for command in (
        ChangeCartItem(cart_id=CART, sku="MUG", quantity=1, at=NOW),
        RemoveCartItem(cart_id=CART, sku="MUG", at=NOW),
        ClearCart(cart_id=CART, at=NOW),
        CHECK_OUT,
        REOPEN,
        ExpireCart(cart_id=CART, untouched_since=NOW, at=NOW),
        MergeCart(cart_id=CART, into=MINE, at=NOW),
    ):
        given().when(command).rejected(NO_SUCH_CART)


def test_a_checkout_empties_the_cart() -> None:
    given(OPENED, MUGS).when(CHECK_OUT).then(CHECKED_OUT).leads_to(items={}, attempts=1, last_order="A-1")


def test_the_second_submit_of_a_checkout_learns_of_the_first() -> None:
    given(OPENED, MUGS, CHECKED_OUT).when(CHECK_OUT).rejected(CART_CHECKED_OUT, order="A-1")


def test_nothing_cannot_be_checked_out() -> None:
    given(OPENED).when(CHECK_OUT).rejected(CART_EMPTY)
    # Filled and emptied since: the old order is not what was meant.
    given(OPENED, MUGS, CHECKED_OUT, MUGS, CLEARED).when(CHECK_OUT).rejected(CART_EMPTY)
    given(OPENED, MUGS, CHECKED_OUT, REOPENED, CLEARED).when(CHECK_OUT).rejected(CART_EMPTY)


def test_each_checkout_is_the_next_attempt() -> None:
    given(OPENED, MUGS, CHECKED_OUT, MUGS).when(CHECK_OUT).rejected(WRONG_ATTEMPT, next=2, attempt=1)
    again = CheckOutCart(cart_id=CART, order_id=uid(33), order_number="A-2", attempt=2, at=NOW)
    given(OPENED, MUGS, CHECKED_OUT, REOPENED).when(again).leads_to(attempts=2, last_order="A-2", items={})


def test_a_failed_order_gives_its_items_back_once() -> None:
    given(OPENED, MUGS, CHECKED_OUT).when(REOPEN).then(REOPENED).leads_to(items={"MUG": item("MUG", 2)})
    given(OPENED, MUGS, CHECKED_OUT, REOPENED).when(REOPEN).then()


def test_of_what_came_in_since_the_larger_quantity_stays() -> None:
    since = CartItemAdded(cart_id=CART, sku="MUG", quantity=5, unit_price=gbp(240), at=NOW)
    pens = CartItemAdded(cart_id=CART, sku="PEN", quantity=1, unit_price=gbp(90), at=NOW)
    given(OPENED, MUGS, CHECKED_OUT, since, pens).when(REOPEN).leads_to(
        items={"MUG": item("MUG", 5, 240), "PEN": item("PEN", 1, 90)}
    )


def test_items_in_another_currency_do_not_come_back_among_others() -> None:
    euros = CartItemAdded(cart_id=CART, sku="PEN", quantity=1, unit_price=Money(90, "EUR"), at=NOW)
    given(OPENED, MUGS, CHECKED_OUT, euros).when(REOPEN).then(
        CartReopened(cart_id=CART, order_id=ORDER, items=())
    ).leads_to(items={"PEN": item("PEN", 1, 90, "EUR")}, currency="EUR")


def test_an_untouched_cart_expires() -> None:
    expire = ExpireCart(cart_id=CART, untouched_since=LATER - timedelta(days=30), at=LATER)
    given(OPENED, MUGS).when(expire).then(CartExpired(cart_id=CART, at=LATER)).leads_to(items={})
    touched = CartItemAdded(cart_id=CART, sku="PEN", quantity=1, unit_price=gbp(90), at=LATER)
    given(OPENED, MUGS, touched).when(expire).rejected(CART_TOUCHED, since=expire.untouched_since)
    given(OPENED).when(expire).then()
    given(OPENED, MUGS, MERGED_AWAY).when(expire).then()


def test_a_customer_leaves_a_cart_once_until_something_is_done_with_it() -> None:
    owned = CartOpened(cart_id=CART, customer_id=CUSTOMER, currency="GBP", at=NOW)
    abandon = AbandonCart(cart_id=CART, untouched_since=LATER - timedelta(hours=24), at=LATER)
    left = CartAbandoned(cart_id=CART, customer_id=CUSTOMER, at=LATER)
    given(owned, MUGS).when(abandon).then(left).leads_to(
        items={"MUG": item("MUG", 2)}, abandoned=True, touched_at=MUGS.at
    )
    given(owned, MUGS, left).when(abandon).then()
    given(OPENED, MUGS).when(abandon).then()
    given(owned).when(abandon).then()
    given(owned, MUGS, CHECKED_OUT).when(abandon).then()
    given(owned, MUGS, MERGED_AWAY).when(abandon).then()
    touched = CartItemAdded(cart_id=CART, sku="PEN", quantity=1, unit_price=gbp(90), at=LATER)
    given(owned, MUGS, touched).when(abandon).rejected(CART_TOUCHED, since=abandon.untouched_since)
    fewer = CartItemQuantityChanged(cart_id=CART, sku="MUG", quantity=1, at=NOW)
    for back in (MUGS, fewer, REOPENED):
        given(owned, MUGS, left, back).when(abandon).then(left)
    removed = CartItemRemoved(cart_id=CART, sku="PEN", at=NOW)
    given(owned, MUGS, touched, left, removed).when(abandon).then()


def test_each_filling_of_an_empty_cart_counts() -> None:
    given(OPENED, MUGS, MUGS).when(CHECK_OUT).leads_to(fillings=1)
    given(OPENED, MUGS, CHECKED_OUT).when(REOPEN).leads_to(fillings=2)
    given(OPENED, MUGS, CLEARED).when(ADD_MUGS).leads_to(fillings=2)


def test_an_anonymous_cart_goes_into_the_customers() -> None:
    merge = MergeCart(cart_id=CART, into=MINE, at=NOW)
    given(OPENED, MUGS).when(merge).then(MERGED_AWAY).leads_to(items={}, status=MERGED, into=MINE)
    given(OPENED, MUGS, MERGED_AWAY).when(merge).then()
    owned = CartOpened(cart_id=CART, customer_id=CUSTOMER, currency="GBP", at=NOW)
    given(owned, MUGS).when(merge).rejected(CART_NOT_ANONYMOUS)


def test_a_merged_cart_is_closed() -> None:
    merged = given(OPENED, MUGS, CHECKED_OUT, MERGED_AWAY)
    for command in (
        ADD_MUGS,
        ChangeCartItem(cart_id=CART, sku="MUG", quantity=1, at=NOW),
        RemoveCartItem(cart_id=CART, sku="MUG", at=NOW),
        ClearCart(cart_id=CART, at=NOW),
        CHECK_OUT,
        TakeOverItems(cart_id=CART, customer_id=CUSTOMER, source=MINE, items=(item("MUG", 1),), currency="GBP", at=NOW),
    ):
        merged.when(command).rejected(CART_MERGED)
    merged.when(REOPEN).then()


def test_the_customers_cart_takes_items_over() -> None:
    items = (item("MUG", 5), item("PEN", 1))
    take = TakeOverItems(cart_id=CART, customer_id=CUSTOMER, source=MINE, items=items, currency="GBP", at=NOW)
    taken = CartItemsTakenOver(cart_id=CART, source=MINE, items=items, at=NOW)
    opened = CartOpened(cart_id=CART, customer_id=CUSTOMER, currency="GBP", at=NOW)
    given().when(take).then(opened, taken).leads_to(customer_id=CUSTOMER)
    given(OPENED, MUGS).when(take).then(taken).leads_to(items={"MUG": item("MUG", 5), "PEN": item("PEN", 1)})


def test_what_cannot_be_taken_over() -> None:
    def take(*items: CartItem, currency: str = "GBP") -> TakeOverItems:
        return TakeOverItems(cart_id=CART, customer_id=CUSTOMER, source=MINE, items=items, currency=currency, at=NOW)

    given(OPENED, MUGS).when(take()).then()
    given(OPENED, MUGS).when(take(item("PEN", 1, 90, "EUR"), currency="EUR")).rejected(CART_CURRENCY)
    given(OPENED).when(take(item("PEN", 1, 90, "EUR"), currency="EUR")).leads_to(currency="EUR")
    given(OPENED, MUGS).when(take(*(item(f"S{n}", 1) for n in range(MAX_ITEMS)))).rejected(CART_FULL)


def test_a_customer_has_one_cart() -> None:
    assert cart_id_of(CUSTOMER) == cart_id_of(CUSTOMER) != cart_id_of(uid(99))
