"""Crowds: many users with rows in one minute are one event (R16).

An outage that hits many users at once leaves many rows, and what they say is not independent. A *crowd*
is a stretch of `grain`, begun by a row, in which at least 20 users, and more than 5 % of those connected,
have rows, over both arms, in the whole fleet or in one process. Whether rows are a crowd never depends
on what they say, so it cannot bend a test.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import floordiv
from typing import TypeAlias

from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows
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
        return self.rows.times[0]

    def by_arm(self) -> dict[Arm, ObservedRows]:
        return self.rows.split(lambda arm: arm)


class CrowdFinder:
    """Takes rows in the order of their times, and gives them on as crowds and as calm rows.

    What becomes of a row is known when two `grain` have passed since: one until each crowd of the fleet
    that the row may belong to has begun, another one for the crowds of each process, which are looked
    for in the rows that are left. So the answer does not depend on when somebody asks.
    """

    def __init__(self, grain: Duration, connected: Connected) -> None:
        self._grain = grain
        self._connected = connected
        self._waiting = ObservedRows()

    def extend(self, rows: Iterable[ObservedRow] | ObservedRows) -> None:
        """`at` never decreases, from call to call neither."""
        self._waiting.extend(ObservedRows.of(rows))

    def decide(self, now: Time) -> tuple[ObservedRows, list[Crowd]]:
        """The calm rows and the crowds that have become known by `now`, each in the order of time."""
        rows = self._waiting
        known = bisect_right(rows.times, now - 2 * self._grain)
        if not known:
            return ObservedRows(), []
        begun = bisect_right(rows.times, now - self._grain)
        crowds: list[Sequence[int]] = list(self._find(rows, range(len(rows)), begun, None))
        if len(set(rows.runs)) > 1:
            crowds += self._of_each_process(rows, crowds, known)
        crowds = [places for places in crowds if places[0] < known]
        if not crowds:
            self._waiting = rows.part(known)
            return rows.part(0, known), []
        taken = {place for places in crowds for place in places}
        crowds.sort(key=lambda places: places[0])
        self._waiting = rows.at_places(
            [place for place in range(known, len(rows)) if place not in taken]
        )
        calm = rows.at_places([place for place in range(known) if place not in taken])
        return calm, [Crowd(rows.at_places(places)) for places in crowds]

    def _of_each_process(
        self, rows: ObservedRows, crowds: Sequence[Sequence[int]], known: int
    ) -> list[Sequence[int]]:
        """The crowds of single processes among the rows that belong to no crowd of the fleet."""
        taken = {place for places in crowds for place in places}
        by_run: defaultdict[int, list[int]] = defaultdict(list)
        for place, run in enumerate(rows.runs):
            if place not in taken:
                by_run[run].append(place)
        found: list[Sequence[int]] = []
        for run, places in by_run.items():
            found += self._find(rows, places, known, run)
        return found

    def _find(
        self, rows: ObservedRows, places: Sequence[int], end: int, run: int | None
    ) -> Iterator[Sequence[int]]:
        """The places of each crowd that begins before place `end`."""
        grain = self._grain
        times = rows.times if run is None else [rows.times[place] for place in places]
        count = bisect_left(places, end)
        numbers = Counter(map(floordiv, times, repeat(grain)))
        begin = 0
        for minute, number in numbers.items():
            # Most minutes have too few rows, and are passed over at once.
            together = number + numbers.get(minute + 1, 0)
            if together < CROWD_USERS:
                continue
            users = self._connected(minute * grain, run)
            least = max(CROWD_USERS, int(CROWD_SHARE * users) + 1)
            if together < least:
                continue
            begin = max(begin, bisect_left(times, minute * grain))
            behind = min(count, bisect_left(times, (minute + 1) * grain))
            while begin < behind:
                first, last = times[begin], begin + least - 1
                if last < len(times) and times[last] - first < grain:
                    stop = bisect_left(times, first + grain, last)
                    if len({rows.users[place] for place in places[begin:stop]}) >= least:
                        yield places[begin:stop]
                        begin = stop
                        continue
                begin += 1
