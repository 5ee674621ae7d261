"""Crowds: many users with rows in one minute are one event (R16).

An outage that hits many users at once leaves many rows, and what they say is not independent. A *crowd*
is a stretch of `grain`, begun by a row, in which at least 20 users, and more than 5 % of those connected,
have rows, over both arms, in the whole fleet or in one process. Whether rows are a crowd never depends
on what they say, so it cannot bend a test.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, TypeAlias

import numpy as np

from shim.gate.observed_rows import Arm, ObservedRows
from shim.gate.user_numbers import Integers, Truths
from shim.model import Duration, Time

CROWD_USERS = 20
CROWD_SHARE = 0.05

Connected: TypeAlias = Callable[[Time, int | None], int]
"""How many users were connected at a time, in one run of a process (None: in the fleet); asked at whole
multiples of `grain`."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """The rows of one event."""

    rows: ObservedRows

    @property
    def at(self) -> Time:
        """When the event began."""
        return int(self.rows.times[0])

    def by_arm(self) -> dict[Arm, ObservedRows]:
        return self.rows.split(lambda arm: arm)


class DecidedRows(NamedTuple):
    """What has become known: all rows, the calm ones among them, and the crowds, in the order of time.

    Where no row belongs to a crowd, `calm` is `rows`. The last rows of a crowd may become known later.
    """

    rows: ObservedRows
    calm: ObservedRows
    crowds: list[Crowd]


_NO_ROWS = ObservedRows()


class CrowdFinder:
    """Takes rows in the order of their times, and tells crowds from calm rows.

    What becomes of a row is known when two `grain` have passed since: one until each crowd of the fleet
    that the row may belong to has begun, another one for the crowds of each process, which are looked
    for in the rows that are left. So the answer does not depend on when somebody asks.
    """

    def __init__(self, grain: Duration, connected: Connected) -> None:
        self._grain = grain
        self._connected = connected
        self._waiting = ObservedRows()
        # Which of them belong to a crowd that is known.
        self._taken = np.empty(0, np.bool_)

    def extend(self, rows: ObservedRows) -> None:
        """`at` never decreases, from call to call neither."""
        self._waiting += rows
        self._taken = np.append(self._taken, np.zeros(len(rows), np.bool_))

    def decide(self, now: Time) -> DecidedRows:
        """What has become known by `now`."""
        rows, taken = self._waiting, self._taken
        ends = [now - 2 * self._grain, now - self._grain]
        known, begun = np.searchsorted(rows.times, ends, "right").tolist()
        if not known:
            return DecidedRows(_NO_ROWS, _NO_ROWS, [])
        found: list[Integers] = []
        if len(rows) >= CROWD_USERS:
            found += self._find(rows, np.flatnonzero(~taken), begun, None)
            free = _without(taken, found)
            runs, numbers = np.unique(rows.runs[free], return_counts=True)
            for run in runs[numbers >= CROWD_USERS].tolist():
                found += self._find(rows, np.flatnonzero(free & (rows.runs == run)), known, run)
        crowds = sorted((places for places in found if places[0] < known), key=itemgetter(0))
        free = _without(taken, crowds)
        self._waiting, self._taken = rows.part(known), ~free[known:]
        decided = rows.part(0, known)
        calm = decided if free[:known].all() else decided.where(free[:known])
        return DecidedRows(decided, calm, [Crowd(rows.where(places)) for places in crowds])

    def _find(
        self, rows: ObservedRows, places: Integers, end: int, run: int | None
    ) -> Iterator[Integers]:
        """The places of each crowd among these that begins before place `end`."""
        times = rows.times[places]
        count, free = int(np.searchsorted(places, end)), 0
        for minute, begin, behind, stop in self._busy_minutes(times, count):
            least = self._least(minute, run)
            if stop - begin < least:
                continue
            # A crowd has so many rows from its first one on, within a minute.
            firsts = np.arange(max(begin, free), min(behind, stop - least + 1))
            near = times[firsts + least - 1] - times[firsts] < self._grain
            for first in firsts[near].tolist():
                if first < free:
                    continue
                last = int(np.searchsorted(times, times[first] + self._grain))
                if len(np.unique(rows.users[places[first:last]])) >= least:
                    yield places[first:last]
                    free = last

    def _busy_minutes(self, times: Integers, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The minutes in which a crowd may begin, before place `end`: their numbers, the places of their first
        rows, and of the first rows one and two minutes later."""
        minutes = times // self._grain
        begins = np.flatnonzero(np.diff(minutes[:end], prepend=-1))
        numbers = minutes[begins]
        behind, stops = (np.searchsorted(minutes, numbers + later) for later in (1, 2))
        # Most minutes have too few rows.
        busy = stops - begins >= CROWD_USERS
        columns = numbers, begins, np.minimum(behind, end), stops
        return zip(*(column[busy].tolist() for column in columns), strict=True)

    def _least(self, minute: int, run: int | None) -> int:
        """So many users with rows in a minute are a crowd."""
        users = self._connected(minute * self._grain, run)
        return max(CROWD_USERS, int(CROWD_SHARE * users) + 1)


def _without(taken: Truths, crowds: Iterable[Integers]) -> Truths:
    """Which rows belong neither to the crowds that are known nor to these."""
    free = ~taken
    for places in crowds:
        free[places] = False
    return free
