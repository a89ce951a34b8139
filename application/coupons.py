"""Coupon codes in use: which can be used now, and the counters that hold their limits against everybody at once."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID, uuid4

from emporium.application.ports import Claim, EventLog, Vault
from emporium.application.work import Work
from emporium.domain.base import Reason, Rejected
from emporium.domain.order import OrderState
from emporium.domain.promotion import PROMOTIONS, Promotion, PromotionsState, promotions_id

__all__ = [
    "COUPON_UNKNOWN",
    "COUPON_USED_UP",
    "active",
    "forget",
    "give_back",
    "holder_of",
    "in_unit",
    "use",
    "used_up",
    "uses",
]

COUPON_UNKNOWN = Reason("coupon_unknown", "The code {code} cannot be used.", "invalid")
COUPON_USED_UP = Reason("coupon_used_up", "The code {code} was used as often as it can be.")

_UNLIMITED: Final = 2**53

_HOLDERS: Final = "coupon holders"
"""The scope of the claims that give a guest's address its id."""


async def holder_of(work: Work, vault: Vault, customer_id: UUID | None, email: str) -> str:
    """Who uses a code, for its limit per customer: the account, of a guest an id that commits with the first use.

    Which address has which id is a claim, that an erasure deletes: events hold no hash of it.
    """
    if customer_id is not None:
        return str(customer_id)
    known = await work.log.claimed(_HOLDERS, _hash(vault, email))
    if known is None:
        known = uuid4()
        work.unit.claims.append(Claim(_HOLDERS, _hash(vault, email), known))
    return str(known)


async def forget(work: Work, vault: Vault, email: str) -> None:
    """Whose address it was that used codes as a guest is not known any more."""
    known = await work.log.claimed(_HOLDERS, _hash(vault, email))
    if known is not None:
        work.unit.claims.append(Claim(_HOLDERS, _hash(vault, email), known, release=True))


def _hash(vault: Vault, email: str) -> bytes:
    return vault.fingerprint("coupon", email.casefold())


async def in_unit(work: Work, codes: Sequence[str]) -> Mapping[str, Promotion]:
    """The promotions of these codes, on which a unit of the ordering log relies. Raises Rejected (coupon_unknown)."""
    if not codes:
        return {}
    state = await work.load(PROMOTIONS, promotions_id())
    work.expect(promotions_id())
    return {code: active(state, code, work) for code in codes}


def active(state: PromotionsState | None, code: str, work: Work) -> Promotion:
    """The promotion of a code at the unit's time. Raises Rejected (coupon_unknown)."""
    promotion = None if state is None else state.active(code, work.now)
    if promotion is None:
        raise COUPON_UNKNOWN(code=code)
    return promotion


def use(work: Work, promotions: Mapping[str, Promotion], holder: str) -> None:
    """Counts one use of each code with the commit, which raises LimitReached where one was used up."""
    for code, promotion in promotions.items():
        work.count(_all(code), 1, promotion.limit or _UNLIMITED)
        work.count(_one(code, holder), 1, promotion.per_customer or _UNLIMITED)


def used_up(name: str, codes: Sequence[str]) -> Rejected | None:
    """What a counter's limit means to a customer; None for a counter that is no code's."""
    for code in codes:
        if name == _all(code):
            return COUPON_USED_UP(code=code, by="all")
        if name.startswith(_one(code, "")):
            return COUPON_USED_UP(code=code, by="this customer")
    return None


async def uses(log: EventLog, codes: Sequence[str]) -> dict[str, int]:
    """How many orders use each code at present; those that came to nothing have given their use back."""
    counted = await log.counted([_all(code) for code in codes])
    return {code: counted[_all(code)] for code in codes}


def give_back(work: Work, order: OrderState) -> None:
    """The order came to nothing: its codes can be used once more, with the commit that says so."""
    agreed = order.agreement
    if agreed is None or agreed.coupon_holder is None:
        return
    for code in agreed.coupons:
        work.count(_all(code), -1, _UNLIMITED)
        work.count(_one(code, agreed.coupon_holder), -1, _UNLIMITED)


def _all(code: str) -> str:
    return f"coupon/{code}"


def _one(code: str, holder: str) -> str:
    return f"coupon/{code}/{holder}"
