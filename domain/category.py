"""The tree of categories: one stream, so that no two moves at once can close a circle."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.text import check_shape, check_text

MAX_CATEGORIES: Final = 5_000
MAX_DEPTH: Final = 8
MAX_KINDS: Final = 100
MAX_CHOICES: Final = 200
NAME_MOST: Final = 100
KIND_NAME_MOST: Final = 60
UNIT_MOST: Final = 20
CHOICE_MOST: Final = 500

TEXT, NUMBER, CHOICE, YES_NO = "text", "number", "choice", "yes_no"
KINDS: Final = (TEXT, NUMBER, CHOICE, YES_NO)

COMMON: Final = ("weight_g", "length_mm", "width_mm", "height_mm")
"""What any product may say of itself, whatever its category: weight and size of a unit."""


def categories_id() -> UUID:
    """The id of the only stream of categories."""
    return stream_id("categories")


def category_id_of(slug: str) -> UUID:
    """The id of a category that seeds and imports know by its first slug."""
    return stream_id("category", slug)


class AttributeKind(msgspec.Struct, frozen=True, kw_only=True):
    """What values an attribute may have: `kind` is text, number (in `unit`), choice (one of `choices`) or yes_no."""

    name: str
    kind: str
    unit: str | None = None
    choices: tuple[str, ...] = ()


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


class AttributeDefined(Event, frozen=True, kw_only=True):
    """Products of the category, and of all below it, have this attribute; it may have been another kind before."""

    category_id: UUID
    attribute: AttributeKind


class AttributeRemoved(Event, frozen=True, kw_only=True):
    """The category itself says nothing of this attribute any more."""

    category_id: UUID
    name: str


# --- state -----------------------------------------------------------------------------------------


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A category, where it hangs, and the attributes that it defines itself."""

    name: str
    slug: str
    parent: UUID | None = None
    attributes: dict[str, AttributeKind] = {}


class CategoriesState(State, frozen=True, kw_only=True):
    """All categories by id; `former` are the slugs that they had before, which still lead to them."""

    categories: dict[UUID, Category] = {}
    former: dict[str, UUID] = {}

    def attributes(self, category_id: UUID | None) -> dict[str, AttributeKind]:
        """What is defined for products of a category: its own and those from above; the nearest definition holds."""
        found: dict[str, AttributeKind] = {}
        for one in self.path(category_id):
            found |= self.categories[one].attributes
        return found

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


class DefineAttribute(Command, frozen=True, kw_only=True):
    category_id: UUID
    attribute: AttributeKind


class RemoveAttribute(Command, frozen=True, kw_only=True):
    category_id: UUID
    name: str


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_CATEGORY = Reason("no_such_category", "There is no category {category_id}.", "missing")
CATEGORY_EXISTS = Reason("category_exists", "The category exists already, as {name}.")
SLUG_TAKEN = Reason("slug_taken", "The category {name} has the slug {slug}.")
CATEGORY_UNDER_ITSELF = Reason("category_under_itself", "{name} cannot hang below itself.")
TREE_TOO_DEEP = Reason("tree_too_deep", "The tree of categories has at most {most} levels, not {levels}.")
TOO_MANY_CATEGORIES = Reason("too_many_categories", "There can be at most {most} categories.")
NO_SUCH_ATTRIBUTE = Reason("no_such_attribute", "{name} defines no attribute {attribute} itself.", "missing")
WRONG_ATTRIBUTE_KIND = Reason("wrong_attribute_kind", "The attribute {name} {why}.", "invalid")
UNKNOWN_ATTRIBUTE = Reason(
    "unknown_attribute", "Products of this category have no attribute {name}, but {defined}.", "invalid"
)
WRONG_ATTRIBUTE = Reason("wrong_attribute", "The attribute {name} must be {wanted}.", "invalid")


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
        case DefineAttribute():
            category = _find(tree, command.category_id)
            kind = _checked(command.attribute)
            if category.attributes.get(kind.name) == kind:
                return []
            if kind.name not in category.attributes and len(category.attributes) >= MAX_KINDS:
                raise WRONG_ATTRIBUTE_KIND(field="name", name=kind.name, why=f"is one more than {MAX_KINDS}")
            return [AttributeDefined(category_id=command.category_id, attribute=kind)]
        case RemoveAttribute():
            category = _find(tree, command.category_id)
            if command.name not in category.attributes:
                raise NO_SUCH_ATTRIBUTE(name=category.name, attribute=command.name)
            return [AttributeRemoved(category_id=command.category_id, name=command.name)]
        case _:
            raise TypeError(f"the categories do not know {type(command).__name__}")


def _checked(kind: AttributeKind) -> AttributeKind:
    name = check_text("name", kind.name, KIND_NAME_MOST)
    if kind.kind not in KINDS:
        raise WRONG_ATTRIBUTE_KIND(field="kind", name=name, why=f"is one of {', '.join(KINDS)}, not {kind.kind}")
    if (kind.kind == CHOICE) != bool(kind.choices):
        why = "needs choices" if kind.kind == CHOICE else f"has no choices, being a {kind.kind}"
        raise WRONG_ATTRIBUTE_KIND(field="choices", name=name, why=why)
    if kind.unit is not None and kind.kind != NUMBER:
        raise WRONG_ATTRIBUTE_KIND(field="unit", name=name, why="has no unit, not being a number")
    choices = tuple(check_text("choices", one, CHOICE_MOST) for one in kind.choices)
    if len(choices) > MAX_CHOICES or len(set(choices)) < len(choices):
        raise WRONG_ATTRIBUTE_KIND(field="choices", name=name, why=f"has up to {MAX_CHOICES} different choices")
    unit = None if kind.unit is None else check_text("unit", kind.unit, UNIT_MOST)
    return AttributeKind(name=name, kind=kind.kind, unit=unit, choices=choices)


def check_attributes(tree: CategoriesState, category_id: UUID | None, values: Mapping[str, object]) -> None:
    """Raises `Rejected` for a value that is not as the category defines it: unknown_attribute, wrong_attribute.

    A category for which nothing is defined takes whatever a product can have; `COMMON` fits everywhere.
    """
    defined = tree.attributes(category_id)
    for name, value in values.items():
        kind = defined.get(name)
        if kind is not None:
            wanted = _wanted(kind, value)
            if wanted is not None:
                raise WRONG_ATTRIBUTE(field=f"attributes.{name}", name=name, wanted=wanted, given=value)
        elif name in COMMON:
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise WRONG_ATTRIBUTE(field=f"attributes.{name}", name=name, wanted="a number from 0", given=value)
        elif defined:
            raise UNKNOWN_ATTRIBUTE(field=f"attributes.{name}", name=name, defined=", ".join(sorted(defined)))


def _wanted(kind: AttributeKind, value: object) -> str | None:
    """What the value should be; None where it is."""
    match kind.kind:
        case "number":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return None if number else "a number" + (f" in {kind.unit}" if kind.unit else "")
        case "yes_no":
            return None if isinstance(value, bool) else "true or false"
        case "choice":
            return None if value in kind.choices else f"one of {', '.join(kind.choices)}"
    return None if isinstance(value, str) else "a text"


def _create(command: CreateCategory, tree: CategoriesState) -> Sequence[Event]:
    name = check_text("name", command.name, NAME_MOST)
    wanted = Category(name=name, slug=command.slug, parent=command.parent)
    there = tree.categories.get(command.category_id)
    if there is not None:
        if (there.name, there.slug, there.parent) == (wanted.name, wanted.slug, wanted.parent):
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
        if other_id != category_id and (other.slug == slug or tree.former.get(slug) == other_id):
            raise SLUG_TAKEN(field="slug", name=other.name, slug=slug)


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
    former = tree.former if tree is not None else {}
    match event:
        case CategoryCreated():
            category = Category(name=event.name, slug=event.slug, parent=event.parent)
        case CategoryRenamed():
            before = there[event.category_id]
            category = replace(before, name=event.name, slug=event.slug)
            if event.slug != before.slug:
                left = {slug: one for slug, one in former.items() if slug != event.slug}
                former = {**left, before.slug: event.category_id}
        case CategoryMoved():
            category = replace(there[event.category_id], parent=event.parent)
        case AttributeDefined():
            before = there[event.category_id]
            kinds = {**before.attributes, event.attribute.name: event.attribute}
            category = replace(before, attributes=kinds)
        case AttributeRemoved():
            before = there[event.category_id]
            kinds = {name: kind for name, kind in before.attributes.items() if name != event.name}
            category = replace(before, attributes=kinds)
        case _:
            raise TypeError(f"the categories do not know {type(event).__name__}")
    return CategoriesState(categories={**there, event.category_id: category}, former=former)


CATEGORIES: Final = Aggregate(
    name="Categories",
    log="catalog",
    state=CategoriesState,
    events=(CategoryCreated, CategoryRenamed, CategoryMoved, AttributeDefined, AttributeRemoved),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
