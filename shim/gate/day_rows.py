"""The rows of the users on one day, and a window of some days: each user's first or last five rows (R16).

A user is a number, and a row is a byte: 1 for a success, else 0. Almost all users have successes alone, and
of them only the number of rows is kept, at most five a day: more do not matter for a window. So the rows
of all users on a day are one number of many bytes, and the rows of seven days are a sum of seven numbers. The
order of rows is kept for users who had a failure on that day.

Rules: docs/design.md#r16.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from operator import not_
from typing import Literal, TypeAlias

ROWS_OF_A_USER = 5
"""So many rows of a user are one observation, of a stretch and of a user who occurs later."""

ROW = (b"\0", b"\1")
"""A failure and a success."""

Share: TypeAlias = tuple[int, int]
"""Successes and rows."""

Place: TypeAlias = Literal["first", "last"]

_SUCCESS = ROW[True]
_SUCCESSES = [_SUCCESS * number for number in range(ROWS_OF_A_USER + 1)]
_ONE_MORE = bytes(min(number + 1, ROWS_OF_A_USER) for number in range(256))
_CAP = bytes(min(number, ROWS_OF_A_USER) for number in range(256))


class DayRows:
    """Takes the rows of a day in the order of time."""

    def __init__(self) -> None:
        self._counts = bytearray()
        self._mixed: dict[int, bytes] = {}

    def add(self, users: Sequence[int], successes: Sequence[bool]) -> None:
        """The users of some rows, and whether each row is a success."""
        counts, mixed, one_more = self._counts, self._mixed, _ONE_MORE
        if (missing := max(users, default=-1) + 1 - len(counts)) > 0:
            counts += bytes(missing)
        for user in compress(users, map(not_, successes)):
            mixed.setdefault(user, _SUCCESSES[counts[user]])
        for user in users:
            counts[user] = one_more[counts[user]]
        if mixed:
            of_mixed = map(mixed.__contains__, users)
            for user, success in compress(zip(users, successes, strict=True), of_mixed):
                mixed[user] += ROW[success]

    def of(self, user: int) -> bytes:
        """The rows of a user; of many successes alone, as many as matter."""
        rows = self._mixed.get(user)
        if rows is not None:
            return rows
        return _SUCCESSES[self._counts[user]] if user < len(self._counts) else b""

    def copy(self) -> "DayRows":
        other = DayRows()
        other._counts, other._mixed = self._counts.copy(), self._mixed.copy()
        return other

    @staticmethod
    def count(days: Sequence["DayRows"], place: Place) -> Counter[Share]:
        """How many users have which rows among their first, or last, five of these days together."""
        total = b""
        for day in days:
            size = max(len(total), len(day._counts))
            both = int.from_bytes(total, "little") + int.from_bytes(day._counts, "little")
            total = both.to_bytes(size, "little").translate(_CAP)
        shares = Counter({(n, n): total.count(n) for n in range(1, ROWS_OF_A_USER + 1)})
        for user in set[int]().union(*(day._mixed for day in days)):
            shares[total[user], total[user]] -= 1
            shares[share_of(pick(b"".join([day.of(user) for day in days]), place))] += 1
        return shares


class RowsWindow:
    """Each user's first, or last, five rows in some days, kept up to date row by row."""

    def __init__(self, days: Sequence[DayRows], place: Place) -> None:
        self._days = days
        self._place: Place = place
        self._changed: dict[int, bytes] = {}
        self._shares = DayRows.count(days, place)

    def extend(self, users: Iterable[int], successes: Iterable[bool]) -> None:
        """To be told of later rows before the days are."""
        changed, shares, place = self._changed, self._shares, self._place
        for user, success in zip(users, successes, strict=True):
            before = changed.get(user)
            if before is None:
                before = pick(b"".join([day.of(user) for day in self._days]), place)
            after = changed[user] = pick(before + ROW[success], place)
            shares[share_of(before)] -= 1
            shares[share_of(after)] += 1

    @property
    def shares(self) -> Counter[Share]:
        return Counter({share: n for share, n in self._shares.items() if n > 0 and share[1]})


def pick(rows: bytes, place: Place) -> bytes:
    return rows[:ROWS_OF_A_USER] if place == "first" else rows[-ROWS_OF_A_USER:]


def share_of(rows: bytes) -> Share:
    return rows.count(_SUCCESS), len(rows)
