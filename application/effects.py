"""What is done when a task falls due: calls to the provider and the carrier, and the verdicts of timers.

An effect runs outside transactions and may run twice: every call carries an idempotency key, and
before anything is repeated the other side is asked what it knows.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.commands import FillOrders
from emporium.application.ports import (
    Address,
    AddressRefused,
    Carrier,
    Clock,
    EventLog,
    Outcome,
    Provider,
    ProviderDown,
    ProviderPaused,
    Task,
    Vault,
)
from emporium.application.schedules import ASKING, FILL, TimeLimits
from emporium.application.terms import Terms, fresh_shop
from emporium.domain import cart, order, payment, shipment
from emporium.domain.base import Command, Money
from emporium.domain.cart import CART
from emporium.domain.order import ORDER
from emporium.domain.payment import PAYMENT, payment_id_of
from emporium.domain.shipment import SHIPMENT

__all__ = ["Effects", "Finished", "Park", "Perform", "Retry"]


class Finished(msgspec.Struct, frozen=True):
    """The task has its outcome; the commands commit with it."""

    commands: Sequence[Command] = ()


class Retry(msgspec.Struct, frozen=True):
    """Try again after `after`; `failed` says whether this counts as a failed attempt."""

    after: timedelta
    error: str | None = None
    failed: bool = True


class Park(msgspec.Struct, frozen=True):
    """A person must look at it."""

    error: str


Perform = Callable[[Task], Awaitable[Finished | Retry | Park]]

_FIRST_RETRY: Final = 0.2
_LONGEST_RETRY: Final = 300.0
_SURELY_FIRST: Final = timedelta(minutes=1)
"""A first attempt later than this may follow a crash, and keys expire at the provider: ask before charging."""

_LATE_CHECKS: Final = timedelta(hours=24)


def backoff(attempts: int) -> timedelta:
    """How long to wait after that many failed attempts: doubling from 0.2 s to 5 min."""
    return timedelta(seconds=min(_FIRST_RETRY * 2 ** min(attempts, 20), _LONGEST_RETRY))


def _unanswered(task: Task, down: ProviderDown) -> Retry:
    """Who was not even asked gets no worse for it."""
    if isinstance(down, ProviderPaused):
        return Retry(timedelta(seconds=down.after), str(down), failed=False)
    return Retry(backoff(task.attempts), str(down))


class Effects:
    """All effects and timers of the saga, by the task kinds that `schedules` makes."""

    def __init__(
        self,
        logs: Mapping[str, EventLog],
        provider: Provider,
        carrier: Carrier,
        vault: Vault,
        clock: Clock,
        limits: TimeLimits,
        *,
        automatic: bool,
        terms: Terms | None = None,
    ) -> None:
        self._ordering = logs["ordering"]
        self._payments = logs["payments"]
        self._shipping = logs["shipping"]
        self._provider = provider
        self._carrier = carrier
        self._vault = vault
        self._clock = clock
        self._limits = limits
        self._automatic = automatic
        self._terms = terms or Terms(fresh_shop(cart_days=limits.cart / timedelta(days=1)))
        self.performers: Final[dict[str, dict[str, Perform]]] = {
            "payments": {
                "effect.charge": self.charge,
                "effect.payment_deadline": self.payment_deadline,
                "effect.await_action": self.await_action,
                "effect.capture": self.capture,
                "effect.void": self.void,
                "effect.refund": self.refund,
            },
            "inventory": {FILL: self.fill},
            "shipping": {
                "effect.book": self.book,
                "effect.void_label": self.void_label,
                "effect.hand_over": self.hand_over,
                "effect.track": self.track,
            },
            "ordering": {
                "timer.cart_expiry": self.cart_expiry,
                "timer.cart_left": self.cart_left,
                "timer.unshipped": self.unshipped,
            },
        }

    # --- payments ----------------------------------------------------------------------------------

    async def charge(self, task: Task) -> Finished | Retry | Park:
        """Charges the payment; once it is no longer wanted, only finds out whether money came after all."""
        state = await self._payment(task, lambda _: True)
        if state is None:
            return Retry(backoff(task.attempts), "the payment is not seen yet")
        if state.reference is not None or state.amount is None:
            return Finished()
        wanted = state.status == payment.REQUESTED
        now = self._clock.following(task.due)
        try:
            if wanted and task.attempts == 0 and now < task.due + _SURELY_FIRST:
                outcome = await self._charge(state, now)
            else:
                outcome = await self._provider.find_charge(state.key, state.order_id)
                if wanted and outcome.status == "unknown":
                    outcome = await self._charge(state, now)
            if not wanted and outcome.status == "requires_action":
                outcome = await self._give_up(state, outcome, now)
        except ProviderDown as down:
            return _unanswered(task, down)
        if wanted and outcome.status == "requires_action":
            return Finished([self._require_action(state, outcome, now)])
        settled = _settled(state.order_id, outcome)
        if settled is not None:
            return Finished([settled])
        if wanted or (now < task.due + _LATE_CHECKS and task.attempts < 40):
            return Retry(backoff(task.attempts), f"the provider says {outcome.status}")
        return Finished()

    def _require_action(self, state: payment.PaymentState, outcome: Outcome, at: datetime) -> Command:
        kind = "unknown" if outcome.action is None else outcome.action.kind
        return payment.RequireAction(order_id=state.order_id, kind=kind, until=at + self._limits.action)

    async def _give_up(self, state: payment.PaymentState, outcome: Outcome, at: datetime) -> Outcome:
        """Takes back the wish to be paid, so that the customer cannot pay any more; what became of it."""
        return await self._provider.void(f"void-{state.payment_id}", outcome.reference or "", at)

    async def await_action(self, task: Task) -> Finished | Retry | Park:
        """Asks whether the customer has done what the provider wants; once the time is over, gives it up."""
        state = await self._payment(task, lambda one: one.action_until is not None)
        if state is None or state.action_until is None:
            return Retry(backoff(task.attempts), "the payment is not seen yet")
        if state.reference is not None:
            return Finished()
        now = self._clock.following(task.due)
        over = state.status != payment.REQUESTED or now >= state.action_until
        try:
            outcome = await self._provider.find_charge(state.key, state.order_id)
            if outcome.status == "declined" or (over and outcome.status == "requires_action"):
                # The customer holds what it takes to try again: nobody would be waiting for it.
                after = await self._give_up(state, outcome, now)
                if outcome.status != "declined" or after.status == "succeeded":
                    outcome = after
        except ProviderDown as down:
            return _unanswered(task, down)
        if outcome.status == "voided" or (over and outcome.status == "unknown"):
            return Finished([payment.TimeOutPayment(order_id=state.order_id)])
        settled = _settled(state.order_id, outcome)
        if settled is not None:
            return Finished([settled])
        return Retry(ASKING, f"the provider says {outcome.status}", failed=False)

    async def _charge(self, state: payment.PaymentState, at: datetime) -> Outcome:
        if state.amount is None:
            raise ValueError("a payment without an amount cannot be charged")
        method = state.method
        if state.token is not None:
            await self._vault.load_keys([state.token.subject])
            kept = self._vault.unseal(state.token, state.order_id, "payment_token")
            if not isinstance(kept, dict):
                return Outcome("declined", code="method_erased")
            method = kept["token"]
        return await self._provider.charge(state.key, state.order_id, state.amount, method, at)

    async def payment_deadline(self, task: Task) -> Finished | Retry | Park:
        """The time for the payment is over: what the provider knows decides, silence times it out."""
        for fresh in (False, True):
            # What a payment has become once it stays: only the wish to end it needs the log's own word.
            state, _ = await self._payments.load(PAYMENT, task.stream, fresh=fresh)
            if state is not None and state.status != payment.REQUESTED:
                return Finished()
        if state is None:
            return Finished()
        if state.action is not None:
            return Finished()  # the customer has a time limit of its own
        now = self._clock.following(task.due)
        try:
            outcome = await self._provider.find_charge(state.key, state.order_id)
        except ProviderDown as down:
            return _unanswered(task, down)
        if outcome.status == "requires_action":
            return Finished([self._require_action(state, outcome, now)])
        settled = _settled(state.order_id, outcome)
        return Finished([settled or payment.TimeOutPayment(order_id=state.order_id)])

    async def capture(self, task: Task) -> Finished | Retry | Park:
        """Takes the secured funds; where the provider refuses, lets them go."""
        # How much is taken is certain once it is to be taken: this process may not have heard of the last word on it.
        state = await self._payment(task, lambda one: one.reference is not None and (one.capturing or one.captured))
        if state is None or state.reference is None or state.to_take is None:
            return Retry(backoff(task.attempts), "the capture is not seen yet")
        if state.captured or state.voided or state.voiding is not None:
            return Finished()
        at = self._clock.following(task.due)
        try:
            outcome = await self._provider.capture(f"capture-{state.payment_id}", state.reference, state.to_take, at)
            if outcome.status == "declined":
                # Refused, yet perhaps still held: the customer's money must not stay blocked.
                outcome = await self._provider.void(f"void-{state.payment_id}", state.reference, at)
        except ProviderDown as down:
            return _unanswered(task, down)
        return self._let_go_or_taken(task, state.order_id, outcome, "capture_refused")

    async def void(self, task: Task) -> Finished | Retry | Park:
        """Lets the secured funds go; where they were taken first, they are refunded instead."""
        state = await self._payment(task, lambda one: one.reference is not None)
        if state is None or state.reference is None:
            return Retry(backoff(task.attempts), "the void is not seen yet")
        if state.captured or state.voided:
            return Finished()
        try:
            at = self._clock.following(task.due)
            outcome = await self._provider.void(f"void-{state.payment_id}", state.reference, at)
        except ProviderDown as down:
            return _unanswered(task, down)
        return self._let_go_or_taken(task, state.order_id, outcome, "")

    def _let_go_or_taken(self, task: Task, order_id: UUID, outcome: Outcome, reason: str) -> Finished | Retry:
        if outcome.status == "voided":
            return Finished([payment.RecordVoid(order_id=order_id, reason=reason)])
        if outcome.status == "succeeded" and outcome.captured:
            return Finished([payment.RecordCapture(order_id=order_id)])
        return Retry(backoff(task.attempts), f"the provider says {outcome.status}")

    async def refund(self, task: Task) -> Finished | Retry | Park:
        """Gives the money back."""
        refund_id = UUID(task.data["refund_id"])
        state = await self._payment(task, lambda one: refund_id in one.refunds and one.captured)
        if state is None or refund_id not in state.refunds or state.reference is None or state.amount is None:
            return Retry(backoff(task.attempts), "the refund is not seen yet")
        if state.refunds[refund_id].status != "requested":
            return Finished()
        if not state.captured:
            return Retry(ASKING, "the money is not taken yet", failed=False)
        key = f"refund-{refund_id}"
        try:
            outcome = Outcome("unknown")
            if task.attempts > 0:
                outcome = await self._provider.find_refund(key, state.reference)
            if outcome.status == "unknown":
                amount = Money(state.refunds[refund_id].amount, state.amount.currency)
                at = self._clock.following(task.due)
                outcome = await self._provider.refund(key, state.reference, amount, at)
        except ProviderDown as down:
            return _unanswered(task, down)
        if outcome.status == "succeeded":
            done = payment.RecordRefund(
                order_id=state.order_id, refund_id=refund_id, reference=outcome.reference or key
            )
            return Finished([done])
        if outcome.status == "declined":
            failed = payment.RecordRefundFailure(
                order_id=state.order_id, refund_id=refund_id, code=outcome.code or "declined"
            )
            return Finished([failed])
        return Retry(backoff(task.attempts), f"the provider says {outcome.status}")

    async def _payment(self, task: Task, so_far: Callable[[payment.PaymentState], bool]) -> payment.PaymentState | None:
        """The payment, asked of the log itself where what this process remembers has not come so far.

        Another process may have led since.
        """
        state, _ = await self._payments.load(PAYMENT, task.stream)
        if state is None or not so_far(state):
            state, _ = await self._payments.load(PAYMENT, task.stream, fresh=True)
        return state

    # --- inventory ---------------------------------------------------------------------------------

    async def fill(self, task: Task) -> Finished:
        """Units of a SKU came free that orders wait for."""
        return Finished([FillOrders(sku=task.data["sku"])])

    # --- shipping ----------------------------------------------------------------------------------

    async def book(self, task: Task) -> Finished | Retry | Park:
        """Gets a label for the parcel from the carrier; where one was held back, packs it."""
        order_id, number = UUID(task.data["order_id"]), int(task.data["parcel"])
        # Only the first try believes what this process remembers: it is the usual one, and next to its cause.
        again = bool(task.data.get("again")) or task.attempts > 0
        state, parcel = await self._parcel(task, number, lambda _: True, fresh=again)
        if state is None or parcel is None:
            return Retry(backoff(task.attempts), "the parcel is not seen yet")
        if parcel.packed or parcel.given_up or state.status == shipment.CANCELLED:
            return Finished()
        if parcel.labelled:
            go_on = self._automatic and not state.held
            return Finished([shipment.PackParcel(order_id=order_id, parcel=number, if_due=True)] if go_on else [])
        if await self._only_secured(order_id):
            return Retry(ASKING, "its money is secured, but not taken yet", failed=False)
        items = {one.sku: one.quantity for one in parcel.parcel.items}
        try:
            found = await self._address(order_id, fresh=parcel.attempt > 0, least=state.address)
            if found is None:
                return Park("the order is not in its log")
            address, revision = found
            key = _booking(task.stream, number, parcel.attempt)
            service = await self._service(order_id)
            label = await self._carrier.book(key, order_id, number, address, items, service)
        except ProviderDown as down:
            return Retry(backoff(task.attempts), str(down))
        except AddressRefused as refused:
            refusal = shipment.RecordParcelRefusal(
                order_id=order_id, parcel=number, reason=str(refused), attempt=parcel.attempt
            )
            return Finished([refusal])
        labelled = shipment.RecordLabel(
            order_id=order_id,
            parcel=number,
            carrier=label.carrier,
            tracking_number=label.tracking_number,
            tracking_url=label.tracking_url,
            label_url=label.label_url,
            pack=self._automatic,
            attempt=parcel.attempt,
            address=revision,
        )
        return Finished([labelled])

    async def void_label(self, task: Task) -> Finished | Retry | Park:
        """Gives a label back that nobody uses."""
        try:
            await self._carrier.void(_booking(task.stream, int(task.data["parcel"]), int(task.data["attempt"])))
        except ProviderDown as down:
            return Retry(backoff(task.attempts), str(down))
        return Finished()

    async def _only_secured(self, order_id: UUID) -> bool:
        """Whether the money may still turn out not to be there. What the cache knows to be taken is taken."""
        for fresh in (False, True):
            paid, _ = await self._payments.load(PAYMENT, payment_id_of(order_id), fresh=fresh)
            if paid is not None and paid.captured:
                return False
        return paid is not None

    async def _service(self, order_id: UUID) -> str | None:
        """What the shop buys labels of for the way that the order is sent; None where it does not say."""
        state, _ = await self._ordering.load(ORDER, order_id)
        if state is None or state.agreement is None or state.agreement.shipping_method is None:
            return None
        zone = (await self._terms.recent(self._ordering)).zone(state.country)
        methods = () if zone is None else zone.methods
        return next((one.service for one in methods if one.code == state.agreement.shipping_method), None)

    async def _address(self, order_id: UUID, *, fresh: bool, least: int) -> tuple[Address, int] | None:
        """Where the order goes, and which of its addresses that is (`least` or a later one).

        Raises AddressRefused where it was erased: staff find the parcel where those are that no carrier takes.
        """
        state, _ = await self._ordering.load(ORDER, order_id, fresh=fresh)
        if state is None or state.revision < least:
            state, _ = await self._ordering.load(ORDER, order_id, fresh=True)
        if state is None:
            return None
        if state.ship_to is None:
            return Address(name="", lines=(), city="", postcode="", country=state.country), state.revision
        await self._vault.load_keys([state.ship_to.subject])
        value = self._vault.unseal(state.ship_to, order_id, "ship_to")
        if not isinstance(value, dict):
            raise AddressRefused("the address was erased")
        return msgspec.convert(value, Address), state.revision

    async def hand_over(self, task: Task) -> Finished | Retry | Park:
        """Gives a packed parcel to the carrier, or waits until people have."""
        number = int(task.data["parcel"])
        state, parcel = await self._parcel(task, number, lambda one: one.packed)
        if state is None or parcel is None:
            return Retry(backoff(task.attempts), "the parcel is not seen yet")
        if not self._automatic and not parcel.shipped:
            return Finished()  # staff say when it leaves; tracking tells the carrier then
        try:
            taken = await self._hand_over(task, number, parcel)
        except ProviderDown as down:
            return Retry(backoff(task.attempts), str(down))
        if not taken and not parcel.shipped:
            _, news = await self._parcel(task, number, lambda _: True, fresh=True)
            if news is None or not news.shipped:
                return Retry(self._limits.tracking, failed=False)
        return Finished([shipment.ShipParcel(order_id=state.order_id, parcel=number)])

    async def _parcel(
        self,
        task: Task,
        number: int,
        so_far: Callable[[shipment.ParcelState], bool],
        *,
        fresh: bool = False,
    ) -> tuple[shipment.ShipmentState, shipment.ParcelState] | tuple[None, None]:
        """The parcel, which has come so far. Another process may have led since this one heard of it last."""
        for asking in (True,) if fresh else (False, True):
            state, _ = await self._shipping.load(SHIPMENT, task.stream, fresh=asking)
            parcel = None if state is None else state.parcels.get(number)
            if state is not None and parcel is not None and so_far(parcel):
                return state, parcel
        return None, None

    async def _hand_over(self, task: Task, number: int, parcel: shipment.ParcelState) -> bool:
        at = self._clock.following(task.due)
        return await self._carrier.hand_over(f"handover-{task.stream}-{number}", parcel.tracking_number, at)

    async def track(self, task: Task) -> Finished | Retry | Park:
        """Looks whether the parcel has arrived, or never will."""
        number = int(task.data["parcel"])
        state, parcel = await self._parcel(task, number, lambda one: one.shipped)
        if state is None or parcel is None:
            return Retry(backoff(task.attempts), "the parcel is not seen yet")
        if parcel.ended:
            return Finished()
        try:
            status = await self._carrier.status(parcel.tracking_number, self._clock.following(task.due))
            if status == "labelled":
                await self._hand_over(task, number, parcel)
        except ProviderDown as down:
            return Retry(backoff(task.attempts), str(down))
        if status == "delivered":
            return Finished([shipment.RecordDelivery(order_id=state.order_id, parcel=number)])
        if status == "lost":
            return Finished([shipment.RecordLoss(order_id=state.order_id, parcel=number)])
        if status == "returned":
            return Finished([shipment.RecordReturnToSender(order_id=state.order_id, parcel=number)])
        # Staff, or the carrier's webhook, may have said at a gateway how its way ended: then nobody asks on for ever.
        _, news = await self._parcel(task, number, lambda _: True, fresh=True)
        if news is not None and news.ended:
            return Finished()
        if status == "unknown":
            return Park(f"the carrier says {status}")
        return Retry(self._limits.tracking, failed=False)

    # --- ordering ----------------------------------------------------------------------------------

    async def cart_expiry(self, task: Task) -> Finished | Retry | Park:
        """Expires the cart unless it was touched meanwhile; then looks again when its time is over."""
        state = await self._filled_cart(task)
        if state is None:
            return Finished()
        now = self._clock.following(task.due)
        limit = timedelta(days=(await self._terms.now(self._ordering)).cart_days)
        over = state.touched_at + limit
        if over > now:
            return Retry(over - now, failed=False)
        return Finished([cart.ExpireCart(cart_id=task.stream, untouched_since=now - limit, at=now)])

    async def cart_left(self, task: Task) -> Finished | Retry | Park:
        """Notes that the customer left the cart, unless it was touched meanwhile; then looks again later."""
        state = await self._filled_cart(task)
        limit = timedelta(hours=(await self._terms.now(self._ordering)).cart_left_hours)
        if state is None or state.abandoned or not limit:
            return Finished()
        now = self._clock.following(task.due)
        over = state.touched_at + limit
        if over > now:
            return Retry(over - now, failed=False)
        return Finished([cart.AbandonCart(cart_id=task.stream, untouched_since=now - limit, at=now)])

    async def _filled_cart(self, task: Task) -> cart.CartState | None:
        """The cart, where it still is in the stay for which the timer was set; timers of old tell of none."""
        state, _ = await self._ordering.load(CART, task.stream, fresh=True)
        if state is None or not state.items:
            return None
        return state if task.data.get("filling", state.fillings) == state.fillings else None

    async def unshipped(self, task: Task) -> Finished | Retry | Park:
        """Nobody shipped the order in time: cancel it, so that stock and money go back.

        A held order waits for people; its release gives it the whole time again, by a task of its own.
        """
        state, _ = await self._ordering.load(ORDER, task.stream)
        if state is not None and state.is_closed:
            return Finished()
        state, _ = await self._ordering.load(ORDER, task.stream, fresh=True)
        if state is None or state.status not in (order.PENDING, order.PAID, order.CONFIRMED) or state.held is not None:
            return Finished()
        story = await self._ordering.stream(task.stream)
        releases = [one.version for one in story if isinstance(one.event, order.OrderReleased)]
        if releases and releases[-1] != task.data.get("release"):
            return Finished()
        cancel = order.RequestCancellation(order_id=state.order_id, reason="not_shipped_in_time", unless_held=True)
        return Finished([cancel])


def _booking(stream: UUID, parcel: int, attempt: int) -> str:
    """With which key a parcel is booked; `shipments.receive` reads it."""
    return f"parcel-{stream}-{parcel}" + (f"-{attempt}" if attempt else "")


def _settled(order_id: UUID, outcome: Outcome) -> Command | None:
    if outcome.status == "succeeded" and outcome.reference is not None:
        return payment.RecordCharge(order_id=order_id, reference=outcome.reference, captured=outcome.captured)
    if outcome.status in ("declined", "voided"):
        return payment.RecordDecline(order_id=order_id, code=outcome.code or outcome.status)
    return None
