"""What may be sold before it is there, and who waits for it."""

from datetime import date, timedelta

import pytest

from emporium.domain.backorder import (
    BACKORDER_LIMIT,
    EXPECTED_IN_PAST,
    MAX_LIMIT,
    NO_BACKORDER,
    NOT_WAITING,
    UNKNOWN_BACKORDER,
    AllowBackorder,
    BackorderAllowed,
    BackorderEnded,
    BackorderFilled,
    BackorderReleased,
    BackorderUnits,
    EndBackorder,
    FillBackorder,
    ReleaseBackorder,
    UnitsBackordered,
)
from emporium.domain.base import QUANTITY_OUT_OF_RANGE, Reason
from tests.domain.spec import given, uid

TODAY, MAY = date(2026, 3, 1), date(2026, 5, 4)
ONE, TWO, THREE = uid(1), uid(2), uid(3)
ALLOWED = BackorderAllowed(sku="MUG", kind="backorder", limit=5, expected=MAY)
ENDED = BackorderEnded(sku="MUG")


def allow(kind: str = "backorder", limit: int = 5, expected: date = MAY) -> AllowBackorder:
    return AllowBackorder(sku="MUG", kind=kind, limit=limit, expected=expected, today=TODAY)


def waits(order: int, quantity: int) -> UnitsBackordered:
    return UnitsBackordered(sku="MUG", order_id=uid(order), quantity=quantity)


def test_staff_set_change_and_withdraw_it() -> None:
    given().when(allow()).then(ALLOWED).leads_to(kind="backorder", limit=5, expected=MAY, left=5)
    given(ALLOWED).when(allow()).then()
    later = BackorderAllowed(sku="MUG", kind="preorder", limit=2, expected=TODAY)
    given(ALLOWED).when(allow("preorder", 2, TODAY)).then(later).leads_to(kind="preorder", left=2)
    given(ALLOWED, waits(1, 2)).when(EndBackorder(sku="MUG")).then(ENDED).leads_to(left=0, kind=None, backordered=2)
    for nothing in (given(), given(ALLOWED, ENDED)):
        nothing.when(EndBackorder(sku="MUG")).rejected(NO_BACKORDER)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (allow("someday"), UNKNOWN_BACKORDER),
        (allow(limit=0), QUANTITY_OUT_OF_RANGE),
        (allow(limit=MAX_LIMIT + 1), QUANTITY_OUT_OF_RANGE),
        (allow(expected=TODAY - timedelta(days=1)), EXPECTED_IN_PAST),
    ],
)
def test_what_makes_no_sense_is_refused(command: AllowBackorder, reason: Reason) -> None:
    given().when(command).rejected(reason)


def test_orders_wait_in_their_turn_up_to_the_limit() -> None:
    ask = BackorderUnits(sku="MUG", order_id=THREE, quantity=2)
    given(ALLOWED, waits(1, 2), waits(2, 1)).when(ask).then(waits(3, 2)).leads_to(left=0, backordered=5)
    given(ALLOWED, waits(1, 2), waits(2, 2)).when(ask).rejected(BACKORDER_LIMIT, left=1)
    given(ALLOWED, waits(3, 2)).when(ask).then()
    given().when(ask).rejected(BACKORDER_LIMIT, left=0)
    given(ALLOWED, ENDED).when(ask).rejected(BACKORDER_LIMIT, left=0)
    assert list(given(ALLOWED, waits(2, 1), waits(1, 1), waits(3, 1)).state.waiting) == [TWO, ONE, THREE]


def test_a_lowered_limit_takes_nothing_from_who_waits() -> None:
    lower = BackorderAllowed(sku="MUG", kind="backorder", limit=1, expected=MAY)
    given(ALLOWED, waits(1, 4)).when(allow(limit=1)).then(lower).leads_to(left=0, waiting={ONE: 4})


def test_what_comes_goes_to_who_waits_and_keeps_him_his_place() -> None:
    filled = BackorderFilled(sku="MUG", order_id=ONE, quantity=1)
    fill = FillBackorder(sku="MUG", order_id=ONE, quantity=1)
    state = given(ALLOWED, waits(1, 2), waits(2, 1)).when(fill).then(filled).state
    assert list(state.waiting.items()) == [(ONE, 1), (TWO, 1)]
    given(ALLOWED, waits(1, 2), filled).when(fill).then(filled).leads_to(waiting={})
    given(ALLOWED, waits(1, 2), filled, filled).when(fill).rejected(NOT_WAITING, waiting=0)


def test_who_comes_to_nothing_leaves_the_queue() -> None:
    released = BackorderReleased(sku="MUG", order_id=ONE, quantity=2)
    leave = ReleaseBackorder(sku="MUG", order_id=ONE)
    given(ALLOWED, waits(1, 2), waits(2, 1)).when(leave).then(released).leads_to(waiting={TWO: 1}, left=4)
    given(ALLOWED, waits(1, 2), released).when(leave).then()
    given().when(leave).then()
