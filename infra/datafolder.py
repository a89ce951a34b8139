"""The data folder: made, checked and locked, so that one program of the right version works in it at a time."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from emporium.infra.settings import StartupProblem

__all__ = ["FORMAT", "SPACE_NEEDED", "check_space", "held", "locked", "writable"]

FORMAT: Final = 1
"""The layout of the data folder that this program writes; a folder with a higher one is refused."""

SPACE_NEEDED: Final = 256 * 1024 * 1024
"""Bytes that must be free on the disk at a start: a first start writes about half of it."""

_MARKER: Final = "emporium-format"
_LOCK: Final = "lock"


@contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Makes the folder where it is missing and holds it alone until the end of the block.

    Args:
        purpose: what for, told to whoever comes second, such as `emporium up`.

    Raises StartupProblem: in use, of another version, not Emporium's, not writable, disk full.
    """
    with writable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_format(folder)
        check_space(folder)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 200).decode(errors="replace").strip() or "another process"
            raise StartupProblem(
                f"The data folder {folder} is in use by {holder}.",
                "Stop that one first, or set EMPORIUM_DATA_DIR to another folder.",
            ) from None
        with writable(folder):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{purpose} (process {os.getpid()})\n".encode(), 0)
            (folder / _MARKER).write_text(f"{FORMAT}\n")
        yield
    finally:
        os.close(lock)


def held(folder: Path) -> bool:
    """Whether another process holds the folder at present."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turns what the operating system says of files into a sentence (StartupProblem) about the data folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder) from None
        path = error.filename or folder
        raise StartupProblem(
            f"The data folder {folder} cannot be used: {path}: {error.strerror}.",
            "Give this user write permission there, or set EMPORIUM_DATA_DIR to a folder of its own.",
        ) from None


def check_space(folder: Path) -> None:
    """Raises StartupProblem where less than SPACE_NEEDED is free."""
    if shutil.disk_usage(folder).free < SPACE_NEEDED:
        raise _full(folder)


def _full(folder: Path) -> StartupProblem:
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free // (1024 * 1024)
    return StartupProblem(
        f"The disk that holds {folder} is full: {free} MB are free, {SPACE_NEEDED // (1024 * 1024)} MB are needed.",
        "Free some space, or set EMPORIUM_DATA_DIR to a folder on another disk.",
    )


def _check_format(folder: Path) -> None:
    marker = folder / _MARKER
    if not marker.exists():
        strangers = sorted(entry.name for entry in folder.iterdir() if entry.name not in (_LOCK, "lost+found"))
        if strangers:
            raise StartupProblem(
                f"The folder {folder} holds something else ({strangers[0]}), not Emporium's data.",
                "Set EMPORIUM_DATA_DIR to an empty or new folder.",
            )
        return
    found = marker.read_text().strip()
    if not found.isdecimal() or int(found) != FORMAT:
        raise StartupProblem(
            f"The data folder {folder} belongs to another version of Emporium (format {found}, this one has {FORMAT}).",
            "Use the version that wrote it, or set EMPORIUM_DATA_DIR to another folder.",
        )
