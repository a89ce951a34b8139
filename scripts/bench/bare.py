"""The floor of the HTTP measurements: a bare Litestar POST with a msgspec body, under the same server."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from litestar import Litestar, post

from emporium.infra.postgres import die_with_parent
from emporium.scripts.processes import answers, free_port

__all__ = ["application", "bare"]


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: int


@post("/items")
async def _add(data: _Item) -> _Item:
    return data


def application() -> Litestar:
    """The application that granian serves."""
    return Litestar([_add], openapi_config=None)


def main(port: int) -> None:
    """Serves until SIGTERM, as the gateway is served: one process, uvloop."""
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
def bare() -> Iterator[str]:
    """The address of a running floor."""
    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", "emporium.scripts.bench.bare", str(port)],
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 10
        while not answers(address):
            if time.monotonic() > deadline:
                raise RuntimeError("the bare application does not answer")
            time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main(int(sys.argv[1]))
