"""What a customer watches."""

from emporium.domain.base import Money
from emporium.domain.watch import (
    BACK_IN_STOCK,
    CAN_BE_HAD,
    MOST,
    NO_PRICE_TO_WATCH,
    NO_SUCH_WATCH,
    PRICE_DROP,
    TOO_MANY_WATCHES,
    UNKNOWN_WATCH,
    AddWatch,
    MeetWatch,
    RemoveWatch,
    Watch,
    WatchAdded,
    WatchMet,
    WatchRemoved,
)
from tests.domain.spec import NOW, gbp, given, uid

ADA, PRODUCT = uid(1), uid(2)


def add(kind: str, sku: str = "MUG", available: int = 0, price: Money | None = None) -> AddWatch:
    return AddWatch(
        customer_id=ADA, product_id=PRODUCT, sku=sku, kind=kind, price=price, available=available, after=10, at=NOW
    )


def added(kind: str, sku: str = "MUG", price: Money | None = None) -> WatchAdded:
    return WatchAdded(customer_id=ADA, product_id=PRODUCT, sku=sku, kind=kind, price=price, after=10, at=NOW)


def meet(kind: str, price: Money | None = None, position: int = 11) -> MeetWatch:
    return MeetWatch(customer_id=ADA, sku="MUG", kind=kind, price=price, position=position, at=NOW)


STOCK, DROP = added(BACK_IN_STOCK), added(PRICE_DROP, price=gbp(500))
BACK = WatchMet(customer_id=ADA, sku="MUG", kind=BACK_IN_STOCK, at=NOW)
CHEAPER = WatchMet(customer_id=ADA, sku="MUG", kind=PRICE_DROP, price=gbp(450), previous=gbp(500), at=NOW)


def test_what_cannot_be_had_is_watched_once() -> None:
    watch = Watch(sku="MUG", kind=BACK_IN_STOCK, price=None, after=10, at=NOW)
    given().when(add(BACK_IN_STOCK, price=gbp(500))).then(STOCK).leads_to(watches=(watch,))
    given(STOCK).when(add(BACK_IN_STOCK)).then()
    given(STOCK).when(add(BACK_IN_STOCK, available=3)).then()
    given().when(add(BACK_IN_STOCK, available=3)).rejected(CAN_BE_HAD, sku="MUG", available=3)
    given(STOCK).when(add(PRICE_DROP, price=gbp(500))).then(DROP)


def test_a_price_is_watched_from_where_it_stands() -> None:
    given().when(add(PRICE_DROP, price=gbp(500), available=3)).then(DROP)
    given().when(add(PRICE_DROP)).rejected(NO_PRICE_TO_WATCH, sku="MUG")
    given().when(add("colour")).rejected(UNKNOWN_WATCH, kind="colour")


def test_what_is_back_is_told_once() -> None:
    given(STOCK).when(meet(BACK_IN_STOCK)).then(BACK).leads_to(watches=())
    given(STOCK, BACK).when(meet(BACK_IN_STOCK)).then()
    given().when(meet(BACK_IN_STOCK)).then()
    given(STOCK, BACK).when(add(BACK_IN_STOCK)).then(STOCK)


def test_what_happened_before_the_watch_is_not_news() -> None:
    for position in (3, 10):
        given(STOCK).when(meet(BACK_IN_STOCK, position=position)).then()
        given(DROP).when(meet(PRICE_DROP, gbp(1), position)).then()


def test_each_lower_price_is_told_once() -> None:
    met = given(DROP).when(meet(PRICE_DROP, gbp(450))).then(CHEAPER)
    assert [one.price for one in met.state.watches] == [gbp(450)]
    for price in (gbp(450), gbp(470), gbp(600), Money(1, "EUR")):
        given(DROP, CHEAPER).when(meet(PRICE_DROP, price)).then()
    lower = WatchMet(customer_id=ADA, sku="MUG", kind=PRICE_DROP, price=gbp(400), previous=gbp(450), at=NOW)
    given(DROP, CHEAPER).when(meet(PRICE_DROP, gbp(400))).then(lower)


def test_a_watch_can_be_ended() -> None:
    remove = RemoveWatch(customer_id=ADA, sku="MUG", kind=PRICE_DROP)
    removed = WatchRemoved(customer_id=ADA, sku="MUG", kind=PRICE_DROP)
    outcome = given(STOCK, DROP).when(remove).then(removed)
    assert [one.kind for one in outcome.state.watches] == [BACK_IN_STOCK]
    given(STOCK).when(remove).rejected(NO_SUCH_WATCH)
    given().when(remove).rejected(NO_SUCH_WATCH)
    given(DROP, removed).when(meet(PRICE_DROP, gbp(1))).then()


def test_there_can_only_be_so_many() -> None:
    many = [added(BACK_IN_STOCK, f"SKU-{n}") for n in range(MOST)]
    given(*many).when(add(BACK_IN_STOCK)).rejected(TOO_MANY_WATCHES, most=MOST)
    given(*many).when(add(BACK_IN_STOCK, "SKU-7")).then()
