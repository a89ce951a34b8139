"""OpenTelemetry traces of requests, reactions and effects, sent by OTLP over HTTP; loaded only where they are wanted.

Events carry the id of the request that led to them and of what caused them. Trace and span ids are digests of
these, so that processes which know nothing of each other write one trace.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

__all__ = ["OtlpTraces", "open_traces"]


class OtlpTraces:
    """See `emporium.application.ports.Traces`. A batch is sent by a thread of its own; what cannot be sent is lost."""

    def __init__(self, processor: "SpanProcessor", service: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        self._processor = processor
        self._resource = Resource({"service.name": service})
        self._span, self._context, self._status = ReadableSpan, SpanContext, Status
        self._kinds = {True: SpanKind.SERVER, False: SpanKind.INTERNAL}
        self._error, self._flags = StatusCode.ERROR, TraceFlags(TraceFlags.SAMPLED)

    def record(
        self,
        name: str,
        *,
        request: str,
        key: str,
        parent: str | None,
        began: int,
        ended: int,
        attributes: Mapping[str, str | int],
        error: str | None = None,
    ) -> None:
        """See the port."""
        trace = int.from_bytes(blake2b(request.encode(), digest_size=16).digest())

        def context(of: str) -> "SpanContext":  # type: ignore[name-defined]  # noqa: F821
            span = int.from_bytes(blake2b(of.encode(), digest_size=8).digest())
            return self._context(trace, span, is_remote=False, trace_flags=self._flags)

        self._processor.on_end(
            self._span(
                name,
                context=context(key),
                parent=None if parent is None else context(parent),
                resource=self._resource,
                attributes=attributes,
                kind=self._kinds[parent is None],
                status=self._status() if error is None else self._status(self._error, error),
                start_time=began,
                end_time=ended,
            )
        )


@asynccontextmanager
async def open_traces(endpoint: str | None, service: str) -> AsyncIterator[OtlpTraces | None]:
    """Traces to an OTLP/HTTP endpoint such as `http://127.0.0.1:4318/v1/traces`; None where none is named."""
    if endpoint is None:
        yield None
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=5.0), schedule_delay_millis=1_000)
    try:
        yield OtlpTraces(processor, service)
    finally:
        await asyncio.to_thread(processor.shutdown)
