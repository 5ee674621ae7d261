"""R6b, R16: the proofs of life of one event of the guard are one observation."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.gate.kind_record import KindRecord
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.gate.statistics import Counted
from shim.model import SECOND, Kind, Role, Time
from tests.gate.evidence import DAY

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SINCE = 20_000 * DAY
PERIOD = 2 * DAY
LATER = PERIOD + HOUR
TIMES = QuestionTimes(SINCE, period=PERIOD, unit=DAY, grain=MINUTE)
CANDIDATE = Arm("everybody", Role.CANDIDATE)

Shares = Counter[tuple[int, int]]


def clean(user: str, at: Time) -> ObservedRow:
    return ObservedRow(user, SINCE + at, False, CANDIDATE, 1)


def proof(user: str, at: Time, event: int | None = None, run: int = 1) -> ObservedRow:
    return ObservedRow(user, SINCE + at, True, CANDIDATE, run, event)


def record_of(rows: list[ObservedRow]) -> KindRecord:
    record = KindRecord(Kind.APP, TIMES, lambda at, run: 100, lambda group: None)
    record.add_proofs(sorted(rows, key=lambda row: row.at))
    return record


def plain(rows: list[ObservedRow], now: Time = 9 * DAY) -> Shares:
    return Counter(record_of(rows).observe(SINCE + now).proofs.plain)


def event(number: int, users: int, at: Time, run: int = 1) -> list[ObservedRow]:
    """One row every five minutes: no crowd."""
    return [
        proof(f"e{number}.{user}", at + user * 5 * MINUTE, number, run) for user in range(users)
    ]


def test_an_event_of_the_guard_is_one_observation_with_a_proof() -> None:
    others = [clean(f"u{number}", number * HOUR) for number in range(5)]
    assert plain(others + event(1, 10, HOUR)) == {(1, 1): 1, (0, 1): 5}
    assert plain(others + event(1, 10, HOUR) + event(2, 3, 3 * HOUR)) == {(1, 1): 2, (0, 1): 5}


def test_proofs_of_no_event_count_for_each_user() -> None:
    rows = [proof(f"u{number}", number * HOUR) for number in range(4)]
    assert plain(rows + event(1, 3, HOUR)) == {(1, 1): 5}


def test_what_the_control_closed_says_nothing_about_the_candidate() -> None:
    by_control = proof("u1", HOUR)._replace(arm=Arm("everybody", Role.CONTROL))
    assert plain([by_control, clean("u2", 2 * HOUR)]) == {(0, 1): 1}


def test_events_of_two_processes_are_two_events() -> None:
    rows = [proof("a", HOUR, 1, run=1), proof("b", HOUR, 1, run=2)]
    assert plain(rows) == {(1, 1): 2}


def test_a_user_whose_only_proof_is_of_a_counted_event_is_left_out() -> None:
    rows = [proof("first", HOUR, 1), clean("b", MINUTE), proof("b", 2 * HOUR, 1), clean("b", DAY)]
    assert plain(rows) == {(1, 1): 1}


def test_another_proof_of_such_a_user_counts() -> None:
    rows = [proof("first", HOUR, 1), proof("b", 2 * HOUR, 1), clean("b", DAY), proof("b", DAY)]
    assert plain(rows) == {(1, 1): 2}
    assert plain([*rows, proof("c", 3 * HOUR, 1), proof("c", DAY, 2)]) == {(1, 1): 3}


def test_a_user_of_the_first_period_is_final_at_its_end() -> None:
    """An event after that changes nothing of it, and is the proof of the first user whom it decides."""
    for after in (PERIOD, LATER):
        rows = [clean("early", HOUR), proof("early", after, 1), proof("late", after + MINUTE, 1)]
        assert plain(rows) == {(0, 1): 1, (1, 1): 1}
        rows.append(proof("latest", after + HOUR, 1))
        assert plain(rows) == {(0, 1): 1, (1, 1): 1}


def test_a_sixth_row_is_not_the_proof_of_its_event() -> None:
    five = [clean("late", LATER + number * MINUTE) for number in range(5)]
    rows = [*five, proof("late", LATER + HOUR, 1), proof("b", LATER + 2 * HOUR, 1)]
    assert plain(rows) == {(0, 1): 1, (1, 1): 1}


def test_a_user_who_occurs_later_is_left_out_as_well() -> None:
    rows = [proof("a", LATER, 1), clean("b", LATER), proof("b", LATER + HOUR, 1)]
    assert plain(rows) == {(1, 1): 1}
    # The event came when the observation of the user was final.
    rows = [clean("b", LATER), proof("a", LATER + DAY, 1), proof("b", LATER + DAY + HOUR, 1)]
    assert plain(rows) == {(0, 1): 1, (1, 1): 1}


def test_a_row_a_unit_after_the_first_is_not_the_proof_of_its_event() -> None:
    """The next user of the event is the first whom it decides."""
    for at, counted in ((LATER + DAY - 1, {(1, 1): 1}), (LATER + DAY, {(0, 1): 1, (1, 1): 1})):
        rows = [clean("b", LATER), proof("b", at, 1), proof("a", LATER + DAY + HOUR, 1)]
        assert plain(rows) == counted


@pytest.mark.parametrize(("begin", "ends"), [(0, PERIOD), (LATER, LATER + DAY)])
def test_a_row_of_a_counted_event_leaves_out_its_user_until_the_observation_ends(
    begin: Time, ends: Time
) -> None:
    for at, counted in ((ends - 1, {(1, 1): 1}), (ends, {(0, 1): 1, (1, 1): 1})):
        rows = [clean("b", begin), proof("a", begin + HOUR, 1), proof("b", at, 1)]
        assert plain(rows) == counted


def test_before_the_first_period_is_over_it_is_counted_so_too() -> None:
    rows = [clean("u", HOUR), clean("e1.2", HOUR), *event(1, 10, 2 * HOUR)]
    so_far = record_of(rows).observe(SINCE + DAY).so_far
    assert so_far.proofs.plain == {(0, 1): 1, (1, 1): 1}
    # Another proof of a user of the event counts.
    so_far = record_of([*rows, proof("e1.2", HOUR)]).observe(SINCE + DAY).so_far
    assert so_far.proofs.plain == {(0, 1): 1, (1, 1): 2}


def test_the_first_user_of_an_event_is_observed_though_the_proof_is_a_sixth_row() -> None:
    """Before the first period is over five rows of each user count, and the proof is not among them."""
    rows = [*(clean("u", number * MINUTE) for number in range(5)), proof("u", HOUR, 1)]
    assert record_of(rows).observe(SINCE + DAY).so_far.proofs.plain == {(0, 1): 1}


def test_a_crowd_is_one_event_with_the_share_of_all_its_rows() -> None:
    rows = [proof(f"u{number}", HOUR + number * SECOND, 1) for number in range(30)]
    rows += [clean(f"c{number}", HOUR + 30 * SECOND) for number in range(10)]
    found = record_of(rows).observe(SINCE + 9 * DAY).proofs
    assert found == Counted({(1, 1): 1, (0, 1): 10}, {(30, 40): 1})


ROWS = st.lists(
    st.builds(
        lambda user, minute, event, proves: (
            proof(f"u{user}", minute * MINUTE, event)
            if proves
            else clean(f"u{user}", minute * MINUTE)
        ),
        st.integers(0, 4),
        st.integers(0, 4 * 24 * 60),
        st.sampled_from([None, 1, 2]),
        st.booleans(),
    ),
    max_size=25,
)


def one_by_one(rows: list[ObservedRow]) -> Shares:
    """The observations of all users in the end, each row looked at with those before it."""
    counted: set[tuple[int, int]] = set()
    repeated: dict[object, Time] = {}
    kept: defaultdict[object, list[ObservedRow]] = defaultdict(list)

    def observation(user: object) -> list[ObservedRow]:
        own = kept[user]
        first = [row for row in own if row.at < SINCE + PERIOD]
        return first or [row for row in own if row.at < own[0].at + DAY][:5]

    for row in rows:
        event = None if row.guard_event is None else (row.run, row.guard_event)
        if event in counted:
            repeated.setdefault(row.user, row.at)
            continue
        kept[row.user].append(row)
        if event is not None and row in observation(row.user)[-1:]:
            counted.add(event)
    shares: Shares = Counter()
    for user, own in kept.items():
        early = own[0].at < SINCE + PERIOD
        ends = SINCE + PERIOD if early else own[0].at + DAY
        proved = any(row.success for row in observation(user))
        if proved or repeated.get(user, ends) >= ends:
            shares[int(proved), 1] += 1
    return shares


@given(ROWS)
def test_against_each_row_looked_at_alone(rows: list[ObservedRow]) -> None:
    rows.sort(key=lambda row: row.at)
    # Two equal rows cannot be told from each other.
    rows = [row._replace(at=row.at + place) for place, row in enumerate(rows)]
    assert plain(rows) == one_by_one(rows)


@given(ROWS, st.lists(st.integers(1, 5 * 24 * 60), min_size=1, max_size=4, unique=True).map(sorted))
def test_asking_in_between_changes_nothing(rows: list[ObservedRow], minutes: list[int]) -> None:
    rows.sort(key=lambda row: row.at)
    kept, known = record_of([]), 0
    for minute in minutes:
        now = SINCE + minute * MINUTE
        begun = [row for row in rows if row.at < now]
        kept.add_proofs(begun[known:])
        known = len(begun)
        found, anew = kept.observe(now), record_of(begun).observe(now)
        assert (found.proofs, found.so_far) == (anew.proofs, anew.so_far)
