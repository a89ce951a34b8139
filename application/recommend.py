"""What to suggest: products bought together, what a customer buys next, and what is popular now; all in memory.

A `Trainer` holds the orders and makes the `Model`, which answers. Only whole numbers decide it and the days of the
orders, so that it is the same whether the orders came one by one, corrected and out of order, or all at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["Basket", "Model", "Suggested", "Taste", "Trainer"]

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

NEIGHBOURS: Final = 30
"""Kept of each product and kind. More of them find less: what they add is noise."""

TREND_DAYS: Final = 7
"""After so many days a sale counts half for what is popular."""

TASTE_DAYS: Final = 60
"""After so many days a purchase counts half for what its customer likes."""

_STEP: Final = 2 * TREND_DAYS
"""Days between two reference days of the trend: its square root is halved then, exactly, and no order changes."""

MOST_LIKED: Final = 100
_DAMP: Final = 5
_DOUBT: Final = 2
AGAIN_RATE: Final = 0.05
"""The part of a product's customers that must have bought it more than once before it is suggested again."""

VIEW: Final = 0.2
CART: Final = 1.0

_BLOCK: Final = 4_000_000

AGAIN, TOGETHER, LIKE_BOUGHT, LIKE_VIEWED, LIKE_CART, POPULAR, VIEWED = (
    "bought_before", "bought_together", "like_bought", "like_viewed", "like_cart", "popular", "viewed",
)  # fmt: skip


class Basket(msgspec.Struct, frozen=True):
    """What is left of an order: empty where it came to nothing or all of it went back. A guest is a buyer of one."""

    order_id: UUID
    buyer: UUID
    day: date
    products: tuple[UUID, ...]


class Taste(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of who asks: the days on which products were bought; what was viewed, the last first; the cart."""

    bought: Mapping[UUID, Sequence[date]] = {}
    viewed: Sequence[UUID] = ()
    cart: Sequence[UUID] = ()


class Suggested(msgspec.Struct, frozen=True):
    """A product, why, and because of which other."""

    product_id: UUID
    reason: str
    because: UUID | None = None


class _Packed(msgspec.Struct, array_like=True):
    reference: int
    products: bytes
    buyers: bytes
    again: bytes
    trend: bytes
    places: tuple[bytes, bytes]
    weights: tuple[bytes, bytes]


class Model:
    """Answers. Compact: 500 bytes a product.

    Attributes:
        products: by place; all arrays go by it.
        trend: orders, those of `TREND_DAYS` earlier counting half. (Its scale moves in steps: only ratios matter.)
        alike, together: the places of each product's neighbours (-1: none), the best first, and their weights: what
            its customers buy too at any time, and in the same order.
    """

    def __init__(
        self, reference: int, products: Sequence[UUID], buyers: Ints, again: Ints, trend: npt.NDArray[np.float64],
        alike: tuple[Ints, Floats], together: tuple[Ints, Floats],
    ) -> None:  # fmt: skip
        self.reference = reference
        self.products = products
        self.place = {product: place for place, product in enumerate(products)}
        self.buyers, self.again, self.trend = buyers, again, trend
        self.alike, self.together = alike, together
        self._rising = np.sqrt(trend / max(float(trend.max(initial=0.0)), 1e-300))
        self._popular = np.argsort(-trend, kind="stable")
        self._bought_again = again >= AGAIN_RATE * (buyers + _DAMP)

    @classmethod
    def empty(cls) -> "Model":
        """Of a shop that has sold nothing."""
        none = (np.empty((0, NEIGHBOURS), np.int32), np.empty((0, NEIGHBOURS), np.float32))
        return cls(0, [], np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), none, none)

    def encode(self) -> bytes:
        """The model for another process."""
        return msgspec.msgpack.encode(
            _Packed(
                self.reference,
                b"".join(product.bytes for product in self.products),
                self.buyers.tobytes(),
                self.again.tobytes(),
                self.trend.tobytes(),
                (self.alike[0].tobytes(), self.together[0].tobytes()),
                (self.alike[1].tobytes(), self.together[1].tobytes()),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> "Model":
        """Raises msgspec.MsgspecError, ValueError."""
        packed = msgspec.msgpack.decode(data, type=_Packed)

        def neighbours(which: int) -> tuple[Ints, Floats]:
            return (
                np.frombuffer(packed.places[which], np.int32).reshape(-1, NEIGHBOURS),
                np.frombuffer(packed.weights[which], np.float32).reshape(-1, NEIGHBOURS),
            )

        ids = packed.products
        return cls(
            packed.reference, [UUID(bytes=ids[start : start + 16]) for start in range(0, len(ids), 16)],
            np.frombuffer(packed.buyers, np.int32), np.frombuffer(packed.again, np.int32),
            np.frombuffer(packed.trend, np.float64), neighbours(0), neighbours(1),
        )  # fmt: skip

    # --- answers -----------------------------------------------------------------------------------

    def bought_with(self, products: Collection[UUID], limit: int) -> list[Suggested]:
        """What is bought in one order with these, the best first."""
        found = self._best(self.together, [(product, 1.0) for product in products], set(products), limit, rising=False)
        return [Suggested(product, TOGETHER, because) for product, because in found]

    def popular(self, limit: int) -> list[Suggested]:
        """What sells best now."""
        best = self._popular[:limit]
        return [Suggested(self.products[place], POPULAR) for place in best.tolist() if self.trend[place] > 0]

    def personal(self, taste: Taste, today: date, limit: int, *, again: bool = True) -> list[Suggested]:
        """What a customer may buy next, the best first; of what was bought before only what customers do buy again.

        Args:
            again: False leaves out whatever was bought before.
        """
        liked = {
            product: sum(2.0 ** ((day - today).days / TASTE_DAYS) for day in days)
            for product, days in taste.bought.items()
        }
        found = self._bought_before(liked, limit) if again else []
        taken = set(liked) | set(taste.cart)
        if len(found) < limit:
            found += self._like(liked, taste, taken, limit - len(found))
            taken.update(one.product_id for one in found)
        if len(found) < limit:
            rest = self.popular(limit + len(taken))
            found += [one for one in rest if one.product_id not in taken][: limit - len(found)]
        return found

    def _bought_before(self, liked: Mapping[UUID, float], limit: int) -> list[Suggested]:
        scored = []
        for product, weight in liked.items():
            place = self.place.get(product, -1)
            if place >= 0 and self._bought_again[place]:
                scored.append((-weight * float(self._rising[place]), place, product))
        return [Suggested(product, AGAIN, product) for _, _, product in sorted(scored)[:limit]]

    def _like(self, liked: Mapping[UUID, float], taste: Taste, taken: Collection[UUID], limit: int) -> list[Suggested]:
        speaking = sorted(liked.items(), key=lambda one: (-one[1], one[0].int))[:MOST_LIKED]
        speaking += [(product, VIEW) for product in taste.viewed[:MOST_LIKED]]
        speaking += [(product, CART) for product in taste.cart[:MOST_LIKED]]
        carted = set(taste.cart)
        return [
            Suggested(
                product,
                LIKE_CART if because in carted else LIKE_BOUGHT if because in taste.bought else LIKE_VIEWED,
                because,
            )
            for product, because in self._best(self.alike, speaking, taken, limit, rising=True)
        ]

    def _best(
        self, neighbours: tuple[Ints, Floats], speaking: Sequence[tuple[UUID, float]], without: Collection[UUID],
        limit: int, *, rising: bool,
    ) -> list[tuple[UUID, UUID]]:  # fmt: skip
        """The products that those speak for, each with its weight, and which of them did most; the best first."""
        known = [(self.place[product], weight, product) for product, weight in speaking if product in self.place]
        if not known:
            return []
        rows = np.array([place for place, _, _ in known])
        others = neighbours[0][rows].ravel()
        gains = (neighbours[1][rows] * np.array([weight for _, weight, _ in known])[:, None]).ravel()
        found, which = np.unique(others, return_inverse=True)
        scores = np.bincount(which, gains)
        if rising:
            scores *= self._rising[found]
        # A product without enough neighbours has -1 in their place.
        out = [-1, *(self.place[product] for product in without if product in self.place)]
        scores[np.isin(found, out)] = -1.0
        best = np.lexsort((found, -scores))[:limit]
        return [
            (
                self.products[int(found[one])],
                known[int(np.argmax(np.where(which == one, gains, -1.0))) // NEIGHBOURS][2],
            )
            for one in best.tolist()
            if scores[one] >= 0
        ]


class Trainer:
    """The orders, and the model of them. Memory: 4 bytes a line and 20 an order, and at most 30 a line while it works.

    Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._products: list[UUID] = []
        self._place: dict[UUID, int] = {}
        self._orders: Longs = np.empty(0, np.int64)
        self._buyers: Longs = np.empty(0, np.int64)
        self._days: Ints = np.empty(0, np.int32)
        self._starts: Longs = np.zeros(1, np.int64)
        self._items: Ints = np.empty(0, np.int32)
        self._touched: set[int] = set()
        self._model: Model | None = None
        self._known: list[UUID] = []

    def update(self, baskets: Iterable[Basket]) -> bool:
        """Takes orders in, each in place of what was known of it; whether that can change anything."""
        told = {_number(one.order_id): one for one in baskets}
        known = set(self._orders[np.isin(self._orders, np.fromiter(told, np.int64, len(told)))].tolist())
        latest = {key: one for key, one in told.items() if one.products or key in known}
        if not latest:
            return False
        keys = np.fromiter(latest, np.int64, len(latest))
        changed = np.isin(self._orders, keys)
        buyers = np.union1d(
            self._buyers[changed], np.fromiter((_number(one.buyer) for one in latest.values()), np.int64, len(latest))
        )
        self._touch(buyers)
        if changed.any():
            self._keep(~changed)
        self._append(latest)
        self._touch(buyers)
        return True

    def _touch(self, buyers: Longs) -> None:
        """Remembers the products of these buyers: only they are in orders, or beside products, that change."""
        rows = np.isin(self._buyers, buyers)
        self._touched.update(np.unique(self._items[np.repeat(rows, np.diff(self._starts))]).tolist())

    def _keep(self, rows: npt.NDArray[np.bool_]) -> None:
        sizes = np.diff(self._starts)
        self._items = self._items[np.repeat(rows, sizes)]
        self._orders, self._buyers, self._days = self._orders[rows], self._buyers[rows], self._days[rows]
        self._starts = np.concatenate(([0], np.cumsum(sizes[rows])))

    def _append(self, latest: Mapping[int, Basket]) -> None:
        full = [(key, one, sorted(set(one.products))) for key, one in latest.items() if one.products]
        items = []
        for _, _, products in full:
            for product in products:
                place = self._place.get(product)
                if place is None:
                    place = self._place[product] = len(self._products)
                    self._products.append(product)
                items.append(place)
        sizes = np.array([len(products) for _, _, products in full], np.int64)
        self._orders = np.concatenate((self._orders, np.array([key for key, _, _ in full], np.int64)))
        self._buyers = np.concatenate((self._buyers, np.array([_number(one.buyer) for _, one, _ in full], np.int64)))
        self._days = np.concatenate((self._days, np.array([one.day.toordinal() for _, one, _ in full], np.int32)))
        self._starts = np.concatenate((self._starts, self._starts[-1] + np.cumsum(sizes)))
        self._items = np.concatenate((self._items, np.array(items, np.int32)))

    def model(self) -> Model:
        """The model of the orders taken in. Of the one before it stays what cannot have changed."""
        import scipy.sparse as sp

        sold = np.unique(self._items)
        if not len(sold):
            return Model.empty()
        # By id, not by when they were first sold: the same orders make the same model.
        order = sorted(sold.tolist(), key=lambda place: self._products[place].int)
        products = [self._products[place] for place in order]
        renumber = np.full(len(self._products), -1, np.int32)
        renumber[order] = np.arange(len(order), dtype=np.int32)
        items, sizes = renumber[self._items], np.diff(self._starts)
        shape = (len(self._orders), len(products))
        by_order = sp.csr_matrix((np.ones(len(items), np.float32), items, self._starts), shape=shape)
        _, owners = np.unique(self._buyers, return_inverse=True)
        rows = np.repeat(owners.astype(np.int32), sizes)
        by_buyer = sp.coo_matrix((np.ones(len(items), np.float32), (rows, items))).tocsr()
        by_buyer.resize((int(owners.max()) + 1, len(products)))
        again = np.bincount(by_buyer.indices[by_buyer.data > 1], minlength=len(products)).astype(np.int32)
        by_buyer.data[:] = 1
        buyers = np.bincount(by_buyer.indices, minlength=len(products)).astype(np.int32)
        reference, trend = _trend(items, np.repeat(self._days, sizes), len(products))
        touched = None
        if self._model is not None:
            places = [int(renumber[place]) for place in self._touched if renumber[place] >= 0]
            touched = self._affected(by_buyer, np.array(sorted(places), np.int64))
        old = self._model
        rising = np.sqrt(trend)
        discount = 1.0 / np.sqrt(buyers + float(_DAMP))

        def likeness(counts: Any, one: int, others: Any) -> Any:
            return counts / np.sqrt(buyers[one] * buyers[others].astype(np.float64)) * discount[others]

        orders = np.bincount(items, minlength=len(products))

        def companionship(counts: Any, one: int, others: Any) -> Any:
            return counts / np.sqrt(orders[one] * orders[others].astype(np.float64)) * (counts / (counts + _DOUBT))

        self._model = Model(
            reference, products, buyers, again, trend,
            _neighbours(by_buyer, likeness, rising, touched, old, None if old is None else old.alike, products),
            _neighbours(by_order, companionship, None, touched, old, None if old is None else old.together, products),
        )  # fmt: skip
        self._touched.clear()
        return self._model

    @staticmethod
    def _affected(matrix: Any, places: Longs) -> npt.NDArray[np.bool_]:
        """The products that have a buyer in common with one of these."""
        marked = np.zeros(matrix.shape[1], np.float32)
        marked[places] = 1
        result: npt.NDArray[np.bool_] = (matrix.T @ ((matrix @ marked) > 0).astype(np.float32)) > 0
        result[places] = True
        return result


def _number(key: UUID) -> int:
    """64 bits of an id that are as good as unique, signed."""
    whole = key.int
    return ((whole ^ (whole >> 64)) & (2**64 - 1)) - 2**63


def _trend(items: Ints, days: Ints, count: int) -> tuple[int, npt.NDArray[np.float64]]:
    import scipy.sparse as sp

    reference = int(days.max()) // _STEP * _STEP
    first = int(days.min())
    table = sp.coo_matrix(
        (np.ones(len(items), np.int64), (items, days - first)), shape=(count, int(days.max()) - first + 1)
    )
    each = table.tocsr()
    each.sort_indices()
    weights = 2.0 ** ((np.arange(each.shape[1]) + first - reference) / TREND_DAYS)
    return reference, each.astype(np.float64) @ weights


def _neighbours(
    matrix: Any, score: Callable[[Any, int, Any], Any], rising: Any, touched: npt.NDArray[np.bool_] | None,
    old: Model | None, known: tuple[Ints, Floats] | None, products: Sequence[UUID],
) -> tuple[Ints, Floats]:  # fmt: skip
    """Of each product the best others, by `score` (times `rising`, where given, which is no part of the weights)."""
    count = len(products)
    places = np.full((count, NEIGHBOURS), -1, np.int32)
    weights = np.zeros((count, NEIGHBOURS), np.float32)
    wanted = np.arange(count)
    if touched is not None and old is not None and known is not None:
        moved = np.array([old.place.get(product, -1) for product in products], np.int64)
        same = ~touched & (moved >= 0)
        # None of the neighbours of one that is not touched is gone: that would have touched it.
        lookup = {product: place for place, product in enumerate(products)}
        forward = np.array([lookup.get(product, -1) for product in old.products] + [-1], np.int32)
        places[same] = forward[known[0][moved[same]]]
        weights[same] = known[1][moved[same]]
        wanted = np.flatnonzero(~same)
    columns = matrix.T.tocsr()
    effort = np.minimum(columns @ np.asarray(np.diff(matrix.indptr), np.float64), count)[wanted]
    for block in np.split(wanted, np.flatnonzero(np.diff(np.cumsum(effort) // _BLOCK)) + 1):
        counts = (columns[block] @ matrix).tocsr()
        for row, one in enumerate(block.tolist()):
            part = slice(counts.indptr[row], counts.indptr[row + 1])
            others, shared = counts.indices[part], counts.data[part].astype(np.float64)
            there = others != one
            others, shared = others[there], shared[there]
            weight = score(shared, one, others)
            rank = weight if rising is None else weight * rising[others]
            best = np.lexsort((others, -rank))[:NEIGHBOURS]
            places[one, : len(best)] = others[best]
            weights[one, : len(best)] = weight[best]
    return places, weights
