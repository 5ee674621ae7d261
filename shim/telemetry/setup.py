"""OpenTelemetry's SDK for `serve` and `demo`: from the standard `OTEL_…` variables and the settings.

The environment has priority, because operators set it for one deployment. Without an endpoint in either
place nothing is set up, and tracing costs nothing. An application that embeds the shim has its own provider.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from shim import __version__
from shim.model import InputError, seconds
from shim.settings.sections import TelemetrySettings
from shim.telemetry.delivery import Delivery
from shim.telemetry.sampler import EpisodeSampler

_HTTP_PATH = "/v1/traces"
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
    endpoint = collector_endpoint(settings)
    if endpoint is None:
        yield None
        return
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
    delivery = Delivery(
        _exporter(endpoint, settings),
        _address(endpoint),
        capacity=_whole("OTEL_BSP_MAX_QUEUE_SIZE", 8192),
        batch=_whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
        delay=_whole("OTEL_BSP_SCHEDULE_DELAY", 1000) / 1000,
    )
    provider.add_span_processor(delivery)
    try:
        yield Tracing(provider, delivery)
    finally:
        provider.shutdown()


def collector_endpoint(settings: TelemetrySettings) -> str | None:
    """The complete address for spans; None: spans go nowhere."""
    if _variable("OTEL_SDK_DISABLED").lower() == "true":
        return None
    match _variable("OTEL_TRACES_EXPORTER") or "otlp":
        case "none":
            return None
        case "otlp":
            pass
        case other:
            raise InputError(f"OTEL_TRACES_EXPORTER is {other!r}; there are otlp and none")
    if own := _variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        # By the specification, this address is used without a change.
        return _checked("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own)
    if base := _variable("OTEL_EXPORTER_OTLP_ENDPOINT"):
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
        raise InputError(f"{name} is {url!r}; it has to look like http://collector:4317")
    return url


def _protocol(settings: TelemetrySettings) -> str:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if value := _variable(name):
            if value not in _PROTOCOLS:
                raise InputError(f"{name} is {value!r}; there are grpc and http/protobuf")
            return _PROTOCOLS[value]
    return settings.protocol


def _exporter(endpoint: str, settings: TelemetrySettings) -> SpanExporter:
    """The exporter; headers, certificates and compression it takes from the environment itself."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"):
        if (file := _variable(name)) and not Path(file).is_file():
            raise InputError(f"{name}: there is no file {file}")
    in_environment = any(
        _variable(name)
        for name in ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    )
    timeout = None if in_environment else seconds(settings.timeout)
    try:
        # Imported only now: gRPC takes a third of a second to import, and most processes never need it.
        if _protocol(settings) == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
                OTLPSpanExporter as GrpcExporter,
            )

            return GrpcExporter(endpoint=endpoint, timeout=timeout)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter as HttpExporter,
        )

        return HttpExporter(endpoint=endpoint, timeout=timeout)
    except Exception as error:
        raise InputError(f"traces cannot be sent to {_address(endpoint)}: {error}") from error


def _address(endpoint: str) -> str:
    """The endpoint as it may be logged: without a password that may be in it."""
    return urlsplit(endpoint).netloc.rpartition("@")[2]


def _whole(name: str, default: int) -> int:
    value = _variable(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise InputError(f"{name} is {value!r}, not a whole number above 0")
    return int(value)


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()
