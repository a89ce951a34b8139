"""Promotions as staff make them: create, change, end."""

from collections.abc import Callable

from emporium.application.commands import handle
from emporium.application.ports import Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command
from emporium.domain.promotion import PROMOTIONS, PromotionsState, promotions_id

__all__ = ["carry_out"]

Keep = Callable[[PromotionsState], Idempotency | None]


async def carry_out(
    shop: Shop, command: Command, cause: Meta, keep: Keep = lambda _: None
) -> tuple[PromotionsState, Committed]:
    """Carries out a command for promotions; all of them after it. Raises `Rejected` (promotion_exists …)."""

    async def handler(work: Work) -> PromotionsState:
        await handle(work, command, cause)
        after = work.state(PROMOTIONS, promotions_id())
        assert after is not None, "something was made"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("ordering", cause, handler)
