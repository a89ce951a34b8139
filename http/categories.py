"""/api/v1/admin/categories: staff grow the tree of categories and say what products of a category have."""

from typing import Annotated, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from emporium.application import catalog
from emporium.domain.base import Command
from emporium.domain.category import (
    MAX_CHOICES,
    NO_SUCH_CATEGORY,
    AttributeKind,
    CategoriesState,
    CreateCategory,
    DefineAttribute,
    MoveCategory,
    RemoveAttribute,
    RenameCategory,
    categories_id,
)
from emporium.domain.text import slug_of
from emporium.http.auth import staff
from emporium.http.bodies import Body
from emporium.http.caching import tagged
from emporium.http.catalog import Slug, show_history
from emporium.http.consistency import token_after
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.http.versions import HistoryEntry

__all__ = ["CategoryController"]

CategoryName = Annotated[str, Meta(min_length=1, max_length=100, examples=["Mugs"])]
CategoryId = Annotated[UUID, PathParameter(description="The id of a category.")]
AttributeName = Annotated[str, PathParameter(max_length=60, description="The attribute's name.")]


class NewCategory(Body, frozen=True, kw_only=True):
    """A category; the slug is made of the name where none is given, `parent` is null at the top."""

    name: CategoryName
    slug: Slug | None = None
    parent: UUID | None = None


class RenamedCategory(Body, frozen=True, kw_only=True):
    """Another name and slug; the old slug goes on leading to the category."""

    name: CategoryName
    slug: Slug


class CategoryPlace(Body, frozen=True, kw_only=True):
    """Under which category it hangs; null: at the top."""

    parent: UUID | None


class AttributeRule(Body, frozen=True, kw_only=True):
    """What values an attribute may have: `unit` belongs to a number, `choices` to a choice."""

    kind: Literal["text", "number", "choice", "yes_no"]
    unit: Annotated[str, Meta(min_length=1, max_length=20)] | None = None
    choices: Annotated[list[Annotated[str, Meta(min_length=1, max_length=500)]], Meta(max_length=MAX_CHOICES)] = []


class CategoryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A category as staff see it; `attributes` are its own, `inherited` those from above."""

    category_id: UUID
    name: str
    slug: str
    parent: UUID | None
    attributes: list[AttributeKind]
    inherited: list[AttributeKind]


class CategoryRecords(msgspec.Struct, frozen=True):
    """All categories, by name."""

    items: list[CategoryRecord]


class CategoryController(Controller):
    """The tree of categories."""

    path = "/admin/categories"
    tags = ["catalog"]
    guards = [staff("catalog_manager")]

    @get("/", opt={"tagged": True})
    async def list_tree(self, request: Request) -> Reply[CategoryRecords]:
        """All categories with the attributes of their products."""
        tree = await catalog.tree(request.services.shop)
        ids = sorted(tree.categories, key=lambda one: (tree.categories[one].name, one))
        return tagged(request, CategoryRecords([_category(tree, one) for one in ids]))

    @post("/", status_code=201, opt={"idempotent": True})
    async def create_category(self, request: Request, data: JSONBody[NewCategory]) -> Reply[CategoryRecord]:
        """Makes a category."""
        session = await request.customer()
        category_id = uuid4()
        slug = data.slug or slug_of(data.name) or str(category_id)
        command = CreateCategory(category_id=category_id, name=data.name, slug=slug, parent=data.parent)
        cause = request.cause(actor_of(session), categories_id())
        return await once(
            request,
            catalog.LOG,
            actor_of(session),
            lambda tree: Answer.of(_category(tree, category_id)),
            lambda keep: catalog.write_categories(request.services.shop, command, cause, keep),
        )

    @get("/history", opt={"tagged": True})
    async def tree_history(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[HistoryEntry]]:
        """Who changed what of the tree, and when; the newest first."""
        return await show_history(request, categories_id(), limit, cursor)

    @get("/{category_id:uuid}", opt={"tagged": True})
    async def show_category(self, request: Request, category_id: CategoryId) -> Reply[CategoryRecord]:
        """One category."""
        tree = await catalog.tree(request.services.shop)
        if category_id not in tree.categories:
            raise NO_SUCH_CATEGORY(category_id=str(category_id))
        return tagged(request, _category(tree, category_id))

    @patch("/{category_id:uuid}")
    async def rename_category(
        self, request: Request, category_id: CategoryId, data: JSONBody[RenamedCategory]
    ) -> Reply[CategoryRecord]:
        """Gives a category another name."""
        return await _change(
            request, category_id, RenameCategory(category_id=category_id, name=data.name, slug=data.slug)
        )

    @put("/{category_id:uuid}/parent")
    async def move_category(
        self, request: Request, category_id: CategoryId, data: JSONBody[CategoryPlace]
    ) -> Reply[CategoryRecord]:
        """Hangs a category, with all below it, under another; links to it go on working."""
        return await _change(request, category_id, MoveCategory(category_id=category_id, parent=data.parent))

    @put("/{category_id:uuid}/attributes/{name:str}")
    async def define_attribute(
        self, request: Request, category_id: CategoryId, name: AttributeName, data: JSONBody[AttributeRule]
    ) -> Reply[CategoryRecord]:
        """Defines an attribute of products of the category and of all below it.

        Products are held to it when they are next written.
        """
        kind = AttributeKind(name=name, kind=data.kind, unit=data.unit, choices=tuple(data.choices))
        return await _change(request, category_id, DefineAttribute(category_id=category_id, attribute=kind))

    @delete("/{category_id:uuid}/attributes/{name:str}", status_code=200)
    async def remove_attribute(
        self, request: Request, category_id: CategoryId, name: AttributeName
    ) -> Reply[CategoryRecord]:
        """Takes the definition of an attribute back; products keep their values."""
        return await _change(request, category_id, RemoveAttribute(category_id=category_id, name=name))


async def _change(request: Request, category_id: UUID, command: Command) -> Reply[CategoryRecord]:
    session = await request.customer()
    cause = request.cause(actor_of(session), categories_id())
    tree, committed = await catalog.write_categories(request.services.shop, command, cause)
    headers = []
    if committed.position:
        headers.append((b"consistency-token", token_after(request, catalog.LOG, committed.position)))
    return Reply.of(_category(tree, category_id), 200, headers)


def _category(tree: CategoriesState, category_id: UUID) -> CategoryRecord:
    found = tree.categories[category_id]
    above = tree.attributes(found.parent)
    return CategoryRecord(
        category_id=category_id,
        name=found.name,
        slug=found.slug,
        parent=found.parent,
        attributes=list(found.attributes.values()),
        inherited=[kind for name, kind in above.items() if name not in found.attributes],
    )
