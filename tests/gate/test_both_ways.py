"""R16: what must be shown must be shown with crowds as single events and plainly; what is refuted, in both."""

from dataclasses import replace
from typing import Any

import pytest

from shim.gate.answer import Condition
from shim.gate.evidence import KindEvidence, StretchSample
from shim.gate.judge import judge
from shim.gate.statistics import Counted, Shares, lower_bound, upper_bound
from shim.model import Role
from tests.gate.evidence import (
    AGREEING,
    APP,
    BAD,
    GROUP,
    RETURNING,
    TARGETS,
    arms,
    bernoulli,
    both,
    condition,
    evidence,
)

ALPHA = 1 / 40 / 2
"""Of each of the two sequences of returns in a first trial."""


def of(name: str, kind: KindEvidence) -> Condition:
    return condition(judge(evidence(kind), TARGETS), name)


def standing(name: str, **changes: Any) -> str:
    return of(name, replace(APP, **changes)).standing.value


def in_both_orders(one: Shares, other: Shares) -> list[Counted]:
    return [Counted(one, other), Counted(other, one)]


def returning(candidate: Counted) -> dict[str, dict[Role, Counted]]:
    return {GROUP: {Role.CONTROL: both(bernoulli(1960, 2000)), Role.CANDIDATE: candidate}}


GOOD_RETURNS, FEW_RETURNS = bernoulli(1960, 2000), bernoulli(1560, 2000)
NO_PROOFS, MANY_PROOFS = bernoulli(0, 2000), bernoulli(120, 2000)


@pytest.mark.parametrize("agreement", in_both_orders(AGREEING.plain, BAD.plain))
def test_agreement_that_one_way_shows_and_the_other_refutes_is_open(agreement: Counted) -> None:
    found = of("agreement", replace(APP, agreement=agreement))
    assert found.standing == "open"
    # The bound is that of the way that shows less.
    assert found.bound == lower_bound(BAD.plain, 1 / 40)


@pytest.mark.parametrize("proofs", in_both_orders(NO_PROOFS, MANY_PROOFS))
def test_proofs_of_life_that_one_way_shows_are_open(proofs: Counted) -> None:
    found = of("proofs_of_life", replace(APP, proofs=proofs))
    assert found.standing == "open"
    assert found.bound == upper_bound(MANY_PROOFS, 1 / 40)


@pytest.mark.parametrize("candidate", in_both_orders(GOOD_RETURNS, FEW_RETURNS))
def test_returns_that_one_way_shows_and_the_other_refutes_are_open(candidate: Counted) -> None:
    found = of("returns", replace(APP, returns=returning(candidate)))
    assert found.standing == "open"
    assert found.bound == lower_bound(FEW_RETURNS, ALPHA)
    assert found.target == upper_bound(GOOD_RETURNS, ALPHA) - TARGETS.return_margin


@pytest.mark.parametrize("first", [True, False])
def test_the_bound_of_returns_is_that_of_the_group_that_shows_least(first: bool) -> None:
    good, weak = arms(GOOD_RETURNS, GOOD_RETURNS), arms(GOOD_RETURNS, bernoulli(1900, 2000))
    groups = {"a": weak, "b": good} if first else {"a": good, "b": weak}
    found = of("returns", replace(APP, returns=groups))
    assert found.bound == lower_bound(bernoulli(1900, 2000), ALPHA)
    # The figure is that of all users on whom the candidate acted.
    assert found.figure == pytest.approx((1960 + 1900) / 4000)


def test_a_group_may_show_more_than_another_one_and_be_further_from_what_it_has_to_reach() -> None:
    """What the control's clients do is the measure, in each group."""
    near = arms(bernoulli(1000, 2000), bernoulli(1000, 2000))
    far = arms(bernoulli(2000, 2000), bernoulli(1800, 2000))
    found = of("returns", replace(APP, returns={"near": near, "far": far}))
    assert found.bound == lower_bound(bernoulli(1800, 2000), ALPHA)


@pytest.mark.parametrize("agreement", in_both_orders(AGREEING.plain, BAD.plain))
def test_a_stretch_refutes_agreement_in_both_ways_or_not_at_all(agreement: Counted) -> None:
    day = StretchSample("a day", 1, agreement=agreement, returns=RETURNING)
    assert standing("stretches", stretches=(day,)) == "met"
    assert standing("stretches", stretches=(replace(day, agreement=BAD),)) == "failed"


@pytest.mark.parametrize("candidate", in_both_orders(GOOD_RETURNS, FEW_RETURNS))
def test_a_stretch_refutes_returns_in_both_ways_or_not_at_all(candidate: Counted) -> None:
    day = StretchSample("a day", 1, agreement=AGREEING, returns=returning(candidate))
    assert standing("stretches", stretches=(day,)) == "met"
    fewer = replace(day, returns=returning(both(FEW_RETURNS)))
    assert standing("stretches", stretches=(fewer,)) == "failed"


@pytest.mark.parametrize("ways", in_both_orders({(1, 1): 100}, {(1, 1): 98, (0, 1): 2}))
def test_recent_agreement_falls_short_if_it_does_in_one_way(ways: Counted) -> None:
    found = of("recent", replace(APP, recent_agreement=ways))
    assert (found.standing, found.bound, found.missing) == (
        "open",
        0.98,
        "they fall short: agreement 0.98",
    )
    assert found.figure == sum(s * n for (s, _), n in ways.plain.items()) / 100


@pytest.mark.parametrize("ways", in_both_orders(bernoulli(95, 100), bernoulli(80, 100)))
def test_recent_returns_fall_short_if_they_do_in_one_way(ways: Counted) -> None:
    groups = {GROUP: {Role.CONTROL: both(bernoulli(95, 100)), Role.CANDIDATE: ways}}
    found = of("recent", replace(APP, recent_returns=groups))
    assert found.missing == "they fall short: everybody: returns 0.8 against 0.95"


def test_recent_returns_may_be_lower_by_the_margin() -> None:
    targets = replace(TARGETS, return_margin=0.25)
    for returned, stands in ((75, "met"), (74, "open")):
        recent = {GROUP: arms(bernoulli(100, 100), bernoulli(returned, 100))}
        whole = evidence(replace(APP, recent_returns=recent))
        assert condition(judge(whole, targets), "recent").standing == stands


def test_where_nobody_comes_back_to_the_control_the_candidate_does_not_fall_short() -> None:
    for returned, stands in ((0, "met"), (100, "met")):
        recent = {GROUP: arms(bernoulli(0, 100), bernoulli(returned, 100))}
        assert standing("recent", recent_returns=recent) == stands
    recent = {GROUP: arms(bernoulli(100, 100), bernoulli(0, 100))}
    assert standing("recent", recent_returns=recent) == "open"


def test_recent_agreement_may_be_what_is_asked_for() -> None:
    assert standing("recent", recent_agreement=both(bernoulli(99, 100))) == "met"


def test_recently_an_arm_without_outcomes_and_a_small_group_do_not_fall_short() -> None:
    idle = {GROUP: {Role.CONTROL: both(bernoulli(95, 100)), Role.CANDIDATE: both({})}}
    missing = {GROUP: {Role.CONTROL: idle[GROUP][Role.CONTROL]}}
    for recent in (idle, missing):
        assert standing("recent", recent_returns=recent) == "met"
    for users, stands in ((24, "met"), (100, "open")):
        small = arms(bernoulli(users // 2, users // 2), bernoulli(0, users // 2))
        large = arms(bernoulli(95, 100), bernoulli(95, 100))
        groups = {"idle": idle[GROUP], "staff": small, GROUP: large}
        assert standing("recent", recent_returns=groups) == stands


@pytest.mark.parametrize("role", Role)
def test_recently_an_arm_whose_rows_all_belong_to_an_older_crowd_does_not_fall_short(
    role: Role,
) -> None:
    """The crowd began before the first of the seven days, so that its way of counting has nothing."""
    seen = arms(bernoulli(95, 100), bernoulli(95, 100))
    recent = {GROUP: {**seen, role: Counted(seen[role].plain, {})}}
    assert standing("recent", recent_returns=recent) == "met"


def test_recently_nothing_at_all_is_no_shortage() -> None:
    found = of("recent", replace(APP, recent_agreement=both({}), recent_returns={}))
    assert (found.standing, found.bound, found.figure) == ("met", None, None)


def test_a_group_that_is_small_in_the_trial_refutes_in_no_stretch() -> None:
    """Unless no group of the trial has an outcome yet: then each may speak against the candidate."""
    day = StretchSample(
        "a day", 1, returns={**RETURNING, "staff": returning(both(FEW_RETURNS))[GROUP]}
    )
    staff = {"staff": arms(bernoulli(98, 100), bernoulli(98, 100))}
    assert standing("stretches", stretches=(day,), returns={**RETURNING, **staff}) == "met"
    for final in ({}, {"staff": RETURNING[GROUP]}):
        found = of("stretches", replace(APP, stretches=(day,), returns=final))
        assert found.missing == "a day: returns of staff"


@pytest.mark.parametrize("ordinal", [1, 3, 10])
def test_a_stretch_needs_twenty_times_its_number_for_each_of_two_sequences(ordinal: int) -> None:
    """With fewer and fewer returns: refuted from where the bounds lie apart at half of that chance."""
    control = bernoulli(190, 200)
    alpha = 1 / (20 * ordinal) / 2
    apart = {}
    for returned in range(120, 190):
        candidate = bernoulli(returned, 200)
        day = StretchSample("a day", ordinal, returns={GROUP: arms(control, candidate)})
        refuted = standing("stretches", stretches=(day,)) == "failed"
        highest = lower_bound(control, alpha) - TARGETS.return_margin
        assert refuted == (upper_bound(candidate, alpha) < highest)
        apart[returned] = refuted
    assert apart[120]
    assert not apart[189]
