"""What becomes of each kind of line: the rules of docs/import.md, one by one, and their sum to the penny."""

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from emporium.domain.order import share
from emporium.scripts.retail.sorting import MANUAL, REASONS, Deed, Sums, pennies
from tests.retail.made import Line, deeds_of, line, plan_of, small_year


def reasons(deeds: list[Deed]) -> list[tuple[int, str]]:
    """Line number and reason of all that was set aside."""
    return [(one.row, one.reason) for deed in deeds for one in deed.aside]


def total(deeds: list[Deed]) -> Sums:
    sums = Sums()
    for deed in deeds:
        sums.add(deed.sums)
    return sums


def residue(sums: Sums) -> Decimal:
    """What nothing explains: zero, or the rules are wrong."""
    explained = sums.set_aside + sums.written_off + sums.rounding + sums.price_differences
    return sums.file - Decimal(sums.orders - sums.refunds) / 100 - explained


def test_an_invoice_is_an_order_with_its_shipping(tmp_path: Path) -> None:
    [deed] = deeds_of(tmp_path, [
        line(code="85123A", quantity=6, price=2.55),
        line(code="71053", quantity=2, price=3.39),
        line(code="POST", quantity=1, price=18.0),
        line(code="DOT", quantity=1, price=0.5),
        line(code="C2", quantity=1, price=1.0),
    ])  # fmt: skip
    assert deed.sale is not None
    assert [(one.code, one.quantity, one.total) for one in deed.sale.lines] == [("85123A", 6, 1530), ("71053", 2, 678)]
    assert (deed.sale.shipping, deed.sale.total) == (1950, 4158)
    assert (deed.country, deed.customer, deed.aside) == ("GB", "17850", [])


def test_the_same_invoice_is_the_same_order(tmp_path: Path) -> None:
    [first] = deeds_of(tmp_path, [line("536365")])
    [again, other] = deeds_of(tmp_path, [line("536365", quantity=2), line("536366")])
    assert first.sale is not None and again.sale is not None and other.sale is not None
    assert first.sale.order_id == again.sale.order_id != other.sale.order_id


def test_rounding_is_half_up_once_a_line(tmp_path: Path) -> None:
    assert [pennies(Decimal(text)) for text in ("0.005", "0.0049", "1.015", "2.675", "0.001")] == [1, 0, 102, 268, 0]
    deeds = deeds_of(tmp_path, [line(quantity=3, price=0.335), line(code="PADS", quantity=1, price=0.001)])
    assert deeds[0].sale is not None
    assert [one.total for one in deeds[0].sale.lines] == [101, 0]
    assert total(deeds).rounding == Decimal("-0.005") + Decimal("0.001")
    assert residue(total(deeds)) == 0


def test_the_list_price_is_the_most_common_of_the_month(tmp_path: Path) -> None:
    prices = {"2023-01": (2.55, 2.95, 2.95, 5.0), "2023-02": (3.25, 2.95), "2023-03": (0.001,)}
    lines = [
        line(f"{month}{place}", price=price, at=f"{month}-05 10:00:00")
        for month, some in prices.items()
        for place, price in enumerate(some)
    ]
    plan = plan_of(tmp_path, lines)
    # Of equally common prices the lowest; what rounds to nothing is no list price.
    assert plan.list_prices == {
        ("2023-01", "85123A"): 295,
        ("2023-02", "85123A"): 295,
        ("2023-03", "85123A"): None,
    }
    sold = [deed.sale.lines[0] for deed in plan.deeds() if deed.sale is not None]
    assert [(str(one.price), one.list_price) for one in sold][:4] == [
        ("2.55", 295), ("2.95", 295), ("2.95", 295), ("5", 295),
    ]  # fmt: skip


def test_titles_are_those_under_which_things_were_sold(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [
        line("1", "A1", 1, 0.0, description="found in the cellar"),
        line("2", "A1", 1, 2.0, description="?"),
        line("3", "A1", 1, 2.0, description="RED  MUG"),
        line("4", "A1", 1, 2.0, description="BLUE MUG"),
        line("5", "A2", -1, 0.0, description="thrown away"),
        line("6", "A3", -1, 0.0, description="OLD LAMP"),
    ])  # fmt: skip
    assert plan.titles == {"A1": "RED MUG", "A3": "OLD LAMP"}


def test_negative_quantities_are_write_offs(tmp_path: Path) -> None:
    deeds = deeds_of(tmp_path, [line("536400", quantity=-12, price=0.0, customer=None, description="damaged")])
    assert [(one.code, one.quantity, one.note) for one in deeds[0].write_offs] == [("85123A", 12, "damaged")]
    assert deeds[0].sale is None and deeds[0].aside == []


def test_every_reason_to_set_a_line_aside(tmp_path: Path) -> None:
    lines = [
        line("A1", "B", price=-11062.06, customer=None),
        line("2", "AMAZONFEE", price=13541.33),
        line("2", "gift_0001_20", price=17.0),
        line("2", "BANK CHARGES", price=15.0),
        line("3", price=0.0),
        line("3", price=-1.0),
        line("4", code=None),
        line("4", quantity=None),
        line("4", price=None),
        line("4", code="NOT A SKU"),
        line("5", "POST", price=8142.75),
        line("6", quantity=1_000_001),
        line("C7", quantity=-1, customer=99999.0),
        line("C7", quantity=-1, customer=None),
        line("8", quantity=2, customer=12345.0, at="2023-01-11 09:00:00"),
        line("C9", quantity=-3, customer=12345.0, at="2023-01-12 09:00:00"),
        line("C9", "D", quantity=-1, price=100.0, customer=12345.0, at="2023-01-12 09:00:00"),
        line("C9", "22000", quantity=-1, customer=12345.0, at="2023-01-12 09:00:00"),
        line("C9", quantity=1, customer=12345.0, at="2023-01-12 09:00:00"),
        line("C9", quantity=-1, price=0.0, customer=12345.0, at="2023-01-12 09:00:00"),
    ]
    deeds = deeds_of(tmp_path, lines)
    assert sorted(reasons(deeds)) == [
        (1, "bad_debt"),
        (2, "not_goods"),
        (3, "not_goods"),
        (4, "not_goods"),
        (5, "price_not_positive"),
        (6, "price_not_positive"),
        (7, "missing_field"),
        (8, "missing_field"),
        (9, "missing_field"),
        (10, "missing_field"),
        (11, "shipping_without_goods"),
        (12, "beyond_limits"),
        (13, "cancellation_without_order"),
        (14, "cancellation_without_order"),
        (16, "nothing_to_credit"),
        (17, "nothing_to_credit"),
        (18, "cancellation_without_order"),
        (19, "missing_field"),
        (20, "price_not_positive"),
    ]
    assert {reason for _, reason in reasons(deeds)} == set(REASONS)
    assert residue(total(deeds)) == 0


def test_a_cancellation_goes_back_over_the_newest_orders_at_the_price_that_was_paid(tmp_path: Path) -> None:
    deeds = deeds_of(tmp_path, [
        line("1", quantity=5, price=2.0, at="2023-01-01 09:00:00"),
        line("2", quantity=3, price=3.0, at="2023-01-02 09:00:00"),
        line("3", quantity=4, price=9.0, at="2023-01-03 09:00:00", customer=1.0),
        line("C4", quantity=-6, price=2.5, at="2023-01-04 09:00:00"),
        line("5", quantity=9, price=1.0, at="2023-01-05 09:00:00"),
    ])  # fmt: skip
    first, second, _, cancelled, _ = deeds
    assert first.sale is not None and second.sale is not None
    assert [(one.order_id, one.lines, one.amount) for one in cancelled.returns] == [
        (second.sale.order_id, [(1, 3)], 900),
        (first.sale.order_id, [(1, 3)], 600),
    ]
    # 6 × 2.50 on the cancellation, 3 × 3.00 + 3 × 2.00 paid.
    assert total(deeds).price_differences == 0
    assert cancelled.sums.refunds == 1500 and cancelled.aside == []
    assert residue(total(deeds)) == 0


def test_parts_of_a_line_come_back_to_the_whole_of_it(tmp_path: Path) -> None:
    lines = [line("1", quantity=3, price=0.335, at="2023-01-01 09:00:00")]
    lines += [line(f"C{day}", quantity=-1, price=0.335, at=f"2023-01-0{day} 09:00:00") for day in (2, 3, 4)]
    deeds = deeds_of(tmp_path, lines)
    amounts = [one.amount for deed in deeds for one in deed.returns]
    assert amounts == [share(101, 3, units) - share(101, 3, units - 1) for units in (1, 2, 3)]
    assert sum(amounts) == 101
    assert residue(total(deeds)) == 0


def test_discounts_and_shipping_are_goodwill_on_the_newest_order(tmp_path: Path) -> None:
    deeds = deeds_of(tmp_path, [
        line("1", quantity=1, price=30.0, at="2023-01-01 09:00:00"),
        line("2", quantity=1, price=10.0, at="2023-01-02 09:00:00"),
        line("C3", "D", quantity=-1, price=12.345, at="2023-01-03 09:00:00"),
        line("C3", "POST", quantity=-2, price=5.0, at="2023-01-03 09:00:00"),
    ])  # fmt: skip
    first, second, credit = deeds
    assert first.sale is not None and second.sale is not None
    assert [(one.order_id, one.amount, one.reason) for one in credit.goodwill] == [
        (second.sale.order_id, 1000, "Discount, C3"),
        (first.sale.order_id, 235, "Discount, C3"),
        (first.sale.order_id, 1000, "Shipping, C3"),
    ]
    assert len({one.refund_id for one in credit.goodwill}) == 3
    assert residue(total(deeds)) == 0


def test_never_more_goes_back_than_was_paid(tmp_path: Path) -> None:
    deeds = deeds_of(tmp_path, [
        line("1", quantity=10, price=1.0, at="2023-01-01 09:00:00"),
        line("C2", "D", quantity=-1, price=7.5, at="2023-01-02 09:00:00"),
        line("C3", quantity=-5, price=1.0, at="2023-01-03 09:00:00"),
    ])  # fmt: skip
    assert [one.amount for one in deeds[1].goodwill] == [750]
    assert [(one.lines, one.amount) for one in deeds[2].returns] == [([(1, 2)], 200)]
    assert [(one.reason, one.quantity, one.value) for one in deeds[2].aside] == [("nothing_to_credit", -3, Decimal(-3))]
    assert residue(total(deeds)) == 0


def test_manual_charges_are_credited_by_their_price_else_as_goodwill(tmp_path: Path) -> None:
    deeds = deeds_of(tmp_path, [
        line("1", "M", 1, 100.0, at="2023-01-01 09:00:00", description="Manual"),
        line("2", "m", 1, 40.0, at="2023-01-02 09:00:00", description="Manual"),
        line("C3", "M", -1, 100.0, at="2023-01-03 09:00:00", description="Manual"),
        line("C4", "M", -1, 30.0, at="2023-01-04 09:00:00", description="Manual"),
    ])  # fmt: skip
    first, second, third, fourth = deeds
    assert first.sale is not None and second.sale is not None
    assert {one.code for deed in (first, second) if deed.sale for one in deed.sale.lines} == {MANUAL}
    assert all(one.list_price is None for one in first.sale.lines)
    assert [one.order_id for one in third.returns] == [first.sale.order_id]
    assert [(one.order_id, one.amount) for one in fourth.goodwill] == [(second.sale.order_id, 3000)]
    assert residue(total(deeds)) == 0


def test_the_small_year_adds_up_and_is_sorted_alike_every_time(tmp_path: Path) -> None:
    deeds = deeds_of(tmp_path, small_year())
    assert residue(total(deeds)) == 0
    assert {reason for _, reason in reasons(deeds)} == {
        "bad_debt", "not_goods", "price_not_positive", "cancellation_without_order", "nothing_to_credit",
    }  # fmt: skip
    assert deeds_of(tmp_path, small_year()) == deeds


INVOICES = st.builds(lambda prefix, number: f"{prefix}{number}", st.sampled_from(["", "", "C", "A"]), st.integers(1, 9))
LINES = st.lists(
    st.builds(
        line,
        INVOICES,
        st.sampled_from(["85123A", "22000", "POST", "D", "M", "AMAZONFEE", "bad code", None]),
        st.one_of(st.none(), st.integers(-40, 40)),
        st.one_of(st.none(), st.sampled_from([0.0, -1.0, 0.001, 0.335, 1.25, 2.675, 19.99])),
        at=st.sampled_from(["2023-01-31 23:59:00", "2023-02-01 00:00:00", "2023-02-14 12:00:00", None]),
        customer=st.sampled_from([None, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(LINES)
def test_any_file_adds_up_and_gives_back_no_more_than_was_bought(lines: list[Line]) -> None:
    with TemporaryDirectory() as folder:
        plan = plan_of(Path(folder), lines)
    deeds = list(plan.deeds())
    sums = total(deeds)
    for strays in plan.stray_sums.values():
        sums.add(strays)
    assert sums.lines == len(lines)
    assert residue(sums) == 0
    assert {one.reason for deed in deeds for one in deed.aside} <= set(REASONS)
    left = {deed.sale.order_id: deed.sale.total for deed in deeds if deed.sale is not None}
    units = {
        (deed.sale.order_id, number): one.quantity
        for deed in deeds
        if deed.sale is not None
        for number, one in enumerate(deed.sale.lines, 1)
    }
    for deed in deeds:
        for back in (*deed.returns, *deed.goodwill):
            left[back.order_id] -= back.amount
        for one in deed.returns:
            for number, count in one.lines:
                units[one.order_id, number] -= count
    assert min(left.values(), default=0) >= 0
    assert min(units.values(), default=0) >= 0
