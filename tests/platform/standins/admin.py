"""Remembers in a table that the first administrator was made."""

import psycopg

from emporium.infra.settings import Settings


def first(settings: Settings) -> tuple[str, str] | None:
    with psycopg.connect(str(settings.database_url)) as connection:
        made = connection.execute("INSERT INTO known VALUES ('admin') ON CONFLICT DO NOTHING").rowcount
    return (settings.admin_email, "first-password") if made else None
