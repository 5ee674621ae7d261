"""R16: which rows are one event, whenever somebody asks."""

from hypothesis import given
from hypothesis import strategies as st

from shim.gate import Arm, ObservedRow, ObservedRows
from shim.gate.crowds import Crowd, CrowdFinder
from shim.model import SECOND, Role, Time

MINUTE = 60 * SECOND
LATER = 10**15


def row(
    user: str, at: Time, success: bool = True, role: Role = Role.CONTROL, run: int = 1
) -> ObservedRow:
    return ObservedRow(user, at, success, Arm("everybody", role), run)


def find(
    rows: list[ObservedRow], connected: int = 100, in_process: int | None = None
) -> tuple[list[ObservedRow], list[Crowd]]:
    each = connected if in_process is None else in_process
    finder = CrowdFinder(MINUTE, lambda _, run: connected if run is None else each)
    finder.extend(ObservedRows.of(rows))
    decided = finder.decide(LATER)
    assert list(decided.rows) == rows
    return list(decided.calm), decided.crowds


def burst(users: int, apart: Time = SECOND, start: Time = 0, run: int = 1) -> list[ObservedRow]:
    return [row(f"u{n}", start + n * apart, run=run) for n in range(users)]


def test_twenty_users_in_a_minute_are_a_crowd() -> None:
    calm, crowds = find(burst(20))
    assert calm == []
    assert [len(crowd.rows) for crowd in crowds] == [20]


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
    assert [r.user for r in calm] == ["v"]
    assert len(crowds) == 1


def test_a_crowd_is_more_than_five_percent_of_the_connected() -> None:
    assert find(burst(25), connected=500)[1] == []
    assert len(find(burst(26), connected=500)[1]) == 1


def test_a_crowd_of_one_process_is_an_event_too() -> None:
    fleet = sorted(burst(20, run=1) + burst(5, run=2), key=lambda r: r.at)
    calm, crowds = find(fleet, connected=10_000, in_process=100)
    assert [len(crowd.rows) for crowd in crowds] == [20]
    assert {r.run for r in calm} == {2}


def test_a_crowd_of_one_process_is_an_event_though_no_other_has_rows() -> None:
    """Whether others have rows nearby depends on when somebody asks."""
    alone = burst(20, run=1)
    others = [row("v", LATER // 2, run=2)]
    for rows in (alone, alone + others):
        calm, crowds = find(rows, connected=10_000, in_process=100)
        assert [len(crowd.rows) for crowd in crowds] == [20]
        assert len(calm) == len(rows) - 20


def test_each_arm_has_its_part_of_a_crowd() -> None:
    rows = [row(f"u{n}", n, role=Role.CONTROL if n % 4 else Role.CANDIDATE) for n in range(20)]
    ((crowd,),) = (find(rows)[1],)
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

    def count(_: Time, run: int | None) -> int:
        return connected if run is None else connected // 3

    whole = CrowdFinder(MINUTE, count)
    whole.extend(ObservedRows.of(rows))
    _, expected_calm, expected_crowds = whole.decide(LATER)
    finder = CrowdFinder(MINUTE, count)
    calm: list[ObservedRow] = []
    crowds: list[Crowd] = []
    given_so_far = 0
    for now in [*sorted(a * SECOND for a in asked), LATER]:
        known = [r for r in rows[given_so_far:] if r.at <= now]
        given_so_far += len(known)
        finder.extend(ObservedRows.of(known))
        _, more_calm, more_crowds = finder.decide(now)
        calm += more_calm
        crowds += more_crowds
    assert (calm, crowds) == (list(expected_calm), expected_crowds)
    assert len(calm) + sum(len(crowd.rows) for crowd in crowds) == len(rows)
