"""When a process of the tests stood still: what it noted just then had happened before."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

BEAT = 0.01
"""Seconds from one beat of the heartbeat to the next one that is due."""

_LATE = 0.01
"""Seconds: a beat that is less late is not written down."""


class Span(NamedTuple):
    """A stretch of time, in seconds."""

    since: float
    until: float

    @property
    def length(self) -> float:
        return self.until - self.since


class Standstills:
    """When an event loop did not run: from the moment at which a beat was due until it came.

    An event loop fetches what has arrived, works on all of that, and then beats if a beat was due. So what it
    notes arrived after the last beat but one.

    Attributes:
        spans: in the order of time.
    """

    def __init__(self, spans: Sequence[Span] = ()) -> None:
        self.spans = [*spans]

    def earliest(self, noted_at: float) -> float:
        """The earliest time at which something can have arrived that the process noted at this time."""
        at = noted_at
        place = bisect_left(self.spans, at, key=lambda span: span.since) - 1
        if place >= 0 and at <= self.spans[place].until:
            at = self.spans[place].since
            place -= 1
        if place >= 0 and at <= self.spans[place].until + BEAT:
            at -= self.spans[place].length
        return at

    @property
    def longest(self) -> float:
        """In seconds."""
        return max((span.length for span in self.spans), default=0.0)


@contextmanager
def heartbeat(clock: Callable[[], float]) -> Iterator[Standstills]:
    """Write down when the running event loop stands still, by this clock."""
    loop = asyncio.get_running_loop()
    found = Standstills()
    timer: asyncio.TimerHandle

    def beat(due: float) -> None:
        nonlocal timer
        came = clock()
        if came - due > _LATE:
            found.spans.append(Span(due, came))
        timer = loop.call_later(BEAT, beat, came + BEAT)

    beat(clock())
    try:
        yield found
    finally:
        timer.cancel()
