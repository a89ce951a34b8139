"""One event that one other program is told of: taken, tried again for a day, or set aside for staff."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id

WAITING, DELIVERED, FAILED, SET_ASIDE = "waiting", "delivered", "failed", "set_aside"

PAUSES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 300, 1_800, 3_600, 7_200, 14_400, 21_600, 36_000)
)
"""How long to wait after each failed try, a day in all; after one more the delivery is set aside."""

ERROR_MOST: Final = 300


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What is delivered where: the event with the id `event_id`, at `position` of `log`."""

    endpoint_id: UUID
    event_id: UUID
    topic: str
    log: str
    position: int


def delivery_id_of(delivery: Delivery) -> UUID:
    """The id of the only delivery of an event to an endpoint."""
    return stream_id("webhook", delivery.endpoint_id, delivery.event_id)


# --- events ----------------------------------------------------------------------------------------


class WebhookDelivered(Event, frozen=True, kw_only=True):
    """The endpoint took it with this HTTP status."""

    delivery_id: UUID
    delivery: Delivery
    code: int
    attempts: int


class WebhookFailed(Event, frozen=True, kw_only=True):
    """The try `attempts` failed, with this HTTP status where there was one; the next is at `again_at`."""

    delivery_id: UUID
    delivery: Delivery
    code: int | None = None
    error: str
    attempts: int
    again_at: datetime


class WebhookSetAside(Event, frozen=True, kw_only=True):
    """The endpoint did not take it; staff must act."""

    delivery_id: UUID
    delivery: Delivery
    code: int | None = None
    error: str
    attempts: int


class WebhookAskedFor(Event, frozen=True, kw_only=True):
    """Staff want it delivered again."""

    delivery_id: UUID
    delivery: Delivery


# --- state -----------------------------------------------------------------------------------------


class DeliveryState(State, frozen=True, kw_only=True):
    """What a delivery remembers. `attempts` counts the tries since it was last wanted."""

    delivery_id: UUID
    delivery: Delivery
    status: str
    attempts: int = 0
    code: int | None = None
    error: str | None = None


# --- commands --------------------------------------------------------------------------------------


class RecordDelivered(Command, frozen=True, kw_only=True):
    delivery: Delivery
    code: int


class RecordDeliveryFailure(Command, frozen=True, kw_only=True):
    """With `permanent` no other try is made."""

    delivery: Delivery
    code: int | None = None
    error: str
    permanent: bool = False
    at: datetime


class AskForDelivery(Command, frozen=True, kw_only=True):
    delivery_id: UUID


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_DELIVERY = Reason("no_such_delivery", "There is no such delivery.", "missing")
DELIVERY_WAITS = Reason("delivery_waits", "It is about to be delivered.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, before: DeliveryState | None) -> Sequence[Event]:
    """The events that the command makes of this delivery. Raises Rejected."""
    # What was delivered or set aside begins anew when it is replayed.
    going_on = before is not None and before.status in (WAITING, FAILED)
    tries = before.attempts + 1 if before is not None and going_on else 1
    match command:
        case RecordDelivered(delivery=delivery, code=code):
            known = delivery_id_of(delivery)
            return [WebhookDelivered(delivery_id=known, delivery=delivery, code=code, attempts=tries)]
        case RecordDeliveryFailure(delivery=delivery):
            known, error = delivery_id_of(delivery), command.error[:ERROR_MOST]
            if command.permanent or tries > len(PAUSES):
                return [
                    WebhookSetAside(
                        delivery_id=known, delivery=delivery, code=command.code, error=error, attempts=tries
                    )
                ]
            return [
                WebhookFailed(
                    delivery_id=known, delivery=delivery, code=command.code, error=error, attempts=tries,
                    again_at=command.at + PAUSES[tries - 1],
                )
            ]  # fmt: skip
        case AskForDelivery():
            if before is None:
                raise NO_SUCH_DELIVERY()
            if before.status == WAITING:
                raise DELIVERY_WAITS()
            return [WebhookAskedFor(delivery_id=before.delivery_id, delivery=before.delivery)]
        case _:
            raise TypeError(f"a delivery does not know {type(command).__name__}")


# --- evolve ----------------------------------------------------------------------------------------


EVENTS: Final = (WebhookDelivered, WebhookFailed, WebhookSetAside, WebhookAskedFor)


def evolve(before: DeliveryState | None, event: Event) -> DeliveryState:
    """The delivery after the event."""
    if not isinstance(event, EVENTS):
        raise TypeError(f"a delivery does not know {type(event).__name__}")
    if before is None:
        delivery = event.delivery
        before = DeliveryState(delivery_id=delivery_id_of(delivery), delivery=delivery, status=WAITING)
    match event:
        case WebhookDelivered():
            return replace(before, status=DELIVERED, attempts=event.attempts, code=event.code, error=None)
        case WebhookFailed():
            return replace(before, status=FAILED, attempts=event.attempts, code=event.code, error=event.error)
        case WebhookSetAside():
            return replace(before, status=SET_ASIDE, attempts=event.attempts, code=event.code, error=event.error)
        case WebhookAskedFor():
            return replace(before, status=WAITING, attempts=0, code=None, error=None)


DELIVERY: Final = Aggregate(
    name="WebhookDelivery",
    log="notifications",
    state=DeliveryState,
    events=EVENTS,
    decide=decide,
    evolve=evolve,
)
