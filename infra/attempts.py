"""How long to wait before the next attempt to log in: longer with every failure, never for good.

Failures count against the address, against where they come from, and against both together; the delay after the
free ones doubles up to a minute. Whoever has once succeeded from a place waits there only for failures of their own,
so that nobody can keep a customer out by failing in their name.
"""

from datetime import timedelta
from typing import Final

from emporium.infra.eventstore.database import Database

__all__ = ["Attempts"]

TRUSTED: Final = timedelta(days=90)

_ATTEMPT: Final = "SELECT emporium_attempt(%s, %s, %s)"
_FORGIVE: Final = """
WITH forgiven AS (
    UPDATE emporium_attempts SET failures = 0, until = now() WHERE key = %s RETURNING 1
), own AS (
    UPDATE emporium_attempts SET failures = greatest(failures - 1, 0), until = now() WHERE key = %s RETURNING 1
)
INSERT INTO emporium_attempts AS a (key, failures, failed_at, until, trusted_until)
VALUES (%s, 0, now(), now(), now() + %s::interval)
ON CONFLICT (key) DO UPDATE SET failures = 0, until = excluded.until, trusted_until = excluded.trusted_until
RETURNING 1
"""
_PURGE: Final = """
DELETE FROM emporium_attempts
WHERE failed_at < now() - interval '1 day' AND coalesce(trusted_until < now(), true) RETURNING 1
"""


class Attempts:
    """Counts attempts by keyed hashes: of the address, of the source, and of both together.

    Args:
        database: where the sessions lie.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, address: bytes, source: bytes, pair: bytes) -> float:
        """Counts an attempt as failed until `succeeded` says otherwise; or the seconds to wait. Raises Unavailable."""
        [[waits]] = await self._database.query(_ATTEMPT, [address, source, pair])
        return float(waits)

    async def succeeded(self, address: bytes, source: bytes, pair: bytes) -> None:
        """The attempt was right: the address is forgiven, this place is trusted. Raises Unavailable."""
        await self._database.query(_FORGIVE, [address, source, pair, TRUSTED])

    async def purge(self) -> int:
        """Forgets what does not matter any more; how many. Raises Unavailable."""
        return len(await self._database.query(_PURGE, []))
