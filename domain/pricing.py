"""What a cart comes to: discounts, shipping, tax and the sum, in whole minor units that always add up.

The rule of rounding, the only one: an amount that is not whole is rounded half up, once, where it arises (a
percentage off, a line's tax, the shipping's tax). A discount for several lines is shared out among them by their
amounts, each share being the growth of the rounded running sum, so that the shares add up to the discount. Every
total is a sum of such amounts and is never rounded itself.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from emporium.domain.amounts import minor_units
from emporium.domain.base import Money, Reason
from emporium.domain.order import Agreement, OrderLine
from emporium.domain.promotion import BUY_X_GET_Y, FIXED, FREE_SHIPPING, ORDER_OF_KINDS, PERCENTAGE, Promotion
from emporium.domain.shop_settings import SHIPPING, ShippingMethod, ShippingRate, ShopSettings

__all__ = [
    "NO_SHIPPING_THERE",
    "NO_SUCH_METHOD",
    "Goods",
    "Item",
    "Offered",
    "Priced",
    "arrival",
    "chosen",
    "half_up",
    "offered",
    "price",
    "price_goods",
    "rounded",
    "why_not",
]

NO_SHIPPING_THERE = Reason("no_shipping_there", "Nothing of this value and weight in {currency} is sent to {country}.")
NO_SUCH_METHOD = Reason("no_such_shipping_method", "These goods are not sent to {country} by {method}.", "invalid")

_SCALE: Final = 10_000


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU at their price; `weight` is one unit's, in grams.

    `agreed_price` is decimal text with up to four places, where it was agreed instead of the list price: then
    `unit_price` is that, rounded, and only the total of all units is charged.
    """

    sku: str
    title: str
    quantity: int
    unit_price: Money
    tax_class: str
    weight: int
    agreed_price: str | None = None

    @property
    def total(self) -> int:
        """What the units cost, in minor units."""
        if self.agreed_price is not None:
            return rounded(self.agreed_price, self.unit_price.currency, self.quantity).amount
        return self.unit_price.amount * self.quantity


class Goods(msgspec.Struct, frozen=True, kw_only=True):
    """The items less what the codes take off them. All amounts are minor units of `currency`.

    Attributes:
        discounts: what is taken off each item.
        by_code: what each code takes off the goods.
        free_shipping: the code that pays the shipping.
        weight: grams.
    """

    items: tuple[Item, ...]
    currency: str
    discounts: tuple[int, ...]
    by_code: dict[str, int]
    free_shipping: str | None
    weight: int

    @property
    def total(self) -> int:
        """What the items cost before anything is taken off."""
        return sum(item.total for item in self.items)

    @property
    def discount(self) -> int:
        """What is taken off them."""
        return sum(self.discounts)

    @property
    def value(self) -> int:
        """What is left, by which shipping goes."""
        return self.total - self.discount


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A shipping method and the rate at which it can be had."""

    method: ShippingMethod
    rate: ShippingRate


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an order says of money.

    `total` is goods − discount + shipping − shipping_discount, and + tax where the prices do not contain it.
    """

    lines: tuple[OrderLine, ...]
    goods: Money
    discount: Money
    shipping: Money
    shipping_discount: Money
    shipping_tax: Money
    tax: Money
    tax_inclusive: bool
    total: Money
    method: str
    shipping_tax_rate: str | None = None

    def agreement(self, coupons: Sequence[str], settings: ShopSettings, language: str) -> Agreement:
        """What the order keeps of it."""
        return Agreement(
            discount=self.discount,
            shipping_discount=self.shipping_discount,
            tax=self.tax,
            tax_inclusive=self.tax_inclusive,
            shipping_tax=self.shipping_tax,
            shipping_tax_rate=self.shipping_tax_rate,
            shipping_method=self.method,
            coupons=tuple(coupons),
            terms_version=settings.terms_version,
            language=language,
        )


def half_up(numerator: int, denominator: int) -> int:
    """The nearest whole number to a fraction that is not negative; of two, the larger."""
    return (2 * numerator + denominator) // (2 * denominator)


def why_not(promotion: Promotion, items: Sequence[Item], currency: str, codes: int) -> str | None:
    """Why a promotion takes nothing off these items, as a stable word; None where it does.

    Args:
        codes: how many codes are used together.
    """
    if codes > 1 and not promotion.combinable:
        return "not_combinable"
    concerned = [item for item in items if _concerns(promotion, item)]
    if not concerned:
        return "nothing_it_is_for"
    if promotion.minimum:
        least = _in(promotion.minimum, currency)
        if least is None:
            return "not_in_this_currency"
        if sum(item.total for item in concerned) < least:
            return "minimum_not_reached"
    if promotion.kind == FIXED and _in(promotion.amounts, currency) is None:
        return "not_in_this_currency"
    if promotion.kind == BUY_X_GET_Y:
        assert promotion.buy is not None and promotion.get is not None
        if sum(item.quantity for item in concerned) < promotion.buy + promotion.get:
            return "too_few_units"
    return None


def price_goods(items: Sequence[Item], currency: str, promotions: Mapping[str, Promotion]) -> Goods:
    """The items less what the promotions (by code) take off: kind by kind, each from what the earlier ones left."""
    off = [0] * len(items)
    by_code: dict[str, int] = {}
    free_shipping = None
    for code, promotion in sorted(promotions.items(), key=lambda one: (ORDER_OF_KINDS.index(one[1].kind), one[0])):
        if promotion.kind == FREE_SHIPPING:
            free_shipping = free_shipping or code
            by_code[code] = 0
            continue
        left = [item.total - off[n] if _concerns(promotion, item) else 0 for n, item in enumerate(items)]
        parts = _OFF[promotion.kind](promotion, items, currency, left)
        off = [before + part for before, part in zip(off, parts, strict=True)]
        by_code[code] = sum(parts)
    return Goods(
        items=tuple(items),
        currency=currency,
        discounts=tuple(off),
        by_code=by_code,
        free_shipping=free_shipping,
        weight=sum(item.weight * item.quantity for item in items),
    )


def offered(settings: ShopSettings, country: str, goods: Goods) -> list[Offered]:
    """The methods by which the goods can be sent there, in the shop's order. Raises Rejected (no_shipping_there)."""
    zone = settings.zone(country)
    found = [
        Offered(method=method, rate=rate)
        for method in (zone.methods if zone is not None else ())
        if (rate := _rate(method, goods)) is not None
    ]
    if not found:
        raise NO_SHIPPING_THERE(country=country, currency=goods.currency)
    return found


def chosen(settings: ShopSettings, country: str, goods: Goods, method: str | None) -> Offered:
    """The method of this code, the first one for None. Raises Rejected (no_such_shipping_method …)."""
    there = offered(settings, country, goods)
    if method is None:
        return there[0]
    for one in there:
        if one.method.code == method:
            return one
    raise NO_SUCH_METHOD(field="shipping_method", country=country, method=method)


def rounded(agreed_price: str, currency: str, quantity: int = 1) -> Money:
    """What so many units cost at a decimal price, rounded once to whole minor units."""
    return Money(half_up(_scaled(agreed_price) * quantity, _SCALE // minor_units(currency)), currency)


def price(goods: Goods, by: Offered, country: str, settings: ShopSettings) -> Priced:
    """What it all comes to when it is sent there by this method."""
    inclusive, currency = settings.prices_include_tax, goods.currency
    lines = []
    tax = 0
    for number, (item, off) in enumerate(zip(goods.items, goods.discounts, strict=True), 1):
        rate = settings.tax_rate(country, item.tax_class)
        part = _tax(item.total - off, rate, inclusive)
        tax += part
        lines.append(
            OrderLine(
                line=number,
                sku=item.sku,
                title=item.title,
                quantity=item.quantity,
                unit_price=item.unit_price,
                total=Money(item.total, currency),
                agreed_price=item.agreed_price,
                discount=Money(off, currency) if off else None,
                tax=Money(part, currency),
                tax_rate=rate,
            )
        )
    shipping = by.rate.price
    shipping_off = shipping if goods.free_shipping is not None else 0
    shipping_rate = settings.tax_rate(country, SHIPPING)
    shipping_tax = _tax(shipping - shipping_off, shipping_rate, inclusive)
    tax += shipping_tax
    total = goods.value + shipping - shipping_off + (0 if inclusive else tax)
    return Priced(
        lines=tuple(lines),
        goods=Money(goods.total, currency),
        discount=Money(goods.discount, currency),
        shipping=Money(shipping, currency),
        shipping_discount=Money(shipping_off, currency),
        shipping_tax=Money(shipping_tax, currency),
        tax=Money(tax, currency),
        tax_inclusive=inclusive,
        total=Money(total, currency),
        method=by.method.code,
        shipping_tax_rate=shipping_rate,
    )


def arrival(day: date, working_days: int) -> date:
    """The date so many working days (Monday to Friday) after a day."""
    while working_days > 0:
        day += timedelta(days=1)
        if day.weekday() < 5:
            working_days -= 1
    return day


# --- what is taken off -----------------------------------------------------------------------------


def _concerns(promotion: Promotion, item: Item) -> bool:
    return not promotion.skus or item.sku in promotion.skus


def _in(amounts: Sequence[Money], currency: str) -> int | None:
    return next((one.amount for one in amounts if one.currency == currency), None)


def _percentage(promotion: Promotion, items: Sequence[Item], currency: str, left: list[int]) -> list[int]:
    assert promotion.percent is not None
    return _shared(half_up(sum(left) * _scaled(promotion.percent), 100 * _SCALE), left)


def _fixed(promotion: Promotion, items: Sequence[Item], currency: str, left: list[int]) -> list[int]:
    return _shared(min(_in(promotion.amounts, currency) or 0, sum(left)), left)


def _buy_x_get_y(promotion: Promotion, items: Sequence[Item], currency: str, left: list[int]) -> list[int]:
    assert promotion.buy is not None and promotion.get is not None
    concerned = [n for n, item in enumerate(items) if _concerns(promotion, item)]
    free = sum(items[n].quantity for n in concerned) // (promotion.buy + promotion.get) * promotion.get
    parts = [0] * len(items)
    for n in sorted(concerned, key=lambda n: (items[n].unit_price.amount, n)):
        units = min(free, items[n].quantity)
        free -= units
        parts[n] = min(units * items[n].unit_price.amount, left[n])
    return parts


_OFF: Final[dict[str, Callable[[Promotion, Sequence[Item], str, list[int]], list[int]]]] = {
    PERCENTAGE: _percentage,
    FIXED: _fixed,
    BUY_X_GET_Y: _buy_x_get_y,
}


def _shared(amount: int, weights: Sequence[int]) -> list[int]:
    """The amount, at most the sum of the weights, in whole parts in proportion to them; no part above its weight."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = []
    before = running = 0
    for weight in weights:
        running += weight
        upto = half_up(amount * running, whole)
        parts.append(upto - before)
        before = upto
    return parts


# --- shipping and tax ------------------------------------------------------------------------------


def _rate(method: ShippingMethod, goods: Goods) -> ShippingRate | None:
    return next((one for one in method.rates if one.fits(goods.currency, goods.value, goods.weight)), None)


@lru_cache(1_000)
def _scaled(percent: str) -> int:
    return int(Decimal(percent) * _SCALE)


def _tax(amount: int, rate: str, inclusive: bool) -> int:
    """The tax in an amount, or on it."""
    scaled = _scaled(rate)
    return half_up(amount * scaled, 100 * _SCALE + (scaled if inclusive else 0))
