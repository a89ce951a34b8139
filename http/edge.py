"""The outermost layer: a request's id, its log line and its measures, at a few microseconds a request."""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.types import Message, Receive, Scope, Send

from emporium.http.metrics import Metrics
from emporium.http.services import Services

__all__ = ["Edge", "RequestLog"]

_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_FLUSH: Final = 0.1


class _Line(msgspec.Struct):
    at: str
    request: str
    method: str
    route: str
    status: int
    ms: float


class RequestLog:
    """One JSON line a request, written a tenth of a second's worth at a time. Without queries, names or addresses."""

    def __init__(self, write: Callable[[bytes], Any] | None = None) -> None:
        self._write = write or _to_stderr
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []

    def add(self, request: str, method: str, route: str, status: int, seconds: float) -> None:
        """Notes one request."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_FLUSH, self.flush)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._lines.append(self._encoder.encode(_Line(at, request, method, route, status, round(seconds * 1000, 2))))

    def flush(self) -> None:
        """Writes what is waiting."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write(b"\n".join(lines) + b"\n")


def _to_stderr(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


class Edge:
    """Wraps the application.

    Args:
        services: handed to every request in its scope.
        log: None where requests are not logged.
    """

    def __init__(self, app: Litestar, services: Services, metrics: Metrics, log: RequestLog | None) -> None:
        self._app = app
        self._services = services
        self._metrics = metrics
        self._log = log
        self._under_way: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._prefix = os.urandom(6).hex()
        self._numbers = count(1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Measures the event loop while the context is open; writes the last log lines at its end."""
        watch = asyncio.create_task(self._metrics.watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            if self._log is not None:
                self._log.flush()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request_id = ""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _SANE.fullmatch(value):
                request_id = value.decode("ascii")
                break
        if not request_id:
            request_id = f"{self._prefix}-{next(self._numbers):x}"
        own: dict[str, Any] = scope  # type: ignore[assignment]
        own["request_id"] = request_id
        own["services"] = self._services
        own["under_way"] = self._under_way
        method = own["method"]
        headless = method == "HEAD"
        if headless:
            own["method"] = "GET"
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            elif headless:
                message["body"] = b""  # type: ignore[typeddict-unknown-key]
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            route = own.get("path_template") or "-"
            self._metrics.request(method, route, status, seconds)
            if self._log is not None:
                self._log.add(request_id, method, route, status, seconds)
