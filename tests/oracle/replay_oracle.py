"""The rules of `shim replay` a second time, as a function of the whole capture.

The shim replays a capture through state machines, one instant after the other. This module has no
machines and no queue: it looks at the complete record and says what must come out.

1. Every line gets a *stamp*, its place in time: a stall moves the lines inside it to its end.
2. A connection's signs of life cut its life into *silences*. Each is judged alone, because every
   sign of life leaves both monitors registered and freshly informed (R9, "after any verdict").
3. In one silence each monitor decides at most once, at a moment that can be computed: the first
   tick that finds it idle too long (R1); the deadline, moved by pauses (R2, R3).
4. Connections meet only in the outcomes (R15): a second pass over all acted timeouts and openings.

Written from the design document alone. It shares no code with the shim and must not.
Everything inside is whole microseconds. The capture is taken to be valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from itertools import count, pairwise
from typing import Any, NamedTuple

from tests.oracle.capture_record import (
    SECOND,
    SIGNS_OF_LIFE,
    Connection,
    Phase,
    Record,
    Stamp,
    read_record,
)

MONITORS = ("control", "candidate")


@dataclass(frozen=True)
class ExpectedRule:
    """One rule of `comparison.expected` (R13); what is None asks for nothing."""

    name: str
    until: date
    kind: str | None = None
    recovered: bool | None = None
    connection_kind: str | None = None
    skew: tuple[int, int] | None = None
    package: str | None = None


@dataclass(frozen=True)
class OracleSettings:
    """What the rules depend on; durations in microseconds."""

    control_interval: int = 15 * SECOND
    control_timeout: int = 45 * SECOND
    candidate_timeout: int = 45 * SECOND
    stall_threshold: int = 5 * SECOND
    tolerance: int = 16 * SECOND
    window: int = 60 * SECOND
    return_window: int = 120 * SECOND
    expected: tuple[ExpectedRule, ...] = ()
    started: date | None = None


# ── 2. Decisions in one silence ──────────────────────────────────────────────────────────────────
class Decision(NamedTuple):
    stamp: Stamp
    deadline: int  # orders the candidate's decisions of one instant; 0 for the control
    monitor: str


def _control_decides(since: Stamp, until: Stamp, rec: Record, s: OracleSettings) -> Decision | None:
    """R1: the first tick that finds the connection idle for strictly more than the timeout.

    Ticks are multiples of the interval; those that a stall swallowed happen at its end.
    """
    for number in count(max(1, since.at // s.control_interval)):
        tick = rec.timer(number * s.control_interval, Phase.CONTROL)
        if tick >= until:
            return None
        if tick.at - since.at > s.control_timeout:
            return Decision(tick, 0, "control")
    raise AssertionError("ticks never end")


def _candidate_decides(
    since: Stamp, data: Sequence[Stamp], until: Stamp, rec: Record, s: OracleSettings
) -> Decision | None:
    """R2, R3: at the deadline of the last sign of life or data that came before it."""
    seen = [since, *(stamp for stamp in data if since < stamp < until)]
    for last, following in pairwise([*seen, until]):
        decision = _candidate_deadline(last.at, rec, s)
        if decision.stamp < following:  # else it was lengthened by data, or ended
            return decision
    return None


def _candidate_deadline(last_seen: int, rec: Record, s: OracleSettings) -> Decision:
    deadline = last_seen + s.candidate_timeout
    for number, stall in enumerate(rec.stalls, start=1):
        if stall.start < last_seen or deadline < stall.start:
            continue  # over before it was seen; or decided before the pause
        if stall.end - stall.start > s.stall_threshold and last_seen < stall.start:
            deadline += stall.end - stall.start  # R3: the pause was not the client's silence
        if deadline <= stall.end:
            return Decision(Stamp(stall.end, number, Phase.CANDIDATE), deadline, "candidate")
    return Decision(Stamp(deadline, 0, Phase.CANDIDATE), deadline, "candidate")


# ── 3. Verdicts ──────────────────────────────────────────────────────────────────────────────────
class Action(NamedTuple):
    """A timeout that was acted on; sorts as they are acted on."""

    stamp: Stamp
    deadline: int
    order: int
    connection: Connection
    last_activity: int


@dataclass
class Judged:
    """What is to be said about one connection."""

    connection: Connection
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    action: Action | None = None
    decided: bool = False
    late: int = 0
    after_close: int = 0
    proof_of_life: bool = False

    @property
    def healthy(self) -> bool:
        """R14, and section 8: not if a monitor closed it in the capture."""
        return not self.decided and self.connection.closed_by not in MONITORS


def _silences(connection: Connection, end: Stamp) -> Iterator[tuple[Stamp, Stamp, str]]:
    """Each silence: since when, until when, and what ended it."""
    signs = [stamp for stamp, event in connection.lines if event in SIGNS_OF_LIFE]
    yield from ((since, until, "life") for since, until in pairwise(signs))
    if connection.closed:
        yield signs[-1], connection.closed, "closed"
    else:
        yield signs[-1], end, "shutdown"


def _judge_connection(conn: Connection, rec: Record, s: OracleSettings, acting: str) -> Judged:
    judged = Judged(conn)
    data = [stamp for stamp, event in conn.lines if event == "data"]
    for since, until, ending in _silences(conn, rec.end):
        decisions = _decisions(since, data, until, rec, s)
        acted = next((d for d in decisions if d.monitor == acting), None)
        if acted:
            # The connection is gone; what the capture has of it later does not happen (section 8).
            # The shadow believes that it is open (R6), and now only the end ends this silence.
            data = [stamp for stamp in data if stamp < acted.stamp]
            until, ending = rec.end, "shutdown"
            decisions = _decisions(since, data, until, rec, s)
            judged.action = Action(acted.stamp, acted.deadline, conn.order, conn, since.at)
            lost = [event for stamp, event in conn.lines if stamp > acted.stamp]
            judged.after_close = len(lost)
            judged.proof_of_life = "message" in lost or "pong" in lost  # R14b
        if decisions:
            judged.decided = True
            _judge_silence(judged, since, until, ending, decisions, rec, s, acting)
        if acted:
            break
    return judged


def _decisions(
    since: Stamp, data: Sequence[Stamp], until: Stamp, rec: Record, s: OracleSettings
) -> list[Decision]:
    control = _control_decides(since, until, rec, s)
    candidate = _candidate_decides(since, data, until, rec, s)
    return sorted(d for d in (control, candidate) if d)


def _judge_silence(
    judged: Judged,
    since: Stamp,
    until: Stamp,
    ending: str,
    decisions: Sequence[Decision],
    rec: Record,
    s: OracleSettings,
    acting: str,
) -> None:
    """The one verdict of a silence in which somebody decided (R7)."""
    first, second = decisions[0], decisions[1] if len(decisions) > 1 else None
    window = rec.window_end(first.stamp.at + s.window)
    at = {first.monitor: first.stamp.at}
    skew: int | None = None
    recovered = False
    if second and second.stamp.at - first.stamp.at <= s.window:  # R8
        at[second.monitor] = when = second.stamp.at
        skew = at["control"] - at["candidate"]
        matched = abs(skew) <= s.tolerance
        verdict, kind = ("matched", "both") if matched else ("mismatched", "skewed")
    elif window < until:  # R10
        verdict, kind, when = "mismatched", f"only_{first.monitor}", window.at
        # R7: the second is late. But after the acting monitor's close, the shadow lets it go with
        # the verdict, and decides no more.
        judged.late += second is not None and first.monitor != acting
    elif ending == "life":  # R9
        verdict, kind, when = "mismatched", f"only_{first.monitor}", until.at
        recovered = True
    else:  # R11
        verdict, kind, when = "inconclusive", ending, until.at
    if verdict == "mismatched" and _is_expected(judged.connection, kind, recovered, skew, s):
        verdict = "expected"
    judged.verdicts.append(
        {
            "connection": judged.connection.id,
            "verdict": verdict,
            "kind": kind,
            "at": when / SECOND,
            "first": first.monitor,
            "control_at": _seconds(at.get("control")),
            "candidate_at": _seconds(at.get("candidate")),
            "skew": _seconds(skew),
            "recovered": recovered,
            "last_activity": since.at / SECOND,
        }
    )


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / SECOND


def _is_expected(
    conn: Connection, kind: str, recovered: bool, skew: int | None, s: OracleSettings
) -> bool:
    """R13: some rule that has not expired, all of whose conditions hold."""
    today = s.started or datetime.now(UTC).date()
    return any(
        today <= rule.until
        and rule.kind in (None, kind)
        and rule.recovered in (None, recovered)
        and rule.connection_kind in (None, conn.kind)
        and (not rule.skew or (skew is not None and rule.skew[0] <= skew <= rule.skew[1]))
        and (not rule.package or (conn.package and fnmatchcase(conn.package, rule.package)))
        for rule in s.expected
    )


# ── 4. Outcomes ──────────────────────────────────────────────────────────────────────────────────
def _outcomes(judged: Sequence[Judged], rec: Record, s: OracleSettings) -> dict[str, int]:
    """R15, over all timeouts acted on, one by one: by time, by deadline, by order of opening."""
    actions = sorted(j.action for j in judged if j.action)
    action_of = {action.connection.id: action for action in actions}

    def replaced(action: Action) -> bool:
        return any(
            other.identity == action.connection.identity
            and action.last_activity < other.opened.at
            and other.opened < action.stamp
            and not (other.closed and other.closed < action.stamp)
            and not (other.id in action_of and action_of[other.id] < action)
            for other in rec.connections.values()
        )

    def window_end(action: Action) -> int:
        control_at_the_latest = action.last_activity + s.control_timeout + s.control_interval
        return max(action.stamp.at, control_at_the_latest) + s.return_window

    pending = [action for action in actions if not replaced(action)]
    replacements = len(actions) - len(pending)
    for opening in rec.connections.values():  # each settles at most one: the oldest that waits
        for action in pending:
            if (
                action.connection.identity == opening.identity
                and action.stamp < opening.opened
                and opening.opened.at <= window_end(action)
            ):
                pending.remove(action)
                break
    censored = sum(window_end(action) > rec.end.at for action in pending)
    return {
        "acted": len(actions),
        "returned": len(actions) - replacements - len(pending),
        "lost": len(pending) - censored,
        "replaced": replacements,
        "censored": censored,
    }


def judge(
    events: Sequence[dict[str, Any]], settings: OracleSettings, acting: str
) -> dict[str, Any]:
    """The output of `shim replay --json` for the lines of a capture after its header."""
    rec = read_record(events)
    judged = [_judge_connection(c, rec, settings, acting) for c in rec.connections.values()]
    verdicts = sorted((v for j in judged for v in j.verdicts), key=lambda v: v["at"])  # stable
    outcomes = {m: _outcomes(judged if m == acting else [], rec, settings) for m in MONITORS}
    words = ("matched", "mismatched", "expected", "inconclusive")
    return {
        "summary": {
            "connections": len(judged),
            "healthy": sum(j.healthy for j in judged),
            **{word: sum(v["verdict"] == word for v in verdicts) for word in words},
            "late": sum(j.late for j in judged),
            "after_close": sum(j.after_close for j in judged),
            "proof_of_life": sum(j.proof_of_life for j in judged),
        },
        "outcomes": outcomes,
        "verdicts": verdicts,
    }
