"""What `/metrics` shows (Prometheus). Counted in plain integers: one thread writes them, and the library's own counters
cost more than all the rest of a small request. Each server process tells of itself alone."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from catalog.elements.opened import OperationCounts

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


class RouteCounts:
    """The requests of one route."""

    __slots__ = ("buckets", "method", "route", "seconds", "statuses")

    def __init__(self, method: str, route: str) -> None:
        self.method = method
        self.route = route
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Metrics(Collector):
    """All that is counted in this process. `pools` tells (size, idle) of each database pool, `storage` what was done
    with elements, by (element, operation), `out` which of them failed too often."""

    def __init__(
        self,
        pools: Callable[[], Mapping[str, tuple[int, int]]],
        storage: Callable[[], Mapping[tuple[str, str], OperationCounts]],
        out: Callable[[], Mapping[str, bool]],
    ) -> None:
        self.in_flight = 0
        self._pools = pools
        self._storage = storage
        self._out = out
        self._routes: list[RouteCounts] = []
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(self)

    def route(self, method: str, template: str) -> RouteCounts:
        """Counts for a route; of `{name:pattern}` the pattern is nothing that a reader of metrics needs."""
        template = re.sub(r"\{(\w+):.+?\}(?=/|$)", r"{\1}", template)
        counts = RouteCounts(method, template)
        self._routes.append(counts)
        return counts

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        labels = ["method", "route"]
        requests = CounterMetricFamily("lading_requests", "Requests answered.", labels=[*labels, "status"])
        seconds = HistogramMetricFamily("lading_request_seconds", "Time to answer, streams included.", labels=labels)
        for counts in self._routes:
            where = [counts.method, counts.route]
            for status, count in counts.statuses.items():
                requests.add_metric([*where, str(status)], count)
            if counts.statuses:
                seconds.add_metric(where, _cumulative(counts.buckets), counts.seconds)
        yield requests
        yield seconds
        yield GaugeMetricFamily("lading_requests_in_flight", "Requests being answered.", value=self.in_flight)
        size = GaugeMetricFamily("lading_database_connections", "Open connections.", labels=["pool"])
        idle = GaugeMetricFamily(
            "lading_database_connections_idle", "Open connections that nobody uses.", labels=["pool"]
        )
        for name, (opened, free) in self._pools().items():
            size.add_metric([name], opened)
            idle.add_metric([name], free)
        yield size
        yield idle
        yield from self._of_storage()

    def _of_storage(self) -> Iterator[Metric]:
        labels = ["element", "operation"]
        done = CounterMetricFamily("lading_storage_operations", "Operations of storage elements.", labels=labels)
        seconds = CounterMetricFamily("lading_storage_seconds", "Time they took, streams included.", labels=labels)
        moved = CounterMetricFamily("lading_storage_bytes", "Bytes they moved.", labels=labels)
        errors = CounterMetricFamily("lading_storage_errors", "Those that failed.", labels=[*labels, "error"])
        for where, counts in sorted(self._storage().items()):
            done.add_metric(where, counts.done)
            seconds.add_metric(where, counts.seconds)
            if counts.bytes:
                moved.add_metric(where, counts.bytes)
            for code, count in counts.errors.items():
                errors.add_metric([*where, code], count)
        out = GaugeMetricFamily("lading_storage_out", "1: taken out, for it failed too often.", labels=labels[:1])
        for element, is_out in sorted(self._out().items()):
            out.add_metric([element], float(is_out))
        yield from (done, seconds, moved, errors, out)


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total, out = 0, []
    for bound, count in zip([*BOUNDS, float("inf")], buckets, strict=True):
        total += count
        out.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
    return out
