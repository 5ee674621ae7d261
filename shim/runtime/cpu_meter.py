"""The CPU time of calls, measured cheaply, because nearly all of very many calls are quick."""

import gc
import weakref
from time import perf_counter_ns, thread_time_ns

from shim.model import Duration

_MARK_AGE = 5_000_000
"""Nanoseconds after which the CPU clock is read again; it costs ten times as much as the wall clock."""


class CpuMeter:
    """Reads the CPU clock only for a call that took longer than the limit by the wall clock.

    The answer is a lower bound, too low by 5 ms at most: time in which the machine ran something else, or
    in which Python collected garbage, does not count.
    """

    def __init__(self, limit: Duration) -> None:
        self._limit = limit * 1000
        self._started = 0
        self._mark_wall = -_MARK_AGE
        self._mark_cpu = 0
        self._collected = 0
        self._collected_before = 0
        _count_collections(self)

    def start(self) -> None:
        now = perf_counter_ns()
        if now - self._mark_wall > _MARK_AGE:
            self._mark_wall = now
            self._mark_cpu = thread_time_ns()
        self._started = now
        self._collected_before = self._collected

    def over_limit(self) -> Duration | None:
        if perf_counter_ns() - self._started <= self._limit:
            return None
        before = self._started - self._mark_wall
        garbage = self._collected - self._collected_before
        cpu = thread_time_ns() - self._mark_cpu - before - garbage
        return cpu // 1000 if cpu > self._limit else None

    def collected(self, nanoseconds: int) -> None:
        """The garbage collector ran for so long."""
        self._collected += nanoseconds


def _count_collections(meter: CpuMeter) -> None:
    """Tell the meter of each collection for as long as it lives."""
    reference = weakref.ref(meter)
    began = 0

    def callback(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = thread_time_ns()
        elif (alive := reference()) is not None:
            alive.collected(thread_time_ns() - began)
        else:
            gc.callbacks.remove(callback)

    gc.callbacks.append(callback)
