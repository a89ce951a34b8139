"""Fills the demo's year into a shop that is open: real commands, each at its own time, and the real process managers.

Every id is made of the plan, so that what is there is left alone; what has no id commits with a claim. Fortnight after
fortnight is claimed when it is done: a run that was ended anywhere is taken up by the next.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import uvloop
from msgspec.structs import replace

from emporium.application import carts, checkout, orders, reviews
from emporium.application.bootstrap import Opened, catalog_keeper, open_shop, process_managers, silent_managers
from emporium.application.commands import handle, log_of
from emporium.application.history import Playback, Stalled
from emporium.application.ports import Claim, EventLog, Meta, NewEvent, Overloaded, Superseded, Taken, Task, Unavailable
from emporium.application.shop import Offer, Shop
from emporium.application.work import Schedule, Work
from emporium.domain.base import Command, Money, Rejected, State, stream_id
from emporium.domain.cart import CART, cart_id_of
from emporium.domain.customer import CUSTOMER, ChangePreferences, RegisterCustomer
from emporium.domain.order import FULFILLED, ORDER, RequestCancellation, ReturnLines, order_id_of
from emporium.domain.product import PRODUCT, PUBLISHED, ChangePrice, SchedulePrice
from emporium.domain.promotion import FREE_SHIPPING, PERCENTAGE, CreatePromotion, Promotion
from emporium.domain.review import REVIEW, review_id_of
from emporium.domain.search_rules import SetSynonyms
from emporium.domain.stock import STOCK, ReceiveUnits, stock_id_of
from emporium.infra.settings import Settings, StartupProblem, load
from emporium.projections import search_log
from emporium.projections.search_log import Noted
from emporium.scripts.demo.catalogue import PRODUCTS, Variant, euro, homes_of, spread
from emporium.scripts.demo.year import (
    CANCELLED,
    DECLINED,
    FORTNIGHTS,
    PROMOTIONS,
    SEARCHES,
    SYNONYMS,
    Fortnight,
    Purchase,
    Saying,
    Year,
    address_of,
    cost_of,
    country_of,
    email_of,
    name_of,
    plan,
    travel,
)
from emporium.scripts.seed import WHOLE, YEAR, begun, demo_id_of, unfilled

__all__ = ["DemoClock", "fill", "run"]

OWNER: Final = "demo"
"""Its name in the leases: one that is run again goes on at once."""

_AT_ONCE: Final = 24
"""Commands that are under way together."""

_PLACED: Final = 8
"""Orders that are placed together: few, so that they stand in the log nearly by their time."""

_REGISTERED: Final = 60

_NICE: Final = 10

_TRIES: Final = 5
_PAUSE: Final = 0.5

_log = logging.getLogger(__name__)

_VARIANTS: Final = {variant.sku: (article, variant) for article in PRODUCTS for variant in article.variants}
_ARTICLES: Final = {article.code: article for article in PRODUCTS}

T = TypeVar("T")

Step = Callable[[int], None]
"""Told how many fortnights are filled."""


class DemoClock:
    """The time that the plan says within `at`, else the real one; what follows from an event happens at its time."""

    def __init__(self) -> None:
        self._moment: ContextVar[datetime | None] = ContextVar("moment", default=None)

    def now(self) -> datetime:
        return self._moment.get() or datetime.now(UTC)

    def following(self, at: datetime) -> datetime:
        return at

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """For the block it is that time, for whoever is in it alone."""
        token = self._moment.set(moment)
        try:
            yield
        finally:
            self._moment.reset(token)


def run(settings: Settings) -> int:
    """Fills what is missing of the year, with a line of progress; 0. Raises StartupProblem."""
    with _progress() as step:
        try:
            uvloop.run(_fill(settings, step))
        except (asyncio.CancelledError, KeyboardInterrupt):
            return 0
        except (Stalled, Superseded, Unavailable, Overloaded) as stop:
            raise StartupProblem(f"The demo's year is not whole yet: {stop}.", "It goes on by itself.") from None
    return 0


async def _fill(settings: Settings, step: Step) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await fill(settings, step)


async def fill(settings: Settings, step: Step = lambda _: None) -> None:
    """Fills what is missing of the year; nothing where the shop has no demo. Raises Stalled, Superseded, Unavailable.

    The provider and the carrier of the settings are sandboxes.
    """
    clock = DemoClock()
    async with open_shop(settings, clock=clock) as ordinary:
        begins = await begun(ordinary.shop)
        if begins is None or not await unfilled(ordinary.shop):
            return
        shop = _filled_by(ordinary.shop, clock.now())
        opened = replace(ordinary, shop=shop)
        year = plan(begins, await _orders(shop, settings.demo_orders))
        playback = Playback(shop, _managers(opened), OWNER)
        async with playback.leading():
            await _Filler(opened, clock, playback, year, step).run()


def _filled_by(shop: Shop, live: datetime) -> Shop:
    """The shop, with offers of the logs' own, and parcels that take their time, where they are not of today."""
    return replace(shop, offers=_Shelves(shop.logs), schedule=_slowly(shop.schedule, live))


def _managers(opened: Opened) -> list[Any]:
    """The saga and the catalogue's times; whoever tells others passes over all of it.

    News of the last days go into the outbox as they always do, unless there is a server that would send them.
    """
    settings, shop = opened.settings, opened.shop
    sends = settings.smtp_url or settings.sms_url or settings.push_url
    quiet = [one for one in silent_managers(shop, name=OWNER) if sends or one.name != "notifications"]
    automatic = process_managers(shop, automatic=True, name=OWNER)
    return [*automatic, catalog_keeper(opened, name=OWNER), *quiet]


async def _orders(shop: Shop, wanted: int) -> int:
    """How many orders the year has: what the first run wanted, whatever the settings say since."""
    log, key = shop.logs["ordering"], b"orders"

    async def note(work: Work) -> None:
        if await log.claimed(YEAR, key) is None:
            work.unit.claims.append(Claim(YEAR, key, UUID(int=wanted)))

    await shop.run("ordering", _MAKER, note)
    noted = await log.claimed(YEAR, key)
    assert noted is not None, "it was just noted"
    return noted.int


class _Shelves:
    """Prices and availability as the logs have them, without a read model that would have to catch up first."""

    def __init__(self, logs: Mapping[str, EventLog]) -> None:
        self._logs = logs

    async def offers(self, skus: Sequence[str], currency: str) -> Mapping[str, Offer]:
        known = [sku for sku in skus if sku in _VARIANTS]
        ids = {sku: demo_id_of(_VARIANTS[sku][0].code) for sku in known}
        places = {sku: [stock_id_of(sku, code) for code in homes_of(_VARIANTS[sku][0])] for sku in known}
        products = await self._logs["catalog"].load_many(PRODUCT, list(ids.values()))
        stocks = await self._logs["inventory"].load_many(STOCK, [one for some in places.values() for one in some])
        offers = {}
        for sku in known:
            product, _ = products[ids[sku]]
            if product is None or product.status != PUBLISHED:
                continue
            units = [stock for place in places[sku] if (stock := stocks[place][0]) is not None]
            offers[sku] = Offer(
                sku=sku,
                product_id=product.product_id,
                title=product.title,
                price=product.variants[sku].prices.get(currency),
                available=sum(one.available for one in units),
                supplied=sum(one.on_hand + one.shipped for one in units),
                tax_class=product.tax_class,
            )
        return offers


def _slowly(schedule: Schedule, live: datetime) -> Schedule:
    """The same tasks, but parcels of the past wait for the carrier and travel for a while."""

    def slow(new: NewEvent, before: State | None) -> Iterable[Task]:
        for task in schedule(new, before):
            if new.at < live and task.kind in ("effect.hand_over", "effect.track"):
                waits, travels = travel(str(task.stream), task.data["parcel"])
                yield replace(task, due=new.at + (waits if task.kind == "effect.hand_over" else travels))
            else:
                yield task

    return slow


class _Filler:
    def __init__(self, opened: Opened, clock: DemoClock, playback: Playback, year: Year, step: Step) -> None:
        self._opened = opened
        self._shop = opened.shop
        self._clock = clock
        self._playback = playback
        self._year = year
        self._step = step
        self._known: set[int] = set()

    async def run(self) -> None:
        await self._note_searches()
        await self._lay_down_rules()
        for fortnight in self._year.fortnights:
            key = f"fortnight {fortnight.index}".encode()
            if await self._shop.logs["ordering"].claimed(YEAR, key) is None:
                await self._carry_out(fortnight)
                await self._once("ordering", key.decode(), fortnight.ends_at, _nothing)
            self._step(fortnight.index + 1)
        await self._playback.rest()
        await self._once("ordering", WHOLE.decode(), self._year.ends, _nothing)

    async def _carry_out(self, fortnight: Fortnight) -> None:
        n, at = fortnight.index, fortnight.starts_at
        await self._once("catalog", f"prices {n}", at, lambda work: _reprice(work, fortnight))
        await self._playback.drain(at)
        await self._once("inventory", f"supply {n}", at, lambda work: _supply(work, fortnight))
        await self._register(fortnight)
        some = fortnight.purchases
        await _together(self._fill_cart, some, _AT_ONCE)
        await _together(self._place, some, _PLACED)
        await self._playback.rest()
        again = [one for one in some if one.attempts == 2]
        if again:
            await _together(self._place_again, again, _PLACED)
            await self._playback.rest()
        await self._playback.drain(fortnight.ends_at)
        await _together(self._take_back, fortnight.returns, _AT_ONCE)
        await _together(self._say, fortnight.sayings, _AT_ONCE)

    async def _once(self, log: str, name: str, at: datetime, handler: Callable[[Work], Awaitable[object]]) -> None:
        """Runs what has no id of its own, with the claim that it is done."""
        key = name.encode()

        async def claimed(work: Work) -> None:
            work.now = at
            await handler(work)
            work.unit.claims.append(Claim(YEAR, key, taker))

        # Whoever else is at it has another: what was claimed in that very moment is not done twice.
        taker = uuid4()
        if await self._shop.logs[log].claimed(YEAR, key) is None:
            with suppress(Taken):
                await self._shop.run(log, _MAKER, claimed)

    # --- what is laid down once ------------------------------------------------------------------------

    async def _lay_down_rules(self) -> None:
        at = self._year.begins
        for group, words in SYNONYMS:
            synonyms = SetSynonyms(group=group, words=words, at=at)
            await self._once(log_of(synonyms), f"synonyms {group}", at, _handling(synonyms))
        for code, name, percent in PROMOTIONS:
            kind = FREE_SHIPPING if percent is None else PERCENTAGE
            promotion = Promotion(name=name, kind=kind, percent=percent, per_customer=1)
            create = CreatePromotion(code=code, promotion=promotion, at=at)
            await self._once(log_of(create), f"promotion {code}", at, _handling(create))

    async def _note_searches(self) -> None:
        """What was searched for in the last weeks, all of it at once or not at all."""
        last = self._year.ends.replace(minute=0, second=0)
        counted: dict[Noted, int] = {}
        for day in range(1, 70):
            for words, code, often in SEARCHES:
                times = (often + spread(f"{words} {day}", "search") % 5) // 3
                hour = last - timedelta(days=day, hours=spread(words, str(day)) % 12)
                if not times:
                    continue
                counted[Noted(hour, words, "search", empty=code is None)] = times
                if code is not None:
                    product = demo_id_of(code)
                    counted[Noted(hour, words, "click", product)] = times
                    if times > 2:
                        counted[Noted(hour, words, "order", product)] = times // 3

        async def note(connection: Any) -> None:
            oldest = await search_log.oldest(connection)
            if oldest is None or oldest >= last:
                await search_log.record(connection, counted)

        await self._opened.reads.run(note)

    # --- customers -------------------------------------------------------------------------------------

    async def _register(self, fortnight: Fortnight) -> None:
        """Accounts that nobody can log in to, a while before they first buy or vote."""
        first: dict[int, datetime] = {}
        for one in fortnight.purchases:
            if one.customer is not None:
                first.setdefault(one.customer, one.at - timedelta(minutes=9))
        for saying in fortnight.sayings:
            for voter, _ in saying.votes:
                first.setdefault(voter, saying.at)
        new = {customer: at for customer, at in first.items() if customer not in self._known}
        items = iter(sorted(new.items()))
        while part := dict(islice(items, _REGISTERED)):
            await self._shop.run("accounts", _MAKER, lambda work, part=part: self._enrol(work, part))  # type: ignore[misc]
        self._known.update(new)

    async def _enrol(self, work: Work, part: Mapping[int, datetime]) -> None:
        vault = self._shop.vault
        ids = {customer: _customer_id(customer) for customer in part}
        await work.load_many(CUSTOMER, ids.values())
        await vault.key_for_many(list(ids.values()))
        for customer, at in part.items():
            customer_id = ids[customer]
            if work.state(CUSTOMER, customer_id) is not None:
                continue
            await vault.key_for(customer_id)
            work.now = at
            email = email_of(customer)
            meta = Meta(str(customer_id), f"import:demo/customer {customer}", "import")
            command = RegisterCustomer(
                customer_id=customer_id,
                email=vault.seal(customer_id, "CustomerRegistered", customer_id, "email", email),
                name=vault.seal(customer_id, "CustomerRegistered", customer_id, "name", name_of(customer)),
                at=at,
            )
            work.unit.claims.append(Claim("email", vault.fingerprint("email", email), customer_id))
            work.decide(CUSTOMER, customer_id, command, meta)
            silent = ChangePreferences(customer_id=customer_id, channel="email", topics=(), at=at)
            work.decide(CUSTOMER, customer_id, silent, meta)

    # --- orders ----------------------------------------------------------------------------------------

    async def _fill_cart(self, one: Purchase) -> None:
        shop, cart_id = self._shop, _cart_id(one)
        cart, _ = await shop.logs["ordering"].load(CART, cart_id)
        there = {} if cart is None else cart.items
        if cart is not None and cart.attempts >= one.attempt:
            return
        currency = "GBP" if country_of(one.town) == "GB" else "EUR"
        customer_id = None if one.customer is None else _customer_id(one.customer)
        for place, (sku, units) in enumerate(one.lines):
            if sku in there:
                continue
            with self._clock.at(one.at - timedelta(minutes=6, seconds=-40 * place)):
                await carts.add(
                    shop,
                    shop.offers,
                    cart_id=cart_id,
                    customer_id=customer_id,
                    sku=sku,
                    quantity=units,
                    currency=currency,
                    cause=_cause(one, str(cart_id)),
                )
        if one.coupon is not None and (cart is None or one.coupon not in cart.coupons):
            with self._clock.at(one.at - timedelta(seconds=30)):
                await carts.add_coupon(shop, cart_id=cart_id, code=one.coupon, cause=_cause(one, str(cart_id)))

    async def _place(self, one: Purchase) -> None:
        method = "pm_declined" if one.fate == DECLINED else "pm_ok"
        order_id = await self._check_out(one, one.attempt, one.at, method)
        if one.fate == CANCELLED:
            # At once: once its parcel is packed, it is too late.
            with self._clock.at(one.at + timedelta(minutes=4)):
                cancel = RequestCancellation(order_id=order_id, reason="changed_mind")
                await orders.act(self._shop, cancel, order_id=order_id, cause=_cause(one))

    async def _place_again(self, one: Purchase) -> None:
        await self._check_out(one, one.attempt + 1, one.at + timedelta(minutes=12), "pm_ok")

    async def _check_out(self, one: Purchase, attempt: int, at: datetime, method: str) -> UUID:
        shop, cart_id = self._shop, _cart_id(one)
        order_id = order_id_of(cart_id, attempt)
        order, _ = await shop.logs["ordering"].load(ORDER, order_id)
        if order is not None:
            return order_id
        guest = one.customer is None
        name = f"Demo Guest {one.number + 1}" if one.customer is None else name_of(one.customer)
        details = checkout.Details(
            email=f"guest-{one.number + 1}@demo.example.org" if guest else None,
            ship_to=address_of(name, one.town, 1 + spread(name, "house") % 80),
            payment_method=method,
            accept_prices=True,
            shipping_method="express" if spread(str(one.number), "express") % 8 == 0 else None,
        )
        customer_id = None if one.customer is None else _customer_id(one.customer)
        with self._clock.at(at):
            await checkout.place(
                shop, cart_id=cart_id, customer_id=customer_id, details=details, cause=_cause(one, str(order_id))
            )
        return order_id

    async def _take_back(self, back: tuple[datetime, Purchase]) -> None:
        at, one = back
        assert one.returned is not None
        order_id = _order_id(one)
        line, _ = one.returned

        async def handler(work: Work) -> None:
            state = await work.load(ORDER, order_id)
            work.now = at
            if state is not None and state.status == FULFILLED:
                command = ReturnLines(
                    order_id=order_id,
                    return_id=stream_id("demo return", order_id),
                    lines=((line, 1),),
                    reason=_REASONS[one.number % len(_REASONS)],
                )
                await handle(work, command)

        await self._shop.run("ordering", _cause(one), handler)

    # --- reviews ---------------------------------------------------------------------------------------

    async def _say(self, saying: Saying) -> None:
        shop, one = self._shop, self._year.purchases[saying.purchase]
        assert one.customer is not None
        customer_id, product_id, order_id = _customer_id(one.customer), demo_id_of(saying.code), _order_id(one)
        review_id = review_id_of(product_id, customer_id)
        cause = _cause(one)

        async def find(_: Sequence[str], __: bool) -> Sequence[UUID]:
            return [order_id]

        async def hold(_: Sequence[str]) -> None:
            pass  # there are no pictures

        review, _ = await shop.logs["reviews"].load(REVIEW, review_id)
        if review is None:
            words = reviews.Words(
                name=name_of(one.customer) if one.number % 3 else "", title=saying.title, text=saying.text
            )
            with self._clock.at(saying.at):
                await reviews.write(
                    shop,
                    customer_id=customer_id,
                    product_id=product_id,
                    find=find,
                    rating=saying.rating,
                    words=words,
                    cause=cause,
                    hold=hold,
                )
        end = min(self._year.ends - timedelta(minutes=5), saying.at + timedelta(days=9))
        if saying.answer is not None:
            with self._clock.at(saying.at + (end - saying.at) / 3):
                await reviews.answer(shop, review_id=review_id, text=saying.answer, cause=cause)
        for place, (voter, helpful) in enumerate(saying.votes, 1):
            with self._clock.at(saying.at + (end - saying.at) * place / (len(saying.votes) + 1)):
                await reviews.vote(shop, review_id=review_id, voter=_customer_id(voter), helpful=helpful, cause=cause)


_MAKER: Final = Meta("demo", "import:demo/year", "import")

_REASONS: Final = ("did_not_like", "wrong_item", "not_as_described")


def _handling(command: Command) -> Callable[[Work], Awaitable[object]]:
    return lambda work: handle(work, command)


async def _nothing(_: Work) -> None:
    return


async def _reprice(work: Work, fortnight: Fortnight) -> None:
    """The moves and sales that begin with the fortnight, or are known from then on."""
    codes = {move.code for move in fortnight.moves} | {sale.code for sale in fortnight.sales}
    await work.load_many(PRODUCT, [demo_id_of(code) for code in codes])
    for move in fortnight.moves:
        for product_id, variant, meta in _each(move.code):
            for price in _prices(variant, move.percent):
                await handle(work, ChangePrice(product_id=product_id, sku=variant.sku, price=price), meta)
    for sale in fortnight.sales:
        for product_id, variant, meta in _each(sale.code):
            for price in _prices(variant, sale.percent):
                command = SchedulePrice(
                    product_id=product_id,
                    schedule_id=stream_id("demo sale", variant.sku, price.currency, sale.starts_at.isoformat()),
                    sku=variant.sku,
                    price=price,
                    starts_at=sale.starts_at,
                    ends_at=sale.ends_at,
                    now=work.now,
                )
                await handle(work, command, meta)


def _each(code: str) -> Iterator[tuple[UUID, Variant, Meta]]:
    product_id = demo_id_of(code)
    for variant in _ARTICLES[code].variants:
        yield product_id, variant, Meta(str(product_id), f"import:demo/{code}", "import")


def _prices(variant: Variant, percent: int) -> tuple[Money, Money]:
    """So many per cent of the list prices; a reduced one ends on a round five."""
    pence = variant.prices["GBP"] if percent == 100 else max(5, variant.prices["GBP"] * percent // 500 * 5)
    return Money(pence, "GBP"), Money(euro(pence), "EUR")


async def _supply(work: Work, fortnight: Fortnight) -> None:
    """Receives what is sold in the fortnight, so that what lies there at the end is what lay there at first."""
    needed = sorted(fortnight.units().items())
    homes = {sku: homes_of(_VARIANTS[sku][0])[0] for sku, _ in needed}
    await work.load_many(STOCK, [stock_id_of(sku, homes[sku]) for sku, _ in needed])
    for sku, units in needed:
        article, variant = _VARIANTS[sku]
        meta = Meta(str(demo_id_of(article.code)), f"import:demo/{article.code}", "import")
        cost = Money(cost_of(sku, variant.prices["GBP"], fortnight.index), "GBP")
        reference = f"demo {fortnight.index + 1}"
        receive = ReceiveUnits(sku=sku, warehouse=homes[sku], quantity=units, reference=reference, unit_cost=cost)
        await handle(work, receive, meta)


async def _together(do: Callable[[T], Awaitable[object]], some: Iterable[T], most: int) -> None:
    """Does it for all of them, begun in their order, so many at once; the first failure ends the rest."""
    gate = asyncio.Semaphore(most)

    async def one(what: T) -> None:
        try:
            await _tried(do, what)
        finally:
            gate.release()

    try:
        async with asyncio.TaskGroup() as group:
            for what in some:
                await gate.acquire()
                group.create_task(one(what))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


async def _tried(do: Callable[[T], Awaitable[object]], what: T) -> None:
    """Does it, again where a database or a key was not at hand: whatever is done already is found so.

    Staff may have changed meanwhile what the plan relies on: what is refused then is left out.
    """
    for left in reversed(range(_TRIES)):
        try:
            await do(what)
        except Rejected as refused:
            _log.info("the demo's year leaves something out: %s", refused.code)
        except (Unavailable, Overloaded):
            if not left:
                raise
            await asyncio.sleep(_PAUSE)
            continue
        return


def _customer_id(customer: int) -> UUID:
    return stream_id("demo customer", str(customer))


def _cart_id(one: Purchase) -> UUID:
    if one.customer is None:
        return stream_id("demo cart", str(one.number))
    return cart_id_of(_customer_id(one.customer))


def _order_id(one: Purchase) -> UUID:
    """The order that was paid."""
    return order_id_of(_cart_id(one), one.attempt + one.attempts - 1)


def _cause(one: Purchase, correlation: str | None = None) -> Meta:
    return Meta(correlation or str(_order_id(one)), f"import:demo/order {one.number}", "import")


@contextmanager
def _progress() -> Iterator[Step]:
    """One line that moves on a terminal, elsewhere one at the beginning and one at the end."""
    began, moves, whole = time.monotonic(), sys.stderr.isatty(), False

    def tell(text: str, end: str) -> None:
        print(f"\r{text}" if moves else text, end=end, file=sys.stderr, flush=True)

    def step(done: int) -> None:
        nonlocal whole
        whole = done == FORTNIGHTS
        if moves:
            tell(f"The demo's year is being filled: {done * 100 // FORTNIGHTS} %", "")

    tell("The demo's year is being filled; the shop is open meanwhile.", "\n")
    yield step
    if whole:
        tell(f"The demo's year is filled, in {time.monotonic() - began:.0f} s.        ", "\n")


def main() -> int:
    """Runs in a process of its own beside the shop's, which go first."""
    os.nice(_NICE)
    try:
        return run(load())
    except StartupProblem as problem:
        print(f"{problem.text} {problem.remedy}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
