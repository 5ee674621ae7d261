"""When everyone is taken back to `shadow` (R22): the brake's statistic, asked after each record.

false kills   within `brake.window` at least `brake.count`, and at least `brake.share` of the candidate's
              decisions in it
returns       the candidate's return rate is certainly below the control's: its upper confidence sequence
              below the control's lower one, for one kind of connection

One observation is a user's first outcome, so sequences must be begun anew now and then: a client that broke
today shows in today's first outcomes, not among those of a month. Two are kept, begun anew after a day and
after a week. Each new beginning is a new test; the k-th gets alpha / (k (k + 1)), which adds up to alpha,
so that all of them together, for ever, engage wrongly with a probability of at most 5 %.

Rules: docs/design.md#r15, docs/design.md#r22.
"""

from collections import Counter, deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from shim.gate.evidence import Shares
from shim.gate.statistics import certainly_lower, mean_share, observations
from shim.model import SECOND, Duration, Kind, Outcome, Return, Role, Time

ALPHA = 0.05
"""The probability of ever engaging wrongly on account of return rates."""

_DAY: Duration = 86_400 * SECOND
RENEWALS: tuple[Duration, ...] = (_DAY, 7 * _DAY)
"""How long sequences last before they are begun anew."""


class BrakeLimits(Protocol):
    """When the brake engages; the `brake` section of the settings is one."""

    @property
    def window(self) -> Duration: ...
    @property
    def count(self) -> int: ...
    @property
    def share(self) -> float: ...


@dataclass(frozen=True, slots=True)
class FalseKills:
    """A reason to brake: so many of the candidate's decisions within the window were wrong."""

    kills: int
    decisions: int

    def __str__(self) -> str:
        return f"{self.kills} of the candidate's {self.decisions} decisions hit a live connection"


@dataclass(frozen=True, slots=True)
class FewerReturns:
    """A reason to brake: clients do not come back from the candidate's closing as they used to."""

    kind: Kind
    control: float
    control_users: int
    candidate: float
    candidate_users: int

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.candidate:.1%} of {self.candidate_users} users came back after the "
            f"candidate's closing, {self.control:.1%} of {self.control_users} after the control's"
        )


class FalseKillWatch:
    """Counts within the window; times never decrease."""

    def __init__(self, limits: BrakeLimits) -> None:
        self._limits = limits
        self._decisions: deque[Time] = deque()
        self._kills: deque[Time] = deque()

    def decided(self, now: Time) -> None:
        """The candidate decided on a connection, acting or shadowing."""
        self._decisions.append(now)
        _forget(self._decisions, now - self._limits.window)

    def killed(self, now: Time) -> FalseKills | None:
        """A decision of the candidate's was wrong: `only_candidate`, recovered; or a proof of life."""
        self._kills.append(now)
        return self.reason(now)

    def reason(self, now: Time) -> FalseKills | None:
        for times in (self._decisions, self._kills):
            _forget(times, now - self._limits.window)
        kills, decisions = len(self._kills), len(self._decisions)
        if kills < self._limits.count or kills < self._limits.share * decisions:
            return None
        return FalseKills(kills, decisions)


class ReturnWatch:
    """Compares the return rates of users who got their stage by percentage (R15).

    A loss is known only when its `return_window` has passed, so returns wait as long: whoever closes
    many connections at once would else look good, or the other bad, until the losses are known.
    """

    def __init__(self, return_window: Duration, start: Time) -> None:
        self._return_window = return_window
        self._waiting: list[tuple[Time, int, Kind, Role, str, bool]] = []
        self._taken = 0
        alpha = ALPHA / (len(Kind) * len(RENEWALS))
        self._races = {kind: [_Race(length, alpha, start) for length in RENEWALS] for kind in Kind}

    def settled(self, outcome: Outcome, now: Time) -> FewerReturns | None:
        """An outcome is known; the answer is about all whose window is over at `now`."""
        if outcome.by_percentage and outcome.result in (Return.RETURNED, Return.LOST):
            self._taken += 1
            connection = outcome.connection
            row = (
                outcome.acted_at,
                self._taken,
                connection.kind,
                outcome.role,
                connection.user,
                outcome.result is Return.RETURNED,
            )
            heappush(self._waiting, row)
        return self.reason(now)

    def reason(self, now: Time) -> FewerReturns | None:
        """The first of the outcomes whose window is over that shows a difference."""
        while self._waiting and self._waiting[0][0] + self._return_window < now:
            acted_at, _, kind, role, user, returned = heappop(self._waiting)
            for race in self._races[kind]:
                race.add(acted_at, role, user, returned)
                if race.lost():
                    return race.reason(kind)
        return None


class _Race:
    """The two monitors' return rates since the last beginning."""

    def __init__(self, length: Duration, alpha: float, start: Time) -> None:
        self._length = length
        self._alpha = alpha
        self._start = start
        self._beginnings = 0
        self._begin(start)

    def _begin(self, now: Time) -> None:
        self._beginnings += 1
        self._start += (now - self._start) // self._length * self._length
        self._shares: dict[Role, Counter[tuple[int, int]]] = {role: Counter() for role in Role}
        self._users: dict[Role, set[str]] = {role: set() for role in Role}

    def add(self, at: Time, role: Role, user: str, returned: bool) -> None:
        if at >= self._start + self._length:
            self._begin(at)
        users = self._users[role]
        if user not in users:
            users.add(user)
            self._shares[role][int(returned), 1] += 1

    def lost(self) -> bool:
        """Two sequences, so each is wrong with half of this beginning's part of alpha at most."""
        part = self._alpha / (self._beginnings * (self._beginnings + 1)) / 2
        return certainly_lower(self._shares[Role.CANDIDATE], self._shares[Role.CONTROL], part)

    def reason(self, kind: Kind) -> FewerReturns:
        control, candidate = self._shares[Role.CONTROL], self._shares[Role.CANDIDATE]
        return FewerReturns(kind, *_rate(control), *_rate(candidate))


def _rate(shares: Shares) -> tuple[float, int]:
    return mean_share(shares) or 0.0, int(observations(shares))


def _forget(times: deque[Time], before: Time) -> None:
    """Drop what lies before the window; its first instant is part of it."""
    while times and times[0] < before:
        times.popleft()
