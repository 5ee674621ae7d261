"""R16: which users are seen in which arm."""

from shim.gate import Arm, KindRecord, ObservedRow, QuestionTimes
from shim.model import SECOND, Role
from tests.gate.evidence import DAY

BEGIN = 20_000 * DAY
HALVES = {Role.CONTROL: 0.5, Role.CANDIDATE: 0.5}


def record() -> KindRecord:
    times = QuestionTimes(BEGIN, period=7 * DAY, unit=DAY, grain=60 * SECOND)
    return KindRecord(
        times, lambda at, run: 10_000, lambda group: None if group == "not told" else HALVES
    )


def row(number: int, arm: Arm) -> ObservedRow:
    return ObservedRow(f"{arm.role}{number}", BEGIN + number * SECOND, True, arm, 1)


def test_a_candidate_that_acts_on_fewer_users_loses_none() -> None:
    """One that is more patient than the control closes fewer connections; it has as many users."""
    found, arms = record(), {role: Arm("everybody", role) for role in Role}
    control, candidate = (arms[role] for role in Role)
    found.add_agreements(row(number, control) for number in range(500))
    found.add_users(candidate, [f"candidate{number}" for number in range(500)])
    found.add_returns(row(number, control) for number in range(500))
    found.add_returns(row(number, candidate) for number in range(100))
    users = found.observe(BEGIN + DAY).arms["everybody"]
    assert (users.seen, users.crossed) == ({Role.CONTROL: 500, Role.CANDIDATE: 500}, 0)
    assert not users.is_off


def test_users_who_were_in_both_arms_are_left_out_and_counted() -> None:
    found = record()
    for role in Role:
        found.add_users(Arm("everybody", role), ["crossed", f"only {role}", f"other {role}"])
    users = found.observe(BEGIN + DAY).arms["everybody"]
    assert (users.seen, users.crossed) == ({Role.CONTROL: 2, Role.CANDIDATE: 2}, 1)


def test_groups_whose_widths_cannot_be_told_are_not_tested() -> None:
    found = record()
    for group in ("everybody", "not told", "a rule"):
        found.add_users(Arm(group, Role.CONTROL), ["u"])
    assert list(found.observe(BEGIN + DAY).arms) == ["everybody", "a rule"]
