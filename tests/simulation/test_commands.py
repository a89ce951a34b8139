"""Commands that touch several streams of one log, by themselves."""

from emporium.application.commands import FailAndReopen, ReserveOrder, handle
from emporium.application.ports import Meta, NewEvent, Task
from emporium.application.work import Work, execute
from emporium.domain.base import Command, Money, State
from emporium.domain.cart import CART, AddCartItem, CartItem, CheckOutCart, MergeCart, TakeOverItems
from emporium.domain.order import OrderLine, PlaceOrder
from emporium.domain.reservation import RESERVATION, Allocation, reservation_id_of
from emporium.domain.stock import ReceiveUnits
from emporium.domain.warehouse import OpenWarehouse
from tests.domain.spec import NOW, gbp, uid
from tests.support.memory import ManualClock, MemoryLog

GUEST, MINE, CUSTOMER, ORDER, PAYMENT = uid(1), uid(2), uid(3), uid(4), uid(5)
MUGS = CartItem(sku="MUG", quantity=2, unit_price=Money(250, "GBP"))
PENS = CartItem(sku="PEN", quantity=1, unit_price=Money(90, "GBP"))


async def run(log: MemoryLog, *commands: Command) -> None:
    async def handler(work: Work) -> None:
        for command in commands:
            await handle(work, command)

    await execute(log, ManualClock(), Meta("test", "request:1", "system:test"), _no_tasks, handler)


def _no_tasks(new: NewEvent, before: State | None) -> tuple[Task, ...]:
    return ()


def add(item: CartItem) -> AddCartItem:
    return AddCartItem(cart_id=GUEST, sku=item.sku, quantity=item.quantity, unit_price=item.unit_price, at=NOW)


async def test_the_items_of_a_failed_order_follow_their_cart_into_the_customers() -> None:
    log = MemoryLog("ordering")
    line = OrderLine(line=1, sku="MUG", title="Mug", quantity=2, unit_price=gbp(250), total=gbp(500))
    await run(
        log,
        add(MUGS),
        CheckOutCart(cart_id=GUEST, order_id=ORDER, order_number="A-1", attempt=1, at=NOW),
        PlaceOrder(
            order_id=ORDER,
            number="A-1",
            cart_id=GUEST,
            subject=ORDER,
            lines=(line,),
            shipping=gbp(0),
            country="GB",
            payment_method="card",
            at=NOW,
        ),
        add(PENS),
        TakeOverItems(cart_id=MINE, customer_id=CUSTOMER, source=GUEST, items=(PENS,), currency="GBP", at=NOW),
        MergeCart(cart_id=GUEST, into=MINE, at=NOW),
    )
    await run(log, FailAndReopen(order_id=ORDER, reason="payment_declined"))
    guest, _ = await log.load(CART, GUEST)
    mine, _ = await log.load(CART, MINE)
    assert guest is not None and mine is not None
    assert (guest.items, mine.items) == ({}, {"PEN": PENS, "MUG": MUGS})


async def test_the_preferred_warehouse_wins_also_where_it_lacks_the_first_sku() -> None:
    log = MemoryLog("inventory")
    stock = [("MUG", "SOUTH"), ("PEN", "NORTH"), ("CUP", "NORTH"), ("CUP", "SOUTH")]
    await run(
        log,
        OpenWarehouse(code="NORTH", name="North", country="GB", priority=1),
        OpenWarehouse(code="SOUTH", name="South", country="GB", priority=2),
        *(ReceiveUnits(sku=sku, warehouse=warehouse, quantity=1) for sku, warehouse in stock),
    )
    await run(log, ReserveOrder(order_id=ORDER, payment_id=PAYMENT, wanted={"MUG": 1, "PEN": 1, "CUP": 1}))
    reservation, _ = await log.load(RESERVATION, reservation_id_of(ORDER))
    assert reservation is not None
    assert Allocation("CUP", "NORTH", 1) in reservation.held
