"""The floor of the HTTP measurements: a bare Litestar POST with a msgspec body, or GET, under the same server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from litestar import Litestar, get, post

from emporium.infra.postgres import die_with_parent
from emporium.scripts.processes import answers, free_port

__all__ = ["application", "bare"]


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: int


@post("/items")
async def _add(data: _Item) -> _Item:
    return data


_BYTES: Final = "BARE_BYTES"


def application() -> Litestar:
    """The application that granian serves."""
    body = b"x" * int(os.environ[_BYTES])

    @get("/page", media_type="application/json")
    async def page() -> bytes:
        return body

    return Litestar([_add, page], openapi_config=None)


def main(port: int, size: int) -> None:
    """Serves until SIGTERM, as the gateway is served: one process, uvloop."""
    os.environ[_BYTES] = str(size)
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.server import Server

    Server(
        "emporium.scripts.bench.bare:application",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        factory=True,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        log_enabled=False,
    ).serve()


@contextmanager
def bare(size: int = 0) -> Iterator[tuple[str, int]]:
    """The address of a running floor, and its process: `POST /items`, and `GET /page` with so many bytes."""
    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", "emporium.scripts.bench.bare", str(port), str(size)],
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 10
        while not answers(address):
            if time.monotonic() > deadline:
                raise RuntimeError("the bare application does not answer")
            time.sleep(0.02)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
