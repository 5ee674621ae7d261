"""The traces of episodes and of what else happens, as the SDK's exporter gets them."""

import gc
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from shim.flags.targeting import everyone_at
from shim.model import (
    SECOND,
    Cause,
    Closing,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Stage,
    VerdictKind,
    VerdictName,
)
from shim.router import (
    BrakeChanged,
    Decided,
    Guard,
    GuardChanged,
    Opened,
    Paused,
    ProofOfLife,
    StageChanged,
)
from shim.runtime.pseudonyms import Pseudonyms
from shim.settings.sections import GuardSettings
from shim.telemetry import EpisodeSampler, TraceObserver
from shim.telemetry.spans import LIMIT
from tests.router.helpers import World
from tests.telemetry.records import APP, GLASSES, decision, evaluation, verdict

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


def tell(recording: Recording, step: str) -> None:
    observer = recording.observer
    if step == "verdict":
        observer.on(verdict(acting=Role.CANDIDATE, candidate_at=48 * S))
    elif step == "closed":
        observer.on(closing(49 * S))
    elif step == "proof":
        observer.on(ProofOfLife(APP, Role.CANDIDATE, 48_500_000))
    else:
        observer.on(returned(50 * S))


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


class Announced:
    """Tells an observer of openings and ends, as the aiohttp side of the shim does."""

    def __init__(self, observer: TraceObserver, guard: Guard | None = None) -> None:
        self.world = World(observers=[observer], guard=guard)
        self.observer = observer
        self.alive: list[str] = []

    def open(self, id: str, stage: Stage, who: int) -> None:
        tracked = self.world.open(id, stage, user=f"u{who % 3}", session=f"s{who % 3}")
        flags = everyone_at(stage).evaluate(tracked.connection.user)
        now = self.world.now
        self.observer.on(
            Opened(
                connection=tracked.connection,
                evaluation=flags,
                stage=tracked.stage,
                acting=tracked.acting,
                at=now,
            )
        )
        self.alive.append(id)

    def end(self, id: str) -> None:
        tracked = self.world.tracked[id]
        self.alive.remove(id)
        cause = Cause.PEER
        if tracked.closed_by is not None:
            cause = Cause(tracked.closed_by.value)
        elif id in self.world.router:
            self.world.close(id)
        now = self.world.now
        stage, opened_at = tracked.stage, tracked.opened_at
        closing = Closing(
            connection=tracked.connection,
            stage=stage,
            opened_at=opened_at,
            at=now,
            cause=cause,
            intended=None,
            observed=1006,
        )
        self.observer.on(closing)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), stages=st.sets(st.sampled_from(Stage), min_size=1))
@example(seed=44, stages={Stage.LIVE})  # the guard holds the close of a late decision
def test_every_episode_has_its_trace_and_nothing_is_left_behind(
    seed: int, stages: set[Stage]
) -> None:
    """Through the real router: connections that talk, fall silent, move and end at random."""
    chance = random.Random(seed)
    recording = Recording()
    limits = GuardSettings(count=2, share=0.1)
    told = Announced(recording.observer, Guard(limits) if chance.random() < 0.5 else None)
    world = told.world
    recording_clock(recording, world)
    number = 0
    for _ in range(60):
        choice = chance.random()
        if choice < 0.2 or not told.alive:
            number += 1
            told.open(f"c{number}", chance.choice(sorted(stages)), chance.randrange(9))
        elif choice < 0.5:
            world.message(chance.choice(told.alive))
        elif choice < 0.6:
            told.end(chance.choice(told.alive))
        elif choice < 0.65:
            id = chance.choice(told.alive)
            if id in world.router:
                world.stage(id, chance.choice(sorted(Stage)))
        else:
            world.run(world.now / S + chance.choice([1, 15, 20, 45, 61]))
    world.router.shutdown(world.now)
    for id in list(told.alive):
        told.end(id)
    assert recording.leftovers() == 0
    roots = {
        trace_of(span): span
        for span in recording.spans
        if span.name.startswith("episode") and span.parent is None
    }
    journal = world.journal.verdicts
    assert {judged.trace for judged in journal} == set(roots)
    assert len(roots) == len(journal)
    for span in recording.spans:
        if span.name.endswith("silence"):
            assert is_child(span, roots[trace_of(span)])
    names = [span.name for span in recording.spans]
    assert sum(name in list(Return) for name in names) == len(world.journal.outcomes)
    for judged in journal:
        assert judged.trace is not None
        root = roots[judged.trace]
        assert times(root) == pytest.approx((judged.last_activity / S, judged.at / S))


def recording_clock(recording: Recording, world: World) -> None:
    recording.observer._spans._clock = lambda: world.now
    recording.observer._spans._wall = lambda: NOON + world.now * 1000


def test_many_verdicts_leave_nothing_behind() -> None:
    provider = TracerProvider(sampler=EpisodeSampler(), shutdown_on_exit=False)
    observer = TraceObserver(lambda: 0, pseudonym, lambda: NOON, provider)

    def rounds(count: int) -> int:
        for number in range(count):
            connection = type(APP)(f"c{number}", APP.kind, "u", "s", "p")
            observer.on(
                Opened(
                    connection=connection,
                    evaluation=evaluation(),
                    stage=Stage.LIVE,
                    acting=Role.CANDIDATE,
                    at=number,
                )
            )
            observer.on(Decided(connection, Role.CANDIDATE, decision(connection), True))
            observer.on(verdict(connection, acting=Role.CANDIDATE, at=number))
            observer.on(
                Closing(
                    connection=connection,
                    stage=Stage.LIVE,
                    opened_at=0,
                    at=number,
                    cause=Cause.CANDIDATE,
                    intended=1001,
                    observed=1001,
                )
            )
            observer.on(
                Outcome(
                    connection=connection,
                    role=Role.CANDIDATE,
                    result=Return.LOST,
                    acted_at=0,
                    at=number,
                    window_ends=number,
                    last_activity=0,
                )
            )
        gc.collect()
        return len(gc.get_objects())

    before = rounds(200)
    assert rounds(5000) - before < 200
