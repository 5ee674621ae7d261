"""The driver of a running shim: one timer for the process, and the pauses of the process (R3).

The timer never sleeps longer than `_TICK`, so that every pause is noticed. After a pause
the control's due timers run first, as they would have in the original; then what arrived meanwhile is
read; then the candidate's timers run. The event loop may read before it calls the late timer. So whatever is
read while the timer is overdue has to ask first whether the process did not run.

The process may be stopped at any instruction, also while the driver itself is at work: a process whose share
of the CPU is used up is stopped while it works. So everything is done as of one time, of which it is known
that no pause came before, and the next timer counts from that time.

Rules: docs/design.md#r3.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import monotonic_ns

from shim.model import SECOND, Duration, Time
from shim.router import Budget, Router

_TICK: Duration = SECOND // 10
_BATCH: Duration = SECOND // 500
"""Wake-ups within this time share one run of the loop, and a decision is late by at most this time. Each
run costs one or two system calls, which is more than all bookkeeping of a heartbeat."""

_SLICE = 2_000_000
"""Nanoseconds of work of one kind between two turns of the loop, however many connections there are."""

_LATE: Duration = SECOND // 4
"""A timer that is later than this means a pause: what arrived during the pause is read before judging."""

_READ_ROUNDS = 4
"""Rounds of the loop until bytes in the kernel reach their readers: after SIGCONT the first poll may come
back empty, then bytes are read, then the task that awaits them runs, and then a task to which it may pass
them on."""

_REPEATS = 4
"""How often these rounds begin anew because of another pause. Under a load that never lets the loop be in
time the candidate must judge, too."""

_NEVER: Time = 1 << 62

TICKS = 1000
"""`ticks` in a microsecond."""

ticks = monotonic_ns


def clock() -> Time:
    """The one clock: microseconds, monotonic."""
    return ticks() // TICKS


def begin_slice() -> Budget:
    """Begin a slice of work; the answer tells whether it is over."""
    until = ticks() + _SLICE
    return lambda: ticks() >= until


class NotStartedError(RuntimeError):
    """The service has not started the shim."""

    def __init__(self) -> None:
        super().__init__(
            "the shim has not been started: a service on aiohttp needs "
            "`app.cleanup_ctx.append(shim.lifespan)`, "
            "every other service `async with shim:` (ASGI: in the lifespan)"
        )


class Driver:
    """Wakes the router, notices pauses, and keeps the deadlines of closing handshakes.

    `due` is when the timer will come next; later than that, `notice_pause` comes before any other event.
    `pauses` and `paused_for`: how often, and for how long in all, the process did not run.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.due: Time = _NEVER
        self._ran_at: Time = 0
        self._rounds = self._repeats = 0
        self._judging = True
        self._started = False
        self._deadlines: list[tuple[Time, int, Callable[[], None]]] = []
        self._entry = count()
        self._tell_lateness: Callable[[Duration], None] | None = None
        self.pauses = 0
        self.paused_for: Duration = 0

    def start(self, on_timer: Callable[[Duration], None] | None = None) -> None:
        """Begin to drive; called within the running loop. `on_timer` is told how late each timer is."""
        self._tell_lateness = on_timer
        self._loop = asyncio.get_running_loop()
        self._started = True
        self._arm(clock())

    def check_started(self) -> None:
        """Raises NotStartedError before the start: nobody would wake the monitors of a connection."""
        if not self._started:
            raise NotStartedError

    def stop(self) -> None:
        """Stop the timer; nothing is decided any more."""
        self._disarm()
        self._loop = None

    def stop_judging(self) -> None:
        """Nothing is decided any more; the deadlines of closing handshakes are kept."""
        self._judging = False

    def call_at(self, when: Time, callback: Callable[[], None]) -> None:
        """Call back at about `when`, for the bounded closing of connections."""
        heappush(self._deadlines, (when, next(self._entry), callback))
        if when < self.due:
            self.hurry()

    def hurry(self) -> None:
        """Something may be due earlier than the timer was set for."""
        if self._timer is not None and self._next_due(self.due) < self.due - _BATCH:
            now = clock()
            if now <= self.due:  # an overdue timer comes by itself, and may have to notice a pause
                self._arm(now)

    def told_until(self) -> Time:
        """Up to when everything that happened has been told. To be asked in a callback of its own.

        A window is told by the timer, as of its own end, and a timer that is due may not have come yet.
        """
        return min(clock(), self.due - _BATCH) - 1

    def read_clock(self) -> Time:
        """The time of an event; if that is the first after a pause, the pause is dealt with before (R3)."""
        now = clock()
        if now > self.due:
            self.notice_pause(now)
        return now

    def notice_pause(self, now: Time) -> None:
        """Something happens while the timer is overdue: maybe the process did not run until now.

        Or the loop is busy with reading. Then these calls are frequent, and the timer will come.
        """
        start = max(self.due, self._ran_at) + 1  # what was read before the pause was seen before it
        self._ran_at = now
        if now - start > _LATE and self._judging:
            if self._tell_lateness is not None:
                self._tell_lateness(now - start)
            self._begin_after_pause(start, now)

    def _next_due(self, now: Time) -> Time:
        due = now + _TICK
        if self._deadlines:
            due = min(due, self._deadlines[0][0])
        if not self._judging or (wake := self._router.next_wake) is None:
            return due
        return min(due, wake)

    def _arm(self, now: Time) -> None:
        """Set the timer. What was done was done as of `now`: a pause since then makes the timer late."""
        self._disarm()
        if self._loop is None:
            return
        self.due = max(self._next_due(now), now + _BATCH)
        delay = max(self.due - clock(), _BATCH)
        self._timer = self._loop.call_later(delay / SECOND, self._on_timer)

    def _disarm(self) -> None:
        """While the driver itself is at work, no pause is noticed."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.due = _NEVER

    def _on_timer(self) -> None:
        due, now = self.due, clock()
        self._disarm()
        if self._tell_lateness is not None:
            self._tell_lateness(now - due)
        if self._judging:
            if now - due > _LATE:
                self._begin_after_pause(due, now)
                return
            self._router.step_control(now, begin_slice())
            self._router.step_candidate(now, begin_slice())
        self._finish(now)

    def _begin_after_pause(self, start: Time, now: Time) -> None:
        """The process did not run from `start` to `now`; let the loop read before the candidate judges."""
        self._disarm()
        self.pauses += 1
        self.paused_for += now - start
        self._router.paused(start, now, begin_slice())
        self._router.step_control(now, begin_slice())
        if self._loop is None:
            return
        if not self._rounds:
            self._rounds, self._repeats = _READ_ROUNDS, _REPEATS
            self._loop.call_soon(self._read_on)
        elif self._repeats:
            self._rounds = _READ_ROUNDS
            self._repeats -= 1
        self.due = now

    def _read_on(self) -> None:
        """Let the loop read what arrived during the pause before the candidate judges."""
        if self._loop is None:
            return
        now = self.read_clock()
        self._rounds -= 1
        if self._rounds:
            self._loop.call_soon(self._read_on)
            return
        self._disarm()
        if self._judging:
            self._router.step_candidate(now, begin_slice())
        self._finish(now)

    def _finish(self, now: Time) -> None:
        over = begin_slice()
        while self._deadlines and self._deadlines[0][0] <= now and not over():
            heappop(self._deadlines)[2]()
        self._arm(now)
