"""Spans as the shim makes them: complete when they are begun, short, and dated back (API only)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TracerProvider,
)

from shim import __version__
from shim.model import SECOND, Duration, Time
from shim.telemetry import attributes as names

log = logging.getLogger(__name__)

Attributes: TypeAlias = Mapping[str, str | bool | int | float]

LIMIT = 100
"""Spans of one name in one second: each costs tens of microseconds, and 100 000 clients may reconnect, or
change their stage, at once. Mismatched, expected and inconclusive episodes are not limited."""

_NO_PARENT = Context()
"""The shim's traces are its own, whatever span of the application is current."""

_NOBODY = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
"""What stands for a provider where none has been set."""

_MILLISECOND = 1_000_000
"""In nanoseconds."""

_LOOK: Duration = SECOND // 10
"""How long the answer holds that nobody has set a provider, or that somebody has."""

_PROBES = tuple(((1 << 128) - 1) * part // 16 for part in range(1, 17))
"""Trace ids from the whole range, the last one among them, which every share below 1 drops."""


class PlannedSpan(NamedTuple):
    """A span to be: `keep` as the sampler understands it, `error` the description of its status."""

    name: str
    start: Time
    end: Time
    attributes: Attributes
    keep: bool = False
    error: str | None = None


class Spans:
    """Makes spans with times of the shim's clock.

    `clock` is the shim's (microseconds, monotonic), `wall` the time of day in nanoseconds since 1970.
    Without a `provider` it is the one that the application has set, or sets later.
    """

    def __init__(
        self,
        clock: Callable[[], Time],
        wall: Callable[[], int],
        provider: TracerProvider | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._provider = provider
        self._tracer = trace.get_tracer("shim", __version__, provider)
        self._sampler_checked = False
        self._offset = 0
        self._on = provider is not None
        self._looked_at = -_LOOK

    @property
    def on(self) -> bool:
        """Whether a provider records spans. One that the application sets later is found soon after."""
        if self._provider is None:
            now = self._clock()
            # OpenTelemetry looks into the environment each time, which takes 2 us.
            if now - self._looked_at >= _LOOK:
                self._looked_at = now
                self._on = not isinstance(trace.get_tracer_provider(), _NOBODY)
        return self._on

    def root(
        self, name: str, start: Time, attributes: Attributes, links: Sequence[Link] = ()
    ) -> Span:
        """Begin a trace. The attributes must contain everything that a sampler looks at."""
        if not self._sampler_checked:
            self._check_sampler()
        return self._tracer.start_span(
            name,
            context=_NO_PARENT,
            attributes=attributes,
            links=links,
            start_time=self._nanoseconds(start),
        )

    def child(self, parent: SpanContext, planned: PlannedSpan) -> None:
        """A whole span in the parent's trace, which may have ended."""
        span = self._tracer.start_span(
            planned.name,
            context=trace.set_span_in_context(NonRecordingSpan(parent), _NO_PARENT),
            attributes={names.KEEP: planned.keep, **planned.attributes},
            start_time=self._nanoseconds(planned.start),
        )
        self.end(span, planned.end, planned.error)

    def end(self, span: Span, end: Time, error: str | None = None) -> None:
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(self._nanoseconds(end))

    def _nanoseconds(self, at: Time) -> int:
        """The time of day of a time of the shim's clock, by what both clocks say now.

        Two readings never lie equally far apart: differences below a millisecond are no change, so
        that spans which begin together do so to the nanosecond.
        """
        offset = self._wall() - self._clock() * 1000
        if abs(offset - self._offset) > _MILLISECOND:
            self._offset = offset
        return self._offset + at * 1000

    def _check_sampler(self) -> None:
        """Warn, once, if the application's sampler would drop mismatches."""
        provider = self._provider or trace.get_tracer_provider()
        sampler = getattr(provider, "sampler", None)
        if sampler is None:
            return
        self._sampler_checked = True
        mismatch = {names.KEEP: True, names.VERDICT: "mismatched"}
        results = (
            sampler.should_sample(_NO_PARENT, probe, "episode mismatched", attributes=mismatch)
            for probe in _PROBES
        )
        if not all(result.decision.is_sampled() for result in results):
            log.warning(
                "traces: the sampler %s drops mismatches; put shim.telemetry.EpisodeSampler around it",
                sampler.get_description(),
            )


class SpanRateLimit:
    """Counts the spans of each name, and those that were left out."""

    def __init__(self) -> None:
        self._seconds: dict[str, tuple[Time, int]] = {}
        self._left_out: dict[str, int] = {}

    def allows(self, name: str, now: Time) -> bool:
        """Whether one more span of this name fits into this second; counts it."""
        began, count = self._seconds.get(name, (now, 0))
        if now - began >= SECOND:
            began, count = now, 0
        self._seconds[name] = (began, count + 1)
        if count < LIMIT:
            return True
        self._left_out[name] = self._left_out.get(name, 0) + 1
        return False

    def left_out(self, name: str) -> int:
        """How many spans of this name were left out since this was last asked."""
        return self._left_out.pop(name, 0)
