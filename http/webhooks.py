"""/api/v1/webhooks: for administrators, the programs that are told of events: register, rotate, replay, deliveries."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromQuery, JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType

from emporium.application import webhooks
from emporium.application.ports import Recorded
from emporium.domain.base import Event
from emporium.domain.webhook import NO_SUCH_WEBHOOK, Endpoint, WebhookReplayRequested
from emporium.domain.webhook_delivery import (
    DeliveryState,
    WebhookAskedFor,
    WebhookDelivered,
    WebhookFailed,
    WebhookSetAside,
)
from emporium.http.auth import staff
from emporium.http.bodies import Body
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS, Wrong
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import deliveries
from emporium.projections.deliveries import DELIVERIES, DeliveryRow

__all__ = ["WebhookController"]

_URL = Annotated[str, Meta(pattern="^https?://[!-~]{1,1990}$", examples=["https://erp.example/emporium"])]
_TOPICS = Annotated[list[str], Meta(min_length=1, max_length=100, examples=[["ordering.OrderCreated"]])]
DeliveryStatus = Literal["waiting", "delivered", "failed", "set_aside"]
EndpointId = Annotated[UUID, PathParameter(description="The endpoint.")]
EventId = Annotated[UUID, PathParameter(description="The event, which is the delivery's webhook-id.")]


class RegisterEndpoint(Body, frozen=True, kw_only=True):
    """Another program, and of which events it is told."""

    url: _URL
    topics: _TOPICS
    description: Annotated[str, Meta(max_length=200)] = ""


class Change(Body, frozen=True, kw_only=True):
    """Fields that are not given stay as they are."""

    url: _URL | UnsetType = UNSET
    topics: _TOPICS | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class Rotate(Body, frozen=True, kw_only=True):
    """For how long the old secret signs as well."""

    overlap_hours: Annotated[int, Meta(ge=0, le=720)] = 24


class Replay(Body, frozen=True, kw_only=True):
    """Events of a log after this position (and up to the present end) are told once more."""

    log: Literal["catalog", "inventory", "ordering", "payments", "shipping"]
    after: Annotated[int, Meta(ge=0, le=2**53)]


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """Another program. Its secret is shown when it is made, and never again."""

    endpoint_id: UUID
    url: str
    topics: tuple[str, ...]
    description: str
    active: bool
    registered_at: datetime
    overlap_until: datetime | None


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret with which the endpoint checks signatures: keep it, it is not shown again."""

    endpoint_id: UUID
    secret: str


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody who is told of events, and the events that there are, with their fields."""

    items: list[EndpointView]
    offered: dict[str, tuple[str, ...]]


class Replaying(msgspec.Struct, frozen=True, kw_only=True):
    """The replay has begun: what is owed is delivered bit by bit."""

    replay_id: UUID
    log: str
    after: int
    upto: int


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery: waiting, delivered, failed (is tried again) or set_aside; `code` is the last HTTP status."""

    event_id: UUID
    topic: str
    log: str
    position: int
    status: str
    attempts: int
    code: int | None
    error: str | None


class DeliveryTry(msgspec.Struct, frozen=True, kw_only=True):
    """A try, or that staff wanted another one: delivered, failed, set_aside or asked_for (by `actor`)."""

    at: datetime
    outcome: str
    code: int | None = None
    error: str | None = None
    next_at: datetime | None = None
    actor: str | None = None


class DeliveryStory(DeliveryView, frozen=True, kw_only=True):
    """A delivery with all of its tries, the oldest first."""

    tries: list[DeliveryTry]


class WebhookController(Controller):
    """Outgoing webhooks."""

    path = "/webhooks"
    tags = ["webhooks"]
    guards = [staff()]

    @get("/")
    async def list_endpoints(self, request: Request) -> Reply[Endpoints]:
        """Everybody who is told of events."""
        known = await webhooks.endpoints(request.services.shop.logs["notifications"])
        offered = {topic: webhooks.fields_of(topic) for topic in sorted(webhooks.TOPICS)}
        return Reply.of(Endpoints(items=[_view(one) for one in known.values()], offered=offered))

    @post("/", status_code=201, opt={"idempotent": True})
    async def register(self, request: Request, data: JSONBody[RegisterEndpoint]) -> Reply[Secret]:
        """Registers an endpoint, which is told of what happens from now on."""
        await _check(request, data.url)
        session = await request.customer()
        reply: Reply[Secret] = await once(
            request,
            "notifications",
            actor_of(session),
            lambda endpoint: Answer.of(
                {"endpoint_id": endpoint.endpoint_id}, location=f"/api/v1/webhooks/{endpoint.endpoint_id}"
            ),
            lambda keep: webhooks.register(
                request.services.shop,
                url=data.url,
                topics=data.topics,
                description=data.description,
                cause=request.cause(actor_of(session), "webhooks"),
                keep=keep,
            ),
        )
        # Not part of the answer that is kept: computed again each time.
        return _with_secret(request, reply, 1)

    @get("/{endpoint:uuid}")
    async def detail(self, request: Request, endpoint: EndpointId) -> Reply[EndpointView]:
        """One endpoint."""
        return Reply.of(_view(await _found(request, endpoint)))

    @patch("/{endpoint:uuid}", status_code=200)
    async def change(self, request: Request, endpoint: EndpointId, data: JSONBody[Change]) -> Reply[EndpointView]:
        """Changes an endpoint, or turns it off and on."""
        if data.url is not UNSET:
            await _check(request, data.url)
        session = await request.customer()
        await webhooks.change(
            request.services.shop,
            endpoint,
            url=data.url,
            topics=data.topics if data.topics is UNSET else tuple(data.topics),
            active=data.active,
            cause=request.cause(actor_of(session), "webhooks"),
        )
        return Reply.of(_view(await _found(request, endpoint)))

    @delete("/{endpoint:uuid}", status_code=204)
    async def remove(self, request: Request, endpoint: EndpointId) -> Reply[None]:
        """Tells the endpoint of nothing any more."""
        session = await request.customer()
        await webhooks.remove(request.services.shop, endpoint, request.cause(actor_of(session), "webhooks"))
        return Reply(b"", 204)

    @post("/{endpoint:uuid}/rotate", status_code=200)
    async def rotate(self, request: Request, endpoint: EndpointId, data: JSONBody[Rotate]) -> Reply[Secret]:
        """Makes another secret; the old one signs as well for a while."""
        session = await request.customer()
        after = await webhooks.rotate(
            request.services.shop,
            endpoint,
            timedelta(hours=data.overlap_hours),
            request.cause(actor_of(session), "webhooks"),
        )
        secret = webhooks.secret_of(request.services.shop.vault, endpoint, after.generation)
        return Reply.of(
            Secret(endpoint_id=endpoint, secret=webhooks.shown(secret)), headers=[(b"cache-control", b"no-store")]
        )

    @post("/{endpoint:uuid}/replay", status_code=202, opt={"idempotent": True})
    async def replay(self, request: Request, endpoint: EndpointId, data: JSONBody[Replay]) -> Reply[Replaying]:
        """Tells the endpoint once more of what happened after a position; ids are the same as the first time."""
        session = await request.customer()

        def answer(event: WebhookReplayRequested) -> Answer:
            return Answer.of(
                Replaying(replay_id=event.replay_id, log=event.log, after=event.after, upto=event.upto), 202
            )

        return await once(
            request,
            "notifications",
            actor_of(session),
            answer,
            lambda keep: webhooks.replay(
                request.services.shop,
                endpoint,
                data.log,
                data.after,
                request.cause(actor_of(session), "webhooks"),
                keep,
            ),
        )

    @get("/{endpoint:uuid}/deliveries", opt={"tagged": True, "models": ("deliveries",)})
    async def list_deliveries(
        self,
        request: Request,
        endpoint: EndpointId,
        status: FromQuery[DeliveryStatus | None] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[DeliveryRow]]:
        """What the endpoint was told, or was tried to be told, the newest first; by what became of it."""
        await _found(request, endpoint)
        await includes(request, DELIVERIES.name)
        page = await request.services.reads.run(
            lambda connection: deliveries.deliveries(connection, endpoint, status=status, limit=limit, cursor=cursor)
        )
        return tagged(request, listing(request, page, lambda row: row))

    @get("/{endpoint:uuid}/deliveries/{event:uuid}")
    async def delivery(self, request: Request, endpoint: EndpointId, event: EventId) -> Reply[DeliveryStory]:
        """What became of telling the endpoint of an event, try by try."""
        found = await webhooks.delivery(request.services.shop, endpoint, event)
        if found is None:
            raise KINDS.not_found("It was not tried yet, or is not owed.")
        state, happened = found
        fields = msgspec.structs.asdict(_shown(state))
        return Reply.of(DeliveryStory(**fields, tries=[_try(one) for one in happened]))

    @post("/{endpoint:uuid}/deliveries/{event:uuid}/send", status_code=202)
    async def send(self, request: Request, endpoint: EndpointId, event: EventId) -> Reply[DeliveryView]:
        """Delivers it again."""
        session = await request.customer()
        cause = request.cause(actor_of(session), "webhooks")
        return Reply.of(_shown(await webhooks.send_again(request.services.shop, endpoint, event, cause)), 202)


async def _check(request: Request, url: str) -> None:
    wrong = await webhooks.trouble(request.services.webhooks, url)
    if wrong is not None:
        raise KINDS.invalid_body(errors=[Wrong(f"This address cannot be called: {wrong}.", pointer="/url")])


async def _found(request: Request, endpoint: UUID) -> Endpoint:
    found = (await webhooks.endpoints(request.services.shop.logs["notifications"])).get(endpoint)
    if found is None:
        raise NO_SUCH_WEBHOOK()
    return found


def _with_secret(request: Request, reply: Reply[Secret], generation: int) -> Reply[Secret]:
    endpoint: UUID = msgspec.json.decode(reply.body, type=_Made).endpoint_id
    secret = webhooks.shown(webhooks.secret_of(request.services.shop.vault, endpoint, generation))
    reply.body = msgspec.json.encode(Secret(endpoint_id=endpoint, secret=secret))
    reply.raw_headers.append((b"cache-control", b"no-store"))
    return reply


class _Made(msgspec.Struct):
    endpoint_id: UUID


def _view(one: Endpoint) -> EndpointView:
    return EndpointView(
        endpoint_id=one.endpoint_id,
        url=one.url,
        topics=one.topics,
        description=one.description,
        active=one.active,
        registered_at=one.registered_at,
        overlap_until=one.overlap_until,
    )


_OUTCOMES: Final[dict[type[Event], str]] = {
    WebhookDelivered: "delivered",
    WebhookFailed: "failed",
    WebhookSetAside: "set_aside",
    WebhookAskedFor: "asked_for",
}


def _try(one: Recorded) -> DeliveryTry:
    event = one.event
    return DeliveryTry(
        at=one.at,
        outcome=_OUTCOMES[type(event)],
        code=getattr(event, "code", None),
        error=getattr(event, "error", None),
        next_at=getattr(event, "again_at", None),
        actor=one.meta.actor if isinstance(event, WebhookAskedFor) else None,
    )


def _shown(state: DeliveryState) -> DeliveryView:
    told = state.delivery
    return DeliveryView(
        event_id=told.event_id,
        topic=told.topic,
        log=told.log,
        position=told.position,
        status=state.status,
        attempts=state.attempts,
        code=state.code,
        error=state.error,
    )
