"""A picture that was uploaded, under the address that its content gives it, and the smaller forms made of it."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id

__all__ = [
    "NO_SUCH_PICTURE",
    "PICTURE",
    "PictureRendered",
    "PictureState",
    "PictureUploaded",
    "RecordRenditions",
    "Rendition",
    "UploadPicture",
    "picture_id_of",
]


def picture_id_of(url: str) -> UUID:
    """The id of the picture at an address."""
    return stream_id("picture", url)


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """The picture in another size, as WebP; pixels."""

    url: str
    width: int
    height: int


# --- events ----------------------------------------------------------------------------------------


class PictureUploaded(Event, frozen=True, kw_only=True):
    """A picture was checked, freed of all but what is seen, and stored; pixels."""

    picture_id: UUID
    url: str
    width: int
    height: int


class PictureRendered(Event, frozen=True, kw_only=True):
    """The picture is there in these forms as well, the smallest first."""

    picture_id: UUID
    url: str
    renditions: tuple[Rendition, ...]


# --- state -----------------------------------------------------------------------------------------


class PictureState(State, frozen=True, kw_only=True):
    """A picture; `renditions` are None until they were made."""

    picture_id: UUID
    url: str
    width: int
    height: int
    renditions: tuple[Rendition, ...] | None = None


# --- commands --------------------------------------------------------------------------------------


class UploadPicture(Command, frozen=True, kw_only=True):
    """The same picture again changes nothing."""

    picture_id: UUID
    url: str
    width: int
    height: int


class RecordRenditions(Command, frozen=True, kw_only=True):
    picture_id: UUID
    renditions: tuple[Rendition, ...]


NO_SUCH_PICTURE = Reason("no_such_picture", "There is no such picture.", "missing")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, picture: PictureState | None) -> Sequence[Event]:
    """The events that the command makes of this picture. Raises Rejected."""
    match command:
        case UploadPicture():
            if picture is not None:
                return []
            return [
                PictureUploaded(
                    picture_id=command.picture_id, url=command.url, width=command.width, height=command.height
                )
            ]
        case RecordRenditions():
            if picture is None:
                raise NO_SUCH_PICTURE()
            if picture.renditions is not None:
                return []
            return [PictureRendered(picture_id=command.picture_id, url=picture.url, renditions=command.renditions)]
        case _:
            raise TypeError(f"a picture does not know {type(command).__name__}")


def evolve(picture: PictureState | None, event: Event) -> PictureState:
    """The picture after the event."""
    if isinstance(event, PictureUploaded):
        return PictureState(picture_id=event.picture_id, url=event.url, width=event.width, height=event.height)
    if picture is None:
        raise ValueError("a picture begins with PictureUploaded")
    if isinstance(event, PictureRendered):
        return replace(picture, renditions=event.renditions)
    raise TypeError(f"a picture does not know {type(event).__name__}")


PICTURE: Final = Aggregate(
    name="Picture",
    log="catalog",
    state=PictureState,
    events=(PictureUploaded, PictureRendered),
    decide=decide,
    evolve=evolve,
)
