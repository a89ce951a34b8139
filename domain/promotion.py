"""Promotions: what a coupon code takes off, for whom, from when to when, and how often.

All of them are one stream, as there are few and staff want to see them together. How often a code was used is not
here: a counter beside the events holds the limit against everybody who is at it at once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import (
    AMOUNT_OUT_OF_RANGE,
    MAX_AMOUNT,
    Aggregate,
    Command,
    Event,
    Money,
    Reason,
    State,
    stream_id,
)
from emporium.domain.shop_settings import check_percent
from emporium.domain.text import check_shape, check_text

MAX_PROMOTIONS: Final = 5_000
MAX_SKUS: Final = 500
MAX_USES: Final = 10**9
MAX_UNITS: Final = 1_000

PERCENTAGE, FIXED, FREE_SHIPPING, BUY_X_GET_Y = "percentage", "fixed", "free_shipping", "buy_x_get_y"

ORDER_OF_KINDS: Final = (BUY_X_GET_Y, PERCENTAGE, FIXED, FREE_SHIPPING)
"""In which order several promotions are taken off, each from what the earlier ones left."""


def promotions_id() -> UUID:
    """The id of the only stream of promotions."""
    return stream_id("promotions")


def code_of(text: str) -> str:
    """A coupon code however it was typed: case and blanks around it do not matter. Raises Rejected (wrong_shape)."""
    return check_shape("code", text.strip().upper(), "code")


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """What a code does.

    Attributes:
        name: for customers.
        kind: `percentage` takes off `percent`; `fixed` the amount of `amounts` in the cart's currency;
            `free_shipping` what the shipping costs; `buy_x_get_y` gives of every `buy` + `get` units the
            `get` cheapest for nothing.
        skus: for which alone it holds; empty: for all.
        minimum: what the goods it holds for must cost, by currency, before anything is taken off.
        starts_at, ends_at: from when, and until when (exclusive); None: no bound.
        limit, per_customer: how many orders may use it, of all and of one customer; None: any number.
        combinable: other codes may be used with it.
    """

    name: str
    kind: str
    percent: str | None = None
    amounts: tuple[Money, ...] = ()
    buy: int | None = None
    get: int | None = None
    skus: tuple[str, ...] = ()
    minimum: tuple[Money, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    limit: int | None = None
    per_customer: int | None = None
    combinable: bool = True


# --- events ----------------------------------------------------------------------------------------


class PromotionCreated(Event, frozen=True, kw_only=True):
    """A code can be used, within what it says."""

    code: str
    promotion: Promotion
    at: datetime


class PromotionChanged(Event, frozen=True, kw_only=True):
    """The code does something else from now on. An ended one begins again."""

    code: str
    promotion: Promotion
    at: datetime


class PromotionEnded(Event, frozen=True, kw_only=True):
    """The code cannot be used any more. Orders that used it keep what they were promised."""

    code: str
    at: datetime


# --- state -----------------------------------------------------------------------------------------


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion, and whether staff have ended it."""

    promotion: Promotion
    ended: bool = False
    created_at: datetime
    changed_at: datetime


class PromotionsState(State, frozen=True, kw_only=True):
    """All promotions by code."""

    by_code: dict[str, Known] = {}

    def active(self, code: str, now: datetime) -> Promotion | None:
        """The promotion of a code that can be used now."""
        known = self.by_code.get(code)
        if known is None or known.ended:
            return None
        promotion = known.promotion
        begun = promotion.starts_at is None or promotion.starts_at <= now
        return promotion if begun and (promotion.ends_at is None or now < promotion.ends_at) else None


# --- commands --------------------------------------------------------------------------------------


class CreatePromotion(Command, frozen=True, kw_only=True):
    code: str
    promotion: Promotion
    at: datetime


class ChangePromotion(Command, frozen=True, kw_only=True):
    code: str
    promotion: Promotion
    at: datetime


class EndPromotion(Command, frozen=True, kw_only=True):
    code: str
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_PROMOTION = Reason("no_such_promotion", "There is no promotion with the code {code}.", "missing")
PROMOTION_EXISTS = Reason("promotion_exists", "There is a promotion with the code {code} already.")
TOO_MANY_PROMOTIONS = Reason("too_many_promotions", "There can be at most {most} promotions.")
PROMOTION_WRONG = Reason("promotion_wrong", "{field}: {why}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, state: PromotionsState | None) -> Sequence[Event]:
    """The event that the command makes of the promotions. Raises Rejected."""
    state = state or PromotionsState()
    match command:
        case CreatePromotion():
            code = code_of(command.code)
            if code in state.by_code:
                raise PROMOTION_EXISTS(code=code)
            if len(state.by_code) >= MAX_PROMOTIONS:
                raise TOO_MANY_PROMOTIONS(most=MAX_PROMOTIONS)
            return [PromotionCreated(code=code, promotion=_checked(command.promotion), at=command.at)]
        case ChangePromotion():
            known = _known(state, command.code)
            promotion = _checked(command.promotion)
            if known.promotion == promotion and not known.ended:
                return []
            return [PromotionChanged(code=command.code, promotion=promotion, at=command.at)]
        case EndPromotion():
            if _known(state, command.code).ended:
                return []
            return [PromotionEnded(code=command.code, at=command.at)]
        case _:
            raise TypeError(f"the promotions do not know {type(command).__name__}")


def _known(state: PromotionsState, code: str) -> Known:
    if code not in state.by_code:
        raise NO_SUCH_PROMOTION(code=code)
    return state.by_code[code]


def _checked(promotion: Promotion) -> Promotion:
    name = check_text("name", promotion.name, 100)
    if promotion.kind not in ORDER_OF_KINDS:
        raise PROMOTION_WRONG(field="kind", why=f"one of {', '.join(ORDER_OF_KINDS)}")
    needed = {PERCENTAGE: {"percent"}, FIXED: {"amounts"}, FREE_SHIPPING: set[str](), BUY_X_GET_Y: {"buy", "get"}}
    for field in ("percent", "amounts", "buy", "get"):
        there = getattr(promotion, field) not in (None, ())
        if there != (field in needed[promotion.kind]):
            raise PROMOTION_WRONG(field=field, why=f"{'not ' if there else ''}needed for {promotion.kind}")
    if promotion.percent is not None:
        check_percent("percent", promotion.percent)
    for field, number, most in (
        ("buy", promotion.buy, MAX_UNITS),
        ("get", promotion.get, MAX_UNITS),
        ("limit", promotion.limit, MAX_USES),
        ("per_customer", promotion.per_customer, MAX_USES),
    ):
        if number is not None and not 1 <= number <= most:
            raise PROMOTION_WRONG(field=field, why=f"from 1 to {most}, not {number}")
    _amounts("amounts", promotion.amounts)
    _amounts("minimum", promotion.minimum)
    if len(promotion.skus) > MAX_SKUS:
        raise PROMOTION_WRONG(field="skus", why=f"{MAX_SKUS} at most")
    for n, sku in enumerate(promotion.skus):
        check_shape(f"skus.{n}", sku, "sku")
    if promotion.starts_at is not None and promotion.ends_at is not None and promotion.ends_at <= promotion.starts_at:
        raise PROMOTION_WRONG(field="ends_at", why="it ends before it begins")
    return replace(promotion, name=name)


def _amounts(field: str, amounts: tuple[Money, ...]) -> None:
    seen = set()
    for n, amount in enumerate(amounts):
        check_shape(f"{field}.{n}.currency", amount.currency, "currency")
        if not 1 <= amount.amount <= MAX_AMOUNT:
            raise AMOUNT_OUT_OF_RANGE(amount=amount.amount)
        if amount.currency in seen:
            raise PROMOTION_WRONG(field=f"{field}.{n}", why=f"{amount.currency} stands there twice")
        seen.add(amount.currency)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(state: PromotionsState | None, event: Event) -> PromotionsState:
    """The promotions after the event."""
    there = {} if state is None else state.by_code
    match event:
        case PromotionCreated():
            new = Known(promotion=event.promotion, created_at=event.at, changed_at=event.at)
        case PromotionChanged():
            new = replace(there[event.code], promotion=event.promotion, ended=False, changed_at=event.at)
        case PromotionEnded():
            new = replace(there[event.code], ended=True, changed_at=event.at)
        case _:
            raise TypeError(f"the promotions do not know {type(event).__name__}")
    return PromotionsState(by_code={**there, event.code: new})


PROMOTIONS: Final = Aggregate(
    name="Promotions",
    log="ordering",
    state=PromotionsState,
    events=(PromotionCreated, PromotionChanged, PromotionEnded),
    decide=decide,
    evolve=evolve,
)
