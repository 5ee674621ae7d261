"""R16: many rows, column by column, say the same as one row at a time."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows, user_key
from shim.gate.user_numbers import UserNumbers
from shim.model import Role

ROWS = st.lists(
    st.builds(
        ObservedRow,
        user=st.sampled_from("abc"),
        at=st.integers(0, 5),
        success=st.booleans(),
        arm=st.builds(Arm, group=st.sampled_from(("", "beta")), role=st.sampled_from(Role)),
        run=st.integers(1, 2),
        guard_event=st.none() | st.integers(0, 2),
    )
)


def with_keys(rows: Iterable[ObservedRow]) -> list[ObservedRow]:
    """As they come out of columns."""
    return [row._replace(user=user_key(row.user)) for row in rows]


def key(arm: Arm) -> str | None:
    return arm.group or None


@given(ROWS, ROWS, st.integers(0, 9), st.integers(0, 9))
def test_columns_hold_the_rows(
    rows: list[ObservedRow], more: list[ObservedRow], begin: int, end: int
) -> None:
    found = ObservedRows() + ObservedRows.of(rows) + ObservedRows.of(iter(more))
    whole = with_keys([*rows, *more])
    assert (list(found), len(found)) == (whole, len(whole))
    assert ObservedRows.of(found) is found
    assert list(found.part(begin, end)) == whole[begin:end]
    assert list(found.part(begin)) == whole[begin:]
    places = [place for place in (end, begin) if place < len(whole)]
    assert list(found.where(np.array(places, np.int64))) == [whole[place] for place in places]


@given(ROWS, ROWS)
def test_rows_go_on_with_the_keys_that_they_have(
    rows: list[ObservedRow], more: list[ObservedRow]
) -> None:
    keyed = with_keys(rows)
    assert list(ObservedRows.of(keyed + more)) == keyed + with_keys(more)


@given(st.lists(st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 9))))
def test_a_number_stands_for_one_user(parts: list[list[int]]) -> None:
    numbers = UserNumbers()
    known = {
        (key, number)
        for keys in parts
        for key, number in zip(keys, numbers.of(np.array(keys, np.int64)).tolist(), strict=True)
    }
    keys = {key for some in parts for key in some}
    assert {key for key, _ in known} == keys
    assert sorted(number for _, number in known) == [*range(len(keys))]
    assert len(numbers) == len(keys)


def test_a_user_of_very_many_keeps_the_number() -> None:
    keys = np.random.default_rng(1).permutation(np.arange(-30_000, 30_000))
    numbers = UserNumbers()
    first = [numbers.of(part) for part in np.split(keys, 20)]
    assert np.array_equal(np.sort(np.concatenate(first)), np.arange(60_000))
    assert np.array_equal(numbers.of(keys), np.concatenate(first))


@given(ROWS)
def test_split_leaves_out_the_arms_without_a_key(rows: list[ObservedRow]) -> None:
    split = ObservedRows.of(rows).split(key)
    assert {each: list(own) for each, own in split.items()} == {
        each: with_keys(row for row in rows if key(row.arm) == each)
        for each in dict.fromkeys(map(key, (row.arm for row in rows)))
        if each is not None
    }
    roles = ObservedRows.of(rows).split(lambda arm: arm.role)
    assert list(roles) == list(dict.fromkeys(row.arm.role for row in rows))
