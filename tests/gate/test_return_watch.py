"""R22: fewer clients that come back engage the brake, day by day and in seven days."""

import pytest

from shim.gate.brake_statistics import FewerReturns, ReturnWatch
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.gate.statistics import lower_bound, upper_bound
from shim.model import SECOND, Kind, Role, Time
from shim.model.time import DAY
from tests.gate.test_brake import MINUTE, START


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
