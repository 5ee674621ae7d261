"""The brake's statistic: false kills within the window, and returns that fail to come (R22)."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.gate import FalseKills, FalseKillWatch, ReturnWatch
from shim.gate.brake_statistics import FewerReturns
from shim.model import SECOND, Kind, Outcome, Return, Role
from shim.settings.sections import BrakeSettings
from tests.gate.outcomes import DAY, RETURN_WINDOW, first_brake, outcome

LIMITS = BrakeSettings()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10 * 60), st.integers(0, 400), st.booleans()), max_size=40)
)
def test_false_kills_are_those_of_the_window(steps: list[tuple[int, int, bool]]) -> None:
    """(seconds passed, decisions, whether one of them was wrong), against counting all of it anew."""
    watch = FalseKillWatch(LIMITS)
    now = 0
    decisions: list[int] = []
    kills: list[int] = []
    for passed, count, wrong in steps:
        now += passed * SECOND
        for _ in range(count):
            watch.decided(now)
        decisions += [now] * count
        reason = watch.killed(now) if wrong else watch.reason(now)
        kills += [now] if wrong else []
        recent = sum(at >= now - LIMITS.window for at in kills)
        among = sum(at >= now - LIMITS.window for at in decisions)
        expected = recent >= 5 and recent / max(1, among) >= 0.01
        assert reason == (FalseKills(recent, among) if expected else None)


def test_five_false_kills_of_five_hundred_decisions_engage() -> None:
    watch = FalseKillWatch(LIMITS)
    for _ in range(500):
        watch.decided(0)
    assert [watch.killed(0) for _ in range(4)] == [None] * 4
    assert str(watch.killed(0)) == "5 of the candidate's 500 decisions hit a live connection"
    watch.decided(0)
    assert watch.reason(0) is None


def run(watch: ReturnWatch, outcomes: Iterable[Outcome]) -> tuple[int, FewerReturns] | None:
    """The first reason, and after how many of the outcomes it came."""
    for number, each in enumerate(sorted(outcomes, key=lambda outcome: outcome.at), start=1):
        if (reason := watch.settled(each, each.at)) is not None:
            return number, reason
    return None


def alternating(
    count: int, candidate_returns: bool = False, start: int = 0, by_percentage: bool = True
) -> list[Outcome]:
    """Each second a new user of either arm; the control's all return."""
    return [
        outcome(
            f"{role}{n}",
            role,
            start + n * SECOND,
            role is Role.CONTROL or candidate_returns,
            by_percentage=by_percentage,
        )
        for n in range(count)
        for role in Role
    ]


def test_a_candidate_that_nobody_returns_from_is_seen_at_once() -> None:
    found = run(ReturnWatch(RETURN_WINDOW, 0), alternating(60))
    assert found is not None
    _, reason = found
    assert reason.candidate == 0
    assert reason.control == 1
    assert reason.candidate_users <= 12
    assert "app: 0.0% of" in str(reason)


def test_returns_wait_until_losses_are_known() -> None:
    """The control's thousand closings of one minute, half of them lost: not all of them returns at first."""
    watch = ReturnWatch(RETURN_WINDOW, 0)
    candidate = [outcome(f"a{n}", Role.CANDIDATE, n, n % 2 > 0) for n in range(1000)]
    control = [outcome(f"b{n}", Role.CONTROL, DAY // 2 + n, n % 2 > 0) for n in range(1000)]
    assert run(watch, candidate + control) is None


def test_users_by_override_and_users_counted_already_say_nothing() -> None:
    assert run(ReturnWatch(RETURN_WINDOW, 0), alternating(60, by_percentage=False)) is None
    same = [
        outcome(str(role), role, n * SECOND, role is Role.CONTROL)
        for n in range(1000)
        for role in Role
    ]
    assert run(ReturnWatch(RETURN_WINDOW, 0), same) is None


def test_users_count_again_when_the_sequences_begin_anew() -> None:
    """A month of good returns does not hide a day without."""
    watch = ReturnWatch(RETURN_WINDOW, 0)
    for day in range(30):
        assert run(watch, alternating(60, candidate_returns=True, start=day * DAY)) is None
    assert run(watch, alternating(60, start=30 * DAY)) is not None


@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_without_a_difference_it_hardly_ever_engages(rate: float) -> None:
    """Asked after each outcome of a month."""
    engaged = [first_brake(rate, rate, 0, seed, per_day=40) for seed in range(25)]
    assert sum(hit is not None for hit in engaged) <= 1


def test_a_drop_of_thirty_points_engages_within_some_hundred_outcomes() -> None:
    engaged = [first_brake(0.95, 0.65, 0, seed, days=5) for seed in range(20)]
    assert all(hit is not None and hit <= 400 for hit in engaged)


def test_the_window_begins_with_its_first_instant() -> None:
    """Both deques: what happened exactly `window` ago counts, a microsecond earlier does not."""
    for now, decisions, kills in ((LIMITS.window, 500, 5), (LIMITS.window + 1, 0, 0)):
        watch = FalseKillWatch(LIMITS)
        for _ in range(500):
            watch.decided(0)
        for _ in range(5):
            watch.killed(0)
        expected = FalseKills(kills, decisions) if kills else None
        assert watch.reason(now) == expected


def test_four_false_kills_are_too_few_however_few_the_decisions() -> None:
    watch = FalseKillWatch(LIMITS)
    for _ in range(4):
        watch.decided(0)
        assert watch.killed(0) is None
    assert watch.killed(0) == FalseKills(5, 4)


def test_an_outcome_is_taken_when_its_window_is_over() -> None:
    """All of the candidate's users are lost; the reason is not known at the windows' ends, but after."""
    watch = ReturnWatch(RETURN_WINDOW, 0)
    outcomes = [
        outcome(f"{role}{n}", role, 0, role is Role.CONTROL) for n in range(60) for role in Role
    ]
    assert [watch.settled(each, RETURN_WINDOW) for each in outcomes] == [None] * 120
    assert watch.reason(RETURN_WINDOW) is None
    reason = watch.reason(RETURN_WINDOW + 1)
    assert reason is not None
    assert (reason.kind, reason.control, reason.candidate) == (Kind.APP, 1.0, 0.0)
    users = reason.control_users, reason.candidate_users
    assert str(reason) == (
        f"app: 0.0% of {users[1]} users came back after the candidate's closing, "
        f"100.0% of {users[0]} after the control's"
    )
    assert abs(users[0] - users[1]) <= 1


@pytest.mark.parametrize("result", [Return.REPLACED, Return.CENSORED])
def test_only_returns_and_losses_count(result: Return) -> None:
    """The control's clients all come back; of the candidate's nothing is known that counts."""
    watch = ReturnWatch(RETURN_WINDOW, 0)
    for n in range(200):
        for role in Role:
            known = outcome(f"{role}{n}", role, n, True)
            if role is Role.CANDIDATE:
                known = replace(known, result=result)
            assert watch.settled(known, DAY) is None


def test_the_longer_sequence_ends_after_a_week() -> None:
    """Nine users of each arm do not suffice, ten do; after seven days nobody remembers the nine."""

    def engages(last: int) -> bool:
        start = 5 * SECOND
        watch = ReturnWatch(RETURN_WINDOW, start)
        found = [
            watch.settled(outcome(f"{role}{n}", role, at, role is Role.CONTROL), at + DAY)
            for n, at in enumerate([*[start] * 9, start + last])
            for role in Role
        ]
        assert found[:-2] == [None] * 18
        return found[-1] is not None or found[-2] is not None

    assert engages(0)
    assert engages(7 * DAY - 1)
    assert not engages(7 * DAY)


def test_a_user_counts_once_while_a_sequence_lasts() -> None:
    watch = ReturnWatch(RETURN_WINDOW, 0)
    for at in range(100):
        for n in range(9):
            for role in Role:
                known = outcome(f"{role}{n}", role, at * SECOND, role is Role.CONTROL)
                assert watch.settled(known, DAY) is None
