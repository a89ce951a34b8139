"""Carries a sorted year out in the shop: real commands at each invoice's time, in windows that can be repeated.

Every id is made of the invoice, so that what is there already is left alone. Receipts and write-offs have no
id: they commit with a record of the invoices that they cover. A run follows these records to where the last
one ended, wherever that was killed.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from typing import Final
from uuid import UUID

import msgspec

from emporium.application.commands import handle
from emporium.application.history import HistoryClock, Playback
from emporium.application.ports import Claim, Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Work
from emporium.domain.base import MAX_QUANTITY, Command, Money, stream_id
from emporium.domain.customer import CUSTOMER, RegisterCustomer
from emporium.domain.order import FULFILLED, ORDER, TEXT_MOST, GrantGoodwill, OrderLine, PlaceOrder, ReturnLines
from emporium.domain.order_number import order_number
from emporium.domain.product import (
    ARCHIVED,
    DRAFT,
    PRODUCT,
    TITLE_MOST,
    AddVariant,
    ChangePrice,
    CreateProduct,
    PublishProduct,
    product_id_of,
)
from emporium.domain.stock import STOCK, AdjustStock, ReceiveUnits, stock_id_of
from emporium.domain.text import SLUG_MOST, slug_of
from emporium.domain.warehouse import WAREHOUSES, OpenWarehouse, warehouses_id
from emporium.scripts.retail.sorting import Deed, Plan, Sale, SaleLine, month_of, pennies

__all__ = ["CHANNEL", "CURRENCY", "WAREHOUSE", "WINDOW", "Importer", "customer_id_of"]

CHANNEL: Final = "import"
CURRENCY: Final = "GBP"
METHOD: Final = "pm_ok"
WAREHOUSE: Final = "IMPORT"

WINDOW: Final = 500
"""Invoices that are in the saga together."""

_PLACED: Final = 40
_DESCRIBED: Final = 100
_SAGA: Final = timedelta(days=2)
"""More business time than passes between an order and its delivery, retries included."""

_log = logging.getLogger(__name__)


def customer_id_of(number: str) -> UUID:
    """The account of a CustomerID."""
    return stream_id("imported customer", number)


class Importer:
    """One import into one shop.

    Args:
        clock: the shop's.
        done: told how many invoices are carried out, those of earlier runs included.
    """

    def __init__(
        self, shop: Shop, clock: HistoryClock, playback: Playback, plan: Plan, done: Callable[[int], None]
    ) -> None:
        self._shop = shop
        self._clock = clock
        self._playback = playback
        self._plan = plan
        self._done = done
        self._scope = f"import:online-retail:{plan.year.identity}"
        self._customers: set[str] = set()
        self._prices: dict[str, int | None] = {}
        self._supplied = 0
        self._written_off = 0

    async def run(self, deeds: Iterable[Deed]) -> None:
        """Carries out what earlier runs have not. Raises what Playback raises, Rejected, IdempotencyReplay."""
        begun = await self._reached("ordering", "invoices")
        self._supplied = await self._reached("inventory", "supply")
        self._written_off = await self._reached("inventory", "write-offs")
        self._done(begun)
        await self._unit("inventory", Meta("import", "import:online-retail", "import"), _open_warehouse)
        for _, month in groupby(islice(deeds, begun, None), lambda deed: month_of(deed.at)):
            invoices = list(month)
            await self._describe(invoices)
            await self._supply(invoices)
            for window in _windows(invoices):
                await self._carry_out(window)
        await self._playback.rest()

    # --- a month ---------------------------------------------------------------------------------------

    async def _describe(self, invoices: Sequence[Deed]) -> None:
        """Products for all codes of the month, at its list prices, from its first moment on."""
        at = _first_moment(invoices[0].at)
        month = month_of(at)
        wanted = {code: self._plan.list_prices.get((month, code)) for code in _codes(invoices)}
        changed = {
            code: price
            for code, price in wanted.items()
            if code not in self._prices or price not in (None, self._prices[code])
        }
        meta = Meta("import", f"import:{month}", "import")
        items = iter(changed.items())
        while part := dict(islice(items, _DESCRIBED)):

            async def handler(work: Work, part: dict[str, int | None] = part) -> None:
                await work.load_many(PRODUCT, [product_id_of(code) for code in part])
                work.now = at
                for code, price in part.items():
                    await self._list(work, code, price, month)

            await self._unit("catalog", meta, handler)
        self._prices.update((code, price) for code, price in changed.items() if price is not None)

    async def _list(self, work: Work, code: str, price: int | None, month: str) -> None:
        product_id = product_id_of(code)
        meta = Meta(str(product_id), f"import:{month}", "import")
        state = work.state(PRODUCT, product_id)
        commands: list[Command] = []
        if state is None:
            title = self._plan.titles.get(code, code)[:TITLE_MOST]
            slug = _slug(title, code)
            work.unit.claims += [
                Claim("slug", slug.encode(), product_id), Claim("sku", code.encode(), product_id),
            ]  # fmt: skip
            commands += [
                CreateProduct(product_id=product_id, title=title, slug=slug),
                AddVariant(product_id=product_id, sku=code),
            ]
        elif state.status == ARCHIVED:
            return
        if price is not None:
            commands.append(ChangePrice(product_id=product_id, sku=code, price=Money(price, CURRENCY)))
            if state is None or state.status == DRAFT:
                commands.append(PublishProduct(product_id=product_id))
        for command in commands:
            await handle(work, command, meta)

    async def _supply(self, invoices: Sequence[Deed]) -> None:
        """Receives, at the month's first moment, all units that leave in it."""
        end = invoices[-1].index + 1
        if self._supplied >= end:
            return
        missing = [deed for deed in invoices if deed.index >= self._supplied]
        sales = [deed.sale.order_id for deed in missing if deed.sale is not None]
        # Orders that stand already came from another file with the same invoices, and so did their units.
        there = await self._shop.logs["ordering"].load_many(ORDER, sales)
        units: Counter[str] = Counter()
        for deed in missing:
            if deed.sale is not None and there[deed.sale.order_id][0] is None:
                for line in deed.sale.lines:
                    units[line.code] += line.quantity
            for write_off in deed.write_offs:
                units[write_off.code] += write_off.quantity
        at = _first_moment(invoices[0].at)
        month = month_of(at)

        async def handler(work: Work) -> None:
            await work.load_many(STOCK, [stock_id_of(code, WAREHOUSE) for code in units])
            work.now = at
            for code, count in units.items():
                meta = Meta(str(product_id_of(code)), f"import:{month}", "import")
                for part in range(0, count, MAX_QUANTITY):
                    quantity = min(MAX_QUANTITY, count - part)
                    receive = ReceiveUnits(sku=code, warehouse=WAREHOUSE, quantity=quantity, reference=month)
                    await handle(work, receive, meta)
            work.unit.idempotency = self._record("supply", self._supplied, end)

        await self._unit("inventory", Meta("import", f"import:{month}", "import"), handler)
        self._supplied = end

    # --- a window --------------------------------------------------------------------------------------

    async def _carry_out(self, window: Sequence[Deed]) -> None:
        """Orders first, up to their delivery, then what came back of them and of earlier ones."""
        self._clock.horizon = window[-1].at + _SAGA
        await self._register([deed for deed in window if deed.sale is not None and deed.customer is not None])
        await self._write_off(window)
        sold = [deed for deed in window if deed.sale is not None]
        for start in range(0, len(sold), _PLACED):
            await self._place(sold[start : start + _PLACED])
        await self._playback.rest()
        await self._playback.drain(window[-1].at)
        await self._give_back(window)
        self._done(window[-1].index + 1)

    async def _register(self, deeds: Sequence[Deed]) -> None:
        first: dict[str, Deed] = {}
        for deed in deeds:
            if deed.customer is not None and deed.customer not in self._customers:
                first.setdefault(deed.customer, deed)
        if not first:
            return
        ids = {number: customer_id_of(number) for number in first}
        vault = self._shop.vault

        async def handler(work: Work) -> None:
            await work.load_many(CUSTOMER, ids.values())
            await vault.key_for_many(list(ids.values()))
            for number, deed in first.items():
                customer_id = ids[number]
                if work.state(CUSTOMER, customer_id) is not None:
                    continue
                await vault.key_for(customer_id)  # at hand from above, unless that is long ago by now
                work.now = deed.at
                address = f"{customer_id}@customers.invalid"
                command = RegisterCustomer(
                    customer_id=customer_id,
                    email=vault.seal(customer_id, "CustomerRegistered", customer_id, "email", address),
                    name=vault.seal(customer_id, "CustomerRegistered", customer_id, "name", f"Customer {number}"),
                    at=deed.at,
                )
                work.unit.claims.append(Claim("email", vault.fingerprint("email", address), customer_id))
                work.decide(CUSTOMER, customer_id, command, _meta(str(customer_id), deed))

        await self._unit("accounts", Meta("import", "import:online-retail", "import"), handler)
        self._customers.update(first)

    async def _write_off(self, window: Sequence[Deed]) -> None:
        end = window[-1].index + 1
        if self._written_off >= end:
            return
        deeds = [deed for deed in window if deed.index >= self._written_off and deed.write_offs]

        async def handler(work: Work) -> None:
            await work.load_many(STOCK, [stock_id_of(one.code, WAREHOUSE) for deed in deeds for one in deed.write_offs])
            for deed in deeds:
                work.now = deed.at
                for one in deed.write_offs:
                    adjust = AdjustStock(sku=one.code, warehouse=WAREHOUSE, change=-one.quantity, reason=one.note)
                    await handle(work, adjust, _meta(str(product_id_of(one.code)), deed))
            work.unit.idempotency = self._record("write-offs", self._written_off, end)

        await self._unit("inventory", Meta("import", "import:online-retail", "import"), handler)
        self._written_off = end

    async def _place(self, deeds: Sequence[Deed]) -> None:
        async def handler(work: Work) -> None:
            await work.load_many(ORDER, [deed.sale.order_id for deed in deeds if deed.sale is not None])
            for deed in deeds:
                assert deed.sale is not None
                order_id = deed.sale.order_id
                if work.state(ORDER, order_id) is None:
                    work.now = deed.at
                    command = self._order(deed, deed.sale)
                    work.unit.claims.append(Claim("order_number", command.number.encode(), order_id))
                    work.decide(ORDER, order_id, command, _meta(str(order_id), deed))

        await self._unit("ordering", Meta("import", "import:online-retail", "import"), handler)

    def _order(self, deed: Deed, sale: Sale) -> PlaceOrder:
        customer_id = None if deed.customer is None else customer_id_of(deed.customer)
        return PlaceOrder(
            order_id=sale.order_id,
            number=order_number(sale.order_id),
            customer_id=customer_id,
            subject=customer_id or sale.order_id,
            lines=tuple(self._line(number, line) for number, line in enumerate(sale.lines, 1)),
            shipping=Money(sale.shipping, CURRENCY),
            country=deed.country,
            payment_method=METHOD,
            channel=CHANNEL,
            at=deed.at,
        )

    def _line(self, number: int, line: SaleLine) -> OrderLine:
        listed = line.list_price is not None and line.price == Decimal(line.list_price).scaleb(-2)
        return OrderLine(
            line=number,
            sku=line.code,
            title=self._plan.titles.get(line.code, line.code)[:TITLE_MOST],
            quantity=line.quantity,
            unit_price=Money(pennies(line.price), CURRENCY),
            total=Money(line.total, CURRENCY),
            agreed_price=None if listed else str(line.price),
        )

    async def _give_back(self, window: Sequence[Deed]) -> None:
        """Returns and goodwill of the window, and the record that it is carried out."""
        deeds = [deed for deed in window if deed.returns or deed.goodwill]

        async def handler(work: Work) -> None:
            orders = {order_id for deed in deeds for order_id, _ in _credits(deed)}
            await work.load_many(ORDER, orders)
            for deed in deeds:
                work.now = deed.at
                for order_id, command in _credits(deed):
                    state = work.state(ORDER, order_id)
                    if state is None or state.status != FULFILLED:
                        # The report will show what is missing; the rest of the year need not wait for it.
                        _log.warning("%s credits the order %s, which was not delivered", deed.invoice, order_id)
                    else:
                        await handle(work, command, _meta(str(order_id), deed))
            work.unit.idempotency = self._record("invoices", window[0].index, window[-1].index + 1)

        await self._unit("ordering", Meta("import", "import:online-retail", "import"), handler)

    # --- records ---------------------------------------------------------------------------------------

    async def _unit(self, log: str, meta: Meta, handler: Callable[[Work], Awaitable[None]]) -> None:
        await self._shop.run(log, meta, handler)

    async def _reached(self, log: str, kind: str) -> int:
        """Up to which invoice the records go."""
        position = 0
        while (found := await self._shop.logs[log].answered(self._scope, f"{kind} {position}")) is not None:
            position = msgspec.json.decode(found.answer, type=int)
        return position

    def _record(self, kind: str, start: int, end: int) -> Idempotency:
        return Idempotency(self._scope, f"{kind} {start}", b"", msgspec.json.encode(end))


async def _open_warehouse(work: Work) -> None:
    directory = await work.load(WAREHOUSES, warehouses_id())
    if directory is None or directory.find(WAREHOUSE) is None:
        await handle(work, OpenWarehouse(code=WAREHOUSE, name="Imported stock", country="GB", priority=100))


def _windows(invoices: Sequence[Deed]) -> Iterator[list[Deed]]:
    """The invoices in windows that begin at the same places in every run."""
    for _, window in groupby(invoices, lambda deed: deed.index // WINDOW):
        yield list(window)


def _codes(invoices: Iterable[Deed]) -> dict[str, None]:
    codes: dict[str, None] = {}
    for deed in invoices:
        if deed.sale is not None:
            codes.update((line.code, None) for line in deed.sale.lines)
        codes.update((one.code, None) for one in deed.write_offs)
    return codes


def _credits(deed: Deed) -> Iterator[tuple[UUID, Command]]:
    for one in deed.returns:
        yield (
            one.order_id,
            ReturnLines(
                order_id=one.order_id,
                return_id=one.return_id,
                lines=tuple(one.lines),
                reason=f"Cancelled, {deed.invoice}"[:TEXT_MOST],
            ),
        )
    for two in deed.goodwill:
        yield (
            two.order_id,
            GrantGoodwill(
                order_id=two.order_id, refund_id=two.refund_id, amount=Money(two.amount, CURRENCY), reason=two.reason
            ),
        )


def _meta(correlation: str, deed: Deed) -> Meta:
    return Meta(correlation, f"import:{deed.invoice}", "import")


def _first_moment(at: datetime) -> datetime:
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def _slug(title: str, code: str) -> str:
    """Different for different codes: those that are not plain capitals and digits carry a part of their id."""
    end = slug_of(code) if code.isascii() and code.isalnum() and code == code.upper() else product_id_of(code).hex[:12]
    return f"{slug_of(title)[: SLUG_MOST - len(end) - 1].strip('-')}-{end}".strip("-")
