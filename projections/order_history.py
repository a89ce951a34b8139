"""Orders as customers and staff see them: each order with its lines, payment and parcels, and its timeline."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from msgspec.structs import replace
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import order as o
from emporium.domain import payment as p
from emporium.domain import reservation as r
from emporium.domain import shipment as s
from emporium.domain.base import Event, Money, Sealed
from emporium.domain.cancellations import (
    Cancellation,
    LinesCancellationRefused,
    LinesCancellationRequested,
    OrderLinesCancelled,
)
from emporium.domain.invoice import CreditNoteIssued, Document, InvoiceIssued
from emporium.domain.returns import ReturnApproved, ReturnReceived, ReturnRefused, ReturnRequested, ReturnState
from emporium.projections.model import Connection, ReadModel, Tables, canonical
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = [
    "ORDER_HISTORY",
    "Entry",
    "OrderDetail",
    "OrderRow",
    "Movements",
    "OrderTotals",
    "ParcelView",
    "PaymentRow",
    "PaymentView",
    "RefundTotals",
    "arrived",
    "movements",
    "NoteRow",
    "RefundView",
    "Search",
    "notes",
    "order_by_id",
    "order_by_number",
    "order_totals",
    "orders_for_admin",
    "orders_of_customer",
    "orders_with",
    "payments",
    "queues",
    "refund_totals",
    "search_orders",
    "timeline",
]

# --- tables ----------------------------------------------------------------------------------------

DDL: Final = """
-- From the ordering log. `state` is what the domain's evolve needs to go on.
CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    number text NOT NULL,
    customer_id uuid,
    subject uuid NOT NULL,
    cart_id uuid,
    status text NOT NULL,
    reason text,
    reason_internal boolean NOT NULL,
    placed_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    version bigint NOT NULL,
    currency text NOT NULL,
    goods bigint NOT NULL,
    shipping bigint NOT NULL,
    total bigint NOT NULL,
    discount bigint NOT NULL,
    tax bigint NOT NULL,
    units bigint NOT NULL,
    country text NOT NULL,
    channel text NOT NULL,
    payment_method text NOT NULL,
    held boolean NOT NULL,
    return_open boolean NOT NULL,
    state jsonb NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE contents (
    order_id uuid PRIMARY KEY,
    lines jsonb NOT NULL,
    email jsonb,
    ship_to jsonb,
    agreement jsonb,
    note jsonb,
    email_mark text,
    bill_to jsonb
);
CREATE TABLE notes (
    order_id uuid NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    note jsonb NOT NULL
);

-- From the payments log.
CREATE TABLE payments (
    order_id uuid PRIMARY KEY,
    changed_at timestamptz NOT NULL,
    version bigint NOT NULL,
    state jsonb NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE refunds (
    order_id uuid NOT NULL,
    refund_id uuid NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (order_id, refund_id)
);

-- From the shipping log. `times` has an entry for each step of each parcel.
CREATE TABLE shipments (
    order_id uuid PRIMARY KEY,
    changed_at timestamptz NOT NULL,
    version bigint NOT NULL,
    state jsonb NOT NULL,
    times jsonb NOT NULL
) WITH (fillfactor = 70);

-- From all logs, one row per event.
CREATE TABLE timeline (
    order_id uuid NOT NULL,
    log text NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    name text NOT NULL,
    actor text NOT NULL,
    facts jsonb NOT NULL
);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS orders_number ON orders (number);
CREATE INDEX IF NOT EXISTS orders_customer ON orders (customer_id, placed_at DESC, order_id DESC)
    WHERE customer_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS orders_placed ON orders (placed_at DESC, order_id DESC);
CREATE UNIQUE INDEX IF NOT EXISTS timeline_events ON timeline (order_id, log, position);
CREATE INDEX IF NOT EXISTS orders_status ON orders (status, placed_at DESC, order_id DESC);
CREATE INDEX IF NOT EXISTS orders_held ON orders (placed_at DESC, order_id DESC) WHERE held;
CREATE INDEX IF NOT EXISTS orders_return_open ON orders (placed_at DESC, order_id DESC) WHERE return_open;
CREATE INDEX IF NOT EXISTS contents_email_mark ON contents (email_mark) WHERE email_mark IS NOT NULL;
CREATE INDEX IF NOT EXISTS contents_skus ON contents
    USING gin (jsonb_path_query_array(lines, '$[*].sku') jsonb_path_ops);
CREATE UNIQUE INDEX IF NOT EXISTS notes_order ON notes (order_id, position);
"""

LOGS: Final[dict[str, tuple[type[Event], ...]]] = {
    "ordering": o.ORDER.events,
    "payments": p.PAYMENT.events,
    "inventory": r.RESERVATION.events,
    "shipping": s.SHIPMENT.events,
}

# --- fold ------------------------------------------------------------------------------------------


class _Order(msgspec.Struct):
    """A row of `orders`; of an order that was there before, only what changes is set.

    `reason_internal`: staff wrote the reason, not for the customer's eyes.
    """

    order_id: UUID
    reason: str | None
    reason_internal: bool = False
    status: str = ""
    changed_at: datetime | None = None
    version: int = 0
    state: msgspec.Raw = msgspec.Raw()
    number: str | None = None
    customer_id: UUID | None = None
    subject: UUID | None = None
    cart_id: UUID | None = None
    placed_at: datetime | None = None
    currency: str | None = None
    goods: int | None = None
    shipping: int | None = None
    total: int | None = None
    discount: int | None = None
    tax: int | None = None
    units: int | None = None
    country: str | None = None
    channel: str | None = None
    payment_method: str | None = None
    held: bool = False
    return_open: bool = False


class _Contents(msgspec.Struct):
    order_id: UUID
    lines: tuple[o.OrderLine, ...] = ()
    email: Sealed | None = None
    ship_to: Sealed | None = None
    agreement: o.Agreement | None = None
    note: Sealed | None = None
    email_mark: str | None = None
    bill_to: Sealed | None = None


class _Note(msgspec.Struct):
    order_id: UUID
    position: int
    at: datetime
    actor: str
    note: Sealed


class _Payment(msgspec.Struct):
    order_id: UUID
    changed_at: datetime
    version: int
    state: p.PaymentState | None


class _Refund(msgspec.Struct):
    order_id: UUID
    refund_id: UUID
    status: str
    currency: str
    amount: int
    reason: str
    at: datetime


class _Shipment(msgspec.Struct):
    order_id: UUID
    changed_at: datetime
    version: int
    state: s.ShipmentState | None
    times: dict[str, Any]


class _Entry(msgspec.Struct):
    order_id: UUID
    log: str
    position: int
    at: datetime
    name: str
    actor: str
    facts: dict[str, Any]


async def fold(tables: Tables, log: str, events: Sequence[Recorded]) -> None:
    """The rows of one log's events."""
    if log == "ordering":
        await _fold_orders(tables, events)
    elif log == "payments":
        await _fold_payments(tables, events)
    elif log == "shipping":
        await _fold_shipments(tables, events)
    await tables.write(
        "INSERT INTO timeline SELECT * FROM json_populate_recordset(NULL::timeline, %s)",
        [_entry(log, one) for one in events],
    )


def _order_id(one: Recorded) -> UUID:
    return one.event.order_id  # type: ignore[attr-defined,no-any-return]  # every event folded here has it


async def _before(tables: Tables, events: Sequence[Recorded], sql: LiteralString) -> dict[int, tuple[Any, ...]]:
    """What earlier batches left of the streams that do not begin in this one, by the order's id as a number.

    (Numbers, because hashing a UUID runs Python code, and this is done several times for every event.)
    """
    known = {_order_id(one).int: _order_id(one) for one in events}
    for one in events:
        if one.version == 1:
            known.pop(_order_id(one).int, None)
    return {order_id.int: tuple(rest) for order_id, *rest in await tables.fetch(sql, list(known.values()))}


async def _fold_orders(tables: Tables, events: Sequence[Recorded]) -> None:
    before = await _before(
        tables,
        events,
        "SELECT order_id, state::text, reason, reason_internal FROM orders WHERE order_id = ANY(%s)",
    )
    lines = await _lines_before(tables, events)
    rows: dict[int, _Order] = {}
    states: dict[int, o.OrderState] = {}
    created: dict[int, _Contents] = {}
    shrunk: dict[int, _Contents] = {}
    moved: dict[int, _Contents] = {}
    notes: list[_Note] = []
    for one in events:
        event: Any = one.event
        key = event.order_id.int
        if type(event) is o.OrderCreated:
            # The state is stored without what stands in `contents` already; evolve does not look at it.
            states[key] = replace(o.evolve(None, event), lines=(), email=None, ship_to=None)
            created[key] = _Contents(
                event.order_id, event.lines, event.email, event.ship_to, event.agreement, event.note, event.email_mark,
                event.bill_to,
            )  # fmt: skip
            rows[key] = _new_order(one, event)
            lines[key] = event.lines
            continue
        row = rows.get(key)
        if row is None:
            state, reason, internal = before[key]
            states[key] = _ORDER_STATE.decode(state)
            row = rows[key] = _Order(event.order_id, reason, internal)
        states[key] = o.evolve(states[key], event)
        row.changed_at, row.version = one.at, one.version
        if isinstance(event, o.OrderAddressChanged | o.OrderAddressChangeRefused):
            states[key] = replace(states[key], ship_to=None)
            moved[key] = _Contents(event.order_id, ship_to=event.ship_to)
        elif isinstance(event, OrderLinesCancelled):
            lines[key] = o.without(lines[key], event.lines)
            shrunk[key] = _shrink(row, states[key], lines[key])
        elif isinstance(event, o.OrderNoteAdded):
            notes.append(_Note(event.order_id, one.position, one.at, one.meta.actor, event.note))
        elif isinstance(event, o.OrderCancellationRequested):
            row.reason, row.reason_internal = event.reason, one.meta.actor.startswith(("staff:", "key:"))
        elif isinstance(event, o.OrderFailed):
            row.reason, row.reason_internal = event.reason, False
        elif isinstance(event, o.OrderCancelled):
            row.reason = event.reason
        elif isinstance(event, o.OrderCancellationRefused):
            row.reason, row.reason_internal = None, False
        elif isinstance(event, o.OrderClaimed):
            row.customer_id = event.customer_id
    for key, row in rows.items():
        state = states[key]
        row.status = state.status
        row.held = state.held is not None
        row.return_open = bool(state.returns) and any(one.is_open for one in state.returns.values())
        row.state = canonical(state)
    await tables.write(
        "INSERT INTO orders SELECT * FROM json_populate_recordset(NULL::orders, %s)", [rows[key] for key in created]
    )
    await tables.write(
        "INSERT INTO contents SELECT * FROM json_populate_recordset(NULL::contents, %s)", list(created.values())
    )
    await tables.write(
        "UPDATE orders t SET status = x.status, reason = x.reason, reason_internal = x.reason_internal,"
        " changed_at = x.changed_at, version = x.version,"
        " held = x.held, return_open = x.return_open, state = x.state,"
        " goods = coalesce(x.goods, t.goods), total = coalesce(x.total, t.total), tax = coalesce(x.tax, t.tax),"
        " discount = coalesce(x.discount, t.discount), units = coalesce(x.units, t.units),"
        " customer_id = coalesce(x.customer_id, t.customer_id)"
        " FROM json_populate_recordset(NULL::orders, %s) x WHERE t.order_id = x.order_id",
        [row for key, row in rows.items() if key not in created],
    )
    await tables.write(
        "UPDATE contents t SET ship_to = x.ship_to FROM json_populate_recordset(NULL::contents, %s) x"
        " WHERE t.order_id = x.order_id",
        list(moved.values()),
    )
    await tables.write(
        "UPDATE contents t SET lines = x.lines, agreement = x.agreement"
        " FROM json_populate_recordset(NULL::contents, %s) x WHERE t.order_id = x.order_id",
        list(shrunk.values()),
    )
    await tables.write("INSERT INTO notes SELECT * FROM json_populate_recordset(NULL::notes, %s)", notes)


async def _lines_before(tables: Tables, events: Sequence[Recorded]) -> dict[int, tuple[o.OrderLine, ...]]:
    """The lines of the orders that become less in this batch, as earlier batches left them."""
    less = {one.event.order_id for one in events if isinstance(one.event, OrderLinesCancelled)}
    if not less:
        return {}
    found = await tables.fetch("SELECT order_id, lines::text FROM contents WHERE order_id = ANY(%s)", list(less))
    return {order_id.int: _LINES.decode(lines) for order_id, lines in found}


def _shrink(row: _Order, state: o.OrderState, lines: tuple[o.OrderLine, ...]) -> _Contents:
    """Sets what the order comes to now; its contents."""
    agreed = state.agreement
    row.goods = sum(line.total.amount for line in lines)
    row.total = state.total.amount
    row.discount = 0 if agreed is None else agreed.discount.amount + agreed.shipping_discount.amount
    row.tax = 0 if agreed is None else agreed.tax.amount
    row.units = sum(line.quantity for line in lines)
    return _Contents(row.order_id, lines=lines, agreement=agreed)


def _new_order(one: Recorded, event: o.OrderCreated) -> _Order:
    agreed = event.agreement
    return _Order(
        order_id=event.order_id,
        reason=None,
        changed_at=one.at,
        version=one.version,
        number=event.number,
        customer_id=event.customer_id,
        subject=event.subject,
        cart_id=event.cart_id,
        placed_at=event.placed_at,
        currency=event.total.currency,
        goods=event.goods.amount,
        shipping=event.shipping.amount,
        total=event.total.amount,
        discount=0 if agreed is None else agreed.discount.amount + agreed.shipping_discount.amount,
        tax=0 if agreed is None else agreed.tax.amount,
        units=sum(line.quantity for line in event.lines),
        country=event.country,
        channel=event.channel,
        payment_method=event.payment_method,
    )


async def _fold_payments(tables: Tables, events: Sequence[Recorded]) -> None:
    before = await _before(tables, events, "SELECT order_id, state::text FROM payments WHERE order_id = ANY(%s)")
    states: dict[int, p.PaymentState | None] = {key: _PAYMENT_STATE.decode(state) for key, (state,) in before.items()}
    last: dict[int, Recorded] = {}
    refunds: dict[tuple[int, int], _Refund] = {}
    for one in events:
        event: Any = one.event
        key = event.order_id.int
        state = states[key] = p.evolve(states.get(key), event)
        last[key] = one
        if isinstance(event, p.RefundRequested | p.PaymentRefunded | p.RefundFailed):
            refund = state.refunds[event.refund_id]
            refunds[key, event.refund_id.int] = _Refund(
                event.order_id,
                event.refund_id,
                refund.status,
                event.amount.currency,
                refund.amount,
                refund.reason,
                one.at,
            )
    await tables.write(
        "INSERT INTO payments SELECT * FROM json_populate_recordset(NULL::payments, %s)"
        " ON CONFLICT (order_id) DO UPDATE SET changed_at = excluded.changed_at, version = excluded.version,"
        " state = excluded.state",
        [_Payment(_order_id(one), one.at, one.version, states[key]) for key, one in last.items()],
    )
    await tables.write(
        "INSERT INTO refunds SELECT * FROM json_populate_recordset(NULL::refunds, %s)"
        " ON CONFLICT (order_id, refund_id) DO UPDATE SET status = excluded.status, currency = excluded.currency,"
        " amount = excluded.amount, reason = excluded.reason, at = excluded.at",
        list(refunds.values()),
    )


_STEPS: Final[dict[type[Event], str]] = {
    s.ParcelRefused: "refused",
    s.ParcelLabelled: "labelled",
    s.ParcelPacked: "packed",
    s.OrderShipped: "shipped",
    s.ParcelDelivered: "delivered",
    s.ParcelLost: "lost",
    s.ParcelReturned: "returned",
    s.ParcelGivenUp: "given_up",
}


async def _fold_shipments(tables: Tables, events: Sequence[Recorded]) -> None:
    before = await _before(
        tables,
        events,
        "SELECT order_id, state::text, times FROM shipments WHERE order_id = ANY(%s)",
    )
    states: dict[int, s.ShipmentState | None] = {
        key: _SHIPMENT_STATE.decode(state) for key, (state, _) in before.items()
    }
    times: dict[int, dict[str, Any]] = {key: known for key, (_, known) in before.items()}
    last: dict[int, Recorded] = {}
    for one in events:
        event: Any = one.event
        key = event.order_id.int
        states[key] = s.evolve(states.get(key), event)
        last[key] = one
        step = _STEPS.get(type(event))
        if step is not None:
            times.setdefault(key, {})[f"{event.parcel}.{step}"] = one.at
    await tables.write(
        "INSERT INTO shipments SELECT * FROM json_populate_recordset(NULL::shipments, %s)"
        " ON CONFLICT (order_id) DO UPDATE SET changed_at = excluded.changed_at, version = excluded.version,"
        " state = excluded.state, times = excluded.times",
        [_Shipment(_order_id(one), one.at, one.version, states[key], times.get(key, {})) for key, one in last.items()],
    )


_LINES: Final = msgspec.json.Decoder(tuple[o.OrderLine, ...])
_ORDER_STATE: Final = msgspec.json.Decoder(o.OrderState)
_PAYMENT_STATE: Final = msgspec.json.Decoder(p.PaymentState)
_SHIPMENT_STATE: Final = msgspec.json.Decoder(s.ShipmentState)

# --- timeline --------------------------------------------------------------------------------------


def _why(event: Any) -> dict[str, Any]:
    """The reason, and people's own words, sealed as they are."""
    return {"reason": event.reason} | ({} if event.words is None else {"words": event.words})


_FACTS: Final[dict[type[Event], Callable[[Any], dict[str, Any]]]] = {
    o.OrderCreated: lambda e: {"total": e.total, "lines": len(e.lines)},
    o.OrderPaid: lambda e: {"amount": e.amount},
    o.OrderBackordered: lambda e: {"waiting": e.waiting, "expected": max(one.expected for one in e.waiting)},
    o.OrderStockShort: lambda e: {"short": e.short},
    o.OrderDispatched: lambda e: {"parcel": e.parcel, "of": e.of, "tracking_number": e.tracking_number},
    o.OrderFailed: lambda e: {"reason": e.reason, "detail": e.detail},
    o.OrderCancellationRequested: _why,
    o.OrderCancelled: lambda e: {"reason": e.reason},
    o.OrderCancellationRefused: lambda e: {"reason": e.reason},
    o.OrderReturned: lambda e: {"amount": e.amount, "lines": e.lines, **_why(e)},
    o.GoodwillGranted: lambda e: {"amount": e.amount, "reason": e.reason},
    o.OrderRefunded: lambda e: {"amount": e.amount, "refund_id": e.refund_id, "untaken": e.untaken},
    LinesCancellationRequested: lambda e: {"lines": e.lines, **_why(e)},
    OrderLinesCancelled: lambda e: {
        "amount": e.amount,
        "units": sum(line.quantity for line in e.lines),
        "lines": e.lines,
    },
    LinesCancellationRefused: lambda e: {"reason": e.reason},
    o.OrderHeld: _why,
    o.OrderAddressChanged: lambda e: {"revision": e.revision},
    o.OrderAddressChangeRefused: lambda e: {"revision": e.revision, "former": e.former},
    o.OrderNoteAdded: lambda e: {"note_id": e.note_id},
    o.OrderMessageRequested: lambda e: {"message": e.message},
    ReturnRequested: lambda e: {"return_id": e.return_id, "lines": e.lines},
    ReturnApproved: lambda e: {"return_id": e.return_id, "note": e.note},
    ReturnRefused: lambda e: {"return_id": e.return_id, **_why(e)},
    ReturnReceived: lambda e: {"return_id": e.return_id, "lines": e.lines},
    InvoiceIssued: lambda e: {"number": e.number, "amount": e.amount},
    CreditNoteIssued: lambda e: {"number": e.number, "amount": e.amount, "refund_id": e.refund_id},
    p.PaymentRequested: lambda e: {"amount": e.amount, "method": e.method},
    p.PaymentProcessed: lambda e: {"amount": e.amount, "captured": e.captured},
    p.PaymentFailed: lambda e: {"code": e.code},
    p.PaymentCancelled: lambda e: {"reason": e.reason},
    p.PaymentActionRequired: lambda e: {"kind": e.kind, "until": e.until},
    p.LatePaymentReceived: lambda e: {"amount": e.amount, "captured": e.captured},
    p.VoidRequested: lambda e: {"reason": e.reason},
    p.DisputeOpened: lambda e: {"amount": e.amount, "reason": e.reason},
    p.DisputeClosed: lambda e: {"amount": e.amount, "won": e.won},
    p.PaymentCaptured: lambda e: {"amount": e.amount},
    p.CaptureReduced: lambda e: {"amount": e.amount, "refund_id": e.refund_id},
    p.RefundRequested: lambda e: {"amount": e.amount, "refund_id": e.refund_id, "reason": e.reason},
    p.PaymentRefunded: lambda e: {"amount": e.amount, "refund_id": e.refund_id, "reason": e.reason},
    p.RefundFailed: lambda e: {"amount": e.amount, "refund_id": e.refund_id, "code": e.code},
    r.StockReserved: lambda e: {"units": sum(a.quantity for a in e.allocations)},
    r.StockBackordered: lambda e: {"units": sum(a.quantity for a in e.allocations), "waiting": e.waiting},
    r.UnitsSetAside: lambda e: {"units": sum(a.quantity for a in e.allocations)},
    r.StockReservationFailed: lambda e: {"short": e.short},
    r.ReservationCancelled: lambda e: {"reason": e.reason},
    r.StockReleased: lambda e: {"units": sum(a.quantity for a in e.allocations), "reason": e.reason},
    r.ReservationShipped: lambda e: {"parcel": e.parcel},
    r.ParcelReleased: lambda e: {"parcel": e.parcel, "units": sum(a.quantity for a in e.allocations)},
    r.ReservationReduced: lambda e: {"units": sum(a.quantity for a in e.allocations)},
    r.ReservationReturned: lambda e: {"units": sum(a.quantity for a in e.allocations)},
    s.ShipmentPrepared: lambda e: {"parcels": len(e.parcels)},
    s.ParcelLabelled: lambda e: {"parcel": e.parcel, "carrier": e.carrier, "tracking_number": e.tracking_number},
    s.ParcelLabelVoided: lambda e: {"parcel": e.parcel},
    s.ParcelRefused: lambda e: {"parcel": e.parcel, "reason": e.reason},
    s.ParcelGivenUp: lambda e: {"parcel": e.parcel, "reason": e.reason},
    s.ParcelPacked: lambda e: {"parcel": e.parcel},
    s.OrderShipped: lambda e: {"parcel": e.parcel, "of": e.of, "tracking_number": e.tracking_number},
    s.ParcelDelivered: lambda e: {"parcel": e.parcel},
    s.ParcelLost: lambda e: {"parcel": e.parcel},
    s.ParcelReturned: lambda e: {"parcel": e.parcel},
    s.ShipmentReduced: lambda e: {"units": sum(a.quantity for a in e.items)},
    s.ShipmentReductionRefused: lambda e: {"reason": e.reason},
    s.ShipmentHeld: lambda e: {"reason": e.reason},
    s.ShipmentCancelled: lambda e: {"reason": e.reason},
    s.ShipmentCancellationRefused: lambda e: {"reason": e.reason},
}
"""What a timeline entry tells beside its name; nothing personal."""

_COURSE: Final = {
    event.__name__: place
    for place, event in enumerate((
        o.OrderCreated, p.PaymentRequested, p.PaymentActionRequired, p.PaymentProcessed, p.PaymentFailed, o.OrderPaid,
        r.StockBackordered, o.OrderBackordered, r.UnitsSetAside,
        r.StockReserved, p.CaptureRequested, r.StockReservationFailed, o.OrderConfirmed, o.OrderStockShort,
        s.ShipmentPrepared,
        o.OrderHeld, s.ShipmentHeld, o.OrderReleased, s.ShipmentReleased, o.OrderAddressChanged,
        s.ShipmentReaddressed, s.ShipmentReaddressRefused, o.OrderAddressChangeRefused, o.OrderNoteAdded,
        o.OrderCancellationRequested, s.ShipmentCancelled, s.ShipmentCancellationRefused, o.OrderCancelled,
        o.OrderCancellationRefused, LinesCancellationRequested, s.ShipmentReductionAwaited, s.ShipmentReduced,
        s.ShipmentReductionRefused, r.ReservationReduced, OrderLinesCancelled, LinesCancellationRefused,
        p.CaptureReduced, s.ParcelLabelled, s.ParcelLabelVoided, s.ParcelRefused,
        s.ParcelPacked, p.PaymentCaptured,
        s.OrderShipped, r.ReservationShipped, o.OrderDispatched, s.ParcelDelivered, s.ParcelLost, s.ParcelReturned,
        s.ParcelGivenUp, r.ParcelReleased, s.OrderFulfilled,
        o.OrderCompleted, ReturnRequested, ReturnApproved, ReturnRefused, ReturnReceived,
        o.OrderReturned, o.GoodwillGranted, r.ReservationReturned, r.ReservationCancelled,
        r.StockReleased, p.PaymentCancelled, p.LatePaymentReceived, p.VoidRequested, p.PaymentVoided,
        p.RefundRequested, p.RefundFailed, p.PaymentRefunded, p.DisputeOpened, p.DisputeClosed,
        o.OrderRefunded, o.OrderFailed, InvoiceIssued, CreditNoteIssued, o.OrderMessageRequested,
    ))
}  # fmt: skip
"""The usual course, which decides between entries of one moment (an import's events share their row's time)."""


def _entry(log: str, one: Recorded) -> _Entry:
    event: Any = one.event
    kind = type(event)
    facts = _FACTS.get(kind)
    return _Entry(
        event.order_id,
        log,
        one.position,
        one.at,
        kind.__name__,
        one.meta.actor,
        {} if facts is None else facts(event),
    )


ORDER_HISTORY: Final = ReadModel(
    name="order_history", version=6, logs=LOGS, ddl=DDL, indexes=INDEXES, key=_order_id, pace=0.02, fold=fold
)

# --- queries ---------------------------------------------------------------------------------------


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order in a list. Amounts are minor units of `currency`; `units` counts all lines' units.

    `discount` is that of goods and shipping together; `tax` that of everything. `reason_internal`: the reason is
    staff's own words, not for the customer.
    """

    order_id: UUID
    number: str
    customer_id: UUID | None
    status: str
    reason: str | None
    reason_internal: bool
    placed_at: datetime
    changed_at: datetime
    currency: str
    goods: int
    shipping: int
    total: int
    discount: int
    tax: int
    units: int
    country: str
    channel: str
    held: bool
    return_open: bool


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back (`requested`), gone back (`done`) or refused by the provider (`failed`)."""

    refund_id: UUID
    status: str
    amount: int
    currency: str
    reason: str
    at: datetime


class NoteRow(msgspec.Struct, frozen=True, kw_only=True):
    """What staff wrote down; sealed for the order's subject."""

    at: datetime
    actor: str
    note: Sealed


class DisputeView(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute: open, won or lost. The amount is in minor units of the order's currency."""

    dispute_id: str
    status: str
    amount: int
    reason: str


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """The payment of an order. Amounts are minor units of the order's currency.

    Attributes:
        status: requested, requires_action (until `action_until`), processed, failed or cancelled.
        received: what came in and was not let go.
        refunded: what went back; `refunding` is on its way, `refund_failed` needs staff.
    """

    status: str
    method: str
    amount: int
    received: int
    captured: bool
    voided: bool
    refunded: int
    refunding: int
    refund_failed: int
    code: str | None
    action_until: datetime | None = None
    disputes: tuple[DisputeView, ...] = ()


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A payment in a list."""

    order_id: UUID
    number: str
    currency: str
    placed_at: datetime
    changed_at: datetime
    payment: PaymentView


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """Money that was secured, or taken."""

    at: datetime
    amount: Money
    captured: bool


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes back; its status since `at`."""

    refund_id: UUID
    status: str
    amount: Money
    reason: str
    at: datetime


class Movements(msgspec.Struct, frozen=True, kw_only=True):
    """The money of one payment, by time."""

    captures: list[Capture]
    refunds: list[RefundRow]


class ParcelView(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel and when it reached each step."""

    parcel: int
    of: int
    warehouse: str
    items: tuple[r.Allocation, ...]
    carrier: str
    tracking_number: str
    tracking_url: str
    label_url: str
    refused: str | None
    labelled_at: datetime | None
    packed_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    lost_at: datetime | None
    returned_at: datetime | None
    given_up_at: datetime | None = None


class OrderDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One order with all there is to it.

    Attributes:
        lines: as they are now; one of which everything was cancelled has quantity 0.
        returned: units that came back, by line number.
        cancellations: what was cancelled of it, or was to be.
        agreement: None where nothing was agreed beside goods and shipping.
        held: why staff hold it.
        waits_for: the units that have to come before it is sent.
        subject, email, ship_to, bill_to, note: sealed for `subject`, with the order's id as stream and the
            attribute's name as field.
        reason_words, held_words: why it is cancelled, or held, in people's own words, sealed as field `words`.
        shipment: the shipment's status, None before there is one.
        tag: changes with every event that changed something here.
    """

    order: OrderRow
    cart_id: UUID | None
    payment_method: str
    lines: tuple[o.OrderLine, ...]
    returned: dict[int, int]
    held: str | None
    waits_for: tuple[o.Backordered, ...]
    returns: dict[UUID, ReturnState]
    cancellations: dict[UUID, Cancellation]
    documents: tuple[Document, ...]
    refunds: list[RefundView]
    subject: UUID
    email: Sealed | None
    ship_to: Sealed | None
    bill_to: Sealed | None
    agreement: o.Agreement | None
    note: Sealed | None
    reason_words: Sealed | None
    held_words: Sealed | None
    payment: PaymentView | None
    shipment: str | None
    parcels: tuple[ParcelView, ...]
    tag: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an order's timeline; `facts` are JSON."""

    at: datetime
    name: str
    log: str
    position: int
    actor: str
    facts: dict[str, Any]


class OrderTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Orders placed in a month (UTC, `2011-01`) with a status. Amounts are minor units."""

    month: str
    currency: str
    channel: str
    status: str
    orders: int
    goods: int
    shipping: int
    total: int


class RefundTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Refunds that were paid in a month (UTC) for a reason. The amount is in minor units."""

    month: str
    currency: str
    reason: str
    refunds: int
    amount: int


_ROW: Final = (
    "order_id, number, customer_id, status, reason, reason_internal, placed_at, changed_at, currency, goods,"
    " shipping, total, discount, tax, units, country, channel, held, return_open"
)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What orders are looked for by; what is None does not matter.

    Attributes:
        placed_from, placed_to: the first moment, and the first one that is too late.
        email_mark: the keyed fingerprint of the e-mail address.
        address_refused: a carrier does not deliver there and staff must act.
    """

    status: str | None = None
    number: str | None = None
    customer_id: UUID | None = None
    placed_from: datetime | None = None
    placed_to: datetime | None = None
    email_mark: str | None = None
    sku: str | None = None
    held: bool | None = None
    return_open: bool | None = None
    address_refused: bool = False


_REFUSED: Final = (
    "status IN ('confirmed', 'partly_shipped') AND EXISTS (SELECT FROM rm_order_history.shipments x"
    " WHERE x.order_id = o.order_id AND x.state @? '$.parcels.*.refused ? (@ != null)')"
)


async def search_orders(
    connection: Connection, search: Search, *, limit: int = 50, cursor: str | None = None
) -> Page[OrderRow]:
    """The orders that are looked for, newest first. Raises BadCursor."""
    values: dict[str, Any] = {"limit": limit + 1}
    where = ["true"]
    for condition, name, value in (
        ("status = %(status)s", "status", search.status),
        ("number = %(number)s", "number", search.number),
        ("customer_id = %(customer_id)s", "customer_id", search.customer_id),
        ("placed_at >= %(placed_from)s", "placed_from", search.placed_from),
        ("placed_at < %(placed_to)s", "placed_to", search.placed_to),
        (
            "order_id IN (SELECT c.order_id FROM rm_order_history.contents c WHERE c.email_mark = %(email_mark)s)",
            "email_mark",
            search.email_mark,
        ),
        (
            "order_id IN (SELECT c.order_id FROM rm_order_history.contents c"
            " WHERE jsonb_path_query_array(c.lines, '$[*].sku') @> to_jsonb(ARRAY[%(sku)s::text]))",
            "sku",
            search.sku,
        ),
    ):
        if value is not None:
            where.append(condition)
            values[name] = value
    for flag, wanted in (("held", search.held), ("return_open", search.return_open)):
        if wanted is not None:
            where.append(flag if wanted else f"NOT {flag}")
    if search.address_refused:
        where.append(_REFUSED)
    if cursor is not None:
        where.append("(placed_at, order_id) < (%(before)s, %(before_id)s)")
        values["before"], values["before_id"] = decode_cursor(cursor, tuple[datetime, UUID])
    async with connection.cursor(row_factory=class_row(OrderRow)) as found:
        await found.execute(
            f"SELECT {_ROW} FROM rm_order_history.orders o WHERE {' AND '.join(where)}"
            " ORDER BY placed_at DESC, order_id DESC LIMIT %(limit)s",
            values,
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.placed_at, row.order_id))


async def addresses(connection: Connection, orders: Sequence[UUID]) -> dict[UUID, Sealed]:
    """The sealed e-mail addresses of these orders, of those that have one."""
    found = await connection.execute(
        "SELECT order_id, email::text FROM rm_order_history.contents WHERE order_id = ANY(%s) AND email IS NOT NULL",
        [list(orders)],
    )
    return {order_id: msgspec.json.decode(email, type=Sealed) for order_id, email in await found.fetchall()}


async def orders_of_customer(
    connection: Connection, customer_id: UUID, *, status: str | None = None, limit: int = 20, cursor: str | None = None
) -> Page[OrderRow]:
    """A customer's orders, newest first. Raises BadCursor."""
    return await search_orders(connection, Search(customer_id=customer_id, status=status), limit=limit, cursor=cursor)


async def orders_with(connection: Connection, customer_id: UUID, skus: Sequence[str], limit: int = 20) -> list[UUID]:
    """A customer's orders that hold one of the SKUs: the fulfilled ones first, then the newest."""
    found = await connection.execute(
        "SELECT o.order_id FROM rm_order_history.orders o JOIN rm_order_history.contents c USING (order_id)"
        " WHERE o.customer_id = %s AND EXISTS ("
        "SELECT FROM jsonb_array_elements(c.lines) x WHERE x ->> 'sku' = ANY(%s)"
        " AND (x ->> 'quantity')::bigint > 0)"
        " ORDER BY o.status = 'fulfilled' DESC, o.placed_at DESC, o.order_id LIMIT %s",
        [customer_id, list(skus), limit],
    )
    return [order_id for (order_id,) in await found.fetchall()]


async def arrived(
    connection: Connection, customer_id: UUID, number: str | None = None, limit: int = 50
) -> list[tuple[str, str]]:
    """Number and SKU of every line of a customer's last fulfilled orders, or of the one of this number."""
    found = await connection.execute(
        "SELECT o.number, x ->> 'sku' FROM ("
        "SELECT order_id, number, placed_at FROM rm_order_history.orders WHERE customer_id = %(customer)s"
        " AND status = 'fulfilled' AND (%(number)s::text IS NULL OR number = %(number)s)"
        " ORDER BY placed_at DESC, order_id DESC LIMIT %(limit)s) o"
        " JOIN rm_order_history.contents c USING (order_id), jsonb_array_elements(c.lines) x"
        " WHERE (x ->> 'quantity')::bigint > 0 ORDER BY o.placed_at DESC, o.order_id, (x ->> 'line')::bigint",
        {"customer": customer_id, "number": number, "limit": limit},
    )
    return [(order, sku) for order, sku in await found.fetchall()]


async def orders_for_admin(
    connection: Connection,
    *,
    status: str | None = None,
    number: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[OrderRow]:
    """All orders, newest first; with `number` only that one. Raises BadCursor."""
    return await search_orders(connection, Search(status=status, number=number), limit=limit, cursor=cursor)


async def queues(connection: Connection) -> dict[str, int]:
    """How many orders wait in each queue: by status those that are not closed, and what staff must look at."""
    found = await connection.execute(
        # The open ones are named: they are found by index, whatever number of orders has come to its end.
        "SELECT status, count(*) FROM rm_order_history.orders WHERE status = ANY(%(open)s) GROUP BY status"
        " UNION ALL SELECT 'held', count(*) FROM rm_order_history.orders WHERE held"
        " UNION ALL SELECT 'return_open', count(*) FROM rm_order_history.orders WHERE return_open"
        f" UNION ALL SELECT 'address_refused', count(*) FROM rm_order_history.orders o WHERE {_REFUSED}",
        {"open": [status for status in o.TRANSITIONS if status not in o.TERMINAL]},
    )
    return {str(name): int(count) for name, count in await found.fetchall()}


async def notes(connection: Connection, order_id: UUID) -> list[NoteRow]:
    """What staff wrote down of an order, oldest first."""
    found = await connection.execute(
        "SELECT at, actor, note::text FROM rm_order_history.notes WHERE order_id = %s ORDER BY position", [order_id]
    )
    return [
        NoteRow(at=at, actor=actor, note=msgspec.json.decode(note, type=Sealed))
        for at, actor, note in await found.fetchall()
    ]


async def payments(
    connection: Connection,
    *,
    customer_id: UUID | None = None,
    status: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> Page[PaymentRow]:
    """Payments (all, or those of a customer's orders), newest order first. Raises BadCursor.

    Args:
        status: as in PaymentView.
    """
    where = "true" if customer_id is None else "o.customer_id = %(customer_id)s"
    values: dict[str, Any] = {"customer_id": customer_id, "limit": limit + 1}
    if status is not None:
        values["status"] = p.REQUESTED if status == "requires_action" else status
        where += " AND p.state ->> 'status' = %(status)s"
        if values["status"] == p.REQUESTED:
            acting = "" if status == "requires_action" else "NOT "
            where += f" AND {acting}coalesce(p.state ->> 'action', '') <> ''"
    if cursor is not None:
        where += " AND (o.placed_at, o.order_id) < (%(placed_at)s, %(order_id)s)"
        values["placed_at"], values["order_id"] = decode_cursor(cursor, tuple[datetime, UUID])
    found = await connection.execute(
        "SELECT o.order_id, o.number, o.currency, o.placed_at, p.changed_at, p.state::text"
        " FROM rm_order_history.orders o JOIN rm_order_history.payments p USING (order_id)"
        f" WHERE {where} ORDER BY o.placed_at DESC, o.order_id DESC LIMIT %(limit)s",
        values,
    )
    rows = [
        PaymentRow(
            order_id=order_id,
            number=number,
            currency=currency,
            placed_at=placed_at,
            changed_at=changed_at,
            payment=_payment(_PAYMENT_STATE.decode(state)),
        )
        for order_id, number, currency, placed_at, changed_at, state in await found.fetchall()
    ]
    return page_of(rows, limit, lambda row: (row.placed_at, row.order_id))


async def movements(connection: Connection, order_id: UUID) -> Movements:
    """What was secured, taken and given back of an order's payment."""
    found = await connection.execute(
        "SELECT at, name, facts FROM rm_order_history.timeline WHERE order_id = %s AND log = 'payments'"
        " AND name = ANY(%s) ORDER BY position",
        [order_id, [p.PaymentProcessed.__name__, p.PaymentCaptured.__name__, p.LatePaymentReceived.__name__]],
    )
    captures = [
        Capture(
            at=at,
            amount=Money(facts["amount"]["amount"], facts["amount"]["currency"]),
            captured=name == p.PaymentCaptured.__name__ or facts["captured"],
        )
        for at, name, facts in await found.fetchall()
    ]
    found = await connection.execute(
        "SELECT refund_id, status, amount, currency, reason, at FROM rm_order_history.refunds WHERE order_id = %s"
        " ORDER BY at, refund_id",
        [order_id],
    )
    refunds = [
        RefundRow(refund_id=refund_id, status=status, amount=Money(amount, currency), reason=reason, at=at)
        for refund_id, status, amount, currency, reason, at in await found.fetchall()
    ]
    return Movements(captures=captures, refunds=refunds)


async def order_by_id(connection: Connection, order_id: UUID) -> OrderDetail | None:
    """One order with all there is to it."""
    return await _detail(connection, "o.order_id = %s", order_id)


async def order_by_number(connection: Connection, number: str) -> OrderDetail | None:
    """One order with all there is to it."""
    return await _detail(connection, "o.number = %s", number)


async def _detail(connection: Connection, where: str, value: object) -> OrderDetail | None:
    columns = ", ".join(f"o.{name}" for name in _ROW.split(", "))
    found = await connection.execute(
        f"SELECT {columns}, o.cart_id, o.payment_method, o.subject, o.version, o.state::text,"
        " c.lines::text, c.email::text, c.ship_to::text, c.bill_to::text,"
        " c.agreement::text, c.note::text, p.version, p.state::text, s.version, s.state::text, s.times,"
        " CASE WHEN p.state -> 'refunds' <> '{}' THEN (SELECT json_agg(json_build_object('refund_id', r.refund_id,"
        " 'status', r.status, 'amount', r.amount, 'currency', r.currency, 'reason', r.reason, 'at', r.at)"
        " ORDER BY r.at, r.refund_id)::text FROM rm_order_history.refunds r WHERE r.order_id = o.order_id) END"
        " FROM rm_order_history.orders o JOIN rm_order_history.contents c USING (order_id)"
        " LEFT JOIN rm_order_history.payments p USING (order_id)"
        f" LEFT JOIN rm_order_history.shipments s USING (order_id) WHERE {where}",
        [value],
    )
    row = await found.fetchone()
    if row is None:
        return None
    names = _ROW.split(", ")
    (
        cart_id, payment_method, subject, version, text,
        lines, email, ship_to, bill_to, agreement, note, paid, payment, shipped, shipment, times, refunds,
    ) = row[len(names) :]  # fmt: skip
    state = None if shipment is None else msgspec.json.decode(shipment, type=s.ShipmentState)
    order = _ORDER_STATE.decode(text)
    return OrderDetail(
        order=OrderRow(**dict(zip(names, row, strict=False))),
        cart_id=cart_id,
        payment_method=payment_method,
        lines=_LINES.decode(lines),
        returned=order.returned,
        held=order.held,
        waits_for=order.backordered if order.status == o.BACKORDERED else (),
        returns=order.returns,
        cancellations=order.cancellations,
        documents=order.documents,
        refunds=[] if refunds is None else _REFUNDS.decode(refunds),
        subject=subject,
        email=_sealed(email),
        ship_to=_sealed(ship_to),
        bill_to=_sealed(bill_to),
        agreement=None if agreement is None else msgspec.json.decode(agreement, type=o.Agreement),
        note=_sealed(note),
        reason_words=order.cancel_words,
        held_words=order.held_words,
        payment=None if payment is None else _payment(msgspec.json.decode(payment, type=p.PaymentState)),
        shipment=None if state is None else state.status,
        parcels=() if state is None else tuple(_parcels(state, times)),
        tag=f"{version}.{paid or 0}.{shipped or 0}",
    )


_REFUNDS: Final = msgspec.json.Decoder(list[RefundView])


def _sealed(text: str | None) -> Sealed | None:
    return None if text is None else msgspec.json.decode(text, type=Sealed)


def _payment(state: p.PaymentState) -> PaymentView:
    def amount(status: str) -> int:
        return sum(refund.amount for refund in state.refunds.values() if refund.status == status)

    waits = state.status == p.REQUESTED and state.action is not None
    return PaymentView(
        status="requires_action" if waits else state.status,
        method=state.method,
        amount=0 if state.amount is None else state.amount.amount,
        received=state.received,
        captured=state.captured,
        voided=state.voided,
        refunded=amount("done"),
        refunding=amount("requested"),
        refund_failed=amount("failed"),
        code=state.code,
        action_until=state.action_until if waits else None,
        disputes=tuple(
            DisputeView(dispute_id=name, status=one.status, amount=one.amount, reason=one.reason)
            for name, one in state.disputes.items()
        ),
    )


def _parcels(state: s.ShipmentState, times: dict[str, str]) -> Iterable[ParcelView]:
    for number, one in sorted(state.parcels.items()):
        if not one.parcel.items:
            continue

        def at(step: str, number: int = number) -> datetime | None:
            text = times.get(f"{number}.{step}")
            return None if text is None else datetime.fromisoformat(text)

        yield ParcelView(
            parcel=number,
            of=len(state.parcels),
            warehouse=one.parcel.warehouse,
            items=one.parcel.items,
            carrier=one.carrier,
            tracking_number=one.tracking_number,
            tracking_url=one.tracking_url,
            label_url=one.label_url,
            refused=one.refused,
            labelled_at=at("labelled"),
            packed_at=at("packed"),
            shipped_at=at("shipped"),
            delivered_at=at("delivered"),
            lost_at=at("lost"),
            returned_at=at("returned"),
            given_up_at=at("given_up"),
        )


async def timeline(connection: Connection, order_id: UUID) -> list[Entry]:
    """All that happened to an order, by time; of one moment, in the usual course."""
    async with connection.cursor(row_factory=class_row(Entry)) as found:
        await found.execute(
            "SELECT at, name, log, position, actor, facts FROM rm_order_history.timeline WHERE order_id = %s",
            [order_id],
        )
        entries = await found.fetchall()
    return sorted(entries, key=lambda one: (one.at, _COURSE.get(one.name, len(_COURSE)), one.log, one.position))


async def order_totals(connection: Connection, only: Sequence[UUID] | None = None) -> list[OrderTotals]:
    """Orders (all, or only these) by month, currency, channel and status."""
    async with connection.cursor(row_factory=class_row(OrderTotals)) as found:
        await found.execute(
            "SELECT to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, currency, channel, status,"
            " count(*) AS orders, sum(goods)::bigint AS goods, sum(shipping)::bigint AS shipping,"
            " sum(total)::bigint AS total"
            " FROM rm_order_history.orders WHERE %(only)s::uuid[] IS NULL OR order_id = ANY(%(only)s)"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            {"only": None if only is None else list(only)},
        )
        return await found.fetchall()


async def refund_totals(connection: Connection, only: Sequence[UUID] | None = None) -> list[RefundTotals]:
    """Refunds (all, or only these) that were paid, by month, currency and reason."""
    async with connection.cursor(row_factory=class_row(RefundTotals)) as found:
        await found.execute(
            "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, currency, reason, count(*) AS refunds,"
            " sum(amount)::bigint AS amount"
            " FROM rm_order_history.refunds"
            " WHERE status = 'done' AND (%(only)s::uuid[] IS NULL OR refund_id = ANY(%(only)s))"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            {"only": None if only is None else list(only)},
        )
        return await found.fetchall()
