"""The traces of episodes and of what else happens, as the SDK's exporter gets them."""

import pytest
from opentelemetry.trace import StatusCode

from shim.model import (
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Role,
    Stage,
    VerdictKind,
    VerdictName,
)
from shim.router import BrakeChanged, Decided, GuardChanged, Opened, Paused, StageChanged
from shim.telemetry import TraceObserver
from shim.telemetry.spans import LIMIT
from tests.telemetry.recording import (
    NOON,
    Recording,
    S,
    act,
    ids,
    is_child,
    linked,
    pseudonym,
    tell,
    times,
    trace_of,
)
from tests.telemetry.records import APP, GLASSES, decision, evaluation, verdict


def test_an_episode_is_a_trace_that_is_dated_back() -> None:
    recording = Recording()
    recording.open()
    recording.now = 90 * S
    judged = verdict()
    recording.observer.on(judged)
    root = recording.span("episode matched")
    candidate, control = recording.span("candidate silence"), recording.span("control silence")
    assert root.parent is None
    assert is_child(candidate, root)
    assert is_child(control, root)
    assert times(root) == (3.2, 60)
    assert times(candidate) == (3.2, 48.2)
    assert times(control) == (3.2, 60)
    assert judged.trace == trace_of(root)
    registration = recording.span("registration")
    assert linked(root) == [ids(registration)]
    assert dict(root.attributes or {}) == {
        "shim.keep": False,
        "shim.verdict": "matched",
        "shim.verdict_kind": "both",
        "shim.recovered": False,
        "shim.improvement": False,
        "shim.first": "candidate",
        "shim.acting": "control",
        "shim.skew_seconds": 11.8,
        "shim.stage": "shadow",
        "shim.connection": "c1",
        "shim.connection_kind": "app",
        "shim.user": pseudonym("alice@example.com"),
        "shim.session": pseudonym("s1"),
        "shim.package": "com.example.app1",
        "shim.registration.trace_id": trace_of(registration),
    }
    assert dict(candidate.attributes or {}) == {
        "shim.keep": False,
        "shim.role": "candidate",
        "shim.acted": False,
        "shim.silence_seconds": 45.0,
    }
    assert root.status.status_code is StatusCode.UNSET


def test_a_mismatch_is_an_error_that_says_what_it_is() -> None:
    recording = Recording()
    recording.observer.on(
        verdict(
            GLASSES,
            name=VerdictName.MISMATCHED,
            kind=VerdictKind.ONLY_CANDIDATE,
            control_at=None,
            recovered=True,
        )
    )
    root = recording.span("episode mismatched")
    assert root.status.status_code is StatusCode.ERROR
    assert root.status.description == "only_candidate, recovered"
    assert root.attributes is not None
    assert root.attributes["shim.keep"] is True
    assert "shim.skew_seconds" not in root.attributes
    assert "shim.package" not in root.attributes
    assert recording.names() == ["candidate silence", "episode mismatched"]


def test_the_flag_evaluation_follows_the_conventions() -> None:
    recording = Recording()
    recording.observer.on(FlagsLoad(at=0, file="rollout.yaml", digest="d1"))
    recording.observer.on(
        FlagsLoad(at=1, file="rollout.yaml", digest="d2", before="d1", problem="no version")
    )
    recording.open()
    attributes = recording.span("registration").attributes or {}
    assert {name: attributes[name] for name in attributes if name.startswith("feature_flag")} == {
        "feature_flag.key": evaluation().flag,
        "feature_flag.result.variant": "shadow",
        "feature_flag.result.reason": "default",
        "feature_flag.context.id": pseudonym("alice@example.com"),
        "feature_flag.provider.name": "shim",
        "feature_flag.set.id": "rollout.yaml",
        "feature_flag.version": "d1",
    }
    assert [span.status.description for span in recording.spans[:2]] == [None, "no version"]


def test_what_follows_is_in_the_episode_s_trace_whenever_the_verdict_comes() -> None:
    """In live the client is often back before the other monitor has decided."""
    late, early = Recording(), Recording()
    for recording in (late, early):
        act(recording, Stage.LIVE)
    for step in ("closed", "proof", "outcome", "verdict"):
        tell(early, step)
    for step in ("verdict", "closed", "proof", "outcome"):
        tell(late, step)
    for recording in (late, early):
        root = recording.span("episode matched")
        for name, span in (
            ("closing", (48, 49)),
            ("returned", (48, 50)),
            ("proof of life", (48.5, 48.5)),
        ):
            assert is_child(recording.span(name), root)
            assert times(recording.span(name)) == span
        assert recording.leftovers() == 0
        attributes = dict(recording.span("returned").attributes or {})
        assert attributes["shim.return_delay_seconds"] == 2.0
        assert attributes["shim.close.code_intended"] == 1001
        assert linked(root) == [ids(recording.span("registration"))]
    # A proof of life is of interest, and so becomes the episode that it belongs to.
    assert (early.span("episode matched").attributes or {})["shim.keep"] is True


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.COMPLETE])
def test_where_nothing_is_compared_each_fact_stands_alone(stage: Stage) -> None:
    recording = Recording()
    act(recording, stage)
    for step in ("closed", "outcome"):
        tell(recording, step)
    assert recording.names() == ["closing", "registration", "returned"]
    assert len({trace_of(span) for span in recording.spans}) == 3
    for name in ("closing", "returned"):
        assert linked(recording.span(name)) == [ids(recording.span("registration"))]
    assert recording.leftovers() == 0


def test_a_closing_after_a_late_decision_waits_for_no_verdict() -> None:
    recording = Recording()
    act(recording, Stage.LIVE)
    recording.observer.on(LateDecision(APP, Role.CANDIDATE, 48 * S, Role.CANDIDATE))
    for step in ("closed", "outcome"):
        tell(recording, step)
    assert recording.names() == ["closing", "late decision", "registration", "returned"]
    assert recording.leftovers() == 0


def test_a_close_that_the_guard_held_up_belongs_to_the_verdict_before_it() -> None:
    recording = Recording()
    recording.open(stage=Stage.LIVE)
    tell(recording, "verdict")
    recording.observer.on(Decided(APP, Role.CANDIDATE, decision(at=48 * S), True))
    for step in ("closed", "outcome"):
        tell(recording, step)
    root = recording.span("episode matched")
    assert is_child(recording.span("closing"), root)
    assert is_child(recording.span("returned"), root)
    assert recording.leftovers() == 0


def test_a_close_long_after_an_earlier_verdict_does_not() -> None:
    """The client of the first verdict was saved by a sign of life; the second time it is closed."""
    recording = Recording()
    recording.open(stage=Stage.LIVE)
    recording.observer.on(verdict(acting=Role.CANDIDATE, candidate_at=20 * S, at=21 * S))
    recording.observer.on(Decided(APP, Role.CANDIDATE, decision(at=48 * S), True))
    for step in ("verdict", "closed", "outcome"):
        tell(recording, step)
    first, second = [span for span in recording.spans if span.name == "episode matched"]
    assert is_child(recording.span("closing"), second)
    assert trace_of(first) != trace_of(second)
    assert recording.leftovers() == 0


def test_the_rest_are_short_spans() -> None:
    recording = Recording()
    observer = recording.observer
    recording.open()
    observer.on(StageChanged(APP, Stage.SHADOW, Stage.LIVE, 5 * S))
    observer.on(MonitorFailure(role=Role.CANDIDATE, call="wake", reason="no such key", at=6 * S))
    observer.on(
        MonitorFailure(role=Role.CANDIDATE, call="pong", reason="no", at=6 * S, connection=APP)
    )
    observer.on(BrakeChanged(True, "by hand", 7 * S))
    observer.on(GuardChanged(True, 100, 8 * S))
    observer.on(Paused(9 * S, 19 * S))
    assert times(recording.span("pause")) == (9, 19)
    handover = recording.span("handover")
    assert (handover.attributes or {})["shim.stage_before"] == "shadow"
    assert (handover.attributes or {})["shim.stage"] == "live"
    failures = [span for span in recording.spans if span.name == "monitor failure"]
    assert [span.status.status_code for span in failures] == [StatusCode.ERROR] * 2
    assert [len(span.links) for span in failures] == [0, 1]
    assert (recording.span("brake").attributes or {})["shim.reason"] == "by hand"
    assert (recording.span("guard").attributes or {})["shim.guard.acting_for"] == 100
    observer.on(verdict())
    assert (recording.span("episode matched").attributes or {})["shim.stage"] == "live"


def test_routine_is_limited_by_the_second_and_counted_and_mismatches_are_not() -> None:
    recording = Recording()
    for _ in range(LIMIT + 50):
        recording.observer.on(StageChanged(APP, Stage.SHADOW, Stage.LIVE, 0))
        recording.observer.on(verdict())
        recording.observer.on(verdict(name=VerdictName.MISMATCHED, kind=VerdictKind.SKEWED))
    recording.observer.on(StageChanged(APP, Stage.SHADOW, Stage.LIVE, S))
    names = [span.name for span in recording.spans]
    assert names.count("handover") == LIMIT + 1
    assert names.count("episode matched") == LIMIT
    assert names.count("episode mismatched") == LIMIT + 50
    last = [span for span in recording.spans if span.name == "handover"][-1]
    assert (last.attributes or {})["shim.suppressed"] == 50


def test_the_share_of_matched_and_every_mismatch() -> None:
    recording = Recording(share=0.0)
    recording.open()
    matched = verdict()
    recording.observer.on(matched)
    assert recording.names() == []
    assert matched.trace is None
    mismatched = verdict(name=VerdictName.MISMATCHED, kind=VerdictKind.SKEWED)
    recording.observer.on(mismatched)
    assert mismatched.trace is not None
    root = recording.span("episode mismatched")
    assert not root.links
    assert "shim.registration.trace_id" not in (root.attributes or {})
    assert len(recording.spans) == 3


def test_a_proof_of_life_is_kept_when_its_episode_was_not() -> None:
    recording = Recording(share=0.0)
    act(recording, Stage.LIVE)
    for step in ("verdict", "closed", "proof", "outcome"):
        tell(recording, step)
    assert recording.names() == ["proof of life"]
    assert recording.span("proof of life").parent is None


def test_nothing_is_kept_when_nobody_traces() -> None:
    observer = TraceObserver(lambda: 0, pseudonym, lambda: NOON)
    observer.on(
        Opened(
            connection=APP, evaluation=evaluation(), stage=Stage.SHADOW, acting=Role.CONTROL, at=0
        )
    )
    observer.on(Decided(APP, Role.CONTROL, decision(), True))
    judged = verdict()
    observer.on(judged)
    assert judged.trace is None
    for name in ("_stages", "_registrations", "_actions", "_held"):
        assert not getattr(observer, name)
