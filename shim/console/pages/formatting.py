"""Formats figures for people."""

from datetime import UTC, datetime

from shim.gate.answer import Scale
from shim.gate.trial_description import format_arms, format_trial
from shim.ledger.fleet_record import is_off, is_silent
from shim.ledger.rows import Wall
from shim.model import SECOND, Duration

__all__ = [
    "ago",
    "amount",
    "clock_time",
    "duration",
    "format_arms",
    "format_trial",
    "interval",
    "is_off",
    "is_silent",
    "moment",
    "percent",
]

_SPACE = "\N{NO-BREAK SPACE}"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def duration(value: Duration | None) -> str:
    """`820 ms`, `11.8 s`, `4.5 min`, `3.2 h`, `6.1 d`; a dash for none."""
    if value is None:
        return "–"
    length = abs(value) / SECOND
    sign = "−" if value < 0 else ""
    for size, unit in _UNITS:
        if length >= 1.5 * size:
            return f"{sign}{length / size:.1f}{_SPACE}{unit}"
    if 0 < length < 1:
        return f"{sign}{length * 1000:.0f}{_SPACE}ms"
    return f"{sign}{length:.1f}{_SPACE}s"


def ago(value: Duration) -> str:
    """`just now`, `12.0 s ago`, `3.2 h ago`."""
    return "just now" if value < 5 * SECOND else f"{duration(value)} ago"


def percent(share: float | None, digits: int = 1) -> str:
    """Never rounded to 100 % or 0 % when it is not quite that."""
    if share is None:
        return "–"
    if 0 < share < 1:
        most = 100 - 10**-digits
        return f"{min(max(100 * share, 10**-digits), most):.{digits}f}{_SPACE}%"
    return f"{100 * share:.0f}{_SPACE}%"


def interval(bounds: tuple[float, float] | None) -> str:
    """Two shares as percentages."""
    return "" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}{_SPACE}%"


def amount(value: float, scale: Scale) -> str:
    """A number of one of the gate's conditions."""
    return percent(value, 2) if scale is Scale.SHARE else f"{value:,.0f}"


def moment(at: Wall) -> str:
    """ISO 8601, to the millisecond, for `<time>`."""
    return datetime.fromtimestamp(at / SECOND, UTC).isoformat(timespec="milliseconds")


def clock_time(at: Wall) -> str:
    """UTC, to the second, for people."""
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
