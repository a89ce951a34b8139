"""Allowances that all gateway processes share: token buckets in the database, drawn from in handfuls."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from emporium.infra.eventstore.database import Connection, Database

__all__ = ["MIGRATIONS", "Drawn", "SharedRates"]

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    -- The generic cell rate algorithm: `tat` is when the bucket would be full again. What a crash of the
    -- database loses is worth nothing after it, so nothing here is logged or waited for.
    CREATE UNLOGGED TABLE emporium_rates (key bytea PRIMARY KEY, tat timestamptz NOT NULL) WITH (fillfactor = 50);

    -- For each key: how many of the wanted tokens there are, how many are left then, and the seconds until
    -- there is one again.
    CREATE FUNCTION emporium_draw(p_keys bytea[], p_wants bigint[], p_amounts bigint[], p_seconds float8[])
    RETURNS TABLE (number bigint, granted bigint, remaining bigint, wait float8)
    LANGUAGE plpgsql AS $body$
    #variable_conflict use_column
    DECLARE
        one record;
        moment timestamptz := clock_timestamp();
        due timestamptz;
        free float8;
    BEGIN
        -- In order of the keys, so that nobody waits in a circle.
        FOR one IN SELECT * FROM unnest(p_keys, p_wants, p_amounts, p_seconds) WITH ORDINALITY
            AS x (key, want, amount, seconds, place) ORDER BY x.key
        LOOP
            INSERT INTO emporium_rates (key, tat) VALUES (one.key, moment) ON CONFLICT (key) DO NOTHING;
            SELECT greatest(r.tat, moment) INTO due FROM emporium_rates r WHERE r.key = one.key FOR UPDATE;
            free := (one.seconds - extract(epoch FROM due - moment)) * one.amount / one.seconds;
            number := one.place;
            granted := greatest(0, least(one.want, floor(free + 1e-6)));
            remaining := greatest(0, floor(free + 1e-6) - granted);
            wait := CASE WHEN granted > 0 THEN 0 ELSE (1 - free) * one.seconds / one.amount END;
            IF granted > 0 THEN
                UPDATE emporium_rates SET tat = due + make_interval(secs => granted * one.seconds / one.amount)
                WHERE key = one.key;
            END IF;
            RETURN NEXT;
        END LOOP;
    END $body$;
    """,
)

_DRAW: Final = "SELECT number, granted, remaining, wait FROM emporium_draw(%b, %b, %b, %b) ORDER BY number"
_FORGET: Final = """
WITH gone AS (DELETE FROM emporium_rates WHERE tat < now() - interval '1 minute' RETURNING 1) SELECT count(*) FROM gone
"""


class Drawn(msgspec.Struct, frozen=True):
    """Tokens that a process may spend.

    Attributes:
        granted: how many; 0 where the bucket is empty.
        remaining: what is left in the bucket for others.
        wait: seconds until there is a token again, where none was granted.
    """

    granted: int
    remaining: int
    wait: float


class SharedRates:
    """The buckets. Draws that wait for each other go in one statement.

    Args:
        database: where they are; its loss raises Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[bytes, int, int, float, asyncio.Future[Drawn]]] = []
        self._drawing: asyncio.Task[None] | None = None

    async def draw(self, key: bytes, want: int, amount: int, seconds: float) -> Drawn:
        """Draws up to `want` tokens from a bucket that holds `amount` and fills up within `seconds`."""
        future: asyncio.Future[Drawn] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, want, amount, seconds, future))
        if self._drawing is None:
            self._drawing = asyncio.create_task(self._draw())
        return await future

    async def forget(self) -> int:
        """Drops the buckets that are full, which are as good as new ones; how many."""
        return int((await self._database.query(_FORGET, []))[0][0])

    async def _draw(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                try:
                    rows = await self._database.run(lambda connection, asked=asked: _ask(connection, asked))  # type: ignore[misc]
                except Exception as error:
                    for *_, future in asked:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (*_, future), (_, granted, remaining, wait) in zip(asked, rows, strict=True):
                    if not future.done():
                        future.set_result(Drawn(granted, remaining, wait))
        finally:
            self._drawing = None


async def _ask(
    connection: Connection, asked: Sequence[tuple[bytes, int, int, float, asyncio.Future[Drawn]]]
) -> list[tuple[int, int, int, float]]:
    keys, wants, amounts, seconds = ([one[part] for one in asked] for part in range(4))
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = off")
        cursor = await connection.execute(_DRAW, [keys, wants, amounts, seconds])
        return [(int(n), int(granted), int(left), float(wait)) for n, granted, left, wait in await cursor.fetchall()]
