"""R16: which rows are one event, whenever somebody asks."""

from itertools import chain

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shim.gate.crowds import CrowdFinder
from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows, user_key
from shim.model import SECOND, Role, Time

MINUTE = 60 * SECOND
LATER = 10**15


def row(
    user: str, at: Time, success: bool = True, role: Role = Role.CONTROL, run: int = 1
) -> ObservedRow:
    return ObservedRow(user_key(user), at, success, Arm("everybody", role), run)


def find(
    rows: list[ObservedRow], connected: int = 100, in_process: int | None = None
) -> tuple[list[ObservedRow], list[list[ObservedRow]]]:
    each = connected if in_process is None else in_process
    finder = CrowdFinder(MINUTE, lambda _, run: connected if run is None else each)
    finder.extend(ObservedRows.of(rows))
    decided = finder.decide(LATER)
    assert list(decided.rows) == rows
    return list(decided.calm), [list(crowd.rows) for crowd in decided.crowds]


def burst(users: int, apart: Time = SECOND, start: Time = 0, run: int = 1) -> list[ObservedRow]:
    return [row(f"u{n}", start + n * apart, run=run) for n in range(users)]


def test_twenty_users_in_a_minute_are_a_crowd() -> None:
    calm, crowds = find(burst(20))
    assert calm == []
    assert [len(crowd) for crowd in crowds] == [20]


def test_a_crowd_that_has_begun_when_somebody_asks_is_waited_for() -> None:
    rows = burst(20)
    finder = CrowdFinder(MINUTE, lambda _, run: 100)
    finder.extend(ObservedRows.of(rows[:5]))
    assert list(finder.decide(MINUTE).rows) == []
    finder.extend(ObservedRows.of(rows[5:]))
    assert [list(crowd.rows) for crowd in finder.decide(LATER).crowds] == [rows]


def test_a_row_is_known_when_two_minutes_have_passed_since() -> None:
    finder = CrowdFinder(MINUTE, lambda _, run: 100)
    finder.extend(ObservedRows.of([row("u", 0)]))
    assert list(finder.decide(2 * MINUTE - 1).rows) == []
    decided = finder.decide(2 * MINUTE)
    assert list(decided.rows) == [row("u", 0)]
    assert decided.calm is decided.rows


def test_a_crowd_is_told_with_its_first_row() -> None:
    """Not before, and not only when its other rows are known, too."""
    rows = [row("v", 0), *burst(20, start=MINUTE)]
    finder = CrowdFinder(MINUTE, lambda _, run: 100)
    finder.extend(ObservedRows.of(rows))
    decided = finder.decide(3 * MINUTE - 1)
    assert (list(decided.calm), decided.crowds) == (rows[:1], [])
    decided = finder.decide(3 * MINUTE)
    assert list(decided.rows) == rows[1:2]
    assert [(crowd.at, list(crowd.rows)) for crowd in decided.crowds] == [(MINUTE, rows[1:])]


def test_crowds_are_in_the_order_in_which_they_begin() -> None:
    """Here the one that begins first has its second and its last row after those of the other one."""
    first = [row("v", 0, run=2), *burst(19, start=30 * SECOND, run=2)]
    second = burst(20, start=SECOND, run=1)
    rows = sorted(first + second, key=lambda r: r.at)
    _, crowds = find(rows, connected=10_000, in_process=100)
    assert [{r.run for r in crowd} for crowd in crowds] == [{2}, {1}]


def test_nineteen_are_none() -> None:
    calm, crowds = find(burst(19))
    assert (len(calm), crowds) == (19, [])


def test_twenty_rows_of_fewer_users_are_none() -> None:
    rows = [*burst(19), row("u0", 30 * SECOND)]
    calm, crowds = find(sorted(rows, key=lambda r: r.at))
    assert (len(calm), crowds) == (20, [])


def test_the_minute_is_begun_by_a_row_and_does_not_contain_its_end() -> None:
    calm, crowds = find([row("u0", 0), *burst(19, start=MINUTE - 18 * SECOND)])
    assert crowds == []
    calm, crowds = find([row("v", 0), *burst(20, start=MINUTE - 5 * SECOND)])
    assert [r.user for r in calm] == [user_key("v")]
    assert len(crowds) == 1


def test_a_crowd_is_more_than_five_percent_of_the_connected() -> None:
    assert find(burst(25), connected=500)[1] == []
    assert len(find(burst(26), connected=500)[1]) == 1


def test_a_crowd_of_one_process_is_an_event_too() -> None:
    fleet = sorted(burst(20, run=1) + burst(5, run=2), key=lambda r: r.at)
    calm, crowds = find(fleet, connected=10_000, in_process=100)
    assert [len(crowd) for crowd in crowds] == [20]
    assert {r.run for r in calm} == {2}


def test_a_crowd_of_one_process_is_an_event_though_no_other_has_rows() -> None:
    """Whether others have rows nearby depends on when somebody asks."""
    alone = burst(20, run=1)
    others = [row("v", LATER // 2, run=2)]
    for rows in (alone, alone + others):
        calm, crowds = find(rows, connected=10_000, in_process=100)
        assert [len(crowd) for crowd in crowds] == [20]
        assert len(calm) == len(rows) - 20


def test_each_arm_has_its_part_of_a_crowd() -> None:
    rows = [row(f"u{n}", n, role=Role.CONTROL if n % 4 else Role.CANDIDATE) for n in range(20)]
    finder = CrowdFinder(MINUTE, lambda at, run: 100)
    finder.extend(ObservedRows.of(rows))
    (crowd,) = finder.decide(LATER).crowds
    assert {arm.role: len(own) for arm, own in crowd.by_arm().items()} == {
        Role.CONTROL: 15,
        Role.CANDIDATE: 5,
    }


ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 40), st.integers(1, 2)), min_size=0, max_size=200
)


@given(ROWS, st.lists(st.integers(0, 1500), max_size=8), st.integers(10, 900))
def test_the_answer_does_not_depend_on_when_somebody_asks(
    steps: list[tuple[int, int, int]], asked: list[int], connected: int
) -> None:
    at = 0
    rows = []
    for step, user, run in steps:
        at += step * SECOND
        rows.append(row(f"u{user}", at, run=run))

    def count(_: object, run: int | None) -> int:
        return connected if run is None else connected // 3

    whole = CrowdFinder(MINUTE, count)
    whole.extend(ObservedRows.of(rows))
    _, expected_calm, expected_crowds = whole.decide(LATER)
    finder = CrowdFinder(MINUTE, count)
    calm: list[ObservedRow] = []
    crowds: list[list[ObservedRow]] = []
    given_so_far = 0
    for now in [*sorted(a * SECOND for a in asked), LATER]:
        known = [r for r in rows[given_so_far:] if r.at <= now]
        given_so_far += len(known)
        finder.extend(ObservedRows.of(known))
        _, more_calm, more_crowds = finder.decide(now)
        calm += more_calm
        crowds += [list(crowd.rows) for crowd in more_crowds]
    assert (calm, crowds) == (list(expected_calm), [list(one.rows) for one in expected_crowds])
    assert len(calm) + sum(map(len, crowds)) == len(rows)


BURSTS = st.lists(
    st.tuples(
        st.integers(0, 150),  # seconds since the last row
        st.integers(10, 45),  # rows
        st.integers(0, 3),  # seconds apart
        st.integers(15, 45),  # users
        st.integers(1, 4),  # of so many rows one is of the second process
    ),
    max_size=6,
)


@given(BURSTS, st.lists(st.integers(0, 700), min_size=3, max_size=3), st.integers(0, 700))
@example([(0, 20, 3, 20, 1)], [0, 0, 0], 0)
@example([(0, 19, 3, 19, 1), (6, 1, 0, 45, 1)], [0, 0, 0], 0)
@example(
    [(0, 1, 0, 45, 1), (60, 25, 1, 45, 1)], [0, 700, 0], 700
)  # the second minute asks for more
def test_a_crowd_is_what_the_rule_says(
    bursts: list[tuple[int, int, int, int, int]], in_minutes: list[int], in_process: int
) -> None:
    """Row by row: a minute begun by a row, first over all processes, then in each of them."""
    rows: list[ObservedRow] = []
    at = 0
    for gap, size, apart, users, part in bursts:
        at += gap * SECOND
        for number in range(size):
            rows.append(row(f"u{number % users}", at, run=1 + (part > 1 and number % part == 0)))
            at += apart * SECOND

    def connected(at: Time, run: int | None) -> int:
        """Another number in each of three minutes, so that it matters which of them is asked about."""
        assert at % MINUTE == 0
        return in_process if run is not None else in_minutes[at // MINUTE % 3]

    def crowds_among(places: list[int], run: int | None) -> list[list[int]]:
        found = []
        while places:
            first = rows[places[0]].at
            minute = [place for place in places if rows[place].at < first + MINUTE]
            least = max(20, connected(first // MINUTE * MINUTE, run) // 20 + 1)
            if len({rows[place].user for place in minute}) >= least:
                found.append(minute)
                places = places[len(minute) :]
            else:
                places = places[1:]
        return found

    expected = crowds_among([*range(len(rows))], None)
    left = [place for place in range(len(rows)) if place not in {*chain(*expected)}]
    for run in (1, 2):
        expected += crowds_among([place for place in left if rows[place].run == run], run)
    finder = CrowdFinder(
        MINUTE,
        lambda times, run: np.array([connected(at, run) for at in times.tolist()], np.int64),
    )
    finder.extend(ObservedRows.of(rows))
    decided = finder.decide(LATER)
    assert [list(crowd.rows) for crowd in decided.crowds] == [
        [rows[place] for place in places] for places in sorted(expected)
    ]
    taken = {*chain(*expected)}
    assert list(decided.calm) == [one for place, one in enumerate(rows) if place not in taken]
