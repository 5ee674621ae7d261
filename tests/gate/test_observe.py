"""From rows to observations, against a plain reading of the rule."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.gate import Observations
from shim.model import SECOND

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

Row = tuple[str, int, bool]


def plainly(
    rows: list[Row], now: int, limit: int, unit: int
) -> tuple[Counter[tuple[int, int]], int, int, int]:
    """Every minute's crowd first, then every user for themselves."""
    shares: Counter[tuple[int, int]] = Counter()
    seen: set[str] = set()
    own: dict[str, list[tuple[int, bool]]] = {}
    over = [row for row in rows if (row[1] // MINUTE + 1) * MINUTE <= now]
    # Time stands at the beginning of a minute that still runs and has rows already.
    clock = now if len(over) == len(rows) else rows[-1][1] // MINUTE * MINUTE
    crowds = 0
    for minute in sorted({at // MINUTE for _, at, _ in over}):
        inside = [row for row in over if row[1] // MINUTE == minute]
        users = {user for user, _, _ in inside}
        seen |= users
        if len(users) >= 20 and len(users) / len(seen) > 0.05:
            crowds += 1
            shares[sum(row[2] for row in inside), len(inside)] += 1
        else:
            for user, at, success in inside:
                own.setdefault(user, []).append((at, success))
    final = 0
    for theirs in own.values():
        first_at = theirs[0][0]
        counted = [
            success for i, (at, success) in enumerate(theirs) if i == 0 or at < first_at + unit
        ][:limit]
        if len(counted) == limit or first_at + unit <= clock:
            final += 1
            shares[sum(counted), len(counted)] += 1
    return shares, final, len(own) - final, crowds


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Quiet hours, and now and then a minute in which many users have rows."""
    rows: list[Row] = []
    at = 0
    for _ in range(draw(st.integers(0, 12))):
        at += draw(st.integers(0, 3 * HOUR))
        users = draw(
            st.one_of(
                st.lists(st.integers(0, 5), min_size=1, max_size=4),
                st.lists(st.integers(0, 60), min_size=15, max_size=40),
            )
        )
        for user in users:
            at += draw(st.integers(0, SECOND))
            rows.append((f"u{user}", at, draw(st.booleans())))
    return rows


@settings(deadline=None)
@given(histories(), st.integers(1, 5), st.sampled_from([0, HOUR, 24 * HOUR]), st.data())
def test_observations_are_those_of_the_plain_rule_whenever_one_looks(
    rows: list[Row], limit: int, unit: int, data: st.DataObject
) -> None:
    observations = Observations(limit, unit)
    cut = data.draw(st.integers(0, len(rows)))
    now = 0
    for part in (rows[:cut], rows[cut:]):
        observations.extend(part)
        now = max(now, part[-1][1] if part else 0)
    now += data.draw(st.sampled_from([0, MINUTE, HOUR, 30 * HOUR]))
    observed = observations.observed(now)
    shares, users, unsettled, crowds = plainly(rows, now, limit, unit)
    assert observed.shares == shares
    assert (observed.users, observed.unsettled, observed.crowds) == (users, unsettled, crowds)
    assert (observed.rows, observed.successes) == (len(rows), sum(won for _, _, won in rows))
    assert observed.days == len({at // (24 * HOUR) for _, at, _ in rows})


@settings(deadline=None)
@given(histories(), st.integers(1, 5))
def test_looking_in_between_changes_nothing(rows: list[Row], limit: int) -> None:
    looked, unlooked = Observations(limit, HOUR), Observations(limit, HOUR)
    for row in rows:
        looked.extend([row])
        looked.observed(row[1])
    unlooked.extend(rows)
    end = rows[-1][1] + 2 * HOUR if rows else 0
    assert looked.observed(end) == unlooked.observed(end)


def test_an_outage_is_one_observation_and_hides_no_mismatch() -> None:
    quiet = [(f"u{n}", n * 5 * MINUTE, True) for n in range(100)]
    start = 100 * 5 * MINUTE
    outage = [(f"u{n}", start + n, n % 10 > 0) for n in range(50)]
    observations = Observations()
    observations.extend([*quiet, *outage])
    observed = observations.observed(start + HOUR)
    assert observed.shares == {(1, 1): 100, (45, 50): 1}
    assert observed.crowds == 1


def test_a_busy_fleet_is_no_outage() -> None:
    """Fifty users a minute of twenty thousand: that is how it goes all day."""
    observations = Observations()
    observations.extend([(f"u{n}", n * MINUTE // 50, True) for n in range(20_000)])
    observed = observations.observed(1000 * MINUTE)
    assert observed.users == 20_000 - 19 * 50
    # Until a thousand users have been seen, fifty are more than 5 % of them.
    assert observed.crowds == 19


def calm(users: int) -> list[Row]:
    """One user a minute, from the first minute on."""
    return [(f"u{n}", n * MINUTE, True) for n in range(users)]


@pytest.mark.parametrize(
    ("seen", "rows", "crowds"),
    [(0, 19, 0), (0, 20, 1), (399, 20, 1), (400, 20, 0), (400, 21, 1), (420, 21, 0)],
)
def test_a_crowd_is_twenty_users_and_more_than_five_percent(
    seen: int, rows: int, crowds: int
) -> None:
    """All of them seen before, so that the crowd itself does not change how many were seen."""
    start = max(seen, 1) * MINUTE
    observations = Observations()
    observations.extend([*calm(seen), *((f"u{n}", start + n, n > 0) for n in range(rows))])
    observed = observations.observed(start + MINUTE)
    assert observed.crowds == crowds
    expected = Counter({(1, 1): seen})
    if crowds:
        expected[rows - 1, rows] = 1
    elif not seen:
        expected.update({(1, 1): rows - 1, (0, 1): 1})
    assert observed.shares == expected


def test_twenty_rows_of_nineteen_users_are_no_crowd() -> None:
    observations = Observations()
    observations.extend([(f"u{n % 19}", n, True) for n in range(20)])
    observed = observations.observed(MINUTE)
    assert (observed.crowds, observed.users) == (0, 19)


def test_a_crowds_minute_begins_on_the_minute_and_ends_before_the_next() -> None:
    """Ten users in the last microsecond of a minute and ten in the first of the next are no crowd."""
    two_minutes = [
        *((f"u{n}", 5 * MINUTE - 1, True) for n in range(10)),
        *((f"v{n}", 5 * MINUTE, True) for n in range(10)),
    ]
    observations = Observations()
    observations.extend(two_minutes)
    assert observations.observed(7 * MINUTE).crowds == 0
    one_minute = [
        *((f"u{n}", 5 * MINUTE, True) for n in range(10)),
        *((f"v{n}", 6 * MINUTE - 1, True) for n in range(10)),
    ]
    observations = Observations()
    observations.extend(one_minute)
    assert observations.observed(6 * MINUTE - 1).crowds == 0
    assert observations.observed(6 * MINUTE).crowds == 1


def test_a_crowd_counts_for_none_of_its_users() -> None:
    """Who was only in a crowd begins an observation with the first row outside; who had begun goes on."""
    observations = Observations(limit=5, unit=24 * HOUR)
    observations.extend([("u0", 0, False)])
    observations.extend([(f"u{n}", MINUTE + n, True) for n in range(20)])
    observations.extend([("u0", HOUR, True), ("u1", HOUR, False)])
    observed = observations.observed(HOUR + 24 * HOUR)
    assert observed.shares == {(20, 20): 1, (1, 2): 1, (0, 1): 1}
    assert (observed.users, observed.unsettled, observed.rows, observed.successes) == (2, 0, 23, 21)


def test_an_observation_is_final_after_so_many_rows_or_so_long() -> None:
    observations = Observations(limit=3, unit=HOUR)
    observations.extend([("u", 0, True), ("u", HOUR - 1, False), ("u", HOUR, False)])
    observed = observations.observed(HOUR)
    # The row of the very end of the unit is the running minute's: it ended the observation all the same.
    assert (observed.shares, observed.users) == ({(1, 2): 1}, 1)
    observations = Observations(limit=3, unit=HOUR)
    observations.extend([("u", 0, True), ("v", 1, True)])
    assert observations.observed(HOUR - 1).unsettled == 2
    at_its_end = observations.observed(HOUR)
    assert (at_its_end.users, at_its_end.unsettled) == (1, 1)
    observations = Observations(limit=3, unit=HOUR)
    observations.extend([("u", n, n != 1) for n in range(5)])
    assert observations.observed(MINUTE).shares == {(2, 3): 1}


def test_days_are_those_in_utc() -> None:
    day = 24 * HOUR
    for times, days in (
        ([0, day - 1], 1),
        ([day - 1, day], 2),
        ([0, day, 2 * day], 3),
        ([0, day, day + 1, 3 * day], 3),
    ):
        observations = Observations()
        observations.extend([(f"u{at}", at, True) for at in times])
        assert observations.observed(4 * day).days == days
    assert Observations().observed(0).days == 0


def test_nothing_is_nothing() -> None:
    observed = Observations().observed(10 * HOUR)
    assert observed.shares == {}
    assert (observed.users, observed.unsettled, observed.crowds) == (0, 0, 0)
    assert (observed.rows, observed.successes) == (0, 0)
