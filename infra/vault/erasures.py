"""The list of erasures outside the database: a restored backup must not bring an erased person back.

One line per subject, appended and written to the disk before the key is destroyed, and applied by every process
before anything else. The file belongs to no backup of the database; several machines share one.
"""

import logging
import os
from pathlib import Path
from typing import Final
from uuid import UUID

from emporium.infra.settings import StartupProblem

__all__ = ["ErasureList"]

_LINE: Final = 37

_log = logging.getLogger(__name__)


class ErasureList:
    """A file of UUIDs. Its methods do file work: not for the event loop.

    Args:
        path: made where it is missing, with the first erasure.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, subject: UUID) -> None:
        """Appends the subject, durably. Raises OSError."""
        new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A line that a crash cut off ends where the next one begins.
            torn = os.fstat(file).st_size % _LINE != 0
            os.write(file, b"\n" * torn + f"{subject}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)
        if new:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def read(self) -> list[UUID]:
        """All subjects; none where there is no file. Raises StartupProblem where it cannot be read."""
        try:
            lines = self._path.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StartupProblem(
                f"The list of erasures {self._path} cannot be read: {error.strerror}.",
                "Make it readable: without it erased persons could come back.",
            ) from None
        subjects = []
        for line in lines:
            try:
                subjects.append(UUID(line))
            except ValueError:
                if line:
                    _log.error("the list of erasures %s holds a line that names nobody", self._path)
        return list(dict.fromkeys(subjects))
