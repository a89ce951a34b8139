"""Which other programs are told, and of what."""

from datetime import timedelta

from emporium.domain.webhook import (
    MOST,
    NO_SUCH_WEBHOOK,
    NO_TOPICS,
    TOO_MANY_WEBHOOKS,
    UNKNOWN_TOPIC,
    ChangeWebhook,
    Endpoint,
    RegisterWebhook,
    RemoveWebhook,
    RequestReplay,
    RotateWebhookSecret,
    WebhookChanged,
    WebhookRegistered,
    WebhookRemoved,
    WebhookReplayRequested,
    WebhookSecretRotated,
)
from tests.domain.spec import NOW, given, uid

OFFERED = frozenset({"ordering.OrderCreated", "shipping.OrderShipped"})
URL = "https://erp.example/hook"


def register(number: int = 1, *topics: str, url: str = URL) -> RegisterWebhook:
    return RegisterWebhook(
        endpoint_id=uid(number), url=url, topics=topics or ("ordering.OrderCreated",), offered=OFFERED, at=NOW
    )


def registered(number: int = 1) -> WebhookRegistered:
    return WebhookRegistered(endpoint_id=uid(number), url=URL, topics=("ordering.OrderCreated",), at=NOW)


def change(**fields: object) -> ChangeWebhook:
    return ChangeWebhook(endpoint_id=uid(1), offered=OFFERED, **fields)  # type: ignore[arg-type]


def test_an_endpoint_is_registered_once() -> None:
    endpoint = Endpoint(
        endpoint_id=uid(1), url=URL, topics=("ordering.OrderCreated",), description="", registered_at=NOW
    )
    given().when(register()).then(registered()).leads_to(endpoints={uid(1): endpoint})
    given(registered()).when(register()).then()
    both = given().when(register(1, "shipping.OrderShipped", "ordering.OrderCreated", "shipping.OrderShipped"))
    assert both.state.endpoints[uid(1)].topics == ("ordering.OrderCreated", "shipping.OrderShipped")


def test_only_what_is_offered_can_be_heard_and_nothing_is_too_little() -> None:
    given().when(register(1, "accounts.CustomerRegistered")).rejected(
        UNKNOWN_TOPIC, topic="accounts.CustomerRegistered", field="topics"
    )
    given(registered()).when(change(topics=("accounts.CustomerRegistered",))).rejected(UNKNOWN_TOPIC)
    given(registered()).when(change(topics=())).rejected(NO_TOPICS, field="topics")


def test_there_can_only_be_so_many() -> None:
    many = [registered(n) for n in range(1, MOST + 1)]
    given(*many).when(register(MOST + 1)).rejected(TOO_MANY_WEBHOOKS, most=MOST)
    given(*many, WebhookRemoved(endpoint_id=uid(1))).when(register(MOST + 1)).then(registered(MOST + 1))


def test_a_change_tells_only_what_is_new() -> None:
    given(registered()).when(change(url=URL, active=False)).then(WebhookChanged(endpoint_id=uid(1), active=False))
    given(registered()).when(change(url=URL)).then()
    moved = given(registered()).when(change(url="https://new.example", description="ERP"))
    moved.then(WebhookChanged(endpoint_id=uid(1), url="https://new.example", description="ERP"))
    assert moved.state.endpoints[uid(1)].topics == ("ordering.OrderCreated",)


def test_a_rotated_secret_leaves_the_old_one_for_a_while() -> None:
    rotate = RotateWebhookSecret(endpoint_id=uid(1), overlap=timedelta(hours=2), at=NOW)
    once = WebhookSecretRotated(endpoint_id=uid(1), generation=2, overlap_until=NOW + timedelta(hours=2))
    outcome = given(registered()).when(rotate).then(once)
    assert outcome.state.endpoints[uid(1)].generation == 2
    given(registered(), once).when(rotate).then(
        WebhookSecretRotated(endpoint_id=uid(1), generation=3, overlap_until=NOW + timedelta(hours=2))
    )


def test_what_is_not_there_cannot_be_changed() -> None:
    removed = WebhookRemoved(endpoint_id=uid(1))
    given(registered()).when(RemoveWebhook(endpoint_id=uid(1))).then(removed).leads_to(endpoints={})
    for past in ((), (registered(), removed)):
        for command in (
            change(active=True),
            RotateWebhookSecret(endpoint_id=uid(1), overlap=timedelta(0), at=NOW),
            RemoveWebhook(endpoint_id=uid(1)),
            RequestReplay(endpoint_id=uid(1), replay_id=uid(5), log="ordering", after=0, upto=9),
        ):
            given(*past).when(command).rejected(NO_SUCH_WEBHOOK)


def test_a_replay_is_asked_for_and_changes_no_endpoint() -> None:
    replay = RequestReplay(endpoint_id=uid(1), replay_id=uid(5), log="ordering", after=3, upto=9)
    asked = WebhookReplayRequested(endpoint_id=uid(1), replay_id=uid(5), log="ordering", after=3, upto=9)
    given(registered()).when(replay).then(asked).leads_to(endpoints=given(registered()).state.endpoints)
