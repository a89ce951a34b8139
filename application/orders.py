"""What happens to an order after checkout at somebody's wish: cancel, return, note; finding it by number or address."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from emporium.application.addresses import check_address
from emporium.application.commands import handle
from emporium.application.ports import Address, Erased, Idempotency, Meta, Vault
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Event, Sealed
from emporium.domain.order import (
    NO_SUCH_ORDER,
    ORDER,
    TEXT_MOST,
    TOO_LATE_TO_READDRESS,
    AddNote,
    ChangeAddress,
    OrderCompleted,
    OrderReturned,
    OrderState,
    ReturnLines,
)
from emporium.domain.order_number import parse_order_number
from emporium.domain.shipment import SHIPMENT, shipment_id_of
from emporium.domain.text import check_text

__all__ = [
    "OWN_WORDS",
    "act",
    "add_note",
    "change_address",
    "delivered_at",
    "email_mark",
    "find",
    "seal_words",
    "split",
    "take_back",
    "why",
]

CancelKeep = Callable[[OrderState], Idempotency | None]
ReturnKeep = Callable[[OrderReturned], Idempotency | None]


def email_mark(vault: Vault, email: str) -> str:
    """The keyed hash by which staff find the orders of an address: upper and lower case are one address."""
    return vault.fingerprint("order email", email.strip().casefold()).hex()[:32]


async def find(shop: Shop, number: str) -> OrderState | None:
    """The order of a number as its log knows it now. Raises `Rejected` (order_number_malformed)."""
    log = shop.logs["ordering"]
    order_id = await log.claimed("order_number", parse_order_number(number).encode())
    if order_id is None:
        return None
    return (await log.load(ORDER, order_id, fresh=True))[0]


REASONS: Final = frozenset(
    {"changed_mind", "ordered_by_mistake", "ordered_twice", "found_cheaper", "takes_too_long", "did_not_like",
     "does_not_fit", "not_as_described", "wrong_item", "damaged", "broken", "worn", "never_came", "refused",
     "suspicious", "other"}
)  # fmt: skip
"""Words of ours for why people want something: they stay in clear."""

OWN_WORDS: Final = "own_words"
"""The reason in an event whose `words`, sealed, say it: people's own words may name somebody."""


def split(text: str, pointer: str = "reason") -> tuple[str, str | None]:
    """The reason that stands in the event, and people's own words where it is more than a word of ours."""
    said = check_text(pointer, text, TEXT_MOST)
    return (said, None) if said in REASONS else (OWN_WORDS, said)


async def seal_words(shop: Shop, order: OrderState, event: type[Event], words: str | list[str | None]) -> Sealed | None:
    """People's own words, sealed for the order's person; None where that was erased: then nothing more is kept."""
    try:
        await shop.vault.key_for(order.subject)
    except Erased:
        return None
    return shop.vault.seal(order.subject, event.__name__, order.order_id, "words", words)


async def why(shop: Shop, order: OrderState, event: type[Event], text: str) -> tuple[str, Sealed | None]:
    """What an event says of a reason: a word of ours, and sealed what people said instead."""
    reason, words = split(text)
    return reason, None if words is None else await seal_words(shop, order, event, words)


async def take_back(
    shop: Shop,
    *,
    order_id: UUID,
    lines: Sequence[tuple[int, int]],
    restock: bool,
    reason: str,
    words: Sealed | None,
    cause: Meta,
    keep: ReturnKeep = lambda _: None,
) -> tuple[OrderReturned, Committed]:
    """Takes units of some lines (line number, units) back. Raises `Rejected` (not_delivered, more_than_bought …)."""
    meta = replace(cause, correlation=str(order_id))
    command = ReturnLines(
        order_id=order_id, return_id=uuid4(), lines=tuple(lines), restock=restock, reason=reason, words=words
    )

    async def handler(work: Work) -> OrderReturned:
        await work.load(ORDER, order_id)
        [returned] = work.decide(ORDER, order_id, command)
        assert isinstance(returned, OrderReturned), "a new return is one event"
        work.unit.idempotency = keep(returned)
        return returned

    return await shop.run("ordering", meta, handler)


async def act(
    shop: Shop, command: Command, *, order_id: UUID, cause: Meta, keep: CancelKeep = lambda _: None
) -> tuple[OrderState, Committed]:
    """Carries out a command on one order; the order after it. Raises `Rejected`."""
    meta = replace(cause, correlation=str(order_id))

    async def handler(work: Work) -> OrderState:
        await handle(work, command, meta)
        after = work.state(ORDER, order_id)
        assert after is not None, "a missing order was rejected"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("ordering", meta, handler)


async def delivered_at(shop: Shop, order_id: UUID) -> datetime | None:
    """When the order was delivered; None where it was not yet."""
    events = await shop.logs["ordering"].stream(order_id)
    return next((one.at for one in events if isinstance(one.event, OrderCompleted)), None)


async def add_note(
    shop: Shop, *, order_id: UUID, note_id: UUID, text: str, cause: Meta, keep: CancelKeep = lambda _: None
) -> tuple[OrderState, Committed]:
    """Writes something down that only staff see, sealed for the order's subject. Raises `Rejected`."""
    words = check_text("text", text, TEXT_MOST, lines=True)
    order, _ = await shop.logs["ordering"].load(ORDER, order_id)
    if order is None:
        raise NO_SUCH_ORDER()
    await shop.vault.key_for(order.subject)
    note = shop.vault.seal(order.subject, "OrderNoteAdded", order_id, "note", words)
    command = AddNote(order_id=order_id, note_id=note_id, note=note)
    return await act(shop, command, order_id=order_id, cause=cause, keep=keep)


async def change_address(
    shop: Shop, *, order_id: UUID, address: Address, cause: Meta
) -> tuple[OrderState, Committed | None]:
    """Sends what is not packed yet elsewhere in the same country; nothing is committed where it goes there already.

    Where a parcel is packed in the same moment, shipping refuses the change and the order has its former address again.

    Raises `Rejected` (too_late_to_readdress, country_fixed, address_invalid …).
    """
    tidy = await check_address(address)
    order, _ = await shop.logs["ordering"].load(ORDER, order_id, fresh=True)
    if order is None:
        raise NO_SUCH_ORDER()
    shipment, _ = await shop.logs["shipping"].load(SHIPMENT, shipment_id_of(order_id), fresh=True)
    parcels = () if shipment is None else shipment.parcels.values()
    if parcels and all(one.packed or one.given_up for one in parcels):
        raise TOO_LATE_TO_READDRESS(status=order.status)
    await shop.vault.key_for(order.subject)
    known = None if order.ship_to is None else shop.vault.unseal(order.ship_to, order_id, "ship_to")
    if isinstance(known, dict) and msgspec.convert(known, Address) == tidy:
        return order, None
    clear = msgspec.to_builtins(tidy)
    sealed = shop.vault.seal(order.subject, "OrderAddressChanged", order_id, "ship_to", clear)
    command = ChangeAddress(order_id=order_id, ship_to=sealed, country=address.country)
    return await act(shop, command, order_id=order_id, cause=cause)
