"""What shipping relies on holds of every carrier: the sandbox, and EasyPost by its own SDK."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest
from msgspec.structs import replace

from emporium.application.ports import Address, AddressRefused, Carrier, Label, ProviderDown
from emporium.infra.carrier_easypost import EasyPostCarrier
from emporium.infra.carrier_http import HttpCarrier
from tests.support.easypost import KEY, EasyPost
from tests.support.sandbox import SandboxProcess

HOME = Address("Emporium", ("2 Low Road", "Unit 3"), "Leeds", "LS1 1UR", "GB")
ADDRESS = Address("Ann Example", ("1 High Street", "Flat 2"), "York", "YO1 7HH", "GB")
ITEMS = {"SKU-2": 1, "SKU-1": 3}


class Real(Carrier, Protocol):
    async def aclose(self) -> None: ...


class Counterpart(Protocol):
    """A carrier's other side: its vans, and what it wrote down."""

    faults: Mapping[str, tuple[str, str]]
    """What can go wrong when a label is asked for, by whether it was made nevertheless."""

    def carrier(self) -> Real: ...

    def now(self) -> datetime: ...

    def van(self, label: Label) -> None:
        """People give the parcel to the carrier, where that is for people to do."""
        ...

    def arrive(self, label: Label, fate: str) -> None: ...

    def labels(self) -> int: ...

    def fault(self, operation: str, fault: str) -> None: ...

    async def key_of(self, carrier: Real, label: Label) -> str | None:
        """Our key, by what a webhook names."""
        ...


class Sandboxed:
    faults: Mapping[str, tuple[str, str]] = {
        "timeout_before": ("book", "before"),
        "timeout_after": ("book", "after"),
        "error": ("book", "before"),
        "garbage": ("book", "after"),
    }

    def __init__(self, process: SandboxProcess) -> None:
        self.process = process
        self.ahead = timedelta(0)

    def carrier(self) -> Real:
        return HttpCarrier(self.process.url, timeout=0.5)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def van(self, label: Label) -> None: ...

    def arrive(self, label: Label, fate: str) -> None:
        self.ahead += timedelta(seconds=10)

    def labels(self) -> int:
        return int(self.process.state()["parcels"])

    def fault(self, operation: str, fault: str) -> None:
        self.process.faults(fault, 1, operation)

    async def key_of(self, carrier: Real, label: Label) -> str | None:
        assert isinstance(carrier, HttpCarrier)
        return await carrier.key_of(label.tracking_number)


_PAID = [("buy", "timeout_after"), ("buy", "garbage"), ("buy", "odd")]


class Posted:
    # (The SDK itself repeats a question, which changes nothing, when there is no answer.)
    faults: Mapping[str, tuple[str, str]] = {
        f"{operation} {fault}": (operation, "after" if (operation, fault) in _PAID else "before")
        for operation in ("find", "address", "create", "buy")
        for fault in (
            "timeout_before",
            "timeout_after",
            "error",
            "garbage",
            "odd",
            "limited",
            "locked",
            "drop",
            "missing",
        )
        if operation != "find" or fault not in ("timeout_before", "timeout_after", "drop", "missing")
    }

    def __init__(self, server: EasyPost) -> None:
        self.server = server

    def carrier(self) -> Real:
        async def sender() -> Address:
            return HOME

        async def weigh(skus: Sequence[str]) -> Mapping[str, int]:
            return {"SKU-1": 100, "SKU-2": 0}

        return EasyPostCarrier(KEY, sender=sender, weigh=weigh, base=self.server.url, timeout=1)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def van(self, label: Label) -> None:
        self.server.scan(label.tracking_number, "in_transit")

    def arrive(self, label: Label, fate: str) -> None:
        status = {"lost": "failure", "returned": "return_to_sender"}.get(fate, fate)
        self.server.scan(label.tracking_number, status, fate)

    def labels(self) -> int:
        return len(self.server.bought)

    def fault(self, operation: str, fault: str) -> None:
        self.server.faults.append((operation, fault.rpartition(" ")[2]))

    async def key_of(self, carrier: Real, label: Label) -> str | None:
        assert isinstance(carrier, EasyPostCarrier)
        return await carrier.key_of(str(self.server.trackers[label.tracking_number]["shipment_id"]))


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Counterpart]:
    if kind == "sandbox":
        with SandboxProcess(folder / "sandbox.sqlite") as process:
            yield Sandboxed(process)
    else:
        with EasyPost().serving() as server:
            yield Posted(server)


@pytest.fixture(scope="module", params=["sandbox", "easypost"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counterpart]:
    with started(request.param, tmp_path_factory.mktemp("carrier")) as counterpart:
        yield counterpart


@pytest.fixture
async def carrier(other: Counterpart) -> AsyncIterator[Real]:
    carrier = other.carrier()
    yield carrier
    await carrier.aclose()


async def book(carrier: Carrier, address: Address = ADDRESS, key: str | None = None) -> Label:
    return await carrier.book(key or f"parcel-{uuid4()}-1", uuid4(), 1, address, ITEMS)


async def test_a_label_says_who_carries_it_and_where_it_can_be_followed(carrier: Real) -> None:
    label = await book(carrier)
    assert label.carrier
    assert label.tracking_number in label.tracking_url
    assert label.tracking_url.startswith("https://")


async def test_a_key_has_one_label_and_another_key_another(other: Counterpart, carrier: Real) -> None:
    before, order, key = other.labels(), uuid4(), f"parcel-{uuid4()}-1"
    twice = [await carrier.book(key, order, 1, ADDRESS, ITEMS) for _ in range(2)]
    assert twice[0] == twice[1]
    assert other.labels() == before + 1
    assert (await book(carrier)).tracking_number != twice[0].tracking_number


async def test_a_parcel_travels_and_arrives(other: Counterpart, carrier: Real) -> None:
    label = await book(carrier)
    assert await carrier.status(label.tracking_number, other.now()) == "labelled"
    other.van(label)
    for _ in range(2):
        assert await carrier.hand_over(f"over-{label.tracking_number}", label.tracking_number, other.now()) is True
    assert await carrier.status(label.tracking_number, other.now()) == "in_transit"
    other.arrive(label, "delivered")
    assert await carrier.status(label.tracking_number, other.now()) == "delivered"


@pytest.mark.parametrize("fate", ["lost", "returned"])
async def test_a_parcel_does_not_arrive(other: Counterpart, carrier: Real, fate: str) -> None:
    label = await book(carrier, replace(ADDRESS, name=fate.upper(), region="Yorkshire"))
    other.van(label)
    await carrier.hand_over("over", label.tracking_number, other.now())
    other.arrive(label, fate)
    assert await carrier.status(label.tracking_number, other.now()) == fate


async def test_the_carrier_knows_with_which_key_a_parcel_was_booked(other: Counterpart, carrier: Real) -> None:
    key = f"parcel-{uuid4()}-1"
    label = await book(carrier, key=key)
    assert await other.key_of(carrier, label) == key


async def test_an_unknown_parcel_is_unknown(other: Counterpart, carrier: Real) -> None:
    for number in ("SBX9999999999", "nonsense", "é/?&"):
        assert await carrier.status(number, other.now()) == "unknown"


@pytest.mark.parametrize("field", ["name", "postcode"])
async def test_an_impossible_address_is_refused_and_costs_nothing(
    other: Counterpart, carrier: Real, field: str
) -> None:
    before = other.labels()
    with pytest.raises(AddressRefused) as refusal:
        await book(carrier, replace(ADDRESS, **{field: "REFUSED"}))
    assert other.labels() == before
    for personal in (ADDRESS.name, *ADDRESS.lines, ADDRESS.postcode):
        assert personal not in str(refusal.value)


@pytest.mark.parametrize(
    ("other", "name"),
    [("sandbox", name) for name in Sandboxed.faults] + [("easypost", name) for name in Posted.faults],
    indirect=["other"],
)
async def test_a_call_that_goes_wrong_is_repeated_without_a_second_label(
    other: Counterpart, carrier: Real, name: str
) -> None:
    operation, when = other.faults[name]
    before, order, key = other.labels(), uuid4(), f"parcel-{uuid4()}-1"
    other.fault(operation, name)
    with pytest.raises(ProviderDown) as down:
        await carrier.book(key, order, 1, ADDRESS, ITEMS)
    for personal in (ADDRESS.name, *ADDRESS.lines, ADDRESS.postcode):
        assert personal not in str(down.value)
    assert other.labels() == before + (when == "after")
    label = await carrier.book(key, order, 1, ADDRESS, ITEMS)
    assert other.labels() == before + 1
    assert await carrier.status(label.tracking_number, other.now()) == "labelled"


async def test_many_labels_at_once(carrier: Real) -> None:
    labels = await asyncio.gather(*(book(carrier) for _ in range(20)))
    assert len({one.tracking_number for one in labels}) == 20


async def test_a_question_without_an_answer_in_time_is_no_answer() -> None:
    with EasyPost().serving() as server:
        other = Posted(server)
        carrier = other.carrier()
        server.faults += [("find", "timeout_before")] * 4
        with pytest.raises(ProviderDown):
            await book(carrier)
        assert server.shipments == {}
        await carrier.aclose()


async def test_a_label_that_nobody_uses_is_given_back_once() -> None:
    with EasyPost().serving() as server:
        carrier = Posted(server).carrier()
        used, unused = f"parcel-{uuid4()}-1", f"parcel-{uuid4()}-1"
        label = await book(carrier, key=used)
        await book(carrier, key=unused)
        server.scan(label.tracking_number, "in_transit")
        for key in (unused, unused, used, f"parcel-{uuid4()}-1"):
            await carrier.void(key)
        assert [one["reference"] for one in server.bought if one["refund_status"]] == [unused]
        server.faults.append(("find", "error"))
        with pytest.raises(ProviderDown):
            await carrier.void(unused)
        await carrier.aclose()


async def test_easypost_is_told_the_weight_the_sender_and_the_address() -> None:
    with EasyPost().serving() as server:
        carrier = Posted(server).carrier()
        await book(carrier)
        await carrier.book("parcel-light-1", uuid4(), 1, replace(ADDRESS, region="Yorkshire"), {"SKU-1": 1})
        first, second = server.bought
        # Three units of 100 g, and one whose product does not say what it weighs.
        assert first["parcel"]["weight"] == pytest.approx(800 / 28.35, abs=0.05)
        assert second["parcel"]["weight"] == pytest.approx(100 / 28.35, abs=0.05)
        sent = {name: value for name, value in first["to_address"].items() if name not in ("id", "object")}
        assert sent == {
            "name": "Ann Example", "street1": "1 High Street", "street2": "Flat 2", "city": "York", "zip": "YO1 7HH",
            "country": "GB", "verifications": {"delivery": {"success": True, "errors": [], "details": {}}},
        }  # fmt: skip
        assert second["to_address"]["state"] == "Yorkshire"
        assert (first["from_address"]["name"], first["from_address"]["zip"]) == ("Emporium", "LS1 1UR")
        assert first["options"] == {"label_format": "PDF"}
        assert first["selected_rate"]["rate"] == "4.90"
        await carrier.aclose()


async def test_the_label_is_of_the_service_that_the_shop_has_chosen() -> None:
    with EasyPost().serving() as server:
        carrier = Posted(server).carrier()
        try:
            for service, carried in ((None, "RoyalMail"), ("Swift/Next", "Swift"), ("swift", "Swift")):
                label = await carrier.book(f"parcel-{uuid4()}-1", uuid4(), 1, ADDRESS, ITEMS, service)
                assert label.carrier == carried
            with pytest.raises(AddressRefused, match="no carrier offers Swift/Slow for it"):
                await carrier.book(f"parcel-{uuid4()}-1", uuid4(), 1, ADDRESS, ITEMS, "Swift/Slow")
            assert len(server.bought) == 3
        finally:
            await carrier.aclose()


async def test_what_easypost_refuses_for_other_reasons_is_said_by_its_code() -> None:
    with EasyPost().serving() as server:
        carrier = Posted(server).carrier()
        for name, why in (
            ("NO-RATES", "no carrier takes it, RoyalMail: rate_error"),
            ("BUY-REFUSED", "SHIPMENT.POSTAGE.FAILURE"),
        ):
            with pytest.raises(AddressRefused, match=why):
                await book(carrier, replace(ADDRESS, name=name))
        # What EasyPost does not know of an address may be right for all that.
        assert await book(carrier, replace(ADDRESS, name="NOWHERE-CHECKED"))
        await carrier.aclose()


async def test_nothing_is_sent_while_nobody_has_said_from_where() -> None:
    async def nowhere() -> None:
        return None

    async def weigh(skus: Sequence[str]) -> Mapping[str, int]:
        return {}

    with EasyPost().serving() as server:
        carrier = EasyPostCarrier(KEY, sender=nowhere, weigh=weigh, base=server.url, timeout=1)
        with pytest.raises(ProviderDown, match="sender_address"):
            await book(carrier)
        assert server.shipments == {}
        await carrier.aclose()
