"""Examples worked out by hand from the design document, so that the oracle itself is pinned down.

Unless a test says otherwise: the control acts and ticks at 15, 30, 45, …, both timeouts are 45 s,
the stall threshold 5 s, tolerance 16 s, window 60 s, return window 120 s.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given

from tests.oracle.events import (
    DEFAULTS,
    close,
    counted,
    data,
    end,
    message,
    opens,
    replay,
    rows,
    stall,
)

from .capture_record import SECOND
from .captures import STARTED, Case, cases
from .replay_oracle import ExpectedRule, judge


def test_the_row_of_the_contract() -> None:
    # Candidate: 3.2 + 45 = 48.2. Control: at 45 idle is 41.8; at 60 it is 56.8 > 45.
    # Skew 60 - 48.2 = 11.8 <= 16.
    # Lost from 60 + 120 = 180 on, which the record (600) covers.
    assert replay(opens(0.5), message(3.2), end(600)) == {
        "summary": {
            "connections": 1,
            "healthy": 0,
            "matched": 1,
            "mismatched": 0,
            "expected": 0,
            "inconclusive": 0,
            "late": 0,
            "after_close": 0,
            "proof_of_life": 0,
        },
        "outcomes": {
            "control": {"acted": 1, "returned": 0, "lost": 1, "replaced": 0, "censored": 0},
            "candidate": {"acted": 0, "returned": 0, "lost": 0, "replaced": 0, "censored": 0},
        },
        "verdicts": [
            {
                "connection": "c1",
                "verdict": "matched",
                "kind": "both",
                "at": 60.0,
                "first": "candidate",
                "control_at": 60.0,
                "candidate_at": 48.2,
                "skew": 11.8,
                "recovered": False,
                "last_activity": 3.2,
            }
        ],
    }


def test_idle_for_exactly_the_timeout_is_enough_for_the_candidate_only() -> None:
    # Tick 45: idle is 45, not more than 45. Tick 60 decides. Candidate at 0 + 45. Skew 15.
    result = replay(opens(0), end(60))
    assert rows(result) == [("matched", "both", 60.0, 60.0, 45.0)]
    # With a control timeout of 44.999999 the tick at 45 finds it: both decide at 45. At one instant
    # the control is first.
    quick = replace(DEFAULTS, control_timeout=45 * SECOND - 1)
    result = replay(opens(0), end(60), settings=quick)
    assert rows(result) == [("matched", "both", 45.0, 45.0, 45.0)]
    assert (result["verdicts"][0]["first"], result["verdicts"][0]["skew"]) == ("control", 0.0)


@pytest.mark.parametrize(
    ("tolerance", "expected"), [(15 * SECOND, "matched"), (15 * SECOND - 1, "mismatched")]
)
def test_the_tolerance_is_inclusive(tolerance: int, expected: str) -> None:
    # As above: skew = 60 - 45 = 15.
    [verdict] = replay(opens(0), end(99), settings=replace(DEFAULTS, tolerance=tolerance))[
        "verdicts"
    ]
    assert (verdict["verdict"], verdict["skew"]) == (expected, 15.0)


def test_a_sign_of_life_after_one_decision_is_proof_and_registers_again() -> None:
    # Candidate 45; the message at 50 ends the episode (control idle 45 at tick 45: not decided).
    # New silence from 50: candidate 95; control: tick 90 idle 40, tick 105 idle 55. Skew 10.
    result = replay(opens(0), message(50), end(110))
    assert rows(result) == [
        ("mismatched", "only_candidate", 50.0, None, 45.0),
        ("matched", "both", 105.0, 105.0, 95.0),
    ]
    assert [v["recovered"] for v in result["verdicts"]] == [True, False]
    assert [v["last_activity"] for v in result["verdicts"]] == [0.0, 50.0]
    # 105 + 120 = 225 > 110: the record does not cover the return window.
    assert counted(result["outcomes"]["control"]) == {"acted": 1, "censored": 1}


def test_at_one_time_the_event_comes_before_the_timers() -> None:
    # The message at 45 comes before the candidate's deadline 45. Next 90; control: tick 90 idle 45,
    # tick 105 idle 60.
    assert rows(replay(opens(0), message(45), end(105))) == [("matched", "both", 105, 105, 90)]


def test_a_window_that_passes_and_a_late_decision_that_is_acted_on() -> None:
    # Window 10: candidate 45, window ends 55, control at tick 60 is late; acting, it closes.
    # The message at 70 comes after: ignored, counted, proof of life.
    short = replace(DEFAULTS, window=10 * SECOND)
    result = replay(opens(0), message(70), end(70), settings=short)
    assert rows(result) == [("mismatched", "only_candidate", 55.0, None, 45.0)]
    assert result["verdicts"][0]["recovered"] is False
    counts = {"connections": 1, "mismatched": 1, "late": 1, "after_close": 1, "proof_of_life": 1}
    assert counted(result["summary"]) == counts
    assert counted(result["outcomes"]["control"]) == {"acted": 1, "censored": 1}  # 60 + 120 > 70


def test_the_shadow_of_a_closed_connection_is_let_go_with_the_verdict() -> None:
    # The same, the candidate acting: it closes at 45, verdict 55, the control is let go: not late.
    # With a window of 15 the tick at 60 = 45 + 15 still counts: windows come last.
    short = replace(DEFAULTS, window=10 * SECOND)
    result = replay(opens(0), end(70), settings=short, acting="candidate")
    assert rows(result) == [("mismatched", "only_candidate", 55.0, None, 45.0)]
    assert counted(result["summary"]) == {"connections": 1, "mismatched": 1}
    edge = replace(DEFAULTS, window=15 * SECOND)
    result = replay(opens(0), end(70), settings=edge, acting="candidate")
    assert rows(result) == [("matched", "both", 60.0, 60.0, 45.0)]


def test_nothing_closes_when_nobody_acts() -> None:
    # Window 10: candidate 45, verdict 55, control 60 late. `data` at 62 revives nothing. The
    # message at 70 registers both: candidate 115, control: tick 105 idle 35, tick 120 idle 50.
    # Matched, skew 5.
    short = replace(DEFAULTS, window=10 * SECOND)
    events = (opens(0), data(62), message(70), end(300))
    result = replay(*events, settings=short, acting="none")
    assert rows(result) == [
        ("mismatched", "only_candidate", 55.0, None, 45.0),
        ("matched", "both", 120.0, 120.0, 115.0),
    ]
    assert counted(result["summary"]) == {
        "connections": 1,
        "mismatched": 1,
        "matched": 1,
        "late": 1,
    }


def test_data_lengthens_the_silence_for_the_candidate_alone() -> None:
    # Data at 44: candidate 89. The control acts at 60; data at 70 is after the close. Skew -29.
    result = replay(opens(0), data(44), data(70), end(300))
    assert rows(result) == [("mismatched", "skewed", 89.0, 60.0, 89.0)]
    assert (result["verdicts"][0]["skew"], result["verdicts"][0]["last_activity"]) == (-29.0, 0.0)
    counts = {"connections": 1, "mismatched": 1, "after_close": 1}  # data is no proof of life
    assert counted(result["summary"]) == counts


def test_captured_closes() -> None:
    # c1: candidate 45, closed at 50 while the episode is open. c2 (opened at 10, candidate 55)
    # and c3, c4: closed before anybody decides; a monitor closed c3, so it is not healthy.
    result = replay(
        opens(0),
        opens(10, "c2"),
        opens(10, "c3"),
        opens(10, "c4"),
        close(20, "c2", cause="peer"),
        close(20, "c3", cause="control"),
        close(20, "c4"),
        close(50, cause="candidate"),
        end(300),
    )
    assert rows(result) == [("inconclusive", "closed", 50.0, None, 45.0)]
    assert counted(result["summary"]) == {"connections": 4, "healthy": 2, "inconclusive": 1}


def test_the_end_leaves_open_episodes_inconclusive() -> None:
    # Candidate 45 is due at the end and still runs; the control would have decided at 60.
    assert rows(replay(opens(0), end(45))) == [("inconclusive", "shutdown", 45.0, None, 45.0)]
    assert rows(replay(opens(0), end(44.999999))) == []
    # `end` inside a stall is stamped with its end, 70. The late tick at 70 finds idle 70 > 45 and
    # the deadline 45 was reached before the stall began at 50.
    result = replay(opens(0), stall(50, 20), end(55))
    assert rows(result) == [("mismatched", "skewed", 70.0, 70.0, 45.0)]
    # A stall from 40 to 60 moves the deadline to 65; the tick at 60 acts; the end is at 60.
    result = replay(opens(0), stall(40, 20), end(41))
    assert rows(result) == [("inconclusive", "shutdown", 60.0, 60.0, None)]


def test_a_long_stall_moves_the_deadline() -> None:
    # Stall 40 to 52 (12 > 5): the tick 45 runs late, at 52: idle 52 > 45, the control decides.
    # The deadline 45 moves by 12 to 57. Skew 52 - 57 = -5.
    assert rows(replay(opens(0), stall(40, 12), end(99))) == [("matched", "both", 57, 52, 57)]
    # 5 s are not longer than the threshold: 40 to 45, deadline 45 runs at 45; tick 45 sees idle 45.
    assert rows(replay(opens(0), stall(40, 5), end(99))) == [("matched", "both", 60, 60, 45)]
    # 43 to 47: the tick 45 runs at 47 (idle 47), the deadline 45 at 47, too.
    assert rows(replay(opens(0), stall(43, 4), end(99))) == [("matched", "both", 47, 47, 47)]
    # "Before" is strict: last seen at 10, stall 10 to 60. Not moved: the deadline 55 runs at 60,
    # where the late tick sees idle 50.
    assert rows(replay(opens(10), stall(10, 50), end(99))) == [("matched", "both", 60, 60, 60)]
    # A microsecond later it is moved: 55 + 49.999999 = 104.999999.
    result = replay(opens(10), stall(10.000001, 49.999999), end(200))
    assert rows(result) == [("mismatched", "skewed", 104.999999, 60.0, 104.999999)]
    # Shifts add up: 0 + 45 + 6 (10 to 16) + 7 (16 to 23) = 58; tick 60 acts. Data at 20, inside the
    # second stall, is stamped 23 and starts again: 68. Tick 60 still decides first: skew -8.
    stalls = (stall(10, 6), stall(16, 7))
    assert rows(replay(opens(0), *stalls, end(99))) == [("matched", "both", 60, 60, 58)]
    assert rows(replay(opens(0), *stalls, data(20), end(99))) == [("matched", "both", 68, 60, 68)]


def test_what_arrived_during_a_stall_comes_after_the_control_and_before_the_candidate() -> None:
    # Stall 44 to 48; short, so the deadline 45 falls to 48. At 48: tick 45 (idle 48) decides; then
    # the message of 46, stamped 48, ends the episode. From 48: candidate 93; the control at 105
    # (idle 57; at 90 it was 42).
    result = replay(opens(0), stall(44, 4), message(46), end(110), acting="candidate")
    assert rows(result) == [
        ("mismatched", "only_control", 48.0, 48.0, None),
        ("matched", "both", 105.0, 105.0, 93.0),
    ]
    # The control acting, it killed a live connection: the message proves it. The shadow is not told
    # of the message and decides at 48, too.
    result = replay(opens(0), stall(44, 4), message(46), end(110))
    assert rows(result) == [("matched", "both", 48.0, 48.0, 48.0)]
    assert result["summary"]["proof_of_life"] == 1


def test_a_window_that_ends_inside_a_stall_ends_at_its_own_time() -> None:
    # Window 10: candidate 45, window 55, inside the stall 50 to 65. The tick 60 runs at 65, too
    # late; the control acts before the message of 52 is read.
    short = replace(DEFAULTS, window=10 * SECOND)
    events = (opens(0), stall(50, 15), message(52), end(90))
    result = replay(*events, settings=short)
    assert rows(result) == [("mismatched", "only_candidate", 55.0, None, 45.0)]
    counts = {"connections": 1, "mismatched": 1, "late": 1, "after_close": 1, "proof_of_life": 1}
    assert counted(result["summary"]) == counts
    # A window of 15 ends at 60, with the stall 48 to 60: windows come last, the control is in time.
    edge = replace(DEFAULTS, window=15 * SECOND)
    result = replay(opens(0), stall(48, 12), end(90), settings=edge)
    assert rows(result) == [("matched", "both", 60.0, 60.0, 45.0)]


@pytest.mark.parametrize(
    ("reopened", "over", "outcome"),
    [
        # The control acts on c1 at 60 (idle 60). c2 closes by itself a second later, or at the end.
        (60, 300, "replaced"),  # events come before timers: at 60 c2 is open already
        (60.000001, 300, "returned"),
        (180, 300, "returned"),  # 60 + 120, inclusive
        (180.000001, 300, "lost"),
        (180, 180, "returned"),
        (181, 181, "lost"),
    ],
)
def test_returns(reopened: float, over: float, outcome: str) -> None:
    closed = min(reopened + 1, over)
    result = replay(opens(0), opens(reopened, "c2"), close(closed, "c2"), end(over))
    assert counted(result["outcomes"]["control"]) == {"acted": 1, outcome: 1}


def test_the_return_window_must_be_covered_by_the_record() -> None:
    assert counted(replay(opens(0), end(180))["outcomes"]["control"]) == {"acted": 1, "lost": 1}
    nearly = replay(opens(0), end(179.999999))
    assert counted(nearly["outcomes"]["control"]) == {"acted": 1, "censored": 1}


def test_outcomes_of_connections_that_die_together() -> None:
    # c1, c2, c3, one identity, opened at 0, 0 and 1: all found at tick 60, one after the other.
    # c1 and c2 (last seen 0): c3 was opened after that and is still open: replaced. Then c3 itself:
    # nothing is left; it waits, and c4 at 70 is its return. c5 at 80 finds nothing to settle.
    # c6 is of another package and has no part in it. c4, c5, c6 close by themselves.
    result = replay(
        opens(0),
        opens(0, "c2"),
        opens(1, "c3"),
        opens(59, "c6", package="com.example.app2"),
        opens(70, "c4"),
        opens(80, "c5"),
        close(90, "c4"),
        close(90, "c5"),
        close(90, "c6"),
        end(500),
    )
    assert counted(result["outcomes"]["control"]) == {"acted": 3, "replaced": 2, "returned": 1}
    # The first of them to go is c1; with equal last signs of life ("after" is strict) none replaces
    # another. Two openings, two returns, the third is lost.
    together = (opens(0), opens(0, "c2"), opens(0, "c3"))
    again = (opens(70, "c4"), opens(80, "c5"), close(90, "c4"), close(90, "c5"))
    result = replay(*together, *again, end(500))
    assert counted(result["outcomes"]["control"]) == {"acted": 3, "returned": 2, "lost": 1}


def test_the_candidate_acts_by_deadline_then_by_order_of_opening() -> None:
    # Candidate timeout 40, a short stall from 40 to 44.9, at whose end all deadlines in it run.
    # c1 opened at 0, with data at 4: deadline 44. c2 opened at 1: deadline 41. c2 goes first; c1
    # was opened before c2's last sign of life and does not replace it. Then c1 finds c2 gone: both
    # are lost. (In order of opening c1 would have found c2 open: replaced.)
    quick = replace(DEFAULTS, candidate_timeout=40 * SECOND)
    late_data = (opens(0), opens(1, "c2"), data(4), stall(40, 4.9), end(500))
    result = replay(*late_data, settings=quick, acting="candidate")
    assert counted(result["outcomes"]["candidate"]) == {"acted": 2, "lost": 2}
    # Without the data c1 (deadline 40) goes first and finds c2, opened after 0, still open.
    plain = (opens(0), opens(1, "c2"), stall(40, 4.9), end(500))
    result = replay(*plain, settings=quick, acting="candidate")
    assert counted(result["outcomes"]["candidate"]) == {"acted": 2, "replaced": 1, "lost": 1}
    # Equal deadlines: data for both at 4, c1 goes first again.
    both = (opens(0), opens(1, "c2"), data(4, "c2"), data(4), stall(40, 4.9), end(500))
    result = replay(*both, settings=quick, acting="candidate")
    assert counted(result["outcomes"]["candidate"]) == {"acted": 2, "replaced": 1, "lost": 1}


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        # Skew 60 - 45 = 15, tolerance 1: a mismatch, kind skewed, of an app on 2026-06-01.
        (ExpectedRule("r", STARTED), "expected"),
        (ExpectedRule("r", date(2026, 5, 31)), "mismatched"),
        (ExpectedRule("r", STARTED, kind="skewed", recovered=False), "expected"),
        (ExpectedRule("r", STARTED, recovered=True), "mismatched"),
        (ExpectedRule("r", STARTED, connection_kind="glasses"), "mismatched"),
        (ExpectedRule("r", STARTED, skew=(0, 15 * SECOND)), "expected"),
        (ExpectedRule("r", STARTED, skew=(-20 * SECOND, 15 * SECOND - 1)), "mismatched"),
        (ExpectedRule("r", STARTED, package="com.example.*"), "expected"),
        (ExpectedRule("r", STARTED, package="COM.*"), "mismatched"),
    ],
)
def test_expected_rules(rule: ExpectedRule, verdict: str) -> None:
    strict = replace(DEFAULTS, tolerance=1 * SECOND, expected=(rule,), started=STARTED)
    result = replay(opens(0), end(300), settings=strict)
    assert rows(result) == [(verdict, "skewed", 60.0, 60.0, 45.0)]
    assert counted(result["summary"]) == {"connections": 1, verdict: 1}


def test_a_range_of_skew_is_never_true_without_skew() -> None:
    rule = ExpectedRule("r", STARTED, skew=(-999 * SECOND, 999 * SECOND))
    settings = replace(DEFAULTS, expected=(rule,), started=STARTED)
    result = replay(opens(0), message(50), end(60), settings=settings)
    assert rows(result) == [("mismatched", "only_candidate", 50.0, None, 45.0)]


@given(cases())
def test_generated_captures_are_valid_and_the_sums_are_right(case: Case) -> None:
    """Every input error of the contract, looked for in what the strategies build."""
    opened: set[str] = set()
    closed: set[str] = set()
    time = stalled_until = 0
    assert [e["event"] for e in case.events].index("end") == len(case.events) - 1
    for event in case.events:
        micros = round(event["t"] * SECOND)
        assert micros >= time
        time = micros
        name, connection = event["event"], event.get("connection", "")
        if name == "open":
            assert connection not in opened
            assert ("package" in event) == (event["kind"] == "app")
            opened.add(connection)
        elif name == "stall":
            assert micros >= stalled_until
            assert event["duration"] > 0
            stalled_until = micros + round(event["duration"] * SECOND)
        elif name != "end":
            assert connection in opened - closed
        if name == "close":
            closed.add(connection)

    result = judge(case.events, case.settings, case.acting)
    summary, verdicts = result["summary"], result["verdicts"]
    by_verdict = Counter(v["verdict"] for v in verdicts)
    assert summary["connections"] == len(opened)
    for word in ("matched", "mismatched", "expected", "inconclusive"):
        assert summary[word] == by_verdict[word]
    assert summary["healthy"] + len({v["connection"] for v in verdicts}) <= len(opened)
    for counts in result["outcomes"].values():
        assert counts["acted"] == sum(counts.values()) - counts["acted"]
    silences = [(v["connection"], v["last_activity"]) for v in verdicts]
    assert len(silences) == len(set(silences))  # one silence has at most one verdict (R7)
