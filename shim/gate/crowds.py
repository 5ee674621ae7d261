"""Crowds: many users with rows in one minute are one event (R16).

An outage that hits many users at once leaves many rows, and what they say is not independent. A *crowd*
is a stretch of `grain`, begun by a row, in which at least 20 users, and more than 5 % of those connected,
have rows, over both arms, in the whole fleet or in one process. Whether rows are a crowd never depends
on what they say, so it cannot bend a test.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from shim.gate.observed_rows import Arm, ObservedRows
from shim.model import Duration, Time

CROWD_USERS = 20
CROWD_SHARE = 0.05

Connected: TypeAlias = Callable[[Time, int | None], int]
"""How many users were connected at a time, in one run of a process (None: in the fleet); asked at whole
multiples of `grain`."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """The rows of one event."""

    rows: ObservedRows[Any]

    @property
    def at(self) -> Time:
        """When the event began."""
        return self.rows.times[0]

    def by_arm(self) -> dict[Arm, ObservedRows[Any]]:
        return self.rows.split(lambda arm: arm)


class DecidedRows(NamedTuple):
    """What has become known: all rows, the calm ones among them, and the crowds, in the order of time.

    Where no row belongs to a crowd, `calm` is `rows`. The last rows of a crowd may become known later.
    """

    rows: ObservedRows[Any]
    calm: ObservedRows[Any]
    crowds: list[Crowd]


class CrowdFinder:
    """Takes rows in the order of their times, and tells crowds from calm rows.

    What becomes of a row is known when two `grain` have passed since: one until each crowd of the fleet
    that the row may belong to has begun, another one for the crowds of each process, which are looked
    for in the rows that are left. So the answer does not depend on when somebody asks.
    """

    def __init__(self, grain: Duration, connected: Connected) -> None:
        self._grain = grain
        self._connected = connected
        self._waiting: ObservedRows[Any] = ObservedRows()
        # The places of those that belong to a crowd which is known.
        self._taken: set[int] = set()

    def extend(self, rows: ObservedRows[Any]) -> None:
        """`at` never decreases, from call to call neither."""
        self._waiting += rows

    def decide(self, now: Time) -> DecidedRows:
        """What has become known by `now`."""
        rows, grain = self._waiting, self._grain
        known, begun = (bisect_right(rows.times, now - n * grain) for n in (2, 1))
        crowds = list(self._find(rows, _without(range(len(rows)), self._taken), begun, None))
        taken = self._taken.union(*crowds)
        crowds += self._of_each_process(rows, known, taken)
        crowds = sorted((places for places in crowds if places[0] < known), key=itemgetter(0))
        taken = self._taken.union(*crowds)
        self._waiting = rows.part(known)
        self._taken = {place - known for place in taken if place >= known}
        decided = rows.part(0, known)
        calm = rows.at_places(_without(range(known), taken)) if taken else decided
        return DecidedRows(decided, calm, [Crowd(rows.at_places(places)) for places in crowds])

    def _of_each_process(
        self, rows: ObservedRows[Any], known: int, taken: Set[int]
    ) -> list[Sequence[int]]:
        """The crowds of single processes among the rows that belong to no crowd of the fleet."""
        near: defaultdict[int, set[int]] = defaultdict(set)
        for minute, begin, _, end in self._busy_minutes(rows.times, known):
            for run, number in Counter(rows.runs[begin:end]).items():
                if number >= CROWD_USERS and number >= self._least(minute, run):
                    near[run].update(range(begin, end))
        found: list[Sequence[int]] = []
        for run, places in near.items():
            own = [place for place in sorted(places - taken) if rows.runs[place] == run]
            found += self._find(rows, own, known, run)
        return found

    def _find(
        self, rows: ObservedRows[Any], places: Sequence[int], end: int, run: int | None
    ) -> Iterator[Sequence[int]]:
        """The places of each crowd among these that begins before place `end`."""
        grain = self._grain
        times = rows.times if len(places) == len(rows) else [rows.times[one] for one in places]
        count, free = bisect_left(places, end), 0
        for minute, begin, behind, stop in self._busy_minutes(times, count):
            least = self._least(minute, run)
            if stop - begin < least:
                continue
            begin, behind = max(begin, free), min(behind, count)
            while begin < behind:
                first, last = times[begin], begin + least - 1
                if last < len(times) and times[last] - first < grain:
                    stop = bisect_left(times, first + grain, last)
                    if len({rows.users[place] for place in places[begin:stop]}) >= least:
                        yield places[begin:stop]
                        begin = free = stop
                        continue
                begin += 1

    def _busy_minutes(self, times: Sequence[Time], end: int) -> Iterator[tuple[int, int, int, int]]:
        """The minutes in which a crowd may begin, before place `end`: their numbers, the places of their first
        rows, and of the first rows one and two minutes later."""
        grain, begin = self._grain, 0
        while begin < end:
            minute = times[begin] // grain
            behind = bisect_left(times, (minute + 1) * grain, begin)
            stop = bisect_left(times, (minute + 2) * grain, behind)
            # Most minutes have too few rows, and are passed over at once.
            if stop - begin >= CROWD_USERS:
                yield minute, begin, behind, stop
            begin = behind

    def _least(self, minute: int, run: int | None) -> int:
        """So many users with rows in a minute are a crowd."""
        users = self._connected(minute * self._grain, run)
        return max(CROWD_USERS, int(CROWD_SHARE * users) + 1)


def _without(places: Sequence[int], taken: Set[int]) -> Sequence[int]:
    return [place for place in places if place not in taken] if taken else places
