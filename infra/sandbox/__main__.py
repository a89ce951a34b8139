"""The sandbox as a program: `python -m emporium.infra.sandbox --port 9100 --data sandbox.sqlite`."""

import argparse
import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

import uvloop

from .book import Book, BookInUse
from .server import Sandbox
from .telling import Teller

__all__ = ["main"]


def main() -> int:
    """Runs until SIGTERM or SIGINT; 0, or 1 with a sentence where it cannot start."""
    parser = argparse.ArgumentParser(prog="emporium.infra.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    parser.add_argument("--port", type=int, required=True, help="0 lets the system pick one")
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file; made where it is missing")
    parser.add_argument("--latency-ms", type=float, default=5.0, help="least time from a call to its answer (5)")
    parser.add_argument("--delivery-seconds", type=float, default=5.0, help="how long a parcel travels (5)")
    parser.add_argument("--webhook-url", help="who is told what changes after its answer, http://host:port/path")
    parser.add_argument("--webhook-secret", default="", help="what signs that")
    options = parser.parse_args()
    teller = Teller(options.webhook_url, options.webhook_secret) if options.webhook_url else None
    try:
        book = Book(options.data, options.delivery_seconds)
    except (BookInUse, sqlite3.Error) as error:
        print(f"The sandbox cannot use its file {options.data}: {error}.", file=sys.stderr)
        return 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(book, options.host, options.port, options.latency_ms / 1000, teller))
    except OSError as error:
        print(f"The sandbox cannot listen on {options.host}:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    finally:
        book.close()
    return 0


async def _serve(book: Book, host: str, port: int, latency: float, teller: Teller | None) -> None:
    sandbox = Sandbox(book, latency, teller)
    try:
        bound = await sandbox.listen(host, port)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"sandbox listening on http://{host}:{bound}", flush=True)
        await sandbox.serve(stop)
    finally:
        await sandbox.close()


if __name__ == "__main__":
    sys.exit(main())
