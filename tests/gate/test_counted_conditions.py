"""The conditions that count: heartbeats, days, users, arms, and episodes that rules explain."""

from dataclasses import replace
from math import exp

import pytest

from shim.gate.counted_conditions import sample_ratio
from shim.gate.evidence import Heartbeats
from shim.gate.judge import judge, judge_so_far
from shim.gate.kind_gate import KindGate
from shim.gate.sample_ratio import ArmUsers
from shim.model import Role
from tests.gate.evidence import (
    APP,
    DAY,
    GROUP,
    HALVES,
    NOW,
    OFF,
    TARGETS,
    TRIAL,
    changed,
    condition,
    counts,
    evidence,
    judged,
)


def test_numbers_where_there_is_nothing_to_count() -> None:
    whole = changed(acted={Role.CANDIDATE: 9}, arms={}, heartbeats=())
    assert [judged(name, whole).figure for name in ("acted", "sample_ratio")] == [0, 1]
    assert judged("acted", whole).missing == "the control never acted on a timeout"
    nobody = judged("acted", changed(acted={}))
    assert nobody.missing == "the control and the candidate never acted on a timeout"
    assert nobody.inputs == {"control": 0, "candidate": 0}
    assert judged("coverage", whole).missing == "10000 more heartbeats to judge by"


def test_the_inputs_of_arms_without_users_are_zeros() -> None:
    one = judged("sample_ratio", changed(arms={GROUP: ArmUsers({}, 3, {})}))
    zeros = {"control": 0, "candidate": 0}
    assert one.inputs["groups"] == {GROUP: {**zeros, "crossed": 3, "expected": zeros, "e_value": 1}}


def test_a_process_that_never_pinged_is_the_worst() -> None:
    beats = (Heartbeats("a", 19_000, 20_000.0), Heartbeats("b", 0, 20_000.0))
    one = judged("coverage", changed(heartbeats=beats))
    assert (one.figure, one.missing) == (
        0,
        "the candidate does not ping as often as it should (b)",
    )


@pytest.mark.parametrize(
    ("explained", "conclusive", "standing"),
    [
        (0, 0, "open"),
        (1, 199, "met"),  # the share that is allowed
        (1, 198, "open"),
        (5, 195, "open"),
        (6, 194, "failed"),
    ],
)
def test_how_many_episodes_rules_may_explain(
    explained: int, conclusive: int, standing: str
) -> None:
    one = judged("expected", changed(expected=explained, matched=conclusive))
    assert one.standing == standing


def test_where_no_episode_may_be_explained_one_is_a_failure() -> None:
    targets = replace(TARGETS, max_expected=0.0)
    none, single = (
        condition(judge(changed(expected=count), targets), "expected") for count in (0, 1)
    )
    assert (none.standing, single.standing) == ("met", "failed")


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
    one = judged("coverage", changed(heartbeats=processes))
    assert (one.figure, one.bound) == (figure, figure)
    why = "the candidate does not ping as often as it should"
    assert one.missing == (f"{why} ({missing})" if missing else "1 more heartbeats to judge by")
    assert one.inputs["pings"] == sum(pings for pings, _ in beats)
    assert one.inputs["heartbeats"] == sum(needed or 0 for _, needed in beats)


def test_heartbeats_come_as_they_have_come() -> None:
    """8 000 in eight days: 2 000 more take two days."""
    one = judged("coverage", changed(heartbeats=(Heartbeats("p", 8_000, 8_000.0),)))
    assert (one.eta, one.missing) == (2 * DAY, "2000 more heartbeats to judge by")
    none = judged("coverage", changed(heartbeats=(Heartbeats("p", 0, None),)))
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
    one = condition(judge_so_far(changed(days=seen), TARGETS), "days")
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
    one = judged("users", changed(users=250, unsettled_users=0, later_users=25))
    assert (one.eta, one.missing) == (2 * DAY, "50 more users (0 are being observed)")
    one = judged("users", changed(users=200, unsettled_users=50, later_users=25))
    assert (one.eta, one.missing) == (2 * DAY, "100 more users (50 are being observed)")
    one = judged("users", changed(users=125, unsettled_users=125, later_users=25))
    assert one.eta == 2 * DAY
    assert judged("users", changed(users=0, unsettled_users=0)).eta is None


def test_the_arms_that_are_furthest_from_their_widths_give_the_figure() -> None:
    """All groups that are off are named."""
    sound = ArmUsers(counts(500, 500), 0, HALVES)
    groups = {"a": sound, "b": OFF[GROUP], "c": ArmUsers(counts(700, 300), 0, HALVES), "d": sound}
    one = judged("sample_ratio", changed(arms=groups))
    assert one.figure == pytest.approx(exp(groups["c"].log_e_value))
    assert (one.missing or "").startswith("users of b, c are not where the widths place them")


def test_arms_may_be_off_only_while_the_brake_is_engaged() -> None:
    case = KindGate(replace(APP, arms=OFF), TARGETS, 8 * DAY)
    assert sample_ratio(case).standing == "failed"
    braked = sample_ratio(replace(case, braked=True))
    assert (braked.standing, braked.missing) == ("met", None)
