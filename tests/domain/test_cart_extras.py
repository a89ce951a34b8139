"""What a cart holds beside its items: coupon codes, a note, a language; and where they go."""

from emporium.domain.cart import (
    COUPON_NOT_IN_CART,
    MAX_COUPONS,
    NO_SUCH_CART,
    TOO_MANY_COUPONS,
    AddCartCoupon,
    CartCheckedOut,
    CartCleared,
    CartCouponAdded,
    CartCouponRemoved,
    CartItem,
    CartItemAdded,
    CartItemsTakenOver,
    CartLanguageChosen,
    CartNoteChanged,
    CartOpened,
    CartReopened,
    ChangeCartNote,
    ChooseCartLanguage,
    RemoveCartCoupon,
    ReopenCart,
    TakeOverItems,
)
from emporium.domain.text import WRONG_SHAPE
from tests.domain.spec import NOW, gbp, given, sealed, uid

CART, ORDER, MINE = uid(1), uid(3), uid(4)
MUG = CartItem(sku="MUG", quantity=2, unit_price=gbp(250))
OPENED = CartOpened(cart_id=CART, currency="GBP", at=NOW)
MUGS = CartItemAdded(cart_id=CART, sku="MUG", quantity=2, unit_price=gbp(250), at=NOW)
NOTE = sealed("Ring twice", "CartNoteChanged")
NOTED = CartNoteChanged(cart_id=CART, note=NOTE, at=NOW)
GERMAN = CartLanguageChosen(cart_id=CART, language="de", at=NOW)
CHECKED_OUT = CartCheckedOut(cart_id=CART, order_id=ORDER, order_number="A-1", attempt=1, at=NOW)


def coupon(code: str) -> CartCouponAdded:
    return CartCouponAdded(cart_id=CART, code=code, at=NOW)


def add(code: str) -> AddCartCoupon:
    return AddCartCoupon(cart_id=CART, code=code, at=NOW)


def test_codes_come_in_once_and_go() -> None:
    given(OPENED).when(add("TENTH")).then(coupon("TENTH")).leads_to(coupons=("TENTH",))
    given(OPENED, coupon("TENTH")).when(add("TENTH")).then()
    removed = CartCouponRemoved(cart_id=CART, code="TENTH", at=NOW)
    remove = RemoveCartCoupon(cart_id=CART, code="TENTH", at=NOW)
    given(OPENED, coupon("TENTH"), coupon("X")).when(remove).then(removed).leads_to(coupons=("X",))
    given(OPENED).when(remove).rejected(COUPON_NOT_IN_CART, code="TENTH")
    given(OPENED).when(add("A B")).rejected(WRONG_SHAPE)
    given().when(add("TENTH")).rejected(NO_SUCH_CART)


def test_a_cart_takes_so_many_codes() -> None:
    full = given(OPENED, *(coupon(f"C{n}") for n in range(MAX_COUPONS)))
    full.when(add("ONE-MORE")).rejected(TOO_MANY_COUPONS, most=MAX_COUPONS)
    full.when(add("C1")).then()


def test_a_note_and_a_language_are_as_they_were_last_chosen() -> None:
    given(OPENED).when(ChangeCartNote(cart_id=CART, note=NOTE, at=NOW)).then(NOTED).leads_to(note=NOTE)
    none = ChangeCartNote(cart_id=CART, note=None, at=NOW)
    given(OPENED, NOTED).when(none).then(CartNoteChanged(cart_id=CART, note=None, at=NOW)).leads_to(note=None)
    given(OPENED).when(none).then()
    german = ChooseCartLanguage(cart_id=CART, language="de", at=NOW)
    given(OPENED).when(german).then(GERMAN).leads_to(language="de")
    given(OPENED, GERMAN).when(german).then()


def test_codes_and_note_go_with_the_order_and_come_back_with_its_failure() -> None:
    gone = given(OPENED, MUGS, coupon("TENTH"), NOTED, GERMAN, CHECKED_OUT)
    assert (gone.state.coupons, gone.state.note, gone.state.language) == ((), None, "de")
    reopen = ReopenCart(cart_id=CART, order_id=ORDER, items=(MUG,), coupons=("TENTH",))
    reopened = CartReopened(cart_id=CART, order_id=ORDER, items=(MUG,), coupons=("TENTH",))
    gone.when(reopen).then(reopened).leads_to(coupons=("TENTH",), note=NOTE)
    again = CartReopened(cart_id=CART, order_id=ORDER, items=(MUG,))
    given(OPENED, MUGS, coupon("TENTH"), CHECKED_OUT, coupon("TENTH")).when(reopen).then(again)


def test_clearing_takes_everything_but_the_language() -> None:
    state = given(OPENED, MUGS, coupon("TENTH"), NOTED, GERMAN, CartCleared(cart_id=CART, at=NOW)).state
    assert (state.items, state.coupons, state.note, state.language) == ({}, (), None, "de")


def test_at_log_in_codes_join_and_the_customer_s_own_words_stay() -> None:
    def take(*coupons: str) -> TakeOverItems:
        return TakeOverItems(
            cart_id=CART, customer_id=uid(2), source=MINE, items=(MUG,), currency="GBP", at=NOW,
            coupons=coupons, note=sealed("theirs"), language="fr",
        )  # fmt: skip

    def taken(*coupons: str, **more: object) -> CartItemsTakenOver:
        return CartItemsTakenOver(
            cart_id=CART, source=MINE, items=(MUG,), at=NOW, coupons=coupons, **more  # type: ignore[arg-type]
        )  # fmt: skip

    both = given(OPENED, coupon("TENTH")).when(take("TENTH", "POST"))
    both.then(taken("POST", note=sealed("theirs"), language="fr"))
    both.leads_to(coupons=("TENTH", "POST"), note=sealed("theirs"), language="fr")
    given(OPENED, NOTED, GERMAN).when(take()).then(taken()).leads_to(note=NOTE, language="de")
    full = given(OPENED, *(coupon(f"C{n}") for n in range(MAX_COUPONS)), NOTED, GERMAN)
    full.when(take("POST")).then(taken())
