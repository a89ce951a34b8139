"""Leases: who leads a follower, by the database's clock, with an epoch under which a deposed leader cannot write."""

from emporium.infra.eventstore.database import Database
from emporium.infra.eventstore.units import tracking_name

__all__ = ["Leases"]


class Leases:
    """The leases of one log's followers, and the epochs in its tracking rows.

    Args:
        database: where the log is.
        log: whose tracking rows are guarded.
    """

    def __init__(self, database: Database, log: str) -> None:
        self._database = database
        self._log = log
        # One transaction: an append of the old leader that is under way is waited for at its tracking row, so
        # that what the new leader reads afterwards is where the old one really stopped.
        self._acquire = f"""
            WITH lease AS (
                INSERT INTO emporium_leases AS l (name, owner, epoch, expires_at)
                VALUES (%b, %b, 1, clock_timestamp() + %b * interval '1 second')
                ON CONFLICT (name) DO UPDATE
                    SET owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at
                    WHERE l.owner IS NULL OR l.owner = excluded.owner OR l.expires_at < clock_timestamp() OR %b
                RETURNING epoch
            ), deposed AS (
                UPDATE public.{log}_tracking t SET epoch = lease.epoch FROM lease
                WHERE starts_with(t.application_name, %b)
            )
            SELECT epoch FROM lease
        """

    async def acquire(self, name: str, owner: str, ttl: float, *, force: bool = False) -> int | None:
        """See the port. An owner that asks again gets a new epoch too. Raises Unavailable."""
        rows = await self._database.query(
            self._acquire, [self._key(name), owner, float(ttl), force, tracking_name(name, "")]
        )
        return rows[0][0] if rows else None

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> bool:
        """See the port. Raises Unavailable."""
        rows = await self._database.query(
            "UPDATE emporium_leases SET expires_at = clock_timestamp() + %b * interval '1 second'"
            " WHERE name = %b AND owner = %b AND epoch = %b RETURNING epoch",
            [float(ttl), self._key(name), owner, epoch],
        )
        return bool(rows)

    async def release(self, name: str, owner: str, epoch: int) -> None:
        """See the port. Raises Unavailable."""
        await self._database.query(
            "UPDATE emporium_leases SET owner = NULL, expires_at = clock_timestamp()"
            " WHERE name = %b AND owner = %b AND epoch = %b RETURNING epoch",
            [self._key(name), owner, epoch],
        )

    def _key(self, name: str) -> str:
        return f"{self._log}/{name}"
