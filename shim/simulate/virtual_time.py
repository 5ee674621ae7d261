"""Virtual time: the two clocks of a simulation, and the events of its world in the order of time."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from shim.model import Time


class Clock:
    """`now` is the world's time. For a paused server everything happens when it runs again."""

    __slots__ = ("now", "paused_until")

    def __init__(self) -> None:
        self.now: Time = 0
        self.paused_until: Time = 0

    def server(self) -> Time:
        """The server's time."""
        return self.now if self.now > self.paused_until else self.paused_until


class EventQueue:
    """At equal times, events happen in the order in which they were planned; none after the end."""

    def __init__(self, end: Time) -> None:
        self._end = end
        self._heap: list[tuple[Time, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count().__next__

    def plan(self, at: Time, handler: Callable[..., None], *args: Any) -> None:
        if at <= self._end:
            heappush(self._heap, (at, self._number(), handler, args))

    @property
    def next_at(self) -> Time | None:
        return self._heap[0][0] if self._heap else None

    def pop(self) -> tuple[Time, Callable[..., None], tuple[Any, ...]]:
        at, _, handler, args = heappop(self._heap)
        return at, handler, args
