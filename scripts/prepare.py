"""What every start does once before the shop opens: the schema, the first administrator, the demo catalogue."""

import sys
from typing import Any

import msgspec

from emporium.infra.settings import Settings, StartupProblem, load
from emporium.scripts.cli import implementation

__all__ = ["Prepared", "run"]


class Prepared(msgspec.Struct, frozen=True):
    """What was done.

    Attributes:
        admin: e-mail and first password, only where this start made the administrator.
        products: how many demo products this start made.
        year: whether the demo's year is still to be filled.
    """

    admin: tuple[str, str] | None
    products: int
    year: bool = False


def run(settings: Settings) -> Prepared:
    """Migrates, then fills in what a first start finds missing. Repeating it changes nothing."""
    implementation("migrate", "run")(settings, as_json=False, quiet=True)
    admin: Any = implementation("admin", "first")(settings)
    if settings.empty:
        return Prepared(admin, 0)
    seeded: Any = implementation("seed", "run")(settings)
    return Prepared(admin, seeded.products, seeded.year)


def main() -> int:
    """Runs in a process of its own, so that the supervisor stays small; tells what it did on standard output."""
    try:
        prepared = run(load())
    except StartupProblem as problem:
        print(f"{problem.text}\n{problem.remedy}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(prepared).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
