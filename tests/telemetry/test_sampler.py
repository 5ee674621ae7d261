"""The sampler: everything of interest, a share of the rest, and the application's own choice."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from shim.telemetry import EpisodeSampler, TraceObserver
from tests.telemetry.records import verdict

trace_ids = st.integers(1, 2**128 - 1)
shares = st.floats(0, 1)
inner_samplers = st.sampled_from(
    [None, ALWAYS_OFF, ALWAYS_ON, TraceIdRatioBased(0.3), ParentBased(ALWAYS_OFF)]
)


def parent(sampled: bool) -> Context:
    context = SpanContext(5, 7, is_remote=False, trace_flags=TraceFlags(int(sampled)))
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


def kept(sampler: Sampler, trace_id: int, context: Context | None = None, **facts: object) -> bool:
    attributes = {f"shim.{name}": value for name, value in facts.items()}
    result = sampler.should_sample(context, trace_id, "episode", attributes=attributes)  # type: ignore[arg-type]
    return result.decision is Decision.RECORD_AND_SAMPLE


@given(trace_id=trace_ids, share=shares, inner=inner_samplers)
def test_what_is_of_interest_is_always_kept(
    trace_id: int, share: float, inner: Sampler | None
) -> None:
    assert kept(EpisodeSampler(inner, share), trace_id, keep=True)


@given(trace_id=trace_ids, share=shares, other=shares, inner=inner_samplers)
def test_a_larger_share_keeps_what_a_smaller_one_does(
    trace_id: int, share: float, other: float, inner: Sampler | None
) -> None:
    small, large = sorted((share, other))
    if kept(EpisodeSampler(inner, small), trace_id, keep=False):
        assert kept(EpisodeSampler(inner, large), trace_id, keep=False)
    assert kept(EpisodeSampler(inner, 1.0), trace_id, keep=False)
    assert not kept(EpisodeSampler(inner, 0.0), trace_id, keep=False)


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_the_share_is_one_of_the_traces(share: float) -> None:
    sampler, count = EpisodeSampler(None, share), 20_000
    step = 2**64 // count
    found = sum(kept(sampler, (1 << 100) | (number * step), keep=False) for number in range(count))
    assert found == pytest.approx(share * count, abs=1)


@given(trace_id=trace_ids, share=shares, inner=inner_samplers, keep=st.booleans(), up=st.booleans())
def test_a_child_goes_with_its_parent(
    trace_id: int, share: float, inner: Sampler | None, keep: bool, up: bool
) -> None:
    assert kept(EpisodeSampler(inner, share), trace_id, parent(up), keep=keep) is up


@given(trace_id=trace_ids, context=st.sampled_from([None, parent(True), parent(False)]))
def test_the_application_s_spans_are_its_sampler_s(trace_id: int, context: Context | None) -> None:
    for inner in (ALWAYS_ON, ALWAYS_OFF, TraceIdRatioBased(0.5), ParentBased(ALWAYS_OFF)):
        assert kept(EpisodeSampler(inner, 0.0), trace_id, context) is kept(inner, trace_id, context)
    assert kept(EpisodeSampler(), trace_id)
    assert not kept(EpisodeSampler(), trace_id, parent(False))


def test_a_share_is_no_percentage() -> None:
    with pytest.raises(ValueError, match="range"):
        EpisodeSampler(None, 5)


@pytest.mark.parametrize(
    ("sampler", "warned"),
    [
        (TraceIdRatioBased(0.99), True),
        (ParentBased(ALWAYS_OFF), True),
        (EpisodeSampler(ALWAYS_OFF, 0.0), False),
        (ALWAYS_ON, False),
    ],
)
def test_a_sampler_that_drops_mismatches_is_told_of_once(
    sampler: Sampler, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    observer = TraceObserver(lambda: 0, str, provider=provider)
    for _ in range(3):
        observer.on(verdict())
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(lines) == warned
    assert all("drops mismatches" in line for line in lines)
