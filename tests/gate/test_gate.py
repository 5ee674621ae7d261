"""The gate's answer: what it takes, and what each missing or bad thing does to it (R16)."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.gate.answer import GateVerdict, Standing
from shim.gate.evidence import Evidence, Heartbeats, KindEvidence, StandingReady
from shim.gate.judge import judge, judge_so_far
from shim.gate.statistics import Counted, lower_bound
from shim.gate.trial import Trial
from shim.gate.trial_description import format_arms
from shim.model import SECOND, Kind, Role
from tests.gate.evidence import (
    AGREEING,
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
)


def test_ready_when_everything_holds() -> None:
    answer = judge(evidence(), TARGETS)
    assert answer.unmet == ()
    assert answer.verdict is GateVerdict.READY
    assert {each.standing for each in answer.conditions} == {Standing.MET}
    assert answer.eta is None


@pytest.mark.parametrize("nothing", [KindEvidence(Kind.APP), Evidence(now=NOW)])
def test_no_evidence_counts_nothing(nothing: KindEvidence | Evidence) -> None:
    """But for the trial that goes on, which is the first attempt."""
    values = {f.name: getattr(nothing, f.name) for f in fields(nothing)}
    assert {name: value for name, value in values.items() if isinstance(value, int) and value} == (
        {"attempt": 1, "now": NOW} if isinstance(nothing, Evidence) else {}
    )
    assert (nothing.span if isinstance(nothing, Evidence) else nothing.timeouts) == 0


UNDECIDED = {GROUP: arms(bernoulli(1960, 2000), bernoulli(98, 100))}


@pytest.mark.parametrize(
    ("whole", "name", "verdict"),
    [
        (changed(users=299), "users", "insufficient"),
        (changed(matched=299), "timeouts", "insufficient"),
        (changed(agreement=both({(5, 5): 300})), "agreement", "insufficient"),
        (changed(agreement=both({})), "agreement", "insufficient"),
        (changed(agreement=BAD), "agreement", "not_ready"),
        (changed(acted=counts(2_500, 0)), "acted", "insufficient"),
        (changed(acted={Role.CANDIDATE: 9}), "acted", "insufficient"),
        (changed(heartbeats=(Heartbeats("p", 0, 1e6),)), "coverage", "not_ready"),
        (changed(heartbeats=(Heartbeats("p", 989_000, 1e6),)), "coverage", "not_ready"),
        (changed(heartbeats=(Heartbeats("p", 9_000, 9_000.0),)), "coverage", "insufficient"),
        (changed(heartbeats=(Heartbeats("p", 9_000, None),)), "coverage", "insufficient"),
        (changed(returns=FEWER), "returns", "not_ready"),
        (changed(returns=UNDECIDED), "returns", "insufficient"),
        (changed(returns={GROUP: {Role.CONTROL: AGREEING}}), "returns", "insufficient"),
        (changed(returns={}), "returns", "insufficient"),
        (changed(proofs=both(bernoulli(120, 2000))), "proofs_of_life", "not_ready"),
        (changed(proofs=both(bernoulli(30, 2000))), "proofs_of_life", "insufficient"),
        (changed(proofs=both({})), "proofs_of_life", "insufficient"),
        (changed(stretches=(day(3, agreement=BAD),)), "stretches", "not_ready"),
        (changed(stretches=(day(3, returns=FEWER),)), "stretches", "not_ready"),
        (changed(recent_agreement=both({(5, 5): 97, (4, 5): 6})), "recent", "insufficient"),
        (
            changed(recent_returns={GROUP: arms(bernoulli(95, 100), bernoulli(89, 100))}),
            "recent",
            "insufficient",
        ),
        (changed(expected=24), "expected", "insufficient"),
        (changed(expected=100), "expected", "not_ready"),
        (changed(arms=OFF), "sample_ratio", "not_ready"),
        (evidence(failures=1), "failures", "not_ready"),
        (evidence(quarantines=1), "failures", "not_ready"),
        (evidence(expired_rules=("old",)), "expired_rules", "not_ready"),
        (evidence(brake="by hand"), "brake", "insufficient"),
        (evidence(braked_by_itself=NOW - DAY), "brake", "not_ready"),
        (evidence(complete_until=NOW - 3601 * SECOND), "record", "insufficient"),
        (evidence(complete_until=None), "record", "insufficient"),
        (evidence(days_acted=(True,) * 3 + (False,) + (True,) * 3), "length", "insufficient"),
        (evidence(days_acted=(True,) * 6 + (False,)), "length", "insufficient"),
    ],
)
def test_each_condition_alone_stands_in_the_way(whole: Evidence, name: str, verdict: str) -> None:
    answer = judge(whole, TARGETS)
    assert [each.name for each in answer.unmet] == [name]
    assert answer.verdict == verdict
    assert answer.unmet[0].missing
    assert judge_so_far(whole, TARGETS).verdict == verdict


@pytest.mark.parametrize(
    "whole",
    [
        Evidence(NOW),
        replace(evidence(), kinds=()),
        evidence(KindEvidence(Kind.APP), KindEvidence(Kind.GLASSES)),
        evidence(APP, KindEvidence(Kind.GLASSES)),
    ],
)
def test_no_data_is_insufficient(whole: Evidence) -> None:
    answer = judge(whole, TARGETS)
    assert answer.verdict is GateVerdict.INSUFFICIENT
    assert answer.eta is None


@pytest.mark.parametrize(
    ("whole", "at_once"),
    [
        (evidence(failures=1), True),
        (evidence(braked_by_itself=NOW), True),
        (changed(arms=OFF), True),
        (changed(agreement=BAD), False),
        (changed(stretches=(day(3, agreement=BAD),)), False),
        (evidence(expired_rules=("old",)), False),
    ],
)
def test_before_the_first_period_is_over_only_facts_are_not_ready(
    whole: Evidence, at_once: bool
) -> None:
    early = replace(TRIAL, since=NOW - 7 * DAY + 1)
    answer = judge(replace(whole, trial=early), TARGETS)
    expected = GateVerdict.NOT_READY if at_once else GateVerdict.INSUFFICIENT
    assert answer.verdict is expected
    assert judge_so_far(replace(whole, trial=early), TARGETS).verdict is expected


def test_the_first_period_is_over_with_its_last_instant() -> None:
    begun = replace(TRIAL, since=NOW - 7 * DAY)
    assert judge(changed(agreement=BAD), TARGETS).verdict is GateVerdict.NOT_READY
    for answer in (judge, judge_so_far):
        found = answer(replace(changed(agreement=BAD), trial=begun), TARGETS)
        assert found.verdict is GateVerdict.NOT_READY


def test_a_crowd_cannot_hide_what_plain_counting_does_not_show() -> None:
    """Eight stalls that each wrongly decide a third of all users are eight events only."""
    hidden = Counted({(1, 1): 4_000, (0, 1): 1_000}, {(1, 1): 4_000, (0, 300): 8})
    answer = judge(changed(agreement=hidden), TARGETS)
    assert answer.verdict is GateVerdict.INSUFFICIENT
    assert [each.name for each in answer.unmet] == ["agreement"]


def test_one_outage_alone_refutes_nothing() -> None:
    outage = Counted({(1, 1): 4_000, (0, 1): 300}, {(1, 1): 4_000, (0, 300): 1})
    answer = judge(changed(agreement=outage), TARGETS)
    assert answer.verdict is GateVerdict.INSUFFICIENT


def test_later_attempts_need_more_evidence() -> None:
    """369 users of perfect agreement reach an e-value of 40 and not of 120."""
    some = both({(1, 1): 460})
    assert judge(changed(agreement=some), TARGETS).verdict is GateVerdict.READY
    second = judge(replace(changed(agreement=some), attempt=2), TARGETS)
    assert second.verdict is GateVerdict.INSUFFICIENT
    assert second.inputs["min_e_value"] == 120


def test_the_stretch_that_refutes_needs_more_the_later_it_is() -> None:
    poor = both({(1, 1): 380, (0, 1): 20})
    early = judge(changed(stretches=(day(1, agreement=poor),)), TARGETS)
    assert condition(early, "stretches").standing is Standing.FAILED
    late = judge(changed(stretches=(day(10**9, agreement=poor),)), TARGETS)
    assert condition(late, "stretches").standing is Standing.MET


def test_a_small_group_is_not_asked_but_may_refute() -> None:
    small = arms(bernoulli(98, 100), bernoulli(98, 100))
    answer = judge(changed(returns={**RETURNING, "staff": small}), TARGETS)
    assert answer.verdict is GateVerdict.READY
    refuting = arms(bernoulli(300, 300), bernoulli(100, 300))
    answer = judge(changed(returns={**RETURNING, "staff": refuting}), TARGETS)
    assert [each.name for each in answer.unmet] == ["returns"]
    assert answer.verdict is GateVerdict.NOT_READY


def test_the_worst_process_decides_about_the_pings() -> None:
    beats = (Heartbeats("a", 1_000_000, 1e6), Heartbeats("b", 10_000, 20_000.0))
    answer = judge(changed(heartbeats=beats), TARGETS)
    assert "(b)" in (condition(answer, "coverage").missing or "")


def test_ninety_nine_of_a_hundred_heartbeats_are_enough() -> None:
    just = changed(heartbeats=(Heartbeats("p", 9_900, 10_000.0),))
    assert judge(just, TARGETS).verdict is GateVerdict.READY
    assert judge(changed(heartbeats=(Heartbeats("p", 9_899, 10_000.0),)), TARGETS).verdict is (
        GateVerdict.NOT_READY
    )


def test_small_processes_are_judged_together() -> None:
    beats = (Heartbeats("a", 1_000_000, 1e6), *(Heartbeats(f"b{n}", 0, 6_000.0) for n in range(2)))
    answer = judge(changed(heartbeats=beats), TARGETS)
    assert answer.verdict is GateVerdict.NOT_READY
    few = (Heartbeats("a", 1_000_000, 1e6), Heartbeats("b", 0, 6_000.0))
    assert judge(changed(heartbeats=few), TARGETS).verdict is GateVerdict.READY


COMPLETE = KindEvidence(Kind.APP, acted=counts(0, 10))
STANDING = StandingReady(NOW - 40 * DAY, NOW - 10 * DAY)


def test_an_earlier_ready_stands_while_nothing_speaks_against_it() -> None:
    later = evidence(COMPLETE, standing=STANDING, days_acted=(False,) * 7)
    assert judge(later, TARGETS).verdict is GateVerdict.READY
    last = replace(later, now=NOW + 20 * DAY - 1, complete_until=NOW + 20 * DAY)
    assert judge(last, TARGETS).verdict is GateVerdict.READY
    assert judge(replace(later, standing=None), TARGETS).verdict is GateVerdict.INSUFFICIENT


YOUNG = replace(TRIAL, since=NOW - DAY)


def test_nothing_has_to_be_waited_for_while_an_earlier_ready_stands() -> None:
    young = evidence(trial=YOUNG, days_acted=(True,))
    answers = [judge(replace(young, standing=standing), TARGETS) for standing in (None, STANDING)]
    assert [(answer.verdict, answer.eta) for answer in answers] == [
        (GateVerdict.INSUFFICIENT, 6 * DAY),
        (GateVerdict.READY, None),
    ]


@pytest.mark.parametrize("trial", [TRIAL, YOUNG])
@pytest.mark.parametrize(
    "against",
    [
        {"now": NOW + 20 * DAY, "complete_until": NOW + 20 * DAY},
        {"expired_rules": ("old",)},
        {"trial": None},
        {"brake": "by hand"},
        {"failures": 1},
        {"complete_until": NOW - DAY},
        {"kinds": (replace(COMPLETE, stretches=(day(2, agreement=BAD),)),)},
        {"kinds": (replace(COMPLETE, arms=OFF),)},
    ],
)
def test_an_earlier_ready_does_not_stand_against(trial: Trial, against: dict[str, Any]) -> None:
    later = evidence(COMPLETE, standing=STANDING, days_acted=(False,) * 7, trial=trial)
    answer = judge(replace(later, **against), TARGETS)
    assert answer.verdict is not GateVerdict.READY


@pytest.mark.parametrize(
    "refuted", [{"agreement": BAD}, {"proofs": both(bernoulli(120, 2000))}, {"returns": FEWER}]
)
def test_an_earlier_ready_does_not_stand_against_what_a_whole_period_refutes(
    refuted: dict[str, Any],
) -> None:
    later = evidence(replace(APP, **refuted), standing=STANDING, days_acted=(False,) * 7)
    assert judge(later, TARGETS).verdict is GateVerdict.NOT_READY


def test_a_step_of_a_plan_is_judged_on_what_is_there_so_far() -> None:
    early = evidence(
        replace(APP, agreement=both({})),
        trial=replace(TRIAL, since=NOW - DAY),
        days_acted=(True,),
    )
    assert condition(judge(early, TARGETS), "agreement").standing is Standing.OPEN
    assert condition(judge_so_far(early, TARGETS), "agreement").standing is Standing.MET


def test_the_answer_tells_which_trial_it_is_about() -> None:
    inputs: Any = judge(evidence(attempt=3), TARGETS).inputs
    assert inputs["attempt"] == 3
    assert inputs["trial"]["since"] == (NOW - 8 * DAY) / SECOND
    assert inputs["trial"]["began_by"] == "start"
    assert "release of the brake" in inputs["trial"]["ends_by"]


def test_bounds_are_drawn_on_the_side_of_their_targets_where_the_condition_stands() -> None:
    answer = judge(evidence(), TARGETS)
    agreement, returns = condition(answer, "agreement"), condition(answer, "returns")
    assert agreement.bound == lower_bound(AGREEING.plain, 1 / 40)
    assert agreement.bound is not None
    assert agreement.bound > 0.99
    assert returns.bound is not None
    assert returns.target is not None
    assert returns.bound >= returns.target
    assert returns.figure == 0.98


def test_the_answer_is_json() -> None:
    json.dumps(judge(evidence(), TARGETS).as_dict(), allow_nan=False)


SHARES = st.dictionaries(st.tuples(st.integers(0, 5), st.just(5)), st.integers(0, 2000), max_size=4)
COUNTED = st.builds(Counted, SHARES, SHARES)
ARMS = st.fixed_dictionaries(dict.fromkeys(Role, COUNTED))


@settings(max_examples=60)
@given(COUNTED, ARMS, COUNTED, st.integers(1, 4))
def test_nothing_is_shown_and_refuted_at_once(
    agreement: Counted, returns: dict[Role, Counted], proofs: Counted, attempt: int
) -> None:
    whole = evidence(
        replace(APP, agreement=agreement, returns={GROUP: returns}, proofs=proofs), attempt=attempt
    )
    answer = judge(whole, TARGETS)
    json.dumps(answer.as_dict(), allow_nan=False)
    unmet = {each.name for each in answer.unmet}
    assert (answer.verdict is GateVerdict.READY) == (not unmet)
    failed = {each.name for each in answer.conditions if each.standing is Standing.FAILED}
    assert (answer.verdict is GateVerdict.NOT_READY) == bool(failed)


def test_while_the_brake_is_engaged_users_are_not_where_the_widths_place_them() -> None:
    off = changed(arms=OFF)
    answer = judge(replace(off, brake="by hand"), TARGETS)
    assert [each.name for each in answer.unmet] == ["brake"]
    assert answer.verdict is GateVerdict.INSUFFICIENT


def test_the_arms_are_named_with_their_users_and_a_ratio_that_is_off() -> None:
    sound = judge(evidence(), TARGETS)
    assert format_arms(sound.conditions) == [
        (
            f"app, {GROUP}: 501 users in the control's arm, 499 in the candidate's, by the widths "
            "50.0% to 50.0%; 2 users were in both arms and are left out",
            False,
        )
    ]
    off = judge(changed(arms=OFF), TARGETS)
    ((line, is_off),) = format_arms(off.conditions)
    assert is_off
    assert "THE SAMPLE RATIO IS OFF" in line
