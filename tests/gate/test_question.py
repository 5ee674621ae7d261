"""R16: observations of users, against a look at all the rows at once."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.gate.crowds import CrowdFinder
from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows
from shim.gate.question import Question, QuestionTimes
from shim.gate.series import Series
from shim.gate.user_numbers import UserNumbers
from shim.model import SECOND, Role, Time
from shim.model.time import DAY

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SINCE = 5 * DAY + 7 * HOUR
TIMES = QuestionTimes(SINCE, period=2 * DAY, unit=DAY, grain=MINUTE)
Shares = Counter[tuple[int, int]]


def row(user: str, at: Time, success: bool = True, role: Role = Role.CONTROL) -> ObservedRow:
    return ObservedRow(user, SINCE + at, success, Arm("everybody", role), 1)


def ask(rows: list[ObservedRow], now: Time, *, connected: int = 100) -> Question[str]:
    question = Question(TIMES, lambda at, run: connected, lambda arm: "all")
    question.extend([r for r in rows if r.at <= SINCE + now])
    question.advance(SINCE + now)
    return question


def final(question: Question[str]) -> tuple[Shares, Shares]:
    def read(series: Series) -> Shares:
        return Counter(series.final) + Counter(series.final_crowds)

    counted = question.read("all", read)
    return Counter(counted.plain), Counter(counted.crowded)


LAG = 2 * MINUTE


def test_all_rows_of_the_first_period_are_one_observation_final_at_its_end() -> None:
    rows = [row("u", n * HOUR, success=n != 3) for n in range(12)]
    assert final(ask(rows, 2 * DAY + LAG - 1)) == (Counter(), Counter())
    assert final(ask(rows, 2 * DAY + LAG)) == (Counter({(11, 12): 1}), Counter({(11, 12): 1}))


def test_later_rows_of_a_user_of_the_first_period_change_nothing() -> None:
    rows = [row("u", HOUR), row("u", 2 * DAY, success=False)]
    assert final(ask(rows, 9 * DAY))[0] == Counter({(1, 1): 1})


def test_a_later_user_is_observed_for_a_unit_and_five_rows() -> None:
    rows = [row("u", 3 * DAY + n * HOUR, success=n < 5) for n in range(7)]
    assert final(ask(rows, 4 * DAY + LAG - 1))[0] == Counter()
    assert final(ask(rows, 4 * DAY + LAG))[0] == Counter({(5, 5): 1})
    assert final(ask([row("u", 3 * DAY), row("u", 4 * DAY)], 9 * DAY))[0] == Counter({(1, 1): 1})


@pytest.mark.parametrize("at", [HOUR, 2 * DAY - 1 - 20, 2 * DAY, 3 * DAY])
def test_a_crowd_is_one_observation_in_one_way_of_counting_alone(at: Time) -> None:
    """In the first period, at its end and after it."""
    rows = [row(f"u{n}", at + n, success=n > 1) for n in range(20)]
    question = ask(rows, 9 * DAY)
    plain, crowded = final(question)
    assert plain == Counter({(1, 1): 18, (0, 1): 2})
    assert crowded == Counter({(18, 20): 1})
    assert question.crowds == 1


@pytest.mark.parametrize("asked", [[9 * DAY], [HOUR, 2 * HOUR, DAY, 9 * DAY]])
def test_each_crowd_is_one_observation_and_calm_rows_are_counted_one_by_one(
    asked: list[Time],
) -> None:
    """However often somebody asks."""
    question = Question(TIMES, lambda at, run: 100, lambda arm: "all")
    crowds = [[row(f"{at} {n}", at + n) for n in range(20)] for at in (HOUR, 5 * HOUR, 3 * DAY)]
    question.extend([*crowds[0], row("calm", 2 * HOUR), *crowds[1], *crowds[2]])
    for now in asked:
        question.advance(SINCE + now)
    assert final(question) == (Counter({(1, 1): 61}), Counter({(20, 20): 3, (1, 1): 1}))
    assert question.crowds == 3


def test_a_crowd_in_one_arm_changes_nothing_in_another_one() -> None:
    question = Question(TIMES, lambda at, run: 100, lambda arm: arm.role)
    question.extend(row(f"u{n}", n, role=Role.CANDIDATE) for n in range(20))
    question.extend([row("calm", HOUR), row("calm", 2 * HOUR, success=False)])
    question.advance(SINCE + 9 * DAY)
    calm = question.read(Role.CONTROL, lambda series: series.final)
    assert calm.plain == calm.crowded == {(1, 2): 1}


def test_users_with_a_final_observation_are_counted_plainly() -> None:
    question = ask([row(f"u{n}", HOUR + n) for n in range(20)], 9 * DAY)
    assert (question.plain("all").users, question.plain("nothing").users) == (20, 0)


def test_a_crowd_is_one_observation_in_each_arm() -> None:
    question = Question(TIMES, lambda at, run: 100, lambda arm: arm.role)
    question.extend(
        row(f"u{n}", n, role=Role.CANDIDATE if n < 5 else Role.CONTROL) for n in range(20)
    )
    question.advance(SINCE + 9 * DAY)
    for arm, trials in ((Role.CANDIDATE, 5), (Role.CONTROL, 15)):
        assert question.read(arm, lambda series: series.final_crowds).crowded == {
            (trials, trials): 1
        }


def test_rows_of_no_series_make_crowds_all_the_same() -> None:
    question = Question(
        TIMES, lambda at, run: 100, lambda arm: arm.role if arm.role is Role.CANDIDATE else None
    )
    question.extend(
        row(f"u{n}", n, role=Role.CANDIDATE if n < 5 else Role.CONTROL) for n in range(20)
    )
    question.advance(SINCE + 9 * DAY)
    assert question.keys == (Role.CANDIDATE,)
    assert question.read(Role.CANDIDATE, lambda series: series.final).crowded == {}


def test_a_stretch_looks_at_the_first_five_rows_and_recent_days_at_the_last() -> None:
    # SINCE is seven hours into its UTC day.
    rows = [row("u", n * HOUR, success=n < 5) for n in range(8)]
    question = ask(rows, DAY)
    day = SINCE // DAY
    assert question.read("all", lambda series: series.stretch([day])).plain == {(5, 5): 1}
    assert question.read("all", lambda series: series.recent([day])).plain == {(2, 5): 1}
    two_days = [*rows, row("u", 20 * HOUR)]
    assert ask(two_days, 2 * DAY).read(
        "all", lambda series: series.recent([day, day + 1])
    ).plain == {(2, 5): 1}
    assert ask(two_days, 2 * DAY).read(
        "all", lambda series: series.stretch([day, day + 1])
    ).plain == {(5, 5): 1}


def test_a_day_is_one_of_utc() -> None:
    begin = (SINCE // DAY + 2) * DAY - SINCE
    question = ask([row("u", begin - 1), row("u", begin, success=False)], 4 * DAY)
    first, second = SINCE // DAY + 1, SINCE // DAY + 2
    assert DAY == 24 * HOUR
    assert question.read("all", lambda series: series.stretch([first])).plain == {(1, 1): 1}
    assert question.read("all", lambda series: series.stretch([second])).plain == {(0, 1): 1}


def test_users_whose_observation_is_not_final_are_counted() -> None:
    def unsettled(now: Time) -> int:
        rows = [row("u", 0), row("v", 2), row("w", 2 * DAY + HOUR), row("u", 2 * DAY + HOUR)]
        return ask(rows, now).plain("all").unsettled

    assert unsettled(DAY) == 2
    assert unsettled(2 * DAY + LAG) == 0
    assert unsettled(2 * DAY + 3 * HOUR) == 1
    assert unsettled(3 * DAY + HOUR + LAG) == 0


def test_users_who_first_occur_after_the_first_period_are_counted() -> None:
    rows = [row("u", 2 * DAY - 1), *(row(user, 2 * DAY) for user in "uvwx"), row("v", 3 * DAY)]
    assert ask(rows, 3 * DAY).plain("all").later_users == 3


@pytest.mark.parametrize(
    ("period", "asked", "first"),
    [
        # All days of the first period that goes on, then the last week and the day before it.
        (10, 10 * DAY - 1, 0),
        (10, 10 * DAY, 3),
        (2, 9 * DAY, 2),
        # Two minutes after midnight (17 hours after the trial's begin) the day is another one.
        (2, 9 * DAY + 17 * HOUR + LAG - 1, 2),
        (2, 9 * DAY + 17 * HOUR + LAG, 3),
    ],
)
def test_days_that_nobody_will_ask_for_are_forgotten(period: int, asked: Time, first: int) -> None:
    times = QuestionTimes(SINCE, period * DAY, DAY, MINUTE)
    question = Question(times, lambda at, run: 100, lambda arm: "all")
    question.extend([row("u", day * DAY) for day in range(11)])
    question.advance(SINCE + 11 * DAY)

    def known() -> list[int]:
        days = [(day, SINCE // DAY + day) for day in range(11)]
        return [
            number
            for number, day in days
            if question.read("all", lambda series, day=day: series.stretch([day])).plain  # type: ignore[misc]
        ]

    assert known() == [*range(11)]
    question.forget(SINCE + asked)
    assert known() == [*range(first, 11)]


def test_a_copy_has_the_same_rows_and_gets_others() -> None:
    series = Series(SINCE, 2 * DAY, DAY)
    numbers = UserNumbers()
    series.extend(ObservedRows.of([row("u", 0)]).numbered(numbers))
    crowd = ObservedRows.of([row(f"u{n}", HOUR) for n in range(3)]).numbered(numbers)
    series.add_crowd(SINCE + HOUR, crowd)
    day = [SINCE // DAY]
    other = series.copy()
    other.extend(ObservedRows.of([row("v", 2 * HOUR, success=False)]).numbered(numbers))
    other.add_crowd(SINCE + 3 * HOUR, crowd)
    for one, plain, crowds in ((series, {(1, 1): 1}, 1), (other, {(1, 1): 1, (0, 1): 1}, 2)):
        assert one.stretch(day) == {**plain, (3, 3): crowds}
        one.settle(SINCE + 2 * DAY)
        assert one.final == plain
        assert one.final_crowds == {(3, 3): crowds}


def test_a_crowd_of_the_first_period_is_final_at_its_end_and_a_later_one_at_once() -> None:
    series = Series(SINCE, 2 * DAY, DAY)
    crowd = ObservedRows.of([row(f"u{n}", 0) for n in range(3)]).numbered(UserNumbers())
    series.add_crowd(SINCE + 2 * DAY - 1, crowd)
    assert series.final_crowds == {}
    series.settle(SINCE + 2 * DAY)
    assert series.final_crowds == {(3, 3): 1}
    series.add_crowd(SINCE + 2 * DAY, crowd)
    assert series.final_crowds == {(3, 3): 2}


def test_the_crowds_of_forgotten_days_are_forgotten_too() -> None:
    series, first = Series(SINCE, 2 * DAY, DAY), SINCE // DAY
    crowd = ObservedRows.of([row(f"u{n}", 0) for n in range(3)]).numbered(UserNumbers())
    for day in range(3):
        series.add_crowd((first + day) * DAY, crowd)
    series.forget(first + 2, first + 1)
    found = [series.stretch([first + day]) for day in range(3)]
    assert found == [{}, {(3, 3): 1}, {(3, 3): 1}]


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, SECOND, 20 * SECOND, HOUR, 5 * HOUR, DAY]),
        st.integers(0, 45),
        st.booleans(),
        st.sampled_from(list(Role)),
    ),
    max_size=120,
)


@given(ROWS, st.lists(st.integers(0, 40), max_size=6), st.integers(50, 900))
def test_against_a_look_at_everything_at_once(
    steps: list[tuple[int, int, bool, Role]], asked: list[int], connected: int
) -> None:
    at, rows = 0, []
    for step, user, success, arm in steps:
        at += step
        rows.append(row(f"u{user}", at, success, arm))
    end = at + 4 * DAY
    question = Question(TIMES, lambda at, run: connected, lambda arm: "all")
    told = 0
    for now in [*sorted(n * 6 * HOUR for n in asked), end]:
        more = [r for r in rows[told:] if r.at <= SINCE + now]
        told += len(more)
        question.extend(more)
        question.advance(SINCE + now)

    finder = CrowdFinder(MINUTE, lambda at, run: connected)
    finder.extend(ObservedRows.of(rows))
    _, rows_left, crowds = finder.decide(10**16)
    calm = list(rows_left)
    events: Shares = Counter()
    for crowd in crowds:
        for own in crowd.by_arm().values():
            events[sum(r.success for r in own), len(own)] += 1
    assert final(question) == (observed(rows), observed(calm) + events)
    for days in ([SINCE // DAY + n] for n in range(3)):
        for read, pick in ((Series.stretch, slice(5)), (Series.recent, slice(-5, None))):
            counted = question.read("all", lambda series, r=read, d=days: r(series, d))  # type: ignore[misc]
            assert Counter(counted.plain) == per_day(rows, days, pick)


def observed(rows: list[ObservedRow]) -> Shares:
    by_user: defaultdict[str | int, list[ObservedRow]] = defaultdict(list)
    for one in rows:
        by_user[one.user].append(one)
    shares: Shares = Counter()
    for own in by_user.values():
        chosen = [r for r in own if r.at < SINCE + TIMES.period]
        if not chosen:
            chosen = [r for r in own if r.at - own[0].at < TIMES.unit][:5]
        shares[sum(r.success for r in chosen), len(chosen)] += 1
    return shares


def per_day(rows: list[ObservedRow], days: list[int], pick: slice) -> Shares:
    by_user: defaultdict[str | int, list[bool]] = defaultdict(list)
    for one in rows:
        if one.at // DAY in days:
            by_user[one.user].append(one.success)
    return Counter((sum(own[pick]), len(own[pick])) for own in by_user.values())
