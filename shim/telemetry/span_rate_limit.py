"""How many spans of one name a second may have: a span costs tens of microseconds."""

from shim.model import SECOND, Time

LIMIT = 100
"""Spans of one name in one second. 100 000 clients may reconnect, or change their stage, in one breath;
mismatched, expected and inconclusive episodes are not limited."""


class SpanRateLimit:
    """Counts the spans of each name, and those that were left out."""

    def __init__(self) -> None:
        self._seconds: dict[str, tuple[Time, int]] = {}
        self._left_out: dict[str, int] = {}

    def allows(self, name: str, now: Time) -> bool:
        """Whether one more span of this name fits into this second; counts it."""
        began, count = self._seconds.get(name, (now, 0))
        if now - began >= SECOND:
            began, count = now, 0
        self._seconds[name] = (began, count + 1)
        if count < LIMIT:
            return True
        self._left_out[name] = self._left_out.get(name, 0) + 1
        return False

    def left_out(self, name: str) -> int:
        """How many spans of this name were left out since this was last asked."""
        return self._left_out.pop(name, 0)
