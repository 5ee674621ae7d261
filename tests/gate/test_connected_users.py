"""How many users were connected at a minute, whenever the rows came."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.gate.connected_users import ConnectedUsers
from shim.model import SECOND

MINUTE = 60 * SECOND

Row = tuple[int, int, int, int]
"""Run, begin and end in seconds, users."""


def connected(*rows: Row) -> ConnectedUsers:
    users = ConnectedUsers(MINUTE)
    for run, since, until, count in rows:
        users.add(run, since * SECOND, until * SECOND, count)
    return users


def at(users: ConnectedUsers, minute: int, run: int | None) -> int:
    (found,) = users(np.array([minute * MINUTE]), run).tolist()
    return int(found)


def test_a_minute_has_the_users_of_the_row_that_contains_its_begin() -> None:
    users = connected((1, 30, 90, 10), (1, 90, 150, 20), (1, 150, 210, 30))
    assert [at(users, minute, 1) for minute in (1, 2, 3)] == [10, 20, 30]


def test_a_long_row_is_about_each_minute_in_it() -> None:
    users = connected((1, 0, 3600, 10))
    assert {at(users, minute, 1) for minute in range(60)} == {10}


def test_the_fleet_has_the_users_of_all_processes() -> None:
    users = connected((1, 0, 60, 10), (2, 0, 60, 5))
    assert [at(users, 0, run) for run in (1, 2, 3, None)] == [10, 5, 0, 15]


def test_a_row_that_comes_twice_counts_once() -> None:
    users = connected((1, 0, 60, 10), (1, 0, 60, 10))
    assert at(users, 0, None) == 10


def test_of_several_rows_of_a_minute_the_one_with_most_users_counts() -> None:
    users = connected((1, 0, 60, 10), (2, 0, 60, 5), (1, 0, 60, 15), (1, 0, 60, 12))
    assert [at(users, 0, run) for run in (1, 2, None)] == [15, 5, 20]


def test_a_row_that_ends_with_a_minute_says_nothing_of_the_next_one() -> None:
    users = connected((1, 0, 60, 10), (1, 60, 61, 20))
    assert [at(users, minute, 1) for minute in (0, 1)] == [10, 20]


def test_a_minute_without_a_row_is_as_the_last_five_before() -> None:
    users = connected((1, 0, 60, 10))
    assert [at(users, minute, None) for minute in range(7)] == [10] * 6 + [0]


def test_the_first_minute_of_a_process_is_as_the_second() -> None:
    users = connected((1, 30, 90, 10))
    assert [at(users, minute, None) for minute in (0, 1)] == [10, 10]


def rows_of(longest: int) -> st.SearchStrategy[list[Row]]:
    row = st.tuples(
        st.integers(1, 3), st.integers(0, 1200), st.integers(1, longest), st.integers(0, 50)
    )
    return st.lists(row.map(lambda row: (row[0], row[1], row[1] + row[2], row[3])), max_size=30)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_row_is_about_the_minutes_that_begin_before_its_end(at_once: bool) -> None:
    """To the microsecond. A row that ends before its begin, as a clock was set back, is about no minute."""
    rows = [
        (1, 0, MINUTE, 10),
        (1, MINUTE, MINUTE + 1, 5),
        (1, MINUTE + 1, 2 * MINUTE, 7),
        (1, MINUTE + 30 * SECOND, 2 * MINUTE + 1, 20),
        (1, 5 * MINUTE, MINUTE, 30),
    ]
    users = ConnectedUsers(MINUTE)
    if at_once:
        users.extend(*np.array(rows).T)
    else:
        for row in rows:
            users.add(*row)
    assert [at(users, minute, 1) for minute in (0, 1, 2)] == [10, 5, 20]


@given(rows_of(longest=400), st.integers(0, 30))
def test_many_rows_at_once_are_the_same_as_one_after_the_other(rows: list[Row], cut: int) -> None:
    at_once = ConnectedUsers(MINUTE)
    for part in (rows[:cut], rows[cut:]):
        runs, since, until, users = np.array(part, np.int64).reshape(-1, 4).T
        at_once.extend(runs, since * SECOND, until * SECOND, users)
    one_by_one = connected(*rows)
    for minute in range(-1, 30):
        for run in (1, 2, 3, None):
            assert at(at_once, minute, run) == at(one_by_one, minute, run)


@given(rows_of(longest=60), st.integers(0, 20))
def test_rows_that_end_two_minutes_later_change_nothing(rows: list[Row], minute: int) -> None:
    """So a crowd that is decided by then is decided for good."""
    known = [row for row in rows if row[2] <= 60 * (minute + 2)]
    for run in (1, 2, 3, None):
        assert at(connected(*known), minute, run) == at(connected(*rows), minute, run)
