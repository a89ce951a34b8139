"""Makes one table."""

import psycopg

from emporium.infra.settings import Settings


def run(settings: Settings, *, as_json: bool, quiet: bool = False) -> None:
    with psycopg.connect(str(settings.database_url)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS known (name text PRIMARY KEY)")
