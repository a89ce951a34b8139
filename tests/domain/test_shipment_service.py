"""A shipment that is held, released, or sent to another address than it was first."""

import pytest
from msgspec.structs import replace

from emporium.domain.base import Rejected
from emporium.domain.shipment import (
    AWAITED,
    CANCELLED,
    NO_SUCH_SHIPMENT,
    PREPARED,
    SHIPMENT,
    SHIPMENT_HELD,
    CancelShipment,
    HoldShipment,
    OrderShipped,
    PackParcel,
    ParcelGivenUp,
    ParcelLabelVoided,
    ReaddressShipment,
    RecordLabel,
    ReleaseShipment,
    ShipmentHeld,
    ShipmentReaddressed,
    ShipmentReaddressRefused,
    ShipmentReleased,
    ShipParcel,
)
from tests.domain.spec import given
from tests.domain.test_shipment import BOTH, ORDER, PREPARE, STOP, STOPPED, labelled, packed

HOLD, HELD = HoldShipment(order_id=ORDER, reason="odd"), ShipmentHeld(order_id=ORDER, reason="odd")
RELEASE, RELEASED = ReleaseShipment(order_id=ORDER), ShipmentReleased(order_id=ORDER)


def move(address: int) -> ReaddressShipment:
    return ReaddressShipment(order_id=ORDER, address=address)


def voided(parcel: int, attempt: int) -> ParcelLabelVoided:
    return ParcelLabelVoided(order_id=ORDER, parcel=parcel, attempt=attempt)


def label(parcel: int, *, attempt: int = 0, address: int = 0, pack: bool = False) -> RecordLabel:
    return RecordLabel(
        order_id=ORDER, parcel=parcel, carrier="Post", tracking_number=f"T{parcel}", tracking_url="/t", pack=pack,
        attempt=attempt, address=address,
    )  # fmt: skip


def test_nothing_is_packed_or_leaves_while_the_shipment_is_held() -> None:
    given(BOTH, labelled(1)).when(HOLD).then(HELD)
    given(BOTH, labelled(1), HELD).when(PackParcel(order_id=ORDER, parcel=1)).rejected(SHIPMENT_HELD, parcel=1)
    given(BOTH, labelled(1), HELD).when(ShipParcel(order_id=ORDER, parcel=1)).rejected(SHIPMENT_HELD, parcel=1)
    given(BOTH, HELD).when(label(1, pack=True)).then(labelled(1))
    given(BOTH, labelled(1), HELD, RELEASED).when(PackParcel(order_id=ORDER, parcel=1)).then(packed(1))


def test_a_packing_by_itself_that_something_came_before_is_no_work_for_people() -> None:
    """It would be parked for a person, though a release or another label lets the parcel go on by itself."""
    itself, wished = PackParcel(order_id=ORDER, parcel=1, if_due=True), PackParcel(order_id=ORDER, parcel=1)
    gone = OrderShipped(
        order_id=ORDER, parcel=2, of=2, items=(), carrier="Post", tracking_number="T2", tracking_url="/t"
    )
    given_up = ParcelGivenUp(order_id=ORDER, parcel=1, items=(), reason="undeliverable")
    for story in (
        (BOTH, labelled(1), HELD),
        (BOTH, labelled(1), voided(1, 1)),
        (BOTH, labelled(1), STOPPED),
        (BOTH, labelled(1), labelled(2), packed(2), gone, given_up),
    ):
        given(*story).when(itself).then()
        with pytest.raises(Rejected):
            SHIPMENT.decide(wished, given(*story).state)
    given(BOTH, labelled(1)).when(itself).then(packed(1))


def test_a_hold_may_come_before_there_is_anything_to_hold() -> None:
    given().when(HOLD).then(HELD).leads_to(status=AWAITED, held=True)
    given(HELD).when(PREPARE).then(BOTH).leads_to(status=PREPARED, held=True)
    given(HELD).when(STOP).then(STOPPED).leads_to(status=CANCELLED)
    given(HELD).when(HOLD).then()
    given(HELD).when(RELEASE).then(RELEASED).leads_to(status=AWAITED, held=False)
    given(STOPPED).when(HOLD).then()
    given(BOTH).when(RELEASE).then()
    given().when(RELEASE).rejected(NO_SUCH_SHIPMENT)


def test_what_is_not_packed_gets_a_label_for_the_new_address() -> None:
    given(BOTH, labelled(1)).when(move(1)).then(voided(1, 1), voided(2, 1))
    given(BOTH, labelled(1), packed(1)).when(move(1)).then(voided(2, 1))
    # The label that was asked for before is not used; the next one is.
    given(BOTH, voided(1, 1)).when(label(1)).then()
    again = replace(labelled(1), address=1)
    given(BOTH, voided(1, 1)).when(label(1, attempt=1, address=1)).then(again)
    # Whoever asked read the new address already.
    given(BOTH, again).when(move(1)).then(voided(2, 1))


def test_an_address_may_come_before_there_is_anything_to_send() -> None:
    moved = ShipmentReaddressed(order_id=ORDER, address=2)
    given().when(move(2)).then(moved).leads_to(status=AWAITED, address=2, held=False)
    given(HELD).when(move(2)).then(moved).leads_to(held=True, address=2)
    given(moved).when(PREPARE).then(BOTH).leads_to(status=PREPARED, address=2)
    given(moved).when(CancelShipment(order_id=ORDER, reason="cancelled")).then(STOPPED)


def test_once_all_is_packed_the_address_stays() -> None:
    all_packed = (BOTH, labelled(1), packed(1), labelled(2), packed(2))
    given(*all_packed).when(move(1)).then(ShipmentReaddressRefused(order_id=ORDER, address=0))
    # Packed for the new address, of which the shipment hears only now.
    newer = (BOTH, labelled(1), packed(1), replace(labelled(2), address=1), packed(2))
    given(*newer).when(move(1)).then()
    given(*newer).when(move(2)).then(ShipmentReaddressRefused(order_id=ORDER, address=1))
    given(STOPPED).when(move(1)).then()
