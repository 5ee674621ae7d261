"""The rows of users on one day, and in a window of some days: each user's first or last five rows (R16).

More than five rows do not matter for a window. Up to five are one small number, their *code*: a bit for each
row, 1 for a success, behind a 1 that says where they begin. So 1 is no row, 10 in binary a failure, 111 two
successes. The codes of two days make the code of both by a look into a table.

Rules: docs/design.md#r16.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shim.gate.statistics import Share
from shim.gate.user_numbers import Integers, Truths, UserValues

ROWS_OF_A_USER = 5
"""So many rows of a user are one observation, of a stretch and of a user who occurs later."""

Place: TypeAlias = Literal["first", "last"]

Codes: TypeAlias = NDArray[np.uint8]

NO_ROWS = 1
"""The code of a user without any."""

_NUMBER = 2 << ROWS_OF_A_USER
"""So many codes there are; 0 is none, and stands for no rows, too."""


def _rows(code: int) -> str:
    return f"{code:b}"[1:]


def _join(place: slice) -> Codes:
    """Of each two codes, one after the other."""
    rows = [_rows(code) for code in range(_NUMBER)]
    joined = ("1" + (earlier + later)[place] for earlier in rows for later in rows)
    return np.array([int(code, 2) for code in joined], np.uint8)


_JOINED: dict[Place, Codes] = {
    "first": _join(slice(ROWS_OF_A_USER)),
    "last": _join(slice(-ROWS_OF_A_USER, None)),
}


def join(place: Place, earlier: Codes, later: Codes) -> Codes:
    """The codes of the first, or the last, five of some earlier and some later rows of each user."""
    return _JOINED[place].take(earlier.astype(np.intp) * _NUMBER + later)


_SHARES: list[Share] = [(_rows(code).count("1"), len(_rows(code))) for code in range(_NUMBER)]

SUCCESSES, LENGTHS = np.array(_SHARES).T
"""By the code: how many successes, and how many rows, there are."""


class RowsByUser:
    """Some rows in the order of time, user by user.

    Attributes:
        users: each user once, in the order of their numbers; the other columns have a value for each.
        begins: the place of the user's first row among the rows.
        numbers, successes: how many rows the user has, and how many successes are among them.
        first, last: the codes of the first and of the last five rows.
    """

    def __init__(self, users: Integers, successes: Truths) -> None:
        # Faster than to sort by user alone, and rows of a user stay in their order.
        ordered = np.sort(users << 32 | np.arange(len(users)))
        of, order = ordered >> 32, ordered & 0xFFFF_FFFF
        starts = np.flatnonzero(np.concatenate((of[:1] >= 0, of[1:] != of[:-1])))
        ends = np.append(starts, len(of))[1:]
        came = successes[order].astype(np.uint8)
        before = np.append(0, np.cumsum(came, dtype=np.int64))
        self.users = of[starts]
        self.begins = order[starts]
        self.numbers = ends - starts
        self.successes = before[ends] - before[starts]
        self.first = np.full(len(starts), NO_ROWS, np.uint8)
        for place in range(min(ROWS_OF_A_USER, self.numbers.max(initial=0))):
            having = np.flatnonzero(self.numbers > place)
            self.first[having] = self.first[having] << 1 | came[starts[having] + place]
        self.last = self.first.copy()
        many = np.flatnonzero(self.numbers > ROWS_OF_A_USER)
        self.last[many] = NO_ROWS
        for place in range(-ROWS_OF_A_USER, 0):
            self.last[many] = self.last[many] << 1 | came[ends[many] + place]

    def codes(self, place: Place) -> Codes:
        return self.first if place == "first" else self.last


class _UserCodes(UserValues):
    """The code of each user's first, or last, five rows."""

    def __init__(self, place: Place) -> None:
        super().__init__(NO_ROWS, np.uint8)
        self.place: Place = place

    def add(self, rows: RowsByUser) -> None:
        """To be told of rows in the order of time."""
        self[rows.users] = join(self.place, self[rows.users], rows.codes(self.place))


class DayRows:
    """Takes the rows of a day in the order of time."""

    def __init__(self) -> None:
        self._codes = {place: _UserCodes(place) for place in _JOINED}

    def add(self, rows: RowsByUser) -> None:
        for codes in self._codes.values():
            codes.add(rows)

    def codes(self, place: Place) -> Codes:
        return self._codes[place].values


class RowsWindow(_UserCodes):
    """Each user's first, or last, five rows in some days, which are in the order of time."""

    def __init__(self, days: Sequence[DayRows], place: Place) -> None:
        super().__init__(place)
        parts = [day.codes(place) for day in days]
        self.values = np.full(max(map(len, parts), default=0), NO_ROWS, np.uint8)
        for part in parts:
            both = self.values[: len(part)]
            both[:] = join(place, both, part)
        self._counts = np.bincount(self.values, minlength=_NUMBER)

    def add(self, rows: RowsByUser) -> None:
        self._counts -= np.bincount(self[rows.users], minlength=_NUMBER)
        super().add(rows)
        self._counts += np.bincount(self[rows.users], minlength=_NUMBER)

    @property
    def shares(self) -> Counter[Share]:
        return count_shares(self._counts)


def count_shares(counts: Integers) -> Counter[Share]:
    """How often each share occurs, of how often each code does."""
    shares: Counter[Share] = Counter()
    for code, number in enumerate(counts.tolist()):
        if number and code > NO_ROWS:
            shares[_SHARES[code]] += number
    return shares
