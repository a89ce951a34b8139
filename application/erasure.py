"""Erasing a person: the account ends, the keys are destroyed, and whatever a crash or a restore left is done again."""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar
from uuid import UUID

from msgspec.structs import replace

from emporium.application import coupons, guest_orders, payment_methods, watches
from emporium.application.commands import handle
from emporium.application.ports import Claim, Meta
from emporium.application.shop import Shop
from emporium.application.work import Work
from emporium.domain.base import Event
from emporium.domain.customer import ACTIVE, CUSTOMER, NO_SUCH_CUSTOMER, CustomerErased, EraseCustomer
from emporium.domain.invitation import InvitationAccepted

__all__ = ["Sessions", "Traces", "complete", "erase", "invitations"]

E = TypeVar("E", bound=Event)

_PAGE: Final = 1_000


class Traces(Protocol):
    """What customers have left that is no event: what they looked at, pictures of their reviews."""

    async def forget(self, customers: Sequence[UUID]) -> int:
        """Throws all of it away; how much there was. May be repeated. Raises Unavailable."""
        ...


class Sessions(Protocol):
    """Who is logged in."""

    async def forget(self, customer: UUID) -> None:
        """Ends all sessions of the customer, and forgets with what devices they were."""
        ...


async def erase(shop: Shop, sessions: Sessions, traces: Traces, *, customer_id: UUID, reason: str, cause: Meta) -> None:
    """Erases the account for good: nothing that is sealed with its key can be read again. May be repeated.

    The orders stay in the books, without the person. Raises `Rejected` (no_such_customer), Unavailable.
    """
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        raise NO_SUCH_CUSTOMER()
    await payment_methods.forget_all(shop, customer)
    meta = replace(cause, correlation=str(customer_id))
    released = []
    if customer.email is not None:
        await shop.vault.load_keys([customer_id])
        address = shop.vault.unseal(customer.email, customer_id, "email")
        value = shop.vault.fingerprint("email", address.casefold())
        released.append(Claim("email", value, customer_id, release=True))
        if customer.verified:
            # Else the address may be somebody else's.
            await shop.run("ordering", meta, lambda work: coupons.forget(work, shop.vault, address))

    async def handler(work: Work) -> None:
        await watches.end_all(work, customer_id, meta)
        await handle(work, EraseCustomer(customer_id=customer_id, reason=reason), meta)
        work.unit.claims.extend(released)

    await shop.run("accounts", meta, handler)
    await _finish(shop, sessions, traces, customer_id)


async def _finish(shop: Shop, sessions: Sessions, traces: Traces, customer_id: UUID) -> None:
    for order_id in await guest_orders.claimed_by(shop.logs["ordering"], customer_id):
        await shop.vault.erase(order_id)
    for invitation_id in await invitations(shop, customer_id):
        await shop.vault.erase(invitation_id)
    await sessions.forget(customer_id)
    await traces.forget([customer_id])
    await shop.vault.erase(customer_id)


async def invitations(shop: Shop, customer_id: UUID) -> list[UUID]:
    """The invitations that the account has accepted; their address is sealed with keys of their own."""
    events = await _all(shop, InvitationAccepted)
    return [event.invitation_id for event in events if event.customer_id == customer_id]


async def _all(shop: Shop, kind: type[E]) -> list[E]:
    """All events of a kind in the log of accounts."""
    found: list[E] = []
    after, upto = -1, 0
    while upto > after:
        after = upto
        events, upto = await shop.logs["accounts"].read(after, _PAGE, topics=[f"accounts.{kind.__name__}"])
        found += [one.event for one in events if isinstance(one.event, kind)]
    return found


async def complete(shop: Shop, sessions: Sessions, traces: Traces) -> int:
    """Finishes every erasure of which a part is missing, as a crash or a restored backup leaves it; how many.

    Also throws away what came after an erasure: a view that another process was just writing down.
    """
    log = shop.logs["accounts"]
    destroyed = {subject for _, subject in await shop.vault.erasures(0)}
    cause = Meta("", "timer:erasures", "system:erasure")
    count = 0
    for subject in destroyed:
        customer, _ = await log.load(CUSTOMER, subject, fresh=True)
        if customer is not None and customer.status == ACTIVE:
            await erase(shop, sessions, traces, customer_id=subject, reason="erased before", cause=cause)
            count += 1
    for erased in await _all(shop, CustomerErased):
        if erased.customer_id not in destroyed:
            await _finish(shop, sessions, traces, erased.customer_id)
            count += 1
    everybody = sorted(destroyed)
    for start in range(0, len(everybody), _PAGE):
        await traces.forget(everybody[start : start + _PAGE])
    return count
