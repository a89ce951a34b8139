"""/api/v1/orders: a customer's orders, a guest's by its token, all of them for staff; cancel, take back."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, get, post, put
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from msgspec import Meta
from msgspec.structs import replace

from emporium.application import carts, orders
from emporium.application.carts import Refilled
from emporium.application.ports import Address, Vault
from emporium.application.timeline import LANGUAGES, facts_for_customers, told
from emporium.domain.base import Command, Money, Sealed
from emporium.domain.cancellations import CANCELLED, CancelLines, LinesCancellationRequested, UnwantedLine
from emporium.domain.invoice import Document, TaxPart
from emporium.domain.order import (
    Backordered,
    OrderCancellationRequested,
    OrderReturned,
    OrderState,
    RequestCancellation,
    ReturnedLine,
    taxes_of,
)
from emporium.domain.order_number import parse_order_number
from emporium.domain.returns import (
    ApproveReturn,
    ReceivedLine,
    ReceiveReturn,
    RefuseReturn,
    RequestReturn,
    ReturnRefused,
    ReturnRequested,
    WantedLine,
)
from emporium.http.auth import signed_in, staff
from emporium.http.bodies import Body, Quantity, Text
from emporium.http.caching import tagged
from emporium.http.cart import owner_of
from emporium.http.checkout import ShippingAddress
from emporium.http.consistency import includes, token_after
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import order_history
from emporium.projections.order_history import (
    ORDER_HISTORY,
    Entry,
    OrderDetail,
    OrderRow,
    ParcelView,
    PaymentView,
    Search,
)

__all__ = [
    "STAFF",
    "DocumentView",
    "Number",
    "OrderController",
    "PlacedFrom",
    "PlacedTo",
    "Status",
    "days",
    "document_views",
    "is_staff",
    "owned",
    "reachable",
    "refund_reason",
]

STAFF = frozenset({"admin", "support"})
"""The roles that see every customer's orders."""

Number = Annotated[str, PathParameter(max_length=64, description="The order's number, however it was typed.")]
ReturnId = Annotated[UUID, PathParameter(description="The return's id.")]
Status = Literal[
    "pending", "paid", "backordered", "confirmed", "partly_shipped", "shipped", "fulfilled", "refunding", "cancelling",
    "failed", "cancelled",
]  # fmt: skip


PlacedFrom = Annotated[date | None, QueryParameter(description="Only orders of this day (UTC) or later.")]
PlacedTo = Annotated[date | None, QueryParameter(description="Only orders of this day (UTC) or earlier.")]


def days(first: date | None, last: date | None) -> tuple[datetime | None, datetime | None]:
    """The first moment of these days (UTC), and the first one after them."""
    since = None if first is None else datetime.combine(first, time(), UTC)
    until = None if last is None or last == date.max else datetime.combine(last + timedelta(days=1), time(), UTC)
    return since, until


class NotWanted(Body, frozen=True, kw_only=True):
    """Units of a line that shall not be sent."""

    line: Annotated[int, Meta(ge=1, le=2_000)]
    quantity: Quantity


class Cancel(Body, frozen=True, kw_only=True):
    """Why the order shall be stopped, or these units of it; without lines it is all of it."""

    reason: Text = "changed_mind"
    lines: Annotated[list[NotWanted], Meta(max_length=2_000)] = []


class ReturnLine(Body, frozen=True, kw_only=True):
    """Units of a line that came back."""

    line: Annotated[int, Meta(ge=1, le=2_000)]
    quantity: Quantity


class TakeBack(Body, frozen=True, kw_only=True):
    """What came back; with `restock` it can be sold again."""

    lines: Annotated[list[ReturnLine], Meta(min_length=1, max_length=2_000)]
    reason: Text
    restock: bool = True


class WantedBack(Body, frozen=True, kw_only=True):
    """Units of a line that the customer wants to send back, and why."""

    line: Annotated[int, Meta(ge=1, le=2_000)]
    quantity: Quantity
    reason: Text


class AskReturn(Body, frozen=True, kw_only=True):
    """What the customer wants to send back."""

    lines: Annotated[list[WantedBack], Meta(min_length=1, max_length=2_000)]


class Judge(Body, frozen=True, kw_only=True):
    """What staff decide of a return; a refusal needs its reason."""

    approved: bool
    reason: Text = "refused"


class CameBack(Body, frozen=True, kw_only=True):
    """Units of a line that came; with `restock` they can be sold again, else they are written off."""

    line: Annotated[int, Meta(ge=1, le=2_000)]
    quantity: Quantity
    restock: bool = True


class Receipt(Body, frozen=True, kw_only=True):
    """What came; all that was announced where no lines are given."""

    lines: Annotated[list[CameBack], Meta(max_length=2_000)] = []


class ReturnAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A return and how far it is: requested, approved, refused or received."""

    return_id: UUID
    order_number: str
    status: str


class OrderLineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order: of the units `ordered` some may be `cancelled`; `quantity` are the others.

    The amounts are those of `quantity`.
    """

    line: int
    sku: str
    title: str
    ordered: int
    cancelled: int
    quantity: int
    unit_price: Money
    total: Money
    discount: Money
    tax: Money
    tax_rate: str | None
    returned: int


class ReturnView(msgspec.Struct, frozen=True, kw_only=True):
    """A return: requested, approved, refused or received; `note` is what staff said last of it.

    `received` is what came: fewer units than wanted where not all did.
    """

    return_id: UUID
    status: str
    requested_at: datetime
    lines: tuple[WantedLine, ...]
    received: tuple[ReceivedLine, ...]
    note: str | None


class CancellationView(msgspec.Struct, frozen=True, kw_only=True):
    """Units that somebody wanted to cancel: requested, cancelled or refused; `amount` is what is given back."""

    cancellation_id: UUID
    status: str
    lines: tuple[UnwantedLine, ...]
    amount: Money


class OrderRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back (`requested`), gone back (`done`) or refused by the provider (`failed`)."""

    refund_id: UUID
    status: str
    amount: Money
    reason: str
    at: datetime


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice or a credit note; `refund_id` and `corrects`, the invoice's number, are of credit notes."""

    number: str
    kind: Literal["invoice", "credit_note"]
    issued_at: datetime
    amount: Money
    refund_id: UUID | None
    corrects: str | None
    href: str


class OrderSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An order in a list. `reason` says why it failed or was cancelled; `own_words`: the order itself tells them.

    `discount` is that of goods and shipping together, `tax` that of everything.
    """

    order_number: str
    status: str
    reason: str | None
    placed_at: datetime
    changed_at: datetime
    units: int
    discount: Money
    tax: Money
    total: Money


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """One order with all there is to it. Personal data is `[erased]` where the customer was erased.

    `billing_address` is null where it is the shipping address.
    `total` is goods − discount + shipping − shipping_discount, and + tax where the prices do not contain it; `taxes`
    share the total out by rate. `waits_for` is what has to come before a backordered order is sent. `held`, the
    parcels' labels and refusals, and what staff gave as a reason to cancel, are for staff only.
    """

    order_number: str
    status: str
    reason: str | None
    placed_at: datetime
    changed_at: datetime
    lines: list[OrderLineView]
    waits_for: tuple[Backordered, ...]
    goods: Money
    discount: Money
    shipping: Money
    shipping_discount: Money
    tax: Money
    tax_inclusive: bool
    taxes: tuple[TaxPart, ...]
    total: Money
    shipping_method: str | None
    coupons: tuple[str, ...]
    terms_version: str | None
    payment_method: str
    email: Any
    shipping_address: Any
    billing_address: Any
    note: Any
    payment: PaymentView | None
    shipment: str | None
    parcels: tuple[ParcelView, ...]
    cancellations: list[CancellationView]
    returns: list[ReturnView]
    refunds: list[OrderRefund]
    documents: list[DocumentView]
    held: str | None


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the order: its name, and in words what a customer is told of it.

    `context` and `actor` are for staff only, as is whatever has no words.
    """

    at: datetime
    name: str
    text: str | None
    context: str | None
    actor: str | None
    facts: dict[str, Any]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the order, in the words of a language."""

    order_number: str
    language: str
    entries: list[TimelineEntry]


class Cancelling(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it is now; whether it could be stopped shows in its status later.

    Of units of it, whether they could be left out shows at `cancellation_id` in the order's `cancellations`; that is
    null where the whole order is to be stopped.
    """

    order_number: str
    status: str
    cancellation_id: UUID | None


class Readdressed(msgspec.Struct, frozen=True, kw_only=True):
    """The order goes to the address `revision` now; the first one was 0."""

    order_number: str
    status: str
    revision: int


class TakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """What is refunded, by line."""

    return_id: UUID
    order_number: str
    lines: tuple[ReturnedLine, ...]
    amount: Money


class OrderController(Controller):
    """Orders."""

    path = "/orders"
    tags = ["orders"]

    @get("/", guards=[signed_in], opt={"tagged": True, "models": ("order_history",)})
    async def list_orders(
        self,
        request: Request,
        status: FromQuery[Status | None] = None,
        number: FromQuery[str | None] = None,
        placed_from: PlacedFrom = None,
        placed_to: PlacedTo = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Reply[Listing[OrderSummary]]:
        """The caller's orders, newest first; for staff everybody's. By status, number or the days they were placed."""
        session = await request.customer()
        await includes(request, ORDER_HISTORY.name)
        since, until = days(placed_from, placed_to)
        search = Search(
            customer_id=session.customer if STAFF.isdisjoint(session.roles) else None,
            status=status,
            number=None if number is None else parse_order_number(number),
            placed_from=since,
            placed_to=until,
        )
        page = await request.services.reads.run(
            lambda connection: order_history.search_orders(connection, search, limit=limit, cursor=cursor)
        )
        shown = partial(_summary, for_staff=not STAFF.isdisjoint(session.roles))
        return tagged(request, listing(request, page, shown))

    @get("/{number:str}", opt={"tagged": True, "order": True, "models": ("order_history",)})
    async def detail(self, request: Request, number: Number) -> Reply[OrderView]:
        """One order: the customer's own, a guest's (header Order-Token), any for staff."""
        detail = await reachable(request, number)
        vault = request.services.shop.vault
        await vault.load_keys([detail.subject])
        return tagged(request, _view(vault, detail, for_staff=await is_staff(request)))

    @get("/{number:str}/timeline", opt={"tagged": True, "order": True, "models": ("order_history",)})
    async def timeline(
        self,
        request: Request,
        number: Number,
        language: Annotated[
            Literal["en", "de"] | None, QueryParameter(description="Of the words; the order's where none is named.")
        ] = None,
    ) -> Reply[Timeline]:
        """What happened to the order, in the customer's words; for staff every event of all contexts."""
        detail = await reachable(request, number)
        entries = await request.services.reads.run(
            lambda connection: order_history.timeline(connection, detail.order.order_id)
        )
        for_staff = await is_staff(request)
        vault = request.services.shop.vault
        await vault.load_keys([detail.subject])
        own = None if detail.agreement is None else detail.agreement.language
        words = language or (own if own in LANGUAGES else LANGUAGES[0])
        order_id = detail.order.order_id
        shown = [_entry(_said(vault, order_id, one), words, for_staff=for_staff) for one in entries]
        visible = [one for one in shown if for_staff or one.text is not None]
        return tagged(request, Timeline(order_number=detail.order.number, language=words, entries=visible))

    @post("/{number:str}/cancel", status_code=202, opt={"idempotent": True, "order": True, "bodiless": True})
    async def cancel(self, request: Request, number: Number, data: JSONBody[Cancel]) -> Reply[Cancelling]:
        """Asks for the order to be stopped, or some units of it. It can be until the first parcel is packed.

        Staff can also cancel units that are not packed yet of an order of which parcels have left.
        """
        order, actor = await owned(request, number)
        known = uuid4()
        event = LinesCancellationRequested if data.lines else OrderCancellationRequested
        reason, words = await orders.why(request.services.shop, order, event, data.reason)
        command: Command = RequestCancellation(order_id=order.order_id, reason=reason, words=words)
        if data.lines:
            command = CancelLines(
                order_id=order.order_id,
                cancellation_id=known,
                lines=tuple((one.line, one.quantity) for one in data.lines),
                reason=reason,
                words=words,
                by_staff=await is_staff(request),
            )

        def answer(after: OrderState) -> Answer:
            part = known if known in after.cancellations else None
            content = Cancelling(order_number=after.number, status=after.status, cancellation_id=part)
            return Answer.of(content, 202, location=f"/api/v1/orders/{after.number}")

        return await once(
            request,
            "ordering",
            actor,
            answer,
            lambda keep: orders.act(
                request.services.shop,
                command,
                order_id=order.order_id,
                cause=request.cause(actor, order.order_id),
                keep=keep,
            ),
        )

    @put("/{number:str}/shipping-address", status_code=200, opt={"order": True})
    async def readdress(self, request: Request, number: Number, data: JSONBody[ShippingAddress]) -> Reply[Readdressed]:
        """Sends the order to another address in the same country, until it is packed.

        Where it is packed in the same moment it keeps its address, and its timeline says so.
        """
        order, actor = await owned(request, number)
        after, committed = await orders.change_address(
            request.services.shop,
            order_id=order.order_id,
            address=Address(data.name, tuple(data.lines), data.city, data.postcode, data.country, data.region),
            cause=request.cause(actor, order.order_id),
        )
        headers = []
        if committed is not None:
            headers.append((b"consistency-token", token_after(request, "ordering", committed.position)))
        moved = Readdressed(order_number=after.number, status=after.status, revision=after.revision)
        return Reply.of(moved, 200, headers)

    @post("/{number:str}/reorder", status_code=201, opt={"idempotent": True, "order": True, "cart": True})
    async def reorder(self, request: Request, number: Number) -> Reply[Refilled]:
        """Puts what the order had into the caller's cart, at the prices of now; tells what could not be taken over."""
        order, _ = await owned(request, number)
        owner = await owner_of(request)
        cart_id = owner.cart or uuid4()
        return await once(
            request,
            "ordering",
            owner.actor,
            lambda made: Answer.of(made, location="/api/v1/cart", cart=cart_id if owner.customer is None else None),
            lambda keep: carts.refill(
                request.services.shop,
                cart_id=cart_id,
                customer_id=owner.customer,
                order=order,
                cause=request.cause(owner.actor, cart_id),
                keep=keep,
            ),
        )

    @post("/{number:str}/returns", status_code=201, guards=[staff("support", "warehouse")], opt={"idempotent": True})
    async def take_back(self, request: Request, number: Number, data: JSONBody[TakeBack]) -> Reply[TakenBack]:
        """Takes units of a delivered order back: they are refunded, and restocked unless that is not wanted."""
        session = await request.customer()
        order = await orders.find(request.services.shop, number)
        if order is None:
            raise KINDS.not_found()
        found = order
        reason, words = await orders.why(request.services.shop, order, OrderReturned, data.reason)

        def answer(returned: OrderReturned) -> Answer:
            content = TakenBack(
                return_id=returned.return_id, order_number=found.number, lines=returned.lines, amount=returned.amount
            )
            return Answer.of(content, location=f"/api/v1/orders/{found.number}")

        return await once(
            request,
            "ordering",
            actor_of(session),
            answer,
            lambda keep: orders.take_back(
                request.services.shop,
                order_id=found.order_id,
                lines=[(one.line, one.quantity) for one in data.lines],
                restock=data.restock,
                reason=reason,
                words=words,
                cause=request.cause(actor_of(session), found.order_id),
                keep=keep,
            ),
        )

    @post("/{number:str}/return-requests", status_code=201, opt={"idempotent": True, "order": True})
    async def ask_return(self, request: Request, number: Number, data: JSONBody[AskReturn]) -> Reply[ReturnAsked]:
        """Asks to send units of a delivered order back, each line with its reason; staff approve or refuse it."""
        order, actor = await owned(request, number)
        shop = request.services.shop
        now = shop.clock.now()
        delivered = await orders.delivered_at(shop, order.order_id)
        reasons = [orders.split(one.reason, f"lines.{n}.reason") for n, one in enumerate(data.lines)]
        own = [words for _, words in reasons]
        wanted = tuple(
            WantedLine(line=one.line, quantity=one.quantity, reason=reason)
            for one, (reason, _) in zip(data.lines, reasons, strict=True)
        )
        command = RequestReturn(
            order_id=order.order_id,
            return_id=uuid4(),
            lines=wanted,
            delivered_at=delivered or now,
            window=RETURN_WINDOW,
            at=now,
            words=await orders.seal_words(shop, order, ReturnRequested, own) if any(own) else None,
        )
        return await _returning(request, order, actor, command, command.return_id, 201)

    @post(
        "/{number:str}/return-requests/{return_id:uuid}/decision",
        status_code=200,
        guards=[staff("support")],
        opt={"idempotent": True},
    )
    async def judge_return(
        self, request: Request, number: Number, return_id: ReturnId, data: JSONBody[Judge]
    ) -> Reply[ReturnAsked]:
        """Approves or refuses a return."""
        order, actor = await owned(request, number)
        command: Command = ApproveReturn(order_id=order.order_id, return_id=return_id)
        if not data.approved:
            reason, words = await orders.why(request.services.shop, order, ReturnRefused, data.reason)
            command = RefuseReturn(order_id=order.order_id, return_id=return_id, reason=reason, words=words)
        return await _returning(request, order, actor, command, return_id, 200)

    @post(
        "/{number:str}/return-requests/{return_id:uuid}/receipt",
        status_code=200,
        guards=[staff("support", "warehouse")],
        opt={"idempotent": True},
    )
    async def receive_return(
        self, request: Request, number: Number, return_id: ReturnId, data: JSONBody[Receipt]
    ) -> Reply[ReturnAsked]:
        """The goods of an approved return are here: they are refunded, and restocked or written off line by line."""
        session = await request.customer()
        order = await orders.find(request.services.shop, number)
        if order is None:
            raise KINDS.not_found()
        lines = tuple(ReceivedLine(line=one.line, quantity=one.quantity, restock=one.restock) for one in data.lines)
        command = ReceiveReturn(order_id=order.order_id, return_id=return_id, lines=lines)
        return await _returning(request, order, actor_of(session), command, return_id, 200)


RETURN_WINDOW: Final = timedelta(days=30)
"""How long after its delivery an order can be returned."""


async def _returning(
    request: Request, order: OrderState, actor: str, command: Command, return_id: UUID, status: int
) -> Reply[ReturnAsked]:
    def answer(after: OrderState) -> Answer:
        content = ReturnAsked(return_id=return_id, order_number=after.number, status=after.returns[return_id].status)
        return Answer.of(content, status, location=f"/api/v1/orders/{after.number}")

    return await once(
        request,
        "ordering",
        actor,
        answer,
        lambda keep: orders.act(
            request.services.shop,
            command,
            order_id=order.order_id,
            cause=request.cause(actor, order.order_id),
            keep=keep,
        ),
    )


async def reachable(request: Request, number: str) -> OrderDetail:
    """The order of a number, if the caller may see it; else there is no such order. Raises Problem, Rejected."""
    exact = parse_order_number(number)
    session = await request.caller()
    guest = _guest_order(request)
    await includes(request, ORDER_HISTORY.name)
    detail = await request.services.reads.run(lambda connection: order_history.order_by_number(connection, exact))
    if detail is not None:
        row = detail.order
        if guest == row.order_id or (
            session is not None and (row.customer_id == session.customer or not STAFF.isdisjoint(session.roles))
        ):
            return detail
    raise KINDS.not_found("There is no such order, or it is not this caller's.")


async def owned(request: Request, number: str) -> tuple[OrderState, str]:
    """The order as its log knows it now, and the caller as actor, if the caller may change it."""
    session = await request.caller()
    guest = _guest_order(request)
    order = await orders.find(request.services.shop, number)
    if order is not None:
        if session is not None and (order.customer_id == session.customer or not STAFF.isdisjoint(session.roles)):
            return order, actor_of(session)
        if guest == order.order_id:
            # An order on the phone had no cart; guests share nothing, not even a name.
            return order, f"guest:{order.cart_id or order.order_id}"
    raise KINDS.not_found("There is no such order, or it is not this caller's.")


def _guest_order(request: Request) -> UUID | None:
    given = request.header(b"order-token")
    return None if given is None else request.services.order_tokens.read_cart(given.decode("latin-1"))


async def is_staff(request: Request) -> bool:
    """Whether the caller sees every customer's orders, and what customers are not told of them."""
    session = await request.caller()
    return session is not None and not STAFF.isdisjoint(session.roles)


def _summary(row: OrderRow, *, for_staff: bool) -> OrderSummary:
    return OrderSummary(
        order_number=row.number,
        status=row.status,
        reason=row.reason if for_staff or not row.reason_internal else None,
        placed_at=row.placed_at,
        changed_at=row.changed_at,
        units=row.units,
        discount=Money(row.discount, row.currency),
        tax=Money(row.tax, row.currency),
        total=Money(row.total, row.currency),
    )


def _view(vault: Vault, detail: OrderDetail, *, for_staff: bool) -> OrderView:
    row, agreed = detail.order, detail.agreement
    nothing = Money(0, row.currency)
    gone = Counter[int]()
    for part in detail.cancellations.values():
        gone.update({one.line: one.quantity for one in part.lines if part.status == CANCELLED})

    def clear(sealed: Sealed | None, field: str) -> Any:
        return None if sealed is None else vault.unseal(sealed, row.order_id, field)

    def said(reason: str | None, words: Sealed | None) -> str | None:
        return reason if reason != orders.OWN_WORDS or words is None else str(clear(words, "words"))

    return OrderView(
        order_number=row.number,
        status=row.status,
        reason=said(row.reason, detail.reason_words) if for_staff or not row.reason_internal else None,
        placed_at=row.placed_at,
        changed_at=row.changed_at,
        waits_for=detail.waits_for,
        lines=[
            OrderLineView(
                line=line.line,
                sku=line.sku,
                title=line.title,
                ordered=line.quantity + gone[line.line],
                cancelled=gone[line.line],
                quantity=line.quantity,
                unit_price=line.unit_price,
                total=line.total,
                discount=line.discount or nothing,
                tax=line.tax or nothing,
                tax_rate=line.tax_rate,
                returned=detail.returned.get(line.line, 0),
            )
            for line in detail.lines
        ],
        goods=Money(row.goods, row.currency),
        discount=nothing if agreed is None else agreed.discount,
        shipping=Money(row.shipping, row.currency),
        shipping_discount=nothing if agreed is None else agreed.shipping_discount,
        tax=Money(row.tax, row.currency),
        tax_inclusive=agreed is None or agreed.tax_inclusive,
        taxes=taxes_of(detail.lines, Money(row.shipping, row.currency), agreed),
        total=Money(row.total, row.currency),
        shipping_method=None if agreed is None else agreed.shipping_method,
        coupons=() if agreed is None else agreed.coupons,
        terms_version=None if agreed is None else agreed.terms_version,
        payment_method=detail.payment_method,
        email=clear(detail.email, "email"),
        shipping_address=clear(detail.ship_to, "ship_to"),
        billing_address=clear(detail.bill_to, "bill_to"),
        note=clear(detail.note, "note"),
        payment=detail.payment,
        shipment=detail.shipment,
        parcels=detail.parcels
        if for_staff
        else tuple(replace(one, label_url="", refused=None) for one in detail.parcels),
        cancellations=[
            CancellationView(
                cancellation_id=known,
                status=one.status,
                lines=one.lines,
                amount=Money(one.amount, row.currency),
            )
            for known, one in detail.cancellations.items()
        ],
        returns=[
            ReturnView(
                return_id=return_id,
                status=one.status,
                requested_at=one.requested_at,
                lines=_reasoned(one.lines, clear(one.words, "words")),
                received=one.received,
                note=said(one.note, one.note_words),
            )
            for return_id, one in detail.returns.items()
        ],
        refunds=[
            OrderRefund(
                refund_id=one.refund_id,
                status=one.status,
                amount=Money(one.amount, one.currency),
                reason=refund_reason(one.reason, for_staff=for_staff),
                at=one.at,
            )
            for one in detail.refunds
        ],
        documents=document_views(row.number, detail.documents),
        held=said(detail.held, detail.held_words) if for_staff else None,
    )


def _reasoned(lines: tuple[WantedLine, ...], words: Any) -> tuple[WantedLine, ...]:
    """The lines with people's own words for why; of somebody who was erased there is one word for all of them."""
    if words is None:
        return lines
    own = words if isinstance(words, list) else [words] * len(lines)
    return tuple(
        replace(one, reason=said) if one.reason == orders.OWN_WORDS else one
        for one, said in zip(lines, own, strict=True)
    )


def document_views(order_number: str, known: Sequence[Document]) -> list[DocumentView]:
    """Documents as they are shown."""
    return [
        DocumentView(
            number=one.number,
            kind="invoice" if one.kind == "invoice" else "credit_note",
            issued_at=one.issued_at,
            amount=one.amount,
            refund_id=one.refund_id,
            corrects=one.corrects,
            href=f"/api/v1/orders/{order_number}/documents/{one.number}",
        )
        for one in known
    ]


def refund_reason(reason: str, *, for_staff: bool) -> str:
    """What money is given back for; reasons that are no word of ours are those of a cancellation, maybe staff's own."""
    return reason if for_staff or reason in _REFUND_REASONS else "order_cancelled"


_REFUND_REASONS: Final = frozenset(
    {"returned", "goodwill", "damaged", "wrong_item", "not_delivered", "price_adjustment", "paid_twice", "other",
     "out_of_stock", "late_payment", "cancelled_in_part"}
)  # fmt: skip


def _said(vault: Vault, order_id: UUID, one: Entry) -> Entry:
    """The entry with people's own words where its event has them sealed."""
    if "words" not in one.facts:
        return one
    words = vault.unseal(msgspec.convert(one.facts["words"], Sealed), order_id, "words")
    facts = {key: value for key, value in one.facts.items() if key != "words"}
    return replace(one, facts={**facts, "reason": words})


def _entry(one: Entry, language: str, *, for_staff: bool) -> TimelineEntry:
    return TimelineEntry(
        at=one.at,
        name=one.name,
        text=told(one.name, one.facts, language),
        context=one.log if for_staff else None,
        actor=one.actor if for_staff else None,
        facts=one.facts if for_staff else facts_for_customers(one.name, one.facts),
    )
