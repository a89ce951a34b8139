"""What the shipment of an order does."""

import pytest

from emporium.domain.base import Command, Event
from emporium.domain.reservation import Allocation
from emporium.domain.shipment import (
    CANCELLED,
    FULFILLED,
    NO_SUCH_PARCEL,
    NO_SUCH_SHIPMENT,
    NOTHING_LEFT_YET,
    PARCEL_GIVEN_UP,
    PARCEL_NOT_LABELLED,
    PARCEL_NOT_REFUSED,
    PARCEL_NOT_SHIPPED,
    PARCEL_PACKED,
    PREPARED,
    SHIPMENT_CANCELLED,
    SHIPMENT_HELD,
    SHIPPED,
    CancelShipment,
    GiveUpParcel,
    HoldShipment,
    OrderFulfilled,
    OrderShipped,
    PackParcel,
    Parcel,
    ParcelDelivered,
    ParcelGivenUp,
    ParcelLabelled,
    ParcelLabelVoided,
    ParcelLost,
    ParcelPacked,
    ParcelRefused,
    ParcelReturned,
    PrepareShipment,
    ReaddressShipment,
    RecordDelivery,
    RecordLabel,
    RecordLoss,
    RecordParcelRefusal,
    RecordReturnToSender,
    ReleaseShipment,
    RetryParcel,
    ShipmentCancellationRefused,
    ShipmentCancelled,
    ShipmentHeld,
    ShipmentPrepared,
    ShipmentReaddressRefused,
    ShipmentReleased,
    ShipParcel,
    shipment_id_of,
)
from tests.domain.spec import given, uid

ORDER = uid(1)
MUGS, PENS, CUPS = Allocation("MUG", "NORTH", 3), Allocation("PEN", "SOUTH", 1), Allocation("CUP", "NORTH", 1)
PREPARE = PrepareShipment(order_id=ORDER, allocations=(MUGS, PENS, CUPS))
BOTH = ShipmentPrepared(order_id=ORDER, parcels=(Parcel(1, "NORTH", (MUGS, CUPS)), Parcel(2, "SOUTH", (PENS,))))
STOP = CancelShipment(order_id=ORDER, reason="cancelled")
STOPPED = ShipmentCancelled(order_id=ORDER, reason="cancelled")
NOT_STOPPED = ShipmentCancellationRefused(order_id=ORDER, reason="already_packed")
DONE = OrderFulfilled(order_id=ORDER)


def labelled(parcel: int) -> ParcelLabelled:
    return ParcelLabelled(
        order_id=ORDER, parcel=parcel, carrier="Post", tracking_number=f"T{parcel}", tracking_url="/t"
    )


def packed(parcel: int) -> ParcelPacked:
    return ParcelPacked(order_id=ORDER, parcel=parcel)


def shipped(parcel: int) -> OrderShipped:
    return OrderShipped(
        order_id=ORDER,
        parcel=parcel,
        of=2,
        items=(MUGS, CUPS) if parcel == 1 else (PENS,),
        carrier="Post",
        tracking_number=f"T{parcel}",
        tracking_url="/t",
    )


def delivered(parcel: int) -> ParcelDelivered:
    return ParcelDelivered(order_id=ORDER, parcel=parcel)


def refused(parcel: int) -> ParcelRefused:
    return ParcelRefused(order_id=ORDER, parcel=parcel, reason="no_such_address")


def label(parcel: int, *, pack: bool = False) -> RecordLabel:
    return RecordLabel(
        order_id=ORDER, parcel=parcel, carrier="Post", tracking_number=f"T{parcel}", tracking_url="/t", pack=pack
    )


def refuse(parcel: int) -> RecordParcelRefusal:
    return RecordParcelRefusal(order_id=ORDER, parcel=parcel, reason="no_such_address")


def pack(parcel: int) -> PackParcel:
    return PackParcel(order_id=ORDER, parcel=parcel)


def ship(parcel: int) -> ShipParcel:
    return ShipParcel(order_id=ORDER, parcel=parcel)


def deliver(parcel: int) -> RecordDelivery:
    return RecordDelivery(order_id=ORDER, parcel=parcel)


STATES: dict[str, tuple[Event, ...]] = {
    PREPARED: (BOTH,),
    SHIPPED: (BOTH, labelled(1), packed(1), shipped(1)),
    FULFILLED: (
        *(BOTH, labelled(1), packed(1), shipped(1), labelled(2), packed(2), shipped(2)),
        *(delivered(1), delivered(2), DONE),
    ),
    CANCELLED: (BOTH, STOPPED),
}


@pytest.mark.parametrize("status", STATES)
def test_every_status_is_reached_by_its_story(status: str) -> None:
    assert given(*STATES[status]).state.status == status


def test_there_is_one_parcel_for_each_warehouse() -> None:
    given().when(PREPARE).then(BOTH).leads_to(status=PREPARED)


@pytest.mark.parametrize("status", STATES)
def test_a_shipment_is_prepared_once_and_never_after_its_end(status: str) -> None:
    given(*STATES[status]).when(PREPARE).then()


@pytest.mark.parametrize(
    "command", [label(1), refuse(1), pack(1), ship(1), deliver(1)], ids=lambda command: type(command).__name__
)
def test_a_parcel_must_be_there(command: Command) -> None:
    given().when(command).rejected(NO_SUCH_SHIPMENT)
    given(STOPPED).when(command).rejected(SHIPMENT_CANCELLED)
    other = type(command)(**{f: getattr(command, f) for f in command.__struct_fields__} | {"parcel": 3})
    given(BOTH).when(other).rejected(NO_SUCH_PARCEL, parcel=3)


# --- the label -------------------------------------------------------------------------------------


def test_the_carrier_gives_a_label() -> None:
    given(BOTH).when(label(1)).then(labelled(1)).leads_to(status=PREPARED)
    given(BOTH, labelled(1)).when(label(1)).then()
    given(BOTH, STOPPED).when(label(1)).then()


def test_a_label_may_pack_at_once() -> None:
    given(BOTH).when(label(1, pack=True)).then(labelled(1), packed(1))


def test_the_carrier_refuses_an_address_until_it_gives_a_label() -> None:
    given(BOTH).when(refuse(1)).then(refused(1))
    given(BOTH, refused(1)).when(refuse(1)).then()
    given(BOTH, refused(1)).when(label(1)).then(labelled(1))
    given(BOTH, labelled(1)).when(refuse(1)).then()
    given(BOTH, STOPPED).when(refuse(1)).then()
    assert given(BOTH, refused(1), labelled(1)).state.parcels[1].refused is None


# --- on the way ------------------------------------------------------------------------------------


def test_a_parcel_is_packed_once_it_has_a_label() -> None:
    given(BOTH).when(pack(1)).rejected(PARCEL_NOT_LABELLED, parcel=1)
    given(BOTH, labelled(1)).when(pack(1)).then(packed(1))
    given(BOTH, labelled(1), packed(1)).when(pack(1)).then()
    given(BOTH, labelled(1), STOPPED).when(pack(1)).rejected(SHIPMENT_CANCELLED)


def test_the_carrier_has_the_parcel() -> None:
    given(BOTH, labelled(1), packed(1)).when(ship(1)).then(shipped(1)).leads_to(status=SHIPPED)
    given(BOTH, labelled(1)).when(ship(1)).then(packed(1), shipped(1))
    given(*STATES[SHIPPED]).when(ship(1)).then()
    given(BOTH).when(ship(1)).rejected(PARCEL_NOT_LABELLED, parcel=1)
    given(BOTH, labelled(1), STOPPED).when(ship(1)).rejected(SHIPMENT_CANCELLED)


def test_the_order_is_fulfilled_when_its_last_parcel_has_arrived() -> None:
    both_gone = (*STATES[SHIPPED], labelled(2), packed(2), shipped(2))
    given(*STATES[SHIPPED]).when(deliver(1)).then(delivered(1)).leads_to(status=SHIPPED)
    given(*both_gone).when(deliver(2)).then(delivered(2)).leads_to(status=SHIPPED)
    given(*both_gone, delivered(2)).when(deliver(1)).then(delivered(1), DONE).leads_to(status=FULFILLED)
    given(*STATES[FULFILLED]).when(deliver(1)).then()


def test_what_has_not_left_cannot_arrive() -> None:
    given(BOTH).when(deliver(1)).rejected(PARCEL_NOT_SHIPPED, parcel=1)
    given(*STATES[SHIPPED]).when(deliver(2)).rejected(PARCEL_NOT_SHIPPED, parcel=2)


# --- cancellation ----------------------------------------------------------------------------------


def test_a_shipment_can_be_stopped_until_a_parcel_is_packed() -> None:
    given(BOTH).when(STOP).then(STOPPED).leads_to(status=CANCELLED)
    given(BOTH, labelled(1), labelled(2)).when(STOP).then(STOPPED)
    given(BOTH, labelled(1), packed(1)).when(STOP).then(NOT_STOPPED).leads_to(status=PREPARED)


@pytest.mark.parametrize("status", [SHIPPED, FULFILLED])
def test_then_it_is_too_late(status: str) -> None:
    given(*STATES[status]).when(STOP).then(NOT_STOPPED).leads_to(status=status)


def test_a_cancellation_before_the_shipment_forbids_it() -> None:
    given().when(STOP).then(STOPPED).leads_to(status=CANCELLED)
    given(STOPPED).when(PREPARE).then()
    given(STOPPED).when(STOP).then()
    given(BOTH, STOPPED).when(STOP).then()


def test_an_order_has_one_shipment() -> None:
    assert shipment_id_of(ORDER) == shipment_id_of(ORDER) != shipment_id_of(uid(99))


# --- a parcel that never arrives -------------------------------------------------------------------

LOST = ParcelLost(order_id=ORDER, parcel=2, items=(PENS,))
BACK = ParcelReturned(order_id=ORDER, parcel=2, items=(PENS,))
LOSE, SEND_BACK = RecordLoss(order_id=ORDER, parcel=2), RecordReturnToSender(order_id=ORDER, parcel=2)
ON_ITS_WAY = (BOTH, labelled(1), packed(1), shipped(1), labelled(2), packed(2), shipped(2))


@pytest.mark.parametrize(("command", "end"), [(LOSE, LOST), (SEND_BACK, BACK)])
def test_a_parcel_that_never_arrives_ends_its_way(command: Command, end: Event) -> None:
    given(*ON_ITS_WAY).when(command).then(end).leads_to(status=SHIPPED)
    given(*ON_ITS_WAY, end).when(deliver(1)).then(delivered(1), DONE).leads_to(status=FULFILLED)
    given(*ON_ITS_WAY, delivered(1)).when(command).then(end, DONE).leads_to(status=FULFILLED)


@pytest.mark.parametrize("end", [LOST, BACK, delivered(2)])
def test_a_way_ends_once(end: Event) -> None:
    for command in (LOSE, SEND_BACK, deliver(2)):
        given(*ON_ITS_WAY, end).when(command).then()


def test_only_what_left_can_be_lost() -> None:
    given(BOTH, labelled(2)).when(LOSE).rejected(PARCEL_NOT_SHIPPED, parcel=2)
    given(BOTH, labelled(2)).when(SEND_BACK).rejected(PARCEL_NOT_SHIPPED, parcel=2)


# --- a parcel that no carrier takes ----------------------------------------------------------------

RETRY = RetryParcel(order_id=ORDER, parcel=2)
GIVE_UP = GiveUpParcel(order_id=ORDER, parcel=2, reason="undeliverable")
GIVEN_UP = ParcelGivenUp(order_id=ORDER, parcel=2, items=(PENS,), reason="undeliverable")


def voided(parcel: int, attempt: int) -> ParcelLabelVoided:
    return ParcelLabelVoided(order_id=ORDER, parcel=parcel, attempt=attempt)


def test_a_refused_parcel_is_tried_again_under_another_number() -> None:
    given(BOTH, refused(2)).when(RETRY).then(voided(2, 1))
    given(BOTH, refused(2), voided(2, 1), refused(2)).when(RETRY).then(voided(2, 2))
    for story in ((BOTH,), (BOTH, labelled(2)), (BOTH, refused(2), voided(2, 1)), (BOTH, refused(2), STOPPED)):
        given(*story).when(RETRY).rejected(PARCEL_NOT_REFUSED, parcel=2)


def test_an_answer_to_a_former_try_says_nothing_any_more() -> None:
    tried = (BOTH, refused(2), voided(2, 1))
    given(*tried).when(refuse(2)).then()
    given(*tried).when(label(2)).then()
    second = RecordLabel(order_id=ORDER, parcel=2, carrier="Post", tracking_number="T2", tracking_url="/t", attempt=1)
    given(*tried).when(second).then(labelled(2))


def test_a_parcel_is_given_up_once_another_has_left() -> None:
    for story in ((BOTH, refused(2)), (BOTH, refused(2), labelled(1), packed(1))):
        given(*story).when(GIVE_UP).rejected(NOTHING_LEFT_YET)
    left = (*STATES[SHIPPED], refused(2))
    given(*left).when(GIVE_UP).then(GIVEN_UP).leads_to(status=SHIPPED)
    given(*left, GIVEN_UP).when(GIVE_UP).then()
    given(*left, GIVEN_UP).when(deliver(1)).then(delivered(1), DONE).leads_to(status=FULFILLED)
    given(*left, delivered(1)).when(GIVE_UP).then(GIVEN_UP, DONE).leads_to(status=FULFILLED)
    assert given(*left, GIVEN_UP).state.parcels[2].refused is None
    given(BOTH, STOPPED).when(GIVE_UP).rejected(SHIPMENT_CANCELLED)


def test_what_is_packed_is_not_given_up() -> None:
    given(*STATES[SHIPPED], labelled(2), packed(2)).when(GIVE_UP).rejected(PARCEL_PACKED, parcel=2)
    given(*STATES[SHIPPED]).when(GiveUpParcel(order_id=ORDER, parcel=1, reason="x")).rejected(PARCEL_PACKED, parcel=1)


def test_what_is_given_up_is_not_sent_whatever_the_carrier_says_later() -> None:
    story = (*STATES[SHIPPED], GIVEN_UP)
    given(*story).when(label(2, pack=True)).then()
    given(*story).when(refuse(2)).then()
    kept = ShipmentReaddressRefused(order_id=ORDER, address=0)
    given(*story).when(ReaddressShipment(order_id=ORDER, address=1)).then(kept)
    given(*story).when(ship(2)).rejected(PARCEL_GIVEN_UP, parcel=2)
    given(*story).when(LOSE).then()


# --- another address, and a hold -------------------------------------------------------------------

HOLD, RELEASE = HoldShipment(order_id=ORDER, reason="suspicious"), ReleaseShipment(order_id=ORDER)
HELD, RELEASED = ShipmentHeld(order_id=ORDER, reason="suspicious"), ShipmentReleased(order_id=ORDER)


def test_another_address_needs_other_labels_for_what_is_not_packed() -> None:
    readdress = ReaddressShipment(order_id=ORDER, address=1)
    given(BOTH, labelled(1), refused(2)).when(readdress).then(voided(1, 1), voided(2, 1))
    given(BOTH, labelled(1), packed(1), refused(2)).when(readdress).then(voided(2, 1))
    given(BOTH, STOPPED).when(readdress).then()
    after = given(BOTH, labelled(1), refused(2), voided(1, 1), voided(2, 1)).state.parcels
    assert [(one.labelled, one.tracking_number, one.refused) for one in after.values()] == [(False, "", None)] * 2
    given(BOTH, labelled(1), voided(1, 1)).when(pack(1)).rejected(PARCEL_NOT_LABELLED, parcel=1)


def test_nothing_is_packed_while_it_is_held() -> None:
    given(BOTH).when(HOLD).then(HELD).leads_to(held=True)
    given(BOTH, HELD).when(HOLD).then()
    given(BOTH, HELD).when(label(1, pack=True)).then(labelled(1))
    for command in (pack(1), ship(1)):
        given(BOTH, HELD, labelled(1)).when(command).rejected(SHIPMENT_HELD, parcel=1)
    given(BOTH, HELD).when(RELEASE).then(RELEASED).leads_to(held=False)
    given(BOTH).when(RELEASE).then()
    given(BOTH, labelled(1), packed(1), HELD).when(ship(1)).then(shipped(1))


def test_a_hold_may_come_before_there_is_anything_to_ship() -> None:
    given().when(HOLD).then(HELD)
    given(HELD).when(PREPARE).then(BOTH).leads_to(status=PREPARED, held=True)
