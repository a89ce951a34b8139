"""A shop in memory, for tests of what works through `Shop`."""

from datetime import timedelta
from typing import Any, cast

from emporium.application.schedules import TimeLimits, scheduler
from emporium.application.shop import Shop
from emporium.domain.registry import LOGS
from tests.support.memory import ManualClock, MemoryLog

__all__ = ["MemoryShop"]


class MemoryShop:
    """A shop and its logs as what they are."""

    def __init__(self) -> None:
        self.logs = {log: MemoryLog(log) for log in LOGS}
        self.clock = ManualClock()
        limits = TimeLimits(cart=timedelta(days=30))
        absent = cast(Any, None)
        self.shop = Shop(
            logs=cast(Any, self.logs),
            leases={},
            clock=self.clock,
            vault=absent,
            passwords=absent,
            provider=absent,
            carrier=absent,
            offers=absent,
            schedule=scheduler(limits),
            limits=limits,
        )
