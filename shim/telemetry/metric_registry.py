"""Where the shim's metrics are kept, read by Prometheus (`GET /metrics`) and by OpenTelemetry."""

import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from shim import __version__

_PAGE = os.sysconf("SC_PAGE_SIZE")


class MetricRegistry(CollectorRegistry):
    """A registry of the shim's own: what the service around it counts elsewhere is not in it."""

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            # Each series would have a second one, with the time of its creation.
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family

    def render(self, accept: str) -> tuple[str, bytes]:
        """Content type and body, for what the request's `Accept` header says.

        Exemplars are there where the reader understands them.
        """
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encoder, content_type = choose_encoder("")
        return content_type, encoder(self)


class LookedUp(Collector):
    """One number without labels that is kept elsewhere, and looked up when somebody asks for it."""

    def __init__(
        self,
        kind: type[Counter] | type[Gauge],
        name: str,
        documentation: str,
        look_up: Callable[[], float],
    ) -> None:
        self._family = CounterMetricFamily if kind is Counter else GaugeMetricFamily
        self._name = name
        self._documentation = documentation
        self._look_up = look_up

    def describe(self) -> Iterable[Metric]:
        return [self._family(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        return [self._family(self._name, self._documentation, self._look_up())]


def process_metrics() -> Iterator[LookedUp]:
    """The process, under the names that every client library uses.

    Not the library's own collector: that lists the open files, which are a hundred thousand here.
    """
    yield LookedUp(
        Counter,
        "process_cpu_seconds",
        "Total user and system CPU time spent in seconds.",
        time.process_time,
    )
    yield LookedUp(
        Gauge,
        "process_max_fds",
        "Maximum number of open file descriptors.",
        lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
    statm = Path("/proc/self/statm")
    if statm.exists():
        yield LookedUp(
            Gauge,
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            lambda: int(statm.read_text().split()[1]) * _PAGE,
        )


def mirror(collector: Collector, provider: MeterProvider | None = None) -> None:
    """Let OpenTelemetry read the collector's one family too (API only): counting costs nothing more.

    No histogram: there is no instrument that reads one.
    """
    (family,) = collector.collect()
    name, unit = family.name.replace("_", ".", 1), "1"
    if name.endswith("_seconds"):
        name, unit = name.removesuffix("_seconds"), "s"

    def observe(options: CallbackOptions) -> Iterator[Observation]:
        for now in collector.collect():
            for sample in now.samples:
                if not sample.name.endswith("_created"):
                    yield Observation(sample.value, sample.labels)

    meter = get_meter("shim", __version__, provider)
    if family.type == "counter":
        meter.create_observable_counter(name, [observe], unit, family.documentation)
    else:
        meter.create_observable_gauge(name, [observe], unit, family.documentation)
