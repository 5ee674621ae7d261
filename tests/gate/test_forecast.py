"""What is foretold: when a condition that is open will be met, if all goes on as it went (R16)."""

from dataclasses import replace

import pytest

from shim.gate.answer import GateAnswer, GateVerdict
from shim.gate.evidence import Heartbeats, SampleSoFar
from shim.gate.judge import judge
from shim.model import Role
from tests.gate.evidence import (
    AGREEING,
    DAY,
    GROUP,
    NOW,
    TARGETS,
    TRIAL,
    arms,
    bernoulli,
    both,
    changed,
    condition,
    evidence,
)


def test_what_is_missing_of_the_length_comes_by_waiting() -> None:
    early = evidence(trial=replace(TRIAL, since=NOW - 5 * DAY), days_acted=(True,) * 5)
    answer = judge(early, TARGETS)
    assert answer.verdict is GateVerdict.INSUFFICIENT
    assert answer.eta == 2 * DAY
    assert condition(answer, "length").missing == "the trial has to last 2 d longer"


SOME = both({(1, 1): 300})
"""448 users of perfect agreement are enough."""


def of_conditions(answer: GateAnswer) -> dict[str, int | None]:
    return {each.name: each.eta for each in answer.unmet}


@pytest.mark.parametrize(("later", "eta"), [(0, None), (10, 14.8 * DAY)])
def test_after_the_first_period_only_users_who_are_new_bring_more(
    later: int, eta: float | None
) -> None:
    """148 more users are needed, and on the eighth day ten users were new."""
    some = changed(agreement=SOME, users=300, unsettled_users=0, later_users=later)
    open_agreement = condition(judge(some, TARGETS), "agreement")
    assert open_agreement.eta == (None if eta is None else pytest.approx(eta, rel=0.01))
    assert ("no new ones occur" in (open_agreement.missing or "")) == (not later)


@pytest.mark.parametrize(("later", "eta"), [(0, None), (20, 5 * DAY)])
def test_more_users_come_only_as_new_ones_do(later: int, eta: int | None) -> None:
    few = changed(users=200, unsettled_users=0, later_users=later)
    assert of_conditions(judge(few, TARGETS)) == {"users": eta}


def test_the_answer_is_foretold_for_when_the_last_open_condition_holds() -> None:
    beats = (Heartbeats("p1", 8_000, 8_000.0),)
    few = changed(users=200, unsettled_users=0, later_users=20, heartbeats=beats)
    answer = judge(few, TARGETS)
    assert of_conditions(answer) == {"users": 5 * DAY, "coverage": 2 * DAY}
    assert answer.eta == 5 * DAY


@pytest.mark.parametrize(("seen", "enough"), [(100, False), (240, True)])
def test_in_the_first_period_what_has_been_seen_says_whether_its_end_will_do(
    seen: int, enough: bool
) -> None:
    """After half of it no more than as many users again can come."""
    sample = both({(1, 1): seen})
    returning = {GROUP: arms(bernoulli(1960, 2000), bernoulli(1960, 2000))}
    half = TARGETS.period // 2
    early = replace(
        changed(
            agreement=both({}),
            returns={},
            proofs=both({}),
            users=0,
            unsettled_users=seen,
            so_far=SampleSoFar(sample, returning, both({(0, 1): 2000})),
        ),
        trial=replace(TRIAL, since=NOW - half),
        days_acted=(True,) * 3,
    )
    answer = judge(early, TARGETS)
    end = TARGETS.period - half
    likely = end if enough else None
    assert of_conditions(answer) == {
        "length": end,
        "users": likely,
        "agreement": likely,
        "returns": end,
        "proofs_of_life": end,
    }
    assert answer.eta == likely


@pytest.mark.parametrize("idle", [None, *Role])
def test_no_end_is_foretold_while_an_arm_has_no_outcomes(idle: Role | None) -> None:
    half = TARGETS.period // 2
    returning = arms(
        *(bernoulli(0 if role is idle else 1960, 0 if role is idle else 2000) for role in Role)
    )
    so_far = SampleSoFar(AGREEING, {} if idle is None else {GROUP: returning}, AGREEING)
    early = replace(
        changed(returns={}, so_far=so_far),
        trial=replace(TRIAL, since=NOW - half),
        days_acted=(True,) * 3,
    )
    assert condition(judge(early, TARGETS), "returns").eta is None


def test_no_end_is_foretold_while_an_arm_of_any_large_group_has_no_outcomes_or_too_few_returns() -> (
    None
):
    half = TARGETS.period // 2
    whole = arms(bernoulli(1960, 2000), bernoulli(1960, 2000))
    idle = {Role.CONTROL: both(bernoulli(1960, 2000))}
    fewer = arms(bernoulli(1960, 2000), bernoulli(1560, 2000))
    for groups, eta in (
        ({"a": whole}, half),
        ({"a": whole, "b": idle}, None),
        ({"a": whole, "b": fewer}, None),
    ):
        early = replace(
            changed(returns={}, so_far=SampleSoFar(AGREEING, groups, AGREEING)),
            trial=replace(TRIAL, since=NOW - half),
            days_acted=(True,) * 3,
        )
        assert condition(judge(early, TARGETS), "returns").eta == eta


def test_timeouts_come_as_they_have_come() -> None:
    few = judge(changed(matched=200), TARGETS)
    assert of_conditions(few) == {"timeouts": 4 * DAY}
