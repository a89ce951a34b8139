"""Files that pages show, in the data folder under the hash of their content: what is there never changes."""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from emporium.application.ports import MediaFile

__all__ = ["URL", "MediaFolder"]

URL: Final = "/media/"
"""The path under which the gateway serves them."""

_TYPES: Final = {"svg": "image/svg+xml"}
_NAME: Final = re.compile(rf"[0-9a-f]{{64}}\.({'|'.join(_TYPES)})")


class MediaFolder:
    """See `emporium.application.ports.Media`: the folder `media` of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "media"

    def put(self, content: bytes, kind: str) -> str:
        """See the port."""
        if kind not in _TYPES:
            raise KeyError(kind)
        name = f"{hashlib.sha256(content).hexdigest()}.{kind}"
        target = self._folder / name
        if not target.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Under another name until it is whole and on the disk: a name always means its content.
            handle, unfinished = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(unfinished, target)
            except BaseException:
                os.unlink(unfinished)
                raise
        return URL + name

    def get(self, name: str) -> MediaFile | None:
        """See the port."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return MediaFile(
            content,
            {
                "content-type": _TYPES[match[1]],
                "cache-control": "public, max-age=31536000, immutable",
                "etag": f'"{name}"',
                "x-content-type-options": "nosniff",
                # A picture opened as a page of its own runs nothing and fetches nothing.
                "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            },
        )
