"""What customers leave that is no event, thrown away with them: what they looked at, pictures of their reviews."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar
from uuid import UUID

from emporium.application.ports import Media, Unavailable
from emporium.domain.cart import cart_id_of
from emporium.projections import picture_owners, views
from emporium.projections.model import Connection

__all__ = ["UNUSED", "Traces"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

UNUSED: Final = timedelta(days=7)
"""How long a picture is kept for a review that does not come."""

_PAGE: Final = 500


class Reads(Protocol):
    """Connections to the read models' database."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T: ...


class Traces:
    """See `emporium.application.erasure.Traces`."""

    def __init__(self, reads: Reads, media: Media) -> None:
        self._reads = reads
        self._media = media

    async def forget(self, customers: Sequence[UUID]) -> int:
        """See the port. A file that cannot be deleted now is left for the next time."""
        visitors = [cart_id_of(one) for one in customers]
        seen = await self._reads.run(lambda connection: views.forget(connection, visitors))
        held = await self._reads.run(lambda connection: picture_owners.of(connection, customers))
        return seen + await self._let_go(held)

    async def purge(self, now: datetime) -> int:
        """Throws pictures away that were uploaded for reviews that never came; how many."""
        work = partial(picture_owners.unused, before=now - UNUSED, most=_PAGE)
        return await self._let_go(await self._reads.run(work))

    async def _let_go(self, held: Sequence[tuple[str, UUID]]) -> int:
        count = 0
        for path, owner in held:
            try:
                await self._reads.run(partial(picture_owners.let_go, path=path, owner=owner, delete=self._delete))
                count += 1
            except Unavailable as error:
                _log.warning("the picture %s cannot be deleted now: %s", path, error)
        return count

    async def _delete(self, path: str) -> None:
        try:
            await asyncio.to_thread(self._media.delete, path)
        except OSError as error:
            # Not as it is: a connection that is lost looks the same, and would be tried again.
            raise Unavailable(f"the file cannot be deleted: {error}") from error
