"""R16: which users are seen in which arm."""

from collections.abc import Mapping

from shim.gate import Arm, KindRecord, ObservedRow, QuestionTimes
from shim.model import SECOND, Role, Time
from tests.gate.evidence import DAY, HALVES

BEGIN = 20_000 * DAY


def record() -> KindRecord:
    times = QuestionTimes(BEGIN, period=7 * DAY, unit=DAY, grain=60 * SECOND)
    return KindRecord(
        times, lambda at, run: 10_000, lambda group: None if group == "not told" else HALVES
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
