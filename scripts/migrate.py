"""`emporium migrate`: brings the schema of every database to this program's version."""

import asyncio

import msgspec

from emporium.application.bootstrap import migrate_all
from emporium.infra.settings import Settings

__all__ = ["run"]


def run(settings: Settings, *, as_json: bool, quiet: bool) -> int:
    """Applies what is missing and tells it unless `quiet`; 0. Raises SchemaMismatch where a database is newer."""
    applied = asyncio.run(migrate_all(settings))
    if quiet:
        return 0
    if as_json:
        print(msgspec.json.encode([{"component": m.component, "number": m.number} for m in applied]).decode())
    elif applied:
        print("\n".join(f"applied {m.component} {m.number}" for m in applied))
    else:
        print("Everything is up to date.")
    return 0
