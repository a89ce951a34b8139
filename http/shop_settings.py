"""/api/v1/admin/settings: how the shop sells, for its administrators; and who changed what and when."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, get, patch
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from emporium.domain.base import MAX_AMOUNT, MAX_QUANTITY
from emporium.domain.shop_settings import (
    MAX_DAYS,
    MAX_GRAMS,
    MAX_METHODS,
    MAX_RATES,
    MAX_TAXES,
    MAX_ZONES,
    SHOP_SETTINGS,
    BusinessAddress,
    Changes,
    ChangeShopSettings,
    ShippingZone,
    ShopSettings,
    ShopSettingsChanged,
    TaxRate,
    in_force,
    shop_settings_id,
)
from emporium.http.auth import staff
from emporium.http.bodies import Body, Code, Country, Currency, Language, Line
from emporium.http.caching import tagged
from emporium.http.consistency import token_after
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections.paging import decode_cursor, page_of

__all__ = ["ShopSettingsController"]

Place = Annotated[str, Meta(pattern=r"^([A-Z]{2}|\*)$", description="ISO 3166 alpha-2, or `*`.", examples=["GB"])]
Percent = Annotated[str, Meta(pattern=r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$", examples=["20", "5.5"])]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, description="Minor units.")]
Grams = Annotated[int, Meta(ge=0, le=MAX_GRAMS, description="Grams.")]
Days = Annotated[int, Meta(ge=0, le=MAX_DAYS, description="Working days.")]
Version = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]

_MAIL_ADDRESS: Final = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"
"""One that stands in the header of a mail as it is."""


class Tax(Body, frozen=True, kw_only=True):
    """A rate in percent. `standard` is for what has no category of its own in a country; `shipping` for shipping."""

    country: Place
    category: Code = "standard"
    rate: Percent


class Rate(Body, frozen=True, kw_only=True):
    """What a method costs for goods of some value (less their discount) and weight; no bound where it is null."""

    currency: Currency
    price: Amount
    from_value: Amount = 0
    below_value: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)] | None = None
    from_weight: Grams = 0
    below_weight: Annotated[int, Meta(ge=1, le=MAX_GRAMS)] | None = None


class Method(Body, frozen=True, kw_only=True):
    """A way to get parcels; of its rates the first that fits holds, without one it is not offered.

    `service` is what labels are bought for it, as EasyPost names them: `RoyalMail/24`, or only `RoyalMail` for its
    cheapest; the cheapest of all carriers where it is null.
    """

    code: Code
    name: Name
    min_days: Days
    max_days: Days
    rates: Annotated[list[Rate], Meta(min_length=1, max_length=MAX_RATES)]
    service: Name | None = None


class Zone(Body, frozen=True, kw_only=True):
    """Countries that are served alike; `*` stands for all that no zone names."""

    code: Code
    name: Name
    countries: Annotated[list[Place], Meta(min_length=1, max_length=300)]
    methods: Annotated[list[Method], Meta(min_length=1, max_length=MAX_METHODS)]


class SenderAddress(Body, frozen=True, kw_only=True):
    """Where the shop is."""

    name: Line
    lines: Annotated[list[Line], Meta(min_length=1, max_length=4)]
    city: Line
    postcode: Annotated[str, Meta(min_length=1, max_length=20)]
    country: Country


class ChangeSettings(Body, frozen=True, kw_only=True):
    """New values of some settings; what is left out stays as it is. Lists are replaced as a whole."""

    legal_name: Line | UnsetType = UNSET
    vat_id: Annotated[str, Meta(min_length=1, max_length=32)] | UnsetType | None = UNSET
    sender_name: Name | UnsetType = UNSET
    sender_email: Annotated[str, Meta(pattern=_MAIL_ADDRESS, max_length=254)] | UnsetType = UNSET
    sender_address: SenderAddress | UnsetType | None = UNSET
    currencies: Annotated[list[Currency], Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    languages: Annotated[list[Language], Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    prices_include_tax: bool | UnsetType = UNSET
    taxes: Annotated[list[Tax], Meta(max_length=MAX_TAXES)] | UnsetType = UNSET
    zones: Annotated[list[Zone], Meta(max_length=MAX_ZONES)] | UnsetType = UNSET
    max_units: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    max_items: Annotated[int, Meta(ge=1, le=200)] | UnsetType = UNSET
    cart_days: Annotated[float, Meta(ge=0.001, le=3_650)] | UnsetType = UNSET
    cart_left_hours: Annotated[float, Meta(ge=0, le=720, description="0: never.")] | UnsetType = UNSET
    review_days: Annotated[float, Meta(ge=0, le=365)] | UnsetType = UNSET
    payment_seconds: Annotated[float, Meta(ge=1, le=86_400)] | UnsetType = UNSET
    quote_minutes: Annotated[float, Meta(ge=1, le=10_080)] | UnsetType = UNSET
    low_stock_mark: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)] | UnsetType | None = UNSET
    terms_version: Annotated[str, Meta(min_length=1, max_length=40)] | UnsetType = UNSET
    views_need_consent: (
        Annotated[bool, Meta(description="Remember what customers look at only where they have agreed to it.")]
        | UnsetType
    ) = UNSET


class SettingsView(msgspec.Struct, frozen=True, kw_only=True):
    """All settings as they hold. `changes` counts how often staff changed something; 0: all are the defaults."""

    legal_name: str
    vat_id: str | None
    sender_name: str
    sender_email: str
    sender_address: BusinessAddress | None
    currencies: tuple[str, ...]
    languages: tuple[str, ...]
    prices_include_tax: bool
    taxes: tuple[TaxRate, ...]
    zones: tuple[ShippingZone, ...]
    max_units: int
    max_items: int
    cart_days: float
    cart_left_hours: float
    review_days: float
    payment_seconds: float
    quote_minutes: float
    low_stock_mark: int | None
    terms_version: str
    views_need_consent: bool
    changes: int
    changed_at: datetime | None


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody set, with the new values by name."""

    number: int
    at: datetime
    actor: str
    changes: dict[str, Any]


class ShopSettingsController(Controller):
    """The shop's settings."""

    path = "/admin/settings"
    tags = ["settings"]
    guards = [staff()]

    @get("/", opt={"tagged": True})
    async def show(self, request: Request) -> Reply[SettingsView]:
        """The settings as they hold now."""
        return tagged(request, await _settings(request))

    @patch("/")
    async def change(self, request: Request, data: JSONBody[ChangeSettings]) -> Reply[SettingsView]:
        """Sets some of the settings. They hold from the next request on, in every process."""
        session = await request.customer()
        shop = request.services.shop
        changes = msgspec.convert(msgspec.to_builtins(data), Changes)
        command = ChangeShopSettings(changes=changes, at=shop.clock.now())
        committed = await shop.execute(command, request.cause(actor_of(session), shop_settings_id()))
        headers = []
        if committed.position:
            headers.append((b"consistency-token", token_after(request, "ordering", committed.position)))
        return Reply.of(await _settings(request), 200, headers)

    @get("/history", opt={"tagged": True})
    async def history(
        self, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> Reply[Listing[SettingsChange]]:
        """Who changed what and when, the oldest first."""
        after = 0 if cursor is None else decode_cursor(cursor, tuple[Version])[0]
        log = request.services.shop.logs["ordering"]
        found = []
        for one in await log.stream(shop_settings_id(), after=after, limit=limit + 1):
            assert isinstance(one.event, ShopSettingsChanged)
            found.append(
                SettingsChange(
                    number=one.version,
                    at=one.at,
                    actor=one.meta.actor,
                    changes=msgspec.to_builtins(one.event.changes),
                )
            )
        return tagged(request, listing(request, page_of(found, limit, lambda row: (row.number,)), lambda row: row))


async def _settings(request: Request) -> SettingsView:
    shop = request.services.shop
    state, _ = await shop.logs["ordering"].load(SHOP_SETTINGS, shop_settings_id(), fresh=True)
    now: ShopSettings = in_force(state, shop.terms.defaults)
    return SettingsView(
        **{name: getattr(now, name) for name in now.__struct_fields__},
        changes=0 if state is None else state.changes,
        changed_at=None if state is None else state.at,
    )
