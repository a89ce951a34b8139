"""The carrier of the sandbox, spoken to by the shop's adapter: each documented address, and a parcel's way."""

from uuid import uuid4

import msgspec
import pytest

from emporium.application.ports import Address, AddressRefused, Label, ProviderDown
from emporium.infra.carrier_http import HttpCarrier
from tests.integration.sandbox.conftest import ManualClock
from tests.support.sandbox import SandboxProcess

ADDRESS = Address("Ann Example", ("1 High Street",), "York", "YO1 7HH", "GB")
ORDER = uuid4()


async def book(carrier: HttpCarrier, address: Address = ADDRESS, key: str = "parcel 1") -> Label:
    return await carrier.book(key, ORDER, 1, address, {"SKU-2": 1, "SKU-1": 3})


async def test_a_parcel_travels_by_the_business_clock(carrier: HttpCarrier, clock: ManualClock) -> None:
    label = await book(carrier)
    assert label.tracking_url.endswith(label.tracking_number)
    assert await carrier.status(label.tracking_number, clock.now()) == "labelled"
    await carrier.hand_over("over", label.tracking_number, clock.now())
    assert await carrier.status(label.tracking_number, clock.now()) == "in_transit"
    clock.advance(4.9)
    await carrier.hand_over("over again", label.tracking_number, clock.now())
    assert await carrier.status(label.tracking_number, clock.now()) == "in_transit"
    clock.advance(0.1)
    assert await carrier.status(label.tracking_number, clock.now()) == "delivered"


async def test_a_key_has_one_label(carrier: HttpCarrier, sandbox: SandboxProcess) -> None:
    assert await book(carrier) == await book(carrier)
    assert await book(carrier, key="parcel 2") != await book(carrier)
    assert sandbox.state()["orders"][str(ORDER)]["parcels"] == 2


async def test_a_key_for_another_parcel_is_refused(carrier: HttpCarrier) -> None:
    await book(carrier)
    with pytest.raises(ProviderDown, match="idempotency_conflict"):
        await book(carrier, msgspec.structs.replace(ADDRESS, city="Leeds"))


@pytest.mark.parametrize("field", ["name", "postcode"])
async def test_refused_addresses(carrier: HttpCarrier, sandbox: SandboxProcess, field: str) -> None:
    with pytest.raises(AddressRefused):
        await book(carrier, msgspec.structs.replace(ADDRESS, **{field: "REFUSED"}))
    assert sandbox.state()["parcels"] == 0
    # Once it is corrected, the same key may be used again.
    assert await book(carrier)


async def test_fail_once(carrier: HttpCarrier, sandbox: SandboxProcess) -> None:
    address = msgspec.structs.replace(ADDRESS, name="FAIL-ONCE")
    with pytest.raises(ProviderDown, match="500"):
        await book(carrier, address)
    assert sandbox.state()["parcels"] == 0
    assert await book(carrier, address)


async def test_timeout_after_has_booked(carrier: HttpCarrier, sandbox: SandboxProcess) -> None:
    address = msgspec.structs.replace(ADDRESS, postcode="TIMEOUT-AFTER")
    with pytest.raises(ProviderDown, match="no answer"):
        await book(carrier, address)
    assert sandbox.state()["parcels"] == 1
    assert await book(carrier, address)
    assert sandbox.state()["parcels"] == 1


async def test_lost(carrier: HttpCarrier, clock: ManualClock) -> None:
    label = await book(carrier, msgspec.structs.replace(ADDRESS, postcode="lost"))
    await carrier.hand_over("over", label.tracking_number, clock.now())
    assert await carrier.status(label.tracking_number, clock.now()) == "in_transit"
    clock.advance(5)
    assert await carrier.status(label.tracking_number, clock.now()) == "lost"


@pytest.mark.parametrize("number", ["SBX0000000001", "nonsense", "../v1/charges", "é/?&"])
async def test_unknown_parcels(carrier: HttpCarrier, clock: ManualClock, number: str) -> None:
    assert await carrier.status(number, clock.now()) == "unknown"
    with pytest.raises(ProviderDown, match="404"):
        await carrier.hand_over("over", number, clock.now())


async def test_the_address_is_not_kept(carrier: HttpCarrier, sandbox: SandboxProcess) -> None:
    await book(carrier)
    sandbox.stop()
    kept = b"".join(file.read_bytes() for file in sandbox.data.parent.iterdir())
    assert str(ORDER).encode() in kept
    for text in (ADDRESS.name, ADDRESS.lines[0], ADDRESS.postcode):
        assert text.encode() not in kept
