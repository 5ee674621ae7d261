"""How many users were connected, minute by minute: what a crowd is measured by (R16: docs/design.md#r16).

A minute (`grain`) has the users of the rows that contain its begin. So what is known of a minute does not
change when later rows come, and an answer does not depend on when somebody asked.
"""

from collections import defaultdict

import numpy as np

from shim.gate.user_numbers import Integers
from shim.model import Duration, Time

_LOOK_AROUND = (0, -1, -2, -3, -4, -5, 1)
"""Which minutes are looked at, in this order: a process has no row for the minute in which it began."""


class ConnectedUsers:
    """Takes what each process watched; asked for any time, of one run or of the whole fleet."""

    def __init__(self, grain: Duration) -> None:
        self._grain = grain
        # By minutes: of each run, and under None of the fleet.
        self._users: defaultdict[int | None, dict[int, int]] = defaultdict(dict)

    def extend(self, runs: Integers, since: Integers, until: Integers, users: Integers) -> None:
        """The same as `add` for many rows at once."""
        rows, minutes = spread(-(-since // self._grain), (until - 1) // self._grain)
        columns = runs[rows].tolist(), minutes.tolist(), users[rows].tolist()
        for run, minute, number in zip(*columns, strict=True):
            self._take(run, minute, number)

    def add(self, run: int, since: Time, until: Time, users: int) -> None:
        """In this run so many users were connected from `since` to `until`; nothing changes if added twice."""
        for minute in range(-(-since // self._grain), (until - 1) // self._grain + 1):
            self._take(run, minute, users)

    def _take(self, run: int, minute: int, users: int) -> None:
        of_run, of_fleet = self._users[run], self._users[None]
        before = of_run.get(minute, 0)
        if users > before:
            of_run[minute] = users
            of_fleet[minute] = of_fleet.get(minute, 0) + users - before

    def __call__(self, times: Integers, run: int | None) -> Integers:
        """The users connected at each of these times; 0 if no minute near it was counted."""
        users_at, minutes = self._users.get(run, {}), times // self._grain
        users = np.zeros(len(minutes), np.int64)
        for distance in _LOOK_AROUND:
            unknown = np.flatnonzero(users == 0)
            near = (minutes[unknown] + distance).tolist()
            users[unknown] = [users_at.get(minute, 0) for minute in near]
        return users


def spread(first: Integers, last: Integers) -> tuple[Integers, Integers]:
    """The minutes from the first to the last one of each row: the row's place, and the minute's number."""
    lengths = np.maximum(last - first + 1, 0)
    rows = np.repeat(np.arange(len(first)), lengths)
    ends = np.cumsum(lengths)
    return rows, first[rows] + np.arange(len(rows)) - (ends - lengths)[rows]
