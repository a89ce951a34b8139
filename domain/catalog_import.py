"""Many products written from a file: how far it is, what was refused, and its undoing."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State

REQUESTED, FINISHED, FAILED, UNDOING, UNDONE = "requested", "finished", "failed", "undoing", "undone"


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not taken: its line in the file, the field that is wrong, and why."""

    line: int
    field: str
    reason: str


class ChangedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product that a row changed: its version before (0: it was made) and after."""

    product_id: UUID
    before: int
    after: int


class LeftProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product that was not undone, or not wholly, and why."""

    product_id: UUID
    reason: str


# --- events ----------------------------------------------------------------------------------------


class ImportRequested(Event, frozen=True, kw_only=True):
    """Staff gave a file of products; `kind` is csv or ndjson."""

    import_id: UUID
    file: str
    kind: str


class ImportAdvanced(Event, frozen=True, kw_only=True):
    """Rows up to `upto` of all `rows` were written, together with this; `changes` is what can be undone."""

    import_id: UUID
    upto: int
    rows: int
    same: int
    changes: tuple[ChangedProduct, ...] = ()
    refused: tuple[RefusedRow, ...] = ()


class ImportFinished(Event, frozen=True, kw_only=True):
    """Every row was taken or refused."""

    import_id: UUID


class ImportFailed(Event, frozen=True, kw_only=True):
    """The file as a whole cannot be read."""

    import_id: UUID
    reason: str


class ImportUndoRequested(Event, frozen=True, kw_only=True):
    """What the import changed shall be as it was."""

    import_id: UUID


class ImportUndoAdvanced(Event, frozen=True, kw_only=True):
    """Of the products that were changed, those up to `upto` were put back or left."""

    import_id: UUID
    upto: int
    left: tuple[LeftProduct, ...] = ()


class ImportUndone(Event, frozen=True, kw_only=True):
    """All that could be put back is as it was."""

    import_id: UUID


# --- state -----------------------------------------------------------------------------------------


class ImportState(State, frozen=True, kw_only=True):
    """How far an import is, in rows; `undone` counts products of `made` + `changed` that were looked at again."""

    import_id: UUID
    file: str
    kind: str
    status: str = REQUESTED
    rows: int | None = None
    upto: int = 0
    made: int = 0
    changed: int = 0
    same: int = 0
    refused: int = 0
    undone: int = 0
    left: int = 0
    reason: str | None = None


# --- commands --------------------------------------------------------------------------------------


class RequestImport(Command, frozen=True, kw_only=True):
    import_id: UUID
    file: str
    kind: str


class AdvanceImport(Command, frozen=True, kw_only=True):
    import_id: UUID
    after: int
    upto: int
    rows: int
    same: int
    changes: tuple[ChangedProduct, ...] = ()
    refused: tuple[RefusedRow, ...] = ()


class FinishImport(Command, frozen=True, kw_only=True):
    import_id: UUID


class FailImport(Command, frozen=True, kw_only=True):
    import_id: UUID
    reason: str


class RequestUndo(Command, frozen=True, kw_only=True):
    import_id: UUID


class AdvanceUndo(Command, frozen=True, kw_only=True):
    import_id: UUID
    after: int
    upto: int
    left: tuple[LeftProduct, ...] = ()


class FinishUndo(Command, frozen=True, kw_only=True):
    import_id: UUID


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_IMPORT = Reason("no_such_import", "There is no such import.", "missing")
IMPORT_NOT_FINISHED = Reason("import_not_finished", "The import is {status}; only a finished one can be undone.")
ROWS_DONE = Reason("rows_done", "Somebody else has written these rows.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, job: ImportState | None) -> Sequence[Event]:
    """The events that the command makes of this import. Raises Rejected."""
    if isinstance(command, RequestImport):
        if job is not None:
            return []
        return [ImportRequested(import_id=command.import_id, file=command.file, kind=command.kind)]
    if job is None:
        raise NO_SUCH_IMPORT()
    match command:
        case AdvanceImport():
            if job.status != REQUESTED or job.upto != command.after:
                raise ROWS_DONE()
            fields = {name: getattr(command, name) for name in ImportAdvanced.__struct_fields__}
            return [ImportAdvanced(**fields)]
        case FinishImport():
            return [ImportFinished(import_id=job.import_id)] if job.status == REQUESTED else []
        case FailImport():
            return [ImportFailed(import_id=job.import_id, reason=command.reason)] if job.status == REQUESTED else []
        case RequestUndo():
            if job.status in (UNDOING, UNDONE):
                return []
            if job.status != FINISHED:
                raise IMPORT_NOT_FINISHED(status=job.status)
            return [ImportUndoRequested(import_id=job.import_id)]
        case AdvanceUndo():
            if job.status != UNDOING or job.undone != command.after:
                raise ROWS_DONE()
            return [ImportUndoAdvanced(import_id=job.import_id, upto=command.upto, left=command.left)]
        case FinishUndo():
            return [ImportUndone(import_id=job.import_id)] if job.status == UNDOING else []
        case _:
            raise TypeError(f"an import does not know {type(command).__name__}")


def evolve(job: ImportState | None, event: Event) -> ImportState:
    """The import after the event."""
    if isinstance(event, ImportRequested):
        return ImportState(import_id=event.import_id, file=event.file, kind=event.kind)
    if job is None:
        raise ValueError("an import begins with ImportRequested")
    match event:
        case ImportAdvanced():
            made = sum(one.before == 0 for one in event.changes)
            return replace(
                job,
                rows=event.rows,
                upto=event.upto,
                made=job.made + made,
                changed=job.changed + len(event.changes) - made,
                same=job.same + event.same,
                refused=job.refused + len(event.refused),
            )
        case ImportFinished():
            return replace(job, status=FINISHED)
        case ImportFailed():
            return replace(job, status=FAILED, reason=event.reason)
        case ImportUndoRequested():
            return replace(job, status=UNDOING)
        case ImportUndoAdvanced():
            return replace(job, undone=event.upto, left=job.left + len(event.left))
        case ImportUndone():
            return replace(job, status=UNDONE)
        case _:
            raise TypeError(f"an import does not know {type(event).__name__}")


CATALOG_IMPORT: Final = Aggregate(
    name="CatalogImport",
    log="catalog",
    state=ImportState,
    events=(
        ImportRequested,
        ImportAdvanced,
        ImportFinished,
        ImportFailed,
        ImportUndoRequested,
        ImportUndoAdvanced,
        ImportUndone,
    ),
    decide=decide,
    evolve=evolve,
)
