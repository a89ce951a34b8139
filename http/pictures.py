"""/api/v1/admin/pictures: staff upload pictures; each is checked, cleaned, and given an address by its content."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import PathParameter

from emporium.application import pictures
from emporium.domain.picture import PictureState, Rendition
from emporium.http.auth import staff
from emporium.http.caching import tagged
from emporium.http.idempotency import Answer, once
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import picture_owners

__all__ = ["PictureController"]

LONGEST_PICTURE = 10_000_000
"""Bytes that a picture may have."""


class PictureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A picture: `url` is what a product names; `sizes` are null until they were made, moments later. Pixels."""

    picture_id: UUID
    url: str
    width: int
    height: int
    sizes: tuple[Rendition, ...] | None


class PictureController(Controller):
    """Pictures."""

    path = "/admin/pictures"
    tags = ["catalog"]
    guards = [staff("catalog_manager")]

    @post("/", status_code=201, opt={"idempotent": True, "upload": "image/*", "longest_body": LONGEST_PICTURE})
    async def upload_picture(self, request: Request) -> Reply[PictureRecord]:
        """Stores the picture that is the body (JPEG, PNG, WebP, GIF; up to 10 MB and 40 million pixels).

        What is not seen of it, such as where it was taken, is removed. The same picture again is the same.
        """
        session = await request.customer()
        services = request.services
        content = await request.body()
        cause = request.cause(actor_of(session), request.id)

        async def note(path: str) -> None:
            await services.reads.run(
                lambda connection: picture_owners.note(connection, picture_owners.SHOP, [path], used=True)
            )

        def answer(state: PictureState) -> Answer:
            return Answer.of(_record(state), location=f"/api/v1/admin/pictures/{state.picture_id}")

        return await once(
            request,
            "catalog",
            actor_of(session),
            answer,
            lambda keep: pictures.upload(services.shop, services.pictures, services.media, content, cause, note, keep),
        )

    @get("/{picture_id:uuid}", opt={"tagged": True})
    async def show_picture(
        self, request: Request, picture_id: Annotated[UUID, PathParameter(description="The id of a picture.")]
    ) -> Reply[PictureRecord]:
        """A picture with its smaller forms."""
        return tagged(request, _record(await pictures.find(request.services.shop, picture_id)))


def _record(state: PictureState) -> PictureRecord:
    return PictureRecord(
        picture_id=state.picture_id, url=state.url, width=state.width, height=state.height, sizes=state.renditions
    )
