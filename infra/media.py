"""Files that pages show, under the hash of their content: what is there never changes. In the data folder, or in a
store of objects such as S3."""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from emporium.application.ports import MediaFile

__all__ = ["URL", "MediaFolder", "MediaStore"]

URL: Final = "/media/"
"""The path under which the gateway serves them."""

_TYPES: Final = {"svg": "image/svg+xml", "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_NAME: Final = re.compile(rf"[0-9a-f]{{64}}\.({'|'.join(_TYPES)})")
_KEPT: Final = re.compile(r"[0-9a-f]{64}\.kept")


class MediaFolder:
    """See `emporium.application.ports.Media` and `Files`: the folder `media` of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "media"

    def put(self, content: bytes, kind: str) -> str:
        """See the port."""
        return URL + self._put(content, _name(content, kind))

    def path(self, content: bytes, kind: str) -> str:
        """See the port."""
        return URL + _name(content, kind)

    def delete(self, path: str) -> None:
        """See the port."""
        name = path.removeprefix(URL)
        if _NAME.fullmatch(name) is not None:
            (self._folder / name).unlink(missing_ok=True)

    def keep(self, content: bytes) -> str:
        """See the port."""
        return self._put(content, _kept_name(content))

    def kept(self, name: str) -> bytes | None:
        """See the port."""
        if _KEPT.fullmatch(name) is None:
            return None
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _put(self, content: bytes, name: str) -> str:
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
        return name

    def get(self, name: str) -> MediaFile | None:
        """See the port."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return _file(name, match[1], content)


class MediaStore:
    """See `emporium.application.ports.Media`: a store of objects.

    Args:
        url: such as `s3://bucket/folder`, `gs://…`, `az://…`, `file:///…`; who may use it is told by the environment
            variables of that store.
    """

    def __init__(self, url: str) -> None:
        from obstore.store import from_url

        self._store: Any = from_url(url)

    def put(self, content: bytes, kind: str) -> str:
        """See the port."""
        import obstore

        name = _name(content, kind)
        obstore.put(self._store, name, content, attributes=self._attributes(kind))
        return URL + name

    def path(self, content: bytes, kind: str) -> str:
        """See the port."""
        return URL + _name(content, kind)

    def delete(self, path: str) -> None:
        """See the port."""
        import obstore
        from obstore.exceptions import BaseError

        name = path.removeprefix(URL)
        if _NAME.fullmatch(name) is None:
            return
        try:
            obstore.delete(self._store, name)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise OSError(f"the store of objects refuses: {error}") from error

    def keep(self, content: bytes) -> str:
        """See the port."""
        import obstore

        name = _kept_name(content)
        obstore.put(self._store, name, content)
        return name

    def kept(self, name: str) -> bytes | None:
        """See the port."""
        import obstore

        if _KEPT.fullmatch(name) is None:
            return None
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def _attributes(self, kind: str) -> dict[str, str] | None:
        # A plain folder keeps no attributes, and refuses them.
        return None if type(self._store).__name__ == "LocalStore" else {"Content-Type": _TYPES[kind]}

    def get(self, name: str) -> MediaFile | None:
        """See the port."""
        import obstore

        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            content = bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None
        return _file(name, match[1], content)


def _kept_name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}.kept"


def _name(content: bytes, kind: str) -> str:
    if kind not in _TYPES:
        raise KeyError(kind)
    return f"{hashlib.sha256(content).hexdigest()}.{kind}"


def _file(name: str, kind: str, content: bytes) -> MediaFile:
    return MediaFile(
        content,
        {
            "content-type": _TYPES[kind],
            "cache-control": "public, max-age=31536000, immutable",
            "etag": f'"{name}"',
            "x-content-type-options": "nosniff",
            # A picture opened as a page of its own runs nothing and fetches nothing.
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        },
    )
