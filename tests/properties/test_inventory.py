"""Stock is never negative, never promised twice and never lost, whatever orders and warehouses do."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emporium.domain.base import Command, Event, Money, Rejected
from emporium.domain.reservation import (
    RESERVATION,
    Allocation,
    ParcelReleased,
    ReleaseParcel,
    ReleaseReservation,
    ReservationReturned,
    ReservationShipped,
    ReservationState,
    ReserveStock,
    ReturnUnits,
    ShipReservation,
    StockReleased,
    StockReserved,
    allocate,
)
from emporium.domain.stock import (
    STOCK,
    AdjustStock,
    ReceiveUnits,
    ReleaseUnits,
    ReserveUnits,
    SendUnitsAway,
    SetLowStockMark,
    ShipUnits,
    StockAdjusted,
    StockState,
    TakeBackUnits,
    TakeInUnits,
    UnitsArrived,
    UnitsReceived,
    UnitsReturned,
    UnitsSentAway,
    UnitsShipped,
)
from emporium.domain.transfer import (
    TRANSFER,
    LoseTransfer,
    ReceiveTransfer,
    SendTransfer,
    TransferLine,
    TransferState,
)
from tests.domain.spec import uid

SKUS, WAREHOUSES, ORDERS = ("MUG", "PEN"), ("NORTH", "SOUTH", "EAST"), (uid(1), uid(2), uid(3))
PLACES = st.tuples(st.sampled_from(SKUS), st.sampled_from(WAREHOUSES))
WANTED = st.dictionaries(st.sampled_from(SKUS), st.integers(min_value=1, max_value=9), min_size=1)


class InventoryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stocks: dict[tuple[str, str], StockState] = {}
        self.orders: dict[UUID, ReservationState] = {}
        self.moved: dict[tuple[str, str], int] = {}
        self.transfers: list[TransferState] = []

    def stock(self, command: Command, place: tuple[str, str]) -> None:
        for event in STOCK.decide(command, self.stocks.get(place)):
            self.stocks[place] = STOCK.evolve(self.stocks.get(place), event)
            match event:
                case UnitsReceived(quantity=change) | UnitsReturned(quantity=change) | StockAdjusted(change=change):
                    self.moved[place] = self.moved.get(place, 0) + change
                case UnitsArrived(quantity=come):
                    self.moved[place] = self.moved.get(place, 0) + come
                case UnitsShipped(quantity=gone) | UnitsSentAway(quantity=gone):
                    self.moved[place] -= gone

    def order(self, order_id: UUID, command: Command) -> None:
        """The reservation decides; what it decides must be possible in every stock that it touches."""
        try:
            events = RESERVATION.decide(command, self.orders.get(order_id))
        except Rejected:
            return
        for event in events:
            self.orders[order_id] = RESERVATION.evolve(self.orders.get(order_id), event)
            for kind, one in self.steps(event):
                self.stock(
                    kind(sku=one.sku, warehouse=one.warehouse, order_id=order_id, quantity=one.quantity),
                    (one.sku, one.warehouse),
                )

    @staticmethod
    def steps(event: Event) -> list[tuple[type[Command], Allocation]]:
        match event:
            case StockReserved():
                return [(ReserveUnits, one) for one in event.allocations]
            case StockReleased() | ParcelReleased():
                return [(ReleaseUnits, one) for one in event.allocations]
            case ReservationShipped():
                return [(ShipUnits, one) for one in event.allocations]
            case ReservationReturned():
                return [(TakeBackUnits, one) for one in event.allocations]
            case _:
                return []

    @rule(place=PLACES, quantity=st.integers(min_value=1, max_value=9))
    def receive(self, place: tuple[str, str], quantity: int) -> None:
        self.stock(ReceiveUnits(sku=place[0], warehouse=place[1], quantity=quantity), place)

    @rule(place=PLACES, change=st.integers(min_value=-9, max_value=9))
    def adjust(self, place: tuple[str, str], change: int) -> None:
        try:
            self.stock(AdjustStock(sku=place[0], warehouse=place[1], change=change, reason="counted"), place)
        except Rejected as refused:
            free = self.stocks[place].available if place in self.stocks else 0
            assert change == 0 or free + change < 0, refused

    @rule(place=PLACES, quantity=st.integers(min_value=1, max_value=9))
    def send(self, place: tuple[str, str], quantity: int) -> None:
        sku, source = place
        number = uid(100 + len(self.transfers))
        target = WAREHOUSES[WAREHOUSES.index(source) - 1]
        send = SendTransfer(transfer_id=number, source=source, target=target, lines=(TransferLine(sku, quantity),))
        away = SendUnitsAway(sku=sku, warehouse=source, transfer_id=number, quantity=quantity)
        try:
            self.stock(away, place)
        except Rejected:
            return
        [sent] = TRANSFER.decide(send, None)
        self.transfers.append(TRANSFER.evolve(None, sent))

    @rule(
        which=st.integers(min_value=0, max_value=3), quantity=st.integers(min_value=1, max_value=9), lost=st.booleans()
    )
    def end(self, which: int, quantity: int, lost: bool) -> None:
        if which >= len(self.transfers):
            return
        state = self.transfers[which]
        [sku] = [one.sku for one in state.sent]
        units = {sku: quantity}
        command: Command = ReceiveTransfer(transfer_id=state.transfer_id, units=units)
        if lost:
            command = LoseTransfer(transfer_id=state.transfer_id, units=units, reason="lost")
        try:
            [event] = TRANSFER.decide(command, state)
        except Rejected:
            assert quantity > state.on_the_way.get(sku, 0)
            return
        self.transfers[which] = TRANSFER.evolve(state, event)
        if not lost:
            take_in = TakeInUnits(sku=sku, warehouse=state.target, transfer_id=state.transfer_id, quantity=quantity)
            self.stock(take_in, (sku, state.target))

    @rule(place=PLACES, mark=st.integers(min_value=0, max_value=9))
    def mark(self, place: tuple[str, str], mark: int) -> None:
        self.stock(SetLowStockMark(sku=place[0], warehouse=place[1], mark=mark), place)

    @rule(order_id=st.sampled_from(ORDERS), wanted=WANTED)
    def reserve(self, order_id: UUID, wanted: dict[str, int]) -> None:
        available = {
            sku: {w: self.stocks[sku, w].available if (sku, w) in self.stocks else 0 for w in WAREHOUSES}
            for sku in wanted
        }
        enough = all(sum(available[sku].values()) >= units for sku, units in wanted.items())
        new = order_id not in self.orders
        self.order(order_id, ReserveStock(order_id=order_id, payment_id=uid(9), wanted=wanted, available=available))
        if new:
            assert (self.orders[order_id].status == "reserved") == enough

    @rule(order_id=st.sampled_from(ORDERS))
    def release(self, order_id: UUID) -> None:
        self.order(order_id, ReleaseReservation(order_id=order_id, reason="cancelled"))

    @rule(
        order_id=st.sampled_from(ORDERS),
        warehouse=st.sampled_from(WAREHOUSES),
        more=st.booleans(),
        kind=st.sampled_from([ShipReservation, ReleaseParcel]),
    )
    def settle(
        self, order_id: UUID, warehouse: str, more: bool, kind: type[ShipReservation] | type[ReleaseParcel]
    ) -> None:
        held = self.orders[order_id].held if order_id in self.orders else ()
        items = tuple(one for one in held if one.warehouse == warehouse)
        if more and items:
            first = items[0]
            items = (Allocation(first.sku, first.warehouse, first.quantity + 1), *items[1:])
        if items:
            parcel = WAREHOUSES.index(warehouse) + 1
            self.order(order_id, kind(order_id=order_id, parcel=parcel, allocations=items))

    @rule(order_id=st.sampled_from(ORDERS), number=st.integers(min_value=1, max_value=2), restock=st.booleans())
    def come_back(self, order_id: UUID, number: int, restock: bool) -> None:
        gone = self.orders[order_id].shipped if order_id in self.orders else ()
        if gone:
            units = {gone[0].sku: 1}
            self.order(order_id, ReturnUnits(order_id=order_id, return_id=uid(number), units=units, restock=restock))

    @invariant()
    def no_stock_is_negative_or_promised_twice(self) -> None:
        for state in self.stocks.values():
            assert 0 <= state.reserved <= state.on_hand

    @invariant()
    def what_orders_hold_is_what_is_reserved(self) -> None:
        for (sku, warehouse), state in self.stocks.items():
            held = (one for order in self.orders.values() for one in order.held)
            mine = (one.quantity for one in held if (one.sku, one.warehouse) == (sku, warehouse))
            assert sum(mine) == state.reserved

    @invariant()
    def nothing_appears_or_vanishes(self) -> None:
        for place, state in self.stocks.items():
            assert state.on_hand == self.moved.get(place, 0)

    @invariant()
    def what_was_sent_arrived_is_lost_or_on_the_way(self) -> None:
        for state in self.transfers:
            sent = sum(one.quantity for one in state.sent)
            there = (state.arrived, state.lost, state.on_the_way)
            assert sent == sum(sum(units.values()) for units in there)
            assert min(state.on_the_way.values(), default=0) >= 0

    @invariant()
    def low_is_told_whenever_it_is_low(self) -> None:
        for state in self.stocks.values():
            assert state.low == (state.mark is not None and state.available <= state.mark)


TestInventory = InventoryMachine.TestCase


class StockMachine(RuleBasedStateMachine):
    """One stock by itself, told to do anything."""

    def __init__(self) -> None:
        super().__init__()
        self.state: StockState | None = None

    @rule(
        kind=st.sampled_from([ReceiveUnits, ReserveUnits, ReleaseUnits, ShipUnits, TakeBackUnits, AdjustStock]),
        units=st.integers(min_value=-4, max_value=4),
    )
    def do(self, kind: type[Command], units: int) -> None:
        given_ = {"sku": "MUG", "warehouse": "NORTH", "order_id": uid(1), "quantity": units, "change": units}
        given_ |= {"reason": "counted", "unit_cost": Money(abs(units), "GBP")}
        fields = {name: given_[name] for name in kind.__struct_fields__ if name in given_}
        before = self.state
        try:
            events = STOCK.decide(kind(**fields), self.state)
        except Rejected:
            return
        for event in events:
            self.state = STOCK.evolve(self.state, event)
        if before is not None and self.state is not None and kind in (ReserveUnits, ReleaseUnits, ShipUnits):
            supplied = [one.on_hand + one.shipped for one in (before, self.state)]
            assert supplied[0] == supplied[1], "a sale does not change what was ever supplied"

    @invariant()
    def it_is_worth_no_less_than_nothing(self) -> None:
        value = None if self.state is None else self.state.value
        assert value is None or value.amount >= 0

    @invariant()
    def it_is_never_negative_or_promised_twice(self) -> None:
        if self.state is not None:
            assert 0 <= self.state.reserved <= self.state.on_hand


TestStock = StockMachine.TestCase


ROOM = st.tuples(*[st.integers(min_value=0, max_value=6)] * len(WAREHOUSES))
AVAILABLE = st.fixed_dictionaries(
    {sku: ROOM.map(lambda units: dict(zip(WAREHOUSES, units, strict=True))) for sku in ("MUG", "PEN", "CUP")}
)
WANTED_OF_THREE = st.dictionaries(
    st.sampled_from(["MUG", "PEN", "CUP"]), st.integers(min_value=1, max_value=12), min_size=1
)


@given(wanted=WANTED_OF_THREE, available=AVAILABLE)
def test_all_is_taken_or_nothing_and_never_more_than_there_is(
    wanted: dict[str, int], available: dict[str, dict[str, int]]
) -> None:
    taken, short = allocate(wanted, available)
    lacking = {sku for sku, units in wanted.items() if sum(available[sku].values()) < units}
    assert {one.sku for one in short} == lacking
    assert all(one.available < one.wanted == wanted[one.sku] for one in short)
    if lacking:
        assert taken == ()
        return
    places = [(one.sku, one.warehouse) for one in taken]
    assert len(places) == len(set(places))
    assert all(0 < one.quantity <= available[one.sku][one.warehouse] for one in taken)
    assert {sku: sum(one.quantity for one in taken if one.sku == sku) for sku in wanted} == wanted


@given(wanted=WANTED_OF_THREE, available=AVAILABLE)
def test_one_warehouse_is_enough_when_one_has_everything(
    wanted: dict[str, int], available: dict[str, dict[str, int]]
) -> None:
    sufficient = [w for w in WAREHOUSES if all(available[sku][w] >= units for sku, units in wanted.items())]
    taken, _ = allocate(wanted, available)
    if sufficient:
        assert {one.warehouse for one in taken} == {sufficient[0]}
