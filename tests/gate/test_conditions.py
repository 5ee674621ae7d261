"""The conditions of the gate: numbers and words where all of them hold, and where none of them does."""

from dataclasses import replace
from math import exp, log

import pytest

from shim.gate.evidence import ByArm, Heartbeats, KindEvidence
from shim.gate.judge import judge
from shim.gate.kind_gate import KindGate
from shim.gate.sample_ratio import ArmUsers
from shim.gate.statistics import (
    Counted,
    log_e_value,
    log_e_value_below,
    lower_bound,
    upper_bound,
    wilson,
)
from shim.gate.stretch_conditions import stretches
from shim.gate.tested_conditions import agreement, proofs_of_life, returns
from shim.model import SECOND, Kind, Role
from tests.gate.evidence import (
    APP,
    BAD,
    DAY,
    FEWER,
    GROUP,
    NOW,
    OFF,
    RETURNING,
    TARGETS,
    TRIAL,
    arms,
    bernoulli,
    both,
    changed,
    condition,
    counts,
    day,
    evidence,
    judged,
)

POOR = evidence(
    replace(
        APP,
        agreement=BAD,
        matched=200,
        mismatched=20,
        expected=30,
        users=120,
        unsettled_users=40,
        later_users=5,
        returns=FEWER,
        proofs=both(bernoulli(120, 2000)),
        acted=counts(7, 0),
        heartbeats=(Heartbeats("a", 9_800, 10_000.0), Heartbeats("b", 40_000, 40_000.0)),
        stretches=(
            *(day(n, agreement=BAD) for n in (1, 3, 4, 5)),
            day(2, returns=FEWER),
        ),
        recent_agreement=both({(5, 5): 97, (4, 5): 6}),
        recent_returns={GROUP: arms(bernoulli(95, 100), bernoulli(80, 100))},
        arms=OFF,
    ),
    failures=2,
    quarantines=1,
    expired_rules=("old", "older"),
    complete_until=NOW - 7200 * SECOND,
    braked_by_itself=NOW - DAY,
    days_acted=(True, True, True, False, True, True, True),
)
COUNT, SHARE, LEAST, MOST = "count", "share", "at_least", "at_most"
NUMBERS = [
    # name, scale, sense; target, bound and figure where all conditions hold; the last two where none does
    ("length", COUNT, LEAST, 7, (7, 7), (6, 6)),
    ("record", COUNT, MOST, 3600, (60, 60), (7200, 7200)),
    ("brake", COUNT, MOST, 0, (0, 0), (1, 1)),
    ("failures", COUNT, MOST, 0, (0, 0), (3, 3)),
    ("expired_rules", COUNT, MOST, 0, (0, 0), (2, 2)),
    ("acted", COUNT, LEAST, 1, (2_400, 2_400), (0, 0)),
    ("users", COUNT, LEAST, 300, (1_000, 1_000), (120, 120)),
    ("timeouts", COUNT, LEAST, 300, (4_700, 4_700), (220, 220)),
    ("agreement", SHARE, LEAST, 0.99, (0.995509, 1), (0.872998, 200 / 220)),
    ("coverage", SHARE, LEAST, 0.99, (0.999900, 0.999900), (0.98, 0.98)),
    ("returns", SHARE, LEAST, 0.939584, (0.965747, 0.98), (0.743712, 0.78)),
    ("proofs_of_life", SHARE, MOST, 0.02, (0.002248, 0), (0.080581, 0.06)),
    ("stretches", COUNT, MOST, 0, (0, 0), (5, 5)),
    ("recent", SHARE, LEAST, 0.99, (1, 1), (0.988350, 0.988350)),
    ("expected", SHARE, MOST, 0.005, (0, 0), (30 / 250, 30 / 250)),
    ("sample_ratio", COUNT, MOST, 1000, (0.515001, 0.515001), (17_909_902.3, 17_909_902.3)),
]


@pytest.mark.parametrize(("name", "scale", "sense", "target", "holds", "does_not"), NUMBERS)
def test_the_numbers_of_a_condition(
    name: str,
    scale: str,
    sense: str,
    target: float,
    holds: tuple[float, float],
    does_not: tuple[float, float],
) -> None:
    for whole, numbers in ((evidence(), holds), (POOR, does_not)):
        one = condition(judge(whole, TARGETS), name)
        assert (one.scale, one.sense) == (scale, sense)
        assert one.target == pytest.approx(target, rel=1e-5)
        assert (one.bound, one.figure) == pytest.approx(numbers, rel=1e-5, abs=1e-6)


def test_the_conditions_stand_in_this_order() -> None:
    answer = judge(evidence(), TARGETS)
    assert [one.name for one in answer.conditions] == [name for name, *_ in NUMBERS]


@pytest.mark.parametrize(
    ("name", "interval"),
    [
        ("agreement", (0.999183, 1)),
        ("returns", (0.972881, 0.985278)),
        ("proofs_of_life", (0, 0.001917)),
        ("expected", (0, 0.000817)),
    ],
)
def test_the_plain_interval_of_a_figure(name: str, interval: tuple[float, float]) -> None:
    assert judged(name, evidence()).interval == pytest.approx(interval, abs=1e-6)


def test_where_nothing_was_seen_there_are_no_numbers() -> None:
    nothing = judge(evidence(KindEvidence(Kind.APP)), TARGETS)
    for name in ("agreement", "coverage", "returns", "proofs_of_life", "expected"):
        one = condition(nothing, name)
        assert (one.standing, one.bound, one.figure, one.interval) == ("open", None, None, None)


WORDS = {
    "length": "on day 4 of the trial not both monitors acted for somebody: another trial is needed",
    "record": "the record ends at 2024-10-03T22:00:00+00:00: no process has written since",
    "brake": "the brake engaged by itself at 2024-10-03T00:00:00+00:00",
    "failures": "the candidate failed 2 times; quarantines: 1",
    "expired_rules": "renew or remove: old, older",
    "acted": "the candidate never acted on a timeout",
    "users": "180 more users (40 are being observed)",
    "timeouts": "80 more timeouts",
    "agreement": "users see less agreement than 0.99",
    "coverage": "the candidate does not ping as often as it should (a)",
    "returns": "fewer clients come back from the candidate's closing, by more than 0.05",
    "proofs_of_life": "the candidate closes live connections of more than 0.02 of its users",
    "stretches": "day 1: agreement; day 3: agreement; day 4: agreement; and 2 more",
    "recent": "they fall short: agreement 0.9883; everybody: returns 0.8 against 0.95",
    "expected": "30 of 250 episodes are explained by rules",
    "sample_ratio": "users of everybody are not where the widths place them: do all processes have "
    "the same flags file, and does each arm register its connections?",
}


def test_what_is_missing_or_wrong_in_words() -> None:
    assert {one.name: one.missing for one in judge(POOR, TARGETS).conditions} == WORDS
    assert {one.missing for one in judge(evidence(), TARGETS).conditions} == {None}


@pytest.mark.parametrize(
    ("days", "named"), [(2, ""), (3, ""), (4, "; and 1 more"), (5, "; and 2 more")]
)
def test_three_stretches_are_named_and_the_others_counted(days: int, named: str) -> None:
    samples = tuple(day(n, agreement=BAD) for n in range(1, days + 1))
    one = stretches(KindGate(replace(APP, stretches=samples), TARGETS, 8 * DAY))
    shown = "; ".join(f"day {n}: agreement" for n in range(1, min(days, 3) + 1))
    assert one.missing == shown + named
    assert one.inputs == {
        "stretches": days,
        "refuted": [f"day {n}: agreement" for n in range(1, days + 1)],
    }


@pytest.mark.parametrize(("small", "asked"), [(999, False), (1_000, True), (1_001, True)])
def test_a_group_with_a_quarter_of_the_users_is_asked(small: int, asked: bool) -> None:
    """Half of the small group's users come back from the candidate's closing, too few to refute."""
    rest = {GROUP: arms(bernoulli(1_470, 1_500), bernoulli(1_470, 1_500))}
    other = arms(bernoulli(small - 2, small - 2), bernoulli(1, 2))
    one = judged("returns", changed(returns={**rest, "staff": other}))
    assert (one.missing is not None) is asked


ONLY = {role: {role: counted} for role, counted in RETURNING[GROUP].items()}


@pytest.mark.parametrize(
    ("groups", "missing"),
    [
        ({}, "no final outcomes of closings yet"),
        ({"a": arms({}, {})}, "no final outcomes of closings yet"),
        (
            {"a": RETURNING[GROUP], "b": ONLY[Role.CONTROL]},
            "b: no outcomes of the candidate's closings",
        ),
        (
            {"a": ONLY[Role.CANDIDATE], "b": ONLY[Role.CONTROL]},
            "a: no outcomes of the control's closings; b: no outcomes of the candidate's closings",
        ),
    ],
)
def test_the_arms_without_outcomes_are_named(groups: dict[str, ByArm], missing: str) -> None:
    one = judged("returns", changed(returns=groups))
    assert (one.standing, one.missing) == ("open", missing)
    assert (one.target, one.bound, one.figure, one.interval) == (None, None, None, None)


def test_more_users_are_wanted_of_the_monitor_with_fewer_of_them() -> None:
    whole = {GROUP: arms(bernoulli(1960, 2000), bernoulli(98, 100))}
    text = judged("returns", changed(returns=whole, later_users=9)).missing or ""
    number = int(text.removeprefix("about ").partition(" ")[0])
    assert text == f"about {number} more users of either monitor"
    assert 0 < number < 400


COUNTED = Counted({(5, 5): 97, (4, 5): 6}, {(5, 5): 90, (24, 30): 1, (0, 2): 3})


def test_the_inputs_have_the_observations_in_both_ways_in_order() -> None:
    plain = [[4, 5, 6], [5, 5, 97]]
    crowded = [[0, 2, 3], [5, 5, 90], [24, 30, 1]]
    groups = {GROUP: {Role.CONTROL: COUNTED, Role.CANDIDATE: both(bernoulli(1, 2))}}
    kind = replace(
        APP,
        agreement=COUNTED,
        proofs=COUNTED,
        returns=groups,
        recent_agreement=COUNTED,
        recent_returns=groups,
    )
    whole = evidence(kind)
    agreement, proofs = judged("agreement", whole).inputs, judged("proofs_of_life", whole).inputs
    recent = judged("recent", whole).inputs["agreement"]
    control = judged("returns", whole).inputs["groups"][GROUP]["control"]
    recently = judged("recent", whole).inputs["returns"][GROUP]["control"]
    for found in (agreement, proofs, recent, control, recently):
        assert [found[way]["shares"] for way in ("plain", "crowded")] == [plain, crowded]
        assert [found[way]["observations"] for way in ("plain", "crowded")] == [103, 94]
        assert found["plain"]["mean"] == pytest.approx((97 + 6 * 0.8) / 103)
        assert found["plain"]["interval"] == wilson(97 + 6 * 0.8, 103)
        assert found["crowded"]["mean"] == pytest.approx((90 + 0.8) / 94)
    assert control["crowded"]["lower"] == lower_bound(COUNTED.crowded, 1 / 80)
    assert control["crowded"]["upper"] == upper_bound(COUNTED.crowded, 1 / 80)
    for way, shares in zip(Counted._fields, COUNTED, strict=True):
        assert agreement[way]["e_value"] == pytest.approx(exp(log_e_value(shares, 0.99)))


@pytest.mark.parametrize("attempt", [1, 3])
def test_what_is_shown_and_what_is_refuted_have_the_wanted_e_value(attempt: int) -> None:
    """With more and more users who see no agreement, and as many of whom a live connection was closed."""
    wanted = log(20 * attempt * (attempt + 1))
    stands = set()
    for wrong in range(0, 60, 2):
        agreeing, closed = bernoulli(1000 - wrong, 1000), bernoulli(wrong, 1000)
        kind = replace(APP, agreement=both(agreeing), proofs=both(closed))
        case = KindGate(kind, TARGETS, 8 * DAY, attempt)
        for one, shown, refuted in (
            (agreement(case), log_e_value(agreeing, 0.99), log_e_value_below(agreeing, 0.99)),
            (proofs_of_life(case), log_e_value_below(closed, 0.02), log_e_value(closed, 0.02)),
        ):
            met, failed = one.standing == "met", one.standing == "failed"
            assert (met, failed) == (shown >= wanted, refuted >= wanted)
            stands.add((one.name, one.standing))
    assert len(stands) == 6


@pytest.mark.parametrize("attempt", [1, 3])
def test_returns_are_shown_and_refuted_by_bounds_that_lie_apart(attempt: int) -> None:
    """With fewer and fewer clients that come back from the candidate's closing."""
    control, alpha = bernoulli(1960, 2000), 1 / (20 * attempt * (attempt + 1)) / 2
    stands = set()
    for returned in range(1600, 2000, 20):
        candidate = bernoulli(returned, 2000)
        groups = {GROUP: arms(control, candidate)}
        one = returns(KindGate(replace(APP, returns=groups), TARGETS, 8 * DAY, attempt))
        shown = lower_bound(candidate, alpha) >= upper_bound(control, alpha) - 0.05
        refuted = upper_bound(candidate, alpha) < lower_bound(control, alpha) - 0.05
        assert (one.standing == "met", one.standing == "failed") == (shown, refuted)
        stands.add(one.standing)
    assert len(stands) == 3


def test_an_e_value_that_no_float_holds_is_shown_as_a_very_large_one() -> None:
    """So that the answer is JSON: a million users who agree, and one where no user should be."""
    arm = ArmUsers(counts(10, 1), 0, {Role.CONTROL: 1.0, Role.CANDIDATE: 0.0})
    whole = changed(agreement=both({(1, 1): 1_000_000}), arms={GROUP: arm})
    shown = [
        judged("agreement", whole).inputs["plain"]["e_value"],
        judged("sample_ratio", whole).inputs["groups"][GROUP]["e_value"],
        judged("sample_ratio", whole).figure,
    ]
    assert all(1e298 < value < 1e300 for value in shown)


def test_a_condition_and_an_answer_as_json_have_seconds() -> None:
    early = evidence(trial=replace(TRIAL, since=NOW - 5 * DAY), days_acted=(True,) * 5)
    answer = judge(early, TARGETS)
    told = answer.as_dict()
    assert (told["answer"], told["eta"]) == ("insufficient", 2 * 86_400)
    length = told["conditions"][0]
    assert (length["name"], length["eta"], length["standing"]) == ("length", 2 * 86_400, "open")
    assert told["conditions"][1]["eta"] is None
    (agreement,) = (each for each in told["conditions"] if each["name"] == "agreement")
    assert (agreement["scale"], agreement["sense"]) == ("share", "at_least")
    assert judge(evidence(), TARGETS).as_dict()["eta"] is None
    assert len(told["conditions"]) == len(answer.conditions)
    assert told["inputs"] == answer.inputs


def test_what_has_failed_is_listed_before_what_is_open() -> None:
    whole = evidence(replace(APP, users=1), complete_until=None, failures=1)
    assert [one.name for one in judge(whole, TARGETS).unmet] == ["failures", "record", "users"]
