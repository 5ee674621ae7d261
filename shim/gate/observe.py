"""From rows to observations: one per user, so that a user with many timeouts counts once (R16).

An outage that hits many users at once is one event, however many rows it leaves: what they say is not
independent, and an easy one (everything falls silent, both monitors see it) would drown the hard cases.
So a *crowd* is one observation: the share of successes among all its rows, which then count for none of
its users. A crowd is a minute with rows of at least 20 users and more than 5 % of all users seen by
then. That never looks at the successes, and never changes afterwards, so it cannot bend a test.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

from shim.gate.evidence import Shares
from shim.model import SECOND, Duration, Time

EPISODES = 5
"""R16: so many conclusive episodes of a user are looked at."""

CROWD_USERS = 20
CROWD_SHARE = 0.05

_MINUTE: Duration = 60 * SECOND
_CHUNK = 10_000
_AT = itemgetter(1)


@dataclass(frozen=True, slots=True)
class Observed:
    """`users` with a final observation, `unsettled` ones without, and how many `crowds` there were."""

    shares: Shares
    users: int
    unsettled: int
    crowds: int


@dataclass(slots=True)
class _User:
    first_at: Time = 0
    successes: int = 0
    trials: int = 0
    final: bool = False


class Observations:
    """Takes the rows of one sample in the order of their times; memory grows with the users alone.

    A user's observation is the share of successes among their first `limit` rows, final when there are
    so many or `unit` after the first: `EPISODES` and `gate.unit` for agreement, the first row alone for
    returns and proofs of life.
    """

    def __init__(self, limit: int = 1, unit: Duration = 0) -> None:
        self._limit = limit
        self._unit = unit
        self._shares: Counter[tuple[int, int]] = Counter()
        # All users seen; one seen in crowds alone has no trials.
        self._users: dict[str, _User] = {}
        self._unsettled: deque[_User] = deque()  # in the order of their first rows
        self._begun = 0
        self._final = 0
        self._crowds = 0
        self._minute = -1
        self._rows: list[tuple[str, Time, bool]] = []

    def extend(self, rows: Iterable[tuple[str, Time, bool]]) -> None:
        """Rows are `(user, at, success)`; `at` never decreases."""
        rows = iter(rows)
        while chunk := list(islice(rows, _CHUNK)):
            begin = 0
            while begin < len(chunk):
                minute = chunk[begin][1] // _MINUTE
                if minute != self._minute:
                    self._end_minute()
                    self._minute = minute
                end = bisect_left(chunk, (minute + 1) * _MINUTE, begin, key=_AT)
                self._rows += chunk[begin:end]
                begin = end

    def observed(self, now: Time) -> Observed:
        """What is final at `now`, not before the last row; rows of the running minute wait for its end."""
        minute_end = (self._minute + 1) * _MINUTE
        if now >= minute_end:
            self._end_minute()
            self._settle(now)
        else:
            self._settle(minute_end - _MINUTE)
        return Observed(Counter(self._shares), self._final, self._begun - self._final, self._crowds)

    def _end_minute(self) -> None:
        rows, self._rows = self._rows, []
        if len(rows) >= CROWD_USERS and self._is_crowd({user for user, _, _ in rows}):
            for user, _, _ in rows:
                self._users.setdefault(user, _User())
            self._crowds += 1
            self._shares[sum(success for _, _, success in rows), len(rows)] += 1
        else:
            waiting, users, unit = self._unsettled, self._users, self._unit
            for user, at, success in rows:
                if waiting and waiting[0].first_at + unit <= at:
                    self._settle(at)
                known = users.get(user)
                if known is None or not known.final:  # of most users no more is wanted
                    self._add(user, at, success)

    def _is_crowd(self, users: set[str]) -> bool:
        if len(users) < CROWD_USERS or len(users) <= CROWD_SHARE * len(self._users):
            return False
        seen = len(self._users) + sum(user not in self._users for user in users)
        return len(users) > CROWD_SHARE * seen

    def _add(self, name: str, at: Time, success: bool) -> None:
        user = self._users.get(name)
        if user is None:
            user = self._users[name] = _User()
        if not user.trials:
            user.first_at = at
            self._unsettled.append(user)
            self._begun += 1
        user.trials += 1
        user.successes += success
        if user.trials == self._limit:
            self._finish(user)

    def _settle(self, now: Time) -> None:
        """Time has passed: observations begun a unit ago are final."""
        waiting = self._unsettled
        while waiting and waiting[0].first_at + self._unit <= now:
            user = waiting.popleft()
            if not user.final:
                self._finish(user)

    def _finish(self, user: _User) -> None:
        user.final = True
        self._shares[user.successes, user.trials] += 1
        self._final += 1
