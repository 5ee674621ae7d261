"""Durations as people write them, `250ms`, `15s`, `2m`, `1h`, `7d`, and as whole microseconds."""

import re
from decimal import Decimal

from shim.model import SECOND, Duration

_UNITS: dict[str, Duration] = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86_400 * SECOND,
}
_WRITTEN = re.compile(r"(-?)([0-9]{1,20}(?:\.[0-9]{1,20})?)(ms|s|m|h|d)")

LONGEST: Duration = 36_500 * _UNITS["d"]
"""A hundred years; whatever is longer is a slip of the pen."""


def parse_duration(text: str, *, negative: bool = False) -> Duration:
    """Microseconds of a written duration, which is a whole number of them.

    Decimals are fine (`0.75s`); a leading minus only if `negative`. Raises ValueError.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(f"{text!r} is no duration: write a number and ms, s, m, h or d, like 15s")
    minus, number, unit = written.groups()
    if minus and not negative:
        raise ValueError(f"{text!r} is negative")
    exact = Decimal(number) * _UNITS[unit]
    if exact > LONGEST:
        raise ValueError(f"{text!r} is longer than {format_duration(LONGEST)}")
    if exact != int(exact):
        raise ValueError(f"{text!r} is finer than a microsecond")
    return -int(exact) if minus else int(exact)


def format_duration(duration: Duration) -> str:
    """The duration in the largest unit that needs no decimals, else in milliseconds."""
    if duration == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if duration % _UNITS[unit] == 0:
            return f"{duration // _UNITS[unit]}{unit}"
    number = f"{Decimal(duration) / _UNITS['ms']:f}"
    return f"{number}ms"
