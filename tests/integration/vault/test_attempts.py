"""Failed attempts delay the next ones, of an address and of a source, and keep nobody out who was there before."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from emporium.infra.attempts import Attempts
from emporium.infra.eventstore.database import Database

ADA, BOB = b"ada", b"bob"
HOME, CAFE, FARM = b"home", b"cafe", b"farm"


@pytest.fixture
async def attempts(dsn: str) -> AsyncIterator[Attempts]:
    database = Database(dsn, pool=8, patience=5.0)
    await database.open()
    yield Attempts(database)
    await database.close()


def of(address: bytes, source: bytes) -> tuple[bytes, bytes, bytes]:
    return b"a" + address, b"s" + source, b"p" + address + source


async def waits(attempts: Attempts, address: bytes, source: bytes, count: int) -> list[bool]:
    """Which of so many failing attempts have to wait."""
    return [await attempts.begin(*of(address, source)) > 0 for _ in range(count)]


async def aged(sql: psycopg.AsyncConnection[Any], interval: str) -> None:
    """So much time goes by."""
    await sql.execute(
        "UPDATE emporium_attempts SET failed_at = failed_at - %(i)s::interval, until = until - %(i)s::interval,"
        " trusted_until = trusted_until - %(i)s::interval",
        {"i": interval},
    )


async def test_the_sixth_failure_waits_and_each_further_one_longer(
    attempts: Attempts, sql: psycopg.AsyncConnection[Any]
) -> None:
    assert await waits(attempts, ADA, HOME, 7) == [False] * 6 + [True]
    delays = []
    for _ in range(9):
        await aged(sql, "2 minutes")
        assert await attempts.begin(*of(ADA, HOME)) == 0
        delays.append(math.ceil(await attempts.begin(*of(ADA, HOME))))
    assert delays == [2, 4, 8, 16, 32, 60, 60, 60, 60], "a minute is the most"


async def test_many_at_once_do_not_pass_together(attempts: Attempts) -> None:
    found = await asyncio.gather(*(attempts.begin(*of(ADA, HOME)) for _ in range(40)))
    assert sum(one == 0 for one in found) == 6


async def test_failing_in_somebodys_name_from_elsewhere_does_not_keep_them_out(attempts: Attempts) -> None:
    assert await attempts.begin(*of(ADA, HOME)) == 0
    await attempts.succeeded(*of(ADA, HOME))
    assert (await waits(attempts, ADA, FARM, 8))[-1]
    assert await attempts.begin(*of(ADA, CAFE)) > 0, "an unknown place waits"
    assert await attempts.begin(*of(ADA, HOME)) == 0, "a known one does not"
    assert (await waits(attempts, ADA, HOME, 8))[-1], "but for its own failures it does"


async def test_one_source_is_delayed_for_all_addresses(attempts: Attempts) -> None:
    for number in range(21):
        assert await attempts.begin(*of(b"victim%d" % number, FARM)) == 0
    assert await attempts.begin(*of(BOB, FARM)) > 0
    assert await attempts.begin(*of(BOB, HOME)) == 0


async def test_a_success_forgives_the_address_but_not_the_source(attempts: Attempts) -> None:
    for number in range(19):
        assert await attempts.begin(*of(b"victim%d" % number, FARM)) == 0
    for _ in range(2):
        assert await attempts.begin(*of(b"own", FARM)) == 0
        await attempts.succeeded(*of(b"own", FARM))
    assert (await waits(attempts, BOB, FARM, 3))[-1], "an account of one's own buys no more guesses"


async def test_a_day_without_failures_forgives_and_is_forgotten(
    attempts: Attempts, sql: psycopg.AsyncConnection[Any]
) -> None:
    assert (await waits(attempts, ADA, HOME, 8))[-1]
    await attempts.begin(*of(BOB, CAFE))
    await attempts.succeeded(*of(BOB, CAFE))
    await aged(sql, "25 hours")
    assert await waits(attempts, ADA, HOME, 6) == [False] * 6
    await aged(sql, "25 hours")
    assert await attempts.purge() == 5
    await aged(sql, "91 days")
    assert await attempts.purge() == 1, "what is trusted is kept while it is"
