"""What can be wrong with a store as a whole; what can befall one unit is in the application's ports."""

from uuid import UUID

from emporium.application.ports import Restored, Unreadable
from emporium.infra.settings import StartupProblem

__all__ = ["LogShortened", "NoShop", "SchemaMismatch", "StoreError", "UnreadableEvent", "WrongIncarnation"]


class StoreError(Exception):
    """The store cannot be used as it is; the text is one sentence for the operator."""


class SchemaMismatch(StoreError, StartupProblem):
    """The database and this program do not fit: tables, event schemas or upcasters."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"The database does not fit this program: {text}.",
            "Run `emporium migrate`; where the database is newer, run the program that wrote it.",
        )


class NoShop(SchemaMismatch):
    """The database is empty: most often a command that looks elsewhere than the shop does."""

    def __init__(self) -> None:
        StartupProblem.__init__(
            self,
            "There is no shop in this database yet.",
            "`emporium up` makes one; where yours is elsewhere, name it by EMPORIUM_DATA_DIR or EMPORIUM_DATABASE_URL.",
        )


class WrongIncarnation(StoreError, Restored):
    """A position belongs to another life of the log (before or after a restore) and means nothing now."""

    def __init__(self, log: str, current: UUID | None, given: UUID) -> None:
        super().__init__(f"a position of incarnation {given} was used on the log {log}, which is now {current}")
        self.log = log
        self.current = current
        self.given = given


class LogShortened(StoreError, Restored):
    """A log ends before a position that was in it: its database was put back to an earlier time."""

    def __init__(self, log: str, head: int, known: int) -> None:
        super().__init__(f"the log {log} ends at {head}, but position {known} was in it: it was restored")


class UnreadableEvent(StoreError, Unreadable):
    """A stored event that this program cannot decode; names where it stands so that it can be set aside."""
