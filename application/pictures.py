"""Pictures of products: cleaned before they are stored, and made in smaller forms by a task afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from emporium.application.commands import handle
from emporium.application.effects import Finished, Park, Perform, Retry, backoff
from emporium.application.ports import BadPicture, EventLog, Idempotency, Media, Meta, Pictures, Task, Unavailable
from emporium.application.schedules import RENDER
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Reason
from emporium.domain.picture import (
    NO_SUCH_PICTURE,
    PICTURE,
    PictureState,
    RecordRenditions,
    Rendition,
    UploadPicture,
    picture_id_of,
)

__all__ = ["WIDTHS", "find", "performers", "upload"]

WIDTHS: Final = (320, 640, 1280)
"""Pixels of the smaller forms."""

PICTURE_REFUSED = Reason("picture_refused", "The picture cannot be taken: {why}.", "invalid")

Keep = Callable[[PictureState], Idempotency | None]
Note = Callable[[str], Awaitable[None]]


async def upload(
    shop: Shop,
    pictures: Pictures,
    media: Media,
    content: bytes,
    cause: Meta,
    note: Note,
    keep: Keep = lambda _: None,
) -> tuple[PictureState, Committed]:
    """Stores a picture; the same one again is the same.

    Args:
        note: remembers that the path is the shop's.

    Raises `Rejected` (picture_refused).
    """
    try:
        clean = await pictures.clean(content)
    except BadPicture as bad:
        raise PICTURE_REFUSED(why=str(bad)) from bad
    # Noted before it is there: the same file may be going at this moment, for a customer had it. Stored before its
    # event: an address in an event always leads somewhere.
    await note(media.path(clean.content, clean.kind))
    url = await asyncio.to_thread(media.put, clean.content, clean.kind)
    stream = picture_id_of(url)
    command = UploadPicture(picture_id=stream, url=url, width=clean.width, height=clean.height)

    async def handler(work: Work) -> PictureState:
        await handle(work, command, cause)
        after = work.state(PICTURE, stream)
        assert after is not None, "it was just uploaded"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("catalog", cause, handler)


async def find(shop: Shop, picture_id: UUID) -> PictureState:
    """Raises `Rejected` (no_such_picture)."""
    state, _ = await shop.logs["catalog"].load(PICTURE, picture_id, fresh=True)
    if state is None:
        raise NO_SUCH_PICTURE()
    return state


def performers(log: EventLog, pictures: Pictures, media: Media) -> dict[str, Perform]:
    """What makes the smaller forms. Made again they are the same files, so that a task may run twice."""

    async def render(task: Task) -> Finished | Retry | Park:
        state, _ = await log.load(PICTURE, task.stream)
        if state is None:
            return Retry(backoff(task.attempts), "the picture is not seen yet")
        if state.renditions is not None:
            return Finished()
        try:
            file = await asyncio.to_thread(media.get, state.url.rpartition("/")[2])
            if file is None:
                return Retry(backoff(task.attempts), "the picture is not where it was stored")
            made = []
            for width in WIDTHS:
                small = await pictures.smaller(file.content, width)
                if small is not None:
                    url = await asyncio.to_thread(media.put, small.content, small.kind)
                    made.append(Rendition(url=url, width=small.width, height=small.height))
        except (OSError, Unavailable) as error:
            return Retry(backoff(task.attempts), str(error))
        return Finished([RecordRenditions(picture_id=task.stream, renditions=tuple(made))])

    return {RENDER: render}
