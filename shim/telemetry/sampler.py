"""Which traces are kept: everything of interest, and a share of the rest."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from shim.telemetry import attributes as names


class EpisodeSampler(Sampler):
    """Keeps what the shim marks as of interest, a share of its routine, and asks `inner` about the rest.

    Every span of the shim carries `shim.keep` from its start: an episode's verdict is known when its
    root span starts. True (mismatched, expected and inconclusive episodes, failures, brakes) is always
    kept; false (matched episodes, registrations, closings) for `matched_share` of the trace ids; a
    child goes with its parent. Spans without the attribute are the application's and `inner`'s
    (by default OpenTelemetry's own default: all, and children with their parents).
    """

    def __init__(self, inner: Sampler | None = None, matched_share: float = 1.0) -> None:
        self._inner = inner or DEFAULT_ON
        self._routine = TraceIdRatioBased(matched_share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        keep = None if attributes is None else attributes.get(names.KEEP)
        parent = get_current_span(parent_context).get_span_context()
        if keep is None:
            sampler = self._inner
        elif parent.is_valid:
            sampler = ALWAYS_ON if parent.trace_flags.sampled else ALWAYS_OFF
        else:
            sampler = ALWAYS_ON if keep else self._routine
        return sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"EpisodeSampler{{inner:{self._inner.get_description()},share:{self._routine.rate}}}"
