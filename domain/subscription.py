"""Which members of staff want to be told when stock is low, and by which channels: one stream for all of them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.notification import CHANNELS
from emporium.domain.text import check_text

MOST: Final = 500
MOST_SKUS: Final = 500
SKU_MOST: Final = 64


def subscriptions_id() -> UUID:
    """The id of the only stream of staff's subscriptions."""
    return stream_id("staff-subscriptions")


# --- events ----------------------------------------------------------------------------------------


class StaffSubscribed(Event, frozen=True, kw_only=True):
    """The member of staff is told of low stock by exactly these channels; none ends it.

    Of these `skus` alone; of all where there is none.
    """

    staff_id: UUID
    channels: tuple[str, ...]
    skus: tuple[str, ...] = ()


# --- state -----------------------------------------------------------------------------------------


class SubscriptionsState(State, frozen=True, kw_only=True):
    """Member of staff → channels, and the SKUs for those who do not hear of all."""

    channels: dict[UUID, tuple[str, ...]] = {}
    skus: dict[UUID, tuple[str, ...]] = {}

    def of(self, sku: str) -> dict[UUID, tuple[str, ...]]:
        """Who hears of this SKU, and by which channels."""
        return {
            staff: channels
            for staff, channels in self.channels.items()
            if staff not in self.skus or sku in self.skus[staff]
        }


# --- commands --------------------------------------------------------------------------------------


class SubscribeStaff(Command, frozen=True, kw_only=True):
    """Without `skus`: all of them."""

    staff_id: UUID
    channels: tuple[str, ...]
    skus: tuple[str, ...] = ()


# --- reasons ---------------------------------------------------------------------------------------

UNKNOWN_CHANNEL = Reason("unknown_channel", "There is no channel {channel}.", "invalid")
TOO_MANY_SKUS = Reason("too_many_skus", "At most {most} SKUs can be named.", "invalid")
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
            if len(command.skus) > MOST_SKUS:
                raise TOO_MANY_SKUS(most=MOST_SKUS, field="skus")
            skus = tuple(sorted({check_text("skus", sku, SKU_MOST) for sku in command.skus})) if channels else ()
            of = before.skus.get(command.staff_id, ()) if before is not None else ()
            if known.get(command.staff_id, ()) == channels and of == skus:
                return []
            if command.staff_id not in known and len(known) >= MOST:
                raise TOO_MANY_SUBSCRIPTIONS(most=MOST)
            return [StaffSubscribed(staff_id=command.staff_id, channels=channels, skus=skus)]
        case _:
            raise TypeError(f"subscriptions do not know {type(command).__name__}")


# --- evolve ----------------------------------------------------------------------------------------


def evolve(before: SubscriptionsState | None, event: Event) -> SubscriptionsState:
    """The subscriptions after the event."""
    before = before or SubscriptionsState()
    match event:
        case StaffSubscribed():
            return replace(
                before,
                channels=_with(before.channels, event.staff_id, event.channels),
                skus=_with(before.skus, event.staff_id, event.skus),
            )
        case _:
            raise TypeError(f"subscriptions do not know {type(event).__name__}")


def _with(known: dict[UUID, tuple[str, ...]], staff: UUID, chosen: tuple[str, ...]) -> dict[UUID, tuple[str, ...]]:
    others = {one: before for one, before in known.items() if one != staff}
    return others | {staff: chosen} if chosen else others


SUBSCRIPTIONS: Final = Aggregate(
    name="Subscriptions",
    log="notifications",
    state=SubscriptionsState,
    events=(StaffSubscribed,),
    decide=decide,
    evolve=evolve,
)
