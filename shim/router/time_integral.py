"""A count that changes now and then, and its sum over time."""

from shim.model import Duration, Time


class TimeIntegral:
    """Told of each change, so that asking costs the same however many there are."""

    __slots__ = ("_since", "_total", "count")

    def __init__(self, now: Time) -> None:
        self.count = 0
        self._total: Duration = 0
        self._since = now

    def add(self, change: int, now: Time) -> None:
        """From now on the count is larger by `change`."""
        self._total = self.until(now)
        self._since = now
        self.count += change

    def leave_out(self, start: Time, end: Time) -> None:
        """The time from `start` to `end` does not count."""
        self._total = self.until(max(start, self._since))
        self._since = end

    def until(self, now: Time) -> Duration:
        """Microseconds times the count, since the beginning."""
        return self._total + self.count * (now - self._since)
