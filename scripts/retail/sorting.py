"""Sorts a year of invoice lines out: what each invoice was in the shop's terms, to the penny, and what it was not.

Pure and decided by the file alone, so that a second run plans what the first one did. The rules are in
docs/import.md.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Final
from uuid import UUID

import msgspec

from emporium.domain.base import MAX_AMOUNT, MAX_QUANTITY, Rejected, stream_id
from emporium.domain.order import MAX_LINES, TEXT_MOST, share
from emporium.domain.text import check_shape
from emporium.scripts.retail.countries import country_code
from emporium.scripts.retail.file import Document, Year

__all__ = [
    "MANUAL",
    "REASONS",
    "Aside",
    "Deed",
    "Goodwill",
    "Return",
    "Sale",
    "SaleLine",
    "Sums",
    "WriteOff",
    "month_of",
    "pennies",
    "sort_out",
]

REASONS: Final = {
    "bad_debt": "an adjustment of bad debt (A…)",
    "not_goods": "a fee, a sample, a voucher or another code that is no goods",
    "price_not_positive": "a price of zero or below, or one that rounds to nothing",
    "missing_field": "a field is missing or makes no sense",
    "cancellation_without_order": "a cancellation of what this customer, or a guest, is not known to have bought",
    "nothing_to_credit": "a cancellation beyond what was bought or paid and has not gone back yet",
    "shipping_without_goods": "a shipping charge on an invoice without goods",
    "beyond_limits": "more than an order may hold",
}
"""Every reason for which a line is set aside."""

SHIPPING: Final = frozenset({"POST", "DOT", "C2"})
DISCOUNT: Final = "D"
MANUAL: Final = "M"
"""What a clerk charges by hand: it has no list price, and a credit of it belongs to a charge of the same price."""

NOT_GOODS: Final = frozenset({"S", "B", "BANK CHARGES", "AMAZONFEE", "CRUK"})
_NOT_GOODS_BEGIN: Final = ("GIFT_", "TEST", "ADJUST")

_LETTERS: Final = 3
_MOST: Final = MAX_AMOUNT // (2 * MAX_LINES)
"""Pennies of a line; so many lines of goods, and of shipping, stay within what an order may cost."""
_PENNY: Final = Decimal("0.01")


class Aside(msgspec.Struct, frozen=True):
    """A line, or what is left of it, that becomes nothing in the shop. `row` counts the file's lines from 1."""

    row: int
    invoice: str
    code: str
    reason: str
    quantity: int
    value: Decimal


class SaleLine(msgspec.Struct, frozen=True):
    """A line of an order: `price` is exact, `total` in pennies, `list_price` the code's in this month, if any."""

    code: str
    quantity: int
    price: Decimal
    total: int
    list_price: int | None


class Sale(msgspec.Struct, frozen=True):
    """An invoice as an order; `shipping` in pennies."""

    order_id: UUID
    lines: list[SaleLine]
    shipping: int

    @property
    def total(self) -> int:
        """What is charged, in pennies."""
        return self.shipping + sum(line.total for line in self.lines)


class WriteOff(msgspec.Struct, frozen=True):
    """Units that were taken out of the stock without a customer."""

    code: str
    quantity: int
    note: str


class Return(msgspec.Struct, frozen=True):
    """Units (line number, units) of an order that come back, for `amount` pennies."""

    order_id: UUID
    return_id: UUID
    lines: list[tuple[int, int]]
    amount: int


class Goodwill(msgspec.Struct, frozen=True):
    """Pennies that a customer gets back on an order, for `reason`."""

    order_id: UUID
    refund_id: UUID
    amount: int
    reason: str


class Deed(msgspec.Struct):
    """What an invoice was. `index` is its place among the invoices by time."""

    index: int
    invoice: str
    at: datetime
    customer: str | None
    country: str
    sale: Sale | None = None
    write_offs: list[WriteOff] = []
    returns: list[Return] = []
    goodwill: list[Goodwill] = []
    aside: list[Aside] = []
    sums: "Sums" = msgspec.field(default_factory=lambda: Sums())  # noqa: PLW0108 - it is defined below


class Sums(msgspec.Struct):
    """Where the value of lines went, exactly: file = orders - refunds + all the others.

    Attributes:
        orders, refunds: in whole pennies, as charged and given back.
        rounding: by which the lines differ from the whole pennies that they became.
        price_differences: by which credits differ from the price that was paid.
        written_off: the value of write-offs (none, where they have no price).
    """

    lines: int = 0
    file: Decimal = Decimal(0)
    absolute: Decimal = Decimal(0)
    orders: int = 0
    refunds: int = 0
    set_aside: Decimal = Decimal(0)
    written_off: Decimal = Decimal(0)
    rounding: Decimal = Decimal(0)
    price_differences: Decimal = Decimal(0)

    def add(self, other: "Sums") -> None:
        """Adds the other ones to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Plan(msgspec.Struct):
    """A year sorted out.

    Attributes:
        titles: what each code of goods is called.
        strays: lines outside of all invoices, and their sums by month ("" where that is unknown).
    """

    year: Year
    titles: dict[str, str]
    list_prices: dict[tuple[str, str], int | None]
    credited: frozenset[tuple[str, str]]
    strays: list[Aside]
    stray_sums: dict[str, Sums]

    def deeds(self) -> Iterator[Deed]:
        """The invoices one after the other; what a cancellation gives back depends on those before it."""
        ledger = _Ledger(self.credited)
        for index, document in enumerate(self.year.documents):
            yield _Sorter(self, document, index, ledger).deed()


def month_of(at: datetime) -> str:
    """`2023-01`"""
    return f"{at:%Y-%m}"


def pennies(amount: Decimal) -> int:
    """An amount in pounds, rounded half up (away from zero) to whole pennies: the one rule of rounding here."""
    return int((amount / _PENNY).quantize(Decimal(1), ROUND_HALF_UP))


def sort_out(year: Year) -> Plan:
    """Reads the year once for what needs all of it: titles, list prices, and which purchases are credited later."""
    prices: dict[str, dict[int, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    titles: dict[int, int] = {}
    second_best: dict[int, int] = {}
    credited: set[tuple[str, str]] = set()
    goods = [_is_goods(code) for code in year.codes]
    telling = [sum(map(str.isalpha, text)) >= _LETTERS for text in year.descriptions]
    for document in year.documents:
        cancels, month = document.invoice[0] in "Cc", month_of(document.at)
        for row in document.rows:
            code = year.code[row]
            if code < 0 or not goods[code]:
                continue
            if cancels:
                if document.customer is not None:
                    credited.add((document.customer, sku_of(year.codes[code])))
                continue
            description, price = year.description[row], year.price[row]
            named = description >= 0 and telling[description]
            if year.quantity[row] > 0 and price >= 0 and year.prices[price] > 0:
                prices[month][code][price] += 1
                if named:
                    titles.setdefault(code, description)
            elif named and year.descriptions[description].isupper():
                # Notes such as “thrown away” stand here too, but the shop writes its titles in capitals.
                second_best.setdefault(code, description)
    second_best.update(titles)
    strays, stray_sums = _strays(year)
    return Plan(
        year=year,
        titles={sku_of(year.codes[code]): year.descriptions[text] for code, text in reversed(second_best.items())},
        list_prices={
            (month, year.codes[code]): _list_price(year, counts)
            for month, of_month in prices.items()
            for code, counts in of_month.items()
            if sku_of(year.codes[code]) != MANUAL
        },
        credited=frozenset(credited),
        strays=strays,
        stray_sums=stray_sums,
    )


def _list_price(year: Year, counts: Counter[int]) -> int | None:
    """The most common price in pennies, of equally common ones the lowest; None where it rounds to nothing."""
    best = min(counts, key=lambda place: (-counts[place], year.prices[place]))
    price = pennies(year.prices[best])
    return price if 0 < price <= MAX_AMOUNT else None


def _strays(year: Year) -> tuple[list[Aside], dict[str, Sums]]:
    asides = []
    sums: dict[str, Sums] = {}
    for stray in year.strays:
        asides.append(
            Aside(stray.row + 1, stray.invoice, stray.code, "missing_field", year.quantity[stray.row], stray.value)
        )
        month = "" if stray.at is None else month_of(stray.at)
        value = stray.value
        sums.setdefault(month, Sums()).add(Sums(lines=1, file=value, absolute=abs(value), set_aside=value))
    return asides, sums


def sku_of(code: str) -> str:
    """The SKU of a stock code: the code itself, whatever its case; only manual charges are one."""
    return MANUAL if code.upper() == MANUAL else code


@cache
def _is_goods(code: str) -> bool:
    """Whether the code can be bought: neither shipping, a discount, a fee nor something that cannot be a SKU."""
    upper = code.upper()
    return not (upper in NOT_GOODS or upper in SHIPPING or upper == DISCOUNT or upper.startswith(_NOT_GOODS_BEGIN))


# --- what customers bought and may give back ---------------------------------------------------------


class _Account(msgspec.Struct):
    """An order of a customer and what can still go back of it, in pennies."""

    order_id: UUID
    left: int


class _Bought(msgspec.Struct):
    """A line of an order that is credited later; `back` units came back so far."""

    account: _Account
    line: int
    quantity: int
    total: int
    price: Decimal
    back: int = 0


class _Ledger:
    def __init__(self, credited: frozenset[tuple[str, str]]) -> None:
        self._credited = credited
        self._accounts: defaultdict[str, list[_Account]] = defaultdict(list)
        self._bought: defaultdict[tuple[str, str], list[_Bought]] = defaultdict(list)

    def sold(self, customer: str, sale: Sale) -> None:
        account = _Account(sale.order_id, sale.total)
        self._accounts[customer].append(account)
        for number, line in enumerate(sale.lines, 1):
            if (customer, line.code) in self._credited:
                bought = _Bought(account, number, line.quantity, line.total, line.price)
                self._bought[customer, line.code].append(bought)

    def knows(self, customer: str) -> bool:
        return customer in self._accounts

    def bought(self, customer: str, code: str) -> list[_Bought]:
        """Newest first."""
        return self._bought[customer, code][::-1] if (customer, code) in self._bought else []

    def accounts(self, customer: str) -> list[_Account]:
        """Newest first."""
        return self._accounts[customer][::-1]


# --- one invoice -------------------------------------------------------------------------------------


class _Sorter:
    def __init__(self, plan: Plan, document: Document, index: int, ledger: _Ledger) -> None:
        self._plan = plan
        self._year = plan.year
        self._document = document
        self._ledger = ledger
        self._deed = Deed(
            index, document.invoice, document.at, document.customer, country_code(document.country),
            None, [], [], [], [], Sums(),
        )  # fmt: skip

    def deed(self) -> Deed:
        year, sums = self._year, self._deed.sums
        for row in self._document.rows:
            value = year.value(row)
            sums.lines += 1
            sums.file += value
            sums.absolute += abs(value)
        kind = self._document.invoice[0].upper()
        if kind == "A":
            for row in self._document.rows:
                self._aside(row, "bad_debt")
        elif kind == "C":
            self._cancel()
        else:
            self._sell()
        return self._deed

    def _aside(self, row: int, reason: str, quantity: int | None = None, value: Decimal | None = None) -> None:
        year = self._year
        code = year.codes[year.code[row]] if year.code[row] >= 0 else ""
        value = year.value(row) if value is None else value
        quantity = year.quantity[row] if quantity is None else quantity
        self._deed.aside.append(Aside(row + 1, self._document.invoice, code, reason, quantity, value))
        self._deed.sums.set_aside += value

    def _usable(self) -> Iterator[tuple[int, str, str, int, Decimal]]:
        """Row, code as written, code in capitals, quantity and price of the lines that have them."""
        year = self._year
        for row in self._document.rows:
            if year.code[row] < 0 or year.price[row] < 0 or year.quantity[row] == 0:
                self._aside(row, "missing_field")
                continue
            code = year.codes[year.code[row]]
            yield row, code, code.upper(), year.quantity[row], year.prices[year.price[row]]

    # --- sales -----------------------------------------------------------------------------------------

    def _sell(self) -> None:
        month = month_of(self._document.at)
        lines: list[tuple[int, SaleLine]] = []
        shipping: list[tuple[int, int]] = []
        units: Counter[str] = Counter()
        for row, code, upper, quantity, price in self._usable():
            if quantity < 0 and _is_goods(code):
                self._write_off(row, code, -quantity)
                continue
            if price <= 0:
                self._aside(row, "price_not_positive")
                continue
            total = pennies(quantity * price)
            if total > _MOST:
                self._aside(row, "beyond_limits")
            elif upper in SHIPPING and quantity > 0 and len(shipping) < MAX_LINES:
                shipping.append((row, total))
            elif not _is_goods(code) or quantity < 0:
                self._aside(row, "not_goods")
            elif not _is_sku(code):
                self._aside(row, "missing_field")
            elif len(lines) == MAX_LINES or units[code] + quantity > MAX_QUANTITY:
                self._aside(row, "beyond_limits")
            else:
                units[code] += quantity
                sku = sku_of(code)
                lines.append((row, SaleLine(sku, quantity, price, total, self._plan.list_prices.get((month, code)))))
        if not lines:
            for row, _ in shipping:
                self._aside(row, "shipping_without_goods")
            return
        sale = Sale(
            stream_id("imported order", self._document.invoice),
            [line for _, line in lines],
            sum(total for _, total in shipping),
        )
        if sale.total == 0:
            for row, _ in (*lines, *shipping):
                self._aside(row, "price_not_positive")
            return
        self._deed.sale = sale
        sums = self._deed.sums
        sums.orders += sale.total
        for row, total in (*((row, line.total) for row, line in lines), *shipping):
            sums.rounding += self._year.value(row) - total * _PENNY
        if self._document.customer is not None:
            self._ledger.sold(self._document.customer, sale)

    def _write_off(self, row: int, code: str, units: int) -> None:
        if not _is_sku(code):
            self._aside(row, "missing_field")
        elif units > MAX_QUANTITY:
            self._aside(row, "beyond_limits")
        else:
            text = self._year.description[row]
            note = self._year.descriptions[text][:TEXT_MOST] if text >= 0 else "no reason given"
            self._deed.write_offs.append(WriteOff(sku_of(code), units, note))
            self._deed.sums.written_off += self._year.value(row)

    # --- cancellations -----------------------------------------------------------------------------------

    def _cancel(self) -> None:
        customer = self._document.customer
        back: dict[UUID, Return] = {}
        for place, (row, code, upper, quantity, price) in enumerate(self._usable()):
            if quantity > 0:
                self._aside(row, "missing_field")
            elif price <= 0:
                self._aside(row, "price_not_positive")
            elif upper in SHIPPING or upper == DISCOUNT:
                self._credit(place, row, -quantity * price, "Shipping" if upper in SHIPPING else "Discount")
            elif not _is_goods(code):
                self._aside(row, "not_goods")
            elif customer is None or not self._ledger.knows(customer):
                self._aside(row, "cancellation_without_order")
            else:
                self._give_back(place, row, sku_of(code), -quantity, price, back)
        self._deed.returns = list(back.values())

    def _give_back(self, place: int, row: int, code: str, units: int, price: Decimal, back: dict[UUID, Return]) -> None:
        """Units go back to the newest purchases of them, at the price that was paid."""
        assert self._document.customer is not None
        purchases = self._ledger.bought(self._document.customer, code)
        if code == MANUAL:
            purchases = [one for one in purchases if one.price == price]
        sums = self._deed.sums
        for one in purchases:
            account, before = one.account, share(one.total, one.quantity, one.back)
            count = min(units, one.quantity - one.back)
            # Not more than the order's rest: it was goodwill that took the difference.
            while count and share(one.total, one.quantity, one.back + count) - before > account.left:
                count -= 1
            if not count:
                continue
            amount = share(one.total, one.quantity, one.back + count) - before
            one.back += count
            account.left -= amount
            units -= count
            order_id = account.order_id
            if order_id not in back:
                return_id = stream_id("imported return", self._document.invoice, order_id)
                back[order_id] = Return(order_id, return_id, [], 0)
            known = back[order_id]
            back[order_id] = Return(order_id, known.return_id, [*known.lines, (one.line, count)], known.amount + amount)
            sums.refunds += amount
            sums.price_differences += count * (one.price - price)
            sums.rounding += amount * _PENNY - count * one.price
            if not units:
                return
        if code == MANUAL:
            self._credit(place, row, units * price, "Manual credit")
        else:
            reason = "nothing_to_credit" if purchases else "cancellation_without_order"
            self._aside(row, reason, -units, -units * price)

    def _credit(self, place: int, row: int, value: Decimal, what: str) -> None:
        """Money without goods goes back on the newest orders, as far as they were paid."""
        customer = self._document.customer
        if customer is None or not self._ledger.knows(customer):
            self._aside(row, "cancellation_without_order")
            return
        wanted = left = pennies(value)
        for account in self._ledger.accounts(customer):
            amount = min(left, account.left)
            if amount:
                account.left -= amount
                left -= amount
                refund_id = stream_id("imported goodwill", self._document.invoice, place, account.order_id)
                reason = f"{what}, {self._document.invoice}"[:TEXT_MOST]
                self._deed.goodwill.append(Goodwill(account.order_id, refund_id, amount, reason))
            if not left:
                break
        sums = self._deed.sums
        sums.refunds += wanted - left
        sums.rounding += wanted * _PENNY - value
        if left:
            self._aside(row, "nothing_to_credit", value=-left * _PENNY)


@cache
def _is_sku(code: str) -> bool:
    try:
        check_shape("sku", code, "sku")
    except Rejected:
        return False
    return True
