"""R16: which users are seen in which arm."""

from collections.abc import Mapping

import pytest

from shim.gate.evidence import NOTHING
from shim.gate.kind_record import KindRecord
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.gate.statistics import Counted
from shim.model import SECOND, Kind, Role, Time
from tests.gate.evidence import DAY, HALVES

BEGIN = 20_000 * DAY
MINUTE = 60 * SECOND
LAGS = (-1, 0, MINUTE, 2 * MINUTE, 2 * MINUTE + 30 * SECOND, 6 * 60 * MINUTE)
"""After the end of a day: whole rows are known two minutes later, and a stretch is over after three."""

HOUR = 60 * MINUTE


def record() -> KindRecord:
    times = QuestionTimes(BEGIN, period=7 * DAY, unit=DAY, grain=60 * SECOND)
    return KindRecord(
        Kind.APP,
        times,
        lambda at, run: 10_000,
        lambda group: None if group == "not told" else HALVES,
    )


def seen(found: KindRecord, arm: Arm, *users: str) -> None:
    found.add_returns(ObservedRow(user, BEGIN, True, arm, 1) for user in users)


def test_users_who_were_in_both_arms_are_left_out_and_counted() -> None:
    found = record()
    for role in Role:
        seen(found, Arm("everybody", role), "crossed", f"only {role}", f"other {role}")
    users = found.observe(BEGIN + DAY).arms["everybody"]
    assert (users.seen, users.crossed) == ({Role.CONTROL: 2, Role.CANDIDATE: 2}, 1)


def test_groups_whose_widths_cannot_be_told_are_not_tested() -> None:
    found = record()
    for group in ("everybody", "not told", "a rule"):
        seen(found, Arm(group, Role.CONTROL), "u")
    assert list(found.observe(BEGIN + DAY).arms) == ["everybody", "a rule"]


def test_what_is_asked_within_a_day_is_not_the_last_word_about_the_day() -> None:
    found = record()
    arm = Arm("everybody", Role.CANDIDATE)

    def observed(now: Time) -> Mapping[tuple[int, int], float]:
        first = found.observe(now).stretches[0]
        return first.returns["everybody"][Role.CANDIDATE].plain

    def returned(user: str, at: Time) -> None:
        found.add_returns([ObservedRow(user, at, True, arm, 1)])

    returned("early", BEGIN)
    assert observed(BEGIN + DAY // 2) == {(1, 1): 1}
    returned("noon", BEGIN + DAY // 2 + 1)
    assert observed(BEGIN + DAY) == {(1, 1): 2}
    returned("late", BEGIN + DAY - 1)
    # Rows become known up to three minutes later.
    assert observed(BEGIN + DAY + 180 * SECOND) == {(1, 1): 3}


def test_what_is_so_far_there_includes_the_present_day() -> None:
    found = record()
    rows = [ObservedRow("u", BEGIN + DAY, True, Arm("everybody", Role.CANDIDATE), 1)]
    for add in (found.add_agreements, found.add_returns, found.add_proofs):
        add(rows)
    so_far = found.observe(BEGIN + DAY + HOUR).so_far
    assert so_far.agreement.plain == so_far.proofs.plain == {(1, 1): 1}
    assert so_far.returns["everybody"][Role.CANDIDATE].plain == {(1, 1): 1}


@pytest.mark.parametrize("period", [2, 7, 10])
def test_an_answer_is_the_same_however_often_the_record_was_asked_before(period: int) -> None:
    """Before, at and after the ends of days and of the first period, while rows of the last minutes wait."""
    times = QuestionTimes(BEGIN + 7 * HOUR, period * DAY, unit=DAY, grain=MINUTE)
    rows = [
        ObservedRow(f"u{number % 23}", times.since + number * 50 * MINUTE, number % 7 > 0, arm, 1)
        for number in range(420)
        # A rule is added on the fifth day.
        for group in ["a rule" if number > 120 and number % 4 == 0 else "everybody"]
        for arm in [Arm(group, Role.CANDIDATE if number % 3 else Role.CONTROL)]
    ]
    # A crowd in the first hour of a day: 40 users, whose rows are one event.
    night = BEGIN + 3 * DAY + 5 * MINUTE
    rows += [
        ObservedRow(f"c{number}", night + number * SECOND, True, rows[number].arm, 1)
        for number in range(40)
    ]
    rows.sort(key=lambda row: row.at)

    def anew() -> KindRecord:
        return KindRecord(Kind.APP, times, lambda at, run: 100, lambda group: HALVES)

    def add(found: KindRecord, some: list[ObservedRow]) -> None:
        for add_rows in (found.add_agreements, found.add_returns, found.add_proofs):
            add_rows(some)

    kept, known = anew(), 0
    ends = {times.since + period * DAY, *(BEGIN + day * DAY for day in range(1, 15))}
    for now in sorted(end + lag for end in ends for lag in LAGS):
        begun = [row for row in rows if row.at <= now]
        add(kept, begun[known:])
        known = len(begun)
        once = anew()
        add(once, begun)
        assert kept.observe(now) == once.observe(now)


def test_without_rows_nothing_is_observed() -> None:
    found = record().observe(BEGIN + 8 * DAY)
    assert (found.users, found.unsettled_users, found.later_users) == (0, 0, 0)
    assert (found.days, found.crowds) == (0, 0)
    assert (found.returns, found.recent_returns, found.arms) == ({}, {}, {})
    assert (found.agreement, found.proofs, found.recent_agreement) == (NOTHING,) * 3
    # Nine days, and the weeks that end with the seventh, the eighth and the ninth of them.
    assert [one.agreement for one in found.stretches] == [NOTHING] * 12


def test_the_days_with_timeouts_are_counted_and_weeks_are_no_days() -> None:
    found = record()
    arm = Arm("everybody", Role.CONTROL)
    for day in (0, 2):
        found.add_agreements([ObservedRow("u", BEGIN + day * DAY, True, arm, 1)])
    observed = found.observe(BEGIN + 9 * DAY - 1)
    assert observed.days == 2
    assert [one.name for one in observed.stretches if " to " in one.name] == [
        "2024-10-04 to 2024-10-10",
        "2024-10-05 to 2024-10-11",
        "2024-10-06 to 2024-10-12",
    ]


def test_a_crowd_over_midnight_speaks_on_the_day_on_which_it_began() -> None:
    """Its users speak plainly on the days of their rows: each arm is a part of both days."""
    found = KindRecord(
        Kind.APP,
        QuestionTimes(BEGIN, period=7 * DAY, unit=DAY, grain=MINUTE),
        lambda at, run: 100,
        lambda group: HALVES,
    )
    found.add_returns(
        ObservedRow(
            f"u{number}",
            BEGIN + DAY + (number - 12) * SECOND,
            True,
            Arm("everybody", Role.CONTROL if number < 12 else Role.CANDIDATE),
            1,
        )
        for number in range(20)
    )
    first, second = found.observe(BEGIN + DAY + HOUR).stretches
    assert first.returns == {
        "everybody": {
            Role.CONTROL: Counted({(1, 1): 12}, {(12, 12): 1}),
            Role.CANDIDATE: Counted({}, {(8, 8): 1}),
        }
    }
    assert second.returns == {"everybody": {Role.CANDIDATE: Counted({(1, 1): 8}, {})}}


def test_from_the_end_of_the_first_period_on_what_is_there_so_far_is_what_is_final() -> None:
    found = record()
    found.add_agreements([ObservedRow("u", BEGIN, True, Arm("everybody", Role.CONTROL), 1)])
    before, at_end = (found.observe(BEGIN + 7 * DAY + more) for more in (-1, 0))
    assert before.so_far.agreement.plain == {(1, 1): 1}
    # The last rows of the period are known two minutes later.
    assert at_end.so_far.agreement == at_end.agreement == NOTHING
