"""The words of the model: their values are in captures, ledgers and answers, and must not change."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from shim.model import (
    BY_CHANCE,
    SECOND,
    UNCOUNTED,
    Cause,
    Connection,
    InputError,
    Kind,
    LateDecision,
    Monitors,
    Outcome,
    Placement,
    Problem,
    Pulse,
    Return,
    Role,
    Scope,
    Stage,
    Verdict,
    VerdictKind,
    VerdictName,
    from_seconds,
    seconds,
)
from shim.model.records import without_details
from shim.model.time import CLOCK_UNSET_BEFORE, MICROSECOND, describe_unset_clock
from shim_legacy_global import LegacyGlobal


def test_stages_are_ordered_and_say_who_acts() -> None:
    assert [(str(stage), int(stage)) for stage in sorted(Stage)] == [
        ("off", 0),
        ("shadow", 1),
        ("live", 2),
        ("complete", 3),
    ]
    control, candidate = Role.CONTROL, Role.CANDIDATE
    assert [stage.acting for stage in Stage] == [control, control, candidate, candidate]
    assert [stage.shadowing for stage in Stage] == [None, candidate, control, None]
    assert (control.other, candidate.other) == (candidate, control)


def test_the_values_that_are_written_down() -> None:
    assert [*Role] == ["control", "candidate"]
    assert [*Kind] == ["glasses", "app"]
    assert [*Return] == ["returned", "lost", "replaced", "censored"]
    assert [*VerdictName] == ["matched", "mismatched", "expected", "inconclusive"]
    assert {*VerdictKind} >= {
        "both",
        "skewed",
        "only_control",
        "only_candidate",
        "closed",
        "handover",
        "shutdown",
        "error",
    }
    assert {*Cause} >= {"peer", "application", "control", "candidate"}
    assert len(Scope) == 2


def test_a_user_who_is_no_evidence_was_not_placed_by_chance() -> None:
    assert (UNCOUNTED.group, UNCOUNTED.override, UNCOUNTED.counted) == (None, False, False)
    assert (BY_CHANCE.override, BY_CHANCE.counted) == (False, True)
    assert BY_CHANCE.group is not None


@pytest.mark.parametrize("placement", [BY_CHANCE, Placement("beta"), Placement(None), UNCOUNTED])
def test_an_outcome_says_whether_chance_placed_the_user(placement: Placement) -> None:
    app = Connection("c1", Kind.APP, "u", "s1", "p")
    outcome = Outcome(
        connection=app,
        role=Role.CONTROL,
        result=Return.LOST,
        acted_at=5,
        at=9,
        window_ends=9,
        last_activity=1,
        placement=placement,
    )
    assert outcome.by_percentage is (placement in (BY_CHANCE, Placement("beta")))


def test_an_identity_is_user_kind_package_and_instance() -> None:
    app = Connection("c1", Kind.APP, "u", "s1", "p")
    again = Connection("c2", Kind.APP, "u", "s2", "p")
    assert app.identity == again.identity == ("u", Kind.APP, "p", None)
    assert Connection("c3", Kind.GLASSES, "u", "s1").identity == ("u", Kind.GLASSES, None, None)
    tab = Connection("c4", Kind.APP, "u", "s1", "p", "tab 2")
    assert tab.identity == ("u", Kind.APP, "p", "tab 2")


def test_times_are_whole_microseconds() -> None:
    assert (MICROSECOND, SECOND) == (1, 1_000_000)
    assert from_seconds(1.5) == 1_500_000
    assert from_seconds(0.000001) == 1
    assert from_seconds(0.1 + 0.2) == 300_000
    assert type(from_seconds(2.0)) is int
    assert seconds(1_500_001) == 1.500001


def test_a_clock_that_shows_a_day_before_2020_was_not_set() -> None:
    assert datetime(2020, 1, 1, tzinfo=UTC).timestamp() * SECOND == CLOCK_UNSET_BEFORE
    assert describe_unset_clock(90_000 * SECOND).startswith(
        "the shim was started when the wall clock showed 1970-01-02, which was not set then"
    )


@pytest.mark.parametrize(
    ("control_at", "candidate_at", "skew"),
    [(60, 45, 15), (45, 60, -15), (None, 45, None), (60, None, None), (0, 0, 0)],
)
def test_the_skew_is_how_much_later_the_control_was(
    control_at: int | None, candidate_at: int | None, skew: int | None
) -> None:
    verdict = Verdict(
        connection=Connection("c1", Kind.APP, "u", "s", "p"),
        order=1,
        name=VerdictName.MATCHED,
        kind=VerdictKind.BOTH,
        at=60,
        first=Role.CANDIDATE,
        control_at=control_at,
        candidate_at=candidate_at,
        recovered=False,
        last_activity=0,
        acting=Role.CONTROL,
    )
    assert verdict.skew == skew


@pytest.mark.parametrize("kind", VerdictKind)
@pytest.mark.parametrize("recovered", [False, True])
def test_an_improvement_is_a_living_client_whom_the_control_alone_gave_up(
    kind: VerdictKind, recovered: bool
) -> None:
    verdict = Verdict(
        connection=Connection("c1", Kind.APP, "u", "s", "p"),
        order=1,
        name=VerdictName.MISMATCHED,
        kind=kind,
        at=60,
        first=Role.CONTROL,
        control_at=60,
        candidate_at=None,
        recovered=recovered,
        last_activity=0,
        acting=Role.CONTROL,
    )
    assert verdict.is_improvement == (kind == "only_control" and recovered)


@pytest.mark.parametrize(
    ("settings", "patience"),
    [
        (None, 0),
        (SimpleNamespace(), 0),
        (SimpleNamespace(timeout=45), 45),
        (SimpleNamespace(heartbeat_interval=15), 15),
        (SimpleNamespace(timeout=45, heartbeat_interval=15), 60),
    ],
)
def test_the_control_is_as_patient_as_its_timeout_and_interval(
    settings: Any, patience: int
) -> None:
    control = None if settings is None else (LegacyGlobal(), settings)
    monitors = Monitors(control=control, candidate=(LegacyGlobal(), SimpleNamespace(timeout=7)))
    assert monitors.control_patience == patience


def test_a_pulse_begins_with_the_last_sign_of_life() -> None:
    pulse = Pulse(7)
    assert (pulse.last_seen, pulse.last_data, pulse.ping, pulse.owner) == (7, 7, b"", None)


@pytest.mark.parametrize(
    ("reason", "without"),
    [
        ("answered 'alice is gone'", "answered nonsense"),
        ("ValueError: alice", "ValueError"),
        ("took 60 ms", "took 60 ms"),
    ],
)
def test_what_a_monitor_said_can_be_left_out_of_a_failure(reason: str, without: str) -> None:
    assert without_details(reason) == without


def test_a_late_decision_says_who_acts() -> None:
    late = LateDecision(Connection("c1", Kind.APP, "u", "s", "p"), Role.CONTROL, 5, None)
    assert (late.role, late.at, late.acting) == (Role.CONTROL, 5, None)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("no"), "no"),
        (Problem("no", "f.yaml"), "f.yaml: no"),
        (Problem("no", "f.yaml", 3, 7, "a.b"), "f.yaml:3:7: a.b: no"),
        (Problem("no", path="a.b"), "a.b: no"),
        (Problem("no", line=3), "3: no"),
    ],
)
def test_a_problem_says_where(problem: Problem, text: str) -> None:
    assert str(problem) == text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("is empty", "f.yaml"), "f.yaml: is empty"),
        (Problem("no alice", "f.yaml", 3), "f.yaml:3: "),
        (Problem("no", "f.yaml", path="overrides.alice"), "f.yaml: "),
        (Problem("no alice", "f.yaml", 3, 7, "overrides.alice"), "f.yaml:3:7: "),
    ],
)
def test_what_stands_in_a_file_can_be_left_out_of_a_problem(problem: Problem, text: str) -> None:
    assert problem.without_names.startswith(text)
    assert "alice" not in problem.without_names
    assert InputError([problem, problem]).without_names == "\n".join([problem.without_names] * 2)


def test_an_input_error_has_all_problems() -> None:
    one, other = Problem("one"), Problem("other", "f")
    assert str(InputError([one, other])) == "one\nf: other"
    assert InputError(iter([one, other])).problems == (one, other)  # type: ignore[arg-type]
    assert InputError(one).problems == (one,)
    assert InputError("one").problems == (one,)
