"""Remembers in a table that the catalogue was filled."""

import msgspec
import psycopg

from emporium.infra.settings import Settings


class Seeded(msgspec.Struct):
    products: int
    year: bool


def run(settings: Settings) -> Seeded:
    with psycopg.connect(str(settings.database_url)) as connection:
        new = connection.execute("INSERT INTO known VALUES ('goods') ON CONFLICT DO NOTHING").rowcount
    return Seeded(60 * new, settings.demo_orders > 0 and not (settings.data_dir / "year").exists())
