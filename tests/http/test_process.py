"""The gateway as `emporium serve` runs it: granian, two processes, TLS, its end, and why it does not start."""

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from emporium.infra.eventstore import new_incarnation
from emporium.infra.settings import Settings, environment
from emporium.scripts.processes import free_port
from tests.http.client import ADDRESS, API, Caller, House

NOWHERE = "http://127.0.0.1:9"


@contextmanager
def served(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`emporium serve` with these settings; its standard error goes into the file."""
    settings = msgspec.structs.replace(settings, provider_url=NOWHERE, carrier_url=NOWHERE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EMPORIUM_")}
    environ |= {"PYTHONPATH": os.pathsep.join(sys.path), **environment(settings)}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "emporium.scripts.cli", "serve"], env=environ, stderr=stderr, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when the gateway answers that it is ready."""
    async with asyncio.timeout(30):
        while True:
            assert process.poll() is None, await asyncio.to_thread(log.read_text)
            with suppress(httpx.TransportError):
                if (await client.get("/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def outside(
    house: House, log: Path, **changes: object
) -> AsyncIterator[tuple[httpx.AsyncClient, subprocess.Popen[bytes]]]:
    """A client of a served gateway, beside a house whose read models run, and the process's id."""
    settings = msgspec.structs.replace(house.opened.settings, port=free_port("127.0.0.1"), **changes)
    scheme = "http" if settings.tls_certificate is None else "https"
    trust = ssl.create_default_context(cafile=settings.tls_certificate) if settings.tls_certificate else True
    with served(settings, log) as process:
        async with httpx.AsyncClient(
            base_url=f"{scheme}://localhost:{settings.port}", verify=trust, timeout=20.0
        ) as client:
            await ready(client, process, log)
            yield client, process


async def test_two_processes_are_one_gateway(house: House, folder: Path) -> None:
    log = folder / "serve.log"
    async with outside(house, log, gateways=2) as (client, process):
        # Each caller has connections of its own, so that both processes get some.
        callers = [
            Caller(httpx.AsyncClient(base_url=client.base_url, timeout=20.0, limits=httpx.Limits(max_connections=1)))
            for _ in range(10)
        ]
        first = await callers[0].add("MUG", 2)
        for caller in callers:
            caller.headers["cart-token"] = first.headers["cart-token"]
        answers = await asyncio.gather(*(caller.check_out(idempotency_key="k") for caller in callers))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        number = answers[0].json()["order_number"]
        for caller in callers:
            order = await caller.get(f"/orders/{number}", consistency_token=answers[0].headers["consistency-token"])
            assert order.json()["order_number"] == number
        prefixes = {answer.headers["x-request-id"].split("-")[0] for answer in answers}
        measures = (await client.get("/metrics")).text
        counted = re.search(
            r'emporium_http_request_seconds_count\{method="POST",route="/api/v1/checkout",status="202"\} (\S+)',
            measures,
        )
        assert counted is not None
        assert float(counted[1]) == 10
        assert len(prefixes) == 2
        for caller in callers:
            await caller.client.aclose()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    lines = [line for line in log.read_text().splitlines() if '"route":"/api/v1/checkout"' in line]
    assert len(lines) == 10
    assert all(ADDRESS["name"] not in line and "example.org" not in line for line in lines)  # type: ignore[operator]


async def test_requests_are_written_to_a_file_where_one_is_named(house: House, folder: Path) -> None:
    requests = folder / "requests.log"
    log = folder / "serve.log"
    async with outside(house, log, gateways=2, log_requests=True, request_log=requests) as (client, _):
        for number in range(8):
            await client.get(f"{API}/products", headers={"x-request-id": f"mine-{number}"})
        async with asyncio.timeout(10):
            while requests.read_bytes().count(b'"request":"mine-') < 8:
                await asyncio.sleep(0.02)
    assert {json.loads(line)["route"] for line in requests.read_text().splitlines()} == {"/api/v1/products"}
    assert '"route"' not in log.read_text()


async def test_it_ends_with_connections_open_as_soon_as_it_began_and_leaves_the_port(
    house: House, folder: Path
) -> None:
    began = time.monotonic()
    async with outside(house, folder / "serve.log", gateways=1) as (client, process):
        start = time.monotonic() - began
        guest = Caller(client)
        await guest.add("MUG", 1)
        path = f"{API}/orders/{(await guest.check_out()).json()['order_number']}/events"
        # Listeners that went away without a word have given their places back.
        for _ in range(12):
            async with client.stream("GET", path, headers=guest.headers) as events:
                assert events.status_code == 200
                assert "OrderCreated" in "".join([await anext(events.aiter_text())])
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)):
            async with client.stream("GET", path, headers=guest.headers) as events:
                text = events.aiter_text()
                assert "OrderCreated" in await anext(text)
                process.terminate()
                # A listener stays for ever. Two seconds are for answers under way; the rest is the machine's pace.
                assert await asyncio.to_thread(process.wait, 3.0 + 2 * start) == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", client.base_url.port or 0)) != 0


async def test_a_log_restored_under_it_makes_it_begin_anew(house: House, folder: Path) -> None:
    log = folder / "serve.log"
    async with outside(house, log, gateways=1) as (client, process):
        caller = Caller(client)
        before = await caller.add("MUG", 1)
        prefix = before.headers["x-request-id"].split("-")[0]
        await new_incarnation(str(house.opened.settings.database_url), "ordering")
        async with asyncio.timeout(30):
            while True:
                assert process.poll() is None
                with suppress(httpx.TransportError):
                    answer = await caller.add("MUG", 1)
                    assert answer.status_code in (200, 201, 503), answer.text
                    if answer.headers["x-request-id"].split("-")[0] != prefix and answer.status_code != 503:
                        break
                await asyncio.sleep(0.05)
    assert "this process ends" in log.read_text()


async def test_hostile_bytes_on_the_wire(house: House, folder: Path) -> None:
    async with outside(house, folder / "serve.log") as (client, _):
        json = {"content-type": "application/json"}

        async def chunks() -> AsyncIterator[bytes]:
            yield b'{"sku":"'
            for _ in range(100):
                yield b"x" * 100_000
            yield b'"}'

        # The connection may go before the whole body was sent.
        with suppress(httpx.WriteError):
            answer = await client.post(f"{API}/cart/items", content=chunks(), headers=json)
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body_too_large")
        for body in (b'{"sku":"\xff"}', rb'{"sku":"\ud800"}', b"[" * 500_000, b'{"sku":"M\\u0000"}', b""):
            answer = await client.post(f"{API}/cart/items", content=body, headers=json)
            assert answer.status_code in (400, 422), body[:20]
            assert answer.headers["content-type"] == "application/problem+json"
        for path in ("/api/v1/orders/%FF", "/api/v1/orders/%00", "/api/v1/products?cursor=%FF", "/%F0%28", "/\u00e4"):
            answer = await client.get(path)
            assert 400 <= answer.status_code < 500, path
        assert (await client.get("/health/live")).status_code == 200


@pytest.fixture
def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, which signed itself, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


async def test_https_by_two_settings(house: House, folder: Path, certificate: tuple[Path, Path]) -> None:
    path, key = certificate
    async with outside(house, folder / "serve.log", tls_certificate=path, tls_key=key) as (client, _):
        assert (await client.get(f"{API}/products")).status_code == 200


def _refused(settings: Settings, folder: Path) -> str:
    log = folder / "refused.log"
    with served(settings, log) as process:
        assert process.wait(20) == 1
    said = log.read_text()
    assert "Traceback" not in said, said
    return said


def test_a_taken_port_is_told(settings: Settings, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port}" in _refused(msgspec.structs.replace(settings, port=port), folder)


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_certificate_that_is_none_is_told(settings: Settings, folder: Path, content: str) -> None:
    certificate = folder / "cert.pem"
    certificate.write_text(content)
    changed = msgspec.structs.replace(
        settings, port=free_port("127.0.0.1"), tls_certificate=certificate, tls_key=certificate
    )
    assert "cert.pem" in _refused(changed, folder)


def test_a_database_that_was_not_migrated_is_told(server: str, settings: Settings, folder: Path) -> None:
    changed = msgspec.structs.replace(settings, port=free_port("127.0.0.1"), database_url=server)
    assert "There is no shop in this database yet" in _refused(changed, folder)
