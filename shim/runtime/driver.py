"""The driver of a running shim: one timer for the process, and the pauses of the process (R3).

The timer never sleeps longer than `_TICK`, so that every pause is noticed. After a pause
the control's due timers run first, as they would have in the original; then what arrived meanwhile is
read; then the candidate's timers run.

Rules: docs/design.md#r3.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import monotonic_ns

from shim.model import SECOND, Duration, Time
from shim.router import Router

_TICK: Duration = SECOND // 10
_BATCH: Duration = SECOND // 500
"""Wake-ups within this time share one run of the loop, and a decision is late by at most this time. Each
run costs one or two system calls, which is more than all bookkeeping of a heartbeat."""

_LATE: Duration = SECOND // 4
"""A timer that is later than this means a pause: what arrived during the pause is read before judging."""

_READ_ROUNDS = 5
"""Rounds of the loop until bytes in the kernel reach their readers: after SIGCONT the first poll may come
back empty, then bytes are read, then the task that awaits them runs, and then a task to which it may pass
them on."""


TICKS = 1000
"""`ticks` in a microsecond."""

ticks = monotonic_ns


def clock() -> Time:
    """The one clock: microseconds, monotonic."""
    return ticks() // TICKS


class Driver:
    """Wakes the router, notices pauses, and keeps the deadlines of closing handshakes."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expected: Time = 0
        self._reading = 0
        self._judging = True
        self._deadlines: list[tuple[Time, int, Callable[[], None]]] = []
        self._entry = count()
        self._tell_lateness: Callable[[Duration], None] | None = None
        self.pauses = 0
        self.paused_for: Duration = 0

    def start(self, on_timer: Callable[[Duration], None] | None = None) -> None:
        """Begin to drive; called within the running loop. `on_timer` is told how late each timer is."""
        self._tell_lateness = on_timer
        self._loop = asyncio.get_running_loop()
        self._arm(clock())

    def stop(self) -> None:
        """Stop the timer; nothing is decided any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = None

    def stop_judging(self) -> None:
        """Nothing is decided any more; the deadlines of closing handshakes are kept."""
        self._judging = False

    def call_at(self, when: Time, callback: Callable[[], None]) -> None:
        """Call back at about `when`, for the bounded closing of connections."""
        heappush(self._deadlines, (when, next(self._entry), callback))
        self.hurry()

    def hurry(self) -> None:
        """Something may be due earlier than the timer was set for."""
        if self._loop is not None and not self._reading and self._due() < self._expected - _BATCH:
            self._arm(clock())

    def _due(self) -> Time:
        due = self._expected + _TICK
        if self._deadlines:
            due = min(due, self._deadlines[0][0])
        if not self._judging or (wake := self._router.next_wake) is None:
            return due
        return min(due, wake)

    def _arm(self, now: Time) -> None:
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._expected = now
        self._expected = max(min(self._due(), now + _TICK), now + _BATCH)
        delay = (self._expected - now) / SECOND
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        now = clock()
        if self._tell_lateness is not None:
            self._tell_lateness(now - self._expected)
        if not self._judging:
            self._finish(now)
            return
        if now - self._expected <= _LATE:
            self._router.step(now)
            self._finish(now)
            return
        self.pauses += 1
        self.paused_for += now - self._expected
        self._router.paused(self._expected, now)
        self._router.step_control(now)
        self._reading = _READ_ROUNDS
        self._read_on()

    def _read_on(self) -> None:
        """Let the loop read what arrived during the pause before the candidate judges."""
        if self._loop is None:
            return
        self._reading -= 1
        if self._reading:
            self._loop.call_soon(self._read_on)
            return
        now = clock()
        if self._judging:
            self._router.step_candidate(now)
        self._finish(now)

    def _finish(self, now: Time) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            heappop(self._deadlines)[2]()
        self._arm(clock())
