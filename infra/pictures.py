"""Pictures from people: looked at with bounds, freed of all but what is seen, made smaller; in threads of their own."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from emporium.application.ports import BadPicture, CleanPicture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "PillowPictures"]

T = TypeVar("T")

MAX_PIXELS: Final = 40_000_000
"""More than any camera's need; a picture of so many takes about 160 MB while it is looked at."""

LONGEST_SIDE: Final = 4_096
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")
_AT_ONCE: Final = 2


class PillowPictures:
    """See `emporium.application.ports.Pictures`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pictures")

    def close(self) -> None:
        """Waits for what is under way."""
        self._threads.shutdown(cancel_futures=True)

    async def clean(self, content: bytes) -> CleanPicture:
        """See the port."""
        return await self._off(partial(_clean, content))

    async def smaller(self, content: bytes, width: int) -> CleanPicture | None:
        """See the port."""
        return await self._off(partial(_smaller, content, width))

    async def _off(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _open(content: bytes) -> "Image":
    """The first picture of a file, upright, its pixels read."""
    from PIL import Image, ImageOps

    try:
        picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        # Known from the head alone: nothing was unpacked yet.
        if picture.width * picture.height > MAX_PIXELS:
            raise BadPicture(f"it has {picture.width} times {picture.height} pixels; {MAX_PIXELS} are the most")
        picture.load()
        return ImageOps.exif_transpose(picture)
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture(f"it has too many pixels; {MAX_PIXELS} are the most") from None
    except Exception as error:
        # Decoders of broken files raise whatever comes to them.
        raise BadPicture("it is no picture that can be read (JPEG, PNG, WebP, GIF)") from error


def _clean(content: bytes) -> CleanPicture:
    picture = _open(content)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    seen_through = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    plain = picture.convert("RGBA" if seen_through else "RGB")
    # What was said beside the pixels (place, camera, comments) is left behind.
    plain.info.clear()
    out = io.BytesIO()
    if seen_through:
        plain.save(out, "PNG", optimize=True)
    else:
        plain.save(out, "JPEG", quality=88, optimize=True, progressive=True)
    return CleanPicture(out.getvalue(), "png" if seen_through else "jpg", plain.width, plain.height)


def _smaller(content: bytes, width: int) -> CleanPicture | None:
    picture = _open(content)
    if picture.width < width:
        return None
    height = max(1, round(picture.height * width / picture.width))
    small = picture.resize((width, height))
    small.info.clear()
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80, method=4)
    return CleanPicture(out.getvalue(), "webp", width, height)
