"""Durations as they are written in files: `250ms`, `15s`, `2m`, `1h`, `7d`."""

import re
from fractions import Fraction

from shim.model import SECOND, Duration
from shim.model.time import DAY

_UNITS: dict[str, Duration] = {
    "d": DAY,
    "h": 3_600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": SECOND // 1_000,
}
_LONGEST_DAYS = 365_000
"""A thousand years. Sums of longer times are no dates any more, and no numbers of a database."""

_DURATION = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def parse_duration(text: object, *, negative: bool = False) -> Duration:
    """A duration in microseconds; `negative` allows those below zero.

    Raises ValueError with what to write instead.
    """
    if not isinstance(text, str):
        raise ValueError("must be a duration with its unit, like 15s")
    if _NUMBER.fullmatch(text):
        raise ValueError(f"a duration needs a unit: write {text}s or {text}ms")
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(f"{text!r} is no duration; write 250ms, 15s, 2m, 1h or 7d")
    number, unit = match.groups()
    duration = Fraction(number) * _UNITS[unit]
    if duration.denominator != 1:
        raise ValueError(f"{text} is finer than a microsecond")
    if abs(duration) > _LONGEST_DAYS * DAY:
        raise ValueError(f"{text} is longer than {_LONGEST_DAYS}d")
    if duration < 0 and not negative:
        raise ValueError(f"{text} is negative")
    return int(duration)


def format_duration(duration: Duration) -> str:
    """The shortest way to write a duration exactly: whole numbers of the largest unit possible."""
    if duration == 0:
        return "0s"
    for unit, length in _UNITS.items():
        if duration % length == 0:
            return f"{duration // length}{unit}"
    sign = "-" if duration < 0 else ""
    milliseconds, rest = divmod(abs(duration), _UNITS["ms"])
    return f"{sign}{milliseconds}.{rest:03}".rstrip("0") + "ms"
