"""Which events `emporium events show` chooses, and how an event is shown."""

from uuid import UUID, uuid4

import pytest

from emporium.application.ports import Meta, NewEvent, Unit
from emporium.domain.base import Event, Sealed
from emporium.domain.customer import CustomerErased, CustomerRegistered
from emporium.scripts.events import facts, line, select
from tests.support.memory import ManualClock, MemoryLog

NOW = ManualClock().now()


def registered(customer: UUID) -> CustomerRegistered:
    box = Sealed(customer, "CustomerRegistered", b"anna@shop.example")
    return CustomerRegistered(customer_id=customer, email=box, roles=("customer",), at=NOW)


@pytest.fixture
async def log() -> MemoryLog:
    """Five customers, the even ones erased again: events 1 … 8 of streams that their number names."""
    log = MemoryLog("accounts")
    for number in range(5):
        customer = UUID(int=number)
        events: list[Event] = [registered(customer)]
        if number % 2 == 0:
            events.append(CustomerErased(customer_id=customer, reason="asked"))
        for version, event in enumerate(events, 1):
            meta = Meta(str(customer), "request:1", "staff:1", "req-1")
            await log.append(Unit(events=[NewEvent(uuid4(), customer, version, event, NOW, meta)]))
    return log


@pytest.mark.parametrize(
    ("after", "limit", "stream", "correlation", "kind", "positions"),
    [
        (0, 100, None, None, None, [1, 2, 3, 4, 5, 6, 7, 8]),
        (2, 3, None, None, None, [3, 4, 5]),
        (0, 2, None, None, "CustomerErased", [2, 5]),
        (5, 2, None, None, "CustomerErased", [8]),
        (0, 100, UUID(int=2), None, None, [4, 5]),
        (0, 1, UUID(int=2), None, None, [4]),
        (4, 100, UUID(int=2), None, None, [5]),
        (0, 100, None, str(UUID(int=4)), None, [7, 8]),
        (0, 100, None, str(UUID(int=4)), "CustomerErased", [8]),
        (0, 100, UUID(int=2), str(UUID(int=4)), None, []),
        (0, 100, UUID(int=9), None, None, []),
        (8, 100, None, None, None, []),
    ],
)
async def test_what_is_chosen(
    log: MemoryLog,
    after: int,
    limit: int,
    stream: UUID | None,
    correlation: str | None,
    kind: str | None,
    positions: list[int],
) -> None:
    found = await select(log, after, limit, stream, correlation, kind)  # type: ignore[arg-type]
    assert [one.position for one in found] == positions


async def test_nothing_personal_is_shown(log: MemoryLog) -> None:
    [one] = await select(log, 0, 1, None, None, None)  # type: ignore[arg-type]
    for shown in (line(one), str(facts(one))):
        assert "[sealed]" in shown
        assert "anna" not in shown


async def test_programs_get_all_that_is_known_of_an_event(log: MemoryLog) -> None:
    [one] = await select(log, 1, 1, None, None, None)  # type: ignore[arg-type]
    assert facts(one) == {
        "log": "accounts",
        "position": 2,
        "stream": UUID(int=0),
        "version": 2,
        "event": "CustomerErased",
        "id": one.id,
        "at": NOW,
        "actor": "staff:1",
        "causation": "request:1",
        "correlation": str(UUID(int=0)),
        "request": "req-1",
        "schema": 1,
        "data": {"customer_id": str(UUID(int=0)), "reason": "asked"},
    }
