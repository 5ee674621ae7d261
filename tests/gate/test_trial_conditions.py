"""The conditions about the trial itself: its length, its record, failures and the brake."""

from dataclasses import replace

import pytest

from shim.gate.answer import GateVerdict
from shim.gate.evidence import Evidence
from shim.gate.judge import judge
from shim.model import SECOND
from tests.gate.evidence import DAY, NOW, TARGETS, TRIAL, condition, evidence, judged


@pytest.mark.parametrize(("late", "verdict"), [(3_600, "ready"), (3_601, "insufficient")])
def test_the_record_may_end_an_hour_ago(late: int, verdict: str) -> None:
    whole = evidence(complete_until=NOW - late * SECOND)
    assert judge(whole, TARGETS).verdict == GateVerdict(verdict)
    assert judged("record", whole).figure == late


def test_a_record_that_ends_after_now_has_no_negative_age() -> None:
    assert judged("record", evidence(complete_until=NOW + SECOND)).figure == 0
    assert judged("record", evidence(complete_until=None)).figure is None


def test_the_process_whose_record_ends_first_is_named() -> None:
    whole = evidence(complete_until=NOW - 7200 * SECOND, ends_first="p1")
    assert judged("record", whole).missing == (
        "the record of the process 'p1' ends at 2024-10-03T22:00:00+00:00: what it found is not in the "
        "store since"
    )


LASTS = "the trial has to last {} longer"
ANOTHER = "on day {} of the trial not both monitors acted for somebody: another trial is needed"


@pytest.mark.parametrize(
    ("days", "lasted", "missing", "eta"),
    [
        ("1", 0.5, LASTS.format("6.5 d"), 6.5),
        # The present day is not over: both may still act on it.
        ("0", 0.5, LASTS.format("6.5 d"), 6.5),
        ("110", 2.5, LASTS.format("4.5 d"), 4.5),
        ("1111110", 6.5, LASTS.format("0.5 d"), 0.5),
        ("01", 1.5, ANOTHER.format("1"), None),
        ("1010", 3.5, ANOTHER.format("2"), None),
        ("1010", 4, ANOTHER.format("2, 4"), None),
        ("1111111", 7, None, None),
        ("1111110", 7, ANOTHER.format("7"), None),
        ("1011111", 30, ANOTHER.format("2"), None),
        ("0000000", 8, ANOTHER.format("1, 2, 3, 4, 5, 6, 7"), None),
    ],
)
def test_what_the_length_of_a_trial_misses(
    days: str, lasted: float, missing: str | None, eta: float | None
) -> None:
    trial = replace(TRIAL, since=NOW - round(lasted * DAY))
    one = judged("length", evidence(trial=trial, days_acted=tuple(day == "1" for day in days)))
    assert (one.missing, one.standing == "met") == (missing, missing is None)
    assert one.eta == (None if eta is None else round(eta * DAY))
    assert (one.figure, one.target) == (days.count("1"), 7)


def test_a_period_that_ends_within_a_day_counts_that_day() -> None:
    targets = replace(TARGETS, period=7 * DAY + 1)
    assert condition(judge(evidence(), targets), "length").target == 8


def test_the_last_day_of_a_period_is_over_with_the_period() -> None:
    targets = replace(TARGETS, period=3 * DAY // 2)
    trial = replace(TRIAL, since=NOW - targets.period)
    one = condition(judge(evidence(trial=trial, days_acted=(True, False)), targets), "length")
    assert one.missing == ANOTHER.format("2")


def test_a_machine_whose_clock_was_not_set_has_no_record() -> None:
    one = judged("record", evidence(unset_clock=5 * DAY))
    assert one.standing == "open"
    assert (one.missing or "").startswith(
        "the shim was started when the wall clock showed 1970-01-06, which was not set then"
    )


def test_without_a_trial_nothing_is_known_of_failures() -> None:
    assert judged("failures", Evidence(NOW)).standing == "open"
    assert judged("failures", evidence()).standing == "met"


def test_the_inputs_of_the_brake_are_none_while_it_is_released() -> None:
    assert judged("brake", evidence()).inputs == {"engaged": None, "by_itself_at": None}
    one = judged("brake", evidence(brake="by hand"))
    assert (one.inputs["engaged"], one.missing) == ("by hand", "the brake is engaged: by hand")
