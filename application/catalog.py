"""The catalogue as staff write it: on the version they looked at, with slugs and SKUs that are one product's alone."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from emporium.application.commands import handle
from emporium.application.effects import Finished, Park, Perform, Retry
from emporium.application.ports import Claim, Clock, Idempotency, Meta, NewEvent, Recorded, Taken, Task
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Reason
from emporium.domain.category import CATEGORIES, CategoriesState, categories_id, check_attributes
from emporium.domain.product import (
    NO_SUCH_PRODUCT,
    PRODUCT,
    BeginPriceSchedule,
    CreateProduct,
    EndPriceSchedule,
    ProductCreated,
    ProductPublished,
    ProductState,
    ProductUpdated,
    UpdateProduct,
    VariantAdded,
    VariantRemoved,
)

__all__ = [
    "LOG",
    "NAME",
    "OutOfDate",
    "Past",
    "Written",
    "as_it_was",
    "carry_out",
    "find",
    "history",
    "in_use",
    "owner_of_slug",
    "performers",
    "tree",
    "write",
    "write_categories",
]

LOG: Final = "catalog"

NAME: Final = "catalog"
"""The process manager that keeps the catalogue's times."""

SLUG_IN_USE = Reason("slug_in_use", "Another product has, or once had, the slug {slug}.")
SKU_IN_USE = Reason("sku_in_use", "Another product has the SKU {sku}.")
UNKNOWN_RELATED = Reason("unknown_related", "There is no product {product_id} to be related to.", "invalid")
UNKNOWN_CATEGORY = Reason("unknown_category", "There is no category {category_id}.", "invalid")


class OutOfDate(Exception):  # noqa: N818
    """The product is not the one that the caller looked at any more: its version, and what made it so."""

    def __init__(self, version: int, since: Sequence[Recorded]) -> None:
        super().__init__(f"the product is at version {version}")
        self.version = version
        self.since = since


class Written(msgspec.Struct, frozen=True):
    """A product and the version that it is at."""

    state: ProductState
    version: int


Keep = Callable[[Written], Idempotency | None]
KeepTree = Callable[[CategoriesState], Idempotency | None]


async def write(
    shop: Shop,
    product_id: UUID,
    commands: Sequence[Command],
    cause: Meta,
    *,
    expected: int | None = None,
    keep: Keep = lambda _: None,
) -> tuple[Written, Committed]:
    """Carries out commands for one product together; what it is then.

    Args:
        expected: the version that the caller looked at; None: whatever it is.

    Raises:
        OutOfDate: it was changed since; Rejected: slug_in_use, sku_in_use, unknown_category, wrong_attribute and
        what the product itself refuses.
    """

    async def handler(work: Work) -> Written:
        await work.load(PRODUCT, product_id)
        if expected is not None and work.version(product_id) != expected:
            await work.refresh(PRODUCT, [product_id])
            if work.state(PRODUCT, product_id) is None:
                raise NO_SUCH_PRODUCT()
            if work.version(product_id) != expected:
                raise OutOfDate(work.version(product_id), ())
        for command in commands:
            await carry_out(work, command, cause)
        after = work.state(PRODUCT, product_id)
        assert after is not None, "a product that is not there was rejected"
        written = Written(after, work.version(product_id))
        work.unit.idempotency = keep(written)
        return written

    try:
        return await shop.run(LOG, cause, handler)
    except OutOfDate as late:
        assert expected is not None
        raise OutOfDate(late.version, await shop.logs[LOG].stream(product_id, after=expected)) from None
    except Taken as taken:
        raise in_use(taken, commands) from None


async def carry_out(work: Work, command: Command, cause: Meta) -> None:
    """One command for a product, with the claims that go with it and the category's word on its attributes."""
    made = len(work.unit.events)
    await handle(work, command, cause)
    if isinstance(command, CreateProduct | UpdateProduct):
        await _fits(work, command.product_id, command)
    work.unit.claims.extend(_claims(work.unit.events[made:]))


async def _fits(work: Work, product_id: UUID, command: CreateProduct | UpdateProduct) -> None:
    """The product as it is now fits its category; looked at only where the command touches on that."""
    related = () if command.related is UNSET else command.related
    await work.load_many(PRODUCT, related)
    for other in related:
        if other == product_id or work.state(PRODUCT, other) is None:
            raise UNKNOWN_RELATED(field="related", product_id=str(other))
    if UNSET is command.category_id is command.attributes:
        return
    state = work.state(PRODUCT, product_id)
    assert state is not None, "it was just written"
    known = await work.load(CATEGORIES, categories_id()) or CategoriesState()
    if state.category_id is not None and state.category_id not in known.categories:
        raise UNKNOWN_CATEGORY(field="category_id", category_id=str(state.category_id))
    check_attributes(known, state.category_id, state.attributes)


def _claims(events: Iterable[NewEvent]) -> Iterable[Claim]:
    """A slug stays its product's for ever, so that old links lead to it; a SKU may go to another product."""
    for new in events:
        match new.event:
            case ProductCreated(slug=slug) | ProductUpdated(slug=str(slug)):
                yield Claim("slug", slug.encode(), new.stream)
            case VariantAdded(sku=sku):
                yield Claim("sku", sku.encode(), new.stream)
            case VariantRemoved(sku=sku):
                yield Claim("sku", sku.encode(), new.stream, release=True)


def in_use(taken: Taken, commands: Sequence[Command]) -> Exception:
    """The refusal that names what was taken."""
    if taken.scope == "slug":
        [slug] = {one.slug for one in commands if isinstance(one, CreateProduct | UpdateProduct)}
        return SLUG_IN_USE(field="slug", slug=slug)
    skus = [str(getattr(one, "sku", "")) for one in commands if hasattr(one, "sku")]
    return SKU_IN_USE(field="sku", sku=skus[0] if len(set(skus)) == 1 else "that was given")


async def write_categories(
    shop: Shop, command: Command, cause: Meta, keep: KeepTree = lambda _: None
) -> tuple[CategoriesState, Committed]:
    """Carries out a command for the tree of categories; the tree then. Raises Rejected."""

    async def handler(work: Work) -> CategoriesState:
        await handle(work, command, cause)
        after = work.state(CATEGORIES, categories_id())
        assert after is not None, "a tree that has not begun has only been begun"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run(LOG, cause, handler)


async def find(shop: Shop, product_id: UUID) -> Written:
    """A product as its log knows it now. Raises `Rejected` (no_such_product)."""
    state, version = await shop.logs[LOG].load(PRODUCT, product_id, fresh=True)
    if state is None:
        raise NO_SUCH_PRODUCT()
    return Written(state, version)


async def tree(shop: Shop) -> CategoriesState:
    """The categories as their log knows them now."""
    state, _ = await shop.logs[LOG].load(CATEGORIES, categories_id(), fresh=True)
    return state or CategoriesState()


async def history(shop: Shop, stream: UUID, before: int | None, limit: int) -> list[Recorded]:
    """Up to `limit` events of a stream, the newest first, from before a version on."""
    if before is None:
        log = shop.logs[LOG]
        if stream == categories_id():
            _, version = await log.load(CATEGORIES, stream, fresh=True)
        else:
            _, version = await log.load(PRODUCT, stream, fresh=True)
        before = version + 1
    after = max(0, before - 1 - limit)
    return (await shop.logs[LOG].stream(stream, after=after, limit=before - 1 - after))[::-1]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A product as it was, and the tree of categories around it then."""

    state: ProductState
    version: int
    published_at: datetime | None
    changed_at: datetime
    tree: CategoriesState


async def as_it_was(shop: Shop, product_id: UUID, at: datetime) -> Past | None:
    """A product at a past moment, by its events up to then; None where it was not yet."""
    log = shop.logs[LOG]
    events = [one for one in await log.stream(product_id) if one.at <= at]
    if not events:
        return None
    state: ProductState | None = None
    published_at = None
    for one in events:
        state = PRODUCT.evolve(state, one.event)
        if published_at is None and isinstance(one.event, ProductPublished):
            published_at = one.at
    assert state is not None, "a product begins with its first event"
    known: CategoriesState | None = None
    for one in await log.stream(categories_id()):
        if one.at > at:
            break
        known = CATEGORIES.evolve(known, one.event)
    last = events[-1]
    return Past(
        state=state,
        version=last.version,
        published_at=published_at,
        changed_at=last.at,
        tree=known or CategoriesState(),
    )


async def owner_of_slug(shop: Shop, slug: str) -> tuple[UUID, str] | None:
    """The product that has or had a slug, and the slug that it has now."""
    owner = await shop.logs[LOG].claimed("slug", slug.encode())
    if owner is None:
        return None
    state, _ = await shop.logs[LOG].load(PRODUCT, owner, fresh=True)
    return None if state is None else (owner, state.slug)


def performers(clock: Clock) -> dict[str, Perform]:
    """What is done when the time of a scheduled price comes, by the kind of task."""

    async def begin(task: Task) -> Finished | Retry | Park:
        product_id, schedule_id = _scheduled(task)
        at = clock.following(task.due)
        return Finished([BeginPriceSchedule(product_id=product_id, schedule_id=schedule_id, at=at)])

    async def end(task: Task) -> Finished | Retry | Park:
        product_id, schedule_id = _scheduled(task)
        return Finished([EndPriceSchedule(product_id=product_id, schedule_id=schedule_id)])

    return {"timer.price_begins": begin, "timer.price_ends": end}


def _scheduled(task: Task) -> tuple[UUID, UUID]:
    return UUID(task.data["product_id"]), UUID(task.data["schedule_id"])
