"""What becomes of telling another program of an event."""

from datetime import timedelta

from emporium.domain.webhook_delivery import (
    DELIVERED,
    DELIVERY_WAITS,
    ERROR_MOST,
    FAILED,
    NO_SUCH_DELIVERY,
    PAUSES,
    SET_ASIDE,
    WAITING,
    AskForDelivery,
    Delivery,
    RecordDelivered,
    RecordDeliveryFailure,
    WebhookAskedFor,
    WebhookDelivered,
    WebhookFailed,
    WebhookSetAside,
    delivery_id_of,
)
from tests.domain.spec import NOW, given, uid

WHAT = Delivery(endpoint_id=uid(1), event_id=uid(2), topic="ordering.OrderCreated", log="ordering", position=7)
ID = delivery_id_of(WHAT)
TAKE = RecordDelivered(delivery=WHAT, code=204)
FAIL = RecordDeliveryFailure(delivery=WHAT, code=500, error="HTTP 500", at=NOW)
AGAIN = AskForDelivery(delivery_id=ID)
ASKED = WebhookAskedFor(delivery_id=ID, delivery=WHAT)


def taken(attempts: int = 1) -> WebhookDelivered:
    return WebhookDelivered(delivery_id=ID, delivery=WHAT, code=204, attempts=attempts)


def failed(attempts: int) -> WebhookFailed:
    return WebhookFailed(
        delivery_id=ID, delivery=WHAT, code=500, error="HTTP 500", attempts=attempts,
        again_at=NOW + PAUSES[attempts - 1],
    )  # fmt: skip


def aside(attempts: int) -> WebhookSetAside:
    return WebhookSetAside(delivery_id=ID, delivery=WHAT, code=500, error="HTTP 500", attempts=attempts)


def test_it_is_taken() -> None:
    given().when(TAKE).then(taken()).leads_to(status=DELIVERED, attempts=1, code=204)
    given(failed(1), failed(2)).when(TAKE).then(taken(3)).leads_to(error=None)


def test_it_is_tried_for_a_day_and_then_set_aside() -> None:
    tries = [failed(n) for n in range(1, len(PAUSES) + 1)]
    given().when(FAIL).then(failed(1)).leads_to(status=FAILED, code=500, error="HTTP 500")
    for n in range(1, len(PAUSES)):
        given(*tries[:n]).when(FAIL).then(failed(n + 1))
    given(*tries).when(FAIL).then(aside(len(PAUSES) + 1)).leads_to(status=SET_ASIDE)
    assert timedelta(hours=23) < sum(PAUSES, timedelta()) <= timedelta(hours=27)


def test_who_is_gone_is_not_called_again_and_errors_are_cut() -> None:
    gone = RecordDeliveryFailure(delivery=WHAT, code=410, error="x" * 1_000, permanent=True, at=NOW)
    given().when(gone).then(
        WebhookSetAside(delivery_id=ID, delivery=WHAT, code=410, error="x" * ERROR_MOST, attempts=1)
    )
    silent = RecordDeliveryFailure(delivery=WHAT, error="no answer", at=NOW)
    given().when(silent).leads_to(code=None, error="no answer")


def test_staff_can_have_it_delivered_again() -> None:
    given().when(AGAIN).rejected(NO_SUCH_DELIVERY)
    for past in ((taken(),), (failed(1),), (aside(1),)):
        given(*past).when(AGAIN).then(ASKED).leads_to(status=WAITING, attempts=0, code=None, error=None)
    given(taken(), ASKED).when(AGAIN).rejected(DELIVERY_WAITS)
    given(aside(1), ASKED).when(FAIL).then(failed(1))


def test_a_replay_tells_it_once_more_from_the_first_try_on() -> None:
    given(taken(3)).when(TAKE).then(taken(1))
    given(taken(3)).when(FAIL).then(failed(1))
    given(aside(10)).when(FAIL).then(failed(1))
