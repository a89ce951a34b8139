"""The outermost layer: a request's id, its allowance, its time, its log line and its measures, in microseconds."""

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from litestar import Litestar
from litestar.types import Message, Receive, Scope, Send

from emporium.http.caching import Kept
from emporium.http.limits import class_of, client_of
from emporium.http.metrics import Metrics
from emporium.http.problems import KINDS, Problem, problem_reply
from emporium.http.services import Services

__all__ = ["Edge", "RequestLog", "to_file"]

_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LARGEST_LOG: Final = 64 * 1024 * 1024
_FLUSH: Final = 0.1
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})


class RequestLog:
    """One JSON line a request, written a tenth of a second's worth at a time. Without queries, names or addresses.

    A line: `at` (UTC), `request` (its id), `method`, `route` (its template), `status`, `ms`.
    """

    def __init__(self, write: Callable[[bytes], Any] | None = None) -> None:
        self._write = write or _to_stderr
        self._lines: list[str] = []
        self._second = (0, "")

    def add(self, request: str, method: str, route: str, status: int, seconds: float) -> None:
        """Notes one request. None of the texts needs escaping: ids are checked, the others are our own."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_FLUSH, self.flush)
        now = time.time()
        if int(now) != self._second[0]:
            self._second = (int(now), datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        self._lines.append(
            f'{{"at":"{self._second[1]}.{int(now % 1 * 1000):03d}Z","request":"{request}","method":"{method}",'
            f'"route":"{route}","status":{status},"ms":{seconds * 1000:.2f}}}\n'
        )

    def flush(self) -> None:
        """Writes what is waiting."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write("".join(lines).encode())


def to_file(path: Path, most: int = _LARGEST_LOG) -> Callable[[bytes], Any]:
    """Appends to a file, which several processes may share and which may be moved away. Raises OSError at once.

    A file that has become `most` bytes long becomes `<name>.1`, in place of the one before it.
    """
    older = path.with_name(f"{path.name}.1")

    def write(data: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            file.write(data)
            # Not where another process has moved it just now.
            with suppress(FileNotFoundError):
                if file.tell() >= most and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    path.replace(older)

    write(b"")
    return write


def _to_stderr(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


_NONE: Final = 0
"""The status while no answer has begun."""

_PROBES: Final = ("/health/", "/metrics")

_STREAMS: Final = "/events"
"""The end of the paths whose answers go on for as long as somebody listens."""

_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # A page's own policy goes on beside it: the stricter of two holds.
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"same-origin"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")

_log = logging.getLogger(__name__)


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
        self._kept = Kept()
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

    async def _admit(self, scope: dict[str, Any], method: str, heads: Mapping[bytes, bytes]) -> None:
        """Counts the request against its address's allowance. Raises Problem (too_many_requests)."""
        name = class_of(method, scope["path"])
        if name is None:
            return
        address = client_of(scope, heads.get(b"x-forwarded-for"), self._services.cares.trusted)
        # This machine's own programs are the operator's. A proxy on it must be named as trusted.
        if address is not None and not address.is_loopback:
            scope["more_headers"] += await self._services.limiter.admit(name, str(address))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        own: dict[str, Any] = scope  # type: ignore[assignment]
        own["heads"] = heads = dict(scope["headers"])
        given = heads.get(b"x-request-id")
        if given is not None and _SANE.fullmatch(given):
            request_id = given.decode("ascii")
        else:
            request_id = f"{self._prefix}-{next(self._numbers):x}"
        own["request_id"] = request_id
        own["services"] = self._services
        own["metrics"] = self._metrics
        own["kept"] = self._kept
        own["under_way"] = self._under_way
        more = [(b"x-request-id", request_id.encode()), *_SAFE]
        if own["scheme"] == "https":
            more.append(_HSTS)
        own["more_headers"] = more
        method = own["method"] if own["method"] in _METHODS else "OTHER"
        headless = method == "HEAD"
        if headless:
            own["method"], own["headless"] = "GET", True
        status = _NONE

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *more]
            elif headless:
                message["body"] = b""  # type: ignore[typeddict-unknown-key]
            await send(message)

        try:
            if "\0" in own["path"] or b"%00" in own["query_string"]:
                # No database can store it, and no parameter of ours may hold it.
                await problem_reply(own, KINDS.invalid_parameter("NUL cannot stand in an address."))(
                    scope, receive, send_on
                )
            else:
                await self._admit(own, method, heads)
                known = self._kept.at_once(own, heads, self._services)
                if known is not None:
                    own["path_template"], reply = known
                    await reply(scope, receive, send_on)
                elif own["path"].endswith(_STREAMS):
                    await self._app(scope, receive, send_on)
                else:
                    async with asyncio.timeout(self._services.cares.timeout):
                        await self._app(scope, receive, send_on)
        except Problem as problem:
            await problem_reply(own, problem)(scope, receive, send_on)
        except TimeoutError:
            _log.warning("request %s took longer than %s s", request_id, self._services.cares.timeout)
            if status == _NONE:
                await problem_reply(own, KINDS.timed_out(headers={"Retry-After": "1"}))(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            route = own.get("path_template") or "-"
            status = status or 500
            self._metrics.request(method, route, status, seconds)
            traces = self._services.shop.traces
            if traces is not None:
                ended = time.time_ns()
                traces.record(
                    f"{method} {route}",
                    request=request_id,
                    key=f"request:{request_id}",
                    parent=None,
                    began=ended - int(seconds * 1e9),
                    ended=ended,
                    attributes={
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                    },
                    error=None if status < 500 else "failed",
                )
            # Probes come all day long and say nothing.
            if self._log is not None and not route.startswith(_PROBES):
                self._log.add(request_id, method, route, status, seconds)
