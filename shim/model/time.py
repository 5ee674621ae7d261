"""Time as whole microseconds: sums and comparisons are exact, so deadlines can be tested to the tick."""

from datetime import UTC, date, datetime
from typing import Annotated

Time = int
"""Microseconds on one monotonic clock; its zero is arbitrary (in a capture: the start)."""

Duration = Annotated[int, "duration"]
"""Microseconds between two times. The annotation lets the settings read it as `15s` or `250ms`."""

MICROSECOND: Duration = 1
SECOND: Duration = 1_000_000
DAY: Duration = 86_400 * SECOND

CLOCK_UNSET_BEFORE: Time = 1_577_836_800 * SECOND
"""2020-01-01 in microseconds since 1970: a wall clock that shows an earlier day has not been set since the
machine was switched on."""


def describe_unset_clock(started_at: Time) -> str:
    """What is wrong with a run that began then, in microseconds since 1970."""
    return (
        f"the shim was started when the wall clock showed {utc_day(started_at)}, which was not set then: all "
        "times that it writes down are wrong, and count for no trial; set the clock and start the shim again"
    )


def from_seconds(value: float) -> Time:
    """Seconds, at most six decimals, as whole microseconds (rounded to the nearest)."""
    return round(value * 1_000_000)


def seconds(value: Time) -> float:
    """Whole microseconds as seconds; the nearest float, so printing it shows six decimals at most."""
    return value / 1_000_000


def seconds_or_none(value: Time | None) -> float | None:
    """The same; None of what does not exist."""
    return None if value is None else seconds(value)


def format_utc(at: Time) -> str:
    """Microseconds since 1970 as `2026-11-27T08:30:00+00:00`."""
    return datetime.fromtimestamp(seconds(at), UTC).isoformat(timespec="seconds")


def utc_day(at: Time) -> date:
    """The UTC day of microseconds since 1970."""
    return datetime.fromtimestamp(seconds(at), UTC).date()
