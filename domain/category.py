"""The tree of categories: one stream, so that no two moves at once can close a circle."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.text import check_shape, check_text

MAX_CATEGORIES: Final = 5_000
MAX_DEPTH: Final = 8
NAME_MOST: Final = 100


def categories_id() -> UUID:
    """The id of the only stream of categories."""
    return stream_id("categories")


def category_id_of(slug: str) -> UUID:
    """The id of a category that seeds and imports know by its first slug."""
    return stream_id("category", slug)


# --- events ----------------------------------------------------------------------------------------


class CategoryCreated(Event, frozen=True, kw_only=True):
    """A category exists; `parent` is None at the top of the tree."""

    category_id: UUID
    name: str
    slug: str
    parent: UUID | None = None


class CategoryRenamed(Event, frozen=True, kw_only=True):
    """The category has another name, and the slug that goes with it."""

    category_id: UUID
    name: str
    slug: str


class CategoryMoved(Event, frozen=True, kw_only=True):
    """The category, with all below it, hangs under another parent; None is the top."""

    category_id: UUID
    parent: UUID | None


# --- state -----------------------------------------------------------------------------------------


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A category and where it hangs."""

    name: str
    slug: str
    parent: UUID | None = None


class CategoriesState(State, frozen=True, kw_only=True):
    """All categories by id."""

    categories: dict[UUID, Category] = {}

    def path(self, category_id: UUID | None) -> tuple[UUID, ...]:
        """The category and all above it, from the top down; empty for None."""
        path: list[UUID] = []
        while category_id is not None:
            path.append(category_id)
            category_id = self.categories[category_id].parent
        return tuple(reversed(path))


# --- commands --------------------------------------------------------------------------------------


class CreateCategory(Command, frozen=True, kw_only=True):
    category_id: UUID
    name: str
    slug: str
    parent: UUID | None = None


class RenameCategory(Command, frozen=True, kw_only=True):
    category_id: UUID
    name: str
    slug: str


class MoveCategory(Command, frozen=True, kw_only=True):
    category_id: UUID
    parent: UUID | None


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_CATEGORY = Reason("no_such_category", "There is no category {category_id}.", "missing")
CATEGORY_EXISTS = Reason("category_exists", "The category exists already, as {name}.")
SLUG_TAKEN = Reason("slug_taken", "The category {name} has the slug {slug}.")
CATEGORY_UNDER_ITSELF = Reason("category_under_itself", "{name} cannot hang below itself.")
TREE_TOO_DEEP = Reason("tree_too_deep", "The tree of categories has at most {most} levels, not {levels}.")
TOO_MANY_CATEGORIES = Reason("too_many_categories", "There can be at most {most} categories.")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, tree: CategoriesState | None) -> Sequence[Event]:
    """The events that the command makes of the tree. Raises Rejected."""
    tree = tree or CategoriesState()
    match command:
        case CreateCategory():
            return _create(command, tree)
        case RenameCategory():
            category = _find(tree, command.category_id)
            name = check_text("name", command.name, NAME_MOST)
            if (name, command.slug) == (category.name, category.slug):
                return []
            _check_slug(tree, command.category_id, command.slug)
            return [CategoryRenamed(category_id=command.category_id, name=name, slug=command.slug)]
        case MoveCategory():
            category = _find(tree, command.category_id)
            if command.parent == category.parent:
                return []
            above = _path_of_parent(tree, command.parent)
            if command.category_id in above:
                raise CATEGORY_UNDER_ITSELF(name=category.name)
            _check_depth(len(above) + _height(tree, command.category_id))
            return [CategoryMoved(category_id=command.category_id, parent=command.parent)]
        case _:
            raise TypeError(f"the categories do not know {type(command).__name__}")


def _create(command: CreateCategory, tree: CategoriesState) -> Sequence[Event]:
    name = check_text("name", command.name, NAME_MOST)
    wanted = Category(name=name, slug=command.slug, parent=command.parent)
    there = tree.categories.get(command.category_id)
    if there is not None:
        if there == wanted:
            return []
        raise CATEGORY_EXISTS(name=there.name)
    if len(tree.categories) >= MAX_CATEGORIES:
        raise TOO_MANY_CATEGORIES(most=MAX_CATEGORIES)
    _check_slug(tree, command.category_id, command.slug)
    _check_depth(len(_path_of_parent(tree, command.parent)) + 1)
    return [CategoryCreated(category_id=command.category_id, name=name, slug=command.slug, parent=command.parent)]


def _find(tree: CategoriesState, category_id: UUID) -> Category:
    category = tree.categories.get(category_id)
    if category is None:
        raise NO_SUCH_CATEGORY(category_id=str(category_id))
    return category


def _path_of_parent(tree: CategoriesState, parent: UUID | None) -> tuple[UUID, ...]:
    if parent is not None:
        _find(tree, parent)
    return tree.path(parent)


def _check_slug(tree: CategoriesState, category_id: UUID, slug: str) -> None:
    check_shape("slug", slug, "slug")
    for other_id, other in tree.categories.items():
        if other.slug == slug and other_id != category_id:
            raise SLUG_TAKEN(name=other.name, slug=slug)


def _check_depth(levels: int) -> None:
    if levels > MAX_DEPTH:
        raise TREE_TOO_DEEP(most=MAX_DEPTH, levels=levels)


def _height(tree: CategoriesState, top: UUID) -> int:
    """Levels of the branch that begins with `top`."""
    paths = (tree.path(one) for one in tree.categories)
    return max(len(path) - path.index(top) for path in paths if top in path)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(tree: CategoriesState | None, event: Event) -> CategoriesState:
    """The tree after the event."""
    there = tree.categories if tree is not None else {}
    match event:
        case CategoryCreated():
            category = Category(name=event.name, slug=event.slug, parent=event.parent)
        case CategoryRenamed():
            category = replace(there[event.category_id], name=event.name, slug=event.slug)
        case CategoryMoved():
            category = replace(there[event.category_id], parent=event.parent)
        case _:
            raise TypeError(f"the categories do not know {type(event).__name__}")
    return CategoriesState(categories={**there, event.category_id: category})


CATEGORIES: Final = Aggregate(
    name="Categories",
    log="catalog",
    state=CategoriesState,
    events=(CategoryCreated, CategoryRenamed, CategoryMoved),
    decide=decide,
    evolve=evolve,
)
