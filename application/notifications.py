"""Tells people what happened: which events make which messages, to whom, and how each is put into words and sent.

The policy is pure. Messages are durable tasks of the notifications log; what became of each is one event of
its own stream. Where the shop has no mail server, an order's mails go into the outbox with the very commit that
passes their events.
"""

import asyncio
import hmac
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application import mail_tokens, orders
from emporium.application.commands import Announce, handle
from emporium.application.effects import Finished, Park, Perform, Retry, backoff
from emporium.application.ports import (
    Clock,
    Conflict,
    EventLog,
    Idempotency,
    Letter,
    Letters,
    Meta,
    Recorded,
    Sender,
    Task,
    Traces,
    Tracking,
    Undelivered,
    Vault,
)
from emporium.application.runner import LogFollower
from emporium.application.schedules import MESSAGE
from emporium.application.shop import Offers, Shop
from emporium.application.terms import Terms
from emporium.application.work import Committed, Schedule, Work
from emporium.domain import cancellations, cart, customer, invitation, order, payment, shipment, stock, watch
from emporium.domain.base import Event, Money, Reason, Sealed
from emporium.domain.cart import CART, cart_id_of
from emporium.domain.customer import ACTIVE, CUSTOMER, ChangePreferences, CustomerState
from emporium.domain.notification import (
    EMAIL,
    NOTIFICATION,
    PUSH,
    SMS,
    About,
    AskForNotification,
    NotificationState,
    RecordSendFailure,
    RecordSent,
    RecordSuppression,
    notification_id_of,
)
from emporium.domain.order import ORDER, OrderState
from emporium.domain.registry import AGGREGATES
from emporium.domain.subscription import SUBSCRIPTIONS, SubscribeStaff, SubscriptionsState, subscriptions_id

__all__ = [
    "NAME",
    "NOTICES",
    "OUTBOX",
    "Composed",
    "Composer",
    "Notice",
    "NoticeFollower",
    "Unsendable",
    "Unsubscribe",
    "announcements",
    "performers",
]

_log = logging.getLogger(__name__)

NAME: Final = "notifications"

OUTBOX: Final = "outbox"
"""How a message went that the shop has no server for: staff see it."""

NEWS: Final = timedelta(days=3)
"""Older events are history, of an import or of a time before there were messages: nobody is told of them."""

BATCH: Final = 1_000
PACE: Final = 0.1
"""Seconds between two batches: nobody reads his mail sooner, and larger batches cost less."""

# --- what is told ----------------------------------------------------------------------------------


def _nothing(_: Any) -> dict[str, str]:
    return {}


def _always(_: Any) -> bool:
    return True


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A message that an event makes.

    Attributes:
        kind: names its template.
        topic: of which customers can choose not to be told by mail, one of `customer.TOPICS`; None for what must
            be told. By other channels an order's news are the topic `orders`.
        facts: what of the event the message needs beside the order or account.
        when: whether this very event makes it.
        delayed: it is sent as long after the event as the shop's settings say for reviews.
    """

    kind: str
    topic: str | None = None
    facts: Callable[[Any], dict[str, str]] = _nothing
    when: Callable[[Any], bool] = _always
    delayed: bool = False


def _parcel(event: shipment.OrderShipped) -> dict[str, str]:
    return {
        "parcel": str(event.parcel),
        "of": str(event.of),
        "carrier": event.carrier,
        "tracking_number": event.tracking_number,
        "tracking_url": event.tracking_url,
    }


def _less(event: cancellations.OrderLinesCancelled) -> dict[str, str]:
    units = sum(line.quantity for line in event.lines)
    return {"amount": str(event.amount.amount), "currency": event.amount.currency, "units": str(units)}


def _expected(event: order.OrderBackordered) -> dict[str, str]:
    return {"expected": max(one.expected for one in event.waiting).isoformat()}


def _refund(event: payment.PaymentRefunded) -> dict[str, str]:
    return {"amount": str(event.amount.amount), "currency": event.amount.currency}


def _level(event: stock.StockLevelLow) -> dict[str, str]:
    return {
        "sku": event.sku,
        "warehouse": event.warehouse,
        "available": str(event.available),
        "mark": str(event.mark),
    }


def _met(event: watch.WatchMet) -> dict[str, str]:
    facts = {"sku": event.sku}
    if event.price is not None and event.previous is not None:
        facts |= {
            "amount": str(event.price.amount),
            "was": str(event.previous.amount),
            "currency": event.price.currency,
        }
    return facts


NOTICES: Final[Mapping[type[Event], tuple[Notice, ...]]] = {
    order.OrderCreated: (Notice(kind="order_created"),),
    order.OrderBackordered: (Notice(kind="order_backordered", facts=_expected),),
    order.OrderConfirmed: (Notice(kind="order_confirmed", topic="orders"),),
    order.OrderCancelled: (Notice(kind="order_cancelled"),),
    cancellations.OrderLinesCancelled: (Notice(kind="order_lines_cancelled", facts=_less),),
    order.OrderFailed: (Notice(kind="order_failed", when=lambda event: event.reason == "out_of_stock"),),
    payment.PaymentFailed: (Notice(kind="payment_failed"),),
    payment.PaymentRefunded: (Notice(kind="order_refunded", facts=_refund),),
    shipment.OrderShipped: (Notice(kind="order_shipped", topic="orders", facts=_parcel),),
    shipment.ParcelDelivered: (
        Notice(kind="order_delivered", topic="orders", facts=lambda event: {"parcel": str(event.parcel)}),
    ),
    shipment.OrderFulfilled: (Notice(kind="review_invitation", topic="reviews", delayed=True),),
    stock.StockLevelLow: (Notice(kind="stock_low", facts=_level),),
    cart.CartAbandoned: (Notice(kind="cart_left", topic="reminders"),),
    watch.WatchMet: (
        Notice(kind="back_in_stock", topic="watched", facts=_met, when=lambda event: event.kind == watch.BACK_IN_STOCK),
        Notice(kind="price_drop", topic="watched", facts=_met, when=lambda event: event.kind == watch.PRICE_DROP),
    ),
    customer.EmailVerificationRequested: (Notice(kind="email_verification"),),
    customer.PasswordResetRequested: (Notice(kind="password_reset"),),
    customer.PasswordChanged: (Notice(kind="password_changed"),),
    customer.EmailChangeRequested: (Notice(kind="email_change_new"),),
    customer.EmailChangeAnnounced: (Notice(kind="email_change_old"),),
    customer.RegistrationRepeated: (Notice(kind="registration_repeated", when=lambda event: event.email is not None),),
    customer.NewDeviceSeen: (Notice(kind="new_device"),),
    invitation.StaffInvited: (Notice(kind="staff_invitation"),),
    # Names its message itself: see `announcements`.
    order.OrderMessageRequested: (),
}
"""Every event that somebody is told of."""

_TOPIC_OF: Final = {notice.kind: notice.topic for row in NOTICES.values() for notice in row}

KINDS: Final = tuple(_TOPIC_OF)
"""Every kind of message; each has a template."""


def topic_of(kind: str, channel: str) -> str | None:
    """What a customer can refuse to be told; None for what must be told."""
    return _TOPIC_OF.get(kind) if channel == EMAIL else _TOPIC_OF.get(kind) or "orders"


def announcements(
    recorded: Recorded, subscribers: SubscriptionsState, channels: Sequence[str], delay: timedelta
) -> list[Announce]:
    """The messages that an event makes. Pure.

    Args:
        subscribers: staff who want to hear of low stock.
        channels: those by which customers can be reached, `email` first.
        delay: from an order's arrival to the invitation to review it.
    """
    event: Any = recorded.event
    if isinstance(event, order.OrderMessageRequested):
        about = About(
            kind=event.message,
            channel=event.channel,
            log=recorded.log,
            position=recorded.position,
            event_id=recorded.id,
            order_id=event.order_id,
            facts=event.facts,
        )
        return [Announce(about=about, due=recorded.at)]
    made: list[Announce] = []
    for notice in NOTICES[type(event)]:
        if not notice.when(event):
            continue
        order_id: UUID | None = getattr(event, "order_id", None)
        to: list[tuple[str, UUID | None]]
        if isinstance(event, stock.StockLevelLow):
            to = [(channel, staff) for staff, chosen in subscribers.of(event.sku).items() for channel in chosen]
        elif order_id is not None:
            to = [(channel, None) for channel in channels]
        elif notice.topic is not None:
            to = [(channel, event.customer_id) for channel in channels]
        else:
            to = [(EMAIL, getattr(event, "customer_id", None))]
        facts = notice.facts(event)
        for channel, customer_id in to:
            about = About(
                kind=notice.kind,
                channel=channel,
                log=recorded.log,
                position=recorded.position,
                event_id=recorded.id,
                order_id=order_id,
                customer_id=customer_id,
                facts=facts,
            )
            made.append(Announce(about=about, due=recorded.at + delay if notice.delayed else recorded.at))
    return made


class Wish(msgspec.Struct, frozen=True):
    """Whether a message is wanted: `refused` says why not; `silent` that not even that is of interest."""

    refused: str | None = None
    silent: bool = False


def wish(about: About, addressed: bool, account: CustomerState | None) -> Wish:
    """Whether a message about an order, or one that an account can refuse, is wanted. Pure.

    Args:
        addressed: the order itself has an address.
        account: the customer's; None for a guest's order, or where there is no such account any more.
    """
    topic = topic_of(about.kind, about.channel)
    if account is None:
        if about.channel != EMAIL or topic not in (None, "orders"):
            # Guests are only told of their order, and only by mail.
            return Wish(silent=True)
        return Wish() if addressed else Wish(refused="no_address")
    if topic is not None and topic not in account.preferences.get(about.channel, ()):
        return Wish(refused="not_wanted", silent=about.channel != EMAIL)
    if about.channel == SMS and account.phone is None:
        return Wish(refused="no_address")
    if about.order_id is None and about.channel == EMAIL and not account.verified:
        # Somebody else may have registered with the address.
        return Wish(refused="not_verified")
    return Wish()


_LOGS: Final = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}

UPSTREAMS: Final = tuple(dict.fromkeys(_LOGS[event] for event in NOTICES))
"""The logs that notifications follow."""


class NoticeFollower(LogFollower):
    """Makes messages of one log's events.

    Args:
        logs: all of them; `log` is the name of the one that it follows.
        channels: see `announcements`.
        terms: how long after an order's arrival its buyer is invited to review it.
        outbox: no mail server is set: what is to be mailed about an order goes into the outbox at once.
        silent: passes over all events without a message, as an import of history wants it.
    """

    def __init__(
        self,
        logs: Mapping[str, EventLog],
        log: str,
        clock: Clock,
        schedule: Schedule,
        *,
        channels: Sequence[str] = (EMAIL,),
        terms: Terms | None = None,
        outbox: bool = False,
        silent: bool = False,
        pace: float = PACE,
        traces: Traces | None = None,
    ) -> None:
        types = frozenset(event for event in NOTICES if _LOGS[event] == log)
        super().__init__(NAME, logs[NAME], logs[log], types, clock, BATCH, traces)
        self._ordering = logs["ordering"]
        self._accounts = logs["accounts"]
        self._schedule = schedule
        self._channels = channels
        self._terms = terms or Terms()
        self._outbox = outbox
        self._silent = silent
        self._pace = pace
        self._next = 0.0

    async def step(self, epoch: int) -> tuple[bool, list[Task]]:
        """See `LogFollower`."""
        if self._silent:
            return await self._pass_over(epoch), []
        loop = asyncio.get_running_loop()
        if (wait := self._next - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._next = loop.time() + self._pace
        return await super().step(epoch)

    async def _pass_over(self, epoch: int) -> bool:
        head = await self.upstream.head()
        moved, self.position = head > self.position, head
        if moved:
            await self.rest(epoch)
        return moved

    async def _react(self, events: Sequence[Recorded], tracking: Tracking, aside: Sequence[Task] = ()) -> list[Task]:
        stale: frozenset[UUID] | None = frozenset()
        subscribers = await self._subscribers(events)
        delay = await self._delay(events)
        announced = [(one, command) for one in events for command in self._announced(one, subscribers, delay)]
        if self._outbox:
            announced = await self._kept(announced)
        while True:
            work = Work(self.log, self._clock.now(), _NOBODY, self._schedule, stale)
            work.unit.tasks.extend(aside)
            for recorded, command in announced:
                work.now = self._clock.following(recorded.at)
                await handle(work, command, self._cause_of(recorded))
            work.unit.tracking = tracking
            try:
                await work.commit()
            except Conflict as conflict:
                stale = None if stale is None else stale | conflict.streams
                continue
            return work.unit.tasks

    def _announced(self, recorded: Recorded, subscribers: SubscriptionsState, delay: timedelta) -> list[Announce]:
        if self._clock.now() - recorded.at > NEWS:
            return []
        return announcements(recorded, subscribers, self._channels, delay)

    async def _kept(self, announced: Sequence[tuple[Recorded, Announce]]) -> list[tuple[Recorded, Announce]]:
        """The same, with the outcome of mails about orders, which need no server to be known."""
        orders: dict[UUID, tuple[bool, UUID | None]] = {}
        wanted: dict[UUID, None] = {}
        for recorded, command in announced:
            if isinstance(recorded.event, order.OrderCreated):
                created = recorded.event
                orders[created.order_id] = created.email is not None, created.customer_id
            elif command.about.order_id is not None and command.about.order_id not in orders:
                wanted[command.about.order_id] = None
        for order_id, (state, _) in (await self._ordering.load_many(ORDER, list(wanted))).items() if wanted else ():
            if state is not None:
                orders[order_id] = state.email is not None, state.customer_id
        ids = {one for _, one in orders.values() if one is not None}
        accounts = await self._accounts.load_many(CUSTOMER, list(ids), fresh=True) if ids else {}
        kept: list[tuple[Recorded, Announce]] = []
        for recorded, command in announced:
            about = command.about
            known = orders.get(about.order_id) if about.order_id is not None else None
            if known is None or about.channel != EMAIL:
                kept.append((recorded, command))
                continue
            account = accounts[known[1]][0] if known[1] is not None else None
            answer = wish(about, known[0], account)
            if answer.silent:
                continue
            if command.due > recorded.at:
                kept.append((recorded, command))
            elif answer.refused is not None:
                kept.append((recorded, replace(command, refused=answer.refused)))
            else:
                kept.append((recorded, replace(command, via=OUTBOX)))
        return kept

    async def _subscribers(self, events: Sequence[Recorded]) -> SubscriptionsState:
        if not any(isinstance(one.event, stock.StockLevelLow) for one in events):
            return SubscriptionsState()
        state, _ = await self.log.load(SUBSCRIPTIONS, subscriptions_id(), fresh=True)
        return state or SubscriptionsState()

    async def _delay(self, events: Sequence[Recorded]) -> timedelta:
        if not any(notice.delayed for one in events for notice in NOTICES[type(one.event)]):
            return timedelta(0)
        return timedelta(days=(await self._terms.recent(self._ordering)).review_days)

    async def again(self, task: Task) -> Finished | Retry | Park:
        """See `LogFollower`: an event that could not be read before."""
        [recorded], _ = await self.upstream.read(int(task.data["position"]) - 1, 1)
        if type(recorded.event) not in self._types:
            return Finished()
        subscribers, delay = await self._subscribers([recorded]), await self._delay([recorded])
        return Finished(self._announced(recorded, subscribers, delay))


_NOBODY: Final = Meta("", "", "system")
"""The cause of a batch as a whole; each of its commands brings its own."""

# --- in words --------------------------------------------------------------------------------------


class Unsendable(Exception):  # noqa: N818
    """There is nobody to write to, or nothing that is still true; `reason` is stable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotYet(Exception):  # noqa: N818
    """What the message is about is not seen yet."""


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """A message ready to be sent. `unsubscribe` is where to end such messages with one click."""

    to: str
    language: str
    letter: Letter
    unsubscribe: str | None = None


class Unsubscribe:
    """Signed tokens that end one kind of messages to one person, whoever is logged in.

    Args:
        secret: at least 32 bytes that all processes share.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, customer_id: UUID, channel: str, topic: str) -> str:
        """The token, which needs no quoting in an address."""
        said = customer_id.bytes + f"{channel}/{topic}".encode()
        return urlsafe_b64encode(self._signature(said) + said).rstrip(b"=").decode()

    def read(self, token: str) -> tuple[UUID, str, str] | None:
        """Customer, channel and topic of a token that `token` made; None for any other."""
        try:
            content = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        signature, said = content[:_SIGNED], content[_SIGNED:]
        if len(said) <= _UUID or not hmac.compare_digest(signature, self._signature(said)):
            return None
        channel, _, topic = said[_UUID:].decode().partition("/")
        return UUID(bytes=said[:_UUID]), channel, topic

    def _signature(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, b"emporium unsubscribe" + said, "sha256")[:_SIGNED]


_SIGNED: Final = 16
_UUID: Final = 16

_SILENT: Final = "silent"
"""The reason for which nothing is recorded either: by this channel nobody has to be told."""

HIDDEN: Final = "••••••"
"""What stands for a secret where the message is shown to others than its addressee."""


class Composer:
    """Puts a message into words for its addressee, from what the logs know now.

    Args:
        offers: what SKUs are called.
        order_token: the token by which a guest sees an order.
        public_url: where the shop is reached, without a slash at its end.
        terms: who writes.
    """

    def __init__(
        self,
        logs: Mapping[str, EventLog],
        vault: Vault,
        letters: Letters,
        clock: Clock,
        *,
        offers: Offers,
        order_token: Callable[[UUID], str],
        public_url: str,
        terms: Terms,
    ) -> None:
        self._logs = logs
        self._ordering = logs["ordering"]
        self._accounts = logs["accounts"]
        self._vault = vault
        self.letters = letters
        self._clock = clock
        self._offers = offers
        self._order_token = order_token
        self._public_url = public_url
        self._terms = terms
        self.unsubscribe = Unsubscribe(vault.fingerprint("secret", "unsubscribe"))

    @property
    def sender(self) -> tuple[str, str]:
        """Name and address of who writes, as the settings were when a message was last composed."""
        return self._terms.seen.sender_name, self._terms.seen.sender_email

    async def compose(self, about: About, *, reveal: bool = True) -> Composed:
        """The message. With `reveal` False secrets are hidden in it.

        Raises Unsendable, NotYet, Unavailable.
        """
        await self._terms.recent(self._ordering)
        if about.order_id is not None:
            return await self._of_order(about, about.order_id, reveal)
        if about.kind == "cart_left":
            return await self._of_cart(about)
        if about.kind in ("back_in_stock", "price_drop"):
            return await self._of_watch(about)
        if about.log == "accounts":
            return await self._of_account(about, reveal)
        return await self._of_staff(about)

    async def _of_order(self, about: About, order_id: UUID, reveal: bool) -> Composed:
        state, _ = await self._ordering.load(ORDER, order_id)
        if state is None:
            state, _ = await self._ordering.load(ORDER, order_id, fresh=True)
        if state is None:
            raise NotYet(f"the order {order_id} is not seen yet")
        if about.kind == "payment_failed" and state.status == order.CANCELLED:
            raise Unsendable("overtaken")
        account = None if state.customer_id is None else await self._account(state.customer_id)
        answer = wish(about, state.email is not None, account)
        if answer.silent:
            raise Unsendable(_SILENT)
        if answer.refused is not None:
            raise Unsendable(answer.refused)
        if about.channel == EMAIL and state.email is not None:
            to = await self._text(state.email, order_id, "email")
        else:
            assert account is not None, "a guest without an address was refused"
            to = await self._address(account, about.channel)
        agreed = state.agreement
        language = agreed.language if agreed is not None else account.language if account is not None else "en"
        token = None
        if state.customer_id is None:
            token = self._order_token(order_id) if reveal else HIDDEN
        ship_to = None if state.ship_to is None else await self._value(state.ship_to, order_id, "ship_to")
        values = {
            "order": _shown(state),
            "ship_to": ship_to if isinstance(ship_to, dict) else None,
            "order_token": token,
        }
        return self._composed(about, to, language, values, self._way_out(about, account))

    async def _of_account(self, about: About, reveal: bool) -> Composed:
        """A message about an account or an invitation: its event holds the address, and what the link is about."""
        found, _ = await self._logs[about.log].read(about.position - 1, 1)
        if not found or found[0].position != about.position:
            raise NotYet("the event is not seen yet")
        event: Any = found[0].event
        stream = found[0].stream
        account = None if about.customer_id is None else await self._account(about.customer_id)
        if about.customer_id is not None and account is None:
            raise Unsendable("erased")
        sealed: Sealed | None = getattr(event, "email", None) or (account.email if account is not None else None)
        if sealed is None:
            raise Unsendable("no_address")
        to = await self._text(sealed, stream, "email")
        values: dict[str, Any] = {"device": None}
        ticket = mail_tokens.ticket_of(event)
        if ticket is not None:
            if reveal and ticket.expires_at <= self._clock.now():
                raise Unsendable("expired")
            token = mail_tokens.make(mail_tokens.secret_of(self._vault), ticket) if reveal else HIDDEN
            path = ticket.purpose.replace("_", "-")
            values |= {"token": token, "link": f"{self._public_url}/account/{path}?token={token}"}
        device: Sealed | None = getattr(event, "device", None)
        if device is not None:
            values["device"] = await self._text(device, stream, "device")
        return self._composed(about, to, account.language if account is not None else "en", values, None)

    async def _of_cart(self, about: About) -> Composed:
        """What is in a cart that was left, unless its owner has come back to it meanwhile."""
        account, to = await self._wanted(about)
        left, _ = await self._ordering.load(CART, cart_id_of(account.customer_id), fresh=True)
        if left is None or not left.items or not left.abandoned:
            raise Unsendable("overtaken")
        offers = await self._offers.offers(list(left.items), left.currency)
        lines = [
            {"title": offers[sku].title if sku in offers else sku, "quantity": item.quantity}
            for sku, item in left.items.items()
        ]
        return self._composed(about, to, account.language, {"cart": {"lines": lines}}, self._way_out(about, account))

    async def _of_watch(self, about: About) -> Composed:
        """What a customer watched has happened."""
        account, to = await self._wanted(about)
        sku = about.facts["sku"]
        offer = (await self._offers.offers([sku], about.facts.get("currency", "GBP"))).get(sku)
        values = {"title": sku if offer is None else offer.title}
        return self._composed(about, to, account.language, values, self._way_out(about, account))

    async def _wanted(self, about: About) -> tuple[CustomerState, str]:
        """The account that a message which it can refuse is for, and where it goes. Raises Unsendable."""
        account = None if about.customer_id is None else await self._account(about.customer_id)
        if account is None:
            raise Unsendable("erased")
        answer = wish(about, True, account)
        if answer.silent:
            raise Unsendable(_SILENT)
        if answer.refused is not None:
            raise Unsendable(answer.refused)
        return account, await self._address(account, about.channel)

    async def _of_staff(self, about: About) -> Composed:
        account = None if about.customer_id is None else await self._account(about.customer_id)
        if account is None:
            raise Unsendable("erased")
        if not account.is_staff:
            raise Unsendable("no_staff")
        to = await self._address(account, about.channel)
        return self._composed(about, to, account.language, {}, None)

    def _composed(
        self, about: About, to: str, language: str, values: Mapping[str, Any], unsubscribe: str | None
    ) -> Composed:
        facts: dict[str, Any] = dict(about.facts)
        if "amount" in facts:
            facts["amount"] = Money(int(facts["amount"]), facts["currency"])
        if "expected" in facts:
            facts["expected"] = date.fromisoformat(facts["expected"])
        if "was" in facts:
            facts["was"] = Money(int(facts["was"]), facts["currency"])
        common = {"facts": facts, "shop": self.sender[0], "url": self._public_url, "unsubscribe": unsubscribe}
        letter = self.letters.write(about.kind, language, {**common, **values})
        return Composed(to=to, language=language, letter=letter, unsubscribe=unsubscribe)

    def _way_out(self, about: About, account: CustomerState | None) -> str | None:
        """Where such messages can be ended; None for what must be told, and for guests, who get nothing else."""
        topic = topic_of(about.kind, about.channel)
        if topic is None or account is None:
            return None
        return (
            f"{self._public_url}/api/v1/unsubscribe/{self.unsubscribe.token(account.customer_id, about.channel, topic)}"
        )

    async def _account(self, customer_id: UUID) -> CustomerState | None:
        # Wishes are obeyed as they are now, whatever this process remembers.
        account, _ = await self._accounts.load(CUSTOMER, customer_id, fresh=True)
        return account if account is not None and account.status == ACTIVE else None

    async def _address(self, account: CustomerState, channel: str) -> str:
        if channel == PUSH:
            return str(account.customer_id)
        sealed, field = (account.phone, "phone") if channel == SMS else (account.email, "email")
        if sealed is None:
            raise Unsendable("no_address")
        return await self._text(sealed, account.customer_id, field)

    async def _text(self, sealed: Sealed, stream: UUID, field: str) -> str:
        value = await self._value(sealed, stream, field)
        if not isinstance(value, str) or value.startswith("["):
            raise Unsendable("erased")
        return value

    async def _value(self, sealed: Sealed, stream: UUID, field: str) -> Any:
        await self._vault.load_keys([sealed.subject])
        return self._vault.unseal(sealed, stream, field)

    def sample(self, kind: str, language: str) -> Letter:
        """The message of a kind with made-up facts. Raises KeyError for an unknown kind."""
        return self.letters.write(
            kind,
            language,
            {
                **SAMPLE,
                "shop": self.sender[0],
                "url": self._public_url,
                "unsubscribe": f"{self._public_url}/api/v1/unsubscribe/{HIDDEN}" if _TOPIC_OF.get(kind) else None,
            },
        )


def _shown(state: OrderState) -> dict[str, Any]:
    """What templates see of an order."""
    agreed = state.agreement
    return {
        "number": state.number,
        "lines": [
            {"title": line.title, "quantity": line.quantity, "total": line.total}
            for line in state.lines
            if line.quantity
        ],
        "discount": agreed.discount if agreed is not None and agreed.discount.amount else None,
        "shipping": state.shipping,
        "tax": agreed.tax if agreed is not None and agreed.tax.amount else None,
        "tax_inclusive": agreed.tax_inclusive if agreed is not None else True,
        "total": state.total,
        "reason": state.cancel_reason,
    }


def _gbp(amount: int) -> Money:
    return Money(amount, "GBP")


SAMPLE: Final[Mapping[str, Any]] = {
    "order": {
        "number": "EM-2026-0000-0001",
        "lines": [
            {"title": "Blue mug", "quantity": 2, "total": _gbp(1000)},
            {"title": "Tea <Earl Grey> & honey", "quantity": 1, "total": _gbp(350)},
        ],
        "discount": _gbp(100),
        "shipping": _gbp(495),
        "tax": _gbp(291),
        "tax_inclusive": True,
        "total": _gbp(1745),
        "reason": "changed_mind",
    },
    "ship_to": {
        "name": "Ada King", "lines": ["12 St James's Square"], "city": "London", "postcode": "SW1Y 4JH",
        "country": "GB",
    },
    "order_token": HIDDEN,
    "facts": {
        "parcel": "1", "of": "2", "carrier": "sandbox", "tracking_number": "SB123456789",
        "tracking_url": "https://track.example/SB123456789", "amount": _gbp(500), "was": _gbp(750), "currency": "GBP",
        "sku": "MUG-01-BLUE", "warehouse": "LON", "available": "3", "mark": "5", "units": "1",
        "expected": date(2026, 5, 4),
    },
    "title": "Blue mug",
    "cart": {"lines": [{"title": "Blue mug", "quantity": 2}]},
    "link": "https://shop.example/account/…",
    "token": HIDDEN,
    "device": "Firefox on Linux",
}  # fmt: skip
"""Made-up facts for every template."""

# --- what people want ------------------------------------------------------------------------------

CustomerId = UUID

Keep = Callable[[NotificationState], Idempotency | None]


async def send_again(
    shop: Shop, notification_id: UUID, cause: Meta, keep: Keep = lambda _: None
) -> tuple[NotificationState, Committed]:
    """Staff want a message sent. Raises `Rejected` (no_such_notification, notification_waits)."""

    async def handler(work: Work) -> NotificationState:
        await handle(work, AskForNotification(notification_id=notification_id), cause)
        after = work.state(NOTIFICATION, notification_id)
        assert after is not None, "a missing message was rejected"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run(NAME, cause, handler)


MESSAGE_NEVER_MADE = Reason("message_never_made", "Nothing has happened yet that {message} would tell of.")

_STREAMS: Final[Mapping[str, Callable[[UUID], UUID]]] = {
    "ordering": lambda order_id: order_id,
    "payments": payment.payment_id_of,
    "shipping": shipment.shipment_id_of,
}


async def request_again(
    shop: Shop,
    *,
    order_id: UUID,
    request_id: UUID,
    message: str,
    channel: str,
    cause: Meta,
    keep: Callable[[OrderState], Idempotency | None] = lambda _: None,
) -> tuple[OrderState, Committed]:
    """Staff want an order's message to go out once more, as a message of its own: it tells of the latest event.

    Raises `Rejected` (message_never_made, no_such_message).
    """
    made = None
    for event, notices in NOTICES.items():
        for notice in notices:
            if notice.kind == message and (log := _LOGS[event]) in _STREAMS:
                story = await shop.logs[log].stream(_STREAMS[log](order_id))
                found = [one.event for one in story if type(one.event) is event and notice.when(one.event)]
                made = notice.facts(found[-1]) if found else made
    if message in order.MESSAGES and made is None:
        raise MESSAGE_NEVER_MADE(message=message)
    command = order.RequestMessage(
        order_id=order_id, request_id=request_id, message=message, channel=channel, facts=made or {}
    )
    return await orders.act(shop, command, order_id=order_id, cause=cause, keep=keep)


async def subscribe(
    shop: Shop, staff_id: UUID, channels: Sequence[str], skus: Sequence[str], cause: Meta
) -> SubscriptionsState | None:
    """By these channels the member of staff hears of low stock, of all SKUs where none is named; everybody who does.

    Raises `Rejected`.
    """

    async def handler(work: Work) -> SubscriptionsState | None:
        await handle(work, SubscribeStaff(staff_id=staff_id, channels=tuple(channels), skus=tuple(skus)))
        return work.state(SUBSCRIPTIONS, subscriptions_id())

    return (await shop.run(NAME, cause, handler))[0]


async def unsubscribe(shop: Shop, customer_id: UUID, channel: str, topic: str, cause: Meta) -> None:
    """The customer wants to hear no more of a topic by a channel; of an account that is gone nothing is left to end."""

    async def handler(work: Work) -> None:
        account = await work.load(CUSTOMER, customer_id)
        if account is not None and account.status == ACTIVE:
            left = tuple(one for one in account.preferences.get(channel, ()) if one != topic)
            change = ChangePreferences(customer_id=customer_id, channel=channel, topics=left, at=work.now)
            work.decide(CUSTOMER, customer_id, change)

    await shop.run("accounts", cause, handler)


# --- sending ---------------------------------------------------------------------------------------


def performers(composer: Composer, senders: Mapping[str, Sender], clock: Clock) -> dict[str, Perform]:
    """What sends messages, by the kind of task. A channel without a sender goes into the outbox."""

    async def send(task: Task) -> Finished | Retry | Park:
        about = msgspec.convert(task.data, About)
        try:
            composed = await composer.compose(about)
        except NotYet as early:
            return Retry(backoff(task.attempts), str(early)) if task.attempts < _LOOKS else Park(str(early))
        except Unsendable as no:
            if no.reason == _SILENT:
                return Finished()
            return Finished([RecordSuppression(about=about, reason=no.reason)])
        sender = senders.get(about.channel)
        if sender is None:
            return Finished([RecordSent(about=about, via=OUTBOX, language=composed.language)])
        try:
            await sender.send(notification_id_of(about), composed.to, composed.letter, composed.unsubscribe)
        except Undelivered as failed:
            failure = RecordSendFailure(
                about=about, error=str(failed), permanent=failed.permanent, at=clock.following(task.due)
            )
            return Finished([failure])
        return Finished([RecordSent(about=about, via=sender.name, language=composed.language)])

    return {MESSAGE: send}


_LOOKS: Final = 20
"""How often is looked for an order that a message is about."""
