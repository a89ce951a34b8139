"""Remembers in a table that the catalogue was filled."""

import psycopg

from emporium.infra.settings import Settings


def run(settings: Settings) -> int:
    with psycopg.connect(str(settings.database_url)) as connection:
        return 60 * connection.execute("INSERT INTO known VALUES ('goods') ON CONFLICT DO NOTHING").rowcount
