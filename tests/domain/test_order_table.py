"""The table of an order's transitions is what its decisions really do: no row missing, none that cannot happen."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from functools import cache

import msgspec
import pytest

from emporium.domain.base import Command, Event, Rejected
from emporium.domain.cancellations import CancelLines, ConfirmLinesCancellation, RefuseLinesCancellation
from emporium.domain.invoice import Seller
from emporium.domain.order import (
    BESIDE,
    ORDER,
    PENDING,
    TERMINAL,
    TRANSITIONS,
    AddNote,
    ChangeAddress,
    CompleteOrder,
    ConfirmCancellation,
    FailOrder,
    GrantGoodwill,
    HoldOrder,
    IssueCreditNote,
    IssueInvoice,
    OrderClaimed,
    OrderCreated,
    OrderHeld,
    OrderNoteAdded,
    OrderState,
    RecordBackorder,
    RecordDispatch,
    RecordOrderRefund,
    RecordPayment,
    RecordReservation,
    RecordShortage,
    RefuseCancellation,
    ReleaseOrder,
    RequestCancellation,
    RequestMessage,
    RestoreAddress,
    ReturnLines,
    WriteOffParcel,
    decide,
    evolve,
)
from emporium.domain.returns import (
    ApproveReturn,
    ReceiveReturn,
    RefuseReturn,
    RequestReturn,
    ReturnRequested,
    WantedLine,
)
from tests.domain.spec import NOW, gbp, sealed, uid
from tests.domain.test_order import CREATED, WAITS

ID = uid(1)

Table = dict[str, dict[type[Event], frozenset[str]]]


def commands(parcels: int) -> Sequence[Command]:
    """Every command of an order that exists, where it ships in so many parcels."""
    return [
        RecordPayment(order_id=ID, amount=gbp(1_500)),
        RecordReservation(order_id=ID),
        RecordBackorder(order_id=ID, waiting=WAITS.waiting),
        RecordShortage(order_id=ID, short=()),
        *(
            RecordDispatch(order_id=ID, parcel=n, of=parcels, carrier="Post", tracking_number="T", tracking_url="/")
            for n in range(1, parcels + 1)
        ),
        CompleteOrder(order_id=ID),
        FailOrder(order_id=ID, reason="out_of_stock"),
        RequestCancellation(order_id=ID, reason="changed my mind"),
        ConfirmCancellation(order_id=ID),
        RefuseCancellation(order_id=ID, reason="already_packed"),
        CancelLines(order_id=ID, cancellation_id=uid(4), lines=((1, 1),), reason="too many", by_staff=True),
        ConfirmLinesCancellation(order_id=ID, cancellation_id=uid(4), left_out=parcels // 2),
        RefuseLinesCancellation(order_id=ID, cancellation_id=uid(4), reason="already_packed"),
        ReturnLines(order_id=ID, return_id=uid(5), lines=((1, 1),), reason="chipped"),
        WriteOffParcel(order_id=ID, return_id=uid(7), items={"MUG": 1}, restock=False, reason="parcel_lost"),
        GrantGoodwill(order_id=ID, refund_id=uid(6), amount=gbp(5), reason="late"),
        RecordOrderRefund(order_id=ID, refund_id=uid(6), amount=gbp(5)),
    ]


def beside() -> Sequence[Command]:
    """Every command that leaves the status as it is."""
    wanted = WantedLine(line=1, quantity=1, reason="broken")
    shop = Seller(legal_name="Shop")
    return [
        IssueInvoice(order_id=ID, number="INV-1", seller=shop, at=NOW),
        HoldOrder(order_id=ID, reason="odd"),
        ReleaseOrder(order_id=ID),
        ChangeAddress(order_id=ID, ship_to=sealed("there", "OrderAddressChanged"), country=CREATED.country),
        RestoreAddress(order_id=ID, revision=0),
        AddNote(order_id=ID, note_id=uid(8), note=sealed("note", "OrderNoteAdded")),
        RequestMessage(order_id=ID, request_id=uid(8), message="order_shipped"),
        RequestReturn(
            order_id=ID, return_id=uid(9), lines=(wanted,), delivered_at=NOW, window=timedelta(days=30), at=NOW
        ),
        ApproveReturn(order_id=ID, return_id=uid(9)),
        ReceiveReturn(order_id=ID, return_id=uid(9)),
        RefuseReturn(order_id=ID, return_id=uid(9), reason="worn"),
        IssueCreditNote(order_id=ID, number="CN-1", refund_id=uid(6), seller=shop, at=NOW),
    ]


@cache
def explore(parcels: int) -> tuple[Table, dict[bytes, OrderState]]:
    """Every transition that any sequence of commands can make, and every state that it can reach."""
    first = evolve(None, CREATED)
    seen = {msgspec.json.encode(first): first}
    todo = [first]
    found: dict[str, dict[type[Event], set[str]]] = defaultdict(lambda: defaultdict(set))
    while todo:
        before = todo.pop()
        for command in commands(parcels):
            try:
                events = decide(command, before)
            except Rejected:
                continue
            state = before
            for event in events:
                after = evolve(state, event)
                found[state.status][type(event)].add(after.status)
                state = after
            if seen.setdefault(msgspec.json.encode(state), state) is state and state is not before:
                todo.append(state)
    return {s: {e: frozenset(to) for e, to in row.items()} for s, row in found.items()}, seen


@pytest.mark.no_cover
def test_the_table_is_exactly_what_happens() -> None:
    happens: Table = defaultdict(dict)
    for parcels in (1, 3):
        for status, row in explore(parcels)[0].items():
            for event, leads_to in row.items():
                happens[status][event] = happens[status].get(event, frozenset()) | leads_to
    assert {s: {e.__name__: to for e, to in row.items()} for s, row in happens.items()} == {
        s: {e.__name__: to for e, to in row.items()} for s, row in TRANSITIONS.items()
    }


def test_every_event_has_its_place_in_the_table() -> None:
    moving = {event for row in TRANSITIONS.values() for event in row}
    assert moving | set(BESIDE) == set(ORDER.events) - {OrderCreated}
    assert not moving & set(BESIDE)


@pytest.mark.no_cover
def test_what_happens_beside_the_way_happens_where_the_table_says_and_changes_no_status() -> None:
    happens: dict[type[Event], set[str]] = defaultdict(set)
    for before in explore(1)[1].values():
        todo, seen = [before], {msgspec.json.encode(before)}
        while todo:
            state = todo.pop()
            for command in beside():
                try:
                    events = decide(command, state)
                except Rejected:
                    continue
                after = state
                for event in events:
                    after = evolve(after, event)
                    if type(event) in BESIDE:
                        happens[type(event)].add(state.status)
                assert after.status == state.status
                if msgspec.json.encode(after) not in seen and len(seen) < 20:
                    seen.add(msgspec.json.encode(after))
                    todo.append(after)
    # The order of this test is a customer's already.
    assert happens.keys() == BESIDE.keys() - {OrderClaimed}
    for event, statuses in happens.items():
        assert statuses <= BESIDE[event], event
    assert happens[OrderNoteAdded] == TRANSITIONS.keys() - {"partly_shipped"}
    assert happens[OrderHeld] == BESIDE[OrderHeld] - {"partly_shipped"}
    assert happens[ReturnRequested] == {"fulfilled"}


def test_every_status_can_be_reached_and_every_open_one_has_a_way_out() -> None:
    reached = {PENDING} | {to for row in TRANSITIONS.values() for after in row.values() for to in after}
    assert reached == TRANSITIONS.keys()
    way_out = set(TERMINAL)
    while grown := {s for s, row in TRANSITIONS.items() if any(to & way_out for to in row.values())} - way_out:
        way_out |= grown
    assert way_out == TRANSITIONS.keys()


def test_what_is_closed_stays_closed() -> None:
    for status in TERMINAL:
        assert {to for after in TRANSITIONS[status].values() for to in after} == {status}


def test_no_state_gives_back_more_than_was_paid() -> None:
    for state in explore(1)[1].values():
        assert 0 <= state.given_back <= state.total.amount
