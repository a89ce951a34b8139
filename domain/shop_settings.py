"""How the shop sells: its name, currencies, taxes, shipping and time limits, as staff have last set them.

One stream. It holds only what was changed: whatever nobody has touched follows the defaults of the program.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from emporium.domain.base import MAX_AMOUNT, MAX_QUANTITY, Aggregate, Command, Event, Reason, State, stream_id
from emporium.domain.text import check_shape, check_text

MAX_TAXES: Final = 2_000
MAX_ZONES: Final = 100
MAX_METHODS: Final = 20
MAX_RATES: Final = 100
MAX_GRAMS: Final = 10**9
MAX_DAYS: Final = 365

ANYWHERE: Final = "*"
"""In place of a country: all that no other entry names."""

STANDARD: Final = "standard"
"""The category whose rate holds where a country names none for a category."""

SHIPPING: Final = "shipping"
"""The category under which shipping itself is taxed."""


def shop_settings_id() -> UUID:
    """The id of the only stream of settings."""
    return stream_id("shop settings")


# --- what is set -----------------------------------------------------------------------------------


class TaxRate(msgspec.Struct, frozen=True, kw_only=True):
    """What is taxed how: `rate` is percent as decimal text; `country` is ISO 3166 alpha-2 or `*`."""

    country: str
    category: str = STANDARD
    rate: str


class ShippingRate(msgspec.Struct, frozen=True, kw_only=True):
    """What a method costs, in minor units, for goods of some value and some weight.

    Attributes:
        from_value, below_value: value of the goods less their discount, in minor units of `currency`.
        from_weight, below_weight: grams. A bound `below…` of None is no bound.
    """

    currency: str
    price: int
    from_value: int = 0
    below_value: int | None = None
    from_weight: int = 0
    below_weight: int | None = None

    def fits(self, currency: str, value: int, weight: int) -> bool:
        """Whether it is for goods of this value and weight."""
        return (
            currency == self.currency
            and self.from_value <= value
            and (self.below_value is None or value < self.below_value)
            and self.from_weight <= weight
            and (self.below_weight is None or weight < self.below_weight)
        )


class ShippingMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to get parcels; takes `min_days` to `max_days` working days. Of the rates the first that fits holds.

    `service` is what labels are bought for it, as the carrier names it (`RoyalMail/24`, or only `RoyalMail`); None for
    the cheapest of all.
    """

    code: str
    name: str
    min_days: int
    max_days: int
    rates: tuple[ShippingRate, ...]
    service: str | None = None


class ShippingZone(msgspec.Struct, frozen=True, kw_only=True):
    """Countries that are served alike. A country's own zone goes before one with `*`."""

    code: str
    name: str
    countries: tuple[str, ...]
    methods: tuple[ShippingMethod, ...]


class BusinessAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the shop is: on invoices, and the sender of parcels."""

    name: str
    lines: tuple[str, ...]
    city: str
    postcode: str
    country: str


class ShopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings as they hold.

    Attributes:
        sender_email, sender_name: from whom messages come.
        sender_address: from where parcels come.
        currencies: in which carts may be; languages: in which customers are written to; the first is the default.
        prices_include_tax: the prices contain the tax; else it is added to them.
        max_units: of one SKU in a cart; max_items: different SKUs.
        cart_days: until an untouched cart expires; payment_seconds: until an unanswered payment is given up.
        cart_left_hours: until a customer who left a cart is reminded of it; 0: never.
        review_days: from an order's arrival to the invitation to review what was bought.
        quote_minutes: for how long a quote stands.
        low_stock_mark: from so many units down a stock without a mark of its own is low; None: never.
        terms_version: of the terms that a customer agrees to.
        views_need_consent: whether views are remembered only of customers who have agreed to it; else of everybody who
            has not refused.
    """

    legal_name: str = "Emporium"
    vat_id: str | None = None
    sender_name: str = "Emporium"
    sender_email: str = "shop@emporium.example"
    sender_address: BusinessAddress | None = None
    currencies: tuple[str, ...] = ("GBP", "EUR")
    languages: tuple[str, ...] = ("en", "de")
    prices_include_tax: bool = True
    taxes: tuple[TaxRate, ...] = ()
    zones: tuple[ShippingZone, ...] = ()
    max_units: int = 10_000
    max_items: int = 200
    cart_days: float = 30.0
    cart_left_hours: float = 24.0
    review_days: float = 7.0
    payment_seconds: float = 60.0
    quote_minutes: float = 30.0
    low_stock_mark: int | None = None
    terms_version: str = "1"
    views_need_consent: bool = False

    def tax_rate(self, country: str, category: str) -> str:
        """The rate in percent: the country's for the category, else its standard one, else that of `*`, else 0."""
        places = (country, ANYWHERE)
        table = {(one.country, one.category): one.rate for one in self.taxes if one.country in places}
        for place in places:
            for what in (category, STANDARD):
                if (place, what) in table:
                    return table[place, what]
        return "0"

    def zone(self, country: str) -> ShippingZone | None:
        """Where a country belongs to; None where nothing is sent to."""
        for wanted in (country, ANYWHERE):
            for one in self.zones:
                if wanted in one.countries:
                    return one
        return None


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New values of some settings; what is left out stays."""

    legal_name: str | UnsetType = UNSET
    vat_id: str | UnsetType | None = UNSET
    sender_name: str | UnsetType = UNSET
    sender_email: str | UnsetType = UNSET
    sender_address: BusinessAddress | UnsetType | None = UNSET
    currencies: tuple[str, ...] | UnsetType = UNSET
    languages: tuple[str, ...] | UnsetType = UNSET
    prices_include_tax: bool | UnsetType = UNSET
    taxes: tuple[TaxRate, ...] | UnsetType = UNSET
    zones: tuple[ShippingZone, ...] | UnsetType = UNSET
    max_units: int | UnsetType = UNSET
    max_items: int | UnsetType = UNSET
    cart_days: float | UnsetType = UNSET
    cart_left_hours: float | UnsetType = UNSET
    review_days: float | UnsetType = UNSET
    payment_seconds: float | UnsetType = UNSET
    quote_minutes: float | UnsetType = UNSET
    low_stock_mark: int | UnsetType | None = UNSET
    terms_version: str | UnsetType = UNSET
    views_need_consent: bool | UnsetType = UNSET

    def items(self) -> dict[str, Any]:
        """The values that are here, by name."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}


# --- events ----------------------------------------------------------------------------------------


class ShopSettingsChanged(Event, frozen=True, kw_only=True):
    """The shop sells otherwise from now on; carries only the settings that changed, each with its whole new value."""

    changes: Changes
    at: datetime


# --- state -----------------------------------------------------------------------------------------


class ShopSettingsState(State, frozen=True, kw_only=True):
    """What was ever changed, with its last value; `changes` counts the changes."""

    chosen: Changes = Changes()
    changes: int = 0
    at: datetime | None = None


def in_force(state: ShopSettingsState | None, defaults: ShopSettings) -> ShopSettings:
    """The settings as they hold: what was chosen, else the default."""
    return defaults if state is None else msgspec.structs.replace(defaults, **state.chosen.items())


# --- commands --------------------------------------------------------------------------------------


class ChangeShopSettings(Command, frozen=True, kw_only=True):
    changes: Changes
    at: datetime


# --- reasons ---------------------------------------------------------------------------------------

SETTING_WRONG = Reason("setting_wrong", "{field}: {why}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, state: ShopSettingsState | None) -> Sequence[Event]:
    """The event that the command makes of the settings. Raises Rejected."""
    match command:
        case ChangeShopSettings():
            state = state or ShopSettingsState()
            known = state.chosen.items()
            wanted = {name: _checked(name, value) for name, value in command.changes.items().items()}
            new = {name: value for name, value in wanted.items() if name not in known or known[name] != value}
            return [ShopSettingsChanged(changes=Changes(**new), at=command.at)] if new else []
        case _:
            raise TypeError(f"the settings do not know {type(command).__name__}")


_TEXTS: Final = {"legal_name": 200, "vat_id": 32, "sender_name": 100, "sender_email": 254, "terms_version": 40}
_NUMBERS: Final[dict[str, tuple[float, float]]] = {
    "max_units": (1, 10_000),
    "max_items": (1, 200),
    "cart_days": (0.001, 3_650),
    "cart_left_hours": (0, 720),
    "review_days": (0, 365),
    "payment_seconds": (1, 86_400),
    "quote_minutes": (1, 7 * 24 * 60),
    "low_stock_mark": (0, MAX_QUANTITY),
}


def _checked(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TEXTS:
        return check_text(name, value, _TEXTS[name])
    if name in _NUMBERS:
        least, most = _NUMBERS[name]
        return _within(name, value, least, most)
    match name:
        case "currencies":
            return tuple(check_shape(f"currencies.{n}", one, "currency") for n, one in _distinct(name, value))
        case "languages":
            return tuple(check_shape(f"languages.{n}", one, "language") for n, one in _distinct(name, value))
        case "taxes":
            return _taxes(value)
        case "zones":
            return _zones(value)
        case "sender_address":
            return _address(value)
    return value


def _within(field: str, value: Any, least: float, most: float) -> Any:
    if not least <= value <= most:
        raise SETTING_WRONG(field=field, why=f"from {least} to {most}, not {value}")
    return value


def _distinct(field: str, values: tuple[str, ...], *, least: int = 1) -> list[tuple[int, str]]:
    if not least <= len(values) <= 300:
        raise SETTING_WRONG(field=field, why=f"{least} to 300 entries, not {len(values)}")
    if len(set(values)) != len(values):
        raise SETTING_WRONG(field=field, why="an entry stands there twice")
    return list(enumerate(values))


def _country(field: str, value: str) -> str:
    return value if value == ANYWHERE else check_shape(field, value, "country")


def _taxes(taxes: tuple[TaxRate, ...]) -> tuple[TaxRate, ...]:
    if len(taxes) > MAX_TAXES:
        raise SETTING_WRONG(field="taxes", why=f"{MAX_TAXES} entries at most")
    seen = set()
    for number, one in enumerate(taxes):
        _country(f"taxes.{number}.country", one.country)
        check_shape(f"taxes.{number}.category", one.category, "code")
        check_percent(f"taxes.{number}.rate", one.rate)
        if (one.country, one.category) in seen:
            raise SETTING_WRONG(field=f"taxes.{number}", why=f"{one.country} has a rate for {one.category} already")
        seen.add((one.country, one.category))
    return taxes


def check_percent(field: str, rate: str) -> str:
    """The rate itself, 0 to 100 as decimal text with at most four places; else raises Rejected (setting_wrong)."""
    try:
        number = Decimal(rate)
    except InvalidOperation:
        number = Decimal(-1)
    if len(rate) > 8 or not number.is_finite() or not 0 <= number <= 100 or number * 10_000 % 1:
        raise SETTING_WRONG(field=field, why="a percentage is 0 to 100 with four decimal places at most")
    return rate


def _zones(zones: tuple[ShippingZone, ...]) -> tuple[ShippingZone, ...]:
    if len(zones) > MAX_ZONES:
        raise SETTING_WRONG(field="zones", why=f"{MAX_ZONES} at most")
    _distinct("zones", tuple(one.code for one in zones), least=0)
    seen: set[str] = set()
    for number, zone in enumerate(zones):
        place = f"zones.{number}"
        check_shape(f"{place}.code", zone.code, "code")
        check_text(f"{place}.name", zone.name, 100)
        for n, country in _distinct(f"{place}.countries", zone.countries):
            if _country(f"{place}.countries.{n}", country) in seen:
                raise SETTING_WRONG(field=f"{place}.countries.{n}", why=f"{country} is in another zone already")
            seen.add(country)
        if not 1 <= len(zone.methods) <= MAX_METHODS:
            raise SETTING_WRONG(field=f"{place}.methods", why=f"1 to {MAX_METHODS}, not {len(zone.methods)}")
        _distinct(f"{place}.methods", tuple(one.code for one in zone.methods))
        for n, method in enumerate(zone.methods):
            _method(f"{place}.methods.{n}", method)
    return zones


def _method(place: str, method: ShippingMethod) -> None:
    check_shape(f"{place}.code", method.code, "code")
    check_text(f"{place}.name", method.name, 100)
    if method.service is not None:
        check_text(f"{place}.service", method.service, 100)
    _within(f"{place}.min_days", method.min_days, 0, MAX_DAYS)
    _within(f"{place}.max_days", method.max_days, method.min_days, MAX_DAYS)
    if not 1 <= len(method.rates) <= MAX_RATES:
        raise SETTING_WRONG(field=f"{place}.rates", why=f"1 to {MAX_RATES}, not {len(method.rates)}")
    for n, rate in enumerate(method.rates):
        here = f"{place}.rates.{n}"
        check_shape(f"{here}.currency", rate.currency, "currency")
        _within(f"{here}.price", rate.price, 0, MAX_AMOUNT)
        _within(f"{here}.from_value", rate.from_value, 0, MAX_AMOUNT)
        _within(f"{here}.from_weight", rate.from_weight, 0, MAX_GRAMS)
        if rate.below_value is not None:
            _within(f"{here}.below_value", rate.below_value, rate.from_value + 1, MAX_AMOUNT)
        if rate.below_weight is not None:
            _within(f"{here}.below_weight", rate.below_weight, rate.from_weight + 1, MAX_GRAMS)


def _address(address: BusinessAddress) -> BusinessAddress:
    if not 1 <= len(address.lines) <= 4:
        raise SETTING_WRONG(field="sender_address.lines", why=f"1 to 4, not {len(address.lines)}")
    return BusinessAddress(
        name=check_text("sender_address.name", address.name, 200),
        lines=tuple(check_text(f"sender_address.lines.{n}", one, 200) for n, one in enumerate(address.lines)),
        city=check_text("sender_address.city", address.city, 100),
        postcode=check_text("sender_address.postcode", address.postcode, 20),
        country=check_shape("sender_address.country", address.country, "country"),
    )


# --- evolve ----------------------------------------------------------------------------------------


def evolve(state: ShopSettingsState | None, event: Event) -> ShopSettingsState:
    """The settings after the event."""
    state = state or ShopSettingsState()
    match event:
        case ShopSettingsChanged():
            chosen = Changes(**(state.chosen.items() | event.changes.items()))
            return ShopSettingsState(chosen=chosen, changes=state.changes + 1, at=event.at)
        case _:
            raise TypeError(f"the settings do not know {type(event).__name__}")


SHOP_SETTINGS: Final = Aggregate(
    name="ShopSettings",
    log="ordering",
    state=ShopSettingsState,
    events=(ShopSettingsChanged,),
    decide=decide,
    evolve=evolve,
)
