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

Connected: TypeAlias = Callable[[Integers, int | None], Integers | int]
"""How many users were connected at some times, in one run of a process (None: in the fleet); asked at whole
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
        for begin, behind, stop, least in self._busy_minutes(times, count, run):
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

    def _busy_minutes(
        self, times: Integers, end: int, run: int | None
    ) -> Iterator[tuple[int, int, int, int]]:
        """The minutes in which a crowd may begin, before place `end`: the places of their first rows, and of
        the first rows one and two minutes later; and how many users are a crowd then."""
        minutes = times // self._grain
        begins = np.flatnonzero(np.diff(minutes[:end], prepend=-1))
        behind, stops = np.append(begins[1:], end), np.searchsorted(minutes, minutes[begins] + 2)
        # Most minutes have too few rows.
        busy = np.flatnonzero(stops - begins >= CROWD_USERS)
        users = self._connected(minutes[begins[busy]] * self._grain, run)
        share = np.broadcast_to(CROWD_SHARE * users, busy.shape).astype(np.int64)
        least = np.maximum(CROWD_USERS, share + 1)
        busy, least = (column[(stops - begins)[busy] >= least] for column in (busy, least))
        columns = (begins[busy], behind[busy], stops[busy], least)
        return zip(*(column.tolist() for column in columns), strict=True)


def _without(taken: Truths, crowds: Iterable[Integers]) -> Truths:
    """Which rows belong neither to the crowds that are known nor to these."""
    free = ~taken
    for places in crowds:
        free[places] = False
    return free
