"""An import of products advances row by row, once, and is undone once."""

from emporium.domain.catalog_import import (
    IMPORT_NOT_FINISHED,
    NO_SUCH_IMPORT,
    ROWS_DONE,
    AdvanceImport,
    AdvanceUndo,
    ChangedProduct,
    FailImport,
    FinishImport,
    FinishUndo,
    ImportAdvanced,
    ImportFailed,
    ImportFinished,
    ImportRequested,
    ImportUndoAdvanced,
    ImportUndone,
    ImportUndoRequested,
    LeftProduct,
    RefusedRow,
    RequestImport,
    RequestUndo,
)
from tests.domain.spec import given, uid

ID = uid(1)
BEGUN = ImportRequested(import_id=ID, file="f", kind="csv")
CHANGES = (ChangedProduct(product_id=uid(2), before=0, after=4), ChangedProduct(product_id=uid(3), before=4, after=5))
WRONG = (RefusedRow(line=4, field="title", reason="too long"),)
ROWS = ImportAdvanced(import_id=ID, upto=4, rows=4, same=1, changes=CHANGES, refused=WRONG)
DONE = ImportFinished(import_id=ID)
UNDO = ImportUndoRequested(import_id=ID)


def test_rows_are_counted_once_whoever_writes_them() -> None:
    given().when(RequestImport(import_id=ID, file="f", kind="csv")).then(BEGUN)
    given(BEGUN).when(RequestImport(import_id=ID, file="f", kind="csv")).then()
    advance = AdvanceImport(import_id=ID, after=0, upto=4, rows=4, same=1, changes=CHANGES, refused=WRONG)
    given(BEGUN).when(advance).then(ROWS).leads_to(made=1, changed=1, same=1, refused=1, upto=4, rows=4)
    given(BEGUN, ROWS).when(advance).rejected(ROWS_DONE)
    given(BEGUN, ROWS, DONE).when(AdvanceImport(import_id=ID, after=4, upto=5, rows=5, same=1)).rejected(ROWS_DONE)
    given().when(advance).rejected(NO_SUCH_IMPORT)


def test_it_ends_once() -> None:
    given(BEGUN, ROWS).when(FinishImport(import_id=ID)).then(DONE).leads_to(status="finished")
    given(BEGUN, ROWS, DONE).when(FinishImport(import_id=ID)).then()
    failed = ImportFailed(import_id=ID, reason="no columns")
    given(BEGUN).when(FailImport(import_id=ID, reason="no columns")).then(failed).leads_to(status="failed")
    given(BEGUN, failed).when(FinishImport(import_id=ID)).then()
    given(BEGUN, ROWS, DONE).when(FailImport(import_id=ID, reason="late")).then()


def test_only_a_finished_import_is_undone_and_once() -> None:
    given(BEGUN, ROWS).when(RequestUndo(import_id=ID)).rejected(IMPORT_NOT_FINISHED, status="requested")
    given(BEGUN, ROWS, DONE).when(RequestUndo(import_id=ID)).then(UNDO)
    left = (LeftProduct(product_id=uid(3), reason="it was changed since"),)
    back = ImportUndoAdvanced(import_id=ID, upto=2, left=left)
    advance = AdvanceUndo(import_id=ID, after=0, upto=2, left=left)
    given(BEGUN, ROWS, DONE, UNDO).when(RequestUndo(import_id=ID)).then()
    given(BEGUN, ROWS, DONE, UNDO).when(advance).then(back).leads_to(undone=2, left=1, status="undoing")
    given(BEGUN, ROWS, DONE, UNDO, back).when(advance).rejected(ROWS_DONE)
    over = ImportUndone(import_id=ID)
    given(BEGUN, ROWS, DONE, UNDO, back).when(FinishUndo(import_id=ID)).then(over).leads_to(status="undone")
    given(BEGUN, ROWS, DONE, UNDO, back, over).when(RequestUndo(import_id=ID)).then()
    given(BEGUN, ROWS, DONE).when(advance).rejected(ROWS_DONE)
