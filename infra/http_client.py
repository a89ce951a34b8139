"""A small HTTP/1.1 client for JSON services nearby: keep-alive, bounded time, one error for every bad answer."""

import asyncio
from typing import Final, cast
from urllib.parse import urlsplit

from emporium.application.ports import ProviderDown

__all__ = ["HttpClient"]

_MAX_HEAD: Final = 16_384
_MAX_BODY: Final = 16_777_216


class HttpClient:
    """Calls one service; for one event loop. Connections open when first needed.

    Args:
        base_url: `http://host:port`, without a path.
        timeout: seconds to connect, and again to answer.
        connections: the most calls at once; more wait for their turn.
    """

    def __init__(self, base_url: str, timeout: float, connections: int) -> None:
        url = urlsplit(base_url)
        if url.scheme != "http" or not url.hostname or url.path.strip("/") or url.query:
            raise ValueError(f"the address of a service is http://host:port, not {base_url}")
        self._host = url.hostname
        self._port = url.port or 80
        self._name = url.netloc
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []

    async def call(self, method: str, target: str, key: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer.

        Args:
            target: path and query, already percent-encoded.
            key: the idempotency key; printable ASCII.

        Raises ProviderDown where no whole answer arrives in time; whether the call was carried out is then unknown.
        """
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an idempotency key is printable ASCII")
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._name}\r\nContent-Length: {len(body)}\r\n"
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        async with self._slots:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                return await connection.exchange(head.encode("ascii") + b"\r\n" + body)
            finally:
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.close()

    async def aclose(self) -> None:
        """Closes the idle connections; a later call would open new ones."""
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> "_Connection":
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._name, self._timeout, self._idle), self._host, self._port
                )
        except OSError as error:
            raise ProviderDown(f"cannot reach {self._name}: {error}") from error
        return connection


class _Connection(asyncio.Protocol):
    """One call at a time; after anything odd it is never used again."""

    __slots__ = (
        "_answer", "_begin", "_buffer", "_idle", "_keep", "_loop", "_name", "_status", "_timeout", "_transport",
        "_whole", "reusable",
    )  # fmt: skip

    def __init__(self, name: str, timeout: float, idle: list["_Connection"]) -> None:
        self._name = name
        self._timeout = timeout
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._buffer = b""
        self._whole = 0
        self._begin = 0
        self._status = 0
        self._keep = False
        self.reusable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Sends a request, returns status and body. Raises ProviderDown."""
        self.reusable = False
        self._buffer = b""
        self._whole = 0
        self._answer = self._loop.create_future()
        timer = self._loop.call_later(self._timeout, self._fail, f"no answer within {self._timeout:g} s")
        try:
            self._transport.write(request)
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None

    def close(self) -> None:
        """Drops the connection, whatever is still on it."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            # Bytes that nobody asked for would pass for the next call's answer.
            self._fail("an answer that nobody asked for")
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n") + 4
            if end < len(b"\r\n\r\n"):
                if len(self._buffer) > _MAX_HEAD:
                    self._fail("the head of its answer is too long")
                return
            try:
                self._status, length, self._keep = _parse_head(self._buffer[:end])
            except ValueError as error:
                self._fail(f"its answer is not HTTP: {error}")
                return
            self._begin = end
            self._whole = end + length
        if len(self._buffer) >= self._whole:
            self.reusable = self._keep and len(self._buffer) == self._whole
            self._answer.set_result((self._status, self._buffer[self._begin : self._whole]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc or 'closed by the other side'}")

    def _fail(self, text: str) -> None:
        """Ends the call under way, if there is one, and the connection."""
        self.reusable = False
        if self in self._idle:
            self._idle.remove(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ProviderDown(f"{self._name}: {text}"))
        self._transport.abort()


def _parse_head(head: bytes) -> tuple[int, int, bool]:
    """Status, length of the body, whether the connection stays open. Raises ValueError."""
    status = head[9:12]
    if not head.startswith(b"HTTP/1.1 ") or not status.isdigit():
        raise ValueError("no status line")
    lower = head.lower()
    start = lower.find(b"\r\ncontent-length:")
    if start < 0:
        raise ValueError("no Content-Length")
    start += len(b"\r\ncontent-length:")
    length = int(lower[start : lower.find(b"\r\n", start)])
    if not 0 <= length <= _MAX_BODY:
        raise ValueError(f"a body of {length} bytes")
    return int(status), length, b"\r\nconnection: close" not in lower
