"""R22: what engages the brake, and what does not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import poisson

from shim.gate.brake_statistics import (
    CHANCE,
    FalseKills,
    FalseKillWatch,
    FewerReturns,
    ReturnWatch,
    poisson_tail,
)
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.gate.statistics import lower_bound, upper_bound
from shim.model import SECOND, Kind, Role, Time
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


@pytest.mark.parametrize(("begun", "wrong"), [(100, 2), (1, 4)])
def test_the_day_engages_at_what_its_number_since_the_begin_needs(begun: int, wrong: int) -> None:
    """20 k (k + 1) on the k-th day: two users with false kills are enough on the first one."""
    watched = FalseKillWatch(BrakeLimits(spread=1000), MINUTE, begun * DAY)
    watched.decided("right", START)
    for number in range(wrong):
        at = START + number * MINUTE
        watched.decided(f"wrong{number}", at)
        found = watched.killed(f"wrong{number}", at)
        assert (found is not None) == (number == wrong - 1)


def test_a_further_false_kill_of_a_minute_is_no_decision_of_the_day_either() -> None:
    watched = watch(BrakeLimits(spread=1000))
    found = kill(watched, [START, START + SECOND, START + MINUTE])
    assert found == FalseKills(2, 2, "the day")


def test_one_users_false_kills_do_not_engage_by_the_day() -> None:
    watched = watch(BrakeLimits(spread=1000))
    for hour in range(24):
        watched.decided("u", 100 * DAY + hour * 3600 * SECOND)
        assert watched.killed("u", 100 * DAY + hour * 3600 * SECOND) is None


def test_the_allowed_share_does_not_engage_by_the_day() -> None:
    watched = watch(BrakeLimits(spread=1000))
    for number in range(5_000):
        at = 100 * DAY + number * 16 * SECOND
        watched.decided(f"u{number}", at)
        if number % 100 == 50:
            assert watched.killed(f"u{number}", at) is None


def rows(
    role: Role, number: int, lost: int, start: Time, apart: Time, group: str = "everybody"
) -> list[ObservedRow]:
    """The losses are spread evenly."""
    return [
        ObservedRow(
            f"{role}{n}",
            start + n * apart,
            (n + 1) * lost // number == n * lost // number,
            Arm(group, role),
            1,
        )
        for n in range(number)
    ]


def engages(*parts: list[ObservedRow], connected: int = 10_000) -> bool:
    found = sorted((row for part in parts for row in part), key=lambda row: row.at)
    times = QuestionTimes(100 * DAY, 7 * DAY, DAY, MINUTE)
    watched = ReturnWatch(times, lambda kind: lambda at, run: connected)
    watched.extend(Kind.APP, found)
    return watched.reason(found[-1].at + 3 * MINUTE) is not None


def test_a_candidate_whose_clients_stay_away_engages() -> None:
    control = rows(Role.CONTROL, 300, 15, START, 60 * SECOND)
    assert engages(control, rows(Role.CANDIDATE, 300, 150, START, 60 * SECOND))
    assert not engages(control, rows(Role.CANDIDATE, 300, 20, START, 60 * SECOND))


@pytest.mark.parametrize(("lost", "candidate"), [(150, 0.25), (200, 0.0)])
def test_the_reason_says_how_many_users_came_back_and_when(lost: int, candidate: float) -> None:
    found = sorted(
        [
            *rows(Role.CONTROL, 300, 15, START, MINUTE),
            *rows(Role.CANDIDATE, 200, lost, START, MINUTE),
        ],
        key=lambda row: row.at,
    )
    watched = ReturnWatch(
        QuestionTimes(100 * DAY, 7 * DAY, DAY, MINUTE), lambda kind: lambda at, run: 10_000
    )
    watched.extend(Kind.APP, found)
    reason = watched.reason(found[-1].at + 3 * MINUTE)
    assert reason == FewerReturns(
        Kind.APP,
        control=0.95,
        control_users=300,
        candidate=candidate,
        candidate_users=200,
        within="1970-04-11",
    )


@pytest.mark.parametrize("day", [1, 3])
def test_a_day_engages_where_its_number_leaves_no_doubt(day: int) -> None:
    """20 times the number of the stretch, for each of two sequences: from the first loss on that suffices."""
    alpha = 1 / (20 * day) / 2
    start = (99 + day) * DAY
    control = rows(Role.CONTROL, 100, 5, start, MINUTE)
    border = next(
        lost
        for lost in range(100)
        if upper_bound({(1, 1): 100 - lost, (0, 1): lost}, alpha)
        < lower_bound({(1, 1): 95, (0, 1): 5}, alpha)
    )
    for lost in (border - 1, border):
        assert engages(control, rows(Role.CANDIDATE, 100, lost, start, MINUTE)) is (lost == border)


def test_two_groups_with_different_rates_do_not() -> None:
    """Few of a bad group are live, most of a good one: together they would look like a difference."""
    good = rows(Role.CONTROL, 300, 3, START, 60 * SECOND, "good")
    good += rows(Role.CANDIDATE, 60, 1, START, 300 * SECOND, "good")
    bad = rows(Role.CONTROL, 60, 30, START + 1, 300 * SECOND, "bad")
    bad += rows(Role.CANDIDATE, 300, 150, START + 1, 60 * SECOND, "bad")
    assert not engages(good, bad)


def test_an_outage_in_one_minute_is_one_event() -> None:
    control = rows(Role.CONTROL, 200, 4, START, 60 * SECOND)
    candidate = rows(Role.CANDIDATE, 200, 4, START + 1, 60 * SECOND)
    outage = rows(Role.CANDIDATE, 150, 150, START + 5 * 3600 * SECOND, SECOND // 10)
    assert not engages(control, candidate, outage, connected=1_000)


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


def test_the_next_day_begins_with_nothing() -> None:
    watched = watch(BrakeLimits(spread=1000))
    end = 101 * DAY - 1
    for number, at in enumerate((end, end + 1 + MINUTE)):
        watched.decided(f"u{number}", at)
        assert watched.killed(f"u{number}", at) is None
    # The second day needs an e-value of 120; two users of one day have reached 40.
    for number in range(2, 6):
        at = end + 1 + number * MINUTE
        watched.decided(f"u{number}", at)
        found = watched.killed(f"u{number}", at)
    assert found == FalseKills(5, 5, "the day")


def test_seven_days_may_engage_where_none_of_them_does() -> None:
    """A sixth more of the candidate's clients stays away; on one day there are too few of them."""
    start = 100 * DAY
    apart = 7 * DAY // 500
    known = sorted(
        [
            *rows(Role.CONTROL, 500, 25, start, apart),
            *rows(Role.CANDIDATE, 500, 110, start, apart),
        ],
        key=lambda row: row.at,
    )
    times = QuestionTimes(start, 7 * DAY, DAY, MINUTE)
    watched = ReturnWatch(times, lambda kind: lambda at, run: 10_000)
    found = []
    for day in range(1, 9):
        now = start + day * DAY - 1
        watched.extend(Kind.APP, [row for row in known if now - DAY < row.at <= now])
        found.append(watched.reason(now))
    # From the seventh day on a week is asked for, too.
    assert found[:6] == [None] * 6
    assert [reason.within for reason in found[6:] if reason] == [
        "1970-04-11 to 1970-04-17",
        "1970-04-12 to 1970-04-18",
    ]


def test_a_day_that_engaged_yesterday_does_not_engage_today() -> None:
    control = rows(Role.CONTROL, 300, 15, START, 60 * SECOND)
    fewer = rows(Role.CANDIDATE, 300, 150, START, 60 * SECOND)
    times = QuestionTimes(100 * DAY, 7 * DAY, DAY, MINUTE)
    watched = ReturnWatch(times, lambda kind: lambda at, run: 10_000)
    watched.extend(Kind.APP, sorted([*control, *fewer], key=lambda row: row.at))
    assert watched.reason(101 * DAY - 1) is not None
    assert watched.reason(101 * DAY) is None


def test_each_kind_of_connection_is_asked_for_itself() -> None:
    times = QuestionTimes(100 * DAY, 7 * DAY, DAY, MINUTE)
    watched = ReturnWatch(times, lambda kind: lambda at, run: 10_000)
    control = rows(Role.CONTROL, 300, 15, START, 60 * SECOND)
    fewer = rows(Role.CANDIDATE, 300, 150, START, 60 * SECOND)
    watched.extend(Kind.APP, control)
    watched.extend(Kind.GLASSES, fewer)
    last = control[-1].at
    assert watched.reason(last + 3 * MINUTE) is None
    watched.extend(Kind.GLASSES, rows(Role.CONTROL, 300, 15, last + 4 * MINUTE, 60 * SECOND))
    found = watched.reason(last + 400 * MINUTE)
    assert found is not None
    assert found.kind is Kind.GLASSES
