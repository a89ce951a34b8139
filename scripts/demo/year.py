"""The demo's year as a plan: who buys what and when, what comes back, what is said of it. Pure: the same every time.

It is cut into fortnights. Within one nobody orders twice, so that its orders can be in the saga together; what prices
do, they do where one begins.
"""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from typing import Final

import msgspec

from emporium.application.ports import Address
from emporium.scripts.demo.catalogue import LOW, PRODUCTS, SETS, SOLD_OUT, Article, Variant, spread
from emporium.scripts.demo.talk import ANSWERS, said

__all__ = [
    "CANCELLED",
    "DAYS",
    "DECLINED",
    "DELIVERED",
    "FORTNIGHTS",
    "PROMOTIONS",
    "SEARCHES",
    "SYNONYMS",
    "WELCOME",
    "Fortnight",
    "PriceMove",
    "Purchase",
    "Sale",
    "Saying",
    "Year",
    "address_of",
    "cost_of",
    "email_of",
    "launched",
    "country_of",
    "name_of",
    "plan",
    "travel",
]

DAYS: Final = 365
FORTNIGHTS: Final = 26
LENGTH: Final = timedelta(days=14)

DELIVERED, CANCELLED, DECLINED = "delivered", "cancelled", "declined"
"""What becomes of a purchase. One whose card was declined is paid with another, unless a guest made it."""

WELCOME: Final = "DEMO-WELCOME10"
"""The code that some use with their first order."""

PROMOTIONS: Final = (
    (WELCOME, "Demo: 10 % off a first order", "10"),
    ("DEMO-FREE-SHIPPING", "Demo: free delivery", None),
)
"""Code, name, per cent off (None: what the delivery costs)."""

SYNONYMS: Final = (
    ("demo-jumper", ("jumper", "sweater", "pullover")),
    ("demo-torch", ("torch", "flashlight", "lamp")),
    ("demo-secateurs", ("secateurs", "pruner", "garden shears")),
    ("demo-sofa-blanket", ("throw", "blanket")),
    ("demo-headphones", ("headphones", "earphones", "headset")),
    ("demo-jigsaw", ("jigsaw", "puzzle")),
    ("demo-cup", ("mug", "cup", "beaker")),
)
"""Group and words that mean the same."""

SEARCHES: Final = (
    ("coffee beans", "beans", 9), ("mug", "mug", 8), ("notebook", "notebook", 7), ("wireless headphones", "overear", 7),
    ("usb-c charger", "charger", 6), ("tent", "tent", 6), ("yoga mat", "mat", 6), ("board game", "harvest", 5),
    ("linen bedding", "bedset", 5), ("bike lights", "lights", 5), ("jumper", "fisherman", 4),
    ("watering can", "can", 4), ("fountain pen", "fountain", 4), ("rain jacket", "rainshell", 4),
    ("cast iron pan", "skillet", 4),
    ("wooden train", "train", 3), ("fairy lights", "fairy", 3), ("jigsaw 1000", "jigsaw", 3), ("planter", "pot", 3),
    ("teapot", "teapot", 3), ("gift under 20", None, 2), ("hammock", "hammock", 2), ("dog bed", None, 2),
    ("phone case", None, 2), ("christmas tree", None, 1), ("fidget spinner", None, 1),
)  # fmt: skip
"""Words, what is looked at and bought after them (None: nothing is found), and how often they are asked."""

_GUESTS: Final = 0.12
_LAST_GUESTS: Final = timedelta(days=7)
_REPEATERS: Final = 0.22
"""Customers for each order: most come again."""

_TOWNS: Final = (
    (("GB", "Leeds", "LS1 4DY", "High Street"), 16), (("GB", "Bristol", "BS1 5TR", "Park Street"), 14),
    (("GB", "Edinburgh", "EH1 1YZ", "Canal Street"), 12), (("GB", "London", "SW1Y 4JH", "Station Road"), 20),
    (("GB", "Cardiff", "CF10 1EP", "Church Street"), 8), (("DE", "Hamburg", "20095", "Bahnhofstraße"), 8),
    (("DE", "Leipzig", "04109", "Gartenstraße"), 6), (("FR", "Lyon", "69002", "Rue de la Gare"), 5),
    (("NL", "Utrecht", "3511 EV", "Stationsstraat"), 4), (("AT", "Graz", "8010", "Bahnhofgasse"), 3),
    (("DK", "Aarhus", "8000", "Nørregade"), 2),
)  # fmt: skip

_HOURS: Final = (1, 0, 0, 0, 0, 0, 1, 2, 4, 5, 6, 6, 7, 6, 5, 5, 6, 7, 8, 10, 11, 9, 6, 3)
_WEEKDAYS: Final = (11, 10, 10, 10, 9, 8, 12)
_MONTHS: Final = (9, 8, 9, 10, 11, 10, 8, 8, 10, 11, 15, 17)

_SEASONS: Final[Mapping[str, tuple[int, ...]]] = {
    "garden": (3, 4, 5, 6), "balcony": (3, 4, 5, 6), "barbecue": (5, 6, 7, 8), "camping": (5, 6, 7, 8),
    "hiking": (4, 5, 9, 10), "cycling": (3, 4, 5, 6), "winter": (10, 11, 12, 1), "light": (10, 11, 12),
    "bed and bath": (1, 10, 11), "games night": (11, 12), "puzzles": (11, 12, 1), "play": (11, 12), "yoga": (1, 2, 9),
    "baking": (11, 12, 2), "tea": (10, 11, 12, 1), "small children": (12, 5), "writing": (9, 12), "drawing": (9, 12),
}  # fmt: skip
"""The months in which a set is bought three times as often."""

_CONSUMABLE: Final = frozenset(
    {
        "beans",
        "espressobeans",
        "filters",
        "sencha",
        "breakfast",
        "ink",
        "compost",
        "seeds",
        "candle",
        "stickies",
        "socks",
    }
)
"""What is used up, and bought again."""

_FIXED: Final = frozenset({"mug", "charger"})
"""Their prices stay, as the guides name them, and they were there from the start."""


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """One order.

    Attributes:
        number: in the year, from 0.
        customer: None for a guest.
        attempt: which checkout of the customer's cart it is, those that were declined included.
        lines: SKU and units.
        returned: the line that comes back (from 1) and when; None where all is kept.
    """

    number: int
    customer: int | None
    attempt: int
    at: datetime
    town: int
    lines: tuple[tuple[str, int], ...]
    fate: str = DELIVERED
    coupon: str | None = None
    returned: tuple[int, datetime] | None = None

    @property
    def attempts(self) -> int:
        """How many checkouts it takes."""
        return 2 if self.fate == DECLINED and self.customer is not None else 1


class Saying(msgspec.Struct, frozen=True, kw_only=True):
    """A review of an article that a purchase brought, what the shop answers, and who found it helpful and when."""

    purchase: int
    code: str
    at: datetime
    rating: int
    title: str
    text: str
    answer: str | None = None
    votes: tuple[tuple[int, bool], ...] = ()


class PriceMove(msgspec.Struct, frozen=True):
    """An article's regular price is `percent` of the list's from now on."""

    code: str
    percent: int


class Sale(msgspec.Struct, frozen=True):
    """An article costs `percent` of its price from one moment to another; without an end for good."""

    code: str
    percent: int
    starts_at: datetime
    ends_at: datetime | None


class Fortnight(msgspec.Struct, kw_only=True):
    """What happens in two weeks; each list by time."""

    index: int
    starts_at: datetime
    ends_at: datetime
    moves: list[PriceMove] = []
    sales: list[Sale] = []
    purchases: list[Purchase] = []
    returns: list[tuple[datetime, Purchase]] = []
    sayings: list[Saying] = []

    def units(self) -> Counter[str]:
        """What is ordered, by SKU."""
        units: Counter[str] = Counter()
        for one in self.purchases:
            units.update(dict(one.lines))
        return units


class Year(msgspec.Struct, frozen=True):
    """The plan. `purchases` are those of all fortnights by number."""

    begins: datetime
    ends: datetime
    customers: int
    purchases: Sequence[Purchase]
    fortnights: Sequence[Fortnight]


def launched(article: Article) -> timedelta:
    """How long after the year's beginning an article was first sold."""
    if article.code in _FIXED or spread(article.code, "launch") % 5:
        return timedelta(0)
    return timedelta(days=20 + spread(article.code, "day") % 300, hours=9)


def cost_of(sku: str, price: int, fortnight: int = -1) -> int:
    """What the shop pays for a unit: a good part of its price, a little more as the year goes on."""
    share = 36 + spread(sku, "cost") % 24
    return max(1, price * share * (200 + fortnight + 1) // 20_000)


def name_of(customer: int) -> str:
    """What a customer is called."""
    return f"Demo Customer {customer + 1}"


def email_of(customer: int) -> str:
    """The address of a customer; nobody reads what is sent there."""
    return f"customer-{customer + 1}@demo.example.org"


def address_of(name: str, town: int, number: int) -> Address:
    """Where a parcel goes."""
    (country, city, postcode, street), _ = _TOWNS[town]
    line = f"{street} {number}" if country != "GB" else f"{number} {street}"
    return Address(name=name, lines=(line,), city=city, postcode=postcode, country=country)


def country_of(town: int) -> str:
    """The country of a town, by its code."""
    return _TOWNS[town][0][0]


def travel(order: str, parcel: int) -> tuple[timedelta, timedelta]:
    """How long a parcel waits for the carrier, and how long it is on its way."""
    chance = spread(f"{order}/{parcel}", "travel")
    return timedelta(hours=2 + chance % 30), timedelta(hours=18 + chance // 30 % 54)


def plan(begins: datetime, orders: int) -> Year:
    """The year of a shop that began at a moment.

    Args:
        orders: how many there are in it, about; at least one.
    """
    return _Planner(begins, orders).year()


class _Planner:
    def __init__(self, begins: datetime, orders: int) -> None:
        self._begins = begins
        self._ends = begins + timedelta(days=DAYS)
        self._orders = orders
        self._chance = random.Random(f"emporium demo {orders}")
        self._articles = {article.code: article for article in PRODUCTS}
        self._customers = max(3, round(orders * _REPEATERS))
        weights = [1 / (1 + n % 97) ** 0.6 for n in range(self._customers)]
        self._weights = list(accumulate(weights))
        # Some are customers from the start, the others come one after the other.
        since = [max(0.0, n / self._customers * 1.2 - 0.2) * (DAYS - 10) for n in range(self._customers)]
        self._since = [begins + timedelta(days=days) for days in since]
        names = list(SETS)
        self._favourites = [(names[spread(str(n), "a") % len(names)], names[spread(str(n), "b") % len(names)])
                            for n in range(self._customers)]  # fmt: skip
        towns = list(accumulate(weight for _, weight in _TOWNS))
        self._towns = [bisect_right(towns, spread(str(n), "town") % towns[-1]) for n in range(self._customers)]
        self._attempts: Counter[int] = Counter()
        self._owned: dict[int, dict[str, str]] = {}

    def year(self) -> Year:
        first = self._ends - FORTNIGHTS * LENGTH
        fortnights = [
            Fortnight(index=n, starts_at=first + n * LENGTH, ends_at=first + (n + 1) * LENGTH)
            for n in range(FORTNIGHTS)
        ]
        self._set_prices(fortnights)
        purchases: list[Purchase] = []
        for fortnight in fortnights:
            seen: set[int] = set()
            for at in self._times(fortnight):
                one = self._purchase(len(purchases), at, seen)
                fortnight.purchases.append(one)
                purchases.append(one)
        for one in purchases:
            if one.returned is not None:
                self._of(fortnights, one.returned[1]).returns.append((one.returned[1], one))
        for saying in self._sayings(purchases):
            self._of(fortnights, saying.at).sayings.append(saying)
        for fortnight in fortnights:
            fortnight.returns.sort(key=lambda pair: (pair[0], pair[1].number))
            fortnight.sayings.sort(key=lambda saying: (saying.at, saying.purchase))
        return Year(self._begins, self._ends, self._customers, purchases, fortnights)

    @staticmethod
    def _of(fortnights: Sequence[Fortnight], at: datetime) -> Fortnight:
        return fortnights[min((at - fortnights[0].starts_at) // LENGTH, FORTNIGHTS - 1)]

    # --- prices ----------------------------------------------------------------------------------------

    def _set_prices(self, fortnights: Sequence[Fortnight]) -> None:
        """A year's moves bring every price back to the list's; some sales run at its end, and some are to come."""
        free = [article for article in PRODUCTS if article.code not in _FIXED]
        for article in free:
            if spread(article.code, "moves") % 3 == 0:
                low = 88 + spread(article.code, "low") % 9
                start = 1 + spread(article.code, "start") % 8
                for index, percent in ((start, low), (start + 8, (low + 100) // 2), (start + 15, 100)):
                    if fortnights[index].starts_at > self._begins + launched(article):
                        fortnights[index].moves.append(PriceMove(article.code, percent))
        last = fortnights[-1]
        for fortnight in fortnights:
            middle = (fortnight.starts_at + LENGTH / 2).date()
            name, share, percent = _sale(middle)
            for article in free if name else ():
                begun = self._begins + launched(article) < fortnight.starts_at
                if begun and fortnight is not last and spread(article.code, f"{name} {middle.year}") % share == 0:
                    sale = Sale(article.code, percent, fortnight.starts_at, fortnight.ends_at)
                    fortnight.sales.append(sale)
        for article in free:
            match spread(article.code, "now") % 16:
                case 0:
                    ends = self._ends + timedelta(days=10)
                    last.sales.append(Sale(article.code, 80, last.starts_at, ends))
                case 1:
                    starts = self._ends + timedelta(days=5)
                    last.sales.append(Sale(article.code, 75, starts, starts + LENGTH))
                case 2:
                    last.sales.append(Sale(article.code, 104, self._ends + timedelta(days=21), None))

    # --- orders ----------------------------------------------------------------------------------------

    def _times(self, fortnight: Fortnight) -> list[datetime]:
        """When orders come in: more on Sundays and before Christmas, most in the evening, more from month to month."""
        whole = sum(_weight(self._begins.date() + timedelta(days=n), n) for n in range(DAYS + 1))
        times = []
        day = fortnight.starts_at.date()
        while day <= fortnight.ends_at.date():
            share = _weight(day, (day - self._begins.date()).days) * self._orders / whole
            count = int(share) + (self._chance.random() < share % 1)
            for hour in self._chance.choices(range(24), _HOURS, k=count):
                at = datetime.combine(day, time(hour, self._chance.randrange(60), self._chance.randrange(60)))
                at = at.replace(tzinfo=self._begins.tzinfo)
                if fortnight.starts_at + timedelta(minutes=30) < at < fortnight.ends_at - timedelta(minutes=30):
                    times.append(at)
            day += timedelta(days=1)
        return sorted(times)

    def _purchase(self, number: int, at: datetime, seen: set[int]) -> Purchase:
        customer = self._customer(at, seen)
        town = self._chance.randrange(len(_TOWNS)) if customer is None else self._towns[customer]
        lines = self._basket(customer, at)
        recent = at > self._ends - timedelta(days=5)
        fate, luck = DELIVERED, self._chance.random()
        if not recent and luck < 0.06:
            fate = CANCELLED if luck < 0.025 else DECLINED
        returned = None
        if fate == DELIVERED and customer is not None and self._chance.random() < 0.06:
            back = at + timedelta(days=self._chance.randint(8, 16), hours=self._chance.randint(0, 9))
            if back < self._ends - timedelta(hours=1):
                returned = 1 + self._chance.randrange(len(lines)), back
        attempt, coupon = 1, None
        if customer is not None:
            attempt = self._attempts[customer] + 1
            if attempt == 1 and self._chance.random() < 0.25:
                coupon = WELCOME
        made = Purchase(
            number=number, customer=customer, attempt=attempt, at=at, town=town, lines=lines, fate=fate, coupon=coupon,
            returned=returned,
        )  # fmt: skip
        if customer is not None:
            self._attempts[customer] += made.attempts
        return made

    def _customer(self, at: datetime, seen: set[int]) -> int | None:
        if self._chance.random() < _GUESTS and at < self._ends - _LAST_GUESTS:
            return None
        known = bisect_right(self._since, at)
        for _ in range(50):
            if not known:
                break
            customer = min(known - 1, bisect_right(self._weights, self._chance.random() * self._weights[known - 1]))
            if customer not in seen:
                seen.add(customer)
                return customer
        free = [n for n in range(self._customers) if n not in seen]
        if not free:
            return None
        seen.add(free[0])
        return free[0]

    def _basket(self, customer: int | None, at: datetime) -> tuple[tuple[str, int], ...]:
        owned = {} if customer is None else self._owned.setdefault(customer, {})
        names = list(SETS)
        if customer is not None and self._chance.random() < 0.65:
            names = list(self._favourites[customer])
        weights = [3 if at.month in _SEASONS.get(name, ()) else 1 for name in names]
        [name] = self._chance.choices(names, weights)
        codes = [code for code in SETS[name] if self._sold(code, at) and (code in _CONSUMABLE or code not in owned)]
        lines: dict[str, int] = {}
        for _ in range(self._chance.choices((1, 2, 3, 4, 5), (30, 32, 22, 11, 5))[0]):
            if not codes:
                break
            [code] = self._chance.choices(codes, [1 / (1 + n) ** 0.7 for n in range(len(codes))])
            codes.remove(code)
            self._take(lines, owned, code)
        again = [code for code in owned if code in _CONSUMABLE]
        if again and self._chance.random() < 0.5:
            self._take(lines, owned, self._chance.choice(again))
        if not lines or self._chance.random() < 0.18:
            others = [code for code in self._articles if self._sold(code, at)]
            self._take(lines, owned, self._chance.choice(others))
        return tuple(lines.items())

    def _take(self, lines: dict[str, int], owned: dict[str, str], code: str) -> None:
        variants = [v.sku for v in self._articles[code].variants if _plenty(v)]
        sku = owned.get(code)
        if sku is None:
            [sku] = self._chance.choices(variants, [1 / (1 + n) for n in range(len(variants))])
        owned[code] = sku
        [units] = self._chance.choices((1, 2, 3), (6, 3, 1) if code in _CONSUMABLE else (14, 2, 0))
        lines[sku] = min(3, lines.get(sku, 0) + units)

    def _sold(self, code: str, at: datetime) -> bool:
        article = self._articles[code]
        return at > self._begins + launched(article) + timedelta(days=1) and any(map(_plenty, article.variants))

    # --- reviews ---------------------------------------------------------------------------------------

    def _sayings(self, purchases: Sequence[Purchase]) -> Iterator[Saying]:
        """Some of what arrived is reviewed, once by each customer; the newest few say what staff have to look at."""
        of_sku = {variant.sku: article for article in PRODUCTS for variant in article.variants}
        spoken: set[tuple[int, str]] = set()
        texts: set[str] = set()
        doubtful = 0
        for one in reversed(purchases):
            if one.customer is None or one.fate == CANCELLED:
                continue
            for line, (sku, _) in enumerate(one.lines, 1):
                article = of_sku[sku]
                at = one.at + timedelta(days=self._chance.randint(7, 25), minutes=self._chance.randrange(900))
                wanted = self._chance.random() < 0.24 and at < self._ends - timedelta(hours=1)
                if not wanted or (one.customer, article.code) in spoken:
                    continue
                back = one.returned is not None and one.returned[0] == line
                rating = self._rating(article, returned=back)
                title, text = said(self._chance, article, rating)
                if text in texts:
                    text = ""
                texts.add(text)
                if doubtful < 3 and text:
                    doubtful += 1
                    text += " More of my reviews are at www.example.org."
                spoken.add((one.customer, article.code))
                answer = self._chance.choice(ANSWERS) if rating <= 2 and text and self._chance.random() < 0.7 else None
                votes = self._votes(one.customer, at) if text else ()
                yield Saying(
                    purchase=one.number, code=article.code, at=at, rating=rating, title=title, text=text,
                    answer=answer, votes=votes,
                )  # fmt: skip

    def _rating(self, article: Article, *, returned: bool) -> int:
        quality = 3.7 + spread(article.code, "quality") % 100 / 100 - 2.2 * returned
        return max(1, min(5, round(self._chance.gauss(quality, 1.0))))

    def _votes(self, author: int, at: datetime) -> tuple[tuple[int, bool], ...]:
        known = [n for n in range(min(self._customers, bisect_right(self._since, at))) if n != author]
        count = self._chance.choices((0, 1, 2, 3, 5), (50, 22, 14, 9, 5))[0]
        voters = self._chance.sample(known, min(count, len(known)))
        return tuple((voter, self._chance.random() < 0.85) for voter in voters)


def _plenty(variant: Variant) -> bool:
    return variant.sku not in LOW and variant.sku not in SOLD_OUT


def _weight(day: date, since: int) -> float:
    """How busy a day is."""
    return _WEEKDAYS[day.weekday()] * _MONTHS[day.month - 1] * (0.75 + since / DAYS / 2)


def _sale(day: date) -> tuple[str, int, int]:
    """The sale that a day lies in: its name (empty: none), of how many articles one takes part, the per cent left."""
    match day.month, day.day:
        case 1, _:
            return "winter sale", 7, 70
        case 7, first if first < 16:
            return "summer sale", 8, 75
        case 11, last if last > 19:
            return "black week", 9, 80
    return "", 1, 100
