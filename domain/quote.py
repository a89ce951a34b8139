"""A quote: what a cart would come to if it were sent there, by each method, for as long as the quote stands."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, State
from emporium.domain.order import Backordered, OrderLine


class QuotedMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to send the goods, and what all comes to with it.

    Attributes:
        earliest, latest: the days on which the parcels arrive if the order is placed when the quote is made.
        tax: of everything, the shipping included.
    """

    code: str
    name: str
    earliest: date
    latest: date
    shipping: Money
    shipping_discount: Money
    tax: Money
    total: Money


class QuotedCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """A code, and what it takes off the goods (for free shipping nothing)."""

    code: str
    name: str
    discount: Money


class Quoted(msgspec.Struct, frozen=True, kw_only=True):
    """All that a quote says of money.

    Attributes:
        lines: with their discounts and taxes.
        tax_inclusive: the prices contain the tax; else it is added to them.
        methods: in the shop's order; the first is taken where nobody chooses.
        waiting: the units that are not there yet; all is sent together once they are.
    """

    country: str
    currency: str
    lines: tuple[OrderLine, ...]
    goods: Money
    discount: Money
    tax_inclusive: bool
    coupons: tuple[QuotedCoupon, ...]
    methods: tuple[QuotedMethod, ...]
    terms_version: str
    waiting: tuple[Backordered, ...] = ()


# --- events ----------------------------------------------------------------------------------------


class QuoteMade(Event, frozen=True, kw_only=True):
    """Somebody was told what the cart would cost."""

    quote_id: UUID
    cart_id: UUID
    quoted: Quoted
    at: datetime
    expires_at: datetime


# --- state -----------------------------------------------------------------------------------------


class QuoteState(State, frozen=True, kw_only=True):
    """The quote."""

    quote_id: UUID
    cart_id: UUID
    quoted: Quoted
    expires_at: datetime


# --- commands --------------------------------------------------------------------------------------


class MakeQuote(Command, frozen=True, kw_only=True):
    quote_id: UUID
    cart_id: UUID
    quoted: Quoted
    at: datetime
    expires_at: datetime


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_QUOTE = Reason("no_such_quote", "There is no such quote for this cart.", "missing")
QUOTE_EXPIRED = Reason("quote_expired", "The quote stood until {expires_at}: ask for a new one.")
QUOTE_CHANGED = Reason("quote_changed", "What was quoted does not hold any more; `differences` tells what is new.")


def decide(command: Command, quote: QuoteState | None) -> Sequence[Event]:
    """The event that the command makes."""
    match command:
        case MakeQuote():
            if quote is not None:
                return []
            return [
                QuoteMade(
                    quote_id=command.quote_id,
                    cart_id=command.cart_id,
                    quoted=command.quoted,
                    at=command.at,
                    expires_at=command.expires_at,
                )
            ]
        case _:
            raise TypeError(f"a quote does not know {type(command).__name__}")


def standing(quote: QuoteState | None, cart_id: UUID, now: datetime) -> QuoteState:
    """The quote, if it is this cart's and stands. Raises Rejected (no_such_quote, quote_expired)."""
    if quote is None or quote.cart_id != cart_id:
        raise NO_SUCH_QUOTE()
    if now >= quote.expires_at:
        raise QUOTE_EXPIRED(expires_at=quote.expires_at.isoformat())
    return quote


def evolve(quote: QuoteState | None, event: Event) -> QuoteState:
    """The quote after the event."""
    match event:
        case QuoteMade():
            return QuoteState(
                quote_id=event.quote_id, cart_id=event.cart_id, quoted=event.quoted, expires_at=event.expires_at
            )
        case _:
            raise TypeError(f"a quote does not know {type(event).__name__}")


QUOTE: Final = Aggregate(
    name="Quote", log="ordering", state=QuoteState, events=(QuoteMade,), decide=decide, evolve=evolve
)
