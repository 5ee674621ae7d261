"""The numbers in Prometheus's words: `GET /metrics`."""

import os
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from shim.telemetry.series import Example, Histogram, Series

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Exposition:
    """Series and histograms as one text, with exemplars where the reader understands them."""

    def __init__(self, series: Sequence[Series], histograms: Sequence[Histogram]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Numbers(series, histograms))
        self._registry.register(_Process())

    def render(self, accept: str) -> tuple[str, bytes]:
        """Content type and body, for what the request's `Accept` header says."""
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(self._registry)


class _Numbers(Collector):
    def __init__(self, series: Sequence[Series], histograms: Sequence[Histogram]) -> None:
        self._series = series
        self._histograms = histograms

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for series in self._series:
            yield _family(series)
        for histogram in self._histograms:
            yield _histogram(histogram)


def _family(series: Series) -> Metric:
    if series.kind == "gauge":
        gauge = GaugeMetricFamily(series.name, series.documentation, labels=series.labels)
        for labels, value in series.read():
            gauge.add_metric(labels, value)
        return gauge
    counter = CounterMetricFamily(series.name, series.documentation, labels=series.labels)
    for labels, value in series.read():
        counter.add_metric(labels, value, exemplar=_exemplar(series.examples.get(labels)))
    return counter


def _histogram(histogram: Histogram) -> Metric:
    names = () if histogram.label is None else (histogram.label,)
    family = HistogramMetricFamily(histogram.name, histogram.documentation, labels=names)
    bounds = [*map(str, histogram.bounds), "+Inf"]
    for label, counts in histogram.counts.items():
        below, buckets = 0, []
        for bucket, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
            below += count
            example = _exemplar(histogram.examples.get((label, bucket)))
            buckets.append((bound, below) if example is None else (bound, below, example))
        family.add_metric([label] if names else [], buckets, histogram.sums[label])
    return family


def _exemplar(example: Example | None) -> Exemplar | None:
    if example is None:
        return None
    return Exemplar({"trace_id": example.trace}, example.value, example.at)


class _Process(Collector):
    """The process, under the names that every client library uses.

    Not the library's own collector: that one lists the open files, which are a hundred thousand here.
    """

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            time.process_time(),
        )
        yield GaugeMetricFamily(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
        statm = Path("/proc/self/statm")
        if statm.exists():
            yield GaugeMetricFamily(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                int(statm.read_text().split()[1]) * _PAGE,
            )
