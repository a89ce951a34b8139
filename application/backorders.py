"""What may be sold before it is there, as staff say, and who waits for it."""

from datetime import datetime
from typing import Final

from emporium.application.commands import handle
from emporium.application.ports import Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.backorder import (
    BACKORDERS,
    NO_BACKORDER,
    AllowBackorder,
    BackorderState,
    EndBackorder,
    backorder_id_of,
    evolve,
)

__all__ = ["settle", "show"]

_STRETCH: Final = 250
"""Events that are read at once."""


async def settle(shop: Shop, command: AllowBackorder | EndBackorder, cause: Meta) -> tuple[BackorderState, Committed]:
    """Allows, changes or ends it: how it stands then. Raises `Rejected` (expected_in_past, no_backorder …)."""

    async def handler(work: Work) -> BackorderState:
        await handle(work, command)
        after = work.state(BACKORDERS, backorder_id_of(command.sku))
        assert after is not None, "it was decided on"
        return after

    return await shop.run("inventory", cause, handler)


async def show(shop: Shop, sku: str, as_of: datetime | None) -> BackorderState:
    """How it stands now, or stood at a moment. Raises `Rejected` (no_backorder)."""
    log, stream = shop.logs["inventory"], backorder_id_of(sku)
    state: BackorderState | None = None
    if as_of is None:
        state, _ = await log.load(BACKORDERS, stream, fresh=True)
    else:
        version = 0
        while events := await log.stream(stream, after=version, limit=_STRETCH):
            for one in events:
                if one.at <= as_of:
                    state = evolve(state, one.event)
            version = events[-1].version
            if events[-1].at > as_of:
                break
    if state is None:
        raise NO_BACKORDER(sku=sku)
    return state
