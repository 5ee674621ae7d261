"""Hypothesis strategies for captures that try to catch `shim replay` out.

A capture is built from a list of *moves*. A move says what happens, to which connection, and when,
the time being named by what the rules would do about it (`Anchor`): at the tick that would decide,
at the deadline, where the window ends, and one microsecond to either side. The builder turns every
list of moves into a valid capture, so nothing is filtered, and a failing example shrinks by losing
moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from .capture_record import SECOND
from .replay_oracle import ExpectedRule, OracleSettings

Event = dict[str, Any]


class Act(Enum):
    OPEN = "open"
    MESSAGE = "message"
    PONG = "pong"
    DATA = "data"
    CLOSE = "close"
    STALL = "stall"
    WAIT = "wait"  # nothing but time


class Anchor(Enum):
    """Instants worth hitting. Those that have passed already mean now."""

    NOW = "now"
    STEP = "so many microseconds from now"
    TICK = "the control's next tick"
    CANDIDATE = "the candidate's deadline"
    CONTROL = "the tick at which the control decides"
    CONTROL_IDLE = "idle for the control's timeout exactly"
    TOLERANCE = "a sign of life now gives a skew of exactly the tolerance"
    WINDOW_CANDIDATE = "the window that the candidate's decision opened ends"
    WINDOW_CONTROL = "the window that the control's decision opened ends"
    RETURN_CANDIDATE = "the return window after the candidate's decision ends"
    RETURN_CONTROL = "the return window after the control's decision ends"
    STALL_MIDDLE = "half way through what is left of the stall"
    STALL_END = "the end of the last stall"
    WINDOW_STALL = "the window opened at the end of the last stall ends"
    RETURN_STALL = "the return window after the end of the last stall ends"


@dataclass(frozen=True)
class When:
    """An anchor of some connection, and a nudge of -1, 0 or 1 microseconds."""

    anchor: Anchor = Anchor.NOW
    of: int = 0
    nudge: int = 0
    step: int = 0


@dataclass(frozen=True)
class Move:
    when: When
    act: Act
    who: int = 0  # which connection, or for OPEN which identity
    until: When = When()  # the end of a STALL; NOW: exactly the threshold
    cause: str | None = None  # of a CLOSE


@dataclass(frozen=True)
class Identity:
    user: str
    session: str
    kind: str
    package: str | None = None
    instance: str | None = None


IDENTITIES = (
    Identity("u1", "s1", "app", "com.example.app1"),
    Identity("u1", "s1", "glasses"),
    Identity("u1", "s1", "app", "com.example.app2"),
    Identity("u1", "s2", "app", "com.example.app1"),  # the first identity, in another session
    Identity("u2", "s3", "app", "com.example.app1"),
    Identity("u1", "s1", "app", "com.example.app1", "tab 2"),  # the first identity, in another tab
)


@dataclass
class _Connection:
    id: str
    seen: int  # the last sign of life, as stamped
    deadline: int  # of the candidate, moved by stalls
    closed: bool = False


@dataclass
class _Builder:
    settings: OracleSettings
    now: int = 0
    stall: tuple[int, int] | None = None
    connections: list[_Connection] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def resolve(self, when: When) -> int:
        """A time that is not before now."""
        return max(self.now, self._anchor(when) + when.nudge)

    def _anchor(self, when: When) -> int:
        s, stall_end = self.settings, self.stall[1] if self.stall else self.now
        match when.anchor:
            case Anchor.NOW:
                return self.now
            case Anchor.STEP:
                return self.now + when.step
            case Anchor.TICK:
                return self._tick_after(self.now)
            case Anchor.TOLERANCE:
                ahead = s.candidate_timeout + s.tolerance
                return self._tick_after(self.now + ahead) - ahead
            case Anchor.STALL_MIDDLE:
                return (self.now + stall_end) // 2
            case Anchor.STALL_END:
                return stall_end
            case Anchor.WINDOW_STALL:
                return stall_end + s.window
            case Anchor.RETURN_STALL:
                return stall_end + s.return_window
        if not self.connections:
            return self.now
        of = self.connections[when.of % len(self.connections)]
        control = self._tick_after(of.seen + s.control_timeout)
        return {
            Anchor.CANDIDATE: of.deadline,
            Anchor.CONTROL: control,
            Anchor.CONTROL_IDLE: of.seen + s.control_timeout,
            Anchor.WINDOW_CANDIDATE: of.deadline + s.window,
            Anchor.WINDOW_CONTROL: control + s.window,
            Anchor.RETURN_CANDIDATE: of.deadline + s.return_window,
            Anchor.RETURN_CONTROL: control + s.return_window,
        }[when.anchor]

    def _tick_after(self, time: int) -> int:
        interval = self.settings.control_interval
        return (time // interval + 1) * interval

    def make(self, move: Move) -> None:
        self.now = self.resolve(move.when)
        act = move.act
        if act is Act.WAIT:
            return
        if act is Act.STALL:
            self._stall(move.until)
            return
        there = [c for c in self.connections if not c.closed]
        if act is Act.OPEN or not there:
            self._open(IDENTITIES[move.who % len(IDENTITIES)])
            return
        connection = there[move.who % len(there)]
        self._add(act.value, connection=connection.id)
        if act is Act.CLOSE:
            connection.closed = True
            if move.cause:
                self.events[-1]["cause"] = move.cause
            return
        connection.deadline = self._stamped() + self.settings.candidate_timeout
        if act is not Act.DATA:
            connection.seen = self._stamped()

    def _add(self, event: str, **fields: Any) -> None:
        self.events.append({"t": seconds(self.now), "event": event, **fields})

    def _stamped(self) -> int:
        return self.stall[1] if self.stall and self.now <= self.stall[1] else self.now

    def _open(self, identity: Identity) -> None:
        name = f"c{len(self.connections) + 1}"
        at = self._stamped()
        self.connections.append(_Connection(name, at, at + self.settings.candidate_timeout))
        who = {k: v for k, v in vars(identity).items() if v is not None}
        self._add("open", connection=name, **who)

    def _stall(self, until: When) -> None:
        if self.stall:
            self.now = max(self.now, self.stall[1])  # stalls do not overlap
        if until.anchor is Anchor.NOW:
            end = self.now + self.settings.stall_threshold + until.nudge
        else:
            end = self.resolve(until)
        end = max(end, self.now + 1)
        length = end - self.now
        self._add("stall", duration=seconds(length))
        self.stall = (self.now, end)
        if length > self.settings.stall_threshold:
            for connection in self.connections:
                if connection.deadline >= self.now:
                    connection.deadline += length

    def end(self, when: When) -> list[Event]:
        self.now = self.resolve(when)
        self._add("end")
        return self.events


def seconds(micros: int) -> int | float:
    """As a capture has them: whole seconds without a fraction."""
    return micros // SECOND if micros % SECOND == 0 else micros / SECOND


def build(settings: OracleSettings, moves: Sequence[Move], end: When) -> list[Event]:
    builder = _Builder(settings)
    for move in moves:
        builder.make(move)
    return builder.end(end)


# ── strategies ───────────────────────────────────────────────────────────────────────────────────

_WHO = (0, 0, 0, 1, 1, 2, 3, 4, 5)
_NUDGES = (0, 0, 0, 1, -1)
_CAUSES = (None, "peer", "application", "control", "candidate")
_ACTS = (
    *[Act.OPEN] * 4,
    *[Act.MESSAGE] * 3,
    *[Act.PONG] * 2,
    *[Act.DATA] * 3,
    *[Act.CLOSE] * 2,
    *[Act.STALL] * 3,
    *[Act.WAIT] * 3,
)

# All combinations, the simplest first: to draw once what has several parts takes a fraction of the time, and
# the drawing is most of the time of the tests that use captures.
_places = st.sampled_from(
    [When(anchor, of, nudge) for anchor in Anchor for of in _WHO for nudge in _NUDGES]
)
_kinds = st.sampled_from([(act, who, cause) for act in _ACTS for who in _WHO for cause in _CAUSES])
_steps = st.one_of(
    st.integers(0, 20).map(lambda n: n * SECOND),
    st.sampled_from([n * SECOND for n in (30, 44, 45, 46, 60, 61, 120, 121, 200, 400)]),
    st.integers(0, 100 * SECOND),
)


@st.composite
def _one_when(draw: st.DrawFn) -> When:
    when = draw(_places)
    return replace(when, step=draw(_steps)) if when.anchor is Anchor.STEP else when


_whens = _one_when()


@st.composite
def _one_move(draw: st.DrawFn) -> Move:
    act, who, cause = draw(_kinds)
    until = draw(_whens) if act is Act.STALL else When()
    return Move(draw(_whens), act, who, until, cause)


_moves = _one_move()


def captures(settings: OracleSettings, max_moves: int = 25) -> st.SearchStrategy[list[Event]]:
    """Valid captures, without their header, full of coincidences under these settings."""
    few = st.lists(_moves, min_size=1, max_size=8)
    many = st.lists(_moves, min_size=min(10, max_moves), max_size=max_moves)
    moves = st.one_of(few, many)
    return st.builds(build, st.just(settings), moves, _whens)


def _durations(*seconds_: float) -> st.SearchStrategy[int]:
    """The first is the simplest."""
    return st.sampled_from([round(s * SECOND) for s in seconds_])


STARTED = date(2026, 6, 1)

_skews = st.sampled_from([-60, -16, -1, 0, 1, 15, 16, 60]).map(lambda s: s * SECOND)
_rules = st.builds(
    ExpectedRule,
    name=st.just("rule"),
    until=st.sampled_from([date(2999, 1, 1), STARTED, date(2026, 5, 31), date(2000, 1, 1)]),
    kind=st.sampled_from([None, None, "skewed", "only_control", "only_candidate"]),
    recovered=st.sampled_from([None, None, None, True, False]),
    connection_kind=st.sampled_from([None, None, None, "app", "glasses"]),
    skew=st.one_of(st.none(), st.none(), st.tuples(_skews, _skews).map(lambda p: (min(p), max(p)))),
    package=st.sampled_from(
        [None, None, None, "*", "com.example.*", "com.example.app[2-9]", "COM.*"]
    ),
)


@st.composite
def _expected(draw: st.DrawFn) -> tuple[ExpectedRule, ...]:
    rules = draw(st.lists(_rules, max_size=3))
    return tuple(ExpectedRule(**{**vars(r), "name": f"rule-{n}"}) for n, r in enumerate(rules))


SETTINGS: st.SearchStrategy[OracleSettings] = st.one_of(
    st.builds(OracleSettings, expected=_expected(), started=st.just(STARTED)),
    st.builds(
        OracleSettings,
        control_interval=_durations(15, 5, 7, 45, 60, 12.345678),
        control_timeout=_durations(45, 30, 60, 10, 120),
        candidate_timeout=_durations(45, 30, 60, 10, 120, 44.999999),
        stall_threshold=_durations(5, 1, 20, 60),
        tolerance=_durations(16, 1, 15, 60, 0.000001),
        window=_durations(60, 15, 1, 300, 45),
        return_window=_durations(120, 30, 1, 600, 60),
        expected=_expected(),
        started=st.just(STARTED),
    ),
)

ACTING: st.SearchStrategy[str] = st.sampled_from(["control", "candidate", "none"])


@dataclass(frozen=True)
class Case:
    """One replay: what `judge` takes."""

    events: list[Event]
    settings: OracleSettings
    acting: str


@st.composite
def cases(draw: st.DrawFn, max_moves: int = 25) -> Case:
    settings = draw(SETTINGS)
    return Case(draw(captures(settings, max_moves)), settings, draw(ACTING))
