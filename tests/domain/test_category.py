"""What the tree of categories does."""

import pytest

from emporium.domain.base import Rejected
from emporium.domain.category import (
    CATEGORY_EXISTS,
    CATEGORY_UNDER_ITSELF,
    MAX_CATEGORIES,
    MAX_DEPTH,
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_CATEGORY,
    SLUG_TAKEN,
    TOO_MANY_CATEGORIES,
    TREE_TOO_DEEP,
    WRONG_ATTRIBUTE_KIND,
    AttributeDefined,
    AttributeKind,
    AttributeRemoved,
    CategoriesState,
    Category,
    CategoryCreated,
    CategoryMoved,
    CategoryRenamed,
    CreateCategory,
    DefineAttribute,
    MoveCategory,
    RemoveAttribute,
    RenameCategory,
    categories_id,
    category_id_of,
    decide,
)
from emporium.domain.text import TEXT_LENGTH, WRONG_SHAPE
from tests.domain.spec import given, uid

HOME, KITCHEN, MUGS, GARDEN = uid(1), uid(2), uid(3), uid(4)


def created(number: int, name: str, parent: int | None = None) -> CategoryCreated:
    above = None if parent is None else uid(parent)
    return CategoryCreated(category_id=uid(number), name=name, slug=name.lower(), parent=above)


def create(number: int, name: str, parent: int | None = None) -> CreateCategory:
    above = None if parent is None else uid(parent)
    return CreateCategory(category_id=uid(number), name=name, slug=name.lower(), parent=above)


TREE = (created(1, "Home"), created(2, "Kitchen", 1), created(3, "Mugs", 2), created(4, "Garden"))


def test_a_category_hangs_at_the_top_or_under_another() -> None:
    given().when(create(1, "Home")).then(created(1, "Home"))
    given(TREE[0]).when(create(2, "Kitchen", 1)).then(created(2, "Kitchen", 1))
    given(TREE[0]).when(create(2, "Kitchen", 9)).rejected(NO_SUCH_CATEGORY, category_id=str(uid(9)))


def test_creating_it_again_changes_nothing_unless_it_is_another() -> None:
    given(*TREE).when(create(2, "Kitchen", 1)).then()
    given(*TREE).when(create(2, "Kitchen")).rejected(CATEGORY_EXISTS, name="Kitchen")


def test_names_and_slugs_are_sound_and_slugs_are_unique() -> None:
    given().when(create(1, " ")).rejected(TEXT_LENGTH, field="name")
    given().when(CreateCategory(category_id=HOME, name="Home", slug="Home & Co")).rejected(WRONG_SHAPE)
    given(*TREE).when(create(9, "Mugs")).rejected(SLUG_TAKEN, slug="mugs", name="Mugs")
    given(*TREE).when(RenameCategory(category_id=HOME, name="Mugs", slug="mugs")).rejected(SLUG_TAKEN)


def test_a_category_gets_another_name() -> None:
    rename = RenameCategory(category_id=HOME, name="House", slug="house")
    renamed = CategoryRenamed(category_id=HOME, name="House", slug="house")
    outcome = given(*TREE).when(rename).then(renamed)
    assert outcome.state.categories[HOME] == Category(name="House", slug="house")
    given(*TREE, renamed).when(rename).then()
    given(*TREE).when(RenameCategory(category_id=HOME, name="HOME", slug="home")).then(
        CategoryRenamed(category_id=HOME, name="HOME", slug="home")
    )
    given().when(rename).rejected(NO_SUCH_CATEGORY)


def test_a_category_moves_with_all_below_it() -> None:
    moved = CategoryMoved(category_id=KITCHEN, parent=GARDEN)
    outcome = given(*TREE).when(MoveCategory(category_id=KITCHEN, parent=GARDEN)).then(moved)
    assert outcome.state.path(MUGS) == (GARDEN, KITCHEN, MUGS)
    given(*TREE).when(MoveCategory(category_id=KITCHEN, parent=HOME)).then()
    given(*TREE).when(MoveCategory(category_id=KITCHEN, parent=None)).then(
        CategoryMoved(category_id=KITCHEN, parent=None)
    )
    given(*TREE).when(MoveCategory(category_id=uid(9), parent=None)).rejected(NO_SUCH_CATEGORY)
    given(*TREE).when(MoveCategory(category_id=KITCHEN, parent=uid(9))).rejected(NO_SUCH_CATEGORY)


@pytest.mark.parametrize("parent", [HOME, KITCHEN, MUGS])
def test_no_category_hangs_below_itself(parent: object) -> None:
    move = MoveCategory(category_id=HOME, parent=parent)  # type: ignore[arg-type]
    given(*TREE).when(move).rejected(CATEGORY_UNDER_ITSELF, name="Home")


def test_the_tree_is_only_so_deep() -> None:
    chain = [created(n, f"L{n}", n - 1 if n > 1 else None) for n in range(1, MAX_DEPTH + 1)]
    given(*chain).when(create(99, "Deeper", MAX_DEPTH)).rejected(TREE_TOO_DEEP, levels=MAX_DEPTH + 1)
    pair = (created(50, "Upper"), created(51, "Lower", 50))
    given(*chain, *pair).when(MoveCategory(category_id=uid(50), parent=uid(MAX_DEPTH - 1))).rejected(TREE_TOO_DEEP)
    moved = CategoryMoved(category_id=uid(50), parent=uid(MAX_DEPTH - 2))
    given(*chain, *pair).when(MoveCategory(category_id=uid(50), parent=uid(MAX_DEPTH - 2))).then(moved)


def test_there_are_only_so_many_categories() -> None:
    full = CategoriesState(categories={uid(n): Category(name="x", slug=f"x{n}") for n in range(MAX_CATEGORIES)})
    with pytest.raises(Rejected) as refused:
        decide(create(MAX_CATEGORIES, "More"), full)
    assert refused.value.code == TOO_MANY_CATEGORIES.code


def test_there_is_one_tree_and_a_seed_finds_its_categories_again() -> None:
    assert categories_id() == categories_id()
    assert category_id_of("mugs") == category_id_of("mugs") != category_id_of("cups")


def number(name: str, unit: str | None = None) -> AttributeKind:
    return AttributeKind(name=name, kind="number", unit=unit)


def defined(category: object, kind: AttributeKind) -> AttributeDefined:
    return AttributeDefined(category_id=category, attribute=kind)  # type: ignore[arg-type]


def test_attributes_are_inherited_and_the_nearest_definition_holds() -> None:
    define = DefineAttribute(category_id=HOME, attribute=number("volume", "l"))
    given(*TREE).when(define).then(defined(HOME, number("volume", "l")))
    given(*TREE, defined(HOME, number("volume", "l"))).when(define).then()
    nearer = (defined(HOME, number("volume", "l")), defined(MUGS, number("volume", "ml")))
    tree = given(*TREE, *nearer).state
    assert tree.attributes(KITCHEN) == {"volume": number("volume", "l")}
    assert tree.attributes(MUGS) == {"volume": number("volume", "ml")}
    assert tree.attributes(GARDEN) == tree.attributes(None) == {}
    moved = given(*TREE, *nearer, CategoryMoved(category_id=KITCHEN, parent=GARDEN)).state
    assert moved.attributes(KITCHEN) == {}
    removed = AttributeRemoved(category_id=MUGS, name="volume")
    given(*TREE, *nearer).when(RemoveAttribute(category_id=MUGS, name="volume")).then(removed)
    assert given(*TREE, *nearer, removed).state.attributes(MUGS) == {"volume": number("volume", "l")}
    given(*TREE).when(RemoveAttribute(category_id=MUGS, name="volume")).rejected(NO_SUCH_ATTRIBUTE)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (AttributeKind(name="a", kind="colour"), "kind"),
        (AttributeKind(name="a", kind="choice"), "choices"),
        (AttributeKind(name="a", kind="text", choices=("x",)), "choices"),
        (AttributeKind(name="a", kind="choice", choices=("x", "x")), "choices"),
        (AttributeKind(name="a", kind="text", unit="ml"), "unit"),
    ],
)
def test_a_definition_is_sound(kind: AttributeKind, field: str) -> None:
    given(*TREE).when(DefineAttribute(category_id=HOME, attribute=kind)).rejected(WRONG_ATTRIBUTE_KIND, field=field)


def test_a_slug_that_it_had_stays_its_own() -> None:
    renamed = CategoryRenamed(category_id=MUGS, name="Cups", slug="cups")
    assert given(*TREE, renamed).state.former == {"mugs": MUGS}
    given(*TREE, renamed).when(create(9, "Mugs")).rejected(SLUG_TAKEN, slug="mugs", name="Cups")
    back = CategoryRenamed(category_id=MUGS, name="Mugs", slug="mugs")
    assert given(*TREE, renamed, back).state.former == {"cups": MUGS}
