"""R22: what the brake's judge makes of facts as they become known, after a restart and after a release."""

from shim.gate.brake_judge import BrakeJudge
from shim.gate.brake_statistics import BrakeRecord, FalseKill, FalseKills, FewerReturns
from shim.gate.observed_rows import ObservedRow
from shim.gate.question import QuestionTimes
from shim.model import Kind, Role, Time
from shim.model.time import DAY
from tests.gate.evidence import BrakeLimits
from tests.gate.test_brake import MINUTE, START
from tests.gate.test_return_watch import rows

HOUR = 60 * MINUTE
SINCE = 100 * DAY
CONTROL = rows(Role.CONTROL, 300, 15, START, MINUTE)
STAY_AWAY = rows(Role.CANDIDATE, 300, 150, START, MINUTE)
OUTAGE = rows(Role.CANDIDATE, 150, 150, START + 5, 1)
LAST = CONTROL[-1].at


def judge() -> BrakeJudge:
    found = BrakeJudge(BrakeLimits(), QuestionTimes(SINCE, 7 * DAY, DAY, MINUTE))
    found.covered(Kind.APP, 1, SINCE, SINCE + 2 * DAY, 10_000)
    return found


def settle(judge: BrakeJudge, *parts: list[ObservedRow]) -> None:
    for part in parts:
        for row in part:
            judge.settled(Kind.APP, row)


def kill(judge: BrakeJudge, times: list[Time]) -> FalseKills | None:
    """A decision and its false kill at each time; the last answer."""
    found = None
    for number, at in enumerate(times):
        judge.decided(f"u{number}", at)
        found = judge.killed(f"u{number}", at, None)
    return found


FIVE = [START + number * MINUTE for number in range(5)]


def test_fewer_returns_engage_once_the_windows_are_over() -> None:
    judged = judge()
    settle(judged, CONTROL, STAY_AWAY)
    assert judged.fewer_returns(START) is None
    reason = judged.fewer_returns(LAST + 3 * MINUTE)
    assert reason is not None
    assert (reason.kind, reason.control_users, reason.candidate_users) == (Kind.APP, 300, 300)
    assert (reason.control, reason.candidate) == (0.95, 0.5)


def test_outcomes_count_by_the_ends_of_their_windows_whenever_they_become_known() -> None:
    """A return is known hours before its window is over, a loss only then."""
    everything = sorted([*CONTROL, *STAY_AWAY], key=lambda row: row.at)
    early, late = judge(), judge()
    early_at = {row: row.at - 3 * HOUR * row.success for row in everything}
    reasons = []
    for now in range(START - 3 * HOUR, LAST + HOUR, 10 * MINUTE):
        settle(early, [row for row in everything if now - 10 * MINUTE < early_at[row] <= now])
        settle(late, [row for row in everything if now - 10 * MINUTE < row.at <= now])
        reasons.append(late.fewer_returns(now))
        assert early.fewer_returns(now) == reasons[-1]
    assert reasons[0] is None
    assert isinstance(reasons[-1], FewerReturns)


def test_a_crowd_is_measured_by_the_users_who_were_connected() -> None:
    """Of 300 connected users, 150 losses in one minute are one event; of 10 000 they are no crowd."""
    for users, engages in ((300, False), (10_000, True)):
        judged = BrakeJudge(BrakeLimits(), QuestionTimes(SINCE, 7 * DAY, DAY, MINUTE))
        judged.covered(Kind.APP, 1, SINCE, SINCE + DAY, users)
        settle(judged, CONTROL, OUTAGE)
        assert (judged.fewer_returns(LAST + 3 * MINUTE) is not None) is engages


def test_a_new_trial_compares_only_the_returns_from_then_on() -> None:
    judged = judge()
    assert judged.trial_since == SINCE
    settle(judged, CONTROL, STAY_AWAY)
    # Some outcomes are judged already, the others wait for the ends of their windows.
    judged.fewer_returns(START + HOUR)
    judged.begin_returns(START + 2 * HOUR)
    assert judged.trial_since == START + 2 * HOUR
    assert judged.fewer_returns(LAST + 3 * MINUTE) is None


def test_a_release_of_the_brake_forgets_the_false_kills() -> None:
    judged = judge()
    assert kill(judged, FIVE) == FalseKills(5, 5, "15 min")
    judged.begin_kills(FIVE[-1])
    assert judged.killed("u", FIVE[-1], None) is None


def test_after_a_restart_the_judge_goes_on_where_it_was() -> None:
    """The record says since when false kills and returns are counted, and how many users were connected."""
    record = BrakeRecord(
        since=SINCE + 1,
        kills_since=START,
        connected=((Kind.APP, 1, SINCE, SINCE + 2 * DAY, 10_000),),
        returns=tuple((Kind.APP, row) for row in (*CONTROL, *OUTAGE)),
        decisions=tuple((f"u{number}", at) for number, at in enumerate(FIVE[:2])),
        kills=tuple(FalseKill(f"u{number}", at) for number, at in enumerate(FIVE[:2])),
    )
    judged = BrakeJudge(BrakeLimits(), QuestionTimes(DAY, 7 * DAY, DAY, MINUTE))
    # Two false kills of two decisions are enough on the first day, and would not be on the hundredth.
    assert judged.resume(record) == FalseKills(2, 2, "the day")
    assert judged.trial_since == SINCE + 1
    assert kill(judged, FIVE[2:]) == FalseKills(5, 5, "15 min")
    # No crowd, since so many users were connected.
    assert isinstance(judged.fewer_returns(LAST + 3 * MINUTE), FewerReturns)


def test_a_restart_finds_the_reason_that_the_record_had_at_any_time() -> None:
    """Five false kills engage, whatever happened later: facts count in the order of their times."""
    late = START + 10 * HOUR
    record = BrakeRecord(
        since=SINCE,
        kills_since=SINCE,
        decisions=(
            ("a later one", late),
            *((f"user {9 - number}", at) for number, at in enumerate(FIVE)),
            ("tomorrow", SINCE + DAY),
        ),
        kills=(
            FalseKill("tomorrow", SINCE + DAY),
            *(FalseKill(f"user {9 - number}", at) for number, at in enumerate(FIVE)),
        ),
    )
    assert judge().resume(record) == FalseKills(5, 5, "15 min")


def test_a_restart_without_any_record_has_no_reason() -> None:
    judged = judge()
    assert judged.resume(BrakeRecord(since=START, kills_since=START)) is None
    assert judged.fewer_returns(LAST) is None
