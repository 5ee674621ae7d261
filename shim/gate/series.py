"""A series: what users showed over a trial, counted in one way (R16: docs/design.md#r16).

    first period     one observation a user: all rows of the trial's first `period`, final at its end
    later users      one observation a user: the first five rows in the `unit` after the first row
    a stretch        one observation a user: the first five rows in these UTC days, as they are now
    the recent days  one observation a user: the last five rows in these UTC days

A crowd is one observation wherever it falls. Times are microseconds since 1970.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np

from shim.gate.day_rows import (
    LENGTHS,
    NO_ROWS,
    ROWS_OF_A_USER,
    SUCCESSES,
    DayRows,
    Place,
    RowsByUser,
    RowsWindow,
    join,
)
from shim.gate.observed_rows import ObservedRows
from shim.gate.statistics import Share, Shares
from shim.gate.user_numbers import NEVER, Integers, Truths, UserValues
from shim.model import Duration, Time
from shim.model.time import DAY


class Series:
    """Takes rows in the order of their times; users are small numbers. `since` is the begin of the trial."""

    def __init__(self, since: Time, period: Duration, unit: Duration) -> None:
        self.first_ends = since + period
        self._unit = unit
        self._days: defaultdict[int, DayRows] = defaultdict(DayRows)
        self._crowds: defaultdict[int, Counter[Share]] = defaultdict(Counter)
        self._windows: dict[tuple[tuple[int, ...], Place], RowsWindow] = {}
        # The first period: each user's number of rows, and of successes.
        self._first = UserValues(0)
        self._first_successes = UserValues(0)
        self._first_crowds: Counter[Share] = Counter()
        self._first_is_open = True
        # Users who first occur later: since when, and the code of the rows in the unit from then on.
        self._later_since = UserValues(NEVER)
        self._later = UserValues(NO_ROWS, np.uint8)
        self._waiting = np.empty(0, np.int64)
        self._final: Counter[Share] = Counter()
        self._final_crowds: Counter[Share] = Counter()

    def copy(self) -> Self:
        """A series with the same rows, which may get others."""
        return deepcopy(self)

    def extend(self, rows: ObservedRows) -> None:
        while len(rows):
            at = int(rows.times[0])
            ends = (at // DAY + 1) * DAY
            if at < self.first_ends:
                ends = min(ends, self.first_ends)
            end = int(np.searchsorted(rows.times, ends))
            self._add(at // DAY, rows.part(0, end), first=at < self.first_ends)
            rows = rows.part(end)

    def _add(self, day: int, rows: ObservedRows, *, first: bool) -> None:
        by_user = RowsByUser(rows.users, rows.successes)
        for (days, _), window in self._windows.items():
            if day in days:
                window.add(by_user)
        self._days[day].add(by_user)
        if first:
            self._first[by_user.users] += by_user.numbers
            self._first_successes[by_user.users] += by_user.successes
        else:
            self._add_later(rows)

    def _add_later(self, rows: ObservedRows) -> None:
        """Only users who did not occur in the first period are observed."""
        rows = rows.where(self._first[rows.users] == 0)
        by_user = RowsByUser(rows.users, rows.successes)
        new = self._later_since[by_user.users] == NEVER
        self._later_since[by_user.users[new]] = rows.times[by_user.begins[new]]
        self._waiting = np.concatenate((self._waiting, by_user.users[new]))
        rows = rows.where(rows.times - self._later_since[rows.users] < self._unit)
        by_user = RowsByUser(rows.users, rows.successes)
        users = by_user.users
        self._later[users] = join("first", self._later[users], by_user.first)

    def add_crowd(self, at: Time, rows: ObservedRows) -> None:
        share = int(rows.successes.sum()), len(rows)
        self._crowds[at // DAY][share] += 1
        if at < self.first_ends:
            self._first_crowds[share] += 1
        else:
            self._final_crowds[share] += 1

    def _are_observed(self, rows: ObservedRows) -> Truths:
        """Which of these rows belong to their users' observations, as far as the rows before them tell."""
        users, times = rows.users, rows.times
        is_later: Truths = self._first[users] == 0
        is_later &= times - np.minimum(self._later_since[users], times) < self._unit
        is_later &= LENGTHS[self._later[users]] < ROWS_OF_A_USER
        return is_later | (times < self.first_ends)

    def settle(self, now: Time) -> None:
        """All rows up to `now` are here: observations whose time is over are final."""
        if self._first_is_open and now >= self.first_ends:
            self._first_is_open = False
            users = np.flatnonzero(self._first.values)
            successes, numbers = self._first_successes[users], self._first[users]
            self._conclude(users, successes, numbers, self.first_ends)
            self._final_crowds.update(self._first_crowds)
        if len(self._waiting):
            ends = self._later_since[self._waiting] + self._unit
            over = ends <= now
            users, self._waiting = self._waiting[over], self._waiting[~over]
            codes = self._later[users]
            self._conclude(users, SUCCESSES[codes], LENGTHS[codes], ends[over])

    def _conclude(self, users: Integers, successes: Integers, numbers: Integers, ends: Any) -> None:
        """The observations of users, each of so many rows; they are final from `ends` on."""
        pairs, counts = np.unique(successes << 32 | numbers, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            self._final[pair >> 32, pair & 0xFFFF_FFFF] += count

    @property
    def final(self) -> Shares:
        """The observations of users that are final."""
        return Counter(self._final)

    @property
    def final_crowds(self) -> Shares:
        """The observations of crowds, those of the first period once that is over."""
        return Counter(self._final_crowds)

    @property
    def users(self) -> int:
        """Users with a final observation."""
        return self._final.total()

    @property
    def later_users(self) -> int:
        """Users who first occurred after the first period."""
        return int(np.count_nonzero(self._later_since.values != NEVER))

    @property
    def unsettled(self) -> int:
        """Users whose observation is not final yet."""
        first = np.count_nonzero(self._first.values) if self._first_is_open else 0
        return len(self._waiting) + int(first)

    def stretch(self, days: Sequence[int]) -> Counter[Share]:
        """Each user's first five rows in these days, and the crowds that began in them."""
        return self._read(days, "first")

    def recent(self, days: Sequence[int]) -> Shares:
        """Each user's last five rows in these days, and the crowds that began in them."""
        return self._read(days, "last")

    def _read(self, days: Sequence[int], place: Place) -> Counter[Share]:
        shares = self._window(days, place).shares
        for day in days:
            shares.update(self._crowds.get(day, {}))
        return shares

    def _window(self, days: Sequence[int], place: Place) -> RowsWindow:
        key = tuple(days), place
        if key not in self._windows:
            self._windows[key] = RowsWindow([self._days[day] for day in days], place)
        return self._windows[key]

    def forget(self, today: int, first: int) -> None:
        """Only windows that contain `today`, and days from the `first` on, will be asked for any more."""
        self._windows = {key: w for key, w in self._windows.items() if today in key[0]}
        by_day: tuple[dict[int, Any], ...] = (self._days, self._crowds)
        for kept in by_day:
            for day in [known for known in kept if known < first]:
                del kept[day]
