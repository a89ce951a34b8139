"""What the logs' own tables say of a run: every event as it was committed, who waits for what, and what must hold."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg

from emporium.domain.registry import LOGS
from tests.support.fleet import Fleet, until

__all__ = ["CLOSED", "STEPS", "Entry", "Ledger"]

SAGA = ("ordering", "payments", "inventory", "shipping")

CLOSED = frozenset({"OrderCompleted", "OrderFailed", "OrderCancelled"})
"""The events with which an order's saga ends."""

STOPPED = frozenset({"OrderFailed", "OrderCancelled"})

STEPS: Mapping[str, tuple[str, frozenset[str]]] = {
    "the payment is to be requested": ("OrderCreated", frozenset({"PaymentRequested", "PaymentCancelled"})),
    "the provider is to charge": (
        "PaymentRequested",
        frozenset({"PaymentProcessed", "PaymentFailed", "PaymentCancelled"}),
    ),
    "the stock is to be reserved": (
        "PaymentProcessed",
        frozenset({"StockReserved", "StockReservationFailed", "ReservationCancelled"}),
    ),
    "the order is to be paid": ("PaymentProcessed", frozenset({"OrderPaid"})),
    "the order is to be confirmed": ("StockReserved", frozenset({"OrderConfirmed"}) | STOPPED),
    "the shipment is to be prepared": ("StockReserved", frozenset({"ShipmentPrepared", "ShipmentCancelled"})),
    "the carrier is to label the parcel": ("ShipmentPrepared", frozenset({"ParcelLabelled", "ShipmentCancelled"})),
    "the carrier is to take the parcel": ("ParcelPacked", frozenset({"OrderShipped"})),
    "the dispatch is to be noted": ("OrderShipped", frozenset({"OrderDispatched"})),
    "the stock is to leave": ("OrderShipped", frozenset({"ReservationShipped"})),
    "the parcel is to arrive": ("OrderShipped", frozenset({"ParcelDelivered"})),
    "the order is to be completed": ("OrderFulfilled", frozenset({"OrderCompleted"})),
    "the declined order is to fail": ("PaymentFailed", frozenset({"OrderFailed"})),
    "the shortage is to be noted": ("StockReservationFailed", frozenset({"OrderStockShort"}) | STOPPED),
    "the shortage is to be refunded": ("StockReservationFailed", frozenset({"RefundRequested"})),
    "the provider is to refund": ("RefundRequested", frozenset({"PaymentRefunded"})),
    "the refund is to be noted": ("PaymentRefunded", frozenset({"OrderRefunded"})),
    "the shipment is to be stopped": (
        "OrderCancellationRequested",
        frozenset({"ShipmentCancelled", "ShipmentCancellationRefused"}),
    ),
    "the order is to be cancelled": ("ShipmentCancelled", frozenset({"OrderCancelled"}) | STOPPED),
    "the cancelled order's stock is to be freed": (
        "OrderCancelled",
        frozenset({"StockReleased", "ReservationCancelled", "StockReservationFailed"}),
    ),
    "the cancelled order's money is to go back": (
        "OrderCancelled",
        frozenset({"RefundRequested", "PaymentCancelled", "PaymentFailed"}),
    ),
}
"""Every step of the saga: the event after which it is to be taken, and the events that say that it was."""

REPEATED = frozenset({"CartItemAdded", "UnitsReserved", "UnitsReleased", "UnitsShipped"})
"""Events of an order that may stand there several times, one for each line."""


class Entry(NamedTuple):
    """An event as a row."""

    log: str
    position: int
    stream: str
    version: int
    name: str
    id: str
    order: str
    causation: str
    data: dict[str, Any]


class Ledger:
    """Reads the logs of a fleet over a connection of its own, across restarts of the server.

    Attributes:
        entries: all events that were seen, in order of their positions by log.
        orders: order id → names of its events, counted.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._positions = dict.fromkeys(LOGS, 0)
        self._reading = asyncio.Lock()
        self.entries: list[Entry] = []
        self.orders: dict[str, Counter[str]] = {}
        self._correlated: dict[str, Counter[str]] = defaultdict(Counter)

    async def __aenter__(self) -> "Ledger":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def query(self, sql: str, values: Iterable[object] = (), within: float = 30.0) -> list[tuple[Any, ...]]:
        """Rows of a statement that may be repeated."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            try:
                if self._connection is None:
                    self._connection = await psycopg.AsyncConnection.connect(
                        str(self._fleet.settings.database_url), autocommit=True
                    )
                cursor = await self._connection.execute(sql.encode(), list(values))
                return await cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                assert asyncio.get_running_loop().time() < deadline, f"no database: {self._fleet.said()}"
                if self._connection is not None:
                    await self._connection.close()
                self._connection = None
            await asyncio.sleep(0.05)

    async def read(self) -> int:
        """Takes in what is new; how many events that were."""
        async with self._reading:
            return await self._read()

    async def _read(self) -> int:
        parts = " UNION ALL ".join(
            f"(SELECT '{log}', position, stream::text, version, topic, id::text, correlation, causation, data"
            f" FROM {log}_log WHERE position > %s ORDER BY position)"
            for log in self._positions
        )
        rows = await self.query(parts, self._positions.values())
        for log, position, stream, version, topic, event_id, correlation, causation, data in rows:
            name = topic.partition(".")[2]
            entry = Entry(log, position, stream, version, name, event_id, correlation, causation, data)
            self.entries.append(entry)
            self._positions[log] = position
            if log in SAGA:
                self._correlated[correlation][name] += 1
                if name == "OrderCreated":
                    self.orders[correlation] = self._correlated[correlation]
        return len(rows)

    def named(self, *names: str) -> list[Entry]:
        """The events of these names."""
        return [entry for entry in self.entries if entry.name in names]

    def count(self, name: str, sku: str) -> int:
        """How many orders for a SKU have an event of this name."""
        return sum(
            name in self.orders[entry.order]
            for entry in self.named("OrderCreated")
            if any(line["sku"] == sku for line in entry.data["lines"])
        )

    def open_orders(self) -> list[str]:
        """The orders whose saga has not ended."""
        return [order for order, names in self.orders.items() if not CLOSED & names.keys()]

    def waiting(self) -> Counter[str]:
        """Step → how many orders stand before it."""
        return Counter(
            step
            for names in self.orders.values()
            for step, (event, answers) in STEPS.items()
            if event in names and not answers & names.keys()
        )

    async def settled(self, within: float) -> None:
        """Waits until every order has ended, every step was taken, every follower has seen everything and no task
        but timers is left."""

        owed: list[tuple[Any, ...]] = []

        async def look() -> bool:
            nonlocal owed
            await self.read()
            owed = await self._owed()
            return not self.open_orders() and not self.waiting() and not await self._behind() and not owed

        await until(look, within, lambda: self._why_not(owed), pause=0.1)

    def _why_not(self, owed: list[tuple[Any, ...]]) -> str:
        stories = {order: dict(self.orders[order]) for order in self.open_orders()[:3]}
        left = f"{len(self.open_orders())} orders are open, such as {stories}"
        return f"{left}; steps: {self.waiting()}; owed: {owed}; {self._fleet.said()}"

    async def _behind(self) -> bool:
        """Whether a process manager has not yet seen all of a log."""
        for log in SAGA:
            for name, position in await self.query(
                f"SELECT application_name, notification_id FROM {log}_tracking"
                " WHERE application_name <> '__migration__'"
            ):
                if position < self._positions[name.partition(":")[2]]:
                    return True
        return False

    async def _owed(self) -> list[tuple[Any, ...]]:
        """Tasks that somebody waits for. Not among them: timers, the deadline of a payment that was answered, and
        the looks after money that might still come for a payment that was cancelled, once the provider has said
        that it knows of none."""
        return [
            task
            for log in SAGA
            for task in await self.query(
                f"SELECT kind, attempts, error, parked, due::text, stream::text FROM {log}_tasks"
                " WHERE kind NOT LIKE 'timer.%%' AND kind NOT IN ('effect.payment_deadline', 'effect.void_label')"
                " AND error IS DISTINCT FROM 'the provider says unknown'"
            )
        ]

    # --- what must hold ----------------------------------------------------------------------------

    async def check(self) -> None:
        """Everything that must hold after a run that has settled, whatever went wrong during it."""
        await self.read()
        assert not self.open_orders(), f"still open: {self.open_orders()}"
        for order, names in self.orders.items():
            assert sum(names[name] for name in CLOSED) == 1, (order, names)
            twice = {name: count for name, count in names.items() if count > 1 and name not in REPEATED}
            assert not twice, f"{order} has events twice: {twice}"
        self._check_money()
        self._check_documents()
        await self._check_stock()
        await self._check_read_models()
        assert not (broken := self.broken_chains()), f"no origin: {broken}"
        assert not (owed := await self._owed()), f"still to be done: {owed}"

    def _check_money(self) -> None:
        """The provider's record and ours say the same of every order: one charge at most, and no refund open."""
        known = self._fleet.sandbox.state()
        assert not known["charged_twice"], f"charged twice: {known['charged_twice']}"
        nothing = {"charges": 0, "charged": 0, "refunded": 0, "pending": 0, "parcels": 0}
        strange = known["orders"].keys() - self.orders.keys()
        assert not strange, f"the provider knows orders that do not exist: {strange}"
        totals = {entry.order: entry.data["total"]["amount"] for entry in self.named("OrderCreated")}
        back: Counter[str] = Counter()
        for entry in self.named("PaymentRefunded"):
            back[entry.order] += entry.data["amount"]["amount"]
        for order, names in self.orders.items():
            there = known["orders"].get(order, nothing)
            story = f"{order}: {there} {dict(names)}"
            came = names["PaymentProcessed"] + names["LatePaymentReceived"]
            assert came == there["charges"] <= 1, story
            assert there["charged"] == came * totals[order], story
            assert names["RefundRequested"] == names["PaymentRefunded"], story
            assert there["refunded"] == back[order], story
            kept = totals[order] if "OrderCompleted" in names else 0
            assert there["charged"] - there["refunded"] == kept, story
            assert there["parcels"] >= names["OrderShipped"], story

    def _check_documents(self) -> None:
        """Every order that was sold has one invoice, and the numbers leave no gap."""
        numbers = [entry.data["number"] for entry in self.named("InvoiceIssued")]
        for order, names in self.orders.items():
            assert names["InvoiceIssued"] == ("OrderCompleted" in names), (order, names)
        years: dict[str, list[int]] = {}
        for number in numbers:
            years.setdefault(number[:-6], []).append(int(number[-6:]))
        for taken in years.values():
            assert sorted(taken) == list(range(1, len(taken) + 1)), numbers

    async def _check_stock(self) -> None:
        """No level was ever negative, nothing stays reserved, and exactly what completed orders hold has left."""
        on_hand: Counter[tuple[str, str]] = Counter()
        reserved: Counter[tuple[str, str]] = Counter()
        left: Counter[str] = Counter()
        effects = {
            "UnitsReceived": (1, 0), "UnitsReserved": (0, 1), "UnitsReleased": (0, -1), "UnitsShipped": (-1, -1),
            "UnitsReturned": (1, 0),
        }  # fmt: skip
        for entry in self.entries:
            if entry.name == "StockAdjusted":
                on_hand[entry.data["sku"], entry.data["warehouse"]] += entry.data["change"]
            if entry.name not in effects:
                continue
            place = entry.data["sku"], entry.data["warehouse"]
            hand, held = (sign * entry.data["quantity"] for sign in effects[entry.name])
            on_hand[place] += hand
            reserved[place] += held
            assert 0 <= reserved[place] <= on_hand[place], f"{entry}: {on_hand[place]}, reserved {reserved[place]}"
            if entry.name == "UnitsShipped":
                left[entry.data["sku"]] += entry.data["quantity"]
        assert not +reserved, f"still reserved: {+reserved}"
        sold: Counter[str] = Counter()
        for entry in self.named("OrderCreated"):
            if "OrderCompleted" in self.orders[entry.order]:
                for line in entry.data["lines"]:
                    sold[line["sku"]] += line["quantity"]
        assert sold == left, f"sold {sold}, left {left}"

        async def shown() -> bool:
            rows = await self.query("SELECT sku, warehouse, on_hand, reserved FROM rm_stock_levels.levels")
            return {(sku, place): (hand, held) for sku, place, hand, held in rows} == {
                place: (count, 0) for place, count in on_hand.items()
            }

        await until(shown, 30.0, lambda: f"the read model does not show {on_hand}", pause=0.2)

    async def _check_read_models(self) -> None:
        """The order history shows the end of every order."""
        ends = {"OrderCompleted": "fulfilled", "OrderFailed": "failed", "OrderCancelled": "cancelled"}
        wanted = {order: next(ends[name] for name in CLOSED & names.keys()) for order, names in self.orders.items()}

        async def shown() -> bool:
            return dict(await self.query("SELECT order_id::text, status FROM rm_order_history.orders")) == wanted

        await until(shown, 30.0, lambda: "the order history does not show the ends", pause=0.2)

    def broken_chains(self) -> list[Entry]:
        """Events whose chain of causes does not lead to a request, a timer or an import."""
        by_id = {entry.id: entry for entry in self.entries}
        assert len(by_id) == len(self.entries)
        broken = []
        for entry in self.entries:
            cause, seen = entry.causation, {entry.id}
            while cause.startswith("event:"):
                above = by_id.get(cause.removeprefix("event:"))
                if above is None or above.id in seen:
                    break
                seen.add(above.id)
                cause = above.causation
            if not cause.startswith(("request:", "timer:", "import:")):
                broken.append(entry)
        return broken
