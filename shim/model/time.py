"""Time as whole microseconds: sums and comparisons are exact, so deadlines can be tested to the tick."""

from typing import Annotated

Time = int
"""Microseconds on one monotonic clock; its zero is arbitrary (in a capture: the start)."""

Duration = Annotated[int, "duration"]
"""Microseconds between two times. The annotation lets the settings read it as `15s` or `250ms`."""

MICROSECOND: Duration = 1
SECOND: Duration = 1_000_000


def from_seconds(value: float) -> Time:
    """Seconds, at most six decimals, as whole microseconds (rounded to the nearest)."""
    return round(value * 1_000_000)


def seconds(value: Time) -> float:
    """Whole microseconds as seconds; the nearest float, so printing it shows six decimals at most."""
    return value / 1_000_000
