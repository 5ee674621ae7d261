"""The same numbers as OpenTelemetry instruments, for who collects metrics over OTLP (API only)."""

from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from shim import __version__
from shim.telemetry.series import Series


def observe(series: Sequence[Series], provider: MeterProvider | None = None) -> None:
    """Let OpenTelemetry read them whenever its reader wants to; counting costs nothing more for that.

    Histograms are not among them: there is no instrument that reads one.
    """
    meter = get_meter("shim", __version__, provider)
    for one in series:
        name = one.name.replace("_", ".", 1)
        unit = "1"
        if name.endswith("_seconds"):
            name, unit = name.removesuffix("_seconds"), "s"
        if one.kind == "counter":
            meter.create_observable_counter(name, [_reader(one)], unit, one.documentation)
        else:
            meter.create_observable_gauge(name, [_reader(one)], unit, one.documentation)


def _reader(series: Series) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(options: CallbackOptions) -> Iterable[Observation]:
        for labels, value in series.read():
            yield Observation(value, dict(zip(series.labels, labels, strict=True)))

    return read
