"""What the sandbox tells by itself: signed webhooks about charges whose state changed after their answer."""

import asyncio
import hmac
import sys
import time
from math import inf
from typing import Final
from urllib.parse import urlsplit

import msgspec

from .book import Answer, Call
from .scripts import METHODS

__all__ = ["Teller", "signature_of"]

_PAUSES: Final = (0.2, 1.0, 5.0, 30.0)
"""Seconds after each try that was not answered with 2xx."""

_TIMEOUT: Final = 5.0


class _Told(msgspec.Struct):
    id: str
    key: str
    status: str
    method: str


_decode: Final = msgspec.json.Decoder(_Told).decode
_encode: Final = msgspec.json.Encoder().encode


def signature_of(secret: str, seconds: int, body: bytes) -> str:
    """The header `Sandbox-Signature`: `t=<seconds>,v1=<HMAC-SHA-256 of "seconds.body" in hex>`."""
    digest = hmac.digest(secret.encode(), b"%d.%b" % (seconds, body), "sha256").hex()
    return f"t={seconds},v1={digest}"


class Teller:
    """Tells one address, several times where it does not listen.

    Args:
        url: `http://host:port/path`.
        secret: what signs.
    """

    def __init__(self, url: str, secret: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"webhooks go to http://host:port/path, not {url}")
        self._host, self._port = parts.hostname, parts.port or 80
        self._head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        self._secret = secret
        self._running: set[asyncio.Task[None]] = set()

    def later(self, call: Call, answer: Answer) -> float | None:
        """After how many seconds there is something to tell about the charge of this call; None: never."""
        if answer.status != 200 or call.operation not in ("charge", "authenticate"):
            return None
        told = _decode(answer.body)
        if call.operation == "authenticate":
            return 0.0
        settles = METHODS[told.method.partition("@")[0]].settles
        return settles if told.status == "pending" and settles < inf else None

    def tell(self, charge: bytes) -> None:
        """Tells what has become of a charge, in the background."""
        running = asyncio.ensure_future(self._tell(charge))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Gives up what was not listened to."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _tell(self, charge: bytes) -> None:
        told = _decode(charge)
        body = _encode({"id": f"evt_{told.id}_{told.status}", "type": "charge", "data": msgspec.Raw(charge)})
        for pause in (*_PAUSES, None):
            if await self._taken(body):
                return
            if pause is not None:
                await asyncio.sleep(pause)
        print(f"nobody listens to what became of {told.id}", file=sys.stderr, flush=True)

    async def _taken(self, body: bytes) -> bool:
        seconds = int(time.time())
        head = (
            f"{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Sandbox-Signature: {signature_of(self._secret, seconds, body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    writer.write(head.encode() + body)
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
        return line.split(b" ")[1:2] in ([b"200"], [b"202"], [b"204"])
