"""Tells other programs of events, by the Standard Webhooks convention: signed, at least once, under a stable id."""

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import UnsetType

from emporium.application.commands import Deliver, handle
from emporium.application.effects import Finished, Park, Perform, Retry, backoff
from emporium.application.ports import (
    Clock,
    Conflict,
    EventLog,
    Idempotency,
    Meta,
    Recorded,
    Task,
    Tracking,
    Undelivered,
    Unreadable,
    Vault,
    Webhooks,
)
from emporium.application.runner import LogFollower
from emporium.application.schedules import REPLAY, WEBHOOK
from emporium.application.shop import Shop
from emporium.application.work import Committed, Schedule, Work
from emporium.domain import cancellations, order, payment, product, shipment, stock
from emporium.domain.base import Event, stream_id
from emporium.domain.registry import AGGREGATES
from emporium.domain.webhook import (
    WEBHOOKS,
    ChangeWebhook,
    Endpoint,
    RegisterWebhook,
    RemoveWebhook,
    RequestReplay,
    RotateWebhookSecret,
    WebhookReplayRequested,
    WebhooksState,
    webhooks_id,
)
from emporium.domain.webhook_delivery import (
    DELIVERY,
    AskForDelivery,
    Delivery,
    DeliveryState,
    RecordDelivered,
    RecordDeliveryFailure,
)

__all__ = ["LOGS", "NAME", "OFFERED", "TOPICS", "WebhookFollower", "payload", "performers", "secret_of", "signature"]

NAME: Final = "webhooks"

BATCH: Final = 500
PACE: Final = 0.5
"""Seconds between two looks: who is called over the internet waits that long anyway."""

OFFERED: Final[Mapping[type[Event], tuple[str, ...]]] = {
    order.OrderCreated: (
        "order_id", "number", "customer_id", "lines", "goods", "shipping", "total", "country", "channel", "placed_at",
    ),
    order.OrderPaid: ("order_id", "amount"),
    order.OrderConfirmed: ("order_id",),
    order.OrderDispatched: ("order_id", "parcel", "of", "carrier", "tracking_number"),
    order.OrderCompleted: ("order_id",),
    order.OrderFailed: ("order_id", "reason"),
    order.OrderCancelled: ("order_id",),
    cancellations.OrderLinesCancelled: ("order_id", "cancellation_id", "lines", "amount"),
    order.OrderReturned: ("order_id", "return_id", "lines", "amount", "restock"),
    order.OrderRefunded: ("order_id", "refund_id", "amount"),
    payment.PaymentProcessed: ("payment_id", "order_id", "amount", "captured"),
    payment.PaymentFailed: ("payment_id", "order_id", "code"),
    payment.PaymentRefunded: ("payment_id", "order_id", "refund_id", "amount"),
    shipment.OrderShipped: ("order_id", "parcel", "of", "items", "carrier", "tracking_number"),
    shipment.ParcelDelivered: ("order_id", "parcel"),
    shipment.OrderFulfilled: ("order_id",),
    stock.StockLevelLow: ("sku", "warehouse", "available", "mark"),
    product.ProductCreated: ("product_id", "title", "slug", "brand"),
    product.ProductPublished: ("product_id",),
    product.ProductArchived: ("product_id",),
    product.PriceChanged: ("product_id", "sku", "price", "previous"),
}  # fmt: skip
"""The events that other programs can be told of, and their fields: nothing personal, and nothing that people wrote."""

_LOG_OF: Final = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}

TOPICS: Final = frozenset(f"{_LOG_OF[event]}.{event.__name__}" for event in OFFERED)
LOGS: Final = tuple(dict.fromkeys(_LOG_OF[event] for event in OFFERED))


def payload(recorded: Recorded) -> bytes:
    """What other programs are told of an event: only fields that are offered."""
    fields = OFFERED[type(recorded.event)]
    return msgspec.json.encode(
        {
            "type": recorded.topic,
            "timestamp": recorded.at,
            "log": recorded.log,
            "position": recorded.position,
            "data": {name: getattr(recorded.event, name) for name in fields},
        }
    )


def secret_of(vault: Vault, endpoint_id: UUID, generation: int) -> bytes:
    """The secret that signs: computed from the vault's own, so that nothing that is stored gives it away."""
    return vault.fingerprint("webhook secrets", f"{endpoint_id}/{generation}")


def shown(secret: bytes) -> str:
    """The secret as the convention writes it."""
    return f"whsec_{b64encode(secret).decode()}"


def signature(secrets: Sequence[bytes], message: UUID, at: int, body: bytes) -> str:
    """The header webhook-signature: one signature for each secret. `at` is in seconds since 1970."""
    content = f"{message}.{at}.".encode() + body
    return " ".join(f"v1,{b64encode(hmac.digest(secret, content, 'sha256')).decode()}" for secret in secrets)


async def endpoints(log: EventLog) -> Mapping[UUID, Endpoint]:
    """The endpoints as the log knows them now."""
    state, _ = await log.load(WEBHOOKS, webhooks_id(), fresh=True)
    return (state or WebhooksState()).endpoints


class WebhookFollower(LogFollower):
    """Makes deliveries of one log's events; of a log of which no endpoint hears it reads nothing.

    Args:
        silent: passes over all events, as an import of history wants it.
    """

    def __init__(
        self,
        logs: Mapping[str, EventLog],
        log: str,
        clock: Clock,
        schedule: Schedule,
        *,
        silent: bool = False,
        pace: float = PACE,
    ) -> None:
        types = frozenset(event for event in OFFERED if _LOG_OF[event] == log)
        super().__init__(NAME, logs["notifications"], logs[log], types, clock, BATCH)
        self._offered = self.topics
        self._schedule = schedule
        self._silent = silent
        self._pace = pace
        self._next = 0.0

    async def step(self, epoch: int) -> tuple[bool, list[Task]]:
        """See `LogFollower`."""
        loop = asyncio.get_running_loop()
        if not self._silent:
            if (wait := self._next - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._next = loop.time() + self._pace
        # The end of the log first, then who wants to hear: who comes in between hears of what follows.
        head = await self.upstream.head()
        if self._silent or not (topics := self._topics(await endpoints(self.log))):
            moved, self.position, self.topics = head > self.position, max(head, self.position), frozenset[str]()
            if moved and (self._silent or self.position - self._committed >= STRIDE):
                await self._pass(epoch)
            return moved and self._silent, []
        self.topics = topics
        aside: list[Task] = []
        events: list[Recorded] = []
        try:
            events, upto = await self.upstream.read(self.position, self._batch, topics=self.topics)
        except Unreadable as bad:
            upto = bad.position
            aside.append(self._unread(bad))
        if upto == self.position:
            return False, []
        if not self._topics(await endpoints(self.log)) <= topics:
            return True, []  # somebody new wants to hear of what was just passed over: read it again
        tasks = await self._react(events, self._tracking(upto, epoch), aside)
        self.position = self._committed = upto
        return True, tasks

    async def rest(self, epoch: int) -> None:
        """Nothing: who begins anew passes over the same, and who registers hears of what happens from then on."""

    async def _pass(self, epoch: int) -> None:
        await self._react([], self._tracking(self.position, epoch))
        self._committed = self.position

    def _topics(self, known: Mapping[UUID, Endpoint]) -> frozenset[str]:
        return self._offered & {topic for one in known.values() if one.active for topic in one.topics}

    async def _react(self, events: Sequence[Recorded], tracking: Tracking, aside: Sequence[Task] = ()) -> list[Task]:
        known = await endpoints(self.log) if events else {}
        while True:
            work = Work(self.log, self._clock.now(), _NOBODY, self._schedule)
            work.unit.tasks.extend(aside)
            for recorded in events:
                await handle(work, Deliver(deliveries=_due(recorded, known), due=work.now), self._cause_of(recorded))
            work.unit.tracking = tracking
            try:
                await work.commit()
            except Conflict:
                continue
            return work.unit.tasks

    async def again(self, task: Task) -> Finished | Retry | Park:
        """See `LogFollower`: an event that could not be read before."""
        [recorded], _ = await self.upstream.read(int(task.data["position"]) - 1, 1)
        known = await endpoints(self.log)
        return Finished([Deliver(deliveries=_due(recorded, known), due=self._clock.now())])


STRIDE: Final = 1_000
"""Positions that nobody wants to hear of which are passed over before that is written down."""

_NOBODY: Final = Meta("", "", "system")


def _due(recorded: Recorded, known: Mapping[UUID, Endpoint]) -> tuple[Delivery, ...]:
    return tuple(
        _delivery(one.endpoint_id, recorded)
        for one in known.values()
        if one.active and recorded.topic in one.topics and recorded.at >= one.registered_at
    )


def _delivery(endpoint_id: UUID, recorded: Recorded) -> Delivery:
    return Delivery(
        endpoint_id=endpoint_id,
        event_id=recorded.id,
        topic=recorded.topic,
        log=recorded.log,
        position=recorded.position,
    )


# --- what staff do ---------------------------------------------------------------------------------

Keep = Callable[[Endpoint], Idempotency | None]
ReplayKeep = Callable[[WebhookReplayRequested], Idempotency | None]


def fields_of(topic: str) -> tuple[str, ...]:
    """The fields of an event that are told."""
    return _FIELDS[topic]


_FIELDS: Final = {f"{_LOG_OF[event]}.{event.__name__}": fields for event, fields in OFFERED.items()}


async def trouble(webhooks: Webhooks, url: str) -> str | None:
    """Why an address cannot be called; None where it can."""
    try:
        await webhooks.check(url)
    except Undelivered as wrong:
        return str(wrong)
    return None


async def register(
    shop: Shop, *, url: str, topics: Sequence[str], description: str, cause: Meta, keep: Keep = lambda _: None
) -> tuple[Endpoint, Committed]:
    """A new endpoint. Raises `Rejected` (unknown_topic, too_many_webhooks …)."""
    endpoint_id = uuid4()

    async def handler(work: Work) -> Endpoint:
        command = RegisterWebhook(
            endpoint_id=endpoint_id,
            url=url,
            topics=tuple(topics),
            description=description,
            offered=TOPICS,
            at=work.now,
        )
        await handle(work, command, cause)
        endpoint = _endpoint(work, endpoint_id)
        work.unit.idempotency = keep(endpoint)
        return endpoint

    return await shop.run("notifications", cause, handler)


def _endpoint(work: Work, endpoint_id: UUID) -> Endpoint:
    state = work.state(WEBHOOKS, webhooks_id())
    assert state is not None, "an endpoint that is not there was rejected"
    return state.endpoints[endpoint_id]


async def change(
    shop: Shop,
    endpoint_id: UUID,
    *,
    url: str | UnsetType,
    topics: tuple[str, ...] | UnsetType,
    active: bool | UnsetType,
    cause: Meta,
) -> None:
    """Changes what is given. Raises `Rejected` (no_such_webhook, unknown_topic …)."""
    command = ChangeWebhook(endpoint_id=endpoint_id, url=url, topics=topics, active=active, offered=TOPICS)
    await shop.execute(command, cause)


async def remove(shop: Shop, endpoint_id: UUID, cause: Meta) -> None:
    """Raises `Rejected` (no_such_webhook)."""
    await shop.execute(RemoveWebhook(endpoint_id=endpoint_id), cause)


async def rotate(shop: Shop, endpoint_id: UUID, overlap: timedelta, cause: Meta) -> Endpoint:
    """The endpoint with its new secret. Raises `Rejected` (no_such_webhook)."""

    async def handler(work: Work) -> Endpoint:
        await handle(work, RotateWebhookSecret(endpoint_id=endpoint_id, overlap=overlap, at=work.now), cause)
        return _endpoint(work, endpoint_id)

    return (await shop.run("notifications", cause, handler))[0]


async def replay(
    shop: Shop, endpoint_id: UUID, log: str, after: int, cause: Meta, keep: ReplayKeep = lambda _: None
) -> tuple[WebhookReplayRequested, Committed]:
    """Begins a replay up to the present end of the log. Raises `Rejected` (no_such_webhook)."""
    upto = await shop.logs[log].head()
    command = RequestReplay(endpoint_id=endpoint_id, replay_id=uuid4(), log=log, after=after, upto=upto)

    async def handler(work: Work) -> WebhookReplayRequested:
        await handle(work, command, cause)
        event = work.unit.events[0].event
        assert isinstance(event, WebhookReplayRequested), "a replay is one event"
        work.unit.idempotency = keep(event)
        return event

    return await shop.run("notifications", cause, handler)


async def delivery(shop: Shop, endpoint_id: UUID, event_id: UUID) -> tuple[DeliveryState, list[Recorded]] | None:
    """What became of a delivery, and all that happened to it, the oldest first; None before its first try."""
    stream, log = stream_id("webhook", endpoint_id, event_id), shop.logs["notifications"]
    state, _ = await log.load(DELIVERY, stream, fresh=True)
    return None if state is None else (state, await log.stream(stream))


async def send_again(shop: Shop, endpoint_id: UUID, event_id: UUID, cause: Meta) -> DeliveryState:
    """Delivers once more. Raises `Rejected` (no_such_delivery, delivery_waits)."""
    stream = stream_id("webhook", endpoint_id, event_id)

    async def handler(work: Work) -> DeliveryState:
        await handle(work, AskForDelivery(delivery_id=stream), cause)
        after = work.state(DELIVERY, stream)
        assert after is not None, "a delivery that is not there was rejected"
        return after

    return (await shop.run("notifications", cause, handler))[0]


# --- sending ---------------------------------------------------------------------------------------

_SLOTS: Final = 8
"""Calls to one endpoint at once: a slow one must not keep the others waiting."""

_AGAIN: Final = timedelta(seconds=1)


def performers(logs: Mapping[str, EventLog], vault: Vault, webhooks: Webhooks, clock: Clock) -> dict[str, Perform]:
    """What delivers and replays, by the kind of task."""
    own = logs["notifications"]
    busy: dict[UUID, int] = {}

    async def deliver(task: Task) -> Finished | Retry | Park:
        delivery = msgspec.convert(task.data, Delivery)
        endpoint = (await endpoints(own)).get(delivery.endpoint_id)
        if endpoint is None:
            return Finished()
        at = clock.following(task.due)
        if not endpoint.active:
            off = RecordDeliveryFailure(delivery=delivery, error="the endpoint is off", permanent=True, at=at)
            return Finished([off])
        if busy.get(endpoint.endpoint_id, 0) >= _SLOTS:
            return Retry(_AGAIN, failed=False)
        busy[endpoint.endpoint_id] = busy.get(endpoint.endpoint_id, 0) + 1
        try:
            return await call(endpoint, delivery, at)
        finally:
            busy[endpoint.endpoint_id] -= 1

    async def call(endpoint: Endpoint, delivery: Delivery, at: datetime) -> Finished | Retry | Park:
        found, _ = await logs[delivery.log].read(delivery.position - 1, 1)
        if not found or found[0].id != delivery.event_id:
            return Park("the event is not where it was")
        body, seconds = payload(found[0]), int(at.timestamp())
        generations = [endpoint.generation]
        if endpoint.overlap_until is not None and at < endpoint.overlap_until:
            generations.append(endpoint.generation - 1)
        secrets = [secret_of(vault, endpoint.endpoint_id, one) for one in generations]
        headers = {
            "content-type": "application/json",
            "user-agent": "Emporium-Webhooks/1",
            "webhook-id": str(delivery.event_id),
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature(secrets, delivery.event_id, seconds, body),
        }
        try:
            code = await webhooks.post(endpoint.url, headers, body)
        except Undelivered as failed:
            return Finished([RecordDeliveryFailure(delivery=delivery, error=str(failed), at=at)])
        if 200 <= code < 300:
            return Finished([RecordDelivered(delivery=delivery, code=code)])
        gone = code == _GONE
        return Finished(
            [RecordDeliveryFailure(delivery=delivery, code=code, error=f"HTTP {code}", permanent=gone, at=at)]
        )

    async def replay(task: Task) -> Finished | Retry | Park:
        data: dict[str, Any] = task.data
        endpoint = (await endpoints(own)).get(UUID(data["endpoint_id"]))
        if endpoint is None:
            return Finished()
        log, after, upto = logs[data["log"]], int(data["after"]), int(data["upto"])
        try:
            events, reached = await log.read(after, BATCH, topics=frozenset(endpoint.topics))
        except Unreadable as bad:
            return Retry(backoff(task.attempts), str(bad))
        chosen = tuple(
            _delivery(endpoint.endpoint_id, one)
            for one in events
            if one.position <= upto and one.topic in endpoint.topics
        )
        now = clock.now()
        follow: tuple[Task, ...] = ()
        if after < reached < upto:
            next_id = stream_id("task", REPLAY, data["replay_id"], reached)
            follow = (Task(next_id, REPLAY, now + _AGAIN, task.stream, {**data, "after": reached}, task.cause),)
        return Finished([Deliver(deliveries=chosen, due=now, part=data["replay_id"], follow=follow)])

    return {WEBHOOK: deliver, REPLAY: replay}


_GONE: Final = 410
