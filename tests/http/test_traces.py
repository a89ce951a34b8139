"""A request's trace, as an OpenTelemetry collector receives it: from the checkout to the last effect."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from emporium.infra.settings import Settings
from tests.http.conftest import running
from tests.support.sandbox import SandboxProcess


class Collector:
    """An OTLP receiver on loopback; `spans` are all that came."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""
        self._came = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        self._came.set()
        return web.Response(content_type="application/x-protobuf")

    async def until(self, good: Callable[[Iterable[Span]], bool]) -> None:
        async with asyncio.timeout(30):
            while not good(self.spans):
                self._came.clear()
                await self._came.wait()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    yield made
    await runner.cleanup()


async def test_one_trace_goes_from_the_request_to_the_last_effect(
    settings: Settings, folder: Path, collector: Collector
) -> None:
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        there = msgspec.structs.replace(
            settings, provider_url=sandbox.url, carrier_url=sandbox.url, otlp_endpoint=collector.url
        )
        async with running(there, saga=True) as house:
            guest = house.guest()
            await guest.add()
            placed = await guest.check_out()
            assert placed.status_code == 202
            number = placed.json()["order_number"]
            await house.order_is(guest, number, "confirmed")
            await collector.until(
                lambda spans: {"effect.charge", "effect.book", "POST /api/v1/checkout"} <= {one.name for one in spans}
            )
    (root,) = [span for span in collector.spans if span.name == "POST /api/v1/checkout"]
    trace = {span.span_id: span for span in collector.spans if span.trace_id == root.trace_id}
    names = {span.name for span in trace.values()}
    assert {
        "payments OrderCreated",
        "effect.charge",
        "inventory PaymentProcessed",
        "ordering StockReserved",
        "shipping StockReserved",
        "effect.book",
    } <= names
    assert root.kind == Span.SPAN_KIND_SERVER and not root.parent_span_id
    for span in trace.values():
        assert span is root or span.parent_span_id in trace, f"{span.name} hangs in the air"
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    other = next(span for span in collector.spans if span.name == "POST /api/v1/cart/items")
    assert other.trace_id != root.trace_id
    attributes = {one.key: one.value for one in root.attributes}
    assert attributes["http.response.status_code"].int_value == 202
    told = repr(collector.spans)
    assert "ada@example.org" not in told and number not in told


async def test_a_collector_that_is_away_harms_nobody(settings: Settings) -> None:
    there = msgspec.structs.replace(settings, otlp_endpoint="http://127.0.0.1:9/v1/traces")
    async with running(there) as house:
        assert (await house.guest().add()).status_code == 201
