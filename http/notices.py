"""What a counterpart tells by itself: read from the raw body by its signature, and taken in once."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from emporium.application.ports import BadNotice, Meta, ProviderDown
from emporium.application.shop import Shop
from emporium.http.problems import KINDS
from emporium.http.request import Request

__all__ = ["heard"]

N = TypeVar("N")


async def heard(
    request: Request,
    signature: str,
    read: Callable[[bytes, str, datetime], N | None],
    receive: Callable[[Shop, N, Meta], Awaitable[bool]],
    actor: str,
) -> bool:
    """Whether it changed anything; what `read` knows to be of no matter does not. Raises Problem."""
    shop = request.services.shop
    body = await request.body()
    try:
        notice = read(body, signature, shop.clock.now())
    except BadNotice as bad:
        raise KINDS.invalid_header(f"The webhook is not accepted: {bad}.") from bad
    if notice is None:
        return False
    try:
        return await receive(shop, notice, request.cause(actor, ""))
    except ProviderDown as down:
        # It is sent again, and whatever is missed is found by asking.
        raise KINDS.unavailable(headers={"Retry-After": "60"}) from down
