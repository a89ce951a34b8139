"""Orders of guests: found by the keyed hash of their address, and taken over by the account that proves to own it."""

from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Claim, EventLog, Meta, Vault
from emporium.application.shop import Shop
from emporium.application.work import Work
from emporium.domain.base import Rejected
from emporium.domain.customer import ACTIVE, CUSTOMER
from emporium.domain.order import ClaimOrder

__all__ = ["claim", "claimed_by", "note"]

_TAKEN: Final = "claimed orders"


def _scope(vault: Vault, email: str) -> str:
    return "guest orders " + vault.fingerprint("guest orders", email.casefold()).hex()


def note(vault: Vault, email: str, order_id: UUID) -> Claim:
    """What commits with a guest's order, so that it can be found by its address; no event holds a hash of it."""
    return Claim(_scope(vault, email), order_id.bytes, order_id)


async def claim(shop: Shop, customer_id: UUID, cause: Meta) -> int:
    """Gives the account the guest orders of its address, if that is verified; how many. May be repeated."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None or customer.status != ACTIVE or not customer.verified or customer.email is None:
        return 0
    await shop.vault.load_keys([customer_id])
    scope = _scope(shop.vault, shop.vault.unseal(customer.email, customer_id, "email"))
    count = 0
    for order_id in await shop.logs["ordering"].claims(scope):
        if await _take(shop, scope, order_id, customer_id, replace(cause, correlation=str(order_id))):
            count += 1
    return count


async def _take(shop: Shop, scope: str, order_id: UUID, customer_id: UUID, cause: Meta) -> bool:
    async def handler(work: Work) -> None:
        await handle(work, ClaimOrder(order_id=order_id, customer_id=customer_id), cause)
        work.unit.claims.append(Claim(scope, order_id.bytes, order_id, release=True))
        work.unit.claims.append(Claim(f"{_TAKEN} {customer_id}", order_id.bytes, order_id))

    try:
        await shop.run("ordering", cause, handler)
    except Rejected:
        return False
    return True


async def claimed_by(log: EventLog, customer_id: UUID) -> list[UUID]:
    """The orders that the account took over; their personal data is sealed with keys of their own."""
    return await log.claims(f"{_TAKEN} {customer_id}")
