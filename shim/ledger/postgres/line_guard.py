"""How long a line to the store may take, and how long it may stay silent: then it is cut.

A line that broke can stay silent for ever, and a statement waits for it as long. One thread looks after all
lines of the process, each when its time may have come: what is done with the store is short, and comes many
times a second, so a thread for each would cost more than the statements.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from itertools import count
from math import inf
from threading import Condition, Thread
from time import monotonic
from typing import Any

import psycopg

from shim.model import seconds
from shim.model.tcp_fields import RTT, idle_time


class GuardedLine:
    """The socket of a connection while something is done with it, which ends at `ends_at` at the latest.

    Nothing may come from the server for `silence` seconds. `is_over`: what was to be done is done.
    """

    def __init__(self, line: socket.socket, ends_at: float, silence: float) -> None:
        self._socket = line
        self._ends_at = ends_at
        self._silence = silence
        self.is_over = False

    def look(self, now: float) -> float | None:
        """Cut the line if its time is over; otherwise when to look again, as `monotonic` counts."""
        left = min(self._silence - _silent_for(self._socket), self._ends_at - now)
        if left > 0:
            return now + left
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        return None


class LineGuard:
    """Looks after lines, in a thread of its own, which ends soon after the last of them."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._looks: list[tuple[float, int, GuardedLine]] = []
        self._numbers = count()
        self._thread: Thread | None = None

    def look_after(self, line: GuardedLine, at: float) -> None:
        """Look at the line at that time, and then as often as it says."""
        look = (at, next(self._numbers), line)
        with self._changed:
            heappush(self._looks, look)
            # A process that was forked has no thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work, name="shim-line-guard", daemon=True)
                self._thread.start()
            elif self._looks[0] is look:
                self._changed.notify()

    def _work(self) -> None:
        while (line := self._next()) is not None:
            again = line.look(monotonic())
            if again is not None:
                self.look_after(line, again)

    def _next(self) -> GuardedLine | None:
        """Wait for the next look that is due; None: there is nothing to look after, and the thread ends."""
        with self._changed:
            while True:
                # Nearly all are over before their time comes.
                while self._looks and self._looks[0][2].is_over:
                    heappop(self._looks)
                if not self._looks:
                    self._thread = None
                    return None
                wait = self._looks[0][0] - monotonic()
                if wait <= 0:
                    return heappop(self._looks)[2]
                self._changed.wait(wait)


_GUARD = LineGuard()


@contextmanager
def at_most(
    seconds: float, connection: "psycopg.Connection[Any]", *, silence: float | None = None
) -> Iterator[None]:
    """Cut the connection if what is done with it takes longer.

    `silence`: cut it, too, if nothing comes from the server for so many seconds.
    """
    silence = seconds if silence is None else silence
    now = monotonic()
    # A descriptor of our own: afterwards the number may be another connection's, a client's even.
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        line = GuardedLine(own, now + seconds, silence)
        _GUARD.look_after(line, now + min(seconds, silence))
        try:
            yield
        finally:
            line.is_over = True


def _silent_for(line: socket.socket) -> float:
    """Seconds since something came; infinity if the system cannot say."""
    if sys.platform != "linux":
        return inf
    try:
        info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RTT)
    except OSError:
        return inf
    return seconds(idle_time(info))
