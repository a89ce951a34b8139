"""Many products at once: a file is written row by row by a durable task, and can be put back by the same means."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import UNSET

from emporium.application import catalog_files
from emporium.application.catalog import carry_out, in_use
from emporium.application.catalog_files import BadFile, ProductRow, Row
from emporium.application.commands import handle
from emporium.application.effects import Finished, Park, Perform, Retry, backoff
from emporium.application.ports import Files, Idempotency, Meta, Taken, Task
from emporium.application.schedules import IMPORT, UNDO
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Money, Reason, Rejected, stream_id
from emporium.domain.catalog_import import (
    CATALOG_IMPORT,
    NO_SUCH_IMPORT,
    REQUESTED,
    ROWS_DONE,
    UNDOING,
    AdvanceImport,
    AdvanceUndo,
    ChangedProduct,
    FailImport,
    FinishImport,
    FinishUndo,
    ImportAdvanced,
    ImportState,
    ImportUndoAdvanced,
    LeftProduct,
    RefusedRow,
    RequestImport,
    RequestUndo,
)
from emporium.domain.category import CATEGORIES, CategoriesState, categories_id
from emporium.domain.product import (
    ARCHIVED,
    DRAFT,
    PRODUCT,
    PUBLISHED,
    AddVariant,
    ArchiveProduct,
    ChangePrice,
    CreateProduct,
    ProductState,
    PublishProduct,
    RemoveVariant,
    UpdateProduct,
)

__all__ = ["find", "left", "performers", "refused", "request", "undo"]

LOG: Final = "catalog"
BATCH: Final = 100
"""Products in a unit: a few hundred events, as many as the shop's own batches hold."""

NO_WAY_BACK = Reason("no_way_back", "What was for sale once is no draft again; archive it instead.")
NEEDS_TITLE = Reason("needs_title", "There is no product {slug} yet, and a new one needs a title.", "invalid")
UNKNOWN_SLUG = Reason("unknown_category_slug", "There is no category {category}.", "invalid")

Keep = Callable[[ImportState], Idempotency | None]


async def request(
    shop: Shop, files: Files, import_id: UUID, content: bytes, kind: str, cause: Meta, keep: Keep = lambda _: None
) -> tuple[ImportState, Committed]:
    """Takes a file of products, to be written soon; `import_id` is a new one."""
    # Stored before its event: a file that an event names is always there.
    file = await asyncio.to_thread(files.keep, content)
    return await _on(shop, RequestImport(import_id=import_id, file=file, kind=kind), import_id, cause, keep)


async def undo(shop: Shop, import_id: UUID, cause: Meta, keep: Keep = lambda _: None) -> tuple[ImportState, Committed]:
    """Begins to put back what an import changed. Raises `Rejected` (no_such_import, import_not_finished)."""
    return await _on(shop, RequestUndo(import_id=import_id), import_id, cause, keep)


async def _on(shop: Shop, command: Command, import_id: UUID, cause: Meta, keep: Keep) -> tuple[ImportState, Committed]:
    async def handler(work: Work) -> ImportState:
        await handle(work, command, cause)
        after = work.state(CATALOG_IMPORT, import_id)
        assert after is not None, "what is not there was rejected"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run(LOG, cause, handler)


async def find(shop: Shop, import_id: UUID) -> ImportState:
    """How far an import is. Raises `Rejected` (no_such_import)."""
    state, _ = await shop.logs[LOG].load(CATALOG_IMPORT, import_id, fresh=True)
    if state is None:
        raise NO_SUCH_IMPORT()
    return state


async def refused(shop: Shop, import_id: UUID) -> list[RefusedRow]:
    """The rows that were not taken, by line."""
    events = await shop.logs[LOG].stream(import_id)
    found = [row for one in events if isinstance(one.event, ImportAdvanced) for row in one.event.refused]
    return sorted(found, key=lambda row: row.line)


async def left(shop: Shop, import_id: UUID) -> list[LeftProduct]:
    """The products that were not undone."""
    events = await shop.logs[LOG].stream(import_id)
    return [product for one in events if isinstance(one.event, ImportUndoAdvanced) for product in one.event.left]


def performers(shop: Shop, files: Files) -> dict[str, Perform]:
    """What writes a file, and what puts it back; a task that is begun again goes on where the log says it was."""

    async def write(task: Task) -> Finished | Retry | Park:
        state, _ = await shop.logs[LOG].load(CATALOG_IMPORT, task.stream, fresh=True)
        if state is None:
            return Retry(backoff(task.attempts), "the import is not seen yet")
        content = await asyncio.to_thread(files.kept, state.file)
        if content is None:
            return Retry(backoff(task.attempts), "the file is not where it was stored")
        tree = await _tree(shop)
        try:
            rows = await asyncio.to_thread(catalog_files.read, content, state.kind, tree)
        except BadFile as bad:
            return Finished([FailImport(import_id=task.stream, reason=str(bad))])
        start = state.upto
        while start < len(rows) and state.status == REQUESTED:
            await _write(shop, task, rows, start, min(start + BATCH, len(rows)))
            state = await find(shop, task.stream)
            start = state.upto
        return Finished([FinishImport(import_id=task.stream)])

    async def put_back(task: Task) -> Finished | Retry | Park:
        state = await find(shop, task.stream)
        events = await shop.logs[LOG].stream(task.stream)
        changes = [one for each in events if isinstance(each.event, ImportAdvanced) for one in each.event.changes]
        while state.undone < len(changes) and state.status == UNDOING:
            await _put_back(shop, task, changes, state.undone)
            state = await find(shop, task.stream)
        return Finished([FinishUndo(import_id=task.stream)])

    return {IMPORT: write, UNDO: put_back}


async def _tree(shop: Shop) -> CategoriesState:
    state, _ = await shop.logs[LOG].load(CATEGORIES, categories_id(), fresh=True)
    return state or CategoriesState()


async def _write(shop: Shop, task: Task, rows: Sequence[Row], start: int, end: int) -> None:
    """Writes the rows of a batch and how far it is, together. Where something of it is taken, in smaller parts."""
    batch = rows[start:end]
    slugs = {row.slug for _, row in batch if isinstance(row, ProductRow)}
    held = await shop.logs[LOG].claim_owners("slug", [slug.encode() for slug in slugs])
    owners = {slug: held.get(slug.encode()) for slug in slugs}

    async def handler(work: Work) -> None:
        await _write_rows(work, task, batch, owners, start, len(rows))

    try:
        await shop.run(LOG, task.cause, handler)
    except Taken as taken:
        if len(batch) > 1:
            middle = (start + end) // 2
            await _write(shop, task, rows, start, middle)
            await _write(shop, task, rows, middle, end)
            return
        [(line, row)] = batch
        wrong = _of_rejection(line, in_use(taken, await _as_commands(shop, task, row)))
        await _advance(shop, task, start, len(rows), wrong)
    except Rejected as rejected:
        # Whoever else writes this import has been faster.
        if rejected.code != ROWS_DONE.code:
            raise


async def _write_rows(
    work: Work, task: Task, batch: Sequence[Row], owners: Mapping[str, UUID | None], start: int, total: int
) -> None:
    await work.load(CATALOG_IMPORT, task.stream)
    await work.load(CATEGORIES, categories_id())
    ids = {slug: owner or _new_id(task.stream, slug) for slug, owner in owners.items()}
    # With the log's own word, so that a refusal can be believed at once.
    await work.refresh(PRODUCT, ids.values())
    changes: dict[UUID, ChangedProduct] = {}
    wrong: list[RefusedRow] = []
    same = 0
    for line, row in batch:
        if isinstance(row, RefusedRow):
            wrong.append(row)
            continue
        product_id = ids[row.slug]
        before = work.version(product_id)
        try:
            with work.wholly(product_id):
                tree = work.state(CATEGORIES, categories_id()) or CategoriesState()
                for command in _commands(product_id, row, work.state(PRODUCT, product_id), tree):
                    await carry_out(work, command, task.cause)
        except Rejected as rejected:
            wrong.append(_of_rejection(line, rejected))
            continue
        after = work.version(product_id)
        if after == before:
            same += 1
        else:
            first = changes[product_id].before if product_id in changes else before
            changes[product_id] = ChangedProduct(product_id=product_id, before=first, after=after)
    advance = AdvanceImport(
        import_id=task.stream,
        after=start,
        upto=start + len(batch),
        rows=total,
        same=same,
        changes=tuple(changes.values()),
        refused=tuple(wrong),
    )
    await handle(work, advance, task.cause)


async def _advance(shop: Shop, task: Task, start: int, total: int, wrong: RefusedRow) -> None:
    command = AdvanceImport(import_id=task.stream, after=start, upto=start + 1, rows=total, same=0, refused=(wrong,))
    await shop.execute(command, task.cause)


async def _as_commands(shop: Shop, task: Task, row: ProductRow | RefusedRow) -> Sequence[Command]:
    assert isinstance(row, ProductRow), "what was refused claims nothing"
    return _commands(_new_id(task.stream, row.slug), row, None, await _tree(shop))


def _new_id(import_id: UUID, slug: str) -> UUID:
    """The id of a product that an import makes: the same where the task begins again."""
    return stream_id("imported product", import_id, slug)


def _of_rejection(line: int, rejected: Exception) -> RefusedRow:
    field = rejected.values.get("field", "") if isinstance(rejected, Rejected) else ""
    if not field and isinstance(rejected, Rejected) and "sku" in rejected.values:
        field = "variants.sku"
    return RefusedRow(line=line, field=str(field), reason=str(rejected)[:500])


def _commands(
    product_id: UUID, row: ProductRow, there: ProductState | None, tree: CategoriesState
) -> Sequence[Command]:
    """What a row asks for. What is archived stays as it is while the row says so too. Raises Rejected."""
    category = _category(row, tree)
    fields = {
        name: getattr(row, name)
        for name in ("title", "description", "brand", "tax_class", "options", "attributes", "images", "translations")
        if getattr(row, name) is not UNSET
    }
    if category is not UNSET:
        fields["category_id"] = category
    commands: list[Command] = []
    if there is None:
        if row.title is UNSET:
            raise NEEDS_TITLE(field="title", slug=row.slug)
        commands.append(CreateProduct(product_id=product_id, slug=row.slug, **fields))
    else:
        if there.status == ARCHIVED == row.status:
            return []
        if row.status == DRAFT != there.status:
            raise NO_WAY_BACK(field="status")
        if there.status == ARCHIVED and row.status == PUBLISHED:
            commands.append(PublishProduct(product_id=product_id))
        if set(fields.get("options", ())) == set(there.options):
            # Columns have no order.
            fields.pop("options", None)
        commands.append(UpdateProduct(product_id=product_id, **fields))
    for variant in row.variants:
        if there is None or variant.sku not in there.variants:
            commands.append(AddVariant(product_id=product_id, sku=variant.sku, options=variant.options))
        for currency, amount in variant.prices.items():
            price = Money(amount, currency)
            commands.append(ChangePrice(product_id=product_id, sku=variant.sku, price=price))
    if row.status == PUBLISHED:
        commands.append(PublishProduct(product_id=product_id))
    elif row.status == ARCHIVED:
        commands.append(ArchiveProduct(product_id=product_id))
    return commands


def _category(row: ProductRow, tree: CategoriesState) -> object:
    if row.category is UNSET or row.category is None:
        return row.category
    for category_id, category in tree.categories.items():
        if category.slug == row.category:
            return category_id
    former = tree.former.get(row.category)
    if former is None:
        raise UNKNOWN_SLUG(field="category", category=row.category)
    return former


# --- undoing ---------------------------------------------------------------------------------------


async def _put_back(shop: Shop, task: Task, changes: Sequence[ChangedProduct], start: int) -> None:
    batch = changes[start : start + BATCH]
    log = shop.logs[LOG]
    before: dict[UUID, ProductState | None] = {}
    for one in batch:
        state: ProductState | None = None
        for recorded in await log.stream(one.product_id, limit=one.before) if one.before else ():
            state = PRODUCT.evolve(state, recorded.event)
        before[one.product_id] = state

    async def handler(work: Work) -> None:
        await work.load(CATALOG_IMPORT, task.stream)
        await work.refresh(PRODUCT, [one.product_id for one in batch])
        stayed = []
        for one in batch:
            if work.version(one.product_id) != one.after:
                stayed.append(LeftProduct(product_id=one.product_id, reason="it was changed since"))
                continue
            now = work.state(PRODUCT, one.product_id)
            assert now is not None, "what has a version is there"
            try:
                with work.wholly(one.product_id):
                    for command in _back(now, before[one.product_id]):
                        await carry_out(work, command, task.cause)
            except Rejected as rejected:
                stayed.append(LeftProduct(product_id=one.product_id, reason=str(rejected)))
        upto = start + len(batch)
        advance = AdvanceUndo(import_id=task.stream, after=start, upto=upto, left=tuple(stayed))
        await handle(work, advance, task.cause)

    try:
        await shop.run(LOG, task.cause, handler)
    except Rejected as rejected:
        if rejected.code != ROWS_DONE.code:
            raise


def _back(now: ProductState, before: ProductState | None) -> Sequence[Command]:
    """From what it is to what it was. What was made is archived: its slug and its history stay.

    A price in a currency in which there was none before stays: prices change, they do not go.
    """
    key = now.product_id
    if before is None:
        return [ArchiveProduct(product_id=key)]
    commands: list[Command] = []
    if now.status == ARCHIVED != before.status:
        commands.append(PublishProduct(product_id=key))
    if now.options != before.options:
        commands += [RemoveVariant(product_id=key, sku=sku) for sku in now.variants if sku not in before.variants]
    names = (
        "title", "slug", "description", "brand", "category_id", "tax_class", "options", "attributes", "images",
        "related", "translations",
    )  # fmt: skip
    commands.append(UpdateProduct(product_id=key, **{name: getattr(before, name) for name in names}))
    for sku, variant in before.variants.items():
        if sku not in now.variants:
            commands.append(AddVariant(product_id=key, sku=sku, options=variant.options))
        commands += [ChangePrice(product_id=key, sku=sku, price=price) for price in variant.regular.values()]
    if now.options == before.options:
        commands += [RemoveVariant(product_id=key, sku=sku) for sku in now.variants if sku not in before.variants]
    if before.status == ARCHIVED:
        commands.append(ArchiveProduct(product_id=key))
    elif before.status != PUBLISHED and now.status == PUBLISHED:
        # There is no way back to a draft: off sale is what matters.
        commands.append(ArchiveProduct(product_id=key))
    return commands
