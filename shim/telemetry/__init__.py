"""Traces and metrics (docs/design.md#traces); docs/telemetry.md has the attributes and the metrics."""

from shim.telemetry.otel_environment import importing_the_sdk

with importing_the_sdk():
    from shim.telemetry.catalogue import Readings
    from shim.telemetry.metrics import Metrics
    from shim.telemetry.sampler import EpisodeSampler
    from shim.telemetry.setup import Tracing, tracing
    from shim.telemetry.traces import TraceObserver

__all__ = ["EpisodeSampler", "Metrics", "Readings", "TraceObserver", "Tracing", "tracing"]
