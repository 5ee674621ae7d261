"""Every metric that there is, with its meaning and its labels; docs/telemetry.md has the same list.

Names are Prometheus's, counters without their `_total`. No label names a user or a connection.

Rules: docs/design.md#r3, docs/design.md#r5, docs/design.md#r6b, docs/design.md#r7,
docs/design.md#r14, docs/design.md#r14b, docs/design.md#r15, docs/design.md#r20,
docs/design.md#r21, docs/design.md#r22, docs/design.md#r23, docs/design.md#r24,
docs/design.md#r25, docs/design.md#r26, docs/design.md#r27.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, TypeAlias, get_args, get_type_hints

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from shim.model import Kind, Role, Stage
from shim.model.records import QUARANTINE
from shim.telemetry.metric_registry import LookedUp, MetricRegistry, process_metrics

Reading: TypeAlias = Callable[[], float] | None

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
        QUARANTINE,
    ),
}
"""The values of labels, where all are known."""


_BOUNDS = {
    "skew_seconds": (0.1, 0.5, 1, 2, 4, 8, 12, 15, 16, 20, 30, 60),
    "return_delay_seconds": (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120),
    "timer_lateness_seconds": (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
}
"""The upper ends of the buckets, inclusive; a bucket without end is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Numbers that others keep, each looked up at a scrape; what is None is left out."""

    sessions: Annotated[Reading, Gauge, "User sessions with an open connection."] = None
    open_episodes: Annotated[Reading, Gauge, "Episodes that wait for their verdict."] = None
    brake_engaged: Annotated[Reading, Gauge, "1 while the brake is engaged (R22)."] = None
    candidate_quarantined: Annotated[
        Reading, Gauge, "1 if the candidate failed so often that it runs no more (R5)."
    ] = None
    clock_ahead_seconds: Annotated[
        Reading, Gauge, "How far the wall clock is ahead of the time that the ledger goes by."
    ] = None
    ledger_degraded: Annotated[Reading, Gauge, "1 while the ledger cannot be written."] = None
    ledger_queued_rows: Annotated[Reading, Gauge, "Rows that wait to be written to the ledger."] = (
        None
    )
    ledger_dropped_rows: Annotated[Reading, Counter, "Rows that the ledger had no room for."] = None
    ledger_commit_age_seconds: Annotated[
        Reading, Gauge, "Time since the last commit of the ledger."
    ] = None
    store_answers: Annotated[Reading, Gauge, "1 while rows reach the store of the fleet (R23)."] = (
        None
    )
    store_waiting_rows: Annotated[
        Reading, Gauge, "Rows of the outbox that are not in the store yet."
    ] = None
    store_record_age_seconds: Annotated[
        Reading, Gauge, "How long ago the record of this process in the store ends (R27)."
    ] = None
    store_clock_offset_seconds: Annotated[
        Reading, Gauge, "How far the store's clock is ahead of this process's clock."
    ] = None
    fleet_linked: Annotated[
        Reading, Gauge, "1 while this process hears of the fleet's brake and flags (R25, R26)."
    ] = None
    fleet_leader: Annotated[
        Reading, Gauge, "1 while this process judges the brake for all processes (R25)."
    ] = None
    fleet_concluded_age_seconds: Annotated[
        Reading,
        Gauge,
        "How long ago the time ends up to which the fleet's outcomes are concluded (R24).",
    ] = None
    trace_collector_answers: Annotated[
        Reading, Gauge, "1 if the collector took the spans that it was last sent."
    ] = None
    trace_queued_spans: Annotated[Reading, Gauge, "Spans that wait to be sent."] = None
    trace_sent_spans: Annotated[Reading, Counter, "Spans that the collector took."] = None
    trace_dropped_spans: Annotated[Reading, Counter, "Spans that were given up."] = None


class Catalogue:
    """Each metric as an attribute: kind, meaning and labels; its name is `shim_` and the attribute's.

    `registry` has all of them, `mirrored` those that OpenTelemetry reads too.
    """

    # Connections
    connections: Annotated[Gauge, "Open connections.", "connection_kind", "stage"]
    users: Annotated[
        Gauge,
        "Users with an open connection, by the monitor that acts for them; once a minute.",
        "connection_kind",
        "role",
    ]
    registrations: Annotated[Counter, "Connections registered.", "connection_kind", "stage"]
    closings: Annotated[
        Counter,
        "Connections ended, by who ended them and the close code that was sent (none: no frame).",
        "connection_kind",
        "cause",
        "code",
    ]
    stage_changes: Annotated[
        Counter, "Open connections moved to another stage (R21).", "before", "after"
    ]
    connected_seconds: Annotated[
        Counter, "Time that connections were open, summed up; once a minute.", "connection_kind"
    ]
    acted_seconds: Annotated[
        Counter, "Of that, the time in which this monitor acted.", "connection_kind", "role"
    ]
    candidate_pings: Annotated[
        Counter, "Pings of the candidate, sent or recorded; once a minute.", "connection_kind"
    ]
    candidate_pings_due: Annotated[
        Counter, "The pings that its heartbeat interval asks for.", "connection_kind"
    ]

    # The comparison
    decisions: Annotated[
        Counter,
        "Timeouts decided; acted: the decision reached the socket.",
        "role",
        "acted",
        "connection_kind",
    ]
    verdicts: Annotated[
        Counter,
        "Verdicts; informative: the shadow decided first, so that the agreement is evidence (R14); "
        "improvement: life proved the control wrong where the candidate waited.",
        "verdict",
        "kind",
        "recovered",
        "improvement",
        "informative",
        "connection_kind",
    ]
    late_decisions: Annotated[Counter, "Decisions on a silence that had its verdict (R7).", "role"]
    outcomes: Annotated[
        Counter,
        "What became of clients that a monitor closed (R15); code none: it terminated.",
        "role",
        "outcome",
        "code",
        "by_percentage",
        "connection_kind",
    ]
    proofs_of_life: Annotated[
        Counter, "Clients that spoke after the monitor had closed their connection (R14b).", "role"
    ]

    # The operation
    monitor_failures: Annotated[Counter, "Calls of a monitor that failed (R5).", "role", "call"]
    brake_engagements: Annotated[Counter, "Times that the brake engaged."]
    guard_holding: Annotated[Gauge, "1 while the guard holds up closes of the candidate (R6b)."]
    guard_engagements: Annotated[Counter, "Times that the guard began to hold."]
    settings_info: Annotated[
        Gauge,
        "1 for the digest of the settings that should be the same in every process.",
        "digest",
    ]
    flags_info: Annotated[Gauge, "1 for the digest of the flags file in use (R20).", "digest"]
    flags_loaded_timestamp_seconds: Annotated[Gauge, "When the flags file in use was read."]
    flags_stale: Annotated[
        Gauge, "1 if the flags file was refused since: the last good one is in use."
    ]
    flags_failures: Annotated[Counter, "Flags files refused."]
    pauses: Annotated[Counter, "Times that the process did not run (R3)."]
    paused_seconds: Annotated[Counter, "Time in which the process did not run."]
    clock_jumps: Annotated[Counter, "Jumps of the wall clock."]

    # Durations
    skew_seconds: Annotated[
        Histogram, "Time between the two decisions of an episode, by who decided first.", "first"
    ]
    return_delay_seconds: Annotated[
        Histogram, "Time from a monitor's closing to the client's return (R15).", "role"
    ]
    timer_lateness_seconds: Annotated[
        Histogram,
        "How late the shim's own timer came: the event loop was busy, or the process stood still.",
    ]

    def __init__(self, readings: Readings) -> None:
        self.registry = MetricRegistry()
        self.mirrored: list[Collector] = []
        self._declare(Gauge, Counter)
        for labels in _verdicts():
            self.verdicts.labels(*labels)
        for name, hint in get_type_hints(Readings, include_extras=True).items():
            if (look_up := getattr(readings, name)) is not None:
                kind, words = get_args(hint)[1:]
                self.mirrored.append(LookedUp(kind, f"shim_{name}", words, look_up))
                self.registry.register(self.mirrored[-1])
        self._declare(Histogram)
        for metric in process_metrics():
            self.registry.register(metric)

    def _declare(self, *kinds: type[Collector]) -> None:
        """Make the metrics of these kinds, in the order of the attributes."""
        for name, hint in get_type_hints(Catalogue, include_extras=True).items():
            kind, words, *labels = get_args(hint)
            if kind not in kinds:
                continue
            more = {"buckets": _BOUNDS[name]} if kind is Histogram else {}
            metric = kind(f"shim_{name}", words, labels, registry=self.registry, **more)
            # Known combinations exist from the start, so that the first event is an increase.
            if labels and all(label in _VALUES for label in labels):
                for values in product(*(_VALUES[label] for label in labels)):
                    metric.labels(*values)
            setattr(self, name, metric)
            if kind is not Histogram:
                self.mirrored.append(metric)


def _verdicts() -> Iterator[tuple[str, ...]]:
    """Every verdict that there can be, of every episode: an alert is about the first one, too."""
    apart = [("skewed", "false"), ("error", "false")]
    apart += product(("only_control", "only_candidate"), _EITHER)
    verdicts = [("matched", "both", "false")]
    verdicts += [
        ("inconclusive", kind, "false") for kind in ("closed", "handover", "held", "shutdown")
    ]
    verdicts += [(name, *sort) for name in ("mismatched", "expected") for sort in apart]
    for verdict, *rest in product(verdicts, _EITHER, _VALUES["connection_kind"]):
        improvement = "true" if verdict[1:] == ("only_control", "true") else "false"
        yield (*verdict, improvement, *rest)
