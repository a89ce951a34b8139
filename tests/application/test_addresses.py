"""Addresses as their countries write them, read from the library's files once."""

from typing import Any

import pytest

from emporium.application import addresses
from emporium.application.addresses import check_address, check_country
from emporium.application.ports import Address
from emporium.domain.base import Rejected

HOME = Address("Ada King", ("12 St James's Square",), "London", "sw1y 4jh", "GB")
BERLIN = Address("Ada King", ("Unter den Linden 1",), "Berlin", "10117", "DE")
HONG_KONG = Address("Ada King", ("1 Queen's Road Central",), "", "", "HK", "Hong Kong Island")
VIEW = Address("Ada King", ("1600 Amphitheatre Pkwy",), "Mountain View", "94043", "US", "california")
PEKING = Address("Ada King", ("1 Jianguomen",), "东城区", "100010", "CN", "北京市")


async def test_an_address_is_tidied_as_its_country_writes_it() -> None:
    assert (await check_address(HOME)).postcode == "SW1Y 4JH"
    assert (await check_address(VIEW)).region == "CA"
    assert (await check_address(HONG_KONG)).city == ""
    assert (await check_address(BERLIN)) == BERLIN
    assert (await check_address(PEKING)).region == "北京市"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"country": "XX"}, ["to.country"]),
        ({"country": "US"}, ["to.postcode", "to.region"]),
        ({"country": "DE", "postcode": "", "city": ""}, ["to.city", "to.postcode"]),
        ({"country": "US", "region": "Bavaria", "postcode": "94043"}, ["to.region"]),
        ({"country": "US", "region": "NY", "postcode": "94043"}, ["to.postcode"]),
        ({"lines": ()}, ["to.lines"]),
    ],
)
async def test_every_field_that_is_wrong_is_named(change: dict[str, Any], fields: list[str]) -> None:
    wrong = {**{name: getattr(HOME, name) for name in HOME.__struct_fields__}, **change}
    with pytest.raises(Rejected) as refused:
        await check_address(Address(**wrong), "to")
    values = refused.value.values
    assert [one["field"] for one in values.get("problems", [values])] == fields


async def test_a_countrys_rules_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[tuple[str, str, str]] = []
    read = addresses._read_rules
    monkeypatch.setattr(addresses, "_known", {})
    monkeypatch.setattr(addresses, "_read_rules", lambda key: reads.append(key) or read(key))
    for _ in range(3):
        await check_address(HOME)
        await check_address(VIEW)
        await check_country("GB", "country")
        with pytest.raises(Rejected):
            await check_country("XX", "country")
    assert reads == [("GB", "", ""), ("US", "", ""), ("US", "CA", ""), ("XX", "", "")]
