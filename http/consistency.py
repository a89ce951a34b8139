"""Read your own writes: a token on every write, and reads that wait, bounded, until they include it."""

from contextlib import suppress
from typing import Final

from emporium.http.problems import KINDS
from emporium.http.request import Request
from emporium.projections.consistency import Token, TokenRefused, token_of

__all__ = ["PATIENCE", "includes", "token_after"]

PATIENCE: Final = 2.0
"""Seconds that a read waits for what its token asks for."""

_HEADER: Final = b"consistency-token"


def token_after(request: Request, log: str, position: int) -> bytes:
    """The token of a write, which also asks for all that the request's own token asked for."""
    token = token_of(request.services.shop.logs[log], position)
    given = request.header(_HEADER)
    if given is not None:
        # What was written is told even to a caller whose own token is of no use.
        with suppress(TokenRefused):
            token = Token.decode(given.decode("latin-1")).merge(token)
    return token.encode().encode()


async def includes(request: Request, *models: str) -> None:
    """Waits until the read models serve and include the request's token.

    Raises Problem: invalid_header, stale_token (another life of a log), not_yet_visible.
    """
    given = request.header(_HEADER)
    token = None
    if given is not None:
        try:
            token = Token.decode(given.decode("latin-1"))
        except TokenRefused:
            raise KINDS.invalid_header("The Consistency-Token is not one that this shop gave.") from None
    try:
        if not await request.services.waiter.wait(models, token, PATIENCE):
            raise KINDS.not_yet_visible(headers={"Retry-After": "1"})
    except TokenRefused:
        raise KINDS.stale_token() from None
