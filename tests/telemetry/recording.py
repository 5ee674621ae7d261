"""What a trace observer made of events: the spans, their times and their links."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shim.model import SECOND, Cause, Closing, Outcome, Return, Role, Stage
from shim.router import Decided, Opened, ProofOfLife
from shim.runtime.pseudonyms import Pseudonyms
from shim.telemetry import EpisodeSampler, TraceObserver
from tests.telemetry.records import APP, decision, evaluation, verdict

S = SECOND
NOON = 1_800_000_000_000_000_000
"""The time of day, in nanoseconds, at which the shim's clock shows zero."""

pseudonym = Pseudonyms("key")


class Recording:
    """A trace observer on a clock that a test sets, and the spans that came of it."""

    def __init__(self, share: float = 1.0) -> None:
        self.now = 0
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(EpisodeSampler(None, share), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observer = TraceObserver(
            lambda: self.now, pseudonym, lambda: NOON + self.now * 1000, provider
        )

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans)

    def open(self, connection: Any = APP, stage: Stage = Stage.SHADOW, now: int = 0) -> None:
        flags = evaluation(connection.user, stage)
        self.observer.on(
            Opened(
                connection=connection, evaluation=flags, stage=stage, acting=stage.acting, at=now
            )
        )

    def leftovers(self) -> int:
        return sum(
            len(getattr(self.observer, name))
            for name in ("_stages", "_registrations", "_actions", "_held")
        )


def times(span: ReadableSpan) -> tuple[float, float]:
    """Start and end in seconds of the shim's clock."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.start_time - NOON) / 1e9, (span.end_time - NOON) / 1e9


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def is_child(span: ReadableSpan, root: ReadableSpan) -> bool:
    assert span.parent is not None
    assert root.context is not None
    return span.parent == root.context and trace_of(span) == trace_of(root)


def act(recording: Recording, stage: Stage) -> None:
    recording.open(stage=stage)
    recording.observer.on(Decided(APP, stage.acting, decision(at=48 * S), True))


def closing(at: int) -> Closing:
    return Closing(
        connection=APP,
        stage=Stage.LIVE,
        opened_at=0,
        at=at,
        cause=Cause.CANDIDATE,
        intended=1001,
        observed=1006,
    )


def returned(at: int) -> Outcome:
    return Outcome(
        connection=APP,
        role=Role.CANDIDATE,
        result=Return.RETURNED,
        acted_at=48 * S,
        at=at,
        window_ends=168 * S,
        last_activity=0,
        delay=at - 48 * S,
        code=1001,
    )


def tell(recording: Recording, step: str) -> None:
    observer = recording.observer
    if step == "verdict":
        observer.on(verdict(acting=Role.CANDIDATE, candidate_at=48 * S))
    elif step == "closed":
        observer.on(closing(49 * S))
    elif step == "proof":
        observer.on(ProofOfLife(APP, Role.CANDIDATE, 48_500_000, guard_event=None, counted=True))
    else:
        observer.on(returned(50 * S))
