"""/api/v1/admin/orders: for staff, orders by queue, number, address or SKU; notes, and holding an order."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta
from msgspec.structs import replace

from emporium.application import notifications, orders, phone_orders
from emporium.application.checkout import Placed
from emporium.application.phone_orders import PhoneLine, PhoneOrder
from emporium.application.ports import Address, Vault
from emporium.domain.base import Command, Money, Sealed
from emporium.domain.cart import NOTE_MOST
from emporium.domain.order import PENDING, TEXT_MOST, HoldOrder, OrderHeld, OrderState, ReleaseOrder
from emporium.domain.order_number import parse_order_number
from emporium.http.auth import staff
from emporium.http.bodies import Body, Code, Currency, Language, Quantity, Sku, Text
from emporium.http.caching import tagged
from emporium.http.checkout import ShippingAddress
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.orders import Number, PlacedFrom, PlacedTo, Status, days
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import order_history
from emporium.projections.order_history import ORDER_HISTORY, NoteRow, OrderRow, Search

__all__ = ["OrderDeskController"]

Queue = Literal[
    "pending", "paid", "backordered", "confirmed", "partly_shipped", "shipped", "refunding", "cancelling", "held",
    "return_open", "address_refused",
]  # fmt: skip
"""Orders that are not closed, by status, and those that staff must look at."""

QUEUES: Final[tuple[str, ...]] = Queue.__args__  # type: ignore[attr-defined]


class DeskRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order in a list for staff. `held`: staff stopped it; `return_open`: a return waits to be settled."""

    order_number: str
    status: str
    reason: str | None
    customer_id: UUID | None
    placed_at: datetime
    changed_at: datetime
    country: str
    channel: str
    units: int
    total: Money
    held: bool
    return_open: bool


class QueueLengths(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders wait in each queue."""

    queues: dict[str, int]


class LookFor(Body, frozen=True, kw_only=True):
    """What orders are looked for by; an order must fit all that is given.

    Attributes:
        email: as it was given at checkout; upper and lower case are the same.
        placed_from, placed_to: the first and the last day (UTC).
        cursor: `next_cursor` of the page before.
    """

    number: Annotated[str, Meta(max_length=64)] | None = None
    email: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    sku: Sku | None = None
    customer_id: UUID | None = None
    status: Status | None = None
    held: bool | None = None
    return_open: bool | None = None
    placed_from: date | None = None
    placed_to: date | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Annotated[str, Meta(max_length=1_000)] | None = None


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """The orders that were found, newest first; `next_cursor` is null on the last page."""

    items: list[DeskRow]
    next_cursor: str | None


class StaffNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a member of staff wrote down; `[erased]` where the customer was erased."""

    at: datetime
    actor: str
    text: Any


class DeskOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What only staff see of an order: why it is held, and the notes, oldest first."""

    order: DeskRow
    held_because: str | None
    notes: list[StaffNote]


class PhoneItem(Body, frozen=True, kw_only=True):
    """Units of a SKU; `agreed_price` is that of one where it is not the list price, up to four places: `4.995`."""

    sku: Sku
    quantity: Quantity = 1
    agreed_price: (
        Annotated[str, Meta(pattern=r"^[0-9]{1,8}([.][0-9]{1,4})?$", examples=["4.995"], description="Decimal.")] | None
    ) = None


class TakeOrder(Body, frozen=True, kw_only=True):
    """What somebody orders on the phone.

    Attributes:
        customer_id: whose account; a guest's order needs an `email` instead.
        payment_method: a payment method of the provider, or `saved_payment_method`: one that the customer keeps.
        shipping_method: the shop's first for the country where it is left out.
    """

    lines: Annotated[list[PhoneItem], Meta(min_length=1, max_length=200)]
    shipping_address: ShippingAddress
    customer_id: UUID | None = None
    email: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    payment_method: Code = "pm_ok"
    saved_payment_method: UUID | None = None
    shipping_method: Code | None = None
    currency: Currency | None = None
    language: Language | None = None
    note: Annotated[str, Meta(min_length=1, max_length=NOTE_MOST)] | None = None


class OrderTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The order that was placed; what to tell the customer."""

    order_number: str
    status: str
    goods: Money
    shipping: Money
    tax: Money
    tax_inclusive: bool
    total: Money
    shipping_method: str


class WriteNote(Body, frozen=True, kw_only=True):
    """What staff shall know; the customer does not see it."""

    text: Annotated[str, Meta(min_length=1, max_length=TEXT_MOST)]


class NoteWritten(msgspec.Struct, frozen=True, kw_only=True):
    """The note is kept."""

    note_id: UUID
    order_number: str


class Hold(Body, frozen=True, kw_only=True):
    """Why nothing more shall be packed for the order."""

    reason: Text


class TellAgain(Body, frozen=True, kw_only=True):
    """The message that shall go out again, and by which channel."""

    message: Literal[
        "order_created", "payment_failed", "order_backordered", "order_confirmed", "order_shipped", "order_delivered",
        "order_cancelled", "order_failed", "order_refunded", "order_lines_cancelled",
    ]  # fmt: skip
    channel: Literal["email", "sms", "push"] = "email"


class ToldAgain(msgspec.Struct, frozen=True, kw_only=True):
    """The message is about to go out; what becomes of it is at `/api/v1/notifications?order=…`."""

    request_id: UUID
    order_number: str
    message: str
    channel: str


class OrderStands(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it is now; `held_because` is null where it is not held."""

    order_number: str
    status: str
    held_because: str | None


class OrderDeskController(Controller):
    """Orders, for those who serve customers."""

    path = "/admin/orders"
    tags = ["orders"]
    guards = [staff("support")]

    @get("/", opt={"tagged": True, "models": ("order_history",)})
    async def list_queue(
        self,
        request: Request,
        queue: Annotated[Queue | None, QueryParameter(description="Only those that wait in it.")] = None,
        sku: Annotated[str | None, QueryParameter(max_length=64, description="Only those with this SKU.")] = None,
        placed_from: PlacedFrom = None,
        placed_to: PlacedTo = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[DeskRow]]:
        """Orders, newest first: all, or those of a queue. By e-mail address they are found with `search`."""
        await includes(request, ORDER_HISTORY.name)
        since, until = days(placed_from, placed_to)
        search = replace(_of_queue(queue), sku=sku, placed_from=since, placed_to=until)
        page = await request.services.reads.run(
            lambda connection: order_history.search_orders(connection, search, limit=limit, cursor=cursor)
        )
        return tagged(request, listing(request, page, _row))

    @post("/", status_code=202, opt={"idempotent": True})
    async def take_order(self, request: Request, data: JSONBody[TakeOrder]) -> Reply[OrderTaken]:
        """Places an order for somebody on the phone; it goes its way as any other. The actor is the caller."""
        session = await request.customer()
        shop, to = request.services.shop, data.shipping_address
        wanted = PhoneOrder(
            customer_id=data.customer_id,
            email=data.email,
            lines=[PhoneLine(sku=one.sku, quantity=one.quantity, agreed_price=one.agreed_price) for one in data.lines],
            ship_to=Address(to.name, tuple(to.lines), to.city, to.postcode, to.country, to.region),
            currency=data.currency or shop.currency,
            payment_method=data.payment_method,
            saved_method=data.saved_payment_method,
            shipping_method=data.shipping_method,
            language=data.language,
            note=data.note,
        )

        def answer(placed: Placed) -> Answer:
            priced = placed.priced
            content = OrderTaken(
                order_number=placed.number,
                status=PENDING,
                goods=priced.goods,
                shipping=priced.shipping,
                tax=priced.tax,
                tax_inclusive=priced.tax_inclusive,
                total=priced.total,
                shipping_method=priced.method,
            )
            return Answer.of(content, 202, location=f"/api/v1/orders/{placed.number}")

        return await once(
            request,
            "ordering",
            actor_of(session),
            answer,
            lambda keep: phone_orders.place(shop, wanted, request.cause(actor_of(session), ""), keep),
        )

    @get("/queues", opt={"tagged": True, "models": ("order_history",)})
    async def queue_lengths(self, request: Request) -> Reply[QueueLengths]:
        """How many orders wait in each queue."""
        await includes(request, ORDER_HISTORY.name)
        found = await request.services.reads.run(order_history.queues)
        return tagged(request, QueueLengths(queues={name: found.get(name, 0) for name in QUEUES}))

    @post("/search", status_code=200, opt={"models": ("order_history",)})
    async def search(self, request: Request, data: JSONBody[LookFor]) -> Reply[Looked]:
        """Finds orders; changes nothing. A body, so that no e-mail address stands in addresses and logs."""
        await includes(request, ORDER_HISTORY.name)
        since, until = days(data.placed_from, data.placed_to)
        search = Search(
            status=data.status,
            number=None if data.number is None else parse_order_number(data.number),
            customer_id=data.customer_id,
            placed_from=since,
            placed_to=until,
            email_mark=None if data.email is None else orders.email_mark(request.services.shop.vault, data.email),
            sku=data.sku,
            held=data.held,
            return_open=data.return_open,
        )
        page = await request.services.reads.run(
            lambda connection: order_history.search_orders(connection, search, limit=data.limit, cursor=data.cursor)
        )
        rows = page.items if data.email is None else await _readable(request, page.items)
        found = Looked(items=[_row(one) for one in rows], next_cursor=page.next)
        return Reply.of(found, headers=[(b"cache-control", b"no-store")])

    @get("/{number:str}", opt={"tagged": True, "models": ("order_history",)})
    async def desk_detail(self, request: Request, number: Number) -> Reply[DeskOrder]:
        """What only staff see of an order; the rest is at `/api/v1/orders/{number}`."""
        exact = parse_order_number(number)
        await includes(request, ORDER_HISTORY.name)
        detail = await request.services.reads.run(lambda connection: order_history.order_by_number(connection, exact))
        if detail is None:
            raise KINDS.not_found("There is no such order.")
        order_id, vault = detail.order.order_id, request.services.shop.vault
        rows = await request.services.reads.run(lambda connection: order_history.notes(connection, order_id))
        await vault.load_keys([detail.subject])
        notes = [_note(vault, order_id, one) for one in rows]
        because = _because(vault, order_id, detail.held, detail.held_words)
        return tagged(request, DeskOrder(order=_row(detail.order), held_because=because, notes=notes))

    @post("/{number:str}/notes", status_code=201, opt={"idempotent": True})
    async def write_note(self, request: Request, number: Number, data: JSONBody[WriteNote]) -> Reply[NoteWritten]:
        """Writes something down for other members of staff."""
        session = await request.customer()
        order = await _order(request, number)
        note_id = uuid4()

        def answer(after: OrderState) -> Answer:
            content = NoteWritten(note_id=note_id, order_number=after.number)
            return Answer.of(content, location=f"/api/v1/admin/orders/{after.number}")

        return await once(
            request,
            "ordering",
            actor_of(session),
            answer,
            lambda keep: orders.add_note(
                request.services.shop,
                order_id=order.order_id,
                note_id=note_id,
                text=data.text,
                cause=request.cause(actor_of(session), order.order_id),
                keep=keep,
            ),
        )

    @post("/{number:str}/messages", status_code=202, opt={"idempotent": True})
    async def tell_again(self, request: Request, number: Number, data: JSONBody[TellAgain]) -> Reply[ToldAgain]:
        """Sends the customer a message again, about the latest event that it tells of. Wishes are obeyed."""
        session = await request.customer()
        order = await _order(request, number)
        request_id = uuid4()

        def answer(after: OrderState) -> Answer:
            content = ToldAgain(
                request_id=request_id, order_number=after.number, message=data.message, channel=data.channel
            )
            return Answer.of(content, 202, location=f"/api/v1/notifications?order={after.number}")

        return await once(
            request,
            "ordering",
            actor_of(session),
            answer,
            lambda keep: notifications.request_again(
                request.services.shop,
                order_id=order.order_id,
                request_id=request_id,
                message=data.message,
                channel=data.channel,
                cause=request.cause(actor_of(session), order.order_id),
                keep=keep,
            ),
        )

    @post("/{number:str}/hold", status_code=200, opt={"idempotent": True})
    async def hold(self, request: Request, number: Number, data: JSONBody[Hold]) -> Reply[OrderStands]:
        """Stops the order on its way: nothing more is packed, and it is not cancelled for being late."""
        order = await _order(request, number)
        reason, words = await orders.why(request.services.shop, order, OrderHeld, data.reason)
        return await _change(request, order, HoldOrder(order_id=order.order_id, reason=reason, words=words))

    @post("/{number:str}/release", status_code=200, opt={"idempotent": True})
    async def release(self, request: Request, number: Number) -> Reply[OrderStands]:
        """Lets a held order go on."""
        order = await _order(request, number)
        return await _change(request, order, ReleaseOrder(order_id=order.order_id))


async def _readable(request: Request, rows: Sequence[OrderRow]) -> list[OrderRow]:
    """Those whose address can still be read: who was erased is not found by it any more."""
    vault = request.services.shop.vault
    sealed = await request.services.reads.run(
        lambda connection: order_history.addresses(connection, [row.order_id for row in rows])
    )
    await vault.load_keys(list({one.subject for one in sealed.values()}))
    clear = {order_id: vault.unseal(one, order_id, "email") for order_id, one in sealed.items()}
    return [row for row in rows if "@" in clear.get(row.order_id, "")]


async def _order(request: Request, number: str) -> OrderState:
    order = await orders.find(request.services.shop, number)
    if order is None:
        raise KINDS.not_found("There is no such order.")
    return order


async def _change(request: Request, order: OrderState, command: Command) -> Reply[OrderStands]:
    session = await request.customer()
    vault = request.services.shop.vault
    await vault.load_keys([order.subject])

    def answer(after: OrderState) -> Answer:
        because = _because(vault, after.order_id, after.held, after.held_words)
        content = OrderStands(order_number=after.number, status=after.status, held_because=because)
        return Answer.of(content, 200, location=f"/api/v1/admin/orders/{after.number}")

    return await once(
        request,
        "ordering",
        actor_of(session),
        answer,
        lambda keep: orders.act(
            request.services.shop,
            command,
            order_id=order.order_id,
            cause=request.cause(actor_of(session), order.order_id),
            keep=keep,
        ),
    )


def _of_queue(queue: Queue | None) -> Search:
    match queue:
        case None:
            return Search()
        case "held":
            return Search(held=True)
        case "return_open":
            return Search(return_open=True)
        case "address_refused":
            return Search(address_refused=True)
    return Search(status=queue)


def _row(row: OrderRow) -> DeskRow:
    return DeskRow(
        order_number=row.number,
        status=row.status,
        reason=row.reason,
        customer_id=row.customer_id,
        placed_at=row.placed_at,
        changed_at=row.changed_at,
        country=row.country,
        channel=row.channel,
        units=row.units,
        total=Money(row.total, row.currency),
        held=row.held,
        return_open=row.return_open,
    )


def _because(vault: Vault, order_id: UUID, reason: str | None, words: Sealed | None) -> str | None:
    return reason if words is None else str(vault.unseal(words, order_id, "words"))


def _note(vault: Vault, order_id: UUID, row: NoteRow) -> StaffNote:
    return StaffNote(at=row.at, actor=row.actor, text=vault.unseal(row.note, order_id, "note"))
