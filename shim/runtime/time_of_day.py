"""The time of day of a run: the wall clock as it was at the start, carried on by the clock that nobody sets.

The wall clock is set by people, NTP and hypervisors, now and then by years. The evidence of weeks, its
trimming and the steps of the rollout must not depend on that. So the time that a run writes down goes on as
the monotonic clock does, sleep of the machine included, and follows the wall clock by half a second in a
thousand at most, as NTP itself would. A jump is told, and nothing else changes; the next run begins with
the wall clock as it is then.

Rules: docs/design.md#r16, docs/design.md#r23.
"""

import time
from collections import deque
from typing import NamedTuple

from shim.ledger.rows import Wall
from shim.ledger.run_row import wall_clock
from shim.model import SECOND, Duration, Time
from shim.router import ClockJumped, MachineSlept
from shim.runtime import driver

JUMP: Duration = SECOND
"""The wall clock and the monotonic one may come apart by this much before it is told."""

CHECK_INTERVAL: Duration = SECOND

_STEEPEST = 500
"""Microseconds in a second by which the run's time may follow the wall clock: what NTP permits itself."""

_FOLLOW_WITHIN: Duration = 60 * SECOND
_PIECES = 512
_EXACT: Duration = 2_000
_READINGS = 5
_MOST_TOLD, _TOLD_WITHIN = 20, 3600 * SECOND
"""A clock that never comes to rest is told so often within an hour, and not each second."""


class _Piece(NamedTuple):
    """From `since` on, `wall` and `rate` (microseconds in a second) make the time of day."""

    since: Time
    wall: Wall
    rate: int


class _Reading(NamedTuple):
    """All clocks at one moment; `asleep` is how long the machine has slept since it was started."""

    now: Time
    wall: Wall
    asleep: Duration


class TimeOfDay:
    """The run's time of day, in microseconds since 1970, and the check of the wall clock.

    `started_at` is what the wall clock showed at the start, `ahead` how far it is ahead of the run's time.
    """

    def __init__(self) -> None:
        first = _read() or _read_once()
        self._pieces = deque([_Piece(first.now, first.wall, 0)], maxlen=_PIECES)
        self.started_at: Wall = first.wall
        self._asleep = first.asleep
        # What the wall clock and the monotonic one were apart when that was last told.
        self._apart = first.wall - first.now
        self._told: deque[Time] = deque(maxlen=_MOST_TOLD)
        self.ahead: Duration = 0

    def __call__(self) -> Wall:
        """The present time of day."""
        return self.at(driver.clock())

    def at(self, when: Time) -> Wall:
        """The time of day at a time of the monotonic clock; the same whenever it is asked."""
        for piece in reversed(self._pieces):
            if when >= piece.since:
                break
        elapsed = when - piece.since
        return piece.wall + elapsed + elapsed * piece.rate // SECOND

    def check(self) -> ClockJumped | MachineSlept | None:
        """Compare the clocks; to be called about once a `CHECK_INTERVAL`."""
        reading = _read()
        if reading is None:
            return None  # the process does not run undisturbed now: no difference means anything
        now, wall, asleep = reading
        if (slept := asleep - self._asleep) >= JUMP:
            self._asleep = asleep
            self._apart += slept
            self._pieces.append(_Piece(now, self.at(now) + slept, 0))
            return MachineSlept(now, slept)
        today = self.at(now)
        self.ahead = wall - today
        apart = wall - now
        by = apart - self._apart
        if abs(by) >= JUMP and not self._is_told_too_often(now):
            self._apart = apart
            self._told.append(now)
            return ClockJumped(now, by, self.ahead)
        self._follow(now, today)
        return None

    def _is_told_too_often(self, now: Time) -> bool:
        return len(self._told) == _MOST_TOLD and now < self._told[0] + _TOLD_WITHIN

    def _follow(self, now: Time, today: Wall) -> None:
        """Choose the rate of the next stretch, so that small differences go away."""
        last = self._pieces[-1]
        rate = self.ahead * SECOND // _FOLLOW_WITHIN
        rate = max(-_STEEPEST, min(_STEEPEST, rate))
        if rate != last.rate and now >= last.since + _FOLLOW_WITHIN:
            self._pieces.append(_Piece(now, today, rate))


def _read() -> _Reading | None:
    """All clocks, as of one moment; None if that did not succeed within a few tries."""
    for _ in range(_READINGS):
        reading = _read_once()
        if driver.clock() - reading.now < _EXACT:
            return reading
    return None


def _read_once() -> _Reading:
    return _Reading(driver.clock(), wall_clock(), read_sleep())


def read_sleep() -> Duration:
    """How long the machine has slept since it was started; 0 where the system does not tell."""
    try:
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()) // 1000
    except (OSError, AttributeError):
        return 0
