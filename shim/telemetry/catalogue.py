"""Every metric that there is, with its meaning and its labels; docs/telemetry.md has the same list.

Names are Prometheus's, counters without their `_total`. No label names a user or a connection.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, TypeAlias, TypeVar, get_args, get_type_hints

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from shim.model import Kind, Role, Stage
from shim.telemetry.metric_registry import LookedUp, MetricRegistry, process_metrics

Reading: TypeAlias = Callable[[], float] | None
_M = TypeVar("_M", Counter, Gauge, Histogram)

_EITHER = ("false", "true")
_VALUES: dict[str, Sequence[str]] = {
    "connection_kind": [kind.value for kind in Kind],
    "stage": [str(stage) for stage in Stage],
    "role": [role.value for role in Role],
    "first": [role.value for role in Role],
    "acted": _EITHER,
    "call": (
        "create",
        "register",
        "unregister",
        "wake",
        "next_wake",
        "pong",
        "confirmed",
        "paused",
        "quarantine",
    ),
}
"""The values of labels, where all are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Numbers that others keep, each looked up at a scrape; what is None is left out."""

    sessions: Annotated[Reading, Gauge, "User sessions with an open connection."] = None
    open_episodes: Annotated[Reading, Gauge, "Episodes that wait for their verdict."] = None
    brake_engaged: Annotated[Reading, Gauge, "1 while the brake is engaged (R22)."] = None
    candidate_quarantined: Annotated[
        Reading, Gauge, "1 if the candidate failed so often that it runs no more (R5)."
    ] = None
    ledger_degraded: Annotated[Reading, Gauge, "1 while the ledger cannot be written."] = None
    ledger_queued_rows: Annotated[Reading, Gauge, "Rows that wait to be written to the ledger."] = (
        None
    )
    ledger_dropped_rows: Annotated[Reading, Counter, "Rows that the ledger had no room for."] = None
    ledger_commit_age_seconds: Annotated[
        Reading, Gauge, "Time since the last commit of the ledger."
    ] = None
    trace_collector_answers: Annotated[
        Reading, Gauge, "1 if the collector took the spans that it was last sent."
    ] = None
    trace_queued_spans: Annotated[Reading, Gauge, "Spans that wait to be sent."] = None
    trace_sent_spans: Annotated[Reading, Counter, "Spans that the collector took."] = None
    trace_dropped_spans: Annotated[Reading, Counter, "Spans that were given up."] = None


class Catalogue:
    """Each metric under its own name.

    `registry` has all of them, `mirrored` those that OpenTelemetry reads too.
    """

    def __init__(self, readings: Readings) -> None:
        self.registry = MetricRegistry()
        self.mirrored: list[Collector] = []
        self._connections()
        self._comparison()
        self._operation()
        for name, hint in get_type_hints(Readings, include_extras=True).items():
            if (look_up := getattr(readings, name)) is not None:
                kind, words = get_args(hint)[1:]
                self.mirrored.append(LookedUp(kind, f"shim_{name}", words, look_up))
                self.registry.register(self.mirrored[-1])
        self._durations()
        for metric in process_metrics():
            self.registry.register(metric)

    def _connections(self) -> None:
        gauge, counter = self._gauge, self._counter
        self.connections = gauge("connections", "Open connections.", "connection_kind", "stage")
        self.users = gauge(
            "users",
            "Users with an open connection, by the monitor that acts for them; once a minute.",
            "connection_kind",
            "role",
        )
        self.registrations = counter(
            "registrations", "Connections registered.", "connection_kind", "stage"
        )
        self.closings = counter(
            "closings",
            "Connections ended, by who ended them and the close code that was sent (none: no frame).",
            "connection_kind",
            "cause",
            "code",
        )
        self.stage_changes = counter(
            "stage_changes", "Open connections moved to another stage (R21).", "before", "after"
        )
        self.connected = counter(
            "connected_seconds",
            "Time that connections were open, summed up; once a minute.",
            "connection_kind",
        )
        self.acted_for = counter(
            "acted_seconds",
            "Of that, the time in which this monitor acted.",
            "connection_kind",
            "role",
        )
        self.candidate_pings = counter(
            "candidate_pings",
            "Pings of the candidate, sent or recorded; once a minute.",
            "connection_kind",
        )
        self.candidate_pings_due = counter(
            "candidate_pings_due",
            "The pings that its heartbeat interval asks for.",
            "connection_kind",
        )

    def _comparison(self) -> None:
        counter = self._counter
        self.decisions = counter(
            "decisions",
            "Timeouts decided; acted: the decision reached the socket.",
            "role",
            "acted",
            "connection_kind",
        )
        self.verdicts = counter(
            "verdicts",
            "Verdicts; informative: the shadow decided first, so that the agreement is evidence (R14).",
            "verdict",
            "kind",
            "recovered",
            "informative",
            "connection_kind",
        )
        for labels in _verdicts():
            self.verdicts.labels(*labels)
        self.late_decisions = counter(
            "late_decisions", "Decisions on a silence that had its verdict (R7).", "role"
        )
        self.outcomes = counter(
            "outcomes",
            "What became of clients that a monitor closed (R15); code none: it terminated.",
            "role",
            "outcome",
            "code",
            "by_percentage",
            "connection_kind",
        )
        self.proofs_of_life = counter(
            "proofs_of_life",
            "Clients that spoke after the monitor had closed their connection (R14b).",
            "role",
        )

    def _operation(self) -> None:
        gauge, counter = self._gauge, self._counter
        self.failures = counter(
            "monitor_failures", "Calls of a monitor that failed (R5).", "role", "call"
        )
        self.brakes = counter("brake_engagements", "Times that the brake engaged.")
        self.guard = gauge(
            "guard_holding", "1 while the guard holds up closes of the candidate (R6b)."
        )
        self.guards = counter("guard_engagements", "Times that the guard began to hold.")
        self.flags_info = gauge(
            "flags_info", "1 for the digest of the flags file in use (R20).", "digest"
        )
        self.flags_loaded_at = gauge(
            "flags_loaded_timestamp_seconds", "When the flags file in use was read."
        )
        self.flags_stale = gauge(
            "flags_stale", "1 if the flags file was refused since: the last good one is in use."
        )
        self.flags_failures = counter("flags_failures", "Flags files refused.")
        self.pauses = counter("pauses", "Times that the process did not run (R3).")
        self.paused = counter("paused_seconds", "Time in which the process did not run.")

    def _durations(self) -> None:
        self.skew = self._histogram(
            "skew_seconds",
            "Time between the two decisions of an episode, by who decided first.",
            (0.1, 0.5, 1, 2, 4, 8, 12, 15, 16, 20, 30, 60),
            "first",
        )
        self.return_delay = self._histogram(
            "return_delay_seconds",
            "Time from a monitor's closing to the client's return (R15).",
            (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120),
            "role",
        )
        self.timer_lateness = self._histogram(
            "timer_lateness_seconds",
            "How late the shim's own timer came: the event loop was busy, or the process stood still.",
            (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
        )

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        gauge = _begin(Gauge(f"shim_{name}", words, labels, registry=self.registry), labels)
        self.mirrored.append(gauge)
        return gauge

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        counter = _begin(Counter(f"shim_{name}", words, labels, registry=self.registry), labels)
        self.mirrored.append(counter)
        return counter

    def _histogram(self, name: str, words: str, bounds: Sequence[float], *labels: str) -> Histogram:
        """`bounds` are the upper ends of the buckets, inclusive."""
        registry = self.registry
        return _begin(
            Histogram(f"shim_{name}", words, labels, registry=registry, buckets=bounds), labels
        )


def _begin(metric: _M, labels: Sequence[str]) -> _M:
    """Every combination of known labels exists from the start: then the first event is an increase."""
    if labels and all(label in _VALUES for label in labels):
        for values in product(*(_VALUES[label] for label in labels)):
            metric.labels(*values)
    return metric


def _verdicts() -> Iterator[tuple[str, ...]]:
    """Every verdict that there can be, of every episode: an alert is about the first one, too."""
    apart = [("skewed", "false"), ("error", "false")]
    apart += product(("only_control", "only_candidate"), _EITHER)
    verdicts = [("matched", "both", "false")]
    verdicts += [("inconclusive", kind, "false") for kind in ("closed", "handover", "shutdown")]
    verdicts += [(name, *sort) for name in ("mismatched", "expected") for sort in apart]
    for verdict, *rest in product(verdicts, _EITHER, _VALUES["connection_kind"]):
        yield (*verdict, *rest)
