"""All that a process of the shop works with, and the one way to carry out a command."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from emporium.application.admission import Till
from emporium.application.commands import handle, log_of
from emporium.application.ports import (
    Carrier,
    Claim,
    Clock,
    EventLog,
    Idempotency,
    Leases,
    Meta,
    Notices,
    ParcelNotices,
    Provider,
    Traces,
    Vault,
)
from emporium.application.schedules import TimeLimits
from emporium.application.terms import Terms
from emporium.application.work import Committed, Schedule, Work, execute
from emporium.domain.base import Command, Money

__all__ = ["Offer", "Offers", "Passwords", "Shop"]

R = TypeVar("R")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a SKU can be had for now: its price (None where it has none in this currency) and available units.

    Taxed as its `tax_class` says; one unit weighs `weight` grams.
    `supplied` is how many units there are or ever were, on hand or sent to customers, or may be sold before they are
    there; None where nobody knows. Of these last ones `later` are left: expected, or released (`kind`), on a day.
    """

    sku: str
    product_id: UUID
    title: str
    price: Money | None
    available: int
    tax_class: str = "standard"
    weight: int = 0
    supplied: int | None = None
    later: int = 0
    kind: str | None = None
    expected: date | None = None

    @property
    def obtainable(self) -> int:
        """Units that can be ordered."""
        return self.available + self.later


class Offers(Protocol):
    """Prices and availability for cart and checkout."""

    async def offers(self, skus: Sequence[str], currency: str) -> Mapping[str, Offer]:
        """The published SKUs among these, with one query."""
        ...


class Passwords(Protocol):
    """Slow hashes of passwords, off the event loop and bounded."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, stored: str, password: str) -> bool: ...

    async def dummy_verify(self, password: str) -> bool:
        """Takes as long as verify and answers False."""
        ...

    def is_common(self, password: str) -> bool:
        """Whether it is one of those that are tried first."""
        ...


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of one process, put together by the composition root.

    Attributes:
        logs: one per context.
        leases: by context, in the context's database.
        schedule: which tasks an event makes necessary.
        notices: reads what the payment provider tells by itself; None where it tells nothing.
        parcel_notices: reads what the carrier tells by itself; None where it tells nothing.
        currency: of prices and carts unless another is asked for.
        terms: the shop's settings.
        till: where those wait who want the last units.
    """

    logs: Mapping[str, EventLog]
    leases: Mapping[str, Leases]
    clock: Clock
    vault: Vault
    passwords: Passwords
    provider: Provider
    carrier: Carrier
    offers: Offers
    schedule: Schedule
    limits: TimeLimits
    currency: str = "GBP"
    traces: Traces | None = None
    terms: Terms = msgspec.field(default_factory=Terms)
    till: Till = msgspec.field(default_factory=Till)
    notices: Notices | None = None
    parcel_notices: ParcelNotices | None = None

    async def execute(
        self,
        command: Command,
        cause: Meta,
        *,
        idempotency: Idempotency | None = None,
        claims: Sequence[Claim] = (),
    ) -> Committed:
        """Carries out one command. Raises Rejected and what `EventLog.append` raises."""

        async def handler(work: Work) -> None:
            await handle(work, command, cause)
            work.unit.claims.extend(claims)
            work.unit.idempotency = idempotency

        return (await self.run(log_of(command), cause, handler))[1]

    async def run(self, log: str, cause: Meta, handler: Callable[[Work], Awaitable[R]]) -> tuple[R, Committed]:
        """Runs several decisions of one log as one unit; the handler runs again after a conflict."""
        return await execute(self.logs[log], self.clock, cause, self.schedule, handler)
