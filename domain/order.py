"""The life of an order: from OrderCreated to fulfilled, failed or cancelled, with returns and refunds after it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain import cancellations, invoice, returns
from emporium.domain.base import (
    AMOUNT_OUT_OF_RANGE,
    MAX_AMOUNT,
    Aggregate,
    Command,
    Event,
    Money,
    Reason,
    Sealed,
    State,
    check_quantity,
    stream_id,
)
from emporium.domain.cancellations import (
    NO_SUCH_CANCELLATION,
    Cancellation,
    CancelledLine,
    CancelLines,
    ConfirmLinesCancellation,
    LinesCancellationRefused,
    LinesCancellationRequested,
    OrderLinesCancelled,
    RefuseLinesCancellation,
)
from emporium.domain.invoice import CREDIT_NOTES, INVOICES, CreditNoteIssued, Document, InvoiceIssued, Seller, TaxPart
from emporium.domain.returns import (
    MORE_THAN_BOUGHT,
    NO_SUCH_LINE,
    RETURN_EMPTY,
    ApproveReturn,
    ReceiveReturn,
    RefuseReturn,
    RequestReturn,
    ReturnApproved,
    ReturnReceived,
    ReturnRefused,
    ReturnRequested,
    ReturnState,
)
from emporium.domain.text import check_text

MAX_LINES: Final = 2_000
MAX_ADDRESSES: Final = 20
TEXT_MOST: Final = 500

# --- statuses --------------------------------------------------------------------------------------

IMPORTED: Final = "import"
"""The channel of orders of the past: their invoices were issued then, by whoever kept the books."""

PENDING, PAID, BACKORDERED, CONFIRMED = "pending", "paid", "backordered", "confirmed"
PARTLY_SHIPPED, SHIPPED, FULFILLED = "partly_shipped", "shipped", "fulfilled"
REFUNDING, CANCELLING = "refunding", "cancelling"
FAILED, CANCELLED = "failed", "cancelled"

GIVEN_UP: Final = "parcel_given_up"
"""Why units are refunded that never left."""

TERMINAL: Final = frozenset({FULFILLED, FAILED, CANCELLED})
"""The statuses in which the saga has ended; returns and refunds may still follow."""


# --- events ----------------------------------------------------------------------------------------


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order.

    Attributes:
        line: its number, from 1.
        unit_price: what one unit costs, rounded to minor units for display.
        total: quantity times the exact price, rounded half up once: what is charged.
        agreed_price: the exact decimal price where it was agreed at order entry instead of the list price.
        discount: what is taken off the total, at most the total.
        tax: of the total less the discount; contained in it or added to it as the agreement says.
        tax_rate: in percent as decimal text, such as "20" or "5.5".
    """

    line: int
    sku: str
    title: str
    quantity: int
    unit_price: Money
    total: Money
    agreed_price: str | None = None
    discount: Money | None = None
    tax: Money | None = None
    tax_rate: str | None = None


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer agreed to beside the goods and their shipping.

    Attributes:
        discount: the sum of the lines' discounts.
        shipping_discount: what is taken off the shipping.
        tax: of everything, the shipping included.
        tax_inclusive: the prices contain the tax; else it is added to them.
        shipping_method: the code of the chosen one.
        coupons: the codes that were used.
        terms_version: of the shop's terms.
        quote_id: the quote that was accepted.
        language: in which the customer is written to, such as "en".
        coupon_holder: who used the codes, as their limit per customer counts: a customer's id, or one that is the
            guest's until an erasure (in earlier events the keyed hash of the guest's address).
        payment_seconds: until an unanswered payment is given up.
        shipping_tax_rate: in percent as decimal text.
    """

    discount: Money
    shipping_discount: Money
    tax: Money
    tax_inclusive: bool = True
    shipping_tax: Money | None = None
    shipping_method: str | None = None
    coupons: tuple[str, ...] = ()
    terms_version: str | None = None
    quote_id: UUID | None = None
    language: str = "en"
    coupon_holder: str | None = None
    payment_seconds: float | None = None
    shipping_tax_rate: str | None = None


class ReturnedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that came back, and what is refunded for them."""

    line: int
    sku: str
    quantity: int
    amount: Money


class Short(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU of which less was available than wanted."""

    sku: str
    wanted: int
    available: int


class Backordered(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU that are not there yet: they are expected again, or released, on a day (`kind`)."""

    sku: str
    quantity: int
    kind: str
    expected: date


class OrderCreated(Event, frozen=True, kw_only=True):
    """An order was placed; status pending.

    `subject` is whose key seals its personal data, `note` too (the buyer's); `bill_to` is to whom it is invoiced,
    None for `ship_to`; `email_mark` is the keyed
    fingerprint of the e-mail address, by which staff find the order. `payment_token` is the provider's token
    of a saved method, which can be charged again: it never stands in clear. `admitted`: its units were counted
    against all that were ever supplied.
    """

    order_id: UUID
    number: str
    cart_id: UUID | None = None
    attempt: int = 1
    customer_id: UUID | None = None
    subject: UUID
    lines: tuple[OrderLine, ...]
    goods: Money
    shipping: Money
    total: Money
    country: str
    email: Sealed | None = None
    ship_to: Sealed | None = None
    payment_method: str
    channel: str = "web"
    placed_at: datetime
    agreement: Agreement | None = None
    note: Sealed | None = None
    email_mark: str | None = None
    payment_token: Sealed | None = None
    admitted: bool = False
    bill_to: Sealed | None = None


class OrderPaid(Event, frozen=True, kw_only=True):
    """The payment is secured."""

    order_id: UUID
    amount: Money


class OrderConfirmed(Event, frozen=True, kw_only=True):
    """The stock is reserved for all lines."""

    order_id: UUID


class OrderBackordered(Event, frozen=True, kw_only=True):
    """The order waits for units that are not there yet; what is there is set aside."""

    order_id: UUID
    waiting: tuple[Backordered, ...]


class OrderStockShort(Event, frozen=True, kw_only=True):
    """Not all lines could be reserved; the money goes back."""

    order_id: UUID
    short: tuple[Short, ...]


class OrderDispatched(Event, frozen=True, kw_only=True):
    """The carrier has parcel `parcel` of `of`."""

    order_id: UUID
    parcel: int
    of: int
    carrier: str
    tracking_number: str
    tracking_url: str


class OrderCompleted(Event, frozen=True, kw_only=True):
    """The last parcel has arrived, or is known never to arrive."""

    order_id: UUID


class OrderFailed(Event, frozen=True, kw_only=True):
    """The order came to nothing: payment_declined, payment_timed_out or out_of_stock."""

    order_id: UUID
    reason: str
    detail: str | None = None


class OrderCancellationRequested(Event, frozen=True, kw_only=True):
    """Somebody wants the order stopped; shipping says whether it still can be.

    `words` are why, where that is more than a word of ours.
    """

    order_id: UUID
    reason: str
    words: Sealed | None = None


class OrderCancelled(Event, frozen=True, kw_only=True):
    """The order was stopped before any parcel left; stock and money go back."""

    order_id: UUID
    reason: str


class OrderCancellationRefused(Event, frozen=True, kw_only=True):
    """It was too late to stop the order."""

    order_id: UUID
    reason: str


class OrderReturned(Event, frozen=True, kw_only=True):
    """Units came back after delivery, or never arrived; `amount` is refunded, the units restocked where `restock`.

    `words` are why, where that is more than a word of ours.
    """

    order_id: UUID
    return_id: UUID
    lines: tuple[ReturnedLine, ...]
    amount: Money
    restock: bool
    reason: str
    words: Sealed | None = None


class GoodwillGranted(Event, frozen=True, kw_only=True):
    """Money is given back without goods coming back: a part of the price, or all of it."""

    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


class OrderRefunded(Event, frozen=True, kw_only=True):
    """Money went back to the customer; with `corrects` because the order is to cost less than was invoiced.

    `untaken`: it had only been secured, and is not taken.
    """

    order_id: UUID
    refund_id: UUID
    amount: Money
    corrects: bool = False
    untaken: bool = False


class OrderClaimed(Event, frozen=True, kw_only=True):
    """A guest's order belongs to this account from now on: it has proved to own the order's e-mail address."""

    order_id: UUID
    customer_id: UUID


class OrderHeld(Event, frozen=True, kw_only=True):
    """Staff stopped the order on its way: nothing more is packed until it is released.

    `words` are why, where that is more than a word of ours.
    """

    order_id: UUID
    reason: str
    words: Sealed | None = None


class OrderReleased(Event, frozen=True, kw_only=True):
    """The order goes on."""

    order_id: UUID


class OrderAddressChanged(Event, frozen=True, kw_only=True):
    """What is not packed yet goes to another address in the same country; `revision` counts the order's addresses."""

    order_id: UUID
    ship_to: Sealed
    revision: int = 1


class OrderAddressChangeRefused(Event, frozen=True, kw_only=True):
    """Everything was packed when shipping heard of the change: it goes where it went, to the address `former`."""

    order_id: UUID
    ship_to: Sealed | None
    former: int
    revision: int


class OrderNoteAdded(Event, frozen=True, kw_only=True):
    """Staff wrote something down; the customer does not see it."""

    order_id: UUID
    note_id: UUID
    note: Sealed


class OrderMessageRequested(Event, frozen=True, kw_only=True):
    """Staff want the customer to get a message (again): one of MESSAGES.

    `facts` is what it says beside the order itself, as when it was first made; nothing personal.
    """

    order_id: UUID
    request_id: UUID
    message: str
    channel: str = "email"
    facts: dict[str, str] = {}


MESSAGES: Final = frozenset(
    {"order_created", "payment_failed", "order_backordered", "order_confirmed", "order_shipped", "order_delivered",
     "order_cancelled", "order_failed", "order_refunded", "order_lines_cancelled"}
)  # fmt: skip
"""The messages that staff may send again."""

# --- the table of transitions ----------------------------------------------------------------------

TRANSITIONS: Final[dict[str, dict[type[Event], frozenset[str]]]] = {
    PENDING: {
        OrderPaid: frozenset({PAID}),
        OrderBackordered: frozenset({BACKORDERED}),
        OrderConfirmed: frozenset({CONFIRMED}),
        OrderStockShort: frozenset({REFUNDING}),
        OrderDispatched: frozenset({PARTLY_SHIPPED, SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderFailed: frozenset({FAILED}),
        OrderCancellationRequested: frozenset({CANCELLING}),
        OrderRefunded: frozenset({PENDING}),
        LinesCancellationRequested: frozenset({PENDING}),
        OrderLinesCancelled: frozenset({PENDING}),
        LinesCancellationRefused: frozenset({PENDING}),
    },
    PAID: {
        OrderBackordered: frozenset({BACKORDERED}),
        OrderConfirmed: frozenset({CONFIRMED}),
        OrderStockShort: frozenset({REFUNDING}),
        OrderDispatched: frozenset({PARTLY_SHIPPED, SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderFailed: frozenset({FAILED}),
        OrderCancellationRequested: frozenset({CANCELLING}),
        OrderRefunded: frozenset({PAID}),
        LinesCancellationRequested: frozenset({PAID}),
        OrderLinesCancelled: frozenset({PAID}),
        LinesCancellationRefused: frozenset({PAID}),
    },
    BACKORDERED: {
        OrderPaid: frozenset({BACKORDERED}),
        OrderConfirmed: frozenset({CONFIRMED}),
        GoodwillGranted: frozenset({BACKORDERED}),
        OrderDispatched: frozenset({PARTLY_SHIPPED, SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderFailed: frozenset({FAILED}),
        OrderCancellationRequested: frozenset({CANCELLING}),
        OrderRefunded: frozenset({BACKORDERED}),
        OrderLinesCancelled: frozenset({BACKORDERED}),
        LinesCancellationRefused: frozenset({BACKORDERED}),
    },
    CONFIRMED: {
        OrderPaid: frozenset({CONFIRMED}),
        GoodwillGranted: frozenset({CONFIRMED}),
        OrderDispatched: frozenset({PARTLY_SHIPPED, SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderFailed: frozenset({FAILED}),
        OrderCancellationRequested: frozenset({CANCELLING}),
        OrderRefunded: frozenset({CONFIRMED}),
        LinesCancellationRequested: frozenset({CONFIRMED}),
        OrderLinesCancelled: frozenset({CONFIRMED}),
        LinesCancellationRefused: frozenset({CONFIRMED}),
    },
    PARTLY_SHIPPED: {
        OrderPaid: frozenset({PARTLY_SHIPPED}),
        OrderConfirmed: frozenset({PARTLY_SHIPPED}),
        OrderDispatched: frozenset({PARTLY_SHIPPED, SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderCancellationRefused: frozenset({PARTLY_SHIPPED}),
        OrderReturned: frozenset({PARTLY_SHIPPED}),
        GoodwillGranted: frozenset({PARTLY_SHIPPED}),
        OrderRefunded: frozenset({PARTLY_SHIPPED}),
        LinesCancellationRequested: frozenset({PARTLY_SHIPPED}),
        OrderLinesCancelled: frozenset({PARTLY_SHIPPED, SHIPPED}),
        LinesCancellationRefused: frozenset({PARTLY_SHIPPED}),
    },
    SHIPPED: {
        OrderPaid: frozenset({SHIPPED}),
        OrderConfirmed: frozenset({SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderCancellationRefused: frozenset({SHIPPED}),
        OrderReturned: frozenset({SHIPPED}),
        GoodwillGranted: frozenset({SHIPPED}),
        OrderRefunded: frozenset({SHIPPED}),
        OrderLinesCancelled: frozenset({SHIPPED}),
        LinesCancellationRefused: frozenset({SHIPPED}),
    },
    FULFILLED: {
        OrderPaid: frozenset({FULFILLED}),
        OrderConfirmed: frozenset({FULFILLED}),
        OrderDispatched: frozenset({FULFILLED}),
        OrderCancellationRefused: frozenset({FULFILLED}),
        OrderReturned: frozenset({FULFILLED}),
        GoodwillGranted: frozenset({FULFILLED}),
        OrderRefunded: frozenset({FULFILLED}),
        OrderLinesCancelled: frozenset({FULFILLED}),
        LinesCancellationRefused: frozenset({FULFILLED}),
    },
    REFUNDING: {
        OrderPaid: frozenset({REFUNDING}),
        OrderFailed: frozenset({FAILED}),
        OrderRefunded: frozenset({REFUNDING}),
    },
    CANCELLING: {
        OrderPaid: frozenset({CANCELLING}),
        OrderBackordered: frozenset({CANCELLING}),
        OrderConfirmed: frozenset({CANCELLING}),
        OrderStockShort: frozenset({CANCELLING}),
        OrderDispatched: frozenset({PARTLY_SHIPPED, SHIPPED}),
        OrderCompleted: frozenset({FULFILLED}),
        OrderFailed: frozenset({FAILED}),
        OrderCancelled: frozenset({CANCELLED}),
        OrderCancellationRefused: frozenset({PENDING, PAID, BACKORDERED, CONFIRMED}),
        OrderRefunded: frozenset({CANCELLING}),
        OrderLinesCancelled: frozenset({CANCELLING}),
        LinesCancellationRefused: frozenset({CANCELLING}),
    },
    FAILED: {OrderPaid: frozenset({FAILED}), OrderRefunded: frozenset({FAILED})},
    CANCELLED: {
        OrderPaid: frozenset({CANCELLED}),
        OrderRefunded: frozenset({CANCELLED}),
    },
}
"""Every status, the events that may follow in it, and the statuses they may lead to."""

_UNDER_WAY: Final = frozenset({PENDING, PAID, BACKORDERED, CONFIRMED, PARTLY_SHIPPED})
_INVOICED: Final = frozenset({PARTLY_SHIPPED, SHIPPED, FULFILLED})

BESIDE: Final[dict[type[Event], frozenset[str]]] = {
    OrderHeld: _UNDER_WAY,
    OrderReleased: frozenset(TRANSITIONS),
    OrderAddressChanged: _UNDER_WAY,
    OrderAddressChangeRefused: frozenset(TRANSITIONS),
    OrderNoteAdded: frozenset(TRANSITIONS),
    OrderMessageRequested: frozenset(TRANSITIONS),
    OrderClaimed: frozenset(TRANSITIONS),
    ReturnRequested: frozenset({FULFILLED}),
    ReturnApproved: frozenset({FULFILLED}),
    ReturnRefused: frozenset({FULFILLED}),
    ReturnReceived: frozenset({FULFILLED}),
    InvoiceIssued: _INVOICED,
    CreditNoteIssued: _INVOICED,
}
"""The events that leave the status as it is, and the statuses in which they may happen."""


# --- state -----------------------------------------------------------------------------------------


class OrderState(State, frozen=True, kw_only=True):
    """What an order remembers.

    Attributes:
        returned: units by line; refunds: amounts by refund id, positive while owed, negative once paid.
        held: why staff hold it, None while they do not.
        returns: what customers asked to send back, by return id.
        documents: its invoice and credit notes.
        corrections: what lowers the price, by refund id: (line, minor units) of what came back, nothing for goodwill.
        channel: where it was placed.
        addresses: those it had before `ship_to`, the first one first.
        admitted: whether its units were counted against what was ever supplied.
        cancellations: units that somebody wants, or wanted, not to be sent; once they are cancelled `lines`, `total`
            and `agreement` are without them (a line of which nothing is left has quantity 0).
        left_out: parcels in which nothing is left.
        cancel_words, held_words: why, in people's own words.
        backordered: what it waits for, or waited for until it was confirmed.
    """

    order_id: UUID
    number: str
    status: str
    cart_id: UUID | None
    customer_id: UUID | None
    subject: UUID
    lines: tuple[OrderLine, ...]
    shipping: Money
    total: Money
    country: str
    payment_method: str
    email: Sealed | None = None
    ship_to: Sealed | None = None
    paid: bool = False
    confirmed: bool = False
    parcels: int = 0
    dispatched: frozenset[int] = frozenset()
    completed: bool = False
    cancel_reason: str | None = None
    returned: dict[int, int] = {}
    given_back: int = 0
    refunds: dict[UUID, int] = {}
    agreement: Agreement | None = None
    held: str | None = None
    returns: dict[UUID, ReturnState] = {}
    documents: tuple[Document, ...] = ()
    corrections: dict[UUID, tuple[tuple[int, int], ...]] = {}
    channel: str = "web"
    addresses: tuple[Sealed | None, ...] = ()
    admitted: bool = False
    cancellations: dict[UUID, Cancellation] = {}
    left_out: int = 0
    cancel_words: Sealed | None = None
    held_words: Sealed | None = None
    backordered: tuple[Backordered, ...] = ()

    @property
    def unwanted(self) -> tuple[UUID, ...]:
        """The cancellations of units that shipping has not answered yet."""
        return tuple(known for known, one in self.cancellations.items() if one.status == cancellations.REQUESTED)

    @property
    def wanted(self) -> dict[int, int]:
        """Units by line that are to be sent: without those that somebody wants to cancel."""
        unwanted = cancellations.spoken_for(self.cancellations)
        return {line.line: line.quantity - unwanted.get(line.line, 0) for line in self.lines}

    @property
    def revision(self) -> int:
        """Which of its addresses `ship_to` is, from 0."""
        return len(self.addresses)

    @property
    def is_closed(self) -> bool:
        """The saga has ended."""
        return self.status in TERMINAL

    @property
    def invoice(self) -> Document | None:
        """Its invoice, where it was issued."""
        return next((one for one in self.documents if one.kind == "invoice"), None)

    def documents_due(self) -> list[tuple[str, UUID | None]]:
        """The documents that must be issued now: (series, refund), the invoice first.

        The invoice is due once the first parcel has left and the payment is secured, a credit note once money for a
        correction of the invoice went back. Nothing is due where nothing was to be paid, nor of history.
        """
        owed = self.total.amount or self.invoice is not None
        if not (self.paid and self.dispatched and owed) or self.channel == IMPORTED:
            return []
        issued = {one.refund_id for one in self.documents}
        due: list[tuple[str, UUID | None]] = [] if None in issued else [(INVOICES, None)]
        left = self.creditable
        for refund_id in self.corrections:
            if self.refunds[refund_id] < 0 and refund_id not in issued and left > 0:
                due.append((CREDIT_NOTES, refund_id))
                left += self.refunds[refund_id]
        return due

    @property
    def creditable(self) -> int:
        """What credit notes can still take back of the invoice: less than was given back, where it was given before
        and the goods were cancelled before they were invoiced."""
        invoiced = self.total.amount if self.invoice is None else self.invoice.amount.amount
        return invoiced - sum(one.amount.amount for one in self.documents if one.kind != "invoice")


# --- commands --------------------------------------------------------------------------------------


class PlaceOrder(Command, frozen=True, kw_only=True):
    """Create the order; prices and totals were agreed at the gateway."""

    order_id: UUID
    number: str
    cart_id: UUID | None = None
    attempt: int = 1
    customer_id: UUID | None = None
    subject: UUID
    lines: tuple[OrderLine, ...]
    shipping: Money
    country: str
    email: Sealed | None = None
    ship_to: Sealed | None = None
    payment_method: str
    channel: str = "web"
    at: datetime
    agreement: Agreement | None = None
    note: Sealed | None = None
    email_mark: str | None = None
    payment_token: Sealed | None = None
    admitted: bool = False
    bill_to: Sealed | None = None


class RecordPayment(Command, frozen=True, kw_only=True):
    order_id: UUID
    amount: Money


class RecordReservation(Command, frozen=True, kw_only=True):
    order_id: UUID


class RecordBackorder(Command, frozen=True, kw_only=True):
    order_id: UUID
    waiting: tuple[Backordered, ...]


class RecordShortage(Command, frozen=True, kw_only=True):
    order_id: UUID
    short: tuple[Short, ...]


class RecordDispatch(Command, frozen=True, kw_only=True):
    order_id: UUID
    parcel: int
    of: int
    carrier: str
    tracking_number: str
    tracking_url: str


class CompleteOrder(Command, frozen=True, kw_only=True):
    order_id: UUID


class FailOrder(Command, frozen=True, kw_only=True):
    order_id: UUID
    reason: str
    detail: str | None = None


class RequestCancellation(Command, frozen=True, kw_only=True):
    """With `unless_held` (a timer's wish, not a person's) nothing comes of it while staff hold the order."""

    order_id: UUID
    reason: str
    words: Sealed | None = None
    unless_held: bool = False


class ConfirmCancellation(Command, frozen=True, kw_only=True):
    order_id: UUID


class RefuseCancellation(Command, frozen=True, kw_only=True):
    order_id: UUID
    reason: str


class ReturnLines(Command, frozen=True, kw_only=True):
    """`lines` are (line number, units)."""

    order_id: UUID
    return_id: UUID
    lines: tuple[tuple[int, int], ...]
    restock: bool = True
    reason: str
    words: Sealed | None = None


class WriteOffParcel(Command, frozen=True, kw_only=True):
    """A parcel never arrives: `items` are its units by SKU."""

    order_id: UUID
    return_id: UUID
    items: dict[str, int]
    restock: bool
    reason: str


class GrantGoodwill(Command, frozen=True, kw_only=True):
    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


class RecordOrderRefund(Command, frozen=True, kw_only=True):
    """`corrects`: the order is to cost less; not so where money goes back that was never owed."""

    order_id: UUID
    refund_id: UUID
    amount: Money
    corrects: bool = False
    untaken: bool = False


class ClaimOrder(Command, frozen=True, kw_only=True):
    """The handler knows that the account owns the address of the order."""

    order_id: UUID
    customer_id: UUID


class HoldOrder(Command, frozen=True, kw_only=True):
    order_id: UUID
    reason: str
    words: Sealed | None = None


class ReleaseOrder(Command, frozen=True, kw_only=True):
    order_id: UUID


class ChangeAddress(Command, frozen=True, kw_only=True):
    """`country` is that of the new address."""

    order_id: UUID
    ship_to: Sealed
    country: str


class RestoreAddress(Command, frozen=True, kw_only=True):
    """Everything goes to the address `revision`: it was packed before the change was known."""

    order_id: UUID
    revision: int


class AddNote(Command, frozen=True, kw_only=True):
    order_id: UUID
    note_id: UUID
    note: Sealed


class RequestMessage(Command, frozen=True, kw_only=True):
    order_id: UUID
    request_id: UUID
    message: str
    channel: str = "email"
    facts: dict[str, str] = {}


class IssueInvoice(Command, frozen=True, kw_only=True):
    order_id: UUID
    number: str
    seller: Seller
    at: datetime


class IssueCreditNote(Command, frozen=True, kw_only=True):
    """For a refund that went back."""

    order_id: UUID
    number: str
    refund_id: UUID
    seller: Seller
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_ORDER = Reason("no_such_order", "There is no such order.", "missing")
ORDER_EXISTS = Reason("order_exists", "The order {number} exists already.")
ORDER_EMPTY = Reason("order_empty", "An order needs at least one line.", "invalid")
TOO_MANY_LINES = Reason("too_many_lines", "An order has at most {most} lines, not {lines}.", "invalid")
TOO_LATE_TO_CANCEL = Reason("too_late_to_cancel", "The order is {status} and cannot be cancelled any more.")
WAITS_FOR_GOODS = Reason("waits_for_goods", "An order that waits for goods can only be cancelled as a whole.")
NOT_CANCELLING = Reason("not_cancelling", "Nobody asked to cancel the order; it is {status}.")
NOT_DELIVERED = Reason("not_delivered", "Only a delivered order can be returned; this one is {status}.")
AGREEMENT_WRONG = Reason(
    "agreement_wrong", "The {what} of the agreement is {agreed}, but that of lines and shipping is {found}.", "invalid"
)
LINE_TWICE = Reason("line_twice", "Two lines have the number {line}.", "invalid")
NO_REFUND_NOW = Reason("no_refund_now", "No money can be given back while the order is {status}.")
REFUND_ABOVE_PAID = Reason("refund_above_paid", "At most {left} can still be given back, not {amount}.")
NOT_A_GUESTS = Reason("not_a_guests", "The order belongs to another account.")
COUNTRY_FIXED = Reason("country_fixed", "Prices and shipping were agreed for {country}: {other} needs a new order.")
TOO_LATE_TO_READDRESS = Reason(
    "too_late_to_readdress", "The order is {status} and packed: its address cannot be changed any more."
)
TOO_MANY_ADDRESSES = Reason("too_many_addresses_of_order", "The address of an order changes {most} times at most.")
NO_SUCH_MESSAGE = Reason("no_such_message", "There is no message {message}.", "invalid")
NOT_INVOICED = Reason("not_invoiced", "There is no invoice for an order that is {status}.")
NOT_REFUNDED = Reason("not_refunded", "Nothing went back under this refund yet.", "missing")
WRONG_STATUS = Reason("wrong_status", "{command} does not fit an order that is {status}.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, order: OrderState | None) -> Sequence[Event]:
    """The events that the command makes of this order. Raises Rejected."""
    if isinstance(command, PlaceOrder):
        return _place(command, order)
    if order is None:
        raise NO_SUCH_ORDER()
    match command:
        case RecordPayment():
            return [] if order.paid else _follow(order, OrderPaid(order_id=order.order_id, amount=command.amount))
        case RecordReservation():
            return [] if order.confirmed else _follow(order, OrderConfirmed(order_id=order.order_id))
        case RecordBackorder():
            if order.confirmed or order.backordered:
                return []
            return _follow(order, OrderBackordered(order_id=order.order_id, waiting=command.waiting))
        case RecordShortage():
            if order.status == REFUNDING:
                return []
            return _follow(order, OrderStockShort(order_id=order.order_id, short=command.short))
        case RecordDispatch():
            if command.parcel in order.dispatched:
                return []
            return _follow(
                order,
                OrderDispatched(
                    order_id=order.order_id,
                    parcel=command.parcel,
                    of=command.of,
                    carrier=command.carrier,
                    tracking_number=command.tracking_number,
                    tracking_url=command.tracking_url,
                ),
            )
        case CompleteOrder():
            return [] if order.completed else _follow(order, OrderCompleted(order_id=order.order_id))
        case FailOrder():
            if order.status == FAILED:
                return []
            return _follow(order, OrderFailed(order_id=order.order_id, reason=command.reason, detail=command.detail))
        case RequestCancellation():
            if order.status in (CANCELLING, CANCELLED) or (command.unless_held and order.held is not None):
                return []
            if order.status not in (PENDING, PAID, BACKORDERED, CONFIRMED):
                raise TOO_LATE_TO_CANCEL(status=order.status)
            reason = check_text("reason", command.reason, TEXT_MOST)
            return [OrderCancellationRequested(order_id=order.order_id, reason=reason, words=command.words)]
        case ConfirmCancellation():
            if order.status == CANCELLED:
                return []
            if order.status != CANCELLING:
                raise NOT_CANCELLING(status=order.status)
            return [OrderCancelled(order_id=order.order_id, reason=order.cancel_reason or "")]
        case RefuseCancellation():
            if order.cancel_reason is None:
                return []
            return _follow(order, OrderCancellationRefused(order_id=order.order_id, reason=command.reason))
        case CancelLines():
            return _cancel_lines(command, order)
        case ConfirmLinesCancellation():
            return _cancelled_lines(command, order)
        case RefuseLinesCancellation():
            known = order.cancellations.get(command.cancellation_id)
            if known is None:
                raise NO_SUCH_CANCELLATION()
            if known.status != cancellations.REQUESTED:
                return []
            return _follow(
                order,
                LinesCancellationRefused(
                    order_id=order.order_id, cancellation_id=command.cancellation_id, reason=command.reason
                ),
            )
        case ReturnLines():
            return _return(command, order)
        case WriteOffParcel():
            return _write_off(command, order)
        case GrantGoodwill():
            if command.refund_id in order.refunds:
                return []
            if GoodwillGranted not in TRANSITIONS[order.status]:
                raise NO_REFUND_NOW(status=order.status)
            if command.amount.amount <= 0:
                raise AMOUNT_OUT_OF_RANGE(amount=command.amount.amount)
            _check_refund(order, command.amount)
            return [
                GoodwillGranted(
                    order_id=order.order_id,
                    refund_id=command.refund_id,
                    amount=command.amount,
                    reason=check_text("reason", command.reason, TEXT_MOST),
                )
            ]
        case RecordOrderRefund():
            if command.refund_id in order.refunds and order.refunds[command.refund_id] < 0:
                return []
            return _follow(
                order,
                OrderRefunded(
                    order_id=order.order_id,
                    refund_id=command.refund_id,
                    amount=command.amount,
                    corrects=command.corrects,
                    untaken=command.untaken,
                ),
            )
        case ClaimOrder():
            if order.customer_id == command.customer_id:
                return []
            if order.customer_id is not None:
                raise NOT_A_GUESTS()
            return [OrderClaimed(order_id=order.order_id, customer_id=command.customer_id)]
        case RequestReturn():
            if order.status != FULFILLED:
                raise NOT_DELIVERED(status=order.status)
            return returns.request(command, order.wanted, order.returned, order.returns)
        case ApproveReturn() | RefuseReturn():
            return returns.judge(command, order.returns)
        case ReceiveReturn():
            return _receive(command, order)
        case IssueInvoice() | IssueCreditNote():
            return _document(command, order)
        case _:
            return _beside(command, order)


def _beside(command: Command, order: OrderState) -> Sequence[Event]:
    """What staff and customers do with an order while it goes its way."""
    match command:
        case HoldOrder():
            if order.held is not None:
                return []
            reason = check_text("reason", command.reason, TEXT_MOST)
            return _while(order, OrderHeld(order_id=order.order_id, reason=reason, words=command.words))
        case ReleaseOrder():
            return [] if order.held is None else [OrderReleased(order_id=order.order_id)]
        case ChangeAddress():
            if command.country != order.country:
                raise COUNTRY_FIXED(country=order.country, other=command.country)
            if order.status not in BESIDE[OrderAddressChanged]:
                raise TOO_LATE_TO_READDRESS(status=order.status)
            if order.revision >= MAX_ADDRESSES:
                raise TOO_MANY_ADDRESSES(most=MAX_ADDRESSES)
            return [OrderAddressChanged(order_id=order.order_id, ship_to=command.ship_to, revision=order.revision + 1)]
        case RestoreAddress():
            former = order.addresses[command.revision] if command.revision < order.revision else order.ship_to
            if former == order.ship_to:
                return []
            return [
                OrderAddressChangeRefused(
                    order_id=order.order_id, ship_to=former, former=command.revision, revision=order.revision + 1
                )
            ]
        case AddNote():
            return [OrderNoteAdded(order_id=order.order_id, note_id=command.note_id, note=command.note)]
        case RequestMessage():
            if command.message not in MESSAGES:
                raise NO_SUCH_MESSAGE(message=command.message)
            return [
                OrderMessageRequested(
                    order_id=order.order_id,
                    request_id=command.request_id,
                    message=command.message,
                    channel=command.channel,
                    facts=command.facts,
                )
            ]
        case _:
            raise TypeError(f"an order does not know {type(command).__name__}")


def _while(order: OrderState, event: Event) -> Sequence[Event]:
    if order.status not in BESIDE[type(event)]:
        raise WRONG_STATUS(command=type(event).__name__, status=order.status)
    return [event]


def _receive(command: ReceiveReturn, order: OrderState) -> Sequence[Event]:
    """The goods of a return are here: what can be sold again and what cannot are refunded as two."""
    came = returns.received(command, order.returns)
    if came is None:
        return []
    events: list[Event] = [came]
    after = order
    reasons = {line.line: line.reason for line in order.returns[command.return_id].lines}
    for restock in (True, False):
        lines = [(one.line, one.quantity) for one in came.lines if one.restock == restock]
        if lines:
            part = command.return_id if restock else stream_id("return", command.return_id, "written off")
            events += _take_back(after, part, lines, restock, reasons[lines[0][0]])
            after = evolve(after, events[-1])
    return events


def _document(command: IssueInvoice | IssueCreditNote, order: OrderState) -> Sequence[Event]:
    if isinstance(command, IssueInvoice):
        if order.invoice is not None:
            return []
        if (INVOICES, None) not in order.documents_due():
            raise NOT_INVOICED(status=order.status)
        return [
            InvoiceIssued(
                order_id=order.order_id,
                number=command.number,
                amount=order.total,
                issued_at=command.at,
                seller=command.seller,
                taxes=taxes_of(order.lines, order.shipping, order.agreement),
            )
        ]
    if any(one.refund_id == command.refund_id for one in order.documents):
        return []
    if command.refund_id not in order.corrections or order.refunds[command.refund_id] >= 0:
        raise NOT_REFUNDED()
    if order.invoice is None:
        raise NOT_INVOICED(status=order.status)
    amount = Money(min(-order.refunds[command.refund_id], order.creditable), order.total.currency)
    rates = {line.line: line.tax_rate for line in order.lines}
    return [
        CreditNoteIssued(
            order_id=order.order_id,
            number=command.number,
            refund_id=command.refund_id,
            amount=amount,
            issued_at=command.at,
            seller=command.seller,
            corrects=order.invoice.number,
            taxes=invoice.credited(
                order.invoice.taxes,
                [part for one in order.documents if one.kind != "invoice" for part in one.taxes],
                amount,
                [(rates[line], part) for line, part in order.corrections[command.refund_id]],
            ),
        )
    ]


def taxes_of(lines: Sequence[OrderLine], shipping: Money, agreed: Agreement | None) -> tuple[TaxPart, ...]:
    """What an order comes to at each tax rate, the shipping included."""
    nothing = Money(0, shipping.currency)
    amounts = [(line.tax_rate, paid_for(line, agreed), line.tax or nothing) for line in lines]
    if agreed is None:
        return invoice.by_rate([*amounts, (None, shipping, nothing)])
    tax = agreed.shipping_tax or nothing
    paid = shipping - agreed.shipping_discount
    return invoice.by_rate([*amounts, (agreed.shipping_tax_rate, paid if agreed.tax_inclusive else paid + tax, tax)])


def _follow(order: OrderState, event: Event) -> Sequence[Event]:
    if type(event) not in TRANSITIONS[order.status]:
        raise WRONG_STATUS(command=type(event).__name__, status=order.status)
    return [event]


def _place(command: PlaceOrder, order: OrderState | None) -> Sequence[Event]:
    if order is not None:
        raise ORDER_EXISTS(number=order.number)
    if not command.lines:
        raise ORDER_EMPTY()
    if len(command.lines) > MAX_LINES:
        raise TOO_MANY_LINES(lines=len(command.lines), most=MAX_LINES)
    goods = Money(0, command.shipping.currency)
    numbers: set[int] = set()
    units: dict[str, int] = {}
    for line in command.lines:
        if line.line in numbers:
            raise LINE_TWICE(line=line.line)
        numbers.add(line.line)
        # One SKU's lines are reserved together, so together they must be a quantity.
        units[line.sku] = check_quantity(check_quantity(line.quantity) + units.get(line.sku, 0))
        _check_amount(line.total, 0)
        goods += line.total
    _check_amount(command.shipping, 0)
    if command.agreement is not None:
        _check_agreement(command, command.agreement)
    total = _check_amount(_to_pay(command, goods), 0)
    return [
        OrderCreated(
            order_id=command.order_id,
            number=command.number,
            cart_id=command.cart_id,
            attempt=command.attempt,
            customer_id=command.customer_id,
            subject=command.subject,
            lines=command.lines,
            goods=goods,
            shipping=command.shipping,
            total=total,
            country=check_text("country", command.country, TEXT_MOST),
            email=command.email,
            ship_to=command.ship_to,
            payment_method=check_text("payment_method", command.payment_method, TEXT_MOST),
            channel=command.channel,
            placed_at=command.at,
            agreement=command.agreement,
            note=command.note,
            email_mark=command.email_mark,
            admitted=command.admitted,
            payment_token=command.payment_token,
            bill_to=command.bill_to,
        )
    ]


def _to_pay(command: PlaceOrder, goods: Money) -> Money:
    """Goods and shipping, less what is taken off, with the tax where the prices do not contain it."""
    total = goods + command.shipping
    agreed = command.agreement
    if agreed is None:
        return total
    total -= agreed.discount + agreed.shipping_discount
    return total if agreed.tax_inclusive else total + agreed.tax


def _check_agreement(command: PlaceOrder, agreed: Agreement) -> None:
    """What is agreed on is the sum of its parts, and no part takes off more than there is."""
    nothing = Money(0, command.shipping.currency)
    discount, tax = nothing, agreed.shipping_tax or nothing
    for line in command.lines:
        off = line.discount or nothing
        if not nothing <= off <= line.total:
            raise AMOUNT_OUT_OF_RANGE(amount=off.amount)
        discount += off
        tax += line.tax or nothing
    if not nothing <= agreed.shipping_discount <= command.shipping:
        raise AMOUNT_OUT_OF_RANGE(amount=agreed.shipping_discount.amount)
    for what, given, found in (("discount", agreed.discount, discount), ("tax", agreed.tax, tax)):
        if given != found:
            raise AGREEMENT_WRONG(what=what, agreed=given.amount, found=found.amount)


def _check_amount(amount: Money, least: int) -> Money:
    if not least <= amount.amount <= MAX_AMOUNT:
        raise AMOUNT_OUT_OF_RANGE(amount=amount.amount)
    return amount


def _cancel_lines(command: CancelLines, order: OrderState) -> Sequence[Event]:
    if command.cancellation_id in order.cancellations:
        return []
    open_for_all = order.status in (PENDING, PAID, BACKORDERED, CONFIRMED)
    if not open_for_all and not (command.by_staff and order.status == PARTLY_SHIPPED):
        raise TOO_LATE_TO_CANCEL(status=order.status)
    left = {number: units - order.returned.get(number, 0) for number, units in order.wanted.items()}
    skus = {line.line: line.sku for line in order.lines}
    wish = cancellations.request(command, skus, left, order.cancellations)
    if order.status != PARTLY_SHIPPED and sum(one.quantity for one in wish.lines) == sum(left.values()):
        return [OrderCancellationRequested(order_id=order.order_id, reason=wish.reason, words=wish.words)]
    if order.status == BACKORDERED:
        # Shipping, which would have to answer, hears of it only once the goods are there.
        raise WAITS_FOR_GOODS()
    return [wish]


def _cancelled_lines(command: ConfirmLinesCancellation, order: OrderState) -> Sequence[Event]:
    known = order.cancellations.get(command.cancellation_id)
    if known is None:
        raise NO_SUCH_CANCELLATION()
    if known.status != cancellations.REQUESTED:
        return []
    lines = {line.line: line for line in order.lines}
    less = tuple(_less(lines[one.line], one.quantity, order.agreement) for one in known.lines)
    worth = sum((one.amount for one in less), Money(0, order.total.currency))
    return _follow(
        order,
        OrderLinesCancelled(
            order_id=order.order_id,
            cancellation_id=command.cancellation_id,
            lines=less,
            amount=Money(min(worth.amount, _left(order)), worth.currency),
            left_out=command.left_out,
        ),
    )


def _less(line: OrderLine, units: int, agreed: Agreement | None) -> CancelledLine:
    """What a line loses with so many units: of each amount what the last units of it cost."""
    nothing = Money(0, line.total.currency)
    after = _without(line, units)
    return CancelledLine(
        line=line.line,
        sku=line.sku,
        quantity=units,
        total=line.total - after.total,
        discount=(line.discount or nothing) - (after.discount or nothing),
        tax=(line.tax or nothing) - (after.tax or nothing),
        amount=paid_for(line, agreed) - paid_for(after, agreed),
    )


def _without(line: OrderLine, units: int) -> OrderLine:
    def kept(amount: Money) -> Money:
        return Money(share(amount.amount, line.quantity, line.quantity - units), amount.currency)

    return replace(
        line,
        quantity=line.quantity - units,
        total=kept(line.total),
        discount=None if line.discount is None else kept(line.discount),
        tax=None if line.tax is None else kept(line.tax),
    )


def without(lines: Sequence[OrderLine], cancelled: Sequence[CancelledLine]) -> tuple[OrderLine, ...]:
    """The lines of an order as they are once these units are cancelled; one of which nothing is left has quantity 0."""
    units = {one.line: one.quantity for one in cancelled}
    return tuple(_without(line, units[line.line]) if line.line in units else line for line in lines)


def agreed_without(agreed: Agreement, cancelled: Sequence[CancelledLine]) -> Agreement:
    """What is agreed on once these units are cancelled."""
    discount, tax = agreed.discount, agreed.tax
    for one in cancelled:
        discount -= one.discount
        tax -= one.tax
    return replace(agreed, discount=discount, tax=tax)


def _return(command: ReturnLines, order: OrderState) -> Sequence[Event]:
    if command.return_id in order.refunds:
        return []
    if order.status != FULFILLED:
        raise NOT_DELIVERED(status=order.status)
    [back] = _take_back(order, command.return_id, command.lines, command.restock, command.reason)
    return [replace(back, words=command.words)]


def _write_off(command: WriteOffParcel, order: OrderState) -> Sequence[Event]:
    if command.return_id in order.refunds:
        return []
    if order.status not in (PARTLY_SHIPPED, SHIPPED, FULFILLED):
        raise WRONG_STATUS(command="WriteOffParcel", status=order.status)
    still = dict(command.items)
    wanted = order.wanted
    lines = []
    for line in order.lines:
        units = min(still.get(line.sku, 0), wanted[line.line] - order.returned.get(line.line, 0))
        if units:
            still[line.sku] -= units
            lines.append((line.line, units))
    if not lines:
        return []
    return _take_back(order, command.return_id, lines, command.restock, command.reason)


def _take_back(
    order: OrderState, return_id: UUID, lines: Sequence[tuple[int, int]], restock: bool, reason: str
) -> Sequence[OrderReturned]:
    if not lines:
        raise RETURN_EMPTY()
    by_number = {line.line: line for line in order.lines}
    wanted = order.wanted
    back = dict(order.returned)
    given = _given_for(order)
    returned = []
    amount = Money(0, order.total.currency)
    for number, quantity in lines:
        check_quantity(quantity)
        line = by_number.get(number)
        if line is None:
            raise NO_SUCH_LINE(line=number)
        before = back.get(number, 0)
        if before + quantity > wanted[number]:
            raise MORE_THAN_BOUGHT(line=number, left=wanted[number] - before, quantity=quantity)
        back[number] = before + quantity
        paid = paid_for(line, order.agreement).amount
        worth = max(share(paid, line.quantity, before + quantity) - given.get(number, 0), 0)
        # Its price may have been given back before, out of goodwill: the goods come back for what is left of it.
        part = Money(min(worth, _left(order) - amount.amount), line.total.currency)
        returned.append(ReturnedLine(line=number, sku=line.sku, quantity=quantity, amount=part))
        given[number] = given.get(number, 0) + part.amount
        amount += part
    return [
        OrderReturned(
            order_id=order.order_id,
            return_id=return_id,
            lines=tuple(returned),
            amount=amount,
            restock=restock,
            reason=check_text("reason", reason, TEXT_MOST),
        )
    ]


def paid_for(line: OrderLine, agreed: Agreement | None) -> Money:
    """What a line really cost: less its discount, and with its tax where the price does not contain it."""
    paid = line.total if line.discount is None else line.total - line.discount
    return paid if agreed is None or agreed.tax_inclusive or line.tax is None else paid + line.tax


def share(total: int, quantity: int, units: int) -> int:
    """What the first `units` of a line cost that has `quantity` units for `total`, rounded half up.

    A part that comes back is worth what the share grows by, so that all parts add up to the total.
    """
    return (2 * total * units + quantity) // (2 * quantity)


def _given_for(order: OrderState) -> dict[int, int]:
    """Minor units by line that were given back for units that came back."""
    given: dict[int, int] = {}
    for refund_id, parts in order.corrections.items():
        for line, amount in parts if refund_id not in order.cancellations else ():
            given[line] = given.get(line, 0) + amount
    return given


def _left(order: OrderState) -> int:
    """What can still be given back, in minor units."""
    return max(order.total.amount - order.given_back, 0)


def _check_refund(order: OrderState, amount: Money) -> None:
    left = Money(_left(order), order.total.currency)
    if left < amount:
        raise REFUND_ABOVE_PAID(left=left.amount, amount=amount.amount)


# --- evolve ----------------------------------------------------------------------------------------


def _progress(order: OrderState) -> str:
    """The status on the way to the customer, from what has been recorded in whatever order."""
    if order.completed:
        return FULFILLED
    if order.dispatched:
        return SHIPPED if len(order.dispatched) + order.left_out >= order.parcels else PARTLY_SHIPPED
    if order.confirmed:
        return CONFIRMED
    if order.backordered:
        return BACKORDERED
    return PAID if order.paid else PENDING


_OFF_THE_WAY: Final = frozenset({REFUNDING, CANCELLING, FAILED, CANCELLED})


def evolve(order: OrderState | None, event: Event) -> OrderState:
    """The order after the event."""
    if isinstance(event, OrderCreated):
        return OrderState(
            order_id=event.order_id,
            number=event.number,
            status=PENDING,
            cart_id=event.cart_id,
            customer_id=event.customer_id,
            subject=event.subject,
            lines=event.lines,
            shipping=event.shipping,
            total=event.total,
            country=event.country,
            payment_method=event.payment_method,
            agreement=event.agreement,
            email=event.email,
            ship_to=event.ship_to,
            channel=event.channel,
            admitted=event.admitted,
        )
    if order is None:
        raise ValueError("an order begins with OrderCreated")
    match event:
        case OrderPaid():
            return _advance(replace(order, paid=True))
        case OrderConfirmed():
            return _advance(replace(order, confirmed=True))
        case OrderBackordered():
            return _advance(replace(order, backordered=event.waiting))
        case OrderStockShort():
            return order if order.status == CANCELLING else replace(order, status=REFUNDING)
        case OrderDispatched():
            moved = replace(order, parcels=event.of, dispatched=order.dispatched | {event.parcel})
            return replace(moved, status=_progress(moved))
        case OrderCompleted():
            return replace(order, completed=True, status=FULFILLED)
        case OrderFailed():
            return replace(order, status=FAILED)
        case OrderCancellationRequested():
            return replace(order, status=CANCELLING, cancel_reason=event.reason, cancel_words=event.words)
        case OrderCancelled():
            return replace(order, status=CANCELLED)
        case OrderCancellationRefused():
            return replace(order, status=_progress(order), cancel_reason=None, cancel_words=None)
        case OrderReturned():
            back = dict(order.returned)
            for line in event.lines:
                back[line.line] = back.get(line.line, 0) + line.quantity
            came = tuple((line.line, line.amount.amount) for line in event.lines)
            return _owe(replace(order, returned=back), event.return_id, event.amount, came)
        case GoodwillGranted():
            return _owe(order, event.refund_id, event.amount, ())
        case OrderRefunded():
            # What was cancelled before there was an invoice was never on it.
            corrects = event.corrects and event.refund_id not in order.cancellations
            known = {event.refund_id: ()} if corrects else {}
            # What staff gave back at the payment lowers the price as well.
            unasked = corrects and event.refund_id not in order.refunds
            return replace(
                order,
                given_back=order.given_back + (event.amount.amount if unasked else 0),
                refunds={**order.refunds, event.refund_id: -event.amount.amount},
                corrections={**known, **order.corrections},
            )
        case LinesCancellationRequested() | LinesCancellationRefused():
            return replace(order, cancellations=cancellations.evolve(order.cancellations, event))
        case OrderLinesCancelled():
            return _shrink(order, event)
        case OrderClaimed():
            return replace(order, customer_id=event.customer_id)
        case OrderHeld():
            return replace(order, held=event.reason, held_words=event.words)
        case OrderReleased():
            return replace(order, held=None, held_words=None)
        case OrderAddressChanged() | OrderAddressChangeRefused():
            return replace(order, ship_to=event.ship_to, addresses=(*order.addresses, order.ship_to))
        case OrderNoteAdded() | OrderMessageRequested():
            return order
        case ReturnRequested() | ReturnApproved() | ReturnRefused() | ReturnReceived():
            return replace(order, returns=returns.evolve(order.returns, event))
        case InvoiceIssued() | CreditNoteIssued():
            return replace(order, documents=(*order.documents, invoice.document_of(event)))
        case _:
            raise TypeError(f"an order does not know {type(event).__name__}")


def _advance(order: OrderState) -> OrderState:
    return order if order.status in _OFF_THE_WAY else replace(order, status=_progress(order))


def _shrink(order: OrderState, event: OrderLinesCancelled) -> OrderState:
    """The order without the units; what is invoiced already is owed a credit note."""
    total = order.total
    for one in event.lines:
        total -= one.amount
    parts = tuple((one.line, one.amount.amount) for one in event.lines)
    smaller = replace(
        order,
        lines=without(order.lines, event.lines),
        total=total,
        agreement=None if order.agreement is None else agreed_without(order.agreement, event.lines),
        cancellations=cancellations.evolve(order.cancellations, event),
        refunds={**order.refunds, event.cancellation_id: event.amount.amount},
        corrections=order.corrections if order.invoice is None else {**order.corrections, event.cancellation_id: parts},
        left_out=order.left_out + event.left_out,
    )
    return _advance(smaller)


def _owe(order: OrderState, refund_id: UUID, amount: Money, came_back: tuple[tuple[int, int], ...]) -> OrderState:
    """Positive in `refunds` while owed, negative once it went back."""
    return replace(
        order,
        given_back=order.given_back + amount.amount,
        refunds={**order.refunds, refund_id: amount.amount},
        corrections={**order.corrections, refund_id: came_back},
    )


ORDER: Final = Aggregate(
    name="Order",
    log="ordering",
    state=OrderState,
    events=(
        OrderCreated,
        OrderPaid,
        OrderBackordered,
        OrderConfirmed,
        OrderStockShort,
        OrderDispatched,
        OrderCompleted,
        OrderFailed,
        OrderCancellationRequested,
        OrderCancelled,
        OrderCancellationRefused,
        OrderReturned,
        GoodwillGranted,
        OrderRefunded,
        LinesCancellationRequested,
        OrderLinesCancelled,
        LinesCancellationRefused,
        *BESIDE,
    ),
    decide=decide,
    evolve=evolve,
    state_version=5,
)


def order_id_of(cart_id: UUID, attempt: int) -> UUID:
    """The id of the order that this checkout attempt of the cart makes: one cart, one attempt, one order."""
    return stream_id("order", cart_id, attempt)
