"""What tracing and metrics cost: CPU for an episode, in the loop's thread and in all, and for a scrape."""

from collections.abc import Callable, Sequence
from statistics import median
from time import process_time_ns, thread_time_ns

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shim.flags.targeting import everyone_at
from shim.model import (
    SECOND,
    Cause,
    Close,
    Closing,
    Connection,
    Decision,
    Kind,
    Outcome,
    Return,
    Role,
    Stage,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
)
from shim.router import Decided, Observer, Opened
from shim.runtime.driver import clock
from shim.runtime.pseudonyms import Pseudonyms
from shim.telemetry import EpisodeSampler, Metrics, TraceObserver
from shim.telemetry.delivery import Delivery

EPISODES = 1000
ROUNDS = 7
CONNECTIONS = 100_000


class _Encoding(SpanExporter):
    """Does all that an exporter does but the sending."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def run(connections: int = CONNECTIONS) -> None:
    pseudonyms = Pseudonyms("key")
    print(
        f"one episode with its registration, closing and return, {EPISODES} mismatched at a time:"
    )
    _report("  nobody told", Observer())
    _report("  tracing off", TraceObserver(clock, pseudonyms))
    for words, share in (("  traced (6 spans)", 1.0), ("  sampled out", 0.0)):
        provider = TracerProvider(EpisodeSampler(None, share), shutdown_on_exit=False)
        delivery = Delivery(_Encoding(), "nowhere", capacity=100_000)
        provider.add_span_processor(delivery)
        observer = TraceObserver(clock, pseudonyms, provider=provider)
        matched = not share
        _report(words, observer, matched=matched, flush=delivery.force_flush)
        provider.shutdown()
    metrics = Metrics()
    _report("  counted", metrics)
    _scrape(metrics, connections)


def _report(
    words: str,
    observer: Observer,
    *,
    matched: bool = False,
    flush: Callable[[], object] = lambda: None,
) -> None:
    own, total = [], []
    for round_ in range(ROUNDS):
        thread, process = thread_time_ns(), process_time_ns()
        for number in range(EPISODES):
            # A second apart: the limit of spans in one second is not what is measured.
            _episode(observer, f"c{number}", (round_ * EPISODES + number) * SECOND, matched)
        own.append(thread_time_ns() - thread)
        flush()
        total.append(process_time_ns() - process)
    loop, everything = (median(times) / EPISODES / 1000 for times in (own, total))
    print(f"{words}: {loop:.1f} µs in the loop's thread, {everything:.1f} µs in all")


def _episode(observer: Observer, id: str, now: Time, matched: bool) -> None:
    connection = Connection(id, Kind.APP, "alice@example.com", "s1", "com.example.app1")
    observer.on(
        Opened(
            connection=connection,
            evaluation=_EVALUATION,
            stage=Stage.LIVE,
            acting=Role.CANDIDATE,
            at=now,
        )
    )
    decision = Decision(id, now, now, 45 * SECOND, (Close(1001, "", SECOND),))
    observer.on(Decided(connection, Role.CANDIDATE, decision, True))
    verdict = Verdict(
        connection=connection,
        order=1,
        name=VerdictName.MATCHED if matched else VerdictName.MISMATCHED,
        kind=VerdictKind.BOTH if matched else VerdictKind.SKEWED,
        at=now,
        first=Role.CANDIDATE,
        control_at=now,
        candidate_at=now - 12 * SECOND,
        recovered=False,
        last_activity=now - 60 * SECOND,
        acting=Role.CANDIDATE,
    )
    observer.on(verdict)
    observer.on(
        Closing(
            connection=connection,
            stage=Stage.LIVE,
            opened_at=0,
            at=now,
            cause=Cause.CANDIDATE,
            intended=1001,
            observed=1001,
        )
    )
    observer.on(
        Outcome(
            connection=connection,
            role=Role.CANDIDATE,
            result=Return.RETURNED,
            acted_at=now,
            at=now,
            window_ends=now,
            last_activity=now,
            delay=0,
            code=1001,
        )
    )


def _scrape(metrics: Metrics, connections: int) -> None:
    before = _scrape_time(metrics)
    for number in range(connections):
        connection = Connection(f"o{number}", Kind.APP, "u", "s", "p")
        metrics.on(
            Opened(
                connection=connection,
                evaluation=_EVALUATION,
                stage=Stage.SHADOW,
                acting=Role.CONTROL,
                at=0,
            )
        )
    after = _scrape_time(metrics)
    print(f"a scrape: {before:.2f} ms; with {connections} open connections {after:.2f} ms")


def _scrape_time(metrics: Metrics) -> float:
    times = []
    for _ in range(20):
        started = thread_time_ns()
        metrics.render("application/openmetrics-text; version=1.0.0")
        times.append(thread_time_ns() - started)
    return median(times) / 1e6


_EVALUATION = everyone_at(Stage.LIVE).evaluate("alice@example.com")
