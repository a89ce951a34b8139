"""What the stock of a SKU in a warehouse does."""

from emporium.domain.base import AMOUNT_OUT_OF_RANGE, MAX_AMOUNT, MAX_QUANTITY, QUANTITY_OUT_OF_RANGE, Money
from emporium.domain.stock import (
    ADJUSTMENT_TOO_LARGE,
    CHANGE_OUT_OF_RANGE,
    COST_CURRENCY,
    KINDS,
    NOT_RESERVED,
    OUT_OF_STOCK,
    UNKNOWN_KIND,
    AdjustStock,
    Cost,
    LowStockMarkSet,
    ReceiveUnits,
    ReleaseUnits,
    ReserveUnits,
    SendUnitsAway,
    SetLowStockMark,
    ShipUnits,
    StockAdjusted,
    StockLevelLow,
    TakeBackUnits,
    TakeInUnits,
    UnitsArrived,
    UnitsReceived,
    UnitsReleased,
    UnitsReserved,
    UnitsReturned,
    UnitsSentAway,
    UnitsShipped,
    stock_id_of,
)
from emporium.domain.text import TEXT_LENGTH, TEXT_NOT_PLAIN, WRONG_SHAPE
from tests.domain.spec import gbp, given, uid

ORDER = uid(1)


def received(quantity: int, reference: str = "") -> UnitsReceived:
    return UnitsReceived(sku="MUG", warehouse="NORTH", quantity=quantity, reference=reference)


def reserved(quantity: int) -> UnitsReserved:
    return UnitsReserved(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def released(quantity: int) -> UnitsReleased:
    return UnitsReleased(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def shipped(quantity: int) -> UnitsShipped:
    return UnitsShipped(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def marked(mark: int) -> LowStockMarkSet:
    return LowStockMarkSet(sku="MUG", warehouse="NORTH", mark=mark)


def low(available: int, mark: int) -> StockLevelLow:
    return StockLevelLow(sku="MUG", warehouse="NORTH", available=available, mark=mark)


def receive(quantity: int, reference: str = "") -> ReceiveUnits:
    return ReceiveUnits(sku="MUG", warehouse="NORTH", quantity=quantity, reference=reference)


def priced(quantity: int, pence: int) -> UnitsReceived:
    return UnitsReceived(sku="MUG", warehouse="NORTH", quantity=quantity, unit_cost=gbp(pence))


def sent(quantity: int, cost: Cost | None = None) -> UnitsSentAway:
    return UnitsSentAway(sku="MUG", warehouse="NORTH", transfer_id=ORDER, quantity=quantity, cost=cost)


def test_the_average_cost_moves_with_what_comes_and_stays_with_what_goes() -> None:
    assert given(received(4)).state.value is None
    assert given(received(4), priced(2, 300)).state.value == gbp(1_800)  # of unknown cost: as the others
    assert given(priced(10, 100), priced(5, 250)).state.value == gbp(2_250)
    after = given(priced(10, 100), priced(5, 250), reserved(6), shipped(6)).state
    assert (after.value, after.cost, after.shipped) == (gbp(1_350), Cost(1_500_000, "GBP"), 6)
    thirds = given(priced(2, 100), priced(1, 101)).state
    assert (thirds.cost, thirds.value) == (Cost(1_003_333, "GBP"), gbp(301))
    receive = ReceiveUnits(sku="MUG", warehouse="NORTH", quantity=1, unit_cost=Money(1, "EUR"))
    given(priced(1, 100)).when(receive).rejected(COST_CURRENCY, there="GBP", currency="EUR")
    for cost in (Money(-1, "GBP"), Money(MAX_AMOUNT + 1, "GBP")):
        dear = ReceiveUnits(sku="MUG", warehouse="NORTH", quantity=1, unit_cost=cost)
        given().when(dear).rejected(AMOUNT_OUT_OF_RANGE)


def test_units_go_to_another_warehouse_with_their_cost_but_never_those_that_are_promised() -> None:
    away = SendUnitsAway(sku="MUG", warehouse="NORTH", transfer_id=ORDER, quantity=3)
    given(priced(5, 200), reserved(2)).when(away).then(sent(3, Cost(2_000_000, "GBP"))).leads_to(available=0)
    given(received(5), reserved(3)).when(away).rejected(OUT_OF_STOCK, available=2, wanted=3)
    given(received(3), marked(1)).when(away).then(sent(3), low(0, 1))
    cost = Cost(4_000_000, "GBP")
    take_in = TakeInUnits(sku="MUG", warehouse="NORTH", transfer_id=ORDER, quantity=5, cost=cost)
    arrived = UnitsArrived(sku="MUG", warehouse="NORTH", transfer_id=ORDER, quantity=5, cost=cost)
    given(priced(5, 200)).when(take_in).then(arrived).leads_to(on_hand=10, value=gbp(3_000))
    given().when(take_in).then(arrived).leads_to(on_hand=5, value=gbp(2_000))


def test_an_adjustment_has_a_kind() -> None:
    for kind in KINDS:
        away = AdjustStock(sku="MUG", warehouse="NORTH", change=-1, reason="so", kind=kind, reference="RMA 7")
        event = StockAdjusted(sku="MUG", warehouse="NORTH", change=-1, reason="so", kind=kind, reference="RMA 7")
        given(received(5)).when(away).then(event)
    given(received(5)).when(AdjustStock(sku="MUG", warehouse="NORTH", change=-1, reason="so", kind="magic")).rejected(
        UNKNOWN_KIND, kind="magic"
    )


def adjust(change: int, reason: str = "counted") -> AdjustStock:
    return AdjustStock(sku="MUG", warehouse="NORTH", change=change, reason=reason)


def reserve(quantity: int) -> ReserveUnits:
    return ReserveUnits(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def release(quantity: int) -> ReleaseUnits:
    return ReleaseUnits(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def ship(quantity: int) -> ShipUnits:
    return ShipUnits(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def take_back(quantity: int) -> TakeBackUnits:
    return TakeBackUnits(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=quantity)


def mark(units: int) -> SetLowStockMark:
    return SetLowStockMark(sku="MUG", warehouse="NORTH", mark=units)


def test_units_come_in() -> None:
    given().when(receive(10, " PO 7 ")).then(received(10, "PO 7")).leads_to(on_hand=10, reserved=0, available=10)
    given(received(10)).when(receive(5)).then(received(5)).leads_to(on_hand=15)


def test_quantities_are_in_range() -> None:
    for quantity in (0, -1, MAX_QUANTITY + 1):
        for command in (receive(quantity), reserve(quantity), release(quantity), ship(quantity), take_back(quantity)):
            given(received(10), reserved(5)).when(command).rejected(QUANTITY_OUT_OF_RANGE, quantity=quantity)


def test_a_count_is_corrected_both_ways() -> None:
    def adjusted(change: int) -> StockAdjusted:
        return StockAdjusted(sku="MUG", warehouse="NORTH", change=change, reason="counted")

    given(received(10)).when(adjust(-4)).then(adjusted(-4)).leads_to(on_hand=6)
    given(received(10)).when(adjust(4)).then(adjusted(4)).leads_to(on_hand=14)
    given().when(adjust(4)).then(adjusted(4)).leads_to(on_hand=4)


def test_what_is_reserved_or_not_there_cannot_be_written_off() -> None:
    given(received(10), reserved(8)).when(adjust(-3)).rejected(ADJUSTMENT_TOO_LARGE, available=2, change=-3)
    given().when(adjust(-1)).rejected(ADJUSTMENT_TOO_LARGE, available=0)
    for change in (0, MAX_QUANTITY + 1, -MAX_QUANTITY - 1):
        given(received(10)).when(adjust(change)).rejected(CHANGE_OUT_OF_RANGE, change=change)


def test_units_are_set_aside_while_they_last() -> None:
    given(received(10)).when(reserve(4)).then(reserved(4)).leads_to(on_hand=10, reserved=4, available=6)
    given(received(10), reserved(4)).when(reserve(7)).rejected(OUT_OF_STOCK, available=6, wanted=7)
    given().when(reserve(1)).rejected(OUT_OF_STOCK, available=0)


def test_what_was_set_aside_is_freed_or_leaves() -> None:
    given(received(10), reserved(4)).when(release(3)).then(released(3)).leads_to(on_hand=10, reserved=1)
    given(received(10), reserved(4)).when(ship(4)).then(shipped(4)).leads_to(on_hand=6, reserved=0)


def test_nothing_else_is_freed_or_leaves() -> None:
    for command in (release(5), ship(5)):
        given(received(10), reserved(4)).when(command).rejected(NOT_RESERVED, reserved=4, quantity=5)
        given().when(command).rejected(NOT_RESERVED, reserved=0)


def test_units_come_back_from_a_customer() -> None:
    back = UnitsReturned(sku="MUG", warehouse="NORTH", order_id=ORDER, quantity=2)
    given(received(10), reserved(4), shipped(4)).when(take_back(2)).then(back).leads_to(on_hand=8, available=8)


# --- low stock -------------------------------------------------------------------------------------


def test_falling_to_the_mark_is_told_once() -> None:
    given(received(10), marked(3)).when(reserve(6)).then(reserved(6))
    given(received(10), marked(3)).when(reserve(7)).then(reserved(7), low(3, 3)).leads_to(low=True)
    given(received(10), marked(3), reserved(7), low(3, 3)).when(reserve(1)).then(reserved(1))
    given(received(10), marked(3), reserved(7), low(3, 3)).when(ship(7)).then(shipped(7)).leads_to(low=True)


def test_it_is_told_again_after_it_has_risen() -> None:
    story = (received(10), marked(3), reserved(7), low(3, 3))
    given(*story).when(receive(5)).then(received(5)).leads_to(low=False)
    given(*story, received(5)).when(reserve(5)).then(reserved(5), low(3, 3))
    given(*story, released(1)).when(reserve(1)).then(reserved(1), low(3, 3))


def test_a_write_off_can_be_what_brings_it_down() -> None:
    written_off = StockAdjusted(sku="MUG", warehouse="NORTH", change=-8, reason="counted")
    given(received(10), marked(3)).when(adjust(-8)).then(written_off, low(2, 3))


def test_the_mark_itself_can_be_what_is_crossed() -> None:
    given(received(10)).when(mark(10)).then(marked(10), low(10, 10))
    given(received(10), marked(10), low(10, 10)).when(mark(11)).then(marked(11)).leads_to(low=True)
    given(received(10), marked(10), low(10, 10)).when(mark(5)).then(marked(5)).leads_to(low=False)
    for units in (-1, MAX_QUANTITY + 1):
        given(received(10)).when(mark(units)).rejected(CHANGE_OUT_OF_RANGE, change=units)


# --- texts -----------------------------------------------------------------------------------------


def test_a_new_stream_needs_a_sound_sku_and_warehouse() -> None:
    given().when(ReceiveUnits(sku="A B", warehouse="NORTH", quantity=1)).rejected(WRONG_SHAPE, field="sku")
    given().when(ReceiveUnits(sku="MUG", warehouse="", quantity=1)).rejected(WRONG_SHAPE, field="warehouse")
    given().when(AdjustStock(sku="MUG", warehouse="N\x00", change=1, reason="x")).rejected(WRONG_SHAPE)
    given().when(SetLowStockMark(sku="", warehouse="NORTH", mark=1)).rejected(WRONG_SHAPE, field="sku")


def test_texts_are_plain() -> None:
    given().when(receive(1, "PO\x00")).rejected(TEXT_NOT_PLAIN, field="reference")
    given(received(1)).when(adjust(1, "")).rejected(TEXT_LENGTH, field="reason")


def test_a_sku_has_one_stock_in_a_warehouse() -> None:
    assert stock_id_of("MUG", "NORTH") == stock_id_of("MUG", "NORTH")
    assert len({stock_id_of(s, w) for s in ("A", "AB") for w in ("BC", "C")}) == 4
