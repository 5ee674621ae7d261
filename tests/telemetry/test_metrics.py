"""The metrics: counted from events, readable by Prometheus and through OpenTelemetry's API."""

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as plain_text
from prometheus_client.samples import Sample

from shim.model import (
    SECOND,
    Cause,
    Closing,
    Coverage,
    FlagsLoad,
    Kind,
    LateDecision,
    MonitorFailure,
    Outcome,
    Placement,
    Return,
    Role,
    Stage,
    VerdictKind,
    VerdictName,
)
from shim.router import (
    BrakeChanged,
    Decided,
    GuardChanged,
    Opened,
    Paused,
    ProofOfLife,
    StageChanged,
)
from shim.telemetry import Metrics, Readings
from tests.telemetry.records import APP, GLASSES, decision, evaluation, verdict

S = SECOND
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
EXPOSITION = Path(__file__).with_name("exposition.txt")
DOCUMENT = Path(__file__).parents[2] / "docs" / "telemetry.md"


def all_readings() -> Readings:
    return Readings(**{field.name: lambda: 7 for field in fields(Readings)})


def a_day() -> Metrics:
    """Metrics that were told of one thing of every sort."""
    metrics = Metrics(all_readings(), wall=lambda: 1_800_000_000_000_000_000, settings="d3")
    metrics.on(
        Opened(
            connection=APP, evaluation=evaluation(), stage=Stage.SHADOW, acting=Role.CONTROL, at=0
        )
    )
    metrics.on(
        Opened(
            connection=GLASSES,
            evaluation=evaluation(GLASSES.user),
            stage=Stage.SHADOW,
            acting=Role.CONTROL,
            at=0,
        )
    )
    metrics.on(StageChanged(APP, Stage.SHADOW, Stage.LIVE, S))
    metrics.on(Decided(APP, Role.CANDIDATE, decision(), True))
    metrics.on(Decided(APP, Role.CONTROL, decision(), False))
    metrics.on(verdict(acting=Role.CANDIDATE))
    metrics.on(verdict(trace="ab" * 16))
    mismatched: Any = {"name": VerdictName.MISMATCHED, "kind": VerdictKind.ONLY_CANDIDATE}
    metrics.on(verdict(**mismatched, control_at=None, recovered=True, trace="cd" * 16))
    metrics.on(LateDecision(APP, Role.CONTROL, S, Role.CANDIDATE))
    metrics.on(
        Outcome(
            connection=APP,
            role=Role.CANDIDATE,
            result=Return.RETURNED,
            acted_at=0,
            at=S,
            window_ends=120 * S,
            last_activity=0,
            delay=S,
            code=1001,
        )
    )
    metrics.on(
        Outcome(
            connection=APP,
            role=Role.CONTROL,
            result=Return.LOST,
            acted_at=0,
            at=S,
            window_ends=120 * S,
            last_activity=0,
            placement=Placement(None),
        )
    )
    metrics.on(ProofOfLife(APP, Role.CANDIDATE, S, guard_event=None, counted=True))
    metrics.on(MonitorFailure(role=Role.CANDIDATE, call="wake", reason="no", at=S))
    metrics.on(BrakeChanged(True, "by hand", S))
    metrics.on(BrakeChanged(False, "by hand", S))
    metrics.on(GuardChanged(True, 100, S))
    metrics.on(FlagsLoad(at=0, file="f", digest="d1"))
    metrics.on(FlagsLoad(at=1, file="f", digest="d2", before="d1"))
    metrics.on(FlagsLoad(at=2, file="f", digest="d3", before="d2", problem="no version"))
    metrics.on(
        Coverage(
            kind=Kind.APP,
            since=0,
            until=60 * S,
            connected=90 * S,
            control_acted=30 * S,
            candidate_acted=60 * S,
            watched=75 * S,
            pings=4,
            heartbeat_interval=15 * S,
            control_users=1,
            candidate_users=2,
        )
    )
    metrics.on(Paused(S, 4 * S))
    metrics.timer_late(30_000)
    metrics.on(
        Closing(
            connection=APP,
            stage=Stage.LIVE,
            opened_at=0,
            at=S,
            cause=Cause.CANDIDATE,
            intended=1001,
            observed=1006,
        )
    )
    metrics.on(
        Closing(
            connection=GLASSES,
            stage=Stage.SHADOW,
            opened_at=0,
            at=S,
            cause=Cause.PEER,
            intended=None,
            observed=1000,
        )
    )
    return metrics


def samples(metrics: Metrics) -> list[Sample]:
    content_type, body = metrics.render(OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    families: Iterable[Metric] = open_metrics(body.decode())  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    (found,) = [s for s in samples(metrics) if s.name == name and s.labels == labels]
    return found.value


def test_every_event_is_counted_where_it_belongs() -> None:
    metrics = a_day()
    app = {"connection_kind": "app"}
    for expected, name, labels in [
        (0, "shim_connections", {**app, "stage": "live"}),
        (0, "shim_connections", {**app, "stage": "shadow"}),
        (1, "shim_registrations_total", {**app, "stage": "shadow"}),
        (1, "shim_closings_total", {**app, "cause": "candidate", "code": "1001"}),
        (1, "shim_closings_total", {"connection_kind": "glasses", "cause": "peer", "code": "none"}),
        (1, "shim_stage_changes_total", {"before": "shadow", "after": "live"}),
        (1, "shim_decisions_total", {**app, "role": "candidate", "acted": "true"}),
        (0, "shim_decisions_total", {**app, "role": "candidate", "acted": "false"}),
        (1, "shim_late_decisions_total", {"role": "control"}),
        (1, "shim_proofs_of_life_total", {"role": "candidate"}),
        (1, "shim_monitor_failures_total", {"role": "candidate", "call": "wake"}),
        (1, "shim_brake_engagements_total", {}),
        (7, "shim_brake_engaged", {}),
        (1, "shim_guard_holding", {}),
        (1, "shim_guard_engagements_total", {}),
        (1, "shim_settings_info", {"digest": "d3"}),
        (1, "shim_flags_info", {"digest": "d2"}),
        (1, "shim_flags_stale", {}),
        (1, "shim_flags_failures_total", {}),
        (1_800_000_000, "shim_flags_loaded_timestamp_seconds", {}),
        (90, "shim_connected_seconds_total", app),
        (30, "shim_acted_seconds_total", {**app, "role": "control"}),
        (60, "shim_acted_seconds_total", {**app, "role": "candidate"}),
        (4, "shim_candidate_pings_total", app),
        (5, "shim_candidate_pings_due_total", app),
        (2, "shim_users", {**app, "role": "candidate"}),
        (1, "shim_pauses_total", {}),
        (3, "shim_paused_seconds_total", {}),
        (7, "shim_sessions", {}),
        (7, "shim_trace_dropped_spans_total", {}),
        (1, "shim_return_delay_seconds_sum", {"role": "candidate"}),
        (0, "shim_return_delay_seconds_bucket", {"role": "candidate", "le": "0.5"}),
        (1, "shim_return_delay_seconds_bucket", {"role": "candidate", "le": "1.0"}),
        (0, "shim_timer_lateness_seconds_bucket", {"le": "0.025"}),
        (1, "shim_timer_lateness_seconds_bucket", {"le": "0.05"}),
        (2, "shim_skew_seconds_count", {"first": "candidate"}),
        (2, "shim_skew_seconds_bucket", {"first": "candidate", "le": "12.0"}),
        (0, "shim_skew_seconds_bucket", {"first": "candidate", "le": "8.0"}),
    ]:
        assert value(metrics, name, **labels) == expected, (name, labels)
    outcomes = {s.labels["outcome"]: s for s in samples(metrics) if "outcomes_total" in s.name}
    assert outcomes["returned"].labels["code"] == "1001"
    assert outcomes["lost"].labels["code"] == "none"
    assert outcomes["lost"].labels["by_percentage"] == "false"


def test_a_connection_is_registered_at_its_first_stage_alone() -> None:
    metrics = Metrics()
    metrics.on(
        Opened(
            connection=APP,
            evaluation=evaluation(stage=Stage.OFF),
            stage=Stage.OFF,
            acting=Role.CONTROL,
            at=0,
        )
    )
    metrics.on(StageChanged(APP, Stage.OFF, Stage.SHADOW, 1))
    metrics.on(
        Closing(
            connection=APP,
            stage=Stage.SHADOW,
            opened_at=0,
            at=2,
            cause=Cause.PEER,
            intended=None,
            observed=1006,
        )
    )
    registered = [s for s in samples(metrics) if s.name == "shim_registrations_total" and s.value]
    app = {"connection_kind": "app"}
    assert [(s.labels, s.value) for s in registered] == [({**app, "stage": "off"}, 1)]
    for stage in ("off", "shadow"):
        assert value(metrics, "shim_connections", **app, stage=stage) == 0


def test_the_agreement_can_be_asked_for_as_rule_14_has_it() -> None:
    found = [s for s in samples(a_day()) if s.name == "shim_verdicts_total" and s.value]
    informative = [s for s in found if s.labels["informative"] == "true"]
    assert {s.labels["verdict"]: s.value for s in informative} == {"matched": 1, "mismatched": 1}
    assert len(found) == 3


def test_exemplars_lead_to_the_traces() -> None:
    metrics = a_day()
    traced = {
        s.labels["verdict"]: s.exemplar.labels["trace_id"]
        for s in samples(metrics)
        if s.name == "shim_verdicts_total" and s.exemplar is not None
    }
    assert traced == {"matched": "ab" * 16, "mismatched": "cd" * 16}
    (skew,) = [s for s in samples(metrics) if "skew" in s.name and s.exemplar is not None]
    assert skew.labels["le"] == "12.0"
    assert skew.exemplar is not None
    assert skew.exemplar.value == 11.8


def test_the_whole_text_is_the_committed_one() -> None:
    """Names, labels, help, types and buckets; the process's own figures and times of exemplars apart."""
    body = a_day().render(OPEN_METRICS)[1].decode()
    lines = [
        re.sub(r"(# {trace_id=.*} .*) .*", r"\1 TIME", line)
        for line in body.splitlines()
        if "process_" not in line
    ]
    assert lines == EXPOSITION.read_text().splitlines()
    plain = plain_text(a_day().render()[1].decode())
    rich: Iterable[Metric] = open_metrics(body)  # type: ignore[no-untyped-call]
    assert [described(family) for family in plain] == [described(family) for family in rich]


def described(family: Metric) -> tuple[str, str, str]:
    return family.name, family.type, family.documentation


def test_readers_of_the_plain_format_get_the_same_numbers() -> None:
    metrics = a_day()
    content_type, body = metrics.render("text/plain")
    assert content_type.startswith("text/plain; version=0.0.4")
    plain = {
        (s.name, *sorted(s.labels.items())): s.value
        for family in plain_text(body.decode())
        for s in family.samples
        if s.name.startswith("shim_")
    }
    rich = {
        (s.name, *sorted(s.labels.items())): s.value
        for s in samples(metrics)
        if s.name.startswith("shim_")
    }
    assert plain == rich
    assert b"trace_id" not in body


@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text", "*/*"])
@pytest.mark.parametrize("version", ["abc", "", "1", "1.0.0.0", "-1", "é"])
def test_odd_versions_in_the_accept_header(kind: str, version: str) -> None:
    content_type, body = Metrics().render(f"{kind}; version={version}")
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))
    assert b"shim_connections" in body


KINDS = ["application/openmetrics-text", "text/plain", "*/*"]
OPTIONS = ["version=", "1.0.0", "0.0.4", "1.", "-1", "9" * 30, "escaping=", "allow-utf-8", "dots"]
MARKS = [";", ",", "q=", "abc", "nan", " ", '"', "é"]


@given(st.lists(st.sampled_from(KINDS + OPTIONS + MARKS), max_size=9).map("".join))
def test_any_accept_header(accept: str) -> None:
    content_type, body = Metrics().render(accept)
    assert content_type.isascii()
    assert content_type.isprintable()
    assert b"shim_connections" in body


def test_opentelemetry_reads_the_same_numbers() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics = Metrics(all_readings(), provider=provider)
    metrics.on(Decided(APP, Role.CANDIDATE, decision(), True))
    metrics.on(Paused(0, 3 * S))
    found: dict[tuple[str, str | None, Any], Any] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            attributes = tuple(sorted((point.attributes or {}).items()))
            found[metric.name, metric.unit, attributes] = getattr(point, "value", None)
    labels = (("acted", "true"), ("connection_kind", "app"), ("role", "candidate"))
    assert found["shim.decisions", "1", labels] == 1
    assert found["shim.paused", "s", ()] == 3
    assert found["shim.sessions", "1", ()] == 7
    provider.shutdown()


def test_a_reading_that_nobody_offers_is_left_out() -> None:
    body = Metrics().render()[1].decode()
    assert "shim_sessions" not in body
    assert "shim_connections" in body


def test_no_label_names_a_user_or_a_connection() -> None:
    for s in samples(a_day()):
        assert not {APP.user, APP.session, APP.id, GLASSES.user} & set(s.labels.values())


def test_the_document_lists_every_metric_and_no_other() -> None:
    text = DOCUMENT.read_text()
    names = {s.name for s in samples(a_day())}
    families = {
        name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in names
    }
    listed = {
        line.split("`")[1].split("{")[0]
        for line in text.splitlines()
        if line.startswith(("| `shim_", "| `process_"))
    }
    assert listed == families


@settings(deadline=None)
@given(latenesses=st.lists(st.integers(0, 6 * S), max_size=50))
def test_a_histogram_counts_each_value_in_the_first_bucket_that_holds_it(
    latenesses: list[int],
) -> None:
    metrics = Metrics()
    for lateness in latenesses:
        metrics.timer_late(lateness)
    found = [s for s in samples(metrics) if "lateness" in s.name]
    buckets = {float(s.labels["le"]): s.value for s in found if "le" in s.labels}
    assert len(buckets) > 10
    for bound, count in buckets.items():
        assert count == sum(lateness <= bound * S for lateness in latenesses)
    (total,) = [s.value for s in found if s.name.endswith("_sum")]
    assert total == pytest.approx(sum(latenesses) / S)
