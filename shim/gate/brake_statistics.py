"""When everyone is taken back to `shadow` (R22): the brake's statistics, asked minute by minute.

false kills   within `brake.window` at least `brake.count`, in at least `brake.spread` different minutes,
              and significantly more than `brake.share` of the candidate's decisions;
              or, each day anew, the e-value of "the share of false kills is at most `brake.share`",
              for which the false kills of a minute are one
returns       in a UTC day, or in seven of them, the candidate's return rate is certainly below the
              control's: no margin, groups and crowds as the gate counts them

An outage or a cut of the network must not engage the brake: what happens in one minute, or in one event
of the guard, is one event. Times are microseconds.

Rules: docs/design.md#r6b, docs/design.md#r15, docs/design.md#r22.
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from math import exp, lgamma, log
from typing import NamedTuple, Protocol

from shim.gate.crowds import Connected
from shim.gate.evidence import NOTHING
from shim.gate.kind_gate import E_VALUE, wanted_e_value
from shim.gate.kind_record import read_groups
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import Question, QuestionTimes
from shim.gate.statistics import log_e_value, mean_share, observations
from shim.gate.stretches import Stretch, find_stretches
from shim.gate.tested_conditions import large_groups, refutes_returns
from shim.model import SECOND, Duration, Kind, Role, Time
from shim.model.time import DAY

CHANCE = 1e-5
"""The probability of as many false kills by chance below which the brake engages."""

LEAST_USERS = 2
"""So many users must have had a false kill before the day's e-value counts."""

_SMALLEST_SHARE = 1e-6
"""No e-value exists for a share of 0."""


class BrakeLimits(Protocol):
    """When the brake engages; the `brake` section of the settings is one."""

    @property
    def window(self) -> Duration: ...
    @property
    def count(self) -> int: ...
    @property
    def share(self) -> float: ...
    @property
    def spread(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FalseKills:
    """A reason to brake: so many of the candidate's decisions were wrong, within `within`."""

    kills: int
    decisions: int
    within: str

    def __str__(self) -> str:
        return (
            f"{self.kills} of the candidate's {self.decisions} decisions within {self.within} hit a "
            "live connection"
        )


@dataclass(frozen=True, slots=True)
class FewerReturns:
    """A reason to brake: clients do not come back from the candidate's closing as they used to."""

    kind: Kind
    control: float
    control_users: int
    candidate: float
    candidate_users: int
    within: str

    def __str__(self) -> str:
        return (
            f"{self.kind}, {self.within}: {self.candidate:.1%} of {self.candidate_users} users came back "
            f"after the candidate's closing, {self.control:.1%} of {self.control_users} after the control's"
        )


class FalseKill(NamedTuple):
    """The candidate decided on a connection of this user, which was alive.

    `event`: what the false kill belongs to where several count as one (R6b); None: it stands alone.
    """

    user: str
    at: Time
    event: Hashable = None


@dataclass(frozen=True, slots=True)
class BrakeRecord:
    """What the brake knew before a restart, in the order of time; times by the wall clock.

    Attributes:
        since: the begin of the trial, from which on returns are compared.
        kills_since: from when on false kills of this candidate are counted.
        connected: kind, run, from when to when, and how many users.
        returns: returns and losses by the ends of their windows, for each kind.
        decisions: user and time of each decision of the candidate on this UTC day and in `brake.window`.
        kills: the false kills among them.
    """

    since: Time
    kills_since: Time
    connected: tuple[tuple[Kind, int, Time, Time, int], ...] = ()
    returns: tuple[tuple[Kind, ObservedRow], ...] = ()
    decisions: tuple[tuple[str, Time], ...] = ()
    kills: tuple[FalseKill, ...] = ()


class FalseKillWatch:
    """Told of each decision of the candidate's and of each false kill; times never decrease.

    `grain` is the length of a minute. The e-value begins anew each UTC day; the day of `since` is the first.
    """

    def __init__(self, limits: BrakeLimits, grain: Duration, since: Time) -> None:
        self._limits = limits
        self._grain = grain
        self._first_day = since // DAY
        self._decisions: deque[Time] = deque()
        self._kills: deque[Time] = deque()
        self._events: set[Hashable] = set()
        self._minute_ends: Time = -1
        self._day = self._first_day
        self._today: dict[str, tuple[int, int]] = {}
        self._killed_today: set[str] = set()
        self._shares: Counter[tuple[int, int]] = Counter()

    def decided(self, user: str, now: Time) -> None:
        """The candidate decided on a connection of this user, acting or shadowing."""
        self._decisions.append(now)
        _forget(self._decisions, now - self._limits.window)
        self._count(user, now, decisions=1)

    def killed(self, user: str, now: Time, event: Hashable = None) -> FalseKills | None:
        """A decision of the candidate's was wrong (`FalseKill`): recovered, or a proof of life."""
        if event is not None:
            if event in self._events:
                return self.reason(now)
            self._events.add(event)
        self._kills.append(now)
        if now >= self._minute_ends:
            self._minute_ends = now + self._grain
            self._count(user, now, kills=1)
        else:
            # The same event, most likely: for the day it is neither a false kill nor a right decision.
            self._count(user, now, decisions=-1)
        return self.reason(now)

    def reason(self, now: Time) -> FalseKills | None:
        """Why the brake has to engage at `now`, if it has to."""
        return self._reason_of_window(now) or self._reason_of_day()

    def _reason_of_window(self, now: Time) -> FalseKills | None:
        limits = self._limits
        for times in (self._decisions, self._kills):
            _forget(times, now - limits.window)
        kills, decisions = len(self._kills), len(self._decisions)
        if kills < limits.count or self._minutes() < limits.spread:
            return None
        if poisson_tail(limits.share * decisions, kills) >= CHANCE:
            return None
        return FalseKills(kills, decisions, f"{limits.window / (60 * SECOND):g} min")

    def _minutes(self) -> int:
        """In how many different minutes, each begun by a false kill, the false kills lie."""
        minutes, ends = 0, -1
        for at in self._kills:
            if at >= ends:
                minutes, ends = minutes + 1, at + self._grain
        return minutes

    def _reason_of_day(self) -> FalseKills | None:
        if len(self._killed_today) < LEAST_USERS:
            return None
        if log_e_value(self._shares, max(self._limits.share, _SMALLEST_SHARE)) < log(
            wanted_e_value(self._day - self._first_day + 1)
        ):
            return None
        totals = self._today.values()
        return FalseKills(sum(k for k, _ in totals), sum(d for _, d in totals), "the day")

    def _count(self, user: str, now: Time, kills: int = 0, decisions: int = 0) -> None:
        if now // DAY != self._day:
            self._day = now // DAY
            self._today.clear()
            self._killed_today.clear()
            self._shares.clear()
        before = self._today.get(user, (0, 0))
        after = before[0] + kills, max(0, before[1] + decisions)
        self._today[user] = after
        if kills:
            self._killed_today.add(user)
        if before[1]:
            self._shares[_capped(before)] -= 1
        if after[1]:
            self._shares[_capped(after)] += 1


class ReturnWatch:
    """Compares the return rates of the two monitors' closings, stretch by stretch.

    One question a kind of connection; an arm is the group of users and the monitor that acted. Rows are
    known when their window is over, so that returns do not count before losses (R15).
    """

    def __init__(self, times: QuestionTimes, connected: Callable[[Kind], Connected]) -> None:
        self._times = times
        self._questions: dict[Kind, Question[Arm]] = {
            kind: Question(times, connected(kind), lambda arm: arm) for kind in Kind
        }

    def extend(self, kind: Kind, rows: Iterable[ObservedRow]) -> None:
        """Rows by the end of their windows; rows of overrides stay away."""
        self._questions[kind].extend(rows)

    def reason(self, now: Time) -> FewerReturns | None:
        """Why the brake has to engage at `now`; only whole minutes, with both arms together, count."""
        stretches = list(find_stretches(self._times.since, now))
        today = [stretch for stretch in stretches if stretch.days[-1] == now // DAY]
        for kind, question in self._questions.items():
            question.advance(now)
            for stretch in today:
                if found := _fewer(kind, question, stretch):
                    return found
        return None


def _fewer(kind: Kind, question: Question[Arm], stretch: Stretch) -> FewerReturns | None:
    groups = read_groups(question, lambda series: series.stretch(stretch.days))
    alpha = 1 / (E_VALUE * stretch.ordinal) / 2
    for arms in large_groups(groups).values():
        if refutes_returns(arms, alpha, 0.0):
            control, candidate = (arms.get(role, NOTHING).plain for role in Role)
            return FewerReturns(
                kind,
                control=mean_share(control) or 0.0,
                control_users=int(observations(control)),
                candidate=mean_share(candidate) or 0.0,
                candidate_users=int(observations(candidate)),
                within=stretch.name,
            )
    return None


def poisson_tail(mean: float, least: int) -> float:
    """P(Poisson(mean) >= least), to a relative error of about 1e-12."""
    if least <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if least <= mean:
        return 1 - sum(exp(n * log(mean) - mean - lgamma(n + 1)) for n in range(least))
    term = exp(least * log(mean) - mean - lgamma(least + 1))
    total, n = 0.0, least
    while term > total * 1e-13:
        total += term
        n += 1
        term *= mean / n
    return total


def _capped(share: tuple[int, int]) -> tuple[int, int]:
    """No more false kills than decisions: a proof of life may belong to yesterday's decision."""
    return min(share), share[1]


def _forget(times: deque[Time], before: Time) -> None:
    """Drop what lies before the window; its first instant is part of it."""
    while times and times[0] < before:
        times.popleft()
