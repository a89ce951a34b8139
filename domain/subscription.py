"""Which members of staff want to be told when stock is low, and by which channels: one stream for all of them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.notification import CHANNELS

MOST: Final = 500


def subscriptions_id() -> UUID:
    """The id of the only stream of staff's subscriptions."""
    return stream_id("staff-subscriptions")


# --- events ----------------------------------------------------------------------------------------


class StaffSubscribed(Event, frozen=True, kw_only=True):
    """The member of staff is told of low stock by exactly these channels; none ends it."""

    staff_id: UUID
    channels: tuple[str, ...]


# --- state -----------------------------------------------------------------------------------------


class SubscriptionsState(State, frozen=True, kw_only=True):
    """Member of staff → channels."""

    channels: dict[UUID, tuple[str, ...]] = {}


# --- commands --------------------------------------------------------------------------------------


class SubscribeStaff(Command, frozen=True, kw_only=True):
    staff_id: UUID
    channels: tuple[str, ...]


# --- reasons ---------------------------------------------------------------------------------------

UNKNOWN_CHANNEL = Reason("unknown_channel", "There is no channel {channel}.", "invalid")
TOO_MANY_SUBSCRIPTIONS = Reason("too_many_subscriptions", "There can be at most {most} subscriptions.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, before: SubscriptionsState | None) -> Sequence[Event]:
    """The events that the command makes. Raises Rejected."""
    known = before.channels if before is not None else {}
    match command:
        case SubscribeStaff():
            for channel in command.channels:
                if channel not in CHANNELS:
                    raise UNKNOWN_CHANNEL(channel=channel)
            channels = tuple(channel for channel in CHANNELS if channel in command.channels)
            if known.get(command.staff_id, ()) == channels:
                return []
            if command.staff_id not in known and len(known) >= MOST:
                raise TOO_MANY_SUBSCRIPTIONS(most=MOST)
            return [StaffSubscribed(staff_id=command.staff_id, channels=channels)]
        case _:
            raise TypeError(f"subscriptions do not know {type(command).__name__}")


# --- evolve ----------------------------------------------------------------------------------------


def evolve(before: SubscriptionsState | None, event: Event) -> SubscriptionsState:
    """The subscriptions after the event."""
    before = before or SubscriptionsState()
    match event:
        case StaffSubscribed():
            others = {staff: channels for staff, channels in before.channels.items() if staff != event.staff_id}
            return replace(before, channels=others | ({event.staff_id: event.channels} if event.channels else {}))
        case _:
            raise TypeError(f"subscriptions do not know {type(event).__name__}")


SUBSCRIPTIONS: Final = Aggregate(
    name="Subscriptions",
    log="notifications",
    state=SubscriptionsState,
    events=(StaffSubscribed,),
    decide=decide,
    evolve=evolve,
)
