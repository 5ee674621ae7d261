"""R16: many rows, column by column, say the same as one row at a time."""

from hypothesis import given
from hypothesis import strategies as st

from shim.gate import Arm, ObservedRow, ObservedRows
from shim.gate.observed_rows import UserNumbers
from shim.model import Role

ROWS = st.lists(
    st.builds(
        ObservedRow,
        user=st.sampled_from("abc"),
        at=st.integers(0, 5),
        success=st.booleans(),
        arm=st.builds(Arm, group=st.sampled_from(("", "beta")), role=st.sampled_from(Role)),
        run=st.integers(1, 2),
        guard_event=st.none() | st.integers(1, 2),
    )
)


def key(arm: Arm) -> str | None:
    return arm.group or None


@given(ROWS, ROWS, st.integers(0, 9), st.integers(0, 9))
def test_columns_hold_the_rows(
    rows: list[ObservedRow], more: list[ObservedRow], begin: int, end: int
) -> None:
    found = ObservedRows[str]() + ObservedRows.of(rows) + ObservedRows.of(iter(more))
    whole = [*rows, *more]
    assert (list(found), len(found)) == (whole, len(whole))
    assert list(found.part(begin, end)) == whole[begin:end]
    assert list(found.part(begin)) == whole[begin:]
    places = [place for place in (end, begin) if place < len(whole)]
    assert list(found.at_places(places)) == [whole[place] for place in places]


@given(ROWS, ROWS)
def test_a_number_stands_for_one_user(rows: list[ObservedRow], more: list[ObservedRow]) -> None:
    numbers = UserNumbers()
    known = {
        (row.user, number)
        for some in (rows, more)
        for row, number in zip(some, ObservedRows.of(some).numbered(numbers).users, strict=True)
    }
    names = dict.fromkeys(row.user for row in (*rows, *more))
    assert known == {(name, number) for number, name in enumerate(names)}


@given(ROWS)
def test_split_leaves_out_the_arms_without_a_key(rows: list[ObservedRow]) -> None:
    split = ObservedRows.of(rows).split(key)
    assert {each: list(own) for each, own in split.items()} == {
        each: [row for row in rows if key(row.arm) == each]
        for each in dict.fromkeys(map(key, (row.arm for row in rows)))
        if each is not None
    }
    roles = ObservedRows.of(rows).split(lambda arm: arm.role)
    assert list(roles) == list(dict.fromkeys(row.arm.role for row in rows))
