"""What is thrown away in time: by one process a day, again by another where one failed, and never too early."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from emporium.application.housekeeping import Chore, Housekeeping
from emporium.application.ports import Idempotency, IdempotencyReplay
from emporium.infra.eventstore import EventStore
from tests.integration.eventstore.things import unit


async def test_old_answers_are_forgotten_and_younger_ones_are_not(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    for key in ("old", "young"):
        await log.append(unit(uuid4(), 1, idempotency=Idempotency("caller", key, b"hash", b"answer")))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(
            "UPDATE alpha_idempotency SET created_at = now() - interval '8 days' WHERE key = 'old'"
        )
    assert await log.forget_answers(timedelta(days=7)) == 1
    assert await log.answered("caller", "old") is None
    assert await log.answered("caller", "young") is not None
    await log.append(unit(uuid4(), 1, idempotency=Idempotency("caller", "old", b"other", b"new")))
    with pytest.raises(IdempotencyReplay):
        await log.append(unit(uuid4(), 1, idempotency=Idempotency("caller", "young", b"hash", b"answer")))


class Work:
    """Counts its rounds; the first so many fail."""

    def __init__(self, failures: int = 0) -> None:
        self.rounds = 0
        self.failures = failures

    async def __call__(self) -> int:
        self.rounds += 1
        await asyncio.sleep(0)
        if self.rounds <= self.failures:
            raise OSError("not now")
        return 1


async def looked(*houses: Housekeeping) -> None:
    """Each looks once, at the same time."""
    await asyncio.gather(*(house.look() for house in houses))


async def test_a_chore_is_done_once_a_day_by_whoever_comes_first(store: EventStore) -> None:
    work = Work()
    chores = [Chore("tidy", store["alpha"].leases, work)]
    await looked(*(Housekeeping(chores, name) for name in ("one", "two")))
    await looked(*(Housekeeping(chores, name) for name in ("one", "two")))
    assert work.rounds == 1


async def test_a_chore_is_done_again_when_its_day_is_over(store: EventStore) -> None:
    work = Work()
    chores = [Chore("tidy", store["alpha"].leases, work)]
    house = Housekeeping(chores, "one", every=0.05)
    async with asyncio.timeout(10):
        while work.rounds < 2:
            await looked(house)


async def test_a_chore_that_failed_is_not_put_off_for_a_day(store: EventStore) -> None:
    work, other = Work(failures=1), Work()
    chores = [Chore("tidy", store["alpha"].leases, work), Chore("sweep", store["alpha"].leases, other)]
    await looked(Housekeeping(chores, "one"))
    await looked(Housekeeping(chores, "two"))
    assert (work.rounds, other.rounds) == (2, 1)
