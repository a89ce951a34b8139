"""The shop's settings as a process sees them: never stale where something is promised, free where nothing is.

Whoever promises something loads the settings into his unit of work and expects that they have not moved (`in_unit`):
the commit itself tells a process whose copy is old, at no round trip. Whoever only shows something asks the log
(`now`). What is decided again at checkout may be a second old (`recent`).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from emporium.application.ports import EventLog
from emporium.application.work import Work
from emporium.domain.shop_settings import (
    ANYWHERE,
    SHOP_SETTINGS,
    STANDARD,
    ShippingMethod,
    ShippingRate,
    ShippingZone,
    ShopSettings,
    TaxRate,
    in_force,
    shop_settings_id,
)

__all__ = ["Terms", "fresh_shop"]

RECENT: Final = 1.0
"""Seconds for which settings are good enough for what a checkout decides again."""

_VAT: Final = {
    "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25", "EE": "24", "ES": "21",
    "FI": "25.5", "FR": "20", "GB": "20", "GR": "24", "HR": "25", "HU": "27", "IE": "23", "IT": "22", "LT": "21",
    "LU": "17", "LV": "21", "MT": "18", "NL": "21", "PL": "23", "PT": "23", "RO": "21", "SE": "25", "SI": "22",
    "SK": "23",
}  # fmt: skip


def fresh_shop(
    *,
    fee: int = 495,
    free_from: int = 5000,
    cart_days: float = 30.0,
    payment_seconds: float = 60.0,
    sender: tuple[str, str] = ("Emporium", "shop@emporium.example"),
) -> ShopSettings:
    """The settings of a shop that nobody has set up: it sells in pounds and euros, everywhere, prices with tax.

    Args:
        fee: what standard shipping costs, in minor units.
        free_from: goods of this value or more are sent free; 0: never.
        cart_days, payment_seconds: see `ShopSettings`.
        sender: name and address of who writes.
    """
    currencies = ("GBP", "EUR")

    def rates(price: int, free: int) -> tuple[ShippingRate, ...]:
        paid = [ShippingRate(currency=one, price=price, below_value=free or None) for one in currencies]
        nothing = [ShippingRate(currency=one, price=0, from_value=free) for one in currencies if free]
        return (*paid, *nothing)

    standard = ShippingMethod(code="standard", name="Standard", min_days=2, max_days=5, rates=rates(fee, free_from))
    express = ShippingMethod(code="express", name="Express", min_days=1, max_days=2, rates=rates(fee + 700, 0))
    return ShopSettings(
        currencies=currencies,
        taxes=tuple(TaxRate(country=country, category=STANDARD, rate=rate) for country, rate in _VAT.items()),
        zones=(ShippingZone(code="world", name="Everywhere", countries=(ANYWHERE,), methods=(standard, express)),),
        cart_days=cart_days,
        payment_seconds=payment_seconds,
        sender_name=sender[0],
        sender_email=sender[1],
    )


class Terms:
    """The settings of one process.

    Args:
        defaults: what holds where staff have chosen nothing.

    Attributes:
        seen: the settings as this process last saw them.
    """

    def __init__(
        self, defaults: ShopSettings | None = None, *, ttl: float = RECENT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.defaults: Final = defaults or fresh_shop()
        self.seen = self.defaults
        self._ttl = ttl
        self._clock = clock
        self._at = float("-inf")
        self._asking: asyncio.Task[ShopSettings] | None = None

    async def in_unit(self, work: Work) -> ShopSettings:
        """The settings on which a unit of the ordering log relies: it commits only while they hold."""
        state = await work.load(SHOP_SETTINGS, shop_settings_id())
        work.expect(shop_settings_id())
        return self._see(in_force(state, self.defaults))

    async def now(self, log: EventLog) -> ShopSettings:
        """The settings as the log knows them now. Raises Unavailable."""
        at = self._clock()
        state, _ = await log.load(SHOP_SETTINGS, shop_settings_id(), fresh=True)
        self._at = at
        return self._see(in_force(state, self.defaults))

    def _see(self, settings: ShopSettings) -> ShopSettings:
        # The same object while they are the same: what was made with them is known by it.
        if settings != self.seen:
            self.seen = settings
        return self.seen

    def known(self) -> ShopSettings | None:
        """The settings, not older than a second; None where they would have to be asked for (`recent`)."""
        return None if self._clock() - self._at > self._ttl else self.seen

    async def recent(self, log: EventLog) -> ShopSettings:
        """The settings, not older than a second: one query a second for all callers of the process."""
        if self._clock() - self._at > self._ttl:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self.now(log))
            await asyncio.shield(self._asking)
        return self.seen
