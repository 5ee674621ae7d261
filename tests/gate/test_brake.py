"""R22: which false kills engage the brake, within its window and by the day."""

from math import log

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import poisson

from shim.gate.brake_statistics import (
    CHANCE,
    FalseKills,
    FalseKillWatch,
    FewerReturns,
    poisson_tail,
)
from shim.gate.statistics import log_e_value
from shim.model import SECOND, Kind, Time
from shim.model.time import DAY
from tests.gate.evidence import BrakeLimits

MINUTE = 60 * SECOND
START = 100 * DAY + 3600 * SECOND


def watch(limits: BrakeLimits | None = None) -> FalseKillWatch:
    return FalseKillWatch(limits or BrakeLimits(), MINUTE, START)


@given(st.floats(0, 50), st.integers(0, 80))
@example(0.01, 1)
@example(1.0, 3)
@example(2000.0, 1)
def test_the_tail_is_that_of_a_poisson_distribution(mean: float, least: int) -> None:
    assert poisson_tail(mean, least) == pytest.approx(
        poisson.sf(least - 1, mean), rel=1e-9, abs=1e-14
    )


def calm_day() -> FalseKillWatch:
    """So many right decisions that the day does not engage, all of them before the window."""
    watched = watch()
    for number in range(400):
        watched.decided(f"right{number}", START - 20 * MINUTE)
    return watched


def kill(
    watched: FalseKillWatch, times: list[Time], *, decisions: int = 0, user: str | None = None
) -> FalseKills | None:
    """False kills of different users, after so many decisions that were right."""
    found = None
    for number in range(decisions):
        watched.decided(f"right{number}", times[0])
    for number, at in enumerate(times):
        who = user or f"wrong{number}"
        watched.decided(who, at)
        found = watched.killed(who, at) or found
    return found


SPREAD = [START + n * MINUTE for n in range(5)]


def test_five_false_kills_in_three_minutes_engage() -> None:
    found = kill(watch(), SPREAD)
    assert found is not None
    assert "hit a live connection" in str(found)


def test_four_do_not() -> None:
    assert poisson_tail(0.01 * 204, 4) > CHANCE
    assert kill(watch(), SPREAD[:4], decisions=200) is None
    assert kill(watch(BrakeLimits(count=4, share=0.0001)), SPREAD[:4], decisions=200) is not None


@pytest.mark.parametrize("apart", [0, 10 * SECOND, 29 * SECOND])
def test_a_burst_within_two_minutes_does_not(apart: Time) -> None:
    # A cut of the network fills two minutes, each begun by a false kill.
    limits = BrakeLimits(share=0.5)
    assert kill(watch(limits), [START + n * apart for n in range(5)], user="u") is None


def test_three_minutes_of_false_kills_are_enough() -> None:
    times = [START, START + 1, START + MINUTE, START + MINUTE + 1, START + 2 * MINUTE]
    assert kill(calm_day(), times) == FalseKills(5, 5, "15 min")
    # A minute is begun by a false kill, and ends before the same second of the next one.
    assert kill(calm_day(), [*times[:4], START + 2 * MINUTE - 1]) is None


@pytest.mark.parametrize(("late", "engages"), [(0, True), (1, False)])
def test_the_first_instant_of_the_window_is_part_of_it(late: Time, engages: bool) -> None:
    times = [
        START,
        *(START + 12 * MINUTE + n * MINUTE for n in range(3)),
        START + 15 * MINUTE + late,
    ]
    assert (kill(calm_day(), times) is not None) is engages


def test_what_lies_before_the_window_counts_no_more() -> None:
    times = [START + n * 4 * MINUTE for n in range(5)]
    assert kill(calm_day(), times) is None
    assert kill(watch(), SPREAD) is not None


def test_a_decision_before_the_window_counts_no_more_when_its_proof_of_life_is_late() -> None:
    watched = watch(BrakeLimits(spread=1, count=2, share=0.001))
    watched.decided("early", START)
    watched.decided("late", START + 10 * MINUTE)
    found = [watched.killed("late", START + number * MINUTE) for number in (14, 16)]
    assert found == [None, FalseKills(2, 1, "15 min")]


def test_as_many_as_the_share_allows_do_not() -> None:
    times = [START + n * MINUTE for n in range(10)]
    assert poisson_tail(10.1, 10) > CHANCE
    assert kill(watch(), times, decisions=1_000) is None


def test_significantly_more_than_the_share_do() -> None:
    times = [START + n * 20 * SECOND for n in range(30)]
    assert poisson_tail(0.01 * 1_030, 30) < CHANCE
    assert kill(watch(), times, decisions=1_000) is not None


def test_one_event_is_one_false_kill() -> None:
    watched = watch()
    for number in range(500):
        at = START + number * SECOND
        watched.decided(f"u{number}", at)
        assert watched.killed(f"u{number}", at, event=7) is None


def test_the_day_engages_on_a_share_too_small_for_the_window() -> None:
    """One false kill in ten decisions, one each hour: never five within a quarter of an hour."""
    watched = watch()
    found = None
    for hour in range(20):
        at = 100 * DAY + hour * 3600 * SECOND
        for number in range(10):
            user = f"{hour}-{number}"
            watched.decided(user, at)
            if not number:
                found = found or watched.killed(user, at)
    assert found is not None
    assert found.within == "the day"


@pytest.mark.parametrize("day", [1, 2, 3])
def test_the_day_engages_at_what_its_number_since_the_begin_needs(day: int) -> None:
    """20 k (k + 1) on the k-th day: so few right decisions do not outweigh the false kills of two users."""
    wanted = log(20 * day * (day + 1))
    border = next(
        right for right in range(1_000) if log_e_value({(1, 1): 2, (0, 1): right}, 0.01) < wanted
    )
    for right in (border - 1, border):
        watched = FalseKillWatch(BrakeLimits(spread=1000), MINUTE, (101 - day) * DAY)
        found = kill(watched, [START, START + MINUTE], decisions=right)
        assert (found is None) is (right == border)


def test_a_further_false_kill_of_a_minute_is_no_decision_of_the_day_either() -> None:
    watched = watch(BrakeLimits(spread=1000))
    # The second user has a right decision, too.
    watched.decided("wrong1", START)
    found = kill(watched, [START, START + SECOND, START + MINUTE])
    assert found == FalseKills(2, 3, "the day")


def test_one_users_false_kills_do_not_engage_by_the_day() -> None:
    watched = watch(BrakeLimits(spread=1000))
    for hour in range(24):
        watched.decided("u", 100 * DAY + hour * 3600 * SECOND)
        assert watched.killed("u", 100 * DAY + hour * 3600 * SECOND) is None


def test_users_with_right_decisions_and_those_of_yesterday_are_no_second_user() -> None:
    """At this share the false kills of two users are much more than enough, and those of one user, too."""
    watched = watch(BrakeLimits(spread=1000, share=1e-5))
    for day in (100, 101):
        watched.decided("right", day * DAY)
        for minute in range(5):
            assert kill(watched, [day * DAY + minute * MINUTE], user=f"wrong on day {day}") is None
    found = kill(watched, [101 * DAY + 5 * MINUTE], user="another")
    assert found == FalseKills(6, 7, "the day")


def test_the_allowed_share_does_not_engage_by_the_day() -> None:
    watched = watch(BrakeLimits(spread=1000))
    for number in range(5_000):
        at = 100 * DAY + number * 16 * SECOND
        watched.decided(f"u{number}", at)
        if number % 100 == 50:
            assert watched.killed(f"u{number}", at) is None


def test_a_share_of_0_permits_no_false_kill_and_a_share_of_1_every_one() -> None:
    """The extremes that the settings permit."""
    times = [START, START + MINUTE]
    assert kill(watch(BrakeLimits(share=0.0)), times, decisions=1000) is not None
    every = [START + number * MINUTE for number in range(60)]
    assert kill(watch(BrakeLimits(share=1.0)), every) is None


def test_a_further_false_kill_of_a_known_event_says_the_reason_again() -> None:
    """It counts for nothing, and takes nothing back."""
    watched = watch()
    answers: list[FalseKills | None] = []
    for number in [*range(5), 0, 4]:
        at = START + number * MINUTE if len(answers) < 5 else SPREAD[-1]
        watched.decided(f"u{number}", at)
        answers.append(watched.killed(f"u{number}", at, event=number))
    assert answers[4:] == [FalseKills(5, decisions, "15 min") for decisions in (5, 6, 7)]


def test_of_the_decisions_only_those_within_the_window_are_kept() -> None:
    """A candidate without false kills decides for months."""
    watched = watch()
    for number in range(100):
        watched.decided("u", START + number * MINUTE)
    # The first instant of the window is part of it.
    assert len(watched._decisions) == 16


def test_the_reasons_in_words() -> None:
    assert str(FalseKills(5, 70, "15 min")) == (
        "5 of the candidate's 70 decisions within 15 min hit a live connection"
    )
    fewer = FewerReturns(
        Kind.APP,
        control=0.9561,
        control_users=300,
        candidate=0.5,
        candidate_users=200,
        within="1970-04-11",
    )
    assert str(fewer) == (
        "app, 1970-04-11: 50.0% of 200 users came back after the candidate's closing, 95.6% of 300 after "
        "the control's"
    )


def test_a_window_is_told_in_minutes() -> None:
    limits = BrakeLimits(window=90 * SECOND, count=2, share=0.0001, spread=2)
    found = kill(watch(limits), SPREAD[:2])
    assert found == FalseKills(2, 2, "1.5 min")


def test_a_false_kill_of_a_decision_of_yesterday_is_no_decision_of_today() -> None:
    """Each user's share is one at most: two false kills of one decision are as one of one."""
    twice, once = watch(BrakeLimits(spread=1000)), watch(BrakeLimits(spread=1000))
    found = []
    for watched, repeated in ((twice, 2), (once, 1)):
        for number in range(2):
            at = START + number * 10 * MINUTE
            watched.decided("a right one", at)
            watched.decided(f"u{number}", at)
            for kill_number in range(repeated):
                answer = watched.killed(f"u{number}", at + kill_number * MINUTE)
        found.append(answer)
    assert found == [FalseKills(4, 4, "the day"), FalseKills(2, 4, "the day")]
    assert twice._shares == once._shares


def test_a_further_false_kill_of_a_minute_without_a_decision_today_counts_for_nothing() -> None:
    watched = watch(BrakeLimits(spread=1000))
    at = 101 * DAY
    watched.decided("late", at - 1)
    assert kill(watched, [at], user="a") is None
    assert watched.killed("late", at) is None
    assert kill(watched, [at + number * MINUTE for number in range(1, 4)]) == FalseKills(
        4, 4, "the day"
    )


def test_the_next_day_begins_with_nothing() -> None:
    """Two users with false kills are enough, whatever was right or wrong the day before."""
    watched = watch(BrakeLimits(spread=1000))
    midnight = 101 * DAY
    assert kill(watched, [midnight - 1], decisions=1_000) is None
    assert kill(watched, [midnight + MINUTE, midnight + 2 * MINUTE]) == FalseKills(2, 2, "the day")
