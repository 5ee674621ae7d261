"""R16: the first or last five rows of each user, as codes, against lists of rows."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.gate.day_rows import ROWS_OF_A_USER, DayRows, Place, RowsByUser, RowsWindow

Row = tuple[int, bool]
"""A user and whether there was a success."""

BATCHES = st.lists(
    st.tuples(
        st.integers(0, 2), st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40)
    ),
    max_size=8,
)
"""Rows of three days, in the order of time."""

PLACES: list[Place] = ["first", "last"]


def by_user(rows: list[Row]) -> RowsByUser:
    users = np.array([user for user, _ in rows], np.int64)
    return RowsByUser(users, np.array([success for _, success in rows], np.bool_))


def shares(rows: list[Row], place: Place) -> Counter[tuple[int, int]]:
    own: defaultdict[int, list[bool]] = defaultdict(list)
    for user, success in rows:
        own[user].append(success)
    pick = slice(ROWS_OF_A_USER) if place == "first" else slice(-ROWS_OF_A_USER, None)
    return Counter((sum(each[pick]), len(each[pick])) for each in own.values())


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=60))
def test_rows_are_put_together_by_user(rows: list[Row]) -> None:
    found = by_user(rows)
    users = sorted({user for user, _ in rows})
    own = [[success for other, success in rows if other == user] for user in users]
    assert found.users.tolist() == users
    assert found.numbers.tolist() == [*map(len, own)]
    assert found.successes.tolist() == [*map(sum, own)]
    assert found.begins.tolist() == [[user for user, _ in rows].index(user) for user in users]


@given(BATCHES, st.integers(0, 8), st.sampled_from(PLACES))
@example([(0, [(0, True)] * 6 + [(1, False)])], 1, "last")
def test_a_window_has_the_rows_of_its_days_whenever_it_is_begun(
    batches: list[tuple[int, list[Row]]], begun: int, place: Place
) -> None:
    batches = sorted(batches, key=lambda batch: batch[0])
    days = [DayRows() for _ in range(3)]
    for day, rows in batches[:begun]:
        days[day].add(by_user(rows))
    window = RowsWindow(days, place)
    for _, rows in batches[begun:]:
        window.add(by_user(rows))
    assert window.shares == shares([row for _, rows in batches for row in rows], place)


@pytest.mark.parametrize("place", PLACES)
def test_a_window_without_days_shows_nothing(place: Place) -> None:
    assert RowsWindow([], place).shares == {}
