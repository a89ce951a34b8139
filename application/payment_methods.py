"""Saved payment methods: the provider's token, and of the card what may be shown; a card number never comes here."""

import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta, MethodRefused, ProviderDown, SavedMethod, Unavailable
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Reason, stream_id
from emporium.domain.customer import (
    CUSTOMER,
    NO_SUCH_PAYMENT_METHOD,
    ChooseDefaultPaymentMethod,
    CustomerState,
    RemovePaymentMethod,
    SavePaymentMethod,
)

__all__ = ["CARD_NUMBER", "SAVED", "MethodView", "choose", "forget_all", "methods", "remove", "save", "token_of"]

CARD_NUMBER = Reason("card_number", "This looks like a card number, which never comes here: send a token.", "invalid")
METHOD_REFUSED = Reason("method_refused", "The provider does not keep this payment method: {code}.", "invalid")

SAVED: Final = "saved"
"""What an order names as its payment method where a saved one is charged."""

_NUMBER: Final = re.compile(r"(?:\d[ -]?){12,19}")

Keep = Callable[[UUID], Idempotency | None]


class MethodView(msgspec.Struct, frozen=True, kw_only=True):
    """A saved payment method as its owner sees it; `expires` is such as `2030-12`."""

    method_id: UUID
    brand: str
    last_four: str
    expires: str | None
    default: bool


async def save(
    shop: Shop, *, customer_id: UUID, method: str, cause: Meta, keep: Keep = lambda _: None
) -> tuple[UUID, Committed]:
    """Lets the provider keep a method for the customer, and remembers its token; the same one is saved once.

    Args:
        method: the token that the provider's script gave the customer.

    Raises `Rejected` (card_number, method_refused, too_many_payment_methods), Unavailable.
    """
    if _NUMBER.fullmatch(method):
        raise CARD_NUMBER(field="method")
    try:
        kept = await shop.provider.save_method(
            f"method-{stream_id('payment method', customer_id, method)}", customer_id, method
        )
    except MethodRefused as refused:
        raise METHOD_REFUSED(code=refused.code, field="method") from None
    except ProviderDown as down:
        raise Unavailable("the payment provider does not answer") from down
    method_id = stream_id("payment method", customer_id, kept.token)
    await shop.vault.key_for(customer_id)
    sealed = shop.vault.seal(customer_id, "PaymentMethodSaved", customer_id, "details", msgspec.to_builtins(kept))
    command = SavePaymentMethod(customer_id=customer_id, method_id=method_id, details=sealed)
    meta = replace(cause, correlation=str(customer_id))

    async def handler(work: Work) -> None:
        await handle(work, command, meta)
        work.unit.idempotency = keep(method_id)

    _, committed = await shop.run("accounts", meta, handler)
    return method_id, committed


async def methods(shop: Shop, customer_id: UUID) -> list[MethodView]:
    """The customer's saved payment methods, the oldest first."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        return []
    return [
        MethodView(
            method_id=method_id,
            brand=kept.brand,
            last_four=kept.last_four,
            expires=kept.expires,
            default=customer.default_method == method_id,
        )
        for method_id, kept in (await _clear(shop, customer)).items()
    ]


async def token_of(shop: Shop, customer_id: UUID, method_id: UUID | None = None) -> str:
    """The provider's token of a saved method (None: the default one). Raises `Rejected` (no_such_payment_method)."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        raise NO_SUCH_PAYMENT_METHOD()
    wanted = customer.default_method if method_id is None else method_id
    kept = None if wanted is None else (await _clear(shop, customer)).get(wanted)
    if kept is None:
        raise NO_SUCH_PAYMENT_METHOD()
    return kept.token


async def choose(shop: Shop, *, customer_id: UUID, method_id: UUID, cause: Meta) -> Committed:
    """Takes the method unless another is named. Raises `Rejected` (no_such_payment_method)."""
    command = ChooseDefaultPaymentMethod(customer_id=customer_id, method_id=method_id)
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def remove(shop: Shop, *, customer_id: UUID, method_id: UUID, cause: Meta) -> Committed:
    """Forgets the method, the provider first. Raises `Rejected` (no_such_payment_method), Unavailable."""
    await _forget(shop, await token_of(shop, customer_id, method_id))
    command = RemovePaymentMethod(customer_id=customer_id, method_id=method_id)
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))


async def forget_all(shop: Shop, customer: CustomerState) -> None:
    """Lets the provider forget all methods of an account that is to be erased. Raises Unavailable."""
    for kept in (await _clear(shop, customer)).values():
        await _forget(shop, kept.token)


async def _forget(shop: Shop, token: str) -> None:
    try:
        await shop.provider.forget_method(token)
    except ProviderDown as down:
        raise Unavailable("the payment provider does not answer") from down


async def _clear(shop: Shop, customer: CustomerState) -> dict[UUID, SavedMethod]:
    """The methods whose key still is there."""
    await shop.vault.load_keys([customer.customer_id])
    clear: dict[UUID, Any] = {
        method_id: shop.vault.unseal(details, customer.customer_id, "details")
        for method_id, details in customer.methods.items()
    }
    return {
        method_id: msgspec.convert(kept, SavedMethod) for method_id, kept in clear.items() if isinstance(kept, dict)
    }
