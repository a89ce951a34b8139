"""The sandbox as a process: what it answered survives kill -9, faults come to order, and it starts or says why not."""

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from emporium.application.ports import ProviderDown
from emporium.domain.base import Money
from emporium.infra.provider_http import HttpProvider
from emporium.infra.sandbox.scripts import ADDRESSES, METHODS, Fault
from tests.support.sandbox import SandboxProcess

AT = datetime(2011, 5, 31, tzinfo=UTC)
PRICE = Money(100, "GBP")


async def test_what_was_answered_survives_kill_9(sandbox: SandboxProcess, provider: HttpProvider) -> None:
    answered: dict[str, str] = {}
    orders = {}

    async def buy(buyer: int) -> None:
        with contextlib.suppress(ProviderDown):
            for number in range(1_000_000):
                key = f"{buyer}:{number}"
                orders[key] = uuid4()
                outcome = await provider.charge(key, orders[key], PRICE, "pm_ok", AT)
                answered[key] = str(outcome.reference)
                if len(answered) == 300:
                    sandbox.kill()

    await asyncio.gather(*(buy(number) for number in range(16)))
    assert len(answered) >= 300
    sandbox.start()
    for key, reference in answered.items():
        assert (await provider.find_charge(key, orders[key])).reference == reference
        assert (await provider.charge(key, orders[key], PRICE, "pm_ok", AT)).reference == reference


def test_what_failed_once_does_not_fail_again_after_a_restart(sandbox: SandboxProcess) -> None:
    wish = {"amount": 1, "currency": "GBP", "method": "pm_fail_once", "metadata": {"order": "o"}}
    assert sandbox.ask("POST", "/v1/charges", wish, "one")[0] == 500
    sandbox.restart()
    assert sandbox.ask("POST", "/v1/charges", wish, "one")[0] == 200


async def test_an_orderly_stop_keeps_everything_in_the_file(sandbox: SandboxProcess, provider: HttpProvider) -> None:
    await provider.charge("one", uuid4(), PRICE, "pm_ok", AT)
    before = sandbox.state()
    sandbox.stop()
    assert [file.name for file in sandbox.data.parent.iterdir()] == [sandbox.data.name]
    sandbox.start()
    assert sandbox.state() == before


async def test_while_it_is_down_the_provider_is_down(sandbox: SandboxProcess, provider: HttpProvider) -> None:
    order = uuid4()
    await provider.charge("one", order, PRICE, "pm_ok", AT)
    sandbox.kill()
    for _ in range(2):
        with pytest.raises(ProviderDown):
            await provider.charge("two", order, PRICE, "pm_ok", AT)
    sandbox.start()
    assert (await provider.find_charge("two", order)).status == "succeeded"


@pytest.mark.parametrize("fault", Fault)
async def test_faults_to_order(sandbox: SandboxProcess, provider: HttpProvider, fault: Fault) -> None:
    sandbox.faults(fault, count=2)
    order = uuid4()
    for _ in range(2):
        with pytest.raises(ProviderDown):
            await provider.charge("one", order, PRICE, "pm_ok", AT)
    happened = sandbox.state()["charges"]
    assert happened == (0 if fault.before else 1)
    assert (await provider.charge("one", order, PRICE, "pm_ok", AT)).status == "succeeded"
    assert sandbox.state()["charges"] == 1


async def test_faults_may_be_ordered_for_one_operation_and_taken_back(
    sandbox: SandboxProcess, provider: HttpProvider
) -> None:
    sandbox.faults("error", operation="refund")
    outcome = await provider.charge("one", uuid4(), PRICE, "pm_ok", AT)
    with pytest.raises(ProviderDown):
        await provider.refund("back", str(outcome.reference), PRICE, AT)
    sandbox.faults("error", count=100)
    sandbox.faults("error", count=0)
    assert (await provider.refund("back", str(outcome.reference), PRICE, AT)).status == "succeeded"


def test_faults_that_do_not_exist(sandbox: SandboxProcess) -> None:
    assert sandbox.ask("POST", "/debug/faults", {"fault": "earthquake"})[0] == 400
    assert sandbox.ask("POST", "/debug/faults", {"fault": "error", "operation": "dance"})[0] == 422


async def test_one_bad_call_does_not_harm_those_that_commit_with_it(
    sandbox: SandboxProcess, provider: HttpProvider
) -> None:
    good = [provider.charge(f"good {n}", uuid4(), PRICE, "pm_ok", AT) for n in range(20)]
    bad = [provider.refund(f"bad {n}", "nothing", PRICE, AT) for n in range(20)]
    outcomes = await asyncio.gather(*(call for pair in zip(good, bad, strict=True) for call in pair))
    assert [outcome.status for outcome in outcomes] == ["succeeded", "declined"] * 20
    assert sandbox.state()["charges"] == 20


async def test_the_stated_latency_is_the_least(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "slow.sqlite", latency_ms=40) as process:
        provider = HttpProvider(process.url)
        started = time.monotonic()
        await asyncio.gather(*(provider.charge(f"{n}", uuid4(), PRICE, "pm_ok", AT) for n in range(50)))
        took = time.monotonic() - started
        await provider.aclose()
    # One after the other they would take 2 s.
    assert 0.04 <= took < 1.9


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /v1/nothing HTTP/1.1\r\n\r\n", 404),
        (b"DELETE /v1/charges HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1/charges?colour=red HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/charges?day=tomorrow HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 20_000, 431),
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n", 413),
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (b"POST /v1/charges HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /v1/charges HTTP/1.1\r\nidempotency-key: k\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /v1/charges HTTP/1.1\r\nIdempotency-Key: k\r\nContent-Length: 4\r\n\r\n\xff\xfe{}", 400),
        (b"POST /v1/charges HTTP/1.1\r\nIdempotency-Key: \x01\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
    ],
)
async def test_odd_requests_get_an_answer(sandbox: SandboxProcess, request_bytes: bytes, status: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(request_bytes)
    line = await asyncio.wait_for(reader.readline(), 5)
    assert int(line.split()[1]) == status
    writer.close()
    await writer.wait_closed()
    assert sandbox.ask("GET", "/health") == (200, {})


async def test_requests_in_pieces_and_in_one_piece(sandbox: SandboxProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    body = b'{"amount":1,"currency":"GBP","method":"pm_ok","metadata":{"order":"o"}}'
    head = b"POST /v1/charges HTTP/1.1\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n"
    whole = b"".join(head % (key, len(body)) + body for key in (b"a", b"b", b"c"))
    for piece in (whole[:10], whole[10:200], whole[200:]):
        writer.write(piece)
        await writer.drain()
    keys = []
    for _ in range(3):
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found = re.search(rb'"key":"(\w)"', await reader.readexactly(length))
        assert found is not None
        keys.append(found[1])
    assert keys == [b"a", b"b", b"c"]
    writer.close()
    await writer.wait_closed()


def test_debug_is_for_the_same_machine_only(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which of our addresses would be used
        except OSError:
            pytest.skip("this machine has no address beside loopback")
        address = probe.getsockname()[0]
    with SandboxProcess(tmp_path / "open.sqlite", host="0.0.0.0") as process:
        for path, status in (("/health", b"200"), ("/debug/state", b"403")):
            with socket.create_connection((address, process.port), timeout=5) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
                assert connection.recv(1000).split()[1] == status


def refusal(port: int, data: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "emporium.infra.sandbox", f"--port={port}", f"--data={data}"],
        capture_output=True,
        text=True,
        timeout=10,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_what_keeps_it_from_starting_is_one_sentence(sandbox: SandboxProcess, tmp_path: Path) -> None:
    assert "in use by another sandbox" in refusal(0, sandbox.data)
    assert f"cannot listen on 127.0.0.1:{sandbox.port}" in refusal(sandbox.port, tmp_path / "other.sqlite")
    assert "cannot use its file" in refusal(0, tmp_path / "missing" / "file.sqlite")
    (tmp_path / "text").write_text("this is no database, but a text that is long enough to be looked at\n" * 20)
    assert "not a database" in refusal(0, tmp_path / "text")


def test_it_ends_well_on_ctrl_c_with_calls_under_way(sandbox: SandboxProcess) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(b"GET /v1/charges HTTP/1.1\r\n")
        assert sandbox.end(signal.SIGINT) == 0


def test_it_starts_with_little_more_than_its_imports(tmp_path: Path) -> None:
    floor, took = [], []
    for number in range(3):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "import asyncio, json, sqlite3"], check=True)
        floor.append(time.monotonic() - started)
        started = time.monotonic()
        with SandboxProcess(tmp_path / f"{number}.sqlite"):
            took.append(time.monotonic() - started)
    assert min(took) < 6 * min(floor)


def test_every_test_value_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    for value in [*METHODS, *ADDRESSES, *Fault]:
        assert f"| `{value}` |" in text
