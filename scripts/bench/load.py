"""A load of HTTP requests from this process: many keep-alive connections, as little work a request as can be."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

__all__ = ["Answer", "Connection", "request", "throughput"]


class Answer(msgspec.Struct, frozen=True):
    """What came back; header names in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connection:
    """One keep-alive connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> "Connection":
        """Connects to `http://host:port`."""
        url = urlsplit(address)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        return cls(reader, writer)

    async def exchange(self, message: bytes) -> Answer:
        """Sends one request and reads its answer."""
        self._writer.write(message)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        length = int(headers.get(b"content-length", b"0"))
        body = await self._reader.readexactly(length) if length else b""
        return Answer(int(lines[0].split(b" ")[1]), headers, body)

    def close(self) -> None:
        """Ends it."""
        self._writer.close()


def request(method: str, path: str, body: object = None, **headers: str) -> bytes:
    """The bytes of a request; underscores in header names become hyphens."""
    data = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(data)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


async def throughput(
    address: str, clients: int, seconds: float, make: Callable[[int, int], bytes], status: int
) -> float:
    """Answers a second that `clients` connections get; `make(client, number)` gives each request.

    Raises RuntimeError for an answer of another status.
    """
    finish = 0.0
    done = 0

    async def client(which: int, connection: Connection) -> None:
        nonlocal done
        number = 0
        while time.perf_counter() < finish:
            answer = await connection.exchange(make(which, number))
            if answer.status != status:
                raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")
            number += 1
            done += 1

    connections = [await Connection.open(address) for _ in range(clients)]
    began = time.perf_counter()
    finish = began + seconds
    try:
        await asyncio.gather(*(client(which, one) for which, one in enumerate(connections)))
    finally:
        for one in connections:
            one.close()
    return done / (time.perf_counter() - began)
