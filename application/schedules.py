"""Which events make which tasks necessary: the timers and effects of the program on one page."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from emporium.application.ports import Meta, NewEvent, Task
from emporium.application.work import Schedule
from emporium.domain import (
    cart,
    catalog_import,
    notification,
    order,
    payment,
    picture,
    product,
    shipment,
    watch,
    webhook,
    webhook_delivery,
)
from emporium.domain.backorder import backorder_id_of
from emporium.domain.base import State, stream_id
from emporium.domain.notification import About, notification_id_of
from emporium.domain.webhook_delivery import Delivery, delivery_id_of

__all__ = [
    "ASKING",
    "FILL",
    "IMPORT",
    "LOOK",
    "MESSAGE",
    "RENDER",
    "REPLAY",
    "UNDO",
    "WEBHOOK",
    "TimeLimits",
    "delivery_task",
    "fill_task",
    "message_task",
    "scheduler",
]

MESSAGE: Final = "effect.message"
"""The kind of the tasks that send a message."""

WEBHOOK: Final = "effect.webhook"
"""The kind of the tasks that deliver a webhook."""

LOOK: Final = "timer.watch"
"""The kind of the tasks that look once more after a watch was set."""

FILL: Final = "effect.fill"
"""The kind of the tasks that give units which came to the orders that wait for them."""

IMPORT: Final = "effect.import"
"""The kind of the tasks that write a file of products."""

UNDO: Final = "effect.import_undo"
"""The kind of the tasks that put back what an import changed."""

RENDER: Final = "effect.render"
"""The kind of the tasks that make a picture's smaller forms."""

REPLAY: Final = "effect.webhook_replay"
"""The kind of the tasks that make deliveries of a log's past."""


class TimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long things may take.

    Attributes:
        payment: until a payment without an answer is given up, where its order names no other time.
        action: until a customer of whom the provider wants something (3-D Secure) has not done it.
        cart: until an untouched cart expires, where the shop's settings say nothing else; left: until its owner
            is reminded of it.
        unshipped: until a confirmed order that nobody ships is cancelled.
        tracking: between two looks at a parcel on its way.
    """

    payment: timedelta = timedelta(minutes=15)
    action: timedelta = timedelta(minutes=15)
    cart: timedelta = timedelta(days=30)
    left: timedelta = timedelta(hours=24)
    unshipped: timedelta = timedelta(days=30)
    tracking: timedelta = timedelta(seconds=5)


ASKING: Final = timedelta(seconds=3)
"""Between two questions whether the customer has done what the provider wants; webhooks tell sooner."""


BOOKING: Final = timedelta(minutes=10)
"""So long after it was given up, whatever call to a carrier has ended, and its label is there or never will be."""


LOOKING: Final = timedelta(seconds=5)
"""From a watch to the look at what came in while it was set."""


def _task(new: NewEvent, kind: str, stream: UUID, after: timedelta, part: object = "", **data: Any) -> Task:
    """A task with an id of its own stream, kind and part: scheduling it again while it stands changes nothing."""
    cause = Meta(new.meta.correlation, f"event:{new.id}", f"system:{kind}", new.meta.request)
    return Task(stream_id("task", kind, stream, part), kind, new.at + after, stream, data, cause)


def _by_staff(new: NewEvent, task: Task) -> Task:
    """The task as work of whoever asked for it: what it changes is that person's change."""
    return replace(task, cause=replace(task.cause, actor=new.meta.actor))


def message_task(about: About, due: datetime, cause: Meta, part: object = 0) -> Task:
    """The task that sends a message; `part` tells its tries apart."""
    stream = notification_id_of(about)
    return Task(stream_id("task", MESSAGE, stream, part), MESSAGE, due, stream, msgspec.to_builtins(about), cause)


def fill_task(sku: str, due: datetime, cause: Meta) -> Task:
    """The task that gives a SKU's free units to whoever waits. One for each time: what is free after one has looked
    is the next one's."""
    return Task(uuid4(), FILL, due, backorder_id_of(sku), {"sku": sku}, cause)


def delivery_task(delivery: Delivery, due: datetime, cause: Meta, part: object = 0) -> Task:
    """The task that delivers a webhook; `part` tells its tries apart."""
    stream = delivery_id_of(delivery)
    return Task(stream_id("task", WEBHOOK, stream, part), WEBHOOK, due, stream, msgspec.to_builtins(delivery), cause)


def scheduler(
    limits: TimeLimits,
    cart_limit: Callable[[], timedelta] | None = None,
    left_limit: Callable[[], timedelta] | None = None,
) -> Schedule:
    """The function that names the tasks of an event.

    Args:
        cart_limit: until an untouched cart expires, as the settings say now; without it, as the limits say.
        left_limit: until its owner is reminded of it, the same way; zero: never.
    """
    now = timedelta(0)
    cart_expires = cart_limit or (lambda: limits.cart)
    cart_left = left_limit or (lambda: limits.left)

    def charge(new: NewEvent, event: payment.PaymentRequested, _: State | None) -> Iterable[Task]:
        order_id = str(event.order_id)
        yield _task(new, "effect.charge", new.stream, now, order_id=order_id)
        after = limits.payment if event.time_limit is None else timedelta(seconds=event.time_limit)
        yield _task(new, "effect.payment_deadline", new.stream, after, order_id=order_id)

    def act(new: NewEvent, event: payment.PaymentActionRequired, _: State | None) -> Iterable[Task]:
        yield _task(new, "effect.await_action", new.stream, ASKING, order_id=str(event.order_id))

    def capture(new: NewEvent, event: payment.CaptureRequested, _: State | None) -> Iterable[Task]:
        yield _task(new, "effect.capture", new.stream, now, order_id=str(event.order_id))

    def void(new: NewEvent, event: payment.VoidRequested, _: State | None) -> Iterable[Task]:
        yield _task(new, "effect.void", new.stream, now, order_id=str(event.order_id))

    def refund(new: NewEvent, event: payment.RefundRequested, _: State | None) -> Iterable[Task]:
        data = {"order_id": str(event.order_id), "refund_id": str(event.refund_id)}
        yield _task(new, "effect.refund", new.stream, now, event.refund_id, **data)

    def book(new: NewEvent, event: shipment.ShipmentPrepared, _: State | None) -> Iterable[Task]:
        for parcel in event.parcels:
            data = {"order_id": str(event.order_id), "parcel": parcel.number}
            yield _task(new, "effect.book", new.stream, now, parcel.number, **data)

    def book_again(new: NewEvent, event: shipment.ParcelLabelVoided, before: State | None) -> Iterable[Task]:
        data = {"order_id": str(event.order_id), "parcel": event.parcel, "again": True}
        yield _task(new, "effect.book", new.stream, now, f"{event.parcel}.{event.attempt}", **data)
        yield from void_labels(new, before, event.parcel)

    def void_labels(new: NewEvent, before: State | None, only: int | None = None) -> Iterable[Task]:
        if isinstance(before, shipment.ShipmentState):
            for number, one in before.parcels.items():
                if only in (None, number) and not one.given_up:
                    data = {"order_id": str(before.order_id), "parcel": number, "attempt": one.attempt}
                    # What has no label yet may be getting one at this moment.
                    after = now if one.labelled else BOOKING
                    yield _task(new, "effect.void_label", new.stream, after, f"{number}.{one.attempt}", **data)

    def give_up(new: NewEvent, event: shipment.ParcelGivenUp, before: State | None) -> Iterable[Task]:
        yield from void_labels(new, before, event.parcel)

    def leave_out(new: NewEvent, event: shipment.ShipmentReduced, before: State | None) -> Iterable[Task]:
        for parcel in event.emptied:
            yield from void_labels(new, before, parcel)

    def stop(new: NewEvent, _: shipment.ShipmentCancelled, before: State | None) -> Iterable[Task]:
        yield from void_labels(new, before)

    def pack(new: NewEvent, event: shipment.ShipmentReleased, before: State | None) -> Iterable[Task]:
        if isinstance(before, shipment.ShipmentState):
            for number, parcel in before.parcels.items():
                if parcel.labelled and not parcel.packed:
                    data = {"order_id": str(event.order_id), "parcel": number, "again": True}
                    yield _task(new, "effect.book", new.stream, now, f"{number}.released.{new.version}", **data)

    def hand_over(new: NewEvent, event: shipment.ParcelPacked, _: State | None) -> Iterable[Task]:
        data = {"order_id": str(event.order_id), "parcel": event.parcel}
        yield _task(new, "effect.hand_over", new.stream, now, event.parcel, **data)

    def track(new: NewEvent, event: shipment.OrderShipped, _: State | None) -> Iterable[Task]:
        data = {"order_id": str(event.order_id), "parcel": event.parcel}
        yield _task(new, "effect.track", new.stream, limits.tracking, event.parcel, **data)

    def unshipped(new: NewEvent, event: order.OrderConfirmed, _: State | None) -> Iterable[Task]:
        yield _task(new, "timer.unshipped", new.stream, limits.unshipped, order_id=str(event.order_id))

    def unshipped_again(new: NewEvent, event: order.OrderReleased, _: State | None) -> Iterable[Task]:
        data = {"order_id": str(event.order_id), "release": new.version}
        yield _task(new, "timer.unshipped", new.stream, limits.unshipped, new.version, **data)

    def stay(new: NewEvent, event: Any, before: State | None) -> Iterable[Task]:
        if not isinstance(before, cart.CartState):
            return
        filling = before.fillings + 1
        # Each filling has timers of its own: one that is just ending must not take the next one's with it.
        if not before.items:
            yield _task(new, "timer.cart_expiry", new.stream, cart_expires(), filling, filling=filling)
        after = cart_left()
        if before.customer_id is not None and after and (not before.items or before.abandoned):
            filling -= bool(before.items)
            yield _task(new, "timer.cart_left", new.stream, after, new.version, filling=filling)

    def bulk(new: NewEvent, event: catalog_import.ImportRequested, _: State | None) -> Iterable[Task]:
        yield _by_staff(new, _task(new, IMPORT, new.stream, now))

    def bulk_undo(new: NewEvent, event: catalog_import.ImportUndoRequested, _: State | None) -> Iterable[Task]:
        yield _by_staff(new, _task(new, UNDO, new.stream, now))

    def render(new: NewEvent, event: picture.PictureUploaded, _: State | None) -> Iterable[Task]:
        yield _task(new, RENDER, new.stream, now)

    def prices(new: NewEvent, event: product.PriceScheduled, _: State | None) -> Iterable[Task]:
        data = {"product_id": str(event.product_id), "schedule_id": str(event.schedule_id)}
        yield _task(new, "timer.price_begins", new.stream, event.starts_at - new.at, event.schedule_id, **data)
        if event.ends_at is not None:
            yield _task(new, "timer.price_ends", new.stream, event.ends_at - new.at, event.schedule_id, **data)

    def message(new: NewEvent, event: Any, _: State | None) -> Iterable[Task]:
        due = event.again_at if isinstance(event, notification.NotificationFailed) else new.at
        cause = Meta(new.meta.correlation, f"event:{new.id}", f"system:{MESSAGE}", new.meta.request)
        yield message_task(event.about, due, cause, new.version)

    def delivery(new: NewEvent, event: Any, _: State | None) -> Iterable[Task]:
        due = event.again_at if isinstance(event, webhook_delivery.WebhookFailed) else new.at
        cause = Meta(new.meta.correlation, f"event:{new.id}", f"system:{WEBHOOK}", new.meta.request)
        # By version: a replay's tries are others than the first ones.
        yield delivery_task(event.delivery, due, cause, new.version)

    def replay(new: NewEvent, event: webhook.WebhookReplayRequested, _: State | None) -> Iterable[Task]:
        cause = Meta(new.meta.correlation, f"event:{new.id}", f"system:{REPLAY}", new.meta.request)
        known = stream_id("task", REPLAY, event.replay_id)
        yield Task(known, REPLAY, new.at, new.stream, msgspec.to_builtins(event), cause)

    def look(new: NewEvent, event: watch.WatchAdded, _: State | None) -> Iterable[Task]:
        data = {"customer_id": str(event.customer_id), "product_id": str(event.product_id)}
        yield _task(new, LOOK, new.stream, LOOKING, new.version, sku=event.sku, watched=event.kind, **data)

    table: Final[dict[type, Callable[[NewEvent, Any, State | None], Iterable[Task]]]] = {
        product.PriceScheduled: prices,
        picture.PictureUploaded: render,
        catalog_import.ImportRequested: bulk,
        catalog_import.ImportUndoRequested: bulk_undo,
        payment.PaymentRequested: charge,
        payment.PaymentActionRequired: act,
        payment.CaptureRequested: capture,
        payment.VoidRequested: void,
        payment.RefundRequested: refund,
        shipment.ShipmentPrepared: book,
        shipment.ParcelLabelVoided: book_again,
        shipment.ParcelGivenUp: give_up,
        shipment.ShipmentReduced: leave_out,
        shipment.ShipmentCancelled: stop,
        shipment.ShipmentReleased: pack,
        shipment.ParcelPacked: hand_over,
        shipment.OrderShipped: track,
        order.OrderConfirmed: unshipped,
        order.OrderReleased: unshipped_again,
        cart.CartItemAdded: stay,
        cart.CartItemQuantityChanged: stay,
        cart.CartReopened: stay,
        cart.CartItemsTakenOver: stay,
        notification.NotificationFailed: message,
        notification.NotificationAskedFor: message,
        webhook_delivery.WebhookFailed: delivery,
        webhook_delivery.WebhookAskedFor: delivery,
        webhook.WebhookReplayRequested: replay,
        watch.WatchAdded: look,
    }

    def schedule(new: NewEvent, before: State | None) -> Iterable[Task]:
        make = table.get(type(new.event))
        return make(new, new.event, before) if make is not None else ()

    return schedule
