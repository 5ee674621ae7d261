"""A series: what users showed over a trial, counted in one way (R16).

    first period     one observation a user: all rows of the trial's first `period`, final at its end
    later users      one observation a user: the first five rows in the `unit` after the first row
    a stretch        one observation a user: the first five rows in these UTC days, as they are now
    the recent days  one observation a user: the last five rows in these UTC days

A crowd is one observation wherever it falls. Times are microseconds since 1970.

Rules: docs/design.md#r16.
"""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import compress
from operator import not_
from typing import TypeAlias

from shim.gate.day_rows import ROW, ROWS_OF_A_USER, DayRows, Place, RowsWindow, Share, share_of
from shim.gate.observed_rows import ObservedRows
from shim.model import SECOND, Duration, Time

Shares: TypeAlias = Mapping[Share, float]
"""Observations between 0 and 1: how many there are of each `(successes, trials)`, with trials >= 1.

`{(5, 5): 310, (4, 5): 2}`: 310 users with five of five, two with four of five. The tests of the gate do
not depend on the order, so nothing more has to be kept. (Counts are whole but where data is projected.)
"""

DAY: Duration = 86_400 * SECOND


class Series:
    """Takes rows in the order of their times; users are small numbers. `since` is the begin of the trial."""

    def __init__(self, since: Time, period: Duration, unit: Duration) -> None:
        self.first_ends = since + period
        self._unit = unit
        self._days: defaultdict[int, DayRows] = defaultdict(DayRows)
        self._crowds: defaultdict[int, Counter[Share]] = defaultdict(Counter)
        self._windows: dict[tuple[tuple[int, ...], Place], RowsWindow] = {}
        # The first period: each user's number of rows, and of failures.
        self._first = array("L")
        self._first_failures: Counter[int] = Counter()
        self._first_crowds: Counter[Share] = Counter()
        self._first_is_open = True
        self._later: dict[int, tuple[Time, bytes]] = {}
        self._waiting: deque[tuple[Time, int]] = deque()
        self._final: Counter[Share] = Counter()
        self._final_crowds: Counter[Share] = Counter()

    def copy(self) -> "Series":
        """A series with the same rows, which may get others."""
        other = type(self)(0, self.first_ends, self._unit)
        other._days.update((day, rows.copy()) for day, rows in self._days.items())
        other._crowds.update((day, crowds.copy()) for day, crowds in self._crowds.items())
        other._first = self._first[:]
        other._first_failures = self._first_failures.copy()
        other._first_crowds = self._first_crowds.copy()
        other._first_is_open = self._first_is_open
        other._later = self._later.copy()
        other._waiting = self._waiting.copy()
        other._final = self._final.copy()
        other._final_crowds = self._final_crowds.copy()
        return other

    def extend(self, rows: ObservedRows[int]) -> None:
        begin = 0
        while begin < len(rows):
            at = rows.times[begin]
            ends = (at // DAY + 1) * DAY
            if at < self.first_ends:
                ends = min(ends, self.first_ends)
            end = bisect_left(rows.times, ends, begin)
            self._add(at // DAY, rows.part(begin, end), first=at < self.first_ends)
            begin = end

    def _add(self, day: int, rows: ObservedRows[int], *, first: bool) -> None:
        users, successes = rows.users, rows.successes
        for (days, _), window in self._windows.items():
            if day in days:
                window.extend(users, successes)
        self._days[day].add(users, successes)
        if first:
            numbers = self._first
            numbers.extend([0] * (max(users) + 1 - len(numbers)))
            for user in users:
                numbers[user] += 1
            self._first_failures.update(compress(users, map(not_, successes)))
        else:
            known, numbers = len(self._first), self._first
            for user, at, success in zip(users, rows.times, successes, strict=True):
                # Only users who did not occur in the first period are observed.
                if (user >= known or not numbers[user]) and self._is_open(user, at):
                    self._add_later(user, at, success)

    def add_crowd(self, at: Time, rows: ObservedRows[int]) -> None:
        share = sum(rows.successes), len(rows)
        self._crowds[at // DAY][share] += 1
        if at < self.first_ends:
            self._first_crowds[share] += 1
        else:
            self._final_crowds[share] += 1

    def _is_observed(self, user: int, at: Time) -> bool:
        """Whether a row of this user then belongs to the user's observation."""
        if at < self.first_ends:
            return True
        occurred = user < len(self._first) and self._first[user] > 0
        return not occurred and self._is_open(user, at)

    def _is_open(self, user: int, at: Time) -> bool:
        """Whether the observation of a user who first occurred after the first period goes on then."""
        first_at, rows = self._later.get(user, (at, b""))
        return at - first_at < self._unit and len(rows) < ROWS_OF_A_USER

    def _add_later(self, user: int, at: Time, success: bool) -> None:
        """A row of such an observation."""
        if user not in self._later:
            self._later[user] = at, b""
            self._waiting.append((at, user))
        first_at, rows = self._later[user]
        self._later[user] = first_at, rows + ROW[success]

    def settle(self, now: Time) -> None:
        """All rows up to `now` are here: observations whose time is over are final."""
        if self._first_is_open and now >= self.first_ends:
            self._first_is_open = False
            self._settle_first()
        while self._waiting and self._waiting[0][0] + self._unit <= now:
            _, user = self._waiting.popleft()
            first_at, rows = self._later[user]
            self._conclude(user, share_of(rows), first_at + self._unit)
            self._later[user] = first_at, b""

    def _settle_first(self) -> None:
        for number, users in Counter(self._first).items():
            if number:
                self._final[number, number] += users
        for user, failures in self._first_failures.items():
            number = self._first[user]
            self._final[number, number] -= 1
            self._conclude(user, (number - failures, number), self.first_ends)
        self._final = +self._final
        self._first_failures.clear()
        self._final_crowds.update(self._first_crowds)
        self._first_crowds.clear()

    def _conclude(self, user: int, share: Share, ends: Time) -> None:
        """The observation of a user, which is final from `ends` on."""
        self._final[share] += 1

    @property
    def final(self) -> Shares:
        """The observations of users that are final."""
        return Counter(self._final)

    @property
    def final_crowds(self) -> Shares:
        """The observations of crowds, those of the first period once that is over."""
        return Counter(self._final_crowds)

    @property
    def later_users(self) -> int:
        """Users who first occurred after the first period."""
        return len(self._later)

    @property
    def unsettled(self) -> int:
        """Users whose observation is not final yet."""
        first = len(self._first) - self._first.count(0) if self._first_is_open else 0
        return len(self._waiting) + first

    def stretch(self, days: Sequence[int]) -> Counter[Share]:
        """Each user's first five rows in these days, and the crowds that began in them."""
        return self._read(days, "first")

    def recent(self, days: Sequence[int]) -> Shares:
        """Each user's last five rows in these days, and the crowds that began in them."""
        return self._read(days, "last")

    def _read(self, days: Sequence[int], place: Place) -> Counter[Share]:
        key = tuple(days), place
        window = self._windows.get(key)
        if window is None:
            known = [self._days[day] for day in days if day in self._days]
            window = self._windows[key] = RowsWindow(known, place)
        shares = window.shares
        for day in days:
            shares.update(self._crowds.get(day, {}))
        return shares

    def forget(self, today: int, kept: int) -> None:
        """Only windows that contain `today`, and the last `kept` days, will be asked for any more."""
        self._windows = {key: w for key, w in self._windows.items() if today in key[0]}
        for day in [known for known in self._days if known <= today - kept]:
            del self._days[day]
            self._crowds.pop(day, None)
