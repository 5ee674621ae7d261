"""Crowds: many users with rows in one minute are one event (R16).

An outage that hits many users at once leaves many rows, and what they say is not independent. A *crowd*
is a stretch of `grain`, begun by a row, in which at least 20 users, and more than 5 % of those connected,
have rows, over both arms, in the whole fleet or in one process. Whether rows are a crowd never depends
on what they say, so it cannot bend a test.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from shim.model import Duration, Role, Time

_AT = itemgetter(1)
_RUN = itemgetter(4)

CROWD_USERS = 20
CROWD_SHARE = 0.05

Connected: TypeAlias = Callable[[Time, int | None], int]
"""How many users were connected at a time, in one run of a process (None: in the fleet); asked at whole
multiples of `grain`."""


class Arm(NamedTuple):
    """Users whom the same percentages placed, and the monitor that acted for them.

    `group` is empty for users whom no percentages placed.
    """

    group: str
    role: Role


class ObservedRow(NamedTuple):
    """One thing that was observed of one user.

    Attributes:
        at: when it was known, in microseconds since 1970; the rows of a question come in this order.
        success: whether the decisions matched, the client came back, or the peer proved to be alive.
        arm: what the row is counted under; a crowd is one observation in each arm that has rows in it.
        run: the run of the process that found it out.
        guard_event: the event of the guard, in that run, that a proof of life belongs to (R6b).
    """

    user: str
    at: Time
    success: bool
    arm: Arm
    run: int
    guard_event: int | None = None


@dataclass(frozen=True, slots=True)
class Crowd:
    """The rows of one event."""

    rows: Sequence[ObservedRow]

    @property
    def at(self) -> Time:
        """When the event began."""
        return self.rows[0].at

    def by_arm(self) -> dict[Arm, list[ObservedRow]]:
        arms: dict[Arm, list[ObservedRow]] = {}
        for row in self.rows:
            arms.setdefault(row.arm, []).append(row)
        return arms


class CrowdFinder:
    """Takes rows in the order of their times, and gives them on as crowds and as calm rows.

    What becomes of a row is known when two `grain` have passed since: one until each crowd of the fleet
    that the row may belong to has begun, another one for the crowds of each process, which are looked
    for in the rows that are left. So the answer does not depend on when somebody asks.
    """

    def __init__(self, grain: Duration, connected: Connected) -> None:
        self._grain = grain
        self._connected = connected
        self._waiting: list[ObservedRow] = []

    def extend(self, rows: Iterable[ObservedRow]) -> None:
        """`at` never decreases, from call to call neither."""
        self._waiting += rows

    def decide(self, now: Time) -> tuple[list[ObservedRow], list[Crowd]]:
        """The calm rows and the crowds that have become known by `now`, each in the order of time."""
        rows = self._waiting
        known = bisect_right(rows, now - 2 * self._grain, key=_AT)
        if not known:
            return [], []
        begun = bisect_right(rows, now - self._grain, key=_AT)
        crowds: list[Sequence[int]] = list(self._find(rows, range(len(rows)), begun, None))
        if len(set(map(_RUN, rows))) > 1:
            crowds += self._of_each_process(rows, crowds, known)
        crowds = [places for places in crowds if places[0] < known]
        if not crowds:
            self._waiting = rows[known:]
            return rows[:known], []
        taken = {place for places in crowds for place in places}
        crowds.sort(key=lambda places: places[0])
        self._waiting = [rows[place] for place in range(known, len(rows)) if place not in taken]
        calm = [rows[place] for place in range(known) if place not in taken]
        return calm, [Crowd([rows[place] for place in places]) for places in crowds]

    def _of_each_process(
        self, rows: Sequence[ObservedRow], crowds: Sequence[Sequence[int]], known: int
    ) -> list[Sequence[int]]:
        """The crowds of single processes among the rows that belong to no crowd of the fleet."""
        taken = {place for places in crowds for place in places}
        by_run: defaultdict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            if place not in taken:
                by_run[row.run].append(place)
        found: list[Sequence[int]] = []
        for run, places in by_run.items():
            found += self._find(rows, places, known, run)
        return found

    def _find(
        self, rows: Sequence[ObservedRow], places: Sequence[int], end: int, run: int | None
    ) -> Iterator[Sequence[int]]:
        """The places of each crowd that begins before place `end`."""
        grain, connected = self._grain, self._connected
        times = [rows[place][1] for place in places]
        count = bisect_left(places, end)
        minute, least, begin = -1, CROWD_USERS, 0
        while begin < count:
            first = times[begin]
            if first // grain != minute:
                minute = first // grain
                least = max(CROWD_USERS, int(CROWD_SHARE * connected(minute * grain, run)) + 1)
                # Most minutes have too few rows, and are passed over at once.
                behind = bisect_left(times, (minute + 1) * grain, begin)
                if bisect_left(times, (minute + 2) * grain, behind) - begin < least:
                    begin = behind
                    continue
            last = begin + least - 1
            if last < len(times) and times[last] - first < grain:
                stop = bisect_left(times, first + grain, last)
                if len({rows[place].user for place in places[begin:stop]}) >= least:
                    yield places[begin:stop]
                    begin = stop
                    continue
            begin += 1
