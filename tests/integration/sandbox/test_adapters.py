"""Whatever a provider or carrier answers, the adapters say what it means or ProviderDown, and never mix answers up."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest

from emporium.application.ports import Address, AddressRefused, ProviderDown
from emporium.domain.base import Money
from emporium.infra.carrier_http import HttpCarrier
from emporium.infra.http_client import HttpClient
from emporium.infra.provider_http import HttpProvider

AT = datetime(2011, 5, 31, tzinfo=UTC)
ADDRESS = Address("Ann Example", ("1 High Street",), "York", "YO1 7HH", "GB")


def answer(status: int, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Odd\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


class OddServer:
    """Answers every request with the next of its replies (the last one for good); None drops the connection."""

    def __init__(self) -> None:
        self.replies: list[bytes | None] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self.url = ""

    async def drained(self) -> None:
        """Returns when every connection has ended."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=5)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                if reply is None:
                    break
                writer.write(reply)
                if not reply or b"\r\nConnection: close" in reply:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def odd() -> AsyncIterator[OddServer]:
    server = OddServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()
    await server.drained()


KNOWN = b'{"id":"ch_1","key":"k","amount":100,"currency":"GBP","status":"succeeded","code":null}'

UNUSABLE = {
    "dropped": None,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nConte",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + KNOWN,
    "no body": answer(200, b""),
    "garbage": answer(200, b"<!doctype html>"),
    "not UTF-8": answer(200, b'{"id":"\xff\xfe"}'),
    "too deep": answer(200, b'{"odd":' + b"[" * 100_000),
    "wrong shape": answer(200, b"[1, 2]"),
    "wrong type": answer(200, KNOWN.replace(b"100", b'"100"')),
    "unheard-of status": answer(200, KNOWN.replace(b"succeeded", b"teleported")),
    "another call's answer": answer(200, KNOWN.replace(b'"k"', b'"other"')),
    "another amount": answer(200, KNOWN.replace(b"100", b"101")),
    "a redirect": answer(302, b""),
    "400": answer(400, b'{"code":"bad_request"}'),
    "401": answer(401, b""),
    "409": answer(409, b'{"code":"charge_pending"}'),
    "429": answer(429, b""),
    "422 garbage": answer(422, b"no"),
    "402 garbage": answer(402, b"no"),
    "500": answer(500, b"\xff\xfe"),
    "503": answer(503, b"", b"Connection: close\r\n"),
}


@pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in UNUSABLE.items()])
async def test_no_usable_answer_is_provider_down(odd: OddServer, reply: bytes | None) -> None:
    odd.replies = [reply]
    provider = HttpProvider(odd.url, timeout=0.2)
    carrier = HttpCarrier(odd.url, timeout=0.2)
    for call in (
        lambda: provider.charge("k", uuid4(), Money(100, "GBP"), "pm_ok", AT),
        lambda: provider.refund("k", "ch_1", Money(100, "GBP"), AT),
        lambda: provider.find_charge("k", uuid4()),
        lambda: provider.find_refund("k", "ch_1"),
        provider.summary,
        lambda: carrier.book("k", uuid4(), 1, ADDRESS, {"SKU-1": 1}),
        lambda: carrier.status("SBX0000000001", AT),
    ):
        # A refund is answered by what looks like a charge: for these replies the difference does not matter.
        with pytest.raises(ProviderDown) as raised:
            await call()
        assert str(raised.value)
    await provider.aclose()
    await carrier.aclose()


async def test_usable_answers_are_told_apart(odd: OddServer) -> None:
    odd.replies = [
        answer(200, KNOWN),
        answer(402, KNOWN.replace(b"succeeded", b"declined").replace(b"null", b'"card_declined"')),
        answer(422, b'{"code":"too_much"}'),
    ]
    provider = HttpProvider(odd.url)
    outcomes = [await provider.charge("k", uuid4(), Money(100, "GBP"), "pm_ok", AT) for _ in odd.replies[:]]
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [
        ("succeeded", None), ("declined", "card_declined"), ("declined", "too_much"),
    ]  # fmt: skip
    assert odd.connections == 1
    await provider.aclose()


async def test_an_address_refused_by_the_carrier(odd: OddServer) -> None:
    odd.replies = [answer(422, b'{"code":"address_refused","text":"not there"}')]
    carrier = HttpCarrier(odd.url)
    with pytest.raises(AddressRefused, match="not there"):
        await carrier.book("k", uuid4(), 1, ADDRESS, {"SKU-1": 1})
    await carrier.aclose()


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        provider = HttpProvider(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=0.2)
        with pytest.raises(ProviderDown, match="cannot reach"):
            await provider.summary()


async def test_a_second_answer_is_never_taken_for_the_next_calls(odd: OddServer) -> None:
    odd.replies = [answer(200, b"[]") * 2]
    provider = HttpProvider(odd.url)
    await asyncio.gather(*(provider.summary() for _ in range(3)))
    await provider.summary()
    assert odd.connections == 4
    await provider.aclose()


async def test_an_answer_after_the_time_out_is_never_taken_for_the_next_calls(odd: OddServer) -> None:
    odd.replies = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[", answer(200, b"[]")]
    provider = HttpProvider(odd.url, timeout=0.1)
    with pytest.raises(ProviderDown, match=r"no answer within 0\.1 s"):
        await provider.summary()
    assert await provider.summary() == []
    assert odd.connections == 2
    await provider.aclose()


async def test_a_cancelled_call_gives_its_connection_up(odd: OddServer) -> None:
    odd.replies = [b"HTTP/1.1 200 OK\r\n", answer(200, b"[]")]
    provider = HttpProvider(odd.url, connections=1)
    call = asyncio.create_task(provider.summary())
    await odd.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await provider.summary() == []
    assert odd.connections == 2
    await provider.aclose()


async def test_connections_are_kept_and_bounded(odd: OddServer) -> None:
    odd.replies = [answer(200, b"[]")]
    provider = HttpProvider(odd.url, connections=3)
    await asyncio.gather(*(provider.summary() for _ in range(30)))
    assert odd.connections == 3
    assert len(odd.requests) == 30
    await provider.aclose()


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1/path", "http://"])
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        HttpClient(url, 1, 1)


@pytest.mark.parametrize("key", ["a\r\nX-Injected: yes", "naïve", "tab\t"])
async def test_keys_that_cannot_be(odd: OddServer, key: str) -> None:
    provider = HttpProvider(odd.url)
    with pytest.raises(ValueError, match="printable ASCII"):
        await provider.charge(key, uuid4(), Money(100, "GBP"), "pm_ok", AT)
    assert odd.connections == 0
