"""One message to one person by one channel: sent, tried again, set aside for staff, or not wanted."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id

EMAIL, SMS, PUSH = "email", "sms", "push"
CHANNELS: Final = (EMAIL, SMS, PUSH)

WAITING, SENT, FAILED, SET_ASIDE, SUPPRESSED = "waiting", "sent", "failed", "set_aside", "suppressed"
STATES: Final = (WAITING, SENT, FAILED, SET_ASIDE, SUPPRESSED)

PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240, 480))
"""How long to wait after each failed try; after one more the message is set aside."""

ERROR_MOST: Final = 500


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Which message this is: what it says follows from these, the order and the account, at any time again.

    Attributes:
        kind: such as `order_created`; names the template.
        channel: `email`, `sms` or `push`.
        log: of the event that the message tells of, which is at `position` and has the id `event_id`.
        order_id: whose customer or guest is written to; None where `customer_id` is.
        customer_id: the account that is written to.
        facts: what the message needs of the event itself; nothing personal.
    """

    kind: str
    channel: str
    log: str
    position: int
    event_id: UUID
    order_id: UUID | None = None
    customer_id: UUID | None = None
    facts: dict[str, str] = {}


def notification_id_of(about: About) -> UUID:
    """The id of the only message of this kind about an event to this person by this channel."""
    person = about.customer_id or about.order_id
    return stream_id("notification", about.event_id, about.kind, person, about.channel)


# --- events ----------------------------------------------------------------------------------------


class NotificationSent(Event, frozen=True, kw_only=True):
    """The message is on its way, or in the outbox where the shop has no such channel (`via`)."""

    notification_id: UUID
    about: About
    via: str
    language: str | None = None
    attempts: int = 1


class NotificationFailed(Event, frozen=True, kw_only=True):
    """The try `attempts` failed; the next is at `again_at`."""

    notification_id: UUID
    about: About
    attempts: int
    error: str
    again_at: datetime


class NotificationSetAside(Event, frozen=True, kw_only=True):
    """The message could not be sent; staff must act."""

    notification_id: UUID
    about: About
    attempts: int
    error: str


class NotificationSuppressed(Event, frozen=True, kw_only=True):
    """The message is not sent: the person does not want it, or there is nobody to write to."""

    notification_id: UUID
    about: About
    reason: str


class NotificationAskedFor(Event, frozen=True, kw_only=True):
    """Staff want the message sent (again); `round` counts how often they did."""

    notification_id: UUID
    about: About
    round: int


# --- state -----------------------------------------------------------------------------------------


class NotificationState(State, frozen=True, kw_only=True):
    """What a message remembers. `attempts` counts the failed tries since it was last asked for."""

    notification_id: UUID
    about: About
    status: str
    attempts: int = 0
    round: int = 0
    via: str | None = None
    language: str | None = None
    error: str | None = None


# --- commands --------------------------------------------------------------------------------------


class RecordSent(Command, frozen=True, kw_only=True):
    about: About
    via: str
    language: str | None = None


class RecordSendFailure(Command, frozen=True, kw_only=True):
    """With `permanent` no other try is made."""

    about: About
    error: str
    permanent: bool
    at: datetime


class RecordSuppression(Command, frozen=True, kw_only=True):
    about: About
    reason: str


class AskForNotification(Command, frozen=True, kw_only=True):
    notification_id: UUID


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_NOTIFICATION = Reason("no_such_notification", "There is no such message.", "missing")
NOTIFICATION_WAITS = Reason("notification_waits", "The message is about to be sent.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, message: NotificationState | None) -> Sequence[Event]:
    """The events that the command makes of this message. Raises Rejected."""
    if isinstance(command, AskForNotification):
        if message is None:
            raise NO_SUCH_NOTIFICATION()
        if message.status == WAITING:
            raise NOTIFICATION_WAITS()
        return [
            NotificationAskedFor(notification_id=message.notification_id, about=message.about, round=message.round + 1)
        ]
    if message is not None and message.status not in (WAITING, FAILED):
        return []
    match command:
        case RecordSent(about=about, via=via, language=language):
            return [
                NotificationSent(
                    notification_id=notification_id_of(about),
                    about=about,
                    via=via,
                    language=language,
                    attempts=_tries(message),
                )
            ]
        case RecordSendFailure():
            return [_failure(command, message)]
        case RecordSuppression(about=about, reason=reason):
            return [NotificationSuppressed(notification_id=notification_id_of(about), about=about, reason=reason)]
        case _:
            raise TypeError(f"a message does not know {type(command).__name__}")


def _tries(message: NotificationState | None) -> int:
    return 1 if message is None else message.attempts + 1


def _failure(command: RecordSendFailure, message: NotificationState | None) -> Event:
    about, tries, error = command.about, _tries(message), command.error[:ERROR_MOST]
    known = notification_id_of(about)
    if command.permanent or tries > len(PAUSES):
        return NotificationSetAside(notification_id=known, about=about, attempts=tries, error=error)
    return NotificationFailed(
        notification_id=known, about=about, attempts=tries, error=error, again_at=command.at + PAUSES[tries - 1]
    )


# --- evolve ----------------------------------------------------------------------------------------


EVENTS: Final = (
    NotificationSent,
    NotificationFailed,
    NotificationSetAside,
    NotificationSuppressed,
    NotificationAskedFor,
)


def evolve(message: NotificationState | None, event: Event) -> NotificationState:
    """The message after the event."""
    if not isinstance(event, EVENTS):
        raise TypeError(f"a message does not know {type(event).__name__}")
    if message is None:
        about = event.about
        message = NotificationState(notification_id=notification_id_of(about), about=about, status=WAITING)
    match event:
        case NotificationSent():
            return replace(
                message, status=SENT, attempts=event.attempts, via=event.via, language=event.language, error=None
            )
        case NotificationFailed():
            return replace(message, status=FAILED, attempts=event.attempts, error=event.error)
        case NotificationSetAside():
            return replace(message, status=SET_ASIDE, attempts=event.attempts, error=event.error)
        case NotificationSuppressed():
            return replace(message, status=SUPPRESSED, error=event.reason)
        case NotificationAskedFor():
            return replace(message, status=WAITING, attempts=0, round=event.round, error=None)


NOTIFICATION: Final = Aggregate(
    name="Notification",
    log="notifications",
    state=NotificationState,
    events=EVENTS,
    decide=decide,
    evolve=evolve,
)
