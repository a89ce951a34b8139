"""Files that pages show, under the hash of their content: what is there never changes. In the data folder, or in a
store of objects such as S3."""

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from emporium.application.ports import MediaFile, Unavailable

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
        patience: seconds until a store that does not answer is given up.
    """

    def __init__(self, url: str, *, patience: float = 10.0) -> None:
        from obstore.store import from_url

        tries: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=patience)}
        plain = url.startswith(("file:", "memory:"))
        self._store: Any = from_url(url) if plain else from_url(url, retry_config=tries)

    def put(self, content: bytes, kind: str) -> str:
        """See the port."""
        name = _name(content, kind)
        self._called("put", name, content, attributes=self._attributes(kind))
        return URL + name

    def path(self, content: bytes, kind: str) -> str:
        """See the port."""
        return URL + _name(content, kind)

    def delete(self, path: str) -> None:
        """See the port."""
        name = path.removeprefix(URL)
        if _NAME.fullmatch(name) is not None:
            with suppress(FileNotFoundError):
                self._called("delete", name)

    def keep(self, content: bytes) -> str:
        """See the port."""
        name = _kept_name(content)
        self._called("put", name, content)
        return name

    def kept(self, name: str) -> bytes | None:
        """See the port."""
        return None if _KEPT.fullmatch(name) is None else self._read(name)

    def get(self, name: str) -> MediaFile | None:
        """See the port."""
        match = _NAME.fullmatch(name)
        content = None if match is None else self._read(name)
        return None if match is None or content is None else _file(name, match[1], content)

    def _read(self, name: str) -> bytes | None:
        try:
            content: bytes = self._called("get", name)
            return content
        except FileNotFoundError:
            return None

    def _attributes(self, kind: str) -> dict[str, str] | None:
        # A plain folder keeps no attributes, and refuses them.
        return None if type(self._store).__name__ == "LocalStore" else {"Content-Type": _TYPES[kind]}

    def _called(self, what: str, name: str, *values: Any, **more: Any) -> Any:
        """What the store says. Raises FileNotFoundError, Unavailable."""
        import obstore
        from obstore.exceptions import BaseError, NotFoundError

        try:
            answer = getattr(obstore, what)(self._store, name, *values, **more)
            return bytes(answer.bytes()) if what == "get" else answer
        except NotFoundError as error:
            raise FileNotFoundError(name) from error
        except BaseError as error:
            raise Unavailable(f"the store of pictures does not answer: {error}") from error


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
