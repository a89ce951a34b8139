"""Measures for Prometheus: requests by route and status, the event loop's lag; of all gateway processes together."""

import asyncio
import os
import time
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest, multiprocess

__all__ = ["Metrics"]

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BEAT: Final = 0.25


class Metrics:
    """The measures of one gateway process.

    With PROMETHEUS_MULTIPROC_DIR (set by whoever starts several processes) any of them answers for all.
    """

    def __init__(self) -> None:
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "emporium_http_request_seconds",
            "Time from a request to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._lag = Gauge(
            "emporium_event_loop_lag_seconds",
            "How late the event loop wakes whoever it should wake.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._appends = Histogram(
            "emporium_commit_seconds",
            "Time from the beginning of a command to its commit.",
            ("log",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._by_route: dict[tuple[str, str, int], Histogram] = {}
        self._by_log: dict[str, Histogram] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Notes a request; `route` is its template, so that there are as many series as routes."""
        key = (method, route, status)
        measure = self._by_route.get(key)
        if measure is None:
            measure = self._by_route[key] = self._requests.labels(method, route, str(status))
        measure.observe(seconds)

    def commit(self, log: str, seconds: float) -> None:
        """Notes a command that was carried out."""
        measure = self._by_log.get(log)
        if measure is None:
            measure = self._by_log[log] = self._appends.labels(log)
        measure.observe(seconds)

    async def watch(self) -> None:
        """Measures the event loop's lag until it is cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_BEAT)
            self._lag.set(max(0.0, time.perf_counter() - before - _BEAT))

    def exposition(self) -> bytes:
        """All measures in Prometheus' text format."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
