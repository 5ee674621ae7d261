"""A series: what users showed over a trial, counted in one way (R16).

    first period     one observation a user: all rows of the trial's first `period`, final at its end
    later users      one observation a user: the first five rows in the `unit` after the first row
    a stretch        one observation a user: the first five rows in these UTC days, as they are now
    the recent days  one observation a user: the last five rows in these UTC days

A crowd is one observation wherever it falls. Times are microseconds since 1970.

Rules: docs/design.md#r16.
"""

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Self, TypeAlias

from shim.gate.crowds import ObservedRow
from shim.model import SECOND, Duration, Time

Shares: TypeAlias = Mapping[tuple[int, int], float]
"""Observations between 0 and 1: how many there are of each `(successes, trials)`, with trials >= 1.

`{(5, 5): 310, (4, 5): 2}`: 310 users with five of five, two with four of five. The tests of the gate do
not depend on the order, so nothing more has to be kept. (Counts are whole but where data is projected.)
"""

ROWS_OF_A_USER = 5
"""So many rows of a user are one observation, of a stretch and of a user who occurs later."""

DAY: Duration = 86_400 * SECOND

Rows: TypeAlias = dict[str, bytes]
"""The rows of each user in the order of time, a byte a row: 1 for a success, else 0."""

_USER = itemgetter(0)
_AT = itemgetter(1)
_BIT = (b"\0", b"\1")
_SUCCESS = b"\1"


class _Window:
    """Each user's first, or last, five rows in some days, kept up to date row by row."""

    def __init__(self, parts: Sequence[Rows], last: bool) -> None:
        self._last = last
        self._rows = _join(parts, last)
        self._patterns: Counter[bytes] = Counter()
        # Different rows are few, so most of the counting is the dictionary's.
        for rows, count in Counter(self._rows.values()).items():
            self._patterns[self._pick(rows)] += count

    def _pick(self, rows: bytes) -> bytes:
        return rows[-ROWS_OF_A_USER:] if self._last else rows[:ROWS_OF_A_USER]

    def extend(self, rows: Iterable[ObservedRow]) -> None:
        known, patterns, pick = self._rows, self._patterns, self._pick
        for user, _, success, *_ in rows:
            before = known.get(user)
            if before is None:
                known[user] = after = _BIT[success]
            else:
                patterns[pick(before)] -= 1
                known[user] = after = pick(before + _BIT[success])
            patterns[pick(after)] += 1

    @property
    def shares(self) -> Counter[tuple[int, int]]:
        return _count(self._patterns)


class Series:
    """Takes rows in the order of their times. `since` is the begin of the trial."""

    def __init__(self, since: Time, period: Duration, unit: Duration) -> None:
        self.first_ends = since + period
        self._unit = unit
        # The rows of each day; the day in which the first period ends has two parts.
        self._days: dict[int, list[Rows]] = {}
        self._crowds: defaultdict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
        self._windows: dict[tuple[tuple[int, ...], bool], _Window] = {}
        self._first: list[Rows] = []
        self._first_crowds: Counter[tuple[int, int]] = Counter()
        self._first_users: set[str] = set()
        self._later: dict[str, tuple[Time, bytes]] = {}
        self._waiting: deque[tuple[Time, str]] = deque()
        self._final: Counter[tuple[int, int]] = Counter()
        self._final_crowds: Counter[tuple[int, int]] = Counter()

    def copy(self) -> Self:
        """An independent series with the same rows."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        copies = {id(part): part.copy() for parts in self._days.values() for part in parts}
        other._days = {day: [copies[id(p)] for p in parts] for day, parts in self._days.items()}
        other._first = [copies.get(id(part)) or part.copy() for part in self._first]
        other._crowds = defaultdict(Counter, {d: Counter(c) for d, c in self._crowds.items()})
        other._windows = {}
        for name in (
            "_first_crowds",
            "_first_users",
            "_later",
            "_waiting",
            "_final",
            "_final_crowds",
        ):
            setattr(other, name, getattr(self, name).copy())
        return other

    def extend(self, rows: Sequence[ObservedRow]) -> None:
        split = bisect_left(rows, self.first_ends, key=_AT)
        self._add(rows[:split], first=True)
        self._add(rows[split:], first=False)
        for row in rows[split:]:
            self._add_later(row)

    def _add(self, rows: Sequence[ObservedRow], *, first: bool) -> None:
        begin = 0
        while begin < len(rows):
            day = rows[begin].at // DAY
            end = bisect_left(rows, (day + 1) * DAY, begin, key=_AT)
            part = rows[begin:end]
            _append(self._part(day, first), part)
            if first:
                self._first_users.update(map(_USER, part))
            for (days, _), window in self._windows.items():
                if day in days:
                    window.extend(part)
            begin = end

    def _part(self, day: int, first: bool) -> Rows:
        """Where the rows of a day go, within the first period or after it."""
        parts = self._days.setdefault(day, [])
        if first and not parts:
            parts.append({})
            self._first.append(parts[0])
        elif not first and (not parts or parts[-1] is (self._first[-1] if self._first else None)):
            parts.append({})
        return parts[-1]

    def add_crowd(self, at: Time, rows: Sequence[ObservedRow]) -> None:
        share = sum(row.success for row in rows), len(rows)
        self._crowds[at // DAY][share] += 1
        if at < self.first_ends:
            self._first_crowds[share] += 1
        else:
            self._final_crowds[share] += 1

    def _add_later(self, row: ObservedRow) -> None:
        """A row after the first period: only users who did not occur in it are observed."""
        user, at = row.user, row.at
        if user in self._first_users:
            return
        known = self._later.get(user)
        if known is None:
            self._later[user] = at, _BIT[row.success]
            self._waiting.append((at, user))
        elif at - known[0] < self._unit and len(known[1]) < ROWS_OF_A_USER:
            self._later[user] = known[0], known[1] + _BIT[row.success]

    def settle(self, now: Time) -> None:
        """All rows up to `now` are here: observations whose time is over are final."""
        if self._first and now >= self.first_ends:
            self._final.update(_count(Counter(_join_all(self._first).values())))
            self._first = []
        if self._first_crowds and now >= self.first_ends:
            self._final_crowds.update(self._first_crowds)
            self._first_crowds = Counter()
        while self._waiting and self._waiting[0][0] + self._unit <= now:
            _, user = self._waiting.popleft()
            first_at, rows = self._later[user]
            self._final[_share(rows)] += 1
            self._later[user] = first_at, b""

    @property
    def final(self) -> Shares:
        """The observations of users that are final."""
        return Counter(self._final)

    @property
    def final_crowds(self) -> Shares:
        """The observations of crowds, those of the first period once that is over."""
        return Counter(self._final_crowds)

    @property
    def unsettled(self) -> int:
        """Users whose observation is not final yet."""
        return len(self._waiting) + (len(self._first_users) if self._first else 0)

    def stretch(self, days: Sequence[int]) -> Shares:
        """Each user's first five rows in these days, and the crowds that began in them."""
        return self._read(days, last=False)

    def recent(self, days: Sequence[int]) -> Shares:
        """Each user's last five rows in these days, and the crowds that began in them."""
        return self._read(days, last=True)

    def _read(self, days: Sequence[int], *, last: bool) -> Shares:
        key = tuple(days), last
        window = self._windows.get(key)
        if window is None:
            parts = [part for day in days for part in self._days.get(day, ())]
            window = self._windows[key] = _Window(parts, last)
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


def _append(users: Rows, rows: Iterable[ObservedRow]) -> None:
    get = users.get
    for user, _, success, *_ in rows:
        users[user] = get(user, b"") + _BIT[success]


def _join(parts: Sequence[Rows], last: bool) -> Rows:
    """Each user's rows in all parts together, as far as they may be among the first, or last, five."""
    first, *others = (reversed(parts) if last else parts) if parts else ({},)
    joined: Rows = dict(first)
    get = joined.get
    for part in others:
        for user, rows in part.items():
            found = get(user)
            if found is None:
                joined[user] = rows
            elif len(found) < ROWS_OF_A_USER:
                joined[user] = rows + found if last else found + rows
    return joined


def _join_all(parts: Sequence[Rows]) -> Rows:
    joined: Rows = {}
    get = joined.get
    for part in parts:
        for user, rows in part.items():
            joined[user] = get(user, b"") + rows
    return joined


def _count(patterns: Counter[bytes]) -> Counter[tuple[int, int]]:
    shares: Counter[tuple[int, int]] = Counter()
    for rows, count in patterns.items():
        if count:
            shares[_share(rows)] += count
    return shares


def _share(rows: bytes) -> tuple[int, int]:
    return rows.count(_SUCCESS), len(rows)
