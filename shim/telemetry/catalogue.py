"""Every metric that there is, with its meaning and its labels; docs/telemetry.md has the same list.

Names are Prometheus's, counters without their `_total`. No label names a user or a connection.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import TypeAlias, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shim.model import Kind, Role, Stage
from shim.telemetry.metric_registry import LookedUp, MetricRegistry, process_metrics

Labels: TypeAlias = tuple[str, ...]
_M = TypeVar("_M", Counter, Gauge)

_KINDS = tuple(kind.value for kind in Kind)
_ROLES = tuple(role.value for role in Role)
_STAGES = tuple(str(stage) for stage in Stage)
_EITHER = ("false", "true")
_CALLS = (
    "create",
    "register",
    "unregister",
    "wake",
    "next_wake",
    "pong",
    "confirmed",
    "paused",
    "quarantine",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Numbers that others keep, each looked up at a scrape; what is None is left out."""

    sessions: Callable[[], float] | None = None
    open_episodes: Callable[[], float] | None = None
    brake_engaged: Callable[[], float] | None = None
    candidate_quarantined: Callable[[], float] | None = None
    ledger_degraded: Callable[[], float] | None = None
    ledger_queued_rows: Callable[[], float] | None = None
    ledger_dropped_rows: Callable[[], float] | None = None
    ledger_commit_age_seconds: Callable[[], float] | None = None
    trace_collector_answers: Callable[[], float] | None = None
    trace_queued_spans: Callable[[], float] | None = None
    trace_sent_spans: Callable[[], float] | None = None
    trace_dropped_spans: Callable[[], float] | None = None


_READINGS = {
    "sessions": "User sessions with an open connection.",
    "open_episodes": "Episodes that wait for their verdict.",
    "brake_engaged": "1 while the brake is engaged (R22).",
    "candidate_quarantined": "1 if the candidate failed so often that it runs no more (R5).",
    "ledger_degraded": "1 while the ledger cannot be written.",
    "ledger_queued_rows": "Rows that wait to be written to the ledger.",
    "ledger_dropped_rows": "Rows that the ledger had no room for.",
    "ledger_commit_age_seconds": "Time since the last commit of the ledger.",
    "trace_collector_answers": "1 if the collector took the spans that it was last sent.",
    "trace_queued_spans": "Spans that wait to be sent.",
    "trace_sent_spans": "Spans that the collector took.",
    "trace_dropped_spans": "Spans that were given up.",
}
_COUNTED = ("ledger_dropped_rows", "trace_sent_spans", "trace_dropped_spans")


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
        for field in fields(readings):
            if (look_up := getattr(readings, field.name)) is not None:
                family = CounterMetricFamily if field.name in _COUNTED else GaugeMetricFamily
                name, words = f"shim_{field.name}", _READINGS[field.name]
                self.mirrored.append(LookedUp(family, name, words, look_up))
                self.registry.register(self.mirrored[-1])
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
        for metric in process_metrics():
            self.registry.register(metric)

    def _connections(self) -> None:
        self.connections = self._gauge(
            "connections",
            "Open connections.",
            ("connection_kind", "stage"),
            _KINDS,
            _STAGES,
        )
        self.users = self._gauge(
            "users",
            "Users with an open connection, by the monitor that acts for them; once a minute.",
            ("connection_kind", "role"),
            _KINDS,
            _ROLES,
        )
        self.registrations = self._counter(
            "registrations",
            "Connections registered.",
            ("connection_kind", "stage"),
            _KINDS,
            _STAGES,
        )
        self.closings = self._counter(
            "closings",
            "Connections ended, by who ended them and the close code that was sent (none: no frame).",
            ("connection_kind", "cause", "code"),
        )
        self.stage_changes = self._counter(
            "stage_changes", "Open connections moved to another stage (R21).", ("before", "after")
        )
        self.connected = self._counter(
            "connected_seconds",
            "Time that connections were open, summed up; once a minute.",
            ("connection_kind",),
            _KINDS,
        )
        self.acted_for = self._counter(
            "acted_seconds",
            "Of that, the time in which this monitor acted.",
            ("connection_kind", "role"),
            _KINDS,
            _ROLES,
        )
        self.candidate_pings = self._counter(
            "candidate_pings",
            "Pings of the candidate, sent or recorded; once a minute.",
            ("connection_kind",),
            _KINDS,
        )
        self.candidate_pings_due = self._counter(
            "candidate_pings_due",
            "The pings that its heartbeat interval asks for.",
            ("connection_kind",),
            _KINDS,
        )

    def _comparison(self) -> None:
        self.decisions = self._counter(
            "decisions",
            "Timeouts decided; acted: the decision reached the socket.",
            ("role", "acted", "connection_kind"),
            _ROLES,
            _EITHER,
            _KINDS,
        )
        self.verdicts = self._counter(
            "verdicts",
            "Verdicts; informative: the shadow decided first, so that the agreement is evidence (R14).",
            ("verdict", "kind", "recovered", "informative", "connection_kind"),
            zeros=_verdicts(),
        )
        self.late_decisions = self._counter(
            "late_decisions",
            "Decisions on a silence that had its verdict (R7).",
            ("role",),
            _ROLES,
        )
        self.outcomes = self._counter(
            "outcomes",
            "What became of clients that a monitor closed (R15); code none: it terminated.",
            ("role", "outcome", "code", "by_percentage", "connection_kind"),
        )
        self.proofs_of_life = self._counter(
            "proofs_of_life",
            "Clients that spoke after the monitor had closed their connection (R14b).",
            ("role",),
            _ROLES,
        )

    def _operation(self) -> None:
        self.failures = self._counter(
            "monitor_failures",
            "Calls of a monitor that failed (R5).",
            ("role", "call"),
            _ROLES,
            _CALLS,
        )
        self.brakes = self._counter("brake_engagements", "Times that the brake engaged.")
        self.guard = self._gauge(
            "guard_holding", "1 while the guard holds up closes of the candidate (R6b)."
        )
        self.guards = self._counter("guard_engagements", "Times that the guard began to hold.")
        self.flags_info = self._gauge(
            "flags_info", "1 for the digest of the flags file in use (R20).", ("digest",)
        )
        self.flags_loaded_at = self._gauge(
            "flags_loaded_timestamp_seconds", "When the flags file in use was read."
        )
        self.flags_stale = self._gauge(
            "flags_stale", "1 if the flags file was refused since: the last good one is in use."
        )
        self.flags_failures = self._counter("flags_failures", "Flags files refused.")
        self.pauses = self._counter("pauses", "Times that the process did not run (R3).")
        self.paused = self._counter("paused_seconds", "Time in which the process did not run.")

    def _gauge(self, name: str, words: str, labels: Labels = (), *values: Sequence[str]) -> Gauge:
        gauge = Gauge(f"shim_{name}", words, labels, registry=self.registry)
        return self._begin(gauge, _combinations(labels, values))

    def _counter(
        self,
        name: str,
        words: str,
        labels: Labels = (),
        *values: Sequence[str],
        zeros: Sequence[Labels] = (),
    ) -> Counter:
        counter = Counter(f"shim_{name}", words, labels, registry=self.registry)
        return self._begin(counter, zeros or _combinations(labels, values))

    def _begin(self, metric: _M, zeros: Iterable[Labels]) -> _M:
        """Combinations of labels exist from the start, so that the first event is an increase."""
        for labels in zeros:
            metric.labels(*labels)
        self.mirrored.append(metric)
        return metric

    def _histogram(
        self, name: str, words: str, bounds: Sequence[float], label: str | None = None
    ) -> Histogram:
        """`bounds` are the upper ends of the buckets, inclusive; the label's values are the roles."""
        labels = () if label is None else (label,)
        histogram = Histogram(f"shim_{name}", words, labels, registry=self.registry, buckets=bounds)
        for role in _ROLES if labels else ():
            histogram.labels(role)
        return histogram


def _combinations(labels: Labels, values: tuple[Sequence[str], ...]) -> Iterable[Labels]:
    """Every combination, where all values are known."""
    return product(*values) if labels and len(values) == len(labels) else ()


def _verdicts() -> list[Labels]:
    """Every verdict that there can be, of every episode: an alert is about the first one, too."""
    apart = [("skewed", "false"), ("error", "false")]
    apart += product(("only_control", "only_candidate"), _EITHER)
    verdicts = [("matched", "both", "false")]
    verdicts += [("inconclusive", kind, "false") for kind in ("closed", "handover", "shutdown")]
    verdicts += [(name, *sort) for name in ("mismatched", "expected") for sort in apart]
    return [(*verdict, *rest) for verdict in verdicts for rest in product(_EITHER, _KINDS)]
