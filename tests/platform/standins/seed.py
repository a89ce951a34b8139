"""Remembers in a table that the catalogue was filled."""

import msgspec
import psycopg

from emporium.infra.settings import Settings


class Seeded(msgspec.Struct):
    products: int
    year: bool = False


def run(settings: Settings) -> Seeded:
    with psycopg.connect(str(settings.database_url)) as connection:
        return Seeded(60 * connection.execute("INSERT INTO known VALUES ('goods') ON CONFLICT DO NOTHING").rowcount)
