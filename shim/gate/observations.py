"""From rows to observations: one per user, so that a user with many timeouts counts once (R16).

An outage that hits many users at once is one event, however many rows it leaves: what they say is not
independent, and an easy one (everything falls silent, both monitors see it) would drown the hard cases.
So a *crowd* is one observation: the share of successes among all its rows, which then count for none of
its users. A crowd is a minute with rows of at least 20 users and more than 5 % of all users seen by
then. That never looks at the successes, and never changes afterwards, so it cannot bend a test.

Rules: docs/design.md#r16.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from shim.gate.evidence import Shares
from shim.model import SECOND, Duration, Time

EPISODES = 5
"""R16: so many conclusive episodes of a user are looked at."""

CROWD_USERS = 20
CROWD_SHARE = 0.05

_MINUTE: Duration = 60 * SECOND
_DAY: Duration = 24 * 60 * _MINUTE
_NAME, _AT, _SUCCESS = itemgetter(0), itemgetter(1), itemgetter(2)


@dataclass(frozen=True, slots=True)
class Observed:
    """`users` with a final observation, `unsettled` ones without, and how many `crowds` there were.

    `rows`, `successes` and `days` (those in UTC that have rows) are plain counts of all that was seen.
    """

    shares: Shares
    users: int
    unsettled: int
    crowds: int
    rows: int
    successes: int
    days: int


@dataclass(slots=True)
class _User:
    """A user whose observation has begun and may not be final."""

    first_at: Time
    successes: int
    trials: int = 1
    final: bool = False


_FINAL = _User(0, 0, final=True)
"""Stands for all users of whom no more is wanted, which most are."""

_ONLY_IN_CROWDS = _User(0, 0, trials=0)
"""Stands for all users who were seen, but have no observation of their own."""


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
        # All users seen.
        self._users: dict[str, _User] = {}
        self._unsettled: deque[_User] = deque()  # in the order of their first rows
        self._begun = 0
        self._final = 0
        self._crowds = 0
        self._seen = 0
        self._successes = 0
        self._days: set[int] = set()
        self._minute = -1
        self._rows: list[tuple[str, Time, bool]] = []

    def extend(self, rows: Sequence[tuple[str, Time, bool]]) -> None:
        """Rows are `(user, at, success)`; `at` never decreases, from call to call neither."""
        self._seen += len(rows)
        self._successes += sum(map(_SUCCESS, rows))
        self._count_days(rows)
        begin = 0
        while begin < len(rows):
            minute = rows[begin][1] // _MINUTE
            if minute != self._minute:
                self._end_minute()
                end = self._end_of_calm(rows, begin)
                if end > begin:
                    self._count(rows[begin:end])
                    begin = end
                    continue
                self._minute = minute
            end = bisect_left(rows, (minute + 1) * _MINUTE, begin, key=_AT)
            self._rows += rows[begin:end]
            begin = end

    def _count_days(self, rows: Sequence[tuple[str, Time, bool]]) -> None:
        ends = {row[1] // _DAY for row in (*rows[:1], *rows[-1:])}
        self._days |= ends if len(ends) < 2 else {at // _DAY for _, at, _ in rows}

    def _end_of_calm(self, rows: Sequence[tuple[str, Time, bool]], begin: int) -> int:
        """Up to where whole minutes have too few rows, even together, for one to be a crowd."""
        most = max(CROWD_USERS - 1, int(CROWD_SHARE * len(self._users)))
        last = min(begin + most, len(rows)) - 1
        return bisect_left(rows, rows[last][1] // _MINUTE * _MINUTE, begin, last, key=_AT)

    def observed(self, now: Time) -> Observed:
        """What is final at `now`, not before the last row; rows of the running minute wait for its end."""
        minute_end = (self._minute + 1) * _MINUTE
        if now >= minute_end:
            self._end_minute()
            self._settle(now)
        else:
            self._settle(minute_end - _MINUTE)
        return Observed(
            Counter(self._shares),
            self._final,
            self._begun - self._final,
            self._crowds,
            self._seen,
            self._successes,
            len(self._days),
        )

    def _end_minute(self) -> None:
        rows, self._rows = self._rows, []
        if not self._is_crowd(rows):
            self._count(rows)
            return
        for name, _, _ in rows:
            self._users.setdefault(name, _ONLY_IN_CROWDS)
        self._crowds += 1
        self._shares[sum(map(_SUCCESS, rows)), len(rows)] += 1

    def _count(self, rows: Sequence[tuple[str, Time, bool]]) -> None:
        """Rows that belong to no crowd."""
        users, unit, limit = self._users, self._unit, self._limit
        # Not before its turn: a user may come twice.
        known = map(users.get, map(_NAME, rows))
        for row, user in zip(rows, known, strict=True):
            if user is _FINAL:
                continue
            name, at, success = row
            if user is None or user is _ONLY_IN_CROWDS:
                self._begin(name, at, success)
                continue
            if not user.final and at - user.first_at < unit:
                user.trials += 1
                user.successes += success
                if user.trials < limit:
                    continue
            if not user.final:
                self._finish(user)
            users[name] = _FINAL

    def _is_crowd(self, rows: list[tuple[str, Time, bool]]) -> bool:
        if len(rows) < CROWD_USERS or len(rows) <= CROWD_SHARE * len(self._users):
            return False
        users = {user for user, _, _ in rows}
        if len(users) < CROWD_USERS:
            return False
        seen = len(self._users) + sum(user not in self._users for user in users)
        return len(users) > CROWD_SHARE * seen

    def _begin(self, name: str, at: Time, success: bool) -> None:
        self._begun += 1
        if self._limit == 1:
            self._conclude(int(success), 1)
            self._users[name] = _FINAL
        else:
            self._users[name] = user = _User(at, int(success))
            self._unsettled.append(user)

    def _settle(self, now: Time) -> None:
        """Time has passed: observations begun a unit ago are final."""
        waiting = self._unsettled
        while waiting and waiting[0].first_at + self._unit <= now:
            user = waiting.popleft()
            if not user.final:
                self._finish(user)

    def _finish(self, user: _User) -> None:
        user.final = True
        self._conclude(user.successes, user.trials)

    def _conclude(self, successes: int, trials: int) -> None:
        self._shares[successes, trials] += 1
        self._final += 1
