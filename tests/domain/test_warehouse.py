"""What the directory of warehouses does."""

from emporium.domain.text import TEXT_LENGTH, WRONG_SHAPE
from emporium.domain.warehouse import (
    MAX_PRIORITY,
    MAX_WAREHOUSES,
    NO_SUCH_WAREHOUSE,
    PRIORITY_OUT_OF_RANGE,
    TOO_MANY_WAREHOUSES,
    WAREHOUSE_EXISTS,
    ChangeWarehouse,
    CloseWarehouse,
    OpenWarehouse,
    WarehouseChanged,
    WarehouseClosed,
    WarehouseOpened,
    warehouses_id,
)
from tests.domain.spec import given


def opened(code: str, priority: int) -> WarehouseOpened:
    return WarehouseOpened(code=code, name=code.title(), country="GB", priority=priority)


def open_(code: str, priority: int = 1, country: str = "GB", name: str | None = None) -> OpenWarehouse:
    return OpenWarehouse(code=code, name=code.title() if name is None else name, country=country, priority=priority)


def test_warehouses_are_kept_in_order_of_preference() -> None:
    given(opened("SOUTH", 2), opened("NORTH", 2)).when(open_("EAST", 1)).then(opened("EAST", 1)).leads_to(
        in_order=("EAST", "NORTH", "SOUTH")
    )


def test_opening_it_again_changes_nothing_unless_it_is_another() -> None:
    given(opened("NORTH", 1)).when(open_("NORTH", 1)).then()
    given(opened("NORTH", 1)).when(open_("NORTH", 2)).rejected(WAREHOUSE_EXISTS, code="NORTH")


def test_a_warehouse_closes_and_may_open_again() -> None:
    closed = WarehouseClosed(code="NORTH")
    given(opened("NORTH", 1), opened("SOUTH", 2)).when(CloseWarehouse(code="NORTH")).then(closed).leads_to(
        in_order=("SOUTH",)
    )
    given(opened("NORTH", 1), closed).when(CloseWarehouse(code="NORTH")).rejected(NO_SUCH_WAREHOUSE)
    given().when(CloseWarehouse(code="NORTH")).rejected(NO_SUCH_WAREHOUSE, code="NORTH")
    given(opened("NORTH", 1), closed).when(open_("NORTH", 3)).then(opened("NORTH", 3))


def test_it_gets_another_name_and_another_place_in_the_order() -> None:
    changed = WarehouseChanged(code="SOUTH", name="Dover", priority=0)
    given(opened("NORTH", 1), opened("SOUTH", 2)).when(ChangeWarehouse(code="SOUTH", name=" Dover ", priority=0)).then(
        changed
    ).leads_to(in_order=("SOUTH", "NORTH"))
    given(opened("SOUTH", 2), changed).when(ChangeWarehouse(code="SOUTH", name="Dover")).then()
    given(opened("SOUTH", 2)).when(ChangeWarehouse(code="SOUTH", priority=-1)).rejected(PRIORITY_OUT_OF_RANGE)
    given(opened("SOUTH", 2)).when(ChangeWarehouse(code="NORTH", priority=1)).rejected(NO_SUCH_WAREHOUSE)


def test_what_is_no_warehouse() -> None:
    given().when(open_("")).rejected(WRONG_SHAPE, field="code")
    given().when(open_("NO RTH")).rejected(WRONG_SHAPE, field="code")
    given().when(open_("NORTH", country="gb")).rejected(WRONG_SHAPE, field="country")
    given().when(open_("NORTH", name=" ")).rejected(TEXT_LENGTH, field="name")
    for priority in (-1, MAX_PRIORITY + 1):
        given().when(open_("NORTH", priority)).rejected(PRIORITY_OUT_OF_RANGE, priority=priority)


def test_there_are_only_so_many_warehouses() -> None:
    many = [opened(f"W{n}", 1) for n in range(MAX_WAREHOUSES)]
    given(*many).when(open_("NORTH")).rejected(TOO_MANY_WAREHOUSES, most=MAX_WAREHOUSES)


def test_there_is_one_directory() -> None:
    assert warehouses_id() == warehouses_id()
