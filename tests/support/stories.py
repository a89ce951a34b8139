"""Orders and products that lived: their events, by log, as the domain's decisions would have made them."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid5

from msgspec.structs import replace

from emporium.application.ports import EventLog, Meta, NewEvent, Recorded, Unit
from emporium.domain import (
    api_key,
    backorder,
    cancellations,
    cart,
    category,
    customer,
    helpful_vote,
    invitation,
    invoice,
    notification,
    order,
    payment,
    picture,
    product,
    reservation,
    review,
    search_rules,
    shipment,
    stock,
    stock_count,
    transfer,
    watch,
    webhook_delivery,
)
from emporium.domain import returns as order_returns
from emporium.domain.base import Event, Money, Sealed

SPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
START = datetime(2026, 1, 30, 12, 0, 0, 250_000, tzinfo=UTC)
END = START + timedelta(days=30)
EXPECTED = date(2026, 5, 4)
SKUS = tuple(f"SKU-{n:03}" for n in range(30))
WAREHOUSES = ("north", "south")

Happening = tuple[str, UUID, Event, datetime, str]
"""Log, stream, event, time, correlation."""


def pounds(amount: int) -> Money:
    return Money(amount, "GBP")


class Order:
    """One order's events; `ending` says which way it goes."""

    def __init__(self, number: int, ending: str, *, lines: int = 2, customer: UUID | None = None) -> None:
        self.id = uuid5(SPACE, f"order {number}")
        self.count = number + 1
        self.number = f"O-{number:06}"
        self.ending = ending
        self.customer = customer
        self.at = START + timedelta(minutes=number)
        self.payment = payment.payment_id_of(self.id)
        self.lines = tuple(
            order.OrderLine(
                line=n,
                sku=SKUS[(number + n) % len(SKUS)],
                title=f"A thing of “{n}” \\ ünïcode",
                quantity=n,
                unit_price=pounds(250),
                total=pounds(250 * n),
            )
            for n in range(1, lines + 1)
        )
        self.goods = sum(line.total.amount for line in self.lines)
        self.total = pounds(self.goods + 300)
        self.allocations = tuple(
            reservation.Allocation(line.sku, WAREHOUSES[line.line % 2], line.quantity) for line in self.lines
        )

    @property
    def kept(self) -> tuple[tuple[order.OrderLine, ...], Money]:
        """Its lines and its total as they are in the end: of a held order one unit is cancelled."""
        if self.ending != "held":
            return self.lines, self.total
        last = self.lines[-1]
        less = replace(last, quantity=last.quantity - 1, total=pounds(last.total.amount - 250))
        return (*self.lines[:-1], less), pounds(self.total.amount - 250)

    def happenings(self) -> Iterator[Happening]:
        for step, (log, stream, event) in enumerate(self._events()):
            yield log, stream, event, self.at + timedelta(milliseconds=700 * step), str(self.id)

    def _ordering(self, event: Event) -> tuple[str, UUID, Event]:
        return "ordering", self.id, event

    def _payments(self, event: Event) -> tuple[str, UUID, Event]:
        return "payments", self.payment, event

    def _inventory(self, event: Event) -> tuple[str, UUID, Event]:
        return "inventory", reservation.reservation_id_of(self.id), event

    def _shipping(self, event: Event) -> tuple[str, UUID, Event]:
        return "shipping", shipment.shipment_id_of(self.id), event

    def _token(self) -> Sealed | None:
        return None if self.customer is None else Sealed(self.customer, "OrderCreated", b"\x00token\xff")

    def _events(self) -> Iterator[tuple[str, UUID, Event]]:
        yield self._ordering(
            order.OrderCreated(
                order_id=self.id,
                number=self.number,
                customer_id=self.customer,
                subject=self.customer or self.id,
                lines=self.lines,
                goods=pounds(self.goods),
                shipping=pounds(300),
                total=self.total,
                country="GB",
                email=Sealed(self.customer or self.id, "OrderCreated", b"\x00sealed\xff"),
                email_mark=None if self.customer is None else f"mark-{self.customer}",
                payment_method="saved" if self.customer else "card",
                payment_token=self._token(),
                placed_at=self.at,
            )
        )
        yield from self._told()
        if self.ending == "forestalled":
            yield self._payments(
                payment.PaymentCancelled(payment_id=self.payment, order_id=self.id, reason="cancelled_by_customer")
            )
            yield self._shipping(shipment.ShipmentCancelled(order_id=self.id, reason="cancelled_by_customer"))
            yield self._inventory(reservation.ReservationCancelled(order_id=self.id, reason="cancelled_by_customer"))
            yield from self._stopped()
            return
        yield self._payments(
            payment.PaymentRequested(
                payment_id=self.payment,
                order_id=self.id,
                amount=self.total,
                method="card",
                key=self.number,
                token=self._token(),
            )
        )
        if self.ending == "pending":
            return
        if self.ending == "declined":
            yield self._payments(payment.PaymentFailed(payment_id=self.payment, order_id=self.id, code="card_declined"))
            yield self._ordering(order.OrderFailed(order_id=self.id, reason="payment_declined"))
            return
        yield self._payments(
            payment.PaymentProcessed(
                payment_id=self.payment,
                order_id=self.id,
                amount=self.total,
                reference=f"ch_{self.number}",
                captured=self.ending != "held",
            )
        )
        yield self._ordering(order.OrderPaid(order_id=self.id, amount=self.total))
        if self.ending in ("short", "refund_refused"):
            short = (order.Short(sku=self.lines[0].sku, wanted=1, available=0),)
            yield self._inventory(
                reservation.StockReservationFailed(order_id=self.id, payment_id=self.payment, short=short)
            )
            yield self._ordering(order.OrderStockShort(order_id=self.id, short=short))
            yield from self._refunded("order_failed", refused=self.ending == "refund_refused")
            if self.ending == "short":
                yield self._ordering(order.OrderFailed(order_id=self.id, reason="out_of_stock"))
            return
        if self.ending == "returned":
            yield from self._waited()
        yield self._inventory(
            reservation.StockReserved(order_id=self.id, payment_id=self.payment, allocations=self.allocations)
        )
        for one in self.allocations:
            yield (
                "inventory",
                stock.stock_id_of(one.sku, one.warehouse),
                stock.UnitsReserved(sku=one.sku, warehouse=one.warehouse, order_id=self.id, quantity=one.quantity),
            )
        yield self._ordering(order.OrderConfirmed(order_id=self.id))
        if self.ending == "held":
            yield from self._held()
        parcels = tuple(shipment.Parcel(n, one.warehouse, (one,)) for n, one in enumerate(self.allocations, 1))
        yield self._shipping(shipment.ShipmentPrepared(order_id=self.id, parcels=parcels))
        if self.ending == "held":
            yield from self._cancelled_in_part()
            return
        if self.ending == "cancelled":
            yield self._shipping(shipment.ShipmentCancelled(order_id=self.id, reason="changed_my_mind"))
            yield self._inventory(
                reservation.StockReleased(order_id=self.id, allocations=self.allocations, reason="changed_my_mind")
            )
            yield from self._stopped()
            yield from self._refunded("order_cancelled")
            return
        for parcel in parcels:
            if self.ending in ("address_refused", "given_up") and parcel.number == 1:
                yield self._shipping(shipment.ParcelRefused(order_id=self.id, parcel=1, reason="no_such_street"))
                continue
            yield from self._sent(parcel, len(parcels))
            if parcel.number == 1:
                yield from self._document(invoice.INVOICES)
        if self.ending == "address_refused":
            return
        if self.ending == "given_up":
            yield from self._given_up(parcels[0])
        for parcel in parcels:
            if parcel.number == 1 and self.ending == "given_up":
                continue
            yield self._shipping(shipment.ParcelDelivered(order_id=self.id, parcel=parcel.number))
        yield self._shipping(shipment.OrderFulfilled(order_id=self.id))
        yield self._ordering(order.OrderCompleted(order_id=self.id))
        back = uuid5(self.id, "return")
        if self.ending in ("returned", "asked_back"):
            yield from self._asked_back(back)
        if self.ending == "returned":
            line = self.lines[-1]
            yield self._ordering(order.ReturnApproved(order_id=self.id, return_id=back, note="by post"))
            came = (order_returns.ReceivedLine(line=line.line, quantity=1, restock=False),)
            yield self._ordering(order.ReturnReceived(order_id=self.id, return_id=back, lines=came))
            yield self._ordering(
                order.OrderReturned(
                    order_id=self.id,
                    return_id=back,
                    lines=(order.ReturnedLine(line=line.line, sku=line.sku, quantity=1, amount=pounds(250)),),
                    amount=pounds(250),
                    restock=False,
                    reason="did_not_like",
                )
            )
            yield from self._refunded("returned", refund=back, amount=pounds(250))
            yield from self._document(invoice.CREDIT_NOTES, back)

    def _waited(self) -> Iterator[tuple[str, UUID, Event]]:
        """The units of its first line were not there when it was paid, and come in now."""
        first, *others = self.allocations
        waiting = (order.Backordered(sku=first.sku, quantity=first.quantity, kind="backorder", expected=EXPECTED),)
        yield self._inventory(
            reservation.StockBackordered(
                order_id=self.id, payment_id=self.payment, allocations=tuple(others), waiting=waiting
            )
        )
        queue, about = backorder.backorder_id_of(first.sku), {"order_id": self.id, "quantity": first.quantity}
        yield "inventory", queue, backorder.UnitsBackordered(sku=first.sku, **about)
        yield self._ordering(order.OrderBackordered(order_id=self.id, waiting=waiting))
        yield self._inventory(reservation.UnitsSetAside(order_id=self.id, allocations=(first,)))
        yield "inventory", queue, backorder.BackorderFilled(sku=first.sku, **about)

    def _given_up(self, parcel: shipment.Parcel) -> Iterator[tuple[str, UUID, Event]]:
        items = parcel.items
        yield self._shipping(
            shipment.ParcelGivenUp(order_id=self.id, parcel=parcel.number, items=items, reason="no_such_street")
        )
        yield self._inventory(reservation.ParcelReleased(order_id=self.id, parcel=parcel.number, allocations=items))
        for one in items:
            yield (
                "inventory",
                stock.stock_id_of(one.sku, one.warehouse),
                stock.UnitsReleased(sku=one.sku, warehouse=one.warehouse, order_id=self.id, quantity=one.quantity),
            )

    def _held(self) -> Iterator[tuple[str, UUID, Event]]:
        """Staff and customer are at it before it is packed; it stays held, and goes to the first address."""
        who, moved = self.customer or self.id, Sealed(self.customer or self.id, "OrderAddressChanged", b"moved")
        note = Sealed(who, "OrderNoteAdded", b"note")
        held = order.OrderHeld(order_id=self.id, reason="odd")
        yield self._ordering(held)
        yield self._shipping(shipment.ShipmentHeld(order_id=self.id, reason="odd"))
        yield self._ordering(order.OrderNoteAdded(order_id=self.id, note_id=uuid5(self.id, "note"), note=note))
        yield self._ordering(order.OrderReleased(order_id=self.id))
        yield self._shipping(shipment.ShipmentReleased(order_id=self.id))
        yield self._ordering(order.OrderAddressChanged(order_id=self.id, ship_to=moved, revision=1))
        yield self._shipping(shipment.ShipmentReaddressed(order_id=self.id, address=1))
        yield self._ordering(order.OrderAddressChangeRefused(order_id=self.id, ship_to=None, former=0, revision=2))
        yield self._shipping(shipment.ShipmentReaddressRefused(order_id=self.id, address=0))
        request = uuid5(self.id, "request")
        yield self._ordering(order.OrderMessageRequested(order_id=self.id, request_id=request, message="order_created"))
        yield self._ordering(order.OrderNoteAdded(order_id=self.id, note_id=uuid5(self.id, "other"), note=note))
        yield self._ordering(held)

    def _cancelled_in_part(self) -> Iterator[tuple[str, UUID, Event]]:
        """A unit is cancelled before it is taken payment of; another wish comes too late."""
        line, known, late = self.lines[-1], uuid5(self.id, "less"), uuid5(self.id, "late")
        unwanted = (cancellations.UnwantedLine(line=line.line, sku=line.sku, quantity=1),)
        for one in (known, late):
            about = {"order_id": self.id, "cancellation_id": one}
            yield self._ordering(
                cancellations.LinesCancellationRequested(**about, lines=unwanted, reason="one_too_many")
            )
            yield self._shipping(shipment.ShipmentReductionAwaited(**about, units={line.sku: 1}))
        yield self._shipping(
            shipment.ShipmentReductionRefused(order_id=self.id, cancellation_id=late, reason="already_packed")
        )
        yield self._ordering(
            cancellations.LinesCancellationRefused(order_id=self.id, cancellation_id=late, reason="already_packed")
        )
        [held] = [one for one in self.allocations if one.sku == line.sku][-1:]
        items = (reservation.Allocation(held.sku, held.warehouse, 1),)
        about = {"order_id": self.id, "cancellation_id": known}
        yield self._shipping(shipment.ShipmentReduced(**about, items=items))
        yield self._inventory(reservation.ReservationReduced(**about, allocations=items))
        yield (
            "inventory",
            stock.stock_id_of(held.sku, held.warehouse),
            stock.UnitsReleased(sku=held.sku, warehouse=held.warehouse, order_id=self.id, quantity=1),
        )
        price, nothing = pounds(250), pounds(0)
        less = cancellations.CancelledLine(
            line=line.line, sku=line.sku, quantity=1, total=price, discount=nothing, tax=nothing, amount=price
        )
        yield self._ordering(cancellations.OrderLinesCancelled(**about, lines=(less,), amount=price))
        untaken = {"order_id": self.id, "refund_id": known, "amount": price}
        yield self._payments(payment.CaptureReduced(**untaken, payment_id=self.payment, reason="cancelled_in_part"))
        yield self._ordering(order.OrderRefunded(**untaken, untaken=True))

    def _asked_back(self, back: UUID) -> Iterator[tuple[str, UUID, Event]]:
        wanted = (order_returns.WantedLine(line=self.lines[-1].line, quantity=1, reason="did_not_like"),)
        yield self._ordering(
            order.ReturnRequested(order_id=self.id, return_id=back, lines=wanted, requested_at=self.at)
        )

    def _told(self) -> Iterator[tuple[str, UUID, Event]]:
        """The mail about the order, which now and then needs a second try."""
        about = notification.About(
            kind="order_created", channel="email", log="ordering", position=1, event_id=uuid5(self.id, "created"),
            order_id=self.id,
        )  # fmt: skip
        known = notification.notification_id_of(about)
        both = {"notification_id": known, "about": about}
        if self.ending == "declined":
            failed = notification.NotificationFailed(**both, attempts=1, error="no answer", again_at=self.at)
            yield "notifications", known, failed
        yield "notifications", known, notification.NotificationSent(**both, via="smtp", language="en")
        told = webhook_delivery.Delivery(
            endpoint_id=uuid5(SPACE, "endpoint"), event_id=uuid5(self.id, "created"), topic="ordering.OrderCreated",
            log="ordering", position=1,
        )  # fmt: skip
        delivery = webhook_delivery.delivery_id_of(told)
        each = {"delivery_id": delivery, "delivery": told}
        if self.ending == "declined":
            missed = webhook_delivery.WebhookFailed(**each, code=500, error="HTTP 500", attempts=1, again_at=self.at)
            yield "notifications", delivery, missed
        yield "notifications", delivery, webhook_delivery.WebhookDelivered(**each, code=200, attempts=1)

    def _sent(self, parcel: shipment.Parcel, of: int) -> Iterator[tuple[str, UUID, Event]]:
        label = {
            "carrier": "post",
            "tracking_number": f"{self.number}-{parcel.number}",
            "tracking_url": f"https://carrier.test/{self.number}-{parcel.number}",
        }
        yield self._shipping(shipment.ParcelLabelled(order_id=self.id, parcel=parcel.number, **label))
        yield self._shipping(shipment.ParcelPacked(order_id=self.id, parcel=parcel.number))
        yield self._shipping(
            shipment.OrderShipped(order_id=self.id, parcel=parcel.number, of=of, items=parcel.items, **label)
        )
        for one in parcel.items:
            yield (
                "inventory",
                stock.stock_id_of(one.sku, one.warehouse),
                stock.UnitsShipped(sku=one.sku, warehouse=one.warehouse, order_id=self.id, quantity=one.quantity),
            )
        yield self._ordering(order.OrderDispatched(order_id=self.id, parcel=parcel.number, of=of, **label))

    def _document(self, series: str, refund: UUID | None = None) -> Iterator[tuple[str, UUID, Event]]:
        """The invoice, or the credit note of a refund, with its number."""
        taken = invoice.DocumentNumberTaken(series=series, year=2026, count=self.count, order_id=self.id)
        yield "ordering", invoice.numbers_id(series, 2026), taken
        number = invoice.document_number(invoice.INVOICES, 2026, self.count)
        said = {"order_id": self.id, "issued_at": self.at, "seller": invoice.Seller(legal_name="Emporium")}
        if refund is None:
            part = invoice.TaxPart(rate="20", gross=self.total, tax=pounds(self.total.amount // 6))
            yield self._ordering(invoice.InvoiceIssued(**said, number=number, amount=self.total, taxes=(part,)))
            return
        part = invoice.TaxPart(rate="20", gross=pounds(250), tax=pounds(42))
        credit = invoice.document_number(series, 2026, self.count)
        yield self._ordering(
            invoice.CreditNoteIssued(
                **said, number=credit, amount=pounds(250), refund_id=refund, corrects=number, taxes=(part,)
            )
        )

    def _stopped(self) -> Iterator[tuple[str, UUID, Event]]:
        reason = "changed_my_mind"
        yield self._ordering(order.OrderCancellationRequested(order_id=self.id, reason=reason))
        yield self._ordering(order.OrderCancelled(order_id=self.id, reason=reason))

    def _refunded(
        self, reason: str, *, refund: UUID | None = None, amount: Money | None = None, refused: bool = False
    ) -> Iterator[tuple[str, UUID, Event]]:
        refund, amount = refund or payment.closing_refund_id_of(self.id), amount or self.total
        about = {"payment_id": self.payment, "order_id": self.id, "refund_id": refund, "amount": amount}
        yield self._payments(payment.RefundRequested(**about, reason=reason))
        if refused:
            yield self._payments(payment.RefundFailed(**about, code="card_closed"))
            return
        yield self._payments(payment.PaymentRefunded(**about, reason=reason, reference="re_1"))
        yield self._ordering(order.OrderRefunded(order_id=self.id, refund_id=refund, amount=amount))


ENDINGS = (
    "fulfilled",
    "fulfilled",
    "given_up",
    "returned",
    "declined",
    "short",
    "refund_refused",
    "cancelled",
    "forestalled",
    "address_refused",
    "pending",
    "held",
    "asked_back",
)


def visitors(number: int) -> Iterator[Happening]:
    """Carts: what stands in the ordering log and concerns no order."""
    key = uuid5(SPACE, f"cart {number}")
    opened = cart.CartOpened(cart_id=key, currency="GBP", at=START)
    added = cart.CartItemAdded(cart_id=key, sku=SKUS[0], quantity=1, unit_price=pounds(250), at=START)
    for event in (opened, added):
        yield "ordering", key, event, START, str(key)
    owner, own = uuid5(SPACE, f"owner {number}"), uuid5(SPACE, f"own cart {number}")
    yield "ordering", own, cart.CartOpened(cart_id=own, customer_id=owner, currency="GBP", at=START), START, str(own)
    filled = cart.CartItemAdded(cart_id=own, sku=SKUS[0], quantity=1, unit_price=pounds(250), at=START)
    yield "ordering", own, filled, START, str(own)
    yield "ordering", own, cart.CartAbandoned(cart_id=own, customer_id=owner, at=START), START, str(own)


def members(number: int) -> Iterator[Happening]:
    """An account that becomes staff, proves its address, and may be erased; now and then an invitation and a key."""
    who, at = uuid5(SPACE, f"member {number}"), START + timedelta(minutes=number)
    email, name = Sealed(who, "CustomerRegistered", b"email"), Sealed(who, "CustomerRegistered", b"name")
    moved = Sealed(who, "EmailChangeRequested", b"moved")
    other = uuid5(who, "other")
    events: list[tuple[UUID, Event]] = [
        (who, customer.CustomerRegistered(customer_id=who, email=email, name=name, roles=("customer",), at=at)),
        (who, customer.EmailVerified(customer_id=who, at=at)),
        (who, customer.RoleGranted(customer_id=who, role="support")),
    ]
    if number % 2:
        events.append((who, customer.ProfileChanged(customer_id=who, email=moved)))
        events.append((who, customer.ViewsConsentChanged(customer_id=who, consent=True, at=at)))
        events.append((who, customer.TwoFactorEnabled(customer_id=who, recovery=(), step=1, at=at)))
        events.append((who, customer.RoleRevoked(customer_id=who, role="support")))
        sealed = Sealed(other, "StaffInvited", b"email")
        events.append(
            (other, invitation.StaffInvited(invitation_id=other, email=sealed, roles=("admin",), expires_at=at))
        )
        events.append((other, invitation.InvitationWithdrawn(invitation_id=other, at=at)))
    else:
        scopes = ("support:read", "warehouse:write")
        made = api_key.ApiKeyCreated(key_id=other, name=f"Key {number}", scopes=scopes, digest=b"", expires_at=at)
        events.append((other, made))
        events.append((other, api_key.ApiKeyRevoked(key_id=other, at=at)))
    watched, what = watch.watches_id(who), {"customer_id": who, "sku": SKUS[0]}
    for kind, price in ((watch.BACK_IN_STOCK, None), (watch.PRICE_DROP, pounds(250))):
        begun = watch.WatchAdded(**what, product_id=other, kind=kind, price=price, after=number, at=at)
        events.append((watched, begun))
    events.append((watched, watch.WatchMet(**what, kind=watch.BACK_IN_STOCK, at=at)))
    lower = {"price": pounds(200), "previous": pounds(250)}
    events.append((watched, watch.WatchMet(**what, **lower, kind=watch.PRICE_DROP, at=at)))
    events.append((watched, watch.WatchRemoved(**what, kind=watch.PRICE_DROP)))
    if number % 3 == 0:
        events.append((who, customer.CustomerErased(customer_id=who, reason="asked for it")))
    for step, (stream, event) in enumerate(events):
        yield "accounts", stream, event, at + timedelta(seconds=step), str(stream)


def opinions(number: int) -> Iterator[Happening]:
    """A review that is changed, voted on, answered, reported and looked at; every third is withdrawn and rewritten."""
    product_id, author = uuid5(SPACE, f"product {number % 10}"), uuid5(SPACE, f"customer {number}")
    key, at = review.review_id_of(product_id, author), START + timedelta(minutes=number)
    reader = uuid5(SPACE, f"reader {number}")
    vote = helpful_vote.helpful_vote_id_of(key, reader)
    words = Sealed(author, "ReviewWritten", b"words")
    written = review.ReviewWritten(
        review_id=key,
        product_id=product_id,
        customer_id=author,
        order_id=uuid5(SPACE, f"order {number}"),
        rating=1 + number % 5,
        words=words,
        flags=("link",) if number % 4 == 0 else (),
        status=review.WAITING if number % 4 == 0 else review.PUBLISHED,
    )
    events: list[tuple[UUID, Event]] = [
        (key, written),
        (vote, helpful_vote.HelpfulVoteCast(review_id=key, voter=reader, helpful=True)),
        (key, review.ReviewEdited(review_id=key, rating=5 - number % 5, status=written.status)),
        (key, review.ReviewReported(review_id=key, reporter=reader, reason="spam")),
        (vote, helpful_vote.HelpfulVoteCast(review_id=key, voter=reader, helpful=False, previous=True)),
        (key, review.ReviewPublished(review_id=key)),
        (key, review.ReviewAnswered(review_id=key, answer=Sealed(author, "ReviewAnswered", b"thanks"))),
    ]
    if number % 3 == 0:
        note = Sealed(reader, "ReviewReported", b"note")
        events += [
            (key, review.ReviewReported(review_id=key, reporter=reader, reason="other", note=note)),
            (key, review.ReviewRejected(review_id=key, reason="spam", note=Sealed(author, "ReviewRejected", b"why"))),
            (key, review.ReviewAnswerRemoved(review_id=key)),
            (key, review.ReviewWithdrawn(review_id=key)),
            (key, written),
        ]
    if number % 3 == 1:
        events.append((key, review.ReviewWithdrawn(review_id=key)))
    for step, (stream, event) in enumerate(events):
        yield "reviews", stream, event, at + timedelta(seconds=step), str(author)


def shelves() -> Iterator[Happening]:
    """Categories, products with variants and prices, and units of all of them."""
    home, garden, tools = (category.category_id_of(slug) for slug in ("home", "garden", "tools"))
    tree = category.categories_id()
    for event in (
        category.CategoryCreated(category_id=home, name="Home", slug="home"),
        category.CategoryCreated(category_id=garden, name="Gardens", slug="gardens"),
        category.CategoryCreated(category_id=tools, name="Tools", slug="tools", parent=home),
        category.CategoryRenamed(category_id=garden, name="Garden", slug="garden"),
        category.CategoryMoved(category_id=tools, parent=garden),
        category.AttributeDefined(
            category_id=garden, attribute=category.AttributeKind(name="watts", kind="number", unit="W")
        ),
        category.AttributeDefined(category_id=home, attribute=category.AttributeKind(name="colour", kind="text")),
        category.AttributeRemoved(category_id=home, name="colour"),
    ):
        yield "catalog", tree, event, START, str(tree)
    for n in range(3):
        url = f"/img/{n}.svg"
        key = picture.picture_id_of(url)
        small = picture.Rendition(url=f"/img/{n}.webp", width=5, height=5)
        yield "catalog", key, picture.PictureUploaded(picture_id=key, url=url, width=10, height=10), START, str(key)
        yield "catalog", key, picture.PictureRendered(picture_id=key, url=url, renditions=(small,)), START, str(key)
    rules, lamp = search_rules.search_rules_id(), uuid5(SPACE, "product 1")
    pinned = search_rules.Placement(query="lamp", pins=(lamp,), boosts={lamp: 2.0}, ends_at=START)
    for event in (
        search_rules.SynonymsSet(group="lights", words=("lamp", "light"), at=START),
        search_rules.SynonymsRemoved(group="lights", at=START),
        search_rules.PlacementSet(code="lamps", placement=pinned, at=START),
        search_rules.PlacementRemoved(code="lamps", at=START),
    ):
        yield "catalog", rules, event, START, str(rules)
    for n in range(10):
        key = uuid5(SPACE, f"product {n}")
        skus = SKUS[3 * n : 3 * n + 3]
        events: list[Event] = [
            product.ProductCreated(
                product_id=key,
                title=f"Lamp {chr(74 - n)}",
                slug=f"lamp-{n}",
                category_id=(home, garden, tools)[n % 3],
                options=("size",),
                attributes={"watts": 40 + n, "colour": "green", "dimmable": True},
                images=(product.Image(url=f"/img/{n}.svg", alt="", width=10, height=10),),
            )
        ]
        events += [
            product.VariantAdded(product_id=key, sku=sku, options={"size": size})
            for sku, size in zip(skus, ("s", "m", "l"), strict=True)
        ]
        events += [
            product.PriceChanged(product_id=key, sku=sku, price=pounds(1_000 - 50 * n + place))
            for place, sku in enumerate(skus)
        ]
        events += [
            product.PriceChanged(product_id=key, sku=skus[0], price=Money(900, "EUR")),
            product.ProductPublished(product_id=key),
            product.PriceChanged(product_id=key, sku=skus[1], price=pounds(777), previous=pounds(1_001 - 50 * n)),
            product.ProductUpdated(product_id=key, title=f"Lamp {chr(74 - n)} De Luxe", brand="Lux"),
        ]
        if n == 3:
            sale, gone = uuid5(key, "sale"), uuid5(key, "gone")
            events += [
                product.PriceScheduled(
                    product_id=key, schedule_id=one, sku=skus[0], price=pounds(500), starts_at=START, ends_at=END
                )
                for one in (sale, gone)
            ]
            events += [
                product.PriceScheduleBegan(product_id=key, schedule_id=sale),
                product.PriceChanged(product_id=key, sku=skus[0], price=pounds(500), previous=pounds(850)),
                product.RegularPriceChanged(product_id=key, sku=skus[0], price=pounds(840), previous=pounds(850)),
                product.PriceScheduleEnded(product_id=key, schedule_id=gone, cancelled=True),
            ]
        if n == 4:
            events.append(product.ProductArchived(product_id=key))
        if n == 5:
            events.append(product.VariantRemoved(product_id=key, sku=skus[2]))
        if n == 6:
            events.append(product.VariantAdded(product_id=key, sku=SKUS[17], options={"size": "xl"}))
        for step, event in enumerate(events):
            yield "catalog", key, event, START + timedelta(minutes=n, seconds=step), str(key)
    for n, sku in enumerate(SKUS):
        for warehouse in WAREHOUSES:
            key = stock.stock_id_of(sku, warehouse)
            for event in (
                stock.UnitsReceived(sku=sku, warehouse=warehouse, quantity=1_000),
                stock.LowStockMarkSet(sku=sku, warehouse=warehouse, mark=1_000 if n % 7 == 0 else 5),
                stock.StockAdjusted(sku=sku, warehouse=warehouse, change=-n - 1, reason="broken"),
                stock.UnitsReceived(sku=sku, warehouse=warehouse, quantity=n + 1, unit_cost=pounds(101 + n)),
            ):
                yield "inventory", key, event, START, sku
        yield from _moved(n, sku)
        yield from _ahead(n, sku)


def _ahead(n: int, sku: str) -> Iterator[Happening]:
    """What may be sold before it is there, and an order that waited for it and came to nothing."""
    key, about = backorder.backorder_id_of(sku), {"order_id": uuid5(SPACE, f"gone {n}"), "quantity": 2}
    kind = backorder.KINDS[n % 2]
    events: list[Event] = [
        backorder.BackorderAllowed(sku=sku, kind=kind, limit=5 + n, expected=EXPECTED),
        backorder.UnitsBackordered(sku=sku, **about),
        backorder.BackorderReleased(sku=sku, **about),
    ]
    if n % 3 == 0:
        events.append(backorder.BackorderEnded(sku=sku))
    for event in events:
        yield "inventory", key, event, START, sku


def _moved(n: int, sku: str) -> Iterator[Happening]:
    """Units that go from one warehouse to the other, not all of which arrive, and the count that follows."""
    source, target = WAREHOUSES[n % 2], WAREHOUSES[1 - n % 2]
    known = uuid5(SPACE, f"transfer {n}")
    here, there = stock.stock_id_of(sku, source), stock.stock_id_of(sku, target)
    cost = stock.Cost(1_010_000 + n * 10_000, "GBP")
    sent = (transfer.TransferLine(sku, 9, cost),)
    came, gone = (transfer.TransferLine(sku, 6, cost),), (transfer.TransferLine(sku, 2, cost),)
    counted = uuid5(SPACE, f"count {n}")
    line = stock_count.CountLine(sku, 900, 901, START)
    happened: list[tuple[UUID, Event]] = [
        (known, transfer.TransferSent(transfer_id=known, source=source, target=target, lines=sent)),
        (here, stock.UnitsSentAway(sku=sku, warehouse=source, transfer_id=known, quantity=9, cost=cost)),
        (known, transfer.TransferArrived(transfer_id=known, lines=came)),
        (there, stock.UnitsArrived(sku=sku, warehouse=target, transfer_id=known, quantity=6, cost=cost)),
        (known, transfer.TransferLost(transfer_id=known, lines=gone, reason="fell off the lorry")),
        (counted, stock_count.StockCounted(count_id=counted, warehouse=target, lines=(line,))),
        (
            there,
            stock.StockAdjusted(
                sku=sku, warehouse=target, change=-1, reason="counted", kind=stock.COUNTED, count_id=counted
            ),
        ),
    ]
    for key, event in happened:
        yield "inventory", key, event, START, sku


def year(orders: int, *, seed: int = 1, customers: int = 5) -> list[Happening]:
    """Shelves, carts and orders of every ending, shuffled among each other but each in its own order."""
    rng = random.Random(seed)
    people = [uuid5(SPACE, f"customer {n}") for n in range(customers)]
    stories: list[list[Happening]] = [list(visitors(n)) for n in range(orders // 4 + 1)]
    stories += [list(members(n)) for n in range(orders // 4 + 1)]
    stories += [list(opinions(n)) for n in range(orders // 4 + 1)]
    for n in range(orders):
        ending = ENDINGS[n % len(ENDINGS)]
        stories.append(list(Order(n, ending, customer=people[n % customers] if n % 4 else None).happenings()))
    told = list(shelves())
    active: list[Iterator[Happening]] = []
    waiting = iter(stories)
    while True:
        while len(active) < 20 and (story := next(waiting, None)) is not None:
            active.append(iter(story))
        if not active:
            return told
        story_of = rng.choice(active)
        happening = next(story_of, None)
        if happening is None:
            active.remove(story_of)
        else:
            told.append(happening)


class Writer:
    """Appends happenings to the logs they belong to, several in a unit."""

    def __init__(self, logs: dict[str, EventLog]) -> None:
        self._logs = logs
        self._versions: dict[tuple[str, UUID], int] = {}
        self.written = 0

    def events(self, happenings: Sequence[Happening]) -> dict[str, list[NewEvent]]:
        """The same as events ready to be appended, by log."""
        found: dict[str, list[NewEvent]] = {}
        for log, stream, event, at, correlation in happenings:
            version = self._versions[log, stream] = self._versions.get((log, stream), 0) + 1
            key = uuid5(stream, f"{log} {version}")
            meta = Meta(correlation, "request:1", "system:story")
            found.setdefault(log, []).append(NewEvent(key, stream, version, event, at, meta))
        return found

    async def write(self, happenings: Sequence[Happening], unit: int = 50) -> dict[str, int]:
        """The last position in each log that was written to."""
        last: dict[str, int] = {}
        for log, events in self.events(happenings).items():
            for start in range(0, len(events), unit):
                last[log] = await self._logs[log].append(Unit(events=events[start : start + unit]))
        self.written += len(happenings)
        return last


def recorded(happenings: Sequence[Happening]) -> dict[str, list[Recorded]]:
    """The same as they would be read from the logs, with holes between the positions."""
    return {
        log: [
            Recorded(log, 3 * place, one.stream, one.version, one.id, one.at, one.event, one.meta)
            for place, one in enumerate(events, 1)
        ]
        for log, events in Writer({}).events(happenings).items()
    }
