"""Leases: who leads a follower, by the database's clock, with an epoch under which a deposed leader cannot write."""

from collections.abc import Sequence

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
        tracking = f"public.{log}_tracking"
        # In one transaction: an append of the old leader that is under way is waited for at its tracking row,
        # so that what the new leader reads afterwards is where the old one really stopped.
        self._acquire = f"""
            WITH lease AS (
                INSERT INTO emporium_leases AS l (name, owner, epoch, expires_at)
                VALUES (%b, %b, 1, clock_timestamp() + %b * interval '1 second')
                ON CONFLICT (name) DO UPDATE
                    SET owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at
                    WHERE l.owner IS NULL OR l.owner = excluded.owner OR l.expires_at < clock_timestamp()
                RETURNING epoch
            ), named AS (
                INSERT INTO {tracking} AS t (application_name, notification_id, epoch)
                SELECT u, 0, lease.epoch FROM lease, unnest(%b::text[]) AS u
                ON CONFLICT (application_name) DO UPDATE SET epoch = excluded.epoch
            ), others AS (
                UPDATE {tracking} t SET epoch = lease.epoch FROM lease
                WHERE starts_with(t.application_name, %b) AND t.application_name <> ALL (%b::text[])
            )
            SELECT epoch FROM lease
        """

    async def acquire(self, name: str, owner: str, ttl: float, upstreams: Sequence[str] = ()) -> int | None:
        """Takes the lease for `ttl` seconds: its new epoch, or None while another owner holds it.

        Whoever led before cannot move the follower's tracking from here on. The tracking rows of `upstreams`
        exist afterwards (at position 0 where they are new). An owner that asks again gets a new epoch too.

        Raises:
            Unavailable: the database cannot be reached.
        """
        names = [tracking_name(name, upstream) for upstream in upstreams]
        rows = await self._database.query(
            self._acquire, [self._key(name), owner, float(ttl), names, tracking_name(name, ""), names]
        )
        return rows[0][0] if rows else None

    async def renew(self, name: str, epoch: int, ttl: float) -> bool:
        """Holds the lease for another `ttl` seconds; False where it was taken over. Raises Unavailable."""
        rows = await self._database.query(
            "UPDATE emporium_leases SET expires_at = clock_timestamp() + %b * interval '1 second'"
            " WHERE name = %b AND epoch = %b AND owner IS NOT NULL RETURNING epoch",
            [float(ttl), self._key(name), epoch],
        )
        return bool(rows)

    async def release(self, name: str, epoch: int) -> None:
        """Gives the lease back, if it is still this epoch's. Raises Unavailable."""
        await self._database.query(
            "UPDATE emporium_leases SET owner = NULL, expires_at = clock_timestamp()"
            " WHERE name = %b AND epoch = %b RETURNING epoch",
            [self._key(name), epoch],
        )

    def _key(self, name: str) -> str:
        return f"{self._log}/{name}"
