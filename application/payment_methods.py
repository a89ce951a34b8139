"""Saved payment methods: the provider's token, and of the card what may be shown; a card number never comes here."""

import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Reason, stream_id
from emporium.domain.customer import (
    CUSTOMER,
    NO_SUCH_PAYMENT_METHOD,
    ChooseDefaultPaymentMethod,
    RemovePaymentMethod,
    SavePaymentMethod,
)
from emporium.domain.text import check_text

__all__ = ["CARD_NUMBER", "Card", "SavedMethod", "choose", "method_id_of", "methods", "remove", "save", "token_of"]

CARD_NUMBER = Reason("card_number", "This looks like a card number, which never comes here: send a token.", "invalid")
CARD_MALFORMED = Reason("card_malformed", "{field} is not what the provider tells of a card.", "invalid")

_NUMBER: Final = re.compile(r"(?:\d[ -]?){12,19}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_LAST_FOUR: Final = re.compile(r"\d{4}")

Keep = Callable[[UUID], Idempotency | None]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider tells of a payment method; `token` is its own name for it."""

    token: str
    brand: str
    last_four: str
    expiry_month: int
    expiry_year: int


class SavedMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A saved payment method as its owner sees it."""

    method_id: UUID
    provider: str
    brand: str
    last_four: str
    expiry_month: int
    expiry_year: int
    default: bool


def method_id_of(customer_id: UUID, provider: str, token: str) -> UUID:
    """The id of a saved method: the same token is saved once."""
    return stream_id("payment method", customer_id, provider, token)


async def save(
    shop: Shop, *, customer_id: UUID, provider: str, card: Card, cause: Meta, keep: Keep = lambda _: None
) -> tuple[UUID, Committed]:
    """Remembers a payment method of the provider. Raises `Rejected` (card_number, too_many_payment_methods …)."""
    if _NUMBER.fullmatch(card.token):
        raise CARD_NUMBER(field="token")
    if _TOKEN.fullmatch(card.token) is None:
        raise CARD_MALFORMED(field="token")
    if _LAST_FOUR.fullmatch(card.last_four) is None:
        raise CARD_MALFORMED(field="last_four")
    tidy = replace(card, brand=check_text("brand", card.brand, 32))
    if _NUMBER.fullmatch(tidy.brand):
        raise CARD_NUMBER(field="brand")
    method_id = method_id_of(customer_id, provider, card.token)
    await shop.vault.key_for(customer_id)
    sealed = shop.vault.seal(customer_id, "PaymentMethodSaved", customer_id, "details", msgspec.to_builtins(tidy))
    command = SavePaymentMethod(customer_id=customer_id, method_id=method_id, provider=provider, details=sealed)
    meta = replace(cause, correlation=str(customer_id))

    async def handler(work: Work) -> None:
        await handle(work, command, meta)
        work.unit.idempotency = keep(method_id)

    _, committed = await shop.run("accounts", meta, handler)
    return method_id, committed


async def methods(shop: Shop, customer_id: UUID) -> list[SavedMethod]:
    """The customer's saved payment methods, the oldest first."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        return []
    await shop.vault.load_keys([customer_id])
    found = []
    for method_id, saved in customer.methods.items():
        clear: Any = shop.vault.unseal(saved.details, customer_id, "details")
        if isinstance(clear, dict):
            card = msgspec.convert(clear, Card)
            found.append(
                SavedMethod(
                    method_id=method_id,
                    provider=saved.provider,
                    brand=card.brand,
                    last_four=card.last_four,
                    expiry_month=card.expiry_month,
                    expiry_year=card.expiry_year,
                    default=customer.default_method == method_id,
                )
            )
    return found


async def token_of(shop: Shop, customer_id: UUID, method_id: UUID | None) -> tuple[str, str]:
    """The provider and its token for a saved method (None: the default one). Raises `Rejected` (no_such_…)."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    wanted = method_id if method_id is not None or customer is None else customer.default_method
    saved = None if customer is None or wanted is None else customer.methods.get(wanted)
    if saved is None:
        raise NO_SUCH_PAYMENT_METHOD()
    await shop.vault.load_keys([customer_id])
    card = msgspec.convert(shop.vault.unseal(saved.details, customer_id, "details"), Card)
    return saved.provider, card.token


async def choose(shop: Shop, *, customer_id: UUID, method_id: UUID, cause: Meta) -> Committed:
    """Takes the method unless another is named. Raises `Rejected` (no_such_payment_method)."""
    command = ChooseDefaultPaymentMethod(customer_id=customer_id, method_id=method_id)
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def remove(shop: Shop, *, customer_id: UUID, method_id: UUID, cause: Meta) -> Committed:
    """Forgets the method. Raises `Rejected` (no_such_payment_method)."""
    command = RemovePaymentMethod(customer_id=customer_id, method_id=method_id)
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))
