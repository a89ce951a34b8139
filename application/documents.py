"""What stands on an order's invoice, credit notes and packing slips, from what the logs say; for its reader's eyes."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from emporium.application.ports import Paper, PaperLine
from emporium.application.shop import Shop
from emporium.domain.base import Event, Money, Sealed
from emporium.domain.cancellations import OrderLinesCancelled
from emporium.domain.invoice import CreditNoteIssued, InvoiceIssued, seller_of
from emporium.domain.order import (
    ORDER,
    GoodwillGranted,
    OrderAddressChanged,
    OrderCreated,
    OrderDispatched,
    OrderReturned,
    agreed_without,
    without,
)
from emporium.domain.shipment import SHIPMENT, shipment_id_of

__all__ = ["document", "packing_slip"]


_UNDELIVERED: Final = ("parcel_lost", "parcel_returned", "parcel_given_up")
"""Why goods are taken back that never arrived; other reasons are people's own words."""


class _Story:
    """What an order's stream tells up to one of its documents."""

    def __init__(self) -> None:
        self.created: OrderCreated | None = None
        self.ship_to: Sealed | None = None
        self.left_at: datetime | None = None
        self.invoiced_at: datetime | None = None
        self.corrections: dict[UUID, OrderReturned | GoodwillGranted | OrderLinesCancelled] = {}

    def hears(self, event: Event, at: datetime) -> None:
        match event:
            case OrderCreated():
                self.created, self.ship_to = event, event.ship_to
            case OrderAddressChanged():
                self.ship_to = event.ship_to
            case OrderDispatched():
                self.left_at = self.left_at or at
            case OrderReturned():
                self.corrections[event.return_id] = event
            case GoodwillGranted():
                self.corrections[event.refund_id] = event
            case OrderLinesCancelled():
                self.corrections[event.cancellation_id] = event
                if self.invoiced_at is None and self.created is not None:
                    self.created = _less(self.created, event)
            case InvoiceIssued():
                self.invoiced_at = event.issued_at


def _less(created: OrderCreated, event: OrderLinesCancelled) -> OrderCreated:
    """The order as if the units had never been ordered: what was cancelled before there was an invoice is not on it."""
    goods = created.goods
    for one in event.lines:
        goods -= one.total
    return replace(
        created,
        lines=tuple(line for line in without(created.lines, event.lines) if line.quantity),
        goods=goods,
        agreement=None if created.agreement is None else agreed_without(created.agreement, event.lines),
    )


async def document(shop: Shop, order_id: UUID, number: str) -> Paper | None:
    """The order's invoice or credit note of a number, as it was when it was issued; None where it has none such."""
    story = _Story()
    for one in await shop.logs["ordering"].stream(order_id):
        if isinstance(one.event, InvoiceIssued | CreditNoteIssued) and one.event.number == number:
            if story.created is None:
                return None
            payer = story.created.bill_to
            if payer is None:
                recipient = await _recipient(shop, order_id, story.ship_to, "ship_to")
            else:
                recipient = await _recipient(shop, order_id, payer, "bill_to")
            if isinstance(one.event, InvoiceIssued):
                return _invoice(story, story.created, one.event, recipient)
            return _credit_note(story, story.created, one.event, recipient)
        story.hears(one.event, one.at)
    return None


def _invoice(story: _Story, created: OrderCreated, event: InvoiceIssued, recipient: tuple[str, ...]) -> Paper:
    agreed = created.agreement
    sums: list[tuple[str, Money]] = [("goods", created.goods)]
    if agreed is not None and agreed.discount.amount:
        sums.append(("discount", agreed.discount * -1))
    sums.append(("shipping", created.shipping))
    if agreed is not None and agreed.shipping_discount.amount:
        sums.append(("shipping_discount", agreed.shipping_discount * -1))
    if agreed is not None and not agreed.tax_inclusive:
        sums.append(("tax", agreed.tax))
    return Paper(
        kind="invoice",
        number=event.number,
        made_at=event.issued_at,
        language="en" if agreed is None else agreed.language,
        order_number=created.number,
        ordered_at=created.placed_at,
        seller=event.seller,
        recipient=recipient,
        lines=tuple(
            PaperLine(
                line=line.line,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                unit_price=line.unit_price,
                rate=line.tax_rate,
                total=line.total,
            )
            for line in created.lines
        ),
        sums=tuple(sums),
        total=event.amount,
        taxes=event.taxes,
        tax_inclusive=agreed is None or agreed.tax_inclusive,
        supplied_at=story.left_at,
    )


def _credit_note(story: _Story, created: OrderCreated, event: CreditNoteIssued, recipient: tuple[str, ...]) -> Paper:
    correction = story.corrections.get(event.refund_id)
    bought = {line.line: line for line in created.lines}
    lines: tuple[PaperLine, ...] = ()
    reason = "goodwill"
    if isinstance(correction, OrderReturned | OrderLinesCancelled):
        reason = "cancelled_in_part"
        if isinstance(correction, OrderReturned):
            reason = correction.reason if correction.reason in _UNDELIVERED else "returned"
        lines = tuple(
            PaperLine(
                line=one.line,
                sku=one.sku,
                title=bought[one.line].title,
                quantity=one.quantity,
                rate=bought[one.line].tax_rate,
                total=one.amount,
            )
            for one in correction.lines
        )
    return Paper(
        kind="credit_note",
        number=event.number,
        made_at=event.issued_at,
        language="en" if created.agreement is None else created.agreement.language,
        order_number=created.number,
        ordered_at=created.placed_at,
        seller=event.seller,
        recipient=recipient,
        lines=lines,
        total=event.amount,
        taxes=event.taxes,
        corrects=event.corrects,
        corrects_at=story.invoiced_at,
        reason=reason,
    )


async def packing_slip(shop: Shop, order_id: UUID, parcel: int) -> Paper | None:
    """What goes into a parcel, without prices, to the address of now; None where there is no such parcel."""
    order, _ = await shop.logs["ordering"].load(ORDER, order_id, fresh=True)
    shipment, _ = await shop.logs["shipping"].load(SHIPMENT, shipment_id_of(order_id), fresh=True)
    packed = None if shipment is None else shipment.parcels.get(parcel)
    if order is None or shipment is None or packed is None:
        return None
    settings = await shop.terms.recent(shop.logs["ordering"])
    titles = {line.sku: line.title for line in order.lines}
    facts = [("parcel", f"{parcel} / {len(shipment.parcels)}"), ("warehouse", packed.parcel.warehouse)]
    if packed.labelled:
        facts += [("carrier", packed.carrier), ("tracking_number", packed.tracking_number)]
    [placed] = await shop.logs["ordering"].stream(order_id, limit=1)
    assert isinstance(placed.event, OrderCreated), "an order begins with OrderCreated"
    return Paper(
        kind="packing_slip",
        number=f"{order.number}-{parcel}",
        made_at=placed.event.placed_at,
        language="en" if order.agreement is None else order.agreement.language,
        order_number=order.number,
        ordered_at=placed.event.placed_at,
        seller=seller_of(settings),
        recipient=await _recipient(shop, order_id, order.ship_to, "ship_to"),
        lines=tuple(
            PaperLine(line=n, sku=one.sku, title=titles.get(one.sku, one.sku), quantity=one.quantity)
            for n, one in enumerate(packed.parcel.items, start=1)
        ),
        facts=tuple(facts),
    )


async def _recipient(shop: Shop, order_id: UUID, sealed: Sealed | None, field: str) -> tuple[str, ...]:
    if sealed is None:
        return ()
    await shop.vault.load_keys([sealed.subject])
    to: Any = shop.vault.unseal(sealed, order_id, field)
    if not isinstance(to, dict):
        return (str(to),)
    place = " ".join(part for part in (to.get("postcode"), to.get("city")) if part)
    lines = (to.get("name"), *to.get("lines", ()), place, to.get("region"), to.get("country"))
    return tuple(str(line) for line in lines if line)
