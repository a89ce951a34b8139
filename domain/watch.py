"""What a customer watches: SKUs to be had again, and SKUs whose price may drop; one stream for each customer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, State, stream_id
from emporium.domain.text import check_shape

BACK_IN_STOCK, PRICE_DROP = "back_in_stock", "price_drop"
KINDS: Final = (BACK_IN_STOCK, PRICE_DROP)

MOST: Final = 200


def watches_id(customer_id: UUID) -> UUID:
    """The id of the only stream of a customer's watches."""
    return stream_id("watches", customer_id)


# --- events ----------------------------------------------------------------------------------------


class WatchAdded(Event, frozen=True, kw_only=True):
    """The customer is to be told when the SKU can be had again, or costs less than `price`.

    `after` is the position in the log of what is watched from which on something new counts.
    """

    customer_id: UUID
    product_id: UUID
    sku: str
    kind: str
    price: Money | None = None
    after: int
    at: datetime


class WatchRemoved(Event, frozen=True, kw_only=True):
    """The customer does not want to be told any more."""

    customer_id: UUID
    sku: str
    kind: str


class WatchMet(Event, frozen=True, kw_only=True):
    """What was watched for has happened; the customer is told. A watch for stock has ended with it, one for a lower
    price goes on from this `price`; `previous` is that from which it fell."""

    customer_id: UUID
    sku: str
    kind: str
    price: Money | None = None
    previous: Money | None = None
    at: datetime


# --- state -----------------------------------------------------------------------------------------


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is watched; see `WatchAdded`."""

    sku: str
    kind: str
    price: Money | None
    after: int
    at: datetime


class WatchesState(State, frozen=True, kw_only=True):
    """The watches, the oldest first."""

    customer_id: UUID
    watches: tuple[Watch, ...] = ()

    def find(self, sku: str, kind: str) -> Watch | None:
        """The watch of this kind for the SKU."""
        return next((one for one in self.watches if (one.sku, one.kind) == (sku, kind)), None)


# --- commands --------------------------------------------------------------------------------------


class AddWatch(Command, frozen=True, kw_only=True):
    """`available` are the units that can be had now."""

    customer_id: UUID
    product_id: UUID
    sku: str
    kind: str
    price: Money | None = None
    available: int
    after: int
    at: datetime


class RemoveWatch(Command, frozen=True, kw_only=True):
    customer_id: UUID
    sku: str
    kind: str


class MeetWatch(Command, frozen=True, kw_only=True):
    """Something happened at `position` that somebody may watch for; `price` is the new one."""

    customer_id: UUID
    sku: str
    kind: str
    price: Money | None = None
    position: int
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

TOO_MANY_WATCHES = Reason("too_many_watches", "At most {most} things can be watched.")
NO_SUCH_WATCH = Reason("no_such_watch", "This is not watched.", "missing")
CAN_BE_HAD = Reason("can_be_had", "Of {sku} {available} can be had now.")
NO_PRICE_TO_WATCH = Reason("no_price_to_watch", "{sku} has no price that could drop.", "invalid")
UNKNOWN_WATCH = Reason("unknown_watch", "Nothing can be watched as {kind}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, before: WatchesState | None) -> Sequence[Event]:
    """The events that the command makes. Raises Rejected."""
    match command:
        case AddWatch():
            return _add(command, before)
        case RemoveWatch(sku=sku, kind=kind):
            if before is None or before.find(sku, kind) is None:
                raise NO_SUCH_WATCH()
            return [WatchRemoved(customer_id=before.customer_id, sku=sku, kind=kind)]
        case MeetWatch(sku=sku, kind=kind):
            watch = None if before is None else before.find(sku, kind)
            # What happened before somebody began to watch was seen then.
            if watch is None or command.position <= watch.after:
                return []
            if kind == PRICE_DROP and not _lower(command.price, watch.price):
                return []
            return [
                WatchMet(
                    customer_id=command.customer_id,
                    sku=sku,
                    kind=kind,
                    price=command.price,
                    previous=watch.price,
                    at=command.at,
                )
            ]
        case _:
            raise TypeError(f"watches do not know {type(command).__name__}")


def _add(command: AddWatch, before: WatchesState | None) -> Sequence[Event]:
    if command.kind not in KINDS:
        raise UNKNOWN_WATCH(kind=command.kind, field="kind")
    check_shape("sku", command.sku, "sku")
    if before is not None and before.find(command.sku, command.kind) is not None:
        return []
    if before is not None and len(before.watches) >= MOST:
        raise TOO_MANY_WATCHES(most=MOST)
    if command.kind == BACK_IN_STOCK and command.available > 0:
        raise CAN_BE_HAD(sku=command.sku, available=command.available)
    if command.kind == PRICE_DROP and command.price is None:
        raise NO_PRICE_TO_WATCH(sku=command.sku, field="sku")
    return [
        WatchAdded(
            customer_id=command.customer_id,
            product_id=command.product_id,
            sku=command.sku,
            kind=command.kind,
            price=command.price if command.kind == PRICE_DROP else None,
            after=command.after,
            at=command.at,
        )
    ]


def _lower(price: Money | None, than: Money | None) -> bool:
    return price is not None and than is not None and price.currency == than.currency and price < than


# --- evolve ----------------------------------------------------------------------------------------


def evolve(before: WatchesState | None, event: Event) -> WatchesState:
    """The watches after the event."""
    match event:
        case WatchAdded():
            before = before or WatchesState(customer_id=event.customer_id)
            watch = Watch(sku=event.sku, kind=event.kind, price=event.price, after=event.after, at=event.at)
            return replace(before, watches=(*before.watches, watch))
        case WatchRemoved() | WatchMet():
            if before is None:
                raise ValueError("watches begin with WatchAdded")
            watches = []
            for watch in before.watches:
                if (watch.sku, watch.kind) != (event.sku, event.kind):
                    watches.append(watch)
                elif isinstance(event, WatchMet) and event.kind == PRICE_DROP:
                    watches.append(replace(watch, price=event.price))
            return replace(before, watches=tuple(watches))
        case _:
            raise TypeError(f"watches do not know {type(event).__name__}")


WATCHES: Final = Aggregate(
    name="Watches",
    log="accounts",
    state=WatchesState,
    events=(WatchAdded, WatchRemoved, WatchMet),
    decide=decide,
    evolve=evolve,
)
