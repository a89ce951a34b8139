"""A gateway that answers 200 while its database does; one that gives up where a file asks for it."""

from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg

from emporium.infra.settings import Settings


def run(settings: Settings) -> int:
    if (settings.data_dir / "broken").exists():
        return 1

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                with psycopg.connect(str(settings.database_url)) as connection:
                    connection.execute("SELECT FROM known")
                self.send_response(200)
            except psycopg.OperationalError:
                self.send_response(503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    HTTPServer((settings.host, settings.port), Handler).serve_forever()
    return 0
