"""Other programs that are told of events: where they are, of what they hear, and which secret signs it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.text import check_text

MOST: Final = 50
URL_MOST: Final = 2_000
TEXT_MOST: Final = 200


def webhooks_id() -> UUID:
    """The id of the only stream of endpoints."""
    return stream_id("webhooks")


# --- events ----------------------------------------------------------------------------------------


class WebhookRegistered(Event, frozen=True, kw_only=True):
    """From now on the endpoint is told of events of these topics. Its secret is computed, and stands nowhere."""

    endpoint_id: UUID
    url: str
    topics: tuple[str, ...]
    description: str = ""
    at: datetime


class WebhookChanged(Event, frozen=True, kw_only=True):
    """Carries only what changed; an endpoint that is not `active` is told of nothing."""

    endpoint_id: UUID
    url: str | UnsetType = UNSET
    topics: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class WebhookSecretRotated(Event, frozen=True, kw_only=True):
    """Another secret signs; the one before signs as well until `overlap_until`."""

    endpoint_id: UUID
    generation: int
    overlap_until: datetime


class WebhookRemoved(Event, frozen=True, kw_only=True):
    """The endpoint is told of nothing any more."""

    endpoint_id: UUID


class WebhookReplayRequested(Event, frozen=True, kw_only=True):
    """The endpoint is to be told once more of a log's events, beginning after one position and up to another."""

    endpoint_id: UUID
    replay_id: UUID
    log: str
    after: int
    upto: int


# --- state -----------------------------------------------------------------------------------------


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Another program; `generation` names its secret."""

    endpoint_id: UUID
    url: str
    topics: tuple[str, ...]
    description: str
    registered_at: datetime
    active: bool = True
    generation: int = 1
    overlap_until: datetime | None = None


class WebhooksState(State, frozen=True, kw_only=True):
    """The endpoints by id."""

    endpoints: dict[UUID, Endpoint] = {}


# --- commands --------------------------------------------------------------------------------------


class RegisterWebhook(Command, frozen=True, kw_only=True):
    """`offered` are the topics that there are."""

    endpoint_id: UUID
    url: str
    topics: tuple[str, ...]
    description: str = ""
    offered: frozenset[str]
    at: datetime


class ChangeWebhook(Command, frozen=True, kw_only=True):
    endpoint_id: UUID
    url: str | UnsetType = UNSET
    topics: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    offered: frozenset[str]


class RotateWebhookSecret(Command, frozen=True, kw_only=True):
    endpoint_id: UUID
    overlap: timedelta
    at: datetime


class RemoveWebhook(Command, frozen=True, kw_only=True):
    endpoint_id: UUID


class RequestReplay(Command, frozen=True, kw_only=True):
    endpoint_id: UUID
    replay_id: UUID
    log: str
    after: int
    upto: int


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_WEBHOOK = Reason("no_such_webhook", "There is no such endpoint.", "missing")
TOO_MANY_WEBHOOKS = Reason("too_many_webhooks", "There can be at most {most} endpoints.")
UNKNOWN_TOPIC = Reason("unknown_topic", "There are no events {topic} to be told of.", "invalid")
NO_TOPICS = Reason("no_topics", "An endpoint is told of one kind of events at least.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, before: WebhooksState | None) -> Sequence[Event]:
    """The events that the command makes. Raises Rejected."""
    known = before.endpoints if before is not None else {}
    if isinstance(command, RegisterWebhook):
        if command.endpoint_id in known:
            return []
        if len(known) >= MOST:
            raise TOO_MANY_WEBHOOKS(most=MOST)
        return [
            WebhookRegistered(
                endpoint_id=command.endpoint_id,
                url=check_text("url", command.url, URL_MOST),
                topics=_topics(command.topics, command.offered),
                description=check_text("description", command.description, TEXT_MOST, least=0),
                at=command.at,
            )
        ]
    endpoint = known.get(command.endpoint_id)  # type: ignore[attr-defined]  # every command has it
    if endpoint is None:
        raise NO_SUCH_WEBHOOK()
    match command:
        case ChangeWebhook():
            return _change(command, endpoint)
        case RotateWebhookSecret(endpoint_id=endpoint_id):
            return [
                WebhookSecretRotated(
                    endpoint_id=endpoint_id,
                    generation=endpoint.generation + 1,
                    overlap_until=command.at + command.overlap,
                )
            ]
        case RemoveWebhook(endpoint_id=endpoint_id):
            return [WebhookRemoved(endpoint_id=endpoint_id)]
        case RequestReplay():
            return [
                WebhookReplayRequested(
                    endpoint_id=command.endpoint_id,
                    replay_id=command.replay_id,
                    log=command.log,
                    after=command.after,
                    upto=command.upto,
                )
            ]
        case _:
            raise TypeError(f"endpoints do not know {type(command).__name__}")


def _topics(wanted: Sequence[str], offered: frozenset[str]) -> tuple[str, ...]:
    for topic in wanted:
        if topic not in offered:
            raise UNKNOWN_TOPIC(topic=topic, field="topics")
    if not wanted:
        raise NO_TOPICS(field="topics")
    return tuple(sorted(set(wanted)))


def _change(command: ChangeWebhook, endpoint: Endpoint) -> Sequence[Event]:
    given: dict[str, Any] = {}
    if command.url is not UNSET:
        given["url"] = check_text("url", command.url, URL_MOST)
    if command.topics is not UNSET:
        given["topics"] = _topics(command.topics, command.offered)
    if command.description is not UNSET:
        given["description"] = check_text("description", command.description, TEXT_MOST, least=0)
    if command.active is not UNSET:
        given["active"] = command.active
    changed = {name: value for name, value in given.items() if value != getattr(endpoint, name)}
    return [WebhookChanged(endpoint_id=endpoint.endpoint_id, **changed)] if changed else []


# --- evolve ----------------------------------------------------------------------------------------


def evolve(before: WebhooksState | None, event: Event) -> WebhooksState:
    """The endpoints after the event."""
    known = before.endpoints if before is not None else {}
    match event:
        case WebhookRegistered(endpoint_id=endpoint_id):
            endpoint = Endpoint(
                endpoint_id=endpoint_id,
                url=event.url,
                topics=event.topics,
                description=event.description,
                registered_at=event.at,
            )
        case WebhookChanged(endpoint_id=endpoint_id):
            fields = ("url", "topics", "description", "active")
            given = {name: value for name in fields if (value := getattr(event, name)) is not UNSET}
            endpoint = replace(known[endpoint_id], **given)
        case WebhookSecretRotated(endpoint_id=endpoint_id):
            endpoint = replace(known[endpoint_id], generation=event.generation, overlap_until=event.overlap_until)
        case WebhookRemoved(endpoint_id=endpoint_id):
            return WebhooksState(endpoints={key: one for key, one in known.items() if key != endpoint_id})
        case WebhookReplayRequested():
            return WebhooksState(endpoints=known)
        case _:
            raise TypeError(f"endpoints do not know {type(event).__name__}")
    return WebhooksState(endpoints=known | {endpoint_id: endpoint})


WEBHOOKS: Final = Aggregate(
    name="Webhooks",
    log="notifications",
    state=WebhooksState,
    events=(WebhookRegistered, WebhookChanged, WebhookSecretRotated, WebhookRemoved, WebhookReplayRequested),
    decide=decide,
    evolve=evolve,
)
