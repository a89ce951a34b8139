"""What becomes of a message."""

from datetime import timedelta

from emporium.domain.notification import (
    ERROR_MOST,
    FAILED,
    NO_SUCH_NOTIFICATION,
    NOTIFICATION_WAITS,
    PAUSES,
    SENT,
    SET_ASIDE,
    SUPPRESSED,
    WAITING,
    About,
    AskForNotification,
    NotificationAskedFor,
    NotificationFailed,
    NotificationSent,
    NotificationSetAside,
    NotificationSuppressed,
    RecordSendFailure,
    RecordSent,
    RecordSuppression,
    notification_id_of,
)
from tests.domain.spec import NOW, given, uid

ABOUT = About(kind="order_created", channel="email", log="ordering", position=7, event_id=uid(7), order_id=uid(1))
ID = notification_id_of(ABOUT)

SEND = RecordSent(about=ABOUT, via="smtp", language="en")
FAIL = RecordSendFailure(about=ABOUT, error="no answer", permanent=False, at=NOW)
AGAIN = AskForNotification(notification_id=ID)


def sent(attempts: int = 1) -> NotificationSent:
    return NotificationSent(notification_id=ID, about=ABOUT, via="smtp", language="en", attempts=attempts)


def failed(attempts: int) -> NotificationFailed:
    return NotificationFailed(
        notification_id=ID, about=ABOUT, attempts=attempts, error="no answer", again_at=NOW + PAUSES[attempts - 1]
    )


ASIDE = NotificationSetAside(notification_id=ID, about=ABOUT, attempts=8, error="no answer")
ASKED = NotificationAskedFor(notification_id=ID, about=ABOUT, round=1)
SUPPRESSION = NotificationSuppressed(notification_id=ID, about=ABOUT, reason="not_wanted")


def test_a_message_is_sent_once() -> None:
    given().when(SEND).then(sent()).leads_to(status=SENT, via="smtp", attempts=1)
    given(sent()).when(SEND).then()
    given(sent()).when(FAIL).then()
    given(sent()).when(RecordSuppression(about=ABOUT, reason="erased")).then()


def test_a_failed_try_is_repeated_after_growing_pauses_and_set_aside_in_the_end() -> None:
    given().when(FAIL).then(failed(1)).leads_to(status=FAILED, error="no answer")
    tries = [failed(n) for n in range(1, len(PAUSES) + 1)]
    for n in range(1, len(PAUSES)):
        given(*tries[:n]).when(FAIL).then(failed(n + 1))
    given(*tries).when(FAIL).then(ASIDE).leads_to(status=SET_ASIDE)
    given(*tries, ASIDE).when(SEND).then()
    given(failed(1), failed(2)).when(SEND).then(sent(3)).leads_to(error=None)
    assert list(PAUSES) == sorted(PAUSES)
    assert sum(PAUSES, timedelta()) > timedelta(hours=12)


def test_what_can_never_be_sent_is_set_aside_at_once_with_an_error_that_is_not_too_long() -> None:
    refused = RecordSendFailure(about=ABOUT, error="x" * 1_000, permanent=True, at=NOW)
    outcome = given().when(refused)
    outcome.then(NotificationSetAside(notification_id=ID, about=ABOUT, attempts=1, error="x" * ERROR_MOST))


def test_what_nobody_wants_is_not_sent() -> None:
    given().when(RecordSuppression(about=ABOUT, reason="not_wanted")).then(SUPPRESSION).leads_to(
        status=SUPPRESSED, error="not_wanted"
    )
    given(SUPPRESSION).when(SEND).then()


def test_staff_can_have_it_sent_again() -> None:
    given().when(AGAIN).rejected(NO_SUCH_NOTIFICATION)
    for past in ((sent(),), (failed(1),), (ASIDE,), (SUPPRESSION,)):
        given(*past).when(AGAIN).then(ASKED).leads_to(status=WAITING, attempts=0, round=1)
    given(ASIDE, ASKED).when(AGAIN).rejected(NOTIFICATION_WAITS)
    given(ASIDE, ASKED).when(FAIL).then(failed(1))
    given(sent(), ASKED).when(SEND).then(sent())
    second = NotificationAskedFor(notification_id=ID, about=ABOUT, round=2)
    given(sent(), ASKED, sent()).when(AGAIN).then(second)


def test_each_person_channel_kind_and_event_has_a_message_of_its_own() -> None:
    others = [
        About(kind="order_created", channel="sms", log="ordering", position=7, event_id=uid(7), order_id=uid(1)),
        About(kind="order_shipped", channel="email", log="ordering", position=7, event_id=uid(7), order_id=uid(1)),
        About(kind="order_created", channel="email", log="ordering", position=8, event_id=uid(8), order_id=uid(1)),
        About(kind="order_created", channel="email", log="ordering", position=7, event_id=uid(7), customer_id=uid(2)),
    ]
    assert len({notification_id_of(about) for about in (ABOUT, *others)}) == 5
