"""The report of an import: what the file says against what the read models and the provider's record say."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.ports import ProviderRecord
from emporium.domain.order import FULFILLED
from emporium.projections.model import Connection
from emporium.projections.order_history import order_totals, refund_totals
from emporium.scripts.retail.sorting import REASONS, Aside, Deed, Plan, Sums, month_of

__all__ = ["Balance", "Report", "Tally", "report"]

_PENNY: Final = Decimal("0.01")


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A month, or all of them. Amounts in pounds, exact; differences are what nothing explains.

    Attributes:
        orders, refunds: from the read model of orders.
        charged, refunded: from the provider's record.
        difference: file - (orders - refunds + set_aside + written_off + rounding + price_differences).
        provider_difference: the same with charged and refunded.
    """

    month: str
    file: Decimal
    orders: Decimal
    refunds: Decimal
    set_aside: Decimal
    written_off: Decimal
    rounding: Decimal
    price_differences: Decimal
    difference: Decimal
    charged: Decimal
    refunded: Decimal
    provider_difference: Decimal


class Reason(msgspec.Struct, frozen=True):
    """Lines set aside for one reason; `value` is absolute."""

    reason: str
    meaning: str
    lines: int
    value: Decimal


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the import came to.

    Attributes:
        orders: of this file, in the read model; `unfinished` of them are not fulfilled.
        set_aside_lines_percent, set_aside_value_percent: of all lines, and of their absolute value.
        lines: those set aside, where they were asked for.
    """

    file: str
    invoices: int
    file_lines: int
    orders: int
    unfinished: int
    months: list[Balance]
    total: Balance
    set_aside_lines: int
    set_aside_value: Decimal
    set_aside_lines_percent: float
    set_aside_value_percent: float
    reasons: list[Reason]
    reconciled: bool
    lines: list[Aside] | None = None


class Tally:
    """Looks at the invoices as they pass by, for what the file's side of the report needs."""

    def __init__(self, plan: Plan, *, whole: bool) -> None:
        self.invoices = 0
        self.sums: defaultdict[str, Sums] = defaultdict(Sums)
        self.aside: list[Aside] = []
        self.orders: list[UUID] = []
        self.refunds: list[UUID] = []
        if whole:
            self.aside += plan.strays
            for month, sums in plan.stray_sums.items():
                self.sums[month].add(sums)

    def watch(self, deeds: Iterator[Deed]) -> Iterator[Deed]:
        """The same invoices."""
        for deed in deeds:
            self.invoices += 1
            self.sums[month_of(deed.at)].add(deed.sums)
            self.aside += deed.aside
            if deed.sale is not None:
                self.orders.append(deed.sale.order_id)
            self.refunds += [one.return_id for one in deed.returns]
            self.refunds += [one.refund_id for one in deed.goodwill]
            yield deed


async def report(
    name: str, tally: Tally, connection: Connection, record: ProviderRecord, *, list_lines: bool
) -> Report:
    """Puts the file's side beside the read models' and the provider's. Raises ProviderDown."""
    ordered: defaultdict[str, int] = defaultdict(int)
    refunded: defaultdict[str, int] = defaultdict(int)
    count = unfinished = 0
    for one in await order_totals(connection, tally.orders):
        ordered[one.month] += one.total
        count += one.orders
        unfinished += one.orders if one.status != FULFILLED else 0
    for paid in await refund_totals(connection, tally.refunds):
        refunded[paid.month] += paid.amount
    charges, repayments = await _provider(tally, record)
    months = [
        _balance(month, tally.sums[month], ordered[month], refunded[month], charges[month], repayments[month])
        for month in sorted({*tally.sums, *ordered, *refunded, *charges, *repayments})
    ]
    everything = Sums()
    for sums in tally.sums.values():
        everything.add(sums)
    total = _balance("total", everything, *(sum(part.values()) for part in (ordered, refunded, charges, repayments)))
    reasons = _reasons(tally.aside)
    rows = len({one.row for one in tally.aside})
    value = sum((one.value for one in reasons), Decimal(0))
    balances = (*months, total)
    return Report(
        file=name,
        invoices=tally.invoices,
        file_lines=everything.lines,
        orders=count,
        unfinished=unfinished,
        months=months,
        total=total,
        set_aside_lines=rows,
        set_aside_value=value,
        set_aside_lines_percent=_percent(rows, everything.lines),
        set_aside_value_percent=_percent(value, everything.absolute),
        reasons=reasons,
        reconciled=unfinished == 0
        and count == len(tally.orders)
        and not any(one.difference or one.provider_difference for one in balances),
        lines=sorted(tally.aside, key=lambda one: one.row) if list_lines else None,
    )


async def _provider(tally: Tally, record: ProviderRecord) -> tuple[defaultdict[str, int], defaultdict[str, int]]:
    """Charges of these orders and refunds of these ids, by month, in pennies."""
    orders = set(tally.orders)
    refunds = {f"refund-{refund_id}" for refund_id in tally.refunds}
    charged: defaultdict[str, int] = defaultdict(int)
    refunded: defaultdict[str, int] = defaultdict(int)
    async for booked in record.booked():
        if booked.order in orders:
            charged[month_of(booked.at)] += booked.amount.amount
        elif booked.key in refunds:
            refunded[month_of(booked.at)] -= booked.amount.amount
    return charged, refunded


def _balance(month: str, sums: Sums, orders: int, refunds: int, charged: int, refunded: int) -> Balance:
    explained = sums.set_aside + sums.written_off + sums.rounding + sums.price_differences
    return Balance(
        month=month,
        file=sums.file,
        orders=orders * _PENNY,
        refunds=refunds * _PENNY,
        set_aside=sums.set_aside,
        written_off=sums.written_off,
        rounding=sums.rounding,
        price_differences=sums.price_differences,
        difference=sums.file - (orders - refunds) * _PENNY - explained,
        charged=charged * _PENNY,
        refunded=refunded * _PENNY,
        provider_difference=sums.file - (charged - refunded) * _PENNY - explained,
    )


def _reasons(aside: Sequence[Aside]) -> list[Reason]:
    found = []
    for reason, meaning in REASONS.items():
        of_it = [one for one in aside if one.reason == reason]
        value = sum((abs(one.value) for one in of_it), Decimal(0))
        found.append(Reason(reason, meaning, len({one.row for one in of_it}), value))
    return found


def _percent(part: Decimal | int, whole: Decimal | int) -> float:
    return round(float(100 * part / whole), 3) if whole else 0.0
