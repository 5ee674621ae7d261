"""OpenTelemetry's SDK for `serve` and `demo`: from the standard `OTEL_…` variables and the settings.

The environment has priority, because operators set it for one deployment. Without an endpoint in either
place nothing is set up, and tracing costs nothing. An application that embeds the shim has its own provider.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from shim import __version__
from shim.model import InputError, seconds
from shim.settings.sections import TelemetrySettings
from shim.telemetry.delivery import Delivery
from shim.telemetry.otel_environment import (
    read_seconds,
    read_variable,
    read_whole_number,
    usable_variables,
)
from shim.telemetry.sampler import EpisodeSampler

_HTTP_PATH = "/v1/traces"
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_PROTOCOLS = {"grpc": "grpc", "http": "http", "http/protobuf": "http"}


@dataclass(frozen=True, slots=True)
class Tracing:
    """A provider of tracers, and what becomes of its spans."""

    provider: TracerProvider
    delivery: Delivery


@contextmanager
def tracing(settings: TelemetrySettings) -> Iterator[Tracing | None]:
    """Tracing as long as the context lasts; None if there is no endpoint. Raises InputError.

    Leaving takes `SHUTDOWN_LIMIT` at most, also when the collector is dead.
    """
    with usable_variables(lambda: _try(settings)):
        made = _make(settings)
    if made is None:
        yield None
        return
    try:
        yield made
    finally:
        made.provider.shutdown()


def _try(settings: TelemetrySettings) -> None:
    """Raises what `_make` would raise, or asking OpenTelemetry for its providers."""
    trace.get_tracer_provider()
    metrics.get_meter_provider()
    if (endpoint := collector_endpoint(settings)) is not None:
        _provider(settings)
        _delivery_options()
        _exporter(endpoint, settings).shutdown()


def _make(settings: TelemetrySettings) -> Tracing | None:
    if (endpoint := collector_endpoint(settings)) is None:
        return None
    provider, exporter = _provider(settings), _exporter(endpoint, settings)
    delivery = Delivery(exporter, _address(endpoint), **_delivery_options())
    provider.add_span_processor(delivery)
    return Tracing(provider, delivery)


def _provider(settings: TelemetrySettings) -> TracerProvider:
    resource = Resource.create(
        {
            "service.name": settings.service_name,
            "service.version": __version__,
            "service.instance.id": str(uuid4()),
        }
    )
    # `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` have priority.
    resource = resource.merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.sampler = EpisodeSampler(provider.sampler, settings.matched_share)
    return provider


def _delivery_options() -> dict[str, Any]:
    return {
        "capacity": read_whole_number("OTEL_BSP_MAX_QUEUE_SIZE", 8192),
        "batch": read_whole_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
        "delay": read_whole_number("OTEL_BSP_SCHEDULE_DELAY", 1000) / 1000,
    }


def collector_endpoint(settings: TelemetrySettings) -> str | None:
    """The complete address for spans; None: spans go nowhere."""
    if read_variable("OTEL_SDK_DISABLED").lower() == "true":
        return None
    match read_variable("OTEL_TRACES_EXPORTER") or "otlp":
        case "none":
            return None
        case "otlp":
            pass
        case other:
            raise InputError(f"OTEL_TRACES_EXPORTER is {other!r}; there are otlp and none")
    if own := read_variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        # By the specification, this address is used without a change.
        return _checked("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own)
    if base := read_variable("OTEL_EXPORTER_OTLP_ENDPOINT"):
        url = _checked("OTEL_EXPORTER_OTLP_ENDPOINT", base)
        return url.rstrip("/") + _HTTP_PATH if _protocol(settings) == "http" else url
    if settings.endpoint is None:
        return None
    url = _checked("telemetry.endpoint", settings.endpoint)
    if _protocol(settings) == "http" and urlsplit(url).path in ("", "/"):
        return url.rstrip("/") + _HTTP_PATH
    return url


def _checked(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        shown = "not such an address" if "@" in url else repr(url)  # it may have a password
        raise InputError(f"{name} is {shown}; it has to look like http://collector:4317")
    return url


def _protocol(settings: TelemetrySettings) -> str:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if value := read_variable(name):
            if value not in _PROTOCOLS:
                raise InputError(f"{name} is {value!r}; there are grpc and http/protobuf")
            return _PROTOCOLS[value]
    return settings.protocol


def _exporter(endpoint: str, settings: TelemetrySettings) -> SpanExporter:
    """The exporter; headers, certificates and compression it takes from the environment itself."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"):
        if (file := read_variable(name)) and not Path(file).is_file():
            raise InputError(f"{name}: there is no file {file}")
    timeout = read_seconds(_TIMEOUTS, seconds(settings.timeout))
    names = ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
    compression = next((value for name in names if (value := read_variable(name).lower())), "")
    try:
        # Imported only now: gRPC takes a third of a second to import, and most processes never need it.
        if _protocol(settings) == "grpc":
            from grpc import Compression
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
                OTLPSpanExporter as GrpcExporter,
            )

            if compression == "none":
                # A word of the specification that this exporter does not know.
                return GrpcExporter(
                    endpoint, timeout=timeout, compression=Compression.NoCompression
                )
            return GrpcExporter(endpoint, timeout=timeout)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter as HttpExporter,
        )

        return HttpExporter(endpoint, timeout=timeout)
    except Exception as error:
        raise InputError(f"traces cannot be sent to {_address(endpoint)}: {error}") from error


def _address(endpoint: str) -> str:
    """The endpoint as it may be logged: without a password that may be in it."""
    return urlsplit(endpoint).netloc.rpartition("@")[2]
