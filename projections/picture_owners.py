"""Whose pictures are: who has uploaded a picture or shows it in a review, so that its file goes when nobody has it.

It is no read model: nothing of it is an event, for a path and a person are told of together.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from emporium.projections.model import Connection

__all__ = ["MIGRATION", "SHOP", "held", "let_go", "note", "of", "unused"]

MIGRATION: Final = """
CREATE TABLE emporium_picture_owners (
    path text NOT NULL,
    owner uuid NOT NULL,
    used boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (path, owner)
);
CREATE INDEX emporium_picture_owners_owner ON emporium_picture_owners (owner);
CREATE INDEX emporium_picture_owners_unused ON emporium_picture_owners (at) WHERE NOT used;
"""

SHOP: Final = UUID(int=0)
"""The owner of what staff upload."""

# Who takes a path and who lets it go come one after the other.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0x70696374))"

_SHOWN: Final = """
SELECT EXISTS (SELECT FROM emporium_picture_owners WHERE path = %(path)s)
    OR EXISTS (SELECT FROM rm_catalog_pages.products t, json_array_elements(t.state -> 'images') i
               WHERE i ->> 'url' = %(path)s)
    OR EXISTS (SELECT FROM rm_catalog_pages.pictures p WHERE p.url = %(path)s OR EXISTS (
               SELECT FROM json_array_elements(p.renditions) r WHERE r ->> 'url' = %(path)s))
"""


async def note(connection: Connection, owner: UUID, paths: Sequence[str], *, used: bool) -> None:
    """Notes that somebody has these; from here on their files stay, if they are there. `used`: a review shows them."""
    async with connection.transaction():
        for path in sorted(set(paths)):
            await connection.execute(_LOCK, [path])
            await connection.execute(
                "INSERT INTO emporium_picture_owners AS o (path, owner, used) VALUES (%s, %s, %s)"
                " ON CONFLICT (path, owner) DO UPDATE SET used = o.used OR excluded.used, at = now()",
                [path, owner, used],
            )


async def held(connection: Connection, owner: UUID) -> list[str]:
    """The paths that somebody has."""
    return [path for path, _ in await of(connection, [owner])]


async def of(connection: Connection, owners: Sequence[UUID]) -> list[tuple[str, UUID]]:
    """The paths that these have, each with its owner."""
    found = await connection.execute(
        "SELECT path, owner FROM emporium_picture_owners WHERE owner = ANY(%s) ORDER BY 1, 2", [list(owners)]
    )
    return await found.fetchall()


async def unused(connection: Connection, before: datetime, most: int) -> list[tuple[str, UUID]]:
    """What customers uploaded before a moment for a review that has never come."""
    found = await connection.execute(
        "SELECT path, owner FROM emporium_picture_owners WHERE NOT used AND at < %s AND owner <> %s"
        " ORDER BY at LIMIT %s",
        [before, SHOP, most],
    )
    return await found.fetchall()


async def let_go(connection: Connection, path: str, owner: UUID, delete: Callable[[str], Awaitable[None]]) -> None:
    """Somebody has the picture no more; its file goes with the last one who had it. Raises what `delete` raises: then
    it is still theirs."""
    async with connection.transaction():
        await connection.execute(_LOCK, [path])
        await connection.execute("DELETE FROM emporium_picture_owners WHERE path = %s AND owner = %s", [path, owner])
        found = await connection.execute(_SHOWN, {"path": path})
        row = await found.fetchone()
        if row is not None and not row[0]:
            await delete(path)
