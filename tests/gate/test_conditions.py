"""The conditions of the gate: numbers and words where all of them hold, and where none of them does."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest

from shim.gate.answer import Condition, GateVerdict
from shim.gate.evidence import Evidence, Heartbeats, StretchSample
from shim.gate.judge import judge, judge_so_far
from shim.gate.kind_gate import KindGate
from shim.gate.sample_ratio import ArmUsers
from shim.gate.statistics import Counted, log_e_value, lower_bound, upper_bound, wilson
from shim.gate.stretch_conditions import stretches
from shim.model import SECOND, Role
from tests.gate.evidence import (
    AGREEING,
    APP,
    BAD,
    DAY,
    GROUP,
    HALVES,
    NOW,
    RETURNING,
    TARGETS,
    TRIAL,
    arms,
    bernoulli,
    both,
    condition,
    counts,
    evidence,
)

FEWER = {GROUP: arms(bernoulli(1960, 2000), bernoulli(1560, 2000))}
OFF = {GROUP: ArmUsers(counts(600, 400), 0, HALVES)}


def day(ordinal: int, **changes: Any) -> StretchSample:
    name = f"day {ordinal}"
    return replace(StretchSample(name, ordinal, agreement=AGREEING, returns=RETURNING), **changes)


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


def of(name: str, whole: Evidence) -> Condition:
    return condition(judge(whole, TARGETS), name)


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
    assert of(name, evidence()).interval == pytest.approx(interval, abs=1e-6)


def test_numbers_where_there_is_nothing_to_count() -> None:
    whole = evidence(replace(APP, acted={Role.CANDIDATE: 9}, arms={}, heartbeats=()))
    assert [of(name, whole).figure for name in ("acted", "sample_ratio")] == [0, 1]
    assert of("acted", whole).missing == "the control never acted on a timeout"
    nobody = of("acted", evidence(replace(APP, acted={})))
    assert nobody.missing == "the control and the candidate never acted on a timeout"
    assert nobody.inputs == {"control": 0, "candidate": 0}
    assert of("coverage", whole).missing == "10000 more heartbeats to judge by"


def test_the_inputs_of_arms_without_users_are_zeros() -> None:
    one = of("sample_ratio", evidence(replace(APP, arms={GROUP: ArmUsers({}, 3, {})})))
    zeros = {"control": 0, "candidate": 0}
    assert one.inputs["groups"] == {GROUP: {**zeros, "crossed": 3, "expected": zeros, "e_value": 1}}


def test_a_process_that_never_pinged_is_the_worst() -> None:
    beats = (Heartbeats("a", 19_000, 20_000.0), Heartbeats("b", 0, 20_000.0))
    one = of("coverage", evidence(replace(APP, heartbeats=beats)))
    assert (one.figure, one.missing) == (
        0,
        "the candidate does not ping as often as it should (b)",
    )


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
    one = of("returns", evidence(replace(APP, returns={**rest, "staff": other})))
    assert (one.missing is not None) is asked


@pytest.mark.parametrize(
    ("explained", "conclusive", "standing"),
    [
        (0, 0, "open"),
        (1, 199, "met"),  # the share that is allowed
        (1, 198, "open"),
        (2, 198, "open"),
        (14, 186, "failed"),
    ],
)
def test_how_many_episodes_rules_may_explain(
    explained: int, conclusive: int, standing: str
) -> None:
    one = of("expected", evidence(replace(APP, expected=explained, matched=conclusive)))
    assert one.standing == standing


def test_where_no_episode_may_be_explained_one_is_a_failure() -> None:
    targets = replace(TARGETS, max_expected=0.0)
    none, single = (
        condition(judge(evidence(replace(APP, expected=count)), targets), "expected")
        for count in (0, 1)
    )
    assert (none.standing, single.standing) == ("met", "failed")


@pytest.mark.parametrize(("late", "verdict"), [(3_600, "ready"), (3_601, "insufficient")])
def test_the_record_may_end_an_hour_ago(late: int, verdict: str) -> None:
    whole = evidence(complete_until=NOW - late * SECOND)
    assert judge(whole, TARGETS).verdict == GateVerdict(verdict)
    assert of("record", whole).figure == late


def test_a_record_that_ends_after_now_has_no_negative_age() -> None:
    assert of("record", evidence(complete_until=NOW + SECOND)).figure == 0
    assert of("record", evidence(complete_until=None)).figure is None


def test_the_process_whose_record_ends_first_is_named() -> None:
    whole = evidence(complete_until=NOW - 7200 * SECOND, ends_first="p1")
    assert of("record", whole).missing == (
        "the record of the process 'p1' ends at 2024-10-03T22:00:00+00:00: what it found is not in the "
        "store since"
    )


LASTS = "the trial has to last {} longer"
ANOTHER = "on day {} of the trial not both monitors acted for somebody: another trial is needed"


@pytest.mark.parametrize(
    ("days", "lasted", "missing", "eta"),
    [
        ("1", 0.5, LASTS.format("6.5 d"), 6.5),
        # The present day is not over: both may still act on it.
        ("0", 0.5, LASTS.format("6.5 d"), 6.5),
        ("110", 2.5, LASTS.format("4.5 d"), 4.5),
        ("1111110", 6.5, LASTS.format("0.5 d"), 0.5),
        ("01", 1.5, ANOTHER.format("1"), None),
        ("1010", 3.5, ANOTHER.format("2"), None),
        ("1010", 4, ANOTHER.format("2, 4"), None),
        ("1111111", 7, None, None),
        ("1111110", 7, ANOTHER.format("7"), None),
        ("1011111", 30, ANOTHER.format("2"), None),
        ("0000000", 8, ANOTHER.format("1, 2, 3, 4, 5, 6, 7"), None),
    ],
)
def test_what_the_length_of_a_trial_misses(
    days: str, lasted: float, missing: str | None, eta: float | None
) -> None:
    trial = replace(TRIAL, since=NOW - round(lasted * DAY))
    one = of("length", evidence(trial=trial, days_acted=tuple(day == "1" for day in days)))
    assert (one.missing, one.standing == "met") == (missing, missing is None)
    assert one.eta == (None if eta is None else round(eta * DAY))
    assert (one.figure, one.target) == (days.count("1"), 7)


def test_a_period_that_ends_within_a_day_counts_that_day() -> None:
    targets = replace(TARGETS, period=7 * DAY + 1)
    assert condition(judge(evidence(), targets), "length").target == 8


def test_the_last_day_of_a_period_is_over_with_the_period() -> None:
    targets = replace(TARGETS, period=3 * DAY // 2)
    trial = replace(TRIAL, since=NOW - targets.period)
    one = condition(judge(evidence(trial=trial, days_acted=(True, False)), targets), "length")
    assert one.missing == ANOTHER.format("2")


def test_a_machine_whose_clock_was_not_set_has_no_record() -> None:
    one = of("record", evidence(unset_clock=5 * DAY))
    assert one.standing == "open"
    assert (one.missing or "").startswith(
        "the shim was started when the wall clock showed 1970-01-06, which was not set then"
    )


def test_without_a_trial_nothing_is_known_of_failures() -> None:
    assert of("failures", Evidence(NOW)).standing == "open"
    assert of("failures", evidence()).standing == "met"


@pytest.mark.parametrize(
    ("beats", "figure", "missing"),
    [
        # Two small processes are enough together, one alone is not.
        ([(0, 6_000.0), (6_000, 6_000.0)], 0.5, "small processes together"),
        ([(0, 9_999.0)], None, None),
        ([(0, 10_000.0)], 0.0, "p0"),
        ([(9_000, 10_000.0), (0, 5_000.0), (0, 5_000.0)], 0.0, "small processes together"),
        ([(0, None), (9_000, 10_000.0)], 0.9, "p1"),
    ],
)
def test_the_process_that_pings_least_is_named(
    beats: list[tuple[int, float | None]], figure: float | None, missing: str | None
) -> None:
    processes = tuple(Heartbeats(f"p{n}", pings, needed) for n, (pings, needed) in enumerate(beats))
    one = of("coverage", evidence(replace(APP, heartbeats=processes)))
    assert (one.figure, one.bound) == (figure, figure)
    why = "the candidate does not ping as often as it should"
    assert one.missing == (f"{why} ({missing})" if missing else "1 more heartbeats to judge by")
    assert one.inputs["pings"] == sum(pings for pings, _ in beats)
    assert one.inputs["heartbeats"] == sum(needed or 0 for _, needed in beats)


def test_heartbeats_come_as_they_have_come() -> None:
    """8 000 in eight days: 2 000 more take two days."""
    one = of("coverage", evidence(replace(APP, heartbeats=(Heartbeats("p", 8_000, 8_000.0),))))
    assert (one.eta, one.missing) == (2 * DAY, "2000 more heartbeats to judge by")
    none = of("coverage", evidence(replace(APP, heartbeats=(Heartbeats("p", 0, None),))))
    assert (none.eta, none.missing) == (
        None,
        "the candidate's settings have no heartbeat_interval",
    )


@pytest.mark.parametrize(
    ("seen", "missing", "eta"),
    [(0, "3 more days", None), (1, "2 more days", 2), (3, None, None), (4, None, None)],
)
def test_a_step_of_a_plan_may_ask_for_days_with_timeouts(
    seen: int, missing: str | None, eta: int | None
) -> None:
    one = condition(judge_so_far(evidence(replace(APP, days=seen)), TARGETS), "days")
    assert (one.missing, one.eta) == (missing, None if eta is None else eta * DAY)
    assert (one.standing, one.figure) == ("met" if seen >= 3 else "open", seen)
    assert one.inputs == {}


def test_a_step_of_a_plan_counts_the_users_who_are_being_observed() -> None:
    """Until the first period is over; after it only what is final counts."""
    for lasted, users in ((6, 330), (7, 250)):
        few = replace(APP, users=250, unsettled_users=80)
        whole = evidence(few, trial=replace(TRIAL, since=NOW - lasted * DAY))
        assert condition(judge_so_far(whole, TARGETS), "users").figure == users


def test_new_users_come_as_they_came_after_the_first_period() -> None:
    """On the eighth day 25 of 250 were new; 50 more take two days, fewer those being observed."""
    one = of("users", evidence(replace(APP, users=250, unsettled_users=0, later_users=25)))
    assert (one.eta, one.missing) == (2 * DAY, "50 more users (0 are being observed)")
    one = of("users", evidence(replace(APP, users=200, unsettled_users=50, later_users=25)))
    assert (one.eta, one.missing) == (2 * DAY, "100 more users (50 are being observed)")
    one = of("users", evidence(replace(APP, users=125, unsettled_users=125, later_users=25)))
    assert one.eta == 2 * DAY
    assert of("users", evidence(replace(APP, users=0, unsettled_users=0))).eta is None


def test_more_users_are_wanted_of_the_monitor_with_fewer_of_them() -> None:
    whole = {GROUP: arms(bernoulli(1960, 2000), bernoulli(98, 100))}
    text = of("returns", evidence(replace(APP, returns=whole, later_users=9))).missing or ""
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
    agreement, proofs = of("agreement", whole).inputs, of("proofs_of_life", whole).inputs
    recent = of("recent", whole).inputs["agreement"]
    control = of("returns", whole).inputs["groups"][GROUP]["control"]
    recently = of("recent", whole).inputs["returns"][GROUP]["control"]
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


def test_an_e_value_that_no_float_holds_is_shown_as_a_very_large_one() -> None:
    """So that the answer is JSON: a million users who agree, and one where no user should be."""
    arm = ArmUsers(counts(10, 1), 0, {Role.CONTROL: 1.0, Role.CANDIDATE: 0.0})
    whole = evidence(replace(APP, agreement=both({(1, 1): 1_000_000}), arms={GROUP: arm}))
    shown = [
        of("agreement", whole).inputs["plain"]["e_value"],
        of("sample_ratio", whole).inputs["groups"][GROUP]["e_value"],
        of("sample_ratio", whole).figure,
    ]
    assert all(1e298 < value < 1e300 for value in shown)


def test_the_arms_that_are_furthest_from_their_widths_give_the_figure() -> None:
    """All groups that are off are named."""
    sound = ArmUsers(counts(500, 500), 0, HALVES)
    groups = {"a": sound, "b": OFF[GROUP], "c": ArmUsers(counts(700, 300), 0, HALVES), "d": sound}
    one = of("sample_ratio", evidence(replace(APP, arms=groups)))
    assert one.figure == pytest.approx(exp(groups["c"].log_e_value))
    assert (one.missing or "").startswith("users of b, c are not where the widths place them")


def test_the_inputs_of_the_brake_are_none_while_it_is_released() -> None:
    assert of("brake", evidence()).inputs == {"engaged": None, "by_itself_at": None}
    one = of("brake", evidence(brake="by hand"))
    assert (one.inputs["engaged"], one.missing) == ("by hand", "the brake is engaged: by hand")


def test_a_condition_and_an_answer_as_json_have_seconds() -> None:
    early = evidence(trial=replace(TRIAL, since=NOW - 5 * DAY), days_acted=(True,) * 5)
    answer = judge(early, TARGETS)
    told = answer.as_dict()
    assert (told["answer"], told["eta"]) == ("insufficient", 2 * 86_400)
    length = told["conditions"][0]
    assert (length["name"], length["eta"], length["standing"]) == ("length", 2 * 86_400, "open")
    assert told["conditions"][1]["eta"] is None
    assert judge(evidence(), TARGETS).as_dict()["eta"] is None
    assert len(told["conditions"]) == len(answer.conditions)
    assert told["inputs"] == answer.inputs


def test_what_has_failed_is_listed_before_what_is_open() -> None:
    whole = evidence(replace(APP, users=1), complete_until=None, failures=1)
    assert [one.name for one in judge(whole, TARGETS).unmet] == ["failures", "record", "users"]
